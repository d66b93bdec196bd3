//! EfficientNet (Tan and Le 2019, <https://arxiv.org/abs/1905.11946>) and EfficientNet-Lite, frozen.
//!
//! A stem, seven stages of inverted bottlenecks (widen by a 1x1 convolution, depthwise convolution, narrow again, add
//! the input where shapes allow) and a 1x1 head, pooled to 1,280 numbers for B0 and every Lite model. The reference is
//! timm's `EfficientNet`, whose names the weights carry; weights ported from TensorFlow need TensorFlow's "SAME"
//! padding and epsilon 1e-3, timm's own need symmetric padding and 1e-5. Lite drops squeeze-and-excite, takes ReLU6 for
//! SiLU and scales neither stem nor head.
//!
//! Different on purpose: channels last throughout, batch normalisation folded into the weights as they are loaded, and
//! bias and activation applied inside each convolution. Made for reading features: nothing here has a gradient.

use super::{Backbone, Mode, image_batch_check};
use crate::error::{Error, Result};
use crate::ops::{
    Activation, Padding, Weight, conv2d_nhwc_act, depthwise_conv2d_nhwc_act, linear_act, to_channels_last,
};
use candle_core::Tensor;
use candle_nn::VarBuilder;

/// Images that pass through the network together. Larger groups only push their activations (up to 5 MB an image at
/// 224 pixels) out of the caches.
const GROUP: usize = 4;

/// One stage: `repeats` blocks, of which the first strides and changes the number of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Blocks before scaling by depth.
    pub repeats: usize,
    /// Side of the depthwise kernel.
    pub kernel: usize,
    /// Stride of the first block.
    pub stride: usize,
    /// How many times wider a block is inside; 1 leaves the widening out.
    pub expansion: usize,
    /// Channels that leave a block, before scaling by width.
    pub channels: usize,
}

/// The seven stages of B0; the others scale them.
const STAGES: [Stage; 7] = [
    Stage { repeats: 1, kernel: 3, stride: 1, expansion: 1, channels: 16 },
    Stage { repeats: 2, kernel: 3, stride: 2, expansion: 6, channels: 24 },
    Stage { repeats: 2, kernel: 5, stride: 2, expansion: 6, channels: 40 },
    Stage { repeats: 3, kernel: 3, stride: 2, expansion: 6, channels: 80 },
    Stage { repeats: 3, kernel: 5, stride: 1, expansion: 6, channels: 112 },
    Stage { repeats: 4, kernel: 5, stride: 2, expansion: 6, channels: 192 },
    Stage { repeats: 1, kernel: 3, stride: 1, expansion: 6, channels: 320 },
];

/// Where a convolution puts its zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaddingRule {
    /// (kernel - 1) / 2 on all sides, as PyTorch's models.
    Symmetric,
    /// As much as ceil(size / stride) outputs need, the odd one below and to the right, as TensorFlow's.
    Same,
}

impl PaddingRule {
    fn padding(self, x: &Tensor, kernel: usize, stride: usize) -> Result<Padding> {
        let (_, height, width, _) = x.dims4()?;
        Ok(match self {
            PaddingRule::Symmetric => Padding::symmetric((kernel - 1) / 2),
            PaddingRule::Same => Padding::same(height, width, kernel, stride),
        })
    }
}

/// Everything that tells one EfficientNet from another.
#[derive(Clone, Debug, PartialEq)]
pub struct EfficientNetConfig {
    /// Factor on the number of channels.
    pub width: f64,
    /// Factor on the number of blocks in a stage.
    pub depth: f64,
    /// Leaves stem, head and the depth of the first and last stage unscaled (Lite).
    pub fix_stem_and_head: bool,
    /// Squeeze-and-excite after each depthwise convolution.
    pub squeeze_excite: bool,
    /// Activation everywhere.
    pub activation: Activation,
    /// Padding of stem and depthwise convolutions.
    pub padding: PaddingRule,
    /// Epsilon of batch normalisation.
    pub bn_eps: f64,
    /// Outputs of the classifier.
    pub n_classes: usize,
}

