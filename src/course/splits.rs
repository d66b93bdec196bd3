//! Checks of assignment 2, *Splits that do not leak*: the study's counts, a draw per class, groups that stay together, and mates found.

use super::on_data::given;
use super::sheet::{Marks, Said, Sheet, holds, same, seed};
use crate::display::{Cell, Table};
use crate::project::Project;
use crate::published::{self, PublishedSplit};
use crate::random::Random;
use crate::splits::{grouped_split, leaky_split, study_counts};
use std::collections::{BTreeMap, BTreeSet};

/// From the label budget and the images of the smallest class to the images per class for training and validation.
pub type Counts = fn(usize, usize) -> Option<(usize, usize)>;
/// From rows of budget, images, classes, training and validation images to whether the rule explains each.
pub type Explained = fn(&[[usize; 5]]) -> Vec<bool>;
/// From labels, the number of classes, the images per class for training and validation, and a seed to training, validation, test.
pub type PlainSplit = fn(&[u32], usize, (usize, usize), u64) -> Result<[Vec<usize>; 3], String>;
/// From labels, groups, the number of classes and a seed to training and test.
pub type GroupedSplit = fn(&[u32], &[u32], usize, u64) -> Result<[Vec<usize>; 2], String>;
/// From training images, test images and groups to the test images with a mate in training.
pub type Leaked = fn(&[usize], &[usize], &[u32]) -> Vec<usize>;

/// The study's images per class for training and validation. With n = min(budget, four fifths of the smallest class, rounded down):
/// n / 4, rounded down, for validation, and 3 n / 4, rounded up, less 1 for training; `None` where no training image is left.
pub fn counts(f: Counts) -> Marks {
    let ask = move |budget, smallest| {
        let expected = study_counts(budget, smallest).ok().map(|counts| (counts.train, counts.val));
        same(f(budget, smallest), expected)
    };
    Sheet::new("images per class", 3.0)
        .visible("a budget of 10, 800 images in the smallest class", move || ask(10, 800))
        .visible("a budget of 10, 10 images in the smallest class", move || ask(10, 10))
        .hidden("many budgets, with images enough", 1.0, move || {
            let mut random = Random::new("course, budgets", seed(), 0);
            (0..60).try_for_each(|_| ask(4 + random.below(400), 1000 + random.below(1000)))
        })
        .hidden("smallest classes that cannot give the budget", 1.0, move || {
            let mut random = Random::new("course, budgets", seed(), 1);
            (0..60).try_for_each(|_| ask(1000 + random.below(1000), 5 + random.below(400)))
        })
        .hidden("next to no images, and next to no budget", 1.0, move || {
            (0..5).try_for_each(|small| (0..9).try_for_each(|other| ask(small, other).and_then(|()| ask(other, small))))
        })
        .marks()
}

/// Whether there is a smallest class M, of at most images / classes (rounded down), with which the rule gives a row's training and
/// validation images, both summed over its classes. A row without classes is not explained.
pub fn explained(f: Explained) -> Marks {
    fn expected(rows: &[[usize; 5]]) -> Vec<bool> {
        let of = |&[budget, total, classes, train, val]: &[usize; 5]| {
            (1..=total.checked_div(classes).unwrap_or(0)).any(|smallest| {
                let counts = study_counts(budget, smallest);
                counts.is_ok_and(|counts| (counts.train * classes, counts.val * classes) == (train, val))
            })
        };
        rows.iter().map(of).collect()
    }
    let ask = move |rows: &[[usize; 5]]| same(f(rows), expected(rows));
    Sheet::new("what the rule explains", 2.0)
        .visible("PatternNet at 10, and FMoW at 100", move || {
            ask(&[[10, 30_400, 38, 266, 76], [100, 76_863, 62, 4517, 1527]])
        })
        .hidden("all rows of the published table", 2.0, move || {
            let rows: Vec<_> = published_splits()?.iter().map(numbers).collect();
            ask(&rows)
        })
        .hidden("a table of other numbers", 1.0, move || {
            let mut random = Random::new("course, tables", seed(), 0);
            let mut rows = Vec::new();
            for number in 0..90 {
                let (budget, classes, smallest) = (8 + random.below(60), 2 + random.below(50), 20 + random.below(60));
                let total = classes * (smallest + random.below(9));
                let counts = study_counts(budget, smallest).map_err(|error| error.to_string())?;
                let (train, val) = (counts.train * classes, counts.val * classes);
                rows.push(match number % 6 {
                    0 => [budget, total, classes, train, val],
                    1 => [budget, total, classes, train + 1, val],
                    2 => [budget, total, classes, train, val + classes],
                    3 => [budget, total, classes, val, train],
                    4 => [counts.drawn - 1, total, classes, train, val],
                    _ => [budget, classes * counts.drawn, classes, train, val],
                });
            }
            ask(&rows)
        })
        .hidden("rows that no split can have, and a table without rows", 1.0, move || {
            ask(&[[10, 100, 0, 0, 0], [10, 20, 10, 0, 0], [0, 100, 2, 0, 0], [10, 30_400, 38, 266, 76]])?;
            ask(&[])
        })
        .marks()
}

