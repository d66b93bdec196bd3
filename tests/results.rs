//! What an experiment computes is computed once, and the same again.

use std::path::Path;
use wider_clip::prelude::*;

#[test]
fn the_experiment_computes_each_cell_once_and_the_same_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = tempfile::tempdir().expect("a folder");
    let project = Project::open(root, "smoke").expect("opens").with_cache(cache.path());
    let encoded = Encoded::open(&project, "icons", "pixels.raw", &Device::Cpu).expect("opens");
    let (parts, again) = (encoded.parts(10, 3).expect("splits"), encoded.parts(10, 3).expect("splits"));
    assert_eq!(parts, again);
    assert_ne!(parts, encoded.parts(10, 4).expect("splits"));
    let groups = encoded.set.groups.as_ref().expect("groups");
    let group = |&position: &usize| groups[encoded.features.rows[position]].as_str();
    let seen: std::collections::HashSet<&str> = parts.train.iter().chain(&parts.val).map(group).collect();
    assert!(parts.test.iter().chain(&parts.ood).all(|position| !seen.contains(group(position))));
    let domains = encoded.set.domains.as_ref().expect("styles");
    let held_out = |&position: &usize| domains[encoded.features.rows[position]] == "phosphor-fill";
    assert!(parts.ood.iter().all(held_out) && !parts.ood.is_empty());
    assert!(!parts.train.iter().chain(&parts.test).any(held_out));
    for method in [Method::Knn, Method::Lr] {
        let first = encoded.predict(method, &parts).expect("predicts");
        assert_eq!(first.test, encoded.predict(method, &parts).expect("predicts").test);
        assert_eq!((first.test.len(), first.ood.len()), (parts.test.len(), parts.ood.len()));
    }
    let difference = representations::compare(&encoded, &encoded, Method::Knn, 10, 3).expect("compares");
    // No difference here, and as much room on both sides for one that so many images would not show.
    assert_eq!((difference.difference, difference.low), (0.0, -difference.high));
    assert!((0.001..0.1).contains(&difference.high), "{}", difference.high);
}
