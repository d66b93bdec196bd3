//! The passes over an inverted bottleneck's large maps, each doing all that can be done while a part of a map is in the
//! cache.
//!
//! What is cut into tasks is cut by sizes alone, and sums over tasks are taken in the tasks' order: results do not depend
//! on the number of threads.

use super::super::batch_norm::{Norm, PieceMoments, affine_row, piece, piece_moments};
use super::super::depthwise_rows::{After, LANES, Source};
use super::super::product::{Matrix, Shared, multiply, multiply_onto, product};
use super::super::{filled, filled_parts, squeeze};
use crate::simd::{Kernel, dispatch, multiply_add};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Values of a map that a task holds at a time, about: half a megabyte.
const CHUNK: usize = 128 * 1024;
/// Rows of a product that a task makes: fewer, and packing the weights would cost more than it saves.
const ROWS: Range<usize> = 96..384;
/// Tasks that share a sum over all pixels, at most.
const SHARES: usize = 8;
/// Pixels that a kernel takes together, so that constants and sums of a block of channels are loaded once for them.
const TOGETHER: usize = 4;

/// What stands behind a convolution: normalisation and activation, as factor and shift of each channel.
pub(super) struct Layer {
    pub(super) norm: Norm,
    pub(super) affine: (Vec<f32>, Vec<f32>),
}

impl Layer {
    pub(super) fn new(norm: Norm, w: &[f32], b: &[f32]) -> Self {
        let affine = norm.affine(w, b);
        Layer { norm, affine }
    }

    pub(super) fn channels(&self) -> usize {
        self.norm.mean.len()
    }
}

/// A batch of maps: images, their pixels, channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maps {
    pub(super) batch: usize,
    pub(super) pixels: usize,
    pub(super) channels: usize,
}

impl Maps {
    pub(super) fn rows(&self) -> usize {
        self.batch * self.pixels
    }

    /// Pixels of the batch for every task: a part of an image, or some whole images.
    fn chunks(&self) -> Vec<Range<usize>> {
        let rows = (CHUNK / self.channels.max(1)).clamp(ROWS.start, ROWS.end);
        if self.pixels >= rows {
            let parts = self.pixels.div_ceil(rows);
            let rows = self.pixels.div_ceil(parts);
            let of_image = |i: usize| {
                let (from, to) = (i * self.pixels, (i + 1) * self.pixels);
                (from..to).step_by(rows).map(move |from| from..to.min(from + rows))
            };
            (0..self.batch).flat_map(of_image).collect()
        } else {
            let rows = (rows / self.pixels.max(1)).max(1) * self.pixels.max(1);
            (0..self.rows()).step_by(rows).map(|from| from..self.rows().min(from + rows)).collect()
        }
    }

    /// A chunk by images: the image's number and the pixels from the chunk's start on.
    fn by_image(&self, chunk: &Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let (pixels, chunk) = (self.pixels.max(1), chunk.clone());
        (chunk.start / pixels..chunk.end.div_ceil(pixels)).map(move |i| {
            let (from, to) = ((i * pixels).max(chunk.start), ((i + 1) * pixels).min(chunk.end));
            (i, from - chunk.start..to - chunk.start)
        })
    }

    /// Chunks with the values that each writes, `width` a pixel.
    fn parts(&self, width: usize) -> Vec<(Range<usize>, usize)> {
        self.chunks().into_iter().map(|chunk| (chunk.clone(), chunk.len() * width)).collect()
    }
}

/// The moments of a chunk, in pieces small enough for sums in f32.
fn moments(y: &[f32], channels: usize) -> Vec<PieceMoments> {
    y.chunks(piece(channels)).map(|y| piece_moments(y, channels)).collect()
}

