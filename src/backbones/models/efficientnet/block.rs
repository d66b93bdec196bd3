//! The layers of EfficientNet: each a convolution with batch normalisation and activation, in one of two kinds.

use super::config::{BlockShape, EfficientNetConfig, LayerNames};
use crate::error::Result;
use crate::models::Mode;
use crate::models::layers::Linear;
use crate::ops::{
    Activation, Bottleneck, Moments, Normed, Padding, Weight, batch_norm, batch_norm_running, bottleneck,
    conv2d_nhwc_act, depthwise_conv2d_nhwc_act_mean, residual, scale_channels,
};
use candle_core::{DType, Tensor, Var};
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
        if !mode.is_train() {
            return batch_norm_running(x, &self.w, &self.b, &self.moments(), self.eps, activation);
        }
        let (y, moments) = batch_norm(x, &self.w, &self.b, self.eps, activation)?;
        self.follow(&moments)?;
        Ok(y)
    }

    /// The running statistics.
    fn moments(&self) -> Moments {
        let (mean, variance) = &self.running;
        Moments { mean: mean.as_detached_tensor(), variance: variance.as_detached_tensor() }
    }

    /// Moves the running statistics towards those of a batch.
    fn follow(&self, moments: &Moments) -> Result<()> {
        let (mean, variance) = &self.running;
        for (running, new) in [(mean, &moments.mean), (variance, &moments.variance)] {
            let new = new.to_dtype(running.dtype())?;
            let moved = ((running.as_detached_tensor() * (1.0 - self.momentum))? + (new * self.momentum)?)?;
            running.set(&moved)?;
        }
        Ok(())
    }
}

fn kernel(vb: &VarBuilder, conv: &str, shape: [usize; 4]) -> Result<Tensor> {
    Ok(vb.get(&shape, &format!("{conv}.weight"))?)
}

/// Kernel (O, I, K, K) and bias (O,) of a convolution followed by batch normalisation with fixed statistics: every
/// output is scaled by gamma / sqrt(variance + eps), and the shift becomes the bias. In f32, and rounded once: eps is no
/// number of f16, and a variance may be none.
fn folded(
    vb: &VarBuilder,
    (conv, bn): LayerNames,
    shape: [usize; 4],
    config: &EfficientNetConfig,
) -> Result<(Tensor, Tensor)> {
    let (outputs, precision, vb) = (shape[0], vb.dtype(), vb.to_dtype(DType::F32));
    let (w, bn) = (kernel(&vb, conv, shape)?, vb.pp(bn));
    let deviation = (bn.get(outputs, "running_var")? + config.bn_eps)?.sqrt()?;
    let scale = bn.get(outputs, "weight")?.div(&deviation)?;
    let shift = (bn.get(outputs, "bias")? - bn.get(outputs, "running_mean")?.mul(&scale)?)?;
    let w = w.broadcast_mul(&scale.reshape((outputs, 1, 1, 1))?)?;
    Ok((w.to_dtype(precision)?, shift.to_dtype(precision)?))
}

/// A kernel with what stands behind it.
enum Conv {
    /// The normalisation is folded into kernel and bias.
    Frozen { w: Tensor, b: Tensor },
    /// Kernel and normalisation are variables.
    Trained { w: Tensor, norm: BatchNorm },
}

impl Conv {
    fn load(vb: &VarBuilder, names: LayerNames, shape: [usize; 4], config: &EfficientNetConfig) -> Result<Self> {
        let w = kernel(vb, names.0, shape)?;
        if w.track_op() {
            let norm = BatchNorm::load(&vb.pp(names.1), shape[0], config)?;
            return Ok(Conv::Trained { w, norm });
        }
        let (w, b) = folded(vb, names, shape, config)?;
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
        names: LayerNames,
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
    kind: Kind,
}

enum Kind {
    /// Normalisations are folded into kernels and biases.
    Frozen(Box<FrozenBlock>),
    /// A kernel at least is a variable.
    Trained(Box<TrainedBlock>),
}

struct FrozenBlock {
    expand: Option<Linear>,
    depthwise: (Tensor, Tensor),
    squeeze_excite: Option<(Linear, Linear)>,
    project: Linear,
}

/// One operation, and the normalisations in it.
struct TrainedBlock {
    layers: Bottleneck,
    norms: Vec<BatchNorm>,
}

impl Block {
    pub(super) fn load(config: &EfficientNetConfig, shape: BlockShape, vb: &VarBuilder) -> Result<Self> {
        let vb = vb.pp(&shape.name);
        let mut trained = false;
        for ((conv, _), dims) in shape.convolutions() {
            trained |= kernel(&vb, conv, dims)?.track_op();
        }
        let kind = match trained {
            true => Kind::Trained(Box::new(TrainedBlock::load(config, &shape, &vb)?)),
            false => Kind::Frozen(Box::new(FrozenBlock::load(config, &shape, &vb)?)),
        };
        Ok(Block { shape, kind })
    }

