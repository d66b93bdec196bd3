//! Pictures that are nearly the same: a small fingerprint for each, and the pairs among many.
//!
//! Two stages. A code of 128 bits tells which low frequencies are strong, of the whole picture and of its middle, so
//! that a cropped copy has the same one: all pairs of codes are compared (`soundness::close_pairs`), also mirrored.
//! What is close there is then laid over each other as pictures of 32 x 32 pixels, moved until they fit, and must agree
//! everywhere and in colour. The first stage finds, the second decides: drawings have few frequencies, and many share a
//! code.
//!
//! Found are copies that were resized, compressed again, mirrored left-right, cropped by about 5% a side, made a little
//! brighter or darker. Not found: turned by 90 degrees, cropped by much, written over, other frames of a film that
//! moved. What is found of each kind, beside imagededup and CleanVision on the same pictures: benches/README.md.

mod coarse;
mod fit;
mod frequencies;
mod pairs;

pub use pairs::{NearKind, NearPair, near_duplicates, near_groups};

use super::resize::{Interpolation, resize};
use crate::error::{Error, Result};
use frequencies::code;
use image::RgbImage;
use std::hash::Hasher;
use wider_clip_numbers::soundness::Code;

/// Pixels a side of the picture that is kept.
const SIDE: usize = 32;
/// Fields a side for which a mean colour is kept.
const FIELDS: usize = 8;
/// Pictures are brought to this many pixels a side at most before anything else.
const MOST_SIDE: u32 = 256;
/// The share of a side that is cut away for the code of the middle.
const MARGIN: f64 = 0.05;
/// Standard deviation of the grey levels (0 to 255) below which a picture has nothing to compare.
const FLAT: f64 = 2.0;

/// What is kept of a picture to find others nearly equal to it: 1.2 kB. The same pixels give the same fingerprint
/// everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Code of the whole picture.
    whole: Code,
    /// Code of the middle.
    middle: Code,
    /// Grey levels of `SIDE` x `SIDE` pixels.
    grey: Vec<u8>,
    /// For each of `FIELDS` x `FIELDS` fields red and blue less the grey level, halved.
    colour: Vec<[i8; 2]>,
    /// Width and height in pixels.
    size: (u32, u32),
    /// Digest of size and pixels, 0 of a picture without pixels.
    pixels: u64,
    /// Whether the picture is of one grey level, nearly.
    flat: bool,
}

impl Fingerprint {
    /// Bytes of [`Fingerprint::to_bytes`].
    pub const BYTES: usize = 32 + SIDE * SIDE + 2 * FIELDS * FIELDS + 8 + 8 + 1;

    /// The fingerprint of a picture of any size; one without pixels is flat.
    pub fn of(image: &RgbImage) -> Fingerprint {
        let size = image.dimensions();
        if size.0 == 0 || size.1 == 0 {
            let (grey, colour) = (vec![0; SIDE * SIDE], vec![[0; 2]; FIELDS * FIELDS]);
            let none = Code::default();
            return Fingerprint { whole: none, middle: none, grey, colour, size, pixels: 0, flat: true };
        }
        let smaller = shrunk(image);
        let (width, height) = smaller.dimensions();
        let (across, down) = (margin(width), margin(height));
        let middle =
            image::imageops::crop_imm(&smaller, across, down, width - 2 * across, height - 2 * down).to_image();
        let (square, fields) = (to_square(&smaller, SIDE), to_square(&smaller, FIELDS));
        let grey: Vec<u8> = square.pixels().map(|pixel| level(pixel.0)).collect();
        let middle: Vec<u8> = to_square(&middle, SIDE).pixels().map(|pixel| level(pixel.0)).collect();
        let colour = fields.pixels().map(|pixel| {
            let grey = i32::from(level(pixel.0));
            [pixel.0[0], pixel.0[2]].map(|band| ((i32::from(band) - grey) / 2) as i8)
        });
        let flat = deviation(&grey) < FLAT;
        let (whole, middle) = (code(&grey), code(&middle));
        Fingerprint { whole, middle, colour: colour.collect(), grey, size, pixels: digest(image), flat }
    }

    /// Whether the picture is nearly of one grey level; such a picture is near nothing but pictures of the same pixels.
    pub fn is_flat(&self) -> bool {
        self.flat
    }

    /// Whether two pictures have the same size and pixels, as far as 64 bits tell.
    pub fn same_pixels(&self, other: &Fingerprint) -> bool {
        self.size == other.size && self.pixels == other.pixels
    }

    /// As bytes, to keep it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Fingerprint::BYTES);
        for word in [self.whole.kept, self.whole.turned, self.middle.kept, self.middle.turned, self.pixels] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend([self.size.0, self.size.1].iter().flat_map(|side| side.to_le_bytes()));
        bytes.push(u8::from(self.flat));
        bytes.extend(&self.grey);
        bytes.extend(self.colour.iter().flatten().map(|value| *value as u8));
        bytes
    }

    /// From what [`Fingerprint::to_bytes`] gave.
    ///
    /// # Errors
    /// Another number of bytes than [`Fingerprint::BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Fingerprint> {
        if bytes.len() != Fingerprint::BYTES {
            let expected = format!("{} bytes", Fingerprint::BYTES);
            return Err(Error::argument("fingerprint", expected, bytes.len().to_string()));
        }
        let word = |i: usize| (0..8).fold(0, |word, place| word | u64::from(bytes[8 * i + place]) << (8 * place));
        let (grey, colour) = bytes[49..].split_at(SIDE * SIDE);
        Ok(Fingerprint {
            whole: Code { kept: word(0), turned: word(1) },
            middle: Code { kept: word(2), turned: word(3) },
            pixels: word(4),
            size: (word(5) as u32, (word(5) >> 32) as u32),
            flat: bytes[48] != 0,
            grey: grey.to_vec(),
            colour: colour.chunks_exact(2).map(|pair| [pair[0] as i8, pair[1] as i8]).collect(),
        })
    }
}

/// At most [`MOST_SIDE`] pixels a side, shape kept.
fn shrunk(image: &RgbImage) -> RgbImage {
    super::thumbnail::thumbnail(image, MOST_SIDE)
}

fn to_square(image: &RgbImage, side: usize) -> RgbImage {
    resize(image, side as u32, side as u32, Interpolation::Bilinear).expect("no side is zero")
}

/// What is cut away at each end of a side; at least a pixel is left.
fn margin(side: u32) -> u32 {
    ((f64::from(side) * MARGIN).round() as u32).min((side - 1) / 2)
}

/// Grey level as Pillow has it, ITU-R 601.
fn level([red, green, blue]: [u8; 3]) -> u8 {
    ((u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471 + 0x8000) >> 16) as u8
}

fn deviation(levels: &[u8]) -> f64 {
    let n = levels.len() as f64;
    let mean = levels.iter().map(|&level| f64::from(level)).sum::<f64>() / n;
    (levels.iter().map(|&level| (f64::from(level) - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// A digest of size and pixels: FNV-1a over words of eight bytes, which is not made to withstand an attacker.
fn digest(image: &RgbImage) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    hash.write_u64(u64::from(image.width()) << 32 | u64::from(image.height()));
    for chunk in image.as_raw().chunks(8) {
        hash.write_u64(chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)));
    }
    hash.finish()
}

/// FNV-1a with words in place of bytes, high bits folded down.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(u64::from(byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
