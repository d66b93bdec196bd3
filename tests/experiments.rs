//! The experiments on a few of the embedded icons under raw pixels.

use std::path::Path;
use wider_clip::experiments::Bench;
use wider_clip::prelude::*;

fn icons() -> (tempfile::TempDir, Bench) {
    let cache = tempfile::tempdir().unwrap();
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "smoke").unwrap().with_cache(cache.path());
    let bench = Bench::open(&project, "icons", "pixels.raw", &Device::Cpu).unwrap();
    (cache, bench)
}

#[test]
fn every_method_predicts_every_image_and_beats_chance() {
    let (_cache, bench) = icons();
    let parts = bench.parts(10, 0, false).unwrap();
    let labels = bench.labels();
    let truth: Vec<u32> = parts.test.iter().map(|&position| labels[position]).collect();
    for method in [Method::Knn, Method::KnnDino, Method::Lr, Method::LrSweep] {
        let predictions = bench.predict(method, &parts).unwrap();
        assert_eq!((predictions.test.len(), predictions.ood.len()), (parts.test.len(), parts.ood.len()));
        let score = accuracy(&predictions.test, &truth).unwrap();
        assert!(score > 1.5 / bench.set.classes.len() as f64, "{method:?}: {score}");
    }
}

#[test]
fn clustering_takes_held_out_images_apart() {
    let (_cache, bench) = icons();
    let parts = bench.clustering_parts().unwrap();
    assert_eq!(parts.iter().map(|part| part.split).collect::<Vec<_>>(), ["id", "ood"]);
    let domains = bench.set.domains.as_ref().unwrap();
    for part in &parts {
        let held_out = |&position: &usize| domains[bench.features.rows[position]] == "phosphor-fill";
        assert!(part.positions.iter().all(|position| held_out(position) == (part.split == "ood")));
    }
    assert_eq!(parts.iter().map(|part| part.positions.len()).sum::<usize>(), bench.features.rows.len());

    let subject = bench.subject(&parts[1]).unwrap();
    let map = subject.map(3).unwrap();
    assert_eq!(map, subject.map(3).unwrap());
    let clusters = subject.clusters(&map.clone().into_shared(), 3).unwrap();
    let agreement = adjusted_rand(&clusters.labels, &subject.labels).unwrap();
    assert!((-0.5..=1.0).contains(&agreement));

    let wanted: Vec<usize> = bench.features.rows.iter().copied().step_by(3).collect();
    let shown = parts[1].shown(&bench, &map, &wanted).unwrap();
    assert!(!shown.rows.is_empty() && shown.rows.iter().all(|row| wanted.contains(row)));
    let first = parts[1].positions.iter().position(|&position| bench.features.rows[position] == shown.rows[0]).unwrap();
    assert_eq!(shown.points[0], [f64::from(map[[first, 0]]), f64::from(map[[first, 1]])]);
    let error = parts[0].shown(&bench, &map, &wanted).unwrap_err().to_string();
    assert!(error.contains("a place for each image of the part"), "{error}");
}
