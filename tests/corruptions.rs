//! Corrupted images: to the byte what ImageNet-C's own lines make (tests/reference/corruptions.py), always the same noise for an
//! image, and never taken for clean ones.

#[path = "support/packed.rs"]
mod packed;

use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use wider_clip::datasets::Squares;
use wider_clip::error::Error;
use wider_clip::image::{Rgb, RgbImage};
use wider_clip::images::{
    Corruption, CorruptionKind, Interpolation, Preprocess, ResizeMode, Scale, decode, encode_png, resize,
};
use wider_clip::key::Key;
use wider_clip::models::{LoadedModel, load};
use wider_clip::prelude::*;
use wider_clip::random::Random;
use wider_clip::rayon::ThreadPoolBuilder;
use wider_clip::rayon::prelude::*;

/// The seed of the reference's noise.
const SEED: u64 = 7;
const SCALES: [Scale; 2] = [Scale::ImageNet, Scale::TinyImageNet];

/// Slopes, steps and even areas, as the reference draws them.
fn drawing(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|c| match (x < width / 4, y < height / 5) {
            (true, _) => 255,
            (_, true) => (90 + 40 * c) as u8,
            _ => ((3 * x * x + 5 * y * y + 2 * (c + 1) * x * y) / 16 + 60 * ((x / 5 + y / 7) % 2)) as u8,
        }))
    })
}

/// Every kind, strength and table, in the reference's order.
fn all() -> Vec<Corruption> {
    let of = |scale| {
        let of = move |kind| Corruption::STRENGTHS.map(move |strength| corruption(kind, strength, scale));
        CorruptionKind::ALL.into_iter().flat_map(of)
    };
    SCALES.into_iter().flat_map(of).collect()
}

fn corruption(kind: CorruptionKind, strength: u8, scale: Scale) -> Corruption {
    Corruption::new(kind, strength, scale).expect("a strength from 1 to 5")
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/corruptions").join(name)
}

