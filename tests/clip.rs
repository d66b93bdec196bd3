//! CLIP's two towers against transformers, open_clip and candle-transformers: features, logits, every gradient and three
//! steps of Adam, in small. The goldens are of `tests/reference/backbones.py` and `tests/reference/clip_text.py`.

#[path = "golden/backbones/mod.rs"]
mod golden;
#[path = "support/require.rs"]
mod require;

use candle_core::{DType, Device, Module, Tensor, Var};
use candle_nn::VarBuilder;
use candle_nn::loss::cross_entropy;
use candle_transformers::models::clip::text_model::{Activation as Theirs, ClipTextConfig, ClipTextTransformer};
use golden::{Golden, Tensors, absolute, close, distance, norm, relative, split};
use std::collections::HashMap;
use std::path::Path;
use wider_clip::error::{Error, Result};
use wider_clip::models::clip::{Clip, ClipConfig, TextConfig, TextTower, text_parameters};
use wider_clip::models::{Architecture, Mode, TransformerConfig};
use wider_clip::ndarray::{Array2, Array3, Axis, concatenate, s};
use wider_clip::ops::Activation;
use wider_clip::probe::zero_shot::ZeroShot;
use wider_clip::random::Random;
use wider_clip::text::{Templates, Tokenizer};
use wider_clip::training::{Adam, TrainedParameter};

const CPU: &Device = &Device::Cpu;

/// OpenAI's model shrunk to the golden's size.
fn small() -> ClipConfig {
    let image = TransformerConfig {
        image_size: 24,
        patch: 8,
        dim: 32,
        depth: 2,
        heads: 4,
        hidden: 64,
        ..TransformerConfig::clip_vit_b32()
    };
    let text = TextConfig {
        vocabulary: 60,
        context: 12,
        dim: 16,
        depth: 2,
        heads: 2,
        hidden: 32,
        projection: 24,
        ..TextConfig::clip_vit_b32()
    };
    ClipConfig { image: Architecture::Transformer(image), image_dim: 32, text, ..ClipConfig::clip_vit_b32() }
}

/// open_clip's text tower beside a ConvNeXt, shrunk.
fn small_open_clip() -> TextConfig {
    let config = TextConfig::clip_convnext_base();
    TextConfig { vocabulary: 20, context: 8, dim: 16, depth: 1, heads: 2, hidden: 64, projection: 24, ..config }
}

/// The weights of `clip`, what is expected of `clip_text`.
fn golden() -> Golden {
    Golden { weights: Golden::read("clip").weights, expected: expected("clip_text"), name: "clip_text" }
}

fn expected(name: &str) -> Tensors {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/backbones/{name}.expected.safetensors"));
    candle_core::safetensors::load(path, CPU).expect("a golden file")
}

fn array(ids: &Tensor) -> Array2<u32> {
    let rows = ids.to_dtype(DType::U32).unwrap().to_vec2::<u32>().unwrap();
    Array2::from_shape_vec(ids.dims2().unwrap(), rows.concat()).unwrap()
}

fn clip() -> Clip {
    Clip::load(&small(), &golden().weights, CPU).unwrap()
}

#[test]
fn features_and_logits_equal_transformers() -> Result<()> {
    let (golden, clip) = (golden(), clip());
    let texts = clip.text_features(array(golden.get("ids")).view(), Mode::Eval)?;
    close("text features", &texts, golden.get("text_features"), 1e-4);
    let images = clip.image_features(golden.get("images"), Mode::Eval)?;
    close("image features", &images, golden.get("image_features"), 1e-4);
    close("logits", &clip.logits(&images, &texts)?, golden.get("logits_per_image"), 1e-4);
    // Only directions count.
    let other = clip.logits(&(images * 3.0)?, &(texts * 0.2)?)?;
    close("logits of features of other lengths", &other, golden.get("logits_per_image"), 1e-4);
    Ok(())
}

