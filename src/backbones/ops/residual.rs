//! The sum of a residual branch: x + gamma y.

use super::slices::{map1, map2};
use super::{filled, require_f32, values};
use crate::error::{Error, Result};
use crate::simd::{Kernel, dispatch};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Storage, Tensor};
use std::mem::MaybeUninit;

/// Values that a thread takes at a time.
const PIECE: usize = 32 * 1024;

/// `x + y`, or `x + gamma * y` with a factor a channel (layer scale, Touvron et al. 2021), with gradients for all.
///
/// Shapes: `x` and `y` (..., D), `gamma` (D,). candle's own sum runs on one thread.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::ops::residual;
/// # fn main() -> wider_clip::error::Result<()> {
/// let (x, y) = (Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?, Tensor::new(&[[10f32, 20.0]], &Device::Cpu)?);
/// let gamma = Tensor::new(&[1f32, 0.5], &Device::Cpu)?;
/// assert_eq!(residual(&x, &y, Some(&gamma))?.to_vec2::<f32>()?, [[11.0, 12.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] if the shapes do not fit, or a tensor on the processor is not f32.
pub fn residual(x: &Tensor, y: &Tensor, gamma: Option<&Tensor>) -> Result<Tensor> {
    check(x, y.dims(), gamma)?;
    if !x.device().is_cpu() {
        return Ok(match gamma {
            None => (x + y)?,
            Some(gamma) => (x + y.broadcast_mul(gamma)?)?,
        });
    }
    require_f32("residual, y", y)?;
    let (x, y) = (x.contiguous()?, y.contiguous()?);
    match gamma {
        None => Ok(x.apply_op2(&y, Residual)?),
        Some(gamma) => Ok(x.apply_op3(&y, &gamma.contiguous()?, Residual)?),
    }
}

/// An error unless `x` and a branch of shape `y` can be added, and what is on the processor is f32.
fn check(x: &Tensor, y: &[usize], gamma: Option<&Tensor>) -> Result<()> {
    let dim = x.dims().last().copied().unwrap_or(0);
    if x.dims() != y || dim == 0 || gamma.is_some_and(|gamma| gamma.dims() != [dim]) {
        let found = format!("x {:?}, y {y:?}, gamma {:?}", x.dims(), gamma.map(|gamma| gamma.dims()));
        return Err(Error::argument("residual", "x and y (..., D) and gamma (D,)", found));
    }
    if x.device().is_cpu() {
        require_f32("residual, x", x)?;
        gamma.map_or(Ok(()), |gamma| require_f32("residual, gamma", gamma))?;
    }
    Ok(())
}

/// What the result of a layer is added to in the pass that makes it: tensors on the processor without a gradient.
#[derive(Debug, Clone)]
pub(super) struct Base {
    x: Tensor,
    gamma: Option<Tensor>,
}

impl Base {
    /// For results of shape `y`; none where something is trained or elsewhere than on the processor.
    ///
    /// # Errors
    /// As for [`residual`].
    pub(super) fn new(x: &Tensor, y: &[usize], gamma: Option<&Tensor>) -> Result<Option<Base>> {
        check(x, y, gamma)?;
        if !x.device().is_cpu() || x.track_op() || gamma.is_some_and(Tensor::track_op) {
            return Ok(None);
        }
        Ok(Some(Base { x: x.contiguous()?, gamma: gamma.map(Tensor::contiguous).transpose()? }))
    }

    /// `f` of the values.
    pub(super) fn read<R>(&self, f: impl FnOnce(Onto) -> candle_core::Result<R>) -> candle_core::Result<R> {
        let (x, gamma) = (self.x.storage_and_layout(), self.gamma.as_ref().map(Tensor::storage_and_layout));
        let gamma = gamma.as_ref().map(|(storage, layout)| on_processor(storage, layout)).transpose()?;
        f(Onto { x: on_processor(&x.0, x.1)?, gamma })
    }
}

fn on_processor<'a>(storage: &'a Storage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    match storage {
        Storage::Cpu(storage) => values(storage, layout),
        _ => candle_core::bail!("expected a tensor on the processor"),
    }
}

/// The values of a [`Base`]: a branch y becomes x + gamma y.
#[derive(Clone, Copy)]
pub(super) struct Onto<'a> {
    x: &'a [f32],
    gamma: Option<&'a [f32]>,
}

