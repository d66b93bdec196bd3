//! Images in Parquet, in the form of the Hugging Face `datasets` library: the image column is a struct of `bytes`
//! (the encoded file) and `path`; a label is an integer whose names stand in the file's `huggingface` metadata, or a
//! string.

use super::{ImageSet, ParquetFile, Store, labels_from_names};
use crate::error::{Error, Result};
use crate::manifest::Columns;
use crate::storage::{self, Standing};
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::parquet::read::{FileMetadata, ParquetReader};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Opens Parquet `files` (each with the published part it holds, if any) as one image set.
pub(super) fn open(id: &str, files: &[(Option<String>, PathBuf)], columns: &Columns) -> Result<ImageSet> {
    let Some((_, first)) = files.first() else {
        return Err(Error::argument("files", "at least one Parquet file", format!("none for {id}")));
    };
    let mut set = Gathered::default();
    for (part, path) in files {
        set.add(part.as_deref(), path, columns)?;
    }
    let (classes, labels) = set.labels.resolve(first)?;
    ImageSet {
        id: id.into(),
        ids: set.ids,
        labels,
        classes,
        groups: set.groups,
        domains: set.domains,
        names: set.names,
        parts: files.iter().any(|(part, _)| part.is_some()).then_some(set.parts),
        data_sha256: storage::sha256_hex(set.hashes.join("\n").as_bytes()),
        store: Store::Parquet { files: set.files, column: columns.image.clone() },
        reading: Default::default(),
        decoded: Default::default(),
    }
    .checked(first)
}

/// Columns of several files, one after the other.
#[derive(Default)]
struct Gathered {
    ids: Vec<String>,
    labels: Labels,
    groups: Option<Vec<String>>,
    domains: Option<Vec<String>>,
    names: Option<Vec<String>>,
    parts: Vec<String>,
    hashes: Vec<String>,
    files: Vec<ParquetFile>,
}

/// Labels as they stand in the files: integers with names, or names alone.
#[derive(Default)]
struct Labels {
    numbers: Vec<u32>,
    texts: Vec<String>,
    names: Vec<String>,
}

impl Labels {
    fn resolve(self, path: &Path) -> Result<(Vec<String>, Vec<u32>)> {
        if !self.texts.is_empty() && !self.numbers.is_empty() {
            return Err(Error::data(path, "labels of one type in all files", "integers in some, strings in others"));
        }
        if !self.texts.is_empty() {
            return Ok(labels_from_names(self.texts.iter().map(String::as_str)));
        }
        let n_classes = self.numbers.iter().max().map_or(0, |&largest| largest as usize + 1);
        let names = match self.names.is_empty() {
            true => (0..n_classes).map(|class| class.to_string()).collect(),
            false => self.names,
        };
        Ok((names, self.numbers))
    }
}

impl Gathered {
    fn add(&mut self, part: Option<&str>, path: &Path, columns: &Columns) -> Result<()> {
        // Before anything is read: what changes later is noticed.
        let standing = Standing::of(path)?;
        let mut reader = reader(path)?;
        let metadata = reader.get_metadata().map_err(Error::table(path.display().to_string()))?.clone();
        let rows = metadata.num_rows;
        let frame = read_columns(path, columns)?;
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (row, inside) in image_paths(path, &columns.image, rows)?.into_iter().enumerate() {
            self.ids.push(inside.unwrap_or_else(|| format!("{file_name}#{row}")));
        }
        self.add_labels(path, &frame, &columns.label, &metadata)?;
        for (target, name) in
            [(&mut self.groups, &columns.group), (&mut self.domains, &columns.domain), (&mut self.names, &columns.name)]
        {
            if let Some(name) = name {
                target.get_or_insert_default().extend(texts(path, &frame, name)?);
            }
        }
        self.parts.extend(std::iter::repeat_n(part.unwrap_or_default().to_string(), rows));
        self.hashes.push(storage::sha256_file(path)?);
        standing.check(path)?;
        self.files.push(ParquetFile { path: path.to_path_buf(), rows, standing });
        Ok(())
    }

    fn add_labels(&mut self, path: &Path, frame: &DataFrame, name: &str, metadata: &FileMetadata) -> Result<()> {
        let column = column(path, frame, name)?;
        if column.dtype().is_integer() {
            let wide = column.cast(&DataType::Int64).map_err(Error::table(path.display().to_string()))?;
            let wide = wide.i64().map_err(Error::table(path.display().to_string()))?;
            for (row, label) in wide.iter().enumerate() {
                let label = label.and_then(|label| u32::try_from(label).ok()).ok_or_else(|| {
                    Error::data(
                        path,
                        format!("a class number from 0 in column `{name}`"),
                        format!("{label:?} at row {row}"),
                    )
                })?;
                self.labels.numbers.push(label);
            }
            let names = class_names(metadata, name);
            if !self.labels.names.is_empty() && names.as_ref().is_some_and(|names| *names != self.labels.names) {
                return Err(Error::data(path, "the class names of the first file", "other class names"));
            }
            if let Some(names) = names {
                self.labels.names = names;
            }
        } else {
            self.labels.texts.extend(texts(path, frame, name)?);
        }
        Ok(())
    }
}

