//! ConvNeXt (Liu et al. 2022, <https://arxiv.org/abs/2201.03545>), frozen or trained.
//!
//! Patches of four pixels, then four stages of blocks (depthwise 7 x 7 convolution, layer norm, two fully connected
//! layers with a GELU between, layer scale, all added to what came in); a stage halves the map before it begins. The
//! feature is the mean over pixels after a last layer norm. References: transformers' `ConvNextModel` and timm's
//! `ConvNeXt`, held in tests/convnets.rs tensor by tensor, forward and backward; weights also load under torchvision's
//! and open_clip's names.
//!
//! Different on purpose: channels last throughout, so that every convolution but the depthwise one is a matrix product.
//! candle-transformers' `convnext` has the right forward pass at a seventh of PyTorch's speed, and its last norm cuts
//! the gradient (measured with candle 0.11.1).

mod names;

pub use names::{SCHEMES, depth_of, n_depths, parameters};

use super::layers::{LayerNorm, Linear, mlp, mlp_onto};
use super::pooling::Pooled;
use super::{Backbone, Mode, image_batch_check, in_groups};
use crate::error::{Error, Result};
use crate::ops::{Activation, Padding, depthwise_conv2d_nhwc_act, mean_pixels, merge_pixels, patches, residual};
use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;

/// Images that pass through the frozen network together.
const GROUP: usize = 4;

/// What tells one ConvNeXt from another.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvNeXtConfig {
    /// Blocks of each stage.
    pub depths: [usize; 4],
    /// Channels of each stage.
    pub dims: [usize; 4],
    /// Epsilon of the layer norms inside.
    pub eps: f64,
    /// Epsilon of the last layer norm.
    pub head_eps: f64,
    /// Cells along a side of the feature `grid_mean`; none where 0.
    pub cells: usize,
}

impl ConvNeXtConfig {
    /// `facebook/convnext-tiny-224`. transformers has 1e-12 for the last epsilon, the other publishers
    /// ([`ConvNeXtConfig::with_one_eps`]) 1e-6.
    pub fn tiny() -> Self {
        ConvNeXtConfig { depths: [3, 3, 9, 3], dims: [96, 192, 384, 768], eps: 1e-6, head_eps: 1e-12, cells: 0 }
    }

    /// `facebook/convnext-small-224`.
    pub fn small() -> Self {
        ConvNeXtConfig { depths: [3, 3, 27, 3], ..Self::tiny() }
    }

    /// `facebook/convnext-base-224`; with one epsilon the image tower of `laion/CLIP-convnext_base-laion400M-s13B-b51K`.
    pub fn base() -> Self {
        ConvNeXtConfig { dims: [128, 256, 512, 1024], ..Self::small() }
    }

    /// The smaller pocket ConvNeXt of this project's own pretraining, 0.3 million parameters.
    pub fn pocket_tiny() -> Self {
        ConvNeXtConfig { depths: [1, 1, 3, 1], dims: [16, 32, 64, 128], cells: 2, ..Self::tiny() }.with_one_eps()
    }

    /// The larger one, 1.2 million parameters.
    pub fn pocket_base() -> Self {
        ConvNeXtConfig { depths: [2, 2, 6, 2], dims: [24, 48, 96, 192], cells: 2, ..Self::tiny() }.with_one_eps()
    }

    /// With the last epsilon equal to the others, as timm, torchvision and open_clip have it.
    pub fn with_one_eps(self) -> Self {
        ConvNeXtConfig { head_eps: self.eps, ..self }
    }

    /// Length of the feature.
    pub fn feature_dim(&self) -> usize {
        self.dims[3]
    }

    /// Multiply-adds of a forward pass on an image of `side` x `side` pixels; norms and activations left out.
    ///
    /// ```
    /// use wider_clip::models::ConvNeXtConfig;
    ///
    /// // 4.5 thousand millions (Liu et al. 2022, table 1).
    /// assert_eq!(ConvNeXtConfig::tiny().multiply_adds(224) / 100_000_000, 44);
    /// ```
    pub fn multiply_adds(&self, side: usize) -> u64 {
        let mut total = 0;
        let (mut side, mut before) = (side / 4, 0);
        for (stage, (&depth, &dim)) in self.depths.iter().zip(&self.dims).enumerate() {
            let into = if stage == 0 { 48 } else { 4 * before };
            if stage > 0 {
                side /= 2;
            }
            total += side * side * (into * dim + depth * dim * (49 + 8 * dim));
            before = dim;
        }
        total as u64
    }
}

