//! Captions as the pocket CLIP reads them: drawn readings, and byte pairs learnt from all of them (Sennrich et al. 2016,
//! <https://arxiv.org/abs/1508.07909>).
//!
//! A caption of the corpus is `name` or `name, category`. Were it always read whole, no category would ever be seen
//! without a name before it, although that is how classes are asked for later. So each time an image is drawn its caption
//! is read whole, as its name or as its category, each one time in three. Then 13.7% of held-out drawings find their
//! category among 47, and 10.2% did when captions were read whole. Single words of a name as a fourth reading were worse
//! in everything after a third of a run. All readings at once, the head word of the name among them and each compared with
//! the images by itself, came to 15.2% after a whole run, and to no more than before on the data sets of the experiments.
//!
//! Nor did it help there to say what things are kinds of. In a whole run each drawing was compared, besides, with WordNet's
//! kinds of what a word of its name stands for (`mammal`, `animal mammal` for a horse), after K-LITE (Shen et al. 2022,
//! <https://arxiv.org/abs/2204.09222>). For 315 kinds, how often a held-out drawing of the kind fits its name better than
//! another drawing rose from 53 to 70%, names among 128 fell from 36 to 31%; OpenEmoji's classes by name fell from 4.2
//! times chance to 3.8.
//!
//! OpenAI's vocabulary of 49,408 tokens would be five times as large as the whole model. The [`Tokenizer`] that reads the
//! pairs is CLIP's. The `tokenizers` library could learn them too, but numbers symbols in the order of a hash table, so
//! that equally frequent pairs change places from run to run (measured with 0.23.2): here the order is fixed.

use crate::error::{Error, Result};
use crate::models::clip::{POCKET_CONTEXT, POCKET_PAIRS};
use crate::random::Random;
use crate::text::Tokenizer;
use crate::text::tokenizer::WORD_END;
use std::collections::{BTreeMap, HashMap};

/// Learns the pairs from captions: again and again the pair of neighbours that is most frequent inside words becomes one
/// symbol; of equally frequent ones the first in the order of the alphabet.
///
/// # Errors
/// [`Error::Argument`] if the captions have too few different words for so many pairs.
pub fn learn(captions: &[String]) -> Result<Vec<(String, String)>> {
    let reader = Tokenizer::from_merges(&[], POCKET_CONTEXT)?;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for piece in captions.iter().flat_map(|caption| reader.pieces(caption)) {
        *counts.entry(piece).or_default() += 1;
    }
    let symbols = |word: &str| {
        let mut symbols: Vec<String> = word.chars().map(String::from).collect();
        if let Some(last) = symbols.last_mut() {
            last.push_str(WORD_END);
        }
        symbols
    };
    let mut words: Vec<(Vec<String>, u64)> = counts.iter().map(|(word, n)| (symbols(word), *n)).collect();
    let mut pairs = Vec::with_capacity(POCKET_PAIRS);
    for _ in 0..POCKET_PAIRS {
        let Some(pair) = most_frequent(&words) else {
            let found = format!("words for {}", pairs.len());
            return Err(Error::argument("captions", format!("words for {POCKET_PAIRS} pairs"), found));
        };
        words.iter_mut().for_each(|(word, _)| merge(word, &pair));
        pairs.push(pair);
    }
    Ok(pairs)
}

/// The pair of neighbours that is most frequent in words with their counts, if one comes twice; of equals the first by
/// the alphabet.
///
/// ```
/// use wider_clip::pretrain::captions::most_frequent;
///
/// let word = |text: &str, n: u64| (text.chars().map(String::from).collect::<Vec<_>>(), n);
/// // ab four times, cd and dx four times, ba twice.
/// let pair = most_frequent(&[word("abab", 2), word("cdx", 4), word("q", 9)]);
/// assert_eq!(pair, Some(("a".into(), "b".into())));
/// assert_eq!(most_frequent(&[word("cdx", 4), word("ba", 2)]), Some(("c".into(), "d".into())));
/// assert_eq!(most_frequent(&[word("ab", 1)]), None);
/// ```
pub fn most_frequent(words: &[(Vec<String>, u64)]) -> Option<(String, String)> {
    let mut counts: HashMap<(&str, &str), u64> = HashMap::new();
    for (word, n) in words {
        for pair in word.windows(2) {
            *counts.entry((&pair[0], &pair[1])).or_default() += n;
        }
    }
    let best = counts.into_iter().filter(|(_, n)| *n >= 2).max_by(|(a, n), (b, m)| n.cmp(m).then(b.cmp(a)))?;
    Some((best.0.0.to_owned(), best.0.1.to_owned()))
}

/// Makes one symbol of every such pair in a word, from left to right.
fn merge(word: &mut Vec<String>, (first, second): &(String, String)) {
    let mut at = 0;
    while at + 1 < word.len() {
        if word[at] == *first && word[at + 1] == *second {
            word[at].push_str(second);
            word.remove(at + 1);
        }
        at += 1;
    }
}

/// Every reading of a caption: whole, its name, its category; three times the same without a category.
///
/// ```
/// use wider_clip::pretrain::captions::readings;
///
/// assert_eq!(readings("shopping cart, commerce"), ["shopping cart, commerce", "shopping cart", "commerce"]);
/// assert_eq!(readings("cart"), ["cart"; 3]);
/// ```
pub fn readings(caption: &str) -> [&str; 3] {
    match caption.split_once(", ") {
        Some((name, category)) => [caption, name, category],
        None => [caption; 3],
    }
}

/// The reading of a caption when a run of `seed` draws its `place`-th image: each of [`readings`] one time in three.
pub fn reading(caption: &str, seed: u64, place: u64) -> &str {
    let all = readings(caption);
    all[Random::new("reading of a caption", seed, place).below(all.len())]
}

/// The pairs as lines, as [`crate::text::read_pairs`] reads them.
pub fn to_text(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(a, b)| format!("{a} {b}\n")).collect()
}
