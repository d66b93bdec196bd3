//! Marks submissions: each runs by itself inside walls, every task gives its points, and a page tells the student what came of it.
//!
//! Points are given as nbgrader gives them: nothing for a cell that failed or wrote to standard error, else the number that is its
//! last value; a text is left to be read. A submission that does harm, hangs or ends its kernel costs its own points and no other's.

use super::assignments::{Mark, Notebook, assignments, mark, source, student_version, text_of, to_be_marked};
use super::folder_of_assignments;
use super::grades::{
    Added, CELL_IS_MISSING, Folders, Marking, NOT_MARKED, NOTHING_CAME_BACK, NOTHING_WRITTEN, RUN_ENDED_WITH,
    TO_BE_READ, csv_of, read_grades, read_table, shown_why, together, totals_of,
};
use super::links::safe_links;
use super::sandbox::{End, Limits, View, Walls, layers, run_within};
use crate::course::SEED_VARIABLE;
use crate::display::MARKS_MIME;
use crate::error::{Error, Result};
use crate::storage::{sha256_hex, sweep, write_atomic};
use crate::workbench::outputs::{self, Output};
use crate::workbench::process::{self, Board, failed};
use crate::workbench::{KERNEL_NAME, Workbench, report, setup};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const RUNNER: &str = include_str!("run_submission.py");
/// Beside `grades.csv`: what of it is the program's.
const FOUND: &str = ".found.json";
/// What the names of folders begin with in which submissions run; the user's number follows.
const PLACES: &str = "wider-clip-submission-";
/// So old is no folder in which a submission still runs.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);
/// Where in its folder a submission's kernel keeps what it makes.
const KERNEL: &str = "kernel";
/// The largest executed notebook that is read: the runner writes 200 KB a cell at most.
const LARGEST: u64 = 64 << 20;
/// Bytes of what a run printed that are looked at, at its beginning and at its end.
const OF_LOG: (u64, u64) = (1 << 16, 2000);
/// What run_submission.py ends with where the notebook is none, and the line before which it runs nothing of the submission's.
const NO_NOTEBOOK: i32 = 65;
const READY: &str = "the kernel is ready";

/// How submissions are marked.
#[derive(Debug, Clone)]
pub struct Options {
    /// Submissions that run at the same time.
    pub jobs: usize,
    /// What each may use.
    pub limits: Limits,
    /// Seconds for one cell.
    pub cell_seconds: f64,
    /// What stands around them.
    pub walls: Walls,
    /// The seed of hidden cases; `None` for that of every student.
    pub seed: Option<u64>,
}

/// A notebook that somebody handed in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Submission {
    /// Whose it is: the name of the folder.
    pub student: String,
    /// The assignment: the name of the notebook.
    pub assignment: String,
    /// The notebook.
    pub path: PathBuf,
}

/// What a task gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Points {
    /// Whose.
    pub student: String,
    /// Which notebook.
    pub assignment: String,
    /// The name of the cell.
    pub task: String,
    /// The points; `None` where somebody has to read a text.
    pub points: Option<f64>,
    /// What it is worth.
    pub of: f64,
    /// Why there are none, where there are none.
    pub why: String,
}

/// Every `<student>/<assignment>.ipynb` and `<student>/<assignment>/<assignment>.ipynb` under a folder; other notebooks are told.
///
/// # Errors
/// A folder that cannot be read, and one without a single submission.
pub fn submissions(folder: &Path, known: &[Notebook]) -> Result<(Vec<Submission>, Vec<PathBuf>)> {
    let list = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder).map_err(Error::io(folder, "listing"))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        Ok(paths)
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (mut found, mut others) = (Vec::new(), Vec::new());
    // Links lead out of the folder of a student.
    let is_own = |path: &Path, folder: bool| {
        path.symlink_metadata().is_ok_and(|of| if folder { of.is_dir() } else { of.is_file() })
    };
    for student in list(folder)?.into_iter().filter(|path| is_own(path, true)) {
        let inside = list(&student)?;
        let nested =
            inside.iter().filter(|path| is_own(path, true)).map(|path| list(path)).collect::<Result<Vec<_>>>()?;
        for path in inside.iter().chain(nested.iter().flatten()).filter(|path| is_own(path, false)) {
            if path.extension().is_none_or(|extension| extension != "ipynb") {
                continue;
            }
            let assignment = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            match known.iter().any(|known| known.stem() == assignment) {
                true => found.push(Submission { student: name(&student), assignment, path: path.clone() }),
                false => others.push(path.clone()),
            }
        }
    }
    found.sort();
    let same = |two: &[Submission]| (&two[0].student, &two[0].assignment) == (&two[1].student, &two[1].assignment);
    if let Some(two) = found.windows(2).find(|two| same(two)) {
        let both = format!("{} and {}", two[0].path.display(), two[1].path.display());
        return Err(Error::data(folder, "one notebook per student and assignment", both));
    }
    if found.is_empty() {
        let names: Vec<String> = known.iter().map(Notebook::stem).collect();
        let expected = format!("<student>/<assignment>.ipynb, where an assignment is one of {}", names.join(", "));
        return Err(Error::data(folder, expected, format!("none, and {} other notebooks", others.len())));
    }
    Ok((found, others))
}

