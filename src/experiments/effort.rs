//! About how long the parts of an experiment take, for the time that progress says is left.
//!
//! Seconds on two cores (AMD EPYC with AVX-512); only their proportions matter. Fitted to features, maps and clusters of
//! a few models of the embedded suite.

use super::{Encoding, predict};
use crate::error::Result;
use crate::manifest::{Method, ModelRecord};
use crate::models::{Architecture, ClipConfig};
use crate::results::Cell;
use crate::splits::study_counts;

/// Multiply-adds per second.
const PACE: f64 = 45e9;

/// One image through a model, resized first.
///
/// # Errors
/// An architecture that is not known.
pub(super) fn of_image(model: &ModelRecord) -> Result<f64> {
    let architecture = match ClipConfig::named(&model.architecture) {
        Some(config) => config.image,
        None => Architecture::named(&model.architecture)?,
    };
    let pixels = (model.input.size * model.input.size) as f64;
    Ok(architecture.multiply_adds(model.input.size) as f64 / PACE + 1e-4 + 5e-9 * pixels)
}

/// One fit and the predictions for the rest of the images under a feature of `dim` numbers.
pub(super) fn of_probe(method: Method, encoding: &Encoding, dim: usize, budget: usize) -> f64 {
    let (set, n) = (&encoding.set, encoding.n_images());
    let classes = set.classes.len();
    let smallest = set.class_counts().into_iter().min().unwrap_or(0) * n / set.len().max(1);
    let train = study_counts(budget, smallest.max(2)).map_or(1, |counts| counts.train.max(1)) * classes;
    predict::multiply_adds(method, train, n, dim, classes) / PACE + 2e-9 * (n * dim) as f64
}

/// One fit on nearly all of `n` images, and the predictions for the rest.
pub(crate) fn seconds_of_probe(method: Method, n: usize, dim: usize, classes: usize) -> f64 {
    predict::multiply_adds(method, n, n, dim, classes) / PACE
}

/// The same for a cell, by its method and budget; nothing for what is no probe.
pub(super) fn of_probe_cell(encoding: &Encoding, cell: &Cell, dim: usize) -> f64 {
    let budget = cell.budget.unwrap_or_default() as usize;
    Method::named(&cell.method).map_or(0.0, |method| of_probe(method, encoding, dim, budget))
}

/// The map of `n` images, and their clusters with and without it; of one seed.
pub(super) fn of_clusters(n: usize, dim: usize) -> f64 {
    let n = n as f64;
    // Neighbours and inner products, which all seeds share, are part of the last term.
    2.5e-4 * n + 1.5e-8 * n * n + 0.15 * n * n * dim as f64 / PACE
}
