//! Fine-tuning as a job of the engine, and what its classifier says of images.

use super::examples::Examples;
use super::recipe::{Recipe, Statistics, WATCHED};
use crate::datasets::Squares;
use crate::error::{Error, Result};
use crate::models::{Architecture, Mode, arithmetic};
use crate::training::{
    Classifier, ClassifierParams, Course, Epochs, Head, Job, Loss, Moment, Panel, Parameters, Part, Plan, Source,
};
use candle_core::{DType, Device, Tensor};
use candle_nn::loss::cross_entropy;
use ndarray::Array2;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Images per pass where nothing is learned; another number may move the last digit.
const EVALUATED: usize = 32;
/// Numbers of a network that is small.
const SMALL: usize = 10_000_000;

/// What a run is made of.
pub struct FineTuneParams<'a> {
    /// What messages call it.
    pub name: String,
    /// The backbone.
    pub architecture: &'a Architecture,
    /// Its weights under this crate's names; they are copied.
    pub weights: &'a HashMap<String, Tensor>,
    /// What tells the weights from others.
    pub weights_id: &'a str,
    /// The feature that the head reads, and its length.
    pub feature: (&'a str, usize),
    /// How the head begins.
    pub head: Head<'a>,
    /// The images.
    pub examples: Examples,
    /// The same images at the size that views are cut from, for a recipe with views.
    pub uncut: Option<Arc<Squares>>,
    /// Positions that are learned from.
    pub train: Vec<usize>,
    /// Positions of the validation images.
    pub val: Vec<usize>,
    /// How.
    pub recipe: Recipe,
    /// Draws the head and the order of the images.
    pub seed: u64,
    /// Images of a batch that are in memory together; the gradients of all parts make one step. `None` takes whole batches.
    /// With batch normalisation in training mode each part has statistics of its own, so that the result differs.
    pub images_at_once: Option<usize>,
    /// Where it runs.
    pub device: Device,
}

/// A backbone with a new head under training.
pub struct FineTune {
    name: String,
    fingerprint: String,
    classifier: Classifier,
    start: BTreeMap<String, Tensor>,
    examples: Examples,
    uncut: Option<Arc<Squares>>,
    train: Arc<Vec<usize>>,
    val: Vec<usize>,
    recipe: Recipe,
    seed: u64,
    images_at_once: usize,
    watcher: Option<Watcher>,
}

/// Is told how the run stands.
type Watcher = Box<dyn Fn(&Course) + Send + Sync>;

impl FineTune {
    /// Makes the job from its beginning.
    ///
    /// # Errors
    /// [`Error::Argument`] for no training or validation image, an image in both, a position that there is not, one class,
    /// a validation class that is not trained on, views without uncut images, 0 images at once; weights that do not fit the
    /// architecture.
    pub fn new(params: FineTuneParams) -> Result<FineTune> {
        params.check()?;
        let classes = params.examples.n_classes();
        let classifier = Classifier::new(
            &ClassifierParams {
                architecture: params.architecture,
                pooling: params.feature.0,
                dim: params.feature.1,
                n_classes: classes,
                head: params.head,
                seed: params.seed,
                layer_decay: params.recipe.layer_decay,
                weight_decay: params.recipe.weight_decay,
            },
            params.weights,
            &params.device,
        )?;
        let start = classifier.state()?;
        let fingerprint = params.fingerprint(&start)?;
        let FineTuneParams { name, examples, uncut, train, val, recipe, seed, images_at_once, .. } = params;
        Ok(FineTune {
            name,
            fingerprint,
            classifier,
            start,
            examples,
            uncut,
            train: Arc::new(train),
            val,
            images_at_once: images_at_once.unwrap_or(recipe.batch).min(recipe.batch),
            recipe,
            seed,
            watcher: None,
        })
    }

