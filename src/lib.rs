//! Wider CLIP: image representations compared, step by step, in notebooks with a Rust kernel.
//!
//! This crate is the thin support under the notebooks. Start with [`project::Project`], which knows the manifests, the
//! suite and the cache; [`experiments::representations::run`] does the study's first experiment with them.
//!
//! What a reader of the notebooks meets stands here, on top; the engines beneath are crates of their own, re-exported, so that
//! imports can only go down this list:
//!
//! | crate, folder | module | |
//! |---|---|---|
//! | `wider-clip`, `src/` | [`prelude`] | what `use wider_clip::prelude::*` brings |
//! | | [`project`] | where the project is, its manifests, its suite |
//! | | [`experiments`] | the study's experiments: cells of work become rows |
//! | | [`own`] | a reader's own images: sound or not, which model, how many labels, a classifier |
//! | | [`results`] | tidy rows: kept, shipped, checked, exported |
//! | | [`display`] | tables, charts and galleries for a notebook |
//! | | [`course`] | what marks the answers to assignments |
//! | | [`workbench`] | the kernel, the runner, the HTML report, JupyterLab, a course from build to feedback |
//! | `wider-clip-proxy`, `src/proxy/` | [`proxy`] | between Jupyter clients and the kernel: errors, counts, interrupts, progress |
//! | `wider-clip-trainers`, `src/trainers/` | [`training`] | one engine for pretraining and fine-tuning, a classifier, early stopping |
//! | | [`finetune`] | all of a backbone learns from labelled images: the study's way, and better ones |
//! | | [`mod@augment`] | random views of an image |
//! | | [`pretrain`] | six objectives on one small corpus, for the command line and its notebook |
//! | `wider-clip-backbones`, `src/backbones/` | [`models`], [`ops`] | backbones, frozen or trained, and the fast operations beneath them |
//! | | [`features`], [`by_name`] | features cached on disk; classes by their names with CLIP's text tower |
//! | `wider-clip-data`, `src/data/` | [`manifest`], [`published`] | what there is: data sets, models, suites; the study's own numbers, and what they allow |
//! | | [`hub`] | the Hugging Face hub: one client, one cache, weights held to a lock file |
//! | | [`datasets`], [`images`] | opened from Parquet, the hub, archives or folders; decoded and resized as Pillow does; made worse as in ImageNet-C |
//! | | [`text`] | class names into prompts, prompts into tokens |
//! | `wider-clip-numbers`, `src/numbers/` | [`splits`], [`metrics`] | plain numbers with intervals, no tensors |
//! | | [`neighbours`], [`probe`], [`clustering`] | nearest neighbours, and on them classifiers, clusterings and maps |
//! | | [`soundness`] | suspect labels, outliers, codes that nearly agree: what a set of images is checked with |
//! | | [`key`] | everything that decides a number, and its digest |
//! | | [`error`], [`random`], [`storage`], [`progress`], [`mod@say`] | one error type, seeded draws, files written whole, a line of progress, text made fit to be shown |
//!
//! Experiments never import each other. Device and seed are arguments everywhere.
//!
//! # To add something
//!
//! | what | files to touch |
//! |---|---|
//! | a metric of classification | `src/numbers/metrics/` (the arithmetic, its expected values by `tests/reference/metrics.py`), the list in `src/experiments/score.rs`; rows of [`experiments::representations`] that lack it are computed anew, shipped ones too until `ship` puts them there with it; `metric_table` shows it |
//! | a score of drift | `src/numbers/metrics/wilds.rs` and its resampling in `wilds_intervals.rs`, its expected value by `tests/reference/wilds.py` |
//! | a form of learning curves | `src/numbers/metrics/forecast/forms.rs` (expected values by `tests/reference/forecast.py`) and `Fits` in `spread.rs` there; `tests/forecast_coverage.rs` says what it does to coverage |
//! | a probe | `src/numbers/probe/`, its line in `src/data/manifest/methods.rs`, its fit, settings and cost in `src/experiments/predict.rs`; one that asks by words also `words.rs` and `src/backbones/by_name.rs`; a suite of your own names it |
//! | an experiment | one module in `src/experiments/` that implements [`experiments::Experiment`], its line in `mod.rs` and in the list of `all.rs`; `prelude.rs` |
//! | a data set | one file in `data_manifests/datasets/` ([`manifest::Lookup`] where a column comes from a second table); a suite of your own names it (`--suite mine`) |
//! | a model of a known architecture | one file in `data_manifests/models/`, with a look that no other has; a suite of your own names it |
//! | an architecture | a folder in `src/backbones/models/`, its `mod` and `pub use` in `mod.rs` there, a variant and a name in `architecture.rs`, how training begins in `initial.rs`, what training costs in `src/trainers/pretrain/recipe.rs`; a model's record; golden values by `tests/reference/backbones.py`, held in `tests/convnets.rs` or `tests/transformers.rs` |
//! | a corruption of images | a variant of [`images::CorruptionKind`] with its name and its arm in `src/data/images/corrupt/mod.rs`, its strengths in `strengths.rs` there; expected values by `tests/reference/corruptions.py`, held in `tests/corruptions.rs` |
//! | an assignment | a file in `src/course/` with a check per task, held by `tests/course_<name>.rs` with right and wrong answers; a notebook in `notebooks/assignments/` and its page in `instructors/` there; its line in `notebooks/START.md` |
//! | a kind of work for many machines | an experiment's line in `src/experiments/all.rs` is planned, run and gathered by itself ([`experiments::work`]); how long it takes and what memory, `src/experiments/work/estimate.rs`; `data_manifests/workflow/` for schedulers |
//! | a page | one notebook `NN_topic.ipynb` in `notebooks/`; `tests/notebooks.rs` says what it must have, so begin with a copy of `00_start_here` |
//! | a verdict on the study's figures | `src/data/published/audit/` (expected values by `tests/reference/published.py`, held in `tests/published_audit.rs`), what it shows in `src/display/published/` |
//! | what a page does for its reader | `src/workbench/template/` (`style.css`, `reader.js`), held in `tests/page_quality.rs` |
//! | a table or chart | one file in `src/display/`, its line in `mod.rs`; `prelude.rs` |
//! | a way to train | a [`training::Job`]: one file in `src/trainers/`, its line in `src/trainers/lib.rs` and in the re-exports below (`tests/support/small_job.rs` is the smallest); an objective of pretraining: one file and its recipe in `src/trainers/pretrain/` |
//! | a source of images | one file in `src/data/datasets/` and its arm in `mod.rs` there, what it opens of a reader's own in `opened.rs`, a variant of `Source` with its check in `src/data/manifest/source.rs`, its words in `src/display/catalogue.rs` |
//! | a form of a reader's own data | `src/data/datasets/own/` (`columns.rs` for what a column may be called), its test in `tests/own_recognised.rs` |
//! | a part of the report on a reader's images | one file in `src/own/`, what it shows in `src/display/own/`, a cell of `notebooks/10_your_images.ipynb` |
//! | a reader of files or answers that others make | beside the reader, its line in `tests/fuzz/readers.rs` with seeds, and in `tests/fuzz/oracles.rs` what must hold |
//!
//! A split by the study's rule, and a probe on hand-made features:
//!
//! ```
//! use wider_clip::prelude::*;
//!
//! let counts = study_counts(100, 40)?; // a budget of 100, the smallest class has 40 images
//! assert_eq!((counts.train, counts.val), (23, 8));
//!
//! let train = labelled(array![[0.0, 0.0], [0.1, 0.2], [5.0, 5.0], [5.1, 4.9]], vec![0, 0, 1, 1])?;
//! let model = Knn::params(1).fit(&train)?;
//! assert_eq!(model.predict(&array![[0.2, 0.1], [4.0, 6.0]]).to_vec(), [0, 1]);
//! # Ok::<(), wider_clip::error::Error>(())
//! ```
//!
//! The crate is built as one dynamic library, and everything a notebook needs from other crates is re-exported here:
//! a notebook that named candle or polars as a dependency of its own would get second copies of their counters and
//! pools (environment.md).

#![deny(missing_docs)]

pub mod course;
pub mod display;
pub mod experiments;
pub mod own;
pub mod prelude;
pub mod project;
pub mod results;
pub mod workbench;

pub use wider_clip_backbones::{by_name, features, models, ops};
pub use wider_clip_data::{datasets, hub, images, manifest, published, text};
pub use wider_clip_numbers::{
    clustering, error, guard, key, metrics, neighbours, probe, progress, random, say, soundness, splits, storage,
    target,
};
pub use wider_clip_proxy as proxy;
pub use wider_clip_trainers::{augment, finetune, pretrain, training};

pub use candle_core;
pub use candle_nn;
pub use candle_transformers;
pub use hf_hub;
pub use image;
pub use linfa;
pub use ndarray;
pub use plotly;
pub use polars;
pub use rayon;
