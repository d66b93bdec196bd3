//! Models over data sets: places, regret, and where the spread comes from.

use super::columns::Column;
use super::{DRIFT, GENERAL, NINE};
use crate::error::{Error, Result};
use crate::published::{PublishedResult, PublishedTable};
use ndarray::{Array2, Array3};
use std::collections::BTreeMap;
use wider_clip_numbers::metrics::{Regret, Standings, Stretch, VarianceShares, ranks_of, regrets};

/// Places of the nine models that every table has.
#[derive(Debug, Clone, PartialEq)]
pub struct Places {
    /// The data sets, in the order of their names.
    pub sets: Vec<String>,
    /// The standing of each of [`NINE`], in that order.
    pub standings: Standings,
}

/// Which columns a ranking takes of every data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtBudget {
    /// Those of this budget.
    Of(usize),
    /// Those of the largest that the method has on the set.
    Largest,
}

/// Places by accuracy with a method. Several columns of a data set, as in and out of distribution, count once, by their mean rank.
///
/// # Errors
/// [`Error::Argument`] where fewer than two data sets have all nine models.
pub fn places(columns: &[Column], method: &str, budget: AtBudget) -> Result<Places> {
    let largest = |column: &Column| {
        let same = |other: &&Column| {
            other.dataset == column.dataset && other.split == column.split && other.method == column.method
        };
        columns.iter().filter(same).map(|other| other.budget).max()
    };
    let wanted = |column: &&Column| {
        column.method == method
            && match budget {
                AtBudget::Of(budget) => column.budget == budget,
                AtBudget::Largest => Some(column.budget) == largest(column),
            }
    };
    let mut ranks: BTreeMap<&str, Vec<Vec<f64>>> = BTreeMap::new();
    for column in columns.iter().filter(wanted) {
        if let Some(accuracies) = NINE.iter().map(|model| column.of(model)).collect::<Option<Vec<f64>>>() {
            ranks.entry(&column.dataset).or_default().push(ranks_of(&accuracies));
        }
    }
    of_ranks(ranks)
}

/// Places by the adjusted Rand index of clusters.
///
/// # Errors
/// As [`places`].
pub fn clustering_places(results: &[PublishedResult]) -> Result<Places> {
    let mut ranks: BTreeMap<&str, Vec<Vec<f64>>> = BTreeMap::new();
    for (dataset, _, scores) in clusterings(results) {
        if let Some(scores) = NINE.iter().map(|model| scores.get(model).copied()).collect::<Option<Vec<f64>>>() {
            ranks.entry(dataset).or_default().push(ranks_of(&scores));
        }
    }
    of_ranks(ranks)
}

/// The study's clusterings: data set, split, adjusted Rand index of each model.
pub fn clusterings(results: &[PublishedResult]) -> Vec<(&str, &str, BTreeMap<&str, f64>)> {
    let mut found: Vec<(&str, &str, BTreeMap<&str, f64>)> = Vec::new();
    for result in results.iter().filter(|result| result.key.table == PublishedTable::Clustering) {
        let (dataset, split, model) =
            (result.key.dataset.as_str(), result.key.split.as_str(), result.key.model.as_str());
        match found.iter_mut().find(|(d, s, _)| (*d, *s) == (dataset, split)) {
            Some((_, _, scores)) => drop(scores.insert(model, result.value)),
            None => found.push((dataset, split, BTreeMap::from([(model, result.value)]))),
        }
    }
    found
}

fn of_ranks(ranks: BTreeMap<&str, Vec<Vec<f64>>>) -> Result<Places> {
    let sets: Vec<String> = ranks.keys().map(|set| set.to_string()).collect();
    let ranks: Vec<Vec<Vec<f64>>> = ranks.into_values().collect();
    let mean = |(set, model): (usize, usize)| {
        ranks[set].iter().map(|ranks| ranks[model]).sum::<f64>() / ranks[set].len() as f64
    };
    let means = Array2::from_shape_fn((sets.len(), NINE.len()), mean);
    Ok(Places { standings: Standings::new(means.view())?, sets })
}

