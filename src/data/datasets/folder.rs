//! A folder of class folders: `<folder>/<class>/**/<image>`, the layout of torchvision's `ImageFolder`, or
//! `<folder>/<part>/<class>/**/<image>`, that of Hugging Face's `imagefolder`.

use super::left_out::{Ignored, Tally, in_words};
use super::listing::{self, EXTENSIONS, Links, Listed};
pub(super) use super::names::below;
use super::names::shown;
use super::own::is_unlabelled;
use super::spelling::is_missing;
use super::{ImageSet, Store, labels_from_names};
use crate::error::{Error, Result};
use crate::storage;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use tokenizers::NormalizedString;

/// The pictures of a folder, sorted into classes: what each file is, before any is opened.
#[derive(Debug)]
pub(super) struct Classed {
    /// Class and path of every picture, sorted by path.
    pub files: Vec<(String, PathBuf)>,
    /// The part of each, where the folders are those of a split.
    pub parts: Option<Vec<String>>,
    /// What was left out.
    pub ignored: Vec<Ignored>,
}

/// Opens `folder`; classes are its sub-folders in sorted order, ids the paths below it.
pub(super) fn open(id: &str, folder: &Path) -> Result<ImageSet> {
    let Classed { files, parts, ignored } = read(folder, Links::Followed)?;
    let (classes, files): (Vec<String>, Vec<PathBuf>) = files.into_iter().unzip();
    let same = parts.is_none().then(|| same_inside(folder, &files)).flatten();
    let ids = files.iter().map(|path| below(folder, path)).collect();
    let set = from_files(id, folder, files, ids, &classes, parts, None)?;
    Ok(ImageSet { ignored, warnings: set.warnings.iter().cloned().chain(same).collect(), ..set })
}

/// Lists `folder` and sorts its pictures into classes.
///
/// # Errors
/// A folder that cannot be listed, or without a picture in a class folder; what lies there instead is named.
pub(super) fn read(folder: &Path, links: Links) -> Result<Classed> {
    let Listed { images, folders, mut ignored } = listing::list(folder, links)?;
    let part_of = parts_are(folder, &images)?;
    let has_parts = part_of.is_some();
    let depth = if has_parts { 3 } else { 2 };
    let is_part = |name: &str| part_of.is_some_and(|part_of| part_of(name).is_some());
    let (mut files, mut parts) = (Vec::new(), Vec::new());
    for image in images {
        let names: Vec<_> = image.strip_prefix(folder).unwrap_or(&image).components().collect();
        let (first, second) = (names[0], names[names.len().min(2) - 1]);
        let first = shown(first.as_os_str());
        let second = shown(second.as_os_str());
        let in_part = is_part(&first) && names.len() > 2 && is_unlabelled(&second);
        if names.len() > 1 && is_unlabelled(&first) || in_part {
            ignored.add("pictures to be labelled, in a folder of that name", || below(folder, &image));
            continue;
        }
        if names.len() < depth || (has_parts && !is_part(&first)) {
            let beside = if has_parts {
                "pictures outside the class folders of a part"
            } else {
                "pictures beside the class folders"
            };
            ignored.add(beside, || below(folder, &image));
            continue;
        }
        files.push((if has_parts { second } else { first.clone() }, image));
        parts.push(first);
    }
    let used: BTreeSet<&Path> = files.iter().filter_map(|(_, image)| top(folder, image)).collect();
    let to_label = |path: &Path| path.file_name().is_some_and(|name| is_unlabelled(&shown(name)));
    let empty = folders.iter().filter(|path| !used.contains(path.as_path()) && !to_label(path));
    let empty: Vec<&PathBuf> = empty.collect();
    if files.is_empty() {
        return Err(nothing(folder, &empty, ignored));
    }
    for path in empty {
        ignored.add("folders without a picture in a class", || below(folder, path));
    }
    Ok(Classed { files, parts: has_parts.then_some(parts), ignored: ignored.list() })
}

/// The folder directly in `folder` that `image` lies under.
fn top<'a>(folder: &Path, image: &'a Path) -> Option<&'a Path> {
    image.ancestors().find(|path| path.parent() == Some(folder))
}

/// The error for a folder without a picture in a class.
fn nothing(folder: &Path, empty: &[&PathBuf], ignored: Tally) -> Error {
    let expected = match empty.is_empty() {
        true => format!("class folders that hold images ({})", EXTENSIONS.join(", ")),
        false => format!("images ({}) in every class folder", EXTENSIONS.join(", ")),
    };
    let ignored: Vec<Ignored> = ignored.list().into_iter().filter(|ignored| !ignored.minor).collect();
    let found = match ignored.is_empty() {
        true => "none".into(),
        false => format!("none; {}", in_words(&ignored)),
    };
    Error::data(folder, expected, found)
}

/// What a folder of a split is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Train,
    Val,
    Test,
}

