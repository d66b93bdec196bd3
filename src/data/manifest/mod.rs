//! Manifests: one TOML file a data set, a model and a suite, read into typed records.
//!
//! Everything that decides a number and is not code stands in `data_manifests/`: where images and weights come from,
//! what the columns mean, how a split is drawn, which inputs a model expects, what a suite runs. A manifest that
//! does not say what it must is an [`Error::Manifest`] with file, line, what was expected and what was found; nothing
//! is guessed and no unknown key is passed over.
//!
//! ```no_run
//! use wider_clip::manifest::Manifests;
//!
//! let manifests = Manifests::load(std::path::Path::new("."))?;
//! let suite = manifests.suite("default")?;
//! for id in &suite.datasets {
//!     println!("{}: {:?} images", id, manifests.dataset(id)?.split.total);
//! }
//! # Ok::<(), wider_clip::error::Error>(())
//! ```

mod dataset;
mod methods;
mod model;
mod own;
mod parse;
mod source;
mod split;
mod suite;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use dataset::{AugmentRecord, Columns, DatasetRecord, Flip};
pub use methods::{Method, Tuning};
pub use model::{
    FeaturesRecord, InputRecord, InterpolationRecord, LookRecord, ModelRecord, ResizeRecord, TextRecord, Weights,
};
pub use own::{own_manifest, read_own};
pub use source::{ArchiveLayout, Download, ListLabel, Lookup, Source, TablePart};
pub use split::{OfficialSplit, PerClass, SplitRecord, SplitRule};
pub use suite::{DTypeRecord, FinetuningRecord, SuiteRecord};

use crate::error::{Error, Result};
use parse::{Loaded, Problem, Record};

/// Every manifest of a project, checked one by one and against each other.
#[derive(Debug, Clone)]
pub struct Manifests {
    folder: PathBuf,
    datasets: BTreeMap<String, DatasetRecord>,
    models: BTreeMap<String, ModelRecord>,
    suites: BTreeMap<String, SuiteRecord>,
}

impl Manifests {
    /// Reads `data_manifests/{datasets,models,suites}/*.toml` under the project's `root`.
    ///
    /// # Errors
    /// [`Error::Manifest`] for the first problem, files taken in the order of their names: a folder that is not there,
    /// text that is not TOML, an unknown or missing key, a wrong type, a value out of range, an id that is not the
    /// file's name, a suite that names an unknown data set or model, an embedded file that is not there.
    pub fn load(root: &Path) -> Result<Manifests> {
        let folder = root.join("data_manifests");
        let datasets = read_folder::<DatasetRecord>(&folder.join("datasets"))?;
        let models = read_folder::<ModelRecord>(&folder.join("models"))?;
        let suites = read_folder::<SuiteRecord>(&folder.join("suites"))?;
        for dataset in &datasets {
            if let Source::Embedded { files } = &dataset.record.source {
                for (i, file) in files.iter().enumerate() {
                    check_embedded(&folder, dataset, &format!("source.embedded.files.{i}"), file)?;
                }
            }
        }
        for model in &models {
            if let Weights::Embedded { file, text, .. } = &model.record.weights {
                check_embedded(&folder, model, "weights.embedded.file", file)?;
                if let Some(text) = text {
                    check_embedded(&folder, model, "weights.embedded.text.file", &text.file)?;
                    check_embedded(&folder, model, "weights.embedded.text.pairs", &text.pairs)?;
                    if let Some(kinds) = &text.kinds {
                        check_embedded(&folder, model, "weights.embedded.text.kinds", kinds)?;
                    }
                }
            }
        }
        let (datasets, models) = (by_id(datasets), by_id(models));
        for suite in &suites {
            check_known(suite, "datasets", &suite.record.datasets, &datasets)?;
            check_known(suite, "models", &suite.record.models, &models)?;
            for (i, runs) in suite.record.finetuning.iter().enumerate() {
                check_known(suite, &format!("finetuning.{i}.models"), &runs.models, &models)?;
            }
        }
        Ok(Manifests { folder, datasets, models, suites: by_id(suites) })
    }

