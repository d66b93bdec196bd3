//! Folders that are written to: new or empty ones, and those that were made here before. Nothing of anybody else's is written over or
//! removed.

use super::notebooks;
use crate::error::{Error, Result};
use crate::storage::{FolderLock, write_atomic};
use std::fs;
use std::path::{Path, PathBuf};

/// What marks a folder as made here.
pub(super) const MARK: &str = ".made-by-wider-clip";
/// What systems and version control leave in folders that are empty to their users.
const NOTHING: [&str; 8] =
    [".DS_Store", ".gitignore", ".gitkeep", ".lock", ".lock.lease", "Thumbs.db", "desktop.ini", "lost+found"];

/// What a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The pages of the study.
    Report,
    /// The page of a reader's own images, and the classifier.
    Images,
    /// What students get.
    Course,
    /// Submissions that were marked.
    Grades,
}

impl Output {
    fn name(self) -> &'static str {
        match self {
            Output::Report => "report",
            Output::Images => "images",
            Output::Course => "course",
            Output::Grades => "grades",
        }
    }

    /// What folders have that were made before they were marked; each of them.
    fn signs(self) -> &'static [&'static str] {
        match self {
            Output::Report => &["assets/style.css", "index.html", "notebooks"],
            Output::Images => &["10_your_images.ipynb", "request.json"],
            Output::Course => &["nbgrader/nbgrader_config.py", "release"],
            Output::Grades => &["executed"],
        }
    }
}

/// A folder to write to, and the lock by which one process does.
pub struct Claimed {
    /// Without links and dots.
    pub folder: PathBuf,
    _lock: FolderLock,
}

/// Makes `folder` one of `output`, and waits for whoever writes to it.
///
/// # Errors
/// A folder with what was not made here, or was made as something else: [`Error::Data`] names some of it. One that cannot be made or
/// written.
pub fn claim(folder: &Path, output: Output) -> Result<Claimed> {
    fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
    let folder = folder.canonicalize().map_err(Error::io(folder, "looking for the folder"))?;
    let mark = folder.join(MARK);
    let expected = || format!("a new or empty folder for `{0}`, or one that `{0}` has made", output.name());
    match fs::read_to_string(&mark) {
        Ok(text) if text.trim() == output.name() => {}
        Ok(text) => return Err(Error::data(&folder, expected(), format!("one that holds `{}`", text.trim()))),
        Err(_) => {
            let others = others_in(&folder)?;
            if !others.is_empty() && !output.signs().iter().all(|sign| folder.join(sign).exists()) {
                let found = format!("{} in it, such as `{}`", others.len(), others[0]);
                return Err(Error::data(&folder, expected(), found));
            }
            write_atomic(&mark, format!("{}\n", output.name()).as_bytes())?;
        }
    }
    Ok(Claimed { _lock: notebooks::lock(&folder)?, folder })
}

/// The names in a folder that somebody put there, sorted.
fn others_in(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder, "reading the folder"))?;
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names
        .filter(|name| !NOTHING.contains(&name.as_str()) && !name.starts_with(".writing-") && name != MARK)
        .collect();
    names.sort();
    Ok(names)
}
