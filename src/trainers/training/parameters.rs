//! The variables of a network that is trained: an encoder, drawn or loaded, and what is put onto it.

use super::optimiser::TrainedParameter;
use crate::error::{Error, Result};
use crate::models::assemble::Parameter;
use crate::models::initial::glorot;
use crate::models::{Architecture, initial_weights};
use crate::random::{Random, truncated_normal};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Variables by name, in the order in which they were drawn.
pub struct Parameters {
    seed: u64,
    device: Device,
    weight_decay: f64,
    trained: Vec<TrainedParameter>,
    statistics: BTreeMap<String, Var>,
}

/// Whether weight decay is for a parameter of that name and rank: matrices and kernels are drawn towards 0; vectors (biases,
/// scales of norms), positions and single tokens are not.
///
/// ```
/// use wider_clip::training::decays;
///
/// assert!(decays("blocks.0.mlp.fc1.weight", 2) && decays("stem.0.weight", 4));
/// assert!(!decays("norm.bias", 1) && !decays("pos_embed", 3) && !decays("decoder.mask_token", 2));
/// ```
pub fn decays(name: &str, rank: usize) -> bool {
    const SINGLE: [&str; 4] = ["pos_embed", "relative_position_bias_table", "cls_token", "mask_token"];
    rank > 1 && !SINGLE.iter().any(|single| name.ends_with(single))
}

/// How a parameter of a head begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// All values equal.
    Value(f32),
    /// A normal distribution of this deviation, cut at two deviations.
    Normal(f64),
    /// A normal distribution of Glorot's deviation for the shape, cut likewise.
    Glorot,
}

impl Parameters {
    /// None as yet. `weight_decay` is for those that [`decays`] names.
    pub fn new(seed: u64, weight_decay: f64, device: &Device) -> Self {
        Parameters { seed, device: device.clone(), weight_decay, trained: Vec::new(), statistics: BTreeMap::new() }
    }

    /// Draws an encoder under its own names ([`initial_weights`]).
    ///
    /// # Errors
    /// As for [`initial_weights`].
    pub fn encoder(&mut self, architecture: &Architecture) -> Result<()> {
        let mut weights = initial_weights(architecture, self.seed, &self.device)?;
        for Parameter { name, trained, .. } in architecture.parameters() {
            let Some(tensor) = weights.remove(&name) else { continue };
            let var = Var::from_tensor(&tensor)?;
            match trained {
                true => self.push(name, var),
                false => drop(self.statistics.insert(name, var)),
            }
        }
        Ok(())
    }

    /// Puts in an encoder with copies of `weights`, under this crate's names; others among them are left out.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first weight that is missing.
    pub fn encoder_from(&mut self, architecture: &Architecture, weights: &HashMap<String, Tensor>) -> Result<()> {
        for Parameter { name, trained, .. } in architecture.parameters() {
            let Some(tensor) = weights.get(&name) else {
                return Err(Error::argument("weights", format!("a tensor {name}"), "none"));
            };
            let var = Var::from_tensor(&tensor.to_device(&self.device)?.copy()?)?;
            match trained {
                true => self.push(name, var),
                false => drop(self.statistics.insert(name, var)),
            }
        }
        Ok(())
    }

    /// Lets the learning rates of what is there fall towards the input: by `factor`, in (0, 1], from one depth of the
    /// encoder to the one before it (BEiT, ConvNeXt). What is not the encoder's, and what comes later, keeps its rate.
    ///
    /// # Errors
    /// [`Error::Argument`] for another factor.
    pub fn layer_decay(&mut self, architecture: &Architecture, factor: f64) -> Result<()> {
        if !(factor > 0.0 && factor <= 1.0) {
            return Err(Error::argument("layer_decay", "above 0 and at most 1", factor.to_string()));
        }
        let top = architecture.depths() - 1;
        let encoder: BTreeSet<String> = architecture.parameters().into_iter().map(|parameter| parameter.name).collect();
        for parameter in self.trained.iter_mut().filter(|parameter| encoder.contains(&parameter.name)) {
            parameter.rate = factor.powi((top - architecture.depth_of(&parameter.name)) as i32);
        }
        Ok(())
    }

    /// Draws one parameter. What is drawn depends on the seed and the name alone.
    ///
    /// # Errors
    /// No memory.
    pub fn draw(&mut self, name: &str, shape: &[usize], start: Start) -> Result<()> {
        let n = shape.iter().product();
        let deviation = match start {
            Start::Value(value) => return self.place(name, shape, vec![value; n]),
            Start::Normal(deviation) => deviation,
            Start::Glorot => glorot(shape),
        };
        // The name's letters, mixed (FNV-1a), tell one stream from another.
        let stream = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        // The purpose is part of what is drawn: it stays.
        let values = truncated_normal(&mut Random::new("pretraining head", self.seed, stream), n, deviation);
        self.place(name, shape, values)
    }

