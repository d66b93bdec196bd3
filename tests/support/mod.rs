//! What several test files share.

pub mod hub_server;
