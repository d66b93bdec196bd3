//! Batch normalisation, means and gates of channels-last maps, and the layers behind them, against candle's own steps
//! in f64, forward and backward.

#[path = "support/compare.rs"]
mod compare;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use compare::relative;
use wider_clip::error::{Error, Result};
use wider_clip::ops::{
    Activation, Moments, Weight, activate, batch_norm, batch_norm_running, linear, mean_pixels, mlp, scale_channels,
};

const EPS: f64 = 1e-3;

/// Values that are the same on every machine: the low bits of a multiplication, moved and stretched.
fn tensor(shape: &[usize], seed: u32, centre: f64, spread: f64) -> Result<Tensor> {
    let value = |i: usize| ((i as u32 ^ seed).wrapping_mul(2_654_435_761) >> 16) as f32 / 32768.0 - 1.0;
    let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(value).collect();
    Ok(((Tensor::from_vec(values, shape, &Device::Cpu)? * spread)? + centre)?)
}

fn var(shape: &[usize], seed: u32, centre: f64, spread: f64) -> Result<Var> {
    Ok(Var::from_tensor(&tensor(shape, seed, centre, spread)?)?)
}

fn same_gradients(what: &str, vars: &[(&str, &Var)], ours: &GradStore, theirs: &GradStore) {
    for (name, var) in vars {
        let of = |store: &GradStore| store.get(var).unwrap_or_else(|| panic!("{what}: {name} has no gradient")).clone();
        let off = relative(&of(ours), &of(theirs));
        assert!(off < 2e-5, "{what}: gradient of {name} differs by {off}");
    }
}

fn by_steps(activation: Activation, x: &Tensor) -> Result<Tensor> {
    Ok(match activation {
        Activation::Silu => x.silu()?,
        Activation::Gelu => x.gelu_erf()?,
        Activation::Relu6 => x.clamp(0f64, 6f64)?,
        _ => x.clone(),
    })
}

const ACTIVATIONS: [Activation; 4] = [Activation::Identity, Activation::Silu, Activation::Gelu, Activation::Relu6];

/// Few and many pixels (more than one piece), channels around a vector's length.
const SHAPES: [[usize; 4]; 4] = [[2, 3, 1, 5], [3, 4, 5, 16], [1, 1, 1, 3], [2, 60, 31, 24]];

#[test]
fn batch_norm_equals_its_steps() -> Result<()> {
    for shape in SHAPES {
        let channels = shape[3];
        for activation in ACTIVATIONS {
            let what = format!("{shape:?} {activation:?}");
            let x = var(&shape, 1, 0.7, 2.0)?;
            let (w, b) = (var(&[channels], 2, 1.0, 0.5)?, var(&[channels], 3, 0.2, 0.5)?);
            let g = tensor(&shape, 4, 0.1, 1.0)?;
            let (y, moments) = batch_norm(&x, &w, &b, EPS, activation)?;
            let [x64, w64, b64] = [&x, &w, &b].map(|var| var.to_dtype(DType::F64));
            let (rows, w64, b64) = (x64?.reshape(((), channels))?, w64?, b64?);
            let n = rows.dim(0)? as f64;
            let mean = rows.mean_keepdim(0)?;
            let centred = rows.broadcast_sub(&mean)?;
            let variance = centred.sqr()?.mean_keepdim(0)?;
            let normed = centred.broadcast_div(&(&variance + EPS)?.sqrt()?)?;
            let theirs = by_steps(activation, &normed.broadcast_mul(&w64)?.broadcast_add(&b64)?)?;
            let theirs = theirs.reshape(&shape)?.to_dtype(DType::F32)?;
            // One pixel is its own mean: all that is left are the shifts.
            assert!(relative(&y, &theirs) < 1e-5, "{what}: {}", relative(&y, &theirs));
            let off = relative(&moments.mean, &mean.squeeze(0)?.detach().to_dtype(DType::F32)?);
            assert!(off < 1e-5, "{what}: mean differs by {off}");
            let unbiased = (variance.squeeze(0)?.detach() * (n / (n - 1.0).max(1.0)))?.to_dtype(DType::F32)?;
            if n > 1.0 {
                assert!(relative(&moments.variance, &unbiased) < 1e-5, "{what}: variance");
                let (ours, theirs) = ((y * &g)?.sum_all()?.backward()?, (theirs * &g)?.sum_all()?.backward()?);
                same_gradients(&what, &[("x", &x), ("w", &w), ("b", &b)], &ours, &theirs);
            }
        }
    }
    Ok(())
}

