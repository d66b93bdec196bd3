//! The one comparison of numbers: shapes first, then that every number of both sides is finite, then how far they are
//! apart and where. A NaN is equal to nothing: folds with `max` pass over it, so no test folds for itself.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::fmt;
use wider_clip::candle_core::{DType, Tensor};
use wider_clip::ndarray::{Array, Dimension};

/// What can be compared: a shape and numbers, row by row.
pub trait Numbers {
    fn shape_and_values(&self) -> (Vec<usize>, Vec<f64>);
}

impl Numbers for Tensor {
    fn shape_and_values(&self) -> (Vec<usize>, Vec<f64>) {
        let values = self.to_dtype(DType::F64).and_then(|t| t.flatten_all()).and_then(|t| t.to_vec1());
        (self.dims().to_vec(), values.expect("a tensor of numbers"))
    }
}

impl<T: Copy + Into<f64>> Numbers for [T] {
    fn shape_and_values(&self) -> (Vec<usize>, Vec<f64>) {
        (vec![self.len()], self.iter().map(|&value| value.into()).collect())
    }
}

impl<T: Copy + Into<f64>> Numbers for Vec<T> {
    fn shape_and_values(&self) -> (Vec<usize>, Vec<f64>) {
        self.as_slice().shape_and_values()
    }
}

impl<T: Copy + Into<f64>, D: Dimension> Numbers for Array<T, D> {
    fn shape_and_values(&self) -> (Vec<usize>, Vec<f64>) {
        (self.shape().to_vec(), self.iter().map(|&value| value.into()).collect())
    }
}

/// How far two arrays are apart. It compares with a number by `relative`, and says where when it is printed.
#[derive(Debug, Clone)]
pub struct Off {
    /// Largest difference.
    pub absolute: f64,
    /// The largest absolute value expected.
    pub largest: f64,
    /// The one over the other.
    pub relative: f64,
    /// Where the largest difference is, and the two numbers there.
    pub at: Vec<usize>,
    pub found: f64,
    pub expected: f64,
}

impl fmt::Display for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Off { absolute, relative, at, found, expected, .. } = self;
        write!(f, "{relative:.1e} of the largest ({absolute:.1e} at {at:?}, {found} for {expected})")
    }
}

impl fmt::LowerExp for Off {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerExp::fmt(&self.relative, f)
    }
}

impl PartialEq<f64> for Off {
    fn eq(&self, limit: &f64) -> bool {
        self.relative == *limit
    }
}

impl PartialOrd<f64> for Off {
    fn partial_cmp(&self, limit: &f64) -> Option<std::cmp::Ordering> {
        self.relative.partial_cmp(limit)
    }
}

/// The place of number `i` in an array of this shape.
fn place(mut i: usize, shape: &[usize]) -> Vec<usize> {
    let mut at = vec![0; shape.len()];
    for (axis, &n) in shape.iter().enumerate().rev() {
        at[axis] = i % n;
        i /= n;
    }
    at
}

/// Both as lists, of one shape, not empty, all finite.
#[track_caller]
fn pair(found: &(impl Numbers + ?Sized), expected: &(impl Numbers + ?Sized)) -> (Vec<usize>, Vec<f64>, Vec<f64>) {
    let ((shape, found), (wanted, expected)) = (found.shape_and_values(), expected.shape_and_values());
    assert_eq!(shape, wanted, "shapes, found and expected");
    assert!(!expected.is_empty(), "no numbers to compare in {shape:?}");
    for (what, values) in [("found", &found), ("expected", &expected)] {
        if let Some(i) = values.iter().position(|value| !value.is_finite()) {
            panic!("{what}: {} at {:?}", values[i], place(i, &shape));
        }
    }
    (shape, found, expected)
}

/// The largest difference, absolute and over the largest absolute value of the second.
#[track_caller]
pub fn relative(found: &(impl Numbers + ?Sized), expected: &(impl Numbers + ?Sized)) -> Off {
    let (shape, found, expected) = pair(found, expected);
    let apart = |i: &usize| (found[*i] - expected[*i]).abs();
    let worst = (0..found.len()).max_by(|a, b| apart(a).total_cmp(&apart(b))).expect("not empty");
    let largest = expected.iter().fold(1e-30, |largest: f64, value| largest.max(value.abs()));
    let absolute = apart(&worst);
    Off {
        absolute,
        largest,
        relative: absolute / largest,
        at: place(worst, &shape),
        found: found[worst],
        expected: expected[worst],
    }
}

/// The largest absolute difference.
#[track_caller]
pub fn absolute(found: &(impl Numbers + ?Sized), expected: &(impl Numbers + ?Sized)) -> f64 {
    relative(found, expected).absolute
}

/// Holds `found` to `expected` by [`relative`].
#[track_caller]
pub fn close(what: &str, found: &(impl Numbers + ?Sized), expected: &(impl Numbers + ?Sized), limit: f64) -> Off {
    let off = relative(found, expected);
    println!("{what} differs by {off}");
    assert!(off < limit, "{what} differs by {off}, allowed {limit:.0e}");
    off
}

/// |a - b| / |b| in the Euclidean norm.
#[track_caller]
pub fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let (_, a, b) = pair(a, b);
    let length = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    length(&mut a.iter().zip(&b).map(|(a, b)| a - b)) / length(&mut b.iter().copied()).max(1e-30)
}

/// The Euclidean norm.
#[track_caller]
pub fn norm(t: &Tensor) -> f64 {
    let (_, values, _) = pair(t, t);
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}
