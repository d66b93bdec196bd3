//! Reading the goldens of `tests/reference/backbones.py`, and holding a backbone against them.

#![allow(dead_code)]

#[path = "../../support/compare.rs"]
pub mod compare;

use candle_core::{DType, Device, Tensor};
use candle_nn::loss::cross_entropy;
#[allow(unused_imports)]
pub use compare::{absolute, close, distance, norm, relative};
use std::collections::HashMap;
use std::path::Path;
use wider_clip::error::Result;
use wider_clip::models::assemble::{Assembled, assemble};
use wider_clip::models::{Architecture, Mode};
use wider_clip::training::{Adam, Classifier, ClassifierParams, Head};

pub type Tensors = HashMap<String, Tensor>;

/// The files of one model.
pub struct Golden {
    pub name: &'static str,
    /// The state dict under the published names.
    pub weights: Tensors,
    /// Everything expected.
    pub expected: Tensors,
}

impl Golden {
    pub fn read(name: &'static str) -> Golden {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/backbones");
        let file = |kind: &str| folder.join(format!("{name}.{kind}.safetensors"));
        let load = |kind: &str| candle_core::safetensors::load(file(kind), &Device::Cpu);
        let mut expected = load("expected").expect("a golden file");
        if file("gradients").exists() {
            expected.extend(load("gradients").expect("a golden file"));
        }
        Golden { name, weights: load("weights").expect("a golden file"), expected }
    }

    pub fn get(&self, name: &str) -> &Tensor {
        self.expected.get(name).unwrap_or_else(|| panic!("{}: no {name} in the golden file", self.name))
    }

    pub fn assemble(&self, architecture: &Architecture) -> Result<Assembled> {
        assemble(&self.weights, &architecture.parameters(), architecture.schemes(), DType::F32, &Device::Cpu)
    }
}

