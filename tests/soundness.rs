//! What a set of images is checked with: suspect labels, outliers, near duplicates, how pictures look. Expected values
//! come from cleanlab, CleanVision and scikit-learn by `tests/reference/soundness.py`.
//!
//! Ignored, as they take minutes, want what is not here or tell rather than check: `planted_errors_in_icons`,
//! `many_codes`, `near_duplicates_of_a_folder`. `cargo test --test soundness -- --ignored --nocapture NAME` runs one.

#[path = "support/compare.rs"]
mod compare;

use compare::absolute;
use rayon::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Instant;
use wider_clip::image::{RgbImage, imageops};
use wider_clip::images::{
    Appearance, Check, FileKind, Fingerprint, Interpolation, Limits, NearKind, decode, near_duplicates, near_groups,
    odd_sizes, resize, shortcomings,
};
use wider_clip::prelude::*;
use wider_clip::probe::logistic::Logistic;
use wider_clip::random::Random;
use wider_clip::rayon;
use wider_clip::soundness::{
    Code, DATALAB_THRESHOLD, close_pairs, confident_joint, group_folds, groups_of, label_issues, neighbour_votes,
    out_of_fold, outliers, suspects,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn golden() -> Value {
    let path = root().join("tests/golden/soundness.json");
    serde_json::from_slice(&std::fs::read(path).expect("the goldens are there")).expect("they are JSON")
}

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).expect("a list")
}

fn matrix(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = list(value);
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(row, column)| rows[row][column])
}

/// Average precision of a list of images, the most suspect first.
fn average_precision(order: &[usize], wrong: &[bool]) -> f64 {
    let (mut hits, mut sum) = (0.0, 0.0);
    for (place, _) in order.iter().enumerate().filter(|(_, image)| wrong[**image]) {
        hits += 1.0;
        sum += hits / (place + 1) as f64;
    }
    sum / wrong.iter().filter(|wrong| **wrong).count() as f64
}

#[test]
fn label_issues_are_those_of_cleanlab() {
    let golden = golden();
    let cases = golden["label_issues"].as_array().expect("cases");
    assert!(cases.len() >= 8);
    for case in cases {
        let (name, labels): (_, Vec<u32>) = (&case["name"], list(&case["labels"]));
        let probabilities = matrix(&case["probabilities"]);
        let joint = confident_joint(probabilities.view(), &labels).expect("counts").joint;
        let expected: Vec<Vec<usize>> = list(&case["joint"]);
        assert_eq!(joint.rows().into_iter().map(|row| row.to_vec()).collect::<Vec<_>>(), expected, "{name}");
        let found = label_issues(probabilities.view(), &labels).expect("finds");
        assert_eq!(found, list::<usize>(&case["issues"]), "{name}");
    }
}

#[test]
fn outliers_are_those_of_cleanlab() {
    let golden = golden();
    for case in golden["outliers"].as_array().expect("cases") {
        let features = matrix(&case["features"]).mapv(|value| value as f32).into_shared();
        let k: usize = case["k"].as_u64().expect("a number") as usize;
        let found = outliers(&features, k, DATALAB_THRESHOLD, &|_| ()).expect("finds");
        let at = &case["name"];
        assert!(absolute(&found.distances, &list::<f64>(&case["distances"])) < 1e-6, "{at}");
        assert!(absolute(&found.scores, &list::<f64>(&case["scores"])) < 1e-5, "{at}");
        assert!((found.limit - case["limit"].as_f64().expect("a number")).abs() < 1e-6, "{at}");
        let mut flagged = found.flagged;
        flagged.sort();
        assert_eq!(flagged, list::<usize>(&case["flagged"]), "{at}");
    }
}

