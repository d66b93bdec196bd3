//! The proxy that the environment names, per kind of address.

use super::environment::text;
use ureq::Proxy;

/// A proxy and the variable that names it.
pub(super) struct Named {
    pub(super) variable: &'static str,
    /// `None` where the variable does not hold the address of a proxy.
    pub(super) proxy: Option<Proxy>,
}

impl Named {
    /// For messages: without user and password.
    pub(super) fn words(&self) -> String {
        match &self.proxy {
            Some(proxy) => format!("the proxy {}:{} of {}", proxy.host(), proxy.port(), self.variable),
            None => format!("the proxy of {}", self.variable),
        }
    }
}

/// The proxy for addresses of a scheme.
pub(super) fn of(https: bool) -> Option<Named> {
    let variables = match https {
        true => ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        false => ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
    };
    let (variable, value) = variables.into_iter().find_map(|name| text(name).map(|value| (name, value)))?;
    Some(Named { variable, proxy: Proxy::new(&value).ok() })
}

/// Whether `NO_PROXY` names the host, or a domain above it.
pub(super) fn is_bypassed(host: &str) -> bool {
    let Some(list) = text("no_proxy").or_else(|| text("NO_PROXY")) else { return false };
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    list.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        let name = entry.trim_start_matches('*').trim_start_matches('.');
        let name = match name.strip_prefix('[').and_then(|name| name.split_once(']')) {
            Some((address, _port)) => address,
            None => name.rsplit_once(':').filter(|(name, _)| !name.contains(':')).map_or(name, |(name, _)| name),
        };
        entry == "*" || (!name.is_empty() && (host == name || host.ends_with(&format!(".{name}"))))
    })
}
