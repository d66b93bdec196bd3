//! A stand-in for the Hugging Face hub: two hosts. The hub has repositories with commits and branches, the list of files,
//! small files with its headers, and redirects for large ones; the store has the large files. Both note what they were
//! asked, and fail on demand.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use wider_clip::storage::sha256_hex;

/// How bodies of files are sent. Answers to questions for one byte, or without a body, are always whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Manner {
    Whole,
    /// The connection ends after so many bytes of each body, though more were announced.
    BreaksOff(usize),
    /// The same without an announced length, so that the end looks like the end.
    EndsEarly(usize),
    /// Whole, without a length: the end of the connection is the end.
    NoLength,
    /// Whole, in chunks.
    Chunks,
    /// In chunks, and the connection ends after so many bytes of each body; how long the file is, nothing tells.
    ChunksBreakOff(usize),
    /// After so many bytes nothing more comes, and the connection stays.
    Stalls(usize),
    /// The first byte of the file is wrong.
    Damaged,
    /// The whole file, whatever is asked for.
    IgnoresRanges,
    /// Status 416 for every range.
    RefusesRanges,
    /// Status 206 from byte 0, whatever is asked for.
    WrongRange,
}

/// How the `ETag` is written.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Etag {
    #[default]
    Quoted,
    Weak,
    Bare,
    UpperCase,
    Missing,
    /// As it stands here.
    Other(String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `hub` or `store`.
    pub host: &'static str,
    pub method: String,
    pub path: String,
    /// By names in small letters.
    pub headers: BTreeMap<String, String>,
    /// Whether the rest of a file was asked for, here and not where a redirect leads.
    pub body: bool,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn range(&self) -> Option<&str> {
        self.header("range")
    }

    /// In one line: host, method, whether the token came, whether what is asked for in part may be packed.
    pub fn words(&self) -> String {
        let token = if self.token().is_some() { "token" } else { "no token" };
        let packed = self.header("accept-encoding").is_some_and(|codings| codings != "identity");
        let packed = if packed && self.range().is_some() { ", a packed part" } else { "" };
        format!("{} {}: {token}{packed}", self.host, self.method)
    }

    pub fn token(&self) -> Option<&str> {
        self.header("authorization").map(|value| value.trim_start_matches("Bearer "))
    }
}

#[derive(Default)]
pub struct Repository {
    /// Branches and tags.
    pub revisions: BTreeMap<String, String>,
    /// Files by commit.
    pub commits: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    /// Whether files are in large file storage, so that their SHA-256 is announced.
    pub large: bool,
    /// The token without which files (and, if `private`, the list) are not given.
    pub token: Option<String>,
    pub private: bool,
    /// Answer for this commit, whatever commit is asked for; empty for none.
    pub answered_commit: Option<String>,
    pub etag: Etag,
    /// Whether a redirect to the store says how long the file is.
    pub no_linked_size: bool,
    /// Names that the list has as well.
    pub listed: Vec<String>,
}

/// An answer in place of the usual one.
pub struct Instead {
    /// Status line and headers, without the length.
    pub head: String,
    pub body: Vec<u8>,
    /// Whether nothing is sent, or nothing after the body, while the connection stays.
    pub stalls: bool,
    /// Between head and body.
    pub pause: Duration,
    /// Whether the body comes in a chunk, without its length.
    pub chunked: bool,
}

impl Instead {
    pub fn new(head: &str, body: &[u8]) -> Option<Instead> {
        Some(Instead { head: head.into(), body: body.to_vec(), stalls: false, pause: Duration::ZERO, chunked: false })
    }

    /// The body some time after the head.
    pub fn late(head: &str, body: &[u8], pause: Duration) -> Option<Instead> {
        Instead::new(head, body).map(|instead| Instead { pause, ..instead })
    }

    /// The body in a chunk, so that its length is not told before.
    pub fn chunk(head: &str, body: &[u8]) -> Option<Instead> {
        Instead::new(head, body).map(|instead| Instead { chunked: true, ..instead })
    }

    /// No answer, ever.
    pub fn silence() -> Option<Instead> {
        Instead::new("", b"").map(|instead| Instead { stalls: true, ..instead })
    }
}

type Script = Box<dyn FnMut(&Request) -> Option<Instead> + Send>;

