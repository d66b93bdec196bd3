//! CLIP (Radford et al. 2021, <https://arxiv.org/abs/2103.00020>): an image tower and a text tower whose features are
//! compared by their cosine.
//!
//! The image tower is any [`Backbone`]; the study's image feature is taken from it before the projection that is here.
//! The references are transformers' `CLIPModel`, forward and backward, and open_clip's text tower (tests/clip.rs).
//!
//! ```
//! use wider_clip::models::clip::ClipConfig;
//!
//! let config = ClipConfig::clip_vit_b32();
//! let n: usize = config.parameters().iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum();
//! assert_eq!(n, 151_277_313);
//! ```

mod names;
mod text_tower;

pub use names::{SCHEMES, text_parameters};
pub use text_tower::{TextConfig, TextTower};

use super::assemble::{Assembled, Parameter, Source, assemble};
use super::layers::Linear;
use super::{Architecture, Backbone, ConvNeXtConfig, Mode, TransformerConfig};
use crate::error::{Error, Result};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use names::Turned;
use ndarray::ArrayView2;

/// Byte pairs that the pocket CLIP's tokenizer has learnt.
pub const POCKET_PAIRS: usize = 1024;
/// Its token ids: 256 bytes, the same at the end of a word, a token a pair, start and end.
pub const POCKET_VOCABULARY: usize = 512 + POCKET_PAIRS + 2;
/// Its longest text in tokens, start and end among them.
pub const POCKET_CONTEXT: usize = 20;

/// What a CLIP model is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipConfig {
    /// The image tower.
    pub image: Architecture,
    /// The feature of it that is projected: `cls`, `avg`, ...
    pub pooling: &'static str,
    /// Length of that feature.
    pub image_dim: usize,
    /// The text tower.
    pub text: TextConfig,
}

impl ClipConfig {
    /// `openai/clip-vit-base-patch32`.
    pub fn clip_vit_b32() -> Self {
        ClipConfig {
            image: Architecture::Transformer(TransformerConfig::clip_vit_b32()),
            pooling: "cls",
            image_dim: 768,
            text: TextConfig::clip_vit_b32(),
        }
    }

    /// `laion/CLIP-convnext_base-laion400M-s13B-b51K` of open_clip.
    pub fn convnext_base_clip() -> Self {
        ClipConfig {
            image: Architecture::ConvNeXt(ConvNeXtConfig::base().with_one_eps()),
            pooling: "avg",
            image_dim: 1024,
            text: TextConfig::clip_convnext_base(),
        }
    }

    /// The pocket CLIP of this project's own pretraining: the plain pocket ViT on patches of 8, and three blocks of 128
    /// numbers for texts of at most [`POCKET_CONTEXT`] tokens out of [`POCKET_VOCABULARY`].
    pub fn pocket() -> Self {
        ClipConfig {
            image: Architecture::Transformer(TransformerConfig::vit_pocket(8)),
            pooling: "grid_mean",
            image_dim: 1152,
            text: TextConfig {
                vocabulary: POCKET_VOCABULARY,
                context: POCKET_CONTEXT,
                dim: 128,
                depth: 3,
                heads: 4,
                hidden: 512,
                eps: 1e-5,
                activation: crate::ops::Activation::Gelu,
                projection: 128,
            },
        }
    }

    /// The text and image towers of an architecture that a record names; `None` for one without a text tower.
    pub fn named(architecture: &str) -> Option<Self> {
        match architecture {
            "clip_vit_b32" => Some(Self::clip_vit_b32()),
            "convnext_base_clip" => Some(Self::convnext_base_clip()),
            "clip_pocket" => Some(Self::pocket()),
            _ => None,
        }
    }

    /// All parameters under this crate's names: the image tower's as that calls them, `text.*`, `text_projection.weight`
    /// (E, D), `visual_projection.weight` (E, D of the image feature), `logit_scale` ().
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut all = self.image.parameters();
        all.extend(self.beside_the_image_tower());
        all
    }

    fn beside_the_image_tower(&self) -> Vec<Parameter> {
        let mut all = text_parameters(&self.text);
        all.push(Parameter::new("visual_projection.weight", [self.text.projection, self.image_dim]));
        all.push(Parameter::new("logit_scale", []));
        all
    }

    /// Reads all parameters, as f32, from a file of transformers' `CLIPModel` or open_clip's `CLIP`.
    ///
    /// # Errors
    /// [`Error::Weights`] listing the tensors that are missing, have another shape, or belong to no parameter.
    pub fn assemble(&self, source: &dyn Source, device: &Device) -> Result<Assembled> {
        let image = assemble(source, &self.image.parameters(), self.image.schemes(), DType::F32, device)?;
        let mut all = assemble(&Turned(source), &self.beside_the_image_tower(), SCHEMES, DType::F32, device)?;
        all.tensors.extend(image.tensors);
        all.published.extend(image.published);
        Ok(all)
    }
}

