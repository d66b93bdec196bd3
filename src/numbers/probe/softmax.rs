//! The objective of logistic regression and its gradient: two matrix products and, between them, the softmax of every
//! row.
//!
//! scikit-learn's objective: with image weights s (1 by default) and S their sum,
//! `sum_i s_i CE_i / S + |W|^2 / (2 C S)`, the intercepts free of penalty. Two classes have one column of weights.
//! Products are in `T` (f32, or f64 where that stalls), sums in f64. Rows go in strips whose sums are added in order, so
//! that the value does not depend on the number of threads.

use super::Labelled;
use crate::products::{Real, Threads, multiply, multiply_onto};
use crate::simd::{Kernel, dispatch, multiply_add};
use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

/// Rows that are multiplied, turned into residuals and multiplied again while they are in the cache.
const BLOCK: usize = 256;
/// Rows a part that goes in parallel with others (gemm's own threads would not start for products of this size), and the
/// fewest and most such parts.
const STRIP: usize = 1024;
const FEWEST: usize = 4;
const MOST: usize = 16;

/// The objective over one vector: weights `(D, columns)` row by row, then the intercepts.
pub(super) struct Problem<'a, T> {
    features: ArrayView2<'a, T>,
    /// Position of each image's class among the classes, and the image's share s / S.
    targets: Vec<(usize, f64)>,
    /// 1 / (C S).
    penalty: f64,
    /// What that is multiplied by for the weights of each feature.
    shares: Vec<f64>,
    d: usize,
    columns: usize,
    weights: Array2<T>,
    strips: Vec<Strip<T>>,
}

/// What a part of the rows adds to the gradient, and the value.
struct Strip<T> {
    logits: Array2<T>,
    /// `(D, columns)`.
    slope: Array2<T>,
    of_intercepts: Vec<f64>,
    loss: f64,
}

/// A product's type with the softmax that fits it.
pub(super) trait Softmax: Real {
    /// For rows of logits: adds the intercepts, gives each row's cross-entropy to `loss`, and turns the row into
    /// (probability - target) x share.
    fn residuals(rows: &mut [Self], columns: usize, intercepts: &[f64], targets: &[(usize, f64)], loss: &mut f64);
}

impl<'a, T: Softmax> Problem<'a, T> {
    /// `classes` ascending; `class_weights` one a class, all positive; `shares` one a feature, by which its penalty is
    /// multiplied.
    pub fn new(
        features: ArrayView2<'a, T>,
        data: &Labelled,
        classes: &[u32],
        class_weights: &[f64],
        (c, shares): (f64, Vec<f64>),
    ) -> Self {
        let (n, d) = features.dim();
        let columns = if classes.len() == 2 { 1 } else { classes.len() };
        let position = |label: &u32| classes.partition_point(|class| class < label);
        let total: f64 = data.targets.iter().map(|label| class_weights[position(label)]).sum();
        let targets =
            data.targets.iter().map(|label| (position(label), class_weights[position(label)] / total)).collect();
        let strip = || Strip {
            logits: Array2::default((BLOCK.min(n), columns)),
            slope: Array2::default((d, columns)),
            of_intercepts: vec![0.0; columns],
            loss: 0.0,
        };
        let n_strips = (n / STRIP).next_power_of_two().clamp(FEWEST, MOST).min(n.div_ceil(64));
        let strips = (0..n_strips).map(|_| strip()).collect();
        let weights = Array2::default((d, columns));
        Problem { features, targets, penalty: 1.0 / (c * total), shares, d, columns, weights, strips }
    }

    /// Length of the vector.
    pub fn len(&self) -> usize {
        (self.d + 1) * self.columns
    }

    /// Value at `x`; fills `gradient`.
    pub fn evaluate(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let split = self.d * self.columns;
        let (weights, intercepts) = x.split_at(split);
        self.weights.iter_mut().zip(weights).for_each(|(to, &from)| *to = T::from_f64(from));
        let rows_a_strip = self.targets.len().div_ceil(self.strips.len());
        let (features, weights_in_t) = (self.features, self.weights.view());
        let parts = self.targets.par_chunks(rows_a_strip).enumerate();
        self.strips.par_iter_mut().zip(parts).for_each(|(strip, (number, targets))| {
            strip.add_up(features, number * rows_a_strip, targets, weights_in_t, intercepts);
        });
        let (of_weights, of_intercepts) = gradient.split_at_mut(split);
        let mut squares = 0.0;
        let by_feature = of_weights.chunks_exact_mut(self.columns).zip(weights.chunks_exact(self.columns));
        for ((out, weights), &share) in by_feature.zip(&self.shares) {
            let penalty = self.penalty * share;
            for (out, &weight) in out.iter_mut().zip(weights) {
                *out = penalty * weight;
                squares += share * weight * weight;
            }
        }
        of_intercepts.fill(0.0);
        let mut loss = 0.0;
        for strip in &self.strips {
            loss += strip.loss;
            of_weights.iter_mut().zip(&strip.slope).for_each(|(sum, slope)| *sum += slope.to_f64());
            of_intercepts.iter_mut().zip(&strip.of_intercepts).for_each(|(sum, part)| *sum += part);
        }
        loss + 0.5 * self.penalty * squares
    }
}

