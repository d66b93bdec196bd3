//! The arithmetic of drift against scipy, scikit-learn and numpy (`tests/reference/drift.py`), and its edges.

use serde_json::Value;
use wider_clip::metrics::{
    ClassMix, DriftLine, Estimate, Resamples, Stretch, above_chance, expected_calibration_error, fit_temperature,
    negative_log_likelihood, reliability, tempered,
};
use wider_clip::ndarray::{Array2, array};
use wider_clip::random::Random;

fn golden(key: &str, n: usize) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/drift.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = all[key].as_array().unwrap().clone();
    assert_eq!(cases.len(), n, "cases under {key}");
    cases
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn pairs(value: &Value) -> Vec<(f64, f64)> {
    value.as_array().unwrap().iter().map(numbers).map(|pair| (pair[0], pair[1])).collect()
}

/// Written so that NaN fails.
fn close(ours: f64, theirs: &Value, within: f64, what: &str) {
    let theirs = theirs.as_f64().unwrap();
    assert!((ours - theirs).abs() <= within, "{what}: {ours}, expected {theirs}");
}

#[test]
fn lines_and_what_lies_beside_them_equal_scipy() {
    for case in golden("lines", 3) {
        let points = pairs(&case["points"]);
        for stretch in [Stretch::Probit, Stretch::Logit] {
            let expected = &case[stretch.as_str()];
            for (&(id, ood), stretched) in points.iter().zip(expected["stretched"].as_array().unwrap()) {
                for (accuracy, stretched) in [(id, &stretched[0]), (ood, &stretched[1])] {
                    let ours = stretch.of(accuracy).unwrap();
                    close(ours, stretched, 1e-9, "stretched");
                    assert!((stretch.back(ours) - accuracy).abs() < 1e-9, "{accuracy}");
                }
            }
            let line = DriftLine::fit(&points, stretch).unwrap();
            assert_eq!((line.n, line.stretch), (points.len(), stretch));
            close(line.slope, &expected["slope"], 1e-9, "slope");
            close(line.intercept, &expected["intercept"], 1e-9, "intercept");
            close(line.r2.unwrap(), &expected["r2"], 1e-9, "r2");
            for (&(id, ood), robustness) in points.iter().zip(expected["robustness"].as_array().unwrap()) {
                close(line.effective_robustness(id, ood).unwrap(), robustness, 1e-9, "effective robustness");
            }
        }
    }
}

#[test]
fn what_has_no_line_is_refused() {
    let fit = |points: &[(f64, f64)]| DriftLine::fit(points, Stretch::Probit).map_err(|error| error.to_string());
    for (points, said) in [
        (&[(0.2, 0.1), (0.4, 0.3)][..], "at least three"),
        (&[(0.2, 0.1), (0.4, 0.3), (1.0, 0.5)], "above 0 and below 1"),
        (&[(0.2, 0.1), (0.4, 0.0), (0.5, 0.5)], "above 0 and below 1"),
        (&[(0.2, 0.1), (f64::NAN, 0.1), (0.5, 0.5)], "above 0 and below 1"),
        (&[(0.2, 0.1), (0.2, 0.3), (0.2, 0.5)], "some that differ"),
        (&[(0.9, 0.1), (0.9, 0.3), (0.9, 0.5)], "some that differ"),
    ] {
        let error = fit(points).unwrap_err();
        assert!(error.contains(said), "{points:?}: {error}");
    }
    // Nothing to explain is not explained in full.
    let flat = fit(&[(0.2, 0.5), (0.4, 0.5), (0.6, 0.5)]).unwrap();
    assert_eq!((flat.slope, flat.r2), (0.0, None));
    assert_eq!(flat.at(1.0), None);
    assert_eq!(flat.effective_robustness(0.0, 0.5), None);
    assert_eq!((Stretch::Logit.of(0.0), Stretch::Probit.of(f64::NAN), Stretch::Logit.of(-0.1)), (None, None, None));
}

#[test]
fn accuracies_that_rounding_could_tell_apart_are_equal() {
    // Stretched they lie 0, 0 and d apart: their squares about the mean come to 2/3 of d squared. Three equal ones may
    // come to 3 x 2.2e-16 times their mean, or times 1.
    let fit = |ids: [f64; 3], stretch| DriftLine::fit(&[(ids[0], 0.1), (ids[1], 0.3), (ids[2], 0.5)], stretch);
    let apart = |d: f64, stretch: Stretch| fit([0.5, 0.5, stretch.back(d)], stretch);
    for stretch in [Stretch::Probit, Stretch::Logit] {
        assert!(apart(2.1e-8, stretch).is_err(), "4.4 x 2/3 = 2.9, of 6.7");
        assert!(apart(4e-8, stretch).is_ok(), "16 x 2/3 = 10.7, of 6.7");
    }
    // A mean of 13.8.
    let (high, step) = (1.0 - 1e-6, 1e-6);
    assert!(fit([high, high, high + 4e-8 * step], Stretch::Logit).is_err(), "1.1e-15, of 9.2e-15");
    assert!(fit([high, high, high + 4e-7 * step], Stretch::Logit).is_ok(), "1.1e-13, of 9.2e-15");
}

