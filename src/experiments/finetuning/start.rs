//! What all runs of a data set and model start from, and one run from its beginning to its numbers.

use super::arms::{Arm, HeadStart};
use crate::datasets::Squares;
use crate::error::{Error, Result};
use crate::experiments::ledger::Outcome;
use crate::experiments::score::{METRICS, Measured, score};
use crate::experiments::{Encoded, Encoding, Parts, Tell};
use crate::finetune::{Examples, FineTune, FineTuneParams, Recipe, between};
use crate::images::Preprocess;
use crate::manifest::{ModelRecord, Tuning};
use crate::metrics;
use crate::models::{self, Architecture, ModelWeights, device_name};
use crate::probe::{labelled, logistic::Logistic};
use crate::project::Project;
use crate::results::{Made, Predicted, Right, Run, Score};
use crate::training::{self, Ended, Head, Place};
use candle_core::{DType, Device, Tensor};
use linfa::traits::Fit;
use ndarray::{Array1, Array2, Axis};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The inverse penalty of the logistic regression, the study's.
const C: f64 = 1.0;
/// Time between checkpoints: what a kill may cost.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// How much larger than the model's the images are that views are cut from.
const UNCUT: (usize, usize) = (4, 3);

/// A data set and a model, ready for any number of runs.
pub struct Start {
    encoded: Encoded,
    encoding: Encoding,
    weights: ModelWeights,
    squares: Arc<Squares>,
    uncut: Mutex<Option<Arc<Squares>>>,
    cache: PathBuf,
    runs: PathBuf,
    device: Device,
}

/// What is asked of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// How it is trained.
    pub method: Tuning,
    /// Label budget.
    pub budget: usize,
    /// Draws split, head and order.
    pub seed: u64,
    /// Epochs at most.
    pub max_epochs: u64,
    /// Images of a batch that are in memory together; `None` takes all.
    pub images_at_once: Option<usize>,
    /// What the backbone computes in while it learns and is measured; f32, or on a GPU bf16.
    pub precision: DType,
}

impl Asked {
    /// With the study's limit of 1000 epochs and whole batches.
    pub fn new(method: Tuning, budget: usize, seed: u64) -> Asked {
        Asked { method, budget, seed, max_epochs: 1000, images_at_once: None, precision: DType::F32 }
    }

    /// With another limit.
    pub fn at_most(self, max_epochs: u64) -> Asked {
        Asked { max_epochs, ..self }
    }
}

/// A run that is over.
pub struct Tuned {
    /// How it went.
    pub run: Run,
    /// Losses and measures, epoch by epoch, of the run that counts.
    pub curve: training::Curve,
    /// Its numbers, for the last weights and the best ones, or for each alpha.
    pub scores: Vec<Score>,
    /// What was said of each image.
    pub predicted: Vec<Predicted>,
    /// Which images were right, the logistic regression's beside them.
    pub right: Vec<Right>,
    /// The weights to go on with, those of the lowest validation loss or of the chosen alpha, by the name in `scores`.
    pub kept: (String, BTreeMap<String, Tensor>),
    /// The job.
    pub job: FineTune,
}

/// A logistic regression on the frozen features of the training images.
struct Fitted {
    model: Logistic,
    weights: Array2<f32>,
    biases: Array1<f32>,
}

impl Start {
    /// Opens a data set and a model of the project, extracts its features, and decodes the images.
    ///
    /// # Errors
    /// A data set or model that is not known or cannot be opened.
    pub fn open(project: &Project, dataset: &str, model: &str, device: &Device) -> Result<Start> {
        let encoding = Encoding::of_f32(project, &project.images(dataset)?, model, device)?;
        let encoded = encoding.encode(project, None)?;
        Start::of(project, &encoding, encoded, device)
    }

    pub(super) fn of(project: &Project, encoding: &Encoding, encoded: Encoded, device: &Device) -> Result<Start> {
        let record = &encoding.model;
        if let Architecture::Pixels(_) = Architecture::named(&record.architecture)? {
            return Err(Error::argument("model", "one with weights, for fine-tuning", record.id.clone()));
        }
        let weights = models::read_weights(project.root(), record, device)?;
        let preprocess = models::preprocess(&record.input);
        let squares = Squares::of(&encoded.set, &encoded.features.rows, &preprocess, project.cache())?;
        Ok(Start {
            encoded,
            encoding: encoding.clone(),
            weights,
            squares: Arc::new(squares),
            uncut: Mutex::new(None),
            cache: project.cache().into(),
            runs: runs_folder(project),
            device: device.clone(),
        })
    }

