//! Labels as they stand in Parquet files, and the classes that come of them.

use super::super::labels_from_names;
use super::super::left_out::Tally;
use super::file::{Table, Values};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The label of a row.
#[derive(Debug, Clone, PartialEq)]
enum Label {
    Number(u64),
    Text(String),
}

/// Labels of all files so far, one for each row that has one.
#[derive(Default)]
pub(super) struct Labels {
    labels: Vec<Label>,
    /// Class names, with the file that gave them.
    names: Option<(Vec<String>, PathBuf)>,
    /// The first file with numbers, and the first with texts.
    numbers_in: Option<PathBuf>,
    texts_in: Option<PathBuf>,
}

/// Classes in order, and the label of each row.
pub(super) struct Classes {
    pub classes: Vec<String>,
    pub labels: Vec<u32>,
    /// Names of classes that no image has.
    pub unused: Vec<String>,
}

impl Labels {
    /// Adds the labels of a file, and says for each of its rows whether it has one. Rows without (null, an empty text, a
    /// number below 0, NaN) are counted in `left_out`, and so are a few odd ones (a number that is not whole, or that no class
    /// name belongs to); `row_name` gives the name of a row.
    ///
    /// # Errors
    /// A type that is no label, odd ones in more than a tenth of the rows, with the first, or labels that do not fit those of
    /// an earlier file: each names the file.
    pub fn add(
        &mut self,
        table: &Table,
        column: &str,
        left_out: &mut Tally,
        row_name: impl Fn(usize) -> String,
    ) -> Result<Vec<bool>> {
        let leaf = table.leaf(column)?.ok_or_else(|| {
            let found = match table.is_repeated(column) {
                true => "a list of them per row".into(),
                false => format!("a struct of {}", table.inside(column).join(", ")),
            };
            Error::data(table.path(), format!("one label per row in column `{column}`"), found)
        })?;
        let mut kept = Vec::with_capacity(table.rows());
        let named = class_names(table, column).map(|names| names.len() as u64);
        let is_named = |label: Label| match (label, named) {
            (Label::Number(number), Some(named)) if number >= named => {
                Err(Unlabelled::Odd(number.to_string(), format!("labels below {named}, one for each class name")))
            }
            (label, _) => Ok(label),
        };
        // How many are odd, and of the first what was expected and found.
        let (mut odd, mut first) = (0, None);
        table.read(&leaf, 0..table.rows(), |values| {
            for label in labels_of(&values, table, column, &leaf.kind)? {
                match label.and_then(is_named) {
                    Ok(label) => {
                        self.labels.push(label);
                        kept.push(true);
                    }
                    Err(why) => {
                        let found = match why {
                            Unlabelled::Missing(found) => found,
                            Unlabelled::Odd(found, expected) => {
                                odd += 1;
                                let at = row_name(kept.len());
                                first.get_or_insert_with(|| (expected, format!("{found} at {at}")));
                                found
                            }
                        };
                        left_out.add(format!("rows whose label is {found}"), || row_name(kept.len()));
                        kept.push(false);
                    }
                }
            }
            Ok(())
        })?;
        if let Some((expected, found)) = first.filter(|_| odd > kept.len() / 10) {
            return Err(Error::data(table.path(), expected, found));
        }
        self.note_kind(table, column, kept.iter().filter(|kept| **kept).count())?;
        self.add_names(table, column)?;
        Ok(kept)
    }

    /// Holds the kind of the last `n` labels against the earlier ones.
    fn note_kind(&mut self, table: &Table, column: &str, n: usize) -> Result<()> {
        let last = &self.labels[self.labels.len() - n..];
        let Some(first) = last.first() else { return Ok(()) };
        let (mine, other, found) = match first {
            Label::Number(_) => (&mut self.numbers_in, &self.texts_in, "numbers"),
            Label::Text(_) => (&mut self.texts_in, &self.numbers_in, "text"),
        };
        if let Some(other) = other {
            let other_kind = if found == "text" { "numbers" } else { "text" };
            let expected = format!("{other_kind} in column `{column}`, as in {}", other.display());
            return Err(Error::data(table.path(), expected, found));
        }
        mine.get_or_insert_with(|| table.path().into());
        Ok(())
    }

    fn add_names(&mut self, table: &Table, column: &str) -> Result<()> {
        let Some(names) = class_names(table, column) else { return Ok(()) };
        match &self.names {
            Some((earlier, file)) if *earlier != names => {
                let expected = format!("the class names of {}: {}", file.display(), earlier.join(", "));
                Err(Error::data(table.path(), expected, names.join(", ")))
            }
            _ => {
                self.names = Some((names, table.path().into()));
                Ok(())
            }
        }
    }

