//! Classes found by words alone, on every image there is.

use crate::error::Result;
use crate::experiments::{Encoding, Words};
use crate::manifest::Method;
use crate::metrics::{correct, group_bootstrap_accuracy};
use crate::project::Project;
use candle_core::Device;

const RESAMPLES: usize = 2000;

/// How often a way of asking finds the class.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// `zero_shot` or `zero_shot_ensemble`.
    pub method: Method,
    /// `all` images, those of known domains (`id`), those of held-out ones (`ood`).
    pub split: &'static str,
    /// Images.
    pub n: usize,
    /// Part of them whose class was found.
    pub accuracy: f64,
    /// Its 95% interval by the bootstrap; what a split keeps together is drawn together.
    pub interval: (f64, f64),
}

/// Asks `model` for the classes of `dataset` by [`Method::ZeroShot`] and [`Method::ZeroShotEnsemble`]. No image was
/// trained on, so all of the suite's images are asked about, and no seed draws any. Ways in which the model cannot be asked
/// are left out.
///
/// # Errors
/// Whatever loading and extraction give.
pub fn asked(project: &Project, dataset: &str, model: &str, device: &Device) -> Result<Vec<Asked>> {
    let methods = [Method::ZeroShot, Method::ZeroShotEnsemble];
    let encoding = Encoding::of(project, &project.images(dataset)?, model, device)?;
    let (encoded, words) = (encoding.encode(project, None)?, Words::open(project, &encoding, &methods, device)?);
    let all: Vec<usize> = (0..encoded.len()).collect();
    let (ood, id): (Vec<usize>, Vec<usize>) = all.iter().partition(|&&position| encoded.is_held_out(position));
    let mut found = Vec::new();
    for method in methods.into_iter().filter(|method| words.answers(*method).is_some()) {
        for (split, positions) in [("all", &all), ("id", &id), ("ood", &ood)] {
            if positions.is_empty() || (split == "id" && ood.is_empty()) {
                continue;
            }
            let right = correct(&words.ask(&encoded, method, positions)?, &encoded.labels_at(positions))?;
            let groups = encoded.units_at(positions);
            let found_in = group_bootstrap_accuracy(&groups, &right, RESAMPLES, 0)?;
            // Of a single group nothing can be said.
            let interval = (found_in.low.unwrap_or(0.0), found_in.high.unwrap_or(1.0));
            found.push(Asked { method, split, n: right.len(), accuracy: found_in.mean, interval });
        }
    }
    Ok(found)
}