/// Marks all submissions of a folder: `grades.csv` (a line per student and task), `totals.csv` and the notebooks as they ran, under
/// `executed/`, in `out`. What `out` holds of the same submission, marked by the same program in the same way, is taken from there:
/// a run that was stopped goes on where it was. What somebody wrote into `grades.csv` stays (`grades.rs`).
///
/// # Errors
/// A folder that cannot be read or written; a `grades.csv` that cannot be read, before anything is marked. What is wrong with one
/// submission stands in its lines.
pub fn grade(workbench: &Workbench, folder: &Path, out: &Path, options: &Options) -> Result<Vec<Points>> {
    setup::ensure(workbench)?;
    sweep_left_behind(&std::env::temp_dir());
    let known = assignments(&folder_of_assignments(workbench))?;
    let (all, others) = submissions(folder, &known)?;
    for path in &others {
        crate::say!("{}: no assignment of this course, passed over", path.display());
    }
    create_for_oneself(out)?;
    let claimed = outputs::claim(out, Output::Grades)?;
    let out = claimed.folder.as_path();
    let grades = out.join("grades.csv");
    let folders = folders_of(out, &all);
    let filled_in = || match grades.exists() {
        true => read_table(&grades, &folders),
        false => Ok((Vec::new(), Added::default())),
    };
    // What cannot be read is said before the work, not after it.
    filled_in()?;
    let (next, marked) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let board = Board::new();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, all.len()) {
            scope.spawn(|| {
                while let Some(submission) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(original) = known.iter().find(|known| known.stem() == submission.assignment) else {
                        continue;
                    };
                    let marked_now = once(workbench, original, submission, out, options);
                    let earned: f64 = marked_now.points.iter().filter_map(|points| points.points).sum();
                    board.say(&format!("{} {}: {earned} points", submission.student, submission.assignment));
                    if let Ok(mut marked) = marked.lock() {
                        marked.insert(submission.clone(), marked_now);
                    }
                }
            });
        }
    });
    let mut marked: Vec<Marked> = marked.into_inner().unwrap_or_default().into_values().collect();
    let n = marked.iter().map(|marked| marked.points.len()).sum::<usize>();
    let before = found_before(out);
    let whose = |marked: &Marked| marked.points.first().map(|one| (one.student.clone(), one.assignment.clone()));
    let of_before = |marked: &Marked| before.iter().find(|before| whose(before) == whose(marked));
    // What could not be read is taken for what was there.
    for unread in marked.iter_mut().filter(|marked| marked.digest.is_empty()) {
        unread.digest = of_before(unread).map_or_else(String::new, |before| before.digest.clone());
    }
    let markings = marked.iter().map(|marked| Marking {
        points: marked.points.clone(),
        before: of_before(marked).map_or_else(Vec::new, |before| before.points.clone()),
        anew: of_before(marked).is_none_or(|before| !marked.is_of_same_submission(before)),
    });
    let (former, added) = filled_in()?;
    let points = together(markings.collect(), former, |task| text_mark(out, task));
    if points.len() > n {
        crate::say!("{} lines of other submissions stay in {}", points.len() - n, grades.display());
    }
    write_atomic(&grades, &csv_of(&points, &added)?)?;
    // After the grades: a run that is killed between leaves lines that are taken for what they are, the program's.
    let others = before.iter().filter(|before| !marked.iter().any(|marked| whose(marked) == whose(before)));
    let found: Vec<&Marked> = marked.iter().chain(others).collect();
    write_atomic(&out.join(FOUND), &serde_json::to_vec(&found).unwrap_or_default())?;
    write_atomic(&out.join("totals.csv"), &totals_of(&points)?)?;
    Ok(points)
}

