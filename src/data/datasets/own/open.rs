//! Pictures that a reader's own tables name.

use super::super::ImageSet;
use super::super::folder::{Part, exact_part, from_files, kind_of_part};
use super::super::layouts::{in_class_order, number_order};
use super::super::left_out::Tally;
use super::super::listing::{self, EXTENSIONS};
use super::super::names::{below, shown};
use super::super::spelling;
use super::is_unlabelled;
use super::rows::{self, Rows};
use crate::error::{Error, Result};
use crate::manifest::Columns;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use tokenizers::NormalizedString;

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
    /// Place of each picture among `files`, by its whole path.
    places: HashMap<PathBuf, usize>,
    labels: Numbers,
    /// Rows that give a picture a second class: how many, and the first of them with both.
    in_two: Option<(usize, (String, String, String))>,
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
    named.parts_of_folders(folder);
    unnamed(folder, &mut named);
    named.warnings.extend(outside(folder, &named));
    named.warnings.extend(spelling::one_spelling("groups", &mut named.groups));
    named.warnings.extend(spelling::missing_group(&named.groups));
    named.warnings.extend(spelling::one_spelling("domains", &mut named.domains));
    spelling::one_case(named.parts.iter_mut().flatten());
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
    let set = ImageSet { ignored: named.ignored.list(), warnings, groups, names: filled(named.captions), ..set };
    let warnings = set.warnings.iter().cloned().chain(groups_on_both_sides(&set)).collect();
    Ok(ImageSet { warnings, ..set })
}

/// What to say where the published test has groups that are learned from.
fn groups_on_both_sides(set: &ImageSet) -> Option<String> {
    let groups = set.groups.as_ref()?;
    let tested: BTreeSet<usize> = set.published_test().into_iter().collect();
    let of_test: BTreeSet<&String> = tested.iter().map(|&row| &groups[row]).collect();
    let learned = (0..set.len()).filter(|row| !tested.contains(row)).map(|row| &groups[row]);
    let both: BTreeSet<&String> = learned.filter(|group| of_test.contains(group)).collect();
    let first = both.first()?;
    Some(format!(
        "{} of {} groups in the published test have images outside of it too, the first `{first}`: where these are learned from, \
         the test is easier than new groups are",
        both.len(),
        of_test.len()
    ))
}

/// The pictures of rows that give no label, and the whole paths of those with one.
///
/// # Errors
/// As [`open`].
pub(super) fn unlabelled(
    folder: &Path,
    tables: &[String],
    columns: &Columns,
) -> Result<(Vec<PathBuf>, HashSet<PathBuf>)> {
    let named = read(folder, tables, columns)?;
    Ok((named.unlabelled, named.places.into_keys().collect()))
}

/// Columns that hold something; what is empty then is an empty text.
fn filled(values: Vec<Option<String>>) -> Option<Vec<String>> {
    values.iter().any(Option::is_some).then(|| values.into_iter().map(Option::unwrap_or_default).collect())
}

fn read(folder: &Path, tables: &[String], columns: &Columns) -> Result<Named> {
    let mut named = Named::default();
    let tables = tables.iter().map(|table| Ok((table.as_str(), rows::read(&folder.join(table), &mut named.ignored)?)));
    let tables = tables.collect::<Result<Vec<(&str, Rows)>>>()?;
    let header = |rows: &Rows| rows.header.join(", ");
    for name in optional(columns) {
        let lacking: Vec<&str> =
            tables.iter().filter(|(_, rows)| !rows.header.contains(name)).map(|(table, _)| *table).collect();
        if lacking.len() == tables.len() {
            let (first, found) = (&tables[0].1.path, format!("the columns {}", header(&tables[0].1)));
            return Err(Error::data(first, format!("a column `{name}`"), found));
        }
        if !lacking.is_empty() {
            let tables = lacking.join(", ");
            named.warnings.push(format!("no column `{name}` in {tables}: its pictures have no value there"));
        }
    }
    named.labels = Numbers::of(&tables, &columns.label);
    for (table, rows) in &tables {
        named.add(folder, table, rows, columns)?;
    }
    if let Some((n, (picture, one, other))) = &named.in_two {
        named.warnings.push(match n {
            1 => format!("{picture} stands in two classes, `{one}` and `{other}`; the first counts"),
            n => format!(
                "{n} rows give a picture another class, such as {picture} in `{one}` and `{other}`; the first counts"
            ),
        });
    }
    Ok(named)
}

