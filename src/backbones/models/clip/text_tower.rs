//! CLIP's text tower: tokens and positions, causal pre-norm blocks, the token that ends the text, a projection.
//!
//! The text's feature is read where its greatest id stands, the first place of it. In OpenAI's and open_clip's
//! vocabulary that is the end token, with which texts are also padded; transformers does so too for OpenAI's
//! checkpoints, whose config names 2 as the end token. Since a token sees only those before it, what follows the end of
//! the longest text of a batch is left out: captions of ten words in a context of 77 cost a sixth.
//!
//! candle-transformers' text tower gives the same features (tests/clip.rs holds both); it always takes all 77 tokens, and
//! its layer norms cut the gradient (candle 0.11.1), so that it cannot be trained.

use super::names::{SCHEMES, Turned, text_parameters};
use crate::error::{Error, Result};
use crate::models::Mode;
use crate::models::assemble::{Assembled, Source, assemble};
use crate::models::layers::{LayerNorm, Linear};
use crate::models::mode::Noise;
use crate::models::transformer::block::{Block, BlockConfig};
use crate::ops::{Activation, Heads};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use ndarray::{ArrayView1, ArrayView2, Axis, Slice};

/// Tokens that pass through the frozen tower together on a processor.
const GROUP_TOKENS: usize = 800;

/// The shape of a text tower.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// V, number of token ids.
    pub vocabulary: usize,
    /// The longest text in tokens.
    pub context: usize,
    /// D, the length of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; divides `dim`.
    pub heads: usize,
    /// Length of the hidden layer of a block.
    pub hidden: usize,
    /// Epsilon of layer normalisation.
    pub eps: f64,
    /// Activation of the hidden layer.
    pub activation: Activation,
    /// E, the length of a feature: what images and texts are compared in.
    pub projection: usize,
}

impl TextConfig {
    /// `openai/clip-vit-base-patch32` (Radford et al. 2021).
    pub fn clip_vit_b32() -> Self {
        TextConfig {
            vocabulary: 49_408,
            context: 77,
            dim: 512,
            depth: 12,
            heads: 8,
            hidden: 2048,
            eps: 1e-5,
            activation: Activation::QuickGelu,
            projection: 512,
        }
    }

    /// `laion/CLIP-convnext_base-laion400M-s13B-b51K`: OpenAI's shape with the exact GELU.
    pub fn clip_convnext_base() -> Self {
        TextConfig { activation: Activation::Gelu, ..Self::clip_vit_b32() }
    }

    /// Reads the tower's parameters, as f32, from a file of transformers' `CLIPModel` or open_clip's `CLIP`.
    ///
    /// # Errors
    /// [`Error::Weights`] listing the tensors that are missing, have another shape, or belong to no parameter.
    pub fn assemble(&self, source: &dyn Source, device: &Device) -> Result<Assembled> {
        assemble(&Turned(source), &text_parameters(self), SCHEMES, DType::F32, device)
    }

    fn check(&self) -> Result<()> {
        let sizes = [self.vocabulary, self.context, self.dim, self.heads, self.hidden, self.projection];
        if sizes.iter().all(|&size| size > 0) && self.dim.is_multiple_of(self.heads) {
            return Ok(());
        }
        Err(Error::argument("text config", "sizes above 0, and heads that divide dim", format!("{self:?}")))
    }
}

/// CLIP's text tower, frozen, or trained where the weights it was built from are variables.
pub struct TextTower {
    config: TextConfig,
    /// (V, D).
    token_embedding: Tensor,
    /// (context, D).
    positions: Tensor,
    blocks: Vec<Block>,
    norm: LayerNorm,
    projection: Linear,
}

impl TextTower {
    /// Builds the tower from weights under this crate's names ([`super::text_parameters`]).
    ///
    /// # Errors
    /// [`Error::Argument`] if the config contradicts itself, [`Error::Tensor`] naming the first weight that is missing
    /// or has another shape.
    pub fn load(config: &TextConfig, vb: &VarBuilder) -> Result<Self> {
        config.check()?;
        Self::build(config, vb).map_err(|error| match error {
            Error::Tensor { source, .. } => Error::Tensor { context: "loading text tower weights".into(), source },
            other => other,
        })
    }

    fn build(config: &TextConfig, vb: &VarBuilder) -> Result<Self> {
        let &TextConfig { vocabulary, context, dim, eps, .. } = config;
        let block = BlockConfig {
            dim,
            hidden: config.hidden,
            heads: Heads { n: config.heads, causal: true },
            eps,
            activation: config.activation,
            key_bias: true,
            layer_scale: false,
        };
        let text = vb.pp("text");
        let blocks = (0..config.depth).map(|i| Block::load(block, &text.pp(format!("blocks.{i}"))));
        Ok(TextTower {
            token_embedding: text.get((vocabulary, dim), "token_embedding.weight")?,
            positions: text.get((context, dim), "pos_embed")?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: LayerNorm::load(&text.pp("norm"), dim, eps)?,
            projection: Linear::load_without_bias(&vb.pp("text_projection"), &[config.projection, dim])?,
            config: config.clone(),
        })
    }

