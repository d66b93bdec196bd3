//! The curves of `tests/golden/curves.json` are what the library measures: here a few points of them, from pixels.
//!
//! `WIDER_CLIP_WRITE_CURVES=icons:vit_p16_pocket.icons` prints all points of a model (`model method split seed size a
//! b`), with features from the project's cache; 28 such runs, half an hour on two cores, made the file. Left out were
//! logistic regressions on more than 8 million numbers where a data set has 62 classes: the largest sizes of the
//! widest features.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use wider_clip::candle_core::Device;
use wider_clip::experiments::{Encoded, Encoding};
use wider_clip::manifest::Method;
use wider_clip::project::Project;
use wider_clip::random::Random;

const HALVINGS: [usize; 6] = [32, 16, 8, 4, 2, 1];

/// Half a (0) or b (1) of a family, by the hash FNV-1a of its name: the same for all seeds.
fn half(family: &str) -> usize {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    ((family.bytes().fold(0xcbf2_9ce4_8422_2325, mix) >> 20) & 1) as usize
}

fn open(root: &Path, cache: &Path, dataset: &str, model: &str) -> (Encoded, BTreeSet<String>) {
    let project = Project::open(root, "full").unwrap().with_cache(cache);
    let set = project.images(dataset).unwrap();
    let encoding = Encoding::of(&project, &set, model, &Device::Cpu).unwrap();
    let held = encoding.dataset.split.ood_domains.iter().cloned().collect();
    (encoding.encode(&project, None).unwrap(), held)
}

/// Training images of the largest size in the order in which they join, and the tests in and out of distribution.
fn divided(encoded: &Encoded, held: &BTreeSet<String>, seed: u64) -> (Vec<usize>, [Vec<usize>; 2]) {
    let all: Vec<usize> = (0..encoded.len()).collect();
    let (families, labels) = (encoded.groups_at(&all).unwrap(), encoded.labels());
    let domains = encoded.set.domains.as_ref().unwrap();
    let test = encoded.parts(100, seed).unwrap().test;
    let tested: BTreeSet<&str> = test.iter().map(|&i| families[i]).collect();
    let (ood, id): (Vec<usize>, Vec<usize>) =
        all.into_iter().partition(|&i| held.contains(&domains[encoded.features.rows[i]]));
    let ood = ood.into_iter().filter(|&i| tested.contains(families[i])).collect();
    let mut pool: Vec<usize> = id.into_iter().filter(|&i| !tested.contains(families[i])).collect();
    Random::new("curve pool", seed, 0).shuffle(&mut pool);
    // Classes in proportion: by the place in the class, as a part of the class.
    let mut of_class: BTreeMap<u32, f64> = BTreeMap::new();
    pool.iter().for_each(|&i| *of_class.entry(labels[i]).or_default() += 1.0);
    let mut seen: BTreeMap<u32, f64> = BTreeMap::new();
    let mut placed: Vec<(f64, usize)> = Vec::new();
    for &i in &pool {
        let place = seen.entry(labels[i]).or_default();
        *place += 1.0;
        placed.push(((*place - 0.5) / of_class[&labels[i]], i));
    }
    placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    (placed.into_iter().map(|(_, i)| i).collect(), [test, ood])
}

/// Right answers of half a and half b, in and out of distribution, after training on the first `n` images.
fn right(encoded: &Encoded, method: Method, order: &[usize], tests: &[Vec<usize>; 2], seed: u64) -> [[u64; 2]; 2] {
    let mut parts = encoded.parts(100, seed).unwrap();
    parts.train = order.to_vec();
    parts.train.sort_unstable();
    [parts.test, parts.ood] = tests.clone();
    let predicted = encoded.predict(method, &parts).unwrap();
    let labels = encoded.labels();
    [(&parts.test, predicted.test), (&parts.ood, predicted.ood)].map(|(positions, classes)| {
        let families = encoded.groups_at(positions).unwrap();
        let mut right = [0; 2];
        for ((&i, class), family) in positions.iter().zip(classes).zip(families) {
            right[half(family)] += u64::from(labels[i] == class);
        }
        right
    })
}

#[test]
fn kept_curves_are_what_the_library_measures() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Ok(asked) = std::env::var("WIDER_CLIP_WRITE_CURVES") {
        let (dataset, model) = asked.split_once(':').expect("data set:model");
        let project = Project::open(root, "full").unwrap();
        return write(open(root, project.cache(), dataset, model), model);
    }
    let cache = tempfile::tempdir().unwrap();
    let (encoded, held) = open(root, cache.path(), "icons", "pixels.raw");
    let text = std::fs::read_to_string(root.join("tests/golden/curves.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    for (seed, method, size) in [(0, Method::Knn, 2), (7, Method::Knn, 4), (0, Method::Lr, 1), (9, Method::Lr, 2)] {
        let (order, tests) = divided(&encoded, &held, seed);
        let found = right(&encoded, method, &order[..order.len() / HALVINGS[size]], &tests, seed);
        for (split, found) in ["id", "ood"].into_iter().zip(found) {
            let mut sets = golden.as_array().unwrap().iter();
            let set = sets.find(|set| set["dataset"] == "icons" && set["split"] == split).unwrap();
            let mut curves = set["curves"].as_array().unwrap().iter();
            let curve = curves.find(|c| c["model"] == "pixels.raw" && c["method"] == method.as_str()).unwrap();
            let kept = ["a", "b"].map(|half| curve[half][seed as usize][size].as_u64().unwrap());
            // A regression may have another image on the other side of a border on another processor.
            let differ = (0..2).map(|half| kept[half].abs_diff(found[half])).max();
            assert!(differ <= Some(2), "{split}, seed {seed}, {method:?}: {found:?}, kept {kept:?}");
        }
    }
}

fn write((encoded, held): (Encoded, BTreeSet<String>), model: &str) {
    for seed in 0..10 {
        let (order, tests) = divided(&encoded, &held, seed);
        for method in [Method::Knn, Method::Lr] {
            for n in HALVINGS.map(|halving| order.len() / halving) {
                let found = right(&encoded, method, &order[..n], &tests, seed);
                for (split, [a, b]) in ["id", "ood"].into_iter().zip(found) {
                    println!("{model} {} {split} {seed} {n} {a} {b}", method.as_str());
                }
            }
        }
    }
}
