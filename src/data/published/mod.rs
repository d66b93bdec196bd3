//! The study's published figures, read from `data_manifests/published/`.
//!
//! They stand beside our own results on the page; [`audit`] says what they allow. That folder's README says where they do not fit
//! together: several were scored on other images than the study's split table says, and none has an interval.

pub mod audit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use crate::error::{Error, Result};
use crate::manifest::{DatasetRecord, ModelRecord};

/// The groups of tables that the study prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PublishedTable {
    /// kNN and logistic regression on features, the six general sets.
    GeneralProbe,
    /// The same sets with fine-tuning, and the probes printed beside it for comparison. Some of those differ from
    /// [`PublishedTable::GeneralProbe`].
    GeneralFinetune,
    /// kNN and logistic regression on the two sets with drift.
    DriftProbe,
    /// Fine-tuning on the two sets with drift.
    DriftFinetune,
    /// Adjusted Rand index of k-means after UMAP.
    Clustering,
}

impl PublishedTable {
    const ALL: [PublishedTable; 5] = [
        PublishedTable::GeneralProbe,
        PublishedTable::GeneralFinetune,
        PublishedTable::DriftProbe,
        PublishedTable::DriftFinetune,
        PublishedTable::Clustering,
    ];

    /// The name in the `table` column.
    pub fn as_str(self) -> &'static str {
        match self {
            PublishedTable::GeneralProbe => "general_probe",
            PublishedTable::GeneralFinetune => "general_finetune",
            PublishedTable::DriftProbe => "drift_probe",
            PublishedTable::DriftFinetune => "drift_finetune",
            PublishedTable::Clustering => "clustering",
        }
    }
}

/// What a published figure is of. Data sets and models have the study's names; see `published_as` in their records.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishedKey {
    /// Which tables.
    pub table: PublishedTable,
    /// The study's name of the data set.
    pub dataset: String,
    /// `test`, `id`, `ood` or `all`.
    pub split: String,
    /// The study's name of the model.
    pub model: String,
    /// `knn`, `lr`, `finetune` or `umap_kmeans`.
    pub method: String,
    /// The label budget; none for clustering.
    pub budget: Option<usize>,
}

/// One published figure.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedResult {
    /// What it is of.
    pub key: PublishedKey,
    /// `accuracy` (a fraction) or `ari` (adjusted Rand index, -0.5 to 1).
    pub metric: String,
    /// The figure.
    pub value: f64,
    /// Its digits as they were printed, which say how many images it was measured on.
    pub printed: String,
    /// Its line in the file.
    pub line: usize,
}

/// One published split: counts over all classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedSplit {
    /// The study's name of the data set.
    pub dataset: String,
    /// The label budget N.
    pub budget: usize,
    /// Images in the split that train, val and test are drawn from (for the drift sets: that train is drawn from).
    pub total: usize,
    /// Classes, as published.
    pub classes: usize,
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub val: usize,
    /// Test images; none for the drift sets.
    pub test: Option<usize>,
    /// Images of the in-distribution test, drift sets only.
    pub id_test: Option<usize>,
    /// Images of the out-of-distribution test, drift sets only.
    pub ood_test: Option<usize>,
    /// Its line in the file.
    pub line: usize,
}

/// Every published figure, in the order of the file, under the project's `root`.
///
/// # Errors
/// [`Error::Manifest`] with the line for a missing file, another header, a value that does not parse or is out of
/// range, or a key that comes twice.
pub fn results(root: &Path) -> Result<Vec<PublishedResult>> {
    const HEADER: [&str; 8] = ["table", "dataset", "split", "model", "method", "budget", "metric", "value"];
    let rows = Rows::read(root, "results.csv", &HEADER)?;
    let mut seen = BTreeMap::new();
    let mut results = Vec::new();
    for row in rows.iter() {
        let result = row.result()?;
        if let Some(line) = seen.insert(result.key.clone(), result.line) {
            return Err(row.error("a key that is new", format!("that of line {line}")));
        }
        results.push(result);
    }
    Ok(results)
}

/// The published split table, in the order of the file, under the project's `root`.
///
/// # Errors
/// As [`results`].
pub fn splits(root: &Path) -> Result<Vec<PublishedSplit>> {
    const HEADER: [&str; 9] = ["dataset", "budget", "total", "classes", "train", "val", "test", "id_test", "ood_test"];
    let rows = Rows::read(root, "splits.csv", &HEADER)?;
    rows.iter().map(|row| row.split()).collect()
}

/// The figure with that key, where the study printed one.
pub fn find<'a>(results: &'a [PublishedResult], key: &PublishedKey) -> Option<&'a PublishedResult> {
    results.iter().find(|result| result.key == *key)
}

/// The figure of one of our arms: a model and a data set by their records, a method, a budget and a split. `None`
/// where the study did not use the model or the data set, or did not print the figure.
pub fn find_arm<'a>(
    results: &'a [PublishedResult],
    table: PublishedTable,
    dataset: &DatasetRecord,
    model: &ModelRecord,
    method: &str,
    budget: Option<usize>,
    split: &str,
) -> Option<&'a PublishedResult> {
    let key = PublishedKey {
        table,
        dataset: dataset.published_as.clone()?,
        split: split.into(),
        model: model.published_as.clone()?,
        method: method.into(),
        budget,
    };
    find(results, &key)
}

