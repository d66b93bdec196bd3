//! `grades.csv`: what the program found, and what a person wrote into it since.
//!
//! A person fills in the points of texts, and may change those of code. Marking again takes nothing of that away in silence: what
//! was given by hand stays as long as what was handed in is the same. A text that was written anew is to be read anew; its line says
//! what the former one had. Lines of submissions that are not marked this time stay as they are. A name in the file may
//! not be as the student's folder has it: [`Folders`] finds the folder, or says which may be meant before anything is
//! changed.

use super::grade::Points;
use crate::error::{Error, Result};
use crate::say::{FORMULA, csv_field};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How a line begins whose text a person has to read.
pub(super) const TO_BE_READ: &str = "to be read";
/// Why a text has no points that nobody has to read.
pub(super) const NOTHING_WRITTEN: &str = "nothing was written";
/// Why a task has no points that is not there.
pub(super) const CELL_IS_MISSING: &str = "the cell is missing";
/// How a line begins whose submission ended without a notebook.
pub(super) const NOTHING_CAME_BACK: &str = "nothing came back";
/// How a line begins whose run failed.
pub(super) const RUN_ENDED_WITH: &str = "the run ended with";
/// How a line begins whose submission could not be run.
pub(super) const NOT_MARKED: &str = "not marked";
/// How the reasons begin that the program itself gives for a text without points: these, and those of `sandbox.rs`.
const OWN_REASONS: [&str; 9] = [
    NOTHING_WRITTEN,
    CELL_IS_MISSING,
    NOTHING_CAME_BACK,
    RUN_ENDED_WITH,
    NOT_MARKED,
    "it took more than ",
    "it used more than ",
    "it had more than ",
    "it wrote more than ",
];
/// What stands before the mark of a text, at the end of a line's reason.
const MARK: &str = " (text ";
const HEADER: [&str; 6] = ["student", "assignment", "task", "points", "of", "why"];

/// The points of one submission as the program finds them now, and as it found them when `grades.csv` was written last.
#[derive(Debug, Clone)]
pub struct Marking {
    /// In the order of the tasks.
    pub points: Vec<Points>,
    /// Empty the first time.
    pub before: Vec<Points>,
    /// Whether what was handed in is another since then.
    pub anew: bool,
}

/// What is to be written: all markings with what `former` lines of `grades.csv` have of a person's, and the lines of other submissions.
/// `text` gives a mark of the text that was handed in for a task, where there is one.
pub fn together(markings: Vec<Marking>, former: Vec<Points>, text: impl Fn(&Points) -> Option<String>) -> Vec<Points> {
    let find = |all: &[Points], of: &Points| all.iter().find(|one| key(one) == key(of) && one.task == of.task).cloned();
    let mut all: Vec<Points> = Vec::new();
    for Marking { points, before, anew } in markings {
        for one in points {
            let line = find(&former, &one);
            all.push(match (one.points, line) {
                (None, line) => with_reading(one.clone(), line, find(&before, &one), text(&one)),
                (Some(_), Some(line)) => with_hand(one.clone(), line, find(&before, &one), anew),
                (Some(_), None) => one,
            });
        }
    }
    let marked: BTreeSet<_> = all.iter().map(key).collect();
    let others: Vec<Points> = former.into_iter().filter(|one| !marked.contains(&key(one))).collect();
    all.extend(others);
    // The tasks of one submission stay in their order.
    all.sort_by_key(key);
    all
}

fn key(one: &Points) -> (String, String) {
    (one.student.clone(), one.assignment.clone())
}

