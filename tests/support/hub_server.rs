//! A stand-in for the Hugging Face hub: repositories with commits and branches, the file list, files by ranges with
//! the hub's headers, large files by a redirect to another path, tokens, and ways to fail.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use wider_clip::storage::sha256_hex;

/// How bodies are sent. Answers to questions for one byte (metadata) are always whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Manner {
    Whole,
    /// The connection ends after so many bytes of each body, though more were announced.
    BreaksOff(usize),
    /// The same without an announced length, so that the end looks like the end.
    EndsEarly(usize),
    /// After so many bytes nothing more comes, and the connection stays.
    Stalls(usize),
    /// The first byte of the file is wrong.
    Damaged,
    /// The whole file, whatever is asked for.
    IgnoresRanges,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
    /// Whether the rest of a file was asked for, here and not where a redirect leads.
    pub body: bool,
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
    /// Answer for this commit, whatever commit is asked for.
    pub wrong_commit: Option<String>,
}

pub struct State {
    /// By `owner/name`, of data sets `datasets/owner/name`.
    pub repositories: BTreeMap<String, Repository>,
    pub manner: Manner,
    pub requests: Vec<Request>,
    /// If set, every answer is this status.
    pub status: Option<u16>,
}

pub struct HubServer {
    pub address: String,
    state: Arc<Mutex<State>>,
}

