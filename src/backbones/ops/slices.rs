//! Plain functions of slices as candle operations without a gradient of their own: what a `bwd` is made of.

use super::values;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

/// What a function of slices gives: the values and their shape.
pub(super) type Made = (Vec<f32>, Shape);

struct Of1<F>(F);
struct Of2<F>(F);
struct Of3<F>(F);

const NAME: &str = "part of a gradient";

/// `f` of the values of a tensor.
pub(super) fn map1(a: &Tensor, f: impl Fn(&[f32]) -> Made) -> Result<Tensor> {
    a.contiguous()?.apply_op1_no_bwd(&Of1(f))
}

/// `f` of the values of two tensors.
pub(super) fn map2(a: &Tensor, b: &Tensor, f: impl Fn(&[f32], &[f32]) -> Made) -> Result<Tensor> {
    a.contiguous()?.apply_op2_no_bwd(&b.contiguous()?, &Of2(f))
}

/// `f` of the values of three tensors.
pub(super) fn map3(a: &Tensor, b: &Tensor, c: &Tensor, f: impl Fn(&[f32], &[f32], &[f32]) -> Made) -> Result<Tensor> {
    a.contiguous()?.apply_op3_no_bwd(&b.contiguous()?, &c.contiguous()?, &Of3(f))
}

impl<F: Fn(&[f32]) -> Made> CustomOp1 for Of1<F> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, a: &CpuStorage, a_layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (y, shape) = self.0(values(a, a_layout)?);
        Ok((CpuStorage::F32(y), shape))
    }
}

impl<F: Fn(&[f32], &[f32]) -> Made> CustomOp2 for Of2<F> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, a: &CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> Result<(CpuStorage, Shape)> {
        let (y, shape) = self.0(values(a, la)?, values(b, lb)?);
        Ok((CpuStorage::F32(y), shape))
    }
}

impl<F: Fn(&[f32], &[f32], &[f32]) -> Made> CustomOp3 for Of3<F> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
        c: &CpuStorage,
        lc: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (y, shape) = self.0(values(a, la)?, values(b, lb)?, values(c, lc)?);
        Ok((CpuStorage::F32(y), shape))
    }
}
