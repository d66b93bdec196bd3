//! Features that keep where on a map something is.

use crate::error::{Error, Result};
use crate::ops::mean_pixels;
use candle_core::Tensor;

/// The feature of a coarse grid: `map` (B, H, W, C) is cut into `cells` x `cells` rectangles, and their means are laid
/// side by side, row by row: (B, `cells`^2 C). Gradients for `map`.
///
/// A mean over all of a map, or a class token, says what is there; this also says where. (The coarse level of spatial
/// pyramids, Lazebnik et al. 2006.) Where `cells` does not divide a side, rectangles overlap as those of PyTorch's
/// `adaptive_avg_pool2d` do: from the floor of i H / `cells` to the ceiling of (i + 1) H / `cells`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::models::grid_mean;
///
/// let map = Tensor::arange(0f32, 16.0, &Device::Cpu)?.reshape((1, 4, 4, 1))?;
/// assert_eq!(grid_mean(&map, 2)?.to_vec2::<f32>()?, [[2.5, 4.5, 10.5, 12.5]]);
/// assert_eq!(grid_mean(&map, 1)?.to_vec2::<f32>()?, [[7.5]]);
/// // Three pixels in two cells: 0 and 1, 1 and 2.
/// let line = Tensor::arange(0f32, 3.0, &Device::Cpu)?.reshape((1, 1, 3, 1))?;
/// assert_eq!(grid_mean(&line, 2)?.to_vec2::<f32>()?, [[0.5, 1.5, 0.5, 1.5]]);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for a map without pixels or of other than four axes, or no cells.
pub fn grid_mean(map: &Tensor, cells: usize) -> Result<Tensor> {
    let &[batch, height, width, channels] = map.dims() else {
        return Err(Error::argument("map", "four axes (B, H, W, C)", format!("{:?}", map.dims())));
    };
    if cells == 0 || height == 0 || width == 0 {
        let found = format!("{:?} and {cells} cells", map.dims());
        return Err(Error::argument("map", "pixels, and cells to cut them into", found));
    }
    if batch == 0 {
        // candle's mean cannot take an empty tensor.
        return Ok(Tensor::zeros((0, cells * cells * channels), map.dtype(), map.device())?);
    }
    let rows = along(&map.contiguous()?.reshape((batch, height, width * channels))?, cells)?;
    let columns = along(&rows.reshape((batch * cells, width, channels))?, cells)?;
    Ok(columns.reshape((batch, cells * cells * channels))?)
}

/// Means of `cells` pieces of the middle axis: (N, L, C) to (N, `cells`, C).
fn along(x: &Tensor, cells: usize) -> Result<Tensor> {
    let (n, length, channels) = x.dims3()?;
    if length % cells == 0 {
        return Ok(mean_pixels(&x.reshape((n * cells, length / cells, 1, channels))?)?.reshape((n, cells, channels))?);
    }
    let cell = |i: usize| -> Result<Tensor> {
        let (from, to) = (i * length / cells, ((i + 1) * length).div_ceil(cells));
        let piece = x.narrow(1, from, to - from)?.contiguous()?;
        Ok(mean_pixels(&piece.reshape((n, to - from, 1, channels))?)?.unsqueeze(1)?)
    };
    Ok(Tensor::cat(&(0..cells).map(cell).collect::<Result<Vec<_>>>()?, 1)?)
}

/// What a convolutional network says of an image: `avg`, (B, D), and, where there are cells, `grid_mean`, all numbers of
/// an image side by side as [`Pooled::together`] has them.
#[derive(Clone, Copy)]
pub(super) struct Pooled {
    /// D.
    pub(super) dim: usize,
    /// Cells along a side, 0 for none.
    pub(super) cells: usize,
}

impl Pooled {
    /// Length of all features together.
    pub(super) fn length(self) -> usize {
        self.dim * (1 + self.cells * self.cells)
    }

    /// `avg` (B, D) and, of `map` (B, S, S, D), the grid: (B, [`Pooled::length`]).
    pub(super) fn together(self, avg: Tensor, map: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
        match self.cells {
            0 => Ok(avg),
            cells => Ok(Tensor::cat(&[&avg, &grid_mean(&map()?, cells)?], 1)?),
        }
    }

    /// Apart again, with their names.
    pub(super) fn apart(self, together: Tensor) -> Result<Vec<(&'static str, Tensor)>> {
        if self.cells == 0 {
            return Ok(vec![("avg", together)]);
        }
        let part = |from: usize, n: usize| -> Result<Tensor> { Ok(together.narrow(1, from, n)?.contiguous()?) };
        Ok(vec![("avg", part(0, self.dim)?), ("grid_mean", part(self.dim, self.length() - self.dim)?)])
    }
}
