//! What a hub, a mirror or a store may do, on stand-ins: the token goes to the hub alone, no name leads out of the cache,
//! redirects end, and every message says what it was and with whom.

mod support;

use std::fs;
use std::path::Path;
use support::hub_child::{FIRST, Fetch, Place, REPO, SECOND, bytes, server};
use support::hub_server::{Etag, HubServer, Instead, Request};

#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn child() {
    support::hub_child::child();
}

/// Hosts and whether the token came there, in the order of the requests.
fn tokens(requests: &[Request]) -> Vec<(&'static str, bool)> {
    let mut found: Vec<_> = requests.iter().map(|request| (request.host, request.token().is_some())).collect();
    found.dedup();
    found
}

#[test]
fn the_token_stays_with_the_hub() {
    let weights = bytes(9000, 1);
    // With and without the length in the redirect; small files come from the hub itself.
    for (large, no_linked_size) in [(true, false), (true, true), (false, false)] {
        let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
        server.change(REPO, |repository| {
            (repository.large, repository.no_linked_size) = (large, no_linked_size);
            (repository.token, repository.private) = (Some("hf_secret".into()), true);
        });
        assert_eq!(place.fetch(&server.address).set("HF_TOKEN", "hf_secret").ok().size, 9000);
        let requests = server.requests();
        let found = tokens(&requests);
        assert!(found.iter().all(|&(host, token)| token == (host == "hub")), "{found:?}");
        assert_eq!(found.iter().any(|&(host, _)| host == "store"), large);
        // The store is asked for the file alone: what it is, the hub has said.
        assert!(requests.iter().all(|request| request.host == "hub" || request.method == "GET"), "{requests:?}");
        // Nothing is packed on the way, least of all a part.
        assert!(requests.iter().all(|request| request.header("accept-encoding") == Some("identity")), "{requests:?}");
    }
}

/// Every place from which a redirect may lead away, and every host that is not the hub: another port, another name, another
/// scheme.
#[test]
fn no_redirect_takes_the_token_along() {
    let weights = bytes(500, 2);
    for status in [301, 302, 303, 307, 308] {
        for what in ["/api/", "/resolve/"] {
            let (server, other) = (server(&[("model.safetensors", &weights)]), HubServer::new());
            other.commit(REPO, "main", FIRST, &[("model.safetensors", &weights)]);
            let elsewhere = other.address.clone();
            server.script(move |request| {
                let leaves = request.host == "hub" && request.path.contains(what);
                let head = || format!("{status} Away\r\nlocation: {elsewhere}{}", request.path);
                leaves.then(|| Instead::new(&head(), b"")).flatten()
            });
            let name = server.address.replace("127.0.0.1", "localhost");
            other.change(REPO, |repository| repository.large = false);
            // That this machine has two names is tried once.
            for address in [&server.address, &name].into_iter().take(if status == 302 { 2 } else { 1 }) {
                let place = Place::new();
                assert_eq!(place.fetch(address).set("HF_TOKEN", "hf_secret").ok().size, 500, "{status} {what}");
                let (own, foreign) = (server.requests(), other.requests());
                assert!(own.iter().any(|request| request.token() == Some("hf_secret")), "{own:?}");
                assert!(!foreign.is_empty() && foreign.iter().all(|request| request.token().is_none()), "{foreign:?}");
            }
        }
    }
}

#[test]
fn redirects_on_the_hub_are_followed_with_the_token() {
    let weights = bytes(500, 3);
    // As it stands in the header: a path, a path beside this one, the whole address.
    let forms: [fn(&str, &str) -> String; 3] = [
        |_, path| path.to_string(),
        |_, path| path.rsplit_once('/').expect("a path").1.to_string() + "?moved",
        |address, path| format!("{address}{path}#fragment"),
    ];
    for form in forms {
        let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
        server.change(REPO, |repository| (repository.large, repository.token) = (false, Some("hf_secret".into())));
        let address = server.address.clone();
        server.script(move |request| {
            let moved = request.path.contains("/resolve/") && !request.path.ends_with("?moved");
            let to = form(&address, &request.path);
            let to = if to.ends_with("?moved") { to } else { to.replace("safetensors", "safetensors?moved") };
            moved.then(|| Instead::new(&format!("307 Moved\r\nlocation: {to}"), b"")).flatten()
        });
        // The stand-in's files have no `?moved`.
        server.commit(REPO, "main", FIRST, &[("model.safetensors", &weights), ("model.safetensors?moved", &weights)]);
        assert_eq!(place.fetch(&server.address).set("HF_TOKEN", "hf_secret").ok().size, 500);
        assert!(server.requests().iter().all(|request| request.token() == Some("hf_secret")));
    }
}

