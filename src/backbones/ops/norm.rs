//! Layer normalisation (Ba et al. 2016, <https://arxiv.org/abs/1607.06450>) with its gradient.
//!
//! candle-nn's fused `layer_norm` has no backward and its `layer_norm_slow` makes nine passes over memory on one thread.

use super::bf16::Written;
use super::product::column_sums;
use super::slices::{map1, map2, map3};
use super::{filled, require_f32, values};
use crate::error::{Error, Result};
use crate::simd::{Kernel, dispatch};
use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Shape, Tensor};
use std::mem::MaybeUninit;

/// Values that a thread takes at a time.
const PIECE: usize = 32 * 1024;

/// (x - mean) / sqrt(variance + eps) * `w` + `b` over the last axis, with gradients for all three.
///
/// Shapes: `x` (..., D), `w` (D,), `b` (D,). The variance divides by D. On processors mean and variance are taken in two
/// passes, so that a large mean costs no digits; candle's kernel for GPUs takes both in one.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use wider_clip::ops::layer_norm;
/// # fn main() -> wider_clip::error::Result<()> {
/// let x = Tensor::new(&[[1f32, 3.0]], &Device::Cpu)?;
/// let (w, b) = (Tensor::new(&[2f32, 2.0], &Device::Cpu)?, Tensor::new(&[0f32, 1.0], &Device::Cpu)?);
/// assert_eq!(layer_norm(&x, &w, &b, 0.0)?.to_vec2::<f32>()?, [[-2.0, 3.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] if the shapes do not fit, or a tensor on the processor is not f32.
pub fn layer_norm(x: &Tensor, w: &Tensor, b: &Tensor, eps: f64) -> Result<Tensor> {
    let dim = check(x, w, b)?;
    if !x.device().is_cpu() {
        let trained = x.track_op() || w.track_op() || b.track_op();
        return if trained { by_steps(x, w, b, eps) } else { Ok(candle_nn::ops::layer_norm(x, w, b, eps as f32)?) };
    }
    Ok(x.contiguous()?.apply_op3(&w.contiguous()?, &b.contiguous()?, LayerNorm { dim, eps: eps as f32 })?)
}

/// [`layer_norm`] of a frozen model on the processor, as the bf16 that a product after it takes; computed in f32.
///
/// # Errors
/// [`Error::Argument`] as for [`layer_norm`], and for something trained or on another device.
pub fn layer_norm_bf16(x: &Tensor, w: &Tensor, b: &Tensor, eps: f64) -> Result<Tensor> {
    let dim = check(x, w, b)?;
    if x.track_op() || w.track_op() || b.track_op() || !x.device().is_cpu() {
        let found = format!("something trained, or on {:?}", x.device().location());
        return Err(Error::argument("layer_norm_bf16", "frozen tensors on the processor", found));
    }
    let op = InBf16(LayerNorm { dim, eps: eps as f32 });
    Ok(x.contiguous()?.apply_op3_no_bwd(&w.contiguous()?, &b.contiguous()?, &op)?)
}

