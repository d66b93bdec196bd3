//! Which model and method to take with how many labels, by the answers that were kept: the winner of every test, and what cannot
//! be told apart from it.
//!
//! All that was asked with the same labels met the same images, so that every difference is paired. Its interval covers both the
//! draw of the labels and the choice of the test images ([`TwoWay`]); nothing here covers another training of the backbones.

use super::Answered;
use crate::error::Result;
use crate::metrics::{Estimate, TwoWay};
use ndarray::Array2;
use std::collections::{BTreeMap, BTreeSet};

/// A model and a method.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Way {
    /// Model id.
    pub model: String,
    /// A probe, or a way to fine-tune.
    pub method: String,
    /// Which weights of a run; empty for a probe.
    pub weights: String,
}

/// How a way did in a test.
#[derive(Debug, Clone, PartialEq)]
pub struct Did {
    /// Which.
    pub way: Way,
    /// Mean accuracy over the seeds, with its interval.
    pub accuracy: Estimate,
    /// How far it is behind the winner; 0 for the winner.
    pub behind: Estimate,
    /// The same in every resample, which are those of all ways of the test.
    pub resampled: Vec<f64>,
    /// Whether the interval of [`Did::behind`] leaves it open that it is as good as the winner.
    pub undecided: bool,
}

/// One test with one number of labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// Data set id.
    pub dataset: String,
    /// `test`, `id` or `ood`.
    pub split: String,
    /// Label budgets that draw these labels: where the smallest class has no more to give, several do.
    pub budgets: Vec<u32>,
    /// Training images per class of the data set, mean over seeds. Validation images are not among them; a way that learns from them
    /// too (`lr_sweep`) had more.
    pub labels: f64,
    /// Seeds that all ways share.
    pub n_seeds: usize,
    /// Test images of a seed, mean over seeds.
    pub n_images: f64,
    /// Families of images: what a split keeps together.
    pub n_families: usize,
    /// Every way, the winner first.
    pub ways: Vec<Did>,
}

impl Choice {
    /// The winner and what cannot be told apart from it.
    pub fn undecided(&self) -> impl Iterator<Item = &Did> {
        self.ways.iter().filter(|did| did.undecided)
    }

    /// How a way did.
    pub fn of(&self, way: &Way) -> Option<&Did> {
        self.ways.iter().find(|did| did.way == *way)
    }
}

/// Answers of one test by way and seed.
type Asked<'a> = BTreeMap<Way, BTreeMap<u64, &'a Answered>>;

/// Whether a way is one that a reader could take: a probe, or a run by the weights that are reported, the last ones (of WiSE those
/// that validation chose).
pub fn is_choice(way: &Way) -> bool {
    match way.weights.as_str() {
        "" | "chosen" => true,
        "last" => way.method != "wise",
        _ => false,
    }
}

/// The choice in every test and with every number of labels that `answers` tell of. Ways are compared on the seeds that all of them
/// have; what is no choice ([`is_choice`]) is left out, and so is a test of which no probe is known: fine-tuned models alone say
/// nothing of what else there was to take.
///
/// # Errors
/// Fewer than 40 resamples.
pub fn choices(answers: &[Answered], resamples: usize, seed: u64) -> Result<Vec<Choice>> {
    let mut tests: BTreeMap<(&str, &str, u32), Asked> = BTreeMap::new();
    for answered in answers.iter().filter(|answered| answered.cell.protocol != "leaky") {
        let cell = &answered.cell;
        let (model, method, weights) = (cell.model.clone(), cell.method.clone(), answered.weights.clone());
        let way = Way { model, method, weights };
        let Some(budget) = cell.budget.filter(|_| is_choice(&way)) else { continue };
        let test = tests.entry((&cell.dataset, &answered.split, budget)).or_default();
        test.entry(way).or_default().insert(cell.seed, answered);
    }
    let mut found: Vec<Choice> = Vec::new();
    for ((dataset, split, budget), asked) in tests {
        let asked = of_same_images(asked);
        if !asked.keys().any(|way| way.weights.is_empty()) {
            continue;
        }
        let Some(choice) = choice((dataset, split, budget), &asked, resamples, seed)? else { continue };
        // A larger budget that draws the same labels is the same test.
        let same = found.iter_mut().find(|other| {
            (other.dataset.as_str(), other.split.as_str()) == (dataset, split) && other.labels == choice.labels
        });
        match same {
            Some(other) if other.ways.len() >= choice.ways.len() => other.budgets.push(budget),
            Some(other) => *other = Choice { budgets: [other.budgets.clone(), vec![budget]].concat(), ..choice },
            None => found.push(choice),
        }
    }
    Ok(found)
}

/// The ways that were asked about the same images, most of all: what came with the project knows images that cannot be decoded here.
fn of_same_images(asked: Asked) -> Asked {
    let same = |one: &BTreeMap<u64, &Answered>, other: &BTreeMap<u64, &Answered>| {
        one.iter().all(|(seed, answered)| other.get(seed).is_none_or(|of| of.tested == answered.tested))
    };
    let group = |of: &BTreeMap<u64, &Answered>| asked.values().filter(|seeds| same(of, seeds)).count();
    let Some(mut most) = asked.values().next().cloned() else { return asked };
    let mut n = group(&most);
    if n < asked.len() {
        for seeds in asked.values() {
            let larger = group(seeds);
            if larger > n {
                (most, n) = (seeds.clone(), larger);
            }
        }
    }
    asked.into_iter().filter(|(_, seeds)| same(&most, seeds)).collect()
}

