//! Weights from the hub, on a stand-in server: what is locked, what is checked, what every failure says.
//!
//! The environment decides, so every fetch runs in a process of its own: this program again, at `child`.

mod support;

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};
use support::hub_child::{FIRST, Fetch, Fetched, NOWHERE, OTHER, Place, REPO, SECOND, THIRD, bytes, server};
use support::hub_server::{HubServer, Manner};
use wider_clip::storage::sha256_hex;

#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn child() {
    support::hub_child::child();
}

#[test]
fn the_first_download_writes_the_lock_and_the_second_run_asks_nobody() {
    let (weights, place) = (bytes(5000, 1), Place::new());
    let server = server(&[("README.md", b"#"), ("model.safetensors", &weights), ("pytorch_model.bin", b"other")]);
    let fetch = place.fetch(&server.address);
    let found = fetch.ok();
    let expected = Fetched {
        path: place.snapshot(FIRST, "model.safetensors"),
        file: "model.safetensors".into(),
        commit: FIRST.into(),
        size: 5000,
        sha256: sha256_hex(&weights),
    };
    assert_eq!(found, expected);
    assert_eq!(fs::read(&found.path).expect("the file"), weights);
    let lock = place.lock_text();
    let entry = format!(
        "[[file]]\nrepo = \"{REPO}\"\nrevision = \"main\"\nfile = \"model.safetensors\"\ncommit = \"{FIRST}\"\n\
         size = 5000\nsha256 = \"{}\"\n",
        sha256_hex(&weights)
    );
    assert!(lock.ends_with(&entry) && lock.starts_with('#'), "{lock}");
    assert!(!server.requests().is_empty());
    assert_eq!(fetch.ok(), expected);
    assert_eq!(server.requests(), []);
    // Offline, and with a mirror that is not there.
    assert_eq!(place.fetch(NOWHERE).ok(), expected);
    assert_eq!(place.fetch(NOWHERE).set("HF_HUB_OFFLINE", "1").ok(), expected);
    assert_eq!(place.lock_text(), lock);
    // Without the lock the cache still knows what the branch was.
    fs::remove_file(place.lock()).expect("removes");
    assert_eq!(place.fetch(NOWHERE).set("HF_HUB_OFFLINE", "1").ok(), expected);
    assert_eq!(place.lock_text(), lock);
}

#[test]
fn the_first_alternative_that_is_there_is_taken_and_stays() {
    let place = Place::new();
    let server = server(&[("pytorch_model.bin", b"pickle"), ("flax_model.msgpack", b"flax")]);
    assert_eq!(place.fetch(&server.address).ok().file, "pytorch_model.bin");
    // A safetensors file that comes later changes nothing: not with the cache, not without.
    server.commit(REPO, "main", SECOND, &[("pytorch_model.bin", b"pickle"), ("model.safetensors", b"safe")]);
    for remove in [false, true] {
        if remove {
            fs::remove_dir_all(place.cache()).expect("removes");
        }
        let found = place.fetch(&server.address).ok();
        assert_eq!((found.file.as_str(), found.commit.as_str()), ("pytorch_model.bin", FIRST));
    }
    // Without its entry, the branch decides again.
    fs::remove_file(place.lock()).expect("removes");
    let found = place.fetch(&server.address).ok();
    assert_eq!((found.file.as_str(), found.commit.as_str()), ("model.safetensors", SECOND));
}

