//! Small pictures for galleries, and PNG files to embed in a page.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::resize::{Interpolation, resize};
use crate::error::{Error, Result};

/// The image shrunk to fit a square of `side` pixels with its shape kept, one pixel at least on the shorter side.
/// An image that fits already comes back as it is, as does one without pixels, and any where `side` is zero.
///
/// ```
/// let wide = image::RgbImage::new(200, 50);
/// assert_eq!(wider_clip::images::thumbnail(&wide, 100).dimensions(), (100, 25));
/// ```
pub fn thumbnail(image: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    if longer <= side || side == 0 || width == 0 || height == 0 {
        return image.clone();
    }
    let shrunk = |length: u32| (f64::from(length) * f64::from(side) / f64::from(longer)).round().max(1.0) as u32;
    resize(image, shrunk(width), shrunk(height), Interpolation::Bicubic).expect("no side is zero")
}

/// The image as the bytes of a PNG file, without loss.
///
/// # Errors
/// [`Error::Argument`] where the image has no pixels.
pub fn encode_png(image: &RgbImage) -> Result<Vec<u8>> {
    let (width, height) = image.dimensions();
    let mut bytes = Vec::new();
    // Thumbnails end up inside saved notebooks: smaller is worth a little time.
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive)
        .write_image(image.as_raw(), width, height, ExtendedColorType::Rgb8)
        .map_err(|problem| Error::argument("encode_png", "an image that PNG can hold", problem.to_string()))?;
    Ok(bytes)
}
