//! CLIP's byte-pair tokenizer (Radford et al. 2021, <https://arxiv.org/abs/2103.00020>), in lower case.
//!
//! A text is brought to NFC, runs of white space become one blank, letters become small; it is cut into words, single
//! digits and runs of marks; the bytes of each piece are merged pair by pair, the earliest learnt pair first, the last
//! byte marked by `</w>`. The ids are those of transformers 5.24's `CLIPTokenizerFast` for
//! openai/clip-vit-base-patch32. That class does its work in the `tokenizers` library, and so does this one:
//! candle-core depends on the library already, so it adds no crate to the build. What the two could do differently
//! (regular expressions, Unicode tables) is compared over the code points in `tests/tokenizer.rs`. On one core (Intel
//! Xeon with AVX-512) it is built in 42 ms and makes 750,000 tokens a second of captions.
//!
//! OpenAI's own code and open_clip's `SimpleTokenizer`, a copy of it, also repair wrongly decoded text and full-width
//! forms (ftfy), resolve HTML entities and know final sigma. Of 100 captions in 24 languages and in emoji, 97 have the
//! same ids there.

use crate::error::{Error, Result};
use flate2::read::GzDecoder;
use ndarray::Array2;
use rayon::prelude::*;
use std::collections::HashSet;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{self, Lowercase, NFC, Replace};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    SplitDelimiterBehavior,
};

/// The token before every text.
pub const START: &str = "<|startoftext|>";
/// The token after every text, and what a batch is padded with.
pub const END: &str = "<|endoftext|>";
/// Tokens that OpenAI's text towers see, [`START`] and [`END`] among them.
pub const CLIP_CONTEXT: usize = 77;
/// What marks the last symbol of a word.
pub const WORD_END: &str = "</w>";

/// OpenAI's pairs, as the Python package open_clip_torch 3.3.0 carries them (MIT): those of its file that CLIP uses.
const CLIP_FILE: &str = "data_manifests/embedded/bpe_simple_vocab_16e6.txt.gz";
const CLIP_BYTES: &[u8] = include_bytes!("../../../data_manifests/embedded/bpe_simple_vocab_16e6.txt.gz");
/// Pairs in the file: 49,408 tokens are these, 512 for the bytes, and two special ones.
const CLIP_MERGES: usize = 48_894;

/// What a piece of text is: a special token, the end of a contraction, a word, a digit, a run of anything else.
const PIECES: &str = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Turns texts into token ids and back. Built once ([`Tokenizer::clip`]) and passed by reference.
///
/// ```
/// use wider_clip::text::Tokenizer;
///
/// let tokenizer = Tokenizer::clip()?;
/// assert_eq!(tokenizer.encode("A photo of a cat"), [49406, 320, 1125, 539, 320, 2368, 49407]);
/// assert_eq!(tokenizer.decode(&[320, 1125, 539, 320, 2368])?, "a photo of a cat");
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
#[derive(Clone)]
pub struct Tokenizer {
    library: tokenizers::Tokenizer,
    start: u32,
    end: u32,
    context_length: usize,
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, context_length) = (self.vocabulary_size(), self.context_length);
        f.debug_struct("Tokenizer").field("vocabulary_size", &size).field("context_length", &context_length).finish()
    }
}

impl Tokenizer {
    /// OpenAI CLIP's tokenizer: 49,408 tokens, texts of 77 at most. open_clip's models share it.
    ///
    /// # Errors
    /// [`Error::Data`] if the embedded vocabulary is damaged.
    pub fn clip() -> Result<Tokenizer> {
        let merges = read_merges(BufReader::new(GzDecoder::new(CLIP_BYTES)), CLIP_FILE, CLIP_MERGES)?;
        Tokenizer::from_merges(&merges, CLIP_CONTEXT)
    }

