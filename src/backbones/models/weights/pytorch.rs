//! The zip archive of `torch.save`: `data.pkl`, a pickle that names shapes, strides and storages, and one uncompressed
//! file a storage.
//!
//! candle's `pickle::Stack` turns the pickle into a tree of values. Its `PthTensors` is not used: it passes over what it
//! does not know, starts a view at `offset` in its own way and reads no other strides than row- and column-major.

use super::foreign::{not_a_tensor, not_weights};
use super::{Stored, row_major};
use crate::error::{Error, Result};
use candle_core::DType;
use candle_core::pickle::{Object, Stack};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use zip::{CompressionMethod, ZipArchive};

/// Entries under which training code keeps a state dict, the first taken first.
const NESTED: [&str; 2] = ["state_dict", "model"];

/// Whether the file is a zip archive with its end.
pub(super) fn looks_like(file: &[u8]) -> bool {
    file.starts_with(b"PK") && ZipArchive::new(Cursor::new(file)).is_ok()
}

pub(super) fn read(path: &Path, file: &[u8]) -> Result<BTreeMap<String, Stored>> {
    let archive = Archive::read(path, file)?;
    let entries = match parse(path, archive.pickle)? {
        Object::Dict(entries) => state_dict(path, entries)?,
        other => {
            let found = format!("{}. Re-save its state_dict()", describe(&other));
            return Err(Error::data(path, "a dict of tensors", found));
        }
    };
    let mut tensors = BTreeMap::new();
    for (key, value) in entries {
        let Object::Unicode(name) = key else {
            return Err(Error::data(path, "tensors under names", format!("the key {}", describe(&key))));
        };
        // What torch.nn.Module.state_dict() keeps as an attribute: versions of modules.
        if name == "_metadata" && matches!(value, Object::Dict(_)) {
            continue;
        }
        let Some(view) = View::of(&value) else {
            return not_a_tensor(path, &name, &describe(&value));
        };
        let stored = archive
            .locate(&view)
            .map_err(|(expected, found)| Error::data(path, format!("tensor `{name}` {expected}"), found))?;
        if tensors.insert(name.clone(), stored).is_some() {
            return Err(Error::data(path, "one tensor a name", format!("`{name}` twice")));
        }
    }
    Ok(tensors)
}

fn parse(path: &Path, pickle: &[u8]) -> Result<Object> {
    let mut stack = Stack::empty();
    let parsed = stack.read_loop(&mut Cursor::new(pickle)).and_then(|()| stack.finalize());
    parsed.map_err(|error| {
        let found = format!("{error}. Re-save it with torch.save's usual protocol (2), or as safetensors");
        Error::data(path, "a pickle of tensors and plain values", found)
    })
}

type Entries = Vec<(Object, Object)>;

/// The entries that are the state dict. What lies beside it must be plain.
fn state_dict(path: &Path, entries: Entries) -> Result<Entries> {
    if entries.is_empty() || entries.iter().any(|(_, value)| View::of(value).is_some()) {
        return Ok(entries);
    }
    let nested =
        |name: &str| entries.iter().position(|(key, value)| is_text(key, name) && matches!(value, Object::Dict(_)));
    let Some(at) = NESTED.iter().find_map(|name| nested(name)) else {
        let keys = entries.iter().map(|(key, value)| format!("{} ({})", key_text(key), describe(value)));
        let found = format!("{}. Re-save the part that is the state dict", keys.collect::<Vec<_>>().join(", "));
        return Err(Error::data(path, "tensors, or a dict of tensors under `state_dict` or `model`", found));
    };
    let mut taken = Vec::new();
    for (i, (key, value)) in entries.into_iter().enumerate() {
        match value {
            Object::Dict(entries) if i == at => taken = entries,
            value => {
                if let Some(object) = first_object(&value) {
                    return not_a_tensor(path, &key_text(&key), &describe(object));
                }
            }
        }
    }
    Ok(taken)
}

fn is_text(key: &Object, text: &str) -> bool {
    matches!(key, Object::Unicode(found) if found == text)
}

fn key_text(key: &Object) -> String {
    match key {
        Object::Unicode(text) => text.clone(),
        other => describe(other),
    }
}

