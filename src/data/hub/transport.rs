//! Requests to a hub, and for archives of data sets to their owners: where they may lead, what each host may know, how long to
//! wait, when to try again.
//!
//! Redirects are followed here and not by ureq, so that the token goes to the endpoint's scheme, host and port alone,
//! nothing that began with https goes on without it, and a circle is told. No answer is packed on the way: lengths and
//! ranges are those of the file.

use super::environment::{Settings, Token};
use super::fault::{Again, Fault, Kind};
use super::origin::{Origin, target};
use super::{names, proxy};
use crate::error::{Error, Result};
use crate::progress::duration;
use std::io::ErrorKind;
use std::sync::{Once, OnceLock};
use std::time::Duration;
use ureq::http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, IF_RANGE, RANGE};
use ureq::http::{HeaderMap, Method, Request, Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Timeout};

/// Redirects on the way to one answer.
const MOST_REDIRECTS: usize = 10;
/// A server that asks to be left alone for longer is not waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The patience by which tries follow each other where no hub's settings say it.
const SOON: Duration = Duration::from_secs(10);

/// What a test has this process trust.
static TRUSTED: OnceLock<RootCerts> = OnceLock::new();

/// From now on this process trusts the one certificate (DER) and no other: stand-ins have none that the world vouches
/// for.
#[doc(hidden)]
pub fn trust_for_tests(certificate: &[u8]) {
    let trusted = RootCerts::new_with_certs(&[Certificate::from_der(certificate).to_owned()]);
    TRUSTED.get_or_init(|| trusted);
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) address: String,
    pub(crate) method: Method,
    /// `Range`.
    pub(crate) range: Option<String>,
    /// `If-Range`, for the endpoint alone: what stands behind its redirects has names of its own.
    pub(crate) if_range: Option<String>,
    /// Whether `if_range` is for every host on the way, as where it is the last one's.
    pub(crate) if_range_everywhere: bool,
    /// Whether a redirect to another host ends the way once the hub has said what the file is.
    pub(crate) stop_outside: bool,
    pub(crate) patience: Duration,
    /// How long a whole body may take.
    pub(crate) body: Option<Duration>,
}

/// What the hub says of a file in its headers.
#[derive(Debug, Default, Clone)]
pub(crate) struct Said {
    pub(super) commit: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) size: Option<u64>,
    /// The `ETag` as it came, where it is that of the very bytes that the endpoint itself sends.
    pub(super) strong: Option<String>,
}

/// An answer that is no redirect, or the redirect at which the way ended.
pub(crate) struct Reply {
    pub(crate) response: Response<Body>,
    pub(crate) origin: Origin,
    /// Whether it is the endpoint's.
    pub(super) own: bool,
    pub(super) said: Said,
}

/// How hosts are asked.
pub(crate) struct Transport {
    endpoint: Origin,
    token: Token,
    pub(super) patience: [Duration; 2],
    direct: Agent,
    /// For http and https.
    through: [Option<(proxy::Named, Option<Agent>)>; 2],
}

impl Transport {
    /// # Errors
    /// [`Error::Download`] for an endpoint that is no address.
    pub(super) fn new(settings: &Settings) -> Result<Transport> {
        let address = settings.endpoint.parse::<Uri>().ok();
        let Some(endpoint) = address.as_ref().and_then(Origin::of) else {
            return Err(Error::Download {
                from: "HF_ENDPOINT".into(),
                reason: format!(
                    "expected an address such as https://hub.example, found `{}`",
                    names::shown(settings.endpoint.rsplit('@').next().unwrap_or_default())
                ),
                advice: "Correct it, or unset it to use https://huggingface.co".into(),
            });
        };
        Ok(Transport::with(endpoint, settings.token.clone(), settings.patience))
    }

    /// For a file that is no hub's: nobody is told a token.
    ///
    /// # Errors
    /// An address that is none of http.
    pub(crate) fn without_token(address: &str, patience: Duration) -> Result<Transport, Fault> {
        let origin = address.parse::<Uri>().ok().as_ref().and_then(Origin::of);
        let origin = origin.ok_or_else(|| Fault::answer("expected an http address"))?;
        Ok(Transport::with(origin, Token::None, [SOON, patience]))
    }

    fn with(endpoint: Origin, token: Token, patience: [Duration; 2]) -> Transport {
        let roots = TRUSTED.get().cloned().unwrap_or(RootCerts::WebPki);
        let agent = |proxy: Option<ureq::Proxy>| -> Agent {
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(proxy)
                .tls_config(TlsConfig::builder().root_certs(roots.clone()).build())
                .user_agent(concat!("wider-clip/", env!("CARGO_PKG_VERSION")))
                .build()
                .into()
        };
        let through = [false, true].map(|https| {
            proxy::of(https).map(|named| {
                let agent = named.proxy.clone().map(|proxy| agent(Some(proxy)));
                (named, agent)
            })
        });
        Transport { endpoint, token, patience, direct: agent(None), through }
    }

