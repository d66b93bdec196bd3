//! Wider CLIP: image representations compared, step by step, in notebooks with a Rust kernel.
//!
//! This crate is the thin support under the notebooks. Start with [`project::Project`], which knows the manifests, the
//! suite and the cache; [`experiments::representations::run`] does the study's first experiment with them.
//!
//! | step | module |
//! |---|---|
//! | what there is: data sets, models, suites; the study's published numbers | [`manifest`], [`published`], [`project`] |
//! | the Hugging Face hub: one client, one cache, weights held to a lock file | [`hub`] |
//! | images: opened from Parquet, the hub, archives or folders; decoded and resized as Pillow does | [`datasets`], [`images`] |
//! | text for CLIP: class names into prompts, prompts into tokens | [`text`] |
//! | backbones, frozen or trained, and the fast operations beneath them; features cached on disk | [`models`], [`ops`], [`features`] |
//! | training: one engine for pretraining and fine-tuning, a classifier, early stopping, the page of a run | [`training`] |
//! | splits and metrics with intervals: plain numbers, no tensors | [`splits`], [`metrics`] |
//! | nearest neighbours, and on them classifiers, clusterings and maps | [`neighbours`], [`probe`], [`clustering`] |
//! | experiments and their tidy rows | [`experiments`], [`results`] |
//! | pretraining: six objectives on one small corpus, for the command line and its notebook | [`pretrain`] |
//! | tables, charts and galleries for a notebook | [`display`] |
//! | the kernel, the runner, the HTML report | [`workbench`] |
//!
//! Imports point one way, down this list and never up; experiments never import each other. Device and seed are
//! arguments everywhere.
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

pub mod display;
pub mod experiments;
pub mod prelude;
pub mod project;
pub mod results;
pub mod workbench;

pub use wider_clip_backbones::{by_name, features, models, ops};
pub use wider_clip_data::{datasets, hub, images, manifest, published, text};
pub use wider_clip_numbers::{clustering, error, key, metrics, neighbours, probe, progress, random, splits, storage};
pub use wider_clip_trainers::{pretrain, training};

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
