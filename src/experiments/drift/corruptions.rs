//! Accuracy by kind and strength of damage: a dose that is known, where a change of style is only named.
//!
//! A probe is fitted on clean images as in the first experiment, and measured on test images that are damaged as in ImageNet-C
//! ([`crate::images::Corruption`]). The images that are damaged are the same for all models, seeds and budgets, so that each model
//! reads them once; of these, a cell is measured on those that its split tests on.

use super::{Asked, Calibrations, asked, cell};
use crate::datasets::ImageSet;
use crate::error::{Error, Result};
use crate::experiments::ledger::Outcome;
use crate::experiments::score::{Measured, score};
use crate::experiments::{Encoded, Encoding, Experiment, Protocol, Tell, effort, predict};
use crate::features::FeatureTable;
use crate::images::{Corruption, CorruptionKind, Scale};
use crate::manifest::Method;
use crate::project::Project;
use crate::results::{Cell, ResultRow};
use crate::splits::stratified_subset;
use candle_core::Device;
use image::RgbImage;
use ndarray::Axis;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Name of the experiment: of the folder of its rows, and their table.
pub const NAME: &str = "corruptions";
/// The split of the same images undamaged.
pub const CLEAN: &str = "clean";
/// Raised whenever a change in this experiment or in the probes moves a number.
const CODE_VERSION: u32 = 1;
/// Images that are damaged in each way, over all classes: of a whole data set, and of one of which a suite takes a part.
const DAMAGED: (usize, usize) = (250, 40);
/// Seed of their choice and of the noise.
const SEED: u64 = 0;
const METRICS: [&str; 1] = ["accuracy"];
/// Seconds per image up to which a model's numbers are computed again though they came with the project: it sees
/// hundreds of images 25 times.
const QUICK: f64 = 3e-4;

/// Brings the accuracy of the suite's kNN and logistic regression, at its first three seeds, on damaged images, for data sets that hold images out. A row's split is
/// [`CLEAN`] or what was done, as `jpeg 3`.
///
/// # Errors
/// Whatever loading, extraction, splitting or fitting gives; rows kept until then stay.
pub fn run(project: &Project, device: &Device) -> Result<Vec<ResultRow>> {
    super::super::run(project, &Corruptions, device)
}

/// What was done to the images of a split, and how strongly; `None` for another split.
pub fn damage(split: &str) -> Option<(CorruptionKind, u8)> {
    let (kind, strength) = split.split_once(' ')?;
    let kind = CorruptionKind::ALL.into_iter().find(|known| known.name() == kind)?;
    let strength = strength.parse().ok().filter(|strength| Corruption::STRENGTHS.contains(strength))?;
    Some((kind, strength))
}

fn split_of(corruption: &Corruption) -> String {
    format!("{} {}", corruption.kind().name(), corruption.strength())
}

/// The first image of a data set that can be decoded: others are set aside wherever they are read. What may be over the next time,
/// as a disk that does not answer, is an error.
fn first_image(set: &ImageSet) -> Result<Arc<RgbImage>> {
    let decoded = |row: usize| {
        let none = || Err(Error::argument("data set", "at least one image", "none"));
        set.decode(row, &set.read(row..row + 1)?.pop().unwrap_or_else(none)?)
    };
    let mut images = (0..set.len()).map(decoded);
    let first = images.next().unwrap_or_else(|| Err(Error::argument("data set", "at least one image", "none")));
    match first {
        Err(error) if !error.is_passing() => {
            images.find(|image| !matches!(image, Err(error) if !error.is_passing())).unwrap_or(Err(error))
        }
        first => first,
    }
}

/// All that is done to the images of a data set: by the table of strengths that suits its first image.
fn corruptions(encoding: &Encoding) -> Result<Vec<Corruption>> {
    let first = first_image(&encoding.set)?;
    let scale = Scale::of_side(first.width().min(first.height()));
    let each = move |kind| Corruption::STRENGTHS.map(move |strength| Corruption::new(kind, strength, scale));
    CorruptionKind::ALL.into_iter().flat_map(each).collect()
}

/// How many images are damaged in each way.
fn damaged(encoding: &Encoding) -> usize {
    if encoding.n_images() < encoding.set.len() { DAMAGED.1 } else { DAMAGED.0 }
}

pub struct Corruptions;

/// What the cells of a data set and model share.
pub struct Ready {
    encoded: Encoded,
    pooling: String,
    /// Features of damaged images by split.
    damaged: Vec<(String, FeatureTable)>,
}

