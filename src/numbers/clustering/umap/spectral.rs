//! The start of a map: the eigenvectors of the graph's normalised Laplacian next to the constant one.
//!
//! They are the largest eigenvectors of D^-1/2 W D^-1/2, found by subspace iteration with a Chebyshev filter (Zhou and
//! Saad 2007), which only multiplies with the sparse matrix. Parts of a graph that do not hang together are laid out
//! one by one around places of their own, as in umap-learn (its places of many parts come from a spectral embedding of
//! their centroids, ours from the centroids' first two principal components).

use super::graph::FuzzyGraph;
use crate::random::Random;
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Vectors iterated together: the constant one, the two wanted, and some that speed these up.
const WIDTH: usize = 8;
const WANTED: usize = 3;
const DEGREE: usize = 20;
const MOST_ROUNDS: usize = 40;
const TOLERANCE: f64 = 1e-3;
/// Extent of the start, as umap-learn's.
const EXTENT: f64 = 10.0;

type Block = Vec<[f64; WIDTH]>;

/// Places `(N, 2)` between 0 and 10 in both directions.
pub(super) fn start(graph: &FuzzyGraph, features: ArrayView2<f32>, seed: u64) -> Vec<[f32; 2]> {
    let mut random = Random::new("umap start", seed, 0);
    let (part, n_parts) = graph.parts();
    let mut places = match n_parts {
        1 => eigenvectors(graph, &mut random),
        _ => by_parts(graph, features, &part, n_parts, &mut random),
    };
    let largest = places.iter().flatten().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let scale = if largest > 0.0 { EXTENT / largest } else { 0.0 };
    for x in places.iter_mut().flatten() {
        *x = *x * scale + 1e-4 * normal(&mut random);
    }
    for axis in 0..2 {
        let low = places.iter().map(|place| place[axis]).fold(f64::INFINITY, f64::min);
        let high = places.iter().map(|place| place[axis]).fold(f64::NEG_INFINITY, f64::max);
        places.iter_mut().for_each(|place| place[axis] = EXTENT * (place[axis] - low) / (high - low));
    }
    places.into_iter().map(|[x, y]| [x as f32, y as f32]).collect()
}

/// A draw from the normal distribution (Box and Muller).
fn normal(random: &mut Random) -> f64 {
    let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.unit()).cos()
}

fn by_parts(
    graph: &FuzzyGraph,
    features: ArrayView2<f32>,
    part: &[usize],
    n_parts: usize,
    random: &mut Random,
) -> Vec<[f64; 2]> {
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); n_parts];
    part.iter().enumerate().for_each(|(row, &part)| members[part].push(row));
    let centres = match n_parts {
        2..=4 => [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]][..n_parts].to_vec(),
        _ => principal(&centroids(features, &members), random),
    };
    let mut places = vec![[0.0; 2]; graph.len()];
    for (number, rows) in members.iter().enumerate() {
        let gap = |other: &[f64; 2]| (centres[number][0] - other[0]).hypot(centres[number][1] - other[1]);
        let nearest = centres.iter().map(gap).filter(|&gap| gap > 0.0).fold(f64::INFINITY, f64::min);
        let extent = if nearest.is_finite() { nearest / 2.0 } else { 1.0 };
        let inside = match rows.len() {
            ..=4 => rows.iter().map(|_| [(); 2].map(|()| 2.0 * random.unit() - 1.0)).collect(),
            _ => eigenvectors(&graph.among(rows), random),
        };
        let largest = inside.iter().flatten().fold(1e-300, |largest: f64, x| largest.max(x.abs()));
        for (&row, inside) in rows.iter().zip(&inside) {
            places[row] = [0, 1].map(|axis| centres[number][axis] + extent * inside[axis] / largest);
        }
    }
    places
}

