//! EfficientNet against PyTorch: features and logits of the embedded weights, of a shrunken B0, and photographs.
//!
//! The golden files were written by `tests/reference/efficientnet_lite0.py` from the same (f16) weights.

#[path = "support/compare.rs"]
mod compare;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use compare::relative;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use wider_clip::error::Result;
use wider_clip::images::{self, Interpolation, Preprocess, ResizeMode};
use wider_clip::models::{Backbone, EfficientNet, EfficientNetConfig, Mode, WeightFile};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn golden(name: &str) -> HashMap<String, Tensor> {
    let path = repository("tests/golden/efficientnet").join(name);
    candle_core::safetensors::load(path, &Device::Cpu).expect("the golden file is part of the repository")
}

fn lite0() -> Result<EfficientNet> {
    let weights = repository("data_manifests/embedded/efficientnet_lite0.in1k.safetensors");
    let file = WeightFile::open(&weights)?;
    let wide = |name: &str| Ok((name.to_string(), file.get(name, &Device::Cpu)?.to_dtype(DType::F32)?));
    let tensors = file.names().map(wide).collect::<Result<_>>()?;
    EfficientNet::load(&EfficientNetConfig::lite(0)?, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
}

/// ((7 c + 3 y + 5 x) mod 64) / 32 - 1, as the reference script draws it.
fn ramp(size: usize) -> Result<Tensor> {
    let value = |i: usize| {
        let (c, y, x) = (i / (size * size), i / size % size, i % size);
        ((7 * c + 3 * y + 5 * x) % 64) as f32 / 32.0 - 1.0
    };
    let values: Vec<f32> = (0..3 * size * size).map(value).collect();
    Ok(Tensor::from_vec(values, (1, 3, size, size), &Device::Cpu)?)
}

#[test]
fn lite0_equals_pytorch() -> Result<()> {
    let (model, golden) = (lite0()?, golden("lite0.safetensors"));
    for name in ["tiny", "odd", "small", "ramp224"] {
        let images = match golden.get(&format!("{name}.images")) {
            Some(images) => images.to_dtype(DType::F32)?,
            None => ramp(224)?,
        };
        let features = relative(&model.forward_pooled(&images, Mode::Eval)?, &golden[&format!("{name}.features")]);
        let logits = relative(&model.forward_logits(&images)?, &golden[&format!("{name}.logits")]);
        println!("{name}: features differ by {features:.1e}, logits by {logits:.1e} of the largest");
        assert!(features < 1e-4 && logits < 1e-4, "{name}: features {features}, logits {logits}");
    }
    Ok(())
}

#[test]
fn the_b_family_equals_pytorch() -> Result<()> {
    // A B0 of a tenth of the width and half the depth: squeeze-and-excite, SiLU, symmetric padding, epsilon 1e-5.
    let golden = golden("b0_shrunken.safetensors");
    let config = EfficientNetConfig { width: 0.1, depth: 0.5, ..EfficientNetConfig::b(0)? };
    let strip = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix("weights.")?.to_string(), tensor.clone()));
    let weights: HashMap<String, Tensor> = golden.iter().filter_map(strip).collect();
    let model = EfficientNet::load(&config, VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu))?;
    let images = golden["images"].to_dtype(DType::F32)?;
    let features = relative(&model.forward_pooled(&images, Mode::Eval)?, &golden["features"]);
    let logits = relative(&model.forward_logits(&images)?, &golden["logits"]);
    println!("features differ by {features:.1e}, logits by {logits:.1e} of the largest");
    assert!(features < 1e-4 && logits < 1e-4, "features {features}, logits {logits}");
    Ok(())
}

/// EfficientNet-Lite0's record: shorter side to 256, crop of 224, (pixel - 127) / 128.
fn preprocess() -> Preprocess {
    Preprocess {
        size: 224,
        crop_pct: 0.875,
        resize: ResizeMode::Shorter,
        interpolation: Interpolation::Bicubic,
        mean: [127.0 / 255.0; 3],
        std: [128.0 / 255.0; 3],
    }
}

#[test]
fn photographs_get_their_class() -> Result<()> {
    let (model, preprocess) = (lite0()?, preprocess());
    let rows = repository("tests/golden/efficientnet/photos.json");
    let rows = std::fs::read(rows).expect("part of the repository");
    let rows: serde_json::Value = serde_json::from_slice(&rows).expect("valid JSON");
    for name in ["chelsea", "coffee", "china"] {
        let row = rows.as_array().and_then(|rows| rows.iter().find(|r| r["photo"] == name)).expect("a row a photo");
        let path = repository("tests/golden/photos").join(format!("{name}.jpg"));
        let image = images::decode(name, &std::fs::read(path).expect("part of the repository"))?;
        let pixels = Tensor::from_vec(preprocess.apply(&image)?, (1, 3, 224, 224), &Device::Cpu)?;
        let logits = model.forward_logits(&pixels)?.squeeze(0)?.to_vec1::<f32>()?;
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let classes = |key: &str| -> Vec<usize> {
            let listed = row[key].as_array().into_iter().flatten();
            listed.filter_map(|v| v.as_u64()).map(|v| v as usize).collect()
        };
        assert!(classes("right").contains(&order[0]), "{name}: class {}", order[0]);
        assert_eq!(order[0], classes("top5")[0], "{name}: PyTorch's first class");
        let theirs = row["top5_logits"][0].as_f64().expect("a number") as f32;
        let difference = (logits[order[0]] - theirs).abs();
        println!("{name}: class {}, logit {} against {theirs}", order[0], logits[order[0]]);
        assert!(difference < 0.1, "{name}: JPEG decoders may differ by a few grey levels, not by {difference}");
    }
    Ok(())
}

#[test]
fn class_names_are_in_order() {
    let names = repository("data_manifests/embedded/imagenet_classes.txt");
    let names = std::fs::read_to_string(names).expect("part of the repository");
    let names: Vec<&str> = names.lines().collect();
    assert_eq!(names.len(), 1000);
    assert_eq!((names[0], names[282], names[967], names[999]), ("tench", "tiger cat", "espresso", "toilet tissue"));
}

#[test]
fn scaling_follows_the_paper() -> Result<()> {
    for (variant, dim) in [1280, 1280, 1408, 1536, 1792, 2048, 2304, 2560].into_iter().enumerate() {
        assert_eq!(EfficientNetConfig::b(variant)?.feature_dim(), dim, "B{variant}");
    }
    assert_eq!(EfficientNetConfig::lite(4)?.feature_dim(), 1280);
    assert!(EfficientNetConfig::b(8).is_err() && EfficientNetConfig::lite(5).is_err());
    Ok(())
}

#[test]
fn a_missing_weight_is_named() -> Result<()> {
    let weights = VarBuilder::from_tensors(HashMap::new(), DType::F32, &Device::Cpu);
    let error = EfficientNet::load(&EfficientNetConfig::lite(0)?, weights).err().expect("nothing to load").chain();
    assert!(error.contains("EfficientNet weights") && error.contains("conv_stem"), "{error}");
    let broken = repository("tests/golden/photos/coffee.jpg");
    let error = WeightFile::open(&broken).err().expect("not a safetensors file").to_string();
    assert!(error.contains("safetensors") && error.contains("coffee.jpg"), "{error}");
    Ok(())
}

#[test]
fn features_carry_no_graph() -> Result<()> {
    let images = candle_core::Var::zeros((1, 3, 32, 32), DType::F32, &Device::Cpu)?;
    let features = lite0()?.forward_features(&images)?.remove(0).1;
    assert!(features.sum_all()?.backward()?.get(&images).is_none());
    Ok(())
}