    /// Lets the backbone compute in half precision on a GPU; the weights that are learned stay f32.
    ///
    /// # Errors
    /// As for [`Classifier::in_precision`].
    pub fn in_precision(self, precision: DType) -> Result<FineTune> {
        let classifier = self.classifier.in_precision(precision)?;
        let fingerprint = match precision {
            DType::F32 => self.fingerprint,
            other => format!("{}; precision {}", self.fingerprint, other.as_str()),
        };
        Ok(FineTune { classifier, fingerprint, ..self })
    }

    /// Has `watcher` told of losses and measures as the run goes on.
    pub fn watched(self, watcher: impl Fn(&Course) + Send + Sync + 'static) -> FineTune {
        FineTune { watcher: Some(Box::new(watcher)), ..self }
    }

    /// The plan of the run.
    ///
    /// # Errors
    /// As for [`Recipe::plan`].
    pub fn plan(&self) -> Result<Plan> {
        self.recipe.plan(self.train.len(), self.seed)
    }

    /// The order of the training images.
    pub fn epochs(&self) -> Epochs {
        self.recipe.epochs_of(self.train.len(), self.seed)
    }

    /// How it is trained.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The classifier as it is now.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// The state that training began with.
    pub fn start(&self) -> &BTreeMap<String, Tensor> {
        &self.start
    }

    /// Gives the classifier a state: of this run, or between two of them.
    ///
    /// # Errors
    /// As for [`Classifier::set_state`].
    pub fn set_state(&self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.classifier.variables().set_state(|name| state.get(name))
    }

    /// Numbers that are trained.
    fn n_values(&self) -> usize {
        self.classifier.variables().trained().iter().map(|parameter| parameter.var.elem_count()).sum()
    }

    /// Class scores before softmax (N, K) of the images at `positions`, in evaluation mode.
    ///
    /// # Errors
    /// A position that there is not; scores that are not finite, with the image's position.
    pub fn logits(&self, positions: &[usize]) -> Result<Array2<f32>> {
        let n_classes = self.examples.n_classes();
        let device = self.classifier.variables().device();
        let batch = |positions: &[usize]| -> Result<Vec<f32>> {
            let images = self.examples.images(positions)?.to_device(device)?;
            let logits = self.classifier.forward(&images, Mode::Eval)?.detach();
            let values = logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            match values.iter().position(|value| !value.is_finite()) {
                Some(at) => {
                    let found = format!("{} for image {} of {}", values[at], positions[at / n_classes], self.name);
                    Err(Error::argument("class scores", "finite numbers", found))
                }
                None => Ok(values),
            }
        };
        // Where fewer at once are asked for than a step takes, no more here. On processors batches of a small network go beside each other, as in the extraction of
        // features; each keeps what it computes for gradients that nobody asks for, which a large one has no memory for.
        let asked = Some(self.images_at_once).filter(|at_once| *at_once < self.recipe.batch);
        let at_once = asked.map_or(EVALUATED, |at_once| EVALUATED.min(at_once));
        let batches: Vec<Vec<f32>> = match device.is_cpu() && self.n_values() <= SMALL {
            true => positions.par_chunks(at_once).map(batch).collect::<Result<_>>()?,
            false => positions.chunks(at_once).map(batch).collect::<Result<_>>()?,
        };
        let shape = (positions.len(), n_classes);
        let logits = Array2::from_shape_vec(shape, batches.concat());
        logits.map_err(|error| Error::argument("class scores", format!("{shape:?}"), error.to_string()))
    }

