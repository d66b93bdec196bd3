//! A project of its own for fine-tuning: `good`, class folders, and `drift`, a table with a style that is held out; a small
//! transformer that knows nothing, and a network with batch normalisation.

use polars_io::parquet::write::ParquetWriter;
use std::fs;
use std::path::{Path, PathBuf};
use wider_clip::image::{Rgb, RgbImage};
use wider_clip::images::encode_png;
use wider_clip::polars::prelude::{Column, DataFrame, IntoColumn, StructChunked};
use wider_clip::prelude::*;

/// Images of a class.
pub const EACH: u32 = 24;

/// Five ways to fine-tune.
#[allow(dead_code)]
pub const ALL: &str = "[\"finetune\", \"finetune_augmented\", \"finetune_tuned\", \"lp_ft\", \"wise\"]";

pub fn drawing(class: u32, i: u32) -> RgbImage {
    let slope = |x: u32, y: u32| if class == 0 { x * 12 + y * 3 } else { y * 14 };
    RgbImage::from_fn(12, 12, |x, y| Rgb([(slope(x, y) + i * 5) as u8, (90 + 60 * class) as u8, (i * 11 + x) as u8]))
}

pub fn classes(folder: &Path, of: &[(&str, u32)]) {
    for (class, (name, n)) in of.iter().enumerate() {
        fs::create_dir_all(folder.join(name)).expect("makes a folder");
        for i in 0..*n {
            let path = folder.join(name).join(format!("{i:02}.png"));
            fs::write(path, encode_png(&drawing(class as u32, i)).expect("encodes")).expect("writes");
        }
    }
}

/// The table with a style that is held out; `class` says what each image is called, whatever it shows.
pub fn drift(path: &Path, class: impl Fn(u32) -> u32) {
    drift_with(path, class, &[]);
}

/// The same with images that cannot be decoded.
pub fn drift_with(path: &Path, class: impl Fn(u32) -> u32, broken: &[u32]) {
    let rows: Vec<u32> = (0..2 * EACH + 24).collect();
    let image = |i: u32| match broken.contains(&i) {
        true => b"no picture".to_vec(),
        false => encode_png(&drawing(i % 2, i)).expect("encodes"),
    };
    let bytes: Vec<Vec<u8>> = rows.iter().map(|&i| image(i)).collect();
    let names: Vec<String> = rows.iter().map(|i| format!("{i}.png")).collect();
    let fields = [Column::new("bytes".into(), bytes), Column::new("path".into(), names)];
    let text = |name: &str, of: &dyn Fn(u32) -> String| {
        Column::new(name.into(), rows.iter().map(|&i| of(i)).collect::<Vec<_>>())
    };
    let columns = vec![
        StructChunked::from_columns("image".into(), rows.len(), &fields).expect("a struct").into_column(),
        text("label", &|i| format!("k{}", class(i))),
        text("style", &|i| if i >= 2 * EACH { "wild".into() } else { "tidy".into() }),
    ];
    let mut frame = DataFrame::new_infer_height(columns).expect("a table");
    ParquetWriter::new(fs::File::create(path).expect("creates")).finish(&mut frame).expect("writes");
}

/// A project at `root`, whose suite fine-tunes what `finetuning` says.
pub fn tiny_project(root: &Path, finetuning: &str) -> Project {
    let manifests = root.join("data_manifests");
    for kind in ["datasets", "models", "suites", "embedded"] {
        fs::create_dir_all(manifests.join(kind)).expect("makes a folder");
    }
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests/models");
    for model in ["pixels.raw", "efficientnet_pocket.random", "vit_p16_pocket.random"] {
        let text = fs::read_to_string(ours.join(format!("{model}.toml"))).expect("reads");
        // The study's name, so that its numbers stand beside ours.
        let named = text.replacen("papers = []", "published_as = \"CLIP\"\npapers = []", 1);
        let text = if model.starts_with("vit") { named } else { text };
        fs::write(manifests.join("models").join(format!("{model}.toml")), text).expect("writes");
    }
    if !root.join("good").exists() {
        classes(&root.join("good"), &[("flat", EACH), ("steep", EACH)]);
        drift(&manifests.join("embedded/drift.parquet"), |i| i % 2);
    }
    let record = |id: &str, published: &str, source: &str, columns: &str, split: &str| {
        let text = format!(
            "id = \"{id}\"\nname = \"{id}\"\ndescription = \"A test's.\"\nlicence = \"MIT\"\nhomepage = \"none\"\n\
             citation = \"this test\"\npublished_as = \"{published}\"\n{source}\n[columns]\nimage = \"image\"\n\
             label = \"label\"\n{columns}[augment]\nflips = [\"horizontal\", \"vertical\"]\n[split]\npool = \"all\"\n\
             classes = 2\nrule = \"study\"\nbudgets = [10]\n{split}"
        );
        fs::write(manifests.join(format!("datasets/{id}.toml")), text).expect("writes");
    };
    record("good", "dtd", "[source.folder]\npath = \"good\"", "", "");
    record(
        "drift",
        "fmow",
        "[source.embedded]\nfiles = [\"drift.parquet\"]",
        "domain = \"style\"\n",
        "ood_domains = [\"wild\"]\n",
    );
    let suite = format!(
        "id = \"default\"\ndescription = \"A test's.\"\ndatasets = [\"good\", \"drift\"]\nmodels = [\"pixels.raw\"]\n\
         methods = [\"knn\"]\nbudgets = [10]\nseeds = [0]\n{finetuning}"
    );
    fs::write(manifests.join("suites/default.toml"), suite).expect("writes");
    Project::open(root, "default").expect("opens").with_cache(root.join("cache"))
}

/// Runs of the small transformer.
pub fn runs(methods: &str, datasets: &str, seeds: &str) -> String {
    format!(
        "[[finetuning]]\nmethods = {methods}\nmodels = [\"vit_p16_pocket.random\"]\ndatasets = {datasets}\nbudgets = [10]\n\
         seeds = {seeds}\nmax_epochs = 2\n"
    )
}

/// The files under a folder, with their bytes.
pub fn files(folder: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut open) = (std::collections::BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => open.push(path),
                false => drop(found.insert(path.clone(), fs::read(&path).expect("reads"))),
            }
        }
    }
    found
}
