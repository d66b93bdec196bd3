//! How an unpacked archive is laid out: class folders, a table, or lists, each read into one [`ImageSet`].
//!
//! An image that a table or a list names and that is not on the disk stays in the set: reading it is an error of its
//! own, so that extraction sets it aside by name. If none of them is there, the layout or the archive is wrong.

mod lookup;
mod table;

pub(super) use table::number_order;

use super::folder::{self, Classed, below};
use super::listing::Links;
use super::names::shown;
use super::{Ignored, ImageSet};
use crate::error::{Error, Result};
use crate::manifest::{ArchiveLayout, Columns, ListLabel};
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
    times: Option<Vec<String>>,
    /// The classes in the order of their numbers; sorted by name where there is none.
    order: Option<Vec<String>>,
    /// What lies in the class folders and is no picture.
    ignored: Vec<Ignored>,
}

/// Reads an unpacked folder as `layout` says.
pub(super) fn open(id: &str, folder: &Path, layout: &ArchiveLayout, columns: &Columns) -> Result<ImageSet> {
    let listing = match layout {
        ArchiveLayout::ClassFolders { root, lists } => class_folders(folder, root, lists)?,
        ArchiveLayout::Table { table, image, parts, lookups } => {
            table::read(folder, table, image, parts, lookups, columns)?
        }
        ArchiveLayout::Lists { images, suffix, lists, label, classes } => {
            let mut listing = read_lists(folder, images, suffix, lists, *label)?;
            if let Some(file) = classes {
                listing.order = Some(class_order(&within(folder, file)?, &listing.classes)?);
            }
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
    let Listing { groups, names, times, ignored, .. } = listing;
    let set = ImageSet { groups, names, times, ignored, ..set };
    Ok(match listing.order {
        None => set,
        Some(order) => in_class_order(set, order),
    })
}

fn class_folders(folder: &Path, root: &str, lists: &BTreeMap<String, String>) -> Result<Listing> {
    // Part of each listed name, and whether its file was found.
    let mut listed: BTreeMap<String, (&str, bool)> = BTreeMap::new();
    for (part, file) in lists {
        let path = within(folder, file)?;
        for (line, name) in lines(&path)? {
            if let Some((other, _)) = listed.insert(name.clone(), (part.as_str(), false)) {
                let found = format!("`{name}`, which is in the list of `{other}`");
                return Err(at(&path, line, "an image that no line before names", found));
            }
        }
    }
    let root = within(folder, root)?;
    let Classed { files, parts, ignored } = folder::read(&root, Links::LeftOut)?;
    let mut listing = Listing { ignored, ..Listing::default() };
    for (row, (class, file)) in files.into_iter().enumerate() {
        let name = file.file_name().map_or_else(String::new, shown);
        let part = match listed.get_mut(&name) {
            _ if lists.is_empty() => parts.as_ref().map_or("all", |parts| parts[row].as_str()),
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
            Err(Error::data(root, expected, "none"))
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
    let images = within(folder, images)?;
    // List and line of each image that was named.
    let mut named: HashMap<PathBuf, (&str, usize)> = HashMap::new();
    for (part, list) in lists {
        let path = within(folder, list)?;
        for (line, text) in lines(&path)? {
            let split = match label {
                ListLabel::Folder => text.split_once('/').map(|(class, _)| (text.as_str(), class)),
                ListLabel::AfterSpace => text.split_once(' ').map(|(name, class)| (name, class.trim())),
            };
            let (name, class) = split
                .filter(|(_, class)| !class.is_empty())
                .ok_or_else(|| at(&path, line, "an image and its label", format!("`{text}`")))?;
            if name.trim().is_empty() {
                return Err(at(&path, line, "an image and its label", format!("`{text}`")));
            }
            let file = inside(&images, &format!("{name}{suffix}"), &path, line)?;
            if let Some((first, at_line)) = named.insert(file.clone(), (list, line)) {
                let found = format!("`{}` twice, first in line {at_line} of {first}", below(folder, &file));
                return Err(at(&path, line, "one image an id", found));
            }
            listing.files.push(file);
            listing.classes.push(class.to_string());
            listing.parts.push(part.clone());
        }
    }
    Ok(listing)
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
pub(super) fn in_class_order(set: ImageSet, order: Vec<String>) -> ImageSet {
    let place: HashMap<&str, u32> = order.iter().map(String::as_str).zip(0..).collect();
    let labels = set.labels.iter().map(|&label| place[set.classes[label as usize].as_str()]).collect();
    ImageSet { labels, classes: order, ..set }
}

/// The lines of a text file that are not empty, without surrounding space, each with its number from 1.
fn lines(path: &Path) -> Result<Vec<(usize, String)>> {
    let bytes = fs::read(path).map_err(Error::io(path, "reading"))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
        at(path, line, "UTF-8 text", "other bytes")
    })?;
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim().to_string()));
    Ok(lines.filter(|(_, line)| !line.is_empty()).collect())
}

/// The path of an image below `folder`, by the name in a line of `list`. A name that leads out of it is refused; one with
/// backslashes, as Windows writes it, is taken with slashes where that is what there is.
fn inside(folder: &Path, name: &str, list: &Path, line: usize) -> Result<PathBuf> {
    if !leads_in(name) {
        return Err(at(list, line, "a path inside the data set's folder", format!("`{name}`")));
    }
    let path = folder.join(name);
    let slashes = name.replace('\\', "/");
    match slashes != name && !path.exists() && leads_in(&slashes) {
        true => Ok(folder.join(slashes)),
        false => Ok(path),
    }
}

fn leads_in(name: &str) -> bool {
    let inside = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    !name.contains('\0') && Path::new(name).components().all(inside)
}

/// A path that a record names, which must not lead out of `folder`.
fn within(folder: &Path, path: &str) -> Result<PathBuf> {
    match leads_in(path) {
        true => Ok(folder.join(path)),
        false => {
            let expected = "a path inside the data set's folder, without `..`";
            Err(Error::argument("layout of the archive", expected, format!("`{path}`")))
        }
    }
}

/// A line of a list or table that does not say what it must.
fn at(path: &Path, line: usize, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::Manifest { path: path.to_path_buf(), line, expected: expected.into(), found: found.into() }
}
