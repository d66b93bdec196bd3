//! Laying one small picture over another, and how well they agree.

use super::{FIELDS, Fingerprint, SIDE};

/// What the window of a picture that is laid over another may leave out at most, at each end.
const MOST_LEFT_OUT: f32 = 0.12;
/// The steps by which its edges are moved, in shares of a side.
const STEPS: [f32; 3] = [0.02, 0.01, 0.005];
/// Pixels a side of the parts for which agreement is asked by themselves.
const PART: usize = 5;

/// The part of a picture that is laid over all of another: what is left out at left, right, top and bottom, as shares.
pub(super) type Window = [f32; 4];

/// How two pictures agree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    /// Correlation of the grey levels, 1 at most.
    pub correlation: f32,
    /// The largest mean squared difference in a part of the picture, in variances of the whole.
    pub worst_part: f32,
    /// Grey levels by which the first is brighter, in the mean.
    pub brighter: f32,
    /// How many grey levels of the first a level of the second is worth.
    pub gain: f32,
    /// The largest difference of colour in a field, in levels from 0 to 255, brightness being made equal.
    pub colour: f32,
}

/// Grey levels made ready: smoothed, as numbers.
pub(super) struct Levels(Vec<f32>);

impl Levels {
    /// Of a fingerprint, mirrored left-right on demand.
    pub(super) fn of(print: &Fingerprint, mirrored: bool) -> Levels {
        let at = |x: usize, y: usize| f32::from(print.grey[y * SIDE + if mirrored { SIDE - 1 - x } else { x }]);
        let smooth = |x: usize, y: usize, step: (usize, usize)| {
            let before = at(x.saturating_sub(step.0), y.saturating_sub(step.1));
            let after = at((x + step.0).min(SIDE - 1), (y + step.1).min(SIDE - 1));
            (before + 6.0 * at(x, y) + after) / 8.0
        };
        let values =
            (0..SIDE * SIDE).map(|i| (smooth(i % SIDE, i / SIDE, (1, 0)) + smooth(i % SIDE, i / SIDE, (0, 1))) / 2.0);
        Levels(values.collect())
    }

    /// The part inside the window, stretched to the whole.
    pub(super) fn inside(&self, window: Window) -> Vec<f32> {
        if window == [0.0; 4] {
            return self.0.clone();
        }
        let places = |before: f32, after: f32| -> Vec<(usize, f32)> {
            let scale = (1.0 - before - after).max(0.1);
            let place = |i: usize| {
                let at = (before + (i as f32 + 0.5) / SIDE as f32 * scale) * SIDE as f32 - 0.5;
                let at = at.clamp(0.0, (SIDE - 1) as f32);
                let low = (at as usize).min(SIDE - 2);
                (low, at - low as f32)
            };
            (0..SIDE).map(place).collect()
        };
        let (columns, rows) = (places(window[0], window[1]), places(window[2], window[3]));
        let mut values = Vec::with_capacity(SIDE * SIDE);
        for &(y, down) in &rows {
            let (upper, lower) = (&self.0[y * SIDE..(y + 1) * SIDE], &self.0[(y + 1) * SIDE..(y + 2) * SIDE]);
            for &(x, right) in &columns {
                let mix = |row: &[f32]| row[x] + (row[x + 1] - row[x]) * right;
                let (above, below) = (mix(upper), mix(lower));
                values.push(above + (below - above) * down);
            }
        }
        values
    }
}

/// Means, variances and covariance of two lists.
struct Moments {
    means: (f32, f32),
    variances: (f32, f32),
    covariance: f32,
}

fn moments(a: &[f32], b: &[f32]) -> Moments {
    let n = a.len() as f32;
    let means = (a.iter().sum::<f32>() / n, b.iter().sum::<f32>() / n);
    let (mut aa, mut bb, mut ab) = (0f32, 0f32, 0f32);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - means.0, b - means.1);
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    Moments { means, variances: (aa / n, bb / n), covariance: ab / n }
}

impl Moments {
    fn correlation(&self) -> f32 {
        let product = (self.variances.0 * self.variances.1).sqrt();
        if product > 0.0 { (self.covariance / product).min(1.0) } else { 0.0 }
    }
}

/// The correlation of a whole picture with a window of another.
fn correlation(whole: &Levels, other: &Levels, window: Window) -> f32 {
    moments(&whole.0, &other.inside(window)).correlation()
}

/// The window near `start` in which `other` agrees best with the whole of `whole`, and the correlation there. Edges are
/// moved one at a time, as long as that helps.
pub(super) fn best_window(whole: &Levels, other: &Levels, start: Window) -> (Window, f32) {
    let (mut window, mut best) = (start, correlation(whole, other, start));
    for step in STEPS {
        for _round in 0..6 {
            let before = best;
            for edge in 0..4 {
                for by in [step, -step] {
                    let mut moved = window;
                    moved[edge] = (moved[edge] + by).clamp(0.0, MOST_LEFT_OUT);
                    let found = if moved == window { best } else { correlation(whole, other, moved) };
                    if found > best {
                        (window, best) = (moved, found);
                    }
                }
            }
            if best - before < 1e-4 {
                break;
            }
        }
    }
    (window, best)
}

/// How two pictures agree where the second is laid over the first through a window.
pub(super) fn fit(
    whole: (&Fingerprint, &Levels),
    other: (&Fingerprint, &Levels),
    window: Window,
    mirrored: bool,
) -> Fit {
    let inside = other.1.inside(window);
    let found = moments(&whole.1.0, &inside);
    let gain = if found.variances.1 > 0.0 { found.covariance / found.variances.1 } else { 0.0 };
    let left: Vec<f32> =
        whole.1.0.iter().zip(&inside).map(|(a, b)| a - found.means.0 - gain * (b - found.means.1)).collect();
    let mut worst = 0f32;
    for y in 0..=SIDE - PART {
        for x in 0..=SIDE - PART {
            let rows = (y..y + PART).map(|y| &left[y * SIDE + x..y * SIDE + x + PART]);
            worst = worst.max(rows.flatten().map(|left| left * left).sum());
        }
    }
    let worst_part = worst / ((PART * PART) as f32 * found.variances.0.max(1.0));
    Fit {
        correlation: found.correlation(),
        worst_part,
        brighter: found.means.0 - found.means.1,
        gain,
        colour: colour(whole.0, other.0, gain, mirrored),
    }
}

/// The largest difference of colour between fields; windows are small beside a field, so that neighbours are asked too.
fn colour(a: &Fingerprint, b: &Fingerprint, gain: f32, mirrored: bool) -> f32 {
    let gain = gain.clamp(0.5, 2.0);
    let mut worst = 0f32;
    for y in 0..FIELDS {
        for x in 0..FIELDS {
            let of_a = a.colour[y * FIELDS + x].map(f32::from);
            let near = |centre: usize| centre.saturating_sub(1)..=(centre + 1).min(FIELDS - 1);
            let mut least = f32::INFINITY;
            for (v, u) in near(y).flat_map(|v| near(x).map(move |u| (v, u))) {
                let u = if mirrored { FIELDS - 1 - u } else { u };
                let of_b = b.colour[v * FIELDS + u].map(f32::from);
                least = least.min((of_a[0] - gain * of_b[0]).abs().max((of_a[1] - gain * of_b[1]).abs()));
            }
            worst = worst.max(2.0 * least);
        }
    }
    worst
}
