//! How a forward pass behaves: reading features, or training with the noise of the original recipes.

use crate::error::Result;
use crate::random::Random;
use candle_core::Tensor;

/// How a forward pass behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Mode {
    /// Features as they are read: no noise, batch normalisation by its running statistics.
    #[default]
    Eval,
    /// Training: batch normalisation by the batch's statistics (which move the running ones), and noise.
    Train(Noise),
}

/// The noise of a training step. The default is none, as in the study.
///
/// What is dropped follows from `seed`, `step` and the place in the network alone, so that a resumed run drops the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// Part of the values set to 0 where the originals have dropout (Srivastava et al. 2014), from 0 to below 1.
    pub dropout: f64,
    /// Part of the images that skip the last residual branch (stochastic depth, Huang et al. 2016), from 0 to below 1;
    /// it falls linearly to 0 at the first branch.
    pub drop_path: f64,
    /// The run's seed.
    pub seed: u64,
    /// The step's number in the run.
    pub step: u64,
}

impl Mode {
    /// Training without noise.
    pub const QUIET: Mode = Mode::Train(Noise { dropout: 0.0, drop_path: 0.0, seed: 0, step: 0 });

    /// Training?
    pub fn is_train(self) -> bool {
        matches!(self, Mode::Train(_))
    }

    /// Whether nothing is dropped: branches may then end in the pass that adds them.
    pub(super) fn is_quiet(self) -> bool {
        match self {
            Mode::Eval => true,
            Mode::Train(noise) => noise.dropout <= 0.0 && noise.drop_path <= 0.0,
        }
    }

    /// `x` (B, ...) of residual branch `branch` of `n`: whole images are set to 0 and the rest scaled up, so that the
    /// mean stays.
    pub(super) fn drop_path(self, x: Tensor, branch: usize, n: usize) -> Result<Tensor> {
        let batch = x.dim(0)?;
        let Some(factors) = self.path_factors(batch, branch, n) else { return Ok(x) };
        let mut shape = vec![1; x.rank()];
        shape[0] = batch;
        let factors = Tensor::from_vec(factors, shape, x.device())?.to_dtype(x.dtype())?;
        Ok(x.broadcast_mul(&factors)?)
    }

    /// What [`Mode::drop_path`] multiplies each of `batch` images by, if it does.
    pub(super) fn path_factors(self, batch: usize, branch: usize, n: usize) -> Option<Vec<f32>> {
        let Mode::Train(noise) = self else { return None };
        let rate = noise.drop_path * branch as f64 / n.saturating_sub(1).max(1) as f64;
        (rate > 0.0).then(|| noise.mask("drop path", branch as u64, batch, rate))
    }

    /// `x` with values set to 0 and the rest scaled up, at the `place`-th dropout of the network, below 2^16.
    ///
    /// # Errors
    /// No memory.
    pub fn dropout(self, x: Tensor, place: usize) -> Result<Tensor> {
        let Mode::Train(noise) = self else { return Ok(x) };
        if noise.dropout <= 0.0 {
            return Ok(x);
        }
        let mask = noise.mask("dropout", place as u64, x.elem_count(), noise.dropout);
        let mask = Tensor::from_vec(mask, x.dims(), x.device())?.to_dtype(x.dtype())?;
        Ok((x * mask)?)
    }
}

impl Noise {
    /// `n` values, 0 with probability `rate` and else 1 / (1 - rate).
    fn mask(&self, purpose: &str, place: u64, n: usize, rate: f64) -> Vec<f32> {
        let mut random = Random::new(purpose, self.seed, (self.step << 16) | place);
        let kept = (1.0 / (1.0 - rate)) as f32;
        (0..n).map(|_| if random.unit() < rate { 0.0 } else { kept }).collect()
    }
}
