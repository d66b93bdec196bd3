//! Scores of predictions, and how sure they are.
//!
//! Pure functions on slices. Scores are fractions; what is undefined is `None` or an error, never 0. Definitions and
//! edge cases are scikit-learn's (`accuracy_score`, `balanced_accuracy_score`, `f1_score(average="macro")`), and
//! `tests/metrics.rs` holds them to values computed by it. Drift is measured as WILDS does ([`wilds_scores`]), and
//! `tests/wilds.rs` holds that to its package.

mod alignment;
mod calibration;
mod class_mix;
mod clusterings;
mod crossing;
mod denominators;
mod forecast;
mod groups;
mod intervals;
mod line;
mod over_sets;
mod probabilities;
mod proportions;
mod ranks;
mod resamples;
mod several;
mod sources;
mod wilds;
mod wilds_intervals;

pub use alignment::Gram;
pub use calibration::{ReliabilityBin, fit_temperature, negative_log_likelihood, reliability, tempered};
pub use class_mix::ClassMix;
pub use clusterings::{adjusted_rand, normalised_mutual_information};
pub use crossing::{AtSize, Crossing, crossing};
pub use denominators::denominators;
pub use forecast::{
    CurveForecast, FORM, Forecast, Gain, HalfWidths, LabelsFor, LogitLine, Measured, PowerLaw, TestImages,
};
pub use groups::{GroupAccuracy, accuracy_by_group, worst_group, worst_of};
pub use intervals::{
    Interval, PairedBootstrap, bootstrap_accuracy, group_bootstrap_accuracy, mean_t_interval, paired_bootstrap,
    paired_group_bootstrap,
};
pub use line::{DriftLine, Stretch, above_chance};
pub use over_sets::{Regret, SetResamples, Standing, Standings, critical_difference, ranks_of, regrets};
pub use probabilities::{expected_calibration_error, top_k_accuracy};
pub use proportions::{Proportions, SameImages, mcnemar, wilson};
pub use ranks::spearman;
pub use resamples::{Estimate, Resamples};
pub use several::holm;
pub use sources::{TwoWay, VarianceShares};
pub use wilds::{UNCOUNTED, WildsAnswers, WildsScores, wilds_scores};
pub use wilds_intervals::{WildsIntervals, wilds_bootstrap};

use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// The fraction of predictions that equal the truth.
///
/// # Errors
/// [`Error::Argument`] for no image or lists of different lengths.
///
/// ```
/// assert_eq!(wider_clip::metrics::accuracy(&[0, 1, 1, 2], &[0, 1, 2, 2])?, 0.75);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn accuracy(predicted: &[u32], truth: &[u32]) -> Result<f64> {
    check_lengths(predicted.len(), truth.len())?;
    let n_correct = predicted.iter().zip(truth).filter(|(predicted, truth)| predicted == truth).count();
    Ok(n_correct as f64 / truth.len() as f64)
}

/// Whether each prediction is right, for [`paired_bootstrap`].
///
/// # Errors
/// As [`accuracy`].
pub fn correct(predicted: &[u32], truth: &[u32]) -> Result<Vec<bool>> {
    check_lengths(predicted.len(), truth.len())?;
    Ok(predicted.iter().zip(truth).map(|(predicted, truth)| predicted == truth).collect())
}

fn check_lengths(n_predicted: usize, n_truth: usize) -> Result<()> {
    if n_truth == 0 {
        return Err(Error::argument("truth", "at least one image", "none"));
    }
    if n_predicted != n_truth {
        return Err(Error::argument("predictions", format!("{n_truth}, one an image"), n_predicted.to_string()));
    }
    Ok(())
}

/// How often each class was taken for which. Only classes that occur take memory: a class number is a name, and may be
/// as large as it likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfusionMatrix {
    n_classes: usize,
    n_images: u64,
    /// By true class and predicted class; what never occurred is not there.
    counts: BTreeMap<(u32, u32), u64>,
    /// The classes that occur in either list.
    classes: BTreeMap<u32, OfClass>,
}

/// Images of a class, predictions of it, and both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct OfClass {
    n_true: u64,
    n_predicted: u64,
    n_right: u64,
}

