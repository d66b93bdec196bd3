//! Files of published weights: safetensors, or what `torch.save` writes since PyTorch 1.6 (`.bin`, `.pth`, `.pt`).
//!
//! The file is memory-mapped and its table of tensors read; a tensor's bytes are copied when it is asked for. Which of
//! the two it is, the content tells, not the name. A PyTorch file is a pickle in a zip archive: its instructions are
//! followed by candle's reader, which builds a tree of plain values and runs no code, and a file that holds objects
//! other than tensors and plain values is refused.
//!
//! ```no_run
//! use wider_clip::candle_core::Device;
//! use wider_clip::models::WeightFile;
//!
//! let file = WeightFile::open(std::path::Path::new("model.safetensors"))?;
//! for name in file.names() {
//!     println!("{name}: {:?} {:?}", file.dtype(name)?, file.shape(name)?);
//! }
//! let weight = file.get("blocks.0.attn.qkv.weight", &Device::Cpu)?;
//! # Ok::<(), wider_clip::error::Error>(())
//! ```

mod foreign;
mod pytorch;
mod safetensors;

use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use memmap2::Mmap;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// How a file of weights is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightFormat {
    /// <https://github.com/huggingface/safetensors>.
    Safetensors,
    /// The zip archive of `torch.save`.
    Pytorch,
}

/// The tensors of a file, by the names that the file gives them. A map of the file stays open while this lives: the
/// file must not be cut or rewritten in place meanwhile (the hub's cache and [`crate::storage`] never do).
pub struct WeightFile {
    path: PathBuf,
    format: WeightFormat,
    map: Mmap,
    tensors: BTreeMap<String, Stored>,
}

/// Where a tensor lies in the file, checked against the file's length when it is opened.
#[derive(Debug)]
struct Stored {
    /// The type, or the file's word for one that candle does not have.
    dtype: Result<DType, String>,
    shape: Vec<usize>,
    /// Steps between elements along each axis, counted in elements.
    strides: Vec<usize>,
    /// Byte of the first element, from the start of the file.
    start: usize,
}

impl WeightFile {
    /// Opens a file and reads its table of tensors.
    ///
    /// Of a PyTorch file, the state dict is the top-level dict where that holds a tensor, else its entry `state_dict`,
    /// else its entry `model`. Beside the state dict, numbers, text and containers of them and of tensors are passed
    /// over (`epoch`, `optimizer`).
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read. [`Error::Data`] if it is cut short or longer than its table says; is
    /// neither of the formats (the message says what it looks like: a web page, a git-lfs pointer, PyTorch's older
    /// format, ...); holds an object that is not a tensor, with its key and class; holds no tensor at all.
    pub fn open(path: &Path) -> Result<WeightFile> {
        let file = File::open(path).map_err(Error::io(path, "opening"))?;
        let metadata = file.metadata().map_err(Error::io(path, "reading"))?;
        if !metadata.is_file() || metadata.len() == 0 {
            let found = if metadata.is_file() { "an empty file" } else { "a folder or a device" };
            return Err(foreign::not_weights(path, found));
        }
        // SAFETY: the map is read-only; that nobody cuts the file short while it is mapped is this type's condition.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path, "mapping"))?;
        let (format, tensors) = if safetensors::looks_like(&map) {
            (WeightFormat::Safetensors, safetensors::read(path, &map)?)
        } else if pytorch::looks_like(&map) {
            (WeightFormat::Pytorch, pytorch::read(path, &map)?)
        } else {
            return Err(foreign::not_weights(path, foreign::guess(&map)));
        };
        if tensors.is_empty() {
            return Err(Error::data(path, "at least one tensor", "none"));
        }
        Ok(WeightFile { path: path.to_path_buf(), format, map, tensors })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is laid out.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor; of a scalar `[]`.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no tensor of that name.
    pub fn shape(&self, name: &str) -> Result<&[usize]> {
        Ok(&self.stored(name)?.shape)
    }

    /// The type of a tensor, as the file has it; booleans are U8.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no tensor of that name, or its type is one that candle does not have.
    pub fn dtype(&self, name: &str) -> Result<DType> {
        self.stored(name)?.dtype.clone().map_err(|found| {
            let expected = format!("tensor `{name}` of a type that candle has (f64, f32, f16, bf16, i64, ...)");
            Error::data(&self.path, expected, found)
        })
    }

    /// A tensor in the file's type, contiguous, copied to `device`.
    ///
    /// # Errors
    /// As [`WeightFile::dtype`]; [`Error::Tensor`] if the device has no room.
    pub fn get(&self, name: &str, device: &Device) -> Result<Tensor> {
        let dtype = self.dtype(name)?;
        let stored = self.stored(name)?;
        let bytes = stored.gather(&self.map, dtype.size_in_bytes());
        Tensor::from_raw_buffer(&bytes, dtype, &stored.shape, device)
            .map_err(Error::tensor(format!("{}: tensor `{name}`", self.path.display())))
    }

    fn stored(&self, name: &str) -> Result<&Stored> {
        self.tensors.get(name).ok_or_else(|| {
            let some = self.names().take(5).collect::<Vec<_>>().join(", ");
            Error::data(
                &self.path,
                format!("a tensor called `{name}`"),
                format!("{} others, such as {some}", self.tensors.len()),
            )
        })
    }
}

impl Stored {
    /// The number of elements from the first to the last one in the file, both included; `None` if that overflows.
    fn span(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        self.shape
            .iter()
            .zip(&self.strides)
            .try_fold(1usize, |sum, (n, stride)| sum.checked_add((n - 1).checked_mul(*stride)?))
    }

    /// The elements in row-major order, `size` bytes each; borrowed where the file has them so.
    fn gather<'a>(&self, map: &'a [u8], size: usize) -> Cow<'a, [u8]> {
        let count: usize = self.shape.iter().product();
        if self.shape.iter().zip(&self.strides).zip(row_major(&self.shape)).all(|((n, s), row)| *n <= 1 || *s == row) {
            return Cow::Borrowed(&map[self.start..self.start + count * size]);
        }
        let mut bytes = Vec::with_capacity(count * size);
        let mut index = vec![0; self.shape.len()];
        let mut at = self.start;
        for _ in 0..count {
            bytes.extend_from_slice(&map[at..at + size]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += self.strides[axis] * size;
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= self.strides[axis] * size * self.shape[axis];
                index[axis] = 0;
            }
        }
        Cow::Owned(bytes)
    }
}

/// The strides of a contiguous tensor.
fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}
