//! A CSV table that names images, labels and the rest.

use super::lookup::Read;
use super::{Listing, at, inside};
use crate::error::{Error, Result};
use crate::manifest::{Columns, Lookup, TablePart};
use csv::StringRecord;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Reads a table below `folder`. Columns are told apart by commas, or by semicolons or tabs where the header has no other
/// way to hold the label; a byte order mark is no part of the first name.
///
/// # Errors
/// A table that cannot be read, a column that is not there, a row with too few or too many cells, without a label or the
/// name of an image, or with an image that a row before names: with the line; what a lookup says.
pub(super) fn read(
    folder: &Path,
    table: &str,
    image: &str,
    parts: &[TablePart],
    lookups: &[Lookup],
    columns: &Columns,
) -> Result<Listing> {
    // A label that is looked up is no column of the table yet.
    let of_label = lookups.iter().find(|lookup| lookup.column == columns.label).map(|lookup| &lookup.from);
    let mut found = Read::new(folder, table, of_label.unwrap_or(&columns.label))?;
    for lookup in lookups {
        found = found.with(folder, lookup)?;
    }
    let Read { path, header, rows: records } = found;
    let places = places(&path, &header)?;
    check_columns(&path, &header, &places, image, parts, columns)?;
    let find = |name: &str| places.get(name).copied().unwrap_or_default();
    let find_any = |name: &Option<String>| name.as_deref().map(find);
    let label = find(&columns.label);
    let [group, domain, name, time] = columns.optional().map(|(_, column)| column.map(find));
    let pieces = pieces(image, find);
    let mut rules = Vec::new();
    for part in parts {
        if part.time_column.is_none() && (part.from.is_some() || part.until.is_some()) {
            let found = format!("none for `{}`", part.name);
            return Err(Error::argument("parts of the table", "`time_column` beside `from` and `until`", found));
        }
        rules.push(Rule { part, column: find(&part.column), time: find_any(&part.time_column) });
    }
    let mut listing = Listing::default();
    // The line of each image that was named.
    let mut lines: HashMap<PathBuf, usize> = HashMap::new();
    for (row, (line, record)) in records.into_iter().enumerate() {
        let part = match rules.is_empty() {
            true => Some("all"),
            false => rules.iter().find(|rule| rule.takes(&record)).map(|rule| rule.part.name.as_str()),
        };
        let Some(part) = part else { continue };
        let value = |column: usize| record.get(column).unwrap_or_default().to_string();
        if value(label).trim().is_empty() {
            return Err(at(&path, line, format!("a label in column `{}`", columns.label), "none"));
        }
        if let Some(column) = pieces.iter().find_map(|piece| piece.empty_in(&record)) {
            return Err(at(&path, line, format!("a part of the image's name in column `{}`", &header[column]), "none"));
        }
        let name_of: String = pieces.iter().map(|piece| piece.text(row, &record)).collect();
        let file = inside(folder, &name_of, &path, line)?;
        if let Some(first) = lines.insert(file.clone(), line) {
            return Err(at(&path, line, "one row per image", format!("`{name_of}`, as in line {first}")));
        }
        listing.files.push(file);
        listing.classes.push(value(label));
        listing.parts.push(part.to_string());
        if let Some(column) = group {
            // An image that names no group is one by itself.
            let group = Some(value(column)).filter(|group| !group.is_empty());
            listing.groups.get_or_insert_default().push(group.unwrap_or_else(|| format!("alone: {name_of}")));
        }
        let optional = [(&mut listing.domains, domain), (&mut listing.names, name), (&mut listing.times, time)];
        for (values, column) in optional {
            if let Some(column) = column {
                values.get_or_insert_default().push(value(column));
            }
        }
    }
    listing.order = number_order(&listing.classes);
    Ok(listing)
}

/// The header of a table, and its rows with their lines.
pub(super) fn records(path: &Path, label: &str) -> Result<(StringRecord, Vec<(usize, StringRecord)>)> {
    let broken = |found: String| Error::data(path, "a CSV table with a header row", found);
    let bytes = std::fs::read(path).map_err(|error| broken(error.to_string()))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        return Err(broken("UTF-16 text; save it as UTF-8".into()));
    }
    let reader = |delimiter: u8| csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text);
    let holds_label =
        |delimiter: &u8| reader(*delimiter).headers().is_ok_and(|header| header.iter().any(|column| column == label));
    let delimiter = [b',', b';', b'\t'].into_iter().find(holds_label).unwrap_or(b',');
    let mut reader = reader(delimiter);
    let wrong = |error: csv::Error| {
        let line = error.position().map_or(1, |position| position.line() as usize);
        match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                at(path, line, format!("{expected_len} cells, as in the header"), len.to_string())
            }
            csv::ErrorKind::Utf8 { .. } => at(path, line, "UTF-8 text", "other bytes"),
            _ => at(path, line, "a row of a CSV table", error.to_string()),
        }
    };
    let header = reader.headers().map_err(wrong)?.clone();
    let record = |record: csv::Result<StringRecord>| {
        let record = record.map_err(wrong)?;
        Ok((record.position().map_or(0, |position| position.line() as usize), record))
    };
    let records = reader.records().map(record).collect::<Result<_>>()?;
    Ok((header, records))
}

