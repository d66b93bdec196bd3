//! What several test files share.

pub mod hub_child;
pub mod hub_server;
#[cfg(target_os = "linux")]
pub mod no_links;
