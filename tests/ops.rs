//! The operations of transformers against candle's own differentiable ones: values and gradients, frozen and trained.

#[path = "support/compare.rs"]
mod compare;

use candle_core::{D, DType, Device, Result as Candle, Tensor, Var};
use compare::relative;
use wider_clip::error::{Error, Result};
use wider_clip::ops::{
    Activation, Heads, Weight, activate, attention, attention_weights, layer_norm, linear, linear_act, linear_onto,
    mean_tokens, merge_pixels, mlp, mlp_onto, patches, residual,
};
use wider_clip::random::Random;

fn draw(shape: &[usize], stream: u64) -> Tensor {
    let mut random = Random::new("ops test", 0, stream);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| 2.0 * random.unit() as f32 - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

type Function<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// Ours and theirs on the same arguments: equal values, frozen and trained, and equal gradients of a weighted sum.
fn same(what: &str, arguments: &[Tensor], ours: Function, theirs: Function) {
    let frozen = ours(arguments).unwrap();
    let expected = theirs(arguments).unwrap();
    assert!(relative(&frozen, &expected) < 2e-6, "{what}: frozen differs by {}", relative(&frozen, &expected));
    assert!(!frozen.track_op(), "{what}: nothing to train, no graph");
    let weights = draw(expected.dims(), 999);
    let gradients = |function: Function| -> Candle<Vec<Tensor>> {
        let vars: Vec<Var> = arguments.iter().map(Var::from_tensor).collect::<Candle<_>>()?;
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let y = function(&tensors).unwrap();
        assert!(relative(&y, &expected) < 2e-6, "{what}: trained differs by {}", relative(&y, &expected));
        let store = (y * &weights)?.sum_all()?.backward()?;
        Ok(vars.iter().map(|var| store.get(var).unwrap_or_else(|| panic!("{what}: no gradient")).clone()).collect())
    };
    for (i, (a, b)) in gradients(ours).unwrap().iter().zip(gradients(theirs).unwrap()).enumerate() {
        let off = relative(a, &b);
        assert!(off < 2e-5, "{what}: gradient of argument {i} differs by {off}");
    }
    // Only the first argument trained: the others must not need a gradient.
    let first = Var::from_tensor(&arguments[0]).unwrap();
    let mut mixed = arguments.to_vec();
    mixed[0] = first.as_tensor().clone();
    let store = ours(&mixed).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(store.get(&first).is_some(), "{what}: the first argument alone");
}

#[test]
fn linear_equals_a_matrix_product() {
    // Sizes inside one tile, across tiles, and with ragged ends.
    for (rows, inputs, outputs) in [(1, 1, 1), (3, 5, 7), (200, 33, 800), (900, 64, 385), (97, 300, 24)] {
        let arguments = [draw(&[rows, inputs], 1), draw(&[outputs, inputs], 2), draw(&[outputs], 3)];
        let what = format!("linear {rows} x {inputs} x {outputs}");
        let ours = |t: &[Tensor]| linear(&t[0], &Weight::new(&t[1])?, &t[2]);
        let theirs = |t: &[Tensor]| Ok(t[0].matmul(&t[1].t()?)?.broadcast_add(&t[2])?);
        same(&what, &arguments, &ours, &theirs);
    }
    // Leading axes and an activation.
    let arguments = [draw(&[2, 3, 4, 6], 1), draw(&[5, 6], 2), draw(&[5], 3)];
    let ours = |t: &[Tensor]| linear_act(&t[0], &Weight::new(&t[1])?, &t[2], Activation::Gelu);
    let theirs = |t: &[Tensor]| {
        let rows = t[0].reshape(((), 6))?.matmul(&t[1].t()?)?.broadcast_add(&t[2])?;
        Ok(rows.gelu_erf()?.reshape((2, 3, 4, 5))?)
    };
    same("linear with GELU", &arguments, &ours, &theirs);
}

#[test]
fn a_strided_input_is_read_as_it_stands() -> Result<()> {
    let x = draw(&[6, 4], 1);
    let (w, b) = (Weight::new(&draw(&[3, 4], 2))?, draw(&[3], 3));
    let strided = x.t()?.contiguous()?.t()?;
    assert_eq!(linear(&x, &w, &b)?.to_vec2::<f32>()?, linear(&strided, &w, &b)?.to_vec2::<f32>()?);
    Ok(())
}

#[test]
fn activations_equal_candles() {
    // Relu6's derivative at its corners is a convention; the values here miss them.
    for (activation, scale) in [
        (Activation::Relu6, 9.0),
        (Activation::Silu, 8.0),
        (Activation::Gelu, 5.0),
        (Activation::QuickGelu, 5.0),
        (Activation::Sigmoid, 8.0),
    ] {
        let x = (draw(&[40_001], 4) * scale).unwrap();
        let theirs = |t: &[Tensor]| {
            let x = &t[0];
            let logistic = |x: &Tensor| -> Candle<Tensor> { (x.neg()?.exp()? + 1.0)?.recip() };
            Ok(match activation {
                Activation::Relu6 => x.clamp(0f32, 6f32)?,
                Activation::Silu => (x * logistic(x)?)?,
                Activation::Gelu => x.gelu_erf()?,
                Activation::QuickGelu => (x * logistic(&(x * 1.702)?)?)?,
                _ => logistic(x)?,
            })
        };
        same(&format!("{activation:?}"), &[x], &|t| activate(&t[0], activation), &theirs);
    }
}

#[test]
fn layer_norm_equals_its_steps() {
    for (shape, eps) in [(&[3, 1][..], 1e-3), (&[2, 5, 17], 1e-6), (&[700, 64], 1e-12)] {
        let dim = shape[shape.len() - 1];
        let arguments = [(draw(shape, 1) + 3.0).unwrap(), draw(&[dim], 2), draw(&[dim], 3)];
        let theirs = |t: &[Tensor]| {
            let centred = t[0].broadcast_sub(&t[0].mean_keepdim(D::Minus1)?)?;
            let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
            Ok(centred.broadcast_div(&deviation)?.broadcast_mul(&t[1])?.broadcast_add(&t[2])?)
        };
        if dim > 1 {
            same(&format!("layer norm {shape:?}"), &arguments, &|t| layer_norm(&t[0], &t[1], &t[2], eps), &theirs);
        }
    }
}

#[test]
fn a_large_mean_costs_no_digits() -> Result<()> {
    let x = Tensor::new(&[[4096f32, 4097.0, 4098.0, 4099.0]], &Device::Cpu)?;
    let (w, b) = (Tensor::ones(4, DType::F32, &Device::Cpu)?, Tensor::zeros(4, DType::F32, &Device::Cpu)?);
    let y = layer_norm(&x, &w, &b, 0.0)?.to_vec2::<f32>()?;
    let expected = [-1.341_640_8, -0.447_213_6, 0.447_213_6, 1.341_640_8];
    assert!(y[0].iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-6), "{y:?}");
    Ok(())
}

