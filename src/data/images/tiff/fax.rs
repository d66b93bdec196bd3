//! Fax compression of black and white pages: Huffman-coded runs (2), Group 3 in one or two dimensions (3), Group 4 (4).
//! ITU-T T.4 and T.6; the tables are those of the `fax` crate.

use fax::BitReader;
use fax::maps::{Mode, black, mode, white};

use super::broken;
use super::directory::Layout;
use crate::images::decode::Refusal;

/// The rows of a chunk, one bit a pixel, black 1. Rows that the data leaves out at the end are white.
pub(super) fn unpacked(layout: &Layout, chunk: &[u8], n_rows: usize) -> Result<Vec<u8>, Refusal> {
    if layout.bits != 1 || layout.n_together() != 1 {
        let found = format!("{} samples of {} bits", layout.n_together(), layout.bits);
        return Err(Refusal::new("a fax-compressed TIFF of one bit a pixel", found));
    }
    let (width, row_bytes) = (layout.chunk.0, layout.row_bytes());
    let two_dimensional = layout.compression == 4 || layout.compression == 3 && layout.fax_options & 1 == 1;
    let mut bits = Bits { bytes: chunk, at: 0 };
    let mut rows = vec![0; row_bytes * n_rows];
    let (mut above, mut changes) = (Vec::new(), Vec::new());
    for (y, row) in rows.chunks_exact_mut(row_bytes).enumerate() {
        let mut coded_alone = !two_dimensional;
        match layout.compression {
            2 => bits.at = bits.at.next_multiple_of(8),
            3 => {
                let marked = bits.skip_end_of_line();
                if marked && two_dimensional {
                    coded_alone = bits.peek(1) == Some(1);
                    bits.at += 1;
                }
                if y > 0 && bits.peek(11) == Some(0) || bits.at >= 8 * chunk.len() {
                    return Err(broken(format!("fax data that ends after {y} of {n_rows} rows")));
                }
            }
            _ => {}
        }
        changes.clear();
        let whole = match coded_alone {
            true => runs(&mut bits, width, &mut changes),
            false => differences(&mut bits, width, &above, &mut changes),
        };
        match whole {
            Some(true) => {}
            Some(false) => break,
            None => return Err(broken(format!("fax data that is damaged in row {y}"))),
        }
        for black in changes.chunks(2) {
            let end = black.get(1).copied().unwrap_or(width);
            // No pixel lies beyond the picture, however wide its tiles.
            let end = end.min(layout.width);
            (black[0].min(end)..end).for_each(|x| row[x / 8] |= 0x80 >> (x % 8));
        }
        std::mem::swap(&mut above, &mut changes);
    }
    Ok(rows)
}

/// Bits from the highest of each byte on; zeros behind the end.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl BitReader for Bits<'_> {
    type Error = ();

    fn peek(&self, bits: u8) -> Option<u16> {
        let byte = |place: usize| u32::from(self.bytes.get(place).copied().unwrap_or(0));
        let first = self.at / 8;
        let window = byte(first) << 16 | byte(first + 1) << 8 | byte(first + 2);
        let shift = 24 - (self.at % 8) as u32 - u32::from(bits);
        Some((window >> shift & ((1 << bits) - 1)) as u16)
    }

    fn consume(&mut self, bits: u8) -> Result<(), ()> {
        self.at += usize::from(bits);
        if self.at > 8 * self.bytes.len() + 8 { Err(()) } else { Ok(()) }
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        (self.at.next_multiple_of(8) - self.at) as u8
    }
}

impl Bits<'_> {
    /// Goes behind an end-of-line mark (eleven zeros or more, and a one), where one is next.
    fn skip_end_of_line(&mut self) -> bool {
        if self.peek(11) != Some(0) {
            return false;
        }
        let n_bits = 8 * self.bytes.len();
        while self.at < n_bits && self.peek(1) == Some(0) {
            self.at += 1;
        }
        self.at += 1;
        true
    }

    /// The length of a run: any number of codes for multiples of 64, and one for the rest.
    fn run(&mut self, is_black: bool) -> Option<usize> {
        let mut length = 0;
        loop {
            let part = if is_black { black::decode(self) } else { white::decode(self) };
            let part = usize::from(part?);
            length += part;
            if part < 64 {
                return Some(length);
            }
        }
    }
}

/// A row of runs, white first, as the places where the colour changes.
fn runs(bits: &mut Bits, width: usize, changes: &mut Vec<usize>) -> Option<bool> {
    let (mut place, mut is_black) = (0, false);
    while place < width {
        place += bits.run(is_black)?;
        changes.push(place);
        is_black = !is_black;
    }
    Some(true)
}

/// A row told by how it differs from the one above; false at the end of the data.
fn differences(bits: &mut Bits, width: usize, above: &[usize], changes: &mut Vec<usize>) -> Option<bool> {
    // Where the row has come to: one before its start, and then a place in it.
    let (mut place, mut is_black, mut next) = (-1_i64, false, 0);
    while place < width as i64 {
        // The first change above, to the right, into the other colour; changes into black have even numbers.
        while above.get(next).is_some_and(|&change| change as i64 <= place) {
            next += 1;
        }
        let first = next + usize::from((next % 2 == 1) != is_black);
        let change = |number: usize| above.get(number).map_or(width, |&change| change.min(width)) as i64;
        match mode::decode(bits)? {
            Mode::Pass => place = change(first + 1),
            Mode::Vertical(shift) => {
                let to = change(first) + i64::from(shift);
                if to < place.max(0) || to > width as i64 {
                    return None;
                }
                changes.push(to as usize);
                (place, is_black) = (to, !is_black);
            }
            Mode::Horizontal => {
                for colour in [is_black, !is_black] {
                    place = place.max(0) + bits.run(colour)? as i64;
                    changes.push(place as usize);
                }
            }
            Mode::EOF => return Some(false),
            Mode::Extension => return None,
        }
    }
    Some(true)
}
