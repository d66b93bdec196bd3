//! The same data, six objectives: what is left of the study's comparison when corpus and budget are equal?
//!
//! The pocket models learned from one corpus and drew one number of images, so that objective and architecture are all
//! that tells them apart. Here they are read by every feature they have ([`run`]), held against raw pixels and against
//! the weights they began with ([`against_controls`]), against each other ([`alignment`]), and against the study's order
//! of their big relatives ([`Survival`]); [`attention_lift`] says whether the class token looks at the drawing, [`asked`]
//! how often CLIP finds a class by words.
//!
//! The classifier is DINO's (k = 20, cosine, weighted votes), which has nothing to tune and no scale to get wrong.

mod alignment;
mod asked;
mod attention;
mod ranking;

pub use alignment::{Alignment, alignment};
pub use asked::{Asked, asked};
pub use attention::{attention_lift, attention_of};
pub use ranking::{RELATIVES, Survival, places_of_study, survival};

use super::{Bench, ByName, effort};
use crate::datasets::ImageSet;
use crate::error::{Error, Result};
use crate::manifest::{Method, ModelRecord, SplitRule, Weights};
use crate::metrics::{self, PairedBootstrap};
use crate::models::{Architecture, ClipConfig};
use crate::probe::{knn::Knn, labelled, standardise::Standardiser};
use crate::progress::Progress;
use crate::project::Project;
use crate::results::{Arm, ResultRow, Results};
use candle_core::Device;
use linfa::traits::Fit;
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What the rows call their table; it is none of the study's.
pub const TABLE: &str = "same_data";
/// Behind the name of a feature whose columns were standardised on the training images.
pub const STANDARDISED: &str = ", standardised";
/// Raised whenever a change here, in the probe or in the features moves a number.
const CODE_VERSION: u32 = 2;
const RESAMPLES: usize = 2000;
/// The control that every model has.
const PIXELS: &str = "pixels.raw";

/// Runs every feature of every model of the project's suite, and of its [`twin`], at the largest budget, on every seed; the
/// model's default feature also standardised. CLIP is besides asked by class names (`zero_shot`), on the same images. Rows are saved
/// after every model.
///
/// # Errors
/// Whatever loading, extraction, splitting or fitting gives; rows saved until then stay.
pub fn run(project: &Project, device: &Device) -> Result<Vec<ResultRow>> {
    let suite = project.suite()?.clone();
    let budget = largest_budget(project)?;
    let mut results = Results::open(&project.results_path(TABLE))?;
    let mut wanted = HashSet::new();
    let models = with_twins(project)?;
    let sets = suite.datasets.iter().map(|dataset| project.images(dataset)).collect::<Result<Vec<_>>>()?;
    let mut total = 0.0;
    for (set, model) in sets.iter().flat_map(|set| models.iter().map(move |model| (set, model))) {
        let model = project.manifests.model(model)?;
        let n = suite.max_images.map_or(set.len(), |most| most.min(set.len()));
        total += n as f64 * effort::of_image(model)? + arm_work(set, n, model, budget) * suite.seeds.len() as f64;
    }
    let progress = Progress::weighted("features and neighbours", total);
    for set in &sets {
        for model in &models {
            progress.doing(format!("{} under {model}", set.id));
            let bench = Bench::of(set, project, model, &[], device, Some(&progress))?;
            let record = project.manifests.model(model)?;
            let by_name = ByName::open(project.root(), record, &bench.set.classes, device)?;
            let arms = arms(&bench, by_name.as_ref(), &record.features.default, &suite.seeds, budget);
            let missing: Vec<&Arm> = arms.iter().filter(|arm| !results.contains(arm)).collect();
            let work = arm_work(set, bench.features.rows.len(), record, budget)
                / (arms.len() as f64 / suite.seeds.len() as f64);
            progress.skip((arms.len() - missing.len()) as f64 * work);
            let rows = missing.par_iter().map(|arm| {
                let rows = measure(&bench, by_name.as_ref(), arm);
                progress.add(1, "arms", work);
                rows
            });
            let rows = rows.collect::<Result<Vec<_>>>()?.concat();
            wanted.extend(arms);
            if !rows.is_empty() {
                results.add(rows)?;
            }
        }
    }
    progress.finish();
    Ok(results.select(|row| wanted.contains(&row.arm)))
}

