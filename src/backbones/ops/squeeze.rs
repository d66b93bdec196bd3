//! Mean over pixels and a gate a channel: what squeeze-and-excite (Hu et al. 2018, <https://arxiv.org/abs/1709.01507>)
//! and global pooling are made of.
//!
//! candle's mean over two axes and its broadcast product walk channels-last maps one element at a time on one thread.

use super::slices::{map1, map2};
use super::{filled_parts, require_f32, values};
use crate::error::{Error, Result};
use crate::simd::{Kernel, dispatch, multiply_add};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Shape, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Values that a thread takes at a time.
const PIECE: usize = 32 * 1024;

/// The mean over all pixels: (B, H, W, C) to (B, C), with gradient. An image without pixels has mean 0.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::ops::mean_pixels;
/// # fn main() -> wider_clip::error::Result<()> {
/// let x = Tensor::new(&[[[[1f32, 10.0], [3.0, 30.0]]]], &Device::Cpu)?;
/// assert_eq!(mean_pixels(&x)?.to_vec2::<f32>()?, [[2.0, 20.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] if `x` has not four axes, or is on the processor and not f32.
pub fn mean_pixels(x: &Tensor) -> Result<Tensor> {
    let &[batch, height, width, channels] = x.dims() else {
        return Err(Error::argument("mean_pixels", "x (B, H, W, C)", format!("{:?}", x.dims())));
    };
    let pixels = height * width;
    if !x.device().is_cpu() {
        let x = x.reshape((batch, pixels, channels))?;
        // candle sums halves up as halves, which end at 65,504.
        return match x.dtype() {
            DType::F16 => Ok(x.to_dtype(DType::F32)?.mean(1)?.to_dtype(DType::F16)?),
            _ => Ok(x.mean(1)?),
        };
    }
    require_f32("mean_pixels, x", x)?;
    Ok(x.contiguous()?.apply_op1(MeanPixels(Maps { batch, pixels, channels }))?)
}

/// The mean over the tokens from number `from` on: (B, T, D) to (B, D), with gradient. The sum goes from token to token, as
/// candle's does, and ends with the same bits.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::ops::mean_tokens;
/// # fn main() -> wider_clip::error::Result<()> {
/// let x = Tensor::new(&[[[1f32, 10.0], [3.0, 30.0], [5.0, 20.0]]], &Device::Cpu)?;
/// assert_eq!(mean_tokens(&x, 0)?.to_vec2::<f32>()?, [[3.0, 20.0]]);
/// assert_eq!(mean_tokens(&x, 1)?.to_vec2::<f32>()?, [[4.0, 25.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] if `x` has not three axes, no token is left, or it is on the processor and not f32.
pub fn mean_tokens(x: &Tensor, from: usize) -> Result<Tensor> {
    let (batch, tokens, dim) = match *x.dims() {
        [batch, tokens, dim] if from < tokens => (batch, tokens, dim),
        _ => {
            let expected = format!("x (B, T, D) with more than {from} tokens");
            return Err(Error::argument("mean_tokens", expected, format!("{:?}", x.dims())));
        }
    };
    if !x.device().is_cpu() {
        return Ok(x.narrow(1, from, tokens - from)?.mean(1)?);
    }
    require_f32("mean_tokens, x", x)?;
    Ok(x.contiguous()?.apply_op1(MeanTokens { batch, tokens, dim, from })?)
}

