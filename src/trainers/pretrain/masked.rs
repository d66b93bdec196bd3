//! Images with patches hidden in blocks, through an encoder: what BEiT and data2vec have in common.

use super::mask::blocks;
use super::objective::{mask_tensor, places, rows_of};
use crate::error::{Error, Result};
use crate::models::{Mode, Transformer};
use crate::ops::patches;
use crate::random::Random;
use candle_core::Tensor;

/// Patches of the smallest block.
const SMALLEST_BLOCK: usize = 4;

/// What is hidden.
pub(super) struct Masking {
    /// Part of the patches.
    pub(super) part: f64,
    /// The run's seed.
    pub(super) seed: u64,
    /// Source images drawn before this batch: each image has a mask of its own.
    pub(super) drawn: u64,
}

/// The encoder's tokens in hidden places.
pub(super) struct Hidden {
    /// (M, D).
    pub(super) tokens: Tensor,
    /// Where they stand among all patches of the batch: image b's patch p is b P + p.
    pub(super) places: Vec<u32>,
}

/// Encodes `images` (B, 3, S, S) with `mask_token` (1, 1, D) in place of hidden patches.
pub(super) fn hidden_tokens(
    encoder: &Transformer,
    mask_token: &Tensor,
    images: &Tensor,
    masking: Masking,
) -> Result<Hidden> {
    let (grid, patch) = (encoder.config().grid(), encoder.config().patch);
    let n_hidden = (masking.part * (grid * grid) as f64).round() as usize;
    let mask = |i: u64| {
        blocks(grid, n_hidden, SMALLEST_BLOCK, &mut Random::new("hidden blocks", masking.seed, masking.drawn + i))
    };
    let masks: Vec<Vec<bool>> = (0..images.dim(0)? as u64).map(mask).collect();
    let places = places(&masks, true);
    let x = encoder.embed(&patches(images, patch)?.flatten(1, 2)?)?;
    let masked = mask_tensor(&masks, images.device())?.unsqueeze(2)?;
    let x = (x.broadcast_mul(&(1.0 - &masked)?)? + masked.broadcast_mul(mask_token)?)?;
    let x = encoder.encode(with_positions(encoder, &x)?, Mode::QUIET, |_| ())?;
    let x = x.narrow(1, 1, grid * grid)?.contiguous()?.flatten_to(1)?;
    Ok(Hidden { tokens: rows_of(&x, places.clone())?, places })
}

/// `tokens` (B, P, D) with class token and positions, (B, 1 + P, D).
pub(super) fn with_positions(encoder: &Transformer, tokens: &Tensor) -> Result<Tensor> {
    match encoder.positions() {
        Some(positions) => Ok(encoder.with_class_token(tokens)?.broadcast_add(positions)?),
        None => Err(Error::argument("transformer config", "learned positions", "none")),
    }
}
