//! An approximate neighbour graph for sets too large for N^2 products: random projection trees for a start, then
//! neighbours of neighbours until little changes (Dong, Moses and Li 2011, "Efficient k-nearest neighbor graph
//! construction for generic similarity measures"; Dasgupta and Freund 2008 for the trees).
//!
//! pynndescent, which umap-learn uses, updates both ends of a compared pair at once, so that its result depends on the
//! order of threads. Here a row's list is only ever written by the row itself, from what all lists were before the
//! round: the graph is the same for a seed on any number of threads.

use super::{Neighbours, check_features, check_k};
use crate::error::Result;
use crate::random::Random;
use crate::scale::{largest_of, unit};
use crate::simd::{Kernel, dispatch};
use ndarray::{ArcArray2, Array2};
use rayon::prelude::*;

const N_TREES: usize = 8;
const LEAF: usize = 60;
const MOST_ROUNDS: usize = 12;
/// Kept beyond k while searching.
const SPARE: usize = 5;
/// A round that improves fewer than this share of all entries is the last.
const ENOUGH: f64 = 0.002;

/// One entry of a list: squared distance, row, and whether it came in the last round.
type Entry<T> = (T, u32, bool);

/// Squared distances in f32, or in f64 where those would overflow or vanish.
trait Apart: Copy + PartialOrd + Send + Sync {
    fn squared(a: &[f32], b: &[f32]) -> Self;
}

impl Apart for f32 {
    fn squared(a: &[f32], b: &[f32]) -> f32 {
        squared_distance(a, b)
    }
}

impl Apart for f64 {
    fn squared(a: &[f32], b: &[f32]) -> f64 {
        crate::products::squared_distance(a, b)
    }
}

/// The `k` nearest rows of every row by Euclidean distance, itself first, nearly all of them right (97 of 100
/// on 20,000 rows like image features).
///
/// # Errors
/// Features that are empty or not finite, k = 0, or k above the number of rows.
pub fn approximate_graph(features: &ArcArray2<f32>, k: usize, seed: u64) -> Result<Neighbours> {
    check_features("features", features.view())?;
    check_k(k, features.nrows())?;
    let rows = Rows { values: features.as_standard_layout().into_owned().into_shared() };
    let in_band = features.rows().into_iter().all(|row| unit(largest_of(row)) == 1.0);
    Ok(if in_band { graph::<f32>(&rows, k, seed) } else { graph::<f64>(&rows, k, seed) })
}

fn graph<T: Apart>(rows: &Rows, k: usize, seed: u64) -> Neighbours {
    let n = rows.len();
    let keep = (k + SPARE).min(n) - 1;
    let mut lists: Vec<Vec<Entry<T>>> = vec![Vec::with_capacity(keep + 1); n];
    let trees: Vec<Vec<Vec<u32>>> =
        (0..N_TREES).into_par_iter().map(|tree| rows.tree::<T>(seed, tree as u64)).collect();
    for leaves in &trees {
        let mut leaf_of = vec![0u32; n];
        for (number, leaf) in leaves.iter().enumerate() {
            leaf.iter().for_each(|&row| leaf_of[row as usize] = number as u32);
        }
        lists.par_iter_mut().enumerate().for_each(|(row, list)| {
            let others = leaves[leaf_of[row] as usize].iter().copied();
            rows.improve(row, list, keep, others);
        });
    }
    for _ in 0..MOST_ROUNDS {
        let (next, improved) = round(rows, &lists, keep);
        lists = next;
        if (improved as f64) < ENOUGH * (n * keep) as f64 {
            break;
        }
    }
    let entry = |row: usize, i: usize| match i {
        0 => (row, 0.0),
        _ => lists[row].get(i - 1).map_or((row, f64::INFINITY), |&(_, other, _)| {
            (other as usize, crate::products::squared_distance(rows.row(row), rows.row(other as usize)).sqrt())
        }),
    };
    Neighbours {
        rows: Array2::from_shape_fn((n, k), |(row, i)| entry(row, i).0),
        distances: Array2::from_shape_fn((n, k), |(row, i)| entry(row, i).1),
    }
}

/// Every row looks at the neighbours of its neighbours, in either direction, where one of the two steps is new.
fn round<T: Apart>(rows: &Rows, lists: &[Vec<Entry<T>>], keep: usize) -> (Vec<Vec<Entry<T>>>, usize) {
    let around = both_ways(lists, keep);
    let improved: Vec<(Vec<Entry<T>>, usize)> = (0..lists.len())
        .into_par_iter()
        .map_init(Vec::new, |candidates: &mut Vec<u32>, row| {
            candidates.clear();
            for &(via, first_is_new) in &around[row] {
                for &(other, second_is_new) in &around[via as usize] {
                    if (first_is_new || second_is_new) && other as usize != row {
                        candidates.push(other);
                    }
                }
            }
            candidates.sort_unstable();
            candidates.dedup();
            let mut list: Vec<Entry<T>> =
                lists[row].iter().map(|&(distance, other, _)| (distance, other, false)).collect();
            let improved = rows.improve(row, &mut list, keep, candidates.iter().copied());
            (list, improved)
        })
        .collect();
    let total = improved.iter().map(|(_, improved)| improved).sum();
    (improved.into_iter().map(|(list, _)| list).collect(), total)
}

