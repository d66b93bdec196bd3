//! The ten pocket models: which architecture, which objective, which settings.
//!
//! Settings are those of the papers, scaled to runs of some thousands of steps: batches of 64 (CLIP, which compares
//! within a batch, 128), a warm-up of a twentieth of the run. Learning rates, initial weights, crops and the feature were
//! chosen after short runs on the corpus's held-out images (rates of 2e-4 to 3e-3).
//!
//! Supervised models, CLIP and DINO learn through a coarse grid ([`crate::models::grid_mean`]): 3 x 3 cells of a
//! transformer's patch tokens, the 2 x 2 pixels of a convolutional network's last map. With a class token
//! alone, or a mean over everything, they learn next to nothing in a budget like this one: after 58,000 images a
//! supervised ViT read by its class token had 8.1% of the held-out neighbours right, by its grid 19.3%, and raw pixels
//! have 17.6%. Convolutions before the blocks, other initial weights, optimisers, positions and normalisations changed
//! little, while a linear model on pixels, which knows where everything stands, passed all of them. Class token and means
//! remain features of every transformer.

use super::beit::Beit;
use super::clip::ImageText;
use super::corpus::Corpus;
use super::data2vec::Data2Vec;
use super::dino::Dino;
use super::mae::MaskedAutoencoder;
use super::objective::Objective;
use super::supervised::Supervised;
use super::tokenizer::{Namer, VisualTokenizer};
use crate::augment::Augmentation;
use crate::error::{Error, Result};
use crate::models::clip::{ClipConfig, POCKET_CONTEXT};
use crate::models::{Architecture, TransformerConfig};
use crate::training::Parameters;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::collections::HashMap;

/// An objective by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`super::supervised`].
    Supervised,
    /// [`super::clip`].
    Clip,
    /// [`super::dino`].
    Dino,
    /// [`super::mae`].
    Mae,
    /// [`super::beit`].
    Beit,
    /// [`super::data2vec`].
    Data2Vec,
    /// [`super::tokenizer`], which BEiT needs first.
    Tokenizer,
}

impl Kind {
    /// As tables and fingerprints write it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Supervised => "supervised",
            Kind::Clip => "clip",
            Kind::Dino => "dino",
            Kind::Mae => "mae",
            Kind::Beit => "beit",
            Kind::Data2Vec => "data2vec",
            Kind::Tokenizer => "tokenizer",
        }
    }

    /// What the loss measures, with its unit.
    pub(super) fn loss_axis(self) -> &'static str {
        match self {
            Kind::Supervised | Kind::Clip | Kind::Dino | Kind::Beit => "cross-entropy (nats)",
            Kind::Mae | Kind::Tokenizer => "squared error of pixels (no unit)",
            Kind::Data2Vec => "smooth L1 distance of tokens (no unit)",
        }
    }

    /// Words are found from the feature that is learned through: classes or captions. What learned without words is
    /// standardised before it is published.
    pub fn learns_from_words(self) -> bool {
        matches!(self, Kind::Supervised | Kind::Clip)
    }
}

/// Everything that decides a run beside corpus, seed, device and number of images.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// What the command line calls it.
    pub id: &'static str,
    /// Id of the model's record, `arch.tag`.
    pub model: &'static str,
    /// The objective.
    pub objective: Kind,
    /// Name of the architecture.
    pub architecture: &'static str,
    /// The feature that is learned through, where one is, and that the run is measured by; its length.
    pub feature: (&'static str, usize),
    /// Images a step.
    pub batch: usize,
    /// Learning rate at its highest.
    pub rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Adam's second beta.
    pub beta2: f64,
    /// Gradients are shortened to this length.
    pub longest_gradient: Option<f64>,
    /// How the views of an image are drawn.
    pub views: Vec<Augmentation>,
}

/// Side of the transformers' images, in pixels.
const SIDE: usize = 48;
/// Side of the convolutional networks' images: they halve it five times.
const CONVOLUTIONAL_SIDE: usize = 64;
/// What a transformer is read by: the means of 3 x 3 cells of its patch tokens.
const GRID: (&str, usize) = ("grid_mean", 9 * 128);

