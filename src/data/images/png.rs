//! PNG: the pixels by the `image` crate's decoder, the orientation by a walk over the chunks of our own, since Pillow heeds
//! those behind the pixels as well.

use std::borrow::Cow;
use std::collections::VecDeque;
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
    check_palette(bytes)?;
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), limits(SCRATCH_BYTES));
    let picture = read("PNG", decoder.map_err(|problem| Refusal::broken("PNG", problem))?)?;
    Ok(Picture { turn: orientation(bytes)?, ..picture })
}

/// Refuses a palette that ends within a colour, at which the decoder would panic.
fn check_palette(bytes: &[u8]) -> Result<(), Refusal> {
    // Behind the signature and the chunk's head: sides, bits, kind of colour.
    let is_palette = bytes.get(25) == Some(&3);
    match chunks(bytes).find(|(kind, _)| kind == b"PLTE") {
        Some((_, Some(palette))) if is_palette && palette.len() % 3 != 0 => {
            Err(Refusal::broken("PNG", format!("a palette of {} bytes, three per colour", palette.len())))
        }
        _ => Ok(()),
    }
}

/// Kinds and contents of the chunks; `None` for the content of a last one that is cut off.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], Option<&[u8]>)> {
    let mut rest = bytes.get(8..).unwrap_or(&[]);
    std::iter::from_fn(move || {
        let (&[l0, l1, l2, l3, ref kind @ ..], behind) = rest.split_first_chunk::<8>()?;
        let parts = behind.split_at_checked(u32::from_be_bytes([l0, l1, l2, l3]) as usize);
        rest = parts.and_then(|(_, behind)| behind.get(4..)).unwrap_or(&[]);
        Some((*kind, parts.map(|(chunk, _)| chunk)))
    })
}

/// What eXIf, or a text in which ImageMagick keeps EXIF, or XMP states, before the pixels or behind them; of several texts the
/// last that unpacks, which alone is unpacked but for [`TRIED`]. Refused where the file ends within one of them: the picture would stand as it should not.
fn orientation(bytes: &[u8]) -> Result<Orientation, Refusal> {
    let (mut stated, mut profile, mut xmp) = (None, VecDeque::new(), VecDeque::new());
    for (kind, chunk) in chunks(bytes) {
        let Some(chunk) = chunk else {
            match &kind {
                b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt" => return Err(Refusal::broken("PNG", "a file that ends early")),
                _ => break,
            }
        };
        match &kind {
            b"IEND" => break,
            b"eXIf" => stated = Some(exif::stated_in_chunk(chunk, 1)),
            b"tEXt" | b"zTXt" | b"iTXt" => match text(&kind, chunk) {
                Some((b"XML:com.adobe.xmp", text)) => remember(&mut xmp, text),
                Some((b"Raw profile type exif", text)) => remember(&mut profile, text),
                _ => {}
            },
            _ => {}
        }
    }
    // Where there is eXIf, the profile is not looked at, whatever eXIf says.
    let of_profile = || exif::stated_in_chunk(&bytes_of_profile(&last_of(&profile)?), 2);
    let stated = stated.unwrap_or_else(of_profile);
    Ok(exif::orientation(stated, last_of(&xmp).as_deref()))
}

/// Texts of one keyword that are tried at most: those that do not unpack are passed over.
const TRIED: usize = 8;

/// Keeps the last texts.
fn remember<'a>(texts: &mut VecDeque<Text<'a>>, text: Text<'a>) {
    if texts.len() == TRIED {
        texts.pop_front();
    }
    texts.push_back(text);
}

/// The last text that unpacks.
fn last_of<'a>(texts: &VecDeque<Text<'a>>) -> Option<Cow<'a, [u8]>> {
    texts.iter().rev().find_map(Text::unpacked)
}

/// The text of a chunk, as it stands in the file.
struct Text<'a> {
    packed: bool,
    bytes: &'a [u8],
}

impl<'a> Text<'a> {
    fn unpacked(&self) -> Option<Cow<'a, [u8]>> {
        if !self.packed {
            return Some(Cow::Borrowed(self.bytes));
        }
        let mut unpacked = Vec::new();
        ZlibDecoder::new(self.bytes).take(MAX_TEXT).read_to_end(&mut unpacked).ok()?;
        Some(Cow::Owned(unpacked))
    }
}

/// Keyword and text of a text chunk.
fn text<'a>(kind: &[u8], chunk: &'a [u8]) -> Option<(&'a [u8], Text<'a>)> {
    let (keyword, rest) = split_at_zero(chunk)?;
    let (packed, bytes) = match kind {
        b"tEXt" => (false, rest),
        b"zTXt" => (true, rest.get(1..)?),
        _ => {
            let (head, rest) = rest.split_first_chunk::<2>()?;
            let (_language, rest) = split_at_zero(rest)?;
            (head[0] != 0, split_at_zero(rest)?.1)
        }
    };
    Some((keyword, Text { packed, bytes }))
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