    /// A tokenizer from pairs learnt elsewhere, the earliest learnt first.
    ///
    /// Symbols are written in [`byte_symbols`], the last one of a word with `</w>` at its end. Ids are given as CLIP
    /// gives them: 256 bytes, the same 256 at the end of a word, one for each pair, [`START`], [`END`]. Two pairs may
    /// make the same token, which then has one id.
    ///
    /// ```
    /// use wider_clip::text::Tokenizer;
    ///
    /// let merges = [("c", "a"), ("ca", "t</w>")].map(|(a, b)| (a.to_string(), b.to_string()));
    /// let tokenizer = Tokenizer::from_merges(&merges, 8)?;
    /// assert_eq!(tokenizer.vocabulary_size(), 516);
    /// assert_eq!(tokenizer.encode("cat cab"), [514, 513, 512, 321, 515]);
    /// # Ok::<(), wider_clip::error::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] if `context_length` is below 2, if half of a pair is neither a byte nor made by an earlier
    /// pair, or if a pair comes twice.
    pub fn from_merges(merges: &[(String, String)], context_length: usize) -> Result<Tokenizer> {
        if context_length < 2 {
            return Err(Error::argument("context_length", "2 or more: start and end", context_length.to_string()));
        }
        let vocabulary = vocabulary(merges)?;
        let (start, end) = (vocabulary[START], vocabulary[END]);
        let library = library(vocabulary, merges).map_err(|error| {
            Error::argument("merges", "pairs that the tokenizers library accepts", error.to_string())
        })?;
        Ok(Tokenizer { library, start, end, context_length })
    }

    /// The ids of a text between start and end token, `context_length` of them at most: what is too long loses its tail
    /// and keeps the end token. No padding. The empty text gives start and end.
    ///
    /// Special tokens written in the text become their ids: [`END`] as it stands, [`START`] in any case of letters, as
    /// the published tokenizer has it.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let pieces = self.library.encode_fast(text, false).expect("every byte has a token");
        let kept = pieces.len().min(self.context_length - 2);
        [&[self.start], &pieces.get_ids()[..kept], &[self.end]].concat()
    }

    /// [`Tokenizer::encode`] for bytes that may not be text.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first byte that is not UTF-8.
    pub fn encode_bytes(&self, bytes: &[u8]) -> Result<Vec<u32>> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let at = error.valid_up_to();
            let length = error.error_len().unwrap_or(bytes.len() - at);
            let wrong = bytes[at..at + length].iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
            Error::argument("text", "UTF-8", format!("{wrong} at byte {at} of {}", bytes.len()))
        })?;
        Ok(self.encode(text))
    }

    /// The ids of many texts, (B, `context_length`): as [`Tokenizer::encode`], padded at the end with the end token.
    pub fn encode_batch<S: AsRef<str> + Sync>(&self, texts: &[S]) -> Array2<u32> {
        let mut ids = Array2::from_elem((texts.len(), self.context_length), self.end);
        let rows: Vec<Vec<u32>> = texts.par_iter().map(|text| self.encode(text.as_ref())).collect();
        for (mut padded, row) in ids.rows_mut().into_iter().zip(rows) {
            padded.iter_mut().zip(row).for_each(|(padded, id)| *padded = id);
        }
        ids
    }

    /// The text of some ids, without special tokens, words parted by blanks. It is what CLIP saw, not what was
    /// written: capitals and unusual white space are gone, and bytes that are not UTF-8 (a character cut in two by
    /// the limit) appear as U+FFFD.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let size = self.vocabulary_size();
        if let Some((at, id)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= size) {
            return Err(Error::argument("token ids", format!("ids below {size}"), format!("{id} at position {at}")));
        }
        let text = self.library.decode(ids, true).map_err(|error| {
            Error::argument("token ids", "ids that the tokenizers library decodes", error.to_string())
        })?;
        // What Python's `strip` takes for white space.
        let blank = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
        Ok(text.replace(WORD_END, " ").trim_matches(blank).to_string())
    }

    /// The pieces of a text that pairs are merged within, in the symbols of [`byte_symbols`].
    pub fn pieces(&self, text: &str) -> Vec<String> {
        let mut normalised = NormalizedString::from(text);
        if let Some(normaliser) = self.library.get_normalizer() {
            normaliser.normalize(&mut normalised).expect("normalisers of this tokenizer take any text");
        }
        let mut cut = PreTokenizedString::from(normalised);
        if let Some(cutter) = self.library.get_pre_tokenizer() {
            cutter.pre_tokenize(&mut cut).expect("pieces of this tokenizer are cut from any text");
        }
        let pieces = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
        pieces.into_iter().map(|(piece, _, _)| piece.to_owned()).collect()
    }

    /// One token as the vocabulary writes it, such as `cat</w>`; `None` outside the vocabulary.
    pub fn token(&self, id: u32) -> Option<String> {
        self.library.id_to_token(id)
    }

    /// How many different tokens there are; ids run from 0 to one less.
    pub fn vocabulary_size(&self) -> usize {
        self.library.get_vocab_size(true)
    }

    /// The longest text in tokens, start and end included.
    pub fn context_length(&self) -> usize {
        self.context_length
    }
}

