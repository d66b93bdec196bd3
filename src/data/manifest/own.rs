//! The record of a reader's own data as TOML, to be kept and changed.

use super::{DatasetRecord, Loaded, Source};
use crate::error::Result;
use std::path::Path;
use toml::{Table, Value};

/// Reads a manifest of a reader's own data. What it does not say is completed as always; nothing is looked for.
///
/// # Errors
/// A file that cannot be read or is no manifest of a data set.
pub fn read_own(path: &Path) -> Result<DatasetRecord> {
    Ok(Loaded::<DatasetRecord>::read(path)?.record)
}

/// The manifest of a reader's own data as `recognise` finds them, with the bands and the range of an edited one: what is not the
/// default. Reading it gives the same record; what else a record may say is not written.
pub fn own_manifest(record: &DatasetRecord) -> String {
    let mut manifest = Table::new();
    let text = |text: &str| Value::String(text.into());
    let list = |texts: &[String]| Value::Array(texts.iter().map(|text| Value::String(text.clone())).collect());
    let said = [
        ("id", record.id.as_str(), ""),
        ("name", &record.name, &record.id),
        ("description", &record.description, ""),
        ("licence", &record.licence, "not stated"),
        ("homepage", &record.homepage, ""),
        ("citation", &record.citation, "none"),
    ];
    for (key, value, default) in said {
        if !value.is_empty() && value != default {
            manifest.insert(key.into(), text(value));
        }
    }
    let reading = [
        ("bands", record.bands.as_ref().map(|bands| bands.iter().map(|&band| i64::from(band).into()).collect())),
        ("range", record.range.map(|range| range.map(Value::Float).to_vec())),
    ];
    for (key, values) in reading {
        if let Some(values) = values {
            manifest.insert(key.into(), Value::Array(values));
        }
    }
    let mut source = Table::new();
    let kind = match &record.source {
        Source::Folder { path, tables } => {
            source.insert("path".into(), text(path));
            if !tables.is_empty() {
                source.insert("tables".into(), list(tables));
            }
            "folder"
        }
        Source::Parquet { files } => {
            source.insert("files".into(), list(files));
            "parquet"
        }
        // Published data have a manifest of their own.
        _ => return String::new(),
    };
    manifest.insert("source".into(), Value::Table(Table::from_iter([(kind.to_string(), Value::Table(source))])));
    let columns = &record.columns;
    let named = [
        ("image", Some(&columns.image)),
        ("label", Some(&columns.label)),
        ("group", columns.group.as_ref()),
        ("domain", columns.domain.as_ref()),
        ("caption", columns.caption.as_ref()),
        ("split", columns.split.as_ref()),
    ];
    let by_table = !matches!(&record.source, Source::Folder { tables, .. } if tables.is_empty());
    let named = named.into_iter().filter_map(|(key, column)| Some((key.to_string(), text(column?))));
    if by_table {
        manifest.insert("columns".into(), Value::Table(named.collect()));
    }
    let split = &record.split;
    let mut rule = Table::new();
    if split.pool != "all" {
        rule.insert("pool".into(), text(&split.pool));
    }
    if split.rule != super::SplitRule::Study {
        rule.insert("rule".into(), text(split.rule.as_str()));
    }
    for (key, part) in [("val", &split.val), ("id_test", &split.id_test)] {
        if let Some(part) = part {
            rule.insert(key.into(), Value::Table(Table::from_iter([("name".to_string(), text(&part.name))])));
        }
    }
    if !rule.is_empty() {
        manifest.insert("split".into(), Value::Table(rule));
    }
    manifest.to_string()
}