/// About how long the arms of a seed take, every feature of a model once and the default one twice.
fn arm_work(set: &ImageSet, n: usize, model: &ModelRecord, budget: usize) -> f64 {
    // The others are a third of the default together.
    effort::of_probe(Method::KnnDino, set, n, 2 * model.features.dim + model.features.dim / 3, budget)
}

/// The suite's models, then their twins, each once.
fn with_twins(project: &Project) -> Result<Vec<String>> {
    let mut models = project.suite()?.models.clone();
    for model in project.suite()?.models.iter() {
        if let Some(twin) = twin(project, project.manifests.model(model)?)?
            && !models.contains(&twin.id)
        {
            models.push(twin.id.clone());
        }
    }
    Ok(models)
}

fn largest_budget(project: &Project) -> Result<usize> {
    let budgets = &project.suite()?.budgets;
    budgets.iter().max().copied().ok_or_else(|| Error::argument("suite", "a label budget", "none"))
}

fn arms(bench: &Bench, by_name: Option<&ByName>, default: &str, seeds: &[u64], budget: usize) -> Vec<Arm> {
    let protocol = match bench.record.split.rule {
        SplitRule::Study | SplitRule::StudyCapped => "study",
        SplitRule::StudyGrouped => "grouped",
    };
    let arm = |method: &str, pooling: String, seed: u64| {
        let provenance = bench.arm(TABLE, method, protocol, CODE_VERSION);
        Arm { budget: Some(budget as u32), seed, pooling, ..provenance }
    };
    let mut arms = Vec::new();
    for &seed in seeds {
        arms.extend(bench.features.poolings.keys().map(|pooling| arm("knn_dino", pooling.clone(), seed)));
        arms.push(arm("knn_dino", format!("{default}{STANDARDISED}"), seed));
        arms.extend(by_name.map(|by_name| by_name.asked(arm("zero_shot", by_name.pooling().into(), seed))));
    }
    arms
}

fn measure(bench: &Bench, by_name: Option<&ByName>, arm: &Arm) -> Result<Vec<ResultRow>> {
    let parts = bench.parts(arm.budget.unwrap_or(0) as usize, arm.seed, false)?;
    let (pooling, standardised) = match arm.pooling.strip_suffix(STANDARDISED) {
        Some(pooling) => (pooling, true),
        None => (arm.pooling.as_str(), false),
    };
    let features = bench.features.pooling(pooling)?;
    let of = |positions: &[usize]| features.select(Axis(0), positions);
    let zero_shot = by_name.filter(|_| arm.method == "zero_shot");
    let n_train = if zero_shot.is_some() { 0 } else { parts.train.len() as u32 };
    let predict: Box<dyn Fn(Array2<f32>) -> Result<Vec<u32>>> = match zero_shot {
        Some(by_name) => Box::new(|features| Ok(by_name.predict(features.view())?.to_vec())),
        None => {
            let train = of(&parts.train);
            let scale = standardised.then(|| Standardiser::fit(train.view())).transpose()?;
            let scaled = move |features: Array2<f32>| match &scale {
                Some(scale) => scale.apply(features.view()),
                None => Ok(features),
            };
            let train = labelled(scaled(train)?, bench.labels_at(&parts.train))?;
            let knn = Knn::dino().k(20.min(parts.train.len())).fit(&train)?;
            Box::new(move |features| Ok(knn.try_predict(scaled(features)?.view())?.to_vec()))
        }
    };
    let mut rows = Vec::new();
    for (split, positions) in [("test", &parts.test), ("ood", &parts.ood)] {
        if positions.is_empty() {
            continue;
        }
        let truth = bench.labels_at(positions);
        rows.push(ResultRow {
            arm: arm.clone(),
            split: split.into(),
            metric: "accuracy".into(),
            value: Some(metrics::accuracy(&predict(of(positions))?, &truth)?),
            n_train,
            n_test: positions.len() as u32,
            warning: String::new(),
        });
    }
    Ok(rows)
}

