//! The inner loops of the depthwise convolution and its two gradients.
//!
//! An output pixel is a sum over taps of `x[pixel, :] * w[tap, :]`, sixteen channels at a time. What bounds such a sum
//! is not arithmetic but loads, so a tile of several output pixels is carried in registers: one load of a weight serves
//! them all. The input rows that an output row needs are copied into a ring, zeros around them and the sixteen channels
//! of a block side by side. So no loop asks about edges, and a row is copied once.

use super::filled_parts;
use crate::simd::{Kernel, dispatch, multiply_add};
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Channels that are carried together: one vector of AVX-512, two of AVX2.
pub(super) const LANES: usize = 16;

type Lanes = [f32; LANES];

/// Values of the output that one task makes, about.
const BAND: usize = 128 * 1024;

/// Tasks that there should at least be. Fixed, so that sums do not depend on the number of threads.
const TASKS: usize = 8;

/// What a row of outputs along one axis reads: output `o` sums over taps `t` of the source at `o * step + t`, where
/// source value `i` stands at `offset + i * spread` and all else is zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) source: usize,
    pub(super) output: usize,
    pub(super) step: usize,
    pub(super) spread: usize,
    pub(super) offset: isize,
}

impl Axis {
    /// The forward pass.
    pub(super) fn forward(source: usize, output: usize, stride: usize, before: usize) -> Self {
        Axis { source, output, step: stride, spread: 1, offset: before as isize }
    }

    /// The input's gradient, which gathers from the gradient of the output with the kernel reversed.
    pub(super) fn reversed(self, kernel: usize) -> Self {
        let offset = kernel as isize - 1 - self.offset;
        Axis { source: self.output, output: self.source, step: 1, spread: self.step, offset }
    }

    /// Where source value `i` stands, if that is within `length`.
    fn place(&self, i: usize, length: usize) -> Option<usize> {
        usize::try_from(self.offset + (i * self.spread) as isize).ok().filter(|&place| place < length)
    }

    /// The taps of output `o` that read something, as (tap, source value).
    fn taps(&self, o: usize, kernel: usize) -> impl Iterator<Item = (usize, usize)> {
        let (spread, source) = (self.spread as isize, self.source);
        let from = (o * self.step) as isize - self.offset;
        (0..kernel).filter_map(move |tap| {
            let at = from + tap as isize;
            let i = usize::try_from(at / spread).ok().filter(|&i| at >= 0 && at % spread == 0 && i < source)?;
            Some((tap, i))
        })
    }
}

/// A sum over taps for every pixel and channel of a batch, channels last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    pub(super) batch: usize,
    pub(super) channels: usize,
    pub(super) kernel: usize,
    pub(super) down: Axis,
    pub(super) across: Axis,
}

/// Where the rows of a batch of maps come from, each (W, C).
pub(super) trait Source: Sync {
    /// Row `at.1` of image `at.0`, `length` values, made in `buffer` where it does not lie in memory as it is.
    fn row<'a>(&'a self, at: (usize, usize), length: usize, buffer: &'a mut Vec<f32>) -> &'a [f32];
}

/// A batch of maps in memory.
pub(super) struct Plain<'a> {
    pub(super) values: &'a [f32],
    /// Rows of an image.
    pub(super) rows: usize,
}

impl Source for Plain<'_> {
    fn row<'a>(&'a self, (i, row): (usize, usize), length: usize, _buffer: &'a mut Vec<f32>) -> &'a [f32] {
        &self.values[(i * self.rows + row) * length..][..length]
    }
}

/// What is done with finished output while it is in the cache.
pub(super) trait After: Sync {
    /// What a band makes.
    type Made: Send;
    /// Before its first line.
    fn start(&self) -> Self::Made;
    /// After a line (W', C), row `at.1` of image `at.0`.
    fn line(&self, _at: (usize, usize), _line: &mut [f32], _made: &mut Self::Made) {}
    /// After all lines of the band.
    fn band(&self, _band: &mut [f32], _made: &mut Self::Made) {}
}

/// Nothing.
impl After for () {
    type Made = ();
    fn start(&self) {}
}

