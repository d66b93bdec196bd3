//! The study's own drift: 63 pairs of accuracies on each of two data sets, as wide as their test images leave them, and what the
//! study says of them.

use super::axes::{axis, left_out, place, range};
use super::line::{no_loss, through};
use crate::display::chart::symbol;
use crate::display::text::{label, plain, title};
use crate::display::{Cell, Chart, Look, Table, look};
use crate::error::Result;
use crate::experiments::drift::{StudyDrift, StudyPair};
use crate::metrics::{Stretch, holm};
use crate::project::Project;
use plotly::common::{ErrorData, ErrorType, HoverInfo, Marker, Mode, Pad, Title};
use plotly::layout::{HoverMode, Legend, Margin, Slider, SliderCurrentValue, SliderMethod, SliderStep};
use plotly::{Layout, Plot, Scatter};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How many images of a camera or place count as one: the design effects of the slider.
const EFFECTS: [f64; 7] = [1.0, 2.0, 4.0, 9.0, 13.0, 25.0, 100.0];
const Z: f64 = 1.959_963_984_540_054;

/// The 95% interval of an accuracy that `n` images gave, of which so many count as one: Wilson's (1927), of n / effect images.
fn interval(accuracy: f64, n: usize, effect: f64) -> (f64, f64) {
    let n = n as f64 / effect;
    let (z2, centre) = (Z * Z, accuracy + Z * Z / (2.0 * n));
    let half = Z * (accuracy * (1.0 - accuracy) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half) / (1.0 + z2 / n), (centre + half) / (1.0 + z2 / n))
}

/// How far the interval reaches on the axis, up and down.
fn reach(accuracy: f64, n: usize, effect: f64) -> Option<(f64, f64)> {
    let (low, high) = interval(accuracy, n, effect);
    let at = place(accuracy)?;
    Some((place(high)? - at, at - place(low)?))
}

/// The smallest and the largest accuracy that a bar reaches at any step of the slider.
fn ends(pairs: &[StudyPair], of: fn(&StudyPair) -> f64, n: usize) -> (f64, f64) {
    let most = EFFECTS.into_iter().fold(1.0, f64::max);
    let placed = pairs.iter().map(of).filter(|accuracy| place(*accuracy).is_some());
    range(placed.map(|accuracy| interval(accuracy, n, most)).flat_map(|(low, high)| [low, high]))
}

