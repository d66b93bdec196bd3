//! How many images a wanted accuracy takes.

use super::CurveForecast;
use crate::error::{Error, Result};

/// How many times the largest measured size is looked at: six doublings. Two were held against measurements.
const FARTHEST: f64 = 64.0;

/// Sizes looked at in a doubling, before the place between two of them is found.
const STEPS: f64 = 4.0;

/// Training images (in the unit of the measured sizes) that a wanted accuracy takes; `None` for what is not reached up
/// to 64 times the largest measured size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelsFor {
    /// Where the forecast reaches the accuracy; the smallest measured size where it is reached there already.
    pub size: Option<f64>,
    /// Where the upper end of the 95% interval reaches it: with fewer it is not to be expected.
    pub low: Option<f64>,
    /// Where the lower end reaches it. It falls again far out, where little is known, and often reaches nothing.
    pub high: Option<f64>,
}

impl CurveForecast {
    /// How many training images the accuracy `target` takes, with the sizes between which the truth lies in 95 of 100
    /// cases.
    ///
    /// # Errors
    /// [`Error::Argument`] for a target that is not above 0 and at most 1.
    ///
    /// ```
    /// use wider_clip::metrics::{CurveForecast, LabelsFor, Measured, TestImages};
    ///
    /// let measured = |size, accuracies: [f64; 3]| Measured { size, accuracies: accuracies.to_vec() };
    /// let (a, b, c) = ([0.49, 0.5, 0.51], [0.55, 0.57, 0.56], [0.61; 3]);
    /// let points = [measured(50.0, a), measured(100.0, b), measured(200.0, c)];
    /// let forecast = CurveForecast::new(&points, TestImages { each: 400, distinct: 1000 }, 0)?;
    /// let labels = forecast.labels_for(0.65)?;
    /// assert!(labels.size.unwrap() > 300.0 && labels.size.unwrap() < 500.0 && labels.low.unwrap() > 180.0);
    /// // Not to be expected, whatever happens; and by the upper end alone.
    /// assert_eq!(forecast.labels_for(1.0)?, LabelsFor { size: None, low: None, high: None });
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn labels_for(&self, target: f64) -> Result<LabelsFor> {
        // Written so that NaN fails.
        if !(target > 0.0 && target <= 1.0) {
            return Err(Error::argument("target", "an accuracy above 0 and at most 1", target.to_string()));
        }
        Ok(LabelsFor {
            size: self.first(|size| self.mean(size) >= target),
            low: self.first(|size| self.forecast(size).high >= target),
            high: self.first(|size| self.forecast(size).low >= target),
        })
    }

    /// The smallest size from the smallest measured one on of which something holds.
    fn first(&self, holds: impl Fn(f64) -> bool) -> Option<f64> {
        let (smallest, largest) = self.measured();
        if holds(smallest) {
            return Some(smallest);
        }
        let end = (largest * FARTHEST).ln();
        let (mut low, mut high) = (smallest.ln(), smallest.ln());
        while !holds(high.exp()) {
            if high >= end {
                return None;
            }
            (low, high) = (high, (high + std::f64::consts::LN_2 / STEPS).min(end));
        }
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            match holds(middle.exp()) {
                true => high = middle,
                false => low = middle,
            }
        }
        Some(high.exp())
    }
}
