//! A run as it goes on: one page in its folder, written anew at every checkpoint, that a browser reloads by itself.
//!
//! The charts are plotly's. Its script lies beside the page as a file, as the plotly crate embeds it: nothing is asked of a
//! network.

use super::curve::Curve;
use super::job::Ended;
use crate::error::Result;
use crate::progress::thousands;
use crate::storage::write_atomic;
use plotly::common::{Anchor, Line, Mode, Orientation, Title};
use plotly::layout::{Axis, Legend, Margin};
use plotly::{Layout, Plot, Scatter};
use std::path::Path;

/// The page's file in the run's folder, and that of the script beside it.
pub const PAGE: &str = "live.html";
const SCRIPT: &str = "plotly.min.js";
/// Seconds between reloads.
const RELOAD: u32 = 10;
/// Colours of lines, told apart by all eyes (Okabe and Ito 2008).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// A chart of some of the curve's metrics over the images drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// What it shows.
    pub title: &'static str,
    /// What its y axis measures, with the unit.
    pub axis: &'static str,
    /// Metrics with their names in the legend; one without rows is left out.
    pub lines: Vec<(&'static str, &'static str)>,
    /// What values are multiplied by: 100 for percent.
    pub factor: f64,
}

/// What the page tells.
pub(super) struct Page<'a> {
    pub(super) verb: &'a str,
    pub(super) name: &'a str,
    pub(super) panels: Vec<Panel>,
    pub(super) curve: &'a Curve,
    /// Images drawn, and those of the whole run.
    pub(super) images: (u64, u64),
    pub(super) ended: &'a Ended,
}

/// Writes the page, and the script where it is not there yet.
pub(super) fn write(folder: &Path, page: &Page) -> Result<()> {
    let script = folder.join(SCRIPT);
    if !script.exists() {
        write_atomic(&script, plotly_script().as_bytes())?;
    }
    write_atomic(&folder.join(PAGE), html(page).as_bytes())
}

/// The script of plotly.js: the first of the two that the crate gives, without its tags.
fn plotly_script() -> String {
    const OPENING: &str = "<script type=\"text/javascript\">";
    let both = plotly::Plot::offline_js_sources();
    let first = both.rsplit_once(OPENING).map_or(both.as_str(), |(first, _)| first).trim();
    let first = first.strip_prefix(OPENING).unwrap_or(first);
    first.strip_suffix("</script>").unwrap_or(first).to_owned()
}

fn html(page: &Page) -> String {
    let Page { verb, name, panels, curve, images: (drawn, total), ended } = page;
    let goes_on = **ended == Ended::Interrupted;
    let reload = if goes_on { format!("<meta http-equiv=\"refresh\" content=\"{RELOAD}\">") } else { String::new() };
    let state = format!("{} of {} images", thousands(*drawn as usize), thousands(*total as usize));
    let note = match goes_on {
        true => format!("this page reloads every {RELOAD} seconds"),
        false => escaped(&ended.to_string()),
    };
    // A run that ended early has no more to come.
    let width = if goes_on { *total } else { *drawn };
    let charts: String = panels.iter().filter_map(|panel| figure(panel, curve, width)).collect();
    let (verb, name) = (escaped(verb), escaped(name));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">{reload}\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name}: {state}</title>\n\
         <style>body{{font:15px sans-serif;margin:16px auto;padding:0 8px;max-width:760px;color:#222}}\
         figure{{margin:16px 0}}.plot{{height:320px}}</style>\n\
         <script src=\"{SCRIPT}\"></script></head>\n\
         <body><h1>{verb} {name}</h1><p>{state}; {note}</p>\n{charts}<script>{DRAW}</script></body></html>\n"
    )
}

/// Draws every chart from the JSON beside it.
const DRAW: &str = "for (const figure of document.querySelectorAll(\"figure.chart\")) {\
    const chart = JSON.parse(figure.querySelector(\"script\").textContent);\
    Plotly.newPlot(figure.querySelector(\".plot\"), chart.data, chart.layout, \
    { responsive: true, displaylogo: false, displayModeBar: false, plotlyServerURL: \"\" });}";

/// A chart whose x axis goes to `width` images; nothing where there are no points yet.
fn figure(panel: &Panel, curve: &Curve, width: u64) -> Option<String> {
    let mut plot = Plot::new();
    for ((metric, name), colour) in panel.lines.iter().zip(COLOURS.iter().cycle()) {
        let points = curve.line(metric);
        if points.is_empty() {
            continue;
        }
        let (x, y): (Vec<u64>, Vec<f64>) =
            points.into_iter().map(|(images, value)| (images, value * panel.factor)).unzip();
        let mode = if x.len() > 40 { Mode::Lines } else { Mode::LinesMarkers };
        plot.add_trace(Scatter::new(x, y).name(name).mode(mode).line(Line::new().color(*colour).width(2.0)));
    }
    if plot.data().is_empty() {
        return None;
    }
    let axis = |title: &str| Axis::new().title(Title::with_text(title)).grid_color("#e3e3e3").zero_line(false);
    let layout = Layout::new()
        .title(Title::with_text(panel.title))
        .x_axis(axis("images drawn").range(vec![0.0, width as f64]))
        .y_axis(axis(panel.axis))
        .show_legend(panel.lines.len() > 1)
        // Above the lines, where it hides none of them.
        .legend(Legend::new().orientation(Orientation::Horizontal).x(1.0).x_anchor(Anchor::Right).y(1.15))
        .margin(Margin::new().left(64).right(16).top(40).bottom(48))
        .auto_size(true);
    plot.set_layout(layout);
    // No text of a chart may end its script or begin a comment there.
    let json = plot.to_json().replace('<', "\\u003c");
    Some(format!(
        "<figure class=\"chart\"><div class=\"plot\" role=\"img\" aria-label=\"{}\"></div>\
         <script type=\"application/json\">{json}</script></figure>\n",
        escaped(panel.title)
    ))
}

/// Text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