/// The pictures of `tests/reference/soundness.py`, made by the same whole numbers.
fn picture(case: &Value) -> RgbImage {
    let (width, height) =
        (case["width"].as_u64().expect("width") as u32, case["height"].as_u64().expect("height") as u32);
    let [kind, a, b, c]: [i64; 4] = list(&case["recipe"]).try_into().expect("four numbers");
    let value = |x: i64, y: i64, band: i64| match kind {
        0 => a + 7 * band * b,
        1 => (a * x + b * y + c * band) % 256,
        2 => (((x * x * 31 + y * 57 + band * c) * 2654435761 + x * y * 40503) >> 7) % a + b,
        3 => {
            if (x / a + y / a) % 2 == 0 {
                b
            } else {
                c
            }
        }
        _ => {
            if (x * 3 + y) % a == 0 {
                b - band * 10
            } else {
                c + band * 5
            }
        }
    };
    RgbImage::from_fn(width, height, |x, y| {
        let of = |band| value(x.into(), y.into(), band).clamp(0, 255) as u8;
        let grey = case["grey"].as_bool().expect("a truth");
        wider_clip::image::Rgb([of(0), of(if grey { 0 } else { 1 }), of(if grey { 0 } else { 2 })])
    })
}

#[test]
fn appearances_are_those_of_cleanvision() {
    let golden = golden();
    let cases = golden["appearance"].as_array().expect("cases");
    assert!(cases.len() >= 20);
    let mut sizes = Vec::new();
    for case in cases {
        let name = case["name"].as_str().expect("a name");
        let found = Appearance::of(&picture(case));
        sizes.push(found.size());
        assert!(absolute(&found.brightness_percentiles.to_vec(), &list::<f64>(&case["percentiles"])) < 1e-6, "{name}");
        // A picture without colour in a colour file: CleanVision goes by the file, and counts each band.
        let bands = if found.grey && !case["grey"].as_bool().expect("a truth") { 3f64 } else { 1.0 };
        let entropy = found.entropy + bands.log2();
        let numbers = [found.brightness, entropy, found.edges, found.histogram_spread, found.aspect(), found.size()];
        let names = ["brightness", "entropy", "edges", "histogram_spread", "aspect", "size"];
        for (value, of) in numbers.into_iter().zip(names) {
            let expected = case[of].as_f64().expect("a number");
            assert!((value - expected).abs() < 1e-6, "{name}: {of} {value} for {expected}");
        }
        for found in shortcomings(&found, &Limits::default()) {
            if bands > 1.0 && [Check::Grey, Check::LowInformation].contains(&found.check) {
                continue;
            }
            let expected = &case["checks"][found.check.name()];
            let score = expected[0].as_f64().expect("a score");
            assert!((found.score - score).abs() < 1e-6, "{name}: {} {} for {score}", found.check.name(), found.score);
            assert_eq!(found.flagged, expected[1].as_bool().expect("a truth"), "{name}: {}", found.check.name());
        }
    }
    for (found, case) in odd_sizes(&sizes, &Limits::default()).iter().zip(cases) {
        let expected = &case["checks"]["odd size"];
        assert!((found.score - expected[0].as_f64().expect("a score")).abs() < 1e-6, "{}", case["name"]);
        assert_eq!(found.flagged, expected[1].as_bool().expect("a truth"), "{}", case["name"]);
    }
}

#[test]
fn awkward_pictures_have_an_appearance() {
    for (width, height) in [(0, 0), (1, 1), (1, 3000), (3000, 1), (2, 2)] {
        let found = Appearance::of(&RgbImage::new(width, height));
        let numbers = [found.brightness, found.entropy, found.edges, found.histogram_spread, found.colourfulness];
        assert!(numbers.iter().all(|number| number.is_finite()) && found.entropy == 0.0, "{width}x{height}: {found:?}");
        assert!(
            shortcomings(&found, &Limits::default()).iter().any(|found| found.check == Check::Dark && found.flagged)
        );
        assert_eq!(Fingerprint::of(&RgbImage::new(width, height)).to_bytes().len(), Fingerprint::BYTES);
    }
    assert!(odd_sizes(&[], &Limits::default()).is_empty());
    assert!(odd_sizes(&[0.0, 0.0], &Limits::default()).iter().all(|found| found.score == 1.0));
    assert!(odd_sizes(&[64.0, 64.0, 64.0, 64.0, 64.0, 65.0], &Limits::default())[5].flagged);
    assert_eq!((FileKind::of(b""), FileKind::of(&[0xff, 0xd8, 0xff, 0xe0])), (FileKind::Other, FileKind::Jpeg));
}

