//! Methods against each other, and more labels against fewer.

use super::columns::Column;
use super::{EFFICIENTNETS, GENERAL};
use crate::error::Result;
use std::collections::BTreeMap;
use wider_clip_numbers::metrics::Proportions;

fn find<'a>(columns: &'a [Column], dataset: &str, split: &str, method: &str, budget: usize) -> Option<&'a Column> {
    columns.iter().find(|column| column.is(dataset, split, method, budget))
}

/// Accuracy and number of test images of a model.
fn rate(
    columns: &[Column],
    (dataset, split): (&str, &str),
    method: &str,
    budget: usize,
    model: &str,
) -> Option<(f64, f64)> {
    let column = find(columns, dataset, split, method, budget)?;
    Some((column.of(model)?, column.n as f64))
}

/// How often one thing is above another, and how often clearly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Pairs.
    pub of: usize,
    /// Pairs in which the first is above.
    pub ahead: usize,
    /// Pairs in which it is clearly above, if answers are independent.
    pub clear: usize,
    /// Pairs in which it is clearly below.
    pub clearly_behind: usize,
}

impl Tally {
    fn add(&mut self, pair: &Proportions) {
        self.of += 1;
        self.ahead += usize::from(pair.difference > 0.0);
        self.clear += usize::from(pair.side() > 0);
        self.clearly_behind += usize::from(pair.side() < 0);
    }
}

/// The order LR 100 > LR 10 > kNN 100 > kNN 10 of the study.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MethodOrder {
    /// Pairs of model and data set.
    pub of: usize,
    /// Those in which the whole order holds.
    pub whole: usize,
    /// Its parts, and two that it implies.
    pub parts: BTreeMap<&'static str, Tally>,
}

/// Parts of the order: a name, and method and budget of either side.
type Side = (&'static str, usize);
const PARTS: [(&str, Side, Side); 5] = [
    ("lr_100>lr_10", ("lr", 100), ("lr", 10)),
    ("lr_10>knn_100", ("lr", 10), ("knn", 100)),
    ("knn_100>knn_10", ("knn", 100), ("knn", 10)),
    ("lr_100>knn_100", ("lr", 100), ("knn", 100)),
    ("lr_10>knn_10", ("lr", 10), ("knn", 10)),
];

/// How often the order of methods holds on the general sets that have both budgets, EfficientNets left out.
///
/// # Errors
/// As [`Column::interval`].
pub fn method_order(columns: &[Column]) -> Result<MethodOrder> {
    let mut found = MethodOrder::default();
    for dataset in GENERAL {
        let Some(first) = find(columns, dataset, "test", "knn", 10) else { continue };
        for (model, _) in first.accuracies.iter().filter(|(model, _)| !EFFICIENTNETS.contains(&model.as_str())) {
            let of = |(method, budget): Side| rate(columns, (dataset, "test"), method, budget, model);
            let Some(pairs) = PARTS.iter().map(|(_, a, b)| Some((of(*a)?, of(*b)?))).collect::<Option<Vec<_>>>() else {
                continue;
            };
            found.of += 1;
            found.whole += usize::from(pairs[..3].iter().all(|(a, b)| a.0 > b.0));
            for ((name, ..), (a, b)) in PARTS.iter().zip(&pairs) {
                found.parts.entry(name).or_default().add(&Proportions::new(*a, *b)?);
            }
        }
    }
    Ok(found)
}

/// How often nearest neighbours beat logistic regression on a drift set: (how often, of how many).
pub fn knn_above_lr(columns: &[Column], dataset: &str) -> (usize, usize) {
    let (mut above, mut of) = (0, 0);
    for knn in columns.iter().filter(|column| column.dataset == dataset && column.method == "knn") {
        let Some(lr) = find(columns, dataset, &knn.split, "lr", knn.budget) else { continue };
        for (model, accuracy) in &knn.accuracies {
            if let Some(other) = lr.of(model) {
                of += 1;
                above += usize::from(*accuracy > other);
            }
        }
    }
    (above, of)
}

/// Fine-tuning against the better of a model's own two probes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TunedAgainstProbe {
    /// How often it is ahead.
    pub tally: Tally,
    /// Where it is not: data set, split, model, points of accuracy.
    pub behind: Vec<(String, String, String, f64)>,
}

/// Fine-tuning of `models` (all but EfficientNets where none are named) at a budget against their better probe at the same.
///
/// # Errors
/// As [`Column::interval`].
pub fn tuned_against_probe(
    columns: &[Column],
    datasets: &[&str],
    budget: usize,
    models: Option<&[&str]>,
) -> Result<TunedAgainstProbe> {
    let mut found = TunedAgainstProbe::default();
    for dataset in datasets {
        let tuned =
            |column: &&Column| column.dataset == *dataset && column.method == "finetune" && column.budget == budget;
        for column in columns.iter().filter(tuned) {
            for (model, accuracy) in &column.accuracies {
                let wanted = models.is_none_or(|models| models.contains(&model.as_str()));
                if !wanted || EFFICIENTNETS.contains(&model.as_str()) {
                    continue;
                }
                let probe = |method| rate(columns, (dataset, &column.split), method, budget, model);
                let (Some(knn), Some(lr)) = (probe("knn"), probe("lr")) else { continue };
                let better = if knn.0 > lr.0 { knn } else { lr };
                let pair = Proportions::new((*accuracy, column.n as f64), better)?;
                found.tally.add(&pair);
                if pair.difference <= 0.0 {
                    let place = (dataset.to_string(), column.split.clone(), model.clone(), 100.0 * pair.difference);
                    found.behind.push(place);
                }
            }
        }
    }
    Ok(found)
}

