//! The runs whose models ship with the project.

use super::recipe::Recipe;
use crate::error::{Error, Result};
use crate::training::Curve;
use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use std::path::{Path, PathBuf};

/// Where the files of shipped models are, under the project's root.
pub(super) fn folder(root: &Path) -> PathBuf {
    crate::manifest::embedded_folder(root).join("pocket")
}

/// Every recipe with the curve of the run that made its shipped model, in the order of [`Recipe::all`]; recipes without a
/// shipped model are left out.
///
/// # Errors
/// A curve that cannot be read, by line.
pub fn shipped(root: &Path) -> Result<Vec<(Recipe, Curve)>> {
    let mut found = Vec::new();
    for recipe in Recipe::all() {
        let path = folder(root).join(format!("{}.csv", recipe.id));
        if path.exists() {
            let curve = Curve::open(&path)?;
            found.push((recipe, curve));
        }
    }
    Ok(found)
}

/// The shipped models as a table: what they cost and how they ended. Columns: `model`; `objective`; `parameters` of the
/// encoder, in thousands; `images drawn`; `10^12 multiply-adds` of training; `minutes` on the machine of the card;
/// `held-out kNN (%)`, `feature deviation` and `effective rank` at the end.
///
/// # Errors
/// As for [`shipped`].
pub fn summary(root: &Path) -> Result<DataFrame> {
    let (mut models, mut objectives, mut parameters, mut drawn) = (vec![], vec![], vec![], vec![]);
    let (mut cost, mut minutes, mut probes) = (vec![], vec![], [vec![], vec![], vec![]]);
    for (recipe, curve) in shipped(root)? {
        let last = curve.rows().last();
        let (images, seconds) = (last.map_or(0, |row| row.images), last.map_or(0.0, |row| row.seconds));
        let all = recipe.architecture()?.parameters();
        let n: usize = all.iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum();
        models.push(recipe.model);
        objectives.push(recipe.objective.name());
        parameters.push((n / 1000) as u32);
        drawn.push(images);
        cost.push((recipe.multiply_adds()? as f64 * images as f64 / 1e12).round());
        minutes.push((seconds / 60.0).round());
        let ends = [("knn_accuracy", 100.0), ("feature_deviation", 1.0), ("effective_rank", 1.0)];
        for ((metric, unit), of) in ends.into_iter().zip(&mut probes) {
            of.push(curve.line(metric).last().map(|(_, value)| (unit * value * 100.0).round() / 100.0));
        }
    }
    let [knn, deviation, rank] = probes;
    let columns: Vec<Column> = vec![
        Series::new("model".into(), models).into(),
        Series::new("objective".into(), objectives).into(),
        Series::new("parameters (thousands)".into(), parameters).into(),
        Series::new("images drawn".into(), drawn).into(),
        Series::new("10^12 multiply-adds".into(), cost).into(),
        Series::new("minutes".into(), minutes).into(),
        Series::new("held-out kNN (%)".into(), knn).into(),
        Series::new("feature deviation".into(), deviation).into(),
        Series::new("effective rank".into(), rank).into(),
    ];
    let height = columns[0].len();
    DataFrame::new(height, columns).map_err(Error::table("the shipped pocket models"))
}