    /// The images with their features.
    pub fn encoded(&self) -> &Encoded {
        &self.encoded
    }

    /// The record of the model.
    pub fn model(&self) -> &ModelRecord {
        &self.encoding.model
    }

    /// The parts of a budget and seed, the same as for probes; validation images of classes that no training image has are
    /// left out.
    ///
    /// # Errors
    /// As for [`Encoded::parts`]; a split without validation images.
    pub fn parts(&self, budget: usize, seed: u64) -> Result<Parts> {
        let mut parts = self.encoded.parts(budget, seed)?;
        let trained: HashSet<u32> = self.encoded.labels_at(&parts.train).into_iter().collect();
        parts.val.retain(|&position| trained.contains(&self.encoded.labels_at(&[position])[0]));
        if parts.val.is_empty() {
            let (id, counts) = (&self.encoded.set.id, self.encoded.set.class_counts());
            let smallest = (0..counts.len()).min_by_key(|&class| counts[class]).unwrap_or(0);
            let expected = format!(
                "at least one of {id} for early stopping: a larger budget, or more images of the smallest class, `{}`",
                self.encoded.set.classes[smallest]
            );
            let found = format!("none at a label budget of {budget}; that class has {} images", counts[smallest]);
            return Err(Error::argument("validation images", expected, found));
        }
        Ok(parts)
    }

    /// The arm of a run here.
    pub fn arm(&self, method: Tuning, max_epochs: u64) -> Arm {
        arm(&self.encoding, method, max_epochs)
    }

    /// A job from its beginning; with the logistic regression's head where the arm begins so.
    ///
    /// # Errors
    /// As for [`FineTune::new`].
    pub fn job(&self, asked: &Asked, recipe: &Recipe) -> Result<FineTune> {
        let parts = self.parts(asked.budget, asked.seed)?;
        let arm = self.arm(asked.method, asked.max_epochs);
        let fitted = match arm.head {
            HeadStart::Drawn => None,
            HeadStart::Fitted => Some(self.fit(&parts)?),
        };
        self.job_of(asked, recipe, &parts, fitted.as_ref())
    }

    fn job_of(&self, asked: &Asked, recipe: &Recipe, parts: &Parts, fitted: Option<&Fitted>) -> Result<FineTune> {
        let record = &self.encoding.model;
        let (encoded, classes) = (&self.encoded, self.encoded.set.classes.len());
        let normalisation = recipe.input.normalisation((record.input.mean, record.input.std));
        let examples = Examples::new(self.squares.clone(), encoded.labels(), classes, normalisation)?;
        let head = fitted.map(|fitted| fitted.tensors(&self.device)).transpose()?;
        FineTune::new(FineTuneParams {
            name: format!("{} on {}", record.id, encoded.set.id),
            architecture: &self.weights.architecture,
            weights: &self.weights.tensors,
            weights_id: &self.weights.id,
            feature: (&record.features.default, record.features.dim),
            head: match &head {
                Some((weights, biases)) => Head::Given(weights, biases),
                None => Head::Torch,
            },
            examples,
            uncut: recipe.views.as_ref().map(|_| self.uncut()).transpose()?,
            train: parts.train.clone(),
            val: parts.val.clone(),
            recipe: recipe.clone(),
            seed: asked.seed,
            images_at_once: asked.images_at_once,
            device: self.device.clone(),
        })?
        .in_precision(asked.precision)
    }

    /// The images that views are cut from, decoded when they are first asked for.
    fn uncut(&self) -> Result<Arc<Squares>> {
        let mut uncut = self.uncut.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(squares) = uncut.as_ref() {
            return Ok(squares.clone());
        }
        let own = models::preprocess(&self.encoding.model.input);
        let larger = Preprocess { size: own.size * UNCUT.0 / UNCUT.1, crop_pct: 1.0, ..own };
        let rows = &self.encoded.features.rows;
        let squares = Arc::new(Squares::of(&self.encoded.set, rows, &larger, &self.cache)?);
        *uncut = Some(squares.clone());
        Ok(squares)
    }

