//! Icons: black user-interface icons of Tabler and Phosphor, labelled with what they are for.
//!
//! Both sets sort their icons into categories, one an icon, but not into the same ones. [`LABELS`] maps them to shared
//! labels. Left out are categories without a counterpart in the other set, catch-alls, and brands, whose logos are
//! somebody's trade mark.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::packages::Archive;
use crate::pick::{Candidate, Picked, pick};
use crate::table::Table;

/// A category is a label when it has at least this many images over all styles.
pub const MIN_IMAGES: usize = 60;

/// Text columns, in file order.
pub const COLUMNS: &[&str] = &[
    "name", "caption", "tags", "style", "category", "base", "licence",
];

/// Label, Tabler's categories, Phosphor's categories (its `figma_category`).
pub const LABELS: &[(&str, &[&str], &[&str])] = &[
    ("arrows", &["Arrows"], &["arrows"]),
    ("communication", &["Communication"], &["communication"]),
    ("design", &["Design"], &["design"]),
    (
        "development",
        &[
            "Development",
            "Computers",
            "Database",
            "Version control",
            "Logic",
        ],
        &["development"],
    ),
    ("devices and system", &["Devices"], &["system"]),
    ("games and sport", &["Games", "Sport"], &["games"]),
    ("health", &["Health"], &["health"]),
    ("maps and travel", &["Map", "Vehicles"], &["map"]),
    (
        "mathematics and finance",
        &["Math", "Currencies", "Charts"],
        &["finance"],
    ),
    ("media", &["Media", "Photography"], &["media"]),
    ("office and text", &["Document", "Text"], &["office"]),
    ("people", &["Mood", "Gender", "Gestures"], &["people"]),
    (
        "weather and nature",
        &["Weather", "Nature", "Animals"],
        &["weather"],
    ),
];

/// Marks laid over an icon. `cloud-plus` is left out where there is a `cloud`: it would be nearly the same picture.
const OVERLAYS: &[&str] = &[
    "off",
    "slash",
    "plus",
    "minus",
    "check",
    "x",
    "cancel",
    "code",
    "cog",
    "gear",
    "dollar",
    "down",
    "up",
    "exclamation",
    "warning",
    "heart",
    "pause",
    "pin",
    "question",
    "search",
    "share",
    "star",
    "bolt",
    "bitcoin",
    "edit",
    "ai",
    "spark",
    "lock",
];

/// Words that say which variant of a drawing it is: kept as images, but of one split group.
const VARIANTS: &[&str] = &[
    "left",
    "right",
    "up",
    "down",
    "top",
    "bottom",
    "horizontal",
    "vertical",
    "simple",
    "alt",
    "dashed",
    "dotted",
    "double",
    "small",
    "filled",
    "straight",
    "fat",
    "line",
    "lines",
];

struct Drawing {
    style: &'static str,
    name: String,
    category: String,
    tags: Vec<String>,
    svg: String,
}

