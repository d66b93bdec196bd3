//! k-means: Lloyd's iterations (1982) from k-means++ starts, as scikit-learn's `KMeans` does them.
//!
//! linfa-clustering was measured first: 184 s where scikit-learn takes 17.9 s (20,000 x 768, k = 38, 10 starts). Here
//! distances are matrix products in f32, and Hamerly's two bounds (2010) spare most rows after the first iterations: a
//! row is looked at again only when its upper bound to its own centre passes its lower bound to all others. Bounds are
//! widened by the rounding of the products, so that sparing a row does not change its centre. Rows go in strips of
//! fixed number, whose sums are added in order: the result does not depend on the number of threads.
//!
//! Rows of very large or small numbers are brought near 1 by a power of two first. Where the clusters found are so narrow
//! next to their distances that f32 products cannot tell what lies within them (groups 20 apart among others a million
//! away), or that unlike rows became the same once centred, the fit is done again in f64 on the rows as they came
//! (`precise.rs`).
//!
//! In thousands of features bounds spare few rows; there `gram.rs` takes over (see [`Rows::with_products_for`]).

use super::rows::{BLOCK, Rows};
use super::{gram, precise, seeding};
use crate::error::{Error, Result};
use crate::neighbours::{check_features, check_width};
use crate::products::{Threads, multiply, squared_distance};
use linfa::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{ArcArray2, Array1, Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Parameters of k-means.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeansParams {
    k: usize,
    n_init: usize,
    max_iterations: usize,
    tolerance: f64,
    seed: u64,
}

/// Fitted centres.
#[derive(Debug, Clone)]
pub struct KMeans {
    /// `(k, D)`.
    pub centres: Array2<f32>,
    /// Centre of every row.
    pub labels: Vec<u32>,
    /// Sum of squared distances of the rows to their centres.
    pub inertia: f64,
    /// Iterations of the best start.
    pub iterations: usize,
    /// Whether the best start ended before the iterations ran out.
    pub converged: bool,
    /// The centres in f64, where those in f32 would not give every row the nearest.
    pub(super) exact: Option<Array2<f64>>,
}

/// Below this share of the largest squared distance from the mean, a cluster's mean square is lost in f32 products.
const LOST: f64 = 1.0 / 65536.0;

impl KMeansParams {
    /// Starts; the one with the lowest inertia is kept. 10 by default (scikit-learn's before 1.4).
    pub fn n_init(self, n_init: usize) -> Self {
        KMeansParams { n_init, ..self }
    }

    /// Most iterations of a start; 300 by default.
    pub fn max_iterations(self, max_iterations: usize) -> Self {
        KMeansParams { max_iterations, ..self }
    }

    /// A start ends when the centres' squared moves add up to this share of the features' mean variance; 1e-4.
    pub fn tolerance(self, tolerance: f64) -> Self {
        KMeansParams { tolerance, ..self }
    }

    /// Seed of the starts; 0 by default.
    pub fn seed(self, seed: u64) -> Self {
        KMeansParams { seed, ..self }
    }
}

impl KMeans {
    /// k-means with `k` centres.
    ///
    /// ```
    /// use linfa::{DatasetBase, traits::Fit};
    /// use ndarray::array;
    /// use wider_clip::clustering::kmeans::KMeans;
    ///
    /// let rows = array![[0.0, 0.0], [0.0, 1.0], [9.0, 9.0], [9.0, 8.0]].into_shared();
    /// let model = KMeans::params(2).seed(1).fit(&DatasetBase::from(rows))?;
    /// assert!((model.inertia - 1.0).abs() < 1e-6); // four rows, each half a step from its centre
    /// assert_eq!(model.labels[0], model.labels[1]);
    /// assert_ne!(model.labels[0], model.labels[2]);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn params(k: usize) -> KMeansParams {
        KMeansParams { k, n_init: 10, max_iterations: 300, tolerance: 1e-4, seed: 0 }
    }

    /// The nearest centre of each row of `features`.
    ///
    /// # Errors
    /// Features of another width, or not finite.
    pub fn try_predict(&self, features: ArrayView2<f32>) -> Result<Array1<u32>> {
        check_features("features", features)?;
        check_width(self.centres.ncols(), features)?;
        if let Some(centres) = &self.exact {
            let rows: Vec<u32> =
                features.axis_iter(Axis(0)).into_par_iter().map(|row| precise::nearest(row, centres).0).collect();
            return Ok(Array1::from(rows));
        }
        let centres = self.centres.as_standard_layout();
        let rows: Vec<u32> =
            features.axis_iter(Axis(0)).into_par_iter().map(|row| nearest(&row.to_vec(), centres.view())).collect();
        Ok(Array1::from(rows))
    }
}

