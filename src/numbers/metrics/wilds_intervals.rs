//! How sure the scores of drift are: a bootstrap over cameras, sequences or images of everything that WILDS reports.
//!
//! What a unit adds to each class and domain is summed once, and holds only the classes and domains that occur in it. A
//! resample is then a number of times for each unit, and a sum of what they add: 2,000 resamples of 42,791 predictions
//! take seconds. Every resample draws from a stream of its own, so that the number of threads changes nothing.

use super::intervals::{Interval, check_resamples, group_bootstrap_accuracy, quantile};
use super::wilds::{UNCOUNTED, WildsAnswers, WildsScores, wilds_scores};
use super::{OfClass, correct, mean_of_defined};
use crate::error::{Error, Result};
use crate::random::Random;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The 95% intervals of [`WildsScores`]. `mean` is the score itself, of all answers.
#[derive(Debug, Clone, PartialEq)]
pub struct WildsIntervals {
    /// Of the accuracy.
    pub accuracy: Interval,
    /// Of the macro recall.
    pub macro_recall: Interval,
    /// Of the macro F1.
    pub macro_f1: Interval,
    /// Of the accuracy of the worst domain, whichever that is in a resample; `None` where no domain counts.
    pub worst_domain: Option<Interval>,
    /// Units that were drawn.
    pub n_units: usize,
    /// Resamples.
    pub n_resamples: usize,
}

/// The 95% percentile intervals of what [`wilds_scores`] gives, by drawing units with replacement, as many as there are (the
/// cluster bootstrap; Davison and Hinkley 1997, section 3.8; quantiles interpolated as numpy does). The answers of a unit
/// are drawn together or not at all: a camera or a sequence of iWildCam, a region or a single image of FMoW.
///
/// Each resample is scored as WILDS would score it: a class or domain of which it has no image does not count in it. A
/// resample in which no domain counts says nothing of the worst one, and is left out of that interval alone.
///
/// One unit has no interval. Where all resamples have the same score they say nothing of what was not seen, and there is
/// no interval either; that of the accuracy is then Wilson's, as [`group_bootstrap_accuracy`] has it. A resample of few units has
/// few classes, and the F1 of fewer classes is another number: with few units these intervals may lie to one side of the
/// score.
///
/// The result depends on `seed`, and not on the number of threads.
///
/// # Errors
/// [`Error::Argument`] as for [`wilds_scores`], where there are not as many units as answers, and for fewer than 40
/// resamples.
///
/// ```
/// use wider_clip::metrics::{WildsAnswers, wilds_bootstrap};
///
/// // Ten cameras of ten images; on three of them nothing is right.
/// let camera: Vec<usize> = (0..100).map(|image| image / 10).collect();
/// let truth: Vec<u32> = (0..100).map(|image| image % 2).collect();
/// let predicted: Vec<u32> = (0..100).map(|image| if image < 30 { 1 - image % 2 } else { image % 2 }).collect();
/// let answers =
///     WildsAnswers { predicted: &predicted, truth: &truth, n_classes: 2, domains: None, years: None };
/// let found = wilds_bootstrap(&answers, &camera, 2000, 0)?;
/// // As many as a binomial of ten draws would give: 0.4 to 1.
/// assert_eq!((found.accuracy.mean, found.accuracy.low, found.accuracy.high), (0.7, Some(0.4), Some(1.0)));
/// assert_eq!((found.n_units, found.worst_domain), (10, None));
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn wilds_bootstrap<U: Ord>(
    answers: &WildsAnswers,
    units: &[U],
    n_resamples: usize,
    seed: u64,
) -> Result<WildsIntervals> {
    let scores = wilds_scores(answers)?;
    if units.len() != scores.n {
        return Err(Error::argument("units", format!("{}, one an answer", scores.n), units.len().to_string()));
    }
    check_resamples(n_resamples)?;
    let sums = Sums::new(answers, units);
    let n_units = sums.n_units();
    let drawn: Vec<Drawn> = match n_units {
        1 => Vec::new(),
        _ => (0..n_resamples as u64)
            .into_par_iter()
            .map_init(|| sums.empty(), |total, resample| sums.draw(total, seed, resample))
            .collect(),
    };
    let interval = |score: f64, of: fn(&Drawn) -> Option<f64>| {
        let mut values: Vec<f64> = drawn.iter().filter_map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        // Equal numbers are a single one.
        let spread = values.first() < values.last();
        let end = |fraction| spread.then(|| quantile(&values, fraction));
        Interval { mean: score, low: end(0.025), high: end(0.975), n: scores.n }
    };
    let WildsScores { accuracy, macro_recall, macro_f1, ref worst_domain, .. } = scores;
    let mut of_accuracy = interval(accuracy, |drawn| Some(drawn.accuracy));
    if of_accuracy.low.is_none() {
        let correct = correct(answers.predicted, answers.truth)?;
        of_accuracy = group_bootstrap_accuracy(units, &correct, n_resamples, seed)?;
    }
    Ok(WildsIntervals {
        accuracy: of_accuracy,
        macro_recall: interval(macro_recall, |drawn| Some(drawn.macro_recall)),
        macro_f1: interval(macro_f1, |drawn| Some(drawn.macro_f1)),
        worst_domain: worst_domain.as_ref().map(|worst| interval(worst.accuracy, |drawn| drawn.worst_domain)),
        n_units,
        n_resamples,
    })
}

