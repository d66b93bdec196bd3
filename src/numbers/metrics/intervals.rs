//! How sure a score is: over seeds by Student's t, between two models by a paired bootstrap over images or groups of them.

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::error::{Error, Result};
use crate::random::Random;

/// A mean with a confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// Lower end; `None` for a single value, which says nothing about spread.
    pub low: Option<f64>,
    /// Upper end; `None` for a single value.
    pub high: Option<f64>,
    /// Number of values.
    pub n: usize,
}

/// The mean of values (one a seed) and its Student t-interval: mean +- t s / sqrt(n), with s the sample's standard
/// deviation (n - 1) and t the quantile for n - 1 degrees of freedom. Equal values give an interval of width 0.
///
/// Seeds share the pool of images, so that the interval speaks of the draw of the split, not of other data sets.
///
/// # Errors
/// [`Error::Argument`] for no values, a value that is not finite, or a `level` outside 0 to 1, ends excluded.
///
/// ```
/// use wider_clip::metrics::mean_t_interval;
///
/// // s = 1, t(0.975, 2) = 4.302653: 2 +- 4.302653 / sqrt(3).
/// let interval = mean_t_interval(&[1.0, 2.0, 3.0], 0.95)?;
/// assert!((interval.high.unwrap() - (2.0 + 4.302653 / 3f64.sqrt())).abs() < 1e-6);
/// assert_eq!(mean_t_interval(&[0.7], 0.95)?.low, None);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn mean_t_interval(values: &[f64], level: f64) -> Result<Interval> {
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(Error::argument("values", "finite numbers", value.to_string()));
    }
    check_level(level)?;
    let n = values.len();
    if n == 0 {
        return Err(Error::argument("values", "at least one", "none"));
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    if n == 1 {
        return Ok(Interval { mean, low: None, high: None, n });
    }
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    let distribution = StudentsT::new(0.0, 1.0, (n - 1) as f64)
        .map_err(|error| Error::argument("values", "enough for a t distribution", error.to_string()))?;
    let half = distribution.inverse_cdf(0.5 + level / 2.0) * (variance / n as f64).sqrt();
    Ok(Interval { mean, low: Some(mean - half), high: Some(mean + half), n })
}

fn check_level(level: f64) -> Result<()> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    Err(Error::argument("level", "a number between 0 and 1", level.to_string()))
}

/// The accuracy of one model and its 95% interval by resampling images with replacement (the percentile interval, as
/// [`paired_bootstrap`]).
///
/// The interval speaks of other images of the same kind; the split and the fit stay as they are. Where all images are
/// right, or all wrong, every resample is alike and says nothing of what was not seen: the interval is Wilson's (1927)
/// then, n / (n + 1.96^2) to 1 for n right ones. One image has no interval.
///
/// # Errors
/// [`Error::Argument`] for no image, or fewer than 40 resamples.
///
/// ```
/// use wider_clip::metrics::bootstrap_accuracy;
///
/// let correct: Vec<bool> = (0..100).map(|image| image < 60).collect();
/// let interval = bootstrap_accuracy(&correct, 1000, 0)?;
/// assert_eq!((interval.mean, interval.n), (0.6, 100));
/// assert!((interval.high.unwrap() - 0.696).abs() < 0.02); // 0.6 + 1.96 sqrt(0.6 x 0.4 / 100)
/// let all = bootstrap_accuracy(&[true; 50], 1000, 0)?;
/// assert!((all.low.unwrap() - 0.9287).abs() < 1e-4 && all.high == Some(1.0));
/// assert_eq!(bootstrap_accuracy(&[true], 1000, 0)?.low, None);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn bootstrap_accuracy(correct: &[bool], n_resamples: usize, seed: u64) -> Result<Interval> {
    let each: Vec<usize> = (0..correct.len()).collect();
    group_bootstrap_accuracy(&each, correct, n_resamples, seed)
}

/// [`bootstrap_accuracy`] that draws groups of answers in place of single ones, as [`paired_group_bootstrap`] does. Where
/// all groups have the same accuracy, Wilson's bound is that of as many answers as there are groups; one group has no
/// interval.
///
/// # Errors
/// As for [`bootstrap_accuracy`], and where there are not as many groups as answers.
///
/// ```
/// use wider_clip::metrics::group_bootstrap_accuracy;
///
/// // Ten answers, all right, but of two subjects: hardly more is known than from two answers.
/// let interval = group_bootstrap_accuracy(&[0, 0, 0, 0, 0, 1, 1, 1, 1, 1], &[true; 10], 1000, 0)?;
/// assert!((interval.low.unwrap() - 0.3424).abs() < 1e-4 && interval.high == Some(1.0));
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn group_bootstrap_accuracy<G: Ord>(
    groups: &[G],
    correct: &[bool],
    n_resamples: usize,
    seed: u64,
) -> Result<Interval> {
    let never = vec![false; correct.len()];
    let found = bootstrap(groups, correct, &never, (0.0, 1.0), n_resamples, seed)?;
    let several = found.n_groups > 1;
    Ok(Interval {
        mean: found.difference,
        low: several.then_some(found.low),
        high: several.then_some(found.high),
        n: found.n_images,
    })
}

