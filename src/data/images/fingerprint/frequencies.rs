//! The code of a small picture: which of its low frequencies are strong, and which way.

use super::SIDE;
use std::f64::consts::PI;
use std::sync::LazyLock;
use wider_clip_numbers::soundness::Code;

/// Frequencies of each kind, even and odd along a row.
const OF_EACH: usize = 32;
/// The share of the mean size of all frequencies below which one counts as none: those of a drawing that is the same
/// left and right are noise, and so would their signs be.
const NONE: f64 = 0.4;
/// Frequencies up to this one are looked at.
const HIGHEST: usize = 12;

/// The lowest frequencies (across, down), even ones first, without (0, 0), each with no higher power than those after
/// it.
static CHOSEN: LazyLock<Vec<(usize, usize)>> = LazyLock::new(|| {
    let of_kind = |odd: usize| {
        let all = (0..HIGHEST).flat_map(|across| (0..HIGHEST).map(move |down| (across, down)));
        let mut all: Vec<_> = all.filter(|&(across, down)| across % 2 == odd && across + down > 0).collect();
        all.sort_by_key(|&(across, down)| (across * across + down * down, across));
        all.truncate(OF_EACH);
        all
    };
    [of_kind(0), of_kind(1)].concat()
});

/// `cos(pi (2 x + 1) frequency / (2 SIDE))` for each frequency and pixel.
static WAVES: LazyLock<Vec<[f64; SIDE]>> = LazyLock::new(|| {
    let wave = |frequency: usize| {
        std::array::from_fn(|x| (PI * (2 * x + 1) as f64 * frequency as f64 / (2 * SIDE) as f64).cos())
    };
    (0..HIGHEST).map(wave).collect()
});

/// The code of `SIDE` x `SIDE` grey levels. A frequency that is strong one way sets a bit in the lower half of its
/// word, the other way one in the upper half. A mirror turns the odd ones round and leaves the even ones.
pub(super) fn code(grey: &[u8]) -> Code {
    let mut across = vec![[0f64; HIGHEST]; SIDE];
    for (row, sums) in grey.chunks_exact(SIDE).zip(&mut across) {
        for (sum, wave) in sums.iter_mut().zip(WAVES.iter()) {
            *sum = row.iter().zip(wave).map(|(&level, wave)| f64::from(level) * wave).sum();
        }
    }
    let strength = |&(u, v): &(usize, usize)| -> f64 { across.iter().zip(&WAVES[v]).map(|(row, w)| row[u] * w).sum() };
    let strengths: Vec<f64> = CHOSEN.iter().map(strength).collect();
    let least = NONE * strengths.iter().map(|strength| strength.abs()).sum::<f64>() / strengths.len() as f64;
    // A picture without any frequency has differences of rounding: one part in a thousand of a grey level.
    let least = least.max(1e-3 * (SIDE * SIDE) as f64);
    let word = |strengths: &[f64]| {
        strengths.iter().enumerate().fold(0u64, |word, (place, &strength)| {
            word | u64::from(strength > least) << place | u64::from(strength < -least) << (place + OF_EACH)
        })
    };
    Code { kept: word(&strengths[..OF_EACH]), turned: word(&strengths[OF_EACH..]) }
}
