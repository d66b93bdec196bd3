//! Small parts of pretraining by themselves: masks, norms that are standardised, captions read in parts.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::collections::BTreeMap;
use wider_clip::augment::{Augmentation, Blur, Jitter};
use wider_clip::error::Result;
use wider_clip::models::{Architecture, Mode, Transformer, TransformerConfig, initial_weights};
use wider_clip::pretrain::captions::reading;
use wider_clip::pretrain::{Corpus, Kind, Recipe, corpus::SIDE, mask, standardised};
use wider_clip::random::Random;

#[test]
fn blocks_hide_neighbours_together_and_every_patch_as_often() {
    let (mut pairs, mut counts) = (0usize, vec![0usize; 36]);
    for image in 0..2000 {
        let hidden = mask::blocks(6, 15, 4, &mut Random::new("blocks", 0, image));
        assert_eq!(hidden.iter().filter(|&&hidden| hidden).count(), 15);
        pairs += (0..36).filter(|at| at % 6 < 5 && hidden[*at] && hidden[at + 1]).count();
        counts.iter_mut().zip(&hidden).for_each(|(count, hidden)| *count += usize::from(*hidden));
    }
    // Of 30 pairs of neighbours in rows, scattered masks of 15 of 36 hide 30 * 15 * 14 / (36 * 35) = 5.
    assert!(pairs as f64 / 2000.0 > 7.0, "{pairs}");
    // Corners are in fewer rectangles than the middle, but none is left out.
    assert!(counts.iter().all(|&count| count > 250), "{counts:?}");
}

#[test]
fn patch_tokens_have_mean_0_and_deviation_1_afterwards() -> Result<()> {
    let (n, bytes) = (48, 48 * SIDE * SIDE * 3);
    let pixels = (0..bytes).map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8 | (i % 7) as u8).collect();
    let corpus = Corpus::new(pixels, vec![0; n], vec!["a".into()], vec!["a".into(); n])?;
    let config = TransformerConfig { dim: 16, depth: 1, heads: 2, hidden: 32, ..TransformerConfig::vit_pocket(8) };
    let architecture = Architecture::Transformer(config.clone());
    let device = Device::Cpu;
    let weights = standardised(initial_weights(&architecture, 3, &device)?, &config, &corpus, &device)?;
    let encoder = Transformer::load(&config, VarBuilder::from_tensors(weights, DType::F32, &device))?;
    let mut views = Vec::new();
    for row in corpus.train() {
        let mut view = vec![0f32; 3 * 48 * 48];
        Augmentation::plain(48).draw(corpus.image(*row), SIDE, &mut Random::new("plain", 0, 0), &mut view)?;
        views.extend(view);
    }
    let images = Tensor::from_vec(views, (corpus.train().len(), 3, 48, 48), &device)?;
    let tokens = encoder.forward_tokens(&images, Mode::Eval)?.narrow(1, 1, 36)?;
    let means = tokens.mean((0, 1))?.to_vec1::<f32>()?;
    assert!(means.iter().all(|mean| mean.abs() < 1e-5), "{means:?}");
    let squares = tokens.sqr()?.mean((0, 1))?.to_vec1::<f32>()?;
    assert!(squares.iter().all(|square| (square - 1.0).abs() < 1e-4), "{squares:?}");
    Ok(())
}

#[test]
fn a_caption_is_read_whole_by_its_name_and_by_its_category_equally_often() {
    let caption = "shopping cart, commerce";
    let mut counts = BTreeMap::<&str, usize>::new();
    for place in 0..3000 {
        *counts.entry(reading(caption, 5, place)).or_default() += 1;
    }
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["commerce", "shopping cart", caption]);
    assert!(counts.values().all(|n| (900..=1100).contains(n)), "{counts:?}");
    // A place decides it, whatever was read before; another seed reads otherwise.
    let first = |seed: u64| (0..30).map(|place| reading(caption, seed, place)).collect::<Vec<_>>();
    assert_eq!(first(5), first(5));
    assert_ne!(first(5), first(6));
    assert_eq!(reading("cart", 5, 0), "cart");
}

