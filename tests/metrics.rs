//! Metrics and intervals against scikit-learn and scipy (`tests/reference/metrics.py`), and their edge cases.

#[path = "support/packed.rs"]
mod packed;

use serde_json::Value;
use wider_clip::metrics::{
    ConfusionMatrix, Gram, PairedBootstrap, accuracy, adjusted_rand, balanced_accuracy, bootstrap_accuracy, correct,
    expected_calibration_error, group_bootstrap_accuracy, macro_f1, mean_t_interval, normalised_mutual_information,
    paired_bootstrap, paired_group_bootstrap, spearman, top_k_accuracy, worst_group,
};
use wider_clip::ndarray::Array2;

fn golden(key: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/metrics.json.gz");
    let all: Value = serde_json::from_slice(&packed::unpacked(path.as_ref())).unwrap();
    let cases = all[key].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "no case under {key}");
    cases
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn classes(value: &Value) -> Vec<u32> {
    numbers(value).into_iter().map(|v| v as u32).collect()
}

fn close(ours: f64, theirs: &Value, what: &str) {
    let theirs = theirs.as_f64().unwrap();
    assert!((ours - theirs).abs() < 1e-9, "{what}: {ours}, expected {theirs}");
}

#[test]
fn scores_equal_scikit_learn() {
    let cases = golden("predictions");
    assert_eq!(cases.len(), 7);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (predicted, truth) = (classes(&case["predicted"]), classes(&case["truth"]));
        let n_classes = case["n_classes"].as_u64().unwrap() as usize;
        close(accuracy(&predicted, &truth).unwrap(), &case["accuracy"], name);
        close(balanced_accuracy(&predicted, &truth, n_classes).unwrap(), &case["balanced_accuracy"], name);
        close(macro_f1(&predicted, &truth, n_classes).unwrap(), &case["macro_f1"], name);
        let matrix = ConfusionMatrix::new(&predicted, &truth, n_classes).unwrap();
        close(matrix.accuracy(), &case["accuracy"], name);
        let rows: Vec<Vec<f64>> = matrix.rows().map(|row| row.iter().map(|&n| n as f64).collect()).collect();
        let expected: Vec<Vec<f64>> = case["confusion"].as_array().unwrap().iter().map(numbers).collect();
        assert_eq!(rows, expected, "{name}");
        for (ours, theirs) in matrix.f1_scores().into_iter().zip(case["f1"].as_array().unwrap()) {
            assert_eq!(ours.is_none(), theirs.is_null(), "{name}");
            if let Some(ours) = ours {
                close(ours, theirs, name);
            }
        }
    }
}

#[test]
fn undefined_is_none_and_never_zero() {
    // Class 1 is predicted and has no image, class 2 has one and is never predicted, class 3 does not occur.
    let matrix = ConfusionMatrix::new(&[0, 1], &[0, 2], 4).unwrap();
    assert_eq!(matrix.recalls(), [Some(1.0), None, Some(0.0), None]);
    assert_eq!(matrix.precisions(), [Some(1.0), Some(0.0), None, None]);
    assert_eq!(matrix.f1_scores(), [Some(1.0), Some(0.0), Some(0.0), None]);
    assert_eq!(matrix.count(2, 1), Some(1));
    assert_eq!(matrix.count(4, 0), None);
}

