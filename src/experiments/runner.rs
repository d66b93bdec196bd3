//! The runner: cells of work that are not done become rows.
//!
//! Every experiment is run by [`run`]. It knows all cells by their keys before anything is loaded, computes the missing ones
//! data set by data set and model by model, and keeps them after each, in a file of their own: a run that was stopped goes
//! on where it was, and several processes may run at once.

use super::answered::usable_images;
use super::ledger::{Ledger, Outcome};
use super::{Encoded, Encoding, effort};
use crate::datasets::note_left_out;
use crate::error::{Error, Result};
use crate::manifest::{Method, SuiteRecord};
use crate::progress::Progress;
use crate::project::Project;
use crate::results::{Cell, LeftOut, ResultRow};
use candle_core::Device;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

    /// Whether a cell's numbers are computed on this machine though they came with the project: the sample that those are
    /// held against. By default the suite's `recomputed` models, at its first seed; where C is chosen, which takes 46 fits, at the
    /// smallest budget alone.
    fn recomputes(&self, project: &Project, cell: &Cell) -> bool {
        let asks = |suite: &SuiteRecord| {
            let smallest = suite.budgets.iter().min().map(|&budget| budget as u32);
            let dear = cell.method == Method::LrSweep.as_str() && cell.budget != smallest;
            suite.recomputed.contains(&cell.model) && suite.seeds.first() == Some(&cell.seed) && !dear
        };
        project.suite().is_ok_and(asks)
    }

    /// How many cells are measured beside each other, each on its share of the processors. `None` lets all of them share all
    /// processors, which suits cells of milliseconds.
    fn beside(&self, _encoding: &Encoding) -> Option<usize> {
        None
    }

    /// The method whose run a cell of `method` goes on from, with the same budget and seed: it is best done first.
    fn goes_on_from(&self, _method: &str) -> Option<&'static str> {
        None
    }

    /// Called when all cells of a data set and model have their numbers: what was kept for going on with `computed`, those
    /// whose numbers are of this machine, may go. Others may be under way in a process that uses no number that came.
    ///
    /// # Errors
    /// Files that cannot be removed.
    fn tidy(&self, _project: &Project, _encoding: &Encoding, _computed: &[Cell]) -> Result<()> {
        Ok(())
    }

    /// About how many seconds a cell takes, on features of `dim` numbers.
    fn effort(&self, encoding: &Encoding, cell: &Cell, dim: usize) -> f64;

    /// Prepares what all cells share.
    ///
    /// # Errors
    /// What cannot be loaded.
    fn prepare(&self, project: &Project, encoding: &Encoding, encoded: Encoded, device: &Device)
    -> Result<Self::Ready>;

    /// The numbers of one cell. `tell` may be called with what is being done and the part of the cell that is done.
    ///
    /// # Errors
    /// What cannot be drawn, fitted or measured.
    fn measure(&self, ready: &Self::Ready, cell: &Cell, tell: &Tell) -> Result<Outcome>;
}

/// Hears how far a cell is: in words, and as a part from 0 to 1.
pub type Tell = Arc<dyn Fn(&str, f64) + Send + Sync>;

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
    let plan = Plan::new(project, experiment, device, None)?;
    plan.complete(project, experiment, device)
}

/// All cells of an experiment, and which of them are to be done.
pub(super) struct Plan<'a> {
    ledger: Ledger<'a>,
    encodings: Vec<(Encoding, Vec<Cell>)>,
    /// Why the first thing was left out.
    first: Option<Error>,
    /// Whether anything was left out for a reason that may be gone the next time.
    passing: bool,
}

impl<'a> Plan<'a> {
    /// Of the suite's data sets and models, or of the one pair `only`.
    pub fn new<E: Experiment + ?Sized>(
        project: &'a Project,
        experiment: &'a E,
        device: &Device,
        only: Option<(&str, &str)>,
    ) -> Result<Plan<'a>> {
        let sample = move |cell: &Cell| experiment.recomputes(project, cell);
        let ledger = Ledger::open(project, experiment.name(), experiment.metrics(), sample)?;
        let mut plan = Plan { ledger, encodings: Vec::new(), first: None, passing: false };
        let mut models = experiment.models(project)?;
        models.retain(|model| only.is_none_or(|(_, wanted)| model == wanted));
        if models.is_empty() {
            // Nothing is asked for: a data set that is not there is no loss.
            return Ok(plan);
        }
        let is_wanted = |dataset: &&String| only.is_none_or(|(wanted, _)| *dataset == wanted);
        for dataset in project.datasets()?.filter(is_wanted) {
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
        self.passing |= error.is_passing();
        self.first.get_or_insert(error);
    }