/// Every channel of every image times its gate: `x` (B, H, W, C), `gate` (B, C), with gradients for both.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::ops::scale_channels;
/// # fn main() -> wider_clip::error::Result<()> {
/// let x = Tensor::new(&[[[[1f32, 10.0], [3.0, 30.0]]]], &Device::Cpu)?;
/// let y = scale_channels(&x, &Tensor::new(&[[2f32, 0.5]], &Device::Cpu)?)?;
/// assert_eq!(y.flatten_all()?.to_vec1::<f32>()?, [2.0, 5.0, 6.0, 15.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] if the shapes do not fit, or a tensor on the processor is not f32.
pub fn scale_channels(x: &Tensor, gate: &Tensor) -> Result<Tensor> {
    let misfit = || {
        let found = format!("x {:?}, gate {:?}", x.dims(), gate.dims());
        Error::argument("scale_channels", "x (B, H, W, C) and gate (B, C)", found)
    };
    let &[batch, height, width, channels] = x.dims() else { return Err(misfit()) };
    if gate.dims() != [batch, channels] {
        return Err(misfit());
    }
    if !x.device().is_cpu() {
        return Ok(x.broadcast_mul(&gate.reshape((batch, 1, 1, channels))?)?);
    }
    require_f32("scale_channels, x", x)?;
    require_f32("scale_channels, gate", gate)?;
    let op = ScaleChannels(Maps { batch, pixels: height * width, channels });
    Ok(x.contiguous()?.apply_op2(&gate.contiguous()?, op)?)
}

/// The sizes of a batch of feature maps.
#[derive(Clone, Copy)]
struct Maps {
    batch: usize,
    pixels: usize,
    channels: usize,
}

impl Maps {
    /// The number of an image and its values, for every task.
    fn parts(&self) -> Vec<(usize, Range<usize>)> {
        let image = self.pixels * self.channels;
        let piece = (PIECE / self.channels.max(1)).max(1) * self.channels.max(1);
        let of_image =
            |i| (0..image).step_by(piece).map(move |from| (i, i * image + from..i * image + image.min(from + piece)));
        (0..self.batch).flat_map(of_image).collect()
    }

    /// Sums over pixels of `y`, or of `x * y`: (B, C), times `factor`.
    fn sums(&self, x: Option<&[f32]>, y: &[f32], factor: f32) -> Vec<f32> {
        let of_part = |(i, part): (usize, Range<usize>)| {
            let mut sums = vec![0f32; self.channels];
            dispatch(Add { x: x.map(|x| &x[part.clone()]), y: &y[part], sums: &mut sums });
            (i, sums)
        };
        let parts: Vec<_> = self.parts().into_par_iter().map(of_part).collect();
        together(parts, (self.batch, self.channels), factor)
    }

    /// `gate` (B, C) at every pixel, times `x` where there is one, times `factor`.
    fn spread(&self, x: Option<&[f32]>, gate: &[f32], factor: f32) -> Vec<f32> {
        let parts = self.parts().into_iter().map(|(i, part)| ((i, part.clone()), part.len())).collect();
        let write = |(i, part): (usize, Range<usize>), y: &mut [MaybeUninit<f32>]| {
            let gate: Vec<f32> = gate[i * self.channels..][..self.channels].iter().map(|g| g * factor).collect();
            dispatch(Spread { x: x.map(|x| &x[part]), gate: &gate, y });
        };
        // SAFETY: `Spread` writes every value of `y`: a part is the whole pixels of an image, `gate` one pixel long.
        unsafe { filled_parts(parts, write) }.0
    }

    fn shape(&self) -> Shape {
        Shape::from((self.batch, self.channels))
    }
}

/// The sums of parts of images, each with its image's number, as (images, length), times `factor`.
pub(super) fn together(
    parts: impl IntoIterator<Item = (usize, Vec<f32>)>,
    (images, length): (usize, usize),
    factor: f32,
) -> Vec<f32> {
    let mut all = vec![0f32; images * length];
    for (i, part) in parts {
        all[i * length..][..length].iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    all.iter_mut().for_each(|sum| *sum *= factor);
    all
}

struct Add<'a> {
    x: Option<&'a [f32]>,
    y: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for Add<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Add { x, y, sums } = self;
        let channels = sums.len();
        match x {
            None => y.chunks_exact(channels).for_each(|y| sums.iter_mut().zip(y).for_each(|(sum, y)| *sum += y)),
            Some(x) => {
                for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact(channels)) {
                    sums.iter_mut().zip(x).zip(y).for_each(|((sum, x), y)| *sum = multiply_add::<FMA>(*x, *y, *sum));
                }
            }
        }
    }
}

