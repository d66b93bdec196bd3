//! A run: a recipe trained on a corpus, from nothing or from where it was interrupted.
//!
//! A step is a pure function of the state before it and of what its number draws, so a run that was stopped at a
//! checkpoint and goes on ends, on a processor, with the very bits of one that was not. Views are drawn by a thread of
//! their own, a few batches ahead.

use super::captions;
use super::card;
use super::checkpoint::{self, Checkpoint};
use super::corpus::{Corpus, SIDE};
use super::curve::{Curve, CurveRow};
use super::live;
use super::objective::{Batch, Moment, Objective};
use super::probe::Probe;
use super::recipe::{Kind, Recipe};
use super::schedule::cosine;
use super::standardise::standardised;
use crate::error::{Error, Result};
use crate::models::clip::POCKET_CONTEXT;
use crate::ops::keep_memory;
use crate::optimiser::Adam;
use crate::progress::Progress;
use crate::random::Random;
use crate::storage::{self, FolderLock};
use crate::text::{Tokenizer, read_pairs};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Part of the steps over which the learning rate rises.
const WARM_UP: f64 = 0.05;
/// The learning rate at the end, as part of the highest.
const LAST_RATE: f64 = 0.001;
/// Probes of a run, the one at its end included.
const PROBES: u64 = 10;
/// Rows of losses in a run, about.
const ROWS: u64 = 200;
/// Batches that are drawn ahead.
const AHEAD: usize = 2;
/// Raised whenever a change moves the weights that a run ends with.
const CODE_VERSION: u32 = 2;

/// What a run needs beside its recipe.
pub struct Settings<'a> {
    /// What is learned from.
    pub corpus: &'a Corpus,
    /// Where it runs.
    pub device: &'a Device,
    /// Decides weights, order, views and masks.
    pub seed: u64,
    /// Source images drawn, views not counted; a multiple of the recipe's batch.
    pub images: u64,
    /// Where checkpoint, curve and results lie; one folder a run.
    pub folder: &'a Path,
    /// The folder of the tokenizer's finished run, for BEiT.
    pub tokenizer: Option<&'a Path>,
    /// Seconds between checkpoints.
    pub every: Duration,
    /// Stops after this step, with a checkpoint.
    pub stop_after: Option<u64>,
    /// Prints progress.
    pub verbose: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The weights, f16, under this crate's names, once the run is over.
    pub weights: Option<PathBuf>,
    /// Steps taken, earlier sittings included.
    pub steps: u64,
    /// Seconds of training, interruptions left out.
    pub seconds: f64,
    /// The last probe.
    pub probe: Option<Probe>,
}

/// Files of a finished run: weights of the encoder, of CLIP's text side, its byte pairs; curve and card.
pub(super) const WEIGHTS: &str = "weights.safetensors";
pub(super) const TEXT: &str = "text.safetensors";
pub(super) const PAIRS: &str = "pairs.txt";
pub(super) const CURVE: &str = "curve.csv";
pub(super) const CARD: &str = "card.md";

/// Trains `recipe`, going on from the checkpoint in the folder where there is one. A run that is over is not repeated.
///
/// # Errors
/// A folder that holds another run; losses that are not finite, by step; a corpus without captions for CLIP; everything
/// that reading and writing can fail with.
pub fn run(recipe: &Recipe, settings: &Settings) -> Result<Outcome> {
    keep_memory();
    let _lock = FolderLock::acquire(settings.folder, || println!("{}: another process trains it", recipe.id))?;
    Trainer::begin(recipe, settings)?.train()
}

/// A run under way.
struct Trainer<'a> {
    recipe: &'a Recipe,
    settings: &'a Settings<'a>,
    objective: Box<dyn Objective>,
    adam: Adam,
    curve: Curve,
    tokenizer: Option<Tokenizer>,
    total: u64,
    step: u64,
    seconds: f64,
    probe: Option<Probe>,
}

impl<'a> Trainer<'a> {
    fn begin(recipe: &'a Recipe, settings: &'a Settings) -> Result<Self> {
        let &Settings { corpus, device, seed, folder, .. } = settings;
        let total = recipe.steps(settings.images)?;
        let tokenizer = match (recipe.objective, settings.tokenizer) {
            (Kind::Beit, Some(folder)) => Some(candle_core::safetensors::load(folder.join(WEIGHTS), device)?),
            _ => None,
        };
        let objective = recipe.begin(corpus, seed, device, tokenizer)?;
        let tokenizer = (recipe.objective == Kind::Clip).then(|| byte_pairs(corpus, folder)).transpose()?;
        let mut adam = Adam::new(objective.parameters().trained().to_vec())?;
        adam.beta2 = recipe.beta2;
        let curve = Curve::open(&folder.join(CURVE))?;
        let mut trainer =
            Trainer { recipe, settings, objective, adam, curve, tokenizer, total, step: 0, seconds: 0.0, probe: None };
        trainer.resume()?;
        Ok(trainer)
    }

