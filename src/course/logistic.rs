//! Checks of assignment 4, *Logistic regression by hand*: softmax, objective, gradient, a step, when to stop, and a whole descent.
//!
//! Features `(N, D)` have a last column of ones, so that the last row of the weights `(D, K)` holds the intercepts, which no penalty
//! touches. The objective is the library's: the mean cross-entropy plus |W|^2 / (2 C N), without the last row.

use super::on_data::{given, percent_right, pictures};
use super::sheet::{Marks, Said, Sheet, near, same, seed};
use crate::display::{Cell, Table};
use crate::error::{Error, Result};
use crate::probe::labelled;
use crate::probe::logistic::Logistic;
use crate::random::Random;
use crate::training::{EarlyStopping, Verdict, Watch};
use linfa::traits::Fit;
use ndarray::{Array2, s};

/// From logits to probabilities.
pub type Softmax = fn(&[f64]) -> Vec<f64>;
/// From features, labels, weights and C to the objective.
pub type Objective = fn(&Array2<f64>, &[u32], &Array2<f64>, f64) -> f64;
/// The same to its gradient in the weights.
pub type Gradient = fn(&Array2<f64>, &[u32], &Array2<f64>, f64) -> Array2<f64>;
/// From features, labels, weights, C and a rate to the weights after one step.
pub type Step = fn(&Array2<f64>, &[u32], &Array2<f64>, f64, f64) -> Array2<f64>;
/// From losses and a patience to the place of the best loss, and the place at which the run ends.
pub type Stop = fn(&[f64], usize) -> (Option<usize>, Option<usize>);
/// From features, labels, the number of classes, C, a rate, a patience and the most steps to weights.
pub type Descend = fn(&Array2<f64>, &[u32], usize, f64, f64, usize, usize) -> Array2<f64>;

/// So large a C that the penalty is nothing.
const NO_PENALTY: f64 = 1e12;

/// Features with a column of ones, labels that depend on them, and weights whose last row is zeros.
fn problem(n: usize, width: usize, classes: usize, stream: u64) -> (Array2<f64>, Vec<u32>, Array2<f64>) {
    let mut random = Random::new("course, regression", seed(), stream);
    let mut normal = || f64::from(random.normal() as f32);
    let features = Array2::from_shape_fn((n, width + 1), |(_, column)| if column < width { normal() } else { 1.0 });
    let truth = Array2::from_shape_fn((width + 1, classes), |_| normal());
    let weights = Array2::from_shape_fn((width + 1, classes), |(row, _)| if row < width { normal() } else { 0.0 });
    let logits = features.dot(&truth);
    let label = |row: usize| {
        // The first rows see to it that no class is missing.
        let noisy: Vec<f64> = logits.row(row).iter().map(|logit| logit + 2.0 * normal()).collect();
        if row < classes { row as u32 } else { largest(&noisy) as u32 }
    };
    let labels = (0..n).map(label).collect();
    (features, labels, weights)
}

fn largest(of: &[f64]) -> usize {
    (1..of.len()).fold(0, |best, k| if of[k] > of[best] { k } else { best })
}

/// The objective, from differences of logits.
fn objective_of(features: &Array2<f64>, labels: &[u32], weights: &Array2<f64>, c: f64) -> f64 {
    let logits = features.dot(weights);
    let n = labels.len() as f64;
    let loss: f64 = logits
        .rows()
        .into_iter()
        .zip(labels)
        .map(|(row, &label)| {
            let behind: Vec<f64> = row.iter().map(|logit| logit - row[label as usize]).collect();
            let most = behind.iter().copied().fold(0.0, f64::max);
            most + behind.iter().map(|behind| (behind - most).exp()).sum::<f64>().ln()
        })
        .sum();
    let penalised = weights.slice(s![..weights.nrows() - 1, ..]);
    loss / n + penalised.iter().map(|w| w * w).sum::<f64>() / (2.0 * c * n)
}

