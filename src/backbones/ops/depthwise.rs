//! Depthwise convolution (one kernel a channel) with gradients, for processors.
//!
//! candle runs a grouped convolution as one convolution a group: for a depthwise layer that is hundreds of tiny ones,
//! 30 times slower than PyTorch. Here whole vectors of channels are summed at once, which is why the kernel wants
//! channels last; the loops are in `depthwise_rows`. Forward and input gradient are the same computation on other axes.
//! Each sum belongs to one thread and runs in a fixed order, so results do not depend on how many threads there are.
//! On CUDA the functions here go to `ops::cuda`.

use super::depthwise_rows::{After, Axis, Plain, Sums, by_block};
use super::product::column_sums;
use super::slices::{map1, map2};
use super::{Activation, Padding, activate, mean_pixels, require_f32, to_channels_first, to_channels_last, values};
use crate::error::{Error, Result};
use crate::simd::{Kernel, dispatch};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor};
use std::sync::OnceLock;

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
/// [`Error::Argument`] if a tensor on the processor is not f32, the shapes do not fit, `stride` is 0 or the kernel
/// exceeds the image.
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

/// `activation(depthwise(x, w) + b)` of channels-last tensors, with gradients for `x`, `w` and `b`.
///
/// Shapes: `x` (B, H, W, C), `w` (C, 1, K, K), `b` (C,), result (B, H', W', C). Where something is to be trained the
/// activation is a step of its own, since its derivative needs the values before it.
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
    op.check_bias(b)?;
    #[cfg(feature = "cuda")]
    if x.device().is_cuda() && !(x.track_op() || w.track_op() || b.track_op()) {
        return Ok(super::cuda::depthwise_act(x, w, b, op.on_cuda(), activation)?);
    }
    if !x.device().is_cpu() {
        let y = depthwise_conv2d_nhwc(x, w, stride, padding)?;
        return activation.apply_tensor(&y.broadcast_add(b)?);
    }
    let trained = x.track_op() || w.track_op() || b.track_op();
    let fused = if trained { Activation::Identity } else { activation };
    let op = WithBias { op, activation: fused, sums: None };
    let y = x.contiguous()?.apply_op3(&w.contiguous()?, &b.contiguous()?, op)?;
    if trained { activate(&y, activation) } else { Ok(y) }
}

