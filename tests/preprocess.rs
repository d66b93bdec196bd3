//! The whole path, from a file to the numbers that a model reads, against the published image processors.
//! tests/reference/preprocess.py makes the files under tests/golden/preprocess.
//!
//! What the references are: transformers' image processors on Pillow, timm's and open_clip's transforms and
//! torchvision's presets. Squares must be equal to the bit, numbers to 1e-6: transformers multiplies by 1/255 where
//! this crate divides by 255. The torchvision backend of transformers resizes tensors with 16-bit weights and always
//! begins horizontally; its squares are up to three grey levels away, and the numbers are held to what was measured.

#[path = "support/compare.rs"]
mod compare;

#[path = "support/packed.rs"]
mod packed;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use compare::relative;
use image::RgbImage;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use wider_clip::images::{Interpolation, Preprocess, ResizeMode, decode};
use wider_clip::manifest::{Manifests, Weights};
use wider_clip::models;

/// tests/golden/preprocess/expected.json.gz: hashes and distances by reference and image.
#[derive(Deserialize)]
struct Expected {
    images: Vec<String>,
    step: usize,
    squares: BTreeMap<String, BTreeMap<String, String>>,
    torchvision_backend: BTreeMap<String, BTreeMap<String, Distance>>,
}

/// How far the torchvision backend's square is from Pillow's.
#[derive(Deserialize)]
struct Distance {
    max: f32,
    share: f64,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn expected() -> Expected {
    serde_json::from_slice(&packed::unpacked(&golden("preprocess/expected.json.gz"))).expect("hashes")
}

fn numbers(reference: &str) -> Vec<f32> {
    let bytes = read(&golden(&format!("preprocess/{}.f32", reference.replace(' ', "_"))));
    bytes.as_chunks::<4>().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect()
}

fn opened(name: &str) -> RgbImage {
    let folders = ["preprocess/images", "images/decode", "photos"].map(|folder| golden(folder).join(name));
    let path = folders.iter().find(|path| path.is_file()).unwrap_or_else(|| panic!("no golden image {name}"));
    decode(name, &read(path)).expect("a golden image")
}

/// The preprocessing of every hub record, by the record's id.
fn records() -> BTreeMap<String, Preprocess> {
    let manifests = Manifests::load(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("manifests");
    let hub = manifests.models().filter(|model| matches!(model.weights, Weights::Hub { .. }));
    hub.map(|model| (model.id.clone(), models::preprocess(&model.input))).collect()
}

/// torchvision's presets, which no record uses: the study's own models came with them.
fn presets() -> BTreeMap<String, Preprocess> {
    let preset = |name: &str, size: usize, resized: usize, interpolation| {
        let preprocess = Preprocess {
            size,
            crop_pct: size as f64 / resized as f64,
            resize: ResizeMode::Shorter,
            interpolation,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        };
        (format!("torchvision {name}"), preprocess)
    };
    BTreeMap::from([
        preset("EfficientNet_B2", 288, 288, Interpolation::Bicubic),
        preset("EfficientNet_B4", 380, 384, Interpolation::Bicubic),
        preset("ViT_B_16", 224, 256, Interpolation::Bilinear),
        preset("ViT_L_16", 224, 242, Interpolation::Bilinear),
        preset("ConvNeXt_Tiny", 224, 236, Interpolation::Bilinear),
    ])
}

/// Every `step`-th number of each image's input, image after image, as the reference files have them.
fn sample(preprocess: &Preprocess, images: &[(String, RgbImage)], step: usize) -> Vec<f32> {
    let each = images.iter().map(|(_, image)| preprocess.apply(image).expect("lawful settings"));
    each.flat_map(|values| values.into_iter().step_by(step)).collect()
}

#[test]
fn every_record_has_a_reference_and_every_reference_a_record() {
    let known: BTreeSet<String> = records().into_keys().chain(presets().into_keys()).collect();
    assert_eq!(known, expected().squares.into_keys().collect());
}

#[test]
fn squares_equal_the_references_to_the_bit() {
    let expected = expected();
    assert!(expected.images.len() >= 10);
    let images: Vec<(String, RgbImage)> = expected.images.iter().map(|name| (name.clone(), opened(name))).collect();
    let mut wrong = Vec::new();
    for (reference, preprocess) in records().into_iter().chain(presets()) {
        for (name, image) in &images {
            let square = preprocess.square(image).expect("lawful settings");
            let hash: String = Sha256::digest(square.as_raw()).iter().map(|byte| format!("{byte:02x}")).collect();
            if hash != expected.squares[&reference][name] {
                wrong.push(format!("{reference}: {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn numbers_equal_the_references() {
    let expected = expected();
    let images: Vec<(String, RgbImage)> = expected.images.iter().map(|name| (name.clone(), opened(name))).collect();
    for (reference, preprocess) in records().into_iter().chain(presets()) {
        let (ours, theirs) = (sample(&preprocess, &images, expected.step), numbers(&reference));
        assert_eq!(ours.len(), theirs.len(), "{reference}");
        assert!(ours.len() > 100 * images.len(), "{reference}: only {} numbers", ours.len());
        let off = relative(&ours, &theirs);
        assert!(off.absolute <= 1e-6, "{reference}: {off}");
    }
}

#[test]
fn the_torchvision_backend_is_as_far_away_as_measured() {
    let expected = expected();
    let (mut n_references, mut n_apart) = (0, 0);
    for (reference, preprocess) in records() {
        let Some(distances) = expected.torchvision_backend.get(&reference) else { continue };
        n_references += 1;
        let mut theirs = numbers(&format!("{reference}.torchvision_backend")).into_iter();
        for name in &expected.images {
            let Distance { max, share } = distances[name];
            assert!(max <= 3.0 && share <= 0.17, "{reference}: {name}: up to {max} levels, {share} of the bytes");
            let ours = preprocess.apply(&opened(name)).expect("lawful settings");
            let plane = preprocess.size * preprocess.size;
            for (place, value) in ours.iter().enumerate().step_by(expected.step) {
                let other = theirs.next().expect("a number for each of ours");
                let levels = (value - other).abs() * preprocess.std[place / plane] * 255.0;
                assert!(levels <= max + 1e-3, "{reference}: {name}: {levels} grey levels at {place}");
                n_apart += usize::from(levels > 0.5);
            }
        }
        assert_eq!(theirs.next(), None, "{reference}");
    }
    assert_eq!(n_references, 13);
    assert!(n_apart > 0, "the two backends are one");
}

/// An odd surplus is where the two kinds of centre crop part: 5 of 8 columns start at 1.5.
#[test]
fn an_odd_surplus_is_cut_as_each_library_does() {
    let ramp = RgbImage::from_fn(8, 5, |x, _| image::Rgb([10 * x as u8; 3]));
    let first_column = |resize| {
        let settings = Preprocess {
            size: 5,
            crop_pct: 1.0,
            resize,
            interpolation: Interpolation::Bilinear,
            mean: [0.0; 3],
            std: [1.0; 3],
        };
        settings.square(&ramp).expect("lawful").get_pixel(0, 0)[0] / 10
    };
    assert_eq!(first_column(ResizeMode::Shorter), 2); // Python's round(1.5)
    assert_eq!(first_column(ResizeMode::ShortestEdge), 1); // 3 // 2
}
