//! Drift as WILDS measures it: miniatures of its iWildCam and FMoW go the whole way, from the archive to rows and to the files
//! of predictions that its evaluation reads, and our numbers equal those of its package (`tests/reference/wilds.py`).
//!
//! With `WIDER_CLIP_WILDS_OUT` naming a folder, the tables and the files of predictions are written there for that program.

#[path = "support/miniature.rs"]
mod miniature;

use miniature::{Archive, CATEGORIES, SPECIES, fmow, iwildcam, mix, project};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use wider_clip::experiments::drift::{self, OfficialPredictions, Unit};
use wider_clip::metrics::{ConfusionMatrix, GroupAccuracy, WildsScores};
use wider_clip::prelude::*;
use wider_clip::results::{wilds_class_numbers, wilds_file_name, write_wilds_predictions};
use wider_clip::storage::sha256_hex;

const SPLITS: [&str; 4] = ["id_test", "id_val", "test", "val"];
const SEEDS: [u64; 3] = [0, 1, 2];

/// Both data sets, opened and encoded once, and what is said of them.
struct World {
    _folder: tempfile::TempDir,
    project: Project,
    sets: BTreeMap<&'static str, Encoded>,
    /// By data set, source and seed.
    said: BTreeMap<(&'static str, &'static str, u64), Vec<OfficialPredictions>>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let project = project(folder.path(), &[fmow(), iwildcam()]);
        let open = |id: &'static str| (id, Encoded::open(&project, id, "pixels.raw", &Device::Cpu).expect("opens"));
        let sets: BTreeMap<&'static str, Encoded> = ["fmow", "iwildcam"].map(open).into();
        let mut said = BTreeMap::new();
        for (&id, encoded) in &sets {
            for (source, seed) in SOURCES.into_iter().flat_map(|source| SEEDS.map(|seed| (source, seed))) {
                said.insert((id, source, seed), predictions(encoded, source, seed));
            }
        }
        World { _folder: folder, project, sets, said }
    })
}

/// What is predicted by formula: rightly for six in ten, else another class, whether or not the split has it.
fn by_formula(encoded: &Encoded, split: &str, seed: u64) -> OfficialPredictions {
    let n = encoded.set.classes.len() as u32;
    let rows = encoded.set.rows_of_part(split).expect("a split");
    let said = |&row: &usize| {
        let (truth, drawn) = (encoded.set.labels[row], mix(row as u32, 100 + seed as u32));
        if drawn % 10 < 6 { truth } else { (truth + 1 + drawn / 10 % (n - 1)) % n }
    };
    let predicted = rows.iter().map(said).collect();
    // No image was set aside, so that rows are positions.
    assert_eq!(encoded.features.rows.len(), encoded.set.len());
    OfficialPredictions { split: split.into(), seed, positions: rows, predicted, warning: String::new() }
}

/// The predictions of one source for every split.
fn predictions(encoded: &Encoded, source: &str, seed: u64) -> Vec<OfficialPredictions> {
    let method = match source {
        "knn" => Method::Knn,
        "lr" => Method::Lr,
        _ => return SPLITS.iter().map(|split| by_formula(encoded, split, seed)).collect(),
    };
    drift::predict(encoded, method, 10, seed).expect("predicts")
}

const SOURCES: [&str; 3] = ["formula", "knn", "lr"];

/// The table of an archive as it was packed.
fn table(archive: &Archive, name: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(archive.files[name].as_slice());
    reader.deserialize().map(|row| row.expect("a row")).collect()
}