pub struct State {
    /// By `owner/name`, of data sets `datasets/owner/name`.
    pub repositories: BTreeMap<String, Repository>,
    pub manner: Manner,
    pub requests: Vec<Request>,
    /// If set, every answer is this status.
    pub status: Option<u16>,
    /// What stands before every path of the hub.
    pub prefix: String,
    pub script: Option<Script>,
}

pub struct HubServer {
    /// Of the hub.
    pub address: String,
    /// Of the store: the same machine under another name and port.
    pub store: String,
    state: Arc<Mutex<State>>,
}

impl HubServer {
    pub fn new() -> HubServer {
        let state = State {
            repositories: BTreeMap::new(),
            manner: Manner::Whole,
            requests: Vec::new(),
            status: None,
            prefix: String::new(),
            script: None,
        };
        let state = Arc::new(Mutex::new(state));
        let listen = || TcpListener::bind("127.0.0.1:0").expect("listens");
        let (hub, store) = (listen(), listen());
        let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
        let address = format!("http://127.0.0.1:{}", port(&hub));
        let store_address = format!("http://localhost:{}", port(&store));
        for (listener, host) in [(hub, "hub"), (store, "store")] {
            let (state, store) = (state.clone(), store_address.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (state, store) = (state.clone(), store.clone());
                    // A client that goes away is no failure of the server.
                    std::thread::spawn(move || serve(stream, host, &state, &store));
                }
            });
        }
        HubServer { address, store: store_address, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a state")
    }

    /// A commit of `repo` with these files, to which `revision` points from now on.
    pub fn commit(&self, repo: &str, revision: &str, commit: &str, files: &[(&str, &[u8])]) {
        let mut state = self.state();
        let repository = state.repositories.entry(repo.into()).or_default();
        repository.revisions.insert(revision.into(), commit.into());
        let files = files.iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec()));
        repository.commits.insert(commit.into(), files.collect());
    }

    pub fn change(&self, repo: &str, change: impl FnOnce(&mut Repository)) {
        change(self.state().repositories.get_mut(repo).expect("a repository"));
    }

    pub fn manner(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// What is answered in place of the usual, where `script` gives something.
    pub fn script(&self, script: impl FnMut(&Request) -> Option<Instead> + Send + 'static) {
        self.state().script = Some(Box::new(script));
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().requests)
    }

    /// First bytes of the bodies that were asked for since the last call.
    pub fn body_starts(&self) -> Vec<u64> {
        let start = |request: &Request| match request.range() {
            Some(range) => range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok(),
            None => Some(0),
        };
        self.requests().iter().filter(|request| request.body).filter_map(start).collect()
    }
}

fn serve(stream: TcpStream, host: &'static str, state: &Mutex<State>, store: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split(' ').map(String::from);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut request = Request { host, method, path, headers: BTreeMap::new(), body: false };
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            request.headers.insert(name.to_ascii_lowercase(), value.trim().into());
        }
        let head = request.method == "HEAD";
        // For clients in other languages: what was asked so far.
        if request.path == "/_requests" {
            let requests = std::mem::take(&mut state.lock().expect("a state").requests);
            let words = requests.iter().map(Request::words).collect::<Vec<_>>().join("\n");
            write!(out, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{words}", words.len())?;
            continue;
        }
        let (answer, manner) = {
            let mut state = state.lock().expect("a state");
            let instead = state.script.as_mut().and_then(|script| script(&request));
            let answer = match instead {
                Some(instead) => Answer::Instead(instead),
                None => answer(&state, &request, store),
            };
            let rest = request.range().is_none_or(|range| range.ends_with('-'));
            request.body = !head && rest && matches!(answer, Answer::File(..));
            state.requests.push(request.clone());
            (answer, state.manner)
        };
        match answer {
            Answer::Status(status) => write!(out, "HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n")?,
            Answer::Text(headers, body) => {
                write!(out, "HTTP/1.1 {headers}\r\ncontent-length: {}\r\n\r\n", body.len())?;
                out.write_all(if head { b"" } else { body.as_bytes() })?;
            }
            Answer::Instead(instead) => {
                if instead.chunked && !head {
                    write!(out, "HTTP/1.1 {}\r\ntransfer-encoding: chunked\r\n\r\n", instead.head)?;
                    chunks(&mut out, &instead.body)?;
                    write!(out, "0\r\n\r\n")?;
                } else if !instead.head.is_empty() {
                    write!(out, "HTTP/1.1 {}\r\ncontent-length: {}\r\n\r\n", instead.head, instead.body.len())?;
                    out.flush()?;
                    std::thread::sleep(instead.pause);
                    out.write_all(if head { b"" } else { &instead.body })?;
                    out.flush()?;
                }
                if instead.stalls {
                    std::io::copy(&mut reader, &mut std::io::sink())?;
                }
            }
            Answer::File(headers, file) => {
                if !send(&mut out, &headers, file, &request, manner)? {
                    return Ok(());
                }
            }
        }
        out.flush()?;
    }
}

