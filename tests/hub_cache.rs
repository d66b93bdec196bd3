//! The hub's cache as other programs leave it and find it: without links, with blobs of other revisions, on another place.

mod support;

use std::fs;
use std::path::Path;
use support::hub_child::{FIRST, NOWHERE, Place, REPO, SECOND, bytes, server};
use support::hub_server::HubServer;
use wider_clip::storage::sha256_hex;

/// Python's client keeps some blobs elsewhere, under another name, and links to them.
#[test]
#[cfg(unix)]
fn a_blob_that_is_a_link_itself() {
    use std::os::unix::fs::symlink;
    let place = Place::new();
    let weights = bytes(4000, 1);
    let sha256 = wider_clip::storage::sha256_hex(&weights);
    let elsewhere = place.folder.path().join("home/hub/blobs/ab").join("f".repeat(64));
    fs::create_dir_all(elsewhere.parent().unwrap()).expect("makes a folder");
    fs::write(&elsewhere, &weights).expect("writes");
    for folder in ["blobs", "refs", &format!("snapshots/{FIRST}")] {
        fs::create_dir_all(place.cache().join(folder)).expect("makes a folder");
    }
    fs::write(place.cache().join("refs/main"), FIRST).expect("writes");
    symlink(&elsewhere, place.cache().join("blobs").join(&sha256)).expect("links");
    symlink(format!("../../blobs/{sha256}"), place.snapshot(FIRST, "model.safetensors")).expect("links");
    let found = place.fetch(NOWHERE).set("HF_HUB_OFFLINE", "1").ok();
    assert_eq!((found.sha256, found.size), (sha256, 4000));
}

/// A file that two revisions have, where links are not wanted: the first one's link stays whole.
#[test]
#[cfg(unix)]
fn a_copy_for_another_revision_takes_nothing_away() {
    let place = Place::new();
    let weights = bytes(4000, 1);
    let server = server(&[("model.safetensors", &weights)]);
    server.change(REPO, |repository| repository.large = false);
    let first = place.fetch(&server.address).ok();
    server.commit(REPO, "v2", SECOND, &[("model.safetensors", &weights)]);
    let mut again = place.fetch(&server.address).set("HF_HUB_DISABLE_SYMLINKS", "1");
    again.revision = "v2";
    again.ok();
    assert_eq!(fs::read(&first.path).expect("is there"), weights);
}

#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn child() {
    support::hub_child::child();
}

/// The kernel refuses to make links, as a file system without them does; or the reader wants none.
#[cfg(target_os = "linux")]
#[test]
fn where_there_are_no_links_there_are_files() {
    let weights = bytes(60_000, 1);
    for (name, large) in [("TEST_NO_LINKS", true), ("TEST_NO_LINKS", false), ("HF_HUB_DISABLE_SYMLINKS", true)] {
        let (server, place) = (server(&[("a/model.safetensors", &weights)]), Place::new());
        server.change(REPO, |repository| repository.large = large);
        let fetch = |address: &str| {
            let mut fetch = place.fetch(address).set(name, "1");
            fetch.files = "a/model.safetensors";
            fetch.ok()
        };
        let found = fetch(&server.address);
        assert_eq!(found.path, place.snapshot(FIRST, "a/model.safetensors"));
        assert!(!found.path.is_symlink() && fs::read(&found.path).expect("the file") == weights);
        // Once, not twice, is it there, and it is not downloaded again.
        assert!(place.blobs("").is_empty());
        server.requests();
        assert_eq!((fetch(NOWHERE), server.requests().len()), (found, 0));
        fs::remove_file(place.lock()).expect("removes");
        fetch(&server.address);
        assert_eq!(server.body_starts(), [0u64; 0]);
    }
    // A blob that others may point at stays, and is copied.
    let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
    let first = place.fetch(&server.address).ok();
    assert!(first.path.is_symlink());
    server.commit(REPO, "main", SECOND, &[("model.safetensors", &weights)]);
    fs::remove_file(place.lock()).expect("removes");
    server.requests();
    let second = place.fetch(&server.address).set("TEST_NO_LINKS", "1").ok();
    assert!(!second.path.is_symlink() && second.commit == SECOND);
    assert_eq!((fs::read(&second.path).expect("a copy"), server.body_starts()), (weights.clone(), vec![]));
    assert_eq!(fs::read(&first.path).expect("the first"), weights);
}

