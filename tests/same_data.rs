//! The comparison on the same data: twins, alignment, attention, and the study's order against itself. What a whole run
//! gives is tested with its notebook.

use std::path::Path;
use wider_clip::experiments::same_data::{
    RELATIVES, alignment, attention_lift, attention_of, places_of_study, survival, twin,
};
use wider_clip::models::load;
use wider_clip::prelude::*;

fn project() -> (Project, tempfile::TempDir) {
    let cache = tempfile::tempdir().unwrap();
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "smoke").unwrap().with_cache(cache.path());
    (project, cache)
}

#[test]
fn every_pocket_model_has_the_twin_that_it_began_as() {
    let (project, _cache) = project();
    let twin_of = |id: &str| {
        let record = project.manifests.model(id).unwrap();
        twin(&project, record).unwrap().map(|twin| twin.id.clone())
    };
    for (_, id) in RELATIVES {
        let expected = match id.strip_suffix("_pocket.icons").unwrap() {
            own @ ("convnext_base" | "convnext_tiny" | "vit_p16") => format!("{own}_pocket.random"),
            _ => "vit_p8_pocket.random".into(),
        };
        assert_eq!(twin_of(id), Some(expected), "{id}");
    }
    assert_eq!(twin_of("efficientnet_pocket.icons").as_deref(), Some("efficientnet_pocket.random"));
    for none in ["pixels.raw", "efficientnet_lite0.in1k", "vit_p8_pocket.random"] {
        assert_eq!(twin_of(none), None, "{none}");
    }
}

#[test]
fn alignment_is_one_with_itself_and_the_same_both_ways() {
    let (project, _cache) = project();
    let models = ["pixels.raw", "vit_p8_pocket.random"].map(String::from);
    let found = alignment(&project, "icons", &models, &Device::Cpu).unwrap();
    assert_eq!(found.n_images, 900 / 5);
    for i in 0..2 {
        assert!((found.pairs[i][i].mean - 1.0).abs() < 1e-12);
    }
    let (one, other) = (found.pairs[0][1], found.pairs[1][0]);
    assert!((one.mean - other.mean).abs() < 1e-12 && one.n == 5);
    // An untrained network keeps much of what pixels say, and adds something.
    assert!(one.mean > 0.2 && one.mean < 0.99, "{one:?}");
    assert!(found.widest() > 0.0);
}

#[test]
fn attention_adds_up_and_an_even_look_sees_the_ink_there_is() {
    let (project, _cache) = project();
    let set = project.images("icons").unwrap();
    let rows: Vec<usize> = (0..70).map(|i| i * 50).collect();
    let model = |id: &str| load(project.root(), project.manifests.model(id).unwrap(), &Device::Cpu).unwrap();
    let vit = model("vit_tiny.random");
    let maps = attention_of(&vit, &set, &rows).unwrap().unwrap();
    assert_eq!((maps.len(), maps[0].dim()), (70, (8, 8)));
    for map in &maps {
        // 64 patches and the class token share 1.
        assert!(map.sum() < 1.0 && map.sum() > 0.9, "{}", map.sum());
    }
    let lifts = attention_lift(&vit, &set, &rows).unwrap().unwrap();
    let lifts: Vec<f64> = lifts.into_iter().flatten().collect();
    // Weights of deviation 0.02 look nearly evenly.
    assert_eq!(lifts.len(), 70);
    assert!(lifts.iter().all(|lift| (lift - 1.0).abs() < 0.1), "{lifts:?}");
    assert!(attention_lift(&model("efficientnet_lite0.in1k"), &set, &rows[..1]).unwrap().is_none());
}

#[test]
fn the_studys_data_sets_agree_with_each_other() {
    let (project, _cache) = project();
    let places = places_of_study(&project).unwrap();
    // Five general sets (the sixth has a budget of 10 alone) and two parts each of the two with drift.
    assert_eq!(places.len(), 9);
    assert!(places.iter().all(|place| place.scores.len() == 9));
    let found = survival(&project, &[], None).unwrap();
    // 36 pairs, less the two of one data set.
    assert_eq!(found.n_pairs, 34);
    let pair = |i: usize, j: usize| spearman(&places[i].scores, &places[j].scores).unwrap().unwrap();
    let all = (0..9).flat_map(|i| (i + 1..9).map(move |j| (i, j)));
    let apart: Vec<f64> =
        all.filter(|&(i, j)| places[i].dataset != places[j].dataset).map(|(i, j)| pair(i, j)).collect();
    let mean = apart.iter().sum::<f64>() / apart.len() as f64;
    assert!((found.mean - mean).abs() < 1e-12, "{} for {mean}", found.mean);
    assert!(found.low < found.mean && found.mean < found.high, "{found:?}");
    let error = survival(&project, &[], Some(("openemoji", "id"))).unwrap_err().to_string();
    assert_eq!(error, "rows: expected rows of nine pocket models on openemoji, id, found none");
}