/// Text tower, projections and scale as variables, image tower frozen.
fn trained(config: &ClipConfig, weights: &Tensors) -> Result<(Clip, Vec<TrainedParameter>)> {
    let (mut tensors, mut parameters) = (weights.clone(), Vec::new());
    let frozen: Vec<_> = config.image.parameters().into_iter().map(|parameter| parameter.name).collect();
    for parameter in config.parameters().into_iter().filter(|parameter| !frozen.contains(&parameter.name)) {
        let var = Var::from_tensor(&weights[&parameter.name].copy()?)?;
        tensors.insert(parameter.name.clone(), var.as_tensor().clone());
        parameters.push(TrainedParameter { name: parameter.name, var, rate: 1.0, weight_decay: 0.0 });
    }
    Ok((Clip::build(config, VarBuilder::from_tensors(tensors, DType::F32, CPU))?, parameters))
}

#[test]
fn gradients_and_adam_of_the_contrastive_loss_equal_pytorch() -> Result<()> {
    let (golden, config) = (golden(), small());
    let assembled = config.assemble(&golden.weights, CPU)?;
    let (clip, parameters) = trained(&config, &assembled.tensors)?;
    let ids = array(golden.get("ids")).slice(s![..4, ..]).to_owned();
    let images = golden.get("images");
    let own = Tensor::arange(0u32, 4, CPU)?;
    let loss = || -> Result<Tensor> {
        let (images, texts) = (clip.image_features(images, Mode::QUIET)?, clip.text_features(ids.view(), Mode::QUIET)?);
        let logits = clip.logits(&images, &texts)?;
        Ok(((cross_entropy(&logits, &own)? + cross_entropy(&logits.t()?.contiguous()?, &own)?)? / 2.0)?)
    };
    let before: Tensors = parameters.iter().map(|p| Ok((p.name.clone(), p.var.copy()?))).collect::<Result<_>>()?;
    let mut adam = Adam::new(parameters.clone())?;
    let (mut zero, mut seen, mut worst) = (Vec::new(), 0, [(0.0, String::new()), (0.0, String::new())]);
    let mut hold = |kind: usize, part: &str, found: &Tensor, expected: &Tensor| {
        let off = distance(found, expected);
        assert!(off < 1e-3, "{} of {part} differs by {off}", ["the gradient", "the step"][kind]);
        if off > worst[kind].0 {
            worst[kind] = (off, part.to_string());
        }
    };
    for step in 0..3 {
        let loss = loss()?;
        let gradients = loss.backward()?;
        if step == 0 {
            let off = (loss.to_scalar::<f32>()? - golden.get("loss").to_scalar::<f32>()?).abs();
            assert!(off < 1e-4, "the loss differs by {off}");
            for parameter in &parameters {
                let gradient = gradients.get(&parameter.var);
                let gradient = gradient.unwrap_or_else(|| panic!("{} has no gradient", parameter.name));
                for (part, gradient) in split(gradient, &assembled.published[&parameter.name], &golden, "grad")? {
                    let expected = golden.get(&format!("grad.{part}"));
                    seen += 1;
                    if norm(expected) < 1e-5 {
                        assert!(norm(&gradient) < 1e-5, "{part} should have no gradient");
                        zero.push(part);
                    } else {
                        hold(0, &part, &gradient, expected);
                    }
                }
            }
        }
        adam.step(&gradients, 1e-3)?;
    }
    assert_eq!(seen, golden.expected.keys().filter(|name| name.starts_with("grad.")).count());
    for parameter in &parameters {
        let moved = (parameter.var.as_tensor() - &before[&parameter.name])?;
        for (part, moved) in split(&moved, &assembled.published[&parameter.name], &golden, "adam")? {
            if !zero.contains(&part) {
                hold(1, &part, &moved, golden.get(&format!("adam.{part}")));
            }
        }
    }
    println!("{seen} tensors, worst gradient and step: {worst:?}");
    // Softmax does not see what all keys of a query share. Nothing else is without a gradient.
    zero.sort();
    assert_eq!(zero, [0, 1].map(|i| format!("text_model.encoder.layers.{i}.self_attn.k_proj.bias")));
    Ok(())
}

