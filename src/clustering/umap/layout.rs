//! The map's gradient descent: rows that are neighbours attract each other, random pairs repel.
//!
//! Every edge comes up as often as its weight says, and five random rows push its head away each time, as in umap-learn.
//! There both ends of an edge move at once, so threads race and a seed does not fix the map. Here a row alone moves
//! itself: once as the head and once as the tail of each of its edges (the graph is symmetric, so both are its own).
//! Rows move in a fixed number of groups, one group after another; within a group all see the places from before its
//! turn. Every row draws from a generator of its own for each epoch: the map is the same on any number of threads.

use super::graph::FuzzyGraph;
use crate::simd::{Kernel, dispatch, multiply_add};
use ndarray::Array2;
use rayon::prelude::*;

const GROUPS: usize = 16;
const NEGATIVES: f32 = 5.0;
/// Random rows whose pushes are computed side by side.
const LANES: usize = 8;
/// Longest single step in one direction before the learning rate.
const CLIP: f32 = 4.0;

/// Moves `places` for `n_epochs`, with `(a, b)` of the curve.
pub(super) fn optimise(
    places: Vec<[f32; 2]>,
    graph: &FuzzyGraph,
    curve: (f64, f64),
    n_epochs: usize,
    seed: u64,
) -> Array2<f32> {
    const CHUNK: usize = 64;
    let n = places.len();
    let largest = graph.largest();
    let rates: Vec<f32> = graph.weights.iter().map(|weight| weight / largest).collect();
    let forces = Forces { a: curve.0 as f32, b: curve.1 as f32 };
    let mut places = places;
    let mut moved = vec![[0f32; 2]; n.div_ceil(GROUPS)];
    for epoch in 0..n_epochs {
        let step = 1.0 - epoch as f32 / n_epochs as f32;
        for group in 0..GROUPS.min(n) {
            let members = (n - group).div_ceil(GROUPS);
            let chunks = moved[..members].par_chunks_mut(CHUNK).enumerate();
            chunks.for_each(|(chunk, moved)| {
                let first = group + chunk * CHUNK * GROUPS;
                dispatch(Turns { first, moved, places: &places, graph, rates: &rates, forces, step, epoch, seed });
            });
            moved[..members].iter().enumerate().for_each(|(member, &place)| places[group + member * GROUPS] = place);
        }
    }
    Array2::from_shape_fn((n, 2), |(row, axis)| places[row][axis])
}

/// The rows `first`, `first + GROUPS`, ... in one epoch; `moved` gets their new places.
struct Turns<'a> {
    first: usize,
    moved: &'a mut [[f32; 2]],
    places: &'a [[f32; 2]],
    graph: &'a FuzzyGraph,
    rates: &'a [f32],
    forces: Forces,
    step: f32,
    epoch: usize,
    seed: u64,
}

impl Kernel for Turns<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let places = self.places;
        for (member, moved) in self.moved.iter_mut().enumerate() {
            let row = self.first + member * GROUPS;
            let mut draws = Draws::new(self.seed, self.epoch as u64, row as u64);
            let entries = self.graph.starts[row]..self.graph.starts[row + 1];
            let mut here = places[row];
            for (&rate, &other) in self.rates[entries.clone()].iter().zip(&self.graph.columns[entries]) {
                let Some(n_negatives) = negatives(self.epoch, rate) else { continue };
                let there = places[other as usize];
                let pull = self.forces.attract::<FMA>(here, there);
                here = [here[0] + self.step * pull[0], here[1] + self.step * pull[1]];
                // The random rows push together, beside the second pull, all from the same place.
                let mut sum = self.forces.attract::<FMA>(here, there);
                let mut left = n_negatives;
                while left > 0 {
                    let mut far = [[0f32; 2]; LANES];
                    let mut active = [0f32; LANES];
                    for lane in 0..LANES.min(left) {
                        let drawn = draws.below(places.len());
                        far[lane] = places[drawn];
                        active[lane] = if drawn == row { 0.0 } else { 1.0 };
                    }
                    let push = self.forces.repel::<FMA>(here, &far, &active);
                    sum = [sum[0] + push[0], sum[1] + push[1]];
                    left -= LANES.min(left);
                }
                here = [here[0] + self.step * sum[0], here[1] + self.step * sum[1]];
            }
            *moved = here;
        }
    }
}

