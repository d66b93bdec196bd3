//! All pairs of codes that differ in few bits, as they are or with one of the two mirrored.
//!
//! A code has two words: one that a mirror leaves alone, and one whose halves it swaps (which of the odd frequencies
//! along a row of pixels are strong upwards, and which downwards). So three counts of bits tell both distances of a
//! pair. Every pair is looked at: for 100,000 codes these are five thousand million, seconds where the processor counts
//! the bits of eight words at once. Nothing is kept but the pairs that are found.

use rayon::prelude::*;

/// 128 bits in two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Code {
    /// Bits that are the same in the mirror image.
    pub kept: u64,
    /// Bits whose halves are swapped in the mirror image.
    pub turned: u64,
}

impl Code {
    /// Bits that differ, and bits that differ from the mirror image of `other`.
    pub fn distances(self, other: Code) -> (u32, u32) {
        let kept = (self.kept ^ other.kept).count_ones();
        let turned = |word: u64| kept + (self.turned ^ word).count_ones();
        (turned(other.turned), turned(other.turned.rotate_left(32)))
    }
}

/// Two codes that are close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClosePair {
    /// Place in the first list.
    pub a: usize,
    /// Place in the second list.
    pub b: usize,
    /// Whether they are close with one of the two mirrored; a pair that is close both ways is there twice.
    pub mirrored: bool,
    /// Bits that differ.
    pub bits: u32,
}

/// Codes of the first list that are worked on at once, each with all of the second: at most so many, and fewer where the list is
/// short, for all threads to have some.
const TILE: usize = 256;

/// All pairs of a code of `firsts` and one of `seconds` that differ in at most `most` of the 128 bits, as they are or
/// mirrored, in the order of `a`, then `b`. Where both lists are one and the same, `only_above` leaves out pairs with
/// `b <= a`, which come twice or are a code with itself.
///
/// ```
/// use wider_clip::soundness::{Code, close_pairs};
///
/// let codes = [Code { kept: 0b1100, turned: 0b0110 }, Code { kept: 0b1101, turned: 0b0110 << 32 }];
/// let pairs = close_pairs(&codes, &codes, 4, true);
/// assert_eq!(pairs.len(), 1);
/// assert!(pairs[0].mirrored && pairs[0].bits == 1);
/// ```
pub fn close_pairs(firsts: &[Code], seconds: &[Code], most: u32, only_above: bool) -> Vec<ClosePair> {
    let kept: Vec<u64> = seconds.iter().map(|code| code.kept).collect();
    let turned: Vec<u64> = seconds.iter().map(|code| code.turned).collect();
    let rows = (firsts.len() / (4 * rayon::current_num_threads())).clamp(8, TILE);
    let found: Vec<Vec<ClosePair>> = firsts
        .par_chunks(rows)
        .enumerate()
        .map_init(
            || vec![0u8; seconds.len()],
            |near, (tile, codes)| {
                let mut found = Vec::new();
                for (place, &code) in codes.iter().enumerate() {
                    let a = tile * rows + place;
                    let from = if only_above { (a + 1).min(seconds.len()) } else { 0 };
                    if mark(code, &kept[from..], &turned[from..], most, &mut near[from..]) {
                        collect(code, a, from, seconds, &near[from..], most, &mut found);
                    }
                }
                found
            },
        )
        .collect();
    found.into_iter().flatten().collect()
}

/// The pairs at the places that were marked.
fn collect(code: Code, a: usize, from: usize, seconds: &[Code], near: &[u8], most: u32, found: &mut Vec<ClosePair>) {
    for (b, _) in (from..).zip(near).filter(|(_, near)| **near != 0) {
        let (straight, mirrored) = code.distances(seconds[b]);
        for (mirrored, bits) in [(false, straight), (true, mirrored)] {
            if bits <= most {
                found.push(ClosePair { a, b, mirrored, bits });
            }
        }
    }
}

/// Marks the codes that are close either way; whether there is one.
#[inline(always)]
fn mark_all(code: Code, kept: &[u64], turned: &[u64], most: u32, near: &mut [u8]) -> bool {
    let (most, swapped) = (u64::from(most), code.turned.rotate_left(32));
    let mut any = 0u8;
    for ((kept, turned), near) in kept.iter().zip(turned).zip(near.iter_mut()) {
        let kept = u64::from((code.kept ^ kept).count_ones());
        let straight = u64::from((code.turned ^ turned).count_ones());
        let mirrored = u64::from((swapped ^ turned).count_ones());
        *near = u8::from(kept + straight.min(mirrored) <= most);
        any |= *near;
    }
    any != 0
}

/// [`mark_all`], compiled for the instructions that count bits where the processor has them.
#[cfg(target_arch = "x86_64")]
fn mark(code: Code, kept: &[u64], turned: &[u64], most: u32, near: &mut [u8]) -> bool {
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512vpopcntdq,popcnt")]
    fn eight_at_once(code: Code, kept: &[u64], turned: &[u64], most: u32, near: &mut [u8]) -> bool {
        mark_all(code, kept, turned, most, near)
    }
    #[target_feature(enable = "popcnt")]
    fn one_at_a_time(code: Code, kept: &[u64], turned: &[u64], most: u32, near: &mut [u8]) -> bool {
        mark_all(code, kept, turned, most, near)
    }
    let wide = is_x86_feature_detected!("avx512vl") && is_x86_feature_detected!("avx512bw");
    if wide && is_x86_feature_detected!("avx512vpopcntdq") && is_x86_feature_detected!("popcnt") {
        // SAFETY: avx512vl implies avx512f; all five features were just found on this processor.
        unsafe { eight_at_once(code, kept, turned, most, near) }
    } else if is_x86_feature_detected!("popcnt") {
        // SAFETY: the feature was just found on this processor.
        unsafe { one_at_a_time(code, kept, turned, most, near) }
    } else {
        mark_all(code, kept, turned, most, near)
    }
}

/// [`mark_all`]; other processors count bits in their base.
#[cfg(not(target_arch = "x86_64"))]
fn mark(code: Code, kept: &[u64], turned: &[u64], most: u32, near: &mut [u8]) -> bool {
    mark_all(code, kept, turned, most, near)
}
