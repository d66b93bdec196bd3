//! Drift: answers kept for every probe, gaps with intervals over groups, every domain held out, calibration, the study's line.

#[path = "support/tiny_project.rs"]
#[allow(dead_code)]
mod tiny_project;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tiny_project::{runs, tiny_project};
use wider_clip::experiments::drift::{self, StudyDrift, drifts};
use wider_clip::experiments::{Answered, Tested, shipping};
use wider_clip::images::{Corruption, CorruptionKind, Scale};
use wider_clip::metrics::{self, DriftLine, Resamples, Stretch};
use wider_clip::ndarray::Array2;
use wider_clip::prelude::*;
use wider_clip::probe::labelled;
use wider_clip::probe::sweep::CSweep;
use wider_clip::results::{Cell, Kept, Right, Store};

const METHODS: &str = "methods = [\"knn\", \"lr\", \"lr_standardised\", \"lr_sweep\"]";

/// The tiny project with all probes and two seeds. Every fifth image has the other class's name, so that no probe is always right.
fn project(root: &Path, more: &str) -> Project {
    let project = tiny_project(root, more);
    let wrong = |i: u32| u32::from(i % 5 == 0);
    tiny_project::drift(&root.join("data_manifests/embedded/drift.parquet"), |i| (i + wrong(i)) % 2);
    let path = root.join("data_manifests/suites/default.toml");
    let suite = std::fs::read_to_string(&path).expect("reads");
    let suite = suite.replacen("methods = [\"knn\"]", METHODS, 1).replacen("seeds = [0]", "seeds = [0, 1]", 1);
    std::fs::write(&path, suite).expect("writes");
    Project::open(root, "default").expect("opens").with_cache(project.cache())
}

#[test]
fn answers_are_what_the_rows_say() -> Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    let project = project(root.path(), "");
    let (device, rows) = (Device::Cpu, representations::run(&project, &Device::Cpu)?);
    let answers = drift::answers(&project, &device)?;
    // Four probes, two seeds, two tests; only of the set that holds a domain out.
    assert_eq!(answers.len(), 4 * 2 * 2);
    for answered in &answers {
        let n = answered.right.len();
        assert_eq!((answered.tested.classes.len(), answered.tested.units.len()), (n, n));
        let accuracy = answered.right.iter().filter(|right| **right).count() as f64 / n as f64;
        let same = |row: &&ResultRow| {
            let (ours, theirs) = (&answered.cell, &row.cell);
            (&ours.dataset, &ours.model, &ours.method, ours.budget, ours.seed, &answered.split, "accuracy")
                == (&theirs.dataset, &theirs.model, &theirs.method, theirs.budget, theirs.seed, &row.split, &row.metric)
        };
        let found: Vec<_> = rows.iter().filter(same).collect();
        assert_eq!(found.len(), 1, "{:?}", answered.cell);
        assert_eq!(found[0].value, Some(accuracy));
        assert_eq!((found[0].n_train, found[0].n_test as usize), (answered.n_train, n));
    }
    // Kept, not computed again.
    assert_eq!(drift::answers(&project, &device)?, answers);
    Ok(())
}

