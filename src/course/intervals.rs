//! Checks of assignment 5, *Intervals*: Wilson's interval, the paired bootstrap, the bootstrap of groups, coverage.
//!
//! Nothing is drawn in an answer: the draws are handed over, so that an answer has one right result.

use super::on_data::{Emoji, attempt, of, table_or};
use super::sheet::{Marks, Said, Sheet, holds, near, same, seed};
use crate::display::Table;
use crate::error::Result as OurResult;
use crate::metrics::{Estimate, paired_bootstrap, paired_group_bootstrap};
use crate::random::Random;
use crate::splits::grouped_split;
use std::collections::BTreeMap;

/// An interval of an accuracy: right answers and answers in, both ends out; `None` where there is no answer.
pub type IntervalOf = fn(usize, usize) -> Option<(f64, f64)>;
/// The 95% percentile interval of numbers; `None` where there is none.
pub type PercentileOf = fn(&[f64]) -> Option<(f64, f64)>;
/// Differences of two models on resamples of images: who is right, and the images drawn.
pub type PairedOf = fn(&[bool], &[bool], &[Vec<usize>]) -> Vec<f64>;
/// Differences of two models on resamples of groups: the group of each image, who is right, and the groups drawn.
pub type GroupedOf = fn(&[u32], &[bool], &[bool], &[Vec<u32>]) -> Vec<f64>;
/// The part of simulated tests whose interval holds the truth.
pub type CoverageOf = fn(IntervalOf, f64, usize, &[usize]) -> Option<f64>;

fn near_ends(found: Option<(f64, f64)>, expected: (f64, f64), within: f64) -> Said {
    match found {
        Some(found) => near(found.0, expected.0, within).and_then(|()| near(found.1, expected.1, within)),
        None => same(None, Some(expected)),
    }
}

fn near_all(found: &[f64], expected: &[f64]) -> Said {
    same(found.len(), expected.len())?;
    found.iter().zip(expected).try_for_each(|(found, expected)| near(*found, *expected, 1e-9))
}

/// Wilson's interval by the roots of the equation that it solves, which is not how the library writes it:
/// (p - q)^2 n = z^2 q (1 - q).
fn roots(right: usize, n: usize) -> (f64, f64) {
    const Z2: f64 = 1.959_963_984_540_054 * 1.959_963_984_540_054;
    let (n, p) = (n as f64, right as f64 / n as f64);
    let (a, b, c) = (n + Z2, -(2.0 * n * p + Z2), n * p * p);
    let root = (b * b - 4.0 * a * c).max(0.0).sqrt();
    ((-b - root) / (2.0 * a), (-b + root) / (2.0 * a))
}

/// Wilson's 95% interval of `right` answers of `n`; `None` for `n` = 0. Ends are within 0 to 1, and to four digits.
pub fn wilson(f: IntervalOf) -> Marks {
    Sheet::new("Wilson's interval", 4.0)
        .visible("50 of 100", move || near_ends(f(50, 100), (0.403832, 0.596168), 1e-4))
        .hidden("many counts", 2.0, move || {
            let mut random = Random::new("course, wilson", seed(), 0);
            (0..200).try_for_each(|_| {
                let n = 2 + random.below(3000);
                let right = 1 + random.below(n - 1);
                near_ends(f(right, n), roots(right, n), 1e-4)
            })
        })
        .hidden("none right, all right", 1.0, move || {
            [1, 7, 250].into_iter().try_for_each(|n| {
                near_ends(f(0, n), (0.0, roots(0, n).1), 1e-4)?;
                near_ends(f(n, n), (roots(n, n).0, 1.0), 1e-4)
            })
        })
        .hidden("no answer at all", 1.0, move || same(f(0, 0), None))
        .marks()
}

/// Whether two models are right on `n` images: `a` on six of ten, `b` on half.
fn two_models(n: usize, stream: u64) -> (Vec<bool>, Vec<bool>) {
    let mut random = Random::new("course, two models", seed(), stream);
    let of = |part: f64, random: &mut Random| (0..n).map(|_| random.unit() < part).collect::<Vec<bool>>();
    (of(0.6, &mut random), of(0.5, &mut random))
}

/// The draws of the library's own bootstrap.
fn library_draws(units: usize, resamples: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut random = Random::new("paired bootstrap", seed, 0);
    (0..resamples).map(|_| (0..units).map(|_| random.below(units)).collect()).collect()
}

