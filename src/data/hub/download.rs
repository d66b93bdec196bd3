//! One file into the hub's cache, whole and as the server announced it.
//!
//! A download is written to `<etag>.part` beside the blob, goes on there after a broken connection or a kill, and is
//! renamed once it is whole. Whoever downloads holds the lock that Python's client takes for the same file.

use super::client::{Announced, Client, from};
use super::fault::{Again, Fault, Kind};
use super::transport::{Ask, is_page, length};
use super::{names, place, range, verify};
use crate::error::{Error, Result};
use crate::progress::{Progress, thousands};
use crate::storage::{self, FolderLock};
use hf_hub::Repo;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use ureq::http::Method;

/// An attempt that brought so many bytes is no failed one, where it was told how many there are.
const GOT_ON: u64 = 8 << 20;
/// Bytes that are taken of a file whose length nobody tells: more than any that is fetched here.
const LONGEST_UNTOLD: u64 = 16 << 30;

impl Client {
    /// The file of a commit in the cache, downloaded if it is not there; `handle` is at the revision that the commit was found
    /// under. One whose content is another than its name in the cache says is an error.
    pub(crate) fn obtain_of(&self, handle: &Repo, commit: &str, file: &str) -> Result<PathBuf> {
        names::check_handle(handle)?;
        names::check_file(&handle.url(), file)?;
        let path = super::model::snapshot(&self.folder(handle), commit).join(file);
        if path.is_file() {
            super::model::check_content(self, handle, file, &path)?;
            return Ok(path);
        }
        if self.offline() {
            return Err(self.not_cached(handle, file));
        }
        let fixed = super::client::at(handle, commit);
        let announced = self.announced(&fixed, file).map_err(|fault| self.failed(&fixed, file, fault))?;
        super::model::same_commit(&fixed, file, &announced.commit)?;
        self.download(&fixed, file, &announced)
    }

    /// Downloads an announced file. Length and, where it was announced, hash are those announced, or it is not kept.
    /// What an earlier attempt left is gone on with, and thrown away if the result is wrong.
    pub(super) fn download(&self, handle: &Repo, file: &str, announced: &Announced) -> Result<PathBuf> {
        names::check_file(&handle.url(), file)?;
        let (folder, notes) = (self.folder(handle), self.notes(handle));
        let pointer = super::model::snapshot(&folder, &announced.commit).join(file);
        if pointer.is_file() {
            return Ok(pointer);
        }
        place::tag(self.cache.path());
        let _lock = self.lock(handle, file, &announced.etag)?;
        if pointer.is_file() {
            return Ok(pointer);
        }
        // A link whose blob is gone would be in the way.
        remove(&pointer)?;
        let blob = folder.join("blobs").join(&announced.etag);
        if blob.exists() {
            // Another revision's, perhaps of another program. Only a hash tells that it is whole.
            if announced.sha256.is_some() && wrong(&blob, announced)?.is_none() {
                place::link(&blob, &pointer, self.settings.links, false)?;
                return self.placed(pointer, announced, &notes);
            }
        }
        let partial = blob.with_file_name(format!("{}.part", announced.etag));
        loop {
            let have = prepare(&partial, announced)?;
            if announced.size != Some(have) || have == 0 {
                self.receive(handle, file, announced, &partial).map_err(|fault| match fault.kind {
                    Kind::Full => full(handle, file, announced.size, &partial),
                    _ => self.failed(handle, file, fault),
                })?;
            }
            let Some(reason) = wrong(&partial, announced)? else { break };
            remove(&partial)?;
            if have == 0 {
                let advice = "It was not kept. Run it again; if that happens again, the server (or the mirror in \
                              HF_ENDPOINT) sends a wrong file";
                return Err(Error::Download { from: from(handle, file), reason, advice: advice.into() });
            }
        }
        // A link of another revision may lead to it.
        let is_new = !blob.exists();
        fs::rename(&partial, &blob).map_err(Error::io(&blob, "renaming into place"))?;
        place::link(&blob, &pointer, self.settings.links, is_new)?;
        self.placed(pointer, announced, &notes)
    }

    /// A file that was just hashed is not hashed again.
    fn placed(&self, pointer: PathBuf, announced: &Announced, notes: &Path) -> Result<PathBuf> {
        if let Some(sha256) = &announced.sha256 {
            verify::remember(&pointer, notes, sha256)?;
        }
        Ok(pointer)
    }

