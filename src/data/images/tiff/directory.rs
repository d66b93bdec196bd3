//! The first directory of a TIFF, and what it says about the picture's samples.

use std::collections::HashSet;

use super::{YCBCR, broken, compressions, ycbcr};
use crate::images::decode::Refusal;
use crate::images::limits::{MAX_PIXELS, SCRATCH_BYTES, check_size};

/// Most samples a pixel may have.
const MAX_SAMPLES: u64 = 1024;

/// Most bytes of samples that a picture may unpack to, the unused ones included.
const MAX_BYTES: u64 = 4 << 30;

/// Most bytes that a strip or tile may take while it is unpacked as a whole; more for a large picture, in bytes for a pixel.
const MAX_CHUNK: (u64, u64) = (1 << 30, 24);

/// Where each tag's values are.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    little: bool,
    entries: Vec<Entry>,
}

struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// Where the values, or the place of the values, stand.
    at: usize,
    /// Bytes that stand in the entry itself.
    inline: u64,
}

impl<'a> Directory<'a> {
    /// Reads the entries of the first page; their values are looked up later.
    pub(super) fn first(bytes: &'a [u8]) -> Result<Directory<'a>, Refusal> {
        let short = || broken("a directory that lies beyond the file");
        let little = bytes.starts_with(b"II");
        let number = |at: usize, length: usize| number(bytes, little, at, length).ok_or_else(short);
        let big = number(2, 2)? == 43 || number(2, 2)? == 43 << 8;
        if big && (number(4, 2)?, number(6, 2)?) != (8, 0) {
            return Err(broken("a BigTIFF header with offsets of another size than eight bytes"));
        }
        let directory = usize::try_from(if big { number(8, 8)? } else { number(4, 4)? }).map_err(|_| short())?;
        let (head, width, inline) = if big { (8, 20, 8) } else { (2, 12, 4) };
        let n_entries = number(directory, head)?;
        let (mut entries, mut known) = (Vec::new(), HashSet::new());
        for entry in 0..n_entries {
            let at = directory + head + entry as usize * width;
            let (tag, kind) = (number(at, 2)? as u16, number(at + 2, 2)? as u16);
            let count = number(at + 4, inline)?;
            if known.insert(tag) {
                entries.push(Entry { tag, kind, count, at: at + width - inline, inline: inline as u64 });
            }
        }
        Ok(Directory { bytes, little, entries })
    }

    /// Type, number of values and their bytes; `None` where the tag is missing.
    fn field(&self, tag: u16) -> Result<Option<(u16, usize, &'a [u8])>, Refusal> {
        let Some(entry) = self.entries.iter().find(|entry| entry.tag == tag) else { return Ok(None) };
        let beyond = || broken(format!("values of tag {tag} that lie beyond the file"));
        let size = entry.count.checked_mul(size_of(entry.kind)).ok_or_else(beyond)?;
        let place = match size <= entry.inline {
            true => entry.at as u64,
            false => number(self.bytes, self.little, entry.at, entry.inline as usize).ok_or_else(beyond)?,
        };
        let end = place.checked_add(size).filter(|&end| end <= self.bytes.len() as u64).ok_or_else(beyond)?;
        Ok(Some((entry.kind, entry.count as usize, &self.bytes[place as usize..end as usize])))
    }

    /// A tag's bytes.
    pub(super) fn bytes(&self, tag: u16) -> Result<Option<&'a [u8]>, Refusal> {
        Ok(self.field(tag)?.map(|(_, _, bytes)| bytes))
    }

    /// A tag's values, which must be whole numbers.
    pub(super) fn numbers(&self, tag: u16) -> Result<Option<Vec<u64>>, Refusal> {
        let Some((kind, count, bytes)) = self.field(tag)? else { return Ok(None) };
        let size = size_of(kind) as usize;
        if !matches!(kind, 1 | 3 | 4 | 6 | 7 | 8 | 9 | 13 | 16 | 17 | 18) || count == 0 {
            return Err(broken(format!("tag {tag} with {count} values of type {kind}")));
        }
        let value = |chunk: &[u8]| number(chunk, self.little, 0, size).unwrap_or(0);
        Ok(Some(bytes.chunks_exact(size).map(value).collect()))
    }

    /// A tag's values, which must be `N` fractions.
    pub(super) fn fractions<const N: usize>(&self, tag: u16) -> Result<Option<[f32; N]>, Refusal> {
        let Some((kind, count, bytes)) = self.field(tag)? else { return Ok(None) };
        if kind != 5 || count != N {
            return Err(broken(format!("tag {tag} with {count} values of type {kind} where {N} fractions belong")));
        }
        let part = |at: usize| number(bytes, self.little, at, 4).unwrap_or(0) as f64;
        Ok(Some(std::array::from_fn(|i| match part(8 * i + 4) {
            0.0 => 0.0,
            below => (part(8 * i) / below) as f32,
        })))
    }

