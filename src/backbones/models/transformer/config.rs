//! What tells one vision transformer from another, and the checkpoints of the study.

use crate::error::{Error, Result};
use crate::ops::Activation;

/// Positions added to the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// None: the blocks have relative ones.
    None,
    /// Learned.
    Learned,
    /// In the file and not trained (MAE's sines and cosines).
    Fixed,
}

/// A learned number for each head and each displacement of two patches, added to the scores of attention (Bao et al.
/// 2022).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelativeBias {
    /// None.
    None,
    /// One table for all blocks.
    Shared,
    /// A table in each block.
    EachBlock,
}

/// The shape and the switches of a vision transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct TransformerConfig {
    /// Height and width of the images, in pixels.
    pub image_size: usize,
    /// Height and width of a patch, in pixels; divides `image_size`.
    pub patch: usize,
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
    /// The patch embedding has a bias.
    pub patch_bias: bool,
    /// Positions added to the tokens.
    pub positions: Positions,
    /// Layer normalisation before the first block (CLIP).
    pub norm_pre: bool,
    /// Keys have a bias, as queries and values do.
    pub key_bias: bool,
    /// Every residual branch is scaled by a learned factor a channel (Touvron et al. 2021).
    pub layer_scale: bool,
    /// Relative positions.
    pub relative_bias: RelativeBias,
    /// Layer normalisation after the last block.
    pub norm: bool,
    /// Cells along a side of the feature `grid_mean`; where 0, neither that nor `patches` is given.
    pub cells: usize,
}

impl TransformerConfig {
    /// The plain ViT (Dosovitskiy et al. 2021) of base size, 768 numbers and 12 blocks, as transformers has it.
    fn base(image_size: usize, patch: usize) -> Self {
        TransformerConfig {
            image_size,
            patch,
            dim: 768,
            depth: 12,
            heads: 12,
            hidden: 3072,
            eps: 1e-12,
            activation: Activation::Gelu,
            patch_bias: true,
            positions: Positions::Learned,
            norm_pre: false,
            key_bias: true,
            layer_scale: false,
            relative_bias: RelativeBias::None,
            norm: true,
            cells: 0,
        }
    }

    /// The same of large size: 1,024 numbers and 24 blocks.
    fn large(image_size: usize, patch: usize) -> Self {
        TransformerConfig { dim: 1024, depth: 24, heads: 16, hidden: 4096, ..Self::base(image_size, patch) }
    }

    /// `google/vit-base-patch16-224`.
    pub fn vit_b16() -> Self {
        Self::base(224, 16)
    }

    /// `google/vit-base-patch32-224-in21k`.
    pub fn vit_b32() -> Self {
        Self::base(224, 32)
    }

    /// `google/vit-large-patch16-224`.
    pub fn vit_l16() -> Self {
        Self::large(224, 16)
    }

    /// `google/vit-large-patch32-384`.
    pub fn vit_l32_384() -> Self {
        Self::large(384, 32)
    }

    /// `facebook/dino-vitb16` (Caron et al. 2021): a plain ViT.
    pub fn dino_b16() -> Self {
        Self::base(224, 16)
    }

    /// `facebook/dino-vits16`.
    pub fn dino_s16() -> Self {
        TransformerConfig { dim: 384, heads: 6, hidden: 1536, ..Self::base(224, 16) }
    }

    /// `facebook/vit-mae-base` (He et al. 2022), its encoder, without masking.
    pub fn mae_b16() -> Self {
        TransformerConfig { positions: Positions::Fixed, ..Self::base(224, 16) }
    }

    /// `openai/clip-vit-base-patch32` (Radford et al. 2021), its image tower before the projection.
    pub fn clip_vit_b32() -> Self {
        TransformerConfig {
            eps: 1e-5,
            activation: Activation::QuickGelu,
            patch_bias: false,
            norm_pre: true,
            ..Self::base(224, 32)
        }
    }

    /// `microsoft/beit-base-patch16-224-pt22k` (Bao et al. 2022). Its tokens have no final norm: the `layernorm` of that
    /// file belongs to the token prediction.
    pub fn beit_b16() -> Self {
        TransformerConfig {
            positions: Positions::None,
            key_bias: false,
            layer_scale: true,
            relative_bias: RelativeBias::Shared,
            norm: false,
            ..Self::base(224, 16)
        }
    }

    /// `facebook/data2vec-vision-base` (Baevski et al. 2022): as BEiT, with a final norm.
    pub fn data2vec_b16() -> Self {
        TransformerConfig { norm: true, ..Self::beit_b16() }
    }

    /// ViT-Tiny (Touvron et al. 2021) on patches of 8 in 64 pixels: 65 tokens of 192, 12 blocks, 3 heads. It costs
    /// about as much as EfficientNet-Lite0 at 224 pixels.
    pub fn vit_tiny_patch8_64() -> Self {
        TransformerConfig { dim: 192, heads: 3, hidden: 768, eps: 1e-6, ..Self::base(64, 8) }
    }

    /// The same on patches of 16: 17 tokens, and a quarter of the cost.
    pub fn vit_tiny_patch16_64() -> Self {
        TransformerConfig { dim: 192, heads: 3, hidden: 768, eps: 1e-6, ..Self::base(64, 16) }
    }

    /// The pocket ViT of this project's own pretraining: a plain ViT of 128 numbers, 6 blocks and 4 heads on 48 pixels,
    /// 1.2 million parameters with patches of 8.
    pub fn vit_pocket(patch: usize) -> Self {
        // Patches of 16 have 74,000 weights more; what a smaller hidden layer saves keeps the file as small as the other.
        let hidden = if patch > 8 { 480 } else { 512 };
        TransformerConfig { dim: 128, depth: 6, heads: 4, hidden, eps: 1e-6, cells: 3, ..Self::base(48, patch) }
    }

    /// Patches along one side.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch
    }

    /// T, the class token and the patches.
    pub fn tokens(&self) -> usize {
        1 + self.grid().pow(2)
    }

    /// Multiply-adds of a forward pass over `tokens` tokens, of which all but the class token are made from patches;
    /// norms and activations left out.
    ///
    /// ```
    /// use wider_clip::models::TransformerConfig;
    ///
    /// let config = TransformerConfig::vit_b16();
    /// // 17.6 thousand millions, as the literature has it for ViT-B/16 at 224 pixels.
    /// assert_eq!(config.multiply_adds(config.tokens()) / 100_000_000, 175);
    /// ```
    pub fn multiply_adds(&self, tokens: usize) -> u64 {
        let (t, d, h) = (tokens as u64, self.dim as u64, self.hidden as u64);
        let patches = t.saturating_sub(1) * 3 * (self.patch * self.patch) as u64 * d;
        patches + self.depth as u64 * (t * (4 * d * d + 2 * d * h) + 2 * t * t * d)
    }

    pub(super) fn check(&self) -> Result<()> {
        let divides = |part: usize, whole: usize| part > 0 && whole > 0 && whole.is_multiple_of(part);
        if divides(self.patch, self.image_size) && divides(self.heads, self.dim) && self.hidden > 0 {
            return Ok(());
        }
        let expected = "a patch that divides image_size, heads that divide dim, and a hidden layer";
        Err(Error::argument("transformer config", expected, format!("{self:?}")))
    }
}
