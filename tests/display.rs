//! Tables and charts of rows made by hand: each number in its own place, no certainty that the rows do not give, and what has no
//! number said instead of left out.

#[path = "support/a_run.rs"]
mod a_run;
#[path = "support/tiny_project.rs"]
#[allow(dead_code)]
mod tiny_project;

use a_run::run;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use wider_clip::experiments::finetuning::Gain;
use wider_clip::experiments::same_data::STANDARDISED;
use wider_clip::prelude::*;
use wider_clip::results::{Cell as Work, Made, Score};

fn project() -> Project {
    Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "default").expect("opens")
}

/// Where a row stands: model, method, weights, budget, seed.
type Arm<'a> = (&'a str, &'a str, &'a str, u32, u64);

/// An accuracy on known styles of a data set without a record, so that labels are training images: as many as the budget.
fn row((model, method, weights, budget, seed): Arm, value: f64) -> ResultRow {
    let cell = Work {
        table: "drift_probe".into(),
        dataset: "drawn".into(),
        model: model.into(),
        method: method.into(),
        budget: Some(budget),
        seed,
        pooling: "default".into(),
        protocol: "grouped".into(),
        subset: "all".into(),
        device: "cpu".into(),
        key: format!("{model} {method} {budget} {seed}"),
    };
    let score = Score {
        split: "id".into(),
        metric: "accuracy".into(),
        value: Some(value),
        n_train: budget,
        n_test: 100,
        warning: String::new(),
        weights: weights.into(),
    };
    ResultRow::new(cell, score, Made::here())
}

fn of_feature(model: &str, pooling: &str, seed: u64, value: f64) -> ResultRow {
    let row = row((model, "knn_dino", "", 100, seed), value);
    ResultRow { cell: Work { pooling: pooling.into(), ..row.cell }, ..row }
}

/// One seed at 10 labels, three at 100.
fn few_and_many(model: &str, method: &str, weights: &str) -> Vec<ResultRow> {
    let many = [0.5, 0.6, 0.7].into_iter().zip(0..);
    let many = many.map(|(value, seed)| row((model, method, weights, 100, seed), value));
    std::iter::once(row((model, method, weights, 10, 0), 0.3)).chain(many).collect()
}

fn json(chart: &Chart) -> Value {
    serde_json::from_str(&chart.to_json()).expect("JSON")
}

fn texts(table: &Table, row: usize) -> Vec<&str> {
    table.rows[row].iter().map(|cell| cell.text.as_str()).collect()
}

#[test]
fn every_feature_has_a_column_of_its_own() -> Result<()> {
    let features = [("patch_mean", 0.2), ("token_mean", 0.4), ("cls_patch_mean", 0.9), ("of tomorrow", 0.5)];
    let mut rows: Vec<ResultRow> =
        features.iter().map(|(pooling, value)| of_feature("dino_b16.in1k", pooling, 0, *value)).collect();
    rows.push(of_feature("convnext_base.fb_in1k", "avg", 0, 0.3));
    let table = pooling_table(&project(), &rows, "drawn", "id")?;
    assert_eq!(table.header, ["model", "mean (patch_mean, avg)", "token_mean", "cls_patch_mean", "of tomorrow"]);
    assert_eq!(texts(&table, 0), ["DINO ViT-B/16, ImageNet", "20.0", "40.0", "90.0", "50.0"]);
    assert_eq!(table.rows[0].iter().map(|cell| cell.best).collect::<Vec<_>>(), [false, false, false, true, false]);
    assert_eq!(texts(&table, 1), ["ConvNeXt-B, ImageNet", "30.0", "–", "–", "–"]);

    // A pocket model, whose features are one column each.
    let default = format!("patches{STANDARDISED}");
    let features = ["patches", "grid_mean", "cls", "patch_mean", &default];
    let rows: Vec<ResultRow> =
        features.iter().map(|pooling| of_feature("clip_pocket.icons", pooling, 0, 0.5)).collect();
    let table = pooling_table(&project(), &rows, "drawn", "id")?;
    let expected =
        ["model", "cls", "mean (patch_mean, avg)", "grid_mean", "all (patches, pixels)", "default, standardised"];
    assert_eq!(table.header, expected);
    Ok(())
}

