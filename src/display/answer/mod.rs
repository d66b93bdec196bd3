//! The answer: which model and method to take with how many labels, what another choice costs, and how many labels it would need.

mod map;
mod needed;
mod regret;

pub use map::{ChoiceMap, choice_map, choice_table, choice_words};
pub use needed::{needed_chart, needed_words};
pub use regret::{regret_chart, regret_words};

use super::selection::model_name;
use crate::experiments::choices::Way;
use crate::manifest::Method;
use crate::metrics::Estimate;
use crate::project::Project;

/// A method in a few words.
pub(super) fn method_words(name: &str) -> String {
    let words = match Method::known(name) {
        Ok(Method::Knn) => "kNN",
        Ok(Method::Lr) => "LR",
        Ok(Method::LrStandardised) => "LR, standardised",
        Ok(Method::LrSweep) => "LR, C chosen",
        _ => match name {
            "finetune" => "fine-tuned",
            "finetune_tuned" => "fine-tuned, tuned",
            "finetune_augmented" => "fine-tuned, augmented",
            "lp_ft" => "fine-tuned from LR",
            "wise" => "WiSE",
            other => other,
        },
    };
    words.to_string()
}

/// `LR on EfficientNet-Lite0`.
pub(super) fn way_name(project: &Project, way: &Way) -> String {
    format!("{} on {}", method_words(&way.method), model_name(project, &way.model))
}

/// Percent with one digit and its interval.
pub(super) fn percent(estimate: &Estimate) -> String {
    match estimate.interval {
        Some((low, high)) => format!("{:.1} [{:.1}, {:.1}]", 100.0 * estimate.value, 100.0 * low, 100.0 * high),
        None => format!("{:.1}", 100.0 * estimate.value),
    }
}

/// Labels per class, as a whole number where it is one or nearly.
pub(super) fn labels_words(labels: f64) -> String {
    format!("{:.0}", labels.round())
}

/// What a part of a data set is called.
pub(super) fn part_words(split: &str) -> &'static str {
    match split {
        "ood" => "new style",
        "id" => "known styles",
        _ => "test",
    }
}
