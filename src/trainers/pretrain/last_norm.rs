//! The last norm of a transformer that learned without words, brought to a common scale.
//!
//! An objective that reads tokens through layers of its own, which are thrown away, leaves channels with means far from 0,
//! which all images share: by cosine, all images then look alike. MAE's authors put a batch norm without scale and bias before their linear probe for that reason (He
//! et al. 2022, appendix A). The same is done here once, from training images of the corpus, and folded into scale
//! and bias of the last norm: afterwards each channel of the patch tokens has mean 0 and standard deviation 1 over them.

use super::corpus::{Corpus, SIDE};
use crate::augment::Augmentation;
use crate::error::{Error, Result};
use crate::models::{Mode, Transformer, TransformerConfig};
use crate::random::Random;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::collections::HashMap;

/// Images that means and deviations are taken from.
const IMAGES: usize = 1024;
/// Images that pass through the network together.
const BATCH: usize = 128;
/// Keeps a channel that does not vary from being blown up.
const SMALLEST: f64 = 1e-3;

/// `weights` of a transformer under this crate's names with its last norm standardised.
///
/// # Errors
/// Weights that do not fit `config`; a config without a last norm; channels that are not finite.
pub fn standardised(
    mut weights: HashMap<String, Tensor>,
    config: &TransformerConfig,
    corpus: &Corpus,
    device: &Device,
) -> Result<HashMap<String, Tensor>> {
    let encoder = Transformer::load(config, VarBuilder::from_tensors(weights.clone(), DType::F32, device))?;
    let step = (corpus.train().len() / IMAGES).max(1);
    let rows: Vec<usize> = corpus.train().iter().step_by(step).take(IMAGES).copied().collect();
    let (plain, size, dim) = (Augmentation::plain(config.image_size), config.image_size, config.dim);
    let (mut sums, mut squares, mut n) = (vec![0f64; dim], vec![0f64; dim], 0usize);
    for rows in rows.chunks(BATCH) {
        let length = 3 * size * size;
        let mut views = vec![0f32; rows.len() * length];
        for (row, view) in rows.iter().zip(views.chunks_exact_mut(length)) {
            plain.draw(corpus.image(*row), SIDE, &mut Random::new("plain", 0, 0), view)?;
        }
        let images = Tensor::from_vec(views, (rows.len(), 3, size, size), device)?;
        let tokens = encoder.forward_tokens(&images, Mode::Eval)?;
        let patches = tokens.narrow(1, 1, config.tokens() - 1)?.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
        for token in patches.chunks_exact(dim) {
            n += 1;
            for ((sum, square), value) in sums.iter_mut().zip(&mut squares).zip(token) {
                *sum += f64::from(*value);
                *square += f64::from(*value).powi(2);
            }
        }
    }
    let mut of_norm = |name: &str, change: &dyn Fn(usize, f64) -> f64| -> Result<()> {
        let name = format!("norm.{name}");
        let Some(tensor) = weights.get(&name) else {
            return Err(Error::argument("weights", format!("a tensor {name}"), "none"));
        };
        let values = tensor.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        let values: Vec<f32> = values.iter().enumerate().map(|(i, v)| change(i, f64::from(*v)) as f32).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Error::argument("tokens", "finite numbers", format!("{name} would not be finite")));
        }
        let tensor = Tensor::from_vec(values, dim, device)?;
        weights.insert(name, tensor);
        Ok(())
    };
    let mean = |i: usize| sums[i] / n as f64;
    let deviation = |i: usize| (squares[i] / n as f64 - mean(i).powi(2)).max(0.0).sqrt().max(SMALLEST);
    of_norm("weight", &|i, value| value / deviation(i))?;
    of_norm("bias", &|i, value| (value - mean(i)) / deviation(i))?;
    Ok(weights)
}
