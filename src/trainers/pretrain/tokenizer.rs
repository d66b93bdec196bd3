//! The visual tokenizer that BEiT's words come from: a discrete variational autoencoder in miniature (Rolfe 2017,
//! <https://arxiv.org/abs/1609.02200>; Ramesh et al. 2021, <https://arxiv.org/abs/2102.12092>).
//!
//! Each patch becomes one of 512 codes and is drawn again from the codes. While it learns, a code is a mixture: softmax of
//! scores with Gumbel noise at a temperature that falls from 1 to 1 / 16; the codes' distribution is drawn towards the
//! uniform one. Different from DALL-E's, which is a convolutional network of 8,192 codes with a logit-Laplace loss: here a
//! transformer block on each side of the codes, squared error, and a weight on the divergence that leaves codes in use.

use super::masked::with_positions;
use super::objective::{Batch, Loss, Moment, Objective};
use crate::error::{Error, Result};
use crate::models::initial::sines;
use crate::models::transformer::block::{Block, BlockConfig};
use crate::models::transformer::names::block_parameters;
use crate::models::{Architecture, Mode, Transformer, TransformerConfig};
use crate::ops::{Activation, Heads, Weight, linear, patches};
use crate::random::Random;
use crate::training::schedule::cosine;
use crate::training::{Parameters, Start};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::collections::HashMap;

/// Number of codes.
pub const CODES: usize = 512;
/// Weight of the divergence from the uniform distribution.
const DIVERGENCE: f64 = 0.01;
/// Temperature of the mixture at the start and at the end of training.
const TEMPERATURE: (f64, f64) = (1.0, 1.0 / 16.0);
/// Where a learning run has cooled down, as part of it.
const COOLED: f64 = 0.8;

/// The half that names patches. The other half is needed for learning only.
pub struct Namer {
    encoder: Transformer,
    scores: (Weight, Tensor),
}

impl Namer {
    /// The shape of its transformer, for images and patches of `config`.
    fn shape(config: &TransformerConfig) -> TransformerConfig {
        TransformerConfig { depth: 1, ..config.clone() }
    }

    /// From the weights of a learned tokenizer.
    ///
    /// # Errors
    /// A weight that is missing, by name.
    pub fn load(config: &TransformerConfig, vb: VarBuilder) -> Result<Self> {
        let scores = (Weight::new(&vb.get((CODES, config.dim), "scores.weight")?)?, vb.get(CODES, "scores.bias")?);
        Ok(Namer { encoder: Transformer::load(&Self::shape(config), vb)?, scores })
    }

    /// Scores of all codes for every patch: images (B, 3, S, S) to (B P, K).
    ///
    /// # Errors
    /// Images of another size.
    pub fn scores(&self, images: &Tensor) -> Result<Tensor> {
        let config = self.encoder.config();
        let x = self.encoder.embed(&patches(images, config.patch)?.flatten(1, 2)?)?;
        let x = self.encoder.encode(with_positions(&self.encoder, &x)?, Mode::QUIET, |_| ())?;
        let x = x.narrow(1, 1, config.tokens() - 1)?.reshape(((), config.dim))?;
        linear(&x, &self.scores.0, &self.scores.1)
    }

    /// The code of every patch: images (B, 3, S, S) to (B P,), u32.
    ///
    /// # Errors
    /// Images of another size.
    pub fn codes(&self, images: &Tensor) -> Result<Tensor> {
        codes(&self.scores(images)?.detach())
    }
}

/// The tokenizer as it learns.
pub struct VisualTokenizer {
    config: TransformerConfig,
    namer: Namer,
    /// (K, D), what the codes mean.
    meanings: Tensor,
    positions: Tensor,
    block: Block,
    pixels: (Weight, Tensor),
    parameters: Parameters,
}

impl VisualTokenizer {
    /// Draws everything from `parameters`, for images and patches of `config`.
    ///
    /// # Errors
    /// A config that contradicts itself.
    pub fn new(config: &TransformerConfig, mut parameters: Parameters) -> Result<Self> {
        let (dim, patch, grid) = (config.dim, 3 * config.patch * config.patch, config.tokens() - 1);
        parameters.encoder(&Architecture::Transformer(Namer::shape(config)))?;
        parameters.layer("scores", CODES, dim)?;
        parameters.draw("meanings", &[CODES, dim], Start::Normal(0.5))?;
        parameters.place("drawing.pos_embed", &[1, grid, dim], sines(config.grid(), dim))?;
        parameters.listed(&block_parameters("drawing.block", (dim, config.hidden), true, false))?;
        parameters.layer("drawing.pixels", patch, dim)?;
        let builder = parameters.builder();
        let block = BlockConfig {
            dim,
            hidden: config.hidden,
            heads: Heads { n: config.heads, causal: false },
            eps: config.eps,
            activation: Activation::Gelu,
            key_bias: true,
            layer_scale: false,
        };
        let pixels = builder.pp("drawing.pixels");
        Ok(VisualTokenizer {
            config: config.clone(),
            meanings: builder.get((CODES, dim), "meanings")?,
            positions: builder.get((1, grid, dim), "drawing.pos_embed")?,
            block: Block::load(block, &builder.pp("drawing.block"))?,
            pixels: (Weight::new(&pixels.get((patch, dim), "weight")?)?, pixels.get(patch, "bias")?),
            namer: Namer::load(config, builder)?,
            parameters,
        })
    }
}