/// `x` (N, I) times `w` (O, I): the product (N, O), and its moments.
pub(super) fn widened(x: &[f32], w: &[f32], maps: Maps, moments_too: bool) -> (Vec<f32>, Vec<PieceMoments>) {
    let outputs = maps.channels;
    let inputs = w.len() / outputs;
    let write = |chunk: Range<usize>, y: &mut [MaybeUninit<f32>]| {
        let x = Matrix::rows(&x[chunk.start * inputs..chunk.end * inputs], inputs);
        let y = multiplied(y, x, Matrix::rows(w, inputs).turned());
        if moments_too { moments(y, outputs) } else { Vec::new() }
    };
    // SAFETY: `multiplied` writes every part whole.
    let (y, made) = unsafe { filled_parts(maps.parts(outputs), write) };
    (y, made.into_iter().flatten().collect())
}

/// The rows of a map behind its layer.
pub(super) struct Activated<'a> {
    pub(super) values: &'a [f32],
    /// Rows of an image.
    pub(super) rows: usize,
    pub(super) layer: &'a Layer,
}

impl Source for Activated<'_> {
    fn row<'a>(&'a self, (i, row): (usize, usize), length: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        buffer.resize(length, 0.0);
        let x = &self.values[(i * self.rows + row) * length..][..length];
        dispatch(Activate { layer: self.layer, gate: None, x, y: buffer });
        buffer
    }
}

/// The moments of each band.
pub(super) struct MomentsOf(pub(super) usize);

impl After for MomentsOf {
    type Made = Vec<PieceMoments>;

    fn start(&self) -> Self::Made {
        Vec::new()
    }

    fn band(&self, band: &mut [f32], made: &mut Self::Made) {
        *made = moments(band, self.0);
    }
}

/// The mean over pixels of a map behind its layer, (B, C).
pub(super) fn mean(x: &[f32], layer: &Layer, maps: Maps) -> Vec<f32> {
    let of_chunk = |chunk: Range<usize>| {
        let x = &x[chunk.start * maps.channels..chunk.end * maps.channels];
        let of_image = |(i, part): (usize, Range<usize>)| {
            let mut sums = vec![0f32; maps.channels];
            dispatch(Pool { layer, x: &x[part.start * maps.channels..part.end * maps.channels], sums: &mut sums });
            (i, sums)
        };
        maps.by_image(&chunk).map(of_image).collect()
    };
    let parts: Vec<Vec<_>> = maps.chunks().into_par_iter().map(of_chunk).collect();
    squeeze::together(parts.into_iter().flatten(), (maps.batch, maps.channels), 1.0 / maps.pixels.max(1) as f32)
}

/// A map behind its layer and gate times `w` (O, C): the product (N, O), and its moments.
pub(super) fn narrowed(
    x: &[f32],
    layer: &Layer,
    gate: Option<&[f32]>,
    w: &[f32],
    maps: Maps,
    moments_too: bool,
) -> (Vec<f32>, Vec<PieceMoments>) {
    let channels = maps.channels;
    let outputs = w.len() / channels;
    let write = |chunk: Range<usize>, y: &mut [MaybeUninit<f32>]| {
        let mut gated = vec![0f32; chunk.len() * channels];
        let x = &x[chunk.start * channels..chunk.end * channels];
        for (i, part) in maps.by_image(&chunk) {
            let part = part.start * channels..part.end * channels;
            let gate = gate.map(|gate| &gate[i * channels..][..channels]);
            dispatch(Activate { layer, gate, x: &x[part.clone()], y: &mut gated[part] });
        }
        let y = multiplied(y, Matrix::rows(&gated, channels), Matrix::rows(w, channels).turned());
        if moments_too { moments(y, outputs) } else { Vec::new() }
    };
    // SAFETY: `multiplied` writes every part whole.
    let (y, made) = unsafe { filled_parts(maps.parts(outputs), write) };
    (y, made.into_iter().flatten().collect())
}

/// Sums over the pixels of an image, each (C,): of the gradient g behind the gate times what the gate multiplies; and of
/// g s, s, g s (x - mean) and s (x - mean), where s is the activation's slope.
pub(super) const OF_IMAGE: usize = 5;

