//! Prediction: the one place where a method's name meets the code that does it.
//!
//! To add a probe: its name and label in [`Method`], and here its settings, its fit and what it costs.

use super::{Encoded, Parts};
use crate::error::{Error, Result};
use crate::features::none_apart;
use crate::manifest::Method;
use crate::probe::knn::{Knn, KnnParams};
use crate::probe::{Labelled, labelled, logistic::Logistic, sweep::CSweep};
use linfa::traits::Fit;
use ndarray::{ArrayView2, Axis};

/// Neighbours that vote in the study.
pub(crate) const NEIGHBOURS: usize = 5;

/// Predictions of one fitted probe.
#[derive(Debug, Clone)]
pub struct Predictions {
    /// Predicted classes of [`Parts::test`].
    pub test: Vec<u32>,
    /// Predicted classes of [`Parts::ood`].
    pub ood: Vec<u32>,
    /// What a reader must know; empty where there is nothing.
    pub warning: String,
}

/// Classes for features `(N, D)`.
type Classify = Box<dyn Fn(ArrayView2<f32>) -> Result<Vec<u32>> + Sync>;

/// A probe that was fitted.
pub(super) struct Fitted {
    pub classify: Classify,
    /// The regression behind it, for methods that have probabilities.
    pub logistic: Option<Logistic>,
    /// Whether it learned from the validation images too.
    pub from_val: bool,
    pub warning: String,
}

/// What the numbers of a method depend on beside features and parts.
pub(super) fn settings(method: Method) -> &'static str {
    match method {
        Method::Knn => "k 5, Euclidean, uniform votes",
        Method::KnnDino => "k 20, cosine, votes of temperature 0.07",
        Method::Lr => "C 1",
        Method::LrStandardised => "C 1, standardised",
        Method::LrSweep => "C of DINOv2's 45 by val, then train and val, both counted; solved conditioned",
        // What is asked is added, see `words`.
        Method::ZeroShot | Method::ZeroShotEnsemble => "by words",
    }
}

/// How many images a method learns from: the training images, and where the last fit is on both, the validation images.
pub(super) fn n_fitted(method: &str, parts: &Parts) -> usize {
    match Method::known(method) {
        Ok(Method::LrSweep) => parts.train.len() + parts.val.len(),
        Ok(method) if method.asks_by_words() => 0,
        _ => parts.train.len(),
    }
}

/// Multiply-adds of a fit on `train` images and predictions for the rest of `n`, for the time that progress says is left.
pub(super) fn multiply_adds(method: Method, train: usize, n: usize, dim: usize, classes: usize) -> f64 {
    match method {
        // Some 45 evaluations of two products each.
        Method::Lr | Method::LrStandardised => 90.0 * (train * dim * classes) as f64,
        Method::LrSweep => 900.0 * (train * dim * classes) as f64,
        // In bytes, where the processor can; and all at least are read.
        Method::Knn | Method::KnnDino => 0.25 * (train * n * dim) as f64,
        Method::ZeroShot | Method::ZeroShotEnsemble => (classes * n * dim) as f64,
    }
}

/// Fits a probe on `train`; one that makes a choice makes it on `val`.
///
/// # Errors
/// What the probe says; a method that is fitted on nothing.
pub(super) fn fit(method: Method, train: &Labelled, val: impl FnOnce() -> Result<Labelled>) -> Result<Fitted> {
    let n_train = train.records().nrows();
    let knn = |params: KnnParams| -> Result<Fitted> {
        let model = params.fit(train)?;
        let classify = move |features: ArrayView2<f32>| Ok(model.try_predict(features)?.to_vec());
        Ok(Fitted { classify: Box::new(classify), logistic: None, from_val: false, warning: String::new() })
    };
    let lr = |model: Logistic| {
        let (warning, logistic) = (model.warning(), Some(model.clone()));
        let classify = move |features: ArrayView2<f32>| Ok(model.try_predict(features)?.to_vec());
        Fitted { classify: Box::new(classify), logistic, from_val: false, warning }
    };
    match method {
        Method::Knn => knn(Knn::params(NEIGHBOURS)),
        Method::KnnDino => knn(Knn::dino().k(20.min(n_train))),
        Method::Lr => Ok(lr(Logistic::params(1.0).fit(train)?)),
        Method::LrStandardised => Ok(lr(Logistic::params(1.0).standardise(true).fit(train)?)),
        Method::LrSweep => {
            let swept = CSweep::dinov2().fit(train, &val()?)?;
            Ok(Fitted { from_val: true, ..lr(swept.refit) })
        }
        Method::ZeroShot | Method::ZeroShotEnsemble => {
            let expected = "a method that is fitted; classes are asked for by words with `Words`";
            Err(Error::argument("method", expected, method.as_str()))
        }
    }
}

