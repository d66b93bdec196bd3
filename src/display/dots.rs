//! Dot plots: a row per name, dots with intervals along one axis. The rows' names are the labels.

use super::chart::symbol;
use super::text::{hover, label, plain, title};
use super::{Chart, Look};
use plotly::common::{Anchor, ErrorData, ErrorType, Font, HoverInfo, Marker, Mode, Orientation, Title};
use plotly::layout::{Annotation, Axis, AxisType, Legend, Margin};
use plotly::{Layout, Plot, Scatter};
use std::fmt::Write;

/// A dot.
pub(super) struct Dot {
    /// The series that it belongs to.
    pub series: String,
    /// Where it is.
    pub at: f64,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// How it is drawn.
    pub look: Look,
    /// Open rather than filled.
    pub open: bool,
    /// What a pointer and a reader without a browser get.
    pub words: String,
}

/// A dot plot.
#[derive(Default)]
pub(super) struct Dots {
    /// What it shows.
    pub title: String,
    /// Name and unit of the axis.
    pub x: String,
    /// Logarithmic axis.
    pub log_x: bool,
    /// The axis carries these ticks and no others; empty leaves it to plotly.
    pub ticks: Vec<(f64, String)>,
    /// From where to where the axis runs, where the dots do not decide.
    pub range: Option<(f64, f64)>,
    /// Rows from the top: a name, and its dots.
    pub rows: Vec<(String, Vec<Dot>)>,
    /// Whether series are named below the chart.
    pub legend: bool,
}

impl Dots {
    /// As a chart.
    pub fn chart(&self) -> Chart {
        let mut plot = Plot::new();
        let mut series: Vec<(&Dot, Vec<(usize, &Dot)>)> = Vec::new();
        let dots = self.rows.iter().enumerate().flat_map(|(row, (_, dots))| dots.iter().map(move |dot| (row, dot)));
        for (row, dot) in dots {
            let same = |(first, _): &&mut (&Dot, Vec<_>)| {
                first.series == dot.series && first.look == dot.look && first.open == dot.open
            };
            match series.iter_mut().find(same) {
                Some((_, members)) => members.push((row, dot)),
                None => series.push((dot, vec![(row, dot)])),
            }
        }
        let mut names: Vec<&str> = Vec::new();
        series.iter().for_each(|(first, _)| {
            if !names.contains(&first.series.as_str()) {
                names.push(&first.series);
            }
        });
        let mut shown: Vec<&str> = Vec::new();
        for (first, members) in &series {
            // Series of a row stand a little below each other, so that no interval hides another.
            let place = names.iter().position(|name| *name == first.series).unwrap_or(0) as f64;
            let offset = 0.15 + 0.35 * ((place + 0.5) / names.len() as f64 - 0.5);
            let is_new = !shown.contains(&first.series.as_str());
            shown.push(&first.series);
            let marker =
                Marker::new().color(first.look.colour.clone()).symbol(symbol(&first.look, first.open)).size(10);
            let x = members.iter().map(|(_, dot)| dot.at).collect();
            let dots = Scatter::new(x, members.iter().map(|(row, _)| *row as f64 + offset).collect())
                .name(label(&first.series))
                .legend_group(label(&first.series))
                .show_legend(self.legend && is_new)
                .mode(Mode::Markers)
                .marker(marker)
                .hover_text_array(members.iter().map(|(_, dot)| hover(&dot.words)).collect())
                .hover_info(HoverInfo::Text);
            let has_bars = members.iter().any(|(_, dot)| dot.interval.is_some());
            plot.add_trace(if has_bars { dots.error_x(bars(members, &first.look.colour)) } else { dots });
        }
        // Names stand above their rows: on a phone nothing is left of a chart beside them.
        let name = |(row, (name, _)): (usize, &(String, Vec<Dot>))| {
            Annotation::new()
                .text(label(name))
                .x_ref("paper")
                .y_ref("y")
                .x(0.0)
                .y(row as f64 - 0.5)
                .x_anchor(Anchor::Left)
                .y_anchor(Anchor::Top)
                .show_arrow(false)
                .font(Font::new().size(12).color("#333333"))
        };
        plot.set_layout(
            Layout::new()
                .title(Title::with_text(title(&self.title)))
                .x_axis(self.x_axis())
                .y_axis(
                    Axis::new()
                        .tick_values((0..self.rows.len()).map(|row| row as f64 + 0.15).collect())
                        .show_tick_labels(false)
                        .range(vec![self.rows.len() as f64 - 0.4, -0.6])
                        .grid_color("#f0f0f0")
                        .zero_line(false),
                )
                .annotations(self.rows.iter().enumerate().map(name).collect())
                .legend(Legend::new().orientation(Orientation::Horizontal).y(-0.18))
                .plot_background_color("#ffffff")
                .margin(Margin::new().left(20).right(20).top(60).bottom(60))
                .height(150 + 38 * self.rows.len().max(3)),
        );
        let mut text = format!("{}\n{}", plain(&self.title), plain(&self.x));
        for (name, dots) in &self.rows {
            let words: Vec<String> = dots.iter().map(|dot| plain(&dot.words)).collect();
            let _ = write!(text, "\n{}: {}", plain(name), words.join("; "));
        }
        Chart::new(plot, text)
    }

    fn x_axis(&self) -> Axis {
        let mut axis = Axis::new().title(Title::with_text(title(&self.x))).grid_color("#e3e3e3").zero_line(false);
        if self.log_x {
            axis = axis.type_(AxisType::Log);
        }
        if let Some((from, to)) = self.range {
            let place = |value: f64| if self.log_x { value.log10() } else { value };
            axis = axis.range(vec![place(from), place(to)]);
        }
        if !self.ticks.is_empty() {
            axis = axis
                .tick_values(self.ticks.iter().map(|(at, _)| *at).collect())
                .tick_text(self.ticks.iter().map(|(_, name)| label(name)).collect());
        }
        axis
    }
}

/// Bars from the lower to the upper end of each dot's interval; none where it has no interval.
fn bars(members: &[(usize, &Dot)], colour: &str) -> ErrorData {
    let reach = |of: fn(f64, (f64, f64)) -> f64| {
        members.iter().map(|(_, dot)| dot.interval.map_or(0.0, |ends| of(dot.at, ends).max(0.0))).collect()
    };
    ErrorData::new(ErrorType::Data)
        .array(reach(|at, (_, high)| high - at))
        .array_minus(reach(|at, (low, _)| at - low))
        .symmetric(false)
        .thickness(1.2)
        .width(4)
        .color(colour.to_string())
}
