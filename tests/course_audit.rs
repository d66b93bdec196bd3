//! The checks of assignment 8: a right answer has all points, a typical wrong one exactly those of the cases that it passes.

#[path = "support/marks.rs"]
mod marks;

use marks::holds_unwritten;
use wider_clip::course::Outcome;
use wider_clip::course::audit::{self, Column};

fn value(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| (0.0..=1.0).contains(value))
}

fn fitting(printed: &[&str], most: usize, units: f64, decimals: usize) -> Option<Vec<usize>> {
    if printed.is_empty() {
        return None;
    }
    let mut values = Vec::new();
    for text in printed {
        let after = text.find('.').map_or(0, |point| text.len() - point - 1).min(decimals);
        values.push((value(text)?, units * 10f64.powi(-(after as i32))));
    }
    let fits = |n: &usize| values.iter().all(|(x, within)| ((x * *n as f64).round() / *n as f64 - x).abs() <= *within);
    Some((2..=most).filter(fits).collect())
}

fn denominators(printed: &[&str], most: usize) -> Option<Vec<usize>> {
    fitting(printed, most, 0.6, 6)
}

fn interval(p: f64, n: usize) -> Option<(f64, f64)> {
    if n == 0 || !(0.0..=1.0).contains(&p) {
        return None;
    }
    let (z, n) = (1.96, n as f64);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let centre = p + z * z / (2.0 * n);
    Some(((centre - half) / (1.0 + z * z / n), (centre + half) / (1.0 + z * z / n)))
}

fn clear(a: f64, b: f64, n: usize) -> (bool, bool) {
    let apart = (a - b).abs();
    let images = (apart * n as f64).round() as i32;
    (apart > 1.96 * ((a * (1.0 - a) + b * (1.0 - b)) / n as f64).sqrt(), 2.0 * 0.5f64.powi(images) < 0.05)
}

fn first(models: &[(String, f64)], n: usize) -> Option<(String, String)> {
    let mut ranked = models.to_vec();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let word = match clear(ranked.first()?.1, ranked.get(1)?.1, n) {
        (true, _) => "clear",
        (_, true) => "open",
        _ => "never",
    };
    Some((ranked[0].0.clone(), word.into()))
}

fn judged(columns: &[Column], a: &str, b: &str, by: fn(f64, f64, usize) -> bool) -> Option<String> {
    let (mut seen, mut ahead, mut behind) = (false, false, false);
    for (n, models) in columns {
        let of = |name: &str| models.iter().find(|model| model.0 == name).map(|model| model.1);
        if let (Some(a), Some(b)) = (of(a), of(b)) {
            seen = true;
            ahead |= a > b && by(a, b, *n);
            behind |= a < b && by(a, b, *n);
        }
    }
    let word = match (ahead, behind) {
        (true, true) => "mixed",
        (true, false) => "holds",
        (false, true) => "fails",
        (false, false) => "open",
    };
    seen.then(|| word.to_string())
}

fn verdict(columns: &[Column], a: &str, b: &str) -> Option<String> {
    judged(columns, a, b, |a, b, n| clear(a, b, n).0)
}

#[test]
fn denominators_are_marked() {
    assert_eq!(audit::denominators(denominators).points(), 4.0);
    // The numbers that the study is known for.
    let known: audit::DenominatorsOf = |printed, _| match printed.first() {
        Some(&"0.523533") => Some(vec![1551]),
        Some(&"0.71919") => Some(vec![1136]),
        _ => Some(vec![612]),
    };
    assert_eq!(audit::denominators(known).points(), 0.0);
    // All decimals count, however many.
    assert_eq!(audit::denominators(|printed, most| fitting(printed, most, 0.6, 20)).points(), 3.0);
    // What is no fraction is left out.
    let skips: audit::DenominatorsOf = |printed, most| {
        let good: Vec<&str> = printed.iter().copied().filter(|text| value(text).is_some()).collect();
        denominators(&good, most).or(Some(vec![]))
    };
    assert_eq!(audit::denominators(skips).points(), 3.5);
    // The smallest alone.
    assert_eq!(
        audit::denominators(|printed, most| denominators(printed, most).map(|fits| fits.into_iter().take(1).collect()))
            .points(),
        0.5
    );
    holds_unwritten(audit::denominators(|_, _| todo!()));
}

