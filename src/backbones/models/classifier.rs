//! A backbone with a new head, to be trained whole.
//!
//! The head is one fully connected layer on a pooled feature, drawn as PyTorch draws `nn.Linear`: weights and biases
//! uniform within 1 / sqrt(D). Every parameter of the backbone is a variable; a learning rate that falls towards the input
//! (BEiT, ConvNeXt) is a factor a parameter.

use super::{Architecture, Backbone, Mode};
use crate::error::{Error, Result};
use crate::ops::{Weight, linear};
use crate::optimiser::TrainedParameter;
use crate::random::Random;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use std::collections::{BTreeMap, HashMap};

/// The place of the head's dropout, behind those of all blocks.
const HEAD: usize = u16::MAX as usize;

/// A backbone and a linear head on one of its features.
pub struct Classifier {
    backbone: Box<dyn Backbone>,
    pooling: String,
    head: (Var, Var),
    dropout: bool,
    parameters: Vec<TrainedParameter>,
    statistics: BTreeMap<String, Var>,
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
    /// Draws the head.
    pub seed: u64,
    /// Factor on the learning rate from one depth to the one before it, in (0, 1]; 1 gives all the same.
    pub layer_decay: f64,
    /// Decoupled weight decay of matrices; vectors (biases, norms, scales) have none.
    pub weight_decay: f64,
}

impl Classifier {
    /// Puts a head onto the backbone with `weights` (this crate's names), which are copied into variables.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than two classes or a decay outside (0, 1]; weights that are missing or misshaped.
    pub fn new(params: &ClassifierParams, weights: &HashMap<String, Tensor>, device: &Device) -> Result<Self> {
        let &ClassifierParams { architecture, dim, n_classes, layer_decay, .. } = params;
        if n_classes < 2 || dim == 0 {
            let found = format!("{n_classes} classes on {dim} numbers");
            return Err(Error::argument("classifier", "at least 2 classes on a feature", found));
        }
        if !(layer_decay > 0.0 && layer_decay <= 1.0) {
            return Err(Error::argument("layer_decay", "above 0 and at most 1", layer_decay.to_string()));
        }
        let (mut parameters, mut statistics, mut tensors) = (Vec::new(), BTreeMap::new(), HashMap::new());
        let top = architecture.depths() - 1;
        let trained = |name: String, var: Var, depth: usize| TrainedParameter {
            rate: layer_decay.powi((top - depth) as i32),
            weight_decay: if var.rank() > 1 { params.weight_decay } else { 0.0 },
            name,
            var,
        };
        for parameter in architecture.parameters() {
            let Some(tensor) = weights.get(&parameter.name) else {
                return Err(Error::argument("weights", format!("a tensor {}", parameter.name), "none"));
            };
            let var = Var::from_tensor(&tensor.to_device(device)?.copy()?)?;
            tensors.insert(parameter.name.clone(), var.as_tensor().clone());
            if parameter.trained {
                let depth = architecture.depth_of(&parameter.name);
                parameters.push(trained(parameter.name, var, depth));
            } else {
                statistics.insert(parameter.name, var);
            }
        }
        let mut random = Random::new("classifier head", params.seed, 0);
        let bound = 1.0 / (dim as f64).sqrt();
        let mut draw = |shape: &[usize]| -> Result<Var> {
            let n: usize = shape.iter().product();
            let values: Vec<f32> = (0..n).map(|_| ((2.0 * random.unit() - 1.0) * bound) as f32).collect();
            Ok(Var::from_tensor(&Tensor::from_vec(values, shape, device)?)?)
        };
        let head = (draw(&[n_classes, dim])?, draw(&[n_classes])?);
        parameters.push(trained("head.weight".into(), head.0.clone(), top));
        parameters.push(trained("head.bias".into(), head.1.clone(), top));
        let backbone = architecture.build(VarBuilder::from_tensors(tensors, DType::F32, device))?;
        // The convolutional originals have their only dropout here; transformers have theirs in the blocks.
        let dropout = !matches!(architecture, Architecture::Transformer(_));
        Ok(Classifier { backbone, pooling: params.pooling.into(), head, dropout, parameters, statistics })
    }

    /// Class scores before softmax: `images` (B, 3, H, W) to (B, K).
    ///
    /// # Errors
    /// As for [`Backbone::forward`]; [`Error::Unknown`] for a pooling that the backbone does not give.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor> {
        let features = self.backbone.forward(images, mode)?;
        let known = || features.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let Some((_, feature)) = features.iter().find(|(name, _)| *name == self.pooling) else {
            return Err(Error::Unknown { kind: "pooling", name: self.pooling.clone(), known: known() });
        };
        let feature = if self.dropout { mode.dropout(feature.clone(), HEAD)? } else { feature.clone() };
        linear(&feature, &Weight::new(&self.head.0)?, &self.head.1)
    }

    /// The backbone, for its features and attention.
    pub fn backbone(&self) -> &dyn Backbone {
        self.backbone.as_ref()
    }

    /// What is trained, the head last.
    pub fn parameters(&self) -> &[TrainedParameter] {
        &self.parameters
    }

    /// A copy of everything that decides the classifier's output, by name: parameters, running statistics, head.
    ///
    /// # Errors
    /// No memory for the copy.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let parameters = self.parameters.iter().map(|p| (&p.name, &p.var));
        let copies = parameters.chain(&self.statistics).map(|(name, var)| Ok((name.clone(), var.as_tensor().copy()?)));
        copies.collect()
    }

    /// Puts back a state as [`Classifier::state`] gives it, of the same classifier.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first tensor that is missing; candle's error for one of another shape.
    pub fn set_state(&self, state: &HashMap<String, Tensor>) -> Result<()> {
        let parameters = self.parameters.iter().map(|p| (&p.name, &p.var));
        for (name, var) in parameters.chain(&self.statistics) {
            let tensor = state
                .get(name)
                .ok_or_else(|| Error::argument("state of a classifier", format!("a tensor {name}"), "none"))?;
            var.set(tensor)?;
        }
        Ok(())
    }
}
