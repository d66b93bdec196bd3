//! Multi-head attention (Vaswani et al. 2017, <https://arxiv.org/abs/1706.03762>) on packed queries, keys and values.
//!
//! The projection that makes them writes one row [q, k, v] a token, and attention reads it in place: no head is copied
//! out, no (B, H, T, T) tensor is kept. A task is one head of one image: its T x T scores live in the cache. The gradient
//! computes the probabilities again, as FlashAttention (Dao et al. 2022) does, which costs one small product and saves the
//! memory.

use super::product::{Matrix, Shared, multiply};
use super::slices::{map2, map3};
use super::{bf16, require_f32, values};
use crate::error::{Error, Result};
use crate::simd::{Kernel, dispatch};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, DType, Layout, Shape, Tensor};
use rayon::prelude::*;

/// What attention does besides its product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Number of heads; divides the length of a token.
    pub n: usize,
    /// A token sees itself and those before it, as in CLIP's text tower.
    pub causal: bool,
}

/// softmax(q k^T / sqrt(head length) + `bias`) v, with gradients for `qkv` and `bias`.
///
/// Shapes: `qkv` (B, T, 3 D), each row the query, key and value of a token; `bias` (H, T, T) is added to the scores of
/// every image; result (B, T, D), the heads side by side. On the processor `qkv` may also be bf16 and frozen: the result
/// is bf16 then, with scores and softmax in f32.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::ops::{Heads, attention};
/// # fn main() -> wider_clip::error::Result<()> {
/// // Two tokens of one number with equal keys: both see the mean of the values 2 and 4; causal, the first sees its own.
/// let qkv = Tensor::new(&[[[1f32, 1.0, 2.0], [1.0, 1.0, 4.0]]], &Device::Cpu)?;
/// let y = attention(&qkv, Heads { n: 1, causal: false }, None)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [3.0, 3.0]);
/// let y = attention(&qkv, Heads { n: 1, causal: true }, None)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [2.0, 3.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] if the shapes do not fit, a tensor on the processor is not f32, or `qkv` is bf16 there and has a
/// gradient, heads of an odd length, or a processor without the instructions.
pub fn attention(qkv: &Tensor, heads: Heads, bias: Option<&Tensor>) -> Result<Tensor> {
    let sizes = Sizes::new(qkv, heads, bias)?;
    if qkv.device().is_cpu() && qkv.dtype() == DType::BF16 {
        return bf16::attention(qkv, sizes, bias);
    }
    if !qkv.device().is_cpu() {
        let (_, _, v) = sizes.split(qkv)?;
        let mixed = sizes.probabilities(qkv, bias)?.matmul(&v)?;
        return Ok(mixed.transpose(1, 2)?.reshape((sizes.batch, sizes.tokens, sizes.dim()))?);
    }
    require_f32("attention, qkv", qkv)?;
    let qkv = qkv.contiguous()?;
    match bias {
        None => Ok(qkv.apply_op1(Attention(sizes))?),
        Some(bias) => {
            require_f32("attention, bias", bias)?;
            Ok(qkv.apply_op2(&bias.contiguous()?, Attention(sizes))?)
        }
    }
}

/// The probabilities of [`attention`], (B, H, T, T): row i is how much token i takes from each token.
///
/// The result has no gradient.
///
/// # Errors
/// As for [`attention`].
pub fn attention_weights(qkv: &Tensor, heads: Heads, bias: Option<&Tensor>) -> Result<Tensor> {
    let sizes = Sizes::new(qkv, heads, bias)?;
    // candle's product has no bf16 on the processor.
    let qkv = if qkv.device().is_cpu() { qkv.detach().to_dtype(DType::F32)? } else { qkv.detach() };
    sizes.probabilities(&qkv, bias.map(Tensor::detach).as_ref())
}

/// The sizes of one attention, checked.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) tokens: usize,
    pub(super) heads: usize,
    /// Length of a head.
    pub(super) length: usize,
    pub(super) causal: bool,
}

