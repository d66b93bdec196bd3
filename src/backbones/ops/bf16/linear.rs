//! The fully connected layer with a rounded weight as an operation of candle, without a gradient.

use super::{Packed, Rows, Written, product};
use crate::error::{Error, Result};
use crate::ops::product::After;
use crate::ops::residual::Base;
use crate::ops::{Activation, values, values_of};
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};
use std::marker::PhantomData;

/// `activation(x w + b)` over the last axis of `x`, which is f32 or bf16, as f32 or bf16, added to `onto` where there is one;
/// shapes are checked by the caller.
///
/// # Errors
/// [`Error::Argument`] if a tensor is trained or not on the processor.
pub(in crate::ops) fn linear<T: Written + WithDType>(
    x: &Tensor,
    w: &Packed,
    (b, activation): (&Tensor, Activation),
    onto: Option<Base>,
) -> Result<Tensor> {
    if x.track_op() || b.track_op() || !x.device().is_cpu() {
        let found = format!("something trained, or on {:?}", x.device().location());
        return Err(Error::argument("linear, rounded to bf16", "frozen tensors on the processor", found));
    }
    let op = Rounded { w, activation, onto, written: PhantomData::<T> };
    Ok(x.contiguous()?.apply_op2_no_bwd(&b.contiguous()?, &op)?)
}

struct Rounded<'a, T> {
    w: &'a Packed,
    activation: Activation,
    onto: Option<Base>,
    written: PhantomData<T>,
}

impl<T: Written + WithDType> CustomOp2 for Rounded<'_, T> {
    fn name(&self) -> &'static str {
        "linear in bf16"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let b = values(b, b_layout)?;
        let rows = match x {
            CpuStorage::BF16(_) => Rows::Bf16(values_of(x, x_layout)?),
            _ => Rows::F32(values(x, x_layout)?),
        };
        let after = After::new(b, self.activation);
        let y: Vec<T> = match &self.onto {
            None => product(rows, self.w, after),
            Some(base) => base.read(|onto| Ok(product(rows, self.w, After { onto: Some(onto), ..after })))?,
        };
        let mut dims = x_layout.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = b.len();
        }
        Ok((T::to_cpu_storage_owned(y), Shape::from(dims)))
    }
}