#[test]
fn folds_keep_groups_and_spread_classes() {
    let mut random = Random::new("folds test", 3, 0);
    let groups: Vec<usize> = (0..600).map(|_| random.below(150)).collect();
    // A group has a class, and some labels are wrong.
    let labels: Vec<u32> = groups.iter().map(|g| if random.below(20) == 0 { 0 } else { (g % 5) as u32 }).collect();
    let folds = group_folds(&labels, &groups, 6, 5, 1).expect("deals");
    assert_eq!(folds, group_folds(&labels, &groups, 6, 5, 1).expect("deals"));
    assert_ne!(folds, group_folds(&labels, &groups, 6, 5, 2).expect("deals"));
    for group in 0..150 {
        let mut of: Vec<usize> = (0..600).filter(|&i| groups[i] == group).map(|i| folds[i]).collect();
        of.dedup();
        assert!(of.len() <= 1, "group {group} is in folds {of:?}");
    }
    for class in 0..5u32 {
        let count = |fold| (0..600).filter(|&i| labels[i] == class && folds[i] == fold).count();
        let counts: Vec<usize> = (0..5).map(count).collect();
        let (least, most) = (counts.iter().min().expect("five"), counts.iter().max().expect("five"));
        assert!(most - least <= 4, "class {class}: {counts:?}");
    }
    let told = |labels: &[u32], groups: &[u8], folds| {
        group_folds(labels, groups, 2, folds, 0).expect_err("refused").to_string()
    };
    assert!(told(&[], &[], 2).contains("at least one image"));
    assert!(told(&[0, 5], &[0, 1], 2).contains("class numbers below 2, found 5 at place 1"));
    assert!(told(&[0, 1], &[0], 2).contains("2, one an image, found 1"));
    assert!(told(&[0, 1, 1], &[0, 1, 1], 3).contains("at most the 2 groups, found 3"));
    assert!(told(&[0, 1], &[0, 1], 1).contains("2 or more"));
}

#[test]
fn probabilities_come_from_probes_that_have_not_seen_the_image() {
    let mut random = Random::new("out of fold test", 0, 0);
    let n = 90;
    let labels: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
    // A class of one group: the fold that holds it was not trained on it.
    let labels: Vec<u32> = labels.iter().enumerate().map(|(i, &label)| if i >= 84 { 3 } else { label }).collect();
    let groups: Vec<usize> = (0..n).map(|i| if i >= 84 { 999 } else { i / 2 }).collect();
    let features = Array2::from_shape_fn((n, 4), |(i, d)| {
        (if labels[i] as usize == d { 2.0 } else { 0.0 }) + random.normal() as f32 * 0.3
    });
    let probe = Logistic::params(1.0);
    let found = out_of_fold(&probe, features.view(), &labels, &groups, 5, 4, 0).expect("fits");
    assert_eq!(found.probabilities.dim(), (n, 5));
    for (i, row) in found.probabilities.rows().into_iter().enumerate() {
        assert!((row.sum() - 1.0).abs() < 1e-9 && row[4] == 0.0, "{i}: {row}");
    }
    assert!((84..n).all(|i| found.probabilities[[i, 3]] == 0.0));
    // One fold by hand.
    let (held, others): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| found.folds[i] == 2);
    let pick = |rows: &[usize]| features.select(wider_clip::ndarray::Axis(0), rows);
    let train = labelled(pick(&others), others.iter().map(|&i| labels[i]).collect()).expect("data");
    let model = probe.fit(&train).expect("fits");
    let by_hand = model.probabilities(pick(&held).view()).expect("predicts");
    for (place, &image) in held.iter().enumerate() {
        for (column, &class) in model.classes().iter().enumerate() {
            assert_eq!(found.probabilities[[image, class as usize]], by_hand[[place, column]]);
        }
    }
    let right = (0..84).filter(|&i| found.probabilities[[i, labels[i] as usize]] > 0.5).count();
    assert!(right > 75, "{right}");
    // Training parts of one class alone.
    let two = out_of_fold(&probe, array![[0f32], [1.0]].view(), &[0, 1], &[0, 1], 2, 2, 0).expect("no fit is needed");
    assert_eq!(two.probabilities, array![[0.0, 1.0], [1.0, 0.0]]);
    assert!(two.warnings.iter().all(|warning| warning.contains("one class only")));
}