/// Whatever is drawn from the images that can be used: a split is of them alone.
#[test]
fn answers_are_of_the_images_that_were_asked_where_some_cannot_be_decoded() -> Result<()> {
    for (more, broken) in [("", &[7, 60][..]), ("balance = 20\n", &[7][..])] {
        let root = tempfile::tempdir().expect("a folder");
        let cache = project(root.path(), "").cache().to_path_buf();
        let manifests = root.path().join("data_manifests");
        let class = |i: u32| (i + u32::from(i % 5 == 0)) % 2;
        tiny_project::drift_with(&manifests.join("embedded/drift.parquet"), class, broken);
        let record = std::fs::read_to_string(manifests.join("datasets/drift.toml")).expect("reads");
        let record = record.replacen("rule = \"study\"\n", &format!("rule = \"study\"\n{more}"), 1);
        std::fs::write(manifests.join("datasets/drift.toml"), record).expect("writes");
        let project = Project::open(root.path(), "default")?.with_cache(cache);
        let answers = drift::answers(&project, &Device::Cpu)?;
        assert_eq!(answers.len(), 4 * 2 * 2, "{more}");
        let encoded = Encoded::open(&project, "drift", "pixels.raw", &Device::Cpu)?;
        assert_eq!(encoded.features.set_aside.len(), broken.len());
        let mut names: Vec<String> = (0..encoded.set.len()).map(|row| row.to_string()).collect();
        names.sort();
        for answered in &answers {
            let parts = encoded.parts(10, answered.cell.seed)?;
            let measured = parts.measured();
            let (_, positions) = measured.iter().find(|(split, _)| *split == answered.split).expect("a test");
            let rows = positions.iter().map(|&i| encoded.features.rows[i].to_string());
            let units: Vec<u32> = rows.map(|row| names.binary_search(&row).expect("a row") as u32).collect();
            assert_eq!(answered.tested.units, units, "{more}");
            assert_eq!(answered.tested.classes, encoded.labels_at(positions));
            let of_val = if answered.cell.method == "lr_sweep" { parts.val.len() } else { 0 };
            let n_train = parts.train.len() + of_val;
            assert_eq!((answered.right.len(), answered.n_train as usize), (positions.len(), n_train));
        }
        assert_eq!(drift::answers(&project, &Device::Cpu)?, answers, "as they were kept");

        // Answers from before it was noted what they are of are left out, and stop nothing.
        let store = Store::new(root.path().join("results/drift"));
        let (right, notes): (Vec<Right>, Vec<Right>) =
            store.right("drift", "pixels.raw")?.into_iter().partition(|right| !right.split.is_empty());
        assert_eq!((right.len(), notes.len()), (4 * 2 * 2, 4 * 2));
        std::fs::remove_file(root.path().join("results/drift/drift/pixels.raw.right.parquet")).expect("removes");
        store.add("drift", "pixels.raw", Kept { right, ..Kept::default() })?;
        assert!(drift::answers(&project, &Device::Cpu)?.is_empty());
    }
    Ok(())
}

/// How strong damage is depends on how large images are: on the first that can be told.
#[test]
fn a_first_picture_that_is_none_costs_no_damage() -> Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    let cache = project(root.path(), "").cache().to_path_buf();
    let manifests = root.path().join("data_manifests");
    tiny_project::drift_with(&manifests.join("embedded/drift.parquet"), |i| i % 2, &[0]);
    let project = Project::open(root.path(), "default")?.with_cache(cache);
    let rows = drift::run_corruptions(&project, &Device::Cpu)?;
    assert!(rows.iter().any(|row| row.cell.dataset == "drift"), "{} rows", rows.len());
    Ok(())
}

/// Names the folder of the child below.
const FRESH_CHILD: &str = "WIDER_CLIP_TEST_FRESH";

#[test]
#[ignore = "the child of nothing_that_came_is_used_where_all_is_to_be_computed"]
fn fresh_child() {
    let Some(root) = std::env::var_os(FRESH_CHILD).map(std::path::PathBuf::from) else { return };
    let project = Project::open(&root, "default").expect("opens").with_cache(root.join("cache"));
    let rows = finetuning::run(&project, &Device::Cpu).expect("runs");
    assert!(!rows.is_empty() && rows.iter().all(|row| row.cell.dataset == "good" && !row.made.shipped), "{rows:?}");
    let runs = finetuning::runs(&project, &Device::Cpu).expect("runs");
    assert!(runs.len() == 1 && runs[0].dataset == "good", "{runs:?}");
    let answers = finetuning::answers(&project, &Device::Cpu).expect("answers");
    assert!(!answers.is_empty() && answers.iter().all(|answered| answered.cell.dataset == "good"));
}