/// The ends of the library's percentile interval.
fn ends(numbers: &[f64]) -> (f64, f64) {
    Estimate::of(0.0, numbers.to_vec()).interval.unwrap_or((f64::NAN, f64::NAN))
}

/// The difference over some images, in whole right answers first.
fn difference(a: &[bool], b: &[bool], images: &[usize]) -> f64 {
    let gain: i64 = images.iter().map(|&image| i64::from(a[image]) - i64::from(b[image])).sum();
    gain as f64 / images.len() as f64
}

/// For each list of images drawn, in order: the accuracy of `a` on them minus that of `b`. An image that is drawn twice counts
/// twice. Lists are never empty; where there is no list, there is no difference.
pub fn paired(f: PairedOf) -> Marks {
    Sheet::new("paired bootstrap", 4.0)
        .visible("three images, two resamples", move || {
            near_all(
                &f(&[true, true, false], &[false, true, false], &[vec![0, 1, 2], vec![0, 0, 1]]),
                &[1.0 / 3.0, 2.0 / 3.0],
            )
        })
        .hidden("the interval of the library, from its own draws", 2.0, move || {
            let (a, b) = two_models(150, 0);
            let library = paired_bootstrap(&a, &b, 200, seed()).map_err(|error| error.to_string())?;
            let found = f(&a, &b, &library_draws(150, 200, seed()));
            same(found.len(), 200)?;
            near_ends(Some(ends(&found)), (library.low, library.high), 1e-9)
        })
        .hidden("resamples of other sizes, images drawn many times", 1.0, move || {
            let (a, b) = two_models(40, 1);
            let mut random = Random::new("course, odd draws", seed(), 1);
            let draws: Vec<Vec<usize>> =
                (1..60).map(|size| (0..size).map(|_| random.below(6) * random.below(7)).collect()).collect();
            let expected: Vec<f64> = draws.iter().map(|draw| difference(&a, &b, draw)).collect();
            near_all(&f(&a, &b, &draws), &expected)
        })
        .hidden("one difference per resample, in order; none for none", 1.0, move || {
            let (a, b) = ([true, false, true], [false, true, true]);
            near_all(&f(&a, &b, &[vec![1], vec![0], vec![2], vec![0, 2]]), &[-1.0, 1.0, 0.0, 0.5])?;
            same(f(&a, &b, &[]).len(), 0)
        })
        .marks()
}

/// The 2.5% and 97.5% points of numbers in any order, linear between the two that surround a point (position q (n - 1) of the
/// sorted numbers, counted from 0); `None` where there is no number, twice the number where there is one.
pub fn percentile(f: PercentileOf) -> Marks {
    Sheet::new("percentile interval", 3.0)
        .visible("0, 1, ..., 40, backwards", move || {
            let numbers: Vec<f64> = (0..=40).rev().map(f64::from).collect();
            near_ends(f(&numbers), (1.0, 39.0), 1e-9)
        })
        .hidden("many numbers in no order", 1.0, move || {
            let mut random = Random::new("course, percentile", seed(), 0);
            let numbers: Vec<f64> = (0..1001).map(|_| random.normal()).collect();
            near_ends(f(&numbers), ends(&numbers), 1e-9)
        })
        .hidden("few numbers: the ends lie between two of them", 1.0, move || {
            let mut random = Random::new("course, percentile", seed(), 1);
            (2..12).try_for_each(|n| {
                let numbers: Vec<f64> = (0..n).map(|_| 10.0 * random.unit() - 5.0).collect();
                near_ends(f(&numbers), ends(&numbers), 1e-9)
            })
        })
        .hidden("a single number", 0.5, move || near_ends(f(&[0.25]), (0.25, 0.25), 1e-9))
        .hidden("no number", 0.5, move || same(f(&[]), None))
        .marks()
}

/// Families of 1 to `most` images in a mixed order; their names are no places in a list.
fn families(n: usize, most: usize, stream: u64) -> Vec<u32> {
    let mut random = Random::new("course, families", seed(), stream);
    let (mut groups, mut name) = (Vec::with_capacity(n), 100);
    while groups.len() < n {
        name += 1 + random.below(5) as u32;
        groups.extend(std::iter::repeat_n(name, (1 + random.below(most)).min(n - groups.len())));
    }
    random.shuffle(&mut groups);
    groups
}

/// The images of each group, by its name.
fn members(groups: &[u32]) -> BTreeMap<u32, Vec<usize>> {
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (image, &group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(image);
    }
    members
}

