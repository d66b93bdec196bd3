//! What every objective has in common: a batch in, a loss out, and what it remembers between steps.

use crate::error::Result;
use crate::training::Parameters;
pub use crate::training::{Loss, Moment};
use candle_core::{Device, Tensor};
use ndarray::Array2;
use std::collections::{BTreeMap, HashMap};

/// Views of some source images.
pub struct Batch {
    /// How many source images the run has drawn before this batch.
    pub drawn: u64,
    /// For each augmentation of the recipe: (B, 3, H, W), f32.
    pub views: Vec<Tensor>,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// Token ids of the captions (B, context), where the objective reads them.
    pub tokens: Option<Array2<u32>>,
}

/// A way to learn from images. Everything drawn at random follows from the seed and the numbers of step and image, so
/// that a resumed run draws the same.
pub trait Objective: Send {
    /// What is trained.
    fn parameters(&self) -> &Parameters;

    /// The loss of a batch.
    ///
    /// # Errors
    /// Tensors that do not fit; no memory.
    fn loss(&mut self, batch: &Batch, at: Moment) -> Result<Loss>;

    /// What follows a step of the optimiser: a teacher follows, a centre moves.
    ///
    /// # Errors
    /// No memory.
    fn after_step(&mut self, _at: Moment) -> Result<()> {
        Ok(())
    }

    /// What a later step depends on beside the parameters, by name.
    fn memory(&self) -> BTreeMap<String, Tensor> {
        BTreeMap::new()
    }

    /// Puts back a memory.
    ///
    /// # Errors
    /// A tensor that is missing, named.
    fn remember(&mut self, _memory: &HashMap<String, Tensor>) -> Result<()> {
        Ok(())
    }

    /// The weights that are released, under this crate's names: the encoder's at least.
    ///
    /// # Errors
    /// No memory.
    fn released(&self) -> Result<HashMap<String, Tensor>>;
}

/// Rows `rows` of a (N, ...) tensor, with a gradient.
pub(super) fn rows_of(x: &Tensor, rows: Vec<u32>) -> Result<Tensor> {
    let n = rows.len();
    Ok(x.index_select(&Tensor::from_vec(rows, n, x.device())?, 0)?)
}

/// Numbers of the places that are `true`, counting through all masks: image b's place p is b P + p.
pub(super) fn places(masks: &[Vec<bool>], wanted: bool) -> Vec<u32> {
    let through = masks.iter().flatten().enumerate();
    through.filter(|(_, hidden)| **hidden == wanted).map(|(at, _)| at as u32).collect()
}

/// Masks as numbers, 1 where a patch is hidden: (B, P).
pub(super) fn mask_tensor(masks: &[Vec<bool>], device: &Device) -> Result<Tensor> {
    let values: Vec<f32> = masks.iter().flatten().map(|&hidden| f32::from(u8::from(hidden))).collect();
    Ok(Tensor::from_vec(values, (masks.len(), masks.first().map_or(0, Vec::len)), device)?)
}

/// Rows of length 1, x / sqrt(|x|^2 + 1e-24), with a gradient; a row of zeros stays one.
pub(super) fn unit_rows(x: &Tensor) -> Result<Tensor> {
    let length = (x.sqr()?.sum_keepdim(candle_core::D::Minus1)? + 1e-24)?.sqrt()?;
    Ok(x.broadcast_div(&length)?)
}
