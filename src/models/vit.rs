//! Vision transformer (Dosovitskiy et al. 2021, <https://arxiv.org/abs/2010.11929>), frozen.
//!
//! Patches as tokens, a class token in front, learned positions, pre-norm blocks, a final layer norm. The reference is
//! timm's `VisionTransformer`, whose names the weights carry. Softmax and layer norm are candle's fast ones, which have
//! no gradient, and so have the fused layers here: made for reading features.
//!
//! [`Vit::random`] is the study's control: the same architecture knowing nothing. Its weights are drawn here, number by
//! number, so that they are the same on every machine.

use super::{Backbone, Mode, image_batch_check};
use crate::error::{Error, Result};
use crate::ops::{Activation, Weight, linear_act};
use crate::random::Random;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::{layer_norm, softmax_last_dim};
use std::collections::HashMap;

/// The shape of a ViT.
#[derive(Clone, Debug, PartialEq)]
pub struct VitConfig {
    /// Height and width of the images, in pixels.
    pub image_size: usize,
    /// Height and width of a patch, in pixels; divides `image_size`.
    pub patch: usize,
    /// Length of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads; divides `dim`.
    pub heads: usize,
    /// How many times wider than `dim` the hidden layer of a block is.
    pub mlp_ratio: f64,
    /// Epsilon of layer normalisation.
    pub eps: f64,
}

impl VitConfig {
    /// ViT-Tiny (Touvron et al. 2021) on patches of 8 in 64 pixels: 65 tokens of 192, 12 blocks, 3 heads. It costs
    /// about as much as EfficientNet-Lite0 at 224 pixels.
    pub fn tiny_patch8_64() -> Self {
        VitConfig { image_size: 64, patch: 8, dim: 192, depth: 12, heads: 3, mlp_ratio: 4.0, eps: 1e-6 }
    }

    fn patches(&self) -> usize {
        (self.image_size / self.patch).pow(2)
    }

    fn hidden(&self) -> usize {
        (self.dim as f64 * self.mlp_ratio) as usize
    }

    fn check(&self) -> Result<()> {
        let divides = |part: usize, whole: usize| part > 0 && whole > 0 && whole.is_multiple_of(part);
        if divides(self.patch, self.image_size) && divides(self.heads, self.dim) && self.hidden() > 0 {
            return Ok(());
        }
        let expected = "a patch that divides image_size, heads that divide dim, and a hidden layer";
        Err(Error::argument("ViT config", expected, format!("{self:?}")))
    }

    /// Names and shapes of all weights, in the order in which random ones are drawn.
    fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        let (dim, hidden) = (self.dim, self.hidden());
        let mut shapes = vec![
            ("cls_token".to_string(), vec![1, 1, dim]),
            ("pos_embed".to_string(), vec![1, 1 + self.patches(), dim]),
            ("patch_embed.proj.weight".to_string(), vec![dim, 3, self.patch, self.patch]),
            ("patch_embed.proj.bias".to_string(), vec![dim]),
        ];
        for i in 0..self.depth {
            let layers = [
                ("norm1", vec![dim]),
                ("attn.qkv", vec![3 * dim, dim]),
                ("attn.proj", vec![dim, dim]),
                ("norm2", vec![dim]),
                ("mlp.fc1", vec![hidden, dim]),
                ("mlp.fc2", vec![dim, hidden]),
            ];
            for (name, shape) in layers {
                shapes.push((format!("blocks.{i}.{name}.bias"), vec![shape[0]]));
                shapes.push((format!("blocks.{i}.{name}.weight"), shape));
            }
        }
        shapes.extend([("norm.weight".to_string(), vec![dim]), ("norm.bias".to_string(), vec![dim])]);
        shapes
    }
}

/// A loaded or randomly drawn ViT.
pub struct Vit {
    config: VitConfig,
    patch_embed: Linear,
    /// (1, 1, D), the class token with its position added.
    cls_token: Tensor,
    /// (1, N, D), the positions of the patches.
    positions: Tensor,
    blocks: Vec<Block>,
    norm: Norm,
}

