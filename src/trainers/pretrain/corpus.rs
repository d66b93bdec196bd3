//! The images and captions that the pocket models learn from, held in memory, and the order in which a run draws them.
//!
//! The corpus is rebuilt, not shipped: `data_manifests/corpus/` lists what it is made of. Rows are parted once and for
//! all into those that are trained on and a few held out, on which the progress of a run is measured, so that the data
//! sets of the experiments stay unseen until the experiments.

use crate::datasets::{self, ImageSet};
use crate::error::{Error, Result};
use crate::manifest::Columns;
use crate::random::Random;
use crate::storage;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::path::Path;

/// The class of images whose names have no word in common with enough others: no class to learn.
pub const OTHER: &str = "(other)";
/// Images held out to measure progress on.
pub const HELD_OUT: usize = 3072;
/// Height and width of every image, in pixels.
pub const SIDE: usize = 64;

/// Images with their captions and classes.
pub struct Corpus {
    /// N x [`SIDE`] x [`SIDE`] x 3 bytes, RGB.
    pixels: Vec<u8>,
    /// A class for each image.
    pub labels: Vec<u32>,
    /// Names of the classes: head words of icon names.
    pub classes: Vec<String>,
    /// What each image shows, in words.
    pub captions: Vec<String>,
    digest: String,
    content: String,
    train: Vec<usize>,
    held_out: Vec<usize>,
}

impl Corpus {
    /// Reads the Parquet file that the builder made and decodes all its images.
    ///
    /// # Errors
    /// A file that is missing or lacks a column; an image that cannot be decoded or is not [`SIDE`] pixels wide and high.
    pub fn open(path: &Path) -> Result<Corpus> {
        let columns = Columns { name: Some("caption".into()), ..Columns::new("image", "label") };
        let set = datasets::open_parquet("pretraining corpus", path, &columns)?;
        let captions = set.names.clone().unwrap_or_default();
        let pixels = decode(&set)?;
        Corpus::new(pixels, set.labels, set.classes, captions)
    }

    /// From pixels (N x [`SIDE`] x [`SIDE`] x 3) and one label and caption an image.
    ///
    /// # Errors
    /// [`Error::Argument`] if the lengths do not fit, or there are fewer than two images.
    pub fn new(pixels: Vec<u8>, labels: Vec<u32>, classes: Vec<String>, captions: Vec<String>) -> Result<Corpus> {
        let n = labels.len();
        if n < 2 || pixels.len() != n * IMAGE || captions.len() != n {
            let found = format!("{} bytes, {n} labels, {} captions", pixels.len(), captions.len());
            return Err(Error::argument("corpus", "two images or more, each with pixels, label and caption", found));
        }
        if let Some(label) = labels.iter().find(|&&label| label as usize >= classes.len()) {
            return Err(Error::argument("corpus", format!("labels below {}", classes.len()), label.to_string()));
        }
        let mut rows: Vec<usize> = (0..n).collect();
        Random::new("held out of pretraining", 0, 0).shuffle(&mut rows);
        let mut held_out = rows.split_off(n - HELD_OUT.min(n / 4));
        rows.sort_unstable();
        held_out.sort_unstable();
        let digest = digest(&pixels, &captions);
        let content = content(&digest, &labels, &classes);
        Ok(Corpus { pixels, labels, classes, captions, digest, content, train: rows, held_out })
    }

    /// Number of images, held out ones included.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The class that stands for none, where the corpus has such images.
    pub fn other(&self) -> Option<u32> {
        self.classes.iter().position(|class| class == OTHER).map(|class| class as u32)
    }

    /// Never: a corpus has two images at least.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// SHA-256 over the pixels and the caption of each image in turn, a zero behind each: what the builder records, and
    /// the same however the file is compressed.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// SHA-256 of all that a run can read: [`Corpus::digest`], labels and classes.
    pub fn content(&self) -> &str {
        &self.content
    }

    /// The bytes of an image, row by row, RGB.
    pub fn image(&self, row: usize) -> &[u8] {
        &self.pixels[row * IMAGE..][..IMAGE]
    }

    /// Rows that are trained on.
    pub fn train(&self) -> &[usize] {
        &self.train
    }

    /// Rows that progress is measured on.
    pub fn held_out(&self) -> &[usize] {
        &self.held_out
    }

    /// The rows that a run of `seed` draws as its `range`: every epoch all training rows in an order of its own. Runs with
    /// the same seed see the same images in the same order, whatever their objective and batch.
    pub fn drawn(&self, seed: u64, range: std::ops::Range<u64>) -> Vec<usize> {
        let n = self.train.len() as u64;
        let mut order: (u64, Vec<usize>) = (u64::MAX, Vec::new());
        let mut place = |at: u64| {
            let epoch = at / n;
            if order.0 != epoch {
                order = (epoch, self.train.clone());
                Random::new("order of the corpus", seed, epoch).shuffle(&mut order.1);
            }
            order.1[(at % n) as usize]
        };
        range.map(&mut place).collect()
    }
}

/// Bytes of an image.
const IMAGE: usize = SIDE * SIDE * 3;

fn digest(pixels: &[u8], captions: &[String]) -> String {
    let mut sha = Sha256::new();
    for (pixels, caption) in pixels.chunks_exact(IMAGE).zip(captions) {
        sha.update(pixels);
        sha.update(caption);
        sha.update([0]);
    }
    storage::hex(&sha.finalize())
}

fn content(digest: &str, labels: &[u32], classes: &[String]) -> String {
    let mut sha = Sha256::new();
    sha.update(digest);
    labels.iter().for_each(|label| sha.update(label.to_le_bytes()));
    for class in classes {
        sha.update(class);
        sha.update([0]);
    }
    storage::hex(&sha.finalize())
}

fn decode(set: &ImageSet) -> Result<Vec<u8>> {
    const AT_ONCE: usize = 4096;
    let mut pixels = Vec::with_capacity(set.len() * IMAGE);
    for start in (0..set.len()).step_by(AT_ONCE) {
        let rows = start..(start + AT_ONCE).min(set.len());
        let encoded = set.read(rows.clone())?;
        let decoded: Vec<Vec<u8>> = encoded
            .into_par_iter()
            .zip(rows)
            .map(|(bytes, row)| {
                let image = set.decode_alone(row, &bytes?)?;
                let (width, height) = image.dimensions();
                if (width as usize, height as usize) != (SIDE, SIDE) {
                    return Err(Error::Image {
                        name: set.ids[row].clone(),
                        expected: format!("{SIDE} x {SIDE} pixels"),
                        found: format!("{width} x {height}"),
                    });
                }
                Ok(image.into_raw())
            })
            .collect::<Result<_>>()?;
        decoded.iter().for_each(|image| pixels.extend_from_slice(image));
    }
    Ok(pixels)
}
