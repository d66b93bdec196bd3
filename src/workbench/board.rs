//! The page of the board: every published number beside ours, to be sorted and filtered without a network.

use crate::display::escape;
use crate::error::Result;
use crate::progress::thousands;
use crate::results::{BoardLine, board_frame, to_csv, write_board};
use crate::storage::write_atomic;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

/// The page's name in the report.
pub(super) const PAGE: &str = "board.html";
const TEMPLATE: &str = include_str!("template/board.html");
const SCRIPT: &str = include_str!("template/board.js");

/// Columns: name, whether it holds numbers, and whether it can be chosen from.
const COLUMNS: [(&str, bool, bool); 12] = [
    ("table", false, true),
    ("data set", false, true),
    ("part", false, true),
    ("model", false, true),
    ("method", false, true),
    ("budget", true, true),
    ("published", true, false),
    ("test images", true, false),
    ("ours", true, false),
    ("difference", true, false),
    ("within both intervals", false, true),
    ("notebook, or why there is none", false, false),
];

/// A cell: what is shown, and the number that it sorts by.
struct Shown {
    text: String,
    value: Option<f64>,
}

fn text(text: impl Into<String>) -> Shown {
    Shown { text: text.into(), value: None }
}

/// In percent, but for the adjusted Rand index.
fn amount(line: &BoardLine, value: f64, signed: bool) -> String {
    match (line.published.metric.as_str(), signed) {
        ("accuracy", false) => format!("{:.1}", 100.0 * value),
        ("accuracy", true) => format!("{:+.1}", 100.0 * value),
        (_, false) => format!("{value:.3}"),
        (_, true) => format!("{value:+.3}"),
    }
}

fn with_ends(line: &BoardLine, value: f64, ends: Option<(f64, f64)>) -> Shown {
    let ends = ends.map_or_else(String::new, |(low, high)| {
        format!(" [{}, {}]", amount(line, low, false), amount(line, high, false))
    });
    Shown { text: format!("{}{ends}", amount(line, value, false)), value: Some(value) }
}

fn cells(line: &BoardLine) -> [Shown; 12] {
    let key = &line.published.key;
    let ours = line.ours.map(|ours| {
        let shown = with_ends(line, ours.mean, ours.low.zip(ours.high));
        Shown { text: format!("{}, {} seeds", shown.text, ours.n), ..shown }
    });
    let difference =
        line.difference.map(|difference| Shown { text: amount(line, difference, true), value: Some(difference) });
    [
        text(key.table.as_str().replace('_', " ")),
        text(&key.dataset),
        text(&key.split),
        text(&key.model),
        text(&key.method),
        key.budget.map_or_else(|| text(""), |budget| Shown { text: budget.to_string(), value: Some(budget as f64) }),
        with_ends(line, line.published.value, line.interval),
        line.n.map_or_else(|| text(""), |n| Shown { text: thousands(n), value: Some(n as f64) }),
        ours.unwrap_or_else(|| text("")),
        difference.unwrap_or_else(|| text("")),
        text(match line.agrees() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        }),
        text(line.missing.clone().unwrap_or_default()),
    ]
}

/// A page of the report, and the anchors of its tables and charts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anchors {
    /// The file's name.
    pub page: String,
    /// What its captions are called in an address, in the order of the page.
    pub of: Vec<String>,
}

impl Anchors {
    /// Those of a page, as `render.py` makes them.
    pub fn of(page: &str, html: &str) -> Anchors {
        let quoted = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let captions = quoted.filter(|id| id.starts_with("table-") || id.starts_with("figure-"));
        Anchors { page: page.into(), of: captions.map(String::from).collect() }
    }

    /// Where a number of a data set, part and method stands: the first table about all of them, else about fewer, else the section
    /// with the results.
    pub fn place(&self, line: &BoardLine) -> String {
        let dataset = line.dataset.as_deref().unwrap_or(&line.published.key.dataset);
        let key = &line.published.key;
        let words = [anchor_words(dataset), anchor_words(&key.split), anchor_words(&key.method)];
        let of = |words: &[String]| {
            let about = |anchor: &&String| words.iter().all(|word| format!("{anchor}-").contains(&format!("-{word}-")));
            let kinds = ["table-", "figure-"].into_iter();
            kinds.filter_map(|kind| self.of.iter().filter(|anchor| anchor.starts_with(kind)).find(about)).next()
        };
        let found = of(&words).or_else(|| of(&words[..2])).or_else(|| of(&words[..1]));
        format!("{}#{}", self.page, found.map_or("Results", String::as_str))
    }
}