enum Answer {
    Status(u16),
    /// Status line and headers, then a body.
    Text(String, String),
    /// Headers, then the part of the file that was asked for.
    File(String, Vec<u8>),
    Instead(Instead),
}

/// A path as it was before it was put into an address.
fn unquoted(path: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), path.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, digits.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn answer(state: &State, request: &Request, store: &str) -> Answer {
    if let Some(status) = state.status {
        return Answer::Status(status);
    }
    if request.host == "store" {
        let files =
            state.repositories.values().flat_map(|repository| repository.commits.values()).flat_map(BTreeMap::values);
        // As real stores do: a second authorisation beside the signed address is refused.
        if request.token().is_some() {
            return Answer::Status(400);
        }
        let name = request.path.trim_start_matches("/storage/").split('?').next().unwrap_or_default();
        let found = files.into_iter().find(|file| sha256_hex(file) == name);
        return found.map_or(Answer::Status(404), |file| Answer::File("etag: \"of-the-storage\"".into(), file.clone()));
    }
    let split = |path: &str, middle: &str| path.split_once(middle).map(|(a, b)| (a.to_string(), b.to_string()));
    let Some(path) = request.path.strip_prefix(&state.prefix) else { return Answer::Status(404) };
    // A revision is one word of the address, a file may be several.
    let path = path.trim_start_matches('/');
    let list = path.strip_prefix("api/").and_then(|path| split(path.trim_start_matches("models/"), "/revision/"));
    let (name, rest) = match list.clone().or_else(|| split(path, "/resolve/")) {
        Some(found) => found,
        None => return Answer::Status(400),
    };
    let name = unquoted(&name);
    let Some(repository) = state.repositories.get(&name) else {
        // The hub does not tell strangers whether a repository is missing or private.
        return Answer::Status(if request.token().is_some() { 404 } else { 401 });
    };
    let allowed = repository.token.is_none() || repository.token.as_deref() == request.token();
    let (revision, file) = match &list {
        Some(_) => (rest.as_str(), None),
        None => rest.split_once('/').map_or((rest.as_str(), Some("")), |(revision, file)| (revision, Some(file))),
    };
    let revision = unquoted(revision);
    let commit = repository.revisions.get(&revision).unwrap_or(&revision);
    let Some(files) = repository.commits.get(commit) else {
        return Answer::Status(404);
    };
    let answered = repository.answered_commit.as_ref().unwrap_or(commit);
    let Some(file) = file else {
        if repository.private && !allowed {
            return Answer::Status(401);
        }
        let names = files.keys().chain(&repository.listed);
        let siblings: Vec<_> = names.map(|name| serde_json::json!({ "rfilename": name })).collect();
        let body = serde_json::json!({ "id": name, "siblings": siblings, "sha": commit }).to_string();
        return Answer::Text("200 OK\r\ncontent-type: application/json".into(), body);
    };
    if !allowed {
        return Answer::Status(if request.token().is_some() { 403 } else { 401 });
    }
    let Some(bytes) = files.get(&unquoted(file)) else {
        return Answer::Status(404);
    };
    let sha256 = sha256_hex(bytes);
    // A git hash has 40 digits.
    let known = if repository.large { sha256.as_str() } else { &sha256[..40] };
    let (etag_name, mut headers) = (if repository.large { "x-linked-etag" } else { "etag" }, String::new());
    if !answered.is_empty() {
        headers += &format!("x-repo-commit: {answered}\r\n");
    }
    headers += &match &repository.etag {
        Etag::Quoted => format!("{etag_name}: \"{known}\"\r\n"),
        Etag::Weak => format!("{etag_name}: W/\"{known}\"\r\n"),
        Etag::Bare => format!("{etag_name}: {known}\r\n"),
        Etag::UpperCase => format!("{etag_name}: \"{}\"\r\n", known.to_ascii_uppercase()),
        Etag::Missing => String::new(),
        Etag::Other(etag) => format!("{etag_name}: {etag}\r\n"),
    };
    if !repository.large {
        return Answer::File(headers.trim_end().into(), bytes.clone());
    }
    if !repository.no_linked_size {
        headers += &format!("x-linked-size: {}\r\n", bytes.len());
    }
    Answer::Text(format!("302 Found\r\n{headers}location: {store}/storage/{sha256}?signature=secret"), String::new())
}

