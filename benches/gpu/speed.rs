//! Seconds of a forward pass and of a training step, the device waited for only between runs of many.

use crate::random::random_weights;
use crate::{Rows, memory};
use std::collections::HashMap;
use std::time::Instant;
use wider_clip::candle_core::{DType, Device, Tensor};
use wider_clip::candle_nn::{VarBuilder, loss::cross_entropy};
use wider_clip::error::{Error, Result};
use wider_clip::models::{Architecture, Backbone, Mode};
use wider_clip::training::{Adam, Classifier, ClassifierParams, Head};

const CLASSES: usize = 10;
/// Passes before anything is measured.
const WARM_UP: usize = 3;
/// Runs, of which the median is told.
const RUNS: usize = 3;

/// A model with random weights on the device, and what was built from them last.
pub struct Loaded {
    architecture: Architecture,
    pooling: String,
    size: usize,
    device: Device,
    /// f32, on the processor.
    weights: HashMap<String, Tensor>,
    frozen: Option<(DType, Box<dyn Backbone>)>,
    trained: Option<(DType, Classifier, Adam)>,
}

/// Seconds of one `step`: the median of [`RUNS`] runs, which together take about `budget` seconds.
pub fn seconds(device: &Device, budget: f64, mut step: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut run = |n: usize| -> Result<f64> {
        let start = Instant::now();
        for _ in 0..n {
            step()?;
        }
        device.synchronize()?;
        Ok(start.elapsed().as_secs_f64() / n as f64)
    };
    let mut once = f64::INFINITY;
    for _ in 0..WARM_UP {
        once = once.min(run(1)?);
    }
    let n = (budget / RUNS as f64 / once).clamp(1.0, 500.0) as usize;
    let mut runs = (0..RUNS).map(|_| run(n)).collect::<Result<Vec<_>>>()?;
    runs.sort_by(f64::total_cmp);
    Ok(runs[RUNS / 2])
}

impl Loaded {
    pub fn new(architecture: &str, pooling: &str, size: usize, device: &Device) -> Result<Loaded> {
        let architecture = Architecture::named(architecture)?.with_image_size(size);
        let weights = random_weights(&architecture.parameters());
        let pooling = pooling.to_string();
        Ok(Loaded { architecture, pooling, size, device: device.clone(), weights, frozen: None, trained: None })
    }

    fn images(&self, batch: usize) -> Result<Tensor> {
        Ok(Tensor::rand(-2f32, 2f32, (batch, 3, self.size, self.size), &self.device)?)
    }

    fn row(&self, seconds: f64) -> Rows {
        let peak = memory::peak(&self.device).map_or("none".into(), |bytes| bytes.to_string());
        vec![vec![seconds.to_string(), peak]]
    }

    /// Frozen features of a batch of f32 images that lie on the device.
    pub fn forward(&mut self, batch: usize, dtype: DType, budget: f64) -> Result<Rows> {
        self.trained = None;
        if self.frozen.as_ref().is_none_or(|(of, _)| *of != dtype) {
            self.frozen = None;
            let there = |(name, t): (&String, &Tensor)| Ok((name.clone(), t.to_device(&self.device)?.to_dtype(dtype)?));
            let weights = self.weights.iter().map(there).collect::<Result<_>>()?;
            let model = self.architecture.build(VarBuilder::from_tensors(weights, dtype, &self.device))?;
            self.frozen = Some((dtype, model));
        }
        let images = self.images(batch)?;
        let (device, Some((_, model))) = (&self.device, &self.frozen) else { return Ok(Rows::new()) };
        memory::reset_peak(device);
        let taken = seconds(device, budget, || {
            model.forward_features(&images)?;
            Ok(())
        })?;
        Ok(self.row(taken))
    }

    /// Features, a new head, cross-entropy, backward, Adam.
    pub fn train(&mut self, batch: usize, dtype: DType, budget: f64) -> Result<Rows> {
        self.frozen = None;
        if self.trained.as_ref().is_none_or(|(of, ..)| *of != dtype) {
            self.trained = None;
            self.trained = Some(self.classifier(dtype)?);
        }
        let images = self.images(batch)?;
        let labels: Vec<u32> = (0..batch).map(|i| (i % CLASSES) as u32).collect();
        let labels = Tensor::new(labels, &self.device)?;
        let (device, Some((_, model, adam))) = (&self.device, &mut self.trained) else { return Ok(Rows::new()) };
        memory::reset_peak(device);
        let taken = seconds(device, budget, || {
            let loss = cross_entropy(&model.forward(&images, Mode::QUIET)?, &labels)?;
            adam.step(&loss.backward()?, 1e-5)
        })?;
        Ok(self.row(taken))
    }

    fn classifier(&self, dtype: DType) -> Result<(DType, Classifier, Adam)> {
        let device = &self.device;
        let params = ClassifierParams {
            architecture: &self.architecture,
            pooling: &self.pooling,
            dim: self.dim()?,
            n_classes: CLASSES,
            head: Head::Torch,
            seed: 0,
            layer_decay: 1.0,
            weight_decay: 0.0,
        };
        let model = Classifier::new(&params, &self.weights, device)?.in_precision(dtype)?;
        let adam = Adam::new(model.parameters().to_vec())?;
        Ok((dtype, model, adam))
    }

    /// Length of the feature, from the features of no image.
    fn dim(&self) -> Result<usize> {
        let model =
            self.architecture.build(VarBuilder::from_tensors(self.weights.clone(), DType::F32, &Device::Cpu))?;
        let none = Tensor::zeros((0, 3, self.size, self.size), DType::F32, &Device::Cpu)?;
        let features = model.forward_features(&none)?;
        let found = features.iter().find(|(name, _)| *name == self.pooling);
        Ok(found
            .ok_or_else(|| Error::argument("pooling", "a feature of the model", self.pooling.as_str()))?
            .1
            .dim(1)?)
    }
}
