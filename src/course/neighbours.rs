//! Checks of assignment 3, *Nearest neighbours*: distances, the nearest, two ways to vote, and the whole classifier.

use super::on_data::{given, percent_right, pictures};
use super::sheet::{Marks, Said, Sheet, near, same, seed};
use crate::display::{Cell, Table};
use crate::error::{Error, Result};
use crate::neighbours::{Index, Metric};
use crate::probe::knn::{Knn, KnnParams, Votes};
use crate::probe::labelled;
use crate::random::Random;
use linfa::traits::Fit;
use ndarray::Array2;

/// From a query and references to the squared distance of each.
pub type Distances = fn(&[f64], &[Vec<f64>]) -> Vec<f64>;
/// From distances and k to the places of the nearest.
pub type Nearest = fn(&[f64], usize) -> Vec<usize>;
/// From the labels of neighbours to the class with most votes.
pub type Vote = fn(&[u32]) -> Option<u32>;
/// From two rows to their cosine similarity.
pub type Cosine = fn(&[f64], &[f64]) -> f64;
/// From labels, similarities and a temperature to the class with most weight.
pub type WeightedVote = fn(&[u32], &[f64], f64) -> Option<u32>;
/// From training rows, their labels, queries, k and, for the weighted vote, a temperature to the class of each query.
pub type Classifier = fn(&[Vec<f64>], &[u32], &[Vec<f64>], usize, Option<f64>) -> Vec<u32>;

/// Rows of normal numbers that f32 holds, as the library's features are.
fn rows(n: usize, width: usize, stream: u64) -> Vec<Vec<f64>> {
    let mut random = Random::new("course, rows", seed(), stream);
    (0..n).map(|_| (0..width).map(|_| f64::from(random.normal() as f32)).collect()).collect()
}

fn labels(n: usize, classes: usize, stream: u64) -> Vec<u32> {
    let mut random = Random::new("course, neighbours", seed(), stream);
    (0..n).map(|_| random.below(classes) as u32).collect()
}

pub(super) fn array(rows: &[Vec<f64>]) -> Array2<f32> {
    let width = rows.first().map_or(0, Vec::len);
    Array2::from_shape_fn((rows.len(), width), |(row, column)| rows[row][column] as f32)
}

/// The library's distance of every reference from the query, in the order of the references.
fn by_library(query: &[f64], references: &[Vec<f64>], metric: Metric) -> std::result::Result<Vec<f64>, String> {
    let find = || {
        let index = Index::new(array(references).into_shared(), metric)?;
        index.nearest(array(&[query.to_vec()]).view(), references.len())
    };
    let found = find().map_err(|error: Error| error.to_string())?;
    let mut distances = vec![0.0; references.len()];
    found.rows.iter().zip(&found.distances).for_each(|(&row, &distance)| distances[row] = distance);
    Ok(distances)
}

fn all_near(found: &[f64], expected: &[f64], within: f64) -> Said {
    same(found.len(), expected.len())?;
    found.iter().zip(expected).try_for_each(|(&found, &expected)| near(found, expected, within))
}

/// The squared Euclidean distance of every reference from the query, in the order of the references, also where all lie far from 0.
pub fn distances(f: Distances) -> Marks {
    Sheet::new("squared distances", 2.0)
        .visible("(0, 0) from (3, 4) and from (1, 0)", move || {
            all_near(&f(&[0.0, 0.0], &[vec![3.0, 4.0], vec![1.0, 0.0]]), &[25.0, 1.0], 1e-12)
        })
        .hidden("fifty rows of twenty numbers", 2.0, move || {
            let (references, query) = (rows(50, 20, 0), rows(1, 20, 1).concat());
            let expected = by_library(&query, &references, Metric::Euclidean)?;
            let expected: Vec<f64> = expected.into_iter().map(|distance| distance * distance).collect();
            all_near(&f(&query, &references), &expected, 1e-9)
        })
        .hidden("rows that lie close together, far from 0", 1.0, move || {
            let mut random = Random::new("course, far", seed(), 0);
            let steps: Vec<[usize; 3]> = (0..30).map(|_| [(); 3].map(|()| random.below(10))).collect();
            let row = |step: &[usize; 3]| step.map(|step| 1e8 + step as f64).to_vec();
            let references: Vec<Vec<f64>> = steps.iter().map(row).collect();
            let expected: Vec<f64> = steps.iter().map(|step| step.iter().map(|s| (s * s) as f64).sum()).collect();
            all_near(&f(&[1e8; 3], &references), &expected, 1e-6)
        })
        .hidden("no reference, and the query itself", 1.0, move || {
            all_near(&f(&[1.0], &[]), &[], 0.0)?;
            all_near(&f(&[1.0, -2.0], &[vec![1.0, -2.0]]), &[0.0], 0.0)
        })
        .marks()
}

