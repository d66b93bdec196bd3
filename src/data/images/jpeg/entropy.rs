//! Huffman-coded scans: bits to quantised coefficients (ITU-T T.81, annexes F and G).

use super::{Frame, ZIGZAG, broken, truncated};
use crate::images::decode::Refusal;

/// Codes up to this long are looked up at once.
const FAST_BITS: u32 = 9;

/// A canonical Huffman code.
pub(super) struct Huffman {
    /// For the next bits: length of the code they begin with (0: longer) and its symbol.
    fast: Vec<(u8, u8)>,
    /// For each length, one past its last code, aligned to 16 bits.
    ends: [u32; 17],
    /// For each length, what to add to a code to have its symbol's place.
    shifts: [i32; 17],
    symbols: Vec<u8>,
}

impl Huffman {
    /// From the number of codes of each length, 1 to 16; `None` where the lengths overflow their bits.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Huffman> {
        let mut fast = vec![(0, 0); 1 << FAST_BITS];
        let (mut ends, mut shifts) = ([0; 17], [0; 17]);
        let (mut code, mut place) = (0_u32, 0_usize);
        for length in 1..=16_u32 {
            shifts[length as usize] = place as i32 - code as i32;
            for _ in 0..counts[length as usize - 1] {
                if code >> length != 0 {
                    return None;
                }
                if length <= FAST_BITS {
                    let free = FAST_BITS - length;
                    fast[(code as usize) << free..(code as usize + 1) << free].fill((length as u8, symbols[place]));
                }
                code += 1;
                place += 1;
            }
            ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Some(Huffman { fast, ends, shifts, symbols: symbols.to_vec() })
    }
}

/// The bits of one scan, without stuffing.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, the first on top; zeros below the `count` that are there.
    buffer: u64,
    count: u32,
    /// More bits were asked for than stand before the next marker.
    starved: bool,
    /// ... and there was no marker but the end of the file.
    ended: bool,
    /// The marker that was found last: the place behind it, and its second byte.
    marker: Option<(usize, u8)>,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Bits<'a> {
        Bits { bytes, at, buffer: 0, count: 0, starved: false, ended: false, marker: None }
    }

    fn refill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            if byte == 0xFF {
                match self.bytes.get(self.at + 1) {
                    Some(0) => self.at += 1,
                    Some(0xFF) => {
                        self.at += 1;
                        continue;
                    }
                    _ => return,
                }
            }
            self.at += 1;
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    fn consume(&mut self, length: u32) {
        if length > self.count {
            self.starved = true;
            self.ended |= self.at + 1 >= self.bytes.len();
        }
        self.buffer <<= length;
        self.count = self.count.saturating_sub(length);
    }

    /// The next `length` bits (at most 16) as a number.
    fn take(&mut self, length: u32) -> i32 {
        if length == 0 {
            return 0;
        }
        if self.count < length {
            self.refill();
        }
        let value = (self.buffer >> (64 - length)) as i32;
        self.consume(length);
        value
    }

    /// The next symbol; 0 for a code that the table does not have, as in libjpeg.
    fn symbol(&mut self, table: &Huffman) -> u8 {
        if self.count < 16 {
            self.refill();
        }
        let (length, symbol) = table.fast[(self.buffer >> (64 - FAST_BITS)) as usize];
        if length != 0 {
            self.consume(u32::from(length));
            return symbol;
        }
        let next = (self.buffer >> 48) as u32;
        let length = (FAST_BITS + 1..=16).find(|&length| next < table.ends[length as usize]);
        let Some(length) = length else {
            self.consume(16);
            return 0;
        };
        self.consume(length);
        let place = (next >> (16 - length)) as i32 + table.shifts[length as usize];
        table.symbols.get(place as usize).copied().unwrap_or(0)
    }

    /// A number of `size` bits whose smaller half stands for negative values.
    fn signed(&mut self, size: u32) -> i32 {
        let value = self.take(size);
        if size > 0 && value < 1 << (size - 1) { value - (1 << size) + 1 } else { value }
    }

    /// Goes behind the restart marker, if it is the next marker.
    fn restart(&mut self) {
        (self.buffer, self.count, self.starved) = (0, 0, false);
        match self.next_marker() {
            Some((behind, 0xD0..=0xD7)) => self.at = behind,
            Some(_) => {}
            None => self.ended = true,
        }
    }

    /// The next marker: the place behind it, and its second byte. Bytes are looked through once, however many restarts ask.
    fn next_marker(&mut self) -> Option<(usize, u8)> {
        if self.marker.is_none_or(|(behind, _)| behind <= self.at + 1) {
            let mut at = self.at;
            self.marker = super::next_marker(self.bytes, &mut at).map(|kind| (at, kind));
        }
        self.marker
    }
}

