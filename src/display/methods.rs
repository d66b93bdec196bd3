//! Models and methods of one part of a data set at one number of labels, and what near-copies add.

use super::answer::method_words;
use super::dots::{Dot, Dots};
use super::selection::{Selection, by_seed, fitted, is_open, model_name, paired, percent, percent_ends, told_apart};
use super::text::MOST_OF_NAME;
use super::{Cell, Chart, Series, Style, Table, look, shorten};
use crate::error::Result;
use crate::experiments::test_name;
use crate::metrics::{Interval, mean_t_interval};
use crate::project::Project;
use crate::results::ResultRow;
use std::collections::{BTreeMap, BTreeSet};

/// The study's two probes.
const PROBES: [&str; 2] = ["lr", "knn"];
/// Models whose leakage a chart shows, and the controls.
const SHOWN: usize = 5;

/// Every model at one label budget: filled for logistic regression, open for nearest neighbours, with 95% t-intervals over seeds.
/// `=` behind a name: it cannot be told apart from the best of all, paired over seeds.
///
/// # Errors
/// A data set that cannot be opened; a value that is not finite.
pub fn methods_chart(project: &Project, rows: &[ResultRow], dataset: &str, split: &str, budget: u32) -> Result<Chart> {
    let selection = Selection::new(rows, dataset, split, "accuracy", false);
    let seeds = by_seed(selection.rows());
    let at: Vec<(&String, &String, &BTreeMap<u64, f64>)> = seeds
        .iter()
        .filter(|((_, method, of), _)| *of == Some(budget) && PROBES.contains(&method.as_str()))
        .map(|((model, method, _), values)| (model, method, values))
        .collect();
    let mean = |values: &BTreeMap<u64, f64>| values.values().sum::<f64>() / values.len().max(1) as f64;
    // The first of equals.
    let best = at.iter().reduce(|a, b| if mean(b.2) > mean(a.2) { b } else { a });
    let mut models: BTreeMap<&String, Vec<(Dot, bool)>> = BTreeMap::new();
    for (model, method, values) in &at {
        let all: Vec<f64> = values.values().copied().collect();
        let interval = mean_t_interval(&all, 0.95)?;
        let open = match best {
            Some(best) if (best.0, best.1) != (*model, *method) => {
                paired(best.2, values)?.is_none_or(|difference| is_open(&difference))
            }
            _ => false,
        };
        let dot = Dot {
            series: method_words(method),
            at: 100.0 * interval.mean,
            interval: percent_ends(&interval),
            look: look(project, model),
            open: *method != "lr",
            words: format!("{} {}", method_words(method), percent(&interval)),
        };
        models.entry(model).or_default().push((dot, open));
    }
    let mut rows_of: Vec<(String, Vec<Dot>, f64)> = models
        .into_iter()
        .map(|(model, dots)| {
            let most = dots.iter().map(|(dot, _)| dot.at).fold(f64::MIN, f64::max);
            let same = if dots.iter().any(|(_, open)| *open) { " =" } else { "" };
            // The name is cut, never the mark behind it.
            let name = shorten(&model_name(project, model), MOST_OF_NAME - 2);
            (format!("{name}{same}"), dots.into_iter().map(|(dot, _)| dot).collect(), most)
        })
        .collect();
    rows_of.sort_by(|a, b| b.2.total_cmp(&a.2));
    let labels = fitted(project, rows, dataset)?.get(&budget).copied().unwrap_or_default();
    let n_seeds = at.iter().map(|(_, _, values)| values.len()).max().unwrap_or(0);
    Ok(Dots {
        title: format!("{dataset}, {split}: {labels:.0} training images per class (budget {budget})"),
        x: format!(
            "accuracy (%) [95% over {n_seeds} seeds]; filled: logistic regression, open: nearest neighbours; =: not told apart from the best"
        ),
        rows: rows_of.into_iter().map(|(name, dots, _)| (name, dots)).collect(),
        ..Dots::default()
    }
    .chart())
}