/// The data set and what the report tells about it.
pub struct Icons {
    /// Ready to be written.
    pub table: Table,
    /// For each style and reason, how many were left out before drawing.
    pub left_out: BTreeMap<(String, &'static str), usize>,
    /// For each style, how many drawings there are.
    pub totals: BTreeMap<String, usize>,
    /// What was left out after drawing.
    pub picked: Picked,
}

/// Builds the data set: Tabler's outlines, Phosphor's regular and filled weights.
pub fn build(archives: &[Archive]) -> Result<Icons> {
    let find = |name: &str| {
        let archive = archives.iter().find(|a| a.package.name == name);
        archive.with_context(|| format!("packages.toml lists no {name}"))
    };
    let tabler = find("@tabler/icons")?;
    let phosphor = find("@phosphor-icons/core")?;
    let sets = [
        (tabler, read_tabler(tabler)?, 0),
        (
            phosphor,
            read_phosphor(phosphor, "phosphor", "regular", "")?,
            1,
        ),
        (
            phosphor,
            read_phosphor(phosphor, "phosphor-fill", "fill", "-fill")?,
            1,
        ),
    ];
    let mut candidates = Vec::new();
    let mut left_out: BTreeMap<(String, &'static str), usize> = BTreeMap::new();
    let mut totals = BTreeMap::new();
    for (archive, drawings, side) in sets {
        let names: BTreeSet<String> = drawings.iter().map(|d| d.name.clone()).collect();
        for drawing in drawings {
            *totals.entry(drawing.style.to_owned()).or_default() += 1;
            let reason = match label_of(&drawing.category, side) {
                None => "category not used",
                Some(_) if is_overlaid(&drawing.name, &names) => "marked variant of another icon",
                Some(label) => {
                    candidates.push(candidate(drawing, label, &names, &archive.package.licence));
                    continue;
                }
            };
            *left_out
                .entry((drawing.style.to_owned(), reason))
                .or_default() += 1;
        }
    }
    let order: Vec<String> = LABELS
        .iter()
        .map(|(label, _, _)| (*label).to_owned())
        .collect();
    let mut picked = pick(candidates, &order, MIN_IMAGES)?;
    let rows = std::mem::take(&mut picked.rows);
    let table = Table {
        label_names: picked.label_names.clone(),
        text_columns: COLUMNS,
        rows,
    };
    Ok(Icons {
        table,
        left_out,
        totals,
        picked,
    })
}

fn candidate(drawing: Drawing, label: &str, names: &BTreeSet<String>, licence: &str) -> Candidate {
    let base = base(&drawing.name, names);
    let words = drawing.name.replace('-', " ");
    let tags = drawing.tags.join(", ");
    let caption = if tags.is_empty() {
        format!("{words} icon")
    } else {
        format!(
            "{words} icon: {}",
            drawing
                .tags
                .iter()
                .take(5)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ")
        )
    };
    let texts = vec![
        words,
        caption,
        tags,
        drawing.style.to_owned(),
        drawing.category,
        base.clone(),
        licence.to_owned(),
    ];
    Candidate {
        style: drawing.style.to_owned(),
        subject: drawing.name,
        key: base,
        label: label.to_owned(),
        svg: drawing.svg,
        texts,
    }
}

fn label_of(category: &str, side: usize) -> Option<&'static str> {
    let row = LABELS
        .iter()
        .find(|(_, tabler, phosphor)| [tabler, phosphor][side].contains(&category));
    row.map(|(label, _, _)| *label)
}

fn is_overlaid(name: &str, names: &BTreeSet<String>) -> bool {
    name.rsplit_once('-')
        .is_some_and(|(stem, last)| OVERLAYS.contains(&last) && names.contains(stem))
}

/// The split group of a name: variant words taken out, then trailing marks and numbers while a shorter name exists.
fn base(name: &str, names: &BTreeSet<String>) -> String {
    let mut stem = name;
    while let Some((shorter, last)) = stem.rsplit_once('-') {
        let droppable = OVERLAYS.contains(&last) || last.bytes().all(|b| b.is_ascii_digit());
        if !droppable || !names.contains(shorter) {
            break;
        }
        stem = shorter;
    }
    let words: Vec<&str> = stem
        .split('-')
        .filter(|word| !VARIANTS.contains(word))
        .collect();
    if words.is_empty() {
        stem.to_owned()
    } else {
        words.join("-")
    }
}

fn read_tabler(archive: &Archive) -> Result<Vec<Drawing>> {
    #[derive(Deserialize)]
    struct Record {
        category: String,
        #[serde(default)]
        tags: Vec<Value>,
    }
    let records: BTreeMap<String, Record> = archive.json("icons.json")?;
    let mut drawings = Vec::new();
    for (name, record) in records {
        let svg = archive
            .text(&format!("icons/outline/{name}.svg"))?
            .to_owned();
        // A tag that looks like a number is one in this file.
        let tags = record
            .tags
            .iter()
            .map(|tag| tag.as_str().map_or_else(|| tag.to_string(), str::to_owned))
            .collect();
        drawings.push(Drawing {
            style: "tabler",
            name,
            category: record.category,
            tags,
            svg,
        });
    }
    Ok(drawings)
}

/// Phosphor's catalogue is TypeScript only; its declarations have one field a line.
fn read_phosphor(
    archive: &Archive,
    style: &'static str,
    weight: &str,
    suffix: &str,
) -> Result<Vec<Drawing>> {
    let mut drawings = Vec::new();
    let (mut name, mut category) = (None, None);
    for line in archive.text("dist/icons.d.ts")?.lines().map(str::trim) {
        if let Some(value) = line.strip_prefix("readonly name: \"") {
            // The first name is the icon's; one inside `alias` comes after it.
            name.get_or_insert_with(|| value.trim_end_matches("\";").to_owned());
        } else if let Some(value) = line.strip_prefix("readonly figma_category: FigmaCategory.") {
            category = Some(value.trim_end_matches(';').to_lowercase());
        } else if let Some(value) = line.strip_prefix("readonly tags: readonly [") {
            let tags = value
                .trim_end_matches("];")
                .split(", ")
                .map(|tag| tag.trim_matches('"').to_owned());
            let tags: Vec<String> = tags
                .filter(|tag| !tag.is_empty() && !tag.starts_with('*'))
                .collect();
            let name = name
                .take()
                .context("Phosphor's catalogue has tags without a name")?;
            let category = category
                .take()
                .with_context(|| format!("Phosphor's {name} has no category"))?;
            let svg = archive
                .text(&format!("assets/{weight}/{name}{suffix}.svg"))?
                .to_owned();
            drawings.push(Drawing {
                style,
                name,
                category,
                tags,
                svg,
            });
        }
    }
    Ok(drawings)
}
