//! The fields of a record, as its own reader names them: a field that is added later is found here without being told of.

use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// Every field that a `T` may have where `document` has a table, by path; list positions are left out. A table whose keys
/// are data (a class and its count) stands as one field.
pub fn fields<T: DeserializeOwned>(document: &toml::Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk::<T>(document, &[], &mut found);
    found
}

fn walk<T: DeserializeOwned>(document: &toml::Table, path: &[String], found: &mut BTreeSet<String>) {
    let mut changed = document.clone();
    let table = match path {
        [] => &mut changed,
        _ => at(&mut changed, path).as_table_mut().expect("a table"),
    };
    let inner = table.clone();
    table.insert("zzz".into(), toml::Value::Boolean(true));
    let error = toml::Value::Table(changed).try_into::<T>().err().map(|error| error.to_string());
    let name = |field: &str| {
        path.iter()
            .filter(|part| part.parse::<usize>().is_err())
            .map(String::as_str)
            .chain([field])
            .collect::<Vec<_>>()
            .join(".")
    };
    let Some(error) = error else { panic!("{}: anything may stand here", path.join(".")) };
    match known(&error) {
        Some(names) => found.extend(names.iter().map(|field| name(field))),
        // The table of an enum: its one key is the variant.
        None if inner.len() == 1 && error.contains("exactly 1 element") => {}
        // Keys of this table are data.
        None => {
            found.insert(name("*"));
            return;
        }
    }
    for (key, value) in &inner {
        let below = [path, std::slice::from_ref(key)].concat();
        match value {
            toml::Value::Table(_) => walk::<T>(document, &below, found),
            toml::Value::Array(list) => {
                for i in (0..list.len()).filter(|&i| list[i].is_table()) {
                    walk::<T>(document, &[below.as_slice(), &[i.to_string()]].concat(), found);
                }
            }
            _ => {}
        }
    }
}

/// The names that a reader says it expected.
fn known(error: &str) -> Option<Vec<String>> {
    let list = match error.split_once("unexpected keys in table") {
        Some((_, rest)) => rest.split_once("available keys: ")?.1.to_string(),
        None => error.split_once("unknown field `zzz`, expected ")?.1.to_string(),
    };
    let line = list.lines().next().unwrap_or_default();
    let names = line.trim_start_matches("one of ").replace(" or ", ", ");
    Some(names.split(", ").map(|name| name.trim().trim_matches('`').to_string()).collect())
}

/// The value at a path of keys and list positions.
pub fn at<'a>(document: &'a mut toml::Table, path: &[String]) -> &'a mut toml::Value {
    let (first, rest) = path.split_first().map_or_else(|| panic!("a path"), |(first, rest)| (first, rest));
    let mut value = document.get_mut(first).unwrap_or_else(|| panic!("no `{first}`"));
    for part in rest {
        value = match value {
            toml::Value::Table(table) => table.get_mut(part).unwrap_or_else(|| panic!("no `{part}`")),
            toml::Value::Array(list) => list.get_mut(part.parse::<usize>().expect("a position")).expect("an entry"),
            other => panic!("`{part}` in {other}"),
        };
    }
    value
}
