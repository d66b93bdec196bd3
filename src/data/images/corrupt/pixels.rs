//! Noise, contrast and large pixels.

use image::RgbImage;

use super::super::decode::from_pixels;
use super::super::resize::{Interpolation, resize};
use crate::error::Result;
use wider_clip_numbers::random::Random;

/// Brightness, 0 to 1.
pub(super) fn light(byte: u8) -> f64 {
    f64::from(byte) / 255.0
}

/// Back to a byte: clipped, and cut, not rounded, as NumPy's `uint8` does.
pub(super) fn to_byte(light: f64) -> u8 {
    (light.clamp(0.0, 1.0) * 255.0) as u8
}

/// Normal noise on each value, a draw after the other in the order of the bytes: row by row, red, green and blue of each pixel.
pub(super) fn gaussian_noise(image: &RgbImage, deviation: f64, draws: &mut Random) -> RgbImage {
    let (width, height) = image.dimensions();
    let noisy = image.as_raw().iter().map(|&byte| to_byte(light(byte) + deviation * draws.normal()));
    from_pixels(width, height, noisy.collect())
}

/// `left` of the distance to the mean of each channel.
pub(super) fn contrast(image: &RgbImage, left: f64) -> RgbImage {
    let (width, height) = image.dimensions();
    let n_pixels = f64::from(width) * f64::from(height);
    let tables: [[u8; 256]; 3] = std::array::from_fn(|channel| {
        // Summed pixel by pixel, as NumPy does over the first two of three axes.
        let sum = image.as_raw()[channel..].iter().step_by(3).fold(0.0, |sum, &byte| sum + light(byte));
        let mean = sum / n_pixels;
        std::array::from_fn(|byte| to_byte((light(byte as u8) - mean) * left + mean))
    });
    let pale = image.as_raw().iter().zip([0, 1, 2].into_iter().cycle());
    from_pixels(width, height, pale.map(|(&byte, channel)| tables[channel][usize::from(byte)]).collect())
}

/// Both sides times `left`, at least one pixel, and back again.
pub(super) fn pixelate(image: &RgbImage, left: f64) -> Result<RgbImage> {
    let (width, height) = image.dimensions();
    let shrunk = |side: u32| ((f64::from(side) * left) as u32).max(1);
    let small = resize(image, shrunk(width), shrunk(height), Interpolation::Box)?;
    resize(&small, width, height, Interpolation::Box)
}
