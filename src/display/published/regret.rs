//! What always choosing the same would have cost in the study, and where its spread comes from.

use super::{method, study_look};
use crate::display::dots::{Dot, Dots};
use crate::display::{Cell, Chart, Table};
use crate::error::Result;
use crate::metrics::{Stretch, VarianceShares};
use crate::project::Project;
use crate::published::audit::Audit;
use crate::published::audit::over_sets::regret;
use crate::results::ResultRow;
use ndarray::Array3;
use std::collections::{BTreeMap, BTreeSet};

/// Choices that the chart shows.
const SHOWN: usize = 12;

/// Points of accuracy behind the best of each data set at a budget, mean over the study's data sets, for the choices that lose
/// least, with the 95% interval over all resamples of the data sets. Filled is fine-tuning, open are probes.
///
/// # Errors
/// A published table that cannot be read, or a budget that it does not have.
pub fn study_regret_chart(project: &Project, budget: usize) -> Result<Chart> {
    let found = regret(&Audit::read(project.root())?.columns, budget)?;
    let row = |(model, of, regret): &(String, String, crate::metrics::Regret)| {
        let (low, high) = regret.interval;
        let dot = Dot {
            series: String::new(),
            at: 100.0 * regret.mean,
            interval: Some((100.0 * low, 100.0 * high)),
            look: study_look(project, model),
            open: of != "finetune",
            words: format!(
                "{:.1} [{:.1}, {:.1}] points, most on {} ({:.1}); least in {:.0}% of the resamples",
                100.0 * regret.mean,
                100.0 * low,
                100.0 * high,
                found.sets[regret.worst_set],
                100.0 * regret.worst,
                100.0 * regret.least
            ),
        };
        (format!("{model}, {}", method(of)), vec![dot])
    };
    Ok(Dots {
        title: format!("The study at budget {budget}: what always taking one costs, {} data sets", found.sets.len()),
        x: "points of accuracy behind the best of each set [95% over sets]; open: probes".into(),
        rows: found.choices.iter().take(SHOWN).map(row).collect(),
        ..Dots::default()
    }
    .chart())
}

/// The same of the accuracies here, by training images of a budget: data sets with their parts, the models of the suite, kNN and LR;
/// means over seeds. A budget that some model lacks is left out.
///
/// # Errors
/// Accuracies that are all the same.
pub fn own_shares_table(rows: &[ResultRow]) -> Result<Table> {
    let mut values: BTreeMap<u32, BTreeMap<(&str, (&str, &str), &str), Vec<f64>>> = BTreeMap::new();
    let probe = |row: &&ResultRow| row.metric == "accuracy" && matches!(row.cell.method.as_str(), "knn" | "lr");
    for row in rows.iter().filter(probe).filter(|row| row.cell.protocol != "leaky") {
        let (Some(budget), Some(value)) = (row.cell.budget, row.value) else { continue };
        let place =
            (row.cell.method.as_str(), (row.cell.dataset.as_str(), row.split.as_str()), row.cell.model.as_str());
        values.entry(budget).or_default().entry(place).or_default().push(value);
    }
    let mut table = Table {
        caption: "Where the spread of the accuracies here comes from (logits of means over seeds, kNN and LR)".into(),
        header: ["budget", "data sets and parts", "data set", "model", "method", "rest"].map(String::from).to_vec(),
        rows: Vec::new(),
    };
    for (budget, of) in values {
        let methods: BTreeSet<&str> = of.keys().map(|(method, ..)| *method).collect();
        let sets: BTreeSet<(&str, &str)> = of.keys().map(|(_, set, _)| *set).collect();
        let models: BTreeSet<&str> = of.keys().map(|(.., model)| *model).collect();
        let mut logits = Vec::new();
        for method in &methods {
            for set in &sets {
                for model in &models {
                    let mean = of.get(&(*method, *set, *model)).map(|v| v.iter().sum::<f64>() / v.len() as f64);
                    logits.extend(mean.and_then(|mean| Stretch::Logit.of(mean.clamp(0.002, 0.998))));
                }
            }
        }
        let Ok(logits) = Array3::from_shape_vec((methods.len(), sets.len(), models.len()), logits) else { continue };
        let shares = VarianceShares::of(logits.view())?;
        let parts = [shares.set, shares.model, shares.method, shares.rest].map(|part| format!("{:.0}%", 100.0 * part));
        table
            .rows
            .push([budget.to_string(), sets.len().to_string()].into_iter().chain(parts).map(Cell::from).collect());
    }
    Ok(table)
}

/// Where the spread of the study's accuracies comes from, by budget: shares of the sums of squares of their logits.
///
/// # Errors
/// A published table that cannot be read.
pub fn shares_table(project: &Project) -> Result<Table> {
    let audit = Audit::read(project.root())?;
    let row = |budget: usize| {
        let found = regret(&audit.columns, budget)?;
        let share = |part: f64| Cell::from(format!("{:.0}%", 100.0 * part));
        let shares = found.shares;
        let parts = [shares.set, shares.model, shares.method, shares.rest].map(share);
        let first = [Cell::from(budget.to_string()), Cell::from(found.sets.len().to_string())];
        Ok(first.into_iter().chain(parts).collect())
    };
    Ok(Table {
        caption: "Where the spread of the study's accuracies comes from (logits, nine models, kNN, LR and fine-tuning)"
            .into(),
        header: ["budget", "data sets", "data set", "model", "method", "rest"].map(String::from).to_vec(),
        rows: [10, 100].into_iter().map(row).collect::<Result<_>>()?,
    })
}
