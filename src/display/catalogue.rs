//! What there is: data sets, models, and the suite that is run.

use super::{Cell, Table};
use crate::error::Result;
use crate::hub;
use crate::manifest::{DTypeRecord, DatasetRecord, FinetuningRecord, ModelRecord, Source, Weights, own_folder};
use crate::models;
use crate::progress::thousands;
use crate::project::Project;
use hf_hub::{Repo, RepoType};
use std::path::Path;

/// Data sets: images, classes, where they come from, whether they are on this machine, licence.
pub fn datasets_table(project: &Project) -> Table {
    let header = ["data set", "images", "classes", "from", "on this machine", "licence"];
    let row = |record: &DatasetRecord| {
        let (from, here) = match &record.source {
            Source::Embedded { files } => ("ships with the project".into(), embedded_size(project, files)),
            Source::Hub { repo, revision, .. } => {
                let handle = Repo::with_revision(repo.clone(), RepoType::Dataset, revision.clone());
                let folder = hub::cache().path().join(handle.folder_name());
                (format!("hub: {repo}"), presence(&folder))
            }
            Source::Archive { downloads, .. } => {
                let folder = project.cache().join("archives").join(&record.id).join("unpacked.ok");
                (format!("{} download(s)", downloads.len()), presence(&folder))
            }
            Source::Folder { path, .. } => (format!("folder {path}"), presence(&own_folder(project.root(), path))),
            Source::Parquet { files } => {
                let all = files.iter().all(|file| own_folder(project.root(), file).is_file());
                (format!("Parquet {}", files.join(", ")), if all { "yes".into() } else { "no".into() })
            }
        };
        let count = |n: Option<usize>| n.map_or_else(|| "–".into(), thousands);
        let counts = [count(record.split.total), count(record.split.classes)];
        let mut cells = vec![Cell::from(record.id.clone())];
        cells.extend(counts.into_iter().chain([from, here, record.licence.clone()]).map(Cell::from));
        cells
    };
    Table {
        caption: "Data sets".into(),
        header: header.map(String::from).to_vec(),
        rows: project.manifests.datasets().map(row).collect(),
    }
}

/// Models: millions of parameters, input, features, where the weights come from, whether they are on this machine, licence.
pub fn models_table(project: &Project) -> Table {
    let header = ["model", "millions", "input", "feature", "weights", "here", "licence"];
    let row = |record: &ModelRecord| {
        let (weights, here) = match &record.weights {
            Weights::Embedded { file, .. } => {
                ("ships with the project".into(), presence(&project.manifests.embedded_path(file)))
            }
            Weights::Hub { repo, .. } => {
                let here = models::is_here(project.root(), record);
                (format!("hub: {repo}"), if here { "yes".into() } else { "no".into() })
            }
            Weights::Random { seed, .. } => (format!("random, seed {seed}"), "yes".into()),
            Weights::None => ("none".into(), "yes".into()),
        };
        let params = record.params.map_or_else(|| "–".into(), |n| format!("{:.1}", n as f64 / 1e6));
        let input = format!("{} px", record.input.size);
        let feature = format!("{} ({})", record.features.default, record.features.dim);
        let cells = [record.id.clone(), params, input, feature, weights, here, record.licence.clone()];
        cells.map(Cell::from).to_vec()
    };
    Table {
        caption: "Models: parameters in millions; whether the weights are on this machine".into(),
        header: header.map(String::from).to_vec(),
        rows: project.manifests.models().map(row).collect(),
    }
}

/// The suite of this run, and what it leaves out.
///
/// # Errors
/// A suite that is not known.
pub fn suite_table(project: &Project) -> Result<Table> {
    let suite = project.suite()?;
    let join = |items: Vec<String>| items.join(", ");
    let budgets = suite.budgets.iter().map(|budget| budget.to_string()).collect();
    let seeds = suite.seeds.iter().map(|seed| seed.to_string()).collect();
    let methods = suite.methods.iter().map(|method| method.as_str().to_string()).collect();
    let most = suite.max_images.map_or_else(|| "all".into(), |most| format!("at most {}", thousands(most)));
    let rows = [
        ("suite", suite.id.clone()),
        ("data sets", join(suite.datasets.clone())),
        ("models", join(suite.models.clone())),
        ("methods", join(methods)),
        ("label budgets", join(budgets)),
        ("seeds", join(seeds)),
        ("images per data set", most),
        ("computed here at the first seed, though they came", join(suite.recomputed.clone())),
        ("note", suite.note.clone().unwrap_or_default()),
    ];
    let dtype = computed_in(suite.dtype).map(|dtype| ("features computed in", dtype));
    let tuned = suite.finetuning.iter().map(|runs| ("fine-tuned", finetuned(runs)));
    Ok(Table {
        caption: suite.description.clone(),
        header: vec!["what".into(), "in this run".into()],
        rows: rows.into_iter().chain(dtype).chain(tuned).map(|(what, value)| vec![what.into(), value.into()]).collect(),
    })
}

/// What features are computed in, in words, where it is not f32.
fn computed_in(dtype: DTypeRecord) -> Option<String> {
    (dtype == DTypeRecord::Bf16).then(|| "bf16 (factors of matrix products rounded, sums in f32)".into())
}

/// Runs of fine-tuning in words.
fn finetuned(runs: &FinetuningRecord) -> String {
    fn join<T: ToString>(list: &[T]) -> String {
        list.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
    }
    let methods: Vec<&str> = runs.methods.iter().map(|method| method.as_str()).collect();
    let data = if runs.datasets.is_empty() { String::new() } else { format!(" on {}", join(&runs.datasets)) };
    let computed = if runs.recomputed { "; computed here though they came" } else { "" };
    format!(
        "{} of {}{data}, budgets {}, seeds {}, {} epochs at most{computed}",
        join(&methods),
        join(&runs.models),
        join(&runs.budgets),
        join(&runs.seeds),
        runs.max_epochs
    )
}

fn embedded_size(project: &Project, files: &[String]) -> String {
    let bytes: u64 = files
        .iter()
        .filter_map(|file| std::fs::metadata(project.manifests.embedded_path(file)).ok())
        .map(|metadata| metadata.len())
        .sum();
    format!("yes, {:.1} MB", bytes as f64 / 1e6)
}

fn presence(path: &Path) -> String {
    if path.exists() { "yes".into() } else { "no".into() }
}
