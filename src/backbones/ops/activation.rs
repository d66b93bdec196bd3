//! Activation functions that run inside the pass which produces their input.
//!
//! Exponential and error function are polynomials that vectorise: the library's are calls for one number at a time,
//! and a small ViT would spend more time in them than in its matrix products. Measured against f64: the exponential is
//! within 2e-7 relative, the error function within 5e-7 absolute.

use super::slices::map2;
use super::{filled, require_f32, values};
use crate::error::Result;
use crate::simd::{Kernel, dispatch, multiply_add};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use std::mem::MaybeUninit;

/// Values that a thread takes at a time: input and output stay in its second-level cache.
const PIECE: usize = 32 * 1024;

/// What is applied to each value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// min(max(x, 0), 6), of MobileNet and EfficientNet-Lite.
    Relu6,
    /// x times the logistic function of x (also called swish), of EfficientNet.
    Silu,
    /// x times the normal distribution function of x, the exact GELU (Hendrycks and Gimpel, 2016), of ViT.
    Gelu,
    /// x times the logistic function of 1.702 x, the GELU of OpenAI's CLIP.
    QuickGelu,
    /// The logistic function, of squeeze-and-excite gates.
    Sigmoid,
}

impl Activation {
    /// Applies the function to every value of `values`; to be called inside a [`Kernel`](crate::simd::Kernel).
    #[inline(always)]
    pub(super) fn apply<const FMA: bool>(self, values: &mut [f32]) {
        match self {
            Activation::Identity => {}
            Activation::Relu6 => {
                for x in values {
                    // A NaN passes through both comparisons, so that a broken model shows.
                    *x = if *x < 0.0 { 0.0 } else { *x };
                    *x = if *x > 6.0 { 6.0 } else { *x };
                }
            }
            Activation::Silu => {
                for x in values {
                    *x /= 1.0 + exp::<FMA>(-*x);
                }
            }
            Activation::Gelu => {
                for x in values {
                    *x *= 0.5 * (1.0 + erf::<FMA>(*x * std::f32::consts::FRAC_1_SQRT_2));
                }
            }
            Activation::QuickGelu => {
                for x in values {
                    *x /= 1.0 + exp::<FMA>(-QUICK * *x);
                }
            }
            Activation::Sigmoid => {
                for x in values {
                    *x = 1.0 / (1.0 + exp::<FMA>(-*x));
                }
            }
        }
    }

    /// `gradient` times the derivative at `x`, into `y`; to be called inside a [`Kernel`].
    #[inline(always)]
    fn derive<const FMA: bool>(self, x: &[f32], gradient: &[f32], y: &mut [MaybeUninit<f32>]) {
        let each = x.iter().zip(gradient).zip(y);
        match self {
            Activation::Identity => each.for_each(|((_, g), y)| {
                y.write(*g);
            }),
            Activation::Relu6 => each.for_each(|((x, g), y)| {
                y.write(if *x > 0.0 && *x < 6.0 { *g } else { 0.0 });
            }),
            Activation::Silu => each.for_each(|((x, g), y)| {
                let s = 1.0 / (1.0 + exp::<FMA>(-*x));
                y.write(g * (s + x * s * (1.0 - s)));
            }),
            Activation::Gelu => each.for_each(|((x, g), y)| {
                let below = 0.5 * (1.0 + erf::<FMA>(x * std::f32::consts::FRAC_1_SQRT_2));
                // The density of the normal distribution.
                let at = 0.398_942_3 * exp::<FMA>(-0.5 * x * x);
                y.write(g * (below + x * at));
            }),
            Activation::QuickGelu => each.for_each(|((x, g), y)| {
                let s = 1.0 / (1.0 + exp::<FMA>(-QUICK * x));
                y.write(g * (s + QUICK * x * s * (1.0 - s)));
            }),
            Activation::Sigmoid => each.for_each(|((x, g), y)| {
                let s = 1.0 / (1.0 + exp::<FMA>(-*x));
                y.write(g * s * (1.0 - s));
            }),
        }
    }

    /// The same into memory that holds something already.
    #[inline(always)]
    pub(super) fn derive_into<const FMA: bool>(self, x: &[f32], gradient: &[f32], y: &mut [f32]) {
        // SAFETY: `MaybeUninit<f32>` has the layout of f32, and `derive` writes nothing but values.
        let y = unsafe { &mut *(std::ptr::from_mut(y) as *mut [MaybeUninit<f32>]) };
        self.derive::<FMA>(x, gradient, y);
    }

    /// The function and its derivative at each of a vector's values; to be called inside a [`Kernel`].
    #[inline(always)]
    pub(super) fn both<const FMA: bool, const N: usize>(self, x: [f32; N]) -> ([f32; N], [f32; N]) {
        let (mut value, mut slope) = ([0f32; N], [0f32; N]);
        match self {
            Activation::Silu => {
                for i in 0..N {
                    let s = 1.0 / (1.0 + exp::<FMA>(-x[i]));
                    value[i] = x[i] * s;
                    slope[i] = s + x[i] * s * (1.0 - s);
                }
            }
            _ => {
                value = x;
                self.apply::<FMA>(&mut value);
                self.derive_into::<FMA>(&x, &[1f32; N], &mut slope);
            }
        }
        (value, slope)
    }

