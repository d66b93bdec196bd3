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

/// Fetches the Parquet files of data set `repo` at `revision`, all of one commit. `files` maps a part to file names, or patterns
/// with one `*`, which take every matching file of the repository in sorted order. What the cache holds of all names is used
/// without asking the hub; for a pattern it is asked which commit the revision is today.
pub(super) fn fetch_dataset(repo: &str, revision: &str, files: &BTreeMap<String, Vec<String>>) -> Result<Vec<HubFile>> {
    let handle = Repo::with_revision(repo.to_string(), RepoType::Dataset, revision.to_string());
    let client = Client::from_env()?;
    let has_pattern = files.values().flatten().any(|pattern| pattern.contains('*'));
    let (commit, listing) = match has_pattern {
        _ if client.offline() => {
            let commit = client.cached_commit(&handle);
            let listing = if has_pattern { known_names(&client, &handle, &commit) } else { Vec::new() };
            (commit, listing)
        }
        false if named(files).all(|(_, name)| client.snapshot(&handle).join(name).is_file()) => {
            (client.cached_commit(&handle), Vec::new())
        }
        _ => {
            let info = client.info(&handle)?;
            let names: Vec<String> = info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
            client.keep_names(&handle, &info.sha, &names);
            (info.sha, names)
        }
    };
    let mut parts: BTreeMap<String, &str> = BTreeMap::new();
    let mut wanted = Vec::new();
    for (part, pattern) in named(files) {
        for name in matching(repo, pattern, &listing)? {
            if let Some(other) = parts.insert(name.clone(), part) {
                let found = format!("`{name}` in {other} and again in {part}");
                return Err(Error::argument("files", format!("each file of {repo} once"), found));
            }
            wanted.push((part, name));
        }
    }
    let fetched = wanted
        .into_iter()
        .map(|(part, name)| Ok(HubFile { part: part.to_string(), path: client.obtain_of(&handle, &commit, &name)? }));
    let fetched = fetched.collect::<Result<Vec<_>>>()?;
    // Last: a commit that is noted is there in whole.
    client.write_ref(&handle, &commit)?;
    Ok(fetched)
}

/// Part and name or pattern, in pairs.
fn named(files: &BTreeMap<String, Vec<String>>) -> impl Iterator<Item = (&str, &str)> {
    files.iter().flat_map(|(part, patterns)| patterns.iter().map(move |pattern| (part.as_str(), pattern.as_str())))
}

/// The names of the files of a commit, without asking: as they were listed when it was fetched; of a cache that another program
/// filled, what lies there.
fn known_names(client: &Client, handle: &Repo, commit: &str) -> Vec<String> {
    client.kept_names(handle, commit).unwrap_or_else(|| {
        let names = cached_names(&client.snapshot(handle));
        let (n, repo) = (names.len(), handle.url());
        wider_clip_numbers::say!(
            "{repo}: which files it has is not known offline; the {n} in the cache are taken for all"
        );
        names
    })
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

/// The names in `listing` that `pattern` describes, sorted; `*` is any run of characters but `/`.
fn matching(repo: &str, pattern: &str, listing: &[String]) -> Result<Vec<String>> {
    if !pattern.contains('*') {
        return Ok(vec![pattern.to_string()]);
    }
    let (head, tail) = (pattern.split('*').next().unwrap_or_default(), pattern.rsplit('*').next().unwrap_or_default());
    let mut names: Vec<String> =
        listing.iter().filter(|name| name.starts_with(head) && name.ends_with(tail)).cloned().collect();
    names.sort();
    // A server that lists a file outside its repository is not to be trusted with any.
    names.iter().try_for_each(|name| check_file(repo, name))?;
    names.retain(|name| fits(pattern, name));
    if names.is_empty() {
        return Err(Error::Download {
            from: repo.into(),
            reason: format!("no file matches `{pattern}` among {}", listing.len()),
            advice: "Look at the repository's file list and correct `files` in the data set's manifest".into(),
        });
    }
    Ok(names)
}

/// Whether a name is as a pattern says, folder by folder.
fn fits(pattern: &str, name: &str) -> bool {
    let part = |(pattern, name): (&str, &str)| {
        let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
        let Some(mut name) = name.strip_prefix(head) else { return false };
        let (middles, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The first place of each piece leaves the most for those behind it.
        for piece in middles.split('*') {
            match name.find(piece) {
                Some(at) => name = &name[at + piece.len()..],
                None => return false,
            }
        }
        name.ends_with(tail)
    };
    pattern.split('/').count() == name.split('/').count() && pattern.split('/').zip(name.split('/')).all(part)
}
