//! Single operations at the sizes that the networks have at 224 pixels, to see which of them falls short. `twin.py` has the
//! same under the same names.

use crate::{Rows, speed};
use wider_clip::candle_core::{DType, Device, Tensor};
use wider_clip::error::{Error, Result};
use wider_clip::ops::{
    Activation, Heads, Padding, Weight, attention, depthwise_conv2d_nhwc_act, layer_norm, linear_act, mean_pixels,
    patches, residual, scale_channels,
};

/// Seconds of the operation.
pub fn measured(name: &str, batch: usize, dtype: DType, budget: f64, device: &Device) -> Result<Rows> {
    let drawn =
        |shape: &[usize]| -> Result<Tensor> { Ok(Tensor::rand(-0.1f32, 0.1f32, shape, device)?.to_dtype(dtype)?) };
    let fully = |tokens: usize, inputs: usize, outputs: usize, activation: Activation| -> Result<f64> {
        let (x, w, b) =
            (drawn(&[batch, tokens, inputs])?, Weight::new(&drawn(&[outputs, inputs])?)?, drawn(&[outputs])?);
        speed::seconds(device, budget, || linear_act(&x, &w, &b, activation).map(drop))
    };
    let depthwise =
        |side: usize, channels: usize, kernel: usize, stride: usize, activation: Activation| -> Result<f64> {
            let (x, w, b) =
                (drawn(&[batch, side, side, channels])?, drawn(&[channels, 1, kernel, kernel])?, drawn(&[channels])?);
            let padding = Padding::symmetric(kernel / 2);
            speed::seconds(device, budget, || {
                depthwise_conv2d_nhwc_act(&x, &w, &b, stride, padding, activation).map(drop)
            })
        };
    let taken = match name {
        "linear" => fully(197, 3072, 768, Activation::Identity)?,
        "linear_gelu" => fully(197, 768, 3072, Activation::Gelu)?,
        "linear_gelu_convnext" => fully(56 * 56, 128, 512, Activation::Gelu)?,
        "attention" => {
            let qkv = drawn(&[batch, 197, 3 * 768])?;
            speed::seconds(device, budget, || attention(&qkv, Heads { n: 12, causal: false }, None).map(drop))?
        }
        "layer_norm" => {
            let (x, w, b) = (drawn(&[batch, 197, 768])?, drawn(&[768])?, drawn(&[768])?);
            speed::seconds(device, budget, || layer_norm(&x, &w, &b, 1e-6).map(drop))?
        }
        "residual_scaled" => {
            let (x, y, gamma) = (drawn(&[batch, 3136, 128])?, drawn(&[batch, 3136, 128])?, drawn(&[128])?);
            speed::seconds(device, budget, || residual(&x, &y, Some(&gamma)).map(drop))?
        }
        "patches" => {
            let (x, w, b) = (drawn(&[batch, 3, 224, 224])?, Weight::new(&drawn(&[768, 3, 16, 16])?)?, drawn(&[768])?);
            speed::seconds(device, budget, || linear_act(&patches(&x, 16)?, &w, &b, Activation::Identity).map(drop))?
        }
        "depthwise_7x7" => depthwise(56, 128, 7, 1, Activation::Identity)?,
        "depthwise_3x3_silu" => depthwise(56, 144, 3, 1, Activation::Silu)?,
        "depthwise_5x5_by_2_silu" => depthwise(28, 288, 5, 2, Activation::Silu)?,
        "squeeze" => {
            let x = drawn(&[batch, 28, 28, 288])?;
            speed::seconds(device, budget, || scale_channels(&x, &mean_pixels(&x)?).map(drop))?
        }
        _ => return Err(Error::argument("operation", "one that this file names", name)),
    };
    Ok(vec![vec![taken.to_string()]])
}