#[test]
fn redirects_end() {
    let server = server(&[("model.safetensors", b"weights")]);
    let to = |location: String| {
        server.script(move |request| {
            let head = format!("302 Found\r\nlocation: {}", location.replace("PATH", &request.path));
            request.path.contains("/resolve/").then(|| Instead::new(&head, b"")).flatten()
        });
        Place::new().fetch(&server.address).run().expect_err("fails")
    };
    let host = &server.address;
    let cases = [
        ("PATH".to_string(), "go in a circle"),
        ("PATH/x".to_string(), "redirects once more after 10 redirects"),
        ("file:///etc/passwd".to_string(), "leads to `file:///etc/passwd`, which is no http address"),
        ("ftp://127.0.0.1/x".to_string(), "which is no http address"),
        ("http://".to_string(), "which is no http address"),
        ("http://[::1".to_string(), "which is no http address"),
        ("http://127.0.0.1:99999/PATH".to_string(), "which is no http address"),
        ("http://127.0.0.1:port/PATH".to_string(), "which is no http address"),
        ("http://[::1]:port/PATH".to_string(), "which is no http address"),
        ("https://me:hf_secret@127.0.0.1:99999/PATH?sig=secret".to_string(), "leads to `https://127.0.0.1:99999/"),
        ("s3://bucket/key?sig=secret".to_string(), "leads to `s3://bucket/key?...`, which is no http address"),
        (String::new(), "leads to ``"),
        (format!("{host}/{}", "x".repeat(20_000)), "which is no http address"),
        // It is tried, and nobody is there.
        ("//127.0.0.1:9/PATH".to_string(), "http://127.0.0.1:9 was not reached"),
        ("http://nobody.invalid/PATH".to_string(), "http://nobody.invalid was not reached"),
    ];
    for (location, message) in cases {
        let error = to(location.clone());
        assert!(error.contains(message) && error.contains("somebody/vit"), "{location}: {error}");
        assert!(!error.contains("secret"), "{location}: {error}");
        assert!(error.len() < 700, "{error}");
    }
    server.script(|request| request.path.contains("/resolve/").then(|| Instead::new("302 Found", b"")).flatten());
    Place::new().fetch(host).fails(&["redirects without saying where to", host]);
}

/// So many redirects are followed, and not one more.
#[test]
fn ten_redirects_are_followed() {
    let weights = bytes(500, 6);
    for (n, followed) in [(10, true), (11, false)] {
        let (server, place) = (server(&[("model.safetensors", &weights)]), Place::new());
        server.change(REPO, |repository| repository.large = false);
        // The stand-in's files have such names.
        let last = format!("model.safetensors?{n}");
        server.commit(REPO, "main", FIRST, &[("model.safetensors", &weights), (&last, &weights)]);
        server.script(move |request| {
            let (path, at) = request.path.split_once('?').unwrap_or((&request.path, "0"));
            let at: usize = at.parse().expect("a number");
            let head = format!("302 Found\r\nlocation: {path}?{}", at + 1);
            (request.path.contains("/resolve/") && at < n).then(|| Instead::new(&head, b"")).flatten()
        });
        match followed {
            true => assert_eq!(place.fetch(&server.address).ok().size, 500),
            false => drop(place.fetch(&server.address).fails(&["redirects once more after 10 redirects"])),
        }
    }
}

