//! Several tests at once.

use crate::error::{Error, Result};

/// Holm's adjusted p-values (Holm 1979), in the order of `p_values`: one below a level alpha stands however many were tested,
/// with a probability of at most alpha that any of those that stand is false. As R's `p.adjust(method = "holm")`.
///
/// # Errors
/// [`Error::Argument`] for a p-value outside 0 to 1.
///
/// ```
/// use wider_clip::metrics::holm;
///
/// // Smallest first: 3 x 0.01, 2 x 0.03, and never below the one before.
/// let adjusted = holm(&[0.04, 0.01, 0.03])?;
/// for (found, expected) in adjusted.iter().zip([0.06, 0.03, 0.06]) {
///     assert!((found - expected).abs() < 1e-12);
/// }
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn holm(p_values: &[f64]) -> Result<Vec<f64>> {
    // Written so that NaN fails.
    if let Some(p) = p_values.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(Error::argument("p-values", "numbers from 0 to 1", p.to_string()));
    }
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least = 0f64;
    for (i, &at) in order.iter().enumerate() {
        least = least.max((p_values.len() - i) as f64 * p_values[at]).min(1.0);
        adjusted[at] = least;
    }
    Ok(adjusted)
}
