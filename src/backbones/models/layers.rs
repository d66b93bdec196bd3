//! The two layers that every family is made of, frozen or trained.

use crate::error::Result;
use crate::ops::{self, Activation, Weight};
use candle_core::Tensor;
use candle_nn::VarBuilder;

/// A fully connected layer or 1x1 convolution: w (O, I), b (O,).
#[derive(Clone)]
pub(super) struct Linear {
    w: Weight,
    b: Tensor,
}

impl Linear {
    /// Reads `weight` (O, I, ...), further axes being part of the inputs, and `bias`.
    pub(super) fn load(vb: &VarBuilder, shape: &[usize]) -> Result<Self> {
        Linear::new(&vb.get(shape, "weight")?, vb.get(shape[0], "bias")?)
    }

    /// As above from a layer without bias.
    pub(super) fn load_without_bias(vb: &VarBuilder, shape: &[usize]) -> Result<Self> {
        let w = vb.get(shape, "weight")?;
        let b = Tensor::zeros(shape[0], w.dtype(), w.device())?;
        Linear::new(&w, b)
    }

    /// From a weight (O, I, ...) and a bias (O,).
    pub(super) fn new(w: &Tensor, b: Tensor) -> Result<Self> {
        Ok(Linear { w: Weight::new(w)?, b })
    }

    /// Rounds the matrix to bf16 ([`Weight::rounded`]).
    pub(super) fn round(&mut self) -> Result<()> {
        self.w = self.w.rounded()?;
        Ok(())
    }

    /// (..., I) to (..., O).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.w, &self.b)
    }

    /// The same for an operation that takes bf16 where this layer is rounded to it.
    pub(super) fn forward_half(&self, x: &Tensor) -> Result<Tensor> {
        match self.w.is_rounded() {
            true => ops::linear_act_bf16(x, &self.w, &self.b, Activation::Identity),
            false => self.forward(x),
        }
    }

    /// The same with an activation behind it.
    pub(super) fn forward_act(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        ops::linear_act(x, &self.w, &self.b, activation)
    }

    /// `x + gamma * forward(y)`.
    pub(super) fn forward_onto(&self, x: &Tensor, y: &Tensor, gamma: Option<&Tensor>) -> Result<Tensor> {
        ops::linear_onto(x, y, &self.w, &self.b, gamma)
    }
}

/// Two layers with an activation between them, (..., I) to (..., O).
pub(super) fn mlp(x: &Tensor, first: &Linear, activation: Activation, second: &Linear) -> Result<Tensor> {
    ops::mlp(x, (&first.w, &first.b), activation, (&second.w, &second.b))
}

/// `x + gamma * mlp(y)`.
pub(super) fn mlp_onto(
    x: &Tensor,
    y: &Tensor,
    first: &Linear,
    activation: Activation,
    second: &Linear,
    gamma: Option<&Tensor>,
) -> Result<Tensor> {
    ops::mlp_onto(x, y, (&first.w, &first.b), activation, (&second.w, &second.b), gamma)
}

/// Layer normalisation over the last axis.
#[derive(Clone)]
pub(super) struct LayerNorm {
    w: Tensor,
    b: Tensor,
    eps: f64,
}

impl LayerNorm {
    /// Reads `weight` and `bias` of length `dim`.
    pub(super) fn load(vb: &VarBuilder, dim: usize, eps: f64) -> Result<Self> {
        Ok(LayerNorm { w: vb.get(dim, "weight")?, b: vb.get(dim, "bias")?, eps })
    }

    /// (..., D) to (..., D).
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, &self.w, &self.b, self.eps)
    }

    /// The same for `next`, in bf16 where that layer is rounded to it.
    pub(super) fn forward_to(&self, x: &Tensor, next: &Linear) -> Result<Tensor> {
        match next.w.is_rounded() {
            true => ops::layer_norm_bf16(x, &self.w, &self.b, self.eps),
            false => self.forward(x),
        }
    }
}
