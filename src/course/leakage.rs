//! Checks of assignment 6, *Plant and find leakage*: near copies put into the training rows, found by distance and by group, what
//! they are worth, and a split without them.

use super::on_data::{Emoji, attempt, matrix, of, table_or};
use super::sheet::{Marks, Said, Sheet, holds, near, same, seed};
use crate::display::Table;
use crate::error::Result as OurResult;
use crate::metrics::accuracy;
use crate::neighbours::{Index, Metric};
use crate::probe::knn::Knn;
use crate::probe::labelled;
use crate::random::Random;
use crate::splits::{Split, grouped_split, leaky_split};
use linfa::traits::Fit;
use std::collections::BTreeSet;

/// Rows of features.
pub type Rows = [Vec<f64>];
/// Training rows, test rows, numbers of test rows and a shift in; the training rows with the copies out.
pub type PlantOf = fn(&Rows, &Rows, &[usize], f64) -> Result<Vec<Vec<f64>>, String>;
/// One row and training rows in; the place of the nearest and its distance out.
pub type NearestOf = fn(&[f64], &Rows) -> Option<(usize, f64)>;
/// Training rows, test rows and a distance in; numbers of suspect test rows out.
pub type SuspectsOf = fn(&Rows, &Rows, f64) -> Vec<usize>;
/// Groups of the training and of the test rows in; numbers of test rows whose group is trained on out.
pub type LeakedOf = fn(&[u32], &[u32]) -> Vec<usize>;
/// Numbers of training and of test rows.
pub type Parts<'a> = (&'a [usize], &'a [usize]);
/// All rows and labels, the leaky parts and the grouped parts in; the difference of the accuracies out.
pub type GainOf = fn(&Rows, &[u32], Parts, Parts) -> Option<f64>;
/// Group and label of each training and each test row in; numbers of the rows that stay out.
pub type CleanOf = fn(&[(u32, u32)], &[(u32, u32)]) -> (Vec<usize>, Vec<usize>);

/// Rows whose numbers f32 holds, so that the library sees the same ones.
fn drawn(n: usize, width: usize, stream: u64) -> Vec<Vec<f64>> {
    let mut random = Random::new("course, leakage rows", seed(), stream);
    (0..n).map(|_| (0..width).map(|_| f64::from(random.normal() as f32)).collect()).collect()
}

/// The training rows as they were, and behind them, for each number in the list, a copy of that test row with the shift added to
/// each of its values. A number that is no test row's is an error, and the message names it.
pub fn plant(f: PlantOf) -> Marks {
    fn planted(train: &Rows, test: &Rows, which: &[usize], shift: f64) -> Vec<Vec<f64>> {
        let copies = which.iter().map(|&row| test[row].iter().map(|x| x + shift).collect());
        train.iter().cloned().chain(copies).collect()
    }
    fn close(found: Result<Vec<Vec<f64>>, String>, expected: &Rows) -> Said {
        let found = found?;
        same(found.iter().map(Vec::len).collect::<Vec<_>>(), expected.iter().map(Vec::len).collect())?;
        let pairs = found.iter().flatten().zip(expected.iter().flatten());
        pairs.into_iter().try_for_each(|(found, expected)| near(*found, *expected, 1e-12))
    }
    Sheet::new("planted copies", 3.0)
        .visible("one row, and a copy of test row 1", move || {
            close(f(&[vec![0.0, 0.0]], &[vec![1.0, 2.0], vec![3.0, 4.0]], &[1], 0.5), &[vec![0.0, 0.0], vec![3.5, 4.5]])
        })
        .hidden("several rows, one of them twice, in the order of the list", 1.0, move || {
            let (train, test) = (drawn(20, 5, 0), drawn(15, 5, 1));
            let mut random = Random::new("course, which to plant", seed(), 0);
            let mut which: Vec<usize> = (0..6).map(|_| random.below(15)).collect();
            which.push(which[0]);
            close(f(&train, &test, &which, 0.25), &planted(&train, &test, &which, 0.25))
        })
        .hidden("nothing to plant; nothing to train on", 1.0, move || {
            let (train, test) = (drawn(4, 3, 2), drawn(3, 3, 3));
            close(f(&train, &test, &[], 1.0), &train)?;
            close(f(&[], &test, &[2, 0], -1.0), &planted(&[], &test, &[2, 0], -1.0))
        })
        .hidden("a row that is not there: an error that names it", 1.0, move || {
            let (train, test) = (drawn(90, 2, 4), drawn(73, 2, 5));
            match f(&train, &test, &[1, 73], 0.1) {
                Err(message) => holds(message.contains("73"), "the number of the row in the message")?,
                Ok(_) => return Err("an error".into()),
            }
            close(f(&train, &test, &[72], 0.1), &planted(&train, &test, &[72], 0.1))
        })
        .marks()
}