/// A component's part in a scan: its place in the frame and its tables.
pub(super) struct Part {
    pub(super) component: usize,
    dc: usize,
    ac: usize,
}

/// A scan header.
pub(super) struct Scan {
    pub(super) parts: Vec<Part>,
    /// First and last coefficient, in the file's order.
    pub(super) first: usize,
    pub(super) last: usize,
    /// Whether earlier scans gave the higher bits already.
    refines: bool,
    /// Bits below the ones given here.
    pub(super) low: u32,
}

impl Scan {
    pub(super) fn new(segment: &[u8], frame: &Frame) -> Result<Scan, Refusal> {
        let wrong = || broken("a scan header that does not fit its frame");
        let (&n_parts, rest) = segment.split_first().ok_or_else(wrong)?;
        let (pairs, rest) = rest.split_at_checked(2 * usize::from(n_parts)).ok_or_else(wrong)?;
        let &[first, last, bits, ..] = rest else { return Err(wrong()) };
        let mut parts: Vec<Part> = Vec::new();
        for &[id, tables] in pairs.as_chunks::<2>().0 {
            let component = frame.components.iter().position(|component| component.id == id).ok_or_else(wrong)?;
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            if dc > 3 || ac > 3 || parts.iter().any(|part| part.component == component) {
                return Err(wrong());
            }
            parts.push(Part { component, dc, ac });
        }
        let (first, last, low) = (usize::from(first), usize::from(last), u32::from(bits & 15));
        if parts.is_empty() {
            return Err(wrong());
        }
        if !frame.progressive {
            return Ok(Scan { parts, first: 0, last: 63, refines: false, low: 0 });
        }
        let fits = if first == 0 { last == 0 } else { first <= last && last <= 63 && parts.len() == 1 };
        if !fits || low > 13 {
            return Err(wrong());
        }
        Ok(Scan { parts, first, last, refines: bits >> 4 != 0, low })
    }

    /// Units across and down. A single component comes without padding; several come in units that hold all of them.
    fn units(&self, frame: &Frame) -> (usize, usize) {
        match &self.parts[..] {
            [part] => {
                let component = &frame.components[part.component];
                (component.width.div_ceil(8), component.height.div_ceil(8))
            }
            _ => (frame.width.div_ceil(8 * frame.horizontal), frame.height.div_ceil(8 * frame.vertical)),
        }
    }

    /// How many blocks the scan comes to.
    pub(super) fn n_visits(&self, frame: &Frame) -> usize {
        let (across, down) = self.units(frame);
        let blocks =
            |part: &Part| frame.components[part.component].horizontal * frame.components[part.component].vertical;
        across * down * if self.parts.len() == 1 { 1 } else { self.parts.iter().map(blocks).sum() }
    }
}

/// The tables of four slots, for first coefficients and for the others.
type Tables<'t> = (&'t [Option<Huffman>; 4], &'t [Option<Huffman>; 4]);

/// Reads one scan's data from `at` on into the frame's blocks; gives where the data ends.
pub(super) fn decode_scan(
    scan: &Scan,
    frame: &mut Frame,
    (dc, ac): Tables,
    restart_interval: usize,
    bytes: &[u8],
    at: usize,
) -> Result<usize, Refusal> {
    let needs_dc = scan.first == 0 && !scan.refines;
    let needs_ac = scan.last > 0;
    for part in &scan.parts {
        if needs_dc && dc[part.dc].is_none() || needs_ac && ac[part.ac].is_none() {
            return Err(broken("a scan whose Huffman table is missing"));
        }
    }
    let alone = scan.parts.len() == 1;
    let (across, down) = scan.units(frame);
    let mut decoder = BlockDecoder { bits: Bits::new(bytes, at), scan, predictions: [0; 4], end_run: 0 };
    let mut unit = 0;
    // Blocks that hold nothing more are passed over together, up to the next restart.
    let passes_over = alone && scan.first > 0 && !scan.refines;
    while unit < across * down {
        if restart_interval > 0 && unit > 0 && unit % restart_interval == 0 {
            decoder.bits.restart();
            (decoder.predictions, decoder.end_run) = ([0; 4], 0);
        }
        if decoder.bits.ended {
            return Err(truncated());
        }
        if decoder.bits.starved {
            unit += 1;
            continue; // blocks stay as they are up to the next restart
        }
        if passes_over && decoder.end_run > 0 {
            let to_restart = if restart_interval > 0 { restart_interval - unit % restart_interval } else { usize::MAX };
            let n = to_restart.min(decoder.end_run as usize);
            decoder.end_run -= n as u32;
            unit += n;
            continue;
        }
        let (x, y) = (unit % across, unit / across);
        unit += 1;
        for (order, part) in scan.parts.iter().enumerate() {
            let component = &mut frame.components[part.component];
            let (h, v) = if alone { (1, 1) } else { (component.horizontal, component.vertical) };
            for block in 0..h * v {
                let place = (y * v + block / h) * component.blocks_across + x * h + block % h;
                decoder.block(&mut component.blocks[place], order, dc[part.dc].as_ref(), ac[part.ac].as_ref());
            }
        }
    }
    if decoder.bits.ended { Err(truncated()) } else { Ok(decoder.bits.at) }
}

