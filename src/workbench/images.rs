//! `wider-clip images`: what lies in a folder, a report on it, and a classifier.

use super::outputs::{self, Output};
use super::{Workbench, notebooks, report, setup};
use crate::datasets::{self, Wanted, recognise, sorted_parts};
use crate::error::{Error, Result};
use crate::manifest::{DatasetRecord, OfficialSplit, Source, SplitRule, own_id, own_manifest, read_own};
use crate::own::{KEPT, REQUEST, Request};
use crate::progress::thousands;
use crate::project::Project;
use crate::say::{path as shown, plain};
use crate::storage::{sha256_hex, write_atomic};
use crate::target::check_kind;
use std::path::{Path, PathBuf};

/// The notebook that is run.
const NOTEBOOK: &str = "10_your_images";

/// What is asked for on the command line.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The folder or file.
    pub images: PathBuf,
    /// Ids of models; those on this machine where there is none.
    pub models: Vec<String>,
    /// Minutes that features may take.
    pub minutes: Option<f64>,
    /// Whether weights may be downloaded.
    pub download: bool,
    /// Decides folds and resamples.
    pub seed: u64,
    /// The folder of the report; `your_images/<id>` in the current folder where there is none.
    pub out: Option<PathBuf>,
    /// Columns that are named.
    pub wanted: Wanted,
    /// Where the record of the data goes too, to be changed and named in a suite.
    pub save_manifest: Option<PathBuf>,
}

/// Recognises the images, leaves the request, runs the notebook on it and makes the page.
///
/// # Errors
/// Data that cannot be read or learned from; models that are not known; what running a notebook can fail with.
pub fn serve(workbench: &Workbench, asked: &Asked) -> Result<()> {
    if let Some(minutes) = asked.minutes.filter(|minutes| !(*minutes > 0.0 && minutes.is_finite())) {
        return Err(Error::argument("budget", "minutes above 0", minutes.to_string()));
    }
    let project = Project::open(workbench.root(), "default")?;
    asked.models.iter().try_for_each(|id| project.manifests.model(id).map(drop))?;
    let found = recognise(&asked.images, &asked.wanted)?;
    let mut record = free_id(&project, found.record);
    let out = asked.out.clone().unwrap_or_else(|| usual_folder(Path::new("your_images"), &record));
    keep_reading(&mut record, &out);
    let record = with_split(&project, record)?;
    found.said.iter().for_each(|said| crate::say!("taken for: {}", plain(said)));
    let text = own_manifest(&record);
    let saved = match &asked.save_manifest {
        Some(path) => Some((path, saved_manifest(&record, path)?)),
        None => None,
    };
    if let Some((path, text)) = &saved {
        check_kind(path, "this very record", |found| found == text.as_bytes())?;
    }
    let claimed = outputs::claim(&out, Output::Images)?;
    let out = claimed.folder.clone();
    if let Some(other) = source_in(&out, &record).filter(|other| *other != source_of(&record)) {
        crate::say!("what stands in {} was of {}, and is replaced", shown(&out), plain(&other));
    }
    let manifest = PathBuf::from(format!("{}.toml", record.id));
    write_atomic(&out.join(&manifest), text.as_bytes())?;
    if let Some((path, text)) = &saved {
        write_atomic(path, text.as_bytes())?;
        crate::say!("the record of these data: {}", shown(path));
    }
    let request = Request {
        manifest,
        said: found.said,
        models: asked.models.clone(),
        minutes: asked.minutes,
        download: asked.download,
        seed: asked.seed,
    };
    request.write(&out.join(REQUEST))?;
    setup::ensure(workbench)?;
    let source = workbench.notebooks().join(format!("{NOTEBOOK}.ipynb"));
    let executed = out.join(format!("{NOTEBOOK}.ipynb"));
    let classifier = out.join("classifier");
    let run = notebooks::Run {
        source,
        executed: executed.clone(),
        folder: workbench.notebooks(),
        suite: "default".into(),
        fresh: false,
        images: Some(out.join(REQUEST)),
        position: None,
    };
    // What an unchanged run left must be there in whole; and what another run leaves until it is stopped must not stand beside the
    // page of this one.
    let is_whole = KEPT.iter().all(|name| classifier.join(name).is_file());
    let page = out.join("index.html");
    if executed.exists() && !(is_whole && notebooks::is_unchanged(workbench, &run)?) {
        for of_before in [&executed, &page].into_iter().filter(|path| path.exists()) {
            std::fs::remove_file(of_before).map_err(Error::io(of_before, "removing"))?;
        }
    }
    notebooks::execute(workbench, &run)?;
    report::write_one_page(workbench, &executed, &page, false)?;
    crate::say!("the report: {}", shown(&page));
    if classifier.join(KEPT[0]).is_file() {
        crate::say!("the classifier: cargo run -- predict {} <pictures>", shown(&classifier));
    }
    if out.join("predictions.csv").exists() {
        crate::say!("pictures without a label: {}", shown(&out.join("predictions.csv")));
    }
    Ok(())
}