#[test]
fn nothing_that_came_is_used_where_all_is_to_be_computed() -> Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    let project = tiny_project(root.path(), &runs("[\"lp_ft\"]", "[\"good\", \"drift\"]", "[0]"));
    shipping::ship(std::slice::from_ref(&project), &Device::Cpu)?;
    // Another machine, on which the features of one data set cannot be had.
    for folder in ["results", "cache"] {
        std::fs::remove_dir_all(root.path().join(folder)).expect("removes");
    }
    std::fs::create_dir_all(root.path().join("cache/features")).expect("a folder");
    std::fs::write(root.path().join("cache/features/drift"), "taken").expect("writes");
    let came = finetuning::answers(&project, &Device::Cpu)?;
    assert!(came.iter().any(|answered| answered.cell.dataset == "drift"), "as they came");
    std::fs::remove_dir_all(root.path().join("results")).expect("removes");
    let output = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "fresh_child"])
        .env(FRESH_CHILD, root.path())
        .env("WIDER_CLIP_FRESH", "1")
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    Ok(())
}

#[test]
fn calibration_is_that_of_the_probe() -> Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    let project = project(root.path(), "");
    let rows = drift::run(&project, &Device::Cpu)?;
    assert_eq!(rows.len(), 4 * 2 * 2 * drift::METRICS.len());
    assert!(rows.iter().filter(|row| row.cell.method == "knn").all(|row| row.value.is_none()));
    assert!(rows.iter().all(|row| row.cell.table == "drift" && row.cell.dataset == "drift"));

    let encoded = Encoded::open(&project, "drift", "pixels.raw", &Device::Cpu)?;
    let of = |positions: &[usize]| {
        let rows = encoded.chosen().expect("features").select(wider_clip::ndarray::Axis(0), positions);
        (rows, encoded.labels_at(positions))
    };
    // By the regression as it is used alone, from probabilities in place of scores.
    let mut told = 0;
    for (method, seed) in [(Method::Lr, 0), (Method::Lr, 1), (Method::LrSweep, 0), (Method::LrSweep, 1)] {
        let parts = encoded.parts(10, seed)?;
        let part = |positions: &[usize]| {
            let (features, labels) = of(positions);
            labelled(features, labels)
        };
        let (train, val) = (part(&parts.train)?, part(&parts.val)?);
        let (model, n_train) = match method {
            Method::LrSweep => (CSweep::dinov2().fit(&train, &val)?.refit, parts.train.len() + parts.val.len()),
            _ => (Logistic::params(1.0).fit(&train)?, parts.train.len()),
        };
        let logs = |positions: &[usize]| -> Result<(Array2<f64>, Vec<u32>)> {
            let (asked, truth) = of(positions);
            Ok((model.probabilities(asked.view())?.mapv(f64::ln), truth))
        };
        let (val, truth) = logs(&parts.val)?;
        // A probe that learned from the validation images is nearly sure of them.
        let temperature = match method {
            Method::LrSweep => None,
            _ => metrics::fit_temperature(val.view(), &truth)?,
        };
        for (split, positions) in parts.measured() {
            let value = |metric: &str| {
                let is = |row: &&ResultRow| {
                    (row.cell.method.as_str(), row.cell.seed, row.split.as_str(), row.metric.as_str())
                        == (method.as_str(), seed, split, metric)
                };
                let row = rows.iter().find(is).expect("a row");
                assert_eq!(row.n_train as usize, n_train);
                row.value
            };
            let (asked, truth) = logs(positions)?;
            let held = |temperature: f64| -> Result<[f64; 2]> {
                let probabilities = metrics::tempered(asked.view(), temperature)?;
                Ok([
                    metrics::expected_calibration_error(probabilities.view(), &truth, drift::BINS)?,
                    metrics::negative_log_likelihood(probabilities.view(), &truth)?,
                ])
            };
            let close = |metric: &str, expected: f64| {
                let found = value(metric).unwrap_or(f64::NAN);
                assert!((found - expected).abs() < 1e-6 * (1.0 + expected), "{metric} {split}: {found}, {expected}");
            };
            let [ece, nll] = held(1.0)?;
            close("ece", ece);
            close("nll", nll);
            match temperature {
                Some(temperature) => {
                    let [ece, nll] = held(temperature)?;
                    close("temperature", temperature);
                    close("ece_tempered", ece);
                    close("nll_tempered", nll);
                    told += 1;
                }
                None => assert_eq!(["temperature", "ece_tempered", "nll_tempered"].map(value), [None; 3]),
            }
            let (as_is, tempered) = drift::reliability(&encoded, method, (10, seed), split)?;
            assert_eq!(as_is.iter().map(|bin| bin.n).sum::<usize>(), positions.len());
            assert_eq!(tempered.is_some(), temperature.is_some());
            for (bins, metric) in [(Some(as_is), "ece"), (tempered, "ece_tempered")] {
                let Some(bins) = bins else { continue };
                // The distances of the bins from the diagonal, by images, are the calibration error.
                let gap = |bin: &metrics::ReliabilityBin| {
                    let (confidence, accuracy) = (bin.confidence?, bin.accuracy?);
                    Some(bin.n as f64 * (accuracy - confidence).abs())
                };
                close(metric, bins.iter().filter_map(gap).sum::<f64>() / positions.len() as f64);
            }
        }
    }
    assert!(told > 0, "a temperature that is best");
    let error = drift::reliability(&encoded, Method::Knn, (10, 0), "ood").unwrap_err();
    assert!(error.to_string().contains("one with probabilities"), "{error}");
    let error = drift::reliability(&encoded, Method::Lr, (10, 1), "test").unwrap_err().to_string();
    assert!(error.contains("test") && error.contains("id, ood"), "{error}");
    Ok(())
}