#[test]
fn the_archives_open_as_wilds_reads_them() {
    let world = world();
    let set = &world.sets["fmow"].set;
    assert_eq!(set.classes, CATEGORIES.split_whitespace().collect::<Vec<_>>());
    assert!(set.warnings.is_empty(), "{:?}", set.warnings);
    let rows = table(&fmow(), "rgb_metadata.csv");
    let regions: BTreeMap<String, String> = table(&fmow(), "country_code_mapping.csv")
        .into_iter()
        .map(|mut row| (row.remove("alpha-3").expect("a code"), row.remove("region").expect("a region")))
        .collect();
    let (mut at, mut seen) = (0, BTreeMap::<(String, String), usize>::new());
    for (row, values) in rows.iter().enumerate() {
        let year: u32 = values["timestamp"][..4].parse().expect("a year");
        // As `fmow_dataset.py` has it.
        let split = match (values["split"].as_str(), year) {
            ("train", ..2013) => "train",
            ("val", ..2013) => "id_val",
            ("test", ..2013) => "id_test",
            ("val", 2013..2016) => "val",
            ("test", 2016..) => "test",
            _ => continue,
        };
        assert_eq!(set.ids[at], format!("images/rgb_img_{row}.png"));
        assert_eq!(set.parts.as_ref().expect("parts")[at], split);
        assert_eq!(set.classes[set.labels[at] as usize], values["category"]);
        let region = regions.get(&values["country_code"]).map_or("Other", String::as_str);
        assert_eq!(set.domains.as_ref().expect("domains")[at], region, "row {row}");
        assert_eq!(set.years().expect("dates").expect("times")[at], year);
        *seen.entry((split.into(), region.into())).or_default() += 1;
        at += 1;
    }
    assert_eq!(at, set.len());
    // What the numbers below must cope with: codes of no region, and a region without an image in the drifted test.
    assert!(seen[&("test".into(), "Other".into())] > 3 && seen[&("id_test".into(), "Oceania".into())] > 0);
    assert!(!seen.contains_key(&("test".into(), "Oceania".into())));
    let set = &world.sets["iwildcam"].set;
    let rows = table(&iwildcam(), "metadata.csv");
    assert_eq!(rows.len(), set.len());
    for (at, values) in rows.iter().enumerate() {
        assert_eq!(set.ids[at], format!("train/{}", values["filename"]));
        let column = |column: &Option<Vec<String>>| column.as_ref().expect("a column")[at].clone();
        let found = [&set.parts, &set.groups, &set.domains].map(column);
        assert_eq!(found, ["split", "sequence_remapped", "location_remapped"].map(|name| values[name].clone()));
        assert_eq!(set.classes[set.labels[at] as usize], values["y"]);
    }
    for encoded in world.sets.values() {
        let numbers = wilds_class_numbers(&encoded.set, &record(&encoded.set.id)).expect("numbers");
        assert_eq!(numbers, (0..encoded.set.classes.len() as u64).collect::<Vec<_>>());
    }
}

fn record(id: &str) -> wider_clip::manifest::DatasetRecord {
    world().project.manifests.dataset(id).expect("a record").clone()
}

#[test]
fn rows_are_scored_on_the_same_predictions() {
    let world = world();
    let rows = representations::run(&world.project, &Device::Cpu).expect("runs");
    // Two sets, two methods, two splits, three metrics.
    assert_eq!(rows.len(), 24);
    for (id, encoded) in &world.sets {
        for source in ["knn", "lr"] {
            let all = &world.said[&(*id, source, 0)];
            assert_eq!(all.iter().map(|part| part.split.as_str()).collect::<Vec<_>>(), SPLITS);
            for (split, official) in [("id", "id_test"), ("ood", "test")] {
                let found = all.iter().find(|part| part.split == official).expect("a split");
                let scores = found.scores(encoded).expect("scores");
                let expected = [("accuracy", scores.accuracy), ("balanced_accuracy", scores.macro_recall)];
                for (metric, expected) in expected {
                    let row = rows.iter().find(|row| {
                        (row.cell.dataset.as_str(), row.cell.method.as_str()) == (id, source)
                            && (row.split.as_str(), row.metric.as_str()) == (split, metric)
                    });
                    let row = row.expect("a row");
                    assert_eq!((row.value, row.n_test as usize), (Some(expected), scores.n), "{id} {source} {metric}");
                }
            }
        }
    }
}

