//! Predictions by group.

use super::check_lengths;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// The group that fares worst.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstGroup<G> {
    /// Which.
    pub group: G,
    /// Its accuracy.
    pub accuracy: f64,
    /// Its images.
    pub n: usize,
}

/// The lowest accuracy over the groups that have images (WILDS ranks fmow by it); the first group of equals.
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
pub fn worst_group<G: Ord + Clone>(predicted: &[u32], truth: &[u32], groups: &[G]) -> Result<WorstGroup<G>> {
    check_lengths(predicted.len(), truth.len())?;
    if groups.len() != truth.len() {
        return Err(Error::argument("groups", format!("{}, one an image", truth.len()), groups.len().to_string()));
    }
    let mut counts: BTreeMap<&G, (usize, usize)> = BTreeMap::new();
    for ((predicted, truth), group) in predicted.iter().zip(truth).zip(groups) {
        let (n_right, n) = counts.entry(group).or_default();
        *n_right += usize::from(predicted == truth);
        *n += 1;
    }
    let scores = counts.into_iter().map(|(group, (n_right, n))| (n_right as f64 / n as f64, group, n));
    let worst = scores.reduce(|worst, next| if next.0 < worst.0 { next } else { worst });
    let (accuracy, group, n) = worst.ok_or_else(|| Error::argument("truth", "at least one image", "none"))?;
    Ok(WorstGroup { group: group.clone(), accuracy, n })
}
