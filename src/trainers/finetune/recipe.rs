//! How a model is fine-tuned.

use crate::augment::{Augmentation, Jitter};
use crate::error::{Error, Result};
use crate::training::{EarlyStopping, Epochs, Plan, Schedule};

/// The measure that early stopping watches and by which states are compared.
pub const WATCHED: &str = "val_loss";

/// Everything that decides a run beside data, weights, seed and device.
///
/// ```
/// use wider_clip::finetune::Recipe;
///
/// let study = Recipe::study();
/// assert_eq!((study.rate, study.batch, study.patience, study.epochs), (1e-5, 16, Some(30), 1000));
/// // 20 images: 16 and 4. An epoch has two steps.
/// assert_eq!(study.plan(20, 0)?.measure_every, 2);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Learning rate at its highest.
    pub rate: f64,
    /// How it moves.
    pub fall: Fall,
    /// Images per step; a smaller last batch is kept.
    pub batch: usize,
    /// Epochs of the whole run, where nothing stops it.
    pub epochs: u64,
    /// Epochs without a lower validation loss that end it.
    pub patience: Option<u32>,
    /// Decoupled weight decay of what [`crate::training::decays`] names.
    pub weight_decay: f64,
    /// Factor on the rate from one depth to the one before it.
    pub layer_decay: f64,
    /// Gradients are shortened to this length.
    pub longest_gradient: Option<f64>,
    /// What batch normalisation takes.
    pub statistics: Statistics,
    /// Whose mean and standard deviation images have.
    pub input: Input,
    /// How images are changed; `None` shows them as they are.
    pub views: Option<Views>,
}

/// How the learning rate moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fall {
    /// Not at all.
    Constant,
    /// Up in a line over this part of the steps, then along half a cosine to 0.
    Cosine {
        /// Of all steps, from 0 to below 1.
        warm_up: f64,
    },
}

/// What batch normalisation takes in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// Those of the batch, which move the running ones.
    Batch,
    /// The running ones, which stay.
    Running,
}

/// Whose mean and standard deviation images are normalised by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The study's, ImageNet's: for every model the same, whatever it was pretrained with.
    Study,
    /// The model's own.
    Own,
}

/// Changed images.
#[derive(Clone, Debug, PartialEq)]
pub struct Views {
    /// Crop, mirror and colours.
    pub augmentation: Augmentation,
    /// Whether half of the images are turned top for bottom.
    pub vertical: bool,
}

impl Input {
    /// The name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Input::Study => "study",
            Input::Own => "own",
        }
    }

    /// Mean and standard deviation, of a model with these `own` ones.
    pub fn normalisation(self, own: ([f32; 3], [f32; 3])) -> ([f32; 3], [f32; 3]) {
        match self {
            Input::Study => ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            Input::Own => own,
        }
    }
}

impl Views {
    /// A crop of half of the area or more, to `size` pixels; mirrored and in other colours where these are allowed.
    pub fn new(size: usize, horizontal: bool, vertical: bool, colour: bool) -> Views {
        let jitter = Jitter { probability: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 };
        let augmentation = Augmentation {
            scale: (0.5, 1.0),
            ratio: (3.0 / 4.0, 4.0 / 3.0),
            flip: if horizontal { 0.5 } else { 0.0 },
            jitter: colour.then_some(jitter),
            ..Augmentation::plain(size)
        };
        Views { augmentation, vertical }
    }
}

impl Recipe {
    /// The study's: Adam at 1e-5, batches of 16, cross-entropy, early stopping after 30 epochs without a lower validation loss,
    /// 1000 epochs at most, batch normalisation in training mode, one mean and standard deviation for all models.
    pub fn study() -> Recipe {
        Recipe {
            rate: 1e-5,
            fall: Fall::Constant,
            batch: 16,
            epochs: 1000,
            patience: Some(30),
            weight_decay: 0.0,
            layer_decay: 1.0,
            longest_gradient: None,
            statistics: Statistics::Batch,
            input: Input::Study,
            views: None,
        }
    }