fn golden(name: &str) -> Vec<u8> {
    let path = path(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Mean difference in grey levels.
fn apart(a: &RgbImage, b: &RgbImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let sum: f64 = a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
    sum / a.as_raw().len() as f64
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt())
}

// ---- Against the reference

#[test]
fn every_kind_and_strength_is_the_reference_to_the_byte() {
    let known: serde_json::Value = serde_json::from_slice(&golden("digests.json")).expect("JSON");
    let small = packed::unpacked(&path("small.bin.gz"));
    let mut rest = small.as_slice();
    let mut wrong = Vec::new();
    for (width, height) in [(37, 50), (64, 64), (224, 224)] {
        let (name, image) = (format!("{width}x{height}"), drawing(width, height));
        let digest = |image: &RgbImage| hex(&Sha256::digest(image.as_raw()));
        assert_eq!(known["sha256"][&name], digest(&image), "the drawing {name}");
        for corruption in all() {
            let (kind, strength, scale) = (corruption.kind(), corruption.strength(), corruption.scale());
            let found = corruption.apply(&image, &name, SEED).expect("applies");
            let mut off = String::new();
            if width == 37 {
                let expected;
                (expected, rest) = rest.split_at(3 * 37 * 50);
                let expected = RgbImage::from_raw(37, 50, expected.to_vec()).expect("golden pixels");
                off = format!(", {:.4} levels apart in the mean", apart(&found, &expected));
            }
            let label = format!("{name} {scale} {kind} {strength}");
            let expected = known["sha256"][&label].as_str().unwrap_or_else(|| panic!("no digest of {label}"));
            if expected != digest(&found) {
                wrong.push(format!("{label}{off}"));
            }
        }
    }
    assert!(rest.is_empty() && wrong.is_empty(), "other bytes than the reference: {wrong:#?}");
}

#[test]
fn normal_draws_are_the_references_and_normal() {
    let known: serde_json::Value = serde_json::from_slice(&golden("digests.json")).expect("JSON");
    let key = Key::new("noise").with("image", "37x50").with("kind", "gaussian_noise").with("strength", 1);
    let mut draws = Random::new("corruption", SEED, u64::from_str_radix(&key.digest(), 16).expect("hexadecimal"));
    for expected in known["draws"].as_array().expect("a list") {
        assert_eq!(expected, &hex(&draws.normal().to_bits().to_be_bytes()));
    }
    let draws: Vec<f64> = (0..400_000).map(|_| draws.normal()).collect();
    let (mean, deviation) = mean_and_deviation(&draws);
    // Three standard errors of each.
    assert!(mean.abs() < 0.005 && (deviation - 1.0).abs() < 0.0034, "{mean} and {deviation}");
    for (beyond, share) in [(0.6745, 0.5), (1.0, 0.31731), (1.96, 0.05), (2.5758, 0.01), (3.2905, 0.001)] {
        let found = draws.iter().filter(|draw| draw.abs() > beyond).count() as f64 / draws.len() as f64;
        let error = (share * (1.0 - share) / draws.len() as f64).sqrt();
        assert!((found - share).abs() < 4.0 * error, "{found} beyond {beyond}, expected {share}");
    }
}

#[test]
fn noise_has_the_mean_and_deviation_of_its_strength() {
    let grey = RgbImage::from_pixel(120, 120, Rgb([128; 3]));
    for strength in Corruption::STRENGTHS {
        let noise = corruption(CorruptionKind::GaussianNoise, strength, Scale::TinyImageNet);
        let noisy = noise.apply(&grey, "grey", 0).expect("applies");
        let of_channel = |channel: usize| noisy.as_raw()[channel..].iter().step_by(3).map(|&byte| f64::from(byte));
        let channels: Vec<Vec<f64>> = (0..3).map(|channel| of_channel(channel).collect()).collect();
        for values in &channels {
            let (mean, deviation) = mean_and_deviation(values);
            let expected = 255.0 * noise.amount();
            // Cutting takes half a level; clipping at 2.8 deviations, the most here, a hundredth of the deviation.
            assert!((mean - 127.5).abs() < 4.0 * expected / 120.0, "{noise}: {mean}");
            assert!((deviation / expected - 1.0).abs() < 0.03, "{noise}: {deviation}, expected {expected}");
        }
        let (red, green) = (&channels[0], &channels[1]);
        let together: f64 = red.iter().zip(green).map(|(a, b)| (a - 127.5) * (b - 127.5)).sum::<f64>() / 14_400.0;
        assert!(together.abs() < 0.04 * (255.0 * noise.amount()).powi(2), "{noise}: channels go together");
    }
}

#[test]
fn a_stronger_corruption_moves_an_image_further() {
    let photo = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/photos/chelsea.jpg")).expect("there");
    let photo = decode("chelsea", &photo).expect("decodes");
    for side in [64, 224] {
        let image = resize(&photo, side, side, Interpolation::Bicubic).expect("resizes");
        let moved = |corruption: Corruption| apart(&corruption.apply(&image, "a", 0).expect("applies"), &image);
        for five in all().chunks(5) {
            let moved: Vec<f64> = five.iter().map(|&corruption| moved(corruption)).collect();
            assert!(moved[0] > 0.0 && moved.is_sorted_by(|a, b| a < b), "{}: {moved:?}", five[0]);
        }
    }
}

#[test]
fn noise_depends_on_seed_image_and_strength_and_the_rest_on_neither() {
    let image = drawing(20, 30);
    for corruption in all() {
        let of = |id: &str, seed: u64| corruption.apply(&image, id, seed).expect("applies");
        let noise = corruption.kind() == CorruptionKind::GaussianNoise;
        assert_eq!(of("a", 0), of("a", 0));
        assert_eq!(of("a", 0) != of("b", 0), noise, "{corruption}: the image");
        assert_eq!(of("a", 0) != of("a", 1), noise, "{corruption}: the seed");
    }
    // The same amount, 0.08, at another strength of the other table: other draws.
    let [first, second] =
        [(1, Scale::ImageNet), (2, Scale::TinyImageNet)].map(|(s, t)| corruption(CorruptionKind::GaussianNoise, s, t));
    assert_eq!(first.amount(), second.amount());
    assert_ne!(first.apply(&image, "a", 0).expect("applies"), second.apply(&image, "a", 0).expect("applies"));
}

#[test]
fn sizes_of_all_kinds_are_kept_and_senseless_ones_refused() {
    for (width, height) in [(1, 1), (1, 9), (9, 1), (3, 2), (16, 16), (17, 33), (15, 300)] {
        let image = drawing(width, height);
        for corruption in all() {
            assert_eq!(
                corruption.apply(&image, "a", 0).expect("applies").dimensions(),
                (width, height),
                "{corruption}"
            );
        }
    }
    // Nothing to lose.
    let grey = RgbImage::from_pixel(30, 20, Rgb([128; 3]));
    for kind in [CorruptionKind::Pixelate, CorruptionKind::Jpeg] {
        assert!(corruption(kind, 3, Scale::TinyImageNet).apply(&grey, "grey", 0).expect("applies") == grey, "{kind}");
    }
    for corruption in all() {
        let error = corruption.apply(&RgbImage::new(0, 3), "hollow", 0).expect_err("no pixels").to_string();
        assert!(error.contains("hollow") && error.contains("0 x 3"), "{error}");
    }
    let jpeg = corruption(CorruptionKind::Jpeg, 5, Scale::ImageNet);
    assert!(jpeg.apply(&RgbImage::new(65_500, 1), "long", 0).is_ok());
    let error = jpeg.apply(&RgbImage::new(1, 65_501), "tall", 0).expect_err("too high for JPEG").to_string();
    assert!(error.contains("tall") && error.contains("65500") && error.contains("65501"), "{error}");
    for strength in [0, 6] {
        let refused = Corruption::new(CorruptionKind::Jpeg, strength, Scale::ImageNet);
        assert!(matches!(refused, Err(Error::Argument { .. })), "{strength}");
    }
}

// ---- Sets of images

const N: usize = 10;

/// Class folders of drawings, each as it is and as `corruption` makes it.
struct Pictures {
    folder: tempfile::TempDir,
}

impl Pictures {
    fn new() -> Pictures {
        let pictures = Pictures { folder: tempfile::tempdir().expect("a folder") };
        for i in 0..N as u32 {
            pictures.write("clean", &pictures.name(i as usize), &drawing(20 + i, 30 - i));
        }
        pictures
    }

    fn name(&self, i: usize) -> String {
        format!("{}/{i:02}.png", if i.is_multiple_of(2) { "even" } else { "odd" })
    }

    fn write(&self, folder: &str, name: &str, image: &RgbImage) {
        let path = self.folder.path().join(folder).join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
        fs::write(path, encode_png(image).expect("encodes")).expect("writes");
    }

    fn clean(&self) -> ImageSet {
        open_folder(&self.folder.path().join("clean")).expect("opens")
    }

    /// A set whose files hold what `set` decodes.
    fn written(&self, set: &ImageSet, folder: &str) -> ImageSet {
        for (id, image) in set.ids.iter().zip(decoded(set, 0..N)) {
            self.write(folder, id, &image);
        }
        let written = open_folder(&self.folder.path().join(folder)).expect("opens");
        assert_eq!(written.ids, set.ids);
        written
    }
}

fn decoded(set: &ImageSet, rows: std::ops::Range<usize>) -> Vec<RgbImage> {
    let encoded = set.read(rows.clone()).expect("reads");
    let decode = |(row, encoded): (usize, &Result<Vec<u8>>)| {
        let encoded = encoded.as_ref().expect("there");
        let (kept, alone) = (set.decode(row, encoded), set.decode_alone(row, encoded));
        assert_eq!(*kept.expect("decodes"), *alone.as_ref().expect("decodes"));
        alone.expect("decodes")
    };
    rows.into_par_iter().zip(&encoded).map(decode).collect()
}

fn noise() -> Corruption {
    corruption(CorruptionKind::GaussianNoise, 3, Scale::TinyImageNet)
}

fn preprocess() -> Preprocess {
    Preprocess {
        size: 12,
        crop_pct: 0.75,
        resize: ResizeMode::Shorter,
        interpolation: Interpolation::Bicubic,
        mean: [0.5; 3],
        std: [0.5; 3],
    }
}

fn model() -> LoadedModel {
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "smoke").expect("opens");
    load(project.root(), project.manifests.model("pixels.raw").expect("known"), &Device::Cpu).expect("loads")
}

