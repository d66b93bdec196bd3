//! The client that the environment describes, and what its errors mean.

use crate::error::{Error, Result};
use hf_hub::api::RepoInfo;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, Repo, RepoType};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const HUB: &str = "https://huggingface.co";

/// The hub's cache on this machine: `hub` in the folder that `HF_HOME` names, else in `~/.cache/huggingface`.
pub fn cache() -> Cache {
    match std::env::var_os("HF_HOME") {
        Some(home) if !home.is_empty() => Cache::new(PathBuf::from(home).join("hub")),
        _ => Cache::default(),
    }
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_string()).filter(|value| !value.is_empty())
}

/// The hub as the environment describes it.
pub(crate) struct Client {
    pub(super) api: Api,
    pub(super) cache: Cache,
    endpoint: String,
    offline: bool,
    token: bool,
}

impl Client {
    /// Reads the environment; asks nobody.
    pub(crate) fn from_env() -> Result<Client> {
        let cache = cache();
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| HUB.into()).trim_end_matches('/').to_string();
        let token = variable("HF_TOKEN").or_else(|| cache.token());
        let offline = variable("HF_HUB_OFFLINE")
            .is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off"));
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(endpoint.clone())
            .with_token(token.clone())
            .with_progress(false)
            .with_retries(3)
            .build()
            .map_err(|error| Error::Download {
                from: endpoint.clone(),
                reason: error.to_string(),
                advice: "Check HF_ENDPOINT and HF_TOKEN".into(),
            })?;
        Ok(Client { api, cache, endpoint, offline, token: token.is_some() })
    }

    /// Whether only the cache may be used.
    pub(crate) fn offline(&self) -> bool {
        self.offline
    }

    /// The cache's folder of a repository.
    pub(super) fn folder(&self, handle: &Repo) -> PathBuf {
        self.cache.path().join(handle.folder_name())
    }

    /// Where notes about the repository lie: beside the cache, which belongs to `huggingface_hub` too.
    pub(super) fn notes(&self, handle: &Repo) -> PathBuf {
        self.cache.path().parent().unwrap_or(Path::new("")).join("wider-clip").join(handle.folder_name())
    }

    /// The commit and the files of a repository at the revision of `handle`.
    ///
    /// # Errors
    /// [`Error::Download`] that tells apart a repository that is not there or closed, a revision that is not there, and
    /// a server that is not reached.
    pub(crate) fn info(&self, handle: &Repo) -> Result<RepoInfo> {
        self.repository(handle).info().map_err(|error| match status(&error) {
            Some(404) if handle.revision() != "main" && self.has_main(handle) => Error::Download {
                from: from(handle, ""),
                reason: "the repository is there, the revision is not".into(),
                advice: format!("Look at {}/{}/commits for branches, tags and commits", self.endpoint, handle.url()),
            },
            _ => self.failed(handle, "", &error),
        })
    }

    /// Whether the repository answers for its main branch.
    pub(super) fn has_main(&self, handle: &Repo) -> bool {
        self.api.repo(at(handle, "main")).info().is_ok()
    }

    pub(super) fn repository(&self, handle: &Repo) -> ApiRepo {
        self.api.repo(handle.clone())
    }

    /// What went wrong while `file` (or, if empty, the file list) of a repository was asked for, and what to do.
    pub(super) fn failed(&self, handle: &Repo, file: &str, error: &ApiError) -> Error {
        let page = format!("{}/{}", self.endpoint, handle.url());
        let token = match self.token {
            true => "the token of HF_TOKEN must be valid and belong to who was granted access",
            false => "set HF_TOKEN to a token of yours",
        };
        let (reason, advice) = match status(error) {
            Some(code @ (401 | 403)) => (
                format!("no access (status {code}): there is no such repository, or it is private or gated"),
                format!("Check the name; if {page} asks for consent, give it there, and {token}"),
            ),
            Some(404) if file.is_empty() => (
                "no such repository (status 404)".into(),
                format!("Check the name, and the revision. If it is private, {token}. A mirror goes in HF_ENDPOINT"),
            ),
            Some(404) => {
                ("no such file there (status 404)".into(), format!("Look at {page}/tree/{}", handle.revision()))
            }
            Some(code) => (
                format!("{} answered with status {code}", self.endpoint),
                "Try again later, or name a mirror in HF_ENDPOINT".into(),
            ),
            None if matches!(error, ApiError::LockAcquisition(_)) => (
                format!("another program is downloading it ({error})"),
                "Wait until it is done and run this again".into(),
            ),
            None => (
                format!("{} was not reached, or the transfer broke off: {error}", self.endpoint),
                "Run it again: a download goes on where it stopped. Check the network; a mirror goes in HF_ENDPOINT; \
                 HF_HUB_OFFLINE=1 uses what the cache holds"
                    .into(),
            ),
        };
        Error::Download { from: from(handle, file), reason, advice }
    }

    /// The error for a file that only a download could give.
    pub(super) fn not_cached(&self, handle: &Repo, files: &str) -> Error {
        Error::Download {
            from: from(handle, files),
            reason: format!("not in the cache {}, and HF_HUB_OFFLINE is set", self.folder(handle).display()),
            advice: format!(
                "Unset HF_HUB_OFFLINE to download {files}; or set HF_HOME to a cache that holds it; or run `hf download \
                 {} {} --revision {}` where there is a network and copy the folder",
                handle.url().trim_start_matches("datasets/"),
                files.split(' ').next().unwrap_or_default(),
                handle.revision()
            ),
        }
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

/// The status that the server answered with, if that is the error.
pub(super) fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(code) => Some(code),
            _ => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}

/// Whether the disk (or the quota) was full.
pub(super) fn is_full(error: &ApiError) -> bool {
    match error {
        ApiError::IoError(error) => matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded),
        ApiError::TooManyRetries(error) => is_full(error),
        _ => false,
    }
}
