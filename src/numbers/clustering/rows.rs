//! Rows made ready for k-means: centred, their squares, and, where it pays, all their inner products.

use crate::error::Result;
use crate::neighbours::check_features;
use crate::products::{Threads, column_means, inner_products, multiply};
use crate::scale::{largest, unit};
use ndarray::{ArcArray2, Array1, Array2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

const STRIPS: usize = 32;
pub(super) const BLOCK: usize = 128;
/// The most rows whose inner products are kept: 576 MB.
const MOST_PRODUCTS: usize = 12_000;

/// Rows less their mean, which saves digits, with what all starts and seeds need of them.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The rows as they came `(N, D)`.
    pub(super) features: ArcArray2<f32>,
    /// Less their mean `(N, D)`.
    pub(super) values: Array2<f32>,
    pub(super) squares: Vec<f32>,
    pub(super) mean: Array1<f32>,
    /// The power of two by which the centred rows were multiplied (`scale.rs`); 1 for rows of usual size.
    pub(super) unit: f32,
    /// Mean over the features of their variances.
    pub(super) mean_variance: f64,
    /// All inner products `(N, N)`, where k-means goes by them (`gram.rs`).
    pub(super) products: Option<Array2<f32>>,
}

impl Rows {
    /// # Errors
    /// Features that are empty or not finite.
    pub(super) fn new(features: &ArcArray2<f32>) -> Result<Rows> {
        check_features("features", features.view())?;
        let n = features.nrows() as f64;
        let mean = column_means(features.view()).mapv(|mean| mean as f32);
        let unit = unit(largest(features.view()));
        let values = match unit {
            1.0 => (features - &mean).as_standard_layout().into_owned(),
            // Scaled first: differences of the largest numbers would overflow.
            unit => (&features.mapv(|x| x * unit) - &mean.mapv(|x| x * unit)).as_standard_layout().into_owned(),
        };
        let squares: Vec<f64> = values
            .axis_iter(Axis(0))
            .into_par_iter()
            .map(|row| row.iter().map(|&x| f64::from(x).powi(2)).sum())
            .collect();
        let mean_variance = squares.iter().sum::<f64>() / n / features.ncols() as f64;
        let squares = squares.into_iter().map(|square| square as f32).collect();
        Ok(Rows { features: features.clone(), values, squares, mean, unit, mean_variance, products: None })
    }

    pub(super) fn len(&self) -> usize {
        self.values.nrows()
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        let width = self.values.ncols();
        &self.values.as_slice().unwrap_or(&[])[row * width..(row + 1) * width]
    }

    /// Whether rows of the same label differ in the features themselves.
    pub(super) fn differ_within(&self, labels: &[u32]) -> bool {
        let n_labels = labels.iter().max().map_or(0, |&label| label as usize + 1);
        let mut firsts = vec![None; n_labels];
        labels.iter().zip(self.features.rows()).any(|(&label, row)| *firsts[label as usize].get_or_insert(row) != row)
    }

    /// Rows a strip.
    pub(super) fn strip(&self) -> usize {
        self.len().div_ceil(STRIPS).max(BLOCK)
    }

    /// The same with all inner products, if k-means with `k` centres and `n_init` starts is shorter by them. A choice that
    /// depends on rows, columns and parameters alone gives the same numbers on every machine.
    pub(super) fn with_products_for(self, k: usize, n_init: usize) -> Rows {
        let (n, d) = self.values.dim();
        // Measured: a start costs the products as much as 60 more columns; without them a start multiplies the rows with
        // the draws of every step and with the centres of some twenty iterations.
        let shorter = n <= MOST_PRODUCTS && n * (d + 60 * n_init) < 52 * n_init * k * d;
        let products = shorter.then(|| inner_products(self.values.view()));
        Rows { products, ..self }
    }

    /// Squared distances of all rows `(N, draws)` to the drawn ones.
    pub(super) fn distances_to(&self, draws: &[usize], mut distances: ArrayViewMut2<f32>) {
        if let Some(products) = &self.products {
            distances.axis_iter_mut(Axis(0)).into_par_iter().with_min_len(BLOCK).enumerate().for_each(
                |(row, mut out)| {
                    let of_row = products.row(row);
                    for (value, &draw) in out.iter_mut().zip(draws) {
                        *value = (of_row[row] + products[[draw, draw]] - 2.0 * of_row[draw]).max(0.0);
                    }
                },
            );
        } else {
            let centres = self.values.select(Axis(0), draws);
            let squares: Vec<f32> = draws.iter().map(|&row| self.squares[row]).collect();
            let strip = self.strip().min(1024);
            distances.axis_chunks_iter_mut(Axis(0), strip).into_par_iter().enumerate().for_each(|(number, mut out)| {
                let start = number * strip;
                let values = self.values.slice(s![start..start + out.nrows(), ..]);
                multiply(Threads::One, values, centres.t(), out.view_mut());
                for (mut row, square) in out.rows_mut().into_iter().zip(&self.squares[start..]) {
                    let pairs = row.iter_mut().zip(&squares);
                    pairs.for_each(|(value, other)| *value = (square + other - 2.0 * *value).max(0.0));
                }
            });
        }
        for (draw, &row) in draws.iter().enumerate() {
            distances[[row, draw]] = 0.0;
        }
    }
}