fn features(set: &ImageSet, cache: &Path) -> FeatureTable {
    extract(&model(), set, Extraction { cache, rows: None, verbose: false, within: None }).expect("extracts")
}

#[test]
fn a_corrupted_set_is_the_same_set_with_other_pictures() {
    let pictures = Pictures::new();
    let clean = pictures.clean();
    let before = decoded(&clean, 0..N);
    let noisy = clean.corrupted(noise(), 1);
    assert_eq!((clean.corruption(), noisy.corruption()), (None, Some((noise(), 1))));
    let of = |set: &ImageSet| (set.id.clone(), set.ids.clone(), set.labels.clone(), set.data_sha256.clone());
    assert_eq!(of(&clean), of(&noisy));
    assert_eq!(clean.columns_key(), noisy.columns_key());
    let expected: Vec<RgbImage> =
        before.iter().zip(&clean.ids).map(|(image, id)| noise().apply(image, id, 1).expect("applies")).collect();
    // In turns: what one set keeps in memory never shows in another.
    let blurred = clean.corrupted(corruption(CorruptionKind::GaussianBlur, 5, Scale::TinyImageNet), 1);
    for _ in 0..2 {
        assert_eq!(decoded(&noisy, 0..N), expected);
        assert_ne!(decoded(&blurred, 0..N), expected);
        assert_eq!(decoded(&clean, 0..N), before);
    }
    // A corruption takes the place of another; from a set that has decoded nothing yet too.
    assert_eq!(decoded(&blurred.corrupted(noise(), 1), 0..N), expected);
    let fresh = pictures.clean().corrupted(noise(), 1);
    assert_eq!(decoded(&fresh, 0..N), expected);
    // Some rows, in another order, one at a time, on any number of threads.
    for threads in [1, 2, 5] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        for rows in [3..7, 0..4, 9..N, 0..N] {
            assert_eq!(pool.install(|| decoded(&noisy, rows.clone())), expected[rows], "{threads} threads");
        }
    }
    for row in (0..N).rev() {
        assert_eq!(decoded(&pictures.clean().corrupted(noise(), 1), row..row + 1), [expected[row].clone()]);
    }
}

