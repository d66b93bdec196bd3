//! Which icon of a set draws which emoji: names of the set against slugs of emojibase's English labels.

use std::collections::{BTreeMap, BTreeSet};

use crate::emojibase::{Emoji, slug, squeeze};
use crate::iconify::{Icon, without_selector};

/// How an icon was joined, best first. Where two icons of a set claim an emoji, the better one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// The icon's name is the label's slug.
    Name,
    /// Another name of the same drawing, in the same set, is the label's slug.
    Alias,
    /// The set's table of code points says so.
    CodePoint,
    /// Another set says that the icon's name and the label's slug are one drawing.
    Synonym,
    /// Equal once the separators are gone.
    Squeezed,
    /// One of emojibase's short codes, which stands for one emoji only.
    ShortCode,
}

/// Names that joined to an emoji whose meaning has changed since the set was drawn: `pistol` is a water pistol today,
/// of the subgroup `game`.
const CHANGED: &[&str] = &["pistol"];

/// What can be looked up about names, the same for every set.
pub struct Names {
    by_slug: BTreeMap<String, usize>,
    by_squeezed: BTreeMap<String, usize>,
    by_code: BTreeMap<String, usize>,
    synonyms: BTreeMap<String, BTreeSet<String>>,
    short_codes: BTreeMap<String, Vec<String>>,
}

impl Names {
    /// Indexes the emoji. `synonyms` are pairs of names that any set calls one drawing.
    pub fn new(
        emoji: &[Emoji],
        pairs: &[(String, String)],
        short_codes: BTreeMap<String, Vec<String>>,
    ) -> Self {
        let mut names = Names {
            by_slug: BTreeMap::new(),
            by_squeezed: BTreeMap::new(),
            by_code: BTreeMap::new(),
            synonyms: BTreeMap::new(),
            short_codes,
        };
        for (index, e) in emoji.iter().enumerate() {
            let slug = slug(&e.label);
            names.by_squeezed.entry(squeeze(&slug)).or_insert(index);
            names.by_slug.entry(slug).or_insert(index);
            names.by_code.insert(without_selector(&e.hexcode), index);
        }
        for (a, b) in pairs {
            names
                .synonyms
                .entry(a.clone())
                .or_default()
                .insert(b.clone());
            names
                .synonyms
                .entry(b.clone())
                .or_default()
                .insert(a.clone());
        }
        names
    }

    /// The emoji that an icon draws, if any. `codes` is the set's own table of code points.
    pub fn find(
        &self,
        icon: &Icon,
        codes: &BTreeMap<String, String>,
        use_short: bool,
    ) -> Option<(usize, Method)> {
        if CHANGED.contains(&icon.name.as_str()) {
            return None;
        }
        if let Some(&index) = self.by_slug.get(&icon.name) {
            return Some((index, Method::Name));
        }
        if let Some(&index) = icon
            .aliases
            .iter()
            .find_map(|alias| self.by_slug.get(alias))
        {
            return Some((index, Method::Alias));
        }
        if let Some(&index) = codes
            .get(&icon.name)
            .and_then(|code| self.by_code.get(code))
        {
            return Some((index, Method::CodePoint));
        }
        let synonyms = self.synonyms.get(&icon.name);
        if let Some(&index) =
            synonyms.and_then(|names| names.iter().find_map(|name| self.by_slug.get(name)))
        {
            return Some((index, Method::Synonym));
        }
        let squeezed = squeeze(&icon.name);
        if let Some(&index) = self.by_squeezed.get(&squeezed) {
            return Some((index, Method::Squeezed));
        }
        if use_short && let Some([hexcode]) = self.short_codes.get(&squeezed).map(Vec::as_slice) {
            return self
                .by_code
                .get(&without_selector(hexcode))
                .map(|&index| (index, Method::ShortCode));
        }
        None
    }

    /// Whether an icon that joined to nothing is a skin tone of an emoji: its name says so, or is an emoji's name with
    /// a tone behind it.
    pub fn is_skin_tone(&self, name: &str) -> bool {
        const TONES: &[&str] = &[
            "-medium-light",
            "-medium-dark",
            "-light",
            "-medium",
            "-dark",
        ];
        let numbered = (1..=5).any(|tone| name.contains(&format!("tone{tone}")));
        name.contains("skin-tone")
            || numbered
            || TONES
                .iter()
                .any(|tone| name.ends_with(tone) || name.contains(&format!("{tone}-")))
    }
}

/// One joined icon.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Index of the emoji.
    pub emoji: usize,
    /// Index of the icon in its set.
    pub icon: usize,
    /// How they were joined.
    pub method: Method,
}

/// Joins a set: at most one icon an emoji, and for every icon left out the reason, counted.
pub fn join(
    icons: &[Icon],
    emoji: &[Emoji],
    names: &Names,
    codes: &BTreeMap<String, String>,
    use_short: bool,
) -> (Vec<Joined>, BTreeMap<&'static str, usize>) {
    let mut best: BTreeMap<usize, (bool, Method, usize)> = BTreeMap::new();
    let mut left_out: BTreeMap<&'static str, usize> = BTreeMap::new();
    for (icon_index, icon) in icons.iter().enumerate() {
        let reason = match names.find(icon, codes, use_short) {
            Some((index, method)) => match emoji[index].left_out {
                Some(reason) => reason,
                None => {
                    let claim = (icon.hidden, method, icon_index);
                    let Some(standing) = best.get_mut(&index) else {
                        best.insert(index, claim);
                        continue;
                    };
                    *standing = claim.min(*standing);
                    "second drawing of an emoji"
                }
            },
            None if names.is_skin_tone(&icon.name) => "skin tone",
            None if icon.name.starts_with("flag") || icon.name.ends_with("flag") => "flag",
            None if icon.name.ends_with("-hair") || icon.name.contains("haired") => "hair",
            None => "no emoji of that name",
        };
        *left_out.entry(reason).or_default() += 1;
    }
    let joined = best
        .into_iter()
        .map(|(emoji, (_, method, icon))| Joined {
            emoji,
            icon,
            method,
        })
        .collect();
    (joined, left_out)
}