    /// [`Activation::apply`] by candle's operations, for devices without a kernel here.
    pub(super) fn apply_tensor(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Activation::Identity => x.clone(),
            Activation::Relu6 => x.clamp(0f32, 6f32)?,
            Activation::Silu => x.silu()?,
            Activation::Gelu => x.gelu_erf()?,
            Activation::QuickGelu => (x / ((x * f64::from(-QUICK))?.exp()? + 1.0)?)?,
            Activation::Sigmoid => (x.neg()?.exp()? + 1.0)?.recip()?,
        })
    }
}

/// The factor of [`Activation::QuickGelu`].
const QUICK: f32 = 1.702;

/// `activation` of every value of `x`, with gradient.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::ops::{Activation, activate};
/// # fn main() -> wider_clip::error::Result<()> {
/// let x = Tensor::new(&[-1f32, 0.5, 7.0], &Device::Cpu)?;
/// assert_eq!(activate(&x, Activation::Relu6)?.to_vec1::<f32>()?, [0.0, 0.5, 6.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`](crate::error::Error::Argument) if `x` is on the processor and not f32.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    if activation == Activation::Identity {
        return Ok(x.clone());
    }
    if !x.device().is_cpu() {
        return activation.apply_tensor(x);
    }
    require_f32("activate, x", x)?;
    Ok(x.contiguous()?.apply_op1(Activate(activation))?)
}

struct Activate(Activation);

impl CustomOp1 for Activate {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(activated(values(x, layout)?, self.0)), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let shape = x.shape().clone();
        let of_x = |x: &[f32], gradient: &[f32]| (derived(x, gradient, self.0), shape.clone());
        Ok(Some(map2(&x.detach(), &gradient.detach(), of_x)?))
    }
}

/// The activation of every value.
pub(super) fn activated(x: &[f32], activation: Activation) -> Vec<f32> {
    let write = |i: usize, y: &mut [MaybeUninit<f32>]| {
        let x = &x[i * PIECE..][..y.len()];
        for (y, x) in y.iter_mut().zip(x) {
            y.write(*x);
        }
        // SAFETY: every value was written just above.
        dispatch(Apply { values: unsafe { y.assume_init_mut() }, activation });
    };
    // SAFETY: `x` is as long as `y`, and the loop writes a value for each of its own.
    unsafe { filled(x.len(), PIECE, write) }
}

/// The gradient of x where that of its activation is `gradient`.
pub(super) fn derived(x: &[f32], gradient: &[f32], activation: Activation) -> Vec<f32> {
    let write = |i: usize, y: &mut [MaybeUninit<f32>]| {
        let (x, gradient) = (&x[i * PIECE..][..y.len()], &gradient[i * PIECE..][..y.len()]);
        dispatch(Derive { x, gradient, y, activation });
    };
    // SAFETY: `x` and the gradient are as long as `y`, and `Derive` writes a value for each of theirs.
    unsafe { filled(x.len(), PIECE, write) }
}

struct Apply<'a> {
    values: &'a mut [f32],
    activation: Activation,
}

impl Kernel for Apply<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.activation.apply::<FMA>(self.values);
    }
}

struct Derive<'a> {
    x: &'a [f32],
    gradient: &'a [f32],
    y: &'a mut [MaybeUninit<f32>],
    activation: Activation,
}

impl Kernel for Derive<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.activation.derive::<FMA>(self.x, self.gradient, self.y);
    }
}

/// Horner's rule, the highest coefficient first.
#[inline(always)]
fn polynomial<const FMA: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = 0.0;
    for c in coefficients {
        sum = multiply_add::<FMA>(sum, x, c);
    }
    sum
}

/// e^x = 2^n e^r with n whole and |r| <= ln(2) / 2, e^r by its Taylor series; x is held within +-87.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    /// Adding and taking away 1.5 * 2^23 rounds to a whole number without a library call.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > 87.0 { 87.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = multiply_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = multiply_add::<FMA>(n, -LN2_LOW, multiply_add::<FMA>(n, -LN2_HIGH, x));
    let series = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    // The lowest bits of `rounded` are n, those of ROUND being 0; |n| <= 126 here, or NaN, whose series is NaN too.
    let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(1f32.to_bits()));
    polynomial::<FMA, 8>(r, series) * power
}

/// The error function as the rational approximation of Eigen and XLA, x P(x^2) / Q(x^2) on [-4, 4].
#[inline(always)]
fn erf<const FMA: bool>(x: f32) -> f32 {
    let x = if x > 4.0 { 4.0 } else { x };
    let x = if x < -4.0 { -4.0 } else { x };
    let p =
        [-2.726_142_3e-10, 2.770_681_5e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906e-4, -2.954_6e-3, -1.609_603_3e-2];
    let q = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
    let square = x * x;
    x * polynomial::<FMA, 7>(square, p) / polynomial::<FMA, 5>(square, q)
}
