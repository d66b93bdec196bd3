//! The exact search with its products on a candle device (CUDA), for sets where those are the cost.
//!
//! The device computes keys and picks each tile's smallest; ranking in f64 and the second search stay on the CPU, so
//! that results do not depend on the device.

use super::exact::{QUERY_TILE, collect};
use super::proposals::Proposals;
use super::{Index, Metric, Neighbours};
use crate::error::Result;
use candle_core::{D, Device, Tensor};
use ndarray::{Array2, ArrayView2, Axis};

/// candle sorts rows of at most this length on CUDA.
const DEVICE_TILE: usize = 1024;
const SPARE: usize = 8;

/// Some references on the device.
struct Tile {
    start: usize,
    /// `(D, R)`, centred.
    references: Tensor,
    /// `(1, R)`.
    scale: Tensor,
}

impl Index {
    /// [`Index::nearest`] with the matrix products on `device`; equal to it in every digit.
    ///
    /// # Errors
    /// As there, or whatever the device gives (out of memory: the references take `N D` floats there).
    pub fn nearest_on(&self, device: &Device, queries: ArrayView2<f32>, k: usize) -> Result<Neighbours> {
        if device.is_cpu() {
            return self.nearest(queries, k);
        }
        self.nearest_by_tensors(device, queries, k)
    }

    /// The device's way, on any device: what a test on the CPU compares.
    pub fn nearest_by_tensors(&self, device: &Device, queries: ArrayView2<f32>, k: usize) -> Result<Neighbours> {
        self.check(queries, k)?;
        let keep = (k + SPARE).min(self.len());
        let tiles = self.tiles(device)?;
        let mut ranked = Vec::with_capacity(queries.nrows());
        for tile in queries.axis_chunks_iter(Axis(0), QUERY_TILE) {
            let centred = self.prepared(tile);
            let on_device = tensor(centred.view(), device)?;
            let mut proposals = vec![Proposals::new(keep); tile.nrows()];
            for references in &tiles {
                propose(self.metric, &on_device, references, keep, &mut proposals)?;
            }
            ranked.extend(self.decide(tile, centred.view(), proposals, k));
        }
        Ok(collect(ranked, k))
    }

    fn tiles(&self, device: &Device) -> Result<Vec<Tile>> {
        let mut buffer = Array2::<f32>::zeros((DEVICE_TILE.min(self.len()), self.references.ncols()));
        let mut tiles = Vec::new();
        for start in (0..self.len()).step_by(DEVICE_TILE) {
            let end = (start + DEVICE_TILE).min(self.len());
            let references = tensor(self.centred(start, end, &mut buffer), device)?.t()?.contiguous()?;
            let scale: Vec<f32> = self.scale.iter().skip(start).take(end - start).copied().collect();
            let scale = Tensor::from_vec(scale, (1, end - start), device)?;
            tiles.push(Tile { start, references, scale });
        }
        Ok(tiles)
    }
}

/// Offers the smallest keys of a tile: `(Q, R)` keys, sorted on the device.
fn propose(metric: Metric, queries: &Tensor, tile: &Tile, keep: usize, proposals: &mut [Proposals]) -> Result<()> {
    let products = queries.matmul(&tile.references)?;
    let keys = match metric {
        Metric::Euclidean => products.affine(-2.0, 0.0)?.broadcast_add(&tile.scale)?,
        Metric::Cosine => products.neg()?.broadcast_mul(&tile.scale)?,
    };
    let keep = keep.min(keys.dim(D::Minus1)?);
    let order = keys.arg_sort_last_dim(true)?.narrow(1, 0, keep)?.contiguous()?;
    let smallest = keys.gather(&order, 1)?.to_vec2::<f32>()?;
    for (proposals, (keys, rows)) in proposals.iter_mut().zip(smallest.into_iter().zip(order.to_vec2::<u32>()?)) {
        for (key, row) in keys.into_iter().zip(rows) {
            proposals.offer(key, tile.start + row as usize);
        }
    }
    Ok(())
}

fn tensor(rows: ArrayView2<f32>, device: &Device) -> Result<Tensor> {
    Ok(Tensor::from_iter(rows.iter().copied(), device)?.reshape(rows.dim())?)
}
