//! Keys: whatever decides a number is part of its key, so that no stale row or feature is ever shown as current; and the
//! rows that come with the project.

#[path = "support/first_page.rs"]
mod first_page;

use first_page::first_page;
use std::fs;
use std::path::{Path, PathBuf};
use wider_clip::experiments::{METRICS, Work, current_keys, shipping};
use wider_clip::image::{Rgb, RgbImage};
use wider_clip::images::encode_png;
use wider_clip::key::Key;
use wider_clip::prelude::*;
use wider_clip::published;
use wider_clip::results::{Store, read_rows, rows_in, shipped_folder, standing};
use wider_clip::workbench::Workbench;
use wider_clip::workbench::notebooks::{Run, is_unchanged, key as notebook_key, stands_for};

/// A project of its own: one data set of small drawings in two styles (`tidy` and `wild`, which is held out), one model.
struct Small {
    folder: tempfile::TempDir,
}

/// Two seeds, two parts, each metric.
const ROWS: usize = 4 * METRICS.len();

const SUITE: &str = "id = \"default\"\ndescription = \"One set.\"\ndatasets = [\"drawn\"]\nmodels = [\"pixels.raw\"]\n\
                     methods = [\"knn\"]\nbudgets = [10]\nseeds = [0, 1]\n";

impl Small {
    fn new() -> Small {
        let small = Small { folder: tempfile::tempdir().expect("a folder") };
        let root = small.folder.path();
        for kind in ["datasets", "models", "suites"] {
            fs::create_dir_all(root.join("data_manifests").join(kind)).expect("makes a folder");
        }
        let model = "data_manifests/models/pixels.raw.toml";
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(model), root.join(model)).expect("copies");
        small.write("suites/default.toml", SUITE);
        let (mut table, mut images) = (String::from("file,kind,mark,style\n"), Vec::new());
        for i in 0..120u32 {
            let (class, mark, style) = (i % 2, i % 3, if i % 5 == 0 { "wild" } else { "tidy" });
            table.push_str(&format!("{i}.png,{class},{mark},{style}\n"));
            let drawing = RgbImage::from_fn(8, 8, |x, y| {
                Rgb([(i * 2 + x * 20 * class) as u8, (y * 30 + mark * 11) as u8, (i * 7) as u8])
            });
            images.push((format!("{i}.png"), encode_png(&drawing).expect("encodes")));
        }
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in images {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, name, bytes.as_slice()).expect("writes");
        }
        let downloads = small.cache().join("archives/drawn");
        fs::create_dir_all(&downloads).expect("makes a folder");
        fs::write(downloads.join("images.tar"), archive.into_inner().expect("ends")).expect("writes");
        fs::write(downloads.join("table.csv"), table).expect("writes");
        small.write(
            "datasets/drawn.toml",
            "id = \"drawn\"\nname = \"Drawn\"\ndescription = \"Made by this test.\"\nlicence = \"MIT\"\n\
             homepage = \"none\"\ncitation = \"this test\"\n[source.archive]\n\
             [[source.archive.downloads]]\nurl = \"http://127.0.0.1:9/images.tar\"\n\
             [[source.archive.downloads]]\nurl = \"http://127.0.0.1:9/table.csv\"\n\
             [source.archive.layout.table]\ntable = \"table.csv\"\nimage = \"{file}\"\n\
             [columns]\nimage = \"file\"\nlabel = \"kind\"\ndomain = \"style\"\n\
             [split]\npool = \"all\"\ntotal = 120\nclasses = 2\nrule = \"study\"\nood_domains = [\"wild\"]\n\
             budgets = [10]\n",
        );
        small
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn write(&self, manifest: &str, text: &str) {
        fs::write(self.folder.path().join("data_manifests").join(manifest), text).expect("writes");
    }

    /// Replaces `from` in a manifest.
    fn change(&self, manifest: &str, from: &str, to: &str) {
        let path = self.folder.path().join("data_manifests").join(manifest);
        let text = fs::read_to_string(&path).expect("reads");
        assert!(text.contains(from), "{manifest} lacks {from}");
        fs::write(&path, text.replacen(from, to, 1)).expect("writes");
    }

    fn project(&self) -> Project {
        Project::open(self.folder.path(), "default").expect("opens").with_cache(self.cache())
    }

    fn key(&self) -> Key {
        self.key_of(&self.project(), "pixels.raw")
    }

    fn key_of(&self, project: &Project, model: &str) -> Key {
        representations::key(project, "drawn", model, (Method::Knn, 10, 0), &Device::Cpu).expect("a key")
    }

    /// What a key has other than what came.
    fn differences(&self, model: &str, key: &Key) -> Vec<String> {
        shipping::differences(&self.project(), "drawn", model, key).expect("explains")
    }

    fn rows(&self) -> Vec<ResultRow> {
        representations::run(&self.project(), &Device::Cpu).expect("runs")
    }

    fn current(&self) -> PathBuf {
        self.project().current_folder().expect("a suite")
    }
}

