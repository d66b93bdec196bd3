//! Batch normalisation (Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>) and the activation behind it, with
//! gradients, on channels-last maps.
//!
//! In training a convolutional network spends more time in its normalisations and activations than in its products:
//! they are passes over memory. Here there are two forward (statistics; result) and two backward (sums; gradient), and
//! nothing is kept but the input. candle-nn's `BatchNorm` makes some fifteen on one thread.

use super::slices::{map1, map2, map3};
use super::{Activation, filled, require_f32, values};
use crate::error::{Error, Result};
use crate::simd::{Kernel, dispatch, multiply_add};
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Values that a thread takes at a time.
const PIECE: usize = 32 * 1024;

/// Mean and variance of each channel over the pixels of a batch, both (C,), without a graph.
#[derive(Clone, Debug)]
pub struct Moments {
    /// The mean.
    pub mean: Tensor,
    /// The variance that divides by n - 1, which running statistics take; by n if n is 1.
    pub variance: Tensor,
}

/// `activation((x - mean) / sqrt(variance + eps) * w + b)` by the batch's own statistics, with gradients for `x`, `w` and
/// `b`, and those statistics.
///
/// Shapes: `x` (B, H, W, C), `w` and `b` (C,). Normalising, the variance divides by n.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use wider_clip::ops::{Activation, batch_norm};
/// # fn main() -> wider_clip::error::Result<()> {
/// let x = Tensor::new(&[[[[1f32], [3.0]]]], &Device::Cpu)?;
/// let (w, b) = (Tensor::new(&[2f32], &Device::Cpu)?, Tensor::new(&[1f32], &Device::Cpu)?);
/// let (y, moments) = batch_norm(&x, &w, &b, 0.0, Activation::Identity)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [-1.0, 3.0]);
/// assert_eq!((moments.mean.to_vec1::<f32>()?, moments.variance.to_vec1::<f32>()?), (vec![2.0], vec![2.0]));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] if the shapes do not fit, there is no pixel, or a tensor on the processor is not f32.
pub fn batch_norm(x: &Tensor, w: &Tensor, b: &Tensor, eps: f64, activation: Activation) -> Result<(Tensor, Moments)> {
    let channels = check(x, w, b)?;
    let n = x.elem_count() / channels;
    if n == 0 {
        return Err(Error::argument("batch_norm, x", "at least one pixel", format!("{:?}", x.dims())));
    }
    let unbiased = n as f64 / n.saturating_sub(1).max(1) as f64;
    if !x.device().is_cpu() {
        let wide = x.reshape((n, channels))?.to_dtype(DType::F32)?;
        let mean = wide.mean(0)?;
        let centred = wide.broadcast_sub(&mean)?;
        let variance = centred.sqr()?.mean(0)?;
        let normed = centred.broadcast_div(&(&variance + eps)?.sqrt()?)?.to_dtype(x.dtype())?;
        let y = activation.apply_tensor(&normed.broadcast_mul(w)?.broadcast_add(b)?)?;
        let moments = Moments { mean: mean.detach(), variance: (variance.detach() * unbiased)? };
        return Ok((y.reshape(x.shape())?, moments));
    }
    let x = x.contiguous()?;
    let moments = moments_of(&x, channels)?;
    let (mean, variance) = (moments.get(0)?, moments.get(1)?);
    let norm = Norm::new(&mean, &variance, eps, activation, true)?;
    let y = x.apply_op3(&w.contiguous()?, &b.contiguous()?, norm)?;
    Ok((y, Moments { mean, variance: (variance * unbiased)? }))
}

/// The same by the statistics in `moments`, which are taken as constants.
///
/// # Errors
/// [`Error::Argument`] if the shapes do not fit, or a tensor on the processor is not f32.
pub fn batch_norm_running(
    x: &Tensor,
    w: &Tensor,
    b: &Tensor,
    moments: &Moments,
    eps: f64,
    activation: Activation,
) -> Result<Tensor> {
    let channels = check(x, w, b)?;
    let (mean, variance) = (moments.mean.detach(), moments.variance.detach());
    if mean.dims() != [channels] || variance.dims() != [channels] {
        let found = format!("mean {:?}, variance {:?}", mean.dims(), variance.dims());
        return Err(Error::argument("batch_norm_running", format!("{channels} means and variances"), found));
    }
    if !x.device().is_cpu() {
        let scale = w.div(&(variance + eps)?.sqrt()?.to_dtype(w.dtype())?)?;
        let shift = (b - mean.to_dtype(w.dtype())?.mul(&scale)?)?;
        return activation.apply_tensor(&x.broadcast_mul(&scale)?.broadcast_add(&shift)?);
    }
    let norm = Norm::new(&mean, &variance, eps, activation, false)?;
    Ok(x.contiguous()?.apply_op3(&w.contiguous()?, &b.contiguous()?, norm)?)
}

