//! The rows of a suite, for a report.

use super::{ResultRow, frame, read_rows, read_runs, runs_frame, to_csv, write_rows, write_runs};
use crate::error::{Error, Result};
use crate::storage;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Copies the rows that experiments have left in `current` (a suite's folder) and that `counts` today into `out`, with a CSV
/// beside each; gives the files written.
///
/// # Errors
/// A file that cannot be read as rows, or a folder that cannot be written.
pub fn export(current: &Path, out: &Path, counts: impl Fn(&ResultRow) -> bool) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for path in files_in(current)? {
        let mut rows = read_rows(&path)?;
        rows.retain(&counts);
        let copy = out.join(path.file_name().unwrap_or_default());
        write_rows(&copy, &rows)?;
        let csv = copy.with_extension("csv");
        storage::write_atomic(&csv, &to_csv(&frame(&rows)?)?)?;
        written.extend([copy, csv]);
        written.extend(export_runs(&path, out, &rows)?);
    }
    Ok(written)
}

/// Copies how the runs behind `rows` went, from beside the rows at `path`; nothing where nothing was trained.
fn export_runs(path: &Path, out: &Path, rows: &[ResultRow]) -> Result<Vec<PathBuf>> {
    let path = path.with_extension("runs.parquet");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let keys: HashSet<&str> = rows.iter().map(|row| row.cell.key.as_str()).collect();
    let mut runs = read_runs(&path)?;
    runs.retain(|run| keys.contains(run.key.as_str()));
    let copy = out.join(path.file_name().unwrap_or_default());
    write_runs(&copy, &runs)?;
    let csv = copy.with_extension("csv");
    storage::write_atomic(&csv, &to_csv(&runs_frame(&runs)?)?)?;
    Ok(vec![copy, csv])
}

/// All rows that experiments have left in a suite's folder; none where it is not there.
///
/// # Errors
/// A file that cannot be read as rows.
pub fn rows_in(current: &Path) -> Result<Vec<ResultRow>> {
    let rows = files_in(current)?.iter().map(|path| read_rows(path)).collect::<Result<Vec<_>>>()?;
    Ok(rows.concat())
}

/// What stands beside the rows of an experiment, by the end of its stem.
const BESIDE: [&str; 3] = [".shipped", ".runs", ".right"];

/// The files `<experiment>.parquet` of a folder, sorted; an experiment may be of a data set whose id has points.
pub(super) fn files_in(current: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = paths_in(current)?;
    paths.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.strip_suffix(".parquet").filter(|stem| !stem.is_empty() && !stem.starts_with('.'));
        stem.is_some_and(|stem| BESIDE.iter().all(|ending| !stem.ends_with(ending)))
    });
    Ok(paths)
}

/// What is in a folder, sorted; nothing where it is not there.
///
/// # Errors
/// A folder that cannot be read.
pub(crate) fn paths_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>());
    match paths {
        Ok(mut paths) => {
            paths.sort();
            Ok(paths)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io(folder, "reading the folder")(error)),
    }
}
