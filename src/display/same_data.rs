//! The pocket models side by side: against their controls, by feature, among each other, beside the study's order.

use super::selection::{model_name, origin, paired, percent};
use super::{Cell, Gallery, Picture, Table};
use crate::datasets::ImageSet;
use crate::error::Result;
use crate::experiments::same_data::{
    Against, PIXELS, RELATIVES, STANDARDISED, attention_of, places_of_study, survival, survival_without, twin,
};
use crate::images;
use crate::metrics::{Interval, mean_t_interval};
use crate::models::LoadedModel;
use crate::project::Project;
use crate::published::audit::MASKED;
use crate::results::ResultRow;
use image::{Rgb, RgbImage};
use ndarray::Array2;
use std::collections::{BTreeMap, BTreeSet};

const LEVEL: f64 = 0.95;

/// Differences in accuracy, in points, of every model (rows) from its untrained twin and from raw pixels (columns) on one
/// data set, each part by itself; a difference that is above 0 after Holm is marked.
pub fn against_table(project: &Project, found: &[Against], dataset: &str) -> Table {
    let here = || found.iter().filter(|against| against.dataset == dataset);
    let kind = |against: &Against| if against.control == PIXELS { "raw pixels" } else { "untrained twin" };
    let mut columns: Vec<(&str, &str)> = Vec::new();
    let mut models: Vec<&str> = Vec::new();
    for against in here() {
        let column = (against.split.as_str(), kind(against));
        if !columns.contains(&column) {
            columns.push(column);
        }
        if !models.contains(&against.model.as_str()) {
            models.push(&against.model);
        }
    }
    columns.sort_by_key(|(split, control)| (*split == "ood", *control != "untrained twin"));
    let cell = |model: &str, column: &(&str, &str)| {
        let against =
            here().find(|against| against.model == model && (against.split.as_str(), kind(against)) == *column);
        against.map_or_else(
            || Cell::from("–"),
            |against| {
                let points = |fraction: f64| 100.0 * fraction;
                let paired = &against.paired;
                let (low, high) = (points(paired.low), points(paired.high));
                Cell {
                    text: format!("{:+.1} [{low:+.1}, {high:+.1}]", points(paired.difference)),
                    best: paired.difference > 0.0 && against.holm < 0.05,
                }
            },
        )
    };
    let mut header = vec!["model".to_string()];
    header.extend(columns.iter().map(|(split, control)| format!("{split}, minus {control}")));
    let row = |model: &&str| {
        let cells = columns.iter().map(|column| cell(model, column));
        std::iter::once(Cell::from(model_name(project, model))).chain(cells).collect()
    };
    Table {
        caption: format!(
            "{dataset}: difference in accuracy, points [95% paired bootstrap over what a split keeps together], 20 nearest \
             neighbours, all seeds; bold where it is above 0 after Holm over all differences of both data sets"
        ),
        header,
        rows: models.iter().map(row).collect(),
    }
}

const MEAN: &str = "mean (patch_mean, avg)";
const ALL: &str = "all (patches, pixels)";
const DEFAULT: &str = "default, standardised";
/// The columns of [`pooling_table`], from one token to all of them.
const COLUMNS: [&str; 7] = ["cls", MEAN, "token_mean", "cls_patch_mean", "grid_mean", ALL, DEFAULT];

/// The column that a feature stands in: one that no model has beside another of that column. Only a model's default feature is
/// standardised, so that one column is enough.
fn column_of(pooling: &str) -> &str {
    match pooling {
        _ if pooling.ends_with(STANDARDISED) => DEFAULT,
        "patch_mean" | "avg" => MEAN,
        "patches" | "pixels" => ALL,
        other => other,
    }
}

