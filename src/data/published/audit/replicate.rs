//! A second run, worked out: the study repeats its runs on Flowers102 and prints their mean, and in another table one of them alone.

use super::EFFICIENTNETS;
use super::columns::Column;
use crate::error::{Error, Result};
use crate::published::PublishedTable;

/// Two runs of the same probe on Flowers102.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoRuns {
    /// The study's name of the model.
    pub model: String,
    /// The run that is printed alone.
    pub first: f64,
    /// The other: twice the mean, less the first.
    pub second: f64,
}

/// The runs of all models with a probe, and how far runs lie apart, EfficientNets left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Replicate {
    /// `knn` or `lr`.
    pub method: String,
    /// The models of the second table, in its order.
    pub runs: Vec<TwoRuns>,
    /// The mean of first less second.
    pub shift: f64,
    /// The standard deviation of one run: the root mean square of the differences, by the root of 2.
    pub deviation: f64,
    /// The same as test images alone would give it.
    pub of_images: f64,
}

/// The second runs of a method; that both means are of the same test images is not known.
///
/// # Errors
/// [`Error::Argument`] where either table lacks the method.
pub fn replicate(all: &[Column], method: &str) -> Result<Replicate> {
    let find = |table: PublishedTable| {
        let wanted = |column: &&Column| column.table == table && column.is("flowers102", "test", method, 10);
        let missing = || Error::argument("columns", format!("Flowers102 with {method}"), table.as_str().to_string());
        all.iter().find(wanted).ok_or_else(missing)
    };
    let (alone, mean) = (find(PublishedTable::GeneralProbe)?, find(PublishedTable::GeneralFinetune)?);
    let runs = mean.accuracies.iter().filter_map(|(model, mean)| {
        let first = alone.of(model)?;
        Some(TwoRuns { model: model.clone(), first, second: 2.0 * mean - first })
    });
    let runs: Vec<TwoRuns> = runs.collect();
    let counted: Vec<&TwoRuns> = runs.iter().filter(|run| !EFFICIENTNETS.contains(&run.model.as_str())).collect();
    let n = counted.len() as f64;
    let average = |of: &dyn Fn(&TwoRuns) -> f64| counted.iter().map(|run| of(run)).sum::<f64>() / n;
    // Two tests of as many images each differ by twice the variance of one.
    let variance = |run: &TwoRuns| {
        let mean = (run.first + run.second) / 2.0;
        mean * (1.0 - mean) / alone.n as f64
    };
    Ok(Replicate {
        method: method.into(),
        shift: average(&|run| run.first - run.second),
        deviation: (average(&|run| (run.first - run.second).powi(2)) / 2.0).sqrt(),
        of_images: average(&variance).sqrt(),
        runs,
    })
}