fn centroids(features: ArrayView2<f32>, members: &[Vec<usize>]) -> Array2<f64> {
    let mut centroids = Array2::zeros((members.len(), features.ncols()));
    for (mut centroid, rows) in centroids.rows_mut().into_iter().zip(members) {
        for &row in rows {
            centroid.zip_mut_with(&features.row(row), |sum, &x| *sum += f64::from(x));
        }
        centroid /= rows.len() as f64;
    }
    centroids
}

/// The first two principal components of rows, the largest value 1.
fn principal(rows: &Array2<f64>, random: &mut Random) -> Vec<[f64; 2]> {
    let mean = rows.sum_axis(Axis(0)) / rows.nrows() as f64;
    let rows = rows - &mean;
    let mut axes = Array2::from_shape_fn((rows.ncols(), 2), |_| normal(random));
    for _ in 0..100 {
        axes = rows.t().dot(&rows.dot(&axes));
        let first = axes.column(0).to_owned();
        let square = first.dot(&first).max(1e-300);
        let along = first.dot(&axes.column(1)) / square;
        axes.column_mut(1).scaled_add(-along, &first);
        for mut axis in axes.columns_mut() {
            let norm = axis.dot(&axis).sqrt().max(1e-300);
            axis /= norm;
        }
    }
    let places = rows.dot(&axes);
    let largest = places.iter().fold(1e-300, |largest: f64, x| largest.max(x.abs()));
    places.rows().into_iter().map(|place| [place[0] / largest, place[1] / largest]).collect()
}

/// The second and third eigenvector of a connected graph with at least four rows.
fn eigenvectors(graph: &FuzzyGraph, random: &mut Random) -> Vec<[f64; 2]> {
    let degree = |row: usize| graph.row(row).1.iter().map(|&weight| f64::from(weight)).sum::<f64>();
    let scale: Vec<f64> = (0..graph.len()).map(|row| 1.0 / degree(row).max(1e-300).sqrt()).collect();
    let mut block: Block = (0..graph.len()).map(|_| [(); WIDTH].map(|()| normal(random))).collect();
    // The constant vector of the Laplacian is known.
    block.iter_mut().zip(&scale).for_each(|(row, scale)| row[0] = 1.0 / scale);
    orthonormalise(&mut block, random);
    let mut values = ritz(graph, &scale, &mut block);
    for _ in 0..MOST_ROUNDS {
        if residual(graph, &scale, &block, &values) < TOLERANCE {
            break;
        }
        filter(graph, &scale, &mut block, values[WIDTH - 1].clamp(-0.9, 0.999_999));
        orthonormalise(&mut block, random);
        values = ritz(graph, &scale, &mut block);
    }
    block.iter().map(|row| [row[1], row[2]]).collect()
}

/// `D^-1/2 W D^-1/2 x`.
fn apply(graph: &FuzzyGraph, scale: &[f64], x: &Block) -> Block {
    let row = |row: usize| {
        let (columns, weights) = graph.row(row);
        let mut sum = [0.0; WIDTH];
        for (&column, &weight) in columns.iter().zip(weights) {
            let factor = f64::from(weight) * scale[row] * scale[column as usize];
            let other = &x[column as usize];
            for lane in 0..WIDTH {
                sum[lane] += factor * other[lane];
            }
        }
        sum
    };
    (0..graph.len()).into_par_iter().with_min_len(512).map(row).collect()
}

/// A Chebyshev polynomial that is small on -1 ..= `bound` and grows fast beyond.
fn filter(graph: &FuzzyGraph, scale: &[f64], block: &mut Block, bound: f64) {
    let (half, centre) = ((bound + 1.0) / 2.0, (bound - 1.0) / 2.0);
    let step = |x: &Block, before: Option<&Block>| {
        let mut y = apply(graph, scale, x);
        y.par_iter_mut().enumerate().with_min_len(512).for_each(|(row, y)| {
            for lane in 0..WIDTH {
                let shifted = (y[lane] - centre * x[row][lane]) / half;
                y[lane] = before.map_or(shifted, |before| 2.0 * shifted - before[row][lane]);
            }
        });
        y
    };
    let mut before = std::mem::take(block);
    let mut now = step(&before, None);
    for _ in 1..DEGREE {
        let next = step(&now, Some(&before));
        before = std::mem::replace(&mut now, next);
    }
    *block = now;
}