/// Holds features, loss, every gradient and three steps of Adam against PyTorch's. Returns the published names of the
/// tensors whose true gradient is zero: there both sides hold rounding noise, which Adam would blow up to whole steps.
pub fn holds(golden: &Golden, architecture: &Architecture, pooling: &str) -> Result<Vec<String>> {
    let name = golden.name;
    let assembled = golden.assemble(architecture)?;
    let vb = candle_nn::VarBuilder::from_tensors(assembled.tensors.clone(), DType::F32, &Device::Cpu);
    let images = golden.get("images");
    let frozen = architecture.build(vb)?.forward_features(images)?;
    assert!(frozen.iter().any(|(kind, _)| *kind == pooling), "{name}: no {pooling} among its features");
    for (kind, feature) in &frozen {
        let off = relative(feature, golden.get(&format!("features.{kind}")));
        println!("{name}: {kind} differs by {off:.1e}");
        assert!(off < 1e-4, "{name}: {kind} differs by {off}");
    }
    let dim = golden.get(&format!("features.{pooling}")).dim(1)?;
    let n_classes = golden.get("head.bias").dim(0)?;
    let params = ClassifierParams {
        architecture,
        pooling,
        dim,
        n_classes,
        head: Head::Torch,
        seed: 0,
        layer_decay: 1.0,
        weight_decay: 0.0,
    };
    let model = Classifier::new(&params, &assembled.tensors, &Device::Cpu)?;
    let mut state: Tensors = model.state()?.into_iter().collect();
    state.extend(["head.weight", "head.bias"].map(|name| (name.to_string(), golden.get(name).clone())));
    model.set_state(&state)?;
    assert_eq!(model.backbone().forward_features(images)?.len(), frozen.len(), "{name}");
    for ((kind, trained), (_, feature)) in model.backbone().forward_features(images)?.iter().zip(&frozen) {
        let off = relative(trained, feature);
        assert!(off < 2e-5, "{name}: {kind} of the variables differs from the frozen one by {off}");
    }
    let before = model.state()?;
    let labels = golden.get("labels").to_dtype(DType::U32)?;
    let loss = |model: &Classifier| -> Result<(Tensor, Tensor)> {
        let logits = model.forward(images, Mode::QUIET)?;
        Ok((cross_entropy(&logits, &labels)?, logits))
    };
    let published = |ours: &str| match assembled.published.get(ours) {
        Some(parts) => parts.clone(),
        None => vec![ours.to_string()],
    };
    let mut adam = Adam::new(model.parameters().to_vec())?;
    let mut zero = Vec::new();
    for step in 0..3 {
        let (loss, logits) = loss(&model)?;
        let gradients = loss.backward()?;
        if step == 0 {
            let off = relative(&logits, golden.get("logits"));
            assert!(off < 1e-4, "{name}: logits differ by {off}");
            let off = (loss.to_scalar::<f32>()? - golden.get("loss").to_scalar::<f32>()?).abs();
            assert!(off < 1e-4, "{name}: loss differs by {off}");
            let mut seen = 0;
            let mut worst = (0.0, String::new());
            for parameter in model.parameters() {
                let gradient = gradients.get(&parameter.var);
                let gradient = gradient.unwrap_or_else(|| panic!("{name}: {} has no gradient", parameter.name));
                for (part, gradient) in split(gradient, &published(&parameter.name), golden, "grad")? {
                    let expected = golden.get(&format!("grad.{part}"));
                    seen += 1;
                    // Rounding alone, measured against the largest gradients of the network.
                    if norm(expected) < 1e-5 {
                        assert!(norm(&gradient) < 1e-5, "{name}: {part} should have no gradient");
                        zero.push(part);
                        continue;
                    }
                    let off = distance(&gradient, expected);
                    if off > worst.0 {
                        worst = (off, part.clone());
                    }
                    assert!(off < 1e-3, "{name}: gradient of {part} differs by {off}");
                }
            }
            println!("{name}: {seen} gradients, the worst differs by {:.1e} ({})", worst.0, worst.1);
            let wanted = golden.expected.keys().filter(|name| name.starts_with("grad.")).count();
            assert_eq!(seen, wanted, "{name}: every trainable tensor of PyTorch's has a gradient");
        }
        adam.step(&gradients, 1e-3)?;
    }
    let mut worst = (0.0, String::new());
    for parameter in model.parameters() {
        let moved = (parameter.var.as_tensor() - &before[&parameter.name])?;
        for (part, moved) in split(&moved, &published(&parameter.name), golden, "adam")? {
            if zero.contains(&part) {
                continue;
            }
            let (moved, expected) = without_key_bias(&part, &moved, golden.get(&format!("adam.{part}")))?;
            let off = distance(&moved, &expected);
            if off > worst.0 {
                worst = (off, part.clone());
            }
            assert!(off < 1e-3, "{name}: three steps of {part} differ by {off}");
        }
    }
    println!("{name}: three steps of Adam, the worst differs by {:.1e} ({})", worst.0, worst.1);
    zero.sort();
    Ok(zero)
}

/// Rows of one of our tensors as the published tensors they came from, each in its published shape.
pub fn split(ours: &Tensor, parts: &[String], golden: &Golden, kind: &str) -> Result<Vec<(String, Tensor)>> {
    let mut from = 0;
    let mut out = Vec::new();
    for part in parts {
        let shape = golden.get(&format!("{kind}.{part}")).dims().to_vec();
        let n_rows = shape.first().copied().unwrap_or(1);
        let rows = if parts.len() == 1 { ours.clone() } else { ours.narrow(0, from, n_rows)? };
        from += n_rows;
        out.push((part.clone(), rows.contiguous()?.reshape(shape)?));
    }
    Ok(out)
}

/// The bias of packed queries, keys and values without the keys' third, whose true gradient is zero.
fn without_key_bias(part: &str, a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    if !(part.ends_with("qkv.bias") || part.ends_with("in_proj_bias")) {
        return Ok((a.clone(), b.clone()));
    }
    let third = a.dim(0)? / 3;
    let without = |t: &Tensor| Tensor::cat(&[t.narrow(0, 0, third)?, t.narrow(0, 2 * third, third)?], 0);
    Ok((without(a)?, without(b)?))
}
