//! Matrix product, bias and activation in one pass: the fully connected layer and the 1x1 convolution.

use super::activation::{Activation, activate, activated, derived};
use super::bf16;
use super::layout;
use super::product::{After, Matrix, column_sums, product};
use super::residual::{Base, residual};
use super::slices::{map1, map2, map3};
use super::weight::{Values, Weight};
use super::{require_f32, values};
use crate::error::{Error, Result};
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Shape, Tensor};
use std::borrow::Cow;

/// Rows of a product from which a weight is turned first.
const ROWS_TO_TURN: usize = 256;

/// `x @ w^T + b` over the last axis of `x`, with gradients for all three.
///
/// Shapes: `x` (..., I), `w` (O, I), `b` (O,), result (..., O).
///
/// # Errors
/// As for [`linear_act`].
pub fn linear(x: &Tensor, w: &Weight, b: &Tensor) -> Result<Tensor> {
    linear_act(x, w, b, Activation::Identity)
}

/// `activation(x @ w^T + b)` over the last axis of `x`, with gradients for all three.
///
/// Shapes: `x` (..., I), `w` (O, I), `b` (O,), result (..., O). Where something is to be trained the activation is a
/// step of its own, since its derivative needs the values before it.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::ops::{Activation, Weight, linear_act};
/// # fn main() -> wider_clip::error::Result<()> {
/// let x = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?;
/// let w = Weight::new(&Tensor::new(&[[1f32, 1.0], [-1.0, -1.0], [0.0, 1.0]], &Device::Cpu)?)?;
/// let b = Tensor::new(&[0.5f32, 0.0, 1.0], &Device::Cpu)?;
/// let y = linear_act(&x, &w, &b, Activation::Relu6)?;
/// assert_eq!(y.to_vec2::<f32>()?, [[3.5, 0.0, 3.0], [6.0, 0.0, 5.0]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Argument`] if the shapes do not fit, or a tensor on the processor is not f32; with a rounded weight `x` may also
/// be bf16, and neither `x` nor `b` may have a gradient.
pub fn linear_act(x: &Tensor, w: &Weight, b: &Tensor, activation: Activation) -> Result<Tensor> {
    check(x, w, b)?;
    let (outputs, inputs) = (w.outputs(), w.inputs());
    let (matrix, turned) = match w.values() {
        Values::Plain { matrix, turned } => (matrix, *turned),
        Values::Rounded(w) => return bf16::linear::<f32>(x, w, (b, activation), None),
    };
    if !x.device().is_cpu() {
        let matrix = if turned { matrix.clone() } else { matrix.t()? };
        let rows = x.reshape(((), inputs))?.matmul(&matrix)?.broadcast_add(b)?;
        let leading = &x.dims()[..x.rank() - 1];
        return activation.apply_tensor(&rows.reshape([leading, &[outputs]].concat())?);
    }
    let trained = x.track_op() || matrix.track_op() || b.track_op();
    let fused = if trained { Activation::Identity } else { activation };
    let op = Linear { inputs, outputs, turned, before: Activation::Identity, after: fused, onto: None };
    let y = x.contiguous()?.apply_op3(&matrix.contiguous()?, &b.contiguous()?, op)?;
    if trained { activate(&y, activation) } else { Ok(y) }
}

/// [`linear_act`] with a rounded weight ([`Weight::rounded`]), as the bf16 that a product after it takes.
///
/// # Errors
/// As for [`linear_act`]; [`Error::Argument`] if the weight is not rounded.
pub fn linear_act_bf16(x: &Tensor, w: &Weight, b: &Tensor, activation: Activation) -> Result<Tensor> {
    check(x, w, b)?;
    match w.values() {
        Values::Rounded(w) => bf16::linear::<half::bf16>(x, w, (b, activation), None),
        Values::Plain { .. } => Err(Error::argument("linear_act_bf16, w", "a weight rounded to bf16", "f32")),
    }
}