/// Its gradient by finite differences.
fn slopes(features: &Array2<f64>, labels: &[u32], weights: &Array2<f64>, c: f64) -> Array2<f64> {
    const H: f64 = 1e-5;
    Array2::from_shape_fn(weights.dim(), |at| {
        let moved = |by: f64| {
            let mut moved = weights.clone();
            moved[at] += by;
            objective_of(features, labels, &moved, c)
        };
        (moved(H) - moved(-H)) / (2.0 * H)
    })
}

fn all_near(found: &Array2<f64>, expected: &Array2<f64>, within: f64) -> Said {
    same(found.dim(), expected.dim())?;
    found.iter().zip(expected).try_for_each(|(&found, &expected)| near(found, expected, within))
}

/// exp(z_k) over their sum, for logits of any size; nothing for no logit.
pub fn softmax(f: Softmax) -> Marks {
    let close = |found: &[f64], expected: &[f64]| {
        same(found.len(), expected.len())?;
        found.iter().zip(expected).try_for_each(|(&found, &expected)| near(found, expected, 1e-12))
    };
    Sheet::new("softmax", 2.0)
        .visible("equal logits", move || close(&f(&[0.5, 0.5]), &[0.5, 0.5]))
        .hidden("many logits", 2.0, move || {
            let mut random = Random::new("course, logits", seed(), 0);
            for n in 2..12 {
                let logits: Vec<f64> = (0..n).map(|_| 3.0 * random.normal()).collect();
                let one = |logit: &f64| 1.0 / logits.iter().map(|other| (other - logit).exp()).sum::<f64>();
                close(&f(&logits), &logits.iter().map(one).collect::<Vec<f64>>())?;
            }
            Ok(())
        })
        .hidden("logits whose exp is beyond numbers, and all of whose exp is 0", 1.0, move || {
            let e = 1f64.exp();
            close(&f(&[1001.0, 1000.0]), &[e / (1.0 + e), 1.0 / (1.0 + e)])?;
            close(&f(&[-2000.0, -2001.0]), &[e / (1.0 + e), 1.0 / (1.0 + e)])?;
            close(&f(&[5000.0, -5000.0, 0.0]), &[1.0, 0.0, 0.0])
        })
        .hidden("one logit, and none", 1.0, move || {
            close(&f(&[-3.0]), &[1.0])?;
            close(&f(&[]), &[])
        })
        .marks()
}

/// The mean cross-entropy plus |W|^2 / (2 C N), where the last row of the weights, the intercepts, has no penalty. Finite for large
/// logits.
pub fn objective(f: Objective) -> Marks {
    let ask = move |features: &Array2<f64>, labels: &[u32], weights: &Array2<f64>, c, within| {
        near(f(features, labels, weights, c), objective_of(features, labels, weights, c), within)
    };
    Sheet::new("the objective", 3.0)
        .visible("all weights 0: the logarithm of the number of classes", move || {
            let (features, labels, weights) = problem(10, 2, 3, 0);
            near(f(&features, &labels, &(0.0 * weights), 1.0), 3f64.ln(), 1e-9)
        })
        .hidden("many weights, weak and strong penalties", 1.0, move || {
            for (stream, c) in [(1, 1.0), (2, 0.01), (3, 100.0), (4, NO_PENALTY)] {
                let (features, labels, weights) = problem(40, 5, 4, stream);
                ask(&features, &labels, &weights, c, 1e-9)?;
            }
            Ok(())
        })
        .hidden("intercepts", 1.0, move || {
            for c in [0.1, 10.0] {
                let (features, labels, mut weights) = problem(30, 4, 3, 5);
                weights.row_mut(4).assign(&ndarray::arr1(&[2.0, -1.5, 0.5]));
                ask(&features, &labels, &weights, c, 1e-9)?;
            }
            Ok(())
        })
        .hidden("weights a thousand times as large", 1.0, move || {
            let (features, labels, weights) = problem(30, 4, 3, 6);
            ask(&features, &labels, &(1000.0 * weights), NO_PENALTY, 1e-6)
        })
        .marks()
}