#[test]
fn running_statistics_are_constants() -> Result<()> {
    for shape in SHAPES {
        let channels = shape[3];
        for activation in ACTIVATIONS {
            let what = format!("{shape:?} {activation:?}");
            let x = var(&shape, 1, 0.7, 2.0)?;
            let (w, b) = (var(&[channels], 2, 1.0, 0.5)?, var(&[channels], 3, 0.2, 0.5)?);
            let (mean, variance) = (tensor(&[channels], 5, 0.5, 0.5)?, tensor(&[channels], 6, 1.5, 1.0)?);
            let g = tensor(&shape, 4, 0.1, 1.0)?;
            let moments = Moments { mean: mean.clone(), variance: variance.clone() };
            let y = batch_norm_running(&x, &w, &b, &moments, EPS, activation)?;
            let [x64, w64, b64] = [&x, &w, &b].map(|var| var.to_dtype(DType::F64));
            let (mean, variance) = (mean.to_dtype(DType::F64)?, variance.to_dtype(DType::F64)?);
            let normed = x64?.broadcast_sub(&mean)?.broadcast_div(&(variance + EPS)?.sqrt()?)?;
            let theirs = by_steps(activation, &normed.broadcast_mul(&w64?)?.broadcast_add(&b64?)?)?;
            let theirs = theirs.to_dtype(DType::F32)?;
            assert!(relative(&y, &theirs) < 1e-5, "{what}: {}", relative(&y, &theirs));
            let (ours, theirs) = ((y * &g)?.sum_all()?.backward()?, (theirs * &g)?.sum_all()?.backward()?);
            same_gradients(&what, &[("x", &x), ("w", &w), ("b", &b)], &ours, &theirs);
        }
    }
    Ok(())
}

#[test]
fn a_large_mean_costs_no_digits() -> Result<()> {
    let shape = [2, 40, 40, 8];
    let x = tensor(&shape, 1, 1000.0, 1.0)?;
    let (w, b) = (Tensor::ones(8, DType::F32, &Device::Cpu)?, Tensor::zeros(8, DType::F32, &Device::Cpu)?);
    let (_, moments) = batch_norm(&x, &w, &b, 0.0, Activation::Identity)?;
    let rows = x.to_dtype(DType::F64)?.reshape(((), 8))?;
    let n = rows.dim(0)? as f64;
    let centred = rows.broadcast_sub(&rows.mean_keepdim(0)?)?;
    let variance = (centred.sqr()?.sum(0)? / (n - 1.0))?.to_dtype(DType::F32)?;
    let off = relative(&moments.variance, &variance);
    assert!(off < 1e-5, "{off}");
    Ok(())
}

#[test]
fn means_and_gates_equal_their_steps() -> Result<()> {
    for shape in SHAPES {
        let what = format!("{shape:?}");
        let [batch, _, _, channels] = shape;
        let (x, gate) = (var(&shape, 1, 0.7, 2.0)?, var(&[batch, channels], 2, 0.5, 0.5)?);
        let g = tensor(&shape, 4, 0.1, 1.0)?;
        let (y, mean) = (scale_channels(&x, &gate)?, mean_pixels(&x)?);
        let wide = gate.reshape((batch, 1, 1, channels))?;
        let mean_steps = x.to_dtype(DType::F64)?.flatten(1, 2)?.mean(1)?.to_dtype(DType::F32)?;
        let y_steps = x.broadcast_mul(&wide)?;
        assert!(relative(&y, &y_steps) < 1e-6 && relative(&mean, &mean_steps) < 1e-5, "{what}");
        let loss = |y: Tensor, mean: Tensor| -> Result<Tensor> {
            let y = (y * &g)?.to_dtype(DType::F64)?.sum_all()?;
            Ok((y + mean.to_dtype(DType::F64)?.sqr()?.sum_all()?)?)
        };
        let (ours, theirs) = (loss(y, mean)?.backward()?, loss(y_steps, mean_steps)?.backward()?);
        same_gradients(&what, &[("x", &x), ("gate", &gate)], &ours, &theirs);
    }
    Ok(())
}