impl<T: Softmax> Strip<T> {
    /// Goes over the rows from `first` on, one for each of `targets`.
    fn add_up(
        &mut self,
        features: ArrayView2<T>,
        first: usize,
        targets: &[(usize, f64)],
        weights: ArrayView2<T>,
        intercepts: &[f64],
    ) {
        let columns = weights.ncols();
        self.slope.fill(T::default());
        self.of_intercepts.fill(0.0);
        self.loss = 0.0;
        for (number, targets) in targets.chunks(BLOCK).enumerate() {
            let start = first + number * BLOCK;
            let rows = features.slice(s![start..start + targets.len(), ..]);
            let mut logits = self.logits.slice_mut(s![..targets.len(), ..]);
            multiply(Threads::One, rows, weights, logits.view_mut());
            if let Some(logits) = logits.as_slice_mut() {
                T::residuals(logits, columns, intercepts, targets, &mut self.loss);
                for row in logits.chunks_exact(columns) {
                    self.of_intercepts.iter_mut().zip(row).for_each(|(sum, &residual)| *sum += residual.to_f64());
                }
            }
            multiply_onto(Threads::One, rows.t(), logits.view(), self.slope.view_mut());
        }
    }
}

impl Softmax for f64 {
    fn residuals(rows: &mut [f64], columns: usize, intercepts: &[f64], targets: &[(usize, f64)], loss: &mut f64) {
        for (row, &(target, share)) in rows.chunks_exact_mut(columns).zip(targets) {
            if columns == 1 {
                *loss += share * binary(&mut row[0], intercepts[0], target, share);
                continue;
            }
            row.iter_mut().zip(intercepts).for_each(|(logit, intercept)| *logit += intercept);
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let of_target = row[target] - largest;
            let mut sum = 0.0;
            for value in row.iter_mut() {
                *value = (*value - largest).exp();
                sum += *value;
            }
            *loss += share * (sum.ln() - of_target);
            row.iter_mut().for_each(|value| *value *= share / sum);
            row[target] -= share;
        }
    }
}

impl Softmax for f32 {
    fn residuals(rows: &mut [f32], columns: usize, intercepts: &[f64], targets: &[(usize, f64)], loss: &mut f64) {
        if columns > 1 {
            return dispatch(Rows { rows, columns, intercepts, targets, loss });
        }
        for (logit, &(target, share)) in rows.iter_mut().zip(targets) {
            let mut exact = f64::from(*logit);
            *loss += share * binary(&mut exact, intercepts[0], target, share);
            *logit = exact as f32;
        }
    }
}

/// Cross-entropy of one image over two classes, whose one logit speaks for the second; the logit becomes
/// (probability - target) x share.
fn binary(logit: &mut f64, intercept: f64, target: usize, share: f64) -> f64 {
    let total = *logit + intercept;
    *logit = share * (sigmoid(total) - target as f64);
    total.max(0.0) + (-total.abs()).exp().ln_1p() - target as f64 * total
}

/// 1 / (1 + exp(-x)).
pub(super) fn sigmoid(logit: f64) -> f64 {
    if logit >= 0.0 { 1.0 / (1.0 + (-logit).exp()) } else { logit.exp() / (1.0 + logit.exp()) }
}

struct Rows<'a> {
    rows: &'a mut [f32],
    columns: usize,
    intercepts: &'a [f64],
    targets: &'a [(usize, f64)],
    loss: &'a mut f64,
}

impl Kernel for Rows<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let intercepts: Vec<f32> = self.intercepts.iter().map(|&intercept| intercept as f32).collect();
        for (row, &(target, share)) in self.rows.chunks_exact_mut(self.columns).zip(self.targets) {
            let mut largest = f32::NEG_INFINITY;
            for (logit, intercept) in row.iter_mut().zip(&intercepts) {
                *logit += intercept;
                largest = if *logit > largest { *logit } else { largest };
            }
            let of_target = f64::from(row[target]) - f64::from(largest);
            let mut lanes = [0f32; 16];
            let mut chunks = row.chunks_exact_mut(16);
            for chunk in &mut chunks {
                for (value, lane) in chunk.iter_mut().zip(&mut lanes) {
                    *value = exp::<FMA>(*value - largest);
                    *lane += *value;
                }
            }
            for (value, lane) in chunks.into_remainder().iter_mut().zip(&mut lanes) {
                *value = exp::<FMA>(*value - largest);
                *lane += *value;
            }
            let sum: f64 = lanes.iter().map(|&lane| f64::from(lane)).sum();
            *self.loss += share * (sum.ln() - of_target);
            let factor = (share / sum) as f32;
            row.iter_mut().for_each(|value| *value *= factor);
            // The difference of two numbers near 1 keeps its digits when the others are summed instead.
            let others: f64 =
                row.iter().enumerate().map(|(k, &value)| if k == target { 0.0 } else { f64::from(value) }).sum();
            row[target] = -others as f32;
        }
    }
}

/// e^x for x at most 0, to two units in the last place: 2^n times a polynomial of the rest (Cephes' `expf`); 0 below
/// -87.
#[inline(always)]
fn exp<const FMA: bool>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 x 2^23: adding it leaves no fraction bits.
    let x = if x > -87.0 { x } else { -87.0 };
    let n = multiply_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND) - ROUND;
    let rest = multiply_add::<FMA>(n, 2.121_944_4e-4, multiply_add::<FMA>(n, -0.693_359_4, x));
    let mut sum = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        sum = multiply_add::<FMA>(sum, rest, coefficient);
    }
    let fraction = multiply_add::<FMA>(sum, rest * rest, rest) + 1.0;
    let scale = f32::from_bits(((n as i32 + 127) << 23) as u32);
    if x > -87.0 { fraction * scale } else { 0.0 }
}
