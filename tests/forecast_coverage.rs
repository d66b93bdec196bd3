//! Whether forecasts of learning curves hold what they say, on curves that were measured farther than they are shown.
//!
//! `tests/golden/curves.json`: icons and emoji under the project's models, kNN and logistic regression, in and out of
//! distribution (`forecast_curves.rs` measures them). `tests/golden/forecast.json`: scikit-learn's digits. Ten seeds,
//! training images nested and doubling. Each test family belongs to half a or half b, for all seeds.
//!
//! A case: the first k sizes (3 or more) of five seeds are seen, the truth is what the five other seeds have at the
//! next size, twice the last one seen. `cargo test --test forecast_coverage -- --nocapture` prints the table.

use serde_json::Value;
use std::collections::BTreeSet;
use wider_clip::metrics::{CurveForecast, FORM, Forecast, Measured, TestImages};
use wider_clip::results::read_rows;

const SEEDS: usize = 10;

struct Curve {
    dataset: String,
    split: String,
    sizes: Vec<f64>,
    /// Right answers of half a and half b, by seed and size.
    right: [Vec<Vec<f64>>; 2],
    /// Test images of a and b by seed, and their families.
    images: Vec<[f64; 2]>,
    families: Vec<[f64; 2]>,
    /// Families of a, and of both halves, that the first and the last five seeds are tested on.
    distinct: [[usize; 2]; 2],
}

/// Which test images are looked at.
#[derive(Clone, Copy)]
enum Part {
    Both,
    A,
    B,
}

impl Part {
    fn sum(self, of: [f64; 2]) -> f64 {
        match self {
            Part::Both => of[0] + of[1],
            Part::A => of[0],
            Part::B => of[1],
        }
    }
}

impl Curve {
    fn accuracy(&self, part: Part, seed: usize, size: usize) -> f64 {
        part.sum([0, 1].map(|half| self.right[half][seed][size])) / part.sum(self.images[seed])
    }

    /// Independent test images of the five seeds of a fold.
    fn test(&self, part: Part, fold: usize) -> TestImages {
        let seen = (5 * fold..5 * fold + 5).map(|seed| part.sum(self.families[seed]));
        let distinct = match part {
            Part::Both => self.distinct[fold][1],
            Part::A => self.distinct[fold][0],
            Part::B => self.distinct[fold][1] - self.distinct[fold][0],
        };
        TestImages { each: (seen.sum::<f64>() / 5.0) as usize, distinct }
    }
}

