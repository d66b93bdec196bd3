//! What a server says of the part of a file that it sends.

use ureq::http::HeaderMap;

/// First byte and whole length that a `Content-Range` header states: `bytes 5-9/10`, or `bytes */10`.
pub(crate) fn of(headers: &HeaderMap) -> (Option<u64>, Option<u64>) {
    let header = headers.get("content-range").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (range, whole) = header.trim().trim_start_matches("bytes").trim().split_once('/').unwrap_or_default();
    (range.split_once('-').and_then(|(start, _)| start.trim().parse().ok()), whole.trim().parse().ok())
}