impl Vit {
    /// Builds the model from weights under timm's names (`cls_token`, `pos_embed`, `patch_embed.proj`, `blocks.i.*`,
    /// `norm`). A classifier in the file is left alone.
    ///
    /// # Errors
    /// [`Error::Argument`] if the config contradicts itself, [`Error::Tensor`] naming the first weight that is missing
    /// or has another shape.
    pub fn load(config: &VitConfig, vb: VarBuilder) -> Result<Self> {
        config.check()?;
        Self::build(config, &vb).map_err(|error| match error {
            Error::Tensor { source, .. } => Error::Tensor { context: "loading ViT weights".into(), source },
            other => other,
        })
    }

    /// A model that has learned nothing: weights from a normal distribution of standard deviation 0.02 cut at two
    /// deviations, biases 0, norms 1. The same `config` and `seed` give the same weights on every machine.
    ///
    /// # Errors
    /// [`Error::Argument`] if the config contradicts itself.
    pub fn random(config: &VitConfig, seed: u64, device: &Device) -> Result<Self> {
        config.check()?;
        let mut tensors = HashMap::new();
        for (stream, (name, shape)) in config.shapes().into_iter().enumerate() {
            let n = shape.iter().product();
            let values = match (name.contains("norm"), name.ends_with("bias")) {
                (_, true) => vec![0f32; n],
                (true, false) => vec![1f32; n],
                (false, false) => truncated_normal(&mut Random::new("vit weights", seed, stream as u64), n, 0.02),
            };
            tensors.insert(name, Tensor::from_vec(values, shape, device)?);
        }
        Self::build(config, &VarBuilder::from_tensors(tensors, DType::F32, device))
    }

    fn build(config: &VitConfig, vb: &VarBuilder) -> Result<Self> {
        let (dim, patch) = (config.dim, config.patch);
        let depth = 3 * patch * patch;
        let w = vb.get((dim, 3, patch, patch), "patch_embed.proj.weight")?.reshape((dim, depth))?;
        let b = vb.get(dim, "patch_embed.proj.bias")?;
        let positions = vb.get((1, 1 + config.patches(), dim), "pos_embed")?;
        let cls_token = (vb.get((1, 1, dim), "cls_token")? + positions.narrow(1, 0, 1)?)?;
        let blocks = (0..config.depth).map(|i| Block::load(config, &vb.pp(format!("blocks.{i}"))));
        Ok(Vit {
            patch_embed: Linear { w: Weight::new(&w)?, b },
            cls_token,
            positions: positions.narrow(1, 1, config.patches())?.contiguous()?,
            blocks: blocks.collect::<Result<_>>()?,
            norm: Norm::load(config, &vb.pp("norm"))?,
            config: config.clone(),
        })
    }

    /// All tokens after the final layer norm, the class token first: `images` (B, 3, H, W) to (B, 1 + N, D).
    ///
    /// # Errors
    /// [`Error::Argument`] if `images` is no f32 batch of the config's size.
    pub fn forward_tokens(&self, images: &Tensor) -> Result<Tensor> {
        let config = &self.config;
        let batch = image_batch_check(images, Some(config.image_size))?;
        if batch == 0 {
            return Ok(Tensor::zeros((0, 1 + config.patches(), config.dim), DType::F32, images.device())?);
        }
        let (grid, patch) = (config.image_size / config.patch, config.patch);
        // (B, 3, gy, py, gx, px) to (B, gy * gx, 3 * py * px): each patch as one row, in the order of the weights.
        let patches = images.detach().reshape(&[batch, 3, grid, patch, grid, patch][..])?;
        let patches = patches.permute([0, 2, 4, 1, 3, 5])?.reshape((batch, grid * grid, 3 * patch * patch))?;
        let patches = self.patch_embed.forward(&patches, Activation::Identity)?.broadcast_add(&self.positions)?;
        let mut x = Tensor::cat(&[&self.cls_token.expand((batch, 1, config.dim))?, &patches], 1)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        self.norm.forward(&x)
    }
}

