//! Labelled squares, as batches that a model reads.

use super::recipe::Views;
use crate::datasets::Squares;
use crate::error::{Error, Result};
use crate::random::Random;
use candle_core::{Device, Tensor};
use std::sync::Arc;

/// Squares with the class of each, and how they are normalised; clones share them.
#[derive(Clone, Debug)]
pub struct Examples {
    squares: Arc<Squares>,
    labels: Arc<Vec<u32>>,
    n_classes: usize,
    mean: [f32; 3],
    std: [f32; 3],
    /// By channel, what each byte becomes.
    table: Arc<[[f32; 256]; 3]>,
}

impl Examples {
    /// `labels` has the class of each square, below `n_classes`; images become `(byte / 255 - mean) / std`.
    ///
    /// # Errors
    /// [`Error::Argument`] for more or fewer labels than squares, a label outside the classes, a deviation that is not above
    /// 0.
    pub fn new(
        squares: Arc<Squares>,
        labels: Vec<u32>,
        n_classes: usize,
        (mean, std): ([f32; 3], [f32; 3]),
    ) -> Result<Examples> {
        if labels.len() != squares.len() {
            let expected = format!("{}, one for each image", squares.len());
            return Err(Error::argument("labels", expected, labels.len().to_string()));
        }
        if let Some(label) = labels.iter().find(|&&label| label as usize >= n_classes) {
            return Err(Error::argument("labels", format!("classes below {n_classes}"), label.to_string()));
        }
        if !(mean.iter().all(|mean| mean.is_finite()) && std.iter().all(|std| *std > 0.0 && std.is_finite())) {
            let found = format!("mean {mean:?}, standard deviation {std:?}");
            return Err(Error::argument("normalisation", "finite means and deviations above 0", found));
        }
        let of = |channel: usize, byte: usize| (byte as f32 / 255.0 - mean[channel]) / std[channel];
        let table = std::array::from_fn(|channel| std::array::from_fn(|byte| of(channel, byte)));
        Ok(Examples { squares, labels: Arc::new(labels), n_classes, mean, std, table: Arc::new(table) })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Never: there is one square at least.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Side of the squares in pixels.
    pub fn side(&self) -> usize {
        self.squares.side()
    }

    /// Classes that there are.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// The classes of `positions`.
    pub fn labels(&self, positions: &[usize]) -> Vec<u32> {
        positions.iter().map(|&position| self.labels[position]).collect()
    }

    /// Everything that tells the examples from others, in words.
    pub fn fingerprint(&self) -> String {
        let labels = crate::key::digest_of(self.labels.iter().map(u32::to_string));
        let Examples { n_classes, mean, std, .. } = self;
        format!("squares {}; labels {labels}; {n_classes} classes; mean {mean:?}; std {std:?}", self.squares.key())
    }

    /// The images at `positions` as they are: (B, 3, S, S) f32 on the processor.
    ///
    /// # Errors
    /// A position that there is not; squares that cannot be read.
    pub fn images(&self, positions: &[usize]) -> Result<Tensor> {
        let side = self.side();
        let pixels = side * side;
        let mut square = vec![0; 3 * pixels];
        let mut values = Vec::with_capacity(positions.len() * 3 * pixels);
        for &position in positions {
            self.squares.read(position, &mut square)?;
            for (channel, table) in self.table.iter().enumerate() {
                values.extend(square[channel..].iter().step_by(3).map(|&byte| table[usize::from(byte)]));
            }
        }
        Ok(Tensor::from_vec(values, (positions.len(), 3, side, side), &Device::Cpu)?)
    }

    /// The images at `positions` of `from` (the same images, larger or not), changed as `views` says: (B, 3, S, S) with the
    /// view's side. What is drawn follows from `seed`, `step` and the place in the batch alone.
    ///
    /// # Errors
    /// As for [`Examples::images`]; views that make no sense.
    pub fn changed(
        &self,
        from: &Squares,
        views: &Views,
        positions: &[usize],
        (seed, step): (u64, u64),
    ) -> Result<Tensor> {
        let (side, size) = (from.side(), views.augmentation.size);
        let of_view = 3 * size * size;
        let mut square = vec![0; 3 * side * side];
        let mut values = vec![0f32; positions.len() * of_view];
        for ((place, &position), view) in positions.iter().enumerate().zip(values.chunks_exact_mut(of_view)) {
            from.read(position, &mut square)?;
            let mut random = Random::new("view for fine-tuning", seed, (step << 16) | place as u64);
            if views.vertical && random.unit() < 0.5 {
                square = square.chunks_exact(3 * side).rev().flatten().copied().collect();
            }
            views.augmentation.draw(&square, side, &mut random, view)?;
            // From (x - 0.5) / 0.5 to these examples' own mean and deviation.
            for (channel, values) in view.chunks_exact_mut(size * size).enumerate() {
                let (mean, std) = (self.mean[channel], self.std[channel]);
                values.iter_mut().for_each(|value| *value = (0.5 * *value + 0.5 - mean) / std);
            }
        }
        Ok(Tensor::from_vec(values, (positions.len(), 3, size, size), &Device::Cpu)?)
    }
}
