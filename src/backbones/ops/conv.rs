//! A dense convolution as patches times a matrix, for stems.

use super::{Activation, Padding, Weight, linear_act, require_f32, to_channels_first, to_channels_last, values};
use crate::error::{Error, Result};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use rayon::prelude::*;

/// `activation(conv(x, w) + b)` on channels-last tensors.
///
/// Shapes: `x` (B, H, W, C), `w` (O, K * K * C) with columns in the order ky, kx, channel, `b` (O,), result
/// (B, H', W', O). Patches are laid out in memory, K * K times the input: meant for stems, whose input has three
/// channels. Weights and bias have gradients; asking for that of `x` is candle's error `BackwardNotSupported`.
///
/// # Errors
/// [`Error::Argument`] if a tensor on the processor is not f32, the shapes do not fit, `stride` is 0 or the kernel
/// exceeds the image.
pub fn conv2d_nhwc_act(
    x: &Tensor,
    w: &Weight,
    b: &Tensor,
    (kernel, stride): (usize, usize),
    padding: Padding,
    activation: Activation,
) -> Result<Tensor> {
    if x.device().is_cpu() {
        require_f32("conv2d_nhwc_act, x", x)?;
    }
    let misfit = |expected: &str| {
        let w = [w.outputs(), w.inputs()];
        let found = format!("x {:?}, w {w:?}, kernel {kernel}, stride {stride}", x.dims());
        Error::argument("conv2d_nhwc_act", expected, found)
    };
    let &[_, height, width, channels] = x.dims() else { return Err(misfit("x (B, H, W, C)")) };
    if w.inputs() != kernel * kernel * channels || stride == 0 {
        return Err(misfit("w with K * K * C columns and a stride of at least 1"));
    }
    let rows = Padding::output(height, padding.top, padding.bottom, kernel, stride);
    let columns = Padding::output(width, padding.left, padding.right, kernel, stride);
    let (Some(rows), Some(columns)) = (rows, columns) else {
        return Err(misfit("an image no smaller than the kernel"));
    };
    if x.device().is_cpu() {
        let patches = x.contiguous()?.apply_op1(Patches { kernel, stride, padding, rows, columns })?;
        return linear_act(&patches, w, b, activation);
    }
    let x = x.pad_with_zeros(1, padding.top, padding.bottom)?.pad_with_zeros(2, padding.left, padding.right)?;
    let kernels = w.matrix()?.reshape((w.outputs(), kernel, kernel, channels))?.permute((0, 3, 1, 2))?.contiguous()?;
    let y = to_channels_last(&to_channels_first(&x)?.conv2d(&kernels, 0, stride, 1, 1)?)?;
    activation.apply_tensor(&y.broadcast_add(b)?)
}

/// (B, H, W, C) to (B, H', W', K * K * C): what each output pixel sees, zeros outside.
struct Patches {
    kernel: usize,
    stride: usize,
    padding: Padding,
    rows: usize,
    columns: usize,
}

impl CustomOp1 for Patches {
    fn name(&self) -> &'static str {
        "patches (no gradient)"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, height, width, channels) = layout.shape().dims4()?;
        let x = values(x, layout)?;
        let depth = self.kernel * self.kernel * channels;
        let mut patches = vec![0f32; batch * self.rows * self.columns * depth];
        patches.par_chunks_mut(self.columns * depth).enumerate().for_each(|(row, line)| {
            let (image, oy) = (row / self.rows, row % self.rows);
            for (ox, patch) in line.chunks_exact_mut(depth).enumerate() {
                // Kernel columns first..last fall inside the image; so many values are contiguous there.
                let first = self.padding.left.saturating_sub(ox * self.stride).min(self.kernel);
                let last = (width + self.padding.left).saturating_sub(ox * self.stride).min(self.kernel);
                if first >= last {
                    continue;
                }
                let from_x = ox * self.stride + first - self.padding.left;
                for ky in 0..self.kernel {
                    let Some(iy) = (oy * self.stride + ky).checked_sub(self.padding.top) else { continue };
                    if iy < height {
                        let from = ((image * height + iy) * width + from_x) * channels;
                        let to = (ky * self.kernel + first) * channels;
                        let length = (last - first) * channels;
                        patch[to..to + length].copy_from_slice(&x[from..from + length]);
                    }
                }
            }
        });
        Ok((CpuStorage::F32(patches), Shape::from((batch, self.rows, self.columns, depth))))
    }
}
