//! What the environment says of the hub, read as Python's `huggingface_hub` reads it.

use crate::error::{Error, Result};
use hf_hub::Cache;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::HeaderValue;

const HUB: &str = "https://huggingface.co";
/// The variable that keeps the token back.
pub(super) const NO_TOKEN: &str = "HF_HUB_DISABLE_IMPLICIT_TOKEN";
/// How long a server may be silent where the environment does not say.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a token's file at most; tokens have some forty.
const LONGEST_TOKEN: u64 = 1 << 16;

/// The hub's cache on this machine: the folder that `HF_HUB_CACHE` or `HUGGINGFACE_HUB_CACHE` names, else `hub` in the
/// hub's home. That is the folder that `HF_HOME` names, else `huggingface` in `XDG_CACHE_HOME`, else
/// `~/.cache/huggingface`. A `~` or `~user` in front and `$NAME` or `${NAME}` anywhere are replaced; what is not known
/// stays as it is written.
pub fn cache() -> Cache {
    let named = folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE"));
    Cache::new(named.unwrap_or_else(|| home().join("hub")))
}

/// The hub's home: token, cache, and this project's notes.
pub(super) fn home() -> PathBuf {
    folder("HF_HOME").unwrap_or_else(|| match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(value) => expand(Path::new(&value).join("huggingface").into_os_string()),
        None => expand("~/.cache/huggingface".into()),
    })
}

/// Refuses a port that is none and what follows the path: another address would be asked than the one that is written. What is no
/// address of http at all is told where it is used.
fn check_endpoint(endpoint: &str) -> Result<()> {
    let Some((_, rest)) = endpoint.split_once("://") else { return Ok(()) };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let port = host.rsplit_once(':').filter(|(_, port)| !port.contains(']')).map(|(_, port)| port);
    let has_port = port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok());
    match has_port && !rest.contains(['?', '#']) {
        true => Ok(()),
        // Without what may be a password.
        false => {
            let shown = endpoint.rsplit_once('@').map_or(endpoint, |(_, rest)| rest);
            let (shown, more) = shown.find(['?', '#']).map_or((shown, ""), |at| (&shown[..at], "?..."));
            let expected = "an address such as https://host or http://host:8080/path";
            Err(Error::argument("HF_ENDPOINT", expected, format!("`{shown}{more}`")))
        }
    }
}

/// The variable that keeps this program from the network, where one does.
pub(crate) fn offline() -> Option<&'static str> {
    let name = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().find(|name| text(name).is_some());
    name.filter(|name| is_true(name))
}

/// Folders of this user's that hold a token, or what came by it: the hub's home and cache, and where the token lies.
pub fn private_folders() -> Vec<PathBuf> {
    let token = folder("HF_TOKEN_PATH").and_then(|path| Some(path.parent()?.to_path_buf()));
    // Not a folder that the system needs, such as /etc.
    let token = token.filter(|folder| folder.components().count() > 2);
    [Some(home()), Some(cache().path().clone()), token].into_iter().flatten().collect()
}

/// The token, as it goes into a header. It is never printed.
#[derive(Clone)]
pub(super) enum Token {
    None,
    /// What to send, and where it is from.
    Bearer(HeaderValue, String),
    /// Why the one that is there cannot be sent.
    Unusable(String, String),
}

/// What is set.
pub(super) struct Settings {
    pub(super) cache: Cache,
    pub(super) home: PathBuf,
    /// Without a slash at its end.
    pub(super) endpoint: String,
    pub(super) token: Token,
    /// The variable that says so.
    pub(super) offline: Option<&'static str>,
    /// Whether symbolic links are wanted where the file system has them.
    pub(super) links: bool,
    /// How long a server may be silent before and while it answers a question, and while it sends a file.
    pub(super) patience: [Duration; 2],
}

impl Settings {
    /// # Errors
    /// [`Error::Argument`] for a timeout that is no number of seconds.
    pub(super) fn read() -> Result<Settings> {
        let home = home();
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| HUB.into()).trim_end_matches('/').to_string();
        check_endpoint(&endpoint)?;
        Ok(Settings {
            cache: cache(),
            endpoint,
            token: if is_true(NO_TOKEN) { Token::None } else { token(&home) },
            offline: offline(),
            links: !is_true("HF_HUB_DISABLE_SYMLINKS"),
            patience: [seconds("HF_HUB_ETAG_TIMEOUT")?, seconds("HF_HUB_DOWNLOAD_TIMEOUT")?],
            home,
        })
    }
}

/// A variable that is set to something.
pub(super) fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_string()).filter(|value| !value.is_empty())
}

