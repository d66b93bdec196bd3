//! What a part of the work is called, and which cells belong to it.

use super::super::all::{ALL, Listed};
use crate::error::{Error, Result};
use crate::key::digest_of;
use crate::project::Project;
use crate::results::Cell;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// Features of frozen models.
    Features,
    /// Simple classifiers on them.
    Probes,
    /// Fine-tuning.
    Finetune,
    /// Drift: calibration, domains held out, corruptions.
    Drift,
    /// Clusters.
    Clusters,
}

impl What {
    /// All, in the order in which they are planned.
    pub const ALL: [What; 5] = [What::Features, What::Probes, What::Finetune, What::Drift, What::Clusters];

    /// The name in plans.
    pub fn as_str(self) -> &'static str {
        match self {
            What::Features => "features",
            What::Probes => "probes",
            What::Finetune => "finetune",
            What::Drift => "drift",
            What::Clusters => "clusters",
        }
    }

    /// The kind of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another name.
    pub fn known(name: &str) -> Result<What> {
        let known = || What::ALL.map(What::as_str).join(", ");
        let found = What::ALL.into_iter().find(|what| what.as_str() == name);
        found.ok_or_else(|| Error::Unknown { kind: "kind of work", name: name.into(), known: known() })
    }
}

/// A part of the work.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkId {
    /// `features`, or the name of an experiment.
    pub(super) of: String,
    pub(super) dataset: String,
    pub(super) model: String,
    /// Of features: from which position to which, as `0-256`. Else method, budget (`none` without labels) and seed, or the first
    /// of these, or nothing for all.
    pub(super) rest: Vec<String>,
}

impl WorkId {
    /// Reads an id as [`super::plan`] writes it.
    ///
    /// # Errors
    /// What is no id, with the forms that are.
    pub fn read(text: &str) -> Result<WorkId> {
        let wrong = |why: &str| {
            let expected = "features/<data set>/<model>/<from>-<to>, or <experiment>/<data set>/<model>, with \
                            /<method>/<budget>/<seed> or the first of these after it";
            Err(Error::argument("cell", expected, format!("`{text}`{why}")))
        };
        let parts: Vec<String> = text.split('/').map(String::from).collect();
        let [of, dataset, model, rest @ ..] = parts.as_slice() else { return wrong("") };
        if parts.iter().any(|part| part.is_empty() || part == "." || part == "..") || rest.len() > 3 {
            return wrong("");
        }
        let id = WorkId { of: of.clone(), dataset: dataset.clone(), model: model.clone(), rest: rest.to_vec() };
        let budget = |text: &String| text == "none" || text.parse::<u32>().is_ok();
        let fits = match of == What::Features.as_str() {
            true => id.positions().is_some() && rest.len() == 1,
            false => rest.get(1).is_none_or(budget) && rest.get(2).is_none_or(|text| text.parse::<u64>().is_ok()),
        };
        if !fits {
            return wrong("");
        }
        if of != What::Features.as_str() && id.experiment().is_none() {
            let known: Vec<&str> = ALL.iter().map(|(_, experiment)| experiment.name()).collect();
            return wrong(&format!("; experiments are {}", known.join(", ")));
        }
        Ok(id)
    }

    /// The images of a part of an extraction, by their positions among those that take part; `None` for other work.
    pub(super) fn positions(&self) -> Option<Range<usize>> {
        let (from, to) = self.rest.first()?.split_once('-')?;
        let positions = from.parse().ok()?..to.parse().ok()?;
        (self.of == What::Features.as_str() && !positions.is_empty()).then_some(positions)
    }

    /// The experiment with its kind; `None` for features.
    pub(super) fn experiment(&self) -> Option<(What, &'static dyn Listed)> {
        ALL.into_iter().find(|(_, experiment)| experiment.name() == self.of)
    }

    /// Whether a cell of its experiment, data set and model belongs to it.
    pub(super) fn takes(&self, cell: &Cell) -> bool {
        cell.dataset == self.dataset
            && cell.model == self.model
            && self.rest.iter().zip(names(cell)).all(|(asked, name)| *asked == name)
    }

    /// Its folder among the parts.
    pub(super) fn folder(&self, project: &Project) -> PathBuf {
        self.rest
            .iter()
            .fold(project.parts_folder().join(&self.of).join(&self.dataset).join(&self.model), |folder, name| {
                folder.join(name)
            })
    }
}

impl fmt::Display for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}/{}", self.of, self.dataset, self.model)?;
        self.rest.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

/// Method, budget and seed of a cell, as an id has them.
pub(super) fn names(cell: &Cell) -> [String; 3] {
    let budget = cell.budget.map_or_else(|| "none".into(), |budget| budget.to_string());
    [cell.method.clone(), budget, cell.seed.to_string()]
}

/// The files that say how a part ended, named after what decides its numbers: `.done.json` and `.failed.json`.
pub(super) fn marker(keys: impl IntoIterator<Item = String>, ending: &str) -> String {
    let mut keys: Vec<String> = keys.into_iter().collect();
    keys.sort();
    format!("{}.{ending}.json", &digest_of(keys))
}
