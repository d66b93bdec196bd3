//! Backbones: what turns a batch of images into features.
//!
//! | module | model | weights |
//! |---|---|---|
//! | [`transformer`] | CLIP's image tower, ViT, DINO, MAE, BEiT, data2vec | transformers', timm's, torchvision's names |
//! | [`convnext`] | ConvNeXt, CLIP's too | transformers', timm's, torchvision's, open_clip's names |
//! | [`efficientnet`] | EfficientNet-Lite and B0 to B7 | timm's, torchvision's names |
//! | [`clip`] | CLIP: an image tower, the text tower, one space for both | transformers' and open_clip's names |
//! | [`pixels`] | the pixels themselves | none |
//!
//! A record names an [`Architecture`]; [`load`] reads its weights ([`WeightFile`], [`assemble`]) and builds it, frozen.
//! Built from variables the same code trains ([`crate::training::Classifier`]): every operation has its gradient. Images come in as
//! (B, 3, H, W), f32, resized, cropped and normalised as the record says; features are f32.

mod architecture;
pub mod assemble;
pub mod clip;
pub mod convnext;
mod device;
pub mod efficientnet;
pub mod initial;
mod layers;
mod load;
mod mode;
pub mod pixels;
mod pooling;
pub mod transformer;
mod weights;

pub use architecture::Architecture;
pub use clip::{Clip, ClipConfig};
pub use convnext::{ConvNeXt, ConvNeXtConfig};
pub use device::{allow_tf32, arithmetic, best_device, describe_device, device_name};
pub use efficientnet::{EfficientNet, EfficientNetConfig, PaddingRule};
pub use initial::initial_weights;
pub use load::{
    LoadedModel, ModelWeights, embedded_file, fetch_weights, is_here, load, load_as, preprocess, read_weights,
    weights_id,
};
pub use mode::{Mode, Noise};
pub use pixels::Pixels;
pub use pooling::grid_mean;
pub use transformer::{Transformer, TransformerConfig};
pub use weights::{WeightFile, WeightFormat};

use crate::error::{Error, Result};
use candle_core::{DType, Tensor};

/// A model that turns images into feature vectors.
pub trait Backbone: Send + Sync {
    /// Named features of `images` (B, 3, H, W), each (B, D), f32.
    ///
    /// Names: `"cls"`, `"patch_mean"`, `"token_mean"` and `"cls_patch_mean"` from transformers, `"avg"` from
    /// convolutional networks, `"grid_mean"` ([`grid_mean`] of the last map) from the pocket models besides, and
    /// `"patches"` (all patch tokens side by side) from their transformers, `"pixels"` from [`Pixels`]. In [`Mode::Eval`] a row depends on its own image only.
    /// A batch of none gives features of shape (0, D). The features have a graph where the weights are variables; the
    /// images have none.
    ///
    /// # Errors
    /// [`Error::Argument`] if the batch does not have the shape or type that the model takes.
    fn forward(&self, images: &Tensor, mode: Mode) -> Result<Vec<(&'static str, Tensor)>>;

    /// [`Backbone::forward`] in [`Mode::Eval`].
    ///
    /// # Errors
    /// As for [`Backbone::forward`].
    fn forward_features(&self, images: &Tensor) -> Result<Vec<(&'static str, Tensor)>> {
        self.forward(images, Mode::Eval)
    }

    /// From now on rounds the factors of most matrix products to bf16 and sums them in f32, on processors that have the
    /// instructions ([`crate::ops::require_bf16`]). Everything else stays f32: sums, biases, normalisations, activations,
    /// softmax, residual sums, depthwise convolutions, and the products to which the features of `family`, a word of its
    /// record such as `beit`, are sensitive. Features stay f32.
    ///
    /// # Errors
    /// [`Error::Argument`] if the processor lacks the instructions, or the model is trained or on another device.
    fn round_to_bf16(&mut self, family: &str) -> Result<()>;

    /// Where each token of `images` looks in the last block: (B, heads, T, T), rows adding up to 1, the class token
    /// first; `None` from a model without attention.
    ///
    /// # Errors
    /// As for [`Backbone::forward`].
    fn attention(&self, _images: &Tensor) -> Result<Option<Tensor>> {
        Ok(None)
    }
}

/// Checks that `images` is an f32 batch (B, 3, `size`, `size`) and gives B; `None` takes any height and width of 32 or
/// more.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use wider_clip::models::image_batch_check;
/// let images = Tensor::zeros((2, 3, 64, 64), DType::F32, &Device::Cpu).unwrap();
/// assert_eq!(image_batch_check(&images, Some(64)).unwrap(), 2);
/// let error = image_batch_check(&images, Some(224)).unwrap_err();
/// assert_eq!(error.to_string(), "images: expected f32 of shape (B, 3, 224, 224), found F32 of shape [2, 3, 64, 64]");
/// ```
///
/// # Errors
/// [`Error::Argument`] naming the shape that was expected and the one that came.
pub fn image_batch_check(images: &Tensor, size: Option<usize>) -> Result<usize> {
    let expected = match size {
        Some(size) => format!("f32 of shape (B, 3, {size}, {size})"),
        None => format!("f32 of shape (B, 3, H, W) with H and W at least {SMALLEST}"),
    };
    let fits = |side: usize| size.map_or(side >= SMALLEST, |size| side == size);
    match *images.dims() {
        [batch, 3, height, width] if fits(height) && fits(width) && images.dtype() == DType::F32 => Ok(batch),
        _ => {
            let found = format!("{:?} of shape {:?}", images.dtype(), images.dims());
            Err(Error::argument("images", expected, found))
        }
    }
}

/// `forward` of a frozen model on `images` (B, ...), on the processor `group` images at a time: more would only push each
/// other's activations out of the caches.
fn in_groups(images: &Tensor, group: usize, forward: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let batch = images.dim(0)?;
    if batch <= group || !images.device().is_cpu() {
        return forward(images);
    }
    let groups = (0..batch).step_by(group).map(|from| forward(&images.narrow(0, from, group.min(batch - from))?));
    Ok(Tensor::cat(&groups.collect::<Result<Vec<_>>>()?, 0)?)
}

/// The smallest side that a convolutional backbone, which halves its input five times, takes.
const SMALLEST: usize = 32;