/// In how many models nearest neighbours are ahead of logistic regression, by data set, part and training images per class: clearly
/// ahead, ahead, of all; clearly behind. Clear is at 95%, paired over seeds.
///
/// # Errors
/// A data set that cannot be opened; a value that is not finite.
pub fn neighbours_ahead_table(project: &Project, rows: &[ResultRow]) -> Result<Table> {
    let places: BTreeSet<(&str, &str)> = rows
        .iter()
        .filter(|row| row.metric == "accuracy" && row.n_train > 0)
        .map(|row| (row.cell.dataset.as_str(), row.split.as_str()))
        .collect();
    let mut table = Table {
        caption:
            "For how many models nearest neighbours are above logistic regression (clearly: 95%, paired over seeds)"
                .into(),
        header: ["data set", "part", "training images per class", "kNN above", "clearly", "LR clearly above", "models"]
            .map(String::from)
            .to_vec(),
        rows: Vec::new(),
    };
    for (dataset, split) in places {
        let selection = Selection::new(rows, dataset, split, "accuracy", false);
        let seeds = by_seed(selection.rows());
        let fitted = fitted(project, rows, dataset)?;
        let mut told: Vec<u64> = Vec::new();
        for (budget, labels) in fitted {
            // Budgets that draw the same images say the same.
            if told.contains(&(10.0 * labels).round().to_bits()) {
                continue;
            }
            told.push((10.0 * labels).round().to_bits());
            let (mut of, mut above, mut clear, mut behind) = (0, 0, 0, 0);
            for ((model, method, at), knn) in &seeds {
                if *at != Some(budget) || method != "knn" {
                    continue;
                }
                let Some(lr) = seeds.get(&(model.clone(), "lr".into(), *at)) else { continue };
                let Some(difference) = paired(knn, lr)? else { continue };
                of += 1;
                above += usize::from(difference.mean > 0.0);
                clear += usize::from(!is_open(&difference) && difference.mean > 0.0);
                behind += usize::from(!is_open(&difference) && difference.mean < 0.0);
            }
            let counts = [above, clear, behind, of].map(|count| Cell::from(count.to_string()));
            let place = [dataset.to_string(), split.to_string(), format!("{labels:.0}")].map(Cell::from);
            table.rows.push(place.into_iter().chain(counts).collect());
        }
    }
    Ok(table)
}

/// What near-copies in train and test add to the accuracy of logistic regression, in points, against training images per class: the
/// models that gain most with the most labels, and the controls. Intervals are paired over seeds.
///
/// # Errors
/// A data set that cannot be opened; a value that is not finite.
pub fn leakage_chart(project: &Project, rows: &[ResultRow], dataset: &str) -> Result<Chart> {
    let split = test_name(project.manifests.dataset(dataset)?);
    let (ignored, apart) = (
        Selection::new(rows, dataset, split, "accuracy", true),
        Selection::new(rows, dataset, split, "accuracy", false),
    );
    let (ignored, apart) = (by_seed(ignored.rows()), by_seed(apart.rows()));
    let fitted = fitted(project, rows, dataset)?;
    let mut lines: BTreeMap<&String, Vec<(f64, Interval)>> = BTreeMap::new();
    for (key, values) in ignored.iter().filter(|((_, method, _), _)| method == "lr") {
        let Some(labels) = key.2.and_then(|budget| fitted.get(&budget)) else { continue };
        let Some(other) = apart.get(key) else { continue };
        let Some(gain) = paired(values, other)? else { continue };
        let labels = (10.0 * labels).round() / 10.0;
        let line = lines.entry(&key.0).or_default();
        if line.iter().all(|(known, _)| *known != labels) {
            line.push((labels, gain));
        }
    }
    let last = |line: &[(f64, Interval)]| line.last().map_or(f64::MIN, |(_, gain)| gain.mean);
    let mut order: Vec<(&String, Vec<(f64, Interval)>)> = lines.into_iter().collect();
    order.sort_by(|a, b| last(&b.1).total_cmp(&last(&a.1)));
    let is_control = |model: &str| model.ends_with(".raw") || model.ends_with(".random");
    let chosen = order.iter().enumerate().filter(|(i, (model, _))| *i < SHOWN || is_control(model));
    let line = |(_, (model, line)): (usize, &(&String, Vec<(f64, Interval)>))| {
        let series = Series {
            name: model_name(project, model),
            look: look(project, model),
            x: line.iter().map(|(labels, _)| *labels).collect(),
            y: line.iter().map(|(_, gain)| 100.0 * gain.mean).collect(),
            interval: line.iter().map(|(_, gain)| percent_ends(gain)).collect(),
        };
        ((*model).clone(), series)
    };
    let series = told_apart(chosen.map(line).collect());
    let mut ticks: Vec<f64> = series.iter().flat_map(|line| line.x.iter().copied()).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    let style = Style {
        title: format!("{dataset}: what near-copies add to logistic regression"),
        x: "training images per class (logarithmic)".into(),
        y: "points of accuracy added [95% over seeds, paired]".into(),
        log_x: true,
        x_names: ticks.iter().map(|labels| format!("{labels:.0}")).collect(),
        x_ticks: ticks,
    };
    Ok(Chart::lines(&style, &series))
}

