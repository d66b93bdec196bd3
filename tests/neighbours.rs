//! The exact search against scikit-learn (tests/reference/numerics.py), its device path, and the approximate graph.

mod golden;

use golden::{array, json, list};
use wider_clip::neighbours::{Index, Metric, approximate_graph, knn_graph};
use wider_clip::prelude::*;
use wider_clip::probe::knn::Votes;
use wider_clip::random::Random;

fn metric(name: &str) -> Metric {
    if name == "cosine" { Metric::Cosine } else { Metric::Euclidean }
}

#[test]
fn neighbours_and_votes_are_those_of_scikit_learn() {
    let (mut n_queries, mut n_left_out, mut n_problems) = (0, 0, 0);
    for problem in json("knn.json").as_array().unwrap() {
        n_problems += 1;
        let name = problem["name"].as_str().unwrap();
        let train = labelled(array(&problem["x"]), list(&problem["y"])).unwrap();
        let queries = array(&problem["q"]);
        for case in problem["cases"].as_array().unwrap() {
            let k = case["k"].as_u64().unwrap() as usize;
            let votes =
                if case["votes"] == "weighted" { Votes::Weighted { temperature: 0.07 } } else { Votes::Uniform };
            let params = Knn::params(k).metric(metric(case["metric"].as_str().unwrap())).votes(votes);
            let model = params.fit(&train).unwrap();
            let predicted = model.try_predict(queries.view()).unwrap();
            let rows = model.neighbours(queries.view()).unwrap().rows;
            let (expected, left_out) = (list::<u32>(&case["predictions"]), list::<bool>(&case["left_out"]));
            for (query, order) in list::<Vec<usize>>(&case["rows"]).into_iter().enumerate() {
                n_queries += 1;
                if left_out[query] {
                    n_left_out += 1;
                    continue;
                }
                assert_eq!(predicted[query], expected[query], "{name}: {case} query {query}");
                // Within the k, near-ties may swap; exact ties of the duplicates may not.
                let (mut ours, mut theirs) = (rows.row(query).to_vec(), order);
                if !name.starts_with("duplicates") {
                    ours.sort_unstable();
                    theirs.sort_unstable();
                }
                assert_eq!(ours, theirs, "{name}: query {query}");
            }
        }
    }
    assert!(n_problems >= 20);
    assert!(20 * n_left_out < n_queries, "{n_left_out} of {n_queries} left out");
}

/// Features with groups, `(n, d)`.
fn features(n: usize, d: usize, seed: u64) -> Array2<f32> {
    let mut random = Random::new("test features", seed, 0);
    let centres = Array2::from_shape_fn((12, d), |_| 2.0 * random.unit() as f32);
    Array2::from_shape_fn((n, d), |(i, j)| centres[[i % 12, j]] + random.unit() as f32)
}

/// Squared distances in f64, rows ranked by distance and number.
fn by_hand(references: &Array2<f32>, query: &[f32], k: usize) -> Vec<usize> {
    let distance = |row: usize| -> f64 {
        references.row(row).iter().zip(query).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
    };
    let mut rows: Vec<usize> = (0..references.nrows()).collect();
    rows.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)).then(a.cmp(&b)));
    rows.truncate(k);
    rows
}

#[test]
fn more_rows_than_a_tile_are_searched_exactly() {
    // Enough values for 8-bit products where the processor has them.
    let references = features(5000, 20, 0);
    let index = Index::new(references.clone().into_shared(), Metric::Euclidean).unwrap();
    let queries = features(1100, 20, 1);
    let found = index.nearest(queries.view(), 7).unwrap();
    let within = index.within(7).unwrap();
    for i in (0..1100).step_by(37) {
        assert_eq!(found.rows.row(i).to_vec(), by_hand(&references, &queries.row(i).to_vec(), 7));
        assert_eq!(within.rows.row(i).to_vec(), by_hand(&references, &references.row(i).to_vec(), 7));
    }
    assert_eq!(within, index.nearest(references.view(), 7).unwrap());
}