#[test]
fn gaps_are_taken_apart_as_by_hand() {
    let side = |value: &Value| -> Vec<(u32, bool)> {
        let images = value.as_array().unwrap().iter();
        images.map(|image| (image[0].as_u64().unwrap() as u32, image[1].as_bool().unwrap())).collect()
    };
    for case in golden("mixes", 3) {
        let mix = ClassMix::of(&side(&case["id"]), &side(&case["ood"])).unwrap().unwrap();
        close(mix.gap, &case["gap"], 1e-9, "gap");
        close(mix.mix, &case["mix"], 1e-9, "mix");
        close(mix.recall, &case["recall"], 1e-9, "recall");
        close(mix.covered.0, &case["covered"][0], 1e-9, "covered in distribution");
        close(mix.covered.1, &case["covered"][1], 1e-9, "covered out of it");
        assert!((mix.mix + mix.recall - mix.gap).abs() < 1e-12, "the two parts are the gap");
        assert_eq!(mix.share(), Some(mix.mix / mix.gap));
    }
    assert_eq!(ClassMix::of(&[(0, true)], &[(1, true)]).unwrap(), None);
    assert!(ClassMix::of(&[], &[(1, true)]).is_err() && ClassMix::of(&[(1, true)], &[]).is_err());
    let alike = ClassMix::of(&[(0, true)], &[(0, true)]).unwrap().unwrap();
    assert_eq!((alike.gap, alike.share()), (0.0, None));
}

#[test]
fn chance_is_no_merit() {
    assert_eq!((above_chance(0.5, 2), above_chance(1.0, 10), above_chance(1.0, 1)), (Some(0.0), Some(1.0), None));
    assert_eq!(above_chance(0.25, 2), Some(-0.5));
}

#[test]
fn calibration_equals_scikit_learn() {
    for case in golden("calibrations", 3) {
        let rows = case["scores"].as_array().unwrap();
        let flat: Vec<f64> = rows.iter().flat_map(numbers).collect();
        let scores = Array2::from_shape_vec((rows.len(), flat.len() / rows.len()), flat).unwrap();
        let truth: Vec<u32> = numbers(&case["truth"]).into_iter().map(|class| class as u32).collect();
        let probabilities = tempered(scores.view(), 1.0).unwrap();
        close(negative_log_likelihood(probabilities.view(), &truth).unwrap(), &case["nll"], 1e-9, "NLL");
        let bins = case["bins"].as_array().unwrap();
        let ece = expected_calibration_error(probabilities.view(), &truth, bins.len()).unwrap();
        close(ece, &case["ece"], 1e-9, "ECE");
        let ours = reliability(probabilities.view(), &truth, bins.len()).unwrap();
        assert_eq!(ours.len(), bins.len());
        for (i, (ours, theirs)) in ours.iter().zip(bins).enumerate() {
            assert_eq!(ours.n as u64, theirs["n"].as_u64().unwrap(), "bin {i}");
            assert_eq!((ours.low, ours.high), (i as f64 / bins.len() as f64, (i + 1) as f64 / bins.len() as f64));
            assert_eq!(ours.confidence.is_none(), theirs["confidence"].is_null());
            assert_eq!(ours.accuracy.is_none(), theirs["accuracy"].is_null());
            if let (Some(confidence), Some(accuracy)) = (ours.confidence, ours.accuracy) {
                close(confidence, &theirs["confidence"], 1e-9, "confidence");
                close(accuracy, &theirs["accuracy"], 1e-9, "accuracy");
            }
        }
        let temperature = fit_temperature(scores.view(), &truth).unwrap().unwrap();
        let relative = 1e-6 * case["temperature"].as_f64().unwrap();
        close(temperature, &case["temperature"], relative, "temperature");
        let after = tempered(scores.view(), temperature).unwrap();
        let nll = negative_log_likelihood(after.view(), &truth).unwrap();
        close(nll, &case["tempered_nll"], 1e-9, "NLL at the temperature");
        assert!(nll < case["nll"].as_f64().unwrap());
        // Logits shifted by a number per image are the same probabilities.
        let shifted = &scores + &Array2::from_shape_fn((scores.nrows(), 1), |(row, _)| row as f64);
        let again = fit_temperature(shifted.view(), &truth).unwrap().unwrap();
        assert!((again - temperature).abs() < 1e-9 * temperature, "{again}, {temperature}");
    }
}

