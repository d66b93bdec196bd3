//! The architectures that records name, and what all of them can be asked.

use super::Backbone;
use super::assemble::{Parameter, Scheme};
use super::transformer::{self, Transformer, TransformerConfig};
use crate::error::Result;
use candle_nn::VarBuilder;

/// A family with its configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Architecture {
    /// CLIP's image tower, ViT, DINO, MAE, BEiT, data2vec.
    Transformer(TransformerConfig),
}

impl Architecture {
    /// The parameters under this crate's names.
    pub fn parameters(&self) -> Vec<Parameter> {
        match self {
            Architecture::Transformer(config) => transformer::parameters(config),
        }
    }

    /// How publishers name them.
    pub fn schemes(&self) -> &'static [Scheme] {
        match self {
            Architecture::Transformer(_) => transformer::SCHEMES,
        }
    }

    /// Builds the network from weights under this crate's names; where they are variables, it trains them.
    ///
    /// # Errors
    /// A weight that is missing or has another shape, by name.
    pub fn build(&self, vb: VarBuilder) -> Result<Box<dyn Backbone>> {
        Ok(match self {
            Architecture::Transformer(config) => Box::new(Transformer::load(config, vb)?),
        })
    }

    /// The depth of a parameter, for learning rates that fall towards the input: 0 for what makes the first
    /// activations, up to [`Architecture::depths`] - 1.
    pub fn depth_of(&self, name: &str) -> usize {
        match self {
            Architecture::Transformer(config) => transformer::depth_of(name, config.depth),
        }
    }

    /// The number of depths, a head's included.
    pub fn depths(&self) -> usize {
        match self {
            Architecture::Transformer(config) => config.depth + 2,
        }
    }
}