    /// Mean cross-entropy in nats and accuracy on the validation images.
    ///
    /// # Errors
    /// As for [`FineTune::logits`]; but a score that is not finite makes the loss not finite.
    pub fn validate(&self) -> Result<(f64, f64)> {
        let logits = match self.logits(&self.val) {
            Err(Error::Argument { what: "class scores", .. }) => return Ok((f64::NAN, 0.0)),
            other => other?,
        };
        let (mut loss, mut right) = (0.0, 0);
        for (row, label) in logits.rows().into_iter().zip(self.examples.labels(&self.val)) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|&value| f64::from(value - largest).exp()).sum();
            loss += sum.ln() - f64::from(row[label as usize] - largest);
            right += usize::from(row.iter().position(|&value| value == largest) == Some(label as usize));
        }
        let n = self.val.len() as f64;
        // Rounded as PyTorch has it: a fall below that is none to early stopping.
        Ok((f64::from((loss / n) as f32), right as f64 / n))
    }

    /// How far the encoder's weights in `state` are from where they began, as a part of their length.
    ///
    /// # Errors
    /// A state of another model.
    pub fn moved(&self, state: &BTreeMap<String, Tensor>) -> Result<f64> {
        let (mut away, mut length) = (0.0, 0.0);
        let square = |tensor: &Tensor| -> Result<f64> { Ok(f64::from(tensor.sqr()?.sum_all()?.to_scalar::<f32>()?)) };
        for parameter in self.classifier.parameters().iter().filter(|parameter| !parameter.name.starts_with("head.")) {
            let (Some(began), Some(now)) = (self.start.get(&parameter.name), state.get(&parameter.name)) else {
                return Err(Error::argument("state", format!("a tensor {}", parameter.name), "none"));
            };
            away += square(&(now - began)?)?;
            length += square(began)?;
        }
        Ok((away / length.max(f64::MIN_POSITIVE)).sqrt())
    }
}

impl FineTuneParams<'_> {
    fn check(&self) -> Result<()> {
        let n = self.examples.len();
        let name = &self.name;
        for (what, positions) in [("training images", &self.train), ("validation images", &self.val)] {
            if positions.is_empty() {
                let advice = "a larger budget, or more images of each class";
                return Err(Error::argument(what, format!("at least one for {name}: {advice}"), "none"));
            }
            if let Some(position) = positions.iter().find(|&&position| position >= n) {
                return Err(Error::argument(what, format!("positions below {n} for {name}"), position.to_string()));
            }
        }
        let trained: std::collections::HashSet<usize> = self.train.iter().copied().collect();
        if let Some(both) = self.val.iter().find(|position| trained.contains(position)) {
            let found = format!("image {both} among training images too");
            return Err(Error::argument(
                "validation images",
                format!("others than the training images of {name}"),
                found,
            ));
        }
        let classes: std::collections::BTreeSet<u32> = self.examples.labels(&self.train).into_iter().collect();
        if classes.len() < 2 {
            let found = format!("only class {classes:?}");
            return Err(Error::argument("training images", format!("at least two classes for {name}"), found));
        }
        let unseen = |position: &&usize| !classes.contains(&self.examples.labels(&[**position])[0]);
        if let Some(position) = self.val.iter().find(unseen) {
            let label = self.examples.labels(&[*position])[0];
            let found = format!("image {position} of class {label}, which no training image has");
            return Err(Error::argument("validation images", format!("classes that {name} is trained on"), found));
        }
        if self.images_at_once == Some(0) {
            return Err(Error::argument("images_at_once", "at least one", "0"));
        }
        if let (Some(views), uncut) = (&self.recipe.views, &self.uncut) {
            let fits = |squares: &Arc<Squares>| squares.len() == n && views.augmentation.size == self.examples.side();
            if !uncut.as_ref().is_some_and(fits) {
                let expected = format!("{n} uncut images, and views of {} pixels", self.examples.side());
                let found = uncut.as_ref().map_or("none".into(), |squares| {
                    format!("{} images, views of {} pixels", squares.len(), views.augmentation.size)
                });
                return Err(Error::argument("views", expected, found));
            }
        }
        Ok(())
    }

    /// Everything that decides the result beside the plan; `start` holds the head as it begins.
    fn fingerprint(&self, start: &BTreeMap<String, Tensor>) -> Result<String> {
        let digits = |positions: &[usize]| crate::key::digest_of(positions.iter().map(usize::to_string));
        let mut head = Vec::new();
        for name in ["head.weight", "head.bias"] {
            let values = start[name].to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            head.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        let n_classes = self.examples.n_classes();
        Ok(format!(
            "fine-tuning; weights {}; feature {} of {}; {n_classes} classes; head {}; {}; uncut {}; train {}; val {}; {}; seed {}; \
             at once {}; device {}",
            self.weights_id,
            self.feature.0,
            self.feature.1,
            &crate::storage::sha256_hex(&head)[..16],
            self.examples.fingerprint(),
            self.uncut.as_ref().map_or("none", |squares| squares.key()),
            digits(&self.train),
            digits(&self.val),
            self.recipe.fingerprint(),
            self.seed,
            self.images_at_once.map_or("all".into(), |n| n.to_string()),
            arithmetic(&self.device),
        ))
    }
}

