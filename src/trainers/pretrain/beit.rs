//! BEiT: the codes of hidden patches (Bao et al. 2022, <https://arxiv.org/abs/2106.08254>).
//!
//! As there: a tokenizer that was trained first names every patch; 40% of the patches are hidden in blocks, each replaced
//! by a learned token; the encoder's tokens in hidden places predict the codes. Different: the tokenizer is this project's
//! own and trained on the same corpus ([`super::tokenizer`]), positions are absolute, as in all pocket models, not
//! relative, and there is no layer scale and no stochastic depth.

use super::masked::{Masking, hidden_tokens};
use super::objective::{Batch, Loss, Moment, Objective, rows_of};
use super::tokenizer::{CODES, Namer};
use crate::error::{Error, Result};
use crate::models::{Architecture, Transformer, TransformerConfig};
use crate::ops::{Weight, linear};
use crate::training::{Parameters, Start};
use candle_core::{D, DType, Tensor};
use std::collections::HashMap;

/// Part of the patches that is hidden.
const HIDDEN: f64 = 0.4;

/// The encoder, the layer that predicts codes, and the tokenizer that gives them.
pub struct Beit {
    config: TransformerConfig,
    encoder: Transformer,
    mask_token: Tensor,
    predict: (Weight, Tensor),
    namer: Namer,
    parameters: Parameters,
}

impl Beit {
    /// Draws everything but the tokenizer from `parameters`.
    ///
    /// # Errors
    /// A config that contradicts itself.
    pub fn new(config: &TransformerConfig, mut parameters: Parameters, namer: Namer) -> Result<Self> {
        parameters.encoder(&Architecture::Transformer(config.clone()))?;
        parameters.draw("mask_token", &[1, 1, config.dim], Start::Normal(0.02))?;
        parameters.layer("predict", CODES, config.dim)?;
        let builder = parameters.builder();
        Ok(Beit {
            config: config.clone(),
            mask_token: builder.get((1, 1, config.dim), "mask_token")?,
            predict: (
                Weight::new(&builder.get((CODES, config.dim), "predict.weight")?)?,
                builder.get(CODES, "predict.bias")?,
            ),
            encoder: Transformer::load(config, builder)?,
            namer,
            parameters,
        })
    }
}

impl Objective for Beit {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&mut self, batch: &Batch, at: Moment) -> Result<Loss> {
        let images = &batch.views[0];
        let masking = Masking { part: HIDDEN, seed: at.seed, drawn: batch.drawn };
        let hidden = hidden_tokens(&self.encoder, &self.mask_token, images, masking)?;
        let logits = linear(&hidden.tokens, &self.predict.0, &self.predict.1)?;
        let codes = rows_of(&self.namer.codes(images)?, hidden.places)?;
        let right = logits.detach().argmax(D::Minus1)?.eq(&codes)?.to_dtype(DType::F32)?.mean_all()?;
        Ok(Loss { total: masked_token_loss(&logits, &codes)?, parts: vec![("codes_found", right)] })
    }

    fn released(&self) -> Result<HashMap<String, Tensor>> {
        let names = Architecture::Transformer(self.config.clone()).parameters();
        self.parameters.copies(names.iter().map(|parameter| parameter.name.as_str()))
    }
}

/// Mean cross-entropy of `logits` (M, K) of hidden patches with their `codes` (M,), u32. Gradient for `logits`.
///
/// # Errors
/// [`Error::Argument`] for no patch; shapes that do not fit.
pub fn masked_token_loss(logits: &Tensor, codes: &Tensor) -> Result<Tensor> {
    if logits.dim(0)? == 0 {
        return Err(Error::argument("logits", "at least one hidden patch", "none"));
    }
    let logs = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    Ok(logs.gather(&codes.unsqueeze(1)?, 1)?.mean_all()?.neg()?)
}