#[test]
fn variables_give_the_features_of_frozen_weights() -> Result<()> {
    let (golden, config) = (golden(), small());
    let ids = array(golden.get("ids"));
    let (trained, _) = trained(&config, &config.assemble(&golden.weights, CPU)?.tensors)?;
    let frozen = clip().text_features(ids.view(), Mode::Eval)?;
    assert!(!frozen.track_op());
    for mode in [Mode::Eval, Mode::QUIET] {
        let found = trained.text_features(ids.view(), mode)?;
        assert!(found.track_op());
        close("features of variables", &found, &frozen, 1e-5);
    }
    Ok(())
}

#[test]
fn a_text_is_read_where_its_greatest_id_stands_first() -> Result<()> {
    let clip = clip();
    let features = |rows: &[[u32; 6]]| -> Result<Vec<Vec<f32>>> {
        let ids = Array2::from_shape_vec((rows.len(), 6), rows.concat()).expect("rows of six");
        Ok(clip.text_features(ids.view(), Mode::Eval)?.to_vec2::<f32>()?)
    };
    let base = features(&[[58, 3, 4, 59, 59, 59]])?;
    // What follows the end is not seen, a second end included. The long text keeps the batch from being cut short.
    let long = [58, 1, 2, 3, 4, 59];
    let off = |a: &[f32], b: &[f32]| absolute(a, b);
    for after in [[58, 3, 4, 59, 7, 8], [58, 3, 4, 59, 0, 59], [58, 3, 4, 59, 58, 1]] {
        assert!(off(&features(&[after])?[0], &base[0]) < 1e-6, "{after:?}");
        assert!(off(&features(&[after, long])?[0], &base[0]) < 1e-6, "{after:?} beside a longer text");
    }
    // What comes before is seen, and so is the place of the end.
    for before in [[58, 3, 5, 59, 59, 59], [57, 3, 4, 59, 59, 59], [58, 3, 4, 4, 59, 59], [58, 4, 3, 59, 59, 59]] {
        assert!(off(&features(&[before])?[0], &base[0]) > 1e-2, "{before:?}");
    }
    // Not an end token but the greatest id decides: without id 59 it is 58, the start.
    let start = features(&[[58, 3, 4, 5, 6, 7], [58, 58, 9, 9, 9, 9], [58, 59, 59, 59, 59, 59]])?;
    assert!(off(&start[0], &start[1]) < 1e-6);
    assert!(off(&start[0], &start[2]) > 1e-2);
    Ok(())
}

#[test]
fn a_row_depends_on_its_own_text_only() -> Result<()> {
    let (golden, clip) = (golden(), clip());
    let ids = array(golden.get("ids"));
    let mut one_by_one = Vec::new();
    for row in 0..ids.nrows() {
        one_by_one.push(clip.text_features(ids.slice(s![row..=row, ..]), Mode::Eval)?);
    }
    let one_by_one = Tensor::cat(&one_by_one, 0)?;
    close("texts one by one", &one_by_one, golden.get("text_features"), 1e-4);
    close("texts in a batch", &clip.text_features(ids.view(), Mode::Eval)?, &one_by_one, 1e-6);
    // So many texts that they pass in groups, of one length each or nearly.
    let many = concatenate(Axis(0), &vec![ids.view(); 100]).expect("rows of one length");
    let expected = Tensor::cat(&vec![&one_by_one; 100], 0)?;
    close("texts in groups", &clip.text_features(many.view(), Mode::Eval)?, &expected, 1e-6);
    // A context that is shorter than the tower's.
    let short = ids.slice(s![..2, ..9]);
    close("texts of 9 tokens", &clip.text_features(short, Mode::Eval)?, &one_by_one.narrow(0, 0, 2)?, 1e-6);
    Ok(())
}

#[test]
fn candle_transformers_gives_the_same_text_features() -> Result<()> {
    let golden = golden();
    let config = ClipTextConfig {
        vocab_size: 60,
        embed_dim: 16,
        activation: Theirs::QuickGelu,
        intermediate_size: 32,
        max_position_embeddings: 12,
        pad_with: None,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        projection_dim: 24,
    };
    let vb = VarBuilder::from_tensors(golden.weights.clone(), DType::F32, CPU);
    let tower = ClipTextTransformer::new(vb.pp("text_model"), &config)?;
    let theirs = tower.forward(&golden.get("ids").to_dtype(DType::U32)?)?;
    let theirs = theirs.matmul(&golden.weights["text_projection.weight"].t()?)?;
    let ours = clip().text_features(array(golden.get("ids")).view(), Mode::Eval)?;
    close("candle-transformers' text features", &theirs, &ours, 1e-5);
    Ok(())
}

