//! Files written whole or not at all, and content hashes.
//!
//! A reader never sees half a file: bytes go to a temporary file beside the target, are flushed to the disk, and are
//! renamed over it; then the folder is flushed, so that the new name is there after a power cut too. A full disk or a kill
//! leaves the old file, or none, and perhaps a temporary file, which the next one removes who locks the folder: at once where it
//! was of a process of this machine, else an hour later.

use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

pub use crate::lock::FolderLock;

/// What the names of temporary files begin with.
const TEMPORARY: &str = ".writing-";

/// So old is no temporary file that somebody still writes.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// Writes `bytes` to `path`, whole or not at all; folders above it are made. A file that is there keeps its permissions.
///
/// # Errors
/// [`Error::Io`] with the path, for instance where the folder is read-only or the disk is full. The old file stays.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path, |file| file.write_all(bytes).map_err(Error::io(path, "writing")))
}

/// Like [`write_atomic`], with the bytes written by `fill` into the temporary file.
pub fn write_atomic_with(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    check_target(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
    let mut temporary = temporary_builder()
        .prefix(&format!("{TEMPORARY}{}-", process_mark()))
        .tempfile_in(folder)
        .map_err(Error::io(folder, "creating a temporary file"))?;
    keep_permissions(path, temporary.path())?;
    fill(temporary.as_file_mut())?;
    temporary.as_file_mut().sync_all().map_err(Error::io(path, "flushing"))?;
    temporary.persist(path).map_err(|failed| Error::io(path, "renaming into place")(failed.error))?;
    sync_folder(folder)
}

/// Gives the file that will take the place of `path` the permissions of the regular file that is there: what its owner made private
/// stays so.
fn keep_permissions(path: &Path, temporary: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A link says nothing of who may read what it leads to, and is replaced by a file.
        let Some(old) = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file) else { return Ok(()) };
        let mode = |metadata: &fs::Metadata| metadata.permissions().mode() & 0o777;
        let new = fs::metadata(temporary).map_err(Error::io(temporary, "looking at"))?;
        if mode(&new) != mode(&old) {
            let permissions = fs::Permissions::from_mode(mode(&old));
            fs::set_permissions(temporary, permissions).map_err(Error::io(path, "keeping its permissions"))?;
        }
    }
    #[cfg(not(unix))]
    let _ = (path, temporary);
    Ok(())
}

/// Refuses what cannot be the name of a file to write: a folder, a device (whose name would go to the file), a place below a file.
/// To be asked before long work too. Who may write there, and whether the disk has room, only writing shows.
///
/// # Errors
/// [`Error::Data`] with what is there.
pub fn check_target(path: &Path) -> Result<()> {
    let refused = |found: &str| Err(Error::data(path, "the name of a file to write", found));
    match fs::metadata(path) {
        Ok(kind) if kind.is_file() => Ok(()),
        Ok(kind) if kind.is_dir() => refused("a folder"),
        Ok(_) => refused("a pipe, a socket or a device"),
        Err(_) if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
            refused("the name of a folder")
        }
        Err(_) => match path.ancestors().skip(1).find(|above| above.exists()).filter(|above| !above.is_dir()) {
            Some(above) => {
                Err(Error::data(path, "the name of a file to write", format!("a file, {}", above.display())))
            }
            None => Ok(()),
        },
    }
}

/// Temporary files that become results: as readable as the user's umask lets new files be.
fn temporary_builder() -> tempfile::Builder<'static, 'static> {
    #[allow(unused_mut)]
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}

/// Flushes the names in a folder to the disk. File systems that cannot flush a folder have nothing to flush.
///
/// # Errors
/// [`Error::Io`] where the disk says that it failed.
pub fn sync_folder(folder: &Path) -> Result<()> {
    // `file` has the folder `` as its parent.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    #[cfg(unix)]
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            return Err(Error::io(folder, "flushing")(error));
        }
        _ => {}
    }
    Ok(())
}

