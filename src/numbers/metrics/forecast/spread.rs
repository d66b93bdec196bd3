//! What repeats tell of a forecast: fits to resamples of them, and a spread that few repeats do not make up alone.

use super::forms::{LogitLine, PowerLaw};
use crate::error::{Error, Result};
use crate::random::Random;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Variance of one repeat's fitted curve at the largest measured size, as a part of that of one repeat's accuracy
/// there by its test images alone; and what each doubling beyond, squared, adds. Medians on the curves of
/// `tests/forecast_coverage.rs`.
pub(super) const LEVEL: f64 = 0.75;
pub(super) const PER_DOUBLING: f64 = 0.5;

/// Both forms through the same points.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fits {
    pub power: PowerLaw,
    pub logit: LogitLine,
}

impl Fits {
    /// Through the means of the repeats in `drawn`; `repeats` holds one list per size. Log-odds are of accuracies at least
    /// `least` from 0 and 1.
    pub fn of(sizes: &[f64], repeats: &[&[f64]], drawn: &[usize], least: f64) -> Fits {
        let mean = |of: &&[f64]| drawn.iter().map(|&repeat| of[repeat]).sum::<f64>() / drawn.len() as f64;
        let means: Vec<f64> = repeats.iter().map(mean).collect();
        let inner: Vec<f64> = means.iter().map(|mean| mean.clamp(least, 1.0 - least)).collect();
        let largest = sizes[sizes.len() - 1];
        let weights: Vec<f64> = sizes.iter().map(|size| size / largest).collect();
        let (power, logit) = (PowerLaw::fitted(sizes, &means, &weights), LogitLine::fitted(sizes, &inner, &weights));
        Fits { power, logit }
    }

    /// Through resamples of the repeats; none of a single one.
    pub fn resampled(sizes: &[f64], repeats: &[&[f64]], least: f64, n: usize, seed: u64) -> Vec<Fits> {
        let n_repeats = repeats[0].len();
        if n_repeats == 1 {
            return Vec::new();
        }
        let mut random = Random::new("learning curve", seed, 0);
        let mut fit = || {
            let drawn: Vec<usize> = (0..n_repeats).map(|_| random.below(n_repeats)).collect();
            Fits::of(sizes, repeats, &drawn, least)
        };
        (0..n).map(|_| fit()).collect()
    }

    /// What each form says. A power law that is steep has no bottom; an accuracy has.
    pub fn both(&self, size: f64) -> (f64, f64) {
        (self.power.at(size).max(0.0), self.logit.at(size))
    }

    /// The mean of both forms.
    pub fn mean(&self, size: f64) -> f64 {
        let (power, logit) = self.both(size);
        0.5 * (power + logit)
    }

    /// What the line of log-odds says above the power law.
    pub fn apart(&self, size: f64) -> f64 {
        let (power, logit) = self.both(size);
        logit - power
    }
}

/// The mean over sizes of the variance between repeats; 0 for one repeat.
pub(super) fn within(repeats: &[&[f64]]) -> f64 {
    let variance = |of: &&[f64]| {
        let n = of.len() as f64;
        let mean = of.iter().sum::<f64>() / n;
        of.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0)
    };
    repeats.iter().map(variance).sum::<f64>() / repeats.len() as f64
}

/// A variance of repeats, averaged with one expected: Smyth 2004, "Linear models and empirical Bayes methods".
#[derive(Debug, Clone, Copy)]
pub(super) struct Moderated {
    repeats: f64,
    prior: f64,
    /// The 97.5% point of Student's t.
    quantile: f64,
}

impl Moderated {
    pub fn new(repeats: usize, prior: f64) -> Result<Moderated> {
        let repeats = repeats as f64;
        let distribution = StudentsT::new(0.0, 1.0, prior + repeats - 1.0)
            .map_err(|error| Error::argument("repeats", "enough for a t distribution", error.to_string()))?;
        Ok(Moderated { repeats, prior, quantile: distribution.inverse_cdf(0.975) })
    }

    fn variance(&self, measured: f64, expected: f64) -> f64 {
        let degrees = self.repeats - 1.0;
        (self.prior * expected + degrees * measured) / (self.prior + degrees)
    }

    /// Half-width of a mean over repeats: from its values in resamples, and the variance expected of one repeat.
    pub fn half_width(&self, resampled: &[f64], expected: f64) -> f64 {
        let n = resampled.len().max(1) as f64;
        let mean = resampled.iter().sum::<f64>() / n;
        let variance = resampled.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n;
        // A resample has the variance of its list, which is (n - 1) / n of the sample's.
        let measured = variance * self.repeats / (self.repeats - 1.0).max(1.0);
        self.quantile * self.variance(measured, expected / self.repeats).sqrt()
    }

    /// Half-width of one repeat, from the variance between them and the one expected.
    pub fn of_one(&self, measured: f64, expected: f64) -> f64 {
        self.quantile * self.variance(measured, expected).sqrt()
    }
}
