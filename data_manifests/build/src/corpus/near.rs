//! Near-duplicates, found by a perceptual hash and confirmed on the pixels.
//!
//! **Hash.** The DCT hash of C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010),
//! section 3.2.1, made longer, since line icons on white are much alike: grey, averaged to 32 x 32, two-dimensional
//! DCT-II, of the 16 x 16 lowest frequencies one bit each, set where the coefficient is above their median. The
//! constant term's bit is left zero. Two pictures are candidates when their hashes differ in few enough bits.
//!
//! **Pixels.** A candidate is a near-duplicate when the cosine of the two pictures' deviations from their means is
//! high enough, in RGB; against the evaluation sets in grey as well, so that a recoloured drawing counts. The same
//! cosine on averaged grey images goes first, since it is far cheaper.
//!
//! Thresholds were chosen by looking at the pairs on both sides of them: under a cosine of 0.98 most pairs of the
//! corpus differ in a mark that their names tell (`folder-plus`, `folder-down`). The hash alone is no judge of a plus, a
//! bar or a lozenge: most of their coefficients are nearly zero, so their bits are nearly random. Against the
//! evaluation sets, where no pair may be missed, it therefore rules nothing out.

use std::sync::LazyLock;

use crate::cores;
use crate::raster::SIZE;

/// Side of the averaged image.
const SMALL: usize = 32;
/// Frequencies kept in each direction.
const LOW: usize = 16;
/// Cosine below which a candidate is dropped on its averaged image already.
const FIRST_LOOK: f64 = 0.85;

/// Bits of 255 in which the hashes of two near pictures of the corpus may differ.
pub const BITS: u32 = 72;
/// Cosine that two near pictures of the corpus reach, in RGB.
pub const WITHIN: f64 = 0.98;
/// Cosine that a picture near an evaluation image reaches, in RGB or in grey: far more is taken out.
pub const AGAINST: f64 = 0.94;

/// A picture, ready to be compared.
pub struct Print {
    hash: [u64; 4],
    small: Plane,
    grey: Plane,
    rgb: Plane,
}

/// Values with their sum and the length of their deviations from the mean.
struct Plane {
    values: Vec<u8>,
    sum: f64,
    length: f64,
}

impl Plane {
    fn new(values: Vec<u8>) -> Self {
        let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
        let squares: f64 = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        let length = (squares - sum * sum / values.len() as f64).max(0.0).sqrt();
        Plane { values, sum, length }
    }

    fn cosine(&self, other: &Plane) -> f64 {
        let product: u32 = self.values.iter().zip(&other.values).map(|(&a, &b)| u32::from(a) * u32::from(b)).sum();
        let centred = f64::from(product) - self.sum * other.sum / self.values.len() as f64;
        centred / (self.length * other.length).max(1e-9)
    }
}

impl Print {
    /// Of RGB pixels, row by row.
    pub fn new(rgb: &[u8]) -> Self {
        let side = SIZE as usize;
        let grey: Vec<u8> =
            rgb.chunks_exact(3).map(|p| ((p.iter().map(|&c| u32::from(c)).sum::<u32>() + 1) / 3) as u8).collect();
        let step = side / SMALL;
        let mut small = vec![0.0; SMALL * SMALL];
        for (i, &value) in grey.iter().enumerate() {
            let (y, x) = (i / side / step, i % side / step);
            small[y * SMALL + x] += f64::from(value) / (step * step) as f64;
        }
        Print {
            hash: hash(&small),
            small: Plane::new(small.iter().map(|v| v.round() as u8).collect()),
            grey: Plane::new(grey),
            rgb: Plane::new(rgb.to_vec()),
        }
    }

    /// Bits in which the hashes differ.
    pub fn distance(&self, other: &Print) -> u32 {
        self.hash.iter().zip(other.hash).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    /// Whether two pictures of the corpus are near-duplicates.
    pub fn is_near(&self, other: &Print) -> bool {
        self.distance(other) <= BITS
            && self.small.cosine(&other.small) >= FIRST_LOOK
            && self.rgb.cosine(&other.rgb) >= WITHIN
    }

    /// Whether a picture is a near-duplicate of an evaluation image, recoloured or not.
    pub fn is_near_evaluation(&self, other: &Print) -> bool {
        self.small.cosine(&other.small) >= FIRST_LOOK
            && (self.grey.cosine(&other.grey) >= AGAINST || self.rgb.cosine(&other.rgb) >= AGAINST)
    }

    /// Grey, averaged to 16 x 16, mean taken off, of length one.
    fn coarse(&self) -> [f32; LOW * LOW] {
        let mut coarse = [0.0; LOW * LOW];
        for (i, &value) in self.small.values.iter().enumerate() {
            let (y, x) = (i / SMALL / 2, i % SMALL / 2);
            coarse[y * LOW + x] += f32::from(value);
        }
        let mean = coarse.iter().sum::<f32>() / coarse.len() as f32;
        let length = coarse.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>().sqrt().max(1e-6);
        coarse.map(|v| (v - mean) / length)
    }
}

/// Rows of the DCT-II matrix for the lowest frequencies; scale does not matter, signs about the median do.
static WAVES: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let wave = |k: usize, x: usize| {
        let angle = std::f64::consts::PI * k as f64 * (2 * x + 1) as f64 / (2 * SMALL) as f64;
        let scale = if k == 0 { 0.5_f64.sqrt() } else { 1.0 };
        scale * angle.cos()
    };
    (0..LOW).flat_map(|k| (0..SMALL).map(move |x| wave(k, x))).collect()
});