impl<T> Fit<ArcArray2<f32>, T, Error> for KMeansParams {
    type Object = KMeans;

    /// Rows that are fewer than k in truth (repeated ones) leave centres without rows.
    ///
    /// # Errors
    /// Features that are empty or not finite, k = 0 or above the number of rows, no start, no iteration.
    fn fit(&self, data: &DatasetBase<ArcArray2<f32>, T>) -> Result<KMeans> {
        self.fit_rows(&self.prepare(&data.records)?)
    }
}

impl KMeansParams {
    /// Rows made ready for fits that differ in their seeds alone.
    ///
    /// # Errors
    /// Features that are empty or not finite.
    pub fn prepare(&self, features: &ArcArray2<f32>) -> Result<Rows> {
        Ok(Rows::new(features)?.with_products_for(self.k, self.n_init))
    }

    /// [`Fit::fit`] on rows that other fits share.
    ///
    /// # Errors
    /// Parameters that make no sense for the rows.
    pub fn fit_rows(&self, rows: &Rows) -> Result<KMeans> {
        self.check(rows.len())?;
        let starts = seeding::starts(rows, self.k, self.n_init, self.seed);
        let tolerance = self.tolerance * rows.mean_variance;
        let best = match &rows.products {
            Some(products) => {
                let run = |chosen: Vec<usize>| gram::run(rows, products, &chosen, self.max_iterations, tolerance);
                let runs: Vec<gram::End> = starts.into_par_iter().map(run).collect();
                let best = runs.into_iter().min_by(|a, b| a.inertia.total_cmp(&b.inertia));
                best.map(|end| KMeans::of_end(rows, end))
            }
            None => {
                let run = |chosen: Vec<usize>| {
                    Lloyd::new(rows, rows.values.select(Axis(0), &chosen)).run(self.max_iterations, tolerance)
                };
                starts.into_iter().map(run).min_by(|a, b| a.inertia.total_cmp(&b.inertia))
            }
        };
        let mut best = best.ok_or_else(|| Error::argument("n_init", "at least 1", "0"))?;
        let largest = rows.squares.iter().copied().fold(0.0, f32::max);
        let lost = match best.inertia > 0.0 {
            true => best.inertia < LOST * f64::from(largest) * rows.len() as f64,
            false => rows.differ_within(&best.labels),
        };
        if lost {
            // The tolerance at the scale of the features.
            let tolerance = tolerance / f64::from(rows.unit).powi(2);
            let run = |start: u64| {
                precise::run(rows.features.view(), self.k, (self.seed, start), self.max_iterations, tolerance)
            };
            let runs = (0..self.n_init as u64).map(run).min_by(|a, b| a.inertia.total_cmp(&b.inertia));
            return runs.ok_or_else(|| Error::argument("n_init", "at least 1", "0"));
        }
        if rows.unit != 1.0 {
            let mut centres = best.centres.mapv(|x| f64::from(x) / f64::from(rows.unit));
            centres += &rows.mean.mapv(f64::from);
            return Ok(precise::model(rows.features.view(), centres, best.iterations, best.converged));
        }
        best.centres += &rows.mean;
        Ok(best)
    }

    /// Refuses parameters that make no sense for `n` rows.
    fn check(&self, n: usize) -> Result<()> {
        if self.k == 0 || self.k > n {
            return Err(Error::argument("k", format!("between 1 and the {n} rows"), self.k.to_string()));
        }
        for (what, value) in [("n_init", self.n_init), ("max_iterations", self.max_iterations)] {
            if value == 0 {
                return Err(Error::argument(what, "at least 1", "0"));
            }
        }
        if !(self.tolerance >= 0.0) {
            return Err(Error::argument("tolerance", "0 or more", self.tolerance.to_string()));
        }
        Ok(())
    }
}

