//! One Parquet file, read a column at a time.
//!
//! What is read is a single leaf of the schema: of the image struct its `bytes` without its `path`, or the other way round.
//! Types are those of Parquet, which are few; what a writer kept of its own types (categories, views, large strings) does
//! not matter. A damaged file makes the decoder panic in places: here that is an error with the file's name.

use super::{footer, pages};
use crate::error::{Error, Result};
use crate::guard::caught;
use polars_arrow::array::{
    Array, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, StructArray, Utf8ViewArray,
};
use polars_arrow::datatypes::{ArrowDataType, Field};
use polars_buffer::Buffer;
use polars_parquet::read::schema::parquet_to_arrow_schema;
use polars_parquet::read::{
    BasicDecompressor, ColumnChunkMetadata, ColumnDescriptor, FileMetadata, Filter, PageReader, PrimitiveLogicalType,
    column_iter_to_arrays, read_metadata,
};
use polars_utils::mmap::MMapSemaphore;
use polars_utils::pl_str::PlSmallStr;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// An open file.
pub(super) struct Table {
    path: PathBuf,
    metadata: Arc<FileMetadata>,
    bytes: Buffer<u8>,
    /// The leaves and row groups whose pages were held against the file, so that this is done once.
    checked: Mutex<BTreeSet<(usize, usize)>>,
}

/// A column that can be read: its place among the leaves of the schema, and how it is nested.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    index: usize,
    field: Field,
    /// Its type in words, for messages.
    pub kind: String,
}

/// The values of a column.
pub(super) enum Values {
    Binary(BinaryViewArray),
    Fixed(FixedSizeBinaryArray),
    Text(Utf8ViewArray),
    Truth(BooleanArray),
    I8(PrimitiveArray<i8>),
    I16(PrimitiveArray<i16>),
    I32(PrimitiveArray<i32>),
    I64(PrimitiveArray<i64>),
    U8(PrimitiveArray<u8>),
    U16(PrimitiveArray<u16>),
    U32(PrimitiveArray<u32>),
    U64(PrimitiveArray<u64>),
    F32(PrimitiveArray<f32>),
    F64(PrimitiveArray<f64>),
    /// So many nulls.
    Null(usize),
}

impl Table {
    /// Opens a file of images and reads its footer.
    ///
    /// # Errors
    /// A file that is not there, is no Parquet file, or states more images than it has bytes.
    pub fn open(path: &Path) -> Result<Table> {
        Table::open_of(path, 1)
    }

    /// Opens a file of at most so many rows per byte: rows that repeat each other take less than one.
    ///
    /// # Errors
    /// As for [`Table::open`].
    pub fn open_of(path: &Path, rows_per_byte: u64) -> Result<Table> {
        let mut file = File::open(path).map_err(Error::io(path, "opening"))?;
        let length = file.metadata().map_err(Error::io(path, "looking at"))?.len();
        let mut first = [0; 23];
        let n = file.read(&mut first).map_err(Error::io(path, "reading"))?;
        if first[..n].starts_with(b"version https://git-lfs") {
            let found = "a pointer of Git LFS to one; `git lfs pull` fetches the file itself";
            return Err(Error::data(path, "a Parquet file", found));
        }
        if length < 12 {
            return Err(Error::data(path, "a Parquet file", format!("{length} bytes")));
        }
        let damaged = |found: String| Error::data(path, "a whole Parquet file", found);
        footer::check(&mut file, length).map_err(damaged)?;
        let metadata =
            guarded(path, || Ok(read_metadata(&mut file)))?.map_err(Error::table(path.display().to_string()))?;
        let (stated, rows) = (metadata.num_rows, metadata.row_groups.iter().map(|group| group.num_rows()));
        let rows = rows.fold(0, |sum: usize, rows| sum.saturating_add(rows));
        // What states more would only take memory.
        if rows != stated || rows as u64 > length.saturating_mul(rows_per_byte) {
            let found = format!("{stated} rows stated, {rows} in its row groups, {length} bytes in all");
            return Err(Error::data(path, "a whole Parquet file", found));
        }
        let mapped = MMapSemaphore::new_from_file(&file).map_err(Error::table(path.display().to_string()))?;
        Ok(Table {
            path: path.into(),
            metadata: Arc::new(metadata),
            bytes: Buffer::from_owner(mapped),
            checked: Default::default(),
        })
    }

