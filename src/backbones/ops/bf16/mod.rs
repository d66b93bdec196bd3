//! Matrix products of bf16 summed in f32, for frozen features on processors with AVX512-BF16.
//!
//! bf16 is f32 with 8 bits of precision instead of 24. One instruction, VDPBF16PS, multiplies 32 pairs and adds them to 16
//! sums in f32, twice the work of an f32 instruction: measured on one core of an AMD EPYC (Zen 4), 230 against 115 GFLOP/s.
//! Processors with AMX (Intel since Sapphire Rapids) have the instruction as well.
//!
//! No library does it here: candle has no product of bf16 on a processor (0.11.1), the `gemm` crate (0.19) has f16, f32 and
//! f64 and their complex kinds, `matrixmultiply` f32 and f64; oneDNN would be a C++ library to build. What follows is one
//! kernel and its packing, held in tests/bf16.rs against sums in f64.
//!
//! Only the factors of products are rounded. Bias, sums, activations, normalisation, softmax and residual sums stay f32, and
//! a tensor between two operations is bf16 only where the second would round it anyway. A value depends on its own row
//! and column alone: not on the batch, the tiles or the number of threads.

// On other processors nothing comes past `require_bf16`.
#![cfg_attr(not(target_arch = "x86_64"), allow(unused))]

mod attention;
mod kernel;
mod linear;
mod product;

pub(super) use attention::attention;
pub(super) use linear::linear;
pub(super) use product::Packed;
use product::{Rows, product};

use crate::error::{Error, Result};
use half::bf16;
use std::mem::MaybeUninit;

/// An error unless this processor multiplies bf16.
///
/// # Errors
/// [`Error::Argument`] naming the instructions that were expected, and what was found.
pub fn require_bf16() -> Result<()> {
    if has_bf16() {
        return Ok(());
    }
    let found = match std::env::consts::ARCH {
        "x86_64" => "an x86-64 processor without them".to_string(),
        other => format!("a processor of kind {other}"),
    };
    Err(Error::argument("dtype bf16 on the processor", "one with the instructions AVX512-BF16 (or dtype f32)", found))
}

/// Whether this processor has the instructions that products of bf16 are made of.
pub fn has_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bf16")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// The bf16 nearest to `x`, of two equally near the even one; NaN stays NaN. Loops over it become wide vectors.
#[inline(always)]
pub(in crate::ops) fn rounded(x: f32) -> bf16 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
    let kept = if x.is_nan() { bits | 0x0040_0000 } else { nearest };
    bf16::from_bits((kept >> 16) as u16)
}

/// What a product or a norm is written as.
pub(in crate::ops) trait Written: Copy + Send + Sync + 'static {
    /// The nearest value to `x`.
    fn of(x: f32) -> Self;

    /// `x` into memory of the same length.
    #[inline(always)]
    fn write(x: &[f32], to: &mut [MaybeUninit<Self>]) {
        for (to, x) in to.iter_mut().zip(x) {
            to.write(Self::of(*x));
        }
    }

    /// The same for what a product gives, with the instruction for it: what is too small for a whole f32 may become 0.
    ///
    /// # Safety
    /// The processor has bf16 ([`has_bf16`]).
    #[inline(always)]
    unsafe fn write_product(x: &[f32], to: &mut [MaybeUninit<Self>]) {
        Self::write(x, to);
    }
}

impl Written for f32 {
    #[inline(always)]
    fn of(x: f32) -> f32 {
        x
    }
}

impl Written for bf16 {
    #[inline(always)]
    fn of(x: f32) -> bf16 {
        rounded(x)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn write_product(x: &[f32], to: &mut [MaybeUninit<bf16>]) {
        let ((vectors, rest), (to_vectors, to_rest)) = (x.as_chunks(), to.as_chunks_mut());
        for (x, to) in vectors.iter().zip(to_vectors) {
            // SAFETY: the caller's promise.
            unsafe { kernel::scaled(x, 1.0, to) };
        }
        Self::write(rest, to_rest);
    }
}
