//! From TOML text to a checked record, with every problem at its file and line.
//!
//! Reading goes in two steps: serde finds unknown keys, wrong types and missing keys; [`Record::check`] then finds
//! values out of range and names the key, whose line is looked up in the spans of the parsed text.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};

/// What kinds of records have in common.
pub(super) trait Record: DeserializeOwned {
    /// The word for this kind in messages: "data set", "model", "suite".
    const KIND: &'static str;

    /// The id, which must equal the file's stem.
    fn id(&self) -> &str;

    /// The keys that a manifest must have, joined by dots where they stand in a table (`source.hub.repo`); `*` is every
    /// entry of a list. Those of a table that is not there are not asked for. `given` is the manifest.
    fn required(given: &DeTable) -> Vec<&'static str>;

    /// Fills in what follows from the rest, for a file of that stem.
    fn complete(&mut self, _stem: &str) {}

    /// Holds values against what is possible; the first problem ends it.
    fn check(&self) -> Result<(), Problem>;
}

/// A value that cannot be right.
#[derive(Debug)]
pub(super) struct Problem {
    /// Where it stands: keys and list indices joined by dots (`split.total`, `models.2`).
    key: String,
    expected: String,
    found: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Problem {
        Problem { key: key.into(), expected: expected.into(), found: found.into() }
    }

    /// As an error of the folder that a record is of.
    pub(super) fn of_folder(self, folder: &Path) -> Error {
        Error::data(folder, format!("`{}` to be {}", self.key, self.expected), self.found)
    }

    /// The same, with the key inside a table.
    pub(super) fn within(self, table: &str) -> Problem {
        Problem { key: format!("{table}.{}", self.key), ..self }
    }
}

/// A record with the file it came from, kept until the records are checked against each other.
pub(super) struct Loaded<T> {
    pub(super) record: T,
    path: PathBuf,
    text: String,
}

impl<T: Record> Loaded<T> {
    /// Reads and checks one file.
    pub(super) fn read(path: &Path) -> Result<Loaded<T>> {
        let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => manifest_error(path, 0, format!("a {} manifest", T::KIND), "no such file"),
            std::io::ErrorKind::InvalidData => manifest_error(path, 0, "UTF-8 text", "other bytes"),
            _ => Error::io(path, "reading")(source),
        })?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let record: Result<T, _> = toml::from_str(&text);
        let mut record = match record {
            // All of them at once, and not the first alone.
            Err(error) if error.message().starts_with("missing field") => {
                return Err(missing_keys::<T>(path, &text).unwrap_or_else(|| toml_error(path, &text, &error)));
            }
            Err(error) => return Err(toml_error(path, &text, &error)),
            Ok(record) => record,
        };
        if let Some(error) = missing_keys::<T>(path, &text) {
            return Err(error);
        }
        // TOML's numbers have 64 bits with a sign; read into a field without one, they may be too large for it.
        toml::from_str::<toml::Table>(&text).map_err(|error| toml_error(path, &text, &error))?;
        record.complete(stem);
        let loaded = Loaded { record, path: path.to_path_buf(), text };
        loaded.record.check().map_err(|problem| loaded.error(problem))?;
        if loaded.record.id() != stem {
            let (expected, found) = (format!("`{stem}`, the file's name"), format!("`{}`", loaded.record.id()));
            return Err(loaded.error(Problem::new("id", expected, found)));
        }
        Ok(loaded)
    }

    /// The problem as an error with this file and the line of the problem's key.
    pub(super) fn error(&self, problem: Problem) -> Error {
        let line = line_of_key(&self.text, &problem.key).unwrap_or(0);
        let expected = format!("`{}` to be {}", problem.key, problem.expected);
        manifest_error(&self.path, line, expected, problem.found)
    }
}

fn manifest_error(path: &Path, line: usize, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::Manifest { path: path.to_path_buf(), line, expected: expected.into(), found: found.into() }
}

/// The error that names every key which a manifest lacks; `None` where it has all of them.
fn missing_keys<T: Record>(path: &Path, text: &str) -> Option<Error> {
    let table = DeTable::parse(text).ok()?;
    let mut missing = Vec::new();
    for key in T::required(table.get_ref()) {
        let parts: Vec<&str> = key.split('.').collect();
        missing_in(table.get_ref(), &parts, "", &mut missing);
    }
    let (first, others) = missing.split_first()?;
    let line = line_of_key(text, first).unwrap_or(1);
    let quoted = |keys: &[String]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    Some(match others {
        [] => manifest_error(path, line, format!("key `{first}`"), "no such key"),
        others => manifest_error(path, line, format!("key `{first}`, also {}", quoted(others)), "no such keys"),
    })
}

