//! Probes: simple classifiers on frozen features, which is how the study measures a representation.
//!
//! The vocabulary is linfa's: parameters are checked once by [`linfa::traits::Fit`], which gives a fitted model with
//! [`linfa::traits::Predict`]. Features are rows of an `(N, D)` array of f32, labels class numbers: any u32, as they are names and
//! not places in a list.
//!
//! | probe | the study's setting |
//! |---|---|
//! | [`knn::Knn`] | 5 neighbours, Euclidean distance, one vote each |
//! | [`logistic::Logistic`] | L2 penalty with C = 1, at most 100 L-BFGS iterations |
//! | [`sweep::CSweep`] | none: C chosen on validation images, a protocol of CLIP and DINOv2 |
//! | [`zero_shot::ZeroShot`] | none: class weights from CLIP's text features, no training images |

pub mod knn;
mod lbfgs;
pub mod logistic;
mod softmax;
pub mod standardise;
pub mod sweep;
pub mod zero_shot;

use crate::error::{Error, Result};
use crate::neighbours::check_features;
use linfa::DatasetBase;
use ndarray::{ArcArray2, Array1, Array2};

/// Features with their labels, as linfa wants them; the features are shared, so that a fitted model can keep them.
pub type Labelled = DatasetBase<ArcArray2<f32>, Array1<u32>>;

/// Puts features `(N, D)` and `N` labels together.
///
/// # Errors
/// Lengths that differ, no row, no column, or a feature that is not finite (named by row and column).
pub fn labelled(features: Array2<f32>, labels: Vec<u32>) -> Result<Labelled> {
    let data = DatasetBase::new(features.into_shared(), Array1::from(labels));
    check_labelled(&data)?;
    Ok(data)
}

/// What [`labelled`] checks; each fit does so again, as linfa's own constructors check nothing.
pub(crate) fn check_labelled(data: &Labelled) -> Result<()> {
    let (n, found) = (data.records.nrows(), data.targets.len());
    if n != found {
        return Err(Error::argument("labels", format!("{n} labels"), found.to_string()));
    }
    check_features("features", data.records.view())
}

/// The classes that have images, ascending.
pub(crate) fn classes_of(data: &Labelled) -> Vec<u32> {
    let mut classes = data.targets.to_vec();
    classes.sort_unstable();
    classes.dedup();
    classes
}