/// Accuracy of nearest neighbours by feature: one row a model, one column a feature, mean and 95% t-interval over seeds;
/// the best feature of each model is marked. Of `rows`, those of [`crate::experiments::same_data::run`] count.
///
/// # Errors
/// A value that is not finite.
pub fn pooling_table(project: &Project, rows: &[ResultRow], dataset: &str, split: &str) -> Result<Table> {
    let wanted = |row: &&ResultRow| row.cell.dataset == dataset && row.split == split && row.cell.method == "knn_dino";
    let mut values: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    let mut models: Vec<&str> = Vec::new();
    for row in rows.iter().filter(wanted) {
        values.entry((&row.cell.model, column_of(&row.cell.pooling))).or_default().extend(row.value);
        if !models.contains(&row.cell.model.as_str()) {
            models.push(&row.cell.model);
        }
    }
    let mut intervals: BTreeMap<(&str, &str), Interval> = BTreeMap::new();
    for (key, values) in &values {
        if !values.is_empty() {
            intervals.insert(*key, mean_t_interval(values, LEVEL)?);
        }
    }
    let behind: Vec<&ResultRow> = rows.iter().filter(wanted).collect();
    // Models in the order of their best feature, features from the one token to all of them.
    let best_of = |model: &str| {
        let of_model = intervals.iter().filter(|((of, _), _)| *of == model);
        of_model.map(|(_, interval)| interval.mean).fold(f64::NEG_INFINITY, f64::max)
    };
    models.sort_by(|a, b| best_of(b).total_cmp(&best_of(a)));
    let mut poolings: Vec<&str> =
        intervals.keys().map(|(_, pooling)| *pooling).collect::<BTreeSet<_>>().into_iter().collect();
    // What is not known stands last, by name.
    poolings.sort_by_key(|pooling| COLUMNS.iter().position(|column| column == pooling).unwrap_or(COLUMNS.len()));
    let mut table = Table {
        caption: format!(
            "{dataset}, {split}: accuracy in percent by feature, mean over seeds [95% t-interval]{}",
            origin(&behind)
        ),
        header: std::iter::once("model").chain(poolings.iter().copied()).map(String::from).collect(),
        rows: Vec::new(),
    };
    for model in models {
        let of = |pooling: &&str| intervals.get(&(model, *pooling)).copied();
        let best = poolings.iter().filter_map(of).map(|interval| interval.mean).fold(f64::NEG_INFINITY, f64::max);
        let cells = poolings.iter().map(|pooling| match of(pooling) {
            Some(interval) => Cell { text: percent(&interval), best: interval.mean == best },
            None => Cell::from("–"),
        });
        table.rows.push(std::iter::once(Cell::from(model_name(project, model))).chain(cells).collect());
    }
    Ok(table)
}

/// Every model that was trained here, its default feature standardised on the training images, against its untrained twin and raw
/// pixels that are treated alike: points of accuracy of 20 nearest neighbours, paired over seeds. Bold where the interval lies above 0;
/// seeds that differ all by the same have no interval.
///
/// # Errors
/// A value that is not finite; an architecture that is not known.
pub fn standardised_table(project: &Project, rows: &[ResultRow], dataset: &str) -> Result<Table> {
    let wanted = |row: &&ResultRow| {
        row.cell.dataset == dataset && row.cell.method == "knn_dino" && row.cell.pooling.ends_with(STANDARDISED)
    };
    let mut seeds: BTreeMap<(&str, &str), BTreeMap<u64, f64>> = BTreeMap::new();
    for row in rows.iter().filter(wanted) {
        if let Some(value) = row.value {
            seeds.entry((&row.cell.model, &row.split)).or_default().insert(row.cell.seed, value);
        }
    }
    let splits: BTreeSet<&str> = seeds.keys().map(|(_, split)| *split).collect();
    let mut table = Table {
        caption: format!(
            "{dataset}: difference in accuracy where both sides are standardised, points [95% t-interval, paired over seeds]; bold \
             where the interval lies above 0"
        ),
        header: vec!["model".into()],
        rows: Vec::new(),
    };
    for split in &splits {
        table.header.extend(["untrained twin", "raw pixels"].map(|control| format!("{split}, minus {control}")));
    }
    let mut lines: Vec<(f64, Vec<Cell>)> = Vec::new();
    for model in seeds.keys().map(|(model, _)| *model).collect::<BTreeSet<_>>() {
        let Some(twin) = twin(project, project.manifests.model(model)?)? else { continue };
        let mut cells = vec![Cell::from(model_name(project, model))];
        let mut first = f64::MIN;
        for split in &splits {
            for control in [twin.id.as_str(), PIXELS] {
                let both = seeds.get(&(model, *split)).zip(seeds.get(&(control, *split)));
                let difference = both.map(|(own, other)| paired(own, other)).transpose()?.flatten();
                if control == PIXELS && *split != "ood" {
                    first = difference.map_or(first, |difference| difference.mean);
                }
                cells.push(match difference.map(|difference| (difference, difference.low.zip(difference.high))) {
                    Some((difference, Some((low, high)))) => Cell {
                        text: format!("{:+.1} [{:+.1}, {:+.1}]", 100.0 * difference.mean, 100.0 * low, 100.0 * high),
                        best: low > 0.0,
                    },
                    Some((difference, None)) => Cell::from(format!("{:+.1}", 100.0 * difference.mean)),
                    None => Cell::from("–"),
                });
            }
        }
        lines.push((first, cells));
    }
    lines.sort_by(|a, b| b.0.total_cmp(&a.0));
    table.rows = lines.into_iter().map(|(_, cells)| cells).collect();
    Ok(table)
}