impl EfficientNetConfig {
    /// EfficientNet-Lite0 to Lite4 as TensorFlow published them (224, 240, 260, 280 and 300 pixels).
    ///
    /// # Errors
    /// [`Error::Argument`] if `variant` is above 4.
    pub fn lite(variant: usize) -> Result<Self> {
        let scales = [(1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8)];
        let Some(&(width, depth)) = scales.get(variant) else {
            return Err(Error::argument("EfficientNet-Lite variant", "0 to 4", variant.to_string()));
        };
        Ok(EfficientNetConfig {
            width,
            depth,
            fix_stem_and_head: true,
            squeeze_excite: false,
            activation: Activation::Relu6,
            padding: PaddingRule::Same,
            bn_eps: 1e-3,
            n_classes: 1000,
        })
    }

    /// EfficientNet-B0 to B7 as timm and torchvision train them: symmetric padding, epsilon 1e-5. Weights ported from
    /// TensorFlow (`tf_efficientnet_b*`) want `padding` [`PaddingRule::Same`] and `bn_eps` 1e-3 instead.
    ///
    /// # Errors
    /// [`Error::Argument`] if `variant` is above 7.
    pub fn b(variant: usize) -> Result<Self> {
        let scales = [(1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8), (1.6, 2.2), (1.8, 2.6), (2.0, 3.1)];
        let Some(&(width, depth)) = scales.get(variant) else {
            return Err(Error::argument("EfficientNet variant", "0 to 7", variant.to_string()));
        };
        Ok(EfficientNetConfig {
            width,
            depth,
            fix_stem_and_head: false,
            squeeze_excite: true,
            activation: Activation::Silu,
            padding: PaddingRule::Symmetric,
            bn_eps: 1e-5,
            n_classes: 1000,
        })
    }

    /// Channels scaled by width and rounded to a multiple of 8, never down by more than a tenth.
    fn channels(&self, channels: usize) -> usize {
        let scaled = channels as f64 * self.width;
        let rounded = ((scaled + 4.0) as usize / 8 * 8).max(8);
        if (rounded as f64) < 0.9 * scaled { rounded + 8 } else { rounded }
    }

    fn stem_channels(&self) -> usize {
        if self.fix_stem_and_head { 32 } else { self.channels(32) }
    }

    /// Length of the feature vector: 1,280 scaled by width.
    pub fn feature_dim(&self) -> usize {
        if self.fix_stem_and_head { 1280 } else { self.channels(1280) }
    }

    fn repeats(&self, stage: usize) -> usize {
        let fixed = self.fix_stem_and_head && (stage == 0 || stage + 1 == STAGES.len());
        let repeats = STAGES[stage].repeats;
        if fixed { repeats } else { (repeats as f64 * self.depth).ceil() as usize }
    }
}

/// A loaded EfficientNet.
pub struct EfficientNet {
    config: EfficientNetConfig,
    stem: Pointwise,
    blocks: Vec<Block>,
    head: Pointwise,
    classifier: Pointwise,
}

