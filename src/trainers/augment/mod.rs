//! Random views of an image, as the objectives of the study draw them.
//!
//! An [`Augmentation`] crops, resizes, mirrors, changes colours, blurs and solarises images held in memory as RGB
//! bytes, and gives what a model reads: a square of `f32`, channels first, `(x - 0.5) / 0.5`. Its constructors are the
//! recipes of the papers (`recipes.rs`); the steps are public functions of their own, with everything random in their
//! arguments: [`crop_resized`], [`recolour`], [`brightness`], [`contrast`], [`saturation`], [`hue`], [`grey`], [`blur`], [`solarise`]
//! on values from 0 to 1, and [`random_box`].
//!
//! Sources: the random crop of Szegedy et al. 2015, "Going deeper with convolutions", and the colour operations as
//! torchvision 0.29 has them (`transforms/v2`, on float tensors); the order of the steps, blur and solarisation of
//! Caron et al. 2021, "Emerging properties in self-supervised vision transformers" (facebookresearch/dino,
//! `main_dino.py`, `utils.py`); tests/augment.rs holds the steps to torchvision's numbers.
//!
//! On purpose different: the originals of DINO, MAE, BEiT and CLIP work on Pillow images and round to bytes after every
//! step; here values stay `f32`, cut to 0..=1 where Pillow cuts. The filter is always bicubic with antialias.
//! The crop comes first, and colours change in the small view (BEiT changes colours first, so that the mean of its
//! contrast is the whole image's). Draws come from [`Random`], not from PyTorch's generator.
//!
//! Measured: crops are torchvision's to 5e-6, all other steps to 2e-6; a view of 48 pixels takes 12 (MAE) to 37
//! (everything at once) microseconds of one core.

mod blur;
mod colour;
mod crop;
mod recipes;

pub use blur::blur;
pub use colour::{brightness, contrast, grey, hue, recolour, saturation, solarise};
pub use crop::{crop_resized, random_box};

use self::colour::unit;
use crate::error::{Error, Result};
use crate::random::Random;

/// How a view of an image is drawn. The steps happen in the order of the fields.
///
/// ```
/// use wider_clip::augment::Augmentation;
/// use wider_clip::random::Random;
///
/// let white = [255; 64 * 64 * 3];
/// let mut view = vec![0.0; 3 * 48 * 48];
/// Augmentation::mae(48).draw(&white, 64, &mut Random::new("example", 0, 0), &mut view)?;
/// assert!(view.iter().all(|value| (value - 1.0).abs() < 1e-5)); // (1 - 0.5) / 0.5, whatever the crop
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    /// Side of the view in pixels.
    pub size: usize,
    /// The least and the largest part of the image's area that the crop takes, in (0, 1]; uniform.
    pub scale: (f64, f64),
    /// The least and the largest width / height of the crop; log-uniform.
    pub ratio: (f64, f64),
    /// Probability of a mirrored view, left for right.
    pub flip: f64,
    /// Probability of black and white in two other colours, see [`recolour`].
    pub recolour: f64,
    /// Change of brightness, contrast, saturation and hue.
    pub jitter: Option<Jitter>,
    /// Probability of a view without colours.
    pub grey: f64,
    /// Gaussian blur.
    pub blur: Option<Blur>,
    /// Probability that values of a half and more (of 255: 128 and more) turn into their negatives.
    pub solarise: f64,
}

/// torchvision's `ColorJitter`: the four steps in random order; one whose amount is 0 is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Jitter {
    /// Probability that colours change at all.
    pub probability: f64,
    /// The factor is uniform in `1 - amount ..= 1 + amount`, never below 0; the same for contrast and saturation.
    pub brightness: f64,
    /// See `brightness`.
    pub contrast: f64,
    /// See `brightness`.
    pub saturation: f64,
    /// The shift is uniform in `-hue ..= hue`, in turns of the colour wheel; 0 to 0.5.
    pub hue: f64,
}

/// A Gaussian blur with a random width.
#[derive(Clone, Debug, PartialEq)]
pub struct Blur {
    /// Probability of the blur.
    pub probability: f64,
    /// The least and the largest standard deviation, in pixels of the view; uniform.
    pub sigma: (f64, f64),
}

impl Augmentation {
    /// Says whether the settings make sense.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the field: a size of 0, a probability outside 0 to 1, an amount that is negative or
    /// not finite, a hue above 0.5, or a pair that is not positive, rising and finite, with at most 1 for `scale` and
    /// at most `size` for the blur's `sigma`.
    pub fn check(&self) -> Result<()> {
        if self.size == 0 {
            return Err(Error::argument("size", "at least one pixel", "0"));
        }
        pair("scale", self.scale, 1.0)?;
        pair("ratio", self.ratio, f64::MAX)?;
        probability("flip", self.flip)?;
        probability("recolour", self.recolour)?;
        probability("grey", self.grey)?;
        probability("solarise", self.solarise)?;
        if let Some(jitter) = &self.jitter {
            probability("jitter.probability", jitter.probability)?;
            within("jitter.brightness", jitter.brightness, f64::MAX)?;
            within("jitter.contrast", jitter.contrast, f64::MAX)?;
            within("jitter.saturation", jitter.saturation, f64::MAX)?;
            within("jitter.hue", jitter.hue, 0.5)?;
        }
        if let Some(blur) = &self.blur {
            probability("blur.probability", blur.probability)?;
            pair("blur.sigma", blur.sigma, self.size as f64)?;
        }
        Ok(())
    }

