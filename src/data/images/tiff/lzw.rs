//! TIFF's two kinds of LZW, read as they are needed.
//!
//! An end code is not asked for: many writers leave it out, and the pixels are known by their number. The old kind, which
//! early versions of libtiff wrote, fills bytes from the lowest bit on and widens its codes one code later.

use std::io::{Error, ErrorKind, Read, Result};

const CLEAR: usize = 256;
const END: usize = 257;
const MOST: usize = 4096;

/// The bytes that LZW codes stand for.
pub(super) struct Lzw<'a> {
    packed: &'a [u8],
    old: bool,
    bits: u32,
    n_bits: u32,
    width: u32,
    /// For each code, the code of all but its last byte, the last byte, and its length.
    prefix: Vec<u16>,
    last: Vec<u8>,
    length: Vec<u16>,
    next: usize,
    previous: Option<usize>,
    /// Unpacked bytes that were not asked for yet.
    ready: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<'a> Lzw<'a> {
    pub(super) fn new(packed: &'a [u8]) -> Lzw<'a> {
        let literal = |code: usize| if code < CLEAR { code as u8 } else { 0 };
        Lzw {
            packed,
            // The first code is the clear code, of nine bits: 0x80 and a bit in the new kind, 0x00 and a 1 in the old.
            old: packed.len() >= 2 && packed[0] == 0 && packed[1] & 1 == 1,
            bits: 0,
            n_bits: 0,
            width: 9,
            prefix: vec![0; MOST],
            last: (0..MOST).map(literal).collect(),
            length: vec![1; MOST],
            next: END + 1,
            previous: None,
            ready: Vec::new(),
            given: 0,
            ended: false,
        }
    }

    fn code(&mut self) -> Option<usize> {
        while self.n_bits < self.width {
            let (&byte, rest) = self.packed.split_first()?;
            self.packed = rest;
            self.bits =
                if self.old { self.bits | u32::from(byte) << self.n_bits } else { self.bits << 8 | u32::from(byte) };
            self.n_bits += 8;
        }
        self.n_bits -= self.width;
        let mask = (1 << self.width) - 1;
        if !self.old {
            return Some((self.bits >> self.n_bits & mask) as usize);
        }
        let code = self.bits & mask;
        self.bits >>= self.width;
        Some(code as usize)
    }

    /// Unpacks one code into `ready`.
    fn step(&mut self) -> Result<()> {
        let Some(code) = self.code() else {
            self.ended = true;
            return Ok(());
        };
        if code == END {
            self.ended = true;
            return Ok(());
        }
        if code == CLEAR {
            (self.width, self.next, self.previous) = (9, END + 1, None);
            return Ok(());
        }
        let damaged = || Error::new(ErrorKind::InvalidData, "an LZW code that stands for nothing");
        let known = if code == self.next { self.previous.ok_or_else(damaged)? } else { code };
        if known >= self.next || known == CLEAR || known == END {
            return Err(damaged());
        }
        let length = usize::from(self.length[known]);
        let start = self.ready.len();
        self.ready.resize(start + length, 0);
        let mut at = known;
        for place in (start..start + length).rev() {
            self.ready[place] = self.last[at];
            at = usize::from(self.prefix[at]);
        }
        let first = self.ready[start];
        if code == self.next {
            self.ready.push(first);
        }
        if let Some(previous) = self.previous
            && self.next < MOST
        {
            self.prefix[self.next] = previous as u16;
            self.last[self.next] = first;
            self.length[self.next] = self.length[previous] + 1;
            self.next += 1;
            let full = (1 << self.width) - usize::from(!self.old);
            if self.next >= full && self.width < 12 {
                self.width += 1;
            }
        }
        self.previous = Some(code);
        Ok(())
    }
}

impl Read for Lzw<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        while self.given == self.ready.len() && !self.ended {
            self.ready.clear();
            self.given = 0;
            while self.ready.len() < 4096 && !self.ended {
                self.step()?;
            }
        }
        let n = out.len().min(self.ready.len() - self.given);
        out[..n].copy_from_slice(&self.ready[self.given..self.given + n]);
        self.given += n;
        Ok(n)
    }
}
