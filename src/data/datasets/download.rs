//! One archive from a data set's owner, in as many attempts as it takes: asked for as a file of a hub is
//! ([`crate::hub`]), without a token.
//!
//! While a file comes it is `<file>.part`, and `<file>.part.of` says which file on the server that is: its address, its
//! `ETag` or else the time of its last change, its length. Where the file there is another one by now, the next attempt
//! starts anew instead of joining two halves of different files.

use super::archive::{address_id, by_hand, failed, has_checksum, remove};
use crate::error::{Error, Result};
use crate::hub::{Ask, Fault, Kind, Transport, content_range, offline};
use crate::manifest::Download;
use crate::progress::Progress;
use crate::storage;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::Body;
use ureq::http::{Method, Response};

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(120);
/// An attempt that brought so many bytes is no failed one.
const GOT_ON: u64 = 8 << 20;

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
    let transport =
        Transport::without_token(&download.url, PATIENCE).map_err(|fault| refused(download, file, fault))?;
    let length = || fs::metadata(&partial).map_or(0, |metadata| metadata.len());
    let attempt = || {
        let had = length();
        let done = attempt(&transport, download, file, &partial, had);
        (done, length() >= had.saturating_add(GOT_ON))
    };
    transport.patiently(attempt).map_err(|fault| refused(download, file, fault))?;
    fs::rename(&partial, file).map_err(Error::io(file, "renaming into place"))?;
    remove(&Origin::place(&partial))
}

/// Completes `partial`, of which `have` bytes are there, if they are of this file.
fn attempt(
    transport: &Transport,
    download: &Download,
    file: &Path,
    partial: &Path,
    mut have: u64,
) -> Result<(), Fault> {
    let origin = Origin::read(partial).filter(|_| have > 0);
    let elsewhere =
        origin.as_ref().is_some_and(|origin| origin.address != address_id(download)) && !has_checksum(download);
    if elsewhere || download.size.is_some_and(|size| have > size) {
        have = 0;
    }
    if have > 0 && download.size == Some(have) {
        return Ok(());
    }
    let origin = origin.filter(|origin| origin.address == address_id(download));
    receive(transport, download, file, partial, have, origin)
}

/// Completes `partial`, of which `have` bytes are there. A server that does not go on from there starts anew.
fn receive(
    transport: &Transport,
    download: &Download,
    file: &Path,
    partial: &Path,
    have: u64,
    origin: Option<Origin>,
) -> Result<(), Fault> {
    let validator = origin.as_ref().map(|origin| origin.validator.as_str()).filter(|validator| !validator.is_empty());
    let mut response = request(transport, download, file, have, validator)?;
    let (start, whole) = content_range(response.headers());
    // A file of another length is another file.
    let length = origin.as_ref().and_then(|origin| origin.length.parse::<u64>().ok());
    let same = length.is_none() || whole.is_none() || length == whole;
    if response.status() == 416 && whole == Some(have) && same {
        return Ok(());
    }
    let mut resumed = response.status() == 206 && start == Some(have) && same;
    if have > 0 && response.status() != 200 && !resumed {
        response = request(transport, download, file, 0, None)?;
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
        return Err(
            failed(download, reason, by_hand("Correct address and size in the data set's manifest", file)).into()
        );
    }
    // A packed body and one in chunks have an end of their own.
    let chunked = header("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"));
    if total.is_none() && !chunked && !has_checksum(download) {
        let reason = "the server does not say how long the file is, so that one that breaks off would count as whole";
        let advice = by_hand("Give `size` or `sha256` in the data set's manifest", file);
        return Err(failed(download, reason.into(), advice).into());
    }
    let broken_off = |have: u64, why: String| {
        let of = total.map_or_else(String::new, |total| format!(" of {total}"));
        Fault::new(Kind::Network(None), format!("{}: {have}{of} bytes arrived{why}", download.file_name()))
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

/// Asks for the bytes from `have` on, if the file is still the one that `validator` names. An answer has status 200, 206 or,
/// where `have` is not 0, 416, and is no page for people.
fn request(
    transport: &Transport,
    download: &Download,
    file: &Path,
    have: u64,
    validator: Option<&str>,
) -> Result<Response<Body>, Fault> {
    if let Some(variable) = offline() {
        let advice = by_hand(&format!("Unset {variable}"), file);
        return Err(failed(download, format!("not here, and {variable} is set"), advice).into());
    }
    let reply = transport.ask(&Ask {
        address: download.url.clone(),
        method: Method::GET,
        range: (have > 0).then(|| format!("bytes={have}-")),
        if_range: validator.filter(|_| have > 0).map(String::from),
        if_range_everywhere: true,
        stop_outside: false,
        patience: PATIENCE,
        body: None,
    })?;
    match reply.response.status().as_u16() {
        200 | 206 if is_page(download, &reply.response) => {
            let reason = "expected the file, found a page for people, as where one must sign in or consent";
            Err(Fault::new(Kind::Page, reason))
        }
        200 | 206 => Ok(reply.response),
        416 if have > 0 => Ok(reply.response),
        code => Err(Fault::status(&reply.origin.to_string(), true, code, reply.response.headers())),
    }
}

/// The error for what could not be had, with what may help.
fn refused(download: &Download, file: &Path, fault: Fault) -> Error {
    let advice = match fault.kind {
        Kind::Here(error) => return *error,
        Kind::Network(proxy) => {
            let proxy = proxy.map_or_else(String::new, |variable| format!(" and the proxy that {variable} names"));
            format!("Run it again: it goes on where it stopped. Check the network{proxy}")
        }
        Kind::Limit | Kind::Status(408 | 500 | 502 | 503 | 504) => {
            "The server is busy or ails: run it again later".into()
        }
        Kind::Page | Kind::Status(401 | 403) => "Open the address in a browser to see what it asks for".into(),
        _ => "Check the address in the data set's manifest".into(),
    };
    failed(download, fault.reason, by_hand(&advice, file))
}

/// Whether an answer is a page for people where a file was asked for.
fn is_page(download: &Download, response: &Response<Body>) -> bool {
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let name = download.file_name().to_lowercase();
    kind.trim_start().to_ascii_lowercase().starts_with("text/html")
        && !name.ends_with(".html")
        && !name.ends_with(".htm")
}
