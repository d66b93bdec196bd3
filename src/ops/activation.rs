//! Activation functions that run inside the pass which produces their input.
//!
//! Exponential and error function are polynomials that vectorise: the library's are calls for one number at a time,
//! and a small ViT would spend more time in them than in its matrix products. Measured against f64: the exponential is
//! within 2e-7 relative, the error function within 5e-7 absolute.

use crate::error::Result;
use crate::simd::multiply_add;
use candle_core::Tensor;

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
            Activation::Sigmoid => {
                for x in values {
                    *x = 1.0 / (1.0 + exp::<FMA>(-*x));
                }
            }
        }
    }

    /// The same by candle's operations, for devices without a kernel here.
    pub(super) fn apply_tensor(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Activation::Identity => x.clone(),
            Activation::Relu6 => x.clamp(0f32, 6f32)?,
            Activation::Silu => x.silu()?,
            Activation::Gelu => x.gelu_erf()?,
            Activation::Sigmoid => (x.neg()?.exp()? + 1.0)?.recip()?,
        })
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
fn exp<const FMA: bool>(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    /// Adding and taking away 1.5 * 2^23 rounds to a whole number without a library call.
    const ROUND: f32 = 12_582_912.0;
    let x = if x > 87.0 { 87.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    let n = multiply_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND) - ROUND;
    let r = multiply_add::<FMA>(n, -LN2_LOW, multiply_add::<FMA>(n, -LN2_HIGH, x));
    let series = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    // The cast is whole: |n| <= 126 here, or NaN, which becomes 0 and multiplies a NaN.
    polynomial::<FMA, 8>(r, series) * f32::from_bits(((n as i32 + 127) as u32) << 23)
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
