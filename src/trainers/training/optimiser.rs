//! Adam (Kingma and Ba 2015, <https://arxiv.org/abs/1412.6980>) with a learning rate a parameter, as `torch.optim.Adam`;
//! with decoupled weight decay (Loshchilov and Hutter 2019) as `torch.optim.AdamW`.
//!
//! candle-nn's `AdamW` gives the same numbers by some fifteen passes over memory on one thread, for each of which a
//! tensor is made: about a second a step for the 86 million parameters of ViT-B. Here a step is three passes in place,
//! spread over threads. Elsewhere than on the processor the steps are candle's own operations.

use crate::error::{Error, Result};
use crate::ops::values;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, InplaceOp2, InplaceOp3, Layout, Storage, Tensor, Var};
use rayon::prelude::*;

/// Values that a thread takes at a time.
const PIECE: usize = 64 * 1024;

/// A parameter to be trained.
#[derive(Clone, Debug)]
pub struct TrainedParameter {
    /// What messages call it.
    pub name: String,
    /// Its value.
    pub var: Var,
    /// A factor on the step's learning rate: 1, or less for layers near the input.
    pub rate: f64,
    /// Decoupled weight decay, in units of the learning rate.
    pub weight_decay: f64,
}

/// Adam and its two moving averages a parameter.
#[derive(Debug)]
pub struct Adam {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of their squares.
    pub beta2: f64,
    /// Added to the root of the latter.
    pub eps: f64,
    step: u64,
    parameters: Vec<(TrainedParameter, Tensor, Tensor)>,
}

impl Adam {
    /// With PyTorch's settings: betas 0.9 and 0.999, eps 1e-8.
    ///
    /// # Errors
    /// No memory for the averages.
    pub fn new(parameters: Vec<TrainedParameter>) -> Result<Self> {
        let with_averages = |parameter: TrainedParameter| {
            let zeros = || parameter.var.as_tensor().zeros_like();
            let (mean, square) = (zeros()?, zeros()?);
            Ok((parameter, mean, square))
        };
        let parameters = parameters.into_iter().map(with_averages).collect::<Result<_>>()?;
        Ok(Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, step: 0, parameters })
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// The parameters.
    pub fn parameters(&self) -> impl Iterator<Item = &TrainedParameter> {
        self.parameters.iter().map(|(parameter, _, _)| parameter)
    }

    /// The two averages of each parameter, by its name: `mean.*` and `square.*`.
    pub fn averages(&self) -> impl Iterator<Item = (String, &Tensor)> {
        self.parameters.iter().flat_map(|(parameter, mean, square)| {
            [(format!("mean.{}", parameter.name), mean), (format!("square.{}", parameter.name), square)]
        })
    }

    /// Goes on after `step` steps with averages as [`Adam::averages`] gave them.
    ///
    /// # Errors
    /// [`Error::Argument`] naming an average that is missing or has another shape.
    pub fn resume(&mut self, step: u64, averages: impl Fn(&str) -> Option<Tensor>) -> Result<()> {
        for (parameter, mean, square) in &mut self.parameters {
            for (name, average) in [("mean", mean), ("square", square)] {
                let name = format!("{name}.{}", parameter.name);
                match averages(&name).filter(|found| found.dims() == average.dims()) {
                    // A copy: steps are taken in place.
                    Some(found) => *average = found.copy()?,
                    None => {
                        let expected = format!("{name} of shape {:?}", average.dims());
                        return Err(Error::argument("state of Adam", expected, "none"));
                    }
                }
            }
        }
        self.step = step;
        Ok(())
    }