#[test]
fn a_temperature_is_found_beside_a_score_far_from_all_others() {
    // One image of 5,001 is wrong, by 500; the right ones are sure by 1. The slope is 0 where they push as hard as it
    // pulls: 5,000 / (1 + e^(1 / T)) = 500.
    let scores = Array2::from_shape_fn((5001, 2), |(image, class)| match (image, class) {
        (0, 0) => 500.0,
        (_, 0) => 1.0,
        _ => 0.0,
    });
    let mut truth = vec![0; 5001];
    truth[0] = 1;
    let temperature = fit_temperature(scores.view(), &truth).unwrap().unwrap();
    assert!((temperature - 1.0 / 9f64.ln()).abs() < 1e-9, "{temperature}");
}

#[test]
fn a_temperature_that_is_none_is_none() {
    // All right: the surer the better. All wrong: the less sure the better. Nothing said: no temperature matters.
    assert_eq!(fit_temperature(array![[2.0, 0.0], [0.0, 1.0]].view(), &[0, 1]).unwrap(), None);
    assert_eq!(fit_temperature(array![[2.0, 0.0], [0.0, 1.0]].view(), &[1, 0]).unwrap(), None);
    assert_eq!(fit_temperature(array![[0.0, 0.0]].view(), &[0]).unwrap(), None);
    assert!(fit_temperature(array![[f64::INFINITY, 0.0]].view(), &[0]).is_err());
    assert!(fit_temperature(array![[0.0, 0.0]].view(), &[2]).is_err());
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(tempered(array![[0.0, 1.0]].view(), temperature).is_err(), "{temperature}");
    }
    // Scores far apart stay probabilities.
    let sure = tempered(array![[1e6, 0.0]].view(), 1.0).unwrap();
    assert_eq!(sure, array![[1.0, 0.0]]);
    assert_eq!(negative_log_likelihood(sure.view(), &[1]).unwrap(), f64::INFINITY);
    assert!(negative_log_likelihood(array![[1.5, -0.5]].view(), &[0]).is_err());
}

#[test]
fn resamples_are_drawn_unit_by_unit() {
    // More than are drawn together.
    let (units, n, seed) = (5, 150, 7);
    let per_unit = Array2::from_shape_fn((units, 3), |(unit, column)| (unit * unit + 10 * column) as f32);
    let found = Resamples::new(units, n, seed).unwrap().sums(per_unit.view()).unwrap();
    assert_eq!(found.dim(), (n, 3));
    for (resample, sums) in found.rows().into_iter().enumerate() {
        let mut random = Random::new("resamples of units", seed, resample as u64);
        let drawn: Vec<usize> = (0..units).map(|_| random.below(units)).collect();
        let expected: Vec<f32> =
            (0..3).map(|column| drawn.iter().map(|&unit| per_unit[[unit, column]]).sum()).collect();
        assert_eq!(sums.to_vec(), expected, "resample {resample}");
    }
    assert!(Resamples::new(units, 39, 0).is_err() && Resamples::new(units, 40, 0).is_ok());
    assert!(Resamples::new(0, 40, 0).is_err() && Resamples::new(1 << 24, 40, 0).is_err());
    assert!(Resamples::new((1 << 24) - 1, 40, 0).is_ok(), "f32 counts to there");
    for other in [4, 6] {
        assert!(Resamples::new(other, n, seed).unwrap().sums(per_unit.view()).is_err(), "{other}");
    }
}

#[test]
fn an_estimate_has_an_interval_where_resamples_differ() {
    let of = |resampled: &[f64]| Estimate::of(0.25, resampled.to_vec());
    let found = of(&[3.0, -1.0, 4.0, 1.0, 2.0]);
    // A tenth of the way from -1 to 1, and nine tenths of that from 3 to 4; twice (1 + 1) of 5 + 1 are not above 0.
    let (low, high) = found.interval.unwrap();
    assert!((low + 0.8).abs() < 1e-12 && (high - 3.9).abs() < 1e-12, "{found:?}");
    assert_eq!((found.value, found.p_value), (0.25, Some(2.0 / 3.0)));
    // All alike, one that is no number, none at all: nothing is claimed.
    for silent in [&[2.0; 5][..], &[1.0, 2.0, f64::NAN], &[1.0, f64::INFINITY], &[f64::NEG_INFINITY, 1.0], &[]] {
        let found = of(silent);
        assert_eq!((found.value, found.interval, found.p_value), (0.25, None, None), "{silent:?}");
    }
}
