//! Accuracy against the number of training images.

use super::{method_line, reported};
use crate::display::selection::{Column, comparison, model_name, n_seeds, origin, percent, percent_ends};
use crate::display::{Chart, Series, Style, Table};
use crate::error::Result;
use crate::metrics::{Interval, mean_t_interval};
use crate::project::Project;
use crate::results::ResultRow;
use std::collections::{BTreeMap, BTreeSet};

/// Whether a row stands for its method in comparisons: accuracy, sound parts, the weights that are reported.
pub(super) fn counts(row: &ResultRow) -> bool {
    let weights = row.weights.as_str();
    row.metric == "accuracy"
        && row.cell.protocol != "leaky"
        && (weights.is_empty() || weights == reported(&row.cell.method))
}

/// Mean and 95% interval over seeds of the accuracies that count, by a name of each.
pub(super) fn intervals<K: Ord>(rows: &[&ResultRow], name: impl Fn(&ResultRow) -> K) -> Result<BTreeMap<K, Interval>> {
    let mut values: BTreeMap<K, Vec<f64>> = BTreeMap::new();
    for row in rows {
        values.entry(name(row)).or_default().extend(row.value);
    }
    values.retain(|_, values| !values.is_empty());
    values.into_iter().map(|(key, values)| Ok((key, mean_t_interval(&values, 0.95)?))).collect()
}

/// The rows of one model on one part that count, of the seeds that were fine-tuned: probes on the same splits.
pub(super) fn on_same_splits<'a>(rows: &'a [ResultRow], dataset: &str, split: &str, model: &str) -> Vec<&'a ResultRow> {
    let wanted = |row: &&ResultRow| {
        counts(row) && row.cell.dataset == dataset && row.split == split && row.cell.model == model && row.n_train > 0
    };
    let rows: Vec<&ResultRow> = rows.iter().filter(wanted).collect();
    let tuned = rows.iter().filter(|row| !row.weights.is_empty());
    let seeds: BTreeSet<u64> = tuned.map(|row| row.cell.seed).collect();
    rows.into_iter().filter(|row| seeds.contains(&row.cell.seed)).collect()
}

/// Training images of a budget, mean over the rows that have it: seeds differ by a few where images come in groups.
pub(super) fn training_images(rows: &[&ResultRow], budget: Option<u32>) -> f64 {
    let of_budget: Vec<f64> =
        rows.iter().filter(|row| row.cell.budget == budget).map(|row| f64::from(row.n_train)).collect();
    (of_budget.iter().sum::<f64>() / of_budget.len().max(1) as f64).round()
}

/// One model: accuracy against the training images that were fitted, one line per method, probes and fine-tuning on the same
/// splits. `rows` are those of [`crate::experiments::representations::run`] and [`crate::experiments::finetuning::run`].
///
/// # Errors
/// A value that is not finite.
pub fn labels_chart(project: &Project, rows: &[ResultRow], dataset: &str, split: &str, model: &str) -> Result<Chart> {
    let rows = on_same_splits(rows, dataset, split, model);
    let mut lines: BTreeMap<String, Series> = BTreeMap::new();
    for ((method, budget), interval) in intervals(&rows, |row| (row.cell.method.clone(), row.cell.budget))? {
        let line = lines.entry(method.clone()).or_insert_with(|| method_line(&method));
        line.x.push(training_images(&rows, budget));
        line.y.push(100.0 * interval.mean);
        line.interval.push(percent_ends(&interval));
    }
    let budgets: BTreeSet<Option<u32>> = rows.iter().map(|row| row.cell.budget).collect();
    let style = Style {
        title: format!("{dataset}, {split}: {}", model_name(project, model)),
        x: "training images (logarithmic)".into(),
        y: "accuracy (%)".into(),
        log_x: true,
        x_ticks: budgets.into_iter().map(|budget| training_images(&rows, budget)).collect(),
        ..Style::default()
    };
    let mut series: Vec<Series> = lines.into_values().collect();
    series.sort_by(|a, b| b.y.last().unwrap_or(&0.0).total_cmp(a.y.last().unwrap_or(&0.0)));
    Ok(Chart::lines(&style, &series))
}

/// Accuracy in percent of every model by one method and budget (columns), mean and 95% t-interval over seeds; the best mean of
/// a column is marked. For fine-tuning the weights are the last ones, for `wise` the chosen ones.
///
/// # Errors
/// A value that is not finite.
pub fn tuning_table(
    project: &Project,
    rows: &[ResultRow],
    dataset: &str,
    split: &str,
    methods: &[&str],
) -> Result<Table> {
    let wanted = |row: &&ResultRow| {
        let method = methods.contains(&row.cell.method.as_str());
        counts(row) && row.cell.dataset == dataset && row.split == split && method
    };
    let rows: Vec<&ResultRow> = rows.iter().filter(wanted).collect();
    let mut columns: BTreeMap<(u32, usize), BTreeMap<String, Interval>> = BTreeMap::new();
    let place = |method: &str| methods.iter().position(|known| *known == method).unwrap_or(0);
    let name = |row: &ResultRow| (row.cell.budget.unwrap_or(0), place(&row.cell.method), row.cell.model.clone());
    for ((budget, method, model), interval) in intervals(&rows, name)? {
        columns.entry((budget, method)).or_default().insert(model, interval);
    }
    let columns: Vec<Column> =
        columns.into_iter().map(|((budget, method), of)| (format!("{}_{budget}", methods[method]), of)).collect();
    let caption = format!(
        "{dataset}, {split}: accuracy in percent, mean over {} seeds [95% t-interval]; the same split, head and order for \
         all models of a seed{}",
        n_seeds(&columns),
        origin(&rows)
    );
    let score = |model: &str| {
        let last = columns.last().and_then(|(_, intervals)| intervals.get(model));
        last.map_or(f64::NEG_INFINITY, |interval| interval.mean)
    };
    Ok(comparison(project, caption, &columns, score, percent))
}
