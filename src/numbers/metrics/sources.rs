//! Where the spread of scores comes from: the data set, the model, the method, the images, the draw of labels.

use super::intervals::check_resamples;
use super::resamples::Estimate;
use crate::error::{Error, Result};
use crate::random::Random;
use ndarray::{Array2, ArrayView2, ArrayView3, Axis};

/// The shares of a spread, which add up to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VarianceShares {
    /// By which data set it is.
    pub set: f64,
    /// By which model.
    pub model: f64,
    /// By which method.
    pub method: f64,
    /// By none of them alone: what depends on two or three at once, and chance.
    pub rest: f64,
}

impl VarianceShares {
    /// From numbers (methods, sets, models), one for each of all combinations: the sums of squares of the three main effects, of
    /// the total. Accuracies go in stretched ([`super::Stretch::Logit`]), so that a point near 100% weighs as it should.
    ///
    /// # Errors
    /// [`Error::Argument`] for numbers that are not finite, or are all the same.
    pub fn of(numbers: ArrayView3<f64>) -> Result<VarianceShares> {
        if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
            return Err(Error::argument("numbers", "finite ones", number.to_string()));
        }
        let n = numbers.len() as f64;
        let mean = numbers.sum() / n;
        let total: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
        if total <= 0.0 || numbers.is_empty() {
            return Err(Error::argument("numbers", "some that differ", "all the same"));
        }
        let main = |axis: usize| {
            let slices = numbers.axis_iter(Axis(axis));
            let squares = slices.map(|slice| slice.len() as f64 * (slice.sum() / slice.len() as f64 - mean).powi(2));
            squares.sum::<f64>() / total
        };
        let (method, set, model) = (main(0), main(1), main(2));
        Ok(VarianceShares { set, model, method, rest: 1.0 - set - model - method })
    }
}

/// Resamples of both what was drawn to learn from and what was measured on: split seeds and families of images are drawn with
/// replacement, independently of each other (the pigeonhole bootstrap of Owen 2007, whose intervals are rather too wide than too
/// narrow). One draw for all that is measured on the same images, so that differences stay paired.
#[derive(Debug, Clone)]
pub struct TwoWay {
    /// Images of each seed's test in each family (seeds, families).
    counts: Array2<f64>,
    /// How often each family is drawn (resamples, families).
    families: Array2<f64>,
    /// How often each seed is drawn (resamples, seeds).
    seeds: Array2<f64>,
}

impl TwoWay {
    /// Of tests with so many images (seeds, families), 0 where a seed tests on none of a family.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than two seeds or families, a seed without images, or fewer than 40 resamples.
    pub fn new(counts: Array2<f64>, n_resamples: usize, seed: u64) -> Result<TwoWay> {
        let (n_seeds, n_families) = counts.dim();
        if n_seeds < 2 || n_families < 2 {
            let found = format!("{n_seeds} and {n_families}");
            return Err(Error::argument("seeds and families", "two or more of each", found));
        }
        if let Some(seed) = (0..n_seeds).find(|&seed| counts.row(seed).sum() <= 0.0) {
            return Err(Error::argument("counts", "an image for every seed", format!("none for seed {seed}")));
        }
        check_resamples(n_resamples)?;
        let mut random = Random::new("two-way bootstrap", seed, 0);
        let mut draw = |n: usize| {
            let mut times = Array2::zeros((n_resamples, n));
            for mut row in times.rows_mut() {
                (0..n).for_each(|_| row[random.below(n)] += 1.0);
            }
            times
        };
        let (families, seeds) = (draw(n_families), draw(n_seeds));
        Ok(TwoWay { counts, families, seeds })
    }

    /// The mean over seeds of the rate `sums` by counts, and the same of every resample. `sums` (seeds, families) are what a
    /// family's images add up to: right answers, or right answers of one model less those of another. A seed whose images no
    /// family drawn has is left out of a resample's mean; a resample without any is NaN.
    ///
    /// # Errors
    /// Sums of another shape than the counts.
    pub fn rates(&self, sums: ArrayView2<f64>) -> Result<(f64, Vec<f64>)> {
        if sums.dim() != self.counts.dim() {
            let (expected, found) = (format!("{:?}, as the counts", self.counts.dim()), format!("{:?}", sums.dim()));
            return Err(Error::argument("sums", expected, found));
        }
        let value = (&sums.sum_axis(Axis(1)) / &self.counts.sum_axis(Axis(1))).mean().unwrap_or(f64::NAN);
        let (sums, counts) = (self.families.dot(&sums.t()), self.families.dot(&self.counts.t()));
        let of = |(resample, times): (usize, ndarray::ArrayView1<f64>)| {
            let (mut total, mut drawn) = (0.0, 0.0);
            for (seed, times) in times.iter().enumerate().filter(|(seed, _)| counts[[resample, *seed]] > 0.0) {
                total += times * sums[[resample, seed]] / counts[[resample, seed]];
                drawn += times;
            }
            total / drawn
        };
        Ok((value, self.seeds.rows().into_iter().enumerate().map(of).collect()))
    }

    /// [`TwoWay::rates`] with their interval.
    ///
    /// # Errors
    /// As there.
    ///
    /// ```
    /// use wider_clip::metrics::TwoWay;
    /// use wider_clip::ndarray::array;
    ///
    /// // Two seeds, three families of two images each; the second seed tests on two of them.
    /// let resamples = TwoWay::new(array![[2.0, 2.0, 2.0], [2.0, 2.0, 0.0]], 400, 0)?;
    /// let found = resamples.estimate(array![[2.0, 1.0, 0.0], [2.0, 0.0, 0.0]].view())?;
    /// assert_eq!(found.value, 0.5);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn estimate(&self, sums: ArrayView2<f64>) -> Result<Estimate> {
        let (value, resampled) = self.rates(sums)?;
        Ok(Estimate::of(value, resampled.into_iter().filter(|rate| rate.is_finite()).collect()))
    }
}
