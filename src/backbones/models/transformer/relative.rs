//! Relative position bias (Bao et al. 2022, after Swin): a table of one number for each head and each displacement.

use crate::error::Result;
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;

/// A table and where each pair of tokens finds its number.
pub(super) struct RelativeBias {
    /// ((2 G - 1)^2 + 3, H).
    table: Tensor,
    /// (T * T,) rows of the table.
    rows: Tensor,
    /// (H, T, T) where the table is frozen.
    ready: Option<Tensor>,
}

/// Rows of the table for a grid of `grid` patches a side: every displacement, and class to patch, patch to class, class
/// to class.
pub(super) fn table_rows(grid: usize) -> usize {
    (2 * grid - 1).pow(2) + 3
}

impl RelativeBias {
    /// Reads `relative_position_bias_table`.
    pub(super) fn load(vb: &VarBuilder, grid: usize, heads: usize) -> Result<Self> {
        let table = vb.get((table_rows(grid), heads), "relative_position_bias_table")?;
        let rows = rows(grid, table.device())?;
        let mut bias = RelativeBias { table, rows, ready: None };
        if !bias.table.track_op() {
            bias.ready = Some(bias.bias()?);
        }
        Ok(bias)
    }

    /// (H, T, T), to be added to the scores of attention; differentiable in the table.
    pub(super) fn bias(&self) -> Result<Tensor> {
        if let Some(ready) = &self.ready {
            return Ok(ready.clone());
        }
        let heads = self.table.dim(1)?;
        let tokens = self.rows.dim(0)?.isqrt();
        let bias = self.table.index_select(&self.rows, 0)?.t()?.contiguous()?;
        Ok(bias.reshape((heads, tokens, tokens))?)
    }
}

/// Token 0 is the class token; patches follow row by row.
fn rows(grid: usize, device: &Device) -> Result<Tensor> {
    let (tokens, side) = (1 + grid * grid, 2 * grid - 1);
    let displacements = side * side;
    let row = |i: usize| {
        let (from, to) = (i / tokens, i % tokens);
        match (from, to) {
            (0, 0) => displacements + 2,
            (0, _) => displacements,
            (_, 0) => displacements + 1,
            _ => {
                let (from, to) = (from - 1, to - 1);
                let down = from / grid + grid - 1 - to / grid;
                let across = from % grid + grid - 1 - to % grid;
                down * side + across
            }
        }
    };
    let rows: Vec<u32> = (0..tokens * tokens).map(|i| row(i) as u32).collect();
    Ok(Tensor::from_vec(rows, tokens * tokens, device)?)
}
