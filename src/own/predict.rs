//! A kept probe, asked for the class of pictures.

use super::keep::{FACTS, FORM, FORMER, Facts, PROBE, input_id};
use super::probe::{Probe, best};
use crate::datasets::{ImageSet, PREDICTIONS, open_pictures};
use crate::error::{Error, Result};
use crate::features::{Extraction, FeatureTable, ONE_USABLE, extract};
use crate::images::Reading;
use crate::metrics::tempered;
use crate::models::{self, LoadedModel, best_device};
use crate::project::Project;
use crate::say::{csv_field, path as shown, plain};
use crate::storage::{sha256_hex, write_atomic};
use crate::target::{check_kind, holds};
use candle_core::Device;
use ndarray::{ArcArray2, Array1, Array2};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A kept probe with its model.
pub struct Predictor {
    /// What stands beside it.
    pub facts: Facts,
    probe: Probe,
    model: LoadedModel,
}

/// What is said of one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Row of the set.
    pub row: usize,
    /// The picture's name in the set.
    pub id: String,
    /// The likeliest class.
    pub class: String,
    /// Its calibrated probability.
    pub probability: f64,
    /// The second likeliest with its probability; `None` where there is one class.
    pub second: Option<(String, f64)>,
}

impl Predictor {
    /// Reads a folder that [`super::Own::keep`] left.
    ///
    /// # Errors
    /// A folder that is none, or is not whole; a model that the project does not know, or whose weights are others.
    pub fn open(project: &Project, folder: &Path, device: &Device) -> Result<Predictor> {
        let path = folder.join(FACTS);
        if !path.is_file() {
            let expected = format!("a folder with {FACTS}, as `wider-clip images` leaves it");
            return Err(Error::data(folder, expected, "none"));
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "reading"))?;
        let facts: Facts = serde_json::from_str(&text)
            .map_err(|error| Error::data(&path, "what `wider-clip images` writes", error.to_string()))?;
        if ![FORM, FORMER].contains(&facts.form.as_str()) {
            return Err(Error::data(&path, format!("form `{FORM}`"), format!("`{}`", facts.form)));
        }
        let record = project.manifests.model(&facts.model)?;
        let weights = models::weights_id(project.root(), record)?;
        if weights != facts.weights {
            let expected = format!("the weights of {} that the probe was fitted with, {}", facts.model, facts.weights);
            return Err(Error::data(&path, expected, weights));
        }
        let input = input_id(record);
        if let Some(kept) = facts.input.as_ref().filter(|kept| **kept != input) {
            let expected = format!(
                "the record of {} that the probe was fitted with, as in model.toml beside it ({kept})",
                facts.model
            );
            return Err(Error::data(
                &path,
                expected,
                format!("a record that turns pictures into another input ({input})"),
            ));
        }
        let probe = read_probe(&folder.join(PROBE), &facts)?;
        let model = models::load(project.root(), record, device)?;
        Ok(Predictor { facts, probe, model })
    }

    /// Pictures, read as those were that the probe learned from.
    pub fn as_learned(&self, set: ImageSet) -> ImageSet {
        set.read_as(Reading { bands: self.facts.bands.clone(), range: self.facts.range })
    }

    /// Features of pictures, on which nothing is kept.
    ///
    /// # Errors
    /// None of the pictures can be read.
    pub fn features(&self, set: &ImageSet) -> Result<FeatureTable> {
        let cache = tempfile::tempdir().map_err(Error::io("a temporary folder", "creating"))?;
        extract(&self.model, set, Extraction { cache: cache.path(), rows: None, verbose: false, within: None })
    }

    /// What is said of pictures by their features, in their order.
    ///
    /// # Errors
    /// Features of another width.
    pub fn say(&self, set: &ImageSet, table: &FeatureTable) -> Result<Vec<Said>> {
        let scores = self.probe.scores(table.pooling(&self.facts.feature)?.view())?;
        let probabilities = tempered(scores.view(), self.facts.temperature)?;
        let said = best(&scores).into_iter().enumerate().map(|(at, class)| {
            let row = probabilities.row(at);
            let others = (0..row.len()).filter(|&other| other != class as usize);
            let second = others.max_by(|&a, &b| row[a].total_cmp(&row[b]));
            let name = |class: usize| self.facts.classes[class].clone();
            Said {
                row: table.rows[at],
                id: set.ids[table.rows[at]].clone(),
                class: name(class as usize),
                probability: row[class as usize],
                second: second.map(|second| (name(second), row[second])),
            }
        });
        Ok(said.collect())
    }
}