/// The record as a manifest at `path`: the data set of a manifest is called as its file.
///
/// # Errors
/// A name that is no id.
pub fn saved_manifest(record: &DatasetRecord, path: &Path) -> Result<String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    if !is_toml || own_id(stem) != stem {
        let expected = "a file whose name is an id in small letters, digits, `_`, `-` or `.`, and ends in .toml";
        return Err(Error::data(path, expected, "another name"));
    }
    Ok(own_manifest(&DatasetRecord { id: stem.into(), ..record.clone() }))
}

/// Where in `all` a report goes that nobody gave a place: a folder of the data's name, with more letters where that holds a report on
/// other data of the same name.
pub fn usual_folder(all: &Path, record: &DatasetRecord) -> PathBuf {
    let folder = all.join(&record.id);
    match source_in(&folder, record).is_some_and(|other| other != source_of(record)) {
        true => all.join(format!("{}_{}", record.id, &sha256_hex(source_of(record).as_bytes())[..8])),
        false => folder,
    }
}

/// Where the data lie, in words.
fn source_of(record: &DatasetRecord) -> String {
    match &record.source {
        Source::Folder { path, tables } if tables.is_empty() => path.clone(),
        Source::Folder { path, tables } => format!("{path}: {}", tables.join(", ")),
        Source::Parquet { files } => files.join(", "),
        other => format!("{other:?}"),
    }
}

/// The same of the record that a report left in its folder; `None` where there is none.
fn source_in(folder: &Path, record: &DatasetRecord) -> Option<String> {
    Some(source_of(&record_in(folder, record)?))
}

fn record_in(folder: &Path, record: &DatasetRecord) -> Option<DatasetRecord> {
    let path = folder.join(format!("{}.toml", record.id));
    path.is_file().then_some(())?;
    read_own(&path).ok()
}

/// Takes over `bands` and `range` that a reader has written into the record that a report on the same data left: a file alone does
/// not say them, and a picture that needs them is refused by these names.
pub fn keep_reading(record: &mut DatasetRecord, folder: &Path) {
    let Some(kept) = record_in(folder, record).filter(|kept| source_of(kept) == source_of(record)) else { return };
    for (name, said) in [("bands", kept.bands.is_some()), ("range", kept.range.is_some())] {
        if said {
            let place = folder.join(format!("{}.toml", record.id));
            crate::say!("`{name}` as in {}", shown(&place));
        }
    }
    (record.bands, record.range) = (kept.bands, kept.range);
}

/// The record under an id that no data set of the project has.
fn free_id(project: &Project, mut record: DatasetRecord) -> DatasetRecord {
    while project.manifests.dataset(&record.id).is_ok_and(|known| !known.is_own()) {
        record.id.push_str("_own");
    }
    record
}

/// Opens the data once, says what there is, and adds to the record how they are split: by their parts or their groups.
fn with_split(project: &Project, mut record: DatasetRecord) -> Result<DatasetRecord> {
    let set = datasets::open(project.root(), project.cache(), &record)?;
    crate::say!("{} images of {} classes", thousands(set.len()), set.classes.len());
    let [train, val, test] = sorted_parts(&set);
    let official = |name: Option<String>| name.map(|name| OfficialSplit { name, total: None });
    match (train, set.groups.is_some()) {
        (Some(train), _) if val.is_some() || test.is_some() => {
            record.split.pool = train;
            record.split.val = official(val);
            record.split.id_test = official(test);
            record.split.rule = SplitRule::StudyCapped;
        }
        (_, true) => record.split.rule = SplitRule::StudyGrouped,
        _ => {}
    }
    Ok(record)
}
