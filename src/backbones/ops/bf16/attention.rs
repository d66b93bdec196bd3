//! Attention on queries, keys and values in bf16: scores and softmax in f32, probabilities rounded once more.
//!
//! A task is one head of one image: its keys and values are packed once, and then eight queries at a time go all the way
//! from scores to their mixed values, in the first-level cache.

use super::kernel::{self, LANES, Line, ROWS, Strip, Sums, Tile, VECTORS, WIDTH, ask};
use super::{Written, require_bf16};
use crate::error::{Error, Result};
use crate::ops::activation::exp;
use crate::ops::attention::Sizes;
use crate::ops::{require_f32, values, values_of};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use half::bf16;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// [`crate::ops::attention`] of a frozen model on bf16: (B, T, D) in bf16. `bias` is f32.
///
/// # Errors
/// [`Error::Argument`] if something is trained, heads have an odd length, or the processor lacks the instructions.
pub(in crate::ops) fn attention(qkv: &Tensor, sizes: Sizes, bias: Option<&Tensor>) -> Result<Tensor> {
    require_bf16()?;
    if qkv.track_op() || bias.is_some_and(|bias| bias.track_op()) || !sizes.length.is_multiple_of(2) {
        let found = format!("something trained, or heads of {} values", sizes.length);
        return Err(Error::argument("attention in bf16", "frozen weights and heads of an even length", found));
    }
    let qkv = qkv.contiguous()?;
    match bias {
        None => Ok(qkv.apply_op1_no_bwd(&InBf16(sizes))?),
        Some(bias) => {
            require_f32("attention, bias", bias)?;
            Ok(qkv.apply_op2_no_bwd(&bias.contiguous()?, &InBf16(sizes))?)
        }
    }
}

/// On bf16, without a gradient.
struct InBf16(Sizes);

impl InBf16 {
    fn run(&self, qkv: &CpuStorage, layout: &Layout, bias: Option<&[f32]>) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = forward(&self.0, values_of(qkv, layout)?, bias);
        Ok((CpuStorage::BF16(y), Shape::from((self.0.batch, self.0.tokens, self.0.dim()))))
    }
}

impl CustomOp1 for InBf16 {
    fn name(&self) -> &'static str {
        "attention in bf16"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        self.run(qkv, layout, None)
    }
}

impl CustomOp2 for InBf16 {
    fn name(&self) -> &'static str {
        "attention in bf16 with bias"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        qkv_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        self.run(qkv, qkv_layout, Some(values(bias, bias_layout)?))
    }
}

/// What a task works in.
#[derive(Default)]
struct Scratch {
    /// For each panel of keys and pair of their numbers, a pair for each key.
    keys: Vec<Line>,
    /// For each panel of a head's columns and pair of tokens, a pair for each column.
    values: Vec<Line>,
    /// Of eight queries, whole vectors of keys for each.
    scores: Vec<f32>,
    /// The same in bf16.
    probabilities: Vec<MaybeUninit<bf16>>,
}

/// softmax(q k^T scale + bias) v of `qkv` (B, T, 3 D) as (B, T, D); heads of an even length.
///
/// # Panics
/// Where the processor lacks the instructions or the length is odd: callers check both.
fn forward(sizes: &Sizes, qkv: &[bf16], bias: Option<&[f32]>) -> Vec<bf16> {
    assert!(super::has_bf16() && sizes.length.is_multiple_of(2), "a processor with bf16, and heads of an even length");
    let (t, dim) = (sizes.tokens, sizes.dim());
    let mut y = Vec::<bf16>::with_capacity(sizes.batch * t * dim);
    let out = Out(y.spare_capacity_mut().as_mut_ptr());
    (0..sizes.batch * sizes.heads).into_par_iter().for_each_init(Scratch::default, |scratch, task| {
        let (image, head) = (task / sizes.heads, task % sizes.heads);
        let bias = bias.map(|bias| &bias[head * t * t..][..t * t]);
        // SAFETY: the instructions were found. This task alone writes the columns of its head in the rows of its image,
        // which lie inside the batch * T * dim values that `y` has room for.
        unsafe {
            one_head(
                sizes,
                &qkv[sizes.start(image, head)..],
                bias,
                scratch,
                out.at(image * t * dim + head * sizes.length),
            )
        };
    });
    // SAFETY: the capacity is batch * T * dim, and the tasks wrote every head of every row.
    unsafe { y.set_len(sizes.batch * t * dim) };
    y
}

/// A pointer that tasks share, each writing its own part.
struct Out(*mut MaybeUninit<bf16>);

