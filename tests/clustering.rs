//! k-means and UMAP against scikit-learn and umap-learn (tests/reference/numerics.py).

mod golden;
#[path = "support/packed.rs"]
mod packed;

use golden::{array, json, list};
use serde_json::Value;
use wider_clip::clustering::umap::graph::{FuzzyGraph, scales};
use wider_clip::ndarray::ArcArray2;
use wider_clip::neighbours::knn_graph;
use wider_clip::prelude::*;
use wider_clip::random::Random;

fn bytes(file: &str) -> Vec<u8> {
    packed::unpacked(format!("{}/tests/golden/numerics/{file}.gz", env!("CARGO_MANIFEST_DIR")).as_ref())
}

/// scikit-learn's digits: 1797 images of 8 x 8 in 17 greys.
fn digits() -> (ArcArray2<f32>, Vec<u32>) {
    let bytes = bytes("digits.bin");
    let (pixels, labels) = bytes.split_at(1797 * 64);
    let pixels = pixels.iter().map(|&value| f32::from(value)).collect();
    (ArcArray2::from_shape_vec((1797, 64), pixels).unwrap(), labels.iter().map(|&label| u32::from(label)).collect())
}

/// 2,500 emoji under EfficientNet-Lite0, 48 principal components.
fn openemoji() -> (ArcArray2<f32>, Vec<u32>) {
    let bytes = bytes("openemoji.bin");
    let (features, labels) = bytes.split_at(2500 * 48 * 2);
    let half = |bytes: &[u8]| half_to_f32(u16::from_le_bytes(bytes.try_into().unwrap()));
    let features = features.chunks_exact(2).map(half).collect();
    (ArcArray2::from_shape_vec((2500, 48), features).unwrap(), labels.iter().map(|&label| u32::from(label)).collect())
}

/// A normal or subnormal half-precision number.
fn half_to_f32(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, (bits >> 10) & 31, f32::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f32.powi(-24),
        _ => (1024.0 + fraction) * 2f32.powi(i32::from(exponent) - 25),
    };
    if sign == 1 { -size } else { size }
}

#[test]
fn inertias_are_those_of_scikit_learn() {
    for problem in json("kmeans.json").as_array().unwrap() {
        let rows = if problem["data"] == "digits" { digits().0 } else { array(&problem["x"]).into_shared() };
        let [k, n_init] = ["k", "n_init"].map(|key| problem[key].as_u64().unwrap() as usize);
        let fit =
            |seed: u64| KMeans::params(k).n_init(n_init).seed(seed).fit(&DatasetBase::from(rows.clone())).unwrap();
        let mut inertias: Vec<f64> = (0..10).map(|seed| fit(seed).inertia).collect();
        inertias.sort_by(f64::total_cmp);
        let (ours, theirs) = ((inertias[4] + inertias[5]) / 2.0, problem["median"].as_f64().unwrap());
        assert!(ours <= 1.005 * theirs, "{}: {ours} for {theirs}, {inertias:?}", problem["name"]);
    }
}

#[test]
fn every_row_has_its_nearest_centre_and_every_centre_is_a_mean() {
    let (rows, _) = digits();
    let model = KMeans::params(10).n_init(3).tolerance(0.0).seed(5).fit(&DatasetBase::from(rows.clone())).unwrap();
    assert!(model.converged);
    assert_eq!(model.predict(&rows.to_owned()).to_vec(), model.labels);
    for centre in 0..10 {
        let members: Vec<usize> = (0..rows.nrows()).filter(|&row| model.labels[row] == centre as u32).collect();
        let mean = rows.select(wider_clip::ndarray::Axis(0), &members).mean_axis(wider_clip::ndarray::Axis(0)).unwrap();
        let off = (&mean - &model.centres.row(centre)).mapv(f32::abs);
        assert!(off.iter().all(|&off| off < 1e-3), "centre {centre} is off by {off}");
    }
}

