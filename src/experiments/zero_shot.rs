//! Classes by their names: CLIP's text tower on a data set's class names, against cached image features.
//!
//! The study describes zero-shot classification and did not run it. Image features are cached before CLIP's projection,
//! so nothing is computed from images again: the projection is one matrix product.

use crate::error::{Error, Result};
use crate::hub;
use crate::manifest::{ModelRecord, Weights};
use crate::models::{Clip, ClipConfig, Mode, WeightFile};
use crate::probe::zero_shot::ZeroShot;
use crate::products::{Threads, multiply};
use crate::text::{Templates, Tokenizer};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use ndarray::{Array1, Array2, Array3, ArrayView2};
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
}

impl ByName {
    /// Reads the text side of the model of `record` and encodes "a photo of a {class}." for each of `classes`; `None`
    /// for a model without a text tower.
    ///
    /// # Errors
    /// As for [`hub::fetch_model`]; tensors that are not of this model; no class.
    pub fn open(root: &Path, record: &ModelRecord, classes: &[String], device: &Device) -> Result<Option<ByName>> {
        let (Some(config), Weights::Hub { repo, revision, files }) =
            (ClipConfig::named(&record.architecture), &record.weights)
        else {
            return Ok(None);
        };
        let file = hub::fetch_model(&hub::lock_path(root), repo, revision, files)?;
        let weights = config.assemble(&WeightFile::open(&file.path)?, device)?.tensors;
        ByName::new(&config, weights, &Tokenizer::clip()?, &Templates::photo(), classes, device).map(Some)
    }

    /// The same from weights under this crate's names ([`ClipConfig::parameters`]).
    ///
    /// # Errors
    /// Weights that are missing or misshaped; no class; a vocabulary that does not fit the text tower.
    pub fn new(
        config: &ClipConfig,
        weights: std::collections::HashMap<String, Tensor>,
        tokenizer: &Tokenizer,
        templates: &Templates,
        classes: &[String],
        device: &Device,
    ) -> Result<ByName> {
        let vb = VarBuilder::from_tensors(weights, DType::F32, device);
        let (e, d) = (config.text.projection, config.image_dim);
        let projection = vb.get((e, d), "visual_projection.weight").map_err(Error::tensor("loading CLIP weights"))?;
        let clip = Clip::build(config, vb)?;
        let prompts = templates.prompts(classes)?;
        let mut features = Vec::with_capacity(prompts.len() * e);
        for some in prompts.chunks(PROMPTS) {
            let some = clip.text_features(tokenizer.encode_batch(some).view(), Mode::Eval)?;
            features.extend(some.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
        }
        let array = |error: ndarray::ShapeError| Error::argument("text features", "(K, T, E)", error.to_string());
        let features = Array3::from_shape_vec((classes.len(), templates.len(), e), features).map_err(array)?;
        Ok(ByName {
            projection: Array2::from_shape_vec((e, d), projection.flatten_all()?.to_vec1()?).map_err(array)?,
            pooling: config.pooling.into(),
            classes: ZeroShot::new(features.view())?,
        })
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
