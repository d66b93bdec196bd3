//! The study's clustering experiment: do clusters found without labels agree with the classes?
//!
//! Features go to two dimensions by UMAP, k-means with as many centres as there are classes is run on the map, and the
//! adjusted Rand index says how far clusters and classes agree. k-means on the features themselves stands beside it, to
//! show what the reduction adds. Nothing is split: all images of a data set take part, those of held-out domains (or of
//! the published out-of-distribution test) apart from the others. A seed draws the start of UMAP's descent and the
//! starts of k-means.

use super::{bench::Bench, effort};
use crate::clustering::kmeans::{KMeans, KMeansParams};
use crate::clustering::{rows::Rows, umap::Umap};
use crate::datasets::ImageSet;
use crate::error::{Error, Result};
use crate::metrics;
use crate::neighbours::{Neighbours, knn_graph};
use crate::progress::Progress;
use crate::project::Project;
use crate::results::{Arm, ResultRow, Results};
use candle_core::Device;
use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{ArcArray2, Array2, Axis};
use rayon::prelude::*;
use std::collections::HashSet;

/// The study's table that the rows belong to.
pub const TABLE: &str = "clustering";
/// Raised whenever a change in this experiment, in UMAP, in k-means or in the features moves a number.
const CODE_VERSION: u32 = 3;
/// umap-learn's default; the row itself counts.
const NEIGHBOURS: usize = 15;
/// Starts of k-means: scikit-learn's default until 1.4.
const STARTS: usize = 10;

/// Images that are clustered together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// `all`, or `id` and `ood` where the data set holds domains out.
    pub split: &'static str,
    /// Positions in the feature table.
    pub positions: Vec<usize>,
}

/// One part of a data set under one model, ready for any number of seeds.
#[derive(Debug, Clone)]
pub struct Subject {
    /// `(N, D)`.
    pub features: ArcArray2<f32>,
    /// Class of every row.
    pub labels: Vec<u32>,
    neighbours: Neighbours,
}

/// Runs every arm of the project's suite that is not in the results yet; gives the rows of the suite.
///
/// Rows are saved after every data set and model, so a run that was stopped goes on where it was.
///
/// # Errors
/// Whatever loading, extraction, UMAP or k-means gives; rows saved until then stay.
pub fn run(project: &Project, device: &Device) -> Result<Vec<ResultRow>> {
    let suite = project.suite()?.clone();
    let mut results = Results::open(&project.results_path(TABLE))?;
    let mut wanted = HashSet::new();
    let sets = suite.datasets.iter().map(|dataset| project.images(dataset)).collect::<Result<Vec<_>>>()?;
    let progress = Progress::weighted("maps and clusters", work(project, &sets)?);
    for set in &sets {
        for model in &suite.models {
            progress.doing(format!("{} under {model}", set.id));
            let bench = Bench::of(set, project, model, &[], device, Some(&progress))?;
            let arms = bench.clustering_arms(&suite.seeds);
            let missing: Vec<&[Arm; 2]> =
                arms.iter().filter(|pair| pair.iter().any(|arm| !results.contains(arm))).collect();
            wanted.extend(arms.iter().flatten().cloned());
            let (n, dim) = bench.chosen()?.dim();
            let work = effort::of_clusters(n, dim);
            progress.skip((arms.len() - missing.len()) as f64 * work);
            if missing.is_empty() {
                continue;
            }
            let parts = bench.clustering_parts()?;
            let subject = |part| {
                let subject = bench.subject(part)?;
                let rows = subject.k_means(0).prepare(subject.features.view())?;
                Ok((part.split, subject, rows))
            };
            let subjects: Vec<(&str, Subject, Rows)> = parts.iter().map(subject).collect::<Result<_>>()?;
            // Seeds beside each other: alone, none keeps all processors busy all the time.
            let rows = missing.par_iter().map(|pair| {
                let of_part = |(split, subject, rows): &(&str, Subject, Rows)| subject.measure(rows, pair, split);
                let rows = subjects.iter().map(of_part).collect::<Result<Vec<_>>>()?;
                progress.add(1, "maps", work);
                Ok(rows.concat())
            });
            results.add(rows.collect::<Result<Vec<_>>>()?.concat())?;
        }
    }
    progress.finish();
    Ok(results.select(|row| wanted.contains(&row.arm)))
}

