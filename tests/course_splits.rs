//! Checks of assignment 2: a right answer has all points, a half-right one exactly those of what it does right.

#[path = "support/marks.rs"]
mod marks;

use marks::holds_unwritten;
use std::collections::{BTreeMap, BTreeSet};
use wider_clip::course::splits as check;
use wider_clip::random::Random;

type Parts<const N: usize> = Result<[Vec<usize>; N], String>;

fn counts(budget: usize, smallest: usize) -> Option<(usize, usize)> {
    let n = budget.min(smallest * 4 / 5);
    let up = (3 * n).div_ceil(4);
    (up > 1).then(|| (up - 1, n / 4))
}

#[test]
fn counts_are_marked() {
    assert_eq!(check::counts(counts).points(), 3.0);
    holds_unwritten(check::counts(|_, _| todo!()));
    assert_eq!(check::counts(|_, _| Some((7, 2))).points(), 0.0);
    // The budget is ignored.
    assert_eq!(check::counts(|_, smallest| counts(usize::MAX, smallest)).points(), 1.0);
    // All images of the smallest class may be drawn.
    assert_eq!(check::counts(|budget, smallest| counts(budget.min(smallest), usize::MAX / 8)).points(), 1.0);
    // Rounded down where it should be up.
    let down = |budget: usize, smallest: usize| {
        let n = budget.min(smallest * 4 / 5);
        (3 * n / 4 > 1).then(|| (3 * n / 4 - 1, n / 4))
    };
    assert_eq!(check::counts(down).points(), 0.0);
    // Nothing to train on is not seen.
    assert_eq!(check::counts(|budget, smallest| Some(counts(budget, smallest).unwrap_or((0, 0)))).points(), 2.0);
}

fn explained(rows: &[[usize; 5]]) -> Vec<bool> {
    let explains = |&[budget, total, classes, train, val]: &[usize; 5]| {
        let largest = total.checked_div(classes).unwrap_or(0);
        (1..=largest)
            .any(|smallest| counts(budget, smallest).is_some_and(|(t, v)| (t * classes, v * classes) == (train, val)))
    };
    rows.iter().map(explains).collect()
}

#[test]
fn explanations_are_marked() {
    fn published(_: &[[usize; 5]]) -> Vec<bool> {
        [vec![true; 14], vec![false; 5]].concat()
    }
    fn training_alone(rows: &[[usize; 5]]) -> Vec<bool> {
        let explains = |&[budget, total, classes, train, _]: &[usize; 5]| {
            let largest = total.checked_div(classes).unwrap_or(0);
            (1..=largest).any(|smallest| counts(budget, smallest).is_some_and(|(t, _)| t * classes == train))
        };
        rows.iter().map(explains).collect()
    }
    /// As if all classes were equally large: UCMerced's are not.
    fn equal_classes(rows: &[[usize; 5]]) -> Vec<bool> {
        let explains = |&[budget, total, classes, train, val]: &[usize; 5]| {
            let counts = total.checked_div(classes).and_then(|smallest| counts(budget, smallest));
            counts.is_some_and(|(t, v)| (t * classes, v * classes) == (train, val))
        };
        rows.iter().map(explains).collect()
    }
    fn divides(rows: &[[usize; 5]]) -> Vec<bool> {
        assert!(rows.iter().all(|row| row[2] > 0));
        explained(rows)
    }
    assert_eq!(check::explained(explained).points(), 2.0);
    holds_unwritten(check::explained(|_| todo!()));
    assert_eq!(check::explained(|rows| vec![true; rows.len()]).points(), 0.0);
    assert_eq!(check::explained(published).points(), 1.0);
    assert_eq!(check::explained(training_alone).points(), 1.5);
    assert_eq!(check::explained(divides).points(), 1.5);
    assert_eq!(check::explained(equal_classes).points(), 0.5);
}

