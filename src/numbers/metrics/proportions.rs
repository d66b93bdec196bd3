//! What a fraction of right answers can say when the answers themselves are not known: intervals, and how far two models that saw
//! the same images can be told apart from their accuracies alone.

use super::intervals::Z;
use crate::error::{Error, Result};
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal};

/// Wilson's (1927) 95% interval of a fraction `rate` of `n` answers, within 0 and 1. `n` need not be whole: answers of which
/// several count as one are fewer.
///
/// # Errors
/// [`Error::Argument`] for a rate outside 0 to 1, or no answer.
///
/// ```
/// let (low, high) = wider_clip::metrics::wilson(0.5, 100.0)?;
/// assert!((low - 0.4038).abs() < 1e-4 && (high - 0.5962).abs() < 1e-4);
/// assert_eq!(wider_clip::metrics::wilson(1.0, 4.0)?.1, 1.0);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn wilson(rate: f64, n: f64) -> Result<(f64, f64)> {
    check(rate, n)?;
    let (z2, centre) = (Z * Z, rate + Z * Z / (2.0 * n));
    let half = Z * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    // An end on 0 or 1 is there exactly; rounding would leave it a hair beside.
    let low = if rate == 0.0 { 0.0 } else { (centre - half) / (1.0 + z2 / n) };
    let high = if rate == 1.0 { 1.0 } else { (centre + half) / (1.0 + z2 / n) };
    Ok((low, high))
}

/// McNemar's exact test of two models on the same images (McNemar 1947): `only_a` images that a alone has right, `only_b` that b
/// alone has. Two-sided; 1 where they never differ. scipy's `binomtest(min, only_a + only_b)`.
///
/// ```
/// // Of ten images on which they differ, a has nine: 2 x (1 + 10) / 2^10.
/// assert!((wider_clip::metrics::mcnemar(9, 1) - 22.0 / 1024.0).abs() < 1e-12);
/// assert_eq!(wider_clip::metrics::mcnemar(0, 0), 1.0);
/// ```
pub fn mcnemar(only_a: u64, only_b: u64) -> f64 {
    let (fewer, n) = (only_a.min(only_b), only_a + only_b);
    match (fewer, Binomial::new(0.5, n)) {
        // As a power: what the distribution gives there loses digits. Of none it is 2.
        (0, _) => 2.0 * 0.5f64.powf(n as f64),
        (_, Ok(binomial)) => 2.0 * binomial.cdf(fewer),
        (_, Err(_)) => 1.0,
    }
    .min(1.0)
}

/// Two proportions of independent answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proportions {
    /// The first minus the second.
    pub difference: f64,
    /// Standard error, each with its own variance.
    pub error: f64,
}

impl Proportions {
    /// Of rates `a` among `n_a` answers and `b` among `n_b`.
    ///
    /// # Errors
    /// As [`wilson`].
    pub fn new((a, n_a): (f64, f64), (b, n_b): (f64, f64)) -> Result<Proportions> {
        check(a, n_a)?;
        check(b, n_b)?;
        Ok(Proportions { difference: a - b, error: (a * (1.0 - a) / n_a + b * (1.0 - b) / n_b).sqrt() })
    }

    /// Half of the 95% interval.
    pub fn half_width(&self) -> f64 {
        Z * self.error
    }

    /// Whether the interval is all on one side of 0: 1 above, -1 below, 0 where it is not.
    pub fn side(&self) -> i8 {
        match self.difference {
            above if above > self.half_width() => 1,
            below if below < -self.half_width() => -1,
            _ => 0,
        }
    }

    /// Two-sided p-value; 1 where both are the same.
    pub fn p_value(&self) -> f64 {
        two_sided(self.difference, self.error * self.error)
    }
}

/// How surely two models differ that answered the same images, by their accuracies alone: p-values from the kindest case to the
/// hardest. Which case holds, only the answers say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SameImages {
    /// What one has right, the better one has right too: McNemar's test with nothing on the other side. No case is kinder.
    pub nested: f64,
    /// Right answers correlated by a half, or by as much as the accuracies allow.
    pub correlated: f64,
    /// Right answers independent of each other.
    pub independent: f64,
    /// Each right where the other is wrong, as far as the accuracies allow. No case is harder.
    pub opposed: f64,
}

impl SameImages {
    /// Of accuracies `a` and `b` on `n` images.
    ///
    /// # Errors
    /// As [`wilson`].
    ///
    /// ```
    /// use wider_clip::metrics::SameImages;
    ///
    /// // Ten images more of a thousand: clear if nested (2 / 2^10), unclear if independent.
    /// let p = SameImages::new(0.51, 0.50, 1000)?;
    /// assert!((p.nested - 2.0 / 1024.0).abs() < 1e-12 && p.independent > 0.6);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn new(a: f64, b: f64, n: usize) -> Result<SameImages> {
        let images = n as f64;
        check(a, images)?;
        check(b, images)?;
        let apart = (a - b).abs();
        let (of_a, of_b) = (a * (1.0 - a), b * (1.0 - b));
        // The variance of the difference per image is that of being -1, 0 or 1: as many images differ at least as the accuracies are
        // apart, and at most as both can be right, or wrong, alone.
        let most = (a + b).min(2.0 - a - b);
        let together = (of_a + of_b - (apart - apart * apart)) / 2.0;
        let half = (0.5 * (of_a * of_b).sqrt()).min(together);
        let p = |variance: f64| two_sided(a - b, variance / images);
        Ok(SameImages {
            nested: mcnemar((apart * images).round() as u64, 0),
            correlated: p((of_a + of_b - 2.0 * half).max(LEAST)),
            independent: p(of_a + of_b),
            opposed: p((most - apart * apart).max(LEAST)),
        })
    }
}

/// A variance below this is rounding.
const LEAST: f64 = 1e-12;

fn two_sided(difference: f64, variance: f64) -> f64 {
    match variance > 0.0 {
        true => 2.0 * Normal::standard().sf(difference.abs() / variance.sqrt()),
        false if difference == 0.0 => 1.0,
        false => 0.0,
    }
}

fn check(rate: f64, n: f64) -> Result<()> {
    // Written so that NaN fails.
    if !(0.0..=1.0).contains(&rate) {
        return Err(Error::argument("rate", "a fraction from 0 to 1", rate.to_string()));
    }
    if !(n > 0.0) {
        return Err(Error::argument("answers", "more than none", n.to_string()));
    }
    Ok(())
}