/// What the pass back through the narrowing product gives.
pub(super) struct Narrowed {
    /// The gradient behind the gate, (N, C).
    pub(super) gradient: Vec<f32>,
    /// [`OF_IMAGE`] sums for each image, (B, 5, C).
    pub(super) sums: Vec<f32>,
    /// Of the weights, (O, C).
    pub(super) w: Option<Vec<f32>>,
}

/// Back through [`narrowed`]: `gradient` (N, O) is that of its product.
pub(super) fn narrowed_back(
    x: &[f32],
    layer: &Layer,
    gate: Option<&[f32]>,
    w: &[f32],
    gradient: &[f32],
    maps: Maps,
    of_w: bool,
) -> Narrowed {
    let channels = maps.channels;
    let outputs = w.len() / channels;
    let ones = vec![1f32; if gate.is_none() { channels } else { 0 }];
    let step = |chunk: &Range<usize>, y: &mut [MaybeUninit<f32>], gated: &mut [f32]| {
        let x = &x[chunk.start * channels..chunk.end * channels];
        let g = Matrix::rows(&gradient[chunk.start * outputs..chunk.end * outputs], outputs);
        let y = multiplied(y, g, Matrix::rows(w, channels));
        let of_image = |(i, part): (usize, Range<usize>)| {
            let part = part.start * channels..part.end * channels;
            let gate = gate.map_or(&ones[..], |gate| &gate[i * channels..][..channels]);
            let mut sums = vec![0f32; OF_IMAGE * channels];
            let (x, g, gated) = (&x[part.clone()], &y[part.clone()], &mut gated[part]);
            dispatch(GateBack { layer, gate, x, g, gated, sums: &mut sums });
            (i, sums)
        };
        maps.by_image(chunk).map(of_image).collect::<Vec<_>>()
    };
    let other = Other { values: gradient, columns: outputs, wanted: of_w, turned: true };
    // SAFETY: `multiplied` writes a chunk's memory whole.
    let (gradient, w, sums) = unsafe { with_product(maps, channels, &other, step) };
    let sums = squeeze::together(sums.into_iter().flatten(), (maps.batch, OF_IMAGE * channels), 1.0);
    Narrowed { gradient, sums, w }
}

/// Of the gradient before the activation, the sums over all pixels of itself and times the normalised map, (2, C): from
/// the [`OF_IMAGE`] sums, and gate and spread (B, C) as in [`LayerBack`].
pub(super) fn layer_sums(of_images: &[f32], gate: Option<(&[f32], &[f32])>, layer: &Layer) -> Vec<f32> {
    let channels = layer.channels();
    let mut sums = vec![0f64; 2 * channels];
    for (i, of_image) in of_images.chunks_exact(OF_IMAGE * channels).enumerate() {
        for c in 0..channels {
            let of = |k: usize| f64::from(of_image[k * channels + c]);
            let of_pair = |values: &[f32]| f64::from(values[i * channels + c]);
            let (gate, spread) = gate.map_or((1.0, 0.0), |(gate, spread)| (of_pair(gate), of_pair(spread)));
            sums[c] += gate * of(1) + spread * of(2);
            sums[channels + c] += gate * of(3) + spread * of(4);
        }
    }
    let (of_g, of_gx) = sums.split_at(channels);
    let scaled = of_gx.iter().zip(&layer.norm.scale).map(|(sum, scale)| (sum * f64::from(*scale)) as f32);
    of_g.iter().map(|sum| *sum as f32).chain(scaled).collect()
}

/// What the bands of [`BeforeActivation`] made, put together, the second half times the layer's scale: (2, C).
pub(super) fn scaled_sums(bands: Vec<Vec<f32>>, layer: &Layer) -> Vec<f32> {
    let channels = layer.channels();
    let mut sums = vec![0f64; 2 * channels];
    for band in bands {
        sums.iter_mut().zip(band).for_each(|(sum, value)| *sum += f64::from(value));
    }
    let scale = std::iter::repeat_n(1.0, channels).chain(layer.norm.scale.iter().map(|scale| f64::from(*scale)));
    sums.iter().zip(scale).map(|(sum, scale)| (sum * scale) as f32).collect()
}

