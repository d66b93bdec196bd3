//! Gaussian blur, as `skimage.filters.gaussian` does it with SciPy's `gaussian_filter`: weights up to four deviations, columns
//! first and rows then, in `f64`, the edge repeated beyond the edge. The sums are SciPy's to the last digit, since results are cut
//! and not rounded: an even area of 200 becomes 199 where its weights sum to a little less than one.

use image::RgbImage;

use super::super::decode::from_pixels;
use super::pixels::{light, to_byte};

/// The image blurred by a Gaussian of this deviation, in pixels.
pub(super) fn gaussian_blur(image: &RgbImage, deviation: f64) -> RgbImage {
    let (width, height) = image.dimensions();
    let weights = weights(deviation);
    let (stride, reach) = (3 * width as usize, 3 * (weights.len() - 1));
    let lights: Vec<f64> = image.as_raw().iter().map(|&byte| light(byte)).collect();
    let mut between = vec![0.0; lights.len()];
    let row = |y: usize| &lights[y.min(height as usize - 1) * stride..][..stride];
    for (y, out) in between.chunks_exact_mut(stride).enumerate() {
        weigh(out, row(y), &weights, |k| (row(y.saturating_sub(k)), row(y + k)));
    }
    // A row with its first and last pixel repeated as far as the weights reach.
    let mut line = vec![0.0; stride + 2 * reach];
    let mut sums = vec![0.0; stride];
    let mut bytes = Vec::with_capacity(lights.len());
    for row in between.chunks_exact(stride) {
        line[reach..][..stride].copy_from_slice(row);
        line[..reach].chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&row[..3]));
        line[reach + stride..].chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&row[stride - 3..]));
        let at = |start: usize| &line[start..][..stride];
        weigh(&mut sums, at(reach), &weights, |k| (at(reach - 3 * k), at(reach + 3 * k)));
        bytes.extend(sums.iter().map(|&sum| to_byte(sum)));
    }
    from_pixels(width, height, bytes)
}

/// Weighs each value of `centre` and the values `k` before and `k` behind it, which `pair` gives, the farthest first.
fn weigh<'a>(out: &mut [f64], centre: &[f64], weights: &[f64], pair: impl Fn(usize) -> (&'a [f64], &'a [f64])) {
    for (out, value) in out.iter_mut().zip(centre) {
        *out = value * weights[0];
    }
    for (k, weight) in weights.iter().enumerate().skip(1).rev() {
        let (before, behind) = pair(k);
        for ((out, before), behind) in out.iter_mut().zip(before).zip(behind) {
            *out += (before + behind) * weight;
        }
    }
}

/// The weight of the centre and of each distance up to four deviations.
fn weights(deviation: f64) -> Vec<f64> {
    let radius = (4.0 * deviation + 0.5) as usize;
    let falloff = -0.5 / (deviation * deviation);
    let half: Vec<f64> = (0..=radius).map(|k| (falloff * (k * k) as f64).exp()).collect();
    let both: Vec<f64> = half[1..].iter().rev().chain(&half).copied().collect();
    let sum = sum_of(&both);
    half.iter().map(|weight| weight / sum).collect()
}

/// The sum in NumPy's order: up to 128 numbers in eight lanes, and what is over one by one.
fn sum_of(values: &[f64]) -> f64 {
    let (lanes, over) = values.as_chunks::<8>();
    let Some((first, others)) = lanes.split_first() else { return values.iter().sum() };
    let mut sums = *first;
    for lane in others {
        sums.iter_mut().zip(lane).for_each(|(sum, value)| *sum += value);
    }
    let [a, b, c, d, e, f, g, h] = sums;
    over.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, value| sum + value)
}
