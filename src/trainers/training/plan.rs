//! How a job is trained, and where.

use super::schedule::Schedule;
use super::stop::EarlyStopping;
use crate::error::{Error, Result};
use crate::random::Random;
use std::path::Path;
use std::time::Duration;

/// Rows of losses in a run that counts steps, about.
const ROWS: u64 = 200;
/// Measures of such a run, the one at its end included.
const MEASURES: u64 = 10;

/// What decides a run beside the job itself.
///
/// ```
/// use wider_clip::training::{Epochs, Plan, Schedule};
///
/// // 10 images in batches of 4, the last one of 2: three steps an epoch.
/// let epochs = Epochs { images: 10, batch: 4, keep_last: true, seed: 0 };
/// let plan = Plan::by_epochs(5, &epochs, Schedule::Constant(1e-4));
/// assert_eq!((plan.steps, plan.images, plan.measure_every), (15, 50, 3));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Steps of the whole run, where nothing stops it.
    pub steps: u64,
    /// Images that they draw.
    pub images: u64,
    /// Decides whatever is drawn at random.
    pub seed: u64,
    /// The learning rate.
    pub rate: Schedule,
    /// Adam's decays.
    pub betas: (f64, f64),
    /// Gradients are shortened to this length, that of all of them as one vector.
    pub longest_gradient: Option<f64>,
    /// Ends the run where a measure no longer falls.
    pub stopping: Option<EarlyStopping>,
    /// Steps between rows of mean losses.
    pub rows_every: u64,
    /// Steps between measures; one is taken at the first row from there on, and one at the end.
    pub measure_every: u64,
}

impl Plan {
    /// So many steps that draw so many images: about 200 rows, 10 measures.
    pub fn by_steps(steps: u64, images: u64, rate: Schedule, seed: u64) -> Plan {
        Plan {
            steps,
            images,
            seed,
            rate,
            betas: (0.9, 0.999),
            longest_gradient: None,
            stopping: None,
            rows_every: (steps / ROWS).max(1),
            measure_every: steps.div_ceil(MEASURES).max(1),
        }
    }

    /// So many epochs: rows and a measure after each.
    pub fn by_epochs(n: u64, epochs: &Epochs, rate: Schedule) -> Plan {
        let plan = Plan::by_steps(n * epochs.steps(), n * epochs.drawn() as u64, rate, epochs.seed);
        Plan { rows_every: epochs.steps().max(1), measure_every: epochs.steps().max(1), ..plan }
    }

    /// Every field with its name.
    pub fn fingerprint(&self) -> String {
        let Plan { steps, images, seed, rate, betas, longest_gradient, stopping, rows_every, measure_every } = self;
        let longest = longest_gradient.map_or("none".into(), |longest| longest.to_string());
        let stopping = stopping.as_ref().map_or("none".into(), EarlyStopping::fingerprint);
        format!(
            "steps {steps}; images {images}; seed {seed}; rate {}; betas {} {}; longest gradient {longest}; early \
             stopping {stopping}; rows every {rows_every}; measured every {measure_every}",
            rate.fingerprint(),
            betas.0,
            betas.1,
        )
    }

    /// Whether rows are due after `step` steps.
    pub(super) fn has_rows(&self, step: u64) -> bool {
        step.is_multiple_of(self.rows_every) || step == self.steps
    }

    /// Whether a measure is due after `step` steps, which have rows.
    pub(super) fn has_measure(&self, step: u64) -> bool {
        let before = step - self.rows_every.min(step);
        step / self.measure_every > before / self.measure_every || step == self.steps
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.steps == 0 || self.rows_every == 0 || self.measure_every == 0 {
            let found = format!("{} steps, {} and {}", self.steps, self.rows_every, self.measure_every);
            return Err(Error::argument("plan", "at least one step, between rows and between measures too", found));
        }
        self.stopping.as_ref().map_or(Ok(()), EarlyStopping::check)
    }
}

/// Where a run lies, and when it rests.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// Checkpoint, curve and page; one folder a run.
    pub folder: &'a Path,
    /// Time between checkpoints.
    pub every: Duration,
    /// Stops after this step for now, with a checkpoint.
    pub stop_after: Option<u64>,
    /// Prints progress and measures.
    pub verbose: bool,
    /// Keeps a page with the charts of the curve (plotly's script beside it takes 4.5 MB a folder).
    pub page: bool,
}

/// Images drawn epoch by epoch, each once an epoch, in an order of its own each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs {
    /// Images that there are.
    pub images: usize,
    /// Images a step.
    pub batch: usize,
    /// Whether what is left of an epoch makes a smaller batch; else it is not drawn in that epoch.
    pub keep_last: bool,
    /// Decides the orders.
    pub seed: u64,
}

impl Epochs {
    /// Steps of an epoch.
    pub fn steps(&self) -> u64 {
        let batch = self.batch.max(1);
        (if self.keep_last { self.images.div_ceil(batch) } else { self.images / batch }) as u64
    }

    /// Images drawn in an epoch.
    pub fn drawn(&self) -> usize {
        if self.keep_last { self.images } else { self.steps() as usize * self.batch }
    }

    /// The images of a step, counted through all epochs; none where an epoch has no step.
    ///
    /// ```
    /// use wider_clip::training::Epochs;
    ///
    /// let epochs = Epochs { images: 5, batch: 2, keep_last: true, seed: 0 };
    /// let mut second: Vec<usize> = (3..6).flat_map(|step| epochs.rows(step)).collect();
    /// assert_eq!(epochs.rows(5).len(), 1);
    /// second.sort();
    /// assert_eq!(second, [0, 1, 2, 3, 4]);
    /// ```
    pub fn rows(&self, step: u64) -> Vec<usize> {
        let steps = self.steps();
        if steps == 0 {
            return Vec::new();
        }
        let mut order: Vec<usize> = (0..self.images).collect();
        Random::new("order of an epoch", self.seed, step / steps).shuffle(&mut order);
        let from = (step % steps) as usize * self.batch;
        order[from..self.images.min(from + self.batch)].to_vec()
    }

    /// Every field with its name.
    pub fn fingerprint(&self) -> String {
        let Epochs { images, batch, keep_last, seed } = self;
        let last = if *keep_last { "kept" } else { "left out" };
        format!("epochs of {images} images; batch {batch}; smaller last batch {last}; seed {seed}")
    }
}
