//! `build_report.md`, `ATTRIBUTION.md` and the licence texts that must travel with the images.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::emoji::{self, OpenEmoji};
use crate::icons::{self, Icons};
use crate::packages::Archive;
use crate::pick::Picked;
use crate::raster::SIZE;
use crate::table::Table;

/// Writes all texts into the folder of the data. `sizes` are the bytes of the two files.
pub fn write(
    target: &Path,
    archives: &[Archive],
    emoji: &OpenEmoji,
    icons: &Icons,
    sizes: [u64; 2],
) -> Result<()> {
    fs::write(
        target.join("build_report.md"),
        build_report(emoji, icons, sizes)?,
    )?;
    fs::write(
        target.join("ATTRIBUTION.md"),
        attribution(archives, emoji, icons)?,
    )?;
    let licences = target.join("LICENSES");
    fs::create_dir_all(&licences)?;
    for archive in archives {
        if let Some(path) = &archive.package.licence_file {
            let name = archive
                .package
                .name
                .trim_start_matches('@')
                .replace('/', "-");
            fs::write(licences.join(format!("{name}.txt")), archive.text(path)?)?;
        }
    }
    Ok(())
}

fn build_report(emoji: &OpenEmoji, icons: &Icons, sizes: [u64; 2]) -> Result<String> {
    let mut out = String::from(
        "# What the builder used and left out\n\nWritten by the builder; do not edit.\n",
    );
    writeln!(
        out,
        "\n## OpenEmoji: {} images, {} bytes\n",
        emoji.table.rows.len(),
        sizes[0]
    )?;
    let reasons: BTreeSet<&str> = emoji
        .joinings
        .iter()
        .flat_map(|j| j.left_out.keys().copied())
        .collect();
    writeln!(
        out,
        "Joined to emoji, a set. Methods: {}.\n",
        methods(emoji)?
    )?;
    writeln!(
        out,
        "| set | drawings | joined | {} |",
        reasons.iter().copied().collect::<Vec<_>>().join(" | ")
    )?;
    writeln!(out, "|---|---:|---:|{}", "---:|".repeat(reasons.len()))?;
    for j in &emoji.joinings {
        write!(
            out,
            "| {} | {} | {} |",
            j.style,
            j.total,
            j.methods.values().sum::<usize>()
        )?;
        for reason in &reasons {
            write!(out, " {} |", j.left_out.get(reason).unwrap_or(&0))?;
        }
        out.push('\n');
    }
    let joined: BTreeMap<String, usize> = emoji
        .joinings
        .iter()
        .map(|j| (j.style.clone(), j.methods.values().sum()))
        .collect();
    out.push_str("\nOf the joined:\n\n");
    styles(&mut out, &emoji.table, &emoji.picked, &joined)?;
    writeln!(
        out,
        "\nA label is a Unicode subgroup with at least {} images.\n",
        emoji::MIN_IMAGES
    )?;
    labels(&mut out, &emoji.table, &emoji.picked)?;

    writeln!(
        out,
        "\n## Icons: {} images, {} bytes\n",
        icons.table.rows.len(),
        sizes[1]
    )?;
    out.push_str("| label | Tabler's categories | Phosphor's categories |\n|---|---|---|\n");
    for (label, tabler, phosphor) in icons::LABELS {
        writeln!(
            out,
            "| {label} | {} | {} |",
            tabler.join(", "),
            phosphor.join(", ")
        )?;
    }
    out.push_str("\n| style | drawings | category not used | marked variant of another icon |\n|---|---:|---:|---:|\n");
    let mut drawn = icons.totals.clone();
    for (style, total) in &icons.totals {
        let count = |reason| {
            icons
                .left_out
                .get(&(style.clone(), reason))
                .copied()
                .unwrap_or(0)
        };
        let (category, marked) = (
            count("category not used"),
            count("marked variant of another icon"),
        );
        writeln!(out, "| {style} | {total} | {category} | {marked} |")?;
        drawn.insert(style.clone(), total - category - marked);
    }
    out.push_str("\nOf the rest:\n\n");
    styles(&mut out, &icons.table, &icons.picked, &drawn)?;
    writeln!(
        out,
        "\nA label is a shared category with at least {} images.\n",
        icons::MIN_IMAGES
    )?;
    labels(&mut out, &icons.table, &icons.picked)?;

    out.push_str("\n## Set aside one by one\n\n");
    for line in emoji.picked.set_aside.iter().chain(&icons.picked.set_aside) {
        writeln!(out, "- {line}")?;
    }
    Ok(out)
}

fn methods(emoji: &OpenEmoji) -> Result<String> {
    let mut sums: BTreeMap<_, usize> = BTreeMap::new();
    for (method, n) in emoji.joinings.iter().flat_map(|j| &j.methods) {
        *sums.entry(*method).or_default() += n;
    }
    let parts: Vec<String> = sums
        .iter()
        .map(|(method, n)| format!("{method:?} {n}"))
        .collect();
    Ok(parts.join(", "))
}

