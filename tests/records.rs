//! The records of the study's backbones: complete, consistent with each other, with the study's tables and suites.

use std::collections::BTreeSet;
use std::path::Path;

use wider_clip::manifest::{Manifests, Method, ModelRecord, Weights};
use wider_clip::models;
use wider_clip::published;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn manifests() -> Manifests {
    Manifests::load(root()).expect("shipped manifests")
}

fn on_the_hub(manifests: &Manifests) -> Vec<&ModelRecord> {
    manifests.models().filter(|model| matches!(model.weights, Weights::Hub { .. })).collect()
}

/// Id, family, architecture and width of every record with weights on the hub.
const RECORDS: [(&str, &str, &str, usize); 17] = [
    ("beit_b16.pt22k", "beit", "beit_b16", 768),
    ("clip_vit_b32.openai", "clip", "clip_vit_b32", 768),
    ("convnext_base.clip_laion400m", "convnext", "convnext_base_clip", 1024),
    ("convnext_base.fb_in1k", "convnext", "convnext_base", 1024),
    ("convnext_small.fb_in1k", "convnext", "convnext_small", 768),
    ("convnext_tiny.fb_in1k", "convnext", "convnext_tiny", 768),
    ("data2vec_b16.in1k", "data2vec", "data2vec_b16", 768),
    ("dino_b16.in1k", "dino", "dino_b16", 768),
    ("dino_s16.in1k", "dino", "dino_s16", 384),
    ("efficientnet_b2.ra_in1k", "efficientnet", "efficientnet_b2", 1408),
    ("efficientnet_b4.ra2_in1k", "efficientnet", "efficientnet_b4", 1792),
    ("mae_b16.in1k", "mae", "mae_b16", 768),
    ("tf_efficientnet_b6.aa_in1k", "efficientnet", "tf_efficientnet_b6", 2304),
    ("vit_b16.in21k_ft_in1k", "vit", "vit_b16", 768),
    ("vit_b32.in21k", "vit", "vit_b32", 768),
    ("vit_l16.in21k_ft_in1k", "vit", "vit_l16", 1024),
    ("vit_l32.in21k_ft_in1k_384", "vit", "vit_l32_384", 1024),
];

#[test]
fn seventeen_records_name_their_architecture_and_width() {
    let manifests = manifests();
    let found: Vec<_> = on_the_hub(&manifests)
        .into_iter()
        .map(|model| (model.id.as_str(), model.family.as_str(), model.architecture.as_str(), model.features.dim))
        .collect();
    assert_eq!(found, RECORDS);
}

#[test]
fn records_are_complete() {
    for model in on_the_hub(&manifests()) {
        let id = &model.id;
        let Weights::Hub { repo, files, .. } = &model.weights else { unreachable!("only hub records") };
        assert_eq!(repo.matches('/').count(), 1, "{id}: {repo}");
        assert_eq!(files.len(), 2, "{id}");
        assert!(files[0].ends_with(".safetensors") && files[1].ends_with(".bin"), "{id}: {files:?}");
        assert!(!model.papers.is_empty() && model.notes.is_some(), "{id}");
        let note = model.notes.as_deref().unwrap_or_default();
        assert!(note.contains("Input: "), "{id} does not say where its input settings come from");
        models::preprocess(&model.input).check().unwrap_or_else(|error| panic!("{id}: {error}"));
    }
}

#[test]
fn poolings_are_the_studys_and_the_others() {
    for model in on_the_hub(&manifests()) {
        let default = match model.family.as_str() {
            "vit" | "dino" | "clip" => "cls",
            "mae" | "beit" | "data2vec" => "token_mean",
            _ => "avg",
        };
        assert_eq!(model.features.default, default, "{}", model.id);
        let all: BTreeSet<&str> = model.features.also.iter().map(String::as_str).chain([default]).collect();
        let expected: &[&str] =
            if default == "avg" { &["avg"] } else { &["cls", "cls_patch_mean", "patch_mean", "token_mean"] };
        assert_eq!(all.into_iter().collect::<Vec<_>>(), expected, "{}", model.id);
    }
}

/// Weights and biases of a transformer of patches, counted by hand.
fn transformer(width: u64, depth: u64, patch: u64, size: u64) -> u64 {
    let positions = (size / patch).pow(2) + 1;
    let block = 12 * width * width + 13 * width; // qkv, projection, two layers four times as wide, two norms
    (3 * patch * patch + 1) * width + (1 + positions) * width + depth * block + 2 * width
}

/// Weights and biases of a ConvNeXt without its classifier.
fn convnext(widths: [u64; 4], depths: [u64; 4]) -> u64 {
    // Depthwise 7 x 7, norm, two layers four times as wide, layer scale; all but the second layer's have a bias C or 4C.
    let block = |c: u64| 50 * c + 2 * c + (4 * c * c + 4 * c) + (4 * c * c + c) + c;
    let blocks: u64 = widths.iter().zip(depths).map(|(&c, n)| n * block(c)).sum();
    let downsampling: u64 = widths.windows(2).map(|pair| 2 * pair[0] + 4 * pair[0] * pair[1] + pair[1]).sum();
    (3 * 16 + 1) * widths[0] + 2 * widths[0] + blocks + downsampling + 2 * widths[3]
}

