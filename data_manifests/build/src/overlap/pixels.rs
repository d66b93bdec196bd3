//! All pairs of images, compared without a hash.
//!
//! Let x and y be two images with their means taken off, of length
//! one; their correlation is x.y. Averaging 2 x 2 pixels (and, in RGB, the three channels) is an orthogonal
//! projection P, so x.y = Px.Py + (x - Px).(y - Py) <= Px.Py + |x - Px| |y - Py|. One matrix product of the vectors
//! (Px, |x - Px|) therefore bounds all correlations from above, and only pairs whose bound is near the limit are
//! computed pixel by pixel. No pair can be missed.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::cores;
use crate::product::rows_by_rows;
use crate::raster::{SIZE, decode};
use crate::rows::Record;

/// Bound from which a pair is computed exactly; far enough below the limit that the closest pairs are all found.
pub const FLOOR: f32 = 0.93;
/// Rounding of the matrix product, with a margin.
const ROUNDING: f32 = 1e-4;
/// Rows of the corpus, and of the evaluation sets, in one matrix product.
const ROWS: usize = 64;
const COLUMNS: usize = 1024;

/// Side of the averaged image, and numbers of a projected one with the length of what the projection loses.
const SMALL: usize = SIZE as usize / 2;
const WIDTH: usize = SMALL * SMALL + 1;

/// A pair of a corpus image and an evaluation image, by position, with its correlation.
pub type Pair = (f64, usize, usize);

/// Pixels of many images.
pub struct Images(Vec<Vec<u8>>);

/// How colours are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Measure {
    Rgb,
    Grey,
}

impl Images {
    /// Decodes them.
    pub fn new(records: &[&Record]) -> Result<Self> {
        let images = cores::map(records.len(), |i| decode(&records[i].image));
        Ok(Images(images.into_iter().collect::<Result<_>>()?))
    }

    /// One image: RGB, row by row.
    pub fn rgb(&self, i: usize) -> &[u8] {
        &self.0[i]
    }

    /// The image with its mean taken off, of length one.
    fn unit(&self, i: usize, measure: Measure) -> Vec<f32> {
        let mut values: Vec<f64> = match measure {
            Measure::Rgb => self.0[i].iter().map(|&v| f64::from(v)).collect(),
            Measure::Grey => {
                let sum = |p: &[u8]| p.iter().map(|&v| f64::from(v)).sum();
                self.0[i].chunks_exact(3).map(sum).collect()
            }
        };
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter_mut().for_each(|v| *v -= mean);
        let length = values.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-9);
        values.iter().map(|v| (v / length) as f32).collect()
    }

    /// The projected image, and the length of what the projection loses.
    fn projected(&self, i: usize, measure: Measure) -> Vec<f32> {
        let unit = self.unit(i, measure);
        let channels = unit.len() / (SIZE * SIZE) as usize;
        let mut small = vec![0.0; WIDTH];
        for (p, values) in unit.chunks_exact(channels).enumerate() {
            let (y, x) = (p / SIZE as usize / 2, p % SIZE as usize / 2);
            small[y * SMALL + x] += values.iter().sum::<f32>();
        }
        let scale = ((4 * channels) as f32).sqrt();
        small.iter_mut().for_each(|v| *v /= scale);
        let kept: f64 = small.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        small[WIDTH - 1] = (1.0 - kept).max(0.0).sqrt() as f32;
        small
    }

    fn all_projected(&self, measure: Measure) -> Vec<f32> {
        cores::map(self.0.len(), |i| self.projected(i, measure)).concat()
    }
}

/// Pairs with a correlation over the floor, closest first; of RGB and grey the larger correlation counts.
pub fn closest(left: &Images, right: &Images) -> Vec<Pair> {
    let mut best: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for measure in [Measure::Rgb, Measure::Grey] {
        let (a, b) = (left.all_projected(measure), right.all_projected(measure));
        let n = left.0.len();
        let found = cores::map(n.div_ceil(ROWS), |block| {
            let rows = block * ROWS..n.min((block + 1) * ROWS);
            let bounds = candidates(&a[rows.start * WIDTH..rows.end * WIDTH], &b);
            let mut pairs: Vec<Pair> = Vec::new();
            let mut last: Option<(usize, Vec<f32>)> = None;
            for (i, j) in bounds {
                let i = rows.start + i;
                if last.as_ref().is_none_or(|(at, _)| *at != i) {
                    last = Some((i, left.unit(i, measure)));
                }
                let other = right.unit(j, measure);
                let unit = last.as_ref().map_or(&[][..], |(_, unit)| unit.as_slice());
                let c: f64 = unit.iter().zip(&other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                if c >= f64::from(FLOOR) {
                    pairs.push((c, i, j));
                }
            }
            pairs
        });
        for (c, i, j) in found.into_iter().flatten() {
            let entry = best.entry((i, j)).or_insert(c);
            *entry = entry.max(c);
        }
    }
    let mut pairs: Vec<Pair> = best.into_iter().map(|((i, j), c)| (c, i, j)).collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    pairs
}

/// Pairs of rows whose bound reaches the floor, ordered by the first.
fn candidates(a: &[f32], b: &[f32]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (block, b) in b.chunks(COLUMNS * WIDTH).enumerate() {
        let n = b.len() / WIDTH;
        let product = rows_by_rows(a, b, WIDTH);
        for (at, bound) in product.iter().enumerate() {
            if *bound >= FLOOR - ROUNDING {
                found.push((at / n, block * COLUMNS + at % n));
            }
        }
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u32) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..SIZE * SIZE * 3).map(|_| next()).collect()
    }

    #[test]
    fn the_bound_is_never_under_the_correlation() {
        let images = Images((0..6).map(|i| noise(i + 1)).collect());
        for measure in [Measure::Rgb, Measure::Grey] {
            for (i, j) in [(0, 0), (0, 1), (2, 3), (4, 5)] {
                let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                let exact = dot(&images.unit(i, measure), &images.unit(j, measure));
                let bound = dot(&images.projected(i, measure), &images.projected(j, measure));
                assert!(bound >= exact - ROUNDING, "{measure:?} {i} {j}: {bound} < {exact}");
            }
        }
    }

    #[test]
    fn a_planted_copy_is_found() {
        let mut copy = noise(2);
        copy[0] ^= 1;
        let left = Images(vec![noise(1), copy]);
        let right = Images(vec![noise(3), noise(4), noise(2)]);
        let pairs = closest(&left, &right);
        assert_eq!(pairs.len(), 1);
        assert_eq!((pairs[0].1, pairs[0].2), (1, 2));
        assert!(pairs[0].0 > 0.999);
    }
}