/// Adds the key whose `parts` begin in `table`, if the table that it belongs to is there and lacks it.
fn missing_in(table: &DeTable, parts: &[&str], above: &str, missing: &mut Vec<String>) {
    let (first, rest) = (parts[0], &parts[1..]);
    let name = |key: &str| if above.is_empty() { key.to_string() } else { format!("{above}.{key}") };
    match (table.get(first).map(|value| value.get_ref()), rest) {
        (None, []) => missing.push(name(first)),
        (Some(DeValue::Table(table)), [_, ..]) => missing_in(table, rest, &name(first), missing),
        (Some(DeValue::Array(entries)), ["*", rest @ ..]) if !rest.is_empty() => {
            for (i, entry) in entries.iter().enumerate() {
                if let DeValue::Table(table) = entry.get_ref() {
                    missing_in(table, rest, &format!("{}.{i}", name(first)), missing);
                }
            }
        }
        _ => {}
    }
}

/// Turns serde's and the parser's messages into what was expected and what was found.
fn toml_error(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map_or(0, |span| line_at(text, span.start));
    let message = error.message().trim();
    let (expected, found) = if let Some(key) = message.strip_prefix("missing field ") {
        (format!("key {key}"), "no such key".to_string())
    } else if let Some((keys, known)) =
        message.strip_prefix("unexpected keys in table: ").and_then(|keys| keys.split_once(", available keys: "))
    {
        // toml's own words for the tables of enum variants; brought to serde's.
        let quoted = |names: &str| format!("`{}`", names.replace(", ", "`, `"));
        (format!("one of {}", quoted(known)), format!("unknown field {}", quoted(keys)))
    } else if let Some((found, expected)) = message.split_once(", expected ") {
        let found = ["invalid type: ", "invalid value: "].iter().find_map(|p| found.strip_prefix(p)).unwrap_or(found);
        (expected.to_string(), found.to_string())
    } else {
        ("TOML of this kind of manifest".to_string(), message.replace('\n', "; "))
    };
    manifest_error(path, line, expected, found)
}

/// The 1-based line that holds the byte at `offset`.
fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

/// The line of the value at a dotted path; of the nearest table above it where a key is missing.
fn line_of_key(text: &str, key: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut offset = None;
    let mut value: Option<&DeValue> = None;
    for part in key.split('.') {
        let next = match value {
            None => table.get_ref().get(part),
            Some(DeValue::Table(table)) => table.get(part),
            Some(DeValue::Array(array)) => part.parse().ok().and_then(|index: usize| array.get(index)),
            Some(_) => None,
        };
        let Some(next) = next else { break };
        offset = Some(next.span().start);
        value = Some(next.get_ref());
    }
    offset.map(|offset| line_at(text, offset))
}

/// Ids are lower-case letters, digits, `_`, `-` and `.`: they become file names and keys of result rows.
pub(super) fn check_id(id: &str) -> Result<(), Problem> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if id.is_empty() || id.starts_with('.') || !id.chars().all(allowed) {
        return Err(Problem::new("id", "lower-case letters, digits, `_`, `-` and `.`", format!("`{id}`")));
    }
    Ok(())
}

/// A path below the data set's own folder: relative, with `/`, without `..`. Empty or `.` is the folder itself, where
/// `folder` allows one.
pub(super) fn check_inside(key: impl Into<String>, path: &str, folder: bool) -> Result<(), Problem> {
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    let leads_in = |part: &str| part != ".." && !part.contains(|c: char| c == '\\' || c.is_control());
    match !path.starts_with('/') && !drive && path.split('/').all(leads_in) && (folder || !path.is_empty()) {
        true => Ok(()),
        false => {
            Err(Problem::new(key, "a path inside the data set's folder, with `/` and no `..`", format!("`{path}`")))
        }
    }
}

/// Text that must say something.
pub(super) fn check_not_empty(key: &str, text: &str) -> Result<(), Problem> {
    match text.trim() {
        "" => Err(Problem::new(key, "some text", "none")),
        _ => Ok(()),
    }
}

/// A digest in lower-case hex of the right length.
pub(super) fn check_digest(key: &str, digest: Option<&str>, length: usize) -> Result<(), Problem> {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    match digest {
        Some(text) if text.len() != length || !text.chars().all(hex) => {
            Err(Problem::new(key, format!("{length} lower-case hex digits"), format!("`{text}`")))
        }
        _ => Ok(()),
    }
}