/// The scores of one resample.
struct Drawn {
    accuracy: f64,
    macro_recall: f64,
    macro_f1: f64,
    worst_domain: Option<f64>,
}

/// Images and right answers.
#[derive(Debug, Clone, Copy, Default)]
struct OfDomain {
    n: u64,
    n_right: u64,
}

/// What every unit adds, one unit after the other. Classes and domains are those that occur, numbered in their order.
struct Sums {
    n_classes: usize,
    n_domains: usize,
    classes: Vec<(u32, OfClass)>,
    domains: Vec<(u32, OfDomain)>,
    /// Where each unit's entries of both lists end.
    ends: Vec<(usize, usize)>,
}

/// A resample as it is summed.
struct Total {
    times: Vec<u32>,
    classes: Vec<OfClass>,
    domains: Vec<OfDomain>,
}

/// Numbers the values that occur, ascending.
fn numbered<T: Ord + Copy>(values: impl Iterator<Item = T>) -> BTreeMap<T, u32> {
    let mut numbers: BTreeMap<T, u32> = values.map(|value| (value, 0)).collect();
    numbers.values_mut().zip(0..).for_each(|(number, next)| *number = next);
    numbers
}

impl Sums {
    fn new<U: Ord>(answers: &WildsAnswers, units: &[U]) -> Sums {
        let classes = numbered(answers.predicted.iter().chain(answers.truth).copied());
        let counted = |image: usize| answers.domains.map(|domains| domains[image]).filter(|&name| name != UNCOUNTED);
        let domains = numbered((0..units.len()).filter_map(counted));
        let mut images: Vec<usize> = (0..units.len()).collect();
        images.sort_by_key(|&image| &units[image]);
        let mut sums = Sums {
            n_classes: classes.len(),
            n_domains: domains.len(),
            classes: Vec::new(),
            domains: Vec::new(),
            ends: Vec::new(),
        };
        for unit in images.chunk_by(|&a, &b| units[a] == units[b]) {
            let (mut of_classes, mut of_domains) = (BTreeMap::new(), BTreeMap::new());
            for &image in unit {
                let (predicted, truth) = (answers.predicted[image], answers.truth[image]);
                let is_right = u64::from(predicted == truth);
                of_classes.entry(classes[&predicted]).or_insert_with(OfClass::default).n_predicted += 1;
                let of_truth = of_classes.entry(classes[&truth]).or_default();
                of_truth.n_true += 1;
                of_truth.n_right += is_right;
                if let Some(name) = counted(image) {
                    let of_domain = of_domains.entry(domains[name]).or_insert_with(OfDomain::default);
                    of_domain.n += 1;
                    of_domain.n_right += is_right;
                }
            }
            sums.classes.extend(of_classes);
            sums.domains.extend(of_domains);
            sums.ends.push((sums.classes.len(), sums.domains.len()));
        }
        sums
    }

    fn n_units(&self) -> usize {
        self.ends.len()
    }

    fn empty(&self) -> Total {
        Total {
            times: vec![0; self.n_units()],
            classes: vec![OfClass::default(); self.n_classes],
            domains: vec![OfDomain::default(); self.n_domains],
        }
    }

    /// The scores of resample number `resample`.
    fn draw(&self, total: &mut Total, seed: u64, resample: u64) -> Drawn {
        let mut random = Random::new("wilds bootstrap", seed, resample);
        total.times.fill(0);
        total.classes.fill(OfClass::default());
        total.domains.fill(OfDomain::default());
        for _ in 0..self.n_units() {
            total.times[random.below(self.ends.len())] += 1;
        }
        let mut begin = (0, 0);
        for (&end, &times) in self.ends.iter().zip(&total.times) {
            let times = u64::from(times);
            if times > 0 {
                for &(class, adds) in &self.classes[begin.0..end.0] {
                    total.classes[class as usize].add(adds, times);
                }
                for &(domain, OfDomain { n, n_right }) in &self.domains[begin.1..end.1] {
                    let of_domain = &mut total.domains[domain as usize];
                    of_domain.n += times * n;
                    of_domain.n_right += times * n_right;
                }
            }
            begin = end;
        }
        let sum = |of: fn(&OfClass) -> u64| total.classes.iter().map(of).sum::<u64>() as f64;
        let present = total.domains.iter().filter(|domain| domain.n > 0);
        Drawn {
            accuracy: sum(|class| class.n_right) / sum(|class| class.n_true),
            macro_recall: mean_of_defined(total.classes.iter().map(|class| class.recall())),
            macro_f1: mean_of_defined(total.classes.iter().map(|class| class.f1_of_present())),
            worst_domain: present.map(|domain| domain.n_right as f64 / domain.n as f64).reduce(f64::min),
        }
    }
}
