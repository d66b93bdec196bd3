//! The random crop and its resize: from bytes to a square of values from 0 to 1.

use super::colour::unit;
use super::{between, check_view};
use crate::error::{Error, Result};
use crate::images::{Interpolation, Window};
use crate::random::Random;

/// Boxes that are tried before the central one is taken.
const TRIES: usize = 10;

/// A random box inside a square image of `side` pixels, as torchvision's `RandomResizedCrop` draws it.
///
/// Its area is a uniform part `scale` of the image's, its width / height log-uniform in `ratio`, both before rounding
/// to whole pixels. After ten boxes that do not fit, the central box with the allowed ratio nearest to 1 is taken.
/// Every box lies inside the image, and only where `side` is 0 it is empty.
pub fn random_box(side: usize, scale: (f64, f64), ratio: (f64, f64), random: &mut Random) -> Window {
    let window = |left: usize, top: usize, width: usize, height: usize| Window {
        left: left as u32,
        top: top as u32,
        width: width as u32,
        height: height as u32,
    };
    let area = (side * side) as f64;
    for _ in 0..TRIES {
        let target = area * between(scale, random);
        let ratio = between((ratio.0.ln(), ratio.1.ln()), random).exp();
        // As Python's `round` does.
        let width = (target * ratio).sqrt().round_ties_even() as usize;
        let height = (target / ratio).sqrt().round_ties_even() as usize;
        if (1..=side).contains(&width) && (1..=side).contains(&height) {
            let top = random.below(side - height + 1);
            return window(random.below(side - width + 1), top, width, height);
        }
    }
    let shorter = |by: f64| ((side as f64 / by).round_ties_even() as usize).max(1).min(side);
    let (width, height) = match ratio {
        (low, _) if low > 1.0 => (side, shorter(low)),
        (_, high) if high < 1.0 => (shorter(1.0 / high), side),
        _ => (side, side),
    };
    window((side - width) / 2, (side - height) / 2, width, height)
}

/// The part `window` of an image, resized to a square by a bicubic filter with antialias.
///
/// `pixels`: `side * side * 3` bytes, row by row, red, green and blue of each pixel. `view`: `3 * size * size` values
/// (C, H, W) from 0 to 1, all overwritten, left for right where `mirrored`. Nothing outside the window is read.
///
/// Filter and weights are those of Pillow and of torchvision's `resized_crop`. As in Pillow before version 13 the first
/// pass is the horizontal one, and what the filter overshoots is cut to 0..=1 after each pass; torchvision's float
/// tensors keep it. Unlike Pillow's bytes the sums are not rounded: one and a half grey levels at most.
///
/// # Errors
/// [`Error::Argument`] where `pixels` or `view` has another length, a side is 0 or the window is not inside the image.
pub fn crop_resized(
    pixels: &[u8],
    side: usize,
    window: Window,
    size: usize,
    mirrored: bool,
    view: &mut [f32],
) -> Result<()> {
    if pixels.len() != side * side * 3 {
        let expected = format!("{side} * {side} * 3 = {} bytes", side * side * 3);
        return Err(Error::argument("pixels", expected, pixels.len().to_string()));
    }
    check_view(view, size)?;
    let [left, top, width, height] = [window.left, window.top, window.width, window.height].map(|n| n as usize);
    if size == 0 || width == 0 || height == 0 || left + width > side || top + height > side {
        let expected = format!("a window inside {side}x{side} and a view with pixels");
        return Err(Error::argument("window", expected, format!("{window:?}, view of {size}x{size}")));
    }
    let (columns, rows) = (Taps::new(width, size, 1.0 / 255.0), Taps::new(height, size, 1.0));
    // (width, C, height): the crop lies on its side, so that both passes add whole lines.
    let mut turned = vec![0.0; width * 3 * height];
    for (y, row) in pixels[3 * (top * side + left)..].chunks(3 * side).take(height).enumerate() {
        turned[y..].iter_mut().step_by(height).zip(row).for_each(|(value, &byte)| *value = f32::from(byte));
    }
    // (height, C, size)
    let mut narrowed = vec![0.0; height * 3 * size];
    let mut line = vec![0.0; 3 * height.max(size)];
    for (x, (first, weights)) in columns.each().enumerate() {
        let line = &mut line[..3 * height];
        add_lines(&turned[first * line.len()..], weights, line);
        let x = if mirrored { size - 1 - x } else { x };
        for (channel, line) in line.chunks_exact(height).enumerate() {
            let out = narrowed[channel * size + x..].iter_mut().step_by(3 * size);
            out.zip(line).for_each(|(out, sum)| *out = unit(*sum));
        }
    }
    for (y, (first, weights)) in rows.each().enumerate() {
        let line = &mut line[..3 * size];
        add_lines(&narrowed[first * line.len()..], weights, line);
        for (channel, line) in line.chunks_exact(size).enumerate() {
            let out = &mut view[(channel * size + y) * size..][..size];
            out.iter_mut().zip(line).for_each(|(out, sum)| *out = unit(*sum));
        }
    }
    Ok(())
}

/// The weighted sum of the first lines of `lines`, each as long as `sums`.
fn add_lines(lines: &[f32], weights: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    for (line, weight) in lines.chunks_exact(sums.len()).zip(weights) {
        sums.iter_mut().zip(line).for_each(|(sum, value)| *sum += weight * value);
    }
}

/// The source coordinates and weights of each output coordinate along one axis.
struct Taps {
    /// First source coordinate and number of them, for each output coordinate.
    reach: Vec<(usize, usize)>,
    /// Weights, `stride` for each output coordinate, those after its number unused.
    weights: Vec<f32>,
    stride: usize,
}

impl Taps {
    /// Weights that sum to `total` when `from` pixels become `to`.
    fn new(from: usize, to: usize, total: f64) -> Taps {
        let filter = Interpolation::Bicubic;
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        let stride = support.ceil() as usize * 2 + 1;
        let mut weights = vec![0.0; to * stride];
        let mut exact = vec![0.0; stride];
        let one = |(coordinate, out): (usize, &mut [f32])| {
            let centre = (coordinate as f64 + 0.5) * scale;
            // A cast saturates: a negative value becomes zero, as it must.
            let first = (centre - support + 0.5) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let mut sum = 0.0;
            for (weight, x) in exact.iter_mut().zip(first..end) {
                *weight = filter.weight((x as f64 - centre + 0.5) / stretch);
                sum += *weight;
            }
            for (out, weight) in out.iter_mut().zip(&exact[..end - first]) {
                *out = (weight / sum * total) as f32;
            }
            (first, end - first)
        };
        let reach = weights.chunks_exact_mut(stride).enumerate().map(one);
        Taps { reach: reach.collect(), weights, stride }
    }

    /// For each output coordinate: first source coordinate and weights.
    fn each(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let chunks = self.weights.chunks_exact(self.stride);
        self.reach.iter().zip(chunks).map(|(&(first, count), weights)| (first, &weights[..count]))
    }
}
