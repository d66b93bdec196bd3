//! kNN and logistic regression against scikit-learn's answers (tests/reference/probes.py).

mod golden;

use serde_json::Value;
use wider_clip::ndarray::Array1;
use wider_clip::ndarray::{Axis, concatenate};
use wider_clip::prelude::*;
use wider_clip::probe::logistic::{ClassWeights, LogisticParams};
use wider_clip::random::Random;

fn matrix(value: &Value) -> Array2<f32> {
    let rows: Vec<Vec<f32>> = serde_json::from_value(value.clone()).expect("rows of numbers");
    let d = rows[0].len();
    Array2::from_shape_vec((rows.len(), d), rows.concat()).expect("rows of one length")
}

fn goldens() -> Vec<Value> {
    serde_json::from_str(include_str!("golden/probes.json")).expect("goldens are JSON")
}

#[test]
fn logistic_regression_gives_the_probabilities_of_scikit_learn() {
    for problem in goldens() {
        let labels: Vec<u32> = serde_json::from_value(problem["y"].clone()).expect("labels");
        let train = labelled(matrix(&problem["x"]), labels).expect("valid");
        let queries = matrix(&problem["q"]);
        for golden in problem["lr"].as_array().expect("fits") {
            let c = golden["c"].as_f64().expect("C");
            let params = Logistic::params(c).tolerance(1e-6).max_iterations(10_000);
            let model = params.fit(&train).expect("fits");
            let expected: Vec<Vec<f64>> = serde_json::from_value(golden["probabilities"].clone()).expect("rows");
            let found = model.probabilities(queries.view()).expect("predicts");
            for (row, expected) in found.rows().into_iter().zip(&expected) {
                for (found, expected) in row.iter().zip(expected) {
                    let difference = (found - expected).abs();
                    assert!(difference < 1e-3, "{} C={c}: {found} for {expected}", problem["name"]);
                }
            }
        }
    }
}

#[test]
fn neighbours_are_those_of_scikit_learn_and_ties_go_to_the_first() {
    for problem in goldens() {
        let labels: Vec<u32> = serde_json::from_value(problem["y"].clone()).expect("labels");
        let train = labelled(matrix(&problem["x"]), labels).expect("valid");
        let queries = matrix(&problem["q"]);
        for golden in problem["knn"].as_array().expect("fits") {
            let k = golden["k"].as_u64().expect("k") as usize;
            let model = Knn::params(k).fit(&train).expect("fits");
            let rows: Vec<Vec<usize>> = serde_json::from_value(golden["rows"].clone()).expect("rows");
            let votes: Vec<u32> = serde_json::from_value(golden["votes"].clone()).expect("votes");
            let found = model.neighbours(queries.view()).expect("finds");
            for (found, expected) in found.rows.rows().into_iter().zip(&rows) {
                assert_eq!(found.to_vec(), *expected, "{} k={k}", problem["name"]);
            }
            assert_eq!(model.predict(&queries).to_vec(), votes, "{} k={k}", problem["name"]);
        }
    }
}

#[test]
fn a_fit_that_stops_early_says_so() {
    let problem = &goldens()[0];
    let labels: Vec<u32> = serde_json::from_value(problem["y"].clone()).expect("labels");
    let train = labelled(matrix(&problem["x"]), labels).expect("valid");
    let model = Logistic::params(1.0).tolerance(1e-9).max_iterations(2).fit(&train).expect("fits");
    assert!(!model.converged && model.iterations == 2 && model.gradient_norm > 1e-9);
    assert!(Logistic::params(1.0).fit(&train).expect("fits").converged);
}

#[test]
fn neighbours_do_not_depend_on_the_tiles() {
    // More references and queries than a tile holds; a point is nearest to itself.
    let n = 5000;
    let features = Array2::from_shape_fn((n, 3), |(i, j)| ((i * 7919 + j * 104_729) % 65_537) as f32);
    let train = labelled(features.clone(), vec![0; n]).expect("valid");
    let model = Knn::params(1).fit(&train).expect("fits");
    let found = model.neighbours(features.view()).expect("finds");
    assert!((0..n).all(|i| found.rows[[i, 0]] == i && found.distances[[i, 0]] == 0.0));
}

