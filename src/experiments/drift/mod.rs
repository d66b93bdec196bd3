//! The study's third table: in distribution against out of distribution.
//!
//! Accuracies stand in the rows of [`super::representations`] and [`super::finetuning`], which join the study's tables. What is
//! done here goes on from them:
//!
//! | module | |
//! |---|---|
//! | this one | for every probe: which test images it had right, and how well its probabilities hold under shift |
//! | `gaps` | the gap of every arm as points, ratio and distance from the line, with intervals over groups; class mix |
//! | `folds` | every domain held out in turn |
//! | `corruptions` | accuracy by kind and strength of damage |
//! | `wilds` | what WILDS ranks by, on every official split, and files that its evaluation reads |
//! | `study` | the study's own pairs of accuracies |

mod corruptions;
mod folds;
mod gaps;
mod study;
mod wilds;

pub use corruptions::{CLEAN, damage, run as run_corruptions};
pub use folds::{HELD_OUT, run as run_folds};
pub use gaps::{Drift, Gap, Lines, drifts};
pub use study::{StudyDrift, StudyPair};
pub use wilds::{OfficialPredictions, Unit, predict};

pub(super) use corruptions::Corruptions;
pub(super) use folds::Folds;

use super::answered::answered;
use super::ledger::Outcome;
use super::predict::{self, Fitted};
use super::runner::Plan;
use super::{Answered, Encoded, Encoding, Experiment, Parts, Protocol, Tell, Work, effort};
use crate::error::{Error, Result};
use crate::manifest::Method;
use crate::metrics::{self, ReliabilityBin};
use crate::project::Project;
use crate::results::{Cell, ResultRow, Right, Score};
use candle_core::Device;
use ndarray::{Array2, Axis};

/// Name of the experiment: of the folder of its rows, and their table.
pub const NAME: &str = "drift";
/// Raised whenever a change in this experiment or in the probes moves a number.
const CODE_VERSION: u32 = 1;
/// Bins of the calibration error.
pub const BINS: usize = 15;
/// Calibration error and negative log-likelihood (nats) as the probe is, and at the temperature that fits the validation images
/// best. All are undefined for probes without probabilities; the last three also where no temperature is best, and for probes that learn
/// from the validation images too.
pub const METRICS: [&str; 5] = ["ece", "nll", "temperature", "ece_tempered", "nll_tempered"];

/// Brings the calibration of every probe of the suite on every data set that holds images out.
///
/// # Errors
/// Whatever loading, extraction, splitting or fitting gives; rows kept until then stay.
pub fn run(project: &Project, device: &Device) -> Result<Vec<ResultRow>> {
    super::run(project, &Calibrations, device)
}

/// Which test images each of these probes had right.
///
/// # Errors
/// As for [`run`], which it does first.
pub fn answers(project: &Project, device: &Device) -> Result<Vec<Answered>> {
    run(project, device)?;
    answered(project, &Plan::new(project, &Calibrations, device, None)?)
}

/// Reliability diagrams, [`BINS`] bins each, for the test images of `split` (`test`, `id` or `ood`): as the probe is, and at the
/// temperature of the validation images, where one is best.
///
/// # Errors
/// A method without probabilities, a split that is not there; what fitting gives.
pub fn reliability(
    encoded: &Encoded,
    method: Method,
    (budget, seed): (usize, u64),
    split: &str,
) -> Result<(Vec<ReliabilityBin>, Option<Vec<ReliabilityBin>>)> {
    let parts = encoded.parts(budget, seed)?;
    let fitted = encoded.fit(method, &parts)?;
    let Some(scores) = Scores::of(encoded, &fitted)? else {
        return Err(Error::argument("method", "one with probabilities of all classes", method.as_str()));
    };
    let measured = parts.measured();
    let known = || measured.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let Some((_, positions)) = measured.iter().find(|(name, _)| *name == split) else {
        return Err(Error::Unknown { kind: "split", name: split.into(), known: known() });
    };
    let (asked, truth) = (scores.at(positions)?, encoded.labels_at(positions));
    let bins = |temperature| metrics::reliability(metrics::tempered(asked.view(), temperature)?.view(), &truth, BINS);
    Ok((bins(1.0)?, scores.temperature(&parts)?.map(bins).transpose()?))
}

/// Seed, label budget and probe.
type Asked = (u64, u32, Method);

/// The cell of what is asked, by the name and the version of an experiment.
fn cell(
    encoding: &Encoding,
    (table, code): (&str, u32),
    (seed, budget, method): Asked,
    settings: &str,
    protocol: &str,
) -> Cell {
    encoding.cell(&Work {
        table,
        method: (method.as_str(), settings),
        pooling: &encoding.model.features.default,
        protocol,
        budget: Some(budget),
        seed,
        code,
    })
}

