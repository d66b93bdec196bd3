//! What was opened beside the project's own data: a reader's folders and files, noted so that what was made from them is
//! known to be stale once they change.

use super::folder;
use super::listing::Links;
use super::names::{raw, shown, shown_in_a_line};
use crate::error::{Error, Result};
use crate::key::digest_of;
use crate::storage::Standing;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// If this names a file, each folder or file of a reader that is opened is noted there, a line each.
pub const OPENED_VARIABLE: &str = "WIDER_CLIP_OPENED";

/// Notes that `path`, a folder of class folders or a file, was opened, and how it stands.
pub(super) fn note(path: &Path) -> Result<()> {
    let Some(log) = std::env::var_os(OPENED_VARIABLE).filter(|log| !log.is_empty()) else { return Ok(()) };
    let path = path.canonicalize().map_err(Error::io(path, "looking for"))?;
    let line = format!("{} {}\n", standing(&path)?, shown_in_a_line(path.as_os_str()));
    let file = File::options().create(true).append(true).open(&log);
    let mut file = file.map_err(Error::io(&log, "opening"))?;
    // In one piece: cells of several kernels may note at the same time.
    file.write_all(line.as_bytes()).map_err(Error::io(&log, "writing"))
}

/// Whether what a line of the log names still stands as it says.
pub fn still_stands(line: &str) -> bool {
    let Some((digest, path)) = line.split_once(' ') else { return false };
    standing(Path::new(&raw(path))).is_ok_and(|now| now == digest)
}

/// The digest of names, lengths and times of change: of all images in class folders, or of one file.
fn standing(path: &Path) -> Result<String> {
    let (files, ignored) = match path.is_dir() {
        true => {
            let classed = folder::read(path, Links::Followed)?;
            (classed.files.into_iter().map(|(_, file)| file).collect(), classed.ignored)
        }
        false => (vec![path.to_path_buf()], Vec::new()),
    };
    let mut lines = Vec::with_capacity(files.len());
    for file in files {
        let Standing { length, changed } = Standing::of(&file)?;
        let changed = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_nanos());
        lines.push(format!("{} {length} {changed}", shown(file.as_os_str())));
    }
    // What is left out is told when the folder is opened.
    lines.extend(ignored.iter().filter(|ignored| !ignored.minor).map(|ignored| format!("{ignored:?}")));
    Ok(digest_of(lines))
}
