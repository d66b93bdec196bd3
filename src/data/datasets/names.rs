//! Names of files as text: every name apart from every other, and none that could be taken for something else.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// A file's name as text. UTF-8 stays as it is; other bytes are written `\xf1`. [`raw`] undoes it, so that no two names
/// read alike: where a name of plain text holds such an escape itself, its backslashes are doubled.
pub(super) fn shown(name: &OsStr) -> String {
    escaped(name, &[])
}

/// The same without an end of a line in it.
pub(super) fn shown_in_a_line(name: &OsStr) -> String {
    escaped(name, &['\n', '\r'])
}

fn escaped(name: &OsStr, also: &[char]) -> String {
    let bytes = name.as_encoded_bytes();
    if let Ok(text) = std::str::from_utf8(bytes)
        && !holds_escape(text)
        && !text.contains(also)
    {
        return text.into();
    }
    let escape = |byte: u8| format!("\\x{byte:02x}");
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if also.contains(&c) => out.push_str(&escape(c as u8)),
                c => out.push(c),
            }
        }
        out.extend(chunk.invalid().iter().map(|&byte| escape(byte)));
    }
    out
}

/// The name that [`shown`] wrote.
pub(super) fn raw(text: &str) -> OsString {
    if !holds_escape(text) {
        return text.into();
    }
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        (bytes, rest) = match (first, after) {
            (b'\\', [b'\\', after @ ..]) => ([bytes, b"\\".to_vec()].concat(), after),
            (b'\\', [b'x', a, b, after @ ..]) if digit(*a).is_some() && digit(*b).is_some() => {
                bytes.push(digit(*a).unwrap_or(0) * 16 + digit(*b).unwrap_or(0));
                (bytes, after)
            }
            _ => {
                bytes.push(first);
                (bytes, after)
            }
        };
    }
    from_bytes(bytes)
}

#[cfg(unix)]
fn from_bytes(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(not(unix))]
fn from_bytes(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Whether `\x` and two digits stand somewhere.
fn holds_escape(text: &str) -> bool {
    text.as_bytes().windows(4).any(|w| w[..2] == *b"\\x" && digit(w[2]).is_some() && digit(w[3]).is_some())
}

/// The path below `folder` with forward slashes, each name as [`shown`].
pub(super) fn below(folder: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    inside.components().map(|part| shown(part.as_os_str())).collect::<Vec<_>>().join("/")
}

/// Text for one line of a message: characters that move the cursor or end the line are written as escapes.
pub(super) fn on_one_line(text: &str) -> String {
    let escaped = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}');
    text.chars().map(|c| if escaped(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}