/// The place of the training row with the smallest Euclidean distance and that distance; the first of equals; `None` where there is
/// no training row.
pub fn nearest(f: NearestOf) -> Marks {
    let close = |found: Option<(usize, f64)>, (row, distance): (usize, f64)| match found {
        Some(found) => same(found.0, row).and_then(|()| near(found.1, distance, 1e-9)),
        None => same(None, Some((row, distance))),
    };
    Sheet::new("nearest row", 2.0)
        .visible("(0, 0) among (3, 4), (0, 1) and (5, 5)", move || {
            close(f(&[0.0, 0.0], &[vec![3.0, 4.0], vec![0.0, 1.0], vec![5.0, 5.0]]), (1, 1.0))
        })
        .hidden("many rows, against the library's search", 1.0, move || {
            let (train, test) = (drawn(150, 6, 10), drawn(60, 6, 11));
            let all = |n: usize| (0..n).collect::<Vec<usize>>();
            let index = Index::new(matrix(&train, &all(150)).into_shared(), Metric::Euclidean);
            let library = index.and_then(|index| index.nearest(matrix(&test, &all(60)).view(), 1));
            let library = library.map_err(|error| error.to_string())?;
            (0..60).try_for_each(|i| close(f(&test[i], &train), (library.rows[[i, 0]], library.distances[[i, 0]])))
        })
        .hidden("rows that are equally far", 0.5, move || {
            let away = [vec![9.0, 9.0], vec![0.0, 2.0], vec![2.0, 0.0], vec![0.0, -2.0]];
            close(f(&[0.0, 0.0], &away), (1, 2.0))?;
            close(f(&[9.0, 9.0], &[away[2].clone(), away[0].clone(), away[0].clone()]), (1, 0.0))
        })
        .hidden("no training row", 0.5, move || same(f(&[1.0], &[]), None))
        .marks()
}

/// The numbers of the test rows whose nearest training row is closer than the distance, ascending; exactly as far is not closer.
pub fn suspects(f: SuspectsOf) -> Marks {
    Sheet::new("suspect test rows", 3.0)
        .visible("test rows 0 and 2 have a neighbour closer than 1", move || {
            let test = [vec![0.5], vec![4.0], vec![10.25]];
            same(f(&[vec![0.0], vec![10.0]], &test, 1.0), vec![0, 2])
        })
        .hidden("planted copies and nothing else", 1.5, move || {
            let (mut train, test) = (drawn(80, 12, 20), drawn(60, 12, 21));
            let mut random = Random::new("course, planted", seed(), 0);
            let planted: BTreeSet<usize> = (0..9).map(|_| random.below(60)).collect();
            for &row in &planted {
                train.push(test[row].iter().map(|x| x + 0.01 * (random.unit() - 0.5)).collect());
            }
            random.shuffle(&mut train);
            same(f(&train, &test, 0.05), planted.into_iter().collect())
        })
        .hidden("exactly as far as the distance", 1.0, move || {
            let train = [vec![0.0, 0.0], vec![8.0, 8.0]];
            let test = [vec![3.0, 4.0], vec![8.0, 8.0], vec![0.0, 4.5], vec![8.0, 3.0]];
            same(f(&train, &test, 5.0), vec![1, 2])
        })
        .hidden("no training row; no test row; a distance of 0", 0.5, move || {
            same(f(&[], &[vec![1.0]], 9.0), vec![])?;
            same(f(&[vec![1.0]], &[], 9.0), vec![])?;
            same(f(&[vec![1.0]], &[vec![1.0]], 0.0), vec![])
        })
        .marks()
}

/// The numbers of the test rows whose group is that of a training row too, ascending.
pub fn leaked(f: LeakedOf) -> Marks {
    Sheet::new("shared groups", 2.0)
        .visible("group 7 is on both sides", move || same(f(&[7, 3], &[5, 7, 7]), vec![1, 2]))
        .hidden("many groups, as many as the library counts", 1.0, move || {
            let mut random = Random::new("course, groups", seed(), 0);
            let groups: Vec<u32> = (0..400).map(|_| 1000 * random.below(150) as u32).collect();
            let (train, test) = ((0..150).collect::<Vec<usize>>(), (150..400).collect::<Vec<usize>>());
            let split = Split { train, val: vec![], test, unused: vec![], report: vec![] };
            let count = split.leaked(&groups).map_err(|error| error.to_string())?;
            let found = f(&groups[..150], &groups[150..]);
            same(found.len(), count)?;
            same(found, (0..250).filter(|&i| groups[..150].contains(&groups[150 + i])).collect())
        })
        .hidden("no group shared; a part without rows", 1.0, move || {
            same(f(&[1, 2, 3], &[4, 5]), vec![])?;
            same(f(&[], &[4, 5]), vec![])?;
            same(f(&[4, 5], &[]), vec![])?;
            same(f(&[4, 4, 4], &[4]), vec![0])
        })
        .marks()
}