/// The first value that is neither plain nor a tensor nor a container of such.
fn first_object(value: &Object) -> Option<&Object> {
    if View::of(value).is_some() {
        return None;
    }
    match value {
        Object::Int(_) | Object::Long(_) | Object::Float(_) | Object::Unicode(_) | Object::Bool(_) | Object::None => {
            None
        }
        Object::Tuple(items) | Object::List(items) => items.iter().find_map(first_object),
        Object::Dict(entries) => entries.iter().find_map(|(_, value)| first_object(value)),
        other => Some(other),
    }
}

/// What a value is, in words.
fn describe(value: &Object) -> String {
    match value {
        Object::Int(n) => format!("the number {n}"),
        Object::Long(n) => format!("the number {n}"),
        Object::Float(x) => format!("the number {x}"),
        Object::Unicode(text) => format!("the text `{text}`"),
        Object::Bool(truth) => format!("the truth value {truth}"),
        Object::None => "None".into(),
        Object::Tuple(_) => "a tuple".into(),
        Object::List(_) => "a list".into(),
        Object::Dict(_) => "a dict".into(),
        Object::Class { module_name, class_name } => format!("the class {module_name}.{class_name}"),
        Object::Reduce { callable, .. } | Object::Build { callable, .. } => match &**callable {
            Object::Class { module_name, class_name } if module_name == "copyreg" || module_name == "copy_reg" => {
                format!("an object made by {module_name}.{class_name}")
            }
            Object::Class { module_name, class_name } => format!("an object of {module_name}.{class_name}"),
            inner => describe(inner),
        },
        Object::PersistentLoad(_) => "a storage without a tensor".into(),
        Object::Mark => "a mark of the pickle".into(),
    }
}

/// A tensor as the pickle describes it.
struct View<'a> {
    /// Class of the storage: `FloatStorage`, ...
    class: &'a str,
    /// File of the storage under `data/`.
    file: &'a str,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl View<'_> {
    fn of(value: &Object) -> Option<View<'_>> {
        match value {
            Object::Reduce { callable, args } => View::made_by(callable, args),
            _ => None,
        }
    }

    /// `torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, ...)`, also inside
    /// `_rebuild_parameter(tensor, ...)` and `torch._tensor._rebuild_from_type_v2(function, type, arguments, state)`.
    fn made_by<'a>(callable: &'a Object, args: &'a Object) -> Option<View<'a>> {
        let Object::Tuple(args) = args else { return None };
        match (class(callable)?, args.as_slice()) {
            (("torch._utils", "_rebuild_tensor_v2"), [storage, offset, shape, strides, ..]) => {
                let Object::PersistentLoad(storage) = storage else { return None };
                let Object::Tuple(storage) = &**storage else { return None };
                let [Object::Unicode(kind), storage_class, Object::Unicode(file), ..] = storage.as_slice() else {
                    return None;
                };
                let (shape, strides, (_, class)) = (sizes(shape)?, sizes(strides)?, class(storage_class)?);
                let whole = kind == "storage" && shape.len() == strides.len();
                whole.then_some(View { class, file, offset: size(offset)?, shape, strides })
            }
            (("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state"), [tensor, ..]) => {
                View::of(tensor)
            }
            (("torch._tensor", "_rebuild_from_type_v2"), [function, _, inner, ..]) => View::made_by(function, inner),
            _ => None,
        }
    }
}

fn class(value: &Object) -> Option<(&str, &str)> {
    match value {
        Object::Class { module_name, class_name } => Some((module_name, class_name)),
        _ => None,
    }
}

fn size(value: &Object) -> Option<usize> {
    match value {
        Object::Int(n) => usize::try_from(*n).ok(),
        Object::Long(n) => usize::try_from(*n).ok(),
        _ => None,
    }
}

fn sizes(value: &Object) -> Option<Vec<usize>> {
    match value {
        Object::Tuple(items) => items.iter().map(size).collect(),
        _ => None,
    }
}

/// The parts of the zip archive, as ranges of the file.
struct Archive<'a> {
    pickle: &'a [u8],
    /// Start and length of every storage, by its file under `data/`.
    storages: BTreeMap<String, (usize, usize)>,
}

