//! From quantised coefficients to samples of full size, and their colours: the arithmetic of libjpeg's defaults.

use std::num::Wrapping;

use super::{Component, ZIGZAG, broken};
use crate::images::decode::Refusal;

/// One component's samples. Rows are `stride` long, of which the first `width` count.
pub(super) struct Plane {
    width: usize,
    height: usize,
    stride: usize,
    samples: Vec<u8>,
}

impl Plane {
    /// Dequantises and transforms the component's blocks.
    pub(super) fn new(component: Component) -> Result<Plane, Refusal> {
        let table = component.table.ok_or_else(|| broken("a component without scan or quantisation table"))?;
        let mut factors = [0; 64];
        for (factor, &place) in table.iter().zip(&ZIGZAG) {
            factors[usize::from(place)] = i32::from(*factor);
        }
        let stride = 8 * component.blocks_across;
        let mut samples = vec![0; 64 * component.blocks.len()];
        let rows_of_blocks = component.blocks.chunks_exact(component.blocks_across);
        for (blocks, rows) in rows_of_blocks.zip(samples.chunks_exact_mut(8 * stride)) {
            for (x, block) in blocks.iter().enumerate() {
                for (row, values) in rows.chunks_exact_mut(stride).zip(inverse_transform(block, &factors)) {
                    row[8 * x..8 * x + 8].copy_from_slice(&values);
                }
            }
        }
        Ok(Plane { width: component.width, height: component.height, stride, samples })
    }

    pub(super) fn row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..][..self.width]
    }

    /// The plane `across` times as wide and `down` times as high. Factors of two are interpolated (three parts the
    /// nearer sample, one part the farther), except in planes of one or two columns; others repeat samples.
    pub(super) fn upsampled(self, across: usize, down: usize) -> Plane {
        let mut samples = Vec::with_capacity(across * self.width * down * self.height);
        match (across, down) {
            (1, 1) => return self,
            (2, 1) if self.width > 2 => (0..self.height).for_each(|y| wider(self.row(y), &mut samples)),
            (2, 2) if self.width > 2 => self.each_half_row(|near, far, _| wider_blend(near, far, &mut samples)),
            (1, 2) => self.each_half_row(|near, far, lower| {
                let blend = |(&near, &far)| ((3 * u16::from(near) + u16::from(far) + 1 + u16::from(lower)) >> 2) as u8;
                samples.extend(near.iter().zip(far).map(blend));
            }),
            _ => {
                for y in 0..down * self.height {
                    samples.extend(self.row(y / down).iter().flat_map(|&sample| std::iter::repeat_n(sample, across)));
                }
            }
        }
        let width = across * self.width;
        Plane { width, height: down * self.height, stride: width, samples }
    }

    /// For each row of twice the height: the nearer row, the farther, and whether it is the lower half of its row.
    fn each_half_row(&self, mut each: impl FnMut(&[u8], &[u8], bool)) {
        for y in 0..self.height {
            each(self.row(y), self.row(y.saturating_sub(1)), false);
            each(self.row(y), self.row((y + 1).min(self.height - 1)), true);
        }
    }
}

/// Twice as wide. Rounding alternates between down and up, so that no drift arises.
fn wider(row: &[u8], out: &mut Vec<u8>) {
    let last = row.len() - 1;
    for x in 0..=last {
        let near = 3 * u16::from(row[x]);
        let left = if x == 0 { row[0] } else { ((near + u16::from(row[x - 1]) + 1) >> 2) as u8 };
        let right = if x == last { row[last] } else { ((near + u16::from(row[x + 1]) + 2) >> 2) as u8 };
        out.extend([left, right]);
    }
}

/// Twice as wide, between two rows: sixteenths, rounded once.
fn wider_blend(near: &[u8], far: &[u8], out: &mut Vec<u8>) {
    let sum = |x: usize| 3 * u16::from(near[x]) + u16::from(far[x]);
    let last = near.len() - 1;
    for x in 0..=last {
        let (this, before, after) = (sum(x), sum(x.saturating_sub(1)), sum((x + 1).min(last)));
        out.extend([((3 * this + before + 8) >> 4) as u8, ((3 * this + after + 7) >> 4) as u8]);
    }
}

