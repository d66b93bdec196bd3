//! Intervals of what WILDS reports: equal to a plain bootstrap that scores every resample from its images, on any number of
//! threads, and in seconds at full size.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use wider_clip::metrics::{
    ConfusionMatrix, Interval, UNCOUNTED, WildsAnswers, WildsIntervals, accuracy_by_group, group_bootstrap_accuracy,
    wilds_bootstrap, wilds_scores, worst_of,
};
use wider_clip::random::Random;

/// Predictions of `n` images, rightly for six in ten, with classes of unequal size.
struct Drawn {
    predicted: Vec<u32>,
    truth: Vec<u32>,
    domains: Vec<&'static str>,
    n_classes: usize,
}

const REGIONS: [&str; 6] = ["Africa", "Americas", "Asia", "Europe", "Oceania", UNCOUNTED];

impl Drawn {
    fn new(n: usize, n_classes: usize, seed: u64) -> Drawn {
        let mut random = Random::new("a test", seed, 0);
        let mut class = || {
            let most = random.below(n_classes) + 1;
            random.below(most) as u32
        };
        let truth: Vec<u32> = (0..n).map(|_| class()).collect();
        let others: Vec<u32> = (0..n).map(|_| class()).collect();
        let mut random = Random::new("a test", seed, 1);
        let said = |(&truth, other): (&u32, u32)| if random.below(10) < 6 { truth } else { other };
        let predicted = truth.iter().zip(others).map(said).collect();
        let mut random = Random::new("a test", seed, 2);
        // Oceania is small, and what belongs nowhere smaller.
        let domains = (0..n).map(|_| REGIONS[(random.below(41) + 5) / 9]).collect();
        Drawn { predicted, truth, domains, n_classes }
    }

    fn answers(&self) -> WildsAnswers<'_> {
        WildsAnswers {
            predicted: &self.predicted,
            truth: &self.truth,
            n_classes: self.n_classes,
            domains: Some(&self.domains),
            years: None,
        }
    }
}