    pub(super) fn endpoint(&self) -> &Origin {
        &self.endpoint
    }

    /// Does `work` until it succeeds, its fault is one that another try cannot mend, or it was tried often enough.
    /// `work` says of a fault whether the tries so far are to be forgotten, since it got on.
    pub(crate) fn patiently<T>(&self, mut work: impl FnMut() -> (Result<T, Fault>, bool)) -> Result<T, Fault> {
        let mut tries = 0;
        loop {
            let (done, got_on) = work();
            let fault = match done {
                Err(fault) if fault.again != Again::No => fault,
                done => return done,
            };
            tries = if got_on { 1 } else { tries + 1 };
            // A twentieth of the patience, and twice as long each time.
            let soon = self.patience[0].mul_f64(0.05 * f64::from(1 << (tries - 1).min(8)));
            let pause = match fault.again {
                Again::After(wait) if wait > LONGEST_WAIT => return Err(fault),
                Again::After(wait) => wait.max(soon),
                _ => soon,
            };
            if tries >= fault.again.most() {
                return Err(Fault { reason: format!("{} (tried {tries} times)", fault.reason), ..fault });
            }
            wider_clip_numbers::say!("{}; trying again in {}", fault.reason, duration(pause.as_secs_f64()));
            std::thread::sleep(pause);
        }
    }

    /// Asks, and follows redirects.
    pub(crate) fn ask(&self, ask: &Ask) -> Result<Reply, Fault> {
        let mut address: Uri = ask
            .address
            .parse()
            .map_err(|_| Fault::answer(format!("expected an address, found `{}`", names::shown(&ask.address))))?;
        let mut said = Said::default();
        let mut seen = Vec::new();
        loop {
            let origin = Origin::of(&address).ok_or_else(|| {
                Fault::answer(format!("expected an http address, found `{}`", names::shown(&address.to_string())))
            })?;
            let own = origin == self.endpoint;
            let response = self.once(ask, &address, &origin)?;
            let target = match response.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => Some(target(&address, &origin, response.headers())?),
                _ => None,
            };
            said.read(&response, target.is_some(), own)?;
            let Some(target) = target else { return Ok(Reply { response, origin, own, said }) };
            let next =
                Origin::of(&target).ok_or_else(|| Fault::answer(format!("{origin} leads to no http address")))?;
            if origin.https && !next.https {
                return Err(Fault::answer(format!("{origin} leads from https to {next}, which is not encrypted")));
            }
            if ask.stop_outside && next != self.endpoint && said.commit.is_some() && said.etag.is_some() {
                return Ok(Reply { response, origin, own, said });
            }
            seen.push(address);
            if seen.contains(&target) {
                return Err(Fault::answer(format!("the redirects of {origin} go in a circle")));
            }
            if seen.len() > MOST_REDIRECTS {
                return Err(Fault::answer(format!("{origin} redirects once more after {MOST_REDIRECTS} redirects")));
            }
            address = target;
        }
    }

    /// One request, one answer.
    fn once(&self, ask: &Ask, address: &Uri, origin: &Origin) -> Result<Response<Body>, Fault> {
        let mut request = Request::builder().method(&ask.method).uri(address).header(ACCEPT_ENCODING, "identity");
        if let Some(range) = &ask.range {
            request = request.header(RANGE, range);
        }
        let own = *origin == self.endpoint;
        if let Some(etag) = ask.if_range.as_ref().filter(|_| own || ask.if_range_everywhere) {
            request = request.header(IF_RANGE, etag);
        }
        if own {
            match &self.token {
                Token::None => {}
                Token::Bearer(header, _) => {
                    warn_if_open(origin);
                    request = request.header(AUTHORIZATION, header);
                }
                Token::Unusable(place, why) => return Err(Fault::new(Kind::Token(place.clone()), why.clone())),
            }
        }
        let request =
            request.body(()).map_err(|_| Fault::answer(format!("an address of {origin} that cannot be asked for")))?;
        let proxy = self.through[usize::from(origin.https)].as_ref().filter(|_| !proxy::is_bypassed(&origin.host));
        let (agent, named) = match proxy {
            None => (&self.direct, None),
            Some((named, Some(agent))) => (agent, Some(named)),
            Some((named, None)) => {
                let reason = format!("{} does not hold the address of a proxy", named.variable);
                return Err(Fault { again: Again::No, ..Fault::new(Kind::Network(Some(named.variable)), reason) });
            }
        };
        let patience = Some(ask.patience);
        let request = agent
            .configure_request(request)
            .timeout_resolve(patience)
            .timeout_connect(patience)
            .timeout_send_request(patience)
            .timeout_recv_response(patience)
            .timeout_per_read(patience)
            .timeout_per_write(patience)
            .timeout_recv_body(ask.body)
            .build();
        agent.run(request).map_err(|error| unreached(error, origin, named, ask.patience))
    }
}