/// The same, and its mean over pixels (B, C), which squeeze-and-excite wants; with gradients.
///
/// # Errors
/// As for [`depthwise_conv2d`].
pub fn depthwise_conv2d_nhwc_act_mean(
    x: &Tensor,
    w: &Tensor,
    b: &Tensor,
    stride: usize,
    padding: Padding,
    activation: Activation,
) -> Result<(Tensor, Tensor)> {
    let trained = x.track_op() || w.track_op() || b.track_op();
    if trained || !x.device().is_cpu() {
        let y = depthwise_conv2d_nhwc_act(x, w, b, stride, padding, activation)?;
        let mean = mean_pixels(&y)?;
        return Ok((y, mean));
    }
    let op = Depthwise::new(x, w, stride, padding)?;
    op.check_bias(b)?;
    let op = WithBias { op, activation, sums: Some(OnceLock::new()) };
    let y = x.contiguous()?.apply_op3_no_bwd(&w.contiguous()?, &b.contiguous()?, &op)?;
    let pixels = (op.op.output.0 * op.op.output.1) as f64;
    let sums = op.sums.and_then(OnceLock::into_inner).unwrap_or_default();
    let mean = (Tensor::from_vec(sums, (op.op.batch, op.op.channels), x.device())? / pixels)?;
    Ok((y, mean))
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
#[derive(Clone, Copy, Debug)]
pub(super) struct Depthwise {
    pub(super) batch: usize,
    pub(super) channels: usize,
    kernel: usize,
    stride: usize,
    padding: Padding,
    /// (height, width) of the input.
    pub(super) input: (usize, usize),
    /// (height, width) of the output.
    pub(super) output: (usize, usize),
}

impl Depthwise {
    fn new(x: &Tensor, w: &Tensor, stride: usize, padding: Padding) -> Result<Self> {
        if x.device().is_cpu() {
            require_f32("depthwise convolution, x", x)?;
            require_f32("depthwise convolution, w", w)?;
        }
        Depthwise::sized(x.dims(), w.dims(), stride, padding)
    }

    /// Of the shapes of `x` and `w`.
    pub(super) fn sized(x: &[usize], w: &[usize], stride: usize, padding: Padding) -> Result<Self> {
        let misfit = |expected: &str| {
            let found = format!("x {x:?} (channels last), w {w:?}, stride {stride}, {padding:?}");
            Error::argument("depthwise convolution", expected, found)
        };
        let (&[batch, height, width, channels], &[kernels, 1, kernel, kernel_width]) = (x, w) else {
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

    fn check_bias(&self, b: &Tensor) -> Result<()> {
        if b.device().is_cpu() {
            require_f32("depthwise convolution, b", b)?;
        }
        if b.dims() != [self.channels] {
            let expected = format!("one value for each of {} channels", self.channels);
            return Err(Error::argument("depthwise convolution, b", expected, format!("{:?}", b.dims())));
        }
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn on_cuda(&self) -> super::cuda::Convolution {
        let &Depthwise { batch, channels, kernel, stride, padding: Padding { top, left, .. }, input, output } = self;
        super::cuda::Convolution { batch, channels, kernel, stride, top, left, input, output }
    }

    pub(super) fn sums(&self) -> Sums {
        let axis = |source, output, before| Axis::forward(source, output, self.stride, before);
        Sums {
            batch: self.batch,
            channels: self.channels,
            kernel: self.kernel,
            down: axis(self.input.0, self.output.0, self.padding.top),
            across: axis(self.input.1, self.output.1, self.padding.left),
        }
    }

    /// The sums that make the input's gradient of the output's.
    pub(super) fn reversed(&self) -> Sums {
        let sums = self.sums();
        let (down, across) = (sums.down.reversed(self.kernel), sums.across.reversed(self.kernel));
        Sums { down, across, ..sums }
    }

    fn output_shape(&self) -> Shape {
        Shape::from((self.batch, self.output.0, self.output.1, self.channels))
    }

    fn input_gradient(&self, gradient: &[f32], w: &[f32]) -> Vec<f32> {
        let gradient = Plain { values: gradient, rows: self.output.0 };
        self.reversed().run(&gradient, &by_block(w, self.channels, true), None, &()).0
    }

    /// The gradients of `x` and `w`, where they are wanted.
    fn gradients(
        &self,
        x: &Tensor,
        w: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        // Second derivatives are not offered: detached arguments make that an absent gradient at once.
        let of_x = |gradient: &[f32], w: &[f32]| (self.input_gradient(gradient, w), x.shape().clone());
        let of_w = |gradient: &[f32], x: &[f32]| {
            let (x, gradient) =
                (Plain { values: x, rows: self.input.0 }, Plain { values: gradient, rows: self.output.0 });
            (self.sums().kernel_gradient(&x, &gradient), w.shape().clone())
        };
        Ok((
            x.track_op().then(|| map2(gradient, &w.detach(), of_x)).transpose()?,
            w.track_op().then(|| map2(gradient, &x.detach(), of_w)).transpose()?,
        ))
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
        let w = by_block(values(w, w_layout)?, self.channels, false);
        let x = Plain { values: values(x, x_layout)?, rows: self.input.0 };
        let (y, _) = self.sums().run(&x, &w, None, &());
        Ok((CpuStorage::F32(y), self.output_shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        self.gradients(x, w, &gradient.detach())
    }
}

/// The convolution with bias and activation, and the sums over pixels if they are wanted.
struct WithBias {
    op: Depthwise,
    activation: Activation,
    sums: Option<OnceLock<Vec<f32>>>,
}

impl CustomOp3 for WithBias {
    fn name(&self) -> &'static str {
        "depthwise convolution with bias"
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
        let (sums, w) = (self.op.sums(), by_block(w, self.op.channels, false));
        let wanted = if self.sums.is_some() { self.op.channels } else { 0 };
        let after = Finish { wanted, activation: self.activation };
        let (y, bands) = sums.run(&Plain { values: x, rows: self.op.input.0 }, &w, Some(b), &after);
        if let Some(place) = &self.sums {
            let each = sums.down.output.div_ceil(sums.band());
            let mut total = vec![0f32; self.op.batch * wanted];
            for (i, band) in bands.iter().enumerate() {
                let total = &mut total[i / each * wanted..][..wanted];
                total.iter_mut().zip(band).for_each(|(total, band)| *total += band);
            }
            // Empty until now: the operation runs once.
            place.get_or_init(|| total);
        }
        Ok((CpuStorage::F32(y), self.op.output_shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.detach();
        let (of_x, of_w) = self.op.gradients(x, w, &gradient)?;
        let of_b = |gradient: &[f32]| (column_sums(gradient, self.op.channels), b.shape().clone());
        Ok((of_x, of_w, b.track_op().then(|| map1(&gradient, of_b)).transpose()?))
    }
}

/// The activation on each line, and the sums over pixels of so many channels.
struct Finish {
    wanted: usize,
    activation: Activation,
}

impl After for Finish {
    type Made = Vec<f32>;

    fn start(&self) -> Vec<f32> {
        vec![0f32; self.wanted]
    }

    fn line(&self, _at: (usize, usize), line: &mut [f32], sums: &mut Vec<f32>) {
        dispatch(FinishLine { line, sums, activation: self.activation });
    }
}

/// The activation on a finished line, which is then added to the sums of its band, if there are any.
struct FinishLine<'a> {
    line: &'a mut [f32],
    sums: &'a mut [f32],
    activation: Activation,
}

impl Kernel for FinishLine<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.activation.apply::<FMA>(self.line);
        let channels = self.sums.len();
        if channels > 0 {
            for pixel in self.line.chunks_exact(channels) {
                self.sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
            }
        }
    }
}