/// What the library's bootstrap of groups would draw, by name.
fn group_draws(groups: &[u32], resamples: usize, seed: u64) -> Vec<Vec<u32>> {
    let names: Vec<u32> = members(groups).into_keys().collect();
    let draws = library_draws(names.len(), resamples, seed);
    draws.into_iter().map(|draw| draw.into_iter().map(|place| names[place]).collect()).collect()
}

fn by_hand(groups: &[u32], a: &[bool], b: &[bool], draws: &[Vec<u32>]) -> Vec<f64> {
    let members = members(groups);
    let images = |draw: &Vec<u32>| draw.iter().flat_map(|group| members[group].clone()).collect::<Vec<usize>>();
    draws.iter().map(|draw| difference(a, b, &images(draw))).collect()
}

/// For each list of groups drawn, in order: the accuracy of `a` minus that of `b` over all images of these groups. A group that is
/// drawn twice counts twice; a large group counts for more than a small one. Each list names groups that there are, at least one.
pub fn grouped(f: GroupedOf) -> Marks {
    Sheet::new("bootstrap of groups", 4.0)
        .visible("groups 7 (two images) and 9 (one)", move || {
            let (a, b) = ([true, false, true], [false, false, false]);
            near_all(&f(&[7, 7, 9], &a, &b, &[vec![7, 9], vec![9, 9]]), &[2.0 / 3.0, 1.0])
        })
        .hidden("the interval of the library, from its own draws", 1.0, move || {
            let groups = families(120, 6, 0);
            let (a, b) = two_models(120, 2);
            let library = paired_group_bootstrap(&groups, &a, &b, 200, seed()).map_err(|error| error.to_string())?;
            let found = f(&groups, &a, &b, &group_draws(&groups, 200, seed()));
            same(found.len(), 200)?;
            near_ends(Some(ends(&found)), (library.low, library.high), 1e-9)
        })
        .hidden("groups of very different sizes", 1.0, move || {
            let groups: Vec<u32> = (0..60).map(|image| if image < 50 { 3 } else { image }).collect();
            let (a, b) = two_models(60, 3);
            let draws = group_draws(&groups, 50, seed() + 1);
            near_all(&f(&groups, &a, &b, &draws), &by_hand(&groups, &a, &b, &draws))
        })
        .hidden("a group drawn several times, another never", 1.0, move || {
            let (groups, draws) = ([5, 8, 5, 2], [vec![5, 5, 5, 8], vec![8, 2, 2], vec![2]]);
            let (a, b) = ([true, false, true, true], [false, true, false, true]);
            near_all(&f(&groups, &a, &b, &draws), &by_hand(&groups, &a, &b, &draws))
        })
        .hidden("families that are right or wrong as a whole: the interval, beside that over images", 1.0, move || {
            let (of_family, other) = two_models(30, 4);
            let groups: Vec<u32> = (0..300).map(|image| 1000 + image / 10).collect();
            let alone: Vec<u32> = (1000..1300).collect();
            let whole =
                |model: &[bool]| groups.iter().map(|&group| model[group as usize - 1000]).collect::<Vec<bool>>();
            let (a, b) = (whole(&of_family), whole(&other));
            let width = |groups: &[u32]| {
                let found = f(groups, &a, &b, &group_draws(groups, 200, seed()));
                if found.len() == 200 { ends(&found).1 - ends(&found).0 } else { f64::NAN }
            };
            let (over_groups, over_images) = (width(&groups), width(&alone));
            holds(over_images > 0.0 && over_groups > 1.5 * over_images, "a wider interval over families")
        })
        .marks()
}

/// Numbers of right answers in `tests` tests of `n` images, each right with probability `p`.
fn simulated(p: f64, n: usize, tests: usize, stream: u64) -> Vec<usize> {
    let mut random = Random::new("course, simulated", seed(), stream);
    (0..tests).map(|_| (0..n).filter(|_| random.unit() < p).count()).collect()
}

