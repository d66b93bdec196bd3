//! The gap, arm by arm: what is lost in points, as a ratio, beside the line; and whether these put models in the same order.

use super::{arm, points};
use crate::display::selection::{Selection, model_name};
use crate::display::{Cell, Table};
use crate::error::Result;
use crate::experiments::drift::{Drift, Gap};
use crate::metrics::{holm, spearman};
use crate::project::Project;
use crate::results::ResultRow;
use std::collections::BTreeMap;

/// The gaps of a method at a budget, the smallest loss in points first.
fn of<'a>(drift: &'a Drift, method: &str, budget: u32) -> Vec<&'a Gap> {
    let mut gaps: Vec<&Gap> = drift.gaps.iter().filter(|gap| gap.method == method && gap.budget == budget).collect();
    gaps.sort_by(|a, b| a.points.value.total_cmp(&b.points.value));
    gaps
}

fn units(drift: &Drift) -> String {
    format!("95% bootstrap over {} groups of images", drift.n_units)
}

/// Every model by one method at one budget: accuracies, the gap in points, the part that is kept, the same above chance, what lies
/// above the line, and what another mix of classes takes of the gap. Bold where a gap stands after Holm over the models.
///
/// # Errors
/// None that a reader can cause.
pub fn drift_table(project: &Project, drift: &Drift, method: &str, budget: u32) -> Result<Table> {
    let gaps = of(drift, method, budget);
    let p_values: Vec<f64> = gaps.iter().map(|gap| gap.points.p_value.unwrap_or(1.0)).collect();
    let stands: Vec<bool> = holm(&p_values)?.into_iter().map(|p| p <= 0.05).collect();
    // Nothing is a part of no accuracy at all.
    let part = |value: Option<f64>| {
        value.filter(|value| value.is_finite()).map_or_else(|| "–".into(), |value| format!("{value:.2}"))
    };
    let row = |(gap, stands): (&&Gap, &bool)| {
        let beside = gap.beside[0].map_or_else(|| "–".to_string(), |beside| points(&beside, true));
        let mix = gap.mix.map_or_else(|| "–".into(), |mix| format!("{:+.1}", 100.0 * mix));
        vec![
            Cell::from(model_name(project, &gap.model)),
            Cell::from(format!("{:.1}", 100.0 * gap.id.value)),
            Cell::from(format!("{:.1}", 100.0 * gap.ood.value)),
            Cell { text: points(&gap.points, true), best: *stands },
            Cell::from(part(Some(gap.ratio.value))),
            Cell::from(part(gap.above_chance)),
            Cell::from(beside),
            Cell::from(mix),
        ]
    };
    let header = [
        "model",
        "in (%)",
        "out (%)",
        "lost (points)",
        "kept",
        "kept above chance",
        "above the line (points)",
        "class mix (points)",
    ];
    Ok(Table {
        caption: format!(
            "{}, {}: accuracy in and out of distribution, mean over seeds [{}]; bold where the loss stands after Holm",
            drift.dataset,
            arm(method, budget),
            units(drift)
        ),
        header: header.map(String::from).to_vec(),
        rows: gaps.iter().zip(&stands).map(row).collect(),
    })
}

/// For a caption: how many models nothing is known of beside the line, if any, and why.
fn not_told(drift: &Drift, gaps: &[&Gap]) -> String {
    let n = gaps.iter().filter(|gap| gap.beside[0].is_none()).count();
    match (n, &drift.lines) {
        (0, _) => String::new(),
        (n, Some(_)) => format!("; models left out: {n}, for 0% and 100% in distribution have no place on the line"),
        (n, None) => format!("; models left out: {n}, for there is no line through the arms"),
    }
}

