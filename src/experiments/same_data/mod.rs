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

pub(super) use alignment::alignment_cells;
pub use alignment::{Alignment, TABLE as ALIGNMENT, alignment, alignment_rows};
pub use asked::{Asked, asked};
pub use attention::{attention_lift, attention_of};
pub use ranking::{RELATIVES, Survival, places_of_study, survival, survival_without};

use super::encoded::unit;
use super::ledger::Outcome;
use super::runner::Plan;
use super::score::{Measured, score};
use super::{Encoded, Encoding, Experiment, Parts, Protocol, Tell, Words, Work, effort, predict};
use crate::by_name;
use crate::error::{Error, Result};
use crate::manifest::{Method, ModelRecord, Weights};
use crate::metrics::{self, PairedBootstrap};
use crate::models::{Architecture, ClipConfig};
use crate::probe::{labelled, standardise::Standardiser};
use crate::project::Project;
use crate::results::{Answers, Cell, ResultRow};
use candle_core::Device;
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the rows call their table; it is none of the study's.
pub const TABLE: &str = "same_data";
/// Behind the name of a feature whose columns were standardised on the training images.
pub const STANDARDISED: &str = ", standardised";
/// Raised whenever a change here, in the probe or in the features moves a number.
const CODE_VERSION: u32 = 2;
/// So many that the least p-value stands after Holm over the 80 differences of the full suite: 80 x 2 / 5,001.
const RESAMPLES: usize = 5000;
/// The seed of the weights that the pocket models began with.
const BEGAN_WITH: u64 = 0;
/// The control that every model has.
pub const PIXELS: &str = "pixels.raw";

/// Brings the rows of every feature of every model of the project's suite, and of its [`twin`], at the largest budget, on
/// every seed; the model's default feature also standardised. CLIP is besides asked by class names (`zero_shot`), on the
/// same images.
///
/// # Errors
/// Whatever loading, extraction, splitting or fitting gives; rows kept until then stay.
pub fn run(project: &Project, device: &Device) -> Result<Vec<ResultRow>> {
    super::run(project, &SameData, device)
}

pub(super) struct SameData;

/// What its cells share.
pub(super) struct Ready {
    encoded: Encoded,
    words: Words,
    default: String,
}

impl Experiment for SameData {
    type Ready = Ready;

