//! Weights of a model repository, held to the lock.

use super::client::{Client, at, from};
use super::lock::{Lock, Locked, differs, is_commit, record};
use super::names::{check_file, check_handle, shown};
use super::verify::{is_sha256, size_and_sha256};
use crate::error::{Error, Result};
use hf_hub::{Repo, RepoType};
use std::fs;
use std::path::{Path, PathBuf};

/// A weights file in the hub's cache, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubWeights {
    /// Where it lies.
    pub path: PathBuf,
    /// Which of the alternatives it is: its path in the repository.
    pub file: String,
    /// The commit that it is from.
    pub commit: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 in lower-case hex.
    pub sha256: String,
}

/// Fetches weights of model repository `repo`: the first of `files` that the lock file at `lock` knows for this
/// revision, else the first that the repository has at `revision`, which is then recorded in the lock.
///
/// A file that the lock knows comes from its commit: from the cache without asking the hub, else by a download of that
/// commit. Size and hash are always those of the lock; a file in the cache is hashed again only when its size or its
/// time of change is another than at the last time.
///
/// # Errors
/// [`Error::Download`], which says what to do: no such repository, revision or file; a repository that is private or
/// gated; a server that is not reached or breaks off; a file that differs from the lock, or from what the server
/// announced; a full disk; a file that is not in the cache while `HF_HUB_OFFLINE` is set. [`Error::Data`] if the lock
/// cannot be read.
pub fn fetch_model(lock: &Path, repo: &str, revision: &str, files: &[String]) -> Result<HubWeights> {
    if files.is_empty() {
        return Err(Error::argument("files", "at least one file of the repository", "none"));
    }
    let hub = Client::from_env()?;
    let handle = Repo::with_revision(repo.into(), RepoType::Model, revision.into());
    check_handle(&handle)?;
    files.iter().try_for_each(|file| check_file(repo, file))?;
    for lock in [Some(lock.to_path_buf()), own_lock()].into_iter().flatten() {
        if let Some(entry) = Lock::read(&lock)?.find(repo, revision, files) {
            return locked(&hub, &lock, &at(&handle, &entry.commit), entry);
        }
    }
    let weights = match hub.offline() {
        true => first_in_cache(&hub, &handle, files)?,
        false => first_on_hub(&hub, &handle, files)?,
    };
    let HubWeights { file, commit, size, sha256, .. } = weights.clone();
    let entry = Locked { repo: repo.into(), revision: revision.into(), file, commit, size, sha256 };
    match (record(lock, entry.clone()), own_lock()) {
        (Err(error), Some(own)) if error.is_refusal() => record(&own, entry)?,
        (recorded, _) => recorded?,
    }
    Ok(weights)
}

/// The lock of a user to whom the project is not theirs to write.
fn own_lock() -> Option<PathBuf> {
    crate::storage::own_state().map(|state| state.join("hub.lock"))
}

/// The file that [`fetch_model`] would find without a download, unchecked, if there is one.
pub fn model_in_cache(lock: &Path, repo: &str, revision: &str, files: &[String]) -> Option<PathBuf> {
    let handle = Repo::with_revision(repo.into(), RepoType::Model, revision.into());
    let folder = super::cache().path().join(handle.folder_name());
    let locks = [Some(lock.to_path_buf()), own_lock()].into_iter().flatten().map(|lock| Lock::read(&lock));
    let locks = locks.collect::<Result<Vec<_>>>().ok()?;
    match locks.iter().find_map(|lock| lock.find(repo, revision, files)) {
        Some(entry) => Some(snapshot(&folder, &entry.commit).join(&entry.file)).filter(|path| path.is_file()),
        None => files
            .iter()
            .map(|file| snapshot(&folder, &cached_commit(&folder, revision)).join(file))
            .find(|path| path.is_file()),
    }
}

/// The file of a lock's entry; `handle` is at the entry's commit.
fn locked(hub: &Client, lock: &Path, handle: &Repo, entry: &Locked) -> Result<HubWeights> {
    let path = snapshot(&hub.folder(handle), &entry.commit).join(&entry.file);
    let weights = |path: PathBuf| {
        let Locked { file, commit, size, sha256, .. } = entry.clone();
        HubWeights { path, file, commit, size, sha256 }
    };
    let check = |path: &Path| {
        // The length first: a file of another length need not be hashed.
        let size = fs::metadata(path).map_err(Error::io(path, "reading"))?.len();
        let sha256 = match size == entry.size {
            true => size_and_sha256(path, &hub.notes(handle))?.1,
            false => String::new(),
        };
        match (size, &sha256) == (entry.size, &entry.sha256) {
            true => Ok(()),
            false => {
                let damaged = "If the file is damaged, delete it and run this again. ";
                Err(differs(lock, entry, size, &sha256, &path.display().to_string(), damaged))
            }
        }
    };
    if path.is_file() {
        check(&path)?;
        return Ok(weights(path));
    }
    if hub.offline() {
        return Err(hub.not_cached(handle, &entry.file));
    }
    let announced = hub.announced(handle, &entry.file).map_err(|fault| {
        match fault.code() == Some(404) && hub.has_main(handle) {
            true => Error::Download {
                from: entry.name(),
                reason: format!("commit {}, which {} names, is not there any more", entry.commit, lock.display()),
                advice: "To accept what the revision holds today, delete the entry".into(),
            },
            false => hub.failed(handle, &entry.file, fault),
        }
    })?;
    same_commit(handle, &entry.file, &announced.commit)?;
    let sha256 = announced.sha256.as_ref().unwrap_or(&entry.sha256);
    let size = announced.size.unwrap_or(entry.size);
    if size != entry.size || *sha256 != entry.sha256 {
        let what = "what the server announces";
        return Err(differs(lock, entry, size, sha256, what, "A mirror may be at fault (HF_ENDPOINT). "));
    }
    let path = hub.download(handle, &entry.file, &announced)?;
    check(&path)?;
    Ok(weights(path))
}

