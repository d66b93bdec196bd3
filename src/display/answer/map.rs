//! The decision map: data set and style down, labels across, in each cell the winner and what cannot be told apart from it.

use super::{labels_words, part_words, percent, way_name};
use crate::display::text::{NO_FORMULAS, emit, escape, plain};
use crate::display::{Cell, Table, Words, look};
use crate::experiments::choices::{Choice, Did, Way};
use crate::project::Project;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Ways that a cell names besides the winner before the rest is folded.
const NAMED: usize = 2;

/// The map, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceMap {
    html: String,
    text: String,
}

impl ChoiceMap {
    /// As a table of a page.
    pub fn to_html(&self) -> &str {
        &self.html
    }

    /// In words.
    pub fn to_text(&self) -> &str {
        &self.text
    }

    /// Called by the notebook kernel.
    pub fn evcxr_display(&self) {
        emit("text/html", &self.html);
        emit("text/plain", &self.text);
    }
}

/// The decision map of some tests. A row per data set and style; its cells stand in the order of the labels fitted, which differ
/// by data set and so are told in every cell. The colour is that of the winner: what its model learned from.
pub fn choice_map(project: &Project, choices: &[Choice]) -> ChoiceMap {
    let mut rows: BTreeMap<(&str, &str), Vec<&Choice>> = BTreeMap::new();
    for choice in choices {
        rows.entry((&choice.dataset, &choice.split)).or_default().push(choice);
    }
    rows.values_mut().for_each(|row| row.sort_by(|a, b| a.labels.total_cmp(&b.labels)));
    let columns = rows.values().map(Vec::len).max().unwrap_or(0);
    let caption = caption(choices);
    let mut text = plain(&caption);
    let mut html = format!(
        "<div class=\"{NO_FORMULAS} choice-map\" style=\"overflow-x:auto\"><table><caption>{}</caption><tbody>",
        escape(&caption)
    );
    for ((dataset, split), row) in rows {
        let name = format!("{dataset}, {}", part_words(split));
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(&name));
        for choice in &row {
            html.push_str(&cell_html(project, choice));
            let winner = &choice.ways[0];
            let others: Vec<String> = choice.undecided().skip(1).map(|did| way_name(project, &did.way)).collect();
            let others = if others.is_empty() { "alone".into() } else { format!("or {}", others.join("; ")) };
            let line = format!(
                "{name}, {} labels per class: {} {}; {others}",
                labels_words(choice.labels),
                way_name(project, &winner.way),
                percent(&winner.accuracy)
            );
            let _ = write!(text, "\n{}", plain(&line));
        }
        (row.len()..columns).for_each(|_| html.push_str("<td></td>"));
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div>");
    ChoiceMap { html, text }
}

fn caption(choices: &[Choice]) -> String {
    let seeds: BTreeSet<usize> = choices.iter().map(|choice| choice.n_seeds).collect();
    let seeds = seeds.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ");
    format!(
        "Which model and method? The most accurate one by labels fitted per class, in percent [95% over {seeds} split seeds and over \
         families of test images], and what cannot be told apart from it (paired)"
    )
}

fn cell_html(project: &Project, choice: &Choice) -> String {
    let winner = &choice.ways[0];
    let colour = escape(&look(project, &winner.way.model).colour);
    let others: Vec<&Did> = choice.undecided().skip(1).collect();
    let item = |did: &&Did| format!("{} {:.1}", escape(&way_name(project, &did.way)), 100.0 * did.accuracy.value);
    let named = others.iter().take(NAMED).map(item).collect::<Vec<_>>().join("<br>");
    let rest = others.iter().skip(NAMED).map(item).collect::<Vec<_>>();
    let rest = match rest.len() {
        0 => String::new(),
        n => format!("<details><summary>or {n} more</summary>{}</details>", rest.join("<br>")),
    };
    let others = match others.len() {
        0 => "<em>alone</em>".to_string(),
        _ => format!("<em>or</em> {named}{rest}"),
    };
    format!(
        "<td style=\"vertical-align:top;text-align:left;border-left:4px solid {colour};padding:0.4em 0.7em\"><small>{} labels per \
         class</small><br><strong>{}</strong><br>{}<br><small>{others}</small></td>",
        labels_words(choice.labels),
        escape(&way_name(project, &winner.way)),
        escape(&percent(&winner.accuracy)),
    )
}

/// One test in full: every way with its accuracy and how far it is behind the winner, paired; bold is what cannot be told apart from
/// it.
pub fn choice_table(project: &Project, choice: &Choice) -> Table {
    let row = |did: &Did| {
        let mut cells = [way_name(project, &did.way), percent(&did.accuracy), percent(&did.behind)].map(Cell::from);
        cells[1].best = did.undecided;
        cells.to_vec()
    };
    Table {
        caption: format!(
            "{}, {}, {} labels per class: accuracy in percent and points behind the winner [95% over {} split seeds and {} families \
             of test images, paired]; bold cannot be told apart from it",
            choice.dataset,
            part_words(&choice.split),
            labels_words(choice.labels),
            choice.n_seeds,
            choice.n_families
        ),
        header: ["model and method", "accuracy", "behind"].map(String::from).to_vec(),
        rows: choice.ways.iter().map(row).collect(),
    }
}

/// The map in a sentence: the way that wins, or cannot be told apart from the winner, most often.
pub fn choice_words(project: &Project, choices: &[Choice]) -> Words {
    let mut often: BTreeMap<&Way, (usize, f64)> = BTreeMap::new();
    for choice in choices {
        for did in choice.undecided() {
            let of = often.entry(&did.way).or_default();
            *of = (of.0 + 1, of.1 + did.accuracy.value);
        }
    }
    let best = often.into_iter().max_by(|a, b| a.1.0.cmp(&b.1.0).then(a.1.1.total_cmp(&b.1.1)));
    let Some((way, (n, _))) = best else { return Words("Nothing was compared.".into()) };
    let elsewhere: BTreeSet<String> = choices
        .iter()
        .filter(|choice| !choice.undecided().any(|did| did.way == *way))
        .map(|choice| {
            let test = format!("{}, {}", choice.dataset, part_words(&choice.split));
            let (winner, labels) = (way_name(project, &choice.ways[0].way), labels_words(choice.labels));
            format!("on {test}, with {labels} labels per class it is {winner}")
        })
        .collect();
    let elsewhere = match elsewhere.len() {
        0 => String::new(),
        _ => format!(" Elsewhere another wins: {}.", elsewhere.into_iter().collect::<Vec<_>>().join("; ")),
    };
    Words(format!(
        "Take {}: it is first, or cannot be told apart from the first, in {n} of {} tests.{elsewhere}",
        way_name(project, way),
        choices.len()
    ))
}
