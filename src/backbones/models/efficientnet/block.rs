//! The layers of EfficientNet: each a convolution with batch normalisation and activation, in one of two kinds.

use super::config::{BlockShape, EfficientNetConfig};
use crate::error::Result;
use crate::models::Mode;
use crate::models::layers::Linear;
use crate::ops::{
    Activation, Moments, Weight, batch_norm, batch_norm_running, conv2d_nhwc_act, depthwise_conv2d_nhwc,
    depthwise_conv2d_nhwc_act_mean, mean_pixels, residual, scale_channels,
};
use candle_core::{Tensor, Var};
use candle_nn::VarBuilder;

/// Batch normalisation that is trained.
struct BatchNorm {
    w: Tensor,
    b: Tensor,
    running: (Var, Var),
    eps: f64,
    momentum: f64,
}

impl BatchNorm {
    fn load(vb: &VarBuilder, channels: usize, config: &EfficientNetConfig) -> Result<Self> {
        // A variable stays the same variable, so that whoever made it sees the statistics move.
        let running = |name: &str| -> Result<Var> { Ok(Var::from_tensor(&vb.get(channels, name)?)?) };
        Ok(BatchNorm {
            w: vb.get(channels, "weight")?,
            b: vb.get(channels, "bias")?,
            running: (running("running_mean")?, running("running_var")?),
            eps: config.bn_eps,
            momentum: config.bn_momentum,
        })
    }

    fn forward(&self, x: &Tensor, activation: Activation, mode: Mode) -> Result<Tensor> {
        let (mean, variance) = &self.running;
        if !mode.is_train() {
            let moments = Moments { mean: mean.as_detached_tensor(), variance: variance.as_detached_tensor() };
            return batch_norm_running(x, &self.w, &self.b, &moments, self.eps, activation);
        }
        let (y, moments) = batch_norm(x, &self.w, &self.b, self.eps, activation)?;
        for (running, new) in [(mean, &moments.mean), (variance, &moments.variance)] {
            let new = new.to_dtype(running.dtype())?;
            let moved = ((running.as_detached_tensor() * (1.0 - self.momentum))? + (new * self.momentum)?)?;
            running.set(&moved)?;
        }
        Ok(y)
    }
}

/// Kernel (O, I, K, K) and bias (O,) of a convolution followed by batch normalisation with fixed statistics: every
/// output is scaled by gamma / sqrt(variance + eps), and the shift becomes the bias.
fn folded(w: &Tensor, bn: &VarBuilder, config: &EfficientNetConfig) -> Result<(Tensor, Tensor)> {
    let outputs = w.dim(0)?;
    let deviation = (bn.get(outputs, "running_var")? + config.bn_eps)?.sqrt()?;
    let scale = bn.get(outputs, "weight")?.div(&deviation)?;
    let shift = (bn.get(outputs, "bias")? - bn.get(outputs, "running_mean")?.mul(&scale)?)?;
    Ok((w.broadcast_mul(&scale.reshape((outputs, 1, 1, 1))?)?, shift))
}

/// A kernel with what stands behind it.
enum Conv {
    /// The normalisation is folded into kernel and bias.
    Frozen { w: Tensor, b: Tensor },
    /// Kernel and normalisation are variables.
    Trained { w: Tensor, norm: BatchNorm },
}

impl Conv {
    fn load(vb: &VarBuilder, (conv, bn): (&str, &str), shape: [usize; 4], config: &EfficientNetConfig) -> Result<Self> {
        let (w, bn) = (vb.get(&shape, &format!("{conv}.weight"))?, vb.pp(bn));
        if w.track_op() {
            let norm = BatchNorm::load(&bn, shape[0], config)?;
            return Ok(Conv::Trained { w, norm });
        }
        let (w, b) = folded(&w, &bn, config)?;
        Ok(Conv::Frozen { w, b })
    }
}

/// A 1x1 convolution.
pub(super) enum Pointwise {
    Frozen(Linear),
    Trained(Trained),
}

/// The trained kind.
pub(super) struct Trained {
    w: Linear,
    norm: BatchNorm,
}

impl Pointwise {
    pub(super) fn load(
        vb: &VarBuilder,
        names: (&str, &str),
        (outputs, inputs): (usize, usize),
        config: &EfficientNetConfig,
    ) -> Result<Self> {
        Ok(match Conv::load(vb, names, [outputs, inputs, 1, 1], config)? {
            Conv::Frozen { w, b } => Pointwise::Frozen(Linear::new(&w, b)?),
            Conv::Trained { w, norm } => {
                let b = Tensor::zeros(outputs, w.dtype(), w.device())?;
                Pointwise::Trained(Trained { w: Linear::new(&w, b)?, norm })
            }
        })
    }

    pub(super) fn forward(&self, x: &Tensor, activation: Activation, mode: Mode) -> Result<Tensor> {
        match self {
            Pointwise::Frozen(layer) => layer.forward_act(x, activation),
            Pointwise::Trained(Trained { w, norm }) => norm.forward(&w.forward(x)?, activation, mode),
        }
    }
}