/// Class names from the `huggingface` entry of the file's metadata, where the label feature is a `ClassLabel`.
fn class_names(metadata: &FileMetadata, label: &str) -> Option<Vec<String>> {
    let entries = metadata.key_value_metadata().as_ref()?;
    let entry = entries.iter().find(|entry| entry.key == "huggingface")?;
    let json: serde_json::Value = serde_json::from_str(entry.value.as_deref()?).ok()?;
    let names = json["info"]["features"][label]["names"].as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_string)).collect()
}

/// Reads the image bytes of `rows`, which count through all `files`.
pub(super) fn read_images(
    files: &[ParquetFile],
    column: &str,
    ids: &[String],
    rows: Range<usize>,
) -> Result<Vec<Result<Vec<u8>>>> {
    let mut images = Vec::with_capacity(rows.len());
    let mut start = 0;
    for ParquetFile { path, rows: n, standing } in files {
        let (from, to) = (rows.start.max(start), rows.end.min(start + n));
        if from < to {
            standing.check(path)?;
            let frame = reader(path)?
                .with_columns(Some(vec![column.to_string()]))
                .with_slice(Some((from - start, to - from)))
                .finish()
                .map_err(Error::table(path.display().to_string()))?;
            let bytes = image_field(path, &frame, column, "bytes")?;
            let bytes = bytes.binary().map_err(Error::table(path.display().to_string()))?;
            for (row, bytes) in bytes.iter().enumerate() {
                images.push(bytes.map(<[u8]>::to_vec).ok_or_else(|| Error::Image {
                    name: ids[from + row].clone(),
                    expected: "encoded bytes in the Parquet file".into(),
                    found: "null".into(),
                }));
            }
        }
        start += n;
    }
    Ok(images)
}

fn reader(path: &Path) -> Result<ParquetReader<File>> {
    Ok(ParquetReader::new(File::open(path).map_err(Error::io(path, "opening"))?))
}

/// The `path` of every image. A struct is read whole, bytes and all, so it is read a few rows at a time.
fn image_paths(path: &Path, name: &str, rows: usize) -> Result<Vec<Option<String>>> {
    const ROWS_AT_ONCE: usize = 1024;
    let mut paths = Vec::with_capacity(rows);
    for start in (0..rows).step_by(ROWS_AT_ONCE) {
        let frame = reader(path)?
            .with_columns(Some(vec![name.to_string()]))
            .with_slice(Some((start, ROWS_AT_ONCE.min(rows - start))))
            .finish()
            .map_err(Error::table(path.display().to_string()))?;
        let field = image_field(path, &frame, name, "path")?;
        let field = field.str().map_err(Error::table(path.display().to_string()))?;
        paths.extend(field.iter().map(|inside| inside.filter(|inside| !inside.is_empty()).map(str::to_string)));
    }
    Ok(paths)
}

/// The columns beside the image, whole.
fn read_columns(path: &Path, columns: &Columns) -> Result<DataFrame> {
    let optional = [&columns.group, &columns.domain, &columns.name];
    let mut names = vec![columns.label.clone()];
    names.extend(optional.into_iter().flatten().cloned());
    names.sort();
    names.dedup();
    let mut open = reader(path)?;
    let schema = open.schema().map_err(Error::table(path.display().to_string()))?;
    for name in names.iter().chain([&columns.image]) {
        if !schema.contains(name.as_str()) {
            let known = schema.iter_names().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::data(path, format!("a column `{name}`"), format!("the columns {known}")));
        }
    }
    open.with_columns(Some(names)).finish().map_err(Error::table(path.display().to_string()))
}

fn column<'a>(path: &Path, frame: &'a DataFrame, name: &str) -> Result<&'a Column> {
    frame.column(name).map_err(Error::table(path.display().to_string()))
}

fn image_field(path: &Path, frame: &DataFrame, name: &str, field: &str) -> Result<Series> {
    let image = column(path, frame, name)?;
    let expected = || format!("`{name}` as a struct of `bytes` and `path`");
    let fields = image.struct_().map_err(|_| Error::data(path, expected(), image.dtype().to_string()))?;
    fields.field_by_name(field).map_err(|_| Error::data(path, expected(), format!("no `{field}`")))
}

/// A column as text; numbers are written out, null is the empty string.
fn texts(path: &Path, frame: &DataFrame, name: &str) -> Result<Vec<String>> {
    let column =
        column(path, frame, name)?.cast(&DataType::String).map_err(Error::table(path.display().to_string()))?;
    let column = column.str().map_err(Error::table(path.display().to_string()))?;
    Ok(column.iter().map(|text| text.unwrap_or_default().to_string()).collect())
}
