//! The runner: cells of work that are not done become rows.
//!
//! Every experiment is run by [`run`]. It knows all cells by their keys before anything is loaded, computes the missing ones
//! data set by data set and model by model, and keeps them after each, in a file of their own: a run that was stopped goes
//! on where it was, and several processes may run at once.

use super::ledger::{Ledger, Outcome};
use super::{Encoded, Encoding, effort};
use crate::datasets::note_left_out;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::project::Project;
use crate::results::{Cell, LeftOut, ResultRow};
use candle_core::Device;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// An experiment: its cells, and how one of them is measured.
pub trait Experiment: Sync {
    /// What is prepared once for all cells of a data set and model.
    type Ready: Sync;

    /// Its name: of the folder of its rows.
    fn name(&self) -> &'static str;

    /// What progress calls it.
    fn title(&self) -> &'static str;

    /// The metrics that each cell has for each part.
    fn metrics(&self) -> &'static [&'static str];

    /// Ids of the models that take part: the suite's.
    ///
    /// # Errors
    /// A suite that is not known.
    fn models(&self, project: &Project) -> Result<Vec<String>> {
        Ok(project.suite()?.models.clone())
    }

    /// The cells of a data set and model. Nothing is loaded for them.
    ///
    /// # Errors
    /// A suite or record that asks for what cannot be.
    fn cells(&self, project: &Project, encoding: &Encoding) -> Result<Vec<Cell>>;

    /// About how many seconds a cell takes, on features of `dim` numbers.
    fn effort(&self, encoding: &Encoding, cell: &Cell, dim: usize) -> f64;

    /// Prepares what all cells share.
    ///
    /// # Errors
    /// What cannot be loaded.
    fn prepare(&self, project: &Project, encoding: &Encoding, encoded: Encoded, device: &Device)
    -> Result<Self::Ready>;

    /// The numbers of one cell.
    ///
    /// # Errors
    /// What cannot be drawn, fitted or measured.
    fn measure(&self, ready: &Self::Ready, cell: &Cell) -> Result<Outcome>;
}

/// Brings the numbers of all cells of the project's suite and gives their rows: computed now, computed earlier, or as they
/// came with the project (`ledger.rs`).
///
/// What cannot be had (a data set that does not open, a model without its weights, a class with too few images for a
/// budget) leaves the rest alone: it is printed, and left beside the rows for the report to name.
///
/// # Errors
/// The first reason, where nothing at all can be had; a folder of rows that cannot be read or written. Rows kept until then
/// stay.
pub fn run<E: Experiment>(project: &Project, experiment: &E, device: &Device) -> Result<Vec<ResultRow>> {
    let plan = Plan::new(project, experiment, device)?;
    plan.complete(project, experiment, device)
}

/// All cells of an experiment, and which of them are to be done.
pub(super) struct Plan<'a> {
    ledger: Ledger<'a>,
    encodings: Vec<(Encoding, Vec<Cell>)>,
    /// Why the first thing was left out.
    first: Option<Error>,
}

