//! The device against the processor, which `cargo test` holds against PyTorch: depthwise convolutions at the sizes of the
//! networks, and features and gradients of a small model of each family with random weights.

use crate::Rows;
use crate::caught;
use crate::compare::{distance, norm, relative};
use crate::random::{random_images, random_weights};
use std::collections::HashMap;
use wider_clip::candle_core::{DType, Device, Tensor, Var};
use wider_clip::candle_nn::{VarBuilder, loss::cross_entropy};
use wider_clip::error::{Error, Result};
use wider_clip::models::{Architecture, ConvNeXtConfig, EfficientNetConfig, Mode, TransformerConfig, allow_tf32};
use wider_clip::ops::{Padding, depthwise_conv2d_nhwc};
use wider_clip::random::Random;
use wider_clip::training::{Classifier, ClassifierParams, Head};

pub const PASS: &str = "PASS";
pub const FAIL: &str = "FAIL";
pub const FAMILIES: [&str; 5] = ["clip", "vit", "beit", "convnext", "efficientnet"];

/// A case as a row: what, error, bound, verdict, and why where there is no error to tell.
fn row(case: String, bound: f64, work: impl FnOnce() -> Result<f64>) -> Vec<String> {
    let (error, verdict, why) = match caught(work) {
        Ok(off) => (format!("{off:.1e}"), if off < bound { PASS } else { FAIL }, String::new()),
        Err(reason) => ("none".into(), FAIL, reason),
    };
    vec![case, error, format!("{bound:.0e}"), verdict.into(), why]
}

/// Back on the processor in f32.
fn home(t: &Tensor) -> Result<Tensor> {
    Ok(t.to_dtype(DType::F32)?.to_device(&Device::Cpu)?)
}

/// Types that the device computes in, with what the convolution's largest error may be over the largest value.
fn types(device: &Device) -> Vec<(&'static str, DType, f64)> {
    let all = vec![("f32", DType::F32, 2e-5), ("f16", DType::F16, 5e-3), ("bf16", DType::BF16, 3e-2)];
    all.into_iter().take(if device.is_cpu() { 1 } else { 3 }).collect()
}

/// Network, channels, side, kernel, stride.
const CONVOLUTIONS: [(&str, usize, usize, usize, usize); 5] = [
    ("ConvNeXt-B, stage 1", 128, 56, 7, 1),
    ("ConvNeXt-B, stage 4", 1024, 7, 7, 1),
    ("EfficientNet-B2", 144, 56, 3, 1),
    ("EfficientNet-B2", 96, 112, 3, 2),
    ("EfficientNet-B2", 288, 28, 5, 2),
];

/// Values and both gradients of each convolution, in each type, on values that the type holds.
pub fn depthwise(device: &Device, quick: bool) -> Result<Rows> {
    let mut rows = Rows::new();
    for (network, channels, side, kernel, stride) in CONVOLUTIONS {
        let (batch, channels, side) = if quick { (2, channels / 8, side / 4 + 4) } else { (8, channels, side) };
        let drawn = |purpose: &str, shape: &[usize]| -> Result<Tensor> {
            let mut random = Random::new(purpose, 0, 0);
            let values = (0..shape.iter().product()).map(|_| (random.unit() * 2.0 - 1.0) as f32).collect::<Vec<_>>();
            Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
        };
        let out = side.div_ceil(stride);
        let [x, w, g] = [
            drawn("x", &[batch, side, side, channels])?,
            drawn("w", &[channels, 1, kernel, kernel])?,
            drawn("g", &[batch, out, out, channels])?,
        ];
        for (name, dtype, bound) in types(device) {
            let on = |device: &Device, computed: DType| -> Result<[Tensor; 3]> {
                let there = |t: &Tensor| t.to_dtype(dtype)?.to_dtype(computed)?.to_device(device);
                let (x, w) = (Var::from_tensor(&there(&x)?)?, Var::from_tensor(&there(&w)?)?);
                let y = depthwise_conv2d_nhwc(&x, &w, stride, Padding::symmetric(kernel / 2))?;
                let gradients = (&y * there(&g)?)?.sum_all()?.backward()?;
                let none = || Error::argument("depthwise convolution", "a gradient", "none");
                let gradient = |var: &Var| home(gradients.get(var).ok_or_else(none)?);
                Ok([home(&y.detach())?, gradient(&x)?, gradient(&w)?])
            };
            let expected = on(&Device::Cpu, DType::F32)?;
            let found = caught(|| on(device, dtype));
            for (i, what) in ["values", "gradient of x", "gradient of w"].into_iter().enumerate() {
                let case = format!("depthwise {kernel}x{kernel} by {stride} ({network}), {name}: {what}");
                rows.push(row(case, bound, || match &found {
                    Ok(found) => Ok(relative(&found[i], &expected[i]).relative),
                    Err(reason) => Err(Error::argument("depthwise convolution", "values", reason.as_str())),
                }));
            }
        }
    }
    Ok(rows)
}