    fn name(&self) -> &'static str {
        TABLE
    }

    fn title(&self) -> &'static str {
        "features and neighbours"
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["accuracy"]
    }

    fn models(&self, project: &Project) -> Result<Vec<String>> {
        with_twins(project)
    }

    fn cells(&self, project: &Project, encoding: &Encoding) -> Result<Vec<Cell>> {
        let (suite, budget) = (project.suite()?, largest_budget(project)?);
        let features = &encoding.model.features;
        let asked = by_name::asked(project.root(), &encoding.model, &encoding.set.classes, Method::ZeroShot)?;
        let cell = |seed: u64, method: Method, settings: &str, pooling: &str| {
            encoding.cell(&Work {
                table: TABLE,
                method: (method.as_str(), settings),
                pooling,
                protocol: Protocol::of(&encoding.dataset)[0].as_str(),
                budget: Some(budget as u32),
                seed,
                code: CODE_VERSION,
            })
        };
        let mut cells = Vec::new();
        for &seed in &suite.seeds {
            let knn = |pooling: &str| cell(seed, Method::KnnDino, predict::settings(Method::KnnDino), pooling);
            cells.extend(features.names().into_iter().map(knn));
            cells.push(knn(&format!("{}{STANDARDISED}", features.default)));
            // Under the feature that CLIP projects.
            let projected = ClipConfig::named(&encoding.model.architecture).map_or("cls", |config| config.pooling);
            cells.extend(asked.iter().map(|asked| cell(seed, Method::ZeroShot, asked, projected)));
        }
        Ok(cells)
    }

    fn effort(&self, encoding: &Encoding, cell: &Cell, dim: usize) -> f64 {
        // The other features are shorter than the default one.
        let is_default = cell.pooling.starts_with(&encoding.model.features.default);
        let dim = if is_default { dim } else { dim / 10 };
        effort::of_probe(Method::KnnDino, encoding, dim, cell.budget.unwrap_or_default() as usize)
    }

    fn prepare(&self, project: &Project, encoding: &Encoding, encoded: Encoded, device: &Device) -> Result<Ready> {
        let words = Words::open(project, encoding, &[Method::ZeroShot], device)?;
        Ok(Ready { encoded, words, default: encoding.model.features.default.clone() })
    }

    fn measure(&self, ready: &Ready, cell: &Cell, _: &Tell) -> Result<Outcome> {
        let encoded = &ready.encoded;
        let parts = encoded.parts(cell.budget.unwrap_or(0) as usize, cell.seed)?;
        let method = Method::known(&cell.method)?;
        let by_words = method.asks_by_words();
        let classify: Box<dyn Fn(&[usize]) -> Result<Vec<u32>>> = match by_words {
            true => Box::new(|positions| ready.words.ask(encoded, method, positions)),
            false => neighbours(encoded, &parts, method, &cell.pooling)?,
        };
        let n_train = if by_words { 0 } else { parts.train.len() };
        let mut outcome = Outcome::default();
        for (split, positions) in parts.measured() {
            let predicted = classify(positions)?;
            let measured = Measured { split, n_classes: encoded.set.classes.len(), n_train, warning: "", weights: "" };
            outcome.scores.extend(score(&measured, &predicted, &encoded.labels_at(positions), self.metrics())?);
            // Models are compared image by image under their default feature.
            if !by_words && cell.pooling == ready.default {
                let images = positions.iter().map(|&position| encoded.features.rows[position] as u32).collect();
                outcome.answers.push(Answers { key: cell.key.clone(), split: split.into(), images, predicted });
            }
        }
        Ok(outcome)
    }
}

/// Nearest neighbours on one feature of the training images, standardised where its name says so.
fn neighbours<'a>(
    encoded: &'a Encoded,
    parts: &Parts,
    method: Method,
    pooling: &str,
) -> Result<Box<dyn Fn(&[usize]) -> Result<Vec<u32>> + 'a>> {
    let (pooling, standardised) = match pooling.strip_suffix(STANDARDISED) {
        Some(pooling) => (pooling, true),
        None => (pooling, false),
    };
    let features = encoded.features.pooling(pooling)?;
    let of = |positions: &[usize]| features.select(Axis(0), positions);
    let train = of(&parts.train);
    let scale = standardised.then(|| Standardiser::fit(train.view())).transpose()?;
    let scaled = move |features: Array2<f32>| match &scale {
        Some(scale) => scale.apply(features.view()),
        None => Ok(features),
    };
    let train = labelled(scaled(train)?, encoded.labels_at(&parts.train))?;
    let fitted = predict::fit(method, &train, || Err(Error::argument("val", "no choice to make", "one")))?;
    Ok(Box::new(move |positions| (fitted.classify)(scaled(features.select(Axis(0), positions))?.view())))
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

