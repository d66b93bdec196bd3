//! Where a run stands, in one file: everything that the next step depends on. Written whole or not at all.

use crate::error::{Error, Result};
use crate::storage;
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A run's state: tensors by name, and numbers and words.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// Tensors, f32.
    pub tensors: BTreeMap<String, Tensor>,
    /// Facts by name; numbers as text that gives the same number again.
    pub facts: HashMap<String, String>,
}

impl Checkpoint {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read or is no checkpoint.
    pub fn read(path: &Path, device: &Device) -> Result<Checkpoint> {
        let bytes = std::fs::read(path).map_err(Error::io(path, "reading"))?;
        let broken = |error: safetensors::SafeTensorError| Error::data(path, "a checkpoint", error.to_string());
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
        let facts = metadata.metadata().clone().unwrap_or_default();
        let tensors = candle_core::safetensors::load_buffer(&bytes, device)?.into_iter().collect();
        Ok(Checkpoint { tensors, facts })
    }

    /// A fact of the file, which `path` names in the error.
    ///
    /// # Errors
    /// [`Error::Data`] where it is missing or of another type.
    pub fn fact<T: std::str::FromStr>(&self, path: &Path, name: &str) -> Result<T> {
        let found = self.facts.get(name);
        found
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Error::data(path, format!("`{name}` in the checkpoint's metadata"), format!("{found:?}")))
    }

    /// Adds tensors under `prefix`, which a dot divides from their names.
    pub fn put(&mut self, prefix: &str, tensors: impl IntoIterator<Item = (String, Tensor)>) {
        let named = tensors.into_iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor));
        self.tensors.extend(named);
    }

    /// The tensors under `prefix`, without it.
    pub fn under(&self, prefix: &str) -> HashMap<String, Tensor> {
        let prefix = format!("{prefix}.");
        let named = self.tensors.iter();
        named.filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?.to_owned(), tensor.clone()))).collect()
    }

    /// Writes the file.
    ///
    /// # Errors
    /// A folder that cannot be written to; no memory.
    pub fn write(self, path: &Path) -> Result<()> {
        write(path, &self.tensors, DType::F32, self.facts)
    }
}

/// Writes tensors as `dtype`, with facts in the file's metadata; whole or not at all.
///
/// # Errors
/// A folder that cannot be written to; no memory.
pub fn write(
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
