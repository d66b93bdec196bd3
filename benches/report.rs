//! What the benchmarks measured, as a table for people and one for programs.

#![allow(dead_code)]

use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Fewer are better.
    Seconds,
    /// More are better.
    ImagesPerSecond,
    /// The same, of frozen networks beside other runtimes.
    ImagesPerSecondBesideRuntimes,
    /// Fewer are better.
    SecondsPerEpoch,
}

impl Unit {
    fn as_str(self) -> &'static str {
        match self {
            Unit::Seconds => "s",
            Unit::ImagesPerSecond => "images/s",
            Unit::ImagesPerSecondBesideRuntimes => "images/s beside runtimes",
            Unit::SecondsPerEpoch => "s/epoch",
        }
    }
}

/// One line of the table.
pub struct Row {
    pub bench: String,
    pub unit: Unit,
    /// The median.
    pub ours: f64,
    /// The median; none where only ours was measured.
    pub reference: Option<f64>,
    /// Our speed over theirs, a pair each, in no order.
    pub ratios: Vec<f64>,
    /// What the project wants to reach; none where nothing is set.
    pub goal: Option<f64>,
    /// Whether both say the same, or did the same.
    pub agreement: String,
}

impl Row {
    fn median_ratio(&self) -> Option<f64> {
        (!self.ratios.is_empty()).then(|| median(&self.ratios))
    }

    fn ends(&self) -> (f64, f64) {
        let low = self.ratios.iter().copied().fold(f64::INFINITY, f64::min);
        (low, self.ratios.iter().copied().fold(0.0, f64::max))
    }

    fn digits(&self, value: f64) -> String {
        if self.unit == Unit::Seconds { format!("{value:.3}") } else { format!("{value:.2}") }
    }

    /// The row as a line of Markdown's table.
    pub fn line(&self) -> String {
        let (Some(ratio), Some(reference)) = (self.median_ratio(), self.reference) else {
            return format!("| {} | {} | – | – | – | {} |", self.bench, self.digits(self.ours), self.agreement);
        };
        let (low, high) = self.ends();
        let reached = |goal: f64| format!("{goal}x, {}", if ratio >= goal { "reached" } else { "not reached" });
        let goal = self.goal.map_or("–".into(), reached);
        let (ours, reference) = (self.digits(self.ours), self.digits(reference));
        let places = if self.unit == Unit::Seconds { 1 } else { 2 };
        let ratio = format!("{ratio:.places$}x [{low:.places$}, {high:.places$}]");
        format!("| {} | {ours} | {reference} | {ratio} | {goal} | {} |", self.bench, self.agreement)
    }
}

/// A file of benches/.
pub fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(file)
}

pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// Puts the rows into the table of all benchmarks (bench, device, ours, reference, unit, ratio, low, high) in place of
/// those of the same unit on the processor, which are the benchmark's own.
pub fn put_rows(path: &Path, unit: Unit, rows: &[Row]) {
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let others = before
        .lines()
        .skip(1)
        .filter(|line| !(line.contains(",cpu,") && line.contains(&format!(",{},", unit.as_str()))));
    let mut text = String::from("bench,device,ours,reference,unit,ratio,low,high\n");
    others.for_each(|line| writeln!(text, "{line}").unwrap());
    for row in rows {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
        let ends = row.median_ratio().map(|_| row.ends());
        let cells = [
            quoted(&row.bench),
            "cpu".into(),
            format!("{:.4}", row.ours),
            number(row.reference),
            unit.as_str().into(),
            number(row.median_ratio()),
            number(ends.map(|ends| ends.0)),
            number(ends.map(|ends| ends.1)),
        ];
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    std::fs::write(path, text).unwrap();
}

/// A cell of CSV.
fn quoted(cell: &str) -> String {
    if cell.contains(',') { format!("\"{cell}\"") } else { cell.into() }
}

/// The table of comparisons in Markdown; rows without a reference are left out.
pub fn table(unit: Unit, rows: &[Row]) -> String {
    let unit = if unit == Unit::ImagesPerSecondBesideRuntimes { "images/s" } else { unit.as_str() };
    let mut text =
        format!("| work | ours ({unit}) | reference ({unit}) | ratio [lowest, highest] | goal | remarks |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    rows.iter().filter(|row| row.reference.is_some()).for_each(|row| writeln!(text, "{}", row.line()).unwrap());
    text
}

/// The processor and its cores.
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = cpu.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    format!("{}, {cores} cores", named.unwrap_or("unknown processor"))
}

/// Names and versions of the other side.
pub fn versions(versions: &Value) -> String {
    let each = versions.as_object().into_iter().flatten();
    let each = each.filter_map(|(name, version)| Some(format!("{name} {}", version.as_str()?)));
    each.collect::<Vec<_>>().join(", ")
}

/// Puts `text` between the markers `name` of a page.
pub fn put_between_markers(path: &Path, name: &str, text: &str) {
    let [begin_marker, end_marker] = ["begin", "end"].map(|end| format!("<!-- {name}: {end} -->"));
    let page = std::fs::read_to_string(path).unwrap();
    let begin = page.find(&begin_marker).expect("the page has its first marker") + begin_marker.len();
    let end = page.find(&end_marker).expect("the page has its second marker");
    std::fs::write(path, format!("{}\n{text}{}", &page[..begin], &page[end..])).unwrap();
}
