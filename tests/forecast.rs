//! Learning curves carried on: fits and whole forecasts against a second making with scipy and numpy
//! (`tests/reference/forecast.py`), and what has no forecast. Whether intervals hold what they say is in
//! `forecast_coverage.rs`.

use serde_json::Value;
use wider_clip::metrics::{CurveForecast, HalfWidths, LogitLine, Measured, PowerLaw, TestImages};
use wider_clip::random::Random;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Written so that NaN fails.
fn close(ours: f64, theirs: f64, what: &str) {
    assert!((ours - theirs).abs() <= 1e-6, "{what}: {ours}, expected {theirs}");
}

fn golden(part: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/forecast.json");
    let mut golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    serde_json::from_value(golden[part].take()).unwrap()
}

#[test]
fn fits_equal_scipy_and_numpy() {
    let cases = golden("fits");
    assert_eq!(cases.len(), 14);
    for case in &cases {
        let of = |key: &str| numbers(&case[key]);
        let (sizes, accuracies, weights) = (of("sizes"), of("accuracies"), of("weights"));
        let law = PowerLaw::fit(&sizes, &accuracies, &weights).unwrap();
        let line = LogitLine::fit(&sizes, &accuracies, &weights).unwrap();
        assert_eq!(law.reference, *sizes.last().unwrap());
        for (ours, theirs) in [law.ceiling, law.gap, law.exponent].into_iter().zip(of("power")) {
            close(ours, theirs, &format!("{law:?}"));
        }
        for (ours, theirs) in [line.slope, line.intercept].into_iter().zip(of("logit")) {
            close(ours, theirs, "line");
        }
        for ((size, power), logit) in of("ask").into_iter().zip(of("power_at")).zip(of("logit_at")) {
            close(law.at(size), power, "power law");
            close(line.at(size), logit, "line of log-odds");
        }
    }
}

/// The resamples too: the reference draws them as `random.rs` says.
#[test]
fn forecasts_gains_and_labels_equal_the_reference() {
    let cases = golden("forecasts");
    assert_eq!(cases.len(), 5);
    for case in &cases {
        let of = |key: &str| case[key].as_u64().unwrap();
        let rows = |key: &str| case[key].as_array().unwrap().iter().map(numbers).collect::<Vec<_>>();
        let point = |(size, accuracies)| Measured { size, accuracies };
        let points: Vec<Measured> = numbers(&case["sizes"]).into_iter().zip(rows("accuracies")).map(point).collect();
        let test = TestImages { each: of("each") as usize, distinct: of("distinct") as usize };
        let forecast = CurveForecast::new(&points, test, of("seed")).unwrap();
        for row in rows("at") {
            let one = forecast.at(row[0]).unwrap();
            let ends = [one.low, one.high, one.one_low, one.one_high];
            let HalfWidths { seeds, form, images } = one.parts;
            let ours = [&[one.size, one.mean], &ends[..], &[one.power, one.logit, seeds, form, images]].concat();
            assert_eq!(ours.len(), row.len());
            ours.iter().zip(&row).for_each(|(ours, theirs)| close(*ours, *theirs, &format!("{one:?}")));
        }
        for row in rows("gains") {
            let gain = forecast.gain(row[0], row[1]).unwrap();
            let ours = [gain.mean, gain.low, gain.high];
            ours.iter().zip(&row[2..]).for_each(|(ours, theirs)| close(*ours, *theirs, &format!("{row:?}: {gain:?}")));
        }
        for row in case["labels"].as_array().unwrap() {
            let (low, size, high) = labels(&forecast, row[0].as_f64().unwrap());
            for (ours, theirs) in [low, size, high].into_iter().zip(&row.as_array().unwrap()[1..]) {
                assert_eq!(ours.is_some(), theirs.is_f64(), "{row}: {ours:?}");
                // As parts of the size: where an interval's end hardly rises, a little of it is many images.
                close(ours.map_or(0.0, |ours| ours / theirs.as_f64().unwrap() - 1.0), 0.0, &format!("{row}: {ours:?}"));
            }
        }
    }
}

