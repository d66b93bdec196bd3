//! Training: the pocket models from nothing.
//!
//! Everything here is reached as `wider_clip::...`, which re-exports it.

#![deny(missing_docs)]

pub mod pretrain;

use wider_clip_backbones::{models, ops, optimiser};
use wider_clip_data::{datasets, images, manifest, text};
use wider_clip_numbers::{error, probe, progress, random, storage};
