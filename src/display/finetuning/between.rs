//! Last against best weights, the way between frozen and fine-tuned, the spread over models, and what runs cost.

use super::labels::{counts, intervals, on_same_splits};
use super::method_line;
use crate::display::selection::{model_name, origin, told_apart};
use crate::display::{Cell, Chart, Series, Style, Table, look};
use crate::error::Result;
use crate::metrics::{Interval, mean_t_interval};
use crate::models::Architecture;
use crate::project::Project;
use crate::results::{ResultRow, Run};
use std::collections::{BTreeMap, BTreeSet};

/// What the best weights on validation images have over the last ones, by data set, part, method and budget: points, mean over
/// models and seeds with a 95% t-interval over seeds of the mean over models.
///
/// # Errors
/// A value that is not finite.
pub fn last_best_table(rows: &[ResultRow]) -> Result<Table> {
    type Place<'a> = (&'a str, &'a str, &'a str, u32);
    let mut pairs: BTreeMap<(Place, u64, &str), [Option<f64>; 2]> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.metric == "accuracy") {
        let place =
            (row.cell.dataset.as_str(), row.split.as_str(), row.cell.method.as_str(), row.cell.budget.unwrap_or(0));
        let pair = pairs.entry((place, row.cell.seed, &row.cell.model)).or_default();
        match row.weights.as_str() {
            "last" => pair[0] = row.value,
            "best" => pair[1] = row.value,
            _ => {}
        }
    }
    let mut by_seed: BTreeMap<(Place, u64), Vec<f64>> = BTreeMap::new();
    for ((place, seed, _), pair) in &pairs {
        if let [Some(last), Some(best)] = pair {
            by_seed.entry((*place, *seed)).or_default().push(best - last);
        }
    }
    let mut by_place: BTreeMap<Place, (usize, Vec<f64>)> = BTreeMap::new();
    for ((place, _), differences) in by_seed {
        let entry = by_place.entry(place).or_default();
        entry.0 = entry.0.max(differences.len());
        entry.1.push(differences.iter().sum::<f64>() / differences.len() as f64);
    }
    let mut table = Table {
        caption: "Best weights minus last weights, points of accuracy, mean over models [95% t-interval over seeds]"
            .into(),
        header: ["data", "method", "budget", "models", "best minus last"].map(String::from).to_vec(),
        rows: Vec::new(),
    };
    for ((dataset, split, method, budget), (models, means)) in by_place {
        let interval = mean_t_interval(&means, 0.95)?;
        let cells =
            [format!("{dataset}, {split}"), method.into(), budget.to_string(), models.to_string(), signed(&interval)];
        table.rows.push(cells.into_iter().map(Cell::from).collect());
    }
    Ok(table)
}

fn signed(interval: &Interval) -> String {
    let points = |part: f64| format!("{:+.1}", 100.0 * part);
    match (interval.low, interval.high) {
        (Some(low), Some(high)) => format!("{} [{}, {}]", points(interval.mean), points(low), points(high)),
        _ => points(interval.mean),
    }
}

