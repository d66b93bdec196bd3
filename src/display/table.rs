//! Tables as HTML and as text, with every cell escaped.

use super::text::{NO_FORMULAS, emit, escape, plain, shorten_to_width, width};
use crate::error::{Error, Result};
use polars::prelude::*;

/// A cell: its text, and whether it is the best of its column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    /// What is shown.
    pub text: String,
    /// Marked in bold (HTML) or with a star (text).
    pub best: bool,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell { text: text.into(), best: false }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell { text, best: false }
    }
}

/// A table of text, the first column naming the row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// What it shows, above the table.
    pub caption: String,
    /// Column names.
    pub header: Vec<String>,
    /// Rows, each as long as the header.
    pub rows: Vec<Vec<Cell>>,
}

/// Rows that [`Table::from_frame`] shows at most.
const MOST_ROWS: usize = 40;
/// Characters of a cell in the text form.
const TEXT_WIDTH: usize = 40;

impl Table {
    /// A polars table, at most 40 rows of it; the caption says how many there are. Numbers have four decimals, fewer where
    /// the rest of a column's are all 0.
    ///
    /// # Errors
    /// A value that polars cannot give.
    pub fn from_frame(caption: &str, frame: &DataFrame) -> Result<Table> {
        let header = frame.get_column_names().into_iter().map(|name| name.to_string()).collect();
        let mut rows = Vec::new();
        for row in 0..frame.height().min(MOST_ROWS) {
            let mut cells = Vec::with_capacity(frame.width());
            for column in frame.columns() {
                cells.push(Cell::from(text_of(&column.get(row).map_err(Error::table(caption))?)));
            }
            rows.push(cells);
        }
        for (i, _) in frame.columns().iter().enumerate().filter(|(_, column)| column.dtype().is_float()) {
            drop_common_zeros(rows.iter_mut().filter_map(|row: &mut Vec<Cell>| row.get_mut(i)).collect());
        }
        let caption = match frame.height() > MOST_ROWS {
            true => format!("{caption} (the first {MOST_ROWS} of {} rows)", frame.height()),
            false => caption.into(),
        };
        Ok(Table { caption, header, rows })
    }

    /// The table as HTML. Columns whose every cell starts like a number are set to the right.
    pub fn to_html(&self) -> String {
        if self.rows.is_empty() {
            return format!("<p class=\"{NO_FORMULAS}\">{}</p>", escape(&self.caption));
        }
        let right: Vec<bool> = (0..self.header.len()).map(|column| self.is_numeric(column)).collect();
        let align = |column: usize| if right[column] { " style=\"text-align:right\"" } else { "" };
        // A number and its interval stay on one line; what stands above them may break.
        let in_line = |column: usize| if right[column] { " style=\"text-align:right;white-space:nowrap\"" } else { "" };
        let mut html = format!("<div class=\"{NO_FORMULAS}\" style=\"overflow-x:auto\"><table>");
        if !self.caption.is_empty() {
            html.push_str(&format!("<caption>{}</caption>", escape(&self.caption)));
        }
        html.push_str("<thead><tr>");
        for (column, name) in self.header.iter().enumerate() {
            html.push_str(&format!("<th scope=\"col\"{}>{}</th>", align(column), escape(name)));
        }
        html.push_str("</tr></thead><tbody>");
        for row in &self.rows {
            html.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let text = escape(&cell.text);
                let text = if cell.best { format!("<strong>{text}</strong>") } else { text };
                match column {
                    0 => html.push_str(&format!("<th scope=\"row\">{text}</th>")),
                    _ => html.push_str(&format!("<td{}>{text}</td>", in_line(column))),
                }
            }
            html.push_str("</tr>");
        }
        html.push_str("</tbody></table></div>");
        html
    }

    /// The table as text with aligned columns; the best of a column carries a star.
    pub fn to_text(&self) -> String {
        if self.rows.is_empty() {
            return plain(&self.caption);
        }
        let short = |text: &str| shorten_to_width(&plain(text), TEXT_WIDTH);
        let shown = |cell: &Cell| if cell.best { format!("{} *", short(&cell.text)) } else { short(&cell.text) };
        let mut lines: Vec<Vec<String>> = vec![self.header.iter().map(|name| short(name)).collect()];
        lines.extend(self.rows.iter().map(|row| row.iter().map(shown).collect()));
        let widest =
            |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|text| width(text)).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.header.len()).map(widest).collect();
        let join = |line: &Vec<String>| {
            let cells = line.iter().zip(&widths).map(|(text, most)| {
                let missing = most - width(text);
                format!("{text}{}", " ".repeat(missing))
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
        };
        let mut text: Vec<String> = Vec::new();
        if !self.caption.is_empty() {
            text.push(plain(&self.caption));
        }
        text.extend(lines.iter().map(join));
        text.join("\n")
    }

    fn is_numeric(&self, column: usize) -> bool {
        column > 0
            && self.rows.iter().filter_map(|row| row.get(column)).all(|cell| {
                let first = cell.text.trim_start_matches(['-', '+', '−']).chars().next();
                cell.text == "–" || cell.text.is_empty() || first.is_some_and(|first| first.is_ascii_digit())
            })
    }

    /// Called by the notebook kernel.
    pub fn evcxr_display(&self) {
        emit("text/html", &self.to_html());
        emit("text/plain", &self.to_text());
    }
}

