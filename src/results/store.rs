//! Where rows are kept: one file for each data set and model of an experiment, read together.
//!
//! Many processes may add at the same time: each file is written whole under a lock, with what others have added since.

use super::predictions::{read_right, write_right};
use super::table::{Columns, write_frame};
use super::{ResultRow, Right, Run, read_rows, read_runs, write_rows, write_runs};
use crate::error::{Error, Result};
use crate::storage::FolderLock;
use polars::prelude::*;
use std::collections::{BTreeMap, HashSet};
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

/// What cells of one data set and model gave.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Their numbers.
    pub rows: Vec<ResultRow>,
    /// What was said of each image.
    pub answers: Vec<Answers>,
    /// How each run of fine-tuning went.
    pub runs: Vec<Run>,
    /// Which images a run had right.
    pub right: Vec<Right>,
}

impl Kept {
    /// With what `other` has for keys that nothing here is of, but for rows.
    pub fn or(mut self, other: Kept) -> Kept {
        fn fill<T>(ours: &mut Vec<T>, theirs: Vec<T>, key: impl Fn(&T) -> &String) {
            let known: HashSet<String> = ours.iter().map(|one| key(one).clone()).collect();
            ours.extend(theirs.into_iter().filter(|one| !known.contains(key(one))));
        }
        fill(&mut self.answers, other.answers, |answers| &answers.key);
        fill(&mut self.runs, other.runs, |run| &run.key);
        fill(&mut self.right, other.right, |right| &right.key);
        self
    }
}

/// Whether there is a file; a disk that does not say so is no disk without it.
fn is_there(path: &Path) -> Result<bool> {
    path.try_exists().map_err(Error::io(path, "looking for"))
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

    /// A file beside it.
    fn beside(&self, dataset: &str, model: &str, what: &str) -> PathBuf {
        self.folder.join(dataset).join(format!("{model}.{what}.parquet"))
    }

    /// The rows of a data set and model, stale ones among them; none where there is no file.
    ///
    /// # Errors
    /// As for [`read_rows`].
    pub fn rows(&self, dataset: &str, model: &str) -> Result<Vec<ResultRow>> {
        let part = self.part(dataset, model);
        if is_there(&part)? { read_rows(&part) } else { Ok(Vec::new()) }
    }

    /// The answers of a data set and model, stale ones among them.
    ///
    /// # Errors
    /// As for [`read_answers`].
    pub fn answers(&self, dataset: &str, model: &str) -> Result<Vec<Answers>> {
        let part = self.beside(dataset, model, "answers");
        if is_there(&part)? { read_answers(&part) } else { Ok(Vec::new()) }
    }

    /// The runs of a data set and model, stale ones among them.
    ///
    /// # Errors
    /// As for [`read_runs`].
    pub fn runs(&self, dataset: &str, model: &str) -> Result<Vec<Run>> {
        let part = self.beside(dataset, model, "runs");
        if is_there(&part)? { read_runs(&part) } else { Ok(Vec::new()) }
    }

    /// Which images the runs of a data set and model had right, stale ones among them.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn right(&self, dataset: &str, model: &str) -> Result<Vec<Right>> {
        let part = self.beside(dataset, model, "right");
        if is_there(&part)? { read_right(&part) } else { Ok(Vec::new()) }
    }

    /// Removes the files of a data set and model.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn remove(&self, dataset: &str, model: &str) -> Result<()> {
        let beside = ["answers", "runs", "right"].map(|what| self.beside(dataset, model, what));
        for path in beside.into_iter().chain([self.part(dataset, model)]).filter(|path| path.exists()) {
            std::fs::remove_file(&path).map_err(Error::io(&path, "removing"))?;
        }
        Ok(())
    }

    /// What stands beside the rows with these keys; no rows.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn beside_rows(&self, dataset: &str, model: &str, keys: &HashSet<&str>) -> Result<Kept> {
        let mut kept = Kept {
            rows: Vec::new(),
            answers: self.answers(dataset, model)?,
            runs: self.runs(dataset, model)?,
            right: self.right(dataset, model)?,
        };
        kept.answers.retain(|answers| keys.contains(answers.key.as_str()));
        kept.runs.retain(|run| keys.contains(run.key.as_str()));
        kept.right.retain(|right| keys.contains(right.key.as_str()));
        Ok(kept)
    }

    /// The file of all that one run said, with probabilities.
    pub fn predictions(&self, dataset: &str, model: &str, key: &str) -> PathBuf {
        self.folder.join(dataset).join(format!("{model}.predictions")).join(format!("{key}.parquet"))
    }

    /// Adds what cells of a data set and model gave. A row takes the place of one with its key, split, metric and weights; all
    /// others stay, also those that another process has added since they were read. What is kept has an order of its own,
    /// whatever the order in which it came.
    ///
    /// # Errors
    /// A file that cannot be read or written; the old one then stays.
    pub fn add(&self, dataset: &str, model: &str, kept: Kept) -> Result<()> {
        let Kept { rows, answers, runs, right } = kept;
        let part = self.part(dataset, model);
        let folder = part.parent().unwrap_or(Path::new("."));
        let _lock = FolderLock::acquire(folder, || ())?;
        // Before the rows, which promise the rest.
        if !answers.is_empty() {
            let all = merged(self.answers(dataset, model)?, answers, |a| (a.key.clone(), a.split.clone()));
            write_answers(&self.beside(dataset, model, "answers"), &all)?;
        }
        if !runs.is_empty() {
            let all = merged(self.runs(dataset, model)?, runs, |run| run.key.clone());
            write_runs(&self.beside(dataset, model, "runs"), &all)?;
        }
        if !right.is_empty() {
            let place = |r: &Right| (r.key.clone(), r.split.clone(), r.weights.clone());
            write_right(&self.beside(dataset, model, "right"), &merged(self.right(dataset, model)?, right, place))?;
        }
        let place = |row: &ResultRow| (row.cell.clone(), row.split.clone(), row.metric.clone(), row.weights.clone());
        write_rows(&part, &merged(self.rows(dataset, model)?, rows, place))
    }
}

/// `old` and `new` by their places, ascending; a new one takes the place of an old one.
fn merged<T, P: Ord>(old: Vec<T>, new: Vec<T>, place: impl Fn(&T) -> P) -> Vec<T> {
    let all: BTreeMap<P, T> = old.into_iter().chain(new).map(|one| (place(&one), one)).collect();
    all.into_values().collect()
}

/// Writes answers as Parquet, a row per image, whole or not at all.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write_answers(path: &Path, answers: &[Answers]) -> Result<()> {
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
    write_frame(path, DataFrame::new_infer_height(columns).map_err(Error::table(path.display().to_string()))?)
}

/// Reads answers back, cell by cell.
///
/// # Errors
/// A file that is no Parquet or lacks a column, named.
pub(super) fn read_answers(path: &Path) -> Result<Vec<Answers>> {
    let columns = Columns::read(path)?;
    let (keys, splits) = (columns.text("key")?, columns.text("split")?);
    let (images, predicted) = (columns.count("image")?, columns.count("predicted")?);
    let mut found: BTreeMap<(String, String), Answers> = BTreeMap::new();
    for (((key, split), image), predicted) in keys.into_iter().zip(splits).zip(images).zip(predicted) {
        let place = (key.clone(), split.clone());
        let new = || Answers { key, split, images: Vec::new(), predicted: Vec::new() };
        let of_cell = found.entry(place).or_insert_with(new);
        of_cell.images.push(image);
        of_cell.predicted.push(predicted);
    }
    Ok(found.into_values().collect())
}