/// A folder for grades, which are nobody else's business; one that is there stays as it is.
fn create_for_oneself(folder: &Path) -> Result<()> {
    if let Some(above) = folder.parent() {
        fs::create_dir_all(above).map_err(Error::io(above, "creating the folder"))?;
    }
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::io(folder, "creating the folder")(error))
        }
        _ => Ok(()),
    }
}

/// Eight digits of the text that was handed in for a task, by which another one is known.
fn text_mark(out: &Path, task: &Points) -> Option<String> {
    let notebook = Notebook::read(&kept(out, &task.student, &task.assignment)).ok()?;
    let cell = notebook.cells().iter().find(|cell| mark(cell).is_some_and(|mark| mark.id == task.task))?;
    Some(sha256_hex(source(cell).trim().as_bytes())[..8].to_string())
}

/// One submission, or what is there of it from a run before.
fn once(workbench: &Workbench, original: &Notebook, submission: &Submission, out: &Path, options: &Options) -> Marked {
    let bytes = match fs::read(&submission.path).map_err(Error::io(&submission.path, "reading")) {
        Ok(bytes) => bytes,
        Err(error) => {
            let points = not_marked(original, submission, &error);
            return Marked { key: String::new(), digest: String::new(), points };
        }
    };
    let digest = sha256_hex(&bytes);
    // The checks are compiled into the program.
    let program = fs::metadata(workbench.program()).ok().and_then(|of| Some((of.len(), of.modified().ok()?)));
    let Options { limits, cell_seconds, walls, seed, .. } = options;
    let made_from = format!("{program:?} {limits:?} {cell_seconds} {walls:?} {seed:?} {} ", original.json);
    let key = sha256_hex(&[made_from.as_bytes(), &bytes[..]].concat());
    let marks = kept(out, &submission.student, &submission.assignment).with_extension("json");
    let before = fs::read(&marks).ok().and_then(|text| serde_json::from_slice::<Marked>(&text).ok());
    if let Some(before) = before.filter(|before| before.key == key) {
        return Marked { digest, ..before };
    }
    let points = match one(workbench, original, submission, &bytes, out, options) {
        Ok(points) => points,
        // Without a key: the next run marks it again.
        Err(error) => {
            return Marked { key: String::new(), digest, points: not_marked(original, submission, &error) };
        }
    };
    let marked = Marked { key, digest, points };
    let text = serde_json::to_vec(&marked).unwrap_or_default();
    // Where it cannot be kept it is marked again the next time.
    if fs::create_dir_all(marks.parent().unwrap_or(out)).is_ok() {
        let _ = write_atomic(&marks, &text);
    }
    marked
}

/// The points of a submission, and the digest of all that decides them.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Marked {
    /// Empty where it could not be marked.
    key: String,
    /// That of the submission alone; an earlier version wrote none.
    #[serde(default)]
    digest: String,
    points: Vec<Points>,
}

impl Marked {
    /// Whether what was handed in is the same; how it is marked may be another way.
    fn is_of_same_submission(&self, before: &Marked) -> bool {
        match before.digest.is_empty() {
            true => !self.key.is_empty() && self.key == before.key,
            false => self.digest == before.digest,
        }
    }
}