/// An image tower and a text tower with one space of features, frozen, or trained where the weights they were built from
/// are variables.
pub struct Clip {
    image: Box<dyn Backbone>,
    pooling: &'static str,
    visual_projection: Linear,
    text: TextTower,
    /// (), the logarithm of what cosines are multiplied by.
    logit_scale: Tensor,
}

impl Clip {
    /// Loads a frozen model from a published file.
    ///
    /// # Errors
    /// As for [`ClipConfig::assemble`] and [`Clip::build`].
    pub fn load(config: &ClipConfig, source: &dyn Source, device: &Device) -> Result<Self> {
        let weights = config.assemble(source, device)?.tensors;
        Self::build(config, VarBuilder::from_tensors(weights, DType::F32, device))
    }

    /// Builds the model from weights under this crate's names ([`ClipConfig::parameters`]). Those that are variables are
    /// trained.
    ///
    /// # Errors
    /// [`Error::Argument`] if the config contradicts itself, [`Error::Tensor`] naming the first weight that is missing
    /// or has another shape.
    pub fn build(config: &ClipConfig, vb: VarBuilder) -> Result<Self> {
        let projection = [config.text.projection, config.image_dim];
        Ok(Clip {
            image: config.image.build(vb.clone())?,
            pooling: config.pooling,
            visual_projection: Linear::load_without_bias(&vb.pp("visual_projection"), &projection)?,
            text: TextTower::load(&config.text, &vb)?,
            logit_scale: vb.get((), "logit_scale").map_err(Error::tensor("loading CLIP weights"))?,
        })
    }

    /// The image tower, for the features before the projection.
    pub fn image(&self) -> &dyn Backbone {
        self.image.as_ref()
    }

    /// The text tower.
    pub fn text(&self) -> &TextTower {
        &self.text
    }

    /// The logarithm of what cosines are multiplied by, a scalar.
    pub fn logit_scale(&self) -> &Tensor {
        &self.logit_scale
    }

    /// Projected features, not normalised: `images` (B, 3, H, W) to (B, E).
    ///
    /// # Errors
    /// As for [`Backbone::forward`]; [`Error::Unknown`] for a pooling that the image tower does not give.
    pub fn image_features(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let features = self.image.forward(images, mode)?;
        let known = || features.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        match features.iter().find(|(name, _)| *name == self.pooling) {
            Some((_, feature)) => self.visual_projection.forward(feature),
            None => Err(Error::Unknown { kind: "pooling", name: self.pooling.into(), known: known() }),
        }
    }

    /// As [`TextTower::forward`]: token ids (B, T) to (B, E).
    ///
    /// # Errors
    /// As there.
    pub fn text_features(&self, ids: ArrayView2<u32>, mode: Mode) -> Result<Tensor> {
        self.text.forward(ids, mode)
    }

    /// Cosines of every image with every text, times exp(logit_scale): (N, E) and (K, E) to (N, K). A softmax over a row
    /// gives the image's probabilities of the texts. A feature of zeros has no direction and gives NaN.
    ///
    /// # Errors
    /// [`Error::Argument`] if the features do not have one length.
    pub fn logits(&self, image_features: &Tensor, text_features: &Tensor) -> Result<Tensor> {
        let (&[n, e], &[k, length]) = (image_features.dims(), text_features.dims()) else {
            let found = format!("{:?} and {:?}", image_features.dims(), text_features.dims());
            return Err(Error::argument("image and text features", "(N, E) and (K, E)", found));
        };
        if e != length {
            let found = format!("{e} and {length} numbers");
            return Err(Error::argument("image and text features", "features of one length", found));
        }
        if n == 0 || k == 0 {
            return Ok(Tensor::zeros((n, k), image_features.dtype(), image_features.device())?);
        }
        let cosines = normalised(image_features)?.matmul(&normalised(text_features)?.t()?)?;
        Ok(cosines.broadcast_mul(&self.logit_scale.exp()?)?)
    }
}

/// Rows of length 1.
fn normalised(features: &Tensor) -> Result<Tensor> {
    let length = features.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?;
    Ok(features.broadcast_div(&length)?)
}