/// The narrow end of a block: normalisation, factors of the images, and the input.
pub(super) struct Branch<'a> {
    pub(super) layer: &'a Layer,
    pub(super) factors: Option<&'a [f32]>,
    /// Of an image.
    pub(super) pixels: usize,
}

impl Branch<'_> {
    /// `x` behind the layer, times the image's factor, plus `input`.
    pub(super) fn added(&self, x: &[f32], input: Option<&[f32]>) -> Vec<f32> {
        let channels = self.layer.channels();
        let piece = piece(channels);
        let write = |i: usize, y: &mut [MaybeUninit<f32>]| {
            let from = i * piece;
            let part = from..from + y.len();
            let input = input.map(|input| &input[part.clone()]);
            dispatch(AddBranch { branch: self, first: from / channels, x: &x[part], input, y });
        };
        // SAFETY: `AddBranch` writes every value of `y`: pieces are whole pixels, and so is `x`.
        unsafe { filled(x.len(), piece, write) }
    }

    /// The gradient of the branch, where that is not the result's.
    pub(super) fn scaled(&self, gradient: &[f32]) -> Option<Vec<f32>> {
        let factors = self.factors?;
        let image = self.pixels * self.layer.channels();
        Some(
            gradient
                .chunks(image)
                .zip(factors)
                .flat_map(|(image, factor)| image.iter().map(move |g| g * factor))
                .collect(),
        )
    }
}

struct AddBranch<'a> {
    branch: &'a Branch<'a>,
    /// Number of the first pixel.
    first: usize,
    x: &'a [f32],
    input: Option<&'a [f32]>,
    y: &'a mut [MaybeUninit<f32>],
}

impl Kernel for AddBranch<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let AddBranch { branch: Branch { layer, factors, pixels }, first, x, input, y } = self;
        let channels = layer.channels();
        for (i, (x, y)) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)).enumerate() {
            for (((y, x), factor), shift) in y.iter_mut().zip(x).zip(&layer.affine.0).zip(&layer.affine.1) {
                y.write(multiply_add::<FMA>(*x, *factor, *shift));
            }
            // SAFETY: the loop above wrote every value: x, factor and shift are as long as y.
            let y = unsafe { y.assume_init_mut() };
            if let Some(factors) = factors {
                let factor = factors[(first + i) / pixels];
                y.iter_mut().for_each(|y| *y *= factor);
            }
            if let Some(input) = input {
                y.iter_mut().zip(&input[i * channels..][..channels]).for_each(|(y, x)| *y += x);
            }
        }
    }
}