impl Experiment for Corruptions {
    type Ready = Ready;

    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "damaged images"
    }

    fn metrics(&self) -> &'static [&'static str] {
        &METRICS
    }

    fn cells(&self, project: &Project, encoding: &Encoding) -> Result<Vec<Cell>> {
        if !encoding.dataset.split.has_drift() || encoding.set.is_empty() {
            return Ok(Vec::new());
        }
        let keys = corruptions(encoding)?.iter().map(|corruption| corruption.key(SEED).digest()).collect::<Vec<_>>();
        let (damaged, keys) = (damaged(encoding), keys.join(" "));
        let protocol = Protocol::of(&encoding.dataset)[0].as_str();
        let of = |asked: Asked| {
            let settings = format!("{}; {damaged} of seed {SEED}: {keys}", predict::settings(asked.2));
            cell(encoding, (NAME, CODE_VERSION), asked, &settings, protocol)
        };
        Ok(asked(project, encoding, true)?.into_iter().map(of).collect())
    }

    fn recomputes(&self, project: &Project, cell: &Cell) -> bool {
        let quick = || effort::of_image(project.manifests.model(&cell.model)?).map(|seconds| seconds <= QUICK);
        Calibrations.recomputes(project, cell) && quick().unwrap_or(false)
    }

    fn effort(&self, encoding: &Encoding, cell: &Cell, dim: usize) -> f64 {
        // The damaged images of all cells are part of the first cells' time; a few cells share them.
        let images = 25.0 * damaged(encoding) as f64 * effort::of_image(&encoding.model).unwrap_or(1e-3) / 16.0;
        effort::of_probe_cell(encoding, cell, dim) + images
    }

    fn prepare(&self, project: &Project, encoding: &Encoding, encoded: Encoded, _: &Device) -> Result<Ready> {
        // Of those that take part; images that were set aside cannot be damaged either.
        let rows = &encoded.features.rows;
        let most = damaged(encoding);
        let chosen = match rows.len() > most {
            true => stratified_subset(&encoded.labels(), encoded.set.classes.len(), most, SEED)?,
            false => (0..rows.len()).collect(),
        };
        let mut chosen: Vec<usize> = chosen.into_iter().map(|position| rows[position]).collect();
        chosen.sort_unstable();
        let all = corruptions(encoding)?;
        let sets: Vec<_> = all.iter().map(|corruption| encoding.set.corrupted(*corruption, SEED)).collect();
        let tables = encoding.extract_others(project, &sets, &chosen)?;
        let damaged = all.iter().map(split_of).zip(tables).collect();
        Ok(Ready { encoded, pooling: encoding.model.features.default.clone(), damaged })
    }

    fn measure(&self, ready: &Ready, cell: &Cell, _: &Tell) -> Result<Outcome> {
        let encoded = &ready.encoded;
        let parts =
            encoded.parts_by(Protocol::known(&cell.protocol)?, cell.budget.unwrap_or_default() as usize, cell.seed)?;
        let fitted = encoded.fit(Method::known(&cell.method)?, &parts)?;
        // Test images that were damaged, in every way.
        let places: Vec<BTreeMap<usize, usize>> =
            ready.damaged.iter().map(|(_, table)| table.rows.iter().copied().zip(0..).collect()).collect();
        let row = |position: &usize| encoded.features.rows[*position];
        let tested: Vec<usize> = parts
            .test
            .iter()
            .copied()
            .filter(|position| places.iter().all(|places| places.contains_key(&row(position))))
            .collect();
        if tested.is_empty() {
            let expected = format!("some of {} among those that are damaged", parts.test.len());
            return Err(Error::argument("test images", expected, "none"));
        }
        let truth = encoded.labels_at(&tested);
        let (n_classes, n_train) = (encoded.set.classes.len(), parts.train.len());
        let mut outcome = Outcome::default();
        let mut put = |split: &str, predicted: &[u32]| -> Result<()> {
            let measured = Measured { split, n_classes, n_train, warning: &fitted.warning, weights: "" };
            outcome.scores.extend(score(&measured, predicted, &truth, &METRICS)?);
            Ok(())
        };
        put(CLEAN, &encoded.classify(&fitted, &tested)?)?;
        for ((split, table), places) in ready.damaged.iter().zip(&places) {
            let of_tested: Vec<usize> = tested.iter().map(|position| places[&row(position)]).collect();
            let features = table.pooling(&ready.pooling)?.select(Axis(0), &of_tested);
            put(split, &(fitted.classify)(features.view())?)?;
        }
        Ok(outcome)
    }
}
