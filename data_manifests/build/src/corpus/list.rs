//! The list of sets, `data_manifests/corpus/pocket_icons.toml`, and what the corpus must come to.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::packages::Package;

/// The whole list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Images that the corpus must have.
    pub images: usize,
    /// SHA-256 that its pixels and captions must have.
    pub digest: String,
    set: Vec<Record>,
}

/// One set.
#[derive(Clone, Debug)]
pub struct Set {
    /// What is fetched.
    pub package: Package,
    /// Value of the `style` column.
    pub style: String,
    /// `colour` or `monochrome`.
    pub kind: String,
    /// Whether names are country codes.
    pub flags: bool,
    /// Sizes an icon may come in, best first.
    pub sizes: Vec<String>,
    /// Last words of a name that tell variants.
    pub marks: Vec<String>,
    /// Words of names that are not used.
    pub drop: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    version: String,
    integrity: String,
    style: String,
    title: String,
    authors: String,
    licence: String,
    licence_url: String,
    homepage: String,
    kind: String,
    #[serde(default)]
    flags: bool,
    #[serde(default)]
    sizes: Vec<String>,
    #[serde(default)]
    marks: Vec<String>,
    #[serde(default)]
    drop: Vec<String>,
}

impl List {
    /// Reads the list; the sets must be in the order of their styles, which is the order of the rows.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let list: List = toml::from_str(&text).with_context(|| path.display().to_string())?;
        for pair in list.set.windows(2) {
            ensure!(
                pair[0].style < pair[1].style,
                "{}: {} must come before {}",
                path.display(),
                pair[1].style,
                pair[0].style
            );
        }
        for set in &list.set {
            ensure!(
                ["colour", "monochrome"].contains(&set.kind.as_str()),
                "{}: kind {} of {} is neither colour nor monochrome",
                path.display(),
                set.kind,
                set.style
            );
        }
        Ok(list)
    }

    /// The sets, in order.
    pub fn sets(&self) -> Vec<Set> {
        self.set.iter().cloned().map(Set::from).collect()
    }
}

impl From<Record> for Set {
    fn from(r: Record) -> Self {
        Set {
            style: r.style.clone(),
            kind: r.kind,
            flags: r.flags,
            sizes: r.sizes,
            marks: r.marks,
            drop: r.drop,
            package: Package {
                name: r.name,
                version: r.version,
                integrity: r.integrity,
                style: Some(r.style),
                title: r.title,
                authors: r.authors,
                licence: r.licence,
                licence_url: r.licence_url,
                homepage: r.homepage,
                licence_file: None,
                note: None,
                short_codes: false,
                skip: Vec::new(),
                chars_from: None,
            },
        }
    }
}

/// Writes what the corpus came to into the list, whose other lines stay as they are.
pub fn record(path: &Path, images: usize, digest: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("images", _)) => format!("images = {images}"),
            Some(("digest", _)) => format!("digest = \"{digest}\""),
            _ => line.to_owned(),
        })
        .collect();
    fs::write(path, lines.join("\n") + "\n").with_context(|| path.display().to_string())
}
