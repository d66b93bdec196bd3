//! The study's kind of table: models down, methods and budgets across, with the intervals it lacked.

use super::{Cell, Chart, Series, Style, Table, look};
use crate::error::Result;
use crate::manifest::Method;
use crate::metrics::{Interval, mean_t_interval};
use crate::project::Project;
use crate::published::{self, PublishedTable};
use crate::results::ResultRow;
use std::collections::{BTreeMap, BTreeSet};

/// Level of every interval over seeds.
const LEVEL: f64 = 0.95;

/// Which numbers a table or chart shows.
struct Selection<'a> {
    rows: Vec<&'a ResultRow>,
}

impl<'a> Selection<'a> {
    fn new(rows: &'a [ResultRow], dataset: &str, split: &str, metric: &str, leaky: bool) -> Selection<'a> {
        let wanted = |row: &&ResultRow| {
            row.arm.dataset == dataset
                && row.split == split
                && row.metric == metric
                && (row.arm.protocol == "leaky") == leaky
        };
        Selection { rows: rows.iter().filter(wanted).collect() }
    }

    /// Mean and interval over seeds of each (model, method, budget).
    fn intervals(&self) -> Result<BTreeMap<(String, String, u32), Interval>> {
        let mut values: BTreeMap<(String, String, u32), Vec<f64>> = BTreeMap::new();
        for row in &self.rows {
            let key = (row.arm.model.clone(), row.arm.method.clone(), row.arm.budget);
            values.entry(key).or_default().extend(row.value);
        }
        values.retain(|_, values| !values.is_empty());
        values.into_iter().map(|(key, values)| Ok((key, mean_t_interval(&values, LEVEL)?))).collect()
    }
}

/// Accuracy in percent for every model (rows) and method with budget (columns): mean and 95% t-interval over seeds;
/// the best mean of a column is marked. Models stand in the order of the last column.
///
/// `split` is `test` or `ood`.
pub fn accuracy_table(project: &Project, rows: &[ResultRow], dataset: &str, split: &str) -> Result<Table> {
    let intervals = Selection::new(rows, dataset, split, "accuracy", false).intervals()?;
    let columns: BTreeSet<(String, u32)> =
        intervals.keys().map(|(_, method, budget)| (method.clone(), *budget)).collect();
    let mut models: Vec<String> = intervals.keys().map(|(model, ..)| model.clone()).collect();
    models.dedup();
    let mean = |model: &str, column: &(String, u32)| {
        intervals.get(&(model.to_string(), column.0.clone(), column.1)).map(|interval| interval.mean)
    };
    if let Some(last) = columns.last() {
        models.sort_by(|a, b| mean(b, last).unwrap_or(f64::NAN).total_cmp(&mean(a, last).unwrap_or(f64::NAN)));
    }
    let best = |column: &(String, u32)| models.iter().filter_map(|model| mean(model, column)).fold(f64::MIN, f64::max);
    let mut table = Table {
        caption: format!(
            "{dataset}, {split}: accuracy in percent, mean over {} seeds [95% t-interval]",
            intervals.values().map(|interval| interval.n).max().unwrap_or(0)
        ),
        header: vec!["model".into()],
        rows: Vec::new(),
    };
    table.header.extend(columns.iter().map(|(method, budget)| format!("{method}_{budget}")));
    for model in &models {
        let mut cells = vec![Cell::from(project.manifests.model(model).map_or(model.clone(), |m| m.name.clone()))];
        for column in &columns {
            let interval = intervals.get(&(model.clone(), column.0.clone(), column.1));
            cells.push(match interval {
                Some(interval) => Cell { text: percent(interval), best: interval.mean == best(column) },
                None => Cell::from("–"),
            });
        }
        table.rows.push(cells);
    }
    Ok(table)
}

/// `mean [low, high]` in percent; without an interval where there is one seed.
fn percent(interval: &Interval) -> String {
    match (interval.low, interval.high) {
        (Some(low), Some(high)) => format!("{:.1} [{:.1}, {:.1}]", 100.0 * interval.mean, 100.0 * low, 100.0 * high),
        _ => format!("{:.1}", 100.0 * interval.mean),
    }
}

/// Accuracy against labels a class, one line a model, with 95% intervals over seeds.
pub fn accuracy_chart(
    project: &Project,
    rows: &[ResultRow],
    dataset: &str,
    split: &str,
    method: Method,
) -> Result<Chart> {
    let intervals = Selection::new(rows, dataset, split, "accuracy", false).intervals()?;
    let mut series: Vec<Series> = Vec::new();
    let mut ticks = BTreeSet::new();
    for ((model, used, budget), interval) in intervals {
        if used != method.as_str() {
            continue;
        }
        ticks.insert(budget);
        let name = project.manifests.model(&model).map_or(model.clone(), |record| record.name.clone());
        if series.last().is_none_or(|line| line.name != name) {
            let look = look(&model);
            series.push(Series { name, look, x: Vec::new(), y: Vec::new(), interval: Vec::new() });
        }
        let Some(line) = series.last_mut() else { continue };
        line.x.push(f64::from(budget));
        line.y.push(100.0 * interval.mean);
        if let (Some(low), Some(high)) = (interval.low, interval.high) {
            line.interval.push((100.0 * low, 100.0 * high));
        }
    }
    series.sort_by(|a, b| b.y.last().unwrap_or(&0.0).total_cmp(a.y.last().unwrap_or(&0.0)));
    let style = Style {
        title: format!("{dataset}, {split}: {}", method_name(method)),
        x: "label budget N (images a class drawn for train and val)".into(),
        y: "accuracy (%)".into(),
        log_x: true,
        x_ticks: ticks.into_iter().map(f64::from).collect(),
    };
    Ok(Chart::lines(&style, &series))
}

fn method_name(method: Method) -> &'static str {
    match method {
        Method::Knn => "5 nearest neighbours",
        Method::Lr => "logistic regression",
    }
}

