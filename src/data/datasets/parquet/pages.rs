//! The pages of a column, held against the bytes that they have, before they are decoded.
//!
//! The decoder sets memory aside for what a page claims: values, unpacked bytes, lengths of strings. A damaged page of a hundred
//! bytes could ask for terabytes, and memory that cannot be had ends the program, which no caller can catch. So every number
//! that memory is asked for by is looked at here first.

use super::footer::dictionary_sizes;
use polars_buffer::Buffer;
use polars_parquet::parquet::compression::{self, Compression, DecompressionContext};
use polars_parquet::parquet::encoding::Encoding;
use polars_parquet::parquet::error::ParquetError;
use polars_parquet::parquet::page::{CompressedDataPage, CompressedPage, DataPageHeader, Page, split_buffer};
use polars_parquet::parquet::read::decompress;
use polars_parquet::read::{ColumnChunkMetadata, PageReader, PhysicalType};
use std::io::Cursor;

/// Memory that is not worth a look.
const SPARE: u64 = 64 << 20;

/// A column's values may take this much more than its pages do, beyond [`SPARE`].
const EXPANSION: u64 = 64;

/// Looks through the pages of a column in a row group of `rows`, `bytes` being the column's part of the file.
///
/// # Errors
/// The page and what in it cannot be.
pub(super) fn check(chunk: &ColumnChunkMetadata, bytes: &Buffer<u8>, rows: usize) -> Result<(), String> {
    let claimed = chunk.num_values();
    if usize::try_from(claimed).map_or(true, |claimed| claimed > rows) {
        return Err(format!("{claimed} values where there are {rows} rows"));
    }
    let broken = |error: ParquetError| error.to_string();
    let mut pages = PageReader::new(Cursor::new(bytes.clone()), chunk, vec![], bytes.len());
    let codec = chunk.compression();
    // All bytes of its pages, unpacked.
    let mut held = 0u64;
    // Read with a claim of more than there can be, a dictionary would ask for it.
    if let Some((packed, unpacked)) = dictionary_sizes(bytes) {
        held += check_size(codec, packed, unpacked).map_err(|found| format!("a dictionary: {found}"))?;
    }
    if let Some(dictionary) = pages.read_dict().map_err(broken)? {
        let mut context = DecompressionContext::Unset;
        let page = decompress(CompressedPage::Dict(dictionary), &mut Vec::new(), &mut context).map_err(broken)?;
        if let Page::Dict(page) = page
            && page.num_values > page.buffer.len()
        {
            return Err(format!("a dictionary of {} values in {} bytes", page.num_values, page.buffer.len()));
        }
    }
    // Of strings that share their beginnings, written out.
    let mut written_out = 0u64;
    for (number, page) in pages.enumerate() {
        let CompressedPage::Data(page) = page.map_err(broken)? else { continue };
        let in_page = |found: String| format!("page {number}: {found}");
        if page.num_values() > rows {
            return Err(in_page(format!("{} values where there are {rows} rows", page.num_values())));
        }
        let (n, strings) = check_page(page).map_err(in_page)?;
        held = held.saturating_add(n);
        written_out = written_out.saturating_add(strings);
        if written_out > SPARE.saturating_add(held.saturating_mul(EXPANSION)) {
            return Err(in_page(format!("strings of {written_out} bytes so far in {held} bytes of pages")));
        }
    }
    if let PhysicalType::FixedLenByteArray(width) = chunk.descriptor().descriptor.primitive_type.physical_type {
        let asked = (width as u64).saturating_mul(rows as u64);
        if asked > SPARE.saturating_add(held.saturating_mul(EXPANSION)) {
            return Err(format!("{rows} values of {width} bytes each in {held} bytes of pages"));
        }
    }
    Ok(())
}

/// Looks through a page of values; how many bytes it has unpacked, and how many its strings have that are written in parts.
fn check_page(mut page: CompressedDataPage) -> Result<(u64, u64), String> {
    let (codec, claimed, values) = (page.compression(), page.uncompressed_size(), page.num_values());
    // The levels of a page of the second version are not packed.
    let (levels, packed) = match page.header() {
        DataPageHeader::V1(_) => (0, true),
        DataPageHeader::V2(header) => {
            let levels =
                i64::from(header.definition_levels_byte_length) + i64::from(header.repetition_levels_byte_length);
            (levels, header.is_compressed.unwrap_or(true))
        }
    };
    let bytes: &[u8] = page.slice_mut();
    let n = bytes.len();
    let wrong_levels = || format!("levels of {levels} bytes in a page of {n}, {claimed} when unpacked");
    let levels = usize::try_from(levels).map_err(|_| wrong_levels())?;
    let held = match codec {
        Compression::Uncompressed => n as u64,
        _ if !packed && claimed != n => return Err(format!("{claimed} bytes claimed by {n} that are not packed")),
        _ if !packed => n as u64,
        _ => {
            let values = bytes.get(levels..).ok_or_else(wrong_levels)?;
            check_size(codec, values, claimed.checked_sub(levels).ok_or_else(wrong_levels)?)?
        }
    };
    let encoding = match page.header() {
        DataPageHeader::V1(header) => header.encoding,
        DataPageHeader::V2(header) => header.encoding,
    };
    let Ok(encoding @ (Encoding::DeltaBinaryPacked | Encoding::DeltaLengthByteArray | Encoding::DeltaByteArray)) =
        Encoding::try_from(encoding)
    else {
        return Ok((held, 0));
    };
    let page = decompress(CompressedPage::Data(page), &mut Vec::new(), &mut DecompressionContext::Unset)
        .map_err(|error| error.to_string())?;
    let Page::Data(page) = page else { return Ok((held, 0)) };
    let bytes = split_buffer(&page).map_err(|error| error.to_string())?.values;
    Ok((held, check_deltas(encoding, bytes, values)?))
}

