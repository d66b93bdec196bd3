//! Images in Parquet, in the form of the Hugging Face `datasets` library: the image column is a struct of `bytes` (the
//! encoded file) and `path`, or the bytes alone; a label is a number whose names stand in the file's `huggingface` metadata,
//! or a text.

mod file;
mod footer;
mod labels;
mod pages;

use super::left_out::{Tally, in_words};
use super::spelling;
use super::{ImageSet, ParquetFile, Store};
use crate::error::{Error, Result};
use crate::manifest::Columns;
use crate::storage::{self, Standing};
use file::{Leaf, Table};
use labels::Labels;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Opens Parquet `files` (each with the published part it holds, if any) as one image set.
pub(super) fn open(id: &str, files: &[(Option<String>, PathBuf)], columns: &Columns) -> Result<ImageSet> {
    let Some((_, first)) = files.first() else {
        return Err(Error::argument("files", "at least one Parquet file", format!("none for {id}")));
    };
    let mut set = Gathered { lacking: lacking(files, columns)?, ..Gathered::default() };
    let mut paths: HashSet<PathBuf> = HashSet::new();
    for (part, path) in files {
        if !paths.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            return Err(Error::data(path, "each file once", "the same file again"));
        }
        set.add(part.as_deref(), path, columns)?;
    }
    let ids = unique(set.ids, &set.places);
    if ids.is_empty() {
        let found = match set.before {
            0 => "none: the file has no row".into(),
            rows => format!("none: of {rows} rows, {}", in_words(&set.ignored.list())),
        };
        return Err(Error::data(first, "at least one image with a label", found));
    }
    let resolved = set.labels.resolve(first, |row| ids[row].clone())?;
    for name in &resolved.unused {
        set.ignored.add("class names without an image", || name.clone());
    }
    let [groups, mut domains, names, times] = set.optional;
    // An image of no group is a group of its own; numbers of several files may be written in several ways.
    let mut of_groups: Vec<String> = Vec::new();
    let groups = groups.map(|mut groups| {
        of_groups.extend(spelling::one_spelling("groups", &mut groups));
        of_groups.extend(spelling::missing_group(&groups));
        groups
    });
    of_groups.extend(domains.as_mut().and_then(|domains| spelling::one_spelling("domains", domains)));
    let groups = groups.filter(|groups| groups.iter().any(Option::is_some)).map(|groups| {
        let alone = |(group, id): (Option<String>, &String)| group.unwrap_or_else(|| format!("alone: {id}"));
        groups.into_iter().zip(&ids).map(alone).collect()
    });
    let filled = |values: Option<Vec<Option<String>>>| {
        let values = values.filter(|values| values.iter().any(Option::is_some));
        values.map(|values| values.into_iter().map(Option::unwrap_or_default).collect())
    };
    spelling::one_case(&mut set.parts);
    let warnings = set
        .lacking
        .iter()
        .map(|(column, files)| format!("no column `{column}` in {}: the images there have no value", files.join(", ")));
    ImageSet {
        id: id.into(),
        labels: resolved.labels,
        classes: resolved.classes,
        groups,
        domains: filled(domains),
        names: filled(names),
        times: filled(times),
        parts: (columns.split.is_some() || files.iter().any(|(part, _)| part.is_some())).then_some(set.parts),
        warnings: warnings.chain(same_bytes(files, &set.hashes)).chain(of_groups).collect(),
        ids,
        data_sha256: storage::sha256_hex(set.hashes.join("\n").as_bytes()),
        ignored: set.ignored.list(),
        store: Store::Parquet { files: set.files, column: columns.image.clone() },
        reading: Default::default(),
        decoded: Default::default(),
        corruption: None,
    }
    .checked(first)
}

/// Rows per byte that a file of flat columns may have: results repeat themselves.
const ROWS_PER_BYTE: u64 = 64;

/// Looks through a Parquet file of flat columns before another reader decodes it: what its pages claim must fit into the
/// file, so that a damaged one cannot ask for memory that there is not (which would end the program, past all errors).
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; [`Error::Data`] or [`Error::Table`] for one that is no Parquet file or is
/// damaged, with the column and the page, and for one with a column of lists or maps.
pub fn check_parquet(path: &Path) -> Result<()> {
    Table::open_of(path, ROWS_PER_BYTE)?.check()
}

/// Columns of several files, one after the other; of rows with a label alone.
#[derive(Default)]
struct Gathered {
    ids: Vec<String>,
    /// Place of each row among all rows of all files.
    places: Vec<usize>,
    labels: Labels,
    /// Groups, domains, names and times, where the record names such a column.
    optional: [Option<Vec<Option<String>>>; 4],
    parts: Vec<String>,
    /// Such columns that some files have and others have not, with these.
    lacking: Vec<(String, Vec<String>)>,
    hashes: Vec<String>,
    files: Vec<ParquetFile>,
    ignored: Tally,
    /// Rows of the files before.
    before: usize,
}

