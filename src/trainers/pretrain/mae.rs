//! Masked autoencoding: the pixels of hidden patches from the few that are seen (He et al. 2022,
//! <https://arxiv.org/abs/2111.06377>).
//!
//! As there: three quarters of the patches are hidden at random and never enter the encoder; a light decoder gets what the
//! encoder made of the rest, a learned token in every hidden place, and positions; the loss is the squared error on hidden
//! patches, each normalised by its own mean and deviation. Different: positions are learned from sines and cosines on,
//! in encoder and decoder, as in all pocket models; the decoder has two blocks of 64 numbers.

use super::mask::scattered;
use super::objective::{Batch, Loss, Moment, Objective, mask_tensor, places, rows_of};
use crate::error::{Error, Result};
use crate::models::initial::sines;
use crate::models::transformer::block::{Block, BlockConfig};
use crate::models::transformer::names::block_parameters;
use crate::models::{Architecture, Mode, Transformer, TransformerConfig};
use crate::ops::{Activation, Heads, Weight, layer_norm, linear, patches};
use crate::random::Random;
use crate::training::{Parameters, Start};
use candle_core::{D, Tensor};
use std::collections::HashMap;

/// Part of the patches that is hidden.
const HIDDEN: f64 = 0.75;
/// Length of a token of the decoder.
const DIM: usize = 64;
/// Blocks of the decoder.
const DEPTH: usize = 2;

/// The encoder and its decoder.
pub struct MaskedAutoencoder {
    config: TransformerConfig,
    encoder: Transformer,
    parameters: Parameters,
    embed: (Weight, Tensor),
    mask_token: Tensor,
    positions: Tensor,
    blocks: Vec<Block>,
    norm: (Tensor, Tensor),
    predict: (Weight, Tensor),
}

impl MaskedAutoencoder {
    /// Draws everything from `parameters`.
    ///
    /// # Errors
    /// A config that contradicts itself.
    pub fn new(config: &TransformerConfig, mut parameters: Parameters) -> Result<Self> {
        let (pixels, tokens) = (3 * config.patch * config.patch, config.tokens());
        parameters.encoder(&Architecture::Transformer(config.clone()))?;
        parameters.layer("decoder.embed", DIM, config.dim)?;
        parameters.draw("decoder.mask_token", &[1, DIM], Start::Normal(0.02))?;
        let positions = [vec![0.0; DIM], sines(config.grid(), DIM)].concat();
        parameters.place("decoder.pos_embed", &[1, tokens, DIM], positions)?;
        for i in 0..DEPTH {
            parameters.listed(&block_parameters(&format!("decoder.blocks.{i}"), (DIM, 4 * DIM), true, false))?;
        }
        parameters.draw("decoder.norm.weight", &[DIM], Start::Value(1.0))?;
        parameters.draw("decoder.norm.bias", &[DIM], Start::Value(0.0))?;
        parameters.layer("decoder.predict", pixels, DIM)?;
        let (builder, vb) = (parameters.builder(), parameters.builder().pp("decoder"));
        let layer = |name: &str, outputs: usize, inputs: usize| -> Result<(Weight, Tensor)> {
            let vb = vb.pp(name);
            Ok((Weight::new(&vb.get((outputs, inputs), "weight")?)?, vb.get(outputs, "bias")?))
        };
        let block = BlockConfig {
            dim: DIM,
            hidden: 4 * DIM,
            heads: Heads { n: 2, causal: false },
            eps: config.eps,
            activation: Activation::Gelu,
            key_bias: true,
            layer_scale: false,
        };
        Ok(MaskedAutoencoder {
            config: config.clone(),
            encoder: Transformer::load(config, builder)?,
            embed: layer("embed", DIM, config.dim)?,
            mask_token: vb.get((1, DIM), "mask_token")?,
            positions: vb.get((1, tokens, DIM), "pos_embed")?,
            blocks: (0..DEPTH).map(|i| Block::load(block, &vb.pp(format!("blocks.{i}")))).collect::<Result<_>>()?,
            norm: (vb.get(DIM, "norm.weight")?, vb.get(DIM, "norm.bias")?),
            predict: layer("predict", pixels, DIM)?,
            parameters,
        })
    }

    /// What the encoder makes of the patches that are not hidden, the class token first: (B, 1 + V, D).
    fn encode(&self, images: &Tensor, seen: &[u32]) -> Result<Tensor> {
        let (batch, grid) = (images.dim(0)?, self.config.grid().pow(2));
        let pixels = patches(images, self.config.patch)?.reshape((batch * grid, ()))?;
        let x = self.encoder.embed(&rows_of(&pixels, seen.to_vec())?)?;
        let Some(positions) = self.encoder.positions() else {
            return Err(Error::argument("transformer config", "learned positions", "none"));
        };
        let at = seen.iter().map(|place| 1 + place % grid as u32).collect();
        let x = (x + rows_of(&positions.squeeze(0)?, at)?)?.reshape((batch, seen.len() / batch, self.config.dim))?;
        let class = positions.narrow(1, 0, 1)?;
        let x = self.encoder.with_class_token(&x)?;
        // The class token's position alone: zeros for the others, which have theirs.
        let rest = Tensor::zeros((1, seen.len() / batch, self.config.dim), x.dtype(), x.device())?;
        let x = x.broadcast_add(&Tensor::cat(&[&class, &rest], 1)?)?;
        self.encoder.encode(x, Mode::QUIET, |_| ())
    }

