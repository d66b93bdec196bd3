//! The first page of a TIFF or BigTIFF, in strips or tiles, chunky or planar, in either byte order and bit order.
//!
//! - Grey, RGB, CMYK and palettes of 1 to 16 bits a sample, YCbCr of 8 in one plane.
//! - Without compression, or PackBits, LZW (either kind, with or without end code), deflate, Zstandard, JPEG, fax.
//! - Extra samples are dropped, as Pillow does; where they are the alpha by which the colours were multiplied
//!   (ExtraSamples 1), that is undone first, also as Pillow does.
//! - Bands that are no colours, and signed, floating-point and 32-bit samples need a [`Reading`] and are refused without.
//! - Refused by name: CIELab, YCbCr in planes, other compressions, complex numbers, raw camera data.
//!
//! Rows are unpacked one after the other and only as far as pixels ask for them: beside the picture (up to five bytes a
//! pixel) memory is needed for one row of a tile, and for the pixels of one strip or tile where that is JPEG, fax or YCbCr,
//! which has its share of what large pictures may take together.

mod compressions;
mod directory;
mod fax;
mod lzw;
mod samples;
mod segments;
mod ycbcr;

use image::RgbImage;

use self::directory::{Directory, Layout};
use super::decode::{Refusal, cmyk_to_rgb, from_pixels, oriented};
use super::exif;
use super::limits::reserve;
use super::reading::{Reading, undecided};

/// Values of PhotometricInterpretation.
const WHITE_IS_ZERO: u64 = 0;
const BLACK_IS_ZERO: u64 = 1;
const RGB: u64 = 2;
const PALETTE: u64 = 3;
const CMYK: u64 = 5;
const YCBCR: u64 = 6;

/// Values of ExtraSamples.
const UNKNOWN: u64 = 0;
const PREMULTIPLIED: u64 = 1;

fn broken(problem: impl std::fmt::Display) -> Refusal {
    Refusal::broken("TIFF", problem)
}

/// Decodes the first page.
pub(super) fn decode(bytes: &[u8], reading: &Reading) -> Result<RgbImage, Refusal> {
    let directory = Directory::first(bytes)?;
    let layout = Layout::new(&directory)?;
    let _share = reserve(8 * (layout.width * layout.height) as u64 + layout.chunk_memory());
    let pixels = match &reading.bands {
        Some(bands) => chosen(&layout, bytes, bands, reading)?,
        None => coloured(&layout, &directory, bytes, reading)?,
    };
    let xmp = directory.bytes(700).ok().flatten();
    let turn = exif::orientation(exif::stated(bytes), xmp);
    Ok(oriented(from_pixels(layout.width as u32, layout.height as u32, pixels), turn))
}

/// The bands that the record names.
fn chosen(layout: &Layout, bytes: &[u8], bands: &[u16], reading: &Reading) -> Result<Vec<u8>, Refusal> {
    if matches!(layout.photometric, PALETTE | YCBCR) {
        let kind = if layout.photometric == PALETTE { "a palette" } else { "YCbCr" };
        return Err(Refusal::new("a TIFF of bands, as the data set's record names `bands`", kind));
    }
    if let Some(band) = bands.iter().find(|&&band| band == 0 || usize::from(band) > layout.n_samples) {
        let expected = format!("a TIFF with a band {band}, as `bands` in the data set's record asks for");
        return Err(Refusal::new(expected, format!("{} bands", layout.n_samples)));
    }
    let picks: Vec<usize> = bands.iter().map(|&band| usize::from(band) - 1).collect();
    let mut samples = samples::read(layout, bytes, &picks, picks.len(), reading, false)?;
    if layout.photometric == WHITE_IS_ZERO && picks == [0] {
        samples.iter_mut().for_each(|sample| *sample = 255 - *sample);
    }
    Ok(if picks.len() == 3 { samples } else { spread(&samples) })
}

/// The colours that the file itself states.
fn coloured(layout: &Layout, directory: &Directory, bytes: &[u8], reading: &Reading) -> Result<Vec<u8>, Refusal> {
    let n_colours = n_colours(layout)?;
    let premultiplied = layout.extra.first() == Some(&PREMULTIPLIED)
        && layout.n_samples > n_colours
        && matches!(layout.photometric, WHITE_IS_ZERO | BLACK_IS_ZERO | RGB);
    let picks: Vec<usize> = (0..n_colours + usize::from(premultiplied)).collect();
    let is_index = layout.photometric == PALETTE;
    let mut samples = samples::read(layout, bytes, &picks, n_colours, reading, is_index)?;
    if premultiplied {
        samples = samples.chunks_exact(picks.len()).flat_map(divided).collect();
    }
    Ok(match layout.photometric {
        WHITE_IS_ZERO => {
            samples.iter_mut().for_each(|sample| *sample = 255 - *sample);
            spread(&samples)
        }
        PALETTE => through_palette(&samples, directory, 1 << layout.bits)?,
        CMYK => samples.as_chunks::<4>().0.iter().flat_map(|&inks| cmyk_to_rgb(inks)).collect(),
        _ if n_colours == 1 => spread(&samples),
        _ => samples,
    })
}