/// A ConvNeXt, frozen, or trained where the weights it was built from are variables.
pub struct ConvNeXt {
    config: ConvNeXtConfig,
    stem: (Linear, LayerNorm),
    stages: Vec<Stage>,
    norm: LayerNorm,
    classifier: Option<Linear>,
    trained: bool,
    /// Of the weights; images are brought to it, features back to f32.
    dtype: DType,
}

struct Stage {
    downsample: Option<(LayerNorm, Linear)>,
    blocks: Vec<Block>,
}

impl ConvNeXt {
    /// Builds the model from weights under this crate's names ([`parameters`]). Where they are variables, the model
    /// trains them. If the weights hold `head.fc`, [`ConvNeXt::forward_logits`] uses it.
    ///
    /// # Errors
    /// [`Error::Tensor`] naming the first weight that is missing or has another shape.
    pub fn load(config: &ConvNeXtConfig, vb: VarBuilder) -> Result<Self> {
        Self::build(config, &vb).map_err(|error| match error {
            Error::Tensor { source, .. } => Error::Tensor { context: "loading ConvNeXt weights".into(), source },
            other => other,
        })
    }

    fn build(config: &ConvNeXtConfig, vb: &VarBuilder) -> Result<Self> {
        let (dims, eps) = (config.dims, config.eps);
        let stem = vb.get((dims[0], 3, 4, 4), "stem.0.weight")?;
        let (trained, dtype) = (stem.track_op(), stem.dtype());
        let stem = Linear::new(&stem, vb.get(dims[0], "stem.0.bias")?)?;
        let stages = (0..4).map(|s| {
            let (dim, vb) = (dims[s], vb.pp(format!("stages.{s}")));
            let downsample = |before: usize| -> Result<(LayerNorm, Linear)> {
                let norm = LayerNorm::load(&vb.pp("downsample.0"), before, eps)?;
                Ok((norm, Linear::load(&vb.pp("downsample.1"), &[dim, before, 2, 2])?))
            };
            let blocks = (0..config.depths[s]).map(|b| Block::load(dim, eps, &vb.pp(format!("blocks.{b}"))));
            Ok(Stage {
                downsample: s.checked_sub(1).map(|before| downsample(dims[before])).transpose()?,
                blocks: blocks.collect::<Result<_>>()?,
            })
        });
        let classifier = match vb.contains_tensor("head.fc.weight") {
            false => None,
            true => {
                let w = vb.get_unchecked("head.fc.weight")?;
                Some(Linear::load(&vb.pp("head.fc"), &[w.dims().first().copied().unwrap_or(0), config.feature_dim()])?)
            }
        };
        Ok(ConvNeXt {
            stem: (stem, LayerNorm::load(&vb.pp("stem.1"), dims[0], eps)?),
            stages: stages.collect::<Result<_>>()?,
            norm: LayerNorm::load(&vb.pp("head.norm"), dims[3], config.head_eps)?,
            classifier,
            trained,
            dtype,
            config: config.clone(),
        })
    }

    /// The mean over pixels after the last norm: `images` (B, 3, H, W) to (B, D).
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
        if batch == 0 {
            return Ok(Tensor::zeros((0, pooled.length()), images.dtype(), images.device())?);
        }
        let images = images.detach();
        if self.trained || mode.is_train() {
            return self.features_of(&images, mode, pooled);
        }
        in_groups(&images, GROUP, |images| self.features_of(images, mode, pooled))
    }

    /// Class scores before softmax by the checkpoint's own classifier: `images` (B, 3, H, W) to (B, K).
    ///
    /// # Errors
    /// As for [`ConvNeXt::forward_pooled`]; [`Error::Argument`] if the weights held no classifier.
    pub fn forward_logits(&self, images: &Tensor) -> Result<Tensor> {
        match &self.classifier {
            Some(classifier) => classifier.forward(&self.forward_pooled(images, Mode::Eval)?),
            None => Err(Error::argument("ConvNeXt weights", "a classifier head.fc", "none")),
        }
    }

    fn features_of(&self, images: &Tensor, mode: Mode, pooled: Pooled) -> Result<Tensor> {
        let (embed, norm) = &self.stem;
        let mut x = norm.forward(&embed.forward(&patches(&images.to_dtype(self.dtype)?, 4)?)?)?;
        let n_blocks = self.config.depths.iter().sum();
        let mut i = 0;
        for stage in &self.stages {
            if let Some((norm, merge)) = &stage.downsample {
                x = merge.forward(&merge_pixels(&norm.forward(&x)?, 2)?)?;
            }
            for block in &stage.blocks {
                x = block.forward(&x, mode, (i, n_blocks))?;
                i += 1;
            }
        }
        let avg = self.norm.forward(&mean_pixels(&x)?)?;
        Ok(pooled.together(avg, || self.norm.forward(&x))?.to_dtype(DType::F32)?)
    }
}

