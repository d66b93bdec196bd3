//! The golden numbers of `tests/reference/published.py`, and how near ours must be.
#![allow(dead_code)]

use serde_json::Value;
use std::sync::LazyLock;

pub static GOLDEN: LazyLock<Value> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/published.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
});

pub fn cases(key: &str, n: usize) -> &'static [Value] {
    let cases = GOLDEN[key].as_array().unwrap_or_else(|| panic!("no cases under {key}"));
    assert_eq!(cases.len(), n, "cases under {key}");
    cases
}

pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

pub fn count(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("no count: {value}")) as usize
}

/// Written so that NaN fails.
pub fn close(ours: f64, theirs: &Value, within: f64, what: &str) {
    let theirs = number(theirs);
    assert!((ours - theirs).abs() <= within, "{what}: {ours}, expected {theirs}");
}

/// To so many parts of the number expected, and 1e-300, where p-values end.
pub fn nearly(ours: f64, theirs: &Value, part: f64, what: &str) {
    let theirs = number(theirs);
    assert!((ours - theirs).abs() <= part * theirs.abs() + 1e-300, "{what}: {ours}, expected {theirs}");
}