/// Accuracy on the way from the frozen model with its logistic regression (0) to the fine-tuned weights (1), one line per model. A
/// place without a number is left out.
///
/// # Errors
/// A value that is not finite.
pub fn wise_chart(project: &Project, rows: &[ResultRow], dataset: &str, split: &str, budget: u32) -> Result<Chart> {
    let wanted = |row: &&ResultRow| {
        row.metric == "accuracy"
            && row.cell.method == "wise"
            && row.cell.dataset == dataset
            && row.split == split
            && row.cell.budget == Some(budget)
    };
    let mut lines: BTreeMap<String, BTreeMap<u64, Vec<f64>>> = BTreeMap::new();
    for row in rows.iter().filter(wanted) {
        let alpha = row.weights.strip_prefix("alpha ").and_then(|alpha| alpha.parse::<f64>().ok());
        let (Some(alpha), Some(value)) = (alpha, row.value) else { continue };
        let of_model = lines.entry(row.cell.model.clone()).or_default();
        of_model.entry((1000.0 * alpha) as u64).or_default().push(value);
    }
    let mut named = Vec::new();
    for (model, points) in lines {
        let mut line = Series {
            name: model_name(project, &model),
            look: look(project, &model),
            x: Vec::new(),
            y: Vec::new(),
            interval: Vec::new(),
        };
        for (alpha, values) in points {
            line.x.push(alpha as f64 / 1000.0);
            line.y.push(100.0 * mean_t_interval(&values, 0.95)?.mean);
        }
        named.push((model, line));
    }
    let mut series = told_apart(named);
    series.sort_by(|a, b| b.y.last().unwrap_or(&0.0).total_cmp(a.y.last().unwrap_or(&0.0)));
    let style = Style {
        title: format!("{dataset}, {split}, budget {budget}: between frozen and fine-tuned"),
        x: "part of the way to the fine-tuned weights".into(),
        y: "accuracy (%), mean over seeds".into(),
        ..Style::default()
    };
    Ok(Chart::lines(&style, &series))
}

/// The standard deviation over models of the logit of accuracy, by data set, part, budget and method: mean over seeds with a 95%
/// t-interval. Only models that have the method and the logistic regression count, so that rows compare, and only seeds under
/// which these are three or more.
///
/// # Errors
/// A value that is not finite.
pub fn spread_table(rows: &[ResultRow], methods: &[&'static str]) -> Result<Table> {
    type Place = (String, String, u32);
    let counted: Vec<&ResultRow> =
        rows.iter().filter(|row| counts(row) && methods.contains(&row.cell.method.as_str())).collect();
    let mut values: BTreeMap<(Place, &str), BTreeMap<(u64, &str), f64>> = BTreeMap::new();
    for row in &counted {
        let place = (row.cell.dataset.clone(), row.split.clone(), row.cell.budget.unwrap_or(0));
        if let Some(value) = row.value {
            values.entry((place, &row.cell.method)).or_default().insert((row.cell.seed, &row.cell.model), value);
        }
    }
    let places: BTreeSet<&Place> = values.keys().map(|(place, _)| place).collect();
    let logit = |p: f64| {
        let p = p.clamp(1e-3, 1.0 - 1e-3);
        (p / (1.0 - p)).ln()
    };
    let mut table = Table {
        caption: format!(
            "Standard deviation over models of the logit of accuracy, mean over seeds [95% t-interval]{}",
            origin(&counted)
        ),
        header: ["data", "budget", "models"].map(String::from).to_vec(),
        rows: Vec::new(),
    };
    table.header.extend(methods.iter().map(|method| method.to_string()));
    for place in places {
        let of = |method: &&'static str| values.get(&(place.clone(), *method));
        // Where one of the methods was not run there is nothing to compare.
        let found = methods.iter().map(|method| Some(of(method)?.keys().copied().collect::<BTreeSet<_>>()));
        let Some(found) = found.collect::<Option<Vec<_>>>() else { continue };
        let Some(mut common) = found.into_iter().reduce(|a, b| a.intersection(&b).copied().collect()) else { continue };
        let seeds: Vec<u64> = common.iter().map(|(seed, _)| *seed).collect();
        common.retain(|(seed, _)| seeds.iter().filter(|other| *other == seed).count() > 2);
        if common.is_empty() {
            continue;
        }
        let models: BTreeSet<&str> = common.iter().map(|(_, model)| *model).collect();
        let mut cells = vec![format!("{}, {}", place.0, place.1), place.2.to_string(), models.len().to_string()];
        for method in methods {
            let Some(of_method) = of(method) else { continue };
            let mut by_seed: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
            for key in &common {
                by_seed.entry(key.0).or_default().push(logit(of_method[key]));
            }
            let deviations: Vec<f64> = by_seed.values().map(|values| deviation(values)).collect();
            let interval = mean_t_interval(&deviations, 0.95)?;
            cells.push(match (interval.low, interval.high) {
                (Some(low), Some(high)) => format!("{:.2} [{low:.2}, {high:.2}]", interval.mean),
                _ => format!("{:.2}", interval.mean),
            });
        }
        table.rows.push(cells.into_iter().map(Cell::from).collect());
    }
    Ok(table)
}

fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
}