#[test]
fn bad_input_is_an_error_that_says_what() {
    let text = |error: wider_clip::error::Error| error.to_string();
    assert!(text(accuracy(&[], &[]).unwrap_err()).contains("at least one image"));
    assert!(text(accuracy(&[0], &[0, 1]).unwrap_err()).contains("expected 2, one an image, found 1"));
    assert!(text(correct(&[], &[]).unwrap_err()).contains("at least one image"));
    assert!(text(macro_f1(&[0, 3], &[0, 1], 2).unwrap_err()).contains("found 3 for image 1"));
    assert!(text(balanced_accuracy(&[0, 0], &[0, 7], 2).unwrap_err()).contains("truth"));
    assert!(ConfusionMatrix::new(&[0], &[0], 0).is_err());
    assert!(mean_t_interval(&[], 0.95).is_err());
    assert!(text(mean_t_interval(&[0.1, f64::NAN], 0.95).unwrap_err()).contains("NaN"));
    for level in [0.0, 1.0, -1.0, f64::NAN] {
        assert!(mean_t_interval(&[0.1, 0.2], level).is_err(), "{level}");
    }
    assert!(paired_bootstrap(&[], &[], 100, 0).is_err());
    assert!(paired_bootstrap(&[true], &[true, false], 100, 0).is_err());
    assert!(paired_bootstrap(&[true], &[true], 39, 0).is_err());
}

#[test]
fn t_intervals_equal_scipy() {
    for case in golden("intervals") {
        let interval = mean_t_interval(&numbers(&case["values"]), case["level"].as_f64().unwrap()).unwrap();
        close(interval.mean, &case["mean"], "mean");
        close(interval.low.unwrap(), &case["low"], "low");
        close(interval.high.unwrap(), &case["high"], "high");
    }
}

#[test]
fn one_value_has_no_interval_and_equal_values_one_of_width_zero() {
    let one = mean_t_interval(&[0.8], 0.95).unwrap();
    assert_eq!((one.mean, one.low, one.high, one.n), (0.8, None, None, 1));
    let equal = mean_t_interval(&[0.5; 5], 0.95).unwrap();
    assert_eq!((equal.mean, equal.low, equal.high), (0.5, Some(0.5), Some(0.5)));
}

#[test]
fn bootstrap_agrees_with_scipy() {
    for case in golden("bootstraps") {
        let answers = |key: &str| numbers(&case[key]).into_iter().map(|v| v == 1.0).collect::<Vec<_>>();
        let ours = paired_bootstrap(&answers("a"), &answers("b"), 20_000, 0).unwrap();
        close(ours.difference, &case["difference"], "difference");
        // Two draws of 20,000 resamples: their ends differ by little more than one image.
        let image = 1.01 / ours.n_images as f64;
        assert!((ours.low - case["low"].as_f64().unwrap()).abs() < image, "{ours:?} {}", case["low"]);
        assert!((ours.high - case["high"].as_f64().unwrap()).abs() < image, "{ours:?} {}", case["high"]);
    }
}

#[test]
fn bootstrap_is_seeded_antisymmetric_and_bounded() {
    let a: Vec<bool> = (0..90).map(|image| image % 3 != 0).collect();
    let b: Vec<bool> = (0..90).map(|image| image % 2 == 0).collect();
    let ab = paired_bootstrap(&a, &b, 500, 7).unwrap();
    assert_eq!(ab, paired_bootstrap(&a, &b, 500, 7).unwrap());
    let ba = paired_bootstrap(&b, &a, 500, 7).unwrap();
    assert!((ab.low + ba.high).abs() < 1e-12 && (ab.high + ba.low).abs() < 1e-12);
    assert_eq!(ab.p_value, ba.p_value);
    assert!(ab.low <= ab.difference && ab.difference <= ab.high);

    let same = paired_bootstrap(&a, &a, 500, 7).unwrap();
    // Nothing differed in 90 images: up to 1.96^2 / (90 + 1.96^2) of others may.
    let bound = 3.841_459 / (90.0 + 3.841_459);
    assert_eq!((same.difference, same.p_value), (0.0, 1.0));
    assert!((same.low + bound).abs() < 1e-6 && (same.high - bound).abs() < 1e-6, "{same:?}");
}