/// A warning for pictures of a table that lie elsewhere: a table from a stranger could bring private ones into a report.
fn outside(folder: &Path, named: &Named) -> Option<String> {
    let root = whole(folder);
    let elsewhere: Vec<&PathBuf> = named.places.keys().filter(|path| !path.starts_with(&root)).collect();
    let first = elsewhere.iter().min()?;
    Some(format!("{} pictures lie outside of the folder, such as {}", elsewhere.len(), shown(first.as_os_str())))
}

/// The columns that need not be there.
fn optional(columns: &Columns) -> impl Iterator<Item = &String> {
    [&columns.group, &columns.domain, &columns.split, &columns.caption].into_iter().flatten()
}

/// Whether labels are numbers, of all tables together.
#[derive(Default, Clone, Copy, PartialEq)]
enum Numbers {
    /// Words, or nothing.
    #[default]
    None,
    /// Numbers, of which those below 0 stand for none.
    FromZero,
    /// -1 and 1 alone, which are two classes.
    Signs,
}

impl Numbers {
    fn of(tables: &[(&str, Rows)], label: &str) -> Numbers {
        let place = |rows: &Rows| rows.header.iter().position(|column| column == label);
        let of_rows =
            |rows: &Rows, at: usize| rows.rows.iter().filter_map(move |(_, row)| row[at].clone()).collect::<Vec<_>>();
        let labels: BTreeSet<String> =
            tables.iter().filter_map(|(_, rows)| Some(of_rows(rows, place(rows)?))).flatten().collect();
        if !spelling::are_numbers(labels.iter().map(String::as_str)) {
            return Numbers::None;
        }
        let numbers: BTreeSet<&str> = labels.iter().filter_map(|label| spelling::number(label)).collect();
        match numbers.iter().copied().eq(["-1", "1"]) {
            true => Numbers::Signs,
            false => Numbers::FromZero,
        }
    }

    /// The class of a label, or why it is none.
    fn class(self, label: &Option<String>) -> Result<String, &'static str> {
        let label = label.as_deref().ok_or("rows without a label")?;
        if self == Numbers::None {
            return Ok(label.to_string());
        }
        let number = spelling::number(label).ok_or("rows without a label")?;
        match self == Numbers::FromZero && number.starts_with('-') {
            true => Err("rows whose label is a number below 0, which stands for none"),
            false => Ok(number.to_string()),
        }
    }
}

impl Named {
    /// Folders of parts with other words in their names, as `train2017` and `test2017`: where nothing else says a part, every
    /// picture lies in such a folder, one of them is for training, and another has classes of it.
    fn parts_of_folders(&mut self, folder: &Path) {
        if self.parts.iter().any(Option::is_some) {
            return;
        }
        let of = |file: &PathBuf| {
            let below = below(folder, file);
            let (first, _) = below.split_once('/')?;
            Some((kind_of_part(first)?, first.to_string()))
        };
        let Some(found) = self.files.iter().map(of).collect::<Option<Vec<_>>>() else { return };
        let classes = |train: bool| -> BTreeSet<&String> {
            let of = found.iter().zip(&self.classes).filter(|((kind, _), _)| (*kind == Part::Train) == train);
            of.map(|(_, class)| class).collect()
        };
        if !classes(true).is_disjoint(&classes(false)) {
            self.parts = found.into_iter().map(|(_, name)| Some(name)).collect();
        }
    }

