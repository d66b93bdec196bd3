//! Fine-tuning as an experiment, from a data set to rows, files that classify and what ships.

#[path = "support/killed.rs"]
mod killed;
#[path = "support/tiny_project.rs"]
mod tiny_project;

use killed::{child_of, kill};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tiny_project::{ALL, EACH, classes, drawing, files, runs, tiny_project};
use wider_clip::experiments::finetuning::command::{Request, classify, serve};
use wider_clip::experiments::finetuning::{self, Asked, Saved, Start, save};
use wider_clip::experiments::{METRICS, Tell, shipping};
use wider_clip::manifest::Tuning;
use wider_clip::prelude::*;
use wider_clip::published::{self, PublishedTable};
use wider_clip::results::{Predicted, Run, Store, left_out_in, read_predictions, read_runs, rows_in, shipped_folder};
use wider_clip::training::{Checkpoint, Curve};

const MODEL: &str = "vit_p16_pocket.random";
const BOTH: &str = "[\"good\", \"drift\"]";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn silent() -> Tell {
    Arc::new(|_, _| ())
}

/// The folder of the run at a rate.
fn of_rate(place: &Path, rate: f64) -> PathBuf {
    let runs = fs::read_dir(place).expect("a folder").flatten().map(|entry| entry.path());
    let is = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("rate-{rate:e}-")))
    };
    runs.into_iter().find(is).expect("a run at the rate")
}

fn asked(method: Tuning) -> Asked {
    Asked::new(method, 10, 0).at_most(2)
}

/// Rows but for where and when.
fn numbers(rows: &[ResultRow]) -> Vec<String> {
    let number = |row: &ResultRow| {
        let ResultRow { cell, split, metric, value, n_train, n_test, warning, weights, made: _ } = row;
        let value = value.map(f64::to_bits);
        format!("{cell:?} {split} {metric} {weights} {value:?} {n_train} {n_test} {warning}")
    };
    rows.iter().map(number).collect()
}

/// Runs but for where and when, and how long.
fn ends(runs: &[Run]) -> Vec<Run> {
    let end = |run: &Run| Run {
        seconds: 0.0,
        peak_memory: None,
        threads: 0,
        machine: String::new(),
        date: String::new(),
        ..run.clone()
    };
    let mut ends: Vec<Run> = runs.iter().map(end).collect();
    ends.sort_by(|a, b| a.key.cmp(&b.key));
    ends
}

/// The files of the experiment that hold what was said of each image, from the results folder on; without what a kill left
/// half-written.
fn said(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let results = root.join("results/finetuning");
    let is_said = |path: &Path| {
        let name = path.to_string_lossy();
        (name.contains(".predictions") || name.contains(".right.")) && !name.contains("/.writing-")
    };
    let all = files(&results).into_iter().filter(|(path, _)| is_said(path));
    all.map(|(path, bytes)| (path.strip_prefix(&results).expect("inside").to_path_buf(), bytes)).collect()
}

/// What is left of runs that were under way.
fn under_way(root: &Path) -> Vec<PathBuf> {
    fs::read_dir(root.join("results/runs")).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Runs the suite of the project that it is told.
#[test]
#[ignore = "run by the test below, as a process of its own"]
fn child() {
    let Some(root) = child_of() else { return };
    let project = Project::open(&root, "default").expect("opens").with_cache(root.join("cache"));
    finetuning::run(&project, &Device::Cpu).expect("runs");
}

#[test]
fn a_suite_killed_at_any_moment_goes_on_to_the_same_rows() -> Result<()> {
    let (through, killed) = (folder(), folder());
    let suite = runs(ALL, "[\"good\"]", "[0]");
    let project = tiny_project(through.path(), &suite);
    let rows = finetuning::run(&project, &Device::Cpu)?;
    let expected = (numbers(&rows), ends(&finetuning::runs(&project, &Device::Cpu)?), said(through.path()));
    assert_eq!((rows.len(), expected.1.len()), (14 * METRICS.len(), 5));

    let project = tiny_project(killed.path(), &suite);
    // Six trainings, of which each ends with a checkpoint.
    let trained = || {
        files(&killed.path().join("results/runs"))
            .keys()
            .filter(|path| path.ends_with("checkpoint.safetensors"))
            .count()
    };
    let mut counts = Vec::new();
    for k in 0..6 {
        if !kill(killed.path(), k, 150, || trained() >= k as usize) {
            break;
        }
        counts.push(trained());
    }
    assert!(counts.len() >= 4 && counts.is_sorted(), "killed with {counts:?} trainings over");
    let rows = finetuning::run(&project, &Device::Cpu)?;
    let runs_now = finetuning::runs(&project, &Device::Cpu)?;
    assert_eq!(numbers(&rows), expected.0, "killed with {counts:?} trainings over");
    assert_eq!(ends(&runs_now), expected.1);
    let found = said(killed.path());
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.2.keys().collect::<Vec<_>>());
    assert!(found == expected.2, "what was said of each image");
    assert!(under_way(killed.path()).is_empty(), "{:?}", under_way(killed.path()));

    // What is done is not done again: seconds are those of the first time, to the bit.
    let more = tiny_project(killed.path(), &runs("[\"lp_ft\", \"finetune\"]", "[\"good\"]", "[0, 1]"));
    let before = files(&killed.path().join("results/finetuning"));
    let both = finetuning::runs(&more, &Device::Cpu)?;
    assert_eq!(both.len(), 4);
    for run in both.iter().filter(|run| run.seed == 0) {
        assert!(runs_now.contains(run), "{run:?}");
    }
    for (path, bytes) in before.iter().filter(|(path, _)| path.to_string_lossy().contains(".predictions")) {
        assert!(fs::read(path).expect("reads") == *bytes, "{}", path.display());
    }
    // What a kill left half-written an hour ago is gone when the next file is written; younger may be what somebody writes.
    let half = |name: &str, hours: u64| {
        let said = expected.2.keys().find(|path| path.to_string_lossy().contains(".predictions")).expect("said");
        let path = killed.path().join("results/finetuning").join(said).with_file_name(name);
        let file = fs::File::create(&path).expect("creates");
        file.set_modified(SystemTime::now() - Duration::from_secs(hours * 3600)).expect("dated");
        path
    };
    let (old, young) = (half(".writing-old", 2), half(".writing-young", 0));
    finetuning::run(&tiny_project(killed.path(), &runs("[\"lp_ft\"]", "[\"good\"]", "[2]")), &Device::Cpu)?;
    assert_eq!((old.exists(), young.exists()), (false, true));

    // What a kill behind the last number left is gone after the next run; what is nobody's stays.
    let of_key = |key: &str| killed.path().join("results/runs").join(key);
    for key in [both[0].key.as_str(), "somebody's"] {
        fs::create_dir_all(of_key(key).join("rate-1e-4")).expect("makes a folder");
    }
    finetuning::run(&more, &Device::Cpu)?;
    assert_eq!(under_way(killed.path()), [of_key("somebody's")]);
    Ok(())
}

