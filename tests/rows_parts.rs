//! Rows piece by piece: what a change in a single comparison or sign would move (`tests/mutants.sh`), and the tests of
//! whole stores may not show.

#[path = "support/a_run.rs"]
mod a_run;

use a_run::run;
use std::fs;
use std::path::Path;
use wider_clip::datasets::ImageSet;
use wider_clip::features::SetAside;
use wider_clip::manifest::{DatasetRecord, Manifests};
use wider_clip::prelude::*;
use wider_clip::results::{
    Cell, Check, Made, Run, Score, Store, export, read_runs, wilds_class_numbers, wilds_file_name, write_rows,
    write_runs, write_wilds_predictions,
};

fn row(key: &str, value: Option<f64>) -> ResultRow {
    let cell = Cell {
        table: "drift_probe".into(),
        dataset: "icons".into(),
        model: "pixels.raw".into(),
        method: "lr".into(),
        budget: None,
        seed: 0,
        pooling: "pixels".into(),
        protocol: "grouped".into(),
        subset: "all".into(),
        device: "cpu".into(),
        key: key.into(),
    };
    let score = Score {
        split: "id".into(),
        metric: "accuracy".into(),
        value,
        n_train: 7,
        n_test: 90,
        warning: String::new(),
        weights: String::new(),
    };
    ResultRow::new(cell, score, Made::here())
}

#[test]
fn nothing_agrees_with_nothing_and_no_infinity_with_another() {
    let check = |computed, shipped| Check { computed: row("a", Some(computed)), shipped: Some(shipped) };
    assert_eq!(check(0.0, 0.0).difference(), 0.0);
    assert!(check(0.0, 0.0).agrees() && check(0.0, -0.0).agrees());
    // Two infinities have no difference that is a number.
    for (a, b) in [(f64::INFINITY, f64::INFINITY), (f64::NEG_INFINITY, f64::INFINITY), (f64::INFINITY, 0.5)] {
        assert_eq!(check(a, b).difference(), f64::INFINITY, "{a}, {b}");
    }
}

#[test]
fn runs_are_exported_beside_the_rows_that_they_gave() {
    let folder = tempfile::tempdir().expect("a folder");
    let (current, out) = (folder.path().join("current"), folder.path().join("out"));
    write_rows(&current.join("one.parquet"), &[row("a", Some(0.5)), row("b", Some(0.25))]).expect("writes");
    write_rows(&current.join("two.parquet"), &[row("a", Some(0.5))]).expect("writes");
    write_runs(&current.join("one.runs.parquet"), &[run("a", 1), run("b", 1), run("c", 1)]).expect("writes");
    let written = export(&current, &out, |row| row.cell.key != "b").expect("exports");
    let names = ["one.parquet", "one.csv", "one.runs.parquet", "one.runs.csv", "two.parquet", "two.csv"];
    assert_eq!(written, names.map(|name| out.join(name)));
    // Those of rows that are not exported, or of no row, stay behind.
    assert_eq!(read_runs(&out.join("one.runs.parquet")).expect("reads"), [run("a", 1)]);
    let csv = fs::read_to_string(out.join("one.runs.csv")).expect("reads");
    assert!(csv.lines().count() == 2 && csv.contains("vit.random"), "{csv}");
}

#[test]
fn each_run_has_a_file_of_what_it_said() {
    let expected = Path::new("s").join("icons").join("vit.random.predictions").join("k.parquet");
    assert_eq!(Store::new("s").predictions("icons", "vit.random", "k"), expected);
}

#[test]
fn every_image_per_second_counts() {
    assert_eq!(run("a", 1).images_per_second(), 38.4);
    assert_eq!(Run { seconds: 0.0, images: 3, ..run("a", 1) }.images_per_second(), 3e9);
}

/// Seven images of three classes, the split `test` in rows 1, 2, 4, 5 and 6.
fn set(classes: [&str; 3]) -> (ImageSet, DatasetRecord) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut record = Manifests::load(root).expect("loads").dataset("icons").expect("known").clone();
    let mut set = wider_clip::datasets::open(root, root, &record).expect("opens");
    let split = |i: usize| if [0, 3].contains(&i) { "val" } else { "test" };
    set.ids = (0..7).map(|i| format!("image {i}")).collect();
    set.labels = vec![0, 1, 2, 0, 1, 2, 0];
    set.classes = classes.map(String::from).into();
    set.parts = Some((0..7).map(|i| split(i).to_string()).collect());
    record.split.classes = Some(3);
    (set, record)
}

#[test]
fn classes_have_their_numbers_in_wilds() {
    assert_eq!(wilds_file_name("a", "id_test", 2), "a_split:id_test_seed:2_epoch:best_pred.csv");
    // Names that are numbers are those; others are counted.
    let (of_numbers, mut record) = set(["7", "0", "12"]);
    assert_eq!(wilds_class_numbers(&of_numbers, &record).expect("numbers"), [7, 0, 12]);
    let (of_names, _) = set(["airport", "7", "zoo"]);
    assert_eq!(wilds_class_numbers(&of_names, &record).expect("numbers"), [0, 1, 2]);
    record.split.classes = None;
    assert_eq!(wilds_class_numbers(&of_names, &record).expect("numbers"), [0, 1, 2]);
    for other in [2, 4] {
        record.split.classes = Some(other);
        assert!(wilds_class_numbers(&of_names, &record).is_err(), "{other} classes");
        assert_eq!(wilds_class_numbers(&of_numbers, &record).expect("numbers"), [7, 0, 12]);
    }
}

#[test]
fn predictions_for_wilds_are_whole_or_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (set, record) = set(["7", "0", "12"]);
    let aside = [SetAside { row: 4, id: "image 4".into(), reason: "cut".into() }];
    let write = |predicted: &[(usize, u32)]| {
        write_wilds_predictions(folder.path(), (&set, &record), ("test", 1), predicted, &aside)
    };
    let whole = [(6, 0), (1, 2), (2, 1), (5, 2), (4, 1)];
    let path = write(&whole).expect("writes");
    assert_eq!(path, folder.path().join(wilds_file_name(&set.id, "test", 1)));
    assert_eq!(fs::read_to_string(&path).expect("reads"), "12\n0\n0\n12\n7\n");
    fs::remove_file(path).expect("removes");
    let three = "none for 3: `image 4`, which was set aside (cut), `image 5`, `image 6`";
    for (predicted, expected, more) in [
        (&whole[..4], "none for 1: `image 4`, which was set aside (cut)", false),
        (&whole[1..3], three, false),
        (&whole[1..2], "none for 4: `image 2`, `image 4`, which was set aside (cut), `image 5`, ...", true),
        (&[whole[0], (0, 1)], "found `image 0`", false),
        (&[whole[0], (7, 1)], "found row 7", false),
        (&[whole[0], (5, 3)], "found 3 for `image 5`", false),
        (&[whole[0], whole[0]], "two for `image 6`", false),
    ] {
        let error = write(predicted).expect_err("is refused").to_string();
        assert!(error.contains(expected) && error.contains("...") == more, "{error}\nlacks\n{expected}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 0);
}
