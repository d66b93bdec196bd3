//! Marks submissions: each runs by itself inside walls, every task gives its points, and a page tells the student what came of it.
//!
//! Points are given as nbgrader gives them: nothing for a cell that failed or wrote to standard error, else the number that is its
//! last value; a text is left to be read. A submission that does harm, hangs or ends its kernel costs its own points and no other's.

use super::assignments::{Mark, Notebook, assignments, mark, source, student_version, text_of, to_be_marked};
use super::folder_of_assignments;
use super::grades::{Marking, TO_BE_READ, csv_of, read_grades, shown_why, together, totals_of};
use super::sandbox::{End, Limits, View, Walls, run_within};
use crate::course::SEED_VARIABLE;
use crate::display::MARKS_MIME;
use crate::error::{Error, Result};
use crate::storage::{sha256_hex, write_atomic};
use crate::workbench::outputs::{self, Output};
use crate::workbench::process::{self, Board};
use crate::workbench::{KERNEL_NAME, Workbench, report, setup};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const RUNNER: &str = include_str!("run_submission.py");
/// Beside `grades.csv`: what of it is the program's.
const FOUND: &str = ".found.json";
/// Where in its folder a submission's kernel keeps what it makes.
const KERNEL: &str = "kernel";

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
    let known = assignments(&folder_of_assignments(workbench))?;
    let (all, others) = submissions(folder, &known)?;
    for path in &others {
        crate::say!("{}: no assignment of this course, passed over", path.display());
    }
    let claimed = outputs::claim(out, Output::Grades)?;
    let out = claimed.folder.as_path();
    let grades = out.join("grades.csv");
    let filled_in = || if grades.exists() { read_grades(&grades) } else { Ok(Vec::new()) };
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
    let marked: Vec<Marked> = marked.into_inner().unwrap_or_default().into_values().collect();
    let n = marked.iter().map(|marked| marked.points.len()).sum::<usize>();
    let before = found_before(out);
    let whose = |marked: &Marked| marked.points.first().map(|one| (one.student.clone(), one.assignment.clone()));
    let of_before = |marked: &Marked| before.iter().find(|before| whose(before) == whose(marked));
    let markings = marked.iter().map(|marked| Marking {
        points: marked.points.clone(),
        before: of_before(marked).map_or_else(Vec::new, |before| before.points.clone()),
        anew: of_before(marked).is_none_or(|before| before.key != marked.key || before.key.is_empty()),
    });
    let points = together(markings.collect(), filled_in()?, |task| text_mark(out, task));
    if points.len() > n {
        crate::say!("{} lines of other submissions stay in {}", points.len() - n, grades.display());
    }
    write_atomic(&grades, &csv_of(&points)?)?;
    // After the grades: a run that is killed between leaves lines that are taken for what they are, the program's.
    let others = before.iter().filter(|before| !marked.iter().any(|marked| whose(marked) == whose(before)));
    let found: Vec<&Marked> = marked.iter().chain(others).collect();
    write_atomic(&out.join(FOUND), &serde_json::to_vec(&found).unwrap_or_default())?;
    write_atomic(&out.join("totals.csv"), &totals_of(&points)?)?;
    Ok(points)
}

/// Eight digits of the text that was handed in for a task, by which another one is known.
fn text_mark(out: &Path, task: &Points) -> Option<String> {
    let notebook = Notebook::read(&kept(out, &task.student, &task.assignment)).ok()?;
    let cell = notebook.cells().iter().find(|cell| mark(cell).is_some_and(|mark| mark.id == task.task))?;
    Some(sha256_hex(source(cell).trim().as_bytes())[..8].to_string())
}

/// One submission, or what is there of it from a run before.
fn once(workbench: &Workbench, original: &Notebook, submission: &Submission, out: &Path, options: &Options) -> Marked {
    let Ok(bytes) = fs::read(&submission.path) else {
        return Marked { key: String::new(), points: one(workbench, original, submission, out, options) };
    };
    // The checks are compiled into the program.
    let program = fs::metadata(workbench.program()).ok().and_then(|of| Some((of.len(), of.modified().ok()?)));
    let Options { limits, cell_seconds, walls, seed, .. } = options;
    let made_from = format!("{program:?} {limits:?} {cell_seconds} {walls:?} {seed:?} {} ", original.json);
    let key = sha256_hex(&[made_from.as_bytes(), &bytes[..]].concat());
    let marks = kept(out, &submission.student, &submission.assignment).with_extension("json");
    let before = fs::read(&marks).ok().and_then(|text| serde_json::from_slice::<Marked>(&text).ok());
    if let Some(before) = before.filter(|before| before.key == key) {
        return before;
    }
    let points = one(workbench, original, submission, out, options);
    let marked = Marked { key, points };
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
    key: String,
    points: Vec<Points>,
}

