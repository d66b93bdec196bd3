//! A teacher: a network whose weights are a moving average of a student's (Tarvainen and Valpola 2017,
//! <https://arxiv.org/abs/1703.01780>), as DINO and data2vec have it.

use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::collections::{BTreeMap, HashMap};

/// The averaged weights, by the names of the student's.
pub struct Teacher {
    weights: BTreeMap<String, Tensor>,
    device: Device,
}

impl Teacher {
    /// Begins as a copy of `student`.
    pub fn new(student: HashMap<String, Tensor>, device: &Device) -> Self {
        Teacher { weights: student.into_iter().collect(), device: device.clone() }
    }

    /// teacher = momentum teacher + (1 - momentum) student, for every weight.
    ///
    /// # Errors
    /// [`Error::Argument`] naming a weight that the student lacks.
    pub fn follow(&mut self, student: &HashMap<String, Tensor>, momentum: f64) -> Result<()> {
        for (name, weight) in &mut self.weights {
            let Some(now) = student.get(name) else {
                return Err(Error::argument("student", format!("a weight {name}"), "none"));
            };
            *weight = ((&*weight * momentum)? + (now.detach() * (1.0 - momentum))?)?;
        }
        Ok(())
    }

    /// For the network to be built from: frozen, so that its passes keep no graph.
    pub fn builder(&self) -> VarBuilder<'static> {
        let weights = self.weights.iter().map(|(name, weight)| (name.clone(), weight.clone()));
        VarBuilder::from_tensors(weights.collect(), DType::F32, &self.device)
    }

    /// The weights.
    pub fn weights(&self) -> &BTreeMap<String, Tensor> {
        &self.weights
    }

    /// Puts back weights as [`Teacher::weights`] gave them.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first that is missing.
    pub fn set(&mut self, weights: impl Fn(&str) -> Option<Tensor>) -> Result<()> {
        for (name, weight) in &mut self.weights {
            *weight = weights(name)
                .ok_or_else(|| Error::argument("state of a teacher", format!("a tensor {name}"), "none"))?;
        }
        Ok(())
    }
}