/// How many of the samples are colours; the others are extra. Refused where the file does not say which are.
fn n_colours(layout: &Layout) -> Result<usize, Refusal> {
    let refuse = |name: &str| {
        let expected = "a TIFF of grey, RGB, CMYK, a palette or YCbCr";
        Err(Refusal::new(expected, format!("{name} ({} samples of {} bits)", layout.n_samples, layout.bits)))
    };
    let n_colours = match layout.photometric {
        WHITE_IS_ZERO | BLACK_IS_ZERO | PALETTE => 1,
        RGB => 3,
        CMYK => 4,
        YCBCR if layout.n_samples == 1 => 1,
        YCBCR if layout.planar => return refuse("YCbCr in planes"),
        YCBCR if layout.compression == 7 => 3,
        YCBCR if layout.bits != 8 || layout.n_samples != 3 || layout.predictor != 1 => return refuse("unusual YCbCr"),
        YCBCR => {
            let (across, down) = layout.subsampling;
            if [across, down].iter().any(|side| ![1, 2, 4].contains(side)) {
                return refuse(&format!("YCbCr with one colour for {across} x {down} pixels"));
            }
            3
        }
        4 => return refuse("a transparency mask"),
        8..=10 => return refuse("CIELab colour"),
        32_803 => return refuse("a colour filter array, raw camera data"),
        34_892 => return refuse("linear raw camera data"),
        32_844 | 32_845 => return refuse("LogLuv colour"),
        other => return refuse(&format!("the photometric interpretation {other}")),
    };
    if layout.photometric == PALETTE && layout.bits > 8 {
        return refuse("a palette of more than 256 colours");
    }
    let n_extra = layout.n_samples.checked_sub(n_colours);
    let Some(n_extra) = n_extra else {
        return Err(broken(format!("{} samples for {n_colours} colours", layout.n_samples)));
    };
    // Pillow's rule: alpha or unknown samples behind the colours are passed over, up to three behind RGB. Grey with one
    // sample beside it, of more than eight bits and of no known meaning, are two bands rather.
    let stated = layout.extra.first().copied();
    let passed_over = match n_colours {
        _ if n_extra == 0 => true,
        1 => n_extra == 1 && stated.is_some_and(|extra| extra != UNKNOWN || layout.bits <= 8),
        3 => n_extra <= 3,
        _ => n_extra <= 2,
    };
    if !passed_over {
        return Err(undecided(format!(
            "a TIFF of {} bands of {} bits, of which none are known to be red, green and blue",
            layout.n_samples, layout.bits
        )));
    }
    Ok(n_colours)
}

/// Grey as red, green and blue.
fn spread(grey: &[u8]) -> Vec<u8> {
    grey.iter().flat_map(|&grey| [grey; 3]).collect()
}

/// A pixel whose last sample is the alpha that the others were multiplied by: divided by it, rounded down, as Pillow does.
fn divided(pixel: &[u8]) -> impl Iterator<Item = u8> {
    let (alpha, colours) = pixel.split_last().expect("callers give colours and alpha");
    let alpha = u32::from(*alpha);
    colours
        .iter()
        .map(move |&colour| (u32::from(colour) * 255).checked_div(alpha).map_or(0, |value| value.min(255) as u8))
}

/// Colours for indices; the map holds `n` reds, then `n` greens, then `n` blues.
fn through_palette(indices: &[u8], directory: &Directory, n: usize) -> Result<Vec<u8>, Refusal> {
    let colours = directory.numbers(320)?.ok_or_else(|| broken("a palette image without colour map"))?;
    if colours.len() < 3 * n {
        return Err(broken(format!("a colour map of {} values for {n} colours", colours.len())));
    }
    let colour = |&index: &u8| [0, n, 2 * n].map(|plane| (colours[plane + usize::from(index)] >> 8) as u8);
    Ok(indices.iter().flat_map(colour).collect())
}
