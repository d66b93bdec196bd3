//! `report.md` and `ATTRIBUTION.md` of the corpus.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::gather::LeftOut;
use super::list::Set;
use super::{near, words};
use crate::raster::SIZE;
use crate::table::Table;

/// All that the report tells.
pub struct Facts<'a> {
    /// The sets, in order.
    pub sets: &'a [Set],
    /// Drawings in each package.
    pub totals: &'a [usize],
    /// What was left out.
    pub left_out: &'a LeftOut,
    /// The corpus.
    pub table: &'a Table,
    /// Over pixels and captions.
    pub digest: &'a str,
}

/// Position of a text column in the corpus.
const STYLE: usize = 3;
const KIND: usize = 4;

/// Head of the part of the report that the check writes.
pub const OVERLAP: &str = "\n## Overlap";

/// Writes both files. What the check has found stays in the report as long as the corpus is the same.
pub fn write(target: &Path, facts: &Facts) -> Result<()> {
    let path = target.join("report.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    let found = old.find(OVERLAP).filter(|_| old.contains(facts.digest));
    let overlap = found.map_or("", |at| &old[at..]);
    fs::write(&path, report(facts)? + overlap)?;
    fs::write(target.join("ATTRIBUTION.md"), attribution(facts)?)?;
    Ok(())
}

fn counts<'a>(facts: &'a Facts, column: usize) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for row in &facts.table.rows {
        *counts.entry(row.texts[column].as_str()).or_default() += 1;
    }
    counts
}

fn report(facts: &Facts) -> Result<String> {
    let kinds = counts(facts, KIND);
    let mut out =
        String::from("# Pocket Icons: what is in it and what was left out\n\nWritten by the builder; do not edit.\n\n");
    writeln!(
        out,
        "{} images of {} sets: {} in colour, {} in black. {} classes. Digest over pixels and captions: `{}`.\n",
        facts.table.rows.len(),
        facts.sets.len(),
        kinds.get("colour").unwrap_or(&0),
        kinds.get("monochrome").unwrap_or(&0),
        facts.table.label_names.len(),
        facts.digest
    )?;
    writeln!(
        out,
        "Near another image (colours stay before black, then in order): hashes differ in at most {} of 255 bits, cosine at least {}. Near an evaluation image: \
         any hash, cosine at least {} in RGB or in grey.\n",
        near::BITS,
        near::WITHIN,
        near::AGAINST
    )?;
    sets(&mut out, facts)?;
    classes(&mut out, facts)?;
    Ok(out)
}

fn sets(out: &mut String, facts: &Facts) -> Result<()> {
    let kept = counts(facts, STYLE);
    let reasons: BTreeSet<&str> = facts.left_out.keys().map(|(_, reason)| *reason).collect();
    let heads: Vec<&str> = reasons.iter().copied().collect();
    writeln!(out, "## Sets\n\n| set | kind | drawings | {} | kept |", heads.join(" | "))?;
    writeln!(out, "|---|---|---:|{}---:|", "---:|".repeat(reasons.len()))?;
    let mut sums = vec![0; reasons.len()];
    for (index, set) in facts.sets.iter().enumerate() {
        write!(out, "| {} | {} | {} |", set.style, set.kind, facts.totals[index])?;
        for (sum, reason) in sums.iter_mut().zip(&reasons) {
            let n = facts.left_out.get(&(index, *reason)).copied().unwrap_or(0);
            *sum += n;
            write!(out, " {n} |")?;
        }
        writeln!(out, " {} |", kept.get(set.style.as_str()).unwrap_or(&0))?;
    }
    write!(out, "| all | | {} |", facts.totals.iter().sum::<usize>())?;
    for sum in sums {
        write!(out, " {sum} |")?;
    }
    writeln!(out, " {} |", facts.table.rows.len())?;
    Ok(())
}

fn classes(out: &mut String, facts: &Facts) -> Result<()> {
    let mut counts = vec![0; facts.table.label_names.len()];
    for row in &facts.table.rows {
        counts[row.label] += 1;
    }
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(counts[i]), i));
    writeln!(
        out,
        "\n## Classes\n\nA class is the head word of at least {} names; images, most frequent first.\n",
        words::MIN_IMAGES
    )?;
    let list: Vec<String> = order.iter().map(|&i| format!("{} {}", facts.table.label_names[i], counts[i])).collect();
    writeln!(out, "{}.", list.join(", "))?;
    Ok(())
}

fn attribution(facts: &Facts) -> Result<String> {
    let kept = counts(facts, STYLE);
    let mut out = String::from(
        "# Attribution\n\nWritten by the builder; do not edit.\n\nThe images of the pretraining corpus are the work of \
         the authors below. Every image names its set (`style`) and its licence (`licence`).\n\n\
         | work | authors | licence | package | images, as `style` |\n|---|---|---|---|---|\n",
    );
    for set in facts.sets {
        let p = &set.package;
        writeln!(
            out,
            "| [{}]({}) | {} | [{}]({}) | {} {} | {} `{}` |",
            p.title,
            p.homepage,
            p.authors,
            p.licence,
            p.licence_url,
            p.name,
            p.version,
            kept.get(set.style.as_str()).unwrap_or(&0),
            set.style
        )?;
    }
    write!(
        out,
        "\n**What was changed.** Each drawing came through Iconify's packages, which had cleaned the SVG files and \
         renamed them, and was turned into {SIZE} x {SIZE} pixels on white, its proportions kept; `currentColor` was \
         drawn black. Captions and classes were put together from names and categories.\n\n\
         The corpus itself is not passed on with this project: the builder makes it from the packages. Whoever passes \
         it on must keep this table with it. No author endorses this project.\n",
    )?;
    Ok(out)
}
