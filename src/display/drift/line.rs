//! Every arm of a data set: accuracy in distribution across, out of distribution up, and the line through all.

use super::arm;
use super::axes::{axis, axis_range, left_out, place, range};
use crate::display::chart::symbol;
use crate::display::selection::model_name;
use crate::display::text::{label, plain, title};
use crate::display::{Chart, look};
use crate::experiments::drift::{Drift, Gap};
use crate::metrics::DriftLine;
use crate::project::Project;
use plotly::common::{DashType, Font, HoverInfo, Line, Marker, Mode, Title};
use plotly::layout::{Annotation, HoverMode, Legend, Margin};
use plotly::{Layout, Plot, Scatter};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Height of the chart and its margins above and below, in pixels.
const HEIGHT: usize = 560;
const MARGIN: usize = 60;

/// Arms of a data set on logit axes: a mark per model, method and budget, filled for probes and open for what was fine-tuned. On
/// the solid line lies what accuracy in distribution leads one to expect, on the dotted one what loses nothing. The title says how
/// many arms have no place there.
pub fn drift_chart(project: &Project, drift: &Drift) -> Chart {
    let left_out = left_out(drift.gaps.iter().map(|gap| (gap.id.value, gap.ood.value)));
    let about = format!("{}: accuracy in and out of distribution{left_out}", drift.dataset);
    let mut text = format!("{}\nin -> out of distribution (%), and points above the line", plain(&about));
    let mut plot = Plot::new();
    let reach = range(drift.gaps.iter().map(|gap| gap.id.value));
    if let Some([_, logit]) = &drift.lines {
        plot.add_trace(through(logit, reach));
        let _ = write!(text, "\nline on logit axes: slope {:.2}", logit.slope);
        if let Some(r2) = logit.r2 {
            let _ = write!(text, ", R2 {r2:.3}");
        }
    }
    plot.add_trace(no_loss(reach));
    let mut models: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for gap in &drift.gaps {
        models.entry(&gap.model).or_default().push(gap);
    }
    for (model, gaps) in models {
        let (name, look) = (model_name(project, model), look(project, model));
        let mut in_legend = false;
        for tuned in [false, true] {
            let (mut x, mut y, mut hover) = (Vec::new(), Vec::new(), Vec::new());
            for gap in gaps.iter().filter(|gap| gap.weights.is_empty() != tuned) {
                let (Some(id), Some(ood)) = (place(gap.id.value), place(gap.ood.value)) else { continue };
                let beside = gap.beside[1].map_or_else(String::new, |beside| format!(", {:+.1}", 100.0 * beside.value));
                let words = format!("{:.1} -> {:.1}{beside}", 100.0 * gap.id.value, 100.0 * gap.ood.value);
                let _ = write!(text, "\n{}, {}: {words}", plain(&name), arm(&gap.method, gap.budget));
                hover.push(format!("{}, {}<br>{words} points", label(&name), label(&arm(&gap.method, gap.budget))));
                x.push(id);
                y.push(ood);
            }
            if x.is_empty() {
                continue;
            }
            plot.add_trace(
                Scatter::new(x, y)
                    .name(label(&name))
                    .legend_group(label(&name))
                    .show_legend(!in_legend)
                    .mode(Mode::Markers)
                    .marker(Marker::new().color(look.colour.clone()).symbol(symbol(&look, tuned)).size(9))
                    .hover_text_array(hover)
                    .hover_info(HoverInfo::Text),
            );
            in_legend = true;
        }
    }
    plot.set_layout(
        Layout::new()
            .title(Title::with_text(title(&about)))
            .x_axis(axis("accuracy in distribution (%), logit axis", reach))
            .y_axis(axis(
                "accuracy out of distribution (%), logit axis",
                range(drift.gaps.iter().map(|gap| gap.ood.value)),
            ))
            .legend(Legend::new())
            .hover_mode(HoverMode::Closest)
            .plot_background_color("#ffffff")
            .annotations(names(project, drift))
            .margin(Margin::new().left(70).right(20).top(MARGIN).bottom(MARGIN))
            .height(HEIGHT),
    );
    Chart::new(plot, text)
}

