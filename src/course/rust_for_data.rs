//! Checks of assignment 1, *Rust for data*: accuracy, recall per class, a mean that knows when there is none, and errors.

use super::sheet::{Marks, Said, Sheet, holds, near, same, seed};
use crate::random::Random;

/// Labels and predictions of `n` images in `classes` classes; about half are right.
fn answers(n: usize, classes: u32, stream: u64) -> (Vec<u32>, Vec<u32>) {
    let mut random = Random::new("course, labels", seed(), stream);
    let truth: Vec<u32> = (0..n).map(|_| random.below(classes as usize) as u32).collect();
    let predicted = truth.iter().map(|&label| match random.below(2) {
        0 => label,
        _ => random.below(classes as usize) as u32,
    });
    let predicted = predicted.collect();
    (truth, predicted)
}

fn near_option(found: Option<f64>, expected: Option<f64>) -> Said {
    match (found, expected) {
        (Some(found), Some(expected)) => near(found, expected, 1e-12),
        _ => same(found, expected),
    }
}

/// The part of the labels that is predicted right; `None` where there is no label.
pub fn accuracy(f: fn(&[u32], &[u32]) -> Option<f64>) -> Marks {
    let right = |truth: &[u32], predicted: &[u32]| {
        let right = truth.iter().zip(predicted).filter(|(a, b)| a == b).count();
        right as f64 / truth.len() as f64
    };
    Sheet::new("accuracy", 4.0)
        .visible("two of four are right", move || near_option(f(&[0, 1, 2, 1], &[0, 1, 1, 2]), Some(0.5)))
        .hidden("a hundred labels", 2.0, move || {
            let (truth, predicted) = answers(100, 5, 0);
            near_option(f(&truth, &predicted), Some(right(&truth, &predicted)))
        })
        .hidden("all right, none right", 1.0, move || {
            near_option(f(&[3, 3], &[3, 3]), Some(1.0))?;
            near_option(f(&[3, 3], &[2, 1]), Some(0.0))
        })
        .hidden("no label at all", 1.0, move || {
            near_option(f(&[], &[]), None)?;
            near_option(f(&[1], &[1]), Some(1.0))
        })
        .marks()
}

/// How many labels are the wanted one: the check at the end of *Rust for Python readers*.
pub fn count(f: fn(&[u32], u32) -> usize) -> Marks {
    Sheet::new("count", 2.0)
        .visible("0, 1 and 1: how many are 1?", move || same(f(&[0, 1, 1], 1), 2))
        .hidden("a thousand labels", 1.0, move || {
            let (labels, _) = answers(1000, 7, 4);
            let of = |wanted: u32| labels.iter().filter(|label| **label == wanted).count();
            (0..7).try_for_each(|wanted| same(f(&labels, wanted), of(wanted)))
        })
        .hidden("a label that is not there, and no label at all", 1.0, move || {
            same(f(&[3, 3], 4), 0)?;
            same(f(&[], 0), 0)?;
            same(f(&[9], 9), 1)
        })
        .marks()
}

/// The rise from each number to the next, or what is wrong: the second check at the end of *Rust for Python readers*.
pub fn rises(f: fn(&[f64]) -> Result<Vec<f64>, String>) -> Marks {
    let close = |found: Vec<f64>, expected: Vec<f64>| {
        same(found.len(), expected.len())?;
        found.iter().zip(&expected).try_for_each(|(found, expected)| near(*found, *expected, 1e-12))
    };
    Sheet::new("rises", 2.0)
        .visible("1, 4 and 2", move || close(f(&[1.0, 4.0, 2.0])?, vec![3.0, -2.0]))
        .hidden("fifty numbers", 1.0, move || {
            let mut random = Random::new("course, rises", seed(), 0);
            let numbers: Vec<f64> = (0..50).map(|_| random.unit()).collect();
            close(f(&numbers)?, (1..50).map(|i| numbers[i] - numbers[i - 1]).collect())
        })
        .hidden("fewer than two numbers are an error, and two are none", 1.0, move || {
            holds(f(&[]).is_err() && f(&[1.0]).is_err(), "errors")?;
            close(f(&[1.0, 1.5])?, vec![0.5])
        })
        .marks()
}