/// A text with what its line says, where that is of the same text. Points that the program gave by itself, because nothing was there
/// to be read, are no reading.
fn with_reading(one: Points, line: Option<Points>, before: Option<Points>, mark: Option<String>) -> Points {
    let mark = mark.map_or_else(String::new, |mark| format!("{MARK}{mark})"));
    let unread = Points { why: format!("{TO_BE_READ}{mark}"), ..one };
    let Some(line) = line else { return unread };
    let of_line = line.why.rfind(MARK).map(|at| &line.why[at..]);
    let is_programs = match &before {
        Some(before) => before.points.is_some() && before.points == line.points,
        None => line.points == Some(0.0) && OWN_REASONS.iter().any(|reason| line.why.starts_with(reason)),
    };
    match (of_line, line.points) {
        (None, _) if is_programs => unread,
        // Whoever wrote a reason of their own, or an earlier version.
        (None, Some(_)) => Points { points: line.points, why: format!("{}{mark}", line.why), ..unread },
        (None, None) => unread,
        (Some(of_line), _) if of_line == mark => Points { points: line.points, why: line.why, ..unread },
        (Some(_), Some(given)) => {
            Points { why: format!("{TO_BE_READ} again, {given} points were for another text{mark}"), ..unread }
        }
        (Some(_), None) => unread,
    }
}

/// Points of code with what a person made of them: other points than the program had found, or a reason of their own. They stay as long
/// as the submission does; points are told where there is another.
fn with_hand(one: Points, line: Points, before: Option<Points>, anew: bool) -> Points {
    let Some(before) = before else { return one };
    let by_hand = line.points.filter(|given| before.points != Some(*given));
    // As the program's own reason comes back from the file.
    let own = csv_field(&before.why);
    match by_hand {
        // What the machine could not do is no reason for points that somebody gave.
        Some(_) if !anew && line.why.starts_with(NOT_MARKED) => Points { why: String::new(), ..line },
        Some(_) if !anew => line,
        Some(given) if line.points != one.points => {
            let more = if one.why.is_empty() { "" } else { "; " };
            let why = format!("{}{more}{given} points were given by hand to what was handed in before", one.why);
            Points { why, ..one }
        }
        None if !anew && line.points == one.points && line.why != unfield(own.trim()) => {
            Points { why: line.why, ..one }
        }
        _ => one,
    }
}

/// What a student sees beside the points: not who has read which version of a text.
pub(super) fn shown_why(one: &Points) -> &str {
    let why = one.why.rfind(MARK).map_or(one.why.as_str(), |at| &one.why[..at]);
    match why.starts_with(TO_BE_READ) {
        true if one.points.is_some() => "",
        true => TO_BE_READ,
        false => why,
    }
}

fn csv_text(lines: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let wrong = |error: csv::Error| Error::argument("grades", "what CSV can hold", error.to_string());
    for line in lines {
        writer.write_record(&line).map_err(wrong)?;
    }
    writer.into_inner().map_err(|error| Error::argument("grades", "what CSV can hold", error.to_string()))
}

/// What [`csv_field`] was made of.
fn unfield(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| rest.starts_with(FORMULA)).unwrap_or(text)
}

/// Columns that a person added to `grades.csv`: their names, and what they hold for a task, just as it stood there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Added {
    /// The names, in the order of the file.
    pub names: Vec<String>,
    fields: BTreeMap<Key, Vec<String>>,
}

/// Student, assignment and task.
type Key = (String, String, String);

impl Added {
    /// The fields of a task; empty ones for a new task.
    pub fn of(&self, task: &Points) -> Vec<String> {
        self.fields.get(&key_of_task(task)).cloned().unwrap_or_else(|| vec![String::new(); self.names.len()])
    }
}

fn key_of_task(of: &Points) -> Key {
    (of.student.clone(), of.assignment.clone(), of.task.clone())
}

/// Names of folders, by the assignment and by what stands for them in `grades.csv`.
type Names = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The students whose submissions are known, by the names of their folders. A line gives a name as [`csv_field`] writes
/// it, or as a program has saved it since: without spaces around it, and as a number where it looks like one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    written: Names,
    read: Names,
}