    fn fit(&self, parts: &Parts) -> Result<Fitted> {
        let features = self.encoded.chosen()?.select(Axis(0), &parts.train);
        let model = Logistic::params(C).fit(&labelled(features, self.encoded.labels_at(&parts.train))?)?;
        let (weights, biases) = model.linear(self.encoded.set.classes.len())?;
        Ok(Fitted { model, weights, biases })
    }

    /// Whether the model has batch normalisation.
    pub fn has_batch_norm(&self) -> bool {
        matches!(self.weights.architecture, Architecture::EfficientNet(_))
    }

    /// Trains one run, or goes on with it, and measures it; prints progress. Checkpoints stay in the project's `results/runs/`, in
    /// a folder of this run, so that the same call goes on where it was.
    ///
    /// # Errors
    /// As for [`Start::tune`].
    pub fn tune_shown(&self, asked: &Asked) -> Result<Tuned> {
        let Asked { images_at_once, precision, .. } = asked;
        let at_once = images_at_once.map_or_else(String::new, |n| format!("-{n}-at-once"));
        let precision = if *precision == DType::F32 { String::new() } else { format!("-{}", precision.as_str()) };
        let name = format!("{}{at_once}{precision}", super::cell(&self.encoding, asked).key);
        self.tune_in(asked, &self.runs.join(name), None)
    }

    /// Trains one run in `folder`, or goes on with it, and measures it. A run that is over is measured again.
    ///
    /// # Errors
    /// Parts that cannot be drawn; whatever training can fail with.
    pub fn tune(&self, asked: &Asked, folder: &Path, tell: &Tell) -> Result<Tuned> {
        self.tune_in(asked, folder, Some(tell))
    }

    fn tune_in(&self, asked: &Asked, folder: &Path, tell: Option<&Tell>) -> Result<Tuned> {
        let parts = self.parts(asked.budget, asked.seed)?;
        let fitted = self.fit(&parts)?;
        let arm = self.arm(asked.method, asked.max_epochs);
        let n_recipes = arm.recipes.len();
        let head = (arm.head == HeadStart::Fitted).then_some(&fitted);
        let (mut tried, mut diverged) = (Vec::new(), Vec::new());
        for (i, recipe) in arm.recipes.iter().enumerate() {
            let job = self.job_of(asked, recipe, &parts, head)?;
            let mut job = match tell {
                None => job,
                Some(tell) => watched(job, asked, tell.clone(), (i, n_recipes)),
            };
            let plan = job.plan()?;
            // A folder per run: what another version of the program has left in it is not gone on with.
            let identity = training::identity(&job, &plan);
            let folder = folder.join(format!("rate-{:e}-{}", recipe.rate, &identity[..16]));
            let verbose = tell.is_none();
            let place = Place { folder: &folder, every: CHECKPOINT_EVERY, stop_after: None, verbose, page: false };
            match training::train(&mut job, &plan, &place) {
                Ok(outcome) => tried.push((job, outcome)),
                // One of several rates that is too large leaves the choice to the others.
                Err(error) if n_recipes > 1 && training::has_diverged(&error) => diverged.push((recipe.rate, error)),
                Err(error) => return Err(error),
            }
        }
        let rates: Vec<String> = diverged.iter().map(|(rate, _)| format!("{rate:e}")).collect();
        match diverged.into_iter().next() {
            Some((_, error)) if tried.is_empty() => Err(error),
            _ => self.measure(asked, &arm, &parts, &fitted, (tried, rates)),
        }
    }