/// Two fully connected layers, as (w, b), with an activation between them; with gradients for everything.
///
/// Shapes: `x` (..., I), `first` (H, I) and (H,), `second` (O, H) and (O,), result (..., O). Where something is to be
/// trained, what the activation gives is not kept but made anew for the gradient: it is the largest map of a
/// transformer.
///
/// # Errors
/// As for [`linear_act`].
pub fn mlp(
    x: &Tensor,
    first: (&Weight, &Tensor),
    activation: Activation,
    second: (&Weight, &Tensor),
) -> Result<Tensor> {
    let tracked = |(w, b): (&Weight, &Tensor)| w.is_trained() || b.track_op();
    let (w, b) = second;
    if !x.device().is_cpu() || !(x.track_op() || tracked(first) || tracked(second)) {
        return linear(&between(x, first, activation, w)?, w, b);
    }
    let hidden = linear(x, first.0, first.1)?;
    check(&hidden, w, b)?;
    let Values::Plain { matrix, turned } = w.values() else {
        return linear(&activate(&hidden, activation)?, w, b);
    };
    let (inputs, outputs) = (w.inputs(), w.outputs());
    let after = Activation::Identity;
    let op = Linear { inputs, outputs, turned: *turned, before: activation, after, onto: None };
    Ok(hidden.contiguous()?.apply_op3(&matrix.contiguous()?, &b.contiguous()?, op)?)
}

/// `x + gamma * (y @ w^T + b)`: a layer at the end of a residual branch, with gradients for everything.
///
/// Shapes: `x` (..., O), `y` (..., I), `w` (O, I), `b` (O,), `gamma` (O,), result (..., O). The numbers are those of
/// [`linear`] and [`residual`], bit by bit; where nothing is trained they come in one pass over memory.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use wider_clip::ops::{Weight, linear_onto};
/// # fn main() -> wider_clip::error::Result<()> {
/// let (x, y) = (Tensor::new(&[[10f32, 20.0]], &Device::Cpu)?, Tensor::new(&[[1f32, 2.0]], &Device::Cpu)?);
/// let w = Weight::new(&Tensor::new(&[[1f32, 1.0], [1.0, -1.0]], &Device::Cpu)?)?;
/// let (b, gamma) = (Tensor::zeros(2, x.dtype(), x.device())?, Tensor::new(&[1f32, 0.5], &Device::Cpu)?);
/// assert_eq!(linear_onto(&x, &y, &w, &b, Some(&gamma))?.to_vec2::<f32>()?, [[13.0, 19.5]]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As for [`linear`] and [`residual`].
pub fn linear_onto(x: &Tensor, y: &Tensor, w: &Weight, b: &Tensor, gamma: Option<&Tensor>) -> Result<Tensor> {
    check(y, w, b)?;
    let mut shape = y.dims().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = w.outputs();
    }
    let trained = y.track_op() || w.is_trained() || b.track_op();
    let Some(base) = Base::new(x, &shape, gamma)?.filter(|_| !trained && y.device().is_cpu()) else {
        return residual(x, &linear(y, w, b)?, gamma);
    };
    let none = Activation::Identity;
    match w.values() {
        Values::Rounded(w) => bf16::linear::<f32>(y, w, (b, none), Some(base)),
        Values::Plain { matrix, turned } => {
            let (inputs, outputs) = (w.inputs(), w.outputs());
            let op = Linear { inputs, outputs, turned: *turned, before: none, after: none, onto: Some(base) };
            Ok(y.contiguous()?.apply_op3_no_bwd(&matrix.contiguous()?, &b.contiguous()?, &op)?)
        }
    }
}

/// `x + gamma * mlp(y)`: [`mlp`] at the end of a residual branch, with gradients for everything. Shapes, numbers and passes
/// as for [`linear_onto`].
///
/// # Errors
/// As for [`mlp`] and [`residual`].
pub fn mlp_onto(
    x: &Tensor,
    y: &Tensor,
    first: (&Weight, &Tensor),
    activation: Activation,
    second: (&Weight, &Tensor),
    gamma: Option<&Tensor>,
) -> Result<Tensor> {
    let (w, b) = second;
    let trained = [y, first.1, b].iter().any(|t| t.track_op()) || first.0.is_trained() || w.is_trained();
    if trained || !y.device().is_cpu() {
        return residual(x, &mlp(y, first, activation, second)?, gamma);
    }
    linear_onto(x, &between(y, first, activation, w)?, w, b, gamma)
}

/// What lies between two layers of which nothing is trained: in bf16 where both are rounded to it.
fn between(x: &Tensor, (w, b): (&Weight, &Tensor), activation: Activation, second: &Weight) -> Result<Tensor> {
    match w.is_rounded() && second.is_rounded() {
        true => linear_act_bf16(x, w, b, activation),
        false => linear_act(x, w, b, activation),
    }
}

