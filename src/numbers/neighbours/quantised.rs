//! Proposals by 8-bit products: four times the rate of f32 on processors with AVX-512 VNNI.
//!
//! A row x is stored as bytes b and a scale s with x = s b + e, and |e| is known exactly. The product of two rows is then
//! s t (b . c) up to |s b| |e'| + |e| |x'| (Cauchy and Schwarz), and taking that off gives a lower bound of the key that a
//! row has in the exact search (`exact.rs`). The rows with the smallest lower bounds are proposed; all others have keys
//! at or above the largest of those. So the proposals are as certain as those of f32 products, only with a wider margin,
//! and a query for which that margin leaves a doubt is searched again.

use super::Metric;
use super::proposals::Proposals;
use crate::products::{dot, squared_distance};
use ndarray::{ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;
use std::arch::x86_64::{
    _CMP_LT_OQ, _mm512_cmp_ps_mask, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fnmadd_ps, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512, _mm512_storeu_ps,
    _mm512_sub_epi32,
};

/// References whose bytes lie together: two vectors of sixteen.
const PANEL: usize = 32;
/// Queries multiplied with a panel at a time: 24 of the 32 vector registers hold their products.
const QUERIES: usize = 12;
/// Queries that go over all references together.
const CHUNK: usize = 4 * QUERIES;

/// References as bytes.
#[derive(Debug, Clone)]
pub(super) struct Quantised {
    n: usize,
    /// Columns, in groups of four.
    groups: usize,
    /// Panel after panel, group after group, reference after reference: four bytes, each 128 more than the value.
    bytes: Vec<u8>,
    /// For each reference, padded to whole panels: the constant of its key, and factor times its scale, the norm of what
    /// the bytes lose, and the norm of the row.
    constants: Vec<f32>,
    scales: Vec<f32>,
    lost: Vec<f32>,
    norms: Vec<f32>,
}

/// A row as bytes.
struct Row {
    values: Vec<i8>,
    scale: f32,
    /// Norm of scale x values.
    kept: f64,
    /// Norm of what is lost.
    lost: f64,
}

impl Row {
    fn new(row: &[f32]) -> Row {
        const ROUND: f32 = 12_582_912.0; // 1.5 x 2^23: adding it leaves no fraction bits.
        let largest = row.iter().fold(0f32, |largest, x| if x.abs() > largest { x.abs() } else { largest });
        // Of a row so small that the inverse would overflow, the bytes keep nothing.
        let scale = if largest > 1e-30 { largest / 127.0 } else { 1.0 };
        let inverse = 1.0 / scale;
        let whole: Vec<f32> = row.iter().map(|x| (x * inverse + ROUND) - ROUND).collect();
        let stored: Vec<f32> = whole.iter().map(|value| value * scale).collect();
        let values = whole.iter().map(|&value| value as i32 as i8).collect();
        Row { values, scale, kept: dot(&stored, &stored).sqrt(), lost: squared_distance(row, &stored).sqrt() }
    }
}

impl Quantised {
    /// Whether this processor has the instructions.
    pub fn available() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")
    }

    /// Stores references times `unit` less `centre` (Euclidean), whose squares `scale` holds, or times `scale` (cosine).
    pub fn new(
        metric: Metric,
        references: ArrayView2<f32>,
        unit: f32,
        centre: ArrayView1<f32>,
        scale: ArrayView1<f32>,
    ) -> Quantised {
        let (n, d) = references.dim();
        let (groups, n_padded) = (d.div_ceil(4), n.div_ceil(PANEL) * PANEL);
        let mut quantised = Quantised {
            n,
            groups,
            bytes: vec![128; n_padded * groups * 4],
            // A key of infinity keeps what is no reference out.
            constants: vec![f32::INFINITY; n_padded],
            scales: vec![0.0; n_padded],
            lost: vec![0.0; n_padded],
            norms: vec![0.0; n_padded],
        };
        let factor = factor(metric);
        // Norms rounded up, so that bounds stay bounds.
        let up = |x: f64| (factor * x * (1.0 + 1e-6)) as f32;
        let panels = quantised.bytes.par_chunks_mut(PANEL * groups * 4).zip(quantised.constants.par_chunks_mut(PANEL));
        let panels = panels.zip(quantised.scales.par_chunks_mut(PANEL)).zip(quantised.lost.par_chunks_mut(PANEL));
        panels.zip(quantised.norms.par_chunks_mut(PANEL)).enumerate().for_each(
            |(panel, ((((bytes, constants), scales), lost), norms))| {
                for lane in 0..PANEL.min(n - panel * PANEL) {
                    let reference = panel * PANEL + lane;
                    let values = references.index_axis(Axis(0), reference);
                    let values: Vec<f32> = match metric {
                        Metric::Euclidean => values.iter().zip(&centre).map(|(x, c)| x * unit - c).collect(),
                        Metric::Cosine => values.iter().map(|x| x * scale[reference]).collect(),
                    };
                    let row = Row::new(&values);
                    for (column, &value) in row.values.iter().enumerate() {
                        bytes[(column / 4 * PANEL + lane) * 4 + column % 4] = (i16::from(value) + 128) as u8;
                    }
                    constants[lane] = if metric == Metric::Euclidean { scale[reference] } else { 0.0 };
                    scales[lane] = factor as f32 * row.scale;
                    lost[lane] = up(row.lost);
                    norms[lane] = up(row.kept + row.lost);
                }
            },
        );
        quantised
    }

    /// Proposes `keep` references for each query (less the centre): those with the smallest lower bounds of their keys.
    pub fn propose(&self, queries: ArrayView2<f32>, keep: usize) -> Vec<Proposals> {
        let mut proposals = vec![Proposals::new(keep); queries.nrows()];
        proposals.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, proposals)| {
            let start = chunk * CHUNK;
            let packed: Vec<Packed> = (0..proposals.len())
                .step_by(QUERIES)
                .map(|i| {
                    let last = proposals.len().min(i + QUERIES);
                    Packed::new(queries.slice(s![start + i..start + last, ..]), self.groups)
                })
                .collect();
            for panel in 0..self.constants.len() / PANEL {
                for (proposals, queries) in proposals.chunks_mut(QUERIES).zip(&packed) {
                    // SAFETY: an index holds quantised references only where `available` found the instructions.
                    unsafe { self.meet(panel, queries, proposals) };
                }
            }
        });
        proposals
    }

    /// Offers the references of a panel to at most [`QUERIES`] queries.
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn meet(&self, panel: usize, queries: &Packed, proposals: &mut [Proposals]) {
        let start = panel * PANEL;
        let bytes = &self.bytes[start * self.groups * 4..(start + PANEL) * self.groups * 4];
        let mut sums = [[_mm512_setzero_si512(); 2]; QUERIES];
        for (bytes, values) in bytes.chunks_exact(PANEL * 4).zip(&queries.values) {
            // SAFETY: a chunk has 128 bytes, two whole vectors.
            let (left, right) = unsafe {
                (_mm512_loadu_si512(bytes.as_ptr().cast()), _mm512_loadu_si512(bytes.as_ptr().add(64).cast()))
            };
            for (sums, &value) in sums.iter_mut().zip(values) {
                let four = _mm512_set1_epi32(value);
                sums[0] = _mm512_dpbusd_epi32(sums[0], left, four);
                sums[1] = _mm512_dpbusd_epi32(sums[1], right, four);
            }
        }
        for ((query, proposals), sums) in queries.scalars.iter().zip(proposals).zip(sums) {
            for (half, sum) in sums.into_iter().enumerate() {
                let first = start + half * 16;
                // SAFETY: all four lists are padded to whole panels.
                let [constant, scale, lost, norm] = unsafe {
                    [&self.constants, &self.scales, &self.lost, &self.norms]
                        .map(|list| _mm512_loadu_ps(list.as_ptr().add(first)))
                };
                let product = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, _mm512_set1_epi32(query.offset)));
                let key = _mm512_fnmadd_ps(_mm512_mul_ps(product, _mm512_set1_ps(query.scale)), scale, constant);
                let key = _mm512_fnmadd_ps(_mm512_set1_ps(query.kept), lost, key);
                let key = _mm512_fnmadd_ps(_mm512_set1_ps(query.lost), norm, key);
                if _mm512_cmp_ps_mask::<_CMP_LT_OQ>(key, _mm512_set1_ps(proposals.bound())) != 0 {
                    let mut keys = [0f32; 16];
                    // SAFETY: sixteen floats make a vector.
                    unsafe { _mm512_storeu_ps(keys.as_mut_ptr(), key) };
                    let left = self.n - first.min(self.n);
                    proposals.add(first, keys.into_iter().take(left));
                }
            }
        }
    }
}