/// The part that a name stands for, in any case: the words of Hugging Face's `imagefolder` and WILDS' names, also with a
/// number or other words beside them, as in `train2017`, `test_set` or `1-val`. Words of two parts stand for none.
pub(super) fn kind_of_part(name: &str) -> Option<Part> {
    exact_part(name).or_else(|| Some(part_word(name)?.1))
}

/// The part whose name this is.
pub(super) fn exact_part(name: &str) -> Option<Part> {
    match name.to_lowercase().as_str() {
        "train" | "training" => Some(Part::Train),
        "val" | "valid" | "validation" | "dev" | "id_val" | "val_id" | "ood_val" | "val_ood" => Some(Part::Val),
        "test" | "testing" | "eval" | "evaluation" | "id_test" | "test_id" | "ood_test" | "test_ood" => {
            Some(Part::Test)
        }
        _ => None,
    }
}

/// The one word in a name that stands for a part; other words and digits are parted from it as `datasets` does.
pub(super) fn part_word(name: &str) -> Option<(String, Part)> {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| matches!(c, '-' | '.' | '_' | ' ') || c.is_ascii_digit());
    let found: Vec<(String, Part)> = words.filter_map(|word| Some((word.to_string(), exact_part(word)?))).collect();
    let (word, part) = found.first()?.clone();
    found.iter().all(|(_, other)| *other == part).then_some((word, part))
}

/// Whether a published part is one to be tested on, by its name.
pub fn is_test_part(name: &str) -> bool {
    kind_of_part(name) == Some(Part::Test)
}

/// Whether `folder` holds the parts of a split with class folders inside.
///
/// # Errors
/// A folder that cannot be listed; parts that hold pictures and no class folder.
pub(super) fn holds_parts(folder: &Path) -> Result<bool> {
    Ok(parts_are(folder, &listing::list(folder, Links::Followed)?.images)?.is_some())
}

/// How a folder's name is read.
type PartOf = fn(&str) -> Option<Part>;

/// Whether the folders are the parts of a split (`train`, `val`, `test`), with class folders inside, and how their names say
/// so. They are if all that hold pictures are called so, and also beside others (`unlabelled`) if one is for training and
/// shares a class with another. Names with other words in them (`train2017`) stand for parts only if all folders have such
/// names and training shares a class with another: a class may be called `test tube`.
///
/// # Errors
/// Parts that hold pictures and no class folder: no class is known.
fn parts_are(folder: &Path, images: &[PathBuf]) -> Result<Option<PartOf>> {
    let inside = classes_inside(folder, images);
    let parts_by = |part_of: PartOf| -> Vec<(Part, &BTreeSet<String>)> {
        inside.iter().filter_map(|(name, classes)| Some((part_of(name)?, classes))).collect()
    };
    let share = |parts: &[(Part, &BTreeSet<String>)]| {
        let shared = |train: &BTreeSet<String>| {
            parts.iter().any(|(other, classes)| *other != Part::Train && !classes.is_disjoint(train))
        };
        parts.iter().any(|(part, classes)| *part == Part::Train && shared(classes))
    };
    let parts = parts_by(exact_part);
    if !parts.is_empty() && parts.len() == inside.len() {
        let flat = parts.iter().all(|(_, classes)| classes.is_empty());
        if flat && parts.len() > 1 {
            let names = inside.keys().cloned().collect::<Vec<_>>().join(", ");
            let expected = format!("class folders in {names}, which are called like the parts of a split");
            return Err(Error::data(folder, expected, "pictures directly in them, so that no class is known"));
        }
        return Ok((!flat).then_some(exact_part as PartOf));
    }
    if share(&parts) {
        return Ok(Some(exact_part));
    }
    let parts = parts_by(kind_of_part);
    Ok((parts.len() == inside.len() && share(&parts)).then_some(kind_of_part as PartOf))
}

/// The folders inside each folder that holds pictures, by its name.
fn classes_inside(folder: &Path, images: &[PathBuf]) -> BTreeMap<String, BTreeSet<String>> {
    let mut inside: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for image in images {
        let names: Vec<_> = image.strip_prefix(folder).unwrap_or(image).components().collect();
        if names.len() < 2 || is_unlabelled(&shown(names[0].as_os_str())) {
            continue;
        }
        let classes = inside.entry(shown(names[0].as_os_str())).or_default();
        if names.len() > 2 {
            classes.insert(shown(names[1].as_os_str()));
        }
    }
    inside
}

/// A warning for class folders that all hold folders of the same names: these may be the classes.
fn same_inside(folder: &Path, images: &[PathBuf]) -> Option<String> {
    let inside = classes_inside(folder, images);
    let first = inside.values().next().filter(|names| names.len() > 1 && inside.len() > 1)?;
    inside.values().all(|names| names == first).then(|| {
        let list = |names: &mut dyn Iterator<Item = &String>| names.take(3).cloned().collect::<Vec<_>>().join(", ");
        format!(
            "the classes are the folders {}, and each of them holds the folders {}; if those are the classes, call the outer \
             ones train, val and test, or give a table",
            list(&mut inside.keys()),
            list(&mut first.iter())
        )
    })
}

