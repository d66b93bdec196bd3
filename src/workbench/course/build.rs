//! Makes of the assignments what students get, and a folder that nbgrader takes as it is.

use super::assignments::{Notebook, assignments, mark, student_version};
use super::folder_of_assignments;
use crate::error::{Error, Result};
use crate::storage::{sha256_hex, write_atomic};
use crate::workbench::Workbench;
use crate::workbench::outputs::{self, Output};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};

/// nbgrader's settings: the stub of Rust, time for a compiler, no word of ours in what it writes.
const NBGRADER: &str = include_str!("nbgrader_config.py");
/// What the folder is, for who finds it.
const README: &str = include_str!("readme_of_course.md");

/// The digests of what was written into a folder, by which files are known that somebody edited since.
const WRITTEN: &str = ".written.json";

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The folder.
    pub folder: PathBuf,
    /// Each assignment with its points.
    pub assignments: Vec<(String, f64)>,
    /// Files in it that somebody edited, which were left as they are.
    pub left: Vec<PathBuf>,
}

/// Writes `release/` (a notebook per assignment, without solutions) and `nbgrader/` (`source/` and `nbgrader_config.py`) into `out`.
/// A file there that somebody edited since it was written is left, and told.
///
/// # Errors
/// An assignment that cannot be read, whose regions have no end, or whose names come twice; a folder that cannot be written.
pub fn build(workbench: &Workbench, out: &Path) -> Result<Built> {
    let all = assignments(&folder_of_assignments(workbench))?;
    let claimed = outputs::claim(out, Output::Course)?;
    let mut files = Files::of(&claimed.folder);
    let mut points_of = Vec::new();
    for notebook in &all {
        let points = checked(notebook)?;
        let name = format!("{}.ipynb", notebook.stem());
        files.write(&format!("release/{name}"), &student_version(notebook)?.to_text())?;
        files.write(&format!("nbgrader/source/{}/{name}", notebook.stem()), &notebook.to_text())?;
        points_of.push((notebook.stem(), points));
    }
    files.write("nbgrader/nbgrader_config.py", NBGRADER)?;
    files.write("README.md", README)?;
    Ok(Built { folder: out.into(), assignments: points_of, left: files.close()? })
}

/// The files of a folder, and what was written into them the last time.
struct Files {
    folder: PathBuf,
    written: BTreeMap<String, String>,
    left: Vec<PathBuf>,
}

impl Files {
    fn of(folder: &Path) -> Files {
        // An earlier version kept no list: there every file that differs may be somebody's.
        let text = fs::read(folder.join(WRITTEN)).unwrap_or_default();
        let written = serde_json::from_slice(&text).unwrap_or_default();
        Files { folder: folder.into(), written, left: Vec::new() }
    }

    /// Writes a file that is not there, or is as it was written last.
    fn write(&mut self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        let new = sha256_hex(text.as_bytes());
        let old = match fs::read(&path) {
            Ok(bytes) => Some(sha256_hex(&bytes)),
            Err(error) if error.kind() == NotFound => None,
            Err(error) => return Err(Error::io(&path, "reading")(error)),
        };
        match old {
            Some(old) if old == new => {}
            Some(old) if self.written.get(name) != Some(&old) => {
                let path_of = path.display();
                crate::say!("{path_of}: edited since it was written, left as it is; delete it to get the new one");
                self.left.push(path);
                return Ok(());
            }
            _ => write_atomic(&path, text.as_bytes())?,
        }
        self.written.insert(name.into(), new);
        Ok(())
    }

    /// Keeps what was written, and gives what was left.
    fn close(self) -> Result<Vec<PathBuf>> {
        let list = serde_json::to_vec_pretty(&self.written).unwrap_or_default();
        write_atomic(&self.folder.join(WRITTEN), &list)?;
        Ok(self.left)
    }
}

/// The points of a notebook, whose names must each be one cell's.
fn checked(notebook: &Notebook) -> Result<f64> {
    let marks: Vec<_> = notebook.cells().iter().filter_map(mark).collect();
    for (at, one) in marks.iter().enumerate() {
        if marks[..at].iter().any(|other| other.id == one.id) {
            let found = format!("`{}` twice", one.id);
            return Err(Error::data(&notebook.path, "a name (`grade_id`) for each cell", found));
        }
    }
    Ok(marks.iter().filter(|mark| mark.grade).map(|mark| mark.points).sum())
}
