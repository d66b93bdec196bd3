//! The study's experiments. Each is one module; they never import each other.
//!
//! | module | the study's section |
//! |---|---|
//! | [`representations`] | classification with features and simple learners, by label budget |

pub mod representations;
