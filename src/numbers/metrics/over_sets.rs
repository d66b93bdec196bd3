//! What is true over data sets: few of them, so that every resample is counted, and nothing depends on a draw.

use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// The largest number of data sets whose resamples are all counted: 92,378 kinds of them.
const MOST_SETS: usize = 10;

/// Numbers that differ by less are the same number.
const SAME: f64 = 1e-12;

/// All resamples with replacement of a few data sets (Efron 1979), each kind once with its probability.
#[derive(Debug, Clone)]
pub struct SetResamples {
    /// How often each data set is drawn (kinds, sets).
    times: Array2<f64>,
    /// The probability of each kind.
    weights: Vec<f64>,
}

impl SetResamples {
    /// Of `sets` data sets.
    ///
    /// # Errors
    /// [`Error::Argument`] for none, or more than 10.
    ///
    /// ```
    /// use wider_clip::metrics::SetResamples;
    ///
    /// // Of two sets: the first twice, the second twice (each one in four), or both.
    /// let resamples = SetResamples::new(2)?;
    /// assert_eq!(resamples.interval(&[0.0, 1.0])?, (0.0, 1.0));
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn new(sets: usize) -> Result<SetResamples> {
        if sets == 0 || sets > MOST_SETS {
            return Err(Error::argument("data sets", format!("from 1 to {MOST_SETS}"), sets.to_string()));
        }
        let factorial = |n: usize| (1..=n).map(|i| i as f64).product::<f64>();
        let mut kinds: Vec<Vec<usize>> = Vec::new();
        share_out(sets, sets, &mut Vec::new(), &mut kinds);
        let weight = |times: &Vec<usize>| {
            let orders = factorial(sets) / times.iter().map(|&times| factorial(times)).product::<f64>();
            orders / (sets as f64).powi(sets as i32)
        };
        let weights = kinds.iter().map(weight).collect();
        let times = Array2::from_shape_fn((kinds.len(), sets), |(kind, set)| kinds[kind][set] as f64);
        Ok(SetResamples { times, weights })
    }

    /// Means of each row of numbers (things, sets) over every resample: (things, kinds).
    fn means(&self, numbers: ArrayView2<f64>) -> Result<Array2<f64>> {
        let sets = self.times.ncols();
        if numbers.ncols() != sets {
            return Err(Error::argument("numbers", format!("one per data set, {sets}"), numbers.ncols().to_string()));
        }
        Ok(numbers.dot(&self.times.t()) / sets as f64)
    }

    /// The 95% percentile interval of the mean of one number per data set.
    ///
    /// # Errors
    /// Another count of numbers.
    pub fn interval(&self, numbers: &[f64]) -> Result<(f64, f64)> {
        let means = self.means(ArrayView1::from(numbers).insert_axis(Axis(0)))?;
        let means = means.row(0);
        Ok((self.quantile(means, 0.025), self.quantile(means, 0.975)))
    }

    /// The smallest number that at least this part of the resamples does not exceed.
    fn quantile(&self, numbers: ArrayView1<f64>, part: f64) -> f64 {
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
        let mut below = 0.0;
        for &kind in &order {
            below += self.weights[kind];
            if below >= part - SAME {
                return numbers[kind];
            }
        }
        order.last().map_or(f64::NAN, |&kind| numbers[kind])
    }

    /// The probability of what holds in a resample.
    fn share(&self, holds: impl Fn(usize) -> bool) -> f64 {
        // Not `sum`: that of nothing is -0.
        self.weights.iter().enumerate().filter(|(kind, _)| holds(*kind)).fold(0.0, |sum, (_, weight)| sum + weight)
    }
}

/// Every way to give `left` draws to `sets` sets.
fn share_out(left: usize, sets: usize, so_far: &mut Vec<usize>, kinds: &mut Vec<Vec<usize>>) {
    if sets == 1 {
        kinds.push(so_far.iter().copied().chain([left]).collect());
        return;
    }
    for here in 0..=left {
        so_far.push(here);
        share_out(left - here, sets - 1, so_far, kinds);
        so_far.pop();
    }
}

/// Where one of several things stands over data sets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// Its mean rank, 1 for the best.
    pub mean_rank: f64,
    /// The places that it takes in 95% of the resamples of the data sets.
    pub places: (f64, f64),
    /// The probability that it is first, alone or with others.
    pub first: f64,
    /// Whether its mean rank is within Nemenyi's critical difference of the best.
    pub within_difference: bool,
    /// Whether the resamples leave it open that it is better than the best.
    pub undecided: bool,
}

