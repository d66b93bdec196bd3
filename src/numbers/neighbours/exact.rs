//! Exact nearest neighbours, a tile of queries against a tile of references at a time.
//!
//! The order of Euclidean distances is that of `|r|^2 - 2 q.r` (both less the references' mean, which saves digits), of
//! cosine distances that of `-q.r / |r|`: one matrix product a tile, in 8-bit integers where the processor has them
//! (`quantised.rs`), else in f32. Those keys only propose k rows and some more; distances from differences in f64 rank
//! them. A row that was not proposed has a larger key; where the largest error that a product can have would still let
//! it in, the query is searched again, after 8-bit products with f32 ones, after these in f64 over all references.
//! Memory beyond the references is a few tiles, and a quarter of the references for their bytes.
//!
//! Keys of very large or small numbers would overflow or vanish in f32: rows beyond the band of `scale.rs` are brought
//! into it by a power of two before they are multiplied (by the cosine, which no row's length changes, each row by its
//! own). Distances are always those of the rows as they were given.
//!
//! Against scikit-learn's brute force (its ArgKmin computes in f64 throughout): see benches/README.md.

use super::proposals::Proposals;
use super::quantised::Quantised;
use super::{Metric, Neighbours, check_features, check_k, check_width};
use crate::error::Result;
use crate::products::{Threads, column_means, dot, multiply, squared_distance};
use crate::scale::{largest, largest_of, unit};
use ndarray::{ArcArray2, Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Rows proposed beyond k, so that rounding seldom sends a query to the second search.
const SPARE: usize = 8;
/// The same for 8-bit products.
const WIDE_SPARE: usize = 27;
/// References with fewer values are searched in f32 alone.
const QUANTISE_FROM: usize = 1 << 16;
/// Of more, a sum of products of bytes would not fit into 32 bits: 127² times this does.
const MOST_COLUMNS: usize = 1 << 17;
pub(super) const QUERY_TILE: usize = 1024;
pub(super) const REFERENCE_TILE: usize = 1024;

/// (Distance, row), nearest first.
pub(super) type Ranked = Vec<(f64, usize)>;

/// References that can be searched. They are shared, not copied.
#[derive(Debug, Clone)]
pub struct Index {
    pub(super) metric: Metric,
    pub(super) references: ArcArray2<f32>,
    /// The references that products are made of, where they are not the ones above: by the cosine, each row times a
    /// power of two of its own.
    rows: Option<ArcArray2<f32>>,
    /// The power of two by which all rows are multiplied before products; 1 for the cosine.
    unit: f32,
    /// What is taken off every row before products: the references' mean times the unit, or zeros for the cosine.
    centre: Array1<f32>,
    /// For each reference `|r - centre|^2` (Euclidean) or `1 / |r|`, 0 for a row of zeros (cosine).
    pub(super) scale: Array1<f32>,
    /// The largest `|r - centre|` (Euclidean) or 1 (cosine): what the rounding bound needs.
    largest: f64,
    /// The references as bytes, where the processor multiplies these.
    quantised: Option<Quantised>,
}

impl Index {
    /// Takes references `(N, D)` into an index.
    ///
    /// # Errors
    /// Features that are empty or not finite.
    ///
    /// ```
    /// use ndarray::array;
    /// use wider_clip::neighbours::{Index, Metric};
    ///
    /// let index = Index::new(array![[0.0, 1.0], [3.0, 1.0], [0.0, 5.0]].into_shared(), Metric::Euclidean)?;
    /// let found = index.nearest(array![[0.0, 4.0]].view(), 2)?;
    /// assert_eq!(found.rows, array![[2, 0]]);
    /// assert_eq!(found.distances, array![[1.0, 3.0]]);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    pub fn new(references: ArcArray2<f32>, metric: Metric) -> Result<Index> {
        check_features("references", references.view())?;
        let references = match references.is_standard_layout() {
            true => references,
            false => references.as_standard_layout().into_owned().into_shared(),
        };
        let (unit, rows) = match metric {
            Metric::Euclidean => (unit(largest(references.view())), None),
            Metric::Cosine => (1.0, evened(references.view())),
        };
        let centre = match metric {
            Metric::Cosine => Array1::zeros(references.ncols()),
            Metric::Euclidean => column_means(references.view()).mapv(|mean| mean as f32 * unit),
        };
        let multiplied = rows.as_ref().unwrap_or(&references);
        let norms: Vec<f64> = multiplied
            .axis_iter(Axis(0))
            .into_par_iter()
            .map(|row| row.iter().zip(&centre).map(|(x, c)| f64::from(x * unit - c).powi(2)).sum::<f64>())
            .collect();
        let (scale, largest) = match metric {
            Metric::Euclidean => {
                (norms.iter().map(|&square| square as f32).collect(), norms.iter().copied().fold(0.0, f64::max).sqrt())
            }
            Metric::Cosine => (norms.iter().map(|&square| inverse_norm(square) as f32).collect(), 1.0),
        };
        let scale: Array1<f32> = scale;
        let in_bytes = references.len() >= QUANTISE_FROM && references.ncols() <= MOST_COLUMNS;
        let quantised = (Quantised::available() && in_bytes)
            .then(|| Quantised::new(metric, multiplied.view(), unit, centre.view(), scale.view()));
        Ok(Index { metric, references, rows, unit, centre, scale, largest, quantised })
    }

    /// Number of references.
    pub fn len(&self) -> usize {
        self.references.nrows()
    }

    /// Never true: an index has at least one reference.
    pub fn is_empty(&self) -> bool {
        self.references.is_empty()
    }

    /// The `k` nearest references of each query `(Q, D)`.
    ///
    /// # Errors
    /// Queries of another width, or not finite; k = 0 or above the number of references.
    pub fn nearest(&self, queries: ArrayView2<f32>, k: usize) -> Result<Neighbours> {
        self.check(queries, k)?;
        Ok(collect(self.search(queries, k), k))
    }

    fn search(&self, queries: ArrayView2<f32>, k: usize) -> Vec<Ranked> {
        let Some(quantised) = &self.quantised else { return self.search_f32(queries, k) };
        let keep = (2 * k).max(k + WIDE_SPARE).min(self.len());
        let mut ranked = Vec::with_capacity(queries.nrows());
        for tile in queries.axis_chunks_iter(Axis(0), QUERY_TILE) {
            let centred = self.prepared(tile);
            let proposals = quantised.propose(centred.view(), keep);
            ranked.extend(self.rank(tile, centred.view(), proposals, k));
        }
        let doubtful: Vec<usize> = (0..ranked.len()).filter(|&query| ranked[query].is_none()).collect();
        if !doubtful.is_empty() {
            let again = self.search_f32(queries.select(Axis(0), &doubtful).view(), k);
            doubtful.into_iter().zip(again).for_each(|(query, found)| ranked[query] = Some(found));
        }
        ranked.into_iter().flatten().collect()
    }

    fn search_f32(&self, queries: ArrayView2<f32>, k: usize) -> Vec<Ranked> {
        let keep = (k + SPARE).min(self.len());
        let mut ranked = Vec::with_capacity(queries.nrows());
        let mut tile_buffer = Array2::<f32>::zeros((REFERENCE_TILE.min(self.len()), queries.ncols()));
        let mut products = Array2::<f32>::zeros((QUERY_TILE.min(queries.nrows()), REFERENCE_TILE.min(self.len())));
        for tile in queries.axis_chunks_iter(Axis(0), QUERY_TILE) {
            let centred = self.prepared(tile);
            let mut proposals = vec![Proposals::new(keep); tile.nrows()];
            for start in (0..self.len()).step_by(REFERENCE_TILE) {
                let end = (start + REFERENCE_TILE).min(self.len());
                let references = self.centred(start, end, &mut tile_buffer);
                let mut keys = products.slice_mut(s![..tile.nrows(), ..end - start]);
                multiply(Threads::All, centred.view(), references.t(), keys.view_mut());
                let scale = &self.scale.as_slice().unwrap_or(&[])[start..end];
                let rows: Vec<_> = keys.rows_mut().into_iter().collect();
                proposals.par_iter_mut().zip(rows).for_each(|(proposals, mut row)| {
                    if let Some(row) = row.as_slice_mut() {
                        self.keys(row, scale);
                        proposals.add_slice(start, row);
                    }
                });
            }
            ranked.extend(self.decide(tile, centred.view(), proposals, k));
        }
        ranked
    }

    /// The `k` nearest references of each reference, itself among them; each pair's product is computed once.
    ///
    /// # Errors
    /// k = 0 or above the number of references.
    pub fn within(&self, k: usize) -> Result<Neighbours> {
        check_k(k, self.len())?;
        if self.metric == Metric::Cosine || self.quantised.is_some() {
            return self.nearest(self.references.view(), k);
        }
        const TILE: usize = 1024;
        let keep = (k + SPARE).min(self.len());
        let n = self.len();
        let centred = self.prepared(self.references.view());
        let scale = self.scale.as_slice().unwrap_or(&[]);
        let mut proposals = vec![Proposals::new(keep); n];
        let mut products = Array2::<f32>::zeros((TILE.min(n), TILE.min(n)));
        for start in (0..n).step_by(TILE) {
            let end = (start + TILE).min(n);
            for other in (start..n).step_by(TILE) {
                let other_end = (other + TILE).min(n);
                let (a, b) = (centred.slice(s![start..end, ..]), centred.slice(s![other..other_end, ..]));
                let mut tile = products.slice_mut(s![..end - start, ..other_end - other]);
                multiply(Threads::All, a, b.t(), tile.view_mut());
                let tile = tile.view();
                if start != other {
                    proposals[other..other_end].par_iter_mut().enumerate().for_each_init(
                        Vec::new,
                        |keys, (j, best)| {
                            keys.clear();
                            keys.extend(
                                tile.column(j).iter().zip(&scale[start..end]).map(|(p, square)| square - 2.0 * p),
                            );
                            best.add_slice(start, keys);
                        },
                    );
                }
                proposals[start..end].par_iter_mut().enumerate().for_each_init(Vec::new, |keys, (i, best)| {
                    keys.clear();
                    keys.extend(tile.row(i).iter().zip(&scale[other..other_end]).map(|(p, square)| square - 2.0 * p));
                    best.add_slice(other, keys);
                });
            }
        }
        Ok(collect(self.decide(self.references.view(), centred.view(), proposals, k), k))
    }

    pub(super) fn check(&self, queries: ArrayView2<f32>, k: usize) -> Result<()> {
        check_features("queries", queries)?;
        check_width(self.references.ncols(), queries)?;
        check_k(k, self.len())
    }

    /// The references `start..end` less the centre, in `buffer` where there is something to take off.
    pub(super) fn centred<'a>(&'a self, start: usize, end: usize, buffer: &'a mut Array2<f32>) -> ArrayView2<'a, f32> {
        let references = self.rows.as_ref().unwrap_or(&self.references).slice(s![start..end, ..]);
        if self.metric == Metric::Cosine {
            return references;
        }
        let mut target = buffer.slice_mut(s![..end - start, ..]);
        target.axis_iter_mut(Axis(0)).into_par_iter().zip(references.axis_iter(Axis(0))).for_each(|(mut row, from)| {
            ndarray::Zip::from(&mut row).and(from).and(&self.centre).for_each(|to, x, c| *to = x * self.unit - c);
        });
        buffer.slice(s![..end - start, ..])
    }

    /// Queries as they are multiplied with the references: times the unit, less the centre.
    pub(super) fn prepared(&self, queries: ArrayView2<f32>) -> Array2<f32> {
        if self.metric == Metric::Cosine {
            return evened(queries).map_or_else(|| queries.to_owned(), ArcArray2::into_owned);
        }
        if self.unit == 1.0 {
            return &queries - &self.centre;
        }
        let mut prepared = queries.mapv(|x| x * self.unit);
        prepared -= &self.centre;
        prepared
    }

    /// Turns products with a tile of references into keys.
    pub(super) fn keys(&self, products: &mut [f32], scale: &[f32]) {
        let pairs = products.iter_mut().zip(scale);
        match self.metric {
            Metric::Euclidean => pairs.for_each(|(key, square)| *key = square - 2.0 * *key),
            Metric::Cosine => pairs.for_each(|(key, inverse)| *key *= -inverse),
        }
    }

    /// Ranks what was proposed, and all references where a row may have been missed.
    pub(super) fn decide(
        &self,
        queries: ArrayView2<f32>,
        centred: ArrayView2<f32>,
        proposals: Vec<Proposals>,
        k: usize,
    ) -> Vec<Ranked> {
        let ranked = self.rank(queries, centred, proposals, k).into_par_iter().zip(queries.axis_iter(Axis(0)));
        ranked.map(|(ranked, query)| ranked.unwrap_or_else(|| self.rank_all(query, k))).collect()
    }

    /// Ranks what was proposed by exact distance; nothing where a row may have been missed.
    fn rank(
        &self,
        queries: ArrayView2<f32>,
        centred: ArrayView2<f32>,
        proposals: Vec<Proposals>,
        k: usize,
    ) -> Vec<Option<Ranked>> {
        let rows = queries.axis_iter(Axis(0)).into_par_iter().zip(centred.axis_iter(Axis(0)));
        let rank = |(proposals, (query, centred)): (Proposals, (ArrayView1<f32>, ArrayView1<f32>))| {
            let (proposed, bound) = proposals.finish(self.len());
            let query = Query::new(query, centred);
            let mut ranked: Ranked = Vec::with_capacity(k + 1);
            for (key, row) in proposed {
                // Smallest keys first: from one that cannot be near enough on, none can.
                if ranked.len() == k && self.certain(ranked[k - 1].0, f64::from(key), query.centred_square) {
                    break;
                }
                let entry = (self.distance(&query, row as usize), row as usize);
                let place = ranked.partition_point(|other| (other.0, other.1) < entry);
                ranked.insert(place, entry);
                ranked.truncate(k);
            }
            let last = ranked.last().map_or(f64::INFINITY, |last| last.0);
            self.certain(last, f64::from(bound), query.centred_square).then(|| self.finished(ranked))
        };
        proposals.into_par_iter().zip(rows).map(rank).collect()
    }

    fn rank_all(&self, query: ArrayView1<f32>, k: usize) -> Ranked {
        let query = Query::new(query, query);
        let mut ranked: Ranked = (0..self.len()).map(|row| (self.distance(&query, row), row)).collect();
        ranked.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        ranked.truncate(k);
        self.finished(ranked)
    }

    fn finished(&self, mut ranked: Ranked) -> Ranked {
        if self.metric == Metric::Euclidean {
            ranked.iter_mut().for_each(|(distance, _)| *distance = distance.sqrt());
        }
        ranked
    }

    /// Squared Euclidean, or cosine, distance in f64.
    fn distance(&self, query: &Query, row: usize) -> f64 {
        let width = query.values.len();
        let reference = &self.references.as_slice().unwrap_or(&[])[row * width..(row + 1) * width];
        match self.metric {
            Metric::Euclidean => squared_distance(&query.values, reference),
            Metric::Cosine => {
                let product = dot(&query.values, reference);
                cosine_distance(product * query.inverse_norm * inverse_norm(dot(reference, reference)), width)
            }
        }
    }

    /// Whether no row with an f32 key of `bound` or more can be nearer than `kth`, the exact distance of the last kept.
    fn certain(&self, kth: f64, bound: f64, query_square: f64) -> bool {
        if bound == f64::INFINITY {
            return true;
        }
        let query = query_square.sqrt();
        // Beyond this, products or sums of them may have overflowed.
        if !((1.0 + query) * (1.0 + self.largest) < 2f64.powi(110)) {
            return false;
        }
        // What is too small for f32, in a row or in a product, is lost whole.
        let vanished = (self.references.ncols() as f64 + 16.0) * 2f64.powi(-144) * (1.0 + query + self.largest);
        // A product of D terms in f32 is off by at most about D u |q| |r| with u = 2^-24; the rest are single roundings.
        let rounding = (self.references.ncols() as f64 + 16.0) * 2f64.powi(-24) * query * self.largest;
        match self.metric {
            Metric::Euclidean => {
                let singles = 2f64.powi(-22) * (query + self.largest).powi(2);
                let kth = kth * f64::from(self.unit) * f64::from(self.unit);
                kth < bound + query_square - 2.0 * rounding - singles - vanished
            }
            // The key is minus |q| times the similarity.
            Metric::Cosine => {
                let kth = kth + noise(self.references.ncols());
                kth * query < bound + query - 2.0 * rounding - vanished
            }
        }
    }
}

