//! Matrix product, bias and activation in one pass: the fully connected layer and the 1x1 convolution of frozen models.
//!
//! candle would make three passes over memory (product, bias, activation), each through a fresh tensor. Here the rows
//! are dealt to threads in tiles that stay in the cache: the `gemm` crate (which candle uses too) writes the product,
//! bias and activation follow before the tile is left.

use super::{Activation, require_f32, values};
use crate::error::{Error, Result};
use crate::simd::{Kernel, dispatch};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use std::mem::MaybeUninit;

/// Target size of a tile's output: with its input it stays in a core's second-level cache.
const TILE_VALUES: usize = 64 * 1024;
/// Fewer rows than this, and packing the weights for each tile would cost more than it saves.
const MIN_TILE_ROWS: usize = 96;

/// `activation(x @ w + b)` over the last axis of `x`.
///
/// Shapes: `x` (..., C), `w` (C, O), `b` (O,), result (..., O). `w` is the transpose of PyTorch's weight.
/// The result has no gradient: asking for one through it is candle's error `BackwardNotSupported`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::ops::{Activation, linear_act};
/// # fn main() -> wider_clip::error::Result<()> {
/// let x = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?;
/// let w = Tensor::new(&[[1f32, -1.0, 0.0], [1.0, -1.0, 1.0]], &Device::Cpu)?;
/// let b = Tensor::new(&[0.5f32, 0.0, 1.0], &Device::Cpu)?;
/// let y = linear_act(&x, &w, &b, Activation::Relu6)?;
/// assert_eq!(y.to_vec2::<f32>()?, [[3.5, 0.0, 3.0], [6.0, 0.0, 5.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] if a tensor is not f32 or the shapes do not fit.
pub fn linear_act(x: &Tensor, w: &Tensor, b: &Tensor, activation: Activation) -> Result<Tensor> {
    require_f32("linear_act, x", x)?;
    let shapes = || format!("x {:?}, w {:?}, b {:?}", x.dims(), w.dims(), b.dims());
    let (&[inputs, outputs], Some((&channels, leading))) = (w.dims(), x.dims().split_last()) else {
        return Err(Error::argument("linear_act", "x (..., C) and w (C, O)", shapes()));
    };
    if channels != inputs || b.dims() != [outputs] || inputs == 0 || outputs == 0 {
        return Err(Error::argument("linear_act", "x (..., C), w (C, O) and b (O,)", shapes()));
    }
    if !x.device().is_cpu() {
        let rows = x.reshape(((), channels))?.matmul(w)?.broadcast_add(b)?;
        return activation.apply_tensor(&rows.reshape([leading, &[outputs]].concat())?);
    }
    let op = LinearAct { inputs, outputs, activation };
    Ok(x.contiguous()?.apply_op3(&w.contiguous()?, &b.contiguous()?, op)?)
}

struct LinearAct {
    inputs: usize,
    outputs: usize,
    activation: Activation,
}

impl CustomOp3 for LinearAct {
    fn name(&self) -> &'static str {
        "linear_act (no gradient)"
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
        let (x, w, b) = (values(x, x_layout)?, values(w, w_layout)?, values(b, b_layout)?);
        let rows = x.len() / self.inputs;
        let tile = (TILE_VALUES / self.outputs).max(MIN_TILE_ROWS);
        let y = super::filled(rows * self.outputs, tile * self.outputs, |i, y| {
            let from = i * tile * self.inputs;
            let rows = y.len() / self.outputs;
            let y = product(y, &x[from..from + rows * self.inputs], w, self.inputs, self.outputs);
            dispatch(AddBias { y, b, activation: self.activation });
        });
        let mut dims = x_layout.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = self.outputs;
        }
        Ok((CpuStorage::F32(y), Shape::from(dims)))
    }
}

/// The bias onto every row of `y`, then the activation.
struct AddBias<'a> {
    y: &'a mut [f32],
    b: &'a [f32],
    activation: Activation,
}

impl Kernel for AddBias<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for row in self.y.chunks_exact_mut(self.b.len()) {
            for (y, b) in row.iter_mut().zip(self.b) {
                *y += b;
            }
            self.activation.apply::<FMA>(row);
        }
    }
}

/// Writes `x @ w` into `y` on this thread, all row-major: y (N, `outputs`), x (N, `inputs`), w (`inputs`, `outputs`).
fn product<'a>(y: &'a mut [MaybeUninit<f32>], x: &[f32], w: &[f32], inputs: usize, outputs: usize) -> &'a mut [f32] {
    let rows = y.len() / outputs;
    assert!(y.len() == rows * outputs && x.len() == rows * inputs && w.len() == inputs * outputs);
    let (columns, depth) = (outputs as isize, inputs as isize);
    // SAFETY: the three slices hold exactly the matrices that the strides describe (asserted above), and `y`, borrowed
    // mutably, overlaps neither of the others. `read_dst` is false: every element of `y` is written and none is read.
    unsafe {
        gemm::gemm(
            rows,
            outputs,
            inputs,
            y.as_mut_ptr().cast::<f32>(),
            1,
            columns,
            false,
            x.as_ptr(),
            1,
            depth,
            w.as_ptr(),
            1,
            columns,
            0f32,
            1f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
        y.assume_init_mut()
    }
}