impl KMeans {
    /// What a start by inner products ended with, its inertia from the features themselves.
    fn of_end(rows: &Rows, end: gram::End) -> KMeans {
        let square = |(row, &label): (usize, &u32)| squared_distance(rows.row(row), centre_row(&end.centres, label));
        let squares: Vec<f64> = end.labels.par_iter().enumerate().map(square).collect();
        let inertia = squares.iter().sum();
        let gram::End { centres, labels, iterations, converged, .. } = end;
        KMeans { centres, labels, inertia, iterations, converged, exact: None }
    }
}

impl PredictInplace<Array2<f32>, Array1<u32>> for KMeans {
    fn predict_inplace(&self, features: &Array2<f32>, centres: &mut Array1<u32>) {
        match self.try_predict(features.view()) {
            Ok(predicted) => centres.assign(&predicted),
            Err(error) => panic!("{error}"),
        }
    }

    fn default_target(&self, features: &Array2<f32>) -> Array1<u32> {
        Array1::zeros(features.nrows())
    }
}

/// What is known of a row.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    centre: u32,
    /// At least the distance to that centre.
    upper: f32,
    /// At most the distance to any other.
    lower: f32,
}

const NOWHERE: u32 = u32::MAX;

struct Lloyd<'a> {
    rows: &'a Rows,
    centres: Array2<f32>,
    bounds: Vec<Bounds>,
    /// Sum and number of the rows of each centre.
    sums: Array2<f64>,
    counts: Vec<i64>,
}