impl Recipe {
    /// The ten pocket models, in the order of the study's tables, EfficientNet last.
    pub fn all() -> Vec<Recipe> {
        let supervised = |id, model, architecture, feature, side| Recipe {
            id,
            model,
            objective: Kind::Supervised,
            architecture,
            feature,
            batch: 64,
            rate: 5e-4,
            weight_decay: 0.05,
            beta2: 0.999,
            longest_gradient: None,
            views: vec![Augmentation::supervised(side)],
        };
        let without_labels = |id, model, objective, views| Recipe {
            id,
            model,
            objective,
            architecture: "vit_pocket_patch8_48",
            feature: GRID,
            batch: 64,
            rate: 5e-4,
            weight_decay: 0.05,
            beta2: 0.999,
            longest_gradient: Some(3.0),
            views,
        };
        let convolutional = |id, model, architecture, dim: usize| Recipe {
            rate: 1e-3,
            ..supervised(id, model, architecture, ("grid_mean", 4 * dim), CONVOLUTIONAL_SIDE)
        };
        let mut dino_views = vec![Augmentation::dino_first(SIDE), Augmentation::dino_second(SIDE)];
        dino_views.extend((0..4).map(|_| Augmentation::dino_local(SIDE / 2)));
        vec![
            Recipe {
                batch: 128,
                beta2: 0.98,
                weight_decay: 0.1,
                longest_gradient: None,
                ..without_labels("clip", "clip_pocket.icons", Kind::Clip, vec![Augmentation::clip(SIDE)])
            },
            supervised("vit_16", "vit_p8_pocket.icons", "vit_pocket_patch8_48", GRID, SIDE),
            supervised("vit_32", "vit_p16_pocket.icons", "vit_pocket_patch16_48", GRID, SIDE),
            convolutional("convnext_base", "convnext_base_pocket.icons", "convnext_pocket_base", 192),
            convolutional("convnext_tiny", "convnext_tiny_pocket.icons", "convnext_pocket_tiny", 128),
            Recipe { weight_decay: 0.04, ..without_labels("dino", "dino_pocket.icons", Kind::Dino, dino_views) },
            Recipe {
                beta2: 0.95,
                longest_gradient: None,
                ..without_labels("mae", "mae_pocket.icons", Kind::Mae, vec![Augmentation::mae(SIDE)])
            },
            without_labels("beit", "beit_pocket.icons", Kind::Beit, vec![Augmentation::beit(SIDE)]),
            without_labels("data2vec", "data2vec_pocket.icons", Kind::Data2Vec, vec![Augmentation::beit(SIDE)]),
            Recipe {
                weight_decay: 0.01,
                ..convolutional("efficientnet", "efficientnet_pocket.icons", "efficientnet_pocket", 640)
            },
        ]
    }

    /// The tokenizer that [`super::beit`] needs: plain crops, no decay.
    pub fn tokenizer() -> Recipe {
        Recipe {
            id: "tokenizer",
            model: "tokenizer_pocket.icons",
            objective: Kind::Tokenizer,
            architecture: "vit_pocket_patch8_48",
            feature: ("none", 0),
            batch: 64,
            rate: 1e-3,
            weight_decay: 0.0,
            beta2: 0.999,
            longest_gradient: None,
            views: vec![Augmentation::mae(SIDE)],
        }
    }

    /// The recipe of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] listing the names.
    pub fn named(id: &str) -> Result<Recipe> {
        let mut all = Recipe::all();
        all.push(Recipe::tokenizer());
        let known = all.iter().map(|recipe| recipe.id).collect::<Vec<_>>().join(", ");
        let found = all.into_iter().find(|recipe| recipe.id == id);
        found.ok_or_else(|| Error::Unknown { kind: "pocket model", name: id.into(), known })
    }

    /// The feature that experiments read by default, and its length: all that leaves the last layer, position by
    /// position.
    ///
    /// # Errors
    /// As for [`Architecture::named`].
    pub fn default_feature(&self) -> Result<(&'static str, usize)> {
        Ok(match self.architecture()? {
            Architecture::Transformer(config) => ("patches", config.grid().pow(2) * config.dim),
            _ => self.feature,
        })
    }

    /// Every field with its name: what tells runs of different recipes apart.
    pub fn fingerprint(&self) -> String {
        let Recipe {
            id,
            model,
            objective,
            architecture,
            feature,
            batch,
            rate,
            weight_decay,
            beta2,
            longest_gradient,
            views,
        } = self;
        let longest = longest_gradient.map_or("none".into(), |longest| longest.to_string());
        let views: Vec<String> = views.iter().map(Augmentation::fingerprint).collect();
        format!(
            "recipe {id}; model {model}; objective {}; architecture {architecture}; feature {} of {}; batch {batch}; rate \
             {rate}; weight decay {weight_decay}; beta2 {beta2}; longest gradient {longest}; views [{}]",
            objective.name(),
            feature.0,
            feature.1,
            views.join("] ["),
        )
    }

