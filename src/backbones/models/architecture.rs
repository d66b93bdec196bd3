//! The architectures that records name, and what all of them can be asked.

use super::assemble::{Parameter, Scheme};
use super::convnext::{self, ConvNeXt, ConvNeXtConfig};
use super::efficientnet::{self, EfficientNet, EfficientNetConfig};
use super::transformer::{self, Transformer, TransformerConfig};
use super::{Backbone, Pixels};
use crate::error::{Error, Result};
use crate::ops::keep_memory;
use candle_nn::VarBuilder;

/// A family with its configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Architecture {
    /// CLIP's image tower, ViT, DINO, MAE, BEiT, data2vec.
    Transformer(TransformerConfig),
    /// ConvNeXt, CLIP's too.
    ConvNeXt(ConvNeXtConfig),
    /// EfficientNet and EfficientNet-Lite.
    EfficientNet(EfficientNetConfig),
    /// The pixels themselves, squares of this side.
    Pixels(usize),
}

impl Architecture {
    /// The architecture that a record names.
    ///
    /// # Errors
    /// [`Error::Unknown`] listing the known ones.
    pub fn named(name: &str) -> Result<Architecture> {
        let known = known()?;
        let found = known.iter().find(|(known, _)| *known == name).map(|(_, architecture)| architecture.clone());
        found.ok_or_else(|| {
            let known: Vec<_> = known.iter().map(|(name, _)| *name).collect();
            Error::Unknown { kind: "architecture", name: name.into(), known: known.join(", ") }
        })
    }

    /// Multiply-adds of a forward pass over an image of `side` pixels (a transformer's own size counts).
    pub fn multiply_adds(&self, side: usize) -> u64 {
        match self {
            Architecture::Transformer(config) => config.multiply_adds(config.tokens()),
            Architecture::ConvNeXt(config) => config.multiply_adds(side),
            Architecture::EfficientNet(config) => config.multiply_adds(side),
            Architecture::Pixels(_) => 0,
        }
    }

    /// The same for images of another size, which must have patches to match; convolutional networks take any size.
    pub fn with_image_size(self, size: usize) -> Architecture {
        match self {
            Architecture::Transformer(config) => {
                Architecture::Transformer(TransformerConfig { image_size: size, ..config })
            }
            Architecture::Pixels(_) => Architecture::Pixels(size),
            other => other,
        }
    }

    /// The parameters under this crate's names.
    pub fn parameters(&self) -> Vec<Parameter> {
        match self {
            Architecture::Transformer(config) => transformer::parameters(config),
            Architecture::ConvNeXt(config) => convnext::parameters(config),
            Architecture::EfficientNet(config) => efficientnet::parameters(config),
            Architecture::Pixels(_) => Vec::new(),
        }
    }

    /// How publishers name them.
    pub fn schemes(&self) -> &'static [Scheme] {
        match self {
            Architecture::Transformer(_) => transformer::SCHEMES,
            Architecture::ConvNeXt(_) => convnext::SCHEMES,
            Architecture::EfficientNet(_) => efficientnet::SCHEMES,
            Architecture::Pixels(_) => &[],
        }
    }

    /// Builds the network from weights under this crate's names; where they are variables, it trains them. From then on
    /// the process keeps memory that it frees ([`keep_memory`]).
    ///
    /// # Errors
    /// A weight that is missing or has another shape, by name.
    pub fn build(&self, vb: VarBuilder) -> Result<Box<dyn Backbone>> {
        keep_memory();
        Ok(match self {
            Architecture::Transformer(config) => Box::new(Transformer::load(config, vb)?),
            Architecture::ConvNeXt(config) => Box::new(ConvNeXt::load(config, vb)?),
            Architecture::EfficientNet(config) => Box::new(EfficientNet::load(config, vb)?),
            Architecture::Pixels(size) => Box::new(Pixels::new(*size)?),
        })
    }

    /// The depth of a parameter, for learning rates that fall towards the input: 0 for what makes the first
    /// activations, up to [`Architecture::depths`] - 1.
    pub fn depth_of(&self, name: &str) -> usize {
        match self {
            Architecture::Transformer(config) => transformer::depth_of(name, config.depth),
            Architecture::ConvNeXt(config) => convnext::depth_of(config, name),
            Architecture::EfficientNet(config) => efficientnet::depth_of(config, name),
            Architecture::Pixels(_) => 0,
        }
    }

    /// The number of depths, a head's included.
    pub fn depths(&self) -> usize {
        match self {
            Architecture::Transformer(config) => config.depth + 2,
            Architecture::ConvNeXt(config) => convnext::n_depths(config),
            Architecture::EfficientNet(config) => efficientnet::n_depths(config),
            Architecture::Pixels(_) => 1,
        }
    }
}

/// Every architecture by the name that records use.
fn known() -> Result<Vec<(&'static str, Architecture)>> {
    let transformer = Architecture::Transformer;
    Ok(vec![
        ("clip_vit_b32", transformer(TransformerConfig::clip_vit_b32())),
        ("vit_b16", transformer(TransformerConfig::vit_b16())),
        ("vit_b32", transformer(TransformerConfig::vit_b32())),
        ("vit_l16", transformer(TransformerConfig::vit_l16())),
        ("vit_l32_384", transformer(TransformerConfig::vit_l32_384())),
        ("dino_b16", transformer(TransformerConfig::dino_b16())),
        ("dino_s16", transformer(TransformerConfig::dino_s16())),
        ("mae_b16", transformer(TransformerConfig::mae_b16())),
        ("beit_b16", transformer(TransformerConfig::beit_b16())),
        ("data2vec_b16", transformer(TransformerConfig::data2vec_b16())),
        ("convnext_tiny", Architecture::ConvNeXt(ConvNeXtConfig::tiny())),
        ("convnext_small", Architecture::ConvNeXt(ConvNeXtConfig::small())),
        ("convnext_base", Architecture::ConvNeXt(ConvNeXtConfig::base())),
        ("convnext_base_clip", Architecture::ConvNeXt(ConvNeXtConfig::base().with_one_eps())),
        ("efficientnet_b2", Architecture::EfficientNet(EfficientNetConfig::b(2)?)),
        ("efficientnet_b4", Architecture::EfficientNet(EfficientNetConfig::b(4)?)),
        ("tf_efficientnet_b2", Architecture::EfficientNet(EfficientNetConfig::tf_b(2)?)),
        ("tf_efficientnet_b4", Architecture::EfficientNet(EfficientNetConfig::tf_b(4)?)),
        ("tf_efficientnet_b6", Architecture::EfficientNet(EfficientNetConfig::tf_b(6)?)),
        ("efficientnet_lite0", Architecture::EfficientNet(EfficientNetConfig::lite(0)?)),
        ("pixels", Architecture::Pixels(32)),
        ("vit_pocket_patch8_48", transformer(TransformerConfig::vit_pocket(8))),
        ("clip_pocket", transformer(TransformerConfig::vit_pocket(8))),
        ("vit_pocket_patch16_48", transformer(TransformerConfig::vit_pocket(16))),
        ("convnext_pocket_base", Architecture::ConvNeXt(ConvNeXtConfig::pocket_base())),
        ("convnext_pocket_tiny", Architecture::ConvNeXt(ConvNeXtConfig::pocket_tiny())),
        ("efficientnet_pocket", Architecture::EfficientNet(EfficientNetConfig::pocket()?)),
        ("vit_tiny_patch8_64", transformer(TransformerConfig::vit_tiny_patch8_64())),
        ("vit_tiny_patch16_64", transformer(TransformerConfig::vit_tiny_patch16_64())),
    ])
}
