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

use anyhow::{Result, bail, ensure};

/// What both files together may take, in bytes.
const BUDGET: u64 = 18_000_000;

fn main() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let record = arguments.iter().any(|a| a == "--record");
    arguments.retain(|a| a != "--record");
    let path = arguments.get(1).map(PathBuf::from);
    let path = path.unwrap_or_else(|| corpus::default_path(here));
    match arguments.first().map(String::as_str) {
        None => embedded(here),
        Some("corpus") => corpus::build(here, &path, record),
        Some("check") => overlap::check(here, &path),
        Some("kinds") => kinds::build(here, &path),
        Some(other) => bail!("no job {other}: corpus [OUT] [--record], check [CORPUS], kinds [CORPUS], or none"),
    }
}

/// The files that ship with the crate.
fn embedded(here: &Path) -> Result<()> {
    let target = here.with_file_name("embedded");
    std::fs::create_dir_all(&target)?;

    let list = packages::read_list(&here.join("packages.toml"))?;
    let downloads = here.join("downloads");
    let archives = list.iter().map(|package| packages::open(package, &downloads)).collect::<Result<Vec<_>>>()?;

    println!("drawing Icons");
    let icons = icons::build(&archives)?;
    let icons_size = icons.table.write(&target.join("icons.parquet"))?;
    println!("icons.parquet: {} images, {icons_size} bytes", icons.table.rows.len());

    println!("drawing OpenEmoji");
    let emoji = emoji::build(&archives)?;
    let emoji_size = emoji.table.write(&target.join("openemoji.parquet"))?;
    println!("openemoji.parquet: {} images, {emoji_size} bytes", emoji.table.rows.len());

    report::write(&target, &archives, &emoji, &icons, [emoji_size, icons_size])?;
    ensure!(emoji_size + icons_size <= BUDGET, "{} bytes are over the budget of {BUDGET}", emoji_size + icons_size);
    Ok(())
}