/// The gradient of the objective in the weights, of their shape: the features' transpose times (probabilities - ones at the labels) / N,
/// plus W / (C N) without the last row.
pub fn gradient(f: Gradient) -> Marks {
    let ask = move |(features, labels, weights): &(Array2<f64>, Vec<u32>, Array2<f64>), c| {
        all_near(&f(features, labels, weights, c), &slopes(features, labels, weights, c), 1e-6)
    };
    Sheet::new("the gradient", 4.0)
        .visible("two images, one feature and the ones, all weights 0", move || {
            let features = ndarray::arr2(&[[2.0, 1.0], [-2.0, 1.0]]);
            all_near(
                &f(&features, &[0, 1], &Array2::zeros((2, 2)), 1.0),
                &ndarray::arr2(&[[-1.0, 1.0], [0.0, 0.0]]),
                1e-9,
            )
        })
        .hidden("differences of the objective, without a penalty", 1.0, move || {
            (10..13).try_for_each(|stream| ask(&problem(40, 5, 4, stream), NO_PENALTY))
        })
        .hidden("differences of the objective, with one", 1.0, move || {
            [1.0, 0.1, 0.02].into_iter().try_for_each(|c| ask(&problem(40, 5, 4, 13), c))
        })
        .hidden("intercepts", 1.0, move || {
            let mut problem = problem(30, 4, 3, 14);
            problem.2.row_mut(4).assign(&ndarray::arr1(&[2.0, -1.5, 0.5]));
            ask(&problem, 0.05)
        })
        .hidden("weights a thousand times as large", 1.0, move || {
            let (features, labels, weights) = problem(30, 4, 3, 15);
            let large = 1000.0 * weights;
            let found = f(&features, &labels, &large, NO_PENALTY);
            let logits = features.dot(&large);
            // One over a sum that may be infinite: 0.
            let residuals = Array2::from_shape_fn(logits.dim(), |(row, class)| {
                let sum: f64 = logits.row(row).iter().map(|other| (other - logits[[row, class]]).exp()).sum();
                (1.0 / sum - f64::from(u8::from(labels[row] as usize == class))) / labels.len() as f64
            });
            all_near(&found, &features.t().dot(&residuals), 1e-6)
        })
        .marks()
}

/// The weights less the rate times the gradient.
pub fn step(f: Step) -> Marks {
    let ask = move |stream, c, rate: f64| {
        let (features, labels, weights) = problem(40, 5, 4, stream);
        let expected = &weights - &(rate * slopes(&features, &labels, &weights, c));
        all_near(&f(&features, &labels, &weights, c, rate), &expected, 1e-5)
    };
    Sheet::new("one step", 2.0)
        .visible("two images, one feature and the ones, from 0, rate 0.5", move || {
            let features = ndarray::arr2(&[[2.0, 1.0], [-2.0, 1.0]]);
            let found = f(&features, &[0, 1], &Array2::zeros((2, 2)), 1.0, 0.5);
            all_near(&found, &ndarray::arr2(&[[0.5, -0.5], [0.0, 0.0]]), 1e-9)
        })
        .hidden("several rates, without a penalty", 1.0, move || {
            [0.0, 0.1, 1.0, 7.0].into_iter().try_for_each(|rate| ask(20, NO_PENALTY, rate))
        })
        .hidden("several penalties", 1.0, move || [5.0, 0.5, 0.05].into_iter().try_for_each(|c| ask(21, c, 0.5)))
        .marks()
}

fn watched(losses: &[f64], patience: usize) -> (Option<usize>, Option<usize>) {
    let mut watch = Watch::new(EarlyStopping::new("loss", patience as u32));
    let mut best = None;
    for (place, &loss) in losses.iter().enumerate() {
        match watch.check(loss) {
            Verdict::Better => best = Some(place),
            Verdict::Wait => {}
            Verdict::Stop => return (best, Some(place)),
        }
    }
    (best, None)
}

