//! kNN and logistic regression against scikit-learn's answers (tests/reference/probes.py).

use serde_json::Value;
use wider_clip::prelude::*;

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
