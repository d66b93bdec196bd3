//! The hash of a Parquet file, inside it.
//!
//! Parquet keeps no hash of its own that its readers here look at, so that one flipped bit in a number is another number.
//! Files of results hold a line before their footer, where no reader looks: it finds columns by places counted from the
//! file's begin, and the footer by its length, which ends the file (Parquet's file format, <https://parquet.apache.org>).
//!
//! ```text
//! PAR1 columns | SHA-256 of all else: 64 digits | footer, its length in 4 bytes, PAR1
//! ```

use crate::storage::sha256_hex;

/// What the line begins with.
const MARK: &[u8] = b"SHA-256 of all else: ";
/// Hexadecimal digits of a hash.
const DIGITS: usize = 64;
/// What stands behind a footer: its length and `PAR1`.
const END: usize = 8;

/// Where the footer begins.
fn footer(file: &[u8]) -> Option<usize> {
    let end = file.len().checked_sub(END)?;
    let length = u32::from_le_bytes(file[end..end + 4].try_into().ok()?);
    end.checked_sub(usize::try_from(length).ok()?)
}

/// A whole Parquet file, with the line.
pub(super) fn seal(file: &[u8]) -> Vec<u8> {
    // What has no footer is no Parquet file, and its reader says so.
    let at = footer(file).unwrap_or(file.len());
    let hash = sha256_hex(file);
    [&file[..at], MARK, hash.as_bytes(), &file[at..]].concat()
}

/// Holds a file to its line. One without, as another program writes it, passes.
///
/// # Errors
/// What was found, in a file that is not what was written.
pub(super) fn check(file: &[u8]) -> Result<(), &'static str> {
    let Some(at) = file.windows(MARK.len()).rposition(|window| window == MARK) else { return Ok(()) };
    let digits = at + MARK.len()..at + MARK.len() + DIGITS;
    if footer(file) != Some(digits.end) {
        return Err("its hash is not before the footer");
    }
    match sha256_hex(&[&file[..at], &file[digits.end..]].concat()).as_bytes() == &file[digits] {
        true => Ok(()),
        false => Err("other bytes than were written, by their SHA-256"),
    }
}
