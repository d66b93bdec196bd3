//! The study's accuracies in columns: what models reached on the same images, and on how many.

use super::super::{PublishedKey, PublishedResult, PublishedSplit, PublishedTable};
use crate::error::Result;
use wider_clip_numbers::metrics::{SameImages, denominators, wilson};

/// How it is known how many images a column was measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// The split table's number fits every printed fraction.
    AsInTable,
    /// A multiple of the split table's number does: means of this many runs.
    Runs(usize),
    /// Another number does.
    Otherwise,
    /// No number does, so that the split table's is taken.
    Unexplained,
}

/// Accuracies of several models with one method and budget, on the same test images.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The group of tables.
    pub table: PublishedTable,
    /// The study's name of the data set.
    pub dataset: String,
    /// `test`, `id` or `ood`.
    pub split: String,
    /// `knn`, `lr` or `finetune`.
    pub method: String,
    /// The label budget.
    pub budget: usize,
    /// Test images, as counted.
    pub n: usize,
    /// Test images in the split table.
    pub n_table: usize,
    /// How [`Column::n`] is known.
    pub counted: Counted,
    /// All numbers up to 1.3 times the split table's, or 2000, that fit every fraction.
    pub fits: Vec<usize>,
    /// The study's name and the accuracy of each model, in the order of the tables.
    pub accuracies: Vec<(String, f64)>,
}

impl Column {
    /// The accuracy of a model.
    pub fn of(&self, model: &str) -> Option<f64> {
        self.accuracies.iter().find(|(name, _)| name == model).map(|(_, accuracy)| *accuracy)
    }

    /// Models from the best to the worst; equal ones as in the tables.
    pub fn ranked(&self) -> Vec<(&str, f64)> {
        let mut ranked: Vec<(&str, f64)> =
            self.accuracies.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked
    }

    /// The 95% interval of an accuracy over the choice of test images. It says nothing of the draw of labels.
    ///
    /// # Errors
    /// None that a column made by [`columns`] gives.
    pub fn interval(&self, accuracy: f64) -> Result<(f64, f64)> {
        wilson(accuracy, self.n as f64)
    }

    /// How surely two accuracies of the column differ.
    ///
    /// # Errors
    /// As [`Column::interval`].
    pub fn apart(&self, a: f64, b: f64) -> Result<SameImages> {
        SameImages::new(a, b, self.n)
    }

    /// Whether it holds this.
    pub fn is(&self, dataset: &str, split: &str, method: &str, budget: usize) -> bool {
        self.dataset == dataset && self.split == split && self.method == method && self.budget == budget
    }

    /// Probes on features, on a set without drift.
    pub fn is_general_probe(&self) -> bool {
        self.split == "test" && self.method != "finetune"
    }

    /// Probes on features, in or out of distribution.
    pub fn is_drift_probe(&self) -> bool {
        self.split != "test" && self.method != "finetune"
    }
}

/// Every column of accuracies, in the order of the tables. Those that repeat another are among them: the probes that the study
/// prints beside fine-tuning.
///
/// A figure whose data set and budget are not in the split table is left out: nothing says how many images it is of.
///
/// # Errors
/// [`crate::error::Error::Argument`] for a figure that is no fraction.
pub fn all_columns(results: &[PublishedResult], splits: &[PublishedSplit]) -> Result<Vec<Column>> {
    let place = |key: &PublishedKey| {
        let budget = key.budget.unwrap_or(0);
        (key.table, key.dataset.clone(), key.split.clone(), key.method.clone(), budget)
    };
    let mut found: Vec<(_, Vec<&PublishedResult>)> = Vec::new();
    for result in results.iter().filter(|result| result.metric == "accuracy") {
        let place = place(&result.key);
        match found.iter_mut().find(|(known, _)| *known == place) {
            Some((_, members)) => members.push(result),
            None => found.push((place, vec![result])),
        }
    }
    let mut columns = Vec::new();
    for ((table, dataset, split, method, budget), members) in found {
        let of = splits.iter().find(|row| row.dataset == dataset && row.budget == budget);
        let Some(n_table) = of.and_then(|row| match split.as_str() {
            "id" => row.id_test,
            "ood" => row.ood_test,
            _ => row.test,
        }) else {
            continue;
        };
        let printed: Vec<&str> = members.iter().map(|result| result.printed.as_str()).collect();
        let fits = denominators(&printed, (13 * n_table / 10).max(2000))?;
        let multiple = fits.iter().find(|fit| **fit % n_table == 0);
        let (n, counted) = match (multiple, fits.first()) {
            (Some(&fit), _) if fit == n_table => (n_table, Counted::AsInTable),
            (Some(&fit), _) => (n_table, Counted::Runs(fit / n_table)),
            (None, Some(&fit)) => (fit, Counted::Otherwise),
            (None, None) => (n_table, Counted::Unexplained),
        };
        let accuracies = members.iter().map(|result| (result.key.model.clone(), result.value)).collect();
        columns.push(Column { table, dataset, split, method, budget, n, n_table, counted, fits, accuracies });
    }
    Ok(columns)
}

/// [`all_columns`] but for the probes that are printed a second time, beside fine-tuning: every accuracy once.
///
/// # Errors
/// As [`all_columns`].
pub fn columns(results: &[PublishedResult], splits: &[PublishedSplit]) -> Result<Vec<Column>> {
    let again = |column: &Column| column.table == PublishedTable::GeneralFinetune && column.method != "finetune";
    Ok(all_columns(results, splits)?.into_iter().filter(|column| !again(column)).collect())
}

/// Neighbours in the order of a column: the better, the worse, and how surely they differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours<'a> {
    /// The one above.
    pub better: &'a str,
    /// The one below.
    pub worse: &'a str,
    /// How surely they differ.
    pub p: SameImages,
}

/// Every pair of neighbours in the order of a column.
///
/// # Errors
/// As [`Column::interval`].
pub fn neighbours(column: &Column) -> Result<Vec<Neighbours<'_>>> {
    let ranked = column.ranked();
    ranked
        .windows(2)
        .map(|pair| Ok(Neighbours { better: pair[0].0, worse: pair[1].0, p: column.apart(pair[0].1, pair[1].1)? }))
        .collect()
}
