//! Which models arrange the same images alike.

use crate::error::{Error, Result};
use crate::experiments::ledger::{Ledger, Outcome};
use crate::experiments::{Encoded, Encoding, Work};
use crate::metrics::{Gram, Interval, mean_t_interval};
use crate::project::Project;
use crate::random::Random;
use crate::results::{Cell, ResultRow, Score};
use candle_core::Device;
use ndarray::Axis;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Disjoint samples of images, each giving one number a pair.
const SAMPLES: usize = 5;
/// Images of a sample at most.
const IMAGES: usize = 1000;
/// The table of the rows, which is none of the study's, and their metrics.
pub const TABLE: &str = "alignment";
/// The method of a pair: this and the other model.
const WITH: &str = "cka with ";
const METRICS: [&str; 3] = ["cka", "cka_low", "cka_high"];
/// Raised whenever a change here or in the features moves a number.
const CODE_VERSION: u32 = 1;

/// Linear CKA of every pair of models on one data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// Data set id.
    pub dataset: String,
    /// Model ids.
    pub models: Vec<String>,
    /// `pairs[i][j]`: models i and j, mean and 95% t-interval over samples.
    pub pairs: Vec<Vec<Interval>>,
    /// Images of a sample.
    pub n_images: usize,
}

impl Alignment {
    /// The widest interval of two different models, from end to end.
    pub fn widest(&self) -> f64 {
        let widths = self.pairs.iter().flatten().filter_map(|pair| Some(pair.high? - pair.low?));
        widths.fold(0.0, f64::max)
    }
}

/// Aligns `models` on five disjoint samples of a data set's images, drawn at random, under their default features. Numbers
/// that are known, or came with the project, are not computed again, as for every experiment.
///
/// # Errors
/// A data set of fewer than 20 images; as for [`Encoding::encode`] and [`Gram::cka`].
pub fn alignment(project: &Project, dataset: &str, models: &[String], device: &Device) -> Result<Alignment> {
    let place: HashMap<&str, usize> = models.iter().enumerate().map(|(i, model)| (model.as_str(), i)).collect();
    let nothing = Interval { mean: f64::NAN, low: None, high: None, n: SAMPLES };
    let mut pairs = vec![vec![nothing; models.len()]; models.len()];
    let mut n_images = 0;
    for row in alignment_rows(project, dataset, models, device)? {
        let other = row.cell.method.strip_prefix(WITH).unwrap_or_default();
        let (Some(&i), Some(&j)) = (place.get(row.cell.model.as_str()), place.get(other)) else { continue };
        let pair = &mut pairs[i][j];
        match row.metric.as_str() {
            "cka" => pair.mean = row.value.unwrap_or(f64::NAN),
            "cka_low" => pair.low = row.value,
            _ => pair.high = row.value,
        }
        pairs[j][i] = pairs[i][j];
        n_images = row.n_test as usize;
    }
    Ok(Alignment { dataset: dataset.into(), models: models.to_vec(), pairs, n_images })
}

