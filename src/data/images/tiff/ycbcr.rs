//! YCbCr that is not JPEG: blocks of brightnesses with one blue and one red difference, in libtiff's arithmetic.
//!
//! So does Pillow read it where it is compressed. Without compression Pillow has an arithmetic of its own, one level off,
//! and takes no blocks; here it is the same in either case.

use std::io::Read;

use super::broken;
use super::directory::{Directory, Layout};
use crate::images::decode::Refusal;

/// What the directory says about brightness and differences.
pub(super) struct Colours {
    /// How much red, green and blue give to the brightness.
    weights: [f32; 3],
    /// The codes of black and white, and of no and full difference in blue and red.
    levels: [f32; 6],
}

impl Colours {
    pub(super) fn new(directory: &Directory) -> Result<Colours, Refusal> {
        let weights = directory.fractions::<3>(529)?.unwrap_or([0.299, 0.587, 0.114]);
        if weights[1] == 0.0 || weights.iter().any(|weight| !weight.is_finite()) {
            return Err(broken(format!("YCbCr coefficients {weights:?}")));
        }
        Ok(Colours {
            weights,
            levels: directory.fractions::<6>(532)?.unwrap_or([0.0, 255.0, 128.0, 255.0, 128.0, 255.0]),
        })
    }
}

/// Bytes of a chunk of `n_rows` rows.
pub(super) fn n_bytes(layout: &Layout, n_rows: usize) -> usize {
    let (across, down) = layout.subsampling;
    layout.chunk.0.div_ceil(across) * n_rows.div_ceil(down) * (across * down + 2)
}

/// The rows of a chunk as red, green and blue.
pub(super) fn rows(layout: &Layout, unpacked: &mut dyn Read, n_rows: usize) -> Result<Vec<u8>, Refusal> {
    let (across, down) = layout.subsampling;
    let width = layout.chunk.0;
    let tables = Tables::new(&layout.ycbcr);
    let mut blocks = vec![0; width.div_ceil(across) * (across * down + 2)];
    let mut out = vec![0; 3 * width * n_rows];
    for (rows, top) in out.chunks_mut(3 * width * down).zip((0..).step_by(down)) {
        unpacked
            .read_exact(&mut blocks)
            .map_err(|_| broken(format!("YCbCr that ends after {top} of {n_rows} rows")))?;
        for (y, row) in rows.chunks_exact_mut(3 * width).enumerate() {
            // No pixel lies beyond the picture, however wide its tiles.
            for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().take(layout.width).enumerate() {
                let block = &blocks[x / across * (across * down + 2)..][..across * down + 2];
                *pixel = tables.rgb(block[y * across + x % across], block[across * down], block[across * down + 1]);
            }
        }
    }
    Ok(out)
}

/// What each code gives to red, green and blue, with 16 fractional bits.
struct Tables {
    luma: [i32; 256],
    red: [i32; 256],
    green_of_red: [i32; 256],
    green_of_blue: [i32; 256],
    blue: [i32; 256],
}

impl Tables {
    fn new(colours: &Colours) -> Tables {
        const HALF: i32 = 1 << 15;
        let fixed = |value: f32| (f64::from(value.clamp(0.0, 2.0)) * 65_536.0 + 0.5) as i32;
        let [red, green, blue] = colours.weights;
        let (of_red, of_blue) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        let factors = [fixed(of_red), -fixed(red * of_red / green), fixed(of_blue), -fixed(blue * of_blue / green)];
        let levels = colours.levels;
        // Codes between black and white, or between none and full, as values; the levels count as whole numbers first.
        let value = |code: f32, low: f32, high: f32, full: f32| {
            let span = if high - low == 0.0 { 1.0 } else { high - low };
            ((code - low.trunc()) * full / span).clamp(-4096.0, 4096.0) as i32
        };
        let difference = |code: usize, place: usize| {
            value(code as f32 - 128.0, levels[place] - 128.0, levels[place + 1] - 128.0, 127.0)
        };
        Tables {
            luma: std::array::from_fn(|code| value(code as f32, levels[0], levels[1], 255.0)),
            red: std::array::from_fn(|code| factors[0].wrapping_mul(difference(code, 4)).wrapping_add(HALF) >> 16),
            green_of_red: std::array::from_fn(|code| factors[1].wrapping_mul(difference(code, 4))),
            green_of_blue: std::array::from_fn(|code| factors[3].wrapping_mul(difference(code, 2)).wrapping_add(HALF)),
            blue: std::array::from_fn(|code| factors[2].wrapping_mul(difference(code, 2)).wrapping_add(HALF) >> 16),
        }
    }

    fn rgb(&self, luma: u8, blue: u8, red: u8) -> [u8; 3] {
        let [luma, blue, red] = [luma, blue, red].map(usize::from);
        let base = self.luma[luma];
        let green = self.green_of_blue[blue].wrapping_add(self.green_of_red[red]) >> 16;
        [base + self.red[red], base + green, base + self.blue[blue]].map(|value| value.clamp(0, 255) as u8)
    }
}