/// What carries over from block to block.
struct BlockDecoder<'a> {
    bits: Bits<'a>,
    scan: &'a Scan,
    /// The last first-coefficient of each component of the scan.
    predictions: [i32; 4],
    /// Blocks still to come that hold nothing more.
    end_run: u32,
}

impl BlockDecoder<'_> {
    fn block(&mut self, block: &mut [i16; 64], order: usize, dc: Option<&Huffman>, ac: Option<&Huffman>) {
        if self.scan.first == 0 {
            if self.scan.refines {
                block[0] |= (self.bits.take(1) << self.scan.low) as i16;
            } else if let Some(dc) = dc {
                let size = u32::from(self.bits.symbol(dc)).min(16);
                self.predictions[order] = self.predictions[order].wrapping_add(self.bits.signed(size));
                block[0] = (self.predictions[order] << self.scan.low) as i16;
            }
        }
        if let Some(ac) = ac.filter(|_| self.scan.last > 0) {
            if self.scan.refines { self.refine(block, ac) } else { self.first_pass(block, ac) }
        }
    }

    /// Coefficients beyond the first, for the first time.
    fn first_pass(&mut self, block: &mut [i16; 64], table: &Huffman) {
        if self.end_run > 0 {
            self.end_run -= 1;
            return;
        }
        let mut place = self.scan.first.max(1);
        while place <= self.scan.last {
            let symbol = self.bits.symbol(table);
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            if size == 0 && run < 15 {
                // In a baseline file every run of blocks is the one block (run 0).
                self.end_run = (1 << run) - 1 + self.bits.take(run as u32) as u32;
                return;
            }
            place += run;
            if size > 0 {
                block[usize::from(ZIGZAG[place.min(63)])] = (self.bits.signed(size) << self.scan.low) as i16;
            }
            place += 1;
        }
    }

    /// One more bit for coefficients known already, and new ones of that bit's size between them.
    fn refine(&mut self, block: &mut [i16; 64], table: &Huffman) {
        let mut place = self.scan.first;
        while self.end_run == 0 && place <= self.scan.last {
            let symbol = self.bits.symbol(table);
            let (mut run, size) = (symbol >> 4, symbol & 15);
            let mut new = 0;
            if size > 0 {
                new = if self.bits.take(1) == 1 { 1 << self.scan.low } else { -1 << self.scan.low };
            } else if run < 15 {
                self.end_run = (1 << run) + self.bits.take(u32::from(run)) as u32;
                break;
            }
            while place <= self.scan.last {
                let coefficient = &mut block[usize::from(ZIGZAG[place])];
                if *coefficient != 0 {
                    self.refine_one(coefficient);
                } else if run == 0 {
                    *coefficient = new;
                    break;
                } else {
                    run -= 1;
                }
                place += 1;
            }
            place += 1;
        }
        if self.end_run > 0 {
            for place in place..=self.scan.last {
                let coefficient = &mut block[usize::from(ZIGZAG[place])];
                if *coefficient != 0 {
                    self.refine_one(coefficient);
                }
            }
            self.end_run -= 1;
        }
    }

    fn refine_one(&mut self, coefficient: &mut i16) {
        let bit = 1 << self.scan.low;
        if self.bits.take(1) == 1 && *coefficient & bit == 0 {
            *coefficient = coefficient.wrapping_add(if *coefficient >= 0 { bit } else { -bit });
        }
    }
}
