//! Clusterings compared: the adjusted Rand index of every model, with and without UMAP, and the study's ranking.
//!
//! The study prints one number a model, k-means after UMAP, as a ranking. Here each number has an interval over seeds,
//! and k-means on the features themselves stands beside it: the difference is what UMAP adds.

use super::chart::{error_bars, symbol};
use super::selection::{Column, Selection, comparison, decimal, model_name, n_seeds, origin};
use super::text::{label as shown, plain};
use super::{Cell, Chart, Look, Table, look};
use crate::error::Result;
use crate::metrics::Interval;
use crate::project::Project;
use crate::published::{self, PublishedTable};
use crate::results::ResultRow;
use plotly::common::{HoverInfo, Marker, Mode, Title};
use plotly::layout::{Axis, HoverMode, Legend, Margin};
use plotly::{Layout, Plot, Scatter};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Methods in the order they are shown, with what tells them apart.
const METHODS: [(&str, &str); 2] = [("umap_kmeans", "UMAP"), ("kmeans", "no UMAP")];
/// How much of a group's place on the x axis its points take.
const SPREAD: f64 = 0.8;

/// One data set and split: the intervals of each method by model.
struct Group {
    name: String,
    methods: BTreeMap<String, BTreeMap<String, Interval>>,
}

fn is_scored(row: &ResultRow) -> bool {
    row.cell.table == PublishedTable::Clustering.as_str() && row.metric == "ari"
}

/// The groups that have an adjusted Rand index, by data set and split.
fn groups(rows: &[ResultRow]) -> Result<Vec<Group>> {
    let scored = rows.iter().filter(|row| is_scored(row));
    let places: BTreeSet<(&str, &str)> = scored.map(|row| (row.cell.dataset.as_str(), row.split.as_str())).collect();
    let mut groups = Vec::new();
    for (dataset, split) in places {
        let mut methods: BTreeMap<String, BTreeMap<String, Interval>> = BTreeMap::new();
        for ((model, method, _), interval) in Selection::new(rows, dataset, split, "ari", false).intervals()? {
            methods.entry(method).or_default().insert(model, interval);
        }
        groups.push(Group { name: place(dataset, split), methods });
    }
    Ok(groups)
}

/// `icons`, `fmow ID`, `fmow OOD`.
fn place(dataset: &str, split: &str) -> String {
    match split {
        "all" => dataset.into(),
        other => format!("{dataset} {}", other.to_uppercase()),
    }
}

/// The columns of the table: each group with and without UMAP, as far as there are numbers.
fn columns(groups: &[Group]) -> Vec<Column> {
    let mut columns = Vec::new();
    for group in groups {
        for (method, label) in METHODS {
            if let Some(intervals) = group.methods.get(method) {
                columns.push((format!("{}, {label}", group.name), intervals.clone()));
            }
        }
    }
    columns
}

/// A model's mean over the columns that it has.
fn mean_over(columns: &[Column], model: &str) -> f64 {
    let means: Vec<f64> =
        columns.iter().filter_map(|(_, intervals)| intervals.get(model)).map(|interval| interval.mean).collect();
    means.iter().sum::<f64>() / means.len().max(1) as f64
}

/// Adjusted Rand index of k-means for every model (rows), data set and split, with UMAP and without (columns): mean
/// and 95% t-interval over seeds; the best mean of a column is marked. Models stand in the order of their mean over
/// all columns.
///
/// Of `rows`, those of the table `clustering` with the metric `ari` count, whatever else there is.
///
/// # Errors
/// A value that is not finite.
pub fn ari_table(project: &Project, rows: &[ResultRow]) -> Result<Table> {
    let columns = columns(&groups(rows)?);
    let scored: Vec<&ResultRow> = rows.iter().filter(|row| is_scored(row)).collect();
    let caption = format!(
        "Adjusted Rand index of k-means, mean over {} seeds [95% t-interval]{}",
        n_seeds(&columns),
        origin(&scored)
    );
    Ok(comparison(project, caption, &columns, |model| mean_over(&columns, model), decimal))
}

/// Adjusted Rand index of k-means: for every data set and split one colour a model, filled with UMAP and open without,
/// with 95% t-intervals over seeds. The best model on average stands first.
///
/// # Errors
/// As [`ari_table`].
pub fn ari_chart(project: &Project, rows: &[ResultRow]) -> Result<Chart> {
    let groups = groups(rows)?;
    let columns = columns(&groups);
    let models: BTreeSet<&String> = columns.iter().flat_map(|(_, intervals)| intervals.keys()).collect();
    let mut models: Vec<&String> = models.into_iter().collect();
    models.sort_by(|a, b| mean_over(&columns, b).total_cmp(&mean_over(&columns, a)));
    let slot = SPREAD / models.len().max(1) as f64;
    let mut plot = Plot::new();
    for (number, model) in models.iter().enumerate() {
        let mut in_legend = false;
        for (method, (id, label)) in METHODS.iter().enumerate() {
            // Each model has a slot in every group, UMAP in its left half and no UMAP in its right.
            let offset = (number as f64 + 0.25 + 0.5 * method as f64) * slot - SPREAD / 2.0;
            let points = Points::of(&groups, id, model, offset);
            if !points.x.is_empty() {
                let name = model_name(project, model);
                let group = format!("model {number}");
                plot.add_trace(points.trace(look(project, model), &group, &name, label, method > 0, !in_legend));
                in_legend = true;
            }
        }
    }
    let title = "k-means (filled: on the UMAP map)";
    plot.set_layout(layout(title, &groups));
    Ok(Chart::new(plot, text(project, title, &columns, &models)))
}