fn json(name: &str) -> Value {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn list<T>(value: &Value, of: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().unwrap().iter().map(of).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn curves() -> Vec<Curve> {
    let (mut sets, digits) = (json("curves").as_array().unwrap().clone(), json("forecast")["digits"].clone());
    sets.push(digits);
    let mut curves = Vec::new();
    for set in &sets {
        let counts = list(&set["counts"], |counts| list(counts, number));
        let distinct = list(&set["distinct"], |distinct| list(distinct, |n| n.as_u64().unwrap() as usize));
        for curve in set["curves"].as_array().unwrap() {
            curves.push(Curve {
                dataset: set["dataset"].as_str().unwrap().into(),
                split: set["split"].as_str().unwrap().into(),
                sizes: list(&curve["sizes"], number),
                right: ["a", "b"].map(|half| list(&curve[half], |seed| list(seed, number))),
                images: counts.iter().map(|counts| [counts[0], counts[1]]).collect(),
                families: counts.iter().map(|counts| [counts[2], counts[3]]).collect(),
                distinct: [0, 1].map(|fold| [distinct[fold][0], distinct[fold][2]]),
            });
        }
    }
    assert!(curves.iter().all(|curve| curve.images.len() == SEEDS && curve.right.iter().all(|a| a.len() == SEEDS)));
    curves
}

/// What was said and what was so.
struct Case<'a> {
    curve: &'a Curve,
    said: Forecast,
    forecast: CurveForecast,
    /// Doublings that the truth is beyond what was seen.
    doublings: f64,
    /// The mean of the seeds that were not seen, and each of them.
    truth: f64,
    each: Vec<f64>,
    /// The last mean seen.
    last: f64,
    /// The gain said from the last size seen, and that of the unseen seeds.
    gain: ((f64, f64), f64),
}

/// All cases with `repeats` of the five seen seeds, `steps` sizes beyond; seen on `seen`, true on `truth`.
fn cases<'a>(curves: &'a [Curve], repeats: usize, steps: usize, seen: Part, truth: Part) -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for curve in curves {
        for fold in 0..2 {
            let mean = |size: usize| {
                let other = 5 * (1 - fold);
                let each: Vec<f64> = (other..other + 5).map(|seed| curve.accuracy(truth, seed, size)).collect();
                (each.iter().sum::<f64>() / 5.0, each)
            };
            for k in 3..curve.sizes.len() + 1 - steps {
                let of = |size: usize| Measured {
                    size: curve.sizes[size],
                    accuracies: (5 * fold..5 * fold + repeats).map(|seed| curve.accuracy(seen, seed, size)).collect(),
                };
                let points: Vec<Measured> = (0..k).map(of).collect();
                let mut test = curve.test(seen, fold);
                // Of fewer seeds fewer families: as many as three quarters of the rest are not in a test.
                let share = (1.0 - 0.75f64.powi(repeats as i32)) / (1.0 - 0.75f64.powi(5));
                test.distinct = ((test.distinct as f64 * share) as usize).max(test.each);
                let forecast = CurveForecast::new(&points, test, 0).unwrap();
                let (last, asked) = (curve.sizes[k - 1], curve.sizes[k + steps - 1]);
                let (truth, each) = mean(k + steps - 1);
                let gain = forecast.gain(last, asked).unwrap();
                cases.push(Case {
                    curve,
                    said: forecast.at(asked).unwrap(),
                    doublings: (asked / last).log2(),
                    truth,
                    each,
                    last: points[k - 1].accuracies.iter().sum::<f64>() / repeats as f64,
                    gain: ((gain.low, gain.high), truth - mean(k - 1).0),
                    forecast,
                });
            }
        }
    }
    cases
}

impl Case<'_> {
    fn error(&self) -> f64 {
        (self.truth - self.said.mean).abs()
    }

    fn half(&self) -> f64 {
        self.said.parts.total()
    }

    /// Without what other test images would add: the unseen seeds are tested on images of the same data set.
    fn half_here(&self) -> f64 {
        self.said.parts.seeds.hypot(self.said.parts.form)
    }

    /// Whether the sizes said for the truth's accuracy are around its size.
    fn labels_hold(&self) -> bool {
        let (found, size) = (self.forecast.labels_for(self.truth).unwrap(), self.said.size);
        // Places are found to the twelfth digit.
        found.low.is_some_and(|low| low <= size * 1.000_001) && found.high.is_none_or(|high| size <= high * 1.000_001)
    }

    fn gain_holds(&self) -> bool {
        let ((low, high), truth) = self.gain;
        (low..=high).contains(&truth)
    }
}

fn share(cases: &[&Case], holds: impl Fn(&Case) -> bool) -> f64 {
    cases.iter().filter(|case| holds(case)).count() as f64 / cases.len() as f64
}

fn quantile(mut numbers: Vec<f64>, fraction: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[((numbers.len() - 1) as f64 * fraction).round() as usize]
}

/// One line of the table: coverage of the mean of unseen seeds, and what it cost.
fn tell(name: &str, cases: &[&Case]) -> (f64, f64) {
    let points =
        |of: &dyn Fn(&Case) -> f64, fraction| 100.0 * quantile(cases.iter().map(|case| of(case)).collect(), fraction);
    let all = share(cases, |case| case.error() <= case.half());
    let here = share(cases, |case| case.error() <= case.half_here());
    let single = cases.iter().flat_map(|case| case.each.iter().map(move |one| (case, *one)));
    let single: Vec<bool> = single.map(|(case, one)| (case.said.one_low..=case.said.one_high).contains(&one)).collect();
    let one = single.iter().filter(|&&inside| inside).count() as f64 / single.len() as f64;
    println!(
        "{name:28} {:4} | mean {:5.1}% +-{:4.1} | without images {:5.1}% +-{:4.1} | one seed {:5.1}% | gain {:5.1}% \
         | 95% of errors {:4.1} last value {:4.1}",
        cases.len(),
        100.0 * all,
        points(&|case| case.half(), 0.5),
        100.0 * here,
        points(&|case| case.half_here(), 0.5),
        100.0 * one,
        100.0 * share(cases, |case| case.gain_holds()),
        points(&|case| case.error(), 0.95),
        points(&|case| (case.truth - case.last).abs(), 0.95),
    );
    (all, here)
}

