//! What the corpus must not hold: the images, names, code points and drawings of the evaluation sets.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::words;
use crate::emojibase::slug;
use crate::geometry;
use crate::iconify::{self, Icon, without_selector};
use crate::packages::Archive;
use crate::raster::decode;
use crate::rows;

/// The evaluation sets, as far as removal needs them.
pub struct Evaluation {
    /// Pixels of all images: RGB, row by row.
    pub images: Vec<Vec<u8>>,
    /// Code points of the emoji.
    pub codes: BTreeSet<String>,
    /// Geometry of all drawings of the packages, used or not.
    pub drawings: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Evaluation {
    /// Reads the committed files and the packages that they were made of.
    pub fn read(embedded: &Path, archives: &[Archive]) -> Result<Self> {
        let emoji = rows::read(&embedded.join("openemoji.parquet"))?;
        let icons = rows::read(&embedded.join("icons.parquet"))?;
        let mut names = BTreeSet::new();
        let mut codes = BTreeSet::new();
        for row in &emoji {
            names.insert(slug(row.text("name")?).replace('-', ""));
            codes.insert(without_selector(row.text("hexcode")?));
        }
        let images = crate::cores::map(emoji.len() + icons.len(), |i| {
            let row = emoji.get(i).unwrap_or_else(|| &icons[i - emoji.len()]);
            decode(&row.image)
        });
        Ok(Evaluation {
            images: images.into_iter().collect::<Result<_>>()?,
            codes,
            drawings: drawings(archives)?,
            names,
        })
    }

    /// Whether a name of the icon, read with or without its style marks, is an emoji's.
    pub fn is_named(&self, icon: &Icon, marks: &[String]) -> bool {
        std::iter::once(&icon.name)
            .chain(&icon.aliases)
            .any(|name| words::readings(name, marks).iter().any(|r| self.names.contains(r)))
    }
}

/// Geometry hashes of every SVG in the packages of the evaluation sets.
pub fn drawings(archives: &[Archive]) -> Result<BTreeSet<String>> {
    let mut hashes = BTreeSet::new();
    for archive in archives.iter().filter(|a| a.package.style.is_some()) {
        if archive.package.name.starts_with("@iconify-json/") {
            hashes.extend(iconify::read(archive)?.iter().map(|i| geometry::hash(&i.svg)));
        } else {
            for path in archive.paths_under("").filter(|p| p.ends_with(".svg")) {
                hashes.insert(geometry::hash(archive.text(path)?));
            }
        }
    }
    Ok(hashes)
}
