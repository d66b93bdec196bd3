//! Charts: plotly's JSON for pages that have plotly.js, and text.
//!
//! plotly's own `evcxr_display` gives JSON alone, which a converter to HTML drops; an inherent method wins over a
//! trait, so the plot is wrapped in a type of ours.

use super::Look;
use super::text::{emit, json_for_pages, label, plain, title};
use plotly::common::{DashType, ErrorData, ErrorType, Label, Line, Marker, MarkerSymbol, Mode, Title};
use plotly::layout::{Axis, AxisType, Legend, Margin};
use plotly::{Layout, Plot, Scatter};
use std::fmt::Write;

/// A plot with the text that says the same.
#[derive(Clone)]
pub struct Chart {
    plot: Plot,
    text: String,
    sprites: Option<String>,
}

/// A named line: points, and where known the interval of each.
#[derive(Debug, Clone)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// How it is drawn.
    pub look: Look,
    /// Places on the x axis.
    pub x: Vec<f64>,
    /// Values.
    pub y: Vec<f64>,
    /// Lower and upper end of each value's interval, one per point, `None` for a point without; empty where no point has one.
    pub interval: Vec<Option<(f64, f64)>>,
}

/// Titles and scales of a chart.
#[derive(Debug, Clone, Default)]
pub struct Style {
    /// What the chart shows.
    pub title: String,
    /// Name and unit of the x axis.
    pub x: String,
    /// Name and unit of the y axis.
    pub y: String,
    /// Logarithmic x axis.
    pub log_x: bool,
    /// The x axis carries these ticks and no others; empty leaves it to plotly.
    pub x_ticks: Vec<f64>,
    /// What the ticks are called, where a number says little.
    pub x_names: Vec<String>,
}

impl Chart {
    /// A chart of any kind, with the text that a reader without a browser gets. Names in `plot` are plotly's: what they hold
    /// of its HTML is obeyed. [`Chart::lines`] and all other charts of this crate show names as they are.
    pub fn new(plot: Plot, text: impl Into<String>) -> Chart {
        Chart { plot, text: text.into(), sprites: None }
    }

    /// The chart linked to the sprite sheet `id`: `layout.meta.sprites` names it, and each point's `customdata` is the
    /// number of its picture there.
    pub(super) fn with_sprites(self, id: &str) -> Chart {
        Chart { sprites: Some(id.into()), ..self }
    }

    /// Lines with markers and error bars.
    pub fn lines(style: &Style, series: &[Series]) -> Chart {
        let mut plot = Plot::new();
        for line in series {
            plot.add_trace(trace(line));
        }
        let mut x_axis = Axis::new().title(Title::with_text(title(&style.x))).grid_color("#e3e3e3").zero_line(false);
        if style.log_x {
            x_axis = x_axis.type_(AxisType::Log);
        }
        if !style.x_ticks.is_empty() {
            let names = style.x_names.iter().map(|name| label(name));
            let numbers = style.x_ticks.iter().skip(style.x_names.len()).map(|tick| tick.to_string());
            let labels = names.chain(numbers).collect();
            x_axis = x_axis.tick_values(style.x_ticks.clone()).tick_text(labels);
        }
        if !style.x_names.is_empty() {
            // Names that do not fit beside each other stand slanted: the axis' own name needs room below them.
            x_axis = x_axis.auto_margin(true);
        }
        let y_axis = Axis::new().title(Title::with_text(title(&style.y))).grid_color("#e3e3e3").zero_line(false);
        plot.set_layout(
            Layout::new()
                .title(Title::with_text(title(&style.title)))
                .x_axis(x_axis)
                .y_axis(y_axis)
                .legend(Legend::new())
                // plotly would cut a name within an escape.
                .hover_label(Label::new().name_length(-1))
                .plot_background_color("#ffffff")
                .margin(Margin::new().left(70).right(20).top(60).bottom(60))
                .height(440),
        );
        Chart::new(plot, lines_text(style, series))
    }