/// A name as it stands in an anchor.
fn anchor_words(name: &str) -> String {
    let name = name.to_lowercase();
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// Writes the page, and the board as CSV and Parquet under `data/`. A number leads to the table of the notebook that asks for it,
/// where its page is among `pages`.
///
/// # Errors
/// A folder that cannot be written.
pub(super) fn write(
    lines: &[BoardLine],
    suite: &str,
    versions: &str,
    pages: &[Anchors],
    staging: &Path,
    data: &Path,
) -> Result<()> {
    write_board(&data.join("board.parquet"), lines)?;
    write_atomic(&data.join("board.csv"), &to_csv(&board_frame(lines)?)?)?;
    write_atomic(&staging.join(PAGE), page(lines, suite, versions, pages).as_bytes())
}

fn page(lines: &[BoardLine], suite: &str, versions: &str, pages: &[Anchors]) -> String {
    let shown: Vec<[Shown; 12]> = lines.iter().map(cells).collect();
    let mut rows = String::new();
    for (line, cells) in lines.iter().zip(&shown) {
        rows.push_str("<tr>");
        for (column, cell) in cells.iter().enumerate() {
            let class = if COLUMNS[column].1 { " class=\"number\"" } else { "" };
            let value = cell.value.map_or_else(String::new, |value| format!(" data-value=\"{value}\""));
            let page = format!("{}.html", line.notebook());
            let asked = pages.iter().find(|of| of.page == page);
            let inner = match asked.filter(|_| column == cells.len() - 1 && line.missing.is_none()) {
                Some(of) => format!("<a href=\"{}\">{}</a>", of.place(line), line.notebook()),
                None => escape(&cell.text),
            };
            let _ = write!(rows, "<td{class}{value}>{inner}</td>");
        }
        rows.push_str("</tr>\n");
    }
    let header = COLUMNS.iter().map(|(name, number, _)| {
        let class = if *number { " class=\"number\"" } else { "" };
        format!("<th scope=\"col\"{class}><button type=\"button\">{name}</button></th>")
    });
    let selects = COLUMNS.iter().enumerate().filter(|(_, (.., chosen))| *chosen).map(|(column, (name, number, _))| {
        let mut values: Vec<&str> = shown
            .iter()
            .map(|cells| cells[column].text.as_str())
            .filter(|text| !text.is_empty())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        if *number {
            values.sort_by_key(|value| value.parse::<u64>().unwrap_or(0));
        }
        let options = values.iter().map(|value| format!("<option>{}</option>", escape(value))).collect::<String>();
        format!(
            "<label>{name} <select data-column=\"{column}\"><option value=\"\">all</option>{options}</select></label>"
        )
    });
    let ours = lines.iter().filter(|line| line.ours.is_some()).count();
    let judged: Vec<bool> = lines.iter().filter_map(BoardLine::agrees).collect();
    let lead = match ours {
        0 => format!(
            "The study published {} numbers. None of them can be computed in the suite <code>{}</code>: its data sets have to be \
             downloaded. The suite <code>study</code> does it, and fills this page.",
            thousands(lines.len()),
            escape(suite)
        ),
        _ => format!(
            "The study published {} numbers. {} stand beside ours here; of {} with intervals on both sides {} agree.",
            thousands(lines.len()),
            thousands(ours),
            thousands(judged.len()),
            thousands(judged.iter().filter(|agrees| **agrees).count())
        ),
    };
    let explained = "The interval of a published accuracy is Wilson's at 95% for the test images that its digits fit; it knows nothing of \
                     the study's one draw of labels. Ours is the mean over seeds with its 95% t-interval. The difference is ours less the \
                     study's; it is within both intervals where it is no more than the root of the sum of squares of their half-widths.";
    TEMPLATE
        .replace("{{lead}}", &lead)
        .replace("{{explained}}", explained)
        .replace("{{selects}}", &selects.collect::<Vec<_>>().join("\n"))
        .replace("{{shown}}", &format!("{} numbers", thousands(lines.len())))
        .replace("{{header}}", &header.collect::<String>())
        .replace("{{facts}}", &escape(versions))
        .replace("{{script}}", SCRIPT)
        .replace("{{rows}}", &rows)
}
