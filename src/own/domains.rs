//! Drift: every domain held out in turn.

use super::probe::{Probe, best};
use super::{Arm, Compared, Own};
use crate::error::Result;
use crate::metrics::{Interval, group_bootstrap_accuracy};
use ndarray::Axis;
use std::collections::BTreeMap;

/// How the images of one domain are told by a probe that saw no image of it, against one that did.
#[derive(Debug, Clone, PartialEq)]
pub struct OfDomain {
    /// The domain.
    pub domain: String,
    /// Images that are measured: of classes that other domains have too. What other domains have of their groups is not learned from.
    pub images: usize,
    /// Accuracy where the probe saw other images of the domain.
    pub known: f64,
    /// Accuracy where it saw none, with an interval over groups.
    pub unseen: Interval,
}

impl Own {
    /// Holds each domain out in turn; empty where the data name no domain or one alone.
    ///
    /// # Errors
    /// What the probe says.
    pub fn domains(&self, compared: &Compared, arm: &Arm) -> Result<Vec<OfDomain>> {
        let Some(domains) = &self.set.domains else { return Ok(Vec::new()) };
        let features = compared.features(&arm.model)?;
        let mut of_domain: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, &row) in compared.rows.iter().enumerate() {
            of_domain.entry(&domains[row]).or_default().push(at);
        }
        let mut found = Vec::new();
        for (domain, images) in of_domain.iter().filter(|(domain, _)| !domain.is_empty()) {
            let inside = |at: usize| domains[compared.rows[at]] == **domain;
            let units: std::collections::HashSet<u32> = images.iter().map(|&at| compared.units[at]).collect();
            let others: Vec<usize> =
                (0..compared.rows.len()).filter(|&at| !inside(at) && !units.contains(&compared.units[at])).collect();
            let classes: std::collections::HashSet<u32> = others.iter().map(|&at| compared.labels[at]).collect();
            let judged: Vec<usize> = images
                .iter()
                .copied()
                .filter(|&at| compared.measured[at] && classes.contains(&compared.labels[at]))
                .collect();
            if classes.len() < 2 || judged.is_empty() {
                continue;
            }
            let labels = others.iter().map(|&at| compared.labels[at]).collect();
            let probe = Probe::fit(arm.method, features.select(Axis(0), &others), labels, compared.n_classes)?;
            let said = best(&probe.scores(features.select(Axis(0), &judged).view())?);
            let right: Vec<bool> = judged.iter().zip(said).map(|(&at, class)| compared.labels[at] == class).collect();
            let units: Vec<u32> = judged.iter().map(|&at| compared.units[at]).collect();
            let known = judged.iter().filter(|&&at| arm.predicted[0][at] == compared.labels[at]).count();
            found.push(OfDomain {
                domain: domain.to_string(),
                images: judged.len(),
                known: known as f64 / judged.len() as f64,
                unseen: group_bootstrap_accuracy(&units, &right, 1000, self.request.seed)?,
            });
        }
        Ok(if found.len() > 1 { found } else { Vec::new() })
    }
}