/// The number of random rows that go with an edge in this epoch; none where the edge does not come up. An edge of rate
/// r (its weight over the largest) comes up whenever r times the epoch passes a whole number.
#[inline(always)]
fn negatives(epoch: usize, rate: f32) -> Option<usize> {
    let times = |epoch: usize| (epoch as f32 * rate) as u32;
    if epoch == 0 || times(epoch) == times(epoch - 1) {
        return None;
    }
    // Draws up to an epoch: five for each whole time, less the one that umap-learn's count starts late by.
    let up_to = |epoch: f32| (NEGATIVES * epoch * rate) as u32;
    let earlier = times(epoch) - 1;
    let before = if earlier == 0 { 1 } else { up_to((earlier as f32 / rate).ceil()) };
    Some(up_to(epoch as f32).saturating_sub(before) as usize)
}

/// Attraction and repulsion of two places under the curve 1 / (1 + a d^2b), before the learning rate.
#[derive(Debug, Clone, Copy)]
struct Forces {
    a: f32,
    b: f32,
}

impl Forces {
    #[inline(always)]
    fn attract<const FMA: bool>(&self, here: [f32; 2], there: [f32; 2]) -> [f32; 2] {
        let (x, y) = (here[0] - there[0], here[1] - there[1]);
        let square = x * x + y * y;
        if square == 0.0 {
            return [0.0; 2];
        }
        let power = pow::<FMA>(square, self.b);
        let pull = -2.0 * self.a * self.b * power / (square * (self.a * power + 1.0));
        [(pull * x).clamp(-CLIP, CLIP), (pull * y).clamp(-CLIP, CLIP)]
    }

    /// The sum of the pushes of the `active` (1, others 0) places of `far`.
    #[inline(always)]
    fn repel<const FMA: bool>(&self, here: [f32; 2], far: &[[f32; 2]; LANES], active: &[f32; LANES]) -> [f32; 2] {
        let (mut xs, mut ys) = ([0f32; LANES], [0f32; LANES]);
        for lane in 0..LANES {
            let (x, y) = (here[0] - far[lane][0], here[1] - far[lane][1]);
            let square = x * x + y * y;
            let power = pow::<FMA>(square, self.b);
            let push = active[lane] * 2.0 * self.b / ((0.001 + square) * (self.a * power + 1.0));
            xs[lane] = (push * x).clamp(-CLIP, CLIP);
            ys[lane] = (push * y).clamp(-CLIP, CLIP);
        }
        [xs.iter().sum(), ys.iter().sum()]
    }
}

/// x^b for x of 0 and above (of which the smallest count as 1e-38), to about 1e-5 relative, by polynomials for the
/// logarithm and the power of two.
#[inline(always)]
fn pow<const FMA: bool>(x: f32, b: f32) -> f32 {
    let bits = (if x > f32::MIN_POSITIVE { x } else { f32::MIN_POSITIVE }).to_bits();
    let exponent = ((bits >> 23) as i32 - 127) as f32;
    let fraction = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000);
    // log2 of 1 ..= 2 through atanh: with t = (m - 1) / (m + 1), log2 m = 2 / ln 2 (t + t^3 / 3 + t^5 / 5 + ...).
    let t = (fraction - 1.0) / (fraction + 1.0);
    let square = t * t;
    let mut series = 0.32;
    for coefficient in [0.412_198_6, 0.577_078_04, 0.961_796_7, 2.885_390_1] {
        series = multiply_add::<FMA>(series, square, coefficient);
    }
    let power = b * multiply_add::<FMA>(t, series, exponent);
    let power = if power < -126.0 { -126.0 } else { power };
    let power = if power > 126.0 { 126.0 } else { power };
    let whole = (power + 128.0) as i32 - 128;
    let rest = power - whole as f32;
    let mut series = 0.000_154;
    for coefficient in [0.001_333_4, 0.009_618_1, 0.055_504_1, 0.240_226_5, 0.693_147_2, 1.0] {
        series = multiply_add::<FMA>(series, rest, coefficient);
    }
    f32::from_bits(((whole + 127) as u32) << 23) * series
}

/// A small generator (xorshift) whose start is a hash (splitmix64) of seed, epoch and row.
struct Draws(u64);

impl Draws {
    #[inline(always)]
    fn new(seed: u64, epoch: u64, row: u64) -> Draws {
        let mix = |x: u64| {
            let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        Draws(mix(mix(mix(seed) ^ epoch) ^ row) | 1)
    }

    #[inline(always)]
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * n as u64) >> 32) as usize
    }
}
