//! What tells one EfficientNet from another.

use crate::error::{Error, Result};
use crate::ops::{Activation, Padding};
use candle_core::Tensor;

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
pub(super) const STAGES: [Stage; 7] = [
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
    pub(super) fn padding(self, x: &Tensor, kernel: usize, stride: usize) -> Result<Padding> {
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
    /// Part of a batch's statistics that the running ones take in a training step.
    pub bn_momentum: f64,
    /// Cells along a side of the feature `grid_mean`; none where 0.
    pub cells: usize,
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
            bn_momentum: 0.1,
            cells: 0,
        })
    }

    /// EfficientNet-B0 to B7 as timm and torchvision train them: symmetric padding, epsilon 1e-5.
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
            bn_momentum: 0.1,
            cells: 0,
        })
    }

    /// timm's `tf_efficientnet_b0` to `b7`, ported from TensorFlow: padding "SAME", epsilon 1e-3. The momentum stays
    /// PyTorch's 0.1: timm has TensorFlow's 0.01 as `BN_MOMENTUM_TF_DEFAULT` and gives it to none of these models.
    ///
    /// # Errors
    /// [`Error::Argument`] if `variant` is above 7.
    pub fn tf_b(variant: usize) -> Result<Self> {
        Ok(EfficientNetConfig { padding: PaddingRule::Same, bn_eps: 1e-3, ..Self::b(variant)? })
    }

    /// The pocket EfficientNet of this project's own pretraining: B0 of half the width, 1.1 million parameters.
    ///
    /// # Errors
    /// None.
    pub fn pocket() -> Result<Self> {
        Ok(EfficientNetConfig { width: 0.5, cells: 2, ..Self::b(0)? })
    }

    /// Channels scaled by width and rounded to a multiple of 8, never down by more than a tenth.
    fn channels(&self, channels: usize) -> usize {
        let scaled = channels as f64 * self.width;
        let rounded = ((scaled + 4.0) as usize / 8 * 8).max(8);
        if (rounded as f64) < 0.9 * scaled { rounded + 8 } else { rounded }
    }

    pub(super) fn stem_channels(&self) -> usize {
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

    /// Multiply-adds of a forward pass on an image of `side` x `side` pixels; norms, activations and
    /// squeeze-and-excite left out.
    ///
    /// ```
    /// use wider_clip::models::EfficientNetConfig;
    ///
    /// // 0.39 thousand millions (Tan and Le 2019, table 2).
    /// assert_eq!(EfficientNetConfig::b(0)?.multiply_adds(224) / 10_000_000, 38);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn multiply_adds(&self, side: usize) -> u64 {
        let mut side = side.div_ceil(2);
        let mut total = side * side * 27 * self.stem_channels();
        let mut channels = self.stem_channels();
        for shape in self.blocks() {
            if shape.widens() {
                total += side * side * shape.inputs * shape.inside;
            }
            side = side.div_ceil(shape.stride);
            total += side * side * shape.inside * (shape.kernel * shape.kernel + shape.outputs);
            channels = shape.outputs;
        }
        (total + side * side * channels * self.feature_dim()) as u64
    }

    /// All blocks in order.
    pub(super) fn blocks(&self) -> Vec<BlockShape> {
        let mut blocks = Vec::new();
        let mut inputs = self.stem_channels();
        for (i, stage) in STAGES.iter().enumerate() {
            for j in 0..self.repeats(i) {
                let stride = if j == 0 { stage.stride } else { 1 };
                let outputs = self.channels(stage.channels);
                blocks.push(BlockShape {
                    name: format!("blocks.{i}.{j}"),
                    inputs,
                    inside: inputs * stage.expansion,
                    outputs,
                    // A quarter of the channels that enter, rounded to even at a half as Python does.
                    squeezed: self.squeeze_excite.then(|| (inputs as f64 * 0.25).round_ties_even() as usize),
                    kernel: stage.kernel,
                    stride,
                });
                inputs = outputs;
            }
        }
        blocks
    }
}

/// The names of a convolution and of the normalisation behind it.
pub(super) type LayerNames = (&'static str, &'static str);

/// A convolution's names and the shape of its kernel.
pub(super) type Convolution = (LayerNames, [usize; 4]);

/// One block, scaled.
#[derive(Clone, Debug)]
pub(super) struct BlockShape {
    pub(super) name: String,
    pub(super) inputs: usize,
    pub(super) inside: usize,
    pub(super) outputs: usize,
    /// Channels between the two layers of squeeze-and-excite.
    pub(super) squeezed: Option<usize>,
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

impl BlockShape {
    /// Whether a 1x1 convolution widens it first.
    pub(super) fn widens(&self) -> bool {
        self.inside != self.inputs
    }

    /// Whether the input is added.
    pub(super) fn skips(&self) -> bool {
        self.stride == 1 && self.inputs == self.outputs
    }

    /// Widening, and depthwise and narrowing, with the shapes of their kernels; timm numbers the normalisations in order,
    /// so a block that does not widen has one less.
    pub(super) fn layers(&self) -> (Option<Convolution>, [Convolution; 2]) {
        let (expand, [depthwise, project]) = match self.widens() {
            true => (Some(("conv_pw", "bn1")), [("conv_dw", "bn2"), ("conv_pwl", "bn3")]),
            false => (None, [("conv_dw", "bn1"), ("conv_pw", "bn2")]),
        };
        let depthwise = (depthwise, [self.inside, 1, self.kernel, self.kernel]);
        let project = (project, [self.outputs, self.inside, 1, 1]);
        (expand.map(|names| (names, [self.inside, self.inputs, 1, 1])), [depthwise, project])
    }

    /// All convolutions.
    pub(super) fn convolutions(&self) -> impl Iterator<Item = Convolution> {
        let (expand, others) = self.layers();
        expand.into_iter().chain(others)
    }
}
