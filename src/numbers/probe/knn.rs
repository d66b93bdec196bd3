//! k-nearest-neighbour classification on the exact search of [`crate::neighbours`].
//!
//! The study's classifier is scikit-learn's `KNeighborsClassifier` (k = 5, Euclidean, one vote each); DINO's weighs the
//! vote of a neighbour with cosine similarity s by exp(s / T), T = 0.07, k = 20 (Caron et al. 2021, `eval_knn.py`). At
//! equal distances the reference that comes first is taken, and votes that tie go to the lowest class, as scikit-learn
//! votes.

use super::{Labelled, check_labelled, classes_of};
use crate::error::{Error, Result};
use crate::neighbours::{Index, Metric, Neighbours};
use candle_core::Device;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{ArcArray2, Array1, Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// How neighbours vote.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Votes {
    /// One vote each.
    Uniform,
    /// exp(s / T), with s = 1 - distance and T the temperature (above 0): DINO's, meant for [`Metric::Cosine`].
    Weighted {
        /// T: the smaller, the more the nearest neighbours decide.
        temperature: f64,
    },
}

/// Parameters of a k-nearest-neighbour classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct KnnParams {
    k: usize,
    metric: Metric,
    votes: Votes,
}

/// A fitted classifier: it shares its references with the data it was fitted on.
#[derive(Debug, Clone)]
pub struct Knn {
    params: KnnParams,
    index: Index,
    /// The classes of the references, ascending: class numbers are names, and may be as large as they like.
    classes: Vec<u32>,
    /// The place of each reference's class among them.
    labels: Vec<usize>,
}

impl KnnParams {
    /// Another number of neighbours.
    pub fn k(self, k: usize) -> Self {
        KnnParams { k, ..self }
    }

    /// Another metric.
    pub fn metric(self, metric: Metric) -> Self {
        KnnParams { metric, ..self }
    }

    /// Another way to vote.
    pub fn votes(self, votes: Votes) -> Self {
        KnnParams { votes, ..self }
    }
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
        KnnParams { k, metric: Metric::Euclidean, votes: Votes::Uniform }
    }

    /// DINO's classifier: 20 neighbours by cosine, votes weighed with temperature 0.07.
    ///
    /// ```
    /// use linfa::prelude::*;
    /// use ndarray::array;
    /// use wider_clip::probe::{knn::Knn, labelled};
    ///
    /// // One close neighbour outweighs two far ones.
    /// let train = labelled(array![[1.0, 0.1], [0.0, 1.0], [-0.1, 1.0]], vec![0, 1, 1])?;
    /// let model = Knn::dino().k(3).fit(&train)?;
    /// assert_eq!(model.predict(&array![[2.0, 0.0]]).to_vec(), [0]);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn dino() -> KnnParams {
        KnnParams { k: 20, metric: Metric::Cosine, votes: Votes::Weighted { temperature: 0.07 } }
    }

    /// The `k` nearest references of each query.
    ///
    /// # Errors
    /// Queries of another width, or not finite.
    pub fn neighbours(&self, queries: ArrayView2<f32>) -> Result<Neighbours> {
        self.index.nearest(queries, self.params.k)
    }

    /// Classes of `queries`; unlike [`linfa::traits::Predict`], bad input is an error and not a panic.
    pub fn try_predict(&self, queries: ArrayView2<f32>) -> Result<Array1<u32>> {
        self.classes(&self.neighbours(queries)?, self.params.k)
    }

    /// As [`Knn::try_predict`], with the matrix products on a candle device.
    ///
    /// # Errors
    /// As there, or whatever the device gives.
    pub fn predict_on(&self, device: &Device, queries: ArrayView2<f32>) -> Result<Array1<u32>> {
        self.classes(&self.index.nearest_on(device, queries, self.params.k)?, self.params.k)
    }

    /// Classes of `queries` for each k of a sweep, from one search with the largest.
    ///
    /// # Errors
    /// No k, a k of 0 or above the number of references, queries of another width or not finite.
    pub fn predict_each(&self, queries: ArrayView2<f32>, ks: &[usize]) -> Result<Vec<Array1<u32>>> {
        let Some(&largest) = ks.iter().max() else {
            return Err(Error::argument("ks", "at least one k", "none"));
        };
        if ks.contains(&0) {
            return Err(Error::argument("ks", "numbers above 0", "0"));
        }
        let neighbours = self.index.nearest(queries, largest)?;
        ks.iter().map(|&k| self.classes(&neighbours, k)).collect()
    }

    /// What the first `k` neighbours of each query vote for.
    fn classes(&self, neighbours: &Neighbours, k: usize) -> Result<Array1<u32>> {
        let queries: Vec<_> = neighbours.rows.axis_iter(Axis(0)).zip(neighbours.distances.axis_iter(Axis(0))).collect();
        let classes: Vec<u32> = queries
            .into_par_iter()
            .map_init(
                || vec![0f64; self.classes.len()],
                |votes, (rows, distances)| self.vote(votes, rows, distances, k),
            )
            .collect();
        Ok(Array1::from(classes))
    }

    fn vote(&self, votes: &mut [f64], rows: ArrayView1<usize>, distances: ArrayView1<f64>, k: usize) -> u32 {
        votes.fill(0.0);
        let nearest = distances.first().copied().unwrap_or(0.0);
        for (&row, &distance) in rows.iter().zip(distances).take(k) {
            votes[self.labels[row]] += match self.params.votes {
                Votes::Uniform => 1.0,
                // Relative to the nearest, so that no temperature makes a weight overflow.
                Votes::Weighted { temperature } => ((nearest - distance) / temperature).exp(),
            };
        }
        let most = votes.iter().copied().fold(0.0, f64::max);
        self.classes[votes.iter().position(|&count| count == most).unwrap_or(0)]
    }
}

impl Fit<ArcArray2<f32>, Array1<u32>, Error> for KnnParams {
    type Object = Knn;

    /// # Errors
    /// k = 0, more neighbours than references, a temperature that is not above 0, features that are empty or not
    /// finite, or more or fewer labels than rows.
    fn fit(&self, data: &Labelled) -> Result<Knn> {
        check_labelled(data)?;
        let n = data.records.nrows();
        if self.k == 0 || self.k > n {
            return Err(Error::argument("k", format!("between 1 and the {n} references"), self.k.to_string()));
        }
        if let Votes::Weighted { temperature } = self.votes
            && !(temperature > 0.0 && temperature.is_finite())
        {
            return Err(Error::argument("temperature", "a finite number above 0", temperature.to_string()));
        }
        let index = Index::new(data.records.clone(), self.metric)?;
        let classes = classes_of(data);
        let place = |label: &u32| classes.partition_point(|class| class < label);
        let labels = data.targets.iter().map(place).collect();
        Ok(Knn { params: self.clone(), index, classes, labels })
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
