//! Scoring: predictions become numbers. All metrics of classification stand in one list here. An experiment takes all of them,
//! or some by name; a metric that is added to the list is computed for known cells too.

use crate::error::Result;
use crate::metrics;
use crate::results::Score;

/// Predictions that are judged.
struct Judged<'a> {
    predicted: &'a [u32],
    truth: &'a [u32],
    n_classes: usize,
}

/// A metric by name; `None` where it is undefined.
struct Metric {
    name: &'static str,
    of: fn(&Judged) -> Result<Option<f64>>,
}

const ALL: [Metric; 3] = [
    Metric { name: "accuracy", of: |judged| metrics::accuracy(judged.predicted, judged.truth).map(Some) },
    Metric {
        name: "balanced_accuracy",
        of: |judged| metrics::balanced_accuracy(judged.predicted, judged.truth, judged.n_classes).map(Some),
    },
    Metric {
        name: "macro_f1",
        of: |judged| metrics::macro_f1(judged.predicted, judged.truth, judged.n_classes).map(Some),
    },
];

/// Names of the metrics, in the order of rows.
pub const METRICS: [&str; ALL.len()] = {
    let mut names = [""; ALL.len()];
    let mut i = 0;
    while i < ALL.len() {
        names[i] = ALL[i].name;
        i += 1;
    }
    names
};

/// What was measured on, beside the predictions.
#[derive(Debug, Clone)]
pub(super) struct Measured<'a> {
    /// Name of the part.
    pub split: &'a str,
    pub n_classes: usize,
    pub n_train: usize,
    pub warning: &'a str,
    /// Which weights, where some are trained.
    pub weights: &'a str,
}

/// The numbers of predictions, for the metrics called `wanted`.
///
/// # Errors
/// Lengths that differ, a class that is not there.
pub(super) fn score(measured: &Measured, predicted: &[u32], truth: &[u32], wanted: &[&str]) -> Result<Vec<Score>> {
    let judged = Judged { predicted, truth, n_classes: measured.n_classes };
    let all = ALL.iter().filter(|metric| wanted.contains(&metric.name));
    let score = |metric: &Metric| {
        Ok(Score {
            split: measured.split.into(),
            metric: metric.name.into(),
            value: (metric.of)(&judged)?,
            n_train: measured.n_train as u32,
            n_test: predicted.len() as u32,
            warning: measured.warning.into(),
            weights: measured.weights.into(),
        })
    };
    all.map(score).collect()
}
