//! What needs a CUDA device. Without one each test says so and passes; [`launches`] brings its own.

#[cfg(target_os = "linux")]
mod launches;

use super::cases;
use super::golden::{Golden, distance, norm, relative};
use super::require::require;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use candle_nn::loss::cross_entropy;
use wider_clip::error::Result;
use wider_clip::models::assemble::assemble;
use wider_clip::models::transformer::TransformerConfig;
use wider_clip::models::{Architecture, ConvNeXtConfig, EfficientNetConfig, Mode, best_device};
use wider_clip::ops::{Activation, Padding, depthwise_conv2d_nhwc, depthwise_conv2d_nhwc_act};
use wider_clip::training::{Classifier, ClassifierParams, Head};

#[track_caller]
fn device() -> Result<Option<Device>> {
    if !require("cuda") {
        return Ok(None);
    }
    best_device().map(Some)
}

/// Back on the processor in f32.
fn home(t: &Tensor) -> Result<Tensor> {
    Ok(t.to_dtype(DType::F32)?.to_device(&Device::Cpu)?)
}

#[test]
fn depthwise_convolution_and_its_gradients_equal_pytorch() -> Result<()> {
    let Some(device) = device()? else { return Ok(()) };
    for case in cases()? {
        let c = &case.convolution;
        let padding = Padding { top: c.top, bottom: case.bottom, left: c.left, right: case.right };
        for (dtype, allowed) in [(DType::F32, 1e-5), (DType::F16, 5e-3), (DType::BF16, 3e-2)] {
            let there = |part: &str| case.tensors[part].to_device(&device)?.to_dtype(dtype);
            let (x, w) = (Var::from_tensor(&there("x")?)?, Var::from_tensor(&there("w")?)?);
            let y = depthwise_conv2d_nhwc(&x, &w, c.stride, padding)?;
            let gradients = (&y * there("g")?)?.sum_all()?.backward()?;
            let gradient = |var: &Var| gradients.get(var).expect("a variable").clone();
            for (what, found) in [("y", y), ("gx", gradient(&x)), ("gw", gradient(&w))] {
                assert_eq!(found.dtype(), dtype);
                let off = relative(&home(&found)?, &case.tensors[what]);
                assert!(off < allowed, "{} in {dtype:?}: {what} differs by {off}", case.name);
            }
        }
    }
    Ok(())
}

#[test]
fn bias_and_activation_equal_the_processors() -> Result<()> {
    let Some(device) = device()? else { return Ok(()) };
    let all = [
        Activation::Identity,
        Activation::Relu6,
        Activation::Silu,
        Activation::Gelu,
        Activation::QuickGelu,
        Activation::Sigmoid,
    ];
    for case in cases()? {
        let c = &case.convolution;
        let padding = Padding { top: c.top, bottom: case.bottom, left: c.left, right: case.right };
        let b = (Tensor::arange(0f32, c.channels as f32, &Device::Cpu)? * 0.25)?;
        for activation in all {
            let on = |device: &Device| -> Result<Tensor> {
                let [x, w, b] = [&case.tensors["x"], &case.tensors["w"], &b].map(|t| t.to_device(device));
                depthwise_conv2d_nhwc_act(&x?, &w?, &b?, c.stride, padding, activation)
            };
            let off = relative(&home(&on(&device)?)?, &on(&Device::Cpu)?);
            assert!(off < 1e-5, "{}, {activation:?}: differs by {off}", case.name);
        }
    }
    Ok(())
}

/// Name of the golden, the architecture in its size, pooling.
fn models() -> Result<Vec<(&'static str, Architecture, &'static str)>> {
    let transformers = [
        ("clip", TransformerConfig::clip_vit_b32()),
        ("vit", TransformerConfig::vit_b16()),
        ("dino", TransformerConfig::dino_b16()),
        ("mae", TransformerConfig::mae_b16()),
        ("beit", TransformerConfig::beit_b16()),
        ("data2vec", TransformerConfig::data2vec_b16()),
    ];
    let small =
        |config| TransformerConfig { image_size: 24, patch: 8, dim: 32, depth: 2, heads: 4, hidden: 64, ..config };
    let transformer = |(name, config)| (name, Architecture::Transformer(small(config)), "cls");
    let convnext = ConvNeXtConfig { depths: [1, 1, 2, 1], dims: [8, 16, 24, 32], ..ConvNeXtConfig::tiny() };
    let efficientnet = EfficientNetConfig { width: 0.05, depth: 0.5, ..EfficientNetConfig::b(0)? };
    let convnets = [
        ("convnext", Architecture::ConvNeXt(convnext), "avg"),
        ("efficientnet", Architecture::EfficientNet(efficientnet), "avg"),
    ];
    Ok(transformers.into_iter().map(transformer).chain(convnets).collect())
}