    /// The classes that are there, in the order of their numbers or names, numbered from 0 without a gap.
    ///
    /// # Errors
    /// A number beyond the class names, in a file that has none of its own; `origin` names the data.
    pub fn resolve(self, origin: &Path, row_name: impl Fn(usize) -> String) -> Result<Classes> {
        if let Some(Label::Text(_)) = self.labels.first() {
            let texts = self.labels.iter().map(|label| match label {
                Label::Text(text) => text.as_str(),
                Label::Number(_) => "",
            });
            let (classes, labels) = labels_from_names(texts);
            return Ok(Classes { classes, labels, unused: Vec::new() });
        }
        let numbers: Vec<u64> = self
            .labels
            .iter()
            .map(|label| match label {
                Label::Number(number) => *number,
                Label::Text(_) => 0,
            })
            .collect();
        // Not a list as long as the largest number: that may be anything.
        let mut places: BTreeMap<u64, u32> = numbers.iter().map(|&number| (number, 0)).collect();
        places.values_mut().zip(0..).for_each(|(place, index)| *place = index);
        let names = self.names.map(|(names, _)| names);
        if let Some(names) = &names
            && let Some(row) = numbers.iter().position(|&number| number >= names.len() as u64)
        {
            let expected = format!("labels below {}, one for each class name", names.len());
            return Err(Error::data(origin, expected, format!("{} at {}", numbers[row], row_name(row))));
        }
        let name = |number: &u64| match &names {
            Some(names) => names[*number as usize].clone(),
            None => number.to_string(),
        };
        let unused = names.iter().flatten().zip(0..).filter(|(_, number)| !places.contains_key(number));
        Ok(Classes {
            classes: places.keys().map(name).collect(),
            labels: numbers.iter().map(|number| places[number]).collect(),
            unused: unused.map(|(name, _)| name.clone()).collect(),
        })
    }
}

/// Why a row has no label.
enum Unlabelled {
    /// It says so in some way; this one.
    Missing(String),
    /// What it has is no label, and what was expected.
    Odd(String, String),
}

/// The label of each value of the type `kind`, or why it has none.
fn labels_of(values: &Values, table: &Table, column: &str, kind: &str) -> Result<Vec<Result<Label, Unlabelled>>> {
    fn whole<T: Copy + TryInto<i128>>(values: impl Iterator<Item = Option<T>>) -> Vec<Result<Label, Unlabelled>> {
        let label = |value: Option<T>| {
            let number =
                value.and_then(|value| value.try_into().ok()).ok_or_else(|| Unlabelled::Missing("null".into()))?;
            u64::try_from(number).map(Label::Number).map_err(|_| Unlabelled::Missing(number.to_string()))
        };
        values.map(label).collect()
    }
    let float = |value: Option<f64>| match value {
        None => Err(Unlabelled::Missing("null".into())),
        Some(value) if value.is_nan() => Err(Unlabelled::Missing("NaN".into())),
        // Beyond 2^53 not every whole number is one of these.
        Some(value) if value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&value) => {
            Ok(Label::Number(value as u64))
        }
        Some(value) if value.fract() == 0.0 && value < 0.0 => Err(Unlabelled::Missing(value.to_string())),
        Some(value) => {
            Err(Unlabelled::Odd(value.to_string(), format!("class names or whole numbers in column `{column}`")))
        }
    };
    Ok(match values {
        Values::I8(values) => whole(values.iter().map(|value| value.copied())),
        Values::I16(values) => whole(values.iter().map(|value| value.copied())),
        Values::I32(values) => whole(values.iter().map(|value| value.copied())),
        Values::I64(values) => whole(values.iter().map(|value| value.copied())),
        Values::U8(values) => whole(values.iter().map(|value| value.copied())),
        Values::U16(values) => whole(values.iter().map(|value| value.copied())),
        Values::U32(values) => whole(values.iter().map(|value| value.copied())),
        Values::U64(values) => whole(values.iter().map(|value| value.copied())),
        Values::F32(values) => values.iter().map(|value| float(value.map(|value| f64::from(*value)))).collect(),
        Values::F64(values) => values.iter().map(|value| float(value.copied())).collect(),
        other => {
            let texts = other.texts().ok_or_else(|| {
                let found = format!("values of type {kind} that are no text in UTF-8");
                Error::data(table.path(), format!("class names or numbers in column `{column}`"), found)
            })?;
            let label = |text: Option<String>| match text {
                None => Err(Unlabelled::Missing("null".into())),
                Some(text) if text.trim().is_empty() => Err(Unlabelled::Missing("empty".into())),
                Some(text) => Ok(Label::Text(text)),
            };
            texts.into_iter().map(label).collect()
        }
    })
}

/// Class names from the `huggingface` entry of the file's metadata, where the label's feature is a `ClassLabel`. A label
/// inside a struct is found by its dotted name.
pub(super) fn class_names(table: &Table, label: &str) -> Option<Vec<String>> {
    let json: serde_json::Value = serde_json::from_str(table.note("huggingface")?).ok()?;
    let features = &json["info"]["features"];
    let feature = match features.get(label) {
        Some(feature) => feature,
        None => label.split('.').try_fold(features, |features, name| features.get(name))?,
    };
    let names = feature["names"].as_array()?;
    names.iter().map(|name| name.as_str().map(str::to_string)).collect()
}
