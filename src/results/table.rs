//! Rows as a table: the columns of the files, reading and writing.

use super::seal::{self, seal};
use super::{Cell, Made, ResultRow};
use crate::datasets::check_parquet;
use crate::error::{Error, Result};
use crate::guard::caught;
use crate::say::lines;
use crate::storage;
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;
use polars_io::parquet::write::ParquetWriter;
use std::fs;
use std::io::Cursor;
use std::path::Path;

/// Rows as a table with the columns of the files.
///
/// # Errors
/// Whatever polars says.
pub fn frame(rows: &[ResultRow]) -> Result<DataFrame> {
    let text =
        |name: &str, of: fn(&ResultRow) -> &str| Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>());
    let count =
        |name: &str, of: fn(&ResultRow) -> u32| Column::new(name.into(), rows.iter().map(of).collect::<Vec<_>>());
    let columns = vec![
        text("table", |row| &row.cell.table),
        text("dataset", |row| &row.cell.dataset),
        text("split", |row| &row.split),
        text("model", |row| &row.cell.model),
        text("method", |row| &row.cell.method),
        Column::new("budget".into(), rows.iter().map(|row| row.cell.budget).collect::<Vec<_>>()),
        text("metric", |row| &row.metric),
        Column::new("value".into(), rows.iter().map(|row| row.value).collect::<Vec<_>>()),
        Column::new("seed".into(), rows.iter().map(|row| row.cell.seed).collect::<Vec<_>>()),
        text("pooling", |row| &row.cell.pooling),
        text("protocol", |row| &row.cell.protocol),
        text("subset", |row| &row.cell.subset),
        count("n_train", |row| row.n_train),
        count("n_test", |row| row.n_test),
        text("warning", |row| &row.warning),
        text("weights", |row| &row.weights),
        text("device", |row| &row.cell.device),
        text("machine", |row| &row.made.machine),
        text("date", |row| &row.made.date),
        text("version", |row| &row.made.version),
        text("origin", |row| if row.made.shipped { "shipped" } else { "computed" }),
        text("key", |row| &row.cell.key),
    ];
    DataFrame::new_infer_height(columns).map_err(Error::table("result rows"))
}

/// Writes rows as Parquet, whole or not at all.
///
/// # Errors
/// A file that cannot be written.
pub fn write_rows(path: &Path, rows: &[ResultRow]) -> Result<()> {
    write_frame(path, frame(rows)?)
}

/// Writes a table as Parquet, whole or not at all, with its hash.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write_frame(path: &Path, mut frame: DataFrame) -> Result<()> {
    let mut file = Vec::new();
    ParquetWriter::new(&mut file).finish(&mut frame).map_err(Error::table(path.display().to_string()))?;
    storage::write_atomic(path, &seal(&file))
}

/// The columns of a file that was read, by name and type.
pub(super) struct Columns<'a> {
    frame: DataFrame,
    path: &'a Path,
}

impl<'a> Columns<'a> {
    /// Reads a file as [`read_frame`] does.
    pub fn read(path: &'a Path) -> Result<Columns<'a>> {
        Ok(Columns { frame: read_frame(path)?, path })
    }

    /// Rows of the file.
    pub fn height(&self) -> usize {
        self.frame.height()
    }

    /// Names of all columns, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.frame.get_column_names().into_iter().map(|name| name.as_str())
    }

    /// Texts; null as the empty one.
    pub fn text(&self, name: &str) -> Result<Vec<String>> {
        let column = self.frame.column(name).and_then(|column| column.str()).map_err(self.wrong(name))?;
        Ok(column.iter().map(|value| value.unwrap_or_default().to_string()).collect())
    }

