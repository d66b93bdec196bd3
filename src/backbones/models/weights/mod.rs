//! Files of published weights: safetensors, what `torch.save` writes (`.bin`, `.pth`, `.pt`; today's zip archive, and the
//! form of PyTorch 0.1.10 to 1.5), and the index of several such files (`model.safetensors.index.json`).
//!
//! The table of tensors is read when the file is opened, a tensor's bytes when it is asked for. Which of the formats it
//! is, the content tells, not the name. The pickle of a PyTorch file is followed without running anything: its state
//! dict is taken, an object in it that is no tensor is refused by its class, and what lies beside it (`epoch`,
//! `optimizer`, arguments of a script) is passed over. Memory grows with the length of the file, whatever it says.
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
mod index;
mod opcodes;
mod pickle;
mod pytorch;
mod safetensors;
mod state_dict;
mod stored;

use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use index::Index;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use stored::{Element, Part, Stored, row_major};

/// How a file of weights is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightFormat {
    /// <https://github.com/huggingface/safetensors>.
    Safetensors,
    /// What `torch.save` writes.
    Pytorch,
}

/// The tensors of a file, or of the several files of an index, by the names that the files give them.
///
/// The files stay open while this lives. Nothing of them is mapped into memory: one that is cut short or rewritten in
/// place meanwhile gives an error when a tensor is asked for, as its length or its time of change is another.
pub struct WeightFile {
    path: PathBuf,
    format: WeightFormat,
    parts: Vec<Part>,
    tensors: BTreeMap<String, Stored>,
}

impl WeightFile {
    /// Opens a file and reads its table of tensors; of an index (JSON with a `weight_map`) the tables of all its files,
    /// which lie beside it.
    ///
    /// Of a PyTorch file, the state dict is the entry `state_dict` or else `model` of the top-level dict where that holds
    /// a tensor; else the top-level dict itself where it holds a tensor; else the only entry that is a dict of tensors,
    /// whatever its name (`teacher`, `net`, ...; an optimizer is none). What lies beside it is passed over.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be read. [`Error::Data`] if it is cut short or longer than its table says; is none
    /// of the formats (the message says what it looks like: a web page, a git-lfs pointer, ...); holds in its state dict
    /// an object that is not a tensor, with its key and class; holds several state dicts, with their keys; holds no
    /// tensor at all; is an index whose files are missing, lack a tensor, or hold one twice.
    pub fn open(path: &Path) -> Result<WeightFile> {
        let part = Part::open(path)?;
        let start = part.read(0, part.length.min(512))?;
        let file = match Index::read(&part, &start)? {
            Some(index) => WeightFile::of_index(path, &index)?,
            None => {
                let (format, tensors) = table(&part, &start)?;
                WeightFile { path: path.to_path_buf(), format, parts: vec![part], tensors }
            }
        };
        match file.tensors.is_empty() {
            true => Err(Error::data(path, "at least one tensor", "none")),
            false => Ok(file),
        }
    }

    /// The files that an index names, relative to its folder and sorted; `None` for a file that is no index.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read. [`Error::Data`] for an index that is broken or names a file outside of
    /// its folder.
    pub fn files_of_index(path: &Path) -> Result<Option<Vec<String>>> {
        let part = Part::open(path)?;
        let start = part.read(0, part.length.min(512))?;
        let index = Index::read(&part, &start)?;
        Ok(index.map(|index| index.files().into_iter().map(String::from).collect()))
    }

    fn of_index(path: &Path, index: &Index) -> Result<WeightFile> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut all = WeightFile {
            path: path.to_path_buf(),
            format: WeightFormat::Safetensors,
            parts: Vec::new(),
            tensors: BTreeMap::new(),
        };
        let files = index.files();
        let missing: Vec<&str> = files.iter().copied().filter(|file| !folder.join(file).is_file()).collect();
        if !missing.is_empty() {
            let found = format!("{} of them missing: {}", missing.len(), listed(&missing));
            return Err(Error::data(path, format!("the {} files of the index beside it", files.len()), found));
        }
        for file in files {
            let part = Part::open(&folder.join(file))?;
            let start = part.read(0, part.length.min(512))?;
            let (format, tensors) = table(&part, &start)?;
            let absent: Vec<&str> = index.tensors_of(file).filter(|name| !tensors.contains_key(*name)).collect();
            if !absent.is_empty() {
                let found = format!("{} of them missing: {}", absent.len(), listed(&absent));
                return Err(Error::data(&part.path, "the tensors that the index promises", found));
            }
            for (name, stored) in tensors {
                if all.tensors.contains_key(&name) {
                    let found = format!("`{}` a second time", pickle::short(&name));
                    return Err(Error::data(&part.path, "each tensor in one file of the index", found));
                }
                all.tensors.insert(name, Stored { part: all.parts.len(), ..stored });
            }
            all.format = format;
            all.parts.push(part);
        }
        Ok(all)
    }

    /// The file, or the index.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is laid out; of an index, how its files are.
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

    /// The type of a tensor, as the file has it; booleans are U8, floats of 8 bits (E4M3, E5M2) are F32.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no tensor of that name, or its type is one that is not read.
    pub fn dtype(&self, name: &str) -> Result<DType> {
        Ok(match self.element(name)? {
            Element::Same(dtype) => dtype,
            Element::Small(_) => DType::F32,
        })
    }

    fn element(&self, name: &str) -> Result<Element> {
        self.stored(name)?.element.clone().map_err(|found| {
            let expected = format!("tensor `{name}` of a type that candle has (f64, f32, f16, bf16, i64, ...)");
            Error::data(&self.path, expected, found)
        })
    }

    /// A tensor in the type that [`WeightFile::dtype`] tells, contiguous, copied to `device`.
    ///
    /// # Errors
    /// As [`WeightFile::dtype`]; [`Error::Data`] if the file was changed since it was opened, or for a view that repeats
    /// its elements to more than 256 MiB; [`Error::Tensor`] if the device has no room.
    pub fn get(&self, name: &str, device: &Device) -> Result<Tensor> {
        let element = self.element(name)?;
        let stored = self.stored(name)?;
        stored.tensor(name, &self.parts[stored.part], element, device)
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

/// Format and table of one file.
fn table(part: &Part, start: &[u8]) -> Result<(WeightFormat, BTreeMap<String, Stored>)> {
    if safetensors::looks_like(start) {
        Ok((WeightFormat::Safetensors, safetensors::read(part, start)?))
    } else if pytorch::looks_like(part, start) {
        Ok((WeightFormat::Pytorch, pytorch::read(part)?))
    } else if pytorch::looks_older(start) {
        Ok((WeightFormat::Pytorch, pytorch::read_older(part)?))
    } else {
        Err(foreign::not_weights(&part.path, foreign::guess(start)))
    }
}

/// The first few of many names.
fn listed(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(5).map(|name| pickle::short(name)).collect();
    match names.len() > shown.len() {
        true => format!("{}, ...", shown.join(", ")),
        false => shown.join(", "),
    }
}
