//! Every domain held out in turn.

use super::arm;
use crate::display::selection::{model_name, origin, told_apart};
use crate::display::{Cell, Chart, Series, Style, Table, look};
use crate::error::Result;
use crate::experiments::drift::HELD_OUT;
use crate::metrics::{Interval, mean_t_interval};
use crate::project::Project;
use crate::results::ResultRow;
use std::collections::{BTreeMap, BTreeSet};

/// What is lost when each domain is held out: by model and domain, mean over seeds.
struct Lost<'a> {
    by_model: BTreeMap<&'a str, BTreeMap<&'a str, f64>>,
    domains: Vec<&'a str>,
    origin: String,
}

impl<'a> Lost<'a> {
    fn of(rows: &'a [ResultRow], dataset: &str, method: &str, budget: u32) -> Lost<'a> {
        let wanted = |row: &&ResultRow| {
            let cell = &row.cell;
            cell.dataset == dataset && cell.method == method && cell.budget == Some(budget) && row.metric == "accuracy"
        };
        let rows: Vec<&ResultRow> = rows.iter().filter(wanted).collect();
        let mut sums: BTreeMap<(&str, &str), BTreeMap<&str, (f64, f64)>> = BTreeMap::new();
        for row in &rows {
            let Some(domain) = row.cell.protocol.strip_prefix(HELD_OUT) else { continue };
            let Some(value) = row.value else { continue };
            let sum = sums.entry((&row.cell.model, domain)).or_default().entry(&row.split).or_default();
            *sum = (sum.0 + value, sum.1 + 1.0);
        }
        let mut by_model: BTreeMap<&str, BTreeMap<&str, f64>> = BTreeMap::new();
        for ((model, domain), parts) in &sums {
            let mean = |split: &str| parts.get(split).map(|(sum, n)| sum / n);
            if let (Some(id), Some(ood)) = (mean("id"), mean("ood")) {
                by_model.entry(model).or_default().insert(domain, id - ood);
            }
        }
        let domains: BTreeSet<&str> = by_model.values().flat_map(|lost| lost.keys().copied()).collect();
        let mean_of = |domain: &str| {
            let of: Vec<f64> = by_model.values().filter_map(|lost| lost.get(domain).copied()).collect();
            of.iter().sum::<f64>() / of.len().max(1) as f64
        };
        let mut domains: Vec<&str> = domains.into_iter().collect();
        domains.sort_by(|a, b| mean_of(a).total_cmp(&mean_of(b)));
        Lost { origin: origin(&rows), by_model, domains }
    }

    /// Models with the mean over domains and its interval, the smallest loss first.
    fn models(&self) -> Result<Vec<(&'a str, Interval)>> {
        let mut models = Vec::new();
        for (model, lost) in &self.by_model {
            models.push((*model, mean_t_interval(&lost.values().copied().collect::<Vec<_>>(), 0.95)?));
        }
        models.sort_by(|a, b| a.1.mean.total_cmp(&b.1.mean));
        Ok(models)
    }
}

/// Points of accuracy lost when a domain is held out, a column per domain (mean over seeds), and the mean over domains with a 95%
/// t-interval in which the domain is the unit.
///
/// # Errors
/// A value that is not finite.
pub fn folds_table(project: &Project, rows: &[ResultRow], dataset: &str, method: &str, budget: u32) -> Result<Table> {
    let lost = Lost::of(rows, dataset, method, budget);
    let signed = |part: f64| format!("{:+.1}", 100.0 * part);
    let row = |(model, interval): &(&str, Interval)| {
        let mean = match (interval.low, interval.high) {
            (Some(low), Some(high)) => format!("{} [{}, {}]", signed(interval.mean), signed(low), signed(high)),
            _ => signed(interval.mean),
        };
        let of_domain =
            |domain: &&str| lost.by_model[model].get(domain).map_or_else(|| "–".into(), |part| signed(*part));
        let cells = [model_name(project, model), mean].into_iter().chain(lost.domains.iter().map(of_domain));
        cells.map(Cell::from).collect()
    };
    let header = ["model", "mean over domains"].into_iter().chain(lost.domains.iter().copied());
    Ok(Table {
        caption: format!(
            "{dataset}, {}: points of accuracy lost with each domain held out, mean over seeds [95% t-interval over {} \
             domains]{}",
            arm(method, budget),
            lost.domains.len(),
            lost.origin
        ),
        header: header.map(String::from).collect(),
        rows: lost.models()?.iter().map(row).collect(),
    })
}

/// The same as lines: domains across, from near to far; points lost up; one line per model.
///
/// # Errors
/// A value that is not finite.
pub fn folds_chart(project: &Project, rows: &[ResultRow], dataset: &str, method: &str, budget: u32) -> Result<Chart> {
    let lost = Lost::of(rows, dataset, method, budget);
    let lines = lost.models()?.into_iter().map(|(model, _)| {
        let points = lost
            .domains
            .iter()
            .zip(1..)
            .filter_map(|(domain, x)| Some((f64::from(x), *lost.by_model[model].get(domain)?)));
        let (x, y) = points.map(|(x, lost)| (x, 100.0 * lost)).unzip();
        let (name, look) = (model_name(project, model), look(project, model));
        (model.to_string(), Series { name, look, x, y, interval: Vec::new() })
    });
    let series = told_apart(lines.collect());
    let style = Style {
        title: format!("{dataset}, {}: every domain held out in turn", arm(method, budget)),
        x: "held-out domain, from near to far".into(),
        y: "accuracy lost (points), mean over seeds".into(),
        x_ticks: (1..=lost.domains.len()).map(|x| x as f64).collect(),
        x_names: lost.domains.iter().map(|domain| domain.to_string()).collect(),
        ..Style::default()
    };
    Ok(Chart::lines(&style, &series))
}
