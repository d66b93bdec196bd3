//! The study's second experiment: every parameter of a model learns from the labelled images, and is measured on the images
//! that the probes are measured on.
//!
//! The study's arm (`finetune`) and better ones beside it ([`Tuning`]) train on the splits of the probes: same images, same
//! seeds. Each run is measured with its last weights (which the study most likely reported, as its tool does) and with those of
//! the lowest validation loss; validation images are never tested on, test images never looked at for a choice. Beside the
//! rows stand one line per run ([`crate::results::Run`]), which images were right, and, on the machine that computed them,
//! all probabilities.

mod arms;
pub mod command;
mod compare;
mod saved;
mod start;

pub use arms::{ALPHAS, Arm, HeadStart, RATES};
pub use compare::{Gain, answers, crossover, gains};
pub use saved::{Class, Saved, save};
pub use start::{Asked, Start, Tuned};

use super::ledger::Outcome;
use super::score::METRICS;
use super::{Encoded, Encoding, Experiment, Protocol, Tell, Work, runner::Plan};
use crate::error::Result;
use crate::manifest::{DatasetRecord, FinetuningRecord, SuiteRecord, Tuning};
use crate::models::Architecture;
use crate::project::Project;
use crate::published::PublishedTable;
use crate::results::{Cell, ResultRow, Run, Store, write_predictions};
use crate::splits::study_counts;
use candle_core::Device;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// Name of the experiment: of the folder of its rows.
pub const NAME: &str = "finetuning";
/// Raised whenever a change in this experiment or in training moves a number.
const CODE_VERSION: u32 = 1;
/// Multiply-adds of a forward pass up to which runs go beside each other: larger ones keep all processors busy alone.
const SMALL: u64 = 150_000_000;

/// The study's table that the rows of a data set belong to.
pub fn table(record: &DatasetRecord) -> &'static str {
    match record.split.has_drift() {
        true => PublishedTable::DriftFinetune.as_str(),
        false => PublishedTable::GeneralFinetune.as_str(),
    }
}

/// Brings the rows of all runs that the project's suite asks for; none where it asks for none.
///
/// # Errors
/// Whatever loading, splitting or training gives; rows kept until then stay, and runs go on where they were.
pub fn run(project: &Project, device: &Device) -> Result<Vec<ResultRow>> {
    super::run(project, &Finetuning, device)
}

/// The runs of the project's suite, a line each; as [`run`], which it does first.
///
/// # Errors
/// As for [`run`].
pub fn runs(project: &Project, device: &Device) -> Result<Vec<Run>> {
    run(project, device)?;
    let plan = Plan::new(project, &Finetuning, device, None)?;
    let cells: Vec<Cell> = plan.encodings().iter().flat_map(|(_, cells)| cells.clone()).collect();
    plan.ledger().runs_of(&cells)
}

/// The suite's runs.
pub(super) struct Finetuning;

/// What the cells of a data set and model share.
pub(super) struct Ready {
    start: Start,
    /// What each cell asks for, by its key, and the folder of its run.
    asked: BTreeMap<String, (Asked, PathBuf)>,
    store: Store,
}

/// Every cell that a suite asks for of a data set and model, once, with what it asks for.
fn asked(suite: &SuiteRecord, encoding: &Encoding) -> Vec<(Cell, Asked)> {
    let (dataset, model) = (&encoding.dataset.id, &encoding.model.id);
    let mut known = HashSet::new();
    let mut all = Vec::new();
    for runs in suite.finetuning.iter().filter(|runs| runs.asks_for(dataset, model)) {
        // Short runs first; what goes on from another run after it.
        for &budget in &runs.budgets {
            for &seed in &runs.seeds {
                for &method in &runs.methods {
                    let asked = Asked::new(method, budget, seed).at_most(runs.max_epochs);
                    let cell = cell(encoding, &asked);
                    if known.insert(cell.key.clone()) {
                        all.push((cell, asked));
                    }
                }
            }
        }
    }
    all
}

fn cell(encoding: &Encoding, asked: &Asked) -> Cell {
    let settings = start::arm(encoding, asked.method, asked.max_epochs).settings();
    encoding.cell(&Work {
        table: table(&encoding.dataset),
        method: (asked.method.as_str(), &settings),
        pooling: &encoding.model.features.default,
        protocol: Protocol::of(&encoding.dataset)[0].as_str(),
        budget: Some(asked.budget as u32),
        seed: asked.seed,
        code: CODE_VERSION,
    })
}

