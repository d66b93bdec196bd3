//! The rows of a reader's own table: CSV, JSON lines or Parquet, every value as text.

use super::super::left_out::Tally;
use super::super::parquet;
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What tables end in.
pub(in super::super) const TABLES: [&str; 4] = ["csv", "tsv", "jsonl", "parquet"];

/// A table in memory.
#[derive(Debug)]
pub(super) struct Rows {
    /// The file.
    pub path: PathBuf,
    /// Names of the columns.
    pub header: Vec<String>,
    /// Line (or row of a Parquet file) from 1, and a value or none for every column.
    pub rows: Vec<(usize, Vec<Option<String>>)>,
}

/// The extension of a file in lower case.
pub(super) fn extension(path: &Path) -> String {
    path.extension().map(|end| end.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// Reads the table at `path`. Rows of another length than the header are counted in `left_out`.
///
/// # Errors
/// A file that cannot be read, is no UTF-8, holds a line that is no JSON object, or is no Parquet file; a column name twice.
pub(super) fn read(path: &Path, left_out: &mut Tally) -> Result<Rows> {
    match extension(path).as_str() {
        "parquet" => {
            let (header, rows) = parquet::read_texts(path)?;
            unique(path, &header)?;
            Ok(Rows {
                path: path.into(),
                header,
                rows: rows.into_iter().enumerate().map(|(i, r)| (i + 1, r)).collect(),
            })
        }
        "jsonl" => json_lines(path),
        _ => csv_rows(path, left_out),
    }
}

/// The columns of a table, without its rows where that can be done.
///
/// # Errors
/// As [`read`].
pub(super) fn header(path: &Path) -> Result<Vec<String>> {
    match extension(path).as_str() {
        "parquet" => parquet::text_columns(path),
        "jsonl" => Ok(json_lines(path)?.header),
        _ => {
            let text = text_of(path)?;
            Ok(header_of(&text, delimiter(&text)))
        }
    }
}

fn text_of(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "reading"))?;
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Error::data(path, "a table in UTF-8", "UTF-16 text; save it as UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).to_vec();
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        at(path, line, "UTF-8 text", "other bytes")
    })?;
    // Excel's word of the separator, which is found without it. Its line stays, empty, so that lines keep their numbers.
    let after = text.strip_prefix("sep=").and_then(|rest| rest.get(1..)).filter(|rest| rest.starts_with(['\r', '\n']));
    Ok(after.map(str::to_string).unwrap_or(text))
}

/// Of comma, semicolon, tab and bar, the one that cuts most of the first rows into as many pieces as the header, and the header
/// into most.
fn delimiter(text: &str) -> u8 {
    /// Rows that are looked at.
    const ROWS: usize = 20;
    let fits = |delimiter: &u8| {
        let pieces = header_of(text, *delimiter).len();
        let mut reader = csv::ReaderBuilder::new().delimiter(*delimiter).flexible(true).from_reader(text.as_bytes());
        let rows = reader.records().take(ROWS).filter(|row| row.as_ref().is_ok_and(|row| row.len() == pieces)).count();
        (if pieces > 1 { rows } else { 0 }, pieces)
    };
    [b'|', b'\t', b';', b','].into_iter().max_by_key(fits).unwrap_or(b',')
}

fn header_of(text: &str, delimiter: u8) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    reader.headers().map(|header| header.iter().map(|name| name.trim().to_string()).collect()).unwrap_or_default()
}

fn csv_rows(path: &Path, left_out: &mut Tally) -> Result<Rows> {
    let text = text_of(path)?;
    let delimiter = delimiter(&text);
    let header = header_of(&text, delimiter);
    unique(path, &header)?;
    if let Some(line) = unclosed(&text, delimiter) {
        return Err(at(path, line, "a quotation mark that is closed", "one that takes in the rest of the table"));
    }
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(1, |position| position.line() as usize);
            at(path, line, "a row of a CSV table", error.to_string())
        })?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        if record.len() != header.len() {
            left_out.add("rows with too few or too many cells", || format!("line {line}"));
            continue;
        }
        let value = |text: &str| Some(text.trim().to_string()).filter(|text| !text.is_empty());
        rows.push((line, record.iter().map(value).collect()));
    }
    Ok(Rows { path: path.into(), header, rows })
}

/// The line of a quotation mark at the begin of a cell that nothing closes, which would make one cell of the rest.
fn unclosed(text: &str, delimiter: u8) -> Option<usize> {
    let (mut line, mut opened, mut begins) = (1, None, true);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match (opened, byte) {
            (Some(_), b'"') if bytes.peek() == Some(&b'"') => {
                bytes.next();
            }
            (Some(_), b'"') => (opened, begins) = (None, false),
            (None, b'"') if begins => opened = Some(line),
            (None, _) => begins = byte == delimiter || byte == b'\n' || byte == b'\r',
            (Some(_), _) => {}
        }
        line += usize::from(byte == b'\n' || (byte == b'\r' && bytes.peek() != Some(&b'\n')));
    }
    opened
}

fn json_lines(path: &Path) -> Result<Rows> {
    let text = text_of(path)?;
    let (mut header, mut places) = (Vec::new(), HashMap::new());
    let mut objects = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)
            .map_err(|error| at(path, number + 1, "a JSON object per line", error.to_string()))?;
        for key in object.keys() {
            places.entry(key.clone()).or_insert_with(|| {
                header.push(key.clone());
                header.len() - 1
            });
        }
        objects.push((number + 1, object));
    }
    let rows = objects.into_iter().map(|(line, object)| {
        let mut row = vec![None; header.len()];
        for (key, value) in &object {
            row[places[key]] = as_text(value);
        }
        (line, row)
    });
    let rows = rows.collect();
    Ok(Rows { path: path.into(), header, rows })
}

/// A value as text; lists, objects, null and empty texts are none.
fn as_text(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.trim().to_string()).filter(|text| !text.is_empty()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn unique(path: &Path, header: &[String]) -> Result<()> {
    let twice = (1..header.len()).find(|&i| !header[i].is_empty() && header[..i].contains(&header[i]));
    match twice {
        Some(i) => Err(at(path, 1, "every column once", format!("`{}` twice", header[i]))),
        None => Ok(()),
    }
}

/// A line that does not say what it must.
pub(super) fn at(path: &Path, line: usize, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::Manifest { path: path.to_path_buf(), line, expected: expected.into(), found: found.into() }
}