/// Rows in families, their labels and families: a family lies near its class, and its rows near each other.
fn in_families(families: usize, of_each: usize, stream: u64) -> (Vec<Vec<f64>>, Vec<u32>, Vec<u32>) {
    let mut random = Random::new("course, in families", seed(), stream);
    let (mut rows, mut labels, mut groups) = (vec![], vec![], vec![]);
    for family in 0..families {
        let label = family % 3;
        let mut middle: Vec<f64> = (0..4).map(|_| random.normal()).collect();
        middle[label] += 1.0;
        for _ in 0..of_each {
            rows.push(middle.iter().map(|x| f64::from((x + 0.05 * random.normal()) as f32)).collect());
            labels.push(label as u32);
            groups.push(family as u32);
        }
    }
    (rows, labels, groups)
}

/// Accuracy of the library's nearest-neighbour classifier.
fn one_nn(rows: &Rows, labels: &[u32], (train, test): Parts) -> OurResult<f64> {
    let fitted = Knn::params(1).fit(&labelled(matrix(rows, train), of(labels, train))?)?;
    accuracy(&fitted.try_predict(matrix(rows, test).view())?.to_vec(), &of(labels, test))
}

fn one_nn_gain(rows: &Rows, labels: &[u32], leaky: Parts, grouped: Parts) -> OurResult<f64> {
    Ok(one_nn(rows, labels, leaky)? - one_nn(rows, labels, grouped)?)
}

/// The accuracy of 1-NN with the leaky parts minus that with the grouped parts. Parts are numbers of rows; the nearest training row
/// (the first of equals in the part) gives its label. `None` where a part has no row.
pub fn gain(f: GainOf) -> Marks {
    let close = |found: Option<f64>, expected: f64| match found {
        Some(found) => near(found, expected, 1e-9),
        None => same(None, Some(expected)),
    };
    let ask = move |stream: u64, swapped: bool| {
        let (rows, labels, families) = in_families(45, 6, stream);
        let grouped = grouped_split(&labels, &families, 3, 60, seed()).map_err(|error| error.to_string())?;
        let leaky = leaky_split(&labels, &families, &grouped, seed()).map_err(|error| error.to_string())?;
        let (mut first, mut second) = ((&leaky.train[..], &leaky.test[..]), (&grouped.train[..], &grouped.test[..]));
        if swapped {
            (first, second) = (second, first);
        }
        let expected = one_nn_gain(&rows, &labels, first, second).map_err(|error| error.to_string())?;
        close(f(&rows, &labels, first, second), expected)
    };
    Sheet::new("what leakage is worth", 4.0)
        .visible("1 of 1 right with the leak, 0 of 2 without: 1", move || {
            let rows = [vec![0.0], vec![0.1], vec![5.0], vec![5.1]];
            close(f(&rows, &[0, 0, 1, 1], (&[0], &[1]), (&[0], &[2, 3])), 1.0)
        })
        .hidden("families on both sides, and on one side", 1.5, move || ask(0, false))
        .hidden("the first pair of parts is the worse one", 0.5, move || ask(1, true))
        .hidden("rows in another order, labels that are no small numbers", 1.0, move || {
            let rows = [vec![7.0], vec![1.0], vec![7.2], vec![1.1], vec![4.0], vec![6.9]];
            let labels = [900, 40, 40, 40, 900, 900];
            // 2 is nearest to 0, 3 to 1, 5 to 0: 2 of 3. 0 and 1 are nearest to 2 and 3: 1 of 2.
            close(f(&rows, &labels, (&[1, 0], &[2, 3, 5]), (&[3, 2], &[0, 1])), 2.0 / 3.0 - 0.5)
        })
        .hidden("a part without rows", 1.0, move || {
            let (rows, labels) = ([vec![0.0], vec![1.0]], [0, 1]);
            let whole: Parts = (&[0], &[1]);
            for none in [(&[][..], &[1][..]), (&[0][..], &[][..])] {
                same(f(&rows, &labels, none, whole), None)?;
                same(f(&rows, &labels, whole, none), None)?;
            }
            close(f(&rows, &labels, whole, whole), 0.0)
        })
        .marks()
}

