//! Folds that keep groups together, every class spread over them as evenly as that allows.

use super::check_labels;
use crate::error::{Error, Result};
use crate::random::Random;
use std::collections::BTreeMap;

/// The fold, from 0, of each image. Images of one group are in one fold. Groups are dealt one by one, the largest first
/// and equals in random order, each to the fold that has least of its classes so far, as a share of each class; then to
/// the smallest, then to the first. Unlike in the study's splits a group may have several labels: some may be wrong.
///
/// # Errors
/// No image, a label of `n_classes` or above, as many groups as images not given, fewer than 2 folds, or fewer groups
/// than folds.
///
/// ```
/// use wider_clip::soundness::group_folds;
///
/// // Four groups of two images each.
/// let folds = group_folds(&[0, 0, 0, 0, 1, 1, 1, 1], &[7, 7, 8, 8, 9, 9, 5, 5], 2, 2, 0)?;
/// assert_eq!((folds[0], folds[4]), (folds[1], folds[5]));
/// assert!(folds[0] != folds[2] && folds[4] != folds[6]);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn group_folds<G: Ord>(
    labels: &[u32],
    groups: &[G],
    n_classes: usize,
    n_folds: usize,
    seed: u64,
) -> Result<Vec<usize>> {
    if labels.is_empty() {
        return Err(Error::argument("labels", "at least one image", "none"));
    }
    check_labels(labels, n_classes)?;
    if groups.len() != labels.len() {
        let expected = format!("{}, one an image", labels.len());
        return Err(Error::argument("groups", expected, groups.len().to_string()));
    }
    let mut members: BTreeMap<&G, Vec<usize>> = BTreeMap::new();
    for (image, group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(image);
    }
    if n_folds < 2 || members.len() < n_folds {
        let expected = format!("2 or more, and at most the {} groups", members.len());
        return Err(Error::argument("folds", expected, n_folds.to_string()));
    }
    let mut members: Vec<Vec<usize>> = members.into_values().collect();
    Random::new("group folds", seed, 0).shuffle(&mut members);
    members.sort_by_key(|images| std::cmp::Reverse(images.len()));
    let mut totals = vec![0f64; n_classes];
    labels.iter().for_each(|&label| totals[label as usize] += 1.0);
    let mut counts = vec![vec![0f64; n_classes]; n_folds];
    let mut sizes = vec![0usize; n_folds];
    let mut folds = vec![0; labels.len()];
    for images in members {
        // What the sum of squares of the shares grows by, but for what is the same in every fold.
        let grows = |fold: usize| -> f64 {
            let of = |&image: &usize| labels[image] as usize;
            images.iter().map(of).map(|class| counts[fold][class] / (totals[class] * totals[class])).sum()
        };
        let costs: Vec<f64> = (0..n_folds).map(grows).collect();
        let before = |a: usize, b: usize| costs[a].total_cmp(&costs[b]).then(sizes[a].cmp(&sizes[b])).is_lt();
        let fold = (1..n_folds).fold(0, |best, fold| if before(fold, best) { fold } else { best });
        for &image in &images {
            folds[image] = fold;
            counts[fold][labels[image] as usize] += 1.0;
        }
        sizes[fold] += images.len();
    }
    Ok(folds)
}
