//! What `torch.save` writes: since PyTorch 1.6 a zip archive of `data.pkl`, a pickle that names shapes, strides and
//! storages, and one uncompressed file a storage; before, five pickles and the storages one after another.

use super::foreign::{not_a_tensor, not_weights};
use super::pickle::{Node, Pickle, Value, short};
use super::state_dict::{self, View, storage_of};
use super::{Part, Stored, opcodes, row_major};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;
use zip::{CompressionMethod, ZipArchive};

/// The longest pickle that is read. Those of the largest models have some megabytes.
const LONGEST: u64 = 256 << 20;

/// Name to start and length in bytes.
type Storages = BTreeMap<String, (u64, u64)>;

/// The pickle with which an older file begins: the number 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 13] = [0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// Whether the file is a zip archive with its end.
pub(super) fn looks_like(part: &Part, start: &[u8]) -> bool {
    start.starts_with(b"PK") && part.reader().is_ok_and(|file| ZipArchive::new(BufReader::new(file)).is_ok())
}

/// Whether the file is one of PyTorch before 1.6.
pub(super) fn looks_older(start: &[u8]) -> bool {
    matches!(start, [0x80, 2..=5, rest @ ..] if rest.starts_with(&MAGIC))
}

pub(super) fn read(part: &Part) -> Result<BTreeMap<String, Stored>> {
    let archive = Archive::read(part)?;
    let bytes = part.read(archive.pickle.0, archive.pickle.1)?;
    let pickle = parse(&part.path, &bytes)?;
    tensors(&part.path, &pickle, &archive.storages)
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<Pickle<'a>> {
    opcodes::read(bytes).map_err(|found| Error::data(path, "a pickle of tensors and plain values", found))
}

/// The tensors of the state dict, each found in its storage.
fn tensors(path: &Path, pickle: &Pickle<'_>, storages: &Storages) -> Result<BTreeMap<String, Stored>> {
    let mut tensors = BTreeMap::new();
    for (key, value) in state_dict::find(path, pickle)? {
        let Some(name) = pickle.text(*key) else {
            return Err(Error::data(path, "tensors under names", format!("the key {}", pickle.describe(*key))));
        };
        // What torch.nn.Module.state_dict() keeps as an attribute: versions of modules.
        if name == "_metadata" && pickle.dict(*value).is_some() {
            continue;
        }
        let Some(view) = View::of(pickle, *value) else {
            return not_a_tensor(path, &short(name), &pickle.describe(*value));
        };
        let stored = locate(storages, view)
            .map_err(|(expected, found)| Error::data(path, format!("tensor `{}` {expected}", short(name)), found))?;
        if tensors.insert(name.to_string(), stored).is_some() {
            return Err(Error::data(path, "one tensor a name", format!("`{}` twice", short(name))));
        }
    }
    Ok(tensors)
}

/// Where the tensor's elements lie; else what was expected of it and what was found.
fn locate(storages: &Storages, view: View<'_>) -> Result<Stored, (String, String)> {
    let storage = format!("in the storage data/{}", short(view.storage));
    let Some((start, length)) = storages.get(view.storage) else {
        return Err((storage, "no such storage, or one that is compressed".into()));
    };
    let size = view.size;
    let mut stored = Stored { part: 0, element: view.element, shape: view.shape, strides: view.strides, start: *start };
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
        Some(needed) if needed as u64 <= *length => {
            stored.start += (view.offset * size) as u64;
            Ok(stored)
        }
        _ => {
            let needed = needed.map_or_else(|| "more than there can be".into(), |n| n.to_string());
            Err((format!("{storage} of {needed} bytes"), format!("{length} bytes")))
        }
    }
}

/// The parts of the zip archive, as ranges of the file.
struct Archive {
    /// Start and length.
    pickle: (u64, u64),
    storages: Storages,
}