/// What stood in `grades.csv` by the program alone when it was written last.
fn found_before(out: &Path) -> Vec<Marked> {
    fs::read(out.join(FOUND)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// One submission; whatever is wrong with it costs it the points.
fn one(
    workbench: &Workbench,
    original: &Notebook,
    submission: &Submission,
    out: &Path,
    options: &Options,
) -> Vec<Points> {
    match executed(workbench, original, submission, options) {
        Ok((notebook, end)) => {
            if let Err(error) = keep(submission, &notebook, out) {
                crate::say!("{} {}: not kept ({error})", submission.student, submission.assignment);
            }
            points_of(original, submission, &notebook, &end)
        }
        Err(error) => {
            let nothing = Notebook { path: submission.path.clone(), json: json!({ "cells": [] }) };
            points_of(original, submission, &nothing, &error.to_string())
        }
    }
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

/// The submission as it was run, and what ended it where it did not end by itself.
pub fn executed(
    workbench: &Workbench,
    original: &Notebook,
    submission: &Submission,
    options: &Options,
) -> Result<(Notebook, String)> {
    let merged = to_be_marked(original, &Notebook::read(&submission.path)?);
    let folder = tempfile::Builder::new()
        .prefix("submission-")
        .tempdir()
        .map_err(Error::io(&std::env::temp_dir(), "creating a folder in"))?;
    let place = fs::canonicalize(folder.path()).map_err(Error::io(folder.path(), "finding"))?;
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
    let mut command = options.walls.around(&arguments, &view(workbench, submission, options, &place)?);
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
    let log = place.join("log");
    let end = run_within(command, &options.limits, &place, &log)?;
    let end = match end {
        End::Over(why) => why,
        End::Ended(0) => String::new(),
        End::Ended(code) => {
            let log = fs::read(&log).unwrap_or_default();
            let log = String::from_utf8_lossy(&log[log.len().saturating_sub(2000)..]).into_owned();
            format!("the run ended with {code}: {}", log.trim().lines().last().unwrap_or("nothing was said"))
        }
    };
    match executed.is_file() {
        true => Ok((Notebook::read(&executed)?, end)),
        false => Ok((merged, if end.is_empty() { "nothing came back".into() } else { end })),
    }
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

/// What a submission sees: nothing of the home folder but what compiles and runs it, nothing of other submissions, no solution.
fn view(workbench: &Workbench, submission: &Submission, options: &Options, place: &Path) -> Result<View> {
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
    let mut kept = vec![root.clone(), PathBuf::from(asked)];
    kept.extend(toolchain_homes().into_iter().map(|(_, folder)| folder));
    let mut hidden = vec![whole(&folder_of_assignments(workbench))?];
    // The folder with one folder per student is one or two above the notebook.
    let student = submission
        .path
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| name == submission.student.as_str()));
    hidden.extend(student.and_then(Path::parent).map(whole).transpose()?);
    // The hub's home holds a token, wherever it is.
    for private in crate::hub::private_folders().iter().filter(|folder| folder.is_dir()) {
        hidden.push(whole(private)?);
    }
    let home = std::env::home_dir()
        .filter(|home| home.is_dir() && *home != Path::new("/"))
        .map(|home| whole(&home))
        .transpose()?;
    // In the order in which they are laid over: home first, then what is kept of it, in which something may be hidden again.
    view.kept = kept
        .iter()
        .filter(|path| home.as_ref().is_some_and(|home| path.starts_with(home)))
        .map(|path| whole(&path))
        .collect::<Result<_>>()?;
    // What lies in the home folder is hidden with it, unless it lies in what is kept of it.
    let is_gone = |path: &Path| {
        home.as_ref().is_some_and(|home| path.starts_with(home)) && !view.kept.iter().any(|kept| path.starts_with(kept))
    };
    let is_needed = |path: &Path| path == Path::new("/") || kept.iter().any(|kept| kept.starts_with(path));
    view.hidden = hidden
        .into_iter()
        .filter(|path| !path.starts_with(place) && !root.starts_with(path) && !is_gone(path) && !is_needed(path))
        .collect();
    view.home = home;
    Ok(view)
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
                None => (Some(0.0), if end.is_empty() { "the cell is missing".into() } else { end.to_string() }),
                Some(cell) if task.solution && source(cell).trim() == source(ours).trim() => {
                    (Some(0.0), "nothing was written".into())
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
    let all = read_grades(&out.join("grades.csv"))?;
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

/// What a student sees: the points, then the notebook with what its cells gave. Forms of output that a browser would run are left
/// out, whoever made them.
fn page(
    workbench: &Workbench,
    (student, assignment): (&str, &str),
    executed: &Notebook,
    points: &[Points],
    out: &Path,
) -> Result<PathBuf> {
    let mut shown = executed.clone();
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
    if let Some(cells) = shown.json["cells"].as_array_mut() {
        for cell in cells.iter_mut() {
            for output in cell.get_mut("outputs").and_then(Value::as_array_mut).into_iter().flatten() {
                if output["output_type"] == "error" {
                    let lines = output["traceback"].as_array().into_iter().flatten().filter_map(Value::as_str);
                    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
                    *output = json!({ "output_type": "stream", "name": "stderr", "text": text });
                }
                if let Some(data) = output.get_mut("data").and_then(Value::as_object_mut) {
                    let cases = data.remove(MARKS_MIME);
                    data.retain(|kind, _| matches!(kind.as_str(), "text/plain" | "image/png" | "image/jpeg"));
                    if let Some(cases) = cases.as_ref().and_then(|data| data["cases"].as_array()) {
                        data.insert("text/markdown".into(), Value::from(table_of(cases)));
                    }
                }
            }
            if cell["cell_type"] == "markdown" {
                let written = source(cell);
                cell["source"] = Value::from(written.replace('<', "&lt;").replace("![", "["));
                if let Some(cell) = cell.as_object_mut() {
                    cell.remove("attachments");
                }
            }
        }
        cells.insert(0, json!({ "cell_type": "markdown", "id": "points", "metadata": {}, "source": text }));
    }
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
