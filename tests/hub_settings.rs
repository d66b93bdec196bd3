//! What the environment says of the hub, in every spelling, as Python's client reads it.

mod support;

use std::fs;
use support::hub_child::{NOWHERE, Place, bytes, server};
use wider_clip::storage::sha256_hex;

#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn child() {
    support::hub_child::child();
}

#[test]
fn words_for_yes_are_yes_and_others_are_no() {
    let weights = bytes(300, 1);
    let server = server(&[("model.safetensors", &weights)]);
    for variable in ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"] {
        for yes in ["1", "on", "Yes", "TRUE", " true "] {
            Place::new().fetch(&server.address).set(variable, yes).fails(&[&format!("and {variable} is set")]);
            assert_eq!(server.requests(), [], "{variable}={yes}");
        }
        for no in ["0", "no", "2", "y", "", " "] {
            assert_eq!(Place::new().fetch(&server.address).set(variable, no).ok().size, 300, "{variable}={no}");
        }
        server.requests();
    }
    // The first that says anything decides.
    let both = |first: &str, second: &str| {
        let place = Place::new();
        let fetch = place.fetch(&server.address);
        fetch.set("HF_HUB_OFFLINE", first).set("TRANSFORMERS_OFFLINE", second).run()
    };
    assert!(both("0", "1").is_ok() && both("1", "0").is_err() && both("", "1").is_err());
}

