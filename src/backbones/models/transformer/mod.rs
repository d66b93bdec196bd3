//! One vision transformer (Dosovitskiy et al. 2021, <https://arxiv.org/abs/2010.11929>) for CLIP, ViT, DINO, MAE, BEiT and
//! data2vec.
//!
//! Patches as tokens, a class token in front, positions, pre-norm blocks, a final layer norm; what differs is a switch of
//! [`TransformerConfig`]. The references are transformers' classes, held in tests/transformers.rs tensor by tensor,
//! forward and backward, and timm's and torchvision's ViT.
//!
//! candle-transformers has such models too. Measured with candle 0.11.1: its layer norms and softmax cut the gradient
//! (only residual branches live), its `beit` takes 384 pixels and one image, there is no MAE, DINO or data2vec, and its
//! CLIP and ViT read features at half of PyTorch's speed. They serve as second references in tests/second_reference.rs.
//!
//! [`Transformer::random`] is the study's control: the same architecture knowing nothing. Its weights are drawn here,
//! number by number, so that they are the same on every machine.

pub mod block;
mod config;
pub mod names;
mod relative;

pub use config::{Positions, RelativeBias, TransformerConfig};
pub use names::{SCHEMES, depth_of, parameters};

use super::layers::{LayerNorm, Linear};
use super::{Backbone, Mode, grid_mean, image_batch_check, in_groups};
use crate::error::{Error, Result};
use crate::ops::{Heads, mean_tokens, patches, require_bf16};
use crate::random::{Random, truncated_normal};
use block::{Block, BlockConfig};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::collections::HashMap;

/// Tokens that pass through the frozen network together: more only push each other out of the caches.
const GROUP_TOKENS: usize = 800;

/// A vision transformer, frozen, or trained where the weights it was built from are variables.
pub struct Transformer {
    config: TransformerConfig,
    patch_embed: Linear,
    /// (1, 1, D).
    cls_token: Tensor,
    /// (1, T, D).
    positions: Option<Tensor>,
    norm_pre: Option<LayerNorm>,
    shared_bias: Option<relative::RelativeBias>,
    blocks: Vec<(Block, Option<relative::RelativeBias>)>,
    norm: Option<LayerNorm>,
}

impl Transformer {
    /// Builds the model from weights under this crate's names ([`parameters`]). Where they are variables, the model
    /// trains them.
    ///
    /// # Errors
    /// [`Error::Argument`] if the config contradicts itself, [`Error::Tensor`] naming the first weight that is missing
    /// or has another shape.
    pub fn load(config: &TransformerConfig, vb: VarBuilder) -> Result<Self> {
        config.check()?;
        Self::build(config, &vb).map_err(|error| match error {
            Error::Tensor { source, .. } => Error::Tensor { context: "loading transformer weights".into(), source },
            other => other,
        })
    }

    /// A model that has learned nothing: weights from a normal distribution of standard deviation 0.02 cut at two
    /// deviations, biases 0, norms and layer scales 1. The same `config` and `seed` give the same weights on every
    /// machine.
    ///
    /// # Errors
    /// [`Error::Argument`] if the config contradicts itself.
    pub fn random(config: &TransformerConfig, seed: u64, device: &Device) -> Result<Self> {
        Self::load(config, VarBuilder::from_tensors(random_weights(config, seed, device)?, DType::F32, device))
    }

    fn build(config: &TransformerConfig, vb: &VarBuilder) -> Result<Self> {
        let &TransformerConfig { dim, patch, depth, eps, .. } = config;
        let block = BlockConfig {
            dim,
            hidden: config.hidden,
            heads: Heads { n: config.heads, causal: false },
            eps,
            activation: config.activation,
            key_bias: config.key_bias,
            layer_scale: config.layer_scale,
        };
        let bias = |vb: VarBuilder, wanted: RelativeBias| {
            let wanted = config.relative_bias == wanted;
            wanted.then(|| relative::RelativeBias::load(&vb, config.grid(), config.heads)).transpose()
        };
        let blocks = (0..depth).map(|i| {
            let vb = vb.pp(format!("blocks.{i}"));
            Ok((Block::load(block, &vb)?, bias(vb.pp("attn"), RelativeBias::EachBlock)?))
        });
        let (kernel, embed) = ([dim, 3, patch, patch], vb.pp("patch_embed.proj"));
        let norm = |wanted: bool, name: &str| wanted.then(|| LayerNorm::load(&vb.pp(name), dim, eps)).transpose();
        let positions = config.positions != Positions::None;
        Ok(Transformer {
            patch_embed: match config.patch_bias {
                true => Linear::load(&embed, &kernel)?,
                false => Linear::load_without_bias(&embed, &kernel)?,
            },
            cls_token: vb.get((1, 1, dim), "cls_token")?,
            positions: positions.then(|| vb.get((1, config.tokens(), dim), "pos_embed")).transpose()?,
            norm_pre: norm(config.norm_pre, "norm_pre")?,
            shared_bias: bias(vb.pp("rel_pos_bias"), RelativeBias::Shared)?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: norm(config.norm, "norm")?,
            config: config.clone(),
        })
    }

