//! A map of the images.

use super::{Arm, Compared, Own};
use crate::clustering::umap::Umap;
use crate::error::{Error, Result};
use ndarray::Axis;

/// Where the images lie on a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Places {
    /// Rows of the set.
    pub rows: Vec<usize>,
    /// The place of each.
    pub points: Vec<[f64; 2]>,
}

/// Neighbours that are kept near on a map.
const NEIGHBOURS: usize = 15;

impl Own {
    /// A map by the features of an arm: of all images, or of every so-manieth where they are more than `most`.
    ///
    /// # Errors
    /// Fewer than three images.
    pub fn places(&self, compared: &Compared, arm: &Arm, most: usize) -> Result<Places> {
        let features = compared.features(&arm.model)?;
        let step = compared.rows.len().div_ceil(most.max(1)).max(1);
        let shown: Vec<usize> = (0..compared.rows.len()).step_by(step).collect();
        if shown.len() < 3 {
            return Err(Error::argument("images", "at least three for a map", shown.len().to_string()));
        }
        let neighbours = NEIGHBOURS.min(shown.len() - 1).max(2);
        let features = features.select(Axis(0), &shown).into_shared();
        let map = Umap::params(self.request.seed).n_neighbours(neighbours).map(&features)?;
        let points = map.rows().into_iter().map(|row| [f64::from(row[0]), f64::from(row[1])]).collect();
        Ok(Places { rows: shown.into_iter().map(|at| compared.rows[at]).collect(), points })
    }
}