fn published_splits() -> Result<Vec<PublishedSplit>, String> {
    let project = Project::find().map_err(|error| error.to_string())?;
    published::splits(project.root()).map_err(|error| error.to_string())
}

fn numbers(row: &PublishedSplit) -> [usize; 5] {
    [row.budget, row.total, row.classes, row.train, row.val]
}

fn only_a_caption(caption: String) -> Table {
    Table { caption, ..Table::default() }
}

/// The published split table, with what a student's function says of each row. Not a check: a function that is not written says so.
pub fn published_table(f: Explained) -> Table {
    let rows = match published_splits() {
        Ok(rows) => rows,
        Err(error) => return only_a_caption(error),
    };
    let asked: Vec<_> = rows.iter().map(numbers).collect();
    let said = given(move || f(&asked)).unwrap_or_default();
    let told = |at: usize| said.get(at).map_or("not written yet", |&explained| if explained { "yes" } else { "no" });
    let row = |(at, row): (usize, &PublishedSplit)| {
        let numbers = [row.budget, row.total, row.classes, row.train, row.val].map(|number| number.to_string());
        [vec![row.dataset.clone()], numbers.to_vec(), vec![told(at).into()]]
            .concat()
            .into_iter()
            .map(Cell::from)
            .collect()
    };
    Table {
        caption: "The study's split table, and whether your rule explains it".into(),
        header: ["data set", "budget", "images", "classes", "train", "val", "explained"].map(String::from).to_vec(),
        rows: rows.iter().enumerate().map(row).collect(),
    }
}

/// Labels with so many images of each class, in no order.
fn pool(sizes: &[usize], stream: u64) -> Vec<u32> {
    let mut labels: Vec<u32> = sizes.iter().enumerate().flat_map(|(class, &n)| vec![class as u32; n]).collect();
    Random::new("course, pool", seed(), stream).shuffle(&mut labels);
    labels
}

fn of_class(images: &[usize], labels: &[u32], class: u32) -> usize {
    images.iter().filter(|&&image| labels.get(image) == Some(&class)).count()
}

fn everything_once(parts: &[Vec<usize>], n: usize) -> Said {
    let mut all = parts.concat();
    all.sort_unstable();
    holds(all.into_iter().eq(0..n), "every image in one list, once")?;
    holds(parts.iter().all(|part| part.is_sorted()), "lists in ascending order")
}

