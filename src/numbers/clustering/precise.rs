//! k-means in f64 throughout, for rows whose groups are so far apart that f32 products lose what lies within a group:
//! the same starts and iterations, with every distance from differences. Slower, and seldom needed.
//!
//! It goes by the features as they came. Their mean is not taken off: it may lie so far from every group that even a
//! difference in f64 would lose digits, while differences from a centre within the group keep them.

use super::kmeans::KMeans;
use crate::random::Random;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;

/// The model of such a fit.
pub(super) fn model(features: ArrayView2<f32>, centres: Array2<f64>, iterations: usize, converged: bool) -> KMeans {
    let found = assigned(features, &centres);
    KMeans {
        centres: centres.mapv(|x| x as f32),
        inertia: found.iter().map(|(_, square)| square).sum(),
        labels: found.into_iter().map(|(label, _)| label).collect(),
        iterations,
        converged,
        exact: Some(centres),
    }
}

fn squared(row: ArrayView1<f32>, centre: ArrayView1<f64>) -> f64 {
    row.iter().zip(centre).map(|(&x, c)| (f64::from(x) - c).powi(2)).sum()
}

/// The nearest of `centres`, the first of equals, and the squared distance to it.
pub(super) fn nearest(row: ArrayView1<f32>, centres: &Array2<f64>) -> (u32, f64) {
    let mut best = (0, f64::INFINITY);
    for (number, centre) in centres.rows().into_iter().enumerate() {
        let square = squared(row, centre);
        if square < best.1 {
            best = (number as u32, square);
        }
    }
    best
}

/// A start: k-means++ with the best of 2 + ln k draws a step (`seeding.rs`), then Lloyd's iterations.
pub(super) fn run(
    rows: ArrayView2<f32>,
    k: usize,
    (seed, start): (u64, u64),
    max_iterations: usize,
    tolerance: f64,
) -> KMeans {
    let mut centres = seeded(rows, k, &mut Random::new("k-means", seed, start));
    let mut labels = vec![u32::MAX; rows.nrows()];
    let (mut iterations, mut converged) = (0, false);
    while iterations < max_iterations && !converged {
        let mut found = assigned(rows, &centres);
        fill_empty(&mut found, k);
        let changed = found.iter().zip(&labels).any(|((now, _), before)| now != before);
        labels = found.into_iter().map(|(label, _)| label).collect();
        let means = means(rows, &labels, &centres);
        let moved: f64 = means.iter().zip(&centres).map(|(a, b)| (a - b).powi(2)).sum();
        centres = means;
        iterations += 1;
        converged = !changed || moved <= tolerance;
    }
    model(rows, centres, iterations, converged)
}

fn assigned(rows: ArrayView2<f32>, centres: &Array2<f64>) -> Vec<(u32, f64)> {
    rows.axis_iter(Axis(0)).into_par_iter().map(|row| nearest(row, centres)).collect()
}

fn seeded(rows: ArrayView2<f32>, k: usize, random: &mut Random) -> Array2<f64> {
    let n_draws = 2 + (k as f64).ln() as usize;
    let mut closest = vec![f64::INFINITY; rows.nrows()];
    let mut draws = vec![random.below(rows.nrows())];
    let mut chosen = Vec::with_capacity(k);
    for _ in 0..k {
        let tried = draws.iter().map(|&draw| {
            let centre = rows.row(draw).mapv(f64::from);
            let all = rows.axis_iter(Axis(0)).into_par_iter().zip(&closest);
            let nearer: Vec<f64> = all.map(|(row, &before)| squared(row, centre.view()).min(before)).collect();
            (nearer.iter().sum::<f64>(), nearer, draw)
        });
        let best = tried.reduce(|best, next| if next.0 < best.0 { next } else { best });
        let Some((total, nearer, draw)) = best else { break };
        closest = nearer;
        chosen.push(draw);
        let mut sum = 0.0;
        let up_to: Vec<f64> = closest
            .iter()
            .map(|square| {
                sum += square;
                sum
            })
            .collect();
        let at = |place: f64| up_to.partition_point(|&sum| sum <= place).min(rows.nrows() - 1);
        draws = (0..n_draws).map(|_| at(random.unit() * total)).collect();
    }
    rows.select(Axis(0), &chosen).mapv(f64::from)
}

/// A centre without rows takes the row that is farthest from its own centre; not where all rows lie on their centres.
fn fill_empty(found: &mut [(u32, f64)], k: usize) {
    let mut members = vec![0usize; k];
    found.iter().for_each(|&(label, _)| members[label as usize] += 1);
    let empty: Vec<usize> = (0..k).filter(|&centre| members[centre] == 0).collect();
    if empty.is_empty() {
        return;
    }
    let mut far: Vec<usize> = (0..found.len()).filter(|&row| found[row].1 > 0.0).collect();
    far.sort_by(|&a, &b| found[b].1.total_cmp(&found[a].1).then(a.cmp(&b)));
    let mut far = far.into_iter();
    for centre in empty {
        let Some(row) = far.find(|&row| members[found[row].0 as usize] > 1) else { break };
        members[found[row].0 as usize] -= 1;
        members[centre] += 1;
        found[row] = (centre as u32, 0.0);
    }
}

/// The mean of each centre's rows; a centre without rows stays.
fn means(rows: ArrayView2<f32>, labels: &[u32], centres: &Array2<f64>) -> Array2<f64> {
    let mut means = Array2::<f64>::zeros(centres.dim());
    let mut counts = vec![0usize; centres.nrows()];
    for (row, &label) in rows.rows().into_iter().zip(labels) {
        counts[label as usize] += 1;
        means.row_mut(label as usize).zip_mut_with(&row, |sum, &x| *sum += f64::from(x));
    }
    for (centre, &count) in counts.iter().enumerate() {
        match count {
            0 => means.row_mut(centre).assign(&centres.row(centre)),
            _ => means.row_mut(centre).mapv_inplace(|sum| sum / count as f64),
        }
    }
    means
}