#[test]
fn whatever_decides_the_pictures_is_in_the_key() {
    let clean = Pictures::new().clean();
    let mut keys: Vec<Key> = all().into_iter().map(|corruption| clean.corrupted(corruption, 0).images_key()).collect();
    keys.extend([
        clean.images_key(),
        clean.corrupted(noise(), 1).images_key(),
        clean.corrupted(noise(), 2).images_key(),
    ]);
    let mut digests: Vec<String> = keys.iter().map(Key::digest).collect();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), keys.len());
    let again = clean.corrupted(noise(), 1).images_key();
    assert_eq!(clean.clone().corrupted(noise(), 2).corrupted(noise(), 1).images_key(), again);
    let (clean, names) = (clean.images_key(), ["kind", "strength", "scale", "amount", "seed", "code"]);
    let added: Vec<&str> = again.differences(&clean).into_iter().map(|(name, _, _)| name).collect();
    assert_eq!(added, names.map(|name| format!("corruption.{name}")));
}

#[test]
fn features_of_corrupted_images_are_cached_apart_and_are_those_of_the_pictures() {
    let (pictures, cache, other) = (Pictures::new(), tempfile::tempdir().expect("a folder"), tempfile::tempdir());
    let other = other.expect("a folder");
    let clean = pictures.clean();
    let before = features(&clean, cache.path());
    let mut keys = vec![before.key.clone()];
    for kind in CorruptionKind::ALL {
        let set = clean.corrupted(corruption(kind, 4, Scale::TinyImageNet), 3);
        let found = features(&set, cache.path());
        assert_ne!(found.poolings, before.poolings, "{kind}");
        // Computed anew elsewhere, with nothing decoded yet; from files that hold the corrupted pictures; and read again.
        let anew = pictures.clean().corrupted(corruption(kind, 4, Scale::TinyImageNet), 3);
        let anew = features(&anew, other.path());
        assert_eq!((&anew.key, &anew.poolings), (&found.key, &found.poolings), "{kind}");
        let written = features(&pictures.written(&set, kind.name()), other.path());
        assert_eq!(written.poolings, found.poolings, "{kind}");
        assert_eq!(features(&set, cache.path()).poolings, found.poolings, "{kind}");
        keys.push(found.key);
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 1 + CorruptionKind::ALL.len());
    assert_eq!(features(&clean, cache.path()).poolings, before.poolings);
}

#[test]
fn squares_are_cut_from_the_corrupted_pictures() {
    let (pictures, cache) = (Pictures::new(), tempfile::tempdir().expect("a folder"));
    let clean = pictures.clean();
    let noisy = clean.corrupted(noise(), 1);
    let written = pictures.written(&noisy, "noisy");
    let rows: Vec<usize> = (0..N).collect();
    // In memory, and in files.
    for most in [usize::MAX, 0] {
        let of = |set: &ImageSet| Squares::within(set, &rows, &preprocess(), cache.path(), most).expect("decodes");
        let bytes = |squares: &Squares| {
            let mut all = vec![0; N * 3 * 12 * 12];
            let each = all.chunks_exact_mut(3 * 12 * 12).enumerate();
            each.for_each(|(i, square)| squares.read(i, square).expect("reads"));
            all
        };
        let (before, found) = (of(&clean), of(&noisy));
        assert_ne!(before.key(), found.key());
        assert_ne!(bytes(&before), bytes(&found));
        assert_eq!(bytes(&found), bytes(&of(&written)));
    }
}