    /// What tells this run from all others.
    fn fingerprint(&self) -> String {
        let Settings { corpus, seed, images, .. } = self.settings;
        let captions = if self.recipe.objective == Kind::Clip { " captions read in parts" } else { "" };
        let words = format!("{CODE_VERSION} {:?} {seed} {images} {}{captions}", self.recipe, corpus.content());
        storage::sha256_hex(words.as_bytes())
    }

    fn checkpoint_path(&self) -> PathBuf {
        self.settings.folder.join("checkpoint.safetensors")
    }

    fn resume(&mut self) -> Result<()> {
        let path = self.checkpoint_path();
        if !path.exists() {
            self.curve.cut(0);
            return Ok(());
        }
        let mut state = Checkpoint::read(&path, self.settings.device)?;
        let found: String = state.fact(&path, "run")?;
        if found != self.fingerprint() {
            let expected = "a checkpoint of this recipe, corpus, seed and number of images";
            return Err(Error::data(&path, expected, "one of another run; remove it or choose another folder"));
        }
        self.step = state.fact(&path, "step")?;
        self.seconds = state.fact(&path, "seconds")?;
        self.curve.cut(self.step);
        let parameters = self.objective.parameters();
        let trained = parameters.trained().iter().map(|parameter| (&parameter.name, &parameter.var));
        for (name, var) in trained.chain(parameters.statistics()) {
            match state.tensors.get(&format!("value.{name}")) {
                Some(tensor) => var.set(tensor)?,
                None => return Err(Error::data(&path, format!("a tensor value.{name}"), "none")),
            }
        }
        self.adam.resume(self.step, |name| state.tensors.get(name).cloned())?;
        let memory = state.tensors.drain();
        let memory = memory.filter_map(|(name, tensor)| Some((name.strip_prefix("memory.")?.to_owned(), tensor)));
        let memory: HashMap<String, Tensor> = memory.collect();
        self.objective.remember(&memory)
    }

    fn save(&self) -> Result<()> {
        let parameters = self.objective.parameters();
        let trained = parameters.trained().iter().map(|parameter| (&parameter.name, &parameter.var));
        let values = trained.chain(parameters.statistics());
        let mut tensors: BTreeMap<String, Tensor> =
            values.map(|(name, var)| (format!("value.{name}"), var.as_tensor().clone())).collect();
        tensors.extend(self.adam.averages().map(|(name, average)| (name, average.clone())));
        let memory = self.objective.memory().into_iter();
        tensors.extend(memory.map(|(name, tensor)| (format!("memory.{name}"), tensor)));
        let facts =
            [("run", self.fingerprint()), ("step", self.step.to_string()), ("seconds", self.seconds.to_string())];
        let facts = facts.map(|(name, fact)| (name.to_owned(), fact)).into();
        // The curve first: rows after the checkpoint's step are dropped when it is read.
        self.curve.write()?;
        checkpoint::write(&self.checkpoint_path(), &tensors, DType::F32, facts)?;
        live::write(&self.settings.folder.join("live.html"), self.recipe, &self.curve, self.settings.images)
    }

    fn train(mut self) -> Result<Outcome> {
        let rows_every = (self.total / ROWS).max(1);
        // Rows are means over the steps since the one before, so a run stops behind a row.
        let whole = |stop: u64| stop.div_ceil(rows_every) * rows_every;
        let last = self.settings.stop_after.map_or(self.total, |stop| whole(stop).min(self.total));
        let mut progress = Progress::new(
            format!("pretraining {}", self.recipe.id),
            "images",
            self.settings.images as usize,
            self.step as usize * self.recipe.batch,
        );
        if !self.settings.verbose {
            progress = progress.silent();
        }
        let (recipe, settings, tokenizer) = (self.recipe, self.settings, self.tokenizer.take());
        let step = self.step;
        std::thread::scope(|scope| -> Result<()> {
            let (sender, batches) = sync_channel(AHEAD);
            scope.spawn(move || {
                for step in step..last {
                    // The run is over, or has failed: nobody listens.
                    if sender.send(draw(recipe, settings, tokenizer.as_ref(), step)).is_err() {
                        return;
                    }
                }
            });
            self.steps(&batches, last, rows_every, &mut progress)
        })?;
        progress.finish();
        if self.step < self.total {
            self.save()?;
            return Ok(Outcome { weights: None, steps: self.step, seconds: self.seconds, probe: self.probe });
        }
        self.finish()
    }