/// Removes what killed processes have left in `folder` half-written: entries whose name begins with `prefix`, last changed
/// `age` ago or earlier. What cannot be looked at or removed stays.
pub fn sweep(folder: &Path, prefix: &str, age: Duration) {
    let now = SystemTime::now();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let old = |changed: SystemTime| now.duration_since(changed).is_ok_and(|since| since >= age);
        let is_left = entry.file_name().to_string_lossy().starts_with(prefix)
            && entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(old);
        if is_left {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

/// The temporary files of [`write_atomic`] in a folder that nobody writes any more: those of processes of this machine that
/// are gone, and what is older than any write takes.
pub fn sweep_left_behind(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mark = name.strip_prefix(TEMPORARY).and_then(|rest| rest.rsplit_once('-'));
        if mark.is_some_and(|(mark, _)| is_gone(mark)) {
            let _ = fs::remove_file(entry.path());
        }
    }
    sweep(folder, TEMPORARY, LEFT_BEHIND);
}

/// Whether a file could not be written because nobody may, or this user may not.
pub fn is_read_only(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// This process among those of all machines: the machine, and the process on it.
pub(crate) fn process_mark() -> &'static str {
    static MARK: OnceLock<String> = OnceLock::new();
    MARK.get_or_init(|| format!("{}.{}", machine(), std::process::id()))
}

/// Whether a process with this mark ran on this machine and is gone. Of other machines nothing is known.
pub(crate) fn is_gone(mark: &str) -> bool {
    let of_here = mark.split_once('.').filter(|(of, _)| *of == machine());
    let process = of_here.and_then(|(_, process)| process.parse::<u32>().ok());
    // Where there is no /proc, machines are not told apart, and nothing is known either.
    process.is_some_and(|process| Path::new("/proc/self").exists() && !is_there(process))
}

/// Whether a process lives on this machine, whoever's it is: /proc may show those of others to nobody (`hidepid`).
#[cfg(unix)]
fn is_there(process: u32) -> bool {
    // 0 and what is negative stand for groups of processes, of which nothing is known.
    let Some(process) = libc::pid_t::try_from(process).ok().filter(|process| *process > 0) else { return true };
    // SAFETY: the signal 0 is sent to nobody; the system only says whether it could be.
    let answer = unsafe { libc::kill(process, 0) };
    answer == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

#[cfg(not(unix))]
fn is_there(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

/// Twelve digits for this machine since it was started, and for who counts processes on it, as each container does.
fn machine() -> &'static str {
    static MACHINE: OnceLock<String> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let counts = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        let started = text("/proc/sys/kernel/random/boot_id");
        let all = format!("{}{started}{}", text("/proc/sys/kernel/hostname"), counts.display());
        sha256_hex(all.as_bytes())[..12].to_string()
    })
}

/// Refuses what is there and no regular file: a pipe is waited for, and a device may have no end.
///
/// # Errors
/// [`Error::Data`] for a pipe, a socket or a device; [`Error::Io`] for what cannot be looked at. A folder passes: reading it says what
/// it is.
pub fn check_regular(path: &Path) -> Result<()> {
    let kind = fs::metadata(path).map_err(Error::io(path, "looking at"))?;
    match kind.is_file() || kind.is_dir() {
        true => Ok(()),
        false => Err(Error::data(path, "a file", "a pipe, a socket or a device")),
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

/// When anything about a file changed last, in nanoseconds since 1970: unlike the time of its content, no program can put it back.
/// 0 on a system that does not tell.
pub fn touched(metadata: &fs::Metadata) -> i64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        metadata.ctime().saturating_mul(1_000_000_000).saturating_add(metadata.ctime_nsec())
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        0
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

/// The folder that a variable names: `~` or `$HOME` in front is the home folder, also where no shell has put it there, and a
/// relative one lies in the folder that the program was started in.
pub fn named_folder(variable: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).filter(|folder| !folder.is_empty()).map(PathBuf::from)?;
    let rest = ["~", "$HOME", "${HOME}"].iter().find_map(|home| named.strip_prefix(home).ok());
    let named = match (rest, std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => named,
    };
    Some(std::path::absolute(&named).unwrap_or(named))
}

/// The variable that names a folder of one's own for everything that running writes, where the project's folder is shared between
/// users and not theirs to write.
pub const STATE_VARIABLE: &str = "WIDER_CLIP_STATE";

/// The folder of [`STATE_VARIABLE`], where it is set.
pub fn own_state() -> Option<PathBuf> {
    named_folder(STATE_VARIABLE)
}

/// Where features are cached: the folder named by `WIDER_CLIP_CACHE`, else `cache` in that of `WIDER_CLIP_STATE`, else
/// `.wider-clip/cache` under `root`.
pub fn cache_folder(root: &Path) -> PathBuf {
    match named_folder("WIDER_CLIP_CACHE") {
        Some(folder) => folder,
        None => own_state().unwrap_or_else(|| root.join(".wider-clip")).join("cache"),
    }
}

/// Where result rows are kept: the folder named by `WIDER_CLIP_RESULTS`, else `results` in that of `WIDER_CLIP_STATE`, else `results`
/// under `root`.
pub fn results_folder(root: &Path) -> PathBuf {
    match named_folder("WIDER_CLIP_RESULTS") {
        Some(folder) => folder,
        None => own_state().unwrap_or_else(|| root.to_path_buf()).join("results"),
    }
}