#[test]
fn the_text_tower_of_open_clip_loads_by_its_own_names() -> Result<()> {
    let weights = Golden::read("convnext_openclip").weights;
    let expected = expected("convnext_openclip_text");
    let config = small_open_clip();
    let assembled = config.assemble(&weights, CPU)?;
    assert_eq!(assembled.publisher, "open_clip");
    assert_eq!(assembled.published["text.blocks.0.attn.qkv.bias"], ["transformer.resblocks.0.attn.in_proj_bias"]);
    let tower = TextTower::load(&config, &VarBuilder::from_tensors(assembled.tensors, DType::F32, CPU))?;
    let features = tower.forward(array(&expected["ids"]).view(), Mode::Eval)?;
    close("open_clip's text features", &features, &expected["text_features"], 1e-4);
    // The exact GELU is not OpenAI's.
    let quick = TextConfig { activation: Activation::QuickGelu, ..config.clone() };
    let assembled = quick.assemble(&weights, CPU)?;
    let tower = TextTower::load(&quick, &VarBuilder::from_tensors(assembled.tensors, DType::F32, CPU))?;
    let features = tower.forward(array(&expected["ids"]).view(), Mode::Eval)?;
    assert!(relative(&features, &expected["text_features"]) > 1e-4);
    Ok(())
}

#[test]
fn a_square_projection_of_open_clip_is_turned() -> Result<()> {
    // Its shape does not tell: 16 by 16.
    let mut weights = Golden::read("convnext_openclip").weights;
    let matrix = weights["text_projection"].narrow(1, 0, 16)?.contiguous()?;
    weights.insert("text_projection".into(), matrix.clone());
    let config = TextConfig { projection: 16, ..small_open_clip() };
    let read = &config.assemble(&weights, CPU)?.tensors["text_projection.weight"];
    assert_eq!(read.to_vec2::<f32>()?, matrix.t()?.to_vec2::<f32>()?);
    Ok(())
}

