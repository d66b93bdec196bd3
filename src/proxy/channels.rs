//! The sockets on both sides, and the tasks that carry messages between them and the session.
//!
//! The way to the session and back is bounded: a client that reads slowly slows the child down, and nothing piles up here.

use crate::events::{Channel, Event};
use crate::publisher::Publisher;
use crate::wire::{Covers, Message, Signer};
use crate::{Failed, connection::Connection};
use bytes::Bytes;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use zeromq::util::PeerIdentity;
use zeromq::{
    DealerSendHalf, DealerSocket, RouterSendHalf, RouterSocket, Socket, SocketOptions, SocketRecv, SocketSend,
    SubSocket, ZmqMessage,
};

/// Messages that may wait between a socket and the session.
const WAITING: usize = 256;
/// How long one message may take to go out, where the other side does not read.
const SEND_PATIENCE: Duration = Duration::from_secs(10);
/// How long the child may take to answer a heartbeat.
const BEAT_PATIENCE: Duration = Duration::from_secs(5);

/// Where events come from: what clients and signals want goes before what the child says.
pub struct Events {
    /// From clients, signals and the process of the child.
    pub wishes: mpsc::Receiver<Event>,
    /// From the child's sockets.
    pub sayings: mpsc::Receiver<Event>,
}

/// The other ends of [`Events`].
#[derive(Clone)]
pub struct EventSenders {
    /// To [`Events::wishes`].
    pub wishes: mpsc::Sender<Event>,
    /// To [`Events::sayings`].
    pub sayings: mpsc::Sender<Event>,
}

/// A pair of event queues.
pub fn events() -> (EventSenders, Events) {
    let (wishes_to, wishes) = mpsc::channel(WAITING);
    let (sayings_to, sayings) = mpsc::channel(WAITING);
    (EventSenders { wishes: wishes_to, sayings: sayings_to }, Events { wishes, sayings })
}

/// What waits to go out.
enum Outgoing {
    Message(Channel, Vec<Bytes>),
    /// To all, though not to those who do not read and for whom much waits.
    Output(Vec<Bytes>),
    Flush(oneshot::Sender<()>),
}

/// The side that clients connect to.
pub struct Clients {
    signer: Signer,
    /// All but control, in one order: a reply goes out after what was published before it.
    ordered: mpsc::Sender<Outgoing>,
    control: RouterSendHalf,
}

impl Clients {
    /// Binds the five ports. `hb` later brings the socket to the child's heartbeat.
    ///
    /// # Errors
    /// [`Failed`] where a port cannot be bound.
    pub async fn bind(
        connection: &Connection,
        signer: &Signer,
        events: &EventSenders,
        hb: oneshot::Receiver<DealerSocket>,
    ) -> Result<Clients, Failed> {
        let shell = bind_router(connection, connection.shell_port, Channel::Shell, signer, events).await?;
        let control = bind_router(connection, connection.control_port, Channel::Control, signer, events).await?;
        let stdin = bind_router(connection, connection.stdin_port, Channel::Stdin, signer, events).await?;
        let iopub = Publisher::bind(&connection.ip, connection.iopub_port).await?;
        let mut heart = RouterSocket::new();
        bind(&mut heart, connection, connection.hb_port).await?;
        tokio::spawn(beat(heart, hb));
        let (ordered, waiting) = mpsc::channel(WAITING);
        tokio::spawn(send_in_order(waiting, shell, stdin, iopub));
        Ok(Clients { signer: signer.clone(), ordered, control })
    }

    /// Sends a message; waits where too many wait already.
    pub async fn send(&mut self, channel: Channel, message: Message) {
        let is_output = matches!(message.kind.as_str(), "stream" | "display_data" | "update_display_data");
        let frames = message.into_frames(&self.signer, Covers::Parts);
        let outgoing = match channel {
            Channel::Control => return send(&mut self.control, frames).await,
            Channel::Iopub if is_output => Outgoing::Output(frames),
            _ => Outgoing::Message(channel, frames),
        };
        // The task at the other end never ends before this one.
        let _ = self.ordered.send(outgoing).await;
    }

    /// Waits until everything is out, though not for ever.
    pub async fn flush(&mut self) {
        let (done, is_done) = oneshot::channel();
        let flush = async {
            let _ = self.ordered.send(Outgoing::Flush(done)).await;
            let _ = is_done.await;
        };
        let _ = timeout(Duration::from_secs(2), flush).await;
    }
}

async fn bind(socket: &mut impl Socket, connection: &Connection, port: u16) -> Result<(), Failed> {
    let endpoint = format!("tcp://{}:{port}", connection.ip);
    socket.bind(&endpoint).await.map(drop).map_err(|error| Failed(format!("{endpoint} cannot be bound: {error}")))
}

async fn bind_router(
    connection: &Connection,
    port: u16,
    channel: Channel,
    signer: &Signer,
    events: &EventSenders,
) -> Result<RouterSendHalf, Failed> {
    let mut socket = RouterSocket::new();
    bind(&mut socket, connection, port).await?;
    let (send, receive) = socket.split();
    let event = move |message| Event::Client(channel, message);
    watch(tokio::spawn(receive_all(receive, signer.clone(), events.wishes.clone(), event)), events);
    Ok(send)
}

/// The crate panics at a frame whose length no memory holds. A proxy that no longer hears must not seem alive.
fn watch(task: JoinHandle<()>, events: &EventSenders) {
    let wishes = events.wishes.clone();
    tokio::spawn(async move {
        if task.await.is_err() {
            // Where nobody listens any more, nobody needs to know.
            let _ = wishes.send(Event::Died("a socket of the proxy failed".to_string())).await;
        }
    });
}