/// What UMAP before k-means adds to the adjusted Rand index, model by model, on one part of a data set: mean over seeds with its
/// 95% t-interval, filled where the interval leaves out 0.
///
/// # Errors
/// A value that is not finite.
pub fn umap_chart(project: &Project, rows: &[ResultRow], dataset: &str, split: &str) -> Result<Chart> {
    let mut gains = umap_gains(rows)?;
    gains.retain(|(place, _, _)| *place == (dataset.to_string(), split.to_string()));
    gains.sort_by(|a, b| b.2.mean.total_cmp(&a.2.mean));
    let row = |(_, model, gain): &((String, String), String, Interval)| {
        let ends = gain.low.zip(gain.high);
        let words = match ends {
            Some((low, high)) => format!("{:+.3} [{low:+.3}, {high:+.3}]", gain.mean),
            None => format!("{:+.3}", gain.mean),
        };
        let look = look(project, model);
        let dot = Dot { series: String::new(), at: gain.mean, interval: ends, look, open: is_open(gain), words };
        (model_name(project, model), vec![dot])
    };
    Ok(Dots {
        title: format!("{dataset}, {split}: adjusted Rand index with UMAP minus without"),
        x: "difference of the adjusted Rand index [95% over seeds, paired]; open: not told apart from 0".into(),
        rows: gains.iter().map(row).collect(),
        ..Dots::default()
    }
    .chart())
}

/// A place, a model, and what UMAP adds there.
type UmapGain = ((String, String), String, Interval);

fn umap_gains(rows: &[ResultRow]) -> Result<Vec<UmapGain>> {
    let mut values: BTreeMap<(String, String, String), BTreeMap<&str, BTreeMap<u64, f64>>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.metric == "ari") {
        let key = (row.cell.dataset.clone(), row.split.clone(), row.cell.model.clone());
        if let Some(value) = row.value {
            values.entry(key).or_default().entry(&row.cell.method).or_default().insert(row.cell.seed, value);
        }
    }
    let mut gains = Vec::new();
    for ((dataset, split, model), methods) in values {
        let (Some(with), Some(without)) = (methods.get("umap_kmeans"), methods.get("kmeans")) else { continue };
        if let Some(gain) = paired(with, without)? {
            gains.push(((dataset, split), model, gain));
        }
    }
    Ok(gains)
}

/// In how many models UMAP clearly adds to the adjusted Rand index, and clearly takes from it, by data set and part (95%, paired over
/// seeds).
///
/// # Errors
/// A value that is not finite.
pub fn umap_table(rows: &[ResultRow]) -> Result<Table> {
    let mut places: BTreeMap<(String, String), (usize, usize, usize, f64, f64)> = BTreeMap::new();
    for (place, _, gain) in umap_gains(rows)? {
        let (of, adds, takes, least, most) = places.entry(place).or_insert((0, 0, 0, f64::MAX, f64::MIN));
        *of += 1;
        *adds += usize::from(!is_open(&gain) && gain.mean > 0.0);
        *takes += usize::from(!is_open(&gain) && gain.mean < 0.0);
        *least = least.min(gain.mean);
        *most = most.max(gain.mean);
    }
    type Counts = (usize, usize, usize, f64, f64);
    let row = |((dataset, split), (of, adds, takes, least, most)): ((String, String), Counts)| {
        let counts = [adds, takes, of].map(|count| count.to_string());
        let ends = [least, most].map(|gain| format!("{gain:+.3}"));
        [dataset, split].into_iter().chain(counts).chain(ends).map(Cell::from).collect()
    };
    Ok(Table {
        caption:
            "UMAP before k-means: models whose adjusted Rand index it clearly raises or lowers (95%, paired over seeds)"
                .into(),
        header: ["data set", "part", "raises", "lowers", "models", "smallest", "largest"].map(String::from).to_vec(),
        rows: places.into_iter().map(row).collect(),
    })
}
