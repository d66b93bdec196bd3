//! Labels that look wrong, and images that look like no other.

use super::{Arm, Compared, HeldOut, Own};
use crate::error::Result;
use crate::progress::Progress;
use crate::soundness::{self, DATALAB_THRESHOLD, neighbour_votes, outliers, suspects};

/// Neighbours that are asked for a label.
const WITNESSES: usize = 50;
/// Neighbours that an image's distance is taken to.
const NEIGHBOURS: usize = 10;

/// A label that probe and neighbours both doubt.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspect {
    /// Row of the set.
    pub row: usize,
    /// The class that the probe finds likeliest, and its probability.
    pub probe: (String, f64),
    /// The class that most neighbours have, and their share.
    pub neighbours: (String, f64),
    /// The logarithm of the odds against the label.
    pub score: f64,
}

impl Own {
    /// Labels on which a probe that did not see the image and its nearest neighbours agree that they are others, the most
    /// suspect first. A person decides: where classes overlap, right labels are among them.
    ///
    /// # Errors
    /// What the probe says.
    pub fn suspects(&self, compared: &Compared, arm: &Arm, held_out: &HeldOut) -> Result<Vec<Suspect>> {
        let features = compared.features(&arm.model)?.into_shared();
        let progress = Progress::new("neighbours asked for labels", "images", features.nrows(), 0);
        let told = |images| progress.advance(images);
        let votes = neighbour_votes(&features, &compared.labels, compared.n_classes, WITNESSES, &told)?;
        progress.clear();
        let list = suspects(held_out.probabilities.view(), votes.view(), &compared.labels)?;
        let name = |class: u32| self.set.classes[class as usize].clone();
        let doubted = list.into_iter().filter(|one: &soundness::Suspect| one.agreed && one.score > 0.0);
        let doubted = doubted.map(|one| Suspect {
            row: compared.rows[one.image],
            probe: (name(one.probe.0), one.probe.1),
            neighbours: (name(one.neighbours.0), one.neighbours.1),
            score: one.score,
        });
        Ok(doubted.collect())
    }

    /// Rows of the images that are farther from their neighbours than those of the set commonly are, the farthest first.
    ///
    /// # Errors
    /// A single image.
    pub fn outliers(&self, compared: &Compared, arm: &Arm) -> Result<Vec<usize>> {
        let features = compared.features(&arm.model)?.into_shared();
        let progress = Progress::new("distances to neighbours", "images", features.nrows(), 0);
        let found = outliers(&features, NEIGHBOURS, DATALAB_THRESHOLD, &|images| progress.advance(images))?;
        progress.clear();
        Ok(found.flagged.into_iter().map(|at| compared.rows[at]).collect())
    }
}
