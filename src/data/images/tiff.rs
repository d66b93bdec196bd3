//! The first page of a TIFF: grey (1 to 16 bits), RGB and CMYK (8 or 16 bits), with or without extra samples, and
//! palettes (1 to 8 bits); strips or tiles, chunky or planar; uncompressed, PackBits, LZW or deflate.
//!
//! The `tiff` crate reads the samples. It knows no palettes, so a palette image is read as the grey image of its
//! indices. What it reads differently from Pillow (rounding of CMYK) is done here. Not supported, and refused:
//! floating-point samples, Lab, and YCbCr.

use std::io::Cursor;

use image::RgbImage;
use image::metadata::Orientation;
use tiff::ColorType;
use tiff::decoder::{BufferLayoutPreference, Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

use super::decode::{Refusal, SCRATCH_BYTES, check_size, cmyk_to_rgb, from_pixels, high_byte, orientation};
use super::decode::{oriented, pick};

/// The value of PhotometricInterpretation for palettes, and the one for grey that takes its place.
const PALETTE: u16 = 3;
const GREY: u16 = 1;

fn broken(problem: impl std::fmt::Display) -> Refusal {
    Refusal::broken("TIFF", problem)
}

/// Decodes the first page.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, Refusal> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(broken)?;
    let photometric = decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation).map_err(broken)?;
    if photometric != Some(PALETTE) {
        return read(decoder, None);
    }
    let colours = decoder.get_tag_u16_vec(Tag::ColorMap).map_err(broken)?;
    let indices = as_grey(bytes).ok_or_else(|| broken("a directory that does not fit its file"))?;
    read(Decoder::new(Cursor::new(&indices)).map_err(broken)?, Some(&colours))
}

fn read<B: AsRef<[u8]>>(mut decoder: Decoder<Cursor<B>>, colours: Option<&[u16]>) -> Result<RgbImage, Refusal> {
    let (width, height) = decoder.dimensions().map_err(broken)?;
    check_size(width, height)?;
    let kind = decoder.colortype().map_err(broken)?;
    let n_bytes = width as usize * height as usize * usize::from(kind.num_samples()) * 2;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = n_bytes;
    limits.intermediate_buffer_size = n_bytes + SCRATCH_BYTES as usize;
    let mut decoder = decoder.with_limits(limits);

    let tag = decoder.find_tag_unsigned::<u16>(Tag::Orientation).map_err(broken)?;
    let from_tag = tag.and_then(|value| Orientation::from_exif(u8::try_from(value).ok()?));
    let xmp = decoder.find_tag(Tag::Unknown(700)).map_err(broken)?.and_then(|value| value.into_u8_vec().ok());
    let turn = from_tag.unwrap_or_else(|| orientation(None, xmp.as_deref()));

    let mut samples = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut samples).map_err(broken)?;
    let samples = interleaved(eight_bits(samples, kind)?, &layout);
    let pixels = match (kind, colours) {
        (ColorType::Gray(bits @ (1 | 2 | 4 | 8)), Some(colours)) => {
            let indices = unpacked(samples, bits, width, &layout, 1);
            through_palette(&indices, colours, 1 << bits)?
        }
        (ColorType::Gray(bits @ (1 | 2 | 4)), None) => {
            let brightest = ((1_u16 << bits) - 1) as u8;
            pick(&unpacked(samples, bits, width, &layout, 255 / brightest), 1, [0; 3], |value| value)
        }
        (ColorType::Gray(_) | ColorType::GrayA(_), None) => {
            pick(&samples, usize::from(kind.num_samples()), [0; 3], |value| value)
        }
        // Grey with extra samples: the first is the grey.
        (ColorType::Multiband { num_samples, .. }, None) => {
            pick(&samples, usize::from(num_samples), [0; 3], |value| value)
        }
        (ColorType::RGB(_) | ColorType::RGBA(_), None) => {
            pick(&samples, usize::from(kind.num_samples()), [0, 1, 2], |value| value)
        }
        (ColorType::CMYK(_) | ColorType::CMYKA(_), None) => {
            let inks = samples.chunks_exact(usize::from(kind.num_samples()));
            inks.flat_map(|ink| cmyk_to_rgb([ink[0], ink[1], ink[2], ink[3]])).collect()
        }
        _ => return Err(unsupported(kind)),
    };
    if pixels.len() != 3 * width as usize * height as usize {
        return Err(broken("fewer samples than the image has pixels"));
    }
    Ok(oriented(from_pixels(width, height, pixels), turn))
}

