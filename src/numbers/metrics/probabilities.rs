//! Scores of predicted probabilities.

use super::check_lengths;
use crate::error::{Error, Result};
use ndarray::{ArrayView1, ArrayView2};

/// The fraction of images whose class is among the `k` with the highest scores `(N, K)`; of equal scores the higher
/// class number counts as higher (scikit-learn's `top_k_accuracy_score`).
///
/// # Errors
/// No image, lists of different lengths, a score that is not finite, a class of K or more, k = 0 or K or more (then
/// every image would count).
///
/// ```
/// use ndarray::array;
/// use wider_clip::metrics::top_k_accuracy;
///
/// let scores = array![[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]];
/// assert_eq!(top_k_accuracy(scores.view(), &[1, 2], 2)?, 0.5);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn top_k_accuracy(scores: ArrayView2<f64>, truth: &[u32], k: usize) -> Result<f64> {
    check_scores(scores, truth)?;
    if k == 0 || k >= scores.ncols() {
        return Err(Error::argument("k", format!("above 0 and below the {} classes", scores.ncols()), k.to_string()));
    }
    let hit = |(row, &truth): (ndarray::ArrayView1<f64>, &u32)| {
        let own = row[truth as usize];
        let above =
            row.iter().enumerate().filter(|&(class, &score)| score > own || (score == own && class > truth as usize));
        above.count() < k
    };
    let n_hits = scores.rows().into_iter().zip(truth).filter(|&(row, truth)| hit((row, truth))).count();
    Ok(n_hits as f64 / truth.len() as f64)
}

/// Expected calibration error (Naeini et al. 2015; Guo et al. 2017): images are put into `n_bins` bins of equal width
/// by the probability of the predicted class (the first of equals), and the gaps between a bin's accuracy and its mean
/// probability are averaged over images. 0 is best.
///
/// A bin holds its upper edge and not its lower, but for the first, which holds 0 too. Edge k is the f64 nearest to
/// k / `n_bins`: 0.56 lies in the 14th of 25 bins, whatever 0.56 x 25 rounds to.
///
/// # Errors
/// No image, lists of different lengths, a probability outside 0 to 1, a class of K or more, no bin.
///
/// ```
/// use ndarray::array;
/// use wider_clip::metrics::expected_calibration_error;
///
/// // Both images are predicted with probability 0.75, one rightly: |0.5 - 0.75|.
/// let probabilities = array![[0.75, 0.25], [0.75, 0.25]];
/// assert_eq!(expected_calibration_error(probabilities.view(), &[0, 1], 15)?, 0.25);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn expected_calibration_error(probabilities: ArrayView2<f64>, truth: &[u32], n_bins: usize) -> Result<f64> {
    check_probabilities(probabilities, truth)?;
    if n_bins == 0 {
        return Err(Error::argument("bins", "at least 1", "0"));
    }
    // Per bin: the sum over its images of (right - probability).
    let mut gaps = vec![0f64; n_bins];
    for (row, &truth) in probabilities.rows().into_iter().zip(truth) {
        let (class, probability) = top(row);
        gaps[bin(probability, n_bins)] += f64::from(u8::from(class == truth as usize)) - probability;
    }
    Ok(gaps.iter().map(|gap| gap.abs()).sum::<f64>() / truth.len() as f64)
}

/// The class with the highest probability, the first of equals, and that probability.
pub(super) fn top(row: ArrayView1<f64>) -> (usize, f64) {
    let higher =
        |best: (usize, f64), (class, &probability)| if probability > best.1 { (class, probability) } else { best };
    row.iter().enumerate().skip(1).fold((0, row[0]), higher)
}

/// The bin of a probability, from 0.
pub(super) fn bin(probability: f64, n_bins: usize) -> usize {
    let edge = |bin: usize| bin as f64 / n_bins as f64;
    // The product may be one off beside an edge; the edges themselves decide.
    let mut bin = ((probability * n_bins as f64).ceil() as usize).clamp(1, n_bins);
    while bin > 1 && probability <= edge(bin - 1) {
        bin -= 1;
    }
    while bin < n_bins && probability > edge(bin) {
        bin += 1;
    }
    bin - 1
}

pub(super) fn check_probabilities(probabilities: ArrayView2<f64>, truth: &[u32]) -> Result<()> {
    check_scores(probabilities, truth)?;
    match probabilities.iter().find(|value| !(0.0..=1.0 + 1e-9).contains(*value)) {
        Some(value) => Err(Error::argument("probabilities", "numbers from 0 to 1", value.to_string())),
        None => Ok(()),
    }
}

pub(super) fn check_scores(scores: ArrayView2<f64>, truth: &[u32]) -> Result<()> {
    check_lengths(scores.nrows(), truth.len())?;
    if let Some(((row, column), value)) = scores.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(Error::argument("scores", "finite numbers", format!("{value} in row {row}, column {column}")));
    }
    if let Some((image, class)) = truth.iter().enumerate().find(|(_, class)| **class as usize >= scores.ncols()) {
        let expected = format!("below the number of columns, {}", scores.ncols());
        return Err(Error::argument("truth", expected, format!("{class} for image {image}")));
    }
    Ok(())
}