fn said(id: &'static str, source: &'static str, seed: u64, split: &str) -> &'static OfficialPredictions {
    world().said[&(id, source, seed)].iter().find(|part| part.split == split).expect("a split")
}

/// Writes the files of every source and seed, and gives their paths by source, data set, split and seed.
fn written(folder: &Path) -> BTreeMap<(&'static str, &'static str, String, u64), PathBuf> {
    let mut files = BTreeMap::new();
    for (&(id, source, seed), parts) in &world().said {
        for part in parts {
            let path = part.write(&world().sets[id], &folder.join(source).join(id)).expect("writes");
            assert_eq!(path, folder.join(source).join(id).join(wilds_file_name(id, &part.split, seed)));
            files.insert((source, id, part.split.clone(), seed), path);
        }
    }
    files
}

#[test]
fn files_hold_a_line_per_row_of_the_split() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = written(folder.path());
    assert_eq!(files.len(), 3 * 2 * 4 * 3);
    for ((source, id, split, seed), path) in &files {
        let text = fs::read_to_string(path).expect("reads");
        let encoded = &world().sets[id];
        let part = said(id, source, *seed, split);
        assert_eq!(part.positions, encoded.set.rows_of_part(split).expect("a split"));
        let lines: Vec<u32> = text.lines().map(|line| line.parse().expect("a number")).collect();
        assert_eq!(lines, part.predicted);
        assert!(text.ends_with('\n') && !text.contains("\n\n"));
    }
    if let Some(out) = std::env::var_os("WIDER_CLIP_WILDS_OUT") {
        let out = PathBuf::from(out);
        written(&out.join("predictions"));
        for archive in [fmow(), iwildcam()] {
            for (name, bytes) in archive.files.iter().filter(|(name, _)| !name.contains('/')) {
                fs::create_dir_all(out.join(archive.name)).expect("makes a folder");
                fs::write(out.join(archive.name).join(name), bytes).expect("writes");
            }
        }
    }
}

fn close(what: &str, ours: f64, theirs: &Value) {
    let theirs = theirs.as_f64().unwrap_or_else(|| panic!("{what}: {theirs}"));
    assert!((ours - theirs).abs() < 1e-9, "{what}: {ours}, WILDS has {theirs}");
}

