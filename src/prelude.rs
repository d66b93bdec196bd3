//! What a notebook starts with: `use wider_clip::prelude::*;`.

pub use crate::clustering::{kmeans::KMeans, trustworthiness, umap::Umap};
pub use crate::datasets::{ImageSet, open_folder};
pub use crate::display::{
    Chart, Folded, Gallery, MapChart, Picture, Series, SpriteSheet, Style, Table, accuracy_chart, accuracy_table,
    against_table, ahead_table, alignment_chart, ari_chart, ari_table, arms_chart, arms_table, calibration_table,
    card_table, choice_map, choice_table, choice_words, claims_table, column_chart, confused_gallery, cost_chart,
    counts_table, crossover_table, cues_table, curve_chart, datasets_table, difference_chart, domains_table,
    dose_chart, dose_table, drift_chart, drift_claims, drift_table, finetuning_claims, fitted_table, folds_chart,
    folds_table, gain_chart, gain_table, hub_table, labels_chart, labels_table, last_best_table, leakage_chart,
    leakage_table, learning_chart, left_out_table, look, look_gallery, look_table, methods_chart, metric_table,
    models_table, needed_chart, needed_words, neighbours_ahead_table, next_gallery, order_table, orders_table,
    other_tables, outliers_gallery, own_shares_table, own_table, paces_table, places_chart, pooling_table,
    published_finetuning_table, published_ranking_table, published_table, regret_chart, regret_words, relatives_table,
    reliability_chart, replicate_chart, runs_table, shares_table, sizes_table, spread_table, standardised_table,
    study_drift_chart, study_regret_chart, suite_table, survival_table, suspects_gallery, tuning_table, twins_gallery,
    twins_table, umap_chart, umap_table, verdict, wise_chart,
};
pub use crate::error::{Error, Result};
pub use crate::experiments::choices::{self, Choice};
pub use crate::experiments::{
    Answered, Encoded, Encoding, Part, Parts, Predictions, Protocol, Tell, Words, clustering, drift, finetuning,
    representations, same_data,
};
pub use crate::features::{Extraction, FeatureTable, extract};
pub use crate::finetune::{self, FineTune, Recipe, between};
pub use crate::manifest::{Method, Tuning};
pub use crate::metrics::{
    DriftLine, Gram, Interval, PairedBootstrap, SameImages, Stretch, accuracy, adjusted_rand, bootstrap_accuracy,
    mean_t_interval, normalised_mutual_information, paired_bootstrap, spearman, wilson,
};
pub use crate::models::{self, Backbone, Clip, ClipConfig, LoadedModel, Mode, best_device, describe_device};
pub use crate::neighbours::Metric;
pub use crate::own::{self, Arm, Chosen, Compared, Cues, Curve, HeldOut, Kept, OfDomain, Own, Places, Said, Suspect};
pub use crate::pretrain;
pub use crate::probe::{Labelled, knn::Knn, labelled, logistic::Logistic, sweep::CSweep, zero_shot::ZeroShot};
pub use crate::project::Project;
pub use crate::published::audit::Audit;
pub use crate::results::{ResultRow, Run, frame, runs_frame};
pub use crate::splits::{grouped_split, study_counts, study_split};
pub use crate::text::{Templates, Tokenizer};
pub use crate::training::{self, Adam, Classifier, ClassifierParams};
pub use candle_core::{DType, Device, Tensor, Var};
pub use linfa::DatasetBase;
pub use linfa::traits::{Fit, Predict};
pub use ndarray::{Array1, Array2, array, s};
pub use polars::prelude::{DataFrame, IntoLazy, NamedFrom, Series as Column, SortMultipleOptions, col, df, lit};