/// About how much there is to do for a suite where nothing is done.
fn work(project: &Project, sets: &[ImageSet]) -> Result<f64> {
    let suite = project.suite()?;
    let mut total = 0.0;
    for set in sets {
        let n = suite.max_images.map_or(set.len(), |most| most.min(set.len()));
        for model in &suite.models {
            let model = project.manifests.model(model)?;
            total += n as f64 * effort::of_image(model)?;
            total += effort::of_clusters(n, model.features.dim) * suite.seeds.len() as f64;
        }
    }
    Ok(total)
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
    pub fn shown(&self, bench: &Bench, map: &Array2<f32>, rows: &[usize]) -> Result<Shown> {
        if map.dim() != (self.positions.len(), 2) {
            let expected = format!("shape ({}, 2), a place for each image of the part", self.positions.len());
            return Err(Error::argument("map", expected, format!("{:?}", map.shape())));
        }
        let wanted: HashSet<usize> = rows.iter().copied().collect();
        let of_part = self.positions.iter().map(|&position| bench.features.rows[position]);
        let (rows, points) = of_part
            .zip(map.rows())
            .filter(|(row, _)| wanted.contains(row))
            .map(|(row, place)| (row, [f64::from(place[0]), f64::from(place[1])]))
            .unzip();
        Ok(Shown { rows, points })
    }
}

impl Bench {
    /// All images of the bench in one part, whatever their domain.
    pub fn whole(&self) -> Part {
        Part { split: "all", positions: (0..self.features.rows.len()).collect() }
    }

    /// The parts that are clustered: the held-out domains, or the published tests, apart from the rest; otherwise all
    /// images together.
    ///
    /// # Errors
    /// A published part that the data do not have.
    pub fn clustering_parts(&self) -> Result<Vec<Part>> {
        let split = &self.record.split;
        if let (Some(id), Some(ood)) = (&split.id_test, &split.ood_test) {
            let (id, ood) = (self.positions(&id.name)?, self.positions(&ood.name)?);
            return Ok(vec![Part { split: "id", positions: id }, Part { split: "ood", positions: ood }]);
        }
        let (ood, id): (Vec<usize>, Vec<usize>) =
            self.positions("all")?.into_iter().partition(|&i| self.is_held_out(i));
        Ok(match ood.is_empty() {
            true => vec![Part { split: "all", positions: id }],
            false => vec![Part { split: "id", positions: id }, Part { split: "ood", positions: ood }],
        })
    }

    /// The features of a part with their neighbours, which all seeds share.
    ///
    /// # Errors
    /// A part with fewer rows than UMAP needs neighbours.
    pub fn subject(&self, part: &Part) -> Result<Subject> {
        let features = self.chosen()?.select(Axis(0), &part.positions).into_shared();
        // Exact for sets of the study's size; beyond, the graph's own seed is fixed too.
        let neighbours = knn_graph(&features, NEIGHBOURS.min(features.nrows()), 0)?;
        Ok(Subject { features, labels: self.labels_at(&part.positions), neighbours })
    }

    /// For every seed the arm with UMAP and the one without.
    fn clustering_arms(&self, seeds: &[u64]) -> Vec<[Arm; 2]> {
        let arm = |method, seed| Arm { seed, ..self.arm(TABLE, method, "unsplit", CODE_VERSION) };
        seeds.iter().map(|&seed| ["umap_kmeans", "kmeans"].map(|method| arm(method, seed))).collect()
    }
}

impl Subject {
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

    /// The rows of a seed's two arms, with UMAP and without; `rows` are the features as k-means wants them.
    fn measure(&self, rows: &Rows, arms: &[Arm; 2], split: &str) -> Result<Vec<ResultRow>> {
        let mut measured = Vec::new();
        for (arm, reduce) in arms.iter().zip([true, false]) {
            let clusters = match reduce {
                true => self.clusters(&self.map(arm.seed)?.into_shared(), arm.seed)?,
                false => self.k_means(arm.seed).fit_rows(rows)?,
            };
            let values = [
                ("ari", metrics::adjusted_rand(&clusters.labels, &self.labels)?),
                ("nmi", metrics::normalised_mutual_information(&clusters.labels, &self.labels)?),
            ];
            let warning = match clusters.converged {
                true => String::new(),
                false => format!("k-means not converged after {} iterations", clusters.iterations),
            };
            measured.extend(values.map(|(metric, value)| ResultRow {
                arm: arm.clone(),
                split: split.into(),
                metric: metric.into(),
                value: Some(value),
                n_train: 0,
                n_test: self.labels.len() as u32,
                warning: warning.clone(),
            }));
        }
        Ok(measured)
    }
}

/// Mean adjusted Rand index of a model and method on a data set over seeds, held-out domains aside; `None` where there
/// is no row.
pub fn mean_ari(rows: &[ResultRow], dataset: &str, model: &str, method: &str) -> Option<f64> {
    let wanted = |row: &&ResultRow| {
        let arm = &row.arm;
        arm.dataset == dataset
            && arm.model == model
            && arm.method == method
            && row.split != "ood"
            && row.metric == "ari"
    };
    let values: Vec<f64> = rows.iter().filter(wanted).filter_map(|row| row.value).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
