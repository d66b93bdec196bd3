//! An encoder with a linear head, to be trained whole: what fine-tuning trains, and supervised pretraining.

use super::optimiser::TrainedParameter;
use super::parameters::Parameters;
use crate::error::{Error, Result};
use crate::models::{Architecture, Backbone, Mode, device_name};
use crate::ops::{Weight, linear};
use crate::random::Random;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use std::collections::{BTreeMap, HashMap};

/// The place of the head's dropout, behind those of all blocks.
const DROPOUT: usize = u16::MAX as usize;

/// A backbone and a linear head on one of its features.
pub struct Classifier {
    architecture: Architecture,
    backbone: Box<dyn Backbone>,
    /// What the backbone computes in; the variables stay f32.
    precision: DType,
    pooling: String,
    head: (Var, Var),
    dropout: bool,
    parameters: Parameters,
}

/// How a head's weights (K, D) and biases (K,) begin.
#[derive(Clone, Copy, Debug)]
pub enum Head<'a> {
    /// As PyTorch draws `nn.Linear`: both uniform within 1 / sqrt(D).
    Torch,
    /// Weights with Glorot's deviation, biases 0.
    Glorot,
    /// Given, for instance by a logistic regression on the frozen features (LP-FT; Kumar et al. 2022,
    /// <https://arxiv.org/abs/2202.10054>).
    Given(&'a Tensor, &'a Tensor),
}

/// What a head reads and gives.
#[derive(Clone, Copy, Debug)]
pub struct HeadParams<'a> {
    /// The feature that it reads: `cls`, `token_mean`, `avg`, ...
    pub pooling: &'a str,
    /// Length of that feature.
    pub dim: usize,
    /// Classes, at least 2.
    pub n_classes: usize,
    /// How it begins.
    pub start: Head<'a>,
}

/// What a classifier is made of.
#[derive(Debug, Clone)]
pub struct ClassifierParams<'a> {
    /// The backbone.
    pub architecture: &'a Architecture,
    /// The feature that the head reads: `cls`, `token_mean`, `avg`, ...
    pub pooling: &'a str,
    /// Length of that feature.
    pub dim: usize,
    /// Classes, at least 2.
    pub n_classes: usize,
    /// How the head begins.
    pub head: Head<'a>,
    /// Draws the head.
    pub seed: u64,
    /// Factor on the learning rate from one depth to the one before it, in (0, 1]; 1 gives all the same.
    pub layer_decay: f64,
    /// Decoupled weight decay of what [`super::decays`] names.
    pub weight_decay: f64,
}

impl Classifier {
    /// Puts a head onto the backbone with `weights` (this crate's names), which are copied into variables.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than two classes or a decay outside (0, 1]; weights that are missing or misshaped.
    pub fn new(params: &ClassifierParams, weights: &HashMap<String, Tensor>, device: &Device) -> Result<Self> {
        let &ClassifierParams { architecture, pooling, dim, n_classes, head, .. } = params;
        let head = HeadParams { pooling, dim, n_classes, start: head };
        head.check()?;
        let mut parameters = Parameters::new(params.seed, params.weight_decay, device);
        parameters.encoder_from(architecture, weights)?;
        parameters.layer_decay(architecture, params.layer_decay)?;
        Classifier::on(architecture, parameters, &head)
    }

    /// Puts a head onto the encoder that `parameters` holds.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than two classes or given weights of another shape; weights of the encoder that are
    /// missing or misshaped.
    pub fn on(architecture: &Architecture, mut parameters: Parameters, head: &HeadParams) -> Result<Self> {
        head.check()?;
        head.begin(&mut parameters)?;
        let var = |name: &str| -> Result<Var> {
            let found = parameters.trained().iter().find(|parameter| parameter.name == name);
            let found = found.ok_or_else(|| Error::argument("classifier", format!("a parameter {name}"), "none"))?;
            Ok(found.var.clone())
        };
        let vars = (var("head.weight")?, var("head.bias")?);
        let backbone = architecture.build(parameters.builder())?;
        // The convolutional originals have their only dropout here; transformers have theirs in the blocks.
        let dropout = !matches!(architecture, Architecture::Transformer(_));
        Ok(Classifier {
            architecture: architecture.clone(),
            backbone,
            precision: DType::F32,
            pooling: head.pooling.into(),
            head: vars,
            dropout,
            parameters,
        })
    }

    /// Lets the backbone compute in `precision`, f16 or bf16 on a GPU. Variables and head stay f32: every pass rounds copies of
    /// the variables, through which the gradients come back (mixed precision; Micikevicius et al. 2018,
    /// <https://arxiv.org/abs/1710.03740>, without scaling of the loss, which bf16 does not need).
    ///
    /// # Errors
    /// [`Error::Argument`] for another type, or for half precision on the processor, which has no arithmetic for it.
    pub fn in_precision(mut self, precision: DType) -> Result<Self> {
        let device = self.parameters.device();
        let half = matches!(precision, DType::F16 | DType::BF16);
        if precision != DType::F32 && !(half && !device.is_cpu()) {
            let found = format!("{precision:?} on {}", device_name(device));
            return Err(Error::argument("precision", "f32, or f16 or bf16 on a GPU", found));
        }
        self.precision = precision;
        Ok(self)
    }