impl Folders {
    /// Of pairs of a student and an assignment.
    pub fn of(known: impl IntoIterator<Item = (String, String)>) -> Folders {
        let mut folders = Folders::default();
        for (student, assignment) in known {
            let written = csv_field(&student);
            let read = unfield(written.trim()).to_string();
            for (names, field) in [(&mut folders.written, written), (&mut folders.read, read)] {
                names.entry(assignment.clone()).or_default().entry(field).or_default().insert(student.clone());
            }
        }
        folders
    }

    /// Whose a line is: the folder whose name is written so, else the one that is read so, else a name of nobody known.
    /// The error has the folders of which it may be one.
    fn whose(&self, field: &str, assignment: &str) -> std::result::Result<String, Vec<&str>> {
        let read = unfield(field.trim());
        let written = self.written.get(assignment).and_then(|names| names.get(field));
        let names = written.or_else(|| self.read.get(assignment)?.get(read));
        let likely: Vec<&str> = match names {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => self.numbers(read, assignment),
        };
        match (names, likely.as_slice()) {
            (Some(_), [one]) => Ok(one.to_string()),
            (_, []) => Ok(read.to_string()),
            _ => Err(likely),
        }
    }

    /// The folders whose names a spreadsheet may have saved as this number.
    fn numbers(&self, found: &str, assignment: &str) -> Vec<&str> {
        let names = self.written.get(assignment).into_iter().flat_map(BTreeMap::values).flatten();
        names.map(String::as_str).filter(|name| is_number_of(found, name)).collect()
    }
}

/// Whether a spreadsheet may make this number of a name of digits: it has no zeros in front, and of a long one only the
/// first digits (`1.23457E+12`).
fn is_number_of(found: &str, name: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (found, name) = (found.to_uppercase().replace(',', "."), name.trim());
    if !is_digits(name) || !found.starts_with(|first: char| first.is_ascii_digit()) {
        return false;
    }
    let Some((digits, _)) = found.split_once('E') else {
        let whole = found.strip_suffix(".0").unwrap_or(&found);
        return is_digits(whole) && whole.trim_start_matches('0') == name.trim_start_matches('0');
    };
    let places = digits.split_once('.').map_or(0, |(_, places)| places.len()).min(20);
    let rounded = |text: &str| text.parse::<f64>().ok().map(|number| format!("{number:.places$e}"));
    rounded(&found).is_some_and(|found| rounded(name) == Some(found))
}

/// `grades.csv`, with what a person added to it behind the program's own columns.
pub fn csv_of(points: &[Points], added: &Added) -> Result<Vec<u8>> {
    let line = |points: &Points| {
        let given = points.points.map_or_else(String::new, |points| points.to_string());
        let own = [
            csv_field(&points.student),
            csv_field(&points.assignment),
            csv_field(&points.task),
            given,
            points.of.to_string(),
            csv_field(&points.why),
        ];
        own.into_iter().chain(added.of(points)).collect()
    };
    let header = HEADER.map(String::from).into_iter().chain(added.names.iter().cloned()).collect();
    csv_text(std::iter::once(header).chain(points.iter().map(line)))
}

/// `totals.csv`.
pub(super) fn totals_of(points: &[Points]) -> Result<Vec<u8>> {
    let mut totals: BTreeMap<(&str, &str), (f64, f64, f64)> = BTreeMap::new();
    for one in points {
        let total = totals.entry((&one.student, &one.assignment)).or_default();
        total.0 += one.points.unwrap_or(0.0);
        total.1 += if one.points.is_none() { one.of } else { 0.0 };
        total.2 += one.of;
    }
    let header = ["student", "assignment", "points", TO_BE_READ, "of"].map(String::from).to_vec();
    let line = |((student, assignment), total): (&(&str, &str), &(f64, f64, f64))| {
        let numbers = [total.0, total.1, total.2].map(|number| number.to_string());
        [csv_field(student), csv_field(assignment)].into_iter().chain(numbers).collect()
    };
    csv_text(std::iter::once(header).chain(totals.iter().map(line)))
}

