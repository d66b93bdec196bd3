//! The rows of a suite, for a report.

use super::{ResultRow, frame, read_rows, to_csv, write_rows};
use crate::error::Result;
use crate::storage;
use std::fs;
use std::path::{Path, PathBuf};

/// Copies the rows that experiments have left in `current` (a suite's folder) and that `counts` today into `out`, with a CSV
/// beside each; gives the files written.
///
/// # Errors
/// A file that cannot be read as rows, or a folder that cannot be written.
pub fn export(current: &Path, out: &Path, counts: impl Fn(&ResultRow) -> bool) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for path in files_in(current) {
        let mut rows = read_rows(&path)?;
        rows.retain(&counts);
        let copy = out.join(path.file_name().unwrap_or_default());
        write_rows(&copy, &rows)?;
        let csv = copy.with_extension("csv");
        storage::write_atomic(&csv, &to_csv(&frame(&rows)?)?)?;
        written.extend([copy, csv]);
    }
    Ok(written)
}

/// All rows that experiments have left in a suite's folder; none where it is not there.
///
/// # Errors
/// A file that cannot be read as rows.
pub fn rows_in(current: &Path) -> Result<Vec<ResultRow>> {
    let rows = files_in(current).iter().map(|path| read_rows(path)).collect::<Result<Vec<_>>>()?;
    Ok(rows.concat())
}

/// The files `<experiment>.parquet` of a folder, sorted.
pub(super) fn files_in(current: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(current) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_suffix(".parquet").is_some_and(|stem| !stem.is_empty() && !stem.contains('.'))
    });
    paths.sort();
    paths
}
