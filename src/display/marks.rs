//! The marks of a task, as an output of a cell: its text is the number of points alone, which is what nbgrader reads. Beside it stand
//! the cases, as a table and as data, of which the page of feedback makes a table of its own.

use super::text::emit;
use super::{Cell, Table};
use crate::course::{CASE_SECONDS, Case, Marks, Outcome};

/// The form in which the cases are data: under `cases` a list of three texts each. An object, as VS Code takes a list for lines of text.
pub const MARKS_MIME: &str = "application/vnd.wider-clip.marks+json";

impl Marks {
    /// Every case with what became of it.
    pub fn table(&self) -> Table {
        let row = |case: &Case| {
            let became = match &case.outcome {
                Outcome::Right => "right".to_string(),
                Outcome::Wrong(said) if said.is_empty() => "not yet".to_string(),
                Outcome::Wrong(said) => said.clone(),
                Outcome::NotWritten => "not written yet".to_string(),
                Outcome::Panicked(message) => format!("it panicked: {message}"),
                Outcome::TookTooLong => format!("it took more than {CASE_SECONDS} s"),
            };
            let counts = if case.weight > 0.0 { "hidden" } else { "shown" };
            let mut became = Cell::from(became);
            became.best = case.outcome == Outcome::Right;
            vec![Cell::from(case.asks), Cell::from(counts), became]
        };
        Table {
            caption: format!("{}: {} of {} points", self.task, self.points(), self.of),
            header: ["case", "kind", "what came of it"].map(String::from).to_vec(),
            rows: self.cases.iter().map(row).collect(),
        }
    }

    /// Called by the notebook kernel.
    pub fn evcxr_display(&self) {
        let table = self.table();
        let cases: Vec<Vec<&str>> =
            table.rows.iter().map(|row| row.iter().map(|cell| cell.text.as_str()).collect()).collect();
        emit(MARKS_MIME, &serde_json::json!({ "cases": cases }).to_string());
        emit("text/html", &table.to_html());
        emit("text/plain", &self.points().to_string());
    }
}
