//! How pictures look as pictures: dark, light, blurred, empty, of an odd shape or size, grey.
//!
//! Definitions and limits are those of CleanVision 0.3.7 (its `image_property.py`), which is MIT-licensed and written
//! in Python on Pillow; tests/reference/soundness.py holds the scores to it. Two differ on purpose, as a file's mode is
//! gone here, and pixels alone count:
//!
//! - a picture is grey where red, green and blue are the same in every pixel; CleanVision asks whether the file's mode
//!   is `L`;
//! - so the entropy of a grey picture is always that of one band. CleanVision takes that of all three where the file is
//!   a colour file: 1.58 bits (log2 3) more.

mod checks;
mod measure;
mod traits;

pub use checks::{Check, Limits, Shortcoming, odd_sizes, shortcomings};
pub use traits::{FileKind, TRAITS, traits_of};

use image::RgbImage;
use measure::{brightness, entropy, percentiles, sharpness};

/// The percentiles of [`Appearance::brightness_percentiles`].
pub const PERCENTILES: [u8; 7] = [1, 5, 10, 15, 90, 95, 99];

/// What a picture looks like, in numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Appearance {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Brightness of the mean colour, 0 to 1: `sqrt(0.241 R^2 + 0.691 G^2 + 0.068 B^2)`.
    pub brightness: f64,
    /// Percentiles of the brightness of pixels, those of [`PERCENTILES`], 0 to 1.
    pub brightness_percentiles: [f64; 7],
    /// Entropy of the histogram of all bands together, in bits: 0 of one colour in all bands, at most 9.6; of one band,
    /// at most 8, where the picture is grey.
    pub entropy: f64,
    /// Standard deviation of Pillow's `FIND_EDGES` (8 times a pixel less its neighbours, 0 to 255) on the grey picture
    /// of at most 64 pixels a side.
    pub edges: f64,
    /// Standard deviation of the 256 counts of that picture's histogram.
    pub histogram_spread: f64,
    /// Mean of red, green and blue, 0 to 255.
    pub mean: [f64; 3],
    /// Colourfulness, 0 of grey to about 110 of vivid colours (Hasler and Süsstrunk 2003, "Measuring colourfulness in
    /// natural images", SPIE 5007, their M^(3)).
    pub colourfulness: f64,
    /// Whether red, green and blue are the same in every pixel.
    pub grey: bool,
}

impl Appearance {
    /// Measures a picture. One without pixels is black, with the entropy and sharpness of one colour.
    ///
    /// ```
    /// use wider_clip::images::{Appearance, Check, Limits, shortcomings};
    ///
    /// let black = Appearance::of(&image::RgbImage::new(40, 10));
    /// assert_eq!((black.brightness, black.entropy, black.grey, black.aspect()), (0.0, 0.0, true, 0.25));
    /// let found = shortcomings(&black, &Limits::default());
    /// assert!(found.iter().any(|found| found.check == Check::Dark && found.score == 0.0));
    /// ```
    pub fn of(image: &RgbImage) -> Appearance {
        let (width, height) = image.dimensions();
        let n = (f64::from(width) * f64::from(height)).max(1.0);
        let mut sums = [0u64; 3];
        let mut grey = true;
        let (mut red_green, mut yellow_blue) = ((0i64, 0i64), (0i64, 0i64));
        for pixel in image.pixels() {
            let [red, green, blue] = pixel.0.map(i64::from);
            sums.iter_mut().zip(pixel.0).for_each(|(sum, band)| *sum += u64::from(band));
            grey &= red == green && green == blue;
            // The second is doubled: half of red and green less blue.
            let (first, second) = (red - green, red + green - 2 * blue);
            red_green = (red_green.0 + first, red_green.1 + first * first);
            yellow_blue = (yellow_blue.0 + second, yellow_blue.1 + second * second);
        }
        let mean = sums.map(|sum| sum as f64 / n);
        let moments = |(sum, squares): (i64, i64), unit: f64| {
            let mean = sum as f64 / n;
            (mean / unit, (squares as f64 / n - mean * mean).max(0.0).sqrt() / unit)
        };
        let (first, second) = (moments(red_green, 1.0), moments(yellow_blue, 2.0));
        let (edges, histogram_spread) = sharpness(image);
        Appearance {
            width,
            height,
            brightness: brightness(mean),
            brightness_percentiles: percentiles(image, PERCENTILES),
            entropy: entropy(image, grey),
            edges,
            histogram_spread,
            mean,
            colourfulness: first.1.hypot(second.1) + 0.3 * first.0.hypot(second.0),
            grey,
        }
    }

    /// The shorter side over the longer, at most 1; 0 where a side is 0.
    pub fn aspect(&self) -> f64 {
        let (width, height) = (f64::from(self.width), f64::from(self.height));
        if width.min(height) == 0.0 { 0.0 } else { (width / height).min(height / width) }
    }

    /// The side of a square with as many pixels.
    pub fn size(&self) -> f64 {
        f64::from(self.width).sqrt() * f64::from(self.height).sqrt()
    }
}