/// A query with what its distances need.
struct Query {
    values: Vec<f32>,
    /// `|q - centre|^2`.
    centred_square: f64,
    inverse_norm: f64,
}

impl Query {
    fn new(query: ArrayView1<f32>, centred: ArrayView1<f32>) -> Query {
        let values = query.to_vec();
        let inverse_norm = inverse_norm(dot(&values, &values));
        Query { values, centred_square: centred.iter().map(|&x| f64::from(x).powi(2)).sum(), inverse_norm }
    }
}

fn inverse_norm(square: f64) -> f64 {
    if square > 0.0 { 1.0 / square.sqrt() } else { 0.0 }
}

/// How far the similarity of rows of `width` numbers in f64 may be off.
fn noise(width: usize) -> f64 {
    (width as f64 + 16.0) * f64::EPSILON
}

/// 1 less the similarity. What is within rounding of 0 or 2 is that: rows of one direction are equally near, whatever
/// their lengths, and come in their order.
fn cosine_distance(similarity: f64, width: usize) -> f64 {
    let (distance, noise) = (1.0 - similarity, noise(width));
    match distance {
        near if near <= noise => 0.0,
        far if far >= 2.0 - noise => 2.0,
        between => between,
    }
}

/// Rows that are in the band of `scale.rs`, all but rows of zeros, need nothing; else each row times a power of two that
/// brings its largest number near 1.
fn evened(rows: ArrayView2<f32>) -> Option<ArcArray2<f32>> {
    let units: Vec<f32> = rows.axis_iter(Axis(0)).into_par_iter().map(|row| unit(largest_of(row))).collect();
    if units.iter().all(|&unit| unit == 1.0) {
        return None;
    }
    let mut evened = rows.as_standard_layout().into_owned();
    for (mut row, unit) in evened.rows_mut().into_iter().zip(units) {
        row.mapv_inplace(|x| x * unit);
    }
    Some(evened.into_shared())
}

/// Lists of (distance, row) as arrays.
pub(super) fn collect(ranked: Vec<Ranked>, k: usize) -> Neighbours {
    let shape = (ranked.len(), k);
    Neighbours {
        rows: Array2::from_shape_fn(shape, |(q, i)| ranked[q][i].1),
        distances: Array2::from_shape_fn(shape, |(q, i)| ranked[q][i].0),
    }
}
