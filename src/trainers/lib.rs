//! Training: one engine under pretraining and fine-tuning, and both of them on it.
//!
//! Everything here is reached as `wider_clip::...`, which re-exports it.

#![deny(missing_docs)]

pub mod augment;
pub mod finetune;
pub mod pretrain;
pub mod training;

use wider_clip_backbones::{models, ops};
use wider_clip_data::{datasets, images, manifest, text};
use wider_clip_numbers::{error, key, probe, progress, random, storage};
