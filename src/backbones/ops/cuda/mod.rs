//! Depthwise convolution on CUDA, with gradients, for f32, f16 and bf16. Sums are f32.
//!
//! candle runs it there as one convolution a channel. The kernels are in `depthwise.cu` and `depthwise.cuh`; `build.rs`
//! makes them into PTX, which the driver compiles for its card when they are first used. No GPU has run them yet:
//! `tests/cuda.rs` holds their arithmetic, compiled for the processor and launched by the same plan, against PyTorch's
//! values, and the code here against the processor's convolution, under a driver whose device is the processor. Where a
//! real device is present it compares the two.

mod plan;

pub(super) use plan::Convolution;

use super::Activation;
use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, CudaView, DeviceRepr, LaunchConfig, PushKernelArg, ValidAsZeroBits,
};
use candle_core::cuda_backend::{CudaDType, CudaDevice, CudaStorageSlice, WrapErr, kernel_name};
use candle_core::{CpuStorage, CudaStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use plan::{BLOCK, Launch, Sizes};

const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/depthwise.ptx"));

// SAFETY: `repr(C)`, 32-bit integers alone, the same fields in the same order as in `depthwise.cuh`.
unsafe impl DeviceRepr for Sizes {}

/// x (B, H, W, C), w (C, 1, K, K) to (B, H', W', C), with gradients for both.
pub(super) fn depthwise(x: &Tensor, w: &Tensor, convolution: Convolution) -> Result<Tensor> {
    let op = Depthwise { convolution, pass: Pass::Forward(Activation::Identity) };
    x.contiguous()?.apply_op2(&w.contiguous()?, op)
}

/// The same with bias and activation in one pass, without gradient.
pub(super) fn depthwise_act(
    x: &Tensor,
    w: &Tensor,
    b: &Tensor,
    convolution: Convolution,
    activation: Activation,
) -> Result<Tensor> {
    let op = Depthwise { convolution, pass: Pass::Forward(activation) };
    x.contiguous()?.apply_op3(&w.contiguous()?, &b.contiguous()?, op)
}

#[derive(Clone, Copy)]
enum Pass {
    /// (x, w) or (x, w, b) to y.
    Forward(Activation),
    /// (gradient of y, w) to that of x.
    InputGradient,
    /// (gradient of y, x) to that of w.
    KernelGradient,
}

#[derive(Clone, Copy)]
struct Depthwise {
    convolution: Convolution,
    pass: Pass,
}

type Argument<'a> = (&'a CudaStorage, &'a Layout);

impl Depthwise {
    fn shape(&self) -> Shape {
        let Convolution { batch, channels, kernel, input, output, .. } = self.convolution;
        match self.pass {
            Pass::Forward(_) => Shape::from((batch, output.0, output.1, channels)),
            Pass::InputGradient => Shape::from((batch, input.0, input.1, channels)),
            Pass::KernelGradient => Shape::from((channels, 1, kernel, kernel)),
        }
    }

    /// Runs the pass in the type of the first argument, which all must have.
    fn run(&self, first: Argument, second: Argument, b: Option<Argument>) -> Result<(CudaStorage, Shape)> {
        let y = match &first.0.slice {
            CudaStorageSlice::F32(x) => self.launch(x, first, second, b),
            CudaStorageSlice::F16(x) => self.launch(x, first, second, b),
            CudaStorageSlice::BF16(x) => self.launch(x, first, second, b),
            _ => bail!("depthwise convolution on CUDA: expected f32, f16 or bf16, found {:?}", first.0.dtype()),
        }?;
        Ok((y, self.shape()))
    }

    fn launch<T: DeviceRepr + WithDType + ValidAsZeroBits + CudaDType>(
        &self,
        x: &CudaSlice<T>,
        (storage, layout): Argument,
        (second, second_layout): Argument,
        b: Option<Argument>,
    ) -> Result<CudaStorage> {
        let (device, c) = (storage.device(), &self.convolution);
        let stream = device.cuda_stream();
        let (x, w) = (view(x, layout)?, view(second.as_cuda_slice::<T>()?, second_layout)?);
        let b = b.map(|(b, layout)| view(b.as_cuda_slice::<T>()?, layout)).transpose()?;
        let length = self.shape().elem_count();
        // A launch of no blocks is an error, and a sum over no pixels is zero.
        if length == 0 || c.batch == 0 {
            return Ok(CudaStorage::wrap_cuda_slice(device.alloc_zeros::<T>(length)?, device.clone()));
        }
        // SAFETY: every value is written by the kernels below.
        let mut y = unsafe { device.alloc::<T>(length)? };
        match self.pass {
            Pass::Forward(activation) => {
                convolve(device, &planned(c.forward(number(activation)), c)?, &x, &w, b.as_ref(), &mut y)?;
            }
            Pass::InputGradient if c.stride == 1 => {
                convolve(device, &planned(c.input_gradient(), c)?, &x, &w, None, &mut y)?;
            }
            Pass::InputGradient => {
                let launch = planned(c.input_gradient(), c)?;
                let function = function::<T>(device, &launch)?;
                let mut arguments = stream.launch_builder(&function);
                arguments.arg(&launch.sizes).arg(&x).arg(&w).arg(&mut y);
                // SAFETY: the parameters are those of `input_gradient_any`; the plan keeps threads within the tensors.
                unsafe { arguments.launch(config(&launch)) }.w()?;
            }
            Pass::KernelGradient => {
                let [sum, add] = planned(c.kernel_gradient(), c)?;
                // SAFETY: `sum` writes every value before `add` reads it, on the same stream.
                let mut sums = unsafe { device.alloc::<f32>(sum.sizes.workers as usize * length)? };
                let function = function::<T>(device, &sum)?;
                let mut arguments = stream.launch_builder(&function);
                arguments.arg(&sum.sizes).arg(&x).arg(&w).arg(&mut sums);
                // SAFETY: the parameters are those of `kernel_gradient`; the plan keeps threads within the tensors.
                unsafe { arguments.launch(config(&sum)) }.w()?;
                let function = self::function::<T>(device, &add)?;
                let mut arguments = stream.launch_builder(&function);
                arguments.arg(&add.sizes).arg(&sums).arg(&mut y);
                // SAFETY: the parameters are those of `add_workers`; `sums` has `workers` times the values of `y`.
                unsafe { arguments.launch(config(&add)) }.w()?;
            }
        }
        Ok(CudaStorage::wrap_cuda_slice(y, device.clone()))
    }
}

fn convolve<T: DeviceRepr + WithDType>(
    device: &CudaDevice,
    launch: &Launch,
    x: &CudaView<T>,
    w: &CudaView<T>,
    b: Option<&CudaView<T>>,
    y: &mut CudaSlice<T>,
) -> Result<()> {
    let (stream, function) = (device.cuda_stream(), function::<T>(device, launch)?);
    let mut arguments = stream.launch_builder(&function);
    arguments.arg(&launch.sizes).arg(x).arg(w);
    match b {
        Some(b) => arguments.arg(b),
        // A null pointer.
        None => arguments.arg(&0u64),
    };
    arguments.arg(y);
    // SAFETY: the parameters are those of `forward`; the plan keeps threads within the tensors, whose sizes were
    // checked by whoever made the convolution.
    unsafe { arguments.launch(config(launch)) }.w()?;
    Ok(())
}

fn function<T: WithDType>(device: &CudaDevice, launch: &Launch) -> Result<CudaFunction> {
    let name = kernel_name::<T>(launch.kernel);
    Ok(device.get_or_load_custom_func(&name, "wider_clip_depthwise", PTX)?.into_cuda_function())
}

fn config(launch: &Launch) -> LaunchConfig {
    LaunchConfig { grid_dim: (launch.grid.0, launch.grid.1, 1), block_dim: (BLOCK.0, BLOCK.1, 1), shared_mem_bytes: 0 }
}

fn planned<T>(plan: Option<T>, convolution: &Convolution) -> Result<T> {
    match plan {
        Some(plan) => Ok(plan),
        None => bail!("depthwise convolution on CUDA: expected sizes that fit 32 bits, found {convolution:?}"),
    }
}

/// The values of a contiguous tensor.
fn view<'a, T>(slice: &'a CudaSlice<T>, layout: &Layout) -> Result<CudaView<'a, T>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(slice.slice(start..end)),
        None => bail!("expected a contiguous tensor, found strides {:?}", layout.stride()),
    }
}

