//! Lines that a cell writes about itself, put there by cargo_for_cells.sh: that it failed, that it has ended.
//!
//! The end is told on standard output and on standard error, each behind the last line of the cell there: with these two no
//! guess is needed when all is in. A child whose cells do not tell it is guessed at.
//!
//! What a cell prints may be words of strangers, and may read like a notice. So whoever starts a child may give it a secret, the
//! variable [`SECRET_VARIABLE`] of its environment, which all its notices carry then, `[cell 1f failed: panic]` for `1f`. A name
//! or a file that was there before cannot know it.

use crate::wire::chance;
use std::process::Command;

/// Names the secret in the environment of a child.
pub const SECRET_VARIABLE: &str = "WIDER_CLIP_NOTICE_SECRET";
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

/// A secret for one child.
pub fn secret() -> String {
    format!("{:016x}", chance())
}

/// How the notices of one child read.
#[derive(Clone, Debug)]
pub struct Notices {
    /// How the lines begin by which a cell that failed makes itself known.
    failed: String,
    /// The last line of a cell.
    ended: String,
}

impl Notices {
    /// Those that carry `secret`, which may be empty: none.
    pub fn new(secret: &str) -> Notices {
        let space = if secret.is_empty() { "" } else { " " };
        Notices { failed: format!("{ANY}{secret}{space}failed: "), ended: format!("{ANY}{secret}{space}ended]") }
    }

    /// Those of a child that is started by this command.
    pub fn of(child: &Command) -> Notices {
        let secret = child.get_envs().find(|(name, _)| *name == SECRET_VARIABLE).and_then(|(_, value)| value?.to_str());
        Notices::new(secret.unwrap_or_default())
    }

    /// Takes apart a line of output. What stands before a notice was printed without a newline.
    pub fn split<'a>(&self, line: &'a str) -> Option<(&'a str, Notice)> {
        let text = line.strip_suffix('\n').unwrap_or(line);
        if let Some(before) = text.strip_suffix(&self.ended) {
            return Some((before, Notice::Ended));
        }
        let at = text.rfind(&self.failed)?;
        match &text[at + self.failed.len()..] {
            "panic]" => Some((&text[..at], Notice::Panic)),
            "error]" => Some((&text[..at], Notice::Error)),
            _ => None,
        }
    }

    /// Whether a line is nothing but a notice.
    pub fn is_one(&self, line: &str) -> bool {
        matches!(self.split(line), Some(("", _)))
    }
}

/// Whether a cell is nothing but commands to the kernel and comments: such a cell does not run and tells no end.
pub fn is_only_commands(code: &str) -> bool {
    code.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with([':', '!']) || line.starts_with("//"))
}
