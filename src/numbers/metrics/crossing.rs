//! The number of training images at which one way of learning begins to be ahead of another.

use crate::error::{Error, Result};
use crate::random::Random;
use std::collections::BTreeMap;

/// What two ways of learning had right after training on `size` images, on the same test images.
#[derive(Debug, Clone)]
pub struct AtSize<'a, G> {
    /// Training images, above 0.
    pub size: f64,
    /// What each answer belongs to: answers of a group are drawn together.
    pub groups: &'a [G],
    /// Whether the first way had each image right.
    pub a: &'a [bool],
    /// Whether the second way had it right.
    pub b: &'a [bool],
}

/// Where the first way overtakes the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Crossing {
    /// The number of training images, by a line between the two sizes around it on a logarithmic scale; `None` where the first
    /// way is ahead at the smallest size already or at none.
    pub at: Option<f64>,
    /// The lower end of the 95% percentile interval; `None` where it lies below the smallest size, and where nearly no resample
    /// crosses at all (`never` above 97.5%), so that both ends lie beyond the largest.
    pub low: Option<f64>,
    /// The upper end; `None` where it lies beyond the largest size, and where nearly all resamples are ahead from the smallest size on
    /// (`already` above 97.5%), so that both ends lie below it.
    pub high: Option<f64>,
    /// Share of resamples in which the first way is ahead at the smallest size already.
    pub already: f64,
    /// Share of resamples in which it is ahead at no size.
    pub never: f64,
}

/// The first size at which `a` is at least as good as `b`, with a bootstrap over groups: a resample draws as many groups as
/// there are, with replacement, and takes each at all sizes.
///
/// # Errors
/// [`Error::Argument`] for fewer than two sizes, sizes that do not rise, lists of different lengths, no image, or fewer than 40
/// resamples.
///
/// ```
/// use wider_clip::metrics::{AtSize, crossing};
///
/// let groups: Vec<usize> = (0..100).collect();
/// let right = |n: usize| -> Vec<bool> { (0..100).map(|image| image < n).collect() };
/// let (half, few, many) = (right(50), right(40), right(60));
/// let at = |size, a| AtSize { size, groups: &groups, a, b: &half };
/// // Ten images behind at 10, ten ahead at 1000: equal half way on the logarithmic scale.
/// let found = crossing(&[at(10.0, &few), at(1000.0, &many)], 200, 0)?;
/// assert!((found.at.expect("it crosses") - 100.0).abs() < 1e-9);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn crossing<G: Ord>(sizes: &[AtSize<G>], n_resamples: usize, seed: u64) -> Result<Crossing> {
    let rising = sizes.windows(2).all(|pair| pair[0].size < pair[1].size) && sizes.iter().all(|at| at.size > 0.0);
    if sizes.len() < 2 || !rising {
        let found = sizes.iter().map(|at| at.size.to_string()).collect::<Vec<_>>().join(", ");
        return Err(Error::argument("sizes", "two numbers above 0 or more, rising", found));
    }
    if n_resamples < 40 {
        return Err(Error::argument("resamples", "at least 40", n_resamples.to_string()));
    }
    // Gain and answers by group, at each size.
    let mut by_group: BTreeMap<&G, Vec<(i64, i64)>> = BTreeMap::new();
    for (i, at) in sizes.iter().enumerate() {
        if at.a.is_empty() || at.a.len() != at.b.len() || at.a.len() != at.groups.len() {
            let found = format!("{}, {} and {} groups at size {}", at.a.len(), at.b.len(), at.groups.len(), at.size);
            return Err(Error::argument("answers", "as many of both ways, each with its group", found));
        }
        for ((group, &a), &b) in at.groups.iter().zip(at.a).zip(at.b) {
            let (gain, n) = &mut by_group.entry(group).or_insert_with(|| vec![(0, 0); sizes.len()])[i];
            *gain += i64::from(a) - i64::from(b);
            *n += 1;
        }
    }
    let by_group: Vec<Vec<(i64, i64)>> = by_group.into_values().collect();
    let place = |drawn: &mut dyn Iterator<Item = &Vec<(i64, i64)>>| {
        let mut sums = vec![(0, 0); sizes.len()];
        for group in drawn {
            for (sum, (gain, n)) in sums.iter_mut().zip(group) {
                *sum = (sum.0 + gain, sum.1 + n);
            }
        }
        first(sizes.iter().map(|at| at.size).zip(sums))
    };
    let at = place(&mut by_group.iter());
    let mut random = Random::new("crossing", seed, 0);
    let mut resampled: Vec<f64> = (0..n_resamples)
        .map(|_| place(&mut (0..by_group.len()).map(|_| &by_group[random.below(by_group.len())])))
        .collect();
    resampled.sort_unstable_by(f64::total_cmp);
    // The nearest of the resamples: between a number and infinity there is nothing.
    let end = |fraction: f64| resampled[(fraction * (n_resamples - 1) as f64).round() as usize];
    let finite = |value: f64| value.is_finite().then_some(value);
    let share = |which: f64| resampled.iter().filter(|&&value| value == which).count() as f64 / n_resamples as f64;
    Ok(Crossing {
        at: finite(at),
        low: finite(end(0.025)),
        high: finite(end(0.975)),
        already: share(f64::NEG_INFINITY),
        never: share(f64::INFINITY),
    })
}

/// The first size with a gain of 0 or more: minus infinity for the smallest, infinity for none.
fn first(gains: impl Iterator<Item = (f64, (i64, i64))>) -> f64 {
    let mut before: Option<(f64, f64)> = None;
    for (size, (gain, n)) in gains {
        // A size without answers says nothing.
        if n == 0 {
            continue;
        }
        let gain = gain as f64 / n as f64;
        match before {
            _ if gain < 0.0 => before = Some((size, gain)),
            None => return f64::NEG_INFINITY,
            Some((below, behind)) => {
                let part = -behind / (gain - behind);
                return (below.ln() * (1.0 - part) + size.ln() * part).exp();
            }
        }
    }
    f64::INFINITY
}
