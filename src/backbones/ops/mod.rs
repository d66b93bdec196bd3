//! Tensor operations that the backbones need and candle lacks, runs too slowly, or runs without a gradient.
//!
//! | function | what it is | gradient |
//! |---|---|---|
//! | [`linear`], [`linear_act`] | matrix product and bias; with activation in the same pass | all arguments |
//! | [`linear_act_bf16`] | the same with a weight rounded to bf16 ([`Weight::rounded`]), given as bf16 | none: frozen alone |
//! | [`mlp`] | two such layers with an activation between | all arguments |
//! | [`linear_onto`], [`mlp_onto`] | the end of a residual branch: x + gamma times such a layer, or two | all arguments |
//! | [`activate`] | an activation by itself | yes |
//! | [`layer_norm`] | layer normalisation over the last axis | all arguments |
//! | [`layer_norm_bf16`] | the same, given as bf16 | none: frozen alone |
//! | [`residual`] | x + gamma y, with or without the scale | all arguments |
//! | [`attention`] | multi-head attention on packed queries, keys and values | all arguments |
//! | [`attention_weights`] | its probabilities, for pictures | none: an error, not silence |
//! | [`patches`], [`merge_pixels`] | non-overlapping patches as rows, for patch, stem and downsampling convolutions | yes |
//! | [`depthwise_conv2d`], [`depthwise_conv2d_nhwc`] | depthwise convolution, channels first or last | input and kernel |
//! | [`depthwise_conv2d_nhwc_act`] | the same with bias and activation | all arguments |
//! | [`depthwise_conv2d_nhwc_act_mean`] | and with the mean over pixels | all arguments |
//! | [`batch_norm`] | batch normalisation by the batch's statistics, and activation | all arguments |
//! | [`batch_norm_running`] | the same by given statistics | all arguments |
//! | [`bottleneck`] | a whole inverted bottleneck of convolutions, normalisations and gate | all arguments |
//! | [`mean_pixels`], [`mean_tokens`], [`scale_channels`] | means over pixels and tokens; a factor a channel | all arguments |
//! | [`conv2d_nhwc_act`] | dense convolution as patches and matrix product | weights and bias |
//! | [`to_channels_last`], [`to_channels_first`] | between the two layouts | yes |
//!
//! [`keep_memory`] spares large tensors the way through the operating system.
//!
//! candle-nn's fused softmax, layer norm and attention have no backward and cut the graph without a word; the ones here
//! have: each is held against candle's slow steps (tests/ops.rs, tests/ops_conv.rs), and in whole networks against
//! PyTorch. Weights are in PyTorch's layout, (outputs, inputs).
//!
//! Convolutional backbones keep their activations channels last (B, H, W, C): a 1x1 convolution is then one matrix
//! product over all pixels of the batch, and a depthwise convolution reads and writes whole vectors of channels.
//! On a processor everything is f32 and spread over Rayon's threads; results do not depend on how many there are. Frozen
//! weights may be rounded to bf16 where the processor multiplies it ([`has_bf16`]): their products take bf16, too.
//! On other devices each function is made of candle's own operations, in the precision of its arguments; only the
//! depthwise convolution has kernels of its own on CUDA.

mod activation;
mod attention;
mod batch_norm;
mod bf16;
mod bottleneck;
mod conv;
#[cfg(feature = "cuda")]
mod cuda;
mod depthwise;
mod depthwise_rows;
mod layout;
mod linear;
mod memory;
mod norm;
mod padding;
mod patches;
mod product;
mod residual;
mod slices;
mod squeeze;
mod weight;

pub use activation::{Activation, activate};
pub use attention::{Heads, attention, attention_weights};
pub use batch_norm::{Moments, batch_norm, batch_norm_running};
pub use bf16::{has_bf16, require_bf16};
pub use bottleneck::{Bottleneck, Normed, bottleneck};
pub use conv::conv2d_nhwc_act;
pub use depthwise::{
    depthwise_conv2d, depthwise_conv2d_nhwc, depthwise_conv2d_nhwc_act, depthwise_conv2d_nhwc_act_mean,
};
pub use layout::{to_channels_first, to_channels_last};
pub use linear::{linear, linear_act, linear_act_bf16, linear_onto, mlp, mlp_onto};
pub use memory::keep_memory;
pub use norm::{layer_norm, layer_norm_bf16};
pub use padding::Padding;
pub use patches::{merge_pixels, patches};
pub use residual::residual;
pub use squeeze::{mean_pixels, mean_tokens, scale_channels};
pub use weight::Weight;

use crate::error::{Error, Result};
use candle_core::{CpuStorage, DType, Layout, Tensor, WithDType};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// An error unless `x` is f32: the operations here have no other arithmetic on a processor. Other devices also take f16
/// and bf16.
fn require_f32(what: &'static str, x: &Tensor) -> Result<()> {
    match x.dtype() {
        DType::F32 => Ok(()),
        DType::F16 | DType::BF16 if !x.device().is_cpu() => Ok(()),
        other => Err(Error::argument(what, "an f32 tensor", format!("{other:?}"))),
    }
}

/// The values of a contiguous f32 tensor on the processor, as a custom operation receives them.
pub fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    values_of(storage, layout)
}

/// The same of any type.
fn values_of<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
        None => candle_core::bail!("expected a contiguous tensor, found strides {:?}", layout.stride()),
    }
}

/// `length` values, written by `write` in pieces of `piece` (the last may be shorter), spread over threads.
///
/// `write` gets the piece's number and its memory: zeroing the memory first would cost a tenth of a network's time.
///
/// # Safety
/// `write` must write every value of the memory that it gets, whatever the piece, before it returns.
unsafe fn filled<T: Send>(length: usize, piece: usize, write: impl Fn(usize, &mut [MaybeUninit<T>]) + Sync) -> Vec<T> {
    let mut all = Vec::with_capacity(length);
    let memory = &mut all.spare_capacity_mut()[..length];
    memory.par_chunks_mut(piece.max(1)).enumerate().for_each(|(i, piece)| write(i, piece));
    // SAFETY: the capacity is at least `length`, and the pieces cover it; that `write` writes them whole is the caller's
    // promise. A panic in there leaves this function before the length is set.
    unsafe { all.set_len(length) };
    all
}

/// As [`filled`], in `parts` of the lengths that stand beside them; `write` gets a part and its memory, and what it
/// returns is given back in the parts' order.
///
/// # Safety
/// `write` must write every value of the memory that it gets, whatever the part, before it returns.
unsafe fn filled_parts<T: Send, S: Send>(
    parts: Vec<(T, usize)>,
    write: impl Fn(T, &mut [MaybeUninit<f32>]) -> S + Sync,
) -> (Vec<f32>, Vec<S>) {
    let length = parts.iter().map(|(_, length)| length).sum();
    let mut all = Vec::with_capacity(length);
    let mut memory = &mut all.spare_capacity_mut()[..length];
    let mut tasks = Vec::with_capacity(parts.len());
    for (part, length) in parts {
        let (own, rest) = memory.split_at_mut(length);
        memory = rest;
        tasks.push((part, own));
    }
    let made = tasks.into_par_iter().map(|(part, memory)| write(part, memory)).collect();
    // SAFETY: the capacity is at least `length`, and the parts cover it; that `write` writes them whole is the caller's
    // promise. A panic in there leaves this function before the length is set.
    unsafe { all.set_len(length) };
    (all, made)
}