    /// The pixels of all patches (B, P, 3 p p) from the encoder's tokens.
    fn decode(&self, tokens: &Tensor, seen: &[u32]) -> Result<Tensor> {
        let (batch, grid) = (tokens.dim(0)?, self.config.grid().pow(2));
        let x = linear(tokens, &self.embed.0, &self.embed.1)?;
        let length = x.dim(1)?;
        // Where a place's token stands among the encoder's, of which the first of an image is the class token; the last
        // row of all is the mask token.
        let mut from = vec![(batch * length) as u32; batch * (1 + grid)];
        for image in 0..batch {
            from[image * (1 + grid)] = (image * length) as u32;
        }
        for (i, place) in seen.iter().enumerate() {
            let (image, at) = (*place as usize / grid, *place as usize % grid);
            from[image * (1 + grid) + 1 + at] = (image * length + 1 + i % (length - 1)) as u32;
        }
        let rows = Tensor::cat(&[&x.flatten_to(1)?, &self.mask_token], 0)?;
        let x = rows_of(&rows, from)?.reshape((batch, 1 + grid, DIM))?;
        let mut x = x.broadcast_add(&self.positions)?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, None, Mode::QUIET, (i, DEPTH))?;
        }
        let x = layer_norm(&x.narrow(1, 1, grid)?.contiguous()?, &self.norm.0, &self.norm.1, self.config.eps)?;
        linear(&x, &self.predict.0, &self.predict.1)
    }
}

/// Tokens that enter the encoder, the class token among them.
pub(super) fn seen_tokens(config: &TransformerConfig) -> usize {
    let grid = config.grid().pow(2);
    1 + grid - hidden_patches(grid)
}

fn hidden_patches(grid: usize) -> usize {
    (HIDDEN * grid as f64).round() as usize
}

/// The decoder's shape, as that of an encoder.
pub(super) fn decoder(config: &TransformerConfig) -> TransformerConfig {
    TransformerConfig { dim: DIM, depth: DEPTH, hidden: 4 * DIM, ..config.clone() }
}

impl Objective for MaskedAutoencoder {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&mut self, batch: &Batch, at: Moment) -> Result<Loss> {
        let images = &batch.views[0];
        let grid = self.config.grid().pow(2);
        let masked = hidden_patches(grid);
        let masks: Vec<Vec<bool>> = (0..images.dim(0)? as u64)
            .map(|i| scattered(grid, masked, &mut Random::new("hidden patches", at.seed, batch.drawn + i)))
            .collect();
        let seen = places(&masks, false);
        let predicted = self.decode(&self.encode(images, &seen)?, &seen)?;
        let masks = mask_tensor(&masks, images.device())?;
        Ok(Loss::plain(reconstruction_loss(&predicted, images, self.config.patch, &masks)?))
    }

    fn released(&self) -> Result<HashMap<String, Tensor>> {
        let names = Architecture::Transformer(self.config.clone()).parameters();
        self.parameters.copies(names.iter().map(|parameter| parameter.name.as_str()))
    }
}

/// Squared error of predicted patches, averaged over their pixels and then over the hidden ones.
///
/// `predicted` (B, P, 3 p p), a patch's pixels ordered by channel, row, column (He et al. have the channel last: the same
/// numbers in another order); `images` (B, 3, H, W); `masked` (B, P), 1 where a patch is hidden. The target is the patch
/// less its mean over the root of its unbiased variance + 1e-6. Gradient for `predicted`.
///
/// # Errors
/// [`Error::Argument`] if the shapes do not fit or no patch is hidden.
pub fn reconstruction_loss(predicted: &Tensor, images: &Tensor, patch: usize, masked: &Tensor) -> Result<Tensor> {
    let targets = patches(images, patch)?.flatten(1, 2)?.detach();
    let (batch, grid, pixels) = targets.dims3()?;
    if predicted.dims() != targets.dims() || masked.dims() != [batch, grid] {
        let found = format!("{:?} and {:?}", predicted.dims(), masked.dims());
        let expected = format!("({batch}, {grid}, {pixels}) and ({batch}, {grid})");
        return Err(Error::argument("predicted patches and mask", expected, found));
    }
    let n_masked = masked.sum_all()?;
    if n_masked.to_scalar::<f32>()? == 0.0 {
        return Err(Error::argument("masked", "at least one hidden patch", "none"));
    }
    let centred = targets.broadcast_sub(&targets.mean_keepdim(D::Minus1)?)?;
    let variance = (centred.sqr()?.sum_keepdim(D::Minus1)? / (pixels - 1) as f64)?;
    let targets = centred.broadcast_div(&(variance + 1e-6)?.sqrt()?)?;
    let errors = (predicted - targets)?.sqr()?.mean(D::Minus1)?;
    Ok((errors * masked)?.sum_all()?.div(&n_masked)?)
}