/// Accuracy against the arithmetic of learning, one mark per method and budget of each model: what a step up costs. Learning from
/// an image takes three passes, forward and back twice; a probe takes one pass over its training images.
///
/// # Errors
/// An architecture that is not known; a value that is not finite.
pub fn cost_chart(
    project: &Project,
    rows: &[ResultRow],
    runs: &[Run],
    dataset: &str,
    split: &str,
    model: &str,
) -> Result<Chart> {
    let record = project.manifests.model(model)?;
    let pass = Architecture::named(&record.architecture)?.multiply_adds(record.input.size) as f64 / 1e9;
    let rows = on_same_splits(rows, dataset, split, model);
    let drawn = |key: &str| runs.iter().find(|run| run.key == key).map(|run| run.images);
    let mut images: BTreeMap<(String, Option<u32>), Vec<f64>> = BTreeMap::new();
    for row in &rows {
        let passes = drawn(&row.cell.key).map_or(f64::from(row.n_train), |images| 3.0 * images as f64);
        images.entry((row.cell.method.clone(), row.cell.budget)).or_default().push(passes);
    }
    let mut lines: BTreeMap<String, Series> = BTreeMap::new();
    for ((method, budget), interval) in intervals(&rows, |row| (row.cell.method.clone(), row.cell.budget))? {
        let passes = &images[&(method.clone(), budget)];
        let line = lines.entry(method.clone()).or_insert_with(|| method_line(&method));
        line.x.push(pass * passes.iter().sum::<f64>() / passes.len() as f64);
        line.y.push(100.0 * interval.mean);
    }
    let style = Style {
        title: format!("{dataset}, {split}: {}, what accuracy costs", model_name(project, model)),
        x: "billions of multiply-adds to learn (logarithmic)".into(),
        y: "accuracy (%), mean over seeds".into(),
        log_x: true,
        x_ticks: Vec::new(),
        ..Style::default()
    };
    Ok(Chart::lines(&style, &lines.into_values().collect::<Vec<_>>()))
}

/// How runs went, mean over models and seeds: epochs, why they ended, the epoch of the lowest validation loss (of the runs that have
/// one), how far the weights moved, images per second.
pub fn runs_table(runs: &[Run]) -> Table {
    let mut by_place: BTreeMap<(&str, &str, u32), Vec<&Run>> = BTreeMap::new();
    for run in runs {
        by_place.entry((&run.dataset, &run.method, run.budget)).or_default().push(run);
    }
    let row = |((dataset, method, budget), runs): (&(&str, &str, u32), &Vec<&Run>)| {
        let mean = |of: &dyn Fn(&Run) -> f64| runs.iter().map(|run| of(run)).sum::<f64>() / runs.len() as f64;
        let best: Vec<f64> = runs.iter().filter_map(|run| run.best_epoch).map(|epoch| epoch as f64).collect();
        let best = match best.len() {
            0 => "–".to_string(),
            n => format!("{:.0}", best.iter().sum::<f64>() / n as f64),
        };
        let early = runs.iter().filter(|run| run.ended.starts_with("stopped early")).count();
        let cells = [
            dataset.to_string(),
            method.to_string(),
            budget.to_string(),
            runs.len().to_string(),
            format!("{:.0}", mean(&|run| run.epochs as f64)),
            early.to_string(),
            best,
            format!("{:.1}", 100.0 * mean(&|run| run.moved)),
            format!("{:.0}", mean(&Run::images_per_second)),
        ];
        cells.into_iter().map(Cell::from).collect()
    };
    let header =
        ["data", "method", "budget", "runs", "epochs", "stopped early", "best epoch", "weights moved (%)", "images/s"];
    Table {
        caption: "How runs went, means over models and seeds; epochs and images of all rates that were tried".into(),
        header: header.map(String::from).to_vec(),
        rows: by_place.iter().map(row).collect(),
    }
}
