//! Checks of assignment 4: a right answer has all points, a half-right one exactly those of what it does right.

#[path = "support/marks.rs"]
mod marks;

use marks::holds_unwritten;
use wider_clip::course::logistic as check;
use wider_clip::ndarray::{Array2, Axis, s};

fn softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|exp| exp / sum).collect()
}

fn naive(logits: &[f64]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
    logits.iter().map(|logit| logit.exp() / sum).collect()
}

#[test]
fn probabilities_are_marked() {
    assert_eq!(check::softmax(softmax).points(), 2.0);
    holds_unwritten(check::softmax(|_| todo!()));
    assert_eq!(check::softmax(|_| vec![0.5, 0.5]).points(), 0.0);
    assert_eq!(check::softmax(|logits| logits.iter().map(|logit| logit.exp()).collect()).points(), 0.0);
    assert_eq!(check::softmax(naive).points(), 1.5);
}

type Of<T> = fn(&Array2<f64>, &[u32], &Array2<f64>, f64) -> T;

fn loss(x: &Array2<f64>, labels: &[u32], w: &Array2<f64>) -> f64 {
    let z = x.dot(w);
    let of = |(row, &label): (usize, &u32)| {
        let z = z.row(row);
        let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + z.iter().map(|z| (z - most).exp()).sum::<f64>().ln() - z[label as usize]
    };
    labels.iter().enumerate().map(of).sum::<f64>() / labels.len() as f64
}

fn penalty(w: &Array2<f64>, rows: usize, c: f64, n: usize) -> f64 {
    w.slice(s![..rows, ..]).iter().map(|w| w * w).sum::<f64>() / (2.0 * c * n as f64)
}

fn objective(x: &Array2<f64>, labels: &[u32], w: &Array2<f64>, c: f64) -> f64 {
    loss(x, labels, w) + penalty(w, w.nrows() - 1, c, labels.len())
}

#[test]
fn objectives_are_marked() {
    let intercepts_too: Of<f64> = |x, labels, w, c| loss(x, labels, w) + penalty(w, w.nrows(), c, labels.len());
    let naive_loss: Of<f64> = |x, labels, w, c| {
        let z = x.dot(w);
        let one = |(row, label): (usize, &u32)| -naive(&z.row(row).to_vec())[*label as usize].ln();
        let n = labels.len();
        labels.iter().enumerate().map(one).sum::<f64>() / n as f64 + penalty(w, w.nrows() - 1, c, n)
    };
    assert_eq!(check::objective(objective).points(), 3.0);
    holds_unwritten(check::objective(|_, _, _, _| todo!()));
    assert_eq!(check::objective(|_, _, _, _| 3f64.ln()).points(), 0.0);
    assert_eq!(check::objective(intercepts_too).points(), 2.0);
    assert_eq!(check::objective(naive_loss).points(), 2.0);
    assert_eq!(check::objective(|x, labels, w, _| loss(x, labels, w)).points(), 1.0);
}

fn slope(x: &Array2<f64>, labels: &[u32], w: &Array2<f64>, soft: fn(&[f64]) -> Vec<f64>) -> Array2<f64> {
    let mut residuals = x.dot(w);
    for (mut row, &label) in residuals.axis_iter_mut(Axis(0)).zip(labels) {
        let p = soft(&row.to_vec());
        row.iter_mut().zip(p).for_each(|(to, p)| *to = p);
        row[label as usize] -= 1.0;
    }
    x.t().dot(&residuals) / labels.len() as f64
}

fn with_penalty(mut slope: Array2<f64>, w: &Array2<f64>, rows: usize, c: f64, n: usize) -> Array2<f64> {
    let mut own = slope.slice_mut(s![..rows, ..]);
    own += &(&w.slice(s![..rows, ..]) / (c * n as f64));
    slope
}

fn gradient(x: &Array2<f64>, labels: &[u32], w: &Array2<f64>, c: f64) -> Array2<f64> {
    with_penalty(slope(x, labels, w, softmax), w, w.nrows() - 1, c, labels.len())
}

#[test]
fn gradients_are_marked() {
    let intercepts_too: Of<Array2<f64>> =
        |x, labels, w, c| with_penalty(slope(x, labels, w, softmax), w, w.nrows(), c, labels.len());
    let overflowing: Of<Array2<f64>> =
        |x, labels, w, c| with_penalty(slope(x, labels, w, naive), w, w.nrows() - 1, c, labels.len());
    assert_eq!(check::gradient(gradient).points(), 4.0);
    holds_unwritten(check::gradient(|_, _, _, _| todo!()));
    assert_eq!(check::gradient(|_, _, w, _| 0.0 * w).points(), 0.0);
    assert_eq!(check::gradient(|x, labels, w, c| gradient(x, labels, w, c) * labels.len() as f64).points(), 0.0);
    assert_eq!(check::gradient(intercepts_too).points(), 3.0);
    // N is forgotten in the penalty.
    let not_by_n: Of<Array2<f64>> = |x, labels, w, c| gradient(x, labels, w, c / labels.len() as f64);
    assert_eq!(check::gradient(not_by_n).points(), 2.0);
    assert_eq!(check::gradient(overflowing).points(), 3.0);
    assert_eq!(check::gradient(|x, labels, w, _| slope(x, labels, w, softmax)).points(), 2.0);
}