/// Each text differs from every other one.
fn all_differ(texts: &[String]) {
    for (i, text) in texts.iter().enumerate() {
        assert!(!texts[..i].contains(text), "{text}");
    }
}

#[test]
fn every_field_of_a_view_changes_its_fingerprint() {
    let view = Augmentation::dino_first(48);
    let (jitter, blur) = (view.jitter.clone().expect("a jitter"), view.blur.clone().expect("a blur"));
    let with_jitter = |jitter: Jitter| Augmentation { jitter: Some(jitter), ..view.clone() };
    let with_blur = |blur: Blur| Augmentation { blur: Some(blur), ..view.clone() };
    // A field that is added here is one that the fingerprint must name.
    let Augmentation { size: _, scale: _, ratio: _, flip: _, recolour: _, jitter: _, grey: _, blur: _, solarise: _ } =
        view;
    let Jitter { probability: _, brightness: _, contrast: _, saturation: _, hue: _ } = jitter;
    let Blur { probability: _, sigma: _ } = blur;
    let changed = [
        view.clone(),
        Augmentation { size: 47, ..view.clone() },
        Augmentation { scale: (0.71, 1.0), ..view.clone() },
        Augmentation { scale: (0.7, 0.99), ..view.clone() },
        Augmentation { ratio: (0.7, view.ratio.1), ..view.clone() },
        Augmentation { ratio: (view.ratio.0, 1.3), ..view.clone() },
        Augmentation { flip: 0.1, ..view.clone() },
        Augmentation { recolour: 0.1, ..view.clone() },
        Augmentation { jitter: None, ..view.clone() },
        with_jitter(Jitter { probability: 0.7, ..jitter.clone() }),
        with_jitter(Jitter { brightness: 0.5, ..jitter.clone() }),
        with_jitter(Jitter { contrast: 0.5, ..jitter.clone() }),
        with_jitter(Jitter { saturation: 0.5, ..jitter.clone() }),
        with_jitter(Jitter { hue: 0.5, ..jitter.clone() }),
        Augmentation { grey: 0.3, ..view.clone() },
        Augmentation { blur: None, ..view.clone() },
        with_blur(Blur { probability: 0.9, ..blur.clone() }),
        with_blur(Blur { sigma: (0.06, blur.sigma.1), ..blur.clone() }),
        with_blur(Blur { sigma: (blur.sigma.0, 1.1), ..blur.clone() }),
        Augmentation { solarise: 0.1, ..view.clone() },
    ];
    all_differ(&changed.map(|view| view.fingerprint()));
}

#[test]
fn every_field_of_a_recipe_changes_its_fingerprint() {
    let recipe = Recipe::named("dino").expect("a recipe");
    let first = recipe.views[0].clone();
    let Recipe {
        id: _,
        model: _,
        objective: _,
        architecture: _,
        feature: _,
        batch: _,
        rate: _,
        weight_decay: _,
        beta2: _,
        longest_gradient: _,
        views: _,
    } = recipe.clone();
    let changed = [
        recipe.clone(),
        Recipe { id: "other", ..recipe.clone() },
        Recipe { model: "other", ..recipe.clone() },
        Recipe { objective: Kind::Mae, ..recipe.clone() },
        Recipe { architecture: "vit_pocket_patch16_48", ..recipe.clone() },
        Recipe { feature: ("cls", recipe.feature.1), ..recipe.clone() },
        Recipe { feature: (recipe.feature.0, 128), ..recipe.clone() },
        Recipe { batch: 32, ..recipe.clone() },
        Recipe { rate: 1e-3, ..recipe.clone() },
        Recipe { weight_decay: 0.05, ..recipe.clone() },
        Recipe { beta2: 0.99, ..recipe.clone() },
        Recipe { longest_gradient: None, ..recipe.clone() },
        Recipe { longest_gradient: Some(2.0), ..recipe.clone() },
        Recipe { views: vec![first.clone()], ..recipe.clone() },
        Recipe { views: vec![first.clone(), first], ..recipe.clone() },
    ];
    all_differ(&changed.map(|recipe| recipe.fingerprint()));
    let mut all = Recipe::all();
    all.push(Recipe::tokenizer());
    all_differ(&all.iter().map(Recipe::fingerprint).collect::<Vec<_>>());
}