const TEST: TestImages = TestImages { each: 300, distinct: 700 };

/// Points of a curve with the same accuracy, moved by `shifts`, in each repeat.
fn points(curve: &[(f64, f64)], shifts: &[f64]) -> Vec<Measured> {
    let of = |&(size, accuracy): &(f64, f64)| Measured {
        size,
        accuracies: shifts.iter().map(|shift| accuracy + shift).collect(),
    };
    curve.iter().map(of).collect()
}

const RISING: [(f64, f64); 4] = [(25.0, 0.4), (50.0, 0.5), (100.0, 0.58), (200.0, 0.64)];

fn rising(shifts: &[f64]) -> CurveForecast {
    CurveForecast::new(&points(&RISING, shifts), TEST, 0).unwrap()
}

#[test]
fn the_mean_is_that_of_both_forms_and_every_part_widens() {
    let forecast = rising(&[-0.01, 0.0, 0.02]);
    let (near, far) = (forecast.at(400.0).unwrap(), forecast.at(1600.0).unwrap());
    for one in [near, far] {
        assert!((one.mean - 0.5 * (one.power + one.logit)).abs() < 1e-12);
        assert!((one.high - one.mean - one.parts.total()).abs() < 1e-12 && one.low < one.mean);
        assert!(one.one_low < one.low && one.one_high > one.high);
        assert!(one.power > 0.64 && one.logit > one.power);
    }
    assert!(far.mean > near.mean && far.parts.seeds > near.parts.seeds && far.parts.form > near.parts.form);
    // Steps of a tenth of a point are more than the resamples' seed moves.
    let other = CurveForecast::new(&points(&RISING, &[-0.01, 0.0, 0.02]), TEST, 1).unwrap().at(400.0).unwrap();
    assert_eq!(other.mean, near.mean);
    assert!(other.low != near.low && (other.low - near.low).abs() < 0.003);
    assert_eq!(rising(&[-0.01, 0.0, 0.02]).at(400.0).unwrap(), near);
}

#[test]
fn order_and_unit_of_sizes_do_not_matter() {
    let expected = rising(&[-0.01, 0.01]).at(400.0).unwrap();
    let mut turned = points(&RISING, &[-0.01, 0.01]);
    turned.reverse();
    assert_eq!(CurveForecast::new(&turned, TEST, 0).unwrap().at(400.0).unwrap(), expected);
    turned.iter_mut().for_each(|point| point.size *= 13.0);
    let found = CurveForecast::new(&turned, TEST, 0).unwrap().at(5200.0).unwrap();
    assert!((found.mean - expected.mean).abs() < 1e-9 && (found.low - expected.low).abs() < 1e-9);
}

#[test]
fn more_repeats_and_more_test_images_are_surer() {
    let of = |shifts: &[f64]| rising(shifts).at(400.0).unwrap().parts;
    let two = of(&[-0.02, 0.02]);
    let eight = of(&[-0.02, 0.02, -0.02, 0.02, -0.02, 0.02, -0.02, 0.02]);
    assert!(eight.seeds < 0.7 * two.seeds, "{} {}", eight.seeds, two.seeds);
    assert!((eight.form - two.form).abs() < 1e-9);
    // One repeat: what its test images alone let expect. Spread that is seen widens.
    let (one, wide) = (of(&[0.0]), of(&[-0.1, 0.1]));
    assert!(one.seeds > 0.05 && wide.seeds > one.seeds && one.seeds.is_finite());
    let few = TestImages { each: 30, distinct: 70 };
    let few = CurveForecast::new(&points(&RISING, &[0.0]), few, 0).unwrap().at(400.0).unwrap();
    assert!(few.parts.images > 3.0 * two.images && few.parts.seeds > 3.0 * one.seeds);
}

