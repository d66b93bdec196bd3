//! Fine-tuning: every parameter of a backbone and a new head learn from labelled images.
//!
//! | module | what |
//! |---|---|
//! | `recipe` | [`Recipe`]: all that decides a run beside data, weights and seed; the study's, and better ones at its cost |
//! | `examples` | [`Examples`]: squares with classes, normalised batch by batch |
//! | `job` | [`FineTune`]: the job that [`crate::training::train`] runs, and what it says of images afterwards |
//! | `between` | [`between`]: weights between two states, for WiSE-FT |
//!
//! The study's arm follows PyTorch Lightning, which the study was trained with: early stopping compares strictly and looks
//! once an epoch ([`crate::training::stop`]), the last, smaller batch is kept, and what is reported is the LAST state, not the
//! best, unless somebody asks for it. Both can be had here: [`crate::training::Outcome::best`] holds the best one.
//! tests/finetuning_parity.rs holds all of it to PyTorch.

mod between;
mod examples;
mod job;
mod recipe;

pub use between::between;
pub use examples::Examples;
pub use job::{FineTune, FineTuneParams};
pub use recipe::{Fall, Input, Recipe, Statistics, Views};
