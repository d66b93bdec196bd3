//! Parts: which images are learned from and which are measured on.

use super::Encoded;
use super::encoded::published_test;
use crate::error::{Error, Result};
use crate::manifest::{DatasetRecord, SplitRule};
use crate::splits::{
    Shortage, balanced_subset, draw_per_class, enough, grouped_split, leaky_split, study_counts, study_split,
};
use std::collections::HashSet;

/// How images are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// The study's rule, image by image.
    Study,
    /// The study's counts, all images of a group on one side.
    Grouped,
    /// The counts of `Grouped` with groups ignored, to show what leakage is worth.
    Leaky,
}

impl Protocol {
    /// The name in result rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Study => "study",
            Protocol::Grouped => "grouped",
            Protocol::Leaky => "leaky",
        }
    }

    /// The protocol of a result row.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another name.
    pub fn known(name: &str) -> Result<Protocol> {
        let all = [Protocol::Study, Protocol::Grouped, Protocol::Leaky];
        let known = || all.map(Protocol::as_str).join(", ");
        let found = all.into_iter().find(|protocol| protocol.as_str() == name);
        found.ok_or_else(|| Error::Unknown { kind: "protocol", name: name.into(), known: known() })
    }

    /// The protocols of a data set, the sound one first: where images come in groups, with and without minding them.
    pub fn of(record: &DatasetRecord) -> &'static [Protocol] {
        match record.split.rule {
            SplitRule::Study | SplitRule::StudyCapped => &[Protocol::Study],
            SplitRule::StudyGrouped => &[Protocol::Grouped, Protocol::Leaky],
        }
    }
}

/// Train and test images of one seed and budget, as positions in the feature table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// How they were drawn.
    pub protocol: Protocol,
    /// The label budget that they were drawn for.
    pub budget: usize,
    /// Images to fit on.
    pub train: Vec<usize>,
    /// Images for choices, from a published part of its own where the record names one.
    pub val: Vec<usize>,
    /// Images of the training domains to measure on.
    pub test: Vec<usize>,
    /// Images of held-out domains to measure on; empty where there are none.
    pub ood: Vec<usize>,
    /// What the study calls the test: `id` where there is an out-of-distribution one beside it, else `test`.
    pub test_name: &'static str,
}

impl Parts {
    /// The parts that are measured on, by name; empty ones are left out.
    pub fn measured(&self) -> Vec<(&'static str, &[usize])> {
        let both = [(self.test_name, self.test.as_slice()), ("ood", self.ood.as_slice())];
        both.into_iter().filter(|(_, positions)| !positions.is_empty()).collect()
    }
}

/// Images that belong together where nothing is learned from labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// `all`, or `id` and `ood` where the data set holds domains out.
    pub split: &'static str,
    /// Positions in the feature table.
    pub positions: Vec<usize>,
}

/// What the study calls the test of a data set.
pub fn test_name(record: &DatasetRecord) -> &'static str {
    if record.split.has_drift() { "id" } else { "test" }
}

impl Encoded {
    /// All images in one part, whatever their domain.
    pub fn whole(&self) -> Part {
        Part { split: "all", positions: (0..self.len()).collect() }
    }

    /// The images without a split: those of held-out domains, or of the published tests, apart from the rest; otherwise all
    /// together.
    ///
    /// # Errors
    /// A published part that the data do not have.
    pub fn apart(&self) -> Result<Vec<Part>> {
        let split = &self.dataset.split;
        if let (Some(id), Some(ood)) = (&split.id_test, &split.ood_test) {
            let (id, ood) = (self.positions(&id.name)?, self.positions(&ood.name)?);
            return Ok(vec![Part { split: "id", positions: id }, Part { split: "ood", positions: ood }]);
        }
        let (ood, id): (Vec<usize>, Vec<usize>) =
            self.positions("all")?.into_iter().partition(|&position| self.is_held_out(position));
        Ok(match ood.is_empty() {
            true => vec![Part { split: "all", positions: id }],
            false => vec![Part { split: "id", positions: id }, Part { split: "ood", positions: ood }],
        })
    }

    /// Draws the parts for a budget and a seed, the sound way ([`Protocol::of`]). All models of a data set get the same.
    ///
    /// Where the record names official splits, val is drawn from its own and the tests are theirs; the pool is then
    /// what none of them holds, so that the parts stay disjoint. The published test of a reader's own images is the test too:
    /// its images of held-out domains are measured on as such, and where groups stay together nothing of a group in it is
    /// learned from.
    ///
    /// # Errors
    /// A class with too few images for the budget, or a published part that the data do not have.
    pub fn parts(&self, budget: usize, seed: u64) -> Result<Parts> {
        self.parts_by(Protocol::of(&self.dataset)[0], budget, seed)
    }

