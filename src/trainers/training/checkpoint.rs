//! Where a run stands, in one file: everything that the next step depends on. Written whole or not at all, with a sum of its
//! bytes, so that a bit that flips is noticed before it is gone on with.

use crate::error::{Error, Result};
use crate::storage;
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The fact that holds the file's sum: CRC-32, in hex, of all bytes with [`UNSUMMED`] in its place.
const SUM: &str = "crc32";
/// What stands there while the sum is made; as long as the sum.
const UNSUMMED: &str = "--------";

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
    /// A file that cannot be read, is no checkpoint, or has another sum than it says. Older ones say none.
    pub fn read(path: &Path, device: &Device) -> Result<Checkpoint> {
        let bytes = std::fs::read(path).map_err(Error::io(path, "reading"))?;
        let broken = |error: safetensors::SafeTensorError| Error::data(path, "a checkpoint", error.to_string());
        let (header, metadata) = SafeTensors::read_metadata(&bytes).map_err(broken)?;
        let mut facts = metadata.metadata().clone().unwrap_or_default();
        if let Some(said) = facts.remove(SUM) {
            let found = place_of_sum(&bytes, header, &said).map(|place| sum(&bytes, place));
            if found.as_deref() != Some(said.as_str()) {
                let found = found.unwrap_or_else(|| "none".into());
                let advice = "the file was damaged after it was written: remove it to begin anew";
                return Err(Error::data(path, format!("bytes with CRC-32 {said}"), format!("{found}; {advice}")));
            }
        }
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

    /// Writes the file, with its sum.
    ///
    /// # Errors
    /// A folder that cannot be written to; no memory.
    pub fn write(mut self, path: &Path) -> Result<()> {
        self.facts.insert(SUM.into(), UNSUMMED.into());
        let mut file = serialized(path, &self.tensors, DType::F32, self.facts)?;
        let header = file.first_chunk().map_or(0, |length| u64::from_le_bytes(*length) as usize);
        if let Some(place) = place_of_sum(&file, header, UNSUMMED) {
            let sum = sum(&file, place);
            file[place..place + sum.len()].copy_from_slice(sum.as_bytes());
        }
        storage::write_atomic(path, &file)
    }
}

/// Where in the header, which follows its length, the sum `said` stands.
fn place_of_sum(file: &[u8], header: usize, said: &str) -> Option<usize> {
    let (written, header) = (format!("\"{SUM}\":\"{said}\""), file.get(8..8 + header)?);
    let at = header.windows(written.len()).position(|bytes| bytes == written.as_bytes())?;
    (said.len() == UNSUMMED.len()).then(|| 8 + at + written.len() - 1 - said.len())
}

/// The sum of a file whose own sum has its place at `place`.
fn sum(file: &[u8], place: usize) -> String {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&file[..place]);
    sum.update(UNSUMMED.as_bytes());
    sum.update(&file[place + UNSUMMED.len()..]);
    format!("{:08x}", sum.finalize())
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
    storage::write_atomic(path, &serialized(path, tensors, dtype, facts)?)
}

fn serialized(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    dtype: DType,
    facts: HashMap<String, String>,
) -> Result<Vec<u8>> {
    let stored = |tensor: &Tensor| tensor.detach().to_device(&Device::Cpu)?.to_dtype(dtype)?.contiguous();
    let stored = tensors.iter().map(|(name, tensor)| Ok((name, stored(tensor)?))).collect::<Result<Vec<_>>>()?;
    safetensors::serialize(stored, Some(facts))
        .map_err(|error| Error::data(path, "tensors that can be written", error.to_string()))
}