// SAFETY: made by `forward` alone, whose tasks write disjoint parts of memory that outlives them.
unsafe impl Sync for Out {}

impl Out {
    /// # Safety
    /// `offset` is inside the memory that was shared.
    unsafe fn at(&self, offset: usize) -> *mut MaybeUninit<bf16> {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset) }
    }
}

/// Panels for so many columns, each with its first vector and the one past its last: as few as can be, and as even, since a
/// narrow one costs more than its share.
fn panels(columns: usize) -> impl Iterator<Item = (usize, usize)> {
    let vectors = columns.div_ceil(LANES);
    let n = vectors.div_ceil(VECTORS);
    (0..n).map(move |i| (i * vectors / n, (i + 1) * vectors / n))
}

impl Scratch {
    /// Keys as columns, of [q, k, v] rows that are 3 `dim` values apart; what the head needs of its other rows is asked for
    /// on the way.
    ///
    /// # Safety
    /// `qkv` holds the head's `length` values, an even number, of q, k and v in each of `tokens` rows.
    #[cfg(target_arch = "x86_64")]
    unsafe fn pack_keys(&mut self, qkv: &[bf16], dim: usize, tokens: usize, length: usize) {
        let pairs = length / 2;
        // What the last vector lacks in tokens is the last one again: no score of it is used.
        let row = |token: usize, part: usize| &qkv[token.min(tokens - 1) * 3 * dim + part * dim..][..length];
        self.keys.resize(tokens.div_ceil(LANES) * pairs, Line::ZERO);
        for (first, end) in panels(tokens) {
            for vector in first..end {
                for token in (vector + 1) * LANES..tokens.min((vector + 2) * LANES) {
                    (0..3).for_each(|part| ask(row(token, part)));
                }
                let rows: [*const u32; LANES] = std::array::from_fn(|i| row(vector * LANES + i, 1).as_ptr().cast());
                let lines = self.keys[first * pairs..end * pairs].iter_mut().skip(vector - first).step_by(end - first);
                for (p, line) in lines.enumerate() {
                    for (to, row) in line.0.iter_mut().zip(rows) {
                        // SAFETY: `row` gave `length` values, which are `pairs` pairs; `p` is less.
                        *to = unsafe { row.add(p).read_unaligned() };
                    }
                }
            }
        }
    }

    /// Values as they are, two tokens side by side; rows as for [`Scratch::pack_keys`].
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn pack_values(&mut self, qkv: &[bf16], dim: usize, tokens: usize, length: usize) {
        let pairs = tokens.div_ceil(2);
        let row = |token: usize| &qkv[token * 3 * dim + 2 * dim..][..length];
        self.values.resize(length.div_ceil(LANES) * pairs, Line::ZERO);
        for p in 0..pairs {
            let (a, b) = (row(2 * p), (2 * p + 1 < tokens).then(|| row(2 * p + 1)));
            for (first, end) in panels(length) {
                for vector in first..end {
                    let columns = vector * LANES..length.min((vector + 1) * LANES);
                    let line = &mut self.values[first * pairs + p * (end - first) + vector - first];
                    side_by_side(line, &a[columns.clone()], b.map(|b| &b[columns]));
                }
            }
        }
    }
}

/// Up to [`LANES`] values of two rows as the kernel reads them; 0 for those that there are not.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f")]
fn side_by_side(line: &mut Line, a: &[bf16], b: Option<&[bf16]>) {
    if let (Ok(a), Some(Ok(b))) = (a.try_into(), b.map(TryInto::try_into)) {
        return kernel::side_by_side(line, a, b);
    }
    let mut whole = [[bf16::ZERO; LANES]; 2];
    whole[0][..a.len()].copy_from_slice(a);
    whole[1][..a.len()].copy_from_slice(b.unwrap_or(&[bf16::ZERO; LANES][..a.len()]));
    kernel::side_by_side(line, &whole[0], &whole[1]);
}