/// `None` where the ways share fewer than two seeds, or there are fewer than two families of images.
fn choice(
    (dataset, split, budget): (&str, &str, u32),
    asked: &Asked,
    resamples: usize,
    seed: u64,
) -> Result<Option<Choice>> {
    let shared = asked.values().map(|seeds| seeds.keys().copied().collect::<BTreeSet<u64>>());
    let Some(seeds) = shared.reduce(|a, b| &a & &b).filter(|seeds| seeds.len() > 1) else { return Ok(None) };
    let first: Vec<&Answered> =
        asked.values().next().into_iter().flat_map(|way| seeds.iter().map(|seed| way[seed])).collect();
    let families: BTreeSet<u32> = first.iter().flat_map(|answered| answered.tested.units.iter().copied()).collect();
    if families.len() < 2 {
        return Ok(None);
    }
    let numbers: BTreeMap<u32, usize> = families.into_iter().zip(0..).collect();
    let sums = |by_seed: &[&Answered], of: fn(&Answered, usize) -> f64| {
        let mut sums = Array2::zeros((by_seed.len(), numbers.len()));
        for (row, answered) in by_seed.iter().enumerate() {
            for (image, unit) in answered.tested.units.iter().enumerate() {
                sums[[row, numbers[unit]]] += of(answered, image);
            }
        }
        sums
    };
    let counts = sums(&first, |_, _| 1.0);
    let n_images = counts.sum() / seeds.len() as f64;
    let two_way = TwoWay::new(counts, resamples, seed)?;
    let right = asked.iter().map(|(way, by_seed)| {
        let by_seed: Vec<&Answered> = seeds.iter().map(|seed| by_seed[seed]).collect();
        (way, sums(&by_seed, |answered, image| f64::from(u8::from(answered.right[image]))))
    });
    let right: Vec<(&Way, Array2<f64>)> = right.collect();
    let mut rates = right.iter().map(|(_, sums)| two_way.rates(sums.view())).collect::<Result<Vec<_>>>()?;
    // The first of equals, as in the order below.
    let best = (0..rates.len()).reduce(|a, b| if rates[b].0 > rates[a].0 { b } else { a });
    let Some(best) = best else { return Ok(None) };
    let winner = rates[best].clone();
    let mut ways = Vec::new();
    for ((way, _), (value, resampled)) in right.iter().zip(rates.drain(..)) {
        let less: Vec<f64> = winner.1.iter().zip(&resampled).map(|(best, own)| best - own).collect();
        let behind = Estimate::of(winner.0 - value, less.clone());
        ways.push(Did {
            way: (*way).clone(),
            accuracy: Estimate::of(value, resampled.clone()),
            undecided: behind.interval.is_none_or(|(low, _)| low <= 0.0),
            behind,
            resampled,
        });
    }
    ways.sort_by(|a, b| b.accuracy.value.total_cmp(&a.accuracy.value));
    let of_way = |way: &BTreeMap<u64, &Answered>| -> f64 {
        seeds.iter().map(|seed| f64::from(way[seed].n_train) / f64::from(way[seed].n_classes.max(1))).sum()
    };
    let labels = asked.values().map(of_way).fold(f64::INFINITY, f64::min);
    Ok(Some(Choice {
        dataset: dataset.into(),
        split: split.into(),
        budgets: vec![budget],
        labels: labels / seeds.len() as f64,
        n_seeds: seeds.len(),
        n_images,
        n_families: numbers.len(),
        ways,
    }))
}

/// What always taking one way costs with about so many labels, over the tests that all ways have.
#[derive(Debug, Clone, PartialEq)]
pub struct Cost {
    /// Which.
    pub way: Way,
    /// How far it is behind the winners, mean over tests; the interval is over the resamples of each.
    pub mean: Estimate,
    /// The most that it loses in a test, and in which.
    pub worst: (f64, String),
}

/// The cost of every way at a budget, the least first; only ways that every test of that budget has.
pub fn costs(choices: &[Choice], budget: u32) -> Vec<Cost> {
    let tests: Vec<&Choice> = choices.iter().filter(|choice| choice.budgets.contains(&budget)).collect();
    let Some(first) = tests.first() else { return Vec::new() };
    let of = |way: &Way| {
        let dids = tests.iter().map(|test| test.of(way)).collect::<Option<Vec<&Did>>>()?;
        let n = tests.len() as f64;
        let n_resamples = dids.iter().map(|did| did.resampled.len()).min()?;
        let behind = |resample: usize| {
            let each =
                tests.iter().zip(&dids).map(|(test, did)| test.ways[0].resampled[resample] - did.resampled[resample]);
            each.sum::<f64>() / n
        };
        let mean = dids.iter().map(|did| did.behind.value).sum::<f64>() / n;
        let worst = tests.iter().zip(&dids).max_by(|a, b| a.1.behind.value.total_cmp(&b.1.behind.value))?;
        Some(Cost {
            way: way.clone(),
            mean: Estimate::of(mean, (0..n_resamples).map(behind).collect()),
            worst: (worst.1.behind.value, format!("{}, {}", worst.0.dataset, worst.0.split)),
        })
    };
    let mut costs: Vec<Cost> = first.ways.iter().filter_map(|did| of(&did.way)).collect();
    costs.sort_by(|a, b| a.mean.value.total_cmp(&b.mean.value));
    costs
}