/// For each row the rows in its list and some rows in whose list it is, with whether that is new.
fn both_ways<T: Apart>(lists: &[Vec<Entry<T>>], most: usize) -> Vec<Vec<(u32, bool)>> {
    let mut around: Vec<Vec<(u32, bool)>> =
        lists.par_iter().map(|list| list.iter().map(|&(_, other, new)| (other, new)).collect()).collect();
    let mut taken = vec![0usize; lists.len()];
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    // Nearest first, so that what is left out of a crowded row is what is far.
    for place in 0..longest {
        for (row, list) in lists.iter().enumerate() {
            if let Some(&(_, other, new)) = list.get(place) {
                let other = other as usize;
                if taken[other] < most {
                    taken[other] += 1;
                    around[other].push((row as u32, new));
                }
            }
        }
    }
    around
}

struct Rows {
    values: ArcArray2<f32>,
}

impl Rows {
    fn len(&self) -> usize {
        self.values.nrows()
    }

    fn row(&self, row: usize) -> &[f32] {
        let width = self.values.ncols();
        &self.values.as_slice().unwrap_or(&[])[row * width..(row + 1) * width]
    }

    /// Puts those of `others` into the sorted list of `row` that are nearer than its last; counts them.
    fn improve<T: Apart>(
        &self,
        row: usize,
        list: &mut Vec<Entry<T>>,
        keep: usize,
        others: impl Iterator<Item = u32>,
    ) -> usize {
        let mut improved = 0;
        for other in others {
            if other as usize == row {
                continue;
            }
            let distance = T::squared(self.row(row), self.row(other as usize));
            let full = list.len() == keep;
            if full && list.last().is_some_and(|last| (distance, other) >= (last.0, last.1)) {
                continue;
            }
            let place = list.partition_point(|entry| (entry.0, entry.1) < (distance, other));
            if list.get(place).is_some_and(|entry| entry.1 == other) {
                continue;
            }
            if full {
                list.pop();
            }
            list.insert(place, (distance, other, true));
            improved += 1;
        }
        improved
    }

    /// The leaves of a tree: rows are split by which of two random rows is nearer, until few are left.
    fn tree<T: Apart>(&self, seed: u64, number: u64) -> Vec<Vec<u32>> {
        let mut random = Random::new("projection tree", seed, number);
        let mut leaves = Vec::new();
        let mut open = vec![(0..self.len() as u32).collect::<Vec<u32>>()];
        while let Some(rows) = open.pop() {
            if rows.len() <= LEAF {
                leaves.push(rows);
                continue;
            }
            let (a, b) = (rows[random.below(rows.len())], rows[random.below(rows.len())]);
            let (a, b) = (self.row(a as usize), self.row(b as usize));
            let nearer_a = |&row: &u32| {
                let row = self.row(row as usize);
                T::squared(row, a) < T::squared(row, b)
            };
            let (left, right): (Vec<u32>, Vec<u32>) = rows.iter().copied().partition(nearer_a);
            if left.len().min(right.len()) < rows.len() / 50 {
                // A lopsided cut (equal rows, or an outlier drawn): any halves do.
                let mut rows = rows;
                random.shuffle(&mut rows);
                let half = rows.split_off(rows.len() / 2);
                open.extend([rows, half]);
            } else {
                open.extend([left, right]);
            }
        }
        leaves
    }
}

struct SquaredDistance<'a> {
    a: &'a [f32],
    b: &'a [f32],
    sum: &'a mut f32,
}

impl Kernel for SquaredDistance<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        const LANES: usize = 32;
        let mut lanes = [0f32; LANES];
        let (a_chunks, b_chunks) = (self.a.chunks_exact(LANES), self.b.chunks_exact(LANES));
        let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| (a - b) * (a - b)).sum();
        for (a, b) in a_chunks.zip(b_chunks) {
            for lane in 0..LANES {
                let difference = a[lane] - b[lane];
                lanes[lane] += difference * difference;
            }
        }
        *self.sum = lanes.iter().sum::<f32>() + rest;
    }
}

fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut sum = 0.0;
    dispatch(SquaredDistance { a, b, sum: &mut sum });
    sum
}
