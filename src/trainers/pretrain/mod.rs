//! Pretraining: six ways to learn an image representation from the same small data, in pocket size.
//!
//! The study compares models whose data, size and budget all differ. Here they are equal: one corpus of icons with
//! captions ([`corpus`]), one number of images drawn, for the transformers one encoder. What differs is the objective:
//!
//! | module | objective | learns from |
//! |---|---|---|
//! | [`supervised`] | the class of an image | labels |
//! | [`clip`] | which caption belongs to which image | captions |
//! | [`dino`] | what a teacher sees in other crops | images |
//! | [`mae`] | pixels of hidden patches | images |
//! | [`beit`] | codes of hidden patches, by a [`tokenizer`] | images |
//! | [`data2vec`] | a teacher's tokens of hidden patches | images |
//!
//! A [`Recipe`] is an objective with an architecture and settings; [`run`] makes a job of it for the engine of
//! [`crate::training`]: seeded, with progress, checkpoints that resume to the bit on a processor, a curve of losses and
//! probes as rows, and in the end the weights and a card.
//! Only the command line and the notebook on these models import this module.

pub mod beit;
pub mod captions;
mod card;
pub mod clip;
pub mod command;
pub mod corpus;
pub mod data2vec;
pub mod dino;
mod held_out;
mod last_norm;
pub mod mae;
pub mod mask;
mod masked;
mod objective;
mod publish;
mod recipe;
mod run;
mod shipped;
pub mod supervised;
mod teacher;
pub mod tokenizer;

pub use corpus::Corpus;
pub use held_out::{Probe, effective_rank, feature_deviation};
pub use last_norm::standardised;
pub use objective::{Batch, Loss, Moment, Objective};
pub use recipe::{Kind, Recipe};
pub use run::{Outcome, Settings, run};
pub use shipped::{shipped, summary};
pub use teacher::Teacher;

pub use crate::training::{Curve, CurveRow};
