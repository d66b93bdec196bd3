//! The map's gradient descent: rows that are neighbours attract each other, random pairs repel.
//!
//! Every edge comes up as often as its weight says and moves both its ends, and five random rows push its head away each
//! time, as in umap-learn. There threads race, so that a seed fixes the map on one thread alone. Here rows are dealt to a
//! fixed number of blocks, and every epoch is a tournament: in each round every block meets one other (or itself), and a
//! pair's edges are worked off by one thread, one after another, while nobody else moves its rows. Random rows from
//! other blocks stand where they stood when the round began. The map is the same on any number of threads.

use super::graph::FuzzyGraph;
use crate::simd::{Kernel, dispatch, multiply_add};
use ndarray::Array2;
use rayon::prelude::*;

const BLOCKS: usize = 16;
const NEGATIVES: f32 = 5.0;
/// Random rows whose pushes are computed side by side.
const LANES: usize = 8;
/// Longest single step in one direction before the learning rate.
const CLIP: f32 = 4.0;

type Place = [f32; 2];

/// Moves `places` for `n_epochs`, with `(a, b)` of the curve.
pub(super) fn optimise(
    places: Vec<Place>,
    graph: &FuzzyGraph,
    curve: (f64, f64),
    n_epochs: usize,
    seed: u64,
) -> Array2<f32> {
    let n = places.len();
    let forces = Forces { a: curve.0 as f32, b: curve.1 as f32 };
    let rounds = rounds(graph);
    let mut places = places;
    // Row i is in block i % BLOCKS, there at i / BLOCKS.
    let mut blocks: Vec<Vec<Place>> =
        (0..BLOCKS).map(|block| places.iter().skip(block).step_by(BLOCKS).copied().collect()).collect();
    for epoch in 0..n_epochs {
        let step = 1.0 - epoch as f32 / n_epochs as f32;
        for (round, games) in rounds.iter().enumerate() {
            let mut tables: Vec<(&Game, Vec<Place>, Vec<Place>)> = games
                .iter()
                .map(|game| (game, std::mem::take(&mut blocks[game.a]), std::mem::take(&mut blocks[game.b])))
                .collect();
            tables.par_iter_mut().for_each(|(game, a, b)| {
                let draws = Draws::new(seed, (epoch * rounds.len() + round) as u64, game.a as u64);
                dispatch(Play { game, a, b, places: &places, forces, step, epoch, draws });
            });
            for (game, a, b) in tables {
                // A block that met itself sat at the first place.
                for (block, moved) in [(game.b, b), (game.a, a)] {
                    if block != game.a || !moved.is_empty() {
                        moved.iter().enumerate().for_each(|(i, &place)| places[i * BLOCKS + block] = place);
                        blocks[block] = moved;
                    }
                }
            }
        }
    }
    Array2::from_shape_fn((n, 2), |(row, axis)| places[row][axis])
}

/// An edge between rows of the two blocks that meet.
#[derive(Debug, Clone, Copy)]
struct Edge {
    head: u32,
    tail: u32,
    /// Its weight over the largest: how often it comes up an epoch.
    rate: f32,
}

/// Two blocks, or one twice, with the edges between them.
#[derive(Debug, Clone)]
struct Game {
    a: usize,
    b: usize,
    edges: Vec<Edge>,
}

/// Every pair of blocks once, in rounds in which no block sits twice (the circle method), and a round of each by itself.
fn rounds(graph: &FuzzyGraph) -> Vec<Vec<Game>> {
    let largest = graph.largest();
    let mut edges: Vec<Vec<Edge>> = vec![Vec::new(); BLOCKS * BLOCKS];
    for row in 0..graph.len() {
        let (columns, weights) = graph.row(row);
        for (&column, &weight) in columns.iter().zip(weights) {
            let (a, b) = (row % BLOCKS, column as usize % BLOCKS);
            edges[a.min(b) * BLOCKS + a.max(b)].push(Edge { head: row as u32, tail: column, rate: weight / largest });
        }
    }
    let mut game = |a: usize, b: usize| {
        let (a, b) = (a.min(b), a.max(b));
        Game { a, b, edges: std::mem::take(&mut edges[a * BLOCKS + b]) }
    };
    let mut rounds = vec![(0..BLOCKS).map(|block| game(block, block)).collect::<Vec<Game>>()];
    let circle = BLOCKS - 1;
    for round in 0..circle {
        let mut games = vec![game(circle, round)];
        games.extend((1..BLOCKS / 2).map(|i| game((round + i) % circle, (round + circle - i) % circle)));
        rounds.push(games);
    }
    rounds
}

/// One game in one epoch. A block that meets itself has all its rows in `a`.
struct Play<'a> {
    game: &'a Game,
    a: &'a mut [Place],
    b: &'a mut [Place],
    /// All rows, as they stood when the round began.
    places: &'a [Place],
    forces: Forces,
    step: f32,
    epoch: usize,
    draws: Draws,
}

impl Play<'_> {
    #[inline(always)]
    fn place(&mut self, row: usize) -> &mut Place {
        let (block, i) = (row % BLOCKS, row / BLOCKS);
        if block == self.game.a { &mut self.a[i] } else { &mut self.b[i] }
    }

    /// Where a row stands now, or stood when the round began if it is of neither block.
    #[inline(always)]
    fn seen(&self, row: usize) -> Place {
        match row % BLOCKS {
            block if block == self.game.a => self.a[row / BLOCKS],
            block if block == self.game.b => self.b[row / BLOCKS],
            _ => self.places[row],
        }
    }
}

impl Kernel for Play<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let (game, n) = (self.game, self.places.len());
        for edge in &game.edges {
            let Some(mut left) = negatives(self.epoch, edge.rate) else { continue };
            let (head, tail) = (edge.head as usize, edge.tail as usize);
            let (mut here, there) = (*self.place(head), *self.place(tail));
            let pull = self.forces.attract::<FMA>(here, there);
            here = [here[0] + self.step * pull[0], here[1] + self.step * pull[1]];
            *self.place(tail) = [there[0] - self.step * pull[0], there[1] - self.step * pull[1]];
            while left > 0 {
                let (mut far, mut active) = ([[0f32; 2]; LANES], [0f32; LANES]);
                for lane in 0..LANES.min(left) {
                    let row = self.draws.below(n);
                    far[lane] = self.seen(row);
                    active[lane] = if row == head { 0.0 } else { 1.0 };
                }
                let push = self.forces.repel::<FMA>(here, &far, &active);
                here = [here[0] + self.step * push[0], here[1] + self.step * push[1]];
                left -= LANES.min(left);
            }
            *self.place(head) = here;
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

/// A small generator (xorshift) whose start is a hash (splitmix64) of seed, round and game.
struct Draws(u64);

impl Draws {
    #[inline(always)]
    fn new(seed: u64, round: u64, game: u64) -> Draws {
        let mix = |x: u64| {
            let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        Draws(mix(mix(mix(seed) ^ round) ^ game) | 1)
    }

    #[inline(always)]
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * n as u64) >> 32) as usize
    }
}
