//! Exact k-nearest neighbours by tiled matrix products.
//!
//! Squared Euclidean distances come from `|q|^2 - 2 q.r + |r|^2`, a tile of references at a time, so memory does not
//! grow with their number. That formula loses digits when points are close: each tile therefore only proposes
//! candidates (a few more than k), whose distances are computed again from differences in f64 before they are ranked.
//! Ties go to the reference that comes first, and votes that tie to the lowest class, as in scikit-learn's
//! `KNeighborsClassifier` (the study's: k = 5, Euclidean, uniform).

use super::product::multiply;
use super::{Labelled, check_features, check_width};
use crate::error::{Error, Result};
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Candidates kept beyond k, so that rounding in the tiles cannot push a true neighbour out.
const SPARE: usize = 8;
const QUERY_TILE: usize = 256;
const REFERENCE_TILE: usize = 2048;

/// Parameters of a k-nearest-neighbour classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct KnnParams {
    k: usize,
}

/// A fitted classifier: it keeps its references.
#[derive(Debug, Clone)]
pub struct Knn {
    k: usize,
    references: Array2<f32>,
    squares: Array1<f32>,
    labels: Array1<u32>,
    n_classes: usize,
}

/// Neighbours of each query: reference rows and Euclidean distances, nearest first.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// `(Q, k)` reference rows.
    pub rows: Array2<usize>,
    /// `(Q, k)` Euclidean distances.
    pub distances: Array2<f64>,
}

impl Knn {
    /// The study's classifier with `k` neighbours: Euclidean, one vote each.
    ///
    /// ```
    /// use linfa::prelude::*;
    /// use ndarray::array;
    /// use wider_clip::probe::{knn::Knn, labelled};
    ///
    /// let train = labelled(array![[0.0], [1.0], [10.0]], vec![0, 0, 1])?;
    /// let model = Knn::params(1).fit(&train)?;
    /// assert_eq!(model.predict(&array![[2.0], [8.0]]).to_vec(), [0, 1]);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn params(k: usize) -> KnnParams {
        KnnParams { k }
    }

    /// The `k` nearest references of each query.
    ///
    /// # Errors
    /// Queries of another width, or not finite.
    pub fn neighbours(&self, queries: ArrayView2<f32>) -> Result<Neighbours> {
        check_features("queries", queries)?;
        check_width(self.references.ncols(), queries)?;
        let tiles: Vec<Vec<Vec<(f64, usize)>>> =
            queries.axis_chunks_iter(Axis(0), QUERY_TILE).map(|tile| self.tile_neighbours(tile)).collect();
        let ranked: Vec<Vec<(f64, usize)>> = tiles.into_iter().flatten().collect();
        let shape = (queries.nrows(), self.k);
        Ok(Neighbours {
            rows: Array2::from_shape_fn(shape, |(q, i)| ranked[q][i].1),
            distances: Array2::from_shape_fn(shape, |(q, i)| ranked[q][i].0.sqrt()),
        })
    }

    /// Classes of `queries`; unlike [`linfa::traits::Predict`], bad input is an error and not a panic.
    pub fn try_predict(&self, queries: ArrayView2<f32>) -> Result<Array1<u32>> {
        let neighbours = self.neighbours(queries)?;
        Ok(neighbours.rows.map_axis(Axis(1), |rows| self.vote(rows)))
    }

    fn vote(&self, rows: ArrayView1<usize>) -> u32 {
        let mut votes = vec![0usize; self.n_classes];
        for &row in rows {
            votes[self.labels[row] as usize] += 1;
        }
        let most = votes.iter().copied().max().unwrap_or(0);
        votes.iter().position(|&count| count == most).unwrap_or(0) as u32
    }

    /// Squared distances and rows of the k nearest references of up to [`QUERY_TILE`] queries.
    fn tile_neighbours(&self, queries: ArrayView2<f32>) -> Vec<Vec<(f64, usize)>> {
        let keep = (self.k + SPARE).min(self.references.nrows());
        let mut best = vec![Vec::with_capacity(2 * keep); queries.nrows()];
        let mut products = Array2::<f32>::zeros((queries.nrows(), REFERENCE_TILE.min(self.references.nrows())));
        for start in (0..self.references.nrows()).step_by(REFERENCE_TILE) {
            let end = (start + REFERENCE_TILE).min(self.references.nrows());
            let mut tile = products.slice_mut(s![.., ..end - start]);
            multiply(queries, self.references.slice(s![start..end, ..]).t(), tile.view_mut());
            let squares = self.squares.slice(s![start..end]);
            let rows: Vec<_> = tile.rows().into_iter().collect();
            best.par_iter_mut().zip(rows).for_each(|(best, products)| {
                propose(best, keep, start, products, squares);
            });
        }
        best.par_iter().zip(queries.rows().into_iter().collect::<Vec<_>>()).map(|(best, q)| self.rank(best, q)).collect()
    }

    /// Ranks candidates by distance computed from differences in f64, the first reference first at a tie.
    fn rank(&self, candidates: &[(f32, usize)], query: ArrayView1<f32>) -> Vec<(f64, usize)> {
        let exact = |row: usize| {
            let differences = query.iter().zip(self.references.row(row));
            differences.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>()
        };
        let mut ranked: Vec<(f64, usize)> = candidates.iter().map(|&(_, row)| (exact(row), row)).collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        ranked.truncate(self.k);
        ranked
    }
}

/// Adds a tile's references to the running best `keep`; the order of distances needs no `|q|^2`.
fn propose(
    best: &mut Vec<(f32, usize)>,
    keep: usize,
    start: usize,
    products: ArrayView1<f32>,
    squares: ArrayView1<f32>,
) {
    let mut worst = if best.len() < keep { f32::INFINITY } else { best[keep - 1].0 };
    for (offset, (&product, &square)) in products.iter().zip(squares).enumerate() {
        let distance = square - 2.0 * product;
        if distance < worst || best.len() < keep {
            best.push((distance, start + offset));
            if best.len() >= 2 * keep {
                worst = prune(best, keep);
            }
        }
    }
    prune(best, keep);
}

/// Keeps the `keep` nearest, sorted; gives the distance of the last.
fn prune(best: &mut Vec<(f32, usize)>, keep: usize) -> f32 {
    best.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    best.truncate(keep);
    if best.len() < keep { f32::INFINITY } else { best[keep - 1].0 }
}

impl Fit<Array2<f32>, Array1<u32>, Error> for KnnParams {
    type Object = Knn;

    /// # Errors
    /// k = 0, more neighbours than references, or features that are empty or not finite.
    fn fit(&self, data: &Labelled) -> Result<Knn> {
        check_features("features", data.records.view())?;
        let n = data.records.nrows();
        if self.k == 0 || self.k > n {
            return Err(Error::argument("k", format!("between 1 and the {n} references"), self.k.to_string()));
        }
        let labels = data.targets.clone();
        let squares = data.records.map_axis(Axis(1), |row| row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() as f32);
        let n_classes = labels.iter().max().map_or(0, |&largest| largest as usize + 1);
        let references = data.records.as_standard_layout().into_owned();
        Ok(Knn { k: self.k, references, squares, labels, n_classes })
    }
}

impl PredictInplace<Array2<f32>, Array1<u32>> for Knn {
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
