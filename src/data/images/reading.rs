//! How samples become grey levels where a file alone does not say it: scientific pictures of many bands or deep samples.

use super::decode::Refusal;

/// Which samples of a picture are its colours, and which values are black and white. The default asks for nothing, and
/// then a picture that cannot be shown without such choices is refused.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// The bands of a TIFF that are shown, counted from 1: one for grey, three for red, green and blue. Other formats, which
    /// have no bands, are read as they are. Where a TIFF counts from white to black, its first band alone is turned; no other is.
    pub bands: Option<Vec<u16>>,
    /// The values that become 0 and 255. Those between are mapped linearly and rounded, those beyond are clipped. It holds
    /// for TIFF and PNG samples of more than eight bits, and for all samples where `bands` are named.
    pub range: Option<[f64; 2]>,
}

/// The names of the keys in a data set's record, for messages.
const KEYS: &str = "`bands` (such as [3, 2, 1]) and `range` (such as [0, 4095]) in the data set's record";

impl Reading {
    /// What is wrong with it: which key, what was expected and what was found.
    pub fn problem(&self) -> Option<(&'static str, &'static str, String)> {
        if let Some(bands) = &self.bands
            && (![1, 3].contains(&bands.len()) || bands.contains(&0))
        {
            return Some(("bands", "one band or three, counted from 1", format!("{bands:?}")));
        }
        if let Some([low, high]) = self.range
            && !(low.is_finite() && high.is_finite() && low < high)
        {
            return Some(("range", "two numbers, the smaller first", format!("{:?}", [low, high])));
        }
        None
    }

    /// How samples are mapped that are whole numbers of 16 bits.
    pub(super) fn of_sixteen(&self) -> Sixteen {
        Sixteen { range: self.range, largest: 0, smallest: u16::MAX, n: 0, n_bright: 0 }
    }
}

/// A value's place between `low` (0) and `high` (255), rounded; what is no number is black.
pub(super) fn mapped(value: f64, [low, high]: [f64; 2]) -> u8 {
    ((value - low) / (high - low) * 255.0 + 0.5).clamp(0.0, 255.0) as u8
}

/// Sixteen bits to eight: by a range, or the upper eight.
pub(super) struct Sixteen {
    range: Option<[f64; 2]>,
    /// The largest value below [`BRIGHT`].
    largest: u16,
    smallest: u16,
    /// Values, and how many of them are bright.
    n: usize,
    n_bright: usize,
}

/// A quarter of the range: values from here on use the upper two bits.
const BRIGHT: u16 = 1 << 14;

/// One bright value in so many is no sign of a picture that uses its range: a hot pixel of a camera, a mark of "no value".
const RARE: usize = 10_000;
/// From so many values on, a single bright pixel (three values) is none either.
const SINGLE: usize = 3_000;

impl Sixteen {
    pub(super) fn byte(&mut self, value: u16) -> u8 {
        if let Some(range) = self.range {
            return mapped(f64::from(value), range);
        }
        self.n += 1;
        match value < BRIGHT {
            true => self.largest = self.largest.max(value),
            false => self.n_bright += 1,
        }
        self.smallest = self.smallest.min(value);
        (value >> 8) as u8
    }

    /// Refuses a picture whose values leave the upper two bits empty: 12 or 14 bits in files of 16, as cameras and microscopes
    /// write them, would come out nearly black. One bright value in 10,000 does not count, nor does a single bright pixel in
    /// a thousand: a hot pixel would else hide what the others are. One even value, black above all, is no such picture.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let passed_over = (self.n / RARE).max(if self.n < SINGLE { 0 } else { 3 });
        if self.range.is_some() || self.n_bright > passed_over || self.smallest >= self.largest {
            return Ok(());
        }
        let n_bits = 16 - self.largest.leading_zeros();
        let expected = "16-bit samples that use their range, or a `range` in the data set's record, which names the values \
                        of black and white";
        let beside = if self.n_bright == 0 { "" } else { " but for rare larger ones" };
        let found = format!(
            "values of {} to {}{beside}, nearly black: set `range = [0, {}]` where they have {n_bits} bits, `range = [0, 65535]` \
             where they are meant so",
            self.smallest,
            self.largest,
            (1_u32 << n_bits) - 1
        );
        Err(Refusal::new(expected, found))
    }
}

/// The refusal of a picture of which only the record can say how it is seen.
pub(super) fn undecided(found: impl Into<String>) -> Refusal {
    Refusal::new(format!("grey, colour or a palette of up to 16 bits a sample, or {KEYS}"), found)
}
