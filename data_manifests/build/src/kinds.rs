//! The kinds of things that pocket CLIP has words for: `horse` is a kind of mammal.
//!
//! From WordNet's nouns those synsets are kept that a word of the corpus names or has a kind named by. A word counts if
//! [`OFTEN`] captions of the corpus or more have it in their names; rarer ones a model of this size has hardly learnt.
//! Nothing here looks at an evaluation set. `src/data/text/kinds.rs` of the main crate reads the file and says what a line is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::corpus::is_recorded;
use crate::packages;
use crate::rows;

/// Captions that make a word known.
const OFTEN: usize = 10;

/// Writes `clip_kinds.txt` from WordNet and a corpus file, and WordNet's licence beside the others.
pub fn build(here: &Path, corpus: &Path) -> Result<()> {
    let embedded = here.with_file_name("embedded");
    let list = packages::read_list(&here.join("wordnet.toml"))?;
    let package = list.first().context("wordnet.toml lists no package")?;
    let archive = packages::open(package, &here.join("downloads"))?;
    let (data, index) = (archive.text("dict/data.noun")?, archive.text("dict/index.noun")?);
    let rows = rows::read(corpus)?;
    ensure!(
        is_recorded(here, &rows)?,
        "{} is not the recorded corpus, which pocket CLIP has its words of: `corpus --record` records another",
        corpus.display()
    );
    let captions = rows.iter().map(|row| Ok(row.text("caption")?.to_owned())).collect::<Result<Vec<_>>>()?;
    let text = written(&read_nouns(data, index)?, &known(&captions));
    let path = embedded.join("pocket/clip_kinds.txt");
    fs::write(&path, &text).with_context(|| path.display().to_string())?;
    println!("{}: {} synsets, {} bytes", path.display(), text.lines().count(), text.len());
    // The licence heads the file, its lines numbered.
    let head = data.lines().take_while(|line| line.starts_with("  "));
    let licence: Vec<&str> = head.map(|line| line.trim().split_once(' ').map_or("", |(_, text)| text.trim())).collect();
    fs::write(embedded.join("LICENSES/wordnet.txt"), licence.join("\n") + "\n")?;
    Ok(())
}

/// Words that enough captions have in their names; a caption is a name, or a name, a comma and a category.
fn known(captions: &[String]) -> BTreeSet<&str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for caption in captions {
        let name = caption.split_once(", ").map_or(caption.as_str(), |(name, _)| name);
        for word in name.split(' ').collect::<BTreeSet<_>>() {
            *counts.entry(word).or_default() += 1;
        }
    }
    counts.into_iter().filter(|(_, n)| *n >= OFTEN).map(|(word, _)| word).collect()
}

/// A noun synset.
#[derive(Debug, Default, PartialEq)]
struct Synset {
    /// All its words, in small letters.
    words: Vec<String>,
    /// Those of its words whose first sense it is: the most frequent one.
    first: Vec<String>,
    /// Kinds and instances, by offset.
    kinds: Vec<u32>,
}

/// WordNet's nouns by offset, from its two files (wndb(5WN)).
fn read_nouns(data: &str, index: &str) -> Result<BTreeMap<u32, Synset>> {
    let word = |text: &str| text.replace('_', " ").to_lowercase();
    let mut synsets = BTreeMap::new();
    for line in data.lines().filter(|line| !line.starts_with("  ")) {
        let fields: Vec<&str> = line.split(' ').collect();
        let read = || -> Option<(u32, Synset)> {
            let n_words = usize::from_str_radix(fields.get(3)?, 16).ok()?;
            let words = (0..n_words).map(|i| Some(word(fields.get(4 + 2 * i)?))).collect::<Option<_>>()?;
            let at = 4 + 2 * n_words;
            let n_pointers: usize = fields.get(at)?.parse().ok()?;
            let mut kinds = Vec::new();
            for pointer in 0..n_pointers {
                let pointer = fields.get(at + 1 + 4 * pointer..at + 5 + 4 * pointer)?;
                if ["~", "~i"].contains(&pointer[0]) && pointer[2] == "n" {
                    kinds.push(pointer[1].parse().ok()?);
                }
            }
            Some((fields[0].parse().ok()?, Synset { words, first: Vec::new(), kinds }))
        };
        let (offset, synset) = read().with_context(|| format!("data.noun: not a synset: {line}"))?;
        synsets.insert(offset, synset);
    }
    for line in index.lines().filter(|line| !line.starts_with("  ")) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let read = || -> Option<u32> {
            let senses: usize = fields.get(2)?.parse().ok()?;
            fields.get(fields.len().checked_sub(senses)?)?.parse().ok()
        };
        let offset = read().with_context(|| format!("index.noun: not an entry: {line}"))?;
        let synset = synsets.get_mut(&offset).with_context(|| format!("index.noun: no synset {offset}: {line}"))?;
        synset.first.push(word(fields[0]));
    }
    for (offset, synset) in &synsets {
        ensure!(synset.kinds.iter().all(|kind| synsets.contains_key(kind)), "data.noun: {offset} has an unknown kind");
    }
    Ok(synsets)
}