/// What stood in `grades.csv` by the program alone when it was written last.
fn found_before(out: &Path) -> Vec<Marked> {
    fs::read(out.join(FOUND)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// The students that are known by their folders: of submissions now, of those that were marked before, and of notebooks
/// that ran.
fn folders_of(out: &Path, now: &[Submission]) -> Folders {
    let now = now.iter().map(|one| (one.student.clone(), one.assignment.clone()));
    let before = found_before(out).into_iter().flat_map(|marked| marked.points);
    let before = before.map(|one| (one.student, one.assignment));
    Folders::of(now.chain(before).chain(notebooks_that_ran(out)))
}

/// Student and assignment of every notebook that [`kept`] names.
fn notebooks_that_ran(out: &Path) -> Vec<(String, String)> {
    let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found = Vec::new();
    for path in list(&out.join("executed")).flat_map(|student| list(&student)) {
        let student = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let assignment = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        found.extend(student.zip(assignment).filter(|_| path.extension().is_some_and(|kind| kind == "ipynb")));
    }
    found
}

/// One submission; whatever is wrong with it costs it the points.
///
/// # Errors
/// A fault of this machine, of which the submission's points say nothing.
fn one(
    workbench: &Workbench,
    original: &Notebook,
    submission: &Submission,
    bytes: &[u8],
    out: &Path,
    options: &Options,
) -> Result<Vec<Points>> {
    let handed_in = match Notebook::of(&submission.path, bytes) {
        Ok(notebook) => notebook,
        Err(error) => return Ok(points_of(original, submission, &nothing(submission), &error.to_string())),
    };
    let (notebook, end) = executed(workbench, original, submission, &handed_in, options, Some(out))?;
    keep(submission, &notebook, out)?;
    Ok(points_of(original, submission, &notebook, &end))
}

/// The lines of a submission that this machine could not mark.
fn not_marked(original: &Notebook, submission: &Submission, error: &Error) -> Vec<Points> {
    crate::say!("{} {}: not marked, the next run tries again ({error})", submission.student, submission.assignment);
    points_of(original, submission, &nothing(submission), &format!("{NOT_MARKED}: {error}"))
}

fn nothing(submission: &Submission) -> Notebook {
    Notebook { path: submission.path.clone(), json: json!({ "cells": [] }) }
}

/// Where the notebook of a submission lies as it ran.
fn kept(out: &Path, student: &str, assignment: &str) -> PathBuf {
    out.join("executed").join(student).join(format!("{assignment}.ipynb"))
}

fn keep(submission: &Submission, notebook: &Notebook, out: &Path) -> Result<()> {
    let path = kept(out, &submission.student, &submission.assignment);
    let folder = path.parent().unwrap_or(out);
    fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
    write_atomic(&path, notebook.to_text().as_bytes())
}

/// Removes from the temporary folder what interrupted runs of this user have left there: copies of students' notebooks,
/// and all that their kernels made.
pub fn sweep_left_behind(temporary: &Path) {
    sweep(temporary, &own_places(), LEFT_BEHIND);
}

/// What the names of this user's folders begin with in which submissions run.
fn own_places() -> String {
    // SAFETY: asks for a number.
    format!("{PLACES}{}-", unsafe { libc::geteuid() })
}

/// The submission as it was run, and what ended it where it did not end by itself. `out` is where the grades go, which it does not see.
///
/// # Errors
/// What hinders this machine from running it at all; nothing that the submission does.
pub fn executed(
    workbench: &Workbench,
    original: &Notebook,
    submission: &Submission,
    handed_in: &Notebook,
    options: &Options,
    out: Option<&Path>,
) -> Result<(Notebook, String)> {
    let merged = to_be_marked(original, handed_in);
    let folder = tempfile::Builder::new()
        .prefix(&own_places())
        .tempdir()
        .map_err(Error::io(&std::env::temp_dir(), "creating a folder in"))?;
    let whole = fs::canonicalize(folder.path()).map_err(Error::io(folder.path(), "finding"))?;
    // What the submission may write, and beside it what it may not.
    let (place, nothing) = (whole.join("place"), whole.join("nothing"));
    fs::create_dir(&place).map_err(Error::io(&place, "creating the folder"))?;
    write_atomic(&nothing, b"")?;
    let mut log = tempfile::tempfile_in(&whole).map_err(Error::io(&whole, "creating a log in"))?;
    let notebook = place.join("submission.ipynb");
    write_atomic(&notebook, merged.to_text().as_bytes())?;
    let (runner, executed) = (place.join("run.py"), place.join("executed.ipynb"));
    write_atomic(&runner, RUNNER.as_bytes())?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let arguments = [
        text(&workbench.python()),
        text(&runner),
        "--notebook".into(),
        text(&notebook),
        "--executed".into(),
        text(&executed),
        "--kernel".into(),
        KERNEL_NAME.to_string(),
        "--cell-seconds".into(),
        options.cell_seconds.to_string(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut view = view(workbench, submission, options, &place, out)?;
    view.nothing = nothing;
    let mut command = options.walls.around(&arguments, &view);
    command.envs(workbench.jupyter_environment());
    for (variable, folder) in toolchain_homes() {
        command.env(variable, folder);
    }
    // What Jupyter writes goes where it may.
    for (variable, name) in
        [("JUPYTER_RUNTIME_DIR", "runtime"), ("IPYTHONDIR", "ipython"), ("HOME", "home"), ("TMPDIR", "tmp")]
    {
        let folder = place.join(name);
        fs::create_dir_all(&folder).map_err(Error::io(&folder, "creating the folder"))?;
        command.env(variable, folder);
    }
    command.env_remove(SEED_VARIABLE);
    if let Some(seed) = options.seed {
        command.env(SEED_VARIABLE, seed.to_string());
    }
    let set: Vec<OsString> =
        command.get_envs().filter_map(|(name, value)| Some(name.to_os_string()).filter(|_| value.is_some())).collect();
    for (variable, _) in
        std::env::vars_os().filter(|(name, _)| !set.contains(name) && !is_told(&name.to_string_lossy()))
    {
        command.env_remove(variable);
    }
    let end = run_within(command, &options.limits, &place, &log)?;
    if end == End::Ended(0) {
        return Ok(match executed_copy(&executed) {
            Ok(notebook) => (notebook, String::new()),
            Err(why) => (merged, why),
        });
    }
    let (head, tail) = (part_of(&mut log, false)?, part_of(&mut log, true)?);
    let said = tail.trim().lines().last().unwrap_or("nothing was said");
    let why = match &end {
        End::Over(why) => why.clone(),
        End::Ended(code) => format!("{RUN_ENDED_WITH} {code}: {said}"),
    };
    if end != End::Ended(NO_NOTEBOOK) && !head.lines().any(|line| line == READY) {
        let first = head.trim().lines().next().unwrap_or("nothing was said");
        let advice = "Nothing of the submission was run: look at the memory, the disk and the kernel of this machine";
        let why = format!("{why} (before the kernel was ready; first: {first})");
        return Err(failed("run_submission.py", why, advice));
    }
    // What was run before the end counts.
    Ok((executed_copy(&executed).unwrap_or(merged), why))
}

/// The notebook that the runner wrote into a folder that a submission can write too: it is followed nowhere, waited for never, and
/// read up to a limit.
fn executed_copy(path: &Path) -> std::result::Result<Notebook, String> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(NOTHING_CAME_BACK.into()),
        Err(error) => return Err(format!("{NOTHING_CAME_BACK} that is a file ({error})")),
    };
    let of = file.metadata().map_err(|error| format!("{NOTHING_CAME_BACK} that can be read ({error})"))?;
    if !of.is_file() || of.nlink() != 1 || of.len() > LARGEST {
        let kind = if of.is_file() { "a file" } else { "no file" };
        let found = format!("{kind} of {} bytes under {} names", of.len(), of.nlink());
        return Err(format!(
            "{NOTHING_CAME_BACK} that counts: expected one file of {LARGEST} bytes at most under one name, found {found}"
        ));
    }
    let mut bytes = Vec::new();
    let read = file.take(LARGEST).read_to_end(&mut bytes);
    read.map_err(|error| format!("{NOTHING_CAME_BACK} that can be read ({error})"))?;
    Notebook::of(path, &bytes).map_err(|error| format!("{NOTHING_CAME_BACK} that is a notebook ({error})"))
}

/// The beginning or the end of what a run printed.
fn part_of(log: &mut File, end: bool) -> Result<String> {
    let wrong = |error| Error::io("the log of a submission", "reading")(error);
    let length = log.metadata().map_err(wrong)?.len();
    let (most, start) = if end { (OF_LOG.1, length.saturating_sub(OF_LOG.1)) } else { (OF_LOG.0, 0) };
    log.seek(SeekFrom::Start(start)).map_err(wrong)?;
    let mut bytes = Vec::new();
    log.take(most).read_to_end(&mut bytes).map_err(wrong)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Where rustup and Cargo keep their things; they find them by the home folder otherwise, which a submission does not have.
fn toolchain_homes() -> Vec<(&'static str, PathBuf)> {
    let home = std::env::home_dir().unwrap_or_default();
    [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")]
        .into_iter()
        .map(|(variable, name)| (variable, std::env::var_os(variable).map_or_else(|| home.join(name), PathBuf::from)))
        .filter(|(_, folder)| folder.is_dir())
        .collect()
}

/// What a submission sees: nothing of the home folder but what compiles and runs it, nothing of other submissions, no solution, no
/// folder in which programs leave their sockets.
fn view(
    workbench: &Workbench,
    submission: &Submission,
    options: &Options,
    place: &Path,
    out: Option<&Path>,
) -> Result<View> {
    let whole = |path: &Path| fs::canonicalize(path).map_err(Error::io(path, "finding"));
    let mut view = View { open: vec![(place.to_path_buf(), place.to_path_buf())], ..View::default() };
    if options.walls == Walls::None {
        return Ok(view);
    }
    let kernel = workbench.state().join("kernel");
    for made in [&place.join(KERNEL), &kernel] {
        fs::create_dir_all(made).map_err(Error::io(made, "creating the folder"))?;
    }
    view.open.push((place.join(KERNEL), whole(&kernel)?));
    let asked = process::output(
        "python",
        Command::new(workbench.python()).args(["-c", "import sys; print(sys.base_prefix)"]),
        "Run `cargo run -- setup`",
    )?;
    let root = whole(workbench.root())?;
    let homes: Vec<PathBuf> = toolchain_homes().into_iter().map(|(_, folder)| folder).collect();
    let home = std::env::home_dir().filter(|home| home.is_dir()).map(|home| whole(&home)).transpose()?;

    let mut kept = vec![root.clone(), PathBuf::from(asked)];
    kept.extend(homes.iter().cloned());
    kept.extend(compiled(workbench.program()));
    kept = kept.iter().filter(|path| path.is_dir()).map(|path| whole(path)).collect::<Result<_>>()?;
    // Who keeps what running writes right in the home folder does not open that by it.
    kept.extend(Some(whole(&workbench.state())?).filter(|state| home.as_ref() != Some(state)));
    // Links in what is hidden, under the names by which programs and libraries are found.
    let links = ["/run/current-system", "/run/opengl-driver"].map(PathBuf::from);
    kept.extend(links.into_iter().filter(|path| path.is_dir()));

    let mut hidden = vec![whole(&folder_of_assignments(workbench))?];
    // The folder with one folder per student is one or two above the notebook.
    let student = submission
        .path
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| name == submission.student.as_str()));
    hidden.extend(student.and_then(Path::parent).map(whole).transpose()?);
    hidden.extend(out.map(whole).transpose()?);
    hidden.extend(home);
    // Sockets of services, what other programs and other submissions keep for a while.
    hidden.extend(["/run", "/var/run", "/tmp", "/var/tmp", "/dev/shm"].map(PathBuf::from));
    hidden.push(std::env::temp_dir());
    // The hub's home holds a token, wherever it is, and so does Cargo's; Jupyter's servers have keys of theirs.
    hidden.extend(crate::hub::private_folders());
    hidden.extend(homes.iter().flat_map(|home| ["credentials.toml", "credentials"].map(|name| home.join(name))));
    hidden.push(workbench.state().join("jupyter").join("runtime"));
    // The history has the solutions, and so has what `course build` wrote.
    hidden.extend(root.ancestors().flat_map(history));
    for above in [Some(root.clone()), std::env::current_dir().ok()].into_iter().flatten() {
        let entries = fs::read_dir(&above).map_err(Error::io(&above, "listing"))?;
        hidden.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.join(outputs::MARK).exists()));
    }
    // What is not there needs no hiding.
    let hidden: Vec<PathBuf> = hidden.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    view.layers = layers(&hidden, &kept);
    Ok(view)
}

