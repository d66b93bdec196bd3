//! Results: one tidy row a number, in Parquet.
//!
//! The first eight columns are those of the study's published table (`data_manifests/published/results.csv`); then come
//! the seed and the provenance. An arm is everything that decides a number but the metric; an arm that is already in
//! the file is not computed again.

use crate::error::{Error, Result};
use crate::storage;
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;
use polars_io::parquet::write::ParquetWriter;
use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Everything that decides a number, but for the part it was measured on and the metric.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arm {
    /// Which of the study's tables it belongs to: `general_probe`, ...
    pub table: String,
    /// Data set id.
    pub dataset: String,
    /// Model id, `arch.tag`.
    pub model: String,
    /// `knn`, `lr`.
    pub method: String,
    /// Label budget N of the split rule; `None` where no labels are used.
    pub budget: Option<u32>,
    /// Seed of the split.
    pub seed: u64,
    /// Which feature of the model.
    pub pooling: String,
    /// How the parts were drawn: `study`, `grouped`, or `leaky` (grouped counts, groups ignored).
    pub protocol: String,
    /// Rows of the data set that took part: `all`, or the size of the subset.
    pub subset: String,
    /// Hash of the weights, or how they were drawn; with the prompts, where classes are found by their names.
    pub weights: String,
    /// SHA-256 of the data.
    pub data_sha256: String,
    /// Kind of device the features come from.
    pub device: String,
    /// Version of the experiment's code; raised whenever a change there moves a number.
    pub code: u32,
}

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    /// What it belongs to.
    pub arm: Arm,
    /// The part it was measured on: `test`, `ood`.
    pub split: String,
    /// `accuracy`, `balanced_accuracy`, `macro_f1`; all as fractions.
    pub metric: String,
    /// The number; `None` where it is undefined.
    pub value: Option<f64>,
    /// Training images.
    pub n_train: u32,
    /// Images measured on.
    pub n_test: u32,
    /// What a reader of the number must know (a fit that did not converge); empty where there is nothing.
    pub warning: String,
}

/// The rows of one experiment and the file they live in.
#[derive(Debug, Clone)]
pub struct Results {
    path: PathBuf,
    rows: Vec<ResultRow>,
    arms: HashSet<Arm>,
}

impl Results {
    /// Reads the rows at `path`; a file that is not there holds none.
    ///
    /// # Errors
    /// A file that is no Parquet or lacks a column, named.
    pub fn open(path: &Path) -> Result<Results> {
        let rows = match path.exists() {
            true => read(path)?,
            false => Vec::new(),
        };
        let arms = rows.iter().map(|row| row.arm.clone()).collect();
        Ok(Results { path: path.into(), rows, arms })
    }

    /// Whether the arm is there.
    pub fn contains(&self, arm: &Arm) -> bool {
        self.arms.contains(arm)
    }

    /// All rows, in the order they were added.
    pub fn rows(&self) -> &[ResultRow] {
        &self.rows
    }

    /// Adds rows and writes the file, whole or not at all. Rows that another process has added since are kept.
    pub fn add(&mut self, rows: Vec<ResultRow>) -> Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let _lock = storage::FolderLock::acquire(folder, || ())?;
        *self = Results::open(&self.path)?;
        let fresh: Vec<ResultRow> = rows.into_iter().filter(|row| !self.arms.contains(&row.arm)).collect();
        self.arms.extend(fresh.iter().map(|row| row.arm.clone()));
        self.rows.extend(fresh);
        let mut frame = self.frame()?;
        storage::write_atomic_with(&self.path, |file| {
            ParquetWriter::new(file).finish(&mut frame).map_err(Error::table(self.path.display().to_string()))?;
            Ok(())
        })
    }

    /// Keeps the rows of arms that `wanted` accepts (the file stays as it is).
    pub fn select(&self, wanted: impl Fn(&ResultRow) -> bool) -> Vec<ResultRow> {
        self.rows.iter().filter(|row| wanted(row)).cloned().collect()
    }

    /// All rows as a table.
    pub fn frame(&self) -> Result<DataFrame> {
        frame(&self.rows)
    }
}

/// Rows as a table with the columns of the file.
pub fn frame(rows: &[ResultRow]) -> Result<DataFrame> {
    let text =
        |name: &str, of: fn(&ResultRow) -> &str| Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>());
    let count =
        |name: &str, of: fn(&ResultRow) -> u32| Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>());
    let columns = vec![
        text("table", |row| &row.arm.table),
        text("dataset", |row| &row.arm.dataset),
        text("split", |row| &row.split),
        text("model", |row| &row.arm.model),
        text("method", |row| &row.arm.method),
        Column::new("budget".into(), rows.iter().map(|row| row.arm.budget).collect::<Vec<_>>()),
        text("metric", |row| &row.metric),
        Column::new("value".into(), rows.iter().map(|row| row.value).collect::<Vec<_>>()),
        Column::new("seed".into(), rows.iter().map(|row| row.arm.seed).collect::<Vec<_>>()),
        text("pooling", |row| &row.arm.pooling),
        text("protocol", |row| &row.arm.protocol),
        text("subset", |row| &row.arm.subset),
        count("n_train", |row| row.n_train),
        count("n_test", |row| row.n_test),
        text("warning", |row| &row.warning),
        text("weights", |row| &row.arm.weights),
        text("data_sha256", |row| &row.arm.data_sha256),
        text("device", |row| &row.arm.device),
        count("code", |row| row.arm.code),
    ];
    DataFrame::new_infer_height(columns).map_err(Error::table("result rows"))
}

