//! How long a part takes and how much memory: first by rates of the machine that this was written on, then by what was measured.
//!
//! Each part that is done says so in its file; [`super::gather`] keeps the sums in `rates.json` beside the results.

use super::super::{Encoding, effort};
use super::id::What;
use crate::error::{Error, Result};
use crate::models::Architecture;
use crate::project::Project;
use crate::storage::write_atomic;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a process needs before it computes: opening the data set, reading features, loading weights.
const BEFORE: f64 = 3.0;
/// Images in a forward pass, for each thread, and as bytes of what is in memory between layers for each pixel.
const IN_FLIGHT: f64 = 32.0 * 480.0;

/// What a part of the work took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Took {
    /// Seconds of the whole process.
    pub seconds: f64,
    /// Seconds that [`effort`] gives for it.
    pub effort: f64,
    /// The largest resident memory in MB; 0 where the system does not say.
    pub memory_mb: f64,
}

impl Took {
    fn and(self, other: Took) -> Took {
        Took {
            seconds: self.seconds + other.seconds,
            effort: self.effort + other.effort,
            memory_mb: self.memory_mb.max(other.memory_mb),
        }
    }
}

/// What parts took, by kind of work and model.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Rates(BTreeMap<String, BTreeMap<String, Took>>);

impl Rates {
    fn path(project: &Project) -> PathBuf {
        project.results_folder().join("rates.json")
    }

    /// Those that were kept; none where there is no file.
    pub fn read(project: &Project) -> Result<Rates> {
        let path = Rates::path(project);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| Error::data(&path, "rates as JSON; the file may be removed", error.to_string())),
            Err(_) => Ok(Rates::default()),
        }
    }

    pub fn write(&self, project: &Project) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        write_atomic(&Rates::path(project), &text)
    }

    pub fn add(&mut self, what: What, model: &str, took: Took) {
        let known = self.0.entry(what.as_str().into()).or_default().entry(model.into()).or_default();
        *known = known.and(took);
    }

    /// Of the model if it was seen, else of all models together; `None` where nothing was.
    fn of(&self, what: What, model: &str) -> Option<Took> {
        let of_kind = self.0.get(what.as_str())?;
        let all = of_kind.values().fold(Took::default(), |all, &took| all.and(took));
        let took = of_kind.get(model).copied().unwrap_or(Took { memory_mb: 0.0, ..all });
        (took.effort > 0.0).then_some(took)
    }

    /// Seconds of a part with so much effort, and whether that rests on measurements.
    pub fn seconds(&self, what: What, model: &str, effort: f64) -> (f64, bool) {
        match self.of(what, model) {
            Some(took) => ((took.seconds / took.effort * effort).max(BEFORE), true),
            None => (BEFORE + effort, false),
        }
    }

    /// MB of a part: a quarter more than was measured, or a bound from sizes.
    pub fn memory_mb(&self, what: What, encoding: &Encoding) -> u64 {
        let measured = self.of(what, &encoding.model.id).map_or(0.0, |took| took.memory_mb);
        let mb = if measured > 0.0 { 1.25 * measured } else { bound(what, encoding) };
        // In steps, so that plans of one day are alike.
        (mb / 100.0).ceil() as u64 * 100
    }
}

/// Seconds of an image through the model.
pub(super) fn of_image(encoding: &Encoding) -> f64 {
    effort::of_image(&encoding.model).unwrap_or(1e-3)
}

/// Whether a GPU helps: where a network of some size runs forwards or backwards.
pub(super) fn gpu(what: What, encoding: &Encoding) -> bool {
    let size = encoding.model.input.size;
    let is_network = Architecture::named(&encoding.model.architecture).map_or(true, |a| a.multiply_adds(size) > 0);
    matches!(what, What::Features | What::Finetune) && is_network
}

/// A bound on memory in MB, from the sizes of model, images and features.
fn bound(what: What, encoding: &Encoding) -> f64 {
    let pixels = (encoding.model.input.size * encoding.model.input.size) as f64;
    let weights = encoding.model.params.unwrap_or(100_000_000) as f64 * 4.0;
    let features = (encoding.n_images() * encoding.model.features.dim) as f64 * 4.0;
    let threads = rayon::current_num_threads() as f64;
    let bytes = match what {
        What::Features => 2.0 * weights + threads * IN_FLIGHT * pixels,
        // Weights, gradients and two moments; a batch with all that its gradients need.
        What::Finetune => 5.0 * weights + 2.0 * IN_FLIGHT * pixels + 2.0 * features,
        What::Drift => 2.0 * weights + threads * IN_FLIGHT * pixels + 8.0 * features,
        What::Probes | What::Clusters => 8.0 * features,
    };
    500.0 + bytes / 1e6
}