impl<'a> Onto<'a> {
    /// What [`Onto::add`] adds `length` values to.
    #[inline(always)]
    pub(super) fn row(self, offset: usize, length: usize) -> &'a [f32] {
        &self.x[offset..][..length]
    }

    /// Some values of one row of y, which begin at `offset` of the whole and at `column` of the row. The same arithmetic as
    /// [`residual`]; to be called inside a [`Kernel`].
    #[inline(always)]
    pub(super) fn add(self, offset: usize, column: usize, y: &mut [f32]) {
        let x = self.row(offset, y.len());
        match self.gamma {
            None => y.iter_mut().zip(x).for_each(|(y, x)| *y += x),
            Some(gamma) => {
                let gamma = &gamma[column..][..y.len()];
                y.iter_mut().zip(x).zip(gamma).for_each(|((y, x), gamma)| *y = x + gamma * *y);
            }
        }
    }
}

struct Residual;

/// Values a task takes: whole rows of `dim`.
fn piece(dim: usize) -> usize {
    (PIECE / dim.max(1)).max(1) * dim.max(1)
}

/// x + gamma y, with no x: gamma y.
pub(super) fn scaled_sum(x: Option<&[f32]>, y: &[f32], gamma: Option<&[f32]>) -> Vec<f32> {
    let piece = piece(gamma.map_or(1, <[f32]>::len));
    let write = |i: usize, out: &mut [MaybeUninit<f32>]| {
        let (from, n) = (i * piece, out.len());
        dispatch(ScaledSum { x: x.map(|x| &x[from..][..n]), y: &y[from..][..n], gamma, out });
    };
    // SAFETY: `ScaledSum` writes every value of `out`: pieces are whole rows of gamma's length, and so is `y`.
    unsafe { filled(y.len(), piece, write) }
}

struct ScaledSum<'a> {
    x: Option<&'a [f32]>,
    y: &'a [f32],
    gamma: Option<&'a [f32]>,
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for ScaledSum<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let ScaledSum { x, y, gamma, out } = self;
        match (x, gamma) {
            (Some(x), None) => out.iter_mut().zip(x).zip(y).for_each(|((out, x), y)| {
                out.write(x + y);
            }),
            (x, Some(gamma)) => {
                let dim = gamma.len();
                for (i, (out, y)) in out.chunks_exact_mut(dim).zip(y.chunks_exact(dim)).enumerate() {
                    match x {
                        Some(x) => {
                            let x = &x[i * dim..][..dim];
                            out.iter_mut().zip(x).zip(y).zip(gamma).for_each(|(((out, x), y), gamma)| {
                                out.write(x + gamma * y);
                            });
                        }
                        None => out.iter_mut().zip(y).zip(gamma).for_each(|((out, y), gamma)| {
                            out.write(gamma * y);
                        }),
                    }
                }
            }
            (None, None) => out.iter_mut().zip(y).for_each(|(out, y)| {
                out.write(*y);
            }),
        }
    }
}

impl CustomOp2 for Residual {
    fn name(&self) -> &'static str {
        "residual sum"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let sum = scaled_sum(Some(values(x, x_layout)?), values(y, y_layout)?, None);
        Ok((CpuStorage::F32(sum), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        _sum: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((x.track_op().then(|| gradient.clone()), y.track_op().then(|| gradient.clone())))
    }
}

impl CustomOp3 for Residual {
    fn name(&self) -> &'static str {
        "residual sum with layer scale"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
        gamma: &CpuStorage,
        gamma_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let gamma = values(gamma, gamma_layout)?;
        let sum = scaled_sum(Some(values(x, x_layout)?), values(y, y_layout)?, Some(gamma));
        Ok((CpuStorage::F32(sum), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        gamma: &Tensor,
        _sum: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let detached = gradient.detach();
        let of_y = |g: &[f32], gamma: &[f32]| (scaled_sum(None, g, Some(gamma)), y.shape().clone());
        let of_gamma = |product: &[f32]| {
            let sums = super::product::column_sums(product, gamma.elem_count());
            (sums, gamma.shape().clone())
        };
        let gamma_gradient = || map1(&(&detached * y.detach())?, of_gamma);
        Ok((
            x.track_op().then(|| gradient.clone()),
            y.track_op().then(|| map2(&detached, &gamma.detach(), of_y)).transpose()?,
            gamma.track_op().then(gamma_gradient).transpose()?,
        ))
    }
}