    /// The length of all `gradients` as one vector.
    ///
    /// # Errors
    /// [`Error::Tensor`] from candle.
    pub fn norm(&self, gradients: &GradStore) -> Result<f64> {
        let mut sum = 0.0;
        for (parameter, _, _) in &self.parameters {
            if let Some(gradient) = gradients.get(&parameter.var) {
                sum += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        Ok(sum.sqrt())
    }

    /// The first parameter with a gradient that is not finite.
    ///
    /// # Errors
    /// [`Error::Tensor`] from candle.
    pub fn not_finite(&self, gradients: &GradStore) -> Result<Option<&str>> {
        let all =
            self.parameters.iter().filter_map(|(parameter, _, _)| Some((parameter, gradients.get(&parameter.var)?)));
        // On a device each look at a number is a wait: one for all, where all is well.
        let mut sum: Option<Tensor> = None;
        for (_, gradient) in all.clone().filter(|(_, gradient)| !is_in_memory(gradient)) {
            let zero = zero_if_finite(gradient)?;
            sum = Some(sum.map_or(Ok(zero.clone()), |sum| sum + zero)?);
        }
        let is_well = sum.map_or(Ok(true), |sum| sum.to_scalar::<f32>().map(|sum| sum == 0.0))?;
        for (parameter, gradient) in all {
            if (!is_well || is_in_memory(gradient)) && !is_finite(gradient)? {
                return Ok(Some(&parameter.name));
            }
        }
        Ok(None)
    }

    /// One step down the `gradients` at learning rate `rate`.
    ///
    /// ```
    /// use candle_core::{Device, Var};
    /// use wider_clip::training::{Adam, TrainedParameter};
    /// # fn main() -> wider_clip::error::Result<()> {
    /// let x = Var::new(&[3f32, -2.0], &Device::Cpu)?;
    /// let parameter = TrainedParameter { name: "x".into(), var: x.clone(), rate: 1.0, weight_decay: 0.0 };
    /// let mut adam = Adam::new(vec![parameter])?;
    /// adam.step(&x.sqr()?.sum_all()?.backward()?, 0.1)?;
    /// // The first step has the length of the learning rate, whatever the gradient.
    /// for (found, expected) in x.to_vec1::<f32>()?.iter().zip([2.9, -1.9]) {
    ///     assert!((found - expected).abs() < 1e-6);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] naming a parameter without a gradient: something cut the graph.
    pub fn step(&mut self, gradients: &GradStore, rate: f64) -> Result<()> {
        self.scaled_step(gradients, rate, 1.0)
    }

    /// [`Adam::step`] with all gradients multiplied by `scale`: what clips their length.
    ///
    /// # Errors
    /// As for [`Adam::step`].
    pub fn scaled_step(&mut self, gradients: &GradStore, rate: f64, scale: f64) -> Result<()> {
        if let Some((parameter, _, _)) = self.parameters.iter().find(|(p, _, _)| gradients.get(&p.var).is_none()) {
            return Err(Error::argument(
                "gradients",
                "one for every parameter",
                format!("none for {}", parameter.name),
            ));
        }
        self.step += 1;
        let correct = |beta: f64| 1.0 - beta.powf(self.step as f64);
        let (first, second) = (correct(self.beta1), correct(self.beta2));
        for (parameter, mean, square) in &mut self.parameters {
            let Some(gradient) = gradients.get(&parameter.var) else { continue };
            let scaled;
            let gradient = if scale == 1.0 {
                gradient
            } else {
                scaled = (gradient * scale)?;
                &scaled
            };
            let rate = rate * parameter.rate;
            let update = Update {
                shrink: 1.0 - rate * parameter.weight_decay,
                rate: rate / first,
                root: second.sqrt(),
                eps: self.eps,
            };
            let value = parameter.var.as_tensor();
            if value.device().is_cpu() && value.dtype() == DType::F32 {
                let gradient = gradient.contiguous()?;
                mean.inplace_op2(&gradient, &Average { keep: self.beta1, square: false })?;
                square.inplace_op2(&gradient, &Average { keep: self.beta2, square: true })?;
                value.inplace_op3(mean, square, &update)?;
            } else {
                *mean = ((&*mean * self.beta1)? + (gradient * (1.0 - self.beta1))?)?.detach();
                *square = ((&*square * self.beta2)? + (gradient.sqr()? * (1.0 - self.beta2))?)?.detach();
                let below = ((square.sqrt()? / update.root)? + update.eps)?;
                let step = (mean.div(&below)? * update.rate)?;
                parameter.var.set(&((value.detach() * update.shrink)? - step)?)?;
            }
        }
        Ok(())
    }
}

/// Adds `part`, multiplied by `weight`, to the gradients of `parameters` in `total`.
///
/// # Errors
/// [`Error::Tensor`] from candle.
pub fn add_gradients(
    total: Option<GradStore>,
    mut part: GradStore,
    weight: f64,
    parameters: &[TrainedParameter],
) -> Result<GradStore> {
    let mut sums = Vec::with_capacity(parameters.len());
    for TrainedParameter { var, .. } in parameters {
        let before = total.as_ref().and_then(|total| total.get(var));
        let now = part.remove(var).map(|gradient| gradient * weight).transpose()?;
        sums.push(match (before, now) {
            (Some(before), Some(now)) => Some((before + now)?),
            (before, now) => now.or(before.cloned()),
        });
    }
    let mut total = total.unwrap_or(part);
    for (parameter, sum) in parameters.iter().zip(sums) {
        if let Some(sum) = sum {
            total.insert(&parameter.var, sum);
        }
    }
    Ok(total)
}

fn is_in_memory(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}

/// The sum of all values times 0: NaN where one is not finite.
fn zero_if_finite(tensor: &Tensor) -> Result<Tensor> {
    Ok((tensor * 0.0)?.to_dtype(DType::F32)?.sum_all()?)
}

/// Whether all values are finite.
fn is_finite(tensor: &Tensor) -> Result<bool> {
    if is_in_memory(tensor) {
        let tensor = tensor.contiguous()?;
        let (storage, layout) = tensor.storage_and_layout();
        if let Storage::Cpu(storage) = &*storage {
            // The exponents of infinities and NaNs are the largest: without a branch a value.
            let largest = |piece: &[f32]| piece.iter().fold(0, |most: u32, x| most.max(x.to_bits() & 0x7fff_ffff));
            return Ok(values(storage, layout)?.par_chunks(PIECE).all(|piece| largest(piece) < 0x7f80_0000));
        }
    }
    Ok(zero_if_finite(tensor)?.to_scalar::<f32>()? == 0.0)
}

/// keep * average + (1 - keep) * gradient, or its square.
struct Average {
    keep: f64,
    square: bool,
}

impl InplaceOp2 for Average {
    fn name(&self) -> &'static str {
        "moving average"
    }

    fn cpu_fwd(
        &self,
        average: &mut CpuStorage,
        average_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let gradient = values(gradient, gradient_layout)?;
        let (keep, take) = (self.keep as f32, (1.0 - self.keep) as f32);
        let pieces = write(average, average_layout)?.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE));
        pieces.for_each(|(average, gradient)| match self.square {
            false => average.iter_mut().zip(gradient).for_each(|(a, g)| *a = keep * *a + take * g),
            true => average.iter_mut().zip(gradient).for_each(|(a, g)| *a = keep * *a + take * g * g),
        });
        Ok(())
    }
}

