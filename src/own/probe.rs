//! A fitted probe that can be kept: a linear layer, or the labelled features that neighbours are looked for in.

use crate::error::{Error, Result};
use crate::experiments::NEIGHBOURS;
use crate::manifest::Method;
use crate::probe::{Labelled, knn::Knn, labelled, logistic::Logistic};
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{ArcArray2, Array1, Array2, ArrayView2, Axis};

/// What every class has before a neighbour votes, so that no probability is 0.
const PRIOR: f64 = 0.5;

/// What a reader's report compares, by the study's settings and standardised.
pub const METHODS: [Method; 3] = [Method::Lr, Method::LrStandardised, Method::Knn];

/// A probe fitted on labelled features.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// Scores are `features x weights^T + biases`: logistic regression, standardised or not. In f64, as products and biases
    /// of columns far from 0 nearly cancel.
    Linear {
        /// `(K, D)`.
        weights: Array2<f64>,
        /// `K`.
        biases: Array1<f64>,
    },
    /// Scores are logarithms of the votes of the nearest, and half a vote for each class.
    Neighbours {
        /// `(N, D)`.
        features: ArcArray2<f32>,
        /// `N`.
        labels: Vec<u32>,
        /// How many vote.
        k: usize,
        /// Number of classes.
        classes: usize,
    },
}

impl Probe {
    /// Fits `method` on features `(N, D)` with `labels` below `classes`.
    ///
    /// # Errors
    /// What the probe says; a method that is not one of [`METHODS`].
    pub fn fit(method: Method, features: Array2<f32>, labels: Vec<u32>, classes: usize) -> Result<Probe> {
        let standardise = match method {
            Method::Lr => false,
            Method::LrStandardised => true,
            Method::Knn => {
                let k = NEIGHBOURS.min(labels.len());
                return Ok(Probe::Neighbours { features: features.into_shared(), labels, k, classes });
            }
            other => return Err(Error::argument("method", "lr, lr_standardised or knn", other.as_str())),
        };
        let fitted = Logistic::params(1.0).standardise(standardise).fit(&labelled(features, labels)?)?;
        let (weights, biases) = fitted.linear_in_f64(classes)?;
        Ok(Probe::Linear { weights, biases })
    }

    /// Scores `(Q, K)`, whose softmax are probabilities. They are not calibrated.
    ///
    /// # Errors
    /// Features of another width, or not finite.
    pub fn scores(&self, queries: ArrayView2<f32>) -> Result<Array2<f64>> {
        match self {
            Probe::Linear { weights, biases } => {
                if queries.ncols() != weights.ncols() {
                    let found = queries.ncols().to_string();
                    return Err(Error::argument("features", format!("{} numbers per image", weights.ncols()), found));
                }
                Ok(queries.mapv(f64::from).dot(&weights.t()) + biases)
            }
            Probe::Neighbours { features, labels, k, classes } => {
                let known: Labelled = DatasetBase::new(features.clone(), Array1::from(labels.clone()));
                let found = Knn::params(*k).fit(&known)?.neighbours(queries)?;
                let mut votes = Array2::from_elem((queries.nrows(), *classes), PRIOR);
                for (query, rows) in found.rows.axis_iter(Axis(0)).enumerate() {
                    rows.iter().for_each(|&row| votes[[query, labels[row] as usize]] += 1.0);
                }
                let all = *k as f64 + PRIOR * *classes as f64;
                Ok(votes.mapv(|votes| (votes / all).ln()))
            }
        }
    }
}

/// The class with the highest score in each row; the lower of equals.
pub(super) fn best(scores: &Array2<f64>) -> Vec<u32> {
    let best = |row: ndarray::ArrayView1<f64>| {
        row.iter().enumerate().fold(0, |best, (class, score)| if *score > row[best] { class } else { best }) as u32
    };
    scores.axis_iter(Axis(0)).map(best).collect()
}