/// Where the program and what it was compiled from lie (`kernel.rs`): those of the target, and those of the host.
fn compiled(program: &Path) -> Vec<PathBuf> {
    let profile = program.parent();
    let host = profile.and_then(|profile| Some(profile.ancestors().nth(2)?.join(profile.file_name()?).join("deps")));
    profile.map(Path::to_path_buf).into_iter().chain(host).collect()
}

/// The history that git keeps of a folder; of a second work tree it lies elsewhere, and a file names it.
fn history(folder: &Path) -> Vec<PathBuf> {
    let own = folder.join(".git");
    let named = fs::read_to_string(&own).ok();
    let named = named.as_deref().and_then(|text| text.trim().strip_prefix("gitdir:"));
    let named = named.and_then(|path| fs::canonicalize(folder.join(path.trim())).ok());
    let shared = named.as_ref().and_then(|path| path.ancestors().find(|path| path.join("objects").is_dir()));
    let shared = shared.map(Path::to_path_buf);
    [Some(own).filter(|own| own.exists()), shared].into_iter().flatten().collect()
}

/// The variables of the teacher's environment that a submission is told: what compiles and runs it, the language, and nothing else.
/// Which words mean a secret nobody knows.
fn is_told(name: &str) -> bool {
    let whole = ["PATH", "LANG", "LANGUAGE", "TZ", "TERM", "SHELL", "USER", "LOGNAME", "CC", "CXX"];
    let beginnings =
        ["LC_", "LD_", "DYLD_", "RUST", "CARGO_", "WIDER_CLIP_", "RAYON_", "CANDLE_", "CUDA_", "JUPYTER_", "SSL_CERT_"];
    // Registries have their tokens in variables of Cargo's.
    let is_secret = ["TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"].iter().any(|word| name.contains(word));
    (whole.contains(&name) || beginnings.iter().any(|beginning| name.starts_with(beginning))) && !is_secret
}