#[test]
fn what_does_not_fit_is_named() -> Result<()> {
    let (golden, clip) = (golden(), clip());
    let ids = |shape: (usize, usize), id: u32| Array2::from_elem(shape, id);
    let message = |ids: Array2<u32>| clip.text_features(ids.view(), Mode::Eval).expect_err("no features").to_string();
    assert_eq!(message(ids((2, 13), 1)), "token ids: expected (B, T) with T from 1 to 12, found [2, 13]");
    assert_eq!(message(ids((2, 0), 1)), "token ids: expected (B, T) with T from 1 to 12, found [2, 0]");
    let mut outside = ids((2, 5), 59);
    outside[[1, 3]] = 60;
    assert_eq!(message(outside), "token ids: expected ids below 60, found 60 at position 3 of text 1");
    let none = clip.text_features(ids((0, 12), 0).view(), Mode::Eval)?;
    assert_eq!(none.dims(), [0, 24]);
    assert_eq!(clip.logits(golden.get("image_features"), &none)?.dims(), [4, 0]);

    let features = |shape: &[usize]| Tensor::ones(shape, DType::F32, CPU).expect("memory");
    let message =
        |a: &[usize], b: &[usize]| clip.logits(&features(a), &features(b)).expect_err("no logits").to_string();
    assert!(message(&[2, 24], &[3, 23]).ends_with("found 24 and 23 numbers"));
    assert!(message(&[2, 24], &[24]).ends_with("found [2, 24] and [24]"));
    let images = clip.image_features(&features(&[1, 3, 32, 32]), Mode::Eval).expect_err("24 pixels").to_string();
    assert!(images.contains("(B, 3, 24, 24)"), "{images}");

    let load = |config: &ClipConfig, change: &dyn Fn(&mut Tensors)| {
        let mut weights = golden.weights.clone();
        change(&mut weights);
        Clip::load(config, &weights, CPU).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let gone = load(&small(), &|weights| drop(weights.remove("text_model.encoder.layers.1.self_attn.k_proj.bias")));
    assert!(gone.contains("Missing: text_model.encoder.layers.1.self_attn.k_proj.bias."), "{gone}");
    let gone = load(&small(), &|weights| drop(weights.remove("logit_scale")));
    assert!(gone.contains("Missing: logit_scale."), "{gone}");
    let gone = load(&small(), &|weights| drop(weights.remove("vision_model.post_layernorm.bias")));
    assert!(gone.contains("Missing: vision_model.post_layernorm.bias."), "{gone}");
    let extra = load(&small(), &|weights| drop(weights.insert("text_model.head.weight".into(), features(&[2]))));
    assert!(extra.contains("Unexpected: text_model.head.weight"), "{extra}");
    let wide = ClipConfig { image_dim: 31, ..small() };
    assert!(load(&wide, &|_| ()).contains("visual_projection.weight [24, 32] (expected [24, 31])"));
    let heads = ClipConfig { text: TextConfig { heads: 3, ..small().text }, ..small() };
    assert!(load(&heads, &|_| ()).starts_with("text config: expected sizes above 0, and heads that divide dim"));

    let avg = ClipConfig { pooling: "avg", ..small() };
    let avg = Clip::load(&avg, &golden.weights, CPU)?.image_features(golden.get("images"), Mode::Eval);
    assert!(matches!(avg, Err(Error::Unknown { kind: "pooling", .. })));
    let empty = VarBuilder::from_tensors(HashMap::new(), DType::F32, CPU);
    let missing = TextTower::load(&small().text, &empty).err().map(|error| error.chain()).unwrap_or_default();
    assert!(missing.starts_with("loading text tower weights") && missing.contains("text."), "{missing}");
    Ok(())
}

#[test]
fn class_names_to_classes_with_random_weights() -> Result<()> {
    let merges = [("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>")];
    let merges: Vec<_> = merges.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    let tokenizer = Tokenizer::from_merges(&merges, 24)?;
    let text = TextConfig { vocabulary: tokenizer.vocabulary_size(), context: 24, ..small().text };
    let mut config = ClipConfig { text, ..small() };
    let run = |config: &ClipConfig, seed: u64| -> Result<(Vec<u32>, Vec<f32>)> {
        let draw = |(i, shape): (usize, &[usize])| {
            let mut random = Random::new("clip test", seed, i as u64);
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.unit() as f32 - 0.5).collect();
            Tensor::from_vec(values, shape, CPU)
        };
        let parameters = config.parameters();
        let weights = parameters.iter().enumerate().map(|(i, p)| Ok((p.name.clone(), draw((i, &p.shape))?)));
        let weights: Tensors = weights.collect::<Result<_>>()?;
        let clip = Clip::build(config, VarBuilder::from_tensors(weights, DType::F32, CPU))?;
        let templates = Templates::new(["a {}.", "two {}s"])?;
        let ids = tokenizer.encode_batch(&templates.prompts(&["cat", "Dog", "cat_dog"])?);
        let texts = clip.text_features(ids.view(), Mode::Eval)?.flatten_all()?.to_vec1::<f32>()?;
        let texts = Array3::from_shape_vec((3, templates.len(), 24), texts).expect("features of six prompts");
        let images = clip.image_features(golden().get("images"), Mode::Eval)?.flatten_all()?.to_vec1::<f32>()?;
        let images = Array2::from_shape_vec((4, 24), images).expect("features of four images");
        let (classes, scores) = ZeroShot::new(texts.view())?.try_predict(images.view())?;
        assert_eq!(scores.dim(), (4, 3));
        assert!(scores.iter().all(|score| score.abs() <= 1.0 + 1e-6));
        Ok((classes.to_vec(), scores.iter().copied().collect()))
    };
    let first = run(&config, 1)?;
    assert_eq!(run(&config, 1)?, first, "the same weights give the same scores to the last digit");
    assert_ne!(run(&config, 2)?.1, first.1);
    // A vocabulary that is too small is found out by the ids.
    config.text.vocabulary -= 1;
    let error = run(&config, 1).expect_err("the end token is outside").to_string();
    assert!(error.contains("expected ids below 517"), "{error}");
    Ok(())
}