/// Rows that stay, each part ascending, so that no group is on both sides and no class that was trained on is lost. Training rows
/// whose group is tested on go; but where a class would have no training row left, its training rows stay, and the test rows of
/// their groups go. A group has one label.
pub fn clean(f: CleanOf) -> Marks {
    fn rule(train: &[(u32, u32)], test: &[(u32, u32)]) -> (Vec<usize>, Vec<usize>) {
        let tested: BTreeSet<u32> = test.iter().map(|row| row.0).collect();
        let own: BTreeSet<u32> = train.iter().filter(|row| !tested.contains(&row.0)).map(|row| row.1).collect();
        let stays = |row: &(u32, u32)| !own.contains(&row.1) || !tested.contains(&row.0);
        let kept: Vec<usize> = (0..train.len()).filter(|&i| stays(&train[i])).collect();
        let groups: BTreeSet<u32> = kept.iter().map(|&i| train[i].0).collect();
        (kept, (0..test.len()).filter(|&i| !groups.contains(&test[i].0)).collect())
    }
    let ask = move |train: &[(u32, u32)], test: &[(u32, u32)]| same(f(train, test), rule(train, test));
    // Groups are numbered so that the label of one is its remainder by the number of classes.
    let rows = |n: usize, groups: usize, classes: u32, stream: u64| {
        let mut random = Random::new("course, to be cleaned", seed(), stream);
        let groups = (0..n).map(|_| random.below(groups) as u32).collect::<Vec<u32>>();
        groups.into_iter().map(|group| (group, group % classes)).collect::<Vec<(u32, u32)>>()
    };
    Sheet::new("a clean split", 4.0)
        .visible("group 1 is on both sides, its class has group 2 besides", move || {
            same(f(&[(1, 0), (2, 0)], &[(1, 0), (3, 0)]), (vec![1], vec![0, 1]))
        })
        .hidden("many rows of classes that have groups to spare", 1.5, move || {
            ask(&rows(120, 90, 3, 0), &rows(80, 90, 3, 1))
        })
        .hidden("a class of which every training row is shared", 1.5, move || {
            let train = [(4, 0), (5, 0), (6, 1), (7, 1), (6, 1)];
            let test = [(6, 1), (4, 0), (7, 1), (9, 1), (8, 0), (6, 1)];
            ask(&train, &test)?;
            // Each class has a single group in training, shared.
            ask(&[(0, 0), (1, 1), (0, 0)], &[(1, 1), (2, 0), (0, 0), (4, 1)])
        })
        .hidden("nothing shared; a class that is tested alone; a part without rows", 1.0, move || {
            ask(&[(1, 0), (2, 1)], &[(3, 0), (4, 1), (5, 2)])?;
            ask(&[(1, 0), (2, 0)], &[(1, 0), (5, 2), (5, 2)])?;
            ask(&[], &[(5, 2)])?;
            ask(&[(5, 2)], &[])
        })
        .marks()
}

/// The leaky and the grouped split of emoji, as the functions see them: test pictures whose group is trained on, those with a close
/// neighbour, accuracy of 1-NN by the library, and the gain. What is not written is said in its place.
pub fn on_emoji(leaked: LeakedOf, suspects: SuspectsOf, gain: GainOf) -> Table {
    let rows = || -> OurResult<Vec<Vec<String>>> {
        let emoji = Emoji::read()?;
        let grouped = grouped_split(&emoji.labels, &emoji.families, emoji.n_classes(), 40, 0)?;
        let leaky = leaky_split(&emoji.labels, &emoji.families, &grouped, 0)?;
        let mut rows = Vec::new();
        let said = |found: Result<String, String>| found.unwrap_or_else(|why| why);
        for (name, split) in [("at random", &leaky), ("by family", &grouped)] {
            let (train, test) = (of(&emoji.colour, &split.train), of(&emoji.colour, &split.test));
            let groups = (of(&emoji.families, &split.train), of(&emoji.families, &split.test));
            let shared = attempt(move || leaked(&groups.0, &groups.1).len().to_string());
            let close = attempt(move || suspects(&train, &test, 0.5).len().to_string());
            let right = one_nn(&emoji.colour, &emoji.labels, (&split.train, &split.test))?;
            let accuracy = format!("{:.1}%", 100.0 * right);
            rows.push(vec![name.into(), split.test.len().to_string(), said(shared), said(close), accuracy]);
        }
        let Emoji { labels, colour, .. } = emoji;
        let found = attempt(move || {
            gain(&colour, &labels, (&leaky.train, &leaky.test), (&grouped.train, &grouped.test))
                .map_or("none".to_string(), |gain| format!("{:+.1} points", 100.0 * gain))
        });
        rows.push(vec!["gain by your function".into(), String::new(), String::new(), String::new(), said(found)]);
        Ok(rows)
    };
    let header = ["split", "test pictures", "with a trained-on family", "closer than 0.5", "accuracy of 1-NN"];
    table_or("The nearest neighbour on emoji by colour", &header, rows())
}
