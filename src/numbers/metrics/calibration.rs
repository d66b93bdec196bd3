//! Whether probabilities say how often a classifier is right, and one number that mends most of it.

use super::probabilities::{bin, check_probabilities, check_scores, top};
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView2, Axis};

/// The mean of `-ln p` of the true class (scikit-learn's `log_loss`, without its clipping), in nats; infinite where a true class
/// got probability 0.
///
/// # Errors
/// No image, lists of different lengths, a probability outside 0 to 1, a class of K or more.
///
/// ```
/// use ndarray::array;
/// use wider_clip::metrics::negative_log_likelihood;
///
/// let found = negative_log_likelihood(array![[0.5, 0.5], [0.25, 0.75]].view(), &[0, 1])?;
/// assert!((found + (0.5f64.ln() + 0.75f64.ln()) / 2.0).abs() < 1e-15);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn negative_log_likelihood(probabilities: ArrayView2<f64>, truth: &[u32]) -> Result<f64> {
    check_probabilities(probabilities, truth)?;
    let of_truth = probabilities.rows().into_iter().zip(truth).map(|(row, &class)| -row[class as usize].ln());
    Ok(of_truth.sum::<f64>() / truth.len() as f64)
}

/// A bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReliabilityBin {
    /// Its lower edge, which it does not hold (the first holds 0).
    pub low: f64,
    /// Its upper edge, which it holds.
    pub high: f64,
    /// Images whose predicted class has a probability in it.
    pub n: usize,
    /// The mean of these probabilities; `None` in an empty bin.
    pub confidence: Option<f64>,
    /// The part of these images that is right; `None` in an empty bin.
    pub accuracy: Option<f64>,
}

/// The bins of [`super::expected_calibration_error`], for a reliability diagram.
///
/// # Errors
/// As there.
pub fn reliability(probabilities: ArrayView2<f64>, truth: &[u32], n_bins: usize) -> Result<Vec<ReliabilityBin>> {
    check_probabilities(probabilities, truth)?;
    if n_bins == 0 {
        return Err(Error::argument("bins", "at least 1", "0"));
    }
    let mut sums = vec![(0usize, 0f64, 0f64); n_bins];
    for (row, &truth) in probabilities.rows().into_iter().zip(truth) {
        let (class, probability) = top(row);
        let (n, confidence, right) = &mut sums[bin(probability, n_bins)];
        *n += 1;
        *confidence += probability;
        *right += f64::from(u8::from(class == truth as usize));
    }
    let edge = |bin: usize| bin as f64 / n_bins as f64;
    let bins = sums.into_iter().enumerate().map(|(i, (n, confidence, right))| ReliabilityBin {
        low: edge(i),
        high: edge(i + 1),
        n,
        confidence: (n > 0).then(|| confidence / n as f64),
        accuracy: (n > 0).then(|| right / n as f64),
    });
    Ok(bins.collect())
}

/// Where temperatures are looked for.
const TEMPERATURES: (f64, f64) = (1e-3, 1e3);

/// Probabilities at a temperature: softmax of `scores / temperature` per row, for scores (N, K) that are logits or the logarithms
/// of probabilities.
///
/// # Errors
/// A score that is not finite, a temperature that is not above 0.
pub fn tempered(scores: ArrayView2<f64>, temperature: f64) -> Result<Array2<f64>> {
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(Error::argument("temperature", "a number above 0", temperature.to_string()));
    }
    let mut found = scores.to_owned();
    for (image, mut row) in found.rows_mut().into_iter().enumerate() {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !row.iter().all(|score| score.is_finite()) {
            return Err(Error::argument("scores", "finite numbers", format!("another in row {image}")));
        }
        row.mapv_inplace(|score| ((score - largest) / temperature).exp());
        let sum = row.sum();
        row.mapv_inplace(|part| part / sum);
    }
    Ok(found)
}

/// The temperature that makes the negative log-likelihood of `scores` (N, K) smallest (Guo et al. 2017), from 0.001 to 1000;
/// `None` where it has no smallest value in there, as when all images are right and it falls for ever.
///
/// The loss is convex in 1 / T, so that a bisection of its slope finds the one minimum.
///
/// # Errors
/// No image, lists of different lengths, a score that is not finite, a class of K or more.
///
/// ```
/// use ndarray::array;
/// use wider_clip::metrics::fit_temperature;
///
/// // Sure of itself by e^4, right three times in four: e^(4 / T) = 3.
/// let scores = array![[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [4.0, 0.0]];
/// let temperature = fit_temperature(scores.view(), &[0, 0, 0, 1])?.unwrap();
/// assert!((temperature - 4.0 / 3f64.ln()).abs() < 1e-9);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn fit_temperature(scores: ArrayView2<f64>, truth: &[u32]) -> Result<Option<f64>> {
    check_scores(scores, truth)?;
    // Each row from its true class's score on, so that the slope is the mean of the others' under softmax.
    let mut from_truth = scores.to_owned();
    for (mut row, &class) in from_truth.axis_iter_mut(Axis(0)).zip(truth) {
        let own = row[class as usize];
        row.mapv_inplace(|score| score - own);
    }
    let slope = |inverse: f64| -> f64 {
        let of_row = |row: ndarray::ArrayView1<f64>| {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let (mut sum, mut weighted) = (0.0, 0.0);
            for &score in row {
                let part = (inverse * (score - largest)).exp();
                (sum, weighted) = (sum + part, weighted + part * score);
            }
            weighted / sum
        };
        from_truth.rows().into_iter().map(of_row).sum()
    };
    let (mut low, mut high) = (1.0 / TEMPERATURES.1, 1.0 / TEMPERATURES.0);
    if slope(low) >= 0.0 || slope(high) <= 0.0 {
        return Ok(None);
    }
    // On a logarithmic scale, to the last bit that matters.
    for _ in 0..200 {
        let middle = (low * high).sqrt();
        if middle <= low || middle >= high {
            break;
        }
        match slope(middle) < 0.0 {
            true => low = middle,
            false => high = middle,
        }
    }
    Ok(Some(1.0 / (low * high).sqrt()))
}
