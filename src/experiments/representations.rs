//! The study's first experiment: how good are frozen features for kNN and logistic regression, by labels a class?
//!
//! For every data set and model of a suite the features are extracted once; every seed draws its own split, the same
//! for all models, so that models meet on the same images. Test images are those of the same domains as training
//! (`test`; `id` where a data set holds domains out, whose images are then `ood`). Where images come in groups, a second
//! arm ignores the groups (`leaky`), to show what leakage is worth.

use super::encoded::published_id_test;
use super::ledger::Outcome;
use super::score::{METRICS, Measured, score};
use super::{Encoded, Encoding, Experiment, Protocol, Tell, Words, Work, effort, predict};
use crate::by_name;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::manifest::{DatasetRecord, Method};
use crate::metrics::{self, PairedBootstrap};
use crate::project::Project;
use crate::published::PublishedTable;
use crate::results::{Cell, ResultRow};
use candle_core::Device;

/// Name of the experiment: of the folder of its rows.
pub const NAME: &str = "representations";
/// Raised whenever a change in this experiment, in the probes or in the features moves a number.
const CODE_VERSION: u32 = 3;

/// The study's table that the rows of a data set belong to.
pub fn table(record: &DatasetRecord) -> &'static str {
    match record.split.has_drift() {
        true => PublishedTable::DriftProbe.as_str(),
        false => PublishedTable::GeneralProbe.as_str(),
    }
}

/// Brings the rows of the project's suite: every method, budget, seed and protocol for every data set and model.
///
/// # Errors
/// Whatever loading, extraction, splitting or fitting gives; rows kept until then stay.
pub fn run(project: &Project, device: &Device) -> Result<Vec<ResultRow>> {
    super::run(project, &Representations, device)
}

/// The key of one cell, by the data set's sound protocol.
///
/// # Errors
/// A data set, model or method that is not known, or that the model cannot be asked by.
pub fn key(
    project: &Project,
    dataset: &str,
    model: &str,
    (method, budget, seed): (Method, u32, u64),
    device: &Device,
) -> Result<Key> {
    let encoding = Encoding::of(project, &project.images(dataset)?, model, device)?;
    let Some(settings) = settings(project, &encoding, method)? else {
        let found = format!("{model} and {}", method.as_str());
        return Err(Error::argument("method", "one that the model can be asked by", found));
    };
    Ok(encoding.key(&work(&encoding, (method, &settings), Protocol::of(&encoding.dataset)[0], budget, seed)))
}

/// What a method's numbers depend on; `None` where a model cannot be asked by words.
fn settings(project: &Project, encoding: &Encoding, method: Method) -> Result<Option<String>> {
    match method.asks_by_words() {
        false => Ok(Some(predict::settings(method).to_string())),
        true => by_name::asked(project.root(), &encoding.model, &encoding.set.classes, method),
    }
}

fn work<'a>(
    encoding: &'a Encoding,
    (method, settings): (Method, &'a str),
    protocol: Protocol,
    budget: u32,
    seed: u64,
) -> Work<'a> {
    Work {
        table: table(&encoding.dataset),
        method: (method.as_str(), settings),
        pooling: &encoding.model.features.default,
        protocol: protocol.as_str(),
        budget: Some(budget),
        seed,
        code: CODE_VERSION,
    }
}

pub(super) struct Representations;

/// What its cells share.
pub(super) struct Ready {
    encoded: Encoded,
    words: Words,
}

impl Experiment for Representations {
    type Ready = Ready;

    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "features and probes"
    }

    fn metrics(&self) -> &'static [&'static str] {
        &METRICS
    }

    fn cells(&self, project: &Project, encoding: &Encoding) -> Result<Vec<Cell>> {
        let suite = project.suite()?;
        let settings = suite.methods.iter().map(|&method| Ok((method, settings(project, encoding, method)?)));
        let settings = settings.collect::<Result<Vec<_>>>()?;
        let mut cells = Vec::new();
        for (&seed, &budget) in suite.seeds.iter().flat_map(|seed| suite.budgets.iter().map(move |b| (seed, b))) {
            for (method, settings) in &settings {
                let Some(settings) = settings else { continue };
                // What leakage is worth is asked of the study's two probes. A published test is the same for both protocols.
                let asked = |protocol: &&Protocol| {
                    **protocol != Protocol::Leaky
                        || (matches!(method, Method::Knn | Method::Lr) || method.asks_by_words())
                            && published_id_test(&encoding.dataset, &encoding.set).is_empty()
                };
                for &protocol in Protocol::of(&encoding.dataset).iter().filter(asked) {
                    cells.push(encoding.cell(&work(encoding, (*method, settings), protocol, budget as u32, seed)));
                }
            }
        }
        Ok(cells)
    }

    fn effort(&self, encoding: &Encoding, cell: &Cell, dim: usize) -> f64 {
        effort::of_probe_cell(encoding, cell, dim)
    }

    fn prepare(&self, project: &Project, encoding: &Encoding, encoded: Encoded, device: &Device) -> Result<Ready> {
        Ok(Ready { encoded, words: Words::open(project, encoding, &project.suite()?.methods, device)? })
    }

    fn measure(&self, ready: &Ready, cell: &Cell, _: &Tell) -> Result<Outcome> {
        let Ready { encoded, words } = ready;
        let method = Method::known(&cell.method)?;
        let protocol = Protocol::known(&cell.protocol)?;
        let parts = encoded.parts_by(protocol, cell.budget.unwrap_or(0) as usize, cell.seed)?;
        let predictions = match method.asks_by_words() {
            true => words.predict(encoded, method, &parts)?,
            false => encoded.predict(method, &parts)?,
        };
        let n_train = predict::n_fitted(&cell.method, &parts);
        let mut outcome = Outcome::default();
        for (split, positions) in parts.measured() {
            let predicted = if split == "ood" { &predictions.ood } else { &predictions.test };
            let n_classes = encoded.set.classes.len();
            let measured = Measured { split, n_classes, n_train, warning: &predictions.warning, weights: "" };
            outcome.scores.extend(score(&measured, predicted, &encoded.labels_at(positions), &METRICS)?);
        }
        Ok(outcome)
    }
}

/// Mean accuracy of a model on one part of a data set over methods, budgets and seeds, leaky arms aside; `None` where
/// there is no row.
pub fn mean_accuracy(rows: &[ResultRow], dataset: &str, model: &str, split: &str) -> Option<f64> {
    let wanted = |row: &&ResultRow| {
        let cell = &row.cell;
        cell.dataset == dataset
            && cell.model == model
            && cell.protocol != "leaky"
            && row.split == split
            && row.metric == "accuracy"
    };
    let values: Vec<f64> = rows.iter().filter(wanted).filter_map(|row| row.value).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Compares two models on the same test images by a paired bootstrap of the difference in accuracy, `a` minus `b`.
///
/// # Errors
/// Different data sets, or different images of them.
pub fn compare(a: &Encoded, b: &Encoded, method: Method, budget: usize, seed: u64) -> Result<PairedBootstrap> {
    const RESAMPLES: usize = 2000;
    if a.set.id != b.set.id || a.features.rows != b.features.rows {
        let expected = format!("the images of {}", a.set.id);
        return Err(Error::argument("b", expected, format!("those of {}", b.set.id)));
    }
    let parts = a.parts(budget, seed)?;
    let truth = a.labels_at(&parts.test);
    let correct = |encoded: &Encoded| metrics::correct(&encoded.predict(method, &parts)?.test, &truth);
    metrics::paired_bootstrap(&correct(a)?, &correct(b)?, RESAMPLES, seed)
}