/// Builds an image set from one file an image, with a class name each. A file that is not there, or cannot be read, stays
/// in the set, to be set aside when it is read; should it come, the set's hash is another.
pub(super) fn from_files(
    id: &str,
    origin: &Path,
    files: Vec<PathBuf>,
    ids: Vec<String>,
    class_names: &[String],
    parts: Option<Vec<String>>,
    domains: Option<Vec<String>>,
) -> Result<ImageSet> {
    let (classes, labels) = labels_from_names(class_names.iter().map(String::as_str));
    // A pipe would never end, and a folder has no bytes.
    let hash = |path: &PathBuf| path.is_file().then(|| storage::sha256_file(path).ok()).flatten();
    let hashed: Vec<Option<String>> = files.par_iter().map(hash).collect();
    let mut hashes = String::new();
    for (hash, (id, class)) in hashed.iter().zip(ids.iter().zip(class_names)) {
        hashes.push_str(&format!("{id}\t{class}\t{}\n", hash.as_deref().unwrap_or("missing")));
    }
    let warnings = warnings(&ids, &labels, &classes, &hashed);
    ImageSet {
        id: id.into(),
        ids,
        labels,
        classes,
        groups: None,
        domains,
        names: None,
        times: None,
        parts,
        data_sha256: storage::sha256_hex(hashes.as_bytes()),
        ignored: Vec::new(),
        warnings,
        store: Store::Files(files.into_iter().zip(hashed).collect()),
        reading: Default::default(),
        decoded: Default::default(),
        corruption: None,
    }
    .checked(origin)
}

/// What is lawful and hardly meant: the same bytes in two classes, a single class.
fn warnings(ids: &[String], labels: &[u32], classes: &[String], hashes: &[Option<String>]) -> Vec<String> {
    let mut warnings = Vec::new();
    if let [class] = classes {
        warnings.push(format!("all {} images are of one class, `{class}`; a classifier needs two", ids.len()));
    }
    let mut of_hash: HashMap<&str, Vec<usize>> = HashMap::new();
    for (row, hash) in hashes.iter().enumerate() {
        if let Some(hash) = hash {
            of_hash.entry(hash).or_default().push(row);
        }
    }
    // Rows with the same bytes under another label, and the first such pair.
    let (mut count, mut pair) = (0, None);
    for rows in of_hash.into_values() {
        if let Some(&other) = rows.iter().find(|&&row| labels[row] != labels[rows[0]]) {
            count += rows.len();
            pair = pair.into_iter().chain([(rows[0], other)]).min();
        }
    }
    if let Some((a, b)) = pair {
        warnings.push(format!(
            "{count} images have the same bytes as one of another class, such as {} and {}; a score cannot be right on both",
            ids[a], ids[b]
        ));
    }
    warnings
}

/// A warning for class names that look alike: they differ in case, in space, in how an accent is encoded (NFC or NFD), or in
/// what is not seen, of which `Cat` and `cat ` are two.
pub(super) fn alike(classes: &[String]) -> Option<String> {
    let spaced = |class: &str| class.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let composed = |class: &str| NormalizedString::from(spaced(class)).nfc().get().to_string();
    let unseen = |c: &char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    let plain = |class: &str| {
        let seen: String = class.chars().filter(|c| !unseen(c)).collect();
        NormalizedString::from(spaced(&seen)).nfkc().get().to_lowercase()
    };
    let mut seen: HashMap<String, &String> = HashMap::new();
    classes.iter().find_map(|class| {
        let other = seen.insert(plain(class), class)?;
        if other == class {
            return Some(format!("the class name {class:?} stands twice, for two classes"));
        }
        let differ = if spaced(other) == spaced(class) {
            format!("{other:?} and {class:?} differ in case or space alone")
        } else if composed(other) == composed(class) {
            format!("{} and {} differ in how their accents are encoded alone", coded(other), coded(class))
        } else {
            format!("{} and {} differ in characters that look alike or are not seen", coded(other), coded(class))
        };
        Some(format!("the classes {differ}, and count as two"))
    })
}

/// A warning for classes whose names are how programs write a missing label.
pub(super) fn missing(classes: &[String]) -> Option<String> {
    let found: Vec<String> =
        classes.iter().filter(|class| is_missing(class)).map(|class| format!("{class:?}")).collect();
    let (classes, are) = match found.len() {
        0 => return None,
        1 => ("class", "is"),
        _ => ("classes", "are"),
    };
    Some(format!(
        "the {classes} {} {are} how many programs write a missing label; leave the field empty where that is meant",
        found.join(", ")
    ))
}

/// A name in which accents are written out.
fn coded(name: &str) -> String {
    format!(
        "\"{}\"",
        name.chars()
            .flat_map(|c| if c.is_ascii() { vec![c] } else { c.escape_unicode().collect() })
            .collect::<String>()
    )
}
