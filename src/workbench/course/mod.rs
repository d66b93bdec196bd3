//! The course as a teacher and a student use it: building what is handed out, checking, marking.

pub mod assignments;
pub mod build;
pub mod command;
pub mod grade;
pub mod grades;
pub mod links;
pub mod sandbox;

use super::Workbench;
use crate::error::{Error, Result};
use crate::storage::write_atomic;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the assignments are.
pub fn folder_of_assignments(workbench: &Workbench) -> PathBuf {
    workbench.notebooks().join("assignments")
}

/// Runs a student's notebook on the student's own machine as it would be marked, without walls. With `save` the outputs are put into
/// the notebook, whose cells stay as they are; not where the run did not come to its end, nor where the cells changed meanwhile.
///
/// # Errors
/// A notebook that cannot be read, or is none of this course.
pub fn check(workbench: &Workbench, notebook: &Path, cell_seconds: f64, save: bool) -> Result<Vec<grade::Points>> {
    super::setup::ensure(workbench)?;
    grade::sweep_left_behind(&std::env::temp_dir());
    let known = assignments::assignments(&folder_of_assignments(workbench))?;
    let own = assignments::Notebook::read(notebook)?;
    let names = |of: &assignments::Notebook| -> Vec<String> {
        of.cells().iter().filter_map(|cell| Some(assignments::mark(cell)?.id)).collect()
    };
    let theirs = names(&own);
    // A copy may have another name: what it shares with an assignment decides.
    let shared = |of: &&assignments::Notebook| names(of).iter().filter(|name| theirs.contains(name)).count();
    let original = known.iter().max_by_key(shared).filter(|of| shared(of) > 0).ok_or_else(|| {
        let of: Vec<String> = known.iter().map(assignments::Notebook::stem).collect();
        Error::data(notebook, format!("a notebook of the course: {}", of.join(", ")), "none of their cells")
    })?;
    let submission =
        grade::Submission { student: "you".into(), assignment: original.stem(), path: notebook.to_path_buf() };
    let options = grade::Options {
        jobs: 1,
        limits: sandbox::Limits::default(),
        cell_seconds,
        walls: sandbox::Walls::None,
        seed: None,
    };
    let (ran, end) = grade::executed(workbench, original, &submission, &own, &options, None)?;
    if save && end.is_empty() {
        // What was saved in an editor while the notebook ran is newer than what was read before.
        let mut now = assignments::Notebook::read(notebook)?;
        if has_same_cells(&now, &own) {
            now.take_outputs(&ran);
            write_atomic(notebook, now.to_text().as_bytes())?;
        } else {
            crate::say!("{}: its cells changed while it ran, the outputs are not saved", notebook.display());
        }
    }
    Ok(grade::points_of(original, &submission, &ran, &end))
}

/// Whether two notebooks have the same cells, by their kinds and what is written in them.
pub fn has_same_cells(one: &assignments::Notebook, other: &assignments::Notebook) -> bool {
    let of = |cell: &serde_json::Value| (cell["cell_type"].clone(), assignments::source(cell));
    one.cells().iter().map(of).eq(other.cells().iter().map(of))
}

/// Starts nbgrader, which has to be installed in the project's Python environment, so that it finds the kernel.
///
/// # Errors
/// [`Error::Program`] where it cannot be started.
pub fn nbgrader(workbench: &Workbench, arguments: &[String]) -> Result<i32> {
    super::setup::ensure(workbench)?;
    let advice =
        "Install it beside the project's Jupyter: `.wider-clip/venv/bin/pip install nbgrader==0.9.6 'notebook<7.6'`";
    let mut command = Command::new(workbench.python());
    command.args(["-m", "nbgrader"]).args(arguments).envs(workbench.jupyter_environment());
    // nbgrader starts `alembic`, which is installed beside it, by its name.
    let python = workbench.python();
    let others = std::env::var_os("PATH").unwrap_or_default();
    let folders = python.parent().map(Path::to_path_buf).into_iter().chain(std::env::split_paths(&others));
    let path = std::env::join_paths(folders)
        .map_err(|error| Error::argument("PATH", "folders without a colon", error.to_string()))?;
    command.env("PATH", path);
    Ok(super::process::run("nbgrader", &mut command, advice)?.code().unwrap_or(1))
}
