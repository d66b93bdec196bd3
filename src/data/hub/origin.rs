//! Hosts, and where a redirect leads.

use super::fault::Fault;
use super::names;
use ureq::http::header::LOCATION;
use ureq::http::{HeaderMap, Uri};

/// The longest address that is followed; signed ones of stores have about 1500 characters.
const LONGEST_ADDRESS: usize = 16_384;

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(super) https: bool,
    pub(super) host: String,
    port: u16,
}

impl Origin {
    /// `None` for what is no address of http.
    pub(super) fn of(address: &Uri) -> Option<Origin> {
        let https = match address.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = address.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        // What follows the host and is no number would be another port than the one that is written.
        let authority = address.authority()?.as_str();
        let after = authority.rsplit('@').next()?.rsplit(']').next()?;
        let written = after.rsplit_once(':').map_or("", |(_, port)| port);
        let port = match address.port_u16() {
            Some(port) => port,
            None if !written.is_empty() => return None,
            None => [80, 443][usize::from(https)],
        };
        Some(Origin { https, host, port })
    }

    /// Whether it is this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        let number = host.parse::<std::net::IpAddr>();
        host == "localhost" || host.ends_with(".localhost") || number.is_ok_and(|number| number.is_loopback())
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scheme, usual) = if self.https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// Where a redirect leads.
pub(super) fn target(from: &Uri, origin: &Origin, headers: &HeaderMap) -> Result<Uri, Fault> {
    let Some(location) = headers.get(LOCATION) else {
        return Err(Fault::answer(format!("{origin} redirects without saying where to")));
    };
    let text = std::str::from_utf8(location.as_bytes()).unwrap_or_default().trim();
    // An address in a header is ASCII; some servers send it unquoted.
    let text: String = text.split('#').next().unwrap_or_default().chars().map(as_in_an_address).collect();
    let absolute = match text.find(':') {
        Some(colon) if text[..colon].chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) => text.clone(),
        _ if text.starts_with("//") => format!("{}:{text}", from.scheme_str().unwrap_or("https")),
        _ => {
            let authority = from.authority().map_or("", |authority| authority.as_str());
            let base = format!("{}://{authority}", from.scheme_str().unwrap_or("https"));
            let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            match text.chars().next() {
                Some('/') => format!("{base}{text}"),
                Some('?') => format!("{base}{}{text}", from.path()),
                Some(_) => format!("{base}{folder}/{text}"),
                None => String::new(),
            }
        }
    };
    let target = absolute.parse::<Uri>().ok().filter(|target| Origin::of(target).is_some());
    match target.filter(|_| absolute.len() <= LONGEST_ADDRESS && !text.chars().any(char::is_control)) {
        Some(target) => Ok(target),
        None => {
            let found = names::shown(&names::shown_address(&text));
            Err(Fault::answer(format!("{origin} leads to `{found}`, which is no http address")))
        }
    }
}

fn as_in_an_address(c: char) -> String {
    match c {
        ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' => format!("%{:02X}", u32::from(c)),
        c if c.is_ascii() => c.into(),
        c => names::quoted(&c.to_string(), false),
    }
}