/// Whether `packed` can come to `claimed` bytes; gives these.
fn check_size(codec: Compression, packed: &[u8], claimed: usize) -> Result<u64, String> {
    let n = packed.len() as u64;
    let refused = |most: u64| Err(format!("{claimed} bytes claimed by {n} packed ones, which come to {most} at most"));
    // What a byte comes to where nothing but repetition is packed.
    let ratio = match codec {
        Compression::Uncompressed => return Ok(n),
        Compression::Snappy => 22,
        Compression::Lz4 | Compression::Lz4Raw => 256,
        Compression::Gzip => 1032,
        _ => {
            // No bound that helps: unpacked in steps, so that a claim costs no more than what is there.
            let mut step = SPARE as usize;
            while step < claimed {
                let mut context = DecompressionContext::Unset;
                if compression::decompress(codec, packed, &mut vec![0; step], &mut context).is_err() {
                    return refused(step as u64 - 1);
                }
                step = step.saturating_mul(4);
            }
            return Ok(claimed as u64);
        }
    };
    let most = n * ratio + 64;
    if claimed as u64 > most { refused(most) } else { Ok(claimed as u64) }
}

/// Holds what stands before delta-encoded values, and the lengths of delta-encoded strings, against the bytes of the page; gives
/// how many bytes the strings have, 0 for numbers.
fn check_deltas(encoding: Encoding, bytes: &[u8], values: usize) -> Result<u64, String> {
    let n = bytes.len();
    let mut rest = bytes;
    if encoding == Encoding::DeltaBinaryPacked {
        unpack(&mut rest, values)?;
        return Ok(0);
    }
    let prefixes = match encoding {
        Encoding::DeltaByteArray => Some(unpack(&mut rest, values)?),
        _ => None,
    };
    let suffixes = unpack(&mut rest, values)?;
    let prefixes = prefixes.unwrap_or_else(|| vec![0; suffixes.len()]);
    if prefixes.len() != suffixes.len() {
        return Err(format!("{} beginnings of strings and {} ends", prefixes.len(), suffixes.len()));
    }
    let (mut left, mut last, mut all) = (rest.len() as u64, 0u64, 0u64);
    for (i, (prefix, suffix)) in prefixes.into_iter().zip(suffixes).enumerate() {
        let fits = |length: i64, most: u64| u64::try_from(length).ok().filter(|length| *length <= most);
        let Some(prefix) = fits(prefix, last) else {
            return Err(format!("string {i} begins with {prefix} bytes of the one before, which has {last}"));
        };
        let Some(suffix) = fits(suffix, left) else {
            return Err(format!("string {i} has {suffix} bytes of its own, where {left} of {n} are left"));
        };
        left -= suffix;
        last = prefix + suffix;
        all = all.saturating_add(last);
    }
    Ok(all)
}

/// Numbers in the encoding DELTA_BINARY_PACKED, at most `most`; `rest` is then what follows them.
fn unpack(rest: &mut &[u8], most: usize) -> Result<Vec<i64>, String> {
    const ENDS: &str = "a delta encoding that ends early";
    let n = rest.len();
    let mut number = || number(rest).ok_or(ENDS);
    let (block, parts, count, first) = (number()?, number()?, number()?, number()?);
    let each = block.checked_div(parts).unwrap_or(0);
    // The format's own rules; and no block that no page could hold.
    if each == 0 || block % 128 != 0 || block > u64::from(u32::MAX) || block % parts != 0 || each % 32 != 0 {
        return Err(format!("delta blocks of {block} values in {parts} parts, where 128 and 32 must divide both"));
    }
    if count > most as u64 {
        return Err(format!("{count} delta-encoded values in a page of {most}, of {n} bytes"));
    }
    let (count, each) = (count as usize, each as usize);
    let mut found = Vec::new();
    if count > 0 {
        found.push(signed(first));
    }
    while found.len() < count {
        let least = signed(self::number(rest).ok_or(ENDS)?);
        let widths = rest.split_off(..parts as usize).ok_or(ENDS)?;
        for &width in widths {
            let here = each.min(count - found.len());
            if here == 0 {
                break;
            }
            if width > 64 {
                return Err(format!("deltas of {width} bits, where 64 are the most"));
            }
            let packed = rest.split_off(..usize::from(width) * each / 8).ok_or(ENDS)?;
            let mut last = found.last().copied().unwrap_or(0);
            for i in 0..here {
                last = last.wrapping_add(least).wrapping_add(bits(packed, i * usize::from(width), width) as i64);
                found.push(last);
            }
        }
    }
    Ok(found)
}

/// A number of seven bits a byte.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A number by turns above and below zero.
fn signed(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// `width` bits from bit `at` on, the lowest first; nothing is beyond the end.
fn bits(packed: &[u8], at: usize, width: u8) -> u64 {
    let (from, shift) = (at / 8, at % 8);
    let mut word = [0; 16];
    let end = packed.len().min(from + 9);
    let piece = packed.get(from..end).unwrap_or_default();
    word[..piece.len()].copy_from_slice(piece);
    let mask = (1u128 << width) - 1;
    ((u128::from_le_bytes(word) >> shift) & mask) as u64
}