#[test]
fn every_domain_is_held_out_in_turn() -> Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    let project = project(root.path(), "");
    let folds = drift::run_folds(&project, &Device::Cpu)?;
    let protocols: BTreeSet<&str> = folds.iter().map(|row| row.cell.protocol.as_str()).collect();
    assert_eq!(protocols, BTreeSet::from(["held out: tidy", "held out: wild"]));
    // The fold that the record holds out is what the first experiment measures.
    let rows = representations::run(&project, &Device::Cpu)?;
    let numbers = |rows: &[ResultRow], protocol: &str| -> BTreeMap<String, Option<u64>> {
        let wanted = rows.iter().filter(|row| row.cell.protocol == protocol && row.cell.dataset == "drift");
        let place = |row: &ResultRow| format!("{} {} {} {}", row.cell.method, row.cell.seed, row.split, row.metric);
        wanted.map(|row| (place(row), row.value.map(f64::to_bits))).collect()
    };
    let wild = numbers(&folds, "held out: wild");
    // The study's two probes, two seeds, two tests, three metrics.
    assert_eq!(wild.len(), 2 * 2 * 2 * 3);
    let mut expected = numbers(&rows, "study");
    expected.retain(|place, _| place.starts_with("knn ") || place.starts_with("lr "));
    assert_eq!(wild, expected);
    assert_ne!(numbers(&folds, "held out: tidy"), wild);
    let keys: BTreeSet<&String> = folds.iter().map(|row| &row.cell.key).collect();
    assert_eq!(keys.len(), 2 * 2 * 2);
    Ok(())
}

#[test]
fn where_nothing_drifts_there_is_nothing_and_a_set_that_is_not_there_is_left_out() -> Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    let project = project(root.path(), "");
    std::fs::remove_file(root.path().join("data_manifests/embedded/drift.parquet")).expect("removes");
    for rows in [drift::run(&project, &Device::Cpu)?, drift::run_folds(&project, &Device::Cpu)?] {
        assert!(rows.is_empty(), "{rows:?}");
    }
    assert!(drift::answers(&project, &Device::Cpu)?.is_empty() && drifts(&[], 100, 0)?.is_empty());
    let left = wider_clip::results::left_out_in(&project.current_folder()?)?;
    assert!(left.iter().any(|left| left.dataset == "drift"), "{left:?}");
    // Nothing at all to be had is an error still.
    std::fs::remove_dir_all(root.path().join("good")).expect("removes");
    assert!(drift::run(&project, &Device::Cpu).is_err());
    Ok(())
}