/// The study's pairs on a drift set, on logit axes, a mark per model, method and budget, filled for probes and open for what was
/// fine-tuned; the line through them is straight on probit axes. Bars are 95% intervals of the test images; the slider says how
/// many images count as one, as frames of one camera are alike.
///
/// # Errors
/// As for [`StudyDrift::of`].
pub fn study_drift_chart(project: &Project, dataset: &str) -> Result<Chart> {
    let study = StudyDrift::of(project, dataset)?;
    let left_out = left_out(study.pairs.iter().map(|pair| (pair.id, pair.ood)));
    let about = format!("{dataset}: the study's accuracies in and out of distribution{left_out}");
    let mut text = format!(
        "{}\nline on probit axes: slope {:.2}, R2 {:.3}\nin -> out (%), points above the line",
        plain(&about),
        study.line.slope,
        study.line.r2.unwrap_or(f64::NAN)
    );
    let span = range(study.pairs.iter().map(|pair| pair.id));
    let mut plot = Plot::new();
    plot.add_trace(through(&study.line, span));
    plot.add_trace(no_loss(span));
    let mut models: BTreeMap<(&str, bool), Vec<&StudyPair>> = BTreeMap::new();
    for pair in study.pairs.iter().filter(|pair| place(pair.id).is_some() && place(pair.ood).is_some()) {
        models.entry((&pair.model, pair.method == "finetune")).or_default().push(pair);
    }
    // Of each step of the slider, for every trace with bars: up and down, across and along.
    let mut bars: Vec<[Vec<Vec<f64>>; 4]> = vec![Default::default(); EFFECTS.len()];
    for ((model, tuned), pairs) in &models {
        let look = study_look(project, model);
        let (mut x, mut y, mut hover) = (Vec::new(), Vec::new(), Vec::new());
        for pair in pairs {
            let (Some(id), Some(ood)) = (place(pair.id), place(pair.ood)) else { continue };
            let words = format!("{:.1} -> {:.1}, {:+.1}", 100.0 * pair.id, 100.0 * pair.ood, 100.0 * pair.beside);
            let _ = write!(text, "\n{} {} {}: {words}", plain(model), pair.method, pair.budget);
            hover.push(format!("{} {} {}<br>{words} points", label(model), label(&pair.method), pair.budget));
            x.push(id);
            y.push(ood);
        }
        for (effect, bars) in EFFECTS.iter().zip(&mut bars) {
            let ends: Vec<[f64; 4]> = pairs
                .iter()
                .map(|pair| {
                    let across = reach(pair.id, study.n_test.0, *effect).unwrap_or_default();
                    let along = reach(pair.ood, study.n_test.1, *effect).unwrap_or_default();
                    // To a thousandth: what a page has to carry.
                    [across.0, across.1, along.0, along.1].map(|part| (1000.0 * part).round() / 1000.0)
                })
                .collect();
            for (k, of_trace) in bars.iter_mut().enumerate() {
                of_trace.push(ends.iter().map(|ends| ends[k]).collect());
            }
        }
        let first = |k: usize| bars[0][k].last().cloned().unwrap_or_default();
        let error = |up: usize| {
            ErrorData::new(ErrorType::Data)
                .array(first(up))
                .array_minus(first(up + 1))
                .symmetric(false)
                .thickness(1.0)
                .width(0)
                .color(look.colour.clone())
        };
        plot.add_trace(
            Scatter::new(x, y)
                .name(label(model))
                .legend_group(label(model))
                .show_legend(!tuned)
                .mode(Mode::Markers)
                .marker(Marker::new().color(look.colour.clone()).symbol(symbol(&look, *tuned)).size(8))
                .error_x(error(0))
                .error_y(error(2))
                .hover_text_array(hover)
                .hover_info(HoverInfo::Text),
        );
    }
    // The first two traces are lines.
    let traces: Vec<usize> = (2..2 + models.len()).collect();
    let step = |(effect, [right, left, up, down]): (&f64, [Vec<Vec<f64>>; 4])| {
        let changed = json!({
            "error_x.array": right, "error_x.arrayminus": left, "error_y.array": up, "error_y.arrayminus": down,
        });
        SliderStep::new().method(SliderMethod::Restyle).args(json!([changed, traces])).label(effect.to_string())
    };
    let steps = EFFECTS.iter().zip(bars).map(step).collect();
    let slider = Slider::new()
        .active(0)
        .pad(Pad::new(70, 0, 0))
        .current_value(SliderCurrentValue::new().prefix("images that count as one: "))
        .steps(steps);
    let (across, up) = (|pair: &StudyPair| pair.id, |pair: &StudyPair| pair.ood);
    plot.set_layout(
        Layout::new()
            .title(Title::with_text(title(&about)))
            .x_axis(axis("accuracy in distribution (%), logit axis", ends(&study.pairs, across, study.n_test.0)))
            .y_axis(axis("accuracy out of distribution (%), logit axis", ends(&study.pairs, up, study.n_test.1)))
            .legend(Legend::new())
            .hover_mode(HoverMode::Closest)
            .plot_background_color("#ffffff")
            .margin(Margin::new().left(70).right(20).top(60).bottom(60))
            .sliders(vec![slider])
            .height(640),
    );
    Ok(Chart::new(plot, text))
}

/// The look of the model that the study calls so; what has none is grey.
fn study_look(project: &Project, name: &str) -> Look {
    let record = project.manifests.models().find(|record| record.published_as.as_deref() == Some(name));
    match record {
        Some(record) => look(project, &record.id),
        None => Look { colour: "#777777".into(), marker: "circle".into(), dash: "solid".into() },
    }
}

