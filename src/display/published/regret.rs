//! What always choosing the same would have cost in the study, and where its spread comes from.

use super::{method, study_look};
use crate::display::dots::{Dot, Dots};
use crate::display::{Cell, Chart, Table};
use crate::error::Result;
use crate::project::Project;
use crate::published::audit::Audit;
use crate::published::audit::over_sets::regret;

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
