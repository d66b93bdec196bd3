//! Which models arrange the same images alike.

use crate::error::{Error, Result};
use crate::experiments::Bench;
use crate::metrics::{Gram, Interval, mean_t_interval};
use crate::project::Project;
use crate::random::Random;
use candle_core::Device;
use ndarray::Axis;

/// Disjoint samples of images, each giving one number a pair.
const SAMPLES: usize = 5;
/// Images of a sample at most.
const IMAGES: usize = 1000;

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

/// Aligns `models` on five disjoint samples of a data set's images, drawn at random, under their default features.
///
/// # Errors
/// A data set of fewer than 20 images; as for [`Bench::open`] and [`Gram::cka`].
pub fn alignment(project: &Project, dataset: &str, models: &[String], device: &Device) -> Result<Alignment> {
    let mut grams: Vec<Vec<Gram>> = Vec::new();
    let mut n_images = 0;
    for model in models {
        let bench = Bench::open(project, dataset, model, device)?;
        let features = bench.chosen()?;
        let mut positions: Vec<usize> = (0..features.nrows()).collect();
        Random::new("samples to align on", 0, 0).shuffle(&mut positions);
        n_images = (positions.len() / SAMPLES).min(IMAGES);
        if n_images < 4 {
            return Err(Error::argument("data set", "20 images or more", positions.len().to_string()));
        }
        let samples = positions.chunks_exact(n_images).take(SAMPLES);
        grams.push(samples.map(|some| Gram::new(features.select(Axis(0), some).view())).collect::<Result<_>>()?);
    }
    let pair = |a: &Vec<Gram>, b: &Vec<Gram>| -> Result<Interval> {
        let values = a.iter().zip(b).map(|(a, b)| a.cka(b)).collect::<Result<Vec<f64>>>()?;
        mean_t_interval(&values, 0.95)
    };
    let pairs = grams.iter().map(|a| grams.iter().map(|b| pair(a, b)).collect::<Result<_>>()).collect::<Result<_>>()?;
    let models = models.to_vec();
    Ok(Alignment { dataset: dataset.into(), models, pairs, n_images })
}
