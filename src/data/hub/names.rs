//! Names that a server gives, before they become parts of paths or requests.
//!
//! A commit, an `ETag` and a listed file name end up in the cache's paths. None of them is taken as it comes.

use crate::error::{Error, Result};
use hf_hub::Repo;

/// What a file system takes for one name, less what this module and Python's client append (`.12345678.incomplete`).
const LONGEST: usize = 220;
/// What a path may have in all.
const LONGEST_PATH: usize = 1024;

/// A commit: 40 hexadecimal digits. Gives it in lower case.
pub(super) fn commit(text: &str) -> Option<String> {
    (text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}

/// An `ETag` without its mark of weakness and its quotes, if it can name a file.
pub(super) fn etag(header: &str) -> Option<String> {
    let text = header.trim();
    // Python strips any run of these in front.
    let text = text.strip_prefix("w/").unwrap_or(text).trim_start_matches(['W', '/']).trim_matches('"');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+=~".contains(&byte);
    let fits = (1..=LONGEST).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(plain);
    // Names that the cache gives to something else.
    let taken = [".part", ".incomplete", ".lock"].iter().any(|end| text.to_ascii_lowercase().ends_with(end));
    (fits && !taken).then(|| text.to_string())
}

/// What makes a text no path of a file below a folder; `None` for one that is.
fn fault(text: &str) -> Option<&'static str> {
    let parts = || text.split('/');
    let found = [
        (text.is_empty(), "nothing"),
        (text.len() > LONGEST_PATH || parts().any(|part| part.len() > 255), "a name that is too long"),
        (text.chars().any(char::is_control), "a control character"),
        (text.starts_with('/'), "an absolute path"),
        (text.contains('\\'), "a backslash"),
        (cfg!(windows) && text.contains(':'), "a colon"),
        (parts().any(|part| matches!(part, "." | "..")), "`.` or `..` as a part of the path"),
        (parts().any(str::is_empty), "an empty part of the path"),
    ];
    found.into_iter().find_map(|(is, what)| is.then_some(what))
}

/// Whether a text is the path of a file below a folder.
///
/// # Errors
/// [`Error::Download`] for any other, with what is wrong with it.
pub(crate) fn check_file(repo: &str, file: &str) -> Result<()> {
    match fault(file) {
        None => Ok(()),
        Some(what) => Err(Error::Download {
            from: repo.into(),
            reason: format!("expected the name of a file in the repository, found `{}`: {what}", shown(file)),
            advice: "Check the mirror in HF_ENDPOINT, and the files that the manifest names".into(),
        }),
    }
}

/// Repository and revision come from a manifest, and become parts of paths too.
pub(super) fn check_handle(handle: &Repo) -> Result<()> {
    for (what, text) in [("repository", handle.url()), ("revision", handle.revision().to_string())] {
        if let Some(fault) = fault(&text) {
            return Err(Error::Download {
                from: shown(&handle.url()),
                reason: format!("expected the name of a {what}, found `{}`: {fault}", shown(&text)),
                advice: "Correct it in the manifest".into(),
            });
        }
    }
    Ok(())
}

/// A text from outside, so that it can stand in a message: one line, not too long.
pub(super) fn shown(text: &str) -> String {
    let text = text.escape_debug().to_string();
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// An address without what may be secret in it: user and password, and what follows a `?`.
pub(crate) fn shown_address(address: &str) -> String {
    let (address, after) = address.find(['?', '#']).map_or((address, ""), |at| address.split_at(at));
    let more = if after.is_empty() { "" } else { "?..." };
    let (scheme, rest) = address.split_once("://").map_or(("", address), |(scheme, rest)| (scheme, rest));
    let host = rest.split('/').next().unwrap_or_default();
    // A password may hold a slash that was not written out: then what stands before it is no host and port.
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let is_host = !scheme.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let shown = match host.rsplit_once('@') {
        Some((_, host_alone)) => format!("{host_alone}{}", &rest[host.len()..]),
        None if is_host => rest.to_string(),
        None => rest.rsplit_once('@').map_or(rest, |(_, rest)| rest).to_string(),
    };
    let colon = if scheme.is_empty() { "" } else { "://" };
    match after.contains('@') && !rest.contains('/') {
        // What looks like a host may be the beginning of a password that holds a `?`.
        true => format!("{scheme}{colon}..."),
        false => format!("{scheme}{colon}{shown}{more}"),
    }
}

/// A path of a repository as it stands in an address; `slash` if slashes stay.
pub(super) fn quoted(text: &str, slash: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'/' if slash => out.push('/'),
            byte if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) => out.push(byte as char),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
