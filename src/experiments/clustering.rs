//! The study's clustering experiment: do clusters found without labels agree with the classes?
//!
//! Features go to two dimensions by UMAP, k-means with as many centres as there are classes is run on the map, and the
//! adjusted Rand index says how far clusters and classes agree. k-means on the features themselves stands beside it, to
//! show what the reduction adds. Nothing is split: all images of a data set take part, those of held-out domains (or of
//! the published out-of-distribution test) apart from the others. A seed draws the start of UMAP's descent and the
//! starts of k-means.

use super::ledger::Outcome;
use super::{Encoded, Encoding, Experiment, Part, Tell, Work, effort};
use crate::clustering::kmeans::{KMeans, KMeansParams};
use crate::clustering::{rows::Rows, umap::Umap};
use crate::error::{Error, Result};
use crate::metrics;
use crate::neighbours::{Neighbours, knn_graph};
use crate::project::Project;
use crate::published::PublishedTable;
use crate::results::{Cell, ResultRow, Score};
use candle_core::Device;
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{ArcArray2, Array2, Axis};
use std::collections::HashSet;

/// Name of the experiment: of the folder of its rows.
pub const NAME: &str = "clustering";
/// Raised whenever a change in this experiment, in UMAP, in k-means or in the features moves a number.
const CODE_VERSION: u32 = 3;
/// umap-learn's default; the row itself counts.
const NEIGHBOURS: usize = 15;
/// Starts of k-means: scikit-learn's default until 1.4.
const STARTS: usize = 10;
/// The methods, with what their numbers depend on: k-means on the map, and on the features.
const METHODS: [(&str, &str); 2] = [
    ("umap_kmeans", "UMAP to 2 of 15 neighbours, then k-means, best of 10 starts"),
    ("kmeans", "k-means, best of 10 starts"),
];
const METRICS: [&str; 2] = ["ari", "nmi"];

/// One part of a data set under one model, ready for any number of seeds.
#[derive(Debug, Clone)]
pub struct Subject {
    /// `(N, D)`.
    pub features: ArcArray2<f32>,
    /// Class of every row.
    pub labels: Vec<u32>,
    neighbours: Neighbours,
}

/// Brings the rows of the project's suite: k-means with UMAP and without, for every seed, data set and model.
///
/// # Errors
/// Whatever loading, extraction, UMAP or k-means gives; rows kept until then stay.
pub fn run(project: &Project, device: &Device) -> Result<Vec<ResultRow>> {
    super::run(project, &Clustering, device)
}

pub(super) struct Clustering;

impl Experiment for Clustering {
    /// Each part with its features as k-means wants them, which all starts and seeds share.
    type Ready = Vec<(&'static str, Subject, Rows)>;

    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "maps and clusters"
    }

    fn metrics(&self) -> &'static [&'static str] {
        &METRICS
    }

    fn cells(&self, project: &Project, encoding: &Encoding) -> Result<Vec<Cell>> {
        let seeds = &project.suite()?.seeds;
        let cell = |(seed, method)| {
            encoding.cell(&Work {
                table: PublishedTable::Clustering.as_str(),
                method,
                pooling: &encoding.model.features.default,
                protocol: "unsplit",
                budget: None,
                seed,
                code: CODE_VERSION,
            })
        };
        Ok(seeds.iter().flat_map(|&seed| METHODS.map(|method| (seed, method))).map(cell).collect())
    }

    fn effort(&self, encoding: &Encoding, _: &Cell, dim: usize) -> f64 {
        effort::of_clusters(encoding.n_images(), dim) / METHODS.len() as f64
    }

    fn prepare(&self, _: &Project, _: &Encoding, encoded: Encoded, _: &Device) -> Result<Self::Ready> {
        let ready = |part: Part| {
            let subject = Subject::of(&encoded, &part)?;
            let rows = subject.k_means(0).prepare(&subject.features)?;
            Ok((part.split, subject, rows))
        };
        encoded.apart()?.into_iter().map(ready).collect()
    }

    fn measure(&self, ready: &Self::Ready, cell: &Cell, _: &Tell) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        for (split, subject, rows) in ready {
            outcome.scores.extend(subject.measure(rows, &cell.method, cell.seed, split)?);
        }
        Ok(outcome)
    }
}

