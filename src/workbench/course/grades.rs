//! `grades.csv`: what the program found, and what a person wrote into it since.
//!
//! A person fills in the points of texts, and may change those of code. Marking again takes nothing of that away in silence: what
//! was given by hand stays as long as what was handed in is the same. A text that was written anew is to be read anew; its line says
//! what the former one had. Lines of submissions that are not marked this time stay as they are.

use super::grade::Points;
use crate::error::{Error, Result};
use crate::say::{FORMULA, csv_field};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How a line begins whose text a person has to read.
pub(super) const TO_BE_READ: &str = "to be read";
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
    /// Whether what was handed in, or how it is marked, is another since then.
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
                (None, line) => with_reading(one.clone(), line, text(&one)),
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

/// A text with what its line says, where that is of the same text.
fn with_reading(one: Points, line: Option<Points>, mark: Option<String>) -> Points {
    let mark = mark.map_or_else(String::new, |mark| format!("{MARK}{mark})"));
    let unread = Points { why: format!("{TO_BE_READ}{mark}"), ..one };
    let Some(line) = line else { return unread };
    let of_line = line.why.rfind(MARK).map(|at| &line.why[at..]);
    match (of_line, line.points) {
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

/// Points of code with what a person made of them: they stay as long as the submission does, and are told where there is another.
fn with_hand(one: Points, line: Points, before: Option<Points>, anew: bool) -> Points {
    if !anew && line.points.is_some() {
        return line;
    }
    let by_hand = line.points.filter(|given| before.is_some_and(|before| before.points != Some(*given)));
    match by_hand {
        Some(given) if line.points != one.points => {
            let more = if one.why.is_empty() { "" } else { "; " };
            let why = format!("{}{more}{given} points were given by hand to what was handed in before", one.why);
            Points { why, ..one }
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

/// `grades.csv`.
pub(super) fn csv_of(points: &[Points]) -> Result<Vec<u8>> {
    let line = |points: &Points| {
        let given = points.points.map_or_else(String::new, |points| points.to_string());
        vec![
            csv_field(&points.student),
            csv_field(&points.assignment),
            csv_field(&points.task),
            given,
            points.of.to_string(),
            csv_field(&points.why),
        ]
    };
    csv_text(std::iter::once(HEADER.map(String::from).to_vec()).chain(points.iter().map(line)))
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
/// where commas are in numbers: with `;` between fields.
///
/// # Errors
/// A file that cannot be read, or a line whose points are no number from 0 to what the task is worth.
pub fn read_grades(path: &Path) -> Result<Vec<Points>> {
    let wrong = |found: String| Error::data(path, "student, assignment, task, points, of, why per line", found);
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "reading"))?;
    let first = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default().replace('"', "");
    let of_spreadsheet = first.starts_with("student;");
    let delimiter = if of_spreadsheet { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let number = |text: &str| match of_spreadsheet {
        true => text.replace(',', ".").parse::<f64>(),
        false => text.parse::<f64>(),
    };
    let mut all = Vec::new();
    for (at, line) in reader.records().enumerate() {
        let line = line.map_err(|error| wrong(error.to_string()))?;
        let text = |field: usize| unfield(line.get(field).unwrap_or_default().trim()).to_string();
        let of = number(&text(4)).map_err(|_| wrong(format!("`{}` in line {}", text(4), at + 2)))?;
        let points = match text(3).as_str() {
            "" => None,
            given => match number(given) {
                Ok(points) if (0.0..=of).contains(&points) => Some(points),
                _ => return Err(wrong(format!("{given} points of {of} in line {}", at + 2))),
            },
        };
        all.push(Points { student: text(0), assignment: text(1), task: text(2), points, of, why: text(5) });
    }
    Ok(all)
}