/// Several things ranked on several data sets.
#[derive(Debug, Clone, PartialEq)]
pub struct Standings {
    /// Each thing, in the order that they came in.
    pub of: Vec<Standing>,
    /// Kendall's W: 1 where all sets agree, 0 where they do not at all.
    pub agreement: f64,
    /// Friedman's p-value (1937) for all being alike.
    pub p_value: f64,
    /// Nemenyi's critical difference of mean ranks at 95% (Demsar 2006).
    pub critical_difference: f64,
}

impl Standings {
    /// From ranks (sets, things), 1 for the best; [`ranks_of`] gives them.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than two sets or things, or more than 10 sets.
    pub fn new(ranks: ArrayView2<f64>) -> Result<Standings> {
        let (sets, things) = ranks.dim();
        if sets < 2 || things < 2 {
            return Err(Error::argument("ranks", "two sets and two things or more", format!("{sets} and {things}")));
        }
        let resamples = SetResamples::new(sets)?;
        let means = ranks.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(things));
        let resampled = resamples.means(ranks.t())?;
        let placed = places(&resampled);
        let best = (0..things).min_by(|&a, &b| means[a].total_cmp(&means[b])).unwrap_or(0);
        let critical_difference = critical_difference(things, sets)?;
        let standing = |thing: usize| {
            let places = placed.row(thing);
            let behind = &resampled.row(thing) - &resampled.row(best);
            Standing {
                mean_rank: means[thing],
                places: (resamples.quantile(places, 0.025), resamples.quantile(places, 0.975)),
                first: resamples.share(|kind| {
                    resampled[[thing, kind]] <= resampled.column(kind).fold(f64::MAX, |a, &b| a.min(b)) + SAME
                }),
                within_difference: thing == best || means[thing] - means[best] < critical_difference,
                undecided: thing == best || resamples.quantile(behind.view(), 0.025) <= SAME,
            }
        };
        let (agreement, p_value) = friedman(ranks)?;
        Ok(Standings { of: (0..things).map(standing).collect(), agreement, p_value, critical_difference })
    }
}

/// The places of things by their mean ranks in each resample; equal ones share the mean of theirs.
fn places(resampled: &Array2<f64>) -> Array2<f64> {
    let mut placed = Array2::zeros(resampled.dim());
    for (means, mut places) in resampled.columns().into_iter().zip(placed.columns_mut()) {
        for (thing, mean) in means.iter().enumerate() {
            let below = means.iter().filter(|other| **other < mean - SAME).count();
            let same = means.iter().filter(|other| (**other - mean).abs() <= SAME).count();
            places[thing] = below as f64 + (same + 1) as f64 / 2.0;
        }
    }
    placed
}

/// Ranks of scores, 1 for the highest; equal ones share the mean of theirs.
///
/// ```
/// assert_eq!(wider_clip::metrics::ranks_of(&[0.9, 0.7, 0.9, 0.1]), [1.5, 3.0, 1.5, 4.0]);
/// ```
pub fn ranks_of(scores: &[f64]) -> Vec<f64> {
    let rank = |score: &f64| {
        let above = scores.iter().filter(|other| *other > score).count();
        let same = scores.iter().filter(|other| *other == score).count();
        above as f64 + (same + 1) as f64 / 2.0
    };
    scores.iter().map(rank).collect()
}

/// Kendall's W and Friedman's p-value of ranks (sets, things), with ties allowed for; scipy's `friedmanchisquare`. Mean ranks of
/// several tests of a set are ranked anew. Things that are alike on every set agree in nothing: W is 0 and p is 1.
fn friedman(means: ArrayView2<f64>) -> Result<(f64, f64)> {
    use statrs::distribution::{ChiSquared, ContinuousCDF};
    let mut ranks = means.to_owned();
    for mut row in ranks.rows_mut() {
        let scores: Vec<f64> = row.iter().map(|mean| -mean).collect();
        row.assign(&Array1::from(ranks_of(&scores)));
    }
    let (sets, things) = (ranks.nrows() as f64, ranks.ncols() as f64);
    let expected = sets * (things + 1.0) / 2.0;
    let apart: f64 = ranks.sum_axis(Axis(0)).iter().map(|sum| (sum - expected).powi(2)).sum();
    // Without ties every set has things (things^2 - 1) / 12 squares.
    let squares: f64 = ranks.iter().map(|rank| (rank - (things + 1.0) / 2.0).powi(2)).sum();
    if squares <= 0.0 {
        return Ok((0.0, 1.0));
    }
    let chi2 = (things - 1.0) * apart / squares;
    let distribution =
        ChiSquared::new(things - 1.0).map_err(|error| Error::argument("things", "two or more", error.to_string()))?;
    Ok((chi2 / (sets * (things - 1.0)), distribution.sf(chi2)))
}

