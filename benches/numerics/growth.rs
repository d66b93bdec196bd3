//! Charts of how the cost grows.

use std::fmt::Write;

/// A named line of a chart: (x, seconds).
pub type Line = (&'static str, Vec<(f64, f64)>);

const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#555555"];

/// Seconds against size, both on logarithmic axes with a tick a decade and its halves.
pub fn chart(title: &str, x_name: &str, lines: &[Line]) -> String {
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
