//! What began encrypted goes on encrypted: a hub that is asked over https and leads to plain http is not followed, with
//! a token or without, and nothing is kept of what it would have given.

mod support;
#[path = "support/tls.rs"]
mod tls;

use support::hub_child::{Fetch, Place, REPO, bytes, server};
use support::hub_server;
use support::hub_server::{HubServer, Instead};

#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn child() {
    if std::env::var_os("TEST_DISTRUST").is_none() {
        wider_clip::hub::trust_for_tests(tls::CERTIFICATE);
    }
    support::hub_child::child();
}

/// A hub that gives small files itself, its encrypted address, and a second hub that has the same.
fn hubs() -> (HubServer, String, HubServer) {
    let weights = bytes(700, 5);
    let small = || {
        let server = server(&[("model.safetensors", &weights)]);
        server.change(REPO, |repository| repository.large = false);
        server
    };
    let server = small();
    let address = tls::door(&server);
    (server, address, small())
}

/// Whatever is asked for under a path with `what` is at `to`.
fn leads(server: &HubServer, what: &'static str, status: u16, to: String) {
    server.script(move |request| {
        let head = || format!("{status} Away\r\nlocation: {to}{}", request.path);
        request.path.contains(what).then(|| Instead::new(&head(), b"")).flatten()
    });
}

/// With a token and without.
fn both<'a>(place: &'a Place, address: &str) -> [Fetch<'a>; 2] {
    [place.fetch(address).set("HF_TOKEN", "hf_secret"), place.fetch(address)]
}

#[test]
fn an_encrypted_hub_gets_the_token() {
    let (server, address, _) = hubs();
    assert_eq!(Place::new().fetch(&address).set("HF_TOKEN", "hf_secret").ok().size, 700);
    let requests = server.requests();
    assert!(requests.len() >= 3 && requests.iter().all(|request| request.token() == Some("hf_secret")), "{requests:?}");
}

#[test]
fn a_way_from_https_to_http_is_not_followed() {
    for (status, what) in [(301, "/api/"), (302, "/resolve/"), (303, "/api/"), (307, "/resolve/"), (308, "/api/")] {
        let (server, address, plain) = hubs();
        leads(&server, what, status, plain.address.clone());
        let place = Place::new();
        for fetch in both(&place, &address) {
            fetch.fails(&[&format!("{address} leads from https to {}, which is not encrypted", plain.address)]);
        }
        assert_eq!(plain.requests(), [], "{status} {what}");
        assert!(!server.requests().is_empty() && place.blobs("").is_empty() && !place.lock().exists());
    }
}

/// The hub itself, by the same name, without its encryption; and the store of large files.
#[test]
fn nor_is_one_to_the_same_host_or_to_the_store() {
    let (server, address, _) = hubs();
    let downgraded = address.replace("https://", "http://");
    leads(&server, "/resolve/", 302, downgraded.clone());
    let place = Place::new();
    for fetch in both(&place, &address) {
        fetch.fails(&[&format!("leads from https to {downgraded}, which is not encrypted")]);
    }
    let (server, address, _) = hubs();
    server.change(REPO, |repository| repository.large = true);
    for fetch in both(&place, &address) {
        fetch.fails(&[&format!("leads from https to {}, which is not encrypted", server.store)]);
    }
    assert!(server.requests().iter().all(|request| request.host == "hub"));
    assert!(place.blobs("").is_empty() && !place.lock().exists());
}

#[test]
fn a_way_on_by_https_is_followed_without_the_token() {
    // From https to another https, and from http up to https.
    for encrypted in [true, false] {
        let (server, address, other) = hubs();
        leads(&server, "/resolve/", 302, tls::door(&other));
        let address = if encrypted { &address } else { &server.address };
        assert_eq!(Place::new().fetch(address).set("HF_TOKEN", "hf_secret").ok().size, 700);
        let (own, foreign) = (server.requests(), other.requests());
        assert!(own.iter().all(|request| request.token() == Some("hf_secret")), "{own:?}");
        assert!(!foreign.is_empty() && foreign.iter().all(|request| request.token().is_none()), "{foreign:?}");
    }
}

/// A way that is encrypted again after a plain step was open in between.
#[test]
fn one_plain_step_among_encrypted_ones_is_one_too_many() {
    let (server, address, middle) = hubs();
    let back = tls::door(&middle);
    leads(&middle, "/resolve/", 302, back);
    leads(&server, "/resolve/", 302, middle.address.clone());
    Place::new().fetch(&address).set("HF_TOKEN", "hf_secret").fails(&["which is not encrypted"]);
    assert_eq!(middle.requests(), []);
}

#[test]
fn a_certificate_that_nobody_vouches_for_ends_it() {
    let (server, address, _) = hubs();
    let place = Place::new();
    let fetch = place.fetch(&address).set("HF_TOKEN", "hf_secret").set("TEST_DISTRUST", "1");
    let error = fetch.fails(&[&address, "no encrypted connection"]);
    // Another try would find the same certificate.
    assert!(!error.contains("tried") && !fetch.output().contains("trying again"), "{error}");
    assert_eq!(server.requests(), []);
}