/// A small model of the family, its pooling, and the side of its images.
fn model(family: &str) -> Result<(Architecture, &'static str, usize)> {
    let small = |config| {
        let config =
            TransformerConfig { image_size: 64, patch: 16, dim: 128, depth: 4, heads: 4, hidden: 512, ..config };
        Architecture::Transformer(config)
    };
    let convnext = ConvNeXtConfig { depths: [1, 1, 2, 1], dims: [32, 64, 96, 128], ..ConvNeXtConfig::tiny() };
    let efficientnet = EfficientNetConfig { width: 0.5, depth: 0.5, ..EfficientNetConfig::b(0)? };
    match family {
        "clip" => Ok((small(TransformerConfig::clip_vit_b32()), "cls", 64)),
        "vit" => Ok((small(TransformerConfig::vit_b16()), "cls", 64)),
        "beit" => Ok((small(TransformerConfig::beit_b16()), "token_mean", 64)),
        "convnext" => Ok((Architecture::ConvNeXt(convnext), "avg", 96)),
        "efficientnet" => Ok((Architecture::EfficientNet(efficientnet), "avg", 96)),
        _ => Err(Error::argument("family", FAMILIES.join(", "), family)),
    }
}

/// How it is computed, and what features and gradients may be off.
const ARITHMETIC: [(&str, DType, bool, f64, f64); 3] = [
    ("f32", DType::F32, false, 1e-4, 1e-3),
    ("f32, TF32 allowed", DType::F32, true, 5e-3, 3e-2),
    ("bf16", DType::BF16, false, 4e-2, 3e-1),
];

/// Features by their largest error over the largest value; of gradients the worst tensor's distance over its length,
/// among those with a hundredth of the whole gradient's length.
pub fn family(name: &str, device: &Device) -> Result<Rows> {
    let (architecture, pooling, size) = model(name)?;
    let mut weights = random_weights(&architecture.parameters());
    // With the variances that suit whole networks this small one would have nearly the same features for every image.
    for (_, variance) in weights.iter_mut().filter(|(name, _)| name.ends_with("running_var")) {
        *variance = (&*variance * 0.85)?;
    }
    let images = random_images(8, size);
    let at_home = features(&architecture, pooling, &weights, &images, DType::F32, &Device::Cpu)?;
    let dim = at_home.dim(1)?;
    let here = gradients(&architecture, (pooling, dim), &weights, &images, DType::F32, &Device::Cpu)?;
    let all = here.values().map(norm).map(|n| n * n).sum::<f64>().sqrt();
    let mut rows = Rows::new();
    for (how, dtype, tf32, bound, of_gradients) in ARITHMETIC {
        if device.is_cpu() && (tf32 || dtype != DType::F32) {
            continue;
        }
        // PyTorch's own bf16 is off by 0.04 in such an EfficientNet, and by 0.01 in the others.
        let bound = if name == "efficientnet" && (tf32 || dtype != DType::F32) { 3.0 * bound } else { bound };
        allow_tf32(tf32);
        rows.push(row(format!("{name}, {how}: features"), bound, || {
            let found = features(&architecture, pooling, &weights, &images, dtype, device)?;
            Ok(relative(&found, &at_home).relative)
        }));
        // A model whose batch normalisation is trained stays f32 (`Classifier::in_precision`).
        if name == "efficientnet" && dtype != DType::F32 {
            continue;
        }
        rows.push(row(format!("{name}, {how}: gradients"), of_gradients, || {
            let there = gradients(&architecture, (pooling, dim), &weights, &images, dtype, device)?;
            let mut worst = 0f64;
            for (part, expected) in &here {
                let none = || Error::argument("gradients", format!("one of {part}"), "none");
                let found = there.get(part).ok_or_else(none)?;
                let off = distance(found, expected);
                if norm(expected) >= 0.01 * all {
                    worst = worst.max(off);
                }
            }
            Ok(worst)
        }));
    }
    allow_tf32(false);
    Ok(rows)
}

type Tensors = HashMap<String, Tensor>;

fn features(
    architecture: &Architecture,
    pooling: &str,
    weights: &Tensors,
    images: &Tensor,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let there = |(name, t): (&String, &Tensor)| Ok((name.clone(), t.to_device(device)?.to_dtype(dtype)?));
    let weights = weights.iter().map(there).collect::<Result<_>>()?;
    let model = architecture.build(VarBuilder::from_tensors(weights, dtype, device))?;
    let all = model.forward_features(&images.to_device(device)?)?;
    let found = all.iter().find(|(name, _)| *name == pooling);
    home(&found.ok_or_else(|| Error::argument("features", pooling, "none of this name"))?.1)
}

fn gradients(
    architecture: &Architecture,
    (pooling, dim): (&str, usize),
    weights: &Tensors,
    images: &Tensor,
    dtype: DType,
    device: &Device,
) -> Result<Tensors> {
    let params = ClassifierParams {
        architecture,
        pooling,
        dim,
        n_classes: 4,
        head: Head::Torch,
        seed: 0,
        layer_decay: 1.0,
        weight_decay: 0.0,
    };
    let model = Classifier::new(&params, weights, device)?.in_precision(dtype)?;
    let labels: Vec<u32> = (0..images.dim(0)? as u32).map(|i| i % 4).collect();
    let logits = model.forward(&images.to_device(device)?, Mode::QUIET)?;
    let gradients = cross_entropy(&logits, &Tensor::new(labels, device)?)?.backward()?;
    let mut all = Tensors::new();
    for parameter in model.parameters() {
        if let Some(gradient) = gradients.get(&parameter.var) {
            all.insert(parameter.name.clone(), home(gradient)?);
        }
    }
    Ok(all)
}
