//! Non-overlapping patches as rows: with a matrix product behind them, the patch embedding of a transformer, the stem of
//! ConvNeXt and its downsampling convolutions.
//!
//! candle does the same by `reshape` and `permute`, one element at a time on one thread.

use super::{require_f32, values};
use crate::error::{Error, Result};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use rayon::prelude::*;

/// (B, C, H, W) to (B, H / P, W / P, C * P * P): every patch as one row, its values in the order of a convolution's
/// kernel (channel, row, column). Rows and columns that do not fill a patch are left out. With gradient.
///
/// # Errors
/// [`Error::Argument`] if `x` has not four axes, or no patch of side `patch` fits, or is on the processor and not f32.
pub fn patches(x: &Tensor, patch: usize) -> Result<Tensor> {
    let &[batch, channels, height, width] = x.dims() else { return Err(misfit(x, patch)) };
    cut(x, Cut { batch, channels, size: (height, width), patch, last: false })
}

/// (B, H, W, C) to (B, H / P, W / P, C * P * P), otherwise as [`patches`].
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::ops::merge_pixels;
/// # fn main() -> wider_clip::error::Result<()> {
/// // Two channels, 2 x 2 pixels: all of channel 0 first.
/// let x = Tensor::new(&[[[[0f32, 10.0], [1.0, 11.0]], [[2.0, 12.0], [3.0, 13.0]]]], &Device::Cpu)?;
/// let y = merge_pixels(&x, 2)?;
/// assert_eq!(y.dims(), [1, 1, 1, 8]);
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As for [`patches`].
pub fn merge_pixels(x: &Tensor, patch: usize) -> Result<Tensor> {
    let &[batch, height, width, channels] = x.dims() else { return Err(misfit(x, patch)) };
    cut(x, Cut { batch, channels, size: (height, width), patch, last: true })
}

fn misfit(x: &Tensor, patch: usize) -> Error {
    let expected = format!("four axes and sides of at least {} pixels", patch.max(1));
    Error::argument("patches", expected, format!("x {:?}, patches of {patch}", x.dims()))
}

fn cut(x: &Tensor, cut: Cut) -> Result<Tensor> {
    let Cut { batch, channels, size: (height, width), patch, last } = cut;
    if patch == 0 || height < patch || width < patch {
        return Err(misfit(x, patch));
    }
    if x.device().is_cpu() {
        require_f32("patches", x)?;
        return Ok(x.contiguous()?.apply_op1(cut)?);
    }
    let (rows, columns) = cut.grid();
    let (down, across) = if last { (1, 2) } else { (2, 3) };
    let x = x.narrow(down, 0, rows * patch)?.narrow(across, 0, columns * patch)?.contiguous()?;
    let (shape, order) = match last {
        false => ([batch, channels, rows, patch, columns, patch], [0, 2, 4, 1, 3, 5]),
        true => ([batch, rows, patch, columns, patch, channels], [0, 1, 3, 5, 2, 4]),
    };
    let x = x.reshape(&shape[..])?.permute(order)?.contiguous()?;
    Ok(x.reshape((batch, rows, columns, channels * patch * patch))?)
}

/// The sizes of a cut into patches.
#[derive(Clone, Copy)]
struct Cut {
    batch: usize,
    channels: usize,
    size: (usize, usize),
    patch: usize,
    /// Channels are the last axis of the input.
    last: bool,
}

impl Cut {
    fn grid(&self) -> (usize, usize) {
        (self.size.0 / self.patch, self.size.1 / self.patch)
    }

    /// Distance in the input between channels, rows and columns.
    fn strides(&self) -> (usize, usize, usize) {
        let (height, width) = self.size;
        if self.last { (1, width * self.channels, self.channels) } else { (height * width, width, 1) }
    }

    /// Calls `each` with (position in the input, position in the row) for every value of patch (`row`, `column`).
    #[inline(always)]
    fn walk(&self, (row, column): (usize, usize), mut each: impl FnMut(usize, usize)) {
        let (channel_step, row_step, column_step) = self.strides();
        let start = row * self.patch * row_step + column * self.patch * column_step;
        for c in 0..self.channels {
            for ky in 0..self.patch {
                let from = start + c * channel_step + ky * row_step;
                let to = (c * self.patch + ky) * self.patch;
                for kx in 0..self.patch {
                    each(from + kx * column_step, to + kx);
                }
            }
        }
    }
}

impl CustomOp1 for Cut {
    fn name(&self) -> &'static str {
        "patches"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = values(x, layout)?;
        let (rows, columns) = self.grid();
        let depth = self.channels * self.patch * self.patch;
        let image = self.channels * self.size.0 * self.size.1;
        let mut y = vec![0f32; self.batch * rows * columns * depth];
        y.par_chunks_mut((columns * depth).max(1)).enumerate().for_each(|(line, y)| {
            let x = &x[line / rows * image..][..image];
            for (column, y) in y.chunks_exact_mut(depth).enumerate() {
                self.walk((line % rows, column), |from, to| y[to] = x[from]);
            }
        });
        Ok((CpuStorage::F32(y), Shape::from((self.batch, rows, columns, depth))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let (rows, columns) = self.grid();
        let depth = self.channels * self.patch * self.patch;
        let image = self.channels * self.size.0 * self.size.1;
        let back = |gradient: &[f32]| {
            let mut y = vec![0f32; self.batch * image];
            y.par_chunks_mut(image.max(1)).zip(gradient.par_chunks((rows * columns * depth).max(1))).for_each(
                |(y, gradient)| {
                    for (i, gradient) in gradient.chunks_exact(depth).enumerate() {
                        self.walk((i / columns, i % columns), |from, to| y[from] = gradient[to]);
                    }
                },
            );
            (y, x.shape().clone())
        };
        Ok(Some(super::slices::map1(&gradient.detach(), back)?))
    }
}