fn numbers(rows: &[ResultRow]) -> Vec<(String, String, u64, Option<f64>)> {
    rows.iter().map(|row| (row.split.clone(), row.metric.clone(), row.cell.seed, row.value)).collect()
}

#[test]
fn a_change_in_any_manifest_is_another_key_and_no_old_row_is_shown() {
    let small = Small::new();
    let rows = small.rows();
    assert!(rows.len() == ROWS && rows.iter().all(|row| !row.made.shipped));
    assert_eq!(numbers(&rows), numbers(&small.rows()), "nothing changed");
    let changes = [
        ("datasets/drawn.toml", "label = \"kind\"", "label = \"mark\"", "parts.columns.labels"),
        ("datasets/drawn.toml", "domain = \"style\"", "domain = \"mark\"", "parts.columns.domains"),
        ("datasets/drawn.toml", "ood_domains = [\"wild\"]", "ood_domains = [\"tidy\"]", "parts.split.ood_domains"),
        ("datasets/drawn.toml", "rule = \"study\"", "rule = \"study\"\nbalance = 40", "parts.split.balance"),
        ("datasets/drawn.toml", "rule = \"study\"", "rule = \"study_capped\"", "parts.split.rule"),
        ("models/pixels.raw.toml", "size = 32", "size = 4", "features.input.size"),
        ("models/pixels.raw.toml", "mean = [0.5, 0.5, 0.5]", "mean = [0.5, 0.5, 0.25]", "features.input.mean"),
        ("models/pixels.raw.toml", "std = [0.5, 0.5, 0.5]", "std = [0.5, 0.25, 0.5]", "features.input.std"),
        ("models/pixels.raw.toml", "resize = \"squash\"", "resize = \"shorter\"", "features.input.resize"),
        ("models/pixels.raw.toml", "\"bilinear\"", "\"bicubic\"", "features.input.interpolation"),
    ];
    let before = small.key();
    for (manifest, from, to, part) in changes {
        small.change(manifest, from, to);
        let after = small.key();
        let differing: Vec<&str> = before.differences(&after).into_iter().map(|(name, ..)| name).collect();
        assert!(differing.contains(&part), "{to}: {differing:?}");
        assert_ne!(before.digest(), after.digest(), "{to}");
        let fresh = small.rows();
        assert!(fresh.iter().all(|row| rows.iter().all(|old| old.cell.key != row.cell.key)), "{to}: an old row");
        small.change(manifest, to, from);
        assert_eq!(small.key(), before);
    }
    // What was computed before is still known when everything is as it was.
    assert_eq!(numbers(&small.rows()), numbers(&rows));
}

#[test]
fn a_code_version_and_what_a_method_does_are_part_of_the_key() {
    let small = Small::new();
    let project = small.project();
    let set = project.images("drawn").expect("opens");
    let encoding = Encoding::of(&project, &set, "pixels.raw", &Device::Cpu).expect("known");
    let work = Work {
        table: "drift_probe",
        method: ("knn", "k 5"),
        pooling: "pixels",
        protocol: "study",
        budget: Some(10),
        seed: 0,
        code: 1,
    };
    let cell = encoding.cell(&work);
    assert_eq!(cell, encoding.cell(&work));
    let others = [
        Work { code: 2, ..work },
        Work { method: ("knn", "k 7"), ..work },
        Work { pooling: "cls", ..work },
        Work { protocol: "leaky", ..work },
        Work { budget: None, ..work },
        Work { seed: 1, ..work },
        Work { table: "other", ..work },
    ];
    for other in others {
        assert_ne!(encoding.cell(&other).key, cell.key, "{other:?}");
    }
}

