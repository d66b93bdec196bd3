//! Gaussian blur.

use super::check_view;
use crate::error::{Error, Result};

/// Blurs a view with a Gaussian of standard deviation `sigma`, in pixels.
///
/// `view`: `3 * size * size` values (C, H, W), changed in place. The kernel reaches `3 * sigma` pixels, rounded up, to
/// each side and sums to one; beyond the edge the view's last pixel is repeated. torchvision's `gaussian_blur` with
/// that kernel size gives the same but at the edges, which it reflects. Pillow's `GaussianBlur`, which DINO calls,
/// repeats the edge as well, but is made of three box blurs: it blurs a little more where `sigma` is well below a
/// pixel, and differs by up to 22 of 255 grey levels in thin lines.
///
/// # Errors
/// [`Error::Argument`] for a sigma that is not positive or larger than `size`, or a view of another length.
pub fn blur(view: &mut [f32], size: usize, sigma: f64) -> Result<()> {
    check_view(view, size)?;
    if !(sigma > 0.0 && sigma <= size as f64) {
        let expected = format!("more than 0 pixels and at most the view's {size}");
        return Err(Error::argument("sigma", expected, sigma.to_string()));
    }
    let radius = (3.0 * sigma).ceil() as usize;
    let kernel = kernel(radius, sigma);
    let nearest = |padded: usize| padded.saturating_sub(radius).min(size - 1);
    // One row with what lies beyond its edges, and one channel.
    let mut padded = vec![0.0; size + 2 * radius];
    let mut lowered = vec![0.0; size * size];
    for channel in view.chunks_exact_mut(size * size) {
        for (y, out) in lowered.chunks_exact_mut(size).enumerate() {
            out.fill(0.0);
            for (k, weight) in kernel.iter().enumerate() {
                let row = &channel[size * nearest(y + k)..][..size];
                out.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
        }
        for (row, out) in lowered.chunks_exact(size).zip(channel.chunks_exact_mut(size)) {
            for (x, value) in padded.iter_mut().enumerate() {
                *value = row[nearest(x)];
            }
            out.fill(0.0);
            for (shifted, weight) in padded.windows(size).zip(&kernel) {
                out.iter_mut().zip(shifted).for_each(|(sum, value)| *sum += weight * value);
            }
        }
    }
    Ok(())
}

/// Weights at `-radius..=radius`, sum one.
fn kernel(radius: usize, sigma: f64) -> Vec<f32> {
    let weight = |k: usize| (-0.5 * ((k as f64 - radius as f64) / sigma).powi(2)).exp();
    let exact: Vec<f64> = (0..=2 * radius).map(weight).collect();
    let sum: f64 = exact.iter().sum();
    exact.iter().map(|weight| (weight / sum) as f32).collect()
}
