//! Accuracy by number of labels, and what more of them would bring.

use super::folds::Folds;
use super::probe::{Probe, best};
use super::{Arm, Compared, Own};
use crate::error::Result;
use crate::metrics::{CurveForecast, Forecast, Gain, Measured, TestImages};
use crate::progress::{Progress, thousands};
use crate::random::Random;
use ndarray::{Array2, Axis};
use std::collections::BTreeMap;

/// Parts of the training images that are learned from, of which each holds the one before.
const SHARES: [f64; 5] = [1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0, 1.0 / 2.0, 1.0];
/// Repeats, each with folds and draws of its own.
const REPEATS: usize = 5;
/// Images a class that are learned from at least, on average.
const LEAST: f64 = 2.0;

/// Accuracy with one number of labels.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvePoint {
    /// Images that were learned from, the mean over folds.
    pub train: f64,
    /// Accuracy on all measured images, by repeat.
    pub accuracy: Vec<f64>,
}

/// A learning curve of one arm.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Points by number of images, ascending.
    pub points: Vec<CurvePoint>,
    /// Images that are measured.
    pub images: usize,
    /// Groups that these belong to.
    pub groups: usize,
    /// Classes with a label.
    pub classes: usize,
    /// Images that a classifier on all labels learns from: those of the folder.
    pub all: usize,
    /// What more labels are expected to bring, the nearest first; empty where the curve has too few points.
    pub ahead: Vec<Ahead>,
}

/// What more labels are expected to bring.
#[derive(Debug, Clone, PartialEq)]
pub struct Ahead {
    /// In words.
    pub what: String,
    /// Images that are learned from then.
    pub train: f64,
    /// The accuracy then.
    pub forecast: Forecast,
    /// What it gains over all labels there are.
    pub gain: Gain,
}

/// Labels a class whose worth is told.
const NEXT: f64 = 50.0;

impl Own {
    /// Learns from a sixteenth to all of the training images of each fold and measures on the fold, five times over.
    ///
    /// # Errors
    /// What the probe says.
    pub fn curve(&self, compared: &Compared, arm: &Arm) -> Result<Curve> {
        let features = compared.features(&arm.model)?;
        let classes = compared.labels.iter().collect::<std::collections::BTreeSet<_>>().len();
        let learned = compared.rows.len() as f64 * 0.8;
        let shares: Vec<f64> = SHARES.into_iter().filter(|share| share * learned >= LEAST * classes as f64).collect();
        let shares = if shares.is_empty() { vec![1.0] } else { shares };
        // A fit takes about as long as it has images to learn from.
        let progress = Progress::weighted("learning curve", shares.iter().sum::<f64>() * REPEATS as f64);
        let mut points: Vec<CurvePoint> = vec![CurvePoint { train: 0.0, accuracy: Vec::new() }; shares.len()];
        for repeat in 0..REPEATS {
            let folds = self.folds_of(compared, repeat)?;
            for (point, &share) in points.iter_mut().zip(&shares) {
                let (train, accuracy) = self.point(compared, arm, &features, &folds, share, repeat)?;
                point.train += train / REPEATS as f64;
                point.accuracy.push(accuracy);
                progress.add(1, "fits", share);
            }
        }
        progress.finish();
        let groups: std::collections::BTreeSet<u32> =
            compared.units.iter().zip(&compared.measured).filter(|(_, m)| **m).map(|(unit, _)| *unit).collect();
        let mut curve = Curve {
            points,
            images: compared.n_measured(),
            groups: groups.len(),
            classes,
            all: compared.rows.len(),
            ahead: Vec::new(),
        };
        curve.ahead = curve.look_ahead(self.request.seed)?;
        Ok(curve)
    }

    /// The folds of a repeat: those of the comparison, and further ones.
    fn folds_of(&self, compared: &Compared, repeat: usize) -> Result<Vec<usize>> {
        if let Some(folds) = compared.folds.get(repeat) {
            return Ok(folds.clone());
        }
        let n = Folds::new(&compared.folds[0]).len();
        let seed = self.request.seed.wrapping_add(repeat as u64);
        crate::soundness::group_folds(&compared.labels, &compared.units, compared.n_classes, n, seed)
    }

    /// Training images of a fold, on average, and accuracy over all folds.
    fn point(
        &self,
        compared: &Compared,
        arm: &Arm,
        features: &Array2<f32>,
        folds: &[usize],
        share: f64,
        repeat: usize,
    ) -> Result<(f64, f64)> {
        let seed = self.request.seed.wrapping_add(repeat as u64);
        let parts = Folds::new(folds).each(features.len(), |fold, others, held| {
            let held: Vec<usize> = held.iter().copied().filter(|&at| compared.measured[at]).collect();
            let drawn = part_of(compared, others, share, seed, fold as u64);
            let labels = drawn.iter().map(|&at| compared.labels[at]).collect();
            let probe = Probe::fit(arm.method, features.select(Axis(0), &drawn), labels, compared.n_classes)?;
            let said = match held.is_empty() {
                true => Vec::new(),
                false => best(&probe.scores(features.select(Axis(0), &held).view())?),
            };
            let right = held.iter().zip(said).filter(|(at, class)| compared.labels[**at] == *class).count();
            Ok((drawn.len(), right, held.len()))
        })?;
        let sum = parts.iter().fold((0, 0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1, sum.2 + part.2));
        Ok((sum.0 as f64 / parts.len().max(1) as f64, sum.1 as f64 / sum.2.max(1) as f64))
    }
}

impl Curve {
    /// The forecasts: all labels there are, 50 more per class, twice as many. None from fewer than three points, or where every
    /// point is the same share of a small folder.
    fn look_ahead(&self, seed: u64) -> Result<Vec<Ahead>> {
        let measured: Vec<Measured> = self
            .points
            .iter()
            .map(|point| Measured { size: point.train, accuracies: point.accuracy.clone() })
            .collect();
        if measured.len() < 3 || measured[measured.len() - 1].size < 2.0 * measured[0].size {
            return Ok(Vec::new());
        }
        let fitted = CurveForecast::new(&measured, TestImages { each: self.groups, distinct: self.groups }, seed)?;
        let all = self.all as f64;
        let next = all + NEXT * self.classes as f64;
        let mut asked = vec![(format!("all labels there are ({})", thousands(self.all)), all)];
        asked.push((format!("the next 50 per class (+{})", thousands((NEXT * self.classes as f64) as usize)), next));
        asked.push((format!("twice as many ({})", thousands(2 * self.all)), 2.0 * all));
        asked.sort_by(|a, b| a.1.total_cmp(&b.1));
        let ahead = |(what, train): (String, f64)| {
            Ok(Ahead { what, train, forecast: fitted.at(train)?, gain: fitted.gain(all, train)? })
        };
        asked.into_iter().map(ahead).collect()
    }
}

/// A share of the images `at`, class by class, at least one of each class; a larger share holds a smaller one.
fn part_of(compared: &Compared, at: &[usize], share: f64, seed: u64, fold: u64) -> Vec<usize> {
    let mut of_class: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    at.iter().for_each(|&at| of_class.entry(compared.labels[at]).or_default().push(at));
    let mut drawn = Vec::new();
    for (class, mut images) in of_class {
        Random::new("part of a curve", seed, fold << 32 | u64::from(class)).shuffle(&mut images);
        let n = ((images.len() as f64 * share).round() as usize).clamp(1, images.len());
        drawn.extend(images.into_iter().take(n));
    }
    drawn.sort_unstable();
    drawn
}