/// Names beside the marks that lie farthest above and below the line, three on either side and a model once.
fn names(project: &Project, drift: &Drift) -> Vec<Annotation> {
    let beside = |gap: &Gap| gap.beside[1].map_or(0.0, |beside| beside.value);
    let mut farthest: Vec<&Gap> = drift.gaps.iter().filter(|gap| beside(gap) != 0.0).collect();
    farthest.sort_by(|a, b| beside(b).abs().total_cmp(&beside(a).abs()));
    let mut named: Vec<(&Gap, f64, f64)> = Vec::new();
    for gap in farthest {
        let up = beside(gap) > 0.0;
        let (Some(x), Some(y)) = (place(gap.id.value), place(gap.ood.value)) else { continue };
        let on_side = named.iter().filter(|(other, ..)| (beside(other) > 0.0) == up).count();
        if on_side < 3 && named.iter().all(|(other, ..)| other.model != gap.model) {
            named.push((gap, x, y));
        }
    }
    // Beside the left end a name goes to the right, or it would lie on the axis.
    let (low, high) = axis_range(range(drift.gaps.iter().map(|gap| gap.id.value)));
    let left = low + 0.3 * (high - low);
    let (bottom, top) = axis_range(range(drift.gaps.iter().map(|gap| gap.ood.value)));
    let pixels = |y: f64| (y - bottom) / (top - bottom) * (HEIGHT - 2 * MARGIN) as f64;
    let mut notes = Vec::new();
    for up in [true, false] {
        // Away from the line, in order of height: each name at its mark or a line of text beyond the one before it.
        let way = if up { 1.0 } else { -1.0 };
        let mut side: Vec<_> = named.iter().filter(|(gap, ..)| (beside(gap) > 0.0) == up).collect();
        side.sort_by(|a, b| (way * a.2).total_cmp(&(way * b.2)));
        let mut last = f64::NEG_INFINITY;
        for (gap, x, y) in side {
            let at = (way * pixels(*y) + 24.0).max(last + 17.0);
            last = at;
            let text = format!("{} {:+.1}", label(&model_name(project, &gap.model)), 100.0 * beside(gap));
            notes.push(
                Annotation::new()
                    .x(*x)
                    .y(*y)
                    .text(text)
                    .font(Font::new().size(11).color("#404040"))
                    .show_arrow(true)
                    .arrow_width(0.7)
                    .arrow_head(0)
                    .arrow_color("#9a9a9a")
                    .ax(if up && *x > left { -30.0 } else { 40.0 })
                    .ay(pixels(*y) - way * at),
            );
        }
    }
    notes
}

/// The line, whatever it is straight on.
pub(super) fn through(line: &DriftLine, (low, high): (f64, f64)) -> Box<Scatter<f64, f64>> {
    let (low, high) = (place(low).unwrap_or(-3.0), place(high).unwrap_or(3.0));
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for i in 0..=40 {
        let at = low + (high - low) * f64::from(i) / 40.0;
        let id = 1.0 / (1.0 + (-at).exp());
        if let Some(ood) = line.at(id).and_then(place) {
            x.push(at);
            y.push(ood);
        }
    }
    Scatter::new(x, y)
        .name("expected")
        .mode(Mode::Lines)
        .line(Line::new().color("#404040").width(1.5))
        .hover_info(HoverInfo::Skip)
}

/// Where nothing is lost.
pub(super) fn no_loss((low, high): (f64, f64)) -> Box<Scatter<f64, f64>> {
    let ends: Vec<f64> = [low, high].into_iter().filter_map(place).collect();
    Scatter::new(ends.clone(), ends)
        .name("no loss")
        .mode(Mode::Lines)
        .line(Line::new().color("#9a9a9a").dash(DashType::Dot).width(1.2))
        .hover_info(HoverInfo::Skip)
}
