//! How many images an accuracy was measured on, from its printed digits.

use crate::error::{Error, Result};

/// A printed value may be this many units of its last digit off: half of one by rounding, the rest for what was rounded twice. The rest
/// was chosen on the study's tables: at exactly a half one value (0.806035 for 187 of 232) leaves a column of eleven without a count.
const WITHIN: f64 = 0.6;

/// The numbers of images from 2 to `most` of which every printed fraction is a whole part, smallest first. Where one fits, its
/// multiples do.
///
/// A text stands for all numbers that round to it, to at most six decimals: programs print further ones of binary fractions. As
/// `decimals` grow, fewer numbers fit by luck: of the order of `most` x (2 x 0.6 x `n` / 10^`decimals`)^values.
///
/// # Errors
/// [`Error::Argument`] for no value, or one that is no fraction from 0 to 1.
///
/// ```
/// // 1/7 and 3/7; of the numbers to 20, 7 and 14 have both to three digits.
/// assert_eq!(wider_clip::metrics::denominators(&["0.143", "0.429"], 20)?, [7, 14]);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn denominators(printed: &[&str], most: usize) -> Result<Vec<usize>> {
    if printed.is_empty() {
        return Err(Error::argument("printed fractions", "one or more", "none"));
    }
    let mut values = printed.iter().map(|text| fraction(text)).collect::<Result<Vec<(f64, f64)>>>()?;
    // What rules out most comes first.
    values.sort_by(|a, b| a.1.total_cmp(&b.1));
    let fits = |n: &usize| {
        let n = *n as f64;
        values.iter().all(|(value, within)| ((value * n).round() / n - value).abs() <= *within)
    };
    Ok((2..=most).filter(fits).collect())
}

/// The number that a text stands for, and how far off it may be.
fn fraction(text: &str) -> Result<(f64, f64)> {
    let wrong = || Error::argument("printed fraction", "a number from 0 to 1", format!("`{text}`"));
    let value = text.parse::<f64>().ok().filter(|value| (0.0..=1.0).contains(value)).ok_or_else(wrong)?;
    let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len().min(6));
    Ok((value, WITHIN * 10f64.powi(-(decimals as i32))))
}
