//! Plain numbers, no images and no networks: splits, metrics with intervals, nearest neighbours, and on them classifiers,
//! clusterings and checks of a data set. Beneath them what every other crate of the project stands on: one error type,
//! seeded draws, files written whole or not at all, progress.
//!
//! Everything here is reached as `wider_clip::...`, which re-exports it.

#![deny(missing_docs)]

pub mod clustering;
pub mod error;
pub mod guard;
pub mod key;
mod lock;
pub mod metrics;
pub mod neighbours;
pub mod probe;
#[doc(hidden)]
pub mod products;
pub mod progress;
pub mod random;
pub mod say;
mod scale;
#[doc(hidden)]
pub mod simd;
pub mod soundness;
pub mod splits;
pub mod storage;
pub mod target;
