//! Depthwise convolution (one kernel a channel) with gradients, for processors.
//!
//! candle runs a grouped convolution as one convolution a group: for a depthwise layer that is hundreds of tiny ones,
//! 30 times slower than PyTorch. Here an output pixel is a sum over kernel taps of `x[pixel, :] * w[tap, :]`, whole
//! vectors of channels, which is why the kernel wants channels last. Forward and input gradient are the same
//! computation with different tables of taps, see [`Taps`]. Each sum belongs to one thread and runs in a fixed order,
//! so results do not depend on how many threads there are. On CUDA the functions here go to `ops::cuda`.

use super::depthwise_gradients::{InputGradient, KernelGradient};
use super::{Activation, Padding, require_f32, to_channels_first, to_channels_last, values};
use crate::error::{Error, Result};
use crate::simd::{Kernel, dispatch, multiply_add};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};
use std::mem::MaybeUninit;

/// Channels that a thread carries in registers at once; what is left over goes in steps of 16, then one by one.
const BLOCK: usize = 64;

/// Depthwise convolution of NCHW tensors, with gradients for both arguments.
///
/// Shapes: `x` (B, C, H, W), `w` (C, 1, K, K), result (B, C, H', W') with
/// H' = (H + top + bottom - K) / stride + 1, rounded down, and W' likewise. It turns the tensors to channels last and
/// back; where activations can stay channels last, [`depthwise_conv2d_nhwc`] saves that.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use wider_clip::ops::{Padding, depthwise_conv2d};
/// # fn main() -> wider_clip::error::Result<()> {
/// let x = Tensor::ones((1, 1, 3, 3), DType::F32, &Device::Cpu)?;
/// let w = Tensor::ones((1, 1, 3, 3), DType::F32, &Device::Cpu)?;
/// let y = depthwise_conv2d(&x, &w, 1, Padding::symmetric(1))?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] if a tensor is not f32, the shapes do not fit, `stride` is 0 or the kernel exceeds the image.
pub fn depthwise_conv2d(x: &Tensor, w: &Tensor, stride: usize, padding: Padding) -> Result<Tensor> {
    if x.rank() != 4 {
        return Err(Error::argument("depthwise_conv2d, x", "(B, C, H, W)", format!("{:?}", x.dims())));
    }
    if !has_kernel(x) {
        return grouped(x, w, stride, padding);
    }
    to_channels_first(&depthwise_conv2d_nhwc(&to_channels_last(x)?, w, stride, padding)?)
}

/// Depthwise convolution of channels-last tensors, with gradients for both arguments.
///
/// Shapes: `x` (B, H, W, C), `w` (C, 1, K, K), result (B, H', W', C). On CUDA all may be f16 or bf16, summed in f32.
///
/// # Errors
/// As for [`depthwise_conv2d`].
pub fn depthwise_conv2d_nhwc(x: &Tensor, w: &Tensor, stride: usize, padding: Padding) -> Result<Tensor> {
    let op = Depthwise::new(x, w, stride, padding)?;
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() {
        return Ok(super::cuda::depthwise(x, w, op.on_cuda())?);
    }
    if !has_kernel(x) {
        return to_channels_last(&grouped(&to_channels_first(x)?, w, stride, padding)?);
    }
    Ok(x.contiguous()?.apply_op2(&w.contiguous()?, op)?)
}

/// `activation(depthwise(x, w) + b)` of channels-last tensors in one pass, for frozen models.
///
/// Shapes: `x` (B, H, W, C), `w` (C, 1, K, K), `b` (C,), result (B, H', W', C). The result has no gradient: asking
/// for one through it is candle's error `BackwardNotSupported`.
///
/// # Errors
/// As for [`depthwise_conv2d`].
pub fn depthwise_conv2d_nhwc_act(
    x: &Tensor,
    w: &Tensor,
    b: &Tensor,
    stride: usize,
    padding: Padding,
    activation: Activation,
) -> Result<Tensor> {
    let op = Depthwise::new(x, w, stride, padding)?;
    if b.dims() != [op.channels] {
        let expected = format!("one value for each of {} channels", op.channels);
        return Err(Error::argument("depthwise convolution, b", expected, format!("{:?}", b.dims())));
    }
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() && !(x.track_op() || w.track_op() || b.track_op()) {
        return Ok(super::cuda::depthwise_act(x, w, b, op.on_cuda(), activation)?);
    }
    if !x.device().is_cpu() {
        let y = depthwise_conv2d_nhwc(x, w, stride, padding)?;
        return activation.apply_tensor(&y.broadcast_add(b)?);
    }
    Ok(x.contiguous()?.apply_op3(&w.contiguous()?, &b.contiguous()?, WithActivation { op, activation })?)
}