#[test]
fn rows_join_the_studys_tables_and_stand_by_what_was_said() -> Result<()> {
    let root = folder();
    let project = tiny_project(root.path(), &runs(ALL, BOTH, "[0]"));
    let rows = finetuning::run(&project, &Device::Cpu)?;
    // Two states of each run, five alphas and the chosen one; one test, or two.
    assert_eq!(rows.len(), 14 * METRICS.len() * 3);
    let study = published::results(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let store = Store::new(root.path().join("results/finetuning"));
    let mut weights: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for row in &rows {
        let cell = &row.cell;
        let (dataset, model) = (project.manifests.dataset(&cell.dataset)?, project.manifests.model(&cell.model)?);
        let (table, splits): (_, &[&str]) = match cell.dataset.as_str() {
            "good" => (PublishedTable::GeneralFinetune, &["test"]),
            _ => (PublishedTable::DriftFinetune, &["id", "ood"]),
        };
        assert_eq!((cell.table.as_str(), finetuning::table(dataset)), (table.as_str(), table.as_str()));
        assert!(splits.contains(&row.split.as_str()) && row.n_train == 14, "{row:?}");
        assert_eq!((cell.budget, cell.pooling.as_str(), cell.protocol.as_str()), (Some(10), "patches", "study"));
        let budget = cell.budget.map(|budget| budget as usize);
        let theirs = published::find_arm(&study, table, dataset, model, &cell.method, budget, &row.split);
        assert_eq!(theirs.is_some(), cell.method == "finetune", "{} {}", cell.method, row.split);
        assert_eq!(
            row.warning.contains("ended by the limit of 2 epochs"),
            cell.method.starts_with("finetune") && cell.method != "finetune_tuned"
        );
        weights.entry(&cell.method).or_default().insert(&row.weights);
    }
    let ends = BTreeSet::from(["last", "best"]);
    for method in ["finetune", "finetune_augmented", "finetune_tuned", "lp_ft"] {
        assert_eq!(weights[method], ends, "{method}");
    }
    let alphas = ["alpha 0", "alpha 0.25", "alpha 0.5", "alpha 0.75", "alpha 1", "chosen"];
    assert_eq!(weights["wise"], BTreeSet::from(alphas));

    // Each row is what was said of each image, and so is what was right.
    let keys: BTreeSet<&str> = rows.iter().map(|row| row.cell.key.as_str()).collect();
    assert_eq!(keys.len(), 10);
    let runs_now = finetuning::runs(&project, &Device::Cpu)?;
    for dataset in ["good", "drift"] {
        let set = project.images(dataset)?;
        let right = store.right(dataset, MODEL)?;
        for run in runs_now.iter().filter(|run| run.dataset == dataset) {
            let predicted = read_predictions(&store.predictions(dataset, MODEL, &run.key))?;
            for row in rows.iter().filter(|row| row.cell.key == run.key && row.metric == "accuracy") {
                let bits = right.iter().find(|r| r.key == run.key && r.split == row.split && r.weights == row.weights);
                let bits = &bits.expect("what was right").right;
                let share = bits.iter().filter(|right| **right).count() as f64 / bits.len() as f64;
                assert_eq!((row.value, row.n_test as usize), (Some(share), bits.len()), "{row:?}");
                let of_row = |p: &&Predicted| p.split == row.split && p.weights == row.weights;
                let Some(of_row) = predicted.iter().find(of_row) else {
                    assert!(row.weights.starts_with("alpha"), "{row:?}");
                    continue;
                };
                let truth = of_row.images.iter().map(|&image| set.labels[image as usize]);
                let found: Vec<bool> = of_row.classes().into_iter().zip(truth).map(|(a, b)| a == b).collect();
                assert_eq!(&found, bits, "{row:?}");
            }
            // The logistic regression stands beside each, the same for all; validation images are said too.
            let splits: Vec<&str> =
                right.iter().filter(|r| r.key == run.key && r.weights == "lr").map(|r| r.split.as_str()).collect();
            assert_eq!(splits, if dataset == "good" { vec!["test"] } else { vec!["id", "ood"] });
            assert!(predicted.iter().any(|part| part.split == "val" && part.images.len() == 4));
        }
        let probes: BTreeSet<_> = right.iter().filter(|r| r.weights == "lr").map(|r| (&r.split, &r.right)).collect();
        assert_eq!(probes.len(), if dataset == "good" { 1 } else { 2 });
    }

    // A line for each run.
    assert_eq!(runs_now.len(), 10);
    for run in &runs_now {
        let tried = if ["finetune", "finetune_augmented"].contains(&run.method.as_str()) { 1 } else { 2 };
        assert_eq!((run.epochs, run.steps, run.images), (2 * tried, 2, 28 * tried), "{run:?}");
        assert_eq!(run.input, if tried == 1 { "study" } else { "own" });
        assert_eq!((run.ended.as_str(), run.device.as_str(), run.budget), ("all steps taken", "cpu", 10));
        assert!(run.moved > 0.0 && run.best_epoch.is_some_and(|epoch| epoch == 1 || epoch == 2) && run.seconds > 0.0);
        let expected = match run.method.as_str() {
            "finetune" | "finetune_augmented" => run.chosen.is_empty() && run.rate == 1e-5,
            "wise" => run.chosen.starts_with("alpha "),
            _ => run.chosen == format!("rate {:e}", run.rate),
        };
        assert!(expected, "{run:?}");
    }
    let current = project.current_folder()?;
    assert_eq!(read_runs(&current.join("finetuning.runs.parquet"))?, runs_now);
    assert_eq!(rows_in(&current)?, rows);
    assert!(left_out_in(&current)?.is_empty() && under_way(root.path()).is_empty());
    // The same again without training.
    let before = files(&root.path().join("results/finetuning"));
    assert_eq!(finetuning::run(&project, &Device::Cpu)?, rows);
    assert!(files(&root.path().join("results/finetuning")) == before);

    // Held against the logistic regression, image by image.
    let gains = finetuning::gains(&project, &Device::Cpu)?;
    assert_eq!(gains.len(), 14 * 3);
    for gain in &gains {
        let row = rows.iter().find(|row| {
            (&row.cell.dataset, &row.split, &row.cell.method, &row.weights)
                == (&gain.dataset, &gain.split, &gain.method, &gain.weights)
                && row.metric == "accuracy"
        });
        let right = store.right(&gain.dataset, MODEL)?;
        let probe = right.iter().find(|r| r.split == gain.split && r.weights == "lr").expect("the probe");
        let probe = probe.right.iter().filter(|right| **right).count() as f64 / probe.right.len() as f64;
        let difference = row.and_then(|row| row.value).expect("a number") - probe;
        assert!((gain.paired.difference - difference).abs() < 1e-12, "{gain:?}");
        // One model: Holm changes nothing.
        assert_eq!((gain.holm, gain.n_train), (gain.paired.p_value, 14));
    }
    assert!(finetuning::crossover(&project, "lp_ft", "last", &Device::Cpu)?.is_empty(), "one budget crosses nothing");

    // A suite that asks for nothing has nothing, and shows nothing old.
    let none = tiny_project(root.path(), "");
    assert!(finetuning::run(&none, &Device::Cpu)?.is_empty());
    assert!(rows_in(&current)?.is_empty() && !current.join("finetuning.runs.parquet").exists());
    Ok(())
}

/// Probability of each class by its name.
fn by_class(saved: &Saved, image: &wider_clip::image::RgbImage) -> Result<BTreeMap<String, f32>> {
    Ok(saved.classify(image)?.into_iter().map(|class| (class.name, class.probability)).collect())
}

#[test]
fn between_the_frozen_model_and_the_end_validation_images_choose() -> Result<()> {
    let root = folder();
    let project = tiny_project(root.path(), "");
    let start = Start::open(&project, "good", MODEL, &Device::Cpu)?;
    assert!(!start.has_batch_norm());
    let parts = start.parts(10, 0)?;
    assert_eq!((parts.train.len(), parts.val.len(), parts.test.len()), (14, 4, 2 * EACH as usize - 18));
    let place = root.path().join("run");
    // What another version of the program left is not gone on with, and costs nothing.
    let other = place.join("rate-1e-4-of another version");
    fs::create_dir_all(&other).expect("makes a folder");
    fs::write(other.join("checkpoint.safetensors"), "of another run").expect("writes");
    let lp_ft = start.tune(&asked(Tuning::LpFt), &place, &silent())?;
    fs::remove_dir_all(&other).expect("removes");
    // From the same folder: nothing is trained again.
    let checkpoints = files(&place);
    let wise = start.tune(&asked(Tuning::Wise), &place, &silent())?;
    assert!(files(&place) == checkpoints, "not a file is written");
    assert_eq!(lp_ft.run.seconds, wise.run.seconds);

    // The rate: the better accuracy in the end on validation images, then the lower loss.
    let mut known: Option<((f64, f64), f64)> = None;
    for rate in finetuning::RATES {
        let curve = Curve::open(&of_rate(&place, rate).join("curve.csv"))?;
        let last = |name: &str| curve.line(name).last().expect("a value").1;
        let merit = (last("val_accuracy"), -last("val_loss"));
        if known.is_none_or(|(best, _)| merit >= best) {
            known = Some((merit, rate));
        }
    }
    let rate = known.expect("a rate").1;
    assert_eq!((lp_ft.run.rate, wise.run.rate), (rate, rate));

    let right = |tuned: &finetuning::Tuned, weights: &str| -> Vec<bool> {
        tuned.right.iter().find(|right| right.weights == weights).expect("what was right").right.clone()
    };
    let differ = |a: &[bool], b: &[bool]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    assert!(differ(&right(&wise, "alpha 0"), &right(&wise, "lr")) <= 1, "the frozen model is the logistic regression");
    assert_eq!(right(&wise, "alpha 1"), right(&lp_ft, "last"));
    assert_eq!(right(&wise, "lr"), right(&lp_ft, "lr"));
    let of = |tuned: &finetuning::Tuned, weights: &str| -> Vec<Option<f64>> {
        tuned.scores.iter().filter(|score| score.weights == weights).map(|score| score.value).collect()
    };
    assert_eq!(of(&wise, "alpha 1"), of(&lp_ft, "last"));

    // The choice, from the states themselves: validation images alone, of equal ones the nearest to the frozen model.
    let path = of_rate(&place, rate).join("checkpoint.safetensors");
    let last: BTreeMap<String, Tensor> = Checkpoint::read(&path, &Device::Cpu)?.under("value").into_iter().collect();
    let mut known: Option<((f64, f64), f64)> = None;
    for alpha in finetuning::ALPHAS {
        wise.job.set_state(&wider_clip::finetune::between(wise.job.start(), &last, alpha)?)?;
        let (loss, accuracy) = wise.job.validate()?;
        if known.is_none_or(|(best, _)| (accuracy, -loss) > best) {
            known = Some(((accuracy, -loss), alpha));
        }
    }
    let alpha = known.expect("an alpha").1;
    assert_eq!(wise.run.chosen, format!("alpha {alpha}"));
    assert_eq!(right(&wise, "chosen"), right(&wise, &format!("alpha {alpha}")));
    assert_eq!(of(&wise, "chosen"), of(&wise, &format!("alpha {alpha}")));

    // At alpha 0 it says what the logistic regression says, as probabilities.
    let frozen = start.job(&asked(Tuning::Wise), &start.arm(Tuning::Wise, 2).recipes[0])?;
    let features = start.encoded().chosen()?;
    let train =
        labelled(features.select(wider_clip::ndarray::Axis(0), &parts.train), start.encoded().labels_at(&parts.train))?;
    let model = Logistic::params(1.0).fit(&train)?;
    let expected = model.probabilities(features.select(wider_clip::ndarray::Axis(0), &parts.test).view())?;
    let found = Predicted::from_logits("test", "start", Vec::new(), &frozen.logits(&parts.test)?);
    for (surprise, probability) in found.surprise.iter().zip(&expected) {
        assert!((f64::from((-surprise).exp()) - probability).abs() < 1e-3, "{} for {probability}", (-surprise).exp());
    }
    Ok(())
}

/// A TIFF of two pixels in three bands.
fn three_bands() -> Vec<u8> {
    let tags = [(256, 2), (257, 1), (258, 8), (259, 1), (262, 2), (273, 8), (277, 3), (278, 1), (279, 6)];
    let mut file = [&b"II\x2a\0\x10\0\0\0"[..], &[1, 2, 3, 4, 5, 6, 0, 0], &(tags.len() as u16).to_le_bytes()].concat();
    for (tag, value) in tags {
        file.extend([(tag as u16).to_le_bytes(), 4_u16.to_le_bytes()].concat());
        file.extend([1_u32.to_le_bytes(), (value as u32).to_le_bytes()].concat());
    }
    [file, vec![0; 4]].concat()
}

#[test]
fn a_classifier_that_was_saved_says_what_the_run_said() -> Result<()> {
    let root = folder();
    let project = tiny_project(root.path(), "");
    let start = Start::open(&project, "good", MODEL, &Device::Cpu)?;
    let parts = start.parts(10, 0)?;
    let set = &start.encoded().set;
    let image = |position: usize| -> Result<_> {
        let row = start.encoded().features.rows[position];
        Ok((row as u32, set.decode(row, &set.read(row..row + 1)?.remove(0)?)?))
    };
    // The study's mean and deviation, and the model's own.
    for method in [Tuning::Finetune, Tuning::LpFt, Tuning::Wise] {
        let tuned = start.tune(&asked(method), &root.path().join(method.as_str()), &silent())?;
        let path = root.path().join("of a reader").join(format!("{}.safetensors", method.as_str()));
        save(&start, &tuned, &path)?;
        let saved = Saved::open(&path, &Device::Cpu)?;
        assert_eq!((saved.classes(), saved.model.as_str()), (&["flat".to_string(), "steep".into()][..], MODEL));
        let kept = tuned.predicted.iter().find(|p| p.split == "test" && p.weights == tuned.kept.0).expect("kept");
        for (at, &position) in parts.test.iter().enumerate().step_by(4) {
            let (row, picture) = image(position)?;
            assert_eq!(kept.images[at], row);
            let found = saved.classify(&picture)?;
            assert!(found[0].probability >= found[1].probability);
            let found = by_class(&saved, &picture)?;
            for (class, name) in saved.classes().iter().enumerate() {
                let expected = (-kept.surprise[[at, class]]).exp();
                assert!((found[name] - expected).abs() < 1e-5, "{method:?}: {} for {expected}", found[name]);
            }
        }
        let study = ["finetune"].contains(&method.as_str());
        assert_eq!(tuned.run.input, if study { "study" } else { "own" });
    }

    // Files that are no classifier, or a damaged one.
    let whole = fs::read(root.path().join("of a reader/lp_ft.safetensors")).expect("reads");
    let path = root.path().join("damaged.safetensors");
    let error = |bytes: &[u8]| -> String {
        fs::write(&path, bytes).expect("writes");
        Saved::open(&path, &Device::Cpu).err().map(|error| error.to_string()).unwrap_or_else(|| panic!("was taken"))
    };
    for bytes in [&b"no file"[..], &[], &whole[..whole.len() / 2], &whole[..4]] {
        let error = error(bytes);
        assert!(error.contains("damaged.safetensors") && error.contains("safetensors"), "{error}");
    }
    // Another program's file; one that lacks a fact, a tensor, or says what is not so.
    let put = |change: &dyn Fn(&mut Checkpoint)| -> String {
        fs::write(&path, &whole).expect("writes");
        let mut state = Checkpoint::read(&path, &Device::Cpu).expect("reads");
        change(&mut state);
        state.write(&path).expect("writes");
        error(&fs::read(&path).expect("reads"))
    };
    let foreign = put(&|state| state.facts.clear());
    assert!(foreign.contains("a classifier that `wider-clip finetune` wrote"), "{foreign}");
    for fact in ["preprocess", "classes", "dim", "architecture", "feature", "model"] {
        let found = put(&|state| drop(state.facts.remove(fact)));
        assert!(found.contains(&format!("`{fact}` in the metadata")), "{found}");
    }
    let found = put(&|state| drop(state.tensors.remove("head.bias")));
    assert!(found.contains("a tensor head.bias"), "{found}");
    let encoder =
        |state: &Checkpoint| state.tensors.keys().find(|name| !name.starts_with("head")).expect("weights").clone();
    let found = put(&|state| drop(state.tensors.remove(&encoder(state))));
    assert!(
        found.contains(&encoder(&Checkpoint::read(&root.path().join("of a reader/lp_ft.safetensors"), &Device::Cpu)?)),
        "{found}"
    );
    let found = put(&|state| drop(state.facts.insert("classes".into(), "[\"one\", \"two\", \"three\"]".into())));
    assert!(found.contains("weights [3, 1152]") && found.contains("[2, 1152]"), "{found}");
    let found = put(&|state| drop(state.facts.insert("architecture".into(), "vit_b16".into())));
    assert!(found.contains("expected") || found.contains("shape"), "{found}");
    let found = put(&|state| drop(state.facts.insert("classes".into(), "flat, steep".into())));
    assert!(found.contains("damaged.safetensors") && found.contains("JSON"), "{found}");
    assert!(
        Saved::open(&root.path().join("none.safetensors"), &Device::Cpu)
            .err()
            .expect("none")
            .to_string()
            .contains("none.safetensors")
    );

    // Pictures that are none are named; the others are classified.
    let saved = root.path().join("of a reader/lp_ft.safetensors");
    let (good, bad) = (root.path().join("good/flat/00.png"), root.path().join("bad.png"));
    fs::write(&bad, "no picture").expect("writes");
    classify(&saved, std::slice::from_ref(&good), 1)?;
    let one = classify(&saved, &[bad.clone(), good.clone()], 1).expect_err("one could not be read").to_string();
    assert!(one.contains("bad.png") && !one.contains("could not be"), "{one}");
    let two = classify(&saved, &[bad.clone(), good.clone(), bad.clone()], 1).expect_err("two").to_string();
    assert!(two.contains("2 of 3 could not be; the first: ") && two.contains("bad.png"), "{two}");
    let none = classify(&saved, std::slice::from_ref(&bad), 1).expect_err("none could be read").to_string();
    assert!(none.contains("bad.png"), "{none}");
    assert!(classify(&bad, &[good], 1).expect_err("no classifier").to_string().contains("bad.png"));
    // Pictures are read as those were that it learned from: here as if a record had chosen a ninth band.
    let text = fs::read(&saved).expect("reads");
    let length = u64::from_le_bytes(text[..8].try_into().expect("eight bytes")) as usize;
    let head = String::from_utf8_lossy(&text[8..8 + length]).replace(r#""bands":"null""#, r#""bands":"[9]""#);
    let head = format!("{head:<width$}", width = head.len().next_multiple_of(8));
    let chosen = root.path().join("chosen.safetensors");
    let bytes = [&(head.len() as u64).to_le_bytes()[..], head.as_bytes(), &text[8 + length..]].concat();
    fs::write(&chosen, bytes).expect("writes");
    let tiff = root.path().join("three bands.tif");
    fs::write(&tiff, three_bands()).expect("writes");
    Saved::open(&saved, &Device::Cpu)?.classify_file(&tiff)?;
    let error = Saved::open(&chosen, &Device::Cpu)?.classify_file(&tiff).expect_err("no such band").to_string();
    assert!(error.contains("a TIFF with a band 9") && error.contains("found 3 bands"), "{error}");
    // Where nothing can be written it is said.
    let tuned = start.tune(&asked(Tuning::LpFt), &root.path().join("lp_ft"), &silent())?;
    let error = save(&start, &tuned, &bad.join("x.safetensors")).expect_err("no folder").to_string();
    assert!(error.contains("bad.png"), "{error}");
    Ok(())
}

#[test]
fn what_cannot_be_fine_tuned_is_refused_with_what_to_do() -> Result<()> {
    let root = folder();
    let project = tiny_project(root.path(), "");
    let request = |model: &str, data: &str| Request {
        model: model.into(),
        data: data.into(),
        budget: 10,
        seed: 0,
        method: Tuning::LpFt,
        max_epochs: 1,
        images_at_once: None,
        precision: "f32".into(),
        device: "cpu".into(),
        out: Some(root.path().join("out.safetensors")),
    };
    let error = |request: Request| serve(project.clone(), &request).expect_err("refused").to_string();
    let says = |found: String, words: &[&str]| {
        for word in words {
            assert!(found.contains(word), "{found}\nlacks\n{word}");
        }
    };
    says(error(request("pixels.raw", "good")), &["one with weights, for fine-tuning", "pixels.raw"]);
    says(error(request("none.such", "good")), &["no model is called `none.such`", MODEL]);
    says(error(request(MODEL, "nowhere")), &["no data set is called `nowhere`", "drift, good"]);
    says(error(Request { device: "tpu".into(), ..request(MODEL, "good") }), &["cpu, cuda or best", "found tpu"]);
    if !best_device()?.is_cuda() {
        says(
            error(Request { device: "cuda".into(), ..request(MODEL, "good") }),
            &["a GPU, and a build with `--features cuda`"],
        );
    }
    says(error(Request { images_at_once: Some(0), ..request(MODEL, "good") }), &["images_at_once", "at least one"]);
    says(error(Request { budget: 1, ..request(MODEL, "good") }), &["label budget", "at least 2 for good", "found 1"]);

    // Folders of one's own: a class with one image, one class, none.
    let own = |name: &str, of: &[(&str, u32)]| -> String {
        let folder = root.path().join(name);
        classes(&folder, of);
        folder.to_str().expect("UTF-8").to_string()
    };
    let lonely = own("lonely", &[("many", 20), ("single", 1)]);
    says(error(request(MODEL, &lonely)), &["lonely", "`single`", "add images, or leave", "1 in `single`"]);
    let alone = own("alone", &[("only", 12)]);
    says(error(request(MODEL, &alone)), &["alone", "one, `only`", "add images of another class"]);
    fs::create_dir_all(root.path().join("empty")).expect("makes a folder");
    says(error(request(MODEL, root.path().join("empty").to_str().expect("UTF-8"))), &["empty"]);
    // A budget above what there is takes what there is, as the rule says; a budget with no image for validation is refused.
    let start = Start::open(&project, "good", MODEL, &Device::Cpu)?;
    let most = start.parts(1000, 0)?;
    assert!(most.train.len() < 2 * EACH as usize && !most.val.is_empty() && !most.test.is_empty(), "{most:?}");
    let error = start.parts(3, 0).expect_err("no validation image").to_string();
    says(error, &["validation images", "at least one of good", "a larger budget", "label budget of 3", "24 images"]);
    // Where runs lie and classifiers go must be folders.
    let file = root.path().join("a file");
    fs::write(&file, "no folder").expect("writes");
    let refused = |request: Request| serve(project.clone(), &request).expect_err("refused").to_string();
    fs::create_dir_all(root.path().join("results")).expect("makes a folder");
    let runs = root.path().join("results/runs");
    fs::write(&runs, "no folder").expect("writes");
    says(refused(request(MODEL, "good")), &["runs"]);
    fs::remove_file(&runs).expect("removes");
    says(refused(Request { precision: "f8".into(), ..request(MODEL, "good") }), &["f32, tf32 or bf16", "f8"]);
    says(
        refused(Request { precision: "bf16".into(), ..request(MODEL, "good") }),
        &["f16 or bf16 on a GPU", "BF16 on cpu"],
    );
    says(refused(Request { out: Some(file.join("x")), ..request(MODEL, "good") }), &["a file"]);
    Ok(())
}

#[test]
fn the_command_leaves_a_classifier_and_says_what_batches_in_parts_change() {
    let root = folder();
    tiny_project(root.path(), "");
    classes(&root.path().join("My Pictures"), &[("flat", 14), ("steep", 14)]);
    let out = root.path().join("mine.safetensors");
    let command = |arguments: &[&str]| {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_wider-clip"))
            .args(arguments)
            .current_dir(root.path())
            .env("WIDER_CLIP_ROOT", root.path())
            .env_remove("WIDER_CLIP_RESULTS")
            .env_remove("WIDER_CLIP_CACHE")
            .output()
            .expect("starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (run.status.success(), text(&run.stdout), text(&run.stderr))
    };
    let fixed = [
        "--data",
        "My Pictures",
        "--budget",
        "10",
        "--max-epochs",
        "1",
        "--device",
        "cpu",
        "--out",
        "mine.safetensors",
    ];
    let finetune = |model: &str, more: &[&str]| command(&[&["finetune", model][..], &fixed[..], more].concat());
    let (ok, told, errors) = finetune("efficientnet_pocket.random", &["--method", "finetune", "--images-at-once", "3"]);
    assert!(ok, "{told}{errors}");
    let all = format!("{told}{errors}");
    for words in [
        "efficientnet_pocket.random on my_pictures: 14 training images of 2 classes, 4 for validation",
        "batch normalisation takes its statistics from 3 images at a time: the result differs from that of whole batches",
        "accuracy with the weights `last`: test",
        "accuracy with the weights `best`: test",
        "all steps taken after 1 epochs, the lowest validation loss after 1",
        "cargo run -- classify",
    ] {
        assert!(all.contains(words), "{all}\nlacks\n{words}");
    }
    let saved = Saved::open(&out, &Device::Cpu).expect("a classifier");
    assert_eq!(saved.classes(), ["flat", "steep"]);
    let picture = root.path().join("My Pictures/flat/03.png");
    let picture = picture.to_str().expect("UTF-8");
    let (ok, told, errors) = command(&["classify", "mine.safetensors", picture]);
    assert!(ok, "{errors}");
    // One that is not there among those that are: the others are classified, and the status says that one was not.
    let (ok, both, errors) = command(&["classify", "mine.safetensors", "none.png", picture]);
    assert!(!ok && both.contains(told.trim()) && errors.contains("none.png"), "{both}{errors}");
    let likeliest = saved.classify(&drawing(0, 3)).expect("classifies").remove(0);
    let expected = format!("{} {:.1}%", likeliest.name, 100.0 * likeliest.probability);
    assert!(told.contains(&expected), "{told} lacks {expected}");
    // Without batch normalisation there is nothing to say.
    let (ok, told, errors) = finetune(MODEL, &["--images-at-once", "3"]);
    assert!(ok && !format!("{told}{errors}").contains("batch normalisation"), "{told}{errors}");
    // Two folders of one name: the first one's classifier stays.
    for (place, n) in [("a/pics", 12), ("b/pics", 13)] {
        classes(&root.path().join(place), &[("flat", n), ("steep", n)]);
    }
    let usual = |data: &str| {
        command(&["finetune", MODEL, "--data", data, "--budget", "10", "--max-epochs", "1", "--device", "cpu"])
    };
    let made = root.path().join(format!("{MODEL}-pics-lp_ft-b10-s0.safetensors"));
    let (ok, _, errors) = usual("a/pics");
    assert!(ok && made.is_file(), "{errors}");
    let bytes = fs::read(&made).expect("reads");
    let (ok, told, errors) = usual("b/pics");
    assert!(!ok && errors.contains("a classifier of other pictures at ") && errors.contains("--out"), "{errors}");
    assert!(!format!("{told}{errors}").contains("training images") && fs::read(&made).expect("reads") == bytes);
    let (ok, _, errors) = usual("a/pics");
    assert!(ok, "{errors}");
    // Where the classifier cannot go is said before there is one.
    let (ok, told, errors) = command(&["finetune", MODEL, "--data", "My Pictures", "--out", "My Pictures"]);
    assert!(!ok && errors.contains("expected the name of a file to write, found a folder"), "{errors}");
    assert!(!format!("{told}{errors}").contains("training images"), "{told}{errors}");
    let (ok, _, errors) = finetune(MODEL, &["--method", "fine"]);
    assert!(!ok && errors.contains("no way to fine-tune is called `fine`; known: finetune, "), "{errors}");
}

#[test]
fn what_ships_stays_as_it_is_where_nothing_changed() -> Result<()> {
    let root = folder();
    let both = runs("[\"lp_ft\", \"wise\"]", "[\"good\"]", "[0]") + &runs("[\"finetune\"]", "[\"drift\"]", "[0]");
    let project = tiny_project(root.path(), &both);
    let shipped = shipped_folder(root.path());
    let n = shipping::ship(std::slice::from_ref(&project), &Device::Cpu)?;
    let first = files(&shipped);
    let of = |dataset: &str, end: &str| shipped.join("finetuning").join(dataset).join(format!("{MODEL}{end}.parquet"));
    for dataset in ["good", "drift"] {
        for end in ["", ".runs", ".right"] {
            assert!(first.contains_key(&of(dataset, end)), "{dataset}{end} in {:?}", first.keys());
        }
    }
    assert!(!first.keys().any(|path| path.to_string_lossy().contains("predictions") || path.ends_with(".lock")));
    assert_eq!(shipping::ship(std::slice::from_ref(&project), &Device::Cpu)?, n);
    assert!(files(&shipped) == first, "the same again");
    // From what came alone, with nothing computed here.
    fs::remove_dir_all(root.path().join("results")).expect("removes");
    let rows = finetuning::run(&project, &Device::Cpu)?;
    assert!(!rows.is_empty() && rows.iter().all(|row| row.made.shipped), "nothing was trained");
    assert_eq!(finetuning::runs(&project, &Device::Cpu)?.len(), 3, "how runs went came too");
    assert_eq!(finetuning::gains(&project, &Device::Cpu)?.len(), 8 + 4, "and what was right");
    assert_eq!(shipping::ship(std::slice::from_ref(&project), &Device::Cpu)?, n);
    assert!(files(&shipped) == first, "from what came");
    // Those that the suite wants computed are, and held against what came.
    let sample = both.replacen("max_epochs = 2\n", "max_epochs = 2\nrecomputed = true\n", 1);
    let rows = finetuning::run(&tiny_project(root.path(), &sample), &Device::Cpu)?;
    assert!(rows.iter().all(|row| row.made.shipped == (row.cell.dataset == "drift")), "{rows:?}");
    let standing = wider_clip::results::standing(&project.current_folder()?, |_| true)?;
    assert_eq!((standing.checks.len(), standing.widest()), (8 * METRICS.len(), 0.0));
    drop(fs::remove_dir_all(root.path().join("results")));

    // One more seed on one data set: the other's files stay to the byte.
    let more = runs("[\"lp_ft\", \"wise\"]", "[\"good\"]", "[0]") + &runs("[\"finetune\"]", "[\"drift\"]", "[0, 1]");
    shipping::ship(&[tiny_project(root.path(), &more)], &Device::Cpu)?;
    let second = files(&shipped);
    let changed: Vec<&PathBuf> = second.keys().filter(|path| first.get(*path) != second.get(*path)).collect();
    assert_eq!(changed, [&of("drift", ""), &of("drift", ".right"), &of("drift", ".runs")]);
    let store = Store::new(shipped.join("finetuning"));
    assert_eq!((store.runs("drift", MODEL)?.len(), store.right("drift", MODEL)?.len()), (2, 12));
    // Those that are wanted no more are gone.
    shipping::ship(&[tiny_project(root.path(), &runs("[\"finetune\"]", "[\"drift\"]", "[0]"))], &Device::Cpu)?;
    let third = files(&shipped);
    assert!(!third.keys().any(|path| path.starts_with(shipped.join("finetuning/good"))), "{:?}", third.keys());
    for end in ["", ".runs", ".right"] {
        assert!(third[&of("drift", end)] == first[&of("drift", end)], "as it was before the second seed: {end}");
    }

    // Suites that share rows ship once what they share, and what each has alone.
    let one = tiny_project(root.path(), &runs("[\"finetune\"]", "[\"drift\"]", "[0]"));
    let suites = root.path().join("data_manifests/suites");
    let text = fs::read_to_string(suites.join("default.toml")).expect("reads");
    let text = text.replacen("id = \"default\"", "id = \"more\"", 1).replacen("seeds = [0]", "seeds = [0, 1]", 1);
    fs::write(suites.join("more.toml"), text).expect("writes");
    let more = Project::open(root.path(), "more")?.with_cache(root.path().join("cache"));
    let n_more = shipping::ship(std::slice::from_ref(&more), &Device::Cpu)?;
    assert_eq!(shipping::ship(&[one, more], &Device::Cpu)?, n_more, "one suite has all of the other");
    let rows = Store::new(shipped.join("representations")).rows("drift", "pixels.raw")?;
    let places: BTreeSet<(u64, &str, &str)> =
        rows.iter().map(|row| (row.cell.seed, row.split.as_str(), row.metric.as_str())).collect();
    assert_eq!((rows.len(), places.len()), (2 * 2 * METRICS.len(), 2 * 2 * METRICS.len()));
    assert!(shipping::ship(&[], &Device::Cpu).is_err());
    Ok(())
}

/// A name that is taken, as a full disk would, stops what is new: what shipped before stays whole.
#[test]
fn what_cannot_be_written_leaves_what_shipped_before() -> Result<()> {
    let root = folder();
    let ship = |dataset: &str| {
        let project = tiny_project(root.path(), &runs("[\"finetune\"]", &format!("[\"{dataset}\"]"), "[0]"));
        shipping::ship(&[project], &Device::Cpu)
    };
    ship("good")?;
    let shipped = shipped_folder(root.path());
    let (before, taken) = (files(&shipped), shipped.join("finetuning/drift"));
    fs::write(&taken, "taken").expect("writes");
    let error = ship("drift").expect_err("no place").to_string();
    assert!(error.contains(&taken.display().to_string()), "{error}");
    fs::remove_file(&taken).expect("removes");
    assert!(files(&shipped) == before, "what is wanted no more goes last");
    ship("drift")?;
    let after = files(&shipped);
    assert!(after.keys().any(|path| path.starts_with(&taken)));
    assert!(!after.keys().any(|path| path.starts_with(shipped.join("finetuning/good"))), "{:?}", after.keys());
    let entries = fs::read_dir(&shipped).expect("lists").map(|entry| entry.expect("an entry").file_name());
    assert!(!entries.into_iter().any(|name| name.to_string_lossy().starts_with('.')), "nothing is left beside");
    Ok(())
}

#[test]
fn a_class_that_nobody_is_trained_on_takes_no_part_in_choices() -> Result<()> {
    let root = folder();
    tiny_project(root.path(), "");
    for (part, third) in [("train", 0), ("val", 3), ("test", 5)] {
        let folder = root.path().join("parted").join(part);
        classes(&folder, &[("flat", 12), ("steep", 12)]);
        if third > 0 {
            classes(&folder, &[("third", third)]);
        }
    }
    let record = "id = \"parted\"\n[source.folder]\npath = \"parted\"\n[split]\npool = \"train\"\nrule = \"study_capped\"\n\
                  val = { name = \"val\" }\nid_test = { name = \"test\" }\n";
    fs::write(root.path().join("data_manifests/datasets/parted.toml"), record).expect("writes");
    let project = Project::open(root.path(), "default")?.with_cache(root.path().join("cache"));
    let start = Start::open(&project, "parted", MODEL, &Device::Cpu)?;
    let encoded = start.encoded();
    let third = encoded.set.classes.iter().position(|class| class == "third").expect("a class") as u32;
    let count = |positions: &[usize]| encoded.labels_at(positions).iter().filter(|&&label| label == third).count();
    let (all, parts) = (encoded.parts(10, 0)?, start.parts(10, 0)?);
    assert_eq!((count(&all.train), count(&all.val), count(&parts.val)), (0, 2, 0));
    assert_eq!((parts.val.len(), count(&parts.test), &parts.train), (all.val.len() - 2, 5, &all.train));
    // It has a score all the same, which is never the highest where training begins with a fit.
    let tuned = start.tune(&asked(Tuning::Wise), &root.path().join("run"), &silent())?;
    let test = tuned.predicted.iter().find(|part| part.split == "test").expect("the test");
    assert_eq!(test.surprise.ncols(), 3);
    assert!(test.classes().iter().all(|&class| class != third));
    let accuracy = tuned.scores.iter().find(|score| score.metric == "accuracy" && score.weights == "chosen");
    assert!(accuracy.and_then(|score| score.value).expect("a number") <= 24.0 / 29.0 + 1e-9);
    Ok(())
}