#[test]
fn two_layers_equal_their_steps() -> Result<()> {
    for (rows, inputs, hidden, outputs) in [(3, 5, 7, 2), (1, 24, 96, 24), (400, 16, 64, 16)] {
        for activation in [Activation::Silu, Activation::Gelu, Activation::QuickGelu] {
            let what = format!("{rows} x {inputs} x {hidden} x {outputs} {activation:?}");
            let x = var(&[2, rows, inputs], 1, 0.0, 2.0)?;
            let first = (var(&[hidden, inputs], 2, 0.0, 0.5)?, var(&[hidden], 3, 0.1, 0.5)?);
            let second = (var(&[outputs, hidden], 4, 0.0, 0.5)?, var(&[outputs], 5, 0.1, 0.5)?);
            let g = tensor(&[2, rows, outputs], 6, 0.1, 1.0)?;
            let (w1, w2) = (Weight::new(&first.0)?, Weight::new(&second.0)?);
            let y = mlp(&x, (&w1, &first.1), activation, (&w2, &second.1))?;
            let steps = linear(&activate(&linear(&x, &w1, &first.1)?, activation)?, &w2, &second.1)?;
            assert!(relative(&y, &steps) < 1e-6, "{what}: {}", relative(&y, &steps));
            let frozen = (Weight::new(&first.0.as_detached_tensor())?, Weight::new(&second.0.as_detached_tensor())?);
            let biases = (first.1.as_detached_tensor(), second.1.as_detached_tensor());
            let fused = mlp(&x.as_detached_tensor(), (&frozen.0, &biases.0), activation, (&frozen.1, &biases.1))?;
            assert!(!fused.track_op() && relative(&fused, &steps) < 1e-5, "{what}, frozen");
            let (ours, theirs) = ((y * &g)?.sum_all()?.backward()?, (steps * &g)?.sum_all()?.backward()?);
            let vars = [("x", &x), ("w1", &first.0), ("b1", &first.1), ("w2", &second.0), ("b2", &second.1)];
            same_gradients(&what, &vars, &ours, &theirs);
        }
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    let (x, c) = (zeros(&[2, 3, 3, 4])?, zeros(&[4])?);
    let moments = Moments { mean: zeros(&[3])?, variance: zeros(&[4])? };
    let wrong = [
        batch_norm(&x, &zeros(&[3])?, &c, EPS, Activation::Silu).map(|(y, _)| y),
        batch_norm(&zeros(&[2, 4])?, &c, &c, EPS, Activation::Silu).map(|(y, _)| y),
        batch_norm(&zeros(&[0, 3, 3, 4])?, &c, &c, EPS, Activation::Silu).map(|(y, _)| y),
        batch_norm(&x.to_dtype(DType::F64)?, &c, &c, EPS, Activation::Silu).map(|(y, _)| y),
        batch_norm_running(&x, &c, &c, &moments, EPS, Activation::Silu),
        mean_pixels(&zeros(&[2, 4])?),
        mean_pixels(&x.to_dtype(DType::F64)?),
        scale_channels(&x, &zeros(&[2, 3])?),
        scale_channels(&x, &zeros(&[4])?),
    ];
    for (i, result) in wrong.into_iter().enumerate() {
        assert!(matches!(result, Err(Error::Argument { .. })), "case {i}: {result:?}");
    }
    Ok(())
}