/// Runs `step` for every chunk with the memory of its `width` values a pixel and a buffer of a value for every pixel and
/// channel, both of which it writes whole; and sums the products of the buffers with the rows of `other`: (C, O), or
/// turned (O, C). Where there are many pixels, each task adds the products of its chunks; where there are few, the buffers
/// are kept for one product.
///
/// # Safety
/// `step` must write every value of its memory before it returns.
unsafe fn with_product<T: Send>(
    maps: Maps,
    width: usize,
    other: &Other,
    step: impl Fn(&Range<usize>, &mut [MaybeUninit<f32>], &mut [f32]) -> T + Sync,
) -> (Vec<f32>, Option<Vec<f32>>, Vec<T>) {
    let &Other { values, columns, wanted, turned } = other;
    let channels = maps.channels;
    let chunks = maps.chunks();
    let lanes = (maps.rows() / (2 * columns.max(1))).min(SHARES).min(chunks.len());
    let pair = |buffer: Matrix<'_>, rows: Matrix<'_>| -> (Pair, Pair, (usize, usize)) {
        match turned {
            true => (rows.turned().whole(), buffer.whole(), (columns, channels)),
            false => (buffer.turned().whole(), rows.whole(), (channels, columns)),
        }
    };
    if !wanted || lanes >= SHARES / 2 {
        let lanes = if wanted { lanes } else { chunks.len() };
        let of_lane = |lane: usize| chunks.len() * lane / lanes.max(1)..chunks.len() * (lane + 1) / lanes.max(1);
        let parts = (0..lanes).map(|lane| {
            let chunks = &chunks[of_lane(lane)];
            (chunks, chunks.iter().map(|chunk| chunk.len() * width).sum())
        });
        let write = |chunks: &[Range<usize>], mut y: &mut [MaybeUninit<f32>]| {
            let mut buffer = Vec::new();
            let mut sum = vec![0f32; if wanted { columns * channels } else { 0 }];
            let mut made = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                let (own, rest) = std::mem::take(&mut y).split_at_mut(chunk.len() * width);
                y = rest;
                buffer.resize(chunk.len() * channels, 0.0);
                made.push(step(chunk, own, &mut buffer));
                if wanted {
                    let rows = Matrix::rows(&values[chunk.start * columns..chunk.end * columns], columns);
                    let (x, w, size) = pair(Matrix::rows(&buffer, channels), rows);
                    // SAFETY: `sum` holds rows times columns of the product.
                    unsafe { multiply_onto(sum.as_mut_ptr(), size.1, size, chunk.len(), x, w) };
                }
            }
            (made, sum)
        };
        // SAFETY: a lane's memory is that of its chunks, and writing them whole is the caller's promise.
        let (y, lanes) = unsafe { filled_parts(parts.collect(), write) };
        let (made, sums): (Vec<_>, Vec<_>) = lanes.into_iter().unzip();
        return (y, wanted.then(|| added(sums)), made.into_iter().flatten().collect());
    }
    let mut buffer = Vec::<f32>::with_capacity(maps.rows() * channels);
    let to = Shared(buffer.as_mut_ptr());
    let write = |chunk: Range<usize>, y: &mut [MaybeUninit<f32>]| {
        // SAFETY: chunks are apart, and lie inside the buffer's capacity; zeros are values.
        let own = unsafe {
            let from = to.at(chunk.start * channels).cast::<MaybeUninit<f32>>();
            let own = std::slice::from_raw_parts_mut(from, chunk.len() * channels);
            own.fill(MaybeUninit::new(0.0));
            own.assume_init_mut()
        };
        step(&chunk, y, own)
    };
    // SAFETY: the caller's promise; the chunks cover the buffer.
    let (y, made) = unsafe {
        let filled = filled_parts(maps.parts(width), write);
        buffer.set_len(maps.rows() * channels);
        filled
    };
    let (buffer, rows) = (Matrix::rows(&buffer, channels), Matrix::rows(values, columns));
    let w = match turned {
        true => product(rows.turned(), buffer, None),
        false => product(buffer.turned(), rows, None),
    };
    (y, Some(w), made)
}

/// What a buffer is multiplied by in [`with_product`]: values (N, O).
struct Other<'a> {
    values: &'a [f32],
    columns: usize,
    wanted: bool,
    turned: bool,
}

/// A matrix as [`multiply`] takes it.
type Pair = (*const f32, (usize, usize));

/// The product of `x` and `w` into memory that has room for it.
fn multiplied<'a>(y: &'a mut [MaybeUninit<f32>], x: Matrix<'_>, w: Matrix<'_>) -> &'a mut [f32] {
    let ((rows, depth), (inputs, columns)) = (x.shape(), w.shape());
    assert!(y.len() == rows * columns && depth == inputs, "shapes of a product");
    // SAFETY: `y` has room for the product, which is written whole; what the matrices are made of can be read.
    unsafe {
        multiply(y.as_mut_ptr().cast(), columns, (rows, columns), depth, x.whole(), w.whole());
        y.assume_init_mut()
    }
}

/// The sum of vectors of one length, in their order.
fn added(vectors: Vec<Vec<f32>>) -> Vec<f32> {
    let mut vectors = vectors.into_iter();
    let mut sum = vectors.next().unwrap_or_default();
    for vector in vectors {
        sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += value);
    }
    sum
}

