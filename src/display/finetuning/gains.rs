//! Fine-tuning minus logistic regression, on the same images.

use super::{method_label, reported};
use crate::display::chart::symbol;
use crate::display::selection::model_name;
use crate::display::text::{label, plain, title};
use crate::display::{Cell, Chart, Look, Table};
use crate::experiments::finetuning::Gain;
use crate::metrics::Crossing;
use crate::project::Project;
use plotly::common::{ErrorData, ErrorType, HoverInfo, Marker, Mode, Title};
use plotly::layout::{Axis, HoverMode, Legend, Margin, Shape, ShapeLine, ShapeType};
use plotly::{Layout, Plot, Scatter};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Budgets from few labels to many: light to dark, as red, green and blue.
const SHADES: [[u8; 3]; 4] = [[0xf0, 0xa3, 0x5e], [0xd5, 0x5e, 0x00], [0x8a, 0x2d, 0x00], [0x4a, 0x15, 0x00]];

/// The shade of a place among `n` budgets. More budgets than shades lie evenly between the lightest and the darkest.
fn shade(place: usize, n: usize) -> String {
    let at = match n > SHADES.len() {
        true => place as f64 * (SHADES.len() - 1) as f64 / (n - 1) as f64,
        false => place as f64,
    };
    let before = (at as usize).min(SHADES.len() - 1);
    let (light, dark) = (SHADES[before], SHADES[(before + 1).min(SHADES.len() - 1)]);
    let mixed = |k: usize| {
        let (light, dark) = (f64::from(light[k]), f64::from(dark[k]));
        (light + (at - before as f64) * (dark - light)).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", mixed(0), mixed(1), mixed(2))
}

/// The gains of one method on one part of a data set, by the weights that are reported.
fn of<'a>(gains: &'a [Gain], dataset: &str, split: &str, method: &str) -> Vec<&'a Gain> {
    let wanted = |gain: &&Gain| {
        gain.dataset == dataset && gain.split == split && gain.method == method && gain.weights == reported(method)
    };
    gains.iter().filter(wanted).collect()
}

/// Models by their mean gain, the largest first.
fn ordered<'a>(gains: &[&'a Gain]) -> Vec<&'a str> {
    let models: BTreeSet<&str> = gains.iter().map(|gain| gain.model.as_str()).collect();
    let mean = |model: &str| {
        let of_model: Vec<f64> =
            gains.iter().filter(|gain| gain.model == model).map(|gain| gain.paired.difference).collect();
        of_model.iter().sum::<f64>() / of_model.len().max(1) as f64
    };
    let mut models: Vec<&str> = models.into_iter().collect();
    models.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
    models
}

/// A forest plot: models down, the gain over the logistic regression in points across, with 95% intervals over families of
/// images; one mark per budget, filled where it stands after Holm.
pub fn gain_chart(project: &Project, gains: &[Gain], dataset: &str, split: &str, method: &str) -> Chart {
    let gains = of(gains, dataset, split, method);
    let models = ordered(&gains);
    let budgets: Vec<u32> = gains.iter().map(|gain| gain.budget).collect::<BTreeSet<_>>().into_iter().collect();
    let about = format!("{dataset}, {split}: {} minus logistic regression", method_label(method));
    let mut text = format!("{}\npoints of accuracy [95%]", plain(&about));
    let mut plot = Plot::new();
    for (i, budget) in budgets.iter().enumerate() {
        let offset = 0.5 * ((i as f64 + 0.5) / budgets.len() as f64 - 0.5);
        let mut in_legend = false;
        for stands in [true, false] {
            let marks = Marks::of(project, &gains, &models, (*budget, stands), offset, &mut text);
            if !marks.x.is_empty() {
                plot.add_trace(marks.trace(&shade(i, budgets.len()), *budget, !stands, !in_legend));
                in_legend = true;
            }
        }
    }
    let names: Vec<String> = models.iter().map(|model| label(&model_name(project, model))).collect();
    let places: Vec<f64> = (0..models.len()).map(|place| place as f64).collect();
    let longest = models.iter().map(|model| model_name(project, model).chars().count()).max().unwrap_or(0);
    let bottom = models.len().max(1) as f64 - 0.5;
    let zero = Shape::new()
        .shape_type(ShapeType::Line)
        .x0(0.0)
        .x1(0.0)
        .y0(-0.5)
        .y1(bottom)
        .line(ShapeLine::new().color("#9a9a9a").width(1.0));
    plot.set_layout(
        Layout::new()
            .title(Title::with_text(title(&about)))
            .x_axis(
                Axis::new()
                    .title(Title::with_text("difference in accuracy (points; filled: stands after Holm)"))
                    .grid_color("#e3e3e3")
                    .zero_line(false),
            )
            .y_axis(
                Axis::new()
                    .tick_values(places)
                    .tick_text(names)
                    .range(vec![bottom, -0.5])
                    .show_grid(false)
                    .zero_line(false)
                    .auto_margin(true),
            )
            .shapes(vec![zero])
            .legend(Legend::new())
            .hover_mode(HoverMode::Closest)
            .plot_background_color("#ffffff")
            .margin(Margin::new().left((7 * longest).clamp(60, 220)).right(20).top(60).bottom(60))
            .height(160 + 44 * models.len().max(2)),
    );
    Chart::new(plot, text)
}