#[test]
fn a_blob_of_another_revision_is_used_if_it_is_whole() {
    let weights = bytes(60_000, 2);
    for (blob, starts) in [(&weights[..], vec![]), (&weights[..10], vec![0]), (&bytes(60_000, 3)[..], vec![0])] {
        let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
        fs::create_dir_all(place.cache().join("blobs")).expect("a folder");
        let path = place.cache().join("blobs").join(sha256_hex(&weights));
        fs::write(&path, blob).expect("writes");
        let found = place.fetch(&server.address).ok();
        assert_eq!((fs::read(&found.path).expect("the file"), server.body_starts()), (weights.clone(), starts));
        assert_eq!(fs::read_link(&found.path).expect("a link"), Path::new("../../blobs").join(sha256_hex(&weights)));
    }
}

/// A folder that may hold the cache and nothing else: notes and locks do not go beside it.
#[test]
fn nothing_is_written_beside_a_cache_that_is_named() {
    let (weights, place) = (bytes(600, 4), Place::new());
    let server = server(&[("model.safetensors", &weights)]);
    let room = place.folder.path().join("room");
    let cache = room.join("cache").display().to_string();
    for name in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"] {
        let found = place.fetch(&server.address).set(name, &cache).ok();
        assert!(found.path.starts_with(&cache), "{}", found.path.display());
        let beside: Vec<_> = fs::read_dir(&room).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(beside, ["cache"]);
        assert!(!place.folder.path().join("home/hub").exists());
        fs::remove_dir_all(&room).expect("removes");
    }
    // Users have homes, where the system's list says; an unknown one has none.
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let first = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let known = first.filter(|fields| fields.len() > 5 && fields[5].starts_with('/')).map(|f| (f[0], f[5])).next();
    let known = known.map(|(user, home)| (format!("~{user}/no-such-folder"), format!("{home}/no-such-folder/hub")));
    let unknown = ("~nobody-of-that-name/x".to_string(), "~nobody-of-that-name/x/hub".to_string());
    for (name, path) in known.into_iter().chain([unknown]) {
        let fetch = Place::new().fetch(NOWHERE).set("HF_HOME", &name).set("HF_HUB_OFFLINE", "1").run();
        let error = fetch.expect_err("is not there");
        assert!(error.contains(&format!("not in the cache {path}")), "{error}");
    }
}

/// A data set's revision that is a commit has no reference in the cache, and is found all the same.
#[test]
fn a_data_set_at_a_commit_is_found_in_the_cache() {
    let file = fs::read("data_manifests/embedded/icons.parquet").expect("reads");
    let (server, place, repo) = (HubServer::new(), Place::new(), format!("datasets/{REPO}"));
    server.commit(&repo, "main", FIRST, &[("data/train-0 of 1.parquet", &file)]);
    for (revision, pattern) in [(FIRST, "data/*"), ("main", "data/train-*.parquet")] {
        let fetch = |address: &str, offline: &str| {
            let mut fetch = place.fetch(address).set("TEST_DATASET", "1").set("HF_HUB_OFFLINE", offline);
            (fetch.revision, fetch.files) = (revision, pattern);
            fetch.ok().size
        };
        let n = fetch(&server.address, "0");
        assert_eq!(fetch(NOWHERE, "1"), n);
        assert_eq!(fetch(&server.address, "0"), n);
    }
    assert_eq!(server.body_starts(), [0]);
    // What is named whole and lies there is used without asking.
    let mut fetch = place.fetch(NOWHERE).set("TEST_DATASET", "1");
    fetch.files = "data/train-0 of 1.parquet";
    fetch.ok();
}

/// What the branch is stands in the cache, for this program and others; a commit is its own name.
#[test]
fn the_reference_follows_the_branch() {
    let place = Place::new();
    let server = server(&[("model.safetensors", &bytes(300, 1))]);
    let refs = place.cache().join("refs");
    let main = || fs::read_to_string(refs.join("main")).expect("a reference");
    let again = |revision| {
        let _ = fs::remove_file(place.lock());
        let mut fetch = place.fetch(&server.address);
        fetch.revision = revision;
        fetch.run()
    };
    again("main").expect("fetches");
    assert_eq!(main(), FIRST);
    let written = || fs::metadata(refs.join("main")).expect("a file").modified().expect("a time");
    let before = written();
    again("main").expect("fetches");
    assert_eq!((main(), written()), (FIRST.into(), before), "written anew though nothing changed");
    server.commit(REPO, "main", SECOND, &[("model.safetensors", &bytes(300, 2))]);
    again(FIRST).expect("fetches");
    assert_eq!(main(), FIRST);
    again("main").expect("fetches");
    assert_eq!(main(), SECOND);
    let names: Vec<_> = fs::read_dir(&refs).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["main"]);
    // A place that cannot be written for another reason than that it is not ours.
    fs::remove_dir_all(&refs).expect("removes");
    fs::write(&refs, "a file").expect("writes");
    let error = again("main").expect_err("a file in the way");
    assert!(error.contains(&refs.join("main").display().to_string()), "{error}");
}