/// What of a part's map is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Rows of the data set.
    pub rows: Vec<usize>,
    /// Their places on the map.
    pub points: Vec<[f64; 2]>,
}

impl Part {
    /// Those of `rows` (of the data set) that the part has, with their places on its `map` `(N, 2)`.
    ///
    /// # Errors
    /// A map of another length than the part.
    pub fn shown(&self, encoded: &Encoded, map: &Array2<f32>, rows: &[usize]) -> Result<Shown> {
        if map.dim() != (self.positions.len(), 2) {
            let expected = format!("shape ({}, 2), a place for each image of the part", self.positions.len());
            return Err(Error::argument("map", expected, format!("{:?}", map.shape())));
        }
        let wanted: HashSet<usize> = rows.iter().copied().collect();
        let of_part = self.positions.iter().map(|&position| encoded.features.rows[position]);
        let (rows, points) = of_part
            .zip(map.rows())
            .filter(|(row, _)| wanted.contains(row))
            .map(|(row, place)| (row, [f64::from(place[0]), f64::from(place[1])]))
            .unzip();
        Ok(Shown { rows, points })
    }
}

impl Subject {
    /// The features of a part with their neighbours, which all seeds share.
    ///
    /// # Errors
    /// A part with fewer rows than UMAP needs neighbours.
    pub fn of(encoded: &Encoded, part: &Part) -> Result<Subject> {
        let features = encoded.chosen()?.select(Axis(0), &part.positions).into_shared();
        // Exact for sets of the study's size; beyond, the graph's own seed is fixed too.
        let neighbours = knn_graph(&features, NEIGHBOURS.min(features.nrows()), 0)?;
        Ok(Subject { features, labels: encoded.labels_at(&part.positions), neighbours })
    }

    /// The map `(N, 2)` of a seed.
    ///
    /// # Errors
    /// As [`Umap::map`].
    pub fn map(&self, seed: u64) -> Result<Array2<f32>> {
        let n_neighbours = self.neighbours.rows.ncols();
        Umap::params(seed).n_neighbours(n_neighbours).map_from(&self.features, &self.neighbours)
    }

    /// Clusters of `points` (the features or a map of them), as many as there are classes among the rows.
    ///
    /// # Errors
    /// As k-means.
    pub fn clusters(&self, points: &ArcArray2<f32>, seed: u64) -> Result<KMeans> {
        self.k_means(seed).fit(&DatasetBase::from(points.clone()))
    }

    fn k_means(&self, seed: u64) -> KMeansParams {
        let n_classes = self.labels.iter().collect::<HashSet<_>>().len();
        KMeans::params(n_classes).n_init(STARTS).seed(seed)
    }

    /// The numbers of a method and seed; `rows` are the features as k-means wants them.
    fn measure(&self, rows: &Rows, method: &str, seed: u64, split: &str) -> Result<[Score; METRICS.len()]> {
        let clusters = match method == METHODS[0].0 {
            true => self.clusters(&self.map(seed)?.into_shared(), seed)?,
            false => self.k_means(seed).fit_rows(rows)?,
        };
        let values = [
            metrics::adjusted_rand(&clusters.labels, &self.labels)?,
            metrics::normalised_mutual_information(&clusters.labels, &self.labels)?,
        ];
        let warning = match clusters.converged {
            true => String::new(),
            false => format!("k-means not converged after {} iterations", clusters.iterations),
        };
        let score = |i: usize| Score {
            split: split.into(),
            metric: METRICS[i].into(),
            value: Some(values[i]),
            n_train: 0,
            n_test: self.labels.len() as u32,
            warning: warning.clone(),
            weights: String::new(),
        };
        Ok([score(0), score(1)])
    }
}

/// Mean adjusted Rand index of a model and method on a data set over seeds, held-out domains aside; `None` where there
/// is no row.
pub fn mean_ari(rows: &[ResultRow], dataset: &str, model: &str, method: &str) -> Option<f64> {
    let wanted = |row: &&ResultRow| {
        let cell = &row.cell;
        cell.dataset == dataset
            && cell.model == model
            && cell.method == method
            && row.split != "ood"
            && row.metric == "ari"
    };
    let values: Vec<f64> = rows.iter().filter(wanted).filter_map(|row| row.value).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