impl<'a> Lloyd<'a> {
    fn new(rows: &'a Rows, centres: Array2<f32>) -> Lloyd<'a> {
        let bounds = vec![Bounds { centre: NOWHERE, upper: f32::INFINITY, lower: 0.0 }; rows.len()];
        let (sums, counts) = (Array2::zeros(centres.dim()), vec![0; centres.nrows()]);
        Lloyd { rows, centres, bounds, sums, counts }
    }

    fn run(mut self, max_iterations: usize, tolerance: f64) -> KMeans {
        let (mut iterations, mut converged) = (0, false);
        while iterations < max_iterations && !converged {
            let n_changed = self.assign();
            self.fill_empty();
            let moved = self.move_centres();
            iterations += 1;
            converged = n_changed == 0 || moved <= tolerance;
        }
        // The centres moved after the last assignment: every row goes to its nearest once more.
        let nearest: Vec<(u32, f64)> = (0..self.rows.len())
            .into_par_iter()
            .map(|row| {
                let values = self.rows.row(row);
                let bounds = self.bounds[row];
                let centre =
                    if bounds.upper < bounds.lower { bounds.centre } else { nearest(values, self.centres.view()) };
                (centre, squared_distance(values, centre_row(&self.centres, centre)))
            })
            .collect();
        KMeans {
            inertia: nearest.iter().map(|(_, square)| square).sum(),
            labels: nearest.into_iter().map(|(centre, _)| centre).collect(),
            centres: self.centres,
            iterations,
            converged,
            exact: None,
        }
    }

    /// Gives every row its nearest centre and keeps the sums up to date; the number of rows that changed.
    fn assign(&mut self) -> usize {
        let (k, d) = self.centres.dim();
        let squares: Vec<f32> = self.centres.rows().into_iter().map(|row| row.dot(&row)).collect();
        let half_gaps = half_gaps(&self.centres);
        let (rows, centres, strip) = (self.rows, self.centres.view(), self.rows.strip());
        let changes: Vec<(usize, Array2<f64>, Vec<i64>)> = self
            .bounds
            .par_chunks_mut(strip)
            .enumerate()
            .map(|(number, bounds)| {
                let (mut sums, mut counts, mut n_changed) = (Array2::<f64>::zeros((0, 0)), vec![0i64; k], 0);
                let mut look = |open: &[usize], bounds: &mut [Bounds], buffers: &mut Buffers| {
                    buffers.look(rows, number * strip, open, centres, &squares, |i, found| {
                        let before = std::mem::replace(&mut bounds[i], found).centre;
                        if before == found.centre {
                            return;
                        }
                        n_changed += 1;
                        if sums.is_empty() {
                            sums = Array2::zeros((k, d));
                        }
                        let values = rows.values.row(number * strip + i);
                        counts[found.centre as usize] += 1;
                        sums.row_mut(found.centre as usize).zip_mut_with(&values, |sum, &x| *sum += f64::from(x));
                        if before != NOWHERE {
                            counts[before as usize] -= 1;
                            sums.row_mut(before as usize).zip_mut_with(&values, |sum, &x| *sum -= f64::from(x));
                        }
                    });
                };
                let mut buffers = Buffers::new(k, d);
                let mut open = Vec::with_capacity(BLOCK);
                for i in 0..bounds.len() {
                    if settled(rows.row(number * strip + i), &mut bounds[i], centres, &half_gaps) {
                        continue;
                    }
                    open.push(i);
                    if open.len() == BLOCK {
                        look(&open, bounds, &mut buffers);
                        open.clear();
                    }
                }
                look(&open, bounds, &mut buffers);
                (n_changed, sums, counts)
            })
            .collect();
        for (_, sums, counts) in changes.iter().filter(|(n_changed, ..)| *n_changed > 0) {
            self.sums += sums;
            self.counts.iter_mut().zip(counts).for_each(|(total, change)| *total += change);
        }
        changes.iter().map(|(n_changed, ..)| n_changed).sum()
    }

    /// A centre without rows takes the row that is farthest from its own centre, as in scikit-learn; not where all rows
    /// lie on their centres.
    fn fill_empty(&mut self) {
        let empty: Vec<usize> = (0..self.counts.len()).filter(|&centre| self.counts[centre] == 0).collect();
        if empty.is_empty() {
            return;
        }
        let distance = |row: usize| {
            let own = self.bounds[row].centre;
            squared_distance(self.rows.row(row), centre_row(&self.centres, own))
        };
        let mut far: Vec<(f64, usize)> = (0..self.rows.len()).into_par_iter().map(|row| (distance(row), row)).collect();
        far.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut far = far.into_iter();
        for centre in empty {
            let Some((_, row)) =
                far.find(|&(square, row)| square > 0.0 && self.counts[self.bounds[row].centre as usize] > 1)
            else {
                break;
            };
            let before = self.bounds[row].centre as usize;
            let values = self.rows.values.row(row);
            self.sums.row_mut(before).zip_mut_with(&values, |sum, &x| *sum -= f64::from(x));
            self.sums.row_mut(centre).zip_mut_with(&values, |sum, &x| *sum += f64::from(x));
            self.counts[before] -= 1;
            self.counts[centre] += 1;
            self.bounds[row] = Bounds { centre: centre as u32, upper: f32::INFINITY, lower: 0.0 };
        }
    }

    /// Moves every centre to the mean of its rows and widens the bounds by the moves; the sum of squared moves.
    fn move_centres(&mut self) -> f64 {
        let mut moves = vec![0f64; self.counts.len()];
        for (centre, &count) in self.counts.iter().enumerate() {
            if count == 0 {
                continue;
            }
            for (value, sum) in self.centres.row_mut(centre).iter_mut().zip(self.sums.row(centre)) {
                let mean = (sum / count as f64) as f32;
                moves[centre] += f64::from(mean - *value).powi(2);
                *value = mean;
            }
        }
        let total = moves.iter().sum();
        // Rounded up, so that bounds stay bounds.
        let moves: Vec<f32> = moves.iter().map(|square| (square.sqrt() * (1.0 + 1e-6)) as f32).collect();
        let (mut farthest, mut second) = ((0, 0f32), 0f32);
        for (centre, &moved) in moves.iter().enumerate() {
            if moved > farthest.1 {
                (farthest, second) = ((centre, moved), farthest.1);
            } else {
                second = second.max(moved);
            }
        }
        self.bounds.par_iter_mut().with_min_len(4096).for_each(|bounds| {
            bounds.upper += moves[bounds.centre as usize];
            bounds.lower -= if bounds.centre as usize == farthest.0 { second } else { farthest.1 };
        });
        total
    }
}

/// Whether a row's bounds prove that it stays where it is, its upper bound made exact if that helps.
fn settled(row: &[f32], bounds: &mut Bounds, centres: ArrayView2<f32>, half_gaps: &[f32]) -> bool {
    if bounds.centre == NOWHERE {
        return false;
    }
    let others = half_gaps[bounds.centre as usize].max(bounds.lower);
    if bounds.upper < others {
        return true;
    }
    if bounds.upper > 1.5 * others {
        return false;
    }
    let own = centres.row(bounds.centre as usize);
    let exact = squared_distance(row, own.as_slice().unwrap_or(&[])).sqrt();
    bounds.upper = (exact * (1.0 + 1e-6)) as f32;
    bounds.upper < others
}

/// Half the distance of each centre to the nearest other: a row nearer than that has no nearer centre.
fn half_gaps(centres: &Array2<f32>) -> Vec<f32> {
    let k = centres.nrows();
    let gap = |a: usize| {
        let others = (0..k).filter(|&b| b != a);
        let squares = others.map(|b| squared_distance(centre_row(centres, a as u32), centre_row(centres, b as u32)));
        (0.5 * squares.fold(f64::INFINITY, f64::min).sqrt() * (1.0 - 1e-6)) as f32
    };
    (0..k).into_par_iter().map(gap).collect()
}

/// Space for the products of a block of rows with all centres.
struct Buffers {
    rows: Array2<f32>,
    products: Array2<f32>,
}

impl Buffers {
    fn new(k: usize, d: usize) -> Buffers {
        Buffers { rows: Array2::zeros((BLOCK, d)), products: Array2::zeros((BLOCK, k)) }
    }

