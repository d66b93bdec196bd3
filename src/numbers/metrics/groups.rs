//! Predictions by group.

use super::check_lengths;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// The accuracy of one group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupAccuracy<G> {
    /// Which.
    pub group: G,
    /// The fraction of its images that were predicted rightly.
    pub accuracy: f64,
    /// Its images, at least one.
    pub n: usize,
}

/// The accuracy of every group that has images, by group ascending. A group without images is not there: its accuracy is
/// undefined.
///
/// # Errors
/// No image, or lists of different lengths.
///
/// ```
/// use wider_clip::metrics::accuracy_by_group;
///
/// let years = accuracy_by_group(&[0, 1, 1], &[0, 0, 1], &[2016, 2017, 2017])?;
/// assert_eq!((years[0].group, years[0].accuracy, years[0].n), (2016, 1.0, 1));
/// assert_eq!((years[1].group, years[1].accuracy, years[1].n), (2017, 0.5, 2));
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn accuracy_by_group<G: Ord + Clone>(
    predicted: &[u32],
    truth: &[u32],
    groups: &[G],
) -> Result<Vec<GroupAccuracy<G>>> {
    check_lengths(predicted.len(), truth.len())?;
    check_groups(groups.len(), truth.len())?;
    let mut counts: BTreeMap<&G, (usize, usize)> = BTreeMap::new();
    for ((predicted, truth), group) in predicted.iter().zip(truth).zip(groups) {
        let (n_right, n) = counts.entry(group).or_default();
        *n_right += usize::from(predicted == truth);
        *n += 1;
    }
    let of_group = |(group, (n_right, n)): (&G, (usize, usize))| GroupAccuracy {
        group: group.clone(),
        accuracy: n_right as f64 / n as f64,
        n,
    };
    Ok(counts.into_iter().map(of_group).collect())
}

/// The group with the lowest accuracy, the first of equals; `None` where there is no group.
pub fn worst_of<G>(groups: impl IntoIterator<Item = GroupAccuracy<G>>) -> Option<GroupAccuracy<G>> {
    groups.into_iter().reduce(|worst, next| if next.accuracy < worst.accuracy { next } else { worst })
}

/// The lowest accuracy over the groups that have images; the first group of equals.
///
/// # Errors
/// No image, or lists of different lengths.
///
/// ```
/// use wider_clip::metrics::worst_group;
///
/// let worst = worst_group(&[0, 1, 1], &[0, 0, 1], &["asia", "europe", "europe"])?;
/// assert_eq!((worst.group, worst.accuracy), ("europe", 0.5));
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn worst_group<G: Ord + Clone>(predicted: &[u32], truth: &[u32], groups: &[G]) -> Result<GroupAccuracy<G>> {
    let worst = worst_of(accuracy_by_group(predicted, truth, groups)?);
    worst.ok_or_else(|| Error::argument("truth", "at least one image", "none"))
}

pub(super) fn check_groups(n_groups: usize, n_truth: usize) -> Result<()> {
    match n_groups == n_truth {
        true => Ok(()),
        false => Err(Error::argument("groups", format!("{n_truth}, one an image"), n_groups.to_string())),
    }
}
