//! The project on this machine: where it is, what its manifests say, where features are cached.

use crate::datasets::{self, ImageSet};
use crate::error::{Error, Result};
use crate::manifest::{Manifests, SuiteRecord};
use crate::storage;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A project folder with its manifests read.
#[derive(Debug, Clone)]
pub struct Project {
    root: PathBuf,
    cache: PathBuf,
    suite: String,
    rows: Rows,
    without: BTreeSet<String>,
    /// Data sets, models and suites.
    pub manifests: Manifests,
}

/// Where rows are kept, and where else they count as done.
#[derive(Debug, Clone)]
enum Rows {
    /// In the folder of results.
    Gathered,
    /// There, and parts of the work count too.
    WithParts,
    /// In the folder of one part; the others count too.
    Part(PathBuf),
}

impl Project {
    /// The project that a notebook or a program runs in: the folder named by `WIDER_CLIP_ROOT`, else the nearest one
    /// upwards that holds `data_manifests`; its suite is `WIDER_CLIP_SUITE`, else `default`.
    ///
    /// # Errors
    /// No such folder, or a manifest that does not say what it must.
    pub fn find() -> Result<Project> {
        let root = match std::env::var_os("WIDER_CLIP_ROOT").filter(|root| !root.is_empty()) {
            Some(root) => PathBuf::from(root),
            None => upwards()?,
        };
        let suite = std::env::var("WIDER_CLIP_SUITE").ok().filter(|suite| !suite.is_empty());
        Project::open(&root, suite.as_deref().unwrap_or("default"))
    }

    /// The project at `root`, with the suite of that id.
    pub fn open(root: &Path, suite: &str) -> Result<Project> {
        let manifests = Manifests::load(root)?;
        manifests.suite(suite)?;
        Ok(Project {
            root: root.into(),
            cache: storage::cache_folder(root),
            suite: suite.into(),
            rows: Rows::Gathered,
            without: BTreeSet::new(),
            manifests,
        })
    }

    /// The folder that holds `data_manifests`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder for features and downloads.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Keeps features and downloads in `cache` instead.
    pub fn with_cache(self, cache: impl Into<PathBuf>) -> Project {
        Project { cache: cache.into(), ..self }
    }

    /// The suite that is run.
    pub fn suite(&self) -> Result<&SuiteRecord> {
        self.manifests.suite(&self.suite)
    }

    /// Opens the data set of that id.
    pub fn images(&self, dataset: &str) -> Result<ImageSet> {
        datasets::open(&self.root, &self.cache, self.manifests.dataset(dataset)?)
    }

    /// Where rows are kept: `results/` under the project, or the folder that `WIDER_CLIP_RESULTS` names.
    pub fn results_folder(&self) -> PathBuf {
        storage::results_folder(&self.root)
    }

    /// Where many machines leave their parts of the work: `parts` in the folder of results.
    pub(crate) fn parts_folder(&self) -> PathBuf {
        self.results_folder().join("parts")
    }

    /// What stands in parts counts as done.
    pub(crate) fn with_parts(self) -> Project {
        Project { rows: Rows::WithParts, ..self }
    }

    /// As if the suite lacked these data sets.
    pub(crate) fn without(self, datasets: BTreeSet<String>) -> Project {
        Project { without: datasets, ..self }
    }

    /// The data sets of the suite.
    pub(crate) fn datasets(&self) -> Result<impl Iterator<Item = &String>> {
        Ok(self.suite()?.datasets.iter().filter(|dataset| !self.without.contains(*dataset)))
    }

    /// Keeps rows in `folder`, one part's own; what stands in others counts as done.
    pub(crate) fn in_part(self, folder: PathBuf) -> Project {
        Project { rows: Rows::Part(folder), ..self }
    }

    /// Where the rows of an experiment are kept.
    pub(crate) fn rows_folder(&self, experiment: &str) -> PathBuf {
        match &self.rows {
            Rows::Part(folder) => folder.join(PART_ROWS),
            _ => self.results_folder().join(experiment),
        }
    }

    /// Where else rows of an experiment, data set and model count as done.
    pub(crate) fn rows_beside(&self, experiment: &str, dataset: &str, model: &str) -> Vec<PathBuf> {
        let among = self.parts_folder().join(experiment).join(dataset).join(model);
        match &self.rows {
            Rows::Gathered => Vec::new(),
            Rows::WithParts => part_rows_in(&among, 0),
            Rows::Part(folder) => {
                let mut all = vec![self.results_folder().join(experiment)];
                all.extend(part_rows_in(&among, 0).into_iter().filter(|rows| *rows != folder.join(PART_ROWS)));
                all
            }
        }
    }

    /// Where experiments leave the rows of this suite that count today: `results/current/<suite>`.
    pub fn current_folder(&self) -> Result<PathBuf> {
        Ok(self.results_folder().join("current").join(&self.suite()?.id))
    }
}

/// The folder of a part's rows, in its own.
pub(crate) const PART_ROWS: &str = "rows";

/// The folders of rows of all parts in `folder`, in order. So many levels `above` the parts are named after experiments, data
/// sets and models: a folder there is none of rows, whatever its name.
pub(crate) fn part_rows_in(folder: &Path, above: usize) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let (rows, deeper): (Vec<PathBuf>, Vec<PathBuf>) =
        folders.into_iter().partition(|path| above == 0 && path.file_name().is_some_and(|name| name == PART_ROWS));
    let below = deeper.iter().flat_map(|path| part_rows_in(path, above.saturating_sub(1)));
    rows.into_iter().chain(below).collect()
}

fn upwards() -> Result<PathBuf> {
    let here = std::env::current_dir().map_err(Error::io(".", "reading the current directory"))?;
    let found = here.ancestors().find(|folder| folder.join("data_manifests").is_dir());
    found.map(Path::to_path_buf).ok_or_else(|| {
        let expected = "a folder that holds data_manifests, here or upwards; or WIDER_CLIP_ROOT";
        Error::data(&here, expected, "none")
    })
}
