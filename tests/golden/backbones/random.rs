//! Random weights of full-size networks, alive enough that features depend on the image.

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use wider_clip::candle_core;
use wider_clip::models::assemble::Parameter;
use wider_clip::random::Random;
use wider_clip::rayon::prelude::*;

/// Matrices uniform with the deviation 1 / sqrt(inputs), scales around 1, the rest around 0; running variances around
/// 0.45, which makes up for what activations and gates take: with 1 the deepest EfficientNet forgets its image, with 0.4 it
/// blows rounding up.
pub fn random_weights(parameters: &[Parameter]) -> HashMap<String, Tensor> {
    let draw = |(stream, parameter): (usize, &Parameter)| {
        let mut random = Random::new("random weights", 0, stream as u64);
        let n = parameter.shape.iter().product();
        let inputs = parameter.shape.iter().skip(1).product::<usize>().max(1) as f64;
        let spread = if parameter.shape.len() > 1 { 1.7 / inputs.sqrt() } else { 0.1 };
        let centre = match parameter.name.rsplit('.').next() {
            Some("weight" | "gamma") if parameter.shape.len() == 1 => 1.0,
            Some("running_var") => 0.45,
            _ => 0.0,
        };
        let values: Vec<f32> = (0..n).map(|_| (centre + spread * (2.0 * random.unit() - 1.0)) as f32).collect();
        let tensor = Tensor::from_vec(values, parameter.shape.as_slice(), &Device::Cpu).expect("a tensor");
        (parameter.name.clone(), tensor)
    };
    parameters.par_iter().enumerate().map(draw).collect()
}

/// A batch of images (B, 3, S, S), uniform in [-2, 2).
#[allow(dead_code)]
pub fn random_images(batch: usize, size: usize) -> Tensor {
    let mut random = Random::new("random images", 0, 0);
    let values: Vec<f32> = (0..batch * 3 * size * size).map(|_| random.unit() as f32 * 4.0 - 2.0).collect();
    Tensor::from_vec(values, (batch, 3, size, size), &Device::Cpu).expect("a tensor")
}