fn hash(small: &[f64]) -> [u64; 4] {
    let waves = &*WAVES;
    let mut rows = [0.0; LOW * SMALL];
    for k in 0..LOW {
        for y in 0..SMALL {
            for x in 0..SMALL {
                rows[k * SMALL + x] += waves[k * SMALL + y] * small[y * SMALL + x];
            }
        }
    }
    let mut low = [0.0; LOW * LOW];
    for k in 0..LOW {
        for l in 0..LOW {
            low[k * LOW + l] = (0..SMALL).map(|x| rows[k * SMALL + x] * waves[l * SMALL + x]).sum();
        }
    }
    let mut sorted = low[1..].to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let mut hash = [0u64; 4];
    for (i, value) in low.iter().enumerate().skip(1) {
        if *value > median {
            hash[i / 64] |= 1 << (i % 64);
        }
    }
    hash
}

/// Whether each picture is near any of the evaluation images. All pairs are candidates; the cosine of the coarse images
/// goes first, as a matrix product.
pub fn near_evaluation(prints: &[Print], images: &[Print]) -> Vec<bool> {
    const ROWS: usize = 64;
    let right: Vec<f32> = images.iter().flat_map(Print::coarse).collect();
    let blocks: Vec<&[Print]> = prints.chunks(ROWS).collect();
    let near = cores::map(blocks.len(), |block| {
        let left: Vec<f32> = blocks[block].iter().flat_map(Print::coarse).collect();
        let cosines = crate::product::rows_by_rows(&left, &right, LOW * LOW);
        let is_near = |(print, row): (&Print, &[f32])| {
            row.iter().zip(images).any(|(c, image)| f64::from(*c) >= FIRST_LOOK && print.is_near_evaluation(image))
        };
        let rows = cosines.chunks_exact(images.len());
        blocks[block].iter().zip(rows).map(is_near).collect::<Vec<bool>>()
    });
    near.concat()
}

/// For each picture, one that is kept and that it is near to, if any. Of near pictures that stays which comes first in
/// `order`, a list of all positions.
pub fn near_kept(prints: &[Print], order: &[usize]) -> Vec<Option<usize>> {
    let near: Vec<Vec<usize>> = cores::map(order.len(), |i| {
        let print = &prints[order[i]];
        let earlier = order[..i].iter().copied();
        earlier.filter(|&j| print.is_near(&prints[j])).collect()
    });
    let mut found: Vec<Option<usize>> = vec![None; prints.len()];
    for (&i, near) in order.iter().zip(&near) {
        found[i] = near.iter().copied().find(|&j| found[j].is_none());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A black bar of `width` pixels from `left`, in one colour on white.
    fn bar(left: usize, width: usize, colour: [u8; 3]) -> Print {
        let side = SIZE as usize;
        let pixel = |i: usize| {
            let x = i % side;
            if (left..left + width).contains(&x) { colour } else { [255; 3] }
        };
        Print::new(&(0..side * side).flat_map(pixel).collect::<Vec<u8>>())
    }

    #[test]
    fn equal_pictures_are_near_and_others_are_not() {
        let (a, b) = (bar(10, 8, [0; 3]), bar(40, 8, [0; 3]));
        assert_eq!(a.distance(&a), 0);
        assert!(a.is_near(&a));
        assert!(!a.is_near_evaluation(&b));
    }

    #[test]
    fn a_recoloured_picture_counts_only_where_grey_does() {
        let (black, red) = (bar(10, 8, [0; 3]), bar(10, 8, [255, 0, 0]));
        assert!(!black.is_near(&red));
        assert!(black.is_near_evaluation(&red));
        assert_eq!(near_evaluation(&[bar(30, 8, [0; 3]), black], &[red]), [false, true]);
    }

    #[test]
    fn the_first_of_near_pictures_stays() {
        let prints = [bar(10, 8, [0; 3]), bar(40, 8, [0; 3]), bar(10, 8, [1; 3])];
        assert_eq!(near_kept(&prints, &[0, 1, 2]), [None, None, Some(0)]);
        assert_eq!(near_kept(&prints, &[2, 1, 0]), [Some(2), None, None]);
    }
}