    fn add(&mut self, folder: &Path, table: &str, rows: &Rows, columns: &Columns) -> Result<()> {
        let there = |name: &str| rows.header.iter().position(|column| column == name);
        let place = |name: &str| {
            there(name).ok_or_else(|| {
                let found = format!("the columns {}", rows.header.join(", "));
                Error::data(&rows.path, format!("a column `{name}`"), found)
            })
        };
        let optional = |name: &Option<String>| name.as_deref().and_then(there);
        let (image, label) = (place(&columns.image)?, place(&columns.label)?);
        let (group, domain, split) = (optional(&columns.group), optional(&columns.domain), optional(&columns.split));
        let caption = optional(&columns.caption);
        let base = rows.path.parent().unwrap_or(folder);
        let mut names = Names::default();
        for (line, row) in &rows.rows {
            let name = || format!("{table}, line {line}");
            let Some(picture) = &row[image] else {
                self.ignored.add("rows without the name of a picture", name);
                continue;
            };
            let Some(file) = names.find(base, folder, picture) else {
                self.ignored.add("rows whose picture is not there", || format!("{picture} ({table}, line {line})"));
                continue;
            };
            let class = match self.labels.class(&row[label]) {
                Ok(class) => class,
                Err(why) => {
                    self.ignored.add(why, name);
                    self.unlabelled.push(file);
                    continue;
                }
            };
            let known = whole(&file);
            if let Some(&first) = self.places.get(&known) {
                if self.classes[first] != class {
                    let other = &self.classes[first];
                    let one = || (picture.clone(), other.clone(), class.clone());
                    self.in_two.get_or_insert_with(|| (0, one())).0 += 1;
                }
                self.ignored.add("rows that name a picture again", name);
                continue;
            }
            // A part's folder says what the table does not.
            let of_folder = || {
                let below = below(folder, &file);
                let first = below.split_once('/')?.0;
                let is_tables = || table.starts_with(&format!("{first}/")) && kind_of_part(first).is_some();
                (exact_part(first).is_some() || is_tables()).then(|| first.to_string())
            };
            self.parts.push(split.and_then(|split| row[split].clone()).or_else(of_folder));
            self.places.insert(known, self.files.len());
            self.files.push(file);
            self.classes.push(class);
            self.groups.push(group.and_then(|group| row[group].clone()));
            self.domains.push(domain.and_then(|domain| row[domain].clone()));
            self.captions.push(caption.and_then(|caption| row[caption].clone()));
        }
        Ok(())
    }
}

/// The one path of a file, whatever links and dots lead there.
pub(super) fn whole(file: &Path) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_path_buf())
}

/// Finds the files that rows name.
#[derive(Default)]
struct Names {
    /// The files of a folder, by their names as [`plain`] has them.
    alike: HashMap<PathBuf, HashMap<String, PathBuf>>,
}

impl Names {
    /// The file that a row names: from the table's folder or the data set's, as it stands, with slashes for backslashes,
    /// without its ending, or with accents and an ending in another spelling.
    fn find(&mut self, base: &Path, folder: &Path, name: &str) -> Option<PathBuf> {
        if name.contains('\0') {
            return None;
        }
        let slashes = name.replace('\\', "/");
        let names = [name, slashes.as_str()];
        let whole = names.iter().flat_map(|name| [base.join(name), folder.join(name)]).find(|path| path.is_file());
        let whole = whole.or_else(|| {
            let endings = EXTENSIONS.iter().map(|ending| format!("{slashes}.{ending}"));
            endings.flat_map(|name| [base.join(&name), folder.join(&name)]).find(|path| path.is_file())
        });
        whole.or_else(|| [base.join(&slashes), folder.join(&slashes)].iter().find_map(|path| self.alike(path)))
    }

