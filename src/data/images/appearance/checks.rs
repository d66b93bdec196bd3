//! From measures to scores, and from scores to what is flagged: CleanVision's scores (1 good, 0 bad) and limits.

use super::{Appearance, PERCENTILES};

/// What can be wrong with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Even its brightest pixels are dark: score is the 99th percentile of brightness.
    Dark,
    /// Even its darkest pixels are light: score is 1 less the 5th percentile.
    Light,
    /// Few edges, and few grey levels that stand out.
    Blurry,
    /// Nearly one colour: score is a tenth of the entropy.
    LowInformation,
    /// Much longer than wide: score is the shorter side over the longer.
    OddAspect,
    /// Much larger or smaller than the other pictures ([`odd_sizes`]).
    OddSize,
    /// No colour: score 0, else 1.
    Grey,
}

impl Check {
    /// In words, for tables.
    pub fn name(self) -> &'static str {
        match self {
            Check::Dark => "dark",
            Check::Light => "light",
            Check::Blurry => "blurry",
            Check::LowInformation => "low information",
            Check::OddAspect => "odd aspect",
            Check::OddSize => "odd size",
            Check::Grey => "grey",
        }
    }
}

/// Scores below which a picture is flagged, and what enters them; the default is CleanVision's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Of [`Check::Dark`]: 0.32.
    pub dark: f64,
    /// Of [`Check::Light`]: 0.05.
    pub light: f64,
    /// Of [`Check::Blurry`]: 0.29.
    pub blurry: f64,
    /// A spread of the histogram whose score is at most this counts for nothing: 0.18.
    pub blurry_spread: f64,
    /// Of [`Check::LowInformation`]: 0.3.
    pub low_information: f64,
    /// Of [`Check::OddAspect`]: 0.35.
    pub odd_aspect: f64,
    /// Spreads between quartiles beyond a quartile that a size may lie: 3.
    pub odd_size: f64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            dark: 0.32,
            light: 0.05,
            blurry: 0.29,
            blurry_spread: 0.18,
            low_information: 0.3,
            odd_aspect: 0.35,
            odd_size: 3.0,
        }
    }
}

/// A check with its score and whether the picture is flagged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shortcoming {
    /// Which.
    pub check: Check,
    /// 1 good, 0 bad.
    pub score: f64,
    /// Whether the score is below the limit.
    pub flagged: bool,
}

/// The checks of one picture, all but its size, in the order of [`Check`], flagged or not.
pub fn shortcomings(appearance: &Appearance, limits: &Limits) -> [Shortcoming; 6] {
    let percentile = |percent: u8| {
        let place = PERCENTILES.iter().position(|known| *known == percent);
        place.map_or(0.0, |place| appearance.brightness_percentiles[place])
    };
    let spread = 1.0 - (-0.01 * appearance.histogram_spread).exp();
    let spread = if spread <= limits.blurry_spread { 0.0 } else { spread };
    let sharp = (1.0 - (-0.01 * appearance.edges).exp() + spread).min(1.0);
    let colour = if appearance.grey { 0.0 } else { 1.0 };
    let checked = |check, score: f64, limit: f64| Shortcoming { check, score, flagged: score < limit };
    [
        checked(Check::Dark, percentile(99), limits.dark),
        checked(Check::Light, 1.0 - percentile(5), limits.light),
        checked(Check::Blurry, sharp, limits.blurry),
        checked(Check::LowInformation, (0.1 * appearance.entropy).min(1.0), limits.low_information),
        checked(Check::OddAspect, appearance.aspect(), limits.odd_aspect),
        checked(Check::Grey, colour, 0.5),
    ]
}

/// The size check of each of many pictures: flagged is one whose [`Appearance::size`] lies beyond the quartiles by more
/// than [`Limits::odd_size`] times what is between them. Where nearly all sizes are the same, any other is flagged.
pub fn odd_sizes(sizes: &[f64], limits: &Limits) -> Vec<Shortcoming> {
    if sizes.is_empty() {
        return Vec::new();
    }
    let mut sorted = sizes.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = share * (sorted.len() - 1) as f64;
        let (below, above) = (place.floor() as usize, place.ceil() as usize);
        sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
    };
    let (q1, q3) = (quantile(0.25), quantile(0.75));
    let (low, high) = (q1 - limits.odd_size * (q3 - q1), q3 + limits.odd_size * (q3 - q1));
    let middle = (low + high) / 2.0;
    let (unit, limit) = if high > low { (high - low, 0.5) } else { (middle, 1.0) };
    let score = |size: &f64| {
        let off = if unit > 0.0 { (size - middle).abs() / unit } else { 0.0 };
        1.0 - off.clamp(0.0, 1.0)
    };
    let checked = |size| Shortcoming { check: Check::OddSize, score: score(size), flagged: score(size) < limit };
    sizes.iter().map(checked).collect()
}
