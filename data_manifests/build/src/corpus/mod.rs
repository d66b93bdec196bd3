//! Pocket Icons: pairs of icon and caption to pretrain on, from open-licensed sets that the evaluation does not use.
//!
//! The file is made on the user's machine and not committed; what is committed is the list of packages, what the
//! corpus must come to (a count and a digest over pixels and captions, so that a rebuild proves that it has the same
//! corpus), the attribution and a report.
//!
//! In this order: names are read and brands, odd sizes, and everything named, numbered or drawn as in the evaluation
//! sets is left out (`gather.rs`); drawings become pictures as those of the evaluation sets do (`raster.rs`); near
//! pictures go, first those near an evaluation image, then those near another of the corpus (`near.rs`);
//! names give captions and classes (`words.rs`). Rows are ordered by style, then name.

mod evaluation;
mod gather;
mod list;
mod marks;
mod near;
mod report;
pub mod words;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

pub use evaluation::drawings as evaluation_drawings;
pub use list::{List, Set};
pub use report::OVERLAP;

use crate::cores;
use crate::packages::{self, Archive};
use crate::raster::{Effort, decode, encode, pixels};
use crate::rows::Record;
use crate::table::{Row, Table};
use evaluation::Evaluation;
use gather::{Drawing, LeftOut};
use near::Print;

/// Text columns, in file order.
const COLUMNS: &[&str] = &["name", "caption", "category", "style", "kind", "svg_sha256", "licence"];

/// Where the corpus is written unless another path is given.
pub fn default_path(here: &Path) -> PathBuf {
    here.join("../../.wider-clip/corpus/pocket_icons.parquet")
}

/// Opens the packages of all sets.
pub fn open(sets: &[Set], downloads: &Path) -> Result<Vec<Archive>> {
    sets.iter().map(|set| packages::open(&set.package, downloads)).collect()
}

/// Makes the corpus, its attribution and its report. With `record`, the list's count and digest are written anew;
/// without, they must be met, or nothing is written.
pub fn build(here: &Path, out: &Path, record: bool) -> Result<()> {
    let target = here.with_file_name("corpus");
    let list_path = target.join("pocket_icons.toml");
    let downloads = here.join("downloads");
    let list = List::read(&list_path)?;
    let sets = list.sets();
    let base: Vec<Archive> = packages::read_list(&here.join("packages.toml"))?
        .iter()
        .map(|package| packages::open(package, &downloads))
        .collect::<Result<_>>()?;
    let archives = open(&sets, &downloads)?;

    println!("reading the evaluation sets");
    let evaluation = Evaluation::read(&here.with_file_name("embedded"), &base)?;
    let emojibase =
        base.iter().find(|a| a.package.name == "emojibase-data").context("packages.toml lists no emojibase-data")?;
    let countries = gather::countries(emojibase)?;

    let mut left_out = LeftOut::new();
    let mut totals = Vec::new();
    let mut drawings = Vec::new();
    for (index, (set, archive)) in sets.iter().zip(&archives).enumerate() {
        let (found, total) = gather::read(index, set, archive, &evaluation, &countries, &mut left_out)?;
        drawings.extend(found);
        totals.push(total);
    }
    ensure!(gather::are_distinct(&drawings), "two drawings of a set have one name");

    println!("drawing {} icons", drawings.len());
    let drawn = draw(drawings, &mut left_out);
    println!("comparing {} pictures", drawn.len());
    let kept = without_near(drawn, &sets, &evaluation.images, &mut left_out);

    let subjects: Vec<Vec<String>> = kept.iter().map(|(d, _)| words::subjects(&as_strs(&d.words))).collect();
    let (label_names, labels) = words::classes(&subjects, words::MIN_IMAGES);
    let captioned =
        |(drawing, rgb): &Drawn| Ok((rgb.clone(), words::caption(&as_strs(&drawing.words), &drawing.category)));
    let digest = digest(kept.iter().map(captioned))?;
    if record {
        list::record(&list_path, kept.len(), &digest)?;
    } else if kept.len() != list.images || digest != list.digest {
        bail!(
            "the corpus is not the recorded one: expected {} images with digest {}, found {} with {digest}. Models \
             pretrained on the recorded corpus cannot be compared with what is pretrained on this file. `--record` \
             writes the new figures into {}",
            list.images,
            list.digest,
            kept.len(),
            list_path.display()
        );
    }

    let table = table(&kept, &sets, label_names, &labels)?;
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let bytes = table.write(out)?;
    println!("{}: {} images, {bytes} bytes, digest {digest}", out.display(), kept.len());

    let facts = report::Facts { sets: &sets, totals: &totals, left_out: &left_out, table: &table, digest: &digest };
    report::write(&target, &facts)
}

