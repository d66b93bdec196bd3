//! The ledger of an experiment: which cells of work have their numbers, from where, and which are still to be done.
//!
//! A cell's numbers are computed here or came with the project. Those that came are used where their key is what this
//! project, today, would compute them under; of these a stated sample is computed all the same and held against what came:
//! those that the experiment's [`super::Experiment::recomputes`] names. `WIDER_CLIP_FRESH=1` uses nothing that came, also not where
//! nothing can be computed.

use super::answered::{is_usable_images, usable_images};
use crate::error::{Error, Result};
use crate::project::Project;
use crate::results::{
    Answers, Cell, Kept, LeftOut, Made, ResultRow, Right, Run, Score, Store, shipped_folder, write_left_out,
    write_rows, write_runs,
};
use crate::storage;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

/// If this is set (and not to 0), no number that came with the project is used.
pub const FRESH_VARIABLE: &str = "WIDER_CLIP_FRESH";

/// Whether the environment asks for it.
pub fn is_fresh() -> bool {
    std::env::var(FRESH_VARIABLE).is_ok_and(|value| !value.is_empty() && value != "0")
}

/// What the cells of one data set and model gave.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Its numbers.
    pub scores: Vec<Score>,
    /// What was said of each image, where that is kept.
    pub answers: Vec<Answers>,
    /// How it was trained, where something was.
    pub run: Option<Run>,
    /// Which images were right, where that is kept.
    pub right: Vec<Right>,
}

/// Data set, model and key of a cell. The key alone is not enough: records that differ only in what decides no number, as
/// in their names, share it.
type Place = (String, String, String);

fn place(cell: &Cell) -> Place {
    (cell.dataset.clone(), cell.model.clone(), cell.key.clone())
}

/// Rows by the place of their cell.
type Rows = HashMap<Place, Vec<ResultRow>>;

/// Whether a cell belongs to the sample that is computed though its numbers came.
type Sample<'a> = Box<dyn Fn(&Cell) -> bool + Send + Sync + 'a>;

/// Which cells of an experiment have their numbers.
pub(super) struct Ledger<'a> {
    store: Store,
    project: Project,
    shipped: Store,
    metrics: &'a [&'a str],
    here: Rows,
    came: Rows,
    read: HashSet<(String, String)>,
    sample: Sample<'a>,
    fresh: bool,
    current: PathBuf,
    name: &'a str,
    left_out: Vec<LeftOut>,
}