impl Sizes {
    fn new(qkv: &Tensor, heads: Heads, bias: Option<&Tensor>) -> Result<Self> {
        let &[batch, tokens, packed] = qkv.dims() else {
            return Err(Error::argument("attention, qkv", "(B, T, 3 D)", format!("{:?}", qkv.dims())));
        };
        if heads.n == 0 || packed == 0 || !packed.is_multiple_of(3 * heads.n) {
            let expected = format!("rows of 3 D with D a multiple of {} heads", heads.n);
            return Err(Error::argument("attention, qkv", expected, format!("{:?}", qkv.dims())));
        }
        if let Some(bias) = bias.filter(|bias| bias.dims() != [heads.n, tokens, tokens]) {
            let expected = format!("({}, {tokens}, {tokens})", heads.n);
            return Err(Error::argument("attention, bias", expected, format!("{:?}", bias.dims())));
        }
        Ok(Sizes { batch, tokens, heads: heads.n, length: packed / 3 / heads.n, causal: heads.causal })
    }

    /// D, the length of a token.
    pub(super) fn dim(&self) -> usize {
        self.heads * self.length
    }

    pub(super) fn scale(&self) -> f32 {
        (self.length as f32).powf(-0.5)
    }

    /// Query, key and value as (B, H, T, length), by candle's operations.
    fn split(&self, qkv: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let parts = qkv.reshape((self.batch, self.tokens, 3, self.heads, self.length))?;
        let part = |i: usize| parts.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        Ok((part(0)?, part(1)?, part(2)?))
    }

    /// (B, H, T, T), by candle's operations, differentiable.
    fn probabilities(&self, qkv: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let (q, k, _) = self.split(qkv)?;
        let mut scores = (q * f64::from(self.scale()))?.matmul(&k.t()?)?;
        if let Some(bias) = bias {
            scores = scores.broadcast_add(bias)?;
        }
        if self.causal {
            let t = self.tokens;
            let hidden = (0..t * t).map(|i| if i % t > i / t { f32::NEG_INFINITY } else { 0.0 }).collect();
            let hidden = Tensor::from_vec(hidden, (t, t), qkv.device())?.to_dtype(scores.dtype())?;
            scores = scores.broadcast_add(&hidden)?;
        }
        Ok(candle_nn::ops::softmax(&scores, D::Minus1)?)
    }

    /// Where the row [q, k, v] of the first token of (image, head) starts.
    pub(super) fn start(&self, image: usize, head: usize) -> usize {
        image * self.tokens * 3 * self.dim() + head * self.length
    }

    /// The probabilities of one head of one image into `scores` (T, T).
    fn soften(&self, qkv: &[f32], bias: Option<&[f32]>, (image, head): (usize, usize), scores: &mut [f32]) {
        let (t, packed, from) = (self.tokens, 3 * self.dim(), self.start(image, head));
        let (q, k) = (qkv[from..].as_ptr(), qkv[from + self.dim()..].as_ptr());
        // SAFETY: rows of q and k are `packed` apart and lie inside `qkv`, whose length is batch * T * packed;
        // `scores` holds T * T values and is borrowed mutably.
        unsafe { multiply(scores.as_mut_ptr(), t, (t, t), self.length, (q, (packed, 1)), (k, (1, packed))) };
        let bias = bias.map(|bias| &bias[head * t * t..][..t * t]);
        dispatch(Softmax { scores, bias, tokens: t, scale: self.scale(), causal: self.causal });
    }

    fn forward(&self, qkv: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let (t, dim, packed) = (self.tokens, self.dim(), 3 * self.dim());
        let mut y = Vec::with_capacity(self.batch * t * dim);
        let out = Shared(y.as_mut_ptr());
        (0..self.batch * self.heads).into_par_iter().for_each_init(
            || vec![0f32; t * t],
            |scores, task| {
                let (image, head) = (task / self.heads, task % self.heads);
                self.soften(qkv, bias, (image, head), scores);
                let v = qkv[self.start(image, head) + 2 * dim..].as_ptr();
                // SAFETY: this task alone writes the columns of its head in the rows of its image, which lie inside
                // the batch * T * dim values that `y` has room for; v lies inside `qkv`.
                unsafe {
                    let to = out.at(image * t * dim + head * self.length);
                    multiply(to, dim, (t, self.length), t, (scores.as_ptr(), (t, 1)), (v, (packed, 1)));
                }
            },
        );
        // SAFETY: the capacity is batch * T * dim, and the tasks wrote every head of every row.
        unsafe { y.set_len(self.batch * t * dim) };
        y
    }

