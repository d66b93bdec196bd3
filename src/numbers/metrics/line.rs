//! Accuracy on the line: how accuracy out of distribution follows from accuracy in distribution, and what lies beside it.
//!
//! Over many models the two lie on a line once both are stretched towards 0 and 1 by the probit (Recht et al. 2019; Miller et
//! al. 2021) or the logit. What a model has above the line is its *effective robustness* (Taori et al. 2020): accuracy that its
//! accuracy in distribution does not explain.

use crate::error::{Error, Result};
use statrs::distribution::{ContinuousCDF, Normal};

/// How accuracies are stretched before a line is laid through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stretch {
    /// The quantile of the normal distribution.
    Probit,
    /// `ln(p / (1 - p))`.
    Logit,
}

impl Stretch {
    /// Its name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Stretch::Probit => "probit",
            Stretch::Logit => "logit",
        }
    }

    /// The stretched accuracy; `None` for 0, 1 and what is no accuracy.
    ///
    /// ```
    /// use wider_clip::metrics::Stretch;
    ///
    /// assert_eq!(Stretch::Logit.of(0.5), Some(0.0));
    /// assert!((Stretch::Probit.of(0.975).unwrap() - 1.959963984540054).abs() < 1e-9);
    /// assert_eq!(Stretch::Probit.of(1.0), None);
    /// ```
    pub fn of(self, accuracy: f64) -> Option<f64> {
        // Written so that NaN fails.
        if !(accuracy > 0.0 && accuracy < 1.0) {
            return None;
        }
        Some(match self {
            Stretch::Probit => Normal::standard().inverse_cdf(accuracy),
            Stretch::Logit => (accuracy / (1.0 - accuracy)).ln(),
        })
    }

    /// The accuracy that is stretched to `value`.
    pub fn back(self, value: f64) -> f64 {
        match self {
            Stretch::Probit => Normal::standard().cdf(value),
            Stretch::Logit => 1.0 / (1.0 + (-value).exp()),
        }
    }
}

/// A line through stretched accuracies, by least squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftLine {
    /// How both accuracies are stretched.
    pub stretch: Stretch,
    /// Rise per unit of stretched accuracy in distribution.
    pub slope: f64,
    /// Stretched accuracy out of distribution where that in distribution is a half.
    pub intercept: f64,
    /// The part of the variance out of distribution that the line explains; `None` where there is none to explain.
    pub r2: Option<f64>,
    /// Points that it was laid through.
    pub n: usize,
}

impl DriftLine {
    /// Lays the line through points of accuracy in and out of distribution, as fractions.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than three points, an accuracy that is not between 0 and 1 (both excluded: neither has
    /// a place on the axis), or accuracies in distribution that are all the same.
    ///
    /// ```
    /// use wider_clip::metrics::{DriftLine, Stretch};
    ///
    /// // Half the odds, wherever a model stands.
    /// let points = [(0.5, 1.0 / 3.0), (0.8, 2.0 / 3.0), (0.9, 9.0 / 11.0)];
    /// let line = DriftLine::fit(&points, Stretch::Logit)?;
    /// assert!((line.slope - 1.0).abs() < 1e-12 && (line.intercept - 0.5f64.ln()).abs() < 1e-12);
    /// assert!((line.at(0.8).unwrap() - 2.0 / 3.0).abs() < 1e-12);
    /// assert!((line.effective_robustness(0.8, 0.7).unwrap() - (0.7 - 2.0 / 3.0)).abs() < 1e-12);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn fit(points: &[(f64, f64)], stretch: Stretch) -> Result<DriftLine> {
        let place = |accuracy: f64| {
            let found = || accuracy.to_string();
            stretch.of(accuracy).ok_or_else(|| Error::argument("accuracy", "above 0 and below 1", found()))
        };
        let placed = points.iter().map(|&(id, ood)| Ok((place(id)?, place(ood)?))).collect::<Result<Vec<_>>>()?;
        if placed.len() < 3 {
            return Err(Error::argument(
                "points",
                "at least three, to see whether they lie on a line",
                placed.len().to_string(),
            ));
        }
        let n = placed.len() as f64;
        let (mean_x, mean_y) =
            (placed.iter().map(|point| point.0).sum::<f64>() / n, placed.iter().map(|point| point.1).sum::<f64>() / n);
        let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
        for (x, y) in &placed {
            let (x, y) = (x - mean_x, y - mean_y);
            (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
        }
        // Equal accuracies differ by rounding at most once stretched.
        if xx <= f64::EPSILON * n * mean_x.abs().max(1.0) {
            return Err(Error::argument(
                "accuracies in distribution",
                "some that differ",
                format!("{} equal ones", placed.len()),
            ));
        }
        let slope = xy / xx;
        let r2 = (yy > 0.0).then(|| (xy * xy) / (xx * yy));
        Ok(DriftLine { stretch, slope, intercept: mean_y - slope * mean_x, r2, n: placed.len() })
    }

    /// The accuracy out of distribution that an accuracy in distribution leads one to expect; `None` for 0 and 1.
    pub fn at(&self, id: f64) -> Option<f64> {
        Some(self.stretch.back(self.slope * self.stretch.of(id)? + self.intercept))
    }

    /// Accuracy out of distribution above what the line expects, as a fraction; `None` where `id` is 0 or 1.
    pub fn effective_robustness(&self, id: f64, ood: f64) -> Option<f64> {
        Some(ood - self.at(id)?)
    }
}

/// Accuracy above chance, as a part of what is above chance: 0 for guessing among `classes` equally frequent ones, 1 for all
/// right; `None` for fewer than two classes.
///
/// ```
/// assert_eq!(wider_clip::metrics::above_chance(0.75, 2), Some(0.5));
/// ```
pub fn above_chance(accuracy: f64, classes: usize) -> Option<f64> {
    let chance = 1.0 / classes as f64;
    (classes > 1).then(|| (accuracy - chance) / (1.0 - chance))
}
