//! How an unpacked archive is laid out: class folders, a table, or lists, each read into one [`ImageSet`].
//!
//! An image that a table or a list names and that is not on the disk stays in the set: reading it is an error of its
//! own, so that extraction sets it aside by name. If none of them is there, the layout or the archive is wrong.

use super::ImageSet;
use super::folder::{self, below};
use crate::error::{Error, Result};
use crate::manifest::{ArchiveLayout, Columns, ListLabel, TablePart};
use csv::StringRecord;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// What a layout gives for each image.
#[derive(Default)]
struct Listing {
    files: Vec<PathBuf>,
    classes: Vec<String>,
    parts: Vec<String>,
    groups: Option<Vec<String>>,
    domains: Option<Vec<String>>,
    names: Option<Vec<String>>,
    /// The classes in the order of their numbers; sorted by name where there is none.
    order: Option<Vec<String>>,
}

/// Reads an unpacked folder as `layout` says.
pub(super) fn open(id: &str, folder: &Path, layout: &ArchiveLayout, columns: &Columns) -> Result<ImageSet> {
    let listing = match layout {
        ArchiveLayout::ClassFolders { root, lists } => class_folders(folder, root, lists)?,
        ArchiveLayout::Table { table, image, parts } => read_table(folder, table, image, parts, columns)?,
        ArchiveLayout::Lists { images, suffix, lists, label, classes } => {
            let mut listing = read_lists(folder, images, suffix, lists, *label)?;
            listing.order =
                classes.as_ref().map(|file| class_order(&folder.join(file), &listing.classes)).transpose()?;
            listing
        }
    };
    if let Some(first) = listing.files.first()
        && !listing.files.iter().any(|file| file.is_file())
    {
        let found = format!("none of {}, the first: {}", listing.files.len(), below(folder, first));
        return Err(Error::data(folder, "the images that its table or lists name", found));
    }
    let ids = listing.files.iter().map(|file| below(folder, file)).collect();
    let (parts, domains) = (Some(listing.parts), listing.domains);
    let set = folder::from_files(id, folder, listing.files, ids, &listing.classes, parts, domains)?;
    let set = ImageSet { groups: listing.groups, names: listing.names, ..set };
    Ok(match listing.order {
        None => set,
        Some(order) => in_class_order(set, order),
    })
}

fn class_folders(folder: &Path, root: &str, lists: &BTreeMap<String, String>) -> Result<Listing> {
    // Part of each listed name, and whether its file was found.
    let mut listed: BTreeMap<String, (&str, bool)> = BTreeMap::new();
    for (part, file) in lists {
        let path = folder.join(file);
        for (line, name) in lines(&path)? {
            if let Some((other, _)) = listed.insert(name.clone(), (part.as_str(), false)) {
                let found = format!("`{name}`, which is in the list of `{other}`");
                return Err(at(&path, line, "an image that no line before names", found));
            }
        }
    }
    let mut listing = Listing::default();
    for (class, file) in folder::class_files(&folder.join(root))? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = match listed.get_mut(&name) {
            _ if lists.is_empty() => "all",
            None => "none",
            Some((_, true)) => return Err(Error::data(&file, "one image of a listed name", "another before it")),
            Some((part, found)) => {
                *found = true;
                *part
            }
        };
        listing.parts.push(part.to_string());
        listing.files.push(file);
        listing.classes.push(class);
    }
    match listed.iter().find(|(_, (_, found))| !found) {
        Some((name, (part, _))) => {
            let expected = format!("an image `{name}`, which the list of `{part}` names");
            Err(Error::data(folder.join(root), expected, "none"))
        }
        None => Ok(listing),
    }
}

fn read_lists(
    folder: &Path,
    images: &str,
    suffix: &str,
    lists: &BTreeMap<String, String>,
    label: ListLabel,
) -> Result<Listing> {
    let mut listing = Listing::default();
    for (part, file) in lists {
        let path = folder.join(file);
        for (line, text) in lines(&path)? {
            let split = match label {
                ListLabel::Folder => text.split_once('/').map(|(class, _)| (text.as_str(), class)),
                ListLabel::AfterSpace => text.split_once(' ').map(|(name, class)| (name, class.trim())),
            };
            let (name, class) = split
                .filter(|(_, class)| !class.is_empty())
                .ok_or_else(|| at(&path, line, "an image and its label", format!("`{text}`")))?;
            listing.files.push(inside(&folder.join(images), &format!("{name}{suffix}"), &path, line)?);
            listing.classes.push(class.to_string());
            listing.parts.push(part.clone());
        }
    }
    Ok(listing)
}