#[test]
fn intervals_are_marked() {
    assert_eq!(audit::interval(interval).points(), 2.0);
    let simple: audit::IntervalOf = |p, n| {
        let half = 1.96 * (p * (1.0 - p) / n as f64).sqrt();
        (n > 0 && (0.0..=1.0).contains(&p)).then_some((p - half, p + half))
    };
    assert_eq!(audit::interval(simple).points(), 0.5);
    // Takes what is no fraction.
    assert_eq!(audit::interval(|p, n| if n == 0 { None } else { interval(p.clamp(0.0, 1.0), n) }).points(), 1.5);
    assert_eq!(audit::interval(|_, _| Some((0.4038, 0.5962))).points(), 0.0);
}

#[test]
fn what_is_apart_is_marked() {
    assert_eq!(audit::clear(clear).points(), 4.0);
    // Intervals that do not overlap are asked for, which is too much.
    let overlap: audit::ClearOf = |a, b, n| match (interval(a, n), interval(b, n)) {
        (Some(a_ends), Some(b_ends)) => (a_ends.0 > b_ends.1 || b_ends.0 > a_ends.1, clear(a, b, n).1),
        _ => (false, false),
    };
    let marks = audit::clear(overlap);
    assert!(marks.points() <= 2.5, "{}", marks.points());
    // One-sided in the kindest case.
    let one_sided: audit::ClearOf =
        |a, b, n| (clear(a, b, n).0, 0.5f64.powi(((a - b).abs() * n as f64).round() as i32) < 0.05);
    assert_eq!(audit::clear(one_sided).cases.last().map(|case| &case.outcome), Some(&Outcome::Wrong(String::new())));
    // Only where a is ahead.
    assert!(audit::clear(|a, b, n| if a > b { clear(a, b, n) } else { (false, false) }).points() <= 1.0);
    assert_eq!(audit::clear(|_, _, _| (false, true)).points(), 0.0);
}

#[test]
fn the_first_is_marked() {
    assert_eq!(audit::first(first).points(), 4.0);
    // Always the study's winner.
    let dino: audit::FirstOf = |models, _| (models.len() > 1).then(|| ("DINO".into(), "open".into()));
    assert_eq!(audit::first(dino).points(), 0.5);
    // The last of equals.
    let last: audit::FirstOf = |models, n| first(&models.iter().rev().cloned().collect::<Vec<_>>(), n);
    assert!(audit::first(last).points() <= 3.5);
    // Never asks for the number of images.
    assert!(audit::first(|models, _| first(models, 1000)).points() <= 1.5);
    // Panics with fewer than two.
    let indexes: audit::FirstOf = |models, n| if models[1].1 >= 0.0 { first(models, n) } else { None };
    assert_eq!(audit::first(indexes).points(), 3.5);
}

#[test]
fn the_verdict_is_marked() {
    assert_eq!(audit::verdict(verdict).points(), 4.0);
    assert_eq!(audit::verdict(|columns, a, b| verdict(columns, b, a)).points(), 0.5);
    // Any lead counts.
    let marks = audit::verdict(|columns, a, b| judged(columns, a, b, |_, _, _| true));
    assert_eq!(marks.points(), 0.5);
    // Panics where a column lacks one of both.
    let unwraps: audit::VerdictOf = |columns, a, b| {
        for (_, models) in columns {
            assert!([a, b].iter().all(|name| models.iter().any(|model| model.0 == **name)), "no such model");
        }
        verdict(columns, a, b)
    };
    assert_eq!(audit::verdict(unwraps).points(), 2.5);
    assert_eq!(audit::verdict(|_, _, _| Some("holds".into())).points(), 0.0);
    holds_unwritten(audit::verdict(|_, _, _| todo!()));
}

#[test]
fn the_table_on_the_study_is_there_whatever_is_written() {
    let table = audit::on_the_study(denominators, first, verdict);
    println!("{}", table.to_text());
    let fits =
        |row: &str| table.rows.iter().find(|cells| cells[0].text == row).map(|cells| cells[2].text.clone()).unwrap();
    assert!(fits("dtd knn 10").starts_with("1551"));
    assert!(fits("isic knn 10").starts_with("1136") && fits("isic lr 100").starts_with("1136"));
    assert!(fits("flowers102 knn 10, printed again").starts_with("612"));
    let table = audit::on_the_study(|_, _| todo!(), |_, _| panic!("no"), |_, _, _| todo!());
    assert!(
        table.rows.len() > 6
            && table.rows[0][2].text == "not written yet"
            && table.rows[0][3].text == "it panicked: no"
    );
}
