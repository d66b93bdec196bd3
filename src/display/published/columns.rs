//! One column of the study: who is ahead of whom, and how surely.

use super::{column_name, method, study_look};
use crate::display::dots::{Dot, Dots};
use crate::display::{Cell, Chart, Look, Table};
use crate::error::{Error, Result};
use crate::metrics::holm;
use crate::progress::thousands;
use crate::project::Project;
use crate::published::audit::Audit;
use crate::published::audit::columns::{Column, neighbours};
use crate::published::audit::replicate::replicate;
use std::collections::BTreeSet;

/// The places that each model of a column may have: one more than the models that are clearly better, to as many as are not clearly
/// worse, by independent answers after Holm over all pairs.
fn place_ranges(column: &Column) -> Result<Vec<(usize, usize)>> {
    let ranked = column.ranked();
    let pairs: Vec<(usize, usize)> =
        (0..ranked.len()).flat_map(|a| (a + 1..ranked.len()).map(move |b| (a, b))).collect();
    let p = pairs.iter().map(|&(a, b)| Ok(column.apart(ranked[a].1, ranked[b].1)?.independent));
    let p = holm(&p.collect::<Result<Vec<f64>>>()?)?;
    let clear: BTreeSet<(usize, usize)> =
        pairs.into_iter().zip(p).filter(|(_, p)| *p < 0.05).map(|(pair, _)| pair).collect();
    let range = |at: usize| {
        let better = (0..at).filter(|&other| clear.contains(&(other, at))).count();
        let worse = (at + 1..ranked.len()).filter(|&other| clear.contains(&(at, other))).count();
        (1 + better, ranked.len() - worse)
    };
    Ok((0..ranked.len()).map(range).collect())
}

/// The study's accuracies of one column with the 95% intervals of its test images, and the places that they leave each model.
///
/// # Errors
/// A published table that cannot be read, or has no such column.
pub fn column_chart(project: &Project, dataset: &str, split: &str, of: &str, budget: usize) -> Result<Chart> {
    let audit = Audit::read(project.root())?;
    let column = audit.columns.iter().find(|column| column.is(dataset, split, of, budget));
    let none = || Error::argument("column", "one that the study published", column_name(dataset, split, of, budget));
    let column = column.ok_or_else(none)?;
    let rows = column.ranked().into_iter().zip(place_ranges(column)?).map(|((model, accuracy), (from, to))| {
        let (low, high) = column.interval(accuracy)?;
        let places = if from == to { format!("place {from}") } else { format!("place {from} to {to}") };
        let dot = Dot {
            series: String::new(),
            at: 100.0 * accuracy,
            interval: Some((100.0 * low, 100.0 * high)),
            look: study_look(project, model),
            open: false,
            words: format!("{:.1} [{:.1}, {:.1}], {places}", 100.0 * accuracy, 100.0 * low, 100.0 * high),
        };
        Ok((format!("{model} ({})", places.trim_start_matches("place ")), vec![dot]))
    });
    Ok(Dots {
        title: format!("{}: {} test images", column_name(dataset, split, of, budget), thousands(column.n)),
        x: "accuracy (%) [95% over test images]; in brackets the places left by all pairs, after Holm".into(),
        rows: rows.collect::<Result<_>>()?,
        ..Dots::default()
    }
    .chart())
}

/// The study's order of models in every column of some methods, written so that `=` stands between neighbours that its test images
/// cannot tell apart (95%, answers taken as correlated by a half), and `>` where they can. The number of clear steps is told for
/// the kindest case (nested answers) and for independent ones as well.
///
/// # Errors
/// A published table that cannot be read.
pub fn order_table(project: &Project, drift: bool) -> Result<Table> {
    let audit = Audit::read(project.root())?;
    let wanted = |column: &&Column| (column.split != "test") == drift;
    let row = |column: &Column| {
        let pairs = neighbours(column)?;
        let mut order = pairs.first().map_or_else(String::new, |pair| pair.better.to_string());
        for pair in &pairs {
            order.push_str(if pair.p.correlated < 0.05 { " > " } else { " = " });
            order.push_str(pair.worse);
        }
        let clear = |of: fn(&crate::metrics::SameImages) -> f64| pairs.iter().filter(|pair| of(&pair.p) < 0.05).count();
        let counts = [clear(|p| p.nested), clear(|p| p.correlated), clear(|p| p.independent)];
        let counts = counts.map(|count| count.to_string()).join(" / ");
        let name = column_name(&column.dataset, &column.split, &column.method, column.budget);
        Ok(vec![Cell::from(name), Cell::from(order), Cell::from(format!("{counts} of {}", pairs.len()))])
    };
    Ok(Table {
        caption: "The study's order of models, \"=\" where its test images cannot tell neighbours apart (95%, answers correlated by a \
                  half); clear steps if answers are nested / correlated by a half / independent"
            .into(),
        header: ["column", "order", "clear steps"].map(String::from).to_vec(),
        rows: audit.columns.iter().filter(wanted).map(row).collect::<Result<_>>()?,
    })
}

/// Two runs of the same probe on Flowers102: filled, the run that is printed alone; open, the one that follows from it and the printed mean of two.
///
/// # Errors
/// A published table that cannot be read.
pub fn replicate_chart(project: &Project, of: &str) -> Result<Chart> {
    let audit = Audit::read(project.root())?;
    let found = replicate(&audit.all, of)?;
    let mut runs = found.runs.clone();
    runs.sort_by(|a, b| b.first.total_cmp(&a.first));
    let dot = |model: &str, value: f64, open: bool| Dot {
        series: if open { "the run worked out".into() } else { "the printed run".into() },
        at: 100.0 * value,
        interval: None,
        look: Look { dash: "solid".into(), ..study_look(project, model) },
        open,
        words: format!("{} {:.1}", if open { "run worked out" } else { "printed run" }, 100.0 * value),
    };
    let row = |run: &crate::published::audit::replicate::TwoRuns| {
        (run.model.clone(), vec![dot(&run.model, run.first, false), dot(&run.model, run.second, true)])
    };
    Ok(Dots {
        title: format!(
            "Flowers102, {}: two runs; one run scatters by {:.1} points",
            method(of),
            100.0 * found.deviation
        ),
        x: "accuracy (%); filled: the run that is printed alone, open: twice the printed mean of two less that".into(),
        rows: runs.iter().map(row).collect(),
        ..Dots::default()
    }
    .chart())
}
