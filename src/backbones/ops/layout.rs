//! Between channels first (PyTorch's and candle's layout) and channels last (the layout of the kernels here).
//!
//! candle's own `permute` and `contiguous` walk one element at a time on one thread, at ten times the cost of the
//! depthwise convolution that follows.

use super::{require_f32, values};
use crate::error::{Error, Result};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use rayon::prelude::*;

/// Side of the squares that are turned at once: reads and writes both stay within a few cache lines.
const SQUARE: usize = 16;

/// NCHW to NHWC, contiguous, with gradient.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::ops::{to_channels_first, to_channels_last};
/// # fn main() -> wider_clip::error::Result<()> {
/// let x = Tensor::arange(0f32, 6.0, &Device::Cpu)?.reshape((1, 2, 1, 3))?;
/// let last = to_channels_last(&x)?;
/// assert_eq!(last.flatten_all()?.to_vec1::<f32>()?, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
/// assert_eq!(to_channels_first(&last)?.flatten_all()?.to_vec1::<f32>()?, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] if `x` has not four axes, or is on the processor and not f32.
pub fn to_channels_last(x: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = four_axes(x)?;
    if !x.device().is_cpu() {
        return Ok(x.permute((0, 2, 3, 1))?.contiguous()?);
    }
    let turned = x.contiguous()?.reshape((batch, channels, height * width))?.apply_op1(SwapAxes)?;
    Ok(turned.reshape((batch, height, width, channels))?)
}

/// NHWC to NCHW, contiguous, with gradient.
///
/// # Errors
/// As for [`to_channels_last`].
pub fn to_channels_first(x: &Tensor) -> Result<Tensor> {
    let (batch, height, width, channels) = four_axes(x)?;
    if !x.device().is_cpu() {
        return Ok(x.permute((0, 3, 1, 2))?.contiguous()?);
    }
    let turned = x.contiguous()?.reshape((batch, height * width, channels))?.apply_op1(SwapAxes)?;
    Ok(turned.reshape((batch, channels, height, width))?)
}

fn four_axes(x: &Tensor) -> Result<(usize, usize, usize, usize)> {
    if x.device().is_cpu() {
        require_f32("a batch of feature maps", x)?;
    }
    match *x.dims() {
        [a, b, c, d] => Ok((a, b, c, d)),
        _ => Err(Error::argument("a batch of feature maps", "four axes", format!("{:?}", x.dims()))),
    }
}

/// (B, M, N) to (B, N, M).
pub(super) fn swapped(x: &[f32], (batch, rows, columns): (usize, usize, usize)) -> Vec<f32> {
    assert_eq!(x.len(), batch * rows * columns, "values of {batch} x {rows} x {columns}");
    let mut y = vec![0f32; x.len()];
    // One task a band of output rows, which are columns of the input.
    let bands = columns.div_ceil(SQUARE).max(1);
    let mut tasks = Vec::with_capacity(batch * bands);
    for (image, plane) in y.chunks_mut((rows * columns).max(1)).enumerate() {
        tasks.extend(plane.chunks_mut((SQUARE * rows).max(1)).enumerate().map(|(band, out)| (image, band, out)));
    }
    tasks.into_par_iter().for_each(|(image, band, out)| {
        let first = band * SQUARE;
        let height = out.len() / rows;
        for start in (0..rows).step_by(SQUARE) {
            for row in start..rows.min(start + SQUARE) {
                let from = (image * rows + row) * columns + first;
                for (i, value) in x[from..from + height].iter().enumerate() {
                    out[i * rows + row] = *value;
                }
            }
        }
    });
    y
}

/// (B, M, N) to (B, N, M).
struct SwapAxes;

impl CustomOp1 for SwapAxes {
    fn name(&self) -> &'static str {
        "swap of the last two axes"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, rows, columns) = layout.shape().dims3()?;
        let y = swapped(values(x, layout)?, (batch, rows, columns));
        Ok((CpuStorage::F32(y), Shape::from((batch, columns, rows))))
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(grad.contiguous()?.apply_op1(SwapAxes)?))
    }
}