fn plain(labels: &[u32], classes: usize, (train, val): (usize, usize), seed: u64) -> Parts<3> {
    if labels.iter().any(|&label| label as usize >= classes) {
        return Err("a label that is no class".into());
    }
    let mut parts = [vec![], vec![], vec![]];
    for class in 0..classes {
        let mut images: Vec<usize> = (0..labels.len()).filter(|&image| labels[image] as usize == class).collect();
        if images.len() < train + val {
            return Err(format!("{} images in class {class}", images.len()));
        }
        Random::new("my split", seed, class as u64).shuffle(&mut images);
        parts[1].extend(images.split_off(images.len() - val));
        parts[2].extend(images.split_off(train));
        parts[0].extend(images);
    }
    parts.iter_mut().for_each(|part| part.sort());
    Ok(parts)
}

/// A split without errors, whose parts are made by `divide` from a class's shuffled images.
fn divided(
    labels: &[u32],
    classes: usize,
    mut shuffle: impl FnMut(usize, &mut [usize]),
    divide: impl Fn(&[usize]) -> [Vec<usize>; 3],
) -> Parts<3> {
    let mut parts = [vec![], vec![], vec![]];
    for class in 0..classes {
        let mut images: Vec<usize> = (0..labels.len()).filter(|&image| labels[image] as usize == class).collect();
        shuffle(class, &mut images);
        parts.iter_mut().zip(divide(&images)).for_each(|(part, own)| part.extend(own));
    }
    parts.iter_mut().for_each(|part| part.sort());
    Ok(parts)
}

#[test]
fn plain_splits_are_marked() {
    fn no_errors(labels: &[u32], classes: usize, (train, val): (usize, usize), seed: u64) -> Parts<3> {
        let shuffle = |class, images: &mut [usize]| Random::new("my split", seed, class as u64).shuffle(images);
        divided(labels, classes, shuffle, |images| {
            let from = images.len() - val;
            [images[..train].to_vec(), images[from..].to_vec(), images[train..from].to_vec()]
        })
    }
    fn always_the_same(labels: &[u32], classes: usize, counts: (usize, usize), _: u64) -> Parts<3> {
        plain(labels, classes, counts, 0)
    }
    fn validation_after_training(labels: &[u32], classes: usize, (train, val): (usize, usize), seed: u64) -> Parts<3> {
        plain(labels, classes, (train, val), seed)?;
        let shuffle = |class, images: &mut [usize]| Random::new("my split", seed, class as u64).shuffle(images);
        divided(labels, classes, shuffle, |images| {
            [images[..train].to_vec(), images[train..train + val].to_vec(), images[train + val..].to_vec()]
        })
    }
    fn one_stream(labels: &[u32], classes: usize, (train, val): (usize, usize), seed: u64) -> Parts<3> {
        plain(labels, classes, (train, val), seed)?;
        let mut random = Random::new("my split", seed, 0);
        divided(
            labels,
            classes,
            |_, images| random.shuffle(images),
            |images| {
                let from = images.len() - val;
                [images[..train].to_vec(), images[from..].to_vec(), images[train..from].to_vec()]
            },
        )
    }
    fn overlapping(labels: &[u32], classes: usize, (train, val): (usize, usize), seed: u64) -> Parts<3> {
        plain(labels, classes, (train, val), seed)?;
        let shuffle = |class, images: &mut [usize]| Random::new("my split", seed, class as u64).shuffle(images);
        divided(labels, classes, shuffle, |images| {
            [images[..train].to_vec(), images[..val].to_vec(), images[train + val..].to_vec()]
        })
    }
    assert_eq!(check::plain_split(plain).points(), 6.0);
    holds_unwritten(check::plain_split(|_, _, _, _| todo!()));
    assert_eq!(check::plain_split(|_, _, _, _| Ok([vec![], vec![], vec![]])).points(), 0.0);
    assert_eq!(check::plain_split(no_errors).points(), 5.0);
    assert_eq!(check::plain_split(always_the_same).points(), 5.0);
    assert_eq!(check::plain_split(validation_after_training).points(), 5.0);
    assert_eq!(check::plain_split(one_stream).points(), 5.0);
    assert_eq!(check::plain_split(overlapping).points(), 5.0);
}