/// Back through gate, mean and the layer: the gradient behind the gate (N, C), in place, becomes that of the map before
/// its layer.
pub(super) fn layer_back(gradient: &mut [f32], x: &[f32], layer: &Layer, of: &LayerBack, maps: Maps) {
    let channels = maps.channels;
    let mut rest = gradient;
    let mut tasks = Vec::new();
    for chunk in maps.chunks() {
        let (own, after) = std::mem::take(&mut rest).split_at_mut(chunk.len() * channels);
        rest = after;
        tasks.push((chunk, own));
    }
    tasks.into_par_iter().for_each(|(chunk, gradient)| {
        let x = &x[chunk.start * channels..chunk.end * channels];
        for (i, part) in maps.by_image(&chunk) {
            let part = part.start * channels..part.end * channels;
            let of_image = i * channels..(i + 1) * channels;
            let gate = of.gate.map(|(gate, spread)| (&gate[of_image.clone()], &spread[of_image]));
            dispatch(BeforeLayer { layer, of, gate, x: &x[part.clone()], g: &mut gradient[part] });
        }
    });
}

/// What [`layer_back`] takes beside the maps.
pub(super) struct LayerBack<'a> {
    /// The gate, if there is one, and what the mean over pixels gives each of them, both (B, C).
    pub(super) gate: Option<(&'a [f32], &'a [f32])>,
    /// As [`Norm::through_statistics`] gives them.
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
}

/// Makes of the gradient behind a layer, line by line, that before its activation, and sums it: itself, and times the
/// distance from the mean (2, C).
pub(super) struct BeforeActivation<'a> {
    pub(super) layer: &'a Layer,
    pub(super) x: &'a [f32],
    /// Rows of an image.
    pub(super) rows: usize,
}

impl After for BeforeActivation<'_> {
    type Made = Vec<f32>;

    fn start(&self) -> Vec<f32> {
        vec![0f32; 2 * self.layer.channels()]
    }

    fn line(&self, (i, row): (usize, usize), line: &mut [f32], sums: &mut Vec<f32>) {
        let x = &self.x[(i * self.rows + row) * line.len()..][..line.len()];
        dispatch(SlopeLine { layer: self.layer, x, g: line, sums });
    }
}

/// What the pass back through the widening product gives.
pub(super) struct Widened {
    /// Of the input, (N, I).
    pub(super) x: Vec<f32>,
    /// Of the weights, (C, I).
    pub(super) w: Option<Vec<f32>>,
}

/// Back through the layer (`g` is the gradient before its activation) and [`widened`], whose input was `input` (N, I).
pub(super) fn widened_back(
    g: &[f32],
    x: &[f32],
    layer: &Layer,
    (first, second): &(Vec<f32>, Vec<f32>),
    (input, w): (&[f32], &[f32]),
    maps: Maps,
    of_w: bool,
) -> Widened {
    let channels = maps.channels;
    let inputs = w.len() / channels;
    let step = |chunk: &Range<usize>, y: &mut [MaybeUninit<f32>], made: &mut [f32]| {
        let part = chunk.start * channels..chunk.end * channels;
        dispatch(ThroughStatistics { layer, first, second, x: &x[part.clone()], g: &g[part], y: made });
        multiplied(y, Matrix::rows(made, channels), Matrix::rows(w, inputs));
    };
    let other = Other { values: input, columns: inputs, wanted: of_w, turned: false };
    // SAFETY: `multiplied` writes a chunk's memory whole.
    let (x, w, _) = unsafe { with_product(maps, inputs, &other, step) };
    Widened { x, w }
}

type Lanes = [f32; LANES];

/// The first `width` values, zeros behind them.
#[inline(always)]
fn load(values: &[f32], width: usize) -> Lanes {
    if width == LANES
        && let Some(lanes) = values.first_chunk::<LANES>()
    {
        return *lanes;
    }
    let mut lanes = [0f32; LANES];
    for (lane, value) in lanes.iter_mut().zip(&values[..width]) {
        *lane = *value;
    }
    lanes
}

#[inline(always)]
fn store(lanes: &Lanes, to: &mut [f32], width: usize) {
    if width == LANES
        && let Some(to) = to.first_chunk_mut::<LANES>()
    {
        *to = *lanes;
        return;
    }
    for (to, lane) in to[..width].iter_mut().zip(lanes) {
        *to = *lane;
    }
}

