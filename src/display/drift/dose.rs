//! Damage of known strength: what each step costs a representation, and whether that tells what a new style costs it.

use super::arm;
use crate::display::selection::{model_name, origin, told_apart};
use crate::display::{Cell, Chart, Series, Style, Table, look};
use crate::error::Result;
use crate::experiments::drift::{CLEAN, HELD_OUT, damage};
use crate::metrics::{mean_t_interval, spearman};
use crate::project::Project;
use crate::results::ResultRow;
use std::collections::{BTreeMap, BTreeSet};

/// Accuracies of a model by kind, strength and seed; clean ones by seed.
#[derive(Default)]
struct Doses<'a> {
    clean: BTreeMap<u64, f64>,
    damaged: BTreeMap<(&'a str, u8), BTreeMap<u64, f64>>,
}

fn doses<'a>(
    rows: &'a [ResultRow],
    dataset: &str,
    method: &str,
    budget: u32,
) -> (BTreeMap<&'a str, Doses<'a>>, String) {
    let wanted = |row: &&ResultRow| {
        let cell = &row.cell;
        cell.dataset == dataset && cell.method == method && cell.budget == Some(budget) && row.metric == "accuracy"
    };
    let rows: Vec<&ResultRow> = rows.iter().filter(wanted).collect();
    let mut by_model: BTreeMap<&str, Doses> = BTreeMap::new();
    for row in &rows {
        let Some(value) = row.value else { continue };
        let of_model = by_model.entry(&row.cell.model).or_default();
        if row.split == CLEAN {
            of_model.clean.insert(row.cell.seed, value);
        } else if let Some((kind, strength)) = damage(&row.split) {
            of_model.damaged.entry((kind.name(), strength)).or_default().insert(row.cell.seed, value);
        }
    }
    let origin = origin(&rows);
    (by_model, origin)
}

impl Doses<'_> {
    /// Accuracy at a strength, mean over kinds, by seed; strength 0 is clean.
    fn at(&self, strength: u8) -> Vec<f64> {
        if strength == 0 {
            return self.clean.values().copied().collect();
        }
        let of_seed = |seed: &u64| {
            let kinds: Vec<f64> = self
                .damaged
                .iter()
                .filter(|((_, of), _)| *of == strength)
                .filter_map(|(_, seeds)| seeds.get(seed).copied())
                .collect();
            (!kinds.is_empty()).then(|| kinds.iter().sum::<f64>() / kinds.len() as f64)
        };
        self.clean.keys().filter_map(of_seed).collect()
    }

    /// What a step of strength costs under a kind of damage, by seed: the slope of the line from the clean accuracy on. Under
    /// all kinds, their mean.
    fn cost(&self, kind: Option<&str>) -> Vec<f64> {
        let of_seed = |(seed, clean): (&u64, &f64)| {
            let (mut sum, mut weight) = (0.0, 0.0);
            for ((of, strength), seeds) in &self.damaged {
                if let (true, Some(value)) = (kind.is_none_or(|kind| kind == *of), seeds.get(seed)) {
                    sum += f64::from(*strength) * (clean - value);
                    weight += f64::from(*strength).powi(2);
                }
            }
            (weight > 0.0).then(|| sum / weight)
        };
        self.clean.iter().filter_map(of_seed).collect()
    }
}

/// Accuracy by strength of damage, mean over the five kinds, one line per model; 0 is undamaged.
///
/// # Errors
/// A value that is not finite.
pub fn dose_chart(project: &Project, rows: &[ResultRow], dataset: &str, method: &str, budget: u32) -> Result<Chart> {
    let (by_model, _) = doses(rows, dataset, method, budget);
    let mut lines = Vec::new();
    for (model, doses) in by_model {
        let name = model_name(project, model);
        let mut line = Series { name, look: look(project, model), x: Vec::new(), y: Vec::new(), interval: Vec::new() };
        for strength in 0..=5u8 {
            let values = doses.at(strength);
            if !values.is_empty() {
                line.x.push(f64::from(strength));
                line.y.push(100.0 * mean_t_interval(&values, 0.95)?.mean);
            }
        }
        lines.push((model.to_string(), line));
    }
    let mut series = told_apart(lines);
    series.sort_by(|a, b| b.y.first().unwrap_or(&0.0).total_cmp(a.y.first().unwrap_or(&0.0)));
    let style = Style {
        title: format!("{dataset}, {}: accuracy on damaged images", arm(method, budget)),
        x: "strength of damage (0: none)".into(),
        y: "accuracy (%), mean over kinds and seeds".into(),
        x_ticks: (0..=5).map(f64::from).collect(),
        ..Style::default()
    };
    Ok(Chart::lines(&style, &series))
}

