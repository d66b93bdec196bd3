//! The noise of training, groups of learning rates, and a classifier that learns.

#[path = "support/compare.rs"]
mod compare;

use candle_core::{DType, Device, Tensor};
use candle_nn::loss::cross_entropy;
use compare::relative;
use std::collections::HashMap;
use wider_clip::error::{Error, Result};
use wider_clip::models::transformer::random_weights;
use wider_clip::models::{Architecture, Mode, Noise, TransformerConfig, initial_weights};
use wider_clip::training::{Adam, Classifier, ClassifierParams, Head, Parameters, decays};

const SIZE: usize = 16;

fn config() -> TransformerConfig {
    TransformerConfig {
        image_size: SIZE,
        patch: 8,
        dim: 16,
        depth: 3,
        heads: 2,
        hidden: 32,
        ..TransformerConfig::vit_tiny_patch8_64()
    }
}

fn images(batch: usize) -> Result<Tensor> {
    let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 16) as f32 / 32768.0 - 1.0;
    let values: Vec<f32> = (0..batch * 3 * SIZE * SIZE).map(value).collect();
    Ok(Tensor::from_vec(values, (batch, 3, SIZE, SIZE), &Device::Cpu)?)
}

fn params(architecture: &Architecture) -> ClassifierParams<'_> {
    ClassifierParams {
        architecture,
        pooling: "cls",
        dim: 16,
        n_classes: 3,
        head: Head::Torch,
        seed: 5,
        layer_decay: 1.0,
        weight_decay: 0.0,
    }
}

fn classifier(architecture: &Architecture) -> Result<Classifier> {
    let weights = random_weights(&config(), 0, &Device::Cpu)?;
    Classifier::new(&params(architecture), &weights, &Device::Cpu)
}