#[test]
fn official_parts_and_the_data_themselves_are_part_of_the_key() {
    let small = Small::new();
    let before = small.key();
    let table = small.cache().join("archives/drawn/table.csv");
    let unpack_again = || fs::remove_dir_all(small.cache().join("archives/drawn/unpacked")).expect("removes");
    let text = fs::read_to_string(&table).expect("reads");
    fs::write(&table, text.replacen("1.png,1,1,tidy", "1.png,0,1,tidy", 1)).expect("writes");
    unpack_again();
    let after = small.key();
    let differing: Vec<&str> = before.differences(&after).into_iter().map(|(name, ..)| name).collect();
    assert!(differing.contains(&"parts.columns.labels"), "{differing:?}");
    fs::write(&table, &text).expect("writes");
    unpack_again();
    assert_eq!(small.key(), before);
    let official = "[split]\nval = { name = \"all\", total = 1 }\n";
    small.change("datasets/drawn.toml", "[split]\n", official);
    small.change("datasets/drawn.toml", "pool = \"all\"", "pool = \"train\"");
    small.change("datasets/drawn.toml", "rule = \"study\"", "rule = \"study_capped\"");
    let after = small.key();
    let differing: Vec<&str> = before.differences(&after).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(differing, ["parts.split.pool", "parts.split.rule", "parts.split.val"]);
}

#[test]
fn a_file_that_changes_after_it_was_opened_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("class")).expect("makes a folder");
    let path = folder.path().join("class").join("one.png");
    let drawing = |shade: u8| encode_png(&RgbImage::from_pixel(4, 4, Rgb([shade; 3]))).expect("encodes");
    fs::write(&path, drawing(9)).expect("writes");
    let set = open_folder(folder.path()).expect("opens");
    assert!(set.read(0..1).expect("reads")[0].is_ok());
    fs::write(&path, drawing(10)).expect("writes");
    let error = set.read(0..1).expect_err("another file").to_string();
    assert!(error.contains("one.png") && error.contains("as it was when it was opened"), "{error}");
    assert_ne!(open_folder(folder.path()).expect("opens").images_key(), set.images_key());
    fs::remove_file(&path).expect("removes");
    let error = set.read(0..1).expect_err("no file").to_string();
    assert!(error.contains("one.png") && error.contains("reading"), "{error}");
}

#[test]
fn a_new_metric_is_computed_for_rows_that_are_known() {
    let small = Small::new();
    let rows = small.rows();
    // A file as it would be had the experiment known one metric less.
    let part = Store::new(small.project().results_folder().join("representations")).part("drawn", "pixels.raw");
    let known: Vec<ResultRow> = rows.iter().filter(|row| row.metric != "macro_f1").cloned().collect();
    wider_clip::results::write_rows(&part, &known).expect("writes");
    assert_eq!(numbers(&small.rows()), numbers(&rows));
    assert_eq!(read_rows(&part).expect("reads").len(), rows.len());
}

