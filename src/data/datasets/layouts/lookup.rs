//! Columns of a table that come from another one: the region of a country.

use super::super::names::on_one_line;
use super::at;
use super::table::{places, records};
use super::within;
use crate::error::{Error, Result};
use crate::manifest::Lookup;
use csv::StringRecord;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A table as it is read: its path, its header, and its rows with their lines.
pub(super) struct Read {
    pub path: PathBuf,
    pub header: StringRecord,
    pub rows: Vec<(usize, StringRecord)>,
}

impl Read {
    /// The table below `folder`; `known` is a column that it must have.
    pub(super) fn new(folder: &Path, table: &str, known: &str) -> Result<Read> {
        let path = within(folder, table)?;
        let (header, rows) = records(&path, known)?;
        Ok(Read { path, header, rows })
    }

    fn place(&self, column: &str) -> Result<usize> {
        places(&self.path, &self.header)?.get(column).copied().ok_or_else(|| {
            let known = on_one_line(&self.header.iter().collect::<Vec<_>>().join(", "));
            Error::data(&self.path, format!("a column `{column}`"), format!("the columns {known}"))
        })
    }

    /// The table with what `lookup` finds as a column, in the place of one of that name.
    ///
    /// # Errors
    /// A second table that cannot be read; a column that is not there; a key with two values; a row whose value is not found
    /// where the record does not say what stands for it: with file and line.
    pub(super) fn with(self, folder: &Path, lookup: &Lookup) -> Result<Read> {
        let second = Read::new(folder, &lookup.table, &lookup.key)?;
        let (key, value, from) = (second.place(&lookup.key)?, second.place(&lookup.value)?, self.place(&lookup.from)?);
        // Value and line of each key.
        let mut values: HashMap<&str, (&str, usize)> = HashMap::new();
        for (line, row) in &second.rows {
            let (key, value) = (row.get(key).unwrap_or_default(), row.get(value).unwrap_or_default());
            if key.is_empty() || value.is_empty() {
                continue;
            }
            if let Some((other, first)) = values.insert(key, (value, *line))
                && other != value
            {
                let expected = format!("one value in column `{}` per `{}`", lookup.value, lookup.key);
                let found = format!("`{value}` for `{key}`, and `{other}` in line {first}");
                return Err(at(&second.path, *line, expected, on_one_line(&found)));
            }
        }
        let place = self.header.iter().position(|name| name == lookup.column);
        let mut rows = Vec::with_capacity(self.rows.len());
        for (line, row) in &self.rows {
            let asked = row.get(from).unwrap_or_default();
            let found = values.get(asked).map(|(value, _)| *value).or(lookup.otherwise.as_deref());
            let found = found.ok_or_else(|| {
                let expected = format!(
                    "a `{}` with a row and a value in {}, or `otherwise` in the record's lookup of `{}`",
                    lookup.from, lookup.table, lookup.column
                );
                at(&self.path, *line, expected, on_one_line(&format!("`{asked}`")))
            })?;
            rows.push((*line, put(row, place, found)));
        }
        Ok(Read { header: put(&self.header, place, &lookup.column), path: self.path, rows })
    }
}

/// The record with `text` at `place`, or at the end.
fn put(record: &StringRecord, place: Option<usize>, text: &str) -> StringRecord {
    let kept = record.iter().enumerate().map(|(i, cell)| if Some(i) == place { text } else { cell });
    kept.chain(place.is_none().then_some(text)).collect()
}