impl EfficientNet {
    /// Builds the model from weights under timm's names (`conv_stem`, `bn1`, `blocks.i.j.*`, `conv_head`, `bn2`,
    /// `classifier`).
    ///
    /// # Errors
    /// [`Error::Tensor`] naming the first weight that is missing or has another shape.
    pub fn load(config: &EfficientNetConfig, vb: VarBuilder) -> Result<Self> {
        let build = || -> Result<Self> {
            let stem_channels = config.stem_channels();
            let stem = folded(&vb, ("conv_stem", "bn1"), (stem_channels, 3, 3), config)?;
            let mut blocks = Vec::new();
            let mut channels = stem_channels;
            for (i, stage) in STAGES.iter().enumerate() {
                for j in 0..config.repeats(i) {
                    let stage = Stage {
                        stride: if j == 0 { stage.stride } else { 1 },
                        channels: config.channels(stage.channels),
                        ..*stage
                    };
                    blocks.push(Block::load(config, stage, channels, &vb.pp(format!("blocks.{i}.{j}")))?);
                    channels = stage.channels;
                }
            }
            let features = config.feature_dim();
            let head = Pointwise::load(&vb, ("conv_head", "bn2"), (features, channels), config)?;
            let w = Weight::new(&vb.get((config.n_classes, features), "classifier.weight")?)?;
            let classifier = Pointwise { w, b: vb.get(config.n_classes, "classifier.bias")? };
            // (O, C, K, K) to (O, K, K, C), as patches times matrix wants it.
            let w = Weight::new(&stem.0.permute((0, 2, 3, 1))?.contiguous()?)?;
            let stem = Pointwise { w, b: stem.1 };
            Ok(EfficientNet { config: config.clone(), stem, blocks, head, classifier })
        };
        build().map_err(|error| match error {
            Error::Tensor { source, .. } => Error::Tensor { context: "loading EfficientNet weights".into(), source },
            other => other,
        })
    }