impl Objective for VisualTokenizer {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&mut self, batch: &Batch, at: Moment) -> Result<Loss> {
        let (images, dim) = (&batch.views[0], self.config.dim);
        let (n, grid) = (images.dim(0)?, self.config.tokens() - 1);
        let scores = self.namer.scores(images)?;
        let (hot, cold) = TEMPERATURE;
        let temperature = cosine(hot, cold, 0, (COOLED * at.total as f64) as u64, at.step);
        let noise = gumbel(&mut Random::new("gumbel noise", at.seed, at.step), n * grid * CODES);
        let noise = Tensor::from_vec(noise, scores.shape(), images.device())?;
        let mixed = relaxed_codes(&scores, &noise, temperature)?.matmul(&self.meanings)?;
        let x = mixed.reshape((n, grid, dim))?.broadcast_add(&self.positions)?;
        let x = self.block.forward(&x, None, Mode::QUIET, (0, 1))?;
        let drawn = linear(&x, &self.pixels.0, &self.pixels.1)?;
        let error = (drawn - patches(images, self.config.patch)?.flatten(1, 2)?.detach())?.sqr()?.mean_all()?;
        let total = (&error + (kl_to_uniform(&scores)? * DIVERGENCE)?)?;
        let used = used_codes(&codes(&scores.detach())?)?;
        Ok(Loss { total, parts: vec![("squared_error", error.detach()), ("codes_in_use", used)] })
    }

    fn released(&self) -> Result<HashMap<String, Tensor>> {
        let names = Architecture::Transformer(Namer::shape(&self.config)).parameters();
        let heads = ["scores.weight", "scores.bias"];
        self.parameters.copies(names.iter().map(|parameter| parameter.name.as_str()).chain(heads))
    }
}

/// exp of the entropy of how often each code was given: the number of codes, were all given as often.
fn used_codes(codes: &Tensor) -> Result<Tensor> {
    let mut counts = vec![0f64; CODES];
    let codes = codes.to_vec1::<u32>()?;
    codes.iter().for_each(|&code| counts[code as usize] += 1.0);
    let part =
        |count: &f64| if *count > 0.0 { -(count / codes.len() as f64).ln() * count / codes.len() as f64 } else { 0.0 };
    Ok(Tensor::new(counts.iter().map(part).sum::<f64>().exp() as f32, &Device::Cpu)?)
}

/// `n` draws of -ln(-ln u).
fn gumbel(random: &mut Random, n: usize) -> Vec<f32> {
    (0..n).map(|_| (-(-(random.unit().max(1e-20)).ln()).ln()) as f32).collect()
}

/// softmax((`scores` + `noise`) / `temperature`) over K, both (N, K): codes as mixtures (Jang et al. 2017). The colder,
/// the nearer to one code. Gradient for `scores`.
///
/// # Errors
/// Shapes that do not fit; a temperature that is not above 0.
pub fn relaxed_codes(scores: &Tensor, noise: &Tensor, temperature: f64) -> Result<Tensor> {
    if temperature.is_nan() || temperature <= 0.0 {
        return Err(Error::argument("temperature", "above 0", temperature.to_string()));
    }
    Ok(candle_nn::ops::softmax(&((scores + noise.detach())? / temperature)?, D::Minus1)?)
}

/// Mean over N of the divergence of softmax(`scores` (N, K)) from the uniform distribution: sum of q ln(q K), in nats.
/// Gradient for `scores`.
///
/// # Errors
/// No memory.
pub fn kl_to_uniform(scores: &Tensor) -> Result<Tensor> {
    let logs = candle_nn::ops::log_softmax(scores, D::Minus1)?;
    let k = scores.dim(D::Minus1)? as f64;
    Ok(((logs.exp()? * (logs + k.ln())?)?.sum(D::Minus1)?).mean_all()?)
}

/// The code with the greatest of `scores` (N, K), of equals the first: (N,), u32.
///
/// # Errors
/// No memory.
pub fn codes(scores: &Tensor) -> Result<Tensor> {
    Ok(scores.argmax(D::Minus1)?.to_dtype(DType::U32)?)
}