/// Whether there is a kernel here for the device of `x`.
fn has_kernel(x: &Tensor) -> bool {
    x.device().is_cpu() || (cfg!(feature = "cuda") && x.device().is_cuda())
}

/// candle's own grouped convolution, NCHW: right on every device, and slow.
fn grouped(x: &Tensor, w: &Tensor, stride: usize, padding: Padding) -> Result<Tensor> {
    let groups = x.dim(1)?;
    let x = x.pad_with_zeros(2, padding.top, padding.bottom)?.pad_with_zeros(3, padding.left, padding.right)?;
    Ok(x.conv2d(w, 0, stride, 1, groups)?)
}

/// The sizes of one depthwise convolution, checked.
#[derive(Clone, Copy)]
pub(super) struct Depthwise {
    pub(super) batch: usize,
    pub(super) channels: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: Padding,
    /// (height, width) of the input.
    pub(super) input: (usize, usize),
    /// (height, width) of the output.
    pub(super) output: (usize, usize),
}

impl Depthwise {
    fn new(x: &Tensor, w: &Tensor, stride: usize, padding: Padding) -> Result<Self> {
        require_f32("depthwise convolution, x", x)?;
        require_f32("depthwise convolution, w", w)?;
        let misfit = |expected: &str| {
            let found = format!("x {:?} (channels last), w {:?}, stride {stride}, {padding:?}", x.dims(), w.dims());
            Error::argument("depthwise convolution", expected, found)
        };
        let (&[batch, height, width, channels], &[kernels, 1, kernel, kernel_width]) = (x.dims(), w.dims()) else {
            return Err(misfit("x (B, H, W, C) and w (C, 1, K, K)"));
        };
        if kernels != channels || kernel != kernel_width || kernel == 0 || stride == 0 {
            return Err(misfit("a square kernel for every channel and a stride of at least 1"));
        }
        let rows = Padding::output(height, padding.top, padding.bottom, kernel, stride);
        let columns = Padding::output(width, padding.left, padding.right, kernel, stride);
        let (Some(rows), Some(columns)) = (rows, columns) else {
            return Err(misfit("an image no smaller than the kernel"));
        };
        let (input, output) = ((height, width), (rows, columns));
        Ok(Depthwise { batch, channels, kernel, stride, padding, input, output })
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> super::cuda::Convolution {
        let &Depthwise { batch, channels, kernel, stride, padding: Padding { top, left, .. }, input, output } = self;
        super::cuda::Convolution { batch, channels, kernel, stride, top, left, input, output }
    }

    fn forward(&self, x: &[f32], w: &[f32], b: Option<&[f32]>, activation: Activation) -> Vec<f32> {
        let (columns, channels) = (self.output.1, self.channels);
        let (down, across) = self.forward_taps();
        let w = by_tap(w, channels);
        let line = columns * channels;
        super::filled(self.batch * self.output.0 * line, line, |row, line| {
            let image = &x[row / self.output.0 * self.input.0 * self.input.1 * channels..];
            let down = &down.0[row % self.output.0];
            let source = Source { values: image, width: self.input.1, w: &w, kernel: self.kernel, channels };
            dispatch(Line { line, source, down, across: &across, b, activation });
        })
    }

    pub(super) fn forward_taps(&self) -> (Taps, Taps) {
        let down = Taps::forward(self.input.0, self.output.0, self.kernel, self.stride, self.padding.top);
        let across = Taps::forward(self.input.1, self.output.1, self.kernel, self.stride, self.padding.left);
        (down, across)
    }
}

/// For every output position along one axis, the pairs (kernel tap, input position) that it sums over.
///
/// Forward, output `o` reads input `o * stride + tap - before`. For the input's gradient the roles change: input `i`
/// gathers from every output that read it. Taps that fall outside are left out, so no loop asks again.
pub(super) struct Taps(pub(super) Vec<Vec<(usize, usize)>>);

impl Taps {
    fn forward(input: usize, output: usize, kernel: usize, stride: usize, before: usize) -> Self {
        let position = |o: usize, tap: usize| (o * stride + tap).checked_sub(before).filter(|&i| i < input);
        Taps((0..output).map(|o| (0..kernel).filter_map(|tap| Some((tap, position(o, tap)?))).collect()).collect())
    }

