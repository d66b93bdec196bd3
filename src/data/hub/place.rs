//! A blob of the cache under its name in a snapshot: a link, or the file itself where there are no links.

use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What the standard for cache folders asks for, so that backups pass them over. Python's client writes the same.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag created by \
                   huggingface_hub.\n# For information about cache directory tags, see:\n#\thttps://bford.info/cachedir/\n";

/// Marks the cache as one, if that is not done. A cache that cannot be written to shows that soon enough.
pub(super) fn tag(cache: &Path) {
    let place = cache.join("CACHEDIR.TAG");
    if !place.exists() && fs::create_dir_all(cache).is_ok() {
        let _ = fs::write(place, TAG);
    }
}

/// Puts `blob` at `pointer`: by a relative link; else, as Python's client does, by moving it there if it is `new`, and by a
/// copy if others may point at it.
pub(super) fn link(blob: &Path, pointer: &Path, links: bool, new: bool) -> Result<()> {
    let folder = pointer.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
    if links {
        match symlink(&relative(blob, folder), pointer) {
            Ok(()) => return Ok(()),
            // Someone else was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && pointer.exists() => return Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                return Err(Error::io(pointer, "linking")(error));
            }
            // A file system or a system without links.
            Err(_) => {}
        }
    }
    if new && fs::rename(blob, pointer).is_ok() {
        return Ok(());
    }
    // Whole or not at all: a copy that broke off must not have the name.
    let copy = tempfile_beside(pointer);
    let copied = fs::copy(blob, &copy).and_then(|_| flush(&copy)).and_then(|()| fs::rename(&copy, pointer));
    if copied.is_err() {
        let _ = fs::remove_file(&copy);
    }
    copied.map_err(Error::io(pointer, "copying"))
}

/// To the disk. A copy of what may not be written may not be written either: on Unix reading is enough for this.
fn flush(copy: &Path) -> io::Result<()> {
    File::options().read(true).write(!cfg!(unix)).open(copy)?.sync_all()
}

fn tempfile_beside(pointer: &Path) -> PathBuf {
    let name = pointer.file_name().unwrap_or_default().to_string_lossy();
    pointer.with_file_name(format!(".{name}.{}.incomplete", std::process::id()))
}

/// The way from `folder` to `path`; both are in one cache.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let shared = path.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| Path::new(".."));
    up.chain(path.components().skip(shared).map(|part| Path::new(part.as_os_str()))).collect()
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

#[cfg(not(any(unix, windows)))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
