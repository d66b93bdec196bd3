//! How alike two representations arrange the same images.

use crate::error::{Error, Result};
use crate::neighbours::check_features;
use crate::scale::{largest, unit};
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// The fewest images with which the unbiased estimate exists.
const FEWEST: usize = 4;

/// Products of all pairs of images under one representation, the diagonal left out: what [`Gram::cka`] compares.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    /// (N, N), zero on the diagonal.
    products: Array2<f64>,
    /// Of the rows.
    sums: Array1<f64>,
    total: f64,
}

impl Gram {
    /// From features `(N, D)`, N at least 4; columns are centred first, which changes no result and keeps digits.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer images, or features that are not finite.
    pub fn new(features: ArrayView2<f32>) -> Result<Gram> {
        if features.nrows() < FEWEST {
            return Err(Error::argument("features", format!("{FEWEST} images or more"), features.nrows().to_string()));
        }
        check_features("features", features)?;
        // Beyond the band, products of products would overflow or vanish; a power of two changes no alignment.
        let unit = f64::from(unit(largest(features)));
        let wide = features.mapv(|x| f64::from(x) * unit);
        let centred = match wide.mean_axis(Axis(0)) {
            Some(mean) => wide - mean,
            None => wide,
        };
        let mut products = centred.dot(&centred.t());
        products.diag_mut().fill(0.0);
        let sums = products.sum_axis(Axis(1));
        let total = sums.sum();
        Ok(Gram { products, sums, total })
    }

    /// Number of images.
    pub fn n_images(&self) -> usize {
        self.products.nrows()
    }

    /// Linear centred kernel alignment of two representations of the same images, in the same order (Kornblith et al.
    /// 2019), from the unbiased estimate of the Hilbert-Schmidt independence criterion (Song et al. 2012, equation 5):
    /// 1 for the same arrangement up to rotation and scale, about 0 for unrelated ones (slightly below is possible)
    /// however many numbers the features have; the plain estimate rises with their length (Murphy et al. 2024).
    ///
    /// ```
    /// use ndarray::array;
    /// use wider_clip::metrics::Gram;
    ///
    /// let a = Gram::new(array![[0.0, 1.0], [1.0, 3.0], [4.0, 0.0], [2.0, 2.0], [5.0, 5.0]].view())?;
    /// let turned = Gram::new(array![[2.0, 0.0], [6.0, -2.0], [0.0, -8.0], [4.0, -4.0], [10.0, -10.0]].view())?;
    /// assert!((a.cka(&turned)? - 1.0).abs() < 1e-12);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] for representations of other numbers of images, or one under which all images are alike
    /// (or so few that its estimate with itself is not above 0): there is no alignment then.
    pub fn cka(&self, other: &Gram) -> Result<f64> {
        if self.n_images() != other.n_images() {
            let expected = format!("{} images, as the first has", self.n_images());
            return Err(Error::argument("second representation", expected, other.n_images().to_string()));
        }
        let (of_a, of_b) = (self.independence(self), other.independence(other));
        if !(of_a > 0.0 && of_b > 0.0) {
            return Err(Error::argument("features", "images that differ", format!("estimates {of_a:e} and {of_b:e}")));
        }
        Ok(self.independence(other) / (of_a * of_b).sqrt())
    }

    /// The unbiased estimate, times n (n - 3).
    fn independence(&self, other: &Gram) -> f64 {
        let n = self.n_images() as f64;
        let together: f64 = self.products.iter().zip(&other.products).map(|(a, b)| a * b).sum();
        together + self.total * other.total / ((n - 1.0) * (n - 2.0)) - 2.0 / (n - 2.0) * self.sums.dot(&other.sums)
    }
}
