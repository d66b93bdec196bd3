//! C chosen on validation images, then a fit on training and validation images together: the linear probe of CLIP
//! (Radford et al. 2021, appendix A.3) and of DINOv2 (Oquab et al. 2023, its `eval/log_regression.py`).
//!
//! Fits are solved in the coordinates of standardised columns, with the penalty on the weights of columns as they come
//! ([`LogisticParams::conditioned`]): the minimum is the same, and features of unlike scale no longer take a thousand steps.
//! Fits go from strong to weak penalty, each from where the last ended. Of equal validation accuracies the strongest
//! penalty wins, as in DINOv2's loop.

use super::logistic::{Logistic, LogisticParams};
use super::{Labelled, check_labelled};
use crate::error::{Error, Result};
use crate::metrics::accuracy;
use crate::neighbours::check_width;
use linfa::DatasetBase;
use ndarray::{Array1, Axis, concatenate};
use std::collections::BTreeMap;

/// Which values of C are tried.
#[derive(Debug, Clone, PartialEq)]
enum Grid {
    /// All of them.
    Every(Vec<f64>),
    /// Every `stride`-th first, then around the best with half the stride, and so on.
    CoarseToFine(Vec<f64>, usize),
}

/// Parameters of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct CSweep {
    grid: Grid,
    params: LogisticParams,
}

/// One value of C that was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// Inverse penalty.
    pub c: f64,
    /// Accuracy on the validation images.
    pub val_accuracy: f64,
    /// L-BFGS iterations of this fit.
    pub iterations: usize,
    /// Whether it reached its tolerance.
    pub converged: bool,
}

/// What a sweep gives.
#[derive(Debug, Clone)]
pub struct Swept {
    /// Every value tried, ascending in C.
    pub tried: Vec<Tried>,
    /// The chosen C.
    pub c: f64,
    /// Fitted on the training images alone, with the chosen C.
    pub on_train: Logistic,
    /// Fitted on training and validation images, with the chosen C.
    pub refit: Logistic,
}

impl CSweep {
    /// The given values of C, all of them.
    ///
    /// # Errors
    /// No value, or one that is not finite and above 0.
    pub fn over(cs: &[f64]) -> Result<CSweep> {
        if let Some(c) = cs.iter().find(|c| !(**c > 0.0 && c.is_finite())) {
            return Err(Error::argument("C", "finite numbers above 0", c.to_string()));
        }
        if cs.is_empty() {
            return Err(Error::argument("C", "at least one value", "none"));
        }
        let mut cs = cs.to_vec();
        cs.sort_by(f64::total_cmp);
        cs.dedup();
        Ok(CSweep { grid: Grid::Every(cs), params: to_tolerance() })
    }

    /// DINOv2's 45 values, 1e-6 to 1e5 in equal steps of the logarithm.
    pub fn dinov2() -> CSweep {
        CSweep { grid: Grid::Every(powers(-6.0, 5.0, 45)), params: to_tolerance() }
    }

    /// CLIP's 97 values, 1e-6 to 1e6 with eight a decade, searched as there: every sixteenth first (two decades apart),
    /// then the neighbourhood of the best at half the distance, down to the grid.
    pub fn clip() -> CSweep {
        CSweep { grid: Grid::CoarseToFine(powers(-6.0, 6.0, 97), 16), params: to_tolerance() }
    }

    /// Everything but C for the fits: tolerance, iterations, class weights, standardisation.
    pub fn params(self, params: LogisticParams) -> CSweep {
        CSweep { params, ..self }
    }

    /// Tries the grid on `train` and `val`, and fits again on both.
    ///
    /// # Errors
    /// As the fits; a validation part of another width; validation labels may hold classes that training does not
    /// (they count as missed).
    pub fn fit(&self, train: &Labelled, val: &Labelled) -> Result<Swept> {
        check_labelled(train)?;
        check_labelled(val)?;
        check_width(train.records.ncols(), val.records.view())?;
        let mut search = Search { params: &self.params, train, val, done: BTreeMap::new() };
        match &self.grid {
            Grid::Every(cs) => cs.iter().try_for_each(|&c| search.attempt(c))?,
            Grid::CoarseToFine(cs, stride) => {
                let mut stride = *stride;
                let mut open: Vec<usize> = (0..cs.len()).step_by(stride).collect();
                loop {
                    open.iter().try_for_each(|&i| search.attempt(cs[i]))?;
                    if stride == 1 {
                        break;
                    }
                    stride /= 2;
                    let best = search.best()?.0;
                    let centre = cs.iter().position(|&c| c == best).unwrap_or(0);
                    open = [centre.checked_sub(stride), Some(centre + stride)].into_iter().flatten().collect();
                    open.retain(|&i| i < cs.len());
                }
            }
        }
        let (c, on_train) = search.best()?;
        let on_train = on_train.clone();
        let features = concatenate(Axis(0), &[train.records.view(), val.records.view()]);
        let features =
            features.map_err(|error| Error::argument("val", "features as wide as train's", error.to_string()))?;
        let labels: Array1<u32> = train.targets.iter().chain(&val.targets).copied().collect();
        let both: Labelled = DatasetBase::new(features.into_shared(), labels);
        let refit = self.params.clone().c(c).fit_from(&both, Some(&on_train))?;
        Ok(Swept { tried: search.done.into_values().map(|(tried, _)| tried).collect(), c, on_train, refit })
    }
}

/// The fits done so far, by the bits of their C, which for positive numbers ascend as they do.
struct Search<'a> {
    params: &'a LogisticParams,
    train: &'a Labelled,
    val: &'a Labelled,
    done: BTreeMap<u64, (Tried, Logistic)>,
}

impl Search<'_> {
    fn attempt(&mut self, c: f64) -> Result<()> {
        if self.done.contains_key(&c.to_bits()) {
            return Ok(());
        }
        let weaker = self.done.range(..c.to_bits()).next_back().map(|(_, (_, model))| model);
        let model = self.params.clone().c(c).fit_from(self.train, weaker)?;
        let predicted = model.try_predict(self.val.records.view())?;
        let val_accuracy = accuracy(&predicted.to_vec(), &self.val.targets.to_vec())?;
        let tried = Tried { c, val_accuracy, iterations: model.iterations, converged: model.converged };
        self.done.insert(c.to_bits(), (tried, model));
        Ok(())
    }

    /// The best so far; the smallest C of equals.
    fn best(&self) -> Result<(f64, &Logistic)> {
        let better = |a: &Tried, b: &Tried| a.val_accuracy > b.val_accuracy;
        let best = self.done.values().reduce(|best, next| if better(&next.0, &best.0) { next } else { best });
        best.map(|(tried, model)| (tried.c, model)).ok_or_else(|| Error::argument("C", "at least one value", "none"))
    }
}

/// Both protocols stop late: 1000 iterations.
fn to_tolerance() -> LogisticParams {
    Logistic::params(1.0).max_iterations(1000).conditioned()
}

/// `n` powers of ten with exponents from `low` to `high` in equal steps.
fn powers(low: f64, high: f64, n: usize) -> Vec<f64> {
    (0..n).map(|i| 10f64.powf(low + (high - low) * i as f64 / (n - 1) as f64)).collect()
}
