//! Stands in for `quantised.rs` where the processor has no such instructions: there is nothing to propose with.

use super::Metric;
use super::proposals::Proposals;
use ndarray::{ArrayView1, ArrayView2};

/// Never made.
#[derive(Debug, Clone)]
pub(super) enum Quantised {}

impl Quantised {
    /// No.
    pub fn available() -> bool {
        false
    }

    /// Not called, as nothing is available.
    pub fn new(_: Metric, _: ArrayView2<f32>, _: f32, _: ArrayView1<f32>, _: ArrayView1<f32>) -> Quantised {
        unreachable!("8-bit products are not available on this processor")
    }

    /// Not called, as there is none.
    pub fn propose(&self, _: ArrayView2<f32>, _: usize) -> Vec<Proposals> {
        match *self {}
    }
}
