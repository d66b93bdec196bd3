//! Which model and method.

use crate::display::selection::model_name;
use crate::display::text::{label, title};
use crate::display::{Cell, Chart, Table, Words};
use crate::manifest::Method;
use crate::metrics::Estimate;
use crate::own::{Arm, Chosen, Compared, Own};
use crate::progress::thousands;
use plotly::common::{ErrorData, ErrorType, HoverInfo, Marker, MarkerSymbol, Mode, Title};
use plotly::layout::{Axis, Margin};
use plotly::{Layout, Plot, Scatter};
use std::collections::BTreeSet;

/// Arms that a chart shows.
const SHOWN: usize = 16;

/// A method in a few words.
fn method(method: Method) -> &'static str {
    match method {
        Method::Lr => "LR",
        Method::LrStandardised => "LR, standardised",
        Method::Knn => "kNN",
        other => other.as_str(),
    }
}

fn name(own: &Own, arm: &Arm) -> String {
    format!("{} on {}", method(arm.method), model_name(own.project(), &arm.model))
}

fn percent(estimate: &Estimate) -> String {
    match estimate.interval {
        Some((low, high)) => format!("{:.1} [{:.1}, {:.1}]", 100.0 * estimate.value, 100.0 * low, 100.0 * high),
        None => format!("{:.1}", 100.0 * estimate.value),
    }
}

/// Groups of which an image is measured: what the intervals are drawn over.
fn measured_groups(compared: &Compared) -> usize {
    let units = compared.units.iter().zip(&compared.measured);
    units.filter(|(_, measured)| **measured).map(|(unit, _)| unit).collect::<BTreeSet<_>>().len()
}

/// All arms, the best first: accuracy, how far behind the best, and whether the two can be told apart.
pub fn arms_table(own: &Own, compared: &Compared) -> Table {
    let row = |(place, arm): (usize, &Arm)| {
        let behind = if place == 0 { "–".into() } else { percent(&arm.behind) };
        let pace = 1000.0 * compared.paces.get(&arm.model).copied().unwrap_or(f64::NAN);
        let cells = [
            model_name(own.project(), &arm.model),
            method(arm.method).into(),
            percent(&arm.accuracy),
            behind,
            format!("{:.0}%", 100.0 * arm.best_in),
            format!("{pace:.1}"),
        ];
        let mut cells = cells.map(Cell::from).to_vec();
        cells[2].best = arm.undecided;
        cells
    };
    let header = ["model", "method", "accuracy", "points behind", "best in", "ms per image"].map(String::from);
    Table {
        caption: format!(
            "{}: accuracy in percent on images that the classifier did not see, {} images in {} folds under {} seed(s) [95% \
             interval over {} groups of images]; bold cannot be told apart from the best; in how many resamples each is the best",
            own.set.id,
            thousands(compared.n_measured()),
            compared.folds[0].iter().max().map_or(0, |last| last + 1),
            compared.folds.len(),
            thousands(measured_groups(compared)),
        ),
        header: header.to_vec(),
        rows: compared.arms.iter().enumerate().map(row).collect(),
    }
}

/// The best arms with their intervals; filled are those that cannot be told apart from the best.
pub fn arms_chart(own: &Own, compared: &Compared) -> Chart {
    let shown: Vec<&Arm> = compared.arms.iter().take(SHOWN).collect();
    let mut plot = Plot::new();
    let mut text = format!("{}: accuracy in percent [95%]", own.set.id);
    for (undecided, about) in [(true, "cannot be told apart from the best"), (false, "behind the best")] {
        let of: Vec<(usize, &&Arm)> = shown.iter().enumerate().filter(|(_, arm)| arm.undecided == undecided).collect();
        if of.is_empty() {
            continue;
        }
        let x: Vec<f64> = of.iter().map(|(_, arm)| 100.0 * arm.accuracy.value).collect();
        let ends = |arm: &Arm| arm.accuracy.interval.unwrap_or((arm.accuracy.value, arm.accuracy.value));
        let above = of.iter().map(|(_, arm)| 100.0 * (ends(arm).1 - arm.accuracy.value)).collect();
        let below = of.iter().map(|(_, arm)| 100.0 * (arm.accuracy.value - ends(arm).0)).collect();
        let error =
            ErrorData::new(ErrorType::Data).array(above).array_minus(below).symmetric(false).thickness(1.2).width(4);
        // The name is cut, never the numbers behind it.
        let words = |arm: &Arm| format!("{}: {}", label(&name(own, arm)), percent(&arm.accuracy));
        let hover = of.iter().map(|(_, arm)| words(arm)).collect();
        let symbol = if undecided { MarkerSymbol::Circle } else { MarkerSymbol::CircleOpen };
        let trace = Scatter::new(x, of.iter().map(|(place, _)| *place as f64).collect())
            .name(about)
            .mode(Mode::Markers)
            .marker(Marker::new().color("#1f5f9e").symbol(symbol).size(10))
            .error_x(error)
            .hover_text_array(hover)
            .hover_info(HoverInfo::Text);
        plot.add_trace(trace);
        of.iter()
            .for_each(|(_, arm)| text.push_str(&format!("\n{}: {} ({about})", name(own, arm), percent(&arm.accuracy))));
    }
    let names: Vec<String> = shown.iter().map(|arm| label(&name(own, arm))).collect();
    let bottom = shown.len() as f64 - 0.5;
    plot.set_layout(
        Layout::new()
            .title(Title::with_text(title(&format!("{}: which model and method?", own.set.id))))
            .x_axis(Axis::new().title(Title::with_text("accuracy in %")).grid_color("#e3e3e3").zero_line(false))
            .y_axis(
                Axis::new()
                    .tick_values((0..shown.len()).map(|place| place as f64).collect())
                    .tick_text(names)
                    .range(vec![bottom, -0.5])
                    .show_grid(false)
                    .zero_line(false)
                    .auto_margin(true),
            )
            .legend(plotly::layout::Legend::new().orientation(plotly::common::Orientation::Horizontal).y(-0.2))
            .plot_background_color("#ffffff")
            .margin(Margin::new().left(220).right(20).top(60).bottom(60))
            .height(180 + 24 * shown.len().max(3)),
    );
    Chart::new(plot, text)
}

