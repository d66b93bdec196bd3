//! Scores of every image by a probe that did not see it, for what needs more than the class.

use super::folds::Folds;
use super::probe::{Probe, best};
use super::{Arm, Compared};
use crate::error::Result;
use crate::metrics::{fit_temperature, tempered};
use ndarray::{Array2, Axis};

/// What a probe says of images that it did not see.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// Scores `(N, K)`, whose softmax are probabilities before calibration.
    pub scores: Array2<f64>,
    /// The temperature that calibrates them, fitted on the measured images; 1 where none is best.
    pub temperature: f64,
    /// Calibrated probabilities `(N, K)`.
    pub probabilities: Array2<f64>,
    /// The likeliest class of each image.
    pub said: Vec<u32>,
}

impl Compared {
    /// Of an arm, under the folds of the first seed.
    ///
    /// # Errors
    /// What the probe says.
    pub fn held_out(&self, arm: &Arm) -> Result<HeldOut> {
        let (features, folds) = (self.features(&arm.model)?, &self.folds[0]);
        let parts = Folds::new(folds).each(features.len(), |_, others, held| {
            let labels = others.iter().map(|&at| self.labels[at]).collect();
            let probe = Probe::fit(arm.method, features.select(Axis(0), others), labels, self.n_classes)?;
            Ok((held.to_vec(), probe.scores(features.select(Axis(0), held).view())?))
        })?;
        let mut scores = Array2::zeros((folds.len(), self.n_classes));
        for (held, part) in &parts {
            held.iter().zip(part.axis_iter(Axis(0))).for_each(|(&at, row)| scores.row_mut(at).assign(&row));
        }
        let judged: Vec<usize> = (0..folds.len()).filter(|&at| self.measured[at]).collect();
        let truth: Vec<u32> = judged.iter().map(|&at| self.labels[at]).collect();
        let temperature = fit_temperature(scores.select(Axis(0), &judged).view(), &truth)?.unwrap_or(1.0);
        let probabilities = tempered(scores.view(), temperature)?;
        let said = best(&scores);
        Ok(HeldOut { scores, temperature, probabilities, said })
    }
}