    /// The lock that all programs take that download this file into this cache.
    fn lock(&self, handle: &Repo, file: &str, etag: &str) -> Result<FolderLock> {
        let folder = self.cache.path().join(".locks").join(handle.folder_name());
        FolderLock::named(&folder, &format!("{etag}.lock"), || {
            wider_clip_numbers::say!("waiting for another process that downloads {}", from(handle, file));
        })
    }

    /// Completes `partial`, in as many attempts as make sense.
    fn receive(&self, handle: &Repo, file: &str, announced: &Announced, partial: &Path) -> Result<(), Fault> {
        let mut meter = Meter { label: format!("downloading {}", from(handle, file)), progress: None, total: None };
        // Of all attempts: one that begins anew has not got on before it has more than any other had.
        let mut longest = length_of(partial);
        self.transport().patiently(|| {
            let done = self.attempt(handle, file, announced, partial, &mut meter);
            let length = length_of(partial);
            let got_on = length.saturating_sub(longest) >= GOT_ON;
            longest = longest.max(length);
            (done, got_on && meter.total.is_some())
        })?;
        if let Some(progress) = meter.progress.take() {
            progress.finish();
        }
        Ok(())
    }

    /// Asks for what `partial` lacks, and writes what comes.
    fn attempt(
        &self,
        handle: &Repo,
        file: &str,
        announced: &Announced,
        partial: &Path,
        meter: &mut Meter,
    ) -> Result<(), Fault> {
        let mut have = length_of(partial);
        let ask = Ask {
            address: self.address(handle, file),
            method: Method::GET,
            range: (have > 0).then(|| format!("bytes={have}-")),
            if_range: announced.strong.clone().filter(|_| have > 0),
            if_range_everywhere: false,
            stop_outside: false,
            patience: self.transport().patience[1],
            body: None,
        };
        let mut reply = self.transport().ask(&ask)?;
        let (start, whole) = range::of(reply.response.headers());
        let goes_on = have > 0 && reply.response.status() == 206 && start == Some(have);
        if have > 0 && !goes_on {
            // The answer is the whole file, or a part that does not fit: then it is asked for anew.
            have = 0;
            if matches!(reply.response.status().as_u16(), 206 | 416) {
                reply = self.transport().ask(&Ask { range: None, if_range: None, ..ask })?;
            }
        }
        let host = reply.origin.to_string();
        let headers = reply.response.headers();
        match reply.response.status().as_u16() {
            200 | 206 if goes_on || start.is_none_or(|start| start == 0) => {}
            code @ 200..=399 => return Err(Fault::answer(format!("{host} answered with status {code} and no file"))),
            code => return Err(Fault::status(&host, reply.own, code, headers)),
        }
        let changed = |said: &Option<String>, was: &str| said.as_ref().is_some_and(|said| said != was);
        if changed(&reply.said.etag, &announced.etag) || changed(&reply.said.commit, &announced.commit) {
            let reason = "the file changed on the server between the announcement and the download";
            return Err(Fault::new(Kind::Changed, reason));
        }
        if let Some(packed) =
            headers.get("content-encoding").filter(|value| !matches!(value.as_bytes(), b"identity" | b""))
        {
            let packed = names::shown(&String::from_utf8_lossy(packed.as_bytes()));
            return Err(Fault::answer(format!("{host} packs the file (`{packed}`), though it was asked not to")));
        }
        let total = length(headers).map(|length| length + have).or(if goes_on { whole } else { None });
        if let (Some(expected), Some(found)) = (announced.size, total)
            && expected != found
        {
            return Err(match is_page(headers) {
                true => Fault::page(&host),
                false => Fault::answer(format!("expected {expected} bytes as announced, found {found} at {host}")),
            });
        }
        let framed = reply.response.body().content_length().is_some() || headers.contains_key("transfer-encoding");
        let ended = total.is_some() || framed || announced.size.is_some();
        if !ended && announced.sha256.is_none() {
            return Err(Fault::answer(format!(
                "{host} says neither length nor hash of the file, so that its end is not known"
            )));
        }
        let most = announced.size.or(total);
        meter.start(most, have);
        let out = File::options().create(true).write(true).append(goes_on).truncate(!goes_on).open(partial);
        let out = out.map_err(|error| written(error, partial))?;
        copy(reply.response.body_mut().as_reader(), out, partial, &host, have, most, meter, ask_seconds(self))
    }
}

/// How long a silence may last, in words.
fn ask_seconds(client: &Client) -> String {
    crate::progress::duration(client.transport().patience[1].as_secs_f64())
}

