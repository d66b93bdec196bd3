//! Depthwise convolution: against candle's own grouped convolution, and against PyTorch's gradients.
//!
//! `tests/golden/ops/depthwise.safetensors` was written by `tests/reference/depthwise.py`.

use candle_core::{DType, Device, Tensor, Var};
use std::collections::{BTreeSet, HashMap};
use wider_clip::error::{Error, Result};
use wider_clip::ops::{
    Activation, Padding, depthwise_conv2d, depthwise_conv2d_nhwc, depthwise_conv2d_nhwc_act, to_channels_first,
    to_channels_last,
};

fn golden() -> HashMap<String, Tensor> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ops/depthwise.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).expect("the golden file is part of the repository")
}

/// Largest absolute difference, divided by the largest absolute value of the second.
fn relative(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let largest = |t: Tensor| t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
    largest((a - b).unwrap()) / largest(b.clone())
}

struct Case {
    name: String,
    stride: usize,
    padding: Padding,
    tensors: HashMap<&'static str, Tensor>,
}

fn cases() -> Vec<Case> {
    let golden = golden();
    let names: BTreeSet<_> = golden.keys().filter_map(|n| Some(n.split_once('.')?.0.to_string())).collect();
    let parts = ["x", "w", "g", "y", "gx", "gw"];
    names
        .into_iter()
        .map(|name| {
            let spec = golden[&format!("{name}.spec")].to_vec1::<i64>().unwrap();
            let n = |i: usize| spec[i] as usize;
            let padding = Padding { top: n(1), bottom: n(2), left: n(3), right: n(4) };
            let tensors = parts.map(|part| (part, golden[&format!("{name}.{part}")].clone())).into();
            Case { stride: n(0), padding, tensors, name }
        })
        .collect()
}

#[test]
fn forward_equals_candle_and_pytorch() -> Result<()> {
    for case in cases() {
        let (x, w) = (&case.tensors["x"], &case.tensors["w"]);
        let y = depthwise_conv2d(x, w, case.stride, case.padding)?;
        let p = case.padding;
        let padded = x.pad_with_zeros(2, p.top, p.bottom)?.pad_with_zeros(3, p.left, p.right)?;
        let candle = padded.conv2d(w, 0, case.stride, 1, x.dim(1)?)?;
        assert!(relative(&y, &candle) < 1e-5, "{}: candle differs by {}", case.name, relative(&y, &candle));
        let difference = relative(&y, &case.tensors["y"]);
        assert!(difference < 1e-5, "{}: PyTorch differs by {difference}", case.name);
    }
    Ok(())
}

#[test]
fn gradients_equal_pytorch() -> Result<()> {
    for case in cases() {
        let x = Var::from_tensor(&case.tensors["x"])?;
        let w = Var::from_tensor(&case.tensors["w"])?;
        let y = depthwise_conv2d(&x, &w, case.stride, case.padding)?;
        let gradients = (y * &case.tensors["g"])?.sum_all()?.backward()?;
        for (name, var, expected) in [("x", &x, "gx"), ("w", &w, "gw")] {
            let gradient = gradients.get(var).unwrap_or_else(|| panic!("{}: {name} has no gradient", case.name));
            let difference = relative(gradient, &case.tensors[expected]);
            assert!(difference < 1e-5, "{}: gradient of {name} differs by {difference}", case.name);
        }
    }
    Ok(())
}

#[test]
fn channels_last_and_fused_forms_agree() -> Result<()> {
    for case in cases() {
        let (x, w) = (&case.tensors["x"], &case.tensors["w"]);
        let last = to_channels_last(x)?;
        let y = depthwise_conv2d_nhwc(&last, w, case.stride, case.padding)?;
        assert!(relative(&to_channels_first(&y)?, &case.tensors["y"]) < 1e-5, "{}", case.name);
        let b = Tensor::arange(0f32, x.dim(1)? as f32, &Device::Cpu)?;
        for activation in [Activation::Identity, Activation::Relu6, Activation::Silu, Activation::Gelu] {
            let fused = depthwise_conv2d_nhwc_act(&last, w, &b, case.stride, case.padding, activation)?;
            let plain = y.broadcast_add(&b)?;
            let plain = match activation {
                Activation::Relu6 => plain.clamp(0f32, 6f32)?,
                Activation::Silu => plain.silu()?,
                Activation::Gelu => plain.gelu_erf()?,
                _ => plain,
            };
            assert!(relative(&fused, &plain) < 1e-5, "{} {activation:?}", case.name);
        }
    }
    Ok(())
}

#[test]
fn a_fused_form_refuses_gradients_aloud() -> Result<()> {
    let x = Var::ones((1, 4, 4, 2), DType::F32, &Device::Cpu)?;
    let w = Tensor::ones((2, 1, 3, 3), DType::F32, &Device::Cpu)?;
    let b = Tensor::zeros(2, DType::F32, &Device::Cpu)?;
    let y = depthwise_conv2d_nhwc_act(&x, &w, &b, 1, Padding::symmetric(1), Activation::Relu6)?;
    let error = y.sum_all()?.backward().expect_err("no gradient exists").to_string();
    assert!(error.contains("no gradient"), "{error}");
    Ok(())
}

#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    let cpu = Device::Cpu;
    let x = Tensor::zeros((1, 4, 5, 5), DType::F32, &cpu)?;
    let w = Tensor::zeros((4, 1, 3, 3), DType::F32, &cpu)?;
    let none = Padding::default();
    let wrong = [
        depthwise_conv2d(&x.to_dtype(DType::F64)?, &w, 1, none),
        depthwise_conv2d(&x, &w.to_dtype(DType::F16)?, 1, none),
        depthwise_conv2d(&x, &w, 0, none),
        depthwise_conv2d(&x, &Tensor::zeros((3, 1, 3, 3), DType::F32, &cpu)?, 1, none),
        depthwise_conv2d(&x, &Tensor::zeros((4, 1, 3, 5), DType::F32, &cpu)?, 1, none),
        depthwise_conv2d(&x, &Tensor::zeros((4, 1, 7, 7), DType::F32, &cpu)?, 1, none),
        depthwise_conv2d(&x.flatten_from(1)?, &w, 1, none),
    ];
    for (i, result) in wrong.into_iter().enumerate() {
        assert!(matches!(result, Err(Error::Argument { .. })), "case {i}: {result:?}");
    }
    Ok(())
}

#[test]
fn an_empty_batch_stays_empty() -> Result<()> {
    let x = Tensor::zeros((0, 4, 5, 5), DType::F32, &Device::Cpu)?;
    let w = Tensor::zeros((4, 1, 3, 3), DType::F32, &Device::Cpu)?;
    assert_eq!(depthwise_conv2d(&x, &w, 2, Padding::symmetric(1))?.dims(), [0, 4, 3, 3]);
    Ok(())
}
