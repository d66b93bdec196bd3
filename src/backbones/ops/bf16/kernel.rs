//! The innermost loop: a strip of rows times a panel of columns, in registers from the first product to the last.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_ps,
    _mm512_setzero_si512, _mm512_storeu_ps,
};

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

/// What a strip times a panel gives: [`ROWS`] rows of [`WIDTH`] values.
#[repr(C, align(64))]
pub(super) struct Tile(pub(super) [[f32; WIDTH]; ROWS]);

impl Tile {
    pub(super) const ZERO: Tile = Tile([[0.0; WIDTH]; ROWS]);
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

/// `tile` = `bias` + `strip` times `panel`, whose columns are one to three vectors for each of `pairs` pairs; of the tile's
/// other columns nothing is said.
///
/// The sum of a value begins with its bias and takes the products in one order: it depends on its own row and column
/// alone.
///
/// # Safety
/// The processor has avx512f and avx512bf16; `pairs` pairs can be read in each row of the strip, which has one.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn strip_times_panel(
    strip: Strip,
    pairs: usize,
    panel: &[Line],
    bias: &[f32; WIDTH],
    tile: &mut Tile,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match panel.len() / pairs.max(1) {
            1 => wide::<1>(strip, pairs, panel, bias, tile),
            2 => wide::<2>(strip, pairs, panel, bias, tile),
            _ => wide::<VECTORS>(strip, pairs, panel, bias, tile),
        }
    }
}

/// # Safety
/// As for [`strip_times_panel`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn wide<const V: usize>(strip: Strip, pairs: usize, panel: &[Line], bias: &[f32; WIDTH], tile: &mut Tile) {
    assert!(panel.len() >= pairs * V, "a panel of {V} vectors for each of {pairs} pairs");
    // SAFETY: the rows hold `pairs` pairs by the caller's promise, and the assertion bounds what is read of the panel; bias
    // and tile are VECTORS vectors wide, and V is no more. A vector of pairs of bf16 is 64 bytes of any kind.
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
        for (sums, row) in sums.iter().zip(&mut tile.0) {
            for (v, sum) in sums.iter().enumerate() {
                _mm512_storeu_ps(row.as_mut_ptr().add(v * LANES), *sum);
            }
        }
    }
}