/// How a drop stands: the z of two independent proportions, and its two-sided p-value.
fn drop(pair: &StudyPair, n: (usize, usize), effect: f64) -> (f64, f64) {
    let variance = |p: f64, n: usize| p * (1.0 - p) * effect / n as f64;
    let z = (pair.id - pair.ood) / (variance(pair.id, n.0) + variance(pair.ood, n.1)).sqrt();
    (z, 2.0 * Stretch::Probit.back(-z.abs()))
}

/// What the study says of drift, and what its own numbers say, with intervals of its test images (they say nothing of its one draw
/// of labels and its one seed).
///
/// # Errors
/// As for [`StudyDrift::of`].
pub fn drift_claims(project: &Project) -> Result<Table> {
    let (fmow, cameras) = (StudyDrift::of(project, "fmow")?, StudyDrift::of(project, "iwildcam")?);
    let mut table = Table {
        caption: "The study's claims on drift, held against its own numbers (95% intervals of its test images)".into(),
        header: ["claim", "its own numbers"].map(String::from).to_vec(),
        rows: Vec::new(),
    };
    let mut push = |claim: &str, found: String| table.rows.push(vec![Cell::from(claim), Cell::from(found)]);
    push("FMoW: no significant difference", {
        let count = |tuned: bool| -> Result<(usize, usize, usize)> {
            let of: Vec<&StudyPair> = fmow.pairs.iter().filter(|pair| (pair.method == "finetune") == tuned).collect();
            let p: Vec<f64> = of.iter().map(|pair| drop(pair, fmow.n_test, 1.0).1).collect();
            let falls = |i: &usize| of[*i].id > of[*i].ood;
            let clear = (0..of.len()).filter(falls).filter(|&i| p[i] < 0.05).count();
            let adjusted = holm(&p)?;
            Ok((clear, (0..of.len()).filter(falls).filter(|&i| adjusted[i] < 0.05).count(), of.len()))
        };
        let ((tuned, after_holm, n), (probes, _, n_probes)) = (count(true)?, count(false)?);
        format!(
            "false for fine-tuning: {tuned} of {n} drops are clear, {after_holm} after Holm; of the probes' {probes} of {n_probes}"
        )
    });
    push("CLIP drops least on FMoW", {
        let mut columns: BTreeMap<(&str, usize), Vec<(f64, &str)>> = BTreeMap::new();
        for pair in &fmow.pairs {
            columns.entry((&pair.method, pair.budget)).or_default().push((pair.id - pair.ood, &pair.model));
        }
        let first = columns.values_mut().filter_map(|models| {
            models.sort_by(|a, b| a.0.total_cmp(&b.0));
            models.first().map(|(_, model)| *model == "CLIP")
        });
        let first: Vec<bool> = first.collect();
        format!("in points: least of nine in {} of {} columns", first.iter().filter(|clip| **clip).count(), first.len())
    });
    push("Accuracy out of distribution says more than accuracy in it", {
        let r2 = |study: &StudyDrift| study.line.r2.map_or_else(|| "–".into(), |r2| format!("{r2:.3}"));
        format!(
            "hardly: it follows from accuracy in distribution, R2 {} on FMoW and {} on iWildCam (probit axes)",
            r2(&fmow),
            r2(&cameras)
        )
    });
    push("iWildCam: ConvNeXt does better out of distribution", {
        let of = |is: bool| cameras.pairs.iter().filter(move |pair| pair.model.starts_with("convnext") == is);
        let better = |is: bool| of(is).filter(|pair| pair.ood > pair.id).count();
        let clear = of(true).filter(|pair| pair.ood > pair.id && drop(pair, cameras.n_test, 1.0).1 < 0.05).count();
        format!(
            "{} of {} ConvNeXt pairs are higher out of distribution ({clear} clearly), of the others {} of {}; 48 cameras, so \
             that many images count as one",
            better(true),
            of(true).count(),
            better(false),
            of(false).count()
        )
    });
    Ok(table)
}
