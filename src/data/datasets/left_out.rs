//! What was left out when a data set was opened, by reason: nothing of a reader's goes missing in silence.

use super::ImageSet;
use super::names::on_one_line;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::sync::{LazyLock, Mutex, PoisonError};

/// What was left out when a data set was opened, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ignored {
    /// Why, in words: "files of type .heic, which is not read".
    pub reason: String,
    /// How many: files, folders, links or rows, as `reason` says.
    pub count: usize,
    /// The first names, at most three: paths in the source, or `file.parquet#row`.
    pub names: Vec<String>,
    /// What systems leave behind (hidden files, thumbnails that a file server made): counted, and not printed.
    pub minor: bool,
}

/// Names that are kept for each reason.
const NAMES: usize = 3;

/// Counts by reason.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally(BTreeMap<(bool, String), (usize, Vec<String>)>);

impl Tally {
    /// Something of the reader's that is left out.
    pub fn add(&mut self, reason: impl Into<String>, name: impl FnOnce() -> String) {
        self.put(false, reason.into(), name);
    }

    /// Something that a system left behind.
    pub fn add_minor(&mut self, reason: impl Into<String>, name: impl FnOnce() -> String) {
        self.put(true, reason.into(), name);
    }

    fn put(&mut self, minor: bool, reason: String, name: impl FnOnce() -> String) {
        let (count, names) = self.0.entry((minor, reason)).or_default();
        *count += 1;
        if names.len() < NAMES {
            names.push(name());
        }
    }

    /// The list, what is the reader's first.
    pub fn list(self) -> Vec<Ignored> {
        let entry = |((minor, reason), (count, names))| Ignored { reason, count, names, minor };
        self.0.into_iter().map(entry).collect()
    }
}

/// Several things in one line of words: `files of type .txt: 1 (a/notes.txt); links that lead nowhere: 2 (a/x, a/y)`.
pub(super) fn in_words(ignored: &[Ignored]) -> String {
    let one = |ignored: &Ignored| {
        let more = if ignored.count > ignored.names.len() { ", ..." } else { "" };
        let names = ignored.names.iter().map(|name| on_one_line(name)).collect::<Vec<_>>().join(", ");
        format!("{}: {} ({names}{more})", on_one_line(&ignored.reason), ignored.count)
    };
    ignored.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Prints what was left out of the reader's, in one line, and the warnings, a line each. `once`: not what this process
/// printed before, for sets that a program opens again and again.
pub(super) fn tell(set: &ImageSet, once: bool) {
    static TOLD: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Default::default);
    let own: Vec<Ignored> = set.ignored.iter().filter(|ignored| !ignored.minor).cloned().collect();
    let left_out = (!own.is_empty()).then(|| format!("left out: {}", in_words(&own)));
    for words in left_out.iter().chain(&set.warnings) {
        let line = format!("{}: {}", on_one_line(&set.id), on_one_line(words));
        let new = TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(line.clone());
        if new || !once {
            wider_clip_numbers::say!("{line}");
        }
    }
}