    /// The plot as plotly's JSON: `data`, `layout`, `config`. It is one line that may stand in a script element.
    pub fn to_json(&self) -> String {
        let json = self.plot.to_json();
        let Some(sprites) = &self.sprites else { return json_for_pages(&json) };
        // The crate's layout has no `meta`.
        match serde_json::from_str::<serde_json::Value>(&json) {
            Ok(mut value) => {
                value["layout"]["meta"] = serde_json::json!({ "sprites": sprites });
                json_for_pages(&value.to_string())
            }
            Err(_) => json_for_pages(&json),
        }
    }

    /// The chart in words and numbers.
    pub fn to_text(&self) -> &str {
        &self.text
    }

    /// Called by the notebook kernel.
    pub fn evcxr_display(&self) {
        emit("application/vnd.plotly.v1+json", &self.to_json());
        emit("text/plain", &self.text);
    }
}

fn trace(line: &Series) -> Box<Scatter<f64, f64>> {
    let dash = match line.look.dash.as_str() {
        "dash" => DashType::Dash,
        "dot" => DashType::Dot,
        _ => DashType::Solid,
    };
    let trace = Scatter::new(line.x.clone(), line.y.clone())
        .name(label(&line.name))
        .mode(Mode::LinesMarkers)
        .line(Line::new().color(line.look.colour.clone()).dash(dash).width(2.0))
        .marker(Marker::new().color(line.look.colour.clone()).symbol(symbol(&line.look, false)).size(9));
    match line.interval.iter().any(Option::is_some) {
        true => trace.error_y(error_bars(&line.y, &line.interval)),
        false => trace,
    }
}

/// The marker of a look, filled or open.
pub(super) fn symbol(look: &Look, open: bool) -> MarkerSymbol {
    match (look.marker.as_str(), open) {
        ("square", false) => MarkerSymbol::Square,
        ("square", true) => MarkerSymbol::SquareOpen,
        ("diamond", false) => MarkerSymbol::Diamond,
        ("diamond", true) => MarkerSymbol::DiamondOpen,
        ("triangle-up", false) => MarkerSymbol::TriangleUp,
        ("triangle-up", true) => MarkerSymbol::TriangleUpOpen,
        ("cross", false) => MarkerSymbol::Cross,
        ("cross", true) => MarkerSymbol::CrossOpen,
        ("triangle-down", false) => MarkerSymbol::TriangleDown,
        ("triangle-down", true) => MarkerSymbol::TriangleDownOpen,
        ("x", false) => MarkerSymbol::X,
        ("x", true) => MarkerSymbol::XOpen,
        ("pentagon", false) => MarkerSymbol::Pentagon,
        ("pentagon", true) => MarkerSymbol::PentagonOpen,
        ("hexagon", false) => MarkerSymbol::Hexagon,
        ("hexagon", true) => MarkerSymbol::HexagonOpen,
        ("star", false) => MarkerSymbol::Star,
        ("star", true) => MarkerSymbol::StarOpen,
        (_, false) => MarkerSymbol::Circle,
        (_, true) => MarkerSymbol::CircleOpen,
    }
}

/// Bars from the lower to the upper end of each value's interval; of no length where a value has none.
pub(super) fn error_bars(y: &[f64], interval: &[Option<(f64, f64)>]) -> ErrorData {
    let ends = |i: usize| interval.get(i).copied().flatten().unwrap_or((y[i], y[i]));
    let above = (0..y.len()).map(|i| ends(i).1 - y[i]).collect();
    let below = (0..y.len()).map(|i| y[i] - ends(i).0).collect();
    ErrorData::new(ErrorType::Data).array(above).array_minus(below).symmetric(false).thickness(1.2).width(4)
}

fn lines_text(style: &Style, series: &[Series]) -> String {
    let mut text = format!("{}\n{} against {}", plain(&style.title), plain(&style.y), plain(&style.x));
    for line in series {
        let _ = write!(text, "\n{}:", plain(&line.name));
        for (i, (x, y)) in line.x.iter().zip(&line.y).enumerate() {
            let place = style.x_ticks.iter().position(|tick| tick == x);
            match place.and_then(|place| style.x_names.get(place)) {
                Some(name) => write!(text, " {} -> {y:.1}", plain(name)),
                None => write!(text, " {x} -> {y:.1}"),
            }
            .unwrap_or_default();
            if let Some(Some((low, high))) = line.interval.get(i) {
                let _ = write!(text, " [{low:.1}, {high:.1}]");
            }
            text.push(';');
        }
    }
    text
}