    /// Adds a reader's own folder of class folders as a data set, by the study's rule on all images, and gives its id: the
    /// folder's name in lower case, dots in front left out, what is no letter, digit, `_`, `-` or `.` written `_`. One with the id of a known data set
    /// gets `_own` behind it.
    ///
    /// # Errors
    /// A folder whose path is no UTF-8 or cannot be made absolute.
    pub fn add_folder(&mut self, folder: &Path) -> Result<String> {
        let whole = folder.canonicalize().map_err(Error::io(folder, "reading"))?;
        let path = whole.to_str().ok_or_else(|| Error::data(folder, "a path in UTF-8", "other bytes"))?.to_string();
        let mut id = own_id(&whole.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()));
        while self.datasets.contains_key(&id) {
            id.push_str("_own");
        }
        self.add_own(DatasetRecord::own(&id, Source::Folder { path, tables: Vec::new() }), folder)
    }

    /// Adds the data set of a manifest that lies elsewhere, and gives its id.
    ///
    /// # Errors
    /// As [`Manifests::load`] and [`Manifests::add_own`].
    pub fn add_file(&mut self, path: &Path) -> Result<String> {
        self.add_own(Loaded::<DatasetRecord>::read(path)?.record, path)
    }

    /// Adds a reader's own data set, in place of one of the same id if that is a reader's own too, and gives its id. What the
    /// record does not say is completed. `origin` is what an error names.
    ///
    /// # Errors
    /// A record that does not say what it must; the id of a data set that is not a reader's own.
    pub fn add_own(&mut self, mut record: DatasetRecord, origin: &Path) -> Result<String> {
        let id = record.id.clone();
        record.complete(&id);
        record.check().map_err(|problem| problem.of_folder(origin))?;
        if self.datasets.get(&id).is_some_and(|known| !known.is_own()) {
            return Err(Error::data(origin, "an id that no data set of the project has", format!("`{id}`")));
        }
        self.datasets.insert(id.clone(), record);
        Ok(id)
    }

    /// The data set of that id; [`Error::Unknown`] lists the known ones.
    pub fn dataset(&self, id: &str) -> Result<&DatasetRecord> {
        find("data set", &self.datasets, id)
    }

    /// The model of that id; [`Error::Unknown`] lists the known ones.
    pub fn model(&self, id: &str) -> Result<&ModelRecord> {
        find("model", &self.models, id)
    }

    /// The suite of that id; [`Error::Unknown`] lists the known ones.
    pub fn suite(&self, id: &str) -> Result<&SuiteRecord> {
        find("suite", &self.suites, id)
    }

    /// All data sets, sorted by id.
    pub fn datasets(&self) -> impl Iterator<Item = &DatasetRecord> {
        self.datasets.values()
    }

    /// All models, sorted by id.
    pub fn models(&self) -> impl Iterator<Item = &ModelRecord> {
        self.models.values()
    }

    /// All suites, sorted by id.
    pub fn suites(&self) -> impl Iterator<Item = &SuiteRecord> {
        self.suites.values()
    }

    /// The path of a file that ships with the project, by its name in a manifest.
    pub fn embedded_path(&self, file: &str) -> PathBuf {
        self.folder.join("embedded").join(file)
    }
}

/// The id of a reader's own data of that name: in lower case, dots in front left out, what is no letter, digit, `_`, `-` or `.`
/// written `_`; `folder` for a name of which nothing is left.
pub fn own_id(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
    let id: String = name.to_lowercase().trim_start_matches('.').chars().map(plain).collect();
    if id.is_empty() { "folder".into() } else { id }
}

/// The folder of the files that ship with the project at `root`.
pub fn embedded_folder(root: &Path) -> PathBuf {
    root.join("data_manifests").join("embedded")
}

/// A reader's own folder, as a manifest names it ([`Source::Folder`]), for the project at `root`.
pub fn own_folder(root: &Path, path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(inside), Some(home)) => home.join(inside),
        _ => root.join(path),
    }
}

/// Reads every `*.toml` of a folder in the order of the names.
fn read_folder<T: Record>(folder: &Path) -> Result<Vec<Loaded<T>>> {
    let entries = std::fs::read_dir(folder).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Manifest {
            path: folder.to_path_buf(),
            line: 0,
            expected: format!("a folder with a TOML file a {}", T::KIND),
            found: "no such folder".into(),
        },
        _ => Error::io(folder, "reading")(source),
    })?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io(folder, "reading"))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| Loaded::read(path)).collect()
}

/// Ids are the files' names, so that no two records share one.
fn by_id<T: Record>(loaded: Vec<Loaded<T>>) -> BTreeMap<String, T> {
    loaded.into_iter().map(|loaded| (loaded.record.id().to_string(), loaded.record)).collect()
}

/// A file name that a manifest gives must be one of `data_manifests/embedded/`.
fn check_embedded<T: Record>(folder: &Path, loaded: &Loaded<T>, key: &str, file: &str) -> Result<()> {
    if !model::is_plain_path(file) {
        return Err(loaded.error(Problem::new(key, "a path inside data_manifests/embedded", format!("`{file}`"))));
    }
    if !folder.join("embedded").join(file).is_file() {
        let found = format!("`{file}`, which is not there");
        return Err(loaded.error(Problem::new(key, "a file in data_manifests/embedded", found)));
    }
    Ok(())
}

/// Every id that a suite names must be known.
fn check_known<T>(suite: &Loaded<SuiteRecord>, key: &str, ids: &[String], known: &BTreeMap<String, T>) -> Result<()> {
    for (i, id) in ids.iter().enumerate() {
        if !known.contains_key(id) {
            let expected = format!("one of {}", list(known));
            return Err(suite.error(Problem::new(format!("{key}.{i}"), expected, format!("unknown `{id}`"))));
        }
    }
    Ok(())
}

fn find<'a, T>(kind: &'static str, records: &'a BTreeMap<String, T>, id: &str) -> Result<&'a T> {
    records.get(id).ok_or_else(|| Error::Unknown { kind, name: id.into(), known: list(records) })
}

fn list<T>(records: &BTreeMap<String, T>) -> String {
    records.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}
