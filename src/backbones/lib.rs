//! Backbones, frozen or trained, the fast operations beneath them, and features cached on disk.
//!
//! Everything here is reached as `wider_clip::...`, which re-exports it.

#![deny(missing_docs)]

pub mod by_name;
pub mod features;
pub mod models;
pub mod ops;

use wider_clip_data::{datasets, hub, images, manifest, text};
use wider_clip_numbers::{error, guard, key, probe, products, progress, random, simd, storage};
