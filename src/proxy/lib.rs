//! The proxy kernel: it stands between a Jupyter client and evcxr_jupyter, which it starts and which stays as it is, and
//! makes that kernel behave as clients expect.
//!
//! | evcxr_jupyter | the client sees |
//! |---|---|
//! | answers `ok` to a panic that it caught and to a failed `?` | `error`, once, with name, value and traceback |
//! | an error without a name in `execute_reply` | the same three there |
//! | last output after `idle` | `idle` and the reply when all of it is in |
//! | the value before lines of standard error that the cell wrote first | the value after all that it wrote |
//! | counts from 2, and everything | counts from 1 what a user ran |
//! | the value `()` of a cell without one | nothing |
//! | kills its variables at an interrupt, also when idle | an interrupt when idle does nothing; else the error says so |
//! | runs on after an error | the cells that waited behind it are aborted |
//! | goes deaf at a malformed message, at binary buffers, at an interrupt while it waits for input | does not get there |
//!
//! | module | |
//! |---|---|
//! | [`wire`] | frames and signatures |
//! | [`events`], [`session`], [`cell`], [`status`], [`notices`] | what each message means; no sockets, no clock |
//! | [`errors`], [`places`], `replies` | contents |
//! | `channels`, `publisher`, `connection`, `process` | sockets, ports, processes |

pub mod cell;
mod channels;
mod connection;
pub mod errors;
pub mod events;
pub mod library;
pub mod notices;
pub mod places;
mod process;
mod publisher;
mod replies;
pub mod session;
pub mod status;
pub mod wire;

use channels::{Child, Clients, Events};
use connection::Connection;
use events::{Action, Channel, Event, Settings};
use notices::Notices;
use process::ChildProcess;
use session::Session;
use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;
use wire::{Message, Signer};

/// Leaves status lines on standard output, for a client that knows them.
pub const RAW_STATUS_VARIABLE: &str = "WIDER_CLIP_STATUS_RAW";

/// The exit code of a process that SIGTERM ended.
const TERMINATED: i32 = 128 + libc::SIGTERM;

/// How long nothing must come any more from a child that is gone.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Why the proxy could not do its work.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed(pub String);

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

/// Serves the clients of `connection_file` until the kernel is shut down. `child` makes the command that starts the child
/// from the path of its connection file, which is written to `folder`. Returns the exit code. To be called on the main
/// thread.
///
/// # Errors
/// [`Failed`] where the connection file is none, a port is taken, or the child cannot be started.
pub fn run(
    connection_file: &Path,
    folder: &Path,
    settings: Settings,
    child: impl FnOnce(&Path) -> Command,
) -> Result<i32, Failed> {
    let connection = Connection::read(connection_file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failed(format!("no threads: {error}")))?;
    let code = runtime.block_on(serve(connection, folder, settings, child));
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

async fn serve(
    connection: Connection,
    folder: &Path,
    settings: Settings,
    child: impl FnOnce(&Path) -> Command,
) -> Result<i32, Failed> {
    let signer = Signer::new(&connection.key);
    let (senders, mut events) = channels::events();
    let handler = |kind| signal(kind).map_err(|error| Failed(format!("no signals: {error}")));
    let mut interrupt = handler(SignalKind::interrupt())?;
    let (mut terminate, mut hang_up) = (handler(SignalKind::terminate())?, handler(SignalKind::hangup())?);

    let (heart_to, heart) = oneshot::channel();
    let mut clients = Clients::bind(&connection, &signer, &senders, heart).await?;
    let inner = Connection::local(&connection.key)?;
    let inner_file = inner.write(folder)?;
    let child = child(inner_file.path());
    let notices = Notices::of(&child);
    let process = ChildProcess::start(child, senders.clone())?;

    let mut session = Session::new(settings, notices);
    let (connected_to, mut connected) = oneshot::channel();
    tokio::spawn(async move {
        // Whoever waits for the other end is gone only when the proxy ends.
        let _ = connected_to.send(Child::connect(&inner, &signer, &senders).await);
    });
    let mut kernel: Option<Child> = None;
    let mut heart_to = Some(heart_to);
    let code = loop {
        let event = tokio::select! {
            biased;
            _ = terminate.recv() => break TERMINATED,
            _ = hang_up.recv() => break TERMINATED,
            _ = interrupt.recv() => Event::Interrupt,
            answer = &mut connected, if kernel.is_none() => match answer {
                Ok(Ok((child, heart))) => {
                    kernel = Some(child);
                    heart_to.take().map(|heart_to| heart_to.send(heart));
                    Event::Connected
                }
                Ok(Err(error)) => {
                    process.end(Duration::ZERO).await;
                    return Err(error);
                }
                Err(_) => {
                    process.end(Duration::ZERO).await;
                    return Err(Failed("the connection to the kernel broke down".into()));
                }
            },
            event = next_event(&mut events, session.deadline()) => event,
        };
        if matches!(event, Event::Died(_)) {
            // What it said before comes by another way.
            while let Ok(Some(event)) = timeout(LAST_WORDS, events.sayings.recv()).await {
                act(session.handle(event, Instant::now()), &mut clients, kernel.as_mut()).await;
            }
        }
        if let Some(code) = act(session.handle(event, Instant::now()), &mut clients, kernel.as_mut()).await {
            break code;
        }
    };
    // One that works on something would not hear it.
    let patience = if code == 0 && !session.is_busy() { Duration::from_secs(1) } else { Duration::ZERO };
    if let (false, Some(kernel)) = (patience.is_zero(), &mut kernel) {
        let request = Message::new("shutdown_request", &serde_json::json!({"restart": false}));
        kernel.send(Channel::Control, request).await;
    }
    process.end(patience).await;
    clients.flush().await;
    Ok(code)
}

async fn next_event(events: &mut Events, deadline: Option<Instant>) -> Event {
    let timer = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        Some(event) = events.wishes.recv() => event,
        Some(event) = events.sayings.recv() => event,
        () = timer => Event::Tick,
    }
}

/// Does what the session wants; returns the exit code where that is to end.
async fn act(actions: Vec<Action>, clients: &mut Clients, mut kernel: Option<&mut Child>) -> Option<i32> {
    for action in actions {
        match action {
            Action::Client(channel, message) => clients.send(channel, message).await,
            Action::Child(channel, message) => {
                if let Some(kernel) = &mut kernel {
                    kernel.send(channel, message).await;
                }
            }
            Action::End(code) => return Some(code),
        }
    }
    None
}