#[test]
fn bad_input_is_named() {
    let says = |error: Error, words: &str| assert!(error.to_string().contains(words), "{error} lacks {words}");
    says(labelled(array![[1.0], [2.0]], vec![0]).expect_err("lengths differ"), "expected 2 labels, found 1");
    says(labelled(Array2::zeros((0, 3)), vec![]).expect_err("empty"), "at least one row");
    says(labelled(array![[1.0], [f32::NAN]], vec![0, 1]).expect_err("not finite"), "NaN in row 1, column 0");
    let two = labelled(array![[1.0], [2.0]], vec![0, 1]).expect("valid");
    says(Knn::params(3).fit(&two).expect_err("k too large"), "between 1 and the 2 references");
    says(Knn::params(0).fit(&two).expect_err("k is 0"), "between 1 and");
    let model = Knn::params(1).fit(&two).expect("fits");
    says(model.try_predict(array![[1.0, 2.0]].view()).expect_err("width"), "1 columns as fitted");
    let one_class = labelled(array![[1.0], [2.0]], vec![4, 4]).expect("valid");
    says(Logistic::params(1.0).fit(&one_class).expect_err("one class"), "at least two classes");
    says(Logistic::params(-1.0).fit(&two).expect_err("C"), "C: expected a finite number above 0");
}

/// The L-BFGS fit of a golden problem, to its tolerance.
fn tight(problem: &Value) -> (Logistic, Array2<f32>) {
    let train = labelled(golden::array(&problem["x"]), golden::list(&problem["y"])).unwrap();
    let weights = if problem["class_weight"] == "balanced" { ClassWeights::Balanced } else { ClassWeights::Equal };
    let params = Logistic::params(problem["c"].as_f64().unwrap()).tolerance(1e-6).max_iterations(10_000);
    let params = params.class_weights(weights).standardise(problem["standardise"] == true);
    (params.fit(&train).unwrap(), golden::array(&problem["q"]))
}

#[test]
fn objectives_and_probabilities_are_those_of_scikit_learn() {
    let problems = golden::json("logistic.json");
    assert!(problems.as_array().unwrap().len() >= 20);
    for problem in problems.as_array().unwrap() {
        let name = problem["name"].as_str().unwrap();
        let (model, queries) = tight(problem);
        let theirs = problem["objective"].as_f64().unwrap();
        assert!(model.converged, "{name}: gradient {}", model.gradient_norm);
        assert!(model.objective <= theirs * (1.0 + 1e-6), "{name}: {} for {theirs}", model.objective);
        let found = model.probabilities(queries.view()).unwrap();
        let expected: Vec<Vec<f64>> = golden::list(&problem["probabilities"]);
        for (row, expected) in found.rows().into_iter().zip(&expected) {
            for (found, expected) in row.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-3, "{name}: {found} for {expected}");
            }
        }
    }
}

/// Four classes around centres, n rows.
fn four_classes(n: usize, seed: u64) -> Labelled {
    let mut random = Random::new("test classes", seed, 0);
    let row = |i: usize, j: usize, noise: f64| f32::from(u8::from(i % 4 == j % 4)) + 2.0 * noise as f32;
    let features = Array2::from_shape_fn((n, 12), |(i, j)| row(i, j, random.unit()));
    labelled(features, (0..n as u32).map(|i| i % 4).collect()).unwrap()
}

/// Columns of unlike scale, one far from 0 and one that does not vary.
fn badly_scaled(n: usize) -> Labelled {
    let mut data = four_classes(n, 3);
    let mut features = data.records.to_owned();
    for (j, mut column) in features.columns_mut().into_iter().enumerate() {
        column.mapv_inplace(|x| match j {
            0 => 7.0,
            1 => x + 300.0,
            _ => x * 10f32.powi(j as i32 % 4 - 2),
        });
    }
    data.records = features.into_shared();
    data
}

