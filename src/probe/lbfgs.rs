//! L-BFGS with a strong Wolfe line search (Nocedal and Wright, Numerical Optimization, 2nd ed., algorithms 7.4, 7.5,
//! 3.5 and 3.6), for smooth convex functions of many variables.

use std::collections::VecDeque;

const MEMORY: usize = 10;
const SUFFICIENT_DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
const MOST_STEPS_A_LINE: usize = 50;

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    /// Largest absolute gradient entry at which the point counts as the minimum.
    pub tolerance: f64,
    /// Most iterations (each may evaluate the function a few times).
    pub max_iterations: usize,
}

/// Where the search ended.
#[derive(Debug, Clone)]
pub(super) struct Minimum {
    pub x: Vec<f64>,
    pub value: f64,
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

/// Minimises `f`, which fills the gradient and gives the value, from `x`.
pub(super) fn minimise(mut f: impl FnMut(&[f64], &mut [f64]) -> f64, x: Vec<f64>, stop: Stop) -> Minimum {
    let mut gradient = vec![0.0; x.len()];
    let mut value = f(&x, &mut gradient);
    let mut x = x;
    let mut history: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::with_capacity(MEMORY);
    let mut iterations = 0;
    while largest(&gradient) > stop.tolerance && iterations < stop.max_iterations {
        let mut direction = two_loop(&gradient, &history);
        if dot(&direction, &gradient) >= 0.0 {
            history.clear();
            direction = gradient.iter().map(|g| -g).collect();
        }
        let first_step = if history.is_empty() { 1.0 / norm(&gradient).max(1.0) } else { 1.0 };
        let start = Point { step: 0.0, slope: dot(&direction, &gradient), x, value, gradient };
        let Some(next) = line_search(&mut f, &start, &direction, first_step) else {
            // No step lowers the function any further: rounding has the last word.
            (x, value, gradient) = (start.x, start.value, start.gradient);
            break;
        };
        iterations += 1;
        let moved: Vec<f64> = next.x.iter().zip(&start.x).map(|(a, b)| a - b).collect();
        let changed: Vec<f64> = next.gradient.iter().zip(&start.gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&moved, &changed);
        if curvature > 1e-10 * norm(&moved) * norm(&changed) {
            if history.len() == MEMORY {
                history.pop_front();
            }
            history.push_back((moved, changed, curvature));
        }
        (x, value, gradient) = (next.x, next.value, next.gradient);
    }
    let gradient_norm = largest(&gradient);
    Minimum { x, value, gradient_norm, iterations, converged: gradient_norm <= stop.tolerance }
}

/// The quasi-Newton direction: minus the inverse Hessian, as the history knows it, times the gradient.
fn two_loop(gradient: &[f64], history: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut weights = Vec::with_capacity(history.len());
    for (moved, changed, curvature) in history.iter().rev() {
        let weight = dot(moved, &q) / curvature;
        add_scaled(&mut q, changed, -weight);
        weights.push(weight);
    }
    if let Some((_, changed, curvature)) = history.back() {
        let scale = curvature / dot(changed, changed);
        q.iter_mut().for_each(|entry| *entry *= scale);
    }
    for ((moved, changed, curvature), weight) in history.iter().zip(weights.into_iter().rev()) {
        let other = dot(changed, &q) / curvature;
        add_scaled(&mut q, moved, weight - other);
    }
    q
}

/// A step along `direction` that meets the strong Wolfe conditions, or the best decrease found, or none.
fn line_search(
    f: &mut impl FnMut(&[f64], &mut [f64]) -> f64,
    start: &Point,
    direction: &[f64],
    first_step: f64,
) -> Option<Point> {
    let mut at = |step: f64| {
        let x: Vec<f64> = start.x.iter().zip(direction).map(|(x, d)| x + step * d).collect();
        let mut gradient = vec![0.0; x.len()];
        let value = f(&x, &mut gradient);
        Point { step, slope: dot(&gradient, direction), x, value, gradient }
    };
    let too_high = |point: &Point| {
        !point.value.is_finite() || point.value > start.value + SUFFICIENT_DECREASE * point.step * start.slope
    };
    let flat_enough = |point: &Point| point.slope.abs() <= -CURVATURE * start.slope;
    // `low` has the lowest value that decreases enough; a minimum lies between it and `high` once there is a `high`.
    let mut low: Option<Point> = None;
    let mut high: Option<(f64, f64)> = None;
    let mut step = first_step;
    for _ in 0..MOST_STEPS_A_LINE {
        let point = at(step);
        let low_value = low.as_ref().map_or(start.value, |low| low.value);
        if too_high(&point) || (point.value >= low_value && low.is_some()) {
            high = Some((point.step, point.value));
        } else if flat_enough(&point) {
            return Some(point);
        } else {
            let low_step = low.as_ref().map_or(0.0, |low| low.step);
            let towards_high = high.map_or(1.0, |(high_step, _)| high_step - low_step);
            if point.slope * towards_high >= 0.0 {
                high = Some((low_step, low_value));
            }
            low = Some(point);
        }
        let (low_step, low_value, low_slope) =
            low.as_ref().map_or((0.0, start.value, start.slope), |low| (low.step, low.value, low.slope));
        step = match high {
            None => 2.0 * step,
            Some((high_step, high_value)) => between(low_step, low_value, low_slope, high_step, high_value),
        };
        if (step - low_step).abs() <= 1e-14 * step.abs().max(1e-300) {
            break;
        }
    }
    low.filter(|low| low.value < start.value)
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

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// The largest absolute entry; NaN where any entry is.
fn largest(a: &[f64]) -> f64 {
    match a.iter().any(|entry| entry.is_nan()) {
        true => f64::NAN,
        false => a.iter().fold(0.0, |largest, entry| f64::max(largest, entry.abs())),
    }
}

fn add_scaled(a: &mut [f64], b: &[f64], scale: f64) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += scale * b);
}