    /// A tag's first value.
    pub(super) fn number(&self, tag: u16) -> Result<Option<u64>, Refusal> {
        Ok(self.numbers(tag)?.map(|numbers| numbers[0]))
    }
}

fn size_of(kind: u16) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => 1,
    }
}

fn number(bytes: &[u8], little: bool, at: usize, length: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(length)?)?;
    let join = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    Some(if little { field.iter().rev().fold(0, join) } else { field.iter().fold(0, join) })
}

/// What the bits of a sample mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Format {
    Unsigned,
    Signed,
    Float,
}

/// How the picture is stored.
pub(super) struct Layout<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) bits: usize,
    pub(super) n_samples: usize,
    pub(super) format: Format,
    pub(super) photometric: u64,
    /// What the samples beyond the colours are: 0 unknown, 1 alpha by which the colours were multiplied, 2 alpha.
    pub(super) extra: Vec<u64>,
    /// Each sample in chunks of its own.
    pub(super) planar: bool,
    pub(super) compression: u64,
    pub(super) predictor: u64,
    /// Bits stand in their bytes from the lowest on.
    pub(super) reversed: bool,
    pub(super) little: bool,
    pub(super) tiled: bool,
    /// Size of a strip or tile in pixels.
    pub(super) chunk: (usize, usize),
    pub(super) offsets: Vec<u64>,
    pub(super) counts: Option<Vec<u64>>,
    /// The offsets in their order, where not all chunks have a count.
    places: Vec<u64>,
    pub(super) jpeg_tables: Option<&'a [u8]>,
    /// T4Options or T6Options.
    pub(super) fax_options: u64,
    /// Width and height in pixels that share one blue and one red difference.
    pub(super) subsampling: (usize, usize),
    pub(super) ycbcr: ycbcr::Colours,
}