/// The number by which the kernels know an activation.
fn number(activation: Activation) -> i32 {
    match activation {
        Activation::Identity => 0,
        Activation::Relu6 => 1,
        Activation::Silu => 2,
        Activation::Gelu => 3,
        Activation::QuickGelu => 4,
        Activation::Sigmoid => 5,
    }
}

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise convolution on CUDA"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("depthwise convolution on CUDA: expected tensors there, found them on the processor")
    }

    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, w: &CudaStorage, lw: &Layout) -> Result<(CudaStorage, Shape)> {
        self.run((x, lx), (w, lw), None)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        // Second derivatives are not offered: detached arguments make that an absent gradient at once.
        let gradient = gradient.detach().contiguous()?;
        let of = |pass, other: &Tensor| gradient.apply_op2_no_bwd(&other.detach(), &Depthwise { pass, ..*self });
        let of_x = || of(Pass::InputGradient, w);
        let of_w = || of(Pass::KernelGradient, x);
        Ok((x.track_op().then(of_x).transpose()?, w.track_op().then(of_w).transpose()?))
    }
}

impl CustomOp3 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise convolution with activation on CUDA (no gradient)"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("depthwise convolution on CUDA: expected tensors there, found them on the processor")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        w: &CudaStorage,
        lw: &Layout,
        b: &CudaStorage,
        lb: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.run((x, lx), (w, lw), Some((b, lb)))
    }
}
