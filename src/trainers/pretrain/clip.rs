//! CLIP: images and their captions side by side (Radford et al. 2021, <https://arxiv.org/abs/2103.00020>).
//!
//! An image tower and a text tower, each with a projection; of the images and captions of a batch each image must find its
//! caption and each caption its image. As there: a learned temperature that starts at 0.07 and never passes 1 / 100,
//! captions as lower-case byte pairs between two special tokens, causal attention. Different: the image tower is the
//! plain ViT of all pocket models (no norm before the blocks, exact GELU); the byte pairs are learnt from the captions
//! of the corpus, and a caption is read whole, as its name or as its category, drawn anew each time
//! ([`super::captions`]); batches of hundreds, in which two icons of one name may meet and count as different.
//!
//! More learning was tried: a whole run in batches of 64 in which each drawing was compared with its caption in two views,
//! one in other colours and one in its own (as in DeCLIP, Li et al. 2022, <https://arxiv.org/abs/2110.05208>): twice the
//! views and the steps for the same 512,000 images. 40.9% of held-out drawings found their name among 128 (36.3% with the
//! run that ships), 10.2% their category among 212 (7.3%), and the probe's neighbours were right for 24.1% (22.5%).
//! OpenEmoji's classes by name came to 4.3 times chance (4.2). It does not ship: no other objective was given twice the
//! arithmetic and a second choice of settings.
//!
//! So was more colour, with the same budget: with 2,627 drawings of the Open Clip Art library in the corpus OpenEmoji's
//! classes came to 4.3 times chance, with 2,842 of them and 1,028 emoji of families that OpenEmoji lacks to 4.6.

use super::objective::{Batch, Loss, Moment, Objective, unit_rows};
use crate::error::{Error, Result};
use crate::models::clip::{ClipConfig, text_parameters};
use crate::models::{Clip, Mode};
use crate::training::{Parameters, Start};
use candle_core::{D, DType, Tensor};
use std::collections::HashMap;

/// The largest factor on cosines.
const LARGEST_SCALE: f64 = 100.0;

/// Both towers.
pub struct ImageText {
    config: ClipConfig,
    clip: Clip,
    parameters: Parameters,
}

impl ImageText {
    /// Draws both towers from `parameters`.
    ///
    /// # Errors
    /// A config that contradicts itself.
    pub fn new(config: &ClipConfig, mut parameters: Parameters) -> Result<Self> {
        parameters.encoder(&config.image)?;
        parameters.listed(&text_parameters(&config.text))?;
        let deviation = |dim: usize| Start::Normal((dim as f64).powf(-0.5));
        let projection = [config.text.projection, config.image_dim];
        parameters.draw("visual_projection.weight", &projection, deviation(config.image_dim))?;
        parameters.draw("logit_scale", &[], Start::Value((1.0f32 / 0.07).ln()))?;
        let clip = Clip::build(config, parameters.builder())?;
        Ok(ImageText { config: config.clone(), clip, parameters })
    }
}

impl Objective for ImageText {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&mut self, batch: &Batch, _at: Moment) -> Result<Loss> {
        let Some(tokens) = &batch.tokens else {
            return Err(Error::argument("batch", "captions", "none"));
        };
        let images = self.clip.image_features(&batch.views[0], Mode::QUIET)?;
        let texts = self.clip.text_features(tokens.view(), Mode::QUIET)?;
        let scale = self.clip.logit_scale();
        let total = symmetric_loss(&images, &texts, scale)?;
        Ok(Loss { total, parts: vec![("logit_scale", scale.detach().exp()?)] })
    }

    fn after_step(&mut self, _at: Moment) -> Result<()> {
        let scale = self.parameters.trained().iter().find(|parameter| parameter.name == "logit_scale");
        if let Some(scale) = scale {
            let kept = scale.var.as_tensor().detach().minimum(LARGEST_SCALE.ln())?;
            scale.var.set(&kept)?;
        }
        Ok(())
    }

    fn released(&self) -> Result<HashMap<String, Tensor>> {
        let names: Vec<String> = self.config.parameters().into_iter().map(|parameter| parameter.name).collect();
        self.parameters.copies(names.iter().map(String::as_str))
    }
}

/// The mean of two cross-entropies on cosines times exp(`logit_scale`): every image of `image_features` (B, E) among the
/// texts, and every text of `text_features` (B, E) among the images; the pair of a row is the right one. Features of any
/// length; `logit_scale` is a scalar. Gradients for all three.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::pretrain::clip::symmetric_loss;
///
/// // Two pairs at right angles: each finds its own with probability 1 / (1 + exp(-1)).
/// let features = Tensor::new(&[[2f32, 0.0], [0.0, 3.0]], &Device::Cpu)?;
/// let loss = symmetric_loss(&features, &features, &Tensor::new(0f32, &Device::Cpu)?)?.to_scalar::<f32>()?;
/// assert!((loss - (1.0 + (-1f32).exp()).ln()).abs() < 1e-6);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if there are not as many images as texts, or not of one length.
pub fn symmetric_loss(image_features: &Tensor, text_features: &Tensor, logit_scale: &Tensor) -> Result<Tensor> {
    if image_features.dims() != text_features.dims() || image_features.rank() != 2 || image_features.dim(0)? == 0 {
        let found = format!("{:?} and {:?}", image_features.dims(), text_features.dims());
        return Err(Error::argument("image and text features", "both (B, E), B at least 1", found));
    }
    let cosines = unit_rows(image_features)?.matmul(&unit_rows(text_features)?.t()?)?;
    let logits = cosines.broadcast_mul(&logit_scale.exp()?)?;
    let n = logits.dim(0)?;
    let right = Tensor::eye(n, DType::F32, logits.device())?;
    let among = |axis: D| -> Result<Tensor> { Ok((candle_nn::ops::log_softmax(&logits, axis)? * &right)?.sum_all()?) };
    Ok(((among(D::Minus1)? + among(D::Minus2)?)? * (-0.5 / n as f64))?)
}