impl Backbone for Vit {
    /// Gives `("cls", ..)`, the class token, and `("patch_mean", ..)`, the mean of the patch tokens, both after the
    /// final layer norm.
    fn forward(&self, images: &Tensor, _mode: Mode) -> Result<Vec<(&'static str, Tensor)>> {
        let tokens = self.forward_tokens(images)?;
        if tokens.dim(0)? == 0 {
            // candle's mean cannot take an empty tensor.
            let none = tokens.reshape(((), self.config.dim))?;
            return Ok(vec![("cls", none.clone()), ("patch_mean", none)]);
        }
        let cls = tokens.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?;
        let patch_mean = tokens.narrow(1, 1, self.config.patches())?.mean(1)?;
        Ok(vec![("cls", cls), ("patch_mean", patch_mean)])
    }
}

/// A fully connected layer: w (O, C), b (O,).
struct Linear {
    w: Weight,
    b: Tensor,
}

impl Linear {
    fn load((outputs, inputs): (usize, usize), vb: &VarBuilder) -> Result<Self> {
        Ok(Linear { w: Weight::new(&vb.get((outputs, inputs), "weight")?)?, b: vb.get(outputs, "bias")? })
    }

    fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        linear_act(x, &self.w, &self.b, activation)
    }
}

/// Layer normalisation over the last axis.
struct Norm {
    w: Tensor,
    b: Tensor,
    eps: f32,
}

impl Norm {
    fn load(config: &VitConfig, vb: &VarBuilder) -> Result<Self> {
        Ok(Norm { w: vb.get(config.dim, "weight")?, b: vb.get(config.dim, "bias")?, eps: config.eps as f32 })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(layer_norm(&x.contiguous()?, &self.w, &self.b, self.eps)?)
    }
}

/// A pre-norm block: attention, then two fully connected layers with GELU, each added to what came in.
struct Block {
    heads: usize,
    norm1: Norm,
    qkv: Linear,
    proj: Linear,
    norm2: Norm,
    fc1: Linear,
    fc2: Linear,
}

impl Block {
    fn load(config: &VitConfig, vb: &VarBuilder) -> Result<Self> {
        let (dim, hidden) = (config.dim, config.hidden());
        Ok(Block {
            heads: config.heads,
            norm1: Norm::load(config, &vb.pp("norm1"))?,
            qkv: Linear::load((3 * dim, dim), &vb.pp("attn.qkv"))?,
            proj: Linear::load((dim, dim), &vb.pp("attn.proj"))?,
            norm2: Norm::load(config, &vb.pp("norm2"))?,
            fc1: Linear::load((hidden, dim), &vb.pp("mlp.fc1"))?,
            fc2: Linear::load((dim, hidden), &vb.pp("mlp.fc2"))?,
        })
    }

    /// (B, T, D) to (B, T, D).
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = (x + self.attention(&self.norm1.forward(x)?)?)?;
        let hidden = self.fc1.forward(&self.norm2.forward(&x)?, Activation::Gelu)?;
        Ok((&x + self.fc2.forward(&hidden, Activation::Identity)?)?)
    }

    fn attention(&self, x: &Tensor) -> Result<Tensor> {
        let (batch, tokens, dim) = x.dims3()?;
        let head = dim / self.heads;
        let qkv = self.qkv.forward(x, Activation::Identity)?.reshape((batch, tokens, 3, self.heads, head))?;
        // Each of the three as (B, heads, T, D / heads).
        let part = |i: usize| qkv.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let (q, k, v) = ((part(0)? * (head as f64).powf(-0.5))?, part(1)?, part(2)?);
        let weights = softmax_last_dim(&q.matmul(&k.t()?)?)?;
        let mixed = weights.matmul(&v)?.transpose(1, 2)?.reshape((batch, tokens, dim))?;
        self.proj.forward(&mixed, Activation::Identity)
    }
}

/// `n` draws from a normal distribution of mean 0 and the given deviation, cut at two deviations.
///
/// A draw is uniform in [-2, 2] and kept with probability exp(-x^2 / 2): no logarithm or cosine, whose last digit may
/// differ between machines, enters the value.
fn truncated_normal(random: &mut Random, n: usize, deviation: f64) -> Vec<f32> {
    const STEPS: usize = 1 << 24;
    let mut unit = || random.below(STEPS) as f64 / STEPS as f64;
    let mut values = Vec::with_capacity(n);
    while values.len() < n {
        let x = 4.0 * unit() - 2.0;
        if unit() < (-0.5 * x * x).exp() {
            values.push((x * deviation) as f32);
        }
    }
    values
}
