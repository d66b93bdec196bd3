//! The checks of assignment 5: a right answer has all points, a typical wrong one exactly those of the cases that it passes.

#[path = "support/marks.rs"]
mod marks;

use marks::holds_unwritten;
use std::collections::BTreeMap;
use wider_clip::course::intervals;

const Z: f64 = 1.959_963_984_540_054;

fn wilson(right: usize, n: usize) -> Option<(f64, f64)> {
    if n == 0 {
        return None;
    }
    let (p, n) = (right as f64 / n as f64, n as f64);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let centre = p + Z * Z / (2.0 * n);
    Some(((centre - half) / (1.0 + Z * Z / n), (centre + half) / (1.0 + Z * Z / n)))
}

fn wald(right: usize, n: usize) -> Option<(f64, f64)> {
    let (p, n) = (right as f64 / n as f64, n as f64);
    let half = Z * (p * (1.0 - p) / n).sqrt();
    (n > 0.0).then_some((p - half, p + half))
}

fn paired(a: &[bool], b: &[bool], draws: &[Vec<usize>]) -> Vec<f64> {
    let accuracy =
        |right: &[bool], draw: &[usize]| draw.iter().filter(|&&i| right[i]).count() as f64 / draw.len() as f64;
    draws.iter().map(|draw| accuracy(a, draw) - accuracy(b, draw)).collect()
}

fn percentile(values: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |q: f64| {
        let place = q * (sorted.len() - 1) as f64;
        let (below, part) = (place.floor() as usize, place.fract());
        sorted[below] + part * (sorted[(below + 1).min(sorted.len() - 1)] - sorted[below])
    };
    (!values.is_empty()).then(|| (at(0.025), at(0.975)))
}

fn grouped(groups: &[u32], a: &[bool], b: &[bool], draws: &[Vec<u32>]) -> Vec<f64> {
    let of = |draw: &Vec<u32>| {
        let (mut gain, mut n) = (0.0, 0.0);
        for drawn in draw {
            for i in (0..groups.len()).filter(|&i| groups[i] == *drawn) {
                gain += f64::from(u8::from(a[i])) - f64::from(u8::from(b[i]));
                n += 1.0;
            }
        }
        gain / n
    };
    draws.iter().map(of).collect()
}

fn coverage(interval: fn(usize, usize) -> Option<(f64, f64)>, p: f64, n: usize, counts: &[usize]) -> Option<f64> {
    let holds = |&&right: &&usize| interval(right, n).is_some_and(|(low, high)| low <= p && p <= high);
    (!counts.is_empty()).then(|| counts.iter().filter(holds).count() as f64 / counts.len() as f64)
}

#[test]
fn wilson_is_marked() {
    assert_eq!(intervals::wilson(wilson).points(), 4.0);
    // Without the correction only the empty test is right.
    assert_eq!(intervals::wilson(wald).points(), 1.0);
    // Forgets the empty test: NaN is no `None`.
    let forgets =
        |right: usize, n: usize| wilson(right, n.max(1)).map(|ends| if n == 0 { (f64::NAN, ends.1) } else { ends });
    assert_eq!(intervals::wilson(forgets).points(), 3.0);
    assert_eq!(intervals::wilson(|_, _| Some((0.403832, 0.596168))).points(), 0.0);
    holds_unwritten(intervals::wilson(|_, _| todo!()));
}

#[test]
fn the_paired_bootstrap_is_marked() {
    assert_eq!(intervals::paired(paired).points(), 4.0);
    // b minus a.
    assert_eq!(intervals::paired(|a, b, draws| paired(b, a, draws)).points(), 0.0);
    // Divides by the number of images in place of that of the draw.
    let by_images = |a: &[bool], b: &[bool], draws: &[Vec<usize>]| {
        paired(a, b, draws).iter().zip(draws).map(|(d, draw)| d * draw.len() as f64 / a.len() as f64).collect()
    };
    assert_eq!(intervals::paired(by_images).points(), 2.0);
    // An image counts once, however often it was drawn.
    let once = |a: &[bool], b: &[bool], draws: &[Vec<usize>]| {
        let mut draws = draws.to_vec();
        for draw in &mut draws {
            draw.sort_unstable();
            draw.dedup();
        }
        paired(a, b, &draws)
    };
    assert_eq!(intervals::paired(once).points(), 1.0);
    // In another order.
    let sorted = |a: &[bool], b: &[bool], draws: &[Vec<usize>]| {
        let mut all = paired(a, b, draws);
        all.sort_by(f64::total_cmp);
        all
    };
    assert_eq!(intervals::paired(sorted).points(), 2.0);
    assert_eq!(intervals::paired(|_, _, _| panic!("no")).points(), 0.0);
}

