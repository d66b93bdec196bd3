//! A look from afar: pictures of 16 x 16 numbers, compared by one sum, before anything is moved.

use super::fit::Levels;
use super::pairs::Over;
use super::{Fingerprint, MARGIN, SIDE};

const COARSE: usize = SIDE / 2;
/// What a picture of correlation 1 with itself sums to.
const UNIT: f32 = 127.0 * 127.0;

/// Small grey pictures of mean 0 and fixed length: the whole and its middle.
pub(super) struct Coarse {
    whole: Vec<i8>,
    middle: Vec<i8>,
}

impl Coarse {
    pub(super) fn of(print: &Fingerprint) -> Coarse {
        let levels = Levels::of(print, false);
        Coarse { whole: small(&levels.inside([0.0; 4])), middle: small(&levels.inside([MARGIN as f32; 4])) }
    }

    /// The correlation with another, which is mirrored first on demand.
    pub(super) fn agreement(&self, other: &Coarse, mirrored: bool, over: Over) -> f32 {
        let (a, b) = match over {
            Over::Each => (&self.whole, &other.whole),
            Over::First => (&self.whole, &other.middle),
            Over::Second => (&self.middle, &other.whole),
        };
        let mut sum = 0i32;
        for (a, b) in a.chunks_exact(COARSE).zip(b.chunks_exact(COARSE)) {
            let product = |(a, b): (&i8, &i8)| i32::from(*a) * i32::from(*b);
            let row: i32 = match mirrored {
                true => a.iter().zip(b.iter().rev()).map(product).sum(),
                false => a.iter().zip(b).map(product).sum(),
            };
            sum += row;
        }
        sum as f32 / UNIT
    }
}

/// Each level less the mean, as a share of the length of all of them, times 127.
fn small(levels: &[f32]) -> Vec<i8> {
    let at = |x: usize, y: usize| levels[y * SIDE + x];
    let four = |i: usize| {
        let (x, y) = (2 * (i % COARSE), 2 * (i / COARSE));
        at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)
    };
    let values: Vec<f32> = (0..COARSE * COARSE).map(four).collect();
    let mean = values.iter().sum::<f32>() / values.len() as f32;
    let size = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>().sqrt().max(1e-6);
    values.iter().map(|value| ((value - mean) / size * 127.0).round() as i8).collect()
}
