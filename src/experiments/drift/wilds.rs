//! Drift as WILDS measures it: a probe's predictions for every official split of a data set, scored as WILDS' evaluation
//! scores them, with intervals, and as files that it reads.
//!
//! The rows of [`crate::experiments::representations`] hold the study's metrics on the in-distribution and the drifted test. Here all
//! official splits are asked, validation too, and what WILDS ranks by is told beside the rest.

use crate::error::{Error, Result};
use crate::experiments::Encoded;
use crate::manifest::Method;
use crate::metrics::{WildsAnswers, WildsIntervals, WildsScores, wilds_bootstrap, wilds_scores};
use crate::results::write_wilds_predictions;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What is drawn together in an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Every image by itself.
    Image,
    /// The images of a group: a sequence of a camera trap.
    Group,
    /// The images of a domain: a camera, a region.
    Domain,
}

/// What was said of the images of one official split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfficialPredictions {
    /// Name of the split.
    pub split: String,
    /// Seed of the training images.
    pub seed: u64,
    /// Its images that could be used, as positions in the feature table.
    pub positions: Vec<usize>,
    /// Their predicted classes.
    pub predicted: Vec<u32>,
    /// What a reader must know of the fit; empty where there is nothing.
    pub warning: String,
}

/// Fits one probe on the training images of a budget and a seed, and predicts every official split but the pool, in the order of
/// their names: `id_test`, `id_val`, `test` and `val` of WILDS' sets.
///
/// # Errors
/// A data set without official splits; a method that asks by words, or that learns from validation images too; what
/// [`Encoded::parts`] and [`Encoded::predict`] give.
pub fn predict(encoded: &Encoded, method: Method, budget: usize, seed: u64) -> Result<Vec<OfficialPredictions>> {
    if method == Method::LrSweep {
        let expected = "one that learns from the training images alone: the validation images are predicted too";
        return Err(Error::argument("method", expected, method.as_str()));
    }
    let parts = encoded.parts(budget, seed)?;
    let splits = splits(encoded)?;
    let positions = splits.iter().map(|split| encoded.positions(split)).collect::<Result<Vec<_>>>()?;
    let fitted = encoded.fit(method, &parts)?;
    let predicted =
        positions.iter().map(|positions| encoded.classify(&fitted, positions)).collect::<Result<Vec<_>>>()?;
    let of_split = |((split, positions), predicted): ((&str, _), _)| OfficialPredictions {
        split: split.into(),
        seed,
        positions,
        predicted,
        warning: fitted.warning.clone(),
    };
    Ok(splits.into_iter().zip(positions).zip(predicted).map(of_split).collect())
}

/// The official splits of which nothing is drawn to learn from; images of no split belong to none.
fn splits(encoded: &Encoded) -> Result<Vec<&str>> {
    let found: BTreeSet<&str> = encoded.set.parts.iter().flatten().map(String::as_str).collect();
    let found: Vec<&str> =
        found.into_iter().filter(|part| ![encoded.dataset.split.pool.as_str(), "none", ""].contains(part)).collect();
    match found.is_empty() {
        true => {
            Err(Error::argument("data set", "official splits beside the pool", format!("none in {}", encoded.set.id)))
        }
        false => Ok(found),
    }
}

impl OfficialPredictions {
    /// The scores that WILDS' evaluation gives; by domain and year where the data have them.
    ///
    /// # Errors
    /// No image; times that are no dates.
    pub fn scores(&self, encoded: &Encoded) -> Result<WildsScores> {
        self.answered(encoded, wilds_scores)
    }

    /// Their 95% intervals by [`wilds_bootstrap`].
    ///
    /// # Errors
    /// As for [`OfficialPredictions::scores`]; a unit that the data do not have; fewer than 40 resamples.
    pub fn intervals(&self, encoded: &Encoded, unit: Unit, n_resamples: usize, seed: u64) -> Result<WildsIntervals> {
        let rows = self.positions.iter().map(|&i| encoded.features.rows[i]);
        let column = match unit {
            Unit::Image => None,
            Unit::Group => Some(("groups", &encoded.set.groups)),
            Unit::Domain => Some(("domains", &encoded.set.domains)),
        };
        let units: Vec<String> = match column {
            None => rows.map(|row| row.to_string()).collect(),
            Some((_, Some(column))) => rows.map(|row| column[row].clone()).collect(),
            Some((what, None)) => {
                let expected = format!("a data set with {what}");
                return Err(Error::argument("unit", expected, format!("{} without", encoded.set.id)));
            }
        };
        self.answered(encoded, |answers| wilds_bootstrap(answers, &units, n_resamples, seed))
    }

    /// Writes them below `folder` as WILDS' evaluation reads them ([`write_wilds_predictions`]) and gives the path.
    ///
    /// # Errors
    /// As for [`write_wilds_predictions`]: an image that was set aside, or is left out by a suite's `max_images`, leaves the
    /// split without a file.
    pub fn write(&self, encoded: &Encoded, folder: &Path) -> Result<PathBuf> {
        let rows = self.positions.iter().map(|&i| encoded.features.rows[i]);
        let predicted: Vec<(usize, u32)> = rows.zip(self.predicted.iter().copied()).collect();
        let of = (&encoded.set, &encoded.dataset);
        write_wilds_predictions(folder, of, (&self.split, self.seed), &predicted, &encoded.features.set_aside)
    }

    fn answered<T>(&self, encoded: &Encoded, ask: impl FnOnce(&WildsAnswers) -> Result<T>) -> Result<T> {
        let set = &encoded.set;
        let rows: Vec<usize> = self.positions.iter().map(|&i| encoded.features.rows[i]).collect();
        let domains: Option<Vec<&str>> =
            set.domains.as_ref().map(|domains| rows.iter().map(|&row| domains[row].as_str()).collect());
        let years: Option<Vec<u32>> = set.years()?.map(|years| rows.iter().map(|&row| years[row]).collect());
        ask(&WildsAnswers {
            predicted: &self.predicted,
            truth: &encoded.labels_at(&self.positions),
            n_classes: set.classes.len(),
            domains: domains.as_deref(),
            years: years.as_deref(),
        })
    }
}
