//! Axes on which accuracies are stretched by the logit, with ticks in percent.

use crate::display::text::title;
use crate::metrics::Stretch;
use plotly::common::Title;
use plotly::layout::Axis;

/// Ticks in percent.
const TICKS: [f64; 19] =
    [0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 85.0, 90.0, 95.0, 98.0, 99.0, 99.5];

/// The place of an accuracy; none for 0 and 1.
pub(super) fn place(accuracy: f64) -> Option<f64> {
    Stretch::Logit.of(accuracy)
}

/// For a title: how many arms have no place on the axes, if any, by their accuracies in and out of distribution.
pub(super) fn left_out(arms: impl Iterator<Item = (f64, f64)>) -> String {
    match arms.filter(|(id, ood)| place(*id).is_none() || place(*ood).is_none()).count() {
        0 => String::new(),
        n => format!("; arms left out: {n}, for 0% and 100% have no place on a logit axis"),
    }
}

/// The places where the axis for accuracies from `range.0` to `range.1` begins and ends.
pub(super) fn axis_range(range: (f64, f64)) -> (f64, f64) {
    (place(range.0).unwrap_or(-6.0) - 0.15, place(range.1).unwrap_or(6.0) + 0.15)
}

/// An axis for accuracies from `range.0` to `range.1`, both between 0 and 1.
pub(super) fn axis(name: &str, range: (f64, f64)) -> Axis {
    let (low, high) = axis_range(range);
    let ticks: Vec<f64> =
        TICKS.into_iter().filter(|tick| place(tick / 100.0).is_some_and(|at| at >= low && at <= high)).collect();
    let places = ticks.iter().filter_map(|tick| place(tick / 100.0)).collect();
    Axis::new()
        .title(Title::with_text(title(name)))
        .range(vec![low, high])
        .tick_values(places)
        .tick_text(ticks.iter().map(f64::to_string).collect::<Vec<_>>())
        .grid_color("#e3e3e3")
        .zero_line(false)
}

/// The smallest and the largest accuracy between 0 and 1.
pub(super) fn range(accuracies: impl Iterator<Item = f64>) -> (f64, f64) {
    let inside = accuracies.filter(|accuracy| place(*accuracy).is_some());
    let (low, high) = inside.fold((1.0f64, 0.0f64), |(low, high), accuracy| (low.min(accuracy), high.max(accuracy)));
    if low <= high { (low, high) } else { (0.05, 0.95) }
}