fn grouped(labels: &[u32], groups: &[u32], classes: usize, seed: u64) -> Parts<2> {
    if labels.len() != groups.len() {
        return Err("lists of different lengths".into());
    }
    let mut class_of = BTreeMap::new();
    for (&label, &group) in labels.iter().zip(groups) {
        if label as usize >= classes || *class_of.entry(group).or_insert(label) != label {
            return Err(format!("label {label} in group {group}"));
        }
    }
    for class in 0..classes {
        if class_of.values().filter(|&&label| label as usize == class).count() < 2 {
            return Err(format!("fewer than two groups in class {class}"));
        }
    }
    unchecked(labels, groups, classes, seed)
}

fn unchecked(labels: &[u32], groups: &[u32], classes: usize, seed: u64) -> Parts<2> {
    let mut tested = BTreeSet::new();
    for class in 0..classes {
        let own = labels.iter().zip(groups).filter(|(label, _)| **label as usize == class).map(|(_, &group)| group);
        let mut own: Vec<u32> = own.collect::<BTreeSet<_>>().into_iter().collect();
        Random::new("my groups", seed, class as u64).shuffle(&mut own);
        tested.extend(own.iter().take((own.len() / 4).max(1)).copied());
    }
    let (test, train) = (0..labels.len()).partition(|&image| tested.contains(&groups[image]));
    Ok([train, test])
}

#[test]
fn grouped_splits_are_marked() {
    fn by_images(labels: &[u32], groups: &[u32], classes: usize, seed: u64) -> Parts<2> {
        grouped(labels, groups, classes, seed)?;
        let images: Vec<u32> = (0..labels.len() as u32).collect();
        unchecked(labels, &images, classes, seed)
    }
    fn always_the_same(labels: &[u32], groups: &[u32], classes: usize, _: u64) -> Parts<2> {
        grouped(labels, groups, classes, 0)
    }
    assert_eq!(check::grouped(grouped).points(), 4.0);
    holds_unwritten(check::grouped(|_, _, _, _| todo!()));
    assert_eq!(check::grouped(|_, _, _, _| Ok([vec![], vec![]])).points(), 0.0);
    assert_eq!(check::grouped(unchecked).points(), 3.0);
    assert_eq!(check::grouped(always_the_same).points(), 3.0);
    assert_eq!(check::grouped(by_images).points(), 2.0);
}

fn leaked(train: &[usize], test: &[usize], groups: &[u32]) -> Vec<usize> {
    let known: BTreeSet<u32> = train.iter().map(|&image| groups[image]).collect();
    test.iter().copied().filter(|&image| known.contains(&groups[image])).collect()
}

#[test]
fn leaks_are_marked() {
    fn in_order(train: &[usize], test: &[usize], groups: &[u32]) -> Vec<usize> {
        let mut found = leaked(train, test, groups);
        found.sort();
        found
    }
    assert_eq!(check::leaked(leaked).points(), 3.0);
    holds_unwritten(check::leaked(|_, _, _| todo!()));
    assert_eq!(check::leaked(|_, _, _| vec![]).points(), 0.0);
    assert_eq!(check::leaked(|train, test, groups| leaked(test, train, groups)).points(), 0.0);
    assert_eq!(check::leaked(in_order).points(), 1.0);
}

#[test]
fn tables_are_made_of_any_answer() {
    let table = check::published_table(explained);
    assert_eq!((table.rows.len(), table.rows.iter().filter(|row| row[6].text == "yes").count()), (19, 14));
    assert!(check::published_table(|_| todo!()).rows.iter().all(|row| row[6].text == "not written yet"));
    let table = check::leak_table(plain, grouped, leaked);
    let mates: Vec<usize> = table.rows.iter().map(|row| row[3].text.parse().unwrap()).collect();
    assert!(mates[0] > 0 && mates[1] > mates[0] && mates[2] == 0, "{mates:?}");
    let table = check::leak_table(|_, _, _, _| todo!(), |_, _, _, _| Err("no".into()), |_, _, _| panic!("no"));
    let told: Vec<&str> = table.rows.iter().map(|row| row[1].text.as_str()).collect();
    assert_eq!(told, ["not written yet", "not written yet", "no"]);
}