/// The number of channels.
fn check(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<usize> {
    let channels = x.dims().last().copied().unwrap_or(0);
    if x.rank() != 4 || channels == 0 || w.dims() != [channels] || b.dims() != [channels] {
        let found = format!("x {:?}, w {:?}, b {:?}", x.dims(), w.dims(), b.dims());
        return Err(Error::argument("batch_norm", "x (B, H, W, C), w (C,) and b (C,)", found));
    }
    if x.device().is_cpu() {
        for (what, tensor) in [("batch_norm, x", x), ("batch_norm, w", w), ("batch_norm, b", b)] {
            require_f32(what, tensor)?;
        }
    }
    Ok(channels)
}

/// Pixels that are summed by themselves first: thousands of small terms added to one large f32 would lose digits.
pub(super) const SUMMED: usize = 256;

/// Values of whole pixels that a task takes.
pub(super) fn piece(channels: usize) -> usize {
    (PIECE / channels).clamp(1, SUMMED) * channels
}

/// Mean and variance (dividing by n) as (2, C). Pieces are taken by themselves in two passes and put together in f64
/// (Chan et al. 1979), so that neither a large mean nor a long sum costs digits.
fn moments_of(x: &Tensor, channels: usize) -> candle_core::Result<Tensor> {
    let of_slice = |x: &[f32]| {
        let pieces: Vec<_> = x.par_chunks(piece(channels)).map(|x| piece_moments(x, channels)).collect();
        (together(pieces, channels), Shape::from((2, channels)))
    };
    map1(&x.detach(), of_slice)
}

/// Number of pixels, and of each channel the mean and the sum of squared distances from it, (2, C): of so few pixels that
/// sums in f32 lose nothing.
pub(super) type PieceMoments = (usize, Vec<f32>);

/// The moments of one piece.
pub(super) fn piece_moments(x: &[f32], channels: usize) -> PieceMoments {
    let mut sums = vec![0f32; 2 * channels];
    dispatch(MomentsOf { x, sums: &mut sums });
    (x.len() / channels, sums)
}

/// Mean and variance (dividing by n) of pieces put together, (2, C).
pub(super) fn together(pieces: impl IntoIterator<Item = PieceMoments>, channels: usize) -> Vec<f32> {
    let (mut n, mut mean, mut square) = (0f64, vec![0f64; channels], vec![0f64; channels]);
    for (rows, sums) in pieces {
        let rows = rows as f64;
        for c in 0..channels {
            let apart = f64::from(sums[c]) - mean[c];
            mean[c] += apart * rows / (n + rows);
            square[c] += f64::from(sums[channels + c]) + apart * apart * n * rows / (n + rows);
        }
        n += rows;
    }
    let variance = square.into_iter().map(|square| square / n);
    mean.into_iter().chain(variance).map(|value| value as f32).collect()
}

/// Mean, and sum of squared distances from it, of each channel.
struct MomentsOf<'a> {
    x: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for MomentsOf<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (mean, square) = self.sums.split_at_mut(self.sums.len() / 2);
        let channels = mean.len();
        let rows = (self.x.len() / channels) as f32;
        for x in self.x.chunks_exact(channels) {
            mean.iter_mut().zip(x).for_each(|(mean, x)| *mean += x);
        }
        mean.iter_mut().for_each(|mean| *mean /= rows);
        for x in self.x.chunks_exact(channels) {
            for ((square, x), mean) in square.iter_mut().zip(x).zip(&*mean) {
                *square += (x - mean) * (x - mean);
            }
        }
    }
}

