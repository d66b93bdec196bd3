//! Whether probabilities still say how often a probe is right once images drift.

use super::arm;
use crate::display::finetuning::method_label;
use crate::display::selection::{Selection, by_seed, model_name, origin};
use crate::display::text::{plain, title};
use crate::display::{Cell, Chart, Table};
use crate::error::Result;
use crate::experiments::Encoded;
use crate::experiments::drift::{self, BINS, METRICS};
use crate::manifest::Method;
use crate::metrics::{Interval, ReliabilityBin};
use crate::project::Project;
use crate::results::ResultRow;
use plotly::common::{DashType, HoverInfo, Line, Marker, Mode, Title};
use plotly::layout::{Axis, Legend, Margin};
use plotly::{Layout, Plot, Scatter};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Calibration error in points and negative log-likelihood in nats, in and out of distribution: as the probe is, and at the
/// temperature that fits the validation images best. Mean over the seeds that have one, over all where none has; models by their
/// likelihood out of distribution.
///
/// # Errors
/// A value that is not finite.
pub fn calibration_table(
    project: &Project,
    rows: &[ResultRow],
    dataset: &str,
    method: &str,
    budget: u32,
) -> Result<Table> {
    let asked = |row: &&ResultRow| row.cell.method == method && row.cell.budget == Some(budget);
    let rows: Vec<ResultRow> = rows.iter().filter(asked).cloned().collect();
    let at = |metric| Selection::new(&rows, dataset, "id", metric, false);
    let tempered = by_seed(at("temperature").rows());
    // Both sides of an arrow are of the same seeds.
    let counts = |row: &&ResultRow| {
        let key = (row.cell.model.clone(), row.cell.method.clone(), row.cell.budget);
        tempered.get(&key).is_none_or(|seeds| seeds.is_empty() || seeds.contains_key(&row.cell.seed))
    };
    let rows: Vec<ResultRow> = rows.iter().filter(counts).cloned().collect();
    let mut by_model: BTreeMap<String, BTreeMap<(&str, &str), Interval>> = BTreeMap::new();
    let mut behind: Vec<&ResultRow> = Vec::new();
    for split in ["id", "ood"] {
        for metric in METRICS {
            let selection = Selection::new(&rows, dataset, split, metric, false);
            behind.extend(selection.rows());
            for ((model, ..), interval) in selection.intervals()? {
                by_model.entry(model).or_default().insert((split, metric), interval);
            }
        }
    }
    let origin = origin(&behind);
    let mut models: Vec<_> = by_model.into_iter().collect();
    let nll = |of: &BTreeMap<(&str, &str), Interval>| of.get(&("ood", "nll")).map_or(f64::INFINITY, |nll| nll.mean);
    models.sort_by(|a, b| nll(&a.1).total_cmp(&nll(&b.1)));
    let row = |(model, of): &(String, BTreeMap<(&str, &str), Interval>)| {
        let shown = |split: &'static str, metric: &'static str, percent: bool| match of.get(&(split, metric)) {
            Some(interval) if percent => format!("{:.1}", 100.0 * interval.mean),
            Some(interval) => format!("{:.2}", interval.mean),
            None => "–".into(),
        };
        let pair = |split, plain, tempered, percent| {
            format!("{} → {}", shown(split, plain, percent), shown(split, tempered, percent))
        };
        let cells = [
            model_name(project, model),
            shown("id", "temperature", false),
            pair("id", "ece", "ece_tempered", true),
            pair("ood", "ece", "ece_tempered", true),
            pair("id", "nll", "nll_tempered", false),
            pair("ood", "nll", "nll_tempered", false),
        ];
        cells.into_iter().map(Cell::from).collect()
    };
    let header = ["model", "temperature", "ECE in (points)", "ECE out (points)", "NLL in (nats)", "NLL out (nats)"];
    Ok(Table {
        caption: format!(
            "{dataset}, {}: calibration, as the probe is → at the temperature of the validation images; mean over seeds{origin}",
            arm(method, budget)
        ),
        header: header.map(String::from).to_vec(),
        rows: models.iter().map(row).collect(),
    })
}

/// Reliability diagrams in and out of distribution of one model: mean probability of the predicted class across, the part that is
/// right up; on the diagonal probabilities are true. Solid as the probe is, dashed at the temperature of the validation images, where one is best.
///
/// # Errors
/// As for [`drift::reliability`]; a data set that holds nothing out.
pub fn reliability_chart(
    project: &Project,
    encoded: &Encoded,
    method: Method,
    (budget, seed): (usize, u64),
) -> Result<Chart> {
    let name = model_name(project, &encoded.features.model);
    let about = format!("{}, {name}: {}, budget {budget}", encoded.set.id, method_label(method.as_str()));
    let mut text = format!("{}\nmean probability -> right (%), images", plain(&about));
    let mut plot = Plot::new();
    plot.add_trace(
        Scatter::new(vec![0.0, 100.0], vec![0.0, 100.0])
            .name("true probabilities")
            .mode(Mode::Lines)
            .line(Line::new().color("#9a9a9a").dash(DashType::Dot).width(1.2))
            .hover_info(HoverInfo::Skip),
    );
    for (split, colour, words) in [("id", "#0072b2", "in distribution"), ("ood", "#d55e00", "out of distribution")] {
        let (as_is, tempered) = drift::reliability(encoded, method, (budget, seed), split)?;
        for (bins, dash, how) in
            [(Some(as_is), DashType::Solid, "as it is"), (tempered, DashType::Dash, "at the temperature")]
        {
            let Some(bins) = bins else { continue };
            let told: Vec<&ReliabilityBin> = bins.iter().filter(|bin| bin.n > 0).collect();
            let percent = |value: Option<f64>| 100.0 * value.unwrap_or(f64::NAN);
            let x: Vec<f64> = told.iter().map(|bin| percent(bin.confidence)).collect();
            let y: Vec<f64> = told.iter().map(|bin| percent(bin.accuracy)).collect();
            let sizes: Vec<usize> = told.iter().map(|bin| 5 + (bin.n as f64).sqrt().min(18.0) as usize).collect();
            let hover = told.iter().map(|bin| {
                let (confidence, accuracy) = (percent(bin.confidence), percent(bin.accuracy));
                format!("{words}, {how}<br>{confidence:.0}% said, {accuracy:.0}% right, {} images", bin.n)
            });
            let _ = write!(text, "\n{words}, {how}:");
            for (bin, (x, y)) in told.iter().zip(x.iter().zip(&y)) {
                let _ = write!(text, " {x:.0} -> {y:.0} ({});", bin.n);
            }
            let hover: Vec<String> = hover.collect();
            plot.add_trace(
                Scatter::new(x, y)
                    .name(format!("{words}, {how}"))
                    .mode(Mode::LinesMarkers)
                    .line(Line::new().color(colour).dash(dash).width(2.0))
                    .marker(Marker::new().color(colour).size_array(sizes))
                    .hover_text_array(hover)
                    .hover_info(HoverInfo::Text),
            );
        }
    }
    let axis = |name: &str| {
        let name = Title::with_text(title(name));
        Axis::new().title(name).range(vec![-2.0, 102.0]).grid_color("#e3e3e3").zero_line(false)
    };
    plot.set_layout(
        Layout::new()
            .title(Title::with_text(title(&about)))
            .x_axis(axis(&format!("probability of the predicted class (%), {BINS} bins")))
            .y_axis(axis("of these right (%)"))
            .legend(Legend::new())
            .plot_background_color("#ffffff")
            .margin(Margin::new().left(70).right(20).top(60).bottom(60))
            .height(480),
    );
    Ok(Chart::new(plot, text))
}
