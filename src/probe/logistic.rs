//! Multinomial logistic regression with an L2 penalty, scikit-learn's objective:
//! mean cross-entropy + |W|^2 / (2 C n), the intercept free of penalty; two classes share one weight vector.
//!
//! linfa-logistic minimises another objective and takes 27 to 54 times as long as scikit-learn on 768 features, so
//! the solver is ours: products in f32 through gemm, sums and L-BFGS in f64. Where rounding stops that short of the tolerance
//! (large features, tight tolerances) the fit goes on with products in f64. The study's arm stops as scikit-learn does by
//! default (largest gradient entry 1e-4, 100 iterations); a fit that stopped earlier says so in [`Logistic::converged`].

use super::product::{Real, multiply};
use super::{Labelled, check_features, check_width, lbfgs};
use crate::error::{Error, Result};
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Parameters of a logistic regression.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticParams {
    c: f64,
    tolerance: f64,
    max_iterations: usize,
}

/// A fitted logistic regression.
#[derive(Debug, Clone)]
pub struct Logistic {
    /// Class numbers in the order of the columns of `weights`.
    classes: Vec<u32>,
    /// `(D, K)`, or `(D, 1)` for two classes.
    weights: Array2<f32>,
    /// `K` or 1.
    intercepts: Array1<f32>,
    /// Value of the objective at the end.
    pub objective: f64,
    /// Largest absolute gradient entry at the end.
    pub gradient_norm: f64,
    /// L-BFGS iterations taken.
    pub iterations: usize,
    /// Whether the gradient fell below the tolerance.
    pub converged: bool,
}

impl LogisticParams {
    /// Stops when the largest gradient entry is `tolerance` (above 0).
    pub fn tolerance(self, tolerance: f64) -> Self {
        LogisticParams { tolerance, ..self }
    }

    /// Stops after so many iterations at the latest.
    pub fn max_iterations(self, max_iterations: usize) -> Self {
        LogisticParams { max_iterations, ..self }
    }

    fn check(&self) -> Result<()> {
        for (what, value) in [("C", self.c), ("tolerance", self.tolerance)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::argument(what, "a finite number above 0", value.to_string()));
            }
        }
        Ok(())
    }
}

impl Logistic {
    /// The study's regression: inverse penalty `c` (the study: 1), tolerance 1e-4, 100 iterations.
    ///
    /// ```
    /// use linfa::prelude::*;
    /// use ndarray::array;
    /// use wider_clip::probe::{labelled, logistic::Logistic};
    ///
    /// let train = labelled(array![[-2.0], [-1.0], [1.0], [2.0]], vec![0, 0, 1, 1])?;
    /// let model = Logistic::params(1.0).fit(&train)?;
    /// assert_eq!(model.predict(&array![[-0.5], [3.0]]).to_vec(), [0, 1]);
    /// assert!(model.converged);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn params(c: f64) -> LogisticParams {
        LogisticParams { c, tolerance: 1e-4, max_iterations: 100 }
    }

    /// Class probabilities `(Q, K)`; the columns stand for [`Logistic::classes`].
    ///
    /// # Errors
    /// Queries of another width, or not finite.
    pub fn probabilities(&self, queries: ArrayView2<f32>) -> Result<Array2<f64>> {
        let logits = self.logits(queries)?;
        if self.classes.len() == 2 {
            let second = logits.column(0).mapv(sigmoid);
            return Ok(Array2::from_shape_fn((second.len(), 2), |(q, k)| [1.0 - second[q], second[q]][k]));
        }
        let mut probabilities = logits;
        for mut row in probabilities.rows_mut() {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.mapv_inplace(|logit| (logit - largest).exp());
            let sum = row.sum();
            row.mapv_inplace(|value| value / sum);
        }
        Ok(probabilities)
    }

    /// Class numbers in the order of the probability columns; a class without training images is not among them.
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// Classes of `queries`; unlike [`linfa::traits::Predict`], bad input is an error and not a panic.
    pub fn try_predict(&self, queries: ArrayView2<f32>) -> Result<Array1<u32>> {
        let logits = self.logits(queries)?;
        Ok(logits.map_axis(Axis(1), |row| {
            let best = match row.len() {
                1 => usize::from(row[0] > 0.0),
                _ => row.iter().enumerate().fold(0, |best, (k, logit)| if *logit > row[best] { k } else { best }),
            };
            self.classes[best]
        }))
    }

    fn logits(&self, queries: ArrayView2<f32>) -> Result<Array2<f64>> {
        check_features("queries", queries)?;
        check_width(self.weights.nrows(), queries)?;
        let mut products = Array2::<f32>::zeros((queries.nrows(), self.weights.ncols()));
        multiply(queries, self.weights.view(), products.view_mut());
        let intercepts = self.intercepts.mapv(f64::from);
        Ok(products.mapv(f64::from) + &intercepts)
    }
}

impl Fit<Array2<f32>, Array1<u32>, Error> for LogisticParams {
    type Object = Logistic;

