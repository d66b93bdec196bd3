//! BMP: the headers of Windows (40, 52, 56, 108, 124 bytes) and of OS/2 (12, 64), palettes of 1, 4 and 8 bits, run lengths
//! (RLE8, RLE4), 16, 24 and 32 bits with or without bit fields, bottom-up and top-down. Alpha is dropped. A DIB is the same without the
//! first 14 bytes.
//!
//! As Pillow reads them, and beyond: bit fields may lie anywhere, and an RLE picture that ends early by its own mark is
//! filled with the palette's first colour, where Pillow refuses both. Indices beyond the palette are black.

use image::RgbImage;

use super::decode::{Refusal, from_pixels};
use super::limits::{check_size, reserve};

fn broken(problem: impl std::fmt::Display) -> Refusal {
    Refusal::broken("BMP", problem)
}

/// What the headers say.
struct Header {
    width: usize,
    height: usize,
    top_down: bool,
    bits: usize,
    compression: u32,
    /// Where the palette begins, its number of colours, and the bytes of each.
    palette: (usize, usize, usize),
    /// The bits of red, green and blue.
    masks: [u32; 3],
    pixels: usize,
}

/// Whether the file begins with a header of Windows or OS/2 where `BM` and the place of the pixels should stand: a DIB.
pub(super) fn is_headless(bytes: &[u8]) -> bool {
    let at = |start: usize| bytes.get(start..start + 2).unwrap_or_default();
    let one_plane = match bytes.first_chunk::<4>().map(|&size| u32::from_le_bytes(size)) {
        Some(12) => at(8),
        Some(40 | 52 | 56 | 64 | 108 | 124) => at(12),
        _ => return false,
    };
    one_plane == [1, 0]
}

/// Decodes a picture without `BM` and the place of the pixels, which then follow the headers.
pub(super) fn decode_headless(bytes: &[u8]) -> Result<RgbImage, Refusal> {
    decode(&[b"BM\0\0\0\0\0\0\0\0\0\0\0\0", bytes].concat())
}

/// Decodes the picture.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, Refusal> {
    let header = Header::new(bytes)?;
    let (width, height) = (header.width, header.height);
    let _share = reserve(8 * (width * height) as u64);
    let mut pixels = vec![0; 3 * width * height];
    let at = |row: usize| if header.top_down { row } else { height - 1 - row };
    let runs = if matches!(header.compression, 1 | 2) { header.unpacked(bytes)? } else { Vec::new() };
    let stride = (width * header.bits).div_ceil(32) * 4;
    for row in 0..height {
        let line = &mut pixels[at(row) * 3 * width..][..3 * width];
        if header.bits > 8 {
            let samples = header.row(bytes, row, stride)?;
            header.colours(samples, line);
        } else if runs.is_empty() {
            let samples = header.row(bytes, row, stride)?;
            header.spread(bytes, line, |x| {
                let first = x * header.bits;
                samples[first / 8] >> (8 - header.bits - first % 8) & (255 >> (8 - header.bits)) as u8
            });
        } else {
            header.spread(bytes, line, |x| runs[row * width + x]);
        }
    }
    Ok(from_pixels(width as u32, height as u32, pixels))
}

fn number(bytes: &[u8], at: usize) -> Result<u32, Refusal> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    field.map(|&field| u32::from_le_bytes(field)).ok_or_else(|| broken("headers that end early"))
}

fn short(bytes: &[u8], at: usize) -> Result<usize, Refusal> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
    field.map(|&field| usize::from(u16::from_le_bytes(field))).ok_or_else(|| broken("headers that end early"))
}

impl Header {
    fn new(bytes: &[u8]) -> Result<Header, Refusal> {
        let mut pixels = number(bytes, 10)? as usize;
        let size = number(bytes, 14)? as usize;
        let (width, height, top_down, bits, compression, n_colours, entry);
        match size {
            12 => {
                (width, height) = (short(bytes, 18)? as u32, short(bytes, 20)? as u32);
                (top_down, bits, compression, n_colours, entry) = (false, short(bytes, 24)?, 0, 0, 3);
            }
            40 | 52 | 56 | 64 | 108 | 124 => {
                let stated = number(bytes, 22)?;
                top_down = stated >> 24 == 0xFF;
                width = number(bytes, 18)?;
                height = if top_down { stated.wrapping_neg() } else { stated };
                (bits, compression) = (short(bytes, 28)?, number(bytes, 30)?);
                (n_colours, entry) = (number(bytes, 46)? as usize, 4);
            }
            other => {
                return Err(Refusal::new("a BMP header of 12, 40, 52, 56, 64, 108 or 124 bytes", other.to_string()));
            }
        }
        check_size(width, height)?;
        let fits = match compression {
            0 => matches!(bits, 1 | 4 | 8 | 16 | 24 | 32),
            1 => bits == 8,
            2 => bits == 4,
            3 | 6 => matches!(bits, 16 | 24 | 32),
            _ => false,
        };
        if !fits {
            let name = ["none", "RLE8", "RLE4", "bit fields", "JPEG", "PNG", "bit fields with alpha"];
            let name = name.get(compression as usize).copied().unwrap_or("unknown");
            let expected = "a BMP of 1, 4, 8, 16, 24 or 32 bits, plain, with run lengths (RLE8, RLE4) or bit fields";
            return Err(Refusal::new(expected, format!("{bits} bits, compression {name} ({compression})")));
        }
        let n_colours = if n_colours == 0 { 1 << bits.min(8) } else { n_colours };
        if bits <= 8 && n_colours > 65_536 {
            return Err(broken(format!("a palette of {n_colours} colours")));
        }
        if pixels == 14 + size && bits <= 8 {
            pixels += entry * n_colours;
        }
        let plain = if bits == 16 { [0x7C00, 0x3E0, 0x1F] } else { [0xFF_0000, 0xFF00, 0xFF] };
        let masks = match compression {
            // Behind a header of 40 bytes, or at the same place within the longer ones.
            3 | 6 => match [number(bytes, 54)?, number(bytes, 58)?, number(bytes, 62)?] {
                [0, 0, 0] => plain,
                masks => masks,
            },
            _ => plain,
        };
        if pixels == 0 {
            let masks = match (size, compression) {
                (40, 3) => 12,
                (40, 6) => 16,
                _ => 0,
            };
            pixels = 14 + size + masks + if bits <= 8 { entry * n_colours } else { 0 };
        }
        let (width, height, palette) = (width as usize, height as usize, (14 + size, n_colours, entry));
        Ok(Header { width, height, top_down, bits, compression, palette, masks, pixels })
    }