#[test]
fn bad_opinions_are_told() {
    let good = array![[0.5, 0.5], [0.2, 0.8]];
    let told = |probabilities: &Array2<f64>, votes: &Array2<f64>, labels: &[u32]| {
        suspects(probabilities.view(), votes.view(), labels).expect_err("refused").to_string()
    };
    assert!(
        told(&array![[0.5, f64::NAN], [0.0, 1.0]], &good, &[0, 1])
            .contains("numbers from 0 to 1, found NaN in row 0, column 1")
    );
    assert!(told(&good, &array![[0.5, 0.5]], &[0, 1]).contains("votes: expected shape (2, 2), found (1, 2)"));
    assert!(told(&good, &good, &[0]).contains("2, one for each row of probabilities"));
    assert!(told(&good, &good, &[0, 2]).contains("class numbers below 2"));
    assert!(label_issues(Array2::zeros((0, 3)).view(), &[]).is_err());
    let one = array![[1f32, 2.0]].into_shared();
    assert!(outliers(&one, 10, DATALAB_THRESHOLD, &|_| ()).expect_err("one").to_string().contains("at least 2 images"));
    assert!(outliers(&one, 10, 0.0, &|_| ()).expect_err("a bad threshold").to_string().contains("threshold"));
    assert!(groups_of(2, [(0, 2)]).expect_err("beyond").to_string().contains("places below 2, found (0, 2)"));
}

#[test]
fn copies_of_one_image_are_its_neighbours_and_no_outliers() {
    // Twelve equal rows, more than the ten neighbours: no row is its own neighbour, and distances are 0.
    let features = Array2::from_shape_fn((14, 3), |(i, d)| if i < 12 { (d + 1) as f32 } else { (i * d) as f32 - 9.0 });
    let found = outliers(&features.clone().into_shared(), 10, DATALAB_THRESHOLD, &|_| ()).expect("finds");
    assert!(found.distances[..12].iter().all(|d| *d == 0.0) && found.scores[..12].iter().all(|s| *s == 1.0));
    assert_eq!(found.flagged.iter().filter(|i| **i < 12).count(), 0);
    let labels: Vec<u32> = (0..14).map(|i| u32::from(i == 3)).collect();
    let votes = neighbour_votes(&features.into_shared(), &labels, 2, 5, &|_| ()).expect("votes");
    assert_eq!(votes.row(3).to_vec(), [1.0, 0.0]);
}

#[test]
fn close_codes_are_those_by_hand() {
    let mut random = Random::new("codes test", 0, 0);
    let mut word = || (0..8).fold(0u64, |word, _| word << 8 | random.below(256) as u64);
    let mut codes: Vec<Code> = (0..700).map(|_| Code { kept: word(), turned: word() }).collect();
    for i in 0..50 {
        let Code { kept, turned } = codes[i];
        codes.push(Code { kept: kept ^ 1 << i, turned: turned.rotate_left(if i % 2 == 0 { 0 } else { 32 }) ^ 5 << i });
    }
    for (most, above) in [(0, true), (3, true), (3, false), (45, true)] {
        let mut expected = Vec::new();
        for a in 0..codes.len() {
            for b in (if above { a + 1 } else { 0 })..codes.len() {
                let bits = |turned: u64| {
                    (codes[a].kept ^ codes[b].kept).count_ones() + (codes[a].turned ^ turned).count_ones()
                };
                let both = [(false, bits(codes[b].turned)), (true, bits(codes[b].turned.rotate_left(32)))];
                expected
                    .extend(both.into_iter().filter(|(_, bits)| *bits <= most).map(|(way, bits)| (a, b, way, bits)));
            }
        }
        let found = close_pairs(&codes, &codes, most, above);
        let found: Vec<_> = found.iter().map(|pair| (pair.a, pair.b, pair.mirrored, pair.bits)).collect();
        assert_eq!(found, expected, "{most} bits");
        assert!(most != 3 || found.len() >= 50);
    }
    assert!(close_pairs(&[], &codes, 5, false).is_empty() && close_pairs(&codes, &[], 5, false).is_empty());
}

