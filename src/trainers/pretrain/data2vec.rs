//! data2vec: a student that sees part of an image predicts what its own average makes of all of it (Baevski et al. 2022,
//! <https://arxiv.org/abs/2202.03555>).
//!
//! As there: 60% of the patches hidden in blocks, each replaced by a learned token; the teacher sees the whole image; its
//! targets are the tokens that leave its upper half of blocks, each normalised, averaged, and normalised again; smooth L1
//! of beta 2; the teacher's momentum rises. The student's encoder is published. Different: a block's tokens are normalised
//! over the patches of an image, channel by channel, as in data2vec 2.0 (Baevski et al. 2023,
//! <https://arxiv.org/abs/2212.07525>), and not over the channels of a patch: there what all patches share remains, most
//! patches of a drawing are blank, and the features went towards one and the same (effective rank 3 after 51,000 images;
//! normalised over a batch at each place they fared no better);
//! positions are absolute, as in all pocket models, not relative; no layer scale and no stochastic depth; the momentum rises from 0.99 to 0.999, since
//! runs have thousands of steps and not hundreds of thousands.

use super::masked::{Masking, hidden_tokens, with_positions};
use super::objective::{Batch, Loss, Moment, Objective, rows_of};
use super::teacher::Teacher;
use crate::error::{Error, Result};
use crate::models::{Architecture, Mode, Transformer, TransformerConfig};
use crate::ops::{Weight, layer_norm, linear, patches};
use crate::training::schedule::line;
use crate::training::{Parameters, Start};
use candle_core::{D, DType, Device, Tensor};
use std::collections::{BTreeMap, HashMap};

/// Part of the patches that is hidden.
const HIDDEN: f64 = 0.6;
const BETA: f64 = 2.0;
/// Momentum of the teacher at the start, at the end, and the part of the run after which it no longer rises.
const MOMENTUM: (f64, f64, f64) = (0.99, 0.999, 0.3);

/// Student, teacher and the layer that predicts.
pub struct Data2Vec {
    config: TransformerConfig,
    student: Transformer,
    parameters: Parameters,
    mask_token: Tensor,
    predict: (Weight, Tensor),
    teacher: Teacher,
}

impl Data2Vec {
    /// Draws the student from `parameters`; the teacher begins as its copy.
    ///
    /// # Errors
    /// A config that contradicts itself.
    pub fn new(config: &TransformerConfig, mut parameters: Parameters, device: &Device) -> Result<Self> {
        let architecture = Architecture::Transformer(config.clone());
        parameters.encoder(&architecture)?;
        let names = architecture.parameters();
        let teacher = parameters.copies(names.iter().map(|parameter| parameter.name.as_str()))?;
        parameters.draw("mask_token", &[1, 1, config.dim], Start::Normal(0.02))?;
        parameters.layer("predict", config.dim, config.dim)?;
        let builder = parameters.builder();
        let predict = (
            Weight::new(&builder.get((config.dim, config.dim), "predict.weight")?)?,
            builder.get(config.dim, "predict.bias")?,
        );
        Ok(Data2Vec {
            config: config.clone(),
            mask_token: builder.get((1, 1, config.dim), "mask_token")?,
            student: Transformer::load(config, builder)?,
            predict,
            teacher: Teacher::new(teacher, device),
            parameters,
        })
    }

    /// The teacher's targets for all patches, (B, P, D).
    fn targets(&self, images: &Tensor) -> Result<Tensor> {
        let teacher = Transformer::load(&self.config, self.teacher.builder())?;
        let x = teacher.embed(&patches(images, self.config.patch)?.flatten(1, 2)?)?;
        let x = with_positions(&teacher, &x)?;
        let (mut layers, grid) = (Vec::new(), x.dim(1)? - 1);
        teacher.encode(x, Mode::Eval, |x| layers.push(x.narrow(1, 1, grid)))?;
        let upper = layers.split_off(layers.len() / 2).into_iter().collect::<Result<Vec<_>, _>>()?;
        targets(&upper)
    }
}