/// Mean ranks of the nine models over the study's data sets, and here on each data set and split of `rows` (nearest
/// neighbours under the default feature, mean over seeds); rank 1 is best.
///
/// # Errors
/// A published table that cannot be read.
pub fn relatives_table(project: &Project, rows: &[ResultRow]) -> Result<Table> {
    let study: Vec<Vec<f64>> = places_of_study(project)?.into_iter().map(|place| ranks(&place.scores)).collect();
    let places: BTreeSet<(&str, &str)> =
        rows.iter().map(|row| (row.cell.dataset.as_str(), row.split.as_str())).collect();
    let mut columns: Vec<(String, Vec<f64>)> = vec![("study, mean rank".into(), mean_of(&study))];
    for (dataset, split) in places {
        let mut scores = Vec::new();
        for (_, model) in RELATIVES {
            let default = project.manifests.model(model)?.features.default.as_str();
            let wanted = |row: &&ResultRow| {
                let cell = &row.cell;
                cell.model == model
                    && cell.pooling == default
                    && cell.method == "knn_dino"
                    && cell.dataset == dataset
                    && row.split == split
            };
            let values: Vec<f64> = rows.iter().filter(wanted).filter_map(|row| row.value).collect();
            if !values.is_empty() {
                scores.push(values.iter().sum::<f64>() / values.len() as f64);
            }
        }
        if scores.len() == RELATIVES.len() {
            columns.push((format!("{dataset}, {split}"), ranks(&scores)));
        }
    }
    let mut order: Vec<usize> = (0..RELATIVES.len()).collect();
    order.sort_by(|&a, &b| columns[0].1[a].total_cmp(&columns[0].1[b]));
    let mut header = vec!["study's model".to_string()];
    header.extend(columns.iter().map(|(name, _)| name.clone()));
    let row = |&i: &usize| {
        let digits = |column: usize| if column == 0 { 1 } else { 0 };
        let cells = columns.iter().enumerate().map(|(c, (_, ranks))| format!("{:.*}", digits(c), ranks[i]).into());
        std::iter::once(Cell::from(RELATIVES[i].0)).chain(cells).collect()
    };
    Ok(Table {
        caption: "Order of the nine models by nearest neighbours, 1 is best: the study's, and the pocket relatives'"
            .into(),
        header,
        rows: order.iter().map(row).collect(),
    })
}