/// shrink * value - rate * mean / (sqrt(square) / root + eps).
struct Update {
    shrink: f64,
    rate: f64,
    root: f64,
    eps: f64,
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "step of Adam"
    }

    fn cpu_fwd(
        &self,
        value: &mut CpuStorage,
        value_layout: &Layout,
        mean: &CpuStorage,
        mean_layout: &Layout,
        square: &CpuStorage,
        square_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (mean, square) = (values(mean, mean_layout)?, values(square, square_layout)?);
        let (shrink, rate) = (self.shrink as f32, self.rate as f32);
        let (inverse, eps) = ((1.0 / self.root) as f32, self.eps as f32);
        let pieces = write(value, value_layout)?.par_chunks_mut(PIECE);
        pieces.zip(mean.par_chunks(PIECE)).zip(square.par_chunks(PIECE)).for_each(|((value, mean), square)| {
            for ((value, mean), square) in value.iter_mut().zip(mean).zip(square) {
                *value = shrink * *value - rate * mean / (square.sqrt() * inverse + eps);
            }
        });
        Ok(())
    }
}

/// The values of a contiguous tensor, to be written.
fn write<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> candle_core::Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => candle_core::bail!("expected a contiguous f32 tensor, found strides {:?}", layout.stride()),
    }
}