/// A model held against a control on the same images.
#[derive(Debug, Clone, PartialEq)]
pub struct Against {
    /// Data set id.
    pub dataset: String,
    /// `test` or `ood`.
    pub split: &'static str,
    /// Model id.
    pub model: String,
    /// Id of the control: raw pixels, or the model's twin with the weights that it began with.
    pub control: String,
    /// Model minus control.
    pub paired: PairedBootstrap,
}

/// The model with the weights that `record`'s training began with; `None` for a model of another kind.
///
/// # Errors
/// An architecture that is not known.
pub fn twin<'a>(project: &'a Project, record: &ModelRecord) -> Result<Option<&'a ModelRecord>> {
    let image_tower = |record: &ModelRecord| match ClipConfig::named(&record.architecture) {
        Some(config) => Ok(config.image),
        None => Architecture::named(&record.architecture),
    };
    if matches!(record.weights, Weights::Random { .. }) {
        return Ok(None);
    }
    let architecture = image_tower(record)?;
    for other in project.manifests.models() {
        if matches!(other.weights, Weights::Random { of_training: true, .. }) && image_tower(other)? == architecture {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

/// Every model of the suite that has a [`twin`], on every data set, against its twin and against raw pixels: nearest
/// neighbours under the default feature at the suite's largest budget, the test images of all of its seeds, 95% by
/// [`metrics::paired_group_bootstrap`]. A group is what a split keeps together (all versions of a subject, in all
/// seeds), or an image of a data set without groups.
///
/// # Errors
/// As for [`run`].
pub fn against_controls(project: &Project, device: &Device) -> Result<Vec<Against>> {
    let suite = project.suite()?.clone();
    let budget = largest_budget(project)?;
    // A model with its controls.
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for model in &suite.models {
        if let Some(twin) = twin(project, project.manifests.model(model)?)? {
            pairs.extend([(model.as_str(), twin.id.as_str()), (model.as_str(), PIXELS)]);
        }
    }
    let models: BTreeSet<&str> = pairs.iter().flat_map(|(model, control)| [*model, *control]).collect();
    let mut all = Vec::new();
    for dataset in &suite.datasets {
        let answer = |id: &str| answers(&Bench::open(project, dataset, id, device)?, &suite.seeds, budget);
        let ids: Vec<&str> = models.iter().copied().collect();
        let found = ids.par_iter().map(|id| Ok((*id, answer(id)?)));
        let known: BTreeMap<&str, [Answers; 2]> = found.collect::<Result<_>>()?;
        let against = |&(model, control): &(&str, &str)| -> Result<Vec<Against>> {
            let mut found = Vec::new();
            for (split, (ours, theirs)) in ["test", "ood"].into_iter().zip(known[model].iter().zip(&known[control])) {
                if ours.right.is_empty() {
                    continue;
                }
                let Answers { groups, right } = ours;
                let (dataset, model, control) = (dataset.clone(), model.into(), control.into());
                let paired = metrics::paired_group_bootstrap(groups, right, &theirs.right, RESAMPLES, 0)?;
                found.push(Against { dataset, split, model, control, paired });
            }
            Ok(found)
        };
        all.extend(pairs.par_iter().map(against).collect::<Result<Vec<_>>>()?.into_iter().flatten());
    }
    Ok(all)
}

/// Which test images were told right, those of all seeds, and what each belongs to.
#[derive(Clone, Default)]
struct Answers {
    groups: Vec<String>,
    right: Vec<bool>,
}

/// The answers of nearest neighbours for the test images and for those of the held-out styles.
fn answers(bench: &Bench, seeds: &[u64], budget: usize) -> Result<[Answers; 2]> {
    let mut all = [Answers::default(), Answers::default()];
    for &seed in seeds {
        let parts = bench.parts(budget, seed, false)?;
        let found = bench.predict(Method::KnnDino, &parts)?;
        for (answers, (found, positions)) in all.iter_mut().zip([(&found.test, &parts.test), (&found.ood, &parts.ood)])
        {
            if positions.is_empty() {
                continue;
            }
            answers.right.extend(metrics::correct(found, &bench.labels_at(positions))?);
            match bench.record.split.rule {
                SplitRule::StudyGrouped => {
                    answers.groups.extend(bench.groups_at(positions)?.into_iter().map(String::from));
                }
                _ => answers.groups.extend(positions.iter().map(usize::to_string)),
            }
        }
    }
    Ok(all)
}