/// The same rows with columns of zeros to their right: the same distances, by the way that wide rows go.
fn widened(rows: &ArcArray2<f32>, width: usize) -> ArcArray2<f32> {
    let mut wide = Array2::zeros((rows.nrows(), width));
    wide.slice_mut(s![.., ..rows.ncols()]).assign(rows);
    wide.into_shared()
}

#[test]
fn wide_rows_are_clustered_by_inner_products_to_the_same_end() {
    let narrow = openemoji().0.slice(s![..600, ..20]).to_owned().into_shared();
    let wide = widened(&narrow, 1600);
    for seed in 0..5 {
        let fit = |rows: &ArcArray2<f32>| KMeans::params(10).seed(seed).fit(&DatasetBase::from(rows.clone())).unwrap();
        let (bounds, products) = (fit(&narrow), fit(&wide));
        assert_eq!((bounds.labels, bounds.iterations), (products.labels, products.iterations), "seed {seed}");
        assert!((bounds.inertia / products.inertia - 1.0).abs() < 1e-6, "{} {}", bounds.inertia, products.inertia);
        let apart = &bounds.centres - &products.centres.slice(s![.., ..20]);
        assert!(apart.iter().all(|difference| difference.abs() < 1e-4));
        assert!(products.centres.slice(s![.., 20..]).iter().all(|&value| value == 0.0));
    }
    let one = wider_clip::rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let fit = || KMeans::params(10).fit(&DatasetBase::from(wide.clone())).unwrap();
    let (many, single) = (fit(), one.install(fit));
    assert_eq!((many.inertia, many.centres), (single.inertia, single.centres));

    // Repeated rows: a centre without a row takes one, or stays without where there are no more places.
    let places = [0.0f32, 0.0, 0.0, 5.0, 9.0, 9.0, 14.0, 20.0, 27.0];
    let rows = widened(&Array2::from_shape_fn((9, 1), |(i, _)| places[i]).into_shared(), 3000);
    for k in [6, 8] {
        let model = KMeans::params(k).fit(&DatasetBase::from(rows.clone())).unwrap();
        assert!(model.inertia < 1e-9, "{k}: {}", model.inertia);
        assert_eq!(model.predict(&rows.to_owned()).to_vec().len(), 9);
        let mut used = model.labels.clone();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 6, "{k}");
    }
}

#[test]
fn k_means_repeats_on_any_number_of_threads_and_fills_empty_clusters() {
    let (rows, _) = digits();
    let fit = || KMeans::params(30).n_init(2).seed(1).fit(&DatasetBase::from(rows.clone())).unwrap();
    let one = wider_clip::rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let (many, single) = (fit(), one.install(fit));
    assert_eq!((many.inertia, many.labels), (single.inertia, single.labels));

    // Six places for nine rows: no centre stays empty, none is without a place, and the inertia is 0.
    let places = [0.0f32, 0.0, 0.0, 5.0, 9.0, 9.0, 14.0, 20.0, 27.0];
    let rows = Array2::from_shape_fn((9, 1), |(i, _)| places[i]).into_shared();
    let model = KMeans::params(6).seed(0).fit(&DatasetBase::from(rows.clone())).unwrap();
    assert_eq!(model.inertia, 0.0);
    let mut used = model.labels.clone();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used.len(), 6);
    // More centres than places: allowed, some stay without rows.
    assert_eq!(KMeans::params(8).fit(&DatasetBase::from(rows)).unwrap().inertia, 0.0);
}