/// The best fine-tuned model of a general set beside the best probe there.
#[derive(Debug, Clone, PartialEq)]
pub struct BestOfBoth {
    /// The data set.
    pub dataset: String,
    /// Model and accuracy.
    pub tuned: (String, f64),
    /// Model, method and accuracy.
    pub probe: (String, String, f64),
    /// Fine-tuned minus probe.
    pub difference: Proportions,
}

/// The best of both at a budget, set by set.
///
/// # Errors
/// As [`Column::interval`].
pub fn best_of_both(columns: &[Column], budget: usize) -> Result<Vec<BestOfBoth>> {
    let mut found = Vec::new();
    for dataset in GENERAL {
        let Some(tuned) = find(columns, dataset, "test", "finetune", budget) else { continue };
        let probes = ["knn", "lr"].into_iter().filter_map(|method| find(columns, dataset, "test", method, budget));
        let best = |column: &Column| column.ranked().first().map(|(model, accuracy)| (model.to_string(), *accuracy));
        let probe =
            probes.filter_map(|column| best(column).map(|best| (column, best))).max_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let (Some((column, (model, accuracy))), Some(top)) = (probe, best(tuned)) else { continue };
        let difference = Proportions::new((top.1, tuned.n as f64), (accuracy, column.n as f64))?;
        let probe = (model, column.method.clone(), accuracy);
        found.push(BestOfBoth { dataset: dataset.into(), tuned: top, probe, difference });
    }
    Ok(found)
}

/// Fine-tuned models against the best of the others, column by column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgainstOthers {
    /// Ahead, and clearly.
    pub ahead_clear: usize,
    /// Ahead, not clearly.
    pub ahead_unclear: usize,
    /// Behind, and clearly.
    pub behind_clear: usize,
    /// Behind, not clearly.
    pub behind_unclear: usize,
}

/// A fine-tuned model against the best one of another family, in all columns of fine-tuning.
///
/// # Errors
/// As [`Column::interval`].
pub fn against_others(columns: &[Column], model: &str, family: &str) -> Result<AgainstOthers> {
    let mut found = AgainstOthers::default();
    for column in columns.iter().filter(|column| column.method == "finetune") {
        let other = column.ranked().into_iter().find(|(name, _)| !name.starts_with(family));
        let (Some(own), Some((_, other))) = (column.of(model), other) else { continue };
        let clear = column.apart(own, other)?.independent < 0.05;
        let place = match (own > other, clear) {
            (true, true) => &mut found.ahead_clear,
            (true, false) => &mut found.ahead_unclear,
            (false, true) => &mut found.behind_clear,
            (false, false) => &mut found.behind_unclear,
        };
        *place += 1;
    }
    Ok(found)
}

/// A step to more labels that lowers the accuracy clearly.
#[derive(Debug, Clone, PartialEq)]
pub struct Fall {
    /// Data set, split, method and model.
    pub place: [String; 4],
    /// From this budget to that.
    pub budgets: (usize, usize),
    /// Points of accuracy, below 0.
    pub points: f64,
}

/// Steps from a budget to the next.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MoreLabels {
    /// Steps.
    pub of: usize,
    /// Steps up.
    pub up: usize,
    /// Clear falls.
    pub falls: Vec<Fall>,
}

/// Whether more labels help; probes on EfficientNets are left out.
///
/// # Errors
/// As [`Column::interval`].
pub fn more_labels(columns: &[Column]) -> Result<MoreLabels> {
    let mut found = MoreLabels::default();
    for from in columns {
        let Some(to) = find(columns, &from.dataset, &from.split, &from.method, 10 * from.budget) else { continue };
        for (model, accuracy) in &from.accuracies {
            if from.method != "finetune" && EFFICIENTNETS.contains(&model.as_str()) {
                continue;
            }
            let Some(more) = to.of(model) else { continue };
            let pair = Proportions::new((more, to.n as f64), (*accuracy, from.n as f64))?;
            found.of += 1;
            found.up += usize::from(pair.difference > 0.0);
            if pair.side() < 0 {
                let place = [&from.dataset, &from.split, &from.method, model].map(String::clone);
                found.falls.push(Fall { place, budgets: (from.budget, to.budget), points: 100.0 * pair.difference });
            }
        }
    }
    Ok(found)
}