#[test]
fn rounding_does_not_hide_a_neighbour() {
    // Rows far from the origin that differ in the last digits of f32: products alone could not rank them.
    let mut random = Random::new("test close rows", 0, 0);
    let close =
        Array2::from_shape_fn((2400, 30), |(i, _)| if i == 0 { -1e4 } else { 1e4 + random.unit() as f32 * 0.01 });
    let index = Index::new(close.clone().into_shared(), Metric::Euclidean).unwrap();
    let found = index.nearest(close.view(), 5).unwrap();
    for i in (0..2400).step_by(61) {
        assert_eq!(found.rows.row(i).to_vec(), by_hand(&close, &close.row(i).to_vec(), 5), "row {i}");
    }
    // Values whose squares overflow f32.
    let huge = array![[3e19f32, 0.0], [0.0, 3e19], [2.9e19, 0.0]];
    let index = Index::new(huge.into_shared(), Metric::Euclidean).unwrap();
    assert_eq!(index.nearest(array![[2.95e19, 1.0e18]].view(), 2).unwrap().rows, array![[0, 2]]);
}

#[test]
fn the_way_of_a_device_gives_the_same() {
    let references = features(2100, 16, 3);
    let queries = features(70, 16, 4);
    for metric in [Metric::Euclidean, Metric::Cosine] {
        let index = Index::new(references.clone().into_shared(), metric).unwrap();
        let here = index.nearest(queries.view(), 9).unwrap();
        assert_eq!(index.nearest_by_tensors(&Device::Cpu, queries.view(), 9).unwrap(), here);
        assert_eq!(index.nearest_on(&Device::Cpu, queries.view(), 9).unwrap(), here);
    }
}

#[test]
fn one_pass_serves_all_k() {
    let train = labelled(features(300, 8, 5), (0..300).map(|i| i % 12).collect()).unwrap();
    let queries = features(40, 8, 6);
    let swept = Knn::dino().fit(&train).unwrap().predict_each(queries.view(), &[20, 1, 10]).unwrap();
    for (k, predicted) in [20, 1, 10].into_iter().zip(swept) {
        assert_eq!(predicted, Knn::dino().k(k).fit(&train).unwrap().try_predict(queries.view()).unwrap());
    }
}

#[test]
fn the_approximate_graph_finds_nearly_all_and_repeats() {
    let rows = features(3000, 24, 7).into_shared();
    let exact = knn_graph(&rows, 15, 0).unwrap();
    let found = approximate_graph(&rows, 15, 0).unwrap();
    let hits: usize = (0..3000)
        .map(|i| found.rows.row(i).iter().filter(|row| exact.rows.row(i).iter().any(|other| other == *row)).count())
        .sum();
    assert!(hits as f64 > 0.95 * 15.0 * 3000.0, "{hits} of {}", 15 * 3000);
    assert!((0..3000).all(|i| found.rows[[i, 0]] == i));
    let one = wider_clip::rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(one.install(|| approximate_graph(&rows, 15, 0).unwrap()), found);
    // Rows that repeat: lists are whole all the same.
    let same = Array2::<f32>::zeros((200, 3)).into_shared();
    let graph = approximate_graph(&same, 15, 0).unwrap();
    assert!(graph.distances.iter().all(|&distance| distance == 0.0));
}

#[test]
fn bad_input_is_named() {
    let says = |error: Error, words: &str| assert!(error.to_string().contains(words), "{error} lacks {words}");
    let new = |rows: Array2<f32>| Index::new(rows.into_shared(), Metric::Euclidean);
    says(new(Array2::zeros((0, 3))).unwrap_err(), "at least one row");
    says(new(array![[0.0], [f32::INFINITY]]).unwrap_err(), "inf in row 1, column 0");
    let index = new(array![[0.0, 1.0], [1.0, 1.0]]).unwrap();
    says(index.nearest(array![[0.0, 0.0]].view(), 3).unwrap_err(), "between 1 and the 2 references, found 3");
    says(index.nearest(array![[0.0]].view(), 1).unwrap_err(), "2 columns as fitted, found 1");
    says(index.nearest(array![[0.0, f32::NAN]].view(), 1).unwrap_err(), "NaN in row 0, column 1");
    says(index.within(0).unwrap_err(), "found 0");
    let two = labelled(array![[1.0], [2.0]], vec![0, 1]).unwrap();
    let cold = Knn::params(1).votes(Votes::Weighted { temperature: 0.0 });
    says(cold.fit(&two).unwrap_err(), "temperature: expected a finite number above 0");
    let model = Knn::params(1).fit(&two).unwrap();
    says(model.predict_each(array![[1.0]].view(), &[]).unwrap_err(), "at least one k");
    says(model.predict_each(array![[1.0]].view(), &[1, 0]).unwrap_err(), "numbers above 0");
}

