//! Where a panic or an error happened, in the cells that the reader wrote.
//!
//! The child compiles each cell as a crate of its own, in which the cell's lines stand unchanged between others. A panic
//! names the line of that crate's file, which stays as long as the kernel does. So the line's text is looked up there, and
//! then in the cells: the one that runs first, then those before it, newest first.

use crate::errors::{CELL, COMPILED, CellError, frame};
use std::fmt::Write;
use std::path::{Path, PathBuf};

const FILE: &str = "/lib.rs:";
/// Lines around a line that are compared where the same line stands more than once in a cell.
const AROUND: usize = 3;
/// Characters of a line that is shown.
const MOST: usize = 160;

/// The cells of a session, and where the child compiles them.
#[derive(Debug, Default)]
pub struct Places {
    folder: Option<PathBuf>,
    cells: Vec<(u64, String)>,
}

/// A line of a compiled cell.
struct Compiled<'a> {
    lines: Vec<&'a str>,
    /// From 0.
    line: usize,
    column: usize,
}

/// The same line in what the reader wrote.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    cell: u64,
    /// From 1; several where the line stands there more than once, and nothing around it tells which.
    lines: Vec<usize>,
    /// Where the text is the same to the left of it.
    column: Option<usize>,
    text: String,
}

impl Places {
    /// No cells yet. `folder` is that in which the child keeps its crate; without it nothing is looked up.
    pub fn new(folder: Option<PathBuf>) -> Places {
        Places { folder, cells: Vec::new() }
    }

    /// Remembers a cell that begins to run. A number that was there before, as that of a cell that is not counted, is kept too.
    pub fn remember(&mut self, number: u64, code: &str) {
        if self.folder.is_some() {
            self.cells.push((number, code.to_string()));
        }
    }

    /// The failure with the cells' own lines in its traceback: `cell_3:2:39` for `target/cell/4/lib.rs:17:39`, and below the
    /// place of a panic or an error the line itself. What is found in no cell stays as it is; of what the kernel wraps round a cell
    /// nothing stays.
    pub fn name(&self, mut error: CellError) -> CellError {
        let Some(folder) = &self.folder else { return error };
        let mut lines = Vec::new();
        let mut rest = error.traceback.iter().peekable();
        while let Some(line) = rest.next() {
            match frame(line) {
                Some(symbol) if symbol.contains(CELL) => {
                    let place = rest.next_if(|next| next.trim_start().starts_with("at "));
                    if let Some(named) = place.and_then(|place| self.named(folder, place)) {
                        lines.push(line.replace(symbol, "the cell"));
                        lines.extend(named);
                    }
                }
                _ => lines.extend(self.named(folder, line).unwrap_or_else(|| vec![line.clone()])),
            }
        }
        error.traceback = without_repeats(lines);
        error
    }

    fn named(&self, folder: &Path, text: &str) -> Option<Vec<String>> {
        let named = Named::read(text)?;
        let source = std::fs::read_to_string(folder.join(named.path)).ok()?;
        let line = named.line.checked_sub(1)?;
        let compiled = Compiled { lines: source.lines().collect(), line, column: named.column };
        let place = self.find(&compiled)?;
        let line = format!("{}{}{}", named.before, place.name(), named.behind);
        // The place of a panic or an error, and not of a frame.
        Some(if named.behind == ":" { vec![line, place.shown()] } else { vec![line] })
    }

    fn find(&self, compiled: &Compiled) -> Option<Place> {
        let sought = compiled.lines.get(compiled.line)?;
        if sought.trim().is_empty() {
            return None;
        }
        // Whole lines first: one of several statements on a line stands on a line of its own where it is compiled.
        let whole = |line: &str| (line.trim() == sought.trim()).then(|| line.len() - line.trim_start().len());
        let part = |line: &str| line.find(sought.trim());
        let cells = || self.cells.iter().rev();
        let found = cells().find_map(|cell| compiled.find(cell, whole));
        found.or_else(|| cells().find_map(|cell| compiled.find(cell, part)))
    }
}

