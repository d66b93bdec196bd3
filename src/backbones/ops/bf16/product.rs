//! Rows times a packed matrix, with bias, activation and residual sum, spread over threads.

use super::kernel::{LANES, Line, ROWS, Strip, Tile, VECTORS, WIDTH};
use super::{Written, rounded};
use crate::ops::product::After;
use half::bf16;
use rayon::prelude::*;
use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Bytes of the matrix that a task keeps in its second-level cache, about, while its rows pass by.
const MATRIX_BYTES: usize = 600 * 1024;
/// Rows of a task, at least where there are so many, and at most.
const TASK_ROWS: (usize, usize) = (64, 200);
/// Tasks that there should at least be for each thread. A value depends on its own row and column, whoever computes it.
const TASKS: usize = 8;

/// A matrix (inputs, outputs) rounded to bf16, in the order in which the kernel reads it.
///
/// Panels of [`WIDTH`] columns stand one behind the other, the last one narrower by whole vectors; a panel has for each pair
/// of inputs a [`Line`] or more, with a pair for each column. What is missing to whole pairs and vectors is 0.
pub(in crate::ops) struct Packed {
    lines: Vec<Line>,
    inputs: usize,
    outputs: usize,
}

impl Packed {
    /// Packs `w`, of which `at(input, output)` is a value.
    pub(in crate::ops) fn new(inputs: usize, outputs: usize, at: impl Fn(usize, usize) -> f32 + Sync) -> Packed {
        let pairs = inputs.div_ceil(2);
        let mut lines = vec![Line::ZERO; pairs * outputs.div_ceil(LANES)];
        lines.par_chunks_mut((pairs * VECTORS).max(1)).enumerate().for_each(|(panel, lines)| {
            let vectors = lines.len() / pairs.max(1);
            let value = |input: usize, output: usize| match input < inputs && output < outputs {
                true => u32::from(rounded(at(input, output)).to_bits()),
                false => 0,
            };
            for (i, line) in lines.iter_mut().enumerate() {
                let (pair, first) = (i / vectors, panel * WIDTH + i % vectors * LANES);
                for (column, to) in line.0.iter_mut().enumerate() {
                    *to = value(2 * pair, first + column) | value(2 * pair + 1, first + column) << 16;
                }
            }
        });
        Packed { lines, inputs, outputs }
    }

    fn pairs(&self) -> usize {
        self.inputs.div_ceil(2)
    }

    fn panel(&self, number: usize) -> &[Line] {
        let whole = self.pairs() * VECTORS;
        &self.lines[number * whole..self.lines.len().min((number + 1) * whole)]
    }
}

/// The rows of a product, row-major.
pub(in crate::ops) enum Rows<'a> {
    /// To be rounded.
    F32(&'a [f32]),
    /// Rounded before.
    Bf16(&'a [bf16]),
}

impl<'a> Rows<'a> {
    /// Whole pairs: rows of an even number of values, with a 0 at the end where `inputs` is odd.
    fn in_pairs(&self, inputs: usize) -> Cow<'a, [bf16]> {
        let even = inputs.next_multiple_of(2);
        match *self {
            Rows::Bf16(x) if even == inputs => Cow::Borrowed(x),
            Rows::Bf16(x) => Cow::Owned(paired(x, inputs, |x| x)),
            Rows::F32(x) => Cow::Owned(paired(x, inputs, rounded)),
        }
    }
}

fn paired<T: Copy + Sync>(x: &[T], inputs: usize, each: impl Fn(T) -> bf16 + Sync) -> Vec<bf16> {
    let even = inputs.next_multiple_of(2);
    let rows = x.len() / inputs.max(1);
    // Many rows a task: one is a few hundred values.
    let some = (32 * 1024 / even.max(1)).max(1);
    let mut y = vec![bf16::ZERO; rows * even];
    y.par_chunks_mut((some * even).max(1)).zip(x.par_chunks((some * inputs).max(1))).for_each(|(y, x)| {
        for (y, x) in y.chunks_exact_mut(even).zip(x.chunks_exact(inputs)) {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = each(*x));
        }
    });
    y
}

/// A pointer that tasks share, each writing its own part.
struct Shared<T>(*mut MaybeUninit<T>);

// SAFETY: made by `product` alone, which keeps the tasks to disjoint parts of memory that outlives them.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The `length` values from `offset` on.
    ///
    /// # Safety
    /// They lie inside the memory that was shared, and nobody else holds them.
    #[allow(clippy::mut_from_ref)]
    unsafe fn part(&self, offset: usize, length: usize) -> &mut [MaybeUninit<T>] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(offset), length) }
    }
}

