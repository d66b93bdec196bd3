//! One walk over folds for all that is fitted on the others and asked of the one.

use crate::error::Result;
use rayon::prelude::*;

/// Numbers of a feature table beyond which one fold is fitted after the other: each takes copies of it.
const BESIDE: usize = 32_000_000;

/// The folds of images that are divided into them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folds<'a> {
    of: &'a [usize],
}

impl<'a> Folds<'a> {
    /// The fold of each image, from 0.
    pub fn new(of: &'a [usize]) -> Folds<'a> {
        Folds { of }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.of.iter().max().map_or(0, |last| last + 1)
    }

    /// What `work` makes of each fold: its number, the images of the others and its own, both ascending. Beside each other, or
    /// one after the other where `numbers`, those of the features, are many.
    ///
    /// # Errors
    /// The first of `work`.
    pub fn each<T: Send>(
        &self,
        numbers: usize,
        work: impl Fn(usize, &[usize], &[usize]) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let one = |fold: usize| {
            let (held, others): (Vec<usize>, Vec<usize>) = (0..self.of.len()).partition(|&at| self.of[at] == fold);
            work(fold, &others, &held)
        };
        match numbers > BESIDE {
            true => (0..self.len()).map(one).collect(),
            false => (0..self.len()).into_par_iter().map(one).collect(),
        }
    }
}
