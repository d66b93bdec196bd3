//! What was opened beside the project's own data: a reader's folders and files, noted so that what was made from them is
//! known to be stale once they change.

use super::listing::{self, Links};
use super::names::{raw, shown, shown_in_a_line};
use super::own;
use crate::error::{Error, Result};
use crate::key::digest_of;
use crate::storage::{Standing, touched};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// If this names a file, each folder or file of a reader that is opened is noted there, a line each.
pub const OPENED_VARIABLE: &str = "WIDER_CLIP_OPENED";

/// What a line of something left out begins with.
const LEFT_OUT: &str = "left-out";

/// How a folder or a file stood before it was opened: what came while it was read is not in what was made of it, and must not
/// count as seen.
#[must_use = "what was opened is noted afterwards"]
pub(super) struct Stood(Option<(PathBuf, String)>);

/// Looks how `path`, a folder of class folders or a file, stands.
pub(super) fn look(path: &Path) -> Result<Stood> {
    let Some(log) = std::env::var_os(OPENED_VARIABLE).filter(|log| !log.is_empty()) else { return Ok(Stood(None)) };
    // What is not there is told by who opens it.
    let Ok(path) = path.canonicalize() else { return Ok(Stood(None)) };
    let line = format!("{} {}\n", standing(&path)?, shown_in_a_line(path.as_os_str()));
    Ok(Stood(Some((PathBuf::from(log), line))))
}

impl Stood {
    /// Notes that it was opened.
    pub(super) fn note(self) -> Result<()> {
        self.0.map_or(Ok(()), |(log, line)| write(&log, &line))
    }
}

/// Notes that `path` was opened, and how it stands.
pub(super) fn note(path: &Path) -> Result<()> {
    look(path)?.note()
}

/// Notes the folders of the pictures that tables in `folder` name; where `folder` is much larger than these (somebody's
/// home, with a table in it), those that pictures lie in alone; and where such a folder is much larger too, the pictures.
pub(super) fn note_pictures(folder: &Path, pictures: &[&Path]) -> Result<()> {
    let (inside, outside): (Vec<&Path>, Vec<&Path>) = pictures.iter().partition(|picture| picture.starts_with(folder));
    let mut folders: BTreeSet<&Path> = outside.iter().filter_map(|picture| picture.parent()).collect();
    match own::is_much_larger(folder, pictures.len()) {
        _ if inside.is_empty() => {}
        false => drop(folders.insert(folder)),
        true => folders.extend(inside.iter().filter_map(|picture| picture.parent())),
    }
    // A folder stands for those below it; in this order it comes before them.
    let mut noted: Vec<&Path> = Vec::new();
    for of in folders {
        if noted.iter().any(|above| of.starts_with(above)) {
            continue;
        }
        if own::is_much_larger(of, pictures.len()) {
            pictures.iter().filter(|picture| picture.parent() == Some(of)).try_for_each(|picture| note(picture))?;
            continue;
        }
        note(of)?;
        noted.push(of);
    }
    Ok(())
}

/// Notes files of the hub's cache, and which commit it holds for `revision`: a branch that has moved on is another data set.
pub(super) fn note_hub<'a>(files: impl Iterator<Item = &'a Path>, revision: &str) -> Result<()> {
    let mut noted = None;
    for file in files {
        note(file)?;
        let snapshots = file.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "snapshots"));
        let branch = snapshots.and_then(Path::parent).map(|repository| repository.join("refs").join(revision));
        if let Some(branch) = branch.filter(|branch| branch.is_file() && noted.as_ref() != Some(branch)) {
            note(&branch)?;
            noted = Some(branch);
        }
    }
    Ok(())
}

/// Notes that something was left out, for the reason in `line`: what was made without it is to be made again next time, when
/// it may be there.
///
/// # Errors
/// A log that cannot be written.
pub fn note_left_out(line: &str) -> Result<()> {
    let Some(log) = std::env::var_os(OPENED_VARIABLE).filter(|log| !log.is_empty()) else { return Ok(()) };
    write(Path::new(&log), &format!("{LEFT_OUT} {}\n", line.replace(['\n', '\r'], " ")))
}

/// In one piece: cells of several kernels may note at the same time.
fn write(log: &Path, line: &str) -> Result<()> {
    let file = File::options().create(true).append(true).open(log);
    file.map_err(Error::io(log, "opening"))?.write_all(line.as_bytes()).map_err(Error::io(log, "writing"))
}

/// Whether what a line of the log names still stands as it says; what was left out never does.
pub fn still_stands(line: &str) -> bool {
    let Some((digest, path)) = line.split_once(' ') else { return false };
    digest != LEFT_OUT && standing(Path::new(&raw(path))).is_ok_and(|now| now == digest)
}

/// The digest of names, lengths and times of change: of all images in a folder, labelled or not, or of one file.
fn standing(path: &Path) -> Result<String> {
    let (files, ignored) = match path.is_dir() {
        true => {
            let listed = listing::list(path, Links::Followed)?;
            (listed.images, listed.ignored.list())
        }
        false => (vec![path.to_path_buf()], Vec::new()),
    };
    let mut lines = Vec::with_capacity(files.len());
    for file in files {
        let Standing { length, changed } = Standing::of(&file)?;
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_nanos());
        // The time of change can be put back.
        let touched = std::fs::metadata(&file).map_or(0, |metadata| touched(&metadata));
        lines.push(format!("{} {length} {changed} {touched}", shown(file.as_os_str())));
    }
    // What is left out is told when the folder is opened.
    lines.extend(ignored.iter().filter(|ignored| !ignored.minor).map(|ignored| format!("{ignored:?}")));
    Ok(digest_of(lines))
}
