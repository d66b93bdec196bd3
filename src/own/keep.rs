//! The chosen probe, fitted on all labels and left in a folder: to be used by `wider-clip predict`, or from Python.

use super::probe::{Probe, best};
use super::{Arm, Compared, HeldOut, Own};
use crate::error::{Error, Result};
use crate::manifest::ModelRecord;
use crate::metrics::accuracy;
use crate::models;
use crate::storage::{sha256_hex, write_atomic};
use ndarray::Axis;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The form of kept classifiers.
pub(super) const FORM: &str = "wider-clip probe 2";
/// The form before, whose linear layers are in f32.
pub(super) const FORMER: &str = "wider-clip probe 1";
pub(super) const FACTS: &str = "classifier.json";
pub(super) const PROBE: &str = "probe.safetensors";

/// What stands beside the numbers of a kept probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The form of the file.
    pub form: String,
    /// Id of the model.
    pub model: String,
    /// Which weights of it.
    pub weights: String,
    /// SHA-256 of the numbers beside it. Missing in files of earlier versions.
    #[serde(default)]
    pub probe: Option<String>,
    /// How pictures become its input: a digest of that part of its record. Missing in files of earlier versions.
    #[serde(default)]
    pub input: Option<String>,
    /// The bands of the pictures that are shown, where the data's record names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bands: Option<Vec<u16>>,
    /// The values that become black and white, where the data's record names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// The feature that is read.
    pub feature: String,
    /// How features are used.
    pub method: String,
    /// Neighbours that vote, where they do.
    pub neighbours: Option<usize>,
    /// Names of the classes in the order of the scores.
    pub classes: Vec<String>,
    /// Probabilities are the softmax of the scores divided by this.
    pub temperature: f64,
    /// Images that it was fitted on.
    pub images: usize,
    /// Accuracy of probes fitted on four fifths of them, on the others, with the ends of its 95% interval.
    pub accuracy: (f64, Option<(f64, f64)>),
    /// Accuracy on the published test, where the data have one, and its images.
    pub test: Option<(f64, usize)>,
    /// The data.
    pub dataset: String,
    /// SHA-256 over their files.
    pub data_sha256: String,
    /// Licence of the model's weights.
    pub licence: String,
    /// What wrote it.
    pub version: String,
}

/// The files of a kept probe, the one that is written last first.
pub const KEPT: [&str; 4] = [FACTS, PROBE, "model.toml", "use.py"];

/// A probe that was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its folder.
    pub folder: PathBuf,
    /// What stands there.
    pub facts: Facts,
}

impl Own {
    /// Fits `arm` on all images with a label and leaves it as `classifier/` in the folder of the report: `probe.safetensors`,
    /// `classifier.json`, the model's record, and a few lines of Python that read them.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn keep(&self, compared: &Compared, arm: &Arm, held_out: &HeldOut) -> Result<Kept> {
        let features = compared.features(&arm.model)?;
        let probe = Probe::fit(arm.method, features, compared.labels.clone(), compared.n_classes)?;
        let record = self.project.manifests.model(&arm.model)?;
        let folder = match &self.folder {
            Some(folder) => folder.join("classifier"),
            None => self.project.cache().join("own").join("shown"),
        };
        let mut facts = Facts {
            form: FORM.into(),
            probe: None,
            model: arm.model.clone(),
            weights: models::weights_id(self.project.root(), record)?,
            input: Some(input_id(record)),
            bands: self.set.reading().bands.clone(),
            range: self.set.reading().range,
            feature: record.features.default.clone(),
            method: arm.method.as_str().into(),
            neighbours: match &probe {
                Probe::Neighbours { k, .. } => Some(*k),
                Probe::Linear { .. } => None,
            },
            classes: self.set.classes.clone(),
            temperature: held_out.temperature,
            images: compared.rows.len(),
            accuracy: (arm.accuracy.value, arm.accuracy.interval),
            test: self.test(compared, arm, &probe)?,
            dataset: self.set.id.clone(),
            data_sha256: self.set.data_sha256.clone(),
            licence: record.licence.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        std::fs::create_dir_all(&folder).map_err(Error::io(&folder, "creating the folder"))?;
        // Facts of an earlier probe must not stand beside this one, should what follows fail.
        let place = folder.join(FACTS);
        if place.exists() {
            std::fs::remove_file(&place).map_err(Error::io(&place, "removing"))?;
        }
        facts.probe = Some(write_probe(&folder.join(PROBE), &probe)?);
        let text = serde_json::to_string_pretty(&facts);
        let text = text.map_err(|error| Error::data(&folder, "facts that become JSON", error.to_string()))?;
        write_atomic(&folder.join("use.py"), python(&probe).as_bytes())?;
        let manifest = self.project.root().join("data_manifests/models").join(format!("{}.toml", arm.model));
        let manifest = std::fs::read(&manifest).map_err(Error::io(&manifest, "reading"))?;
        write_atomic(&folder.join("model.toml"), &manifest)?;
        // Last, so that a folder with facts is whole.
        write_atomic(&place, text.as_bytes())?;
        Ok(Kept { folder, facts })
    }