/// What leakage is worth: accuracy with groups kept apart, with groups ignored, and the difference, in percent.
pub fn leakage_table(project: &Project, rows: &[ResultRow], dataset: &str) -> Result<Table> {
    let honest = Selection::new(rows, dataset, "test", "accuracy", false).intervals()?;
    let leaky = Selection::new(rows, dataset, "test", "accuracy", true).intervals()?;
    let header = ["model", "method", "budget", "groups apart", "groups ignored", "gain from leakage"];
    let mut table = Table {
        caption: format!("{dataset}: accuracy in percent when near-copies may sit in train and test"),
        header: header.map(String::from).to_vec(),
        rows: Vec::new(),
    };
    for (key, apart) in &honest {
        let Some(ignored) = leaky.get(key) else { continue };
        let (model, method, budget) = key;
        let name = project.manifests.model(model).map_or(model.clone(), |record| record.name.clone());
        table.rows.push(vec![
            name.into(),
            method.clone().into(),
            budget.to_string().into(),
            percent(apart).into(),
            percent(ignored).into(),
            format!("{:+.1}", 100.0 * (ignored.mean - apart.mean)).into(),
        ]);
    }
    Ok(table)
}

/// The study's own accuracy table for one of its data sets, in percent, in its order.
///
/// # Errors
/// A published table that cannot be read.
pub fn published_table(project: &Project, dataset: &str) -> Result<Table> {
    let results = published::results(project.root())?;
    let chosen: Vec<_> = results
        .iter()
        .filter(|result| result.key.table == PublishedTable::GeneralProbe && result.key.dataset == dataset)
        .collect();
    let columns: BTreeSet<(String, Option<usize>)> =
        chosen.iter().map(|result| (result.key.method.clone(), result.key.budget)).collect();
    let mut models: Vec<&str> = Vec::new();
    for result in &chosen {
        if !models.contains(&result.key.model.as_str()) {
            models.push(&result.key.model);
        }
    }
    let value = |model: &str, column: &(String, Option<usize>)| {
        let found = chosen.iter().find(|r| r.key.model == model && r.key.method == column.0 && r.key.budget == column.1);
        found.map(|result| result.value)
    };
    let best = |column| models.iter().filter_map(|model| value(model, column)).fold(f64::MIN, f64::max);
    let name = |(method, budget): &(String, Option<usize>)| match budget {
        Some(budget) => format!("{method}_{budget}"),
        None => method.clone(),
    };
    let mut header = vec!["model".to_string()];
    header.extend(columns.iter().map(name));
    let row = |model: &&str| {
        let cells = columns.iter().map(|column| match value(model, column) {
            Some(value) => Cell { text: format!("{:.1}", 100.0 * value), best: value == best(column) },
            None => Cell::from("–"),
        });
        std::iter::once(Cell::from(*model)).chain(cells).collect()
    };
    Ok(Table {
        caption: format!("{dataset}: accuracy in percent as the study published it (one run, no interval)"),
        header,
        rows: models.iter().map(row).collect(),
    })
}
