//! UMAP (McInnes, Healy and Melville 2018, "UMAP: Uniform Manifold Approximation and Projection"): umap-learn's
//! algorithm and defaults, to two dimensions, Euclidean.
//!
//! Neighbours (exact up to [`EXACT_ROWS`](crate::neighbours::EXACT_ROWS) rows), a fuzzy graph of them (`graph.rs`), its
//! spectral embedding as the start (`spectral.rs`), and stochastic gradient descent on the map (`layout.rs`). umap-rs
//! was looked at first: it draws from an unseeded generator and wants the neighbours from its caller. umap-learn itself
//! repeats a map only on one thread; here a seed gives one map on any number of them.

mod curve;
pub mod graph;
mod layout;
mod spectral;

pub use curve::fit_curve;

use crate::error::{Error, Result};
use crate::neighbours::{Neighbours, check_features, knn_graph};
use graph::FuzzyGraph;
use linfa::traits::Transformer;
use ndarray::{ArcArray2, Array2};

/// Parameters of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Umap {
    n_neighbours: usize,
    min_dist: f64,
    n_epochs: Option<usize>,
    seed: u64,
}

impl Umap {
    /// umap-learn's defaults: 15 neighbours (the row itself counts), minimal distance 0.1, 500 epochs up to 10,000 rows
    /// and 200 beyond.
    ///
    /// ```
    /// use ndarray::Array2;
    /// use wider_clip::clustering::umap::Umap;
    ///
    /// // Two groups far apart stay apart on the map.
    /// let rows = Array2::from_shape_fn((40, 3), |(i, j)| if i < 20 { 0.0 } else { 50.0 } + ((i * 7 + j * 3) % 11) as f32);
    /// let map = Umap::params(0).n_neighbours(5).map(&rows.into_shared())?;
    /// let gap = |a: usize, b: usize| (&map.row(a) - &map.row(b)).mapv(|x| x * x).sum().sqrt();
    /// assert!(gap(0, 30) > gap(0, 10));
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn params(seed: u64) -> Umap {
        Umap { n_neighbours: 15, min_dist: 0.1, n_epochs: None, seed }
    }

    /// Another number of neighbours, the row itself among them: small for local structure, large for global.
    pub fn n_neighbours(self, n_neighbours: usize) -> Umap {
        Umap { n_neighbours, ..self }
    }

    /// Another distance that neighbours keep on the map, 0 to 3.
    pub fn min_dist(self, min_dist: f64) -> Umap {
        Umap { min_dist, ..self }
    }

    /// Another number of passes over the graph.
    pub fn n_epochs(self, n_epochs: usize) -> Umap {
        Umap { n_epochs: Some(n_epochs), ..self }
    }

    /// The map `(N, 2)` of features `(N, D)`.
    ///
    /// # Errors
    /// Features that are empty or not finite; fewer than 4 rows; fewer than 2 neighbours, or more than rows; a minimal
    /// distance outside 0 to 3; no epoch.
    pub fn map(&self, features: &ArcArray2<f32>) -> Result<Array2<f32>> {
        self.check(features)?;
        self.map_from(features, &knn_graph(features, self.n_neighbours, self.seed)?)
    }

    /// As [`Umap::map`], from neighbours found before (for several maps of the same features).
    ///
    /// # Errors
    /// As there; neighbours of another number of rows, or more or fewer a row than the parameters say.
    pub fn map_from(&self, features: &ArcArray2<f32>, neighbours: &Neighbours) -> Result<Array2<f32>> {
        self.check(features)?;
        let expected = (features.nrows(), self.n_neighbours);
        if neighbours.rows.dim() != expected {
            let found = format!("shape {:?}", neighbours.rows.dim());
            return Err(Error::argument("neighbours", format!("shape {expected:?}"), found));
        }
        let n_epochs = self.n_epochs.unwrap_or(if features.nrows() <= 10_000 { 500 } else { 200 });
        let graph = FuzzyGraph::new(neighbours).without_rare(n_epochs);
        let start = spectral::start(&graph, features.view(), self.seed);
        Ok(layout::optimise(start, &graph, fit_curve(self.min_dist, 1.0)?, n_epochs, self.seed))
    }

    fn check(&self, features: &ArcArray2<f32>) -> Result<()> {
        check_features("features", features.view())?;
        let n = features.nrows();
        if n < 4 {
            return Err(Error::argument("features", "at least 4 rows", n.to_string()));
        }
        if self.n_neighbours < 2 || self.n_neighbours > n {
            let expected = format!("between 2 and the {n} rows");
            return Err(Error::argument("n_neighbours", expected, self.n_neighbours.to_string()));
        }
        if !(0.0..=3.0).contains(&self.min_dist) {
            return Err(Error::argument("min_dist", "between 0 and 3", self.min_dist.to_string()));
        }
        if self.n_epochs == Some(0) {
            return Err(Error::argument("n_epochs", "at least 1", "0"));
        }
        Ok(())
    }
}

impl Transformer<&ArcArray2<f32>, Result<Array2<f32>>> for Umap {
    fn transform(&self, features: &ArcArray2<f32>) -> Result<Array2<f32>> {
        self.map(features)
    }
}