/// A drawing with its pixels.
type Drawn = (Drawing, Vec<u8>);

fn draw(drawings: Vec<Drawing>, left_out: &mut LeftOut) -> Vec<Drawn> {
    let pictures = cores::map(drawings.len(), |i| pixels(&drawings[i].svg));
    let mut drawn = Vec::new();
    for (drawing, picture) in drawings.into_iter().zip(pictures) {
        let reason = match picture {
            Ok(Some(rgb)) => {
                drawn.push((drawing, rgb));
                continue;
            }
            Ok(None) => "one colour only",
            Err(_) => "not a drawing of shapes",
        };
        *left_out.entry((drawing.set, reason)).or_default() += 1;
    }
    drawn
}

fn without_near(drawn: Vec<Drawn>, sets: &[Set], evaluation: &[Vec<u8>], left_out: &mut LeftOut) -> Vec<Drawn> {
    let theirs = cores::map(evaluation.len(), |i| Print::new(&evaluation[i]));
    let ours = cores::map(drawn.len(), |i| Print::new(&drawn[i].1));
    let near = near::near_evaluation(&ours, &theirs);
    let mut rest = Vec::new();
    let mut prints = Vec::new();
    for ((drawing, print), near) in drawn.into_iter().zip(ours).zip(near) {
        if near {
            *left_out.entry((drawing.0.set, "near an evaluation image")).or_default() += 1;
        } else {
            rest.push(drawing);
            prints.push(print);
        }
    }
    // A picture in colours stays before one in black.
    let mut order: Vec<usize> = (0..rest.len()).collect();
    order.sort_by_key(|&i| (sets[rest[i].0.set].kind != "colour", i));
    let earlier = near::near_kept(&prints, &order);
    let mut kept = Vec::new();
    for (drawing, earlier) in rest.into_iter().zip(earlier) {
        match earlier {
            None => kept.push(drawing),
            Some(_) => *left_out.entry((drawing.0.set, "near another image")).or_default() += 1,
        }
    }
    kept
}

/// Over all pixels and captions in order.
fn digest(images: impl Iterator<Item = Result<(Vec<u8>, String)>>) -> Result<String> {
    let mut sha = Sha256::new();
    for image in images {
        let (rgb, caption) = image?;
        sha.update(rgb);
        sha.update(caption);
        sha.update([0]);
    }
    Ok(sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether the rows of a file are the corpus of the list, of which the committed texts speak.
pub fn is_recorded(here: &Path, rows: &[Record]) -> Result<bool> {
    let list = List::read(&here.with_file_name("corpus").join("pocket_icons.toml"))?;
    let captioned = |row: &Record| Ok((decode(&row.image)?, row.text("caption")?.to_owned()));
    Ok(rows.len() == list.images && digest(rows.iter().map(captioned))? == list.digest)
}

fn table(kept: &[Drawn], sets: &[Set], label_names: Vec<String>, labels: &[usize]) -> Result<Table> {
    let images = cores::map(kept.len(), |i| encode(&kept[i].1, Effort::Least));
    let mut rows = Vec::with_capacity(kept.len());
    for (((drawing, _), image), &label) in kept.iter().zip(images).zip(labels) {
        let set = &sets[drawing.set];
        rows.push(Row {
            image: image?,
            path: format!("{}/{}.webp", set.style, drawing.name),
            label,
            texts: vec![
                drawing.name.clone(),
                words::caption(&as_strs(&drawing.words), &drawing.category),
                drawing.category.clone(),
                set.style.clone(),
                set.kind.clone(),
                drawing.svg_sha256.clone(),
                set.package.licence.clone(),
            ],
        });
    }
    Ok(Table { label_names, text_columns: COLUMNS, rows })
}

fn as_strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}