/// By definition: the same draws, every resample put together image by image and scored.
fn slow(drawn: &Drawn, units: &[usize], n_resamples: usize, seed: u64) -> [Option<(f64, f64)>; 4] {
    let mut by_unit: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    units.iter().enumerate().for_each(|(image, &unit)| by_unit.entry(unit).or_default().push(image));
    let by_unit: Vec<Vec<usize>> = by_unit.into_values().collect();
    let mut values: [Vec<f64>; 4] = Default::default();
    for resample in 0..n_resamples as u64 {
        let mut random = Random::new("wilds bootstrap", seed, resample);
        let images: Vec<usize> =
            (0..by_unit.len()).flat_map(|_| by_unit[random.below(by_unit.len())].clone()).collect();
        let take = |column: &[u32]| images.iter().map(|&image| column[image]).collect::<Vec<u32>>();
        let (predicted, truth) = (take(&drawn.predicted), take(&drawn.truth));
        let domains: Vec<&str> = images.iter().map(|&image| drawn.domains[image]).collect();
        let matrix = ConfusionMatrix::new(&predicted, &truth, drawn.n_classes).expect("counts");
        let present: BTreeSet<u32> = truth.iter().copied().collect();
        let mean = |of: &dyn Fn(u32) -> f64| present.iter().map(|&class| of(class)).sum::<f64>() / present.len() as f64;
        values[0].push(matrix.accuracy());
        values[1].push(mean(&|class| matrix.recall(class).expect("images")));
        values[2].push(mean(&|class| matrix.f1(class).expect("images")));
        let by_domain = accuracy_by_group(&predicted, &truth, &domains).expect("scores");
        values[3].extend(worst_of(by_domain.into_iter().filter(|of| of.group != UNCOUNTED)).map(|of| of.accuracy));
    }
    values.map(|mut values| {
        values.sort_by(f64::total_cmp);
        let at = |fraction: f64| {
            let place = fraction * (values.len() - 1) as f64;
            let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        (values.first() < values.last()).then(|| (at(0.025), at(0.975)))
    })
}

fn ends(found: &WildsIntervals) -> [Option<(f64, f64)>; 4] {
    let ends = |interval: Interval| interval.low.zip(interval.high);
    let worst = found.worst_domain.and_then(ends);
    [ends(found.accuracy), ends(found.macro_recall), ends(found.macro_f1), worst]
}

fn on_threads<T: Send>(n: usize, work: impl FnOnce() -> T + Send) -> T {
    wider_clip::rayon::ThreadPoolBuilder::new().num_threads(n).build().expect("a pool").install(work)
}

#[test]
fn sums_per_unit_equal_a_plain_bootstrap_on_any_number_of_threads() {
    for (n, n_classes, n_units, seed) in [(300, 7, 12, 0), (400, 30, 130, 1), (120, 5, 120, 2), (60, 3, 2, 3)] {
        let drawn = Drawn::new(n, n_classes, seed);
        // Units of unequal size, not in one stretch.
        let units: Vec<usize> = (0..n).map(|image| (image * image + image / 7) % n_units).collect();
        let of = |threads| on_threads(threads, || wilds_bootstrap(&drawn.answers(), &units, 200, seed).expect("draws"));
        let found = of(1);
        assert_eq!(found, of(2), "threads");
        assert_eq!(found, of(5), "threads");
        let there: BTreeSet<usize> = units.iter().copied().collect();
        assert_eq!((found.n_units, found.n_resamples), (there.len(), 200));
        for (i, (ours, plain)) in ends(&found).into_iter().zip(slow(&drawn, &units, 200, seed)).enumerate() {
            let ((low, high), (plain_low, plain_high)) = (ours.expect("an interval"), plain.expect("an interval"));
            assert!((low - plain_low).abs() < 1e-12 && (high - plain_high).abs() < 1e-12, "{n} images, score {i}");
        }
        let scores = wilds_scores(&drawn.answers()).expect("scores");
        let means = [found.accuracy, found.macro_recall, found.macro_f1].map(|interval| interval.mean);
        assert_eq!(means, [scores.accuracy, scores.macro_recall, scores.macro_f1]);
        assert_eq!(found.worst_domain.map(|of| of.mean), scores.worst_domain.map(|of| of.accuracy));
        // Two units have three resamples and no more.
        if n_units > 2 {
            let other = wilds_bootstrap(&drawn.answers(), &units, 200, seed + 100).expect("draws");
            assert_ne!(ends(&found), ends(&other), "another seed");
        }
    }
}

#[test]
fn a_resample_without_a_domain_says_nothing_of_the_worst() {
    let mut drawn = Drawn::new(60, 4, 5);
    // Two units in four have regions, so that one resample in sixteen has none.
    let units: Vec<usize> = (0..60).map(|image| image % 4).collect();
    for (domain, unit) in drawn.domains.iter_mut().zip(&units) {
        *domain = if *unit == 0 { REGIONS[2] } else { UNCOUNTED };
    }
    for (image, unit) in units.iter().enumerate() {
        // A second region of its own, so that resamples differ.
        if *unit == 1 && image > 30 {
            drawn.domains[image] = REGIONS[3];
        }
    }
    let found = wilds_bootstrap(&drawn.answers(), &units, 200, 6).expect("draws");
    for (i, (ours, plain)) in ends(&found).into_iter().zip(slow(&drawn, &units, 200, 6)).enumerate() {
        let ((low, high), (plain_low, plain_high)) = (ours.expect("an interval"), plain.expect("an interval"));
        assert!((low - plain_low).abs() < 1e-12 && (high - plain_high).abs() < 1e-12, "score {i}: {low} to {high}");
    }
}

#[test]
fn nothing_is_claimed_of_what_resamples_do_not_show() {
    let drawn = Drawn::new(50, 4, 4);
    let answers = drawn.answers();
    let one = wilds_bootstrap(&answers, &[7; 50], 100, 0).expect("draws");
    assert_eq!(ends(&one), [None; 4]);
    assert_eq!((one.n_units, one.accuracy.mean), (1, wilds_scores(&answers).expect("scores").accuracy));
    // All right: recall and F1 are 1 in every resample, and the accuracy has Wilson's interval.
    let right = WildsAnswers { predicted: &drawn.truth, ..answers };
    let units: Vec<usize> = (0..50).map(|image| image % 10).collect();
    let found = wilds_bootstrap(&right, &units, 100, 0).expect("draws");
    assert_eq!(found.accuracy, group_bootstrap_accuracy(&units, &[true; 50], 100, 0).expect("draws"));
    assert!(found.accuracy.low < Some(0.8));
    assert_eq!(ends(&found)[1..], [None; 3]);
    assert_eq!((found.macro_f1.mean, found.worst_domain.expect("regions").mean), (1.0, 1.0));
    // No region counts.
    let nowhere = WildsAnswers { domains: Some(&[UNCOUNTED; 50]), ..answers };
    assert_eq!(wilds_bootstrap(&nowhere, &units, 100, 0).expect("draws").worst_domain, None);
    assert_eq!(wilds_scores(&nowhere).expect("scores").worst_domain, None);
    for (answers, units, n, expected) in [
        (answers, 49, 100, "units: expected 50, one an answer, found 49"),
        (answers, 50, 39, "resamples: expected at least 40, found 39"),
        (WildsAnswers { predicted: &[], truth: &[], ..answers }, 0, 100, "at least one image"),
        (WildsAnswers { domains: Some(&["Asia"; 3]), ..answers }, 50, 100, "groups: expected 50"),
        (WildsAnswers { years: Some(&[2016; 51]), ..answers }, 50, 100, "groups: expected 50"),
        (WildsAnswers { n_classes: 2, ..answers }, 50, 100, "below the number of classes, 2"),
    ] {
        let error = wilds_bootstrap(&answers, &vec![0; units], n, 0).expect_err("is refused").to_string();
        assert!(error.contains(expected), "{error}\nlacks\n{expected}");
    }
}

/// `cargo test --test wilds_intervals -- --ignored --nocapture` tells the seconds.
#[test]
#[ignore = "a measurement: seconds at full size"]
fn full_size_takes_seconds() {
    let cases = [
        ("FMoW, images", 22_108, 62, 22_108),
        ("iWildCam, cameras", 42_791, 182, 48),
        ("iWildCam, sequences", 42_791, 182, 10_000),
        ("iWildCam, images", 42_791, 182, 42_791),
    ];
    for (what, n, n_classes, n_units) in cases {
        let drawn = Drawn::new(n, n_classes, 0);
        let units: Vec<usize> = (0..n).map(|image| image * n_units / n).collect();
        let begun = Instant::now();
        let found = on_threads(2, || wilds_bootstrap(&drawn.answers(), &units, 2000, 0).expect("draws"));
        let seconds = begun.elapsed().as_secs_f64();
        assert_eq!(found.n_units, n_units);
        println!("{what}: {n} predictions, {n_classes} classes, {n_units} units, 2000 resamples: {seconds:.2} s");
        assert!(seconds < 5.0, "{what}: {seconds} s");
    }
}