#[test]
fn a_lock_holds_the_old_commit_when_the_branch_moves() {
    let place = Place::new();
    let (old, new) = (bytes(3000, 1), bytes(3000, 2));
    let server = server(&[("model.safetensors", &old)]);
    let first = place.fetch(&server.address).ok();
    server.commit(REPO, "main", SECOND, &[("model.safetensors", &new)]);
    assert_eq!(place.fetch(&server.address).ok(), first);
    // Another machine, with the lock and without the cache.
    fs::remove_dir_all(place.cache()).expect("removes");
    assert_eq!(place.fetch(&server.address).ok(), first);
    assert_eq!(fs::read(&first.path).expect("the file"), old);

    // The owner rewrote history.
    fs::remove_dir_all(place.cache()).expect("removes");
    server.change(REPO, |repository| drop(repository.commits.remove(FIRST)));
    let lock = place.lock().display().to_string();
    place.fetch(&server.address).fails(&[
        REPO,
        &format!("commit {FIRST}"),
        &lock,
        "not there any more",
        "delete the entry",
    ]);
    // The owner took the whole repository away.
    let gone = server.state().repositories.remove(REPO).expect("a repository");
    let error = place.fetch(&server.address).set("HF_TOKEN", "hf_some").fails(&["no such file there (status 404)"]);
    assert!(!error.contains("delete the entry"), "{error}");
    server.state().repositories.insert(REPO.into(), gone);
    // The same commit with other bytes: told before they are sent.
    server.requests();
    for other in [new, bytes(2999, 1)] {
        server.commit(REPO, "elsewhere", FIRST, &[("model.safetensors", &other)]);
        let found = if other.len() == 3000 { sha256_hex(&other) } else { "2999".to_string() };
        place.fetch(&server.address).fails(&[
            &format!("commit {FIRST}"),
            &found,
            "the server announces",
            &lock,
            "delete its entry",
        ]);
        assert_eq!(server.body_starts(), [0u64; 0]);
    }
}

/// Without large file storage no hash is announced, and only the lock can tell.
#[test]
fn another_file_of_the_same_length_is_told_by_the_lock() {
    let place = Place::new();
    let (old, new) = (bytes(300, 1), bytes(300, 2));
    let server = server(&[("model.safetensors", &old)]);
    server.change(REPO, |repository| repository.large = false);
    let first = place.fetch(&server.address).ok();
    assert_eq!(first.sha256, sha256_hex(&old));
    fs::remove_dir_all(place.cache()).expect("removes");
    server.commit(REPO, "main", FIRST, &[("model.safetensors", &new)]);
    let (lock, path) = (place.lock().display().to_string(), first.path.display().to_string());
    let parts = [sha256_hex(&old), sha256_hex(&new), path, lock];
    let parts = parts.iter().map(String::as_str).chain(["delete it", "delete its entry"]).collect::<Vec<_>>();
    place.fetch(&server.address).fails(&parts);
    // It is no better the second time, and the advice works.
    place.fetch(&server.address).fails(&parts);
    fs::remove_file(place.lock()).expect("removes");
    assert_eq!(place.fetch(&server.address).ok().sha256, sha256_hex(&new));
}

#[test]
fn a_missing_shard_is_not_answered_with_the_index_that_names_it() {
    let server =
        server(&[("model.safetensors.index.json", b"{}"), ("model-00001-of-00002.safetensors", &bytes(40, 1))]);
    let place = Place::new();
    let fetch = |files| Fetch { files, ..place.fetch(&server.address) };
    fetch("model-00002-of-00002.safetensors").fails(&["names a file that the repository has not"]);
    fetch("model.safetensors").fails(&["name their index, `model.safetensors.index.json`"]);
}

#[test]
fn a_file_that_changed_in_the_cache_is_never_used() {
    let place = Place::new();
    let weights = bytes(4000, 1);
    let server = server(&[("model.safetensors", &weights)]);
    let first = place.fetch(&server.address).ok();
    let blob = fs::canonicalize(&first.path).expect("a blob");
    let time = fs::metadata(&blob).and_then(|metadata| metadata.modified()).expect("a time");
    let touch = |time: SystemTime| {
        fs::File::options().write(true).open(&blob).and_then(|file| file.set_modified(time)).expect("touches");
    };
    let fetch = || place.fetch(NOWHERE);
    let path = first.path.display().to_string();
    let damaged = [path.as_str(), "expected SHA-256", "If the file is damaged, delete it", "delete its entry"];
    let mut wrong = weights.clone();
    wrong[1234] ^= 1;
    // The proof that an unchanged file is not hashed again: what the note says of it is believed.
    let notes = first.path.ancestors().nth(5).expect("the hub's home").join("wider-clip/models--somebody--vit");
    let note =
        fs::read_dir(&notes).expect("notes").map(|entry| entry.expect("an entry").path()).next().expect("a note");
    let text = fs::read_to_string(&note).expect("reads");
    fs::write(&note, text.replace(&first.sha256, &"0".repeat(64))).expect("writes");
    fetch().fails(&["expected SHA-256", &"0".repeat(64)]);
    fs::remove_file(&note).expect("removes");
    assert_eq!(fetch().ok(), first);
    // A change that hides behind the old time.
    fs::write(&blob, &wrong).expect("writes");
    touch(time);
    fetch().fails(&damaged);
    touch(time + Duration::from_secs(1));
    fetch().fails(&damaged);
    fetch().fails(&damaged);
    // Another length is told whatever the time says.
    fs::write(&blob, &weights[..3999]).expect("writes");
    touch(time);
    fetch().fails(&["expected 4000 bytes", "found 3999", path.as_str(), "delete it"]);
    // Touched, but the same.
    fs::write(&blob, &weights).expect("writes");
    touch(time + Duration::from_secs(9));
    assert_eq!(fetch().ok(), first);
    // The advice works: the link deleted, or the blob.
    for broken in [&first.path, &blob] {
        fs::write(&blob, &wrong).expect("writes");
        fetch().fails(&damaged);
        fs::remove_file(broken).expect("removes");
        assert_eq!(place.fetch(&server.address).ok(), first);
        assert_eq!(fs::read(&first.path).expect("the file"), weights);
    }
}