/// Pictures of an embedded set, decoded.
fn embedded(dataset: &str, step: usize) -> Vec<RgbImage> {
    let project = Project::open(&root(), "default").expect("a project");
    let set = project.images(dataset).expect("opens");
    let rows: Vec<usize> = (0..set.len()).step_by(step).collect();
    let files = set.read(0..set.len()).expect("reads");
    rows.into_par_iter().map(|row| decode("embedded", files[row].as_ref().expect("bytes")).expect("decodes")).collect()
}

fn jpeg(image: &RgbImage, quality: u8) -> RgbImage {
    let mut bytes = Vec::new();
    let mut encoder = wider_clip::image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
    encoder.encode_image(image).expect("encodes");
    decode("again", &bytes).expect("decodes")
}

fn copies(image: &RgbImage) -> Vec<(&'static str, RgbImage)> {
    let (width, height) = image.dimensions();
    let share = |side: u32, by: f64| (f64::from(side) * by).round() as u32;
    let small = resize(image, share(width, 0.7), share(height, 0.7), Interpolation::Bicubic).expect("resizes");
    let (across, down) = (share(width, 0.05), share(height, 0.05));
    let crop = imageops::crop_imm(image, across, down, width - 2 * across, height - 2 * down).to_image();
    let mut brighter = image.clone();
    brighter.iter_mut().for_each(|byte| *byte = (f64::from(*byte) * 1.15).min(255.0) as u8);
    vec![
        ("the same pixels", image.clone()),
        ("JPEG 95", jpeg(image, 95)),
        ("JPEG 50", jpeg(image, 50)),
        ("JPEG 30", jpeg(image, 30)),
        ("resized", small),
        ("cropped", crop),
        ("brighter", brighter),
        ("mirrored", imageops::flip_horizontal(image)),
    ]
}

#[test]
fn planted_copies_are_found() {
    for (dataset, step) in [("icons", 8), ("openemoji", 20)] {
        let images = embedded(dataset, step);
        let planted: Vec<usize> = (0..images.len()).step_by(images.len() / 30).collect();
        let mut prints: Vec<Fingerprint> = images.par_iter().map(Fingerprint::of).collect();
        let mut kinds = Vec::new();
        for &i in &planted {
            for (kind, copy) in copies(&images[i]) {
                prints.push(Fingerprint::of(&copy));
                kinds.push((i, kind));
            }
        }
        let pairs = near_duplicates(&prints);
        for kind in ["the same pixels", "JPEG 95", "JPEG 50", "JPEG 30", "resized", "cropped", "brighter", "mirrored"] {
            let found = |(place, (of, this)): (usize, &(usize, &str))| {
                *this == kind && pairs.iter().any(|pair| (pair.a, pair.b) == (*of, images.len() + place))
            };
            let n = kinds.iter().enumerate().map(found).filter(|found| *found).count();
            // What saturates when it is made brighter is another picture in places.
            let least = if kind == "brighter" { 0.8 } else { 0.95 };
            assert!(n as f64 >= least * planted.len() as f64, "{dataset}: {n} of {} {kind}", planted.len());
        }
        let others = pairs.iter().filter(|pair| pair.b < images.len()).count();
        assert!(others * 50 < images.len(), "{dataset}: {others} pairs among {} pictures", images.len());
        let groups = near_groups(prints.len(), &pairs).expect("places of prints");
        assert!(planted.iter().all(|i| groups.iter().any(|group| group.contains(i) && group.len() >= 6)));
    }
}