/// Python takes these words for yes, and anything else for no.
pub(super) fn is_true(name: &str) -> bool {
    text(name).is_some_and(|value| matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"))
}

fn seconds(name: &'static str) -> Result<Duration> {
    let Some(value) = text(name) else { return Ok(PATIENCE) };
    match value.parse::<f64>() {
        // As in Python, 0 is the default.
        Ok(0.0) => Ok(PATIENCE),
        Ok(number) if (0.0..=86_400.0).contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => Err(Error::argument(name, "a number of seconds up to 86400", format!("`{}`", value.escape_debug()))),
    }
}

/// The token of `HF_TOKEN` or `HUGGING_FACE_HUB_TOKEN`, else the one that `hf auth login` left.
fn token(home: &Path) -> Token {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if let Some(name) = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter().find(set) {
        let value = std::env::var_os(name).unwrap_or_default();
        match usable(name.into(), value.to_str()) {
            Token::None => {}
            token => return token,
        }
    }
    let path = folder("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
    match read_token(&path) {
        Ok(bytes) => usable(path.display().to_string(), std::str::from_utf8(&bytes).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Token::None,
        Err(error) => Token::Unusable(path.display().to_string(), format!("it cannot be read: {error}")),
    }
}

/// A file that may be a token's: a regular one, and not long. What else has its name may never end.
fn read_token(path: &Path) -> std::io::Result<Vec<u8>> {
    let found = std::fs::metadata(path)?;
    let other = |found: String| Err(std::io::Error::other(format!("expected a file with a token, found {found}")));
    match (found.is_file(), found.len()) {
        (true, ..=LONGEST_TOKEN) => std::fs::read(path),
        (true, length) => other(format!("one of {length} bytes")),
        (false, _) if found.is_dir() => other("a folder".into()),
        (false, _) => other("a pipe or a device".into()),
    }
}

/// A token without what is around it. A header holds visible ASCII alone; what is not, is named by its place.
fn usable(place: String, value: Option<&str>) -> Token {
    let Some(value) = value.map(str::trim) else {
        return Token::Unusable(place, "the token has bytes that are no UTF-8".into());
    };
    if value.is_empty() {
        return Token::None;
    }
    if let Some((at, character)) = value.chars().enumerate().find(|(_, character)| !character.is_ascii_graphic()) {
        let what = match character {
            '\n' | '\r' => "a line break".into(),
            ' ' => "a space".into(),
            '\t' => "a tab".into(),
            other => format!("the character U+{:04X}", u32::from(other)),
        };
        let length = value.chars().count();
        return Token::Unusable(place, format!("the token has {what} at character {} of {length}", at + 1));
    }
    match HeaderValue::from_str(&format!("Bearer {value}")) {
        Ok(mut header) => {
            header.set_sensitive(true);
            Token::Bearer(header, place)
        }
        Err(_) => Token::Unusable(place, "the token cannot be put into a header".into()),
    }
}

/// The folder or file that a variable names.
fn folder(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(expand)
}

/// `~` first, then variables, as Python does; a text that is no UTF-8 stays as it is.
fn expand(value: OsString) -> PathBuf {
    match value.into_string() {
        Ok(text) => PathBuf::from(with_variables(&with_home(&text))),
        Err(value) => PathBuf::from(value),
    }
}

/// `~` or `~user` in front replaced by the home folder, if it is known.
fn with_home(text: &str) -> String {
    let Some(rest) = text.strip_prefix('~') else { return text.into() };
    let (user, rest) = rest.split_at(rest.find(['/', std::path::MAIN_SEPARATOR]).unwrap_or(rest.len()));
    let home = match user {
        "" => std::env::home_dir().map(|home| home.to_string_lossy().into_owned()),
        user => home_of(user),
    };
    match home {
        Some(home) if home.trim_end_matches('/').is_empty() && rest.is_empty() => "/".into(),
        Some(home) => format!("{}{rest}", home.trim_end_matches('/')),
        None => text.into(),
    }
}

/// The home folder of a user of this machine.
fn home_of(user: &str) -> Option<String> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == user)?;
    fields.get(5).map(|home| home.to_string())
}

/// `$NAME` and `${NAME}` replaced where the variable is set.
fn with_variables(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let word = |text: &str| text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let (name, end) = match rest[1..].strip_prefix('{') {
            Some(inner) => inner.find('}').map_or(("", 2), |end| (&inner[..end], end + 3)),
            None => (&rest[1..1 + word(&rest[1..])], 1 + word(&rest[1..])),
        };
        match std::env::var(name) {
            Ok(value) if !name.is_empty() => out.push_str(&value),
            _ => out.push_str(&rest[..end]),
        }
        rest = &rest[end..];
    }
    out + rest
}