/// The places of the k smallest distances, nearest first, at equal distances the lower place first; all of them where there are
/// fewer than k. Distances are never NaN.
pub fn nearest(f: Nearest) -> Marks {
    fn expected(distances: &[f64], k: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..distances.len()).collect();
        places.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]).then(a.cmp(&b)));
        places.truncate(k);
        places
    }
    let ask = move |distances: &[f64], k| same(f(distances, k), expected(distances, k));
    Sheet::new("the nearest", 3.0)
        .visible("the two nearest of 3, 1, 2", move || ask(&[3.0, 1.0, 2.0], 2))
        .hidden("two hundred distances", 1.0, move || {
            let mut random = Random::new("course, distances", seed(), 0);
            let distances: Vec<f64> = (0..200).map(|_| 10.0 * random.unit()).collect();
            [1, 5, 20].into_iter().try_for_each(|k| ask(&distances, k))
        })
        .hidden("many equal distances", 1.0, move || {
            let mut random = Random::new("course, distances", seed(), 1);
            let distances: Vec<f64> = (0..300).map(|_| random.below(4) as f64).collect();
            [1, 10, 100, 250].into_iter().try_for_each(|k| ask(&distances, k))
        })
        .hidden("fewer than k, none of them, and k = 0", 1.0, move || {
            ask(&[0.5, 0.25], 5)?;
            ask(&[], 3)?;
            ask(&[0.5, 0.25], 0)
        })
        .marks()
}

/// The label that comes most often, the lowest of several that do; `None` without labels. Labels are names and may be large.
pub fn vote(f: Vote) -> Marks {
    Sheet::new("a vote", 3.0)
        .visible("two against one", move || same(f(&[4, 1, 4]), Some(4)))
        .hidden("clear majorities", 2.0, move || {
            let mut random = Random::new("course, votes", seed(), 0);
            for _ in 0..30 {
                let winner = random.below(12) as u32;
                let mut votes: Vec<u32> = (0..12).flat_map(|class| vec![class; 1 + (class % 3) as usize]).collect();
                votes.extend([winner; 4]);
                random.shuffle(&mut votes);
                same(f(&votes), Some(winner))?;
            }
            Ok(())
        })
        .hidden("as many votes for several", 2.0, move || {
            let mut random = Random::new("course, votes", seed(), 1);
            for _ in 0..30 {
                let lowest = 1 + random.below(5) as u32;
                let mut votes = [[lowest; 3], [lowest + 2; 3], [lowest + 7; 3]].concat();
                votes.push(0);
                random.shuffle(&mut votes);
                same(f(&votes), Some(lowest))?;
            }
            Ok(())
        })
        .hidden("labels as large as can be", 1.0, move || {
            same(f(&[7, u32::MAX, u32::MAX - 1, u32::MAX]), Some(u32::MAX))
        })
        .hidden("one vote, and none", 1.0, move || {
            same(f(&[9]), Some(9))?;
            same(f(&[]), None)
        })
        .marks()
}