/// What always choosing one model and method costs at a budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Regrets {
    /// The data sets, in the order of their names.
    pub sets: Vec<String>,
    /// Model, method and regret (fractions), the smallest first.
    pub choices: Vec<(String, String, Regret)>,
    /// The regret of every choice on every set (choices, sets), in the order of `choices`.
    pub losses: Array2<f64>,
    /// Where the spread of the logits comes from.
    pub shares: VarianceShares,
}

/// The methods, in the order of [`regret`]'s scores.
const METHODS: [&str; 3] = ["knn", "lr", "finetune"];

/// Regret at a budget, for the nine models that every table has, over the sets that have all three methods there. The two tests of
/// a drift set count as one, by their mean. The best of a column is the best of all its models.
///
/// # Errors
/// [`Error::Argument`] for a budget that no data set has.
pub fn regret(columns: &[Column], budget: usize) -> Result<Regrets> {
    let find =
        |set: &str, split: &str, method: &str| columns.iter().find(|column| column.is(set, split, method, budget));
    let mut sets: Vec<(&str, Vec<&str>)> = Vec::new();
    for set in GENERAL.iter().chain(&DRIFT) {
        let splits: Vec<&str> = ["test", "id", "ood"]
            .into_iter()
            .filter(|split| METHODS.iter().all(|method| find(set, split, method).is_some()))
            .collect();
        if !splits.is_empty() {
            sets.push((set, splits));
        }
    }
    sets.sort();
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
    // Accuracy of each method, set and model, and how far it is behind the best of its columns.
    let mut scores = Array3::zeros((METHODS.len(), sets.len(), NINE.len()));
    let mut behind = Array2::zeros((METHODS.len() * NINE.len(), sets.len()));
    for (s, (set, splits)) in sets.iter().enumerate() {
        let best = |split: &&str| {
            let all = METHODS.iter().filter_map(|method| find(set, split, method));
            all.flat_map(|column| column.accuracies.iter().map(|(_, accuracy)| *accuracy)).fold(f64::MIN, f64::max)
        };
        let best: Vec<f64> = splits.iter().map(best).collect();
        for (m, method) in METHODS.iter().enumerate() {
            for (k, model) in NINE.iter().enumerate() {
                let of = |split: &&str| find(set, split, method).and_then(|column| column.of(model));
                let accuracies = splits.iter().map(of).collect::<Option<Vec<f64>>>();
                let lacking = || Error::argument("column", format!("{model} in {method} {budget}"), set.to_string());
                let accuracies = accuracies.ok_or_else(lacking)?;
                let losses = best.iter().zip(&accuracies).map(|(best, own)| best - own).collect();
                behind[[m * NINE.len() + k, s]] = mean(losses);
                scores[[m, s, k]] = mean(accuracies);
            }
        }
    }
    // As scores of which the best of each set is 0: EfficientNets may be the best, and are no choice here.
    let mut with_best = Array2::zeros((behind.nrows() + 1, behind.ncols()));
    with_best.slice_mut(ndarray::s![1.., ..]).assign(&behind.mapv(|loss| -loss));
    let all = regrets_of(&with_best)?;
    let name = |choice: usize| (NINE[choice % NINE.len()].to_string(), METHODS[choice / NINE.len()].to_string());
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|&a, &b| all[a].mean.total_cmp(&all[b].mean));
    let choices = order.iter().map(|&choice| {
        let (model, method) = name(choice);
        (model, method, all[choice])
    });
    let stretched = scores.mapv(|accuracy: f64| Stretch::Logit.of(accuracy.clamp(0.002, 0.998)).unwrap_or(0.0));
    Ok(Regrets {
        choices: choices.collect(),
        losses: behind.select(ndarray::Axis(0), &order),
        shares: VarianceShares::of(stretched.view())?,
        sets: sets.into_iter().map(|(set, _)| set.to_string()).collect(),
    })
}

/// Regrets of all rows but the first, which is the best of every set and no choice.
fn regrets_of(with_best: &Array2<f64>) -> Result<Vec<Regret>> {
    let with = regrets(with_best.view())?;
    // Who has the least is asked of the choices alone: what is behind the first row stays as far behind each other.
    let among = regrets(with_best.slice(ndarray::s![1.., ..]))?;
    Ok(with.into_iter().skip(1).zip(among).map(|(regret, among)| Regret { least: among.least, ..regret }).collect())
}
