//! Makes of the assignments what students get, and a folder that nbgrader takes as it is.

use super::assignments::{Notebook, assignments, mark, student_version};
use super::folder_of_assignments;
use crate::error::{Error, Result};
use crate::storage::write_atomic;
use crate::workbench::Workbench;
use crate::workbench::outputs::{self, Output};
use std::fs;
use std::path::{Path, PathBuf};

/// nbgrader's settings: the stub of Rust, time for a compiler, no word of ours in what it writes.
const NBGRADER: &str = include_str!("nbgrader_config.py");
/// What the folder is, for who finds it.
const README: &str = include_str!("readme_of_course.md");

/// What was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The folder.
    pub folder: PathBuf,
    /// Each assignment with its points.
    pub assignments: Vec<(String, f64)>,
}

/// Writes `release/` (a notebook per assignment, without solutions) and `nbgrader/` (`source/` and `nbgrader_config.py`) into `out`.
///
/// # Errors
/// An assignment that cannot be read, whose regions have no end, or whose names come twice; a folder that cannot be written.
pub fn build(workbench: &Workbench, out: &Path) -> Result<Built> {
    let all = assignments(&folder_of_assignments(workbench))?;
    let create = |folder: &Path| fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"));
    let mut built = Built { folder: out.into(), assignments: Vec::new() };
    let claimed = outputs::claim(out, Output::Course)?;
    let out = claimed.folder.as_path();
    create(&out.join("release"))?;
    for notebook in &all {
        let points = checked(notebook)?;
        let name = format!("{}.ipynb", notebook.stem());
        write_atomic(&out.join("release").join(&name), student_version(notebook)?.to_text().as_bytes())?;
        let source = out.join("nbgrader").join("source").join(notebook.stem());
        create(&source)?;
        write_atomic(&source.join(&name), notebook.to_text().as_bytes())?;
        built.assignments.push((notebook.stem(), points));
    }
    write_atomic(&out.join("nbgrader").join("nbgrader_config.py"), NBGRADER.as_bytes())?;
    write_atomic(&out.join("README.md"), README.as_bytes())?;
    Ok(built)
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