    /// Counts up to 32 bits; null as 0.
    pub fn count(&self, name: &str) -> Result<Vec<u32>> {
        Ok(self.maybe_count(name)?.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Counts up to 32 bits.
    pub fn maybe_count(&self, name: &str) -> Result<Vec<Option<u32>>> {
        let column = self.frame.column(name).and_then(|column| column.u32()).map_err(self.wrong(name))?;
        Ok(column.iter().collect())
    }

    /// Numbers up to 64 bits.
    pub fn maybe_whole(&self, name: &str) -> Result<Vec<Option<u64>>> {
        let column = self.frame.column(name).and_then(|column| column.u64()).map_err(self.wrong(name))?;
        Ok(column.iter().collect())
    }

    /// Numbers up to 64 bits; null as 0.
    pub fn whole(&self, name: &str) -> Result<Vec<u64>> {
        Ok(self.maybe_whole(name)?.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// Numbers with a fraction.
    pub fn number(&self, name: &str) -> Result<Vec<Option<f64>>> {
        let column = self.frame.column(name).and_then(|column| column.f64()).map_err(self.wrong(name))?;
        Ok(column.iter().collect())
    }

    fn wrong(&self, name: &str) -> impl FnOnce(PolarsError) -> Error {
        let expected = format!("a file of results, with a column `{name}`");
        move |error| Error::data(self.path, expected, format!("other columns: {error}"))
    }
}

/// Reads a Parquet file of this project whole.
///
/// # Errors
/// A file that is no Parquet, has other bytes than were written, or is damaged so that its reader gives up; columns of several
/// lengths.
pub(super) fn read_frame(path: &Path) -> Result<DataFrame> {
    let damaged = |said: String| {
        let found = format!(
            "another, or a damaged one ({said}); if this program made it, remove it, and what is missing then is computed again"
        );
        Error::data(path, "a whole Parquet file of results", found)
    };
    storage::check_regular(path)?;
    check_parquet(path).map_err(|error| match error {
        Error::Data { expected, found, .. } => damaged(format!("expected {expected}, found {found}")),
        Error::Table { .. } => damaged(error.chain()),
        other => other,
    })?;
    let file = fs::read(path).map_err(Error::io(path, "reading"))?;
    seal::check(&file).map_err(|found| damaged(found.into()))?;
    let frame = caught(|| ParquetReader::new(Cursor::new(file)).finish()).map_err(damaged)?;
    let frame = frame.map_err(|error| damaged(error.to_string()))?;
    match frame.columns().iter().find(|column| column.len() != frame.height()) {
        Some(column) => {
            Err(damaged(format!("{} values of `{}` in {} rows", column.len(), column.name(), frame.height())))
        }
        None => Ok(frame),
    }
}

/// Reads rows as [`write_rows`] wrote them.
///
/// # Errors
/// A file that is no Parquet or lacks a column, named.
pub fn read_rows(path: &Path) -> Result<Vec<ResultRow>> {
    let columns = Columns::read(path)?;
    let text = |name: &str| columns.text(name);
    let [table, dataset, split, model, method, metric, pooling, protocol, subset, warning] =
        ["table", "dataset", "split", "model", "method", "metric", "pooling", "protocol", "subset", "warning"]
            .map(text);
    let (table, dataset, split, model, method) = (table?, dataset?, split?, model?, method?);
    let (metric, pooling, protocol, subset, warning) = (metric?, pooling?, protocol?, subset?, warning?);
    let (device, machine, date, version) = (text("device")?, text("machine")?, text("date")?, text("version")?);
    let (origin, key) = (text("origin")?, text("key")?);
    let (n_train, n_test) = (columns.count("n_train")?, columns.count("n_test")?);
    // Rows from before anything was fine-tuned lack the column.
    let has_weights = columns.names().any(|name| name == "weights");
    let weights = if has_weights { text("weights")? } else { vec![String::new(); columns.height()] };
    let (budgets, seeds, values) = (columns.maybe_count("budget")?, columns.whole("seed")?, columns.number("value")?);
    let row = |i: usize| ResultRow {
        cell: Cell {
            table: table[i].clone(),
            dataset: dataset[i].clone(),
            model: model[i].clone(),
            method: method[i].clone(),
            budget: budgets[i],
            seed: seeds[i],
            pooling: pooling[i].clone(),
            protocol: protocol[i].clone(),
            subset: subset[i].clone(),
            device: device[i].clone(),
            key: key[i].clone(),
        },
        split: split[i].clone(),
        metric: metric[i].clone(),
        value: values[i],
        n_train: n_train[i],
        n_test: n_test[i],
        warning: warning[i].clone(),
        weights: weights[i].clone(),
        made: Made {
            machine: machine[i].clone(),
            date: date[i].clone(),
            version: version[i].clone(),
            shipped: origin[i] == "shipped",
        },
    };
    Ok((0..columns.height()).map(row).collect())
}

/// A table as CSV with a header row; numbers with all their digits, null as the empty field, in texts what cannot be seen written out.
///
/// # Errors
/// A table that cannot be written as CSV.
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
                AnyValue::String(text) => lines(text).into_owned(),
                AnyValue::StringOwned(text) => lines(&text).into_owned(),
                AnyValue::Float64(number) => number.to_string(),
                other => other.to_string(),
            });
        }
        writer.write_record(&record).map_err(|error| failed(error.to_string()))?;
    }
    writer.into_inner().map_err(|error| failed(error.to_string()))
}
