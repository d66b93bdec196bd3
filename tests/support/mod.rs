//! What several test files share.

pub mod hub_child;
#[allow(dead_code)]
pub mod hub_scenarios;
pub mod hub_server;
#[cfg(target_os = "linux")]
pub mod no_links;
