//! The study's first experiment: how good are frozen features for kNN and logistic regression, by labels a class?
//!
//! For every data set and model of a suite the features are extracted once; every seed draws its own split, the same
//! for all models, so that models meet on the same images. Test images are those of the same domains as training
//! (`test`), and, where a data set holds domains out, the images of those domains (`ood`). Where images come in groups,
//! a second arm ignores the groups (`leaky`), to show what leakage is worth.

use super::effort;
use crate::datasets::ImageSet;
use crate::error::{Error, Result};
use crate::manifest::{Method, SplitRule};
use crate::metrics::{self, PairedBootstrap};
use crate::probe::knn::{Knn, KnnParams};
use crate::probe::{labelled, logistic::Logistic, sweep::CSweep};
use crate::progress::Progress;
use crate::project::Project;
use crate::results::{Arm, ResultRow, Results};
use crate::splits::{Shortage, balanced_subset, draw_per_class, grouped_split, leaky_split, study_counts, study_split};
use candle_core::Device;
use linfa::traits::Fit;
use ndarray::{Array1, Axis};
use rayon::prelude::*;
use std::collections::HashSet;

pub use super::bench::Bench;

/// The study's table that the rows belong to.
pub const TABLE: &str = "general_probe";
/// Raised whenever a change in this experiment, in the probes or in the features moves a number.
const CODE_VERSION: u32 = 3;

/// Train and test images of one seed and budget, as rows of the feature table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// How they were drawn: `study`, `grouped` or `leaky`.
    pub protocol: &'static str,
    /// Rows to fit on.
    pub train: Vec<usize>,
    /// Rows for choices, from a published part of its own where the record names one; no arm of this experiment makes
    /// a choice.
    pub val: Vec<usize>,
    /// Rows to measure on.
    pub test: Vec<usize>,
    /// Rows of held-out domains to measure on; empty where there are none.
    pub ood: Vec<usize>,
}

/// Predictions of one fitted probe.
#[derive(Debug, Clone)]
pub struct Predictions {
    /// Predicted classes of [`Parts::test`].
    pub test: Vec<u32>,
    /// Predicted classes of [`Parts::ood`].
    pub ood: Vec<u32>,
    /// What a reader must know; empty where there is nothing.
    pub warning: String,
}

/// Runs every arm of the project's suite that is not in the results yet; gives the rows of the suite.
///
/// Rows are saved after every model, so a run that was stopped goes on where it was.
///
/// # Errors
/// Whatever loading, extraction, splitting or fitting gives; rows saved until then stay.
pub fn run(project: &Project, device: &Device) -> Result<Vec<ResultRow>> {
    let suite = project.suite()?.clone();
    let mut results = Results::open(&project.results_path("representations"))?;
    let mut wanted = HashSet::new();
    let sets = suite.datasets.iter().map(|dataset| project.images(dataset)).collect::<Result<Vec<_>>>()?;
    let progress = Progress::weighted("features and probes", work(project, &sets)?);
    for set in &sets {
        let dataset = &set.id;
        for model in &suite.models {
            progress.doing(format!("{dataset} under {model}"));
            let bench = Bench::of(set, project, model, &suite.methods, device, Some(&progress))?;
            if let Some(first) = bench.features.set_aside.first() {
                let n = bench.features.set_aside.len();
                println!("{dataset}: {n} image(s) set aside, the first: {}", first.reason);
            }
            let arms = bench.arms(&suite.methods, &suite.budgets, &suite.seeds);
            let missing: Vec<_> = arms.iter().filter(|(arm, _)| !results.contains(arm)).cloned().collect();
            let (n, dim) = bench.chosen()?.dim();
            let work = |arm: &Arm, method: Method| {
                effort::of_probe(method, set, n, dim, arm.budget.unwrap_or_default() as usize)
            };
            let known = arms.iter().filter(|(arm, _)| results.contains(arm));
            progress.skip(known.map(|(arm, method)| work(arm, *method)).sum());
            // Arms beside each other: alone, none keeps all processors busy all the time.
            let rows = missing.par_iter().map(|(arm, method)| {
                let rows = bench.measure(arm, *method);
                progress.add(1, "arms", work(arm, *method));
                rows
            });
            let rows = rows.collect::<Result<Vec<_>>>()?.concat();
            wanted.extend(arms.into_iter().map(|(arm, _)| arm));
            if !rows.is_empty() {
                results.add(rows)?;
            }
        }
    }
    progress.finish();
    Ok(results.select(|row| wanted.contains(&row.arm)))
}