    /// The backbone on copies of the variables in another precision; gradients go through the copies.
    fn rounded(&self) -> Result<Box<dyn Backbone>> {
        // Rounded as they are taken, so that what is folded first is folded in f32.
        let builder = VarBuilder::from_tensors(self.parameters.tensors(), self.precision, self.parameters.device());
        self.architecture.build(builder)
    }

    /// Class scores before softmax: `images` (B, 3, H, W) to (B, K). The caller's mode decides whether batch
    /// normalisation takes the batch's statistics, which moves the running ones, or the running ones as they are
    /// ([`Mode::Eval`], which has gradients too).
    ///
    /// # Errors
    /// As for [`Classifier::feature`].
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        self.logits(&self.feature(images, mode)?, mode)
    }

    /// What the head reads: `images` (B, 3, H, W) to (B, D).
    ///
    /// # Errors
    /// As for [`Backbone::forward`]; [`Error::Unknown`] for a pooling that the backbone does not give.
    pub fn feature(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let features = match self.precision {
            DType::F32 => self.backbone.forward(images, mode)?,
            // Statistics of a batch move the running ones, which the rounded backbone has copies of.
            _ if mode.is_train() && self.has_running_statistics() => {
                let expected = "f32 for a model whose batch normalisation is trained";
                return Err(Error::argument("precision", expected, format!("{:?}", self.precision)));
            }
            _ => self.rounded()?.forward(images, mode)?,
        };
        let known = || features.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        match features.iter().find(|(name, _)| *name == self.pooling) {
            Some((_, feature)) => Ok(feature.clone()),
            None => Err(Error::Unknown { kind: "pooling", name: self.pooling.clone(), known: known() }),
        }
    }

    /// Whether there are statistics that a batch moves; fixed positions (MAE's) are no parameters either.
    fn has_running_statistics(&self) -> bool {
        self.parameters.statistics().keys().any(|name| name.ends_with("running_var"))
    }

    /// The head alone: features (B, D) to class scores (B, K).
    ///
    /// # Errors
    /// A feature of another length.
    pub fn logits(&self, feature: &Tensor, mode: Mode) -> Result<Tensor> {
        let feature = if self.dropout { mode.dropout(feature.clone(), DROPOUT)? } else { feature.clone() };
        linear(&feature, &Weight::new(&self.head.0)?, &self.head.1)
    }

    /// The backbone, for its features and attention.
    pub fn backbone(&self) -> &dyn Backbone {
        self.backbone.as_ref()
    }

    /// What is trained, the head last.
    pub fn parameters(&self) -> &[TrainedParameter] {
        self.parameters.trained()
    }

    /// The variables, running statistics among them.
    pub fn variables(&self) -> &Parameters {
        &self.parameters
    }

    /// A copy of everything that decides the classifier's output, by name: parameters, running statistics, head.
    ///
    /// # Errors
    /// No memory for the copy.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.parameters.state()
    }

    /// Puts back a state as [`Classifier::state`] gives it, of the same classifier.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first tensor that is missing; candle's error for one of another shape.
    pub fn set_state(&self, state: &HashMap<String, Tensor>) -> Result<()> {
        self.parameters.set_state(|name| state.get(name))
    }
}

impl HeadParams<'_> {
    fn check(&self) -> Result<()> {
        let &HeadParams { dim, n_classes, start, .. } = self;
        if n_classes < 2 || dim == 0 {
            let found = format!("{n_classes} classes on {dim} numbers");
            return Err(Error::argument("classifier", "at least 2 classes on a feature", found));
        }
        match start {
            Head::Given(weight, bias) if weight.dims() != [n_classes, dim] || bias.dims() != [n_classes] => {
                let expected = format!("weights [{n_classes}, {dim}] and biases [{n_classes}]");
                Err(Error::argument("head", expected, format!("{:?} and {:?}", weight.dims(), bias.dims())))
            }
            _ => Ok(()),
        }
    }

    /// Puts `head.weight` and `head.bias` in.
    fn begin(&self, parameters: &mut Parameters) -> Result<()> {
        let &HeadParams { dim, n_classes, start, .. } = self;
        let (weight, bias) = match start {
            Head::Glorot => return parameters.layer("head", n_classes, dim),
            Head::Torch => {
                let mut random = Random::new("classifier head", parameters.seed(), 0);
                let bound = 1.0 / (dim as f64).sqrt();
                let mut draw = |n: usize| (0..n).map(|_| ((2.0 * random.unit() - 1.0) * bound) as f32).collect();
                (draw(n_classes * dim), draw(n_classes))
            }
            Head::Given(weight, bias) => {
                let values = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
                (values(weight)?, values(bias)?)
            }
        };
        parameters.place("head.weight", &[n_classes, dim], weight)?;
        parameters.place("head.bias", &[n_classes], bias)
    }
}
