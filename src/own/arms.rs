//! Arms in order, and which of them cannot be told apart.

use super::Compared;
use crate::error::Result;
use crate::manifest::Method;
use crate::metrics::{Estimate, Resamples, holm};
use ndarray::Array2;

/// Resamples of groups of images.
const RESAMPLES: usize = 2000;
/// Chance of a false difference among all comparisons with the best.
const LEVEL: f64 = 0.05;

/// What an arm said of each image, by seed.
pub(super) struct Answers {
    pub model: String,
    pub method: Method,
    pub predicted: Vec<Vec<u32>>,
}

/// A model under a method.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Model id.
    pub model: String,
    /// How its features are used.
    pub method: Method,
    /// Class of each image of [`Compared::rows`], by seed, said by a probe that did not see the image.
    pub predicted: Vec<Vec<u32>>,
    /// Accuracy over the measured images, all seeds together, with an interval over groups of images.
    pub accuracy: Estimate,
    /// How far behind the best arm, paired on the same images; 0 for the best itself.
    pub behind: Estimate,
    /// The p-value of that, after Holm over all arms but the best; 1 for the best.
    pub holm: f64,
    /// Whether it cannot be told apart from the best.
    pub undecided: bool,
    /// In what part of the resamples it is the best.
    pub best_in: f64,
}

/// Orders arms by accuracy and says which cannot be told apart from the first.
pub(super) fn ranked(compared: &Compared, answers: Vec<Answers>, seed: u64) -> Result<Vec<Arm>> {
    let units = compared.units.iter().max().map_or(0, |last| *last as usize + 1);
    // Right answers of each arm, and answers, by unit.
    let mut counts = Array2::<f32>::zeros((units, answers.len() + 1));
    for at in (0..compared.rows.len()).filter(|&at| compared.measured[at]) {
        let unit = compared.units[at] as usize;
        for (arm, answers) in answers.iter().enumerate() {
            let right = answers.predicted.iter().filter(|of_seed| of_seed[at] == compared.labels[at]).count();
            counts[[unit, arm]] += right as f32;
        }
        counts[[unit, answers.len()]] += compared.folds.len() as f32;
    }
    let all = counts.sum_axis(ndarray::Axis(0)).mapv(f64::from);
    let resampled = Resamples::new(units, RESAMPLES, seed)?.sums(counts.view())?.mapv(f64::from);
    // A resample of nothing but images that are not measured has no accuracy.
    let drawn: Vec<usize> = (0..RESAMPLES).filter(|&i| resampled[[i, answers.len()]] > 0.0).collect();
    let accuracy = |arm: usize| all[arm] / all[answers.len()];
    let of_resample = |i: usize, arm: usize| resampled[[i, arm]] / resampled[[i, answers.len()]];
    let mut order: Vec<usize> = (0..answers.len()).collect();
    order.sort_by(|&a, &b| accuracy(b).total_cmp(&accuracy(a)));
    let first = order[0];
    let behind = |arm: usize| {
        let differences = drawn.iter().map(|&i| of_resample(i, first) - of_resample(i, arm)).collect();
        Estimate::of(accuracy(first) - accuracy(arm), differences)
    };
    let mut wins = vec![0usize; answers.len()];
    for &i in &drawn {
        // The first in order of equals.
        let best = order.iter().copied().reduce(|a, b| if of_resample(i, b) > of_resample(i, a) { b } else { a });
        wins[best.unwrap_or(first)] += 1;
    }
    let behind: Vec<Estimate> = order.iter().map(|&arm| behind(arm)).collect();
    let others: Vec<f64> = behind.iter().skip(1).map(|estimate| estimate.p_value.unwrap_or(1.0)).collect();
    let corrected = if others.is_empty() { Vec::new() } else { holm(&others)? };
    let corrected: Vec<f64> = std::iter::once(1.0).chain(corrected).collect();
    let accuracies: Vec<Estimate> = (0..answers.len())
        .map(|arm| Estimate::of(accuracy(arm), drawn.iter().map(|&i| of_resample(i, arm)).collect()))
        .collect();
    let mut answers: Vec<Option<Answers>> = answers.into_iter().map(Some).collect();
    let arm = |(place, &at): (usize, &usize)| {
        let Answers { model, method, predicted } = answers[at].take()?;
        Some(Arm {
            accuracy: accuracies[at],
            behind: behind[place],
            holm: corrected[place],
            undecided: corrected[place] > LEVEL,
            best_in: wins[at] as f64 / drawn.len().max(1) as f64,
            model,
            method,
            predicted,
        })
    };
    Ok(order.iter().enumerate().filter_map(arm).collect())
}

impl Compared {
    /// The arm of that model and method.
    pub fn arm(&self, model: &str, method: Method) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.model == model && arm.method == method)
    }

    /// The best arm whose probabilities are those of a regression: five votes of neighbours say little of how sure they are.
    pub fn best_regression(&self) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.method != Method::Knn)
    }

    /// Arms that cannot be told apart, the best first.
    pub fn undecided(&self) -> impl Iterator<Item = &Arm> {
        self.arms.iter().filter(|arm| arm.undecided)
    }

    /// Images that are measured.
    pub fn n_measured(&self) -> usize {
        self.measured.iter().filter(|measured| **measured).count()
    }
}