#[test]
fn pictures_of_one_colour_do_not_match_each_other() {
    let plain = |level: u8| RgbImage::from_pixel(40, 30, wider_clip::image::Rgb([level, level, 90]));
    let mut speck = plain(7);
    speck.put_pixel(3, 3, wider_clip::image::Rgb([9, 9, 9]));
    let prints: Vec<Fingerprint> = (0..20).map(|i| Fingerprint::of(&plain(10 * i))).collect();
    assert!(near_duplicates(&prints).is_empty() && prints.iter().all(Fingerprint::is_flat));
    let same = [plain(7), speck, plain(7)].map(|image| Fingerprint::of(&image));
    let pairs = near_duplicates(&same);
    assert_eq!((pairs.len(), pairs[0].a, pairs[0].b, pairs[0].distance), (1, 0, 2, 0.0));
    assert!(same[0].same_pixels(&same[2]) && !same[0].same_pixels(&same[1]));
    assert_eq!(pairs[0].kind, NearKind::Same);
    assert!(near_duplicates(&[]).is_empty());
}

#[test]
fn fingerprints_come_back_from_bytes() {
    let print = Fingerprint::of(&embedded("openemoji", 900)[3]);
    assert_eq!(Fingerprint::from_bytes(&print.to_bytes()).expect("reads"), print);
    let told = Fingerprint::from_bytes(&[1, 2, 3]).expect_err("is too short").to_string();
    assert!(told.contains("1201 bytes, found 3"), "{told}");
}