    fn steps(
        &mut self,
        batches: &Receiver<Result<Batch>>,
        last: u64,
        rows_every: u64,
        progress: &mut Progress,
    ) -> Result<()> {
        let probe_every = self.total.div_ceil(PROBES);
        let (mut sums, mut count) = (BTreeMap::<&'static str, f64>::new(), 0);
        let (mut clock, mut saved) = (Instant::now(), Instant::now());
        while self.step < last {
            let batch = batches.recv().map_err(|_| Error::argument("views", "a batch", "none"))??;
            for (name, value) in self.one(&batch)? {
                *sums.entry(name).or_default() += value;
            }
            count += 1;
            self.step += 1;
            progress.advance(self.recipe.batch);
            // Between rows there is no checkpoint: their means would be lost.
            if !self.step.is_multiple_of(rows_every) && self.step < last {
                continue;
            }
            self.seconds += clock.elapsed().as_secs_f64();
            for (name, sum) in std::mem::take(&mut sums) {
                self.row(name, sum / f64::from(count));
            }
            count = 0;
            if self.step / probe_every > (self.step - rows_every.min(self.step)) / probe_every
                || self.step == self.total
            {
                self.measure()?;
            }
            if saved.elapsed() >= self.settings.every && self.step < last {
                self.save()?;
                saved = Instant::now();
            }
            clock = Instant::now();
        }
        Ok(())
    }

    /// One step; the loss and its parts.
    fn one(&mut self, batch: &Batch) -> Result<Vec<(&'static str, f64)>> {
        let at = Moment { step: self.step, total: self.total, seed: self.settings.seed };
        let loss = self.objective.loss(batch, at)?;
        let scalar = |x: &Tensor| -> Result<f64> { Ok(f64::from(x.to_dtype(DType::F32)?.to_scalar::<f32>()?)) };
        let mut numbers = vec![("loss", scalar(&loss.total)?)];
        for (name, part) in &loss.parts {
            numbers.push((name, scalar(part)?));
        }
        if let Some((name, value)) = numbers.iter().find(|(_, value)| !value.is_finite()) {
            let found = format!("{value} for {name} at step {} of {}", self.step, self.recipe.id);
            return Err(Error::argument("loss", "finite numbers", found));
        }
        let gradients = loss.total.backward()?;
        let warm_up = (WARM_UP * self.total as f64) as u64;
        let highest = self.recipe.rate;
        let rate = cosine(highest, LAST_RATE * highest, warm_up, self.total, self.step);
        let scale = match self.recipe.longest_gradient {
            Some(longest) => (longest / (self.adam.norm(&gradients)? + 1e-6)).min(1.0),
            None => 1.0,
        };
        self.adam.scaled_step(&gradients, rate, scale)?;
        self.objective.after_step(at)?;
        Ok(numbers)
    }

    fn row(&mut self, metric: &str, value: f64) {
        self.curve.push(CurveRow {
            model: self.recipe.id.into(),
            step: self.step,
            images: self.step * self.recipe.batch as u64,
            seconds: self.seconds,
            metric: metric.into(),
            value,
        });
    }

    /// The weights as they are published.
    fn published(&self) -> Result<HashMap<String, Tensor>> {
        let &Settings { corpus, device, .. } = self.settings;
        let weights = self.objective.published()?;
        if self.recipe.objective.learns_from_words() || self.recipe.objective == Kind::Tokenizer {
            return Ok(weights);
        }
        standardised(weights, &self.recipe.transformer()?, corpus, device)
    }

    fn measure(&mut self) -> Result<()> {
        if self.recipe.objective == Kind::Tokenizer {
            return Ok(());
        }
        let &Settings { corpus, device, .. } = self.settings;
        let weights = VarBuilder::from_tensors(self.published()?, DType::F32, device);
        let backbone = self.recipe.architecture()?.build(weights)?;
        let size = self.recipe.views[0].size;
        let probe = Probe::measure(backbone.as_ref(), self.recipe.feature.0, size, corpus, device)?;
        self.row("knn_accuracy", probe.knn_accuracy);
        self.row("feature_deviation", probe.feature_deviation);
        self.row("effective_rank", probe.effective_rank);
        if self.settings.verbose {
            let Probe { knn_accuracy, feature_deviation, effective_rank } = probe;
            println!(
                "pretraining {}: step {} of {}, held-out kNN {:.1}%, feature deviation {feature_deviation:.2}, effective \
                 rank {effective_rank:.1}",
                self.recipe.id,
                self.step,
                self.total,
                100.0 * knn_accuracy
            );
        }
        self.probe = Some(probe);
        Ok(())
    }

    /// Writes the weights of a finished run.
    fn finish(mut self) -> Result<Outcome> {
        let path = self.settings.folder.join(WEIGHTS);
        if self.probe.is_none() && self.recipe.objective != Kind::Tokenizer {
            // Nothing was left to do: the last probe is in the curve.
            let last = |metric: &str| self.curve.line(metric).last().map_or(f64::NAN, |(_, value)| *value);
            self.probe = Some(Probe {
                knn_accuracy: last("knn_accuracy"),
                feature_deviation: last("feature_deviation"),
                effective_rank: last("effective_rank"),
            });
        }
        let done = Outcome { weights: Some(path.clone()), steps: self.step, seconds: self.seconds, probe: self.probe };
        if path.exists() {
            // The card tells where it was trained, not where it is looked at.
            return Ok(done);
        }
        self.save()?;
        // What only works with an image tower beside it goes into a file of its own.
        let of_text =
            |name: &str| name.starts_with("text") || name == "visual_projection.weight" || name == "logit_scale";
        let (text, weights): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.published()?.into_iter().partition(|(name, _)| of_text(name));
        let dtype = if self.recipe.objective == Kind::Tokenizer { DType::F32 } else { DType::F16 };
        // One fact only: the library writes several in the order of a hash table, and equal runs shall give equal bytes.
        let facts = HashMap::from([("run".to_owned(), self.fingerprint())]);
        if !text.is_empty() {
            checkpoint::write(&self.settings.folder.join(TEXT), &text, dtype, facts.clone())?;
        }
        let card = card::card(self.recipe, self.settings, &self.curve)?;
        storage::write_atomic(&self.settings.folder.join(CARD), card.as_bytes())?;
        checkpoint::write(&path, &weights, dtype, facts)?;
        Ok(done)
    }
}

/// The reader of captions; its byte pairs are learnt once and kept in the run's folder.
fn byte_pairs(corpus: &Corpus, folder: &Path) -> Result<Tokenizer> {
    let path = folder.join(PAIRS);
    if !path.exists() {
        let text = captions::to_text(&captions::learn(&corpus.captions)?);
        storage::write_atomic(&path, text.as_bytes())?;
    }
    Tokenizer::from_merges(&read_pairs(&path)?, POCKET_CONTEXT)
}

/// The batch of a step: views of the images that the run draws then.
fn draw(recipe: &Recipe, settings: &Settings, tokenizer: Option<&Tokenizer>, step: u64) -> Result<Batch> {
    let &Settings { corpus, device, seed, .. } = settings;
    let (n, drawn) = (recipe.batch, step * recipe.batch as u64);
    let rows = corpus.drawn(seed, drawn..drawn + n as u64);
    let view = |(place, augmentation): (usize, &super::augment::Augmentation)| -> Result<Tensor> {
        let (size, length) = (augmentation.size, 3 * augmentation.size * augmentation.size);
        let mut values = vec![0f32; n * length];
        values.par_chunks_exact_mut(length).zip(&rows).enumerate().try_for_each(|(i, (view, row))| {
            // Sixteen streams an image, one a view.
            let mut random = Random::new("views of an image", seed, (drawn + i as u64) * 16 + place as u64);
            augmentation.draw(corpus.image(*row), SIDE, &mut random, view)
        })?;
        Ok(Tensor::from_vec(values, (n, 3, size, size), device)?)
    };
    Ok(Batch {
        drawn,
        views: recipe.views.iter().enumerate().map(view).collect::<Result<_>>()?,
        labels: rows.iter().map(|&row| corpus.labels[row]).collect(),
        tokens: tokenizer.map(|tokenizer| {
            let captions = rows.iter().map(|&row| corpus.captions[row].as_str());
            let read: Vec<&str> = (drawn..).zip(captions).map(|(at, text)| captions::reading(text, seed, at)).collect();
            tokenizer.encode_batch(&read)
        }),
    })
}
