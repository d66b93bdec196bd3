//! Files that are written where somebody says: what stands there already may be theirs.

use crate::error::{Error, Result};
use crate::storage::check_target;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// So much of a file is looked at.
const BEGINNING: u64 = 1 << 20;

/// Refuses a name under which there is a file of another kind than the one that is to be written: it would be lost to a slip of the
/// keyboard (`--csv *.jpg`). `is_one` is asked with the beginning of the file; an empty one may always go.
///
/// # Errors
/// [`Error::Data`] for another file, and as [`check_target`].
pub fn check_kind(path: &Path, kind: &str, is_one: impl FnOnce(&[u8]) -> bool) -> Result<()> {
    check_target(path)?;
    if !path.exists() {
        return Ok(());
    }
    let mut beginning = Vec::new();
    let file = File::open(path).map_err(Error::io(path, "opening"))?;
    file.take(BEGINNING).read_to_end(&mut beginning).map_err(Error::io(path, "reading"))?;
    match beginning.is_empty() || is_one(&beginning) {
        true => Ok(()),
        false => {
            let expected = format!("no file of that name, or {kind}, which is replaced");
            Err(Error::data(path, expected, "another file, which would be lost"))
        }
    }
}

/// Whether the beginning of a file holds a text.
pub fn holds(beginning: &[u8], text: &str) -> bool {
    beginning.windows(text.len().max(1)).any(|window| window == text.as_bytes())
}
