//! From unpacked rows to bytes: byte order, predictors, the samples that are asked for, and their grey levels.

use std::io::Read;

use super::compressions::Taken;
use super::directory::{Format, Layout};
use super::{broken, compressions, segments, ycbcr};
use crate::images::decode::Refusal;
use crate::images::reading::{Reading, Sixteen, mapped, undecided};

/// How a sample becomes a byte.
enum Scale {
    /// It is one.
    Same,
    /// Of fewer than eight bits: times 255 over the largest.
    Spread,
    /// As it is, for the indices of a palette.
    Index,
    /// Of nine to fifteen bits: the upper eight.
    Upper,
    /// Of sixteen.
    Sixteen(Sixteen),
    /// By the record's range.
    Range([f64; 2]),
}

/// Bytes for the samples `picks` of each pixel, row by row, the picks beside each other.
///
/// `is_index` says that the samples number a palette's colours, `colours` how many of the picks are colours and not alpha.
pub(super) fn read(
    layout: &Layout,
    bytes: &[u8],
    picks: &[usize],
    colours: usize,
    reading: &Reading,
    is_index: bool,
) -> Result<Vec<u8>, Refusal> {
    let mut scale = scale(layout, reading, is_index)?;
    let n = picks.len();
    let mut out = vec![0; layout.width * layout.height * n];
    let row_bytes = layout.row_bytes();
    let mut row = vec![0; row_bytes];
    let mut taken = Taken::of(bytes.len());
    for plane in 0..layout.n_planes() {
        // Of planes only those that are asked for; each then holds one sample a pixel.
        let here: Vec<(usize, usize)> = match layout.planar {
            true => (0..n).filter(|&place| picks[place] == plane).map(|place| (place, 0)).collect(),
            false => picks.iter().copied().enumerate().collect(),
        };
        if here.is_empty() {
            continue;
        }
        for chunk in 0..layout.across() * layout.down() {
            let (left, top) = (chunk % layout.across() * layout.chunk.0, chunk / layout.across() * layout.chunk.1);
            let n_rows = layout.chunk.1.min(layout.height - top);
            let index = plane * layout.across() * layout.down() + chunk;
            // Tiles are stored whole, the last strip is cut; rows below the picture are not unpacked.
            let needed = if layout.in_blocks() { ycbcr::n_bytes(layout, n_rows) } else { row_bytes * n_rows };
            let packed = compressions::packed(layout, bytes, index, needed)?;
            taken.take(layout, &packed)?;
            let n_pixels = layout.chunk.0.min(layout.width - left);
            let mut rows: Box<dyn Read> = match layout.compression {
                7 => Box::new(std::io::Cursor::new(segments::rows(layout, &packed, n_rows)?)),
                _ if layout.in_blocks() => {
                    let mut blocks = compressions::unpacked(layout, &packed, n_rows)?;
                    Box::new(std::io::Cursor::new(ycbcr::rows(layout, &mut blocks, n_rows)?))
                }
                _ => compressions::unpacked(layout, &packed, n_rows)?,
            };
            for y in top..top + n_rows {
                rows.read_exact(&mut row).map_err(|problem| match problem.kind() {
                    std::io::ErrorKind::UnexpectedEof => {
                        broken(format!("fewer pixels than it states: {}", place(layout, index)))
                    }
                    _ => broken(format!("{problem}, {}", place(layout, index))),
                })?;
                settle(layout, &mut row);
                let line = &mut out[(y * layout.width + left) * n..][..n_pixels * n];
                pick(layout, &row, line, &here, n, colours, &mut scale);
            }
        }
    }
    if let Scale::Sixteen(seen) = &scale {
        seen.check()?;
    }
    Ok(out)
}

fn place(layout: &Layout, index: usize) -> String {
    format!("{} {index} of {}", if layout.tiled { "tile" } else { "strip" }, layout.offsets.len())
}

/// How this picture's samples become bytes, or why they cannot.
fn scale(layout: &Layout, reading: &Reading, is_index: bool) -> Result<Scale, Refusal> {
    if is_index {
        return Ok(Scale::Index);
    }
    let whole = layout.format == Format::Unsigned;
    match (reading.range, layout.bits) {
        (Some(range), bits) if !whole || bits > 8 || reading.bands.is_some() => {
            let readable = match layout.format {
                Format::Unsigned => true,
                Format::Signed => matches!(layout.bits, 8 | 16 | 32 | 64),
                Format::Float => matches!(layout.bits, 16 | 32 | 64),
            };
            let known = readable && bits != 24;
            if !known {
                return Err(Refusal::new(
                    "a TIFF of samples of common sizes",
                    format!("{bits}-bit {}", words(layout.format)),
                ));
            }
            match whole && bits == 16 {
                true => Ok(Scale::Sixteen(reading.of_sixteen())),
                false => Ok(Scale::Range(range)),
            }
        }
        (_, 8) if whole => Ok(Scale::Same),
        (_, 1..=7) if whole => Ok(Scale::Spread),
        (_, 9..=15) if whole => Ok(Scale::Upper),
        (_, 16) if whole => Ok(Scale::Sixteen(reading.of_sixteen())),
        (_, bits) => {
            let found = format!(
                "{bits}-bit samples in {}, of which no value is known to be black or white",
                words(layout.format)
            );
            Err(undecided(found))
        }
    }
}