/// The points of one model and method.
#[derive(Default)]
struct Points {
    x: Vec<f64>,
    y: Vec<f64>,
    interval: Vec<Option<(f64, f64)>>,
    texts: Vec<String>,
}

impl Points {
    fn of(groups: &[Group], method: &str, model: &str, offset: f64) -> Points {
        let mut points = Points::default();
        for (place, group) in groups.iter().enumerate() {
            let found = group.methods.get(method).and_then(|intervals| intervals.get(model));
            let Some(interval) = found else { continue };
            points.x.push(place as f64 + offset);
            points.y.push(interval.mean);
            points.interval.push(interval.low.zip(interval.high));
            points.texts.push(format!("{}: {}", shown(&group.name), decimal(interval)));
        }
        points
    }

    fn trace(
        self,
        look: Look,
        group: &str,
        name: &str,
        label: &str,
        open: bool,
        in_legend: bool,
    ) -> Box<Scatter<f64, f64>> {
        let bars = error_bars(&self.y, &self.interval).color(look.colour.clone());
        let texts: Vec<String> = self.texts.iter().map(|text| format!("{}, {label}<br>{text}", shown(name))).collect();
        Scatter::new(self.x, self.y)
            .name(shown(name))
            .mode(Mode::Markers)
            .marker(Marker::new().color(look.colour.clone()).symbol(symbol(&look, open)).size(8))
            .error_y(bars)
            .hover_text_array(texts)
            .hover_info(HoverInfo::Text)
            .legend_group(group)
            .show_legend(in_legend)
    }
}

fn layout(title: &str, groups: &[Group]) -> Layout {
    let ticks: Vec<f64> = (0..groups.len()).map(|place| place as f64).collect();
    let names: Vec<String> = groups.iter().map(|group| shown(&group.name)).collect();
    let x_axis = Axis::new()
        .title(Title::with_text("data set and split"))
        .tick_values(ticks)
        .tick_text(names)
        .range(vec![-0.5, groups.len().max(1) as f64 - 0.5])
        .show_grid(false)
        .zero_line(false)
        .auto_margin(true);
    let y_axis = Axis::new().title(Title::with_text("adjusted Rand index")).grid_color("#e3e3e3").zero_line(true);
    Layout::new()
        .title(Title::with_text(title))
        .x_axis(x_axis)
        .y_axis(y_axis.zero_line_color("#9a9a9a"))
        .show_legend(true)
        .legend(Legend::new())
        .hover_mode(HoverMode::Closest)
        .plot_background_color("#ffffff")
        .margin(Margin::new().left(70).right(20).top(60).bottom(60))
        .height(600)
}

fn text(project: &Project, title: &str, columns: &[Column], models: &[&String]) -> String {
    let mut text = title.to_string();
    for (name, intervals) in columns {
        let _ = write!(text, "\n{}:", plain(name));
        for model in models {
            if let Some(interval) = intervals.get(*model) {
                let _ = write!(text, " {} {};", plain(&model_name(project, model)), decimal(interval));
            }
        }
    }
    text
}

/// The study's ranking of models by the adjusted Rand index of k-means after UMAP: ranks down, data sets and splits
/// across in the study's order, and in each cell the model and its number. The study gives no interval.
///
/// # Errors
/// A published table that cannot be read.
pub fn published_ranking_table(project: &Project) -> Result<Table> {
    let results = published::results(project.root())?;
    let mut columns: Vec<(String, Vec<(String, f64)>)> = Vec::new();
    for result in results.into_iter().filter(|result| result.key.table == PublishedTable::Clustering) {
        let name = place(&result.key.dataset, &result.key.split);
        let entry = (result.key.model, result.value);
        match columns.iter().position(|(known, _)| *known == name) {
            Some(column) => columns[column].1.push(entry),
            None => columns.push((name, vec![entry])),
        }
    }
    for (_, entries) in &mut columns {
        // Equal numbers stay in the order of the file, which is the study's.
        entries.sort_by(|a, b| b.1.total_cmp(&a.1));
    }
    let n_ranks = columns.iter().map(|(_, entries)| entries.len()).max().unwrap_or(0);
    let mut header = vec!["rank".to_string()];
    header.extend(columns.iter().map(|(name, _)| name.clone()));
    let row = |rank: usize| {
        let cells = columns.iter().map(|(_, entries)| match entries.get(rank) {
            Some((model, value)) => Cell::from(format!("{model} {value:.3}")),
            None => Cell::from("–"),
        });
        std::iter::once(Cell::from((rank + 1).to_string())).chain(cells).collect()
    };
    Ok(Table {
        caption: "Adjusted Rand index of k-means after UMAP as the study published it (one run, no interval)".into(),
        header,
        rows: (0..n_ranks).map(row).collect(),
    })
}
