//! Is a set of images sound? Plain numbers for it: labels that look wrong, images that look like no other, and what
//! finding nearly equal images needs beneath.
//!
//! | what | where |
//! |---|---|
//! | [`out_of_fold`] | class probabilities of each image from a probe that has not seen it or its group |
//! | [`neighbour_votes`] | the labels of the nearest other images |
//! | [`label_issues`] | confident learning: what cleanlab flags, in its order |
//! | [`suspects`] | every image from the most to the least suspect label, by probe and neighbours together |
//! | [`outliers`] | how far each image is from its neighbours, and which are too far |
//! | [`close_pairs`], [`groups_of`], [`Unions`] | codes of bits that differ in few places, also mirrored; pairs to groups |
//!
//! The engines say how sure they are and flag; a person decides. What the flags are worth is measured in
//! benches/README.md.

mod confident;
mod folds;
mod hamming;
mod out_of_fold;
mod outliers;
mod suspects;
mod unions;
mod votes;

pub use confident::{Confident, confident_joint, label_issues};
pub use folds::group_folds;
pub use hamming::{ClosePair, Code, close_pairs};
pub use out_of_fold::{OutOfFold, out_of_fold};
pub use outliers::{DATALAB_THRESHOLD, Outliers, outliers};
pub use suspects::{Suspect, suspects};
pub use unions::{Unions, groups_of};
pub use votes::neighbour_votes;

use crate::error::{Error, Result};
use ndarray::ArrayView2;

/// One label a row, each below the number of columns, and rows of numbers from 0 to 1.
fn check_opinions(what: &'static str, opinions: ArrayView2<f64>, labels: &[u32]) -> Result<()> {
    if opinions.is_empty() {
        let found = format!("shape {:?}", opinions.shape());
        return Err(Error::argument(what, "at least one row and one column", found));
    }
    if labels.len() != opinions.nrows() {
        let expected = format!("{}, one for each row of {what}", opinions.nrows());
        return Err(Error::argument("labels", expected, labels.len().to_string()));
    }
    check_labels(labels, opinions.ncols())?;
    match opinions.indexed_iter().find(|(_, value)| !(0.0..=1.0).contains(*value)) {
        Some(((row, column), value)) => {
            Err(Error::argument(what, "numbers from 0 to 1", format!("{value} in row {row}, column {column}")))
        }
        None => Ok(()),
    }
}

/// Labels below the number of classes.
fn check_labels(labels: &[u32], n_classes: usize) -> Result<()> {
    match labels.iter().enumerate().find(|(_, label)| **label as usize >= n_classes) {
        Some((row, label)) => {
            let expected = format!("class numbers below {n_classes}");
            Err(Error::argument("labels", expected, format!("{label} at place {row}")))
        }
        None => Ok(()),
    }
}

/// The place of the largest value, the first of equals; 0 of none.
fn largest_place(values: ndarray::ArrayView1<f64>) -> usize {
    values.iter().enumerate().fold(0, |best, (place, value)| if *value > values[best] { place } else { best })
}
