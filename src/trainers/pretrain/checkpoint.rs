//! Where a run stands, in one file: everything that the next step depends on.

use crate::error::{Error, Result};
use crate::storage;
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A run's state: tensors by name, and numbers and words.
pub(super) struct Checkpoint {
    pub(super) tensors: HashMap<String, Tensor>,
    pub(super) facts: HashMap<String, String>,
}

impl Checkpoint {
    /// Reads a file.
    pub(super) fn read(path: &Path, device: &Device) -> Result<Checkpoint> {
        let bytes = std::fs::read(path).map_err(Error::io(path, "reading"))?;
        let broken = |error: safetensors::SafeTensorError| Error::data(path, "a checkpoint", error.to_string());
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
        let facts = metadata.metadata().clone().unwrap_or_default();
        let tensors = candle_core::safetensors::load_buffer(&bytes, device)?;
        Ok(Checkpoint { tensors, facts })
    }

    /// A fact of the file, which `path` names in the error.
    pub(super) fn fact<T: std::str::FromStr>(&self, path: &Path, name: &str) -> Result<T> {
        let found = self.facts.get(name);
        found
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Error::data(path, format!("`{name}` in the checkpoint's metadata"), format!("{found:?}")))
    }
}

/// Writes tensors as `dtype`, with facts in the file's metadata; whole or not at all.
pub(super) fn write(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    dtype: DType,
    facts: HashMap<String, String>,
) -> Result<()> {
    let stored = |tensor: &Tensor| tensor.detach().to_device(&Device::Cpu)?.to_dtype(dtype)?.contiguous();
    let stored = tensors.iter().map(|(name, tensor)| Ok((name, stored(tensor)?))).collect::<Result<Vec<_>>>()?;
    let file = safetensors::serialize(stored, Some(facts))
        .map_err(|error| Error::data(path, "tensors that can be written", error.to_string()))?;
    storage::write_atomic(path, &file)
}
