//! Matrix products for the probes, on the `gemm` crate that candle uses.
//!
//! Measured on two cores: `ndarray`'s own product runs on one thread; gemm reaches what the hardware has.

use ndarray::{ArrayView2, ArrayViewMut2};

/// The two precisions that probes compute in.
pub(super) trait Real: Copy + Default + Send + Sync + 'static {
    /// One.
    const ONE: Self;
    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
}

impl Real for f32 {
    const ONE: f32 = 1.0;
    fn from_f64(value: f64) -> f32 {
        value as f32
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    const ONE: f64 = 1.0;
    fn from_f64(value: f64) -> f64 {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
}

/// `out = a b`, for any strides. Shapes `(M, K)`, `(K, N)`, `(M, N)`.
///
/// # Panics
/// Where the shapes do not fit; callers in this crate check them first.
pub(super) fn multiply<T: Real>(a: ArrayView2<T>, b: ArrayView2<T>, mut out: ArrayViewMut2<T>) {
    let (m, k) = a.dim();
    let n = b.ncols();
    assert_eq!((b.nrows(), out.dim()), (k, (m, n)), "shapes of a matrix product");
    let strides = |strides: &[isize]| (strides[1], strides[0]);
    let (a_columns, a_rows) = strides(a.strides());
    let (b_columns, b_rows) = strides(b.strides());
    let (out_columns, out_rows) = strides(out.strides());
    // SAFETY: pointers and strides come from live views whose shapes were compared above, and `out` is borrowed
    // mutably, so it overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            out_columns,
            out_rows,
            false,
            a.as_ptr(),
            a_columns,
            a_rows,
            b.as_ptr(),
            b_columns,
            b_rows,
            T::default(),
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}