fn words(format: Format) -> &'static str {
    match format {
        Format::Unsigned => "whole numbers",
        Format::Signed => "signed whole numbers",
        Format::Float => "floating-point numbers",
    }
}

/// Brings a row into little-endian order, and undoes its predictor.
fn settle(layout: &Layout, row: &mut [u8]) {
    let (size, n) = (layout.bits / 8, layout.n_together());
    if layout.predictor == 3 {
        // The samples' first bytes, then their second bytes, ... each as the difference from the sample before.
        (n..row.len()).for_each(|at| row[at] = row[at].wrapping_add(row[at - n]));
        let mixed = row.to_vec();
        let n_values = row.len() / size;
        for (value, place) in row.chunks_exact_mut(size).zip(0..) {
            (0..size).for_each(|byte| value[size - 1 - byte] = mixed[byte * n_values + place]);
        }
        return;
    }
    if !layout.little && size > 1 && layout.bits % 8 == 0 && layout.compression != 7 {
        row.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    if layout.predictor == 2 {
        match size {
            1 => (n..row.len()).for_each(|at| row[at] = row[at].wrapping_add(row[at - n])),
            2 => summed::<2>(row, n, |a, b| u16::from_le_bytes(a).wrapping_add(u16::from_le_bytes(b)).to_le_bytes()),
            4 => summed::<4>(row, n, |a, b| u32::from_le_bytes(a).wrapping_add(u32::from_le_bytes(b)).to_le_bytes()),
            _ => summed::<8>(row, n, |a, b| u64::from_le_bytes(a).wrapping_add(u64::from_le_bytes(b)).to_le_bytes()),
        }
    }
}

/// Adds to each sample the same sample of the pixel before.
fn summed<const SIZE: usize>(row: &mut [u8], n: usize, add: fn([u8; SIZE], [u8; SIZE]) -> [u8; SIZE]) {
    let (samples, _) = row.as_chunks_mut::<SIZE>();
    (n..samples.len()).for_each(|at| samples[at] = add(samples[at], samples[at - n]));
}

/// Writes a row's samples; `here` lists the place in a pixel of `out` and the sample for each.
fn pick(
    layout: &Layout,
    row: &[u8],
    out: &mut [u8],
    here: &[(usize, usize)],
    n: usize,
    colours: usize,
    scale: &mut Scale,
) {
    let together = layout.n_together();
    if let Scale::Same = scale {
        if here.len() == together && n == together {
            return out.copy_from_slice(&row[..out.len()]); // all samples, in their order
        }
        for &(place, sample) in here {
            let samples = row[sample..].iter().step_by(together);
            out[place..].iter_mut().step_by(n).zip(samples).for_each(|(out, &sample)| *out = sample);
        }
        return;
    }
    for (x, pixel) in out.chunks_exact_mut(n).enumerate() {
        for &(place, sample) in here {
            let at = x * together + sample;
            pixel[place] = match scale {
                Scale::Same => row[at],
                Scale::Index => packed_bits(row, at, layout.bits) as u8,
                Scale::Spread => {
                    let most = (1_u64 << layout.bits) - 1;
                    ((packed_bits(row, at, layout.bits) * 255 + most / 2) / most) as u8
                }
                Scale::Upper => (packed_bits(row, at, layout.bits) >> (layout.bits - 8)) as u8,
                Scale::Sixteen(sixteen) => {
                    let value = u16::from_le_bytes([row[2 * at], row[2 * at + 1]]);
                    if place < colours { sixteen.byte(value) } else { (value >> 8) as u8 }
                }
                Scale::Range(range) => mapped(number(layout, row, at), *range),
            };
        }
    }
}

/// Sample `at` of a row, of any number of bits, the highest first.
fn packed_bits(row: &[u8], at: usize, bits: usize) -> u64 {
    if bits == 8 {
        return u64::from(row[at]);
    }
    (at * bits..(at + 1) * bits).fold(0, |value, bit| value << 1 | u64::from(row[bit / 8] >> (7 - bit % 8) & 1))
}

/// Sample `at` of a row in little-endian order, as a number.
fn number(layout: &Layout, row: &[u8], at: usize) -> f64 {
    if layout.format == Format::Unsigned && !matches!(layout.bits, 16 | 32 | 64) {
        return packed_bits(row, at, layout.bits) as f64;
    }
    let size = layout.bits / 8;
    let raw = row[at * size..(at + 1) * size].iter().rev().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    match (layout.format, layout.bits) {
        (Format::Unsigned, _) => raw as f64,
        (Format::Signed, bits) => ((raw << (64 - bits)) as i64 >> (64 - bits)) as f64,
        (Format::Float, 16) => half(raw as u16),
        (Format::Float, 32) => f64::from(f32::from_bits(raw as u32)),
        (Format::Float, _) => f64::from_bits(raw),
    }
}

/// A floating-point number of sixteen bits.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2_f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}
