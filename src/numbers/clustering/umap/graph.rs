//! The fuzzy graph: how much each row is a neighbour of each, from the row's own point of view, made symmetric.

use crate::neighbours::Neighbours;
use crate::scale::unit;
use ndarray::ArrayView1;
use rayon::prelude::*;

/// A symmetric sparse matrix of weights in (0, 1], row after row.
#[derive(Debug, Clone, PartialEq)]
pub struct FuzzyGraph {
    /// Entries of row i are `starts[i]..starts[i + 1]`.
    pub starts: Vec<usize>,
    /// Column of each entry, ascending within a row.
    pub columns: Vec<u32>,
    /// Weight of each entry.
    pub weights: Vec<f32>,
}

/// From what distance on (`rho`), and how fast (`sigma`), a row's neighbours count less.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Distance to the nearest other row.
    pub rho: f64,
    /// The weights `exp(-(d - rho) / sigma)` add up to log2(k).
    pub sigma: f64,
}

impl FuzzyGraph {
    /// The fuzzy union a + b - a b of every row's view of its neighbours and theirs of it.
    pub fn new(neighbours: &Neighbours) -> FuzzyGraph {
        let n = neighbours.rows.nrows();
        let scales = scales(neighbours);
        let directed: Vec<Vec<(u32, f64)>> = (0..n)
            .into_par_iter()
            .map(|row| {
                let entries = neighbours.rows.row(row).into_iter().zip(neighbours.distances.row(row));
                let weight = |distance: f64| weight(distance, scales[row]);
                let mut entries: Vec<(u32, f64)> = entries
                    .filter(|&(&other, distance)| other != row && distance.is_finite())
                    .map(|(&other, &distance)| (other as u32, weight(distance)))
                    .collect();
                entries.sort_unstable_by_key(|&(other, _)| other);
                entries
            })
            .collect();
        let mut received: Vec<Vec<(u32, f64)>> = vec![Vec::new(); n];
        for (row, entries) in directed.iter().enumerate() {
            entries.iter().for_each(|&(other, weight)| received[other as usize].push((row as u32, weight)));
        }
        let rows: Vec<Vec<(u32, f64)>> =
            directed.par_iter().zip(&received).map(|(given, received)| union(given, received)).collect();
        FuzzyGraph::from_rows(rows.into_iter().map(|row| row.into_iter().map(|(other, weight)| (other, weight as f32))))
    }

    fn from_rows(rows: impl Iterator<Item = impl Iterator<Item = (u32, f32)>>) -> FuzzyGraph {
        let mut graph = FuzzyGraph { starts: vec![0], columns: Vec::new(), weights: Vec::new() };
        for row in rows {
            for (column, weight) in row.filter(|&(_, weight)| weight > 0.0) {
                graph.columns.push(column);
                graph.weights.push(weight);
            }
            graph.starts.push(graph.columns.len());
        }
        graph
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Columns and weights of a row.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let entries = self.starts[row]..self.starts[row + 1];
        (&self.columns[entries.clone()], &self.weights[entries])
    }

    /// The largest weight; 0 without entries.
    pub fn largest(&self) -> f32 {
        self.weights.iter().copied().fold(0.0, f32::max)
    }

    /// Without the entries that would not come up once in so many epochs.
    pub(super) fn without_rare(&self, n_epochs: usize) -> FuzzyGraph {
        let least = self.largest() / n_epochs as f32;
        FuzzyGraph::from_rows((0..self.len()).map(|row| {
            let (columns, weights) = self.row(row);
            columns.iter().copied().zip(weights.iter().copied()).filter(move |&(_, weight)| weight >= least)
        }))
    }

