//! A split that keeps nearly equal images together.
//!
//! Two drawings of one emoji, or two frames of one camera trap, are nearly the same picture. If one is trained on and
//! the other tested on, a nearest-neighbour search finds the twin and the score says little about the class. Here
//! groups are dealt to train, val and test first, and images are drawn inside those.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::{ClassDraw, Split, StudyCounts, by_class, smallest_class, study_counts};
use crate::error::{Error, Result};
use crate::random::Random;

/// The percentage of a class's groups that goes to val and to test; train has the rest, 60.
const VAL_PERCENT: usize = 15;
const TEST_PERCENT: usize = 25;

/// The study's counts, with every group (one key an image) on one side of the split.
///
/// 1. Deal: a class's groups are shuffled and dealt to train, val and test, about 60, 15 and 25 in a hundred, at least
///    one each. The deal depends on the seed and not on the budget, so that all budgets of a seed are tested on the
///    same images.
/// 2. Draw: train takes one image of each of its groups, then a second of each, until it has the count that
///    [`study_counts`] asks for or nothing is left; val likewise. Test takes every image of its groups.
///
/// Images of train and val groups that were not drawn are [`Split::unused`]. What a class could not give, and how
/// many groups it has in each part, is in [`Split::report`].
///
/// # Errors
/// [`Error::Argument`] for no images, as many groups as images not given, a label of `n_classes` or more, a class
/// without images, a class with fewer than three groups, a group with two labels (it is named), and a budget that
/// leaves no training image.
///
/// ```
/// use wider_clip::splits::grouped_split;
///
/// // Two classes of four things, each seen from five sides.
/// let labels: Vec<u32> = (0..40).map(|image| image / 20).collect();
/// let groups: Vec<u32> = (0..40).map(|image| image / 5).collect();
/// let split = grouped_split(&labels, &groups, 2, 10, 0)?;
/// assert_eq!(split.leaked(&groups)?, 0);
/// // Two of a class's things are trained on, one image each before a second; one is tested on, with all its images.
/// assert_eq!((split.report[0].train, split.report[0].train_groups), (7, 2));
/// assert_eq!((split.report[0].test, split.report[0].test_groups), (5, 1));
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
pub fn grouped_split<G: Ord + Display>(
    labels: &[u32],
    groups: &[G],
    n_classes: usize,
    budget: usize,
    seed: u64,
) -> Result<Split> {
    let classes = by_class(labels, n_classes)?;
    check_groups(labels, groups)?;
    let counts = study_counts(budget, smallest_class(&classes)?)?;
    let mut split = Split { train: vec![], val: vec![], test: vec![], unused: vec![], report: vec![] };
    for (class, images) in classes.iter().enumerate() {
        let dealt = deal(class, images, groups, seed)?;
        split.add_class(class as u32, dealt, counts);
    }
    Ok(split.sorted())
}

/// One key an image, and one label a key.
fn check_groups<G: Ord + Display>(labels: &[u32], groups: &[G]) -> Result<()> {
    if groups.len() != labels.len() {
        let expected = format!("{}, one an image", labels.len());
        return Err(Error::argument("groups", expected, groups.len().to_string()));
    }
    let mut label_of: BTreeMap<&G, u32> = BTreeMap::new();
    for (group, &label) in groups.iter().zip(labels) {
        let first = *label_of.entry(group).or_insert(label);
        if first != label {
            let found = format!("labels {first} and {label} in group `{group}`");
            return Err(Error::argument("groups", "images of one label in a group", found));
        }
    }
    Ok(())
}

/// A class's groups after the deal: each a list of images in the order in which they are drawn.
struct Dealt {
    train: Vec<Vec<usize>>,
    val: Vec<Vec<usize>>,
    test: Vec<Vec<usize>>,
}