/// Sends the part of `file` that is asked for; whether the connection can be used again.
fn send(
    out: &mut TcpStream,
    headers: &str,
    mut file: Vec<u8>,
    request: &Request,
    manner: Manner,
) -> std::io::Result<bool> {
    let headers = if headers.is_empty() { "x-nothing: 1" } else { headers };
    let total = file.len();
    if request.method == "HEAD" {
        write!(out, "HTTP/1.1 200 OK\r\n{headers}\r\ncontent-length: {total}\r\n\r\n")?;
        return Ok(true);
    }
    let range = request.range().filter(|_| manner != Manner::IgnoresRanges);
    let (start, end) = range.and_then(|range| range.trim_start_matches("bytes=").split_once('-')).unwrap_or(("0", ""));
    let mut start: usize = start.parse().unwrap_or(0);
    let last = end.parse().unwrap_or(usize::MAX).min(total.saturating_sub(1));
    let manner = if end.is_empty() { manner } else { Manner::Whole };
    if range.is_some() && (start >= total || manner == Manner::RefusesRanges) {
        write!(out, "HTTP/1.1 416 No\r\ncontent-range: bytes */{total}\r\ncontent-length: 0\r\n\r\n")?;
        return Ok(true);
    }
    if manner == Manner::WrongRange {
        start = 0;
    }
    if manner == Manner::Damaged {
        file[0] ^= 1;
    }
    let body = if total == 0 { &file[..] } else { &file[start..=last] };
    let length = match manner {
        Manner::EndsEarly(_) | Manner::NoLength => "connection: close".to_string(),
        Manner::Chunks | Manner::ChunksBreakOff(_) => "transfer-encoding: chunked".to_string(),
        _ => format!("content-length: {}", body.len()),
    };
    let told = if matches!(manner, Manner::ChunksBreakOff(_)) { "*".into() } else { total.to_string() };
    match range {
        Some(_) => {
            write!(out, "HTTP/1.1 206 Partial Content\r\n{headers}\r\ncontent-range: bytes {start}-{last}/{told}\r\n")?
        }
        None => write!(out, "HTTP/1.1 200 OK\r\n{headers}\r\n")?,
    }
    write!(out, "{length}\r\n\r\n")?;
    let n = match manner {
        Manner::BreaksOff(n) | Manner::EndsEarly(n) | Manner::Stalls(n) | Manner::ChunksBreakOff(n) => {
            n.min(body.len())
        }
        _ => body.len(),
    };
    if let Manner::Chunks | Manner::ChunksBreakOff(_) = manner {
        chunks(out, &body[..n])?;
        write!(out, "{}", if n == body.len() { "0\r\n\r\n" } else { "" })?;
    } else {
        out.write_all(&body[..n])?;
    }
    out.flush()?;
    if let Manner::Stalls(_) = manner {
        // Until the client goes away.
        std::io::copy(out, &mut std::io::sink())?;
    }
    Ok(n == body.len() && !matches!(manner, Manner::EndsEarly(_) | Manner::NoLength))
}

/// Chunks, without the one that ends them.
fn chunks(out: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    for chunk in body.chunks(1000) {
        write!(out, "{:x}\r\n", chunk.len())?;
        out.write_all(chunk)?;
        write!(out, "\r\n")?;
    }
    Ok(())
}
