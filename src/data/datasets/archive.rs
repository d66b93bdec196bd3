//! Archives from a data set's owner: fetched once, checked, unpacked once.
//!
//! A data set's folder holds each file as it came (`<file>.part` while it comes; `<file>.from` says from where), `unpacking`
//! while they are unpacked, `unpacked` afterwards, `unpacked.left_out` with what was not, and `unpacked.ok`, which says that
//! `unpacked` is whole and from which files: by checksum, or where there is none by address. A download that
//! broke off goes on where it stopped. A file that is not what the manifest says is set aside as `<file>.bad`, so that
//! the next try starts anew.

use super::download;
use super::left_out::{Ignored, Tally};
use super::unpack;
use crate::error::{Error, Result};
use crate::hub::shown_address;
use crate::manifest::Download;
use crate::storage;
use md5::{Digest, Md5};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The line in the note of an unpacked folder that holds files and folders alone. Behind it stands what the folder and the
/// archives were like then; notes of an earlier version end here.
const NO_LINKS: &str = "no links\n";

/// Fetches and unpacks `downloads` into `folder`, unless that was done before, and gives the unpacked folder with what was
/// left out of it.
pub(super) fn fetch_and_unpack(folder: &Path, downloads: &[Download]) -> Result<(PathBuf, Vec<Ignored>)> {
    let waits = || wider_clip_numbers::say!("waiting for another process that unpacks here");
    // A cache that may only be read serves what is whole.
    let lock = match storage::FolderLock::acquire(folder, waits) {
        Err(error) if matches!(&error, Error::Io { source, .. } if storage::is_read_only(source)) => Err(error),
        lock => Ok(lock?),
    };
    let (unpacked, stamp) = (folder.join("unpacked"), folder.join("unpacked.ok"));
    let notes = folder.join("unpacked.left_out");
    // Notes of an earlier version hold the address itself.
    let earlier = contents(downloads, |download| download.url.clone());
    let contents = contents(downloads, address_id);
    let found = fs::read_to_string(&stamp).unwrap_or_default();
    let (noted, stood) =
        found.split_once(NO_LINKS).map_or((found.as_str(), None), |(noted, stood)| (noted, Some(stood)));
    // What was unpacked may have been cleaned away in part, and an archive that was put there by hand replaced. Files that a
    // reader added stay.
    let stands = || {
        let Some((files, archives)) = stood.and_then(|stood| stood.split_once(" files\n")) else { return true };
        let files = files.parse().unwrap_or(u64::MAX);
        unpack::count_files(&unpacked) >= files && archives == standing(folder, downloads, archives)
    };
    if unpacked.is_dir() && (noted == contents || noted == earlier) && stands() {
        // One that an earlier version unpacked may hold links to anywhere.
        let whole = stood.is_some();
        if whole || unpack::holds_no_link(&unpacked) {
            if lock.is_ok() && (!whole || noted != contents) {
                let stood = stood.unwrap_or_default();
                storage::write_atomic(&stamp, format!("{contents}{NO_LINKS}{stood}").as_bytes())?;
            }
            let left_out = fs::read(&notes).ok().and_then(|notes| serde_json::from_slice(&notes).ok());
            return Ok((unpacked, left_out.unwrap_or_default()));
        }
    }
    let _lock = lock?;
    for download in downloads {
        obtain(download, &folder.join(download.file_name()))?;
    }
    // What a killed run left, or the files of an earlier record, must not mix with the new ones.
    let unpacking = folder.join("unpacking");
    for old in [&stamp, &notes, &unpacked, &unpacking] {
        remove(old)?;
    }
    let mut left_out = Tally::default();
    for download in downloads {
        let file = folder.join(download.file_name());
        let unpacked = unpack::unpack(&file, &unpacking, &mut left_out);
        unpacked.map_err(|source| not_unpacked(download, &file, source))?;
    }
    unpack::flush(&unpacking)?;
    fs::rename(&unpacking, &unpacked).map_err(Error::io(&unpacked, "renaming into place"))?;
    let left_out = left_out.list();
    storage::write_atomic(&notes, &serde_json::to_vec(&left_out).unwrap_or_default())?;
    let stood = format!("{} files\n{}", unpack::count_files(&unpacked), standing(folder, downloads, ""));
    storage::write_atomic(&stamp, format!("{contents}{NO_LINKS}{stood}").as_bytes())?;
    Ok((unpacked, left_out))
}

/// Length and time of change of each archive without a checksum. Archives may be deleted once they are unpacked: of one that is
/// not there it is said what `noted` says.
fn standing(folder: &Path, downloads: &[Download], noted: &str) -> String {
    let archives = downloads.iter().filter(|download| !has_checksum(download)).map(|download| {
        let name = download.file_name();
        let begin = format!("{name} ");
        match fs::metadata(folder.join(&name)) {
            Ok(now) => {
                let changed = now.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
                format!("{begin}{} {}\n", now.len(), changed.map_or(0, |since| since.as_nanos()))
            }
            Err(_) => {
                noted.lines().find(|line| line.starts_with(&begin)).map_or_else(String::new, |line| format!("{line}\n"))
            }
        }
    });
    archives.collect()
}