    pub(super) fn reversed(self, input: usize) -> Self {
        let mut reversed = vec![Vec::new(); input];
        for (o, taps) in self.0.iter().enumerate() {
            for &(tap, i) in taps {
                reversed[i].push((tap, o));
            }
        }
        Taps(reversed)
    }
}

/// (C, K * K) to (K * K, C): the weights of all channels for one tap side by side.
pub(super) fn by_tap(w: &[f32], channels: usize) -> Vec<f32> {
    let taps = w.len() / channels.max(1);
    (0..w.len()).map(|i| w[i % channels * taps + i / channels]).collect()
}

/// What a line reads: one image (H, `width`, C) and weights (K, K, C).
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) values: &'a [f32],
    pub(super) width: usize,
    pub(super) w: &'a [f32],
    pub(super) kernel: usize,
    pub(super) channels: usize,
}

/// One line of pixels (W, C): `activation(sum over taps + b)`, every value written.
pub(super) struct Line<'a> {
    pub(super) line: &'a mut [MaybeUninit<f32>],
    pub(super) source: Source<'a>,
    pub(super) down: &'a [(usize, usize)],
    pub(super) across: &'a Taps,
    pub(super) b: Option<&'a [f32]>,
    pub(super) activation: Activation,
}

impl Kernel for Line<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let channels = self.source.channels;
        let mut from = 0;
        while from + BLOCK <= channels {
            self.channels::<FMA, BLOCK>(from);
            from += BLOCK;
        }
        while from + 16 <= channels {
            self.channels::<FMA, 16>(from);
            from += 16;
        }
        while from < channels {
            self.channels::<FMA, 1>(from);
            from += 1;
        }
    }
}

impl Line<'_> {
    /// Channels `from..from + N` of every pixel of the line.
    #[inline(always)]
    fn channels<const FMA: bool, const N: usize>(&mut self, from: usize) {
        let source = self.source;
        let mut start = [0f32; N];
        if let Some(b) = self.b {
            start.copy_from_slice(&b[from..from + N]);
        }
        for (pixel, columns) in self.line.chunks_exact_mut(source.channels).zip(&self.across.0) {
            let mut sums = start;
            for &(ky, row) in self.down {
                for &(kx, column) in columns {
                    let x = &source.values[(row * source.width + column) * source.channels + from..][..N];
                    let w = &source.w[(ky * source.kernel + kx) * source.channels + from..][..N];
                    for i in 0..N {
                        sums[i] = multiply_add::<FMA>(x[i], w[i], sums[i]);
                    }
                }
            }
            self.activation.apply::<FMA>(&mut sums);
            for (to, sum) in pixel[from..from + N].iter_mut().zip(sums) {
                to.write(sum);
            }
        }
    }
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise convolution"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = self.forward(values(x, x_layout)?, values(w, w_layout)?, None, Activation::Identity);
        Ok((CpuStorage::F32(y), Shape::from((self.batch, self.output.0, self.output.1, self.channels))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        // Second derivatives are not offered: detached arguments make that an absent gradient at once.
        let grad = grad.detach().contiguous()?;
        let grad_x = grad.apply_op2_no_bwd(&w.detach(), &InputGradient(*self))?;
        let grad_w = grad.apply_op2_no_bwd(&x.detach(), &KernelGradient(*self))?;
        Ok((Some(grad_x), Some(grad_w)))
    }
}

/// The convolution with bias and activation.
struct WithActivation {
    op: Depthwise,
    activation: Activation,
}

impl CustomOp3 for WithActivation {
    fn name(&self) -> &'static str {
        "depthwise convolution with activation (no gradient)"
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
        let b = values(b, b_layout)?;
        let y = self.op.forward(values(x, x_layout)?, values(w, w_layout)?, Some(b), self.activation);
        Ok((CpuStorage::F32(y), Shape::from((self.op.batch, self.op.output.0, self.op.output.1, self.op.channels))))
    }
}