/// The smallest cosine of a row of `a` with the same row of `b`.
fn cosine(a: &Tensor, b: &Tensor) -> Result<f32> {
    let dot = |a: &Tensor, b: &Tensor| (a * b)?.sum(1);
    let cosines = (dot(a, b)? / (dot(a, a)? * dot(b, b)?)?.sqrt()?)?;
    Ok(cosines.min(0)?.to_scalar::<f32>()?)
}

#[test]
fn features_equal_pytorch() -> Result<()> {
    let Some(device) = device()? else { return Ok(()) };
    for (name, architecture, _) in models()? {
        let golden = Golden::read(name);
        // The shrunken EfficientNet has few channels to average over: PyTorch's own cosine in bf16 is 0.995.
        let least = if name == "efficientnet" { 0.98 } else { 0.999 };
        for dtype in [DType::F32, DType::BF16] {
            let (parameters, schemes) = (architecture.parameters(), architecture.schemes());
            let weights = assemble(&golden.weights, &parameters, schemes, dtype, &device)?.tensors;
            let model = architecture.build(VarBuilder::from_tensors(weights, dtype, &device))?;
            let images = golden.get("images").to_device(&device)?;
            for (kind, feature) in model.forward_features(&images)? {
                let (feature, expected) = (home(&feature)?, golden.get(&format!("features.{kind}")));
                let (off, cosine) = (relative(&feature, expected), cosine(&feature, expected)?);
                println!("{name} in {dtype:?}: {kind} differs by {off:.1e}, cosine {cosine}");
                assert!(dtype != DType::F32 || off < 1e-4, "{name}: {kind} differs by {off}");
                assert!(cosine >= least, "{name} in {dtype:?}: cosine of {kind} is {cosine}");
            }
        }
    }
    Ok(())
}

#[test]
fn gradients_equal_the_processors() -> Result<()> {
    let Some(device) = device()? else { return Ok(()) };
    for (name, architecture, pooling) in models()? {
        let golden = Golden::read(name);
        let dim = golden.get(&format!("features.{pooling}")).dim(1)?;
        let (images, labels) = (golden.get("images"), golden.get("labels").to_dtype(DType::U32)?);
        let on = |device: &Device| -> Result<Vec<(String, Tensor)>> {
            let (parameters, schemes) = (architecture.parameters(), architecture.schemes());
            let weights = assemble(&golden.weights, &parameters, schemes, DType::F32, device)?.tensors;
            let params = ClassifierParams {
                architecture: &architecture,
                pooling,
                dim,
                n_classes: golden.get("head.bias").dim(0)?,
                head: Head::Torch,
                seed: 0,
                layer_decay: 1.0,
                weight_decay: 0.0,
            };
            let model = Classifier::new(&params, &weights, device)?;
            let logits = model.forward(&images.to_device(device)?, Mode::QUIET)?;
            let gradients = cross_entropy(&logits, &labels.to_device(device)?)?.backward()?;
            let mut all = Vec::new();
            for parameter in model.parameters() {
                if let Some(gradient) = gradients.get(&parameter.var) {
                    all.push((parameter.name.clone(), home(gradient)?));
                }
            }
            Ok(all)
        };
        let (there, here) = (on(&device)?, on(&Device::Cpu)?);
        assert_eq!(there.len(), here.len(), "{name}: variables with a gradient");
        for ((part, found), (_, expected)) in there.iter().zip(&here) {
            // A bias of the keys has none but rounding.
            let off = if norm(expected) < 1e-5 { norm(found) } else { distance(found, expected) };
            assert!(off < 1e-3, "{name}: gradient of {part} differs by {off}");
        }
    }
    Ok(())
}