/// For every class the part of its images that is predicted right; `None` for a class without images.
pub fn recall(f: fn(&[u32], &[u32], usize) -> Vec<Option<f64>>) -> Marks {
    fn expected(truth: &[u32], predicted: &[u32], classes: usize) -> Vec<Option<f64>> {
        let of = |class: usize| {
            let own: Vec<_> = truth.iter().zip(predicted).filter(|(label, _)| **label as usize == class).collect();
            let right = own.iter().filter(|(label, said)| label == said).count();
            (!own.is_empty()).then(|| right as f64 / own.len() as f64)
        };
        (0..classes).map(of).collect()
    }
    fn close(found: &[Option<f64>], expected: &[Option<f64>]) -> Said {
        same(found.len(), expected.len())?;
        found.iter().zip(expected).try_for_each(|(found, expected)| near_option(*found, *expected))
    }
    let ask = move |n, classes: u32, stream| {
        let (truth, predicted) = answers(n, classes, stream);
        close(&f(&truth, &predicted, classes as usize), &expected(&truth, &predicted, classes as usize))
    };
    Sheet::new("recall per class", 4.0)
        .visible("two classes, the second without a hit", move || {
            close(&f(&[0, 0, 1, 0], &[0, 1, 0, 0], 2), &[Some(2.0 / 3.0), Some(0.0)])
        })
        .hidden("two hundred labels of five classes", 2.0, move || ask(200, 5, 1))
        .hidden("more classes than labels: some have no image", 1.0, move || ask(10, 30, 2))
        .hidden("no label at all: a class has no recall, and none is missing", 1.0, move || {
            close(&f(&[], &[], 3), &[None, None, None])?;
            close(&f(&[1], &[1], 2), &[None, Some(1.0)])
        })
        .marks()
}

/// The mean of the numbers that are there; `None` where there is none.
pub fn mean_of_some(f: fn(&[Option<f64>]) -> Option<f64>) -> Marks {
    Sheet::new("mean of what is there", 2.0)
        .visible("1 and 2, and one that is missing", move || near_option(f(&[Some(1.0), None, Some(2.0)]), Some(1.5)))
        .hidden("many numbers with gaps", 1.0, move || {
            let mut random = Random::new("course, gaps", seed(), 0);
            let numbers: Vec<Option<f64>> =
                (0..500).map(|_| (random.below(3) > 0).then(|| 10.0 * random.unit() - 5.0)).collect();
            let there: Vec<f64> = numbers.iter().flatten().copied().collect();
            match (f(&numbers), there.iter().sum::<f64>() / there.len() as f64) {
                (Some(found), expected) => near(found, expected, 1e-9),
                (None, expected) => same(None, Some(expected)),
            }
        })
        .hidden("nothing, and nothing but gaps", 1.0, move || {
            near_option(f(&[]), None)?;
            near_option(f(&[None, None]), None)?;
            near_option(f(&[Some(3.0)]), Some(3.0))
        })
        .marks()
}

/// Accuracy that refuses lists of different lengths, and no list, with a message that says both lengths.
pub fn checked(f: fn(&[u32], &[u32]) -> Result<f64, String>) -> Marks {
    // Who finds fault with everything has found nothing.
    let sound = move || holds(f(&[1], &[1]).is_ok(), "no error where nothing is wrong");
    Sheet::new("an error that says what is wrong", 4.0)
        .visible("lengths that fit", move || near(f(&[1, 2], &[1, 1])?, 0.5, 1e-12))
        .visible("three labels, two predictions", move || match f(&[1, 2, 3], &[1, 2]) {
            Ok(found) => Err(format!("expected an error, found {found}")),
            Err(_) => Ok(()),
        })
        .hidden("many labels", 1.0, move || {
            let (truth, predicted) = answers(64, 3, 3);
            let right = truth.iter().zip(&predicted).filter(|(a, b)| a == b).count();
            near(f(&truth, &predicted)?, right as f64 / 64.0, 1e-12)
        })
        .hidden("lengths that differ, both ways", 1.0, move || {
            sound()?;
            holds(f(&[1, 2, 3], &[1, 2]).is_err() && f(&[1], &[1, 2]).is_err(), "errors")
        })
        .hidden("the message names both lengths", 1.0, move || match f(&[7; 13], &[7; 29]) {
            Err(message) => {
                sound()?;
                holds(message.contains("13") && message.contains("29"), "both lengths")
            }
            Ok(_) => Err("an error".into()),
        })
        .hidden("no label at all", 1.0, move || {
            sound()?;
            holds(f(&[], &[]).is_err(), "an error")
        })
        .marks()
}
