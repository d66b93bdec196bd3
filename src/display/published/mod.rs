//! What the study's published figures allow, drawn: the claims, the order of models, places, regret, counts.

mod claims;
mod columns;
mod counts;
mod here;
mod places;
mod regret;

pub use claims::{claims_table, hub_table};
pub use columns::{column_chart, order_table, replicate_chart};
pub use counts::{counts_table, fitted_table};
pub use places::{difference_chart, places_chart};
pub use regret::{own_shares_table, shares_table, study_regret_chart};

use super::{Look, look};
use crate::project::Project;

/// The look of the model that the study calls so; grey where no record says that it is one of the study's.
pub(super) fn study_look(project: &Project, name: &str) -> Look {
    let record = project.manifests.models().find(|record| record.published_as.as_deref() == Some(name));
    match record {
        Some(record) => look(project, &record.id),
        None => Look { colour: "#777777".into(), marker: "circle".into(), dash: "solid".into() },
    }
}

/// The name of a method where the study's is short.
fn method(name: &str) -> &'static str {
    match name {
        "knn" => "kNN",
        "lr" => "LR",
        "finetune" => "fine-tuned",
        _ => "other",
    }
}

/// `dtd, LR at 100`, with the part where there are two.
fn column_name(dataset: &str, split: &str, of: &str, budget: usize) -> String {
    let part = match split {
        "test" => String::new(),
        part => format!(" {part}"),
    };
    format!("{dataset}{part}, {} at {budget}", method(of))
}