    /// Accuracy on the images of a published test, which nothing was chosen on.
    fn test(&self, compared: &Compared, arm: &Arm, probe: &Probe) -> Result<Option<(f64, usize)>> {
        let tested = self.tested();
        if tested.is_empty() {
            return Ok(None);
        }
        let encoded = compared.encoded(&arm.model)?;
        let place: HashMap<usize, usize> =
            encoded.features.rows.iter().enumerate().map(|(at, &row)| (row, at)).collect();
        let places: Vec<usize> = tested.iter().filter_map(|row| place.get(row).copied()).collect();
        if places.is_empty() {
            return Ok(None);
        }
        let said = best(&probe.scores(encoded.chosen()?.select(Axis(0), &places).view())?);
        Ok(Some((accuracy(&said, &encoded.labels_at(&places))?, places.len())))
    }
}

/// Writes the numbers of a probe, and gives the SHA-256 of the file.
fn write_probe(path: &Path, probe: &Probe) -> Result<String> {
    let wide = |numbers: &mut dyn Iterator<Item = &f64>| numbers.flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    type Named = (&'static str, Dtype, Vec<usize>, Vec<u8>);
    let tensors: [Named; 2] = match probe {
        Probe::Linear { weights, biases } => [
            ("weights", Dtype::F64, weights.shape().to_vec(), wide(&mut weights.iter())),
            ("biases", Dtype::F64, biases.shape().to_vec(), wide(&mut biases.iter())),
        ],
        Probe::Neighbours { features, labels, .. } => {
            let numbers = features.iter().flat_map(|n| n.to_le_bytes()).collect();
            let classes = labels.iter().flat_map(|&label| i64::from(label).to_le_bytes()).collect();
            [
                ("features", Dtype::F32, features.shape().to_vec(), numbers),
                ("labels", Dtype::I64, vec![labels.len()], classes),
            ]
        }
    };
    let broken =
        |error: safetensors::SafeTensorError| Error::data(path, "tensors that can be written", error.to_string());
    let mut views = Vec::new();
    for (name, dtype, shape, bytes) in &tensors {
        views.push((*name, TensorView::new(*dtype, shape.clone(), bytes).map_err(broken)?));
    }
    let bytes = safetensors::serialize(views, None).map_err(broken)?;
    write_atomic(path, &bytes)?;
    Ok(sha256_hex(&bytes))
}

/// What tells one way from a picture to a model's input from another.
pub(super) fn input_id(record: &ModelRecord) -> String {
    record.input.key().digest()[..16].to_string()
}

/// The lines that read a kept probe in Python.
fn python(probe: &Probe) -> String {
    let scores = match probe {
        Probe::Linear { .. } => "scores = x.astype(\"f8\") @ probe[\"weights\"].T + probe[\"biases\"]\n",
        Probe::Neighbours { .. } => {
            "d = ((x[:, None].astype(\"f8\") - probe[\"features\"][None]) ** 2).sum(2)\n\
             near = probe[\"labels\"][d.argsort(1, kind=\"stable\")[:, : facts[\"neighbours\"]]]\n\
             votes = 0.5 + (near[:, :, None] == np.arange(len(facts[\"classes\"]))).sum(1)\n\
             scores = np.log(votes / votes.sum(1, keepdims=True))\n"
        }
    };
    format!(
        "# Needs numpy and safetensors. Features come from: cargo run -- predict <this folder> <pictures> --features x.safetensors\n\
         import json, sys\n\
         import numpy as np\n\
         from safetensors.numpy import load_file\n\n\
         folder, features = sys.argv[1:3]\n\
         facts = json.load(open(f\"{{folder}}/classifier.json\", encoding=\"utf-8\"))\n\
         probe = load_file(f\"{{folder}}/probe.safetensors\")\n\
         x = load_file(features)[\"features\"]\n\
         {scores}\
         z = scores.astype(\"f8\") / facts[\"temperature\"]\n\
         p = np.exp(z - z.max(1, keepdims=True))\n\
         p /= p.sum(1, keepdims=True)\n\
         for row in p:\n    print(ascii(facts[\"classes\"][row.argmax()]), f\"{{row.max():.4f}}\")\n"
    )
}
