//! The hub's protocol, on a stand-in server of this test: the real client downloads real Parquet through it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use wider_clip::manifest::{DatasetRecord, Manifests, Source};

const REPOSITORY: &str = "somebody/icons";

/// Serves one file as the hub does: its place in the listing, its metadata by a range of one byte, its bytes.
fn serve(stream: TcpStream, file: &[u8]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut range = None;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("range: bytes=") {
                range = value.trim().split_once('-').map(|(a, b)| (a.parse().unwrap_or(0), b.parse().ok()));
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default().to_string();
        if path == format!("/api/datasets/{REPOSITORY}/revision/main") {
            let body =
                r#"{"siblings":[{"rfilename":"README.md"},{"rfilename":"data/train-0.parquet"}],"sha":"c0ffee"}"#;
            write!(
                out,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )?;
        } else if path == format!("/datasets/{REPOSITORY}/resolve/main/data/train-0.parquet") {
            let (start, end): (usize, Option<usize>) = range.unwrap_or((0, None));
            let end = end.unwrap_or(file.len() - 1).min(file.len() - 1);
            write!(
                out,
                "HTTP/1.1 206 Partial Content\r\nx-repo-commit: c0ffee\r\netag: \"abc\"\r\n\
                 content-range: bytes {start}-{end}/{}\r\ncontent-length: {}\r\n\r\n",
                file.len(),
                end + 1 - start
            )?;
            out.write_all(&file[start..=end])?;
        } else {
            write!(out, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?;
        }
        out.flush()?;
    }
}

#[test]
fn a_data_set_comes_from_the_hub_and_then_from_its_cache() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::read(root.join("data_manifests/embedded/icons.parquet")).expect("reads");
    let home = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let file = file.clone();
            std::thread::spawn(move || serve(stream, &file));
        }
    });
    // SAFETY: this file has one test, and no other thread of it reads the environment.
    unsafe {
        std::env::set_var("HF_HOME", home.path());
        std::env::set_var("HF_ENDPOINT", &address);
        std::env::remove_var("HF_TOKEN");
        std::env::remove_var("HF_HUB_OFFLINE");
    }
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
}
