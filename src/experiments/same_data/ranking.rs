//! How much of the study's order of models survives.

use crate::error::{Error, Result};
use crate::metrics::spearman;
use crate::project::Project;
use crate::published::{self, PublishedTable};
use crate::random::Random;
use crate::results::ResultRow;
use std::collections::{BTreeMap, BTreeSet};

/// The nine models that stand in all of the study's tables of probes, each with its pocket relative.
pub const RELATIVES: [(&str, &str); 9] = [
    ("CLIP", "clip_pocket.icons"),
    ("DINO", "dino_pocket.icons"),
    ("ViTMAE", "mae_pocket.icons"),
    ("Beit", "beit_pocket.icons"),
    ("data2vec", "data2vec_pocket.icons"),
    ("vit_b_16", "vit_p8_pocket.icons"),
    ("vit_b_32", "vit_p16_pocket.icons"),
    ("convnext_base", "convnext_base_pocket.icons"),
    ("convnext_tiny", "convnext_tiny_pocket.icons"),
];
/// The study's budget that is compared.
const BUDGET: usize = 100;
const RESAMPLES: usize = 1000;

/// Scores of the nine, in the order of [`RELATIVES`], somewhere: a data set and a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Data set.
    pub dataset: String,
    /// Split.
    pub split: String,
    /// Accuracy of each model.
    pub scores: Vec<f64>,
}

/// Agreement of orders: the mean of Spearman's rank correlation over pairs of places, and its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Survival {
    /// The mean.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Pairs behind the mean.
    pub n_pairs: usize,
}

/// The study's nearest neighbours at a budget of 100: every data set and split on which all nine were measured.
///
/// # Errors
/// A published table that cannot be read.
pub fn places_of_study(project: &Project) -> Result<Vec<Place>> {
    let mut found: BTreeMap<(String, String), BTreeMap<String, f64>> = BTreeMap::new();
    for result in published::results(project.root())? {
        let key = result.key;
        let probe = matches!(key.table, PublishedTable::GeneralProbe | PublishedTable::DriftProbe);
        if probe && key.method == "knn" && key.budget == Some(BUDGET) {
            found.entry((key.dataset, key.split)).or_default().insert(key.model, result.value);
        }
    }
    let place = |((dataset, split), scores): ((String, String), BTreeMap<String, f64>)| {
        let scores = RELATIVES.iter().map(|(name, _)| scores.get(*name).copied()).collect::<Option<Vec<f64>>>()?;
        Some(Place { dataset, split, scores })
    };
    Ok(found.into_iter().filter_map(place).collect())
}

/// Our places from rows of [`super::run`]: nearest neighbours under each model's default feature, one seed.
fn places_of_rows(project: &Project, rows: &[ResultRow], seed: u64) -> Result<Vec<Place>> {
    let mut defaults = Vec::new();
    for (_, model) in RELATIVES {
        defaults.push((model, project.manifests.model(model)?.features.default.as_str()));
    }
    let of_seed = || rows.iter().filter(|row| row.cell.seed == seed && row.cell.method == "knn_dino");
    let names: BTreeSet<(&str, &str)> = of_seed().map(|row| (row.cell.dataset.as_str(), row.split.as_str())).collect();
    let place = |(dataset, split): (&str, &str)| {
        let score = |(model, pooling): &(&str, &str)| {
            let mut found = of_seed().filter(|row| {
                let cell = &row.cell;
                cell.dataset == dataset && row.split == split && cell.model == *model && cell.pooling == *pooling
            });
            found.next().and_then(|row| row.value)
        };
        let scores = defaults.iter().map(score).collect::<Option<Vec<f64>>>()?;
        Some(Place { dataset: dataset.into(), split: split.into(), scores })
    };
    Ok(names.into_iter().filter_map(place).collect())
}

/// How well the study's places agree with each other (`None`), or with ours on a data set and split: the mean
/// correlation over pairs of places from different data sets. The interval resamples the study's data sets, and our
/// seeds, with replacement: it speaks of other data sets and splits, not of other models.
///
/// # Errors
/// No row of all nine models for that data set and split; a published table that cannot be read.
pub fn survival(project: &Project, rows: &[ResultRow], ours: Option<(&str, &str)>) -> Result<Survival> {
    survival_without(project, rows, ours, &[])
}

/// [`survival`] with some of the study's models left out, by its names for them.
///
/// # Errors
/// As there.
pub fn survival_without(
    project: &Project,
    rows: &[ResultRow],
    ours: Option<(&str, &str)>,
    without: &[&str],
) -> Result<Survival> {
    let kept = |place: Place| {
        let scores = RELATIVES.iter().zip(&place.scores).filter(|((name, _), _)| !without.contains(name));
        Place { scores: scores.map(|(_, score)| *score).collect(), ..place }
    };
    let study: Vec<Place> = places_of_study(project)?.into_iter().map(kept).collect();
    let datasets: Vec<&str> = study.iter().map(|p| p.dataset.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
    let seeds: Vec<u64> = rows.iter().map(|row| row.cell.seed).collect::<BTreeSet<_>>().into_iter().collect();
    let mut by_seed: Vec<Place> = Vec::new();
    if let Some((dataset, split)) = ours {
        for &seed in &seeds {
            let places = places_of_rows(project, rows, seed)?;
            let here = places.into_iter().filter(|place| place.dataset == dataset && place.split == split);
            by_seed.extend(here.map(kept));
        }
        if by_seed.is_empty() {
            let expected = format!("rows of nine pocket models on {dataset}, {split}");
            return Err(Error::argument("rows", expected, "none"));
        }
    }
    // (study's data set, the other's number, correlation)
    let mut pairs: Vec<(usize, usize, f64)> = Vec::new();
    let number = |name: &str| datasets.iter().position(|dataset| *dataset == name).unwrap_or(0);
    for (i, a) in study.iter().enumerate() {
        let others: Vec<(usize, &Place)> = match ours {
            Some(_) => by_seed.iter().enumerate().collect(),
            None => study[i + 1..].iter().filter(|b| b.dataset != a.dataset).map(|b| (number(&b.dataset), b)).collect(),
        };
        for (other, b) in others {
            // Equal scores everywhere order nothing.
            pairs.extend(spearman(&a.scores, &b.scores)?.map(|found| (number(&a.dataset), other, found)));
        }
    }
    let mean = |weight: &dyn Fn(usize, usize) -> f64| {
        let (mut sum, mut total) = (0.0, 0.0);
        for &(a, b, found) in &pairs {
            sum += weight(a, b) * found;
            total += weight(a, b);
        }
        sum / total
    };
    let mut random = Random::new("data sets of the study", 0, 0);
    let mut draw = |n: usize| {
        let mut counts = vec![0f64; n];
        (0..n).for_each(|_| counts[random.below(n)] += 1.0);
        counts
    };
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let of_study = draw(datasets.len());
            match ours {
                Some(_) => {
                    let of_seeds = draw(by_seed.len());
                    mean(&|a, b| of_study[a] * of_seeds[b])
                }
                None => mean(&|a, b| of_study[a] * of_study[b]),
            }
        })
        .filter(|mean| mean.is_finite())
        .collect();
    means.sort_by(f64::total_cmp);
    let quantile = |fraction: f64| means.get((fraction * (means.len().max(1) - 1) as f64).round() as usize);
    let mid = mean(&|_, _| 1.0);
    Ok(Survival {
        mean: mid,
        low: quantile(0.025).copied().unwrap_or(mid),
        high: quantile(0.975).copied().unwrap_or(mid),
        n_pairs: pairs.len(),
    })
}
