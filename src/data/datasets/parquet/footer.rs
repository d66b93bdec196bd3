//! The footer of a Parquet file, walked before it is read.
//!
//! The footer is a struct in Thrift's compact protocol. Its reader sets memory aside for as many entries as a list claims
//! to have, so a damaged one of a hundred bytes could ask for gigabytes, which ends the program. It does not look at the types
//! that fields claim either, and takes a text for a list. Here every length is held against the bytes that are left (an entry
//! takes a byte at least), and every type of a field that is known against the format's own.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// Structs and lists inside each other at most.
const DEPTH: usize = 64;

/// Whether the footer of the file, of `length` bytes, holds together; why not, in words.
///
/// # Errors
/// What does not fit.
pub(super) fn check(file: &mut File, length: u64) -> Result<(), String> {
    let mut end = [0; 8];
    let read = |file: &mut File, back: i64, into: &mut [u8]| {
        file.seek(SeekFrom::End(-back)).and_then(|_| file.read_exact(into)).map_err(|error| error.to_string())
    };
    read(file, 8, &mut end)?;
    if end[4..] != *b"PAR1" {
        // No Parquet file, or an encrypted one: the reader has its own words for these.
        return Ok(());
    }
    let size = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    if size + 12 > length {
        return Err(format!("a footer of {size} bytes in a file of {length}"));
    }
    let mut footer = vec![0; size as usize];
    read(file, size as i64 + 8, &mut footer)?;
    let mut walk = Walk { rest: &footer };
    walk.structure(Struct::File, 0)
        .ok_or_else(|| format!("a footer of {size} bytes with a length or a type that is wrong"))
}

/// What follows the head of a dictionary page at the beginning of `column`, and how many bytes it claims to come to unpacked;
/// `None` where the column does not begin with one, or its head is damaged.
pub(super) fn dictionary_sizes(column: &[u8]) -> Option<(&[u8], usize)> {
    let mut walk = Walk { rest: column };
    let (mut number, mut fields) = (0, [None; 3]);
    loop {
        let kind = walk.field(&mut number)?;
        match (number, kind) {
            (_, 0) => break,
            (1..=3, I32) => fields[number as usize - 1] = Some(walk.signed()?),
            (_, 1 | 2) => {}
            _ => walk.value(kind, 0, Struct::Other, 0)?,
        }
    }
    let [kind, unpacked, packed] = fields;
    if kind != Some(DICTIONARY) {
        return None;
    }
    let packed = walk.rest.get(..usize::try_from(packed?).ok()?)?;
    Some((packed, usize::try_from(unpacked?).ok()?))
}

/// The kind of a page that is a dictionary.
const DICTIONARY: i64 = 2;

/// Structs of a footer whose fields have lists or texts beneath them; `parquet.thrift` of the format has them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Struct {
    File,
    Schema,
    Logical,
    Decimal,
    Time,
    Integer,
    Group,
    Chunk,
    Column,
    Statistics,
    Pair,
    Sorting,
    Other,
}

const TRUTH: u8 = 1;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const TEXT: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