/// What decides the unpacked folder, for the stamp: another size or checksum in the record is another folder.
fn contents(downloads: &[Download], address: impl Fn(&Download) -> String) -> String {
    let line = |download: &Download| {
        // Where no checksum says what the file is, its address does.
        let address = if has_checksum(download) { String::new() } else { address(download) };
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
        let size = download.size.map_or_else(|| "none".into(), |size| size.to_string());
        format!("{} {} {} {size} {address}\n", download.file_name(), text(&download.sha256), text(&download.md5))
    };
    downloads.iter().map(line).collect()
}

pub(super) fn has_checksum(download: &Download) -> bool {
    download.sha256.is_some() || download.md5.is_some()
}

/// Removes a file or a folder; it is no error if there is none.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::io(path, "removing")(source)),
        _ => Ok(()),
    }
}

/// What an address is known by; itself it may hold a password.
pub(super) fn address_id(download: &Download) -> String {
    storage::sha256_hex(download.url.as_bytes())
}

/// What a file is known by: its address, and what the record says of it.
fn identity(download: &Download) -> String {
    let address = address_id(download);
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
    let size = download.size.map_or_else(|| "none".into(), |size| size.to_string());
    format!("{address} {} {} {size}", text(&download.sha256), text(&download.md5))
}

/// Sees to it that `file` is there and is what the record says. One that came from another address, or for another record,
/// is fetched anew, unless its checksum is right.
fn obtain(download: &Download, file: &Path) -> Result<()> {
    // A file that the user put there has no note.
    let note = file.with_file_name(format!("{}.from", download.file_name()));
    let (identity, noted) = (identity(download), fs::read_to_string(&note).ok());
    // Notes of earlier versions hold the address alone, or begin with it.
    let earlier = |noted: &str| noted.split(' ').next() == Some(download.url.as_str());
    if noted.is_some_and(|noted| noted != identity && !earlier(&noted))
        && !(has_checksum(download) && file.exists() && difference(download, file)?.is_none())
    {
        remove(file)?;
        remove(&file.with_file_name(format!("{}.part", download.file_name())))?;
        // What is put there by hand from here on is no longer the noted file.
        remove(&note)?;
    }
    if !file.exists() {
        // What came of another file must not become the beginning of this one.
        let partial = file.with_file_name(format!("{}.part", download.file_name()));
        let of_partial = file.with_file_name(format!("{}.part.from", download.file_name()));
        if fs::read_to_string(&of_partial).is_ok_and(|noted| noted != identity) {
            remove(&partial)?;
        }
        storage::write_atomic(&of_partial, identity.as_bytes())?;
        download::fetch(download, file)?;
        storage::write_atomic(&note, identity.as_bytes())?;
        remove(&of_partial)?;
    }
    match difference(download, file)? {
        None => Ok(()),
        Some(reason) => Err(set_aside(download, file, reason)),
    }
}

pub(super) fn failed(download: &Download, reason: String, advice: String) -> Error {
    Error::Download { from: shown_address(&download.url), reason, advice }
}

pub(super) fn by_hand(advice: &str, file: &Path) -> String {
    format!("{advice}, or put the file at {} yourself", file.display())
}

/// What size or checksum of a file is not as the record says, if any.
fn difference(download: &Download, file: &Path) -> Result<Option<String>> {
    let size = fs::metadata(file).map_err(Error::io(file, "reading"))?.len();
    if let Some(expected) = download.size.filter(|&expected| expected != size) {
        return Ok(Some(format!("expected {expected} bytes, found {size}")));
    }
    let (kind, expected, found) = match (&download.sha256, &download.md5) {
        (Some(expected), _) => ("SHA-256", expected, storage::sha256_file(file)?),
        (None, Some(expected)) => ("MD5", expected, md5_file(file)?),
        (None, None) => return Ok(None),
    };
    Ok((found != *expected).then(|| format!("expected {kind} {expected}, found {found}")))
}

/// Renames a file that is not what it must be, so that it is not taken again, and gives the error that says so.
fn set_aside(download: &Download, file: &Path, reason: String) -> Error {
    let bad = file.with_file_name(format!("{}.bad", download.file_name()));
    match fs::rename(file, &bad) {
        Err(source) => Error::io(file, "setting aside")(source),
        Ok(()) => {
            let then = "Run it again to download it anew, or correct the data set's manifest";
            failed(download, reason, format!("The file is set aside as {}. {then}", bad.display()))
        }
    }
}

/// The error for an archive that could not be unpacked. Without a checksum nothing else finds a bad file, so one that
/// cannot be read is set aside; a full disk is not the file's fault.
fn not_unpacked(download: &Download, file: &Path, source: io::Error) -> Error {
    let unreadable = [ErrorKind::InvalidData, ErrorKind::InvalidInput, ErrorKind::UnexpectedEof, ErrorKind::Other];
    if download.sha256.is_some() || download.md5.is_some() || !unreadable.contains(&source.kind()) {
        return Error::io(file, "unpacking")(source);
    }
    let cause = std::error::Error::source(&source).map_or_else(String::new, |cause| format!(": {cause}"));
    set_aside(download, file, format!("expected an archive that can be unpacked, found {source}{cause}"))
}

fn md5_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path, "opening"))?;
    let mut hasher = Md5::new();
    let mut piece = vec![0u8; 1 << 20];
    loop {
        let n = file.read(&mut piece).map_err(Error::io(path, "reading"))?;
        if n == 0 {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hasher.update(&piece[..n]);
    }
}
