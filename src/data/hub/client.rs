//! The client that the environment describes, and what its errors mean.

use super::environment::{self, Settings, Token};
use super::fault::{Fault, Kind};
use super::names;
use super::transport::{Ask, Reply, Transport, is_page, length};
use crate::error::{Error, Result};
use crate::storage;
use hf_hub::api::RepoInfo;
use hf_hub::{Cache, Repo, RepoType};
use std::path::PathBuf;
use ureq::http::Method;

/// A list of files is not longer: a million names.
const LONGEST_LIST: u64 = 256 << 20;

/// The hub as the environment describes it.
pub(crate) struct Client {
    pub(super) settings: Settings,
    pub(super) cache: Cache,
    transport: Transport,
}

/// What the server says of a file before it sends it. Its names are checked: they can be parts of paths.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) commit: String,
    pub(super) etag: String,
    /// `None` where the server does not say.
    pub(super) size: Option<u64>,
    /// The SHA-256 of a file in large file storage, which the hub gives as its `x-linked-etag`.
    pub(super) sha256: Option<String>,
    /// What `If-Range` can say to the endpoint.
    pub(super) strong: Option<String>,
}

impl Client {
    /// Reads the environment; asks nobody.
    pub(crate) fn from_env() -> Result<Client> {
        let settings = Settings::read()?;
        Ok(Client { cache: settings.cache.clone(), transport: Transport::new(&settings)?, settings })
    }