    /// The architecture.
    ///
    /// # Errors
    /// As for [`Architecture::named`].
    pub fn architecture(&self) -> Result<Architecture> {
        Architecture::named(self.architecture)
    }

    pub(super) fn transformer(&self) -> Result<TransformerConfig> {
        match self.architecture()? {
            Architecture::Transformer(config) => Ok(config),
            _ => Err(Error::argument("architecture", "a transformer", self.architecture)),
        }
    }

    /// Multiply-adds that training spends on one source image: every pass that is trained counts three times (forward, and
    /// back for values and for weights), a teacher's once. Layers beside encoders, text tower and MAE's decoder are left
    /// out: together they are below a fiftieth.
    ///
    /// # Errors
    /// As for [`Recipe::architecture`].
    pub fn multiply_adds(&self) -> Result<u64> {
        let side = self.views[0].size;
        let config = match self.architecture()? {
            Architecture::Transformer(config) => config,
            Architecture::ConvNeXt(config) => return Ok(3 * config.multiply_adds(side)),
            Architecture::EfficientNet(config) => return Ok(3 * config.multiply_adds(side)),
            Architecture::Pixels(_) => return Ok(0),
        };
        let of = |tokens: usize| config.multiply_adds(tokens);
        let view = |view: &Augmentation| of(1 + (view.size / config.patch).pow(2));
        let whole = of(config.tokens());
        Ok(match self.objective {
            Kind::Supervised | Kind::Beit => 3 * whole,
            Kind::Clip => {
                let text = ClipConfig::pocket().text;
                let tower =
                    TransformerConfig { dim: text.dim, depth: text.depth, hidden: text.hidden, ..config.clone() };
                // A patch of one pixel: captions have no patches to speak of.
                3 * (whole + TransformerConfig { patch: 1, ..tower }.multiply_adds(POCKET_CONTEXT))
            }
            Kind::Dino => 3 * self.views.iter().map(view).sum::<u64>() + 2 * whole,
            Kind::Mae => {
                3 * (of(super::mae::seen_tokens(&config)) + super::mae::decoder(&config).multiply_adds(config.tokens()))
            }
            Kind::Data2Vec => 4 * whole,
            Kind::Tokenizer => 3 * 2 * TransformerConfig { depth: 1, ..config.clone() }.multiply_adds(config.tokens()),
        })
    }

    /// Begins: all weights drawn from `seed`. `tokenizer` holds the weights of the visual tokenizer, which BEiT needs.
    ///
    /// # Errors
    /// BEiT without a tokenizer; an architecture that does not fit the objective.
    pub fn begin(
        &self,
        corpus: &Corpus,
        seed: u64,
        device: &Device,
        tokenizer: Option<HashMap<String, Tensor>>,
    ) -> Result<Box<dyn Objective>> {
        let parameters = Parameters::new(seed, self.weight_decay, device);
        Ok(match self.objective {
            Kind::Supervised => Box::new(Supervised::new(&self.architecture()?, self.feature, corpus, parameters)?),
            Kind::Clip => Box::new(ImageText::new(&ClipConfig::pocket(), parameters)?),
            Kind::Dino => Box::new(Dino::new(&self.transformer()?, parameters, device)?),
            Kind::Mae => Box::new(MaskedAutoencoder::new(&self.transformer()?, parameters)?),
            Kind::Data2Vec => Box::new(Data2Vec::new(&self.transformer()?, parameters, device)?),
            Kind::Tokenizer => Box::new(VisualTokenizer::new(&self.transformer()?, parameters)?),
            Kind::Beit => {
                let Some(weights) = tokenizer else {
                    return Err(Error::argument("BEiT", "a visual tokenizer, trained first", "none"));
                };
                let config = self.transformer()?;
                let namer = Namer::load(&config, VarBuilder::from_tensors(weights, DType::F32, device))?;
                Box::new(Beit::new(&config, parameters, namer)?)
            }
        })
    }

    /// Steps of a run that draws `images`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a number that is no multiple of the batch: all models are to see equally many.
    pub fn steps(&self, images: u64) -> Result<u64> {
        let batch = self.batch as u64;
        if images == 0 || !images.is_multiple_of(batch) {
            return Err(Error::argument("images", format!("a multiple of the batch, {batch}"), images.to_string()));
        }
        Ok(images / batch)
    }
}
