//! One thing in several spellings: `1` and `1.0`, `Train` and `train`.

use std::collections::HashMap;

/// Whether all values are numbers, and there is one. NaN counts as one: it is how a table of numbers writes that one is missing.
pub(super) fn are_numbers<'a>(values: impl IntoIterator<Item = &'a str>) -> bool {
    let mut values = values.into_iter().peekable();
    values.peek().is_some() && values.all(|text| text.parse::<f64>().is_ok())
}

/// A number in the one spelling: pandas writes `1.0` in a column in which one is missing. `None` for NaN.
pub(super) fn number(text: &str) -> Option<&str> {
    if text.parse::<f64>().is_ok_and(f64::is_nan) {
        return None;
    }
    let whole = text.split_once('.').filter(|(whole, rest)| {
        let digits = whole.strip_prefix(['-', '+']).unwrap_or(whole);
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_digits(digits) && is_digits(rest) && rest.bytes().all(|byte| byte == b'0')
    });
    let number = whole.map_or(text, |(whole, _)| whole);
    let number = number.strip_prefix('+').unwrap_or(number);
    Some(if number == "-0" { "0" } else { number })
}

/// Numbers in their one spelling where all values are numbers; other values stay.
pub(super) fn numbers(values: &mut [Option<String>]) {
    if are_numbers(values.iter().flatten().map(String::as_str)) {
        for value in values {
            *value = value.as_deref().and_then(number).map(String::from);
        }
    }
}

/// Names that differ in case or in the space around them become the first of these.
pub(super) fn one_case<'a>(names: impl IntoIterator<Item = &'a mut String>) {
    let mut first: HashMap<String, String> = HashMap::new();
    for name in names {
        *name = first.entry(name.trim().to_lowercase()).or_insert_with(|| name.trim().to_string()).clone();
    }
}