/// D, or an error unless the shapes fit and the tensors on the processor are f32.
fn check(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<usize> {
    let dim = x.dims().last().copied().unwrap_or(0);
    if dim == 0 || w.dims() != [dim] || b.dims() != [dim] {
        let found = format!("x {:?}, w {:?}, b {:?}", x.dims(), w.dims(), b.dims());
        return Err(Error::argument("layer_norm", "x (..., D), w (D,) and b (D,)", found));
    }
    if x.device().is_cpu() {
        for (what, tensor) in [("layer_norm, x", x), ("layer_norm, w", w), ("layer_norm, b", b)] {
            require_f32(what, tensor)?;
        }
    }
    Ok(dim)
}

/// The same by differentiable steps, in f32 within.
fn by_steps(x: &Tensor, w: &Tensor, b: &Tensor, eps: f64) -> Result<Tensor> {
    let wide = x.to_dtype(DType::F32)?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    let normed = centred.broadcast_div(&deviation)?.to_dtype(x.dtype())?;
    Ok(normed.broadcast_mul(w)?.broadcast_add(b)?)
}

struct LayerNorm {
    dim: usize,
    eps: f32,
}

impl LayerNorm {
    /// Values a task takes: whole rows.
    fn piece(&self) -> usize {
        (PIECE / self.dim).max(1) * self.dim
    }

    fn forward<T: Written>(&self, x: &[f32], w: &[f32], b: &[f32]) -> Vec<T> {
        let piece = self.piece();
        let write = |i: usize, y: &mut [MaybeUninit<T>]| {
            let x = &x[i * piece..][..y.len()];
            dispatch(Forward { x, w, b, y, eps: self.eps });
        };
        // SAFETY: `Forward` writes every value of `y`: pieces are whole rows, and so is `x`.
        unsafe { filled(x.len(), piece, write) }
    }
}

/// Written as bf16, without a gradient.
struct InBf16(LayerNorm);

impl CustomOp3 for InBf16 {
    fn name(&self) -> &'static str {
        "layer norm in bf16"
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
        let y = self.0.forward(values(x, x_layout)?, values(w, w_layout)?, values(b, b_layout)?);
        Ok((CpuStorage::BF16(y), x_layout.shape().clone()))
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer norm"
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
        let y = self.forward(values(x, x_layout)?, values(w, w_layout)?, values(b, b_layout)?);
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
        let piece = self.piece();
        let of_x = |x: &[f32], w: &[f32], gradient: &[f32]| {
            let of_piece = |i: usize, y: &mut [MaybeUninit<f32>]| {
                let (x, gradient) = (&x[i * piece..][..y.len()], &gradient[i * piece..][..y.len()]);
                dispatch(Backward { x, w: Some(w), gradient, y, op: self });
            };
            // SAFETY: `Backward` writes every value of `y`: pieces are whole rows, and so is `x`.
            unsafe { filled(x.len(), piece, of_piece) }
        };
        // The gradient times the normalised x, to be summed over rows.
        let of_w = |x: &[f32], gradient: &[f32]| {
            let of_piece = |i: usize, y: &mut [MaybeUninit<f32>]| {
                let (x, gradient) = (&x[i * piece..][..y.len()], &gradient[i * piece..][..y.len()]);
                dispatch(Backward { x, w: None, gradient, y, op: self });
            };
            // SAFETY: as above.
            let products = unsafe { filled(x.len(), piece, of_piece) };
            (column_sums(&products, self.dim), Shape::from(self.dim))
        };
        let of_b = |gradient: &[f32]| (column_sums(gradient, self.dim), Shape::from(self.dim));
        let (x_detached, gradient) = (x.detach(), gradient.detach());
        let x_gradient = || {
            let shape = x.shape();
            map3(&x_detached, &w.detach(), &gradient, |x, w, g| (of_x(x, w, g), shape.clone()))
        };
        Ok((
            x.track_op().then(x_gradient).transpose()?,
            w.track_op().then(|| map2(&x_detached, &gradient, of_w)).transpose()?,
            b.track_op().then(|| map1(&gradient, of_b)).transpose()?,
        ))
    }
}

/// Side by side sums, so that a long chain of additions does not wait for itself.
const LANES: usize = 16;

/// Sum of `term(i)` for i below `n`.
#[inline(always)]
fn sum(n: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let whole = n / LANES * LANES;
    let mut from = 0;
    while from < whole {
        for lane in 0..LANES {
            lanes[lane] += term(from + lane);
        }
        from += LANES;
    }
    lanes.iter().sum::<f32>() + (whole..n).map(term).sum::<f32>()
}

/// Mean and 1 / sqrt(variance + eps) of a row.
#[inline(always)]
fn moments(row: &[f32], eps: f32) -> (f32, f32) {
    let n = row.len();
    let mean = sum(n, |i| row[i]) / n as f32;
    let variance = sum(n, |i| (row[i] - mean) * (row[i] - mean)) / n as f32;
    (mean, 1.0 / (variance + eps).sqrt())
}

struct Forward<'a, T> {
    x: &'a [f32],
    w: &'a [f32],
    b: &'a [f32],
    y: &'a mut [MaybeUninit<T>],
    eps: f32,
}

impl<T: Written> Kernel for Forward<'_, T> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let dim = self.w.len();
        for (x, y) in self.x.chunks_exact(dim).zip(self.y.chunks_exact_mut(dim)) {
            let (mean, scale) = moments(x, self.eps);
            for (((y, x), w), b) in y.iter_mut().zip(x).zip(self.w).zip(self.b) {
                y.write(T::of((x - mean) * scale * w + b));
            }
        }
    }
}

/// The gradient of x where `w` is given: scale (g - mean(g) - n mean(g n)) with g = gradient * w and n the normalised
/// row; else gradient * n.
struct Backward<'a> {
    x: &'a [f32],
    w: Option<&'a [f32]>,
    gradient: &'a [f32],
    y: &'a mut [MaybeUninit<f32>],
    op: &'a LayerNorm,
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Backward { x, w, gradient, y, op: &LayerNorm { dim, eps } } = self;
        for ((x, g), y) in x.chunks_exact(dim).zip(gradient.chunks_exact(dim)).zip(y.chunks_exact_mut(dim)) {
            let (mean, scale) = moments(x, eps);
            let Some(w) = w else {
                for ((y, x), g) in y.iter_mut().zip(x).zip(g) {
                    y.write(g * (x - mean) * scale);
                }
                continue;
            };
            let first = sum(dim, |i| g[i] * w[i]) / dim as f32;
            let second = sum(dim, |i| g[i] * w[i] * (x[i] - mean) * scale) / dim as f32;
            for (((y, x), g), w) in y.iter_mut().zip(x).zip(g).zip(w) {
                y.write(scale * (g * w - first - (x - mean) * scale * second));
            }
        }
    }
}