impl Objective for Data2Vec {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn loss(&mut self, batch: &Batch, at: Moment) -> Result<Loss> {
        let images = &batch.views[0];
        let masking = Masking { part: HIDDEN, seed: at.seed, drawn: batch.drawn };
        let hidden = hidden_tokens(&self.student, &self.mask_token, images, masking)?;
        let predicted = linear(&hidden.tokens, &self.predict.0, &self.predict.1)?;
        let targets = rows_of(&self.targets(images)?.flatten_to(1)?, hidden.places)?;
        // Near 0 all images have one target: collapse.
        let spread = targets.broadcast_sub(&targets.mean_keepdim(0)?)?.sqr()?.mean_all()?.sqrt()?;
        Ok(Loss { total: smooth_l1(&predicted, &targets, BETA)?, parts: vec![("target_deviation", spread)] })
    }

    fn after_step(&mut self, at: Moment) -> Result<()> {
        let (start, end, part) = MOMENTUM;
        let momentum = line(start, end, (part * at.total as f64) as u64, at.step);
        self.teacher.follow(&self.parameters.tensors(), momentum)
    }

    fn memory(&self) -> BTreeMap<String, Tensor> {
        let weights = self.teacher.weights().iter();
        weights.map(|(name, weight)| (format!("teacher.{name}"), weight.clone())).collect()
    }

    fn remember(&mut self, memory: &HashMap<String, Tensor>) -> Result<()> {
        self.teacher.set(|name| memory.get(&format!("teacher.{name}")).cloned())
    }

    fn released(&self) -> Result<HashMap<String, Tensor>> {
        let names = Architecture::Transformer(self.config.clone()).parameters();
        self.parameters.copies(names.iter().map(|parameter| parameter.name.as_str()))
    }
}

/// What is predicted: the tokens `layers`, (B, P, D) each, normalised over the patches of each image channel by channel,
/// averaged, normalised over channels (no scale or shift, eps 1e-5). Without gradient.
///
/// # Errors
/// [`Error::Argument`] for no layer; shapes that do not fit.
pub fn targets(layers: &[Tensor]) -> Result<Tensor> {
    let Some(first) = layers.first() else {
        return Err(Error::argument("layers", "at least one", "none"));
    };
    let normalised = |x: &Tensor| -> Result<Tensor> {
        let length = x.dim(D::Minus1)?;
        let one = Tensor::ones(length, DType::F32, first.device())?;
        let zero = Tensor::zeros(length, DType::F32, first.device())?;
        layer_norm(&x.contiguous()?, &one, &zero, 1e-5)
    };
    let of_image = |x: &Tensor| -> Result<Tensor> { Ok(normalised(&x.detach().transpose(1, 2)?)?.transpose(1, 2)?) };
    let mut sum = of_image(first)?;
    for layer in &layers[1..] {
        sum = (sum + of_image(layer)?)?;
    }
    normalised(&(sum / layers.len() as f64)?)
}

/// Mean over all numbers of the smooth L1 distance of `predicted` and `targets`, both (M, D): d^2 / (2 beta) below
/// `beta`, |d| - beta / 2 above, as PyTorch's `smooth_l1_loss`. Gradient for `predicted`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::pretrain::data2vec::smooth_l1;
///
/// let predicted = Tensor::new(&[[1f32, 5.0]], &Device::Cpu)?;
/// let targets = Tensor::new(&[[0f32, 0.0]], &Device::Cpu)?;
/// // 1 / 4 and 5 - 1.
/// assert_eq!(smooth_l1(&predicted, &targets, 2.0)?.to_scalar::<f32>()?, (0.25 + 4.0) / 2.0);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if the shapes differ, nothing is there, or `beta` is not above 0.
pub fn smooth_l1(predicted: &Tensor, targets: &Tensor, beta: f64) -> Result<Tensor> {
    if predicted.dims() != targets.dims() || predicted.elem_count() == 0 || beta <= 0.0 {
        let found = format!("{:?} and {:?}, beta {beta}", predicted.dims(), targets.dims());
        return Err(Error::argument("predicted and targets", "equal shapes with values, beta above 0", found));
    }
    // With c = min(|d|, beta): c (|d| - c / 2) / beta is both cases at once.
    let distance = (predicted - targets.detach())?.abs()?;
    let near = distance.minimum(beta)?;
    Ok(((&near * (distance - (&near * 0.5)?)?)? / beta)?.mean_all()?)
}
