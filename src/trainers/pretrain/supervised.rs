//! Supervised learning: the class of an image from its feature.
//!
//! As ViT's and DeiT's (Dosovitskiy et al. 2021; Touvron et al. 2021, <https://arxiv.org/abs/2012.12877>): one fully
//! connected layer on the pooled feature, cross-entropy with smoothed labels. The classes are the head words of icon
//! names, a pocket ImageNet; images without a class ([`super::corpus::OTHER`]) are drawn as for the other objectives and
//! left out of the loss. Different: no RandAugment, mixup, CutMix, erasing or stochastic depth, which are made for
//! hundreds of epochs.

use super::corpus::Corpus;
use super::objective::{Batch, Loss, Moment, Objective, rows_of};
use crate::error::{Error, Result};
use crate::models::{Architecture, Mode};
use crate::training::{Classifier, Head, HeadParams, Parameters};
use candle_core::{D, DType, Tensor};
use std::collections::HashMap;

/// Part of the probability that smoothing gives to all classes alike.
const SMOOTHING: f64 = 0.1;

/// An encoder with a classifier on it.
pub struct Supervised {
    architecture: Architecture,
    classifier: Classifier,
    other: Option<u32>,
}

impl Supervised {
    /// Draws everything from `parameters`. `dim` is the length of the feature called `pooling`.
    ///
    /// # Errors
    /// An architecture without weights; a corpus of fewer than two classes.
    pub fn new(
        architecture: &Architecture,
        (pooling, dim): (&'static str, usize),
        corpus: &Corpus,
        mut parameters: Parameters,
    ) -> Result<Self> {
        let head = HeadParams { pooling, dim, n_classes: corpus.classes.len(), start: Head::Glorot };
        parameters.encoder(architecture)?;
        let classifier = Classifier::on(architecture, parameters, &head)?;
        Ok(Supervised { architecture: architecture.clone(), classifier, other: corpus.other() })
    }
}

impl Objective for Supervised {
    fn parameters(&self) -> &Parameters {
        self.classifier.variables()
    }

    fn loss(&mut self, batch: &Batch, _at: Moment) -> Result<Loss> {
        let feature = self.classifier.feature(&batch.views[0], Mode::QUIET)?;
        let classed = batch.labels.iter().enumerate().filter(|(_, label)| Some(**label) != self.other);
        let (rows, labels): (Vec<u32>, Vec<u32>) = classed.map(|(row, label)| (row as u32, *label)).unzip();
        if rows.is_empty() {
            return Err(Error::argument("batch", "at least one image with a class", "none"));
        }
        let logits = self.classifier.logits(&rows_of(&feature, rows)?, Mode::QUIET)?;
        let labels = Tensor::new(labels.as_slice(), logits.device())?;
        let right = logits.detach().argmax(D::Minus1)?.eq(&labels)?.to_dtype(DType::F32)?.mean_all()?;
        Ok(Loss { total: smoothed_cross_entropy(&logits, &labels, SMOOTHING)?, parts: vec![("batch_accuracy", right)] })
    }

    fn released(&self) -> Result<HashMap<String, Tensor>> {
        let names: Vec<String> = self.architecture.parameters().into_iter().map(|parameter| parameter.name).collect();
        self.parameters().copies(names.iter().map(String::as_str))
    }
}

/// Mean over rows of the cross-entropy of `logits` (B, K) with targets that give 1 - `smoothing` to the class in `labels`
/// (B,) u32 and `smoothing` to all K alike (Szegedy et al. 2016), as PyTorch's `CrossEntropyLoss(label_smoothing)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::pretrain::supervised::smoothed_cross_entropy;
///
/// let logits = Tensor::new(&[[0f32, 0.0]], &Device::Cpu)?;
/// let labels = Tensor::new(&[1u32], &Device::Cpu)?;
/// let loss = smoothed_cross_entropy(&logits, &labels, 0.1)?.to_scalar::<f32>()?;
/// assert!((loss - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
///
/// # Errors
/// Shapes that do not fit, a label outside the classes.
pub fn smoothed_cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    let log_probabilities = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    let right = log_probabilities.gather(&labels.unsqueeze(1)?, 1)?.mean_all()?;
    let all = log_probabilities.mean_all()?;
    Ok(((right * (smoothing - 1.0))? - (all * smoothing)?)?)
}