    /// The same by a protocol.
    ///
    /// # Errors
    /// As for [`Encoded::parts`]; a protocol with groups for a data set without.
    pub fn parts_by(&self, protocol: Protocol, budget: usize, seed: u64) -> Result<Parts> {
        let split = &self.dataset.split;
        let mut elsewhere = HashSet::new();
        for official in [&split.val, &split.id_test, &split.ood_test].into_iter().flatten() {
            elsewhere.extend(self.positions(&official.name)?);
        }
        let published: HashSet<usize> = published_test(&self.dataset, &self.set).into_iter().collect();
        let published: Vec<usize> = (0..self.len()).filter(|&i| published.contains(&self.features.rows[i])).collect();
        elsewhere.extend(&published);
        let (published_ood, published): (Vec<usize>, Vec<usize>) =
            published.into_iter().partition(|&position| self.is_held_out(position));
        let mut pool = self.positions(&split.pool)?;
        pool.retain(|position| !elsewhere.contains(position));
        let (mut ood, mut pool): (Vec<usize>, Vec<usize>) =
            pool.into_iter().partition(|&position| self.is_held_out(position));
        ood.extend(published_ood);
        ood.sort_unstable();
        if split.rule == SplitRule::StudyGrouped && !published.is_empty() {
            let tested: HashSet<&str> = self.groups_at(&published)?.into_iter().collect();
            let groups = self.groups_at(&pool)?;
            pool = pool.into_iter().zip(groups).filter(|(_, group)| !tested.contains(*group)).map(|(i, _)| i).collect();
        }
        if let Some(per_class) = split.balance {
            let chosen = balanced_subset(&self.labels_at(&pool), self.set.classes.len(), per_class, seed)?;
            pool = chosen.into_iter().map(|i| pool[i]).collect();
        }
        let labels = self.labels_at(&pool);
        let n_classes = self.set.classes.len();
        let shortage = if split.rule == SplitRule::StudyCapped { Shortage::Cap } else { Shortage::Fail };
        enough(&self.set.id, &self.set.classes, &labels, budget, shortage)?;
        let drawn = match protocol {
            Protocol::Study => study_split(&labels, n_classes, budget, seed, shortage)?,
            Protocol::Grouped => grouped_split(&labels, &self.groups_at(&pool)?, n_classes, budget, seed)?,
            Protocol::Leaky => {
                let groups = self.groups_at(&pool)?;
                let grouped = grouped_split(&labels, &groups, n_classes, budget, seed)?;
                leaky_split(&labels, &groups, &grouped, seed)?
            }
        };
        let at = |indices: &[usize]| indices.iter().map(|&i| pool[i]).collect::<Vec<_>>();
        let (train, mut val, mut test) = (at(&drawn.train), at(&drawn.val), at(&drawn.test));
        if let Some(official) = &split.val {
            // What the rule would have taken from the pool is part of the rest.
            test.append(&mut val);
            test.sort_unstable();
            val = self.official_val(&official.name, budget, seed)?;
        }
        if !published.is_empty() {
            test = published;
        }
        if let Some(official) = &split.id_test {
            test = self.positions(&official.name)?;
        }
        let ood = match &split.ood_test {
            Some(official) => self.positions(&official.name)?,
            None => self.unseen(ood, &[&train, &val, &at(&drawn.unused)])?,
        };
        Ok(Parts { protocol, budget, train, val, test, ood, test_name: test_name(&self.dataset) })
    }

    /// Validation images of a published part: the count that the rule asks of every class for the budget alone, or what
    /// the class has.
    fn official_val(&self, part: &str, budget: usize, seed: u64) -> Result<Vec<usize>> {
        let positions = self.positions(part)?;
        // So large a class that only the budget counts.
        let counts = study_counts(budget, budget.saturating_mul(2))?;
        let labels = self.labels_at(&positions);
        let drawn = draw_per_class(&labels, self.set.classes.len(), counts.val, seed, Shortage::Cap)?;
        Ok(drawn.into_iter().map(|i| positions[i]).collect())
    }

    /// Of the held-out images, those whose group no image in `shown` has: the same emoji in another style would measure
    /// memory, not drift.
    fn unseen(&self, ood: Vec<usize>, shown: &[&[usize]]) -> Result<Vec<usize>> {
        if self.set.groups.is_none() || ood.is_empty() {
            return Ok(ood);
        }
        let seen: HashSet<&str> = self.groups_at(&shown.concat())?.into_iter().collect();
        let groups = self.groups_at(&ood)?;
        Ok(ood.iter().zip(&groups).filter(|(_, group)| !seen.contains(*group)).map(|(&i, _)| i).collect())
    }
}
