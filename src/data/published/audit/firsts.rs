//! Who is first, and how surely.

use super::columns::Column;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use wider_clip_numbers::metrics::SetResamples;

/// In how many columns a model is first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct First {
    /// Columns.
    pub columns: usize,
    /// Of these, ahead of the second at 95% if answers are independent.
    pub clear: usize,
    /// If answers are correlated by a half.
    pub clear_correlated: usize,
    /// Columns whose lead no answers could make clear.
    pub never: usize,
}

/// How often each model is first.
///
/// # Errors
/// As [`Column::interval`].
pub fn firsts<'a>(columns: impl IntoIterator<Item = &'a Column>) -> Result<BTreeMap<String, First>> {
    let mut firsts: BTreeMap<String, First> = BTreeMap::new();
    for column in columns {
        let ranked = column.ranked();
        let [(first, best), (_, second), ..] = ranked[..] else { continue };
        let p = column.apart(best, second)?;
        let of = firsts.entry(first.to_string()).or_default();
        of.columns += 1;
        of.clear += usize::from(p.independent < 0.05);
        of.clear_correlated += usize::from(p.correlated < 0.05);
        of.never += usize::from(p.nested >= 0.05);
    }
    Ok(firsts)
}

/// Two models, column by column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadToHead {
    /// Columns that have both.
    pub columns: usize,
    /// Those in which the first is ahead.
    pub ahead: usize,
    /// Those in which the first is clearly ahead, and clearly behind, if answers are independent.
    pub clear: [usize; 2],
    /// If they are correlated by a half.
    pub clear_correlated: [usize; 2],
}

/// Model `a` against model `b`.
///
/// # Errors
/// As [`Column::interval`].
pub fn head_to_head<'a>(columns: impl IntoIterator<Item = &'a Column>, a: &str, b: &str) -> Result<HeadToHead> {
    let mut found = HeadToHead::default();
    for column in columns {
        let (Some(a), Some(b)) = (column.of(a), column.of(b)) else { continue };
        let p = column.apart(a, b)?;
        found.columns += 1;
        found.ahead += usize::from(a > b);
        let side = usize::from(a < b);
        found.clear[side] += usize::from(p.independent < 0.05);
        found.clear_correlated[side] += usize::from(p.correlated < 0.05);
    }
    Ok(found)
}

/// A difference over data sets, each of which counts once.
#[derive(Debug, Clone, PartialEq)]
pub struct OverSets {
    /// The mean difference of each data set.
    pub by_set: Vec<(String, f64)>,
    /// Their mean.
    pub mean: f64,
    /// Its 95% interval over resamples of the data sets.
    pub interval: (f64, f64),
}

impl OverSets {
    /// From differences with their data sets: means within a set first, then over the sets, which come in the order of their names.
    ///
    /// # Errors
    /// [`Error::Argument`] for none, or more than ten data sets.
    pub fn of<'a>(differences: impl IntoIterator<Item = (&'a str, f64)>) -> Result<OverSets> {
        let mut sets: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (set, difference) in differences {
            sets.entry(set).or_default().push(difference);
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let by_set: Vec<(String, f64)> = sets.iter().map(|(set, values)| (set.to_string(), mean(values))).collect();
        let means: Vec<f64> = by_set.iter().map(|(_, mean)| *mean).collect();
        let interval = SetResamples::new(means.len())?.interval(&means)?;
        Ok(OverSets { mean: mean(&means), interval, by_set })
    }

    /// The same without one data set.
    ///
    /// # Errors
    /// As [`OverSets::of`].
    pub fn without(&self, set: &str) -> Result<OverSets> {
        OverSets::of(self.by_set.iter().filter(|(name, _)| name != set).map(|(name, mean)| (name.as_str(), *mean)))
    }

    /// On how many data sets it is above 0.
    pub fn above(&self) -> usize {
        self.by_set.iter().filter(|(_, mean)| *mean > 0.0).count()
    }
}

/// Accuracy of `a` minus that of `b`, over data sets.
///
/// # Errors
/// As [`OverSets::of`].
pub fn difference_over_sets<'a>(columns: impl IntoIterator<Item = &'a Column>, a: &str, b: &str) -> Result<OverSets> {
    let of = |column: &'a Column| Some((column.dataset.as_str(), column.of(a)? - column.of(b)?));
    OverSets::of(columns.into_iter().filter_map(of))
}

/// Places of some models among all models of a column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LastPlaces {
    /// Columns.
    pub columns: usize,
    /// Mean, best and worst place of each.
    pub places: BTreeMap<String, (f64, usize, usize)>,
    /// Columns in which exactly these models are the last.
    pub last: usize,
}

/// Places of `models` among the models of which `counts` says that they count.
///
/// # Errors
/// [`Error::Argument`] for a column that lacks one of them.
pub fn last_places<'a>(
    columns: impl IntoIterator<Item = &'a Column>,
    models: &[&str],
    counts: impl Fn(&str) -> bool,
) -> Result<LastPlaces> {
    let mut found: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let (mut n, mut last) = (0, 0);
    for column in columns {
        let order: Vec<&str> =
            column.ranked().into_iter().map(|(model, _)| model).filter(|model| counts(model)).collect();
        for model in models {
            let place = order.iter().position(|other| other == model);
            let lacking = || Error::argument("column", format!("one with {model}"), column.dataset.clone());
            found.entry(model).or_default().push(place.ok_or_else(lacking)? + 1);
        }
        let tail = &order[order.len().saturating_sub(models.len())..];
        last += usize::from(tail.iter().all(|model| models.contains(model)));
        n += 1;
    }
    let places = found.into_iter().map(|(model, places)| {
        let mean = places.iter().sum::<usize>() as f64 / places.len() as f64;
        let ends = (places.iter().min().copied().unwrap_or(0), places.iter().max().copied().unwrap_or(0));
        (model.to_string(), (mean, ends.0, ends.1))
    });
    Ok(LastPlaces { columns: n, places: places.collect(), last })
}
