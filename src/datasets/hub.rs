//! Parquet data sets from the Hugging Face hub, through the `hf-hub` crate.
//!
//! Honours `HF_HOME` (cache), `HF_TOKEN`, `HF_ENDPOINT` (a mirror) and `HF_HUB_OFFLINE` (cache only). hf-hub writes a
//! download under a temporary name and renames it, so a half-written file is never used.

use crate::error::{Error, Result};
use hf_hub::api::sync::{Api, ApiBuilder};
use hf_hub::{Cache, Repo, RepoType};
use std::collections::BTreeMap;
use std::path::PathBuf;

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
    if offline() {
        return fetch_from_cache(repo, handle, files);
    }
    let api = api(repo)?;
    let repository = api.repo(handle);
    let listing = match files.values().flatten().any(|pattern| pattern.contains('*')) {
        false => Vec::new(),
        true => {
            let info = repository.info().map_err(|error| failed(repo, revision, &error))?;
            info.siblings.into_iter().map(|sibling| sibling.rfilename).collect()
        }
    };
    let mut fetched = Vec::new();
    for (part, pattern) in patterns(files) {
        for name in matching(repo, pattern, &listing)? {
            let path = repository.get(&name).map_err(|error| failed(&format!("{repo}/{name}"), revision, &error))?;
            fetched.push(HubFile { part: part.to_string(), path });
        }
    }
    Ok(fetched)
}

/// Part and pattern, one pair a pattern.
fn patterns(files: &BTreeMap<String, Vec<String>>) -> impl Iterator<Item = (&str, &str)> {
    files.iter().flat_map(|(part, patterns)| patterns.iter().map(move |pattern| (part.as_str(), pattern.as_str())))
}

fn fetch_from_cache(repo: &str, handle: Repo, files: &BTreeMap<String, Vec<String>>) -> Result<Vec<HubFile>> {
    let cache = Cache::from_env().repo(handle);
    let mut found = Vec::new();
    for (part, pattern) in patterns(files) {
        let names = match pattern.contains('*') {
            false => vec![pattern.to_string()],
            true => matching(repo, pattern, &cached_names(&cache))?,
        };
        for name in names {
            let path = cache.get(&name).ok_or_else(|| Error::Download {
                from: format!("{repo}/{name}"),
                reason: "not in the cache, and HF_HUB_OFFLINE is set".into(),
                advice: "Unset HF_HUB_OFFLINE to download it, or set HF_HOME to a cache that holds it".into(),
            })?;
            found.push(HubFile { part: part.to_string(), path });
        }
    }
    Ok(found)
}

/// Names of the files that the cache holds at the revision, relative to the snapshot.
fn cached_names(cache: &hf_hub::CacheRepo) -> Vec<String> {
    let Some(snapshot) = cache.get("").filter(|folder| folder.is_dir()) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    let mut folders = vec![snapshot.clone()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => names.push(super::folder::below(&snapshot, &path)),
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
    if names.is_empty() {
        return Err(Error::Download {
            from: repo.into(),
            reason: format!("no file matches `{pattern}` among {}", listing.len()),
            advice: "Look at the repository's file list and correct `files` in the data set's manifest".into(),
        });
    }
    Ok(names)
}

/// The hub's client, with the environment's cache, endpoint and token.
fn api(repo: &str) -> Result<Api> {
    let mut builder = ApiBuilder::from_env().with_progress(false).with_retries(3);
    if let Some(token) = std::env::var("HF_TOKEN").ok().filter(|token| !token.is_empty()) {
        builder = builder.with_token(Some(token));
    }
    builder.build().map_err(|error| failed(repo, "", &error))
}

fn offline() -> bool {
    std::env::var("HF_HUB_OFFLINE").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false" | "no"))
}

fn failed(from: &str, revision: &str, error: &dyn std::fmt::Display) -> Error {
    let from = if revision.is_empty() { from.into() } else { format!("{from} at revision {revision}") };
    Error::Download {
        from,
        reason: error.to_string(),
        advice: "Check the network, the name and the revision; gated data needs HF_TOKEN; a mirror goes in HF_ENDPOINT"
            .into(),
    }
}