/// What is asked of a data set and model: seed, label budget and probe. Budgets are the suite's, of the data set's own where it
/// names some of them; probes are the suite's that are fitted. Of what takes `many` fits of each, the suite's first three seeds
/// and the study's two probes.
fn asked(project: &Project, encoding: &Encoding, many: bool) -> Result<Vec<Asked>> {
    let suite = project.suite()?;
    let of_set = &encoding.dataset.split.budgets;
    let known: Vec<usize> = suite.budgets.iter().copied().filter(|budget| of_set.contains(budget)).collect();
    let budgets = if known.is_empty() { &suite.budgets } else { &known };
    let is_asked = |method: &&Method| !method.asks_by_words() && (!many || matches!(method, Method::Knn | Method::Lr));
    let seeds = suite.seeds.iter().take(if many { 3 } else { usize::MAX });
    let all = seeds.flat_map(|&seed| {
        budgets.iter().flat_map(move |&budget| {
            suite.methods.iter().filter(is_asked).map(move |&method| (seed, budget as u32, method))
        })
    });
    Ok(all.collect())
}

/// Scores whose softmax are a probe's probabilities, in the order of the data set's classes.
struct Scores<'a> {
    encoded: &'a Encoded,
    fitted: &'a Fitted,
}

impl<'a> Scores<'a> {
    /// `None` for a probe without probabilities, and one that was fitted without some class.
    fn of(encoded: &'a Encoded, fitted: &'a Fitted) -> Result<Option<Scores<'a>>> {
        let all = |classes: &[u32]| classes.iter().copied().eq(0..encoded.set.classes.len() as u32);
        let has = fitted.logistic.as_ref().is_some_and(|logistic| all(logistic.classes()));
        Ok(has.then_some(Scores { encoded, fitted }))
    }

    fn at(&self, positions: &[usize]) -> Result<Array2<f64>> {
        let asked = self.encoded.chosen()?.select(Axis(0), positions);
        match &self.fitted.logistic {
            Some(logistic) => logistic.scores(asked.view()),
            None => Err(Error::argument("method", "one with probabilities", "one without")),
        }
    }

    /// The temperature that fits the validation images best; none for a probe that learned from them too, and is nearly sure of them.
    fn temperature(&self, parts: &Parts) -> Result<Option<f64>> {
        match parts.val.is_empty() || self.fitted.from_val {
            true => Ok(None),
            false => metrics::fit_temperature(self.at(&parts.val)?.view(), &self.encoded.labels_at(&parts.val)),
        }
    }
}

pub(super) struct Calibrations;

impl Experiment for Calibrations {
    type Ready = Encoded;

    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "drift"
    }

    fn metrics(&self) -> &'static [&'static str] {
        &METRICS
    }

    fn cells(&self, project: &Project, encoding: &Encoding) -> Result<Vec<Cell>> {
        if !encoding.dataset.split.has_drift() {
            return Ok(Vec::new());
        }
        let protocol = Protocol::of(&encoding.dataset)[0].as_str();
        let of = |asked: Asked| cell(encoding, (NAME, CODE_VERSION), asked, predict::settings(asked.2), protocol);
        Ok(asked(project, encoding, false)?.into_iter().map(of).collect())
    }

    fn effort(&self, encoding: &Encoding, cell: &Cell, dim: usize) -> f64 {
        effort::of_probe_cell(encoding, cell, dim)
    }

    fn prepare(&self, _: &Project, _: &Encoding, encoded: Encoded, _: &Device) -> Result<Encoded> {
        Ok(encoded)
    }

    fn measure(&self, encoded: &Encoded, cell: &Cell, _: &Tell) -> Result<Outcome> {
        let method = Method::known(&cell.method)?;
        let protocol = Protocol::known(&cell.protocol)?;
        let parts = encoded.parts_by(protocol, cell.budget.unwrap_or_default() as usize, cell.seed)?;
        let fitted = encoded.fit(method, &parts)?;
        let scores = Scores::of(encoded, &fitted)?;
        let temperature = scores.as_ref().map(|scores| scores.temperature(&parts)).transpose()?.flatten();
        let mut outcome = Outcome::default();
        for (split, positions) in parts.measured() {
            let truth = encoded.labels_at(positions);
            let right = metrics::correct(&encoded.classify(&fitted, positions)?, &truth)?;
            outcome.right.push(Right { key: cell.key.clone(), split: split.into(), weights: String::new(), right });
            let asked = scores.as_ref().map(|scores| scores.at(positions)).transpose()?;
            let held = |temperature: Option<f64>| -> Result<[Option<f64>; 2]> {
                let (Some(asked), Some(temperature)) = (&asked, temperature) else { return Ok([None, None]) };
                let probabilities = metrics::tempered(asked.view(), temperature)?;
                let nll = metrics::negative_log_likelihood(probabilities.view(), &truth)?;
                let ece = metrics::expected_calibration_error(probabilities.view(), &truth, BINS)?;
                Ok([Some(ece), Some(nll).filter(|nll| nll.is_finite())])
            };
            let ([ece, nll], [ece_tempered, nll_tempered]) = (held(Some(1.0))?, held(temperature)?);
            let values = [ece, nll, temperature, ece_tempered, nll_tempered];
            outcome.scores.extend(METRICS.iter().zip(values).map(|(metric, value)| Score {
                split: split.into(),
                metric: metric.to_string(),
                value,
                n_train: predict::n_fitted(&cell.method, &parts) as u32,
                n_test: positions.len() as u32,
                warning: fitted.warning.clone(),
                weights: String::new(),
            }));
        }
        Ok(outcome)
    }
}
