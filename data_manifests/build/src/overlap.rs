//! Proof that the corpus and the evaluation sets share nothing, by other means than those that kept them apart.
//!
//! Three tests on the written files, and the job fails when one of them finds anything.
//!
//! 1. **Drawings.** No `svg_sha256` of the corpus is that of an SVG in a package of the evaluation sets.
//! 2. **Emoji.** No code point that a set of the corpus gives one of the images used is an evaluation emoji, and no
//!    name is an evaluation emoji's English name, with or without style marks at its end.
//! 3. **Pixels.** Between every image of the corpus and every evaluation image, Pearson's correlation of the pixels,
//!    in RGB and in grey at 64 x 64, is at most [`LIMIT`].
//!
//! `pixels.rs` says how the third test compares all pairs.

mod pixels;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use pixels::{FLOOR, Images, Pair, closest};

use crate::corpus::{self, List};
use crate::emojibase::slug;
use crate::iconify::{self, without_selector};
use crate::packages;
use crate::rows::{self, Record};
use crate::sheet;

/// Correlation that no pair may exceed.
const LIMIT: f64 = 0.98;
/// Pairs shown.
const SHOWN: usize = 50;

/// Runs the three tests on a corpus file, and fails unless all is well. Of the recorded corpus the closest pairs are written beside
/// the list; what stands there is not overwritten by those of another.
pub fn check(here: &Path, file: &Path) -> Result<()> {
    let ours = rows::read(file)?;
    let embedded = here.with_file_name("embedded");
    let emoji = rows::read(&embedded.join("openemoji.parquet"))?;
    let icons = rows::read(&embedded.join("icons.parquet"))?;
    println!("{} images against {} emoji and {} icons", ours.len(), emoji.len(), icons.len());

    let drawings = equal_drawings(here, &ours)?;
    println!("drawings that are an evaluation set's: {drawings}");
    let (codes, names) = emoji_overlap(here, &ours, &emoji)?;
    println!("code points of evaluation emoji: {codes}");
    println!("names of evaluation emoji: {names}");

    let theirs: Vec<&Record> = emoji.iter().chain(&icons).collect();
    let left = Images::new(&ours.iter().collect::<Vec<_>>())?;
    let right = Images::new(&theirs)?;
    let pairs = closest(&left, &right);
    let above = pairs.iter().filter(|(c, _, _)| *c > LIMIT).count();
    println!("pairs of images with a correlation over {LIMIT}: {above}");
    ensure!(pairs.len() >= SHOWN, "only {} pairs are over {FLOOR}", pairs.len());

    if corpus::is_recorded(here, &ours)? {
        let found = format!(
            "{drawings} drawings, {codes} code points, {names} names, {above} pairs of images with a correlation over {LIMIT}"
        );
        write(here, (&ours, &theirs), (&left, &right), &pairs[..SHOWN], &found)?;
    } else {
        println!("{} is not the recorded corpus: the report and the pairs that are committed stay", file.display());
    }
    ensure!(drawings + codes + names + above == 0, "the corpus overlaps the evaluation sets: see the counts above");
    Ok(())
}

/// Writes the closest pairs as pictures, and what was `found` into the report.
fn write(
    here: &Path,
    (ours, theirs): (&[Record], &[&Record]),
    (left, right): (&Images, &Images),
    shown: &[Pair],
    found: &str,
) -> Result<()> {
    let target = here.with_file_name("corpus");
    let tiles: Vec<[&[u8]; 2]> = shown.iter().map(|&(_, i, j)| [left.rgb(i), right.rgb(j)]).collect();
    sheet::write(&target.join("closest_pairs.png"), &tiles)?;
    let mut text = format!(
        "\n## Overlap with the evaluation sets\n\nFound by `check`, which compares all {} x {} pairs: {found}.\n\n\
         The {SHOWN} closest pairs, as numbered in `closest_pairs.png`:\n\n\
         | | correlation | corpus | evaluation |\n|---:|---:|---|---|\n",
        ours.len(),
        theirs.len()
    );
    for (n, &(c, i, j)) in shown.iter().enumerate() {
        let (a, b) = (&ours[i], theirs[j]);
        writeln!(
            text,
            "| {} | {c:.4} | {}/{} | {}/{} |",
            n + 1,
            a.text("style")?,
            a.text("name")?,
            b.text("style")?,
            b.text("name")?
        )?;
    }
    append(&target.join("report.md"), corpus::OVERLAP, &text)
}

/// Replaces what the file has from `head` on.
fn append(path: &Path, head: &str, text: &str) -> Result<()> {
    let old = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let end = old.find(head).unwrap_or(old.len());
    fs::write(path, format!("{}{text}", &old[..end])).with_context(|| path.display().to_string())
}

fn equal_drawings(here: &Path, ours: &[Record]) -> Result<usize> {
    let mut archives = Vec::new();
    for package in packages::read_list(&here.join("packages.toml"))? {
        archives.push(packages::open(&package, &here.join("downloads"))?);
    }
    let theirs = corpus::evaluation_drawings(&archives)?;
    let mut equal = 0;
    for row in ours {
        equal += usize::from(theirs.contains(row.text("svg_sha256")?));
    }
    Ok(equal)
}

/// Images with the code point, and with the name, of an evaluation emoji.
fn emoji_overlap(here: &Path, ours: &[Record], emoji: &[Record]) -> Result<(usize, usize)> {
    let (mut codes, mut names) = (BTreeSet::new(), BTreeSet::new());
    for row in emoji {
        codes.insert(without_selector(row.text("hexcode")?));
        names.insert(slug(row.text("name")?));
    }
    let list = List::read(&here.with_file_name("corpus").join("pocket_icons.toml"))?;
    let sets = list.sets();
    let mut code_of: BTreeMap<(String, String), String> = BTreeMap::new();
    for (set, archive) in sets.iter().zip(corpus::open(&sets, &here.join("downloads"))?) {
        if archive.bytes("chars.json").is_ok() {
            for (name, code) in iconify::code_points(&archive)? {
                code_of.insert((set.style.clone(), name), code);
            }
        }
    }
    let (mut by_code, mut by_name) = (0, 0);
    for row in ours {
        let (style, name) = (row.text("style")?, row.text("name")?);
        let code = code_of.get(&(style.to_owned(), name.to_owned()));
        by_code += usize::from(code.is_some_and(|c| codes.contains(c)));
        by_name += usize::from(is_named(name, &names));
    }
    Ok((by_code, by_name))
}

/// Whether a name, or what is left when words of style are cut off its end one by one, is in the list.
fn is_named(name: &str, names: &BTreeSet<String>) -> bool {
    const STYLE: &str = " outline outlined fill filled solid regular line linear bold light thin sharp rounded round \
                         broken duotone twotone duo remix flat baseline variant alt color ";
    let mut rest = name;
    loop {
        if names.contains(rest) {
            return true;
        }
        let Some((shorter, last)) = rest.rsplit_once('-') else {
            return false;
        };
        let number = last.trim_end_matches("px").bytes().all(|b| b.is_ascii_digit());
        if !number && !STYLE.contains(&format!(" {last} ")) {
            return false;
        }
        rest = shorter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_without_style() {
        let names = BTreeSet::from(["rocket".to_owned(), "light-bulb".to_owned()]);
        for name in ["rocket", "rocket-outline", "rocket-2-bold-duotone", "light-bulb-24px"] {
            assert!(is_named(name, &names), "{name}");
        }
        assert!(!is_named("rocket-launch", &names));
    }
}