#[test]
fn shipped_rows_are_used_while_their_key_is_current_and_a_sample_is_computed() {
    let small = Small::new();
    small.change("suites/default.toml", "seeds = [0, 1]\n", "seeds = [0, 1]\nrecomputed = [\"pixels.raw\"]\n");
    let n = shipping::ship(&[small.project()], &Device::Cpu).expect("ships");
    let shipped = Store::new(shipped_folder(small.folder.path()).join("representations"));
    let of_probes = shipped.rows("drawn", "pixels.raw").expect("reads");
    assert!(n > of_probes.len() && of_probes.len() == ROWS && of_probes.iter().all(|row| row.made.shipped));
    let truth = numbers(&of_probes);

    // Another machine: nothing computed yet.
    fs::remove_dir_all(small.project().results_folder()).expect("removes");
    let rows = small.rows();
    assert_eq!(numbers(&rows), truth);
    let computed: Vec<u64> = rows.iter().filter(|row| !row.made.shipped).map(|row| row.cell.seed).collect();
    assert_eq!(computed, [0; ROWS / 2], "the sample: the suite's first seed");
    let found = standing(&small.current(), |_| true).expect("reads");
    assert_eq!((found.rows, found.computed, found.checks.len()), (ROWS, ROWS / 2, ROWS / 2));
    assert_eq!((found.widest(), found.disagreeing().len()), (0.0, 0));

    // A number that came and is wrong is found by the sample.
    let mut wrong = of_probes.clone();
    for row in wrong.iter_mut().filter(|row| row.cell.seed == 0 && row.metric == "accuracy") {
        row.value = row.value.map(|value| value - 0.25);
    }
    wider_clip::results::write_rows(&shipped.part("drawn", "pixels.raw"), &wrong).expect("writes");
    small.rows();
    let found = standing(&small.current(), |_| true).expect("reads");
    assert_eq!(found.disagreeing().len(), 2, "id and ood");
    wider_clip::results::write_rows(&shipped.part("drawn", "pixels.raw"), &of_probes).expect("writes");

    // What is left from before a change counts no more.
    let left = rows_in(&small.current()).expect("reads");
    let counts = |project: &Project| current_keys(project, &left, &Device::Cpu).expect("keys");
    assert!(left.len() >= ROWS && left.iter().all(|row| counts(&small.project()).contains(&row.cell.key)));
    small.change("models/pixels.raw.toml", "size = 32", "size = 4");
    assert!(left.iter().all(|row| !counts(&small.project()).contains(&row.cell.key)));
    small.change("models/pixels.raw.toml", "size = 4", "size = 32");

    // A stale one is never shown: all is computed, and the command that explains keys says why.
    small.change("models/pixels.raw.toml", "size = 32", "size = 4");
    fs::remove_dir_all(small.project().results_folder()).expect("removes");
    let rows = small.rows();
    assert!(rows.len() == ROWS && rows.iter().all(|row| !row.made.shipped));
    let lines = shipping::differences(&small.project(), "drawn", "pixels.raw", &small.key()).expect("explains");
    let expected =
        ["features.input.size: 4 here, 32 in the rows that came", "no row with this key came with the project"];
    assert_eq!(lines, expected);
    small.change("models/pixels.raw.toml", "size = 4", "size = 32");
    let lines = shipping::differences(&small.project(), "drawn", "pixels.raw", &small.key()).expect("explains");
    assert!(lines.len() == 2 && lines[1] == "rows with this key came with the project", "{lines:?}");
    small.change("datasets/drawn.toml", "ood_domains = [\"wild\"]", "ood_domains = [\"tidy\"]");
    let lines = shipping::differences(&small.project(), "drawn", "pixels.raw", &small.key()).expect("explains");
    assert_eq!(lines[0], "parts.split.ood_domains: tidy here, wild in the rows that came");
    let none = shipping::differences(&small.project(), "drawn", "other", &small.key()).expect("explains");
    assert_eq!(none, ["no rows of drawn under other came with the project"]);
}

/// Two records that differ only in what decides no number have the same keys.
#[test]
fn models_that_differ_in_name_alone_have_rows_of_their_own() {
    let small = Small::new();
    let record = small.folder.path().join("data_manifests/models/pixels.raw.toml");
    let record = fs::read_to_string(record).expect("reads");
    let copy = record.replacen("\"pixels.raw\"", "\"pixels.copy\"", 1).replacen("#404040", "#808080", 1);
    small.write("models/pixels.copy.toml", &copy);
    small.change("suites/default.toml", "[\"pixels.raw\"]", "[\"pixels.raw\", \"pixels.copy\"]");
    let each_once = |rows: &[ResultRow]| {
        let of = |model: &str| rows.iter().filter(|row| row.cell.model == model).cloned().collect::<Vec<_>>();
        let (raw, copy) = (of("pixels.raw"), of("pixels.copy"));
        assert_eq!((raw.len(), copy.len(), rows.len()), (ROWS, ROWS, 2 * ROWS));
        assert_eq!(numbers(&raw), numbers(&copy));
        assert!(raw.iter().zip(&copy).all(|(raw, copy)| raw.cell.key == copy.cell.key));
    };
    let rows = small.rows();
    each_once(&rows);
    // Read back, and with nothing but what came.
    each_once(&small.rows());
    shipping::ship(&[small.project()], &Device::Cpu).expect("ships");
    let shipped = Store::new(shipped_folder(small.folder.path()).join("representations"));
    for model in ["pixels.raw", "pixels.copy"] {
        assert_eq!(shipped.rows("drawn", model).expect("reads").len(), ROWS, "{model}");
    }
    fs::remove_dir_all(small.project().results_folder()).expect("removes");
    let came = small.rows();
    each_once(&came);
    assert!(came.iter().all(|row| row.made.shipped) && numbers(&came) == numbers(&rows));
}