    /// Features after the head and the mean over pixels: `images` (B, 3, H, W) to (B, 1280) for Lite0.
    ///
    /// How a batch is cut may change the last digits of a feature (sums are taken in another order), no more.
    ///
    /// # Errors
    /// [`Error::Argument`] if `images` is no f32 batch of three channels and sides of 32 pixels or more.
    pub fn forward_pooled(&self, images: &Tensor) -> Result<Tensor> {
        let batch = image_batch_check(images, None)?;
        let images = images.detach();
        if batch == 0 {
            return Ok(Tensor::zeros((0, self.config.feature_dim()), images.dtype(), images.device())?);
        }
        if batch <= GROUP || !images.device().is_cpu() {
            return self.forward_group(&images);
        }
        let groups = (0..batch).step_by(GROUP).map(|from| {
            let group = images.narrow(0, from, GROUP.min(batch - from))?;
            self.forward_group(&group)
        });
        Ok(Tensor::cat(&groups.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// Class scores before softmax: `images` (B, 3, H, W) to (B, `n_classes`).
    ///
    /// # Errors
    /// As for [`EfficientNet::forward_pooled`].
    pub fn forward_logits(&self, images: &Tensor) -> Result<Tensor> {
        self.classifier.forward(&self.forward_pooled(images)?, Activation::Identity)
    }

    fn forward_group(&self, images: &Tensor) -> Result<Tensor> {
        let config = &self.config;
        let mut x = to_channels_last(images)?;
        let padding = config.padding.padding(&x, 3, 2)?;
        x = conv2d_nhwc_act(&x, &self.stem.w, &self.stem.b, (3, 2), padding, config.activation)?;
        for block in &self.blocks {
            x = block.forward(&x, config)?;
        }
        Ok(self.head.forward(&x, config.activation)?.flatten(1, 2)?.mean(1)?)
    }
}

impl Backbone for EfficientNet {
    /// Gives `("avg", ..)`, see [`EfficientNet::forward_pooled`].
    fn forward(&self, images: &Tensor, _mode: Mode) -> Result<Vec<(&'static str, Tensor)>> {
        Ok(vec![("avg", self.forward_pooled(images)?)])
    }
}

/// A 1x1 convolution or fully connected layer: w (O, C), b (O,).
struct Pointwise {
    w: Weight,
    b: Tensor,
}

impl Pointwise {
    fn load(
        vb: &VarBuilder,
        names: (&str, &str),
        (outputs, inputs): (usize, usize),
        config: &EfficientNetConfig,
    ) -> Result<Self> {
        let (w, b) = folded(vb, names, (outputs, inputs, 1), config)?;
        Ok(Pointwise { w: Weight::new(&w)?, b })
    }

    /// As above from a convolution with a bias and without batch normalisation.
    fn load_plain(vb: &VarBuilder, (outputs, inputs): (usize, usize)) -> Result<Self> {
        let w = Weight::new(&vb.get((outputs, inputs, 1, 1), "weight")?)?;
        Ok(Pointwise { w, b: vb.get(outputs, "bias")? })
    }

    fn forward(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        linear_act(x, &self.w, &self.b, activation)
    }
}

/// Kernel (O, I, K, K) and bias (O,) of a convolution followed by batch normalisation with fixed statistics: every
/// output is scaled by gamma / sqrt(variance + eps), and the shift becomes the bias.
fn folded(
    vb: &VarBuilder,
    (conv, bn): (&str, &str),
    (outputs, inputs, kernel): (usize, usize, usize),
    config: &EfficientNetConfig,
) -> Result<(Tensor, Tensor)> {
    let w = vb.get((outputs, inputs, kernel, kernel), &format!("{conv}.weight"))?;
    let bn = vb.pp(bn);
    let deviation = (bn.get(outputs, "running_var")? + config.bn_eps)?.sqrt()?;
    let scale = bn.get(outputs, "weight")?.div(&deviation)?;
    let shift = (bn.get(outputs, "bias")? - bn.get(outputs, "running_mean")?.mul(&scale)?)?;
    Ok((w.broadcast_mul(&scale.reshape((outputs, 1, 1, 1))?)?, shift))
}

/// An inverted bottleneck.
struct Block {
    stage: Stage,
    expand: Option<Pointwise>,
    /// Kernel (C, 1, K, K) and bias (C,).
    depthwise: (Tensor, Tensor),
    squeeze_excite: Option<(Pointwise, Pointwise)>,
    project: Pointwise,
    residual: bool,
}

impl Block {
    fn load(config: &EfficientNetConfig, stage: Stage, inputs: usize, vb: &VarBuilder) -> Result<Self> {
        let inside = inputs * stage.expansion;
        // timm numbers the normalisations in order, so a block that does not widen has one less.
        let (expand, depthwise, project) = if stage.expansion == 1 {
            (None, ("conv_dw", "bn1"), ("conv_pw", "bn2"))
        } else {
            let expand = Pointwise::load(vb, ("conv_pw", "bn1"), (inside, inputs), config)?;
            (Some(expand), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))
        };
        let squeeze_excite = if config.squeeze_excite {
            // A quarter of the channels that enter the block, rounded to even at a half as Python does.
            let squeezed = (inputs as f64 * 0.25).round_ties_even() as usize;
            let reduce = Pointwise::load_plain(&vb.pp("se.conv_reduce"), (squeezed, inside))?;
            Some((reduce, Pointwise::load_plain(&vb.pp("se.conv_expand"), (inside, squeezed))?))
        } else {
            None
        };
        Ok(Block {
            expand,
            depthwise: folded(vb, depthwise, (inside, 1, stage.kernel), config)?,
            squeeze_excite,
            project: Pointwise::load(vb, project, (stage.channels, inside), config)?,
            residual: stage.stride == 1 && inputs == stage.channels,
            stage,
        })
    }

    /// (B, H, W, C) to (B, H', W', C').
    fn forward(&self, input: &Tensor, config: &EfficientNetConfig) -> Result<Tensor> {
        let mut x = input.clone();
        if let Some(expand) = &self.expand {
            x = expand.forward(&x, config.activation)?;
        }
        let (kernel, stride) = (self.stage.kernel, self.stage.stride);
        let padding = config.padding.padding(&x, kernel, stride)?;
        let (w, b) = &self.depthwise;
        x = depthwise_conv2d_nhwc_act(&x, w, b, stride, padding, config.activation)?;
        if let Some((reduce, expand)) = &self.squeeze_excite {
            let mean = x.mean_keepdim((1, 2))?;
            let gate = expand.forward(&reduce.forward(&mean, config.activation)?, Activation::Sigmoid)?;
            x = x.broadcast_mul(&gate)?;
        }
        x = self.project.forward(&x, Activation::Identity)?;
        if self.residual { Ok((x + input)?) } else { Ok(x) }
    }
}
