//! Small parts of pretraining by themselves: masks, norms that are standardised, captions read in parts.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::collections::BTreeMap;
use wider_clip::error::Result;
use wider_clip::models::{Architecture, Mode, Transformer, TransformerConfig, initial_weights};
use wider_clip::pretrain::augment::Augmentation;
use wider_clip::pretrain::captions::reading;
use wider_clip::pretrain::{Corpus, corpus::SIDE, mask, standardised};
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