/// How vocabularies write the 256 bytes, in the order of their ids: visible Latin-1 characters for themselves, then
/// U+0100 and on for the others. OpenAI's `bytes_to_unicode` (GPT-2, CLIP).
///
/// ```
/// let symbols = wider_clip::text::tokenizer::byte_symbols();
/// assert_eq!((symbols[0], symbols[187], symbols[188]), ((b'!', '!'), (0xff, 'ÿ'), (0, 'Ā')));
/// ```
pub fn byte_symbols() -> Vec<(u8, char)> {
    let visible = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let (shown, hidden): (Vec<u8>, Vec<u8>) = (0..=u8::MAX).partition(visible);
    let stand_ins = hidden.into_iter().zip('\u{100}'..);
    shown.into_iter().map(|byte| (byte, char::from(byte))).chain(stand_ins).collect()
}

/// Every token and its id.
fn vocabulary(merges: &[(String, String)]) -> Result<Vocab> {
    let symbols = byte_symbols();
    let mut tokens = Vocab::with_capacity(2 * symbols.len() + merges.len() + 2);
    let add = |tokens: &mut Vocab, token: String| {
        let id = tokens.len() as u32;
        tokens.entry(token).or_insert(id);
    };
    for end in ["", WORD_END] {
        symbols.iter().for_each(|(_, symbol)| add(&mut tokens, format!("{symbol}{end}")));
    }
    let mut seen = HashSet::with_capacity(merges.len());
    for (i, (a, b)) in merges.iter().enumerate() {
        let found = || format!("`{a} {b}` as pair {}", i + 1);
        if !(tokens.contains_key(a) && tokens.contains_key(b)) {
            return Err(Error::argument("merges", "halves that are bytes or made by an earlier pair", found()));
        }
        if !seen.insert((a, b)) {
            return Err(Error::argument("merges", "every pair once", found()));
        }
        add(&mut tokens, format!("{a}{b}"));
    }
    add(&mut tokens, START.into());
    add(&mut tokens, END.into());
    Ok(tokens)
}

/// The library's tokenizer, put together as transformers' `CLIPTokenizer` does.
fn library(vocabulary: Vocab, merges: &[(String, String)]) -> tokenizers::Result<tokenizers::Tokenizer> {
    let model = BPE::builder()
        .vocab_and_merges(vocabulary, merges.to_vec())
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix(WORD_END.into())
        .unk_token(END.into())
        .build()?;
    let one_blank = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ")?;
    let pieces = Split::new(SplitPattern::Regex(PIECES.into()), SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::default().add_prefix_space(false);
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    tokenizer
        .with_normalizer(Some(normalizers::Sequence::new(vec![NFC.into(), one_blank.into(), Lowercase.into()])))?
        .with_pre_tokenizer(Some(Sequence::new(vec![pieces.into(), bytes.into()])))
        .with_decoder(Some(ByteLevel::default()));
    // Whether a special token is looked for in the normalised text, as the published tokenizer.json says.
    tokenizer.add_special_tokens([
        AddedToken::from(START, true).normalized(true),
        AddedToken::from(END, true).normalized(false),
    ])?;
    Ok(tokenizer)
}

/// Reads pairs for [`Tokenizer::from_merges`] from a file with one pair a line, its symbols parted by a blank.
///
/// # Errors
/// A file that cannot be read, or a line that is no pair.
pub fn read_pairs(path: &Path) -> Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "reading"))?;
    let pair = |(i, line): (usize, &str)| match line.split_once(' ').filter(|(_, b)| !b.contains(' ')) {
        Some((a, b)) => Ok((a.to_owned(), b.to_owned())),
        None => Err(Error::data(path, "two symbols a line", format!("`{line}` in line {}", i + 1))),
    };
    text.lines().enumerate().map(pair).collect()
}

/// The first `n` pairs of a list with one pair a line under a heading.
fn read_merges(lines: impl BufRead, file: &str, n: usize) -> Result<Vec<(String, String)>> {
    let mut merges = Vec::with_capacity(n);
    for (i, line) in lines.lines().enumerate().skip(1).take(n) {
        let line = line.map_err(Error::io(file, "unpacking"))?;
        let Some((a, b)) = line.split_once(' ').filter(|(_, b)| !b.contains(' ')) else {
            return Err(Error::data(file, "two symbols a line", format!("`{line}` in line {}", i + 1)));
        };
        merges.push((a.to_string(), b.to_string()));
    }
    if merges.len() < n {
        return Err(Error::data(file, format!("{n} pairs"), format!("{}", merges.len())));
    }
    Ok(merges)
}