/// 5% of the icons' labels made wrong, ten times: how well lists of suspects find them.
#[test]
#[ignore = "minutes; tells numbers"]
fn planted_errors_in_icons() {
    let cache = std::env::var("WIDER_CLIP_CACHE").map_or(root().join(".wider-clip/cache"), PathBuf::from);
    let project = Project::open(&root(), "default").expect("a project").with_cache(cache);
    let encoded = Encoded::open(&project, "icons", "efficientnet_lite0.in1k", &Device::Cpu).expect("encodes");
    let features = encoded.chosen().expect("features").to_owned().into_shared();
    let (truth, n_classes) = (encoded.labels(), encoded.set.classes.len());
    let groups = encoded.set.groups.clone().expect("icons have families");
    let probe = Logistic::params(1.0);
    let mut scores = [Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for seed in 0..11 {
        let mut labels = truth.clone();
        let mut random = Random::new("planted errors", seed, 0);
        let mut places: Vec<usize> = (0..labels.len()).collect();
        random.shuffle(&mut places);
        // The last one is clean: what is flagged there.
        let n_wrong = if seed < 10 { labels.len() / 20 } else { 0 };
        for &place in &places[..n_wrong] {
            labels[place] = (labels[place] + 1 + random.below(n_classes - 1) as u32) % n_classes as u32;
        }
        let wrong: Vec<bool> = truth.iter().zip(&labels).map(|(a, b)| a != b).collect();
        let found = out_of_fold(&probe, features.view(), &labels, &groups, n_classes, 5, seed).expect("fits");
        let votes = neighbour_votes(&features, &labels, n_classes, 50, &|_| ()).expect("votes");
        let ours = suspects(found.probabilities.view(), votes.view(), &labels).expect("ranks");
        let issues = label_issues(found.probabilities.view(), &labels).expect("finds");
        let agreed: Vec<usize> = ours.iter().filter(|s| s.agreed).map(|s| s.image).collect();
        let n = labels.len() as f64;
        let hits = |list: &[usize]| list.iter().filter(|image| wrong[**image]).count();
        println!(
            "seed {seed}: flagged by cleanlab's rule {:.3} ({} wrong), by both witnesses {:.3} ({} wrong) of {n}",
            issues.len() as f64 / n,
            hits(&issues),
            agreed.len() as f64 / n,
            hits(&agreed)
        );
        if seed < 10 {
            let ours: Vec<usize> = ours.iter().map(|suspect| suspect.image).collect();
            let by = |opinion: &Array2<f64>| {
                let mut order: Vec<usize> = (0..labels.len()).collect();
                order.sort_by(|&a, &b| opinion[[a, labels[a] as usize]].total_cmp(&opinion[[b, labels[b] as usize]]));
                order
            };
            let self_confidence = by(&found.probabilities);
            for (scores, order) in scores.iter_mut().zip([&issues, &self_confidence, &by(&votes), &ours, &agreed]) {
                scores.push(average_precision(order, &wrong));
            }
        }
    }
    let names = [
        "cleanlab's flagged",
        "self-confidence, all images",
        "neighbours alone",
        "ours, all images",
        "ours, both agreed",
    ];
    for (name, scores) in names.iter().zip(&scores) {
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        let deviation = (scores.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>() / 9.0).sqrt();
        println!("{name}: average precision {mean:.3} +- {deviation:.3}");
    }
}

/// Seconds for many codes, none of which agree.
#[test]
#[ignore = "tells seconds"]
fn many_codes() {
    let mut random = Random::new("many codes", 0, 0);
    let mut word = || (0..8).fold(0u64, |word, _| word << 8 | random.below(256) as u64);
    let codes: Vec<Code> = (0..100_000).map(|_| Code { kept: word(), turned: word() }).collect();
    for n in [5_000, 100_000] {
        let begun = Instant::now();
        let each = close_pairs(&codes[..n], &codes[..n], 10, true).len();
        let middle = close_pairs(&codes[..n], &codes[..n], 10, false).len() - n;
        println!("{n} codes: {each} and {middle} pairs in {:.2} s", begun.elapsed().as_secs_f64());
    }
}

/// Pairs in the folders of `tests/reference/near_duplicates.py`, for it to tell.
#[test]
#[ignore = "wants a folder"]
fn near_duplicates_of_a_folder() {
    let folder = std::env::var("WIDER_CLIP_NEAR_DUPLICATES").expect("WIDER_CLIP_NEAR_DUPLICATES names the folder");
    for name in ["photos", "icons", "openemoji"] {
        let folder = Path::new(&folder).join(name);
        let list = std::fs::read_to_string(folder.join("list.tsv")).expect("the list");
        let files: Vec<&str> = list.lines().filter_map(|line| line.split('\t').next()).collect();
        let begun = Instant::now();
        let read = |file: &&str| {
            Fingerprint::of(&decode(file, &std::fs::read(folder.join(file)).expect("a file")).expect("a picture"))
        };
        let prints: Vec<Fingerprint> = files.par_iter().map(read).collect();
        let (read, begun) = (begun.elapsed().as_secs_f64(), Instant::now());
        let pairs = near_duplicates(&prints);
        println!(
            "{name}: {} pictures read in {read:.1} s, {} pairs in {:.2} s",
            files.len(),
            pairs.len(),
            begun.elapsed().as_secs_f64()
        );
        let lines: Vec<String> =
            pairs.iter().map(|p| format!("{} {} {:?} {:.4}", p.a, p.b, p.kind, p.distance)).collect();
        std::fs::write(folder.join("pairs.txt"), lines.join("\n")).expect("writes");
    }
}

/// Frames of a fixed camera: each is nearly every other. They are one group, and not a pair each with each.
#[test]
fn many_pictures_that_are_nearly_one_are_one_group() {
    let frame = |noise: u32| {
        let image = RgbImage::from_fn(96, 64, |x, y| {
            let level = (3 * x + y * x / 40 + 90 * u32::from((x / 9 + y / 13) % 3 == 0)) % 200;
            let grain = (x * 7 + y * 13 + noise * 31) % 5;
            wider_clip::image::Rgb([(level + grain) as u8, (level / 2 + grain) as u8, (200 - level) as u8])
        });
        Fingerprint::of(&image)
    };
    let prints: Vec<Fingerprint> = (0..500).map(frame).collect();
    let pairs = near_duplicates(&prints);
    let groups = near_groups(prints.len(), &pairs).expect("places of prints");
    assert_eq!(groups, [(0..500).collect::<Vec<usize>>()]);
    assert!(pairs.len() < 500 * 499 / 4, "{} pairs", pairs.len());
    // As few as these are all told.
    let pairs = near_duplicates(&prints[..60]);
    assert_eq!(pairs.len(), 60 * 59 / 2);
}