#[test]
fn a_cache_that_others_filled_is_used_offline_and_locked() {
    let place = Place::new();
    let weights = bytes(700, 3);
    let hash = sha256_hex(&weights);
    let offline = || place.fetch(NOWHERE).set("HF_HUB_OFFLINE", "1");
    let cache = place.cache().display().to_string();
    offline().fails(&[
        "somebody/vit/model.safetensors or pytorch_model.bin at revision main",
        "HF_HUB_OFFLINE is set",
        &cache,
        "hf download somebody/vit model.safetensors --revision main",
    ]);
    assert!(!place.lock().exists());
    // As Python's huggingface_hub lays it out.
    for folder in ["blobs", "refs", &format!("snapshots/{OTHER}")] {
        fs::create_dir_all(place.cache().join(folder)).expect("a folder");
    }
    fs::write(place.cache().join("refs/main"), OTHER).expect("writes");
    let blob = place.cache().join("blobs").join(&hash);
    std::os::unix::fs::symlink(format!("../../blobs/{hash}"), place.snapshot(OTHER, "pytorch_model.bin"))
        .expect("links");
    let mut wrong = weights.clone();
    wrong[0] ^= 1;
    fs::write(&blob, &wrong).expect("writes");
    // The name of a blob is the hash of what it must be.
    offline().fails(&[&hash, &sha256_hex(&wrong), "The file is damaged: delete it"]);
    assert!(!place.lock().exists());
    std::thread::sleep(Duration::from_millis(20));
    fs::write(&blob, &weights).expect("writes");
    let found = offline().ok();
    assert_eq!((found.file.as_str(), found.commit.as_str(), found.sha256), ("pytorch_model.bin", OTHER, hash));
    assert!(place.lock_text().contains(&format!("commit = \"{OTHER}\"")));
    // A revision that is a commit has no branch in the cache.
    let mut by_commit = offline();
    by_commit.revision = OTHER;
    assert_eq!(by_commit.ok().commit, OTHER);
    // In the lock and not in the cache.
    fs::remove_dir_all(place.cache()).expect("removes");
    offline().fails(&[&format!("somebody/vit/pytorch_model.bin at revision {OTHER}"), "HF_HUB_OFFLINE is set", &cache]);
}

#[test]
fn the_token_and_the_mirror_are_those_of_the_environment() {
    let place = Place::new();
    let server = server(&[("model.safetensors", b"gated weights")]);
    server.change(REPO, |repository| repository.token = Some("hf_secret".into()));
    let mirror = format!("{}/", server.address);
    let page = format!("{}/{REPO} asks for consent", server.address);
    place.fetch(&mirror).fails(&[
        "somebody/vit/model.safetensors",
        "status 401",
        &page,
        "set HF_TOKEN to a token of yours",
    ]);
    place.fetch(&mirror).set("HF_TOKEN", "hf_other").fails(&[
        "status 403",
        &page,
        "the token of HF_TOKEN must be valid",
    ]);
    assert!(server.requests().iter().any(|request| request.token() == Some("hf_other")));
    assert_eq!(place.fetch(&mirror).set("HF_TOKEN", "hf_secret\n").ok().size, 13);
    let requests = server.requests();
    let hub = requests.iter().filter(|request| request.host == "hub");
    assert!(hub.clone().count() > 1 && hub.clone().all(|request| request.token() == Some("hf_secret")), "{requests:?}");
    assert!(requests.iter().all(|request| request.host == "hub" || request.token().is_none()), "{requests:?}");

    let place = Place::new();
    server.change(REPO, |repository| repository.private = true);
    place.fetch(&mirror).fails(&["somebody/vit at revision main", "status 401", "private or gated", "HF_TOKEN"]);
    // The token that `hf auth login` leaves.
    fs::create_dir_all(place.folder.path().join("home")).expect("a folder");
    fs::write(place.folder.path().join("home/token"), "hf_secret\n").expect("writes");
    assert_eq!(place.fetch(&mirror).ok().size, 13);
}

