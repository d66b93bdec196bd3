//! Powers of two that bring numbers into the middle of f32's range, where squares and products of them neither overflow
//! nor vanish. Such a factor changes no digit: what is computed is the same number at another scale.

use ndarray::{ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// Within 2^-40 to 2^40 nothing is scaled: the squares of such numbers, and sums of millions of them, keep their digits.
const BAND: i32 = 40;

/// The largest absolute value; 0 of none, infinite or NaN where a value is.
pub(crate) fn largest(values: ArrayView2<f32>) -> f32 {
    // Not `f32::max`, which passes over NaN; without signs the order of the bits is that of the numbers.
    let bits = values.axis_iter(Axis(0)).into_par_iter().map(|row| largest_of(row).to_bits()).reduce(|| 0, u32::max);
    f32::from_bits(bits)
}

/// The largest absolute value of a row; 0 of none.
pub(crate) fn largest_of(row: ArrayView1<f32>) -> f32 {
    // Without their signs, numbers are in the order of their bits, and the largest of whole numbers vectorises.
    let size = |value: &f32| (value.to_bits() & 0x7fff_ffff) as i32;
    let bits = match row.to_slice() {
        Some(row) => row.iter().map(size).fold(0, i32::max),
        None => row.iter().map(size).fold(0, i32::max),
    };
    f32::from_bits(bits as u32)
}

/// The factor for numbers whose largest absolute value is `largest`: 1 within the band, and for zeros; else the power of
/// two that brings it to between 1 and 2 (as far as f32 has that power).
pub(crate) fn unit(largest: f32) -> f32 {
    if largest == 0.0 || !largest.is_finite() {
        return 1.0;
    }
    // Exact for f32's subnormal numbers too, which are normal in f64.
    let exponent = ((f64::from(largest).to_bits() >> 52) & 2047) as i32 - 1023;
    if (-BAND..=BAND).contains(&exponent) { 1.0 } else { 2f32.powi((-exponent).clamp(-126, 127)) }
}
