//! Rows: read back as written, arms not twice, exported as CSV and Parquet; and the experiment that makes them.

use std::path::Path;
use wider_clip::prelude::*;
use wider_clip::results::{Arm, Results, export, to_csv};

fn row(seed: u64, metric: &str, value: Option<f64>) -> ResultRow {
    let arm = Arm {
        table: "general_probe".into(),
        dataset: "icons".into(),
        model: "pixels.raw".into(),
        method: "lr".into(),
        budget: Some(10),
        seed,
        pooling: "pixels".into(),
        protocol: "grouped".into(),
        subset: "all".into(),
        weights: "none".into(),
        data_sha256: "abc".into(),
        device: "cpu".into(),
        code: 1,
    };
    let warning = "a \"quoted\", comma'd\nwarning".into();
    ResultRow { arm, split: "test".into(), metric: metric.into(), value, n_train: 7, n_test: 90, warning }
}

#[test]
fn rows_come_back_as_they_were_and_arms_are_not_added_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("results").join("one.parquet");
    let mut results = Results::open(&path).expect("nothing there yet");
    let rows = vec![row(u64::MAX, "accuracy", Some(0.1 + 0.2)), row(u64::MAX, "macro_f1", None)];
    results.add(rows.clone()).expect("writes");
    results.add(rows.clone()).expect("writes");
    assert_eq!(Results::open(&path).expect("reads").rows(), rows);
    // Two processes: the second has not seen the first one's rows, and loses none of them.
    let (mut a, mut b) = (Results::open(&path).expect("reads"), Results::open(&path).expect("reads"));
    a.add(vec![row(1, "accuracy", Some(0.5))]).expect("writes");
    b.add(vec![row(2, "accuracy", Some(0.6))]).expect("writes");
    assert_eq!(Results::open(&path).expect("reads").rows().len(), 4);
    assert!(b.contains(&row(1, "accuracy", None).arm));
}

#[test]
fn rows_are_exported_as_parquet_and_csv() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    assert!(export(folder.path(), &out).expect("nothing to export").is_empty());
    let path = folder.path().join("results").join("one.parquet");
    Results::open(&path)
        .and_then(|mut results| results.add(vec![row(3, "accuracy", Some(0.1 + 0.2)), row(3, "macro_f1", None)]))
        .expect("writes");
    let written = export(folder.path(), &out).expect("exports");
    assert_eq!(written, [out.join("one.parquet"), out.join("one.csv")]);
    let mut reader = csv::Reader::from_path(out.join("one.csv")).expect("opens");
    let header: Vec<String> = reader.headers().expect("a header").iter().map(String::from).collect();
    let published = ["table", "dataset", "split", "model", "method", "budget", "metric", "value"];
    assert_eq!(header[..8], published);
    let records: Vec<csv::StringRecord> = reader.records().map(|record| record.expect("a row")).collect();
    assert_eq!((&records[0][7], &records[1][7], &records[0][8]), ("0.30000000000000004", "", "3"));
    assert!(records[0].iter().any(|field| field == "a \"quoted\", comma'd\nwarning"));
    std::fs::write(&path, "no Parquet").expect("writes");
    let error = export(folder.path(), &out).expect_err("damaged").to_string();
    assert!(error.contains("one.parquet"), "{error}");
    assert!(!to_csv(&frame(&[]).expect("a table without rows")).expect("writes").is_empty());
}

#[test]
fn the_experiment_computes_each_arm_once_and_the_same_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = tempfile::tempdir().expect("a folder");
    let project = Project::open(root, "smoke").expect("opens").with_cache(cache.path());
    let bench = representations::Bench::open(&project, "icons", "pixels.raw", &Device::Cpu).expect("opens");
    let (parts, again) = (bench.parts(10, 3, false).expect("splits"), bench.parts(10, 3, false).expect("splits"));
    assert_eq!(parts, again);
    assert_ne!(parts, bench.parts(10, 4, false).expect("splits"));
    let groups = bench.set.groups.as_ref().expect("groups");
    let group = |&position: &usize| groups[bench.features.rows[position]].as_str();
    let seen: std::collections::HashSet<&str> = parts.train.iter().chain(&parts.val).map(group).collect();
    assert!(parts.test.iter().chain(&parts.ood).all(|position| !seen.contains(group(position))));
    let domains = bench.set.domains.as_ref().expect("styles");
    let held_out = |&position: &usize| domains[bench.features.rows[position]] == "phosphor-fill";
    assert!(parts.ood.iter().all(held_out) && !parts.ood.is_empty());
    assert!(!parts.train.iter().chain(&parts.test).any(held_out));
    for method in [Method::Knn, Method::Lr] {
        let first = bench.predict(method, &parts).expect("predicts");
        assert_eq!(first.test, bench.predict(method, &parts).expect("predicts").test);
        assert_eq!((first.test.len(), first.ood.len()), (parts.test.len(), parts.ood.len()));
    }
    let difference = representations::compare(&bench, &bench, Method::Knn, 10, 3).expect("compares");
    assert_eq!((difference.difference, difference.low, difference.high), (0.0, 0.0, 0.0));
}