#[test]
fn what_is_not_there_is_named() {
    let place = Place::new();
    let server = server(&[
        ("README.md", b"#"),
        ("tf_model.h5", b"keras"),
        ("pytorch_model.bin.index.json", b"{}"),
        ("onnx/model.onnx", b"onnx"),
    ]);
    let fetch = || place.fetch(&server.address);
    let error = fetch().fails(&[
        "somebody/vit at revision main: expected model.safetensors or pytorch_model.bin",
        "found onnx/model.onnx, pytorch_model.bin.index.json, tf_model.h5",
        "`weights.hub.files`",
    ]);
    assert!(!error.contains("README"), "{error}");
    server.commit(REPO, "empty", SECOND, &[("README.md", b"#")]);
    let mut empty = fetch();
    empty.revision = "empty";
    empty.fails(&["found nothing like it among 1 files"]);
    let mut missing = fetch();
    missing.revision = "refs/pr/15";
    missing.fails(&["somebody/vit at revision refs/pr/15", "the revision is not", "/somebody/vit/commits"]);
    let mut nobody = fetch();
    nobody.repo = "nobody/vit";
    nobody.fails(&["nobody/vit at revision main", "there is no such repository, or it is private or gated"]);
    let mut nobody = nobody.set("HF_TOKEN", "hf_some");
    nobody.fails(&["no such repository (status 404)", "Check the name"]);
    // Nor is it the revision that is missing.
    nobody.revision = "v2";
    nobody.fails(&["no such repository (status 404)", "Check the name"]);
    server.state().status = Some(503);
    fetch().fails(&["answered with status 503", &server.address, "Try again later"]);
    place.fetch(NOWHERE).fails(&[NOWHERE, "was not reached", "(tried 3 times)", "HF_ENDPOINT", "HF_HUB_OFFLINE=1"]);
    assert!(!place.lock().exists());

    // A revision with a slash is found.
    server.state().status = None;
    server.commit(REPO, "refs/pr/15", THIRD, &[("model.safetensors", b"converted")]);
    let mut slash = fetch();
    slash.revision = "refs/pr/15";
    assert_eq!(slash.ok().commit, THIRD);
    // A server that mixes up commits, and one whose commit would lead out of the cache.
    server.commit(REPO, "outside", "../../outside", &[("model.safetensors", b"weights")]);
    let mut outside = fetch();
    outside.revision = "outside";
    outside.fails(&["`../../outside`", "HF_ENDPOINT"]);
    server.change(REPO, |repository| repository.answered_commit = Some(OTHER.into()));
    fs::remove_dir_all(place.cache()).expect("removes");
    slash.fails(&[&format!("at revision {THIRD}"), &format!("answers for commit `{OTHER}`"), "HF_ENDPOINT"]);
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_stopped() {
    let place = Place::new();
    let weights = bytes(10_000, 4);
    let server = server(&[("model.safetensors", &weights)]);
    let fetch = || place.fetch(&server.address);
    server.manner(Manner::BreaksOff(100));
    let error =
        fetch().fails(&["somebody/vit/model.safetensors", "broke off", "Run it again", "goes on where it stopped"]);
    assert!(!error.contains("nothing came"), "it ended, and was not silent: {error}");
    // Once, and four times again.
    assert_eq!(server.body_starts(), [0, 100, 200, 300, 400]);
    assert!(!place.snapshot(FIRST, "model.safetensors").exists() && !place.lock().exists());
    server.manner(Manner::Whole);
    assert_eq!(fetch().ok().sha256, sha256_hex(&weights));
    assert_eq!(server.body_starts(), [500]);
    assert!(place.blobs(".part").is_empty());

    // An end that looks like the end.
    let place = Place::new();
    server.manner(Manner::EndsEarly(4321));
    place.fetch(&server.address).fails(&["4321 of 10000 bytes arrived", "It was not kept", "Run it again"]);
    assert!(!place.snapshot(FIRST, "model.safetensors").exists() && !place.lock().exists());
    assert!(place.blobs(&sha256_hex(&weights)).is_empty());
    server.manner(Manner::Whole);
    assert_eq!(place.fetch(&server.address).ok().size, 10_000);
}

#[test]
fn what_an_earlier_attempt_left_is_used_only_if_the_whole_is_right() {
    let weights = bytes(2000, 5);
    let hash = sha256_hex(&weights);
    let longer = [weights.as_slice(), b"more"].concat();
    for (case, large, part, manner, starts) in [
        ("half of it", true, &weights[..900], Manner::Whole, vec![900]),
        ("all of it", true, &weights[..], Manner::Whole, vec![]),
        ("more than all of it", true, &longer[..], Manner::Whole, vec![0]),
        ("half of another file", true, &bytes(900, 6)[..], Manner::Whole, vec![900, 0]),
        ("ranges are ignored", true, &weights[..900], Manner::IgnoresRanges, vec![900]),
        ("ranges are refused", true, &weights[..900], Manner::RefusesRanges, vec![900, 0]),
        ("the wrong range comes", true, &weights[..900], Manner::WrongRange, vec![900, 0]),
        // Nothing announced could tell that the start is wrong.
        ("half of another file, no hash", false, &bytes(900, 6)[..], Manner::Whole, vec![0]),
    ] {
        let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
        server.change(REPO, |repository| repository.large = large);
        server.manner(manner);
        fs::create_dir_all(place.cache().join("blobs")).expect("a folder");
        let blob = if large { hash.clone() } else { hash[..40].to_string() };
        fs::write(place.cache().join(format!("blobs/{blob}.part")), part).expect("writes");
        let found = place.fetch(&server.address).run().unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(fs::read(found.path).expect("the file"), weights, "{case}");
        assert_eq!(server.body_starts(), starts, "{case}");
    }
}

#[test]
fn a_file_that_is_not_the_announced_one_is_not_kept() {
    let (weights, place) = (bytes(2000, 7), Place::new());
    let server = server(&[("model.safetensors", &weights)]);
    server.manner(Manner::Damaged);
    let expected = format!("expected SHA-256 {}", sha256_hex(&weights));
    place.fetch(&server.address).fails(&[&expected, "of what arrived", "It was not kept", "HF_ENDPOINT"]);
    assert!(!place.snapshot(FIRST, "model.safetensors").exists() && !place.lock().exists());
    server.manner(Manner::Whole);
    assert_eq!(place.fetch(&server.address).ok().size, 2000);
}

#[test]
fn a_process_killed_in_the_middle_leaves_nothing_that_is_used() {
    let (weights, place) = (bytes(300_000, 8), Place::new());
    let server = server(&[("model.safetensors", &weights)]);
    server.manner(Manner::Stalls(200_000));
    let fetch = place.fetch(&server.address).set("HF_HUB_DOWNLOAD_TIMEOUT", "60");
    let mut child = fetch.start();
    let started = Instant::now();
    let arrived =
        || place.blobs(".part").iter().filter_map(|part| fs::metadata(part).ok()).map(|m| m.len()).sum::<u64>();
    while arrived() < 200_000 {
        assert!(started.elapsed() < Duration::from_secs(60), "{} bytes arrived", arrived());
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("kills");
    child.wait().expect("ends");
    assert!(!place.snapshot(FIRST, "model.safetensors").exists() && !place.lock().exists());
    place.fetch(NOWHERE).set("HF_HUB_OFFLINE", "1").fails(&["not in the cache"]);
    server.requests();
    server.manner(Manner::Whole);
    let found = fetch.ok();
    assert_eq!(server.body_starts(), [200_000]);
    assert_eq!((fs::read(&found.path).expect("the file"), found.sha256), (weights.clone(), sha256_hex(&weights)));
}

/// The kernel's own full device stands in for a full disk: the download's file is a link to it.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_with_what_is_needed_and_where() {
    let (weights, place) = (bytes(50_000, 9), Place::new());
    let server = server(&[("model.safetensors", &weights)]);
    let blobs = place.cache().join("blobs");
    fs::create_dir_all(&blobs).expect("a folder");
    let part = blobs.join(format!("{}.part", sha256_hex(&weights)));
    std::os::unix::fs::symlink("/dev/full", &part).expect("links");
    place.fetch(&server.address).fails(&[
        "somebody/vit/model.safetensors",
        &format!("no space left in {}", blobs.display()),
        "the file has 50,000 bytes",
        "Free 50,000 bytes there",
        "HF_HOME",
    ]);
    assert!(!place.snapshot(FIRST, "model.safetensors").exists() && !place.lock().exists());
    fs::remove_file(&part).expect("removes");
    assert_eq!(place.fetch(&server.address).ok().size, 50_000);
}

#[test]
fn processes_at_the_same_time_download_once_and_lose_no_entry() {
    let place = Place::new();
    let server = HubServer::new();
    let repos = ["a/one", "b/two", "c/three", "d/four"];
    for repo in repos {
        server.commit(repo, "main", FIRST, &[("model.safetensors", repo.as_bytes())]);
    }
    let fetches: Vec<Fetch> = repos.iter().map(|repo| Fetch { repo, ..place.fetch(&server.address) }).collect();
    let children: Vec<Child> = fetches.iter().map(Fetch::start).collect();
    for (fetch, child) in fetches.iter().zip(children) {
        fetch.outcome(child).unwrap_or_else(|error| panic!("{error}"));
    }
    let text = place.lock_text();
    let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("repo = ")).collect();
    assert_eq!(found, ["\"a/one\"", "\"b/two\"", "\"c/three\"", "\"d/four\""]);

    // One file, one cache, two projects: the second waits for the first, however long that takes.
    let weights = bytes(400_000, 10);
    server.commit(REPO, "main", FIRST, &[("model.safetensors", &weights)]);
    server.manner(Manner::Stalls(100_000));
    server.requests();
    let second = place.folder.path().join("second/hub.lock").display().to_string();
    let patient = || place.fetch(&server.address).set("HF_HUB_DOWNLOAD_TIMEOUT", "60");
    let mut slow = patient().start();
    let started = Instant::now();
    while !server.state().requests.iter().any(|request| request.body) {
        assert!(started.elapsed() < Duration::from_secs(60), "no body was asked for");
        std::thread::sleep(Duration::from_millis(10));
    }
    server.manner(Manner::Whole);
    let fetch = patient().set("TEST_LOCK_OF", &second);
    let mut waiting = fetch.start();
    std::thread::sleep(Duration::from_millis(500));
    assert!(waiting.try_wait().expect("runs").is_none(), "the second did not wait");
    assert_eq!(server.body_starts(), [0]);
    slow.kill().expect("kills");
    slow.wait().expect("ends");
    assert_eq!(fetch.outcome(waiting).unwrap_or_else(|error| panic!("{error}")).sha256, sha256_hex(&weights));
    assert!(Path::new(&second).is_file());
}

#[test]
fn a_lock_that_is_not_one_is_told() {
    let place = Place::new();
    let server = server(&[("model.safetensors", b"weights")]);
    place.fetch(&server.address).ok();
    let good = place.lock_text();
    let lock = place.lock().display().to_string();
    let entry = &good[good.find("[[file]]").expect("an entry")..];
    for (text, found) in [
        (good.replace("size = 7", "size = \"7\""), "size"),
        (good.replace("size = 7\n", ""), "size"),
        (good.replace("size =", "length ="), "length"),
        (good.replace(FIRST, "../.."), "the commit `../..`"),
        (good.replace("sha256 = \"", "sha256 = \"x"), "the SHA-256 `x"),
        (format!("{good}\n{entry}"), "two entries for somebody/vit/model.safetensors at revision main"),
        ("<<<<<<< HEAD\n".into(), "TOML"),
    ] {
        fs::write(place.lock(), &text).expect("writes");
        place.fetch(&server.address).fails(&[&lock, "expected a lock of hub files", found]);
        assert_eq!(fs::read_to_string(place.lock()).expect("a lock"), text);
    }
    fs::write(place.lock(), good).expect("writes");
    place.fetch(&server.address).ok();
    assert!(Path::new(&lock).is_file());
}