impl Archive {
    fn read(part: &Part) -> Result<Archive> {
        let path = &part.path;
        let bad = |error: zip::result::ZipError| not_weights(path, format!("a zip archive that is damaged: {error}"));
        let mut zip = ZipArchive::new(BufReader::new(part.reader()?)).map_err(bad)?;
        let (mut ranges, mut prefix) = (BTreeMap::new(), None);
        for i in 0..zip.len() {
            let entry = zip.by_index_raw(i).map_err(bad)?;
            let name = entry.name().map_err(bad)?.to_string();
            let range = entry.data_start().map(|start| (start, entry.size()));
            let stored = entry.compression() == CompressionMethod::Stored && entry.compressed_size() == entry.size();
            let inside = range.filter(|(start, n)| start.checked_add(*n).is_some_and(|end| end <= part.length));
            if let Some(folder) = name.strip_suffix("data.pkl").filter(|f| f.is_empty() || f.ends_with('/'))
                && let Some(other) = prefix.replace(folder.to_string())
            {
                let found = format!("two, `{}data.pkl` and `{}`", short(&other), short(&name));
                return Err(Error::data(path, "one data.pkl", found));
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
        let find = |name: &str| -> Result<Option<(u64, u64)>> {
            match ranges.get(&format!("{prefix}{name}")) {
                None => Ok(None),
                Some(Some(range)) => Ok(Some(*range)),
                Some(None) => Err(not_weights(path, format!("a zip archive whose {name} is compressed or encrypted"))),
            }
        };
        if let Some((start, length)) = find("byteorder")?
            && part.read(start, length.min(16))? != b"little"
        {
            return Err(big_endian(path));
        }
        let pickle = find("data.pkl")?.unwrap_or_default();
        if pickle.1 > LONGEST {
            return Err(Error::data(path, format!("a pickle of at most {LONGEST} bytes"), format!("{}", pickle.1)));
        }
        let data = format!("{prefix}data/");
        let storages =
            ranges.iter().filter_map(|(name, range)| Some((name.strip_prefix(&data)?.to_string(), (*range)?)));
        Ok(Archive { pickle, storages: storages.collect() })
    }
}

fn big_endian(path: &Path) -> Error {
    Error::data(path, "numbers in little-endian order", "big-endian: re-save it on another machine")
}

/// Reads a file of PyTorch before 1.6: pickles of the magic number, the version, facts of the machine, the object and the
/// names of the storages; then each storage, its number of elements (8 bytes) before it.
pub(super) fn read_older(part: &Part) -> Result<BTreeMap<String, Stored>> {
    let path = &part.path;
    // As much of the beginning as the pickles take, which is little unless bytes lie in them.
    let mut length = part.length.min(1 << 20);
    loop {
        let bytes = part.read(0, length)?;
        match older(part, &bytes) {
            Err(Older::Ends) if length < part.length.min(LONGEST) => {
                length = (4 * length).min(part.length.min(LONGEST))
            }
            Err(Older::Ends) => {
                let found = "one that is cut short. Delete it and download it again";
                return Err(Error::data(path, "a file of PyTorch before 1.6", found));
            }
            Err(Older::Wrong(error)) => return Err(*error),
            Ok(tensors) => return Ok(tensors),
        }
    }
}

/// Why an older file is not read.
enum Older {
    /// More bytes are needed.
    Ends,
    Wrong(Box<Error>),
}

impl From<Error> for Older {
    fn from(error: Error) -> Self {
        Older::Wrong(Box::new(error))
    }
}

fn older(part: &Part, bytes: &[u8]) -> Result<BTreeMap<String, Stored>, Older> {
    let path = &part.path;
    let mut at = 0;
    let mut next = || -> Result<Pickle<'_>, Older> {
        let pickle = opcodes::read(&bytes[at..]).map_err(|found| match found == opcodes::ENDS {
            true => Older::Ends,
            false => Older::from(Error::data(path, "a pickle of tensors and plain values", found)),
        })?;
        at += pickle.length;
        Ok(pickle)
    };
    let (_, version, machine, object, names) = (next()?, next()?, next()?, next()?, next()?);
    if version.root != Value::Int(1001) {
        let found = version.describe(version.root);
        return Err(Error::data(path, "version 1001 of PyTorch's older format", found).into());
    }
    let little = machine.dict(machine.root).into_iter().flatten();
    let mut little = little.filter(|(key, _)| machine.text(*key) == Some("little_endian"));
    if little.any(|(_, value)| *value == Value::Bool(false)) {
        return Err(big_endian(path).into());
    }
    // How wide the elements of each storage are, its class says.
    let mut widths = BTreeMap::new();
    for i in 0..object.nodes.len() as u32 {
        if let Some((class, name)) = storage_of(&object, Value::Node(i)) {
            let (element, width) = state_dict::typed(class);
            widths.insert(
                name,
                (element.is_ok() || class.starts_with("Complex") || class == "CharStorage").then_some(width),
            );
        }
    }
    let Some(Node::List(keys)) = names.node(names.root) else {
        return Err(Error::data(path, "a list of storages", names.describe(names.root)).into());
    };
    let (mut storages, mut start) = (Storages::new(), at as u64);
    for key in keys {
        let name = names.text(*key).unwrap_or_default();
        let Some(Some(width)) = widths.get(name) else {
            let found = format!("the storage `{}`, of which nothing is known", short(name));
            return Err(Error::data(path, "storages of tensors, each whole", found).into());
        };
        let count = part.read(start, 8).map_err(|_| Older::Ends)?;
        let count = u64::from_le_bytes(count.try_into().unwrap_or_default());
        let length = count.checked_mul(*width as u64).filter(|n| start + 8 + n.min(&part.length) <= part.length);
        let length = length.ok_or_else(|| {
            let found = format!("{} bytes: it is cut short. Delete it and download it again", part.length);
            Error::data(path, format!("the storage `{}` of {count} elements", short(name)), found)
        })?;
        storages.insert(name.to_string(), (start + 8, length));
        start += 8 + length;
    }
    if start != part.length {
        let found = format!("{}: more follows", part.length);
        return Err(Error::data(path, format!("{start} bytes, by its storages"), found).into());
    }
    Ok(tensors(path, &object, &storages)?)
}