    fn complete<E: Experiment>(mut self, project: &Project, experiment: &E, device: &Device) -> Result<Vec<ResultRow>> {
        self.advance(project, experiment, device, true)?;
        // Data sets and models were there of which this experiment asks nothing.
        let asks_nothing = !self.encodings.is_empty() && self.encodings.iter().all(|(_, cells)| cells.is_empty());
        let cells: Vec<Cell> = self.encodings.into_iter().flat_map(|(_, cells)| cells).collect();
        let left_out = self.ledger.left_out().to_vec();
        let rows = self.ledger.close(&cells)?;
        match self.first {
            Some(error) if rows.is_empty() && !asks_nothing => Err(error),
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

    /// Computes and keeps the numbers of all cells that are to be done; what cannot be had is left out. `tidy` says whether what was
    /// kept for going on may go.
    ///
    /// # Errors
    /// Numbers that cannot be kept.
    pub fn advance<E: Experiment + ?Sized>(
        &mut self,
        project: &Project,
        experiment: &E,
        device: &Device,
        tidy: bool,
    ) -> Result<()> {
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
        let progress = Arc::new(Progress::weighted(experiment.title(), total));
        for (encoding, cells) in &encodings {
            let (dataset, model) = (encoding.dataset.id.as_str(), encoding.model.id.as_str());
            let missing = missing(&self.ledger, cells);
            if missing.is_empty() {
                // A run that was killed behind its last cell has left it to this one.
                if tidy {
                    experiment.tidy(project, encoding, &self.ledger.computed(cells))?;
                }
                continue;
            }
            progress.doing(format!("{dataset} under {model}"));
            let ready = encoding.encode(project, Some(&progress)).and_then(|encoded| {
                let usable = encoding.usable(&encoded);
                Ok((experiment.prepare(project, encoding, encoded, device)?, usable))
            });
            let (ready, usable) = match ready {
                Ok(ready) => ready,
                Err(error) => {
                    self.leave_out((dataset, Some(model)), None, error);
                    continue;
                }
            };
            let failed = self.measure(experiment, &ready, (encoding, usable.as_deref()), missing, &progress)?;
            let whole = failed.is_empty();
            for (cells, error) in failed.into_values() {
                let cells = cells.into_iter().collect::<Vec<_>>().join(", ");
                self.leave_out((dataset, Some(model)), Some(cells), error);
            }
            if whole && tidy {
                experiment.tidy(project, encoding, &self.ledger.computed(cells))?;
            }
        }
        if let Some(progress) = Arc::into_inner(progress) {
            progress.finish();
        }
        self.encodings = encodings;
        Ok(())
    }

    /// Measures cells of one encoding, of whose images some are not `usable`, and keeps their numbers as they come; gives what failed
    /// by its reason, with the cells.
    fn measure<E: Experiment + ?Sized>(
        &mut self,
        experiment: &E,
        ready: &E::Ready,
        (encoding, usable): (&Encoding, Option<&[bool]>),
        cells: Vec<Cell>,
        progress: &Arc<Progress>,
    ) -> Result<BTreeMap<String, (BTreeSet<String>, Error)>> {
        let (dataset, model) = (encoding.dataset.id.as_str(), encoding.model.id.as_str());
        let dim = encoding.model.features.dim;
        let failed = Mutex::new(BTreeMap::<String, (BTreeSet<String>, Error)>::new());
        let (sender, done) = channel::<(Cell, Outcome)>();
        let ledger = &mut self.ledger;
        // Kept by a thread of its own: one of a pool that waits for a file would begin another cell meanwhile.
        let (measured, kept) = std::thread::scope(|scope| {
            let keeper = scope.spawn(move || keep(ledger, (dataset, model), done));
            let sender = sender;
            let one = |cell: Cell| -> Result<()> {
                let effort = experiment.effort(encoding, &cell, dim);
                let (tell, told) = teller(progress.clone(), format!("{dataset} under {model}"), effort);
                match experiment.measure(ready, &cell, &tell) {
                    Ok(mut outcome) => {
                        // Of which images the answers are, where not of all.
                        if let Some(usable) = usable.filter(|_| !outcome.right.is_empty()) {
                            outcome.right.push(usable_images(&cell.key, usable));
                        }
                        progress.add(1, "cells", effort * (1.0 - told()));
                        // Nobody listens where the numbers before could not be kept: the keeper says why.
                        sender.send((cell, outcome)).map_err(|_| Error::argument("rows", "a place for them", "none"))
                    }
                    Err(error) => {
                        progress.skip(effort * (1.0 - told()));
                        let mut failed = lock(&failed);
                        let entry = failed.entry(error.to_string()).or_insert((BTreeSet::new(), error));
                        entry.0.insert(in_words(&cell));
                        Ok(())
                    }
                }
            };
            let measured = match experiment.beside(encoding) {
                // Cells beside each other: alone, none keeps all processors busy all the time.
                None => cells.into_par_iter().map(&one).collect::<Result<()>>(),
                Some(n) => workers(n, cells, &one),
            };
            drop(sender);
            (measured, keeper.join())
        });
        match kept {
            Ok(kept) => kept?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        measured?;
        Ok(failed.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Encodings and cells, for what goes on from their rows.
    pub fn encodings(&self) -> &[(Encoding, Vec<Cell>)] {
        &self.encodings
    }

    /// Keeps of all cells those that `wanted` takes.
    pub fn keep(&mut self, wanted: impl Fn(&Cell) -> bool) {
        self.encodings.iter_mut().for_each(|(_, cells)| cells.retain(&wanted));
    }

    pub fn ledger(&self) -> &Ledger<'a> {
        &self.ledger
    }

    /// Whether anything was left out for a reason that may be gone the next time.
    pub fn is_passing(&self) -> bool {
        self.passing
    }
}

/// Time between two writes of what cells gave: what a kill may cost beside the cells under way.
const KEPT_EVERY: Duration = Duration::from_secs(2);

/// Puts what cells gave into the ledger, not more often than [`KEPT_EVERY`], until there is no more to come.
fn keep(ledger: &mut Ledger, (dataset, model): (&str, &str), cells: Receiver<(Cell, Outcome)>) -> Result<()> {
    let (mut done, mut last) = (Vec::new(), Instant::now());
    loop {
        let more = cells.recv_timeout(KEPT_EVERY.saturating_sub(last.elapsed()));
        let over = matches!(more, Err(RecvTimeoutError::Disconnected));
        done.extend(more);
        if over || last.elapsed() >= KEPT_EVERY {
            if !done.is_empty() {
                ledger.add(dataset, model, std::mem::take(&mut done))?;
            }
            last = Instant::now();
        }
        if over {
            return Ok(());
        }
    }
}

/// A thread that panicked left nothing half-done that the others see.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a cell tells goes into the progress of all; and the part that it has told of.
fn teller(progress: Arc<Progress>, what: String, effort: f64) -> (Tell, impl Fn() -> f64) {
    let part = Arc::new(Mutex::new(0.0f64));
    let told = part.clone();
    let tell = move |words: &str, now: f64| {
        let mut part = lock(&part);
        let more = (now.clamp(0.0, 1.0) - *part).max(0.0);
        *part += more;
        progress.add(0, "cells", effort * more);
        progress.doing(format!("{what}: {words}"));
    };
    (Arc::new(tell), move || *lock(&told))
}

/// Takes `cells` one by one in `n` threads, each with a pool of its own for what it computes. A worker waits for nobody, so
/// that a cell is never begun inside another one, as threads of one pool would.
fn workers(n: usize, cells: Vec<Cell>, one: &(impl Fn(Cell) -> Result<()> + Sync)) -> Result<()> {
    let n = n.clamp(1, cells.len().max(1));
    let threads = (rayon::current_num_threads() / n).max(1);
    let queue = Mutex::new(VecDeque::from(cells));
    let first = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..n {
            scope.spawn(|| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let Ok(pool) = pool else { return };
                while lock(&first).is_none() {
                    let Some(cell) = lock(&queue).pop_front() else { break };
                    if let Err(error) = pool.install(|| one(cell)) {
                        lock(&first).get_or_insert(error);
                    }
                }
            });
        }
    });
    match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        // Where no pool could be made, what is left is done here.
        None => queue.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().try_for_each(one),
    }
}

/// What a cell asks for, whatever its seed.
fn in_words(cell: &Cell) -> String {
    let budget = cell.budget.map_or_else(String::new, |budget| format!(" at budget {budget}"));
    format!("{}{budget}", cell.method)
}
