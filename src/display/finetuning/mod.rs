//! Fine-tuning shown: how a run learned, what it gained over probes, and what that cost.
//!
//! | module | |
//! |---|---|
//! | `learning` | losses by epoch, with the best state and the last |
//! | `labels` | accuracy against training images, method by method |
//! | `gains` | fine-tuning minus logistic regression, model by model; where they cross |
//! | `between` | last against best weights, the way between frozen and fine-tuned, spread over models, cost |
//! | `study` | the study's numbers and claims beside ours |

mod between;
mod gains;
mod labels;
mod learning;
mod study;

pub use between::{cost_chart, last_best_table, runs_table, spread_table, wise_chart};
pub use gains::{crossover_table, gain_chart, gain_table};
pub use labels::{labels_chart, tuning_table};
pub use learning::learning_chart;
pub use study::{finetuning_claims, published_finetuning_table};

use super::{Look, Series};
use crate::manifest::{Method, Tuning};

/// One look per method, as models have theirs: probes are blue, what is fine-tuned is warm or green.
fn method_look(method: &str) -> Look {
    let (colour, marker, dash) = match method {
        "knn" => ("#56b4e9", "diamond", "dot"),
        "lr" => ("#0072b2", "square", "solid"),
        "lr_standardised" => ("#5e3c99", "pentagon", "dash"),
        "lr_sweep" => ("#004c78", "square", "dash"),
        "finetune" => ("#d55e00", "circle", "solid"),
        "finetune_augmented" => ("#e69f00", "circle", "dash"),
        "finetune_tuned" => ("#8a2d00", "triangle-up", "solid"),
        "lp_ft" => ("#009e73", "triangle-down", "solid"),
        "wise" => ("#007a5a", "star", "dash"),
        _ => ("#555555", "x", "dot"),
    };
    Look { colour: colour.into(), marker: marker.into(), dash: dash.into() }
}

/// The line of a method in a chart, without points yet.
fn method_line(method: &str) -> Series {
    let (x, y, interval) = (Vec::new(), Vec::new(), Vec::new());
    Series { name: method_label(method).to_string(), look: method_look(method), x, y, interval }
}

/// What a method does, in words.
pub(super) fn method_label(method: &str) -> &str {
    Tuning::named(method).map(Tuning::label).or(Method::named(method).map(Method::label)).unwrap_or(method)
}

/// The weights that stand for an arm in comparisons: the chosen ones where there is a choice, else the last, as the study
/// most likely reported.
pub(super) fn reported(method: &str) -> &'static str {
    match method {
        "wise" => "chosen",
        _ => "last",
    }
}
