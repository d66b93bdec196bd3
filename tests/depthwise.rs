//! Depthwise convolution: against candle's own grouped convolution, and against PyTorch's gradients.
//!
//! `tests/golden/ops/depthwise.safetensors` was written by `tests/reference/depthwise.py`.

#[path = "support/compare.rs"]
mod compare;

use candle_core::{DType, Device, Tensor, Var};
use compare::relative;
use std::collections::{BTreeSet, HashMap};
use wider_clip::error::{Error, Result};
use wider_clip::ops::{
    Activation, Padding, depthwise_conv2d, depthwise_conv2d_nhwc, depthwise_conv2d_nhwc_act,
    depthwise_conv2d_nhwc_act_mean, to_channels_first, to_channels_last,
};

fn golden() -> HashMap<String, Tensor> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/ops/depthwise.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).expect("the golden file is part of the repository")
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
    assert_eq!(names.len(), 9);
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
fn fused_forms_have_the_gradients_of_their_steps() -> Result<()> {
    for case in cases() {
        let (channels, p) = (case.tensors["x"].dim(1)?, case.padding);
        let x = Var::from_tensor(&to_channels_last(&case.tensors["x"])?)?;
        let w = Var::from_tensor(&case.tensors["w"])?;
        let b = Var::from_tensor(&(Tensor::arange(0f32, channels as f32, &Device::Cpu)? * 0.1)?)?;
        let g = to_channels_last(&case.tensors["g"])?;
        for activation in [Activation::Identity, Activation::Silu, Activation::Gelu] {
            let (y, mean) = depthwise_conv2d_nhwc_act_mean(&x, &w, &b, case.stride, p, activation)?;
            let fused = ((y * &g)?.sum_all()? + mean.sqr()?.sum_all()?)?.backward()?;
            let plain = depthwise_conv2d_nhwc(&x, &w, case.stride, p)?.broadcast_add(&b)?;
            let plain = match activation {
                Activation::Silu => plain.silu()?,
                Activation::Gelu => plain.gelu_erf()?,
                _ => plain,
            };
            let mean = plain.flatten(1, 2)?.mean(1)?;
            let steps = ((plain * &g)?.sum_all()? + mean.sqr()?.sum_all()?)?.backward()?;
            for (name, var) in [("x", &x), ("w", &w), ("b", &b)] {
                let of = |store: &candle_core::backprop::GradStore| store.get(var).expect("a gradient").clone();
                let off = relative(&of(&fused), &of(&steps));
                assert!(off < 1e-5, "{} {activation:?}: gradient of {name} differs by {off}", case.name);
            }
        }
    }
    Ok(())
}

#[test]
fn the_mean_is_the_mean_and_any_size_will_do() -> Result<()> {
    // Widths around the tile of seven, channels around the block of sixteen, every kernel and stride.
    let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 16) as f32 / 32768.0 - 1.0;
    let tensor = |shape: &[usize]| {
        let n = shape.iter().product::<usize>();
        Tensor::from_vec((0..n).map(value).collect::<Vec<_>>(), shape, &Device::Cpu)
    };
    for (width, channels) in [(1, 1), (3, 15), (6, 16), (7, 17), (8, 33), (15, 5), (29, 16), (30, 48)] {
        for (kernel, stride) in [(1, 1), (3, 1), (3, 2), (4, 3), (5, 1), (5, 2), (7, 1), (7, 2)] {
            let x = Var::from_tensor(&tensor(&[2, 5, width, channels])?)?;
            let w = Var::from_tensor(&tensor(&[channels, 1, kernel, kernel])?)?;
            let padding = Padding { top: kernel / 2, bottom: kernel / 2, left: kernel / 2 + 1, right: kernel / 2 };
            let name = format!("width {width}, channels {channels}, kernel {kernel}, stride {stride}");
            let first = to_channels_first(&x)?;
            let padded = first.pad_with_zeros(2, padding.top, padding.bottom)?;
            let padded = padded.pad_with_zeros(3, padding.left, padding.right)?;
            // Strided by picking rows and columns: candle's own strided gradient fails on some sizes.
            let mut candle = to_channels_last(&padded.conv2d(&w, 0, 1, 1, channels)?)?;
            for axis in [1, 2] {
                let picked = Tensor::arange_step(0u32, candle.dim(axis)? as u32, stride as u32, &Device::Cpu)?;
                candle = candle.index_select(&picked, axis)?;
            }
            let y = depthwise_conv2d_nhwc(&x, &w, stride, padding)?;
            assert!(relative(&y, &candle) < 1e-5, "{name}: {}", relative(&y, &candle));
            let b = tensor(&[channels])?;
            let frozen = (x.as_detached_tensor(), w.as_detached_tensor());
            let (fused, mean) =
                depthwise_conv2d_nhwc_act_mean(&frozen.0, &frozen.1, &b, stride, padding, Activation::Silu)?;
            let plain = candle.broadcast_add(&b)?.silu()?;
            assert!(relative(&fused, &plain) < 1e-5, "{name}, fused");
            assert!(relative(&mean, &plain.flatten(1, 2)?.mean(1)?) < 1e-5, "{name}, mean");
            let g = tensor(candle.dims())?;
            let ours = (y * &g)?.sum_all()?.backward()?;
            let theirs = (candle * &g)?.sum_all()?.backward()?;
            for (part, var) in [("x", &x), ("w", &w)] {
                let of = |store: &candle_core::backprop::GradStore| store.get(var).expect("a gradient").clone();
                let off = relative(&of(&ours), &of(&theirs));
                assert!(off < 1e-5, "{name}: gradient of {part} differs by {off}");
            }
        }
    }
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
