//! Makes the image data under `data_manifests/embedded/`: two Parquet files, their attribution, and a report of what
//! was used and what was left out. README.md beside this crate's manifest says how to run it.
//!
//! `corpus [OUT] [--record]` makes the pretraining corpus, `check [CORPUS]` proves that it shares nothing with them,
//! `kinds [CORPUS]` lists what its words are kinds of.

mod cores;
mod corpus;
mod emoji;
mod emojibase;
mod geometry;
mod iconify;
mod icons;
mod join;
mod kinds;
mod overlap;
mod packages;
mod pick;
mod product;
mod raster;
mod report;
mod rows;
mod sheet;
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// What both files together may take, in bytes.
const BUDGET: u64 = 18_000_000;

fn main() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match asked(&words, corpus::default_path(here))? {
        Job::Embedded => embedded(here),
        Job::Corpus { out, record } => corpus::build(here, &out, record),
        Job::Check(file) => overlap::check(here, &file),
        Job::Kinds(file) => kinds::build(here, &file),
    }
}

#[derive(Debug, PartialEq)]
enum Job {
    Embedded,
    Corpus { out: PathBuf, record: bool },
    Check(PathBuf),
    Kinds(PathBuf),
}

/// What the words of a command line ask for; a job without a file takes the usual one.
fn asked(words: &[&str], usual: PathBuf) -> Result<Job> {
    let (flags, words): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| word.starts_with('-'));
    let record = !flags.is_empty();
    let file = words.get(1).map_or(usual, PathBuf::from);
    match (words.first().copied(), flags.as_slice()) {
        _ if words.len() > 2 => {}
        (None, []) => return Ok(Job::Embedded),
        (Some("corpus"), [] | ["--record"]) => return Ok(Job::Corpus { out: file, record }),
        (Some("check"), []) => return Ok(Job::Check(file)),
        (Some("kinds"), []) => return Ok(Job::Kinds(file)),
        _ => {}
    }
    bail!(
        "{}: expected corpus [OUT] [--record], check [CORPUS], kinds [CORPUS], or nothing",
        words.iter().chain(&flags).copied().collect::<Vec<_>>().join(" ")
    )
}

/// The files that ship with the crate. Those that are there stay until the new ones are known to be small enough.
fn embedded(here: &Path) -> Result<()> {
    let target = here.with_file_name("embedded");
    std::fs::create_dir_all(&target)?;

    let list = packages::read_list(&here.join("packages.toml"))?;
    let downloads = here.join("downloads");
    let archives = list.iter().map(|package| packages::open(package, &downloads)).collect::<Result<Vec<_>>>()?;
    let new = downloads.join("new");
    std::fs::create_dir_all(&new)?;

    println!("drawing Icons");
    let icons = icons::build(&archives)?;
    let icons_size = icons.table.write(&new.join("icons.parquet"))?;
    println!("icons.parquet: {} images, {icons_size} bytes", icons.table.rows.len());

    println!("drawing OpenEmoji");
    let emoji = emoji::build(&archives)?;
    let emoji_size = emoji.table.write(&new.join("openemoji.parquet"))?;
    println!("openemoji.parquet: {} images, {emoji_size} bytes", emoji.table.rows.len());

    let size = emoji_size + icons_size;
    ensure!(size <= BUDGET, "{size} bytes are over the budget of {BUDGET}; the files are in {}", new.display());
    for name in ["icons.parquet", "openemoji.parquet"] {
        std::fs::rename(new.join(name), target.join(name)).with_context(|| target.join(name).display().to_string())?;
    }
    report::write(&target, &archives, &emoji, &icons, [emoji_size, icons_size])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_not_known_are_refused() {
        let of = |words: &[&str]| asked(words, "usual".into()).ok();
        assert_eq!(of(&[]), Some(Job::Embedded));
        assert_eq!(of(&["corpus"]), Some(Job::Corpus { out: "usual".into(), record: false }));
        for words in [["corpus", "--record", "a"], ["--record", "corpus", "a"]] {
            assert_eq!(of(&words), Some(Job::Corpus { out: "a".into(), record: true }));
        }
        assert_eq!(of(&["check", "a"]), Some(Job::Check("a".into())));
        assert_eq!(of(&["kinds"]), Some(Job::Kinds("usual".into())));
        for words in [
            &["--record"][..],
            &["--help"],
            &["other"],
            &["check", "--record"],
            &["kinds", "-n"],
            &["corpus", "--records"],
            &["corpus", "--record", "--record"],
            &["check", "a", "b"],
        ] {
            assert_eq!(of(words), None, "{words:?}");
        }
    }
}
