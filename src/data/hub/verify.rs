//! Sizes and hashes of files in the cache.
//!
//! Hashing a gigabyte costs seconds, so the hash of a file is noted beside the cache with the file's size and time of
//! change, and taken from there while both are the same.

use crate::error::{Error, Result};
use crate::storage;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What a file was when it was hashed.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    path: String,
    size: u64,
    /// Time of the last change, in nanoseconds since 1970; and of the last of anything about the file, where the system tells:
    /// the first can be put back.
    changed: u64,
    #[serde(default)]
    touched: i64,
    sha256: String,
}

/// Size and SHA-256 of the file at `path`; the hash from the note in `notes` where the file has not changed since.
pub(super) fn size_and_sha256(path: &Path, notes: &Path) -> Result<(u64, String)> {
    let now = standing(path)?;
    let noted = fs::read(place(notes, &now.path)).ok().and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
    let standing = |note: &Note| (note.path.clone(), note.size, note.changed, note.touched);
    if let Some(note) = noted.filter(|note| standing(note) == standing(&now)) {
        return Ok((now.size, note.sha256));
    }
    let sha256 = storage::sha256_file(path)?;
    // Of the file as it was before: one that was put in its place meanwhile is hashed the next time.
    let size = now.size;
    note(&Note { sha256: sha256.clone(), ..now }, notes);
    Ok((size, sha256))
}

/// Notes the SHA-256 of the file at `path`, which was just found.
pub(super) fn remember(path: &Path, notes: &Path, sha256: &str) -> Result<()> {
    note(&Note { sha256: sha256.into(), ..standing(path)? }, notes);
    Ok(())
}

fn note(note: &Note, notes: &Path) {
    if let Ok(bytes) = serde_json::to_vec(note) {
        // A cache that cannot be written to costs the hash each time, and is no reason to stop.
        let _ = storage::write_atomic(&place(notes, &note.path), &bytes);
    }
}

/// The note of a file whose hash is not known yet.
fn standing(path: &Path) -> Result<Note> {
    let metadata = fs::metadata(path).map_err(Error::io(path, "reading"))?;
    let changed = metadata.modified().map_err(Error::io(path, "reading the time of change"))?;
    let changed = changed.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let touched = storage::touched(&metadata);
    Ok(Note { path: path.display().to_string(), size: metadata.len(), changed, touched, sha256: String::new() })
}

/// Where the note of a file is kept.
fn place(notes: &Path, path: &str) -> PathBuf {
    notes.join(format!("{}.json", &storage::sha256_hex(path.as_bytes())[..16]))
}

/// Whether a text is a SHA-256 in lower-case hex.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