fn unsupported(kind: ColorType) -> Refusal {
    Refusal::new("a TIFF of grey, RGB, CMYK or palette with up to 16 bits a sample", format!("{kind:?}"))
}

/// The samples as bytes; of sixteen bits the upper eight.
fn eight_bits(samples: DecodingResult, kind: ColorType) -> Result<Vec<u8>, Refusal> {
    match samples {
        DecodingResult::U8(samples) => Ok(samples),
        DecodingResult::U16(samples) => Ok(samples.into_iter().map(high_byte).collect()),
        _ => Err(unsupported(kind)),
    }
}

/// Planes, one a channel, woven into pixels; anything else unchanged.
fn interleaved(samples: Vec<u8>, layout: &BufferLayoutPreference) -> Vec<u8> {
    if layout.planes <= 1 {
        return samples;
    }
    let length = samples.len() / layout.planes;
    (0..length)
        .flat_map(|pixel| (0..layout.planes).map(move |plane| plane * length + pixel))
        .map(|at| samples[at])
        .collect()
}

/// Samples of `bits` bits, packed into bytes row by row, as one byte each, times `factor`.
fn unpacked(packed: Vec<u8>, bits: u8, width: u32, layout: &BufferLayoutPreference, factor: u8) -> Vec<u8> {
    if bits == 8 {
        return packed;
    }
    let n_per_byte = usize::from(8 / bits);
    let row_bytes = layout.row_stride.map_or((width as usize).div_ceil(n_per_byte), |stride| stride.get());
    let sample = |row: &[u8], x: usize| {
        let shift = 8 - usize::from(bits) * (x % n_per_byte + 1);
        (row[x / n_per_byte] >> shift & ((1_u16 << bits) - 1) as u8) * factor
    };
    packed.chunks_exact(row_bytes).flat_map(|row| (0..width as usize).map(move |x| sample(row, x))).collect()
}

/// Colours for indices; the map holds `n` reds, then `n` greens, then `n` blues.
fn through_palette(indices: &[u8], colours: &[u16], n: usize) -> Result<Vec<u8>, Refusal> {
    if colours.len() < 3 * n {
        return Err(broken(format!("a colour map of {} values for {n} colours", colours.len())));
    }
    let colour = |&index: &u8| [0, n, 2 * n].map(|plane| high_byte(colours[plane + usize::from(index)]));
    Ok(indices.iter().flat_map(colour).collect())
}

/// A copy of a palette TIFF that says its indices are grey values, or `None` where its directory is damaged.
fn as_grey(bytes: &[u8]) -> Option<Vec<u8>> {
    let little = bytes.starts_with(b"II");
    let number = |at: usize, length: usize| -> Option<u64> {
        let field = bytes.get(at..at.checked_add(length)?)?;
        let join = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        Some(if little { field.iter().rev().fold(0, join) } else { field.iter().fold(0, join) })
    };
    // Magic 43 is BigTIFF, whose offsets and counts are wider.
    let big = number(2, 2)? == 43;
    let directory = usize::try_from(if big { number(8, 8)? } else { number(4, 4)? }).ok()?;
    let (count_size, entry_size, value_at) = if big { (8, 20, 12) } else { (2, 12, 8) };
    let n_entries = usize::try_from(number(directory, count_size)?).ok()?;
    let first = directory + count_size;
    let mut entries = (0..n_entries.min(bytes.len() / entry_size)).map(|entry| first + entry * entry_size);
    let entry = entries.find(|&at| number(at, 2) == Some(u64::from(Tag::PhotometricInterpretation.to_u16())))?;
    let mut grey = bytes.to_vec();
    let value = if little { GREY.to_le_bytes() } else { GREY.to_be_bytes() };
    grey.get_mut(entry + value_at..entry + value_at + 2)?.copy_from_slice(&value);
    Some(grey)
}
