//! The record of a suite: which models meet which data sets, with which budgets and seeds.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use toml::de::DeTable;

use super::methods::{Method, Tuning};
use super::parse::{Problem, Record, check_id, check_not_empty};

/// One file of `data_manifests/suites/`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteRecord {
    /// Equal to the file's name without `.toml`.
    pub id: String,
    /// A sentence: what it is for.
    pub description: String,
    /// Ids of data sets.
    pub datasets: Vec<String>,
    /// Ids of models.
    pub models: Vec<String>,
    /// Classifiers on features.
    pub methods: Vec<Method>,
    /// Label budgets (N of the split rule), ascending.
    pub budgets: Vec<usize>,
    /// Seeds; tables show the mean over them and, from two on, an interval.
    pub seeds: Vec<u64>,
    /// At most this many images per data set: a seeded, stratified subset. `None` uses all.
    #[serde(default)]
    pub max_images: Option<usize>,
    /// What features are computed in.
    #[serde(default)]
    pub dtype: DTypeRecord,
    /// Ids of models whose rows are computed on this machine at the first seed, though they ship with the project: the
    /// sample that the shipped rows are held against.
    #[serde(default)]
    pub recomputed: Vec<String>,
    /// What is fine-tuned; nothing by default.
    #[serde(default)]
    pub finetuning: Vec<FinetuningRecord>,
    /// What the suite leaves out; shown on the page.
    #[serde(default)]
    pub note: Option<String>,
}

/// What the features of frozen models are computed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DTypeRecord {
    /// f32 throughout.
    #[default]
    F32,
    /// On a processor with AVX512-BF16, most matrix products of factors rounded to bf16 and summed in f32, and f32 for the
    /// rest; on a GPU bf16 throughout. Such features, and the rows on them, have keys of their own.
    Bf16,
}

impl DTypeRecord {
    /// The name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            DTypeRecord::F32 => "f32",
            DTypeRecord::Bf16 => "bf16",
        }
    }
}

impl<'de> Deserialize<'de> for DTypeRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let known = [DTypeRecord::F32, DTypeRecord::Bf16].into_iter().find(|known| known.as_str() == word);
        // serde's own words for a variant do not name the key.
        known
            .ok_or_else(|| D::Error::custom(format!("invalid value: `{word}`, expected `dtype` to be `f32` or `bf16`")))
    }
}

/// Runs of fine-tuning: every method, model, data set, budget and seed of the lists with each other.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinetuningRecord {
    /// Ways to fine-tune.
    pub methods: Vec<Tuning>,
    /// Ids of models; they need not be among the suite's.
    pub models: Vec<String>,
    /// Ids of data sets of the suite; all of them by default.
    #[serde(default)]
    pub datasets: Vec<String>,
    /// Label budgets (N of the split rule), ascending.
    pub budgets: Vec<usize>,
    /// Seeds of the split, which also draw the head and the order of the images.
    pub seeds: Vec<u64>,
    /// Epochs that end a run which early stopping has not ended; by default 1000, as in the study. Methods with a number of
    /// epochs of their own take fewer if this is fewer. Lists that ask for the same run must agree.
    #[serde(default = "epochs_of_the_study")]
    pub max_epochs: u64,
    /// Whether these runs are computed on this machine though their rows ship with the project: the sample that the shipped
    /// rows are held against.
    #[serde(default)]
    pub recomputed: bool,
}

fn epochs_of_the_study() -> u64 {
    1000
}

impl FinetuningRecord {
    /// Whether a model on a data set is among them.
    pub fn asks_for(&self, dataset: &str, model: &str) -> bool {
        let has = |list: &[String], id: &str| list.iter().any(|listed| listed == id);
        has(&self.models, model) && (self.datasets.is_empty() || has(&self.datasets, dataset))
    }

    /// The data sets that it asks for.
    fn datasets_of<'a>(&'a self, suite: &'a SuiteRecord) -> &'a [String] {
        if self.datasets.is_empty() { &suite.datasets } else { &self.datasets }
    }

    /// A run that another list asks for too, in words.
    fn shared_with(&self, other: &FinetuningRecord, suite: &SuiteRecord) -> Option<String> {
        let method = first_shared(&self.methods, &other.methods)?.as_str();
        let model = first_shared(&self.models, &other.models)?;
        let dataset = first_shared(self.datasets_of(suite), other.datasets_of(suite))?;
        let budget = first_shared(&self.budgets, &other.budgets)?;
        let seed = first_shared(&self.seeds, &other.seeds)?;
        Some(format!("`{method}` of `{model}` on `{dataset}` at budget {budget} and seed {seed}"))
    }

