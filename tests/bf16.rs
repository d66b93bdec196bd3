//! Products of bf16: against sums in f64 of the rounded factors, alone and in the networks that ship.

#[path = "support/compare.rs"]
mod compare;
#[path = "support/require.rs"]
mod require;

use candle_core::{DType, Device, Tensor, Var};
use compare::absolute;
use require::require;
use std::path::Path;
use wider_clip::candle_core;
use wider_clip::error::Result;
use wider_clip::experiments::Work;
use wider_clip::features;
use wider_clip::models::load_as;
use wider_clip::ops::{
    Activation, Heads, Weight, attention, attention_weights, layer_norm, layer_norm_bf16, linear, linear_act,
    linear_act_bf16, linear_onto, mlp, mlp_onto, require_bf16, residual,
};
use wider_clip::prelude::{Encoding, Extraction, FeatureTable, Method, Project, accuracy, extract, wilson};
use wider_clip::random::Random;
use wider_clip::rayon::ThreadPoolBuilder;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Numbers in [-1, 1), the same everywhere.
fn drawn(name: &str, shape: &[usize]) -> Tensor {
    let mut random = Random::new(name, 0, 0);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.unit() as f32 * 2.0 - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).expect("a tensor")
}

/// As candle rounds.
fn rounded(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.to_dtype(DType::BF16)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// x w^T + b of the rounded factors in f64, and the sum of all that was added, each without its sign.
fn reference(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<(Vec<f64>, Vec<f64>)> {
    let (inputs, b) = (w.dim(1)?, b.to_vec1::<f32>()?);
    let (x, w) = (rounded(x)?, rounded(w)?);
    let (mut sums, mut sizes) = (Vec::new(), Vec::new());
    for x in x.chunks(inputs) {
        for (w, &b) in w.chunks(inputs).zip(&b) {
            let products = x.iter().zip(w).map(|(x, w)| x * w);
            sums.push(f64::from(b) + products.clone().sum::<f64>());
            sizes.push(f64::from(b.abs()) + products.map(f64::abs).sum::<f64>());
        }
    }
    Ok((sums, sizes))
}

#[test]
fn products_are_those_of_the_rounded_factors() -> Result<()> {
    if !require("bf16") {
        return Ok(());
    }
    // Rows, inputs, outputs: single ones, whole strips, pairs and panels, and one more or less than those.
    let shapes = [
        (1, 1, 1),
        (1, 2, 16),
        (3, 5, 17),
        (7, 31, 33),
        (8, 48, 48),
        (9, 49, 47),
        (16, 27, 32),
        (50, 96, 112),
        (65, 64, 97),
        (131, 130, 200),
        (2, 3072, 7),
        (300, 10, 1),
        (1, 768, 2304),
        (257, 384, 96),
    ];
    for shape @ (rows, inputs, outputs) in shapes {
        let (x, w, b) = (drawn("x", &[rows, inputs]), drawn("w", &[outputs, inputs]), drawn("b", &[outputs]));
        let (expected, sizes) = reference(&x, &w, &b)?;
        let weight = Weight::new(&w)?.rounded()?;
        assert!(weight.is_rounded() && (weight.outputs(), weight.inputs()) == (outputs, inputs));
        let y = linear(&x, &weight, &b)?;
        assert_eq!(y.dims(), [rows, outputs]);
        // What f32 loses in so many sums, at most.
        let unit = f64::from(f32::EPSILON) * (inputs + 2) as f64;
        for (i, ((y, expected), size)) in
            y.flatten_all()?.to_vec1::<f32>()?.iter().zip(&expected).zip(sizes).enumerate()
        {
            assert!((f64::from(*y) - expected).abs() <= unit * size, "{shape:?}, number {i}: {y} for {expected}");
        }
        // Rows that are bf16 already, and results that are to be: the same bits, the latter rounded.
        assert_eq!(bits(&linear(&x.to_dtype(DType::BF16)?, &weight, &b)?)?, bits(&y)?, "{shape:?}");
        let half = linear_act_bf16(&x, &weight, &b, Activation::Identity)?;
        assert_eq!(half.dtype(), DType::BF16);
        assert_eq!(bits(&half)?, bits(&y.to_dtype(DType::BF16)?)?, "{shape:?}");
        // A row by itself, and any number of threads.
        let last = linear(&x.narrow(0, rows - 1, 1)?, &weight, &b)?;
        assert_eq!(bits(&last)?, bits(&y.narrow(0, rows - 1, 1)?)?, "{shape:?}");
        for threads in [1, 3, 8] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            assert_eq!(bits(&pool.install(|| linear(&x, &weight, &b))?)?, bits(&y)?, "{shape:?}, {threads} threads");
        }
    }
    Ok(())
}

/// The values' bits.
fn bits(x: &Tensor) -> Result<Vec<u32>> {
    let values: Vec<f32> = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Ok(values.into_iter().map(f32::to_bits).collect())
}

#[test]
fn rounding_is_to_the_nearest_and_what_is_no_number_shows() -> Result<()> {
    if !require("bf16") {
        return Ok(());
    }
    let of = |x: &[f32], w: &[f32]| -> Result<f32> {
        let (x, w) = (Tensor::new(x, &Device::Cpu)?.unsqueeze(0)?, Tensor::new(w, &Device::Cpu)?.unsqueeze(0)?);
        let y = linear(&x, &Weight::new(&w)?.rounded()?, &Tensor::zeros(1, DType::F32, &Device::Cpu)?)?;
        Ok(y.flatten_all()?.to_vec1::<f32>()?[0])
    };
    // Steps at 1 are 2^-7; the middle goes to the even neighbour.
    let step = 0.0078125f32;
    for (x, expected) in [
        (1.0, 1.0),
        (1.0 + 0.5 * step, 1.0),
        (1.0 + 0.51 * step, 1.0 + step),
        (1.0 + 1.5 * step, 1.0 + 2.0 * step),
        (-1.0 - 1.49 * step, -1.0 - step),
        (f32::MAX, f32::INFINITY),
        (0.0, 0.0),
    ] {
        assert_eq!(of(&[x], &[1.0])?, expected, "{x} as a row");
        assert_eq!(of(&[1.0], &[x])?, expected, "{x} as a weight");
    }
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    // A NaN whose mantissa lies in the half that is cut off.
    let low_nan = f32::from_bits(0x7f80_0001);
    for (x, w) in
        [([nan, 1.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, nan]), ([inf, 1.0], [0.0, 1.0]), ([low_nan, 1.0], [1.0; 2])]
    {
        assert!(of(&x, &w)?.is_nan(), "{x:?} times {w:?}");
    }
    assert!(of(&[inf, -inf], &[1.0, 1.0])?.is_nan());
    assert_eq!(of(&[inf, 1.0, 2.0], &[-1.0, 1.0, 1.0])?, -inf);
    // They stay in their own row.
    let x = Tensor::new(&[[nan, 1.0], [1.0, 2.0]], &Device::Cpu)?;
    let w = Weight::new(&Tensor::new(&[[1f32, 1.0]], &Device::Cpu)?)?.rounded()?;
    let y = linear(&x, &w, &Tensor::zeros(1, DType::F32, &Device::Cpu)?)?.flatten_all()?.to_vec1::<f32>()?;
    assert!(y[0].is_nan() && y[1] == 3.0);
    Ok(())
}

#[test]
fn layers_around_the_product_stay_f32() -> Result<()> {
    if !require("bf16") {
        return Ok(());
    }
    let (x, w, b) = (drawn("x", &[2, 11, 40]), drawn("w", &[50, 40]), drawn("b", &[50]));
    let weight = Weight::new(&w)?.rounded()?;
    let plain = linear(&x, &weight, &b)?;
    for activation in
        [Activation::Gelu, Activation::QuickGelu, Activation::Silu, Activation::Relu6, Activation::Sigmoid]
    {
        let expected = wider_clip::ops::activate(&plain, activation)?;
        let off = absolute(&linear_act(&x, &weight, &b, activation)?, &expected);
        assert!(off < 1e-6, "{activation:?}: {off}");
    }
    // Two layers: what lies between is rounded as the second would round it.
    let second = (Weight::new(&drawn("v", &[7, 50]))?.rounded()?, drawn("c", &[7]));
    let hidden = linear_act(&x, &weight, &b, Activation::Gelu)?;
    let two = mlp(&x, (&weight, &b), Activation::Gelu, (&second.0, &second.1))?;
    assert_eq!(bits(&two)?, bits(&linear(&hidden, &second.0, &second.1)?)?);
    // A branch that is added in the same pass.
    let (base, gamma) = (drawn("base", &[2, 11, 50]), drawn("gamma", &[50]));
    for gamma in [None, Some(&gamma)] {
        let apart = residual(&base, &plain, gamma)?;
        assert_eq!(bits(&linear_onto(&base, &x, &weight, &b, gamma)?)?, bits(&apart)?);
    }
    let base = drawn("base", &[2, 11, 7]);
    let onto = mlp_onto(&base, &x, (&weight, &b), Activation::Gelu, (&second.0, &second.1), None)?;
    assert_eq!(bits(&onto)?, bits(&residual(&base, &two, None)?)?);
    let (scale, shift) = (drawn("scale", &[40]), drawn("shift", &[40]));
    let normed = layer_norm(&x, &scale, &shift, 1e-6)?.to_dtype(DType::BF16)?;
    assert_eq!(bits(&layer_norm_bf16(&x, &scale, &shift, 1e-6)?)?, bits(&normed)?);
    Ok(())
}

#[test]
fn attention_is_that_of_the_rounded_queries_keys_and_values() -> Result<()> {
    if !require("bf16") {
        return Ok(());
    }
    // Images, tokens, heads, their length.
    for (batch, tokens, n, length) in
        [(2, 5, 2, 4), (1, 1, 1, 2), (2, 50, 3, 64), (1, 197, 2, 64), (1, 49, 4, 32), (3, 16, 1, 80)]
    {
        let dim = n * length;
        let qkv = (drawn("qkv", &[batch, tokens, 3 * dim]) * 2.0)?.to_dtype(DType::BF16)?;
        for (causal, biased) in [(false, false), (false, true), (true, false)] {
            let heads = Heads { n, causal };
            let bias = biased.then(|| drawn("bias", &[n, tokens, tokens]));
            let y = attention(&qkv, heads, bias.as_ref())?;
            assert_eq!((y.dtype(), y.dims()), (DType::BF16, &[batch, tokens, dim][..]));
            let expected = attention(&qkv.to_dtype(DType::F32)?, heads, bias.as_ref())?;
            // Values are below 2 and probabilities add up to 1: both are rounded to eight bits, and the result again.
            let off = absolute(&y.to_dtype(DType::F32)?, &expected);
            assert!(off < 0.012, "{tokens} tokens, heads of {length}, {heads:?}: {off}");
            let weights = attention_weights(&qkv, heads, bias.as_ref())?;
            assert_eq!((weights.dtype(), weights.dims()), (DType::F32, &[batch, n, tokens, tokens][..]));
            for threads in [1, 5] {
                let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
                assert_eq!(bits(&pool.install(|| attention(&qkv, heads, bias.as_ref()))?)?, bits(&y)?);
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_trained_is_refused() -> Result<()> {
    if !require("bf16") {
        assert!(require_bf16().expect_err("lacking").to_string().contains("AVX512-BF16"));
        return Ok(());
    }
    let var = Var::from_tensor(&drawn("w", &[4, 6]))?;
    let refused = |error: wider_clip::error::Error| assert!(error.to_string().contains("frozen"), "{error}");
    refused(Weight::new(var.as_tensor())?.rounded().expect_err("a variable"));
    let (weight, b) = (Weight::new(&drawn("w", &[6, 4]))?.rounded()?, drawn("b", &[6]));
    let x = Var::from_tensor(&drawn("x", &[2, 4]))?;
    refused(linear(x.as_tensor(), &weight, &b).expect_err("x has a gradient"));
    refused(
        layer_norm_bf16(var.as_tensor(), &drawn("s", &[6]), &drawn("t", &[6]), 1e-6).expect_err("x has a gradient"),
    );
    let error = linear_act_bf16(&drawn("x", &[1, 4]), &Weight::new(&drawn("w", &[6, 4]))?, &b, Activation::Identity);
    assert!(error.expect_err("f32").to_string().contains("a weight rounded to bf16"));
    let odd = attention(&drawn("qkv", &[1, 2, 9]).to_dtype(DType::BF16)?, Heads { n: 1, causal: false }, None);
    assert!(odd.expect_err("an odd length").to_string().contains("heads of an even length"));
    Ok(())
}

/// Smallest cosine between the rows of two tables.
fn smallest_cosine(a: &FeatureTable, b: &FeatureTable, pooling: &str) -> Result<f64> {
    let cosines = a.pooling(pooling)?.rows().into_iter().zip(b.pooling(pooling)?.rows().into_iter()).map(|(a, b)| {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let [a, b] = [a, b].map(|row| row.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
    });
    Ok(cosines.fold(1.0, f64::min))
}

/// One network of each family, and of each size of patches.
const MODELS: [&str; 10] = [
    "vit_p16_pocket.icons",
    "vit_p8_pocket.icons",
    "clip_pocket.icons",
    "dino_pocket.icons",
    "mae_pocket.icons",
    "beit_pocket.icons",
    "data2vec_pocket.icons",
    "convnext_tiny_pocket.icons",
    "efficientnet_pocket.icons",
    "efficientnet_lite0.in1k",
];

#[test]
fn every_family_keeps_its_features() -> Result<()> {
    if !require("bf16") {
        return Ok(());
    }
    let cache = tempfile::tempdir().expect("a folder");
    let project = Project::open(root(), "smoke")?.with_cache(cache.path());
    // Which layers stay f32 was chosen on the icons; the emoji had no part in it.
    for id in ["icons", "openemoji"] {
        let set = project.images(id)?;
        let rows: Vec<usize> = (0..set.len()).step_by(set.len() / 64).collect();
        let what = Extraction { cache: cache.path(), rows: Some(&rows), verbose: false, within: None };
        for id in MODELS {
            let record = project.manifests.model(id)?;
            let table = |dtype| extract(&load_as(root(), record, &Device::Cpu, dtype)?, &set, what);
            let (plain, half) = (table(DType::F32)?, table(DType::BF16)?);
            assert_ne!(plain.key, half.key, "{id}");
            // The family says what is rounded, and is in the key where something is.
            let mut cousin = record.clone();
            cousin.family = "other".into();
            let key = |record, dtype| features::key(record, "", dtype, &Device::Cpu, &set, None).digest();
            assert_eq!(key(record, DType::F32), key(&cousin, DType::F32), "{id}");
            assert_ne!(key(record, DType::BF16), key(&cousin, DType::BF16), "{id}");
            for name in record.features.names() {
                let cosine = smallest_cosine(&plain, &half, name)?;
                println!("{}, {id}, {name}: smallest cosine {cosine:.6}", set.id);
                assert!(cosine >= 0.9999, "{}, {id}, {name}: {cosine}", set.id);
                // EfficientNet stays as it is, being sensitive.
                let same = plain.pooling(name)? == half.pooling(name)?;
                assert_eq!(same, id.starts_with("efficientnet"), "{id}, {name}: whether anything was rounded");
            }
        }
    }
    Ok(())
}

#[test]
fn a_suite_in_bf16_has_keys_and_rows_of_its_own_and_the_same_accuracies() -> Result<()> {
    if !require("bf16") {
        return Ok(());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let suites = folder.path().join("data_manifests");
    std::fs::create_dir(&suites).expect("makes");
    for entry in ["datasets", "models", "embedded", "hub.lock"] {
        let from = root().join("data_manifests").join(entry);
        if from.exists() {
            std::os::unix::fs::symlink(from, suites.join(entry)).expect("links");
        }
    }
    std::fs::create_dir(suites.join("suites")).expect("makes");
    let models = ["vit_p16_pocket.icons", "convnext_tiny_pocket.icons", "efficientnet_lite0.in1k"];
    for dtype in ["f32", "bf16"] {
        let text = format!(
            "id = \"{dtype}\"\ndescription = \"A test's.\"\ndatasets = [\"icons\"]\nmodels = {models:?}\n\
             methods = [\"knn\", \"lr\"]\nbudgets = [10]\nseeds = [0]\nmax_images = 1500\ndtype = \"{dtype}\"\n"
        );
        std::fs::write(suites.join("suites").join(format!("{dtype}.toml")), text).expect("writes");
    }
    let cache = folder.path().join("cache");
    let [plain, half] = ["f32", "bf16"]
        .map(|suite| Ok::<_, wider_clip::error::Error>(Project::open(folder.path(), suite)?.with_cache(&cache)));
    let (plain, half) = (plain?, half?);
    let set = plain.images("icons")?;
    for model in models {
        let of = |project: &Project| Encoding::of(project, &set, model, &Device::Cpu);
        let (a, b) = (of(&plain)?, of(&half)?);
        assert_ne!(a.features_key().digest(), b.features_key().digest());
        assert_eq!(b.features_key().digest(), of(&half)?.features_key().digest());
        let pooling = a.model.features.default.as_str();
        let (method, protocol, budget) = (("knn", ""), "study", Some(10));
        let work = Work { table: "representations", method, pooling, protocol, budget, seed: 0, code: 0 };
        let (cell, half_cell) = (a.cell(&work), b.cell(&work));
        assert_eq!((cell.device.as_str(), half_cell.device.as_str()), ("cpu", "cpu, bf16"));
        assert_ne!(cell.key, half_cell.key);
        // What trains or is kept takes f32, whatever the suite says.
        assert_eq!(
            Encoding::of_f32(&half, &set, model, &Device::Cpu)?.features_key().digest(),
            a.features_key().digest()
        );
        let (a, b) = (a.encode(&plain, None)?, b.encode(&half, None)?);
        let parts = a.parts(10, 0)?;
        let truth = a.labels_at(&parts.test);
        for method in [Method::Knn, Method::Lr] {
            let score =
                |encoded: &wider_clip::prelude::Encoded| accuracy(&encoded.predict(method, &parts)?.test, &truth);
            let (plain, half) = (score(&a)?, score(&b)?);
            let (low, high) = wilson(plain, truth.len() as f64)?;
            println!("{model}, {method:?}: {plain:.4} in f32 [{low:.4}, {high:.4}], {half:.4} in bf16");
            assert!((low..=high).contains(&half), "{model}, {method:?}: {half} outside [{low}, {high}]");
        }
    }
    Ok(())
}