/// One head of one image, whose [q, k, v] rows begin at `qkv`; `to` is where the head's first row is written, rows `dim`
/// apart.
///
/// # Safety
/// The processor has bf16 ([`super::has_bf16`]); T rows of the head's length can be written at `to`, by nobody else.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,fma")]
unsafe fn one_head(
    sizes: &Sizes,
    qkv: &[bf16],
    bias: Option<&[f32]>,
    scratch: &mut Scratch,
    to: *mut MaybeUninit<bf16>,
) {
    let (t, length, dim) = (sizes.tokens, sizes.length, sizes.dim());
    // SAFETY: `qkv` holds the rows of an image from the head's first query on, and the length of a head is even.
    unsafe { scratch.pack_keys(qkv, dim, t, length) };
    scratch.pack_values(qkv, dim, t, length);
    let (key_pairs, value_pairs, wide) = (length / 2, t.div_ceil(2), t.next_multiple_of(LANES));
    scratch.scores.resize(ROWS * wide, 0.0);
    scratch.probabilities.resize(ROWS * wide, MaybeUninit::new(bf16::ZERO));
    let Scratch { keys, values, scores, probabilities } = scratch;
    let none = [0f32; WIDTH];
    let mut tile = Tile::ZERO;
    for top in (0..t).step_by(ROWS) {
        let rows = ROWS.min(t - top);
        let queries = Strip { x: qkv[top * 3 * dim..].as_ptr().cast(), stride: 3 * dim / 2, rows };
        for (first, end) in panels(t) {
            // SAFETY: each of the strip's rows is a query of `length` values inside `qkv`, whose rows are an even number of
            // values long as heads are. `scores` has ROWS rows of `wide` values, which hold the panel's columns.
            unsafe {
                let panel = &keys[first * key_pairs..end * key_pairs];
                let sums = Sums { to: scores[first * LANES..].as_mut_ptr(), stride: wide };
                kernel::strip_times_panel(queries, key_pairs, panel, &none, sums);
            }
        }
        let each = scores.chunks_exact_mut(wide).zip(probabilities.chunks_exact_mut(wide)).take(rows);
        for (row, (scores, probabilities)) in each.enumerate() {
            let seen = if sizes.causal { top + row + 1 } else { t };
            soften(scores, bias.map(|bias| &bias[(top + row) * t..][..t]), sizes.scale(), seen, probabilities);
        }
        let mixing = Strip { x: probabilities.as_ptr().cast(), stride: wide / 2, rows };
        for (first, end) in panels(length) {
            // SAFETY: each of the strip's rows is `wide` values of `probabilities`, an even number and no fewer than the
            // tokens; a tile holds any panel. What is written are the columns of a row of the head.
            unsafe {
                let panel = &values[first * value_pairs..end * value_pairs];
                kernel::strip_times_panel(mixing, value_pairs, panel, &none, tile.sums());
                for (row, mixed) in tile.0[..rows].iter().enumerate() {
                    let columns = length.min(end * LANES) - first * LANES;
                    let to = std::slice::from_raw_parts_mut(to.add((top + row) * dim + first * LANES), columns);
                    bf16::write_product(&mixed[..columns], to);
                }
            }
        }
    }
}

/// # Safety
/// None: [`forward`] does not come here, as [`super::has_bf16`] says no.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn one_head(_: &Sizes, _: &[bf16], _: Option<&[f32]>, _: &mut Scratch, _: *mut MaybeUninit<bf16>) {
    unreachable!("a processor without bf16");
}

/// The first `seen` of a row of scores to probabilities, whole vectors at a time; the others are 0. The same steps as in
/// f32, in fewer passes.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,fma")]
fn soften(row: &mut [f32], bias: Option<&[f32]>, scale: f32, seen: usize, to: &mut [MaybeUninit<bf16>]) {
    let scale = match bias {
        None => scale,
        Some(bias) => {
            row.iter_mut().zip(bias).for_each(|(s, b)| *s = *s * scale + b);
            1.0
        }
    };
    let whole = seen.next_multiple_of(LANES);
    // What fills the last vector counts for e^-87, which no sum of at least 1 holds.
    row[seen..whole].fill(f32::NEG_INFINITY);
    let (row, _) = row[..whole].as_chunks_mut::<LANES>();
    let mut largest = [f32::NEG_INFINITY; LANES];
    for chunk in row.iter() {
        for (largest, &s) in largest.iter_mut().zip(chunk) {
            *largest = if s > *largest { s } else { *largest };
        }
    }
    // A factor above 0 keeps the order.
    let largest = largest.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a }) * scale;
    let mut sums = [0f32; LANES];
    for chunk in row.iter_mut() {
        for (sum, s) in sums.iter_mut().zip(chunk) {
            *s = exp::<true>(*s * scale - largest);
            *sum += *s;
        }
    }
    let inverse = 1.0 / sums.iter().sum::<f32>();
    let (filled, _) = to[..whole].as_chunks_mut::<LANES>();
    for (to, chunk) in filled.iter_mut().zip(row) {
        kernel::scaled(chunk, inverse, to);
    }
    to[seen..].fill(MaybeUninit::new(bf16::ZERO));
}
