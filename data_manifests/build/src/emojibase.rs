//! Emoji by their English names: Unicode group, subgroup, label and tags, from emojibase.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::packages::Archive;

/// One emoji without its skin tones.
#[derive(Clone, Debug)]
pub struct Emoji {
    /// Code points in upper-case hexadecimal, joined with `-`.
    pub hexcode: String,
    /// English label, as `grinning face with big eyes`.
    pub label: String,
    /// English search words.
    pub tags: Vec<String>,
    /// Key of the Unicode group, as `smileys-emotion`.
    pub group: String,
    /// Key of the Unicode subgroup, as `face-smiling`.
    pub subgroup: String,
    /// Unicode's position of the subgroup.
    pub subgroup_order: u32,
    /// Why this emoji is not used, or `None` where it is.
    pub left_out: Option<&'static str>,
}

#[derive(Deserialize)]
struct Record {
    label: String,
    hexcode: String,
    #[serde(default)]
    tags: Vec<String>,
    group: Option<u32>,
    subgroup: Option<u32>,
}

#[derive(Deserialize)]
struct Message {
    key: String,
    order: u32,
}

#[derive(Deserialize)]
struct Messages {
    groups: Vec<Message>,
    subgroups: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Codes {
    One(String),
    Many(Vec<String>),
}

/// Reads all emoji that have a Unicode group. Flags, components and hair variants are marked as left out.
pub fn read(archive: &Archive) -> Result<Vec<Emoji>> {
    let records: Vec<Record> = archive.json("en/data.json")?;
    let messages: Messages = archive.json("en/messages.json")?;
    let groups: BTreeMap<u32, String> = messages
        .groups
        .into_iter()
        .map(|m| (m.order, m.key))
        .collect();
    let subgroups: BTreeMap<u32, String> = messages
        .subgroups
        .into_iter()
        .map(|m| (m.order, m.key))
        .collect();

    let mut emoji = Vec::new();
    for record in records {
        // Regional indicators, which only make up flags, have no group.
        let (Some(group), Some(subgroup)) = (record.group, record.subgroup) else {
            continue;
        };
        let group = groups
            .get(&group)
            .with_context(|| format!("{}: group {group} has no name", record.label))?;
        let key = subgroups
            .get(&subgroup)
            .with_context(|| format!("{}: subgroup without a name", record.label))?;
        let left_out = match group.as_str() {
            "flags" => Some("flag"),
            "component" => Some("component"),
            _ if record
                .hexcode
                .split('-')
                .any(|c| ["1F9B0", "1F9B1", "1F9B2", "1F9B3"].contains(&c)) =>
            {
                Some("hair")
            }
            _ => None,
        };
        emoji.push(Emoji {
            hexcode: record.hexcode,
            label: record.label,
            tags: record.tags,
            group: group.clone(),
            subgroup: key.clone(),
            subgroup_order: subgroup,
            left_out,
        });
    }
    Ok(emoji)
}

/// Short codes of all presets, squeezed, with the hexcodes that they stand for.
pub fn short_codes(archive: &Archive) -> Result<BTreeMap<String, Vec<String>>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in archive
        .paths_under("en/shortcodes/")
        .filter(|p| p.ends_with(".json"))
    {
        let preset: BTreeMap<String, Codes> = archive.json(path)?;
        for (hexcode, codes) in preset {
            let codes = match codes {
                Codes::One(code) => vec![code],
                Codes::Many(codes) => codes,
            };
            for code in codes {
                let entry = map.entry(squeeze(&code)).or_default();
                if !entry.contains(&hexcode) {
                    entry.push(hexcode.clone());
                }
            }
        }
    }
    Ok(map)
}

/// Lower-case ASCII letters and digits, everything else one `-`: `woman’s boot` is `womans-boot`.
pub fn slug(label: &str) -> String {
    let mut slug = String::new();
    for c in label.chars() {
        match c {
            '’' | '\'' => {}
            'ñ' => slug.push('n'),
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// A slug or short code without its separators: `alarm-clock` and `alarm_clock` are `alarmclock`.
pub fn squeeze(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).collect()
}

/// The key that keeps near-identical drawings on one side of a split: the hexcode with man, woman and person made one,
/// and gender and direction signs taken off. `man running` and `woman running facing right` are both `1F3C3`.
pub fn family(hexcode: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for code in hexcode.split('-') {
        parts.push(match code {
            "1F468" | "1F469" => "1F9D1",
            "1F474" | "1F475" => "1F9D3",
            "1F466" | "1F467" => "1F9D2",
            "1F934" | "1F478" => "1FAC5",
            "1F57A" => "1F483",
            "FE0F" => continue,
            "2640" | "2642" | "27A1" if parts.last() == Some(&"200D") => {
                parts.pop();
                continue;
            }
            other => other,
        });
    }
    match parts.join("-").as_str() {
        "1F46B" | "1F46C" | "1F46D" => "1F9D1-200D-1F91D-200D-1F9D1".to_owned(),
        "1F48F" => "1F9D1-200D-2764-200D-1F48B-200D-1F9D1".to_owned(),
        "1F491" => "1F9D1-200D-2764-200D-1F9D1".to_owned(),
        joined => joined.to_owned(),
    }
}