    /// Puts in a parameter with these values.
    ///
    /// # Errors
    /// Values that do not fill the shape.
    pub fn place(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Result<()> {
        let var = Var::from_tensor(&Tensor::from_vec(values, shape, &self.device)?)?;
        self.push(name.to_owned(), var);
        Ok(())
    }

    /// Draws a fully connected layer `name.weight` (O, I), Glorot's deviation, and `name.bias`, zeros.
    ///
    /// # Errors
    /// No memory.
    pub fn layer(&mut self, name: &str, outputs: usize, inputs: usize) -> Result<()> {
        self.draw(&format!("{name}.weight"), &[outputs, inputs], Start::Glorot)?;
        self.draw(&format!("{name}.bias"), &[outputs], Start::Value(0.0))
    }

    /// Draws listed parameters as transformers begin: norms' weights 1, biases 0, matrices with Glorot's deviation,
    /// embeddings and positions with 0.02.
    ///
    /// # Errors
    /// No memory.
    pub fn listed(&mut self, parameters: &[Parameter]) -> Result<()> {
        for Parameter { name, shape, .. } in parameters {
            let start = match (name.contains("norm"), name.ends_with("bias")) {
                (_, true) => Start::Value(0.0),
                (true, false) => Start::Value(1.0),
                (false, false) if name.contains("embed") => Start::Normal(0.02),
                (false, false) => Start::Glorot,
            };
            self.draw(name, shape, start)?;
        }
        Ok(())
    }

    fn push(&mut self, name: String, var: Var) {
        let weight_decay = if decays(&name, var.rank()) { self.weight_decay } else { 0.0 };
        self.trained.push(TrainedParameter { name, var, rate: 1.0, weight_decay });
    }

    /// What is trained.
    pub fn trained(&self) -> &[TrainedParameter] {
        &self.trained
    }

    /// Running statistics.
    pub fn statistics(&self) -> &BTreeMap<String, Var> {
        &self.statistics
    }

    /// All variables by name, for a network to be built from.
    pub fn builder(&self) -> VarBuilder<'static> {
        VarBuilder::from_tensors(self.tensors(), DType::F32, &self.device)
    }

    /// The variables' tensors by name: they change as training goes on.
    pub fn tensors(&self) -> HashMap<String, Tensor> {
        let trained = self.trained.iter().map(|p| (p.name.clone(), p.var.as_tensor().clone()));
        trained.chain(self.statistics.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone()))).collect()
    }

    /// Copies of the variables called `names`, cut from the graph.
    ///
    /// # Errors
    /// No memory.
    pub fn copies<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<HashMap<String, Tensor>> {
        let all = self.tensors();
        let found = names.filter_map(|name| all.get(name).map(|tensor| (name, tensor)));
        found.map(|(name, tensor)| Ok((name.to_owned(), tensor.detach().copy()?))).collect()
    }

    /// What draws them.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Where the variables are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    fn all(&self) -> impl Iterator<Item = (&String, &Var)> {
        self.trained.iter().map(|parameter| (&parameter.name, &parameter.var)).chain(&self.statistics)
    }

    /// A copy of everything, by name: parameters and running statistics.
    ///
    /// # Errors
    /// No memory for the copy.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        self.all().map(|(name, var)| Ok((name.clone(), var.as_tensor().detach().copy()?))).collect()
    }

    /// Puts back a state as [`Parameters::state`] gives it, of the same parameters.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first tensor that is missing; candle's error for one of another shape.
    pub fn set_state<'a>(&self, state: impl Fn(&str) -> Option<&'a Tensor>) -> Result<()> {
        for (name, var) in self.all() {
            let tensor = state(name).ok_or_else(|| Error::argument("state", format!("a tensor {name}"), "none"))?;
            var.set(tensor)?;
        }
        Ok(())
    }

    /// Names, shapes, rates and decays of what is trained: part of a run's fingerprint.
    pub(super) fn fingerprint(&self) -> String {
        let one = |parameter: &TrainedParameter| {
            let TrainedParameter { name, var, rate, weight_decay } = parameter;
            let shape = var.dims().iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
            format!("{name} ({shape}), rate {rate}, decay {weight_decay}\n")
        };
        self.trained.iter().map(one).collect()
    }
}