/// A split with the same number of training and of validation images in every class; all others are test. Three ascending lists.
/// The same seed gives the same split, another one another. More of each class takes nothing out of training or validation, and what
/// one class gives does not depend on other classes. An error for a label that is no class, and for a class with too few images.
pub fn plain_split(f: PlainSplit) -> Marks {
    let sizes = [30, 45, 60, 33];
    // A split whose lists are as long as they should be: what is asked of empty ones holds too easily.
    let of = move |labels: &[u32], classes: usize, counts: (usize, usize), seed: u64| {
        let parts = f(labels, classes, counts, seed)?;
        same((parts[0].len(), parts[1].len()), (counts.0 * classes, counts.1 * classes))?;
        Ok::<_, String>(parts)
    };
    Sheet::new("a split per class", 6.0)
        .visible("two classes of four, two for training and one for validation", move || {
            let labels = [0, 1, 0, 1, 0, 1, 0, 1];
            let [train, val, test] = f(&labels, 2, (2, 1), 0)?;
            for class in 0..2 {
                let found = [&train, &val, &test].map(|part| of_class(part, &labels, class));
                same(found, [2, 1, 1])?;
            }
            Ok(())
        })
        .hidden("so many of each class, in every list", 1.0, move || {
            let labels = pool(&sizes, 0);
            for counts in [(7, 2), (1, 0), (20, 8)] {
                let parts = f(&labels, 4, counts, 3)?;
                for (class, size) in sizes.iter().enumerate() {
                    let found = [0, 1, 2].map(|part| of_class(&parts[part], &labels, class as u32));
                    same(found, [counts.0, counts.1, size - counts.0 - counts.1])?;
                }
            }
            Ok(())
        })
        .hidden("every image in one list, once; lists in order", 1.0, move || {
            let labels = pool(&sizes, 1);
            everything_once(&f(&labels, 4, (7, 2), 1)?, labels.len())?;
            everything_once(&f(&labels, 4, (20, 8), 2)?, labels.len())
        })
        .hidden("one seed twice, and other seeds", 1.0, move || {
            let labels = pool(&sizes, 2);
            let splits = (0..4).map(|seed| of(&labels, 4, (7, 2), seed)).collect::<Result<Vec<_>, _>>()?;
            holds(of(&labels, 4, (7, 2), 3)? == splits[3], "the same split")?;
            let others = (0..3).all(|part| splits.iter().map(|split| &split[part]).collect::<BTreeSet<_>>().len() == 4);
            holds(others, "other splits")
        })
        .hidden("more images of each class: what was drawn before is still there", 1.0, move || {
            let labels = pool(&sizes, 3);
            for seed in 0..5 {
                let drawn = [(3, 1), (7, 2), (20, 8)].map(|counts| of(&labels, 4, counts, seed));
                let [small, middle, large] = drawn;
                let (small, middle, large) = (small?, middle?, large?);
                let within = |a: &[usize], b: &[usize]| a.iter().all(|image| b.contains(image));
                for part in 0..2 {
                    holds(within(&small[part], &middle[part]) && within(&middle[part], &large[part]), "nested draws")?;
                }
            }
            Ok(())
        })
        .hidden("a class that grows: what the others give stays", 1.0, move || {
            let labels = pool(&sizes, 4);
            let grown = [labels.clone(), vec![0; 25]].concat();
            for seed in 0..3 {
                let (before, after) = (of(&labels, 4, (7, 2), seed)?, of(&grown, 4, (7, 2), seed)?);
                for (before, after) in before.iter().zip(&after) {
                    let others = |part: &[usize]| -> Vec<usize> {
                        part.iter().copied().filter(|&image| grown.get(image).is_some_and(|&class| class > 0)).collect()
                    };
                    holds(!others(after).is_empty() && others(before) == others(after), "the same images")?;
                }
            }
            Ok(())
        })
        .hidden("just enough images, one too few, and a label that is no class", 1.0, move || {
            let labels = pool(&[9, 12], 5);
            holds(f(&labels, 2, (7, 2), 0).is_ok(), "a split")?;
            holds(f(&labels, 2, (7, 3), 0).is_err(), "an error")?;
            holds(f(&labels, 3, (1, 0), 0).is_err(), "an error")?;
            holds(f(&labels, 1, (1, 0), 0).is_err(), "an error")
        })
        .marks()
}

