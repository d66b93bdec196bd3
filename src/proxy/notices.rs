//! Lines that a cell writes about itself, put there by cargo_for_cells.sh: that it failed, that it has ended.
//!
//! The end is told on standard output and on standard error, each behind the last line of the cell there: with these two no
//! guess is needed when all is in. A child whose cells do not tell it is guessed at.

/// How the lines begin by which a cell that failed makes itself known.
const FAILED: &str = "[cell failed: ";
/// The last line of a cell.
const ENDED: &str = "[cell ended]";
/// What all begin with.
pub const ANY: &str = "[cell ";

/// What such a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A panic was caught.
    Panic,
    /// `?` met an error.
    Error,
    /// Nothing more comes by this way.
    Ended,
}

/// Takes apart a line of output. What stands before a notice was printed without a newline.
pub fn split(line: &str) -> Option<(&str, Notice)> {
    let text = line.strip_suffix('\n').unwrap_or(line);
    if let Some(before) = text.strip_suffix(ENDED) {
        return Some((before, Notice::Ended));
    }
    let at = text.rfind(FAILED)?;
    match &text[at + FAILED.len()..] {
        "panic]" => Some((&text[..at], Notice::Panic)),
        "error]" => Some((&text[..at], Notice::Error)),
        _ => None,
    }
}

/// Whether a cell is nothing but commands to the kernel and comments: such a cell does not run and tells no end.
pub fn is_only_commands(code: &str) -> bool {
    code.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with([':', '!']) || line.starts_with("//"))
}
