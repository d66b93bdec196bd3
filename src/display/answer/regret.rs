//! What it costs to always take the same model and method.

use super::{percent, way_name};
use crate::display::dots::{Dot, Dots};
use crate::display::text::MOST_OF_NAME;
use crate::display::{Chart, Look, Words, look, shorten};
use crate::experiments::choices::{Choice, Cost, Way, costs};
use crate::project::Project;
use std::collections::BTreeSet;

/// Ways that the chart shows: the least costly of each budget.
const SHOWN: usize = 10;

fn budgets(choices: &[Choice]) -> Vec<u32> {
    let all: BTreeSet<u32> = choices.iter().flat_map(|choice| choice.budgets.iter().copied()).collect();
    all.into_iter().collect()
}

/// How far a way is behind the winner of each test, mean over the tests that all ways have, by label budget: filled for the smallest,
/// open for the largest. Ways are those that cost least at either.
pub fn regret_chart(project: &Project, choices: &[Choice]) -> Chart {
    let budgets = budgets(choices);
    let ends: Vec<u32> = match (budgets.first(), budgets.last()) {
        (Some(first), Some(last)) if first != last => vec![*first, *last],
        (Some(first), _) => vec![*first],
        _ => Vec::new(),
    };
    let of_budget: Vec<(u32, Vec<Cost>)> = ends.iter().map(|&budget| (budget, costs(choices, budget))).collect();
    let mut ways = Vec::new();
    for rank in 0..SHOWN {
        for (_, costs) in &of_budget {
            if let Some(cost) = costs.get(rank).filter(|cost| ways.len() < SHOWN && !ways.contains(&cost.way)) {
                ways.push(cost.way.clone());
            }
        }
    }
    let total = |way: &Way| {
        of_budget
            .iter()
            .flat_map(|(_, costs)| costs.iter().find(|cost| cost.way == *way))
            .map(|cost| cost.mean.value)
            .sum::<f64>()
    };
    ways.sort_by(|a, b| total(a).total_cmp(&total(b)));
    let tests = choices.iter().map(|choice| (&choice.dataset, &choice.split)).collect::<BTreeSet<_>>().len();
    let row = |way: &Way| {
        let dots = of_budget.iter().enumerate().filter_map(|(i, (budget, costs))| {
            let cost = costs.iter().find(|cost| cost.way == *way)?;
            let Look { colour, marker, dash } = look(project, &way.model);
            Some(Dot {
                series: format!("budget {budget}"),
                at: 100.0 * cost.mean.value,
                interval: cost.mean.interval.map(|(low, high)| (100.0 * low, 100.0 * high)),
                look: Look { colour, marker, dash },
                open: i > 0,
                words: format!(
                    "budget {budget}: {} points behind, most on {} ({:.1})",
                    percent(&cost.mean),
                    shorten(&cost.worst.1, MOST_OF_NAME),
                    100.0 * cost.worst.0
                ),
            })
        });
        (way_name(project, way), dots.collect())
    };
    Dots {
        title: format!("What always taking one costs, mean over {tests} tests"),
        x: match ends[..] {
            [few, many] => {
                format!("points of accuracy behind the winner; filled: budget {few}, open: budget {many} [95%]")
            }
            _ => "points of accuracy behind the winner [95%]".into(),
        },
        rows: ways.iter().map(row).collect(),
        ..Dots::default()
    }
    .chart()
}

/// The chart in a sentence.
pub fn regret_words(project: &Project, choices: &[Choice]) -> Words {
    let of = budgets(choices).into_iter().filter_map(|budget| {
        let costs = costs(choices, budget);
        let (first, second) = (costs.first()?, costs.get(1)?);
        Some(format!(
            "at budget {budget} always taking {} costs {} points of accuracy on average, {} {}",
            way_name(project, &first.way),
            percent(&first.mean),
            way_name(project, &second.way),
            percent(&second.mean)
        ))
    });
    let all: Vec<String> = of.collect();
    let mut words = all.join("; ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Words(format!("{words}."))
}
