//! The study's own drift: its pairs of accuracies, which no experiment here can change.

use crate::error::{Error, Result};
use crate::metrics::{DriftLine, Stretch};
use crate::project::Project;
use crate::published::{self, PublishedTable};
use std::collections::BTreeMap;

/// One of the study's arms on one of its drift sets: a single run, so that nothing is known of its spread over seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyPair {
    /// The study's name of the model.
    pub model: String,
    /// `knn`, `lr` or `finetune`.
    pub method: String,
    /// Label budget.
    pub budget: usize,
    /// Accuracy in distribution, as a fraction.
    pub id: f64,
    /// Accuracy out of it.
    pub ood: f64,
    /// Effective robustness: above the line through all pairs of the data set on probit axes.
    pub beside: f64,
}

/// The study's pairs on a drift set, and the line through them.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyDrift {
    /// Every arm.
    pub pairs: Vec<StudyPair>,
    /// The line through them, on probit axes.
    pub line: DriftLine,
    /// Test images in distribution and out of it, as the data set's record has them.
    pub n_test: (usize, usize),
}

impl StudyDrift {
    /// Reads them for a data set of the manifests that the study measured drift on.
    ///
    /// # Errors
    /// A data set that is not known, that the study did not measure drift on, or whose record does not say how many images its
    /// tests have; published tables that cannot be read.
    pub fn of(project: &Project, dataset: &str) -> Result<StudyDrift> {
        let record = project.manifests.dataset(dataset)?;
        let none = |found: &str| {
            Error::argument("data set", "one that the study measured drift on", format!("{dataset}: {found}"))
        };
        let published_as = record.published_as.as_deref().ok_or_else(|| none("not among the study's"))?;
        let total = |split: &Option<crate::manifest::OfficialSplit>| split.as_ref().and_then(|split| split.total);
        let (Some(n_id), Some(n_ood)) = (total(&record.split.id_test), total(&record.split.ood_test)) else {
            return Err(none("no published tests of both kinds"));
        };
        let mut arms: BTreeMap<(String, String, usize), [Option<f64>; 2]> = BTreeMap::new();
        for result in published::results(project.root())? {
            let key = result.key;
            let side = ["id", "ood"].iter().position(|split| *split == key.split);
            let drift = matches!(key.table, PublishedTable::DriftProbe | PublishedTable::DriftFinetune);
            if let (true, Some(side), Some(budget)) = (drift && key.dataset == published_as, side, key.budget) {
                arms.entry((key.model, key.method, budget)).or_default()[side] = Some(result.value);
            }
        }
        let pairs: Vec<((String, String, usize), (f64, f64))> =
            arms.into_iter().filter_map(|(arm, [id, ood])| Some((arm, (id?, ood?)))).collect();
        if pairs.is_empty() {
            return Err(none("no pair of accuracies in its tables"));
        }
        let line = DriftLine::fit(&pairs.iter().map(|(_, pair)| *pair).collect::<Vec<_>>(), Stretch::Probit)?;
        let pairs = pairs.into_iter().filter_map(|((model, method, budget), (id, ood))| {
            let beside = line.effective_robustness(id, ood)?;
            Some(StudyPair { model, method, budget, id, ood, beside })
        });
        Ok(StudyDrift { pairs: pairs.collect(), line, n_test: (n_id, n_ood) })
    }
}