/// Rows of numbers as an array.
fn matrix(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(numbers).collect();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

#[test]
fn top_k_equals_scikit_learn() {
    for case in golden("top_k") {
        let k = case["k"].as_u64().unwrap() as usize;
        close(
            top_k_accuracy(matrix(&case["scores"]).view(), &classes(&case["truth"]), k).unwrap(),
            &case["top_k"],
            "top k",
        );
    }
}

#[test]
fn agreement_of_clusterings_equals_scikit_learn() {
    for case in golden("clusterings") {
        let (a, b) = (classes(&case["a"]), classes(&case["b"]));
        close(adjusted_rand(&a, &b).unwrap(), &case["adjusted_rand"], "adjusted Rand index");
        close(adjusted_rand(&b, &a).unwrap(), &case["adjusted_rand"], "adjusted Rand index, turned");
        let information = normalised_mutual_information(&a, &b).unwrap();
        close(information, &case["normalised_mutual_information"], "mutual information");
    }
}

#[test]
fn calibration_errors_equal_the_definition() {
    for case in golden("calibration") {
        let bins = case["bins"].as_u64().unwrap() as usize;
        let error = expected_calibration_error(matrix(&case["probabilities"]).view(), &classes(&case["truth"]), bins);
        close(error.unwrap(), &case["error"], "calibration error");
    }
}

#[test]
fn worst_groups_equal_scikit_learn() {
    for case in golden("worst_groups") {
        let worst =
            worst_group(&classes(&case["predicted"]), &classes(&case["truth"]), &classes(&case["groups"])).unwrap();
        assert_eq!(u64::from(worst.group), case["group"].as_u64().unwrap());
        assert_eq!(worst.n as u64, case["n"].as_u64().unwrap());
        close(worst.accuracy, &case["accuracy"], "worst group");
    }
}

#[test]
fn intervals_of_an_accuracy_agree_with_scipy() {
    for case in golden("accuracies") {
        let correct: Vec<bool> = numbers(&case["correct"]).into_iter().map(|v| v == 1.0).collect();
        let ours = bootstrap_accuracy(&correct, 20_000, 0).unwrap();
        close(ours.mean, &case["mean"], "mean");
        let image = 1.01 / correct.len() as f64;
        assert!((ours.low.unwrap() - case["low"].as_f64().unwrap()).abs() < image);
        assert!((ours.high.unwrap() - case["high"].as_f64().unwrap()).abs() < image);
    }
}

#[test]
fn bad_scores_and_clusterings_are_named() {
    let text = |error: wider_clip::error::Error| error.to_string();
    let scores = Array2::from_elem((2, 3), 0.2);
    assert!(text(top_k_accuracy(scores.view(), &[0, 1], 3).unwrap_err()).contains("below the 3 classes, found 3"));
    assert!(text(top_k_accuracy(scores.view(), &[0, 5], 1).unwrap_err()).contains("5 for image 1"));
    assert!(text(top_k_accuracy(scores.view(), &[0], 1).unwrap_err()).contains("found 2"));
    let mut broken = scores.clone();
    broken[[1, 2]] = f64::NAN;
    assert!(text(top_k_accuracy(broken.view(), &[0, 1], 1).unwrap_err()).contains("NaN in row 1, column 2"));
    broken[[1, 2]] = 1.5;
    assert!(text(expected_calibration_error(broken.view(), &[0, 1], 15).unwrap_err()).contains("0 to 1, found 1.5"));
    assert!(text(expected_calibration_error(scores.view(), &[0, 1], 0).unwrap_err()).contains("bins"));
    assert!(text(adjusted_rand(&[], &[]).unwrap_err()).contains("at least one image"));
    assert!(text(normalised_mutual_information(&[0], &[0, 1]).unwrap_err()).contains("1, one an image, found 2"));
    assert!(text(worst_group(&[0], &[0], &["a", "b"]).unwrap_err()).contains("groups: expected 1"));
    assert!(bootstrap_accuracy(&[], 100, 0).is_err());
}

fn features(value: &Value) -> Array2<f32> {
    let rows: Vec<Vec<f64>> = value.as_array().unwrap().iter().map(numbers).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j] as f32)
}