fn datasets(curves: &[Curve]) -> BTreeSet<&str> {
    curves.iter().map(|curve| curve.dataset.as_str()).collect()
}

#[test]
fn twice_the_labels_lie_in_the_interval() {
    let curves = curves();
    for (repeats, steps) in [(5, 1), (5, 2), (3, 1), (2, 1), (1, 1)] {
        let cases = cases(&curves, repeats, steps, Part::Both, Part::Both);
        println!("{repeats} seeds seen, {steps} doubling(s) ahead");
        for dataset in datasets(&curves) {
            for split in ["id", "ood"] {
                let of: Vec<&Case> =
                    cases.iter().filter(|c| c.curve.dataset == dataset && c.curve.split == split).collect();
                if !of.is_empty() {
                    let (all, here) = tell(&format!("{dataset} {split}"), &of);
                    assert!(all >= 0.85 && here >= 0.8, "{dataset} {split}: {all} {here}");
                }
            }
        }
        let of: Vec<&Case> = cases.iter().collect();
        let (all, here) = tell("all", &of);
        assert!(all >= 0.9 && here >= 0.9, "{all} {here}");
        assert!(share(&of, |case| case.gain_holds()) >= 0.85);
        if (repeats, steps) == (5, 1) {
            let labels = share(&of, |case| case.labels_hold());
            let without_end = share(&of, |case| case.forecast.labels_for(case.truth).unwrap().high.is_none());
            println!(
                "labels for the truth's accuracy {:.1}%, without an upper end {:.1}%",
                100.0 * labels,
                100.0 * without_end
            );
            assert!(labels >= 0.85, "{labels}");
        }
    }
}

#[test]
fn the_interval_says_something() {
    let curves = curves();
    let cases = cases(&curves, 5, 1, Part::Both, Part::Both);
    let median = |of: &dyn Fn(&Case) -> f64| quantile(cases.iter().map(of).collect(), 0.5);
    let within = |of: &dyn Fn(&Case) -> f64| quantile(cases.iter().map(of).collect(), 0.95);
    assert!(median(&|case| case.half()) < 0.05 && median(&|case| case.half_here()) < 0.04);
    // Better than that nothing changes.
    assert!(within(&|case| case.error()) < 0.75 * within(&|case| (case.truth - case.last).abs()));
}

/// The constant as it would be without a data set, and how that data set then fares.
#[test]
fn a_data_set_that_had_no_part_in_the_constant_is_covered() {
    let curves = curves();
    let cases = cases(&curves, 5, 1, Part::Both, Part::Both);
    // What one doubling would have needed, as a part of sqrt(p (1 - p)).
    let unit = |case: &Case| case.doublings * (case.said.mean * (1.0 - case.said.mean)).sqrt();
    let apart = |case: &Case| (case.said.logit - case.said.power).abs() / 2.0;
    let needed = |case: &Case| {
        let left = (case.error().powi(2) - case.said.parts.seeds.powi(2)).max(0.0).sqrt();
        (left - apart(case)).max(0.0) / unit(case)
    };
    let whole = quantile(cases.iter().map(needed).collect(), 0.95);
    println!("constant of all data sets {whole:.4}, in use {FORM}");
    assert!((whole - FORM).abs() < 0.01, "{whole}");
    for left_out in datasets(&curves) {
        let others = cases.iter().filter(|case| case.curve.dataset != left_out);
        let constant = quantile(others.map(needed).collect(), 0.95);
        let own: Vec<&Case> = cases.iter().filter(|case| case.curve.dataset == left_out).collect();
        let half = |case: &Case| case.said.parts.seeds.hypot(apart(case) + constant * unit(case));
        let covered = share(&own, |case| case.error() <= half(case));
        println!("without {left_out}: constant {constant:.4}, {left_out} covered {:.1}%", 100.0 * covered);
        assert!(covered >= 0.85, "{left_out}: {covered}");
    }
}

