//! What the neighbours of an image say of its label.

use super::check_labels;
use crate::error::{Error, Result};
use crate::neighbours::{Index, Metric, check_features};
use crate::products::column_means;
use ndarray::{ArcArray2, Array2, s};

/// By how much less similar than the nearest a neighbour counts a third (1/e).
const TEMPERATURE: f64 = 0.1;
/// Images whose neighbours are sought between two words of how far it is.
const AT_ONCE: usize = 4096;

/// `(N, K)`: which share of the votes of the `k` nearest other images each of the classes `0..n_classes` has. Near is
/// what has a large cosine once the mean of all images is taken off. A vote weighs `exp((c - c1) / 0.1)`, with the
/// cosine c and c1 that of the nearest: near copies outvote what is merely alike, so that a large `k` (50) does no harm.
/// An image has no vote on itself; others of its group have, as a copy under another label is the best witness there
/// is. Where there are fewer than `k` others, all of them vote. `told` hears of so many more images whose neighbours are
/// found, as that takes the square of their number.
///
/// # Errors
/// Features that are empty or not finite, a single image, a label of `n_classes` or above or not one a row, k = 0.
///
/// ```
/// use ndarray::array;
/// use wider_clip::soundness::neighbour_votes;
///
/// let features = array![[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0], [0.1, 1.0]].into_shared();
/// let votes = neighbour_votes(&features, &[0, 0, 1, 1, 1], 2, 2, &|_| ())?;
/// assert!(votes[[2, 0]] > 0.999 && votes[[4, 1]] > 0.9);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn neighbour_votes(
    features: &ArcArray2<f32>,
    labels: &[u32],
    n_classes: usize,
    k: usize,
    told: &dyn Fn(usize),
) -> Result<Array2<f64>> {
    if labels.len() != features.nrows() {
        let expected = format!("{}, one a row of features", features.nrows());
        return Err(Error::argument("labels", expected, labels.len().to_string()));
    }
    check_labels(labels, n_classes)?;
    check_features("features", features.view())?;
    let means = column_means(features.view());
    let centred = Array2::from_shape_fn(features.dim(), |(i, d)| (f64::from(features[[i, d]]) - means[d]) as f32);
    let (rows, distances) = nearest_others(&centred.into_shared(), k, told)?;
    let mut votes = Array2::zeros((labels.len(), n_classes));
    for (image, (others, distances)) in rows.rows().into_iter().zip(distances.rows()).enumerate() {
        let weights: Vec<f64> = distances.iter().map(|d| ((distances[0] - d) / TEMPERATURE).exp()).collect();
        let all: f64 = weights.iter().sum();
        others.iter().zip(&weights).for_each(|(&other, w)| votes[[image, labels[other] as usize]] += w / all);
    }
    // Shares of one class may sum to a digit beyond 1.
    votes.mapv_inplace(|vote: f64| vote.min(1.0));
    Ok(votes)
}

/// The `k` nearest other rows of every row by the cosine with their distances, nearest first: rows and distances `(N,
/// k)`, or all others where they are fewer.
///
/// # Errors
/// Features that are empty or not finite, a single row, k = 0.
pub(super) fn nearest_others(
    features: &ArcArray2<f32>,
    k: usize,
    told: &dyn Fn(usize),
) -> Result<(Array2<usize>, Array2<f64>)> {
    let n = features.nrows();
    let index = Index::new(features.clone(), Metric::Cosine)?;
    if n < 2 || k == 0 {
        let expected = "at least 2 images and 1 neighbour";
        return Err(Error::argument("neighbours", expected, format!("{n} images, k = {k}")));
    }
    let k = k.min(n - 1);
    let (mut rows, mut distances) = (Array2::zeros((n, k)), Array2::zeros((n, k)));
    for start in (0..n).step_by(AT_ONCE) {
        let queries = features.slice(s![start..(start + AT_ONCE).min(n), ..]);
        let found = index.nearest(queries, k + 1)?;
        for (i, (others, far)) in found.rows.outer_iter().zip(found.distances.outer_iter()).enumerate() {
            // A row is not always the first of its own list where rows repeat, and may be missing from it.
            let others = others.into_iter().zip(far).filter(|(other, _)| **other != start + i).take(k);
            for (place, (&other, &distance)) in others.enumerate() {
                rows[[start + i, place]] = other;
                distances[[start + i, place]] = distance;
            }
        }
        told(queries.nrows());
    }
    Ok((rows, distances))
}
