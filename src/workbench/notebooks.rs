//! Runs notebooks, and skips those of which nothing changed since their last good run.
//!
//! A run executes a copy with the working directory `notebooks/`; the source is not touched. Whether anything
//! changed is a matter of inputs alone: the cells, the crate's sources and the library that was compiled from them, the manifests
//! and embedded data, the suite, the kind of device, the compiled features, the versions of the tools, and what the cells opened
//! of a reader's own. What caches of features and rows hold plays no part; where they are does. Inputs that change during a run
//! leave its copy there to be read, and to be made again.

use super::process::{self, Board};
use super::{KERNEL_NAME, SUITE_VARIABLE, Workbench, setup};
use crate::datasets::{OPENED_VARIABLE, still_stands};
use crate::display::{datasets_table, models_table};
use crate::error::{Error, Result};
use crate::experiments::{FRESH_VARIABLE, is_fresh};
use crate::key::Key;
use crate::models::{best_device, device_name};
use crate::own::{REQUEST_VARIABLE, Request};
use crate::project::Project;
use crate::say;
use crate::storage::{self, FolderLock, Standing, sha256_file, sha256_hex, write_atomic};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The program that talks to the kernel.
const EXECUTE: &str = include_str!("execute.py");

/// The environment variable that says how many seconds a cell may take; 0 for no limit. Where it is not set, a cell may go on
/// for as long as it says something at least once in two hours.
pub const LIMIT_VARIABLE: &str = "WIDER_CLIP_CELL_SECONDS";

/// In front of the key of a run until it is known that nothing changed meanwhile.
const UNCHECKED: &str = "unchecked ";

/// How a notebook is run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The notebook.
    pub source: PathBuf,
    /// Where its executed copy goes.
    pub executed: PathBuf,
    /// The kernel's current directory; relative paths in `:dep` lines start there.
    pub folder: PathBuf,
    /// The suite that the notebook's cells find in their environment.
    pub suite: String,
    /// Use no result row that came with the project.
    pub fresh: bool,
    /// The request of a reader's own images that the notebook is run on, if it is one for them.
    pub images: Option<PathBuf>,
    /// Which of how many notebooks it is, from 1; for what is told meanwhile.
    pub position: Option<(usize, usize)>,
}

/// What became of a notebook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was run.
    Executed,
    /// Nothing changed since its last good run, whose copy is still there.
    Unchanged,
}

/// The notebooks of the project in reading order: those named `NN_topic.ipynb`, restricted to those whose name
/// starts with `only`.
///
/// # Errors
/// [`Error::Unknown`] where `only` fits none, [`Error::Io`] where the folder cannot be read.
pub fn list(workbench: &Workbench, only: Option<&str>) -> Result<Vec<PathBuf>> {
    let all = numbered_notebooks(&workbench.notebooks())?;
    let wanted = only.unwrap_or_default().trim_end_matches(".ipynb");
    let chosen: Vec<PathBuf> = all.iter().filter(|path| stem(path).starts_with(wanted)).cloned().collect();
    if chosen.is_empty() {
        let known = all.iter().map(|path| stem(path)).collect::<Vec<_>>().join(", ");
        return Err(Error::Unknown { kind: "notebook", name: wanted.into(), known });
    }
    Ok(chosen)
}

/// The files `NN_topic.ipynb` of a folder, sorted.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be read; [`Error::Data`] where a name is no UTF-8.
pub fn numbered_notebooks(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder, "reading the folder"))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "ipynb"))
        .filter(|path| {
            stem(path)
                .as_bytes()
                .first_chunk()
                .is_some_and(|[a, b, c]| a.is_ascii_digit() && b.is_ascii_digit() && *c == b'_')
        })
        .collect();
    found.sort();
    // A page is named after its notebook, and an address is text.
    match found.iter().find(|path| path.to_str().is_none()) {
        Some(path) => Err(Error::data(path, "a notebook whose name is UTF-8", "other bytes")),
        None => Ok(found),
    }
}

/// The file's name without folder and extension.
pub fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether nothing changed since the executed copy of `run` was made.
///
/// # Errors
/// [`Error::Io`] or [`Error::Data`] where the notebook or one of the files that it depends on cannot be read.
pub fn is_unchanged(workbench: &Workbench, run: &Run) -> Result<bool> {
    match recorded(&run.executed) {
        Some(recorded) => Ok(recorded.stands() && recorded.key == key(workbench, run)?.digest()),
        None => Ok(false),
    }
}

/// Runs one notebook, unless nothing changed since its executed copy was made.
///
/// # Errors
/// [`Error::Notebook`] with the cell, its source and the message where a cell fails, panics or returns an error;
/// also where a cell goes on longer than [`LIMIT_VARIABLE`] allows; [`Error::Argument`] where that is no number;
/// [`Error::Program`] where the run itself breaks off. The executed copy of an earlier good run stays as it was.
pub fn execute(workbench: &Workbench, run: &Run) -> Result<Outcome> {
    execute_on(&Board::new(), workbench, run)
}