#[test]
fn a_point_without_an_interval_takes_none_from_another() -> Result<()> {
    let project = project();
    let knn = few_and_many("pixels.raw", "knn", "");
    let both = [few_and_many("pixels.raw", "lr", ""), few_and_many("pixels.raw", "finetune", "last")].concat();
    for chart in [
        accuracy_chart(&project, &knn, "drawn", "id", Method::Knn)?,
        labels_chart(&project, &both, "drawn", "id", "pixels.raw")?,
    ] {
        let text = chart.to_text();
        assert!(text.contains(" 10 -> 30.0; 100 -> 60.0 [35.2, 84.8];"), "{text}");
        for trace in json(&chart)["data"].as_array().expect("traces") {
            let bars = &trace["error_y"];
            let length = |end: &str, point: usize| bars[end][point].as_f64().expect("a number");
            assert_eq!((length("array", 0), length("arrayminus", 0)), (0.0, 0.0), "{bars}");
            assert!((length("array", 1) - 24.84).abs() < 0.01 && (length("arrayminus", 1) - 24.84).abs() < 0.01);
        }
    }
    // One seed everywhere: no bars.
    let alone: Vec<ResultRow> = knn.into_iter().filter(|row| row.cell.seed == 0).collect();
    let chart = accuracy_chart(&project, &alone, "drawn", "id", Method::Knn)?;
    assert!(json(&chart)["data"][0]["error_y"].is_null() && !chart.to_text().contains('['), "{}", chart.to_text());
    Ok(())
}

#[test]
fn what_near_copies_add_has_its_interval_at_its_own_point() -> Result<()> {
    let project = project();
    let classes = project.images("icons")?.classes.len() as u32;
    let of = |protocol: &str, gains: [f64; 4]| {
        let rows = few_and_many("pixels.raw", "lr", "").into_iter().zip(gains);
        let rows = rows.map(|(row, gain)| {
            let cell = Work { dataset: "icons".into(), protocol: protocol.into(), ..row.cell };
            ResultRow { cell, value: Some(0.5 + gain), n_train: row.n_train * classes, ..row }
        });
        rows.collect::<Vec<_>>()
    };
    let rows = [of("grouped", [0.0; 4]), of("leaky", [0.05, 0.1, 0.2, 0.3])].concat();
    let text = leakage_chart(&project, &rows, "icons")?.to_text().to_string();
    assert!(text.contains("Raw pixels: 10 -> 5.0; 100 -> 20.0 [-4.8, 44.8];"), "{text}");
    Ok(())
}

/// Few seeds that differ all by the same do so by chance.
#[test]
fn seeds_that_agree_by_chance_leave_a_difference_open() -> Result<()> {
    let project = project();
    let of = |method: &str, values: &[f64]| -> Vec<ResultRow> {
        let values = values.iter().zip(0..);
        values.map(|(value, seed)| row(("pixels.raw", method, "", 10, seed), *value)).collect()
    };
    // Alike, and clear.
    for (with, clearly) in [([0.3, 0.4, 0.5], "0"), ([0.3, 0.41, 0.5], "1")] {
        let rows = [of("knn", &with), of("lr", &[0.1, 0.2, 0.3])].concat();
        let table = neighbours_ahead_table(&project, &rows)?;
        assert_eq!(texts(&table, 0), ["drawn", "id", "10", "1", clearly, "0", "1"]);
        let rows = [of("umap_kmeans", &with), of("kmeans", &[0.1, 0.2, 0.3])].concat();
        let rows: Vec<ResultRow> = rows.into_iter().map(|row| ResultRow { metric: "ari".into(), ..row }).collect();
        assert_eq!(texts(&umap_table(&rows)?, 0)[2..5], [clearly, "0", "1"]);
        let chart = umap_chart(&project, &rows, "drawn", "id")?;
        let symbol = json(&chart)["data"][0]["marker"]["symbol"].as_str().map(String::from).expect("a symbol");
        assert_eq!(symbol.ends_with("-open"), clearly == "0", "{symbol}");
        assert!(!chart.to_text().contains("+0.200 ["), "{}", chart.to_text());
    }
    let mut rows = Vec::new();
    for (model, values) in [
        ("clip_pocket.icons", [0.5, 0.6, 0.7]),
        ("vit_p8_pocket.random", [0.4, 0.5, 0.6]),
        ("pixels.raw", [0.3, 0.41, 0.5]),
    ] {
        let of = values.into_iter().zip(0..);
        rows.extend(of.map(|(value, seed)| of_feature(model, &format!("x{STANDARDISED}"), seed, value)));
    }
    let table = standardised_table(&project, &rows, "drawn")?;
    assert_eq!(texts(&table, 0), ["Pocket CLIP, icons", "+10.0", "+19.7 [+18.2, +21.1]"]);
    assert_eq!((table.rows[0][1].best, table.rows[0][2].best), (false, true));
    Ok(())
}

