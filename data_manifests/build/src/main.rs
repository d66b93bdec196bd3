//! Makes the image data under `data_manifests/embedded/`: two Parquet files, their attribution, and a report of what
//! was used and what was left out. README.md beside this crate's manifest says how to run it.

mod emoji;
mod emojibase;
mod iconify;
mod icons;
mod join;
mod packages;
mod pick;
mod raster;
mod report;
mod table;

use std::path::Path;

use anyhow::{Result, ensure};

/// What both files together may take, in bytes.
const BUDGET: u64 = 18_000_000;

fn main() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = here.with_file_name("embedded");
    std::fs::create_dir_all(&target)?;

    let list = packages::read_list(&here.join("packages.toml"))?;
    let downloads = here.join("downloads");
    let archives = list
        .iter()
        .map(|package| packages::open(package, &downloads))
        .collect::<Result<Vec<_>>>()?;

    println!("drawing Icons");
    let icons = icons::build(&archives)?;
    let icons_size = icons.table.write(&target.join("icons.parquet"))?;
    println!(
        "icons.parquet: {} images, {icons_size} bytes",
        icons.table.rows.len()
    );

    println!("drawing OpenEmoji");
    let emoji = emoji::build(&archives)?;
    let emoji_size = emoji.table.write(&target.join("openemoji.parquet"))?;
    println!(
        "openemoji.parquet: {} images, {emoji_size} bytes",
        emoji.table.rows.len()
    );

    report::write(&target, &archives, &emoji, &icons, [emoji_size, icons_size])?;
    ensure!(
        emoji_size + icons_size <= BUDGET,
        "{} bytes are over the budget of {BUDGET}",
        emoji_size + icons_size
    );
    Ok(())
}