#[test]
fn lists_are_those_of_f64_at_any_scale() {
    // Sorted by class, so that the first tile alone has no neighbours of most queries.
    let mut random = Random::new("test scales", 0, 0);
    let plain = Array2::from_shape_fn((600, 16), |(i, j)| (i / 60 * (j + 1)) as f32 / 8.0 + random.unit() as f32);
    let all = |graph: &wider_clip::neighbours::Neighbours| graph.rows.clone();
    let approximate = all(&approximate_graph(&plain.clone().into_shared(), 6, 0).unwrap());
    for metric in [Metric::Euclidean, Metric::Cosine] {
        let list = |rows: &Array2<f32>| {
            let index = Index::new(rows.clone().into_shared(), metric).unwrap();
            let found = index.nearest(rows.view(), 6).unwrap();
            assert_eq!(all(&found), all(&index.within(6).unwrap()));
            assert_eq!(all(&found), all(&index.nearest_by_tensors(&Device::Cpu, rows.view(), 6).unwrap()));
            all(&found)
        };
        let expected = list(&plain);
        for exponent in [-110, -90, -76, -60, 60, 70, 90, 120] {
            let rows = plain.mapv(|x| x * 2f32.powi(exponent));
            assert_eq!(list(&rows), expected, "{metric:?} 2^{exponent}");
            if metric == Metric::Euclidean {
                let graph = approximate_graph(&rows.into_shared(), 6, 0).unwrap();
                let same = all(&graph).iter().zip(&approximate).filter(|(a, b)| a == b).count();
                assert!(same as f64 > 0.99 * 3600.0, "2^{exponent}: {same} of 3600");
            }
        }
    }
    // References and queries of very different size; rows of very different size beside each other.
    let mixed = Array2::from_shape_fn((600, 16), |(i, j)| plain[[i, j]] * 2f32.powi(((i % 5) as i32 - 2) * 45));
    let index = Index::new(mixed.clone().into_shared(), Metric::Euclidean).unwrap();
    for queries in [&mixed, &plain, &plain.mapv(|x| x * 1e-38)] {
        let found = index.nearest(queries.view(), 6).unwrap();
        for i in (0..600).step_by(37) {
            assert_eq!(found.rows.row(i).to_vec(), by_hand(&mixed, &queries.row(i).to_vec(), 6), "row {i}");
        }
    }
}

#[test]
fn parallel_rows_are_ties_by_the_cosine() {
    let direction: Vec<f32> = (0..37).map(|j| ((j * 7 + 3) % 11) as f32 + 0.5).collect();
    let rows = Array2::from_shape_fn((200, 37), |(i, j)| match i {
        150.. => -direction[j] * (i + 1) as f32,
        _ => direction[j] * (i + 1) as f32 * if i % 2 == 0 { 1e20 } else { 1.0 },
    });
    let index = Index::new(rows.into_shared(), Metric::Cosine).unwrap();
    let query = Array2::from_shape_fn((1, 37), |(_, j)| direction[j]);
    let found = index.nearest(query.view(), 200).unwrap();
    assert!(found.distances.iter().all(|distance| (0.0..=2.0).contains(distance)));
    assert!(found.distances.iter().skip(150).all(|&distance| distance == 2.0));
    let odd: Vec<usize> = found.rows.iter().copied().filter(|row| *row < 150 && row % 2 == 1).collect();
    assert_eq!(odd, (0..75).map(|i| 2 * i + 1).collect::<Vec<_>>());
    assert_eq!(found.rows.iter().skip(150).copied().collect::<Vec<_>>(), (150..200).collect::<Vec<_>>());
}
