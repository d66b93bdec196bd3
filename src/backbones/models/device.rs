//! Devices: the best there is, its name, and what it may round.

use crate::error::{Error, Result};
use candle_core::Device;

/// CUDA where it was built in and a GPU is there, else Metal, else the CPU.
///
/// # Errors
/// A GPU or its driver that is there and cannot be opened.
pub fn best_device() -> Result<Device> {
    #[cfg(feature = "cuda")]
    if has_cuda_device()? {
        return Device::new_cuda(0).map_err(Error::tensor("opening the CUDA device"));
    }
    if candle_core::utils::metal_is_available() {
        return Device::new_metal(0).map_err(Error::tensor("opening the Metal device"));
    }
    Ok(Device::Cpu)
}

/// Whether the driver knows a GPU. Built with CUDA or not is all that candle's own question asks.
#[cfg(feature = "cuda")]
fn has_cuda_device() -> Result<bool> {
    use candle_core::cuda_backend::cudarc::driver::{CudaContext, sys::CUresult};
    match CudaContext::device_count() {
        Ok(count) => Ok(count > 0),
        // The toolkit's stand-in for a driver calls itself a stub library.
        Err(error) if [CUresult::CUDA_ERROR_NO_DEVICE, CUresult::CUDA_ERROR_STUB_LIBRARY].contains(&error.0) => {
            Ok(false)
        }
        Err(error) => Err(Error::tensor("asking the CUDA driver for devices")(
            candle_core::cuda_backend::CudaError::from(error).into(),
        )),
    }
}

/// Lets matrix products of f32 on CUDA round their factors to TF32, ten bits behind the point, which tensor cores
/// multiply several times faster; sums stay f32. Off unless called, for the whole process. Without the feature `cuda`
/// and on other devices it changes nothing.
///
/// PyTorch has it off for matrix products too (`torch.backends.cuda.matmul.allow_tf32`), and on for convolutions. Here
/// patch and 1x1 convolutions are matrix products and follow this switch; depthwise ones stay f32.
pub fn allow_tf32(allowed: bool) {
    candle_core::cuda::set_gemm_reduced_precision_f32(allowed);
}

/// The device in words, for a page: `the processor, 2 threads`.
pub fn describe_device(device: &Device) -> String {
    match device {
        Device::Cpu => match rayon::current_num_threads() {
            1 => "the processor, 1 thread".into(),
            n => format!("the processor, {n} threads"),
        },
        _ => format!("a GPU ({}, {:?})", device_name(device), device.location()),
    }
}

/// `cpu`, `cuda` or `metal`.
pub fn device_name(device: &Device) -> &'static str {
    match device {
        Device::Cpu => "cpu",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
}

/// The kind of device and, where it is told to, what it rounds products to ([`allow_tf32`]): two runs on devices of one
/// arithmetic may be held against each other.
pub fn arithmetic(device: &Device) -> String {
    let rounded = device.is_cuda() && candle_core::cuda::gemm_reduced_precision_f32();
    format!("{}{}", device_name(device), if rounded { ", tf32" } else { "" })
}
