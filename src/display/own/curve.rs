//! How many labels.

use crate::display::{Cell, Chart, Series, Style, Table, look};
use crate::own::{Arm, Curve, Own};

/// Accuracy by number of images that were learned from, and the forecast for more.
pub fn curve_chart(own: &Own, arm: &Arm, curve: &Curve) -> Chart {
    let of_model = look(own.project(), &arm.model);
    let mean = |values: &[f64]| 100.0 * values.iter().sum::<f64>() / values.len().max(1) as f64;
    let ends = |values: &[f64]| {
        let end = |pick: fn(f64, f64) -> f64, start: f64| 100.0 * values.iter().copied().fold(start, pick);
        (end(f64::min, f64::INFINITY), end(f64::max, f64::NEG_INFINITY))
    };
    let measured = Series {
        name: "measured, mean and range of five".into(),
        look: of_model.clone(),
        x: curve.points.iter().map(|point| point.train.round()).collect(),
        y: curve.points.iter().map(|point| mean(&point.accuracy)).collect(),
        interval: curve.points.iter().map(|point| Some(ends(&point.accuracy))).collect(),
    };
    let mut series = vec![measured];
    if !curve.ahead.is_empty() {
        let mut ahead = of_model;
        (ahead.colour, ahead.dash) = ("#7a7a7a".into(), "dot".into());
        series.push(Series {
            name: "forecast, with its 95% interval".into(),
            look: ahead,
            x: curve.ahead.iter().map(|ahead| ahead.train).collect(),
            y: curve.ahead.iter().map(|ahead| 100.0 * ahead.forecast.mean).collect(),
            interval: curve.ahead.iter().map(|a| Some((100.0 * a.forecast.low, 100.0 * a.forecast.high))).collect(),
        });
    }
    // Forecasts lie close together; the farthest has a tick.
    let last = curve.ahead.iter().map(|ahead| ahead.train).next_back();
    let ticks = series[0].x.iter().copied().chain(last).collect();
    let style = Style {
        title: format!("{}: what labels are worth", own.set.id),
        x: "images learned from".into(),
        y: "accuracy in %".into(),
        log_x: true,
        x_ticks: ticks,
        x_names: Vec::new(),
    };
    Chart::lines(&style, &series)
}

/// What more labels are expected to bring, in points.
pub fn labels_table(curve: &Curve) -> Table {
    let row = |ahead: &crate::own::Ahead| {
        let of = |value: f64| format!("{:.1}", 100.0 * value);
        let forecast = &ahead.forecast;
        let gain = match ahead.train > curve.all as f64 {
            true => format!(
                "{:+.1} [{:+.1}, {:+.1}]",
                100.0 * ahead.gain.mean,
                100.0 * ahead.gain.low,
                100.0 * ahead.gain.high
            ),
            false => "–".into(),
        };
        let accuracy = format!("{} [{}, {}]", of(forecast.mean), of(forecast.low), of(forecast.high));
        [ahead.what.clone(), accuracy, gain].map(Cell::from).to_vec()
    };
    let caption = match curve.ahead.is_empty() {
        true => "Too few labels for a forecast: it takes three sizes, the largest four times the smallest",
        false => "What more labels are expected to bring: accuracy in percent and points gained [95% interval]",
    };
    let header = ["labels", "accuracy", "gain"].map(String::from).to_vec();
    Table { caption: caption.into(), header, rows: curve.ahead.iter().map(row).collect() }
}