/// The cosine of the angle between two rows: 1 for one direction, -1 for opposite ones, whatever the rows' lengths, also very small
/// and large ones; 0 where a row is all zeros.
pub fn cosine(f: Cosine) -> Marks {
    let ask = move |factors: &[(f64, f64)], stream| {
        let (references, query) = (rows(20, 12, stream), rows(1, 12, stream + 1).concat());
        let distances = by_library(&query, &references, Metric::Cosine)?;
        for ((row, distance), &(a, b)) in references.iter().zip(distances).zip(factors.iter().cycle()) {
            let times = |row: &[f64], factor: f64| row.iter().map(|x| factor * x).collect::<Vec<f64>>();
            near(f(&times(&query, a), &times(row, b)), 1.0 - distance, 1e-9)?;
        }
        Ok(())
    };
    Sheet::new("cosine similarity", 3.0)
        .visible("at a right angle, and opposite", move || {
            near(f(&[2.0, 0.0], &[0.0, 3.0]), 0.0, 1e-12)?;
            near(f(&[1.0, 0.0], &[-1.0, 0.0]), -1.0, 1e-12)
        })
        .hidden("many pairs of rows", 1.0, move || ask(&[(1.0, 1.0)], 10))
        .hidden("the same pairs, much shorter and longer", 1.0, move || {
            ask(&[(3.0, 0.5), (1e-20, 1.0), (1.0, 1e20), (1e-20, 1e-20), (1e20, 1e-20)], 10)
        })
        .hidden("rows of zeros", 1.0, move || {
            near(f(&[0.0, 0.0], &[1.0, 2.0]), 0.0, 0.0)?;
            near(f(&[1.0, 2.0], &[0.0, 0.0]), 0.0, 0.0)?;
            near(f(&[0.0; 3], &[0.0; 3]), 0.0, 0.0)?;
            near(f(&[2.0, 2.0], &[1.0, 1.0]), 1.0, 1e-12)
        })
        .marks()
}

/// The class with the largest sum of weights exp(s / T) over its neighbours, with s their similarities and T > 0 the temperature, the
/// lowest of several; `None` without neighbours. However small T is, the nearest still decides.
pub fn weighted_vote(f: WeightedVote) -> Marks {
    Sheet::new("a weighted vote", 3.0)
        .visible("one close neighbour against two far ones, T = 0.07", move || {
            same(f(&[3, 1, 1], &[0.9, 0.1, 0.2], 0.07), Some(3))
        })
        .visible("the same with T = 10", move || same(f(&[3, 1, 1], &[0.9, 0.1, 0.2], 10.0), Some(1)))
        .hidden("many neighbours, several temperatures", 1.0, move || {
            let mut random = Random::new("course, weights", seed(), 0);
            for temperature in [0.07, 0.2, 1.0, 20.0] {
                for stream in 0..20 {
                    let labels = labels(25, 4, stream);
                    let similarities: Vec<f64> = labels.iter().map(|_| 2.0 * random.unit() - 1.0).collect();
                    let weight = |class: u32| -> f64 {
                        let own = labels.iter().zip(&similarities).filter(|(label, _)| **label == class);
                        own.map(|(_, s)| (s / temperature).exp()).sum()
                    };
                    let best = (1..4).fold(0, |best, class| if weight(class) > weight(best) { class } else { best });
                    let clear = (0..4).all(|class| class == best || weight(class) < (1.0 - 1e-9) * weight(best));
                    if clear {
                        same(f(&labels, &similarities, temperature), Some(best))?;
                    }
                }
            }
            Ok(())
        })
        .hidden("temperatures so small that exp(s / T) is beyond numbers", 1.0, move || {
            same(f(&[1, 5, 5], &[0.8, 0.95, 0.9], 0.0005), Some(5))?;
            same(f(&[1, 5, 1], &[-0.9, -0.8, -0.95], 0.0005), Some(5))?;
            same(f(&[5, 1, 5], &[0.8, 0.9, 0.85], 0.0001), Some(1))
        })
        .hidden("equal weights, one neighbour, and none", 1.0, move || {
            same(f(&[6, 2, 4], &[0.5, 0.5, 0.5], 0.07), Some(2))?;
            same(f(&[6, 2, 2, 6], &[0.25, 0.5, 0.25, 0.5], 1.0), Some(2))?;
            same(f(&[8], &[-0.5], 0.07), Some(8))?;
            same(f(&[], &[], 0.07), None)
        })
        .marks()
}

fn params(k: usize, temperature: Option<f64>) -> KnnParams {
    match temperature {
        None => Knn::params(k),
        Some(temperature) => Knn::dino().k(k).votes(Votes::Weighted { temperature }),
    }
}

fn library(
    train: &[Vec<f64>],
    labels: &[u32],
    queries: &[Vec<f64>],
    k: usize,
    temperature: Option<f64>,
) -> Result<Vec<u32>> {
    let model = params(k.min(train.len()), temperature).fit(&labelled(array(train), labels.to_vec())?)?;
    Ok(model.try_predict(array(queries).view())?.to_vec())
}

