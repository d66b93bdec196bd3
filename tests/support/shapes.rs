//! A corpus of drawn shapes and recipes small enough for tests.

use wider_clip::pretrain::{Corpus, Recipe, corpus::SIDE};
use wider_clip::random::Random;

/// Shapes in two colours, at random places: `n` images of four classes, one of which is no class.
pub fn corpus(n: usize) -> Corpus {
    let classes = ["(other)", "square", "bar", "cross"].map(String::from).to_vec();
    let (mut pixels, mut labels, mut captions) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..n {
        let mut random = Random::new("shapes", 0, i as u64);
        let class = random.below(classes.len());
        let (x0, y0) = (random.below(30), random.below(30));
        let colour = if random.below(2) == 0 { [0, 0, 0] } else { [200, 30, 60] };
        let mut image = vec![255u8; SIDE * SIDE * 3];
        for y in 0..SIDE {
            for x in 0..SIDE {
                let (dx, dy) = (x.wrapping_sub(x0), y.wrapping_sub(y0));
                let inside = match class {
                    0 => (dx * 7 + dy * 13) % 5 == 0 && dx < 30 && dy < 30,
                    1 => dx < 24 && dy < 24,
                    2 => dx < 30 && dy < 6,
                    _ => dx < 30 && dy < 30 && ((12..18).contains(&dx) || (12..18).contains(&dy)),
                };
                if inside {
                    image[(y * SIDE + x) * 3..][..3].copy_from_slice(&colour);
                }
            }
        }
        pixels.extend(image);
        labels.push(class as u32);
        // Four hundred words, each more than once, for the byte pairs that CLIP's tokenizer learns.
        let word = |number: usize| -> String {
            let mut random = Random::new("words", 0, number as u64);
            (0..6).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
        };
        let words: Vec<String> = (0..30).map(|k| word((13 * k + 7 * i) % 400)).collect();
        // Every other one with a category.
        let category = if i % 2 == 0 { ", shape" } else { "" };
        captions.push(format!("{} {}{category}", classes[class].trim_matches(['(', ')']), words.join(" ")));
    }
    Corpus::new(pixels, labels, classes, captions).expect("a corpus")
}

/// A recipe with small batches.
pub fn small(id: &str) -> Recipe {
    Recipe { batch: 8, ..Recipe::named(id).expect("a recipe") }
}

/// Every recipe, the tokenizer before BEiT.
pub const ALL: [&str; 11] = [
    "tokenizer",
    "clip",
    "vit_16",
    "vit_32",
    "convnext_base",
    "convnext_tiny",
    "dino",
    "mae",
    "beit",
    "data2vec",
    "efficientnet",
];
