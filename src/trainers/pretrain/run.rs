//! A recipe as a job for the engine: what it draws, how it is measured, what it leaves.

use super::captions;
use super::card;
use super::corpus::{Corpus, SIDE};
use super::held_out::Probe;
use super::last_norm::standardised;
use super::objective::{Batch, Loss, Moment, Objective};
use super::recipe::{Kind, Recipe};
use crate::error::Result;
use crate::models::clip::POCKET_CONTEXT;
use crate::models::device_name;
use crate::random::Random;
use crate::storage;
use crate::text::Tokenizer;
use crate::training::{
    Checkpoint, Curve, End, Ended, Job, Panel, Parameters, Part, Place, Plan, Schedule, Source, checkpoint, engine,
    train,
};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Part of the steps over which the learning rate rises.
const WARM_UP: f64 = 0.05;
/// The learning rate at the end, as part of the highest.
const LAST_RATE: f64 = 0.001;
/// Raised whenever a change moves the weights that a run ends with.
const CODE_VERSION: u32 = 3;

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
    /// Steps taken, those before an interruption included.
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
pub(super) const CURVE: &str = engine::CURVE;
pub(super) const CARD: &str = "card.md";

/// Trains `recipe`, going on from the checkpoint in the folder where there is one. A run that is over is not repeated.
///
/// # Errors
/// As for [`train`]; a corpus without captions for CLIP; BEiT without a tokenizer.
pub fn run(recipe: &Recipe, settings: &Settings) -> Result<Outcome> {
    let plan = plan(recipe, settings)?;
    let place = Place {
        folder: settings.folder,
        every: settings.every,
        stop_after: settings.stop_after,
        verbose: settings.verbose,
        page: true,
    };
    let outcome = train(&mut Pretraining::begin(recipe, settings)?, &plan, &place)?;
    Ok(Outcome {
        weights: (outcome.ended != Ended::Interrupted).then(|| settings.folder.join(WEIGHTS)),
        steps: outcome.steps,
        seconds: outcome.seconds,
        probe: last_probe(&outcome.curve),
    })
}

/// A warm-up and half a cosine.
fn plan(recipe: &Recipe, settings: &Settings) -> Result<Plan> {
    let steps = recipe.steps(settings.images)?;
    let warm_up = (WARM_UP * steps as f64) as u64;
    let rate = Schedule::Cosine { highest: recipe.rate, last: LAST_RATE * recipe.rate, warm_up, steps };
    let plan = Plan::by_steps(steps, settings.images, rate, settings.seed);
    Ok(Plan { betas: (0.9, recipe.beta2), longest_gradient: recipe.longest_gradient, ..plan })
}

/// The last probe that a curve has.
fn last_probe(curve: &Curve) -> Option<Probe> {
    let last = |metric: &str| curve.line(metric).last().map(|(_, value)| *value);
    Some(Probe {
        knn_accuracy: last("knn_accuracy")?,
        feature_deviation: last("feature_deviation")?,
        effective_rank: last("effective_rank")?,
    })
}

/// A recipe under way.
struct Pretraining<'a> {
    recipe: &'a Recipe,
    settings: &'a Settings<'a>,
    objective: Box<dyn Objective>,
    /// The hash of the weights of BEiT's tokenizer.
    visual_tokenizer: Option<String>,
    /// What reads captions, for CLIP: pairs that the corpus decides, learned when they are asked for.
    pairs: OnceCell<Vec<(String, String)>>,
}

impl<'a> Pretraining<'a> {
    fn begin(recipe: &'a Recipe, settings: &'a Settings) -> Result<Self> {
        let &Settings { corpus, device, seed, .. } = settings;
        let path = settings.tokenizer.filter(|_| recipe.objective == Kind::Beit).map(|folder| folder.join(WEIGHTS));
        let weights = path.as_ref().map(|path| candle_core::safetensors::load(path, device)).transpose()?;
        let visual_tokenizer = path.as_ref().map(|path| storage::sha256_file(path)).transpose()?;
        let objective = recipe.begin(corpus, seed, device, weights)?;
        Ok(Pretraining { recipe, settings, objective, visual_tokenizer, pairs: OnceCell::new() })
    }

    /// The pairs; none but for CLIP.
    fn pairs(&self) -> Result<Option<&Vec<(String, String)>>> {
        if self.recipe.objective != Kind::Clip {
            return Ok(None);
        }
        if self.pairs.get().is_none() {
            let _ = self.pairs.set(captions::learn(&self.settings.corpus.captions)?);
        }
        Ok(self.pairs.get())
    }

    /// The weights as they are released.
    fn released(&self) -> Result<HashMap<String, Tensor>> {
        let &Settings { corpus, device, .. } = self.settings;
        let weights = self.objective.released()?;
        if self.recipe.objective.learns_from_words() || self.recipe.objective == Kind::Tokenizer {
            return Ok(weights);
        }
        standardised(weights, &self.recipe.transformer()?, corpus, device)
    }
}

impl<'a> Job for Pretraining<'a> {
    type Batch = Batch;
    type Source = Views<'a>;

    fn name(&self) -> &str {
        self.recipe.id
    }

