//! Multinomial logistic regression with an L2 penalty, on scikit-learn's objective (see `softmax.rs`).
//!
//! linfa-logistic was measured first (768-d features, two cores): 2.7 s where scikit-learn takes 0.10 s (1081 images, 47
//! classes), 10.9 s against 0.20 s (2812 images, 38 classes), and it ends elsewhere; so the solver is ours: products in
//! f32 through gemm, sums and L-BFGS in f64. Where rounding stops that short of the tolerance (large features, tight
//! tolerances) the fit goes on with products in f64. The study's arm stops as scikit-learn does by default (largest
//! gradient entry 1e-4, 100 iterations); a fit that stopped earlier says so in [`Logistic::converged`].
//!
//! A gradient may be small and the minimum far: where columns lie far from 0 next to their spread (all around 2000, say),
//! a step in a weight is nearly undone by one in the intercept, and scikit-learn's criterion is met long before the end.
//! So the gradient is also looked at along the standardised columns, where a bound on the curvature tells how much one
//! more step would surely gain ([`Logistic::certain_gain`]).

use super::softmax::{Problem, sigmoid};
use super::{Labelled, check_labelled, classes_of, lbfgs};
use crate::error::{Error, Result};
use crate::neighbours::{check_features, check_width};
use crate::probe::standardise::Standardiser;
use crate::products::{Threads, multiply};
use crate::scale::{largest, unit};
use linfa::traits::{Fit, PredictInplace};
use ndarray::{ArcArray2, Array1, Array2, ArrayView1, ArrayView2, Axis};

/// The share of the objective that a converged fit may at most still be sure to gain.
const MOST_GAIN: f64 = 1e-3;

/// How far below all others the score of a class without training images lies.
const UNFITTED: f64 = 100.0;

/// What an image of a class weighs in the objective.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassWeights {
    /// 1 for every image.
    Equal,
    /// `n / (classes x images of the class)`: every class weighs the same, as scikit-learn's `balanced`.
    Balanced,
    /// One weight above 0 for each class number.
    Given(Vec<f64>),
    /// Classes with their weights, above 0, in any order.
    Named(Vec<(u32, f64)>),
}

/// Parameters of a logistic regression.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticParams {
    c: f64,
    tolerance: f64,
    max_iterations: usize,
    class_weights: ClassWeights,
    columns: Columns,
}

/// What is done with columns before a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Columns {
    /// They are taken as they come.
    AsGiven,
    /// Each is brought to mean 0 and deviation 1, and what is penalised are the weights of these.
    Standardised,
    /// The same, but penalised are the weights of the columns as they come: the minimum is that of `AsGiven`, and L-BFGS
    /// gets there in a tenth of the steps where columns are of unlike scale or far from 0.
    Conditioned,
}

/// A fitted logistic regression.
#[derive(Debug, Clone)]
pub struct Logistic {
    /// Class numbers in the order of the columns of `weights`.
    classes: Vec<u32>,
    /// `(D, K)`, or `(D, 1)` for two classes.
    weights: Array2<f32>,
    /// `K` or 1.
    intercepts: Array1<f64>,
    standardiser: Option<Standardiser>,
    /// The solution in full digits, to start another fit from.
    solution: Vec<f64>,
    /// Value of the objective at the end.
    pub objective: f64,
    /// Largest absolute gradient entry at the end.
    pub gradient_norm: f64,
    /// L-BFGS iterations taken.
    pub iterations: usize,
    /// Whether the gradient fell below the tolerance, and no single standardised column would still gain much.
    pub converged: bool,
    /// How much lower the objective surely gets by a step along the best of the standardised columns (the intercept going
    /// along). Above a thousandth of the objective the fit does not count as converged, whatever its gradient:
    /// [`LogisticParams::standardise`] helps.
    pub certain_gain: f64,
    /// Whether products are in f64, as those of the training features might not fit into f32.
    in_f64: bool,
}