/// The class of each query by its k nearest training rows, by all where there are fewer: without a temperature by Euclidean
/// distance and one vote each, with one by cosine similarity and the weighted vote. Ties as in the parts.
pub fn classifier(f: Classifier) -> Marks {
    let ask = move |train: &[Vec<f64>], labels: &[u32], queries: &[Vec<f64>], k, temperature| {
        let expected = library(train, labels, queries, k, temperature).map_err(|error| error.to_string())?;
        same(f(train, labels, queries, k, temperature), expected)
    };
    Sheet::new("the whole classifier", 4.0)
        .visible("0, 1 and 10 on a line; 2 and 8 are asked, one neighbour", move || {
            ask(&[vec![0.0], vec![1.0], vec![10.0]], &[0, 0, 1], &[vec![2.0], vec![8.0]], 1, None)
        })
        .hidden("the library's answers, one vote each", 1.0, move || {
            // Two classes and an odd k: no votes tie.
            let (train, queries, labels) = (rows(80, 6, 20), rows(30, 6, 21), labels(80, 2, 22));
            [1, 5, 21].into_iter().try_for_each(|k| ask(&train, &labels, &queries, k, None))
        })
        .hidden("points of a grid, where many are equally far", 1.0, move || {
            let mut random = Random::new("course, grid", seed(), 0);
            let mut points =
                |n| -> Vec<Vec<f64>> { (0..n).map(|_| vec![random.below(4) as f64, random.below(4) as f64]).collect() };
            let (train, queries, labels) = (points(60), points(30), labels(60, 5, 23));
            [1, 2, 4, 7].into_iter().try_for_each(|k| ask(&train, &labels, &queries, k, None))
        })
        .hidden("the library's answers, weighted", 1.0, move || {
            let (train, queries, labels) = (rows(80, 6, 24), rows(30, 6, 25), labels(80, 4, 26));
            [(5, 0.07), (20, 0.07), (20, 1.0)]
                .into_iter()
                .try_for_each(|(k, t)| ask(&train, &labels, &queries, k, Some(t)))
        })
        .hidden("more neighbours asked for than there are, and no query", 1.0, move || {
            let (train, queries) = (rows(7, 3, 27), rows(10, 3, 28));
            let labels = [4, 9, 4, 9, 9, 2, 9];
            ask(&train, &labels, &queries, 50, None)?;
            ask(&train, &labels, &queries, 50, Some(0.07))?;
            same(f(&train, &labels, &[], 3, None), vec![])
        })
        .marks()
}

/// What a student's classifier reaches on small pictures of OpenEmoji, beside the library's. Not a check: a function that is not
/// written says so.
pub fn emoji_table(f: Classifier) -> Table {
    let pictures = match pictures(62, 12) {
        Ok(pictures) => pictures,
        Err(error) => return Table { caption: error.to_string(), ..Table::default() },
    };
    let ((train, labels), (test, truth)) = (&pictures.train, &pictures.test);
    let row = |name: &str, k: usize, temperature: Option<f64>| -> Vec<Cell> {
        let (a, b, c) = (train.clone(), labels.clone(), test.clone());
        let yours = match given(move || f(&a, &b, &c, k, temperature)) {
            Some(found) if found.len() == truth.len() => percent_right(&found, truth),
            Some(_) => "one class per query is missing".into(),
            None => "not written yet".into(),
        };
        let ours = match library(train, labels, test, k, temperature) {
            Ok(found) => percent_right(&found, truth),
            Err(error) => error.to_string(),
        };
        [name.to_string(), yours, ours].map(Cell::from).to_vec()
    };
    Table {
        caption: format!("OpenEmoji as 8 x 8 colours: {} to learn from, {} to answer", train.len(), test.len()),
        header: ["classifier", "yours", "the library's"].map(String::from).to_vec(),
        rows: vec![
            row("1 neighbour", 1, None),
            row("5 neighbours, one vote each (study)", 5, None),
            row("20 neighbours, weighted, T = 0.07 (DINO)", 20, Some(0.07)),
        ],
    }
}
