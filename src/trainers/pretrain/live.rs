//! A run as it goes on: one page in its folder, written anew at every checkpoint, that a browser reloads by itself.

use super::curve::Curve;
use super::recipe::Recipe;
use crate::error::Result;
use crate::progress::thousands;
use crate::storage;
use std::fmt::Write;
use std::path::Path;

/// Width and height of a panel's plot, in units of the picture, and its margins: left and below.
const PLOT: (f64, f64) = (420.0, 220.0);
const MARGIN: (f64, f64) = (60.0, 44.0);

/// Writes the page: the loss and the nearest-neighbour accuracy over images drawn, of `total`.
pub(super) fn write(path: &Path, recipe: &Recipe, curve: &Curve, total: u64) -> Result<()> {
    let drawn = curve.rows().last().map_or(0, |row| row.images);
    let over = drawn >= total;
    let reload = if over { "" } else { "<meta http-equiv=\"refresh\" content=\"10\">" };
    let state = format!("{} of {} images", thousands(drawn as usize), thousands(total as usize));
    let panels = [("loss", "loss", 1.0, ""), ("knn_accuracy", "held-out kNN accuracy (k = 20)", 100.0, "%")]
        .map(|(metric, title, factor, unit)| panel(title, &curve.line(metric), total, factor, unit));
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">{reload}<title>{id}: {state}</title>\
         <style>body{{font:15px sans-serif;margin:24px;color:#222}}svg{{max-width:100%}}</style></head><body>\
         <h1>Pretraining {id}</h1><p>{state}{note}</p>{}</body></html>\n",
        panels.concat(),
        id = recipe.id,
        note = if over { ", done" } else { "; this page reloads every ten seconds" },
    );
    storage::write_atomic(path, page.as_bytes())
}

/// One chart as SVG; nothing where there are no points yet.
fn panel(title: &str, points: &[(u64, f64)], total: u64, factor: f64, unit: &str) -> String {
    let values = points.iter().map(|(_, value)| value * factor);
    let (low, high) = values.clone().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
    if points.is_empty() {
        return String::new();
    }
    let spread = if high > low { high - low } else { high.abs().max(1.0) };
    let x = |images: u64| MARGIN.0 + PLOT.0 * images as f64 / total.max(1) as f64;
    let y = |value: f64| 10.0 + PLOT.1 * (1.0 - (value - low) / spread);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" width=\"500\" role=\"img\" aria-label=\"{title}\" font-size=\"12\">",
        MARGIN.0 + PLOT.0 + 20.0,
        PLOT.1 + MARGIN.1 + 20.0
    );
    for tick in 0..=4 {
        let part = f64::from(tick) / 4.0;
        let (value, images) = (low + spread * part, total as f64 * part);
        let (across, up) = (MARGIN.0 + PLOT.0 * part, y(value));
        let bottom = 10.0 + PLOT.1;
        let _ = write!(
            svg,
            "<path d=\"M{} {up:.1}H{}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}{unit}</text>\
             <text x=\"{across:.1}\" y=\"{}\" text-anchor=\"middle\">{}k</text>",
            MARGIN.0,
            MARGIN.0 + PLOT.0,
            MARGIN.0 - 6.0,
            up + 4.0,
            short(value),
            bottom + 16.0,
            (images / 1000.0).round()
        );
    }
    let line: Vec<String> =
        points.iter().map(|(images, value)| format!("{:.1},{:.1}", x(*images), y(value * factor))).collect();
    let _ = write!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#0072b2\" stroke-width=\"2\"/>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">images drawn; {title}</text></svg>",
        line.join(" "),
        MARGIN.0 + PLOT.0 / 2.0,
        10.0 + PLOT.1 + 36.0
    );
    svg
}

/// Three digits, about.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
