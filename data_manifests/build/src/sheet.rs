//! A contact sheet of numbered pairs, as PNG.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};

use crate::raster::SIZE;

/// Pairs in a row.
const ACROSS: usize = 5;
/// Room round a pair.
const GAP: usize = 8;
/// Height of the line with the number.
const LINE: usize = 16;
/// Three columns a digit, five rows, one bit a dot, top row first.
const DIGITS: [[u8; 5]; 10] = [
    [7, 5, 5, 5, 7],
    [2, 6, 2, 2, 7],
    [7, 1, 7, 4, 7],
    [7, 1, 7, 1, 7],
    [5, 5, 7, 1, 1],
    [7, 4, 7, 1, 7],
    [7, 4, 7, 5, 7],
    [7, 1, 1, 1, 1],
    [7, 5, 7, 5, 7],
    [7, 5, 7, 1, 7],
];

/// Writes pairs of RGB images side by side, each with its number, from 1, above it.
pub fn write(path: &Path, pairs: &[[&[u8]; 2]]) -> Result<()> {
    let side = SIZE as usize;
    let (cell_w, cell_h) = (2 * side + 3 * GAP, side + LINE + GAP);
    let (width, height) = (ACROSS * cell_w, pairs.len().div_ceil(ACROSS) * cell_h);
    let mut canvas = vec![230u8; width * height * 3];
    for (n, pair) in pairs.iter().enumerate() {
        let (left, top) = (n % ACROSS * cell_w + GAP, n / ACROSS * cell_h);
        number(&mut canvas, width, left, top + 4, n + 1);
        for (k, image) in pair.iter().enumerate() {
            for (y, row) in image.chunks_exact(side * 3).enumerate() {
                let at = ((top + LINE + y) * width + left + k * (side + GAP)) * 3;
                canvas[at..at + row.len()].copy_from_slice(row);
            }
        }
    }
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(&canvas)?;
    Ok(())
}

/// Draws a number in black, two pixels a dot.
fn number(canvas: &mut [u8], width: usize, left: usize, top: usize, n: usize) {
    for (place, digit) in n.to_string().bytes().enumerate() {
        let rows = DIGITS[usize::from(digit - b'0') % 10];
        for y in 0..10 {
            for x in 0..6 {
                if rows[y / 2] >> (2 - x / 2) & 1 == 1 {
                    let at = ((top + y) * width + left + place * 8 + x) * 3;
                    canvas[at..at + 3].fill(0);
                }
            }
        }
    }
}