    /// Every field with its name: what a run's fingerprint says of its views.
    ///
    /// ```
    /// use wider_clip::augment::Augmentation;
    ///
    /// let expected = "size 48, scale 0.2 1, ratio 0.75 1.3333333333333333, flip 0.5, recolour 0, jitter none, grey 0, \
    ///                 blur none, solarise 0";
    /// assert_eq!(Augmentation::mae(48).fingerprint(), expected);
    /// ```
    pub fn fingerprint(&self) -> String {
        let Augmentation { size, scale, ratio, flip, recolour, jitter, grey, blur, solarise } = self;
        let jitter = jitter.as_ref().map_or("none".into(), |jitter| {
            let Jitter { probability, brightness, contrast, saturation, hue } = jitter;
            format!(
                "(probability {probability}, brightness {brightness}, contrast {contrast}, saturation {saturation}, hue {hue})"
            )
        });
        let blur = blur.as_ref().map_or("none".into(), |Blur { probability, sigma }| {
            format!("(probability {probability}, sigma {} {})", sigma.0, sigma.1)
        });
        format!(
            "size {size}, scale {} {}, ratio {} {}, flip {flip}, recolour {recolour}, jitter {jitter}, grey {grey}, blur \
             {blur}, solarise {solarise}",
            scale.0, scale.1, ratio.0, ratio.1
        )
    }

    /// Draws one view.
    ///
    /// `pixels`: `side * side * 3` bytes, row by row, red, green and blue of each pixel. `view`: `3 * size * size`
    /// values (C, H, W) from -1 to 1, all overwritten. The same state of `random` gives the same view.
    ///
    /// # Errors
    /// As [`Augmentation::check`], and [`Error::Argument`] where `pixels` or `view` has another length.
    pub fn draw(&self, pixels: &[u8], side: usize, random: &mut Random, view: &mut [f32]) -> Result<()> {
        self.check()?;
        let window = random_box(side, self.scale, self.ratio, random);
        let mirrored = random.unit() < self.flip;
        crop_resized(pixels, side, window, self.size, mirrored, view)?;
        // No draw where there is none: what a seed gives does not depend on steps that are left out.
        if self.recolour > 0.0 && random.unit() < self.recolour {
            let (ink, paper) = colour::two_colours(random);
            recolour(view, ink, paper)?;
        }
        if let Some(jitter) = self.jitter.as_ref().filter(|jitter| random.unit() < jitter.probability) {
            jitter.draw(random, view)?;
        }
        if random.unit() < self.grey {
            grey(view)?;
        }
        if let Some(settings) = self.blur.as_ref().filter(|blur| random.unit() < blur.probability) {
            blur(view, self.size, between(settings.sigma, random))?;
        }
        if random.unit() < self.solarise {
            solarise(view, 0.5);
        }
        // A blur can be a rounding above 1.
        view.iter_mut().for_each(|value| *value = 2.0 * unit(*value) - 1.0);
        Ok(())
    }
}

impl Jitter {
    /// Changes the colours of `view`, values from 0 to 1.
    fn draw(&self, random: &mut Random, view: &mut [f32]) -> Result<()> {
        let mut steps = [0, 1, 2, 3];
        random.shuffle(&mut steps);
        let mut factor = |amount: f64| between(((1.0 - amount).max(0.0), 1.0 + amount), random) as f32;
        let factors = [factor(self.brightness), factor(self.contrast), factor(self.saturation)];
        let shift = between((-self.hue, self.hue), random) as f32;
        for step in steps {
            match step {
                0 if self.brightness > 0.0 => brightness(view, factors[0])?,
                1 if self.contrast > 0.0 => contrast(view, factors[1])?,
                2 if self.saturation > 0.0 => saturation(view, factors[2])?,
                3 if self.hue > 0.0 => hue(view, shift)?,
                _ => (),
            }
        }
        Ok(())
    }
}

/// A number between two others, each as likely.
fn between((low, high): (f64, f64), random: &mut Random) -> f64 {
    low + (high - low) * random.unit()
}

/// The three channels of a view.
fn channels(view: &mut [f32]) -> Result<[&mut [f32]; 3]> {
    if !view.len().is_multiple_of(3) {
        let found = format!("{} values", view.len());
        return Err(Error::argument("view", "three channels of one length", found));
    }
    let (red, rest) = view.split_at_mut(view.len() / 3);
    let (green, blue) = rest.split_at_mut(rest.len() / 2);
    Ok([red, green, blue])
}

/// Checks the length of a view.
fn check_view(view: &[f32], size: usize) -> Result<()> {
    if view.len() == 3 * size * size {
        return Ok(());
    }
    let expected = format!("3 * {size} * {size} = {} values", 3 * size * size);
    Err(Error::argument("view", expected, view.len().to_string()))
}

// The checks below are written so that NaN fails.

fn probability(what: &'static str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::argument(what, "a probability from 0 to 1", value.to_string()))
}

fn within(what: &'static str, value: f64, largest: f64) -> Result<()> {
    if (0.0..=largest).contains(&value) {
        return Ok(());
    }
    let expected = if largest < f64::MAX { format!("0 to {largest}") } else { "a finite number, not negative".into() };
    Err(Error::argument(what, expected, value.to_string()))
}

fn pair(what: &'static str, (low, high): (f64, f64), largest: f64) -> Result<()> {
    if 0.0 < low && low <= high && high <= largest {
        return Ok(());
    }
    let limit = if largest < f64::MAX { format!(", at most {largest}") } else { String::new() };
    Err(Error::argument(what, format!("two positive numbers, rising{limit}"), format!("({low}, {high})")))
}
