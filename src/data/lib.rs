//! What goes in: manifests, the Hugging Face hub, images and data sets, text for CLIP, and the study's published figures.
//!
//! Everything here is reached as `wider_clip::...`, which re-exports it.

#![deny(missing_docs)]

pub mod datasets;
pub mod hub;
pub mod images;
pub mod manifest;
pub mod published;
pub mod text;

use wider_clip_numbers::{error, guard, key, progress, storage};