    /// Gradient of `qkv`.
    fn backward(&self, qkv: &[f32], bias: Option<&[f32]>, gradient: &[f32]) -> Vec<f32> {
        let (t, dim, packed, length) = (self.tokens, self.dim(), 3 * self.dim(), self.length);
        let mut y = Vec::with_capacity(qkv.len());
        let out = Shared(y.as_mut_ptr());
        (0..self.batch * self.heads).into_par_iter().for_each_init(
            || (vec![0f32; t * t], vec![0f32; t * t]),
            |(p, ds), task| {
                let at = (task / self.heads, task % self.heads);
                self.soften(qkv, bias, at, p);
                self.of_scores(qkv, gradient, at, p, ds);
                let from = self.start(at.0, at.1);
                let (q, k) = (qkv[from..].as_ptr(), qkv[from + dim..].as_ptr());
                let g = gradient[at.0 * t * dim + at.1 * length..].as_ptr();
                ds.iter_mut().for_each(|ds| *ds *= self.scale());
                let (p, ds) = (Matrix::rows(p, t), Matrix::rows(ds, t));
                let size = (t, length);
                // SAFETY: this task alone writes the three parts of its head in the rows of its image, which lie
                // inside the values that `y` has room for; q, k and g lie inside `qkv` and `gradient`.
                unsafe {
                    multiply(out.at(from), packed, size, t, ds.whole(), (k, (packed, 1)));
                    multiply(out.at(from + dim), packed, size, t, ds.turned().whole(), (q, (packed, 1)));
                    multiply(out.at(from + 2 * dim), packed, size, t, p.turned().whole(), (g, (dim, 1)));
                }
            },
        );
        // SAFETY: the capacity is the length of `qkv`, and the tasks wrote every part of every row.
        unsafe { y.set_len(qkv.len()) };
        y
    }

    /// Gradient of the scores (before scaling) of one head of one image into `ds`, from its probabilities `p`.
    fn of_scores(&self, qkv: &[f32], gradient: &[f32], (image, head): (usize, usize), p: &[f32], ds: &mut [f32]) {
        let (t, dim, packed) = (self.tokens, self.dim(), 3 * self.dim());
        let v = qkv[self.start(image, head) + 2 * dim..].as_ptr();
        let g = gradient[image * t * dim + head * self.length..].as_ptr();
        // SAFETY: g and v lie inside `gradient` and `qkv` by their strides; `ds` holds T * T values.
        unsafe { multiply(ds.as_mut_ptr(), t, (t, t), self.length, (g, (dim, 1)), (v, (1, packed))) };
        dispatch(SoftmaxGradient { p, ds, tokens: t });
    }

    /// Gradient of the bias: that of the scores, summed over images in their order.
    fn of_bias(&self, qkv: &[f32], bias: &[f32], gradient: &[f32]) -> Vec<f32> {
        let square = self.tokens * self.tokens;
        let mut sums = vec![0f32; self.heads * square];
        sums.par_chunks_mut(square.max(1)).enumerate().for_each(|(head, sum)| {
            let (mut p, mut ds) = (vec![0f32; square], vec![0f32; square]);
            for image in 0..self.batch {
                self.soften(qkv, Some(bias), (image, head), &mut p);
                self.of_scores(qkv, gradient, (image, head), &p, &mut ds);
                sum.iter_mut().zip(&ds).for_each(|(sum, ds)| *sum += ds);
            }
        });
        sums
    }
}

/// Rows of scores to rows of probabilities, in place.
struct Softmax<'a> {
    scores: &'a mut [f32],
    bias: Option<&'a [f32]>,
    tokens: usize,
    scale: f32,
    causal: bool,
}

