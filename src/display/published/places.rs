//! Places over data sets.

use super::{method, study_look};
use crate::display::Chart;
use crate::display::chart::symbol;
use crate::display::dots::{Dot, Dots};
use crate::display::text::{hover, label, plain, title};
use crate::error::Result;
use crate::metrics::Standing;
use crate::project::Project;
use crate::published::audit::over_sets::{AtBudget, Places, clustering_places, places};
use crate::published::audit::{Audit, NINE};
use plotly::common::{HoverInfo, Line, Marker, Mode, Position, Title};
use plotly::layout::{Axis, Margin};
use plotly::{Layout, Plot, Scatter};
use std::fmt::Write;

/// Where the names of the critical-difference diagram stand.
const LEFT: f64 = 0.2;
const RIGHT: f64 = 9.8;

/// What is ranked: a method at a budget (none for the largest of each data set), or clusters.
fn of(project: &Project, what: &str, budget: Option<usize>) -> Result<(Places, String)> {
    let audit = Audit::read(project.root())?;
    if what == "clusters" {
        return Ok((clustering_places(&audit.results)?, "clusters (adjusted Rand index)".into()));
    }
    let (at, words) = match budget {
        Some(budget) => (AtBudget::Of(budget), format!("budget {budget}")),
        None => (AtBudget::Largest, "largest budget".into()),
    };
    Ok((places(&audit.columns, what, at)?, format!("{}, {words}", method(what))))
}

fn ordered(places: &Places) -> Vec<(&'static str, Standing)> {
    let mut order: Vec<(&str, Standing)> = NINE.into_iter().zip(places.standings.of.iter().copied()).collect();
    order.sort_by(|a, b| a.1.mean_rank.total_cmp(&b.1.mean_rank));
    order
}

/// Mean ranks over the study's data sets, with the places that 95% of all resamples of the data sets give each model; filled are
/// those that the resamples leave undecided against the best. `what` is `knn`, `lr`, `finetune` or `clusters`; without a budget
/// the largest of each data set counts.
///
/// # Errors
/// A published table that cannot be read, or has no such columns.
pub fn places_chart(project: &Project, what: &str, budget: Option<usize>) -> Result<Chart> {
    let (places, name) = of(project, what, budget)?;
    let row = |(model, standing): (&'static str, Standing)| {
        let (low, high) = standing.places;
        let dot = Dot {
            series: String::new(),
            at: standing.mean_rank,
            interval: Some((low.min(standing.mean_rank), high.max(standing.mean_rank))),
            look: study_look(project, model),
            open: !standing.undecided,
            words: format!(
                "mean rank {:.1}, place {low:.0} to {high:.0}, first in {:.0}% of the resamples",
                standing.mean_rank,
                100.0 * standing.first
            ),
        };
        (model.to_string(), vec![dot])
    };
    Ok(Dots {
        title: format!("{name}: places over {} data sets, W = {:.2}", places.sets.len(), places.standings.agreement),
        x: "mean rank, and places in 95% of resamples of the sets; open: behind the best".into(),
        range: Some((0.5, 9.5)),
        rows: ordered(&places).into_iter().map(row).collect(),
        ..Dots::default()
    }
    .chart())
}

/// The critical-difference diagram: models by their mean rank, the best on the left; under the axis a bar spans what Nemenyi's test
/// cannot tell apart at 95%.
///
/// # Errors
/// As for [`places_chart`].
pub fn difference_chart(project: &Project, what: &str, budget: Option<usize>) -> Result<Chart> {
    let (places, name) = of(project, what, budget)?;
    let order = ordered(&places);
    let difference = places.standings.critical_difference;
    let mut text =
        format!("{}: critical difference {difference:.1} ranks over {} data sets", plain(&name), places.sets.len());
    let mut plot = Plot::new();
    // The better half is named on the left, the other on the right, each on a line of its own that crosses no other.
    for (i, (model, standing)) in order.iter().enumerate() {
        let left = i < order.len().div_ceil(2);
        let step = if left { i } else { order.len() - 1 - i };
        let (height, margin) = (0.5 + 0.5 * step as f64, if left { LEFT } else { RIGHT });
        let look = study_look(project, model);
        let _ = write!(text, "\n{}: mean rank {:.2}", plain(model), standing.mean_rank);
        plot.add_trace(
            Scatter::new(vec![standing.mean_rank, standing.mean_rank, margin], vec![0.0, height, height])
                .mode(Mode::Lines)
                .line(Line::new().color("#9a9a9a").width(1.0))
                .hover_info(HoverInfo::Skip)
                .show_legend(false),
        );
        plot.add_trace(
            Scatter::new(vec![standing.mean_rank], vec![0.0])
                .mode(Mode::Markers)
                .marker(Marker::new().color(look.colour.clone()).symbol(symbol(&look, false)).size(9))
                .hover_text_array(vec![hover(&format!("{model}: mean rank {:.2}", standing.mean_rank))])
                .hover_info(HoverInfo::Text)
                .show_legend(false),
        );
        plot.add_trace(
            Scatter::new(vec![margin], vec![height])
                .mode(Mode::Text)
                .text(format!("{} {:.1}", label(model), standing.mean_rank))
                .text_position(if left { Position::TopRight } else { Position::TopLeft })
                .hover_info(HoverInfo::Skip)
                .show_legend(false),
        );
    }
    // Groups that lie within one critical difference, the largest ones only.
    let mut groups: Vec<(usize, usize)> = Vec::new();
    for from in 0..order.len() {
        let within = |to: &usize| order[*to].1.mean_rank - order[from].1.mean_rank < difference;
        let to = (from..order.len()).take_while(within).last().unwrap_or(from);
        if to > from && groups.last().is_none_or(|(_, last)| to > *last) {
            groups.push((from, to));
        }
    }
    for (i, (from, to)) in groups.iter().enumerate() {
        let at = -0.25 - 0.25 * i as f64;
        let (low, high) = (order[*from].1.mean_rank, order[*to].1.mean_rank);
        let names: Vec<&str> = order[*from..=*to].iter().map(|(model, _)| *model).collect();
        let words = format!("not told apart: {}", names.join(", "));
        let _ = write!(text, "\n{}", plain(&words));
        plot.add_trace(
            Scatter::new(vec![low - 0.05, high + 0.05], vec![at; 2])
                .mode(Mode::Lines)
                .line(Line::new().color("#222222").width(5.0))
                .hover_text_array(vec![hover(&words); 2])
                .hover_info(HoverInfo::Text)
                .show_legend(false),
        );
    }
    let heading = format!("{name}: bars join what Nemenyi cannot tell apart (difference {difference:.1})");
    plot.set_layout(
        Layout::new()
            .title(Title::with_text(title(&heading)))
            .x_axis(
                Axis::new()
                    .title(Title::with_text(format!("mean rank over {} data sets (1 is best)", places.sets.len())))
                    .range(vec![LEFT - 0.1, RIGHT + 0.1])
                    .zero_line(false)
                    .grid_color("#e3e3e3"),
            )
            .y_axis(Axis::new().visible(false).range(vec![-1.4, 3.2]).zero_line(true))
            .plot_background_color("#ffffff")
            .margin(Margin::new().left(20).right(20).top(60).bottom(60))
            .height(420),
    );
    Ok(Chart::new(plot, text))
}