#[test]
fn steps_are_marked() {
    assert_eq!(check::step(|x, labels, w, c, rate| w - &(rate * gradient(x, labels, w, c))).points(), 2.0);
    holds_unwritten(check::step(|_, _, _, _, _| todo!()));
    assert_eq!(check::step(|x, labels, w, c, rate| w + &(rate * gradient(x, labels, w, c))).points(), 0.0);
    assert_eq!(check::step(|_, _, w, _, _| w.clone()).points(), 0.0);
    // No penalty; always the same rate.
    assert_eq!(check::step(|x, labels, w, _, rate| w - &(rate * slope(x, labels, w, softmax))).points(), 1.0);
    assert_eq!(check::step(|x, labels, w, c, _| w - &(0.5 * gradient(x, labels, w, c))).points(), 1.0);
}

type Ended = (Option<usize>, Option<usize>);

fn ended(losses: &[f64], patience: usize, better: fn(f64, f64) -> bool, at_once: bool) -> Ended {
    let (mut best, mut waited): (Option<usize>, usize) = (None, 0);
    for (place, &loss) in losses.iter().enumerate() {
        if at_once && !loss.is_finite() {
            return (best, Some(place));
        }
        if best.is_none_or(|best| better(loss, losses[best])) {
            (best, waited) = (Some(place), 0);
        } else {
            waited += 1;
            if waited >= patience {
                return (best, Some(place));
            }
        }
    }
    (best, None)
}

#[test]
fn stops_are_marked() {
    assert_eq!(check::stop(|losses, patience| ended(losses, patience, |a, b| a < b, true)).points(), 3.0);
    holds_unwritten(check::stop(|_, _| todo!()));
    assert_eq!(check::stop(|_, _| (Some(1), Some(3))).points(), 0.0);
    assert_eq!(check::stop(|losses, patience| ended(losses, patience, |a, b| a <= b, true)).points(), 2.25);
    assert_eq!(check::stop(|losses, patience| ended(losses, patience, |a, b| a < b, false)).points(), 2.25);
    assert_eq!(check::stop(|losses, patience| ended(losses, patience + 1, |a, b| a < b, true)).points(), 1.5);
}

type Descent = fn(&Array2<f64>, &[u32], usize, f64, f64, usize, usize) -> Array2<f64>;

/// All weights of a descent that ends by patience or after the most steps, and the place of the best.
fn path(x: &Array2<f64>, labels: &[u32], c: f64, rate: f64, most: usize, k: usize) -> (Vec<Array2<f64>>, usize) {
    let mut path = vec![Array2::zeros((x.ncols(), k))];
    let mut losses = vec![objective(x, labels, &path[0], c)];
    while path.len() <= most && ended(&losses, 30, |a, b| a < b, true).1.is_none() {
        let last = &path[path.len() - 1];
        let next = last - &(rate * gradient(x, labels, last, c));
        losses.push(objective(x, labels, &next, c));
        path.push(next);
    }
    let best = ended(&losses, 30, |a, b| a < b, true).0.unwrap();
    (path, best)
}

#[test]
fn descents_are_marked() {
    let right: Descent = |x, labels, k, c, rate, _, most| {
        let (path, best) = path(x, labels, c, rate, most, k);
        path[best].clone()
    };
    let last: Descent = |x, labels, k, c, rate, _, most| path(x, labels, c, rate, most, k).0.pop().unwrap();
    let no_penalty: Descent = |x, labels, k, _, rate, _, most| {
        let (path, best) = path(x, labels, 1e12, rate, most, k);
        path[best].clone()
    };
    let short: Descent = |x, labels, k, c, rate, _, most| {
        let (path, best) = path(x, labels, c, rate, most.min(8), k);
        path[best].clone()
    };
    let intercepts_too: Descent = |x, labels, k, c, rate, _, most| {
        let n = labels.len();
        let all = |w: &Array2<f64>| loss(x, labels, w) + penalty(w, w.nrows(), c, n);
        let (mut w, mut best) = (Array2::zeros((x.ncols(), k)), Array2::zeros((x.ncols(), k)));
        for _ in 0..most {
            w = &w - &(rate * with_penalty(slope(x, labels, &w, softmax), &w, w.nrows(), c, n));
            if all(&w) < all(&best) {
                best = w.clone();
            }
        }
        best
    };
    assert_eq!(check::descend(right).points(), 4.0);
    holds_unwritten(check::descend(|_, _, _, _, _, _, _| todo!()));
    assert_eq!(check::descend(|x, _, k, _, _, _, _| Array2::zeros((x.ncols(), k))).points(), 0.0);
    assert_eq!(check::descend(last).points(), 3.0);
    // From 0, the first step is that without a penalty.
    assert_eq!(check::descend(no_penalty).points(), 1.0);
    assert_eq!(check::descend(short).points(), 2.0);
    assert_eq!(check::descend(intercepts_too).points(), 1.0);
}

#[test]
fn a_table_is_made_of_any_answer() {
    let table = check::emoji_table(|x, labels, k, c, rate, _, most| {
        let (path, best) = path(x, labels, c, rate, most, k);
        path[best].clone()
    });
    let objectives: Vec<f64> = table.rows.iter().map(|row| row[1].text.parse().unwrap()).collect();
    assert!(objectives.is_sorted_by(|a, b| a >= b), "{objectives:?}");
    let table = check::emoji_table(|_, _, _, _, _, _, _| todo!());
    assert!(table.rows[..3].iter().all(|row| row[1].text == "not written yet"));
    let table = check::emoji_table(|_, _, _, _, _, _, _| Array2::zeros((1, 1)));
    assert!(table.rows[0][1].text.starts_with("weights of shape"));
}
