//! Confident learning: which labels look wrong to a probe that has not seen them.
//!
//! Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR 70): an image
//! counts for class j where its probability of j reaches the mean that images labelled j have; labels against these
//! counts are the confident joint, whose entries off the diagonal say how many labels of each class are wrong, and
//! towards which. So many are flagged, by the margin. Sets and orders are those of cleanlab 2.7.1's `find_label_issues`
//! with its defaults (`prune_by_noise_rate`), written from the paper and from what it gives;
//! tests/reference/soundness.py holds them to it. Where values tie, cleanlab leaves the order to numpy's sort; here the
//! lower row is first.

use super::{check_opinions, largest_place};
use crate::error::Result;
use ndarray::{Array2, ArrayView1, ArrayView2};

/// What numbers of cleanlab may differ by and still count as equal.
const SLACK: f64 = 1e-6;

/// How many labels of each class are of which class.
#[derive(Debug, Clone, PartialEq)]
pub struct Confident {
    /// For each class the mean probability of it among images labelled so; none without images.
    pub thresholds: Vec<Option<f64>>,
    /// `(K, K)`: images by label (row) and class (column), scaled so that a row sums to the images that have its label.
    pub joint: Array2<usize>,
}

/// The confident joint of out-of-fold probabilities `(N, K)` and `N` labels.
///
/// # Errors
/// Probabilities that are empty or not from 0 to 1, labels that are not below K or not one a row.
pub fn confident_joint(probabilities: ArrayView2<f64>, labels: &[u32]) -> Result<Confident> {
    check_opinions("probabilities", probabilities, labels)?;
    let n_classes = probabilities.ncols();
    let mut sums = vec![(0f64, 0usize); n_classes];
    for (row, &label) in probabilities.rows().into_iter().zip(labels) {
        sums[label as usize].0 += row[label as usize];
        sums[label as usize].1 += 1;
    }
    let mean = |&(sum, count): &(f64, usize)| (count > 0).then(|| sum / count as f64);
    let thresholds: Vec<Option<f64>> = sums.iter().map(mean).collect();
    let mut counts = Array2::<f64>::zeros((n_classes, n_classes));
    for (row, &label) in probabilities.rows().into_iter().zip(labels) {
        if let Some(class) = confident_class(row, &thresholds) {
            counts[[label as usize, class]] += 1.0;
        }
    }
    // In each class one image at least is what its label says.
    counts.diag_mut().mapv_inplace(|count| count.max(1.0));
    for (mut row, &(_, count)) in counts.rows_mut().into_iter().zip(&sums) {
        let sum = row.sum();
        row.mapv_inplace(|value| value / sum * count as f64);
    }
    let scale = labels.len() as f64 / counts.sum();
    let mut joint = Array2::zeros((n_classes, n_classes));
    for (mut row, scaled) in joint.rows_mut().into_iter().zip(counts.rows()) {
        let scaled: Vec<f64> = scaled.iter().map(|value| value * scale).collect();
        row.iter_mut().zip(whole(&scaled)).for_each(|(entry, value)| *entry = value);
    }
    Ok(Confident { thresholds, joint })
}

/// The class that a row counts for: the one whose threshold it reaches, the likeliest of all where these are several.
fn confident_class(row: ArrayView1<f64>, thresholds: &[Option<f64>]) -> Option<usize> {
    let reaches = |k: &usize| thresholds[*k].is_some_and(|threshold| row[*k] >= threshold.max(2.0 * SLACK) - SLACK);
    let mut reached = (0..row.len()).filter(reaches);
    let first = reached.next()?;
    Some(if reached.next().is_some() { largest_place(row) } else { first })
}

/// Whole numbers near `values` with the same sum, rounded: those are moved by one that rounding moved farthest.
fn whole(values: &[f64]) -> Vec<usize> {
    let mut rounded: Vec<f64> = values.iter().map(|value| value.round_ties_even()).collect();
    let wanted = values.iter().sum::<f64>().round_ties_even();
    loop {
        let lacking = wanted - rounded.iter().sum::<f64>();
        if lacking == 0.0 {
            break;
        }
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| (values[a] - rounded[a]).total_cmp(&(values[b] - rounded[b])));
        if lacking > 0.0 {
            order.reverse();
        }
        order.into_iter().take(lacking.abs() as usize).for_each(|place| rounded[place] += lacking.signum());
    }
    rounded.into_iter().map(|value| value.max(0.0) as usize).collect()
}

/// Rows whose label looks wrong, the least likely label first, as
/// `cleanlab.filter.find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence")` gives them.
///
/// Of each label as many images as [`confident_joint`] counts towards another class are flagged, those with the largest
/// margin of that class over the label; but none whose label is the likeliest class, and none of a class with one
/// image.
///
/// # Errors
/// As [`confident_joint`].
///
/// ```
/// use ndarray::array;
/// use wider_clip::soundness::label_issues;
///
/// let probabilities = array![[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7]];
/// assert_eq!(label_issues(probabilities.view(), &[0, 0, 0, 1, 1, 1])?, [2]);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn label_issues(probabilities: ArrayView2<f64>, labels: &[u32]) -> Result<Vec<usize>> {
    let joint = confident_joint(probabilities, labels)?.joint;
    let mut flagged = vec![false; labels.len()];
    for label in 0..probabilities.ncols() {
        let images: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] as usize == label).collect();
        if images.len() < 2 {
            continue;
        }
        for (class, n) in wrong_counts(joint.row(label), label).into_iter().enumerate().filter(|(_, n)| *n > 0) {
            let margin = |row: usize| probabilities[[row, class]] - probabilities[[row, label]];
            let mut order = images.clone();
            order.sort_by(|&a, &b| margin(b).total_cmp(&margin(a)));
            order.iter().take(n).for_each(|&row| flagged[row] = true);
        }
    }
    let unlike = |row: usize| {
        let mut row_of = probabilities.row(row).to_owned();
        row_of[labels[row] as usize] += SLACK;
        largest_place(row_of.view()) != labels[row] as usize
    };
    let mut issues: Vec<usize> = (0..labels.len()).filter(|&row| flagged[row] && unlike(row)).collect();
    let confidence = |row: usize| probabilities[[row, labels[row] as usize]];
    issues.sort_by(|&a, &b| confidence(a).total_cmp(&confidence(b)));
    Ok(issues)
}

/// How many images of a label are to be flagged towards each class: the joint's row with at least one image left on the
/// diagonal; what that one adds is taken off the others in equal parts.
fn wrong_counts(row: ArrayView1<usize>, label: usize) -> Vec<usize> {
    let added = 1usize.saturating_sub(row[label]) as f64;
    let others = row.iter().filter(|count| **count > 0).count().saturating_sub(1).max(1) as f64;
    let less = |(class, &count): (usize, &usize)| match class == label {
        true => 0,
        false => (count as f64 - added / others).max(0.0) as usize,
    };
    row.iter().enumerate().map(less).collect()
}
