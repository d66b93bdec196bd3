//! OpenEmoji: emoji drawings of eight open-licensed sets, labelled with their Unicode subgroup.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

use crate::emojibase::{self, family, slug};
use crate::iconify;
use crate::join::{Method, Names, join};
use crate::packages::Archive;
use crate::pick::{Candidate, Picked, pick};
use crate::table::Table;

/// A subgroup is a label when it has at least this many images over all styles.
pub const MIN_IMAGES: usize = 60;

/// Text columns, in file order.
pub const COLUMNS: &[&str] = &[
    "group", "name", "caption", "tags", "style", "hexcode", "family", "licence",
];

/// How a set joined: drawings in the package, joined by each method, left out for each reason.
pub struct Joining {
    /// Value of the `style` column.
    pub style: String,
    /// Drawings in the package, mirrored aliases included.
    pub total: usize,
    /// Joined, by method.
    pub methods: BTreeMap<Method, usize>,
    /// Left out before drawing, by reason.
    pub left_out: BTreeMap<&'static str, usize>,
}

/// The data set and what the report tells about it.
pub struct OpenEmoji {
    /// Ready to be written.
    pub table: Table,
    /// One entry a set.
    pub joinings: Vec<Joining>,
    /// What was left out after joining.
    pub picked: Picked,
}

/// Builds the data set from the packages that are Iconify sets and from emojibase.
pub fn build(archives: &[Archive]) -> Result<OpenEmoji> {
    let base = archives
        .iter()
        .find(|a| a.package.name == "emojibase-data")
        .context("packages.toml lists no emojibase-data")?;
    let sets: Vec<&Archive> = archives
        .iter()
        .filter(|a| a.package.name.starts_with("@iconify-json/"))
        .collect();
    let emoji = emojibase::read(base)?;
    let mut pairs = Vec::new();
    for set in &sets {
        pairs.extend(iconify::synonyms(set)?);
    }
    let names = Names::new(&emoji, &pairs, emojibase::short_codes(base)?);

    let mut candidates = Vec::new();
    let mut joinings = Vec::new();
    for set in &sets {
        let style = set
            .package
            .style
            .clone()
            .with_context(|| format!("{} has no style", set.package.name))?;
        let all = iconify::read(set)?;
        let (skipped, icons): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|i| set.package.skip.contains(&i.name));
        ensure!(
            skipped.len() == set.package.skip.len(),
            "{style} lacks a name that `skip` lists"
        );
        let source = match &set.package.chars_from {
            None => *set,
            Some(other) => *sets
                .iter()
                .find(|s| s.package.name == *other)
                .context("chars_from names no set")?,
        };
        let codes = iconify::code_points(source)?;
        let (joined, mut left_out) = join(&icons, &emoji, &names, &codes, set.package.short_codes);
        if !skipped.is_empty() {
            left_out.insert("shows something else", skipped.len());
        }
        let mut methods = BTreeMap::new();
        for pair in &joined {
            *methods.entry(pair.method).or_default() += 1;
            let e = &emoji[pair.emoji];
            let family = family(&e.hexcode);
            let texts = vec![
                e.group.clone(),
                e.label.clone(),
                caption(&e.label, &e.tags),
                e.tags.join(", "),
                style.clone(),
                e.hexcode.clone(),
                family.clone(),
                set.package.licence.clone(),
            ];
            candidates.push(Candidate {
                style: style.clone(),
                subject: e.hexcode.clone(),
                key: family,
                label: e.subgroup.clone(),
                svg: icons[pair.icon].svg.clone(),
                texts,
            });
        }
        joinings.push(Joining {
            style,
            total: icons.len() + skipped.len(),
            methods,
            left_out,
        });
    }

    let order: BTreeSet<(u32, &str)> = emoji
        .iter()
        .map(|e| (e.subgroup_order, e.subgroup.as_str()))
        .collect();
    let order: Vec<String> = order.into_iter().map(|(_, name)| name.to_owned()).collect();
    let mut picked = pick(candidates, &order, MIN_IMAGES)?;
    let rows = std::mem::take(&mut picked.rows);
    let table = Table {
        label_names: picked.label_names.clone(),
        text_columns: COLUMNS,
        rows,
    };
    Ok(OpenEmoji {
        table,
        joinings,
        picked,
    })
}

/// The label, then up to five tags whose words the label does not already say: `fox: animal`.
fn caption(label: &str, tags: &[String]) -> String {
    let said = slug(label);
    let said: BTreeSet<&str> = said.split('-').collect();
    let new: Vec<&str> = tags
        .iter()
        .map(String::as_str)
        .filter(|tag| !slug(tag).split('-').all(|w| said.contains(w)))
        .take(5)
        .collect();
    if new.is_empty() {
        label.to_owned()
    } else {
        format!("{label}: {}", new.join(", "))
    }
}
