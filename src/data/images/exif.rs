//! The orientation that a file states: in EXIF, which is a TIFF of tags alone, or in XMP, a text. Read as Pillow reads it.
//!
//! - The orientation counts under any number type (short, long, signed, rational, ...) whose value is a whole number of 1
//!   to 8. Under the types of bytes and text it does not, nor does any other number: the picture stays as it is.
//! - A tag that is there, whatever it says, silences XMP.
//! - Of two entries of one tag the first counts. Entries may come in any order, at odd offsets, in either byte order. What
//!   stands before damage counts, what stands behind it does not.
//! - Thumbnails have directories of their own, which are not looked at.

use image::metadata::Orientation;

const ORIENTATION: u16 = 274;

/// What EXIF says: `None` where it has no orientation, and else how to turn (not at all for a senseless value).
pub(super) fn stated(tiff: &[u8]) -> Option<Orientation> {
    let file = Tags::new(tiff)?;
    let directory = file.directory()?;
    let (head, width) = if file.big { (8, 20) } else { (2, 12) };
    let n_entries = file.number(directory, head)?;
    let mut at = directory.checked_add(head)?;
    for _ in 0..n_entries {
        let (tag, kind) = (file.number(at, 2)? as u16, file.number(at + 2, 2)? as u16);
        let count = file.number(at + 4, if file.big { 8 } else { 4 })?;
        let inline = if file.big { 8 } else { 4 };
        let size = size_of_kind(kind).map(|unit| unit.saturating_mul(count));
        let value = at + width - inline;
        at += width;
        let Some(size) = size.filter(|&size| size > 0) else { continue };
        let place = if size > inline as u64 {
            if size > tiff.len() as u64 {
                continue; // more than the file can hold: this tag alone is passed over
            }
            let place = usize::try_from(file.number(value, inline)?).ok()?;
            // A value beyond the end: whatever follows is not believed either.
            tiff.get(place..place.checked_add(usize::try_from(size).ok()?)?)?;
            place
        } else {
            value
        };
        if tag == ORIENTATION {
            let number = file.value(place, kind).unwrap_or(0.0);
            let turn = (1..=8).find(|&turn| f64::from(turn) == number);
            return Some(turn.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms));
        }
    }
    None
}

/// As [`stated`], of a chunk that may begin with JPEG's `Exif\0\0` up to `most` times.
pub(super) fn stated_in_chunk(mut chunk: &[u8], most: usize) -> Option<Orientation> {
    for _ in 0..most {
        chunk = chunk.strip_prefix(b"Exif\0\0").unwrap_or(chunk);
    }
    // The form of BigTIFF is one of files alone.
    Tags::new(chunk).filter(|tags| !tags.big).and_then(|_| stated(chunk))
}

/// What XMP says, `tiff:Orientation="6"` or `<tiff:Orientation>6<`: the first that has a digit.
pub(super) fn stated_in_xmp(xmp: &[u8]) -> Option<Orientation> {
    const NAME: &[u8] = b"tiff:Orientation";
    (0..xmp.len()).filter(|&at| xmp[at..].starts_with(NAME)).find_map(|at| {
        let rest = &xmp[at + NAME.len()..];
        let value = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
        let digit = value.first().filter(|byte| byte.is_ascii_digit())?;
        Some(Orientation::from_exif(digit - b'0').unwrap_or(Orientation::NoTransforms))
    })
}

/// The orientation that EXIF states or else XMP; upright where neither does.
pub(super) fn orientation(exif: Option<Orientation>, xmp: Option<&[u8]>) -> Orientation {
    exif.or_else(|| xmp.and_then(stated_in_xmp)).unwrap_or(Orientation::NoTransforms)
}

/// Bytes of one value of a type; `None` for types that do not exist.
fn size_of_kind(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 => Some(8),
        _ => None,
    }
}

/// A file of tags, in either byte order, in the plain form or that of BigTIFF.
struct Tags<'a> {
    bytes: &'a [u8],
    little: bool,
    big: bool,
}

impl<'a> Tags<'a> {
    /// `None` for bytes that begin otherwise. Pillow takes the two headers whose numbers contradict their byte order.
    fn new(bytes: &'a [u8]) -> Option<Tags<'a>> {
        let head = bytes.get(..4)?;
        let little = head.starts_with(b"II");
        let known = [b"II\x2a\0", b"II\0\x2a", b"MM\0\x2a", b"MM\x2a\0", b"II\x2b\0", b"MM\0\x2b"];
        known.iter().any(|known| head == *known).then_some(Tags { bytes, little, big: head[2..].contains(&0x2b) })
    }

    fn directory(&self) -> Option<usize> {
        let offset = if self.big { self.number(8, 8) } else { self.number(4, 4) };
        usize::try_from(offset?).ok()
    }

    fn number(&self, at: usize, length: usize) -> Option<u64> {
        let field = self.bytes.get(at..at.checked_add(length)?)?;
        let join = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        Some(if self.little { field.iter().rev().fold(0, join) } else { field.iter().fold(0, join) })
    }

    /// The first value of an entry, where its type is one of numbers.
    fn value(&self, at: usize, kind: u16) -> Option<f64> {
        Some(match kind {
            3 => self.number(at, 2)? as f64,
            4 | 13 => self.number(at, 4)? as f64,
            16 => self.number(at, 8)? as f64,
            6 => f64::from(self.number(at, 1)? as i8),
            8 => f64::from(self.number(at, 2)? as i16),
            9 => f64::from(self.number(at, 4)? as i32),
            11 => f64::from(f32::from_bits(self.number(at, 4)? as u32)),
            12 => f64::from_bits(self.number(at, 8)?),
            5 => self.number(at, 4)? as f64 / self.number(at + 4, 4)? as f64,
            10 => f64::from(self.number(at, 4)? as i32) / f64::from(self.number(at + 4, 4)? as i32),
            _ => return None,
        })
    }
}