/// Writes a body to its end, or to one byte past `most`.
#[allow(clippy::too_many_arguments)]
fn copy(
    mut body: impl Read,
    mut out: File,
    partial: &Path,
    host: &str,
    mut have: u64,
    most: Option<u64>,
    meter: &Meter,
    patience: String,
) -> Result<(), Fault> {
    let of = most.map_or_else(String::new, |most| format!(" of {most}"));
    let mut piece = vec![0u8; 1 << 20];
    loop {
        let n = match body.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) => {
                let why = match silent(&error) {
                    true => format!("nothing came for {patience}"),
                    false => error.to_string(),
                };
                // What cannot be unpacked or read is of no use to a next attempt.
                if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput) {
                    out.set_len(0).map_err(|error| written(error, partial))?;
                }
                let reason = format!("the transfer from {host} broke off after {have}{of} bytes: {why}");
                return Err(Fault::new(Kind::Network(None), reason));
            }
        };
        out.write_all(&piece[..n]).map_err(|error| written(error, partial))?;
        have += n as u64;
        meter.advance(n);
        if have > most.unwrap_or(LONGEST_UNTOLD) {
            out.set_len(0).map_err(|error| written(error, partial))?;
            let told = match most {
                Some(most) => format!("the {most} bytes that it announced"),
                None => format!("{} bytes, and does not say how many there are", thousands(LONGEST_UNTOLD as usize)),
            };
            return Err(Fault::answer(format!("{host} sends more than {told}")));
        }
    }
    match out.sync_all() {
        // A device has nothing to flush.
        Err(error) if error.kind() != ErrorKind::InvalidInput => Err(written(error, partial)),
        _ => Ok(()),
    }
}

/// Whether an error of reading is that nothing came.
fn silent(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    matches!(inner, Some(ureq::Error::Timeout(_)))
        || matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// The fault for bytes that could not be kept.
fn written(error: io::Error, partial: &Path) -> Fault {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault { again: Again::No, ..Fault::new(Kind::Full, "") },
        _ => Fault::from(Error::io(partial, "writing")(error)),
    }
}

fn length_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Makes what an earlier attempt left ready to go on with, and gives its length.
///
/// Without an announced hash a wrong start would not be noticed, so there the download starts anew.
fn prepare(partial: &Path, announced: &Announced) -> Result<u64> {
    let folder = partial.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
    let have = length_of(partial);
    if have == 0 || (announced.sha256.is_some() && announced.size.is_none_or(|size| have <= size)) {
        return Ok(have);
    }
    remove(partial)?;
    Ok(0)
}

/// In what a file differs from its announcement.
fn wrong(path: &Path, announced: &Announced) -> Result<Option<String>> {
    let found = fs::metadata(path).map_err(Error::io(path, "reading"))?.len();
    if let Some(size) = announced.size.filter(|&size| size != found) {
        return Ok(Some(format!("{found} of {size} bytes arrived")));
    }
    let Some(expected) = &announced.sha256 else { return Ok(None) };
    let found = storage::sha256_file(path)?;
    Ok((found != *expected).then(|| format!("expected SHA-256 {expected}, found {found} of what arrived")))
}

/// The error for a disk that is full, with what is needed and where.
fn full(handle: &Repo, file: &str, size: Option<u64>, partial: &Path) -> Error {
    let have = length_of(partial);
    let folder = partial.parent().unwrap_or(partial).display();
    let number = |n: u64| thousands(n as usize);
    let (file_has, free) = match size {
        Some(size) => (format!("the file has {} bytes", number(size)), number(size.saturating_sub(have)) + " bytes"),
        None => ("the server does not say how long the file is".into(), "space".into()),
    };
    Error::Download {
        from: from(handle, file),
        reason: format!("no space left in {folder}: {file_has}, {} of them arrived", number(have)),
        advice: format!("Free {free} there and run it again, or set HF_HOME to a folder on a larger disk"),
    }
}

/// Removes a file or a link; it is no error if there is none.
fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::io(path, "removing")(source)),
        _ => Ok(()),
    }
}

/// The progress of all attempts at one file.
struct Meter {
    label: String,
    progress: Option<Progress>,
    /// Bytes of the file, as they were told last.
    total: Option<u64>,
}

impl Meter {
    fn start(&mut self, total: Option<u64>, have: u64) {
        self.total = total;
        self.progress = Some(Progress::new(self.label.clone(), "bytes", total.unwrap_or(0) as usize, have as usize));
    }

    fn advance(&self, n: usize) {
        if let Some(progress) = &self.progress {
            progress.advance(n);
        }
    }
}
