//! The Hugging Face hub: one client for data sets and models, and weights that stay what they were.
//!
//! The environment decides: `HF_HOME` (cache), `HF_TOKEN` (gated repositories), `HF_ENDPOINT` (a mirror),
//! `HF_HUB_OFFLINE` (cache only). The cache is the one that Python's `huggingface_hub` uses.
//!
//! A branch moves, results must not: [`fetch_model`] writes commit, size and SHA-256 of each file at its first use into
//! a lock file that belongs to the project, and from then on asks for that commit and takes nothing else. Who wants
//! what the branch holds today deletes the entry.
//!
//! hf-hub writes a download to `<etag>.part`, goes on there after a broken connection or a kill, and renames it. It
//! checks neither length nor hash; this module does, so that a half-written or damaged file is never used.

mod client;
mod download;
mod lock;
mod model;
mod verify;

pub(crate) use client::Client;
pub use client::cache;
pub use lock::lock_path;
pub use model::{HubWeights, fetch_model, model_in_cache};
