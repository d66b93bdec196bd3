//! Why something could not be had from a server: the cause, and whether another try can help.

use crate::error::Error;
use crate::progress::duration;
use std::time::Duration;
use ureq::http::HeaderMap;

/// How often something is tried in all, if nothing speaks against it.
const TRIES: u32 = 5;

/// What went wrong, in words, and of what kind it is.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) reason: String,
    pub(crate) again: Again,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// The status that the endpoint answered with.
    Status(u16),
    /// Another host answered with an error: where the endpoint's redirect led.
    Elsewhere,
    /// Too many requests.
    Limit,
    /// Nobody was reached, or the connection ended; the variable of the proxy that was asked, if any.
    Network(Option<&'static str>),
    /// The server's answer is not one of a hub.
    Answer,
    /// A web page where there should be a file or a list.
    Page,
    /// The token, its place.
    Token(String),
    /// The file is another one than it was at the start.
    Changed,
    /// The disk is full.
    Full,
    /// Something on this machine, already told in full.
    Here(Box<Error>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Again {
    No,
    /// Up to so often in all.
    Soon(u32),
    /// What the server asks for.
    After(Duration),
}

impl Again {
    /// How often something is tried in all.
    pub(super) fn most(self) -> u32 {
        match self {
            Again::No => 1,
            Again::Soon(most) => most,
            Again::After(_) => TRIES,
        }
    }
}

impl Fault {
    pub(crate) fn new(kind: Kind, reason: impl Into<String>) -> Fault {
        let again = if matches!(kind, Kind::Network(_)) { Again::Soon(TRIES) } else { Again::No };
        Fault { kind, reason: reason.into(), again }
    }

    /// The server's answer cannot be used.
    pub(crate) fn answer(reason: impl Into<String>) -> Fault {
        Fault::new(Kind::Answer, reason)
    }

    pub(super) fn page(host: &str) -> Fault {
        let what = "answered with a web page, as a network's sign-in page, a proxy or a filter does";
        Fault::new(Kind::Page, format!("{host} {what}"))
    }

    /// An answer with an error's status from `host`; `own` if that is the endpoint.
    pub(crate) fn status(host: &str, own: bool, code: u16, headers: &HeaderMap) -> Fault {
        let wait = wait(headers);
        let reason = match code {
            429 => {
                let when = wait
                    .map_or_else(String::new, |wait| format!("; it takes more in {}", duration(wait.as_secs_f64())));
                format!("{host} limits how often it may be asked (status 429){when}")
            }
            407 => format!("the proxy before {host} asks for a user and a password (status 407)"),
            code => format!("{host} answered with status {code}"),
        };
        let kind = match (code, own) {
            (429, _) => Kind::Limit,
            (_, true) => Kind::Status(code),
            (_, false) => Kind::Elsewhere,
        };
        let again = match (code, wait) {
            (408 | 429 | 500 | 502 | 503 | 504, Some(wait)) => Again::After(wait),
            (408 | 429 | 500 | 502 | 503 | 504, None) => Again::Soon(TRIES),
            // A store's link that was good for a short time: the endpoint gives a new one.
            (401 | 403, _) if !own => Again::Soon(2),
            _ => Again::No,
        };
        Fault { kind, reason, again }
    }

    /// The status of the endpoint's answer, if that is the fault.
    pub(super) fn code(&self) -> Option<u16> {
        match self.kind {
            Kind::Status(code) => Some(code),
            _ => None,
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::new(Kind::Here(Box::new(error)), "")
    }
}

/// How long the server asks to be left alone: `Retry-After` as seconds or as a date, or the hub's own `RateLimit`.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let limit = || {
        // `"api";r=0;t=55` of today's draft, `limit=500, remaining=0, reset=55` of earlier ones.
        let mut words = text("ratelimit")?.split([';', ',']).map(str::trim);
        let seconds = words.find_map(|word| word.strip_prefix("t=").or_else(|| word.strip_prefix("reset=")))?;
        seconds.parse().ok().map(Duration::from_secs)
    };
    let after = text("retry-after").and_then(|value| match value.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
            Some(Duration::from_secs(date(value)?.saturating_sub(now)))
        }
    });
    after.or_else(limit)
}

/// Seconds since 1970 of a date in a header, in any of the three forms that HTTP knows: `Sun, 06 Nov 1994 08:49:37 GMT`,
/// `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`.
fn date(text: &str) -> Option<u64> {
    let words: Vec<&str> = text.split([' ', '-', ',']).filter(|word| !word.is_empty()).collect();
    let (day, month, year, time) = match words[..] {
        [_, day, month, year, time, "GMT"] => (day, month, year, time),
        [_, month, day, time, year] => (day, month, year, time),
        _ => return None,
    };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| *name == month)? as i64 + 1;
    let day: i64 = day.parse().ok().filter(|day| (1..=31).contains(day))?;
    let year: i64 = match (year.len(), year.parse().ok()?) {
        (2, year @ 0..70) => 2000 + year,
        (2, year) => 1900 + year,
        (4, year) => year,
        _ => return None,
    };
    let [hour, minute, second] = time.split(':').map(|part| part.parse::<i64>().ok()).collect::<Vec<_>>()[..] else {
        return None;
    };
    let seconds = hour? * 3600 + minute? * 60 + second?;
    // Days since 1970, by years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 1 - 719_468;
    u64::try_from(days * 86_400 + seconds).ok()
}