/// Early stopping as the study has it. A loss is better only below the best so far; `patience` losses in a row that are not better end
/// the run, and one that is not finite ends it at once. Gives the place of the best loss until then and the place of the loss that
/// ended the run, `None` for what there is not.
pub fn stop(f: Stop) -> Marks {
    let ask = move |losses: &[f64], patience| same(f(losses, patience), watched(losses, patience));
    Sheet::new("when to stop", 3.0)
        .visible("5, 4, 6, 7 with a patience of 2", move || ask(&[5.0, 4.0, 6.0, 7.0], 2))
        .visible("5, 4, 6, 3 with a patience of 2", move || ask(&[5.0, 4.0, 6.0, 3.0], 2))
        .hidden("long runs, patience 1 to 30", 1.0, move || {
            let mut random = Random::new("course, losses", seed(), 0);
            for patience in [1, 2, 5, 10, 30] {
                for _ in 0..20 {
                    let fall = 0.1 * random.unit();
                    let losses: Vec<f64> = (0..200).map(|at| random.normal() - fall * f64::from(at.min(80))).collect();
                    ask(&losses, patience)?;
                }
            }
            Ok(())
        })
        .hidden("losses that stay equal", 1.0, move || {
            ask(&[1.0, 0.5, 0.5, 0.5, 0.4], 2)?;
            ask(&[1.0; 40], 30)?;
            ask(&[2.0, 1.0, 2.0, 1.0, 0.5], 3)
        })
        .hidden("losses that are no numbers, or beyond them", 1.0, move || {
            ask(&[1.0, f64::NAN, 0.5], 30)?;
            ask(&[f64::NAN], 30)?;
            ask(&[1.0, 0.9, f64::INFINITY, 0.1], 30)?;
            ask(&[1.0, 0.9, f64::NEG_INFINITY], 30)
        })
        .hidden("no loss, and a run that does not end", 1.0, move || {
            ask(&[], 30)?;
            ask(&[0.7], 2)?;
            ask(&[3.0, 2.0, 1.0], 1)
        })
        .marks()
}

/// Descent as it is asked for: the objectives of all weights it sees, and the best weights.
fn descended(
    problem: &(Array2<f64>, Vec<u32>),
    classes: usize,
    c: f64,
    rate: f64,
    most: usize,
) -> (Vec<f64>, Array2<f64>) {
    let (features, labels) = problem;
    let mut weights = Array2::zeros((features.ncols(), classes));
    let mut best = weights.clone();
    let mut seen = vec![objective_of(features, labels, &weights, c)];
    for _ in 0..most {
        weights = &weights - &(rate * slopes(features, labels, &weights, c));
        let value = objective_of(features, labels, &weights, c);
        if seen.iter().all(|seen| value < *seen) {
            best = weights.clone();
        }
        seen.push(value);
    }
    (seen, best)
}

fn fitted(features: &Array2<f64>, labels: &[u32], c: f64) -> Result<Logistic> {
    // The library has intercepts of its own.
    let own = features.slice(s![.., ..features.ncols() - 1]).mapv(|value| value as f32);
    Logistic::params(c).tolerance(1e-7).max_iterations(2000).fit(&labelled(own, labels.to_vec())?)
}