impl LogisticParams {
    /// Another inverse penalty (above 0).
    pub fn c(self, c: f64) -> Self {
        LogisticParams { c, ..self }
    }

    /// Stops when the largest gradient entry is `tolerance` (above 0).
    pub fn tolerance(self, tolerance: f64) -> Self {
        LogisticParams { tolerance, ..self }
    }

    /// Stops after so many iterations at the latest.
    pub fn max_iterations(self, max_iterations: usize) -> Self {
        LogisticParams { max_iterations, ..self }
    }

    /// Weighs the classes.
    pub fn class_weights(self, class_weights: ClassWeights) -> Self {
        LogisticParams { class_weights, ..self }
    }

    /// Brings every feature to mean 0 and standard deviation 1 first, as learned from the training images.
    pub fn standardise(self, standardise: bool) -> Self {
        LogisticParams { columns: if standardise { Columns::Standardised } else { Columns::AsGiven }, ..self }
    }

    /// Solves the regression on features as they come in the coordinates of standardised ones: the same objective and minimum, in
    /// far fewer steps where columns are of unlike scale. The gradient that must fall below the tolerance is then that along
    /// standardised columns. Takes the place of [`LogisticParams::standardise`].
    pub fn conditioned(self) -> Self {
        LogisticParams { columns: Columns::Conditioned, ..self }
    }

    /// Whether the solution is that of standardised features, whose means and deviations another set does not share.
    pub(super) fn standardises(&self) -> bool {
        self.columns != Columns::AsGiven
    }

    /// Fits from the solution of an earlier fit, which a sweep over C makes much shorter. An earlier fit of other
    /// classes or another width is not used.
    ///
    /// # Errors
    /// As [`Fit::fit`].
    pub fn fit_from(&self, data: &Labelled, earlier: Option<&Logistic>) -> Result<Logistic> {
        self.check()?;
        check_labelled(data)?;
        let (classes, weights) = self.weigh(data)?;
        let place = |label: &u32| classes.partition_point(|class| class < label);
        let total: f64 = data.targets.iter().map(|label| weights[place(label)]).sum();
        let plain = self.standardises().then(|| Standardiser::fit(data.records.view())).transpose()?;
        let standardiser = match (&plain, self.columns) {
            // The curvature of the softmax where all classes are as likely, beside that of the penalty.
            (Some(plain), Columns::Conditioned) => {
                let share = 1.0 / classes.len() as f64;
                Some(plain.with_floor(1.0 / (self.c * total * share * (1.0 - share))))
            }
            _ => plain.clone(),
        };
        let features = match &standardiser {
            Some(standardiser) => standardiser.apply(data.records.view())?.into_shared(),
            None => data.records.clone(),
        };
        // Beyond the band of `scale.rs`, products in f32 overflow: the second part of the fit, in f64, does it all.
        let in_f64 = largest(features.view()) > 1.0 && unit(largest(features.view())) != 1.0;
        let share = |column: usize| match (&standardiser, self.columns) {
            (Some(standardiser), Columns::Conditioned) => standardiser.of_column(column).1.powi(-2),
            _ => 1.0,
        };
        let shares: Vec<f64> = (0..features.ncols()).map(share).collect();
        let mut problem = Problem::new(features.view(), data, &classes, &weights, (self.c, shares.clone()));
        let fits = |earlier: &&Logistic| earlier.classes == classes && earlier.weights.nrows() == features.ncols();
        let start = match earlier.filter(fits) {
            Some(earlier) => earlier.solution_in(standardiser.as_ref()),
            None => Vec::new(),
        };
        let start = if start.len() == problem.len() { start } else { vec![0.0; problem.len()] };
        let columns = if classes.len() == 2 { 1 } else { classes.len() };
        let factor = |entry: usize| match (&plain, &standardiser) {
            (Some(plain), Some(used)) => used.of_column(entry / columns).1 / plain.of_column(entry / columns).1,
            _ => 1.0,
        };
        let factors: Vec<f64> = match self.columns {
            Columns::Conditioned => (0..features.ncols() * columns).map(factor).collect(),
            _ => Vec::new(),
        };
        let stop = lbfgs::Stop { tolerance: self.tolerance, max_iterations: self.max_iterations, factors: &factors };
        let first = lbfgs::Stop { max_iterations: if in_f64 { 0 } else { stop.max_iterations }, ..stop };
        let mut end = lbfgs::minimise(|x, gradient| problem.evaluate(x, gradient), start, first);
        if in_f64 || (!end.converged && end.iterations < self.max_iterations) {
            let features = features.mapv(f64::from);
            let mut problem = Problem::new(features.view(), data, &classes, &weights, (self.c, shares.clone()));
            let left = lbfgs::Stop { max_iterations: self.max_iterations - end.iterations, ..stop };
            let before = end.iterations;
            end = lbfgs::minimise(|x, gradient| problem.evaluate(x, gradient), end.x, left);
            end.iterations += before;
        }
        if !(end.value.is_finite() && end.gradient_norm.is_finite() && end.x.iter().all(|x| x.is_finite())) {
            let found = format!("numbers as large as {:e}", largest(features.view()));
            return Err(Error::argument("features", "numbers whose sums f64 holds; standardise them", found));
        }
        let columns = end.x.len() / (features.ncols() + 1);
        let certain_gain = certain_gain(features.view(), &end, columns, (1.0 / (self.c * total), &shares))?;
        let enough = certain_gain <= MOST_GAIN * (end.value + MOST_GAIN);
        let (of_features, intercepts) = end.x.split_at(features.ncols() * columns);
        Ok(Logistic {
            classes,
            weights: Array2::from_shape_fn((features.ncols(), columns), |(i, k)| of_features[i * columns + k] as f32),
            intercepts: Array1::from(intercepts.to_vec()),
            standardiser,
            objective: end.value,
            gradient_norm: end.gradient_norm,
            iterations: end.iterations,
            converged: end.converged && enough,
            certain_gain,
            in_f64,
            solution: end.x,
        })
    }

