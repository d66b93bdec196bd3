//! From packages to drawings: names, captions' words, categories, and what is left out before anything is drawn.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde::Deserialize;

use super::evaluation::Evaluation;
use super::list::Set;
use super::words;
use crate::geometry;
use crate::iconify::{self, Icon};
use crate::packages::Archive;

/// A drawing that may become an image.
pub struct Drawing {
    /// Position of its set in the list.
    pub set: usize,
    /// Name in the set.
    pub name: String,
    /// Words of the name without style marks.
    pub words: Vec<String>,
    /// Category in lower-case words, or empty.
    pub category: String,
    /// Whole SVG document.
    pub svg: String,
    /// Hash of the SVG's geometry.
    pub svg_sha256: String,
}

/// How many were left out, for each set and reason.
pub type LeftOut = BTreeMap<(usize, &'static str), usize>;

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    categories: serde_json::Map<String, serde_json::Value>,
}

/// Reads one set. Returns its drawings in the order of their names, and how many the package has.
pub fn read(
    index: usize,
    set: &Set,
    archive: &Archive,
    evaluation: &Evaluation,
    countries: &BTreeMap<String, String>,
    left_out: &mut LeftOut,
) -> Result<(Vec<Drawing>, usize)> {
    let mut icons = iconify::read(archive)?;
    icons.sort_by(|a, b| a.name.cmp(&b.name));
    let total = icons.len();
    let categories = categories(archive)?;
    let codes = match archive.bytes("chars.json") {
        Ok(_) => iconify::code_points(archive)?,
        Err(_) => BTreeMap::new(),
    };
    let sizes = best_sizes(&icons, &set.sizes);
    let mut drawings = Vec::new();
    for icon in icons {
        let raw = categories.get(&icon.name).cloned().unwrap_or_default();
        let country = set.flags.then(|| country(&icon.name, countries));
        let reason = if icon.hidden {
            Some("kept by the set for old users only")
        } else if icon.name.split('-').any(|w| set.drop.iter().any(|d| d == w)) {
            Some("variant not used")
        } else if sizes.get(&sizeless(&icon.name, &set.sizes)).is_some_and(|best| *best != icon.name) {
            Some("another size of an icon")
        } else if country == Some(None) {
            Some("flag of no country")
        } else if words::is_brand(&icon.name, &raw) {
            Some("brand")
        } else if evaluation.is_named(&icon, &set.marks) {
            Some("named as an evaluation emoji")
        } else if codes.get(&icon.name).is_some_and(|c| evaluation.codes.contains(c)) {
            Some("code point of an evaluation emoji")
        } else {
            None
        };
        let svg_sha256 = geometry::hash(&icon.svg);
        let reason = reason.or_else(|| {
            let equal = evaluation.drawings.contains(&svg_sha256);
            equal.then_some("drawing of an evaluation set")
        });
        if let Some(reason) = reason {
            *left_out.entry((index, reason)).or_default() += 1;
            continue;
        }
        let words = match country.flatten() {
            Some(name) => format!("flag {name}").split(' ').map(str::to_owned).collect(),
            None => words::plain(&icon.name, &set.marks, &set.sizes).into_iter().map(str::to_owned).collect(),
        };
        drawings.push(Drawing {
            set: index,
            words,
            category: words::category(&raw),
            name: icon.name,
            svg: icon.svg,
            svg_sha256,
        });
    }
    Ok((drawings, total))
}

/// The first category that the set lists an icon under.
fn categories(archive: &Archive) -> Result<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    if archive.bytes("metadata.json").is_err() {
        return Ok(map);
    }
    let metadata: Metadata = archive.json("metadata.json")?;
    for (category, names) in metadata.categories {
        for name in names.as_array().into_iter().flatten().filter_map(|n| n.as_str()) {
            map.entry(name.to_owned()).or_insert_with(|| category.clone());
        }
    }
    Ok(map)
}

/// A name without its last word that is a size.
fn sizeless(name: &str, sizes: &[String]) -> String {
    let mut words: Vec<&str> = name.split('-').collect();
    if let Some(at) = words.iter().rposition(|w| sizes.iter().any(|s| s == w)) {
        words.remove(at);
    }
    words.join("-")
}

/// For each name without size, the name of the size that is taken; empty where a set has no sizes.
fn best_sizes(icons: &[Icon], sizes: &[String]) -> BTreeMap<String, String> {
    let mut best: BTreeMap<String, (usize, String)> = BTreeMap::new();
    if sizes.is_empty() {
        return BTreeMap::new();
    }
    for icon in icons.iter().filter(|i| !i.hidden) {
        let rank = icon.name.split('-').rev().find_map(|w| sizes.iter().position(|s| s == w)).unwrap_or(sizes.len());
        let claim = (rank, icon.name.clone());
        let entry = best.entry(sizeless(&icon.name, sizes)).or_insert_with(|| claim.clone());
        if claim < *entry {
            *entry = claim;
        }
    }
    best.into_iter().map(|(key, (_, name))| (key, name)).collect()
}

/// Country names by their two-letter codes, from the flag emoji of emojibase.
pub fn countries(emojibase: &Archive) -> Result<BTreeMap<String, String>> {
    const FIRST: u32 = 0x1F1E6;
    let mut map = BTreeMap::new();
    for emoji in crate::emojibase::read(emojibase)? {
        let letters: Option<String> = emoji
            .hexcode
            .split('-')
            .map(|code| {
                let letter = u32::from_str_radix(code, 16).ok()?.checked_sub(FIRST)?;
                char::from_digit(letter.checked_add(10).filter(|d| *d < 36)?, 36)
            })
            .collect();
        if let (Some(code), Some(name)) = (letters, emoji.label.strip_prefix("flag: ")) {
            let words = crate::emojibase::slug(name).replace('-', " ");
            map.insert(code, words);
        }
    }
    Ok(map)
}

fn country(name: &str, countries: &BTreeMap<String, String>) -> Option<String> {
    let code = name.trim_end_matches("-4x3");
    countries.get(code).cloned()
}

/// Names that two drawings of a set share would give two images one path.
pub fn are_distinct(drawings: &[Drawing]) -> bool {
    let names: BTreeSet<(usize, &str)> = drawings.iter().map(|d| (d.set, d.name.as_str())).collect();
    names.len() == drawings.len()
}
