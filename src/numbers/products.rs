//! Matrix products on the `gemm` crate that candle uses, and sums of products of rows.
//!
//! Measured on two cores: `ndarray`'s own product runs on one thread; gemm reaches what the hardware has.

use crate::simd::{Kernel, dispatch};
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

/// The two precisions that probes compute in.
pub trait Real: Copy + Default + Send + Sync + 'static {
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

/// Who computes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// All of Rayon's pool.
    All,
    /// The calling thread, where the caller itself runs in parallel.
    One,
}

/// `out = a b`, for any strides. Shapes `(M, K)`, `(K, N)`, `(M, N)`.
///
/// # Panics
/// Where the shapes do not fit; callers in this crate check them first.
pub fn multiply<T: Real>(threads: Threads, a: ArrayView2<T>, b: ArrayView2<T>, out: ArrayViewMut2<T>) {
    product(threads, a, b, out, false);
}

/// `out = out + a b`, otherwise as [`multiply`].
pub fn multiply_onto<T: Real>(threads: Threads, a: ArrayView2<T>, b: ArrayView2<T>, out: ArrayViewMut2<T>) {
    product(threads, a, b, out, true);
}

fn product<T: Real>(threads: Threads, a: ArrayView2<T>, b: ArrayView2<T>, mut out: ArrayViewMut2<T>, onto: bool) {
    let (m, k) = a.dim();
    let n = b.ncols();
    assert_eq!((b.nrows(), out.dim()), (k, (m, n)), "shapes of a matrix product");
    let strides = |strides: &[isize]| (strides[1], strides[0]);
    let (a_columns, a_rows) = strides(a.strides());
    let (b_columns, b_rows) = strides(b.strides());
    let (out_columns, out_rows) = strides(out.strides());
    let parallelism = match threads {
        Threads::All => gemm::Parallelism::Rayon(0),
        Threads::One => gemm::Parallelism::None,
    };
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
            onto,
            a.as_ptr(),
            a_columns,
            a_rows,
            b.as_ptr(),
            b_columns,
            b_rows,
            if onto { T::ONE } else { T::default() },
            T::ONE,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Rows of inner products that are computed together.
const BAND: usize = 256;
/// Side of the tiles in which inner products are mirrored.
const TILE: usize = 64;

/// The inner products `(N, N)` of all rows: the lower half band by band, each on one thread, then mirrored.
pub fn inner_products<T: Real>(rows: ArrayView2<T>) -> Array2<T> {
    let n = rows.nrows();
    let mut products = Array2::<T>::default((n, n));
    // The longest bands first, so that none is waited for at the end.
    let mut bands: Vec<_> = products.axis_chunks_iter_mut(Axis(0), BAND).enumerate().collect();
    bands.reverse();
    bands.into_par_iter().with_max_len(1).for_each(|(number, mut band)| {
        let start = number * BAND;
        let end = start + band.nrows();
        let out = band.slice_mut(s![.., ..end]);
        multiply(Threads::One, rows.slice(s![start..end, ..]), rows.slice(s![..end, ..]).t(), out);
    });
    for top in (0..n).step_by(TILE) {
        for left in (0..=top).step_by(TILE) {
            for row in top..(top + TILE).min(n) {
                for column in left..(left + TILE).min(row) {
                    products[[column, row]] = products[[row, column]];
                }
            }
        }
    }
    products
}

/// The mean of each column, summed in f64.
pub fn column_means(rows: ArrayView2<f32>) -> Array1<f64> {
    let mut sum = Array1::<f64>::zeros(rows.ncols());
    for row in rows.rows() {
        sum.zip_mut_with(&row, |sum, &x| *sum += f64::from(x));
    }
    sum / rows.nrows() as f64
}

/// Partial sums kept side by side, so that the additions of a long sum do not wait for each other.
const LANES: usize = 16;

/// Sum over two rows of `term(a, b)` in f64, for rows of one length (a longer one is cut).
#[inline(always)]
fn sum_f64(a: &[f32], b: &[f32], term: impl Fn(f64, f64) -> f64) -> f64 {
    let mut lanes = [0f64; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    let rest: f64 = rest.map(|(&a, &b)| term(f64::from(a), f64::from(b))).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += term(f64::from(a[lane]), f64::from(b[lane]));
        }
    }
    lanes.iter().sum::<f64>() + rest
}

struct RowSum<'a> {
    a: &'a [f32],
    b: &'a [f32],
    squares: bool,
    sum: &'a mut f64,
}

impl Kernel for RowSum<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        *self.sum = match self.squares {
            true => sum_f64(self.a, self.b, |a, b| (a - b) * (a - b)),
            false => sum_f64(self.a, self.b, |a, b| a * b),
        };
    }
}

/// Squared Euclidean distance of two rows of one length, from differences in f64.
pub fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    dispatch(RowSum { a, b, squares: true, sum: &mut sum });
    sum
}

/// Inner product of two rows of one length, in f64.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    dispatch(RowSum { a, b, squares: false, sum: &mut sum });
    sum
}
