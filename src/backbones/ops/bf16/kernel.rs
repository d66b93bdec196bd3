//! The innermost loop: a strip of rows times a panel of columns, in registers from the first product to the last.

use half::bf16;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512bh, __m512i, _mm256_loadu_si256, _mm256_storeu_si256, _mm512_cvtepu16_epi32, _mm512_cvtneps_pbh,
    _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_or_si512, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_storeu_ps, _mm512_storeu_si512,
};
use std::mem::MaybeUninit;

/// Values of f32 in a vector.
pub(super) const LANES: usize = 16;
/// Rows of a strip: with [`VECTORS`] vectors of columns, 24 of the 32 registers hold sums.
pub(super) const ROWS: usize = 8;
/// Vectors of columns in a panel, at most.
pub(super) const VECTORS: usize = 3;
/// Columns of a panel, at most.
pub(super) const WIDTH: usize = VECTORS * LANES;

/// A pair of bf16 for each of so many columns, aligned as a cache line: the lower half comes first in the sum's axis.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u32; LANES]);

impl Line {
    pub(super) const ZERO: Line = Line([0; LANES]);
}

/// Where a strip times a panel goes: [`ROWS`] rows of as many vectors as the panel has.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub(super) to: *mut f32,
    /// Values from a row to the next.
    pub(super) stride: usize,
}

/// [`Sums`] of one panel: [`ROWS`] rows of [`WIDTH`] values.
#[repr(C, align(64))]
pub(super) struct Tile(pub(super) [[f32; WIDTH]; ROWS]);

impl Tile {
    pub(super) const ZERO: Tile = Tile([[0.0; WIDTH]; ROWS]);

    pub(super) fn sums(&mut self) -> Sums {
        Sums { to: self.0.as_mut_ptr().cast(), stride: WIDTH }
    }
}

/// Up to [`ROWS`] rows of pairs of bf16.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    /// The first pair of the first row, which need not be aligned.
    pub(super) x: *const u32,
    /// Pairs from a row to the next.
    pub(super) stride: usize,
    /// Rows that there are, at least one.
    pub(super) rows: usize,
}

impl Strip {
    /// Where each row begins; beyond the last one it is the last again.
    ///
    /// # Safety
    /// There are as many rows as it says.
    unsafe fn starts(self) -> [*const u32; ROWS] {
        // SAFETY: the caller's promise.
        std::array::from_fn(|r| unsafe { self.x.add(r.min(self.rows.max(1) - 1) * self.stride) })
    }
}

/// `sums` = `bias` + `strip` times `panel`, whose columns are one to three vectors for each of `pairs` pairs; other columns
/// stay as they are, and rows that the strip lacks become its last.
///
/// The sum of a value begins with its bias and takes the products in one order: it depends on its own row and column
/// alone.
///
/// # Safety
/// The processor has avx512f and avx512bf16; `pairs` pairs can be read in each row of the strip, which has one;
/// [`ROWS`] rows of the panel's vectors can be written to `sums`.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn strip_times_panel(strip: Strip, pairs: usize, panel: &[Line], bias: &[f32; WIDTH], sums: Sums) {
    // SAFETY: the caller's promise.
    unsafe {
        match panel.len() / pairs.max(1) {
            1 => wide::<1>(strip, pairs, panel, bias, sums),
            2 => wide::<2>(strip, pairs, panel, bias, sums),
            _ => wide::<VECTORS>(strip, pairs, panel, bias, sums),
        }
    }
}

/// # Safety
/// As for [`strip_times_panel`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn wide<const V: usize>(strip: Strip, pairs: usize, panel: &[Line], bias: &[f32; WIDTH], to: Sums) {
    assert!(panel.len() >= pairs * V, "a panel of {V} vectors for each of {pairs} pairs");
    // SAFETY: the rows hold `pairs` pairs by the caller's promise, and the assertion bounds what is read of the panel; the
    // bias is VECTORS vectors wide, and V is no more; what is written is the caller's promise too. A vector of pairs of
    // bf16 is 64 bytes of any kind.
    unsafe {
        let rows = strip.starts();
        let mut sums = [[_mm512_setzero_ps(); V]; ROWS];
        for sums in &mut sums {
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_loadu_ps(bias.as_ptr().add(v * LANES));
            }
        }
        let mut lines = panel.as_ptr();
        for p in 0..pairs {
            let mut columns = [_mm512_setzero_si512(); V];
            for (v, column) in columns.iter_mut().enumerate() {
                *column = _mm512_loadu_si512(lines.add(v).cast::<__m512i>());
            }
            lines = lines.add(V);
            for (row, sums) in rows.iter().zip(&mut sums) {
                let x = _mm512_set1_epi32(row.add(p).read_unaligned().cast_signed());
                let x = std::mem::transmute::<__m512i, __m512bh>(x);
                for (sum, column) in sums.iter_mut().zip(&columns) {
                    *sum = _mm512_dpbf16_ps(*sum, x, std::mem::transmute::<__m512i, __m512bh>(*column));
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                _mm512_storeu_ps(to.to.add(row * to.stride + v * LANES), *sum);
            }
        }
    }
}

/// Asks memory for values that are to be read soon.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn ask<T>(values: &[T]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    let lines = values.chunks(size_of::<Line>() / size_of::<T>()).filter_map(<[T]>::first);
    for value in lines.chain(values.last()) {
        // SAFETY: the address of a value, of which nothing is read here.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
    }
}

/// Two rows of values side by side, as [`strip_times_panel`] reads them: compilers make sixteen steps of this loop.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn side_by_side(line: &mut Line, a: &[bf16; LANES], b: &[bf16; LANES]) {
    // SAFETY: bf16 is 16 bits of any kind, and a line is a vector.
    unsafe {
        let a = _mm512_cvtepu16_epi32(_mm256_loadu_si256(a.as_ptr().cast()));
        let b = _mm512_cvtepu16_epi32(_mm256_loadu_si256(b.as_ptr().cast()));
        _mm512_storeu_si512(line.0.as_mut_ptr().cast(), _mm512_or_si512(a, _mm512_slli_epi32::<16>(b)));
    }
}

/// The bf16 nearest to `factor` times each value; what is too small for a whole f32 (below 1.2e-38) becomes 0, as which
/// [`strip_times_panel`] takes it anyway.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn scaled(values: &[f32; LANES], factor: f32, to: &mut [MaybeUninit<bf16>; LANES]) {
    // SAFETY: a vector of f32 is read, and half as many bytes are written, which are bf16.
    unsafe {
        let values = _mm512_mul_ps(_mm512_loadu_ps(values.as_ptr()), _mm512_set1_ps(factor));
        _mm256_storeu_si256(to.as_mut_ptr().cast(), std::mem::transmute(_mm512_cvtneps_pbh(values)));
    }
}