    /// (B, H, W, C) to (B, H', W', C'); the block is the `at.0`-th of `at.1`.
    pub(super) fn forward(
        &self,
        input: &Tensor,
        config: &EfficientNetConfig,
        mode: Mode,
        at: (usize, usize),
    ) -> Result<Tensor> {
        let (stride, skips) = (self.shape.stride, self.shape.skips());
        let padding = config.padding.padding(input, self.shape.kernel, stride)?;
        // timm's and torchvision's rule: the rate would reach its full value one block after the last.
        let (branch, n) = (at.0, at.1 + 1);
        match &self.kind {
            Kind::Frozen(block) => {
                let x = block.forward(input, config.activation, stride, padding)?;
                if skips { residual(input, &mode.drop_path(x, branch, n)?, None) } else { Ok(x) }
            }
            Kind::Trained(block) => {
                let factors = if skips { mode.path_factors(input.dim(0)?, branch, n) } else { None };
                block.forward(input, mode, padding, factors.as_deref())
            }
        }
    }
}

/// Where the two layers of squeeze-and-excite lie, and the shapes of their kernels.
fn squeeze_layers<'a>(vb: &VarBuilder<'a>, squeezed: usize, inside: usize) -> [(VarBuilder<'a>, [usize; 4]); 2] {
    let at = |name: &str| vb.pp(name);
    [(at("se.conv_reduce"), [squeezed, inside, 1, 1]), (at("se.conv_expand"), [inside, squeezed, 1, 1])]
}

impl FrozenBlock {
    fn load(config: &EfficientNetConfig, shape: &BlockShape, vb: &VarBuilder) -> Result<Self> {
        let fold = |(names, dims): (LayerNames, [usize; 4])| folded(vb, names, dims, config);
        let linear = |(w, b): (Tensor, Tensor)| Linear::new(&w, b);
        let squeeze_excite = |squeezed: usize| -> Result<(Linear, Linear)> {
            let [reduce, expand] = squeeze_layers(vb, squeezed, shape.inside);
            Ok((Linear::load(&reduce.0, &reduce.1)?, Linear::load(&expand.0, &expand.1)?))
        };
        let (expand, [depthwise, project]) = shape.layers();
        Ok(FrozenBlock {
            expand: expand.map(|expand| linear(fold(expand)?)).transpose()?,
            depthwise: fold(depthwise)?,
            squeeze_excite: shape.squeezed.map(squeeze_excite).transpose()?,
            project: linear(fold(project)?)?,
        })
    }

    fn forward(&self, input: &Tensor, activation: Activation, stride: usize, padding: Padding) -> Result<Tensor> {
        let widened = self.expand.as_ref().map(|expand| expand.forward_act(input, activation)).transpose()?;
        let (w, b) = &self.depthwise;
        let (mut x, mean) =
            depthwise_conv2d_nhwc_act_mean(widened.as_ref().unwrap_or(input), w, b, stride, padding, activation)?;
        if let Some((reduce, expand)) = &self.squeeze_excite {
            let gate = expand.forward_act(&reduce.forward_act(&mean, activation)?, Activation::Sigmoid)?;
            x = scale_channels(&x, &gate)?;
        }
        self.project.forward(&x)
    }
}

impl TrainedBlock {
    fn load(config: &EfficientNetConfig, shape: &BlockShape, vb: &VarBuilder) -> Result<Self> {
        let (expand, [depthwise, project]) = shape.layers();
        let mut norms = Vec::new();
        let mut normed = |((conv, bn), dims): (LayerNames, [usize; 4])| -> Result<Normed> {
            let norm = BatchNorm::load(&vb.pp(bn), dims[0], config)?;
            let layer = Normed { w: kernel(vb, conv, dims)?, norm: (norm.w.clone(), norm.b.clone()) };
            norms.push(norm);
            Ok(layer)
        };
        let squeeze = |squeezed: usize| -> Result<[(Tensor, Tensor); 2]> {
            let [reduce, expand] = squeeze_layers(vb, squeezed, shape.inside);
            let pair = |(vb, dims): &(VarBuilder<'_>, [usize; 4])| -> Result<(Tensor, Tensor)> {
                Ok((vb.get(dims, "weight")?, vb.get(dims[0], "bias")?))
            };
            Ok([pair(&reduce)?, pair(&expand)?])
        };
        let layers = Bottleneck {
            expand: expand.map(&mut normed).transpose()?,
            depthwise: normed(depthwise)?,
            project: normed(project)?,
            squeeze: shape.squeezed.map(squeeze).transpose()?,
            stride: shape.stride,
            activation: config.activation,
            eps: config.bn_eps,
            skip: shape.skips(),
        };
        Ok(TrainedBlock { layers, norms })
    }

    fn forward(&self, input: &Tensor, mode: Mode, padding: Padding, factors: Option<&[f32]>) -> Result<Tensor> {
        if !mode.is_train() {
            let moments: Vec<_> = self.norms.iter().map(BatchNorm::moments).collect();
            return Ok(bottleneck(input, &self.layers, padding, Some(&moments), factors)?.0);
        }
        let (y, moments) = bottleneck(input, &self.layers, padding, None, factors)?;
        self.norms.iter().zip(&moments).try_for_each(|(norm, moments)| norm.follow(moments))?;
        Ok(y)
    }
}