/// The answer in a sentence: the best arm, those that it cannot be told apart from, and the quickest of them.
pub fn verdict(own: &Own, compared: &Compared) -> Words {
    Words(sentence(own, compared))
}

fn sentence(own: &Own, compared: &Compared) -> String {
    let Some(best) = compared.arms.first() else { return "no model could be used".into() };
    let n = thousands(compared.n_measured());
    let others: Vec<&Arm> = compared.undecided().skip(1).collect();
    let accuracy = percent(&best.accuracy);
    if others.is_empty() {
        return format!("{}: {accuracy}% right. No other is as good on your {n} images.", name(own, best));
    }
    const NAMED: usize = 4;
    let mut named: Vec<String> = others.iter().take(NAMED).map(|arm| name(own, arm)).collect();
    if others.len() > NAMED {
        named.push(format!("{} more", others.len() - NAMED));
    }
    let pace = |arm: &&Arm| compared.paces.get(&arm.model).copied().unwrap_or(f64::INFINITY);
    let quickest = compared.undecided().min_by(|a, b| pace(a).total_cmp(&pace(b)));
    let quick = quickest.map_or_else(String::new, |arm| {
        format!(" The quickest of them is {}, {:.1} ms per image.", name(own, arm), 1000.0 * pace(&arm))
    });
    format!(
        "{} is ahead ({accuracy}% right), but with your {n} images it cannot be told apart from {}.{quick}",
        name(own, best),
        named.join(", or ")
    )
}

/// The models that were asked, in seconds, and those that were not.
pub fn paces_table(own: &Own, chosen: &Chosen, compared: &Compared) -> Table {
    let taken = chosen.models.iter().map(|(model, pace)| {
        let broken =
            compared.broken.iter().find(|(id, _)| id == model).map(|(_, why)| format!("could not be used: {why}"));
        let whole = pace * own.set.len() as f64;
        let said = broken.unwrap_or_else(|| "used".into());
        [model_name(own.project(), model), format!("{:.1}", 1000.0 * pace), format!("{whole:.0}"), said]
    });
    let left_out = chosen.left_out.iter().map(|(model, minutes)| {
        let said = format!("left out: {minutes:.1} minutes do not fit; a larger --budget, or --models {model}");
        [model_name(own.project(), model), "–".into(), format!("{:.0}", 60.0 * minutes), said]
    });
    let elsewhere = chosen.elsewhere.iter().map(|(model, millions)| {
        let size =
            millions.map_or_else(|| "size not known".into(), |millions| format!("about {:.0} MB", 4.0 * millions));
        let said = format!("not on this machine: --download fetches it, {size}");
        [model_name(own.project(), model), "–".into(), "–".into(), said]
    });
    let broken = chosen.broken.iter().map(|(model, why)| {
        [model_name(own.project(), model), "–".into(), "–".into(), format!("could not be used: {why}")]
    });
    let rows = taken.chain(broken).chain(left_out).chain(elsewhere);
    Table {
        caption: "Models: what an image takes on this machine, decoding included".into(),
        header: ["model", "ms per image", "seconds for all", ""].map(String::from).to_vec(),
        rows: rows.map(|cells| cells.map(Cell::from).to_vec()).collect(),
    }
}