/// The folder in which the run of a cell is trained: [`Tuning::Wise`] goes on from the run of [`Tuning::LpFt`].
fn folder(project: &Project, encoding: &Encoding, asked: &Asked) -> PathBuf {
    let method = if asked.method == Tuning::Wise { Tuning::LpFt } else { asked.method };
    let trained = cell(encoding, &Asked { method, ..asked.clone() });
    start::runs_folder(project).join(trained.key)
}

impl Experiment for Finetuning {
    type Ready = Ready;

    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "fine-tuning"
    }

    fn metrics(&self) -> &'static [&'static str] {
        &METRICS
    }

    fn models(&self, project: &Project) -> Result<Vec<String>> {
        let mut models: Vec<String> = Vec::new();
        for model in project.suite()?.finetuning.iter().flat_map(|runs| &runs.models) {
            if !models.contains(model) {
                models.push(model.clone());
            }
        }
        Ok(models)
    }

    fn cells(&self, project: &Project, encoding: &Encoding) -> Result<Vec<Cell>> {
        Ok(asked(project.suite()?, encoding).into_iter().map(|(cell, _)| cell).collect())
    }

    fn recomputes(&self, project: &Project, cell: &Cell) -> bool {
        let asks = |runs: &&FinetuningRecord| {
            runs.asks_for(&cell.dataset, &cell.model)
                && runs.methods.iter().any(|method| method.as_str() == cell.method)
                && runs.budgets.iter().any(|&budget| Some(budget as u32) == cell.budget)
                && runs.seeds.contains(&cell.seed)
        };
        project
            .suite()
            .is_ok_and(|suite| suite.finetuning.iter().filter(|runs| runs.recomputed).any(|runs| asks(&runs)))
    }

    fn beside(&self, encoding: &Encoding) -> Option<usize> {
        let size = encoding.model.input.size;
        let small = Architecture::named(&encoding.model.architecture).is_ok_and(|a| a.multiply_adds(size) <= SMALL);
        let threads = rayon::current_num_threads();
        Some(if small && encoding.device().is_cpu() { threads } else { 1 })
    }

    fn goes_on_from(&self, method: &str) -> Option<&'static str> {
        (method == Tuning::Wise.as_str()).then_some(Tuning::LpFt.as_str())
    }

    fn tidy(&self, project: &Project, encoding: &Encoding, computed: &[Cell]) -> Result<()> {
        for (_, asked) in asked(project.suite()?, encoding).iter().filter(|(cell, _)| computed.contains(cell)) {
            remove(&folder(project, encoding, asked))?;
        }
        Ok(())
    }

    fn effort(&self, encoding: &Encoding, cell: &Cell, _: usize) -> f64 {
        let Some(method) = Tuning::named(&cell.method) else { return 0.0 };
        // About as many epochs as early stopping leaves.
        const STOPPED: f64 = 60.0;
        let arm = start::arm(encoding, method, STOPPED as u64);
        let epochs: f64 = arm.recipes.iter().map(|recipe| (recipe.epochs as f64).min(STOPPED)).sum();
        let (set, n) = (&encoding.set, encoding.n_images());
        let smallest = set.class_counts().into_iter().min().unwrap_or(0) * n / set.len().max(1);
        let budget = cell.budget.unwrap_or_default() as usize;
        let train = study_counts(budget, smallest.max(2)).map_or(1, |counts| counts.train.max(1)) * set.classes.len();
        let image = super::effort::of_image(&encoding.model).unwrap_or(1e-3);
        let passes = arm.alphas.len().max(2) as f64;
        (epochs * 4.0 * train as f64 + passes * n as f64) * image
    }

    fn prepare(&self, project: &Project, encoding: &Encoding, encoded: Encoded, device: &Device) -> Result<Ready> {
        let asked = asked(project.suite()?, encoding).into_iter().map(|(cell, asked)| {
            let folder = folder(project, encoding, &asked);
            (cell.key, (asked, folder))
        });
        let asked = asked.collect();
        let store = Store::new(project.rows_folder(NAME));
        Ok(Ready { start: Start::of(project, encoding, encoded, device)?, asked, store })
    }

    fn measure(&self, ready: &Ready, cell: &Cell, tell: &Tell) -> Result<Outcome> {
        let (asked, folder) = &ready.asked[&cell.key];
        let tuned = ready.start.tune(asked, folder, tell)?;
        let path = ready.store.predictions(&cell.dataset, &cell.model, &cell.key);
        write_predictions(&path, &tuned.predicted)?;
        Ok(tuned.outcome(&cell.key))
    }
}

/// Removes a folder with all that is in it, where it is there.
fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(crate::error::Error::io(folder, "removing")(error))
        }
        _ => Ok(()),
    }
}