/// What every task of the original gave.
pub fn points_of(original: &Notebook, submission: &Submission, executed: &Notebook, end: &str) -> Vec<Points> {
    let of = |wanted: &Mark| executed.cells().iter().find(|cell| mark(cell).is_some_and(|mark| mark.id == wanted.id));
    // A text as it was handed out, without what the teacher would have written.
    let released = student_version(original).unwrap_or_else(|_| original.clone());
    let tasks = released.cells().iter().filter_map(|cell| Some((cell, mark(cell)?))).filter(|(_, mark)| mark.grade);
    tasks
        .map(|(ours, task)| {
            let (points, why) = match of(&task) {
                None => (Some(0.0), if end.is_empty() { CELL_IS_MISSING.into() } else { end.to_string() }),
                Some(cell) if task.solution && source(cell).trim() == source(ours).trim() => {
                    (Some(0.0), NOTHING_WRITTEN.into())
                }
                Some(_) if task.solution => (None, TO_BE_READ.into()),
                Some(cell) => points_of_cell(cell, task.points, end),
            };
            Points {
                student: submission.student.clone(),
                assignment: submission.assignment.clone(),
                task: task.id,
                points,
                of: task.points,
                why,
            }
        })
        .collect()
}

fn points_of_cell(cell: &Value, of: f64, end: &str) -> (Option<f64>, String) {
    let mut number = None;
    for output in cell["outputs"].as_array().into_iter().flatten() {
        match output["output_type"].as_str() {
            Some("error") => {
                let said = [&output["ename"], &output["evalue"]].map(|text| text.as_str().unwrap_or_default());
                return (Some(0.0), said.join(": "));
            }
            Some("stream") if output["name"] == "stderr" => {
                return (Some(0.0), "the cell wrote to standard error".into());
            }
            Some("execute_result") if number.is_none() => {
                number = text_of(&output["data"]["text/plain"]).trim().parse::<f64>().ok();
            }
            _ => {}
        }
    }
    match number {
        Some(points) if (0.0..=of).contains(&points) => (Some(points), String::new()),
        Some(points) => (Some(0.0), format!("{points} is no number of points from 0 to {of}")),
        None if end.is_empty() => (Some(0.0), "the cell gave no points".into()),
        None => (Some(0.0), end.to_string()),
    }
}