/// Gradient descent from weights of 0: the objective of the weights is a loss, one more step makes the next, and the run ends by early
/// stopping or after the most steps. Gives the weights of the best loss.
pub fn descend(f: Descend) -> Marks {
    let ask = move |(features, labels): (Array2<f64>, Vec<u32>), c: f64| {
        let found = f(&features, &labels, 3, c, 0.5, 30, 1500);
        same(found.dim(), (features.ncols(), 3))?;
        let expected = fitted(&features, &labels, c).map_err(|error: Error| error.to_string())?.objective;
        near(objective_of(&features, &labels, &found, c), expected, 1e-5)
    };
    let data = |n, width, stream| {
        let (features, labels, _) = problem(n, width, 3, stream);
        (features, labels)
    };
    Sheet::new("a descent", 4.0)
        .visible("objective beside the library's, twenty images", move || ask(data(20, 2, 30), 1.0))
        .hidden("objectives beside the library's, the study's C", 1.0, move || {
            (31..33).try_for_each(|stream| ask(data(50, 4, stream), 1.0))
        })
        .hidden("objectives beside the library's, a strong penalty", 1.0, move || {
            (33..35).try_for_each(|stream| ask(data(50, 4, stream), 0.05))
        })
        .hidden("no step, and one", 1.0, move || {
            let (features, labels) = data(30, 3, 35);
            all_near(&f(&features, &labels, 3, 1.0, 0.5, 30, 0), &Array2::zeros((4, 3)), 0.0)?;
            let (_, expected) = descended(&(features.clone(), labels.clone()), 3, 1.0, 0.5, 1);
            all_near(&f(&features, &labels, 3, 1.0, 0.5, 30, 1), &expected, 1e-5)
        })
        .hidden("a rate so large that the objective rises again", 1.0, move || {
            const MOST: usize = 8;
            // The first of some problems in which the best weights are neither the first ones nor the last.
            let rises = |seen: &[f64]| {
                let best = (1..=MOST).fold(0, |best, at| if seen[at] < seen[best] { at } else { best });
                best > 1 && seen[MOST] > seen[best] + 0.01
            };
            for stream in 36..48 {
                let problem = data(30, 3, stream);
                for rate in [2.0, 3.0, 4.0, 6.0, 8.0, 12.0] {
                    let (seen, best) = descended(&problem, 3, 1.0, rate, MOST);
                    if rises(&seen) {
                        let found = f(&problem.0, &problem.1, 3, 1.0, rate, 30, MOST);
                        return all_near(&found, &best, 1e-4);
                    }
                }
            }
            Err("a problem in which a descent rises".into())
        })
        .marks()
}

/// A student's descent on small pictures of OpenEmoji, beside the library's fit. Not a check: a function that is not written says so.
pub fn emoji_table(f: Descend) -> Table {
    const CLASSES: usize = 6;
    let pictures = match pictures(CLASSES, 1) {
        Ok(pictures) => pictures,
        Err(error) => return Table { caption: error.to_string(), ..Table::default() },
    };
    let with_ones = |rows: &[Vec<f64>]| {
        let width = rows.first().map_or(0, Vec::len);
        Array2::from_shape_fn((rows.len(), width + 1), |(row, column)| {
            if column < width { f64::from((2.0 * rows[row][column] - 1.0) as f32) } else { 1.0 }
        })
    };
    let (features, labels) = (with_ones(&pictures.train.0), pictures.train.1);
    let (test, truth) = (with_ones(&pictures.test.0), pictures.test.1);
    let said = |scores: &Array2<f64>| -> Vec<u32> {
        scores.rows().into_iter().map(|row| largest(&row.to_vec()) as u32).collect()
    };
    let yours = |steps: usize| -> Vec<Cell> {
        let (a, b) = (features.clone(), labels.clone());
        let cells = match given(move || f(&a, &b, CLASSES, 1.0, 0.02, 30, steps)) {
            Some(weights) if weights.dim() == (features.ncols(), CLASSES) => {
                let objective = objective_of(&features, &labels, &weights, 1.0);
                [format!("{objective:.4}"), percent_right(&said(&test.dot(&weights)), &truth)]
            }
            Some(weights) => [format!("weights of shape {:?}", weights.dim()), String::new()],
            None => ["not written yet".into(), String::new()],
        };
        [vec![format!("yours, {steps} steps")], cells.to_vec()].concat().into_iter().map(Cell::from).collect()
    };
    let library = || -> Result<Vec<Cell>> {
        let model = fitted(&features, &labels, 1.0)?;
        let queries = test.slice(s![.., ..test.ncols() - 1]).mapv(|value| value as f32);
        let right = percent_right(&model.try_predict(queries.view())?.to_vec(), &truth);
        Ok(["the library's".into(), format!("{:.4}", model.objective), right].map(Cell::from).to_vec())
    };
    let mut rows = vec![yours(10), yours(100), yours(1000)];
    rows.push(library().unwrap_or_else(|error| vec![Cell::from(error.to_string()); 3]));
    Table {
        caption: format!("{CLASSES} classes of OpenEmoji: {} to learn from, {} to answer", labels.len(), truth.len()),
        header: ["fit", "objective", "accuracy"].map(String::from).to_vec(),
        rows,
    }
}
