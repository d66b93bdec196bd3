//! Images made worse by a known amount, as in ImageNet-C: noise, blur, JPEG, less contrast, larger pixels.
//!
//! Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations". The
//! reference is their own program (github.com/hendrycks/robustness at commit 8190fe3, `ImageNet-C/create_c`), with its two
//! tables of strengths ([`Scale`]). tests/reference/corruptions.py runs the same lines with today's NumPy, SciPy, scikit-image
//! and Pillow; of 150 results on images of 37 x 50, 64 x 64 and 224 x 224 pixels every byte is equal.
//!
//! On purpose different:
//! - Noise comes from the project's own draws, by seed, image, kind and strength, so that an image always gets the same noise,
//!   whatever else is read, in whatever order, on however many threads.
//! - Images keep their size and shape, where the reference has squares of 224 or 64 pixels. So [`CorruptionKind::Pixelate`]
//!   shrinks each side by the same factor.
//! - The result is not saved as another JPEG of quality 85, as the published files are.
//!
//! The weights of the blur are made with the exponential function of the system's library. glibc rounds all of those used here
//! as they should be; a library that does not may move single bytes by one level. (NumPy's own on a processor with AVX-512
//! differs in six of the 89 weights, all by a last digit: at a deviation of 2 pixels four of the 256 even levels come out one
//! lower or higher, at the others none, and no byte of three photographs.)
//!
//! One thread makes 4,000 noisy images of 64 x 64 pixels a second, 2,800 or more blurred ones, 15,000 or more of the other kinds;
//! of 224 x 224 pixels 340, 180 and 1,260.

mod blur;
mod jpeg;
mod pixels;
mod strengths;

use std::fmt;
use std::ops::RangeInclusive;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::decode::Refusal;
use crate::error::{Error, Result};
use crate::key::Key;
use wider_clip_numbers::random::Random;

pub use strengths::Scale;

/// Raised whenever a change here moves a pixel.
const CODE_VERSION: u32 = 1;

/// What is done to an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorruptionKind {
    /// Normal noise is added to each value; the amount is its deviation, of values from 0 to 1.
    GaussianNoise,
    /// A Gaussian blur; the amount is its deviation in pixels. Beyond an edge, the pixels of the edge go on.
    GaussianBlur,
    /// Saved as JPEG (4:2:0) and read again; the amount is the quality, so a smaller one is worse.
    Jpeg,
    /// Each channel is drawn towards its mean; the amount is the part of the contrast that is left.
    Contrast,
    /// Shrunk and enlarged again, pixel by pixel; the amount is the part of each side that is left.
    Pixelate,
}

impl CorruptionKind {
    /// All kinds.
    pub const ALL: [CorruptionKind; 5] = [
        CorruptionKind::GaussianNoise,
        CorruptionKind::GaussianBlur,
        CorruptionKind::Jpeg,
        CorruptionKind::Contrast,
        CorruptionKind::Pixelate,
    ];

    /// Its name in tables and keys: `gaussian_noise`, `gaussian_blur`, `jpeg`, `contrast`, `pixelate`.
    pub fn name(self) -> &'static str {
        match self {
            CorruptionKind::GaussianNoise => "gaussian_noise",
            CorruptionKind::GaussianBlur => "gaussian_blur",
            CorruptionKind::Jpeg => "jpeg",
            CorruptionKind::Contrast => "contrast",
            CorruptionKind::Pixelate => "pixelate",
        }
    }
}

impl fmt::Display for CorruptionKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A kind at one of five strengths, by one of two tables.
///
/// ```
/// use wider_clip::images::{Corruption, CorruptionKind, Scale};
///
/// let grey = image::RgbImage::from_fn(2, 1, |x, _| image::Rgb([100 * x as u8; 3]));
/// let least = Corruption::new(CorruptionKind::Contrast, 5, Scale::ImageNet)?;
/// assert_eq!(least.amount(), 0.05);
/// // The mean is 50, and a twentieth of the distance to it is left: 47.5 and 52.5, cut to whole levels.
/// assert_eq!(least.apply(&grey, "grey", 0)?.into_raw(), [47, 47, 47, 52, 52, 52]);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Corruption {
    kind: CorruptionKind,
    strength: u8,
    scale: Scale,
}

impl Corruption {
    /// The strengths there are, the weakest first.
    pub const STRENGTHS: RangeInclusive<u8> = 1..=5;

    /// `kind` at `strength`, by the table of `scale`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a strength that is not 1 to 5.
    pub fn new(kind: CorruptionKind, strength: u8, scale: Scale) -> Result<Corruption> {
        if !Corruption::STRENGTHS.contains(&strength) {
            return Err(Error::argument("strength of a corruption", "1 to 5", strength.to_string()));
        }
        Ok(Corruption { kind, strength, scale })
    }

    /// What is done.
    pub fn kind(&self) -> CorruptionKind {
        self.kind
    }

    /// How strongly, 1 to 5.
    pub fn strength(&self) -> u8 {
        self.strength
    }

    /// By which table.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// What the strength means for this kind, in the unit that [`CorruptionKind`] names.
    pub fn amount(&self) -> f64 {
        self.scale.amounts(self.kind)[usize::from(self.strength) - 1]
    }

    /// The image under the corruption, of the same size. `id` names the image; with `seed` it decides the noise, and nothing of
    /// the other kinds.
    ///
    /// Steps and rounding are the reference's: values from 0 to 1 in `f64`, clipped, times 255 and cut to whole levels for
    /// noise, blur and contrast; Pillow's for the others. A side that shrinks to less than a pixel is left with one.
    ///
    /// # Errors
    /// [`Error::Image`] for an image without pixels, and for `jpeg` where a side is above 65,500 pixels.
    pub fn apply(&self, image: &RgbImage, id: &str, seed: u64) -> Result<RgbImage> {
        let (width, height) = image.dimensions();
        if width == 0 || height == 0 {
            return Err(named(id, Refusal::new("an image with pixels", format!("{width} x {height}"))));
        }
        let amount = self.amount();
        match self.kind {
            CorruptionKind::GaussianNoise => Ok(pixels::gaussian_noise(image, amount, &mut self.draws(id, seed))),
            CorruptionKind::GaussianBlur => Ok(blur::gaussian_blur(image, amount)),
            CorruptionKind::Jpeg => jpeg::saved_and_read(image, amount as u8).map_err(|refusal| named(id, refusal)),
            CorruptionKind::Contrast => Ok(pixels::contrast(image, amount)),
            CorruptionKind::Pixelate => pixels::pixelate(image, amount),
        }
    }

    /// Everything that decides what becomes of an image: kind, strength, table, amount, seed and the version of this code.
    pub fn key(&self, seed: u64) -> Key {
        Key::new("corruption")
            .with("kind", self.kind)
            .with("strength", self.strength)
            .with("scale", self.scale)
            .with("amount", self.amount())
            .with("seed", seed)
            .with("code", CODE_VERSION)
    }

    /// The stream of draws of one image.
    fn draws(&self, id: &str, seed: u64) -> Random {
        let image = Key::new("noise").with("image", id).with("kind", self.kind).with("strength", self.strength);
        let stream = u64::from_str_radix(&image.digest(), 16).expect("a digest has sixteen hexadecimal digits");
        Random::new("corruption", seed, stream)
    }
}

/// Kind, strength and table: `jpeg 3 (imagenet)`.
impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {} ({})", self.kind, self.strength, self.scale)
    }
}

fn named(id: &str, Refusal { expected, found }: Refusal) -> Error {
    Error::Image { name: id.into(), expected, found }
}