/// Runs a body for every block of channels of every few pixels, with the place of the block's first value, its first
/// channel, how many channels are in it, and how many pixels. A closure would be compiled without the kernel's vectors
/// where it is not inlined.
macro_rules! for_blocks {
    ($values:expr, $channels:expr, |$at:ident, $from:ident, $width:ident, $n:ident| $body:block) => {
        let pixels = $values / $channels;
        for pixel in (0..pixels).step_by(TOGETHER) {
            let $n = TOGETHER.min(pixels - pixel);
            for $from in (0..$channels).step_by(LANES) {
                let ($at, $width) = (pixel * $channels + $from, LANES.min($channels - $from));
                $body
            }
        }
    };
}

/// Factor, shift and mean of a block of channels.
#[inline(always)]
fn constants(layer: &Layer, from: usize, width: usize) -> [Lanes; 3] {
    [load(&layer.affine.0[from..], width), load(&layer.affine.1[from..], width), load(&layer.norm.mean[from..], width)]
}

#[inline(always)]
fn affine<const FMA: bool>(x: &Lanes, factor: &Lanes, shift: &Lanes) -> Lanes {
    let mut z = [0f32; LANES];
    for i in 0..LANES {
        z[i] = multiply_add::<FMA>(x[i], factor[i], shift[i]);
    }
    z
}

/// `x` behind its layer, and times the gate.
struct Activate<'a> {
    layer: &'a Layer,
    gate: Option<&'a [f32]>,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Activate<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Activate { layer, gate, x, y } = self;
        let channels = layer.channels();
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            affine_row::<FMA>(x, &layer.affine, y);
            layer.norm.activation.apply::<FMA>(y);
            if let Some(gate) = gate {
                y.iter_mut().zip(gate).for_each(|(y, gate)| *y *= gate);
            }
        }
    }
}

/// Adds `x` behind its layer to `sums` (C,).
struct Pool<'a> {
    layer: &'a Layer,
    x: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for Pool<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Pool { layer, x, sums } = self;
        let channels = layer.channels();
        let mut y = vec![0f32; channels];
        for x in x.chunks_exact(channels) {
            affine_row::<FMA>(x, &layer.affine, &mut y);
            layer.norm.activation.apply::<FMA>(&mut y);
            sums.iter_mut().zip(&y).for_each(|(sum, y)| *sum += y);
        }
    }
}

/// One image's pixels in [`narrowed_back`]: what the product was of, into `gated`; and the [`OF_IMAGE`] sums.
struct GateBack<'a> {
    layer: &'a Layer,
    gate: &'a [f32],
    x: &'a [f32],
    g: &'a [f32],
    gated: &'a mut [f32],
    sums: &'a mut [f32],
}

impl Kernel for GateBack<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let GateBack { layer, gate, x, g, gated, sums } = self;
        let channels = layer.channels();
        let activation = layer.norm.activation;
        for_blocks!(x.len(), channels, |at, from, width, n| {
            let [factor, shift, mean] = constants(layer, from, width);
            let gate = load(&gate[from..], width);
            let mut carried = [[0f32; LANES]; OF_IMAGE];
            for (k, carried) in carried.iter_mut().enumerate() {
                *carried = load(&sums[k * channels + from..], width);
            }
            for p in 0..n {
                let at = at + p * channels;
                let (x, g) = (load(&x[at..], width), load(&g[at..], width));
                let (value, slope) = activation.both::<FMA, LANES>(affine::<FMA>(&x, &factor, &shift));
                let mut y = [0f32; LANES];
                for i in 0..LANES {
                    y[i] = value[i] * gate[i];
                    let (through, apart) = (slope[i] * g[i], x[i] - mean[i]);
                    carried[0][i] = multiply_add::<FMA>(value[i], g[i], carried[0][i]);
                    carried[1][i] += through;
                    carried[2][i] += slope[i];
                    carried[3][i] = multiply_add::<FMA>(through, apart, carried[3][i]);
                    carried[4][i] = multiply_add::<FMA>(slope[i], apart, carried[4][i]);
                }
                store(&y, &mut gated[at..], width);
            }
            for (k, carried) in carried.iter().enumerate() {
                store(carried, &mut sums[k * channels + from..], width);
            }
        });
    }
}