/// About how much there is to do for a suite where nothing is done.
fn work(project: &Project, sets: &[ImageSet]) -> Result<f64> {
    let suite = project.suite()?;
    let mut total = 0.0;
    for set in sets {
        let n = suite.max_images.map_or(set.len(), |most| most.min(set.len()));
        let n_protocols = protocols(project.manifests.dataset(&set.id)?.split.rule).len();
        for model in &suite.models {
            let model = project.manifests.model(model)?;
            total += n as f64 * effort::of_image(model)?;
            for (&method, &budget) in suite.methods.iter().flat_map(|m| suite.budgets.iter().map(move |b| (m, b))) {
                let one = effort::of_probe(method, set, n, model.features.dim, budget);
                total += one * (n_protocols * suite.seeds.len()) as f64;
            }
        }
    }
    Ok(total)
}

/// How images are divided: where they come in groups, with and without minding them.
fn protocols(rule: SplitRule) -> &'static [&'static str] {
    match rule {
        SplitRule::Study | SplitRule::StudyCapped => &["study"],
        SplitRule::StudyGrouped => &["grouped", "leaky"],
    }
}

impl Bench {
    /// The arms of these methods, budgets and seeds, with the leaky ones where the data set has groups.
    fn arms(&self, methods: &[Method], budgets: &[usize], seeds: &[u64]) -> Vec<(Arm, Method)> {
        let protocols = protocols(self.record.split.rule);
        let mut arms = Vec::new();
        for (&seed, &budget) in seeds.iter().flat_map(|seed| budgets.iter().map(move |budget| (seed, budget))) {
            let possible = methods.iter().filter(|method| !method.asks_by_words() || self.answers(**method).is_some());
            for (&method, &protocol) in possible.flat_map(|m| protocols.iter().map(move |p| (m, p))) {
                let provenance = self.arm(TABLE, method.as_str(), protocol, CODE_VERSION);
                let arm = Arm { budget: Some(budget as u32), seed, ..provenance };
                let arm = match self.answers(method) {
                    Some(by_name) => by_name.asked(arm),
                    None => arm,
                };
                arms.push((arm, method));
            }
        }
        arms
    }

