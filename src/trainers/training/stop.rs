//! Early stopping: a run ends where what is measured no longer falls.
//!
//! The rule is PyTorch Lightning's, which the study was trained with: a value is better only if it is below the best one
//! by more than `min_delta`, so an equal one counts as a wait; so many waits in a row end the run; a value that is not
//! finite ends it at once. Measures are counted, not steps or epochs. Different: the best state is kept, beside the last
//! one, and the caller chooses.

use crate::error::{Error, Result};
use std::collections::HashMap;

/// When to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStopping {
    /// The name of a measure, of which less is better.
    pub metric: String,
    /// Measures without a better value that end the run, at least 1.
    pub patience: u32,
    /// How much less is better: more than this, 0 or above.
    pub min_delta: f64,
}

impl EarlyStopping {
    /// On `metric`, any fall counting.
    pub fn new(metric: impl Into<String>, patience: u32) -> Self {
        EarlyStopping { metric: metric.into(), patience, min_delta: 0.0 }
    }

    /// Every field with its name.
    pub fn fingerprint(&self) -> String {
        let EarlyStopping { metric, patience, min_delta } = self;
        format!("metric {metric}, patience {patience}, min delta {min_delta}")
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.patience == 0 {
            return Err(Error::argument("patience", "at least one measure", "0"));
        }
        match self.min_delta >= 0.0 && self.min_delta.is_finite() {
            true => Ok(()),
            false => Err(Error::argument("min_delta", "0 or a positive number", self.min_delta.to_string())),
        }
    }
}

/// What a measure means for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The best so far.
    Better,
    /// No better; the run goes on.
    Wait,
    /// The run ends.
    Stop,
}

/// Why a run was stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No better value of this metric in so many measures.
    NoImprovement(String, u32),
    /// A value of this metric that is not finite, as text.
    NotFinite(String, String),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::NoImprovement(metric, 1) => write!(f, "no better {metric} in one measure"),
            Reason::NoImprovement(metric, waited) => write!(f, "no better {metric} in {waited} measures"),
            Reason::NotFinite(metric, value) => write!(f, "{metric} was {value}"),
        }
    }
}

/// Early stopping under way.
///
/// ```
/// use wider_clip::training::{EarlyStopping, Verdict, Watch};
///
/// let mut watch = Watch::new(EarlyStopping::new("val_loss", 2));
/// let verdicts = [0.5, 0.4, 0.4, 0.4].map(|loss| watch.check(loss));
/// assert_eq!(verdicts, [Verdict::Better, Verdict::Better, Verdict::Wait, Verdict::Stop]);
/// assert_eq!(watch.reason().expect("stopped").to_string(), "no better val_loss in 2 measures");
/// ```
#[derive(Clone, Debug)]
pub struct Watch {
    rule: EarlyStopping,
    best: f64,
    waited: u32,
    reason: Option<Reason>,
}

impl Watch {
    /// Before the first measure.
    pub fn new(rule: EarlyStopping) -> Self {
        Watch { rule, best: f64::INFINITY, waited: 0, reason: None }
    }

    /// Takes a value of the metric.
    pub fn check(&mut self, current: f64) -> Verdict {
        let EarlyStopping { metric, patience, min_delta } = &self.rule;
        if !current.is_finite() {
            self.reason = Some(Reason::NotFinite(metric.clone(), current.to_string()));
            return Verdict::Stop;
        }
        if current + min_delta < self.best {
            self.best = current;
            self.waited = 0;
            return Verdict::Better;
        }
        self.waited += 1;
        if self.waited >= *patience {
            self.reason = Some(Reason::NoImprovement(metric.clone(), self.waited));
            return Verdict::Stop;
        }
        Verdict::Wait
    }

    /// What is watched.
    pub fn metric(&self) -> &str {
        &self.rule.metric
    }

    /// The best value; infinite before the first.
    pub fn best(&self) -> f64 {
        self.best
    }

    /// Measures since the best one.
    pub fn waited(&self) -> u32 {
        self.waited
    }

    /// Why the run was stopped, once it was.
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// The state for a checkpoint.
    pub(super) fn facts(&self) -> [(String, String); 3] {
        let reason = match &self.reason {
            None => String::new(),
            Some(Reason::NoImprovement(..)) => "patience".into(),
            Some(Reason::NotFinite(_, value)) => value.clone(),
        };
        [("stop.best", self.best.to_string()), ("stop.waited", self.waited.to_string()), ("stop.reason", reason)]
            .map(|(name, fact)| (name.into(), fact))
    }

    /// Goes on from a checkpoint's facts; says which one is missing.
    pub(super) fn resume(&mut self, facts: &HashMap<String, String>) -> std::result::Result<(), &'static str> {
        let fact = |name: &'static str| facts.get(name).ok_or(name);
        self.best = fact("stop.best")?.parse().map_err(|_| "stop.best")?;
        self.waited = fact("stop.waited")?.parse().map_err(|_| "stop.waited")?;
        let metric = self.rule.metric.clone();
        self.reason = match fact("stop.reason")?.as_str() {
            "" => None,
            "patience" => Some(Reason::NoImprovement(metric, self.waited)),
            value => Some(Reason::NotFinite(metric, value.into())),
        };
        Ok(())
    }
}
