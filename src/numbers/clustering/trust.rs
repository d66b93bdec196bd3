//! How far a map keeps neighbourhoods.

use crate::error::{Error, Result};
use crate::neighbours::{Index, Metric, check_features};
use crate::products::squared_distance;
use ndarray::{ArcArray2, ArrayView2, Axis};
use rayon::prelude::*;

/// Trustworthiness (Venna and Kaski 2001): 1 less a penalty for every row among the `k` nearest on the map that is not
/// among the k nearest in the features, by how far off it is there; 1 where no neighbour is new, about 0.5 for a random
/// map. Euclidean, scikit-learn's `manifold.trustworthiness`. Takes N^2 D operations.
///
/// # Errors
/// Arrays of different lengths, empty or not finite; k = 0, or k of half the rows or more.
///
/// ```
/// use ndarray::array;
/// use wider_clip::clustering::trustworthiness;
///
/// let line = array![[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [5.0, 0.0], [9.0, 0.0]];
/// let kept = line.column(0).mapv(|x| 3.0 * x).insert_axis(ndarray::Axis(1));
/// assert_eq!(trustworthiness(&line.into_shared(), &kept.into_shared(), 1)?, 1.0);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn trustworthiness(features: &ArcArray2<f32>, map: &ArcArray2<f32>, k: usize) -> Result<f64> {
    check_features("features", features.view())?;
    check_features("map", map.view())?;
    let n = features.nrows();
    if map.nrows() != n {
        return Err(Error::argument("map", format!("{n} rows, one a feature row"), map.nrows().to_string()));
    }
    if k == 0 || 2 * k >= n {
        return Err(Error::argument("k", format!("at least 1 and below half of {n} rows"), k.to_string()));
    }
    let near = Index::new(map.clone(), Metric::Euclidean)?.within(k + 1)?;
    let features = features.as_standard_layout();
    let features: ArrayView2<f32> = features.view();
    let row = |row: usize| features.index_axis(Axis(0), row).to_slice().unwrap_or(&[]);
    let penalty = |i: usize| {
        let squares: Vec<f64> = (0..n).map(|j| squared_distance(row(i), row(j))).collect();
        let neighbours = near.rows.row(i).into_iter().copied().filter(|&j| j != i).take(k);
        let rank =
            |j: usize| (0..n).filter(|&other| other != i && (squares[other], other) < (squares[j], j)).count() + 1;
        neighbours.map(|j| rank(j).saturating_sub(k) as f64).sum::<f64>()
    };
    let total: f64 = (0..n).into_par_iter().map(penalty).collect::<Vec<f64>>().iter().sum();
    Ok(1.0 - total * 2.0 / (n as f64 * k as f64 * (2.0 * n as f64 - 3.0 * k as f64 - 1.0)))
}