    /// What it was built as.
    pub fn config(&self) -> &TransformerConfig {
        &self.config
    }

    /// All tokens after the final norm, where there is one, the class token first: `images` (B, 3, H, W) to (B, T, D),
    /// f32.
    ///
    /// # Errors
    /// [`Error::Argument`] if `images` is no batch of the config's size.
    pub fn forward_tokens(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let (batch, tokens) = (image_batch_check(images, Some(self.config.image_size))?, self.config.tokens());
        if batch == 0 {
            return Ok(Tensor::zeros((0, tokens, self.config.dim), images.dtype(), images.device())?);
        }
        if mode.is_train() || self.cls_token.track_op() {
            return self.tokens_of(images, mode);
        }
        in_groups(images, (GROUP_TOKENS / tokens).max(1), |images| self.tokens_of(images, mode))
    }

    fn tokens_of(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let (x, _) = self.through(images, mode, self.blocks.len())?;
        Ok(self.normed(x)?.to_dtype(DType::F32)?)
    }

    /// The tokens after so many blocks, and the shared bias.
    fn through(&self, images: &Tensor, mode: Mode, n_blocks: usize) -> Result<(Tensor, Option<Tensor>)> {
        let images = images.detach().to_dtype(self.cls_token.dtype())?;
        let x = self.embed(&patches(&images, self.config.patch)?.flatten(1, 2)?)?;
        let mut x = self.with_class_token(&x)?;
        if let Some(positions) = &self.positions {
            x = x.broadcast_add(positions)?;
        }
        self.through_blocks(x, mode, n_blocks, |_| ())
    }

    /// Tokens, positions added, through so many blocks; `seen` gets what leaves each of them.
    fn through_blocks(
        &self,
        x: Tensor,
        mode: Mode,
        n_blocks: usize,
        mut seen: impl FnMut(&Tensor),
    ) -> Result<(Tensor, Option<Tensor>)> {
        let mut x = mode.dropout(x, 0)?;
        if let Some(norm) = &self.norm_pre {
            x = norm.forward(&x)?;
        }
        let shared = self.shared_bias.as_ref().map(|bias| bias.bias()).transpose()?;
        for (i, (block, own)) in self.blocks[..n_blocks].iter().enumerate() {
            let own = own.as_ref().map(|bias| bias.bias()).transpose()?;
            x = block.forward(&x, own.as_ref().or(shared.as_ref()), mode, (i, self.blocks.len()))?;
            seen(&x);
        }
        Ok((x, shared))
    }

    fn normed(&self, x: Tensor) -> Result<Tensor> {
        self.norm.as_ref().map_or(Ok(x.clone()), |norm| norm.forward(&x))
    }
}

/// What pretraining takes apart: patches, positions and blocks one by one.
impl Transformer {
    /// Patches cut out by [`patches`], (B, P, 3 p p), to tokens without position (B, P, D).
    pub fn embed(&self, patches: &Tensor) -> Result<Tensor> {
        self.patch_embed.forward(patches)
    }

    /// The learned positions (1, 1 + P, D), the class token's first.
    pub fn positions(&self) -> Option<&Tensor> {
        self.positions.as_ref()
    }

    /// `tokens` (B, T, D) with the class token, as yet without position, before them: (B, 1 + T, D).
    pub fn with_class_token(&self, tokens: &Tensor) -> Result<Tensor> {
        let (batch, _, dim) = tokens.dims3()?;
        Ok(Tensor::cat(&[&self.cls_token.expand((batch, 1, dim))?.contiguous()?, tokens], 1)?)
    }