/// Seen on the families of half a, true on those of half b: no image is in both.
#[test]
fn other_test_images_lie_in_the_interval() {
    let curves = curves();
    for repeats in [5, 3, 1] {
        let cases = cases(&curves, repeats, 1, Part::A, Part::B);
        println!("{repeats} seeds seen, other test images");
        let of: Vec<&Case> = cases.iter().collect();
        let (all, _) = tell("all", &of);
        // The truth has its own error: it is on some of many images too.
        let other = |case: &Case| {
            let distinct = case.curve.test(Part::B, 0).distinct as f64;
            1.96 * (case.said.mean * (1.0 - case.said.mean) / distinct).sqrt()
        };
        let fair = share(&of, |case| case.error() <= case.half().hypot(other(case)));
        println!("  with the error of the truth {:.1}%", 100.0 * fair);
        assert!(all >= 0.85 && fair >= 0.9, "{all} {fair}");
    }
}

/// The rows that come with the project: the largest budget from the smaller ones. Three seeds are seen, two are the
/// truth.
#[test]
fn shipped_budgets_lie_in_the_interval() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests/results/representations");
    let (mut n, mut inside, mut inside_one, mut halves) = (0, 0, 0, Vec::new());
    // Families of one test and of those of three seeds, in and out of distribution.
    for (dataset, families) in [("icons", [[554, 1279], [223, 511]]), ("openemoji", [[315, 716], [315, 716]])] {
        for file in std::fs::read_dir(folder.join(dataset)).unwrap() {
            let rows = read_rows(&file.unwrap().path()).unwrap();
            for method in ["knn", "lr"] {
                for (split, [each, distinct]) in ["id", "ood"].into_iter().zip(families) {
                    let of = |seed: u64| {
                        let mut points: Vec<(u32, f64)> = rows
                            .iter()
                            .filter(|row| row.cell.method == method && row.cell.protocol == "grouped")
                            .filter(|row| row.cell.seed == seed && row.split == split && row.metric == "accuracy")
                            .map(|row| (row.n_train, row.value.unwrap()))
                            .collect();
                        points.sort_by_key(|point| point.0);
                        // A budget that a data set cannot fill is the one below.
                        points.dedup_by_key(|point| point.0);
                        points
                    };
                    let seeds: Vec<Vec<(u32, f64)>> = (0..5).map(of).collect();
                    for k in 3..seeds[0].len() {
                        let point = |size: usize| Measured {
                            size: f64::from(seeds[0][size].0),
                            accuracies: seeds[..3].iter().map(|seed| seed[size].1).collect(),
                        };
                        let points: Vec<Measured> = (0..k).map(point).collect();
                        let forecast = CurveForecast::new(&points, TestImages { each, distinct }, 0).unwrap();
                        let said = forecast.at(f64::from(seeds[0][k].0)).unwrap();
                        let truth = (seeds[3][k].1 + seeds[4][k].1) / 2.0;
                        n += 1;
                        inside += usize::from((said.low..=said.high).contains(&truth));
                        inside_one += usize::from((said.one_low..=said.one_high).contains(&seeds[3][k].1));
                        halves.push(said.parts.total());
                    }
                }
            }
        }
    }
    let part = |of: usize| of as f64 / n as f64;
    let half = 100.0 * quantile(halves, 0.5);
    println!("shipped rows: {n} cases, {:.3} +-{half:.1}, one seed {:.3}", part(inside), part(inside_one));
    assert!(n >= 150 && part(inside) >= 0.85 && part(inside_one) >= 0.85, "{n} {inside} {inside_one}");
}