/// Files below a folder, by their paths in it.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(next).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match path.is_dir() && !path.is_symlink() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(folder).expect("below").display().to_string()),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn no_name_of_a_server_leads_out_of_the_cache() {
    let long = "a".repeat(300);
    let bad_commits = [
        "../../outside",
        "/tmp/outside",
        "",
        "c0ffee1",
        "main",
        ".",
        "..",
        "c0ffee1/../../../../outside",
        &long,
        "c0ffee1000000000000000000000000000000g00",
        "c0ffee1000000000000000000000000000000\\00",
    ];
    let bad_etags = [
        "\"../../outside\"",
        "/tmp/outside",
        "\"..\"",
        "\".\"",
        "\".hidden\"",
        "\"a/b\"",
        "\"a\\b\"",
        "\"\"",
        "\"a\tb\"",
        "W/\"../x\"",
        "\"C:x\"",
        "\"a b\"",
        "\"abc.part\"",
        "\"abc.incomplete\"",
        "\"abc.LOCK\"",
        &long,
        "\"\u{e9}\"",
    ];
    for large in [true, false] {
        let server = server(&[("model.safetensors", b"weights")]);
        server.change(REPO, |repository| repository.large = large);
        let fails = |what: &str, messages: &[&str]| {
            let place = Place::new();
            let error = place.fetch(&server.address).run().expect_err(what);
            assert!(messages.iter().any(|message| error.contains(message)), "{what}: {error}");
            assert!(error.contains("HF_ENDPOINT") && !error.chars().any(char::is_control), "{what}: {error}");
            assert!(error.len() < 600, "{error}");
            let found = files(place.folder.path());
            assert!(found.iter().all(|file| file.ends_with(".lock") || file.ends_with(".output")), "{what}: {found:?}");
        };
        for commit in bad_commits {
            server.change(REPO, |repository| repository.answered_commit = Some(commit.into()));
            fails(commit, &["answers for commit `", "X-Repo-Commit"]);
        }
        server.change(REPO, |repository| repository.answered_commit = None);
        for etag in bad_etags {
            server.change(REPO, |repository| repository.etag = Etag::Other(etag.into()));
            fails(etag, &["the ETag `", "has no ETag"]);
        }
    }
    // The longest that can be the name of a file, with what is appended to it; in the list, a commit in capitals.
    let server = server(&[("model.safetensors", b"weights")]);
    for (length, fits) in [(220, true), (221, false)] {
        server.change(REPO, |repository| repository.etag = Etag::Other(format!("\"{}\"", "a".repeat(length))));
        let fetched = Place::new().fetch(&server.address).run();
        assert_eq!(fetched.is_ok(), fits, "{length}: {fetched:?}");
    }
    server.script(|request| {
        let sha = FIRST.to_uppercase();
        let list = format!("{{\"sha\": \"{sha}\", \"siblings\": [{{\"rfilename\": \"model.safetensors\"}}]}}");
        request.path.contains("/api/").then(|| Instead::new("200 OK", list.as_bytes())).flatten()
    });
    server.change(REPO, |repository| repository.etag = Etag::UpperCase);
    assert_eq!(Place::new().fetch(&server.address).ok().commit, FIRST);
    // The commit in the list.
    for commit in bad_commits.into_iter().filter(|commit| !commit.is_empty()) {
        let server = HubServer::new();
        server.commit(REPO, "main", commit, &[("model.safetensors", b"weights")]);
        Place::new().fetch(&server.address).fails(&["answers for commit `", "HF_ENDPOINT"]);
    }
}

#[test]
fn an_address_that_would_become_another_is_refused() {
    for address in [
        "http://127.0.0.1:99999",
        "http://127.0.0.1:9/?x=1",
        "http://127.0.0.1:9/#part",
        "http://me:pass@127.0.0.1:port",
    ] {
        let error = Place::new().fetch(address).fails(&["HF_ENDPOINT: expected an address such as https://host"]);
        assert!(!error.contains("me:pass"), "{error}");
    }
}

