//! Icon sets in Iconify's JSON form: bodies of SVG drawings, aliases, and how to make a whole SVG of one.
//!
//! Format: <https://iconify.design/docs/types/iconify-json.html>.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;

use crate::packages::Archive;

#[derive(Clone, Debug, Deserialize)]
struct Body {
    body: String,
    left: Option<f64>,
    top: Option<f64>,
    width: Option<f64>,
    height: Option<f64>,
    #[serde(default)]
    hidden: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Alias {
    parent: String,
    #[serde(default, rename = "hFlip")]
    h_flip: bool,
    #[serde(default, rename = "vFlip")]
    v_flip: bool,
    #[serde(default)]
    rotate: u8,
}

impl Alias {
    fn is_plain(&self) -> bool {
        !self.h_flip && !self.v_flip && self.rotate == 0
    }
}

#[derive(Deserialize)]
struct File {
    icons: BTreeMap<String, Body>,
    #[serde(default)]
    aliases: BTreeMap<String, Alias>,
    width: Option<f64>,
    height: Option<f64>,
}

/// A drawing of a set.
#[derive(Clone, Debug)]
pub struct Icon {
    /// Name in the set.
    pub name: String,
    /// Other names of the very same drawing.
    pub aliases: Vec<String>,
    /// Whether the set keeps it only for old users.
    pub hidden: bool,
    /// The whole SVG document.
    pub svg: String,
}

/// Reads a set. A mirrored alias is a drawing of its own; a plain alias is one more name of its parent.
pub fn read(archive: &Archive) -> Result<Vec<Icon>> {
    let file: File = archive.json("icons.json")?;
    let size = (file.width.unwrap_or(16.0), file.height.unwrap_or(16.0));
    let mut aliases: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, alias) in file.aliases.iter().filter(|(_, a)| a.is_plain()) {
        aliases.entry(&alias.parent).or_default().push(name.clone());
    }
    let mut icons = Vec::new();
    for (name, body) in &file.icons {
        let aliases = aliases.get(name.as_str()).cloned().unwrap_or_default();
        icons.push(Icon {
            name: name.clone(),
            aliases,
            hidden: body.hidden,
            svg: document(body, size, None),
        });
    }
    for (name, alias) in file
        .aliases
        .iter()
        .filter(|(_, a)| a.h_flip && !a.v_flip && a.rotate == 0)
    {
        if let Some(body) = file.icons.get(&alias.parent) {
            let svg = document(body, size, Some(alias));
            icons.push(Icon {
                name: name.clone(),
                aliases: Vec::new(),
                hidden: body.hidden,
                svg,
            });
        }
    }
    Ok(icons)
}

/// Pairs of names that the set says are one drawing.
pub fn synonyms(archive: &Archive) -> Result<Vec<(String, String)>> {
    let file: File = archive.json("icons.json")?;
    Ok(file
        .aliases
        .into_iter()
        .filter(|(_, a)| a.is_plain())
        .map(|(name, alias)| (name, alias.parent))
        .collect())
}

/// Icon names by code points (lower-case hexadecimal, as emojibase's without `FE0F`), as far as the set tells.
pub fn code_points(archive: &Archive) -> Result<BTreeMap<String, String>> {
    let chars: BTreeMap<String, String> = archive.json("chars.json")?;
    Ok(chars
        .into_iter()
        .map(|(code, name)| (name, without_selector(&code)))
        .collect())
}

/// A hexcode in lower case without variation selectors, which sets write or omit as they like.
pub fn without_selector(hexcode: &str) -> String {
    let parts: Vec<String> = hexcode
        .split('-')
        .map(str::to_lowercase)
        .filter(|c| c != "fe0f")
        .collect();
    parts.join("-")
}

fn document(body: &Body, size: (f64, f64), mirror: Option<&Alias>) -> String {
    let (left, top) = (body.left.unwrap_or(0.0), body.top.unwrap_or(0.0));
    let (width, height) = (body.width.unwrap_or(size.0), body.height.unwrap_or(size.1));
    let content = match mirror {
        None => body.body.clone(),
        Some(_) => format!(
            "<g transform=\"translate({} 0) scale(-1 1)\">{}</g>",
            2.0 * left + width,
            body.body
        ),
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
         width=\"{width}\" height=\"{height}\" viewBox=\"{left} {top} {width} {height}\" color=\"#000\">{content}</svg>"
    )
}