/// What a step of strength costs, in points, by kind and in the mean (95% t-interval over seeds), beside what a held-out domain
/// costs; the caption says whether the two put the models in the same order.
///
/// # Errors
/// A value that is not finite.
pub fn dose_table(
    project: &Project,
    rows: &[ResultRow],
    folds: &[ResultRow],
    dataset: &str,
    method: &str,
    budget: u32,
) -> Result<Table> {
    let (by_model, origin) = doses(rows, dataset, method, budget);
    let kinds: BTreeSet<&str> =
        by_model.values().flat_map(|doses| doses.damaged.keys().map(|(kind, _)| *kind)).collect();
    let mut models = Vec::new();
    for (model, doses) in &by_model {
        let cost = doses.cost(None);
        if !cost.is_empty() {
            models.push((*model, doses, mean_t_interval(&cost, 0.95)?));
        }
    }
    models.sort_by(|a, b| a.2.mean.total_cmp(&b.2.mean));
    let of_domains = |model: &str| style_cost(folds, dataset, method, budget, model);
    let pairs: Vec<(f64, f64)> =
        models.iter().filter_map(|(model, _, cost)| Some((cost.mean, of_domains(model)?))).collect();
    let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let agree = if a.len() < 2 { None } else { spearman(&a, &b)? };
    let agree = agree.map_or_else(|| "cannot be told".into(), |rho| format!("{rho:+.2}"));
    let mut table = Table {
        caption: format!(
            "{dataset}, {}: points of accuracy that a step of strength costs, mean over seeds [95% t-interval over seeds], \
             and that a held-out domain costs; the two orders of models agree by {agree} (Spearman, {} models){origin}",
            arm(method, budget),
            a.len()
        ),
        header: ["model", "all kinds"].map(String::from).to_vec(),
        rows: Vec::new(),
    };
    table.header.extend(kinds.iter().map(|kind| kind.replace('_', " ")));
    table.header.push("a held-out domain".into());
    let points = |part: f64| format!("{:.1}", 100.0 * part);
    for (model, doses, cost) in &models {
        let all = match (cost.low, cost.high) {
            (Some(low), Some(high)) => format!("{} [{}, {}]", points(cost.mean), points(low), points(high)),
            _ => points(cost.mean),
        };
        let mut cells = vec![model_name(project, model), all];
        for kind in &kinds {
            let of_kind = doses.cost(Some(kind));
            cells.push(if of_kind.is_empty() { "–".into() } else { points(mean_t_interval(&of_kind, 0.95)?.mean) });
        }
        cells.push(of_domains(model).map_or_else(|| "–".into(), points));
        table.rows.push(cells.into_iter().map(Cell::from).collect());
    }
    Ok(table)
}

/// Accuracy that a model loses when a domain is held out, mean over domains and seeds.
fn style_cost(folds: &[ResultRow], dataset: &str, method: &str, budget: u32, model: &str) -> Option<f64> {
    let of = |split: &str| {
        let wanted = |row: &&ResultRow| {
            let cell = &row.cell;
            cell.protocol.starts_with(HELD_OUT)
                && (cell.dataset.as_str(), cell.method.as_str(), cell.model.as_str()) == (dataset, method, model)
                && cell.budget == Some(budget)
                && row.metric == "accuracy"
                && row.split == split
        };
        let values: Vec<f64> = folds.iter().filter(wanted).filter_map(|row| row.value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    Some(of("id")? - of("ood")?)
}
