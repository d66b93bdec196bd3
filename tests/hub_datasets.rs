//! Data sets of the hub in several files: of one commit, whole or not at all, each file once.

mod support;

use std::fs::File;
use std::io::Cursor;
use support::hub_child::{FIRST, OTHER, Place, REPO};
use support::hub_server::HubServer;
use wider_clip::polars::prelude::*;

#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn child() {
    support::hub_child::child();
}

/// Rows of the embedded icons as a file of their own.
fn icons(from: i64, n: usize) -> Vec<u8> {
    let file = File::open("data_manifests/embedded/icons.parquet").expect("opens");
    let mut rows = ParquetReader::new(file).finish().expect("reads").slice(from, n);
    let mut bytes = Cursor::new(Vec::new());
    ParquetWriter::new(&mut bytes).finish(&mut rows).expect("writes");
    bytes.into_inner()
}

struct Hub {
    server: HubServer,
    repo: String,
}

impl Hub {
    fn new(commit: &str, files: &[(&str, &[u8])]) -> Hub {
        let hub = Hub { server: HubServer::new(), repo: format!("datasets/{REPO}") };
        hub.commit(commit, files);
        hub
    }

    fn commit(&self, commit: &str, files: &[(&str, &[u8])]) {
        self.server.commit(&self.repo, "main", commit, files);
    }

    fn fetch<'a>(&self, place: &'a Place, files: &'static str) -> support::hub_child::Fetch<'a> {
        let mut fetch = place.fetch(&self.server.address).set("TEST_DATASET", "1");
        fetch.files = files;
        fetch
    }
}

#[test]
fn a_branch_that_moved_gives_one_commit() {
    let (old, new, more) = (icons(0, 6), icons(100, 8), icons(200, 9));
    let hub = Hub::new(FIRST, &[("data/train-0.parquet", &old)]);
    let place = Place::new();
    assert_eq!(hub.fetch(&place, "data/train-*.parquet").ok().size, 6);
    hub.commit(OTHER, &[("data/train-0.parquet", &new), ("data/train-1.parquet", &more)]);
    let moved = hub.fetch(&place, "data/train-*.parquet").ok();
    let fresh = Place::new();
    assert_eq!((moved.size, &moved), (17, &hub.fetch(&fresh, "data/train-*.parquet").ok()));
    // Names without a pattern: what is there in whole is used, and a part of another commit is not.
    assert_eq!(hub.fetch(&place, "data/train-0.parquet,data/train-1.parquet").ok(), moved);
    let place = Place::new();
    hub.commit(FIRST, &[("data/train-0.parquet", &old)]);
    hub.fetch(&place, "data/train-0.parquet").ok();
    hub.commit(OTHER, &[("data/train-0.parquet", &new), ("data/train-1.parquet", &more)]);
    assert_eq!(hub.fetch(&place, "data/train-0.parquet,data/train-1.parquet").ok(), moved);
}

#[test]
fn a_part_of_a_data_set_is_not_the_whole_offline() {
    let (first, second) = (icons(0, 6), icons(100, 8));
    let hub = Hub::new(FIRST, &[("data/train-0.parquet", &first), ("data/train-1.parquet", &second)]);
    let place = Place::new();
    hub.fetch(&place, "data/train-0*").ok();
    let offline = |files| hub.fetch(&place, files).set("HF_HUB_OFFLINE", "1");
    assert_eq!(offline("data/train-0*").ok().size, 6);
    offline("data/train-*").fails(&["data/train-1.parquet", "not in the cache"]);
    hub.fetch(&place, "data/train-*").ok();
    assert_eq!(offline("data/train-*").ok().size, 14);
    // Of a cache that another program filled nobody knows what is missing: told.
    for note in std::fs::read_dir(place.folder.path().join("home/wider-clip/datasets--somebody--vit")).expect("notes") {
        std::fs::remove_file(note.expect("a note").path()).expect("removes");
    }
    let fetch = offline("data/train-*");
    assert_eq!(fetch.ok().size, 14);
    assert!(fetch.output().contains("the 2 in the cache are taken for all"), "{}", fetch.output());
}

#[test]
fn a_file_counts_once_and_a_star_stays_in_its_folder() {
    let (first, second) = (icons(0, 6), icons(100, 8));
    let hub = Hub::new(FIRST, &[("data/train-0.parquet", &first), ("data/train-old/x.parquet", &second)]);
    let place = Place::new();
    assert_eq!(hub.fetch(&place, "data/train-*.parquet").ok().size, 6);
    hub.fetch(&place, "data/train-0.parquet,data/train-*.parquet")
        .fails(&["`data/train-0.parquet` in train and again in train"]);
    // Stars of one folder and of two.
    assert_eq!(hub.fetch(&place, "data/tr*n-*.par*t").ok().size, 6);
    assert_eq!(hub.fetch(&place, "d*/train-*/*.parquet").ok().size, 8);
    hub.fetch(&place, "data/*0*0*.parquet").fails(&["no file matches `data/*0*0*.parquet` among 2"]);
}

#[test]
fn content_that_is_not_what_its_name_in_the_cache_says_is_refused() {
    let hub = Hub::new(FIRST, &[("train.parquet", &icons(0, 6))]);
    hub.server.change(&hub.repo, |repository| repository.large = true);
    let place = Place::new();
    hub.fetch(&place, "train.parquet").ok();
    let blobs = place.folder.path().join("home/hub/datasets--somebody--vit/blobs");
    let blob = std::fs::read_dir(blobs).expect("blobs").next().expect("one").expect("a file").path();
    std::fs::write(&blob, icons(50, 7)).expect("writes");
    hub.fetch(&place, "train.parquet").fails(&["expected SHA-256", "The file is damaged: delete it"]);
}