    /// Rows of the file.
    pub fn rows(&self) -> usize {
        self.metadata.num_rows
    }

    /// The names of the columns, in the file's order.
    pub fn columns(&self) -> Vec<&str> {
        self.metadata.schema().fields().iter().map(|field| field.name()).collect()
    }

    /// Whether a leaf is called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.leaves().any(|leaf| path_of(leaf) == name)
    }

    /// The text under `key` in the file's metadata.
    pub fn note(&self, key: &str) -> Option<&str> {
        let entries = self.metadata.key_value_metadata().as_ref()?;
        entries.iter().find(|entry| entry.key == key)?.value.as_deref()
    }

    /// The leaf called `name`, joined by dots where it stands in a struct; `None` where there is none.
    ///
    /// # Errors
    /// A column inside a list or map, of which a row has any number.
    pub fn leaf(&self, name: &str) -> Result<Option<Leaf>> {
        let found = self.leaves().enumerate().find(|(_, leaf)| path_of(leaf) == name);
        let Some((index, leaf)) = found else { return Ok(None) };
        guarded(&self.path, || Ok(self.nested_field(leaf)))?
            .map(|(field, kind)| Some(Leaf { index, field, kind }))
            .ok_or_else(|| {
                let expected = format!("one value per row in column `{name}`");
                Error::data(&self.path, expected, "a list or map of them")
            })
    }

    /// The names of what stands inside column `name`: the fields of a struct, joined by dots.
    pub fn inside(&self, name: &str) -> Vec<String> {
        let below = |leaf: &ColumnDescriptor| path_of(leaf).strip_prefix(name)?.strip_prefix('.').map(String::from);
        self.leaves().filter_map(below).collect()
    }

    /// Whether column `name` holds a list or map, of which a row has any number.
    pub fn is_repeated(&self, name: &str) -> bool {
        let of_column = |leaf: &&ColumnDescriptor| {
            let path = path_of(leaf);
            path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        };
        self.leaves().filter(of_column).any(|leaf| leaf.descriptor.max_rep_level > 0)
    }

    fn leaves(&self) -> impl Iterator<Item = &ColumnDescriptor> {
        self.metadata.schema().columns().iter()
    }

    /// The field of a leaf with the structs that it stands in, each pruned to the way there, and its type in words.
    fn nested_field(&self, leaf: &ColumnDescriptor) -> Option<(Field, String)> {
        let schema = parquet_to_arrow_schema(self.metadata.schema().fields());
        let mut names = leaf.path_in_schema.iter();
        let mut chain = vec![schema.get(names.next()?.as_str())?.clone()];
        for name in names {
            let ArrowDataType::Struct(fields) = chain.last()?.dtype() else { return None };
            chain.push(fields.iter().find(|field| field.name == *name)?.clone());
        }
        let mut field = chain.pop()?;
        if leaf.descriptor.max_rep_level > 0 {
            return None;
        }
        let primitive = &leaf.descriptor.primitive_type;
        if matches!(primitive.logical_type, Some(PrimitiveLogicalType::Unknown)) {
            field.dtype = ArrowDataType::Null;
        }
        let kind = format!("{:?}", field.dtype());
        while let Some(outer) = chain.pop() {
            field = Field::new(outer.name.clone(), ArrowDataType::Struct(vec![field]), outer.is_nullable);
        }
        Some((field, kind))
    }

    /// The values of a column in `rows`, piece after piece: a piece is at most what a row group holds.
    ///
    /// # Errors
    /// A file that is damaged; a type that is not read.
    pub fn read(&self, leaf: &Leaf, rows: Range<usize>, mut take: impl FnMut(Values) -> Result<()>) -> Result<()> {
        let mut start = 0;
        for (number, group) in self.metadata.row_groups.iter().enumerate() {
            let n = group.num_rows();
            let (from, to) = (rows.start.max(start), rows.end.min(start + n));
            if from < to {
                let (from, to) = (from - start, to - start);
                let values = guarded(&self.path, || self.decode(leaf, number, from..to))?;
                let found = values.len();
                if found != to - from {
                    return Err(Error::data(
                        &self.path,
                        format!("{} values in a column", to - from),
                        found.to_string(),
                    ));
                }
                take(values)?;
            }
            start += n;
        }
        Ok(())
    }

    /// The part of the file that a leaf has in a row group, whose pages were held against it.
    fn checked_chunk(&self, leaf: usize, group: usize) -> Result<(&ColumnChunkMetadata, Buffer<u8>)> {
        let wrong = || Error::data(&self.path, "a whole Parquet file", "a column outside of it");
        let place = (leaf, group);
        let group = self.metadata.row_groups.get(group).ok_or_else(wrong)?;
        let chunk = group.parquet_columns().get(leaf).ok_or_else(wrong)?;
        let range = chunk.byte_range();
        let (from, to) = (range.start as usize, range.end as usize);
        if from > to || to > self.bytes.len() {
            return Err(wrong());
        }
        let bytes = self.bytes.clone().sliced(from..to);
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if !checked.contains(&place) {
            pages::check(chunk, &bytes, group.num_rows()).map_err(|found| {
                let found = format!("column `{}`, {found}", path_of(chunk.descriptor()));
                Error::data(&self.path, "a whole Parquet file", found)
            })?;
            checked.insert(place);
        }
        Ok((chunk, bytes))
    }

    /// Holds the pages of all columns against the file.
    ///
    /// # Errors
    /// A file that is damaged; a column of lists or maps, which may hold any number of values.
    pub fn check(&self) -> Result<()> {
        if let Some(leaf) = self.leaves().find(|leaf| leaf.descriptor.max_rep_level > 0) {
            let expected = format!("one value per row in column `{}`", path_of(leaf));
            return Err(Error::data(&self.path, expected, "a list or map of them"));
        }
        guarded(&self.path, || {
            for (number, group) in self.metadata.row_groups.iter().enumerate() {
                for leaf in 0..group.parquet_columns().len() {
                    self.checked_chunk(leaf, number)?;
                }
            }
            Ok(())
        })
    }

    fn decode(&self, leaf: &Leaf, group: usize, rows: Range<usize>) -> Result<Values> {
        let wrong = || Error::data(&self.path, "a whole Parquet file", "a column outside of it");
        let (chunk, bytes) = self.checked_chunk(leaf.index, group)?;
        let n = bytes.len();
        let pages = PageReader::new(Cursor::new(bytes), chunk, vec![], n);
        let primitive = &chunk.descriptor().descriptor.primitive_type;
        let filter = Some(Filter::new_ranged(rows.start, rows.end));
        let pages = vec![BasicDecompressor::new(pages, vec![])];
        let (mut arrays, _) = column_iter_to_arrays(pages, vec![primitive], leaf.field.clone(), filter)
            .map_err(Error::table(self.path.display().to_string()))?;
        let mut array = match arrays.len() {
            1 => arrays.remove(0),
            n => return Err(Error::data(&self.path, "one array per row group", n.to_string())),
        };
        let mut outer = Vec::new();
        while let Some(inside) = array.as_any().downcast_ref::<StructArray>() {
            outer.extend(inside.validity().cloned());
            let value = inside.values().first().ok_or_else(wrong)?.clone();
            array = value;
        }
        // Null where the struct that it stands in is.
        for validity in outer {
            let both = match array.validity() {
                None => validity,
                Some(own) => own & &validity,
            };
            array = array.with_validity(Some(both));
        }
        Values::of(array.as_ref()).ok_or_else(|| {
            let found = format!("values of type {:?} in `{}`", array.dtype(), leaf.field.name);
            Error::data(&self.path, "bytes, text, numbers or truth values", found)
        })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn path_of(leaf: &ColumnDescriptor) -> String {
    leaf.path_in_schema.iter().map(PlSmallStr::as_str).collect::<Vec<_>>().join(".")
}

impl Values {
    fn of(array: &dyn Array) -> Option<Values> {
        let any = array.as_any();
        macro_rules! first_of {
            ($($kind:ident),*) => { $(if let Some(values) = any.downcast_ref() { return Some(Values::$kind(Clone::clone(values))); })* };
        }
        if *array.dtype() == ArrowDataType::Null {
            return Some(Values::Null(array.len()));
        }
        // Dates, times and decimals are numbers underneath, and mean something else.
        let plain = matches!(
            array.dtype(),
            ArrowDataType::BinaryView
                | ArrowDataType::FixedSizeBinary(_)
                | ArrowDataType::Utf8View
                | ArrowDataType::Boolean
                | ArrowDataType::Int8
                | ArrowDataType::Int16
                | ArrowDataType::Int32
                | ArrowDataType::Int64
                | ArrowDataType::UInt8
                | ArrowDataType::UInt16
                | ArrowDataType::UInt32
                | ArrowDataType::UInt64
                | ArrowDataType::Float32
                | ArrowDataType::Float64
        );
        if plain {
            first_of!(Binary, Fixed, Text, Truth, I8, I16, I32, I64, U8, U16, U32, U64, F32, F64);
        }
        None
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Values::Binary(values) => values.len(),
            Values::Fixed(values) => values.len(),
            Values::Text(values) => values.len(),
            Values::Truth(values) => values.len(),
            Values::I8(values) => values.len(),
            Values::I16(values) => values.len(),
            Values::I32(values) => values.len(),
            Values::I64(values) => values.len(),
            Values::U8(values) => values.len(),
            Values::U16(values) => values.len(),
            Values::U32(values) => values.len(),
            Values::U64(values) => values.len(),
            Values::F32(values) => values.len(),
            Values::F64(values) => values.len(),
            Values::Null(n) => *n,
        }
    }

    /// Bytes of each row, `None` for null; the whole is `None` where these are no bytes.
    pub fn bytes(&self) -> Option<Vec<Option<&[u8]>>> {
        match self {
            Values::Binary(values) => Some(values.iter().collect()),
            Values::Fixed(values) => Some(values.iter().collect()),
            Values::Null(n) => Some(vec![None; *n]),
            _ => None,
        }
    }

    /// Each row as text, `None` for null: numbers and truth values are written out, bytes must be UTF-8. The whole is
    /// `None` where they are not.
    pub fn texts(&self) -> Option<Vec<Option<String>>> {
        fn each<T: ToString>(values: impl Iterator<Item = Option<T>>) -> Option<Vec<Option<String>>> {
            Some(values.map(|value| value.map(|value| value.to_string())).collect())
        }
        let utf8 = |value: Option<&[u8]>| match value {
            None => Some(None),
            Some(bytes) => std::str::from_utf8(bytes).ok().map(|text| Some(text.to_string())),
        };
        match self {
            Values::Binary(values) => values.iter().map(utf8).collect(),
            Values::Fixed(_) => None,
            Values::Text(values) => each(values.iter()),
            Values::Truth(values) => each(values.iter()),
            Values::I8(values) => each(values.iter()),
            Values::I16(values) => each(values.iter()),
            Values::I32(values) => each(values.iter()),
            Values::I64(values) => each(values.iter()),
            Values::U8(values) => each(values.iter()),
            Values::U16(values) => each(values.iter()),
            Values::U32(values) => each(values.iter()),
            Values::U64(values) => each(values.iter()),
            // With a point, as in `1.0`.
            Values::F32(values) => each(values.iter().map(|value| value.map(|value| format!("{value:?}")))),
            Values::F64(values) => each(values.iter().map(|value| value.map(|value| format!("{value:?}")))),
            Values::Null(n) => Some(vec![None; *n]),
        }
    }
}

/// Runs what reads a file; a panic in it is an error that names the file, without a word on the error stream.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let damaged = |said: String| Err(Error::data(path, "a whole Parquet file", format!("a damaged one: {said}")));
    caught(work).unwrap_or_else(damaged)
}