    /// Finds the nearest centre, and bounds, of the rows `start + i` for the `open` i.
    fn look(
        &mut self,
        rows: &Rows,
        start: usize,
        open: &[usize],
        centres: ArrayView2<f32>,
        squares: &[f32],
        mut found: impl FnMut(usize, Bounds),
    ) {
        let (Some(&first), Some(&last)) = (open.first(), open.last()) else { return };
        let contiguous = last - first + 1 == open.len();
        if !contiguous {
            for (mut to, &i) in self.rows.rows_mut().into_iter().zip(open) {
                to.assign(&rows.values.row(start + i));
            }
        }
        let block = match contiguous {
            true => rows.values.slice(s![start + first..=start + last, ..]),
            false => self.rows.slice(s![..open.len(), ..]),
        };
        let mut products = self.products.slice_mut(s![..open.len(), ..]);
        multiply(Threads::One, block, centres.t(), products.view_mut());
        let largest = squares.iter().copied().fold(0.0, f32::max);
        for (products, &i) in products.rows().into_iter().zip(open) {
            let (mut best, mut second) = ((f32::INFINITY, 0), f32::INFINITY);
            for (centre, (product, square)) in products.iter().zip(squares).enumerate() {
                let key = square - 2.0 * product;
                if key < best.0 {
                    (best, second) = ((key, centre), best.0);
                } else if key < second {
                    second = key;
                }
            }
            let square = rows.squares[start + i];
            let rounding = 4e-6 * (square + largest);
            let upper = (square + best.0 + rounding).max(0.0).sqrt();
            let lower = (square + second - rounding).max(0.0).sqrt();
            found(i, Bounds { centre: best.1 as u32, upper, lower });
        }
    }
}

fn centre_row(centres: &Array2<f32>, centre: u32) -> &[f32] {
    let width = centres.ncols();
    &centres.as_slice().unwrap_or(&[])[centre as usize * width..(centre as usize + 1) * width]
}

/// The nearest of `centres`, the first of equals.
fn nearest(row: &[f32], centres: ArrayView2<f32>) -> u32 {
    let mut best = (f64::INFINITY, 0);
    for (number, centre) in centres.rows().into_iter().enumerate() {
        let square = squared_distance(row, centre.as_slice().unwrap_or(&[]));
        if square < best.0 {
            best = (square, number);
        }
    }
    best.1 as u32
}
