//! Tables, charts, maps and galleries for notebooks: the only part of the crate that knows the notebook kernel.
//!
//! evcxr calls `evcxr_display` on the last expression of a cell. Every type here answers with plain text, which a
//! terminal or a code-hosting page can always show, and a rich form beside it. All of it leaves through `text.rs`, which
//! escapes names for their medium: what a stranger called a class is shown, never run.

mod accuracy;
mod alignment;
mod answer;
mod catalogue;
mod chart;
mod clusterings;
mod colours;
mod dots;
mod drift;
mod finetuning;
mod gallery;
mod map;
mod marks;
mod methods;
mod own;
mod published;
mod same_data;
mod selection;
mod sprites;
mod table;
mod text;
mod words;

pub use accuracy::{accuracy_chart, accuracy_table, leakage_table, metric_table, other_tables, published_table};
pub use alignment::alignment_chart;
pub use answer::{
    ChoiceMap, choice_map, choice_table, choice_words, needed_chart, needed_words, regret_chart, regret_words,
};
pub use catalogue::{datasets_table, models_table, suite_table};
pub use chart::{Chart, Series, Style};
pub use clusterings::{ari_chart, ari_table, published_ranking_table};
pub use colours::{Look, look};
pub use drift::{
    ahead_table, calibration_table, dose_chart, dose_table, drift_chart, drift_claims, drift_table, folds_chart,
    folds_table, orders_table, reliability_chart, study_drift_chart,
};
pub use finetuning::{
    cost_chart, crossover_table, finetuning_claims, gain_chart, gain_table, labels_chart, last_best_table,
    learning_chart, published_finetuning_table, runs_table, spread_table, tuning_table, wise_chart,
};
pub use gallery::{Gallery, Picture};
pub use map::MapChart;
pub use marks::MARKS_MIME;
pub use methods::{leakage_chart, methods_chart, neighbours_ahead_table, umap_chart, umap_table};
pub use own::{
    arms_chart, arms_table, card_table, confused_gallery, cues_table, curve_chart, domains_table, labels_table,
    left_out_table, look_gallery, look_table, next_gallery, outliers_gallery, own_table, paces_table, sizes_table,
    suspects_gallery, twins_gallery, twins_table, verdict,
};
pub use published::{
    claims_table, column_chart, counts_table, difference_chart, fitted_table, hub_table, order_table, own_shares_table,
    places_chart, replicate_chart, shares_table, study_regret_chart,
};
pub use same_data::{against_table, pooling_table, relatives_table, standardised_table, survival_table};
pub use sprites::SpriteSheet;
pub use table::{Cell, Folded, Table, Tables};
pub(crate) use text::json_for_pages;
pub use text::{escape, from_cell, line_is_open, shorten};
pub use words::Words;