/// The first convolution, 3x3 with stride 2.
pub(super) enum Stem {
    Frozen { w: Weight, b: Tensor },
    Trained(Box<TrainedStem>),
}

/// The trained kind.
pub(super) struct TrainedStem {
    /// (O, 3, 3, 3).
    w: Tensor,
    b: Tensor,
    norm: BatchNorm,
}

/// (O, C, K, K) to (O, K, K, C), as patches times matrix wants it.
fn turned(w: &Tensor) -> Result<Weight> {
    Weight::new(&w.permute((0, 2, 3, 1))?.contiguous()?)
}

impl Stem {
    pub(super) fn load(vb: &VarBuilder, config: &EfficientNetConfig) -> Result<Self> {
        let channels = config.stem_channels();
        Ok(match Conv::load(vb, ("conv_stem", "bn1"), [channels, 3, 3, 3], config)? {
            Conv::Frozen { w, b } => Stem::Frozen { w: turned(&w)?, b },
            Conv::Trained { w, norm } => {
                let b = Tensor::zeros(channels, w.dtype(), w.device())?;
                Stem::Trained(Box::new(TrainedStem { w, b, norm }))
            }
        })
    }

    pub(super) fn is_trained(&self) -> bool {
        matches!(self, Stem::Trained(_))
    }

    pub(super) fn forward(&self, x: &Tensor, config: &EfficientNetConfig, mode: Mode) -> Result<Tensor> {
        let padding = config.padding.padding(x, 3, 2)?;
        match self {
            Stem::Frozen { w, b } => conv2d_nhwc_act(x, w, b, (3, 2), padding, config.activation),
            Stem::Trained(stem) => {
                let y = conv2d_nhwc_act(x, &turned(&stem.w)?, &stem.b, (3, 2), padding, Activation::Identity)?;
                stem.norm.forward(&y, config.activation, mode)
            }
        }
    }
}

/// An inverted bottleneck.
pub(super) struct Block {
    shape: BlockShape,
    expand: Option<Pointwise>,
    depthwise: Conv,
    squeeze_excite: Option<(Linear, Linear)>,
    project: Pointwise,
}

impl Block {
    pub(super) fn load(config: &EfficientNetConfig, shape: BlockShape, vb: &VarBuilder) -> Result<Self> {
        let vb = vb.pp(&shape.name);
        let (inputs, inside, outputs) = (shape.inputs, shape.inside, shape.outputs);
        let (expand, [depthwise, project]) = shape.layers();
        let squeeze_excite = |squeezed: usize| -> Result<(Linear, Linear)> {
            let reduce = Linear::load(&vb.pp("se.conv_reduce"), &[squeezed, inside, 1, 1])?;
            Ok((reduce, Linear::load(&vb.pp("se.conv_expand"), &[inside, squeezed, 1, 1])?))
        };
        Ok(Block {
            expand: expand.map(|names| Pointwise::load(&vb, names, (inside, inputs), config)).transpose()?,
            depthwise: Conv::load(&vb, depthwise, [inside, 1, shape.kernel, shape.kernel], config)?,
            squeeze_excite: shape.squeezed.map(squeeze_excite).transpose()?,
            project: Pointwise::load(&vb, project, (outputs, inside), config)?,
            shape,
        })
    }

    /// (B, H, W, C) to (B, H', W', C'); the block is the `at.0`-th of `at.1`.
    pub(super) fn forward(
        &self,
        input: &Tensor,
        config: &EfficientNetConfig,
        mode: Mode,
        at: (usize, usize),
    ) -> Result<Tensor> {
        let activation = config.activation;
        let widened = self.expand.as_ref().map(|expand| expand.forward(input, activation, mode)).transpose()?;
        let x = widened.as_ref().unwrap_or(input);
        let (kernel, stride) = (self.shape.kernel, self.shape.stride);
        let padding = config.padding.padding(x, kernel, stride)?;
        let (mut x, mean) = match &self.depthwise {
            Conv::Frozen { w, b } => depthwise_conv2d_nhwc_act_mean(x, w, b, stride, padding, activation)?,
            Conv::Trained { w, norm } => {
                let x = norm.forward(&depthwise_conv2d_nhwc(x, w, stride, padding)?, activation, mode)?;
                let mean = mean_pixels(&x)?;
                (x, mean)
            }
        };
        if let Some((reduce, expand)) = &self.squeeze_excite {
            let gate = expand.forward_act(&reduce.forward_act(&mean, activation)?, Activation::Sigmoid)?;
            x = scale_channels(&x, &gate)?;
        }
        x = self.project.forward(&x, Activation::Identity, mode)?;
        if stride > 1 || self.shape.inputs != self.shape.outputs {
            return Ok(x);
        }
        // timm's and torchvision's rule: the rate would reach its full value one block after the last.
        residual(input, &mode.drop_path(x, at.0, at.1 + 1)?, None)
    }
}
