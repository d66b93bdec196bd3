//! The lock file: what each weights file was when it was first used.

use super::verify::is_sha256;
use crate::error::{Error, Result};
use crate::storage;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const HEAD: &str = "\
# Weights from the Hugging Face hub, as they were at their first use. Later uses must be the same to the byte.
# Delete an entry to accept what the revision holds today.
";

/// The lock file of the project at `root`: `data_manifests/hub.lock`.
pub fn lock_path(root: &Path) -> PathBuf {
    root.join("data_manifests").join("hub.lock")
}

/// One file of the lock.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Locked {
    pub(super) repo: String,
    pub(super) revision: String,
    pub(super) file: String,
    pub(super) commit: String,
    pub(super) size: u64,
    pub(super) sha256: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    #[serde(default)]
    file: Vec<Locked>,
}

/// The lock as it is on disk.
pub(super) struct Lock {
    entries: Vec<Locked>,
}

impl Locked {
    fn key(&self) -> (&str, &str, &str) {
        (&self.repo, &self.revision, &self.file)
    }

    /// In words, for messages.
    pub(super) fn name(&self) -> String {
        format!("{}/{} at revision {}", self.repo, self.file, self.revision)
    }

    /// Commit and hash become parts of paths and must be what they claim.
    fn check(&self) -> Result<(), String> {
        if !is_commit(&self.commit) {
            return Err(format!("the commit `{}` for {}", self.commit, self.name()));
        }
        match is_sha256(&self.sha256) {
            true => Ok(()),
            false => Err(format!("the SHA-256 `{}` for {}", self.sha256, self.name())),
        }
    }
}

/// Whether a text can be a commit, and so a folder of the cache.
pub(super) fn is_commit(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl Lock {
    /// Reads the lock; no file is an empty one.
    pub(super) fn read(path: &Path) -> Result<Lock> {
        let text = match std::fs::read_to_string(path) {
            Err(source) if source.kind() == ErrorKind::NotFound => String::new(),
            read => read.map_err(Error::io(path, "reading"))?,
        };
        let bad = |found: String| Error::data(path, "a lock of hub files as this program writes it", found);
        let Entries { file: entries } =
            toml::from_str(&text).map_err(|error| bad(error.to_string().trim().replace('\n', " ")))?;
        for (i, entry) in entries.iter().enumerate() {
            entry.check().map_err(bad)?;
            if entries[..i].iter().any(|other| other.key() == entry.key()) {
                return Err(bad(format!("two entries for {}", entry.name())));
            }
        }
        Ok(Lock { entries })
    }

    /// The entry of the first of `files` that has one.
    pub(super) fn find(&self, repo: &str, revision: &str, files: &[String]) -> Option<&Locked> {
        let entry = |file: &String| self.entries.iter().find(|entry| entry.key() == (repo, revision, file.as_str()));
        files.iter().find_map(entry)
    }
}

/// Adds an entry to the lock at `path`, whole or not at all, also while other processes do.
///
/// # Errors
/// [`Error::Download`] if meanwhile another process has recorded something else under the same name.
pub(super) fn record(path: &Path, entry: Locked) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _lock = storage::FolderLock::acquire(folder, || {
        wider_clip_numbers::say!("waiting for another process that writes the lock")
    })?;
    let mut entries = Lock::read(path)?.entries;
    match entries.iter().find(|other| other.key() == entry.key()) {
        Some(other) if *other == entry => return Ok(()),
        Some(other) => return Err(differs(path, other, entry.size, &entry.sha256, "what was just downloaded", "")),
        None => entries.push(entry),
    }
    entries.sort();
    let body = toml::to_string(&Entries { file: entries })
        .map_err(|error| Error::data(path, "entries that TOML can hold", error.to_string()))?;
    storage::write_atomic(path, format!("{HEAD}\n{body}").as_bytes())
}

/// The error for a file that is not what the lock says; `damaged` is what to do if the file is at fault.
pub(super) fn differs(path: &Path, entry: &Locked, size: u64, sha256: &str, what: &str, damaged: &str) -> Error {
    let (expected, found) = match size == entry.size {
        true => (format!("SHA-256 {}", entry.sha256), sha256.to_string()),
        false => (format!("{} bytes", entry.size), format!("{size}")),
    };
    Error::Download {
        from: entry.name(),
        reason: format!("expected {expected} (commit {}), found {found} in {what}", entry.commit),
        advice: format!("{damaged}To accept the new file, delete its entry in {}", path.display()),
    }
}
