//! Attention on queries, keys and values in bf16: scores and softmax in f32, probabilities rounded once more.
//!
//! A task is one head of one image: its keys and values are packed once, and then eight queries at a time go all the way
//! from scores to their mixed values, in the first-level cache.

use super::kernel::{LANES, Line, ROWS, Strip, Tile, VECTORS, WIDTH};
use super::{Written, require_bf16};
use crate::error::{Error, Result};
use crate::ops::attention::{Sizes, soften_row};
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
    /// Of eight queries, [`WIDTH`] times the panels for each.
    scores: Vec<f32>,
    /// The same in bf16, an even number for each query.
    probabilities: Vec<bf16>,
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

/// Two neighbours as the kernel reads them.
#[inline(always)]
fn pair(first: bf16, second: bf16) -> u32 {
    u32::from(first.to_bits()) | u32::from(second.to_bits()) << 16
}

/// Panels for so many columns: each with its first line, where a panel has `pairs` of them for each vector, and its vectors.
fn panels(columns: usize, pairs: usize) -> impl Iterator<Item = (usize, usize)> {
    let vectors = columns.div_ceil(LANES);
    (0..vectors.div_ceil(VECTORS)).map(move |i| (i * VECTORS * pairs, VECTORS.min(vectors - i * VECTORS)))
}

impl Scratch {
    /// Keys as columns: `k` begins with the first token's, and tokens are `stride` values apart.
    fn pack_keys(&mut self, k: &[bf16], stride: usize, tokens: usize, length: usize) {
        let pairs = length / 2;
        self.keys.clear();
        self.keys.resize(tokens.div_ceil(LANES) * pairs, Line::ZERO);
        for (i, (start, vectors)) in panels(tokens, pairs).enumerate() {
            for token in i * WIDTH..tokens.min((i + 1) * WIDTH) {
                let column = token % WIDTH;
                let lines = self.keys[start + column / LANES..].iter_mut().step_by(vectors);
                for (line, k) in lines.zip(k[token * stride..][..length].chunks_exact(2)) {
                    line.0[column % LANES] = pair(k[0], k[1]);
                }
            }
        }
    }

    /// Values as they are, two tokens side by side.
    fn pack_values(&mut self, v: &[bf16], stride: usize, tokens: usize, length: usize) {
        let pairs = tokens.div_ceil(2);
        self.values.clear();
        self.values.resize(length.div_ceil(LANES) * pairs, Line::ZERO);
        for (i, (start, vectors)) in panels(length, pairs).enumerate() {
            let columns = i * WIDTH..length.min((i + 1) * WIDTH);
            for (p, lines) in self.values[start..][..pairs * vectors].chunks_exact_mut(vectors).enumerate() {
                let row = |token: usize| &v[token * stride..][columns.clone()];
                let first = row(2 * p).chunks(LANES);
                if 2 * p + 1 < tokens {
                    for ((line, first), second) in lines.iter_mut().zip(first).zip(row(2 * p + 1).chunks(LANES)) {
                        line.0.iter_mut().zip(first).zip(second).for_each(|((to, a), b)| *to = pair(*a, *b));
                    }
                } else {
                    for (line, first) in lines.iter_mut().zip(first) {
                        line.0.iter_mut().zip(first).for_each(|(to, a)| *to = pair(*a, bf16::ZERO));
                    }
                }
            }
        }
    }
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
    let (t, length, dim, packed) = (sizes.tokens, sizes.length, sizes.dim(), 3 * sizes.dim());
    scratch.pack_keys(&qkv[dim..], packed, t, length);
    scratch.pack_values(&qkv[2 * dim..], packed, t, length);
    let (key_pairs, value_pairs) = (length / 2, t.div_ceil(2));
    let (wide, even) = (t.next_multiple_of(WIDTH), t.next_multiple_of(2));
    scratch.scores.resize(ROWS * wide, 0.0);
    scratch.probabilities.resize(ROWS * even, bf16::ZERO);
    let Scratch { keys, values, scores, probabilities } = scratch;
    let none = [0f32; WIDTH];
    let mut tile = Tile::ZERO;
    for top in (0..t).step_by(ROWS) {
        let rows = ROWS.min(t - top);
        let queries = Strip { x: qkv[top * packed..].as_ptr().cast(), stride: packed / 2, rows };
        for (i, (start, vectors)) in panels(t, key_pairs).enumerate() {
            // SAFETY: each of the strip's rows is a query of `length` values inside `qkv`: `packed` is even as `length` is.
            unsafe {
                let panel = &keys[start..][..key_pairs * vectors];
                super::kernel::strip_times_panel(queries, key_pairs, panel, &none, &mut tile);
            }
            for (scores, tile) in scores.chunks_exact_mut(wide).zip(&tile.0) {
                scores[i * WIDTH..][..WIDTH].copy_from_slice(tile);
            }
        }
        for (row, scores) in scores.chunks_exact_mut(wide).take(rows).enumerate() {
            let seen = if sizes.causal { top + row + 1 } else { t };
            soften(scores, bias.map(|bias| &bias[(top + row) * t..][..t]), sizes.scale(), seen);
            let scores = &scores[..t];
            bf16::write(scores, as_uninit(&mut probabilities[row * even..][..t]));
        }
        let mixing = Strip { x: probabilities.as_ptr().cast(), stride: even / 2, rows };
        for (i, (start, vectors)) in panels(length, value_pairs).enumerate() {
            // SAFETY: each of the strip's rows is `even` values of `probabilities`. What is written are the columns of a row
            // of the head.
            unsafe {
                super::kernel::strip_times_panel(
                    mixing,
                    value_pairs,
                    &values[start..][..value_pairs * vectors],
                    &none,
                    &mut tile,
                );
                for (row, mixed) in tile.0[..rows].iter().enumerate() {
                    let columns = WIDTH.min(length - i * WIDTH);
                    let to = std::slice::from_raw_parts_mut(to.add((top + row) * dim + i * WIDTH), columns);
                    bf16::write(&mixed[..columns], to);
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

/// The first `seen` of a row of scores to probabilities, whole vectors at a time; the others of the row are set to 0.
#[inline(always)]
fn soften(row: &mut [f32], bias: Option<&[f32]>, scale: f32, seen: usize) {
    match bias {
        None => row.iter_mut().for_each(|s| *s *= scale),
        Some(bias) => row.iter_mut().zip(bias).for_each(|(s, b)| *s = *s * scale + b),
    }
    let whole = seen.next_multiple_of(LANES);
    // What fills the last vector counts for e^-87, which no sum of at least 1 holds.
    row[seen..whole].fill(f32::NEG_INFINITY);
    soften_row::<true>(&mut row[..whole]);
    row[seen..].fill(0.0);
}

/// Memory that holds values as memory to be written.
fn as_uninit(values: &mut [bf16]) -> &mut [MaybeUninit<bf16>] {
    // SAFETY: `MaybeUninit<bf16>` has the layout of bf16, and nothing but values is written to it.
    unsafe { &mut *(std::ptr::from_mut(values) as *mut [MaybeUninit<bf16>]) }
}