    /// The one file of the folder whose name is the same letters, in another case of its ending or another encoding of
    /// accents, or with an ending.
    fn alike(&mut self, path: &Path) -> Option<PathBuf> {
        let (folder, name) = (path.parent()?, path.file_name()?.to_str()?);
        let files = self.alike.entry(folder.to_path_buf()).or_insert_with(|| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            let mut files: HashMap<String, Option<PathBuf>> = HashMap::new();
            for file in entries.filter(|file| listing::is_picture(file) && file.is_file()) {
                let whole = file.file_name().and_then(|name| name.to_str()).map(plain);
                let stem = file.file_stem().and_then(|name| name.to_str()).map(plain);
                for name in whole.into_iter().chain(stem) {
                    files.entry(name).and_modify(|one| *one = None).or_insert_with(|| Some(file.clone()));
                }
            }
            files.into_iter().filter_map(|(name, file)| Some((name, file?))).collect()
        });
        files.get(&plain(name)).cloned()
    }
}

/// A name with its accents in one encoding and its ending in lower case.
fn plain(name: &str) -> String {
    let mut normal = NormalizedString::from(name);
    let normal = normal.nfc().get().to_string();
    match normal.rsplit_once('.') {
        Some((stem, ending)) => format!("{stem}.{}", ending.to_lowercase()),
        None => normal,
    }
}

/// Counts the pictures below the folder that no row names, and where there is too much below it, those beside named ones. Those
/// of a folder to be labelled are none of these.
fn unnamed(folder: &Path, named: &mut Named) {
    let unlabelled: BTreeSet<PathBuf> = named.unlabelled.iter().map(|file| whole(file)).collect();
    let most = most_entries(named.files.len() + unlabelled.len());
    let pictures = pictures_in(vec![folder.to_path_buf()], true, most).or_else(|| {
        let beside: BTreeSet<&Path> = named.files.iter().filter_map(|file| file.parent()).collect();
        pictures_in(beside.into_iter().map(Path::to_path_buf).collect(), false, usize::MAX)
    });
    for path in pictures.unwrap_or_default() {
        let id = below(folder, &path);
        let to_label = id.split_once('/').is_some_and(|(first, _)| is_unlabelled(first));
        let known = whole(&path);
        if !to_label && !named.places.contains_key(&known) && !unlabelled.contains(&known) {
            named.ignored.add("pictures that no row names", || id);
        }
    }
}

/// So many entries of a folder are looked through where tables name so many pictures.
fn most_entries(named: usize) -> usize {
    50_000 + 4 * named
}

/// Whether much more lies below a folder than the pictures that its tables name.
pub(in super::super) fn is_much_larger(folder: &Path, named: usize) -> bool {
    pictures_in(vec![folder.to_path_buf()], true, most_entries(named)).is_none()
}

/// The pictures in folders, and below them if `deep`, sorted; `None` where more than `most` entries lie there. Hidden ones are
/// passed over, and no link to a folder is followed.
fn pictures_in(mut folders: Vec<PathBuf>, deep: bool, most: usize) -> Option<Vec<PathBuf>> {
    let (mut pictures, mut seen) = (Vec::new(), 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            seen += 1;
            if seen > most {
                return None;
            }
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            } else if listing::is_picture(&path) {
                pictures.push(path);
            } else if deep && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            }
        }
    }
    pictures.sort();
    Some(pictures)
}

/// How many pictures that are there the rows of `table` name.
///
/// # Errors
/// A table that cannot be read.
pub(super) fn count_named(folder: &Path, table: &str, image: &str) -> Result<usize> {
    let rows = rows::read(&folder.join(table), &mut Tally::default())?;
    let place = rows.header.iter().position(|column| column == image);
    let mut names = Names::default();
    let named = rows.rows.iter().filter_map(|(_, row)| row.get(place?)?.as_deref());
    let found: BTreeSet<PathBuf> = named.filter_map(|name| names.find(folder, folder, name)).collect();
    Ok(found.len())
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