impl Gathered {
    fn add(&mut self, part: Option<&str>, path: &Path, columns: &Columns) -> Result<()> {
        // Before anything is read: what changes later is noticed.
        let standing = Standing::of(path)?;
        let table = Table::open(path)?;
        let lacks = |name: &str| !there(&table, name) && self.lacking.iter().any(|(column, _)| column == name);
        check_columns(&table, columns, lacks)?;
        // For its errors: the images themselves are read later.
        let image = ImageColumn::of(&table, &columns.image)?;
        let rows = table.rows();
        let file_name = path.file_name().map_or_else(String::new, super::names::shown);
        let row_name = |row: usize| format!("{file_name}#{row}");
        let kept = self.labels.add(&table, &columns.label, &mut self.ignored, row_name)?;
        let kept: Vec<usize> = (0..rows).filter(|&row| kept[row]).collect();
        let paths = match &image.path {
            Some(leaf) => texts(&table, leaf, &columns.image)?,
            None => vec![None; rows],
        };
        for &row in &kept {
            let inside = paths[row].clone().filter(|inside| !inside.is_empty());
            self.ids.push(inside.unwrap_or_else(|| row_name(row)));
            self.places.push(self.before + row);
        }
        let none = || vec![None; rows];
        let values_of = |name: &str| -> Result<Vec<Option<String>>> {
            if lacks(name) {
                return Ok(none());
            }
            let leaf = table
                .leaf(name)?
                .ok_or_else(|| Error::data(path, format!("text or numbers in column `{name}`"), "a struct or list"))?;
            texts(&table, &leaf, name)
        };
        let optional = columns.optional().map(|(_, name)| name.map(values_of));
        let split = columns.split.as_deref().map(values_of).transpose()?;
        for (target, values) in self.optional.iter_mut().zip(optional) {
            if let Some(mut values) = values.transpose()? {
                target.get_or_insert_default().extend(kept.iter().map(|&row| values[row].take()));
            }
        }
        let part = part.unwrap_or_default();
        let part_of = |row: &usize| match &split {
            Some(split) => {
                let said = split[*row].clone().filter(|said| !said.trim().is_empty());
                said.unwrap_or_else(|| part.to_string())
            }
            None => part.to_string(),
        };
        self.parts.extend(kept.iter().map(part_of));
        self.hashes.push(storage::sha256_file(path)?);
        standing.check(path)?;
        let kept = (kept.len() < rows).then_some(kept);
        self.files.push(ParquetFile { path: path.to_path_buf(), rows, kept, standing });
        self.before += rows;
        Ok(())
    }
}

/// Names become ids: one that several images have (`push_to_hub` keeps base names alone) gets the row's place in the set,
/// `0.png#17`.
fn unique(ids: Vec<String>, places: &[usize]) -> Vec<String> {
    let mut count: HashMap<&str, usize> = HashMap::new();
    ids.iter().for_each(|id| *count.entry(id).or_default() += 1);
    if count.len() == ids.len() {
        return ids;
    }
    let once: HashSet<&str> = count.iter().filter(|(_, n)| **n == 1).map(|(id, _)| *id).collect();
    let id = |(id, place): (&String, &usize)| match once.contains(id.as_str()) {
        true => id.clone(),
        false => {
            let mut named = format!("{id}#{place}");
            while once.contains(named.as_str()) || count.contains_key(named.as_str()) {
                named.insert(id.len(), '#');
            }
            named
        }
    };
    ids.iter().zip(places).map(id).collect()
}

/// A warning for two files of the same bytes: their images would count twice, and perhaps on both sides of a split.
fn same_bytes(files: &[(Option<String>, PathBuf)], hashes: &[String]) -> Option<String> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    hashes.iter().enumerate().find_map(|(at, hash)| {
        let other = seen.insert(hash, at)?;
        Some(format!(
            "{} holds the same bytes as {}: its images are there twice",
            files[at].1.display(),
            files[other].1.display()
        ))
    })
}

/// Whether a column, or a field of a struct, is called so.
fn there(table: &Table, name: &str) -> bool {
    table.has(name) || !table.inside(name).is_empty()
}

/// The columns that need not be there and that some files have and others have not, with the names of these.
fn lacking(files: &[(Option<String>, PathBuf)], columns: &Columns) -> Result<Vec<(String, Vec<String>)>> {
    let names: Vec<&str> =
        columns.optional().into_iter().filter_map(|(_, name)| name).chain(columns.split.as_deref()).collect();
    if names.is_empty() || files.len() < 2 {
        return Ok(Vec::new());
    }
    let mut lacking = vec![Vec::new(); names.len()];
    for (_, path) in files {
        let table = Table::open(path)?;
        for (name, lacking) in names.iter().zip(&mut lacking) {
            if !there(&table, name) {
                lacking.push(path.file_name().map_or_else(String::new, super::names::shown));
            }
        }
    }
    let some = names.into_iter().zip(lacking).filter(|(_, lacking)| !lacking.is_empty() && lacking.len() < files.len());
    Ok(some.map(|(name, lacking)| (name.to_string(), lacking)).collect())
}