    /// The classes that have images, ascending, and the weight of an image of each.
    fn weigh(&self, data: &Labelled) -> Result<(Vec<u32>, Vec<f64>)> {
        let classes = classes_of(data);
        if classes.len() < 2 {
            return Err(Error::argument("labels", "at least two classes", format!("{} ({classes:?})", classes.len())));
        }
        let checked = |given: &dyn Fn(u32) -> Option<f64>, all: String| {
            let usable = |&class: &u32| given(class).filter(|&weight| weight > 0.0 && weight.is_finite());
            classes.iter().map(usable).collect::<Option<Vec<f64>>>().ok_or_else(|| {
                let expected = format!("a finite weight above 0 for each of the classes {classes:?}");
                Error::argument("class weights", expected, all)
            })
        };
        let weights = match &self.class_weights {
            ClassWeights::Equal => vec![1.0; classes.len()],
            ClassWeights::Balanced => {
                let count = |class: &u32| data.targets.iter().filter(|&label| label == class).count();
                classes.iter().map(|class| data.targets.len() as f64 / (classes.len() * count(class)) as f64).collect()
            }
            ClassWeights::Given(weights) => {
                checked(&|class| weights.get(class as usize).copied(), format!("{weights:?}"))?
            }
            ClassWeights::Named(weights) => {
                let of = |class: u32| weights.iter().find(|(name, _)| *name == class).map(|(_, weight)| *weight);
                checked(&of, format!("{weights:?}"))?
            }
        };
        Ok((classes, weights))
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
        let class_weights = ClassWeights::Equal;
        LogisticParams { c, tolerance: 1e-4, max_iterations: 100, class_weights, columns: Columns::AsGiven }
    }