    /// AdamW with a warm-up of a tenth and half a cosine, rates that fall by a quarter from depth to depth, as AutoGluon and
    /// MAE's authors fine-tune, 20 epochs; from a head that is drawn.
    pub fn tuned(rate: f64) -> Recipe {
        Recipe {
            rate,
            fall: Fall::Cosine { warm_up: 0.1 },
            epochs: 20,
            patience: None,
            weight_decay: 0.05,
            layer_decay: 0.75,
            longest_gradient: Some(1.0),
            input: Input::Own,
            ..Recipe::study()
        }
    }

    /// From a head that was fitted on frozen features (LP-FT; Kumar et al. 2022, <https://arxiv.org/abs/2202.10054>): as
    /// [`Recipe::tuned`] in half the epochs, batch normalisation by its running statistics, which the head was fitted on.
    pub fn lp_ft(rate: f64) -> Recipe {
        Recipe { epochs: 10, statistics: Statistics::Running, ..Recipe::tuned(rate) }
    }

    /// With at most so many epochs.
    pub fn at_most(self, epochs: u64) -> Recipe {
        Recipe { epochs: self.epochs.min(epochs), ..self }
    }

    /// Every field with its name.
    pub fn fingerprint(&self) -> String {
        let Recipe {
            rate,
            fall,
            batch,
            epochs,
            patience,
            weight_decay,
            layer_decay,
            longest_gradient,
            statistics,
            input,
            views,
        } = self;
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".into());
        let fall = match fall {
            Fall::Constant => "constant".into(),
            Fall::Cosine { warm_up } => format!("cosine after a warm-up of {warm_up}"),
        };
        let statistics = match statistics {
            Statistics::Batch => "of the batch",
            Statistics::Running => "running",
        };
        let views = views
            .as_ref()
            .map(|Views { augmentation, vertical }| format!("[{}, vertical {vertical}]", augmentation.fingerprint()));
        format!(
            "rate {rate}, {fall}; batch {batch}; epochs {epochs}; patience {}; weight decay {weight_decay}; layer decay \
             {layer_decay}; longest gradient {}; statistics {statistics}; input {}; views {}",
            or_none(patience.map(|n| n.to_string())),
            or_none(longest_gradient.map(|length| length.to_string())),
            input.as_str(),
            or_none(views),
        )
    }

    /// The plan for `images` training images: a measure after each epoch.
    ///
    /// # Errors
    /// [`Error::Argument`] for no images, no epochs, a batch of 0, or a warm-up outside 0 to 1.
    pub fn plan(&self, images: usize, seed: u64) -> Result<Plan> {
        if images == 0 || self.epochs == 0 || self.batch == 0 {
            let found = format!("{images} images, {} epochs, batches of {}", self.epochs, self.batch);
            return Err(Error::argument("fine-tuning", "at least one image, epoch and image per batch", found));
        }
        let epochs = self.epochs_of(images, seed);
        let steps = epochs.steps() * self.epochs;
        let rate = match self.fall {
            Fall::Constant => Schedule::Constant(self.rate),
            Fall::Cosine { warm_up } if (0.0..1.0).contains(&warm_up) => {
                let warm_up = (warm_up * steps as f64).round() as u64;
                Schedule::Cosine { highest: self.rate, last: 0.0, warm_up, steps }
            }
            Fall::Cosine { warm_up } => {
                return Err(Error::argument("warm_up", "a part from 0 to below 1", warm_up.to_string()));
            }
        };
        Ok(Plan {
            longest_gradient: self.longest_gradient,
            stopping: Some(match self.patience {
                Some(patience) => EarlyStopping::new(WATCHED, patience),
                // Never stops, but keeps the best state.
                None => EarlyStopping::new(WATCHED, u32::MAX),
            }),
            ..Plan::by_epochs(self.epochs, &epochs, rate)
        })
    }

    /// The order of `images` training images.
    pub fn epochs_of(&self, images: usize, seed: u64) -> Epochs {
        Epochs { images, batch: self.batch, keep_last: true, seed }
    }
}
