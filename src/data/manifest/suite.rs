//! The record of a suite: which models meet which data sets, with which budgets and seeds.

use crate::error::Error;
use serde::Deserialize;
use toml::de::DeTable;

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
    /// At most this many images a data set: a seeded, stratified subset. `None` uses all.
    #[serde(default)]
    pub max_images: Option<usize>,
    /// Ids of models whose rows are computed on this machine at the first seed, though they ship with the project: the
    /// sample that the shipped rows are held against.
    #[serde(default)]
    pub recomputed: Vec<String>,
    /// What the suite leaves out; shown on the page.
    #[serde(default)]
    pub note: Option<String>,
}

/// Declares the methods once: name in manifests and rows, and what charts call it.
macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $label:literal;)*) => {
        /// A classifier on features.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        pub enum Method {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Method {
            /// All of them.
            pub const ALL: &[Method] = &[$(Method::$variant),*];

            /// The name in manifests, result rows and the study's published tables.
            pub fn as_str(self) -> &'static str {
                match self { $(Method::$variant => $name,)* }
            }

            /// What it does, in words, for charts.
            pub fn label(self) -> &'static str {
                match self { $(Method::$variant => $label,)* }
            }
        }
    };
}

methods! {
    /// Nearest neighbours: k = 5, Euclidean, uniform votes (the study's setting).
    Knn = "knn", "5 nearest neighbours";
    /// Nearest neighbours as DINO's evaluation has them: k = 20, cosine, votes weighted with temperature 0.07.
    KnnDino = "knn_dino", "20 nearest neighbours by cosine, weighted votes";
    /// Logistic regression: C = 1 (the study's setting).
    Lr = "lr", "logistic regression";
    /// Logistic regression as DINOv2's evaluation has it: C of 45 chosen on the validation images, then fitted on
    /// training and validation images.
    LrSweep = "lr_sweep", "logistic regression, C chosen on validation images";
    /// CLIP's text tower on the classes' names: no training image is seen. Its rows have the budget whose test images
    /// they were measured on; models without a text tower have none.
    ZeroShot = "zero_shot", "class names, no training image";
    /// As `zero_shot`, with more asked and more seen: each class by its name, the words of it and the kinds of things that
    /// they stand for, and each image whole and in two narrower crops. Its parts were chosen on OpenEmoji, so its rows
    /// there flatter it. Models whose record names no kinds have no rows.
    ZeroShotEnsemble = "zero_shot_ensemble", "class names, their words and kinds, three crops, no training image";
}

impl Method {
    /// The method of that name.
    pub fn named(name: &str) -> Option<Method> {
        Method::ALL.iter().copied().find(|method| method.as_str() == name)
    }

    /// The same, for a name that ought to be known.
    ///
    /// # Errors
    /// [`Error::Unknown`] listing the names.
    pub fn known(name: &str) -> Result<Method, Error> {
        let known = || Method::ALL.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ");
        Method::named(name).ok_or_else(|| Error::Unknown { kind: "method", name: name.into(), known: known() })
    }

    /// Whether classes are asked for by words, so that no training image is seen.
    pub fn asks_by_words(self) -> bool {
        matches!(self, Method::ZeroShot | Method::ZeroShotEnsemble)
    }
}

impl Record for SuiteRecord {
    const KIND: &'static str = "suite";

    fn id(&self) -> &str {
        &self.id
    }

    fn required(_: &DeTable) -> Vec<&'static str> {
        vec!["id", "description", "datasets", "models", "methods", "budgets", "seeds"]
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
        if self.budgets.contains(&0) || !self.budgets.is_sorted() {
            return Err(Problem::new("budgets", "ascending numbers above 0", format!("{:?}", self.budgets)));
        }
        match self.max_images {
            Some(0) => Err(Problem::new("max_images", "a number above 0", "0")),
            _ => Ok(()),
        }
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