    /// What a reader of its numbers must know: a fit that stopped before its tolerance, in words; empty otherwise.
    pub fn warning(&self) -> String {
        if self.converged {
            return String::new();
        }
        let stopped = format!("gradient {:.1e} after {} iterations", self.gradient_norm, self.iterations);
        match self.certain_gain > MOST_GAIN * (self.objective + MOST_GAIN) {
            false => stopped,
            true => format!("{stopped}, but columns of very unlike scale or far from 0: standardise them"),
        }
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

    /// Scores `(Q, K)` whose softmax is [`Logistic::probabilities`], in the same columns.
    ///
    /// # Errors
    /// Queries of another width, or not finite.
    pub fn scores(&self, queries: ArrayView2<f32>) -> Result<Array2<f64>> {
        let logits = self.logits(queries)?;
        match self.classes.len() {
            2 => Ok(Array2::from_shape_fn((logits.nrows(), 2), |(q, k)| if k == 0 { 0.0 } else { logits[[q, 0]] })),
            _ => Ok(logits),
        }
    }

    /// Class numbers in the order of the probability columns; a class without training images is not among them.
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// The fit as a linear layer on features as they come, for `n_classes` classes: weights (K, D) and biases (K,), whose scores
    /// have the probabilities of [`Logistic::probabilities`] as their softmax, as far as f32 holds them
    /// ([`Logistic::linear_in_f64`]). A class that was not fitted has no weights and a bias far below all others.
    ///
    /// # Errors
    /// A class number of `n_classes` or more.
    pub fn linear(&self, n_classes: usize) -> Result<(Array2<f32>, Array1<f32>)> {
        let (weights, biases) = self.linear_in_f64(n_classes)?;
        Ok((weights.mapv(|weight| weight as f32), biases.mapv(|bias| bias as f32)))
    }

    /// [`Logistic::linear`] in full digits. Where standardised columns lie far from 0 next to their spread, products and bias
    /// are large numbers that nearly cancel, of which f32 would leave little.
    ///
    /// # Errors
    /// As [`Logistic::linear`].
    pub fn linear_in_f64(&self, n_classes: usize) -> Result<(Array2<f64>, Array1<f64>)> {
        if let Some(class) = self.classes.iter().find(|&&class| class as usize >= n_classes) {
            return Err(Error::argument("n_classes", format!("above class {class}"), n_classes.to_string()));
        }
        let (columns, dim) = (self.intercepts.len(), self.weights.nrows());
        // With one column the second class has the score and the first its negative, half each.
        let parts: &[(usize, f64)] = if columns == 1 { &[(0, -0.5), (0, 0.5)] } else { &[] };
        let part = |k: usize| parts.get(k).copied().unwrap_or((k, 1.0));
        let mut weights = Array2::zeros((n_classes, dim));
        let mut biases = vec![f64::NAN; n_classes];
        for (k, &class) in self.classes.iter().enumerate() {
            let (column, factor) = part(k);
            let mut bias = factor * self.intercepts[column];
            for i in 0..dim {
                let weight = factor * self.solution[i * columns + column];
                let (mean, deviation) = self.standardiser.as_ref().map_or((0.0, 1.0), |scale| scale.of_column(i));
                weights[[class as usize, i]] = weight / deviation;
                bias -= weight * mean / deviation;
            }
            biases[class as usize] = bias;
        }
        let lowest = biases.iter().copied().filter(|bias| bias.is_finite()).fold(f64::INFINITY, f64::min);
        let biases = biases.into_iter().map(|bias| if bias.is_nan() { lowest - UNFITTED } else { bias });
        Ok((weights, biases.collect()))
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
        // Products in f32 of standardised or large numbers may overflow; rows that did are computed again in f64.
        let standardised = self.standardiser.as_ref().map(|standardiser| standardiser.apply(queries));
        if self.in_f64 || standardised.as_ref().is_some_and(Result::is_err) {
            return Ok(Array2::from_shape_fn((queries.nrows(), self.intercepts.len()), |(q, k)| {
                self.logit_in_f64(queries.row(q), k)
            }));
        }
        let standardised = standardised.transpose()?;
        let asked = queries;
        let mut products = Array2::<f32>::zeros((queries.nrows(), self.weights.ncols()));
        let queries = match &standardised {
            Some(standardised) => standardised.view(),
            None => queries.view(),
        };
        multiply(Threads::All, queries, self.weights.view(), products.view_mut());
        let mut logits = products.mapv(f64::from) + &self.intercepts;
        for (mut logits, query) in logits.rows_mut().into_iter().zip(asked.rows()) {
            if !logits.iter().all(|logit| logit.is_finite()) {
                logits.iter_mut().enumerate().for_each(|(k, logit)| *logit = self.logit_in_f64(query, k));
            }
        }
        Ok(logits)
    }

    /// The solution in the coordinates of another standardiser: weights of columns as that makes them, and intercepts.
    fn solution_in(&self, other: Option<&Standardiser>) -> Vec<f64> {
        let columns = self.intercepts.len();
        let mut solution = self.solution.clone();
        let (weights, intercepts) = solution.split_at_mut(self.weights.nrows() * columns);
        for (column, weights) in weights.chunks_exact_mut(columns).enumerate() {
            let (mean, deviation) = self.standardiser.as_ref().map_or((0.0, 1.0), |scale| scale.of_column(column));
            let (other_mean, other_deviation) = other.map_or((0.0, 1.0), |scale| scale.of_column(column));
            for (weight, intercept) in weights.iter_mut().zip(intercepts.iter_mut()) {
                let raw = *weight / deviation;
                *intercept += raw * (other_mean - mean);
                *weight = raw * other_deviation;
            }
        }
        solution
    }

    /// One logit from the solution in full digits. Numbers of f32 times weights cannot overflow in f64.
    fn logit_in_f64(&self, query: ArrayView1<f32>, k: usize) -> f64 {
        let columns = self.intercepts.len();
        let value = |(column, &x): (usize, &f32)| match &self.standardiser {
            Some(standardiser) => standardiser.value(column, x),
            None => f64::from(x),
        };
        let terms = query.iter().enumerate().map(|(i, x)| value((i, x)) * self.solution[i * columns + k]);
        terms.sum::<f64>() + self.intercepts[k]
    }
}

/// How much a step along one standardised column lowers the objective at least, the best column counts: the slope there
/// squared, over twice the curvature, which the softmax bounds (a quarter for two classes, a half for more) and the
/// penalty adds to.
fn certain_gain(
    features: ArrayView2<f32>,
    end: &lbfgs::Minimum,
    columns: usize,
    (penalty, shares): (f64, &[f64]),
) -> Result<f64> {
    let standardiser = Standardiser::fit(features)?;
    let (of_features, of_intercepts) = end.gradient.split_at(features.ncols() * columns);
    let curvature = if columns == 1 { 0.25 } else { 0.5 };
    let mut most = 0f64;
    for (column, slopes) in of_features.chunks_exact(columns).enumerate() {
        let (mean, deviation) = standardiser.of_column(column);
        for (slope, of_intercept) in slopes.iter().zip(of_intercepts) {
            let along = (slope - mean * of_intercept) / deviation;
            most = most.max(along * along / (2.0 * (curvature + penalty * shares[column] / (deviation * deviation))));
        }
    }
    Ok(most)
}

impl Fit<ArcArray2<f32>, Array1<u32>, Error> for LogisticParams {
    type Object = Logistic;

    /// # Errors
    /// Fewer than two classes, features that are empty or not finite, more or fewer labels than rows, parameters out of
    /// range, or features so large that sums of their products are beyond f64. Not converging is no error: see [`Logistic::converged`].
    fn fit(&self, data: &Labelled) -> Result<Logistic> {
        self.fit_from(data, None)
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
