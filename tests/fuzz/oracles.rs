//! What must hold of what each reader reads; here of pictures and of text, beside it of the rest.

#[path = "archives.rs"]
mod archives;
#[path = "manifests.rs"]
mod manifests;
#[path = "weights.rs"]
mod weights;

pub use archives::*;
pub use manifests::*;
pub use weights::*;

use super::readers::Check;
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use wider_clip::error::Result as Answer;
use wider_clip::images::{MAX_PIXELS, decode, encode_png};
use wider_clip::text::{Kinds, Tokenizer, read_pairs};
use wider_clip::training::Curve;

/// The longest message that says why something is refused.
pub const LONGEST_MESSAGE: usize = 100_000;

thread_local! {
    /// Why the last input was refused.
    pub static REFUSAL: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What was read; a refusal must be short enough to read.
pub fn answer<T>(result: Answer<T>) -> Result<Option<T>, String> {
    let error = match result {
        Ok(value) => return Ok(Some(value)),
        Err(error) => error.to_string(),
    };
    match error.len() {
        0..=LONGEST_MESSAGE => {
            REFUSAL.replace(error);
            Ok(None)
        }
        n => Err(format!("a refusal of {n} bytes")),
    }
}

/// What is true of `found`, or else says what is not.
pub fn holds(found: bool, what: &str) -> Result<(), String> {
    if found { Ok(()) } else { Err(format!("violated: {what}")) }
}

pub fn fresh(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).expect("a folder");
}

/// Every file and link under a folder.
pub fn walk(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found
}

pub fn scratch() -> tempfile::TempDir {
    super::child::scratch()
}

pub fn faulty(_: &Path) -> Check {
    Box::new(|bytes| {
        match bytes {
            b"a panic" => panic!("as asked"),
            b"a relation" => holds(false, "two and two are five")?,
            b"memory" => drop(std::hint::black_box(vec![1u8; 2 << 30])),
            b"an abort" => std::process::abort(),
            b"no end" => loop {
                std::hint::spin_loop();
            },
            _ => {}
        }
        Ok(true)
    })
}

pub fn image(_: &Path) -> Check {
    Box::new(|bytes| {
        let Some(picture) = answer(decode("picture", bytes))? else { return Ok(false) };
        let pixels = u64::from(picture.width()) * u64::from(picture.height());
        holds(pixels > 0 && pixels <= MAX_PIXELS, "a picture has pixels, and not too many")?;
        // Twice the same, and the same by way of a PNG; large ones once, to save time.
        if pixels <= 1 << 20 {
            holds(decode("picture", bytes).is_ok_and(|again| again == picture), "decoded twice alike")?;
            let png = encode_png(&picture).map_err(|error| error.to_string())?;
            holds(decode("png", &png).is_ok_and(|again| again == picture), "the same by way of a PNG")?;
        }
        Ok(true)
    })
}

/// The sums of a PNG's chunks.
pub fn png_checksums(bytes: &mut Vec<u8>) {
    let mut at = 8;
    while bytes.starts_with(b"\x89PNG") && at + 12 <= bytes.len() {
        let length = u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        let Some(end) = at.checked_add(8 + length).filter(|end| end + 4 <= bytes.len()) else { break };
        let mut sum = flate2::Crc::new();
        sum.update(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&sum.sum().to_be_bytes());
        at = end + 4;
    }
}

pub fn curve(place: &Path) -> Check {
    fresh(place);
    let path = place.join("curve.csv");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        let Some(found) = answer(Curve::open(&path))? else { return Ok(false) };
        // Seconds are rounded when they are written first.
        let again = |curve: &Curve| curve.write().and_then(|()| Curve::open(&path)).map_err(|error| error.to_string());
        let first = again(&found)?;
        let second = again(&first)?;
        holds(format!("{:?}", second.rows()) == format!("{:?}", first.rows()), "written and read again alike")?;
        holds(first.rows().len() == found.rows().len(), "every row written")?;
        Ok(true)
    })
}

pub fn merges(place: &Path) -> Check {
    fresh(place);
    let path = place.join("merges.txt");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        let Some(pairs) = answer(read_pairs(&path))? else { return Ok(false) };
        let Some(tokenizer) = answer(Tokenizer::from_merges(&pairs, 77))? else { return Ok(false) };
        for text in ["a cat, the abc", "", "Hello THERE 12", "\u{e9}\u{1f600}"] {
            let ids = tokenizer.encode(text);
            holds(ids.len() >= 2 && ids.len() <= 77, "between two and 77 tokens")?;
            holds(ids.iter().all(|id| (*id as usize) < tokenizer.vocabulary_size()), "tokens of the vocabulary")?;
            holds(tokenizer.encode(text) == ids, "encoded twice alike")?;
            tokenizer.decode(&ids).map_err(|error| error.to_string())?;
        }
        Ok(true)
    })
}

pub fn kinds(_: &Path) -> Check {
    Box::new(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Some(kinds) = answer(Kinds::parse(&text, Path::new("kinds.tsv")))? else { return Ok(false) };
        for word in ["animals", "horse", "mare", "", "a"] {
            let found = kinds.of_word(word);
            holds(found == kinds.of_word(word), "asked twice alike")?;
            kinds.of_class(word);
        }
        Ok(true)
    })
}
