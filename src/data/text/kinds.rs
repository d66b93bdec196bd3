//! What is a kind of what, for words that a pocket CLIP has learnt: a horse is a mammal, a mammal is an animal.
//!
//! Classes are often named after kinds of things (`animal-mammal`) while captions name the things (`horse`). Asking for
//! the things in place of the kind is CHiLS (Novack et al. 2023, <https://arxiv.org/abs/2302.02551>), there with kinds from a
//! data set's own hierarchy or from a language model, here from WordNet 3.1 (Princeton University; its licence is
//! `data_manifests/embedded/LICENSES/wordnet.txt`), cut down by `data_manifests/build/src/kinds.rs` to words that ten
//! captions or more hold.
//!
//! A file has one synset (words of one meaning) a line: the names that it is found by, its words that may be asked for,
//! and the lines, counted from 0, of its kinds; parted by tabs, lists by commas. A name stands where its most frequent
//! meaning is. WordNet's rules bring plurals to singulars; its list of exceptions (`mice`) is left out.

use super::class_name;
use crate::error::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Plural endings and what stands in their place, in WordNet's order (morphy(7WN), nouns).
const PLURALS: [(&str, &str); 8] =
    [("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")];

/// The kinds of nouns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds {
    synsets: Vec<Synset>,
    by_name: HashMap<String, usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Synset {
    words: Vec<String>,
    kinds: Vec<usize>,
}

impl Kinds {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read, a line of other than three parts, a kind that is no line of the file.
    pub fn read(path: &Path) -> Result<Kinds> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "reading"))?;
        Kinds::parse(&text, path)
    }

    /// Reads the lines of a file; `path` is for errors alone.
    ///
    /// ```
    /// use wider_clip::text::Kinds;
    ///
    /// let lines = "animal,beast\t\t1,2\nmammal\t\t2\nhorse,mare\thorse,mare\t\n";
    /// let kinds = Kinds::parse(lines, "example".as_ref())?;
    /// assert_eq!(kinds.of_word("Animals"), ["horse", "mare"]);
    /// assert!(kinds.of_word("vegetable").is_empty());
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Kinds::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Kinds> {
        let n = text.lines().count();
        let list = |text: &str| text.split(',').filter(|part| !part.is_empty()).map(String::from).collect::<Vec<_>>();
        let (mut synsets, mut by_name) = (Vec::with_capacity(n), HashMap::new());
        for (at, line) in text.lines().enumerate() {
            let wrong = |expected: String| Error::data(path, expected, format!("`{line}` in line {}", at + 1));
            let &[names, words, kinds] = line.split('\t').collect::<Vec<_>>().as_slice() else {
                return Err(wrong("names, words and kinds, parted by tabs".into()));
            };
            let line_of = |text: &String| text.parse::<usize>().ok().filter(|&kind| kind < n);
            let kinds = list(kinds).iter().map(line_of).collect::<Option<Vec<_>>>();
            let kinds =
                kinds.ok_or_else(|| wrong(format!("kinds that are lines from 0 to {}", n.saturating_sub(1))))?;
            by_name.extend(list(names).into_iter().map(|name| (name, at)));
            synsets.push(Synset { words: list(words), kinds });
        }
        Ok(Kinds { synsets, by_name })
    }

    /// All words that `word`, in its most frequent meaning, or one of its kinds has, each once, nearest kinds first;
    /// none where the word or its singular is not known.
    pub fn of_word(&self, word: &str) -> Vec<&str> {
        let Some(start) = self.find(&word.to_lowercase()) else { return Vec::new() };
        let (mut found, mut named) = (Vec::new(), HashSet::new());
        let (mut seen, mut order) = (HashSet::from([start]), vec![start]);
        let mut next = 0;
        while next < order.len() {
            let synset = &self.synsets[order[next]];
            found.extend(synset.words.iter().map(String::as_str).filter(|word| named.insert(*word)));
            order.extend(synset.kinds.iter().copied().filter(|kind| seen.insert(*kind)));
            next += 1;
        }
        found
    }

    /// The kinds of all words of a class name, each once, in the order of the words; blanks, `_` and `-` part words.
    pub fn of_class(&self, class: &str) -> Vec<&str> {
        let name = class_name(&class.replace('-', " "));
        let mut named = HashSet::new();
        name.split(' ').flat_map(|word| self.of_word(word)).filter(|word| named.insert(*word)).collect()
    }

    fn find(&self, word: &str) -> Option<usize> {
        let singulars =
            PLURALS.iter().filter_map(|(end, instead)| Some(format!("{}{instead}", word.strip_suffix(end)?)));
        let mut tried = std::iter::once(word.to_owned()).chain(singulars);
        tried.find_map(|word| self.by_name.get(&word).copied())
    }
}