impl OfClass {
    fn recall(self) -> Option<f64> {
        ratio(self.n_right, self.n_true)
    }

    fn precision(self) -> Option<f64> {
        ratio(self.n_right, self.n_predicted)
    }

    fn f1(self) -> Option<f64> {
        ratio(2 * self.n_right, self.n_true + self.n_predicted)
    }

    /// F1 of a class that has images.
    fn f1_of_present(self) -> Option<f64> {
        self.f1().filter(|_| self.n_true > 0)
    }

    fn add(&mut self, other: OfClass, times: u64) {
        self.n_true += times * other.n_true;
        self.n_predicted += times * other.n_predicted;
        self.n_right += times * other.n_right;
    }
}

impl ConfusionMatrix {
    /// Counts predictions. Classes are `0..n_classes`; some may not occur.
    ///
    /// # Errors
    /// [`Error::Argument`] for no image, lists of different lengths, or a class of `n_classes` or more.
    pub fn new(predicted: &[u32], truth: &[u32], n_classes: usize) -> Result<ConfusionMatrix> {
        check_lengths(predicted.len(), truth.len())?;
        let (mut counts, mut classes) = (BTreeMap::new(), BTreeMap::<u32, OfClass>::new());
        for (image, (&predicted, &truth)) in predicted.iter().zip(truth).enumerate() {
            for (what, class) in [("predictions", predicted), ("truth", truth)] {
                if class as usize >= n_classes {
                    let expected = format!("below the number of classes, {n_classes}");
                    return Err(Error::argument(what, expected, format!("{class} for image {image}")));
                }
            }
            *counts.entry((truth, predicted)).or_default() += 1;
            classes.entry(predicted).or_default().n_predicted += 1;
            let of_truth = classes.entry(truth).or_default();
            of_truth.n_true += 1;
            of_truth.n_right += u64::from(truth == predicted);
        }
        Ok(ConfusionMatrix { n_classes, n_images: truth.len() as u64, counts, classes })
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// The classes that have images or were predicted, ascending.
    pub fn classes(&self) -> impl Iterator<Item = u32> + '_ {
        self.classes.keys().copied()
    }

    /// Images of class `truth` that were taken for class `predicted`; `None` where there is no such class.
    pub fn count(&self, truth: usize, predicted: usize) -> Option<u64> {
        let inside = truth < self.n_classes && predicted < self.n_classes;
        let pair = (u32::try_from(truth).ok(), u32::try_from(predicted).ok());
        inside.then(|| match pair {
            (Some(truth), Some(predicted)) => self.counts.get(&(truth, predicted)).copied().unwrap_or(0),
            _ => 0,
        })
    }