/// `wider-clip predict`: classes of pictures and of folders of pictures, printed, or written as CSV; their features too where
/// asked for.
///
/// # Errors
/// A folder that holds no classifier; files to write that are somebody else's; pictures that cannot be read, after what is said of the
/// others was written.
pub fn predict(
    project: &Project,
    classifier: &Path,
    pictures: &[PathBuf],
    csv: Option<&Path>,
    features: Option<&Path>,
) -> Result<()> {
    if let Some(path) = csv {
        check_kind(path, "one that `predict` wrote", |beginning| {
            beginning.starts_with(PREDICTIONS.join(",").as_bytes())
        })?;
    }
    if let Some(path) = features {
        check_kind(path, "features that `predict` wrote", |beginning| {
            holds(beginning, "\"features\":{\"dtype\":\"F32\"")
        })?;
    }
    let predictor = Predictor::open(project, classifier, &best_device()?)?;
    let set = predictor.as_learned(open_pictures("pictures", pictures)?);
    let table = predictor.features(&set)?;
    tell_set_aside(&table);
    let said = predictor.say(&set, &table)?;
    if let Some(path) = features {
        let numbers = table.pooling(&predictor.facts.feature)?;
        let names: Vec<&String> = table.rows.iter().map(|&row| &set.ids[row]).collect();
        write_features(path, numbers, &names)?;
        crate::say!("features of {} pictures in {}", numbers.nrows(), shown(path));
    }
    match csv {
        Some(path) => {
            write_csv(path, &said)?;
            crate::say!("{} pictures in {}", said.len(), shown(path));
        }
        None => said.iter().for_each(|said| {
            crate::say!("{}: {} {:.1}%", plain(&said.id), plain(&said.class), 100.0 * said.probability);
        }),
    }
    match table.set_aside.first() {
        None => Ok(()),
        Some(first) => {
            let (n, of) = (table.set_aside.len(), set.len());
            let found = format!("{n} of {of} could not be, such as {}: {}", plain(&first.id), plain(&first.reason));
            Err(Error::argument("pictures", "ones that can be read", found))
        }
    }
}

/// Names the pictures of which nothing can be said.
fn tell_set_aside(table: &FeatureTable) {
    for image in &table.set_aside {
        crate::say!("{}: {}", plain(&image.id), plain(&image.reason));
    }
}

/// Writes what was said as CSV, in that order: file, class, probability, and the second likeliest.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write_csv(path: &Path, said: &[Said]) -> Result<()> {
    let broken = |error: csv::Error| Error::data(path, "rows that become CSV", error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(PREDICTIONS).map_err(broken)?;
    for said in said {
        let (second, probability) = said.second.clone().unwrap_or_default();
        let numbers = [format!("{:.4}", said.probability), format!("{probability:.4}")];
        let texts = [&said.id, &said.class, &second].map(|text| csv_field(text));
        writer.write_record([&texts[0], &texts[1], &numbers[0], &texts[2], &numbers[1]]).map_err(broken)?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::data(path, "rows that become CSV", error.to_string()))?;
    write_atomic(path, &bytes)
}

/// Features as a tensor (N, D), with the names of the pictures in the file's metadata as `pictures`, a JSON list.
fn write_features(path: &Path, features: &Array2<f32>, pictures: &[&String]) -> Result<()> {
    let bytes: Vec<u8> = features.iter().flat_map(|number| number.to_le_bytes()).collect();
    let broken =
        |error: safetensors::SafeTensorError| Error::data(path, "features that can be written", error.to_string());
    let tensor = TensorView::new(Dtype::F32, features.shape().to_vec(), &bytes).map_err(broken)?;
    let pictures = serde_json::to_string(pictures);
    let pictures = pictures.map_err(|error| Error::data(path, "names that become JSON", error.to_string()))?;
    let metadata = Some(HashMap::from([("pictures".to_string(), pictures)]));
    write_atomic(path, &safetensors::serialize([("features", tensor)], metadata).map_err(broken)?)
}