/// YCbCr to RGB with 16 fractional bits (JFIF's equations).
pub(super) fn ycc_to_rgb(luma: u8, blue: u8, red: u8) -> [u8; 3] {
    let (luma, blue, red) = (i32::from(luma), i32::from(blue) - 128, i32::from(red) - 128);
    const HALF: i32 = 1 << 15;
    [
        luma + ((91_881 * red + HALF) >> 16),                  // 1.402
        luma + ((-22_554 * blue - 46_802 * red + HALF) >> 16), // 0.34414, 0.71414
        luma + ((116_130 * blue + HALF) >> 16),                // 1.772
    ]
    .map(|value| value.clamp(0, 255) as u8)
}

/// Fixed-point number that may wrap where a damaged file asks for absurd coefficients.
type Fixed = Wrapping<i32>;

/// The 8 x 8 inverse cosine transform after Loeffler, Ligtenberg and Moschytz ("Practical fast 1-D DCT algorithms
/// with 11 multiplications", 1989): columns, then rows, with 13 fractional bits in the constants and two kept
/// between the passes.
fn inverse_transform(block: &[i16; 64], factors: &[i32; 64]) -> [[u8; 8]; 8] {
    let mut values = [Wrapping(0); 64];
    if block[1..].iter().all(|&coefficient| coefficient == 0) {
        let grey = (i32::from(block[0]).wrapping_mul(factors[0]).wrapping_add(4) >> 3).saturating_add(128);
        return [[grey.clamp(0, 255) as u8; 8]; 8];
    }
    for x in 0..8 {
        let column = std::array::from_fn(|y| Wrapping(i32::from(block[8 * y + x])) * Wrapping(factors[8 * y + x]));
        for (y, value) in transform_eight(column).into_iter().enumerate() {
            values[8 * y + x] = (value + Wrapping(1 << 10)) >> 11;
        }
    }
    std::array::from_fn(|y| {
        let row = std::array::from_fn(|x| values[8 * y + x]);
        transform_eight(row)
            .map(|value| (((value + Wrapping(1 << 17)) >> 18).0.saturating_add(128)).clamp(0, 255) as u8)
    })
}

/// One-dimensional transform, scaled by the square root of eight and by 2^13.
fn transform_eight([a0, a1, a2, a3, a4, a5, a6, a7]: [Fixed; 8]) -> [Fixed; 8] {
    let times = |value: Fixed, constant: i32| value * Wrapping(constant);
    // Even coefficients: one rotation and butterflies.
    let turned = times(a2 + a6, 4_433); // 0.541196100
    let (low, high) = (turned + times(a2, 6_270), turned - times(a6, 15_137)); // 0.765366865, 1.847759065
    let (sum, difference) = ((a0 + a4) << 13, (a0 - a4) << 13);
    let even = [sum + low, difference + high, difference - high, sum - low];
    // Odd coefficients.
    let shared = times(a7 + a3 + a5 + a1, 9_633); // 1.175875602
    let z1 = times(a7 + a1, -7_373); // 0.899976223
    let z2 = times(a5 + a3, -20_995); // 2.562915447
    let z3 = times(a7 + a3, -16_069) + shared; // 1.961570560
    let z4 = times(a5 + a1, -3_196) + shared; // 0.390180644
    let odd = [
        times(a1, 12_299) + z1 + z4, // 1.501321110
        times(a3, 25_172) + z2 + z3, // 3.072711026
        times(a5, 16_819) + z2 + z4, // 2.053119869
        times(a7, 2_446) + z1 + z3,  // 0.298631336
    ];
    let mut out = [Wrapping(0); 8];
    for i in 0..4 {
        out[i] = even[i] + odd[i];
        out[7 - i] = even[i] - odd[i];
    }
    out
}