#[test]
fn keys_of_every_suite_that_ships_are_kept() {
    let small = Small::new();
    let few = SUITE.replacen("\"default\"", "\"few\"", 1);
    small.write("suites/few.toml", &format!("{few}max_images = 100\n"));
    let few = Project::open(small.folder.path(), "few").expect("opens").with_cache(small.cache());
    let (key, of_few) = (small.key(), small.key_of(&few, "pixels.raw"));
    assert_ne!(key.digest(), of_few.digest());
    shipping::ship(&[small.project(), few], &Device::Cpu).expect("ships");
    let same = [
        "split, columns and features are those of the rows that came with the project",
        "rows with this key came with the project",
    ];
    assert_eq!(small.differences("pixels.raw", &key), same);
    assert_eq!(small.differences("pixels.raw", &of_few), same);
    // Older files have one key for each data set and model.
    let path = shipped_folder(small.folder.path()).join("keys.json");
    let mut keys: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("reads")).expect("JSON");
    let list = keys["drawn"]["pixels.raw"].take();
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    keys["drawn"]["pixels.raw"] = list[0].clone();
    fs::write(&path, keys.to_string()).expect("writes");
    assert_eq!(small.differences("pixels.raw", &key), same);
    let lines = small.differences("pixels.raw", &of_few);
    let (first, last) = ("features.rows: ", " here, all in the rows that came");
    assert!(lines.len() == 2 && lines[0].starts_with(first) && lines[0].ends_with(last), "{lines:?}");
}

/// Twins have rows without being among a suite's models.
#[test]
fn keys_of_twins_ship_too() {
    let small = Small::new();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests");
    let to = small.folder.path().join("data_manifests");
    fs::create_dir_all(to.join("embedded/pocket")).expect("makes a folder");
    let (model, twin) = ("vit_p16_pocket.icons", "vit_p16_pocket.random");
    let records = [model, twin].map(|id| format!("models/{id}.toml"));
    for file in [&records[0], &records[1], "embedded/pocket/vit_32.safetensors"] {
        fs::copy(from.join(file), to.join(file)).expect("copies");
    }
    small.change("suites/default.toml", "[\"pixels.raw\"]", &format!("[\"pixels.raw\", \"{model}\"]"));
    shipping::ship(&[small.project()], &Device::Cpu).expect("ships");
    for id in [model, twin] {
        let lines = small.differences(id, &small.key_of(&small.project(), id));
        assert_eq!(lines[0], "split, columns and features are those of the rows that came with the project", "{id}");
    }
}

#[test]
fn an_embedded_weight_that_changes_is_noticed_before_any_row_is_shown() {
    let root = tempfile::tempdir().expect("a folder");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests");
    let to = root.path().join("data_manifests");
    for kind in ["datasets", "models", "suites", "embedded/pocket"] {
        fs::create_dir_all(to.join(kind)).expect("makes a folder");
    }
    let weights = "embedded/pocket/convnext_tiny.safetensors";
    for file in ["datasets/icons.toml", "models/convnext_tiny_pocket.icons.toml", "embedded/icons.parquet", weights] {
        fs::copy(from.join(file), to.join(file)).expect("copies");
    }
    let suite = "id = \"default\"\ndescription = \"One set.\"\ndatasets = [\"icons\"]\n\
                 models = [\"convnext_tiny_pocket.icons\"]\nmethods = [\"knn\"]\nbudgets = [10]\nseeds = [0]\n";
    fs::write(to.join("suites/default.toml"), suite).expect("writes");
    let project = Project::open(root.path(), "default").expect("opens");
    let key =
        || representations::key(&project, "icons", "convnext_tiny_pocket.icons", (Method::Knn, 10, 0), &Device::Cpu);
    key().expect("whole");
    let mut bytes = fs::read(to.join(weights)).expect("reads");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(to.join(weights), bytes).expect("writes");
    let error = key().expect_err("another file").to_string();
    assert!(error.contains("convnext_tiny.safetensors") && error.contains("SHA-256"), "{error}");
}