/// The rows of the same: of each pair, and of each model with itself, mean and interval.
///
/// # Errors
/// As for [`alignment`].
pub fn alignment_rows(project: &Project, dataset: &str, models: &[String], device: &Device) -> Result<Vec<ResultRow>> {
    let (encodings, cells) = pairs(project, dataset, models, device)?;
    // Both models of a pair: one that is recomputed is enough to load the other.
    let suite = project.suite()?;
    let is_recomputed = |model: &str| suite.recomputed.iter().any(|recomputed| recomputed == model);
    let sample = |cell: &Cell| is_recomputed(&cell.model) && suite.seeds.first() == Some(&cell.seed);
    let mut ledger = Ledger::open(project, TABLE, &METRICS, sample)?;
    for model in models {
        ledger.read(dataset, model)?;
    }
    let missing: Vec<&(usize, usize, Cell)> = cells
        .iter()
        .filter(|(_, j, cell)| ledger.is_missing(cell) || ledger.is_sample(cell) && is_recomputed(&models[*j]))
        .collect();
    let mut grams: BTreeMap<usize, Vec<Gram>> = BTreeMap::new();
    for at in missing.iter().flat_map(|(i, j, _)| [*i, *j]).collect::<BTreeSet<_>>() {
        grams.insert(at, sampled(&encodings[at].encode(project, None)?)?);
    }
    let mut done: BTreeMap<usize, Vec<(Cell, Outcome)>> = BTreeMap::new();
    for (i, j, cell) in missing {
        let (a, b) = (&grams[i], &grams[j]);
        let values = a.iter().zip(b).map(|(a, b)| a.cka(b)).collect::<Result<Vec<f64>>>()?;
        let interval = mean_t_interval(&values, 0.95)?;
        let n_test = a.first().map_or(0, Gram::n_images) as u32;
        let score = |metric: &str, value: Option<f64>| Score {
            split: "all".into(),
            metric: metric.into(),
            value,
            n_train: 0,
            n_test,
            warning: String::new(),
            weights: String::new(),
        };
        let [mean, low, high] = METRICS;
        let scores = vec![score(mean, Some(interval.mean)), score(low, interval.low), score(high, interval.high)];
        done.entry(*i).or_default().push((cell.clone(), Outcome { scores, ..Outcome::default() }));
    }
    for (i, done) in done {
        ledger.add(dataset, &models[i], done)?;
    }
    let all: Vec<Cell> = cells.iter().map(|(_, _, cell)| cell.clone()).collect();
    ledger.close_as(&format!("{TABLE}_{dataset}"), &all)
}

/// The cells of the same, for those who ask what counts.
///
/// # Errors
/// As for [`Encoding::of`].
pub(in crate::experiments) fn alignment_cells(
    project: &Project,
    dataset: &str,
    models: &[String],
    device: &Device,
) -> Result<Vec<Cell>> {
    Ok(pairs(project, dataset, models, device)?.1.into_iter().map(|(_, _, cell)| cell).collect())
}

/// A cell for each pair of models, by their places.
type Pairs = Vec<(usize, usize, Cell)>;

fn pairs(project: &Project, dataset: &str, models: &[String], device: &Device) -> Result<(Vec<Encoding>, Pairs)> {
    let set = project.images(dataset)?;
    let encode = |model: &String| Encoding::of(project, &set, model, device);
    let encodings = models.iter().map(encode).collect::<Result<Vec<_>>>()?;
    let mut cells = Pairs::new();
    for (i, a) in encodings.iter().enumerate() {
        for (j, b) in encodings.iter().enumerate().skip(i) {
            let settings = format!(
                "linear CKA with {} of {}, {SAMPLES} samples of at most {IMAGES}",
                b.model.features.default,
                b.features_key().digest()
            );
            let cell = a.cell(&Work {
                table: TABLE,
                method: (&format!("{WITH}{}", b.model.id), &settings),
                pooling: &a.model.features.default,
                protocol: "unsplit",
                budget: None,
                seed: 0,
                code: CODE_VERSION,
            });
            cells.push((i, j, cell));
        }
    }
    Ok((encodings, cells))
}

/// Gram matrices of the samples.
fn sampled(encoded: &Encoded) -> Result<Vec<Gram>> {
    let features = encoded.chosen()?;
    let mut positions: Vec<usize> = (0..features.nrows()).collect();
    Random::new("samples to align on", 0, 0).shuffle(&mut positions);
    let n_images = (positions.len() / SAMPLES).min(IMAGES);
    if n_images < 4 {
        return Err(Error::argument("data set", "20 images or more", positions.len().to_string()));
    }
    let samples = positions.chunks_exact(n_images).take(SAMPLES);
    samples.map(|some| Gram::new(features.select(Axis(0), some).view())).collect()
}
