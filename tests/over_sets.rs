//! Accuracies held against each other, of one set of images, over sets and over seeds, against `tests/reference/published.py`
//! (scipy), and by hand.

#[path = "support/published.rs"]
mod published;

use published::{GOLDEN, cases, close, count, nearly, number};
use serde_json::Value;
use wider_clip::metrics::{
    Proportions, SameImages, SetResamples, Standings, TwoWay, VarianceShares, critical_difference, denominators,
    mcnemar, ranks_of, regrets, wilson,
};
use wider_clip::ndarray::{Array1, Array2, Array3, array};

fn matrix(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

#[test]
fn wilson_and_mcnemar_are_scipys() {
    for case in cases("wilson", 8) {
        let (right, n) = (number(&case["right"]), number(&case["n"]));
        let (low, high) = wilson(right / n, n).unwrap();
        close(low, &case["low"], 1e-12, "low");
        close(high, &case["high"], 1e-12, "high");
    }
    for case in cases("mcnemar", 8) {
        let (b, c) = (count(&case["b"]) as u64, count(&case["c"]) as u64);
        nearly(mcnemar(b, c), &case["p"], 1e-9, &format!("{b} {c}"));
        assert_eq!(mcnemar(b, c), mcnemar(c, b));
    }
    // All digits of the small ones too.
    assert_eq!(mcnemar(0, 60), 0.5f64.powi(59));
    assert!(wilson(1.1, 5.0).is_err() && wilson(f64::NAN, 5.0).is_err() && wilson(0.5, 0.0).is_err());
}

#[test]
fn two_accuracies_are_held_against_each_other_in_four_cases() {
    for case in cases("two_accuracies", 10) {
        let (a, b, n) = (number(&case["a"]), number(&case["b"]), count(&case["n"]));
        let found = SameImages::new(a, b, n).unwrap();
        let what = format!("{a} {b} {n}");
        nearly(found.nested, &case["nested"], 1e-9, &what);
        nearly(found.correlated, &case["correlated"], 1e-6, &what);
        nearly(found.independent, &case["independent"], 1e-8, &what);
        nearly(found.opposed, &case["opposed"], 1e-6, &what);
        let turned = SameImages::new(b, a, n).unwrap();
        assert!(
            (turned.opposed - found.opposed).abs() < 1e-12 && turned.nested == found.nested,
            "{what}: either way round"
        );
    }
    let pair = Proportions::new((0.6, 100.0), (0.5, 200.0)).unwrap();
    assert!((pair.error - (0.0024f64 + 0.00125).sqrt()).abs() < 1e-15 && pair.side() == 0);
    // By scipy: 2 norm.sf(0.1 / sqrt(0.00365)).
    assert!((pair.p_value() - 0.097_881_547_089).abs() < 1e-9);
    assert_eq!(Proportions::new((0.9, 100.0), (0.5, 200.0)).unwrap().side(), 1);
    assert_eq!(Proportions::new((0.5, 100.0), (0.9, 200.0)).unwrap().side(), -1);
    let same = Proportions::new((1.0, 5.0), (1.0, 5.0)).unwrap();
    assert_eq!((same.p_value(), same.side()), (1.0, 0));
    assert_eq!(Proportions::new((1.0, 5.0), (0.0, 5.0)).unwrap().p_value(), 0.0);
}

#[test]
fn ranks_over_sets_are_scipys() {
    for case in GOLDEN["nemenyi"].as_array().unwrap() {
        let found = critical_difference(count(&case["models"]), count(&case["sets"])).unwrap();
        nearly(found, &case["critical_difference"], 1e-6, &case.to_string());
    }
    assert!(critical_difference(1, 5).is_err() && critical_difference(3, 0).is_err());
    for case in cases("friedman", 4) {
        let scores = matrix(&case["scores"]);
        let mut ranks = Array2::zeros(scores.dim());
        for (scores, mut ranks) in scores.rows().into_iter().zip(ranks.rows_mut()) {
            ranks.assign(&Array1::from(ranks_of(scores.as_slice().unwrap())));
        }
        assert_eq!(ranks, matrix(&case["ranks"]));
        let found = Standings::new(ranks.view()).unwrap();
        close(found.agreement, &case["w"], 1e-10, "W");
        nearly(found.p_value, &case["p"], 1e-8, "p");
    }
    // Things that are alike on every set.
    let alike = Standings::new(array![[1.5, 1.5], [1.5, 1.5]].view()).unwrap();
    assert_eq!((alike.agreement, alike.p_value), (0.0, 1.0));
    assert!(alike.of.iter().all(|standing| standing.first > 0.999 && standing.undecided));
}

#[test]
fn places_over_two_sets_by_hand() {
    // Of the four draws of two sets one has the first set twice, one the second, two have both: mean ranks 1, 2, 3;
    // 2, 1, 3; 1.5, 1.5, 3.
    let found = Standings::new(array![[1.0, 2.0, 3.0], [2.0, 1.0, 3.0]].view()).unwrap();
    let of: Vec<_> = found.of.iter().map(|of| (of.mean_rank, of.places, of.first, of.undecided)).collect();
    assert_eq!(of, [(1.5, (1.0, 2.0), 0.75, true), (1.5, (1.0, 2.0), 0.75, true), (3.0, (3.0, 3.0), 0.0, false)]);
    // Always equal: both share the mean of their places, and nobody else is near.
    let found = Standings::new(array![[1.5, 1.5, 3.0, 4.0], [1.5, 1.5, 4.0, 3.0]].view()).unwrap();
    let places: Vec<_> = found.of.iter().map(|of| of.places).collect();
    assert_eq!(places, [(1.5, 1.5), (1.5, 1.5), (3.0, 4.0), (3.0, 4.0)]);
}

#[test]
fn every_resample_of_the_sets_is_counted() {
    for case in cases("set_bootstrap", 4) {
        let values: Vec<f64> = serde_json::from_value(case["values"].clone()).unwrap();
        let (low, high) = SetResamples::new(values.len()).unwrap().interval(&values).unwrap();
        close(low, &case["low"], 1e-10, "low");
        close(high, &case["high"], 1e-10, "high");
    }
    assert!(SetResamples::new(0).is_err() && SetResamples::new(11).is_err());
    assert!(SetResamples::new(3).unwrap().interval(&[1.0]).is_err());
    let found = regrets(array![[0.9, 0.5, 0.5], [0.8, 0.7, 0.5]].view()).unwrap();
    assert!((found[0].worst - 0.2).abs() < 1e-12 && found[0].worst_set == 1);
    // Of 27 draws the first loses at most as much as the second where set 0 is drawn twice as often as set 1, or neither is.
    assert!((found[0].least - 11.0 / 27.0).abs() < 1e-12, "{}", found[0].least);
    assert!(regrets(array![[f64::NAN]].view()).is_err());
}

#[test]
fn two_way_intervals_are_those_of_all_draws() {
    for case in cases("two_way", 3) {
        let (sums, counts) = (matrix(&case["sums"]), matrix(&case["counts"]));
        let found = TwoWay::new(counts, 20_000, 3).unwrap().estimate(sums.view()).unwrap();
        close(found.value, &case["value"], 1e-12, "value");
        let (low, high) = found.interval.unwrap();
        let width = number(&case["high"]) - number(&case["low"]);
        close(low, &case["low"], 0.03 * width, "low");
        close(high, &case["high"], 0.03 * width, "high");
    }
    for case in cases("shares", 2) {
        let values: Vec<Vec<Vec<f64>>> = serde_json::from_value(case["values"].clone()).unwrap();
        let shape = (values.len(), values[0].len(), values[0][0].len());
        let found = VarianceShares::of(Array3::from_shape_fn(shape, |(i, j, k)| values[i][j][k]).view()).unwrap();
        close(found.method, &case["method"], 1e-10, "method");
        close(found.set, &case["set"], 1e-10, "set");
        close(found.model, &case["model"], 1e-10, "model");
        close(found.rest, &case["rest"], 1e-10, "rest");
    }
    // A seed with no image of the families drawn is left out of the mean: nothing is left where the first family is drawn twice and
    // the second seed twice, a sixteenth of all.
    let (value, resamples) = TwoWay::new(array![[5.0, 5.0], [0.0, 10.0]], 4000, 9)
        .unwrap()
        .rates(array![[5.0, 0.0], [0.0, 10.0]].view())
        .unwrap();
    let nothing = resamples.iter().filter(|rate| rate.is_nan()).count() as f64 / 4000.0;
    assert!(value == 0.75 && (nothing - 1.0 / 16.0).abs() < 0.015, "{value} {nothing}");
    assert!(TwoWay::new(array![[1.0, 1.0]], 100, 0).is_err(), "one seed");
    assert!(TwoWay::new(array![[1.0, 1.0], [0.0, 0.0]], 100, 0).is_err(), "a seed without images");
    assert!(VarianceShares::of(Array3::zeros((2, 2, 2)).view()).is_err(), "nothing that differs");
}

#[test]
fn images_are_counted_from_printed_digits() {
    // Six of 7: 0.857 to three digits; 6 of 7, 12 of 14, 18 of 21 ... and nothing else of up to 30 images but 24 of 28.
    assert_eq!(denominators(&["0.857"], 30).unwrap(), [7, 14, 21, 28]);
    // Half a unit of the last digit by rounding and a tenth of one more: 1/3 is 0.0033 from 0.33, 0.34 is 0.0067 from it.
    assert_eq!(denominators(&["0.33"], 3).unwrap(), [3]);
    assert!(denominators(&["0.34"], 3).unwrap().is_empty());
    // Digits after the sixth say nothing: 0.3333329 is as 0.333333.
    assert_eq!(denominators(&["0.3333329"], 3).unwrap(), [3]);
    assert!(denominators(&["0.333331"], 3).unwrap().is_empty());
    // Any number of images has none and all of them right; one image is not asked about.
    assert_eq!(denominators(&["0", "1"], 4).unwrap(), [2, 3, 4]);
    // Both have to fit.
    assert_eq!(denominators(&["0.500", "0.333"], 12).unwrap(), [6, 12]);
    assert!(denominators(&["0.5"], 1).unwrap().is_empty());
    for wrong in ["1.5", "-0.1", "x", ""] {
        assert!(denominators(&[wrong], 10).is_err(), "{wrong}");
    }
    assert!(denominators(&[], 10).is_err());
}
