//! A reader's own data, of which nothing is said: what is there, and how it is read.

mod columns;
mod open;
mod rows;

pub use columns::Wanted;
pub(super) use open::{is_much_larger, open};

use super::folder::{holds_parts, kind_of_part, part_word};
use super::listing::{self, Links, is_picture};
use super::names::{below, shown};
use super::{ImageSet, left_out, parquet};
use crate::error::{Error, Result};
use crate::manifest::{Columns, DatasetRecord, Source, own_folder, own_id};
use crate::storage;
use rows::{TABLES, extension};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Names of the folder whose pictures have no label yet, in any case.
const UNLABELLED: [&str; 4] = ["unlabelled", "unlabeled", "to_label", "no_label"];

/// The columns of what the program says of pictures without a label.
pub const PREDICTIONS: [&str; 5] = ["file", "class", "probability", "second_class", "second_probability"];

/// Data that were recognised.
#[derive(Debug, Clone)]
pub struct Recognised {
    /// How they are read.
    pub record: DatasetRecord,
    /// What they were taken for, a sentence each.
    pub said: Vec<String>,
}

/// Whether a folder of that name holds pictures to be labelled.
pub(super) fn is_unlabelled(name: &str) -> bool {
    UNLABELLED.contains(&name.to_lowercase().as_str())
}

/// Finds out what lies at `path`: class folders, `train`/`val`/`test` with class folders inside, pictures with a
/// `metadata.csv`, `.jsonl` or `.parquet` beside them, Parquet files with the pictures inside, or one table of paths and
/// labels. Columns are found by their names unless `wanted` names them. Only the headers of tables are read.
///
/// # Errors
/// Nothing there; a file or folder that holds none of these, with what was found instead; a column that is not there.
pub fn recognise(path: &Path, wanted: &Wanted) -> Result<Recognised> {
    let whole = path.canonicalize().map_err(Error::io(path, "looking for"))?;
    match whole.is_dir() {
        true => of_folder(&whole, wanted),
        false => of_file(&whole, wanted),
    }
}

/// Opens what [`recognise`] found without labels: the folder `unlabelled`, and rows of tables without one.
///
/// # Errors
/// As opening the data set.
pub fn open_unlabelled(root: &Path, record: &DatasetRecord) -> Result<Option<ImageSet>> {
    let Source::Folder { path, tables } = &record.source else { return Ok(None) };
    let folder = own_folder(root, path);
    let (mut files, labelled) = match tables.is_empty() {
        true => Default::default(),
        false => open::unlabelled(&folder, tables, &record.columns)?,
    };
    let mut places = subfolders(&folder)?;
    if tables.is_empty() && holds_parts(&folder)? {
        for part in places.clone().iter().filter(|place| named(place, |name| kind_of_part(name).is_some())) {
            places.extend(subfolders(part)?);
        }
    }
    for place in places.iter().filter(|place| named(place, is_unlabelled)) {
        files.extend(listing::list(place, Links::Followed)?.images);
    }
    // A table may label pictures of such a folder by now.
    files.retain(|file| labelled.is_empty() || !labelled.contains(&open::whole(file)));
    files.sort();
    files.dedup();
    if files.is_empty() {
        return Ok(None);
    }
    let set = open::without_labels(&format!("{}-unlabelled", record.id), &folder, files)?;
    Ok(Some(set.read_as(record.reading())))
}

