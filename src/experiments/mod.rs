//! The study's experiments. Each is one module; they never import each other.
//!
//! | module | the study's section |
//! |---|---|
//! | [`representations`] | classification with features and simple learners, by label budget |
//! | [`ByName`] | zero-shot classification, described and not run; by names, or by all that names stand for |
//! | [`clustering`] | clusters found without labels, with and without UMAP |
//! | [`same_data`] | its open question: the objectives on the same data |
//!
//! What they start from is common to them: [`Bench`], a data set with the features of one model.

mod bench;
pub mod clustering;
mod effort;
pub mod representations;
pub mod same_data;
mod zero_shot;

pub use bench::Bench;
pub use zero_shot::ByName;
