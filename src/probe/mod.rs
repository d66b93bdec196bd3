//! Probes: simple classifiers on frozen features, which is how the study measures a representation.
//!
//! The vocabulary is linfa's: parameters are checked once by [`linfa::traits::Fit`], which gives a fitted model with
//! [`linfa::traits::Predict`]. Features are rows of an `(N, D)` array of f32, labels class numbers from 0.
//!
//! | probe | the study's setting |
//! |---|---|
//! | [`knn::Knn`] | 5 neighbours, Euclidean distance, one vote each |
//! | [`logistic::Logistic`] | L2 penalty with C = 1, at most 100 L-BFGS iterations |

pub mod knn;
mod lbfgs;
pub mod logistic;
mod product;

use crate::error::{Error, Result};
use linfa::DatasetBase;
use ndarray::{Array1, Array2, ArrayView2};

/// Features with their labels, as linfa wants them.
pub type Labelled = DatasetBase<Array2<f32>, Array1<u32>>;

/// Puts features `(N, D)` and `N` labels together.
///
/// # Errors
/// Lengths that differ, no row, no column, or a feature that is not finite (named by row and column).
pub fn labelled(features: Array2<f32>, labels: Vec<u32>) -> Result<Labelled> {
    if features.nrows() != labels.len() {
        return Err(Error::argument("labels", format!("{} labels", features.nrows()), labels.len().to_string()));
    }
    check_features("features", features.view())?;
    Ok(DatasetBase::new(features, Array1::from(labels)))
}

/// Rejects empty arrays and values that are not finite, naming the first.
fn check_features(what: &'static str, features: ArrayView2<f32>) -> Result<()> {
    if features.is_empty() {
        return Err(Error::argument(what, "at least one row and one column", format!("shape {:?}", features.shape())));
    }
    if let Some(((row, column), value)) = features.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(Error::argument(what, "finite values", format!("{value} in row {row}, column {column}")));
    }
    Ok(())
}

/// Rejects queries whose width differs from what a model was fitted on.
fn check_width(fitted: usize, queries: ArrayView2<f32>) -> Result<()> {
    if queries.ncols() != fitted {
        return Err(Error::argument("features", format!("{fitted} columns as fitted"), queries.ncols().to_string()));
    }
    Ok(())
}