#[test]
fn parameters_have_the_sizes_of_the_published_models() {
    let count = |parameters: Vec<wider_clip::models::assemble::Parameter>| -> usize {
        parameters.iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum()
    };
    // transformers' CLIPModel of openai/clip-vit-base-patch32; its text tower with the projection.
    assert_eq!(count(ClipConfig::clip_vit_b32().parameters()), 151_277_313);
    assert_eq!(count(text_parameters(&TextConfig::clip_vit_b32())), 63_428_096);
    assert_eq!(count(text_parameters(&TextConfig::clip_convnext_base())), 63_428_096);
}

/// The full towers on the captions of tests/golden/tokenizer, where the folder WIDER_CLIP_PARITY holds them; made by
/// `backbones.py --full MODEL --out FOLDER` and `clip_text.py --out FOLDER` in tests/reference.
#[test]
fn full_text_features_equal_pytorch() -> Result<()> {
    if !require::require("parity") {
        return Ok(());
    }
    let folder = require::parity_folder().expect("it is here");
    let captions =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tokenizer/captions.json"))
            .expect("the golden file");
    let captions: serde_json::Value = serde_json::from_str(&captions).expect("JSON");
    let texts: Vec<&str> = captions.as_array().expect("a list").iter().filter_map(|c| c["text"].as_str()).collect();
    let ids = Tokenizer::clip()?.encode_batch(&texts);
    let models = [
        ("clip_vit_b32.openai", TextConfig::clip_vit_b32()),
        ("convnext_base.clip_laion400m", TextConfig::clip_convnext_base()),
    ];
    let mut compared = 0;
    for (name, config) in models {
        let file = |name: &str| candle_core::safetensors::load(name, CPU);
        let path = folder.join(name);
        let (weights, expected) = (path.join("model.safetensors"), path.join("text_expected.safetensors"));
        if !(weights.exists() && expected.exists()) {
            println!("{name}: not in the folder");
            continue;
        }
        let expected = file(&expected.to_string_lossy())?;
        assert_eq!(array(&expected["ids"]), ids, "{name}: ids of the captions");
        let weights = config.assemble(&file(&weights.to_string_lossy())?, CPU)?.tensors;
        let tower = TextTower::load(&config, &VarBuilder::from_tensors(weights, DType::F32, CPU))?;
        let started = std::time::Instant::now();
        let features = tower.forward(ids.view(), Mode::Eval)?;
        println!("{name}: {} captions in {:.2} s", texts.len(), started.elapsed().as_secs_f64());
        close(&format!("{name}: text features"), &features, &expected["text_features"], 1e-4);
        compared += 1;
    }
    assert!(compared > 0, "no CLIP model in {}", folder.display());
    Ok(())
}

/// Both full towers of OpenAI's model on the images and texts of `backbones.py --full`, in the same folder.
#[test]
fn full_logits_equal_pytorch() -> Result<()> {
    let folder = require::parity_folder().map(|folder| folder.join("clip_vit_b32.openai"));
    if !require::require_that("parity", folder.as_ref().is_some_and(|folder| folder.join("model.safetensors").exists()))
    {
        return Ok(());
    }
    let folder = folder.expect("it is here");
    let file = |name: &str| candle_core::safetensors::load(folder.join(name), CPU);
    let expected = file("expected.safetensors")?;
    let clip = Clip::load(&ClipConfig::clip_vit_b32(), &file("model.safetensors")?, CPU)?;
    let texts = clip.text_features(array(&expected["ids"]).view(), Mode::Eval)?;
    let images = clip.image_features(&expected["images"], Mode::Eval)?;
    close("full text features", &texts, &expected["text_features"], 1e-4);
    close("full image features", &images, &expected["image_features"], 1e-4);
    close("full logits", &clip.logits(&images, &texts)?, &expected["logits_per_image"], 1e-4);
    Ok(())
}
