//! Assignments as notebooks: what is the teacher's in them, what the student's.
//!
//! The marks are those of nbgrader's metadata (`nbgrader` of a cell, schema 3), so that either program reads the other's files.

use crate::error::{Error, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What stands in place of a solution.
pub const STUB: [&str; 2] = ["// YOUR CODE HERE", "todo!()"];
/// What stands in place of a text.
pub const TEXT_STUB: &str = "*Your text here.*";
/// Between these words a solution stands.
const SOLUTION: (&str, &str) = ("BEGIN SOLUTION", "END SOLUTION");
/// Between these words stands what only the teacher's version has.
const HIDDEN: (&str, &str) = ("BEGIN HIDDEN TESTS", "END HIDDEN TESTS");

/// A notebook, as the JSON that it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Notebook {
    /// Where it came from.
    pub path: PathBuf,
    /// All of it.
    pub json: Value,
}

/// What nbgrader's metadata say of a cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Mark {
    /// The name that joins a cell with that of a submission.
    pub id: String,
    /// Whether it gives points.
    pub grade: bool,
    /// Whether a student writes in it.
    pub solution: bool,
    /// Whether it is put back before marking.
    pub locked: bool,
    /// What it is worth.
    pub points: f64,
}

impl Notebook {
    /// Reads a notebook.
    ///
    /// # Errors
    /// A file that cannot be read or is no notebook.
    pub fn read(path: &Path) -> Result<Notebook> {
        Notebook::of(path, &fs::read(path).map_err(Error::io(path, "reading"))?)
    }

    /// A notebook whose bytes were read from `path` already.
    ///
    /// # Errors
    /// Bytes that are no notebook.
    pub fn of(path: &Path, bytes: &[u8]) -> Result<Notebook> {
        let wrong = |found: String| Error::data(path, "a notebook (JSON with a list `cells`)", found);
        let json: Value = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        match json["cells"].is_array() {
            true => Ok(Notebook { path: path.into(), json }),
            false => Err(wrong("JSON without one".into())),
        }
    }