#[test]
fn conditioned_is_the_same_minimum_in_fewer_steps() {
    let data = badly_scaled(200);
    for c in [1e-3, 1.0, 100.0] {
        let params = Logistic::params(c).max_iterations(5000).tolerance(1e-7);
        let (plain, conditioned) = (params.fit(&data).unwrap(), params.clone().conditioned().fit(&data).unwrap());
        assert!(conditioned.converged && 2 * conditioned.iterations < plain.iterations, "C {c}: {}", plain.iterations);
        assert!(conditioned.objective <= plain.objective + 1e-9, "C {c}");
        // It is the minimum of the other too: from there no step of a fit on columns as they come gains anything.
        let on = params.fit_from(&data, Some(&conditioned)).unwrap();
        assert!((conditioned.objective - on.objective).abs() < 1e-6 * on.objective, "C {c}: {}", on.objective);
        // As a layer on features as they come.
        let (weights, biases) = conditioned.linear(4).unwrap();
        let scores = data.records.dot(&weights.t()) + &biases;
        let said = conditioned.try_predict(data.records.view()).unwrap();
        let best = |row: ndarray::ArrayView1<f32>| (0..4).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as u32;
        let same = scores.rows().into_iter().zip(&said).filter(|(row, class)| best(row.view()) == **class).count();
        assert!(same >= 199, "C {c}: {same}");
        // From the minimum in other coordinates there is hardly a step to go.
        let again = params.clone().conditioned().fit_from(&data, Some(&on)).unwrap();
        assert!(again.iterations <= 3 && again.converged, "C {c}: {}", again.iterations);
    }
}

#[test]
fn a_sweep_takes_the_best_c_and_fits_again_on_everything() {
    let (train, val) = (four_classes(80, 0), four_classes(40, 1));
    let swept = CSweep::over(&[1.0, 1e-4, 100.0, 1e-2]).unwrap().fit(&train, &val).unwrap();
    assert_eq!(swept.tried.iter().map(|tried| tried.c).collect::<Vec<_>>(), [1e-4, 1e-2, 1.0, 100.0]);
    let best = swept.tried.iter().map(|tried| tried.val_accuracy).fold(0.0, f64::max);
    let first = swept.tried.iter().find(|tried| tried.val_accuracy == best).unwrap();
    assert_eq!(swept.c, first.c);
    for tried in &swept.tried {
        let alone = Logistic::params(tried.c).max_iterations(1000).tolerance(1e-7).fit(&train).unwrap();
        let predicted = alone.try_predict(val.records.view()).unwrap().to_vec();
        assert!((accuracy(&predicted, &val.targets.to_vec()).unwrap() - tried.val_accuracy).abs() <= 1.0 / 40.0);
    }
    let features = concatenate(Axis(0), &[train.records.view(), val.records.view()]).unwrap();
    let labels = train.targets.iter().chain(&val.targets).copied().collect();
    let both = labelled(features, labels).unwrap();
    let alone = Logistic::params(swept.c).max_iterations(1000).fit(&both).unwrap();
    assert!((swept.refit.objective - alone.objective).abs() < 1e-4 * alone.objective.max(1e-3));

    assert_eq!(CSweep::dinov2().fit(&train, &val).unwrap().tried.len(), 45);
    let clip = CSweep::clip().fit(&train, &val).unwrap();
    assert!(clip.tried.len() >= 7 && clip.tried.len() <= 7 + 8, "{} tried", clip.tried.len());
    assert!(CSweep::over(&[]).is_err() && CSweep::over(&[0.0]).is_err());
}

#[test]
fn balanced_weights_are_equal_ones_on_balanced_classes() {
    let train = four_classes(80, 2);
    let params = Logistic::params(1.0).tolerance(1e-8).max_iterations(1000);
    let equal = params.clone().fit(&train).unwrap();
    let balanced = params.clone().class_weights(ClassWeights::Balanced).fit(&train).unwrap();
    assert!((equal.objective - balanced.objective).abs() < 1e-9);
    let given = params.clone().class_weights(ClassWeights::Given(vec![2.0; 4])).fit(&train).unwrap();
    // Twice the weight everywhere is half the penalty.
    let half = params.clone().c(2.0).fit(&train).unwrap();
    assert!((given.objective - half.objective).abs() < 1e-9, "{} {}", given.objective, half.objective);
    let missing = params.class_weights(ClassWeights::Given(vec![1.0; 3])).fit(&train).unwrap_err();
    assert!(missing.to_string().contains("class weights: expected a finite weight above 0"), "{missing}");
}

