//! Pictures that a reader's own tables name.

use super::super::ImageSet;
use super::super::folder::{from_files, kind_of_part};
use super::super::layouts::{in_class_order, number_order};
use super::super::left_out::Tally;
use super::super::listing::{EXTENSIONS, is_picture};
use super::super::names::{below, shown};
use super::rows::{self, Rows};
use crate::error::{Error, Result};
use crate::manifest::Columns;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// What the tables say, a column a field.
#[derive(Default)]
struct Named {
    files: Vec<PathBuf>,
    classes: Vec<String>,
    parts: Vec<Option<String>>,
    groups: Vec<Option<String>>,
    domains: Vec<Option<String>>,
    captions: Vec<Option<String>>,
    /// Pictures of rows without a label.
    unlabelled: Vec<PathBuf>,
    /// Place of each picture among `files`.
    places: HashMap<PathBuf, usize>,
    warnings: Vec<String>,
    ignored: Tally,
}

/// Opens the pictures that `tables` below `folder` name.
///
/// # Errors
/// A table that cannot be read, lacks a column, or names no picture with a label that is there.
pub(in super::super) fn open(id: &str, folder: &Path, tables: &[String], columns: &Columns) -> Result<ImageSet> {
    let mut named = read(folder, tables, columns)?;
    if named.files.is_empty() {
        let ignored = super::super::left_out::in_words(&named.ignored.list());
        let found = if ignored.is_empty() { "none: the table has no row".into() } else { format!("none; {ignored}") };
        return Err(Error::data(folder.join(&tables[0]), "a row with a label whose picture is there", found));
    }
    unnamed(folder, &mut named);
    let ids: Vec<String> = named.files.iter().map(|file| below(folder, file)).collect();
    let parts = filled(named.parts);
    let set = from_files(id, folder, named.files, ids, &named.classes, parts, filled(named.domains))?;
    let order = number_order(&set.classes);
    let set = match order {
        Some(order) => in_class_order(set, order),
        None => set,
    };
    let warnings = [set.warnings.clone(), named.warnings].concat();
    // A picture of no group is a group of its own.
    let groups = named.groups.iter().any(Option::is_some).then(|| {
        let alone = |(group, id): (Option<String>, &String)| group.unwrap_or_else(|| format!("alone: {id}"));
        named.groups.into_iter().zip(&set.ids).map(alone).collect()
    });
    Ok(ImageSet { ignored: named.ignored.list(), warnings, groups, names: filled(named.captions), ..set })
}

/// The pictures of rows that give no label.
///
/// # Errors
/// As [`open`].
pub(super) fn unlabelled(folder: &Path, tables: &[String], columns: &Columns) -> Result<Vec<PathBuf>> {
    Ok(read(folder, tables, columns)?.unlabelled)
}

/// Columns that hold something; what is empty then is an empty text.
fn filled(values: Vec<Option<String>>) -> Option<Vec<String>> {
    values.iter().any(Option::is_some).then(|| values.into_iter().map(Option::unwrap_or_default).collect())
}

fn read(folder: &Path, tables: &[String], columns: &Columns) -> Result<Named> {
    let mut named = Named::default();
    for table in tables {
        let rows = rows::read(&folder.join(table), &mut named.ignored)?;
        named.add(folder, table, &rows, columns)?;
    }
    Ok(named)
}

