//! The rows that a run leaves: losses and probes by step.

use crate::error::{Error, Result};
use crate::storage;
use std::path::{Path, PathBuf};

/// One number of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveRow {
    /// Id of the recipe.
    pub model: String,
    /// Steps taken.
    pub step: u64,
    /// Source images drawn.
    pub images: u64,
    /// Seconds of training, interruptions left out.
    pub seconds: f64,
    /// `loss`, `knn_accuracy`, `feature_deviation`, ...
    pub metric: String,
    /// Its value; losses are means over the steps since the row before.
    pub value: f64,
}

/// The rows of one run and their file.
#[derive(Clone, Debug)]
pub struct Curve {
    path: PathBuf,
    rows: Vec<CurveRow>,
}

const COLUMNS: [&str; 6] = ["model", "step", "images", "seconds", "metric", "value"];

impl Curve {
    /// Reads `path`, a CSV file; one that is not there holds no rows.
    ///
    /// # Errors
    /// A file with other columns, or with a row that does not fit them, by line.
    pub fn open(path: &Path) -> Result<Curve> {
        let mut rows = Vec::new();
        if path.exists() {
            let bad = |error: csv::Error| Error::data(path, "rows of a curve", error.to_string());
            let mut reader = csv::Reader::from_path(path).map_err(bad)?;
            let columns: Vec<String> = reader.headers().map_err(bad)?.iter().map(str::to_owned).collect();
            if columns != COLUMNS {
                return Err(Error::data(path, format!("the columns {}", COLUMNS.join(", ")), columns.join(", ")));
            }
            for row in reader.deserialize() {
                let (model, step, images, seconds, metric, value) = row.map_err(bad)?;
                rows.push(CurveRow { model, step, images, seconds, metric, value });
            }
        }
        Ok(Curve { path: path.into(), rows })
    }

    /// All rows, in the order of their steps.
    pub fn rows(&self) -> &[CurveRow] {
        &self.rows
    }

    /// Adds a row; [`Curve::write`] keeps it.
    pub fn push(&mut self, row: CurveRow) {
        self.rows.push(row);
    }

    /// Forgets what came after `step`.
    pub fn cut(&mut self, step: u64) {
        self.rows.retain(|row| row.step <= step);
    }

    /// Where its file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells these rows from others, in words: how many, and a hash of all but their times.
    pub fn content(&self) -> String {
        let row = |row: &CurveRow| {
            let CurveRow { model, step, images, seconds: _, metric, value } = row;
            // A file knows one NaN alone.
            let value = if value.is_nan() { f64::NAN } else { *value };
            format!("{model} {step} {images} {metric} {:016x}\n", value.to_bits())
        };
        let rows: String = self.rows.iter().map(row).collect();
        format!("{} rows of content {}", self.rows.len(), &storage::sha256_hex(rows.as_bytes())[..16])
    }

    /// The values of a metric by images drawn.
    pub fn line(&self, metric: &str) -> Vec<(u64, f64)> {
        self.rows.iter().filter(|row| row.metric == metric).map(|row| (row.images, row.value)).collect()
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn write(&self) -> Result<()> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let bad = |error: csv::Error| Error::data(&self.path, "rows that can be written", error.to_string());
        writer.write_record(COLUMNS).map_err(bad)?;
        for row in &self.rows {
            let record =
                (&row.model, row.step, row.images, (row.seconds * 10.0).round() / 10.0, &row.metric, row.value);
            writer.serialize(record).map_err(bad)?;
        }
        let bytes = writer.into_inner().map_err(|error| Error::data(&self.path, "memory", error.to_string()))?;
        storage::write_atomic(&self.path, &bytes)
    }
}
