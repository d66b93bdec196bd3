//! One archive from a data set's owner, in as many attempts as it takes.
//!
//! While a file comes it is `<file>.part`, and `<file>.part.of` says which file on the server that is: its address, its
//! `ETag` or else the time of its last change, its length. Where the file there is another one by now, the next attempt
//! starts anew instead of joining two halves of different files.

use super::archive::{address_id, by_hand, failed, has_checksum, remove};
use crate::error::{Error, Result};
use crate::hub::{content_range, offline};
use crate::manifest::Download;
use crate::progress::Progress;
use crate::storage;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::Body;
use ureq::http::Response;

/// How often a server that is busy or ails is asked, and how long it may have us wait.
const TRIES: u32 = 4;
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which file a `.part` is of.
#[derive(Debug, Default, PartialEq)]
struct Origin {
    address: String,
    /// What `If-Range` can say; empty where the server gave nothing that can.
    validator: String,
    /// Empty where the server did not say.
    length: String,
}

impl Origin {
    fn place(partial: &Path) -> PathBuf {
        partial.with_extension("part.of")
    }

    fn read(partial: &Path) -> Option<Origin> {
        let text = fs::read_to_string(Origin::place(partial)).ok()?;
        let mut lines = text.lines().map(String::from);
        let mut next = || lines.next().unwrap_or_default();
        Some(Origin { address: next(), validator: next(), length: next() })
    }

    fn write(&self, partial: &Path) -> Result<()> {
        let text = format!("{}\n{}\n{}\n", self.address, self.validator, self.length);
        storage::write_atomic(&Origin::place(partial), text.as_bytes())
    }

    /// What an answer says of the file that it begins.
    fn of(download: &Download, response: &Response<Body>, total: Option<u64>) -> Origin {
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        // A weak ETag says that two files mean the same, not that their bytes are the same.
        let validator = header("etag").filter(|etag| etag.starts_with('"')).or_else(|| header("last-modified"));
        Origin {
            address: address_id(download),
            validator: validator.unwrap_or_default().into(),
            length: total.map_or_else(String::new, |total| total.to_string()),
        }
    }
}

/// Downloads to `file`, going on where an earlier attempt stopped.
pub(super) fn fetch(download: &Download, file: &Path) -> Result<()> {
    let partial = file.with_file_name(format!("{}.part", download.file_name()));
    let mut have = fs::metadata(&partial).map_or(0, |metadata| metadata.len());
    let origin = Origin::read(&partial).filter(|_| have > 0);
    let elsewhere =
        origin.as_ref().is_some_and(|origin| origin.address != address_id(download)) && !has_checksum(download);
    if elsewhere || download.size.is_some_and(|size| have > size) {
        have = 0;
    }
    if have == 0 || download.size != Some(have) {
        receive(download, file, &partial, have, origin.filter(|origin| origin.address == address_id(download)))?;
    }
    fs::rename(&partial, file).map_err(Error::io(file, "renaming into place"))?;
    remove(&Origin::place(&partial))
}