    /// # Errors
    /// Fewer than two classes, features that are empty or not finite, or parameters out of range. Not converging is
    /// no error: see [`Logistic::converged`].
    fn fit(&self, data: &Labelled) -> Result<Logistic> {
        self.check()?;
        check_features("features", data.records.view())?;
        let mut classes = data.targets.to_vec();
        classes.sort_unstable();
        classes.dedup();
        if classes.len() < 2 {
            return Err(Error::argument("labels", "at least two classes", format!("{} ({classes:?})", classes.len())));
        }
        let mut problem = Problem::new(data.records.view(), data, &classes, self.c);
        let stop = lbfgs::Stop { tolerance: self.tolerance, max_iterations: self.max_iterations };
        let start = vec![0.0; (problem.d + 1) * problem.columns];
        let mut end = lbfgs::minimise(|x, gradient| problem.evaluate(x, gradient), start, stop);
        if !end.converged && end.iterations < self.max_iterations {
            let features = data.records.mapv(f64::from);
            let mut problem = Problem::new(features.view(), data, &classes, self.c);
            let left = lbfgs::Stop { max_iterations: self.max_iterations - end.iterations, ..stop };
            let before = end.iterations;
            end = lbfgs::minimise(|x, gradient| problem.evaluate(x, gradient), end.x, left);
            end.iterations += before;
        }
        let (weights, intercepts) = problem.unpack(&end.x);
        Ok(Logistic {
            classes,
            weights,
            intercepts: intercepts.iter().map(|&value| value as f32).collect(),
            objective: end.value,
            gradient_norm: end.gradient_norm,
            iterations: end.iterations,
            converged: end.converged,
        })
    }
}

impl PredictInplace<Array2<f32>, Array1<u32>> for Logistic {
    fn predict_inplace(&self, queries: &Array2<f32>, classes: &mut Array1<u32>) {
        match self.try_predict(queries.view()) {
            Ok(predicted) => classes.assign(&predicted),
            Err(error) => panic!("{error}"),
        }
    }

    fn default_target(&self, queries: &Array2<f32>) -> Array1<u32> {
        Array1::zeros(queries.nrows())
    }
}

/// The objective over one vector: weights `(D, columns)` row by row, then the intercepts.
struct Problem<'a, T> {
    features: ArrayView2<'a, T>,
    /// Position of each image's class among the classes.
    targets: Vec<usize>,
    penalty: f64,
    d: usize,
    columns: usize,
    logits: Array2<T>,
    slope: Array2<T>,
}

impl<'a, T: Real> Problem<'a, T> {
    fn new(features: ArrayView2<'a, T>, data: &Labelled, classes: &[u32], c: f64) -> Self {
        let (n, d) = features.dim();
        let columns = if classes.len() == 2 { 1 } else { classes.len() };
        let targets = data.targets.iter().map(|label| classes.partition_point(|class| class < label)).collect();
        let logits = Array2::default((n, columns));
        let slope = Array2::default((d, columns));
        Problem { features, targets, penalty: 1.0 / (c * n as f64), d, columns, logits, slope }
    }

    fn unpack<'x>(&self, x: &'x [f64]) -> (Array2<T>, &'x [f64]) {
        let (weights, intercepts) = x.split_at(self.d * self.columns);
        let at = |(i, k)| T::from_f64(weights[i * self.columns + k]);
        (Array2::from_shape_fn((self.d, self.columns), at), intercepts)
    }

    /// Value at `x`; fills `gradient`.
    fn evaluate(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let n = self.targets.len() as f64;
        let split = self.d * self.columns;
        let (weights, intercepts) = self.unpack(x);
        multiply(self.features, weights.view(), self.logits.view_mut());
        let (of_weights, of_intercepts) = gradient.split_at_mut(split);
        of_intercepts.fill(0.0);
        let mut loss = 0.0;
        for (mut row, &target) in self.logits.rows_mut().into_iter().zip(&self.targets) {
            loss += match self.columns {
                1 => binary_row(&mut row, intercepts[0], target),
                _ => softmax_row(&mut row, intercepts, target),
            };
            of_intercepts.iter_mut().zip(&row).for_each(|(sum, &residual)| *sum += residual.to_f64() / n);
        }
        multiply(self.features.t(), self.logits.view(), self.slope.view_mut());
        for ((out, &slope), &weight) in of_weights.iter_mut().zip(&self.slope).zip(x) {
            *out = slope.to_f64() / n + self.penalty * weight;
        }
        let squares: f64 = x[..split].iter().map(|weight| weight * weight).sum();
        loss / n + 0.5 * self.penalty * squares
    }
}

/// Cross-entropy of one image over K classes; turns its logits into probability minus target.
fn softmax_row<T: Real>(row: &mut ndarray::ArrayViewMut1<T>, intercepts: &[f64], target: usize) -> f64 {
    let logit = |k: usize, value: T| value.to_f64() + intercepts[k];
    let largest = row.iter().enumerate().map(|(k, &value)| logit(k, value)).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().enumerate().map(|(k, &value)| (logit(k, value) - largest).exp()).sum();
    let loss = sum.ln() + largest - logit(target, row[target]);
    for (k, value) in row.iter_mut().enumerate() {
        let probability = (logit(k, *value) - largest).exp() / sum;
        *value = T::from_f64(probability - f64::from(u8::from(k == target)));
    }
    loss
}

/// The same for two classes, whose one logit speaks for the second.
fn binary_row<T: Real>(row: &mut ndarray::ArrayViewMut1<T>, intercept: f64, target: usize) -> f64 {
    let logit = row[0].to_f64() + intercept;
    let loss = logit.max(0.0) + (-logit.abs()).exp().ln_1p() - target as f64 * logit;
    row[0] = T::from_f64(sigmoid(logit) - target as f64);
    loss
}

fn sigmoid(logit: f64) -> f64 {
    if logit >= 0.0 { 1.0 / (1.0 + (-logit).exp()) } else { logit.exp() / (1.0 + logit.exp()) }
}
