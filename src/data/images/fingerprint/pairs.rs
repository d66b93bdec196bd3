//! The pairs among many fingerprints.

use super::coarse::Coarse;
use super::fit::{Fit, Levels, Window, best_window, fit};
use super::{Fingerprint, MARGIN};
use crate::error::Result;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use wider_clip_numbers::soundness::{ClosePair, Code, Unions, close_pairs, groups_of};

/// Bits of 128 that the codes of copies differ in at most.
const MOST_BITS: u32 = 10;
/// Correlation of coarse pictures below which a pair is not looked at further.
const WORTH_A_LOOK: f32 = 0.9;
/// Correlation below which moving one picture over the other is not tried.
const WORTH_MOVING: f32 = 0.92;
/// Width over height may differ by this factor.
const MOST_ASPECT: f64 = 1.25;
/// What two pictures must agree in at least to be one.
const LEAST_CORRELATION: f32 = 0.95;
const MOST_WORST_PART: f32 = 0.3;
const MOST_COLOUR: f32 = 40.0;
const MOST_BRIGHTER: f32 = 45.0;
const MOST_CONTRAST: f32 = 1.5;

/// Partners of a picture beyond which those of its own group are no longer looked for.
const MOST_PARTNERS: u32 = 64;
/// Candidates in memory, about, where all codes are close.
const CANDIDATES: usize = 1 << 23;
/// Candidates that are compared before the next are chosen.
const BLOCK: usize = 1 << 15;

/// How two pictures are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NearKind {
    /// As they stand.
    Same,
    /// With one of them mirrored left-right.
    Mirrored,
}

/// Two pictures that are nearly the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NearPair {
    /// Place of the one, the lower.
    pub a: usize,
    /// Place of the other.
    pub b: usize,
    /// As they stand or mirrored; where both are so (a drawing that is the same left and right), what agrees better.
    pub kind: NearKind,
    /// 0 for the same pixels, else 1 less the correlation of the small grey pictures, laid over each other.
    pub distance: f64,
}

/// Pairs of nearly equal pictures, in the order of `a`, then `b`. Flat pictures are paired where their pixels are
/// the same.
///
/// All pairs, but that two pictures which are in one group already, by chains of pairs, and have [`MOST_PARTNERS`] partners each are
/// not compared: frames of a fixed camera would be a pair each with each.
///
/// Time grows with the square of the number of pictures, memory with the number of pictures and pairs: seconds for
/// 100,000.
///
/// ```
/// use image::{Rgb, RgbImage};
/// use wider_clip::images::{Fingerprint, NearKind, near_duplicates};
///
/// let drawing = RgbImage::from_fn(64, 64, |x, y| Rgb([if x < 20 + y / 3 { 250 } else { 20 }; 3]));
/// let prints = [&drawing, &image::imageops::flip_horizontal(&drawing), &RgbImage::new(64, 64)].map(Fingerprint::of);
/// let pairs = near_duplicates(&prints);
/// assert_eq!((pairs.len(), pairs[0].a, pairs[0].b, pairs[0].kind), (1, 0, 1, NearKind::Mirrored));
/// ```
pub fn near_duplicates(prints: &[Fingerprint]) -> Vec<NearPair> {
    let lively: Vec<usize> = (0..prints.len()).filter(|&i| !prints[i].flat).collect();
    let whole: Vec<Code> = lively.iter().map(|&i| prints[i].whole).collect();
    let middle: Vec<Code> = lively.iter().map(|&i| prints[i].middle).collect();
    let coarse: Vec<Coarse> = prints.par_iter().map(Coarse::of).collect();
    let mut found = Found::new(prints.len());
    // In memory are the pairs of so many codes with all, should all be close.
    let at_once = (CANDIDATES / lively.len().max(1)).max(64);
    for from in (0..lively.len()).step_by(at_once) {
        let to = lively.len().min(from + at_once);
        // Whole with whole; and each whole with each middle, where the other is a crop of the one whose middle it is.
        let mut candidates: Vec<(usize, usize, bool, Over)> = Vec::new();
        let mut take = |pairs: Vec<ClosePair>, second: usize, over: Over| {
            for pair in pairs.into_iter().filter(|pair| from + pair.a != second + pair.b) {
                let (a, b) = (lively[from + pair.a], lively[second + pair.b]);
                let over = if a < b { over } else { over.swapped() };
                candidates.push((a.min(b), a.max(b), pair.mirrored, over));
            }
        };
        take(close_pairs(&whole[from..to], &whole[from..], MOST_BITS, true), from, Over::Each);
        take(close_pairs(&whole[from..to], &middle, MOST_BITS, false), 0, Over::First);
        candidates.par_sort_unstable();
        candidates.dedup();
        let mut rest = &candidates[..];
        while !rest.is_empty() {
            let (block, after) = rest.split_at(rest.len().min(BLOCK));
            rest = after;
            let open: Vec<_> = block.iter().filter(|(a, b, ..)| found.is_open(*a, *b)).collect();
            let checked = open.into_par_iter().filter_map(|&(a, b, mirrored, over)| {
                if coarse[a].agreement(&coarse[b], mirrored, over) < WORTH_A_LOOK {
                    return None;
                }
                let distance = compare(&prints[a], &prints[b], mirrored, over)?;
                let kind = if mirrored { NearKind::Mirrored } else { NearKind::Same };
                Some(NearPair { a, b, kind, distance })
            });
            checked.collect::<Vec<_>>().into_iter().for_each(|pair| found.add(pair));
        }
    }
    same_pixels(prints).into_iter().for_each(|pair| found.add(pair));
    found.best.into_values().collect()
}