    fn verb(&self) -> &'static str {
        "pretraining"
    }

    fn fingerprint(&self) -> String {
        let Settings { corpus, seed, images, device, .. } = self.settings;
        let captions = if self.recipe.objective == Kind::Clip { "read in parts" } else { "not read" };
        format!(
            "pretraining {CODE_VERSION}\n{}\nseed {seed}; images {images}; corpus {}; captions {captions}; device {}; \
             tokenizer {}",
            self.recipe.fingerprint(),
            corpus.content(),
            device_name(device),
            self.visual_tokenizer.as_deref().unwrap_or("none"),
        )
    }

    fn parameters(&self) -> &Parameters {
        self.objective.parameters()
    }

    fn source(&self) -> Result<Views<'a>> {
        let tokenizer = self.pairs()?.map(|pairs| Tokenizer::from_merges(pairs, POCKET_CONTEXT)).transpose()?;
        Ok(Views { recipe: self.recipe, settings: self.settings, tokenizer })
    }

    fn loss(&mut self, batch: &Batch, at: Moment) -> Result<Loss> {
        self.objective.loss(batch, at)
    }

    fn after_step(&mut self, at: Moment) -> Result<()> {
        self.objective.after_step(at)
    }

    fn memory(&self) -> BTreeMap<String, Tensor> {
        self.objective.memory()
    }

    fn remember(&mut self, memory: &HashMap<String, Tensor>) -> Result<()> {
        self.objective.remember(memory)
    }

    fn measure(&mut self, _at: Moment) -> Result<Vec<(&'static str, f64)>> {
        if self.recipe.objective == Kind::Tokenizer {
            return Ok(Vec::new());
        }
        let &Settings { corpus, device, .. } = self.settings;
        let weights = VarBuilder::from_tensors(self.released()?, DType::F32, device);
        let backbone = self.recipe.architecture()?.build(weights)?;
        let size = self.recipe.views[0].size;
        let probe = Probe::measure(backbone.as_ref(), self.recipe.feature.0, size, corpus, device)?;
        let Probe { knn_accuracy, feature_deviation, effective_rank } = probe;
        Ok(vec![
            ("knn_accuracy", knn_accuracy),
            ("feature_deviation", feature_deviation),
            ("effective_rank", effective_rank),
        ])
    }

    fn panels(&self) -> Vec<Panel> {
        let axis = self.recipe.objective.loss_axis();
        let title = "Held-out nearest neighbours (k = 20)";
        vec![
            Panel { title: "Loss", axis, lines: vec![("loss", "training")], factor: 1.0 },
            Panel { title, axis: "right (%)", lines: vec![("knn_accuracy", "right")], factor: 100.0 },
        ]
    }

    /// Writes the weights of a finished run.
    fn finish(&mut self, end: &End) -> Result<()> {
        let folder = self.settings.folder;
        let path = folder.join(WEIGHTS);
        // The card tells where it was trained, not where it is looked at: what this run has written stays. The weights come
        // last, and what another run left here is written over.
        let written = Checkpoint::read(&path, &Device::Cpu).ok().and_then(|file| file.facts.get("run").cloned());
        if written.as_deref() == Some(end.run) {
            return Ok(());
        }
        // What only works with an image tower beside it goes into a file of its own.
        let of_text =
            |name: &str| name.starts_with("text") || name == "visual_projection.weight" || name == "logit_scale";
        let (text, weights): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.released()?.into_iter().partition(|(name, _)| of_text(name));
        let dtype = if self.recipe.objective == Kind::Tokenizer { DType::F32 } else { DType::F16 };
        // One fact only: the library writes several in the order of a hash table, and equal runs shall give equal bytes.
        let facts = HashMap::from([("run".to_owned(), end.run.to_owned())]);
        if let Some(pairs) = self.pairs()? {
            storage::write_atomic(&folder.join(PAIRS), captions::to_text(pairs).as_bytes())?;
        }
        if !text.is_empty() {
            checkpoint::write(&folder.join(TEXT), &text, dtype, facts.clone())?;
        }
        let card = card::card(self.recipe, self.settings, end.curve)?;
        storage::write_atomic(&folder.join(CARD), card.as_bytes())?;
        checkpoint::write(&path, &weights, dtype, facts)
    }
}

/// Views of the images that a run draws.
struct Views<'a> {
    recipe: &'a Recipe,
    settings: &'a Settings<'a>,
    /// Reads captions, for CLIP.
    tokenizer: Option<Tokenizer>,
}

impl Source for Views<'_> {
    type Batch = Batch;

    fn batch(&self, step: u64) -> Result<Vec<Part<Batch>>> {
        let Views { recipe, settings, tokenizer } = self;
        let batch = draw(recipe, settings, tokenizer.as_ref(), step)?;
        Ok(vec![Part { batch, images: recipe.batch }])
    }
}

/// The batch of a step: views of the images that the run draws then.
fn draw(recipe: &Recipe, settings: &Settings, tokenizer: Option<&Tokenizer>, step: u64) -> Result<Batch> {
    let &Settings { corpus, device, seed, .. } = settings;
    let (n, drawn) = (recipe.batch, step * recipe.batch as u64);
    let rows = corpus.drawn(seed, drawn..drawn + n as u64);
    let view = |(place, augmentation): (usize, &crate::augment::Augmentation)| -> Result<Tensor> {
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
