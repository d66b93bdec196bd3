//! The two gradients of the depthwise convolution.
//!
//! The input's is the forward pass with its taps reversed. The kernel's sums over all pixels, one task a kernel row and
//! block of channels, so that each sum has one place and one order.

use super::depthwise::{Depthwise, Line, Source, Taps, by_tap};
use super::{Activation, filled, values};
use crate::simd::{Kernel, dispatch, multiply_add};
use candle_core::{CpuStorage, CustomOp2, Layout, Shape};
use rayon::prelude::*;

/// (gradient of the output, w) to the gradient of the input: the same sums, with the taps reversed.
pub(super) struct InputGradient(pub(super) Depthwise);

impl CustomOp2 for InputGradient {
    fn name(&self) -> &'static str {
        "depthwise convolution, input gradient"
    }

    fn cpu_fwd(
        &self,
        grad: &CpuStorage,
        grad_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let op = &self.0;
        let (grad, w) = (values(grad, grad_layout)?, values(w, w_layout)?);
        let (down, across) = op.forward_taps();
        let (down, across) = (down.reversed(op.input.0), across.reversed(op.input.1));
        let w = by_tap(w, op.channels);
        let line = op.input.1 * op.channels;
        let grad_x = filled(op.batch * op.input.0 * line, line, |row, line| {
            let values = &grad[row / op.input.0 * op.output.0 * op.output.1 * op.channels..];
            let source = Source { values, width: op.output.1, w: &w, kernel: op.kernel, channels: op.channels };
            let down = &down.0[row % op.input.0];
            dispatch(Line { line, source, down, across: &across, b: None, activation: Activation::Identity });
        });
        Ok((CpuStorage::F32(grad_x), Shape::from((op.batch, op.input.0, op.input.1, op.channels))))
    }
}

/// (gradient of the output, x) to the gradient of the kernel (C, 1, K, K).
pub(super) struct KernelGradient(pub(super) Depthwise);

impl CustomOp2 for KernelGradient {
    fn name(&self) -> &'static str {
        "depthwise convolution, kernel gradient"
    }

    fn cpu_fwd(
        &self,
        grad: &CpuStorage,
        grad_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let op = &self.0;
        let (grad, x) = (values(grad, grad_layout)?, values(x, x_layout)?);
        let (down, across) = op.forward_taps();
        // One task a kernel row and block of channels: (K, blocks, K, 16), each sum in one place.
        let blocks = op.channels.div_ceil(GRADIENT_BLOCK);
        let mut sums = vec![0f32; op.kernel * blocks * op.kernel * GRADIENT_BLOCK];
        sums.par_chunks_mut(op.kernel * GRADIENT_BLOCK).enumerate().for_each(|(task, sums)| {
            let (ky, from) = (task / blocks, task % blocks * GRADIENT_BLOCK);
            dispatch(KernelRow { sums, op, grad, x, down: &down, across: &across, ky, from });
        });
        let mut grad_w = vec![0f32; op.channels * op.kernel * op.kernel];
        for (i, grad) in grad_w.iter_mut().enumerate() {
            let (kx, ky) = (i % op.kernel, i / op.kernel % op.kernel);
            let channel = i / (op.kernel * op.kernel);
            let (block, lane) = (channel / GRADIENT_BLOCK, channel % GRADIENT_BLOCK);
            *grad = sums[((ky * blocks + block) * op.kernel + kx) * GRADIENT_BLOCK + lane];
        }
        Ok((CpuStorage::F32(grad_w), Shape::from((op.channels, 1, op.kernel, op.kernel))))
    }
}

/// Channels of one task of the kernel's gradient.
const GRADIENT_BLOCK: usize = 16;

/// The kernel's gradient for row `ky` and channels from `from`: `sums` (K, 16).
struct KernelRow<'a> {
    sums: &'a mut [f32],
    op: &'a Depthwise,
    grad: &'a [f32],
    x: &'a [f32],
    down: &'a Taps,
    across: &'a Taps,
    ky: usize,
    from: usize,
}

impl Kernel for KernelRow<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        if self.from + GRADIENT_BLOCK <= self.op.channels {
            add_lines::<FMA, GRADIENT_BLOCK>(self, 0);
        } else {
            let KernelRow { sums, op, grad, x, down, across, ky, from } = self;
            for lane in 0..op.channels - from {
                add_lines::<FMA, 1>(KernelRow { sums, op, grad, x, down, across, ky, from: from + lane }, lane);
            }
        }
    }
}

/// Sums `x * grad` over all lines for N channels. A line is summed by itself first: thousands of small terms added to
/// one large f32 would lose digits.
#[inline(always)]
fn add_lines<const FMA: bool, const N: usize>(row: KernelRow<'_>, lane: usize) {
    let KernelRow { sums, op, grad, x, down, across, ky, from } = row;
    let ((height, width), (rows, columns)) = (op.input, op.output);
    for line in 0..op.batch * rows {
        let (image, oy) = (line / rows, line % rows);
        let Some(&(_, iy)) = down.0[oy].iter().find(|(tap, _)| *tap == ky) else { continue };
        for kx in 0..op.kernel {
            let mut partial = [0f32; N];
            for (ox, taps) in across.0.iter().enumerate() {
                // Taps are consecutive, so the one for kx sits at its distance from the first.
                let Some(&(first, ix)) = taps.first() else { continue };
                if kx < first || kx - first >= taps.len() {
                    continue;
                }
                let ix = ix + kx - first;
                let x = &x[((image * height + iy) * width + ix) * op.channels + from..][..N];
                let g = &grad[(line * columns + ox) * op.channels + from..][..N];
                for i in 0..N {
                    partial[i] = multiply_add::<FMA>(x[i], g[i], partial[i]);
                }
            }
            for i in 0..N {
                sums[kx * GRADIENT_BLOCK + lane + i] += partial[i];
            }
        }
    }
}
