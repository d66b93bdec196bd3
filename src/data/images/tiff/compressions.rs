//! From a strip's or tile's bytes to its rows, unpacked as they are needed: nothing is unpacked that no pixel asks for.

use std::borrow::Cow;
use std::io::{Cursor, Error, ErrorKind, Read};

use flate2::read::ZlibDecoder;

use super::directory::Layout;
use super::lzw::Lzw;
use super::{broken, fax};
use crate::images::decode::Refusal;

/// Windows of Zstandard up to 64 MB.
const ZSTD_WINDOW_LOG: u32 = 26;

/// What strips or tiles may take together, in bytes of the file, each as often as it is unpacked: so many times the file.
const MAX_TIMES: usize = 8;

/// ... and so much in any case: many tiles of one colour may be one in the file.
const FREE: usize = 128 << 20;

/// What a strip or tile takes beside its bytes.
const BESIDE: usize = 256;

/// Refuses, by name, compressions that are not read.
pub(super) fn check(compression: u64) -> Result<(), Refusal> {
    let name = match compression {
        1 | 2 | 3 | 4 | 5 | 7 | 8 | 32_773 | 32_946 | 50_000 => return Ok(()),
        6 => "old-style JPEG",
        9 | 10 => "JBIG",
        32_766 => "NeXT's",
        32_771 => "CCITT run lengths aligned to words",
        32_809 => "ThunderScan's",
        32_908 | 32_909 => "Pixar's",
        33_003 | 33_004 | 33_005 | 34_712 => "JPEG 2000",
        34_661 => "JBIG",
        34_676 | 34_677 => "SGI's LogLuv",
        34_887 => "LERC",
        34_892 => "lossy JPEG of DNG",
        34_925 => "LZMA",
        34_933 | 34_934 => "PNG or JPEG XR",
        50_001 => "WebP",
        50_002 | 52_546 => "JPEG XL",
        _ => "an unknown",
    };
    Err(Refusal::new(
        "a TIFF without compression or with PackBits, LZW, deflate, Zstandard, JPEG or fax compression",
        format!("{name} compression ({compression})"),
    ))
}

/// What the chunks have taken so far. Several may be at one place, and of what they have there most may be passed over.
pub(super) struct Taken {
    bytes: usize,
    most: usize,
}

impl Taken {
    /// Nothing yet, of a file of `n_bytes`.
    pub(super) fn of(n_bytes: usize) -> Taken {
        Taken { bytes: 0, most: FREE.max(MAX_TIMES * n_bytes) }
    }

    /// Takes a chunk, and the tables that are read with it.
    pub(super) fn take(&mut self, layout: &Layout, packed: &[u8]) -> Result<(), Refusal> {
        self.bytes += match layout.compression {
            1 => return Ok(()), // no more than there are pixels
            7 => packed.len() + layout.jpeg_tables.map_or(0, <[u8]>::len) + BESIDE,
            _ => packed.len() + BESIDE,
        };
        if self.bytes <= self.most {
            return Ok(());
        }
        let expected = format!("a TIFF whose strips or tiles take at most {} bytes together", self.most);
        Err(Refusal::new(expected, "strips that take more"))
    }
}

/// The bytes of chunk `index`; `needed` is the size of all its rows, unpacked.
pub(super) fn packed<'a>(
    layout: &Layout,
    bytes: &'a [u8],
    index: usize,
    needed: usize,
) -> Result<Cow<'a, [u8]>, Refusal> {
    let kind = if layout.tiled { "tile" } else { "strip" };
    let offset = layout.offsets[index];
    let stated = layout.counts.as_ref().and_then(|counts| counts.get(index).copied());
    let rest = (bytes.len() as u64).saturating_sub(offset);
    let count = match stated {
        // Without compression the number of bytes is known, whatever the directory says.
        _ if layout.compression == 1 => needed as u64,
        Some(0) | None if offset > 0 => layout.end(offset, bytes.len() as u64).saturating_sub(offset),
        Some(count) => count,
        None => 0,
    };
    if count == 0 {
        return Err(broken(format!("no bytes for {kind} {index}")));
    }
    if count > rest {
        return Err(broken(format!("{kind} {index} that reaches beyond the file's end")));
    }
    let chunk = &bytes[offset as usize..(offset + count) as usize];
    Ok(match layout.reversed && layout.compression != 7 {
        true => Cow::Owned(chunk.iter().map(|byte| byte.reverse_bits()).collect()),
        false => Cow::Borrowed(chunk),
    })
}

/// The rows of a chunk of `n_rows` rows, one after the other.
pub(super) fn unpacked<'c>(layout: &Layout, chunk: &'c [u8], n_rows: usize) -> Result<Box<dyn Read + 'c>, Refusal> {
    Ok(match layout.compression {
        1 => Box::new(chunk),
        5 => Box::new(Lzw::new(chunk)),
        32_773 => Box::new(PackBits { packed: chunk, run: 0, literal: 0, value: 0 }),
        50_000 => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(chunk).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(broken)?;
            Box::new(decoder)
        }
        2..=4 => Box::new(Cursor::new(fax::unpacked(layout, chunk, n_rows)?)),
        _ => Box::new(ZlibDecoder::new(chunk)),
    })
}

/// Runs of one byte and of different bytes.
struct PackBits<'a> {
    packed: &'a [u8],
    /// Bytes still to come of a run of `value`.
    run: usize,
    /// Bytes still to come as they are.
    literal: usize,
    value: u8,
}

impl Read for PackBits<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let short = || Error::new(ErrorKind::UnexpectedEof, "PackBits that end within a run");
        while self.run == 0 && self.literal == 0 {
            let Some((&head, rest)) = self.packed.split_first() else { return Ok(0) };
            self.packed = rest;
            match head {
                0..=127 => self.literal = usize::from(head) + 1,
                128 => {}
                129..=255 => {
                    let (&value, rest) = self.packed.split_first().ok_or_else(short)?;
                    (self.packed, self.value, self.run) = (rest, value, 257 - usize::from(head));
                }
            }
        }
        if self.run > 0 {
            let n = self.run.min(out.len());
            out[..n].fill(self.value);
            self.run -= n;
            return Ok(n);
        }
        let n = self.literal.min(out.len());
        let (bytes, rest) = self.packed.split_at_checked(n).ok_or_else(short)?;
        out[..n].copy_from_slice(bytes);
        (self.packed, self.literal) = (rest, self.literal - n);
        Ok(n)
    }
}
