//! What a suite asked for and did not get, with the reason: one data set that cannot be used does not cost the others.

use super::export::paths_in;
use crate::error::{Error, Result};
use crate::storage;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const ENDING: &str = ".left_out.json";

/// Cells of a data set and model that have no numbers, all for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Data set id.
    pub dataset: String,
    /// Model id; `None` where the data set itself cannot be used.
    pub model: Option<String>,
    /// Which cells of the experiment, in words (`knn at budget 10`); `None` where it is all of them.
    pub cells: Option<String>,
    /// What was expected and found.
    pub reason: String,
}

impl LeftOut {
    /// A line for a reader.
    pub fn line(&self) -> String {
        let model = self.model.as_ref().map_or_else(String::new, |model| format!(" under {model}"));
        let cells = self.cells.as_ref().map_or_else(String::new, |cells| format!(", {cells}"));
        format!("{}{model}{cells}: {}", self.dataset, self.reason)
    }
}

/// Leaves beside the rows of the experiment called `name` what it did not get; nothing left out leaves no file.
///
/// # Errors
/// A file that cannot be written or removed.
pub fn write_left_out(current: &Path, name: &str, left_out: &[LeftOut]) -> Result<()> {
    let path = current.join(format!("{name}{ENDING}"));
    if left_out.is_empty() {
        return match path.exists() {
            true => fs::remove_file(&path).map_err(Error::io(&path, "removing")),
            false => Ok(()),
        };
    }
    let entry = |left: &LeftOut| json!({ "dataset": left.dataset, "model": left.model, "cells": left.cells, "reason": left.reason });
    let text = serde_json::to_string_pretty(&left_out.iter().map(entry).collect::<Value>()).unwrap_or_default();
    storage::write_atomic(&path, text.as_bytes())
}

/// What the experiments of a suite did not get, each thing once; nothing where its folder is not there.
///
/// # Errors
/// A file that cannot be read.
pub fn left_out_in(current: &Path) -> Result<Vec<LeftOut>> {
    let mut paths = paths_in(current)?;
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ENDING)));
    let (mut all, mut lines) = (Vec::new(), BTreeSet::new());
    for path in paths {
        for left in read(&path)? {
            if lines.insert(left.line()) {
                all.push(left);
            }
        }
    }
    Ok(all)
}

fn read(path: &Path) -> Result<Vec<LeftOut>> {
    let text = fs::read_to_string(path).map_err(Error::io(path, "reading"))?;
    let wrong = |found: String| Error::data(path, "a list of what was left out, as JSON", found);
    let all: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let entries = all.as_array().ok_or_else(|| wrong("no list".into()))?;
    let entry = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().map(String::from);
        let required = |name: &str| text(name).ok_or_else(|| wrong(format!("an entry without `{name}`")));
        let (dataset, reason) = (required("dataset")?, required("reason")?);
        Ok(LeftOut { dataset, model: text("model"), cells: text("cells"), reason })
    };
    entries.iter().map(entry).collect()
}
