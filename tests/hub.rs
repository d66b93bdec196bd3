//! The hub's protocol, on a stand-in server: the real client downloads real Parquet through it.

mod support;

use std::path::Path;
use support::hub_server::HubServer;
use wider_clip::manifest::{DatasetRecord, Manifests, Source};

const REPOSITORY: &str = "somebody/icons";

#[test]
fn a_data_set_comes_from_the_hub_and_then_from_its_cache() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read(root.join("data_manifests/embedded/icons.parquet")).expect("reads");
    let home = tempfile::tempdir().expect("a folder");
    let server = HubServer::new();
    let name = format!("datasets/{REPOSITORY}");
    server.commit(&name, "main", &"c0ffee00".repeat(5), &[("README.md", b"#"), ("data/train-0.parquet", &file)]);
    // SAFETY: this file has one test, and no other thread of it reads the environment.
    unsafe {
        std::env::set_var("HF_HOME", home.path());
        std::env::set_var("HF_ENDPOINT", &server.address);
        std::env::set_var("HF_HUB_ETAG_TIMEOUT", "1");
        for name in ["HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN"] {
            std::env::remove_var(name);
        }
    }
    assert_eq!(wider_clip::hub::lock_path(root), root.join("data_manifests/hub.lock"));
    let manifests = Manifests::load(root).expect("loads");
    let embedded = manifests.dataset("icons").expect("known");
    let mut record = embedded.clone();
    let files = [("train".to_string(), vec!["data/train-*.parquet".to_string()])].into();
    record.source = Source::Hub { repo: REPOSITORY.into(), revision: "main".into(), files };
    let open = |record: &DatasetRecord| wider_clip::datasets::open(root, home.path(), record);
    let (ours, theirs) = (open(embedded).expect("opens"), open(&record).expect("downloads"));
    assert_eq!((&ours.ids, &ours.labels, &ours.classes), (&theirs.ids, &theirs.labels, &theirs.classes));
    assert_eq!(ours.data_sha256, theirs.data_sha256);
    assert_eq!(theirs.rows_of_part("train").expect("a part").len(), ours.len());
    assert!(theirs.rows_of_part("test").expect_err("no such part").to_string().contains("known: train"));
    // SAFETY: as above.
    unsafe {
        std::env::set_var("HF_HUB_OFFLINE", "1");
        std::env::set_var("HF_ENDPOINT", "http://127.0.0.1:9");
    }
    assert_eq!(open(&record).expect("is cached").len(), ours.len());
    record.source = Source::Hub {
        repo: "somebody/else".into(),
        revision: "main".into(),
        files: [("train".to_string(), vec!["a.parquet".to_string()])].into(),
    };
    let error = open(&record).expect_err("not cached").to_string();
    assert!(error.contains("somebody/else/a.parquet") && error.contains("HF_HUB_OFFLINE"), "{error}");
    // SAFETY: as above.
    unsafe { std::env::remove_var("HF_HUB_OFFLINE") };
    let error = open(&record).expect_err("nobody listens there").to_string();
    assert!(error.contains("somebody/else") && error.contains("HF_ENDPOINT"), "{error}");

    // What is closed to strangers' code: home, cache, and where the token lies, but for a folder that the system needs.
    let private = |token: &str| {
        // SAFETY: as above.
        unsafe { std::env::set_var("HF_TOKEN_PATH", token) };
        wider_clip::hub::private_folders()
    };
    let usual = [home.path().to_path_buf(), home.path().join("hub")];
    assert_eq!(private("/home/me/secrets/token"), [&usual[..], &["/home/me/secrets".into()]].concat());
    assert_eq!(private("/srv/keys/token"), [&usual[..], &["/srv/keys".into()]].concat());
    for shared in ["/etc/token", "/token", "token", ""] {
        assert_eq!(private(shared), usual, "{shared}");
    }
}
