//! Features: images through a frozen backbone, once, into Parquet that any tool can read.
//!
//! [`extract`] streams a data set through a model, a shard of images at a time. A shard is written whole or not at
//! all, so a job that is killed goes on from the last whole shard and ends bit-identical to one that was not. The
//! cache is keyed by everything that decides the numbers (see [`key`]); two processes on one cache take turns.

mod cache;
mod extract;

pub use cache::{FeatureTable, SetAside, none_apart};
pub use extract::{
    Extraction, ONE_USABLE, PART, extract, extract_part, extract_pooling, is_cached, key, missing_parts,
};
