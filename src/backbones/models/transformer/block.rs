//! The pre-norm transformer block, of image and text towers.

use super::super::layers::{LayerNorm, Linear, mlp, mlp_onto};
use super::super::mode::Mode;
use crate::error::Result;
use crate::ops::{Activation, Heads, attention, attention_weights, residual};
use candle_core::Tensor;
use candle_nn::VarBuilder;

/// What the blocks of a tower have in common.
#[derive(Clone, Copy, Debug)]
pub struct BlockConfig {
    /// Numbers per token.
    pub dim: usize,
    /// Width between the two layers behind attention.
    pub hidden: usize,
    /// Heads of attention.
    pub heads: Heads,
    /// Of the norms.
    pub eps: f64,
    /// Between the two layers behind attention.
    pub activation: Activation,
    /// Whether keys have a bias.
    pub key_bias: bool,
    /// Whether each branch is scaled by channel.
    pub layer_scale: bool,
}

/// Attention, then two fully connected layers with an activation between, each added to what came in.
pub struct Block {
    config: BlockConfig,
    norm1: LayerNorm,
    qkv: Qkv,
    proj: Linear,
    scale1: Option<Tensor>,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    scale2: Option<Tensor>,
}

/// The projection to queries, keys and values. Where keys have no bias, the one of the layer is put together from the
/// others' at each pass, so that they can be trained.
enum Qkv {
    Plain(Linear),
    WithoutKeyBias { w: Tensor, q: Tensor, v: Tensor },
}

impl Qkv {
    fn load(config: &BlockConfig, vb: &VarBuilder) -> Result<Self> {
        let dim = config.dim;
        let shape = [3 * dim, dim];
        if config.key_bias {
            return Ok(Qkv::Plain(Linear::load(&vb.pp("qkv"), &shape)?));
        }
        let (w, q, v) = (vb.get(&shape, "qkv.weight")?, vb.get(dim, "q_bias")?, vb.get(dim, "v_bias")?);
        let trained = w.track_op() || q.track_op() || v.track_op();
        let parts = Qkv::WithoutKeyBias { w, q, v };
        if trained { Ok(parts) } else { Ok(Qkv::Plain(parts.layer()?)) }
    }

    fn layer(&self) -> Result<Linear> {
        match self {
            Qkv::Plain(layer) => Ok(layer.clone()),
            Qkv::WithoutKeyBias { w, q, v } => Linear::new(w, Tensor::cat(&[q, &q.zeros_like()?, v], 0)?),
        }
    }
}

impl Block {
    /// Reads `norm1`, `attn.*`, `ls1`, `norm2`, `mlp.*` and `ls2`.
    pub fn load(config: BlockConfig, vb: &VarBuilder) -> Result<Self> {
        let BlockConfig { dim, hidden, eps, .. } = config;
        let scale = |name: &str| config.layer_scale.then(|| vb.get(dim, &format!("{name}.gamma"))).transpose();
        Ok(Block {
            config,
            norm1: LayerNorm::load(&vb.pp("norm1"), dim, eps)?,
            qkv: Qkv::load(&config, &vb.pp("attn"))?,
            proj: Linear::load(&vb.pp("attn.proj"), &[dim, dim])?,
            scale1: scale("ls1")?,
            norm2: LayerNorm::load(&vb.pp("norm2"), dim, eps)?,
            fc1: Linear::load(&vb.pp("mlp.fc1"), &[hidden, dim])?,
            fc2: Linear::load(&vb.pp("mlp.fc2"), &[dim, hidden])?,
            scale2: scale("ls2")?,
        })
    }

    /// (B, T, D) to (B, T, D). `bias` (H, T, T) is added to the scores; the block is the `at.0`-th of `at.1`.
    pub fn forward(&self, x: &Tensor, bias: Option<&Tensor>, mode: Mode, at: (usize, usize)) -> Result<Tensor> {
        let (scale1, scale2, act) = (self.scale1.as_ref(), self.scale2.as_ref(), self.config.activation);
        let mixed = attention(&self.queries(x)?, self.config.heads, bias)?;
        if mode.is_quiet() {
            let x = self.proj.forward_onto(x, &mixed, scale1)?;
            return mlp_onto(&x, &self.norm2.forward_to(&x, &self.fc1)?, &self.fc1, act, &self.fc2, scale2);
        }
        let branch = |y: Tensor, place: usize| mode.drop_path(mode.dropout(y, 2 * at.0 + place)?, at.0, at.1);
        let x = residual(x, &branch(self.proj.forward(&mixed)?, 1)?, scale1)?;
        let y = branch(mlp(&self.norm2.forward_to(&x, &self.fc1)?, &self.fc1, act, &self.fc2)?, 2)?;
        residual(&x, &y, scale2)
    }

    /// The probabilities of the attention on `x`, (B, H, T, T).
    pub fn attention(&self, x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        attention_weights(&self.queries(x)?, self.config.heads, bias)
    }

    fn queries(&self, x: &Tensor) -> Result<Tensor> {
        match &self.qkv {
            Qkv::Plain(layer) => layer.forward_half(&self.norm1.forward_to(x, layer)?),
            parts => parts.layer()?.forward(&self.norm1.forward(x)?),
        }
    }

    /// Rounds the factors of all products to bf16 ([`crate::ops::Weight::rounded`]).
    pub fn round(&mut self) -> Result<()> {
        self.qkv = Qkv::Plain(self.qkv.layer()?);
        let Qkv::Plain(qkv) = &mut self.qkv else { return Ok(()) };
        [qkv, &mut self.proj, &mut self.fc1, &mut self.fc2].into_iter().try_for_each(Linear::round)
    }
}
