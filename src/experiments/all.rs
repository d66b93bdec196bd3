//! All experiments that are cells of a data set and model, in one list: what ships, what counts, what many machines share.

use super::clustering::Clustering;
use super::drift::{Calibrations, Corruptions, Folds};
use super::finetuning::Finetuning;
use super::representations::Representations;
use super::runner::{self, Experiment, Plan};
use super::same_data::SameData;
use super::work::What;
use super::{Encoding, ledger::Ledger};
use crate::error::Result;
use crate::project::Project;
use crate::results::{Cell, ResultRow};
use candle_core::Device;

/// An experiment, whatever it prepares.
pub(super) trait Listed: Sync {
    fn name(&self) -> &'static str;
    fn cells(&self, project: &Project, encoding: &Encoding) -> Result<Vec<Cell>>;
    fn run(&self, project: &Project, device: &Device) -> Result<Vec<ResultRow>>;
    fn effort(&self, encoding: &Encoding, cell: &Cell) -> f64;
    fn goes_on_from(&self, method: &str) -> Option<&'static str>;
    fn tidy(&self, project: &Project, encoding: &Encoding, ledger: &Ledger, cells: &[Cell]) -> Result<()>;
    /// All of the suite, or of one data set and model.
    fn plan<'a>(&'a self, project: &'a Project, device: &Device, only: Option<(&str, &str)>) -> Result<Plan<'a>>;
    /// Computes what is to be done of a plan of its own, and keeps it.
    fn advance(&self, plan: &mut Plan, project: &Project, device: &Device) -> Result<()>;
}

impl<E: Experiment> Listed for E {
    fn name(&self) -> &'static str {
        Experiment::name(self)
    }

    fn cells(&self, project: &Project, encoding: &Encoding) -> Result<Vec<Cell>> {
        Experiment::cells(self, project, encoding)
    }

    fn run(&self, project: &Project, device: &Device) -> Result<Vec<ResultRow>> {
        runner::run(project, self, device)
    }

    fn effort(&self, encoding: &Encoding, cell: &Cell) -> f64 {
        Experiment::effort(self, encoding, cell, encoding.model.features.dim)
    }

    fn goes_on_from(&self, method: &str) -> Option<&'static str> {
        Experiment::goes_on_from(self, method)
    }

    fn tidy(&self, project: &Project, encoding: &Encoding, ledger: &Ledger, cells: &[Cell]) -> Result<()> {
        Experiment::tidy(self, project, encoding, &ledger.computed(cells))
    }

    fn plan<'a>(&'a self, project: &'a Project, device: &Device, only: Option<(&str, &str)>) -> Result<Plan<'a>> {
        Plan::new(project, self, device, only)
    }

    fn advance(&self, plan: &mut Plan, project: &Project, device: &Device) -> Result<()> {
        plan.advance(project, self, device, false)
    }
}

/// Each with the kind of work that it is.
pub(super) const ALL: [(What, &dyn Listed); 7] = [
    (What::Probes, &Representations),
    (What::Finetune, &Finetuning),
    (What::Drift, &Calibrations),
    (What::Drift, &Folds),
    (What::Drift, &Corruptions),
    (What::Clusters, &Clustering),
    (What::Probes, &SameData),
];