impl Struct {
    /// The type of the field with that number, of what a list there consists, and which struct is beneath; `None` for a field
    /// that readers pass over.
    fn field(self, number: i64) -> Option<(u8, u8, Struct)> {
        use Struct::*;
        let plain = |kind| Some((kind, 0, Other));
        let list = |of| Some((LIST, STRUCT, of));
        match (self, number) {
            (File, 1) => plain(I32),
            (File, 2) => list(Schema),
            (File, 3) => plain(I64),
            (File, 4) => list(Group),
            (File, 5) => list(Pair),
            (File, 6) => plain(TEXT),
            (File, 7) => list(Other),
            (Schema, 1..=3 | 5..=9) => plain(I32),
            (Schema, 4) => plain(TEXT),
            (Schema, 10) => Some((STRUCT, 0, Logical)),
            (Logical, 5) => Some((STRUCT, 0, Decimal)),
            (Logical, 7 | 8) => Some((STRUCT, 0, Time)),
            (Logical, 10) => Some((STRUCT, 0, Integer)),
            (Logical, _) => Some((STRUCT, 0, Other)),
            (Decimal, 1 | 2) => plain(I32),
            (Time, 1) => plain(TRUTH),
            (Time, 2) => Some((STRUCT, 0, Other)),
            (Integer, 1) => plain(BYTE),
            (Integer, 2) => plain(TRUTH),
            (Group, 1) => list(Chunk),
            (Group, 2 | 3 | 5 | 6) => plain(I64),
            (Group, 4) => list(Sorting),
            (Group, 7) => plain(I16),
            (Chunk, 1 | 9) => plain(TEXT),
            (Chunk, 2 | 4 | 6) => plain(I64),
            (Chunk, 3) => Some((STRUCT, 0, Column)),
            (Chunk, 5 | 7) => plain(I32),
            (Chunk, 8) => Some((STRUCT, 0, Other)),
            (Column, 1 | 4 | 15) => plain(I32),
            (Column, 2) => Some((LIST, I32, Other)),
            (Column, 3) => Some((LIST, TEXT, Other)),
            (Column, 5..=7 | 9..=11 | 14) => plain(I64),
            (Column, 8) => list(Pair),
            (Column, 12) => Some((STRUCT, 0, Statistics)),
            (Column, 13) => list(Other),
            (Column, 16 | 17) => Some((STRUCT, 0, Other)),
            (Statistics, 1 | 2 | 5 | 6) => plain(TEXT),
            (Statistics, 3 | 4) => plain(I64),
            (Statistics, 7 | 8) => plain(TRUTH),
            (Pair, 1 | 2) => plain(TEXT),
            (Sorting, 1) => plain(I32),
            (Sorting, 2 | 3) => plain(TRUTH),
            _ => None,
        }
    }
}

/// What is left to be walked; every step gives `None` where it does not fit.
struct Walk<'a> {
    rest: &'a [u8],
}

impl Walk<'_> {
    fn skip(&mut self, n: u64) -> Option<()> {
        self.rest = self.rest.get(usize::try_from(n).ok()?..)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// The type of a struct's next field, whose number takes the place of the last one's; 0 at the struct's end.
    fn field(&mut self, number: &mut i64) -> Option<u8> {
        let head = self.byte()?;
        let kind = head & 0x0f;
        if kind != 0 {
            // The distance to the field's number, or the number itself, by turns above and below zero.
            *number = match head >> 4 {
                0 => self.signed()?,
                distance => *number + i64::from(distance),
            };
        }
        Some(kind)
    }

    fn signed(&mut self) -> Option<i64> {
        self.number().map(|number| (number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn structure(&mut self, of: Struct, depth: usize) -> Option<()> {
        if depth > DEPTH {
            return None;
        }
        let mut number = 0i64;
        loop {
            let kind = self.field(&mut number)?;
            if kind == 0 {
                return Some(());
            }
            let (element, beneath) = match of.field(number) {
                Some((TRUTH, ..)) if matches!(kind, 1 | 2) => (0, Struct::Other),
                Some((expected, element, beneath)) if expected == kind => (element, beneath),
                Some(_) => return None,
                None => (0, Struct::Other),
            };
            // A truth value stands in the head.
            if !matches!(kind, 1 | 2) {
                self.value(kind, element, beneath, depth)?;
            }
        }
    }

    /// A value; of a list, `element` is what it must consist of, where that is known.
    fn value(&mut self, kind: u8, element: u8, beneath: Struct, depth: usize) -> Option<()> {
        match kind {
            1..=3 => self.skip(1),
            4..=6 => self.number().map(drop),
            7 => self.skip(8),
            8 => {
                let n = self.number()?;
                self.skip(n)
            }
            9 | 10 => {
                let head = self.byte()?;
                let n = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
                if element != 0 && head & 0x0f != element {
                    return None;
                }
                self.values(n, &[head & 0x0f], beneath, depth)
            }
            11 => match self.number()? {
                0 => Some(()),
                n => {
                    let kinds = self.byte()?;
                    self.values(n, &[kinds >> 4, kinds & 0x0f], Struct::Other, depth)
                }
            },
            12 => self.structure(beneath, depth + 1),
            13 => self.skip(16),
            _ => None,
        }
    }

    fn values(&mut self, n: u64, kinds: &[u8], beneath: Struct, depth: usize) -> Option<()> {
        if n > self.rest.len() as u64 || depth > DEPTH {
            return None;
        }
        (0..n).try_for_each(|_| kinds.iter().try_for_each(|&kind| self.value(kind, 0, beneath, depth + 1)))
    }
}
