//! The study's kind of table: models down, methods and budgets across, with the intervals it lacked.

use super::selection::{Column, Selection, comparison, fitted, model_name, n_seeds, percent, percent_ends, told_apart};
use super::{Cell, Chart, Series, Style, Table, Tables, look};
use crate::error::Result;
use crate::experiments::test_name;
use crate::manifest::Method;
use crate::metrics::Interval;
use crate::project::Project;
use crate::published::{self, PublishedKey, PublishedResult, PublishedTable};
use crate::results::ResultRow;
use std::collections::{BTreeMap, BTreeSet};

/// Accuracy in percent for every model (rows) and method with budget (columns): mean and 95% t-interval over seeds;
/// the best mean of a column is marked. Models stand in the order of the last column.
///
/// `split` is `test`, or `id` and `ood` where a data set holds images out.
///
/// # Errors
/// A value that is not finite.
pub fn accuracy_table(project: &Project, rows: &[ResultRow], dataset: &str, split: &str) -> Result<Table> {
    metric_table(project, rows, dataset, split, "accuracy")
}

/// The same for every data set of the suite that is not among `told`, each part of it: a reader's own, in a notebook that
/// tells of others.
///
/// # Errors
/// A suite that is not known; a value that is not finite.
pub fn other_tables(project: &Project, rows: &[ResultRow], told: &[&str]) -> Result<Tables> {
    let mut tables = Vec::new();
    for dataset in project.suite()?.datasets.iter().filter(|id| !told.contains(&id.as_str())) {
        let of_set = rows.iter().filter(|row| row.cell.dataset == *dataset).map(|row| row.split.as_str());
        for split in of_set.collect::<BTreeSet<_>>() {
            tables.push(accuracy_table(project, rows, dataset, split)?);
        }
    }
    Ok(Tables { tables, none: "The suite has no other data set.".into() })
}

/// The same for any metric of classification ([`crate::experiments::METRICS`]).
///
/// # Errors
/// A value that is not finite.
pub fn metric_table(project: &Project, rows: &[ResultRow], dataset: &str, split: &str, metric: &str) -> Result<Table> {
    let selection = Selection::new(rows, dataset, split, metric, false);
    let intervals = selection.intervals()?;
    let mut columns: BTreeMap<(String, Option<u32>), BTreeMap<String, Interval>> = BTreeMap::new();
    for ((model, method, budget), interval) in intervals {
        columns.entry((method, budget)).or_default().insert(model, interval);
    }
    let columns: Vec<Column> =
        columns.into_iter().map(|((method, budget), of)| (column_name(&method, budget), of)).collect();
    let caption = format!(
        "{dataset}, {split}: {} in percent, mean over {} seeds [95% t-interval]{}",
        metric.replace('_', " "),
        n_seeds(&columns),
        selection.origin()
    );
    let score = |model: &str| {
        let last = columns.last().and_then(|(_, intervals)| intervals.get(model));
        last.map_or(f64::NEG_INFINITY, |interval| interval.mean)
    };
    Ok(comparison(project, caption, &columns, score, percent))
}

/// Accuracy against the training images per class that budgets really draw, one line per model, with 95% intervals over seeds.
/// Budgets that draw the same images are one point.
///
/// # Errors
/// A data set that cannot be opened; a value that is not finite.
pub fn accuracy_chart(
    project: &Project,
    rows: &[ResultRow],
    dataset: &str,
    split: &str,
    method: Method,
) -> Result<Chart> {
    let intervals = Selection::new(rows, dataset, split, "accuracy", false).intervals()?;
    let fitted = fitted(project, rows, dataset)?;
    let mut lines: Vec<(String, Series)> = Vec::new();
    let mut ticks: Vec<f64> = Vec::new();
    for ((model, used, budget), interval) in intervals {
        let Some(labels) = budget.filter(|_| used == method.as_str()).and_then(|budget| fitted.get(&budget)) else {
            continue;
        };
        // To a tenth: seeds draw a few images more or less.
        let labels = (10.0 * labels).round() / 10.0;
        if !ticks.contains(&labels) {
            ticks.push(labels);
        }
        if lines.last().is_none_or(|(id, _)| *id != model) {
            let (name, look) = (model_name(project, &model), look(project, &model));
            lines.push((model, Series { name, look, x: Vec::new(), y: Vec::new(), interval: Vec::new() }));
        }
        let Some((_, line)) = lines.last_mut().filter(|(_, line)| !line.x.contains(&labels)) else { continue };
        line.x.push(labels);
        line.y.push(100.0 * interval.mean);
        line.interval.push(percent_ends(&interval));
    }
    let mut series = told_apart(lines);
    series.sort_by(|a, b| b.y.last().unwrap_or(&0.0).total_cmp(a.y.last().unwrap_or(&0.0)));
    let style = Style {
        title: format!("{dataset}, {split}: {}", method.label()),
        x: "training images per class (logarithmic)".into(),
        y: "accuracy (%)".into(),
        log_x: true,
        x_names: ticks.iter().map(|labels| format!("{labels:.0}")).collect(),
        x_ticks: ticks,
        ..Style::default()
    };
    Ok(Chart::lines(&style, &series))
}