/// Nemenyi's critical difference of mean ranks at 95% for `things` on `sets`: the 95% point of the range of as many normal numbers,
/// times sqrt(things (things + 1) / (12 sets)) (Demsar 2006, with its q divided by sqrt 2).
///
/// # Errors
/// [`Error::Argument`] for fewer than two things or no set.
///
/// ```
/// // Demsar's table 5 has q = 2.343 for three: times sqrt(3 x 4 / (6 x 10)).
/// let found = wider_clip::metrics::critical_difference(3, 10)?;
/// assert!((found - 2.343 * (0.2f64).sqrt()).abs() < 1e-3);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn critical_difference(things: usize, sets: usize) -> Result<f64> {
    if things < 2 || sets == 0 {
        let found = format!("{things} on {sets}");
        return Err(Error::argument("things to rank", "two or more on one set or more", found));
    }
    let (mut low, mut high) = (0.0, 20.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        match range_below(middle, things) < 0.95 {
            true => low = middle,
            false => high = middle,
        }
    }
    let k = things as f64;
    Ok(high / 2f64.sqrt() * (k * (k + 1.0) / (6.0 * sets as f64)).sqrt())
}

/// The probability that `n` normal numbers lie within `range` of each other: n times the integral over the smallest of the density
/// there and the others between it and `range` above it, by Simpson's rule.
fn range_below(range: f64, n: usize) -> f64 {
    use statrs::distribution::{Continuous, ContinuousCDF, Normal};
    const STEPS: usize = 800;
    let normal = Normal::standard();
    let (from, to) = (-9.0, 9.0);
    let step = (to - from) / STEPS as f64;
    let value = |i: usize| {
        let x = from + i as f64 * step;
        n as f64 * normal.pdf(x) * (normal.cdf(x + range) - normal.cdf(x)).powi(n as i32 - 1)
    };
    let weight = |i: usize| match i {
        0 | STEPS => 1.0,
        odd if odd % 2 == 1 => 4.0,
        _ => 2.0,
    };
    (0..=STEPS).map(|i| weight(i) * value(i)).sum::<f64>() * step / 3.0
}

/// What one loses over data sets by always choosing the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Regret {
    /// The mean over data sets of how far it is behind the best of each.
    pub mean: f64,
    /// Its 95% interval over resamples of the data sets.
    pub interval: (f64, f64),
    /// The most that it loses on one data set.
    pub worst: f64,
    /// Which one, by its place.
    pub worst_set: usize,
    /// The probability that no other choice has a smaller mean.
    pub least: f64,
}

/// The regret of choices from their scores (choices, sets); the best of each set is the best of all choices there.
///
/// # Errors
/// [`Error::Argument`] for no choice, scores that are not finite, or another number of sets than 1 to 10.
///
/// ```
/// use wider_clip::metrics::regrets;
/// use wider_clip::ndarray::array;
///
/// let found = regrets(array![[0.9, 0.5], [0.8, 0.7]].view())?;
/// assert!((found[0].mean - 0.1).abs() < 1e-12 && (found[1].mean - 0.05).abs() < 1e-12);
/// assert_eq!(found[0].worst_set, 1);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn regrets(scores: ArrayView2<f64>) -> Result<Vec<Regret>> {
    if scores.nrows() == 0 {
        return Err(Error::argument("choices", "one or more", "none"));
    }
    if let Some(score) = scores.iter().find(|score| !score.is_finite()) {
        return Err(Error::argument("scores", "finite numbers", score.to_string()));
    }
    let best = scores.map_axis(Axis(0), |column| column.fold(f64::MIN, |a, &b| a.max(b)));
    let losses = &best - &scores;
    let resamples = SetResamples::new(scores.ncols())?;
    let resampled = resamples.means(losses.view())?;
    let least = resampled.map_axis(Axis(0), |column| column.fold(f64::MAX, |a, &b| a.min(b)));
    let of = |choice: usize| {
        let (losses, means) = (losses.row(choice), resampled.row(choice));
        let worst_set = (0..losses.len()).max_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap_or(0);
        Regret {
            mean: losses.mean().unwrap_or(0.0),
            interval: (resamples.quantile(means, 0.025), resamples.quantile(means, 0.975)),
            worst: losses[worst_set],
            worst_set,
            least: resamples.share(|kind| means[kind] <= least[kind] + SAME),
        }
    };
    Ok((0..scores.nrows()).map(of).collect())
}