#[test]
fn the_fuzzy_graph_is_that_of_umap_learn() {
    for (number, golden) in json("umap.json")["graphs"].as_array().unwrap().iter().enumerate() {
        let features = array(&golden["x"]).into_shared();
        let neighbours = knn_graph(&features, 15, 0).unwrap();
        let indices: Vec<Vec<usize>> = list(&golden["indices"]);
        for (row, expected) in indices.iter().enumerate() {
            assert_eq!(neighbours.rows.row(row).to_vec(), *expected);
        }
        let close = |ours: f64, theirs: f64, what: &str| {
            assert!(
                (ours - theirs).abs() < 1e-5 * theirs.abs().max(1.0),
                "graph {number}, {what}: {ours} for {theirs}"
            );
        };
        let (sigmas, rhos): (Vec<f64>, Vec<f64>) = (list(&golden["sigmas"]), list(&golden["rhos"]));
        for ((scale, sigma), rho) in scales(&neighbours).iter().zip(sigmas).zip(rhos) {
            close(scale.rho, rho, "rho");
            // umap-learn bisects in f32 and ends a step earlier or later.
            assert!((scale.sigma - sigma).abs() < 1e-4 * sigma, "{} for {sigma}", scale.sigma);
        }
        let graph = FuzzyGraph::new(&neighbours);
        let columns: Vec<usize> = list(&golden["columns"]);
        let (rows, weights): (Vec<usize>, Vec<f64>) = (list(&golden["rows"]), list(&golden["weights"]));
        assert_eq!(graph.weights.len(), weights.len());
        for ((row, column), weight) in rows.into_iter().zip(columns).zip(weights) {
            let (columns, ours) = graph.row(row);
            let place = columns.iter().position(|&other| other as usize == column).unwrap();
            close(f64::from(ours[place]), weight, "weight");
        }
    }
}

#[test]
fn the_curve_is_that_of_umap_learn() {
    let golden: Vec<f64> = list(&json("umap.json")["ab"]);
    let (a, b) = wider_clip::clustering::umap::fit_curve(0.1, 1.0).unwrap();
    assert!((a - golden[0]).abs() < 1e-5 && (b - golden[1]).abs() < 1e-5, "{a} {b} for {golden:?}");
}

/// Mean trustworthiness and ARI of our maps over seeds lie within umap-learn's ten seeds, or above.
fn maps_are_as_good(name: &str, features: ArcArray2<f32>, labels: Vec<u32>) {
    let golden = json("umap.json");
    let theirs: &Vec<Value> = golden["maps"][name].as_array().unwrap();
    let lowest = |key: &str| theirs.iter().map(|seed| seed[key].as_f64().unwrap()).fold(f64::INFINITY, f64::min);
    let mut classes = labels.clone();
    classes.sort_unstable();
    classes.dedup();
    let (mut trust, mut ari) = (Vec::new(), Vec::new());
    for seed in 0..5 {
        let map = Umap::params(seed).map(&features).unwrap().into_shared();
        trust.push(trustworthiness(&features, &map, 15).unwrap());
        let clusters = KMeans::params(classes.len()).fit(&DatasetBase::from(map)).unwrap();
        ari.push(adjusted_rand(&clusters.labels, &labels).unwrap());
    }
    println!("{name}: trustworthiness {trust:.4?}, ARI {ari:.3?}");
    for (key, ours) in [("trustworthiness", trust), ("ari", ari)] {
        let mean = ours.iter().sum::<f64>() / ours.len() as f64;
        assert!(mean >= lowest(key), "{name}, {key}: {ours:?}, umap-learn's lowest {}", lowest(key));
    }
}

#[test]
fn maps_of_digits_are_as_good_as_those_of_umap_learn() {
    let (features, labels) = digits();
    maps_are_as_good("digits", features, labels);
}

#[test]
fn maps_of_emoji_are_as_good_as_those_of_umap_learn() {
    let (features, labels) = openemoji();
    maps_are_as_good("openemoji", features, labels);
}

#[test]
fn a_seed_fixes_the_map_on_any_number_of_threads() {
    let (features, _) = digits();
    let features = features.slice(s![..400, ..]).to_owned().into_shared();
    let map = |seed: u64| Umap::params(seed).n_epochs(60).map(&features).unwrap();
    let one = wider_clip::rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(map(3), one.install(|| map(3)));
    assert_ne!(map(3), map(4));
}

