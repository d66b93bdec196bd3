//! The single measures, as Pillow and numpy have them.

use super::super::resize::{Interpolation, resize};
use image::RgbImage;

/// Pixels a side to which a picture is brought before its edges are looked for.
const EDGES_SIDE: u32 = 64;

/// Brightness, 0 to 1, of a colour of 0 to 255.
pub(super) fn brightness([red, green, blue]: [f64; 3]) -> f64 {
    (0.241 * red * red + 0.691 * green * green + 0.068 * blue * blue).sqrt() / 255.0
}

/// Percentiles of the brightness of pixels, between two of them in proportion, as numpy's.
pub(super) fn percentiles<const N: usize>(image: &RgbImage, which: [u8; N]) -> [f64; N] {
    // Thousands of the squared brightness are whole numbers: they sort exactly.
    let key = |pixel: &image::Rgb<u8>| {
        let [red, green, blue] = pixel.0.map(u32::from);
        241 * red * red + 691 * green * green + 68 * blue * blue
    };
    let mut keys: Vec<u32> = image.pixels().map(key).collect();
    if keys.is_empty() {
        return [0.0; N];
    }
    let last = keys.len() - 1;
    let value = |key: u32| (f64::from(key) / 1000.0).sqrt() / 255.0;
    which.map(|percent| {
        let place = f64::from(percent) / 100.0 * last as f64;
        let below = (place.floor() as usize).min(last);
        let (_, &mut low, above) = keys.select_nth_unstable(below);
        let high = above.iter().min().copied().unwrap_or(low);
        value(low) + (value(high) - value(low)) * (place - below as f64)
    })
}

/// Entropy in bits of the histogram of all bands, or of one where the picture is grey.
pub(super) fn entropy(image: &RgbImage, grey: bool) -> f64 {
    let bands = if grey { 1 } else { 3 };
    let mut counts = [[0u64; 256]; 3];
    for pixel in image.pixels() {
        (0..bands).for_each(|band| counts[band][usize::from(pixel.0[band])] += 1);
    }
    let total = counts.iter().flatten().sum::<u64>() as f64;
    let shares = counts.iter().flatten().filter(|count| **count > 0).map(|&count| count as f64 / total);
    // Not -0 of one colour.
    shares.map(|share| -share * share.log2()).sum::<f64>().max(0.0)
}

/// Standard deviations of the edges and of the histogram's counts of the small grey picture.
pub(super) fn sharpness(image: &RgbImage) -> (f64, f64) {
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return (0.0, 0.0);
    }
    let ratio = f64::from(width.max(height)) / f64::from(EDGES_SIDE);
    // Python's `//` on floats rounds the quotient down.
    let side = |side: u32| ((f64::from(side) / ratio).floor() as u32).max(1);
    let small = match ratio > 1.0 {
        true => &resize(image, side(width), side(height), Interpolation::Bicubic).expect("no side is zero"),
        false => image,
    };
    let level = |[red, green, blue]: [u8; 3]| {
        (u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471 + 0x8000) >> 16
    };
    let grey: Vec<i64> = small.pixels().map(|pixel| i64::from(level(pixel.0))).collect();
    let mut counts = [0u64; 256];
    grey.iter().for_each(|&level| counts[level as usize] += 1);
    (
        deviation(edges(&grey, small.width() as usize).into_iter()),
        deviation(counts.into_iter().map(|count| count as i64)),
    )
}

/// Eight times each pixel less its neighbours, cut to 0 to 255; at the border the pixel itself, as Pillow's filters
/// leave it.
fn edges(grey: &[i64], width: usize) -> Vec<i64> {
    let height = grey.len() / width;
    let mut edges = grey.to_vec();
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let around = (y - 1..=y + 1).flat_map(|y| grey[y * width + x - 1..=y * width + x + 1].iter());
            edges[y * width + x] = (9 * grey[y * width + x] - around.sum::<i64>()).clamp(0, 255);
        }
    }
    edges
}

fn deviation(values: impl ExactSizeIterator<Item = i64>) -> f64 {
    let n = values.len() as f64;
    let (sum, squares) = values.fold((0i64, 0i64), |(sum, squares), value| (sum + value, squares + value * value));
    let (sum, squares) = (sum as f64, squares as f64);
    ((squares - sum * sum / n) / n).max(0.0).sqrt()
}