/// Weights (C, K * K) as (blocks, K * K, 16), the last block filled up with zeros; `reversed` turns the kernel round.
pub(super) fn by_block(w: &[f32], channels: usize, reversed: bool) -> Vec<Lanes> {
    let taps = w.len() / channels.max(1);
    let mut blocks = vec![[0f32; LANES]; channels.div_ceil(LANES) * taps];
    for (i, value) in w.iter().enumerate() {
        let (channel, tap) = (i / taps, i % taps);
        let tap = if reversed { taps - 1 - tap } else { tap };
        blocks[channel / LANES * taps + tap][channel % LANES] = *value;
    }
    blocks
}

impl Sums {
    fn blocks(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Rows of the output that a task makes.
    pub(super) fn band(&self) -> usize {
        let (rows, line) = (self.down.output, self.across.output * self.channels);
        let bands = (rows * line).div_ceil(BAND).max(TASKS.div_ceil(self.batch.max(1))).min(rows.div_ceil(2));
        rows.div_ceil(bands.max(1)).max(1)
    }

    /// The number of an image and rows of it, for every task.
    fn bands(&self) -> Vec<(usize, Range<usize>)> {
        let (rows, band) = (self.down.output, self.band());
        let of_image = |i| (0..rows).step_by(band).map(move |from| (i, from..rows.min(from + band)));
        (0..self.batch).flat_map(of_image).collect()
    }

    /// Values of an input row.
    fn source_line(&self) -> usize {
        self.across.source * self.channels
    }

    /// All outputs (B, H', W', C). What `after` makes of the bands is returned in order, image by image.
    pub(super) fn run<A: After>(
        &self,
        x: &impl Source,
        w: &[Lanes],
        b: Option<&[f32]>,
        after: &A,
    ) -> (Vec<f32>, Vec<A::Made>) {
        let line = self.across.output * self.channels;
        let tile = tile(self.across.output);
        let bias = b.map(|b| by_block(b, self.channels, false));
        let parts = self.bands().into_iter().map(|(i, rows)| ((i, rows.clone()), rows.len() * line)).collect();
        let write = |(i, rows): (usize, Range<usize>), band: &mut [MaybeUninit<f32>]| {
            let mut ring = Ring::new(self, tile);
            let mut made = after.start();
            for (row, line) in rows.zip(band.chunks_exact_mut(line.max(1))) {
                let taps: Vec<_> = self.down.taps(row, self.kernel).collect();
                ring.fill(&taps, i, x);
                let taps = ring.places(&taps);
                dispatch(Line { sums: self, ring: &ring, taps: &taps, w, b: bias.as_deref(), line: &mut *line });
                // SAFETY: the blocks of `Line` cover all channels and its tiles all pixels.
                after.line((i, row), unsafe { line.assume_init_mut() }, &mut made);
            }
            // SAFETY: a band is as many lines as it has rows, each written just above.
            after.band(unsafe { band.assume_init_mut() }, &mut made);
            made
        };
        // SAFETY: a band is as many lines as it has rows, and each line was written whole, as said there.
        unsafe { filled_parts(parts, write) }
    }

    /// The sums over all outputs of `gradient * x`, tap by tap: (C, K * K).
    pub(super) fn kernel_gradient(&self, x: &impl Source, gradient: &impl Source) -> Vec<f32> {
        let (columns, channels) = (self.across.output, self.channels);
        let taps = self.kernel * self.kernel;
        let whole = Sums { down: Axis::forward(1, 1, 1, 0), across: Axis::forward(columns, columns, 1, 0), ..*self };
        let whole = Sums { kernel: 1, ..whole };
        let of_band = |(i, band): (usize, Range<usize>)| {
            let mut ring = Ring::new(self, 1);
            let mut of_gradient = Ring::new(&whole, 1);
            let mut sums = vec![[0f32; LANES]; self.blocks() * taps];
            for row in band {
                let taps: Vec<_> = self.down.taps(row, self.kernel).collect();
                ring.fill(&taps, i, x);
                of_gradient.put(0, i, row, gradient);
                dispatch(KernelRow { of: self, ring: &ring, gradient: &of_gradient, taps: &taps, sums: &mut sums });
            }
            sums
        };
        let sums: Vec<Vec<Lanes>> = self.bands().into_par_iter().map(of_band).collect();
        let mut total = vec![0f32; channels * taps];
        for sums in sums {
            for (i, total) in total.iter_mut().enumerate() {
                let (channel, tap) = (i / taps, i % taps);
                *total += sums[channel / LANES * taps + tap][channel % LANES];
            }
        }
        total
    }
}

/// Output pixels carried together: what leaves the fewest idle, preferring seven, which fill AVX2's registers.
fn tile(width: usize) -> usize {
    [7, 8, 6, 5, 4].into_iter().min_by_key(|&tile| width.div_ceil(tile) * tile).unwrap_or(7)
}

/// Source rows, each as (blocks, length, 16) with zeros around it; row i lies in slot i mod K.
struct Ring<'a> {
    of: &'a Sums,
    tile: usize,
    length: usize,
    values: Vec<Lanes>,
    held: Vec<Option<usize>>,
    buffer: Vec<f32>,
}

