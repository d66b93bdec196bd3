//! Which columns of a reader's table mean what: by the names that people give them, or as asked for.

use super::super::folder::kind_of_part;
use super::super::parquet;
use super::rows::extension;
use crate::error::{Error, Result};
use crate::manifest::Columns;
use std::collections::BTreeSet;
use std::path::Path;

/// The columns that a reader names; the others are found by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The picture: the path of its file, or in Parquet the picture itself.
    pub image: Option<String>,
    /// The class.
    pub label: Option<String>,
    /// What belongs together and must not cross a split.
    pub group: Option<String>,
    /// Where a picture comes from.
    pub domain: Option<String>,
    /// The published part.
    pub split: Option<String>,
}

/// Names that a column may have, in any case, the first found counts.
const IMAGE_FILE: [&str; 16] = [
    "file_name",
    "filename",
    "file",
    "path",
    "filepath",
    "file_path",
    "image_path",
    "img_path",
    "image_file",
    "image",
    "img",
    "image_name",
    "picture",
    "image_id",
    "photo",
    "img_name",
];
const IMAGE_BYTES: [&str; 5] = ["image", "img", "picture", "photo", "jpg"];
const LABEL: [&str; 10] =
    ["label", "class", "category", "target", "labels", "class_name", "label_name", "y", "fine_label", "species"];
const GROUP: [&str; 7] = ["group", "group_id", "family", "patient", "patient_id", "subject", "sequence"];
const DOMAIN: [&str; 6] = ["domain", "style", "site", "source", "camera", "location"];
const SPLIT: [&str; 5] = ["split", "part", "subset", "fold", "set"];
const CAPTION: [&str; 3] = ["caption", "text", "description"];

/// The meaning of the columns `header` of the table at `path`; `in_parquet` where the pictures stand in it.
///
/// # Errors
/// A column that was asked for and is not there; none for the picture or its label, with the names that would do.
pub(super) fn find(path: &Path, header: &[String], wanted: &Wanted, in_parquet: bool) -> Result<Columns> {
    let called =
        |names: &[&str]| names.iter().find_map(|name| header.iter().find(|column| column.to_lowercase() == *name));
    let pick = |asked: &Option<String>, names: &[&str]| match asked {
        Some(column) if header.contains(column) => Ok(Some(column.clone())),
        Some(column) => Err(Error::data(path, format!("a column `{column}`"), known(header) + &others(path, header))),
        None => Ok(called(names).cloned()),
    };
    let need = |what: &str, flag: &str, asked: &Option<String>, names: &[&str]| {
        pick(asked, names)?.ok_or_else(|| {
            let expected = format!("a column for the {what}: {}, or one that {flag} names", names.join(", "));
            Error::data(path, expected, known(header) + &others(path, header))
        })
    };
    let pictures: &[&str] = if in_parquet { &IMAGE_BYTES } else { &IMAGE_FILE };
    Ok(Columns {
        image: need("picture", "--image-column", &wanted.image, pictures)?,
        label: need("label", "--label-column", &wanted.label, &LABEL)?,
        group: pick(&wanted.group, &GROUP)?,
        domain: pick(&wanted.domain, &DOMAIN)?,
        split: pick(&wanted.split, &SPLIT)?,
        caption: pick(&None, &CAPTION)?,
        name: None,
        time: None,
    })
}

/// Settles which column says the published part, where no reader named one: the first of those called so with a value that names a
/// part. Others are called `part` or `set` too: taken for the split, they would hide the parts that folders and files say. Gives a
/// sentence for a column that is not taken.
///
/// # Errors
/// What `values` gives, which finds the values of a column.
pub(super) fn settle_split(
    columns: &mut Columns,
    header: &[String],
    wanted: &Wanted,
    values: impl Fn(&str) -> Result<BTreeSet<String>>,
) -> Result<Vec<String>> {
    const SHOWN: usize = 5;
    if wanted.split.is_some() {
        return Ok(Vec::new());
    }
    columns.split = None;
    let mut said = Vec::new();
    let called = SPLIT.iter().flat_map(|name| header.iter().filter(move |column| column.to_lowercase() == *name));
    for column in called {
        let values = values(column)?;
        if values.iter().any(|value| kind_of_part(value.trim()).is_some()) {
            columns.split = Some(column.clone());
            return Ok(said);
        }
        if !values.is_empty() {
            let shown: Vec<&str> = values.iter().take(SHOWN).map(String::as_str).collect();
            let more = if values.len() > SHOWN { ", ..." } else { "" };
            said.push(format!(
                "the column `{column}` is not taken for the split: none of its values ({}{more}) is the name of a part",
                shown.join(", ")
            ));
        }
    }
    Ok(said)
}

/// The columns that need not be there, and whether a reader asked for each.
pub(super) fn optional<'a>(columns: &'a mut Columns, wanted: &Wanted) -> [(&'a mut Option<String>, bool); 4] {
    let Columns { group, domain, split, caption, .. } = columns;
    [
        (group, wanted.group.is_some()),
        (domain, wanted.domain.is_some()),
        (split, wanted.split.is_some()),
        (caption, false),
    ]
}

/// The columns of a Parquet file that are no text and no numbers, in words.
fn others(path: &Path, header: &[String]) -> String {
    if extension(path) != "parquet" {
        return String::new();
    }
    let columns = parquet::column_names(path).unwrap_or_default();
    let others = columns.iter().filter(|column| !header.contains(column) && !column.contains('.'));
    let what = |column: &String| parquet::no_text(path, column).ok().flatten();
    others.filter_map(|column| Some(format!("; `{column}` holds {}", what(column)?))).collect()
}

fn known(header: &[String]) -> String {
    match header.is_empty() {
        true => "no column".into(),
        false => format!("the columns {}", header.join(", ")),
    }
}