#[test]
fn a_page_is_keyed_by_suite_rows_device_and_every_file() {
    let (workbench, run) = first_page();
    let key = notebook_key(&workbench, &run).expect("a key");
    let part = |name: &str| key.parts().iter().any(|(known, _)| known == name);
    for name in [
        "cells",
        "device",
        "results",
        "cache",
        "features",
        "library",
        "Cargo.lock",
        "rust-toolchain.toml",
        "src/numbers/key.rs",
        "src/experiments/score.rs",
        "data_manifests/suites/default.toml",
        "data_manifests/embedded/icons.parquet",
    ] {
        assert!(part(name), "{name}");
    }
    assert!(!part("src/workbench/report.rs"), "what only makes pages decides no output");
    let others = [Run { fresh: true, ..run.clone() }, Run { suite: "full".into(), ..run }];
    let other = others.map(|run| notebook_key(&workbench, &run).expect("a key"));
    assert_eq!(key.differences(&other[0]), [("fresh", Some("false"), Some("true"))]);
    assert_eq!(key.differences(&other[1]), [("suite", Some("default"), Some("full"))]);
}

/// Sources may be newer than what was compiled of them; and what is compiled while a notebook runs is not what its cells met.
#[test]
fn a_page_is_of_the_library_that_kernels_link() {
    let (_, run) = first_page();
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("deps")).expect("a folder");
    let name = format!("{}wider_clip{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = folder.path().join("deps").join(name);
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), folder.path().join("wider-clip")).expect("a project");
    let key = |run: &Run| notebook_key(&workbench, run).expect("a key");
    fs::write(&library, "compiled").expect("writes");
    let first = key(&run);
    assert_eq!(first.digest(), key(&run).digest());
    fs::write(&library, "compiled again").expect("writes");
    let second = key(&run);
    let differ: Vec<&str> = first.differences(&second).iter().map(|(name, ..)| *name).collect();
    assert_eq!(differ, ["library"]);

    let source = folder.path().join("00_page.ipynb");
    fs::copy(&run.source, &source).expect("copies");
    let run = Run { source, executed: folder.path().join("executed.ipynb"), ..run };
    let begun = key(&run).digest().to_string();
    // As `execute.py` leaves it.
    let leave = || {
        let text =
            format!("{{\n \"metadata\": {{\n  \"wider_clip\": {{\n   \"key\": \"unchecked {begun}\"\n  }}\n }}\n}}\n");
        fs::write(&run.executed, text).expect("writes");
    };
    leave();
    assert!(!is_unchanged(&workbench, &run).expect("reads"), "nothing is known of it yet");
    assert!(stands_for(&workbench, &run, &begun).expect("writes") && is_unchanged(&workbench, &run).expect("reads"));
    leave();
    fs::write(&library, "compiled while it ran").expect("writes");
    assert!(!stands_for(&workbench, &run, &begun).expect("reads") && !is_unchanged(&workbench, &run).expect("reads"));
    fs::write(&library, "compiled again").expect("writes");
    fs::write(&run.source, "{ \"cells\": [] }").expect("writes");
    assert!(!stands_for(&workbench, &run, &begun).expect("reads") && !is_unchanged(&workbench, &run).expect("reads"));
}

#[test]
fn every_published_probe_has_a_row_of_ours_to_join() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = Project::open(root, "study").expect("opens");
    let results = published::results(root).expect("reads");
    let suite = project.suite().expect("a suite");
    let mut joined = 0;
    for result in results.iter().filter(|result| ["general_probe", "drift_probe"].contains(&result.key.table.as_str()))
    {
        let of_name = |id: &&String| {
            project.manifests.dataset(id).is_ok_and(|record| record.published_as.as_ref() == Some(&result.key.dataset))
        };
        let dataset = suite.datasets.iter().find(of_name).expect("a data set of ours");
        let record = project.manifests.dataset(dataset).expect("known");
        let model = |id: &&String| {
            project.manifests.model(id).is_ok_and(|record| record.published_as.as_ref() == Some(&result.key.model))
        };
        assert!(suite.models.iter().any(|id| model(&id)), "{}", result.key.model);
        let names = match record.split.has_drift() {
            true => vec!["id", "ood"],
            false => vec![wider_clip::experiments::test_name(record)],
        };
        assert_eq!(representations::table(record), result.key.table.as_str(), "{dataset}");
        assert!(names.contains(&result.key.split.as_str()), "{dataset}: {}", result.key.split);
        assert!(Method::named(&result.key.method).is_some_and(|method| suite.methods.contains(&method)));
        assert!(result.key.budget.is_some_and(|budget| suite.budgets.contains(&budget)));
        joined += 1;
    }
    assert_eq!(joined, 286 + 144, "all of the study's probes, and those under drift");
}
