//! What must hold of manifests, the lock, and what a hub says.

use super::{answer, fresh, holds};
use crate::readers::Check;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use wider_clip::hub;
use wider_clip::manifest::Manifests;

/// A project whose folder of one kind of manifest holds the input alone, and the repository's own for the rest.
fn manifests(place: &Path, kind: &'static str, show: fn(&Manifests) -> String) -> Check {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests");
    let folder = place.join("data_manifests");
    fresh(&folder);
    for other in ["datasets", "models", "suites", "embedded"] {
        let at = folder.join(other);
        // Only a suite needs the others.
        match (other == kind, other == "embedded" || (kind == "suites" && other != "suites")) {
            (false, true) => std::os::unix::fs::symlink(own.join(other), at).expect("a link"),
            _ => fs::create_dir_all(at).expect("a folder"),
        }
    }
    let (root, folder) = (place.to_path_buf(), folder.join(kind));
    Box::new(move |bytes| {
        fresh(&folder);
        let text = String::from_utf8_lossy(bytes);
        let id = text.lines().find_map(|line| line.strip_prefix("id = \"")?.split('"').next()).unwrap_or("a");
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let id = if id.is_empty() || id.len() > 100 || !id.chars().all(plain) { "a" } else { id };
        let path = folder.join(format!("{id}.toml"));
        fs::write(&path, bytes).expect("a file");
        let Some(found) = answer(Manifests::load(&root))? else { return Ok(false) };
        // The same values written in another way are the same record.
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        fs::write(&path, toml::to_string(&table).map_err(|error| error.to_string())?).expect("a file");
        let again = Manifests::load(&root).map_err(|error| format!("written again it is refused: {error}"))?;
        holds(show(&again) == show(&found), "written and read again alike")?;
        Ok(true)
    })
}

pub fn dataset(place: &Path) -> Check {
    manifests(place, "datasets", |all| format!("{:?}", all.datasets().collect::<Vec<_>>()))
}

pub fn model(place: &Path) -> Check {
    manifests(place, "models", |all| format!("{:?}", all.models().collect::<Vec<_>>()))
}

pub fn suite(place: &Path) -> Check {
    manifests(place, "suites", |all| format!("{:?}", all.suites().collect::<Vec<_>>()))
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub fn lock_seeds() -> Vec<(String, Vec<u8>)> {
    let entry = |file: &str| {
        let sha256 = "ab".repeat(32);
        format!(
            "[[file]]\nrepo = \"a/b\"\nrevision = \"main\"\nfile = \"{file}\"\ncommit = \"{COMMIT}\"\nsize = 12\nsha256 = \"{sha256}\"\n"
        )
    };
    vec![("a lock".into(), (entry("model.safetensors") + &entry("pytorch_model.bin")).into_bytes())]
}

/// The lock is read by a look into the cache, which is empty but for the file that the seed names.
pub fn lock(place: &Path) -> Check {
    fresh(place);
    let path = place.join("hub.lock");
    let snapshot = hub::cache().path().join("models--a--b/snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).expect("a folder");
    fs::write(snapshot.join("model.safetensors"), b"twelve bytes").expect("a file");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        let files = ["model.safetensors".to_string()];
        let first = hub::model_in_cache(&path, "a/b", "main", &files);
        holds(hub::model_in_cache(&path, "a/b", "main", &files) == first, "read twice alike")?;
        let cache = hub::cache();
        holds(first.as_ref().is_none_or(|found| found.starts_with(cache.path())), "a file of the cache")?;
        Ok(first.is_some())
    })
}

/// A server that answers every question for a repository with the input, and knows nothing else.
pub fn listing(place: &Path) -> Check {
    fresh(place);
    let body = Arc::new(Mutex::new(Vec::new()));
    let endpoint = std::env::var("HF_ENDPOINT").expect("an address");
    let socket = std::net::TcpListener::bind(endpoint.trim_start_matches("http://")).expect("a port");
    let served = Arc::clone(&body);
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut asked = Vec::new();
            let mut piece = [0; 4096];
            while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(n) if n > 0 => asked.extend_from_slice(&piece[..n]),
                    _ => break,
                }
            }
            let (status, body) = match asked.starts_with(b"GET /api/models/") {
                true => ("200 OK", served.lock().expect("a body").clone()),
                false => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    let place = place.to_path_buf();
    Box::new(move |bytes| {
        *body.lock().expect("a body") = bytes.to_vec();
        let files = ["model.safetensors".to_string()];
        let found = answer(hub::fetch_model(&place.join("hub.lock"), "a/b", "main", &files))?;
        holds(found.is_none(), "no file comes of a list alone")?;
        holds(fs::read_dir(&place).expect("a folder").count() <= 1, "nothing but the lock")?;
        let home = place.parent().expect("a folder");
        let outside = fs::read_dir(home).expect("a folder").flatten().map(|entry| entry.file_name());
        holds(
            outside
                .into_iter()
                .all(|name| ["work", "hub", "state", "ticket", "stderr", ".cache"].iter().any(|known| name == *known)),
            "nothing outside of the cache",
        )?;
        Ok(false)
    })
}
