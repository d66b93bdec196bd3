//! The curve 1 / (1 + a d^2b) that says how close two rows at distance d on the map are taken to be.

use crate::error::{Error, Result};

/// a and b for which the curve comes closest (least squares over 300 points up to 3 `spread`) to 1 below `min_dist` and
/// exp(-(d - min_dist) / spread) beyond: umap-learn's `find_ab_params`, by the method of Levenberg and Marquardt.
///
/// # Errors
/// A spread that is not above 0, a minimal distance that is negative or above 3 spreads.
///
/// ```
/// let (a, b) = wider_clip::clustering::umap::fit_curve(0.1, 1.0)?;
/// assert!((a - 1.576943).abs() < 1e-5 && (b - 0.895061).abs() < 1e-5);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn fit_curve(min_dist: f64, spread: f64) -> Result<(f64, f64)> {
    if !(spread > 0.0 && spread.is_finite()) {
        return Err(Error::argument("spread", "a finite number above 0", spread.to_string()));
    }
    if !(0.0..=3.0 * spread).contains(&min_dist) {
        return Err(Error::argument("min_dist", "between 0 and 3 spreads", min_dist.to_string()));
    }
    let points: Vec<(f64, f64)> = (0..300)
        .map(|i| {
            let x = 3.0 * spread * i as f64 / 299.0;
            (x, if x < min_dist { 1.0 } else { (-(x - min_dist) / spread).exp() })
        })
        .collect();
    let curve = |x: f64, a: f64, b: f64| 1.0 / (1.0 + a * x.powf(2.0 * b));
    let loss = |a: f64, b: f64| points.iter().map(|&(x, y)| (curve(x, a, b) - y).powi(2)).sum::<f64>();
    let (mut a, mut b, mut damping) = (1.0, 1.0, 1e-3);
    for _ in 0..200 {
        // Normal equations of the linearised curve: J'J step = -J'r.
        let (mut aa, mut ab, mut bb, mut ra, mut rb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(x, y) in points.iter().skip(1) {
            let value = curve(x, a, b);
            let power = x.powf(2.0 * b);
            let (by_a, by_b) = (-power * value * value, -2.0 * a * power * x.ln() * value * value);
            let rest = value - y;
            (aa, ab, bb) = (aa + by_a * by_a, ab + by_a * by_b, bb + by_b * by_b);
            (ra, rb) = (ra + by_a * rest, rb + by_b * rest);
        }
        let (daa, dbb) = (aa * (1.0 + damping), bb * (1.0 + damping));
        let determinant = daa * dbb - ab * ab;
        let step = ((-ra * dbb + rb * ab) / determinant, (-rb * daa + ra * ab) / determinant);
        if loss(a + step.0, b + step.1) <= loss(a, b) {
            (a, b, damping) = (a + step.0, b + step.1, damping / 3.0);
            if step.0.abs() + step.1.abs() < 1e-12 {
                break;
            }
        } else {
            damping *= 4.0;
        }
    }
    Ok((a, b))
}
