//! Labels to split, and what every split must be.

// Each test file uses a part of it.
#![allow(dead_code)]

use wider_clip::random::Random;
use wider_clip::splits::Split;

/// Labels with `smallest` images in one class and the rest shared out evenly, in a mixed order.
pub fn pool(total: usize, n_classes: usize, smallest: usize) -> Vec<u32> {
    let mut counts = vec![smallest; n_classes];
    for i in 0..total - smallest * n_classes {
        counts[1 + i % (n_classes - 1)] += 1;
    }
    let mut labels: Vec<u32> = counts.iter().enumerate().flat_map(|(class, &n)| vec![class as u32; n]).collect();
    Random::new("test pool", 0, 0).shuffle(&mut labels);
    assert_eq!(labels.len(), total);
    labels
}

/// Every index once, each part ascending.
pub fn assert_complete(split: &Split, n_images: usize) {
    let parts = [&split.train, &split.val, &split.test, &split.unused];
    assert!(parts.iter().all(|part| part.is_sorted()));
    let mut all: Vec<usize> = parts.into_iter().flatten().copied().collect();
    all.sort_unstable();
    assert_eq!(all, (0..n_images).collect::<Vec<_>>());
}

/// Images of each class in a part.
pub fn counts(part: &[usize], labels: &[u32], n_classes: usize) -> Vec<usize> {
    let mut counts = vec![0; n_classes];
    part.iter().for_each(|&image| counts[labels[image] as usize] += 1);
    counts
}