/// `activation(x w + b)`, row-major, added to what it is to be added to, and written as f32 or rounded once more.
///
/// # Panics
/// Where the lengths do not fit, or the processor lacks the instructions: callers check both ([`super::require_bf16`]).
pub(in crate::ops) fn product<T: Written>(x: Rows, w: &Packed, after: After) -> Vec<T> {
    assert!(super::has_bf16() && after.b.len() == w.outputs, "a processor with bf16, and a bias of {}", w.outputs);
    let (pairs, outputs) = (w.pairs(), w.outputs);
    let x = x.in_pairs(w.inputs);
    let rows = x.len() / (2 * pairs).max(1);
    let mut y = Vec::<T>::with_capacity(rows * outputs);
    let out = Shared(y.spare_capacity_mut().as_mut_ptr());
    let tiles = Tiles::new(rows, outputs, pairs);
    let mut bias = after.b.to_vec();
    bias.resize(outputs.next_multiple_of(WIDTH), 0.0);
    (0..tiles.n()).into_par_iter().for_each(|number| {
        let (rows, panels) = tiles.of(number);
        // SAFETY: the instructions were found. The rows lie inside `x`, whose rows are `pairs` pairs. No two tasks share a
        // value of `y`, and together they write all of it.
        unsafe {
            let block = Strip { x: x.as_ptr().cast::<u32>().add(rows.start * pairs), stride: pairs, rows: rows.len() };
            write_block(block, (w, panels), (after, &bias), &out, rows.start * outputs);
        }
    });
    // SAFETY: the capacity is rows * outputs, and the tasks, which cover it, wrote every value.
    unsafe { y.set_len(rows * outputs) };
    y
}

/// The columns of some panels for the rows of `block`, written to the rows of `out` that begin at `offset`; the bias fills
/// whole panels.
///
/// A strip of rows meets all panels before the next one does: it is read once, and the panels stay where they are.
///
/// # Safety
/// The processor has bf16 ([`super::has_bf16`]); the block's rows can be read; nobody else holds what is written.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,fma")]
unsafe fn write_block<T: Written>(
    block: Strip,
    (w, panels): (&Packed, Range<usize>),
    (after, bias): (After, &[f32]),
    out: &Shared<T>,
    offset: usize,
) {
    let (pairs, (bias, _)) = (w.pairs(), bias.as_chunks::<WIDTH>());
    let mut tile = Tile::ZERO;
    for top in (0..block.rows).step_by(ROWS) {
        let rows = ROWS.min(block.rows - top);
        for panel in panels.clone() {
            let from = panel * WIDTH;
            let columns = WIDTH.min(w.outputs - from);
            let at = |row: usize| offset + (top + row) * w.outputs + from;
            if let Some(onto) = after.onto {
                (0..rows).for_each(|row| super::kernel::ask(onto.row(at(row), columns)));
            }
            // SAFETY: the caller's promise; the strip's rows are rows of the block.
            unsafe {
                let strip = Strip { x: block.x.add(top * block.stride), rows, ..block };
                super::kernel::strip_times_panel(strip, pairs, w.panel(panel), &bias[panel], tile.sums());
            }
            after.activation.apply::<true>(tile.0[..rows].as_flattened_mut());
            for (row, values) in tile.0[..rows].iter_mut().enumerate() {
                let values = &mut values[..columns];
                if let Some(onto) = after.onto {
                    onto.add(at(row), from, values);
                }
                // SAFETY: the caller's promises: a row of the block is a row of `out`.
                unsafe { T::write_product(values, out.part(at(row), columns)) };
            }
        }
    }
}

/// # Safety
/// None: [`product`] does not come here, as [`super::has_bf16`] says no.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn write_block<T: Written>(_: Strip, _: (&Packed, Range<usize>), _: (After, &[f32]), _: &Shared<T>, _: usize) {
    unreachable!("a processor without bf16");
}

/// How rows and panels are dealt out.
struct Tiles {
    rows: usize,
    /// Rows and panels of a task.
    height: usize,
    group: usize,
    panels: usize,
}

impl Tiles {
    fn new(rows: usize, outputs: usize, pairs: usize) -> Tiles {
        let panels = outputs.div_ceil(WIDTH);
        let tasks = TASKS * rayon::current_num_threads();
        let most = (MATRIX_BYTES / (4 * pairs * WIDTH).max(1)).max(1);
        let across = panels.div_ceil(most).max(1);
        // As many rows as can be: each task reads its part of the matrix anew.
        let down = rows.div_ceil(TASK_ROWS.1).max(tasks.div_ceil(across).min(rows / TASK_ROWS.0)).max(1);
        let height = rows.div_ceil(down).next_multiple_of(ROWS).max(ROWS);
        let across = across.max(tasks.div_ceil(down)).min(panels).max(1);
        Tiles { rows, height, group: panels.div_ceil(across).max(1), panels }
    }

    fn down(&self) -> usize {
        self.rows.div_ceil(self.height)
    }

    fn n(&self) -> usize {
        self.down() * self.panels.div_ceil(self.group)
    }

    /// Rows and panels of a task; tasks that follow each other share their panels.
    fn of(&self, number: usize) -> (Range<usize>, Range<usize>) {
        let (top, left) = (number % self.down() * self.height, number / self.down() * self.group);
        (top..self.rows.min(top + self.height), left..self.panels.min(left + self.group))
    }
}