/// One image's pixels in [`layer_back`].
struct BeforeLayer<'a> {
    layer: &'a Layer,
    of: &'a LayerBack<'a>,
    gate: Option<(&'a [f32], &'a [f32])>,
    x: &'a [f32],
    g: &'a mut [f32],
}

impl Kernel for BeforeLayer<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let BeforeLayer { layer, of, gate, x, g } = self;
        let channels = layer.channels();
        let activation = layer.norm.activation;
        for_blocks!(x.len(), channels, |at, from, width, n| {
            let [factor, shift, mean] = constants(layer, from, width);
            let (first, second) = (load(&of.first[from..], width), load(&of.second[from..], width));
            let (gate, spread) = match gate {
                Some((gate, spread)) => (load(&gate[from..], width), load(&spread[from..], width)),
                None => ([1f32; LANES], [0f32; LANES]),
            };
            for p in 0..n {
                let at = at + p * channels;
                let (x, behind) = (load(&x[at..], width), load(&g[at..], width));
                let (_, slope) = activation.both::<FMA, LANES>(affine::<FMA>(&x, &factor, &shift));
                let mut y = [0f32; LANES];
                for i in 0..LANES {
                    let before = slope[i] * multiply_add::<FMA>(behind[i], gate[i], spread[i]);
                    y[i] = factor[i] * (before - first[i] - (x[i] - mean[i]) * second[i]);
                }
                store(&y, &mut g[at..], width);
            }
        });
    }
}

/// One line in [`BeforeActivation`].
struct SlopeLine<'a> {
    layer: &'a Layer,
    x: &'a [f32],
    g: &'a mut [f32],
    sums: &'a mut [f32],
}

impl Kernel for SlopeLine<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let SlopeLine { layer, x, g, sums } = self;
        let channels = layer.channels();
        let activation = layer.norm.activation;
        for_blocks!(x.len(), channels, |at, from, width, n| {
            let [factor, shift, mean] = constants(layer, from, width);
            let mut carried = [load(&sums[from..], width), load(&sums[channels + from..], width)];
            for p in 0..n {
                let at = at + p * channels;
                let (x, behind) = (load(&x[at..], width), load(&g[at..], width));
                let (_, slope) = activation.both::<FMA, LANES>(affine::<FMA>(&x, &factor, &shift));
                let mut y = [0f32; LANES];
                for i in 0..LANES {
                    y[i] = slope[i] * behind[i];
                    carried[0][i] += y[i];
                    carried[1][i] = multiply_add::<FMA>(y[i], x[i] - mean[i], carried[1][i]);
                }
                store(&y, &mut g[at..], width);
            }
            for (k, carried) in carried.iter().enumerate() {
                store(carried, &mut sums[k * channels + from..], width);
            }
        });
    }
}

/// factor (g - first - (x - mean) second).
struct ThroughStatistics<'a> {
    layer: &'a Layer,
    first: &'a [f32],
    second: &'a [f32],
    x: &'a [f32],
    g: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for ThroughStatistics<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let ThroughStatistics { layer, first, second, x, g, y } = self;
        let channels = layer.channels();
        for_blocks!(x.len(), channels, |at, from, width, n| {
            let [factor, _, mean] = constants(layer, from, width);
            let (first, second) = (load(&first[from..], width), load(&second[from..], width));
            for p in 0..n {
                let at = at + p * channels;
                let (x, g) = (load(&x[at..], width), load(&g[at..], width));
                let mut made = [0f32; LANES];
                for i in 0..LANES {
                    made[i] = factor[i] * (g[i] - first[i] - (x[i] - mean[i]) * second[i]);
                }
                store(&made, &mut y[at..], width);
            }
        });
    }
}