    /// The numbers of the runs of a choice, of which some rates may have `diverged`.
    fn measure(
        &self,
        asked: &Asked,
        arm: &Arm,
        parts: &Parts,
        fitted: &Fitted,
        (mut tried, diverged): (Vec<(FineTune, training::Outcome)>, Vec<String>),
    ) -> Result<Tuned> {
        let last_of =
            |outcome: &training::Outcome, name: &str| outcome.curve.line(name).last().map(|(_, value)| *value);
        let merit = |outcome: &training::Outcome| {
            let loss = last_of(outcome, "val_loss").filter(|loss| loss.is_finite()).unwrap_or(f64::INFINITY);
            (last_of(outcome, "val_accuracy").unwrap_or(0.0), -loss)
        };
        let better = |a: &(f64, f64), b: &(f64, f64)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1));
        let (epochs, images, seconds) = tried.iter().fold((0, 0, 0.0), |(epochs, images, seconds), (job, outcome)| {
            let steps = job.epochs().steps().max(1);
            (epochs + outcome.steps.div_ceil(steps), images + outcome.images, seconds + outcome.seconds)
        });
        let chosen = (0..tried.len()).max_by(|&a, &b| better(&merit(&tried[a].1), &merit(&tried[b].1))).unwrap_or(0);
        let (job, outcome) = tried.swap_remove(chosen);
        let mut words = match arm.recipes.len() {
            1 => String::new(),
            _ => format!("rate {:e}", job.recipe().rate),
        };
        let last = job.classifier().state()?;
        let moved = job.moved(&last)?;
        let mut warning = match (&outcome.ended, job.recipe().patience) {
            (Ended::Through, Some(_)) => format!("ended by the limit of {} epochs", job.recipe().epochs),
            _ => String::new(),
        };
        if arm.head == HeadStart::Fitted && !fitted.model.converged {
            warning = format!("begins with a logistic regression that ended early: {}", fitted.model.warning());
        }
        if !diverged.is_empty() {
            let more = if warning.is_empty() { "" } else { "; " };
            warning = format!("training diverged at the rate {}{more}{warning}", diverged.join(", "));
        }
        let mut said = Said {
            start: self,
            parts,
            warning: &warning,
            scores: Vec::new(),
            predicted: Vec::new(),
            right: Vec::new(),
        };
        let kept = if arm.alphas.is_empty() {
            said.hear(&job, "last")?;
            match &outcome.best {
                Some(best) => {
                    job.set_state(&best.state)?;
                    said.hear(&job, "best")?;
                    ("best".into(), best.state.clone())
                }
                None => ("last".into(), last),
            }
        } else {
            let mut best: Option<((f64, f64), f64)> = None;
            for &alpha in arm.alphas {
                job.set_state(&between(job.start(), &last, alpha)?)?;
                said.hear(&job, &named(alpha))?;
                let (loss, accuracy) = job.validate()?;
                let merit = (accuracy, if loss.is_finite() { -loss } else { f64::NEG_INFINITY });
                // Of equal ones the one that is nearer to the frozen model.
                if best.as_ref().is_none_or(|(known, _)| better(&merit, known).is_gt()) {
                    best = Some((merit, alpha));
                }
            }
            let alpha = best.map_or(0.0, |(_, alpha)| alpha);
            said.choose(&named(alpha), "chosen");
            words = named(alpha);
            ("chosen".into(), between(job.start(), &last, alpha)?)
        };
        said.of_probe(fitted)?;
        let Said { scores, predicted, right, .. } = said;
        let steps_an_epoch = job.epochs().steps().max(1);
        let made = Made::here();
        let run = Run {
            key: String::new(),
            dataset: self.encoded.set.id.clone(),
            model: self.encoding.model.id.clone(),
            method: asked.method.as_str().into(),
            budget: asked.budget as u32,
            seed: asked.seed,
            input: job.recipe().input.as_str().into(),
            rate: job.recipe().rate,
            chosen: words,
            ended: outcome.ended.to_string(),
            epochs,
            steps: outcome.steps,
            best_epoch: outcome.best.as_ref().map(|best| best.step.div_ceil(steps_an_epoch)),
            best_val_loss: outcome.best.as_ref().map(|best| best.value),
            images,
            seconds,
            peak_memory: super::super::work::peak_memory(),
            moved,
            threads: rayon::current_num_threads() as u32,
            device: device_name(&self.device).into(),
            machine: made.machine,
            date: made.date,
        };
        Ok(Tuned { run, curve: outcome.curve, scores, predicted, right, kept, job })
    }
}

/// Has `tell` told of a run, the `i`-th of `n`.
fn watched(job: FineTune, asked: &Asked, tell: Tell, (i, n): (usize, usize)) -> FineTune {
    let Asked { method, budget, seed, .. } = *asked;
    job.watched(move |course| {
        let part = (i as f64 + course.steps.0 as f64 / course.steps.1.max(1) as f64) / n as f64;
        // The rest is for measuring.
        tell(&format!("{} at budget {budget}, seed {seed}: {course}", method.as_str()), 0.9 * part);
    })
}