impl Backbone for ConvNeXt {
    /// Gives `avg`, see [`ConvNeXt::forward_pooled`], and from a config with cells `grid_mean`, the [`grid_mean`] of all
    /// pixels after the last norm.
    ///
    /// [`grid_mean`]: super::grid_mean
    fn forward(&self, images: &Tensor, mode: Mode) -> Result<Vec<(&'static str, Tensor)>> {
        self.pooled().apart(self.features(images, mode, self.pooled())?)
    }

    fn round_to_bf16(&mut self, _family: &str) -> Result<()> {
        self.stem.0.round()?;
        self.stages.iter_mut().try_for_each(|stage| {
            stage.downsample.iter_mut().try_for_each(|(_, merge)| merge.round())?;
            stage
                .blocks
                .iter_mut()
                .try_for_each(|block| [&mut block.fc1, &mut block.fc2].into_iter().try_for_each(Linear::round))
        })
    }
}

struct Block {
    /// Kernel (C, 1, 7, 7) and bias (C,).
    depthwise: (Tensor, Tensor),
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    /// None where it is frozen: `fc2` then holds it.
    gamma: Option<Tensor>,
}

impl Block {
    fn load(dim: usize, eps: f64, vb: &VarBuilder) -> Result<Self> {
        // What is folded is folded in f32, and rounded once.
        let (precision, full) = (vb.dtype(), vb.to_dtype(DType::F32));
        let fc2 = full.pp("mlp.fc2");
        let (w, b, gamma) = (fc2.get((dim, 4 * dim), "weight")?, fc2.get(dim, "bias")?, full.get(dim, "gamma")?);
        let trained = w.track_op() || b.track_op() || gamma.track_op();
        let (fc2, gamma) = match trained {
            true => (Linear::new(&w.to_dtype(precision)?, b.to_dtype(precision)?)?, Some(gamma.to_dtype(precision)?)),
            false => {
                let (w, b) = (w.broadcast_mul(&gamma.unsqueeze(1)?)?, (b * gamma)?);
                (Linear::new(&w.to_dtype(precision)?, b.to_dtype(precision)?)?, None)
            }
        };
        Ok(Block {
            depthwise: (vb.get((dim, 1, 7, 7), "conv_dw.weight")?, vb.get(dim, "conv_dw.bias")?),
            norm: LayerNorm::load(&vb.pp("norm"), dim, eps)?,
            fc1: Linear::load(&vb.pp("mlp.fc1"), &[4 * dim, dim])?,
            fc2,
            gamma,
        })
    }

    /// (B, H, W, C) to the same; the block is the `at.0`-th of `at.1`.
    fn forward(&self, x: &Tensor, mode: Mode, at: (usize, usize)) -> Result<Tensor> {
        let (w, b) = &self.depthwise;
        let y = depthwise_conv2d_nhwc_act(x, w, b, 1, Padding::symmetric(3), Activation::Identity)?;
        let (y, gamma) = (self.norm.forward_to(&y, &self.fc1)?, self.gamma.as_ref());
        if mode.is_quiet() {
            return mlp_onto(x, &y, &self.fc1, Activation::Gelu, &self.fc2, gamma);
        }
        let y = mode.drop_path(mlp(&y, &self.fc1, Activation::Gelu, &self.fc2)?, at.0, at.1)?;
        residual(x, &y, gamma)
    }
}