fn read(path: &Path) -> Result<Vec<ResultRow>> {
    let context = || path.display().to_string();
    let file = File::open(path).map_err(Error::io(path, "opening"))?;
    let frame = ParquetReader::new(file).finish().map_err(Error::table(context()))?;
    let text = |name: &str| -> Result<Vec<String>> {
        let column = frame.column(name).and_then(|column| column.str()).map_err(Error::table(context()))?;
        Ok(column.iter().map(|value| value.unwrap_or_default().to_string()).collect())
    };
    let count = |name: &str| -> Result<Vec<u32>> {
        let column = frame.column(name).and_then(|column| column.u32()).map_err(Error::table(context()))?;
        Ok(column.iter().map(|value| value.unwrap_or_default()).collect())
    };
    let (table, dataset, split, model) = (text("table")?, text("dataset")?, text("split")?, text("model")?);
    let (method, metric, pooling, protocol) = (text("method")?, text("metric")?, text("pooling")?, text("protocol")?);
    let (subset, warning, weights) = (text("subset")?, text("warning")?, text("weights")?);
    let (data, device) = (text("data_sha256")?, text("device")?);
    let (n_train, n_test, code) = (count("n_train")?, count("n_test")?, count("code")?);
    let budgets = frame.column("budget").and_then(|column| column.u32()).map_err(Error::table(context()))?;
    let seeds = frame.column("seed").and_then(|column| column.u64()).map_err(Error::table(context()))?;
    let values = frame.column("value").and_then(|column| column.f64()).map_err(Error::table(context()))?;
    let row = |i: usize| ResultRow {
        arm: Arm {
            table: table[i].clone(),
            dataset: dataset[i].clone(),
            model: model[i].clone(),
            method: method[i].clone(),
            budget: budgets.get(i),
            seed: seeds.get(i).unwrap_or_default(),
            pooling: pooling[i].clone(),
            protocol: protocol[i].clone(),
            subset: subset[i].clone(),
            weights: weights[i].clone(),
            data_sha256: data[i].clone(),
            device: device[i].clone(),
            code: code[i],
        },
        split: split[i].clone(),
        metric: metric[i].clone(),
        value: values.get(i),
        n_train: n_train[i],
        n_test: n_test[i],
        warning: warning[i].clone(),
    };
    Ok((0..frame.height()).map(row).collect())
}

/// Copies every `results/*.parquet` under `root` into `out` with a CSV beside it; gives the files written.
///
/// # Errors
/// A file that cannot be read as rows, or a folder that cannot be written.
pub fn export(root: &Path, out: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join("results");
    let mut written = Vec::new();
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(written) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    paths.sort();
    for path in paths {
        let results = Results::open(&path)?;
        let bytes = fs::read(&path).map_err(Error::io(&path, "reading"))?;
        let copy = out.join(path.file_name().unwrap_or_default());
        storage::write_atomic(&copy, &bytes)?;
        let csv = copy.with_extension("csv");
        storage::write_atomic(&csv, &to_csv(&results.frame()?)?)?;
        written.extend([copy, csv]);
    }
    Ok(written)
}

/// A table as CSV with a header row; numbers with all their digits, null as the empty field.
pub fn to_csv(frame: &DataFrame) -> Result<Vec<u8>> {
    let failed = |error: String| Error::data("results.csv", "a table that can be written as CSV", error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names: Vec<&str> = frame.get_column_names().into_iter().map(|name| name.as_str()).collect();
    writer.write_record(&names).map_err(|error| failed(error.to_string()))?;
    for row in 0..frame.height() {
        let mut record = Vec::with_capacity(names.len());
        for column in frame.columns() {
            record.push(match column.get(row).map_err(Error::table("CSV"))? {
                AnyValue::Null => String::new(),
                AnyValue::String(text) => text.to_string(),
                AnyValue::StringOwned(text) => text.to_string(),
                AnyValue::Float64(number) => number.to_string(),
                other => other.to_string(),
            });
        }
        writer.write_record(&record).map_err(|error| failed(error.to_string()))?;
    }
    writer.into_inner().map_err(|error| failed(error.to_string()))
}