impl<'a> Plan<'a> {
    pub fn new<E: Experiment>(project: &Project, experiment: &'a E, device: &Device) -> Result<Plan<'a>> {
        let ledger = Ledger::open(project, experiment.name(), experiment.metrics())?;
        let mut plan = Plan { ledger, encodings: Vec::new(), first: None };
        let models = experiment.models(project)?;
        for dataset in &project.suite()?.datasets {
            let set = match project.images(dataset) {
                Ok(set) => set,
                Err(error) => {
                    plan.leave_out((dataset, None), None, error);
                    continue;
                }
            };
            for model in &models {
                plan.ledger.read(dataset, model)?;
                let cells = Encoding::of(project, &set, model, device)
                    .and_then(|encoding| Ok((experiment.cells(project, &encoding)?, encoding)));
                match cells {
                    Ok((cells, encoding)) => plan.encodings.push((encoding, cells)),
                    Err(error) => plan.leave_out((dataset, Some(model)), None, error),
                }
            }
        }
        Ok(plan)
    }

    fn leave_out(&mut self, (dataset, model): (&str, Option<&str>), cells: Option<String>, error: Error) {
        let (dataset, model) = (dataset.into(), model.map(String::from));
        self.ledger.leave_out(LeftOut { dataset, model, cells, reason: error.to_string() });
        self.first.get_or_insert(error);
    }

    fn complete<E: Experiment>(mut self, project: &Project, experiment: &E, device: &Device) -> Result<Vec<ResultRow>> {
        let encodings = std::mem::take(&mut self.encodings);
        let missing = |ledger: &Ledger, cells: &[Cell]| -> Vec<Cell> {
            cells.iter().filter(|cell| ledger.is_to_do(cell)).cloned().collect()
        };
        let mut total = 0.0;
        for (encoding, cells) in &encodings {
            let missing = missing(&self.ledger, cells);
            let dim = encoding.model.features.dim;
            total += missing.iter().map(|cell| experiment.effort(encoding, cell, dim)).sum::<f64>();
            if !missing.is_empty() {
                total += encoding.n_images() as f64 * effort::of_image(&encoding.model)?;
            }
        }
        let progress = Progress::weighted(experiment.title(), total);
        for (encoding, cells) in &encodings {
            let (dataset, model) = (encoding.dataset.id.as_str(), encoding.model.id.as_str());
            let missing = missing(&self.ledger, cells);
            if missing.is_empty() {
                continue;
            }
            progress.doing(format!("{dataset} under {model}"));
            let ready = encoding
                .encode(project, Some(&progress))
                .and_then(|encoded| experiment.prepare(project, encoding, encoded, device));
            let ready = match ready {
                Ok(ready) => ready,
                Err(error) => {
                    self.leave_out((dataset, Some(model)), None, error);
                    continue;
                }
            };
            let dim = encoding.model.features.dim;
            // Cells beside each other: alone, none keeps all processors busy all the time.
            let measured = missing.into_par_iter().map(|cell| {
                let outcome = experiment.measure(&ready, &cell);
                progress.add(1, "cells", experiment.effort(encoding, &cell, dim));
                (cell, outcome)
            });
            let (mut done, mut failed) = (Vec::new(), BTreeMap::<String, (BTreeSet<String>, Error)>::new());
            for (cell, outcome) in measured.collect::<Vec<_>>() {
                match outcome {
                    Ok(outcome) => done.push((cell, outcome)),
                    Err(error) => {
                        let entry = failed.entry(error.to_string()).or_insert((BTreeSet::new(), error));
                        entry.0.insert(in_words(&cell));
                    }
                }
            }
            self.ledger.add(dataset, model, done)?;
            for (cells, error) in failed.into_values() {
                let cells = cells.into_iter().collect::<Vec<_>>().join(", ");
                self.leave_out((dataset, Some(model)), Some(cells), error);
            }
        }
        progress.finish();
        let cells: Vec<Cell> = encodings.into_iter().flat_map(|(_, cells)| cells).collect();
        let left_out = self.ledger.left_out().to_vec();
        let rows = self.ledger.close(&cells)?;
        match self.first {
            Some(error) if rows.is_empty() => Err(error),
            _ => {
                for left in &left_out {
                    let line = left.line();
                    crate::say!("left out: {line}");
                    note_left_out(&line)?;
                }
                Ok(rows)
            }
        }
    }

    /// Encodings and cells, for what goes on from their rows.
    pub fn encodings(&self) -> &[(Encoding, Vec<Cell>)] {
        &self.encodings
    }

    pub fn ledger(&self) -> &Ledger<'a> {
        &self.ledger
    }
}

/// What a cell asks for, whatever its seed.
fn in_words(cell: &Cell) -> String {
    let budget = cell.budget.map_or_else(String::new, |budget| format!(" at budget {budget}"));
    format!("{}{budget}", cell.method)
}