impl<'a> Archive<'a> {
    fn read(path: &Path, file: &'a [u8]) -> Result<Archive<'a>> {
        let bad = |error: zip::result::ZipError| not_weights(path, format!("a zip archive that is damaged: {error}"));
        let mut zip = ZipArchive::new(Cursor::new(file)).map_err(bad)?;
        let (mut ranges, mut prefix) = (BTreeMap::new(), None);
        for i in 0..zip.len() {
            let entry = zip.by_index_raw(i).map_err(bad)?;
            let name = entry.name().map_err(bad)?.to_string();
            let range = entry.data_start().map(|start| (start as usize, entry.size() as usize));
            let stored = entry.compression() == CompressionMethod::Stored && entry.compressed_size() == entry.size();
            let inside = range.filter(|(start, n)| start.checked_add(*n).is_some_and(|end| end <= file.len()));
            if let Some(folder) = name.strip_suffix("data.pkl").filter(|f| f.is_empty() || f.ends_with('/')) {
                prefix = Some(folder.to_string());
            }
            ranges.insert(name, inside.filter(|_| stored && !entry.encrypted()));
        }
        let Some(prefix) = prefix else {
            return Err(not_weights(path, "a zip archive without data.pkl, so not one of torch.save"));
        };
        if ranges.contains_key(&format!("{prefix}constants.pkl")) {
            let found = "a TorchScript program. Load it with torch.jit.load and save its state_dict()";
            return Err(not_weights(path, found));
        }
        let part = |name: &str| -> Result<Option<&'a [u8]>> {
            match ranges.get(&format!("{prefix}{name}")) {
                None => Ok(None),
                Some(Some((start, n))) => Ok(Some(&file[*start..start + n])),
                Some(None) => Err(not_weights(path, format!("a zip archive whose {name} is compressed or encrypted"))),
            }
        };
        if part("byteorder")?.is_some_and(|order| order != b"little") {
            return Err(Error::data(
                path,
                "numbers in little-endian order",
                "big-endian: re-save it on another machine",
            ));
        }
        let pickle = part("data.pkl")?.unwrap_or_default();
        let data = format!("{prefix}data/");
        let storages =
            ranges.iter().filter_map(|(name, range)| Some((name.strip_prefix(&data)?.to_string(), (*range)?)));
        Ok(Archive { pickle, storages: storages.collect() })
    }

    /// Where the tensor's elements lie; else what was expected of it and what was found.
    fn locate(&self, view: &View<'_>) -> Result<Stored, (String, String)> {
        let storage = format!("in the storage data/{}", view.file);
        let Some((start, length)) = self.storages.get(view.file) else {
            return Err((storage, "no such storage, or one that is compressed".into()));
        };
        let dtype = dtype(view.class);
        let size = dtype.as_ref().map_or(1, |dtype| dtype.size_in_bytes());
        let mut stored = Stored { dtype, shape: view.shape.clone(), strides: view.strides.clone(), start: *start };
        let count = stored.shape.iter().try_fold(1usize, |count, n| count.checked_mul(*n));
        let needed = stored.span().zip(count).and_then(|(span, count)| match count.checked_mul(size)? {
            0 => Some(0),
            _ => view.offset.checked_add(span)?.checked_mul(size),
        });
        match needed {
            Some(0) => {
                stored.strides = row_major(&stored.shape);
                Ok(stored)
            }
            Some(needed) if needed <= *length => {
                stored.start += view.offset * size;
                Ok(stored)
            }
            _ => {
                let needed = needed.map_or_else(|| "more than there can be".into(), |n| n.to_string());
                Err((format!("{storage} of {needed} bytes"), format!("{length} bytes")))
            }
        }
    }
}

fn dtype(class: &str) -> Result<DType, String> {
    match class {
        "BoolStorage" | "ByteStorage" => Ok(DType::U8),
        "ShortStorage" => Ok(DType::I16),
        "IntStorage" => Ok(DType::I32),
        "LongStorage" => Ok(DType::I64),
        "BFloat16Storage" => Ok(DType::BF16),
        "HalfStorage" => Ok(DType::F16),
        "FloatStorage" => Ok(DType::F32),
        "DoubleStorage" => Ok(DType::F64),
        other => Err(format!("torch.{other}")),
    }
}