/// Several tables, one below the other.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// The tables.
    pub tables: Vec<Table>,
    /// What is said where there is none.
    pub none: String,
}

impl Tables {
    /// Called by the notebook kernel.
    pub fn evcxr_display(&self) {
        let none = self.tables.is_empty();
        let html: Vec<String> = self.tables.iter().map(Table::to_html).collect();
        let text: Vec<String> = self.tables.iter().map(Table::to_text).collect();
        emit("text/html", &if none { format!("<p>{}</p>", escape(&self.none)) } else { html.join("\n") });
        emit("text/plain", &if none { self.none.clone() } else { text.join("\n\n") });
    }
}

/// A table behind its caption, for numbers that a chart beside it shows: a reader opens it, a reader without a browser has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded(pub Table);

impl Table {
    /// The table, folded.
    pub fn folded(self) -> Folded {
        Folded(self)
    }
}

impl Folded {
    /// As HTML that is open on paper and closed on a screen.
    pub fn to_html(&self) -> String {
        format!("<details class=\"folded\"><summary>The numbers, as a table</summary>{}</details>", self.0.to_html())
    }

    /// Called by the notebook kernel.
    pub fn evcxr_display(&self) {
        emit("text/html", &self.to_html());
        emit("text/plain", &self.0.to_text());
    }
}

/// Takes away the zeros that all numbers of a column end with behind the point: 90.0000 and 6.5000 become 90.0 and 6.5.
fn drop_common_zeros(mut cells: Vec<&mut Cell>) {
    let zeros = |cell: &&mut Cell| cell.text.len() - cell.text.trim_end_matches('0').len();
    let numbers = cells.iter().filter(|cell| cell.text.contains('.'));
    let Some(common) = numbers.map(zeros).min() else { return };
    for cell in cells.iter_mut().filter(|cell| cell.text.contains('.')) {
        let length = cell.text.len() - common;
        cell.text.truncate(length);
        if cell.text.ends_with('.') {
            cell.text.pop();
        }
    }
}

fn text_of(value: &AnyValue) -> String {
    match value {
        AnyValue::Null => "–".into(),
        AnyValue::String(text) => (*text).into(),
        AnyValue::StringOwned(text) => text.to_string(),
        AnyValue::Float64(number) => format!("{number:.4}"),
        AnyValue::Float32(number) => format!("{number:.4}"),
        other => other.to_string(),
    }
}
