//! What the study's models lose out of distribution.

use super::columns::Column;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use wider_clip_numbers::metrics::{Proportions, Stretch, holm};

/// Accuracy in and out of distribution of one arm.
#[derive(Debug, Clone, PartialEq)]
pub struct Drop {
    /// `knn`, `lr` or `finetune`.
    pub method: String,
    /// Label budget.
    pub budget: usize,
    /// The study's name of the model.
    pub model: String,
    /// Accuracy in distribution.
    pub id: f64,
    /// Accuracy out of it.
    pub ood: f64,
    /// The drop, as two tests of different images, each image taken as independent of the others.
    pub drop: Proportions,
}

impl Drop {
    /// How many images may count as one before 0 lies in the 95% interval.
    pub fn design_effect(&self) -> f64 {
        (self.drop.difference / self.drop.half_width()).powi(2)
    }
}

/// Every drop on a drift set, in the order of the tables.
///
/// # Errors
/// As [`Column::interval`].
pub fn drops(columns: &[Column], dataset: &str) -> Result<Vec<Drop>> {
    let mut found = Vec::new();
    for id in columns.iter().filter(|column| column.dataset == dataset && column.split == "id") {
        let Some(ood) = columns.iter().find(|column| column.is(dataset, "ood", &id.method, id.budget)) else {
            continue;
        };
        for (model, accuracy) in &id.accuracies {
            let Some(other) = ood.of(model) else { continue };
            found.push(Drop {
                method: id.method.clone(),
                budget: id.budget,
                model: model.clone(),
                id: *accuracy,
                ood: other,
                drop: Proportions::new((*accuracy, id.n as f64), (other, ood.n as f64))?,
            });
        }
    }
    Ok(found)
}

/// How many of several drops are clear.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropTally {
    /// Drops.
    pub of: usize,
    /// Clearly above 0.
    pub positive: usize,
    /// Clearly below: better out of distribution.
    pub negative: usize,
    /// Those that differ from 0 after Holm's correction for their number.
    pub after_holm: usize,
    /// The least and the most, as fractions.
    pub range: (f64, f64),
    /// The same as parts of the accuracy in distribution.
    pub relative: (f64, f64),
}

/// Counts drops.
///
/// # Errors
/// [`Error::Argument`] for none.
pub fn tally(drops: &[&Drop]) -> Result<DropTally> {
    if drops.is_empty() {
        return Err(Error::argument("drops", "one or more", "none"));
    }
    let p: Vec<f64> = drops.iter().map(|drop| drop.drop.p_value()).collect();
    let side = |wanted: i8| drops.iter().filter(|drop| drop.drop.side() == wanted).count();
    let ends = |of: &dyn Fn(&Drop) -> f64| {
        let values = || drops.iter().map(|drop| of(drop));
        (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max))
    };
    Ok(DropTally {
        of: drops.len(),
        positive: side(1),
        negative: side(-1),
        after_holm: holm(&p)?.iter().filter(|p| **p < 0.05).count(),
        range: ends(&|drop| drop.drop.difference),
        relative: ends(&|drop| drop.drop.difference / drop.id),
    })
}

/// How much less one model drops than another.
#[derive(Debug, Clone, PartialEq)]
pub struct DropsLess {
    /// Label budget of fine-tuning.
    pub budget: usize,
    /// The other model.
    pub than: String,
    /// Its drop minus the model's.
    pub difference: f64,
    /// Half of the 95% interval if answers are independent, and if those of both models are correlated by a half.
    pub half_widths: (f64, f64),
}

/// Whether `model`, fine-tuned, drops less than each of `others`.
///
/// # Errors
/// [`Error::Argument`] where one of them was not measured.
pub fn drops_less(drops: &[Drop], model: &str, others: &[&str]) -> Result<Vec<DropsLess>> {
    let find = |name: &str, budget: usize| {
        let found = |drop: &&Drop| drop.model == name && drop.method == "finetune" && drop.budget == budget;
        let missing = || Error::argument("drops", format!("{name} fine-tuned at {budget}"), "no such drop");
        drops.iter().find(found).ok_or_else(missing)
    };
    let budgets: std::collections::BTreeSet<usize> =
        drops.iter().filter(|drop| drop.method == "finetune").map(|drop| drop.budget).collect();
    let mut found = Vec::new();
    for budget in budgets {
        let own = find(model, budget)?;
        for than in others {
            let other = find(than, budget)?;
            let difference = other.drop.difference - own.drop.difference;
            let half = own.drop.half_width().hypot(other.drop.half_width());
            let half_widths = (half, half * 0.5f64.sqrt());
            found.push(DropsLess { budget, than: than.to_string(), difference, half_widths });
        }
    }
    Ok(found)
}

/// The line of accuracy out of distribution on that in distribution, both as logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Correlation over all arms.
    pub r: f64,
    /// Rise per unit.
    pub slope: f64,
    /// Height at one half.
    pub intercept: f64,
    /// Correlation over the models of each arm, by method and budget (`knn_100`).
    pub by_arm: BTreeMap<String, f64>,
}

/// Lays the line through all drops of a data set.
///
/// # Errors
/// [`Error::Argument`] for an accuracy of 0 or 1, which has no logit, or fewer than three.
pub fn line(drops: &[Drop]) -> Result<Line> {
    let points = |of: &mut dyn Iterator<Item = &Drop>| -> Result<Vec<(f64, f64)>> {
        let logit = |value: f64| {
            let wrong = || Error::argument("accuracy", "between 0 and 1", value.to_string());
            Stretch::Logit.of(value).ok_or_else(wrong)
        };
        of.map(|drop| Ok((logit(drop.id)?, logit(drop.ood)?))).collect()
    };
    let (r, slope, intercept) = fit(&points(&mut drops.iter())?)?;
    let mut arms: BTreeMap<String, Vec<&Drop>> = BTreeMap::new();
    for drop in drops {
        arms.entry(format!("{}_{}", drop.method, drop.budget)).or_default().push(drop);
    }
    let by_arm = arms
        .into_iter()
        .map(|(arm, drops)| Ok((arm, fit(&points(&mut drops.into_iter())?)?.0)))
        .collect::<Result<_>>()?;
    Ok(Line { r, slope, intercept, by_arm })
}

/// Correlation, slope and intercept by least squares.
fn fit(points: &[(f64, f64)]) -> Result<(f64, f64, f64)> {
    if points.len() < 3 {
        return Err(Error::argument("points", "three or more", points.len().to_string()));
    }
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for point in points {
        let (dx, dy) = (point.0 - x, point.1 - y);
        xx += dx * dx;
        xy += dx * dy;
        yy += dy * dy;
    }
    let slope = xy / xx;
    Ok((xy / (xx * yy).sqrt(), slope, y - slope * x))
}
