//! The weights that training from nothing starts with. All draws are cut at two deviations.
//!
//! Transformers begin as MAE's do (He et al. 2022): matrices with Glorot's deviation sqrt(2 / (inputs + outputs)), the class
//! token with 0.02, positions as sines and cosines of row and column, here learned from there on and of amplitude 0.2,
//! the order of the patches' embeddings. A fixed deviation of 0.02, which [`transformer::random_weights`] has, belongs to
//! widths of 768 and more: a supervised ViT of 128 numbers had 4.6% of a held-out set's nearest neighbours right with
//! it and 7.0% with these, after 77,000 images. ConvNeXt's weights have a deviation of 0.02, as its authors' code,
//! EfficientNet's convolutions He's sqrt(2 / outputs of a channel), as Tan and Le. Biases are 0, scales of norms 1,
//! ConvNeXt's layer scales 1e-6.

use super::Architecture;
#[cfg(doc)]
use super::transformer;
use crate::error::{Error, Result};
use crate::random::{Random, truncated_normal};
use candle_core::{Device, Tensor};
use std::collections::HashMap;

/// Draws all parameters and statistics of `architecture` under this crate's names. The same `seed` gives the same values
/// on every machine.
///
/// ```
/// use candle_core::Device;
/// use wider_clip::models::{Architecture, initial_weights};
///
/// let weights = initial_weights(&Architecture::named("convnext_pocket_tiny")?, 0, &Device::Cpu)?;
/// assert_eq!(weights["stem.0.weight"].dims(), [16, 3, 4, 4]);
/// assert_eq!(weights["stages.0.blocks.0.gamma"].to_vec1::<f32>()?, [1e-6; 16]);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for an architecture without weights.
pub fn initial_weights(architecture: &Architecture, seed: u64, device: &Device) -> Result<HashMap<String, Tensor>> {
    if let Architecture::Pixels(_) = architecture {
        return Err(Error::argument("architecture", "one with weights", "pixels"));
    }
    let mut tensors = HashMap::new();
    for (stream, parameter) in architecture.parameters().into_iter().enumerate() {
        let (name, shape) = (parameter.name, parameter.shape);
        let n = shape.iter().product();
        let values = if name.ends_with("gamma") {
            vec![1e-6; n]
        } else if name.ends_with("bias") || name.ends_with("running_mean") {
            vec![0.0; n]
        } else if shape.len() == 1 {
            vec![1.0; n]
        } else if let (Architecture::Transformer(config), "pos_embed") = (architecture, name.as_str()) {
            [vec![0.0; config.dim], sines(config.grid(), config.dim)].concat()
        } else {
            let deviation = match architecture {
                Architecture::Transformer(_) if name != "cls_token" => glorot(&shape),
                // A depthwise kernel (O, 1, k, k) has an output channel of its own for each input channel.
                Architecture::EfficientNet(_) if shape.get(1) == Some(&1) => (2.0 * shape[0] as f64 / n as f64).sqrt(),
                Architecture::EfficientNet(_) => (2.0 * shape[1] as f64 / n as f64).sqrt(),
                _ => 0.02,
            };
            truncated_normal(&mut Random::new("initial weights", seed, stream as u64), n, deviation)
        };
        tensors.insert(name, Tensor::from_vec(values, shape, device)?);
    }
    Ok(tensors)
}

/// Glorot's deviation for a matrix (outputs, inputs, ...), sqrt(2 / (inputs + outputs)) (Glorot and Bengio 2010).
pub fn glorot(shape: &[usize]) -> f64 {
    let inputs: usize = shape[1..].iter().product();
    (2.0 / (inputs + shape[0]) as f64).sqrt()
}

/// Positions of `side` x `side` patches as sines and cosines, (side^2, dim) row by row: a quarter of the numbers each for
/// sine and cosine of the row, sine and cosine of the column, wavelengths from 2 pi to 10,000 times that (Vaswani et al.
/// 2017, in two dimensions as MAE has it), of amplitude 0.2. What `dim` has beyond a multiple of four is 0.
pub fn sines(side: usize, dim: usize) -> Vec<f32> {
    const AMPLITUDE: f64 = 0.2;
    let quarter = dim / 4;
    let mut values = Vec::with_capacity(side * side * dim);
    for place in 0..side * side {
        for at in [place / side, place % side] {
            let angle = |i: usize| at as f64 / 10_000f64.powf(i as f64 / quarter as f64);
            values.extend((0..quarter).map(|i| (AMPLITUDE * angle(i).sin()) as f32));
            values.extend((0..quarter).map(|i| (AMPLITUDE * angle(i).cos()) as f32));
        }
        values.extend(std::iter::repeat_n(0.0, dim - 4 * quarter));
    }
    values
}