    /// Draws the parts for a budget and a seed. All models of a data set get the same.
    ///
    /// Where the record names official splits, val is drawn from its own and the tests are theirs; the pool is then
    /// what none of them holds, so that the parts stay disjoint.
    ///
    /// # Errors
    /// A class with too few images for the budget, or a published part that the data do not have.
    pub fn parts(&self, budget: usize, seed: u64, leaky: bool) -> Result<Parts> {
        let split = &self.record.split;
        let mut elsewhere = HashSet::new();
        for official in [&split.val, &split.id_test, &split.ood_test].into_iter().flatten() {
            elsewhere.extend(self.positions(&official.name)?);
        }
        let mut pool = self.positions(&split.pool)?;
        pool.retain(|position| !elsewhere.contains(position));
        let (ood, mut pool): (Vec<usize>, Vec<usize>) =
            pool.into_iter().partition(|&position| self.is_held_out(position));
        if let Some(per_class) = split.balance {
            let chosen = balanced_subset(&self.labels_at(&pool), self.set.classes.len(), per_class, seed)?;
            pool = chosen.into_iter().map(|i| pool[i]).collect();
        }
        let labels = self.labels_at(&pool);
        let n_classes = self.set.classes.len();
        let (drawn, protocol) = match split.rule {
            SplitRule::Study => (study_split(&labels, n_classes, budget, seed, Shortage::Fail)?, "study"),
            SplitRule::StudyCapped => (study_split(&labels, n_classes, budget, seed, Shortage::Cap)?, "study"),
            SplitRule::StudyGrouped => {
                let groups = self.groups_at(&pool)?;
                let grouped = grouped_split(&labels, &groups, n_classes, budget, seed)?;
                match leaky {
                    true => (leaky_split(&labels, &groups, &grouped, seed)?, "leaky"),
                    false => (grouped, "grouped"),
                }
            }
        };
        let at = |indices: &[usize]| indices.iter().map(|&i| pool[i]).collect::<Vec<_>>();
        let (train, mut val, mut test) = (at(&drawn.train), at(&drawn.val), at(&drawn.test));
        if let Some(official) = &split.val {
            // What the rule would have taken from the pool is part of the rest.
            test.append(&mut val);
            test.sort_unstable();
            val = self.official_val(&official.name, budget, seed)?;
        }
        if let Some(official) = &split.id_test {
            test = self.positions(&official.name)?;
        }
        let ood = match &split.ood_test {
            Some(official) => self.positions(&official.name)?,
            None => self.unseen(ood, &[&train, &val, &at(&drawn.unused)])?,
        };
        Ok(Parts { protocol, train, val, test, ood })
    }

    /// Validation images of a published part: the count that the rule asks of every class for the budget alone, or what
    /// the class has.
    fn official_val(&self, part: &str, budget: usize, seed: u64) -> Result<Vec<usize>> {
        let positions = self.positions(part)?;
        // So large a class that only the budget counts.
        let counts = study_counts(budget, budget.saturating_mul(2))?;
        let labels = self.labels_at(&positions);
        let drawn = draw_per_class(&labels, self.set.classes.len(), counts.val, seed, Shortage::Cap)?;
        Ok(drawn.into_iter().map(|i| positions[i]).collect())
    }

    /// Of the held-out images, those whose group no image in `shown` has: the same emoji in another style would measure
    /// memory, not drift.
    fn unseen(&self, ood: Vec<usize>, shown: &[&[usize]]) -> Result<Vec<usize>> {
        if self.set.groups.is_none() || ood.is_empty() {
            return Ok(ood);
        }
        let seen: HashSet<&str> = self.groups_at(&shown.concat())?.into_iter().collect();
        let groups = self.groups_at(&ood)?;
        Ok(ood.iter().zip(&groups).filter(|(_, group)| !seen.contains(*group)).map(|(&i, _)| i).collect())
    }

    /// Fits one probe on the training images of `parts` and predicts the others, with the study's settings.
    pub fn predict(&self, method: Method, parts: &Parts) -> Result<Predictions> {
        let features = self.chosen()?;
        let rows = |positions: &[usize]| features.select(Axis(0), positions);
        let part = |positions: &[usize]| labelled(rows(positions), self.labels_at(positions));
        let train = part(&parts.train)?;
        let predict = |classify: &dyn Fn(&[usize]) -> Result<Array1<u32>>, warning: String| {
            let ood = if parts.ood.is_empty() { Vec::new() } else { classify(&parts.ood)?.to_vec() };
            Ok(Predictions { test: classify(&parts.test)?.to_vec(), ood, warning })
        };
        let knn = |params: KnnParams| {
            let model = params.fit(&train)?;
            predict(&|positions| model.try_predict(rows(positions).view()), String::new())
        };
        let lr = |model: Logistic| predict(&|positions| model.try_predict(rows(positions).view()), model.warning());
        match method {
            Method::ZeroShot | Method::ZeroShotEnsemble => {
                predict(&|positions| Ok(Array1::from(self.ask(method, positions)?)), String::new())
            }
            Method::Knn => knn(Knn::params(5)),
            Method::KnnDino => knn(Knn::dino().k(20.min(parts.train.len()))),
            Method::Lr => lr(Logistic::params(1.0).fit(&train)?),
            Method::LrSweep => lr(CSweep::dinov2().fit(&train, &part(&parts.val)?)?.refit),
        }
    }

