//! What a classifier said of each image: whole, with probabilities, for this machine; and in one bit per image, right or wrong,
//! which ships with the rows and is all that a paired test needs.

use super::table::{Columns, write_frame};
use crate::error::{Error, Result};
use crate::storage;
use ndarray::Array2;
use polars::prelude::*;
use std::path::Path;

/// Which images of a part a classifier had right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Right {
    /// Key of the cell.
    pub key: String,
    /// `test`, `id` or `ood`.
    pub split: String,
    /// Which weights said so: `last`, `best`, `alpha 0.5`; `lr` for the logistic regression on the same split.
    pub weights: String,
    /// For each image of the part, in the order of the data set.
    pub right: Vec<bool>,
}

/// Probabilities of one part of a data set under one state of a classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// `val`, `test`, `id` or `ood`.
    pub split: String,
    /// Which weights said so.
    pub weights: String,
    /// Rows of the data set.
    pub images: Vec<u32>,
    /// Surprise `-ln p` of each class (N, K), in nats.
    pub surprise: Array2<f32>,
}

/// Thousandths of a nat are kept, up to 65.535.
const PARTS: f32 = 1000.0;

impl Predicted {
    /// From class scores before softmax (N, K).
    pub fn from_logits(split: &str, weights: &str, images: Vec<u32>, logits: &Array2<f32>) -> Predicted {
        let mut surprise = logits.clone();
        for mut row in surprise.rows_mut() {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|&value| f64::from(value - largest).exp()).sum();
            row.mapv_inplace(|value| (sum.ln() - f64::from(value - largest)) as f32);
        }
        Predicted { split: split.into(), weights: weights.into(), images, surprise }
    }

    /// The class with the highest probability of each image, the first of equal ones.
    pub fn classes(&self) -> Vec<u32> {
        let best = |row: ndarray::ArrayView1<f32>| {
            row.iter().enumerate().fold(0, |best, (class, surprise)| if *surprise < row[best] { class } else { best })
        };
        self.surprise.rows().into_iter().map(|row| best(row) as u32).collect()
    }
}

/// Writes what was said in one run, whole or not at all: a row per image, with a column per class that holds `-ln p` in
/// thousandths of a nat.
///
/// # Errors
/// A file that cannot be written; parts with other numbers of classes.
pub fn write_predictions(path: &Path, predicted: &[Predicted]) -> Result<()> {
    let classes = predicted.first().map_or(0, |part| part.surprise.ncols());
    if let Some(other) = predicted.iter().find(|part| part.surprise.ncols() != classes) {
        return Err(Error::argument("predictions", format!("{classes} classes"), other.surprise.ncols().to_string()));
    }
    let repeated = |of: fn(&Predicted) -> &str| -> Vec<&str> {
        predicted.iter().flat_map(|part| std::iter::repeat_n(of(part), part.images.len())).collect()
    };
    let mut columns = vec![
        Column::new("split".into(), repeated(|part| &part.split)),
        Column::new("weights".into(), repeated(|part| &part.weights)),
        Column::new("image".into(), predicted.iter().flat_map(|part| part.images.clone()).collect::<Vec<u32>>()),
    ];
    for class in 0..classes {
        let surprise = predicted.iter().flat_map(|part| part.surprise.column(class).to_vec());
        let kept: Vec<u32> = surprise.map(|nats| (nats * PARTS).round().clamp(0.0, 65_535.0) as u32).collect();
        columns.push(Column::new(format!("class_{class}").into(), kept));
    }
    // Nobody locks this folder, as every run has a file of its own: what kills left is looked for here.
    path.parent().into_iter().for_each(storage::sweep_left_behind);
    write_frame(path, DataFrame::new_infer_height(columns).map_err(Error::table(path.display().to_string()))?)
}

/// Reads them back, part by part in the order in which they were written.
///
/// # Errors
/// A file that is no Parquet or lacks a column, named.
pub fn read_predictions(path: &Path) -> Result<Vec<Predicted>> {
    let columns = Columns::read(path)?;
    let (splits, weights, images) = (columns.text("split")?, columns.text("weights")?, columns.count("image")?);
    let classes = columns.names().filter(|name| name.starts_with("class_")).count();
    let surprises = (0..classes).map(|class| columns.count(&format!("class_{class}"))).collect::<Result<Vec<_>>>()?;
    let mut found: Vec<(String, String, Vec<u32>, Vec<f32>)> = Vec::new();
    for row in 0..columns.height() {
        if found.last().is_none_or(|(split, state, _, _)| (split, state) != (&splits[row], &weights[row])) {
            found.push((splits[row].clone(), weights[row].clone(), Vec::new(), Vec::new()));
        }
        if let Some((_, _, kept, values)) = found.last_mut() {
            kept.push(images[row]);
            values.extend(surprises.iter().map(|column| column[row] as f32 / PARTS));
        }
    }
    let part = |(split, weights, images, values): (String, String, Vec<u32>, Vec<f32>)| {
        let surprise = Array2::from_shape_vec((images.len(), classes), values);
        let surprise = surprise.map_err(|error| Error::data(path, "a value per class and image", error.to_string()))?;
        Ok(Predicted { split, weights, images, surprise })
    };
    found.into_iter().map(part).collect()
}

/// Writes what was right as Parquet, whole or not at all: a row per part, with a text of a `1` for each image that was right and a
/// `0` for each that was not.
///
/// # Errors
/// A file that cannot be written.
pub(super) fn write_right(path: &Path, all: &[Right]) -> Result<()> {
    let text = |name: &str, of: fn(&Right) -> &str| Column::new(name.into(), all.iter().map(of).collect::<Vec<_>>());
    let digits = |part: &Right| part.right.iter().map(|right| if *right { '1' } else { '0' }).collect::<String>();
    let columns = vec![
        text("key", |part| &part.key),
        text("split", |part| &part.split),
        text("weights", |part| &part.weights),
        Column::new("right".into(), all.iter().map(digits).collect::<Vec<String>>()),
    ];
    write_frame(path, DataFrame::new_infer_height(columns).map_err(Error::table(path.display().to_string()))?)
}

/// Reads it back.
///
/// # Errors
/// A file that is no Parquet, lacks a column, named, or has another digit.
pub(super) fn read_right(path: &Path) -> Result<Vec<Right>> {
    let columns = Columns::read(path)?;
    let (keys, splits, weights) = (columns.text("key")?, columns.text("split")?, columns.text("weights")?);
    let digit = |digit: char| match digit {
        '1' => Ok(true),
        '0' => Ok(false),
        other => Err(Error::data(path, "a 1 or a 0 for each image", format!("{other:?}"))),
    };
    let places = keys.into_iter().zip(splits).zip(weights).zip(columns.text("right")?);
    let part = |(((key, split), weights), right): (((String, String), String), String)| {
        Ok(Right { key, split, weights, right: right.chars().map(digit).collect::<Result<_>>()? })
    };
    places.map(part).collect()
}
