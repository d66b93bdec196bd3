//! EfficientNet (Tan and Le 2019, <https://arxiv.org/abs/1905.11946>) and EfficientNet-Lite, frozen or trained.
//!
//! A stem, seven stages of inverted bottlenecks (widen by a 1x1 convolution, depthwise convolution, narrow again, add
//! the input where shapes allow) and a 1x1 head, pooled to 1,280 numbers for B0 and every Lite model. The reference is
//! timm's `EfficientNet`, whose names the weights carry; torchvision's load too. Weights ported from TensorFlow need
//! TensorFlow's "SAME" padding and epsilon 1e-3, timm's own need symmetric padding and 1e-5. Lite drops
//! squeeze-and-excite, takes ReLU6 for SiLU and scales neither stem nor head.
//!
//! Different on purpose: channels last throughout. Frozen, batch normalisation is folded into the weights as they are
//! loaded, and bias and activation are applied inside each convolution. Trained, it takes the batch's statistics in
//! [`Mode::Train`] and the running ones, which training moves, in [`Mode::Eval`].

mod block;
mod config;
mod names;

pub use config::{EfficientNetConfig, PaddingRule, Stage};
pub use names::{SCHEMES, depth_of, n_depths, parameters};

use super::layers::Linear;
use super::pooling::Pooled;
use super::{Backbone, Mode, image_batch_check, in_groups};
use crate::error::{Error, Result};
use crate::ops::{mean_pixels, require_bf16, to_channels_last};
use block::{Block, Pointwise, Stem};
use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;

/// Images that pass through the frozen network together. Larger groups only push their activations (up to 5 MB an image
/// at 224 pixels) out of the caches.
const GROUP: usize = 4;

/// An EfficientNet, frozen, or trained where the weights it was built from are variables.
pub struct EfficientNet {
    config: EfficientNetConfig,
    stem: Stem,
    blocks: Vec<Block>,
    head: Pointwise,
    classifier: Option<Linear>,
    trained: bool,
    /// Of the weights; images are brought to it, features back to f32.
    dtype: DType,
}

impl EfficientNet {
    /// Builds the model from weights under timm's names ([`parameters`]). Where they are variables, the model trains
    /// them, and running statistics that are variables are moved by training. If the weights hold `classifier`,
    /// [`EfficientNet::forward_logits`] uses it.
    ///
    /// # Errors
    /// [`Error::Tensor`] naming the first weight that is missing or has another shape.
    pub fn load(config: &EfficientNetConfig, vb: VarBuilder) -> Result<Self> {
        Self::build(config, &vb).map_err(|error| match error {
            Error::Tensor { source, .. } => Error::Tensor { context: "loading EfficientNet weights".into(), source },
            other => other,
        })
    }

    fn build(config: &EfficientNetConfig, vb: &VarBuilder) -> Result<Self> {
        let stem = Stem::load(vb, config)?;
        let shapes = config.blocks();
        let channels = shapes.last().map_or(config.stem_channels(), |shape| shape.outputs);
        let blocks = shapes.into_iter().map(|shape| Block::load(config, shape, vb)).collect::<Result<_>>()?;
        let features = config.feature_dim();
        let head = Pointwise::load(vb, ("conv_head", "bn2"), (features, channels), config)?;
        let classifier = match vb.contains_tensor("classifier.weight") {
            false => None,
            true => {
                let n_classes = vb.get_unchecked("classifier.weight")?.dims().first().copied().unwrap_or(0);
                Some(Linear::load(&vb.pp("classifier"), &[n_classes, features])?)
            }
        };
        let (trained, dtype) = (stem.is_trained(), vb.dtype());
        Ok(EfficientNet { config: config.clone(), stem, blocks, head, classifier, trained, dtype })
    }

    /// Features after the head and the mean over pixels: `images` (B, 3, H, W) to (B, 1280) for Lite0.
    ///
    /// A frozen model ignores `mode`. How a batch is cut may change the last digits of a feature (sums are taken in
    /// another order), no more.
    ///
    /// # Errors
    /// [`Error::Argument`] if `images` is no f32 batch of three channels and sides of 32 pixels or more.
    pub fn forward_pooled(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        self.features(images, mode, Pooled { cells: 0, ..self.pooled() })
    }

    fn pooled(&self) -> Pooled {
        Pooled { dim: self.config.feature_dim(), cells: self.config.cells }
    }

    fn features(&self, images: &Tensor, mode: Mode, pooled: Pooled) -> Result<Tensor> {
        let batch = image_batch_check(images, None)?;
        let images = images.detach();
        if batch == 0 {
            return Ok(Tensor::zeros((0, pooled.length()), images.dtype(), images.device())?);
        }
        if self.trained || mode.is_train() {
            return self.features_of(&images, mode, pooled);
        }
        in_groups(&images, GROUP, |images| self.features_of(images, mode, pooled))
    }

    /// Class scores before softmax by the checkpoint's own classifier: `images` (B, 3, H, W) to (B, K).
    ///
    /// # Errors
    /// As for [`EfficientNet::forward_pooled`]; [`Error::Argument`] if the weights held no classifier.
    pub fn forward_logits(&self, images: &Tensor) -> Result<Tensor> {
        match &self.classifier {
            Some(classifier) => classifier.forward(&self.forward_pooled(images, Mode::Eval)?),
            None => Err(Error::argument("EfficientNet weights", "a tensor classifier.weight", "none")),
        }
    }

    fn features_of(&self, images: &Tensor, mode: Mode, pooled: Pooled) -> Result<Tensor> {
        let config = &self.config;
        let images = to_channels_last(&images.to_dtype(self.dtype)?)?;
        let mut x = self.stem.forward(&images, config, mode)?;
        let n_blocks = self.blocks.len();
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, config, mode, (i, n_blocks))?;
        }
        let map = self.head.forward(&x, config.activation, mode)?;
        Ok(pooled.together(mean_pixels(&map)?, || Ok(map))?.to_dtype(DType::F32)?)
    }
}

impl Backbone for EfficientNet {
    /// Gives `avg`, see [`EfficientNet::forward_pooled`], and from a config with cells `grid_mean`, the [`grid_mean`] of
    /// the head's map.
    ///
    /// [`grid_mean`]: super::grid_mean
    fn forward(&self, images: &Tensor, mode: Mode) -> Result<Vec<(&'static str, Tensor)>> {
        self.pooled().apart(self.features(images, mode, self.pooled())?)
    }

    /// Nothing is rounded, and features are those in f32. With only the head and the 1x1 convolutions that widen rounded, from
    /// the third block on, an image of the pocket EfficientNet had a cosine of 0.9987 to f32, and little time was spared.
    fn round_to_bf16(&mut self, _family: &str) -> Result<()> {
        if self.trained {
            return Err(Error::argument("weights rounded to bf16", "a frozen network", "one that is trained"));
        }
        require_bf16()
    }
}