struct Spread<'a> {
    x: Option<&'a [f32]>,
    gate: &'a [f32],
    y: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Spread<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Spread { x, gate, y } = self;
        let channels = gate.len();
        for (i, y) in y.chunks_exact_mut(channels).enumerate() {
            match x {
                None => y.iter_mut().zip(gate).for_each(|(y, gate)| {
                    y.write(*gate);
                }),
                Some(x) => y.iter_mut().zip(&x[i * channels..][..channels]).zip(gate).for_each(|((y, x), gate)| {
                    y.write(x * gate);
                }),
            }
        }
    }
}

struct MeanPixels(Maps);

impl MeanPixels {
    fn factor(&self) -> f32 {
        1.0 / self.0.pixels.max(1) as f32
    }
}

impl CustomOp1 for MeanPixels {
    fn name(&self) -> &'static str {
        "mean over pixels"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(self.0.sums(None, values(x, layout)?, self.factor())), self.0.shape()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let spread = |gradient: &[f32]| (self.0.spread(None, gradient, self.factor()), x.shape().clone());
        Ok(Some(map1(&gradient.detach(), spread)?))
    }
}

struct ScaleChannels(Maps);

impl CustomOp2 for ScaleChannels {
    fn name(&self) -> &'static str {
        "scale of channels"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gate: &CpuStorage,
        gate_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = self.0.spread(Some(values(x, x_layout)?), values(gate, gate_layout)?, 1.0);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gate: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.detach();
        let of_x = |gradient: &[f32], gate: &[f32]| (self.0.spread(Some(gradient), gate, 1.0), x.shape().clone());
        let of_gate = |gradient: &[f32], x: &[f32]| (self.0.sums(Some(x), gradient, 1.0), gate.shape().clone());
        Ok((
            x.track_op().then(|| map2(&gradient, &gate.detach(), of_x)).transpose()?,
            gate.track_op().then(|| map2(&gradient, &x.detach(), of_gate)).transpose()?,
        ))
    }
}

/// The sizes of a batch of tokens.
#[derive(Clone, Copy)]
struct MeanTokens {
    batch: usize,
    tokens: usize,
    dim: usize,
    /// The first token that counts.
    from: usize,
}

impl MeanTokens {
    fn scale(&self) -> f32 {
        (1.0 / (self.tokens - self.from) as f64) as f32
    }
}

impl CustomOp1 for MeanTokens {
    fn name(&self) -> &'static str {
        "mean over tokens"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, dim) = (values(x, layout)?, self.dim);
        let mut y = vec![0f32; self.batch * dim];
        y.par_chunks_mut(dim.max(1)).enumerate().for_each(|(image, sums)| {
            let x = &x[image * self.tokens * dim..][self.from * dim..self.tokens * dim];
            dispatch(Add { x: None, y: x, sums });
            sums.iter_mut().for_each(|sum| *sum *= self.scale());
        });
        Ok((CpuStorage::F32(y), Shape::from((self.batch, dim))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let back = |gradient: &[f32]| {
            let mut of_x = vec![0f32; self.batch * self.tokens * self.dim];
            let images = of_x.par_chunks_mut((self.tokens * self.dim).max(1));
            images.zip(gradient.par_chunks(self.dim.max(1))).for_each(|(tokens, gradient)| {
                for token in tokens.chunks_exact_mut(self.dim).skip(self.from) {
                    token.iter_mut().zip(gradient).for_each(|(to, g)| *to = g * self.scale());
                }
            });
            (of_x, x.shape().clone())
        };
        Ok(Some(map1(&gradient.detach(), back)?))
    }
}
