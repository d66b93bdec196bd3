//! Class probabilities of images from probes that have not seen them.

use super::folds::group_folds;
use crate::error::{Error, Result};
use crate::neighbours::check_features;
use crate::probe::logistic::LogisticParams;
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// What [`out_of_fold`] gives.
#[derive(Debug, Clone)]
pub struct OutOfFold {
    /// `(N, K)`: each row from the probe of its own fold; rows sum to 1.
    pub probabilities: Array2<f64>,
    /// The fold of each image, from 0.
    pub folds: Vec<usize>,
    /// For each fold what a reader must know of its fit ([`crate::probe::logistic::Logistic::warning`]); mostly empty.
    pub warnings: Vec<String>,
}

/// Probabilities of the classes `0..n_classes` for every image, from logistic regressions that were fitted on the other
/// folds: none has seen the image or another of its group ([`group_folds`]).
///
/// `features` are `(N, D)`; `labels` and `groups` have one entry an image (without groups, give each image a number of
/// its own). A class that the other folds lack has probability 0; where they have but one class, that has probability
/// 1.
///
/// # Errors
/// As [`group_folds`] and the fit; features that are empty, not finite or not one row a label.
///
/// ```
/// use ndarray::array;
/// use wider_clip::{probe::logistic::Logistic, soundness::out_of_fold};
///
/// let features = array![[-2.0], [-1.5], [-1.0], [1.0], [1.5], [2.0]];
/// let (labels, groups) = ([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5]);
/// let found = out_of_fold(&Logistic::params(1.0), features.view(), &labels, &groups, 2, 3, 0)?;
/// assert!(found.probabilities[[0, 0]] > 0.5 && found.probabilities[[5, 1]] > 0.5);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn out_of_fold<G: Ord>(
    probe: &LogisticParams,
    features: ArrayView2<f32>,
    labels: &[u32],
    groups: &[G],
    n_classes: usize,
    n_folds: usize,
    seed: u64,
) -> Result<OutOfFold> {
    check_features("features", features)?;
    if labels.len() != features.nrows() {
        let expected = format!("{}, one a row of features", features.nrows());
        return Err(Error::argument("labels", expected, labels.len().to_string()));
    }
    let folds = group_folds(labels, groups, n_classes, n_folds, seed)?;
    let mut probabilities = Array2::zeros((labels.len(), n_classes));
    let mut warnings = Vec::with_capacity(n_folds);
    for fold in 0..n_folds {
        let (held, others): (Vec<usize>, Vec<usize>) = (0..labels.len()).partition(|&image| folds[image] == fold);
        let targets: Array1<u32> = others.iter().map(|&image| labels[image]).collect();
        if targets.iter().all(|&label| label == targets[0]) {
            held.iter().for_each(|&image| probabilities[[image, targets[0] as usize]] = 1.0);
            warnings.push(format!("one class only, {}, in the other folds", targets[0]));
            continue;
        }
        let train = DatasetBase::new(features.select(Axis(0), &others).into_shared(), targets);
        let model = probe.fit(&train)?;
        let found = model.probabilities(features.select(Axis(0), &held).view())?;
        for (&image, row) in held.iter().zip(found.rows()) {
            for (&class, &value) in model.classes().iter().zip(row) {
                probabilities[[image, class as usize]] = value;
            }
        }
        warnings.push(model.warning());
    }
    Ok(OutOfFold { probabilities, folds, warnings })
}