#[test]
fn the_percentile_interval_is_marked() {
    assert_eq!(intervals::percentile(percentile).points(), 3.0);
    // The nearest number in place of what lies between two.
    let nearest = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| sorted[(q * (sorted.len() - 1) as f64).round() as usize];
        (!values.is_empty()).then(|| (at(0.025), at(0.975)))
    };
    assert_eq!(intervals::percentile(nearest).points(), 2.0);
    // Panics without a number, and does not sort.
    let unsorted = |values: &[f64]| Some((values[values.len() / 40], values[values.len() - 1 - values.len() / 40]));
    assert_eq!(intervals::percentile(unsorted).points(), 0.5);
    assert_eq!(intervals::percentile(|_| None).points(), 0.5);
}

#[test]
fn the_bootstrap_of_groups_is_marked() {
    assert_eq!(intervals::grouped(grouped).points(), 4.0);
    // The mean of the groups' differences.
    let of_means = |groups: &[u32], a: &[bool], b: &[bool], draws: &[Vec<u32>]| {
        let of = |draw: &Vec<u32>| {
            let each = draw.iter().map(|&group| grouped(groups, a, b, &[vec![group]])[0]);
            each.sum::<f64>() / draw.len() as f64
        };
        draws.iter().map(of).collect()
    };
    // Families of one size are the same by both.
    assert_eq!(intervals::grouped(of_means).points(), 1.0);
    // A group that was drawn counts once.
    let once = |groups: &[u32], a: &[bool], b: &[bool], draws: &[Vec<u32>]| {
        let mut draws = draws.to_vec();
        for draw in &mut draws {
            draw.sort_unstable();
            draw.dedup();
        }
        grouped(groups, a, b, &draws)
    };
    assert_eq!(intervals::grouped(once).points(), 1.0);
    // Takes names for places: one image for each name, which panics for names beyond the list.
    let places = |_: &[u32], a: &[bool], b: &[bool], draws: &[Vec<u32>]| {
        let draws: Vec<Vec<usize>> =
            draws.iter().map(|draw| draw.iter().map(|&name| name as usize).collect()).collect();
        paired(a, b, &draws)
    };
    assert_eq!(intervals::grouped(places).points(), 0.0);
    assert_eq!(intervals::grouped(|_, _, _, _| vec![0.0; 200]).points(), 0.0);
}

#[test]
fn coverage_is_marked() {
    assert_eq!(intervals::coverage(coverage, wilson).points(), 3.0);
    // A right simulation shows that the simple interval holds too little.
    assert_eq!(intervals::coverage(coverage, wald).points(), 2.0);
    // Ends left out.
    let inside: intervals::CoverageOf = |interval, p, n, counts| {
        let holds = |&&right: &&usize| interval(right, n).is_some_and(|(low, high)| low < p && p < high);
        (!counts.is_empty()).then(|| counts.iter().filter(holds).count() as f64 / counts.len() as f64)
    };
    assert_eq!(intervals::coverage(inside, wilson).points(), 2.5);
    // Tests without an interval are left out, and none gives 0.
    let some: intervals::CoverageOf = |interval, p, n, counts| {
        let ends: Vec<(f64, f64)> = counts.iter().filter_map(|&right| interval(right, n)).collect();
        Some(ends.iter().filter(|(low, high)| *low <= p && p <= *high).count() as f64 / ends.len().max(1) as f64)
    };
    assert_eq!(intervals::coverage(some, wilson).points(), 2.5);
    assert_eq!(intervals::coverage(|_, _, _, _| Some(0.95), wilson).points(), 1.0);
    assert_eq!(intervals::coverage(coverage, |_, _| todo!()).points(), 2.0);
}

#[test]
fn the_table_on_emoji_is_there_whatever_is_written() {
    let table = intervals::on_emoji(wilson, percentile, paired, grouped);
    println!("{}", table.to_text());
    assert_eq!(table.rows.len(), 4);
    let ends: BTreeMap<&str, &str> =
        table.rows.iter().map(|row| (row[3].text.as_str(), row[2].text.as_str())).collect();
    let width = |text: &str| {
        let (low, high) = text.split_once(" to ").unwrap();
        high.parse::<f64>().unwrap() - low.parse::<f64>().unwrap()
    };
    let drawn = |word: &str| *ends.iter().find(|(drawn, _)| drawn.contains(word)).unwrap().1;
    assert!(width(drawn("families")) > width(drawn("images")));
    let table = intervals::on_emoji(|_, _| todo!(), |_| panic!("no"), |_, _, _| todo!(), |_, _, _, _| todo!());
    let said: Vec<&str> = table.rows.iter().map(|row| row[2].text.as_str()).collect();
    assert_eq!(said, ["not written yet"; 4]);
}