/// Reads `grades.csv` as [`super::grade::grade`] wrote it, with what somebody has filled in since; also as a spreadsheet saves it
/// where commas are in numbers: with `;` between fields. Columns are known by their names, in any order; students by
/// their `folders`.
///
/// # Errors
/// A file that cannot be read, a header that lacks a column or has a name twice, a line whose points are no number from
/// 0 to what the task is worth, one whose student has no folder and may be one that has, or a second line for a task.
pub fn read_grades(path: &Path, folders: &Folders) -> Result<Vec<Points>> {
    Ok(read_table(path, folders)?.0)
}

/// As [`read_grades`], with the columns that somebody added.
///
/// # Errors
/// As [`read_grades`].
pub fn read_table(path: &Path, folders: &Folders) -> Result<(Vec<Points>, Added)> {
    let wrong = |found: String| Error::data(path, "student, assignment, task, points, of, why per line", found);
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "reading"))?;
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().next().unwrap_or_default().replace('"', "");
    let of_spreadsheet = first.split(';').filter(|name| HEADER.contains(&name.trim())).count() > 1;
    let delimiter = if of_spreadsheet { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let number = |text: &str| match of_spreadsheet {
        true => text.replace(',', ".").parse::<f64>(),
        false => text.parse::<f64>(),
    };
    let header = reader.headers().map_err(|error| wrong(error.to_string()))?;
    let header: Vec<String> = header.iter().map(|name| name.trim().to_string()).collect();
    // A column without a name is none twice: spreadsheets leave some at the end.
    let twice = |(at, name): &(usize, &String)| !name.is_empty() && header[..*at].contains(name);
    if let Some((_, name)) = header.iter().enumerate().find(twice) {
        return Err(wrong(format!("two columns `{name}`")));
    }
    let mut places = [0; HEADER.len()];
    for (place, name) in places.iter_mut().zip(HEADER) {
        let found = || wrong(format!("no column `{name}` in the header `{}`", header.join(", ")));
        *place = header.iter().position(|of| of == name).ok_or_else(found)?;
    }
    let more: Vec<usize> = (0..header.len()).filter(|at| !places.contains(at)).collect();
    let names = more.iter().map(|&at| header[at].clone()).collect();
    let (mut all, mut added) = (Vec::new(), Added { names, ..Added::default() });
    for (at, line) in reader.records().enumerate() {
        let line = line.map_err(|error| wrong(error.to_string()))?;
        let field = |field: usize| line.get(places[field]).unwrap_or_default();
        let text = |of: usize| unfield(field(of).trim()).to_string();
        let of = number(&text(4)).map_err(|_| wrong(format!("`{}` in line {}", text(4), at + 2)))?;
        let points = match text(3).as_str() {
            "" => None,
            given => match number(given) {
                Ok(points) if (0.0..=of).contains(&points) => Some(points),
                _ => return Err(wrong(format!("{given} points of {of} in line {}", at + 2))),
            },
        };
        let student = folders.whose(field(0), &text(1)).map_err(|likely| unclear(path, at + 2, field(0), &likely))?;
        let one = Points { student, assignment: text(1), task: text(2), points, of, why: text(5) };
        let fields = more.iter().map(|&at| line.get(at).unwrap_or_default().to_string()).collect();
        if added.fields.insert(key_of_task(&one), fields).is_some() {
            let found = format!("a second one in line {}: {} {} {}", at + 2, one.student, one.assignment, one.task);
            return Err(Error::data(path, "one line for a student's task", found));
        }
        all.push(one);
    }
    Ok((all, added))
}

/// A line whose student has no folder, with those that may be meant.
fn unclear(path: &Path, line: usize, found: &str, likely: &[&str]) -> Error {
    let names: Vec<String> = likely.iter().take(3).map(|name| format!("`{name}`")).collect();
    let more = if likely.len() > names.len() { " or another" } else { "" };
    let expected = format!("the name of a student's folder, probably {}{more}", names.join(" or "));
    let advice = "where a spreadsheet made numbers of names, let it read them as text";
    Error::data(path, expected, format!("`{found}` in line {line}; {advice}"))
}