#[test]
fn alignments_equal_the_unbiased_estimate() {
    let cases = golden("alignments");
    assert_eq!(cases.len(), 4);
    for (i, case) in cases.iter().enumerate() {
        let (a, b) = (Gram::new(features(&case["a"]).view()).unwrap(), Gram::new(features(&case["b"]).view()).unwrap());
        close(a.cka(&b).unwrap(), &case["cka"], &format!("alignment {i}"));
        close(b.cka(&a).unwrap(), &case["cka"], &format!("alignment {i}, turned round"));
    }
    let few = Gram::new(Array2::zeros((3, 2)).view()).unwrap_err().to_string();
    assert_eq!(few, "features: expected 4 images or more, found 3");
    let (alike, apart) = (Gram::new(Array2::ones((5, 2)).view()).unwrap(), features(&cases[0]["a"]));
    let apart = Gram::new(apart.slice(wider_clip::ndarray::s![..5, ..])).unwrap();
    assert!(alike.cka(&apart).unwrap_err().to_string().contains("images that differ"));
    assert!(apart.cka(&Gram::new(Array2::ones((6, 2)).view()).unwrap()).is_err());
    assert!(Gram::new(Array2::from_elem((5, 2), f32::NAN).view()).is_err());
}

#[test]
fn rank_correlations_equal_scipy() {
    let cases = golden("ranks");
    assert_eq!(cases.len(), 3);
    for (i, case) in cases.iter().enumerate() {
        let found = spearman(&numbers(&case["a"]), &numbers(&case["b"])).unwrap().unwrap();
        close(found, &case["spearman"], &format!("ranks {i}"));
    }
    assert!(spearman(&[1.0], &[1.0]).is_err() && spearman(&[1.0, 2.0], &[1.0]).is_err());
    assert!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]).is_err());
}

#[test]
fn versions_of_a_subject_are_drawn_together() {
    let (a, b) = (|subject: usize| subject % 3 != 0, |subject: usize| subject.is_multiple_of(2));
    let of_subjects = |f: &dyn Fn(usize) -> bool| (0..60).map(f).collect::<Vec<bool>>();
    let single = paired_bootstrap(&of_subjects(&a), &of_subjects(&b), 500, 3).unwrap();
    // Each subject five times, in whatever order: the same draws, the same numbers.
    let subject: Vec<usize> = (0..300).map(|image| (7 * image) % 60).collect();
    let of_images = |f: &dyn Fn(usize) -> bool| subject.iter().map(|&s| f(s)).collect::<Vec<bool>>();
    let grouped = paired_group_bootstrap(&subject, &of_images(&a), &of_images(&b), 500, 3).unwrap();
    assert_eq!((grouped.n_images, grouped.n_groups, single.n_groups), (300, 60, 60));
    assert_eq!(PairedBootstrap { n_images: 60, ..grouped }, single);

    // Groups of unequal size: the ratio's standard error is sqrt(sum (gain - ratio n)^2) / sum n.
    let subject: Vec<usize> = (0..300).flat_map(|s| std::iter::repeat_n(s, 1 + s % 5)).collect();
    let right: Vec<bool> = subject.iter().map(|s| (s * s) % 7 < 4).collect();
    let never = vec![false; right.len()];
    let found = paired_group_bootstrap(&subject, &right, &never, 4000, 0).unwrap();
    let n = |s: usize| (1 + s % 5) as f64;
    let squares: f64 =
        (0..300).map(|s| n(s) * (f64::from(u8::from((s * s) % 7 < 4)) - found.difference)).map(|x| x * x).sum();
    let width = 2.0 * 1.96 * squares.sqrt() / right.len() as f64;
    assert!(((found.high - found.low) / width - 1.0).abs() < 0.06, "{} for {width}", found.high - found.low);

    let error = paired_group_bootstrap(&subject[1..], &right, &never, 500, 0).unwrap_err().to_string();
    assert_eq!(error, "groups: expected 900, as a has, found 899");
}