/// Normalisation by `mean` and `scale`, 1 / sqrt(variance + eps).
pub(super) struct Norm {
    pub(super) mean: Vec<f32>,
    pub(super) scale: Vec<f32>,
    pub(super) activation: Activation,
    /// The statistics are the batch's, so that the gradient runs through them too.
    pub(super) of_batch: bool,
}

impl Norm {
    fn new(mean: &Tensor, variance: &Tensor, eps: f64, activation: Activation, of_batch: bool) -> Result<Self> {
        Ok(Norm::of(mean.to_vec1()?, &variance.to_vec1::<f32>()?, eps, activation, of_batch))
    }

    pub(super) fn of(mean: Vec<f32>, variance: &[f32], eps: f64, activation: Activation, of_batch: bool) -> Self {
        let scale = |variance: &f32| (1.0 / (f64::from(*variance) + eps).sqrt()) as f32;
        Norm { mean, scale: variance.iter().map(scale).collect(), activation, of_batch }
    }

    /// Factor and shift of each channel, so that x * factor + shift is what the activation sees.
    pub(super) fn affine(&self, w: &[f32], b: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let factor: Vec<f32> = w.iter().zip(&self.scale).map(|(w, scale)| w * scale).collect();
        let shift = b.iter().zip(&self.mean).zip(&factor).map(|((b, mean), factor)| b - mean * factor).collect();
        (factor, shift)
    }

    /// Sums over pixels of g and of g times the normalised x, with g the gradient before the activation: (2, C).
    pub(super) fn sums(&self, x: &[f32], gradient: &[f32], affine: &(Vec<f32>, Vec<f32>)) -> Vec<f32> {
        let channels = self.mean.len();
        let piece = piece(channels);
        let of_piece = |(x, gradient): (&[f32], &[f32])| {
            let mut sums = vec![0f32; 2 * channels];
            dispatch(AddGradients { norm: self, affine, x, gradient, sums: &mut sums });
            sums
        };
        let pieces: Vec<_> = x.par_chunks(piece).zip(gradient.par_chunks(piece)).map(of_piece).collect();
        let mut sums = vec![0f64; 2 * channels];
        for piece in pieces {
            sums.iter_mut().zip(piece).for_each(|(sum, piece)| *sum += f64::from(piece));
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }

    /// What the gradient loses through the statistics of `n` pixels: a part that is the same everywhere, and one for each
    /// unit of distance from the mean. Both are 0 where the statistics are constants.
    pub(super) fn through_statistics(&self, sums: &[f32], n: usize) -> (Vec<f32>, Vec<f32>) {
        let part = if self.of_batch { 1.0 / n as f32 } else { 0.0 };
        let (of_g, of_gx) = sums.split_at(self.mean.len());
        let second = of_gx.iter().zip(&self.scale).map(|(sum, scale)| sum * scale * part).collect();
        (of_g.iter().map(|sum| sum * part).collect(), second)
    }

    pub(super) fn input_gradient(
        &self,
        x: &[f32],
        gradient: &[f32],
        affine: &(Vec<f32>, Vec<f32>),
        sums: &[f32],
    ) -> Vec<f32> {
        let channels = self.mean.len();
        let piece = piece(channels);
        let (first, second) = self.through_statistics(sums, x.len() / channels);
        let write = |i: usize, y: &mut [MaybeUninit<f32>]| {
            let (x, gradient) = (&x[i * piece..][..y.len()], &gradient[i * piece..][..y.len()]);
            dispatch(InputGradient { norm: self, affine, x, gradient, first: &first, second: &second, y });
        };
        // SAFETY: `InputGradient` writes every value of `y`: pieces are whole pixels, and so is `x`.
        unsafe { filled(x.len(), piece, write) }
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        "batch norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = values(x, x_layout)?;
        let affine = self.affine(values(w, w_layout)?, values(b, b_layout)?);
        let piece = piece(self.mean.len());
        let write = |i: usize, y: &mut [MaybeUninit<f32>]| {
            dispatch(Forward { norm: self, affine: &affine, x: &x[i * piece..][..y.len()], y });
        };
        // SAFETY: `Forward` writes every value of `y`: pieces are whole pixels, and so is `x`.
        let y = unsafe { filled(x.len(), piece, write) };
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let affine = self.affine(&w.to_vec1::<f32>()?, &b.to_vec1::<f32>()?);
        let channels = self.mean.len();
        let (x_values, gradient) = (x.detach(), gradient.detach());
        let of_both = |x: &[f32], gradient: &[f32]| (self.sums(x, gradient, &affine), Shape::from((2, channels)));
        let sums = map2(&x_values, &gradient, of_both)?;
        let of_x = |x: &[f32], gradient: &[f32], sums: &[f32]| {
            (self.input_gradient(x, gradient, &affine, sums), x_values.shape().clone())
        };
        Ok((
            x.track_op().then(|| map3(&x_values, &gradient, &sums, of_x)).transpose()?,
            w.track_op().then(|| sums.get(1)).transpose()?,
            b.track_op().then(|| sums.get(0)).transpose()?,
        ))
    }
}

/// x times a factor plus a shift, a pair a channel.
#[inline(always)]
pub(super) fn affine_row<const FMA: bool>(x: &[f32], (factor, shift): &(Vec<f32>, Vec<f32>), y: &mut [f32]) {
    for (((y, x), factor), shift) in y.iter_mut().zip(x).zip(factor).zip(shift) {
        *y = multiply_add::<FMA>(*x, *factor, *shift);
    }
}

struct Forward<'a> {
    norm: &'a Norm,
    affine: &'a (Vec<f32>, Vec<f32>),
    x: &'a [f32],
    y: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Forward { norm, affine: (factor, shift), x, y } = self;
        let channels = factor.len();
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            for (((y, x), factor), shift) in y.iter_mut().zip(x).zip(factor).zip(shift) {
                y.write(multiply_add::<FMA>(*x, *factor, *shift));
            }
            // SAFETY: the loop above wrote every value: x, factor and shift are as long as y.
            norm.activation.apply::<FMA>(unsafe { y.assume_init_mut() });
        }
    }
}