#[test]
fn damage_is_measured_on_test_images_of_each_seed() -> Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    let project = project(root.path(), "");
    let rows = drift::run_corruptions(&project, &Device::Cpu)?;
    // Two probes, two seeds; clean, and five kinds at five strengths.
    assert_eq!(rows.len(), 2 * 2 * 26);
    let splits: BTreeSet<&str> = rows.iter().map(|row| row.split.as_str()).collect();
    assert_eq!(splits.len(), 26);
    assert_eq!(splits.iter().filter(|split| drift::damage(split).is_some()).count(), 25);
    assert!(splits.contains(drift::CLEAN) && splits.contains("jpeg 3"));
    assert_eq!((drift::damage("jpeg 6"), drift::damage("clean"), drift::damage("fog 1")), (None, None, None));
    // So few images that all are damaged: clean is what the first experiment measures in distribution.
    let first = representations::run(&project, &Device::Cpu)?;
    for row in rows.iter().filter(|row| row.split == drift::CLEAN) {
        let same = |other: &&ResultRow| {
            (
                &other.cell.method,
                other.cell.seed,
                other.cell.dataset.as_str(),
                other.split.as_str(),
                other.metric.as_str(),
            ) == (&row.cell.method, row.cell.seed, "drift", "id", "accuracy")
        };
        let other = first.iter().find(same).expect("a row");
        assert_eq!((row.value, row.n_test, row.n_train), (other.value, other.n_test, other.n_train));
    }
    // By hand: one kind of damage, decoded, fitted and asked.
    let encoded = Encoded::open(&project, "drift", "pixels.raw", &Device::Cpu)?;
    let corruption = Corruption::new(CorruptionKind::GaussianNoise, 5, Scale::TinyImageNet)?;
    let damaged = Encoding::of(&project, &encoded.set.corrupted(corruption, 0), "pixels.raw", &Device::Cpu)?
        .encode(&project, None)?;
    let parts = encoded.parts(10, 1)?;
    let at = |table: &Encoded, positions: &[usize]| {
        table.chosen().expect("features").select(wider_clip::ndarray::Axis(0), positions)
    };
    let model = Logistic::params(1.0).fit(&labelled(at(&encoded, &parts.train), encoded.labels_at(&parts.train))?)?;
    let predicted = model.try_predict(at(&damaged, &parts.test).view())?.to_vec();
    let is = |row: &&ResultRow| row.split == "gaussian_noise 5" && row.cell.method == "lr" && row.cell.seed == 1;
    let value = rows.iter().find(is).expect("a row").value;
    assert_eq!(value, Some(accuracy(&predicted, &encoded.labels_at(&parts.test))?));
    Ok(())
}

/// An arm of two seeds on 40 images in distribution and 30 out of it, in units of two.
fn arm(model: &str, right: impl Fn(usize, u64) -> bool) -> Vec<Answered> {
    let mut answers = Vec::new();
    for seed in 0..2 {
        for (split, first, n) in [("id", 0, 40), ("ood", 40, 30)] {
            let images = first..first + n;
            let tested = Tested {
                classes: images.clone().map(|image| image as u32 % 3).collect(),
                units: images.clone().map(|image| image as u32 / 2).collect(),
            };
            let cell = Cell {
                table: "drift".into(),
                dataset: "drawn".into(),
                model: model.into(),
                method: "lr".into(),
                budget: Some(10),
                seed,
                pooling: "cls".into(),
                protocol: "grouped".into(),
                subset: "all".into(),
                device: "cpu".into(),
                key: format!("{model} {seed}"),
            };
            answers.push(Answered {
                cell,
                split: split.into(),
                weights: String::new(),
                n_train: 30,
                n_classes: 2,
                tested: Arc::new(tested),
                right: images.map(|image| right(image, seed)).collect(),
            });
        }
    }
    answers
}

fn arms() -> Vec<Answered> {
    let of = |model: &str, every: usize| {
        arm(model, |image, seed| (image * 7 + seed as usize) % every != 0 || image % 11 == 3)
    };
    [("a", 2), ("b", 3), ("c", 5), ("d", 7)].into_iter().flat_map(|(model, every)| of(model, every)).collect()
}

