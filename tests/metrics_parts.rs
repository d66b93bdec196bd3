//! Metrics piece by piece, with numbers that can be checked by hand: what a change in a single comparison or sign would
//! move (`tests/mutants.sh`), and goldens of whole cases may not show.

use std::collections::BTreeMap;
use wider_clip::metrics::{
    AtSize, ConfusionMatrix, Gram, Interval, adjusted_rand, bootstrap_accuracy, correct, crossing,
    expected_calibration_error, holm, mean_t_interval, normalised_mutual_information, paired_bootstrap,
    paired_group_bootstrap, spearman, top_k_accuracy, worst_group,
};
use wider_clip::ndarray::{Array2, array};
use wider_clip::random::Random;

#[test]
fn answers_are_right_where_they_equal_the_truth() {
    assert_eq!(correct(&[0, 1, 2, 2], &[0, 2, 2, 1]).unwrap(), [true, false, true, false]);
}

#[test]
fn a_confusion_matrix_has_its_classes_and_no_more() {
    let matrix = ConfusionMatrix::new(&[0, 1, 1, 2], &[0, 0, 1, 1], 3).unwrap();
    assert_eq!(matrix.n_classes(), 3);
    assert_eq!((matrix.count(0, 0), matrix.count(0, 1), matrix.count(1, 2)), (Some(1), Some(1), Some(1)));
    assert_eq!((matrix.count(2, 2), matrix.count(2, 1)), (Some(0), Some(0)));
    // The number after the last is none, on either side: it would be read from the next row.
    assert_eq!(
        (matrix.count(0, 3), matrix.count(3, 0), matrix.count(1, 3), matrix.count(3, 3)),
        (None, None, None, None)
    );
    assert_eq!(matrix.rows().collect::<Vec<_>>(), [[1, 1, 0], [0, 1, 1], [0, 0, 0]]);
    assert_eq!(matrix.recalls(), [Some(0.5), Some(0.5), None]);
    assert_eq!(matrix.precisions(), [Some(1.0), Some(0.5), Some(0.0)]);
    assert_eq!(matrix.f1_scores(), [Some(2.0 / 3.0), Some(0.5), Some(0.0)]);
    // Class 2 was predicted and has no image.
    assert_eq!(matrix.f1_scores_of_present(), [Some(2.0 / 3.0), Some(0.5), None]);
    assert!((matrix.macro_f1_of_present() - 7.0 / 12.0).abs() < 1e-15);
    assert_eq!((matrix.accuracy(), matrix.balanced_accuracy()), (0.5, 0.5));
    assert!((matrix.macro_f1() - 7.0 / 18.0).abs() < 1e-15);
    // Class 3 of three, on either side.
    assert!(ConfusionMatrix::new(&[3], &[0], 3).is_err() && ConfusionMatrix::new(&[0], &[3], 3).is_err());
    assert!(ConfusionMatrix::new(&[2], &[2], 3).is_ok());
}

/// The interval and p-value by their definition, from the same draws.
fn by_definition(groups: &[usize], a: &[bool], b: &[bool], n_resamples: usize, seed: u64) -> [f64; 4] {
    let mut gains: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (i, group) in groups.iter().enumerate() {
        gains.entry(*group).or_default().push(f64::from(u8::from(a[i])) - f64::from(u8::from(b[i])));
    }
    let gains: Vec<Vec<f64>> = gains.into_values().collect();
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let mut random = Random::new("paired bootstrap", seed, 0);
    let mut drawn: Vec<f64> = Vec::new();
    for _ in 0..n_resamples {
        let all: Vec<f64> = (0..gains.len()).flat_map(|_| gains[random.below(gains.len())].clone()).collect();
        drawn.push(mean(&all));
    }
    let (not_above, not_below) =
        (drawn.iter().filter(|&&d| d <= 0.0).count(), drawn.iter().filter(|&&d| d >= 0.0).count());
    let p = 2.0 * (not_above.min(not_below) as f64 + 1.0) / (n_resamples as f64 + 1.0);
    drawn.sort_by(f64::total_cmp);
    let quantile = |fraction: f64| {
        let place = fraction * (n_resamples as f64 - 1.0);
        let (low, high) = (drawn[place.floor() as usize], drawn[place.ceil() as usize]);
        low + (high - low) * (place - place.floor())
    };
    [mean(&gains.concat()), quantile(0.025), quantile(0.975), p.min(1.0)]
}

