//! What happens to a session and what it wants done.

use crate::wire::Message;
use std::path::PathBuf;

/// One of the sockets, on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Requests.
    Shell,
    /// Requests that do not wait.
    Control,
    /// Questions of the kernel to the client.
    Stdin,
    /// What all clients hear.
    Iopub,
}

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A client sent this.
    Client(Channel, Message),
    /// The child sent this.
    Child(Channel, Message),
    /// All sockets to the child are connected.
    Connected,
    /// The proxy itself was sent SIGINT.
    Interrupt,
    /// The child's process is gone.
    Died(String),
    /// Only time went by.
    Tick,
}

/// Something to do.
#[derive(Debug)]
pub enum Action {
    /// To a client, or on [`Channel::Iopub`] to all.
    Client(Channel, Message),
    /// To the child.
    Child(Channel, Message),
    /// End the child, where it lives, and then this process with the given code.
    End(i32),
}

/// What the one who starts the proxy decides.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Lines with the mark of a status stay lines of standard output.
    pub raw_status: bool,
    /// Cells say on both ways when nothing more comes.
    pub cells_tell_end: bool,
    /// The version of rustc.
    pub language_version: String,
    /// The folder in which the child keeps the crate that it compiles cells in.
    pub crate_folder: Option<PathBuf>,
    /// The folder of the support library, whatever folder a cell names for it.
    pub library: Option<PathBuf>,
}
