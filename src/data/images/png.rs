//! PNG: the pixels by the `image` crate's decoder, the orientation by a walk over the chunks of our own, since Pillow heeds
//! those behind the pixels as well.

use std::io::{Cursor, Read};

use flate2::read::ZlibDecoder;
use image::codecs::png::PngDecoder;
use image::metadata::Orientation;

use super::decode::{Picture, Refusal, limits, read};
use super::exif;
use super::limits::SCRATCH_BYTES;

/// Bytes of a text that are looked at, once it is unpacked; Pillow's limit.
const MAX_TEXT: u64 = 1 << 20;

/// Decodes the picture; of an animation its default image.
pub(super) fn decode(bytes: &[u8]) -> Result<Picture, Refusal> {
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits(SCRATCH_BYTES));
    let picture = read("PNG", decoder.map_err(|problem| Refusal::broken("PNG", problem))?)?;
    Ok(Picture { turn: orientation(bytes)?, ..picture })
}

/// What eXIf, or a text in which ImageMagick keeps EXIF, or XMP states, before the pixels or behind them. Refused where the
/// file ends within one of them: the picture would stand as it should not.
fn orientation(bytes: &[u8]) -> Result<Orientation, Refusal> {
    let (mut stated, mut profile, mut xmp) = (None, None, None);
    let mut rest = bytes.get(8..).unwrap_or(&[]);
    while let Some((head, behind)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some((chunk, behind)) = behind.split_at_checked(length) else {
            match &head[4..] {
                b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt" => return Err(Refusal::broken("PNG", "a file that ends early")),
                _ => break,
            }
        };
        match &head[4..] {
            b"IEND" => break,
            b"eXIf" => stated = Some(exif::stated_in_chunk(chunk, 1)),
            b"tEXt" | b"zTXt" | b"iTXt" => match text(&head[4..], chunk) {
                Some((b"XML:com.adobe.xmp", text)) => xmp = Some(text),
                Some((b"Raw profile type exif", text)) => profile = Some(text),
                _ => {}
            },
            _ => {}
        }
        rest = behind.get(4..).unwrap_or(&[]);
    }
    // Where there is eXIf, the profile is not looked at, whatever eXIf says.
    let of_profile = |text: Vec<u8>| exif::stated_in_chunk(&bytes_of_profile(&text), 2);
    Ok(exif::orientation(stated.unwrap_or_else(|| profile.and_then(of_profile)), xmp.as_deref()))
}

/// Keyword and text of a text chunk whose keyword is one of ours.
fn text<'a>(kind: &[u8], chunk: &'a [u8]) -> Option<(&'a [u8], Vec<u8>)> {
    let (keyword, rest) = split_at_zero(chunk)?;
    if !matches!(keyword, b"XML:com.adobe.xmp" | b"Raw profile type exif") {
        return None;
    }
    let (packed, text) = match kind {
        b"tEXt" => (false, rest),
        b"zTXt" => (true, rest.get(1..)?),
        _ => {
            let (head, rest) = rest.split_first_chunk::<2>()?;
            let (_language, rest) = split_at_zero(rest)?;
            (head[0] != 0, split_at_zero(rest)?.1)
        }
    };
    if !packed {
        return Some((keyword, text.to_vec()));
    }
    let mut unpacked = Vec::new();
    ZlibDecoder::new(text).take(MAX_TEXT).read_to_end(&mut unpacked).ok()?;
    Some((keyword, unpacked))
}

fn split_at_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The bytes that a profile spells in hexadecimal digits, from its fourth line on.
fn bytes_of_profile(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|&byte| byte == b'\n').skip(3);
    let digits = lines.flatten().filter_map(|&digit| char::from(digit).to_digit(16));
    let digits: Vec<u8> = digits.map(|digit| digit as u8).collect();
    digits.as_chunks::<2>().0.iter().map(|&[high, low]| high << 4 | low).collect()
}