#[test]
fn no_listed_name_leads_out_of_the_cache() {
    let file = fs::read("data_manifests/embedded/icons.parquet").expect("reads");
    let repo = format!("datasets/{REPO}");
    let long = format!("data/{}.parquet", "a".repeat(300));
    for name in [
        "data/../../../../x.parquet",
        "/tmp/x.parquet",
        "data/./x.parquet",
        "data//x.parquet",
        "data/a\\b.parquet",
        "data/a\nb.parquet",
        "data/a\0.parquet",
        "../data/x.parquet",
        "data/..",
        &long,
    ] {
        let (server, place) = (HubServer::new(), Place::new());
        server.commit(&repo, "main", FIRST, &[("data/train.parquet", &file)]);
        server.change(&repo, |repository| repository.listed.push(name.into()));
        let mut fetch = place.fetch(&server.address).set("TEST_DATASET", "1");
        fetch.files = "*";
        let error = fetch.fails(&["expected the name of a file in the repository", "HF_ENDPOINT"]);
        assert!(!error.chars().any(char::is_control), "{error}");
        assert_eq!(server.body_starts(), [0u64; 0], "nothing is downloaded from such a server");
        // A name that is not asked for does no harm.
        fetch.files = "data/train*";
        fetch.ok();
    }
    // Nor does one from a manifest.
    let server = HubServer::new();
    for (repo, revision, file) in [
        ("../somebody", "main", "a"),
        ("a/b", "../../main", "a"),
        ("a/b", "main", "../a"),
        ("a/b", "main", "/a"),
        ("a/b", "/main", "a"),
        ("a//b", "main", "a"),
    ] {
        let place = Place::new();
        let mut fetch = place.fetch(&server.address);
        (fetch.repo, fetch.revision, fetch.files) = (repo, revision, file);
        fetch.fails(&["expected the name of a", "manifest"]);
        assert_eq!(server.requests(), []);
    }
}

/// One page of a list is not all files.
#[test]
fn a_list_that_goes_on_elsewhere_is_refused() {
    let server = HubServer::new();
    server.script(|request| {
        let list =
            format!("{{\"sha\": \"{}\", \"siblings\": [{{\"rfilename\": \"model.safetensors\"}}]}}", "a".repeat(40));
        let head = "200 OK\r\ncontent-type: application/json\r\nlink: <http://elsewhere/?cursor=x>; rel=\"next\"";
        request.path.contains("/api/").then(|| Instead::new(head, list.as_bytes())).flatten()
    });
    Place::new().fetch(&server.address).fails(&["expected the whole list of files", "found one page of it"]);
}

#[test]
fn what_is_no_hub_is_told() {
    let host = |server: &HubServer| server.address.clone();
    // No commit, no ETag.
    for (change, header) in [("commit", "has no X-Repo-Commit"), ("etag", "has no ETag")] {
        let server = server(&[("model.safetensors", b"weights")]);
        server.change(REPO, |repository| match change {
            "commit" => {
                repository.large = false;
                server_without_commit(repository);
            }
            _ => repository.etag = Etag::Missing,
        });
        Place::new().fetch(&server.address).fails(&[&host(&server), header, "HF_ENDPOINT"]);
    }
    // A page to sign in, at once or by a redirect, for the list and for the file.
    let page = b"<!DOCTYPE html><title>Sign in</title>";
    for what in ["/api/", "/resolve/"] {
        for redirect in [false, true] {
            let server = server(&[("model.safetensors", b"weights")]);
            let store = server.store.clone();
            server.script(move |request| match request.path.contains(what) {
                true if redirect => Instead::new(&format!("302 Found\r\nlocation: {store}/sign-in"), b""),
                asked if asked || request.path == "/sign-in" => {
                    Instead::new("200 OK\r\ncontent-type: Text/HTML; charset=utf-8", page)
                }
                _ => None,
            });
            let asked = if redirect { server.store.clone() } else { host(&server) };
            Place::new().fetch(&server.address).fails(&[&asked, "a web page", "sign-in page", "HF_ENDPOINT"]);
        }
    }
    // A list that is none.
    for body in [&b"not JSON"[..], b"{}", b"[]", b"{\"sha\":1}", b""] {
        let server = server(&[("model.safetensors", b"weights")]);
        let body = body.to_vec();
        server.script(move |request| request.path.contains("/api/").then(|| Instead::new("200 OK", &body)).flatten());
        Place::new().fetch(&server.address).fails(&["expected a list of files", &host(&server), "no such JSON"]);
    }
}

