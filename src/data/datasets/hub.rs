//! Parquet data sets from the Hugging Face hub, through [`crate::hub`].

use crate::error::{Error, Result};
use crate::hub::{Client, check_file};
use hf_hub::{Repo, RepoType};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file of a hub repository, now on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubFile {
    /// The published part it holds: `train`, `test`, ...
    pub part: String,
    /// Where it lies in the hub's cache.
    pub path: PathBuf,
}

/// Fetches the Parquet files of data set `repo` at `revision`. `files` maps a part to file names, or patterns with
/// one `*`, which take every matching file of the repository in sorted order.
pub(super) fn fetch_dataset(repo: &str, revision: &str, files: &BTreeMap<String, Vec<String>>) -> Result<Vec<HubFile>> {
    let handle = Repo::with_revision(repo.to_string(), RepoType::Dataset, revision.to_string());
    let client = Client::from_env()?;
    let listing = match files.values().flatten().any(|pattern| pattern.contains('*')) {
        false => Vec::new(),
        true if client.offline() => cached_names(&client.snapshot(&handle)),
        true => client.info(&handle)?.siblings.into_iter().map(|sibling| sibling.rfilename).collect(),
    };
    let mut fetched = Vec::new();
    for (part, pattern) in patterns(files) {
        for name in matching(repo, pattern, &listing)? {
            fetched.push(HubFile { part: part.to_string(), path: client.obtain(&handle, &name)? });
        }
    }
    Ok(fetched)
}

/// Part and pattern, one pair a pattern.
fn patterns(files: &BTreeMap<String, Vec<String>>) -> impl Iterator<Item = (&str, &str)> {
    files.iter().flat_map(|(part, patterns)| patterns.iter().map(move |pattern| (part.as_str(), pattern.as_str())))
}

/// Names of the files that the cache holds at the revision, relative to the snapshot.
fn cached_names(snapshot: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![snapshot.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => names.push(super::folder::below(snapshot, &path)),
            }
        }
    }
    names
}

/// The names in `listing` that `pattern` (with at most one `*`) describes, sorted.
fn matching(repo: &str, pattern: &str, listing: &[String]) -> Result<Vec<String>> {
    let Some((head, tail)) = pattern.split_once('*') else {
        return Ok(vec![pattern.to_string()]);
    };
    let fits = |name: &&String| name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail);
    let mut names: Vec<String> = listing.iter().filter(fits).cloned().collect();
    names.sort();
    // A server that lists a file outside its repository is not to be trusted with any.
    names.iter().try_for_each(|name| check_file(repo, name))?;
    if names.is_empty() {
        return Err(Error::Download {
            from: repo.into(),
            reason: format!("no file matches `{pattern}` among {}", listing.len()),
            advice: "Look at the repository's file list and correct `files` in the data set's manifest".into(),
        });
    }
    Ok(names)
}