#[test]
fn a_bootstrap_is_what_its_definition_says() {
    let n = 40;
    let groups = |of: usize| -> Vec<usize> { (0..n).map(|i| i / of).collect() };
    let answers = |part: usize| -> Vec<bool> { (0..n).map(|i| i * 7 % 10 < part).collect() };
    for (a, b, of, n_resamples, seed) in
        [(7, 4, 1, 40, 0), (6, 5, 1, 41, 1), (5, 4, 1, 100, 2), (4, 6, 2, 333, 3), (3, 8, 4, 90, 4), (5, 6, 5, 64, 5)]
    {
        let (groups, a, b) = (groups(of), answers(a), answers(b));
        let found = paired_group_bootstrap(&groups, &a, &b, n_resamples, seed).unwrap();
        let expected = by_definition(&groups, &a, &b, n_resamples, seed);
        for (found, expected) in [found.difference, found.low, found.high, found.p_value].iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} for {expected}, seed {seed}");
        }
        assert_eq!((found.n_images, found.n_groups, found.n_resamples), (n, n / of, n_resamples));
    }
    // Always better, and always worse: no resample on the other side.
    let (all, none) = (vec![true; 9], vec![false; 9]);
    for (a, b, difference) in [(&all, &none, 1.0), (&none, &all, -1.0)] {
        let found = paired_bootstrap(a, b, 99, 0).unwrap();
        assert_eq!((found.difference, found.p_value), (difference, 0.02));
        // Nine answers alike claim no certainty: Wilson's bound on one side.
        let (sure, open) = if difference > 0.0 { (found.high, found.low) } else { (-found.low, -found.high) };
        assert!(sure == 1.0 && (0.3..0.9).contains(&open), "{found:?}");
    }
    let one = bootstrap_accuracy(&[true, true, false], 40, 0).unwrap();
    assert_eq!((one.mean, one.n), (2.0 / 3.0, 3));
    assert!(paired_bootstrap(&[true], &[true], 39, 0).is_err() && paired_bootstrap(&[true], &[true], 40, 0).is_ok());
}

#[test]
fn a_t_interval_by_hand() {
    // Mean 2, variance (1 + 0 + 1) / 2 = 1; t(0.75, 2) = 0.816497.
    let Interval { mean, low, high, n } = mean_t_interval(&[1.0, 2.0, 3.0], 0.5).unwrap();
    assert_eq!((mean, n), (2.0, 3));
    let half = 0.816_496_580_927_726 / 3f64.sqrt();
    assert!((low.unwrap() - (2.0 - half)).abs() < 1e-9 && (high.unwrap() - (2.0 + half)).abs() < 1e-9);
    for level in [1e-9, 1.0 - 1e-9] {
        assert!(mean_t_interval(&[1.0, 2.0], level).is_ok(), "{level}");
    }
    assert!(mean_t_interval(&[f64::INFINITY], 0.5).is_err());
}

#[test]
fn ranks_of_equal_scores_are_shared_and_a_flat_list_orders_nothing() {
    // Ranks 1.5 1.5 3 4 and 4 3 2 1 about 2.5: -1.5 + -0.5 + -0.25 + -2.25 over sqrt(4.5 x 5).
    let found = spearman(&[1.0, 1.0, 2.0, 3.0], &[9.0, 8.0, 7.0, 6.0]).unwrap().unwrap();
    assert!((found + 4.5 / 22.5f64.sqrt()).abs() < 1e-12, "{found}");
    assert_eq!(spearman(&[2.0, 1.0], &[5.0, 4.0]).unwrap(), Some(1.0));
    assert_eq!(spearman(&[3.0, 3.0], &[1.0, 2.0]).unwrap(), None);
    assert_eq!(spearman(&[1.0, 2.0], &[3.0, 3.0]).unwrap(), None);
    // -0 and 0 are equal.
    assert_eq!(spearman(&[0.0, -0.0, 1.0], &[1.0, 1.0, 2.0]).unwrap(), Some(1.0));
    assert!(spearman(&[], &[]).is_err() && spearman(&[1.0, 2.0], &[1.0, f64::INFINITY]).is_err());
}