/// The gains of one budget that stand after Holm, or those that do not.
#[derive(Default)]
struct Marks {
    x: Vec<f64>,
    y: Vec<f64>,
    low: Vec<f64>,
    high: Vec<f64>,
    hover: Vec<String>,
}

impl Marks {
    fn of(
        project: &Project,
        gains: &[&Gain],
        models: &[&str],
        (budget, stands): (u32, bool),
        offset: f64,
        text: &mut String,
    ) -> Marks {
        let mut marks = Marks::default();
        for gain in gains.iter().filter(|gain| gain.budget == budget && (gain.holm <= 0.05) == stands) {
            let paired = &gain.paired;
            let [mean, low, high] = [paired.difference, paired.low, paired.high].map(|part| 100.0 * part);
            let row = models.iter().position(|model| *model == gain.model).unwrap_or(0);
            marks.x.push(mean);
            marks.y.push(row as f64 + offset);
            marks.low.push(mean - low);
            marks.high.push(high - mean);
            let name = model_name(project, &gain.model);
            let words = format!("{mean:+.1} [{low:+.1}, {high:+.1}], p after Holm {:.3}", gain.holm);
            let _ = write!(text, "\n{} at budget {budget}: {words}", plain(&name));
            marks.hover.push(format!("{}, budget {budget}<br>{words}", label(&name)));
        }
        marks
    }

    fn trace(self, colour: &str, budget: u32, open: bool, in_legend: bool) -> Box<Scatter<f64, f64>> {
        let look = Look { colour: colour.into(), marker: "circle".into(), dash: "solid".into() };
        let bars = ErrorData::new(ErrorType::Data).array(self.high).array_minus(self.low).symmetric(false);
        Scatter::new(self.x, self.y)
            .name(format!("budget {budget}"))
            .legend_group(format!("budget {budget}"))
            .show_legend(in_legend)
            .mode(Mode::Markers)
            .marker(Marker::new().color(colour.to_string()).symbol(symbol(&look, open)).size(9))
            .error_x(bars.thickness(1.2).width(3).color(colour.to_string()))
            .hover_text_array(self.hover)
            .hover_info(HoverInfo::Text)
    }
}

/// The same as a table: gain in points [95%], a column per budget; bold where it stands after Holm.
pub fn gain_table(project: &Project, gains: &[Gain], dataset: &str, split: &str, method: &str) -> Table {
    let gains = of(gains, dataset, split, method);
    let budgets: BTreeSet<u32> = gains.iter().map(|gain| gain.budget).collect();
    let row = |model: &&str| {
        let of_budget = |budget: &u32| {
            let found = gains.iter().find(|gain| gain.model == **model && gain.budget == *budget);
            found.map_or_else(Cell::default, |gain| {
                let paired = &gain.paired;
                let points = |part: f64| format!("{:+.1}", 100.0 * part);
                let text = format!("{} [{}, {}]", points(paired.difference), points(paired.low), points(paired.high));
                Cell { text, best: gain.holm <= 0.05 }
            })
        };
        std::iter::once(Cell::from(model_name(project, model))).chain(budgets.iter().map(of_budget)).collect()
    };
    Table {
        caption: format!(
            "{dataset}, {split}: {} minus logistic regression, points of accuracy [95% bootstrap over what a split keeps \
             together, all seeds]; bold where p after Holm over the models is at most 0.05",
            method_label(method)
        ),
        header: std::iter::once("model".into()).chain(budgets.iter().map(|b| format!("budget {b}"))).collect(),
        rows: ordered(&gains).iter().map(row).collect(),
    }
}

/// From how many training images on a method is at least as good as the logistic regression, model by model.
pub fn crossover_table(project: &Project, method: &str, crossings: &[(String, String, String, Crossing)]) -> Table {
    // An end without a number lies on the side on which the resamples beyond it are.
    let end = |value: Option<f64>, fewer: bool| match (value, fewer) {
        (Some(n), _) => format!("{n:.0}"),
        (None, true) => "fewer".into(),
        (None, false) => "more".into(),
    };
    let row = |(dataset, split, model, crossing): &(String, String, String, Crossing)| {
        let at = match (crossing.at, crossing.already >= 0.5) {
            (Some(n), _) => format!("{n:.0}"),
            (None, true) => "fewer than were tried".into(),
            (None, false) => "more than were tried".into(),
        };
        let low = end(crossing.low, crossing.already >= 0.025);
        let range = format!("[{low}, {}]", end(crossing.high, crossing.never < 0.025));
        let share = |part: f64| format!("{:.0}%", 100.0 * part);
        let cells = [
            format!("{dataset}, {split}"),
            model_name(project, model),
            at,
            range,
            share(crossing.already),
            share(crossing.never),
        ];
        cells.into_iter().map(Cell::from).collect()
    };
    Table {
        caption: format!(
            "Training images from which {} is at least as good as the logistic regression [95% bootstrap over families of \
             images]; already: share of resamples in which it is at the smallest number; never: at none",
            method_label(method)
        ),
        header: ["data", "model", "training images", "95%", "already", "never"].map(String::from).to_vec(),
        rows: crossings.iter().map(row).collect(),
    }
}