#[test]
fn a_gain_is_surer_than_two_levels() {
    // Repeats that differ in level and nothing else.
    let forecast = rising(&[-0.06, 0.0, 0.06]);
    let gain = forecast.gain(200.0, 250.0).unwrap();
    let level = forecast.at(250.0).unwrap();
    assert!((gain.mean - (level.mean - forecast.at(200.0).unwrap().mean)).abs() < 1e-12);
    assert!(gain.low > 0.0 && gain.high - gain.low < 0.5 * (level.high - level.low));
    let none = forecast.gain(200.0, 200.0).unwrap();
    assert!(none.mean == 0.0 && none.high - none.low < 1e-12);
}

#[test]
fn curves_that_do_not_rise_or_have_nowhere_to_go() {
    let of = |curve: &[(f64, f64)], shifts: &[f64]| CurveForecast::new(&points(curve, shifts), TEST, 0).unwrap();
    let flat = of(&[(10.0, 0.5), (20.0, 0.5), (40.0, 0.5)], &[0.0, 0.0]);
    let one = flat.at(80.0).unwrap();
    assert!((one.mean - 0.5).abs() < 1e-9 && one.low < 0.46 && one.low > 0.4 && one.high > 0.54, "{one:?}");
    let (low, size, high) = labels(&flat, 0.6);
    assert!(low.is_some() && size.is_none() && high.is_none());
    assert_eq!(labels(&flat, 0.4), (Some(10.0), Some(10.0), Some(10.0)));

    let falling = of(&[(10.0, 0.5), (20.0, 0.45), (40.0, 0.4)], &[-0.01, 0.01]);
    let one = falling.at(80.0).unwrap();
    assert!(one.logit < 0.4 && one.power > 0.4 && one.low < one.logit && one.high > one.power, "{one:?}");
    assert_eq!(labels(&falling, 0.7).1, None);

    for (accuracy, inside) in [(1.0, 0.98..1.0), (0.0, 0.0..0.02)] {
        let all = of(&[(10.0, accuracy), (20.0, accuracy), (40.0, accuracy)], &[0.0, 0.0]);
        let one = all.at(80.0).unwrap();
        assert!((one.mean - accuracy).abs() < 0.001 && one.high - one.low > 0.003, "{one:?}");
        assert!(one.low >= 0.0 && one.high <= 1.0 && (inside.contains(&one.low) || inside.contains(&one.high)));
    }
    // 0 at first is what few images often give.
    let late = of(&[(10.0, 0.0), (20.0, 0.0), (40.0, 0.1), (80.0, 0.3)], &[0.0]).at(160.0).unwrap();
    assert!(late.low < 0.4 && late.high > 0.8 && late.mean.is_finite(), "{late:?}");
}

/// Low end, size and high end.
fn labels(forecast: &CurveForecast, target: f64) -> (Option<f64>, Option<f64>, Option<f64>) {
    let found = forecast.labels_for(target).unwrap();
    (found.low, found.size, found.high)
}

#[test]
fn labels_for_an_accuracy_turn_the_forecast_around() {
    let forecast = rising(&[-0.01, 0.0, 0.01]);
    let (low, size, high) = labels(&forecast, 0.66);
    let (low, size) = (low.unwrap(), size.unwrap());
    assert!((forecast.at(size).unwrap().mean - 0.66).abs() < 1e-9 && low < size);
    assert!((forecast.at(low).unwrap().high - 0.66).abs() < 1e-9);
    // The lower end gets there late, or where it is asked for little.
    assert!(high.is_none_or(|high| high > size));
    let high = labels(&forecast, 0.58).2.unwrap();
    assert!((forecast.at(high).unwrap().low - 0.58).abs() < 1e-9);
    let far = labels(&forecast, 0.85);
    assert!(far.1.unwrap() > 1000.0 && far.2.is_none(), "{far:?}");
    for (target, said) in [(0.0, "0"), (1.1, "1.1"), (f64::NAN, "NaN")] {
        let error = forecast.labels_for(target).unwrap_err().to_string();
        assert_eq!(error, format!("target: expected an accuracy above 0 and at most 1, found {said}"));
    }
}

