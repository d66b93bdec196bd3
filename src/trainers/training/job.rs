//! What is trained, as the engine sees it.

use super::curve::Curve;
use super::page::Panel;
use super::parameters::Parameters;
use super::stop::Reason;
use crate::error::Result;
use candle_core::Tensor;
use std::collections::{BTreeMap, HashMap};

/// Something that learns from batches. All that belongs to one sort of training and not to another is here.
pub trait Job: Send {
    /// What a loss is taken of.
    type Batch: Send + Sync;
    /// Where batches come from.
    type Source: Source<Batch = Self::Batch>;

    /// What messages, curve and page call it.
    fn name(&self) -> &str;

    /// What is done, as one says it before the name.
    fn verb(&self) -> &'static str {
        "training"
    }

    /// Everything that decides the result beside the plan, field by field with its name: data, settings, the
    /// [`crate::models::device_name`], hashes of weights that others trained. A checkpoint belongs to one fingerprint. No text that
    /// `Debug` makes: it may change with a compiler.
    fn fingerprint(&self) -> String;

    /// What is trained.
    fn parameters(&self) -> &Parameters;

    /// Where batches come from, for a thread of its own.
    ///
    /// # Errors
    /// Data that cannot be had.
    fn source(&self) -> Result<Self::Source>;

    /// The loss of a batch, or of a part of one. What it draws at random follows from the moment and from what the
    /// batch holds.
    ///
    /// # Errors
    /// Tensors that do not fit; no memory.
    fn loss(&mut self, batch: &Self::Batch, at: Moment) -> Result<Loss>;

    /// What follows a step of the optimiser: a teacher follows, a centre moves.
    ///
    /// # Errors
    /// No memory.
    fn after_step(&mut self, _at: Moment) -> Result<()> {
        Ok(())
    }

    /// What a later step depends on beside the parameters, by name.
    fn memory(&self) -> BTreeMap<String, Tensor> {
        BTreeMap::new()
    }

    /// Puts back a memory.
    ///
    /// # Errors
    /// A tensor that is missing, named.
    fn remember(&mut self, _memory: &HashMap<String, Tensor>) -> Result<()> {
        Ok(())
    }

    /// Numbers for the curve, by name; one of them may be what early stopping watches.
    ///
    /// # Errors
    /// Whatever measuring can fail with.
    fn measure(&mut self, _at: Moment) -> Result<Vec<(&'static str, f64)>> {
        Ok(Vec::new())
    }

    /// A batch in words, for an error that names it.
    fn describe(&self, _batch: &Self::Batch) -> String {
        String::new()
    }

    /// Called with each row of losses and each measure: how the run stands.
    fn told(&mut self, _course: &Course) {}

    /// The charts of the page.
    fn panels(&self) -> Vec<Panel> {
        vec![Panel { title: "Loss", axis: "loss", lines: vec![("loss", "training")], factor: 1.0 }]
    }

    /// Writes what the run leaves beside its checkpoint. Called whenever a run that is over is asked for, so what is
    /// there already stays.
    ///
    /// # Errors
    /// Files that cannot be written.
    fn finish(&mut self, _end: &End) -> Result<()> {
        Ok(())
    }
}

/// Where batches come from: a pure function of the step, which is asked ahead of time.
pub trait Source: Send {
    /// What a loss is taken of.
    type Batch: Send + Sync;

    /// The batch of a step in one part, or in several whose gradients are added up; they may be of different sizes. What
    /// looks at a batch as a whole (images among captions, batch normalisation) sees each part by itself.
    ///
    /// # Errors
    /// Images that cannot be read.
    fn batch(&self, step: u64) -> Result<Vec<Part<Self::Batch>>>;
}

/// A batch or a part of one.
pub struct Part<B> {
    /// What the loss is taken of.
    pub batch: B,
    /// Images in it: a loss is a mean over images, so this is its weight beside the other parts.
    pub images: usize,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Steps taken.
    pub step: u64,
    /// Steps of the whole run.
    pub total: u64,
    /// The run's seed.
    pub seed: u64,
}

/// How a run stands, for those who watch it.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// Steps taken, and those of the whole run, where nothing stops it.
    pub steps: (u64, u64),
    /// Images drawn.
    pub images: u64,
    /// Mean of the losses since the row before.
    pub loss: Option<f64>,
    /// What was measured last, by name; nothing before the first time.
    pub measures: Vec<(&'static str, f64)>,
    /// Measures without a better value, and how many end the run, where early stopping watches.
    pub waited: Option<(u32, u32)>,
}

/// `loss 0.41, val_loss 0.52, stops in 28 measures at the earliest`.
impl std::fmt::Display for Course {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<String> = self.loss.iter().map(|loss| format!("loss {loss:.3}")).collect();
        parts.extend(self.measures.iter().map(|(name, value)| format!("{name} {value:.3}")));
        if let Some((waited, patience)) = self.waited.filter(|(_, patience)| *patience < u32::MAX) {
            parts.push(format!("stops in {} measures at the earliest", patience.saturating_sub(waited)));
        }
        f.write_str(&parts.join(", "))
    }
}

/// The loss of a batch, and numbers that tell what it is made of.
pub struct Loss {
    /// A scalar with its graph.
    pub total: Tensor,
    /// Names and scalars, without graph.
    pub parts: Vec<(&'static str, Tensor)>,
}

impl Loss {
    /// A loss without parts.
    pub fn plain(total: Tensor) -> Self {
        Loss { total, parts: Vec::new() }
    }
}

/// The state with the best value of what early stopping watches.
#[derive(Clone, Debug)]
pub struct Best {
    /// Steps taken by then.
    pub step: u64,
    /// The value.
    pub value: f64,
    /// Parameters and running statistics, as [`Parameters::state`] gives them.
    pub state: BTreeMap<String, Tensor>,
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// It took all its steps.
    Through,
    /// It was told to stop for now ([`super::Place::stop_after`]).
    Interrupted,
    /// Early stopping ended it.
    Early(Reason),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Through => f.write_str("all steps taken"),
            Ended::Interrupted => f.write_str("interrupted"),
            Ended::Early(reason) => write!(f, "stopped early: {reason}"),
        }
    }
}

/// A run that is over, for [`Job::finish`]. The job's parameters are the last ones.
pub struct End<'a> {
    /// The hash of the run's fingerprint.
    pub run: &'a str,
    /// Why it ended.
    pub ended: &'a Ended,
    /// All rows.
    pub curve: &'a Curve,
    /// The best state, where the plan has early stopping.
    pub best: Option<&'a Best>,
}

/// What [`super::train`] gives.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Why it ended.
    pub ended: Ended,
    /// Steps taken, those before an interruption included.
    pub steps: u64,
    /// Images drawn.
    pub images: u64,
    /// Seconds of training; interruptions, measures and checkpoints left out.
    pub seconds: f64,
    /// All rows.
    pub curve: Curve,
    /// The best state, where the plan has early stopping; the job's parameters are the last ones.
    pub best: Option<Best>,
}