/// Three orders of the models, best first: by points lost, by the part that is kept, by what lies above the line; and how well each
/// two agree (Spearman). The caption says how many models have no place in them.
///
/// # Errors
/// None that a reader can cause.
pub fn orders_table(project: &Project, drift: &Drift, method: &str, budget: u32) -> Result<Table> {
    let gaps = of(drift, method, budget);
    let told: Vec<&&Gap> = gaps.iter().filter(|gap| gap.beside[0].is_some()).collect();
    // Higher is better in each.
    let scores: [Vec<f64>; 3] = [
        told.iter().map(|gap| -gap.points.value).collect(),
        told.iter().map(|gap| gap.ratio.value).collect(),
        told.iter().map(|gap| gap.beside[0].map_or(f64::NAN, |beside| beside.value)).collect(),
    ];
    let best_first = |scores: &Vec<f64>| {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order
    };
    let orders: Vec<Vec<usize>> = scores.iter().map(best_first).collect();
    let agreement = |a: usize, b: usize| -> Result<String> {
        if told.len() < 2 {
            return Ok("–".into());
        }
        Ok(spearman(&scores[a], &scores[b])?.map_or_else(|| "–".into(), |rho| format!("{rho:+.2}")))
    };
    let caption = format!(
        "{}, {}: the models by three measures, best first. They agree (Spearman's rank correlation): points and ratio {}, \
         points and line {}, ratio and line {}{}",
        drift.dataset,
        arm(method, budget),
        agreement(0, 1)?,
        agreement(0, 2)?,
        agreement(1, 2)?,
        not_told(drift, &gaps)
    );
    let name = |order: &Vec<usize>, place: usize, text: String| {
        Cell::from(format!("{} ({text})", model_name(project, &told[order[place]].model)))
    };
    let row = |place: usize| {
        let [by_points, by_ratio, by_line] = [0, 1, 2].map(|k: usize| scores[k][orders[k][place]]);
        vec![
            Cell::from((place + 1).to_string()),
            name(&orders[0], place, format!("{:+.1}", 100.0 * by_points)),
            name(&orders[1], place, format!("{by_ratio:.2}")),
            name(&orders[2], place, format!("{:+.1}", 100.0 * by_line)),
        ]
    };
    Ok(Table {
        caption,
        header: ["place", "points", "part kept", "above the line (points)"].map(String::from).to_vec(),
        rows: (0..told.len()).map(row).collect(),
    })
}

/// For how many models one probe is ahead of others, part by part and budget by budget: mean accuracy over seeds. Probes that the
/// suite does not have are left out.
///
/// # Errors
/// A value that is not finite.
pub fn ahead_table(rows: &[ResultRow], dataset: &str, probe: &str, others: &[&str]) -> Result<Table> {
    let is_there = |other: &&&str| rows.iter().any(|row| row.cell.dataset == dataset && row.cell.method == **other);
    let others: Vec<&str> = others.iter().filter(is_there).copied().collect();
    let mut table = Table {
        caption: format!("{dataset}: for how many models {probe} is ahead, by mean accuracy over seeds"),
        header: std::iter::once("part and budget".to_string())
            .chain(others.iter().map(|other| format!("ahead of {other}")))
            .collect(),
        rows: Vec::new(),
    };
    for split in ["id", "ood"] {
        let intervals = Selection::new(rows, dataset, split, "accuracy", false).intervals()?;
        let mut budgets: BTreeMap<u32, Vec<&String>> = BTreeMap::new();
        for (model, method, budget) in intervals.keys() {
            if let (true, Some(budget)) = (method == probe, budget) {
                budgets.entry(*budget).or_default().push(model);
            }
        }
        for (budget, models) in budgets {
            let mean = |model: &String, method: &str| {
                Some(intervals.get(&(model.clone(), method.to_string(), Some(budget)))?.mean)
            };
            let count = |other: &&str| {
                let pairs = models.iter().filter_map(|model| Some((mean(model, probe)?, mean(model, other)?)));
                let (n, ahead) = pairs.fold((0, 0), |(n, ahead), (a, b)| (n + 1, ahead + usize::from(a > b)));
                Cell::from(if n == 0 { "–".to_string() } else { format!("{ahead} of {n}") })
            };
            let name = Cell::from(format!("{split}, budget {budget}"));
            table.rows.push(std::iter::once(name).chain(others.iter().map(count)).collect());
        }
    }
    Ok(table)
}