/// The part of simulated tests of `n` images (`counts`: right answers in each) whose interval holds `p`, both ends included. A test
/// without an interval does not hold it; without any test the coverage is `None`. The last case takes the interval of task 1.
pub fn coverage(f: CoverageOf, wilson: IntervalOf) -> Marks {
    fn tenth(right: usize, n: usize) -> Option<(f64, f64)> {
        let rate = right as f64 / n as f64;
        Some((rate - 0.1, rate + 0.1))
    }
    fn from_a_quarter(_: usize, _: usize) -> Option<(f64, f64)> {
        Some((0.25, 0.75))
    }
    fn some_only(right: usize, _: usize) -> Option<(f64, f64)> {
        (right % 2 == 0).then_some((0.0, 1.0))
    }
    let near_option = |found: Option<f64>, expected: f64| match found {
        Some(found) => near(found, expected, 1e-9),
        None => same(None, Some(expected)),
    };
    Sheet::new("coverage", 3.0)
        .visible("an interval of 0.1 to either side; 3, 5 and 8 of 10 are right, 0.5 is true", move || {
            near_option(f(tenth, 0.5, 10, &[3, 5, 8]), 1.0 / 3.0)
        })
        .hidden("many simulated tests", 1.0, move || {
            let counts = simulated(0.4, 53, 500, 0);
            // 0.1 to either side of right / 53 holds 0.4: by whole numbers.
            let held = counts.iter().filter(|&&right| (10 * right as i64 - 4 * 53).abs() <= 53).count();
            near_option(f(tenth, 0.4, 53, &counts), held as f64 / 500.0)
        })
        .hidden("the truth is an end of the interval", 0.5, move || {
            near_option(f(from_a_quarter, 0.25, 10, &[1, 2]), 1.0)?;
            near_option(f(from_a_quarter, 0.75, 10, &[1, 2]), 1.0)?;
            near_option(f(from_a_quarter, 0.76, 10, &[1, 2]), 0.0)
        })
        .hidden("tests without an interval; no test", 0.5, move || {
            near_option(f(some_only, 0.5, 10, &[1, 2, 3, 4, 5]), 0.4)?;
            same(f(tenth, 0.5, 10, &[]), None)
        })
        .hidden("your interval of task 1 on small tests", 1.0, move || {
            let mut sum = 0.0;
            for tenth in 0..10 {
                let p = 0.05 + 0.1 * f64::from(tenth);
                sum += f(wilson, p, 20, &simulated(p, 20, 1000, 1 + tenth as u64)).unwrap_or(f64::NAN);
            }
            holds((0.93..=0.97).contains(&(sum / 10.0)), "a coverage of 93 to 97%")
        })
        .marks()
}

/// Two nearest-neighbour classifiers on emoji, one by colour and one by grey, with the intervals that the functions give. What is
/// not written is said in its place.
pub fn on_emoji(wilson: IntervalOf, percentile: PercentileOf, paired: PairedOf, grouped: GroupedOf) -> Table {
    let rows = || -> OurResult<Vec<Vec<String>>> {
        let emoji = Emoji::read()?;
        let split = grouped_split(&emoji.labels, &emoji.families, emoji.n_classes(), 40, 0)?;
        let (colour, grey) = (emoji.right(&emoji.colour, &split)?, emoji.right(&emoji.grey, &split)?);
        let families = of(&emoji.families, &split.test);
        let points = |x: f64| format!("{:.1}", 100.0 * x);
        let shown = |found: Result<Option<(f64, f64)>, String>| match found {
            Ok(Some((low, high))) => format!("{} to {}", points(low), points(high)),
            Ok(None) => "none".to_string(),
            Err(why) => why,
        };
        let mut rows = Vec::new();
        for (name, right) in [("accuracy by colour", &colour), ("accuracy by grey", &grey)] {
            let (count, n) = (right.iter().filter(|right| **right).count(), right.len());
            let interval = shown(attempt(move || wilson(count, n)));
            rows.push(vec![name.into(), points(count as f64 / n as f64), interval, format!("{n} images")]);
        }
        let all: Vec<usize> = (0..colour.len()).collect();
        let apart = points(difference(&colour, &grey, &all));
        let n_families = members(&families).len();
        let (a, b) = (colour.clone(), grey.clone());
        let over_images = attempt(move || percentile(&paired(&a, &b, &library_draws(a.len(), 200, 0))));
        let over_families = attempt(move || {
            let draws = group_draws(&families, 200, 0);
            percentile(&grouped(&families, &colour, &grey, &draws))
        });
        let name = "colour minus grey";
        rows.push(vec![name.into(), apart.clone(), shown(over_images), format!("{} images", all.len())]);
        rows.push(vec![name.into(), apart, shown(over_families), format!("{n_families} families")]);
        Ok(rows)
    };
    let header = ["what", "percent", "95% interval", "drawn"];
    table_or("The nearest neighbour on emoji, families kept apart", &header, rows())
}
