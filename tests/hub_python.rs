//! The same as Python's client: where files are, what they are, who gets the token, what fails. What Python's does is in
//! `tests/golden/hub/python.json`, written by `tests/reference/hub_client.py`.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::hub_child::Place;
use support::hub_scenarios::Scenario;
use wider_clip::storage::sha256_hex;

#[test]
#[ignore = "run by the other test, as a process of its own"]
fn child() {
    support::hub_child::child();
}

#[test]
#[ignore = "run by tests/reference/hub_client.py: the stand-ins, until the standard input ends"]
fn serve() {
    let mut servers = Vec::new();
    for scenario in support::hub_scenarios::scenarios() {
        let server = scenario.start();
        let told = serde_json::json!({
            "name": scenario.name,
            "environment": scenario.environment,
            "repo": scenario.repo,
            "revision": scenario.revision,
            "file": scenario.file,
            "before": scenario.before,
            "hub": server.address,
        });
        println!("scenario {told}");
        servers.push(server);
    }
    println!("ready");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).expect("waits");
}

/// Where ours differs, and why.
const ON_PURPOSE: [(&str, &str); 3] = [
    // Python's writes below `blobs/../..`, wherever the server says.
    ("etag_with_a_path", "cannot name a file"),
    // Python's keeps a file whose hash is not the one announced.
    ("body_damaged", "expected SHA-256"),
    // Python's gives up; ours goes on where the connection broke.
    ("body_breaks_off", ""),
];

/// What ours says where Python's fails too, and the error that Python's is.
const FAILURES: [(&str, &str); 16] = [
    ("etag_missing", "has no ETag"),
    ("commit_missing", "has no X-Repo-Commit"),
    ("commit_with_a_path", "answers for commit `../../outside`"),
    ("body_ends_early", "5000 of 20000 bytes arrived"),
    ("token_missing", "status 401"),
    ("token_wrong", "the token of HF_TOKEN must be valid"),
    ("token_disabled", "status 401"),
    ("offline", "HF_HUB_OFFLINE is set"),
    ("offline_transformers", "TRANSFORMERS_OFFLINE is set"),
    ("redirect_in_a_circle", "go in a circle"),
    ("sign_in_page", "a web page"),
    ("no_such_file", "expected nothing.bin, found"),
    ("no_such_revision", "the revision is not"),
    ("no_such_repository", "no such repository"),
    ("etag_with_a_path", "cannot name a file"),
    ("body_damaged", "expected SHA-256"),
];

#[derive(serde::Deserialize)]
struct Golden {
    outcomes: BTreeMap<String, Outcome>,
}

#[derive(Debug, serde::Deserialize)]
struct Outcome {
    path: Option<String>,
    error: Option<String>,
    asked: Vec<String>,
    files: BTreeMap<String, String>,
}

/// The cache's files below a folder, as the script describes them.
fn files(root: &Path) -> BTreeMap<String, String> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).expect("below").to_string_lossy().into_owned();
            if name.contains("wider-clip") || !(name.contains("models--") || name.ends_with("CACHEDIR.TAG")) {
                continue;
            }
            let kind = match fs::read_link(&path) {
                Ok(target) => format!("link to {}", target.display()),
                Err(_) => "file".into(),
            };
            let hash = sha256_hex(&fs::read(&path).expect("reads"));
            found.insert(name, format!("{kind}, {}", &hash[..16]));
        }
    }
    found
}

/// Host and whether the token came there.
fn tokens<'a>(asked: impl IntoIterator<Item = &'a str>) -> BTreeSet<(String, bool)> {
    let pair = |line: &str| {
        assert!(!line.contains("packed"), "{line}");
        (line.split(' ').next().unwrap_or_default().to_string(), !line.contains("no token"))
    };
    asked.into_iter().map(pair).collect()
}

/// What ours does: the path below the room or the message, what was asked, the cache's files.
fn ours(scenario: &Scenario) -> (Result<String, String>, BTreeSet<(String, bool)>, BTreeMap<String, String>) {
    let (server, place) = (scenario.start(), Place::new());
    let root = fs::canonicalize(place.folder.path()).expect("a folder").join("room");
    for (name, text) in &scenario.before {
        let file = root.join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("makes a folder");
        fs::write(file, text).expect("writes");
    }
    let mut fetch = place.fetch(&server.address);
    (fetch.repo, fetch.revision, fetch.files) = (scenario.repo, scenario.revision, scenario.file);
    fetch = fetch.set("HF_HOME", "").set("HF_ENDPOINT", "").set("HOME", &root.join("user").display().to_string());
    for (name, value) in &scenario.environment {
        let value = value.replace("{hub}", &server.address).replace("{home}", &root.display().to_string());
        fetch = fetch.set(name, &value);
    }
    let found = fetch.run().map(|found| {
        let path = fs::canonicalize(found.path.parent().expect("a folder")).expect("is there");
        let folder = path.strip_prefix(&root).expect("below").to_string_lossy().into_owned();
        format!("{folder}/{}", found.path.file_name().expect("a name").to_string_lossy())
    });
    let asked: Vec<String> = server.requests().iter().map(support::hub_server::Request::words).collect();
    (found, tokens(asked.iter().map(String::as_str)), files(&root))
}

#[test]
fn ours_does_as_pythons_client_does() {
    let golden = fs::read_to_string("tests/golden/hub/python.json").expect("the golden");
    let golden: Golden = serde_json::from_str(&golden).expect("JSON");
    let scenarios = support::hub_scenarios::scenarios();
    assert_eq!(golden.outcomes.len(), scenarios.len(), "write the golden anew");
    let differs = |name: &str| ON_PURPOSE.iter().find(|(other, _)| *other == name).map(|(_, message)| *message);
    let compare = |scenario: &Scenario| {
        let name = scenario.name;
        let python = &golden.outcomes[name];
        let (found, asked, files) = ours(scenario);
        let message = FAILURES.iter().find(|(other, _)| *other == name).map(|(_, message)| *message);
        match (&found, message) {
            (Ok(path), None) => {
                let expected = if differs(name).is_some() { None } else { python.path.as_ref() };
                assert!(expected.is_none_or(|expected| expected == path), "{name}: {expected:?}, {path}");
                assert_eq!(python.path.is_none(), differs(name).is_some(), "{name}: {python:?}");
            }
            (Err(error), Some(message)) => {
                assert!(error.contains(message), "{name}: {error}");
                assert_eq!(python.error.is_none(), differs(name).is_some(), "{name}: {python:?}");
            }
            _ => panic!("{name}: {found:?}, where Python's gives {python:?}"),
        }
        let theirs = tokens(python.asked.iter().map(String::as_str));
        match found.is_ok() {
            true => assert_eq!(asked, theirs, "{name}"),
            // Ours asks for the list first, and may fail there; or it looks where a redirect leads.
            false => assert!(asked.iter().all(|(host, token)| host == "hub" || !token), "{name}: {asked:?}"),
        }
        match (found.is_ok(), differs(name)) {
            (true, None) => assert_eq!(files, python.files, "{name}"),
            (true, Some(_)) => assert!(files.keys().any(|file| file.contains("/snapshots/")), "{name}"),
            (false, _) => assert!(!files.keys().any(|file| file.contains("/snapshots/")), "{name}: {files:?}"),
        }
    };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    compare(scenario);
                }
            });
        }
    });
}