#[test]
fn class_numbers_are_names() {
    let names = [7u32, 200_000_000, u32::MAX];
    let features = Array2::from_shape_fn((90, 3), |(i, j)| f32::from(u8::from(i % 3 == j)) + (i % 7) as f32 * 0.01);
    let dense = labelled(features.clone(), (0..90).map(|i| i % 3).collect()).unwrap();
    let named = labelled(features.clone(), (0..90).map(|i| names[i % 3]).collect()).unwrap();
    let translated = |classes: Array1<u32>| classes.iter().map(|&class| names[class as usize]).collect::<Vec<_>>();
    for params in [Knn::params(5), Knn::dino()] {
        let (a, b) = (params.fit(&dense).unwrap(), params.fit(&named).unwrap());
        assert_eq!(translated(a.predict(&features)), b.predict(&features).to_vec());
    }
    let weights = ClassWeights::Named(names.iter().map(|&name| (name, 1.0)).collect());
    let fit = |params: LogisticParams, data: &Labelled| params.fit(data).unwrap();
    let (a, b) = (fit(Logistic::params(1.0), &dense), fit(Logistic::params(1.0).class_weights(weights), &named));
    assert_eq!((translated(a.predict(&features)), a.objective), (b.predict(&features).to_vec(), b.objective));
}

#[test]
fn unequal_rows_and_labels_are_refused_however_they_were_put_together() {
    let unequal = |n: usize| -> Labelled {
        DatasetBase::new(Array2::from_shape_fn((4, 1), |(i, _)| i as f32).into_shared(), (0..n as u32).collect())
    };
    let fine = labelled(array![[0.0f32], [1.0]], vec![0, 1]).unwrap();
    for n in [0, 3, 5] {
        let says = format!("expected 4 labels, found {n}");
        let bad = unequal(n);
        let sweep = CSweep::over(&[1.0]).unwrap();
        for error in [
            Knn::params(1).fit(&bad).unwrap_err(),
            Logistic::params(1.0).fit(&bad).unwrap_err(),
            sweep.fit(&bad, &fine).unwrap_err(),
            sweep.fit(&fine, &bad).unwrap_err(),
        ] {
            assert!(error.to_string().contains(&says), "{error}");
        }
    }
    let broken: Labelled = DatasetBase::new(array![[0.0f32], [f32::NAN]].into_shared(), Array1::from(vec![0, 1]));
    assert!(Logistic::params(1.0).fit(&broken).unwrap_err().to_string().contains("NaN in row 1, column 0"));
    assert!(Knn::params(1).fit(&broken).unwrap_err().to_string().contains("NaN in row 1, column 0"));
}

#[test]
fn the_largest_numbers_have_finite_probabilities() {
    let train = four_classes(80, 0);
    for standardise in [false, true] {
        let model = Logistic::params(1.0).standardise(standardise).fit(&train).unwrap();
        for x in [3.4e38f32, -3.4e38, 1e-45] {
            let queries = Array2::from_shape_fn((3, 12), |(i, j)| if (i + j) % 2 == 0 { x } else { -x });
            let found = model.probabilities(queries.view()).unwrap();
            assert!(found.iter().all(|p| (0.0..=1.0).contains(p)), "{x:e}: {found}");
            model.try_predict(queries.view()).unwrap();
        }
    }
    let huge = labelled(train.records.mapv(|x| x * 1e38), train.targets.to_vec()).unwrap();
    match Logistic::params(1.0).fit(&huge) {
        Ok(model) => assert!(model.probabilities(huge.records.view()).unwrap().iter().all(|p| p.is_finite())),
        Err(error) => assert!(error.to_string().contains("standardise"), "{error}"),
    }
}

#[test]
fn columns_far_from_zero_are_no_convergence() {
    // scikit-learn's minimum of this problem: the objective in the golden (tests/reference/probes.py).
    let problem = golden::json("offset.json");
    let train = labelled(golden::array(&problem["x"]), golden::list(&problem["y"])).unwrap();
    let plain = Logistic::params(1.0).fit(&train).unwrap();
    assert!(!plain.converged && plain.certain_gain > 0.0 && plain.warning().contains("standardise"), "{plain:?}");
    let objective = problem["objective"].as_f64().unwrap();
    let scaled = Logistic::params(1.0).standardise(true).fit(&train).unwrap();
    assert!(
        scaled.converged && scaled.warning().is_empty() && scaled.objective < 1.05 * objective,
        "{}",
        scaled.objective
    );
}

