//! Images that are far from all others.
//!
//! The rule is that of cleanlab's Datalab (2.7.1, its outlier check on features): the mean distance to the nearest
//! others is compared with its own quartiles over the set. It asks for no assumption on how features are spread, and
//! half of the images may be odd before the quartile moves far. With no more than three columns Datalab measures by
//! Euclidean distance; here it is always the cosine.

use super::votes::nearest_others;
use crate::error::{Error, Result};
use ndarray::ArcArray2;

/// Datalab's threshold on features.
pub const DATALAB_THRESHOLD: f64 = 0.37037;

/// What [`outliers`] gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Outliers {
    /// For each image the mean cosine distance, 0 to 2, to its k nearest others.
    pub distances: Vec<f64>,
    /// For each image `exp(-distance / median distance)`: 1 amid copies of itself, e^-1 = 0.37 for the usual image, 0
    /// far from all.
    pub scores: Vec<f64>,
    /// The distance beyond which an image is flagged.
    pub limit: f64,
    /// The images beyond it, the farthest first; the lower place first of equals.
    pub flagged: Vec<usize>,
}

/// The images of `features` `(N, D)` that are far from their `k` nearest others (cleanlab and we: 10).
///
/// An image is flagged where its mean distance exceeds `Q3 + (1 / threshold - 1) (Q3 - Q1)`, quartiles over all images:
/// with [`DATALAB_THRESHOLD`] these are 1.7 spreads. A `threshold` of 1 flags a quarter of the images, one near 0 none.
/// With fewer than `k` others, all count. The scores are those of `cleanlab.outlier.OutOfDistribution` with features.
/// `told` hears of so many more images whose neighbours are found.
///
/// # Errors
/// Features that are empty or not finite, a single image, k = 0, a threshold that is not above 0 and at most 1.
///
/// ```
/// use ndarray::array;
/// use wider_clip::soundness::{DATALAB_THRESHOLD, outliers};
///
/// let features = array![[1.0, 0.1], [1.0, 0.2], [1.0, 0.3], [1.0, 0.4], [1.0, 0.5], [-1.0, 0.2]].into_shared();
/// assert_eq!(outliers(&features, 2, DATALAB_THRESHOLD, &|_| ())?.flagged, [5]);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn outliers(features: &ArcArray2<f32>, k: usize, threshold: f64, told: &dyn Fn(usize)) -> Result<Outliers> {
    if !(threshold > 0.0 && threshold <= 1.0) {
        return Err(Error::argument("threshold", "a number above 0, at most 1", threshold.to_string()));
    }
    let (_, distances) = nearest_others(features, k, told)?;
    let k = distances.ncols() as f64;
    let distances: Vec<f64> = distances.rows().into_iter().map(|row| row.sum() / k).collect();
    let mut sorted = distances.clone();
    sorted.sort_by(f64::total_cmp);
    let (q1, median, q3) = (quantile(&sorted, 0.25), quantile(&sorted, 0.5), quantile(&sorted, 0.75));
    let limit = q3 + (1.0 / threshold - 1.0) * (q3 - q1);
    // Distances as small as their rounding are 0: score 1, and a scale that divides.
    let scale = median.max(100.0 * f64::EPSILON).max(1e-6);
    let rounding = 100.0 * f64::EPSILON / 2.0;
    let score = |&distance: &f64| if distance < rounding { 1.0 } else { (-distance / scale).exp() };
    let mut flagged: Vec<usize> = (0..distances.len()).filter(|&image| distances[image] > limit).collect();
    flagged.sort_by(|&a, &b| distances[b].total_cmp(&distances[a]));
    Ok(Outliers { scores: distances.iter().map(score).collect(), limit, flagged, distances })
}

/// A quantile of ascending numbers, between two of them in proportion.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}