fn read_table(folder: &Path, table: &str, image: &str, parts: &[TablePart], columns: &Columns) -> Result<Listing> {
    let path = folder.join(table);
    let broken = |error: csv::Error| Error::data(&path, "a CSV table with a header row", error.to_string());
    let mut reader = csv::Reader::from_path(&path).map_err(broken)?;
    let header = reader.headers().map_err(broken)?.clone();
    let find = |name: &str| {
        header.iter().position(|column| column == name).ok_or_else(|| {
            let known = header.iter().collect::<Vec<_>>().join(", ");
            Error::data(&path, format!("a column `{name}`"), format!("the columns {known}"))
        })
    };
    let find_any = |name: &Option<String>| name.as_deref().map(find).transpose();
    let label = find(&columns.label)?;
    let [group, domain, name] = [find_any(&columns.group)?, find_any(&columns.domain)?, find_any(&columns.name)?];
    let pieces = pieces(image, find)?;
    let mut rules = Vec::new();
    for part in parts {
        if part.time_column.is_none() && (part.from.is_some() || part.until.is_some()) {
            let found = format!("none for `{}`", part.name);
            return Err(Error::argument("parts of the table", "`time_column` beside `from` and `until`", found));
        }
        rules.push(Rule { part, column: find(&part.column)?, time: find_any(&part.time_column)? });
    }
    let mut listing = Listing::default();
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(broken)?;
        let part = match rules.is_empty() {
            true => Some("all"),
            false => rules.iter().find(|rule| rule.takes(&record)).map(|rule| rule.part.name.as_str()),
        };
        let Some(part) = part else { continue };
        let line = record.position().map_or(0, |position| position.line() as usize);
        let value = |column: usize| record.get(column).unwrap_or_default().to_string();
        if value(label).is_empty() {
            return Err(at(&path, line, format!("a label in column `{}`", columns.label), "none"));
        }
        let file: String = pieces.iter().map(|piece| piece.text(row, &record)).collect();
        listing.files.push(inside(folder, &file, &path, line)?);
        listing.classes.push(value(label));
        listing.parts.push(part.to_string());
        let optional = [(&mut listing.groups, group), (&mut listing.domains, domain), (&mut listing.names, name)];
        for (values, column) in optional {
            if let Some(column) = column {
                values.get_or_insert_default().push(value(column));
            }
        }
    }
    listing.order = number_order(&listing.classes);
    Ok(listing)
}

/// A stretch of the pattern that makes an image's path from a row.
enum Piece {
    Text(String),
    Row,
    Column(usize),
}

impl Piece {
    fn text(&self, row: usize, record: &StringRecord) -> String {
        match self {
            Piece::Text(text) => text.clone(),
            Piece::Row => row.to_string(),
            Piece::Column(column) => record.get(*column).unwrap_or_default().to_string(),
        }
    }
}

/// Takes `train/{filename}` apart; `find` gives the place of a column.
fn pieces(pattern: &str, find: impl Fn(&str) -> Result<usize>) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{')
        && let Some((name, after)) = after.split_once('}')
    {
        pieces.push(Piece::Text(before.into()));
        pieces.push(if name == "row" { Piece::Row } else { Piece::Column(find(name)?) });
        rest = after;
    }
    pieces.push(Piece::Text(rest.into()));
    Ok(pieces)
}

/// A part with the places of its columns.
struct Rule<'a> {
    part: &'a TablePart,
    column: usize,
    time: Option<usize>,
}

impl Rule<'_> {
    /// Whether a row belongs to the part. A row without a time belongs to none that asks for one.
    fn takes(&self, record: &StringRecord) -> bool {
        let TablePart { value, from, until, .. } = self.part;
        let in_time = self.time.is_none_or(|column| {
            let time = record.get(column).unwrap_or_default();
            let begun = from.as_deref().is_none_or(|from| time >= from);
            !time.is_empty() && begun && until.as_deref().is_none_or(|until| time < until)
        });
        record.get(self.column) == Some(value.as_str()) && in_time
    }
}

/// Class names that are all numbers, by size: `2` before `10`. `None` where one is not.
fn number_order(classes: &[String]) -> Option<Vec<String>> {
    let mut order = classes
        .iter()
        .map(|class| class.parse::<u64>().ok().map(|number| (number, class)))
        .collect::<Option<Vec<_>>>()?;
    order.sort_unstable();
    order.dedup();
    Some(order.into_iter().map(|(_, class)| class.clone()).collect())
}

/// The owner's order of the classes, from a file with one a line; every class in `used` must be in it.
fn class_order(path: &Path, used: &[String]) -> Result<Vec<String>> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut order = Vec::new();
    for (line, class) in lines(path)? {
        if let Some(first) = places.insert(class.clone(), line) {
            return Err(at(path, line, "every class once", format!("`{class}`, as in line {first}")));
        }
        order.push(class);
    }
    match used.iter().find(|class| !places.contains_key(*class)) {
        Some(class) => Err(Error::data(path, format!("a line `{class}`, a label that the lists give"), "none")),
        None => Ok(order),
    }
}

/// Renumbers classes into `order`, which holds every one of them.
fn in_class_order(set: ImageSet, order: Vec<String>) -> ImageSet {
    let place: HashMap<&str, u32> = order.iter().map(String::as_str).zip(0..).collect();
    let labels = set.labels.iter().map(|&label| place[set.classes[label as usize].as_str()]).collect();
    ImageSet { labels, classes: order, ..set }
}

/// The lines of a text file that are not empty, without surrounding space, each with its number from 1.
fn lines(path: &Path) -> Result<Vec<(usize, String)>> {
    let text = fs::read_to_string(path).map_err(Error::io(path, "reading"))?;
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim().to_string()));
    Ok(lines.filter(|(_, line)| !line.is_empty()).collect())
}

/// The path of an image below `folder`, by the name in a line of `list`. A name that leads out of it is refused.
fn inside(folder: &Path, name: &str, list: &Path, line: usize) -> Result<PathBuf> {
    let leads_in = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    match Path::new(name).components().all(leads_in) {
        true => Ok(folder.join(name)),
        false => Err(at(list, line, "a path inside the data set's folder", format!("`{name}`"))),
    }
}

/// A line of a list or table that does not say what it must.
fn at(path: &Path, line: usize, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::Manifest { path: path.to_path_buf(), line, expected: expected.into(), found: found.into() }
}