#[test]
fn the_class_is_among_the_highest_scores() {
    let scores = array![[0.4, 0.3, 0.2, 0.1]];
    let hits = |class, k| top_k_accuracy(scores.view(), &[class], k).unwrap();
    let all: Vec<f64> = (0..4).flat_map(|class| (1..4).map(move |k| (class, k))).map(|(c, k)| hits(c, k)).collect();
    assert_eq!(all, [1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    // Of equal scores the higher class number counts as higher.
    let equal = array![[0.5, 0.5, 0.0]];
    let first = |class| top_k_accuracy(equal.view(), &[class], 1).unwrap();
    assert_eq!((first(0), first(1), first(2)), (0.0, 1.0, 0.0));
    for k in [0, 4, 5] {
        assert!(top_k_accuracy(scores.view(), &[0], k).is_err(), "{k}");
    }
    assert!(top_k_accuracy(scores.view(), &[4], 1).is_err());
}

#[test]
fn calibration_bins_hold_their_upper_edge() {
    let error = |rows: &[[f64; 2]], truth: &[u32], bins| {
        let flat: Vec<f64> = rows.concat();
        expected_calibration_error(Array2::from_shape_vec((rows.len(), 2), flat).unwrap().view(), truth, bins)
    };
    // 0.5 is in the first of two bins, 0.75 in the second: |1 - 0.5| + |0 - 0.75|, over 2. In one bin they make up.
    assert_eq!(error(&[[0.5, 0.25], [0.25, 0.75]], &[0, 0], 2).unwrap(), 0.625);
    assert_eq!(error(&[[0.5, 0.25], [0.25, 0.75]], &[0, 0], 1).unwrap(), 0.125);
    // Of equal probabilities the first class is predicted.
    assert_eq!(error(&[[0.5, 0.5]], &[0], 4).unwrap(), 0.5);
    assert_eq!(error(&[[0.5, 0.5]], &[1], 4).unwrap(), 0.5);
    assert_eq!(error(&[[0.25, 0.25], [0.25, 0.25]], &[0, 0], 4).unwrap(), 0.75);
    assert_eq!(error(&[[0.25, 0.25], [0.25, 0.25]], &[0, 1], 4).unwrap(), 0.25);
    // Certain, and of no probability at all: the last bin and the first.
    assert_eq!(error(&[[1.0, 0.0]], &[0], 3).unwrap(), 0.0);
    assert_eq!(error(&[[1.0, 0.0]], &[1], 3).unwrap(), 1.0);
    assert_eq!(error(&[[0.0, 0.0], [0.0, 1.0]], &[0, 1], 3).unwrap(), 0.5);
    // The number after a third is in the second of three bins, though three times it rounds to 1: its gap and that of one half,
    // on the other side, make up for each other there.
    let above = f64::from_bits((1.0f64 / 3.0).to_bits() + 1);
    assert_eq!((above * 3.0).ceil(), 1.0);
    let two = array![[above, 0.3, 0.3], [0.5, 0.25, 0.25]];
    let found = expected_calibration_error(two.view(), &[0, 1], 3).unwrap();
    assert!((found - (1.0 - above - 0.5).abs() / 2.0).abs() < 1e-15, "{found}");
    assert!(error(&[[1.0 + 1e-10, 0.0]], &[0], 3).is_ok(), "rounding");
    assert!(error(&[[1.0 + 1e-8, 0.0]], &[0], 3).is_err() && error(&[[-1e-12, 0.0]], &[0], 3).is_err());
    assert!(error(&[[0.5, 0.5]], &[2], 3).is_err());
}

#[test]
fn the_worst_of_equal_groups_is_the_first() {
    let worst = worst_group(&[0, 1, 0, 1, 1], &[1, 1, 1, 1, 1], &["b", "b", "a", "a", "c"]).unwrap();
    assert_eq!((worst.group, worst.accuracy, worst.n), ("a", 0.5, 2));
    let worst = worst_group(&[1, 0, 0], &[1, 1, 1], &["a", "b", "b"]).unwrap();
    assert_eq!((worst.group, worst.accuracy, worst.n), ("b", 0.0, 2));
}

#[test]
fn partitions_by_hand_and_at_their_ends() {
    let (one, singles, halves) = ([0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 1, 1]);
    assert_eq!((adjusted_rand(&one, &one).unwrap(), adjusted_rand(&singles, &singles).unwrap()), (1.0, 1.0));
    for (a, b) in [(&one, &singles), (&one, &halves), (&singles, &halves)] {
        assert_eq!((adjusted_rand(a, b).unwrap(), adjusted_rand(b, a).unwrap()), (0.0, 0.0), "{a:?} {b:?}");
    }
    // Pairs together in both 1, in the first alone 1, in the second alone 2, in neither 2: 2 (2 - 2) / ... = 0.
    assert_eq!(adjusted_rand(&[0, 0, 1, 1], &[0, 0, 0, 1]).unwrap(), 0.0);
    // 3 and 3 of 6 as they are but for one that moved: 2 (4 x 8 - 2 x 1) / (6 x 10 + 5 x 9).
    let found = adjusted_rand(&[0, 0, 0, 1, 1, 1], &[0, 0, 0, 1, 1, 2]).unwrap();
    assert!((found - 2.0 * (4.0 * 9.0 - 2.0 * 0.0) / (6.0 * 11.0 + 4.0 * 9.0)).abs() < 1e-12, "{found}");
    let information = |a: &[u32], b: &[u32]| normalised_mutual_information(a, b).unwrap();
    assert_eq!((information(&one, &one), information(&one, &halves), information(&halves, &one)), (1.0, 0.0, 0.0));
    // Singles tell all of the halves, ln 2 of ln 4 + ln 2 over 2.
    assert!((information(&singles, &halves) - 2.0 / 3.0).abs() < 1e-12);
    assert!((information(&halves, &singles) - 2.0 / 3.0).abs() < 1e-12);
}

#[test]
fn an_alignment_needs_images_that_differ_on_both_sides() {
    let apart = Gram::new(array![[0f32, 1.0], [1.0, 3.0], [4.0, 0.0], [2.0, 2.0], [5.0, 5.0]].view()).unwrap();
    let alike = Gram::new(Array2::ones((5, 2)).view()).unwrap();
    assert_eq!((apart.n_images(), alike.n_images()), (5, 5));
    assert!(apart.cka(&alike).is_err() && alike.cka(&apart).is_err() && apart.cka(&apart).is_ok());
    assert!(Gram::new(Array2::zeros((4, 1)).view()).is_ok() && Gram::new(Array2::zeros((3, 1)).view()).is_err());
    // By the definition, of one column 0 1 2 4 and one of 0 1 3 2 (both centred), from sums over all pairs.
    let (a, b) = ([0f64, 1.0, 2.0, 4.0], [0f64, 1.0, 3.0, 2.0]);
    let products = |x: &[f64; 4]| {
        let mean = x.iter().sum::<f64>() / 4.0;
        let mut of = [[0f64; 4]; 4];
        for i in 0..4 {
            for j in 0..4 {
                of[i][j] = if i == j { 0.0 } else { (x[i] - mean) * (x[j] - mean) };
            }
        }
        of
    };
    let estimate = |x: &[f64; 4], y: &[f64; 4]| {
        let (k, l) = (products(x), products(y));
        let trace: f64 = (0..4).map(|i| (0..4).map(|j| k[i][j] * l[j][i]).sum::<f64>()).sum();
        let all = |m: &[[f64; 4]; 4]| m.iter().flatten().sum::<f64>();
        let joined: f64 =
            (0..4).map(|i| (0..4).map(|j| (0..4).map(|m| k[i][j] * l[j][m]).sum::<f64>()).sum::<f64>()).sum();
        // Song et al. 2012, equation 5, with n = 4.
        (trace + all(&k) * all(&l) / (3.0 * 2.0) - 2.0 / 2.0 * joined) / 4.0
    };
    let column = |x: &[f64; 4]| Gram::new(Array2::from_shape_fn((4, 1), |(i, _)| x[i] as f32).view()).unwrap();
    let expected = estimate(&a, &b) / (estimate(&a, &a) * estimate(&b, &b)).sqrt();
    let found = column(&a).cka(&column(&b)).unwrap();
    assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
}

#[test]
fn p_values_are_adjusted_as_holm_did() {
    let near = |found: &[f64], expected: &[f64]| {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} for {expected:?}");
    };
    near(&holm(&[]).unwrap(), &[]);
    near(&holm(&[0.03]).unwrap(), &[0.03]);
    near(&holm(&[1.0]).unwrap(), &[1.0]);
    near(&holm(&[0.0, 1.0]).unwrap(), &[0.0, 1.0]);
    // 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04 is not below the one before.
    near(&holm(&[0.01, 0.04, 0.03, 0.005]).unwrap(), &[0.03, 0.06, 0.06, 0.02]);
    // Equal ones stay equal, in whatever order they stand.
    near(&holm(&[0.02, 0.01, 0.02]).unwrap(), &[0.04, 0.03, 0.04]);
    near(&holm(&[0.02, 0.02, 0.01]).unwrap(), &[0.04, 0.04, 0.03]);
    // None is above 1.
    near(&holm(&[0.4, 0.6, 0.5]).unwrap(), &[1.0, 1.0, 1.0]);
    for wrong in [-0.001, 1.001, f64::NAN, f64::INFINITY] {
        let error = holm(&[0.5, wrong]).unwrap_err().to_string();
        assert!(error.contains("numbers from 0 to 1") && error.contains(&wrong.to_string()), "{error}");
    }
}

/// `n` right of 100.
fn first_right(n: usize) -> Vec<bool> {
    (0..100).map(|image| image < n).collect()
}

#[test]
fn a_crossing_lies_on_a_line_between_the_sizes_around_it() {
    let groups: Vec<usize> = (0..100).collect();
    let half = first_right(50);
    let found = |sizes: &[(f64, usize)]| {
        let right: Vec<(f64, Vec<bool>)> = sizes.iter().map(|&(size, n)| (size, first_right(n))).collect();
        let sizes: Vec<AtSize<usize>> =
            right.iter().map(|(size, a)| AtSize { size: *size, groups: &groups, a, b: &half }).collect();
        crossing(&sizes, 400, 3).unwrap()
    };
    // 30 behind at 10, 10 ahead at 1000: three quarters of the way on the logarithmic scale.
    let one = found(&[(10.0, 20), (1000.0, 60)]);
    assert!((one.at.unwrap() - 10.0 * 100f64.powf(0.75)).abs() < 1e-9, "{one:?}");
    let (low, high) = (one.low.unwrap(), one.high.unwrap());
    assert!(low < one.at.unwrap() && one.at.unwrap() < high && one.already == 0.0 && one.never < 0.01, "{one:?}");
    // The first crossing counts: it falls behind again, and overtakes again.
    let two = found(&[(1.0, 40), (10.0, 60), (100.0, 30), (1000.0, 70)]);
    assert!((two.at.unwrap() - 10f64.sqrt()).abs() < 1e-9, "{two:?}");
    // As good is good enough: at the size itself.
    let equal = found(&[(10.0, 40), (1000.0, 50)]);
    assert!((equal.at.unwrap() - 1000.0).abs() < 1e-9, "{equal:?}");
    assert!(equal.never == 0.0 && (equal.high.unwrap() - 1000.0).abs() < 1e-9, "{equal:?}");
    // Ahead from the start, and never ahead: no place, and the share of resamples says which.
    let ahead = found(&[(10.0, 90), (1000.0, 95)]);
    assert_eq!((ahead.at, ahead.low, ahead.high, ahead.already, ahead.never), (None, None, None, 1.0, 0.0));
    let behind = found(&[(10.0, 5), (1000.0, 10)]);
    assert_eq!((behind.at, behind.low, behind.high, behind.already, behind.never), (None, None, None, 0.0, 1.0));
    // The same draw each time, another with another seed.
    let at = |size, a| AtSize { size, groups: &groups, a, b: &half };
    let (few, many) = (first_right(45), first_right(55));
    let with = |seed| crossing(&[at(10.0, &few), at(1000.0, &many)], 400, seed).unwrap();
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

#[test]
fn answers_of_a_group_cross_together() {
    // Ten groups of ten images each. In five groups the first way is right, in five the second; with many images it is right
    // everywhere.
    let (mut groups, mut few, mut other) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..100 {
        groups.push(i / 10);
        few.push((i / 10) % 2 == 0);
        other.push((i / 10) % 2 == 1);
    }
    let many = vec![true; 100];
    let alone: Vec<usize> = (0..100).collect();
    let share = |groups: &[usize]| {
        let sizes =
            [AtSize { size: 10.0, groups, a: &few, b: &other }, AtSize { size: 100.0, groups, a: &many, b: &other }];
        let found = crossing(&sizes, 2000, 0).unwrap();
        // As good from the start, and in every resample ahead in the end.
        assert_eq!((found.at, found.never), (None, 0.0));
        found.already
    };
    // At least 5 of 10 draws, or 50 of 100, of a fair coin: 0.623 and 0.540.
    let (together, apart) = (share(&groups), share(&alone));
    assert!((together - 0.623).abs() < 0.035 && (apart - 0.540).abs() < 0.035, "{together} and {apart}");

    // A size whose images are all of groups that were not drawn says nothing, and fails nothing.
    let (left, right) = (vec![0usize; 4], vec![1usize; 4]);
    let (none, all) = (vec![false; 4], vec![true; 4]);
    let sizes = [
        AtSize { size: 1.0, groups: &left, a: &none, b: &all },
        AtSize { size: 100.0, groups: &right, a: &all, b: &none },
    ];
    let found = crossing(&sizes, 4000, 0).unwrap();
    assert!((found.at.unwrap() - 10.0).abs() < 1e-9, "{found:?}");
    // Both draws of the left group, a quarter of them: never. Both of the right: its size is then the smallest.
    assert!((found.never - 0.25).abs() < 0.03 && (found.already - 0.25).abs() < 0.03, "{found:?}");
}

#[test]
fn the_ends_of_a_crossing_are_resamples() {
    // Shares count, not numbers: 10 of 50 images behind, 20 of 100 ahead.
    let groups: Vec<usize> = (0..100).collect();
    let (few, few_other) = (&first_right(20)[..50], &first_right(30)[..50]);
    let (many, many_other) = (first_right(70), first_right(50));
    let sizes = [
        AtSize { size: 10.0, groups: &groups[..50], a: few, b: few_other },
        AtSize { size: 1000.0, groups: &groups, a: &many, b: &many_other },
    ];
    for n in [40, 41, 60] {
        let found = crossing(&sizes, n, 7).unwrap();
        assert!((found.at.unwrap() - 100.0).abs() < 1e-9, "{found:?}");
        let mut random = Random::new("crossing", 7, 0);
        let mut places: Vec<f64> = (0..n)
            .map(|_| {
                let drawn: Vec<usize> = (0..100).map(|_| random.below(100)).collect();
                let gain = |a: &[bool], b: &[bool]| {
                    let there = drawn.iter().filter(|&&image| image < a.len());
                    let gains = there.map(|&image| f64::from(a[image]) - f64::from(b[image]));
                    let gains: Vec<f64> = gains.collect();
                    gains.iter().sum::<f64>() / gains.len() as f64
                };
                let (below, above) = (gain(few, few_other), gain(&many, &many_other));
                assert!(below < 0.0 && above > 0.0, "{below} {above}");
                10f64.powf(1.0 + 2.0 * below / (below - above))
            })
            .collect();
        places.sort_by(f64::total_cmp);
        // The places of the 2.5th and 97.5th percentile, rounded.
        let (low, high) = match n {
            40 => (1, 38),
            41 => (1, 39),
            _ => (1, 58),
        };
        let (low, high) = (places[low], places[high]);
        assert!((found.low.unwrap() - low).abs() < 1e-9 * low, "{n}: {found:?}");
        assert!((found.high.unwrap() - high).abs() < 1e-9 * high, "{n}: {found:?}");
    }
}

#[test]
fn sizes_that_cannot_cross_are_refused() {
    let groups = [0usize, 1];
    let (a, b) = ([true, false], [false, true]);
    let at = |size| AtSize { size, groups: &groups, a: &a, b: &b };
    let error = |sizes: &[AtSize<usize>], resamples| crossing(sizes, resamples, 0).unwrap_err().to_string();
    assert!(error(&[], 100).contains("two numbers above 0 or more, rising"));
    assert!(error(&[at(10.0)], 100).contains("found 10"));
    for sizes in [[10.0, 10.0], [20.0, 10.0], [0.0, 10.0], [-1.0, 10.0], [f64::NAN, 10.0], [10.0, f64::NAN]] {
        let text = error(&sizes.map(at), 100);
        assert!(text.contains("rising"), "{sizes:?}: {text}");
    }
    assert!(error(&[at(1.0), at(2.0)], 39).contains("at least 40"));
    let empty = AtSize { size: 5.0, groups: &[], a: &[], b: &[] };
    assert!(error(&[at(1.0), empty], 100).contains("0, 0 and 0 groups at size 5"));
    let short = AtSize { size: 5.0, groups: &groups, a: &a[..1], b: &b };
    assert!(error(&[at(1.0), short], 100).contains("1, 2 and 2 groups at size 5"));
    let ungrouped = AtSize { size: 5.0, groups: &groups[..1], a: &a, b: &b };
    assert!(error(&[at(1.0), ungrouped], 100).contains("2, 2 and 1 groups at size 5"));
}
