//! L-BFGS with a strong Wolfe line search (Nocedal and Wright, Numerical Optimization, 2nd ed., algorithms 7.4, 7.5,
//! 3.5 and 3.6), for smooth convex functions of many variables.

use std::collections::VecDeque;

const MEMORY: usize = 10;
const SUFFICIENT_DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
const MOST_STEPS_A_LINE: usize = 50;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop<'a> {
    /// Largest absolute gradient entry at which the point counts as the minimum.
    pub tolerance: f64,
    /// Most iterations (each may evaluate the function a few times).
    pub max_iterations: usize,
    /// What the entries of the gradient are multiplied by before they are held against the tolerance; 1 for entries beyond its
    /// end, so for all where it is empty.
    pub factors: &'a [f64],
}

impl Stop<'_> {
    fn norm(&self, gradient: &[f64]) -> f64 {
        let (with, without) = gradient.split_at(self.factors.len().min(gradient.len()));
        let scaled: f64 = with.iter().zip(self.factors).fold(0.0, |most, (entry, factor)| {
            let entry = (entry * factor).abs();
            if entry <= most { most } else { entry }
        });
        let rest = largest(without);
        if scaled <= rest { rest } else { scaled }
    }
}

/// Where the search ended.
#[derive(Debug, Clone)]
pub(super) struct Minimum {
    pub x: Vec<f64>,
    pub value: f64,
    pub gradient: Vec<f64>,
    /// Largest absolute gradient entry.
    pub gradient_norm: f64,
    pub iterations: usize,
    pub converged: bool,
}

/// Value and gradient at a point, with the derivative along the current line.
struct Point {
    step: f64,
    x: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    slope: f64,
}

/// A past step: what moved, how the gradient changed, and their inner product.
struct Pair {
    moved: Vec<f64>,
    changed: Vec<f64>,
    curvature: f64,
}

/// Minimises `f`, which fills the gradient and gives the value, from `x`.
pub(super) fn minimise(mut f: impl FnMut(&[f64], &mut [f64]) -> f64, x: Vec<f64>, stop: Stop) -> Minimum {
    let mut gradient = vec![0.0; x.len()];
    let value = f(&x, &mut gradient);
    let mut at = Point { step: 0.0, x, value, gradient, slope: 0.0 };
    let mut history: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    let mut direction = vec![0.0; at.x.len()];
    let mut spare = Spare(Vec::new());
    let mut iterations = 0;
    while stop.norm(&at.gradient) > stop.tolerance && iterations < stop.max_iterations {
        two_loop(&at.gradient, &history, &mut direction);
        at.slope = dot(&direction, &at.gradient);
        if at.slope >= 0.0 {
            history.clear();
            direction.iter_mut().zip(&at.gradient).for_each(|(d, g)| *d = -g);
            at.slope = -dot(&at.gradient, &at.gradient);
        }
        let first_step = if history.is_empty() { 1.0 / norm(&at.gradient).max(1.0) } else { 1.0 };
        at.step = 0.0;
        // Where no step lowers the function any further, rounding has the last word.
        let Some(next) = line_search(&mut f, &at, &direction, first_step, &mut spare) else { break };
        iterations += 1;
        let last = std::mem::replace(&mut at, next);
        remember(&mut history, &mut spare, last, &at);
    }
    let gradient_norm = stop.norm(&at.gradient);
    let converged = gradient_norm <= stop.tolerance;
    Minimum { x: at.x, value: at.value, gradient: at.gradient, gradient_norm, iterations, converged }
}

/// Keeps the step from `last` to `at`, whose vectors it is written into, unless it tells nothing of the curvature.
fn remember(history: &mut VecDeque<Pair>, spare: &mut Spare, last: Point, at: &Point) {
    let Point { x: mut moved, gradient: mut changed, .. } = last;
    moved.iter_mut().zip(&at.x).for_each(|(before, now)| *before = now - *before);
    changed.iter_mut().zip(&at.gradient).for_each(|(before, now)| *before = now - *before);
    let curvature = dot(&moved, &changed);
    if curvature <= 1e-10 * norm(&moved) * norm(&changed) {
        return spare.0.extend([moved, changed]);
    }
    if history.len() == MEMORY
        && let Some(oldest) = history.pop_front()
    {
        spare.0.extend([oldest.moved, oldest.changed]);
    }
    history.push_back(Pair { moved, changed, curvature });
}

/// Vectors to use again.
struct Spare(Vec<Vec<f64>>);

impl Spare {
    fn take(&mut self, len: usize) -> Vec<f64> {
        self.0.pop().unwrap_or_else(|| vec![0.0; len])
    }
}