impl<'a> Ring<'a> {
    fn new(of: &'a Sums, tile: usize) -> Self {
        let pixels = of.across.output.div_ceil(tile) * tile;
        let length = (pixels.max(1) - 1) * of.across.step + of.kernel;
        let values = vec![[0f32; LANES]; of.kernel * of.blocks() * length];
        Ring { of, tile, length, values, held: vec![None; of.kernel], buffer: Vec::new() }
    }

    /// Copies the rows of image `i` that `taps` read, where they are not held yet.
    fn fill(&mut self, taps: &[(usize, usize)], i: usize, x: &impl Source) {
        for &(_, row) in taps {
            let slot = row % self.of.kernel;
            if self.held[slot] != Some(row) {
                self.held[slot] = Some(row);
                self.put(slot, i, row, x);
            }
        }
    }

    /// Copies row `row` of image `i` into a slot.
    fn put(&mut self, slot: usize, i: usize, row: usize, x: &impl Source) {
        let size = self.of.blocks() * self.length;
        let from = x.row((i, row), self.of.source_line(), &mut self.buffer);
        let to = &mut self.values[slot * size..][..size];
        dispatch(Copy { of: self.of, length: self.length, from, to });
    }

    /// Where the rows that `taps` read begin, as (tap, place).
    fn places(&self, taps: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let size = self.of.blocks() * self.length;
        taps.iter().map(|&(tap, row)| (tap, row % self.of.kernel * size)).collect()
    }

    /// Block `block` of the row that begins at `place`.
    #[inline(always)]
    fn at(&self, place: usize, block: usize) -> &[Lanes] {
        &self.values[place + block * self.length..][..self.length]
    }

    /// Block `block` of source row `row`.
    #[inline(always)]
    fn row(&self, row: usize, block: usize) -> &[Lanes] {
        let slot = row % self.of.kernel;
        &self.values[(slot * self.of.blocks() + block) * self.length..][..self.length]
    }
}

/// One source row (W, C) into the ring.
struct Copy<'a> {
    of: &'a Sums,
    length: usize,
    from: &'a [f32],
    to: &'a mut [Lanes],
}

impl Kernel for Copy<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Copy { of, length, from, to } = self;
        let whole = of.channels / LANES;
        for (i, pixel) in from.chunks_exact(of.channels).enumerate() {
            let Some(place) = of.across.place(i, length) else { continue };
            let (blocks, rest) = pixel.as_chunks::<LANES>();
            for (block, values) in blocks.iter().enumerate() {
                to[block * length + place] = *values;
            }
            if !rest.is_empty() {
                to[whole * length + place][..rest.len()].copy_from_slice(rest);
            }
        }
    }
}

/// One line of outputs (W', C), every value written.
struct Line<'a> {
    sums: &'a Sums,
    ring: &'a Ring<'a>,
    /// Taps and where their rows begin in the ring.
    taps: &'a [(usize, usize)],
    w: &'a [Lanes],
    b: Option<&'a [Lanes]>,
    line: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Line<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        match (self.ring.tile, self.sums.across.step) {
            (4, 1) => self.tiles::<FMA, 4, 1>(),
            (5, 1) => self.tiles::<FMA, 5, 1>(),
            (6, 1) => self.tiles::<FMA, 6, 1>(),
            (7, 1) => self.tiles::<FMA, 7, 1>(),
            (8, 1) => self.tiles::<FMA, 8, 1>(),
            (4, 2) => self.tiles::<FMA, 4, 2>(),
            (5, 2) => self.tiles::<FMA, 5, 2>(),
            (6, 2) => self.tiles::<FMA, 6, 2>(),
            (7, 2) => self.tiles::<FMA, 7, 2>(),
            (8, 2) => self.tiles::<FMA, 8, 2>(),
            _ => self.tiles::<FMA, 1, 0>(),
        }
    }
}