/// How well orders of the nine models agree: the study's data sets with each other, and with each of ours.
///
/// # Errors
/// As for [`survival`].
pub fn survival_table(project: &Project, rows: &[ResultRow]) -> Result<Table> {
    let places: BTreeSet<(&str, &str)> =
        rows.iter().map(|row| (row.cell.dataset.as_str(), row.split.as_str())).collect();
    let line = |name: String, found: crate::experiments::same_data::Survival| {
        let text = format!("{:.2} [{:.2}, {:.2}]", found.mean, found.low, found.high);
        vec![Cell::from(name), text.into(), found.n_pairs.to_string().into()]
    };
    let mut table = Table {
        caption:
            "Spearman's rank correlation of nine models' accuracies, mean over pairs [95% bootstrap over data sets \
                  and seeds]"
                .into(),
        header: ["the study's data sets with", "rank correlation", "pairs"].map(String::from).to_vec(),
        rows: vec![line("each other".into(), survival(project, rows, None)?)],
    };
    for (dataset, split) in &places {
        table.rows.push(line(format!("{dataset}, {split}"), survival(project, rows, Some((dataset, split)))?));
    }
    // How much of it is the three at the end.
    let without = |ours| survival_without(project, rows, ours, &MASKED);
    table.rows.push(line("each other, without the masked three".into(), without(None)?));
    for (dataset, split) in &places {
        table
            .rows
            .push(line(format!("{dataset}, {split}, without the masked three"), without(Some((dataset, split)))?));
    }
    Ok(table)
}

/// Ranks from 1 for the highest score; equal scores share the mean of theirs.
fn ranks(scores: &[f64]) -> Vec<f64> {
    let rank = |score: &f64| {
        let above = scores.iter().filter(|other| *other > score).count();
        let equal = scores.iter().filter(|other| *other == score).count();
        above as f64 + (equal + 1) as f64 / 2.0
    };
    scores.iter().map(rank).collect()
}

fn mean_of(lists: &[Vec<f64>]) -> Vec<f64> {
    let n = lists.first().map_or(0, Vec::len);
    (0..n).map(|i| lists.iter().map(|list| list[i]).sum::<f64>() / lists.len() as f64).collect()
}

impl Gallery {
    /// For each of the images `rows` of `set`: the image, then under every model what its class token looks at in the
    /// last block (mean over heads; the strongest patch of an image is darkest). Models without attention are left out.
    ///
    /// # Errors
    /// An image that cannot be read or decoded; as for [`LoadedModel::attention_maps`].
    pub fn of_attention(models: &[LoadedModel], set: &ImageSet, rows: &[usize]) -> Result<Gallery> {
        let mut maps = Vec::new();
        for model in models {
            if let Some(found) = attention_of(model, set, rows)? {
                maps.push((model.record.name.as_str(), found));
            }
        }
        let mut gallery = Gallery {
            caption: "An image, then where the class token of each model looks in its last block: the darker, the more"
                .into(),
            rows: Vec::new(),
        };
        for (i, &row) in rows.iter().enumerate() {
            let picture = Picture::of(set, row)?;
            let title = set.classes[set.labels[row] as usize].clone();
            let bytes = set.read(row..row + 1)?.pop().unwrap_or_else(|| Ok(Vec::new()))?;
            let image = images::thumbnail(&set.decode_alone(row, &bytes)?, 64);
            let mut pictures = vec![picture];
            for (name, maps) in &maps {
                let png = images::encode_png(&shaded(&image, &maps[i]))?;
                pictures.push(Picture { png, label: (*name).into(), right: None });
            }
            gallery.rows.push((title, pictures));
        }
        Ok(gallery)
    }
}

/// The image, pale, under a veil of blue as dark as the map is strong there.
fn shaded(image: &RgbImage, map: &Array2<f32>) -> RgbImage {
    const PALE: f32 = 0.25;
    const BLUE: [f32; 3] = [0.0, 68.0, 140.0];
    let strongest = map.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    let (width, height) = image.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let place = |at: u32, of: u32| (at as usize * map.nrows() / of as usize).min(map.nrows() - 1);
        let veil = 0.9 * map[[place(y, height), place(x, width)]] / strongest;
        let channel = |c: usize| {
            let pale = 255.0 - PALE * (255.0 - f32::from(image.get_pixel(x, y).0[c]));
            (pale * (1.0 - veil) + BLUE[c] * veil).round() as u8
        };
        Rgb([channel(0), channel(1), channel(2)])
    })
}