fn server_without_commit(repository: &mut support::hub_server::Repository) {
    repository.answered_commit = Some(String::new());
}

/// A file that is another one when its bytes are asked for.
#[test]
fn a_file_that_changes_in_between_is_told() {
    let (weights, place) = (bytes(2000, 4), Place::new());
    let server = server(&[("model.safetensors", &weights)]);
    for (header, value) in [("x-repo-commit", SECOND), ("x-linked-etag", &"f".repeat(64))] {
        let both = [("x-repo-commit", FIRST), ("x-linked-etag", &"e".repeat(64))];
        let mut headers: Vec<_> = both.map(|(name, value)| (name, value.to_string())).into();
        headers.iter_mut().filter(|(name, _)| *name == header).for_each(|(_, is)| *is = value.into());
        let lines = |headers: &[(&str, String)]| {
            headers.iter().map(|(name, is)| format!("\r\n{name}: {is}")).collect::<String>()
        };
        let (before, after) = (lines(&both.map(|(name, is)| (name, is.to_string()))), lines(&headers));
        server.script(move |request| {
            let said = if request.method == "HEAD" { &before } else { &after };
            let head = format!("200 OK{said}\r\nx-linked-size: 5");
            request.path.contains("/resolve/").then(|| Instead::new(&head, b"other")).flatten()
        });
        place.fetch(&server.address).fails(&["changed on the server", "Run it again"]);
    }
    assert!(place.blobs("").is_empty() && !place.lock().exists());
}

#[test]
fn a_mirror_that_is_not_encrypted_is_warned_of_once() {
    let place = Place::new();
    let warned = |address: &str, token: &str| {
        let fetch = place.fetch(address).set("HF_TOKEN", token).set("HF_HUB_ETAG_TIMEOUT", "0.2");
        let error = fetch.run().expect_err("nobody is there");
        assert!(error.contains(address) && error.contains("was not reached"), "{error}");
        fetch.output().matches("warning: HF_ENDPOINT is http://").count()
    };
    assert_eq!(warned("http://hub.invalid", "hf_secret"), 1);
    assert_eq!(warned("http://hub.invalid", ""), 0);
    assert_eq!(warned("https://hub.invalid", "hf_secret"), 0);
    assert_eq!(warned("http://127.0.0.1:9", "hf_secret"), 0);
    assert_eq!(warned("http://localhost:9", "hf_secret"), 0);
    for endpoint in ["hub.example", "ftp://hub.example", "http://", "https://a b"] {
        place.fetch(endpoint).fails(&["HF_ENDPOINT", "expected an address such as https://hub.example"]);
    }
}

/// A name as long as a folder may hold, and a path as long as is taken; a slash stays in a path and is none in a revision.
#[test]
fn names_are_as_long_as_they_may_be() {
    let path = |length: usize| {
        let folders = format!("{}/", "f".repeat(99)).repeat(length / 100);
        format!("{folders}{}", "m".repeat(length - folders.len()))
    };
    for (name, fits) in [("m".repeat(255), true), ("m".repeat(256), false), (path(1024), true), (path(1025), false)] {
        let server = server(&[(&name, b"weights")]);
        let place = Place::new();
        let fetched = Fetch { files: &name, ..place.fetch(&server.address) }.run();
        match fetched {
            Ok(fetched) => assert!(fits && fetched.file == name),
            Err(error) => assert!(!fits && error.contains("a name that is too long"), "{error}"),
        }
    }
    let server = HubServer::new();
    server.commit(REPO, "refs/pr/1", FIRST, &[("deep/model.safetensors", b"weights")]);
    let place = Place::new();
    let fetch = Fetch { revision: "refs/pr/1", files: "deep/model.safetensors", ..place.fetch(&server.address) };
    assert_eq!(fetch.ok().size, 7);
    let requests = server.requests();
    assert!(requests.iter().any(|request| request.path.contains("refs%2Fpr%2F1")), "{requests:?}");
    assert!(requests.iter().any(|request| request.path.ends_with("/deep/model.safetensors")), "{requests:?}");
}
