//! Changes of colour, as torchvision's `transforms/v2/functional` makes them on float tensors.
//!
//! A view is three channels (red, green, blue) of any one length, values from 0 to 1, changed in place. Grey is
//! 0.2989 R + 0.587 G + 0.114 B, torchvision's digits of ITU-R BT.601.

use super::channels;
use crate::error::{Error, Result};
use crate::random::Random;

/// Paints black as `ink` and white as `paper`, what lies between in proportion, each channel by itself. No step of
/// torchvision's: drawings in black on white have no hue to turn.
///
/// # Errors
/// [`Error::Argument`] for a length that is not a multiple of three.
///
/// ```
/// use wider_clip::augment::recolour;
/// let mut view = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]; // a black and a white pixel
/// recolour(&mut view, [1.0, 0.0, 0.0], [1.0, 1.0, 0.5])?;
/// assert_eq!(view, [1.0, 1.0, 0.0, 1.0, 0.0, 0.5]); // red, pale yellow
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn recolour(view: &mut [f32], ink: [f32; 3], paper: [f32; 3]) -> Result<()> {
    for ((channel, ink), paper) in channels(view)?.into_iter().zip(ink).zip(paper) {
        channel.iter_mut().for_each(|value| *value = unit(ink + (paper - ink) * *value));
    }
    Ok(())
}

/// Ink and paper: any colour on white in half of the cases, else any two colours whose greys lie 0.3 apart or more.
pub(super) fn two_colours(random: &mut Random) -> ([f32; 3], [f32; 3]) {
    const APART: f32 = 0.3;
    let white = random.unit() < 0.5;
    let mut colour = || [random.unit() as f32, random.unit() as f32, random.unit() as f32];
    loop {
        let (ink, paper) = (colour(), if white { [1.0; 3] } else { colour() });
        let grey = |[red, green, blue]: [f32; 3]| grey_of(red, green, blue);
        if (grey(ink) - grey(paper)).abs() >= APART {
            return (ink, paper);
        }
    }
}

/// Multiplies by `factor`: 0 gives black, 1 changes nothing.
///
/// # Errors
/// [`Error::Argument`] for a factor that is negative or not finite.
pub fn brightness(view: &mut [f32], factor: f32) -> Result<()> {
    check_factor(factor)?;
    view.iter_mut().for_each(|value| *value = unit(*value * factor));
    Ok(())
}

/// Pulls towards the view's mean grey, one number: 0 gives that grey everywhere, 1 changes nothing, more pushes away.
///
/// # Errors
/// [`Error::Argument`] for a factor that is negative or not finite, or a length that is not a multiple of three.
///
/// ```
/// use wider_clip::augment::contrast;
/// let mut view = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]; // a black and a white pixel: the mean is 0.5
/// contrast(&mut view, 0.5)?;
/// assert!((view[0] - 0.25).abs() < 1e-4 && (view[1] - 0.75).abs() < 1e-4);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn contrast(view: &mut [f32], factor: f32) -> Result<()> {
    check_factor(factor)?;
    let [red, green, blue] = channels(view)?;
    let n = red.len() as f32;
    let mean = 0.2989 * sum(red) / n + 0.587 * sum(green) / n + 0.114 * sum(blue) / n;
    let shift = mean * (1.0 - factor);
    view.iter_mut().for_each(|value| *value = unit(*value * factor + shift));
    Ok(())
}

/// Pulls each pixel towards its own grey: 0 gives grey, 1 changes nothing, more pushes away.
///
/// # Errors
/// As [`contrast`].
pub fn saturation(view: &mut [f32], factor: f32) -> Result<()> {
    check_factor(factor)?;
    let [red, green, blue] = channels(view)?;
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let shift = grey_of(*red, *green, *blue) * (1.0 - factor);
        *red = unit(*red * factor + shift);
        *green = unit(*green * factor + shift);
        *blue = unit(*blue * factor + shift);
    }
    Ok(())
}

/// Turns each pixel's hue (HSV) by `shift` of the colour wheel: a third makes red green, a half makes it cyan.
///
/// # Errors
/// [`Error::Argument`] for a shift outside -0.5 to 0.5, or a length that is not a multiple of three.
///
/// ```
/// use wider_clip::augment::hue;
/// let mut red = [1.0, 0.0, 0.0];
/// hue(&mut red, 0.5)?;
/// assert_eq!(red, [0.0, 1.0, 1.0]);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn hue(view: &mut [f32], shift: f32) -> Result<()> {
    // Written so that NaN fails.
    if !(-0.5..=0.5).contains(&shift) {
        return Err(Error::argument("hue", "a shift from -0.5 to 0.5", shift.to_string()));
    }
    let [red, green, blue] = channels(view)?;
    // Sixths of the wheel; every choice is between two values, so that the loop runs in vectors.
    let shift = 6.0 * if shift < 0.0 { shift + 1.0 } else { shift };
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let (r, g, b) = (*red, *green, *blue);
        let largest = larger(larger(r, g), b);
        let range = largest - smaller(smaller(r, g), b);
        let inverse = 1.0 / if range > 0.0 { range } else { 1.0 };
        // -1 to 5: 0 is red, 2 green, 4 blue.
        let from_blue = 4.0 + (r - g) * inverse;
        let from_green = 2.0 + (b - r) * inverse;
        let place = if largest == g { from_green } else { from_blue };
        let place = if largest == r { (g - b) * inverse } else { place };
        // 6 more, so that it cannot be negative.
        let place = wrapped(place + shift + 6.0);
        let along = |start: f32| {
            let k = wrapped(start + place);
            largest - range * unit(smaller(k, 4.0 - k))
        };
        (*red, *green, *blue) = (along(5.0), along(3.0), along(1.0));
    }
    Ok(())
}

/// Takes the colours away.
///
/// # Errors
/// [`Error::Argument`] for a length that is not a multiple of three.
pub fn grey(view: &mut [f32]) -> Result<()> {
    let [red, green, blue] = channels(view)?;
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        let grey = grey_of(*red, *green, *blue);
        (*red, *green, *blue) = (grey, grey, grey);
    }
    Ok(())
}

/// Turns every value of `threshold` or more into its negative, `1 - value`.
pub fn solarise(view: &mut [f32], threshold: f32) {
    view.iter_mut().for_each(|value| *value = if *value >= threshold { 1.0 - *value } else { *value });
}

fn check_factor(factor: f32) -> Result<()> {
    if factor >= 0.0 && factor.is_finite() {
        return Ok(());
    }
    Err(Error::argument("factor", "a finite number, not negative", factor.to_string()))
}

fn grey_of(red: f32, green: f32, blue: f32) -> f32 {
    0.2989 * red + 0.587 * green + 0.114 * blue
}

/// Cuts to 0..=1.
pub(super) fn unit(value: f32) -> f32 {
    smaller(larger(value, 0.0), 1.0)
}

// Unlike `f32::max` and `f32::min` these are one instruction each: no value here is NaN.

fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// A place on a wheel of 6, from one below 18.
fn wrapped(place: f32) -> f32 {
    let place = if place >= 12.0 { place - 12.0 } else { place };
    if place >= 6.0 { place - 6.0 } else { place }
}

/// The sum, in 16 parts that one vector holds.
fn sum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut parts = [0.0f32; 16];
    for chunk in chunks {
        parts.iter_mut().zip(chunk).for_each(|(part, value)| *part += value);
    }
    parts.iter().sum::<f32>() + rest.iter().sum::<f32>()
}