#[test]
fn whatever_was_measured_has_a_forecast() {
    let mut random = Random::new("whatever", 0, 0);
    for _ in 0..300 {
        let (n_sizes, n_repeats) = (3 + random.below(4), 1 + random.below(4));
        let images = 1 + random.below(50);
        let mut size = 1.0 + 100.0 * random.unit();
        let mut points = Vec::new();
        for _ in 0..n_sizes {
            // 0 and 1 are as frequent as any, with few images.
            let of = |random: &mut Random| random.below(images + 1) as f64 / images as f64;
            points.push(Measured { size, accuracies: (0..n_repeats).map(|_| of(&mut random)).collect() });
            size *= 1.5 + 3.0 * random.unit();
        }
        let test = TestImages { each: images, distinct: images * n_repeats };
        let forecast = CurveForecast::new(&points, test, 1).unwrap();
        let (smallest, largest) = forecast.measured();
        for size in [smallest, largest, 1.01 * largest, 2.0 * largest, 1e6 * largest] {
            let one = forecast.at(size).unwrap();
            let ends = [0.0, one.one_low, one.low, one.mean, one.high, one.one_high, 1.0];
            assert!(ends.windows(2).all(|pair| pair[0] <= pair[1]), "{points:?}: {one:?}");
            assert!(one.parts.total() > 0.0 && one.parts.total().is_finite(), "{points:?}: {one:?}");
            let gain = forecast.gain(smallest, size).unwrap();
            assert!(gain.low <= gain.mean && gain.mean <= gain.high, "{points:?}: {gain:?}");
        }
        let (low, size, high) = labels(&forecast, 0.05 + 0.95 * random.unit());
        let or_never = |end: Option<f64>| end.unwrap_or(f64::INFINITY);
        assert!(or_never(low) <= or_never(size) && or_never(size) <= or_never(high), "{low:?} {size:?} {high:?}");
    }
}

#[test]
fn what_has_no_forecast_is_told() {
    let of = |points: &[Measured], each, distinct| {
        CurveForecast::new(points, TestImages { each, distinct }, 0).map(|_| ()).unwrap_err().to_string()
    };
    let good = || points(&RISING, &[-0.01, 0.01]);
    let changed = |change: fn(&mut Vec<Measured>)| {
        let mut points = good();
        change(&mut points);
        of(&points, 300, 700)
    };
    for (found, said) in [
        (changed(|p| p.truncate(2)), "sizes: expected at least 3, found 2"),
        (changed(|p| p.clear()), "sizes: expected at least 3, found 0"),
        (changed(|p| p[1].size = 25.0), "sizes: expected each once, found 25 twice"),
        (changed(|p| p[0].size = 0.0), "size: expected a finite number above 0, found 0"),
        (changed(|p| p[2].size = f64::NAN), "size: expected a finite number above 0, found NaN"),
        (
            changed(|p| p.iter_mut().for_each(|p| p.size += 1000.0)),
            "sizes: expected the largest at least twice the smallest, found 1025 to 1200",
        ),
        (changed(|p| p[3].accuracies[1] = f64::NAN), "accuracy: expected 0 to 1, found NaN at size 200, repeat 1"),
        (changed(|p| p[0].accuracies[0] = 61.0), "accuracy: expected 0 to 1, found 61 at size 25, repeat 0"),
        (changed(|p| p[1].accuracies.push(0.5)), "repeats: expected 2, as at the smallest size, found 3 at size 50"),
        (
            changed(|p| p.iter_mut().for_each(|p| p.accuracies.clear())),
            "repeats: expected at least 1, found 0 at size 25",
        ),
        (
            of(&good(), 0, 0),
            "test images: expected at least 1 in a repeat, and as many in all, found 0 in one, 0 in all",
        ),
        (
            of(&good(), 9, 8),
            "test images: expected at least 1 in a repeat, and as many in all, found 9 in one, 8 in all",
        ),
    ] {
        assert_eq!(found, said);
    }
    let forecast = rising(&[0.0, 0.01]);
    for size in [24.0, f64::INFINITY, f64::NAN] {
        let error = forecast.at(size).unwrap_err().to_string();
        assert_eq!(error, format!("size: expected at least 25, the smallest measured, found {size}"));
    }
    let error = forecast.gain(200.0, 100.0).unwrap_err().to_string();
    assert_eq!(error, "size: expected at least 200, to gain from there, found 100");
}

