//! Inputs made from seeds: each follows from the seeds, a seed number and its own number alone.

/// Steele, Lea and Flood's SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64, number: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xd1b5_4a32_d192_ed03));
        random.next();
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to n - 1; 0 for n = 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next() % n as u64) as usize }
    }

    /// From 1 to 2^(bits - 1), small ones as often as large ones.
    fn size(&mut self, bits: usize) -> usize {
        let most = 1 << self.below(bits);
        1 + self.below(most)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let at = self.below(all.len());
        all.get(at)
    }
}

/// Values at which readers of numbers go wrong.
const EDGES: [u64; 20] = [
    0,
    1,
    2,
    3,
    7,
    8,
    16,
    64,
    127,
    128,
    255,
    256,
    32_767,
    65_535,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    u32::MAX as u64,
    i64::MAX as u64,
    u64::MAX,
];

/// Numbers in text.
const TEXTS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "00",
    "65536",
    "2147483648",
    "4294967296",
    "99999999999",
    "18446744073709551616",
    "1e308",
    "-1e999",
    "nan",
    "0.5",
    "1e-320",
];

/// The longest input.
const LONGEST: usize = 1 << 17;

/// Input `number` of a run: a seed, changed in one to eight ways.
pub fn mutated(seeds: &[Vec<u8>], words: &[&[u8]], fix: fn(&mut Vec<u8>), seed: u64, number: u64) -> Vec<u8> {
    let mut random = Random::new(seed, number);
    let mut bytes = random.of(seeds).cloned().unwrap_or_default();
    let changes = 1 + random.below(4) * random.below(3);
    for _ in 0..changes {
        change(&mut bytes, seeds, words, &mut random);
    }
    bytes.truncate(LONGEST);
    // What a checksum guards is reached only where it is right again.
    if random.below(5) > 0 {
        fix(&mut bytes);
    }
    bytes
}

/// A place: anywhere, or near the start or the end, where headers and tables lie.
fn place(length: usize, random: &mut Random) -> usize {
    match random.below(4) {
        0 => random.below(length.min(256)),
        1 => length - 1 - random.below(length.min(512)).min(length - 1),
        _ => random.below(length),
    }
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&[u8]], random: &mut Random) {
    if bytes.is_empty() {
        let n = random.below(64);
        bytes.extend((0..n).map(|_| random.next() as u8));
        return;
    }
    let at = place(bytes.len(), random);
    let n = random.size(9);
    let end = (at + n).min(bytes.len());
    match random.below(15) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = *random.of(&[0, 1, 0x7f, 0x80, 0xfe, 0xff]).unwrap_or(&0),
        3 => bytes[at] = random.next() as u8,
        4 => bytes[at] = bytes[at].wrapping_add(random.below(9) as u8).wrapping_sub(4),
        // A length or an offset.
        5..=7 => {
            let width = *random.of(&[1, 2, 4, 4, 8]).unwrap_or(&4);
            let mut value = *random.of(&EDGES).unwrap_or(&0);
            match random.below(4) {
                0 => value = bytes.len() as u64,
                1 => value = value.wrapping_sub(random.next() % 4),
                _ => {}
            }
            let value =
                if random.below(2) == 0 { value.to_le_bytes() } else { value.rotate_right(8 * width).to_be_bytes() };
            for (byte, new) in bytes[at..].iter_mut().zip(&value[..width as usize]) {
                *byte = *new;
            }
        }
        8 => drop(bytes.drain(at..end)),
        9 => {
            let copy = bytes[at..end].to_vec();
            let to = place(bytes.len(), random);
            for _ in 0..random.size(8) {
                if bytes.len() > LONGEST {
                    break;
                }
                bytes.splice(to..to, copy.iter().copied());
            }
        }
        10 => {
            let other = random.of(seeds).cloned().unwrap_or_default();
            let from = random.below(other.len());
            let piece = &other[from..(from + n).min(other.len())];
            match random.below(3) {
                // The beginning of one, the end of another.
                0 => {
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
                1 => drop(bytes.splice(at..at, piece.iter().copied())),
                _ => drop(bytes.splice(at..end, piece.iter().copied())),
            }
        }
        11 | 12 => {
            let word = random.of(words).copied().unwrap_or(b"\0\0\0\0");
            let end = if random.below(2) == 0 { at } else { (at + word.len()).min(bytes.len()) };
            bytes.splice(at..end, word.iter().copied());
        }
        13 => match random.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.extend((0..n).map(|_| 0)),
            _ => bytes[at..end].fill(random.next() as u8),
        },
        // A number in text.
        _ => {
            let digit = |byte: &u8| byte.is_ascii_digit();
            let Some(start) = bytes[at..].iter().position(digit).map(|found| at + found) else { return };
            let length = bytes[start..].iter().take_while(|byte| digit(byte)).count();
            let text = random.of(&TEXTS).copied().unwrap_or("0");
            bytes.splice(start..start + length, text.bytes());
        }
    }
}
