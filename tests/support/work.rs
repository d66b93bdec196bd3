//! A small project with work of every kind, and what one machine leaves of it.

// Each test file uses a part of it.
#![allow(dead_code)]

use super::tiny_project::{files, runs, tiny_project};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use wider_clip::experiments::{clustering, drift, finetuning, representations, same_data};
use wider_clip::prelude::*;
use wider_clip::results::read_runs;

const CPU: Device = Device::Cpu;

/// Two data sets, two models, two budgets and seeds, and two ways to fine-tune of which one goes on from the other.
pub fn project(root: &Path) -> Project {
    tiny_project(root, "");
    let tuned = runs("[\"lp_ft\", \"wise\"]", "[\"good\"]", "[0, 1]");
    let suite = format!(
        "id = \"default\"\ndescription = \"A test's.\"\ndatasets = [\"good\", \"drift\"]\n\
         models = [\"pixels.raw\", \"vit_p16_pocket.random\"]\nmethods = [\"knn\", \"lr\"]\nbudgets = [5, 10]\nseeds = [0, 1]\n{tuned}"
    );
    fs::write(root.join("data_manifests/suites/default.toml"), suite).expect("writes");
    Project::open(root, "default").expect("opens").with_cache(root.join("cache"))
}

/// All that one machine does.
pub fn alone(project: &Project) -> Result<()> {
    representations::run(project, &CPU)?;
    finetuning::run(project, &CPU)?;
    drift::run(project, &CPU)?;
    drift::run_folds(project, &CPU)?;
    drift::run_corruptions(project, &CPU)?;
    clustering::run(project, &CPU)?;
    same_data::run(project, &CPU)?;
    Ok(())
}

/// Rows and what stands beside them, and features: paths under `root` with their bytes. Runs say how long they took, so that
/// of those the keys are taken alone.
pub fn left(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut left = BTreeMap::new();
    for (path, bytes) in files(root) {
        let inner = path.strip_prefix(root).expect("inside").to_path_buf();
        let text = inner.to_string_lossy().into_owned();
        let counts = text.starts_with("results/") || text.starts_with("cache/features/");
        let own = ["results/current/", "results/parts/", "results/rates.json", "results/runs/"];
        if !counts || own.iter().any(|name| text.starts_with(name)) || text.contains("/.lock") {
            continue;
        }
        let bytes = match text.ends_with(".runs.parquet") {
            true => {
                read_runs(&path).expect("reads").iter().map(|run| format!("{}\n", run.key)).collect::<String>().into()
            }
            false => bytes,
        };
        left.insert(inner, bytes);
    }
    left
}

/// Both have the same files.
pub fn same(one: &Path, other: &Path) {
    let (one, other) = (left(one), left(other));
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    assert!(one.len() > 20, "only {} files", one.len());
    for (path, bytes) in &one {
        assert!(bytes == &other[path], "{} differs", path.display());
    }
}
