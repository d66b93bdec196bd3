//! From a model's record to a backbone that is ready to run.

use super::{Backbone, EfficientNet, EfficientNetConfig, Pixels, Transformer, TransformerConfig, open_weights};
use crate::error::{Error, Result};
use crate::images::{Interpolation, Preprocess, ResizeMode};
use crate::manifest::{InputRecord, InterpolationRecord, ModelRecord, ResizeRecord, Weights};
use crate::storage;
use candle_core::Device;
use std::path::{Path, PathBuf};

/// A backbone with everything that decides its features.
pub struct LoadedModel {
    /// The record it was loaded from.
    pub record: ModelRecord,
    /// The network.
    pub backbone: Box<dyn Backbone>,
    /// How an image becomes its input.
    pub preprocess: Preprocess,
    /// SHA-256 of the weights file, `seed N` for random weights, `none`.
    pub weights_id: String,
    /// Where it runs.
    pub device: Device,
}

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

/// Loads the model of `record`: embedded weights are checked against the record's hash, random ones drawn from its
/// seed. Files of half precision are computed in f32.
///
/// # Errors
/// A family or architecture that no code here builds, weights that are missing, damaged or of another model.
pub fn load(root: &Path, record: &ModelRecord, device: &Device) -> Result<LoadedModel> {
    let (weights_id, file) = match &record.weights {
        Weights::Embedded { file, sha256 } => {
            let path = root.join("data_manifests").join("embedded").join(file);
            let found = storage::sha256_file(&path)?;
            if found != *sha256 {
                return Err(Error::data(&path, format!("SHA-256 {sha256}"), found));
            }
            (found, Some(path))
        }
        Weights::Random { seed } => (format!("seed {seed}"), None),
        Weights::None => ("none".into(), None),
        Weights::Hub { repo, .. } => {
            return Err(Error::argument("weights", "embedded, random or none", format!("hub repository {repo}")));
        }
    };
    let backbone = build(record, file, device)?;
    let preprocess = preprocess(&record.input);
    preprocess.check()?;
    Ok(LoadedModel { record: record.clone(), backbone, preprocess, weights_id, device: device.clone() })
}

fn build(record: &ModelRecord, file: Option<PathBuf>, device: &Device) -> Result<Box<dyn Backbone>> {
    match (record.architecture.as_str(), file, &record.weights) {
        ("pixels", None, Weights::None) => Ok(Box::new(Pixels::new(record.input.size)?)),
        ("vit_tiny_patch8_64", None, Weights::Random { seed }) => {
            Ok(Box::new(Transformer::random(&TransformerConfig::vit_tiny_patch8_64(), *seed, device)?))
        }
        ("efficientnet_lite0", Some(file), _) => {
            Ok(Box::new(EfficientNet::load(&EfficientNetConfig::lite(0)?, open_weights(&file, device)?)?))
        }
        _ => Err(Error::Unknown {
            kind: "architecture with these weights",
            name: record.architecture.clone(),
            known: "efficientnet_lite0 from a file, vit_tiny_patch8_64 from a seed, pixels without weights".into(),
        }),
    }
}

/// How an image becomes the input that a record states.
///
/// What the record says is taken over as it is; [`Preprocess::check`] says whether it makes sense.
pub fn preprocess(input: &InputRecord) -> Preprocess {
    Preprocess {
        size: input.size,
        crop_pct: input.crop_pct,
        resize: match input.resize {
            ResizeRecord::Shorter => ResizeMode::Shorter,
            ResizeRecord::ShortestEdge => ResizeMode::ShortestEdge,
            ResizeRecord::Squash => ResizeMode::Squash,
        },
        interpolation: match input.interpolation {
            InterpolationRecord::Bilinear => Interpolation::Bilinear,
            InterpolationRecord::Bicubic => Interpolation::Bicubic,
        },
        mean: input.mean,
        std: input.std,
    }
}
