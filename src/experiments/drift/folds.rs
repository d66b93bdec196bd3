//! Every domain held out in turn: one held-out style says how far that style is; eight say how far a style is.

use super::{Asked, asked, cell};
use crate::error::{Error, Result};
use crate::experiments::ledger::Outcome;
use crate::experiments::score::{METRICS, Measured, score};
use crate::experiments::{Encoded, Encoding, Experiment, Protocol, Tell, effort, predict};
use crate::manifest::{DatasetRecord, Method, SplitRecord};
use crate::project::Project;
use crate::results::{Cell, ResultRow};
use candle_core::Device;
use std::collections::BTreeSet;

/// Name of the experiment: of the folder of its rows, and their table.
pub const NAME: &str = "drift_folds";
/// What a cell's protocol begins with; the domain follows.
pub const HELD_OUT: &str = "held out: ";
/// Raised whenever a change in this experiment or in the probes moves a number.
const CODE_VERSION: u32 = 1;
/// So many domains at most are styles; more are cameras or places, which a published part holds out.
const MOST_DOMAINS: usize = 20;

/// Brings the accuracy of the suite's kNN and logistic regression, at its first three seeds, with each domain held out in turn, for data sets whose record holds domains
/// out by name. The fold stands in a row's protocol, behind [`HELD_OUT`].
///
/// # Errors
/// Whatever loading, extraction, splitting or fitting gives; rows kept until then stay.
pub fn run(project: &Project, device: &Device) -> Result<Vec<ResultRow>> {
    super::super::run(project, &Folds, device)
}

pub struct Folds;

/// The data set's record with another domain held out.
fn apart(record: &DatasetRecord, domain: &str) -> DatasetRecord {
    let split = SplitRecord { ood_domains: vec![domain.into()], ..record.split.clone() };
    DatasetRecord { split, ..record.clone() }
}

/// The domains of a data set that are held out in turn.
fn domains(encoding: &Encoding) -> Vec<String> {
    let by_name = !encoding.dataset.split.ood_domains.is_empty();
    // Images that name no domain are of none.
    let named = |domain: &&String| by_name && !domain.is_empty();
    let domains = encoding.set.domains.iter().flatten().filter(named).collect::<BTreeSet<_>>();
    match (2..=MOST_DOMAINS).contains(&domains.len()) {
        true => domains.into_iter().cloned().collect(),
        false => Vec::new(),
    }
}

impl Experiment for Folds {
    type Ready = Encoded;

    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "every domain held out"
    }

    fn metrics(&self) -> &'static [&'static str] {
        &METRICS
    }

    fn cells(&self, project: &Project, encoding: &Encoding) -> Result<Vec<Cell>> {
        let mut cells = Vec::new();
        for domain in domains(encoding) {
            let fold = encoding.with_record(apart(&encoding.dataset, &domain));
            let protocol = format!("{HELD_OUT}{domain}");
            let of = |asked: Asked| cell(&fold, (NAME, CODE_VERSION), asked, predict::settings(asked.2), &protocol);
            cells.extend(asked(project, encoding, true)?.into_iter().map(of));
        }
        Ok(cells)
    }

    fn effort(&self, encoding: &Encoding, cell: &Cell, dim: usize) -> f64 {
        effort::of_probe_cell(encoding, cell, dim)
    }

    fn prepare(&self, _: &Project, _: &Encoding, encoded: Encoded, _: &Device) -> Result<Encoded> {
        Ok(encoded)
    }

    fn measure(&self, encoded: &Encoded, cell: &Cell, _: &Tell) -> Result<Outcome> {
        let Some(domain) = cell.protocol.strip_prefix(HELD_OUT) else {
            return Err(Error::argument("protocol", format!("`{HELD_OUT}` and a domain"), cell.protocol.clone()));
        };
        let fold = encoded.with_record(apart(&encoded.dataset, domain));
        let protocol = Protocol::of(&fold.dataset)[0];
        let parts = fold.parts_by(protocol, cell.budget.unwrap_or_default() as usize, cell.seed)?;
        let fitted = fold.fit(Method::known(&cell.method)?, &parts)?;
        let (n_classes, n_train) = (fold.set.classes.len(), parts.train.len());
        let mut outcome = Outcome::default();
        for (split, positions) in parts.measured() {
            let measured = Measured { split, n_classes, n_train, warning: &fitted.warning, weights: "" };
            let predicted = fold.classify(&fitted, positions)?;
            outcome.scores.extend(score(&measured, &predicted, &fold.labels_at(positions), &METRICS)?);
        }
        Ok(outcome)
    }
}