/// An error unless the shapes fit and the tensors on the processor are f32.
fn check(x: &Tensor, w: &Weight, b: &Tensor) -> Result<()> {
    let (outputs, inputs) = (w.outputs(), w.inputs());
    if x.dims().last() != Some(&inputs) || b.dims() != [outputs] {
        let found = format!("x {:?}, w [{outputs}, {inputs}], b {:?}", x.dims(), b.dims());
        return Err(Error::argument("linear", "x (..., I), w (O, I) and b (O,)", found));
    }
    if x.device().is_cpu() {
        if !(w.is_rounded() && x.dtype() == DType::BF16) {
            require_f32("linear, x", x)?;
        }
        require_f32("linear, b", b)?;
        w.require_f32()?;
    }
    Ok(())
}

struct Linear {
    inputs: usize,
    outputs: usize,
    turned: bool,
    /// On what comes in.
    before: Activation,
    /// On what goes out; none where there are gradients.
    after: Activation,
    /// What the result is added to; none where there are gradients.
    onto: Option<Base>,
}

impl Linear {
    /// `x` as the product takes it.
    fn taken<'a>(&self, x: &'a [f32]) -> Cow<'a, [f32]> {
        match self.before {
            Activation::Identity => Cow::Borrowed(x),
            activation => Cow::Owned(activated(x, activation)),
        }
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, w, b) = (values(x, x_layout)?, values(w, w_layout)?, values(b, b_layout)?);
        let x = self.taken(x);
        // A product takes (inputs, outputs): turned once where each of many tiles would turn its part again.
        let often = !self.turned && x.len() >= ROWS_TO_TURN * self.inputs;
        let turned = if often { layout::swapped(w, (1, self.outputs, self.inputs)) } else { Vec::new() };
        let w = match (self.turned, often) {
            (true, _) => Matrix::rows(w, self.outputs),
            (false, true) => Matrix::rows(&turned, self.outputs),
            (false, false) => Matrix::rows(w, self.inputs).turned(),
        };
        let after = After::new(b, self.after);
        let y = match &self.onto {
            None => product(Matrix::rows(&x, self.inputs), w, Some(after)),
            Some(base) => base.read(|onto| {
                Ok(product(Matrix::rows(&x, self.inputs), w, Some(After { onto: Some(onto), ..after })))
            })?,
        };
        let mut dims = x_layout.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = self.outputs;
        }
        Ok((CpuStorage::F32(y), Shape::from(dims)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (inputs, outputs) = (self.inputs, self.outputs);
        // x: G (N, O) times W (O, I).
        let of_x = |gradient: &[f32], w: &[f32], x_values: &[f32]| {
            let w = if self.turned { Matrix::rows(w, outputs).turned() } else { Matrix::rows(w, inputs) };
            let of_taken = product(Matrix::rows(gradient, outputs), w, None);
            let of_x = match self.before {
                Activation::Identity => of_taken,
                activation => derived(x_values, &of_taken, activation),
            };
            (of_x, x.shape().clone())
        };
        // w: G^T (O, N) times X (N, I), or its transpose.
        let of_w = |gradient: &[f32], x: &[f32]| {
            let x = self.taken(x);
            let (gradient, x) = (Matrix::rows(gradient, outputs), Matrix::rows(&x, inputs));
            let both = if self.turned { (x.turned(), gradient) } else { (gradient.turned(), x) };
            (product(both.0, both.1, None), w.shape().clone())
        };
        let of_b = |gradient: &[f32]| (column_sums(gradient, outputs), Shape::from(outputs));
        let (gradient, x_values, w_values) = (gradient.detach(), x.detach(), w.detach());
        // Beside each other: that of a small weight has few tiles, and would leave threads without work.
        let ((of_x, of_w), of_b) = rayon::join(
            || {
                rayon::join(
                    || x.track_op().then(|| map3(&gradient, &w_values, &x_values, of_x)).transpose(),
                    || w.track_op().then(|| map2(&gradient, &x_values, of_w)).transpose(),
                )
            },
            || b.track_op().then(|| map1(&gradient, of_b)).transpose(),
        );
        Ok((of_x?, of_w?, of_b?))
    }
}
