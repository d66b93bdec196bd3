//! One thing in several spellings: `1` and `1.0`, `Train` and `train`.

use std::collections::{BTreeSet, HashMap};
use tokenizers::NormalizedString;

/// Whether a text is how programs write that a value is missing: what pandas takes for that.
pub(super) fn is_missing(text: &str) -> bool {
    const WORDS: [&str; 12] =
        ["nan", "-nan", "null", "n/a", "#n/a", "#n/a n/a", "#na", "<na>", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"];
    // In other letters they may well be names.
    const NAMES: [&str; 2] = ["NA", "None"];
    let text = text.trim();
    NAMES.contains(&text) || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether all values are numbers, but for missing ones, and there is one.
pub(super) fn are_numbers<'a>(values: impl IntoIterator<Item = &'a str>) -> bool {
    let mut values = values.into_iter().filter(|text| !is_missing(text)).peekable();
    values.peek().is_some() && values.all(|text| text.parse::<f64>().is_ok())
}

/// A number in the one spelling: pandas writes `1.0` in a column in which one is missing, and takes `01` for 1. `None` for a
/// missing one.
pub(super) fn number(text: &str) -> Option<&str> {
    if is_missing(text) {
        return None;
    }
    let whole = text.split_once('.').filter(|(whole, rest)| {
        let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_digits(digits) && is_digits(rest) && rest.bytes().all(|byte| byte == b'0')
    });
    let number = whole.map_or(text, |(whole, _)| whole);
    let number = number.strip_prefix('+').unwrap_or(number);
    let digits = number.trim_start_matches('0');
    let is_whole = number.bytes().all(|byte| byte.is_ascii_digit());
    Some(match number {
        "-0" => "0",
        _ if is_whole && digits.is_empty() => "0",
        _ if is_whole => digits,
        _ => number,
    })
}

/// Numbers in their one spelling where all values are numbers; other values stay.
pub(super) fn numbers(values: &mut [Option<String>]) {
    if are_numbers(values.iter().flatten().map(String::as_str)) {
        for value in values {
            *value = value.as_deref().and_then(number).map(String::from);
        }
    }
}

/// Numbers in their one spelling, and texts that differ in case, in the space around them or in how accents are encoded by the first
/// of these: what belongs together must not be taken apart by how it was typed. Gives a warning where texts were joined.
pub(super) fn one_spelling(what: &str, values: &mut [Option<String>]) -> Option<String> {
    for value in values.iter_mut() {
        *value = value.take().map(|text| text.trim().to_string()).filter(|text| !text.is_empty());
    }
    numbers(values);
    let mut first: HashMap<String, String> = HashMap::new();
    let mut joined: BTreeSet<(String, String)> = BTreeSet::new();
    for value in values.iter_mut().flatten() {
        let plain = NormalizedString::from(value.as_str()).nfc().get().to_lowercase();
        let known = first.entry(plain).or_insert_with(|| value.clone());
        if known != value {
            joined.insert((known.clone(), value.clone()));
            value.clone_from(known);
        }
    }
    let (one, other) = joined.first()?;
    let n = joined.len();
    Some(format!("{n} of the {what} in another spelling count as one with the first, such as {other:?} with {one:?}"))
}

/// A warning for a group that is how programs write a missing one. It stays a group: images that are taken apart could leak.
pub(super) fn missing_group(groups: &[Option<String>]) -> Option<String> {
    let group = groups.iter().flatten().find(|group| is_missing(group))?;
    let n = groups.iter().flatten().filter(|other| *other == group).count();
    Some(format!(
        "the group {group:?} is how many programs write a missing one, and its {n} images stay together; leave the field empty \
         where that is meant"
    ))
}

/// Names that differ in case or in the space around them become the first of these.
pub(super) fn one_case<'a>(names: impl IntoIterator<Item = &'a mut String>) {
    let mut first: HashMap<String, String> = HashMap::new();
    for name in names {
        *name = first.entry(name.trim().to_lowercase()).or_insert_with(|| name.trim().to_string()).clone();
    }
}
