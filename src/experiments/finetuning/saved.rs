//! A fine-tuned classifier as one file: its weights with all that is needed to ask it.

use super::{Start, Tuned};
use crate::error::{Error, Result};
use crate::images::{self, Preprocess, Reading};
use crate::models::{self, Architecture, Mode};
use crate::training::checkpoint;
use crate::training::{Classifier, ClassifierParams, Head};
use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use safetensors::SafeTensors;
use std::collections::HashMap;
use std::path::Path;

/// A class with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// From 0 to 1.
    pub probability: f32,
}

/// A fine-tuned classifier that was saved.
pub struct Saved {
    classifier: Classifier,
    classes: Vec<String>,
    preprocess: Preprocess,
    reading: Reading,
    /// Id of the model that was fine-tuned.
    pub model: String,
}

/// Writes the weights that a run keeps into `path`, as safetensors with this crate's names and the head as `head.weight` and
/// `head.bias`; whole or not at all. The metadata hold classes, preprocessing, the bands and the range of the data set's record,
/// and where the weights come from.
///
/// # Errors
/// A file that cannot be written.
pub fn save(start: &Start, tuned: &Tuned, path: &Path) -> Result<()> {
    let record = start.model();
    let own = models::preprocess(&record.input);
    let (mean, std) = tuned.job.recipe().input.normalisation((own.mean, own.std));
    let preprocess = Preprocess { mean, std, ..own };
    let bad = |error: serde_json::Error| Error::data(path, "facts that become JSON", error.to_string());
    let (weights, state) = &tuned.kept;
    let set = &start.encoded().set;
    let facts = [
        ("form", FORM.to_string()),
        ("model", record.id.clone()),
        ("architecture", record.architecture.clone()),
        ("feature", record.features.default.clone()),
        ("dim", record.features.dim.to_string()),
        ("licence", record.licence.clone()),
        ("preprocess", serde_json::to_string(&preprocess).map_err(bad)?),
        ("classes", serde_json::to_string(&set.classes).map_err(bad)?),
        ("bands", serde_json::to_string(&set.reading().bands).map_err(bad)?),
        ("range", serde_json::to_string(&set.reading().range).map_err(bad)?),
        ("dataset", tuned.run.dataset.clone()),
        ("data", set.data_sha256.clone()),
        ("method", tuned.run.method.clone()),
        ("budget", tuned.run.budget.to_string()),
        ("seed", tuned.run.seed.to_string()),
        ("weights", weights.clone()),
    ];
    let facts = facts.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    checkpoint::write(path, state, DType::F32, facts)
}

/// The form of saved classifiers.
pub(super) const FORM: &str = "wider-clip classifier 1";

/// What the metadata of such a file say.
fn facts(path: &Path, bytes: &[u8]) -> Result<HashMap<String, String>> {
    let broken = |error: safetensors::SafeTensorError| Error::data(path, "safetensors", error.to_string());
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let facts = metadata.metadata().clone().unwrap_or_default();
    match facts.get("form").map(String::as_str) {
        Some(FORM) => Ok(facts),
        form => Err(Error::data(path, "a classifier that `wider-clip finetune` wrote", format!("form {form:?}"))),
    }
}

/// The data of which the classifier at `path` is, by their SHA-256; `None` where there is no such file.
pub(super) fn data_of(path: &Path) -> Option<String> {
    facts(path, &std::fs::read(path).ok()?).ok()?.remove("data")
}

impl Saved {
    /// Reads a file that [`save`] wrote.
    ///
    /// # Errors
    /// A file that is none; weights that do not fit the architecture that it names.
    pub fn open(path: &Path, device: &Device) -> Result<Saved> {
        let bytes = std::fs::read(path).map_err(Error::io(path, "reading"))?;
        let facts = facts(path, &bytes)?;
        let fact = |name: &str| {
            let missing = || Error::data(path, format!("`{name}` in the metadata"), "none");
            facts.get(name).cloned().ok_or_else(missing)
        };
        let bad = |error: serde_json::Error| Error::data(path, "facts as JSON", error.to_string());
        let preprocess: Preprocess = serde_json::from_str(&fact("preprocess")?).map_err(bad)?;
        preprocess.check()?;
        // Files of before were of data sets that say neither.
        let chosen = |name: &str| facts.get(name).map_or("null", String::as_str);
        let bands = serde_json::from_str(chosen("bands")).map_err(bad)?;
        let reading = Reading { bands, range: serde_json::from_str(chosen("range")).map_err(bad)? };
        let classes: Vec<String> = serde_json::from_str(&fact("classes")?).map_err(bad)?;
        let dim = fact("dim")?.parse().map_err(|_| Error::data(path, "a number as `dim`", "other text"))?;
        let weights: HashMap<String, Tensor> = candle_core::safetensors::load_buffer(&bytes, device)?;
        let given = |name: &str| {
            let missing = || Error::data(path, format!("a tensor {name}"), "none");
            weights.get(name).ok_or_else(missing)
        };
        let architecture = Architecture::named(&fact("architecture")?)?;
        let params = ClassifierParams {
            architecture: &architecture,
            pooling: &fact("feature")?,
            dim,
            n_classes: classes.len(),
            head: Head::Given(given("head.weight")?, given("head.bias")?),
            seed: 0,
            layer_decay: 1.0,
            weight_decay: 0.0,
        };
        let classifier = Classifier::new(&params, &weights, device)?;
        Ok(Saved { classifier, classes, preprocess, reading, model: fact("model")? })
    }

    /// Names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// All classes of an image, the likeliest first.
    ///
    /// # Errors
    /// An image that cannot be resized.
    pub fn classify(&self, image: &RgbImage) -> Result<Vec<Class>> {
        let size = self.preprocess.size;
        let device = self.classifier.variables().device();
        let images = Tensor::from_vec(self.preprocess.apply(image)?, (1, 3, size, size), device)?;
        let logits = self.classifier.forward(&images, Mode::Eval)?.detach();
        let probabilities = candle_nn::ops::softmax(&logits, 1)?.squeeze(0)?.to_vec1::<f32>()?;
        let class = |(name, probability): (&String, f32)| Class { name: name.clone(), probability };
        let mut classes: Vec<Class> = self.classes.iter().zip(probabilities).map(class).collect();
        classes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        Ok(classes)
    }

    /// The same for a file, read as the pictures were that the classifier learned from.
    ///
    /// # Errors
    /// A file that cannot be read or is no picture.
    pub fn classify_file(&self, path: &Path) -> Result<Vec<Class>> {
        crate::storage::check_regular(path)?;
        let bytes = std::fs::read(path).map_err(Error::io(path, "reading"))?;
        self.classify(&images::decode_as(&path.to_string_lossy(), &bytes, &self.reading)?)
    }
}
