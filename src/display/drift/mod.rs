//! Drift shown: in distribution against out of distribution.
//!
//! | module | |
//! |---|---|
//! | `axes` | axes on which accuracies lie on a line |
//! | `line` | every arm on these axes, with the line |
//! | `gaps` | the gap arm by arm, three orders of models, kNN against logistic regression |
//! | `folds` | every domain held out in turn |
//! | `dose` | accuracy by strength of damage, and whether it tells of styles |
//! | `calibration` | calibration error, likelihood, reliability diagrams |
//! | `study` | the study's own pairs, with a slider for how alike its images are; its claims |

mod axes;
mod calibration;
mod dose;
mod folds;
mod gaps;
mod line;
mod study;

pub use calibration::{calibration_table, reliability_chart};
pub use dose::{dose_chart, dose_table};
pub use folds::{folds_chart, folds_table};
pub use gaps::{ahead_table, drift_table, orders_table};
pub use line::drift_chart;
pub use study::{drift_claims, study_drift_chart};

use super::finetuning::method_label;
use crate::metrics::Estimate;

/// An arm in words: `lr, budget 100`.
fn arm(method: &str, budget: u32) -> String {
    format!("{}, budget {budget}", method_label(method))
}

/// `number [low, high]` in percent or points, on one line; the number alone where there is no interval.
fn points(estimate: &Estimate, signed: bool) -> String {
    let text = |part: f64| if signed { format!("{:+.1}", 100.0 * part) } else { format!("{:.1}", 100.0 * part) };
    match estimate.interval {
        Some((low, high)) => format!("{}\u{a0}[{},\u{a0}{}]", text(estimate.value), text(low), text(high)),
        None => text(estimate.value),
    }
}