    /// Any tokens (B, T, D), positions added, through all blocks and the final norm; `seen` gets what leaves each
    /// block.
    pub fn encode(&self, tokens: Tensor, mode: Mode, seen: impl FnMut(&Tensor)) -> Result<Tensor> {
        let (x, _) = self.through_blocks(tokens, mode, self.blocks.len(), seen)?;
        self.normed(x)
    }
}

impl Backbone for Transformer {
    /// Gives `cls`, the class token; `patch_mean`, the mean of the patch tokens; `token_mean`, the mean of all; and
    /// `cls_patch_mean`, class token and patch mean side by side, 2 D numbers. A config with cells adds `grid_mean`, the
    /// [`grid_mean`] of the patch tokens, and `patches`, all of them side by side.
    fn forward(&self, images: &Tensor, mode: Mode) -> Result<Vec<(&'static str, Tensor)>> {
        let tokens = self.forward_tokens(images, mode)?;
        if tokens.dim(0)? == 0 {
            // candle's mean cannot take an empty tensor.
            let none = |dim: usize| Tensor::zeros((0, dim), tokens.dtype(), tokens.device());
            let dim = self.config.dim;
            let mut names = vec![("cls", dim), ("patch_mean", dim), ("token_mean", dim), ("cls_patch_mean", 2 * dim)];
            if self.config.cells > 0 {
                names.push(("grid_mean", self.config.cells.pow(2) * dim));
                names.push(("patches", (self.config.tokens() - 1) * dim));
            }
            return names.into_iter().map(|(name, dim)| Ok((name, none(dim)?))).collect();
        }
        let cls = tokens.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?;
        let patches = tokens.narrow(1, 1, self.config.tokens() - 1)?;
        let patch_mean = mean_tokens(&tokens, 1)?;
        let both = Tensor::cat(&[&cls, &patch_mean], 1)?;
        let token_mean = mean_tokens(&tokens, 0)?;
        let mut features =
            vec![("cls", cls), ("patch_mean", patch_mean), ("token_mean", token_mean), ("cls_patch_mean", both)];
        if self.config.cells > 0 {
            let (batch, _, dim) = patches.dims3()?;
            let map = patches.contiguous()?.reshape((batch, self.config.grid(), self.config.grid(), dim))?;
            features.push(("grid_mean", grid_mean(&map, self.config.cells)?));
            features.push(("patches", map.flatten_from(1)?));
        }
        Ok(features)
    }

    /// The patch embedding stays f32, and so does the first block of BEiT and data2vec, on which all that follows builds:
    /// rounded as well, the class token of the pocket BEiT had a cosine of 0.9996 to the one in f32, and so 0.99994. Of the
    /// other families none fell below 0.9999 by it.
    fn round_to_bf16(&mut self, family: &str) -> Result<()> {
        require_bf16()?;
        if self.cls_token.track_op() {
            return Err(Error::argument("weights rounded to bf16", "a frozen network", "one that is trained"));
        }
        let kept = usize::from(["beit", "data2vec"].contains(&family));
        self.blocks.iter_mut().skip(kept).try_for_each(|(block, _)| block.round())
    }

    /// The probabilities of the last block.
    fn attention(&self, images: &Tensor) -> Result<Option<Tensor>> {
        image_batch_check(images, Some(self.config.image_size))?;
        let Some((last, own)) = self.blocks.last() else { return Ok(None) };
        let (x, shared) = self.through(images, Mode::Eval, self.blocks.len() - 1)?;
        let own = own.as_ref().map(|bias| bias.bias()).transpose()?;
        Ok(Some(last.attention(&x, own.as_ref().or(shared.as_ref()))?))
    }
}

/// Weights that have learned nothing, see [`Transformer::random`], under this crate's names.
///
/// # Errors
/// [`Error::Argument`] if the config contradicts itself.
pub fn random_weights(config: &TransformerConfig, seed: u64, device: &Device) -> Result<HashMap<String, Tensor>> {
    config.check()?;
    let mut tensors = HashMap::new();
    for (stream, parameter) in parameters(config).into_iter().enumerate() {
        let (name, n) = (parameter.name, parameter.shape.iter().product());
        let values = match (name.contains("norm") || name.ends_with("gamma"), name.ends_with("bias")) {
            (_, true) => vec![0f32; n],
            (true, false) => vec![1f32; n],
            (false, false) => truncated_normal(&mut Random::new("vit weights", seed, stream as u64), n, 0.02),
        };
        tensors.insert(name, Tensor::from_vec(values, parameter.shape, device)?);
    }
    Ok(tensors)
}
