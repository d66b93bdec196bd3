//! Weights that PyTorch drew and wrote under its own names, through the loader that reads published files, and the features
//! that PyTorch computed on the same device.

use crate::Rows;
use crate::compare::relative;
use crate::correct::{FAIL, PASS};
use std::path::Path;
use wider_clip::candle_core::{DType, Device, Tensor, safetensors};
use wider_clip::candle_nn::VarBuilder;
use wider_clip::error::{Error, Result};
use wider_clip::models::assemble::assemble;
use wider_clip::models::{Architecture, WeightFile, allow_tf32};

/// What the largest error may be over the largest value, and the cosine of each image at least.
const BOUND: f64 = 1e-3;
const COSINE: f64 = 0.99999;

/// The row of one model: the publisher whose names were found, the least cosine, the largest error, the bounds, the verdict.
pub fn held(architecture: &str, pooling: &str, folder: &Path, device: &Device) -> Result<Rows> {
    allow_tf32(false);
    let file = WeightFile::open(&folder.join("model.safetensors"))?;
    let expected = safetensors::load(folder.join("expected.safetensors"), &Device::Cpu)?;
    let read = |name: &str| expected.get(name).ok_or_else(|| Error::argument("expected.safetensors", name, "none"));
    let images = read("images")?.to_device(device)?;
    let architecture = Architecture::named(architecture)?.with_image_size(images.dim(3)?);
    let weights = assemble(&file, &architecture.parameters(), architecture.schemes(), DType::F32, device)?;
    let model = architecture.build(VarBuilder::from_tensors(weights.tensors, DType::F32, device))?;
    let features = model.forward_features(&images)?;
    let found = features.iter().find(|(name, _)| *name == pooling);
    let found =
        found.ok_or_else(|| Error::argument("pooling", pooling, "no such feature"))?.1.to_device(&Device::Cpu)?;
    let off = relative(&found, read("features")?).relative;
    let cosine = least_cosine(&found, read("features")?)?;
    let verdict = if off < BOUND && cosine > COSINE { PASS } else { FAIL };
    let cells = [weights.publisher.into(), format!("{cosine:.7}"), format!("{off:.1e}"), format!("{BOUND:.0e}")];
    Ok(vec![cells.into_iter().chain([COSINE.to_string(), verdict.to_string()]).collect()])
}

/// The smallest cosine of a row of `a` with the same row of `b`.
fn least_cosine(a: &Tensor, b: &Tensor) -> Result<f64> {
    let (a, b) = (a.to_dtype(DType::F64)?, b.to_dtype(DType::F64)?);
    let dot = |a: &Tensor, b: &Tensor| (a * b)?.sum(1);
    let cosines = (dot(&a, &b)? / (dot(&a, &a)? * dot(&b, &b)?)?.sqrt()?)?;
    Ok(cosines.min(0)?.to_scalar::<f64>()?)
}