impl Line<'_> {
    /// In tiles of `T` pixels; a `STEP` of 0 stands for whatever the axis says.
    #[inline(always)]
    fn tiles<const FMA: bool, const T: usize, const STEP: usize>(self) {
        let Line { sums, ring, taps, w, b, line } = self;
        let (kernel, channels) = (sums.kernel, sums.channels);
        let step = if STEP == 0 { sums.across.step } else { STEP };
        for block in 0..sums.blocks() {
            let w = &w[block * kernel * kernel..][..kernel * kernel];
            let from = block * LANES;
            let width = LANES.min(channels - from);
            let start = b.map_or([0f32; LANES], |b| b[block]);
            for (i, pixels) in line.chunks_mut(T * channels).enumerate() {
                let mut carried = [start; T];
                for &(tap, place) in taps {
                    let x = &ring.at(place, block)[i * T * step..][..(T - 1) * step + kernel];
                    for (kx, w) in w[tap * kernel..][..kernel].iter().enumerate() {
                        for (t, carried) in carried.iter_mut().enumerate() {
                            // SAFETY: t <= T - 1 and kx <= kernel - 1, and `x` is (T - 1) * step + kernel long.
                            let x = unsafe { x.get_unchecked(t * step + kx) };
                            for i in 0..LANES {
                                carried[i] = multiply_add::<FMA>(x[i], w[i], carried[i]);
                            }
                        }
                    }
                }
                for (pixel, carried) in pixels.chunks_exact_mut(channels).zip(&carried) {
                    match width {
                        LANES => pixel[from..from + LANES].write_copy_of_slice(carried),
                        _ => pixel[from..from + width].write_copy_of_slice(&carried[..width]),
                    };
                }
            }
        }
    }
}

/// Adds one line of outputs to the gradient of the kernel, (blocks, K * K, 16).
struct KernelRow<'a> {
    of: &'a Sums,
    ring: &'a Ring<'a>,
    gradient: &'a Ring<'a>,
    taps: &'a [(usize, usize)],
    sums: &'a mut [Lanes],
}

impl Kernel for KernelRow<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        match self.of.kernel {
            3 => self.add::<FMA, 3>(),
            5 => self.add::<FMA, 5>(),
            7 => self.add::<FMA, 7>(),
            _ => self.add::<FMA, 1>(),
        }
    }
}

impl KernelRow<'_> {
    /// `N` taps of a kernel row at a time. A line is summed by itself first: thousands of small terms added to one
    /// large f32 would lose digits.
    ///
    /// The form of the loops decides whether the sums stay in registers: with indices in place of windows the compiler
    /// (Rust 1.95) adds one number at a time, ten times slower.
    #[inline(always)]
    fn add<const FMA: bool, const N: usize>(self) {
        let KernelRow { of, ring, gradient, taps, sums } = self;
        let (kernel, step) = (of.kernel, of.across.step);
        for block in 0..of.blocks() {
            let gradient = gradient.row(0, block);
            for &(tap, row) in taps {
                let x = ring.row(row, block);
                for first in (0..kernel).step_by(N) {
                    let mut carried = [[0f32; LANES]; N];
                    for (g, x) in gradient.iter().zip(x[first..].windows(N).step_by(step)) {
                        for n in 0..N {
                            for i in 0..LANES {
                                carried[n][i] = multiply_add::<FMA>(x[n][i], g[i], carried[n][i]);
                            }
                        }
                    }
                    let sums = &mut sums[(block * kernel + tap) * kernel + first..][..N];
                    for (sum, carried) in sums.iter_mut().zip(&carried) {
                        sum.iter_mut().zip(carried).for_each(|(sum, carried)| *sum += carried);
                    }
                }
            }
        }
    }
}