/// A few queries as bytes, four to a number, query beside query: those of a panel's group lie together. Where there are
/// fewer than [`QUERIES`], the rest are zeros.
struct Packed {
    values: Vec<[i32; QUERIES]>,
    scalars: Vec<Scalars>,
}

/// What a query's bytes leave out.
struct Scalars {
    scale: f32,
    kept: f32,
    lost: f32,
    /// What the 128 in every byte of a reference adds to a product.
    offset: i32,
}

impl Packed {
    fn new(queries: ArrayView2<f32>, groups: usize) -> Packed {
        let mut bytes: Vec<[[u8; 4]; QUERIES]> = vec![[[0; 4]; QUERIES]; groups];
        let mut scalars = Vec::with_capacity(QUERIES);
        let up = |x: f64| (x * (1.0 + 1e-6)) as f32;
        for (i, query) in queries.rows().into_iter().enumerate() {
            let row = Row::new(&query.to_vec());
            let offset = 128 * row.values.iter().map(|&value| i32::from(value)).sum::<i32>();
            for (column, &value) in row.values.iter().enumerate() {
                bytes[column / 4][i][column % 4] = value as u8;
            }
            scalars.push(Scalars { scale: row.scale, kept: up(row.kept), lost: up(row.lost), offset });
        }
        Packed { values: bytes.into_iter().map(|group| group.map(i32::from_ne_bytes)).collect(), scalars }
    }
}

/// What a product counts in a key: |r|^2 - 2 q.r, or - q.r.
fn factor(metric: Metric) -> f64 {
    if metric == Metric::Euclidean { 2.0 } else { 1.0 }
}