fn column_name(method: &str, budget: Option<impl std::fmt::Display>) -> String {
    budget.map_or_else(|| method.to_string(), |budget| format!("{method}_{budget}"))
}

/// What leakage is worth, by budget: accuracy in percent with groups ignored, and how much that is above the accuracy with
/// groups kept apart. The models with the largest last accuracy come first.
///
/// # Errors
/// A value that is not finite.
pub fn leakage_table(project: &Project, rows: &[ResultRow], dataset: &str) -> Result<Table> {
    let split = test_name(project.manifests.dataset(dataset)?);
    let ignored = Selection::new(rows, dataset, split, "accuracy", true);
    let origin = ignored.origin();
    let apart = Selection::new(rows, dataset, split, "accuracy", false).intervals()?;
    let ignored = ignored.intervals()?;
    let gain = |key: &(String, String, Option<u32>)| {
        Some((ignored.get(key)?.mean, ignored.get(key)?.mean - apart.get(key)?.mean))
    };
    let budgets: BTreeSet<Option<u32>> = apart.keys().map(|(_, _, budget)| *budget).collect();
    let mut arms: Vec<(String, String)> = Vec::new();
    for (model, method, _) in apart.keys() {
        if !arms.iter().any(|(a, b)| a == model && b == method) {
            arms.push((model.clone(), method.clone()));
        }
    }
    let at = |(model, method): &(String, String), budget| gain(&(model.clone(), method.clone(), budget));
    let last = |arm: &(String, String)| {
        at(arm, budgets.iter().next_back().copied().flatten()).map_or(f64::NEG_INFINITY, |(mean, _)| mean)
    };
    arms.sort_by(|a, b| last(b).total_cmp(&last(a)));
    let budget_name = |budget: &Option<u32>| budget.map_or_else(|| "–".into(), |budget| format!("budget {budget}"));
    let row = |arm: &(String, String)| -> Vec<Cell> {
        let of_budget = |budget: &Option<u32>| match at(arm, *budget) {
            Some((mean, gain)) => Cell::from(format!("{:.1} ({:+.1})", 100.0 * mean, 100.0 * gain)),
            None => Cell::from("–"),
        };
        let name = [model_name(project, &arm.0).into(), arm.1.clone().into()];
        name.into_iter().chain(budgets.iter().map(of_budget)).collect()
    };
    Ok(Table {
        caption: format!(
            "{dataset}: accuracy in percent when near-copies may sit in train and test, and in brackets what that adds{origin}"
        ),
        header: ["model", "method"].map(String::from).into_iter().chain(budgets.iter().map(budget_name)).collect(),
        rows: arms.iter().map(row).collect(),
    })
}

/// The study's own accuracy table for one of its data sets, in percent, in its order.
///
/// # Errors
/// A published table that cannot be read.
pub fn published_table(project: &Project, dataset: &str) -> Result<Table> {
    let results = published::results(project.root())?;
    let wanted = |key: &PublishedKey| key.table == PublishedTable::GeneralProbe && key.dataset == dataset;
    let caption = format!("{dataset}: accuracy in percent as the study published it (one run, no interval)");
    let column = |key: &PublishedKey| (key.method.clone(), key.budget);
    Ok(published_columns(&results, caption, wanted, column, |(method, budget)| column_name(method, *budget)))
}

/// The `wanted` figures of the study: models down in its order, the best of a column marked.
pub(super) fn published_columns<C: Ord>(
    results: &[PublishedResult],
    caption: String,
    wanted: impl Fn(&PublishedKey) -> bool,
    column: impl Fn(&PublishedKey) -> C,
    name: impl Fn(&C) -> String,
) -> Table {
    let chosen: Vec<&PublishedResult> = results.iter().filter(|result| wanted(&result.key)).collect();
    let mut columns: BTreeMap<C, BTreeMap<&str, f64>> = BTreeMap::new();
    let mut models: Vec<&str> = Vec::new();
    for result in chosen {
        let model = result.key.model.as_str();
        columns.entry(column(&result.key)).or_default().insert(model, result.value);
        if !models.contains(&model) {
            models.push(model);
        }
    }
    let row = |model: &&str| {
        let cells = columns.values().map(|of_column| match of_column.get(model) {
            Some(&value) => {
                let best = of_column.values().copied().fold(f64::MIN, f64::max);
                Cell { text: format!("{:.1}", 100.0 * value), best: value == best }
            }
            None => Cell::from("–"),
        });
        std::iter::once(Cell::from(*model)).chain(cells).collect()
    };
    Table {
        caption,
        header: std::iter::once("model".to_string()).chain(columns.keys().map(name)).collect(),
        rows: models.iter().map(row).collect(),
    }
}
