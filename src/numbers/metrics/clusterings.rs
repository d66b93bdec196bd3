//! How far two partitions of the same images agree.

use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Images in each pair of clusters, in each cluster of the first partition, and in each of the second.
struct Counts {
    pairs: Vec<(f64, f64, f64)>,
    a: Vec<f64>,
    b: Vec<f64>,
    n: f64,
}

impl Counts {
    fn new(a: &[u32], b: &[u32]) -> Result<Counts> {
        if a.is_empty() {
            return Err(Error::argument("clusters", "at least one image", "none"));
        }
        if a.len() != b.len() {
            return Err(Error::argument("second clusters", format!("{}, one an image", a.len()), b.len().to_string()));
        }
        let (mut of_pairs, mut of_a, mut of_b) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (&a, &b) in a.iter().zip(b) {
            *of_pairs.entry((a, b)).or_insert(0u64) += 1;
            *of_a.entry(a).or_insert(0u64) += 1;
            *of_b.entry(b).or_insert(0u64) += 1;
        }
        let pairs = of_pairs.iter().map(|((a, b), &n)| (n as f64, of_a[a] as f64, of_b[b] as f64)).collect();
        let sizes = |of: BTreeMap<u32, u64>| of.into_values().map(|n| n as f64).collect::<Vec<f64>>();
        Ok(Counts { pairs, n: a.len() as f64, a: sizes(of_a), b: sizes(of_b) })
    }
}

/// The adjusted Rand index (Hubert and Arabie 1985): 1 for the same partition under any names, 0 expected for random
/// ones, negative (to -0.5) below that. scikit-learn's `adjusted_rand_score`; two partitions into one cluster each, or
/// into single images each, are the same partition and give 1.
///
/// # Errors
/// No image, or lists of different lengths.
///
/// ```
/// use wider_clip::metrics::adjusted_rand;
///
/// assert_eq!(adjusted_rand(&[0, 0, 1, 1], &[7, 7, 3, 3])?, 1.0);
/// assert_eq!(adjusted_rand(&[0, 0, 1, 1], &[0, 1, 0, 1])?, -0.5);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn adjusted_rand(a: &[u32], b: &[u32]) -> Result<f64> {
    let counts = Counts::new(a, b)?;
    // Ordered pairs of images that are together in both, in one alone, and in neither.
    let squares = |sizes: &[f64]| sizes.iter().map(|n| n * n).sum::<f64>();
    let both_squares: f64 = counts.pairs.iter().map(|(n, ..)| n * n).sum();
    let together = both_squares - counts.n;
    let only_a = squares(&counts.a) - both_squares;
    let only_b = squares(&counts.b) - both_squares;
    let neither = counts.n * counts.n - only_a - only_b - both_squares;
    if only_a == 0.0 && only_b == 0.0 {
        return Ok(1.0);
    }
    let chance = (together + only_a) * (only_a + neither) + (together + only_b) * (only_b + neither);
    Ok(2.0 * (together * neither - only_a * only_b) / chance)
}

/// Mutual information over the mean of the two entropies: 1 for the same partition, 0 for independent ones; unlike
/// [`adjusted_rand`] it grows with the number of clusters even by chance. scikit-learn's
/// `normalized_mutual_info_score`; two partitions into one cluster each give 1, one of them alone 0.
///
/// # Errors
/// No image, or lists of different lengths.
///
/// ```
/// use wider_clip::metrics::normalised_mutual_information;
///
/// assert!((normalised_mutual_information(&[0, 0, 1, 1], &[5, 5, 2, 2])? - 1.0).abs() < 1e-12);
/// assert!(normalised_mutual_information(&[0, 0, 1, 1], &[0, 1, 0, 1])?.abs() < 1e-12);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn normalised_mutual_information(a: &[u32], b: &[u32]) -> Result<f64> {
    let counts = Counts::new(a, b)?;
    let entropy = |sizes: &[f64]| -sizes.iter().map(|n| n / counts.n * (n / counts.n).ln()).sum::<f64>();
    let (of_a, of_b) = (entropy(&counts.a), entropy(&counts.b));
    match (counts.a.len(), counts.b.len()) {
        (1, 1) => return Ok(1.0),
        (1, _) | (_, 1) => return Ok(0.0),
        _ => {}
    }
    let information: f64 =
        counts.pairs.iter().map(|(n, a, b)| n / counts.n * (n.ln() + counts.n.ln() - a.ln() - b.ln())).sum();
    Ok(information.max(0.0) / (0.5 * (of_a + of_b)))
}