/// Gram and Schmidt, twice; a vector that vanishes is drawn anew.
fn orthonormalise(block: &mut Block, random: &mut Random) {
    let dot = |block: &Block, a: usize, b: usize| block.iter().map(|row| row[a] * row[b]).sum::<f64>();
    for lane in 0..WIDTH {
        for attempt in 0..3 {
            let before = dot(block, lane, lane).sqrt();
            for _ in 0..2 {
                for other in 0..lane {
                    let along = dot(block, lane, other);
                    block.iter_mut().for_each(|row| row[lane] -= along * row[other]);
                }
            }
            let norm = dot(block, lane, lane).sqrt();
            if norm > 1e-10 * before && norm.is_finite() {
                block.iter_mut().for_each(|row| row[lane] /= norm);
                break;
            }
            let fresh = attempt < 2;
            block.iter_mut().for_each(|row| row[lane] = if fresh { normal(random) } else { 0.0 });
        }
    }
}

/// Turns the block into the best approximate eigenvectors in its span, largest first; gives their values.
fn ritz(graph: &FuzzyGraph, scale: &[f64], block: &mut Block) -> [f64; WIDTH] {
    let image = apply(graph, scale, block);
    let mut small = [[0.0; WIDTH]; WIDTH];
    for (row, image) in block.iter().zip(&image) {
        for a in 0..WIDTH {
            for b in 0..WIDTH {
                small[a][b] += row[a] * image[b];
            }
        }
    }
    let (values, vectors) = symmetric_eigen(small);
    let mut order: Vec<usize> = (0..WIDTH).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    for row in block.iter_mut() {
        let old = *row;
        for (lane, &from) in order.iter().enumerate() {
            row[lane] = (0..WIDTH).map(|k| old[k] * vectors[k][from]).sum();
        }
    }
    std::array::from_fn(|lane| values[order[lane]])
}

/// The largest residual |A v - value v| of the wanted vectors.
fn residual(graph: &FuzzyGraph, scale: &[f64], block: &Block, values: &[f64; WIDTH]) -> f64 {
    let image = apply(graph, scale, block);
    let mut squares = [0.0; WANTED];
    for (row, image) in block.iter().zip(&image) {
        for lane in 0..WANTED {
            squares[lane] += (image[lane] - values[lane] * row[lane]).powi(2);
        }
    }
    squares.into_iter().fold(0.0, f64::max).sqrt()
}

/// Eigenvalues and eigenvectors (columns) of a small symmetric matrix, by Jacobi's rotations.
fn symmetric_eigen(mut a: [[f64; WIDTH]; WIDTH]) -> ([f64; WIDTH], [[f64; WIDTH]; WIDTH]) {
    let mut vectors = [[0.0; WIDTH]; WIDTH];
    (0..WIDTH).for_each(|i| vectors[i][i] = 1.0);
    for _ in 0..60 {
        for p in 0..WIDTH {
            for q in p + 1..WIDTH {
                if a[p][q].abs() < 1e-300 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = tangent * cosine;
                for k in 0..WIDTH {
                    (a[k][p], a[k][q]) = (cosine * a[k][p] - sine * a[k][q], sine * a[k][p] + cosine * a[k][q]);
                }
                for k in 0..WIDTH {
                    (a[p][k], a[q][k]) = (cosine * a[p][k] - sine * a[q][k], sine * a[p][k] + cosine * a[q][k]);
                }
                for row in &mut vectors {
                    (row[p], row[q]) = (cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]);
                }
            }
        }
    }
    (std::array::from_fn(|i| a[i][i]), vectors)
}