/// Shuffles a class's groups and the images inside each, and deals the groups to the three parts.
fn deal<G: Ord>(class: usize, images: &[usize], groups: &[G], seed: u64) -> Result<Dealt> {
    let mut members: BTreeMap<&G, Vec<usize>> = BTreeMap::new();
    for &image in images {
        members.entry(&groups[image]).or_default().push(image);
    }
    let mut train: Vec<Vec<usize>> = members.into_values().collect();
    let n_groups = train.len();
    if n_groups < 3 {
        let found = format!("{n_groups} in class {class}");
        return Err(Error::argument("groups a class", "at least 3, for train, val and test", found));
    }
    let mut random = Random::new("grouped split", seed, class as u64);
    random.shuffle(&mut train);
    for group in &mut train {
        random.shuffle(group);
    }
    let percent = |part: usize| ((n_groups * part + 50) / 100).max(1);
    let test = train.split_off(n_groups - percent(TEST_PERCENT));
    let val = train.split_off(train.len() - percent(VAL_PERCENT));
    Ok(Dealt { train, val, test })
}

/// Every image of some groups, ordered so that each group gives one before any gives a second.
fn in_rounds(groups: &[Vec<usize>]) -> Vec<usize> {
    let n_rounds = groups.iter().map(Vec::len).max().unwrap_or(0);
    (0..n_rounds).flat_map(|round| groups.iter().filter_map(move |group| group.get(round).copied())).collect()
}

impl Split {
    /// Draws one class's images from its dealt groups.
    fn add_class(&mut self, class: u32, dealt: Dealt, counts: StudyCounts) {
        let (train, val, test) = (in_rounds(&dealt.train), in_rounds(&dealt.val), in_rounds(&dealt.test));
        let (n_train, n_val) = (counts.train.min(train.len()), counts.val.min(val.len()));
        self.report.push(ClassDraw {
            class,
            wanted_train: counts.train,
            train: n_train,
            train_groups: n_train.min(dealt.train.len()),
            wanted_val: counts.val,
            val: n_val,
            val_groups: n_val.min(dealt.val.len()),
            test: test.len(),
            test_groups: dealt.test.len(),
        });
        self.train.extend(&train[..n_train]);
        self.unused.extend(&train[n_train..]);
        self.val.extend(&val[..n_val]);
        self.unused.extend(&val[n_val..]);
        self.test.extend(test);
    }
}

/// A split with each class's train, val and test counts of `grouped`, drawn at random over images without regard to
/// groups: what leaks is the difference between the two scores, all sizes being equal.
///
/// One thing differs besides: the grouped draw prefers distinct groups, this one does not, so its training images
/// show fewer distinct things (the report counts them). That works against it; what leakage is worth is, if anything,
/// underestimated. Val and test are nested in no way with those of other budgets.
///
/// # Errors
/// [`Error::Argument`] where `labels` and `groups` are not those that `grouped` was made from.
pub fn leaky_split<G: Ord + Display>(labels: &[u32], groups: &[G], grouped: &Split, seed: u64) -> Result<Split> {
    let classes = by_class(labels, grouped.report.len())?;
    check_groups(labels, groups)?;
    let mut split = Split { train: vec![], val: vec![], test: vec![], unused: vec![], report: vec![] };
    for (mut images, draw) in classes.into_iter().zip(&grouped.report) {
        let wanted = draw.train + draw.val + draw.test;
        if images.len() < wanted {
            let found = format!("{} in class {}", images.len(), draw.class);
            return Err(Error::argument("images a class", format!("at least the grouped split's {wanted}"), found));
        }
        Random::new("leaky split", seed, u64::from(draw.class)).shuffle(&mut images);
        let (train, rest) = images.split_at(draw.train);
        let (val, rest) = rest.split_at(draw.val);
        let (test, unused) = rest.split_at(draw.test);
        let distinct = |part: &[usize]| part.iter().map(|&image| &groups[image]).collect::<BTreeSet<_>>().len();
        split.report.push(ClassDraw {
            train_groups: distinct(train),
            val_groups: distinct(val),
            test_groups: distinct(test),
            ..*draw
        });
        split.train.extend(train);
        split.val.extend(val);
        split.test.extend(test);
        split.unused.extend(unused);
    }
    Ok(split.sorted())
}
