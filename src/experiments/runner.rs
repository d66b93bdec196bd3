//! The runner: cells of work that are not done become rows.
//!
//! Every experiment is run by [`run`]. It knows all cells by their keys before anything is loaded, computes the missing ones
//! data set by data set and model by model, and keeps them after each, in a file of their own: a run that was stopped goes
//! on where it was, and several processes may run at once.

use super::ledger::{Ledger, Outcome};
use super::{Encoded, Encoding, effort};
use crate::error::Result;
use crate::progress::Progress;
use crate::project::Project;
use crate::results::{Cell, ResultRow};
use candle_core::Device;
use rayon::prelude::*;

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
/// # Errors
/// Whatever loading, extraction or an experiment gives; rows kept until then stay.
pub fn run<E: Experiment>(project: &Project, experiment: &E, device: &Device) -> Result<Vec<ResultRow>> {
    let plan = Plan::new(project, experiment, device)?;
    plan.complete(project, experiment, device)
}

/// All cells of an experiment, and which of them are to be done.
pub(super) struct Plan<'a> {
    ledger: Ledger<'a>,
    encodings: Vec<(Encoding, Vec<Cell>)>,
}

impl<'a> Plan<'a> {
    pub fn new<E: Experiment>(project: &Project, experiment: &'a E, device: &Device) -> Result<Plan<'a>> {
        let mut ledger = Ledger::open(project, experiment.name(), experiment.metrics())?;
        let models = experiment.models(project)?;
        let mut encodings = Vec::new();
        for dataset in &project.suite()?.datasets {
            let set = project.images(dataset)?;
            for model in &models {
                let encoding = Encoding::of(project, &set, model, device)?;
                ledger.read(dataset, model)?;
                let cells = experiment.cells(project, &encoding)?;
                encodings.push((encoding, cells));
            }
        }
        Ok(Plan { ledger, encodings })
    }

    fn complete<E: Experiment>(self, project: &Project, experiment: &E, device: &Device) -> Result<Vec<ResultRow>> {
        let Plan { mut ledger, encodings } = self;
        let missing = |ledger: &Ledger, cells: &[Cell]| -> Vec<Cell> {
            cells.iter().filter(|cell| ledger.is_to_do(cell)).cloned().collect()
        };
        let mut total = 0.0;
        for (encoding, cells) in &encodings {
            let missing = missing(&ledger, cells);
            let dim = encoding.model.features.dim;
            total += missing.iter().map(|cell| experiment.effort(encoding, cell, dim)).sum::<f64>();
            if !missing.is_empty() {
                total += encoding.n_images() as f64 * effort::of_image(&encoding.model)?;
            }
        }
        let progress = Progress::weighted(experiment.title(), total);
        for (encoding, cells) in &encodings {
            let (dataset, model) = (&encoding.dataset.id, &encoding.model.id);
            let missing = missing(&ledger, cells);
            if missing.is_empty() {
                continue;
            }
            progress.doing(format!("{dataset} under {model}"));
            let encoded = encoding.encode(project, Some(&progress))?;
            let dim = encoding.model.features.dim;
            let ready = experiment.prepare(project, encoding, encoded, device)?;
            // Cells beside each other: alone, none keeps all processors busy all the time.
            let done = missing.into_par_iter().map(|cell| {
                let outcome = experiment.measure(&ready, &cell)?;
                progress.add(1, "cells", experiment.effort(encoding, &cell, dim));
                Ok((cell, outcome))
            });
            ledger.add(dataset, model, done.collect::<Result<_>>()?)?;
        }
        progress.finish();
        let cells: Vec<Cell> = encodings.into_iter().flat_map(|(_, cells)| cells).collect();
        ledger.close(&cells)
    }

    /// Encodings and cells, for what goes on from their rows.
    pub fn encodings(&self) -> &[(Encoding, Vec<Cell>)] {
        &self.encodings
    }

    pub fn ledger(&self) -> &Ledger<'a> {
        &self.ledger
    }
}