impl Tuned {
    /// What the rows of a cell are made of.
    pub(super) fn outcome(self, key: &str) -> Outcome {
        let Tuned { run, scores, right, .. } = self;
        let run = Run { key: key.into(), ..run };
        let right = right.into_iter().map(|right| Right { key: key.into(), ..right }).collect();
        Outcome { scores, run: Some(run), right, ..Outcome::default() }
    }
}

/// What states of a classifier say of the parts of a split.
struct Said<'a> {
    start: &'a Start,
    parts: &'a Parts,
    warning: &'a str,
    scores: Vec<Score>,
    predicted: Vec<Predicted>,
    right: Vec<Right>,
}

impl Said<'_> {
    /// Takes what the job says as it is now.
    fn hear(&mut self, job: &FineTune, weights: &str) -> Result<()> {
        let encoded = &self.start.encoded;
        let images = |positions: &[usize]| positions.iter().map(|&i| encoded.features.rows[i] as u32).collect();
        let val = &self.parts.val;
        self.predicted.push(Predicted::from_logits("val", weights, images(val), &job.logits(val)?));
        for (split, positions) in self.parts.measured() {
            let predicted = Predicted::from_logits(split, weights, images(positions), &job.logits(positions)?);
            self.judge(split, weights, positions, &predicted.classes())?;
            self.predicted.push(predicted);
        }
        Ok(())
    }

    /// What was heard of `weights` counts under another name too; of probabilities only that stays.
    fn choose(&mut self, weights: &str, name: &str) {
        let of = |scores: &Vec<Score>| -> Vec<Score> {
            let chosen = scores.iter().filter(|score| score.weights == weights).cloned();
            chosen.map(|score| Score { weights: name.into(), ..score }).collect()
        };
        self.scores.extend(of(&self.scores));
        let right = self.right.iter().filter(|right| right.weights == weights).cloned();
        let right: Vec<Right> = right.map(|right| Right { weights: name.into(), ..right }).collect();
        self.right.extend(right);
        self.predicted.retain(|predicted| predicted.weights == weights);
        self.predicted.iter_mut().for_each(|predicted| predicted.weights = name.into());
    }

    fn judge(&mut self, split: &'static str, weights: &str, positions: &[usize], predicted: &[u32]) -> Result<()> {
        let encoded = &self.start.encoded;
        let truth = encoded.labels_at(positions);
        let (n_classes, n_train) = (encoded.set.classes.len(), self.parts.train.len());
        let measured = Measured { split, n_classes, n_train, warning: self.warning, weights };
        self.scores.extend(score(&measured, predicted, &truth, &METRICS)?);
        self.note(split, weights, metrics::correct(predicted, &truth)?);
        Ok(())
    }

    fn note(&mut self, split: &str, weights: &str, right: Vec<bool>) {
        self.right.push(Right { key: String::new(), split: split.into(), weights: weights.into(), right });
    }

    /// What the logistic regression on the same split has right: what a run is held against, image by image.
    fn of_probe(&mut self, fitted: &Fitted) -> Result<()> {
        let encoded = &self.start.encoded;
        for (split, positions) in self.parts.measured() {
            let predicted = fitted.model.try_predict(encoded.chosen()?.select(Axis(0), positions).view())?;
            self.note(split, "lr", metrics::correct(&predicted.to_vec(), &encoded.labels_at(positions))?);
        }
        Ok(())
    }
}

impl Fitted {
    fn tensors(&self, device: &Device) -> Result<(Tensor, Tensor)> {
        let weights: Vec<f32> = self.weights.iter().copied().collect();
        let biases = self.biases.to_vec();
        Ok((Tensor::from_vec(weights, self.weights.dim(), device)?, Tensor::new(biases, device)?))
    }
}

/// What the weights at a part of the way are called.
fn named(alpha: f64) -> String {
    format!("alpha {alpha}")
}

/// Where runs that may go on have their checkpoints.
pub(super) fn runs_folder(project: &Project) -> PathBuf {
    project.results_folder().join("runs")
}

/// The arm of a method for a data set and model.
pub(super) fn arm(encoding: &Encoding, method: Tuning, max_epochs: u64) -> Arm {
    Arm::of(method, encoding.model.input.size, &encoding.dataset.augment, max_epochs)
}
