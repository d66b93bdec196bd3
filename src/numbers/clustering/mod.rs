//! Clustering without labels: k-means, and the UMAP map that the study puts before it.
//!
//! [`kmeans::KMeans`] follows linfa's vocabulary; [`umap::Umap`] is umap-learn's algorithm, seeded, with the same map
//! for a seed on any number of threads; [`trustworthiness`] says how far a map keeps the neighbours it was made from.

mod gram;
pub mod kmeans;
mod precise;
pub mod rows;
mod seeding;
mod trust;
pub mod umap;

pub use trust::trustworthiness;