/// Images (B, 3, S, S) and their classes (B,), on the processor.
pub struct Batch {
    images: Tensor,
    labels: Tensor,
    positions: Vec<usize>,
}

/// Draws batches.
pub struct Batches {
    examples: Examples,
    uncut: Option<Arc<Squares>>,
    train: Arc<Vec<usize>>,
    recipe: Recipe,
    epochs: Epochs,
    seed: u64,
    at_once: usize,
}

impl Source for Batches {
    type Batch = Batch;

    fn batch(&self, step: u64) -> Result<Vec<Part<Batch>>> {
        let positions: Vec<usize> = self.epochs.rows(step).into_iter().map(|row| self.train[row]).collect();
        let images = match (&self.recipe.views, &self.uncut) {
            (Some(views), Some(uncut)) => self.examples.changed(uncut, views, &positions, (self.seed, step))?,
            _ => self.examples.images(&positions)?,
        };
        let part = |from: usize| -> Result<Part<Batch>> {
            let n = self.at_once.min(positions.len() - from);
            let positions = positions[from..from + n].to_vec();
            let labels = Tensor::from_vec(self.examples.labels(&positions), n, &Device::Cpu)?;
            Ok(Part { batch: Batch { images: images.narrow(0, from, n)?, labels, positions }, images: n })
        };
        (0..positions.len()).step_by(self.at_once).map(part).collect()
    }
}

impl Job for FineTune {
    type Batch = Batch;
    type Source = Batches;

    fn name(&self) -> &str {
        &self.name
    }

    fn verb(&self) -> &'static str {
        "fine-tuning"
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    fn parameters(&self) -> &Parameters {
        self.classifier.variables()
    }

    fn source(&self) -> Result<Batches> {
        Ok(Batches {
            examples: self.examples.clone(),
            uncut: self.uncut.clone(),
            train: self.train.clone(),
            recipe: self.recipe.clone(),
            epochs: self.epochs(),
            seed: self.seed,
            at_once: self.images_at_once,
        })
    }

    fn loss(&mut self, batch: &Batch, _: Moment) -> Result<Loss> {
        let device = self.classifier.variables().device();
        let mode = match self.recipe.statistics {
            Statistics::Batch => Mode::QUIET,
            Statistics::Running => Mode::Eval,
        };
        let logits = self.classifier.forward(&batch.images.to_device(device)?, mode)?;
        Ok(Loss::plain(cross_entropy(&logits.to_dtype(DType::F32)?, &batch.labels.to_device(device)?)?))
    }

    fn describe(&self, batch: &Batch) -> String {
        format!("images {:?}", batch.positions)
    }

    fn measure(&mut self, _: Moment) -> Result<Vec<(&'static str, f64)>> {
        let (loss, accuracy) = self.validate()?;
        Ok(vec![(WATCHED, loss), ("val_accuracy", accuracy)])
    }

    fn told(&mut self, standing: &Course) {
        if let Some(watcher) = &self.watcher {
            watcher(standing);
        }
    }

    fn panels(&self) -> Vec<Panel> {
        let losses = vec![("loss", "training"), (WATCHED, "validation")];
        vec![
            Panel { title: "Loss", axis: "cross-entropy (nats)", lines: losses, factor: 1.0 },
            Panel { title: "Accuracy", axis: "right (%)", lines: vec![("val_accuracy", "validation")], factor: 100.0 },
        ]
    }
}