/// Labels and groups of images in no order; each class has from 4 to 13 groups of 1 to 6 images, with numbers that are names.
fn families(classes: usize, stream: u64) -> (Vec<u32>, Vec<u32>) {
    let mut random = Random::new("course, families", seed(), stream);
    let mut images = Vec::new();
    for class in 0..classes {
        for group in 0..4 + random.below(10) {
            let name = 1000 * ((class * 7 + 3) % classes) as u32 + 17 * group as u32;
            images.extend(vec![(class as u32, name); 1 + random.below(6)]);
        }
    }
    random.shuffle(&mut images);
    images.into_iter().unzip()
}

/// A split into training and test, two ascending lists, in which all images of a group are on one side. A quarter of the groups of
/// each class is test, rounded down and at least one. The same seed gives the same split, another one another. An error for lists of
/// different lengths, a label that is no class, a group with images of two classes, and a class with fewer than two groups.
pub fn grouped(f: GroupedSplit) -> Marks {
    let names = |part: &[usize], groups: &[u32]| -> BTreeSet<u32> {
        part.iter().filter_map(|&image| groups.get(image).copied()).collect()
    };
    Sheet::new("a split by groups", 4.0)
        .visible("one class, four groups of two", move || {
            let groups = [5, 5, 6, 6, 7, 7, 8, 8];
            let [train, test] = f(&[0; 8], &groups, 1, 0)?;
            same((train.len(), test.len()), (6, 2))?;
            same(names(&train, &groups).len(), 3)
        })
        .hidden("no group on both sides", 1.0, move || {
            for stream in 0..5 {
                let (labels, groups) = families(6, stream);
                let [train, test] = f(&labels, &groups, 6, stream)?;
                let whole = train.len() + test.len() == labels.len() && !train.is_empty() && !test.is_empty();
                holds(whole, "all images, on two sides")?;
                holds(names(&train, &groups).is_disjoint(&names(&test, &groups)), "groups on one side")?;
            }
            Ok(())
        })
        .hidden("so many groups of each class are test; every image once, lists in order", 1.0, move || {
            for stream in 5..9 {
                let (labels, groups) = families(5, stream);
                let parts = f(&labels, &groups, 5, stream)?;
                everything_once(&parts, labels.len())?;
                for class in 0..5 {
                    let of = |images: &[usize]| -> BTreeSet<u32> {
                        images.iter().filter(|&&image| labels[image] == class).map(|&image| groups[image]).collect()
                    };
                    let all = of(&(0..labels.len()).collect::<Vec<_>>()).len();
                    same(of(&parts[1]).len(), (all / 4).max(1))?;
                }
            }
            Ok(())
        })
        .hidden("one seed twice, and other seeds", 1.0, move || {
            let (labels, groups) = families(12, 9);
            let tests = (0..4).map(|seed| f(&labels, &groups, 12, seed)).collect::<Result<Vec<_>, _>>()?;
            holds(f(&labels, &groups, 12, 3)? == tests[3], "the same split")?;
            holds(tests.iter().map(|parts| &parts[1]).collect::<BTreeSet<_>>().len() == 4, "other splits")
        })
        .hidden("what is no grouping, or has too few groups", 1.0, move || {
            holds(f(&[0, 0, 1, 1], &[1, 2, 3, 4], 2, 0).is_ok(), "a split")?;
            holds(f(&[0, 0, 1, 1], &[1, 2, 2, 3], 2, 0).is_err(), "an error for a group of two classes")?;
            holds(f(&[0, 0, 1, 1], &[1, 2, 3, 3], 2, 0).is_err(), "an error for a class of one group")?;
            holds(f(&[0, 0, 1, 1], &[1, 2, 3], 2, 0).is_err(), "an error for a group too few")?;
            holds(f(&[0, 0, 1, 1], &[1, 2, 3, 4], 1, 0).is_err(), "an error for a label that is no class")
        })
        .marks()
}

