//! How a data set is divided, with the counts to hold it to.

use super::parse::Problem;
use crate::key::Key;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// How train, val and test are made, with the counts to hold them to. A count that is given is held against the data when
/// they are opened: one of a reader's own folder that differs is an error, one of published data a warning.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRecord {
    /// The official split that train, val and test are drawn from: `train`, or `all` (by default) where there is none.
    #[serde(default = "all_images")]
    pub pool: String,
    /// Images in the pool, after balancing, where somebody counted.
    #[serde(default)]
    pub total: Option<usize>,
    /// Classes in the pool, where somebody counted.
    #[serde(default)]
    pub classes: Option<usize>,
    /// M of the study's rule: the count of the smallest class, after balancing; `None` where nobody has published it.
    #[serde(default)]
    pub smallest_class: Option<usize>,
    /// Images a class, where known: one number for all, or a table.
    #[serde(default)]
    pub per_class: Option<PerClass>,
    /// Draw this many images of every class first (seeded), and split only those.
    #[serde(default)]
    pub balance: Option<usize>,
    /// The rule that draws the parts; by default the study's.
    #[serde(default = "study_rule")]
    pub rule: SplitRule,
    /// For the drift arm: values of the domain column that take no part in training and form the out-of-distribution
    /// test. The plain arm uses every domain, and the counts here are over all of them.
    #[serde(default)]
    pub ood_domains: Vec<String>,
    /// The official split that val is drawn from, where that is not the pool.
    #[serde(default)]
    pub val: Option<OfficialSplit>,
    /// The official split that serves as in-distribution test, where one does in place of the rest of the pool.
    #[serde(default)]
    pub id_test: Option<OfficialSplit>,
    /// The official split that serves as out-of-distribution test.
    #[serde(default)]
    pub ood_test: Option<OfficialSplit>,
    /// The label budgets (N) of the study for this set, ascending. The suite says which are run.
    #[serde(default)]
    pub budgets: Vec<usize>,
}

fn all_images() -> String {
    "all".into()
}

fn study_rule() -> SplitRule {
    SplitRule::Study
}

impl Default for SplitRecord {
    fn default() -> Self {
        SplitRecord {
            pool: all_images(),
            total: None,
            classes: None,
            smallest_class: None,
            per_class: None,
            balance: None,
            rule: study_rule(),
            ood_domains: Vec::new(),
            val: None,
            id_test: None,
            ood_test: None,
            budgets: Vec::new(),
        }
    }
}

impl SplitRecord {
    /// What decides the parts of a split, beside the images' columns, a budget and a seed. Counts are there to be held to
    /// and decide nothing.
    pub fn key(&self) -> Key {
        // A comma inside a name must not read as one between names.
        let escaped = |name: &String| name.replace('\\', "\\\\").replace(',', "\\,");
        let official = |part: &Option<OfficialSplit>| match part.as_ref().map(|part| part.name.as_str()) {
            None => "none".to_string(),
            Some("none") => "the part `none`".into(),
            Some(name) => name.into(),
        };
        Key::new("split")
            .with("pool", &self.pool)
            .with("balance", self.balance.map_or_else(|| "none".into(), |n| n.to_string()))
            .with("rule", self.rule.as_str())
            .with("ood_domains", self.ood_domains.iter().map(escaped).collect::<Vec<_>>().join(", "))
            .with("val", official(&self.val))
            .with("id_test", official(&self.id_test))
            .with("ood_test", official(&self.ood_test))
    }

    /// Whether some images are measured on as out of distribution: domains that are held out, or an official test.
    pub fn has_drift(&self) -> bool {
        !self.ood_domains.is_empty() || self.ood_test.is_some()
    }
}

/// How a data set is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitRule {
    /// The study's: the same count for every class, the rest is test.
    Study,
    /// The study's count for the budget alone, of which each class gives what it has: train from the pool, val and
    /// the tests from official splits.
    StudyCapped,
    /// The study's counts, drawn so that no group is on two sides of the split.
    StudyGrouped,
}

impl SplitRule {
    /// The name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            SplitRule::Study => "study",
            SplitRule::StudyCapped => "study_capped",
            SplitRule::StudyGrouped => "study_grouped",
        }
    }
}

/// An official split that is used beside the pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfficialSplit {
    /// The split's name.
    pub name: String,
    /// Its images, where somebody counted.
    #[serde(default)]
    pub total: Option<usize>,
}

/// Images a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PerClass {
    /// Every class has this many.
    Uniform(usize),
    /// Class name to count.
    Each(BTreeMap<String, usize>),
}

impl PerClass {
    /// The smallest count; `None` for an empty table.
    pub fn smallest(&self) -> Option<usize> {
        match self {
            PerClass::Uniform(n) => Some(*n),
            PerClass::Each(counts) => counts.values().min().copied(),
        }
    }
}

impl<'de> Deserialize<'de> for PerClass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counts;
        impl<'de> Visitor<'de> for Counts {
            type Value = PerClass;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number of images or a table of class = number")
            }

            fn visit_i64<E: de::Error>(self, n: i64) -> Result<PerClass, E> {
                let n = usize::try_from(n).map_err(|_| E::invalid_value(de::Unexpected::Signed(n), &self))?;
                Ok(PerClass::Uniform(n))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PerClass, A::Error> {
                let mut counts = BTreeMap::new();
                while let Some((class, n)) = map.next_entry()? {
                    counts.insert(class, n);
                }
                Ok(PerClass::Each(counts))
            }
        }
        deserializer.deserialize_any(Counts)
    }
}

impl SplitRecord {
    /// Holds the counts against each other: nothing empty, nothing larger than what contains it.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let positive = |key: &str, n: usize| match n {
            0 => Err(Problem::new(key, "a number above 0", "0")),
            _ => Ok(()),
        };
        for (key, count) in [("split.total", self.total), ("split.classes", self.classes)] {
            count.map_or(Ok(()), |count| positive(key, count))?;
        }
        let (found, most) = (|| format!("{:?}", self.budgets), u32::MAX as usize);
        if self.budgets.contains(&0) || !self.budgets.is_sorted_by(|a, b| a < b) {
            return Err(Problem::new("split.budgets", "ascending budgets above 0", found()));
        }
        if self.budgets.iter().any(|&n| n > most) {
            return Err(Problem::new("split.budgets", format!("budgets of at most {most}"), found()));
        }
        if let Some(m) = self.smallest_class {
            positive("split.smallest_class", m)?;
            if let (Some(total), Some(classes)) = (self.total, self.classes)
                && m.saturating_mul(classes) > total
            {
                let expected = format!("at most total / classes = {}", total / classes);
                return Err(Problem::new("split.smallest_class", expected, m.to_string()));
            }
        }
        match (&self.per_class, self.total, self.classes) {
            (Some(PerClass::Uniform(n)), Some(total), Some(classes)) if n.checked_mul(classes) != Some(total) => {
                let expected = format!("a number that times {classes} classes is {total}");
                Err(Problem::new("split.per_class", expected, n.to_string()))
            }
            (Some(PerClass::Each(counts)), total, classes) => {
                let (n, sum) = (counts.len(), counts.values().fold(0, |sum: usize, n| sum.saturating_add(*n)));
                let (classes, total) = (classes.unwrap_or(n), total.unwrap_or(sum));
                if (n, sum) == (classes, total) {
                    return Ok(());
                }
                let expected = format!("{classes} classes with {total} images together");
                Err(Problem::new("split.per_class", expected, format!("{n} classes with {sum}")))
            }
            _ => Ok(()),
        }
    }
}
