//! The variables of a network that is trained from nothing: an encoder, and what an objective puts onto it.

use crate::error::Result;
use crate::models::assemble::Parameter;
use crate::models::initial::glorot;
use crate::models::{Architecture, initial_weights};
use crate::optimiser::TrainedParameter;
use crate::random::{Random, truncated_normal};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use std::collections::{BTreeMap, HashMap};

/// Variables by name, in the order in which they were drawn.
pub struct Parameters {
    seed: u64,
    device: Device,
    weight_decay: f64,
    trained: Vec<TrainedParameter>,
    statistics: BTreeMap<String, Var>,
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
    /// None as yet. `weight_decay` is what matrices get; vectors, positions and single tokens get none.
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
        let token = ["pos_embed", "cls_token", "mask_token"].iter().any(|single| name.ends_with(single));
        let weight_decay = if var.rank() > 1 && !token { self.weight_decay } else { 0.0 };
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
}
