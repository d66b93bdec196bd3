//! Classes by their names: CLIP's text tower on a data set's class names, against cached image features.
//!
//! The study describes zero-shot classification and did not run it. Image features are cached before CLIP's projection,
//! so nothing is computed from images again: the projection is one matrix product.

use crate::error::{Error, Result};
use crate::hub;
use crate::manifest::{ModelRecord, Weights};
use crate::models::clip::TextTower;
use crate::models::{ClipConfig, Mode, WeightFile, embedded_file};
use crate::probe::zero_shot::ZeroShot;
use crate::products::{Threads, multiply};
use crate::results::Arm;
use crate::storage::sha256_hex;
use crate::text::{Templates, Tokenizer, read_pairs};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use ndarray::{Array1, Array2, Array3, ArrayView2};
use std::collections::HashMap;
use std::path::Path;

/// Prompts that pass through the text tower together.
const PROMPTS: usize = 64;

/// What turns a model's image features into classes without a label.
#[derive(Debug, Clone)]
pub struct ByName {
    /// (E, D).
    projection: Array2<f32>,
    pooling: String,
    classes: ZeroShot,
    asked: String,
}

impl ByName {
    /// Reads the text side of the model of `record` and encodes a prompt for each of `classes`: "a photo of a {class}."
    /// for published models, the record's own templates for embedded ones, whose captions have blanks for hyphens.
    /// `None` for a model without a text tower.
    ///
    /// # Errors
    /// As for [`hub::fetch_model`]; embedded files of another hash; tensors that are not of this model; no class.
    pub fn open(root: &Path, record: &ModelRecord, classes: &[String], device: &Device) -> Result<Option<ByName>> {
        let Some(config) = ClipConfig::named(&record.architecture) else { return Ok(None) };
        match &record.weights {
            Weights::Hub { repo, revision, files } => {
                let file = hub::fetch_model(&hub::lock_path(root), repo, revision, files)?;
                let weights = config.assemble(&WeightFile::open(&file.path)?, device)?.tensors;
                ByName::new(&config, weights, &Tokenizer::clip()?, &Templates::photo(), classes, device).map(Some)
            }
            Weights::Embedded { text: Some(text), .. } => {
                let file = WeightFile::open(&embedded_file(root, &text.file, &text.sha256)?)?;
                let read = |name: &str| Ok((name.to_owned(), file.get(name, device)?.to_dtype(DType::F32)?));
                let weights = file.names().map(read).collect::<Result<HashMap<_, _>>>()?;
                let pairs = read_pairs(&root.join("data_manifests").join("embedded").join(&text.pairs))?;
                let tokenizer = Tokenizer::from_merges(&pairs, config.text.context)?;
                let classes: Vec<String> = classes.iter().map(|class| class.replace('-', " ")).collect();
                let templates = Templates::new(&text.templates)?;
                let by_name = ByName::new(&config, weights, &tokenizer, &templates, &classes, device)?;
                let asked = format!("{} of text tower {}", by_name.asked, text.sha256);
                Ok(Some(ByName { asked, ..by_name }))
            }
            _ => Ok(None),
        }
    }

    /// The same from weights under this crate's names: those of [`ClipConfig::parameters`] that are not the image tower's.
    ///
    /// # Errors
    /// Weights that are missing or misshaped; no class; a vocabulary that does not fit the text tower.
    pub fn new(
        config: &ClipConfig,
        weights: HashMap<String, Tensor>,
        tokenizer: &Tokenizer,
        templates: &Templates,
        classes: &[String],
        device: &Device,
    ) -> Result<ByName> {
        if tokenizer.vocabulary_size() != config.text.vocabulary {
            let expected = format!("{} tokens, as the text tower has", config.text.vocabulary);
            return Err(Error::argument("tokenizer", expected, tokenizer.vocabulary_size().to_string()));
        }
        let vb = VarBuilder::from_tensors(weights, DType::F32, device);
        let (e, d) = (config.text.projection, config.image_dim);
        let projection = vb.get((e, d), "visual_projection.weight").map_err(Error::tensor("loading CLIP weights"))?;
        let tower = TextTower::load(&config.text, &vb)?;
        let prompts = templates.prompts(classes)?;
        let mut features = Vec::with_capacity(prompts.len() * e);
        for some in prompts.chunks(PROMPTS) {
            let some = tower.forward(tokenizer.encode_batch(some).view(), Mode::Eval)?;
            features.extend(some.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
        }
        let array = |error: ndarray::ShapeError| Error::argument("text features", "(K, T, E)", error.to_string());
        let features = Array3::from_shape_vec((classes.len(), templates.len(), e), features).map_err(array)?;
        Ok(ByName {
            projection: Array2::from_shape_vec((e, d), projection.flatten_all()?.to_vec1()?).map_err(array)?,
            pooling: config.pooling.into(),
            classes: ZeroShot::new(features.view())?,
            asked: format!("prompts {}", &sha256_hex(prompts.join("\n").as_bytes())[..16]),
        })
    }

    /// The arm of a result that is found by these names: other prompts, or another text tower, give another result.
    pub(super) fn asked(&self, arm: Arm) -> Arm {
        Arm { weights: format!("{}, {}", arm.weights, self.asked), ..arm }
    }

    /// The feature that it reads: the one that CLIP projects.
    pub fn pooling(&self) -> &str {
        &self.pooling
    }

    /// The class of every image: features (N, D) before the projection to (N,).
    ///
    /// # Errors
    /// As for [`ZeroShot::try_predict`].
    pub fn predict(&self, features: ArrayView2<f32>) -> Result<Array1<u32>> {
        let (e, d) = self.projection.dim();
        if features.ncols() != d {
            let found = format!("{} numbers", features.ncols());
            return Err(Error::argument("image features", format!("{d} numbers, as CLIP projects them"), found));
        }
        let mut projected = Array2::zeros((features.nrows(), e));
        multiply(Threads::All, features, self.projection.t(), projected.view_mut());
        Ok(self.classes.try_predict(projected.view())?.0)
    }
}
