//! `model.safetensors.index.json` and `pytorch_model.bin.index.json`: which of several files holds which tensor.

use super::Part;
use crate::error::{Error, Result};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;
use std::path::{Component, Path};

/// The longest index that is read.
const LONGEST: u64 = 64 << 20;

/// Which file holds a tensor, by the tensor's name.
#[derive(Deserialize)]
pub(super) struct Index {
    weight_map: Unique<String>,
}

/// A JSON object in which no name stands twice.
pub(super) struct Unique<V>(pub(super) BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = Unique<V>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique<V>, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, V>()? {
                    if entries.contains_key(&name) {
                        return Err(A::Error::custom(format!("`{}` twice", super::pickle::short(&name))));
                    }
                    entries.insert(name, value);
                }
                Ok(Unique(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl Index {
    /// The index that the file is, if it is one: JSON with a `weight_map`.
    pub(super) fn read(part: &Part, start: &[u8]) -> Result<Option<Index>> {
        let json = start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        if !json || part.length > LONGEST {
            return Ok(None);
        }
        let bytes = part.read(0, part.length)?;
        match serde_json::from_slice::<Index>(&bytes) {
            Ok(index) => {
                index.check(&part.path)?;
                Ok(Some(index))
            }
            // An error message in JSON, or an index that is broken.
            Err(error) if bytes.windows(12).any(|text| text == b"\"weight_map\"") => {
                Err(Error::data(&part.path, "an index of weight files: names to files", error.to_string()))
            }
            Err(_) => Ok(None),
        }
    }

    /// Every file lies beside the index or beneath.
    fn check(&self, path: &Path) -> Result<()> {
        if self.weight_map.0.is_empty() {
            return Err(Error::data(path, "at least one tensor", "an index of none"));
        }
        let plain = |file: &str| {
            let inside = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
            !file.is_empty() && inside && !file.contains(['\\', '\0', ':'])
        };
        match self.files().into_iter().find(|file| !plain(file)) {
            Some(file) => Err(Error::data(path, "files beside the index", format!("`{}`", super::pickle::short(file)))),
            None => Ok(()),
        }
    }

    /// The files, each once, sorted.
    pub(super) fn files(&self) -> BTreeSet<&str> {
        self.weight_map.0.values().map(String::as_str).collect()
    }

    /// The tensors that are to lie in a file.
    pub(super) fn tensors_of<'a>(&'a self, file: &'a str) -> impl Iterator<Item = &'a str> {
        let map = self.weight_map.0.iter();
        map.filter(move |(_, inside)| inside.as_str() == file).map(|(name, _)| name.as_str())
    }
}