    /// What it was built as.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// Features after the projection, not normalised: `ids` (B, T) as [`crate::text::Tokenizer::encode_batch`] gives
    /// them, T at most the context, to (B, E) f32. A batch of none gives (0, E). In [`Mode::Eval`] a row depends on its
    /// own text only.
    ///
    /// # Errors
    /// [`Error::Argument`] for a text without a token or longer than the context, or an id outside the vocabulary.
    pub fn forward(&self, ids: ArrayView2<u32>, mode: Mode) -> Result<Tensor> {
        self.check_ids(ids)?;
        if ids.nrows() == 0 {
            return Ok(Tensor::zeros((0, self.config.projection), DType::F32, self.device())?);
        }
        let ends: Vec<usize> = ids.rows().into_iter().map(end).collect();
        if mode.is_train() || self.token_embedding.track_op() || !self.device().is_cpu() {
            return self.features(ids, &ends, mode);
        }
        // Texts of about one length together, so that few tokens follow their end.
        let mut order: Vec<usize> = (0..ids.nrows()).collect();
        order.sort_by_key(|&text| ends[text]);
        let (mut features, mut rest) = (Vec::new(), order.as_slice());
        while !rest.is_empty() {
            let fits = |n: &usize| n * (1 + ends[rest[n - 1]]) <= GROUP_TOKENS;
            let (group, longer) = rest.split_at((1..=rest.len()).take_while(fits).count().max(1));
            let ends: Vec<usize> = group.iter().map(|&text| ends[text]).collect();
            features.push(self.features(ids.select(Axis(0), group).view(), &ends, mode)?);
            rest = longer;
        }
        let mut places = vec![0u32; order.len()];
        order.iter().enumerate().for_each(|(place, &text)| places[text] = place as u32);
        let places = Tensor::from_vec(places, order.len(), self.device())?;
        Ok(Tensor::cat(&features, 0)?.index_select(&places, 0)?)
    }

    /// The features of texts that end at `ends`.
    fn features(&self, ids: ArrayView2<u32>, ends: &[usize], mode: Mode) -> Result<Tensor> {
        let (batch, dim) = (ids.nrows(), self.config.dim);
        let tokens = 1 + ends.iter().copied().max().unwrap_or(0);
        let ids: Vec<u32> = ids.slice_axis(Axis(1), Slice::from(..tokens)).iter().copied().collect();
        let ids = Tensor::from_vec(ids, batch * tokens, self.device())?;
        let x = self.token_embedding.index_select(&ids, 0)?.reshape((batch, tokens, dim))?;
        // Other noise than the image tower's at the same place.
        let mode = match mode {
            Mode::Train(noise) => Mode::Train(Noise { seed: !noise.seed, ..noise }),
            Mode::Eval => Mode::Eval,
        };
        let mut x = mode.dropout(x.broadcast_add(&self.positions.narrow(0, 0, tokens)?)?, 0)?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(&x, None, mode, (i, self.blocks.len()))?;
        }
        let rows: Vec<u32> = ends.iter().enumerate().map(|(text, end)| (text * tokens + end) as u32).collect();
        let rows = Tensor::from_vec(rows, batch, self.device())?;
        let ended = x.reshape((batch * tokens, dim))?.index_select(&rows, 0)?;
        self.projection.forward(&self.norm.forward(&ended)?)
    }

    fn device(&self) -> &Device {
        self.token_embedding.device()
    }

    fn check_ids(&self, ids: ArrayView2<u32>) -> Result<()> {
        let &TextConfig { vocabulary, context, .. } = &self.config;
        if ids.ncols() == 0 || ids.ncols() > context {
            let expected = format!("(B, T) with T from 1 to {context}");
            return Err(Error::argument("token ids", expected, format!("{:?}", ids.shape())));
        }
        match ids.indexed_iter().find(|(_, id)| **id as usize >= vocabulary) {
            Some(((text, at), id)) => {
                let found = format!("{id} at position {at} of text {text}");
                Err(Error::argument("token ids", format!("ids below {vocabulary}"), found))
            }
            None => Ok(()),
        }
    }
}

/// The first place of the greatest id.
fn end(ids: ArrayView1<u32>) -> usize {
    ids.iter().enumerate().fold(0, |best, (at, id)| if *id > ids[best] { at } else { best })
}