#[test]
fn the_largest_size_may_be_just_twice_the_smallest() {
    let curve = points(&[(100.0, 0.5), (150.0, 0.55), (200.0, 0.58)], &[0.0]);
    assert_eq!(CurveForecast::new(&curve, TEST, 0).unwrap().measured(), (100.0, 200.0));
}

/// Curves of which an exponent does well that is far from the best one, or nearly none does better than a flat law, and one
/// whose best is the highest that is allowed. Expected are exponents by a search in numpy and scipy's `minimize_scalar`.
#[test]
fn a_law_has_the_best_exponent_of_a_wild_curve_too() {
    for (accuracies, exponent) in [
        (&[0.42, 0.67, 0.35, 0.6][..], 0.10430),
        (&[0.62, 0.93, 0.71, 0.8, 0.86], 0.23141),
        (&[0.5, 0.1, 0.8, 0.3], 1.78334),
        (&[0.6, 0.3, 0.2, 1.0, 0.3], 1.38067),
        (&[0.52, 0.31, 0.56, 0.28, 0.85, 0.31], 1.75106),
        (&[0.32, 0.1, 0.41, 0.21, 0.49, 0.17], 1.98600),
        (&[0.37, 0.9, 0.78, 0.93], 2.0),
    ] {
        let sizes: Vec<f64> = (0..accuracies.len()).map(|i| 10.0 * 2f64.powi(i as i32)).collect();
        let weights: Vec<f64> = sizes.iter().map(|size| size / sizes[sizes.len() - 1]).collect();
        let law = PowerLaw::fit(&sizes, accuracies, &weights).unwrap();
        assert!((law.exponent - exponent).abs() < 1e-3 && law.gap > 0.0, "{law:?}, expected {exponent}");
    }
}

/// All exponents fit as well then.
#[test]
fn a_law_of_accuracies_that_do_not_rise_is_flat_with_the_lowest_exponent() {
    let law = PowerLaw::fit(&[10.0, 20.0, 40.0], &[0.5, 0.375, 0.25], &[1.0; 3]).unwrap();
    assert_eq!(law, PowerLaw { ceiling: 0.375, gap: 0.0, exponent: 0.01, reference: 40.0 });
}

#[test]
fn forms_are_as_strict() {
    let law = |sizes: &[f64], accuracies: &[f64], weights: &[f64]| {
        PowerLaw::fit(sizes, accuracies, weights).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(law(&[1.0, 2.0], &[0.1, 0.2], &[1.0; 2]), "sizes: expected at least 3, found 2");
    assert_eq!(law(&[1.0, 2.0, 3.0], &[0.1; 2], &[1.0; 3]), "accuracies: expected 3, one a size, found 2");
    assert_eq!(law(&[1.0, 2.0, 3.0], &[0.1; 3], &[1.0, 0.0, 1.0]), "weight: expected a finite number above 0, found 0");
    let error = LogitLine::fit(&[1.0, 2.0], &[0.5, 1.0], &[1.0; 2]).unwrap_err().to_string();
    assert_eq!(error, "accuracy: expected above 0 and below 1, to have a logit, found 1");
}
