//! Fetches in processes of their own, since the environment decides: the test program again, at its test `child`.

// Each test file uses a part of it.
#![allow(dead_code)]

use super::hub_server::HubServer;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use tempfile::TempDir;
use wider_clip::hub::{fetch_model, model_in_cache};

pub const REPO: &str = "somebody/vit";
pub const FILES: &str = "model.safetensors,pytorch_model.bin";
pub const NOWHERE: &str = "http://127.0.0.1:9";
/// Commits.
pub const FIRST: &str = "c0ffee1000000000000000000000000000000000";
pub const SECOND: &str = "c0ffee2000000000000000000000000000000000";
pub const THIRD: &str = "c0ffee3000000000000000000000000000000000";
pub const OTHER: &str = "abc1230000000000000000000000000000000000";

/// What a fetch gave.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Fetched {
    pub path: PathBuf,
    pub file: String,
    pub commit: String,
    pub size: u64,
    pub sha256: String,
}

/// A cache and a lock file.
pub struct Place {
    pub folder: TempDir,
}

/// One fetch: where it asks and what is set.
pub struct Fetch<'a> {
    pub place: &'a Place,
    pub repo: &'a str,
    pub revision: &'a str,
    pub files: &'a str,
    pub environment: Vec<(&'static str, String)>,
}

impl Place {
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn lock(&self) -> PathBuf {
        self.folder.path().join("manifests/hub.lock")
    }

    pub fn lock_text(&self) -> String {
        fs::read_to_string(self.lock()).expect("a lock")
    }

    /// The cache's folder of `REPO`.
    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("home/hub/models--somebody--vit")
    }

    pub fn snapshot(&self, commit: &str, file: &str) -> PathBuf {
        self.cache().join("snapshots").join(commit).join(file)
    }

    /// The files under `blobs`, those that end in `ending`.
    pub fn blobs(&self, ending: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cache().join("blobs")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.display().to_string().ends_with(ending)).collect()
    }

    pub fn fetch(&self, address: &str) -> Fetch<'_> {
        let environment = vec![("HF_ENDPOINT", address.to_string())];
        Fetch { place: self, repo: REPO, revision: "main", files: FILES, environment }
    }
}

impl Fetch<'_> {
    pub fn set(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    pub fn result_file(&self) -> PathBuf {
        self.place.folder.path().join(format!("result-{}", self.repo.replace('/', "-")))
    }

    pub fn start(&self) -> Child {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "child", "--ignored", "--nocapture"]);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy().to_ascii_uppercase();
            if ["HF_", "HUGGING", "TRANSFORMERS_", "XDG_"].iter().any(|start| text.starts_with(start))
                || text.ends_with("_PROXY")
            {
                command.env_remove(name);
            }
        }
        // So that a silence, and the pauses between tries, are short.
        command.env("HF_HUB_ETAG_TIMEOUT", "1").env("HF_HUB_DOWNLOAD_TIMEOUT", "1");
        command.env("HF_HOME", self.place.folder.path().join("home")).envs(self.environment.iter().cloned());
        command.env("TEST_LOCK", self.place.lock()).env("TEST_RESULT", self.result_file());
        command.env("TEST_FETCH", [self.repo, self.revision, self.files].join("\n"));
        let output = fs::File::create(self.output_file()).expect("a file");
        command.stdout(output.try_clone().expect("a file")).stderr(output).spawn().expect("starts")
    }

    fn output_file(&self) -> PathBuf {
        self.result_file().with_extension("output")
    }

    /// What the last fetch of this repository printed.
    pub fn output(&self) -> String {
        fs::read_to_string(self.output_file()).expect("the output")
    }

    pub fn outcome(&self, mut child: Child) -> Result<Fetched, String> {
        let ended = child.wait().expect("ends");
        assert!(ended.success(), "the process failed: {}", self.output());
        let text = fs::read_to_string(self.result_file()).expect("a result");
        fs::remove_file(self.result_file()).expect("removes");
        // No secret is ever told: not the token, not what an address of the store is signed with, not a proxy's password.
        for told in [&text, &self.output()] {
            for secret in ["hf_", "signature", "password"] {
                let told = told.replace("HF_", "").replace("hf_hub", "");
                assert!(!told.contains(secret), "{secret}: {told}");
            }
        }
        serde_json::from_str(&text).expect("a result")
    }

    pub fn run(&self) -> Result<Fetched, String> {
        self.outcome(self.start())
    }

    pub fn ok(&self) -> Fetched {
        self.run().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The fetch fails, and the message has all of `parts`.
    pub fn fails(&self, parts: &[&str]) -> String {
        let error = self.run().expect_err("fails");
        for part in parts {
            assert!(error.contains(part), "{error}\nlacks\n{part}");
        }
        error
    }
}

/// What the process does that [`Fetch::start`] starts.
pub fn child() {
    let variable = |name: &str| std::env::var(name).expect("is set by the test that starts this one");
    // All ignored tests may be asked for.
    let Ok(fetch) = std::env::var("TEST_FETCH") else { return };
    let [repo, revision, files] = fetch.split('\n').collect::<Vec<_>>()[..] else { panic!("three lines") };
    let files: Vec<String> = files.split(',').map(String::from).collect();
    let lock = PathBuf::from(std::env::var("TEST_LOCK_OF").unwrap_or_else(|_| variable("TEST_LOCK")));
    #[cfg(target_os = "linux")]
    if std::env::var_os("TEST_NO_LINKS").is_some() {
        super::no_links::forbid();
    }
    if std::env::var_os("TEST_DATASET").is_some() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut record =
            wider_clip::manifest::Manifests::load(root).expect("loads").dataset("icons").expect("known").clone();
        let files = [("train".to_string(), files)].into();
        record.source = wider_clip::manifest::Source::Hub { repo: repo.into(), revision: revision.into(), files };
        let opened = wider_clip::datasets::open(root, lock.parent().expect("a folder"), &record);
        let found = opened.map_err(|error| error.to_string()).map(|set| Fetched {
            path: PathBuf::new(),
            file: set.data_sha256.clone(),
            commit: String::new(),
            size: set.len() as u64,
            sha256: String::new(),
        });
        return fs::write(variable("TEST_RESULT"), serde_json::to_vec(&found).expect("JSON")).expect("writes");
    }
    let found = fetch_model(&lock, repo, revision, &files).map_err(|error| error.to_string());
    if let Ok(found) = &found {
        assert_eq!(model_in_cache(&lock, repo, revision, &files).as_ref(), Some(&found.path));
    }
    let found = found.map(|found| {
        let wider_clip::hub::HubWeights { path, file, commit, size, sha256 } = found;
        Fetched { path, file, commit, size, sha256 }
    });
    fs::write(variable("TEST_RESULT"), serde_json::to_vec(&found).expect("JSON")).expect("writes");
}

/// A server with one commit of [`REPO`] in large file storage.
pub fn server(files: &[(&str, &[u8])]) -> HubServer {
    let server = HubServer::new();
    server.commit(REPO, "main", FIRST, files);
    server.change(REPO, |repository| repository.large = true);
    server
}

/// `n` bytes that differ with the seed.
pub fn bytes(n: usize, seed: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 31 + seed * 7 + i / 251) as u8).collect()
}