#[test]
fn gaps_are_as_by_hand_and_resampled_by_unit() -> Result<()> {
    const RESAMPLES: usize = 60;
    let answers = arms();
    let drift = &drifts(&answers, RESAMPLES, 3)?[0];
    assert_eq!((drift.dataset.as_str(), drift.n_units, drift.gaps.len()), ("drawn", 35, 4));
    // Accuracies of a model with each unit counted so often.
    let accuracy = |model: &str, split: &str, times: &dyn Fn(usize) -> f64| -> f64 {
        let of_seed = |answered: &Answered| {
            let (mut right, mut n) = (0.0, 0.0);
            for (unit, is_right) in answered.tested.units.iter().zip(&answered.right) {
                n += times(*unit as usize);
                right += times(*unit as usize) * f64::from(u8::from(*is_right));
            }
            right / n
        };
        let seeds: Vec<f64> =
            answers.iter().filter(|a| a.cell.model == model && a.split == split).map(of_seed).collect();
        assert_eq!(seeds.len(), 2);
        seeds.iter().sum::<f64>() / 2.0
    };
    let models = ["a", "b", "c", "d"];
    let points = |times: &dyn Fn(usize) -> f64| models.map(|m| (accuracy(m, "id", times), accuracy(m, "ood", times)));
    // How often each unit is drawn: the sums of a matrix with a 1 for each.
    let drawn = Resamples::new(35, RESAMPLES, 3)?.sums(Array2::eye(35).view())?;
    assert!(drawn.rows().into_iter().all(|row| row.sum() == 35.0));
    let beside = |points: &[(f64, f64); 4], i: usize, stretch: Stretch| {
        DriftLine::fit(points, stretch).ok().and_then(|line| line.effective_robustness(points[i].0, points[i].1))
    };
    let whole = points(&|_| 1.0);
    for (i, gap) in drift.gaps.iter().enumerate() {
        assert_eq!((gap.model.as_str(), gap.n_seeds, gap.budget, gap.n_train), (models[i], 2, 10, 30));
        let (id, ood) = whole[i];
        for (found, expected) in
            [(gap.id.value, id), (gap.ood.value, ood), (gap.points.value, id - ood), (gap.ratio.value, ood / id)]
        {
            assert!((found - expected).abs() < 1e-12, "{found}, {expected}");
        }
        let chance = metrics::above_chance(ood, 3).zip(metrics::above_chance(id, 3)).map(|(ood, id)| ood / id);
        assert!((gap.above_chance.expect("above chance") - chance.expect("above chance")).abs() < 1e-12);
        for (k, stretch) in [Stretch::Probit, Stretch::Logit].into_iter().enumerate() {
            let found = gap.beside[k].expect("beside the line");
            assert!((found.value - beside(&whole, i, stretch).expect("a line")).abs() < 1e-12);
            let mut all: Vec<f64> = drawn
                .rows()
                .into_iter()
                .map(|times| beside(&points(&|unit| f64::from(times[unit])), i, stretch).unwrap_or(f64::NAN))
                .collect();
            all.sort_by(f64::total_cmp);
            let Some((low, high)) = found.interval else {
                assert!(all.iter().any(|number| number.is_nan()), "an interval that could be told");
                continue;
            };
            let at = |fraction: f64| {
                let place = fraction * (RESAMPLES - 1) as f64;
                let (below, part) = (place.floor() as usize, place.fract());
                all[below] * (1.0 - part) + all[below + 1] * part
            };
            assert!((low - at(0.025)).abs() < 1e-6 && (high - at(0.975)).abs() < 1e-6, "{low} {high}");
        }
        let (low, high) = gap.points.interval.expect("units differ");
        assert!(low < gap.points.value && gap.points.value < high);
        assert!(gap.mix.expect("all classes in both").abs() < 0.1);
    }
    // The same whatever the number of threads.
    let alone = wider_clip::rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    assert_eq!(&alone.install(|| drifts(&answers, RESAMPLES, 3))?[0], drift);
    Ok(())
}