/// The test images of whose group there is an image in training, in the order in which they stand in the test list.
pub fn leaked(f: Leaked) -> Marks {
    Sheet::new("mates found", 3.0)
        .visible("the second of three test images has its twin in training", move || {
            same(f(&[0, 1], &[2, 3, 4], &[7, 8, 9, 8, 6]), vec![3])
        })
        .hidden("many families, test images in no order", 1.0, move || {
            for stream in 20..24 {
                let (_, groups) = families(8, stream);
                let mut images: Vec<usize> = (0..groups.len()).collect();
                Random::new("course, order", seed(), stream).shuffle(&mut images);
                let (train, test) = images.split_at(images.len() / 3);
                let mate = |image: &usize| train.iter().any(|other| groups[*other] == groups[*image]);
                same(f(train, test, &groups), test.iter().filter(|image| mate(image)).copied().collect())?;
            }
            Ok(())
        })
        .hidden("as many as the library counts, in a split by groups and in one that leaks", 1.0, move || {
            let text = |error: crate::error::Error| error.to_string();
            for stream in 30..36 {
                let (labels, groups) = families(5, stream);
                let sound = grouped_split(&labels, &groups, 5, 8, stream).map_err(text)?;
                let leaky = leaky_split(&labels, &groups, &sound, stream).map_err(text)?;
                for split in [sound, leaky] {
                    same(f(&split.train, &split.test, &groups).len(), split.leaked(&groups).map_err(text)?)?;
                }
            }
            Ok(())
        })
        .hidden("nothing to train on, nothing to test on, one group for all", 1.0, move || {
            same(f(&[], &[0, 1], &[3, 3]), vec![])?;
            same(f(&[0, 1], &[], &[3, 3]), vec![])?;
            same(f(&[1], &[2, 0], &[3, 3, 3]), vec![2, 0])
        })
        .marks()
}

/// How many test images of OpenEmoji have an image of their family in training, in a student's two splits, as a student's function
/// finds them. Not a check: where a function is not written the table says so.
pub fn leak_table(plain: PlainSplit, grouped: GroupedSplit, leaked: Leaked) -> Table {
    let set = match Project::find().and_then(|project| project.images("openemoji")) {
        Ok(set) => set,
        Err(error) => return only_a_caption(error.to_string()),
    };
    let mut numbers = BTreeMap::new();
    let names = set.groups.unwrap_or_default();
    let groups: Vec<u32> = names
        .into_iter()
        .map(|name| {
            let next = numbers.len() as u32;
            *numbers.entry(name).or_insert(next)
        })
        .collect();
    let (labels, classes) = (set.labels, set.classes.len());
    let row = |name: &str, split: Box<dyn FnOnce(&[u32], &[u32]) -> Result<[Vec<usize>; 2], String> + Send>| {
        let (labels, groups) = (labels.clone(), groups.clone());
        let found = given(move || {
            let [train, test] = split(&labels, &groups)?;
            let leaked = leaked(&train, &test, &groups).len();
            Ok::<_, String>((train.len(), test.len(), leaked))
        });
        let cells = match found {
            Some(Ok((train, test, leaked))) => {
                let share = format!("{:.1}%", 100.0 * leaked as f64 / test.max(1) as f64);
                [train.to_string(), test.to_string(), leaked.to_string(), share]
            }
            Some(Err(error)) => [error, String::new(), String::new(), String::new()],
            None => ["not written yet".into(), String::new(), String::new(), String::new()],
        };
        [vec![name.to_string()], cells.to_vec()].concat().into_iter().map(Cell::from).collect()
    };
    let drawn = move |counts: (usize, usize)| {
        move |labels: &[u32], _: &[u32]| plain(labels, classes, counts, 0).map(|[train, _, test]| [train, test])
    };
    Table {
        caption: "OpenEmoji: one emoji in several styles is a family".into(),
        header: ["split", "train", "test", "test images with a mate in training", "share"].map(String::from).to_vec(),
        rows: vec![
            row("image by image, budget 10", Box::new(drawn((7, 2)))),
            row("image by image, budget 100", Box::new(drawn((35, 12)))),
            row("by family", Box::new(move |labels, groups| grouped(labels, groups, classes, 0))),
        ],
    }
}
