//! One file into the hub's cache, whole and as the server announced it.

use super::client::{Client, from, is_full};
use super::verify;
use crate::error::{Error, Result};
use crate::progress::{Progress, thousands};
use crate::storage;
use hf_hub::Repo;
use hf_hub::api::sync::{ApiError, Metadata};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What the server says of a file before it sends it.
pub(super) struct Announced {
    metadata: Metadata,
    pub(super) size: u64,
    /// The SHA-256 of a file in large file storage, which the hub gives as its `x-linked-etag`.
    pub(super) sha256: Option<String>,
}

impl Announced {
    /// The commit that the file is from.
    pub(super) fn commit(&self) -> &str {
        self.metadata.commit_hash()
    }
}

impl Client {
    /// The file in the cache, downloaded if it is not there.
    pub(crate) fn obtain(&self, handle: &Repo, file: &str) -> Result<PathBuf> {
        if let Some(path) = self.cache.repo(handle.clone()).get(file) {
            return Ok(path);
        }
        match self.offline() {
            true => Err(self.not_cached(handle, file)),
            false => {
                let announced = self.announced(handle, file).map_err(|error| self.failed(handle, file, &error))?;
                self.download(handle, file, &announced)
            }
        }
    }

    /// Asks for length, hash and commit of a file.
    pub(super) fn announced(&self, handle: &Repo, file: &str) -> Result<Announced, ApiError> {
        let metadata = self.api.metadata(&self.repository(handle).url(file))?;
        let sha256 = verify::is_sha256(metadata.etag()).then(|| metadata.etag().to_string());
        Ok(Announced { size: metadata.size() as u64, sha256, metadata })
    }

    /// Downloads an announced file. Length and, where it was announced, hash are those announced, or it is not kept.
    /// What an earlier attempt left is gone on with, and thrown away if the result is wrong.
    pub(super) fn download(&self, handle: &Repo, file: &str, announced: &Announced) -> Result<PathBuf> {
        let notes = self.notes(handle);
        let waiting = || wider_clip_numbers::say!("waiting for another process that downloads {}", from(handle, file));
        let _lock = storage::FolderLock::acquire(&notes, waiting)?;
        let cached = self.cache.repo(handle.clone());
        let pointer = cached.pointer_path(announced.commit()).join(file);
        if pointer.exists() {
            return Ok(pointer);
        }
        // A link whose blob is gone would be in the way.
        remove(&pointer)?;
        let blob = cached.blob_path(announced.metadata.etag());
        let mut partial = blob.clone();
        partial.set_extension("part");
        loop {
            let have = prepare(&partial, announced)?;
            let meter = Meter { label: format!("downloading {}", from(handle, file)), total: 0, progress: None };
            let path =
                self.repository(handle).download_with_progress(file, meter).map_err(|error| match is_full(&error) {
                    true => full(handle, file, announced.size, &partial),
                    false => self.failed(handle, file, &error),
                })?;
            let Some((reason, resumed)) = wrong(&path, announced, &notes)?.map(|reason| (reason, have > 0)) else {
                return Ok(path);
            };
            remove(&path)?;
            remove(&blob)?;
            if !resumed {
                let advice = "It was not kept. Run it again; if that happens again, the server (or the mirror in \
                              HF_ENDPOINT) sends a wrong file";
                return Err(Error::Download { from: from(handle, file), reason, advice: advice.into() });
            }
        }
    }
}

/// Makes what an earlier attempt left ready to go on with, and gives its length.
///
/// Without an announced hash a wrong start would not be noticed, so there the download starts anew. Of a start that is
/// whole, the last byte is fetched again, since hf-hub always asks for the rest and a server refuses to send none.
fn prepare(partial: &Path, announced: &Announced) -> Result<u64> {
    let have = fs::metadata(partial).map_or(0, |metadata| metadata.len());
    if have < announced.size && (have == 0 || announced.sha256.is_some()) {
        return Ok(have);
    }
    if have == announced.size && announced.sha256.is_some() && have > 0 {
        let file = fs::File::options().write(true).open(partial).map_err(Error::io(partial, "opening"))?;
        file.set_len(have - 1).map_err(Error::io(partial, "shortening"))?;
        return Ok(have - 1);
    }
    remove(partial)?;
    Ok(0)
}

/// In what a file differs from its announcement.
fn wrong(path: &Path, announced: &Announced, notes: &Path) -> Result<Option<String>> {
    let size = fs::metadata(path).map_err(Error::io(path, "reading"))?.len();
    if size != announced.size {
        return Ok(Some(format!("{size} of {} bytes arrived", announced.size)));
    }
    let Some(expected) = &announced.sha256 else { return Ok(None) };
    let (_, found) = verify::size_and_sha256(path, notes)?;
    Ok((found != *expected).then(|| format!("expected SHA-256 {expected}, found {found} of what arrived")))
}

/// The error for a disk that is full, with what is needed and where.
fn full(handle: &Repo, file: &str, size: u64, partial: &Path) -> Error {
    let have = fs::metadata(partial).map_or(0, |metadata| metadata.len());
    let folder = partial.parent().unwrap_or(partial).display();
    let [size, have, missing] = [size, have, size.saturating_sub(have)].map(|n| thousands(n as usize));
    Error::Download {
        from: from(handle, file),
        reason: format!("no space left in {folder}: the file has {size} bytes, {have} of them arrived"),
        advice: format!("Free {missing} bytes there and run it again, or set HF_HOME to a folder on a larger disk"),
    }
}

/// Removes a file or a link; it is no error if there is none.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::io(path, "removing")(source)),
        _ => Ok(()),
    }
}

/// hf-hub's progress as the crate's: `init` and `update` with what is there come first, before every attempt.
struct Meter {
    label: String,
    total: usize,
    progress: Option<Progress>,
}

impl hf_hub::api::Progress for Meter {
    fn init(&mut self, size: usize, _: &str) {
        (self.total, self.progress) = (size, None);
    }

    fn update(&mut self, n: usize) {
        match &mut self.progress {
            Some(progress) => progress.advance(n),
            None => self.progress = Some(Progress::new(self.label.clone(), "bytes", self.total, n)),
        }
    }

    fn finish(&mut self) {
        if let Some(progress) = self.progress.take() {
            progress.finish();
        }
    }
}