#[test]
fn an_arm_with_the_values_of_the_best_is_not_told_apart_from_it() -> Result<()> {
    let mut rows = Vec::new();
    for (model, values) in
        [("vit_tiny.random", [0.5, 0.6, 0.7]), ("pixels.raw", [0.5, 0.6, 0.7]), ("dino_b16.in1k", [0.1, 0.21, 0.3])]
    {
        rows.extend(values.into_iter().zip(0..).map(|(value, seed)| row((model, "lr", "", 10, seed), value)));
    }
    let text = methods_chart(&project(), &rows, "drawn", "id", 10)?.to_text().to_string();
    let names: Vec<&str> = text.lines().skip(2).filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names, ["Raw pixels", "ViT-Tiny, random weights =", "DINO ViT-B/16, ImageNet"]);
    Ok(())
}

#[test]
fn models_of_one_name_are_lines_of_their_own() -> Result<()> {
    let root = tempfile::tempdir().expect("a folder");
    tiny_project::tiny_project(root.path(), "");
    let path = root.path().join("data_manifests/models/vit_p16_pocket.random.toml");
    let text = std::fs::read_to_string(&path).expect("reads");
    let renamed = text.replacen("\"Pocket ViT, large patches, random weights\"", "\"Raw pixels\"", 1);
    assert_ne!(renamed, text);
    std::fs::write(&path, renamed).expect("writes");
    let project = Project::open(root.path(), "default")?;
    let models = ["efficientnet_pocket.random", "pixels.raw", "vit_p16_pocket.random"];
    let rows: Vec<ResultRow> = models.iter().flat_map(|model| few_and_many(model, "knn", "")).collect();
    let chart = accuracy_chart(&project, &rows, "drawn", "id", Method::Knn)?;
    let json = json(&chart);
    let traces = json["data"].as_array().expect("traces");
    let names: BTreeSet<&str> = traces.iter().filter_map(|trace| trace["name"].as_str()).collect();
    let expected =
        ["Pocket EfficientNet, random weights", "pixels.raw (Raw pixels)", "vit_p16_pocket.random (Raw pixels)"];
    assert_eq!(names, BTreeSet::from(expected));
    assert!(traces.iter().all(|trace| trace["x"].as_array().is_some_and(|x| x.len() == 2)), "{json}");
    Ok(())
}

#[test]
fn the_spread_over_models_is_that_of_seeds_with_three() -> Result<()> {
    let rows = |budget: u32, seeds: &[(u64, &[&str])]| {
        let mut rows = Vec::new();
        for (seed, models) in seeds {
            for (model, value) in models.iter().zip([0.2, 0.4, 0.7]) {
                rows.push(row((model, "lr", "", budget, *seed), value));
                rows.push(row((model, "finetune", "last", budget, *seed), value + 0.1));
            }
        }
        rows
    };
    // Three models, but two under each seed: nothing to tell, and no error.
    let apart = rows(10, &[(0, &["a", "b"]), (1, &["b", "c"])]);
    assert!(spread_table(&apart, &["lr", "finetune"])?.rows.is_empty());
    let with = [apart, rows(100, &[(0, &["a", "b", "c"]), (1, &["b", "d"])])].concat();
    let table = spread_table(&with, &["lr", "finetune"])?;
    assert_eq!(table.rows.len(), 1);
    assert_eq!(texts(&table, 0), ["drawn, id", "100", "3", "1.12", "1.13"]);
    Ok(())
}