/// A model held against a control on the same images.
#[derive(Debug, Clone, PartialEq)]
pub struct Against {
    /// Data set id.
    pub dataset: String,
    /// `test`, or `id` and `ood`.
    pub split: String,
    /// Model id.
    pub model: String,
    /// Id of the control: raw pixels, or the model's twin with the weights that it began with.
    pub control: String,
    /// Model minus control.
    pub paired: PairedBootstrap,
    /// Its p-value after Holm, over all that were held against a control.
    pub holm: f64,
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
    let began = |other: &ModelRecord| matches!(other.weights, Weights::Random { seed: BEGAN_WITH, of_training: true });
    let architecture = image_tower(record)?;
    for other in project.manifests.models() {
        if began(other) && image_tower(other)? == architecture {
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
/// As for [`run`], which it does first.
pub fn against_controls(project: &Project, device: &Device) -> Result<Vec<Against>> {
    run(project, device)?;
    let suite = project.suite()?.clone();
    // A model with its controls.
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for model in &suite.models {
        if let Some(twin) = twin(project, project.manifests.model(model)?)? {
            pairs.extend([(model.as_str(), twin.id.as_str()), (model.as_str(), PIXELS)]);
        }
    }
    let models: BTreeSet<&str> = pairs.iter().flat_map(|(model, control)| [*model, *control]).collect();
    let plan = Plan::new(project, &SameData, device, None)?;
    let mut all = Vec::new();
    for dataset in &suite.datasets {
        let of_set = plan.encodings().iter().filter(|(encoding, _)| encoding.dataset.id == *dataset);
        let mut known: HashMap<&str, BTreeMap<String, Told>> = HashMap::new();
        for (encoding, cells) in of_set.filter(|(encoding, _)| models.contains(encoding.model.id.as_str())) {
            // What is left out is named with the rows.
            if !cells.iter().any(|cell| plan.ledger().is_missing(cell)) {
                known.insert(&encoding.model.id, told(&plan, encoding, cells)?);
            }
        }
        let against = |&(model, control): &(&str, &str)| -> Result<Vec<Against>> {
            let (Some(ours), Some(theirs)) = (known.get(model), known.get(control)) else { return Ok(Vec::new()) };
            let compare = |(split, ours): (&String, &Told)| {
                let theirs = theirs.get(split).filter(|theirs| theirs.images == ours.images).ok_or_else(|| {
                    Error::argument("answers", format!("those of {control} for the images of {model}"), "others")
                })?;
                let paired = metrics::paired_group_bootstrap(&ours.groups, &ours.right, &theirs.right, RESAMPLES, 0)?;
                let (dataset, model, control) = (dataset.clone(), model.into(), control.into());
                let holm = paired.p_value;
                Ok(Against { dataset, split: split.clone(), model, control, paired, holm })
            };
            ours.iter().map(compare).collect()
        };
        all.extend(pairs.par_iter().map(against).collect::<Result<Vec<_>>>()?.into_iter().flatten());
    }
    let p_values: Vec<f64> = all.iter().map(|against: &Against| against.paired.p_value).collect();
    for (against, adjusted) in all.iter_mut().zip(metrics::holm(&p_values)?) {
        against.holm = adjusted;
    }
    Ok(all)
}

/// Which images were told right, those of all seeds, and what each belongs to.
#[derive(Default)]
struct Told {
    images: Vec<u32>,
    groups: Vec<String>,
    right: Vec<bool>,
}

/// The answers of nearest neighbours under the default feature, by part.
fn told(plan: &Plan, encoding: &Encoding, cells: &[Cell]) -> Result<BTreeMap<String, Told>> {
    let of_default =
        |cell: &&Cell| cell.method == Method::KnnDino.as_str() && cell.pooling == encoding.model.features.default;
    let cells: Vec<&Cell> = cells.iter().filter(of_default).collect();
    let answers = plan.ledger().answers(&encoding.dataset.id, &encoding.model.id, &cells)?;
    let set = &encoding.set;
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    // Seed by seed, so that models meet image by image.
    for cell in cells {
        let mut of_cell = answers.iter().filter(|answers| answers.key == cell.key).peekable();
        if of_cell.peek().is_none() {
            let expected = format!("the answers of {} on {} at seed {}", cell.model, cell.dataset, cell.seed);
            return Err(Error::argument("answers", expected, "none beside its rows; remove its file in results/"));
        }
        for answers in of_cell {
            let part = told.entry(answers.split.clone()).or_default();
            part.images.extend_from_slice(&answers.images);
            for (&image, &predicted) in answers.images.iter().zip(&answers.predicted) {
                part.right.push(set.labels[image as usize] == predicted);
                part.groups.push(unit(set, &encoding.dataset, image as usize));
            }
        }
    }
    Ok(told)
}