    /// Whether only the cache may be used.
    pub(crate) fn offline(&self) -> bool {
        self.settings.offline.is_some()
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The cache's folder of a repository.
    pub(super) fn folder(&self, handle: &Repo) -> PathBuf {
        self.cache.path().join(handle.folder_name())
    }

    /// Where notes about the repository lie: in the hub's home, beside the cache, which belongs to `huggingface_hub` too.
    pub(super) fn notes(&self, handle: &Repo) -> PathBuf {
        self.settings.home.join("wider-clip").join(handle.folder_name())
    }

    /// The cache's folder for the revision, as it was when it was last asked for.
    pub(crate) fn snapshot(&self, handle: &Repo) -> PathBuf {
        let folder = self.folder(handle);
        super::model::snapshot(&folder, &super::model::cached_commit(&folder, handle.revision()))
    }

    /// The commit that the cache has for the revision of `handle`.
    pub(crate) fn cached_commit(&self, handle: &Repo) -> String {
        super::model::cached_commit(&self.folder(handle), handle.revision())
    }

    /// Notes in the cache, for this program and others, which commit the revision is. A cache that is not ours to write stays
    /// as it is.
    pub(crate) fn write_ref(&self, handle: &Repo, commit: &str) -> Result<()> {
        let place = self.folder(handle).join("refs").join(handle.revision());
        let known = std::fs::read_to_string(&place).is_ok_and(|known| known.trim() == commit);
        if known || handle.revision() == commit {
            return Ok(());
        }
        match storage::write_atomic(&place, commit.as_bytes()) {
            Err(error) if error.is_refusal() => Ok(()),
            written => written,
        }
    }

    /// Keeps the names of all files of a commit, for when the hub cannot be asked.
    pub(crate) fn keep_names(&self, handle: &Repo, commit: &str, names: &[String]) {
        if let Ok(bytes) = serde_json::to_vec(names) {
            // Without it the cache itself is looked through.
            let _ = storage::write_atomic(&self.place_of_names(handle, commit), &bytes);
        }
    }

    /// The names that were kept.
    pub(crate) fn kept_names(&self, handle: &Repo, commit: &str) -> Option<Vec<String>> {
        serde_json::from_slice(&std::fs::read(self.place_of_names(handle, commit)).ok()?).ok()
    }

    fn place_of_names(&self, handle: &Repo, commit: &str) -> PathBuf {
        self.notes(handle).join(format!("files of {commit}.json"))
    }

    /// The endpoint for messages: without a user and a password.
    fn shown_endpoint(&self) -> String {
        match self.settings.endpoint.split_once("://").map(|(scheme, rest)| (scheme, rest.rsplit_once('@'))) {
            Some((scheme, Some((_, host)))) => format!("{scheme}://{host}"),
            _ => self.settings.endpoint.clone(),
        }
    }

    /// Where a file of a repository is.
    pub(super) fn address(&self, handle: &Repo, file: &str) -> String {
        let (repo, revision) = (names::quoted(&handle.url(), true), names::quoted(handle.revision(), false));
        format!("{}/{repo}/resolve/{revision}/{}", self.settings.endpoint, names::quoted(file, true))
    }

    /// The commit and the files of a repository at the revision of `handle`.
    ///
    /// # Errors
    /// [`Error::Download`] that tells apart a repository that is not there or closed, a revision that is not there, and
    /// a server that is not reached.
    pub(crate) fn info(&self, handle: &Repo) -> Result<RepoInfo> {
        names::check_handle(handle)?;
        self.transport.patiently(|| (self.list(handle), false)).map_err(|fault| match fault.code() {
            Some(404) if handle.revision() != "main" && self.has_main(handle) => Error::Download {
                from: from(handle, ""),
                reason: "the repository is there, the revision is not".into(),
                advice: format!(
                    "Look at {}/{}/commits for branches, tags and commits",
                    self.shown_endpoint(),
                    handle.url()
                ),
            },
            _ => self.failed(handle, "", fault),
        })
    }

    fn list(&self, handle: &Repo) -> Result<RepoInfo, Fault> {
        let url = handle.url();
        let (kind, name) = url.strip_prefix("datasets/").map_or(("models", url.as_str()), |name| ("datasets", name));
        let (name, revision) = (names::quoted(name, true), names::quoted(handle.revision(), false));
        let address = format!("{}/api/{kind}/{name}/revision/{revision}", self.settings.endpoint);
        let mut reply = self.answered(self.question(address, Method::GET))?;
        let host = reply.origin.to_string();
        let page = is_page(reply.response.headers());
        let link = reply
            .response
            .headers()
            .get(ureq::http::header::LINK)
            .and_then(|link| link.to_str().ok())
            .unwrap_or_default();
        if link.contains("rel=\"next\"") {
            return Err(Fault::answer(format!("expected the whole list of files from {host}, found one page of it")));
        }
        let body = reply.response.body_mut().with_config().limit(LONGEST_LIST);
        let bytes = body.read_to_vec().map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(limit) => {
                Fault::answer(format!("the list of files of {host} has more than {limit} bytes"))
            }
            error => Fault::new(Kind::Network(None), format!("the list of files of {host} broke off: {error}")),
        })?;
        let info: RepoInfo = serde_json::from_slice(&bytes).map_err(|error| match page {
            true => Fault::page(&host),
            false => Fault::answer(format!("expected a list of files from {host}, found no such JSON: {error}")),
        })?;
        match names::commit(&info.sha) {
            Some(sha) => Ok(RepoInfo { sha, ..info }),
            None => Err(Fault::answer(format!("the server answers for commit `{}`", names::shown(&info.sha)))),
        }
    }

    /// Whether the repository answers for its main branch.
    pub(super) fn has_main(&self, handle: &Repo) -> bool {
        self.list(&at(handle, "main")).is_ok()
    }

    fn question(&self, address: String, method: Method) -> Ask {
        let patience = self.transport.patience[0];
        // A list of a million names takes its time, and not for ever.
        let body = Some(patience * 30);
        Ask {
            address,
            method,
            range: None,
            if_range: None,
            if_range_everywhere: false,
            stop_outside: false,
            patience,
            body,
        }
    }

    /// An answer with a status of success, or the redirect that ends the way.
    fn answered(&self, ask: Ask) -> Result<Reply, Fault> {
        let reply = self.transport.ask(&ask)?;
        match reply.response.status().as_u16() {
            200..=399 => Ok(reply),
            code => Err(Fault::status(&reply.origin.to_string(), reply.own, code, reply.response.headers())),
        }
    }

    /// Asks for length, hash and commit of a file.
    pub(super) fn announced(&self, handle: &Repo, file: &str) -> Result<Announced, Fault> {
        names::check_handle(handle)?;
        names::check_file(&handle.url(), file)?;
        self.transport.patiently(|| (self.announcement(handle, file), false))
    }

    fn announcement(&self, handle: &Repo, file: &str) -> Result<Announced, Fault> {
        let address = self.address(handle, file);
        let first = Ask { stop_outside: true, ..self.question(address.clone(), Method::HEAD) };
        // One byte, where the server says nothing without a body.
        let byte = Ask { range: Some("bytes=0-0".into()), ..self.question(address, Method::GET) };
        let reply = match self.answered(first) {
            Err(fault) if matches!(fault.code(), Some(405 | 501)) => self.one_byte(byte.clone())?,
            reply => reply?,
        };
        let host = reply.origin.to_string();
        let said = reply.said;
        let Some(commit) = said.commit else {
            return Err(match is_page(reply.response.headers()) {
                true => Fault::page(&host),
                false => Fault::answer(format!("the answer of {host} has no X-Repo-Commit: it is not that of a hub")),
            });
        };
        let Some(etag) = said.etag else {
            let endpoint = self.transport.endpoint();
            return Err(Fault::answer(format!("the answer of {endpoint} has no ETag, by which a file is known")));
        };
        // Some servers give an answer without a body the length 0.
        let size = match said.size.or_else(|| whole(&reply.response)).filter(|&size| size > 0) {
            None => self.one_byte(byte).ok().and_then(|reply| whole(&reply.response)),
            size => size,
        };
        let sha256 = etag.to_ascii_lowercase();
        let sha256 = super::verify::is_sha256(&sha256).then_some(sha256);
        Ok(Announced { commit, etag, size, sha256, strong: said.strong })
    }

    /// Like [`Client::answered`]; that there is no byte 0 is an answer too.
    fn one_byte(&self, ask: Ask) -> Result<Reply, Fault> {
        let reply = self.transport.ask(&ask)?;
        match reply.response.status().as_u16() {
            200..=399 | 416 => Ok(reply),
            code => Err(Fault::status(&reply.origin.to_string(), reply.own, code, reply.response.headers())),
        }
    }

    /// What went wrong while `file` (or, if empty, the file list) of a repository was asked for, and what to do.
    pub(super) fn failed(&self, handle: &Repo, file: &str, fault: Fault) -> Error {
        let page = format!("{}/{}", self.shown_endpoint(), handle.url());
        let (token, limit) = match &self.settings.token {
            Token::None if environment::is_true(environment::NO_TOKEN) => (
                format!("unset {}, which keeps your token back", environment::NO_TOKEN),
                "your token is kept back: who is known may ask more often",
            ),
            Token::None => (
                "set HF_TOKEN to a token of yours".to_string(),
                "set HF_TOKEN to a token of yours: who is known may ask more often",
            ),
            Token::Bearer(_, place) => (
                format!("the token of {place} must be valid and belong to who was granted access"),
                "the token's owner has used up the limit",
            ),
            Token::Unusable(..) => (String::new(), ""),
        };
        let here = "Check HF_ENDPOINT and the network: sign in to it, or let this address through";
        let Fault { kind, reason, .. } = fault;
        let (reason, advice) = match kind {
            Kind::Here(error) => return *error,
            Kind::Status(code @ (401 | 403)) => (
                format!("no access (status {code}): there is no such repository, or it is private or gated"),
                format!("Check the name; if {page} asks for consent, give it there, and {token}"),
            ),
            Kind::Status(404) if file.is_empty() => (
                "no such repository (status 404)".into(),
                format!("Check the name, and the revision. If it is private, {token}. A mirror goes in HF_ENDPOINT"),
            ),
            Kind::Status(404) => {
                ("no such file there (status 404)".into(), format!("Look at {page}/tree/{}", handle.revision()))
            }
            Kind::Status(_) => (reason, "Try again later, or name a mirror in HF_ENDPOINT".into()),
            Kind::Elsewhere => {
                (reason, format!("{} leads there for the file. Run it again, or try later", self.transport.endpoint()))
            }
            Kind::Limit => (reason, format!("Wait, and run it again: a download goes on where it stopped; or {limit}")),
            Kind::Network(proxy) => {
                let proxy = proxy.map_or_else(String::new, |variable| format!(" and the proxy that {variable} names"));
                let advice = format!(
                    "Run it again: a download goes on where it stopped. Check the network{proxy}; a mirror goes in \
                     HF_ENDPOINT; HF_HUB_OFFLINE=1 uses what the cache holds"
                );
                (reason, advice)
            }
            Kind::Page => (reason, here.into()),
            Kind::Answer => {
                (reason, "Check the mirror in HF_ENDPOINT, or what stands between it and this machine".into())
            }
            Kind::Token(place) => {
                let advice =
                    "Copy the token again, whole and alone; or set HF_HUB_DISABLE_IMPLICIT_TOKEN=1 to send none";
                return Error::Download { from: place, reason, advice: advice.into() };
            }
            Kind::Changed => (reason, "Run it again".into()),
            Kind::Full => (reason, "Free some, or set HF_HOME to a folder on a larger disk".into()),
        };
        Error::Download { from: from(handle, file), reason, advice }
    }

    /// The error for a file that only a download could give.
    pub(super) fn not_cached(&self, handle: &Repo, files: &str) -> Error {
        let variable = self.settings.offline.unwrap_or("HF_HUB_OFFLINE");
        Error::Download {
            from: from(handle, files),
            reason: format!("not in the cache {}, and {variable} is set", self.folder(handle).display()),
            advice: format!(
                "Unset {variable} to download {files}; or set HF_HOME to a cache that holds it; or run `hf download \
                 {} {} --revision {}` where there is a network and copy the folder",
                handle.url().trim_start_matches("datasets/"),
                files.split(' ').next().unwrap_or_default(),
                handle.revision()
            ),
        }
    }
}

/// The length of the whole file that an answer states: all of it, or a part of it by `Content-Range`.
fn whole(response: &ureq::http::Response<ureq::Body>) -> Option<u64> {
    match response.status().as_u16() {
        200 => length(response.headers()),
        206 | 416 => super::range::of(response.headers()).1,
        _ => None,
    }
}

/// The same repository at another revision.
pub(super) fn at(handle: &Repo, revision: &str) -> Repo {
    let url = handle.url();
    match url.strip_prefix("datasets/") {
        Some(name) => Repo::with_revision(name.into(), RepoType::Dataset, revision.into()),
        None => Repo::with_revision(url, RepoType::Model, revision.into()),
    }
}

/// A file of a repository in words.
pub(super) fn from(handle: &Repo, file: &str) -> String {
    let name = handle.url();
    let name = name.trim_start_matches("datasets/");
    let slash = if file.is_empty() { "" } else { "/" };
    format!("{name}{slash}{file} at revision {}", handle.revision())
}