/// Adds g and g times the normalised x to `sums` (2, C).
struct AddGradients<'a> {
    norm: &'a Norm,
    affine: &'a (Vec<f32>, Vec<f32>),
    x: &'a [f32],
    gradient: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for AddGradients<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let AddGradients { norm, affine, x, gradient, sums } = self;
        let channels = norm.mean.len();
        let (of_g, of_gx) = sums.split_at_mut(channels);
        let (mut before, mut g) = (vec![0f32; channels], vec![0f32; channels]);
        for (x, gradient) in x.chunks_exact(channels).zip(gradient.chunks_exact(channels)) {
            affine_row::<FMA>(x, affine, &mut before);
            norm.activation.derive_into::<FMA>(&before, gradient, &mut g);
            of_g.iter_mut().zip(&g).for_each(|(sum, g)| *sum += g);
            for (((sum, x), g), mean) in of_gx.iter_mut().zip(x).zip(&g).zip(&norm.mean) {
                *sum = multiply_add::<FMA>(*g, x - mean, *sum);
            }
        }
        of_gx.iter_mut().zip(&norm.scale).for_each(|(sum, scale)| *sum *= scale);
    }
}

/// factor (g - first - (x - mean) second).
struct InputGradient<'a> {
    norm: &'a Norm,
    affine: &'a (Vec<f32>, Vec<f32>),
    x: &'a [f32],
    gradient: &'a [f32],
    first: &'a [f32],
    second: &'a [f32],
    y: &'a mut [MaybeUninit<f32>],
}

impl Kernel for InputGradient<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let InputGradient { norm, affine, x, gradient, first, second, y } = self;
        let channels = norm.mean.len();
        let (mut before, mut g) = (vec![0f32; channels], vec![0f32; channels]);
        let rows = x.chunks_exact(channels).zip(gradient.chunks_exact(channels)).zip(y.chunks_exact_mut(channels));
        for ((x, gradient), y) in rows {
            affine_row::<FMA>(x, affine, &mut before);
            norm.activation.derive_into::<FMA>(&before, gradient, &mut g);
            let constants = affine.0.iter().zip(first).zip(second).zip(&norm.mean);
            for (((y, x), g), (((factor, first), second), mean)) in y.iter_mut().zip(x).zip(&g).zip(constants) {
                y.write(factor * (g - first - (x - mean) * second));
            }
        }
    }
}
