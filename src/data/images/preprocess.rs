//! From a decoded image to the numbers that a model reads: resize, centre crop, scale, normalise.
//!
//! Sizes, offsets and rounding are those of torchvision's `Resize`, `CenterCrop`, `ToTensor` and `Normalize` on
//! Pillow images, with the crop fraction as timm's evaluation transform uses it, or those of transformers' image
//! processors with their Pillow backend, so that features equal those of the reference implementations. On purpose
//! different: resize and crop are one step (`resize.rs` says why).
//!
//! Measured (tests/preprocess.rs): for the processors of all hub records and five of torchvision's presets, on fourteen
//! awkward files, squares are equal to the bit and numbers to 1e-6. The torchvision backend of transformers, its
//! default since version 5, gives other squares than its Pillow backend: most are one or two grey levels away in less
//! than 2% of the bytes, up to three levels and 17% where Pillow makes the image lower before it makes it narrower.

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::resize::{Interpolation, Window, resize, resize_window};
use crate::error::{Error, Result};

/// How an image of any shape becomes a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// The shorter side becomes `floor(size / crop_pct)`, then the centre is cropped: keeps the shape of things. The
    /// crop starts at half the surplus, a half rounded to the even neighbour, as in torchvision, timm and open_clip.
    Shorter,
    /// As `Shorter`, but half of an odd surplus is rounded down, as in the image processors of transformers (CLIP,
    /// ConvNeXT): the crop may start one pixel earlier.
    ShortestEdge,
    /// Both sides become `size` at once: keeps all of the image, but not its shape. `crop_pct` must be 1.
    Squash,
}

/// A model's preprocessing record, as read from its manifest.
///
/// ```
/// use wider_clip::images::{Interpolation, Preprocess, ResizeMode};
/// let preprocess = Preprocess {
///     size: 2,
///     crop_pct: 1.0,
///     resize: ResizeMode::Shorter,
///     interpolation: Interpolation::Bicubic,
///     mean: [0.5; 3],
///     std: [0.5; 3],
/// };
/// let white = image::RgbImage::from_pixel(6, 4, image::Rgb([255; 3]));
/// assert_eq!(preprocess.apply(&white)?, [1.0; 12]); // (1 - 0.5) / 0.5 for 3 channels of 2 x 2
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Side of the square that the model sees, in pixels.
    pub size: usize,
    /// The part of the resized shorter side that the crop keeps, in (0, 1].
    pub crop_pct: f64,
    /// How the image becomes a square.
    pub resize: ResizeMode,
    /// Filter of the resize, always with antialias (except `Nearest`).
    pub interpolation: Interpolation,
    /// Subtracted from each channel (R, G, B) after scaling to 0..=1.
    pub mean: [f32; 3],
    /// Divides each channel after the mean is gone.
    pub std: [f32; 3],
}

/// Largest `size`: more than any model here uses, and small enough that 3 * size * size floats are 200 MB.
const MAX_SIZE: usize = 4096;

impl Preprocess {
    /// Says whether the settings make sense.
    ///
    /// # Errors
    /// [`Error::Argument`] for a size of 0 or above 4096, a crop fraction outside (0, 1] or so small that the
    /// resized image would have sides above 65,535, squashing with a crop, a mean that is not finite, or a standard
    /// deviation that is not a positive number.
    pub fn check(&self) -> Result<()> {
        if self.size == 0 || self.size > MAX_SIZE {
            return Err(Error::argument("size", format!("1 to {MAX_SIZE} pixels"), self.size.to_string()));
        }
        // Written so that NaN fails.
        if !(self.crop_pct > 0.0 && self.crop_pct <= 1.0) || self.size as f64 / self.crop_pct > 65_535.0 {
            return Err(Error::argument("crop_pct", "a fraction in (0, 1], not tiny", self.crop_pct.to_string()));
        }
        if self.resize == ResizeMode::Squash && self.crop_pct != 1.0 {
            return Err(Error::argument("crop_pct", "1 where resize is `squash`", self.crop_pct.to_string()));
        }
        if !self.mean.iter().all(|mean| mean.is_finite()) {
            return Err(Error::argument("mean", "three finite numbers", format!("{:?}", self.mean)));
        }
        if !self.std.iter().all(|&std| std.is_finite() && std > 0.0) {
            return Err(Error::argument("std", "three positive numbers", format!("{:?}", self.std)));
        }
        Ok(())
    }

    /// The square that the model sees, before its values are scaled: for galleries and for a look at the data.
    ///
    /// # Errors
    /// As [`Preprocess::check`], and [`Error::Argument`] for an image without pixels.
    pub fn square(&self, image: &RgbImage) -> Result<RgbImage> {
        self.check()?;
        let size = self.size as u32; // checked above: at most 4096
        if self.resize == ResizeMode::Squash {
            return resize(image, size, size, self.interpolation);
        }
        let shorter = (self.size as f64 / self.crop_pct).floor() as u32;
        let (width, height) = shorter_side_to(image.dimensions(), shorter)?;
        let offset = |side: u32| match self.resize {
            ResizeMode::ShortestEdge => (side - size) / 2,
            // As Python's `round` does.
            _ => (f64::from(side - size) / 2.0).round_ties_even() as u32,
        };
        let window = Window { left: offset(width), top: offset(height), width: size, height: size };
        resize_window(image, width, height, window, self.interpolation)
    }

    /// The model's input: channels, rows, columns (C, H, W), `3 * size * size` values of `(x / 255 - mean) / std`.
    ///
    /// # Errors
    /// As [`Preprocess::square`].
    pub fn apply(&self, image: &RgbImage) -> Result<Vec<f32>> {
        let square = self.square(image)?;
        let mut out = Vec::with_capacity(3 * self.size * self.size);
        for channel in 0..3 {
            let value_of = |byte: u8| (f32::from(byte) / 255.0 - self.mean[channel]) / self.std[channel];
            let table: [f32; 256] = std::array::from_fn(|byte| value_of(byte as u8));
            out.extend(square.as_raw()[channel..].iter().step_by(3).map(|&byte| table[usize::from(byte)]));
        }
        Ok(out)
    }
}

/// Width and height once the shorter side is `shorter`; the longer is cut to whole pixels, not rounded.
fn shorter_side_to((width, height): (u32, u32), shorter: u32) -> Result<(u32, u32)> {
    if width == 0 || height == 0 {
        return Err(Error::argument("image", "at least one pixel", format!("{width}x{height}")));
    }
    let long_side = |long: u32, short: u32| {
        // Whole numbers first: torchvision multiplies integers and only the division is floating.
        let exact = (u64::from(shorter) * u64::from(long)) as f64 / f64::from(short);
        let fits = exact < f64::from(u32::MAX);
        let wrong = || Error::argument("image", "sides that can be resized", format!("{width}x{height}"));
        fits.then_some(exact as u32).ok_or_else(wrong)
    };
    if width <= height { Ok((shorter, long_side(height, width)?)) } else { Ok((long_side(width, height)?, shorter)) }
}
