//! Which models a reader's images are shown to.

use super::Own;
use super::compare::FOLDS;
use super::probe::METHODS;
use crate::datasets::note_left_out;
use crate::error::{Error, Result};
use crate::experiments::Encoding;
use crate::features::{Extraction, extract, is_cached};
use crate::manifest::{ModelRecord, Weights};
use crate::models;
use candle_core::Device;
use std::time::{Duration, Instant};

/// The models of a report, and those that it leaves out.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// Models with the seconds that an image takes, decoding and resizing included, in the order in which they are taken.
    pub models: Vec<(String, f64)>,
    /// Models that do not fit into the minutes asked for, with the minutes that they would take.
    pub left_out: Vec<(String, f64)>,
    /// Models that are not on this machine, with their millions of parameters where known.
    pub elsewhere: Vec<(String, Option<f64>)>,
    /// Models that could not be had or used, with why.
    pub broken: Vec<(String, String)>,
}

/// Images that a model's pace is measured on, spread over the set.
const SAMPLE: usize = 48;

/// A download that fails after so long is a sign of a network that is not there.
const CUT_OFF: Duration = Duration::from_secs(5);

/// A model's place in line: a floor, then the network trained on photographs, those of the hub, the pocket models.
fn place(record: &ModelRecord) -> usize {
    match &record.weights {
        Weights::None => 0,
        Weights::Embedded { .. } if !record.id.ends_with(".icons") => 1,
        Weights::Hub { .. } => 2,
        _ => 3,
    }
}

impl Own {
    /// Chooses models: those that the request names, else all on this machine but untrained twins. Each is tried on a few images;
    /// where minutes are limited, those that do not fit are left out, the smaller ones of each kind first in line. Where models may
    /// be downloaded the others are as well, one by one, as long as minutes are left, of which a download takes, and as long as the
    /// hub can be reached. One that cannot be had costs no other.
    ///
    /// # Errors
    /// A model that is not known, or named and not on this machine and not to be downloaded; no model that can be used.
    pub fn choose(&self, device: &Device) -> Result<Chosen> {
        let manifests = &self.project.manifests;
        let here = |record: &&ModelRecord| models::is_here(self.project.root(), record);
        let mut records: Vec<&ModelRecord> = match self.request.models.is_empty() {
            true => {
                let untrained = |record: &&ModelRecord| matches!(record.weights, Weights::Random { .. });
                manifests
                    .models()
                    .filter(|record| !untrained(record))
                    .filter(|r| self.request.download || here(r))
                    .collect()
            }
            false => self.request.models.iter().map(|id| manifests.model(id)).collect::<Result<_>>()?,
        };
        if let Some(missing) = records.iter().find(|record| !self.request.download && !here(record)) {
            let expected = format!("weights of `{}` on this machine, or --download", missing.id);
            return Err(Error::argument("models", expected, "none"));
        }
        let size = |record: &ModelRecord| record.params.unwrap_or(0);
        records.sort_by_key(|record| (place(record), size(record), record.id.clone()));
        let (mut left, mut found) = (self.request.minutes.map(|minutes| 60.0 * minutes), Vec::new());
        // Models of which nothing is computed yet; one at least has its turn.
        let (mut left_out, mut fresh, mut broken, mut is_cut_off) = (Vec::new(), 0, Vec::new(), false);
        for record in records {
            let is_away = !here(&record);
            let is_late = fresh > 0 && left.is_some_and(|seconds| seconds <= 0.0);
            if is_away && (is_late || is_cut_off) {
                continue;
            }
            let begun = Instant::now();
            let pace = match self.pace(record, device) {
                Ok(pace) => pace,
                Err(error) => {
                    is_cut_off |= is_away && begun.elapsed() > CUT_OFF;
                    broken.push((record.id.clone(), error.chain()));
                    continue;
                }
            };
            if is_away {
                left = left.map(|seconds| seconds - begun.elapsed().as_secs_f64());
            }
            // What an earlier call has computed takes no time again.
            let encoding = Encoding::of_f32(&self.project, &self.set, &record.id, device);
            let cached = encoding.is_ok_and(|encoding| {
                is_cached(self.project.cache(), &self.set, &record.id, encoding.features_key(), None)
            });
            let asked = match cached {
                true => 0.0,
                false => pace * self.set.len() as f64 + self.seconds_of_fits(record.features.dim),
            };
            match left {
                Some(seconds) if asked > seconds && fresh > 0 => left_out.push((record.id.clone(), asked / 60.0)),
                _ => {
                    // What costs nothing fits even where the first of all took more.
                    left = left.map(|seconds| (seconds - asked).max(0.0));
                    fresh += usize::from(!cached);
                    found.push((record.id.clone(), pace));
                }
            }
        }
        if let Some((first, _)) = left_out.first() {
            // So that the same call, made again, goes on.
            note_left_out(&format!("{first} and what follows it does not fit into the minutes asked for"))?;
        }
        if let (true, Some((model, why))) = (found.is_empty(), broken.first()) {
            return Err(Error::argument("models", "at least one that can be used", format!("none; {model}: {why}")));
        }
        if let Some((model, _)) = broken.first() {
            note_left_out(&format!("{model} could not be had"))?;
        }
        let tried = |id: &str| broken.iter().any(|(broken, _)| broken == id);
        let elsewhere = manifests.models().filter(|record| matches!(record.weights, Weights::Hub { .. }));
        let elsewhere = elsewhere.filter(|record| !here(record) && !tried(&record.id));
        let elsewhere = elsewhere.map(|record| (record.id.clone(), record.params.map(|n| n as f64 / 1e6))).collect();
        Ok(Chosen { models: found, left_out, elsewhere, broken })
    }

    /// About how many seconds the classifiers on features of `dim` numbers take.
    fn seconds_of_fits(&self, dim: usize) -> f64 {
        let (n, classes) = (self.set.len(), self.set.classes.len());
        let fits = (FOLDS * super::compare::seeds(n)) as f64;
        METHODS.iter().map(|&method| fits * crate::experiments::seconds_of_probe(method, n, dim, classes)).sum()
    }

    /// Seconds per image under a model, on a sample, with nothing cached.
    fn pace(&self, record: &ModelRecord, device: &Device) -> Result<f64> {
        let model = models::load(self.project.root(), record, device)?;
        let step = (self.set.len() / SAMPLE).max(1);
        let rows: Vec<usize> = (0..self.set.len()).step_by(step).take(SAMPLE).collect();
        let cache = tempfile::tempdir().map_err(Error::io("a temporary folder", "creating"))?;
        let what = Extraction { cache: cache.path(), rows: Some(&rows), verbose: false, within: None };
        let begun = Instant::now();
        extract(&model, &self.set, what)?;
        Ok(begun.elapsed().as_secs_f64() / rows.len() as f64)
    }
}