/// The same, told on a board where others may be told too.
///
/// # Errors
/// As [`execute`].
pub fn execute_on(board: &Board, workbench: &Workbench, run: &Run) -> Result<Outcome> {
    let key = key(workbench, run)?.digest();
    if recorded(&run.executed).is_some_and(|recorded| recorded.stands() && recorded.key == key) {
        return Ok(Outcome::Unchanged);
    }
    let folder = run.executed.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
    let failure = workbench.file_between()?;
    let opened = workbench.file_between()?;
    let record = serde_json::json!({ "key": format!("{UNCHECKED}{key}"), "suite": run.suite });
    let mut command = workbench.python_script("execute.py", EXECUTE)?;
    command
        .arg("--notebook")
        .arg(&run.source)
        .arg("--executed")
        .arg(&run.executed)
        .arg("--folder")
        .arg(&run.folder)
        .arg("--failure")
        .arg(failure.path())
        .arg("--opened")
        .arg(opened.path())
        .args(["--record", &record.to_string(), "--kernel", KERNEL_NAME])
        .env(OPENED_VARIABLE, opened.path())
        .env(SUITE_VARIABLE, &run.suite);
    if run.fresh {
        command.env(FRESH_VARIABLE, "1");
    }
    match &run.images {
        Some(request) => command.env(REQUEST_VARIABLE, request),
        None => command.env_remove(REQUEST_VARIABLE),
    };
    if let Some((number, of)) = run.position {
        command.args(["--position", &format!("{number}/{of}")]);
    }
    if let Some(limit) = cell_seconds()? {
        command.args(["--cell-seconds", &limit.to_string()]);
    }
    run_and_report(board, &run.source, failure.path(), &mut command)?;
    if !stands_for(workbench, run, &key)? {
        let name = stem(&run.source);
        let name = say::plain(&name);
        board.say(&format!("{name}: cells, sources or the library changed meanwhile; the next run makes it again"));
    }
    Ok(Outcome::Executed)
}

/// Lets the executed copy that a run has just left stand for the key that the run began with, where the key is still the same;
/// gives whether it is.
///
/// # Errors
/// [`Error::Io`] where the copy cannot be read or written.
pub fn stands_for(workbench: &Workbench, run: &Run, begun: &str) -> Result<bool> {
    if !key(workbench, run).is_ok_and(|now| now.digest() == begun) {
        return Ok(false);
    }
    let text = fs::read_to_string(&run.executed).map_err(Error::io(&run.executed, "reading"))?;
    write_atomic(&run.executed, text.replacen(&format!("{UNCHECKED}{begun}"), begun, 1).as_bytes())?;
    Ok(true)
}

/// The limit for one cell that the environment sets, if it sets one.
fn cell_seconds() -> Result<Option<f64>> {
    let Some(text) = std::env::var_os(LIMIT_VARIABLE).filter(|text| !text.is_empty()) else { return Ok(None) };
    let text = text.to_string_lossy();
    match text.trim().parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Some(seconds)),
        _ => Err(Error::argument(LIMIT_VARIABLE, "a number of seconds, 0 for no limit", text)),
    }
}

/// Runs the program and turns the failure that it wrote down into an error.
fn run_and_report(board: &Board, notebook: &Path, failure: &Path, command: &mut Command) -> Result<()> {
    let advice = "Run `cargo run -- setup`";
    let place = board.place();
    let status = place.relay("execute.py", command, advice)?;
    place.leave();
    if status.success() {
        return Ok(());
    }
    let text = fs::read_to_string(failure).unwrap_or_default();
    let Ok(found) = serde_json::from_str::<Value>(&text) else {
        return Err(process::failed("execute.py", format!("ended with {status}"), "The lines above say why"));
    };
    let text_at = |name: &str| found[name].as_str().unwrap_or_default().to_string();
    Err(Error::Notebook {
        path: notebook.to_path_buf(),
        cell: found["cell"].as_u64().unwrap_or(0) as usize,
        source_text: text_at("source"),
        message: text_at("message"),
    })
}

/// What an executed copy says of how it was made.
struct Recorded {
    key: String,
    /// Folders and files of a reader that its cells opened, as they stood.
    opened: Vec<String>,
}

impl Recorded {
    /// Whether all that was opened is as it was.
    fn stands(&self) -> bool {
        self.opened.iter().all(|line| still_stands(line))
    }
}

/// What the executed copy says, if there is one.
fn recorded(executed: &Path) -> Option<Recorded> {
    let text = fs::read_to_string(executed).ok()?;
    let notebook: Value = serde_json::from_str(&text).ok()?;
    let record = &notebook["metadata"]["wider_clip"];
    let opened = record["opened"].as_array().map(|lines| lines.iter().filter_map(Value::as_str).map(String::from));
    Some(Recorded { key: record["key"].as_str()?.to_string(), opened: opened.into_iter().flatten().collect() })
}

