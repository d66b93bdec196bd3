//! One draw of resamples for all that is measured on the same units, so that differences between any two stay paired.

use super::intervals::{quantile, two_sided};
use crate::error::{Error, Result};
use crate::products::{Threads, multiply};
use crate::random::Random;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Resamples drawn side by side: as many times as units take 16 MB at 65,536 units.
const TOGETHER: usize = 64;

/// Resamples with replacement of units (images, or what a split keeps together). Each has a stream of random numbers of its own,
/// so that nothing depends on how many are drawn side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resamples {
    units: usize,
    n: usize,
    seed: u64,
}

impl Resamples {
    /// `n` resamples of `units` units each.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than 40 resamples, no unit, or 2^24 units and more, whose counts f32 does not hold.
    pub fn new(units: usize, n: usize, seed: u64) -> Result<Resamples> {
        if n < 40 {
            return Err(Error::argument("resamples", "at least 40", n.to_string()));
        }
        if units == 0 || units >= 1 << 24 {
            return Err(Error::argument("units", "from 1 to 16,777,215", units.to_string()));
        }
        Ok(Resamples { units, n, seed })
    }

    /// For each resample (rows) the sums over its units of counts `per_unit` (units, A), exact while they stay below 2^24.
    ///
    /// # Errors
    /// Another number of units.
    pub fn sums(&self, per_unit: ArrayView2<f32>) -> Result<Array2<f32>> {
        if per_unit.nrows() != self.units {
            return Err(Error::argument("units", self.units.to_string(), per_unit.nrows().to_string()));
        }
        let mut sums = Array2::zeros((self.n, per_unit.ncols()));
        sums.axis_chunks_iter_mut(Axis(0), TOGETHER).into_par_iter().enumerate().for_each(|(chunk, sums)| {
            let mut times = Array2::<f32>::zeros((sums.nrows(), self.units));
            for (i, mut row) in times.rows_mut().into_iter().enumerate() {
                let mut random = Random::new("resamples of units", self.seed, (chunk * TOGETHER + i) as u64);
                (0..self.units).for_each(|_| row[random.below(self.units)] += 1.0);
            }
            multiply(Threads::One, times.view(), per_unit, sums);
        });
        Ok(sums)
    }
}

/// A number with the 95% percentile interval of its resamples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Lower and upper end; `None` where resamples are all alike (a single unit) or some of them have no such number.
    pub interval: Option<(f64, f64)>,
    /// Twice the smaller part of the resamples on either side of 0, at least 2 in `resamples + 1`; `None` as the interval.
    pub p_value: Option<f64>,
}

impl Estimate {
    /// From the number itself and the numbers of the resamples.
    pub fn of(value: f64, mut resampled: Vec<f64>) -> Estimate {
        resampled.sort_unstable_by(f64::total_cmp);
        let told = resampled.iter().all(|number| number.is_finite()) && resampled.first() < resampled.last();
        Estimate {
            value,
            interval: told.then(|| (quantile(&resampled, 0.025), quantile(&resampled, 0.975))),
            p_value: told.then(|| two_sided(&resampled)),
        }
    }
}
