//! A reader's own images: what is in the folder, whether it is sound, which model, how many labels.

mod arms;
mod curve;
mod folder;
mod rest;
mod sound;

pub use arms::{arms_chart, arms_table, paces_table, verdict};
pub use curve::{curve_chart, labels_table};
pub use folder::{left_out_table, own_table, sizes_table};
pub use rest::{card_table, confused_gallery, domains_table, next_gallery};
pub use sound::{cues_table, look_gallery, look_table, outliers_gallery, suspects_gallery, twins_gallery, twins_table};

use super::gallery::Picture;
use super::shorten;
use crate::datasets::ImageSet;
use crate::say::visible;

/// Characters of a class name where another name and numbers share its line.
const NAME: usize = 18;

/// A picture of a set with a text of its own under it; `None` for one that cannot be read.
fn picture(set: &ImageSet, row: usize, label: String) -> Option<Picture> {
    Picture::of(set, row).ok().map(|picture| Picture { label, ..picture })
}

/// Class name of a row.
fn class(set: &ImageSet, row: usize) -> &str {
    &set.classes[set.labels[row] as usize]
}

/// A class name that leaves room for what stands beside it.
fn short(name: &str) -> String {
    shorten(&visible(name), NAME)
}