    /// Rows do not say how many epochs a run had at most: no two lists may ask for one run with different numbers.
    fn check_epochs(&self, before: &[FinetuningRecord], suite: &SuiteRecord) -> Result<(), Problem> {
        let mut others = before.iter().enumerate().filter(|(_, other)| other.max_epochs != self.max_epochs);
        match others.find_map(|(i, other)| Some((i, other.max_epochs, self.shared_with(other, suite)?))) {
            Some((i, epochs, run)) => {
                let expected = format!("{epochs}, as in `finetuning.{i}`, since both ask for {run}");
                Err(Problem::new("max_epochs", expected, self.max_epochs.to_string()))
            }
            None => Ok(()),
        }
    }

    fn check(&self, suite: &SuiteRecord) -> Result<(), Problem> {
        check_list("methods", &self.methods)?;
        check_list("models", &self.models)?;
        check_list("budgets", &self.budgets)?;
        check_list("seeds", &self.seeds)?;
        check_budgets(&self.budgets)?;
        if self.max_epochs == 0 {
            return Err(Problem::new("max_epochs", "a number above 0", "0"));
        }
        match self.datasets.iter().position(|dataset| !suite.datasets.contains(dataset)) {
            Some(i) => {
                let found = format!("`{}`", self.datasets[i]);
                Err(Problem::new(format!("datasets.{i}"), "one of the suite's data sets", found))
            }
            None => Ok(()),
        }
    }
}

impl Record for SuiteRecord {
    const KIND: &'static str = "suite";

    fn id(&self) -> &str {
        &self.id
    }

    fn required(_: &DeTable) -> Vec<&'static str> {
        vec![
            "id",
            "description",
            "datasets",
            "models",
            "methods",
            "budgets",
            "seeds",
            "finetuning.*.methods",
            "finetuning.*.models",
            "finetuning.*.budgets",
            "finetuning.*.seeds",
        ]
    }

    fn check(&self) -> Result<(), Problem> {
        check_id(&self.id)?;
        check_not_empty("description", &self.description)?;
        check_list("datasets", &self.datasets)?;
        check_list("models", &self.models)?;
        check_list("methods", &self.methods)?;
        if let Some(i) = self.recomputed.iter().position(|model| !self.models.contains(model)) {
            let found = format!("`{}`", self.recomputed[i]);
            return Err(Problem::new(format!("recomputed.{i}"), "one of the suite's models", found));
        }
        check_list("budgets", &self.budgets)?;
        check_list("seeds", &self.seeds)?;
        check_budgets(&self.budgets)?;
        if self.dtype != DTypeRecord::F32 && !self.finetuning.is_empty() {
            let expected =
                "`f32` in a suite that fine-tunes: training is f32 (bf16 features may have a suite of their own)";
            return Err(Problem::new("dtype", expected, format!("`{}`", self.dtype.as_str())));
        }
        for (i, runs) in self.finetuning.iter().enumerate() {
            let checked = runs.check(self).and_then(|()| runs.check_epochs(&self.finetuning[..i], self));
            checked.map_err(|problem| problem.within(&format!("finetuning.{i}")))?;
        }
        match self.max_images {
            Some(0) => Err(Problem::new("max_images", "a number above 0", "0")),
            _ => Ok(()),
        }
    }
}

/// The first entry of a list that another one has too.
fn first_shared<'a, T: PartialEq>(list: &'a [T], other: &[T]) -> Option<&'a T> {
    list.iter().find(|entry| other.contains(entry))
}

fn check_budgets(budgets: &[usize]) -> Result<(), Problem> {
    let most = u32::MAX as usize;
    match budgets.iter().any(|&n| n == 0 || n > most) || !budgets.is_sorted() {
        true => {
            Err(Problem::new("budgets", format!("ascending numbers above 0, at most {most}"), format!("{budgets:?}")))
        }
        false => Ok(()),
    }
}

/// A list that must have entries, none of them twice.
fn check_list<T: PartialEq + std::fmt::Debug>(key: &str, list: &[T]) -> Result<(), Problem> {
    if list.is_empty() {
        return Err(Problem::new(key, "at least one entry", "an empty list"));
    }
    for (i, entry) in list.iter().enumerate() {
        if list[..i].contains(entry) {
            return Err(Problem::new(format!("{key}.{i}"), "every entry once", format!("{entry:?} again")));
        }
    }
    Ok(())
}
