//! Checks of assignment 7, *Clusters*: a contingency table, pairs, the adjusted Rand index, and the two steps of k-means.

use super::on_data::{Emoji, attempt, matrix, table_or};
use super::sheet::{Marks, Said, Sheet, holds, near, same, seed};
use crate::clustering::kmeans::KMeans;
use crate::display::Table;
use crate::error::Result as OurResult;
use crate::metrics::adjusted_rand;
use crate::random::Random;
use linfa::DatasetBase;
use linfa::traits::Fit;
use std::collections::BTreeSet;

/// Rows of features, or centres.
pub type Rows = [Vec<f64>];
/// Two lists of cluster numbers in; how many images each pair of clusters shares out.
pub type ContingencyOf = fn(&[u32], &[u32]) -> Result<Vec<Vec<u64>>, String>;
/// A contingency table in; pairs together in both, in the first alone, in the second alone, in neither out.
pub type PairsOf = fn(&[Vec<u64>]) -> [u64; 4];
/// Two lists of cluster numbers in; the adjusted Rand index out.
pub type RandOf = fn(&[u32], &[u32]) -> Option<f64>;
/// Rows and centres in; the centre of each row out.
pub type AssignOf = fn(&Rows, &Rows) -> Vec<usize>;
/// Rows, the centre of each and the centres in; the moved centres out.
pub type UpdateOf = fn(&Rows, &[usize], &Rows) -> Vec<Vec<f64>>;
/// Rows, centres to begin with and a number of steps in; the inertia at each step out.
pub type InertiasOf = fn(&Rows, &Rows, usize) -> Vec<f64>;

/// `n` cluster numbers of `k` clusters, under names that are no places, and a second list that agrees on a third of them.
fn two_partitions(n: usize, k: usize, stream: u64) -> (Vec<u32>, Vec<u32>) {
    let mut random = Random::new("course, partitions", seed(), stream);
    let name = |cluster: usize| 3 + 1_000_003 * cluster as u32;
    let a: Vec<u32> = (0..n).map(|_| name(random.below(k))).collect();
    let b = a.iter().map(|&cluster| if random.below(3) == 0 { cluster } else { name(random.below(k + 1)) }).collect();
    (a, b)
}

/// By counting for each pair of names anew.
fn counted(a: &[u32], b: &[u32]) -> Vec<Vec<u64>> {
    let names = |list: &[u32]| list.iter().copied().collect::<BTreeSet<u32>>();
    let both = |first: u32, second: u32| a.iter().zip(b).filter(|(a, b)| (**a, **b) == (first, second)).count() as u64;
    names(a).into_iter().map(|first| names(b).into_iter().map(|second| both(first, second)).collect()).collect()
}

/// Images in each pair of clusters: a row per cluster of the first list, a column per cluster of the second, both in ascending order
/// of the clusters that occur (numbers are names, and may be large). Lists of different lengths are an error that says both lengths;
/// empty lists give a table without rows.
pub fn contingency(f: ContingencyOf) -> Marks {
    Sheet::new("contingency table", 3.0)
        .visible("four images in clusters 2, 2, 7, 7 and 0, 1, 1, 1", move || {
            same(f(&[2, 2, 7, 7], &[0, 1, 1, 1])?, vec![vec![1, 1], vec![0, 2]])
        })
        .hidden("many images, names far apart", 1.0, move || {
            let (a, b) = two_partitions(300, 6, 0);
            same(f(&a, &b)?, counted(&a, &b))
        })
        .hidden("names in any order, more clusters on one side", 1.0, move || {
            same(f(&[9, 4, 9, 4, 4], &[8, 8, 3, 5, 8])?, vec![vec![0, 1, 2], vec![1, 0, 1]])?;
            same(f(&[1, 1], &[u32::MAX, 0])?, vec![vec![1, 1]])
        })
        .hidden("lists of different lengths, and none", 1.0, move || {
            match f(&[1; 17], &[1; 23]) {
                Err(message) => holds(message.contains("17") && message.contains("23"), "both lengths")?,
                Ok(_) => return Err("an error".into()),
            }
            holds(f(&[1, 2], &[1]).is_err(), "an error")?;
            same(f(&[], &[])?, vec![])
        })
        .marks()
}