/// What a linear layer says as probabilities.
fn softmax(weights: &Array2<f32>, biases: &Array1<f32>, queries: &Array2<f32>) -> Array2<f64> {
    let mut logits = queries.mapv(f64::from).dot(&weights.t().mapv(f64::from)) + &biases.mapv(f64::from);
    for mut row in logits.rows_mut() {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.mapv_inplace(|value| (value - largest).exp());
        let sum = row.sum();
        row.mapv_inplace(|value| value / sum);
    }
    logits
}

#[test]
fn a_linear_layer_has_the_probabilities_of_the_fit() {
    let mut random = Random::new("linear", 0, 0);
    // Columns of other scales and places, so that a standardised fit differs.
    let mut draw = |n: usize| {
        Array2::from_shape_fn((n, 5), |(_, i)| {
            ((random.unit() - 0.5) * [1.0, 30.0, 0.2, 4.0, 1.0][i] + [0.0, 100.0, -3.0, 0.0, 7.0][i]) as f32
        })
    };
    let (features, queries) = (draw(60), draw(200));
    let class =
        |i: usize, k: usize| ((features[[i, 0]] > 0.0) as usize + (features[[i, 3]] > 0.5) as usize * 2 + i % 2) % k;
    // Classes that there are, of which those in the second list have images.
    for (n_classes, present) in
        [(2, vec![0, 1]), (4, vec![0, 1, 2, 3]), (5, vec![0, 2, 4]), (3, vec![0, 2]), (7, vec![6, 1])]
    {
        for standardise in [false, true] {
            let labels: Vec<u32> = (0..60).map(|i| present[class(i, present.len())]).collect();
            let train = labelled(features.clone(), labels).expect("valid");
            let model = Logistic::params(1.0).standardise(standardise).fit(&train).expect("fits");
            let (weights, biases) = model.linear(n_classes).expect("a layer");
            assert_eq!((weights.dim(), biases.len()), ((n_classes, 5), n_classes));
            let found = softmax(&weights, &biases, &queries);
            let expected = model.probabilities(queries.view()).expect("probabilities");
            let said = model.predict(&queries);
            for (q, row) in found.rows().into_iter().enumerate() {
                for (k, &probability) in row.iter().enumerate() {
                    let column = model.classes().iter().position(|&class| class as usize == k);
                    let expected = column.map_or(0.0, |column| expected[[q, column]]);
                    let off = (probability - expected).abs();
                    assert!(off < 1e-5, "{present:?}, standardised {standardise}: {probability} for {expected}");
                }
                let best = (0..n_classes).max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("a class");
                assert_eq!(best as u32, said[q], "{present:?}, standardised {standardise}: {row}");
            }
            let largest = *model.classes().iter().max().expect("a class");
            let error = model.linear(largest as usize).expect_err("too few").to_string();
            assert!(error.contains(&format!("above class {largest}")), "{error}");
        }
    }
}

#[test]
fn a_kept_probe_has_the_probabilities_of_its_fit_in_columns_far_from_zero() {
    for (far, classes) in [(0.0f32, 2), (1e2, 2), (1e3, 3), (1e4, 2), (1e5, 3)] {
        // A spread of some steps that f32 has there.
        let step = 4.0 * (far.max(1.0) * f32::EPSILON).max(1e-6);
        let mut random = Random::new("far columns", 1, 1);
        let features = Array2::from_shape_fn((60, 3), |(i, j)| {
            let place = 2.0 * (i % classes) as f64 + 4.0 * random.unit() + 0.1 * j as f64;
            far + step * place as f32
        });
        let labels: Vec<u32> = (0..60).map(|i| (i % classes) as u32).collect();
        let train = labelled(features.clone(), labels.clone()).unwrap();
        let fit = Logistic::params(1.0).standardise(true).fit(&train).unwrap();
        let expected = fit.probabilities(features.view()).unwrap();
        let method = wider_clip::manifest::Method::LrStandardised;
        let probe = own::Probe::fit(method, features.clone(), labels, classes).unwrap();
        let found = wider_clip::metrics::tempered(probe.scores(features.view()).unwrap().view(), 1.0).unwrap();
        let off = (&found - &expected).iter().fold(0f64, |most, off| most.max(off.abs()));
        assert!(off < 1e-5, "{far:e}: {off}");
    }
}