/// Every column that the record names must be there, and once; all that are not are named, with those that are. `lacks` says
/// which may be missing in this file.
fn check_columns(table: &Table, columns: &Columns, lacks: impl Fn(&str) -> bool) -> Result<()> {
    let optional = columns.optional().into_iter().filter_map(|(_, name)| name).chain(columns.split.as_deref());
    let mut missing: Vec<&str> = Vec::new();
    for name in [columns.label.as_str()].into_iter().chain(optional).chain([columns.image.as_str()]) {
        if table.columns().iter().filter(|column| **column == name).count() > 1 {
            return Err(Error::data(table.path(), format!("one column `{name}`"), "several of that name"));
        }
        if !there(table, name) && !lacks(name) && !missing.contains(&name) {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let quoted = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and a column ");
    let known = table.columns().join(", ");
    Err(Error::data(table.path(), format!("a column {quoted}"), format!("the columns {known}")))
}

/// Where the encoded images and their names are.
struct ImageColumn {
    bytes: Leaf,
    path: Option<Leaf>,
}

impl ImageColumn {
    /// Of a struct with `bytes` and perhaps `path`, or of bytes alone.
    ///
    /// # Errors
    /// Anything else, with what it is.
    fn of(table: &Table, name: &str) -> Result<ImageColumn> {
        let wrong = |found: String| {
            let expected = format!("`{name}` as a struct of `bytes` and `path`, or as bytes");
            Err(Error::data(table.path(), expected, found))
        };
        let inside = table.inside(name);
        let (bytes, path) = match inside.is_empty() {
            true => (table.leaf(name)?, None),
            false if inside.iter().any(|field| field == "bytes") => {
                let path = inside.iter().any(|field| field == "path").then(|| table.leaf(&format!("{name}.path")));
                (table.leaf(&format!("{name}.bytes"))?, path.transpose()?.flatten())
            }
            false if table.is_repeated(name) => {
                return wrong("a list of them per row; a row must hold one image".into());
            }
            false => return wrong(format!("a struct of {}", inside.join(", "))),
        };
        match bytes {
            Some(bytes) if is_bytes(&bytes.kind) => Ok(ImageColumn { bytes, path }),
            Some(other) if other.kind == "Utf8View" => {
                wrong("text; paths and base64 are not read, only the encoded images themselves".into())
            }
            Some(other) => wrong(format!("values of type {}", other.kind)),
            None => wrong("a list".into()),
        }
    }
}

fn is_bytes(kind: &str) -> bool {
    kind == "BinaryView" || kind.starts_with("FixedSizeBinary") || kind == "Null"
}

/// A column as text, `None` for null.
fn texts(table: &Table, leaf: &Leaf, name: &str) -> Result<Vec<Option<String>>> {
    let mut all = Vec::with_capacity(table.rows());
    table.read(leaf, 0..table.rows(), |values| {
        let texts = values.texts().ok_or_else(|| {
            let expected = format!("text or numbers in column `{name}`");
            Error::data(table.path(), expected, format!("values of type {} that are no text", leaf.kind))
        })?;
        all.extend(texts);
        Ok(())
    })?;
    Ok(all)
}

/// Reads the image bytes of `rows`, which count through the rows with a label of all `files`.
pub(super) fn read_images(
    files: &[ParquetFile],
    column: &str,
    ids: &[String],
    rows: Range<usize>,
) -> Result<Vec<Result<Vec<u8>>>> {
    let mut images = Vec::with_capacity(rows.len());
    let mut start = 0;
    for file in files {
        let n = file.kept.as_ref().map_or(file.rows, Vec::len);
        let (from, to) = (rows.start.max(start), rows.end.min(start + n));
        if from < to {
            file.standing.check(&file.path)?;
            let table = Table::open(&file.path)?;
            let leaf = ImageColumn::of(&table, column)?.bytes;
            for run in runs(file, from - start..to - start) {
                let mut row = run.start;
                table.read(&leaf, run, |values| {
                    let wrong = || Error::data(&file.path, format!("bytes in column `{column}`"), "other values");
                    for bytes in values.bytes().ok_or_else(wrong)? {
                        if file.kept.as_ref().is_none_or(|kept| kept.binary_search(&row).is_ok()) {
                            images.push(bytes.map(<[u8]>::to_vec));
                        }
                        row += 1;
                    }
                    Ok(())
                })?;
            }
        }
        start += n;
    }
    let null = |id: &String| Error::Image {
        name: id.clone(),
        expected: "encoded bytes in the Parquet file".into(),
        found: "null".into(),
    };
    Ok(images.into_iter().zip(&ids[rows]).map(|(bytes, id)| bytes.ok_or_else(|| null(id))).collect())
}

/// The stretches of a file's rows that hold its kept rows of those places; small gaps are read over.
fn runs(file: &ParquetFile, places: Range<usize>) -> Vec<Range<usize>> {
    const GAP: usize = 16;
    let Some(kept) = &file.kept else { return vec![places] };
    let near = |a: &usize, b: &usize| b - a <= GAP;
    kept[places].chunk_by(near).map(|run| run[0]..run[run.len() - 1] + 1).collect()
}

/// Names of the columns of a file of images, and of what stands in structs, joined by dots.
///
/// # Errors
/// A file that is no Parquet file or is damaged.
pub(super) fn column_names(path: &Path) -> Result<Vec<String>> {
    let table = Table::open_of(path, ROWS_PER_BYTE)?;
    let columns: Vec<String> = table.columns().into_iter().map(String::from).collect();
    let inside =
        columns.iter().flat_map(|name| table.inside(name).into_iter().map(move |field| format!("{name}.{field}")));
    let inside: Vec<String> = inside.collect();
    Ok([columns, inside].concat())
}

/// What a column holds, if that is neither text nor numbers, or it is there twice; `None` also where there is no such column.
///
/// # Errors
/// As [`column_names`].
pub(super) fn no_text(path: &Path, column: &str) -> Result<Option<String>> {
    let table = Table::open_of(path, ROWS_PER_BYTE)?;
    if table.columns().iter().filter(|name| **name == column).count() > 1 {
        return Ok(Some("different things: it is there twice".into()));
    }
    if !there(&table, column) {
        return Ok(None);
    }
    Ok(match table.leaf(column) {
        Ok(Some(leaf)) => texts(&table, &leaf, column).err().map(|_| format!("values of type {}", leaf.kind)),
        Ok(None) if table.is_repeated(column) => Some("a list or map".into()),
        Ok(None) => Some(format!("a struct of {}", table.inside(column).join(", "))),
        Err(_) => Some("a list or map".into()),
    })
}

/// The texts of a column, each once; none where there is no such column of text or numbers.
///
/// # Errors
/// A file that is no Parquet file or is damaged.
pub(super) fn values_of(path: &Path, column: &str) -> Result<BTreeSet<String>> {
    let table = Table::open_of(path, ROWS_PER_BYTE)?;
    if !there(&table, column) || no_text(path, column)?.is_some() {
        return Ok(BTreeSet::new());
    }
    let Some(leaf) = table.leaf(column)? else { return Ok(BTreeSet::new()) };
    let values = texts(&table, &leaf, column)?.into_iter().flatten();
    Ok(values.filter(|text| !text.trim().is_empty()).collect())
}

/// Whether a column holds encoded pictures.
///
/// # Errors
/// A file that is no Parquet file or is damaged.
pub(super) fn holds_pictures(path: &Path, column: &str) -> Result<bool> {
    let table = Table::open_of(path, ROWS_PER_BYTE)?;
    Ok(there(&table, column) && ImageColumn::of(&table, column).is_ok())
}

/// The row of a table as text: a value or none for every column.
type TextRow = Vec<Option<String>>;

/// The columns of a file that hold text or numbers.
///
/// # Errors
/// As [`column_names`].
pub(super) fn text_columns(path: &Path) -> Result<Vec<String>> {
    Ok(read_texts(path)?.0)
}

/// The columns of a file that hold text or numbers, and the text of every row.
///
/// # Errors
/// As [`column_names`].
pub(super) fn read_texts(path: &Path) -> Result<(Vec<String>, Vec<TextRow>)> {
    let table = Table::open_of(path, ROWS_PER_BYTE)?;
    let mut header = Vec::new();
    let mut rows = vec![Vec::new(); table.rows()];
    for name in table.columns() {
        let Ok(Some(leaf)) = table.leaf(name) else { continue };
        let Ok(values) = texts(&table, &leaf, name) else { continue };
        header.push(name.to_string());
        // Numbers of classes by their names, of which those below 0 are none.
        let names = labels::class_names(&table, name);
        let named = |text: String| match (&names, text.parse::<i64>()) {
            (Some(_), Ok(..0)) => None,
            (Some(names), Ok(number)) => Some(names.get(number as usize).cloned().unwrap_or(text)),
            _ => Some(text),
        };
        let value = |text: Option<String>| {
            text.map(|text| text.trim().to_string()).filter(|text| !text.is_empty()).and_then(named)
        };
        rows.iter_mut().zip(values).for_each(|(row, text)| row.push(value(text)));
    }
    Ok((header, rows))
}