#[test]
fn parts_that_do_not_hang_together_stay_apart() {
    for n_parts in [2, 6] {
        let mut random = Random::new("test parts", 0, 0);
        let rows =
            Array2::from_shape_fn((40 * n_parts, 4), |(i, j)| (i / 40 * 1000 * (1 + j)) as f32 + random.unit() as f32);
        let map = Umap::params(0).n_neighbours(10).map(&rows.into_shared()).unwrap();
        assert!(map.iter().all(|value| value.is_finite()));
        let clusters = KMeans::params(n_parts).fit(&DatasetBase::from(map.into_shared())).unwrap();
        let parts: Vec<u32> = (0..40 * n_parts as u32).map(|i| i / 40).collect();
        assert_eq!(adjusted_rand(&clusters.labels, &parts).unwrap(), 1.0, "{n_parts} parts");
    }
}

#[test]
fn rows_that_repeat_and_few_rows_are_mapped() {
    let same = Array2::<f32>::ones((30, 3)).into_shared();
    assert!(Umap::params(0).map(&same).unwrap().iter().all(|value| value.is_finite()));
    let few = array![[0.0, 1.0], [1.0, 0.0], [5.0, 5.0], [6.0, 5.0]].into_shared();
    assert!(Umap::params(0).n_neighbours(2).map(&few).unwrap().iter().all(|value| value.is_finite()));
}

#[test]
fn bad_input_is_named() {
    let says = |error: Error, words: &str| assert!(error.to_string().contains(words), "{error} lacks {words}");
    let rows = array![[0.0f32, 1.0], [1.0, 0.0], [5.0, 5.0], [6.0, 5.0]].into_shared();
    let data = DatasetBase::from(rows.clone());
    says(KMeans::params(5).fit(&data).unwrap_err(), "k: expected between 1 and the 4 rows, found 5");
    says(KMeans::params(0).fit(&data).unwrap_err(), "found 0");
    says(KMeans::params(2).n_init(0).fit(&data).unwrap_err(), "n_init: expected at least 1");
    let bad = DatasetBase::from(array![[0.0f32], [f32::NAN]].into_shared());
    says(KMeans::params(1).fit(&bad).unwrap_err(), "NaN in row 1, column 0");
    says(Umap::params(0).map(&rows).unwrap_err(), "n_neighbours: expected between 2 and the 4 rows, found 15");
    says(Umap::params(0).map(&array![[0.0f32], [1.0]].into_shared()).unwrap_err(), "at least 4 rows, found 2");
    says(Umap::params(0).n_neighbours(2).min_dist(4.0).map(&rows).unwrap_err(), "min_dist");
    says(Umap::params(0).n_neighbours(2).n_epochs(0).map(&rows).unwrap_err(), "n_epochs");
    let short = array![[0.0f32, 1.0]].into_shared();
    says(trustworthiness(&rows, &short, 1).unwrap_err(), "4 rows, one a feature row, found 1");
    says(trustworthiness(&rows, &rows, 2).unwrap_err(), "below half of 4 rows");
}

/// Six groups in 12 columns, times a factor.
fn six_groups(factor: f32) -> ArcArray2<f32> {
    let mut random = Random::new("test scale", 0, 0);
    let row = |i: usize, j: usize, noise: f64| f32::from(u8::from(i % 6 == j % 6)) * 8.0 + noise as f32;
    Array2::from_shape_fn((300, 12), |(i, j)| row(i, j, random.unit()) * factor).into_shared()
}

#[test]
fn the_scale_of_rows_does_not_matter_to_k_means() {
    let fit = |rows: ArcArray2<f32>| KMeans::params(6).seed(2).fit(&DatasetBase::from(rows)).unwrap();
    let plain = fit(six_groups(1.0));
    for exponent in [-120, -100, -90, -60, -30, 30, 60, 70, 100, 120] {
        let rows = six_groups(2f32.powi(exponent));
        let found = fit(rows.clone());
        assert_eq!((&found.labels, found.converged), (&plain.labels, true), "2^{exponent}");
        let back = found.inertia * 2f64.powi(-2 * exponent);
        // Beyond 2^40 it is that of the centres in f64, which are not rounded.
        assert!((back / plain.inertia - 1.0).abs() < 1e-8, "2^{exponent}: {back} for {}", plain.inertia);
        assert_eq!(found.predict(&rows.to_owned()).to_vec(), found.labels, "2^{exponent}");
    }
    // Subnormal numbers, and the largest that there are.
    for rows in [array![[1e-44f32], [2e-44], [9e-43], [9.1e-43]], array![[-3.4e38f32], [-3.3e38], [3.3e38], [3.4e38]]] {
        let found = KMeans::params(2).fit(&DatasetBase::from(rows.into_shared())).unwrap();
        let labels = &found.labels;
        assert!(labels[0] == labels[1] && labels[2] == labels[3] && labels[0] != labels[2], "{labels:?}");
        assert!(found.inertia.is_finite() && found.centres.iter().all(|x| x.is_finite()));
    }
}