    /// The name of the file, without its ending.
    pub fn stem(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Its cells.
    pub fn cells(&self) -> &[Value] {
        self.json["cells"].as_array().map_or(&[], Vec::as_slice)
    }

    fn cells_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Value> {
        self.json["cells"].as_array_mut().into_iter().flatten()
    }

    /// Takes the outputs of the same notebook as it ran, cell by cell.
    pub fn take_outputs(&mut self, ran: &Notebook) {
        for (own, ran) in self.cells_mut().zip(ran.cells()).filter(|(own, _)| own["cell_type"] == "code") {
            for part in ["outputs", "execution_count"] {
                own[part] = ran[part].clone();
            }
        }
    }

    /// The text of the notebook, as Jupyter writes it.
    pub fn to_text(&self) -> String {
        let mut out = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut writer = serde_json::Serializer::with_formatter(&mut out, format);
        // Writing JSON into memory cannot fail.
        let _ = serde::Serialize::serialize(&self.json, &mut writer);
        String::from_utf8_lossy(&out).into_owned() + "\n"
    }
}

/// The source of a cell.
pub fn source(cell: &Value) -> String {
    text_of(&cell["source"])
}

/// A text of a notebook, whichever of the two ways it is written in.
pub fn text_of(text: &Value) -> String {
    match text {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().into(),
    }
}

fn set_source(cell: &mut Value, text: &str) {
    cell["source"] = text.split_inclusive('\n').map(Value::from).collect();
}

/// What a cell's metadata say; `None` for a cell that is nobody's business.
pub fn mark(cell: &Value) -> Option<Mark> {
    let of = cell["metadata"].get("nbgrader")?;
    let is = |key: &str| of[key].as_bool().unwrap_or(false);
    let id = of["grade_id"].as_str()?.to_string();
    let points = of["points"].as_f64().unwrap_or(0.0);
    Some(Mark { id, grade: is("grade"), solution: is("solution"), locked: is("locked"), points })
}

/// The lines without those between two words, and what was written for them in their place, at the indent of the first word.
fn without(text: &str, (begin, end): (&str, &str), stub: &[&str], wrong: impl Fn(String) -> Error) -> Result<String> {
    let (mut lines, mut inside) = (Vec::new(), false);
    for line in text.lines() {
        match (line.contains(begin), line.contains(end), inside) {
            (true, _, true) => return Err(wrong(format!("a second `{begin}` before the first has ended"))),
            (true, _, false) => {
                inside = true;
                let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
                lines.extend(stub.iter().map(|stub| format!("{indent}{stub}")));
            }
            (_, true, true) => inside = false,
            (_, true, false) => return Err(wrong(format!("an `{end}` without its beginning"))),
            (false, false, true) => {}
            (false, false, false) => lines.push(line.to_string()),
        }
    }
    if inside { Err(wrong(format!("a `{begin}` without its end"))) } else { Ok(lines.join("\n")) }
}

/// What a student gets: solutions and hidden tests taken out, outputs too.
///
/// # Errors
/// [`Error::Data`] where a region has no end, or a cell that asks for a solution has none to take out.
pub fn student_version(source_of: &Notebook) -> Result<Notebook> {
    let mut made = source_of.clone();
    let path = source_of.path.clone();
    for (number, cell) in made.cells_mut().enumerate() {
        let text = source(cell);
        let code = cell["cell_type"] == "code";
        let wrong =
            |found: String| Error::data(&path, format!("regions that begin and end, in cell {}", number + 1), found);
        let mut left = without(&text, HIDDEN, &[], wrong)?;
        let solution = mark(cell).is_some_and(|mark| mark.solution);
        if left.contains(SOLUTION.0) || left.contains(SOLUTION.1) {
            left = without(&left, SOLUTION, if code { &STUB } else { &[TEXT_STUB] }, wrong)?;
        } else if solution && code {
            return Err(wrong(format!("a cell for a solution without `{}`", SOLUTION.0)));
        } else if solution {
            // All of a text is its answer, as nbgrader has it.
            left = TEXT_STUB.into();
        }
        if left != text {
            set_source(cell, &left);
        }
        if code {
            cell["outputs"] = Value::Array(Vec::new());
            cell["execution_count"] = Value::Null;
        }
    }
    Ok(made)
}

/// A submission as it is marked: the student's cells, with everything that is locked put back as the teacher wrote it. A name that
/// comes twice counts the last time, as in nbgrader. What was deleted stays deleted, and is worth nothing.
pub fn to_be_marked(original: &Notebook, submission: &Notebook) -> Notebook {
    let own: BTreeMap<String, &Value> =
        original.cells().iter().filter_map(|cell| Some((mark(cell)?.id, cell))).collect();
    let mut made = submission.clone();
    let mut seen = BTreeSet::new();
    for cell in made.cells_mut().rev() {
        let Some(theirs) = mark(cell) else { continue };
        let ours = own.get(&theirs.id).filter(|_| seen.insert(theirs.id.clone()));
        let Some(ours) = ours else {
            if let Some(metadata) = cell["metadata"].as_object_mut() {
                metadata.remove("nbgrader");
            }
            continue;
        };
        // Also of a cell that was made one of another kind: the teacher's text would be the solution.
        let keep = mark(ours).is_some_and(|mark| mark.solution);
        let text = if keep { source(cell) } else { source(ours) };
        *cell = (*ours).clone();
        set_source(cell, &text);
    }
    for cell in made.cells_mut().filter(|cell| cell["cell_type"] == "code") {
        cell["outputs"] = Value::Array(Vec::new());
        cell["execution_count"] = Value::Null;
    }
    made.json["metadata"] = original.json["metadata"].clone();
    made
}

/// The assignments of the project, in order.
///
/// # Errors
/// A folder or a notebook that cannot be read.
pub fn assignments(folder: &Path) -> Result<Vec<Notebook>> {
    let entries = fs::read_dir(folder).map_err(Error::io(folder, "listing"))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io(folder, "listing"))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.extension().is_some_and(|extension| extension == "ipynb") && !hidden {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| Notebook::read(path)).collect()
}