impl HubServer {
    pub fn new() -> HubServer {
        let state = State { repositories: BTreeMap::new(), manner: Manner::Whole, requests: Vec::new(), status: None };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (shared, own) = (state.clone(), address.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, address) = (shared.clone(), own.clone());
                // A client that goes away is no failure of the server.
                std::thread::spawn(move || serve(stream, &state, &address));
            }
        });
        HubServer { address, state }
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

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state().requests)
    }

    /// First bytes of the bodies that were asked for since the last call.
    pub fn body_starts(&self) -> Vec<u64> {
        let start = |request: &Request| request.range.as_ref()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok();
        self.requests().iter().filter(|request| request.body).filter_map(start).collect()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>, address: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_string();
        let mut request = Request { path, range: None, token: None, body: false };
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "range" => request.range = Some(value.trim().into()),
                "authorization" => request.token = Some(value.trim().trim_start_matches("Bearer ").into()),
                _ => {}
            }
        }
        let (answer, manner) = {
            let mut state = state.lock().expect("a state");
            let answer = answer(&state, &request, address);
            let open = request.range.as_ref().is_some_and(|range| range.ends_with('-'));
            request.body = open && matches!(answer, Answer::File(..));
            state.requests.push(request.clone());
            (answer, state.manner)
        };
        match answer {
            Answer::Status(status) => write!(out, "HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n")?,
            Answer::Text(headers, body) => {
                write!(out, "HTTP/1.1 {headers}\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
            }
            Answer::File(headers, file) => {
                if !send(&mut out, &headers, file, request.range.as_deref(), manner)? {
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
}

fn answer(state: &State, request: &Request, address: &str) -> Answer {
    if let Some(status) = state.status {
        return Answer::Status(status);
    }
    if let Some(sha256) = request.path.strip_prefix("/storage/") {
        let files =
            state.repositories.values().flat_map(|repository| repository.commits.values()).flat_map(BTreeMap::values);
        let found = files.into_iter().find(|file| sha256_hex(file) == sha256);
        return found.map_or(Answer::Status(404), |file| Answer::File("etag: \"of-the-storage\"".into(), file.clone()));
    }
    let split = |path: &str, middle: &str| path.split_once(middle).map(|(a, b)| (a.to_string(), b.to_string()));
    let path = request.path.trim_start_matches('/');
    let list = path.strip_prefix("api/").and_then(|path| split(path.trim_start_matches("models/"), "/revision/"));
    let (name, rest) = match list.clone().or_else(|| split(path, "/resolve/")) {
        Some(found) => found,
        None => return Answer::Status(400),
    };
    let Some(repository) = state.repositories.get(&name) else {
        // The hub does not tell strangers whether a repository is missing or private.
        return Answer::Status(if request.token.is_some() { 404 } else { 401 });
    };
    let allowed = repository.token.is_none() || repository.token == request.token;
    let (revision, file) = match &list {
        Some(_) => (rest.as_str(), None),
        None => rest.split_once('/').map_or((rest.as_str(), Some("")), |(revision, file)| (revision, Some(file))),
    };
    let revision = revision.replace("%2F", "/");
    let commit = repository.revisions.get(&revision).unwrap_or(&revision);
    let Some(files) = repository.commits.get(commit) else {
        return Answer::Status(404);
    };
    let answered = repository.wrong_commit.as_ref().unwrap_or(commit);
    let Some(file) = file else {
        if repository.private && !allowed {
            return Answer::Status(401);
        }
        let siblings: Vec<String> = files.keys().map(|name| format!("{{\"rfilename\":\"{name}\"}}")).collect();
        let body = format!("{{\"siblings\":[{}],\"sha\":\"{commit}\"}}", siblings.join(","));
        return Answer::Text("200 OK\r\ncontent-type: application/json".into(), body);
    };
    if !allowed {
        return Answer::Status(if request.token.is_some() { 403 } else { 401 });
    }
    let Some(bytes) = files.get(file) else {
        return Answer::Status(404);
    };
    let sha256 = sha256_hex(bytes);
    match repository.large {
        true => Answer::Text(
            format!(
                "302 Found\r\nx-repo-commit: {answered}\r\nx-linked-etag: \"{sha256}\"\r\nx-linked-size: {}\r\n\
                 location: {address}/storage/{sha256}",
                bytes.len()
            ),
            String::new(),
        ),
        // A git hash has 40 digits.
        false => Answer::File(format!("x-repo-commit: {answered}\r\netag: \"{}\"", &sha256[..40]), bytes.clone()),
    }
}

/// Sends the part of `file` that `range` asks for; whether the connection can be used again.
fn send(
    out: &mut TcpStream,
    headers: &str,
    mut file: Vec<u8>,
    range: Option<&str>,
    manner: Manner,
) -> std::io::Result<bool> {
    let (start, end) = range.and_then(|range| range.trim_start_matches("bytes=").split_once('-')).unwrap_or(("0", ""));
    let start: usize = start.parse().unwrap_or(0);
    let last = end.parse().unwrap_or(usize::MAX).min(file.len() - 1);
    let manner = if end.is_empty() { manner } else { Manner::Whole };
    let total = file.len();
    if start >= total {
        write!(out, "HTTP/1.1 416 No\r\ncontent-range: bytes */{total}\r\ncontent-length: 0\r\n\r\n")?;
        return Ok(true);
    }
    if manner == Manner::IgnoresRanges {
        write!(out, "HTTP/1.1 200 OK\r\n{headers}\r\ncontent-length: {total}\r\n\r\n")?;
        out.write_all(&file)?;
        return Ok(true);
    }
    if manner == Manner::Damaged {
        file[0] ^= 1;
    }
    let body = &file[start..=last];
    let length = match manner {
        Manner::EndsEarly(_) => "connection: close".to_string(),
        _ => format!("content-length: {}", body.len()),
    };
    write!(
        out,
        "HTTP/1.1 206 Partial Content\r\n{headers}\r\ncontent-range: bytes {start}-{last}/{total}\r\n{length}\r\n\r\n"
    )?;
    let n = match manner {
        Manner::BreaksOff(n) | Manner::EndsEarly(n) | Manner::Stalls(n) => n.min(body.len()),
        _ => body.len(),
    };
    out.write_all(&body[..n])?;
    out.flush()?;
    if let Manner::Stalls(_) = manner {
        // Until the client goes away.
        std::io::copy(out, &mut std::io::sink())?;
    }
    Ok(n == body.len() && !matches!(manner, Manner::EndsEarly(_)))
}
