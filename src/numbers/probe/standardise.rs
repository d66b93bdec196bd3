//! Features brought to mean 0 and standard deviation 1, column by column, as scikit-learn's `StandardScaler` does.
//!
//! linfa-preprocessing has the same; it would bring text vectorisers and their dependencies along.

use crate::error::{Error, Result};
use crate::neighbours::{check_features, check_width};
use crate::products::column_means;
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Means and standard deviations of the columns of training features.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardiser {
    mean: Array1<f64>,
    /// Population standard deviations (divided by N); 1 for a column that does not vary.
    deviation: Array1<f64>,
}

impl Standardiser {
    /// Learns from features `(N, D)`.
    ///
    /// # Errors
    /// Features that are empty or not finite.
    ///
    /// ```
    /// use ndarray::array;
    /// use wider_clip::probe::standardise::Standardiser;
    ///
    /// let scaler = Standardiser::fit(array![[1.0, 7.0], [3.0, 7.0]].view())?;
    /// assert_eq!(scaler.apply(array![[1.0, 7.0], [5.0, 9.0]].view())?, array![[-1.0, 0.0], [3.0, 2.0]]);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn fit(features: ArrayView2<f32>) -> Result<Standardiser> {
        check_features("features", features)?;
        let n = features.nrows() as f64;
        let mean = column_means(features);
        let mut squares = Array1::<f64>::zeros(features.ncols());
        for row in features.axis_iter(Axis(0)) {
            ndarray::Zip::from(&mut squares)
                .and(row)
                .and(&mean)
                .for_each(|sum, &x, m| *sum += (f64::from(x) - m).powi(2));
        }
        // What is left of a constant column after rounding counts as constant.
        let constant = |square: f64, mean: f64| (square / n).sqrt() <= 10.0 * f64::EPSILON * mean.abs() * n.sqrt();
        let deviation = ndarray::Zip::from(&squares)
            .and(&mean)
            .map_collect(|&square, &mean| if constant(square, mean) { 1.0 } else { (square / n).sqrt() });
        Ok(Standardiser { mean, deviation })
    }

    /// The same means, every column divided by the root of its variance and of `floor` together.
    pub(super) fn with_floor(&self, floor: f64) -> Standardiser {
        Standardiser {
            mean: self.mean.clone(),
            deviation: self.deviation.mapv(|deviation| deviation.hypot(floor.sqrt())),
        }
    }

    /// `(x - mean) / deviation` of every value.
    ///
    /// # Errors
    /// Features of another width than was learned from; a value so far off that it is beyond f32 afterwards.
    pub fn apply(&self, features: ArrayView2<f32>) -> Result<Array2<f32>> {
        check_width(self.mean.len(), features)?;
        let mut scaled = features.to_owned();
        let mut finite = true;
        for mut row in scaled.axis_iter_mut(Axis(0)) {
            ndarray::Zip::from(&mut row)
                .and(&self.mean)
                .and(&self.deviation)
                .for_each(|x, mean, deviation| *x = ((f64::from(*x) - mean) / deviation) as f32);
            finite &= row.iter().map(|x| x * 0.0).sum::<f32>() == 0.0;
        }
        if !finite && let Some(((row, column), value)) = scaled.indexed_iter().find(|(_, value)| !value.is_finite()) {
            let found = format!("{} in row {row}, column {column}, which becomes {value}", features[[row, column]]);
            return Err(Error::argument("features", "numbers that f32 holds once standardised", found));
        }
        Ok(scaled)
    }

    /// The value of `column` that stands for `x`, in f64.
    pub(super) fn value(&self, column: usize, x: f32) -> f64 {
        (f64::from(x) - self.mean[column]) / self.deviation[column]
    }

    /// Mean and standard deviation of a column (1 for one that does not vary).
    pub(super) fn of_column(&self, column: usize) -> (f64, f64) {
        (self.mean[column], self.deviation[column])
    }
}