#[test]
fn what_cannot_be_told_is_not() -> Result<()> {
    // Two arms have no line; one that is always right has no place on it.
    let two: Vec<Answered> = arms().into_iter().filter(|a| a.cell.model < "c".to_string()).collect();
    let drift = &drifts(&two, 60, 0)?[0];
    assert!(drift.lines.is_none() && drift.gaps.iter().all(|gap| gap.beside == [None, None]));
    let mut four = arms();
    four.extend(arm("sure", |_, _| true));
    let drift = &drifts(&four, 60, 0)?[0];
    let sure = drift.gaps.iter().find(|gap| gap.model == "sure").expect("an arm");
    assert_eq!((sure.points.value, sure.points.interval, sure.beside), (0.0, None, [None, None]));
    assert!(drift.lines.as_ref().expect("lines")[0].n == 4);
    // One test of two is no gap.
    let id: Vec<Answered> = arms().into_iter().filter(|a| a.split == "id").collect();
    assert!(drifts(&id, 60, 0)?.is_empty());
    assert!(drifts(&arms(), 10, 0).is_err());
    Ok(())
}

#[test]
fn arms_without_a_place_on_the_axes_are_counted() -> Result<()> {
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "default")?;
    let first_line = |drift: &drift::Drift| drift_chart(&project, drift).to_text().lines().next().map(String::from);
    let drift = &drifts(&arms(), 60, 0)?[0];
    assert_eq!(first_line(drift).as_deref(), Some("drawn: accuracy in and out of distribution"));
    assert!(!orders_table(&project, drift, "lr", 10)?.caption.contains("left out"));

    let mut all = arms();
    all.extend(arm("sure", |_, _| true));
    all.extend(arm("never", |_, _| false));
    all.extend(arm("elsewhere", |image, _| image >= 40));
    let drift = &drifts(&all, 60, 0)?[0];
    let said = "; arms left out: 3, for 0% and 100% have no place on a logit axis";
    assert_eq!(first_line(drift), Some(format!("drawn: accuracy in and out of distribution{said}")));
    let table = drift_table(&project, drift, "lr", 10)?;
    let kept = |model: &str| {
        let row = table.rows.iter().find(|row| row[0].text == model).expect("a row");
        (row[2].text.clone(), row[4].text.clone())
    };
    assert_eq!(kept("sure"), ("100.0".into(), "1.00".into()));
    // A part of nothing is no number.
    assert_eq!((kept("never"), kept("elsewhere")), (("0.0".into(), "–".into()), ("100.0".into(), "–".into())));
    let orders = orders_table(&project, drift, "lr", 10)?;
    let said = "; models left out: 3, for 0% and 100% in distribution have no place on the line";
    assert!(orders.rows.len() == 4 && orders.caption.ends_with(said), "{}", orders.caption);

    // Two arms have no line.
    let two: Vec<Answered> = arms().into_iter().filter(|a| a.cell.model < "c".to_string()).collect();
    let orders = orders_table(&project, &drifts(&two, 60, 0)?[0], "lr", 10)?;
    assert!(
        orders.caption.ends_with("; models left out: 2, for there is no line through the arms"),
        "{}",
        orders.caption
    );
    Ok(())
}

