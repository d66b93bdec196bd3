//! The first frame of a GIF, on its logical screen.
//!
//! What the frame leaves uncovered shows the transparent colour's own colour where the frame has one, and else the
//! palette's first colour: that is what Pillow's conversion to RGB makes of it. A frame that reaches beyond the
//! screen (which may be empty) enlarges it, also as in Pillow; indices without any palette are grey levels.

use std::borrow::Cow;
use std::io::Cursor;
use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, MemoryLimit};
use image::RgbImage;

use super::decode::{Refusal, from_pixels};
use super::limits::{MAX_PIXELS, check_size, reserve};

/// Decodes the first frame.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, Refusal> {
    let broken = |problem| Refusal::broken("GIF", problem);
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(const { NonZeroU64::new(MAX_PIXELS).expect("not zero") }));
    let mut decoder = options.read_info(Cursor::new(with_palette(bytes))).map_err(broken)?;
    let screen = [decoder.width(), decoder.height()].map(u32::from);
    check_size(screen[0].max(1), screen[1].max(1))?;
    let Some(frame) = decoder.next_frame_info().map_err(broken)? else {
        return Err(Refusal::new("a GIF with at least one frame", "none"));
    };
    let [left, top, frame_width, frame_height] = [frame.left, frame.top, frame.width, frame.height].map(u32::from);
    let (transparent, own_palette) = (frame.transparent, frame.palette.clone());
    let (width, height) = (screen[0].max(left + frame_width), screen[1].max(top + frame_height));
    check_size(width, height)?;
    let _share = reserve(5 * u64::from(width) * u64::from(height));
    let palette = own_palette.or_else(|| decoder.global_palette().map(<[u8]>::to_vec)).unwrap_or_default();

    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(broken)?;
    let colour = |index: u8| match palette.get(3 * usize::from(index)..3 * usize::from(index) + 3) {
        Some(colour) => [colour[0], colour[1], colour[2]],
        None => [0; 3],
    };
    let mut image = from_pixels(width, height, colour(transparent.unwrap_or(0)).repeat((width * height) as usize));
    for (index, place) in indices.iter().zip(0..) {
        image.put_pixel(left + place % frame_width, top + place / frame_width, image::Rgb(colour(*index)));
    }
    Ok(image)
}

/// The file with 256 grey levels as its palette, where it has none for all frames. (The `gif` crate refuses a frame without.)
fn with_palette(bytes: &[u8]) -> Cow<'_, [u8]> {
    match bytes.split_first_chunk::<13>() {
        Some((screen, frames)) if screen[10] & 0x80 == 0 => {
            let mut whole = screen.to_vec();
            whole[10] = screen[10] & 0x70 | 0x87;
            whole.extend((0..=255).flat_map(|grey| [grey; 3]));
            whole.extend(frames);
            whole.into()
        }
        _ => bytes.into(),
    }
}