fn values(t: Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn noise_follows_seed_and_step_alone() -> Result<()> {
    let architecture = Architecture::Transformer(config());
    let model = classifier(&architecture)?;
    let noise = Noise { dropout: 0.2, drop_path: 0.5, seed: 1, step: 7 };
    let logits = |noise: Noise| -> Result<Vec<f32>> { Ok(values(model.forward(&images(6)?, Mode::Train(noise))?)) };
    assert_eq!(logits(noise)?, logits(noise)?, "the same step drops the same");
    assert_ne!(logits(noise)?, logits(Noise { step: 8, ..noise })?);
    assert_ne!(logits(noise)?, logits(Noise { seed: 2, ..noise })?);
    let quiet = values(model.forward(&images(6)?, Mode::QUIET)?);
    assert_eq!(quiet, values(model.forward(&images(6)?, Mode::Eval)?), "without noise training is evaluation");
    assert_ne!(quiet, logits(Noise { drop_path: 0.0, ..noise })?, "dropout alone");
    assert_ne!(quiet, logits(Noise { dropout: 0.0, ..noise })?, "drop path alone");
    Ok(())
}

#[test]
fn a_dropped_path_leaves_out_whole_images() -> Result<()> {
    // One block, always the last of one: its rate is that of the first branch, 0; of two blocks the second has it all.
    let config = TransformerConfig { depth: 2, ..config() };
    let architecture = Architecture::Transformer(config.clone());
    let mut weights = random_weights(&config, 0, &Device::Cpu)?;
    // The class token then depends on the second block through its biases alone.
    let ones = Tensor::ones(16, DType::F32, &Device::Cpu)?;
    weights.insert("blocks.1.mlp.fc2.bias".into(), ones);
    let model = Classifier::new(&params(&architecture), &weights, &Device::Cpu)?;
    let n = 400;
    let images = images(1)?.repeat((n, 1, 1, 1))?;
    let mode = |drop_path| Mode::Train(Noise { drop_path, seed: 3, ..Noise::default() });
    let logits = model.forward(&images, mode(0.25))?.to_vec2::<f32>()?;
    let mut kinds: Vec<(Vec<u32>, usize)> = Vec::new();
    for row in logits {
        let bits: Vec<u32> = row.iter().map(|v| v.to_bits()).collect();
        match kinds.iter_mut().find(|(kind, _)| *kind == bits) {
            Some((_, count)) => *count += 1,
            None => kinds.push((bits, 1)),
        }
    }
    // Both branches of the block are dropped by one draw an image.
    let mut counts: Vec<usize> = kinds.iter().map(|(_, count)| *count).collect();
    counts.sort();
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert!((70..130).contains(&counts[0]), "a quarter of {n} images: {counts:?}");
    Ok(())
}

#[test]
fn rates_fall_towards_the_input() -> Result<()> {
    let architecture = Architecture::Transformer(config());
    let weights = random_weights(&config(), 0, &Device::Cpu)?;
    let params = ClassifierParams { layer_decay: 0.5, weight_decay: 0.1, ..params(&architecture) };
    let model = Classifier::new(&params, &weights, &Device::Cpu)?;
    let rate = |name: &str| model.parameters().iter().find(|p| p.name == name).map(|p| (p.rate, p.weight_decay));
    // Depths 0 to 4: embeddings, three blocks, and norm with head.
    assert_eq!(rate("head.weight"), Some((1.0, 0.1)));
    assert_eq!(rate("head.bias"), Some((1.0, 0.0)));
    assert_eq!(rate("norm.weight"), Some((1.0, 0.0)));
    assert_eq!(rate("blocks.2.mlp.fc1.weight"), Some((0.5, 0.1)));
    assert_eq!(rate("blocks.0.norm1.bias"), Some((0.125, 0.0)));
    assert_eq!(rate("cls_token"), Some((0.0625, 0.0)));
    assert_eq!(rate("pos_embed"), Some((0.0625, 0.0)));
    Ok(())
}

#[test]
fn a_classifier_learns_its_images_and_keeps_its_state() -> Result<()> {
    let architecture = Architecture::Transformer(config());
    let model = classifier(&architecture)?;
    let (images, labels) = (images(6)?, Tensor::new(&[0u32, 1, 2, 0, 1, 2], &Device::Cpu)?);
    let loss = || -> Result<Tensor> { Ok(cross_entropy(&model.forward(&images, Mode::QUIET)?, &labels)?) };
    let before = model.state()?;
    let mut adam = Adam::new(model.parameters().to_vec())?;
    let first = loss()?.to_scalar::<f32>()?;
    for _ in 0..40 {
        adam.step(&loss()?.backward()?, 3e-3)?;
    }
    let last = loss()?.to_scalar::<f32>()?;
    println!("loss {first:.3} to {last:.3}");
    assert!(first > 0.9 && last < 0.1, "{first} to {last}");
    let state: HashMap<String, Tensor> = before.into_iter().collect();
    model.set_state(&state)?;
    assert_eq!(loss()?.to_scalar::<f32>()?, first, "the state is whole");
    let lost = HashMap::from([("norm.bias".to_string(), state["norm.bias"].clone())]);
    assert!(matches!(model.set_state(&lost), Err(Error::Argument { .. })));
    Ok(())
}

#[test]
fn what_cannot_be_is_refused() -> Result<()> {
    let architecture = Architecture::Transformer(config());
    let weights = random_weights(&config(), 0, &Device::Cpu)?;
    let new = |params: ClassifierParams, weights: &HashMap<String, Tensor>| {
        Classifier::new(&params, weights, &Device::Cpu).err().expect("refused").to_string()
    };
    let good = params(&architecture);
    assert!(new(ClassifierParams { n_classes: 1, ..good.clone() }, &weights).contains("at least 2 classes"));
    assert!(new(ClassifierParams { layer_decay: 0.0, ..good.clone() }, &weights).contains("layer_decay"));
    assert!(new(good.clone(), &HashMap::new()).contains("cls_token"));
    let model = Classifier::new(&ClassifierParams { pooling: "avg", ..good }, &weights, &Device::Cpu)?;
    let error = model.forward(&images(1)?, Mode::Eval).expect_err("no such pooling").to_string();
    assert!(error.contains("`avg`") && error.contains("cls, patch_mean"), "{error}");
    // A parameter that the loss does not reach is named, not passed over.
    let mut adam = Adam::new(model.parameters().to_vec())?;
    let error = adam.step(&Tensor::zeros(1, DType::F32, &Device::Cpu)?.sum_all()?.backward()?, 0.1);
    assert!(error.expect_err("no gradient").to_string().contains("none for cls_token"));
    Ok(())
}

#[test]
fn weight_decay_is_for_matrices_alone() -> Result<()> {
    for (name, rank, expected) in [
        ("blocks.0.attn.qkv.weight", 2, true),
        ("patch_embed.weight", 4, true),
        ("head.weight", 2, true),
        ("text.token_embedding", 2, true),
        ("decoder.prototypes", 2, true),
        ("blocks.0.attn.qkv.bias", 1, false),
        ("norm.weight", 1, false),
        ("stages.0.blocks.0.gamma", 1, false),
        ("logit_scale", 0, false),
        ("pos_embed", 3, false),
        ("text.pos_embed", 2, false),
        ("blocks.3.attn.relative_position_bias_table", 2, false),
        ("cls_token", 3, false),
        ("decoder.mask_token", 2, false),
    ] {
        assert_eq!(decays(name, rank), expected, "{name}");
    }
    // What is drawn and what is loaded follow the same rule.
    let architecture = Architecture::Transformer(config());
    let mut drawn = Parameters::new(0, 0.1, &Device::Cpu);
    drawn.encoder(&architecture)?;
    let weights = random_weights(&config(), 0, &Device::Cpu)?;
    let loaded =
        Classifier::new(&ClassifierParams { weight_decay: 0.1, ..params(&architecture) }, &weights, &Device::Cpu)?;
    for parameter in drawn.trained().iter().chain(loaded.parameters()) {
        let expected = if decays(&parameter.name, parameter.var.rank()) { 0.1 } else { 0.0 };
        assert_eq!(parameter.weight_decay, expected, "{}", parameter.name);
    }
    Ok(())
}

#[test]
fn a_head_begins_as_it_is_told() -> Result<()> {
    let architecture = Architecture::Transformer(config());
    let weights = random_weights(&config(), 0, &Device::Cpu)?;
    let begin =
        |head: Head| Classifier::new(&ClassifierParams { head, ..params(&architecture) }, &weights, &Device::Cpu);
    let head = |model: &Classifier| -> Result<(Vec<f32>, Vec<f32>)> {
        let state = model.state()?;
        Ok((values(state["head.weight"].clone()), values(state["head.bias"].clone())))
    };
    let (weight, bias) = head(&begin(Head::Torch)?)?;
    assert!(weight.iter().chain(&bias).all(|value| value.abs() <= 0.25) && bias.iter().any(|value| *value != 0.0));
    let (weight, bias) = head(&begin(Head::Glorot)?)?;
    // 2 / (16 + 3), cut at two deviations.
    let deviation = (2f32 / 19.0).sqrt();
    assert!(
        weight.iter().all(|value| value.abs() <= 2.0 * deviation) && weight.iter().any(|value| value.abs() > deviation)
    );
    assert_eq!(bias, [0.0; 3]);
    let given =
        (Tensor::arange(0f32, 48.0, &Device::Cpu)?.reshape((3, 16))?, Tensor::new(&[1f32, 2.0, 3.0], &Device::Cpu)?);
    let model = begin(Head::Given(&given.0, &given.1))?;
    assert_eq!(head(&model)?, (values(given.0.clone()), vec![1.0, 2.0, 3.0]));
    // The scores are those of the given layer on the frozen feature.
    let feature = model.feature(&images(4)?, Mode::Eval)?;
    let expected = feature.matmul(&given.0.t()?)?.broadcast_add(&given.1)?;
    let off = relative(&model.forward(&images(4)?, Mode::Eval)?, &expected);
    assert!(off.absolute < 1e-3, "{off}");
    let error = begin(Head::Given(&given.0.t()?, &given.1)).err().expect("refused").to_string();
    assert_eq!(error, "head: expected weights [3, 16] and biases [3], found [16, 3] and [3]");
    Ok(())
}

#[test]
fn the_mode_decides_what_batch_normalisation_does() -> Result<()> {
    let architecture = Architecture::named("efficientnet_pocket")?;
    let weights = initial_weights(&architecture, 0, &Device::Cpu)?;
    let params = ClassifierParams { pooling: "avg", dim: 640, ..params(&architecture) };
    let model = Classifier::new(&params, &weights, &Device::Cpu)?;
    let images = Tensor::rand(-1f32, 1.0, (4, 3, 64, 64), &Device::Cpu)?;
    let labels = Tensor::new(&[0u32, 1, 2, 0], &Device::Cpu)?;
    let statistics = || -> Result<Vec<f32>> {
        let all = model.variables().statistics().values();
        Ok(all.flat_map(|var| values(var.as_tensor().clone())).collect())
    };
    let before = statistics()?;
    assert!(!before.is_empty());
    for (mode, moves) in [(Mode::Eval, false), (Mode::QUIET, true)] {
        let gradients = cross_entropy(&model.forward(&images, mode)?, &labels)?.backward()?;
        for parameter in model.parameters() {
            assert!(gradients.get(&parameter.var).is_some(), "{mode:?}: none for {}", parameter.name);
        }
        assert_eq!(statistics()? != before, moves, "{mode:?}");
    }
    Ok(())
}