/// The place of each column by its name.
pub(super) fn places<'a>(path: &Path, header: &'a StringRecord) -> Result<HashMap<&'a str, usize>> {
    let mut places = HashMap::new();
    for (place, name) in header.iter().enumerate() {
        if let Some(first) = places.insert(name, place).filter(|_| !name.is_empty()) {
            let found = format!("`{name}` as column {} and {}", first + 1, place + 1);
            return Err(at(path, 1, "every column once", found));
        }
    }
    Ok(places)
}

/// Every column that the record names must be there; all that are not are named, with those that are.
fn check_columns(
    path: &Path,
    header: &StringRecord,
    places: &HashMap<&str, usize>,
    image: &str,
    parts: &[TablePart],
    columns: &Columns,
) -> Result<()> {
    let mut wanted = vec![columns.label.as_str()];
    wanted.extend(columns.optional().into_iter().filter_map(|(_, column)| column));
    wanted.extend(stretches(image).into_iter().filter_map(|(_, name)| name.filter(|name| *name != "row")));
    for part in parts {
        wanted.push(&part.column);
        wanted.extend(part.time_column.as_deref());
    }
    let mut missing: Vec<&str> = Vec::new();
    for name in wanted {
        if !places.contains_key(name) && !missing.contains(&name) {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let quoted = missing.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and a column ");
    let known = header.iter().collect::<Vec<_>>().join(", ");
    Err(Error::data(path, format!("a column {quoted}"), format!("the columns {known}")))
}

/// A stretch of the pattern that makes an image's path from a row.
enum Piece {
    Text(String),
    Row,
    Column(usize),
}

impl Piece {
    fn text(&self, row: usize, record: &StringRecord) -> String {
        match self {
            Piece::Text(text) => text.clone(),
            Piece::Row => row.to_string(),
            Piece::Column(column) => record.get(*column).unwrap_or_default().to_string(),
        }
    }

    /// The column, if the row has nothing in it.
    fn empty_in(&self, record: &StringRecord) -> Option<usize> {
        match self {
            Piece::Column(column) if record.get(*column).unwrap_or_default().trim().is_empty() => Some(*column),
            _ => None,
        }
    }
}

/// Takes `train/{filename}.jpg` apart: each text with the name in braces that follows it, if one does.
fn stretches(pattern: &str) -> Vec<(&str, Option<&str>)> {
    let mut stretches = Vec::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{')
        && let Some((name, after)) = after.split_once('}')
    {
        stretches.push((before, Some(name)));
        rest = after;
    }
    stretches.push((rest, None));
    stretches
}

/// The pieces of a pattern; `find` gives the place of a column.
fn pieces(pattern: &str, find: impl Fn(&str) -> usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (text, name) in stretches(pattern) {
        pieces.push(Piece::Text(text.into()));
        match name {
            Some("row") => pieces.push(Piece::Row),
            Some(name) => pieces.push(Piece::Column(find(name))),
            None => {}
        }
    }
    pieces
}

/// A part with the places of its columns.
struct Rule<'a> {
    part: &'a TablePart,
    column: usize,
    time: Option<usize>,
}

impl Rule<'_> {
    /// Whether a row belongs to the part. A row without a time belongs to none that asks for one.
    fn takes(&self, record: &StringRecord) -> bool {
        let TablePart { value, from, until, .. } = self.part;
        let in_time = self.time.is_none_or(|column| {
            let time = record.get(column).unwrap_or_default();
            let begun = from.as_deref().is_none_or(|from| time >= from);
            !time.is_empty() && begun && until.as_deref().is_none_or(|until| time < until)
        });
        record.get(self.column) == Some(value.as_str()) && in_time
    }
}

/// Class names that are all numbers, by size: `2` before `10`. `None` where one is not.
pub(in super::super) fn number_order(classes: &[String]) -> Option<Vec<String>> {
    let mut order = classes
        .iter()
        .map(|class| class.parse::<u64>().ok().map(|number| (number, class)))
        .collect::<Option<Vec<_>>>()?;
    order.sort_unstable();
    order.dedup();
    Some(order.into_iter().map(|(_, class)| class.clone()).collect())
}
