//! Fine-tuning held against the logistic regression on the same images, and the number of labels from which it pays.

use super::{Finetuning, Plan};
use crate::error::Result;
use crate::experiments::Answered;
use crate::experiments::answered::answered;
use crate::metrics::{self, AtSize, Crossing, PairedBootstrap};
use crate::project::Project;
use crate::results::Cell;
use candle_core::Device;
use rayon::prelude::*;
use std::collections::BTreeMap;

const RESAMPLES: usize = 2000;

/// A way to fine-tune against the logistic regression of the same model, on the test images of all seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Gain {
    /// Data set id.
    pub dataset: String,
    /// `test`, or `id` and `ood`.
    pub split: String,
    /// Model id.
    pub model: String,
    /// The way to fine-tune.
    pub method: String,
    /// Which weights: `last`, `best`, `chosen`, `alpha 0.5`.
    pub weights: String,
    /// Label budget.
    pub budget: u32,
    /// Training images of a seed.
    pub n_train: usize,
    /// Fine-tuning minus logistic regression; groups are what a split keeps together.
    pub paired: PairedBootstrap,
    /// Its p-value after Holm, over all models of the data set, split, method, weights and budget.
    pub holm: f64,
}

/// What was right, and what each image belongs to, over all seeds.
#[derive(Default)]
struct Pooled {
    n_train: usize,
    groups: Vec<u32>,
    tuned: Vec<bool>,
    probe: Vec<bool>,
}

impl Pooled {
    fn at_size(&self) -> AtSize<'_, u32> {
        AtSize { size: self.n_train as f64, groups: &self.groups, a: &self.tuned, b: &self.probe }
    }
}

/// Data set, split, model, method, weights, budget.
type Place = (String, String, String, String, String, u32);

/// Every arm of the suite's runs against the logistic regression on the same split, image by image.
///
/// # Errors
/// As for [`super::run`], which it does first; kept answers of other images than the split's.
pub fn gains(project: &Project, device: &Device) -> Result<Vec<Gain>> {
    let pooled = pooled(project, device)?;
    let gain = |(place, pooled): (Place, Pooled)| -> Result<Gain> {
        let Pooled { groups, tuned, probe, n_train } = pooled;
        let paired = metrics::paired_group_bootstrap(&groups, &tuned, &probe, RESAMPLES, 0)?;
        let (dataset, split, model, method, weights, budget) = place;
        let holm = paired.p_value;
        Ok(Gain { dataset, split, model, method, weights, budget, n_train, paired, holm })
    };
    let mut gains = pooled.into_par_iter().map(gain).collect::<Result<Vec<Gain>>>()?;
    let mut families: BTreeMap<(String, String, String, String, u32), Vec<usize>> = BTreeMap::new();
    for (i, gain) in gains.iter().enumerate() {
        let Gain { dataset, split, method, weights, budget, .. } = gain;
        let family = (dataset.clone(), split.clone(), method.clone(), weights.clone(), *budget);
        families.entry(family).or_default().push(i);
    }
    for family in families.into_values() {
        let p_values: Vec<f64> = family.iter().map(|&i| gains[i].paired.p_value).collect();
        for (i, adjusted) in family.into_iter().zip(metrics::holm(&p_values)?) {
            gains[i].holm = adjusted;
        }
    }
    Ok(gains)
}

/// From how many training images on a way to fine-tune is at least as good as the logistic regression, for every data set,
/// split and model of the suite that was run at two budgets or more: data set, split, model and where they cross.
///
/// # Errors
/// As for [`gains`].
pub fn crossover(
    project: &Project,
    method: &str,
    weights: &str,
    device: &Device,
) -> Result<Vec<(String, String, String, Crossing)>> {
    let mut by_model: BTreeMap<(String, String, String), Vec<Pooled>> = BTreeMap::new();
    for ((dataset, split, model, of, with, _), pooled) in pooled(project, device)? {
        if of == method && with == weights {
            by_model.entry((dataset, split, model)).or_default().push(pooled);
        }
    }
    let crossings = by_model.into_par_iter().filter_map(|((dataset, split, model), mut sizes)| {
        sizes.sort_by_key(|pooled| pooled.n_train);
        // Budgets that draw the same images are one size.
        sizes.dedup_by_key(|pooled| pooled.n_train);
        let sizes: Vec<AtSize<u32>> = sizes.iter().map(Pooled::at_size).collect();
        let found = (sizes.len() > 1).then(|| metrics::crossing(&sizes, RESAMPLES, 0))?;
        Some(found.map(|crossing| (dataset, split, model, crossing)))
    });
    crossings.collect()
}

/// What the suite's runs had right, and the logistic regression on the same split, image by image. A data set and model whose kept
/// answers are of other images than their splits is left out, and named.
///
/// # Errors
/// As for [`super::run`], which it does first.
pub fn answers(project: &Project, device: &Device) -> Result<Vec<Answered>> {
    super::run(project, device)?;
    answered(project, &Plan::new(project, &Finetuning, device, None)?)
}

/// The same, all seeds together.
fn pooled(project: &Project, device: &Device) -> Result<Vec<(Place, Pooled)>> {
    let answers = answers(project, device)?;
    let at = |answered: &Answered| (answered.cell.key.clone(), answered.split.clone());
    let probes: BTreeMap<_, &Answered> =
        answers.iter().filter(|answered| answered.weights == "lr").map(|probe| (at(probe), probe)).collect();
    let mut pooled: BTreeMap<Place, Pooled> = BTreeMap::new();
    for tuned in answers.iter().filter(|answered| answered.weights != "lr") {
        let Some(probe) = probes.get(&at(tuned)) else { continue };
        let Cell { dataset, model, method, budget, .. } = tuned.cell.clone();
        let place = (dataset, tuned.split.clone(), model, method, tuned.weights.clone(), budget.unwrap_or_default());
        let entry = pooled.entry(place).or_default();
        entry.n_train = tuned.n_train as usize;
        entry.groups.extend(&tuned.tested.units);
        entry.tuned.extend(&tuned.right);
        entry.probe.extend(&probe.right);
    }
    Ok(pooled.into_iter().collect())
}