/// The lines of the file: of each kept synset the names it is found by, the known words that it is, the lines of its
/// kinds counted from 0; lists with commas, parted by tabs.
fn written(synsets: &BTreeMap<u32, Synset>, known: &BTreeSet<&str>) -> String {
    let is_known = |synset: &Synset| synset.words.iter().any(|word| known.contains(word.as_str()));
    // Upwards from those with a known word.
    let mut above: HashMap<u32, Vec<u32>> = HashMap::new();
    for (offset, synset) in synsets {
        synset.kinds.iter().for_each(|kind| above.entry(*kind).or_default().push(*offset));
    }
    let mut kept = BTreeSet::new();
    let mut open: Vec<u32> = synsets.iter().filter(|(_, synset)| is_known(synset)).map(|(offset, _)| *offset).collect();
    while let Some(offset) = open.pop() {
        if kept.insert(offset) {
            open.extend(above.get(&offset).into_iter().flatten());
        }
    }
    let lines: HashMap<u32, usize> = kept.iter().enumerate().map(|(line, offset)| (*offset, line)).collect();
    let mut text = String::new();
    for offset in &kept {
        let synset = &synsets[offset];
        let words: Vec<&str> = synset.words.iter().map(String::as_str).filter(|word| known.contains(word)).collect();
        let kinds: Vec<String> = synset.kinds.iter().filter_map(|kind| Some(lines.get(kind)?.to_string())).collect();
        let _ = writeln!(text, "{}\t{}\t{}", synset.first.join(","), words.join(","), kinds.join(","));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = "  1 A licence.\n\
        00000010 05 n 01 animal 0 002 ~ 00000020 n 0000 + 00000099 v 0101 | a beast\n\
        00000020 05 n 02 Horse 0 Equus_caballus 0 002 @ 00000010 n 0000 ~i 00000030 n 0000 | a mount\n\
        00000030 18 n 01 Trojan_Horse 0 000 | hollow\n\
        00000040 06 n 01 horse 0 000 | a gymnastic apparatus\n";
    const INDEX: &str = "animal n 1 1 ~ 1 1 00000010  \n\
        equus_caballus n 1 1 @ 1 0 00000020  \n\
        horse n 2 2 @ ~ 2 1 00000020 00000040  \n\
        trojan_horse n 1 0 1 0 00000030  \n";

    #[test]
    fn nouns_are_read() {
        let nouns = read_nouns(DATA, INDEX).unwrap();
        assert_eq!(nouns.len(), 4);
        assert_eq!(nouns[&10].kinds, [20]);
        let horse = Synset {
            words: vec!["horse".into(), "equus caballus".into()],
            first: vec!["equus caballus".into(), "horse".into()],
            kinds: vec![30],
        };
        assert_eq!(nouns[&20], horse);
        assert!(nouns[&40].first.is_empty());
        assert!(read_nouns("00000010 05 n 02 animal 0\n", "").unwrap_err().to_string().contains("not a synset"));
        assert!(read_nouns(DATA, "cow n 1 0 1 0 00000077\n").unwrap_err().to_string().contains("no synset 77"));
    }

    #[test]
    fn only_what_leads_to_known_words_is_written() {
        let nouns = read_nouns(DATA, INDEX).unwrap();
        // The apparatus is a horse too, but nothing is found by it.
        assert_eq!(
            written(&nouns, &BTreeSet::from(["horse"])),
            "animal\t\t1\nequus caballus,horse\thorse\t\n\thorse\t\n"
        );
        assert_eq!(written(&nouns, &BTreeSet::new()), "");
    }

    #[test]
    fn words_are_known_from_names() {
        let mut captions = vec!["horse horse, animals".to_owned(); OFTEN];
        captions.push("cow".into());
        assert_eq!(known(&captions), BTreeSet::from(["horse"]));
    }
}
