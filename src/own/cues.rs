//! Spurious cues: what a classifier reaches that sees no picture, only facts about it.

use super::folds::Folds;
use super::probe::{Probe, best};
use super::{Compared, Look, Own};
use crate::error::Result;
use crate::manifest::Method;
use ndarray::{Array2, Axis};

/// Accuracy by facts that should say nothing of the class.
#[derive(Debug, Clone, PartialEq)]
pub struct Cues {
    /// The share of the largest class among the measured images.
    pub chance: f64,
    /// Each kind of fact, and the accuracy of a standardised logistic regression on it alone, on the folds of the first seed.
    pub found: Vec<(&'static str, f64)>,
}

impl Own {
    /// Asks whether size, form, colour or file type alone give the class away: then a good accuracy may be theirs.
    ///
    /// # Errors
    /// What the probe says.
    pub fn cues(&self, compared: &Compared, look: &Look) -> Result<Cues> {
        let judged: Vec<usize> = (0..compared.rows.len()).filter(|&at| compared.measured[at]).collect();
        let mut counts = vec![0usize; compared.n_classes];
        judged.iter().for_each(|&at| counts[compared.labels[at] as usize] += 1);
        let most = counts.into_iter().max().unwrap_or(0);
        let mut found = Vec::new();
        for (name, facts) in look.facts(&compared.rows) {
            found.push((name, accuracy(compared, &facts)?));
        }
        Ok(Cues { chance: most as f64 / judged.len().max(1) as f64, found })
    }
}

fn accuracy(compared: &Compared, facts: &Array2<f32>) -> Result<f64> {
    let right = Folds::new(&compared.folds[0]).each(facts.len(), |_, others, held| {
        let held: Vec<usize> = held.iter().copied().filter(|&at| compared.measured[at]).collect();
        if held.is_empty() {
            return Ok(0);
        }
        let labels = others.iter().map(|&at| compared.labels[at]).collect();
        let probe = Probe::fit(Method::LrStandardised, facts.select(Axis(0), others), labels, compared.n_classes)?;
        let said = best(&probe.scores(facts.select(Axis(0), &held).view())?);
        Ok(held.iter().zip(said).filter(|(at, class)| compared.labels[**at] == *class).count())
    })?;
    Ok(right.iter().sum::<usize>() as f64 / compared.n_measured().max(1) as f64)
}