#[test]
fn groups_far_apart_keep_what_lies_within_them() {
    for far in [1e5f32, 1e6, 4e6] {
        let places = [0.0, 20.0, far, far + 20.0];
        let rows = Array2::from_shape_fn((72, 1), |(i, _)| places[i / 18] + (i % 3) as f32 - 1.0).into_shared();
        for seed in 0..5 {
            let found = KMeans::params(4).seed(seed).fit(&DatasetBase::from(rows.clone())).unwrap();
            assert!((found.inertia - 48.0).abs() < 1e-6, "{far}: {}", found.inertia);
            assert!(found.labels.chunks(18).all(|group| group.iter().all(|label| *label == group[0])));
            assert_eq!(found.predict(&rows.to_owned()).to_vec(), found.labels);
        }
    }
    // Equal rows, one row, as many clusters as rows.
    for (rows, k) in
        [(Array2::from_elem((5, 2), 7e20f32), 3), (array![[3.0f32]], 1), (array![[1.0f32], [1e9], [2.0]], 3)]
    {
        assert_eq!(KMeans::params(k).fit(&DatasetBase::from(rows.into_shared())).unwrap().inertia, 0.0);
    }
}

#[test]
fn groups_near_zero_keep_their_digits_beside_a_far_one() {
    let sizes = |labels: &[u32]| {
        let mut sizes: Vec<usize> = (0..3).map(|k| labels.iter().filter(|&&label| label == k).count()).collect();
        sizes.sort_unstable();
        sizes
    };
    // Three groups of 18; scikit-learn on f64 gives 0.0024 as well.
    for far in [1e6f32, 1e7, 1e8, 1e9, 1e12, 1e15, 1e30] {
        let rows = Array2::from_shape_fn((54, 1), |(i, _)| match i / 18 {
            2 => far,
            group => group as f32 + (i % 3) as f32 * 0.01,
        });
        let rows = rows.into_shared();
        let found = KMeans::params(3).fit(&DatasetBase::from(rows.clone())).unwrap();
        assert!((found.inertia - 0.0024).abs() < 1e-6 && found.converged, "{far:e}: {}", found.inertia);
        assert_eq!(sizes(&found.labels), [18; 3], "{far:e}");
        assert_eq!(found.predict(&rows.to_owned()).to_vec(), found.labels, "{far:e}");
        let mut centres: Vec<f32> = found.centres.iter().copied().collect();
        centres.sort_by(f32::total_cmp);
        assert!((centres[0] - 0.01).abs() < 1e-6 && (centres[1] - 1.01).abs() < 1e-6 && centres[2] == far, "{far:e}");
    }
    // Two groups of 20 and one row far from both.
    for far in [1e8f32, 1e9, 1e10, 1e20] {
        let place = |i: usize, j: usize| (i / 20) as f32 * 3.0 + ((i * 7 + j * 3) % 5) as f32 * 0.1;
        let rows = Array2::from_shape_fn((41, 2), |(i, j)| if i == 40 { far } else { place(i, j) }).into_shared();
        let found = KMeans::params(3).fit(&DatasetBase::from(rows.clone())).unwrap();
        assert!((found.inertia - 1.6).abs() < 1e-4, "{far:e}: {}", found.inertia);
        assert_eq!(sizes(&found.labels), [1, 20, 20], "{far:e}");
        assert_eq!(found.predict(&rows.to_owned()).to_vec(), found.labels, "{far:e}");
    }
}
