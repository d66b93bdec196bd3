//! Starts for k-means: k-means++ (Arthur and Vassilvitskii 2007) with the best of 2 + ln k draws at every step, as in
//! scikit-learn.
//!
//! All starts take their steps together: one product of the rows with the draws of every start costs little more than
//! with those of one, because reading the rows is what takes the time.

use super::rows::Rows;
use crate::random::Random;
use ndarray::{Array2, s};
use rayon::prelude::*;

/// One start in the making.
struct Start {
    random: Random,
    chosen: Vec<usize>,
    /// Squared distance of every row to the nearest centre chosen so far.
    closest: Vec<f32>,
    /// Rows drawn in this step.
    draws: Vec<usize>,
}

/// The rows that are the `k` centres of each of `n_init` starts. The starts of a seed do not depend on their number.
pub(super) fn starts(rows: &Rows, k: usize, n_init: usize, seed: u64) -> Vec<Vec<usize>> {
    let n_draws = 2 + (k as f64).ln() as usize;
    let start = |number: usize| {
        let mut random = Random::new("k-means", seed, number as u64);
        let first = random.below(rows.len());
        Start { random, chosen: Vec::new(), closest: vec![f32::INFINITY; rows.len()], draws: vec![first] }
    };
    let mut starts: Vec<Start> = (0..n_init).map(start).collect();
    let mut distances = Array2::<f32>::zeros((rows.len(), n_init * n_draws));
    for step in 0..k {
        let draws: Vec<usize> = starts.iter().flat_map(|start| start.draws.iter().copied()).collect();
        let mut distances = distances.slice_mut(s![.., ..draws.len()]);
        rows.distances_to(&draws, distances.view_mut());
        let width = draws.len() / n_init;
        let distances = distances.view();
        starts.par_iter_mut().enumerate().for_each(|(number, start)| {
            start.choose(distances.slice(s![.., number * width..(number + 1) * width]));
            if step + 1 < k {
                start.draw(n_draws);
            }
        });
    }
    starts.into_iter().map(|start| start.chosen).collect()
}

impl Start {
    /// Takes the draw that leaves the smallest sum of squared distances.
    fn choose(&mut self, distances: ndarray::ArrayView2<f32>) {
        let mut sums = vec![0f64; self.draws.len()];
        for (row, &closest) in distances.rows().into_iter().zip(&self.closest) {
            sums.iter_mut().zip(row).for_each(|(sum, &distance)| *sum += f64::from(distance.min(closest)));
        }
        let best = (0..sums.len()).fold(0, |best, draw| if sums[draw] < sums[best] { draw } else { best });
        self.closest
            .iter_mut()
            .zip(distances.column(best))
            .for_each(|(closest, &distance)| *closest = closest.min(distance));
        self.chosen.push(self.draws[best]);
    }

    /// Draws rows, each with a chance in proportion to its squared distance.
    fn draw(&mut self, n_draws: usize) {
        let mut total = 0.0;
        let up_to: Vec<f64> = self
            .closest
            .iter()
            .map(|&square| {
                total += f64::from(square);
                total
            })
            .collect();
        self.draws = (0..n_draws)
            .map(|_| {
                let place = self.random.unit() * total;
                // Where every row lies on a centre, the total is 0 and any row will do.
                up_to.partition_point(|&sum| sum <= place).min(self.closest.len() - 1)
            })
            .collect();
    }
}