    /// For each row the number of its connected part, and how many parts there are.
    pub(super) fn parts(&self) -> (Vec<usize>, usize) {
        let mut part = vec![usize::MAX; self.len()];
        let mut n_parts = 0;
        let mut open = Vec::new();
        for first in 0..self.len() {
            if part[first] != usize::MAX {
                continue;
            }
            part[first] = n_parts;
            open.push(first);
            while let Some(row) = open.pop() {
                for &other in self.row(row).0 {
                    if part[other as usize] == usize::MAX {
                        part[other as usize] = n_parts;
                        open.push(other as usize);
                    }
                }
            }
            n_parts += 1;
        }
        (part, n_parts)
    }

    /// The graph among `rows` (ascending) alone, numbered from 0.
    pub(super) fn among(&self, rows: &[usize]) -> FuzzyGraph {
        FuzzyGraph::from_rows(rows.iter().map(|&row| {
            let (columns, weights) = self.row(row);
            columns.iter().zip(weights).filter_map(|(&column, &weight)| {
                rows.binary_search(&(column as usize)).ok().map(|place| (place as u32, weight))
            })
        }))
    }
}

/// Each row's scale, as umap-learn's `smooth_knn_dist` finds it: bisection, 64 steps or until within 1e-5.
pub fn scales(neighbours: &Neighbours) -> Vec<Scale> {
    let finite: Vec<f64> = neighbours.distances.iter().copied().filter(|distance| distance.is_finite()).collect();
    let mean_of_all = finite.iter().sum::<f64>() / finite.len().max(1) as f64;
    // The bisection starts at 1: distances of very different size are brought there by a power of two.
    let unit = f64::from(unit(mean_of_all as f32));
    neighbours
        .distances
        .rows()
        .into_iter()
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|row| match unit {
            1.0 => scale(row, mean_of_all),
            unit => {
                let Scale { rho, sigma } = scale(row.mapv(|x| x * unit).view(), mean_of_all * unit);
                Scale { rho: rho / unit, sigma: sigma / unit }
            }
        })
        .collect()
}

fn scale(distances: ArrayView1<f64>, mean_of_all: f64) -> Scale {
    const TOLERANCE: f64 = 1e-5;
    /// A row of close neighbours still sees as far as this share of the mean distance.
    const LEAST: f64 = 1e-3;
    let target = (distances.len() as f64).log2();
    let rho = distances.iter().copied().find(|&distance| distance > 0.0).unwrap_or(0.0);
    let (mut low, mut high, mut sigma) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..64 {
        let sum: f64 = distances.iter().skip(1).map(|&d| if d > rho { (-(d - rho) / sigma).exp() } else { 1.0 }).sum();
        if (sum - target).abs() < TOLERANCE {
            break;
        }
        if sum > target {
            high = sigma;
            sigma = (low + high) / 2.0;
        } else {
            low = sigma;
            sigma = if high.is_infinite() { sigma * 2.0 } else { (low + high) / 2.0 };
        }
    }
    let mean = if rho > 0.0 { distances.mean().unwrap_or(mean_of_all) } else { mean_of_all };
    Scale { rho, sigma: sigma.max(LEAST * mean) }
}

fn weight(distance: f64, scale: Scale) -> f64 {
    if distance <= scale.rho || scale.sigma == 0.0 { 1.0 } else { (-(distance - scale.rho) / scale.sigma).exp() }
}

/// Two lists sorted by row, as one of a + b - a b.
fn union(given: &[(u32, f64)], received: &[(u32, f64)]) -> Vec<(u32, f64)> {
    let mut union = Vec::with_capacity(given.len() + received.len());
    let (mut given, mut received) = (given.iter().peekable(), received.iter().peekable());
    loop {
        match (given.peek(), received.peek()) {
            (Some(&&(a, weight)), Some(&&(b, other))) => {
                if a == b {
                    union.push((a, weight + other - weight * other));
                }
                if a < b {
                    union.push((a, weight));
                }
                if b < a {
                    union.push((b, other));
                }
                if a <= b {
                    given.next();
                }
                if b <= a {
                    received.next();
                }
            }
            (Some(&&entry), None) | (None, Some(&&entry)) => {
                union.push(entry);
                given.next();
                received.next();
            }
            (None, None) => return union,
        }
    }
}