/// Two models compared on the same images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedBootstrap {
    /// Accuracy of a minus accuracy of b.
    pub difference: f64,
    /// Lower end of the 95% percentile interval of the difference; of a single group -1, as nothing can be said.
    pub low: f64,
    /// Upper end; of a single group 1.
    pub high: f64,
    /// Two-sided: twice the smaller share of resamples in which the difference is on the other side of 0 or at 0, one
    /// resample added to each side and to the total, at most 1. Where all groups have the same difference, not below
    /// that of a sign test, 2 / 2^n for n groups: 1 for a single one.
    pub p_value: f64,
    /// Answers of each model: images, or one image as often as it was asked.
    pub n_images: usize,
    /// Groups that were drawn: `n_images`, unless answers hang together.
    pub n_groups: usize,
    /// Resamples.
    pub n_resamples: usize,
}

/// The difference of two accuracies and its 95% interval by resampling images with replacement, both models' answers
/// to an image together (Efron and Tibshirani 1993, the percentile interval; quantiles interpolated as numpy does).
///
/// Where the difference is the same on every image, all resamples are alike and say nothing of what was not seen. Then a
/// share of at most 1.96^2 / (n + 1.96^2) of all images, Wilson's bound (1927) on what never occurred in n, may differ,
/// in either direction and by up to 1: two models that agree on all of 50 images differ by -0.07 to 0.07. A single image
/// gives -1 to 1.
///
/// The interval speaks of other images of the same kind; the split and the fit stay as they are. Where images come in
/// families, or one image was asked more than once, [`paired_group_bootstrap`] is the one to take.
///
/// # Errors
/// [`Error::Argument`] for no image, lists of different lengths, or fewer than 40 resamples, with which there would be
/// nothing beyond the ends.
///
/// ```
/// use wider_clip::metrics::paired_bootstrap;
///
/// // a is right on 60 of 100 images, b on 30 of the same.
/// let a: Vec<bool> = (0..100).map(|image| image < 60).collect();
/// let b: Vec<bool> = (0..100).map(|image| image < 30).collect();
/// let comparison = paired_bootstrap(&a, &b, 1000, 0)?;
/// assert!((comparison.difference - 0.3).abs() < 1e-12);
/// assert!(comparison.low > 0.15 && comparison.high < 0.45 && comparison.p_value < 0.01);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn paired_bootstrap(
    correct_a: &[bool],
    correct_b: &[bool],
    n_resamples: usize,
    seed: u64,
) -> Result<PairedBootstrap> {
    let each: Vec<usize> = (0..correct_a.len()).collect();
    paired_group_bootstrap(&each, correct_a, correct_b, n_resamples, seed)
}

/// [`paired_bootstrap`] that draws groups of answers in place of single ones: the answers of a group are drawn together
/// or not at all (the cluster bootstrap; Davison and Hinkley 1997, section 3.8). A group is what may not be taken for
/// independent: versions of one subject, and one image in the test sets of several splits.
///
/// The difference is that over all answers, whatever group they are of; so is that of every resample.
///
/// # Errors
/// As for [`paired_bootstrap`], and where there are not as many groups as answers.
///
/// ```
/// use wider_clip::metrics::{paired_bootstrap, paired_group_bootstrap};
///
/// // Ten subjects in ten versions each; a is right on all versions of seven subjects, b on all of five.
/// let subject: Vec<usize> = (0..100).map(|image| image / 10).collect();
/// let a: Vec<bool> = subject.iter().map(|&subject| subject < 7).collect();
/// let b: Vec<bool> = subject.iter().map(|&subject| subject < 5).collect();
/// let of_images = paired_bootstrap(&a, &b, 1000, 0)?;
/// let of_subjects = paired_group_bootstrap(&subject, &a, &b, 1000, 0)?;
/// assert_eq!(of_images.difference, of_subjects.difference);
/// // A hundred images that are ten subjects say less than a hundred subjects would.
/// assert!(of_images.low > 0.1 && of_subjects.low == 0.0);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn paired_group_bootstrap<G: Ord>(
    groups: &[G],
    correct_a: &[bool],
    correct_b: &[bool],
    n_resamples: usize,
    seed: u64,
) -> Result<PairedBootstrap> {
    bootstrap(groups, correct_a, correct_b, (-1.0, 1.0), n_resamples, seed)
}

