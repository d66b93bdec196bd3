//! The study's split, and draws of a given number a class.

use super::{ClassDraw, Split, StudyCounts, by_class, smallest_class, study_counts};
use crate::error::{Error, Result};
use crate::random::Random;

/// What happens where a class has fewer images than are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// The smallest class sets the draw of all classes, as in the study's general sets; a draw of a fixed number
    /// from a class with fewer is an error.
    Fail,
    /// Each class gives what it has, up to what the budget alone asks for. Classes may then differ, or be empty; the
    /// report says so. This is the simplest reading of the study's drift sets.
    Cap,
}

/// The study's split of a pool: `train` and `val` images of each class as [`study_counts`] says, the rest is test.
///
/// A class's images are shuffled; train is taken from the front, val from the back. With [`Shortage::Cap`] train is
/// served before val, and val before test: a class with fewer images than the training count gives nothing to the
/// others.
///
/// # Errors
/// [`Error::Argument`] for no images, a label of `n_classes` or more, a budget that leaves no training image, and with
/// [`Shortage::Fail`] a class without images.
///
/// ```
/// use wider_clip::splits::{Shortage, study_split};
///
/// let labels = [vec![0; 20], vec![1; 25]].concat();
/// let split = study_split(&labels, 2, 10, 0, Shortage::Fail)?;
/// assert_eq!((split.train.len(), split.val.len(), split.test.len()), (14, 4, 27));
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn study_split(labels: &[u32], n_classes: usize, budget: usize, seed: u64, shortage: Shortage) -> Result<Split> {
    let classes = by_class(labels, n_classes)?;
    let counts = match shortage {
        Shortage::Fail => study_counts(budget, smallest_class(&classes)?)?,
        // So large a class that only the budget counts.
        Shortage::Cap => study_counts(budget, budget.saturating_mul(2))?,
    };
    let mut split = Split { train: vec![], val: vec![], test: vec![], unused: vec![], report: vec![] };
    for (class, mut images) in classes.into_iter().enumerate() {
        Random::new("study split", seed, class as u64).shuffle(&mut images);
        let draw = class_draw(class as u32, counts, images.len());
        let (train, rest) = images.split_at(draw.train);
        let (test, val) = rest.split_at(draw.test);
        split.train.extend(train);
        split.val.extend(val);
        split.test.extend(test);
        split.report.push(draw);
    }
    Ok(split.sorted())
}

/// What a class with so many images gives, each image being its own group.
fn class_draw(class: u32, counts: StudyCounts, n_images: usize) -> ClassDraw {
    let train = counts.train.min(n_images);
    let val = counts.val.min(n_images - train);
    let test = n_images - train - val;
    ClassDraw {
        class,
        wanted_train: counts.train,
        train,
        train_groups: train,
        wanted_val: counts.val,
        val,
        val_groups: val,
        test,
        test_groups: test,
    }
}

/// `per_class` images of every class, as ascending indices; nested, so that a smaller number's are a larger one's too.
///
/// The drift sets of the study draw train from one official split and val from another: one call each, with the
/// counts of [`study_counts`] and [`Shortage::Cap`].
///
/// # Errors
/// [`Error::Argument`] for no images, a label of `n_classes` or more, and with [`Shortage::Fail`] a class with fewer
/// images.
pub fn draw_per_class(
    labels: &[u32],
    n_classes: usize,
    per_class: usize,
    seed: u64,
    shortage: Shortage,
) -> Result<Vec<usize>> {
    let mut drawn = Vec::new();
    for (class, mut images) in by_class(labels, n_classes)?.into_iter().enumerate() {
        if shortage == Shortage::Fail && images.len() < per_class {
            let found = format!("{} in class {class}", images.len());
            return Err(Error::argument("images a class", format!("at least {per_class}"), found));
        }
        Random::new("draw per class", seed, class as u64).shuffle(&mut images);
        drawn.extend(images.into_iter().take(per_class));
    }
    drawn.sort_unstable();
    Ok(drawn)
}

/// A pool with the same number of images in every class (ISIC 2020: 575 melanomas and 575 of the rest), to be split
/// afterwards. Ascending indices.
///
/// # Errors
/// As [`draw_per_class`] with [`Shortage::Fail`].
///
/// ```
/// use wider_clip::splits::balanced_subset;
///
/// let labels = [vec![0; 90], vec![1; 10]].concat();
/// let pool = balanced_subset(&labels, 2, 8, 0)?;
/// assert_eq!(pool.iter().filter(|&&image| labels[image] == 1).count(), 8);
/// assert_eq!(pool.len(), 16);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn balanced_subset(labels: &[u32], n_classes: usize, per_class: usize, seed: u64) -> Result<Vec<usize>> {
    draw_per_class(labels, n_classes, per_class, seed, Shortage::Fail)
}

/// At most `max_images` images with the classes in proportion: each gets the whole part of its share, and the images
/// that are then missing go to the largest remainders, lower classes first. Ascending indices; all images where there
/// are no more than `max_images`.
///
/// A class whose share is below one image may get none; a suite should allow enough images for its budgets.
///
/// # Errors
/// [`Error::Argument`] for no images or a label of `n_classes` or more.
///
/// ```
/// use wider_clip::splits::stratified_subset;
///
/// let labels = [vec![0; 60], vec![1; 30], vec![2; 10]].concat();
/// let subset = stratified_subset(&labels, 3, 50, 0)?;
/// let count = |class| subset.iter().filter(|&&image| labels[image] == class).count();
/// assert_eq!((count(0), count(1), count(2)), (30, 15, 5));
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn stratified_subset(labels: &[u32], n_classes: usize, max_images: usize, seed: u64) -> Result<Vec<usize>> {
    let classes = by_class(labels, n_classes)?;
    if labels.len() <= max_images {
        return Ok((0..labels.len()).collect());
    }
    // A share is count * max / total: its whole part and the remainder over `total`, in integers.
    let total = labels.len() as u128;
    let share = |images: &Vec<usize>| images.len() as u128 * max_images as u128;
    let mut counts: Vec<usize> = classes.iter().map(|images| (share(images) / total) as usize).collect();
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by_key(|&class| (std::cmp::Reverse(share(&classes[class]) % total), class));
    let missing = max_images - counts.iter().sum::<usize>();
    for &class in order.iter().take(missing) {
        counts[class] += 1;
    }
    let mut subset = Vec::with_capacity(max_images);
    for (class, mut images) in classes.into_iter().enumerate() {
        Random::new("stratified subset", seed, class as u64).shuffle(&mut images);
        subset.extend(images.into_iter().take(counts[class]));
    }
    subset.sort_unstable();
    Ok(subset)
}