#[test]
fn numbers_equal_the_package() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/wilds.json");
    let golden: Value = serde_json::from_slice(&fs::read(golden).expect("reads")).expect("JSON");
    for archive in [fmow(), iwildcam()] {
        for (name, bytes) in archive.files.iter().filter(|(name, _)| name.ends_with(".csv")) {
            let expected = &golden["tables"][format!("{}/{name}", archive.name)];
            assert_eq!(sha256_hex(bytes), expected.as_str().expect("a digest"), "{name} is not what WILDS read");
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut n = 0;
    for ((source, id, split, seed), path) in written(folder.path()) {
        let what = format!("{source} {id} {split} {seed}");
        let Some(expected) = golden["scores"].get(&what) else {
            assert!(seed > 0, "{what}: no golden");
            continue;
        };
        let digest = sha256_hex(&fs::read(path).expect("reads"));
        assert_eq!(digest, expected["sha256"].as_str().expect("a digest"), "{what}: other predictions");
        let encoded = &world().sets[id];
        let part = said(id, source, seed, &split);
        let scores = part.scores(encoded).expect("scores");
        close(&what, scores.accuracy, &expected["acc_avg"]);
        if id == "iwildcam" {
            close(&what, scores.macro_recall, &expected["recall-macro_all"]);
            close(&what, scores.macro_f1, &expected["F1-macro_all"]);
        } else {
            close(&what, scores.worst_domain.as_ref().expect("a region").accuracy, &expected["acc_worst_region"]);
            close(&what, scores.worst_year.as_ref().expect("a year").accuracy, &expected["acc_worst_year"]);
            assert_eq!(groups(&scores.domains), theirs(&expected["regions"]), "{what}");
            assert_eq!(groups(&scores.years), theirs(&expected["years"]), "{what}");
        }
        n += 1;
    }
    assert_eq!(n, 3 * 2 * 4);
}

/// Right answers and images by group.
fn groups<G: ToString>(groups: &[GroupAccuracy<G>]) -> BTreeMap<String, (u64, u64)> {
    let counts = |of: &GroupAccuracy<G>| ((of.accuracy * of.n as f64).round() as u64, of.n as u64);
    groups.iter().map(|of| (of.group.to_string(), counts(of))).collect()
}

fn theirs(groups: &Value) -> BTreeMap<String, (u64, u64)> {
    serde_json::from_value(groups.clone()).expect("counts by group")
}

#[test]
fn classes_and_regions_without_images_do_not_count() {
    let world = world();
    // Class 8 was predicted in a split that has none of it.
    let encoded = &world.sets["iwildcam"];
    let part = by_formula(encoded, "id_test", 0);
    let truth: Vec<u32> = part.positions.iter().map(|&row| encoded.set.labels[row]).collect();
    let absent = SPECIES - 1;
    assert!(part.predicted.contains(&absent) && !truth.contains(&absent));
    let matrix = ConfusionMatrix::new(&part.predicted, &truth, SPECIES as usize).expect("counts");
    assert_eq!(matrix.f1_scores_of_present()[absent as usize], None);
    assert_eq!(matrix.f1_scores()[absent as usize], Some(0.0));
    assert!(matrix.macro_f1_of_present() > matrix.macro_f1());
    assert_eq!(part.scores(encoded).expect("scores").macro_f1, matrix.macro_f1_of_present());
    // A region without images is absent, and `Other` is there and never the worst.
    let encoded = &world.sets["fmow"];
    let mut part = by_formula(encoded, "test", 0);
    let region = |row: usize| encoded.set.domains.as_ref().expect("regions")[row].as_str();
    for (row, predicted) in part.positions.iter().zip(&mut part.predicted) {
        if region(*row) == "Other" {
            *predicted = (encoded.set.labels[*row] + 1) % 62;
        }
    }
    let WildsScores { domains, worst_domain, .. } = part.scores(encoded).expect("scores");
    let names: Vec<&str> = domains.iter().map(|domain| domain.group.as_str()).collect();
    assert_eq!(names, ["Africa", "Americas", "Asia", "Europe", "Other"]);
    assert_eq!(domains[4].accuracy, 0.0);
    let worst = worst_domain.expect("a region");
    assert!(worst.group != "Other" && worst.accuracy > 0.0);
}

#[test]
fn intervals_are_drawn_by_image_sequence_or_camera() {
    let encoded = &world().sets["iwildcam"];
    let part = by_formula(encoded, "test", 0);
    let of = |unit| part.intervals(encoded, unit, 400, 0).expect("intervals");
    let [image, group, domain] = [Unit::Image, Unit::Group, Unit::Domain].map(of);
    let units: BTreeSet<&String> =
        part.positions.iter().map(|&row| &encoded.set.groups.as_ref().expect("groups")[row]).collect();
    assert_eq!((image.n_units, group.n_units, domain.n_units), (part.positions.len(), units.len(), 4));
    let scores = part.scores(encoded).expect("scores");
    for found in [&image, &group, &domain] {
        assert_eq!((found.accuracy.mean, found.macro_f1.mean), (scores.accuracy, scores.macro_f1));
        assert!(found.accuracy.low < Some(scores.accuracy) && found.accuracy.high > Some(scores.accuracy));
    }
    let text = world().sets["fmow"].set.groups.is_none().then(|| {
        let fmow = &world().sets["fmow"];
        by_formula(fmow, "test", 0).intervals(fmow, Unit::Group, 400, 0).expect_err("no groups").to_string()
    });
    assert!(text.expect("FMoW has no groups").contains("a data set with groups, found fmow without"));
}

#[test]
fn predictions_that_do_not_cover_a_split_write_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let encoded = &world().sets["fmow"];
    let record = record("fmow");
    let rows = encoded.set.rows_of_part("test").expect("a split");
    let all: Vec<(usize, u32)> = rows.iter().map(|&row| (row, 0)).collect();
    let error = |split: &str, predicted: &[(usize, u32)]| {
        let written = write_wilds_predictions(folder.path(), (&encoded.set, &record), (split, 0), predicted, &[]);
        let error = written.expect_err("is refused").to_string();
        assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 0, "{error}");
        error
    };
    let id = |row: usize| &encoded.set.ids[row];
    let (first, other) = (rows[0], encoded.set.rows_of_part("val").expect("a split")[0]);
    for (predicted, expected) in [
        (all[2..].to_vec(), format!("none for 2: `{}`, `{}`", id(rows[0]), id(rows[1]))),
        (Vec::new(), format!("none for {}: `{}`", rows.len(), id(first))),
        ([all.clone(), vec![(first, 1)]].concat(), format!("two for `{}`", id(first))),
        ([all.clone(), vec![(other, 1)]].concat(), format!("split `test` of fmow, found `{}`", id(other))),
        ([all.clone(), vec![(99_999, 1)]].concat(), "found row 99999".into()),
        ([vec![(first, 62)], all[1..].to_vec()].concat(), format!("classes below 62, found 62 for `{}`", id(first))),
    ] {
        let text = error("test", &predicted);
        assert!(text.contains(&expected), "{text}\nlacks\n{expected}");
    }
    assert!(error("tset", &all).contains("id_test, id_val, test, train, val"));
    // In any order, they are written in the table's.
    let shuffled: Vec<(usize, u32)> = rows.iter().rev().map(|&row| (row, row as u32 % 62)).collect();
    let path = write_wilds_predictions(folder.path(), (&encoded.set, &record), ("test", 11), &shuffled, &[]);
    let text = fs::read_to_string(path.expect("writes")).expect("reads");
    assert_eq!(text, rows.iter().map(|row| format!("{}\n", row % 62)).collect::<String>());
}