/// The 97.5% point of the normal distribution.
pub(super) const Z: f64 = 1.959_963_984_540_054;

/// The bootstrap of differences that lie within `range`.
fn bootstrap<G: Ord>(
    groups: &[G],
    correct_a: &[bool],
    correct_b: &[bool],
    range: (f64, f64),
    n_resamples: usize,
    seed: u64,
) -> Result<PairedBootstrap> {
    let n_images = correct_a.len();
    if n_images == 0 {
        return Err(Error::argument("answers of a", "at least one image", "none"));
    }
    for (what, found) in [("answers of b", correct_b.len()), ("groups", groups.len())] {
        if found != n_images {
            return Err(Error::argument(what, format!("{n_images}, as a has"), found.to_string()));
        }
    }
    check_resamples(n_resamples)?;
    // Gain and number of answers of each group.
    let mut by_group: BTreeMap<&G, (i64, i64)> = BTreeMap::new();
    for ((group, &a), &b) in groups.iter().zip(correct_a).zip(correct_b) {
        let (gain, n) = by_group.entry(group).or_default();
        *gain += i64::from(a) - i64::from(b);
        *n += 1;
    }
    let by_group: Vec<(i64, i64)> = by_group.into_values().collect();
    let difference = |(gain, n): (i64, i64)| gain as f64 / n as f64;
    let sum = |(gain, n): (i64, i64), &(more, others): &(i64, i64)| (gain + more, n + others);
    if let Some(alike) = all_alike(&by_group, range, n_resamples) {
        return Ok(PairedBootstrap { n_images, ..alike });
    }
    let mut random = Random::new("paired bootstrap", seed, 0);
    let mut resampled: Vec<f64> = (0..n_resamples)
        .map(|_| difference((0..by_group.len()).map(|_| &by_group[random.below(by_group.len())]).fold((0, 0), sum)))
        .collect();
    resampled.sort_unstable_by(f64::total_cmp);
    Ok(PairedBootstrap {
        difference: difference(by_group.iter().fold((0, 0), sum)),
        low: quantile(&resampled, 0.025),
        high: quantile(&resampled, 0.975),
        p_value: two_sided(&resampled),
        n_images,
        n_groups: by_group.len(),
        n_resamples,
    })
}

/// Fewer have nothing beyond the ends of an interval.
pub(super) fn check_resamples(n_resamples: usize) -> Result<()> {
    match n_resamples < 40 {
        true => Err(Error::argument("resamples", "at least 40", n_resamples.to_string())),
        false => Ok(()),
    }
}

/// What groups that all have the same difference tell: nothing where there is one, else no more than that few differ.
fn all_alike(by_group: &[(i64, i64)], (least, most): (f64, f64), n_resamples: usize) -> Option<PairedBootstrap> {
    let &(gain, n) = by_group.first()?;
    // As fractions: 1 of 2 is 2 of 4.
    if by_group.iter().any(|&(other_gain, other_n)| other_gain * n != gain * other_n) {
        return None;
    }
    let n_groups = by_group.len();
    let difference = gain as f64 / n as f64;
    let unseen = if n_groups == 1 { 1.0 } else { Z * Z / (n_groups as f64 + Z * Z) };
    let p_value = match gain {
        0 => 1.0,
        _ => (2.0 / (n_resamples + 1) as f64).max(2.0 * 0.5f64.powf(n_groups as f64)),
    };
    Some(PairedBootstrap {
        difference,
        low: difference + unseen * (least - difference),
        high: difference + unseen * (most - difference),
        p_value: p_value.min(1.0),
        n_images: 0,
        n_groups,
        n_resamples,
    })
}

/// Twice the smaller part of ascending numbers on either side of 0, each with one more than there are.
pub(super) fn two_sided(sorted: &[f64]) -> f64 {
    let not_above = sorted.partition_point(|&number| number <= 0.0);
    let not_below = sorted.len() - sorted.partition_point(|&number| number < 0.0);
    let smaller_side = (not_above.min(not_below) + 1) as f64 / (sorted.len() + 1) as f64;
    (2.0 * smaller_side).min(1.0)
}

/// The quantile of ascending numbers, linear between the two that surround it.
pub(super) fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let position = fraction * (sorted.len() - 1) as f64;
    let (below, weight) = (position.floor() as usize, position.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] * (1.0 - weight) + sorted[above] * weight
}
