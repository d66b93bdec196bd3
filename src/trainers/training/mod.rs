//! Training: one engine under pretraining and fine-tuning.
//!
//! | module | what |
//! |---|---|
//! | [`engine`] | the loop: next batch, loss, backward, clip, step, rows of the curve, measures, checkpoint |
//! | [`job`] | what is trained: a [`Job`] has parameters, a [`Source`] of batches, a loss, and says what it is ([`Job::fingerprint`]) |
//! | [`plan`] | how: steps or epochs, rate, clipping, early stopping; and where |
//! | [`parameters`] | variables, drawn or loaded; the one rule of weight decay; rates that fall towards the input |
//! | [`classifier`] | an encoder with a linear head |
//! | [`optimiser`], [`schedule`], [`stop`] | Adam, learning rates, early stopping |
//! | [`checkpoint`], [`curve`], [`page`] | what a run leaves in its folder |
//!
//! Nothing here knows what a job learns: no objective, no data set, no record. A run has a folder; it is trained by
//! [`train`], and again by the same call where it was interrupted, to the same bits on a processor.

pub mod checkpoint;
pub mod classifier;
pub mod curve;
pub mod engine;
pub mod job;
pub mod optimiser;
pub mod page;
pub mod parameters;
pub mod plan;
mod resume;
pub mod schedule;
pub mod stop;

pub use checkpoint::Checkpoint;
pub use classifier::{Classifier, ClassifierParams, Head, HeadParams};
pub use curve::{Curve, CurveRow};
pub use engine::{has_diverged, identity, train};
pub use job::{Best, Course, End, Ended, Job, Loss, Moment, Outcome, Part, Source};
pub use optimiser::{Adam, TrainedParameter};
pub use page::Panel;
pub use parameters::{Parameters, Start, decays};
pub use plan::{Epochs, Place, Plan};
pub use schedule::Schedule;
pub use stop::{EarlyStopping, Reason, Verdict, Watch};