/// The first of `files` that the repository has, downloaded unless it is in the cache.
fn first_on_hub(hub: &Client, handle: &Repo, files: &[String]) -> Result<HubWeights> {
    let info = hub.info(handle)?;
    let names: Vec<&str> = info.siblings.iter().map(|sibling| sibling.rfilename.as_str()).collect();
    let Some(file) = files.iter().find(|file| names.contains(&file.as_str())) else {
        return Err(none_there(handle, files, &names));
    };
    let at_commit = at(handle, &info.sha);
    let mut path = snapshot(&hub.folder(handle), &info.sha).join(file);
    if !path.is_file() {
        let announced = hub.announced(&at_commit, file).map_err(|fault| hub.failed(&at_commit, file, fault))?;
        same_commit(&at_commit, file, &announced.commit)?;
        path = hub.download(&at_commit, file, &announced)?;
    }
    let weights = cached(hub, &at_commit, file, path, info.sha)?;
    // So that the revision is found offline too, also by other programs.
    hub.write_ref(handle, &weights.commit)?;
    Ok(weights)
}

/// The first of `files` that the cache holds at the revision.
fn first_in_cache(hub: &Client, handle: &Repo, files: &[String]) -> Result<HubWeights> {
    let folder = hub.folder(handle);
    let commit = cached_commit(&folder, handle.revision());
    let find = |file: &&String| snapshot(&folder, &commit).join(file).is_file();
    match files.iter().find(find) {
        Some(file) => cached(hub, handle, file, snapshot(&folder, &commit).join(file), commit),
        None => Err(hub.not_cached(handle, &files.join(" or "))),
    }
}

/// A file of the cache that no lock knows yet.
fn cached(hub: &Client, handle: &Repo, file: &str, path: PathBuf, commit: String) -> Result<HubWeights> {
    let (size, sha256) = check_content(hub, handle, file, &path)?;
    Ok(HubWeights { path, file: file.into(), commit, size, sha256 })
}

/// Size and hash of a file of the cache, which names the content of large files by its SHA-256: the name that the link in the
/// snapshot has, whatever lies behind it (Python's client keeps some of them elsewhere, under another name).
///
/// # Errors
/// Another content.
pub(super) fn check_content(hub: &Client, handle: &Repo, file: &str, path: &Path) -> Result<(u64, String)> {
    let (size, sha256) = size_and_sha256(path, &hub.notes(handle))?;
    let name = fs::read_link(path).unwrap_or_else(|_| path.to_path_buf());
    let name = name.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if is_sha256(&name) && name != sha256 {
        return Err(Error::Download {
            from: from(handle, file),
            reason: format!("expected SHA-256 {name}, found {sha256} in {}", path.display()),
            advice: "The file is damaged: delete it and run this again".into(),
        });
    }
    Ok((size, sha256))
}

/// The commit that the cache has for a revision: a commit itself, or what the branch was when it was last asked for.
pub(super) fn cached_commit(folder: &Path, revision: &str) -> String {
    let branch = fs::read_to_string(folder.join("refs").join(revision)).ok().map(|commit| commit.trim().to_string());
    branch.filter(|commit| is_commit(commit)).unwrap_or_else(|| revision.to_string())
}

pub(super) fn snapshot(folder: &Path, commit: &str) -> PathBuf {
    folder.join("snapshots").join(commit)
}

/// A server that answers for another commit than the one asked for is not to be trusted with it.
pub(super) fn same_commit(handle: &Repo, file: &str, found: &str) -> Result<()> {
    if found == handle.revision() { Ok(()) } else { Err(wrong_commit(handle, file, found)) }
}

fn wrong_commit(handle: &Repo, file: &str, found: &str) -> Error {
    Error::Download {
        from: from(handle, file),
        reason: format!("the server answers for commit `{found}`"),
        advice: "Check the mirror in HF_ENDPOINT".into(),
    }
}

/// The error for a repository without any of the files; lists what looks like weights.
fn none_there(handle: &Repo, files: &[String], names: &[&str]) -> Error {
    let endings = [".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".npz", ".index.json"];
    let like: Vec<&str> = names.iter().copied().filter(|name| endings.iter().any(|end| name.ends_with(end))).collect();
    let index = like.iter().find(|name| name.ends_with(".index.json")).map(|name| {
        match files.iter().any(|file| file.contains("-of-")) {
            true => format!(
                "The index `{name}` names a file that the repository has not: tell its owner, or take another revision"
            ),
            false => {
                format!("The weights lie in several files there: name their index, `{name}`, in `weights.hub.files`")
            }
        }
    });
    let like =
        if like.is_empty() { format!("nothing like it among {} files", names.len()) } else { shown(&like.join(", ")) };
    Error::Download {
        from: from(handle, ""),
        reason: format!("expected {}, found {like}", files.join(" or ")),
        advice: index.unwrap_or_else(|| "Correct `weights.hub.files` in the model's manifest, or its revision".into()),
    }
}
