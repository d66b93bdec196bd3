//! Every number that a notebook states in prose is held: by an output of a cell, or by code that asserts it.
//!
//! Numbers are read as they are written; a number of the prose is held where the same one stands in an output or in code of the same
//! notebook, rounded as the prose rounds it (35% by 35.2 or 0.352, 18 points by 17.7). That the right cell holds it, nobody but a
//! reader sees: this finds what no cell holds. Small counts, budgets and the like, which name
//! things and measure none, are passed over; so are the parts that speak of other work.

use serde_json::Value;
use std::path::{Path, PathBuf};
use wider_clip::workbench::notebooks::numbered_notebooks;

/// Sections that state no finding: what is asked of readers, what others wrote.
const PASSED_OVER: [&str; 4] = ["Exercises", "References", "Set-up", "Protocol"];

/// Numbers that name and do not measure: budgets, levels, sizes of images, years, numbers of models and seeds that manifests fix.
const NAMES: [f64; 18] = [
    10.0, 25.0, 50.0, 100.0, 1000.0, 95.0, 16.0, 48.0, 64.0, 224.0, 512_000.0, 76_667.0, 73_595.0, 100_000.0, 102.0,
    62.0, 1013.0, 74.0,
];

struct Notebook {
    path: PathBuf,
    prose: Vec<String>,
    held: Vec<f64>,
}

fn text(value: &Value) -> String {
    match value {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().to_string(),
    }
}

fn notebooks() -> Vec<Notebook> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks");
    numbered_notebooks(&folder).unwrap().into_iter().map(read).collect()
}

fn read(path: PathBuf) -> Notebook {
    let notebook: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let (mut prose, mut held, mut section) = (Vec::new(), Vec::new(), String::new());
    for cell in notebook["cells"].as_array().unwrap() {
        let source = text(&cell["source"]);
        if cell["cell_type"] == "code" {
            held.extend(numbers(&source));
            for output in cell["outputs"].as_array().unwrap() {
                held.extend(numbers(&text(&output["text"])));
                held.extend(numbers(&text(&output["data"]["text/plain"])));
                // A table is shortened in its words, and whole on its page.
                held.extend(numbers(&without_marks(&text(&output["data"]["text/html"]))));
            }
            continue;
        }
        for line in source.lines() {
            if let Some(name) = line.strip_prefix("## ") {
                section = name.trim().to_string();
            }
            if !PASSED_OVER.contains(&section.as_str()) && !line.starts_with('#') {
                prose.push(line.to_string());
            }
        }
    }
    Notebook { path, prose, held }
}

/// Text without tags.
fn without_marks(html: &str) -> String {
    let mut inside = false;
    let keep = |character: char| {
        let was = inside;
        inside = match character {
            '<' => true,
            '>' => false,
            _ => inside,
        };
        if was || inside { ' ' } else { character }
    };
    html.chars().map(keep).collect()
}

/// The numbers of a text, without signs; thousands may be set off by a comma. Digits within words, code and formulas are none.
fn numbers(text: &str) -> Vec<f64> {
    written(text).into_iter().map(|(value, _)| value).collect()
}

/// The same, with the decimals that each was written with.
fn written(text: &str) -> Vec<(f64, usize)> {
    let characters: Vec<char> = text.chars().collect();
    let digit = |at: usize| characters.get(at).is_some_and(char::is_ascii_digit);
    let mut found = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        if !digit(at) {
            at += 1;
            continue;
        }
        let from = at;
        while digit(at)
            || (characters[at..].starts_with(&[',']) && (1..4).all(|i| digit(at + i)) && !digit(at + 4))
            || (characters[at..].starts_with(&['.']) && digit(at + 1))
        {
            at += 1;
        }
        // 1e-5, in code.
        let exponent = at;
        if characters[at..].starts_with(&['e']) {
            let sign = usize::from(characters[at..].starts_with(&['e', '-']));
            if digit(at + 1 + sign) {
                at += 1 + sign;
                while digit(at) {
                    at += 1;
                }
            }
        }
        let before = from.checked_sub(1).map(|place| characters[place]);
        let within = |character: Option<&char>| character.is_some_and(|c| c.is_alphabetic() || *c == '_');
        if within(before.as_ref()) || within(characters.get(at)) {
            continue;
        }
        let number: String = characters[from..at].iter().filter(|character| **character != ',').collect();
        let mantissa: String = characters[from..exponent].iter().collect();
        let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        found.extend(number.parse().ok().map(|value: f64| (value, decimals)));
    }
    found
}

/// Prose without code, formulas, names of notebooks and quoted versions.
fn plain(line: &str) -> String {
    let mut out = String::new();
    for (number, part) in line.split('`').enumerate() {
        out.push_str(if number % 2 == 0 { part } else { " " });
    }
    out.split('$').enumerate().map(|(number, part)| if number % 2 == 0 { part } else { " " }).collect()
}

fn is_held(value: f64, decimals: usize, held: &[f64]) -> bool {
    let half = 0.5 * 10f64.powi(-(decimals as i32)) + 1e-12;
    held.iter().any(|other| (other - value).abs() <= half || (100.0 * other - value).abs() <= half)
}

#[test]
fn every_number_in_prose_is_held_by_a_cell() {
    let mut wrong = Vec::new();
    for Notebook { path, prose, held } in notebooks() {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        for line in &prose {
            for (value, decimals) in written(&plain(line)) {
                let names =
                    NAMES.contains(&value) || (decimals == 0 && value < 10.0) || (1900.0..2100.0).contains(&value);
                if !names && !is_held(value, decimals, &held) {
                    wrong.push(format!("{stem}: {value} in: {line:.160}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} numbers that no cell holds:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn numbers_are_read_as_people_write_them() {
    assert_eq!(
        written("35% of 1,013, 0.18 and 12.5 points, x2, v1.0b"),
        [(35.0, 0), (1013.0, 0), (0.18, 2), (12.5, 1)]
    );
    assert_eq!(numbers("[22.8, 29.5], 1e-5"), [22.8, 29.5, 1e-5]);
    assert!(is_held(35.0, 0, &[0.352]) && is_held(35.0, 0, &[35.4]) && !is_held(35.0, 0, &[36.0]));
    assert_eq!(plain("a `b 7` c $8$ d"), "a   c   d");
    assert_eq!(numbers(&without_marks("<td style=\"x:5\">7</td>")), [7.0]);
}