impl Named {
    fn add(&mut self, folder: &Path, table: &str, rows: &Rows, columns: &Columns) -> Result<()> {
        let place = |name: &str| {
            rows.header.iter().position(|column| column == name).ok_or_else(|| {
                let found = format!("the columns {}", rows.header.join(", "));
                Error::data(&rows.path, format!("a column `{name}`"), found)
            })
        };
        let optional = |name: &Option<String>| name.as_deref().map(place).transpose();
        let (image, label) = (place(&columns.image)?, place(&columns.label)?);
        let (group, domain, split) = (optional(&columns.group)?, optional(&columns.domain)?, optional(&columns.split)?);
        let caption = optional(&columns.caption)?;
        let base = rows.path.parent().unwrap_or(folder);
        let of_folder = Path::new(table).components().next().map(|first| shown(first.as_os_str()));
        let of_folder = of_folder.filter(|first| first != table && kind_of_part(first).is_some());
        // Numbers below 0 stand for none where labels are numbers.
        let numbers =
            rows.rows.iter().filter_map(|(_, row)| row[label].as_deref()).all(|text| text.parse::<f64>().is_ok());
        for (line, row) in &rows.rows {
            let name = || format!("{table}, line {line}");
            let Some(picture) = &row[image] else {
                self.ignored.add("rows without the name of a picture", name);
                continue;
            };
            let Some(file) = find(base, folder, picture) else {
                self.ignored.add("rows whose picture is not there", || format!("{picture} ({table}, line {line})"));
                continue;
            };
            let class = row[label].as_ref().filter(|class| !numbers || !class.starts_with('-'));
            let Some(class) = class else {
                self.ignored.add("rows without a label", name);
                self.unlabelled.push(file);
                continue;
            };
            if let Some(&first) = self.places.get(&file) {
                if self.classes[first] != *class {
                    let other = &self.classes[first];
                    self.warnings
                        .push(format!("{picture} stands in two classes, `{other}` and `{class}`; the first counts"));
                }
                self.ignored.add("rows that name a picture again", name);
                continue;
            }
            self.places.insert(file.clone(), self.files.len());
            self.files.push(file);
            self.classes.push(class.clone());
            self.parts.push(split.map_or_else(|| of_folder.clone(), |split| row[split].clone()));
            self.groups.push(group.and_then(|group| row[group].clone()));
            self.domains.push(domain.and_then(|domain| row[domain].clone()));
            self.captions.push(caption.and_then(|caption| row[caption].clone()));
        }
        Ok(())
    }
}

/// The file that a row names: from the table's folder or the data set's, as it stands, with slashes for backslashes, or
/// without its ending.
fn find(base: &Path, folder: &Path, name: &str) -> Option<PathBuf> {
    if name.contains('\0') {
        return None;
    }
    let slashes = name.replace('\\', "/");
    let names = [name, slashes.as_str()];
    let whole = names.iter().flat_map(|name| [base.join(name), folder.join(name)]).find(|path| path.is_file());
    whole.or_else(|| {
        let endings = EXTENSIONS.iter().map(|ending| format!("{slashes}.{ending}"));
        endings.flat_map(|name| [base.join(&name), folder.join(&name)]).find(|path| path.is_file())
    })
}

/// Counts the pictures that lie beside named ones and that no row names.
fn unnamed(folder: &Path, named: &mut Named) {
    let beside: BTreeSet<PathBuf> =
        named.files.iter().filter_map(|file| file.parent()).map(Path::to_path_buf).collect();
    let unlabelled: BTreeSet<&PathBuf> = named.unlabelled.iter().collect();
    for place in beside {
        let Ok(entries) = std::fs::read_dir(&place) else { continue };
        let mut others: Vec<PathBuf> = entries.filter_map(|entry| Some(place.join(entry.ok()?.file_name()))).collect();
        others.retain(|path| is_picture(path) && !named.places.contains_key(path) && !unlabelled.contains(path));
        others.sort();
        for path in others {
            named.ignored.add("pictures that no row names", || below(folder, &path));
        }
    }
}

/// Whether one of the first rows of `table` names a picture that is there.
///
/// # Errors
/// A table that cannot be read.
pub(super) fn names_one(folder: &Path, table: &str, image: &str) -> Result<bool> {
    /// Rows that are looked at.
    const ROWS: usize = 20;
    let rows = rows::read(&folder.join(table), &mut Tally::default())?;
    let place = rows.header.iter().position(|column| column == image);
    let first = rows.rows.iter().take(ROWS).filter_map(|(_, row)| row.get(place?)?.as_deref());
    Ok(first.into_iter().any(|name| find(folder, folder, name).is_some()))
}

/// Pictures without a label as a set: its only class is `unlabelled`.
///
/// # Errors
/// Files that cannot be read.
pub(super) fn without_labels(id: &str, folder: &Path, files: Vec<PathBuf>) -> Result<ImageSet> {
    let id_of = |file: &PathBuf| match folder.as_os_str().is_empty() {
        true => shown(file.as_os_str()),
        false => below(folder, file),
    };
    let ids: Vec<String> = files.iter().map(id_of).collect();
    let classes = vec!["unlabelled".to_string(); files.len()];
    let set = from_files(id, folder, files, ids, &classes, None, None)?;
    Ok(ImageSet { warnings: Vec::new(), ..set })
}