impl Compiled<'_> {
    /// The line in a cell; `begin` tells where in a line of it this one begins.
    fn find(&self, (number, code): &(u64, String), begin: impl Fn(&str) -> Option<usize>) -> Option<Place> {
        let lines: Vec<&str> = code.lines().collect();
        let places =
            lines.iter().enumerate().filter_map(|(at, line)| Some((self.likeness(&lines, at), at, begin(line)?)));
        let places: Vec<(usize, usize, usize)> = places.collect();
        let best = places.iter().map(|place| place.0).max()?;
        let best: Vec<_> = places.into_iter().filter(|place| place.0 == best).collect();
        let (_, at, begin) = best[0];
        let sought = self.lines[self.line];
        let column = (self.column + begin).checked_sub(sought.len() - sought.trim_start().len());
        let text = lines[at].trim_end().to_string();
        Some(Place { cell: *number, lines: best.iter().map(|place| place.1 + 1).collect(), column, text })
    }

    /// How many lines above and below are the same as those of a cell around its line `at`.
    fn likeness(&self, cell: &[&str], at: usize) -> usize {
        let same = |step: fn(usize, usize) -> Option<usize>| {
            let both = |by: usize| {
                let (here, there) = (step(self.line, by)?, step(at, by)?);
                Some(self.lines.get(here)?.trim() == cell.get(there)?.trim())
            };
            (1..=AROUND).take_while(|by| both(*by) == Some(true)).count()
        };
        same(usize::checked_sub) + same(usize::checked_add)
    }
}

impl Place {
    fn name(&self) -> String {
        let mut name = format!("cell_{}:{}", self.cell, self.lines[0]);
        if let ([_], Some(column)) = (self.lines.as_slice(), self.column) {
            let _ = write!(name, ":{column}");
        }
        for line in &self.lines[1..] {
            let _ = write!(name, " or {line}");
        }
        name
    }

    /// As rustc shows a line.
    fn shown(&self) -> String {
        let text = match self.text.char_indices().nth(MOST) {
            Some((end, _)) => format!("{}…", &self.text[..end]),
            None => self.text.clone(),
        };
        format!("{} | {text}", self.lines[0])
    }
}

/// The lines without a backtrace that says no more than the panic: that it was in the cell itself, and where.
fn without_repeats(lines: Vec<String>) -> Vec<String> {
    let (mut kept, mut place) = (Vec::new(), String::new());
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        if let Some((_, told)) = line.split_once(" panicked at ") {
            place = format!("at {}", told.trim_end_matches(':'));
        }
        let frame_is = |by: usize, holds: &dyn Fn(&str) -> bool| lines.get(at + by).is_some_and(|line| holds(line));
        let repeats = line == "stack backtrace:"
            && frame_is(1, &|line| frame(line) == Some("the cell"))
            && frame_is(2, &|line| line.trim() == place)
            && !frame_is(3, &|line| frame(line).is_some());
        if repeats {
            at += 3;
        } else {
            kept.push(line.clone());
            at += 1;
        }
    }
    kept
}

/// A place in a compiled cell, as a line of text names it.
struct Named<'a> {
    /// What stands before and behind the name.
    before: &'a str,
    behind: &'a str,
    path: &'a str,
    /// From 1, as the column.
    line: usize,
    column: usize,
}

impl Named<'_> {
    fn read(text: &str) -> Option<Named<'_>> {
        let start = text.find(COMPILED)?;
        let (_, rest) = digits(&text[start + COMPILED.len()..])?;
        let rest = rest.strip_prefix(FILE)?;
        let path = &text[start..text.len() - rest.len() - 1];
        let (line, rest) = digits(rest)?;
        let (column, behind) = rest.strip_prefix(':').and_then(digits).unwrap_or((1, rest));
        // A line of a backtrace leads there from where the process began.
        let indent = text.len() - text.trim_start().len();
        let before = if text[indent..].starts_with("at ") { &text[..indent + 3] } else { &text[..start] };
        Some(Named { before, behind, path, line, column })
    }
}

/// The number that a text begins with, and the rest.
fn digits(text: &str) -> Option<(usize, &str)> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..end].parse().ok()?, &text[end..]))
}