    /// A row's bytes; rows are padded to whole words, the last one need not be.
    fn row<'a>(&self, bytes: &'a [u8], row: usize, stride: usize) -> Result<&'a [u8], Refusal> {
        let start = self.pixels.saturating_add(row * stride);
        let end = start.saturating_add((self.width * self.bits).div_ceil(8));
        bytes.get(start..end).ok_or_else(|| broken(format!("a file that ends after {row} of {} rows", self.height)))
    }

    /// Colours by the bits of each pixel, the fields stretched to 0 to 255 and rounded down.
    fn colours(&self, samples: &[u8], line: &mut [u8]) {
        if self.bits == 24 && self.masks == [0xFF_0000, 0xFF00, 0xFF] {
            let pixels = line.as_chunks_mut::<3>().0.iter_mut().zip(samples.as_chunks::<3>().0);
            return pixels.for_each(|(pixel, &[blue, green, red])| *pixel = [red, green, blue]);
        }
        let fields = self.masks.map(|mask| (mask, mask.trailing_zeros(), mask >> mask.trailing_zeros().min(31)));
        for (pixel, sample) in line.as_chunks_mut::<3>().0.iter_mut().zip(samples.chunks_exact(self.bits / 8)) {
            let value = sample.iter().rev().fold(0_u32, |value, &byte| value << 8 | u32::from(byte));
            *pixel = fields.map(|(mask, shift, most)| match mask {
                0 => 0,
                _ => (u64::from((value & mask) >> shift) * 255 / u64::from(most)) as u8,
            });
        }
    }

    /// Colours by their numbers in the palette.
    fn spread(&self, bytes: &[u8], line: &mut [u8], index: impl Fn(usize) -> u8) {
        let (start, n_colours, entry) = self.palette;
        for (x, pixel) in line.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let number = usize::from(index(x));
            let colour = bytes.get(start + entry * number..).and_then(|rest| rest.first_chunk::<3>());
            let [blue, green, red] = colour.filter(|_| number < n_colours).copied().unwrap_or([0; 3]);
            *pixel = [red, green, blue];
        }
    }

    /// The indices that run lengths stand for, in the order of the file.
    fn unpacked(&self, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        let (width, most) = (self.width, self.width * self.height);
        let half_bytes = self.compression == 2;
        let early = || broken("run lengths that end early");
        let mut at = self.pixels;
        // Runs of different bytes end on whole words, counted from the first pixel on.
        let mut take = |n: usize, aligned: bool| {
            let taken = bytes.get(at..at.saturating_add(n)).ok_or_else(early);
            at = at.saturating_add(n);
            at += usize::from(aligned && at.wrapping_sub(self.pixels) % 2 == 1);
            taken
        };
        let mut out = Vec::with_capacity(most);
        // How far the row has come; a run does not go on into the next row.
        let mut x = 0;
        while out.len() < most {
            let (count, byte) = match take(2, false)? {
                &[count, byte] => (usize::from(count), byte),
                _ => return Err(early()),
            };
            let pair = if half_bytes { [byte >> 4, byte & 15] } else { [byte; 2] };
            match (count, byte) {
                (0, 0) => {
                    out.resize(out.len().next_multiple_of(width), 0);
                    x = 0;
                }
                (0, 1) => out.resize(most, 0),
                (0, 2) => {
                    let step = take(2, false)?;
                    let skipped = usize::from(step[0]) + usize::from(step[1]) * width;
                    out.resize(most.min(out.len() + skipped), 0);
                    x = out.len() % width;
                }
                (0, n) => {
                    let n = usize::from(n).min(most - out.len());
                    let literal = take(if half_bytes { n.div_ceil(2) } else { n }, true)?;
                    match half_bytes {
                        true => out.extend(literal.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(n)),
                        false => out.extend(literal),
                    }
                    x += usize::from(byte);
                }
                (n, _) => {
                    let n = n.min(width.saturating_sub(x));
                    out.extend(pair.iter().cycle().take(n));
                    x += n;
                }
            }
        }
        out.truncate(most);
        Ok(out)
    }
}
