//! Where rows are kept: one file for each data set and model of an experiment, read together.
//!
//! Many processes may add at the same time: each file is written whole under a lock, with what others have added since.

use super::table::read_frame;
use super::{ResultRow, read_rows, write_rows};
use crate::error::{Error, Result};
use crate::storage::{self, FolderLock};
use polars::prelude::*;
use polars_io::parquet::write::ParquetWriter;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder of the rows that ship with the project at `root`.
pub fn shipped_folder(root: &Path) -> PathBuf {
    root.join("data_manifests").join("results")
}

/// The rows of one experiment, in a folder.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// What a classifier said of each image, for one cell and part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// Key of the cell.
    pub key: String,
    /// `test`, `id` or `ood`.
    pub split: String,
    /// Rows of the data set.
    pub images: Vec<u32>,
    /// The class that was predicted for each.
    pub predicted: Vec<u32>,
}

impl Store {
    /// In `folder`, which need not be there yet.
    pub fn new(folder: impl Into<PathBuf>) -> Store {
        Store { folder: folder.into() }
    }

    /// The file of a data set and model.
    pub fn part(&self, dataset: &str, model: &str) -> PathBuf {
        self.folder.join(dataset).join(format!("{model}.parquet"))
    }

    fn answers_part(&self, dataset: &str, model: &str) -> PathBuf {
        self.folder.join(dataset).join(format!("{model}.answers.parquet"))
    }

    /// The rows of a data set and model, stale ones among them; none where there is no file.
    ///
    /// # Errors
    /// As for [`read_rows`].
    pub fn rows(&self, dataset: &str, model: &str) -> Result<Vec<ResultRow>> {
        let part = self.part(dataset, model);
        if part.exists() { read_rows(&part) } else { Ok(Vec::new()) }
    }

    /// The answers of a data set and model, stale ones among them.
    ///
    /// # Errors
    /// As for [`read_answers`].
    pub fn answers(&self, dataset: &str, model: &str) -> Result<Vec<Answers>> {
        let part = self.answers_part(dataset, model);
        if part.exists() { read_answers(&part) } else { Ok(Vec::new()) }
    }

    /// Adds rows and answers of a data set and model. A row takes the place of one with its key, split and metric; all others
    /// stay, also those that another process has added since they were read.
    ///
    /// # Errors
    /// A file that cannot be read or written; the old one then stays.
    pub fn add(&self, dataset: &str, model: &str, rows: Vec<ResultRow>, answers: Vec<Answers>) -> Result<()> {
        let part = self.part(dataset, model);
        let folder = part.parent().unwrap_or(Path::new("."));
        let _lock = FolderLock::acquire(folder, || ())?;
        if !answers.is_empty() {
            // Before the rows, which promise them.
            let mut all = self.answers(dataset, model)?;
            all.retain(|old| !answers.iter().any(|new| (&new.key, &new.split) == (&old.key, &old.split)));
            all.extend(answers);
            write_answers(&self.answers_part(dataset, model), &all)?;
        }
        let mut all = self.rows(dataset, model)?;
        let new: std::collections::HashSet<_> = rows.iter().map(ResultRow::place).collect();
        all.retain(|old| !new.contains(&old.place()));
        all.extend(rows);
        write_rows(&part, &all)
    }
}

/// Writes answers as Parquet, a row per image, whole or not at all.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write_answers(path: &Path, answers: &[Answers]) -> Result<()> {
    let context = || path.display().to_string();
    let (mut keys, mut splits, mut images, mut predicted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for of_cell in answers {
        keys.extend(std::iter::repeat_n(of_cell.key.as_str(), of_cell.images.len()));
        splits.extend(std::iter::repeat_n(of_cell.split.as_str(), of_cell.images.len()));
        images.extend_from_slice(&of_cell.images);
        predicted.extend_from_slice(&of_cell.predicted);
    }
    let columns = vec![
        Column::new("key".into(), keys),
        Column::new("split".into(), splits),
        Column::new("image".into(), images),
        Column::new("predicted".into(), predicted),
    ];
    let mut frame = DataFrame::new_infer_height(columns).map_err(Error::table(context()))?;
    storage::write_atomic_with(path, |file| {
        ParquetWriter::new(file).finish(&mut frame).map_err(Error::table(context()))?;
        Ok(())
    })
}

/// Reads answers back, cell by cell.
///
/// # Errors
/// A file that is no Parquet or lacks a column, named.
pub(super) fn read_answers(path: &Path) -> Result<Vec<Answers>> {
    let context = || path.display().to_string();
    let frame = read_frame(path)?;
    let text = |name: &str| frame.column(name).and_then(|column| column.str()).map_err(Error::table(context()));
    let number = |name: &str| frame.column(name).and_then(|column| column.u32()).map_err(Error::table(context()));
    let (keys, splits, images, predicted) = (text("key")?, text("split")?, number("image")?, number("predicted")?);
    let mut found: BTreeMap<(&str, &str), Answers> = BTreeMap::new();
    for (((key, split), image), predicted) in keys.iter().zip(splits.iter()).zip(images.iter()).zip(predicted.iter()) {
        let (key, split) = (key.unwrap_or_default(), split.unwrap_or_default());
        let new = || Answers { key: key.into(), split: split.into(), images: Vec::new(), predicted: Vec::new() };
        let of_cell = found.entry((key, split)).or_insert_with(new);
        of_cell.images.push(image.unwrap_or_default());
        of_cell.predicted.push(predicted.unwrap_or_default());
    }
    Ok(found.into_values().collect())
}
