//! WebP: the pixels by the `image` crate's decoder.
//!
//! Of an animation the first frame counts. It is decoded as a picture of its own and put on an empty canvas, as libwebp
//! does: the decoder for animations would blend it with that canvas, and rounding would move every half transparent colour.

use std::io::Cursor;

use image::codecs::webp::WebPDecoder;
use image::{DynamicImage, ImageDecoder};

use super::decode::{Picture, Refusal, from_pixels, read};
use super::exif;
use super::limits::{check_size, reserve};

fn broken(problem: impl std::fmt::Display) -> Refusal {
    Refusal::broken("WebP", problem)
}

/// Decodes the picture.
pub(super) fn decode(bytes: &[u8]) -> Result<Picture, Refusal> {
    chunks_fit(bytes)?;
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(broken)?;
    let (exif, xmp) = (decoder.exif_metadata().map_err(broken)?, decoder.xmp_metadata().map_err(broken)?);
    let stated = exif.and_then(|exif| exif::stated_in_chunk(&exif, 2));
    let turn = exif::orientation(stated, xmp.as_deref());
    let frame = chunks(bytes).find(|(name, _)| name == b"ANMF").filter(|_| decoder.has_animation());
    let picture = match frame {
        Some((_, frame)) => first_frame(frame, decoder.dimensions())?,
        None => read("WebP", decoder)?,
    };
    Ok(Picture { turn, ..picture })
}

/// Holds the lengths that the chunks claim against the file: the decoder asks for that much memory at once.
fn chunks_fit(bytes: &[u8]) -> Result<(), Refusal> {
    // Behind `RIFF`, the length and `WEBP`: name, length, content, and a byte where the length is odd.
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some((head, content)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if length > content.len() {
            let name = String::from_utf8_lossy(&head[..4]).into_owned();
            return Err(broken(format!("a chunk `{name}` of {length} bytes where {} are left", content.len())));
        }
        rest = content.get(length + length % 2..).unwrap_or_default();
    }
    Ok(())
}

/// The names and contents of the chunks of a file whose chunks fit.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes.get(12..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&[a, b, c, d, ref length @ ..], content) = rest.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes(*length) as usize;
        rest = content.get(length + length % 2..).unwrap_or_default();
        Some(([a, b, c, d], content.get(..length)?))
    })
}

/// A frame, the content of its chunk, on a canvas.
fn first_frame(frame: &[u8], (width, height): (u32, u32)) -> Result<Picture, Refusal> {
    let (head, content) = frame.split_first_chunk::<16>().ok_or_else(|| broken("a frame that ends early"))?;
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], 0]);
    let (left, top) = (2 * number(0), 2 * number(3));
    let (across, down) = (number(6) + 1, number(9) + 1);
    check_size(width, height)?;
    if left + across > width || top + down > height {
        let found = format!("a frame of {across} x {down} at {left}, {top} on a canvas of {width} x {height}");
        return Err(broken(found));
    }
    let alone = alone(content, (across, down));
    let picture = read("WebP", WebPDecoder::new(Cursor::new(&alone)).map_err(broken)?)?;
    if (picture.image.width(), picture.image.height()) != (across, down) {
        let found =
            format!("a frame of {across} x {down} that holds {} x {}", picture.image.width(), picture.image.height());
        return Err(broken(found));
    }
    let _share = reserve(6 * u64::from(width) * u64::from(height));
    let pixels = match picture.image {
        DynamicImage::ImageRgba8(image) => image.as_chunks::<4>().0.iter().flat_map(|p| [p[0], p[1], p[2]]).collect(),
        image => image.into_rgb8().into_raw(),
    };
    let mut canvas = vec![0; 3 * (width * height) as usize];
    let place = |y: usize| 3 * ((top as usize + y) * width as usize + left as usize);
    for (y, row) in pixels.chunks_exact(3 * across as usize).enumerate() {
        canvas[place(y)..place(y) + row.len()].copy_from_slice(row);
    }
    let image = DynamicImage::ImageRgb8(from_pixels(width, height, canvas));
    Ok(Picture { image, ..picture })
}

/// The file of a still picture from the chunks of a frame.
fn alone(content: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
    let mut chunks = b"WEBP".to_vec();
    if content.starts_with(b"ALPH") {
        // The extended form, which says that there is alpha beside the colours.
        chunks.extend(b"VP8X\x0a\0\0\0\x10\0\0\0");
        [width, height].iter().for_each(|side| chunks.extend(&(side - 1).to_le_bytes()[..3]));
    }
    chunks.extend(content);
    [b"RIFF", &(chunks.len() as u32).to_le_bytes(), &chunks[..]].concat()
}
