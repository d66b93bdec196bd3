//! How good a representation is while it is learned: nearest neighbours on held-out images, and signs of collapse.

use super::corpus::{Corpus, SIDE};
use crate::augment::Augmentation;
use crate::error::{Error, Result};
use crate::models::Backbone;
use crate::probe::knn::Knn;
use crate::probe::labelled;
use crate::random::Random;
use candle_core::{DType, Device, Tensor};
use linfa::traits::Fit;
use ndarray::{Array2, ArrayView2, Axis};

/// Images that pass through the network together.
const BATCH: usize = 128;

/// Numbers on the held-out images of a corpus that have a class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probe {
    /// Accuracy of DINO's nearest-neighbour classifier (k = 20), two thirds of the images being the references.
    pub knn_accuracy: f64,
    /// See [`feature_deviation`].
    pub feature_deviation: f64,
    /// See [`effective_rank`].
    pub effective_rank: f64,
}

impl Probe {
    /// Measures `backbone` on whole images resized to `size`, by its feature called `pooling`.
    ///
    /// # Errors
    /// A pooling that the backbone does not give; features that are not finite.
    pub fn measure(
        backbone: &dyn Backbone,
        pooling: &str,
        size: usize,
        corpus: &Corpus,
        device: &Device,
    ) -> Result<Probe> {
        let other = corpus.other();
        let held_out = corpus.held_out().iter().copied();
        let rows: Vec<usize> = held_out.filter(|&row| Some(corpus.labels[row]) != other).collect();
        let features = features(backbone, pooling, size, corpus, &rows, device)?;
        let labels: Vec<u32> = rows.iter().map(|&row| corpus.labels[row]).collect();
        // Every third image is a query: rows are ordered by icon set.
        let (queries, references): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|i| i % 3 == 2);
        let of = |some: &[usize]| some.iter().map(|&i| labels[i]).collect::<Vec<u32>>();
        let train = labelled(features.select(Axis(0), &references), of(&references))?;
        let knn = Knn::dino().k(20.min(references.len())).fit(&train)?;
        let predicted = knn.try_predict(features.select(Axis(0), &queries).view())?;
        let right = predicted.iter().zip(of(&queries)).filter(|(a, b)| **a == *b).count();
        Ok(Probe {
            knn_accuracy: right as f64 / queries.len() as f64,
            feature_deviation: feature_deviation(features.view()),
            effective_rank: effective_rank(features.view()),
        })
    }
}

/// Features of whole images, (N, D).
fn features(
    backbone: &dyn Backbone,
    pooling: &str,
    size: usize,
    corpus: &Corpus,
    rows: &[usize],
    device: &Device,
) -> Result<Array2<f32>> {
    let plain = Augmentation::plain(size);
    let (mut values, length) = (Vec::new(), 3 * size * size);
    for rows in rows.chunks(BATCH) {
        let mut views = vec![0f32; rows.len() * length];
        for (row, view) in rows.iter().zip(views.chunks_exact_mut(length)) {
            plain.draw(corpus.image(*row), SIDE, &mut Random::new("plain", 0, 0), view)?;
        }
        let images = Tensor::from_vec(views, (rows.len(), 3, size, size), device)?;
        let features = backbone.forward_features(&images)?;
        let known = || features.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let Some((_, feature)) = features.iter().find(|(name, _)| *name == pooling) else {
            return Err(Error::Unknown { kind: "pooling", name: pooling.into(), known: known() });
        };
        values.extend(feature.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
    }
    let width = values.len() / rows.len().max(1);
    let shape = (rows.len(), width);
    Array2::from_shape_vec(shape, values)
        .map_err(|error| Error::argument("features", format!("{shape:?}"), error.to_string()))
}

/// Mean over the D numbers of their standard deviation over features (N, D) of length 1, times sqrt(D): 1 where
/// directions are spread evenly, 0 where all features point one way (Chen and He 2021, section 4.1).
///
/// ```
/// use ndarray::array;
/// use wider_clip::pretrain::feature_deviation;
///
/// assert!(feature_deviation(array![[3.0, 1.0], [6.0, 2.0]].view()) < 1e-6);
/// let all_around = array![[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]];
/// assert!((feature_deviation(all_around.view()) - 1.0).abs() < 1e-6);
/// ```
pub fn feature_deviation(features: ArrayView2<f32>) -> f64 {
    let mut unit = features.mapv(f64::from);
    for mut row in unit.rows_mut() {
        let length = row.dot(&row).sqrt().max(1e-12);
        row.mapv_inplace(|x| x / length);
    }
    let deviations = unit.std_axis(Axis(0), 0.0);
    deviations.mean().unwrap_or(0.0) * (unit.ncols() as f64).sqrt()
}

/// How many directions the features (N, D) vary in: (sum of the eigenvalues of their covariance)^2 over the sum of their
/// squares, the participation ratio. From 1, all on a line, to D, spread evenly; 0 where they do not vary.
///
/// ```
/// use ndarray::array;
/// use wider_clip::pretrain::effective_rank;
///
/// assert!((effective_rank(array![[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]].view()) - 2.0).abs() < 1e-6);
/// assert!((effective_rank(array![[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]].view()) - 1.0).abs() < 1e-6);
/// ```
pub fn effective_rank(features: ArrayView2<f32>) -> f64 {
    let wide = features.mapv(f64::from);
    let Some(mean) = wide.mean_axis(Axis(0)) else { return 0.0 };
    let centred = wide - mean;
    // The eigenvalues' sum is the covariance's trace, their squares' sum its squared entries'.
    let covariance = centred.t().dot(&centred);
    let (trace, squares) = (covariance.diag().sum(), covariance.iter().map(|x| x * x).sum::<f64>());
    if squares > 0.0 { trace * trace / squares } else { 0.0 }
}