/// Pictures by themselves, without labels: files, and all pictures of folders.
///
/// # Errors
/// A path that is not there, or is no file and no folder; no picture, with what was found instead.
pub fn open_pictures(id: &str, paths: &[PathBuf]) -> Result<ImageSet> {
    let (mut files, mut ignored) = (Vec::new(), Vec::new());
    for path in paths {
        match path.is_dir() {
            true => {
                let listed = listing::list(path, Links::Followed)?;
                files.extend(listed.images);
                ignored.extend(listed.ignored.list());
            }
            false if path.exists() => {
                storage::check_regular(path)?;
                files.push(path.clone());
            }
            false => return Err(Error::data(path, "a picture or a folder of pictures", "nothing of that name")),
        }
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    if files.is_empty() {
        let found = if ignored.is_empty() { "none".into() } else { format!("none; {}", left_out::in_words(&ignored)) };
        return Err(Error::argument("pictures", "at least one", found));
    }
    let set = ImageSet { ignored, ..open::without_labels(id, Path::new(""), files)? };
    left_out::tell(&set, false);
    Ok(set)
}

/// The published parts of a set, by what they are for: training, validation, test; the first of a kind by name.
pub fn sorted_parts(set: &ImageSet) -> [Option<String>; 3] {
    let mut found = [None, None, None];
    let names: std::collections::BTreeSet<&String> = set.parts.iter().flatten().collect();
    for name in names {
        if let Some(kind) = kind_of_part(name) {
            found[kind as usize].get_or_insert_with(|| name.clone());
        }
    }
    found
}

fn of_file(file: &Path, wanted: &Wanted) -> Result<Recognised> {
    let name = file.file_name().map_or_else(String::new, shown);
    let folder = file.parent().unwrap_or(Path::new("/"));
    let stem = file.file_stem().map_or_else(String::new, shown);
    let kind = extension(file);
    storage::check_regular(file)?;
    if !TABLES.contains(&kind.as_str()) {
        let what = if is_picture(file) { "one picture" } else { "a file of another type" };
        return Err(Error::data(file, "a folder, or a file that ends in .parquet, .csv, .tsv or .jsonl", what));
    }
    if kind == "parquet"
        && let Some(recognised) =
            with_pictures_inside(&stem, &[file.to_path_buf()], wanted, &mut Vec::new(), || Ok(true))?
    {
        return Ok(recognised);
    }
    of_tables(&stem, folder, vec![name], wanted)
}

fn of_folder(folder: &Path, wanted: &Wanted) -> Result<Recognised> {
    let name = folder.file_name().map_or_else(String::new, shown);
    let inside = subfolders(folder)?;
    // Tables called metadata, of the folder and of each part in it.
    let mut tables: Vec<PathBuf> = metadata_in(folder)?.into_iter().collect();
    let parts = inside.iter().filter(|place| named(place, |name| kind_of_part(name).is_some()));
    for place in parts {
        tables.extend(metadata_in(place)?);
    }
    if !tables.is_empty() {
        let tables = tables.iter().map(|table| below(folder, table)).collect();
        return of_tables(&name, folder, tables, wanted);
    }
    let mut files = files_of(folder, &["parquet"])?;
    for place in inside.iter().filter(|place| named(place, |name| name == "data" || kind_of_part(name).is_some())) {
        files.extend(files_of(place, &["parquet"])?);
    }
    // Beside class folders a Parquet file may be anything, unless a reader names its columns.
    let alone = || Ok(*wanted != Wanted::default() || listing::list(folder, Links::Followed)?.images.is_empty());
    let mut others = Vec::new();
    if let Some(mut recognised) = with_pictures_inside(&name, &files, wanted, &mut others, alone)? {
        let beside = listing::list(folder, Links::Followed)?.images;
        if let Some(first) = beside.first() {
            let n = beside.len();
            recognised
                .said
                .push(format!("{n} pictures beside the Parquet files are not read, such as {}", below(folder, first)));
        }
        return Ok(recognised);
    }
    let (fitting, mut said) = fitting(folder, wanted)?;
    match &fitting[..] {
        [table] => return of_tables(&name, folder, vec![below(folder, table)], wanted),
        [_, _, ..] => {
            let names = fitting.iter().map(|table| below(folder, table)).collect::<Vec<_>>().join(", ");
            return Err(Error::data(folder, "one table that names pictures and labels; give its file", names));
        }
        [] => {}
    }
    let record = DatasetRecord::own(&own_id(&name), folder_source(folder, Vec::new())?);
    let what = match holds_parts(folder)? {
        true => "folders of parts (train, val, test) with a folder per class inside",
        false => "a folder per class",
    };
    said.insert(0, what.into());
    said.append(&mut others);
    Ok(Recognised { record, said })
}

/// Tables of other names than `metadata` that stand for the data: the header says so, and pictures that are there are named;
/// beside class folders at least half of all pictures. Of others it is said that they are not used.
fn fitting(folder: &Path, wanted: &Wanted) -> Result<(Vec<PathBuf>, Vec<String>)> {
    let (mut fitting, mut said) = (Vec::new(), Vec::new());
    let mut pictures: Option<(usize, usize)> = None;
    for table in files_of(folder, &TABLES)? {
        let named = named_by(folder, &table, wanted);
        if named == 0 {
            continue;
        }
        let (all, in_folders) = match pictures {
            Some(counts) => counts,
            None => {
                let ids: Vec<String> =
                    listing::list(folder, Links::Followed)?.images.iter().map(|image| below(folder, image)).collect();
                let in_class = |id: &&String| id.split_once('/').is_some_and(|(first, _)| !is_unlabelled(first));
                *pictures.insert((ids.len(), ids.iter().filter(in_class).count()))
            }
        };
        match in_folders == 0 || 2 * named >= all {
            true => fitting.push(table),
            false => said.push(format!(
                "{} names {named} of {all} pictures and is not used; give its file if it holds the labels",
                below(folder, &table)
            )),
        }
    }
    Ok((fitting, said))
}

fn folder_source(folder: &Path, tables: Vec<String>) -> Result<Source> {
    let path = folder.to_str().ok_or_else(|| Error::data(folder, "a path in UTF-8", "other bytes"))?;
    Ok(Source::Folder { path: path.into(), tables })
}

fn of_tables(name: &str, folder: &Path, tables: Vec<String>, wanted: &Wanted) -> Result<Recognised> {
    let first = folder.join(&tables[0]);
    let mut header = rows::header(&first)?;
    for table in &tables[1..] {
        let more = rows::header(&folder.join(table))?;
        header.extend(more.into_iter().filter(|column| !header.contains(column)).collect::<Vec<_>>());
    }
    let mut columns = columns::find(&first, &header, wanted, false)?;
    let not_taken = columns::settle_split(&mut columns, &header, wanted, |column| {
        let mut values = BTreeSet::new();
        for table in &tables {
            let rows = rows::read(&folder.join(table), &mut left_out::Tally::default())?;
            if let Some(at) = rows.header.iter().position(|name| name == column) {
                values.extend(rows.rows.into_iter().filter_map(|(_, mut row)| row[at].take()));
            }
        }
        Ok(values)
    })?;
    let mut said = vec![format!("pictures that {} names", tables.join(" and ")), meaning(&columns)];
    said.extend(not_taken);
    let mut record = DatasetRecord::own(&own_id(name), folder_source(folder, tables)?);
    record.columns = columns;
    Ok(Recognised { record, said })
}

/// Parquet files with pictures inside; `None` where there are none. `others` gets a sentence for each that is not read; where one file
/// is all that there is (`alone`), what is wrong with it is an error.
fn with_pictures_inside(
    name: &str,
    files: &[PathBuf],
    wanted: &Wanted,
    others: &mut Vec<String>,
    alone: impl Fn() -> Result<bool>,
) -> Result<Option<Recognised>> {
    let (mut holding, mut header) = (Vec::new(), Vec::new());
    let not_read = |file: &Path, why: &dyn std::fmt::Display| format!("{} is not read: {why}", file.display());
    for file in files {
        let mine = match parquet::column_names(file) {
            Ok(mine) => mine,
            Err(error) if alone()? => return Err(error),
            Err(error) => {
                others.push(not_read(file, &error));
                continue;
            }
        };
        match columns::find(file, &mine, wanted, true) {
            Ok(columns) if parquet::holds_pictures(file, &columns.image)? => {
                header.extend(mine.into_iter().filter(|column| !header.contains(column)).collect::<Vec<_>>());
                holding.push(file);
            }
            // The only file, or columns that a reader names: what is wrong with them is worth more than "no picture".
            Err(error) if files.len() == 1 && columns::find(file, &mine, wanted, false).is_err() && alone()? => {
                return Err(error);
            }
            Err(error) => others.push(not_read(file, &error)),
            Ok(_) => others.push(not_read(file, &"no pictures inside")),
        }
    }
    let Some(first) = holding.first() else { return Ok(None) };
    let mut columns = columns::find(first, &header, wanted, true)?;
    let text = |file: &&PathBuf| {
        let text = file.to_str().map(String::from);
        text.ok_or_else(|| Error::data(file.as_path(), "a path in UTF-8", "other bytes"))
    };
    let paths = holding.iter().map(text).collect::<Result<Vec<_>>>()?;
    let mut said = vec![format!("{} Parquet file(s) with the pictures inside", paths.len())];
    // A column that only its name speaks for must not cost the pictures.
    for (column, asked) in columns::optional(&mut columns, wanted) {
        let Some(name) = column.clone().filter(|_| !asked) else { continue };
        if let Some(found) = holding.iter().find_map(|file| parquet::no_text(file, &name).transpose()).transpose()? {
            said.push(format!("the column `{name}` is not used: it holds {found}"));
            *column = None;
        }
    }
    let not_taken = columns::settle_split(&mut columns, &header, wanted, |column| {
        let values = holding.iter().map(|file| parquet::values_of(file, column));
        Ok(values.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    })?;
    said.insert(1, meaning(&columns));
    said.extend(not_taken);
    said.append(others);
    let mut record = DatasetRecord::own(&own_id(name), Source::Parquet { files: paths });
    record.columns = columns;
    Ok(Some(Recognised { record, said }))
}

/// What each column was taken for.
fn meaning(columns: &Columns) -> String {
    let more = [
        ("group", &columns.group),
        ("domain", &columns.domain),
        ("split", &columns.split),
        ("caption", &columns.caption),
    ];
    let more = more.iter().filter_map(|(what, column)| Some(format!(", {what} `{}`", column.as_ref()?)));
    format!("columns: picture `{}`, label `{}`{}", columns.image, columns.label, more.collect::<String>())
}

/// The published part that a Parquet file of a reader's holds, by its name or its folder's.
pub(super) fn part_of(file: &Path) -> Option<String> {
    let stem = file.file_stem().map_or_else(String::new, shown);
    let folder = file.parent().and_then(Path::file_name).map_or_else(String::new, shown);
    if super::folder::exact_part(&stem).is_some() {
        return Some(stem);
    }
    part_word(&stem).map(|(word, _)| word).or_else(|| kind_of_part(&folder).map(|_| folder))
}

/// How many pictures that are there the table names, where its header holds a picture's name and a label. What this program
/// said of pictures is no table of labels.
fn named_by(folder: &Path, table: &Path, wanted: &Wanted) -> usize {
    let found = || {
        let header = rows::header(table).ok()?;
        let columns = columns::find(table, &header, wanted, false).ok()?;
        let is_ours = header.iter().map(String::as_str).eq(PREDICTIONS) && wanted.label.is_none();
        if is_ours {
            return None;
        }
        open::count_named(folder, &below(folder, table), &columns.image).ok()
    };
    found().unwrap_or(0)
}

/// `metadata.csv`, `.jsonl` or `.parquet` in a folder; the first of these.
fn metadata_in(folder: &Path) -> Result<Option<PathBuf>> {
    let files = files_of(folder, &TABLES)?;
    let called = |file: &&PathBuf| file.file_stem().is_some_and(|stem| stem.eq_ignore_ascii_case("metadata"));
    let mut found: Vec<&PathBuf> = files.iter().filter(called).collect();
    found.sort_by_key(|file| TABLES.iter().position(|kind| extension(file) == *kind));
    Ok(found.first().map(|file| file.to_path_buf()))
}

/// Files directly in a folder with one of those extensions, sorted; hidden ones are passed over.
fn files_of(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder, "listing"))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|file| extensions.contains(&extension(file).as_str()) && !named(file, |name| name.starts_with('.')));
    files.retain(|file| file.is_file());
    files.sort();
    Ok(files)
}

/// Folders directly in a folder, sorted.
fn subfolders(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder, "listing"))?;
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    Ok(folders)
}

fn named(path: &Path, holds: impl Fn(&str) -> bool) -> bool {
    path.file_name().is_some_and(|name| holds(&shown(name)))
}