/// By going through all pairs.
fn walked(a: &[u32], b: &[u32]) -> [u64; 4] {
    let mut pairs = [0; 4];
    for i in 0..a.len() {
        for j in 0..i {
            match (a[i] == a[j], b[i] == b[j]) {
                (true, true) => pairs[0] += 1,
                (true, false) => pairs[1] += 1,
                (false, true) => pairs[2] += 1,
                (false, false) => pairs[3] += 1,
            }
        }
    }
    pairs
}

/// Of all pairs of different images, each counted once: together in both partitions, in the first (rows) alone, in the second (columns)
/// alone, in neither; from the contingency table.
pub fn pairs(f: PairsOf) -> Marks {
    Sheet::new("pairs of images", 3.0)
        .visible("four images: 1 and 1 in the first row, 0 and 2 in the second", move || {
            same(f(&[vec![1, 1], vec![0, 2]]), [1, 1, 2, 2])
        })
        .hidden("many images, against all pairs one by one", 1.5, move || {
            let (a, b) = two_partitions(120, 5, 1);
            same(f(&counted(&a, &b)), walked(&a, &b))
        })
        .hidden("one cluster each; single images", 1.0, move || {
            same(f(&[vec![6]]), [15, 0, 0, 0])?;
            same(f(&[vec![1, 0, 0], vec![0, 1, 0], vec![0, 0, 1]]), [0, 0, 0, 3])?;
            same(f(&[vec![2, 2]]), [2, 4, 0, 0])?;
            same(f(&[vec![2], vec![2]]), [2, 0, 4, 0])
        })
        .hidden("no image, a single image", 0.5, move || {
            same(f(&[]), [0; 4])?;
            same(f(&[vec![1]]), [0; 4])
        })
        .marks()
}

fn near_option(found: Option<f64>, expected: f64) -> Said {
    match found {
        Some(found) => near(found, expected, 1e-9),
        None => same(None, Some(expected)),
    }
}

/// The adjusted Rand index of two lists of cluster numbers: 1 for the same partition, also where both put all images together, or
/// each alone; `None` without an image, or for lists of different lengths.
pub fn rand(f: RandOf) -> Marks {
    let library = |a: &[u32], b: &[u32]| adjusted_rand(a, b).map_err(|error| error.to_string());
    Sheet::new("adjusted Rand index", 4.0)
        .visible("two pairs, and one image moved", move || near_option(f(&[0, 0, 1, 1], &[0, 0, 1, 2]), 4.0 / 7.0))
        .hidden("many images, against the library", 1.0, move || {
            (0..4).try_for_each(|stream| {
                let (a, b) = two_partitions(200, 3 + stream as usize, 2 + stream);
                near_option(f(&a, &b), library(&a, &b)?)
            })
        })
        .hidden("two partitions that avoid each other", 1.0, move || {
            near_option(f(&[4, 4, 9, 9], &[7, 1, 7, 1]), -0.5)?;
            let (rows, columns): (Vec<u32>, Vec<u32>) = (0..25).map(|i| (i / 5, i % 5)).unzip();
            near_option(f(&rows, &columns), library(&rows, &columns)?)
        })
        .hidden("other names, the lists exchanged", 1.0, move || {
            let (a, b) = two_partitions(90, 4, 9);
            let renamed: Vec<u32> = a.iter().map(|name| 4_100_000 - name).collect();
            near_option(f(&renamed, &b), library(&a, &b)?)?;
            near_option(f(&b, &a), library(&a, &b)?)?;
            near_option(f(&renamed, &a), 1.0)
        })
        .hidden("all together, all alone, one of each; no image; different lengths", 1.0, move || {
            near_option(f(&[3; 5], &[8; 5]), 1.0)?;
            near_option(f(&[1, 2, 3, 4], &[4, 3, 2, 1]), 1.0)?;
            near_option(f(&[1, 2, 3, 4], &[0; 4]), 0.0)?;
            same(f(&[], &[]), None)?;
            same(f(&[1, 2], &[1]), None)
        })
        .marks()
}

