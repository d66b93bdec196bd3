//! Files written whole or not at all, locks between processes, and content hashes.
//!
//! A reader never sees half a file: bytes go to a temporary file beside the target, are flushed to the disk, and are
//! renamed over it. A full disk or a kill leaves the old file, or none.

use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Writes `bytes` to `path`, whole or not at all; folders above it are made.
///
/// # Errors
/// [`Error::Io`] with the path, for instance where the folder is read-only or the disk is full. The old file stays.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path, |file| file.write_all(bytes).map_err(Error::io(path, "writing")))
}

/// Like [`write_atomic`], with the bytes written by `fill` into the temporary file.
pub fn write_atomic_with(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
    let mut temporary = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(folder)
        .map_err(Error::io(folder, "creating a temporary file"))?;
    fill(temporary.as_file_mut())?;
    temporary.as_file_mut().sync_all().map_err(Error::io(path, "flushing"))?;
    make_readable(temporary.as_file()).map_err(Error::io(path, "setting permissions"))?;
    temporary.persist(path).map_err(|failed| Error::io(path, "renaming into place")(failed.error))?;
    Ok(())
}

/// Temporary files are private to their owner; results are for everyone who may read the folder.
#[cfg(unix)]
fn make_readable(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// An exclusive lock between processes, held until dropped.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock `.lock` in `folder`, which is created. Where another process holds it, `waiting` is called once
    /// and the call blocks until that process is done.
    pub fn acquire(folder: &Path, waiting: impl FnOnce()) -> Result<FolderLock> {
        fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
        let path = folder.join(".lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io(&path, "opening the lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                file.lock().map_err(Error::io(&path, "locking"))?;
            }
            Err(TryLockError::Error(source)) => return Err(Error::io(&path, "locking")(source)),
        }
        Ok(FolderLock { _file: file })
    }
}

/// SHA-256 of `bytes`, as 64 lower-case hexadecimal digits.
///
/// ```
/// let hash = wider_clip::storage::sha256_hex(b"abc");
/// assert_eq!(&hash[..16], "ba7816bf8f01cfea");
/// ```
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file, read in pieces.
pub fn sha256_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path, "opening"))?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0u8; 1 << 20];
    loop {
        let n = file.read(&mut piece).map_err(Error::io(path, "reading"))?;
        if n == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&piece[..n]);
    }
}

/// How a file stands: its length and the time of its last change. Where both are as they were, its bytes are taken to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Bytes.
    pub length: u64,
    /// When it was last changed; `None` on a system that does not tell.
    pub changed: Option<SystemTime>,
}

impl Standing {
    /// Of the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that is not there or may not be looked at.
    pub fn of(path: &Path) -> Result<Standing> {
        let metadata = fs::metadata(path).map_err(Error::io(path, "looking at"))?;
        Ok(Standing { length: metadata.len(), changed: metadata.modified().ok() })
    }

    /// Whether the file at `path` still stands so.
    ///
    /// # Errors
    /// [`Error::Data`] for one that does not: it must be opened again, so that nothing is kept under the hash of what it
    /// was. [`Error::Io`] as [`Standing::of`].
    pub fn check(&self, path: &Path) -> Result<()> {
        let now = Standing::of(path)?;
        match now == *self {
            true => Ok(()),
            false => Err(changed(path)),
        }
    }
}

/// A file that was changed while it was in use.
pub fn changed(path: &Path) -> Error {
    Error::data(path, "the file as it was when it was opened", "another one; open the data set again")
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where features are cached: the folder named by `WIDER_CLIP_CACHE`, else `.wider-clip/cache` under `root`.
pub fn cache_folder(root: &Path) -> PathBuf {
    match std::env::var_os("WIDER_CLIP_CACHE") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => root.join(".wider-clip").join("cache"),
    }
}

/// Where result rows are kept: the folder named by `WIDER_CLIP_RESULTS`, else `results` under `root`.
pub fn results_folder(root: &Path) -> PathBuf {
    match std::env::var_os("WIDER_CLIP_RESULTS") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => root.join("results"),
    }
}
