//! How many labels another choice would need.

use super::{labels_words, way_name};
use crate::display::dots::{Dot, Dots};
use crate::display::{Chart, Look, Words, look};
use crate::error::Result;
use crate::experiments::needed::{Needed, Target, needed};
use crate::project::Project;
use crate::results::ResultRow;

type Found = (Target, Vec<Needed>);

/// `None` where the suite did not ask this.
fn of(project: &Project, rows: &[ResultRow], place: (&str, &str), budget: u32) -> Result<Option<Found>> {
    let asked = |row: &ResultRow| {
        row.cell.dataset == place.0
            && row.split == place.1
            && row.cell.budget == Some(budget)
            && row.metric == "accuracy"
    };
    match rows.iter().any(asked) {
        true => needed(rows, place, budget, project.images(place.0)?.classes.len()).map(Some),
        false => Ok(None),
    }
}

/// What stands in place of numbers that were not asked for.
fn not_asked(dataset: &str, split: &str, budget: u32) -> String {
    format!("{dataset}, {}: the suite asks for no accuracy at budget {budget}.", super::part_words(split))
}

/// Ways that the chart shows: those that need least.
const SHOWN: usize = 16;

/// How many labels, in words; an end beyond what there is to draw is not told as a number, nor one that is not known.
fn label_count(needed: &Needed, target: &Target) -> String {
    let most = labels_words(target.range.1);
    match (needed.labels, needed.interval) {
        (Some(labels), _) if needed.at_once == needed.n_seeds => format!("{} or fewer", labels_words(labels)),
        (Some(labels), Some((low, high))) => {
            let or_fewer = if needed.at_once > 0 { " or fewer" } else { "" };
            let low = low.map_or_else(|| "lower end open".into(), |low| format!("{low:.1}"));
            let high = if high > target.range.1 { format!("more than {most}") } else { format!("{high:.1}") };
            format!("{labels:.1}{or_fewer} [{low}, {high}]")
        }
        (Some(labels), None) => format!("{labels:.1}"),
        (None, _) if needed.reached == 0 => format!("more than {most}"),
        (None, _) => format!("more than {most} under {} of {} seeds", needed.n_seeds - needed.reached, needed.n_seeds),
    }
}

/// Training images per class that each model and method needs to be as accurate as the best of them is at a label budget, on one
/// part of a data set. `rows` are those of [`crate::experiments::representations::run`]. Ways that do not get there with all the
/// labels there are stand open at the right edge; a bar whose lower end is open begins at the left one.
///
/// # Errors
/// A data set that cannot be opened. A suite that asks for no such row gives an empty chart that says so.
pub fn needed_chart(project: &Project, rows: &[ResultRow], dataset: &str, split: &str, budget: u32) -> Result<Chart> {
    let Some((target, all)) = of(project, rows, (dataset, split), budget)? else {
        let title = not_asked(dataset, split, budget);
        return Ok(Dots { title, ..Dots::default() }.chart());
    };
    let (least, edge) = (target.range.0 * 0.85, target.range.1 * 1.15);
    let shown: Vec<&Needed> = all.iter().filter(|needed| needed.reached > 0).take(SHOWN).collect();
    let row = |needed: &&Needed| {
        let Look { colour, marker, dash } = look(project, &needed.way.model);
        let dot = Dot {
            series: String::new(),
            at: needed.labels.unwrap_or(edge),
            interval: needed
                .interval
                .filter(|_| needed.at_once < needed.n_seeds)
                .map(|(low, high)| (low.unwrap_or(least), high.min(edge))),
            look: Look { colour, marker, dash },
            open: needed.labels.is_none(),
            words: format!("{} labels per class", label_count(needed, &target)),
        };
        (way_name(project, &needed.way), vec![dot])
    };
    let mut ticks: Vec<f64> = Vec::new();
    let mut tick = target.range.0;
    while tick <= target.range.1 * 1.01 {
        ticks.push(tick.round());
        tick *= 2.0;
    }
    let part = match all.len() - shown.len() {
        0 => String::new(),
        _ => format!("; the {} of {} ways that need least", shown.len(), all.len()),
    };
    Ok(Dots {
        title: format!(
            "{dataset}, {}: labels needed for {:.1}%{part}",
            super::part_words(split),
            100.0 * target.accuracy
        ),
        x: format!(
            "training images per class needed [95% over seeds]; open: not with {} of them",
            labels_words(target.range.1)
        ),
        log_x: true,
        ticks: ticks.into_iter().map(|tick| (tick, labels_words(tick))).collect(),
        range: Some((least, target.range.1 * 1.3)),
        rows: shown.iter().map(row).collect(),
        ..Dots::default()
    }
    .chart())
}

/// The chart in a sentence: what the target is, and what the same model with the other method, and the best other model, need.
///
/// # Errors
/// As for [`needed_chart`].
pub fn needed_words(project: &Project, rows: &[ResultRow], dataset: &str, split: &str, budget: u32) -> Result<Words> {
    let Some((target, all)) = of(project, rows, (dataset, split), budget)? else {
        return Ok(Words(not_asked(dataset, split, budget)));
    };
    let say = |needed: &Needed| format!("{} needs {}", way_name(project, &needed.way), label_count(needed, &target));
    let same = all.iter().find(|needed| needed.way.model == target.way.model && needed.way != target.way);
    let other = all.iter().find(|needed| needed.way.model != target.way.model && needed.reached > 0);
    let nobody = || format!("no other model gets there with {}", labels_words(target.range.1));
    let others: Vec<String> = same.map(say).into_iter().chain([other.map_or_else(nobody, say)]).collect();
    Ok(Words(format!(
        "{dataset}, {}: {} reaches {:.1}% with {} labels per class (mean over {} seeds). For the same, {}.",
        super::part_words(split),
        way_name(project, &target.way),
        100.0 * target.accuracy,
        labels_words(target.labels),
        all.first().map_or(0, |first| first.n_seeds),
        others.join(", and ")
    )))
}