/// Completes `partial`, of which `have` bytes are there. A server that does not go on from there starts anew.
fn receive(download: &Download, file: &Path, partial: &Path, have: u64, origin: Option<Origin>) -> Result<()> {
    let validator = origin.as_ref().map(|origin| origin.validator.as_str()).filter(|validator| !validator.is_empty());
    let mut response = request(download, file, have, validator)?;
    let (start, whole) = content_range(response.headers());
    // A file of another length is another file.
    let length = origin.as_ref().and_then(|origin| origin.length.parse::<u64>().ok());
    let same = length.is_none() || whole.is_none() || length == whole;
    if response.status() == 416 && whole == Some(have) && same {
        return Ok(());
    }
    let mut resumed = response.status() == 206 && start == Some(have) && same;
    if have > 0 && response.status() != 200 && !resumed {
        response = request(download, file, 0, None)?;
    }
    resumed &= have > 0;
    let mut have = if resumed { have } else { 0 };
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let length = header("content-length").and_then(|value| value.parse::<u64>().ok());
    let total = length.map(|length| length + have).or(whole.filter(|_| resumed)).or(download.size);
    if let (Some(expected), Some(found)) = (download.size, total)
        && expected != found
    {
        let reason = format!("expected {expected} bytes, found {found} on the server");
        return Err(failed(download, reason, by_hand("Correct address and size in the data set's manifest", file)));
    }
    // A packed body and one in chunks have an end of their own.
    let chunked = header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
    if total.is_none() && !chunked && !has_checksum(download) {
        let reason = "the server does not say how long the file is, so that one that breaks off would count as whole";
        let advice = by_hand("Give `size` or `sha256` in the data set's manifest", file);
        return Err(failed(download, reason.into(), advice));
    }
    let broken_off = |have: u64, why: String| {
        let of = total.map_or_else(String::new, |total| format!(" of {total}"));
        failed(download, format!("{have}{of} bytes arrived{why}"), "Run it again: it goes on where it stopped".into())
    };
    let mut out = File::options()
        .create(true)
        .write(true)
        .append(resumed)
        .truncate(!resumed)
        .open(partial)
        .map_err(Error::io(partial, "opening"))?;
    if !resumed {
        Origin::of(download, &response, total).write(partial)?;
    }
    let label = format!("downloading {}", download.file_name());
    let progress = Progress::new(label, "bytes", total.unwrap_or(0) as usize, have as usize);
    let mut body = response.body_mut().as_reader();
    let mut piece = vec![0u8; 1 << 20];
    loop {
        let n = body.read(&mut piece).map_err(|error| broken_off(have, format!(", then: {error}")))?;
        if n == 0 {
            break;
        }
        out.write_all(&piece[..n]).map_err(Error::io(partial, "writing"))?;
        have += n as u64;
        progress.advance(n);
    }
    progress.finish();
    out.sync_all().map_err(Error::io(partial, "flushing"))?;
    match total.is_some_and(|total| have != total) {
        true => Err(broken_off(have, String::new())),
        false => Ok(()),
    }
}

/// Asks for the bytes from `have` on, if the file is still the one that `validator` names; a server that is busy or ails is asked
/// again. An answer has status 200, 206 or, where `have` is not 0, 416, and is no page for people.
fn request(download: &Download, file: &Path, have: u64, validator: Option<&str>) -> Result<Response<Body>> {
    if let Some(variable) = offline() {
        return Err(failed(
            download,
            format!("not here, and {variable} is set"),
            by_hand(&format!("Unset {variable}"), file),
        ));
    }
    let mut tries = 1;
    loop {
        let response = ask(download, file, have, validator)?;
        let status = response.status();
        let taken = status == 200 || status == 206 || (have > 0 && status == 416);
        if taken && !is_page(download, &response) {
            return Ok(response);
        }
        if taken {
            let reason = "expected the file, found a page for people, as where one must sign in or consent";
            return Err(failed(
                download,
                reason.into(),
                by_hand("Open the address in a browser to see what it asks for", file),
            ));
        }
        let wait =
            response.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.trim().parse::<u64>().ok());
        let wait = wait.map_or(Duration::from_secs(1 << tries), Duration::from_secs);
        let passes = matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504);
        if !passes || tries == TRIES || wait > LONGEST_WAIT {
            let asked = if tries > 1 { format!(" (tried {tries} times)") } else { String::new() };
            let reason = format!("expected the file, found status {status}{asked}");
            let advice = match passes {
                true => "The server is busy or ails: run it again later",
                false => "Check the address in the data set's manifest",
            };
            return Err(failed(download, reason, by_hand(advice, file)));
        }
        wider_clip_numbers::say!("{}: status {status}; trying again in {} s", download.file_name(), wait.as_secs());
        std::thread::sleep(wait);
        tries += 1;
    }
}

fn ask(download: &Download, file: &Path, have: u64, validator: Option<&str>) -> Result<Response<Body>> {
    // Compressed on the way, lengths and ranges would not be those of the file.
    let mut request = ureq::get(&download.url).header("Accept-Encoding", "identity");
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
        if let Some(validator) = validator {
            request = request.header("If-Range", validator);
        }
    }
    let request = request
        .config()
        .http_status_as_error(false)
        // Nothing that was asked for over an encrypted connection comes over another.
        .https_only(download.url.to_ascii_lowercase().starts_with("https://"))
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .build();
    request.call().map_err(|error| failed(download, error.to_string(), by_hand("Check the network", file)))
}

/// Whether an answer is a page for people where a file was asked for.
fn is_page(download: &Download, response: &Response<Body>) -> bool {
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let name = download.file_name().to_lowercase();
    kind.trim_start().to_ascii_lowercase().starts_with("text/html")
        && !name.ends_with(".html")
        && !name.ends_with(".htm")
}