#[test]
fn a_residual_sum_equals_candles() {
    let (x, y, gamma) = (draw(&[2, 300, 129], 1), draw(&[2, 300, 129], 2), draw(&[129], 3));
    let sum = |t: &[Tensor]| Ok((&t[0] + &t[1])?);
    same("residual", &[x.clone(), y.clone()], &|t| residual(&t[0], &t[1], None), &sum);
    let scaled = |t: &[Tensor]| Ok((&t[0] + t[1].broadcast_mul(&t[2])?)?);
    same("residual with scale", &[x, y, gamma], &|t| residual(&t[0], &t[1], Some(&t[2])), &scaled);
}

/// The values' bits.
fn bits(x: &Tensor) -> Vec<u32> {
    x.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

#[test]
fn a_trained_weight_gives_the_bits_of_a_frozen_one() -> Result<()> {
    // Few rows, and so many that it is turned first.
    for (rows, inputs, outputs) in
        [(300, 5, 7), (300, 128, 3), (255, 64, 200), (256, 64, 200), (592, 128, 512), (300, 768, 33)]
    {
        let (x, w, b) = (draw(&[rows, inputs], 1), draw(&[outputs, inputs], 2), draw(&[outputs], 3));
        let var = Var::from_tensor(&w)?;
        let trained = linear(&x, &Weight::new(var.as_tensor())?, &b)?;
        assert!(trained.track_op());
        assert_eq!(bits(&trained), bits(&linear(&x, &Weight::new(&w)?, &b)?), "{rows} x {inputs} x {outputs}");
    }
    Ok(())
}

#[test]
fn a_branch_that_is_added_in_the_same_pass_keeps_its_bits() -> Result<()> {
    for (rows, inputs, outputs) in [(1, 1, 1), (3, 5, 7), (200, 33, 800), (900, 64, 385)] {
        let (x, y, gamma) = (draw(&[rows, outputs], 1), draw(&[rows, inputs], 2), draw(&[outputs], 3));
        let (w, b) = (draw(&[outputs, inputs], 4), draw(&[outputs], 5));
        let what = format!("{rows} x {inputs} x {outputs}");
        let plain = |t: &[Tensor]| linear_onto(&t[0], &t[1], &Weight::new(&t[2])?, &t[3], None);
        let by_candle = |t: &[Tensor]| Ok((&t[0] + t[1].matmul(&t[2].t()?)?.broadcast_add(&t[3])?)?);
        let arguments = [x.clone(), y.clone(), w.clone(), b.clone()];
        same(&format!("layer onto, {what}"), &arguments, &plain, &by_candle);
        let scaled = |t: &[Tensor]| linear_onto(&t[0], &t[1], &Weight::new(&t[2])?, &t[3], Some(&t[4]));
        let scaled_by_candle = |t: &[Tensor]| {
            let y = t[1].matmul(&t[2].t()?)?.broadcast_add(&t[3])?;
            Ok((&t[0] + y.broadcast_mul(&t[4])?)?)
        };
        let arguments = [x.clone(), y.clone(), w.clone(), b.clone(), gamma.clone()];
        same(&format!("scaled layer onto, {what}"), &arguments, &scaled, &scaled_by_candle);
        let weight = Weight::new(&w)?;
        for gamma in [None, Some(&gamma)] {
            let apart = residual(&x, &linear(&y, &weight, &b)?, gamma)?;
            assert_eq!(bits(&linear_onto(&x, &y, &weight, &b, gamma)?), bits(&apart), "{what}");
            let (up, bias) = (Weight::new(&draw(&[inputs, inputs], 6))?, draw(&[inputs], 7));
            let apart = residual(&x, &mlp(&y, (&up, &bias), Activation::Gelu, (&weight, &b))?, gamma)?;
            let at_once = mlp_onto(&x, &y, (&up, &bias), Activation::Gelu, (&weight, &b), gamma)?;
            assert_eq!(bits(&at_once), bits(&apart), "{what}");
        }
    }
    Ok(())
}

#[test]
fn a_mean_over_tokens_has_the_bits_of_candles() {
    for (batch, tokens, dim) in [(1, 1, 1), (2, 5, 3), (3, 197, 768), (1, 50, 33)] {
        let x = draw(&[batch, tokens, dim], 1);
        for from in (0..2).filter(|from| *from < tokens) {
            let ours = |t: &[Tensor]| mean_tokens(&t[0], from);
            let theirs = |t: &[Tensor]| Ok(t[0].narrow(1, from, tokens - from)?.mean(1)?);
            let what = format!("mean of {batch} x {tokens} x {dim} from {from}");
            same(&what, std::slice::from_ref(&x), &ours, &theirs);
            let x = std::slice::from_ref(&x);
            assert_eq!(bits(&ours(x).unwrap()), bits(&theirs(x).unwrap()), "{what}");
        }
    }
}

/// Attention by candle's steps.
fn attention_by_steps(qkv: &Tensor, heads: Heads, bias: Option<&Tensor>) -> Candle<(Tensor, Tensor)> {
    let (batch, tokens, packed) = qkv.dims3()?;
    let (dim, length) = (packed / 3, packed / 3 / heads.n);
    let parts = qkv.reshape((batch, tokens, 3, heads.n, length))?;
    let part = |i: usize| parts.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
    let mut scores = (part(0)?.matmul(&part(1)?.t()?)? / (length as f64).sqrt())?;
    if let Some(bias) = bias {
        scores = scores.broadcast_add(bias)?;
    }
    if heads.causal {
        let hidden = (0..tokens * tokens).map(|i| if i % tokens > i / tokens { -1e30f32 } else { 0.0 }).collect();
        scores = scores.broadcast_add(&Tensor::from_vec(hidden, (tokens, tokens), &Device::Cpu)?)?;
    }
    let probabilities = candle_nn::ops::softmax(&scores, D::Minus1)?;
    let mixed = probabilities.matmul(&part(2)?)?.transpose(1, 2)?.reshape((batch, tokens, dim))?;
    Ok((mixed, probabilities))
}

#[test]
fn attention_equals_its_steps() {
    for (batch, tokens, n, length) in [(1, 1, 1, 1), (2, 5, 3, 4), (3, 50, 2, 16), (2, 37, 4, 7)] {
        for causal in [false, true] {
            let heads = Heads { n, causal };
            let qkv = (draw(&[batch, tokens, 3 * n * length], 1) * 2.0).unwrap();
            let bias = draw(&[n, tokens, tokens], 2);
            let what = format!("attention {batch} x {tokens}, {n} heads of {length}, causal {causal}");
            let ours = |t: &[Tensor]| attention(&t[0], heads, None);
            let theirs = |t: &[Tensor]| Ok(attention_by_steps(&t[0], heads, None)?.0);
            same(&what, std::slice::from_ref(&qkv), &ours, &theirs);
            let ours = |t: &[Tensor]| attention(&t[0], heads, Some(&t[1]));
            let theirs = |t: &[Tensor]| Ok(attention_by_steps(&t[0], heads, Some(&t[1]))?.0);
            if tokens > 1 {
                same(&format!("{what}, with bias"), &[qkv.clone(), bias.clone()], &ours, &theirs);
            }
            let expected = attention_by_steps(&qkv, heads, Some(&bias)).unwrap().1;
            let found = attention_weights(&qkv, heads, Some(&bias)).unwrap();
            assert!(relative(&found, &expected) < 1e-5, "{what}: probabilities");
        }
    }
}

#[test]
fn extreme_scores_stay_probabilities() -> Result<()> {
    let qkv = (draw(&[1, 8, 24], 1) * 1e4)?;
    let y = attention(&qkv, Heads { n: 2, causal: false }, None)?.flatten_all()?.to_vec1::<f32>()?;
    assert!(y.iter().all(|v| v.is_finite() && v.abs() <= 1e4), "{y:?}");
    Ok(())
}

#[test]
fn patches_equal_candles_reshapes() {
    for (size, patch) in [((4, 4), 2), ((8, 12), 4), ((7, 9), 3), ((5, 5), 2)] {
        let (height, width) = size;
        let (rows, columns) = (height / patch, width / patch);
        let depth = 3 * patch * patch;
        let theirs = |t: &[Tensor]| {
            let x = t[0].narrow(2, 0, rows * patch)?.narrow(3, 0, columns * patch)?.contiguous()?;
            let x = x.reshape(&[2, 3, rows, patch, columns, patch][..])?.permute([0, 2, 4, 1, 3, 5])?.contiguous()?;
            Ok(x.reshape((2, rows, columns, depth))?)
        };
        same(&format!("patches {size:?}"), &[draw(&[2, 3, height, width], 1)], &|t| patches(&t[0], patch), &theirs);
        let theirs = |t: &[Tensor]| theirs(&[t[0].permute((0, 3, 1, 2))?.contiguous()?]);
        same(&format!("merge {size:?}"), &[draw(&[2, height, width, 3], 1)], &|t| merge_pixels(&t[0], patch), &theirs);
    }
}

#[test]
fn a_patch_embedding_is_the_convolution() -> Result<()> {
    let (x, w) = (draw(&[2, 3, 8, 8], 1), draw(&[5, 3, 4, 4], 2));
    let b = draw(&[5], 3);
    let ours = linear(&patches(&x, 4)?, &Weight::new(&w)?, &b)?.permute((0, 3, 1, 2))?;
    let theirs = x.conv2d(&w, 0, 4, 1, 1)?.broadcast_add(&b.reshape((1, 5, 1, 1))?)?;
    assert!(relative(&ours.contiguous()?, &theirs) < 1e-6);
    Ok(())
}

#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    let cpu = Device::Cpu;
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &cpu).unwrap();
    let w = Weight::new(&zeros(&[4, 6]))?;
    let heads = |n| Heads { n, causal: false };
    let wrong: Vec<(&str, Result<Tensor>)> = vec![
        ("width", linear(&zeros(&[2, 5]), &w, &zeros(&[4]))),
        ("bias", linear(&zeros(&[2, 6]), &w, &zeros(&[5]))),
        ("double", linear(&zeros(&[2, 6]).to_dtype(DType::F64)?, &w, &zeros(&[4]))),
        ("norm", layer_norm(&zeros(&[2, 6]), &zeros(&[5]), &zeros(&[6]), 0.1)),
        ("sum", residual(&zeros(&[2, 6]), &zeros(&[2, 5]), None)),
        ("scale", residual(&zeros(&[2, 6]), &zeros(&[2, 6]), Some(&zeros(&[5])))),
        ("branch", linear_onto(&zeros(&[2, 5]), &zeros(&[2, 6]), &w, &zeros(&[4]), None)),
        ("branch's width", linear_onto(&zeros(&[2, 4]), &zeros(&[2, 5]), &w, &zeros(&[4]), None)),
        ("branch's scale", linear_onto(&zeros(&[2, 4]), &zeros(&[2, 6]), &w, &zeros(&[4]), Some(&zeros(&[6])))),
        ("no token left", mean_tokens(&zeros(&[2, 1, 6]), 1)),
        ("no tokens", mean_tokens(&zeros(&[2, 6]), 0)),
        ("heads", attention(&zeros(&[1, 2, 12]), heads(3), None)),
        ("no heads", attention(&zeros(&[1, 2, 12]), heads(0), None)),
        ("axes", attention(&zeros(&[2, 12]), heads(2), None)),
        ("bias of attention", attention(&zeros(&[1, 2, 12]), heads(2), Some(&zeros(&[2, 3, 3])))),
        ("small image", patches(&zeros(&[1, 3, 2, 2]), 4)),
        ("no patch", patches(&zeros(&[1, 3, 2, 2]), 0)),
    ];
    for (what, result) in wrong {
        assert!(matches!(result, Err(Error::Argument { .. })), "{what}: {result:?}");
    }
    assert!(Weight::new(&zeros(&[4])).is_err());
    Ok(())
}

#[test]
fn a_batch_of_none_stays_none() -> Result<()> {
    let none = Tensor::zeros((0, 3, 12), DType::F32, &Device::Cpu)?;
    assert_eq!(attention(&none, Heads { n: 2, causal: false }, None)?.dims(), [0, 3, 4]);
    let (w, b) = (draw(&[5, 12], 1), draw(&[5], 2));
    assert_eq!(linear(&none, &Weight::new(&w)?, &b)?.dims(), [0, 3, 5]);
    assert_eq!(residual(&none, &none, None)?.dims(), [0, 3, 12]);
    let onto = Tensor::zeros((0, 3, 5), DType::F32, &Device::Cpu)?;
    assert_eq!(linear_onto(&onto, &none, &Weight::new(&w)?, &b, None)?.dims(), [0, 3, 5]);
    assert_eq!(mean_tokens(&none, 1)?.dims(), [0, 12]);
    Ok(())
}
