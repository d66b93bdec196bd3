//! The study's experiments. Each is one module; they never import each other.
//!
//! | module | the study's section |
//! |---|---|
//! | [`representations`] | classification with features and simple learners, by label budget |
//! | [`finetuning`] | fine-tuning, as the study did it and in better ways, on the same splits |
//! | [`drift`] | in distribution against out of distribution, arm by arm |
//! | [`clustering`] | clusters found without labels, with and without UMAP |
//! | [`same_data`] | its open question: the objectives on the same data |
//!
//! What they have in common stands once, beside them:
//!
//! | module | |
//! |---|---|
//! | `encoded` | [`Encoding`]: a data set and a model, known by key; [`Encoded`]: its images and features |
//! | `parts` | [`Parts`]: what is learned from and what is measured on |
//! | `predict`, `words` | the only dispatch on methods; classes asked for by words ([`Words`]) |
//! | [`choices`] | the winner of every test, and what cannot be told apart from it, by answers that were kept |
//! | [`needed`] | how many labels a way needs to be as good as another with few |
//! | `answered` | [`Answered`]: which test images an arm had right, with class and group of each |
//! | `score` | the only list of metrics of classification |
//! | `ledger`, `runner` | cells of work that are not done become rows: [`run`] an [`Experiment`] |
//! | [`shipping`] | rows that come with the project, and the keys that they came under |
//! | [`work`] | the same work for many machines: planned, done part by part, gathered |
//! | `all`, `current` | all experiments in one list; which keys count today |
//! | `effort` | about how long a cell takes, for progress |

mod all;
mod answered;
pub mod choices;
pub mod clustering;
mod current;
pub mod drift;
mod effort;
mod encoded;
pub mod finetuning;
mod ledger;
pub mod needed;
mod parts;
mod predict;
pub mod representations;
mod runner;
pub mod same_data;
mod score;
pub mod shipping;
mod words;
pub mod work;

pub use answered::{Answered, Tested};
pub use current::current_keys;
pub(crate) use effort::seconds_of_probe;
pub use encoded::{Encoded, Encoding, Work};
pub use ledger::{FRESH_VARIABLE, Outcome, is_fresh};
pub use parts::{Part, Parts, Protocol, test_name};
pub(crate) use predict::NEIGHBOURS;
pub use predict::Predictions;
pub use runner::{Experiment, Tell, run};
pub use score::METRICS;
pub use words::Words;