/// One line a style: how many were drawn, left out and kept, and what the kept ones weigh.
fn styles(
    out: &mut String,
    table: &Table,
    picked: &Picked,
    drawn: &BTreeMap<String, usize>,
) -> Result<()> {
    let reasons: BTreeSet<&str> = picked.left_out.keys().map(|(_, reason)| *reason).collect();
    writeln!(
        out,
        "| style | drawn | {} | kept | bytes an image |",
        reasons.iter().copied().collect::<Vec<_>>().join(" | ")
    )?;
    writeln!(out, "|---|---:|{}---:|---:|", "---:|".repeat(reasons.len()))?;
    for (style, drawn) in drawn {
        write!(out, "| {style} | {drawn} |")?;
        for reason in &reasons {
            write!(
                out,
                " {} |",
                picked.left_out.get(&(style.clone(), *reason)).unwrap_or(&0)
            )?;
        }
        let rows = table
            .rows
            .iter()
            .zip(&picked.tags)
            .filter(|(_, (s, _))| s == style);
        let (n, bytes) = rows.fold((0, 0), |(n, bytes), (row, _)| {
            (n + 1, bytes + row.image.len())
        });
        writeln!(out, " {n} | {} |", bytes.checked_div(n).unwrap_or(0))?;
    }
    Ok(())
}

/// One line a label: images, split groups, images a style; then the labels that were too small.
fn labels(out: &mut String, table: &Table, picked: &Picked) -> Result<()> {
    let styles: BTreeSet<&str> = picked
        .tags
        .iter()
        .map(|(style, _)| style.as_str())
        .collect();
    writeln!(
        out,
        "| label | images | split groups | {} |",
        styles.iter().copied().collect::<Vec<_>>().join(" | ")
    )?;
    writeln!(out, "|---|---:|---:|{}", "---:|".repeat(styles.len()))?;
    for (index, name) in table.label_names.iter().enumerate() {
        let rows: Vec<&(String, String)> = table
            .rows
            .iter()
            .zip(&picked.tags)
            .filter(|(row, _)| row.label == index)
            .map(|(_, tag)| tag)
            .collect();
        let groups: BTreeSet<&str> = rows.iter().map(|(_, key)| key.as_str()).collect();
        write!(out, "| {name} | {} | {} |", rows.len(), groups.len())?;
        for style in &styles {
            write!(
                out,
                " {} |",
                rows.iter().filter(|(s, _)| s == style).count()
            )?;
        }
        out.push('\n');
    }
    if !picked.too_small.is_empty() {
        let small: Vec<String> = picked
            .too_small
            .iter()
            .map(|(name, n)| format!("{name} {n}"))
            .collect();
        writeln!(out, "\nToo small, left out: {}.", small.join(", "))?;
    }
    Ok(())
}

fn attribution(archives: &[Archive], emoji: &OpenEmoji, icons: &Icons) -> Result<String> {
    let mut out = String::from(
        "# Attribution\n\nWritten by the builder; do not edit.\n\n\
         The images of `openemoji.parquet` and `icons.parquet` are the work of the authors below. Every image names \
         its set (`style`) and its licence (`licence`).\n\n\
         | work | authors | licence | package | images used, as `style` |\n|---|---|---|---|---|\n",
    );
    for archive in archives {
        let p = &archive.package;
        let used = match p.style.as_deref() {
            None => "names, groups and tags only".to_owned(),
            Some(style) => {
                let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
                for (s, _) in emoji.picked.tags.iter().chain(&icons.picked.tags) {
                    if s == style || (style == "phosphor" && s == "phosphor-fill") {
                        *counts.entry(s).or_default() += 1;
                    }
                }
                let parts: Vec<String> = counts.iter().map(|(s, n)| format!("{n} `{s}`")).collect();
                parts.join(", ")
            }
        };
        writeln!(
            out,
            "| [{}]({}) | {} | [{}]({}) | {} {} | {used} |",
            p.title, p.homepage, p.authors, p.licence, p.licence_url, p.name, p.version
        )?;
    }
    out.push('\n');
    for archive in archives {
        if let Some(note) = &archive.package.note {
            writeln!(out, "{}: {note}\n", archive.package.title)?;
        }
    }
    write!(
        out,
        "**What was changed.** Each drawing was turned into {SIZE} x {SIZE} pixels on white, its proportions kept, and \
         stored as lossless WebP; `currentColor` was drawn black. The emoji sets came through Iconify's packages, \
         which had cleaned the SVG files and renamed them. Labels, names and tags come from Emojibase (emoji) and from \
         the icon sets themselves (icons); captions were put together from them.\n\n\
         **OpenMoji is share-alike.** The images with `style = \"openmoji\"` are adaptations under CC-BY-SA-4.0: \
         whoever passes them on, changed or not, must name OpenMoji, link the licence, say what was changed, and keep \
         them under the same or a compatible licence. The other images lie in the same file as a collection and keep \
         their own licences. Who cannot accept share-alike drops the rows of that style.\n\n\
         No author endorses this project. The texts that must travel with the images are in `LICENSES/`: \
         Apache-2.0 for both Noto sets, and the MIT notices of Fluent Emoji, Tabler, Phosphor and Emojibase.\n",
    )?;
    Ok(out)
}