/// Everything that decides what an executed notebook shows, but for what its cells open of a reader's own.
///
/// # Errors
/// As for [`is_unchanged`].
pub fn key(workbench: &Workbench, run: &Run) -> Result<Key> {
    let root = workbench.root();
    let text = fs::read_to_string(&run.source).map_err(Error::io(&run.source, "reading"))?;
    let notebook: Value = serde_json::from_str(&text)
        .map_err(|error| Error::data(&run.source, "a notebook in JSON", error.to_string()))?;
    let empty = Vec::new();
    let cells = notebook["cells"].as_array().unwrap_or(&empty);
    let cells: Vec<Value> = cells.iter().map(|cell| serde_json::json!([cell["cell_type"], cell["source"]])).collect();
    let features = [
        ("cuda", cfg!(feature = "cuda")),
        ("cudnn", cfg!(feature = "cudnn")),
        ("metal", cfg!(feature = "metal")),
        ("mkl", cfg!(feature = "mkl")),
        ("accelerate", cfg!(feature = "accelerate")),
    ];
    let compiled = features.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    let mut key = Key::new("notebook")
        .with("cells", sha256_hex(serde_json::to_string(&cells).unwrap_or_default().as_bytes()))
        .with("suite", &run.suite)
        .with("fresh", run.fresh || is_fresh())
        .with("features", compiled)
        .with("device", device_name(&best_device()?))
        .with("rustc", rustc_version(root)?)
        .with("library", compiled_library(workbench)?)
        .with("cache", storage::cache_folder(root).display())
        .with("results", storage::results_folder(root).display())
        .with("python", setup::requirements_hash())
        .with("runner", sha256_hex(EXECUTE.as_bytes()));
    if let Some(request) = &run.images {
        let folder = request.parent().unwrap_or(Path::new("."));
        key = key.with("request", sha256_file(request)?);
        key = key.with("record", sha256_file(&folder.join(Request::read(request)?.manifest))?);
    }
    // What has come from the hub meanwhile is known by no file of the project.
    let calls = |name: &str| cells.iter().any(|cell| cell.to_string().contains(name));
    let project = Project::open(root, &run.suite)?;
    if run.images.is_some() || calls("models_table(") {
        key = key.with("models here", sha256_hex(models_table(&project).to_text().as_bytes()));
    }
    if calls("datasets_table(") {
        key = key.with("data sets here", sha256_hex(datasets_table(&project).to_text().as_bytes()));
    }
    for file in inputs(root)? {
        key = key.with(file.strip_prefix(root).unwrap_or(&file).display().to_string(), sha256_file(&file)?);
    }
    Ok(key)
}

/// The SHA-256 of the compiled library that kernels link (`kernel.rs`): it may be older than the sources, and newer than this
/// program. Read once for as long as the file stands as it stood.
fn compiled_library(workbench: &Workbench) -> Result<String> {
    static KNOWN: Mutex<Option<(PathBuf, Standing, String)>> = Mutex::new(None);
    let name = format!("{}wider_clip{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let path = workbench.program().parent().unwrap_or(Path::new(".")).join("deps").join(name);
    if !path.exists() {
        // No kernel starts without it, and says so.
        return Ok("none".into());
    }
    let standing = Standing::of(&path)?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match &*known {
        Some((of, stood, hash)) if *of == path && *stood == standing => Ok(hash.clone()),
        _ => {
            let hash = sha256_file(&path)?;
            *known = Some((path, standing, hash.clone()));
            Ok(hash)
        }
    }
}

/// The compiler that cells meet, which a variable of rustup's may set beside `rust-toolchain.toml`.
fn rustc_version(root: &Path) -> Result<String> {
    let advice = "Install Rust from rustup.rs, or put rustc and cargo on the PATH";
    Ok(process::output("rustc", Command::new("rustc").arg("-V").current_dir(root), advice)?.trim().to_string())
}

/// The files on which every notebook depends: the library without the workbench, the manifests and shipped data.
fn inputs(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = vec![root.join("Cargo.toml"), root.join("Cargo.lock"), root.join("rust-toolchain.toml")];
    for folder in [root.join("src"), root.join("data_manifests")] {
        walk(&folder, &mut files)?;
    }
    let apart = [root.join("src/workbench"), root.join("src/main.rs"), root.join("data_manifests/build")];
    files.retain(|file| file.exists() && !apart.iter().any(|folder| file.starts_with(folder)));
    files.sort();
    Ok(files)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(Error::io(folder, "reading the folder"))? {
        let path = entry.map_err(Error::io(folder, "reading the folder"))?.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// Takes the lock of a folder of executed notebooks: two runs must not write the same copies.
///
/// # Errors
/// [`Error::Io`] where the folder cannot be made or locked.
pub fn lock(folder: &Path) -> Result<FolderLock> {
    FolderLock::acquire(folder, || crate::say!("another run writes to {}; waiting for it", say::path(folder)))
}