/// Writes a page per submission under `feedback/`, with the points of `grades.csv` in a folder that [`grade`] made: those of texts are
/// filled in there by whoever read them. Gives the pages, and what could not be made.
///
/// # Errors
/// As [`read_grades`].
pub fn feedback(workbench: &Workbench, out: &Path) -> Result<(Vec<PathBuf>, Vec<String>)> {
    setup::ensure_python(workbench)?;
    let all = read_grades(&out.join("grades.csv"), &folders_of(out, &[]))?;
    write_atomic(&out.join("totals.csv"), &totals_of(&all)?)?;
    let mut of: BTreeMap<(String, String), Vec<Points>> = BTreeMap::new();
    for points in all {
        of.entry((points.student.clone(), points.assignment.clone())).or_default().push(points);
    }
    let (mut pages, mut without) = (Vec::new(), Vec::new());
    for ((student, assignment), points) in of {
        // Names come from a file that anybody may have written: they must stay names.
        let inside = |name: &str| !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != "..";
        let made = match inside(&student) && inside(&assignment) {
            false => Err(Error::argument("grades.csv", "names of folders", format!("{student}, {assignment}"))),
            true => Notebook::read(&kept(out, &student, &assignment))
                .and_then(|notebook| page(workbench, (&student, &assignment), &notebook, &points, out)),
        };
        match made {
            Ok(page) => pages.push(page),
            Err(error) => without.push(format!("{student} {assignment}: {error}")),
        }
    }
    Ok((pages, without))
}