async fn receive_all(
    mut socket: impl SocketRecv,
    signer: Signer,
    events: mpsc::Sender<Event>,
    event: impl Fn(Message) -> Event,
) {
    loop {
        match socket.recv().await {
            Ok(frames) => {
                // What is no message of the key's holder is ignored.
                if let Ok(message) = Message::parse(frames.into_vec(), &signer)
                    && events.send(event(message)).await.is_err()
                {
                    return;
                }
            }
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn send(socket: &mut impl SocketSend, frames: Vec<Bytes>) {
    // A client that is gone gets nothing; there is no one to tell.
    if let Ok(message) = ZmqMessage::try_from(frames) {
        let _ = timeout(SEND_PATIENCE, socket.send(message)).await;
    }
}

async fn send_in_order(
    mut waiting: mpsc::Receiver<Outgoing>,
    mut shell: RouterSendHalf,
    mut stdin: RouterSendHalf,
    iopub: Publisher,
) {
    while let Some(outgoing) = waiting.recv().await {
        match outgoing {
            Outgoing::Output(frames) => iopub.publish(&frames, true).await,
            Outgoing::Message(Channel::Iopub, frames) => iopub.publish(&frames, false).await,
            Outgoing::Message(Channel::Stdin, frames) => send(&mut stdin, frames).await,
            Outgoing::Message(_, frames) => {
                // Clients wait for what was published for some seconds after the reply, not longer.
                iopub.settle().await;
                send(&mut shell, frames).await;
            }
            Outgoing::Flush(done) => {
                iopub.flush().await;
                // Whoever waited may have lost patience.
                let _ = done.send(());
            }
        }
    }
}

/// Answers heartbeats: while the child starts at once, later when the child has answered one.
async fn beat(mut clients: RouterSocket, mut coming: oneshot::Receiver<DealerSocket>) {
    let mut child = None;
    let mut owed = false;
    loop {
        let Ok(ping) = clients.recv().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        if child.is_none() {
            child = coming.try_recv().ok();
        }
        if let Some(child) = &mut child {
            if !owed {
                send(child, vec![Bytes::new(), Bytes::from_static(b"ping")]).await;
            }
            owed = timeout(BEAT_PATIENCE, child.recv()).await.is_err();
            if owed {
                continue;
            }
        }
        send(&mut clients, ping.into_vec()).await;
    }
}

/// The side of the child.
pub struct Child {
    signer: Signer,
    shell: DealerSendHalf,
    control: DealerSendHalf,
    stdin: DealerSendHalf,
}

impl Child {
    /// Connects to the child as soon as it listens. Returns the socket to its heartbeat as well.
    ///
    /// # Errors
    /// [`Failed`] where it refuses a connection.
    pub async fn connect(
        connection: &Connection,
        signer: &Signer,
        events: &EventSenders,
    ) -> Result<(Child, DealerSocket), Failed> {
        for port in connection.ports() {
            // The crate itself would wait for more than a second between two tries.
            while TcpStream::connect((connection.ip.as_str(), port)).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        }
        let mut iopub = SubSocket::new();
        connect(&mut iopub, connection, connection.iopub_port).await?;
        iopub.subscribe("").await.map_err(|error| Failed(format!("no subscription to the kernel: {error}")))?;
        let said = |message| Event::Child(Channel::Iopub, message);
        watch(tokio::spawn(receive_all(iopub, signer.clone(), events.sayings.clone(), said)), events);
        // The child asks for input by the identity that it knows from the shell.
        let identity = PeerIdentity::new();
        let shell = connect_dealer(connection, Channel::Shell, &identity, signer, events).await?;
        let control = connect_dealer(connection, Channel::Control, &identity, signer, events).await?;
        let stdin = connect_dealer(connection, Channel::Stdin, &identity, signer, events).await?;
        let mut heart = DealerSocket::new();
        connect(&mut heart, connection, connection.hb_port).await?;
        Ok((Child { signer: signer.clone(), shell, control, stdin }, heart))
    }

    /// Sends a message.
    pub async fn send(&mut self, channel: Channel, message: Message) {
        // evcxr_jupyter checks the signature over the buffers too.
        let frames = message.into_frames(&self.signer, Covers::Everything);
        match channel {
            Channel::Shell => send(&mut self.shell, frames).await,
            Channel::Control => send(&mut self.control, frames).await,
            Channel::Stdin => send(&mut self.stdin, frames).await,
            Channel::Iopub => {}
        }
    }
}

async fn connect(socket: &mut impl Socket, connection: &Connection, port: u16) -> Result<(), Failed> {
    let endpoint = format!("tcp://{}:{port}", connection.ip);
    socket.connect(&endpoint).await.map_err(|error| Failed(format!("the kernel at {endpoint} refuses: {error}")))
}

async fn connect_dealer(
    connection: &Connection,
    channel: Channel,
    identity: &PeerIdentity,
    signer: &Signer,
    events: &EventSenders,
) -> Result<DealerSendHalf, Failed> {
    let port = match channel {
        Channel::Shell => connection.shell_port,
        Channel::Control => connection.control_port,
        Channel::Stdin => connection.stdin_port,
        Channel::Iopub => connection.iopub_port,
    };
    let mut options = SocketOptions::default();
    options.peer_identity(identity.clone());
    let mut socket = DealerSocket::with_options(options);
    connect(&mut socket, connection, port).await?;
    let (send, receive) = socket.split();
    let event = move |message| Event::Child(channel, message);
    watch(tokio::spawn(receive_all(receive, signer.clone(), events.sayings.clone(), event)), events);
    Ok(send)
}
