//! Who sees alike: linear CKA of all pairs of models, those that see alike side by side.

use super::Chart;
use super::selection::{decimal, model_name};
use super::text::{self, label, plain};
use crate::experiments::same_data::Alignment;
use crate::project::Project;
use crate::say;
use plotly::common::{ColorScale, ColorScalePalette, Font, Title};
use plotly::layout::{Annotation, Axis, Margin};
use plotly::{HeatMap, Layout, Plot};

/// Linear CKA of all pairs of models as a map of colours with the numbers on it.
pub fn alignment_chart(project: &Project, alignment: &Alignment) -> Chart {
    let order = by_likeness(alignment);
    let names: Vec<String> = order.iter().map(|&i| model_name(project, &alignment.models[i])).collect();
    let mean = |i: usize, j: usize| alignment.pairs[i][j].mean;
    let means: Vec<Vec<f64>> = order.iter().map(|&i| order.iter().map(|&j| mean(i, j)).collect()).collect();
    // What a model is like itself says nothing, and would take the upper end of the colours.
    let apart = || (0..order.len()).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| means[i][j]);
    let (least, most) = (apart().fold(1.0, f64::min), apart().fold(0.0, f64::max));
    let title = format!("{}: linear CKA of {} images, mean of five samples", alignment.dataset, alignment.n_images);
    // Places by number: as the categories of an axis, names that are numbers or the same would not stay apart.
    let places: Vec<usize> = (0..names.len()).collect();
    let shown: Vec<String> = names.iter().map(|name| label(name)).collect();
    let mut plot = Plot::new();
    plot.add_trace(
        HeatMap::new(places.clone(), places.clone(), means.clone())
            .zmin(least)
            .zmax(most.max(least + 1e-3))
            .color_scale(ColorScale::Palette(ColorScalePalette::Viridis))
            .hover_template("%{y} and %{x}: %{z:.2f}<extra></extra>"),
    );
    let mut notes = Vec::new();
    for (y, row) in means.iter().enumerate() {
        for (x, mean) in row.iter().enumerate() {
            let colour = if (*mean - least) / (most - least).max(1e-3) < 0.55 { "#ffffff" } else { "#222222" };
            let font = Font::new().size(11).color(colour);
            let note = Annotation::new().x(x).y(y).text(format!("{mean:.2}"));
            notes.push(note.show_arrow(false).font(font));
        }
    }
    let axis = || {
        let ticks = places.iter().map(|place| *place as f64).collect();
        Axis::new().tick_values(ticks).tick_text(shown.clone()).auto_margin(true).show_grid(false).zero_line(false)
    };
    // Names stand below at an angle: few models with long names need more room for these than for the colours.
    let longest = names.iter().map(|name| text::width(&say::visible(name)).min(120)).max().unwrap_or(0);
    let room = 130 + 20 * names.len() + 6 * longest + 5 * longest.saturating_sub(40);
    let side = (140 + 44 * names.len()).max(room).max(300);
    plot.set_layout(
        Layout::new()
            .title(Title::with_text(text::title(&title)))
            .x_axis(axis().tick_angle(-45.0))
            .y_axis(axis().range(vec![names.len() as f64 - 0.5, -0.5]))
            .annotations(notes)
            .margin(Margin::new().left(160).right(20).top(60).bottom(160))
            .height(side),
    );
    let mut text = plain(&title);
    for (i, &a) in order.iter().enumerate() {
        for (j, &b) in order.iter().enumerate().skip(i + 1) {
            let pair = decimal(&alignment.pairs[a][b]);
            text.push_str(&format!("\n{} and {}: {pair}", plain(&names[i]), plain(&names[j])));
        }
    }
    Chart::new(plot, text)
}

/// An order in which models that see alike stand side by side: groups are joined by their mean alignment, the most alike first
/// (average linkage), and each is turned so that the ends that meet are the more alike ones.
fn by_likeness(alignment: &Alignment) -> Vec<usize> {
    let like = |i: usize, j: usize| {
        let mean = alignment.pairs[i][j].mean;
        if mean.is_finite() { mean } else { 0.0 }
    };
    let mut groups: Vec<Vec<usize>> = (0..alignment.models.len()).map(|model| vec![model]).collect();
    let of = |a: &[usize], b: &[usize]| {
        let all = a.iter().flat_map(|&i| b.iter().map(move |&j| like(i, j)));
        all.sum::<f64>() / (a.len() * b.len()) as f64
    };
    while groups.len() > 1 {
        let pairs = (0..groups.len()).flat_map(|a| (a + 1..groups.len()).map(move |b| (a, b)));
        let most = pairs.max_by(|x, y| of(&groups[x.0], &groups[x.1]).total_cmp(&of(&groups[y.0], &groups[y.1])));
        let Some((a, b)) = most else { break };
        let (mut second, mut first) = (groups.swap_remove(b), groups.swap_remove(a));
        let end = |group: &[usize]| (group[0], group[group.len() - 1]);
        let ((f0, f1), (s0, s1)) = (end(&first), end(&second));
        if like(f0, s0).max(like(f0, s1)) > like(f1, s0).max(like(f1, s1)) {
            first.reverse();
        }
        let meets = first[first.len() - 1];
        if like(meets, s1) > like(meets, s0) {
            second.reverse();
        }
        groups.push([first, second].concat());
    }
    groups.pop().unwrap_or_default()
}
