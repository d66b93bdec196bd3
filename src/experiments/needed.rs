//! How many labels a way needs to be as good as another is with few: accuracies of all budgets, seed by seed.

use super::Protocol;
use super::choices::Way;
use crate::error::{Error, Result};
use crate::metrics::{Interval, mean_t_interval};
use crate::results::ResultRow;
use std::collections::{BTreeMap, BTreeSet};

/// The labels that a way needs to reach a target.
#[derive(Debug, Clone, PartialEq)]
pub struct Needed {
    /// Which way.
    pub way: Way,
    /// Training images per class: the geometric mean over seeds, each by a line between the two budgets around it on a logarithmic
    /// scale. `None` where a seed does not reach the target with all the labels it has. Where [`Needed::at_once`] is not 0 it is
    /// the most that may be needed: of those seeds the fewest labels are taken.
    pub labels: Option<f64>,
    /// Its 95% t-interval over seeds; `None` where there is one seed, or no number. The lower end is `None` where
    /// [`Needed::at_once`] is not 0: nobody knows how far below it lies.
    pub interval: Option<(Option<f64>, f64)>,
    /// Seeds that reach the target.
    pub reached: usize,
    /// Seeds that reach it with the fewest labels already, so that fewer might do.
    pub at_once: usize,
    /// Seeds.
    pub n_seeds: usize,
}

/// What is to be reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The way that sets it.
    pub way: Way,
    /// Its training images per class, mean over seeds.
    pub labels: f64,
    /// Its accuracy, mean over seeds.
    pub accuracy: f64,
    /// The fewest and the most training images per class of any way.
    pub range: (f64, f64),
}

/// Accuracy and training images per class, by budget.
type Curve = BTreeMap<u32, (f64, f64)>;

/// What every probe needs to be as good as the best one with `budget` labels, on the same seed's split; the one that sets the target
/// first, then by what they need. `n_classes` classes share the training images.
///
/// # Errors
/// [`Error::Argument`] where no row is of this data set, split and budget.
pub fn needed(
    rows: &[ResultRow],
    (dataset, split): (&str, &str),
    budget: u32,
    n_classes: usize,
) -> Result<(Target, Vec<Needed>)> {
    let mut curves: BTreeMap<Way, BTreeMap<u64, Curve>> = BTreeMap::new();
    for row in rows {
        let cell = &row.cell;
        let wanted = cell.dataset == dataset && row.split == split && row.metric == "accuracy";
        let sound = cell.protocol != Protocol::Leaky.as_str() && row.n_train > 0;
        let (Some(budget), Some(value), true) = (cell.budget, row.value, wanted && sound) else { continue };
        let way = Way { model: cell.model.clone(), method: cell.method.clone(), weights: row.weights.clone() };
        let labels = f64::from(row.n_train) / n_classes as f64;
        curves.entry(way).or_default().entry(cell.seed).or_default().insert(budget, (labels, value));
    }
    let at = |seeds: &BTreeMap<u64, Curve>| {
        seeds.values().map(|curve| curve.get(&budget).copied()).collect::<Option<Vec<_>>>()
    };
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
        sum / f64::from(n.max(1))
    };
    let best = curves
        .iter()
        .filter_map(|(way, seeds)| Some((way, mean(&mut at(seeds)?.into_iter().map(|(_, accuracy)| accuracy)))))
        // The first of equals.
        .reduce(|a, b| if b.1 > a.1 { b } else { a });
    let nothing = || Error::argument("rows", format!("some of {dataset}, {split} at budget {budget}"), "none");
    let (way, accuracy) = best.ok_or_else(nothing)?;
    let target = &curves[way];
    let all =
        || curves.values().flat_map(|seeds| seeds.values().flat_map(|curve| curve.values().map(|(labels, _)| *labels)));
    let set = Target {
        way: way.clone(),
        labels: mean(&mut at(target).into_iter().flatten().map(|(labels, _)| labels)),
        accuracy,
        range: (all().fold(f64::MAX, f64::min), all().fold(0.0, f64::max)),
    };
    let mut found = Vec::new();
    for (way, seeds) in &curves {
        let shared: BTreeSet<u64> = seeds.keys().filter(|seed| target.contains_key(seed)).copied().collect();
        let crossings = shared.iter().filter_map(|seed| Some((seeds.get(seed)?, target.get(seed)?.get(&budget)?.1)));
        let crossings: Vec<Option<(f64, bool)>> = crossings.map(|(curve, aim)| crossing(curve, aim)).collect();
        if crossings.is_empty() {
            continue;
        }
        let logs: Vec<f64> = crossings.iter().flatten().map(|(labels, _)| labels.ln()).collect();
        let at_once = crossings.iter().flatten().filter(|(_, at_once)| *at_once).count();
        let ends = |interval: Interval| {
            let low = interval.low?.exp();
            Some(((at_once == 0).then_some(low), interval.high?.exp()))
        };
        let whole = (logs.len() == crossings.len()).then(|| mean_t_interval(&logs, 0.95)).transpose()?;
        found.push(Needed {
            way: way.clone(),
            labels: whole.map(|interval| interval.mean.exp()),
            interval: whole.and_then(ends),
            reached: logs.len(),
            at_once,
            n_seeds: crossings.len(),
        });
    }
    let order = |needed: &Needed| (needed.way != set.way, needed.labels.unwrap_or(f64::INFINITY));
    found.sort_by(|a, b| order(a).0.cmp(&order(b).0).then(order(a).1.total_cmp(&order(b).1)));
    Ok((set, found))
}

/// The first number of labels at which a curve reaches `aim`, and whether that is its first point.
fn crossing(curve: &Curve, aim: f64) -> Option<(f64, bool)> {
    let mut before: Option<(f64, f64)> = None;
    for &(labels, accuracy) in curve.values() {
        if accuracy >= aim {
            let Some((fewer, lower)) = before else { return Some((labels, true)) };
            let part = (aim - lower) / (accuracy - lower);
            return Some(((fewer.ln() + part * (labels.ln() - fewer.ln())).exp(), false));
        }
        before = Some((labels, accuracy));
    }
    None
}