impl Kernel for Softmax<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (i, row) in self.scores.chunks_exact_mut(self.tokens).enumerate() {
            match self.bias {
                None => row.iter_mut().for_each(|s| *s *= self.scale),
                Some(bias) => {
                    let bias = &bias[i * self.tokens..][..self.tokens];
                    row.iter_mut().zip(bias).for_each(|(s, b)| *s = *s * self.scale + b);
                }
            }
            let (seen, hidden) = row.split_at_mut(if self.causal { i + 1 } else { self.tokens });
            hidden.fill(0.0);
            soften_row::<FMA>(seen);
        }
    }
}

/// Side by side sums and maxima, so that a long chain of additions does not wait for itself.
const LANES: usize = 16;

/// One row of scores to probabilities; to be called inside a [`Kernel`].
#[inline(always)]
pub(super) fn soften_row<const FMA: bool>(row: &mut [f32]) {
    let mut largest = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    for chunk in chunks {
        for lane in 0..LANES {
            largest[lane] = if chunk[lane] > largest[lane] { chunk[lane] } else { largest[lane] };
        }
    }
    let largest = largest.iter().fold(rest, |a, &b| if b > a { b } else { a });
    for s in row.iter_mut() {
        *s = super::activation::exp::<FMA>(*s - largest);
    }
    let sum = sum(row);
    let inverse = 1.0 / sum;
    row.iter_mut().for_each(|s| *s *= inverse);
}

#[inline(always)]
fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// ds = p (dp - sum(p dp)) by rows, with dp in `ds` before.
struct SoftmaxGradient<'a> {
    p: &'a [f32],
    ds: &'a mut [f32],
    tokens: usize,
}

impl Kernel for SoftmaxGradient<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (p, ds) in self.p.chunks_exact(self.tokens).zip(self.ds.chunks_exact_mut(self.tokens)) {
            ds.iter_mut().zip(p).for_each(|(ds, p)| *ds *= p);
            let sum = sum(ds);
            ds.iter_mut().zip(p).for_each(|(ds, p)| *ds -= p * sum);
        }
    }
}

struct Attention(Sizes);

impl Attention {
    fn shape(&self) -> Shape {
        Shape::from((self.0.batch, self.0.tokens, self.0.dim()))
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.0.forward(values(qkv, layout)?, None)), self.shape()))
    }

    fn bwd(&self, qkv: &Tensor, _y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let of_qkv = |qkv: &[f32], g: &[f32]| (self.0.backward(qkv, None, g), Shape::from(qkv_shape(&self.0)));
        Ok(Some(map2(&qkv.detach(), &gradient.detach(), of_qkv)?))
    }
}

impl CustomOp2 for Attention {
    fn name(&self) -> &'static str {
        "attention with bias"
    }

    fn cpu_fwd(
        &self,
        qkv: &CpuStorage,
        qkv_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = self.0.forward(values(qkv, qkv_layout)?, Some(values(bias, bias_layout)?));
        Ok((CpuStorage::F32(y), self.shape()))
    }

    fn bwd(
        &self,
        qkv: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let sizes = &self.0;
        let (qkv_detached, bias_detached, gradient) = (qkv.detach(), bias.detach(), gradient.detach());
        let of_qkv =
            |qkv: &[f32], b: &[f32], g: &[f32]| (sizes.backward(qkv, Some(b), g), Shape::from(qkv_shape(sizes)));
        let of_bias = |qkv: &[f32], b: &[f32], g: &[f32]| {
            (sizes.of_bias(qkv, b, g), Shape::from((sizes.heads, sizes.tokens, sizes.tokens)))
        };
        let gradient_of = |of: &dyn Fn(&[f32], &[f32], &[f32]) -> super::slices::Made| {
            map3(&qkv_detached, &bias_detached, &gradient, of)
        };
        Ok((
            qkv.track_op().then(|| gradient_of(&of_qkv)).transpose()?,
            bias.track_op().then(|| gradient_of(&of_bias)).transpose()?,
        ))
    }
}

fn qkv_shape(sizes: &Sizes) -> (usize, usize, usize) {
    (sizes.batch, sizes.tokens, 3 * sizes.dim())
}
