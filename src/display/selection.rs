//! What tables and charts of result rows share: which rows, their intervals over seeds, one table row a model.

use super::{Cell, Series, Table};
use crate::error::Result;
use crate::metrics::{Interval, mean_t_interval};
use crate::progress::thousands;
use crate::project::Project;
use crate::results::ResultRow;
use std::collections::{BTreeMap, BTreeSet};

/// Level of every interval over seeds.
const LEVEL: f64 = 0.95;
/// An interval of accuracies that is no wider is that of equal values and rounding.
const ROUNDING: f64 = 1e-9;

/// Model, method and label budget.
pub(super) type Key = (String, String, Option<u32>);

/// Which numbers a table or chart shows.
pub(super) struct Selection<'a> {
    rows: Vec<&'a ResultRow>,
}

impl<'a> Selection<'a> {
    /// The rows themselves.
    pub(super) fn rows(&self) -> &[&'a ResultRow] {
        &self.rows
    }

    pub(super) fn new(rows: &'a [ResultRow], dataset: &str, split: &str, metric: &str, leaky: bool) -> Selection<'a> {
        let wanted = |row: &&ResultRow| {
            row.cell.dataset == dataset
                && row.split == split
                && row.metric == metric
                && (row.cell.protocol == "leaky") == leaky
        };
        Selection { rows: rows.iter().filter(wanted).collect() }
    }

    /// For a caption: where the numbers come from, if some came with the project.
    pub(super) fn origin(&self) -> String {
        origin(&self.rows)
    }

    /// Mean and interval over seeds of each (model, method, budget).
    pub(super) fn intervals(&self) -> Result<BTreeMap<Key, Interval>> {
        let mut values: BTreeMap<Key, Vec<f64>> = BTreeMap::new();
        for row in &self.rows {
            let key = (row.cell.model.clone(), row.cell.method.clone(), row.cell.budget);
            values.entry(key).or_default().extend(row.value);
        }
        values.retain(|_, values| !values.is_empty());
        values.into_iter().map(|(key, values)| Ok((key, mean_t_interval(&values, LEVEL)?))).collect()
    }
}

/// Training images per class, by budget, mean over rows: what a budget really draws. Of a data set without a record nobody knows
/// how many classes it has: there it is training images, of all classes together.
pub(super) fn fitted(project: &Project, rows: &[ResultRow], dataset: &str) -> Result<BTreeMap<u32, f64>> {
    let classes = match project.manifests.dataset(dataset) {
        Ok(_) => project.images(dataset)?.classes.len() as f64,
        Err(_) => 1.0,
    };
    let mut drawn: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    let wanted = |row: &&ResultRow| row.cell.dataset == dataset && row.n_train > 0 && row.cell.protocol != "leaky";
    for row in rows.iter().filter(wanted) {
        drawn.entry(row.cell.budget.unwrap_or_default()).or_default().push(f64::from(row.n_train) / classes);
    }
    Ok(drawn.into_iter().map(|(budget, of)| (budget, of.iter().sum::<f64>() / of.len() as f64)).collect())
}

/// The values of each seed, by model, method and budget.
pub(super) fn by_seed(selection: &[&ResultRow]) -> BTreeMap<Key, BTreeMap<u64, f64>> {
    let mut values: BTreeMap<Key, BTreeMap<u64, f64>> = BTreeMap::new();
    for row in selection {
        let key = (row.cell.model.clone(), row.cell.method.clone(), row.cell.budget);
        if let Some(value) = row.value {
            values.entry(key).or_default().insert(row.cell.seed, value);
        }
    }
    values
}

/// The mean difference of two ways over the seeds that both have, with its t-interval. Differences that are all the same have
/// none, as one alone has none: few seeds agree by chance, and then say nothing of their spread.
pub(super) fn paired(a: &BTreeMap<u64, f64>, b: &BTreeMap<u64, f64>) -> Result<Option<Interval>> {
    let differences: Vec<f64> = a.iter().filter_map(|(seed, value)| Some(value - b.get(seed)?)).collect();
    if differences.is_empty() {
        return Ok(None);
    }
    let interval = mean_t_interval(&differences, LEVEL)?;
    let has_width = interval.low.zip(interval.high).is_some_and(|(low, high)| high - low > ROUNDING);
    Ok(Some(if has_width { interval } else { Interval { low: None, high: None, ..interval } }))
}

/// Whether a difference of [`paired`] is left open; one without an interval is.
pub(super) fn is_open(difference: &Interval) -> bool {
    !matches!((difference.low, difference.high), (Some(low), Some(high)) if low > 0.0 || high < 0.0)
}

/// For a caption: how many of the numbers behind a table were computed on this machine, if not all were.
pub(super) fn origin(rows: &[&ResultRow]) -> String {
    let computed = rows.iter().filter(|row| !row.made.shipped).count();
    match computed == rows.len() {
        true => String::new(),
        false => format!(
            "; of {} numbers behind it {} computed on this machine, the others came with the project",
            thousands(rows.len()),
            thousands(computed)
        ),
    }
}

/// A column of a comparison: its name, and the interval of each model by the model's id.
pub(super) type Column = (String, BTreeMap<String, Interval>);

/// A table with one row a model, the one with the highest `score` first; the best mean of a column is marked.
pub(super) fn comparison(
    project: &Project,
    caption: String,
    columns: &[Column],
    score: impl Fn(&str) -> f64,
    text: fn(&Interval) -> String,
) -> Table {
    let models: BTreeSet<&String> = columns.iter().flat_map(|(_, intervals)| intervals.keys()).collect();
    let mut models: Vec<&String> = models.into_iter().collect();
    models.sort_by(|a, b| score(b).total_cmp(&score(a)));
    let best = |intervals: &BTreeMap<String, Interval>| {
        intervals.values().map(|interval| interval.mean).fold(f64::NEG_INFINITY, f64::max)
    };
    let mut table = Table { caption, header: vec!["model".into()], rows: Vec::new() };
    table.header.extend(columns.iter().map(|(name, _)| name.clone()));
    for model in models {
        let mut cells = vec![Cell::from(model_name(project, model))];
        cells.extend(columns.iter().map(|(_, intervals)| match intervals.get(model) {
            Some(interval) => Cell { text: text(interval), best: interval.mean == best(intervals) },
            None => Cell::from("–"),
        }));
        table.rows.push(cells);
    }
    table
}

/// The highest number of seeds behind any interval.
pub(super) fn n_seeds(columns: &[Column]) -> usize {
    columns.iter().flat_map(|(_, intervals)| intervals.values()).map(|interval| interval.n).max().unwrap_or(0)
}

/// The name of a model for people; its id where the manifests do not know it.
pub(super) fn model_name(project: &Project, id: &str) -> String {
    project.manifests.model(id).map_or_else(|_| id.to_string(), |record| record.name.clone())
}

/// The ends of an interval in percent; `None` where it has none.
pub(super) fn percent_ends(interval: &Interval) -> Option<(f64, f64)> {
    Some((100.0 * interval.low?, 100.0 * interval.high?))
}

/// Lines of models by id: those that share a name have the id before it, so that a legend tells them apart.
pub(super) fn told_apart(lines: Vec<(String, Series)>) -> Vec<Series> {
    let names: Vec<String> = lines.iter().map(|(_, line)| line.name.clone()).collect();
    let shared = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    let named = |(id, line): (String, Series)| match shared(&line.name) {
        true => Series { name: format!("{id} ({})", line.name), ..line },
        false => line,
    };
    lines.into_iter().map(named).collect()
}

/// `mean [low, high]` in percent; without an interval where there is one seed.
pub(super) fn percent(interval: &Interval) -> String {
    match (interval.low, interval.high) {
        (Some(low), Some(high)) => format!("{:.1} [{:.1}, {:.1}]", 100.0 * interval.mean, 100.0 * low, 100.0 * high),
        _ => format!("{:.1}", 100.0 * interval.mean),
    }
}

/// `mean [low, high]` to three digits; without an interval where there is one seed.
pub(super) fn decimal(interval: &Interval) -> String {
    match (interval.low, interval.high) {
        (Some(low), Some(high)) => format!("{:.3} [{low:.3}, {high:.3}]", interval.mean),
        _ => format!("{:.3}", interval.mean),
    }
}
