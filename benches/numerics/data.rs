//! Features like those of images, made from a seed, and the files that the twin reads.

use std::path::{Path, PathBuf};
use wider_clip::prelude::*;
use wider_clip::random::Random;

/// Directions in which features really differ.
const RANK: usize = 60;

/// `n` rows of `d` features of `k` classes: class centres and noise in a space of [`RANK`] dimensions whose scales decay,
/// mixed into d columns, and a little noise in each of these.
pub fn features(n: usize, d: usize, k: usize, seed: u64) -> (Array2<f32>, Vec<u32>) {
    let mut shared = Random::new("bench mixing", 0, (d * 1000 + k) as u64);
    let mixing = Array2::from_shape_fn((RANK, d), |_| normal(&mut shared) / (RANK as f32).sqrt());
    let centres = Array2::from_shape_fn((k, RANK), |_| 0.9 * normal(&mut shared));
    let mut random = Random::new("bench features", seed, 0);
    let mut labels: Vec<u32> = (0..n).map(|i| (i % k) as u32).collect();
    random.shuffle(&mut labels);
    let inner = Array2::from_shape_fn((n, RANK), |(i, j)| {
        let scale = 0.5 + 1.5 * (RANK - 1 - j) as f32 / RANK as f32;
        centres[[labels[i] as usize, j]] + scale * normal(&mut random)
    });
    let mut rows = inner.dot(&mixing);
    rows.iter_mut().for_each(|value| *value += 0.3 * normal(&mut random));
    (rows, labels)
}

fn normal(random: &mut Random) -> f32 {
    let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * random.unit()).cos()) as f32
}

/// Writes `name.npy` with the given type and shape.
fn npy(path: &Path, kind: &str, shape: &str, values: Vec<u8>) {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    std::fs::write(path, bytes).unwrap();
}

/// A data set in memory and on disk.
pub struct Data {
    pub rows: Array2<f32>,
    pub labels: Vec<u32>,
    /// Its features and its labels as files.
    pub files: [PathBuf; 2],
}

impl Data {
    pub fn new(folder: &Path, name: &str, n: usize, d: usize, k: usize, seed: u64) -> Data {
        let (rows, labels) = features(n, d, k, seed);
        let files = ["x", "y"].map(|part| folder.join(format!("{name}_{part}.npy")));
        npy(&files[0], "<f4", &format!("{n}, {d}"), rows.iter().flat_map(|value| value.to_le_bytes()).collect());
        npy(&files[1], "<u4", &format!("{n},"), labels.iter().flat_map(|label| label.to_le_bytes()).collect());
        Data { rows, labels, files }
    }

    pub fn labelled(&self) -> Labelled {
        labelled(self.rows.clone(), self.labels.clone()).unwrap()
    }
}