#[test]
fn parameters_are_what_the_sizes_give() {
    let manifests = manifests();
    let params = |id: &str| manifests.model(id).expect("a record").params.expect("counted");
    let base = transformer(768, 12, 16, 224);
    assert_eq!(base, 85_798_656);
    for id in ["vit_b16.in21k_ft_in1k", "dino_b16.in1k", "mae_b16.in1k"] {
        assert_eq!(params(id), base, "{id}");
    }
    assert_eq!(params("dino_s16.in1k"), transformer(384, 12, 16, 224));
    assert_eq!(params("vit_b32.in21k"), transformer(768, 12, 32, 224));
    assert_eq!(params("vit_l16.in21k_ft_in1k"), transformer(1024, 24, 16, 224));
    assert_eq!(params("vit_l32.in21k_ft_in1k_384"), transformer(1024, 24, 32, 384));
    // A norm before the blocks, and patches without bias.
    assert_eq!(params("clip_vit_b32.openai"), transformer(768, 12, 32, 224) + 2 * 768 - 768);
    // No positions but a table of (2 * 14 - 1)^2 + 3 offsets for 12 heads; two layer scales and no key bias a block.
    let relative = base - 197 * 768 + 732 * 12 + 12 * 768;
    assert_eq!(params("data2vec_b16.in1k"), relative);
    assert_eq!(params("beit_b16.pt22k"), relative - 2 * 768); // and no final norm
    assert_eq!(params("convnext_tiny.fb_in1k"), convnext([96, 192, 384, 768], [3, 3, 9, 3]));
    assert_eq!(params("convnext_small.fb_in1k"), convnext([96, 192, 384, 768], [3, 3, 27, 3]));
    let convnext_base = convnext([128, 256, 512, 1024], [3, 3, 27, 3]);
    assert_eq!(params("convnext_base.fb_in1k"), convnext_base);
    assert_eq!(params("convnext_base.clip_laion400m"), convnext_base);
}

#[test]
fn published_names_are_those_of_the_studys_tables() {
    let manifests = manifests();
    let results = published::results(root()).expect("the study's figures");
    let studied: BTreeSet<&str> = results.iter().map(|result| result.key.model.as_str()).collect();
    let named: Vec<&str> = manifests.models().filter_map(|model| model.published_as.as_deref()).collect();
    assert_eq!(named.len(), studied.len(), "a name twice: {named:?}");
    assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), studied);
}

#[test]
fn the_studys_suite_is_the_study() {
    let manifests = manifests();
    let suite = manifests.suite("study").expect("the suite");
    let sorted = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    let datasets = manifests.datasets().filter(|dataset| dataset.published_as.is_some()).map(|d| d.id.clone());
    assert_eq!(sorted(&suite.datasets), datasets.collect());
    let models = manifests.models().filter(|model| model.published_as.is_some()).map(|model| model.id.clone());
    assert_eq!(sorted(&suite.models), models.collect());
    assert_eq!((suite.datasets.len(), suite.models.len()), (8, 13));
    assert_eq!(suite.methods, [Method::Knn, Method::Lr, Method::ZeroShot]);
    assert_eq!((suite.budgets.as_slice(), suite.seeds.as_slice()), (&[10, 100, 1000][..], &[0, 1, 2, 3, 4][..]));
    assert!(suite.note.as_deref().is_some_and(|note| note.contains("downloads")));
}

#[test]
fn the_other_suites_need_no_download() {
    let manifests = manifests();
    for suite in manifests.suites().filter(|suite| suite.id != "study") {
        for id in &suite.models {
            let model = manifests.model(id).expect("checked when loaded");
            assert!(!matches!(model.weights, Weights::Hub { .. }), "{}: {id}", suite.id);
        }
    }
}

#[test]
fn no_two_models_look_alike() {
    let manifests = Manifests::load(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("loads");
    let mut seen = std::collections::HashMap::new();
    for model in manifests.models() {
        let look = model.look.clone().unwrap_or_else(|| panic!("{} has no look", model.id));
        // On white, as charts are.
        let channel = |at: usize| f64::from(u8::from_str_radix(&look.colour[at..at + 2], 16).expect("digits")) / 255.0;
        let linear = |v: f64| if v <= 0.03928 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
        let luminance = 0.2126 * linear(channel(1)) + 0.7152 * linear(channel(3)) + 0.0722 * linear(channel(5));
        assert!(1.05 / (luminance + 0.05) > 2.5, "{}: {} is pale", model.id, look.colour);
        if let Some(other) = seen.insert(look, model.id.clone()) {
            panic!("{} looks as {other}", model.id);
        }
    }
    assert!(seen.len() > 30);
}