#[test]
fn no_certainty_comes_from_alike_answers() {
    for right in [true, false] {
        let one = bootstrap_accuracy(&[right], 1000, 0).unwrap();
        assert_eq!((one.mean, one.low, one.high, one.n), (f64::from(u8::from(right)), None, None, 1));
        let fifty = bootstrap_accuracy(&[right; 50], 1000, 0).unwrap();
        let (low, high) = (fifty.low.unwrap(), fifty.high.unwrap());
        // scipy.stats.binomtest(50, 50).proportion_ci(method="wilson")
        let wilson = 0.928_651_8;
        let (seen, bound) = if right { (high, low) } else { (1.0 - low, 1.0 - high) };
        assert!(seen == 1.0 && (bound - wilson).abs() < 1e-4, "{fifty:?}");
        // Many answers of one group are one unit.
        assert_eq!(group_bootstrap_accuracy(&[7; 30], &[right; 30], 1000, 0).unwrap().low, None);
    }
    let one = paired_bootstrap(&[true], &[false], 1000, 0).unwrap();
    assert_eq!((one.difference, one.low, one.high, one.p_value, one.n_groups), (1.0, -1.0, 1.0, 1.0, 1));
    let all = paired_bootstrap(&[true; 50], &[false; 50], 1000, 0).unwrap();
    assert!(all.high == 1.0 && (0.8..0.9).contains(&all.low) && all.p_value < 0.01, "{all:?}");
    let two = paired_bootstrap(&[false; 2], &[true; 2], 1000, 0).unwrap();
    assert!(two.low == -1.0 && two.high > 0.0 && two.p_value == 0.5, "{two:?}");
}

#[test]
fn a_probability_on_an_edge_lies_in_the_bin_below() {
    for (p, bins, alone) in [(0.56, 25, 14), (0.56, 50, 28), (0.55, 100, 55), (0.56, 100, 56), (0.58, 50, 29)] {
        // Another image in the middle of that bin: one bin holds both, so that their gaps cancel.
        let inside = (alone as f64 - 0.5) / bins as f64;
        let probabilities = Array2::from_shape_vec((2, 2), vec![p, 1.0 - p, inside, 1.0 - inside]).unwrap();
        let found = expected_calibration_error(probabilities.view(), &[0, 1], bins).unwrap();
        let expected = ((1.0 - p) - inside).abs() / 2.0;
        assert!((found - expected).abs() < 1e-12, "{p} {bins}: {found} for {expected}");
    }
}

#[test]
fn class_numbers_are_no_array_lengths() {
    let (predicted, truth) = ([7, 200_000_000, 7, u32::MAX], [7, 200_000_000, u32::MAX, u32::MAX]);
    let n = u32::MAX as usize + 1;
    let matrix = ConfusionMatrix::new(&predicted, &truth, n).unwrap();
    assert_eq!((matrix.accuracy(), matrix.count(u32::MAX as usize, 7)), (0.75, Some(1)));
    assert_eq!((matrix.recall(u32::MAX), matrix.precision(7), matrix.f1(8)), (Some(0.5), Some(0.5), None));
    assert_eq!(matrix.classes().collect::<Vec<_>>(), [7, 200_000_000, u32::MAX]);
    assert_eq!(balanced_accuracy(&predicted, &truth, n).unwrap(), 2.5 / 3.0);
    let dense = macro_f1(&[0, 1, 0, 2], &[0, 1, 2, 2], 3).unwrap();
    assert_eq!(macro_f1(&predicted, &truth, n).unwrap(), dense);
}

#[test]
fn alignment_does_not_depend_on_scale() {
    let case = &golden("alignments")[0];
    let (a, b) = (features(&case["a"]), features(&case["b"]));
    for factor in [2f32.powi(-120), 2f32.powi(100)] {
        let (a, b) =
            (Gram::new(a.mapv(|x| x * factor).view()).unwrap(), Gram::new(b.mapv(|x| x * factor).view()).unwrap());
        close(a.cka(&b).unwrap(), &case["cka"], "scaled");
    }
}