#[test]
fn folders_are_where_the_environment_names_them() {
    let room = tempfile::tempdir().expect("a folder");
    let room = room.path().display().to_string();
    let none = "HF_HOME_OF_NOBODY";
    for (written, expected) in [
        ("$TEST_ROOM/a", format!("{room}/a")),
        ("${TEST_ROOM}/a", format!("{room}/a")),
        ("/x$TEST_ROOM", format!("/x{room}")),
        ("$TEST_ROOM$TEST_ROOM", format!("{room}{room}")),
        ("${TEST_ROOM}${TEST_ROOM}/$TEST_ROOM", format!("{room}{room}/{room}")),
        ("/x/$TEST_ROOM-1", format!("/x/{room}-1")),
        ("/x/$TEST_ROOM_1", "/x/$TEST_ROOM_1".into()),
        // What is not known, or no name, stays as it is written.
        (&format!("/x/${none}/a"), format!("/x/${none}/a")),
        (&format!("/x/${{{none}}}/a"), format!("/x/${{{none}}}/a")),
        ("/x/$/a", "/x/$/a".into()),
        ("/x/${}a", "/x/${}a".into()),
        ("/x/${TEST_ROOM", "/x/${TEST_ROOM".into()),
        ("/x/a$", "/x/a$".into()),
        ("/x/$$TEST_ROOM", format!("/x/${room}")),
        ("~", room.clone()),
        ("~/a", format!("{room}/a")),
        // In front alone.
        ("/x/~/a", "/x/~/a".into()),
        ("~/$TEST_ROOM", format!("{room}/{room}")),
    ] {
        let place = Place::new();
        let fetch = place.fetch(NOWHERE).set("HF_HUB_OFFLINE", "1").set("HF_HOME", written);
        let error = fetch.set("TEST_ROOM", &room).set("HOME", &room).run().expect_err("is not there");
        let expected = format!("not in the cache {expected}/hub/models--somebody--vit,").replace("//", "/");
        assert!(error.replace("//", "/").contains(&expected), "{written}: {error}\nlacks\n{expected}");
    }
    // The root is a home too; and the folders that come after `HF_HOME`.
    // A mutant has once downloaded there, and all mutants after it were noticed by that.
    assert!(!std::path::Path::new("/hub/models--somebody--vit").exists(), "/hub was left by a changed program");
    let cases: [(&[(&'static str, &str)], &str); 7] = [
        (&[("HF_HOME", "~"), ("HOME", "/")], "/hub"),
        (&[("HF_HOME", "~/a"), ("HOME", "/")], "/a/hub"),
        (&[("HF_HOME", "~/a"), ("HOME", "/home/")], "/home/a/hub"),
        (&[("HF_HOME", ""), ("XDG_CACHE_HOME", "/xdg")], "/xdg/huggingface/hub"),
        (&[("HF_HOME", ""), ("XDG_CACHE_HOME", ""), ("HOME", "/home/me")], "/home/me/.cache/huggingface/hub"),
        (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "")], "/old"),
        (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/new")], "/new"),
    ];
    for (set, expected) in cases {
        let place = Place::new();
        let mut fetch = place.fetch(NOWHERE).set("HF_HUB_OFFLINE", "1");
        for (name, value) in set {
            fetch = fetch.set(name, value);
        }
        fetch.fails(&[&format!("not in the cache {expected}/models--somebody--vit,")]);
    }
}

#[test]
fn a_timeout_of_nothing_is_the_usual_one() {
    let weights = bytes(300, 2);
    let server = server(&[("model.safetensors", &weights)]);
    for zero in ["0", "0.0", "", " "] {
        let place = Place::new();
        let fetch = place.fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", zero).set("HF_HUB_DOWNLOAD_TIMEOUT", zero);
        assert_eq!(fetch.ok().sha256, sha256_hex(&weights), "`{zero}`");
    }
    for good in ["86400", " 2.5 ", "1e3"] {
        assert_eq!(Place::new().fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", good).ok().size, 300);
    }
    for bad in ["86401", "inf", "1 s", "\u{662}"] {
        Place::new().fetch(&server.address).set("HF_HUB_ETAG_TIMEOUT", bad).fails(&["HF_HUB_ETAG_TIMEOUT: expected"]);
    }
}

#[test]
fn a_token_is_where_it_is_said_to_be() {
    let server = server(&[("model.safetensors", b"weights")]);
    server.change(support::hub_child::REPO, |repository| {
        (repository.token, repository.private) = (Some("hf_secret".into()), true);
    });
    let place = Place::new();
    let file = place.folder.path().join("elsewhere/mine");
    fs::create_dir_all(file.parent().expect("a folder")).expect("makes a folder");
    fs::write(&file, "hf_secret\n").expect("writes");
    let path = file.display().to_string();
    let fetch = || place.fetch(&server.address);
    let error = fetch().fails(&["status 401"]);
    assert!(!error.contains("tried"), "it is not asked for again: {error}");
    assert_eq!(fetch().set("HF_TOKEN_PATH", &path).ok().size, 7);
    let anew = || {
        let _ = fs::remove_dir_all(place.folder.path().join("home"));
        let _ = fs::remove_file(place.lock());
        server.requests();
    };
    anew();
    // One that is empty is none, and the next place is looked at.
    for blank in ["", " ", "\n"] {
        assert_eq!(fetch().set("HF_TOKEN", blank).set("HF_TOKEN_PATH", &path).ok().size, 7);
        anew();
    }
    assert_eq!(fetch().set("HF_TOKEN", "").set("HUGGING_FACE_HUB_TOKEN", "hf_secret").ok().size, 7);
    anew();
    fetch().set("HF_TOKEN", "hf_other").set("HF_TOKEN_PATH", &path).fails(&["status 40"]);
    assert!(server.requests().iter().all(|request| request.token() == Some("hf_other")));
    // A place without a file is no token; one that cannot be read is told.
    fetch().set("HF_TOKEN_PATH", &format!("{path}.none")).fails(&["status 401"]);
    let folder = file.parent().expect("a folder").display().to_string();
    fetch().set("HF_TOKEN_PATH", &folder).fails(&[
        &folder,
        "expected a file with a token, found a folder",
        "Copy the token again",
    ]);
    // What never ends is not read, and what is long is none.
    let pipe = place.folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    for never in [pipe.display().to_string().as_str(), "/dev/zero"] {
        fetch().set("HF_TOKEN_PATH", never).fails(&[never, "expected a file with a token, found a pipe or a device"]);
    }
    fs::write(&file, "x".repeat(70_000)).expect("writes");
    fetch().set("HF_TOKEN_PATH", &path).fails(&[&path, "found one of 70000 bytes"]);
    fs::write(&file, b"hf_\xff").expect("writes");
    fetch().set("HF_TOKEN_PATH", &path).fails(&[&path, "bytes that are no UTF-8"]);
}

/// The address is the one that is written, or none.
#[test]
fn an_endpoint_is_taken_as_it_is_written() {
    let server = server(&[("model.safetensors", b"weights")]);
    // A path stands in front of every other.
    server.state().prefix = "/mirror/of".into();
    for end in ["/mirror/of", "/mirror/of/", "/mirror/of//"] {
        assert_eq!(Place::new().fetch(&format!("{}{end}", server.address)).ok().size, 7, "{end}");
    }
    Place::new().fetch(&server.address).fails(&["status 404"]);
    for endpoint in ["http://[::1]:9", "http://[::1]", "http://me:word@[::1]:9/path"] {
        let error = Place::new().fetch(endpoint).set("HF_HUB_ETAG_TIMEOUT", "0.2").fails(&["http://[::1]"]);
        assert!(error.contains("was not reached") && !error.contains("me:word"), "{error}");
    }
    for (endpoint, shown) in [
        ("http://127.0.0.1:65536", "found `http://127.0.0.1:65536`"),
        ("http://me:word@127.0.0.1:9/?key=mine", "found `127.0.0.1:9/?...`"),
        ("http://127.0.0.1:9#mine", "found `http://127.0.0.1:9?...`"),
        ("http://[::1]:port", "found `http://[::1]:port`"),
    ] {
        let error =
            Place::new().fetch(endpoint).fails(&["HF_ENDPOINT: expected an address such as https://host", shown]);
        assert!(!error.contains("mine") && !error.contains("me:word"), "{error}");
    }
}

/// Else the first download would write it anew, and hold nothing to what it said.
#[test]
fn a_lock_that_cannot_be_read_is_no_empty_one() {
    let (server, place) = (server(&[("model.safetensors", b"weights")]), Place::new());
    let lock = place.lock();
    fs::create_dir_all(lock.parent().expect("a folder")).expect("makes a folder");
    fs::write(&lock, b"\xff").expect("writes");
    place.fetch(&server.address).fails(&[&lock.display().to_string(), "reading"]);
    assert_eq!(fs::read(&lock).expect("reads"), b"\xff");
    fs::remove_file(&lock).and_then(|()| fs::create_dir(&lock)).expect("a folder in its place");
    place.fetch(&server.address).fails(&[&lock.display().to_string(), "reading"]);
}

/// Two programs may download a file at a time, and one of them another file of that name.
#[test]
fn what_another_program_recorded_meanwhile_stays() {
    let weights = bytes(300, 4);
    let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
    place.fetch(&server.address).ok();
    let lock = place.lock();
    let kept = fs::read_to_string(&lock).expect("reads");
    let other = kept.replace(&sha256_hex(&weights), &sha256_hex(b"another file"));
    assert_ne!(other, kept);
    for (recorded, is_same) in [(kept, true), (other, false)] {
        fs::remove_file(&lock).and_then(|()| fs::remove_dir_all(place.folder.path().join("home"))).expect("removes");
        let (path, text) = (lock.clone(), recorded.clone());
        server.script(move |request| {
            if request.method == "GET" && request.path.contains("/resolve/") {
                fs::write(&path, &text).expect("writes");
            }
            None
        });
        match place.fetch(&server.address).run() {
            Ok(found) => assert!(is_same && found.size == 300),
            Err(error) => assert!(!is_same && error.contains("in what was just downloaded"), "{error}"),
        }
        assert_eq!(fs::read_to_string(&lock).expect("reads"), recorded);
    }
}

/// Then the user's own lock holds what was downloaded; but no other fault of the project's lock is got around so.
#[cfg(target_os = "linux")]
#[test]
fn a_project_that_is_not_ours_to_write_has_its_lock_elsewhere() {
    let weights = bytes(300, 5);
    let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
    let state = place.folder.path().join("state");
    // No user may make anything there.
    let project = "/sys/wider-clip-none/hub.lock";
    place.fetch(&server.address).set("TEST_LOCK_OF", project).fails(&["/sys/wider-clip-none"]);
    let fetch = || place.fetch(&server.address).set("WIDER_CLIP_STATE", &state.display().to_string());
    assert_eq!(fetch().set("TEST_LOCK_OF", project).ok().size, 300);
    let kept = fs::read_to_string(state.join("hub.lock")).expect("reads");
    assert!(kept.contains(&sha256_hex(&weights)), "{kept}");
    // It is held to.
    server.requests();
    assert_eq!(fetch().set("TEST_LOCK_OF", project).ok().size, 300);
    assert_eq!(server.requests(), []);

    fs::remove_file(state.join("hub.lock"))
        .and_then(|()| fs::remove_dir_all(place.folder.path().join("home")))
        .expect("removes");
    let (path, text) = (place.lock(), kept.replace(&sha256_hex(&weights), &sha256_hex(b"another file")));
    fs::create_dir_all(path.parent().expect("a folder")).expect("makes a folder");
    server.script(move |request| {
        if request.method == "GET" && request.path.contains("/resolve/") {
            fs::write(&path, &text).expect("writes");
        }
        None
    });
    fetch().fails(&["in what was just downloaded"]);
    assert!(!state.join("hub.lock").exists());
}