impl<'a> Layout<'a> {
    pub(super) fn new(directory: &Directory<'a>) -> Result<Layout<'a>, Refusal> {
        let required = |tag: u16, name: &str| {
            directory.number(tag)?.ok_or_else(|| broken(format!("no {name} (tag {tag}) in its directory")))
        };
        let or = |tag: u16, default: u64| Ok(directory.number(tag)?.unwrap_or(default));
        let (width, height) = (required(256, "width")?, required(257, "height")?);
        let side = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        check_size(side(width), side(height))?;
        let (width, height) = (width as usize, height as usize);
        let n_samples = or(277, 1)?;
        if n_samples == 0 || n_samples > MAX_SAMPLES {
            let expected = format!("a TIFF of 1 to {MAX_SAMPLES} samples a pixel");
            return Err(Refusal::new(expected, format!("{n_samples} samples")));
        }
        let compression = or(259, 1)?;
        let same = |tag: u16, what: &str, default: u64| {
            let values = directory.numbers(tag)?.unwrap_or_else(|| vec![default]);
            let values = &values[..values.len().min(n_samples as usize)];
            match values.iter().all(|value| *value == values[0]) {
                true => Ok(values[0]),
                false => Err(Refusal::new(format!("a TIFF whose samples have one {what}"), format!("{values:?}"))),
            }
        };
        let bits = same(258, "number of bits", 1)?;
        let format = match same(339, "format", 1)? {
            1 | 4 => Format::Unsigned,
            2 => Format::Signed,
            3 => Format::Float,
            other => {
                let names = ["complex whole numbers", "complex floating-point numbers"];
                let name = names.get(other.wrapping_sub(5) as usize).copied().unwrap_or("an unknown format");
                return Err(Refusal::new("a TIFF of real numbers", format!("samples in {name} ({other})")));
            }
        };
        let tiled = directory.numbers(322)?.is_some();
        let chunk = match tiled {
            true => (required(322, "tile width")?, required(323, "tile height")?),
            false => (width as u64, or(278, height as u64)?.min(height as u64)),
        };
        if chunk.0 == 0 || chunk.1 == 0 || chunk.0 > 1 << 24 || chunk.1 > 1 << 24 {
            return Err(broken(format!("strips or tiles of {} x {} pixels", chunk.0, chunk.1)));
        }
        // Some writers keep tiles under the tags of strips; libtiff takes them for the same.
        let tags = if tiled && directory.numbers(324)?.is_some() { (324, 325) } else { (273, 279) };
        let offsets = directory.numbers(tags.0)?.ok_or_else(|| broken("no places of its strips or tiles"))?;
        let counts = directory.numbers(tags.1)?;
        let counted = counts.as_ref().is_some_and(|counts| counts.len() >= offsets.len() && !counts.contains(&0));
        let mut places = if counted { Vec::new() } else { offsets.clone() };
        places.sort_unstable();
        let subsampling = directory
            .numbers(530)?
            .filter(|values| values.len() > 1)
            .map_or((2, 2), |v| (v[0] as usize, v[1] as usize));
        let layout = Layout {
            width,
            height,
            bits: bits as usize,
            n_samples: n_samples as usize,
            format,
            photometric: or(262, 0)?,
            extra: directory.numbers(338)?.unwrap_or_default(),
            planar: or(284, 1)? == 2 && n_samples > 1,
            compression,
            predictor: if matches!(compression, 5 | 8 | 32_946 | 50_000) { or(317, 1)? } else { 1 },
            reversed: or(266, 1)? == 2,
            little: directory.little,
            tiled,
            chunk: (chunk.0 as usize, chunk.1 as usize),
            offsets,
            counts,
            places,
            jpeg_tables: directory.bytes(347)?,
            fax_options: or(if compression == 4 { 293 } else { 292 }, 0)?,
            subsampling,
            ycbcr: ycbcr::Colours::new(directory)?,
        };
        layout.check()?;
        Ok(layout)
    }

    fn check(&self) -> Result<(), Refusal> {
        compressions::check(self.compression)?;
        if !matches!(self.bits, 1..=16 | 24 | 32 | 64) {
            return Err(Refusal::new("a TIFF of 1 to 64 bits a sample", format!("{} bits", self.bits)));
        }
        let n_chunks = self.across() * self.down() * self.n_planes();
        if self.offsets.len() < n_chunks {
            return Err(broken(format!("{} strips or tiles where {n_chunks} are needed", self.offsets.len())));
        }
        let row_bytes = self.row_bytes() as u64;
        let all = row_bytes * self.across() as u64 * self.height as u64 * self.n_planes() as u64;
        if row_bytes > SCRATCH_BYTES || all > MAX_BYTES {
            let expected = format!("a TIFF that unpacks to at most {} MB", MAX_BYTES >> 20);
            let found = format!(
                "{} x {} pixels of {} samples of {} bits, {} MB with the edges of its tiles",
                self.width,
                self.height,
                self.n_samples,
                self.bits,
                all >> 20
            );
            return Err(Refusal::new(expected, found));
        }
        let (chunk, most) = (self.chunk_memory(), MAX_CHUNK.0.max(MAX_CHUNK.1 * (self.width * self.height) as u64));
        if chunk > most {
            let expected = format!("a TIFF whose strips or tiles unpack to at most {} MB", most >> 20);
            let found = format!("tiles of {} x {} pixels, {} MB", self.chunk.0, self.chunk.1, chunk >> 20);
            return Err(Refusal::new(expected, found));
        }
        let predictable = match self.predictor {
            2 => matches!(self.bits, 8 | 16 | 32 | 64),
            3 => self.format == Format::Float && matches!(self.bits, 16 | 32 | 64),
            other => other == 1,
        };
        if !predictable {
            let found = format!("predictor {} for {} bits a sample", self.predictor, self.bits);
            return Err(Refusal::new("a TIFF with a predictor that suits its samples", found));
        }
        Ok(())
    }

    /// Bytes that a strip or tile takes while it is unpacked as a whole; others give one row after the other.
    pub(super) fn chunk_memory(&self) -> u64 {
        let pixels = (self.chunk.0 * self.chunk.1.min(self.height)) as u64;
        match self.compression {
            2..=4 => (self.row_bytes() * self.chunk.1.min(self.height)) as u64,
            // Whole, rows below the picture included: coefficients, samples, samples of full size and pixels.
            7 => {
                let pixels = (self.chunk.0 * self.chunk.1).min(MAX_PIXELS as usize) as u64;
                (4 * self.n_together().min(4) as u64 + 3) * pixels
            }
            _ if self.in_blocks() => 3 * pixels,
            _ => 0,
        }
    }

    /// Where a chunk without a count ends, at the latest, in a file of `n_bytes`: where the next one begins.
    pub(super) fn end(&self, offset: u64, n_bytes: u64) -> u64 {
        let behind = self.places.partition_point(|&place| place <= offset);
        self.places.get(behind).map_or(n_bytes, |&place| place.min(n_bytes))
    }

    /// Chunks beside each other, below each other, and planes of them.
    pub(super) fn across(&self) -> usize {
        self.width.div_ceil(self.chunk.0)
    }

    pub(super) fn down(&self) -> usize {
        self.height.div_ceil(self.chunk.1)
    }

    pub(super) fn n_planes(&self) -> usize {
        if self.planar { self.n_samples } else { 1 }
    }

    /// Whether it is YCbCr in blocks, and not JPEG, which has a way of its own.
    pub(super) fn in_blocks(&self) -> bool {
        self.photometric == YCBCR && self.n_samples == 3 && self.compression != 7
    }

    /// Samples that stand beside each other in a row of a chunk, a pixel.
    pub(super) fn n_together(&self) -> usize {
        if self.planar { 1 } else { self.n_samples }
    }

    /// Bytes of a row of a chunk, unpacked.
    pub(super) fn row_bytes(&self) -> usize {
        (self.chunk.0 * self.n_together() * self.bits).div_ceil(8)
    }
}
