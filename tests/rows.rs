//! Rows: read back as written, kept once however many processes add them, exported as CSV and Parquet, and held against those
//! that came with the project.

use wider_clip::prelude::*;
use wider_clip::results::{
    AGREEMENT, Answers, Cell, Made, Score, Store, export, read_rows, standing, to_csv, write_rows,
};

fn row(seed: u64, metric: &str, value: Option<f64>) -> ResultRow {
    let cell = Cell {
        table: "drift_probe".into(),
        dataset: "icons".into(),
        model: "pixels.raw".into(),
        method: "lr".into(),
        budget: Some(10),
        seed,
        pooling: "pixels".into(),
        protocol: "grouped".into(),
        subset: "all".into(),
        device: "cpu".into(),
        key: format!("key {seed}"),
    };
    let warning = "a \"quoted\", comma'd\nwarning".into();
    let score = Score { split: "id".into(), metric: metric.into(), value, n_train: 7, n_test: 90, warning };
    ResultRow::new(cell, score, Made::here())
}

#[test]
fn rows_come_back_as_they_were_and_none_is_kept_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(folder.path().join("results").join("one"));
    assert!(store.rows("icons", "pixels.raw").expect("nothing there yet").is_empty());
    let rows = vec![row(u64::MAX, "accuracy", Some(0.1 + 0.2)), row(u64::MAX, "macro_f1", None)];
    let add = |rows: Vec<ResultRow>| store.add("icons", "pixels.raw", rows, Vec::new()).expect("writes");
    add(rows.clone());
    add(rows.clone());
    assert_eq!(store.rows("icons", "pixels.raw").expect("reads"), rows);
    // A number of the same place takes the old one's; a metric that a cell has got since stands beside it.
    add(vec![row(u64::MAX, "accuracy", Some(0.5)), row(u64::MAX, "recall", Some(0.25))]);
    let now = store.rows("icons", "pixels.raw").expect("reads");
    let numbers: Vec<(&str, Option<f64>)> = now.iter().map(|row| (row.metric.as_str(), row.value)).collect();
    assert_eq!(numbers, [("macro_f1", None), ("accuracy", Some(0.5)), ("recall", Some(0.25))]);
    let made = &now[0].made;
    assert!(made.machine.contains("threads") && made.date.len() == 10 && made.date.starts_with("20"), "{made:?}");
}

#[test]
fn many_processes_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(folder.path());
    std::thread::scope(|scope| {
        for process in 0..8u64 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..5 {
                    let seed = process * 5 + i;
                    let answers = Answers {
                        key: format!("key {seed}"),
                        split: "id".into(),
                        images: vec![1, 5, 9],
                        predicted: vec![0, seed as u32, 2],
                    };
                    store
                        .add("icons", "pixels.raw", vec![row(seed, "accuracy", Some(0.5))], vec![answers])
                        .expect("writes");
                }
            });
        }
    });
    let mut seeds: Vec<u64> =
        store.rows("icons", "pixels.raw").expect("reads").iter().map(|row| row.cell.seed).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, (0..40).collect::<Vec<_>>());
    let answers = store.answers("icons", "pixels.raw").expect("reads");
    assert_eq!(answers.len(), 40);
    assert!(
        answers
            .iter()
            .all(|of_cell| { of_cell.images == [1, 5, 9] && of_cell.key == format!("key {}", of_cell.predicted[1]) })
    );
}

#[test]
fn rows_are_exported_as_parquet_and_csv() {
    let folder = tempfile::tempdir().expect("a folder");
    let (current, out) = (folder.path().join("current"), folder.path().join("out"));
    assert!(export(&current, &out, |_| true).expect("nothing to export").is_empty());
    let path = current.join("one.parquet");
    write_rows(&path, &[row(3, "accuracy", Some(0.1 + 0.2)), row(3, "macro_f1", None)]).expect("writes");
    write_rows(&current.join("one.shipped.parquet"), &[]).expect("writes");
    let written = export(&current, &out, |_| true).expect("exports");
    assert_eq!(written, [out.join("one.parquet"), out.join("one.csv")]);
    let mut reader = csv::Reader::from_path(out.join("one.csv")).expect("opens");
    let header: Vec<String> = reader.headers().expect("a header").iter().map(String::from).collect();
    let published = ["table", "dataset", "split", "model", "method", "budget", "metric", "value"];
    assert_eq!(header[..8], published);
    let records: Vec<csv::StringRecord> = reader.records().map(|record| record.expect("a row")).collect();
    assert_eq!((&records[0][7], &records[1][7], &records[0][8]), ("0.30000000000000004", "", "3"));
    assert!(records[0].iter().any(|field| field == "a \"quoted\", comma'd\nwarning"));
    export(&current, &out, |row| row.metric == "accuracy").expect("exports");
    assert_eq!(read_rows(&out.join("one.parquet")).expect("reads").len(), 1, "what counts no more is left out");
    std::fs::write(&path, "no Parquet").expect("writes");
    let error = export(&current, &out, |_| true).expect_err("damaged").to_string();
    assert!(error.contains("one.parquet"), "{error}");
    assert!(!to_csv(&frame(&[]).expect("a table without rows")).expect("writes").is_empty());
}

#[test]
fn shipped_rows_are_held_against_those_that_were_computed() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(standing(&folder.path().join("nowhere"), |_| true).expect("no rows").rows, 0);
    let shipped = |mut row: ResultRow| {
        row.made.shipped = true;
        row
    };
    let computed = vec![row(0, "accuracy", Some(0.5)), row(0, "macro_f1", Some(0.25)), row(1, "accuracy", Some(0.75))];
    let came = vec![
        shipped(row(0, "accuracy", Some(0.5))),
        shipped(row(0, "macro_f1", Some(0.25 + 2.0 * AGREEMENT))),
        shipped(row(1, "accuracy", None)),
    ];
    let other = shipped(row(2, "accuracy", Some(0.1)));
    write_rows(&folder.path().join("one.parquet"), &[computed.clone(), vec![other]].concat()).expect("writes");
    write_rows(&folder.path().join("one.shipped.parquet"), &came).expect("writes");
    let found = standing(folder.path(), |_| true).expect("reads");
    assert_eq!((found.rows, found.computed, found.checks.len()), (4, 3, 3));
    let wrong: Vec<(u64, &str)> =
        found.disagreeing().iter().map(|check| (check.computed.cell.seed, check.computed.metric.as_str())).collect();
    assert_eq!(wrong, [(1, "accuracy"), (0, "macro_f1")], "the worst first");
    assert!(read_rows(&folder.path().join("one.parquet")).expect("reads")[3].made.shipped);
}
