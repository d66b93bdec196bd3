//! Keys: everything that decides a number, each thing by name, and one digest of them all.
//!
//! Features, result rows and pages are kept under the digest of their key. Two keys are equal only if every part is, so a
//! change in any part is another key, and [`Key::differences`] says which part it was. Parts are texts that are made for
//! this purpose: nothing here depends on how a type prints itself for debugging.

use crate::storage::sha256_hex;
use std::fmt;

/// Everything that decides a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    kind: String,
    parts: Vec<(String, String)>,
}

impl Key {
    /// The key of a `kind` of thing (`features`, `row`, ...), without parts yet.
    pub fn new(kind: impl Into<String>) -> Key {
        Key { kind: kind.into(), parts: Vec::new() }
    }

    /// With one part more.
    pub fn with(mut self, name: impl Into<String>, value: impl fmt::Display) -> Key {
        self.parts.push((name.into(), value.to_string()));
        self
    }

    /// With the parts of `other`, their names behind its kind and a point.
    pub fn with_all(mut self, other: &Key) -> Key {
        let named = other.parts.iter().map(|(name, value)| (format!("{}.{name}", other.kind), value.clone()));
        self.parts.extend(named);
        self
    }

    /// What it is the key of.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Name and value of each part, in the order in which they were added.
    pub fn parts(&self) -> &[(String, String)] {
        &self.parts
    }

    /// Sixteen hexadecimal digits of the SHA-256 over kind and parts, each led by its length, so that no two keys run
    /// together into one text.
    ///
    /// ```
    /// use wider_clip::key::Key;
    ///
    /// let one = Key::new("row").with("a", "b").with("c", "d");
    /// assert_eq!(one.digest().len(), 16);
    /// assert_ne!(one.digest(), Key::new("row").with("a", "b c d").digest());
    /// ```
    pub fn digest(&self) -> String {
        let mut text = format!("{}:{}", self.kind.len(), self.kind);
        for (name, value) in &self.parts {
            text.push_str(&format!("\n{}:{name}={}:{value}", name.len(), value.len()));
        }
        sha256_hex(text.as_bytes())[..16].to_string()
    }

    /// The parts that are not the same in both: name, value here, value there; nothing (`None`) where a key lacks the part.
    pub fn differences<'a>(&'a self, other: &'a Key) -> Vec<(&'a str, Option<&'a str>, Option<&'a str>)> {
        let find =
            |key: &'a Key, name: &str| key.parts.iter().find(|(known, _)| known == name).map(|(_, v)| v.as_str());
        let ours = self.parts.iter().map(|(name, value)| (name.as_str(), Some(value.as_str()), find(other, name)));
        let theirs = other.parts.iter().filter(|(name, _)| find(self, name).is_none());
        let theirs = theirs.map(|(name, value)| (name.as_str(), None, Some(value.as_str())));
        ours.chain(theirs).filter(|(_, here, there)| here != there).collect()
    }
}

/// Kind and digest in the first line, then a line per part.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.digest())?;
        let width = self.parts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.parts.iter().try_for_each(|(name, value)| write!(f, "\n  {name:width$}  {value}"))
    }
}

/// The digest of a list of texts, in 16 digits: for labels, ids and other long columns that are parts of a key.
pub fn digest_of<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let mut all = String::new();
    for text in texts {
        all.push_str(&format!("{}:{}\n", text.as_ref().len(), text.as_ref()));
    }
    sha256_hex(all.as_bytes())[..16].to_string()
}