/// The notebook of a feedback page: the points, then the cells with what they gave. It is made anew, of text and images alone, with
/// links that lead to pages, to addresses for mail and to places in the page: nothing that a browser would run, whoever made it.
pub fn shown_notebook(executed: &Notebook, (student, assignment): (&str, &str), points: &[Points]) -> Notebook {
    let title = format!("{assignment}: {student}");
    let mut text = format!("# {}\n\n| task | points | of | |\n|---|---|---|---|\n", plain(&title));
    for one in points {
        let given = one.points.map_or_else(|| "–".into(), |points| points.to_string());
        text += &format!("| {} | {given} | {} | {} |\n", plain(&one.task), one.of, plain(shown_why(one)));
    }
    let earned: f64 = points.iter().filter_map(|one| one.points).sum();
    text += &format!(
        "\n**{earned} of {} points**, and what has to be read.\n",
        points.iter().map(|one| one.of).sum::<f64>()
    );
    let first = json!({ "cell_type": "markdown", "id": "points", "metadata": {}, "source": text });
    let cells = executed.cells().iter().enumerate().map(|(at, cell)| shown_cell(cell, &format!("cell-{at}")));
    let cells: Vec<Value> = std::iter::once(first).chain(cells).collect();
    let json = json!({ "cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5 });
    Notebook { path: executed.path.clone(), json }
}

fn shown_cell(cell: &Value, id: &str) -> Value {
    let written = source(cell);
    if cell["cell_type"] == "code" {
        let outputs: Vec<Value> = cell["outputs"].as_array().into_iter().flatten().filter_map(shown_output).collect();
        let count = cell["execution_count"].as_u64();
        return json!({
            "cell_type": "code", "id": id, "metadata": {}, "execution_count": count, "source": written, "outputs": outputs,
        });
    }
    let shown = match cell["cell_type"] == "markdown" {
        true => safe_links(&written.replace('<', "&lt;").replace("![", "! [")),
        false => fenced(&written),
    };
    json!({ "cell_type": "markdown", "id": id, "metadata": {}, "source": shown })
}

/// An output without the forms that a browser would run.
fn shown_output(output: &Value) -> Option<Value> {
    match output["output_type"].as_str()? {
        "stream" => {
            let name = if output["name"] == "stderr" { "stderr" } else { "stdout" };
            Some(json!({ "output_type": "stream", "name": name, "text": text_of(&output["text"]) }))
        }
        "error" => {
            let lines = output["traceback"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let text = lines.collect::<Vec<_>>().join("\n") + "\n";
            Some(json!({ "output_type": "stream", "name": "stderr", "text": text }))
        }
        "display_data" | "execute_result" => {
            let mut data = serde_json::Map::new();
            for kind in ["text/plain", "image/png", "image/jpeg"] {
                if let Some(given) = output["data"].get(kind) {
                    data.insert(kind.into(), Value::from(text_of(given)));
                }
            }
            if let Some(cases) = output["data"][MARKS_MIME]["cases"].as_array() {
                data.insert("text/markdown".into(), Value::from(table_of(cases)));
            }
            Some(json!({ "output_type": "display_data", "metadata": {}, "data": data }))
        }
        _ => None,
    }
}

/// Text as a block of code, whose end it cannot write.
fn fenced(text: &str) -> String {
    let runs = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(runs + 1));
    format!("{fence}\n{text}\n{fence}\n")
}

/// Writes the page that a student sees.
fn page(
    workbench: &Workbench,
    (student, assignment): (&str, &str),
    executed: &Notebook,
    points: &[Points],
    out: &Path,
) -> Result<PathBuf> {
    let shown = shown_notebook(executed, (student, assignment), points);
    let folder = out.join("feedback").join(student);
    fs::create_dir_all(&folder).map_err(Error::io(&folder, "creating the folder"))?;
    let copy =
        tempfile::Builder::new().prefix("feedback-").tempdir_in(&folder).map_err(Error::io(&folder, "creating in"))?;
    let notebook = copy.path().join(format!("{assignment}.ipynb"));
    write_atomic(&notebook, shown.to_text().as_bytes())?;
    let page = folder.join(format!("{assignment}.html"));
    report::write_one_page(workbench, &notebook, &page, true)?;
    Ok(page)
}

/// The cases of a check as a table in Markdown; what they say is text, whoever made them.
fn table_of(cases: &[Value]) -> String {
    let mut text = "| case | kind | what came of it |\n|---|---|---|\n".to_string();
    for case in cases {
        let cell = |at: usize| plain(case[at].as_str().unwrap_or_default());
        text += &format!("| {} | {} | {} |\n", cell(0), cell(1), cell(2));
    }
    text
}

/// Text that Markdown leaves as it is.
fn plain(text: &str) -> String {
    let special = |c: char| {
        matches!(
            c,
            '\\' | '`'
                | '*'
                | '_'
                | '{'
                | '}'
                | '['
                | ']'
                | '('
                | ')'
                | '#'
                | '+'
                | '!'
                | '|'
                | '<'
                | '>'
                | '$'
                | '&'
                | '~'
        )
    };
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                vec![' ']
            } else if special(c) {
                vec!['\\', c]
            } else {
                vec![c]
            }
        })
        .collect()
}