/// Rows around some middles, each number one that f32 holds.
fn blobs(n: usize, k: usize, width: usize, stream: u64) -> Vec<Vec<f64>> {
    let mut random = Random::new("course, blobs", seed(), stream);
    let middles: Vec<Vec<f64>> = (0..k).map(|_| (0..width).map(|_| 3.0 * random.normal()).collect()).collect();
    (0..n).map(|i| middles[i % k].iter().map(|x| f64::from((x + random.normal()) as f32)).collect()).collect()
}

fn square(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// The nearest centre of each row, the first of equals.
fn assigned(rows: &Rows, centres: &Rows) -> Vec<usize> {
    let all = |row: &Vec<f64>| centres.iter().map(|centre| square(row, centre)).collect::<Vec<f64>>();
    let first = |squares: Vec<f64>| (0..squares.len()).min_by(|&a, &b| squares[a].total_cmp(&squares[b])).unwrap_or(0);
    rows.iter().map(|row| first(all(row))).collect()
}

/// As `src/numbers/clustering/precise.rs`: rows for empty centres, then means.
fn updated(rows: &Rows, labels: &[usize], centres: &Rows) -> Vec<Vec<f64>> {
    let mut labels = labels.to_vec();
    let squares: Vec<f64> = rows.iter().zip(&labels).map(|(row, &label)| square(row, &centres[label])).collect();
    let mut far: Vec<usize> = (0..rows.len()).filter(|&row| squares[row] > 0.0).collect();
    far.sort_by(|&a, &b| squares[b].total_cmp(&squares[a]).then(a.cmp(&b)));
    let mut far = far.into_iter();
    for empty in (0..centres.len()).filter(|centre| !labels.contains(centre)).collect::<Vec<usize>>() {
        let members = |of: usize| labels.iter().filter(|&&label| label == of).count();
        let Some(row) = far.find(|&row| members(labels[row]) > 1) else { break };
        labels[row] = empty;
    }
    let mean = |(number, centre): (usize, &Vec<f64>)| {
        let own: Vec<&Vec<f64>> =
            rows.iter().zip(&labels).filter(|(_, label)| **label == number).map(|(row, _)| row).collect();
        match own.is_empty() {
            true => centre.clone(),
            false => (0..centre.len()).map(|j| own.iter().map(|row| row[j]).sum::<f64>() / own.len() as f64).collect(),
        }
    };
    centres.iter().enumerate().map(mean).collect()
}

fn near_rows(found: &Rows, expected: &Rows, within: f64) -> Said {
    same(found.iter().map(Vec::len).collect::<Vec<_>>(), expected.iter().map(Vec::len).collect())?;
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    pairs.into_iter().try_for_each(|(found, expected)| near(*found, *expected, within))
}

/// The library's centres and labels after some iterations of one start.
fn library_fit(rows: &Rows, k: usize, iterations: usize) -> Result<(Vec<Vec<f64>>, Vec<usize>, f64), String> {
    let all: Vec<usize> = (0..rows.len()).collect();
    let params = KMeans::params(k).n_init(1).max_iterations(iterations).tolerance(0.0).seed(seed());
    let fitted = params.fit(&DatasetBase::from(matrix(rows, &all).into_shared())).map_err(|error| error.to_string())?;
    let centres = fitted.centres.rows().into_iter().map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
    Ok((centres, fitted.labels.iter().map(|&label| label as usize).collect(), fitted.inertia))
}

/// For each row the place of the centre with the smallest Euclidean distance, the first of equals.
pub fn assign(f: AssignOf) -> Marks {
    Sheet::new("k-means, first step", 2.0)
        .visible("0, 4 and 9 between centres 1 and 8", move || {
            same(f(&[vec![0.0], vec![4.0], vec![9.0]], &[vec![1.0], vec![8.0]]), vec![0, 0, 1])
        })
        .hidden("the library's centres", 1.0, move || {
            let rows = blobs(150, 4, 3, 0);
            let (centres, labels, _) = library_fit(&rows, 5, 3)?;
            same(f(&rows, &centres), labels)
        })
        .hidden("centres that are equally near; no row", 0.5, move || {
            let centres = [vec![5.0, 5.0], vec![1.0, 0.0], vec![-1.0, 0.0], vec![1.0, 0.0]];
            same(f(&[vec![0.0, 0.0], vec![1.0, 0.0], vec![-3.0, 0.5]], &centres), vec![1, 1, 2])?;
            same(f(&[], &centres), vec![])
        })
        .hidden("centres that are far in one direction, near in another", 0.5, move || {
            same(f(&[vec![0.0, 0.0, 0.0]], &[vec![4.0, 0.0, 0.0], vec![2.0, 2.0, 2.0], vec![-9.0, 0.0, 9.0]]), vec![1])
        })
        .marks()
}

/// Each centre moved to the mean of its rows. Before that, each centre without rows, in order, takes the row that is farthest from its
/// own centre (the first of equals; not one that lies on its centre, nor the last row of a centre), which leaves its old centre. A
/// centre that finds no such row stays where it is.
pub fn update(f: UpdateOf) -> Marks {
    Sheet::new("k-means, second step", 4.0)
        .visible("0 and 2 of the first centre, 10 of the second", move || {
            let rows = [vec![0.0], vec![2.0], vec![10.0]];
            near_rows(&f(&rows, &[0, 0, 1], &[vec![0.5], vec![9.0]]), &[vec![1.0], vec![10.0]], 1e-9)
        })
        .hidden("from one iteration of the library to the next", 1.5, move || {
            // A single blob: no start is right at once.
            let rows = blobs(150, 1, 3, 1);
            (1..4).try_for_each(|iterations| {
                let (before, labels, _) = library_fit(&rows, 4, iterations)?;
                near_rows(&f(&rows, &labels, &before), &library_fit(&rows, 4, iterations + 1)?.0, 1e-4)
            })
        })
        .hidden("a centre without rows", 1.0, move || {
            let rows = blobs(40, 3, 2, 2);
            let mut centres = rows[..3].to_vec();
            centres.insert(1, vec![900.0, 900.0]);
            // Each other centre has rows enough, wherever the seed puts them.
            let labels: Vec<usize> = (0..40).map(|row| [0, 2, 3][row % 3]).collect();
            near_rows(&f(&rows, &labels, &centres), &updated(&rows, &labels, &centres), 1e-9)
        })
        .hidden("several centres without rows, and rows that may not go", 1.0, move || {
            // The farthest row is the only one of its centre.
            let rows = [vec![0.0], vec![1.0], vec![3.0], vec![50.0]];
            let centres = [vec![0.0], vec![40.0], vec![-70.0], vec![-80.0]];
            near_rows(&f(&rows, &[0, 0, 0, 1], &centres), &[vec![0.0], vec![50.0], vec![3.0], vec![1.0]], 1e-9)?;
            let labels = [0; 3];
            let centres = [vec![1.0], vec![8.0], vec![9.0]];
            let rows = [vec![0.0], vec![2.0], vec![4.0]];
            near_rows(&f(&rows, &labels, &centres), &updated(&rows, &labels, &centres), 1e-9)
        })
        .hidden("a centre that stays without rows", 0.5, move || {
            let rows = [vec![2.0, 1.0], vec![2.0, 1.0]];
            let centres = [vec![2.0, 1.0], vec![7.0, 7.0]];
            near_rows(&f(&rows, &[0, 0], &centres), &centres, 1e-9)
        })
        .marks()
}

/// The inertia at each step, before the centres move: the sum of the squared distances of rows to their centres. Each step assigns
/// rows and moves centres as in the tasks before. As many numbers as steps.
pub fn inertias(f: InertiasOf) -> Marks {
    fn expected(rows: &Rows, start: &Rows, steps: usize) -> Vec<f64> {
        let mut centres = start.to_vec();
        let mut found = Vec::new();
        for _ in 0..steps {
            let labels = assigned(rows, &centres);
            found.push(rows.iter().zip(&labels).map(|(row, &label)| square(row, &centres[label])).sum());
            centres = updated(rows, &labels, &centres);
        }
        found
    }
    let close = |found: &[f64], expected: &[f64]| {
        same(found.len(), expected.len())?;
        found.iter().zip(expected).try_for_each(|(found, expected)| near(*found, *expected, 1e-6 * (1.0 + expected)))
    };
    Sheet::new("inertia", 2.0)
        .visible("0, 2 and 10 from centres 0 and 9, two steps", move || {
            close(&f(&[vec![0.0], vec![2.0], vec![10.0]], &[vec![0.0], vec![9.0]], 2), &[5.0, 2.0])
        })
        .hidden("many rows; never more than a step before", 1.0, move || {
            let rows = blobs(120, 5, 3, 4);
            let found = f(&rows, &rows[..5], 8);
            close(&found, &expected(&rows, &rows[..5], 8))?;
            holds(found.windows(2).all(|pair| pair[1] <= pair[0] + 1e-9), "inertia that never rises")
        })
        .hidden("from the library's centres to the library's inertia", 0.5, move || {
            let rows = blobs(100, 3, 2, 5);
            let (centres, _, inertia) = library_fit(&rows, 3, 100)?;
            close(&f(&rows, &centres, 3), &[inertia; 3])
        })
        .hidden("a start that leaves a centre without rows; no step", 0.5, move || {
            let rows = blobs(30, 2, 2, 6);
            let start = [vec![0.0, 0.0], vec![500.0, 0.0], vec![0.5, 0.0]];
            close(&f(&rows, &start, 4), &expected(&rows, &start, 4))?;
            same(f(&rows, &start, 0).len(), 0)
        })
        .marks()
}

/// k-means on emoji by the functions, from the first picture of each class: inertia at each step, and how far the clusters agree with
/// classes and with the library's. What is not written is said in its place.
pub fn on_emoji(assign: AssignOf, update: UpdateOf, inertias: InertiasOf, rand: RandOf) -> Table {
    let rows = || -> OurResult<Vec<Vec<String>>> {
        let emoji = Emoji::read()?;
        let (rows, labels) = (emoji.colour, emoji.labels);
        let first = |class: u32| labels.iter().position(|&label| label == class).map(|at| rows[at].clone());
        let start: Vec<Vec<f64>> = (0..5).filter_map(first).collect();
        let fitted =
            library_fit(&rows, 5, 300).map_err(|found| crate::error::Error::argument("k-means", "a fit", found))?;
        let library: Vec<u32> = fitted.1.iter().map(|&label| label as u32).collect();
        let said = |found: Result<String, String>| found.unwrap_or_else(|why| why);
        let agreement = |found: Option<f64>| found.map_or("none".to_string(), |ari| format!("{ari:.3}"));
        let (these, begin) = (rows.clone(), start.clone());
        let steps = attempt(move || {
            let found = inertias(&these, &begin, 10);
            [0, 1, 4, 9].map(|step| found.get(step).map_or("none".to_string(), |x| format!("{x:.1}"))).join(", ")
        });
        let clusters = attempt(move || {
            let mut centres = start;
            for _ in 0..10 {
                centres = update(&rows, &assign(&rows, &centres), &centres);
            }
            assign(&rows, &centres).into_iter().map(|centre| centre as u32).collect::<Vec<u32>>()
        });
        let compare = |other: Vec<u32>| match clusters.clone() {
            Ok(clusters) => said(attempt(move || agreement(rand(&clusters, &other)))),
            Err(why) => why,
        };
        let (of_classes, of_library) = (compare(labels.clone()), compare(library.clone()));
        let theirs = said(attempt(move || agreement(rand(&library, &labels))));
        Ok(vec![
            vec!["inertia at steps 1, 2, 5, 10".into(), said(steps)],
            vec!["the library's inertia".into(), format!("{:.1}", fitted.2)],
            vec!["ARI of your clusters and the classes".into(), of_classes],
            vec!["ARI of the library's clusters and the classes".into(), theirs],
            vec!["ARI of your clusters and the library's".into(), of_library],
        ])
    };
    table_or("k-means with five centres on emoji by colour", &["what", "found"], rows())
}
