//! The rows of a suite, for a report.

use super::{frame, read_rows, to_csv};
use crate::error::{Error, Result};
use crate::storage;
use std::fs;
use std::path::{Path, PathBuf};

/// Copies the rows that experiments have left in `current` (a suite's folder) into `out`, with a CSV beside each; gives the
/// files written. Stale rows are not among them.
///
/// # Errors
/// A file that cannot be read as rows, or a folder that cannot be written.
pub fn export(current: &Path, out: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    let Ok(entries) = fs::read_dir(current) else { return Ok(written) };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let of_rows = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_suffix(".parquet").is_some_and(|stem| !stem.is_empty() && !stem.contains('.'))
    };
    paths.retain(of_rows);
    paths.sort();
    for path in paths {
        let rows = read_rows(&path)?;
        let bytes = fs::read(&path).map_err(Error::io(&path, "reading"))?;
        let copy = out.join(path.file_name().unwrap_or_default());
        storage::write_atomic(&copy, &bytes)?;
        let csv = copy.with_extension("csv");
        storage::write_atomic(&csv, &to_csv(&frame(&rows)?)?)?;
        written.extend([copy, csv]);
    }
    Ok(written)
}
