//! What was measured, as a table for people, a table for programs, and charts of growth.

use std::fmt::Write;
use std::path::Path;

/// One line of the table.
pub struct Row {
    pub bench: String,
    /// Median seconds.
    pub ours: f64,
    /// Median seconds; none where only ours was measured.
    pub reference: Option<f64>,
    /// Ratios (theirs / ours) of the pairs, in no order.
    pub ratios: Vec<f64>,
    /// What the project wants to reach; none where nothing is set.
    pub goal: Option<f64>,
    /// Whether both say the same.
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
}

pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// bench, device, ours, reference, unit, ratio, low, high.
pub fn csv(rows: &[Row]) -> String {
    let mut text = String::from("bench,device,ours,reference,unit,ratio,low,high\n");
    for row in rows {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.4}"));
        let ends = row.median_ratio().map(|_| row.ends());
        let cells = [
            row.bench.clone(),
            "cpu".into(),
            format!("{:.4}", row.ours),
            number(row.reference),
            "s".into(),
            number(row.median_ratio()),
            number(ends.map(|ends| ends.0)),
            number(ends.map(|ends| ends.1)),
        ];
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    text
}

/// The table of comparisons in Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from("| work | ours (s) | reference (s) | ratio [lowest, highest] | goal | agreement |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for row in rows {
        let (Some(ratio), Some(reference)) = (row.median_ratio(), row.reference) else { continue };
        let (low, high) = row.ends();
        let goal = row
            .goal
            .map_or("–".into(), |goal| format!("{goal}x, {}", if ratio >= goal { "reached" } else { "not reached" }));
        let Row { bench, ours, agreement, .. } = row;
        writeln!(
            text,
            "| {bench} | {ours:.3} | {reference:.3} | {ratio:.1}x [{low:.1}, {high:.1}] | {goal} | {agreement} |"
        )
        .unwrap();
    }
    text
}

/// A named line of a chart: (x, seconds).
pub type Line = (&'static str, Vec<(f64, f64)>);

const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#555555"];

/// Seconds against size, both on logarithmic axes with a tick a decade and its halves.
pub fn growth(title: &str, x_name: &str, lines: &[Line]) -> String {
    let [width, height, left, top, plot_w, plot_h]: [f64; 6] = [640.0, 380.0, 70.0, 40.0, 400.0, 280.0];
    let points = || lines.iter().flat_map(|(_, points)| points.iter());
    let range = |of: fn(&(f64, f64)) -> f64| {
        let low = points().map(of).fold(f64::INFINITY, f64::min).log10();
        let high = points().map(of).fold(0.0, f64::max).log10();
        (low - 0.1, high + 0.1)
    };
    let ((x0, x1), (y0, y1)) = (range(|point| point.0), range(|point| point.1));
    let x = |value: f64| left + (value.log10() - x0) / (x1 - x0) * plot_w;
    let y = |value: f64| top + plot_h - (value.log10() - y0) / (y1 - y0) * plot_h;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"{}\" y=\"22\" text-anchor=\"middle\" font-size=\"15\">{title}</text>\n\
         <rect x=\"{left}\" y=\"{top}\" width=\"{plot_w}\" height=\"{plot_h}\" fill=\"none\" stroke=\"#999\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{x_name}</text>\n\
         <text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">seconds</text>\n",
        left + plot_w / 2.0,
        left + plot_w / 2.0,
        top + plot_h + 42.0,
        top + plot_h / 2.0,
    );
    for decade in -4..6 {
        for factor in [1.0, 2.0, 5.0] {
            let value = factor * 10f64.powi(decade);
            let label = if value >= 1000.0 { format!("{}k", value / 1000.0) } else { format!("{value}") };
            if (x0..=x1).contains(&value.log10()) {
                let at = x(value);
                writeln!(svg, "<path d=\"M{at:.1} {top}v{plot_h}\" stroke=\"#eee\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", top + plot_h + 18.0).unwrap();
            }
            if (y0..=y1).contains(&value.log10()) {
                let at = y(value);
                writeln!(svg, "<path d=\"M{left} {at:.1}h{plot_w}\" stroke=\"#eee\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", left - 8.0, at + 4.0).unwrap();
            }
        }
    }
    for (number, (name, points)) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let path: Vec<String> = points.iter().map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1))).collect();
        writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join(" "))
            .unwrap();
        for point in points {
            writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>", x(point.0), y(point.1))
                .unwrap();
        }
        let (at, start) = (top + 12.0 + 20.0 * number as f64, left + plot_w + 16.0);
        writeln!(svg, "<path d=\"M{start} {at}h18\" stroke=\"{colour}\" stroke-width=\"2\"/><circle cx=\"{}\" cy=\"{at}\" r=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\">{name}</text>", start + 9.0, start + 26.0, at + 4.0).unwrap();
    }
    svg.push_str("</svg>\n");
    svg
}

/// Puts `text` between the markers of a page.
pub fn put_between_markers(path: &Path, text: &str) {
    let [begin_marker, end_marker]: [&str; 2] = ["<!-- measured: begin -->", "<!-- measured: end -->"];
    let page = std::fs::read_to_string(path).unwrap();
    let begin = page.find(begin_marker).expect("the page has its first marker") + begin_marker.len();
    let end = page.find(end_marker).expect("the page has its second marker");
    std::fs::write(path, format!("{}\n{text}{}", &page[..begin], &page[end..])).unwrap();
}