/// The quasi-Newton direction: minus the inverse Hessian, as the history knows it, times the gradient.
fn two_loop(gradient: &[f64], history: &VecDeque<Pair>, q: &mut [f64]) {
    q.iter_mut().zip(gradient).for_each(|(q, g)| *q = -g);
    let mut weights = Vec::with_capacity(history.len());
    for pair in history.iter().rev() {
        let weight = dot(&pair.moved, q) / pair.curvature;
        add_scaled(q, &pair.changed, -weight);
        weights.push(weight);
    }
    if let Some(pair) = history.back() {
        let scale = pair.curvature / dot(&pair.changed, &pair.changed);
        q.iter_mut().for_each(|entry| *entry *= scale);
    }
    for (pair, weight) in history.iter().zip(weights.into_iter().rev()) {
        let other = dot(&pair.changed, q) / pair.curvature;
        add_scaled(q, &pair.moved, weight - other);
    }
}

/// A step along `direction` that meets the strong Wolfe conditions, or the best decrease found, or none.
fn line_search(
    f: &mut impl FnMut(&[f64], &mut [f64]) -> f64,
    start: &Point,
    direction: &[f64],
    first_step: f64,
    spare: &mut Spare,
) -> Option<Point> {
    let mut at = |step: f64, spare: &mut Spare| {
        let mut x = spare.take(direction.len());
        x.iter_mut().zip(start.x.iter().zip(direction)).for_each(|(to, (x, d))| *to = x + step * d);
        let mut gradient = spare.take(direction.len());
        let value = f(&x, &mut gradient);
        Point { step, slope: dot(&gradient, direction), x, value, gradient }
    };
    // Near the minimum, steps change the value by less than its rounding: there the slope alone decides (the approximate
    // Wolfe conditions of Hager and Zhang 2005).
    let rounding = 8.0 * f64::EPSILON * start.value.abs();
    let too_high = |point: &Point| {
        !point.value.is_finite()
            || point.value > start.value + rounding + SUFFICIENT_DECREASE * point.step * start.slope
    };
    let flat_enough = |point: &Point| point.slope.abs() <= -CURVATURE * start.slope;
    // `low` has the lowest value that decreases enough; a minimum lies between it and `high` once there is a `high`.
    let mut low: Option<Point> = None;
    let mut high: Option<(f64, f64)> = None;
    let mut step = first_step;
    let (mut low_step, mut low_value, mut low_slope) = (0.0, start.value, start.slope);
    for _ in 0..MOST_STEPS_A_LINE {
        let point = at(step, spare);
        if too_high(&point) || (point.value >= low_value + rounding && low.is_some()) {
            high = Some((point.step, point.value));
            spare.0.extend([point.x, point.gradient]);
        } else if flat_enough(&point) {
            return Some(point);
        } else {
            let towards_high = high.map_or(1.0, |(high_step, _)| high_step - low_step);
            if point.slope * towards_high >= 0.0 {
                high = Some((low_step, low_value));
            }
            if let Some(before) = low.replace(point) {
                spare.0.extend([before.x, before.gradient]);
            }
        }
        let before = (low_step, low_slope);
        (low_step, low_value, low_slope) =
            low.as_ref().map_or((0.0, start.value, start.slope), |low| (low.step, low.value, low.slope));
        step = match high {
            None => beyond(before, (low_step, low_slope)),
            Some((high_step, high_value)) => between(low_step, low_value, low_slope, high_step, high_value),
        };
        if (step - low_step).abs() <= 1e-14 * step.abs().max(1e-300) {
            break;
        }
    }
    low.filter(|low| low.value < start.value)
}

/// A step beyond the last of two points (step, slope), to where their line of slopes reaches 0, at least double and at
/// most ten times as far.
fn beyond(before: (f64, f64), last: (f64, f64)) -> f64 {
    let flattening = last.1 - before.1;
    let guess = if flattening > 0.0 { last.0 - last.1 * (last.0 - before.0) / flattening } else { f64::INFINITY };
    guess.clamp(2.0 * last.0, 10.0 * last.0)
}

/// The minimum of the parabola through the low point, its slope and the high point, kept off both ends.
fn between(low: f64, low_value: f64, low_slope: f64, high: f64, high_value: f64) -> f64 {
    let width = high - low;
    let bend = high_value - low_value - low_slope * width;
    let guess = if bend > 0.0 && bend.is_finite() { -low_slope * width * width / (2.0 * bend) } else { 0.5 * width };
    let fraction = guess / width;
    let fraction = if fraction.is_finite() { fraction.clamp(0.1, 0.9) } else { 0.5 };
    low + fraction * width
}

/// Sums kept side by side, so that the additions do not wait for each other.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0f64; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum::<f64>() + rest
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// The largest absolute entry; NaN where any entry is.
fn largest(a: &[f64]) -> f64 {
    a.iter().fold(0.0, |largest, entry| if entry.abs() <= largest { largest } else { entry.abs() })
}

fn add_scaled(a: &mut [f64], b: &[f64], scale: f64) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += scale * b);
}