    /// The rows of one arm.
    fn measure(&self, arm: &Arm, method: Method) -> Result<Vec<ResultRow>> {
        let parts = self.parts(arm.budget.unwrap_or(0) as usize, arm.seed, arm.protocol == "leaky")?;
        let predictions = self.predict(method, &parts)?;
        let n_train = if method.asks_by_words() { 0 } else { parts.train.len() as u32 };
        let mut rows = Vec::new();
        for (split, positions, predicted) in
            [("test", &parts.test, &predictions.test), ("ood", &parts.ood, &predictions.ood)]
        {
            if positions.is_empty() {
                continue;
            }
            let truth = self.labels_at(positions);
            let n_classes = self.set.classes.len();
            let values = [
                ("accuracy", metrics::accuracy(predicted, &truth)?),
                ("balanced_accuracy", metrics::balanced_accuracy(predicted, &truth, n_classes)?),
                ("macro_f1", metrics::macro_f1(predicted, &truth, n_classes)?),
            ];
            rows.extend(values.map(|(metric, value)| ResultRow {
                arm: arm.clone(),
                split: split.into(),
                metric: metric.into(),
                value: Some(value),
                n_train,
                n_test: positions.len() as u32,
                warning: predictions.warning.clone(),
            }));
        }
        Ok(rows)
    }

    /// The `k` nearest training images of each test image in `queries` (positions in the feature table), nearest
    /// first: what kNN votes on.
    pub fn nearest(&self, parts: &Parts, queries: &[usize], k: usize) -> Result<Vec<Vec<usize>>> {
        let features = self.chosen()?;
        let train = labelled(features.select(Axis(0), &parts.train), self.labels_at(&parts.train))?;
        let neighbours = Knn::params(k).fit(&train)?.neighbours(features.select(Axis(0), queries).view())?;
        Ok(neighbours.rows.rows().into_iter().map(|rows| rows.iter().map(|&i| parts.train[i]).collect()).collect())
    }
}

/// Mean accuracy of a model on one part of a data set over methods, budgets and seeds, leaky arms aside; `None` where
/// there is no row.
pub fn mean_accuracy(rows: &[ResultRow], dataset: &str, model: &str, split: &str) -> Option<f64> {
    let wanted = |row: &&ResultRow| {
        let arm = &row.arm;
        arm.dataset == dataset
            && arm.model == model
            && arm.protocol != "leaky"
            && row.split == split
            && row.metric == "accuracy"
    };
    let values: Vec<f64> = rows.iter().filter(wanted).filter_map(|row| row.value).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Compares two models on the same test images by a paired bootstrap of the difference in accuracy, `a` minus `b`.
///
/// # Errors
/// Benches of different data sets, or of different images.
pub fn compare(a: &Bench, b: &Bench, method: Method, budget: usize, seed: u64) -> Result<PairedBootstrap> {
    const RESAMPLES: usize = 2000;
    if a.set.id != b.set.id || a.features.rows != b.features.rows {
        let expected = format!("the images of {}", a.set.id);
        return Err(Error::argument("b", expected, format!("those of {}", b.set.id)));
    }
    let parts = a.parts(budget, seed, false)?;
    let truth = a.labels_at(&parts.test);
    let correct = |bench: &Bench| metrics::correct(&bench.predict(method, &parts)?.test, &truth);
    metrics::paired_bootstrap(&correct(a)?, &correct(b)?, RESAMPLES, seed)
}