impl<'a> Ledger<'a> {
    /// The ledger of the experiment called `name`, each of whose cells has all of `metrics`; those in `sample` are computed
    /// whatever came.
    pub fn open(
        project: &Project,
        name: &'a str,
        metrics: &'a [&'a str],
        sample: impl Fn(&Cell) -> bool + Send + Sync + 'a,
    ) -> Result<Ledger<'a>> {
        Ok(Ledger {
            store: Store::new(project.rows_folder(name)),
            project: project.clone(),
            shipped: Store::new(shipped_folder(project.root()).join(name)),
            metrics,
            here: Rows::new(),
            came: Rows::new(),
            read: HashSet::new(),
            sample: Box::new(sample),
            fresh: is_fresh(),
            current: project.current_folder()?,
            name,
            left_out: Vec::new(),
        })
    }

    /// Reads what is known of a data set and model.
    pub fn read(&mut self, dataset: &str, model: &str) -> Result<()> {
        if self.read.insert((dataset.into(), model.into())) {
            let mut here = self.store.rows(dataset, model)?;
            for folder in self.project.rows_beside(self.name, dataset, model) {
                // A part that is damaged is not done; gathering names it.
                here.extend(Store::new(folder).rows(dataset, model).unwrap_or_default());
            }
            // A file that was copied under another name by hand has rows of another model.
            let of_pair = |row: &ResultRow| (row.cell.dataset.as_str(), row.cell.model.as_str()) == (dataset, model);
            for row in here.into_iter().filter(of_pair) {
                self.here.entry(place(&row.cell)).or_default().push(row);
            }
            for row in self.shipped.rows(dataset, model)?.into_iter().filter(of_pair) {
                self.came.entry(place(&row.cell)).or_default().push(row);
            }
        }
        Ok(())
    }

    /// Whether the cell's numbers must be computed.
    pub fn is_to_do(&self, cell: &Cell) -> bool {
        self.is_missing(cell) || self.is_sample(cell)
    }

    /// Whether the cell has no numbers that count.
    pub fn is_missing(&self, cell: &Cell) -> bool {
        !self.is_whole(&self.here, cell) && (self.fresh || !self.is_whole(&self.came, cell))
    }

    /// Whether the cell belongs to the sample that is computed though its numbers came, and is not yet.
    pub fn is_sample(&self, cell: &Cell) -> bool {
        (self.sample)(cell) && !self.is_whole(&self.here, cell)
    }

    /// Those of `cells` whose numbers are of this machine.
    pub fn computed(&self, cells: &[Cell]) -> Vec<Cell> {
        cells.iter().filter(|cell| self.is_whole(&self.here, cell)).cloned().collect()
    }

    /// Whether each part that was measured has every metric: a metric that the experiment has got since is missing.
    fn is_whole(&self, rows: &Rows, cell: &Cell) -> bool {
        let Some(rows) = rows.get(&place(cell)) else { return false };
        let mut parts: BTreeMap<(&str, &str), HashSet<&str>> = BTreeMap::new();
        for row in rows {
            parts.entry((&row.split, &row.weights)).or_default().insert(&row.metric);
        }
        parts.values().all(|found| self.metrics.iter().all(|metric| found.contains(metric)))
    }

    /// Keeps what cells of one data set and model gave.
    pub fn add(&mut self, dataset: &str, model: &str, done: Vec<(Cell, Outcome)>) -> Result<()> {
        let made = Made::here();
        let mut kept = Kept::default();
        for (cell, outcome) in done {
            let row = |score| ResultRow::new(cell.clone(), score, made.clone());
            let mut of_cell: Vec<ResultRow> = outcome.scores.into_iter().map(row).collect();
            // In the order in which they will be read back.
            of_cell.sort_by(|a, b| a.place().cmp(&b.place()));
            self.here.insert(place(&cell), of_cell.clone());
            kept.rows.extend(of_cell);
            kept.answers.extend(outcome.answers);
            kept.runs.extend(outcome.run);
            kept.right.extend(outcome.right);
        }
        if !kept.right.is_empty() {
            note_none_aside(&mut kept.right, &self.store.right(dataset, model)?);
        }
        self.store.add(dataset, model, kept)
    }

    /// Notes what cannot be had.
    pub fn leave_out(&mut self, left: LeftOut) {
        self.left_out.push(left);
    }

    /// What cannot be had.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// The rows of `cells`, all of which have their numbers now but for what is left out; leaves them, with the numbers that came for
    /// those that were computed too, in the suite's folder of current rows.
    pub fn close(self, cells: &[Cell]) -> Result<Vec<ResultRow>> {
        let name = self.name;
        self.close_as(name, cells)
    }

    /// The same for some of an experiment's cells, left under a name of their own.
    pub fn close_as(self, name: &str, cells: &[Cell]) -> Result<Vec<ResultRow>> {
        let (mut rows, mut came) = (Vec::new(), Vec::new());
        for cell in cells {
            let place = place(cell);
            let shipped = self.came.get(&place).filter(|_| self.is_whole(&self.came, cell));
            if self.is_whole(&self.here, cell) {
                rows.extend(self.here.get(&place).into_iter().flatten().cloned());
                came.extend(shipped.into_iter().flatten().cloned());
            } else if !self.fresh {
                rows.extend(shipped.into_iter().flatten().cloned());
            }
        }
        let runs = self.runs_of(cells)?;
        let _lock = storage::FolderLock::acquire(&self.current, || ())?;
        let of_runs = self.current.join(format!("{name}.runs.parquet"));
        match runs.is_empty() {
            false => write_runs(&of_runs, &runs)?,
            true if of_runs.exists() => std::fs::remove_file(&of_runs).map_err(Error::io(&of_runs, "removing"))?,
            true => {}
        }
        write_rows(&self.current.join(format!("{name}.parquet")), &rows)?;
        write_rows(&self.current.join(format!("{name}.shipped.parquet")), &came)?;
        write_left_out(&self.current, name, &self.left_out)?;
        Ok(rows)
    }

    /// What was said of each image in the cells of one data set and model, from here or as it came.
    pub fn answers(&self, dataset: &str, model: &str, cells: &[&Cell]) -> Result<Vec<Answers>> {
        let wanted: HashSet<&str> = cells.iter().map(|cell| cell.key.as_str()).collect();
        let mut found = self.store.answers(dataset, model)?;
        found.retain(|answers| wanted.contains(answers.key.as_str()));
        let known: HashSet<String> = found.iter().map(|answers| answers.key.clone()).collect();
        if known.len() < wanted.len() && !self.fresh {
            let came = self.shipped.answers(dataset, model)?.into_iter();
            found.extend(came.filter(|a| wanted.contains(a.key.as_str()) && !known.contains(&a.key)));
        }
        Ok(found)
    }

    /// How the runs of `cells` went, from here or as they came.
    pub fn runs_of(&self, cells: &[Cell]) -> Result<Vec<Run>> {
        self.beside(cells, |store, dataset, model| store.runs(dataset, model), |run| &run.key)
    }

    /// Which images the runs of `cells` had right, from here or as it came.
    pub fn right_of(&self, cells: &[Cell]) -> Result<Vec<Right>> {
        self.beside(cells, |store, dataset, model| store.right(dataset, model), |right| &right.key)
    }

    /// What is kept beside the rows of `cells`: what was computed here before what came.
    fn beside<T>(
        &self,
        cells: &[Cell],
        read: impl Fn(&Store, &str, &str) -> Result<Vec<T>>,
        key: impl Fn(&T) -> &String,
    ) -> Result<Vec<T>> {
        let wanted: HashSet<&String> = cells.iter().map(|cell| &cell.key).collect();
        let places: BTreeSet<(&str, &str)> =
            cells.iter().map(|cell| (cell.dataset.as_str(), cell.model.as_str())).collect();
        let mut all = Vec::new();
        for (dataset, model) in places {
            let mut found = read(&self.store, dataset, model)?;
            found.retain(|one| wanted.contains(key(one)));
            let known: HashSet<String> = found.iter().map(|one| key(one).clone()).collect();
            if !self.fresh {
                let came = read(&self.shipped, dataset, model)?.into_iter();
                found.extend(came.filter(|one| wanted.contains(key(one)) && !known.contains(key(one))));
            }
            all.extend(found);
        }
        Ok(all)
    }
}

/// Says beside answers that come without a note of their images, where `before` has one of their key, that none was set
/// aside: images that were set aside once can be used now.
pub(super) fn note_none_aside(right: &mut Vec<Right>, before: &[Right]) {
    let keys = |right: &[Right], notes: bool| -> BTreeSet<String> {
        right.iter().filter(|one| is_usable_images(one) == notes).map(|one| one.key.clone()).collect()
    };
    let (answered, noted, noted_before) = (keys(right, false), keys(right, true), keys(before, true));
    let stale = answered.into_iter().filter(|key| !noted.contains(key) && noted_before.contains(key));
    right.extend(stale.map(|key| usable_images(&key, &[])).collect::<Vec<_>>());
}