fn read_probe(path: &Path, facts: &Facts) -> Result<Probe> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "reading"))?;
    if let Some(expected) = facts.probe.as_ref().filter(|expected| **expected != sha256_hex(&bytes)) {
        let expected = format!("the probe that {FACTS} beside it is of (SHA-256 {expected})");
        return Err(Error::data(path, expected, "another one: `images` was stopped here, or is at work"));
    }
    let broken = |error: safetensors::SafeTensorError| Error::data(path, "the tensors of a probe", error.to_string());
    let tensors = SafeTensors::deserialize(&bytes).map_err(broken)?;
    let tensor = |name: &str, dtypes: &[Dtype], expected: &str, rank: usize| {
        let view = tensors.tensor(name).map_err(broken)?;
        match dtypes.contains(&view.dtype()) && view.shape().len() == rank {
            true => Ok(view),
            false => {
                let found = format!("{:?} {:?}", view.dtype(), view.shape());
                Err(Error::data(path, format!("`{name}` as {expected}"), found))
            }
        }
    };
    let classes = facts.classes.len();
    let of_rows = |name: &str, expected: usize, found: usize| match found == expected {
        true => Ok(()),
        false => Err(Error::data(path, format!("`{name}` of {expected} rows"), found.to_string())),
    };
    let whole = |name: &'static str| {
        move |error: ndarray::ShapeError| Error::data(path, format!("`{name}` whole"), error.to_string())
    };
    match facts.neighbours {
        Some(k) => {
            let features = tensor("features", &[Dtype::F32], "f32 in two dimensions", 2)?;
            let shape = (features.shape()[0], features.shape()[1]);
            let numbers = features.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let features = ArcArray2::from_shape_vec(shape, numbers).map_err(whole("features"))?;
            let labels = tensor("labels", &[Dtype::I64], "i64 in one dimension", 1)?;
            of_rows("labels", shape.0, labels.shape()[0])?;
            let labels = labels.data().as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
            let labels: Option<Vec<u32>> =
                labels.map(|n| u32::try_from(n).ok().filter(|n| (*n as usize) < classes)).collect();
            let expected = || Error::data(path, format!("labels below {classes}"), "others");
            Ok(Probe::Neighbours { features, labels: labels.ok_or_else(expected)?, k, classes })
        }
        None => {
            let floats = [Dtype::F64, Dtype::F32];
            let weights = tensor("weights", &floats, "f64 or f32 in two dimensions", 2)?;
            let biases = tensor("biases", &floats, "f64 or f32 in one dimension", 1)?;
            of_rows("weights", classes, weights.shape()[0])?;
            of_rows("biases", classes, biases.shape()[0])?;
            let shape = (classes, weights.shape()[1]);
            let weights = Array2::from_shape_vec(shape, numbers(&weights)).map_err(whole("weights"))?;
            Ok(Probe::Linear { weights, biases: Array1::from(numbers(&biases)) })
        }
    }
}

/// The numbers of a tensor in f64 or f32.
fn numbers(view: &TensorView) -> Vec<f64> {
    match view.dtype() {
        Dtype::F64 => view.data().as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
        _ => view.data().as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect(),
    }
}

impl super::Own {
    /// What the kept probe says of the pictures without a label, the most uncertain first; written as `predictions.csv` beside
    /// the report, sorted by class and then by confidence. Empty where there are none.
    ///
    /// # Errors
    /// A probe that cannot be read. Pictures that cannot be read are named and passed over.
    pub fn label_next(&self, kept: &super::Kept, device: &Device) -> Result<Vec<Said>> {
        let written = self.folder.as_ref().map(|folder| folder.join("predictions.csv"));
        // What was said of other pictures must not stay.
        if let Some(written) = written.as_ref().filter(|written| written.exists()) {
            std::fs::remove_file(written).map_err(Error::io(written, "removing"))?;
        }
        let Some(set) = &self.unlabelled else { return Ok(Vec::new()) };
        let predictor = Predictor::open(&self.project, &kept.folder, device)?;
        let table = match predictor.features(set) {
            Err(Error::Data { expected, found, .. }) if expected == ONE_USABLE => {
                crate::say!("of the pictures without a label none can be read: {}", plain(&found));
                return Ok(Vec::new());
            }
            table => table?,
        };
        tell_set_aside(&table);
        let mut said = predictor.say(set, &table)?;
        if let Some(written) = &written {
            said.sort_by(|a, b| {
                (&a.class, b.probability).partial_cmp(&(&b.class, a.probability)).unwrap_or(a.row.cmp(&b.row))
            });
            write_csv(written, &said)?;
        }
        let margin = |said: &Said| said.probability - said.second.as_ref().map_or(0.0, |(_, second)| *second);
        said.sort_by(|a, b| margin(a).total_cmp(&margin(b)));
        Ok(said)
    }
}