impl Said {
    /// Takes what an answer with a commit says. Of other hosts' only where the endpoint has not said all: a store knows
    /// only its own.
    fn read(&mut self, response: &Response<Body>, redirect: bool, own: bool) -> Result<(), Fault> {
        let header = |name: &str| response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let complete = self.commit.is_some() && self.etag.is_some();
        if let Some(commit) = header("x-repo-commit")
            && (own || !complete)
        {
            let commit = names::commit(&commit).ok_or_else(|| {
                let shown = names::shown(&commit);
                Fault::answer(format!("the server answers for commit `{shown}`, which has not 40 hexadecimal digits"))
            })?;
            let linked = header("x-linked-etag").filter(|etag| !etag.is_empty());
            let direct = own && !redirect && linked.is_none();
            let strong = header("etag").filter(|etag| direct && etag.trim().starts_with('"'));
            let etag = match linked.or_else(|| header("etag")) {
                Some(etag) => Some(names::etag(&etag).ok_or_else(|| {
                    Fault::answer(format!("the ETag `{}` of the server cannot name a file", names::shown(&etag)))
                })?),
                None => None,
            };
            let size = header("x-linked-size").and_then(|size| size.trim().parse().ok());
            *self = Said { commit: Some(commit), etag, size, strong: strong.map(|etag| etag.trim().to_string()) };
        }
        if self.size.is_none() && !redirect && self.commit.is_some() && response.status().as_u16() == 200 {
            self.size = length(response.headers());
        }
        Ok(())
    }
}

/// The length of the file, if the answer says that and does not pack it.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text(CONTENT_ENCODING) {
        None | Some("identity" | "") => text(ureq::http::header::CONTENT_LENGTH)?.trim().parse().ok(),
        Some(_) => None,
    }
}

/// Whether an answer is a web page.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("text/html")
}

/// Once for a process: whoever listens on the way reads the token.
fn warn_if_open(origin: &Origin) {
    static TOLD: Once = Once::new();
    if !origin.https && !origin.is_loopback() {
        TOLD.call_once(|| {
            wider_clip_numbers::say!(
                "warning: HF_ENDPOINT is {origin}, which is not encrypted: the token can be read on the way there. Name \
                 the mirror with https, or set HF_HUB_DISABLE_IMPLICIT_TOKEN=1 to send none"
            );
        });
    }
}

/// Whether encryption failed, which another try cannot mend: a certificate that nobody vouches for comes as data that
/// cannot be read.
fn unencrypted(error: &ureq::Error, origin: &Origin) -> bool {
    match error {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => true,
        ureq::Error::Io(error) => origin.https && error.kind() == ErrorKind::InvalidData,
        _ => false,
    }
}

/// Words for a request without an answer. The address is not among them: what it is signed with stays secret.
fn unreached(error: ureq::Error, origin: &Origin, proxy: Option<&proxy::Named>, patience: Duration) -> Fault {
    let through = proxy.map_or_else(String::new, |named| format!(" through {}", named.words()));
    let seconds = duration(patience.as_secs_f64());
    let reason = match &error {
        ureq::Error::Timeout(Timeout::Resolve) => {
            format!("{origin} was not reached{through}: no address for its name within {seconds}")
        }
        ureq::Error::Timeout(Timeout::Connect) => {
            format!("{origin} was not reached{through}: no connection within {seconds}")
        }
        ureq::Error::Timeout(_) => format!("{origin} gave no answer{through} within {seconds}"),
        ureq::Error::HostNotFound => format!("{origin} was not reached{through}: there is no host of that name"),
        ureq::Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => {
            format!("{origin} ended the connection{through} without an answer")
        }
        ureq::Error::LargeResponseHeader(found, most) => {
            return Fault::answer(format!(
                "{origin} answered with headers of {found} bytes, more than the {most} that are read"
            ));
        }
        ureq::Error::Protocol(error) => format!("{origin} gave an answer{through} that cannot be read: {error}"),
        ureq::Error::Http(error) => {
            return Fault::answer(format!("{origin} gave an answer{through} that cannot be read: {error}"));
        }
        _ if unencrypted(&error, origin) => {
            let reason = format!("{origin} was not reached{through}: no encrypted connection: {error}");
            return Fault { again: Again::No, ..Fault::new(Kind::Network(proxy.map(|named| named.variable)), reason) };
        }
        error => format!("{origin} was not reached{through}: {error}"),
    };
    let fault = Fault::new(Kind::Network(proxy.map(|named| named.variable)), reason);
    // Who is not there now is not there in a second.
    let nobody = match &error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::ConnectProxyFailed(_) => true,
        ureq::Error::Io(error) => error.kind() == ErrorKind::ConnectionRefused,
        _ => false,
    };
    Fault { again: if nobody { Again::Soon(3) } else { fault.again }, ..fault }
}
