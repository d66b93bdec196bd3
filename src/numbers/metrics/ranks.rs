//! Whether two lists put the same things in the same order.

use crate::error::{Error, Result};

/// Spearman's rank correlation of two lists of scores of the same things: 1 in the same order, -1 in reverse, equal
/// scores share their mean rank. scipy's `spearmanr`; `None` where all scores of a list are equal, which orders nothing.
///
/// # Errors
/// [`Error::Argument`] for fewer than two scores, lists of different lengths, or scores that are not finite.
///
/// ```
/// use wider_clip::metrics::spearman;
///
/// // Ranks 1 2 3 4 and 1 3 2 4: 1 - 6 (1 + 1) / (4 x 15).
/// let found = spearman(&[0.1, 0.2, 0.3, 0.4], &[5.0, 7.0, 6.0, 9.0])?;
/// assert!((found.unwrap() - 0.8).abs() < 1e-12);
/// assert_eq!(spearman(&[1.0, 2.0], &[3.0, 3.0])?, None);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn spearman(a: &[f64], b: &[f64]) -> Result<Option<f64>> {
    if a.len() < 2 {
        return Err(Error::argument("scores", "two or more", a.len().to_string()));
    }
    if a.len() != b.len() {
        return Err(Error::argument("second scores", format!("{}, as the first", a.len()), b.len().to_string()));
    }
    if let Some(value) = a.iter().chain(b).find(|value| !value.is_finite()) {
        return Err(Error::argument("scores", "finite numbers", value.to_string()));
    }
    let (a, b) = (ranks(a), ranks(b));
    // Ranks of any list have this mean.
    let mean = (a.len() + 1) as f64 / 2.0;
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    let (of_a, of_b) = (product(&a, &a), product(&b, &b));
    Ok((of_a > 0.0 && of_b > 0.0).then(|| product(&a, &b) / (of_a * of_b).sqrt()))
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    for equal in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let below = order.iter().filter(|&&i| values[i] < values[equal[0]]).count();
        for &i in equal {
            ranks[i] = below as f64 + (equal.len() + 1) as f64 / 2.0;
        }
    }
    ranks
}