/// At every step of the slider.
#[test]
fn bars_of_the_studys_pairs_end_within_the_axes() -> Result<()> {
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "default")?;
    for dataset in ["fmow", "iwildcam"] {
        let chart: serde_json::Value =
            serde_json::from_str(&study_drift_chart(&project, dataset)?.to_json()).expect("JSON");
        let list = |value: &serde_json::Value| -> Vec<f64> {
            value.as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect()
        };
        let steps = chart["layout"]["sliders"][0]["steps"].as_array().expect("steps");
        assert_eq!(steps.len(), 7);
        for (name, across) in [("x", "error_x"), ("y", "error_y")] {
            let range = list(&chart["layout"][format!("{name}axis")]["range"]);
            for step in steps {
                let traces = list(&step["args"][1]);
                for (i, trace) in traces.iter().enumerate() {
                    let points = list(&chart["data"][*trace as usize][name]);
                    let reach = |end: &str| list(&step["args"][0][format!("{across}.{end}")][i]);
                    let (up, down) = (reach("array"), reach("arrayminus"));
                    assert!(!points.is_empty() && (points.len(), points.len()) == (up.len(), down.len()));
                    for (point, (up, down)) in points.iter().zip(up.iter().zip(&down)) {
                        assert!(range[0] < point - down && point + up < range[1], "{dataset} {point} {range:?}");
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn fine_tuning_stands_on_the_same_images() -> Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    let project = project(root.path(), &runs("[\"lp_ft\"]", "[\"drift\"]", "[0, 1]"));
    let (probes, tuned) = (drift::answers(&project, &Device::Cpu)?, finetuning::answers(&project, &Device::Cpu)?);
    let find = |all: &[Answered], weights: &str, split: &str| {
        let is = |a: &&Answered| a.weights == weights && a.split == split && a.cell.seed == 1;
        all.iter().find(is).expect("answers").tested.clone()
    };
    for split in ["id", "ood"] {
        assert_eq!(find(&probes, "", split), find(&tuned, "last", split));
    }
    let all: Vec<Answered> = probes.into_iter().chain(tuned.into_iter().filter(|a| a.weights == "last")).collect();
    let drift = &drifts(&all, 100, 0)?[0];
    let arms: Vec<(&str, &str)> = drift.gaps.iter().map(|gap| (gap.model.as_str(), gap.method.as_str())).collect();
    assert!(
        arms.contains(&("pixels.raw", "lr_sweep")) && arms.contains(&("vit_p16_pocket.random", "lp_ft")),
        "{arms:?}"
    );
    Ok(())
}

/// Slope, share of variance and what stands out, by `published/analysis.py` of the notes on the study's numbers.
#[test]
fn the_studys_own_line() -> Result<()> {
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "default")?;
    for (dataset, slope, r2, n_test) in
        [("fmow", 0.94, 0.994, (11327, 22108)), ("iwildcam", 1.07, 0.936, (8154, 42791))]
    {
        let study = StudyDrift::of(&project, dataset)?;
        assert_eq!((study.pairs.len(), study.n_test), (63, n_test));
        assert!((study.line.slope - slope).abs() < 0.005, "{dataset}: {}", study.line.slope);
        assert!((study.line.r2.expect("some variance") - r2).abs() < 0.0005, "{dataset}: {:?}", study.line.r2);
        // Mean distance from the line, in points.
        let beside = |model: &str, probes: bool| {
            let wanted = |pair: &&drift::StudyPair| pair.model == model && (pair.method != "finetune") == probes;
            let all: Vec<f64> = study.pairs.iter().filter(wanted).map(|pair| 100.0 * pair.beside).collect();
            assert!(!all.is_empty(), "{model}");
            all.iter().sum::<f64>() / all.len() as f64
        };
        let told: &[(&str, bool, f64)] = match dataset {
            "fmow" => &[("CLIP", true, 1.8), ("DINO", true, 0.8), ("CLIP", false, 0.7), ("ViTMAE", false, -2.0)],
            _ => &[("convnext_base", true, 7.1), ("DINO", true, 4.4), ("data2vec", false, -4.8)],
        };
        for (model, probes, points) in told {
            let found = beside(model, *probes);
            assert!((found - points).abs() <= 0.05 + 1e-9, "{dataset} {model} {probes}: {found}, {points}");
        }
    }
    // The verdicts of the notes on its claims.
    let claims = drift_claims(&project)?;
    let found: Vec<&str> = claims.rows.iter().map(|row| row[1].text.as_str()).collect();
    for (claim, told) in found.iter().zip([
        "24 of 27 drops are clear, 23 after Holm; of the probes' 18 of 36",
        "least of nine in 1 of 7 columns",
        "R2 0.994 on FMoW and 0.936 on iWildCam",
        "13 of 14 ConvNeXt pairs are higher out of distribution (11 clearly), of the others 9 of 49",
    ]) {
        assert!(claim.contains(told), "{claim} lacks {told}");
    }
    let error = StudyDrift::of(&project, "icons").unwrap_err().to_string();
    assert!(error.contains("one that the study measured drift on") && error.contains("icons"), "{error}");
    Ok(())
}