/// The published split of a data set and budget.
pub fn find_split<'a>(
    splits: &'a [PublishedSplit],
    dataset: &DatasetRecord,
    budget: usize,
) -> Option<&'a PublishedSplit> {
    let name = dataset.published_as.as_deref()?;
    splits.iter().find(|split| split.dataset == name && split.budget == budget)
}

/// A CSV file with a known header.
struct Rows {
    path: PathBuf,
    header: &'static [&'static str],
    records: Vec<StringRecord>,
}

impl Rows {
    fn read(root: &Path, file: &str, header: &'static [&'static str]) -> Result<Rows> {
        let path = root.join("data_manifests/published").join(file);
        let text = std::fs::read_to_string(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => error(&path, 0, "the study's published figures", "no such file"),
            _ => Error::io(&path, "reading")(source),
        })?;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let found = reader.headers().map_err(|problem| csv_error(&path, &problem))?;
        if found != header {
            let found = found.iter().collect::<Vec<_>>().join(",");
            return Err(error(&path, 1, format!("the header {}", header.join(",")), format!("`{found}`")));
        }
        let records = reader
            .into_records()
            .map(|record| record.map_err(|problem| csv_error(&path, &problem)))
            .collect::<Result<_>>()?;
        Ok(Rows { path, header, records })
    }

    fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.records.iter().map(|record| Row { rows: self, record })
    }
}

/// One row and where it is.
struct Row<'a> {
    rows: &'a Rows,
    record: &'a StringRecord,
}

impl Row<'_> {
    fn result(&self) -> Result<PublishedResult> {
        let table = self.text("table")?;
        let known = || PublishedTable::ALL.map(PublishedTable::as_str).join(", ");
        let table = PublishedTable::ALL
            .into_iter()
            .find(|known| known.as_str() == table)
            .ok_or_else(|| self.error(format!("`table` to be one of {}", known()), format!("`{table}`")))?;
        let key = PublishedKey {
            table,
            dataset: self.text("dataset")?.into(),
            split: self.text("split")?.into(),
            model: self.text("model")?.into(),
            method: self.text("method")?.into(),
            budget: self.optional("budget")?,
        };
        let (metric, value) = (self.text("metric")?, self.text("value")?);
        let range = match metric {
            "accuracy" => 0.0..=1.0,
            "ari" => -0.5..=1.0,
            _ => return Err(self.error("`metric` to be accuracy or ari", format!("`{metric}`"))),
        };
        let parsed = value.parse().ok().filter(|value| range.contains(value));
        let expected = || format!("`value` to be a number from {} to {}", range.start(), range.end());
        let printed = value.to_string();
        let value = parsed.ok_or_else(|| self.error(expected(), format!("`{value}`")))?;
        Ok(PublishedResult { key, metric: metric.into(), value, printed, line: self.line() })
    }

    fn split(&self) -> Result<PublishedSplit> {
        let number = |column: &str| {
            let missing = || self.error(format!("`{column}` to be a number"), "nothing");
            self.optional(column)?.ok_or_else(missing)
        };
        Ok(PublishedSplit {
            dataset: self.text("dataset")?.into(),
            budget: number("budget")?,
            total: number("total")?,
            classes: number("classes")?,
            train: number("train")?,
            val: number("val")?,
            test: self.optional("test")?,
            id_test: self.optional("id_test")?,
            ood_test: self.optional("ood_test")?,
            line: self.line(),
        })
    }

    fn cell(&self, column: &str) -> &str {
        let index = self.rows.header.iter().position(|name| *name == column);
        index.and_then(|index| self.record.get(index)).unwrap_or_default()
    }

    /// A cell that must hold something.
    fn text(&self, column: &str) -> Result<&str> {
        match self.cell(column) {
            "" => Err(self.error(format!("`{column}` to hold something"), "nothing")),
            text => Ok(text),
        }
    }

    /// A cell with a whole number or nothing.
    fn optional(&self, column: &str) -> Result<Option<usize>> {
        match self.cell(column) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| self.error(format!("`{column}` to be a whole number"), format!("`{text}`"))),
        }
    }

    fn line(&self) -> usize {
        self.record.position().map_or(0, |position| position.line() as usize)
    }

    fn error(&self, expected: impl Into<String>, found: impl Into<String>) -> Error {
        error(&self.rows.path, self.line(), expected, found)
    }
}

fn error(path: &Path, line: usize, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::Manifest { path: path.to_path_buf(), line, expected: expected.into(), found: found.into() }
}

fn csv_error(path: &Path, problem: &csv::Error) -> Error {
    let line = problem.position().map_or(0, |position| position.line() as usize);
    let (expected, found) = match problem.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => (format!("{expected_len} cells"), len.to_string()),
        _ => ("comma-separated text".into(), problem.to_string()),
    };
    error(path, line, expected, found)
}