    /// The counts by true class: row `i` says what images of class `i` were taken for. Rows are made one at a time, each
    /// as long as there are classes.
    pub fn rows(&self) -> impl Iterator<Item = Vec<u64>> + '_ {
        let count = |truth, predicted| self.count(truth, predicted).unwrap_or(0);
        (0..self.n_classes).map(move |truth| (0..self.n_classes).map(|predicted| count(truth, predicted)).collect())
    }

    /// One entry a class number.
    fn of_classes(&self, score: impl Fn(OfClass) -> Option<f64>) -> Vec<Option<f64>> {
        let mut scores = vec![None; self.n_classes];
        for (&class, &of_class) in &self.classes {
            scores[class as usize] = score(of_class);
        }
        scores
    }

    /// The fraction of right predictions.
    pub fn accuracy(&self) -> f64 {
        let n_right: u64 = self.classes.values().map(|class| class.n_right).sum();
        n_right as f64 / self.n_images as f64
    }

    /// For each class number the fraction of its images that were recognised; `None` for a class without images.
    pub fn recalls(&self) -> Vec<Option<f64>> {
        self.of_classes(OfClass::recall)
    }

    /// For each class number the fraction of its predictions that were right; `None` for a class never predicted.
    pub fn precisions(&self) -> Vec<Option<f64>> {
        self.of_classes(OfClass::precision)
    }

    /// For each class number F1 = 2 right / (images + predictions); `None` for a class with neither.
    ///
    /// A class with images of which none is recognised has F1 = 0, whether or not it was ever predicted.
    pub fn f1_scores(&self) -> Vec<Option<f64>> {
        self.of_classes(OfClass::f1)
    }

    /// Recall of one class; `None` for a class without images.
    pub fn recall(&self, class: u32) -> Option<f64> {
        self.classes.get(&class).and_then(|class| class.recall())
    }

    /// Precision of one class; `None` for a class never predicted.
    pub fn precision(&self, class: u32) -> Option<f64> {
        self.classes.get(&class).and_then(|class| class.precision())
    }

    /// F1 of one class; `None` for a class that does not occur.
    pub fn f1(&self, class: u32) -> Option<f64> {
        self.classes.get(&class).and_then(|class| class.f1())
    }

    /// For each class number that has images its F1; `None` for a class without, whether or not it was predicted.
    ///
    /// [`ConfusionMatrix::f1_scores`] has 0 for a class that was predicted without having images.
    pub fn f1_scores_of_present(&self) -> Vec<Option<f64>> {
        self.of_classes(OfClass::f1_of_present)
    }

    /// The mean recall of the classes that have images: WILDS' macro recall too.
    pub fn balanced_accuracy(&self) -> f64 {
        mean_of_defined(self.classes.values().map(|class| class.recall()))
    }

    /// The mean F1 of the classes that have images or were predicted, the default of scikit-learn's `f1_score`:
    /// classes absent from both lists do not count, a class that was predicted without having images counts as 0.
    pub fn macro_f1(&self) -> f64 {
        mean_of_defined(self.classes.values().map(|class| class.f1()))
    }

    /// The mean F1 of the classes that have images (`f1_score(average="macro", labels=unique(truth))`), by which WILDS ranks
    /// iWildCam: a class that was predicted without having images does not count, though its predictions cost the classes
    /// that they were taken from their recall. Never below [`ConfusionMatrix::macro_f1`].
    ///
    /// ```
    /// use wider_clip::metrics::ConfusionMatrix;
    ///
    /// // Class 0: 2 x 1 / (2 + 1); class 1: 2 x 1 / (1 + 1); class 2 was predicted and has no image.
    /// let matrix = ConfusionMatrix::new(&[0, 2, 1], &[0, 0, 1], 3)?;
    /// assert!((matrix.macro_f1_of_present() - 5.0 / 6.0).abs() < 1e-15);
    /// assert!((matrix.macro_f1() - 5.0 / 9.0).abs() < 1e-15);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn macro_f1_of_present(&self) -> f64 {
        mean_of_defined(self.classes.values().map(|class| class.f1_of_present()))
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A matrix has at least one image, so that at least one class has a defined score.
fn mean_of_defined(scores: impl Iterator<Item = Option<f64>>) -> f64 {
    let defined: Vec<f64> = scores.flatten().collect();
    defined.iter().sum::<f64>() / defined.len() as f64
}

/// The mean recall of the classes that have images (`balanced_accuracy_score`).
///
/// # Errors
/// As [`ConfusionMatrix::new`].
///
/// ```
/// // Nine of ten images are of class 0; always saying 0 is right nine times in ten, but knows one class of two.
/// let truth = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// assert_eq!(wider_clip::metrics::balanced_accuracy(&[0; 10], &truth, 2)?, 0.5);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn balanced_accuracy(predicted: &[u32], truth: &[u32], n_classes: usize) -> Result<f64> {
    Ok(ConfusionMatrix::new(predicted, truth, n_classes)?.balanced_accuracy())
}

/// The mean F1 of the classes that occur in either list (`f1_score(average="macro")`).
///
/// # Errors
/// As [`ConfusionMatrix::new`].
///
/// ```
/// // Class 0: F1 = 2 x 1 / (1 + 2); class 1: 2 x 1 / (2 + 1); class 2 does not occur.
/// let score = wider_clip::metrics::macro_f1(&[0, 0, 1], &[0, 1, 1], 3)?;
/// assert!((score - 2.0 / 3.0).abs() < 1e-15);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn macro_f1(predicted: &[u32], truth: &[u32], n_classes: usize) -> Result<f64> {
    Ok(ConfusionMatrix::new(predicted, truth, n_classes)?.macro_f1())
}