impl Encoded {
    /// Fits one probe on the training images of `parts` and predicts the others, with the study's settings.
    ///
    /// # Errors
    /// What the probe says; a method that asks by words ([`super::Words::predict`] does that).
    pub fn predict(&self, method: Method, parts: &Parts) -> Result<Predictions> {
        let fitted = self.fit(method, parts)?;
        Ok(Predictions {
            test: self.classify(&fitted, &parts.test)?,
            ood: self.classify(&fitted, &parts.ood)?,
            warning: fitted.warning,
        })
    }

    /// Fits one probe on the training images of `parts`.
    pub(super) fn fit(&self, method: Method, parts: &Parts) -> Result<Fitted> {
        self.check_enough(method, parts)?;
        let features = self.chosen()?;
        let part = |positions: &[usize]| labelled(features.select(Axis(0), positions), self.labels_at(positions));
        let train = part(&parts.train)?;
        let mut fitted = fit(method, &train, || part(&parts.val))?;
        if none_apart(train.records().view()) {
            let more = if fitted.warning.is_empty() { "" } else { "; " };
            fitted.warning = format!("all training images have the same features{more}{}", fitted.warning);
        }
        Ok(fitted)
    }

    /// The classes of the images at `positions`; none for none.
    pub(super) fn classify(&self, fitted: &Fitted, positions: &[usize]) -> Result<Vec<u32>> {
        match positions.is_empty() {
            true => Ok(Vec::new()),
            false => (fitted.classify)(self.chosen()?.select(Axis(0), positions).view()),
        }
    }

    /// Holds the number of training images against what a method votes on.
    fn check_enough(&self, method: Method, parts: &Parts) -> Result<()> {
        let n = parts.train.len();
        if method != Method::Knn || n >= NEIGHBOURS {
            return Ok(());
        }
        let counts = self.set.class_counts();
        let smallest = (0..counts.len()).min_by_key(|&class| counts[class]).unwrap_or(0);
        let expected = format!(
            "at least {NEIGHBOURS} in {} for `{}`, which votes among so many; add images, take a larger budget, or leave \
             the method out of the suite",
            self.set.id,
            method.as_str()
        );
        let found = format!(
            "{n} at a label budget of {}; the smallest class, `{}`, has {} images",
            parts.budget, self.set.classes[smallest], counts[smallest]
        );
        Err(Error::argument("training images", expected, found))
    }

    /// The `k` nearest training images of each test image in `queries` (positions in the feature table), nearest
    /// first: what kNN votes on.
    ///
    /// # Errors
    /// As for kNN.
    pub fn nearest(&self, parts: &Parts, queries: &[usize], k: usize) -> Result<Vec<Vec<usize>>> {
        let features = self.chosen()?;
        let train = labelled(features.select(Axis(0), &parts.train), self.labels_at(&parts.train))?;
        let neighbours = Knn::params(k).fit(&train)?.neighbours(features.select(Axis(0), queries).view())?;
        Ok(neighbours.rows.rows().into_iter().map(|rows| rows.iter().map(|&i| parts.train[i]).collect()).collect())
    }
}