/// Pairs as they are found.
struct Found {
    best: BTreeMap<(usize, usize), NearPair>,
    partners: Vec<u32>,
    groups: Unions,
}

impl Found {
    fn new(n: usize) -> Found {
        Found { best: BTreeMap::new(), partners: vec![0; n], groups: Unions::new(n) }
    }

    /// Whether two pictures are worth comparing.
    fn is_open(&mut self, a: usize, b: usize) -> bool {
        let full = self.partners[a].min(self.partners[b]) >= MOST_PARTNERS;
        !full || self.groups.first_with(a) != self.groups.first_with(b)
    }

    /// Keeps a pair; of one that is there already what agrees better.
    fn add(&mut self, pair: NearPair) {
        match self.best.entry((pair.a, pair.b)) {
            Entry::Vacant(place) => {
                place.insert(pair);
                self.groups.join(pair.a, pair.b);
                self.partners[pair.a] += 1;
                self.partners[pair.b] += 1;
            }
            Entry::Occupied(mut kept) => {
                if (pair.distance, pair.kind) < (kept.get().distance, kept.get().kind) {
                    kept.insert(pair);
                }
            }
        }
    }
}

/// The groups of pictures that `pairs` join, in chains too: members ascending, groups by their first.
///
/// # Errors
/// A pair that names a picture of `n` or above.
pub fn near_groups(n: usize, pairs: &[NearPair]) -> Result<Vec<Vec<usize>>> {
    groups_of(n, pairs.iter().map(|pair| (pair.a, pair.b)))
}

/// Which of two pictures is laid, as a whole, over the middle of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Over {
    Each,
    First,
    Second,
}

impl Over {
    fn swapped(self) -> Over {
        match self {
            Over::Each => Over::Each,
            Over::First => Over::Second,
            Over::Second => Over::First,
        }
    }
}

/// Pairs of the same pixels: each picture with the first that has them.
fn same_pixels(prints: &[Fingerprint]) -> Vec<NearPair> {
    let mut first: BTreeMap<(u64, (u32, u32)), usize> = BTreeMap::new();
    let mut pairs = Vec::new();
    for (b, print) in prints.iter().enumerate().filter(|(_, print)| print.size.0 > 0) {
        match first.get(&(print.pixels, print.size)) {
            Some(&a) => pairs.push(NearPair { a, b, kind: NearKind::Same, distance: 0.0 }),
            None => drop(first.insert((print.pixels, print.size), b)),
        }
    }
    pairs
}

/// The distance of two pictures where they are nearly the same.
fn compare(a: &Fingerprint, b: &Fingerprint, mirrored: bool, over: Over) -> Option<f64> {
    let aspect = |print: &Fingerprint| f64::from(print.size.0) / f64::from(print.size.1);
    let unlike = aspect(a) / aspect(b);
    if !(1.0 / MOST_ASPECT..=MOST_ASPECT).contains(&unlike) {
        return None;
    }
    let (levels_a, levels_b) = (Levels::of(a, false), Levels::of(b, mirrored));
    let (first, second) = ((a, &levels_a), (b, &levels_b));
    let middle = [MARGIN as f32; 4];
    let fits = match over {
        Over::First => [moved(first, second, middle, mirrored), None],
        Over::Second => [moved(second, first, middle, mirrored), None],
        Over::Each => [moved(first, second, [0.0; 4], mirrored), moved(second, first, [0.0; 4], mirrored)],
    };
    let agreeing = fits.into_iter().flatten().map(|fit| 1.0 - f64::from(fit.correlation));
    agreeing.reduce(f64::min)
}

/// A fit at or near a window in which two pictures agree.
fn moved(whole: (&Fingerprint, &Levels), other: (&Fingerprint, &Levels), start: Window, mirrored: bool) -> Option<Fit> {
    let at_rest = fit(whole, other, start, mirrored);
    if agrees(&at_rest) || at_rest.correlation < WORTH_MOVING || at_rest.colour > MOST_COLOUR {
        return agrees(&at_rest).then_some(at_rest);
    }
    let (window, _) = best_window(whole.1, other.1, start);
    Some(fit(whole, other, window, mirrored)).filter(agrees)
}

fn agrees(fit: &Fit) -> bool {
    fit.correlation >= LEAST_CORRELATION
        && fit.worst_part <= MOST_WORST_PART
        && fit.colour <= MOST_COLOUR
        && fit.brighter.abs() <= MOST_BRIGHTER
        && (1.0 / MOST_CONTRAST..=MOST_CONTRAST).contains(&fit.gain)
}