#[test]
fn a_place_on_the_way_without_a_number_is_left_out() -> Result<()> {
    let of = |model: &str, alpha: &str, value: Option<f64>| {
        let row = row((model, "wise", &format!("alpha {alpha}"), 10, 0), 0.0);
        ResultRow { value, ..row }
    };
    let rows = [
        of("pixels.raw", "0", Some(0.3)),
        of("pixels.raw", "0.5", None),
        of("pixels.raw", "1", Some(0.5)),
        of("vit_tiny.random", "0", None),
    ];
    let chart = wise_chart(&project(), &rows, "drawn", "id", 10)?;
    assert!(chart.to_text().ends_with("\nRaw pixels: 0 -> 30.0; 1 -> 50.0;"), "{}", chart.to_text());
    Ok(())
}

#[test]
fn the_best_epoch_is_the_mean_of_runs_that_have_one() {
    let lost = |seed: u64| Run { best_epoch: None, ..run("lost", seed) };
    let epoch = |runs: &[Run]| runs_table(runs).rows[0][6].text.clone();
    assert_eq!(epoch(&[run("a", 0), lost(1)]), "7");
    assert_eq!(epoch(&[lost(0), lost(1)]), "–");
}

#[test]
fn budgets_are_told_apart_by_their_shades() {
    let answers = [true, false, true, true];
    let colours = |n: u32| -> Vec<String> {
        let gain = |budget: u32| Gain {
            dataset: "drawn".into(),
            split: "id".into(),
            model: "pixels.raw".into(),
            method: "finetune".into(),
            weights: "last".into(),
            budget,
            n_train: 4,
            paired: paired_bootstrap(&answers, &answers, 50, 1).expect("a bootstrap"),
            holm: 1.0,
        };
        let gains: Vec<Gain> = (1..=n).map(gain).collect();
        let json = json(&gain_chart(&project(), &gains, "drawn", "id", "finetune"));
        let traces = json["data"].as_array().expect("traces");
        traces.iter().filter_map(|trace| trace["marker"]["color"].as_str().map(String::from)).collect()
    };
    assert_eq!(colours(3), ["#f0a35e", "#d55e00", "#8a2d00"]);
    assert_eq!(colours(4), ["#f0a35e", "#d55e00", "#8a2d00", "#4a1500"]);
    let seven = colours(7);
    assert_eq!((seven[0].as_str(), seven[2].as_str(), seven[6].as_str()), ("#f0a35e", "#d55e00", "#4a1500"));
    assert_eq!(seven.iter().collect::<BTreeSet<_>>().len(), 7, "{seven:?}");
}

/// Both sides of an arrow are of the same seeds, and the caption counts what is shown.
#[test]
fn a_calibration_is_of_the_seeds_that_have_a_temperature() -> Result<()> {
    let mut rows = Vec::new();
    for (method, budget) in [("lr", 100), ("lr", 10), ("lr_sweep", 100)] {
        for seed in 0..3 {
            for split in ["id", "ood"] {
                let tempered = (seed < 2).then_some(0.5);
                let plain = Some(0.1 * (seed + 1) as f64);
                let values = [
                    ("ece", plain),
                    ("nll", plain),
                    ("temperature", tempered),
                    ("ece_tempered", tempered),
                    ("nll_tempered", tempered),
                ];
                for (metric, value) in values {
                    let row = row(("vit_p8_pocket.icons", method, "", budget, seed), 0.0);
                    let mut row = ResultRow { split: split.into(), metric: metric.into(), value, ..row };
                    row.made.shipped = seed == 0;
                    rows.push(row);
                }
            }
        }
    }
    let table = calibration_table(&project(), &rows, "drawn", "lr", 100)?;
    assert_eq!(texts(&table, 0)[1..], ["0.50", "15.0 → 50.0", "15.0 → 50.0", "0.15 → 0.50", "0.15 → 0.50"]);
    // Two seeds, two parts, five numbers.
    assert!(table.caption.contains("of 20 numbers behind it 10 computed on this machine"), "{}", table.caption);
    // Without any temperature what there is stands alone.
    rows.iter_mut().filter(|row| row.metric.contains("temper")).for_each(|row| row.value = None);
    let table = calibration_table(&project(), &rows, "drawn", "lr", 100)?;
    assert_eq!(texts(&table, 0)[1..3], ["–", "20.0 → –"]);
    Ok(())
}