#[test]
fn classes_that_are_not_all_there_would_have_other_numbers() {
    let record = wider_clip::manifest::DatasetRecord {
        split: wider_clip::manifest::SplitRecord { classes: Some(63), ..record("fmow").split },
        ..record("fmow")
    };
    let error = wilds_class_numbers(&world().sets["fmow"].set, &record).expect_err("one is missing").to_string();
    assert!(error.contains("the 63 classes of its record, whose order numbers them, found 62"), "{error}");
}

#[test]
fn an_image_that_cannot_be_decoded_shifts_no_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut archive = iwildcam();
    let of_test = table(&archive, "metadata.csv").into_iter().filter(|row| row["split"] == "test").nth(5);
    let broken = format!("train/{}", of_test.expect("an image")["filename"]);
    archive.files.insert(broken.clone(), b"no picture".to_vec());
    let project = project(folder.path(), &[archive]);
    let encoded = Encoded::open(&project, "iwildcam", "pixels.raw", &Device::Cpu).expect("opens");
    assert_eq!(encoded.features.set_aside.len(), 1);
    let out = folder.path().join("predictions");
    for part in drift::predict(&encoded, Method::Knn, 10, 0).expect("predicts") {
        let written = part.write(&encoded, &out);
        if part.split != "test" {
            written.expect("all are there");
            continue;
        }
        let error = written.expect_err("one is missing").to_string();
        let expected = format!("none for 1: `{broken}`, which was set aside (");
        assert!(error.contains(&expected) && error.contains("one for each of the"), "{error}");
        assert!(!out.join(wilds_file_name("iwildcam", "test", 0)).exists());
        // Scores are of the images that there are.
        assert_eq!(part.scores(&encoded).expect("scores").n, part.positions.len());
    }
}
