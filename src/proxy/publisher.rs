//! The socket that publishes to all clients (PUB of ZeroMQ, ZMTP 3.0 without security).
//!
//! That of the crate `zeromq` sends to one client after the other and waits for each: a client that does not read stops
//! the kernel for all, and itself where it waits for a reply first. Here each has a queue. A client that reads slowly slows
//! the kernel down once much waits for it; one that does not read at all loses output, and only that.

use crate::Failed;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Bytes that wait for one client before the kernel waits too.
const MOST: usize = 64 << 20;
/// Bytes that may still wait where a client that reads has as good as everything.
const LITTLE: usize = 64 << 10;
/// A client that took nothing for so long does not read. The system's own buffers make a slow one look idle for a while.
const STALLED: Duration = Duration::from_secs(5);
/// Bytes written at once.
const CHUNK: usize = 256 << 10;
/// Bytes of a frame that a client may send: a topic, or properties of the connection.
const MOST_RECEIVED: u64 = 4096;
/// How long a client may take to say that it is one.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);
const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// The socket.
pub struct Publisher(Arc<Mutex<Vec<Arc<Subscriber>>>>);

struct Subscriber {
    queue: Mutex<Queue>,
    /// Something waits, or the connection is gone.
    wake: Notify,
    /// Something was written, or the connection is gone.
    progress: Notify,
}

struct Queue {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    topics: Vec<Bytes>,
    /// When the client last took something, or when it had last taken all.
    moved: Instant,
    is_gone: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Publisher {
    /// Listens at an address and lets clients subscribe.
    ///
    /// # Errors
    /// [`Failed`] where the port cannot be bound.
    pub async fn bind(ip: &str, port: u16) -> Result<Publisher, Failed> {
        let failed = |error| Failed(format!("tcp://{ip}:{port} cannot be bound: {error}"));
        let listener = TcpListener::bind((ip, port)).await.map_err(failed)?;
        let subscribers = Arc::new(Mutex::new(Vec::new()));
        let all = subscribers.clone();
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(tokio::spawn(serve(stream, all.clone()))),
                    // Too many open files, say; it may get better.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        Ok(Publisher(subscribers))
    }

    /// Sends a message to all who subscribed to it. What is droppable is not sent to a client that does not read and for
    /// which much waits already.
    pub async fn publish(&self, frames: &[Bytes], is_droppable: bool) {
        let Some(topic) = frames.first() else { return };
        let message = encode(frames);
        let subscribers = lock(&self.0).clone();
        for subscriber in subscribers {
            if lock(&subscriber.queue).topics.iter().any(|wanted| topic.starts_with(wanted)) {
                let has_room = subscriber.until_at_most(MOST, STALLED).await;
                if has_room || !is_droppable {
                    subscriber.push(message.clone());
                }
            }
        }
    }

    /// Waits until those who read have as good as everything.
    pub async fn settle(&self) {
        let subscribers = lock(&self.0).clone();
        for subscriber in subscribers {
            subscriber.until_at_most(LITTLE, STALLED / 5).await;
        }
    }

    /// Waits until those who read have everything.
    pub async fn flush(&self) {
        let subscribers = lock(&self.0).clone();
        for subscriber in subscribers {
            subscriber.until_at_most(0, STALLED / 20).await;
        }
    }
}

impl Subscriber {
    fn push(&self, message: Bytes) {
        let mut queue = lock(&self.queue);
        if queue.is_gone {
            return;
        }
        if queue.bytes == 0 {
            queue.moved = Instant::now();
        }
        queue.bytes += message.len();
        queue.waiting.push_back(message);
        drop(queue);
        self.wake.notify_one();
    }

    /// Waits until no more than so many bytes wait, or the client has taken nothing for so long. Tells whether the former.
    async fn until_at_most(&self, most: usize, patience: Duration) -> bool {
        loop {
            // Asked for before the look, so that none is missed.
            let progress = self.progress.notified();
            let left = {
                let queue = lock(&self.queue);
                if queue.bytes <= most || queue.is_gone {
                    return true;
                }
                patience.saturating_sub(queue.moved.elapsed())
            };
            if left.is_zero() {
                return false;
            }
            let _ = timeout(left, progress).await;
        }
    }

    async fn write(&self, mut stream: OwnedWriteHalf) {
        loop {
            let next = {
                let mut queue = lock(&self.queue);
                if queue.is_gone {
                    return;
                }
                take(&mut queue.waiting)
            };
            let Some(next) = next else {
                self.wake.notified().await;
                continue;
            };
            let mut rest = &next[..];
            while !rest.is_empty() {
                let Ok(written @ 1..) = stream.write(rest).await else { return self.leave() };
                rest = &rest[written..];
                let mut queue = lock(&self.queue);
                queue.bytes -= written;
                queue.moved = Instant::now();
                drop(queue);
                self.progress.notify_waiters();
            }
        }
    }

    fn leave(&self) {
        let mut queue = lock(&self.queue);
        queue.is_gone = true;
        queue.waiting.clear();
        queue.bytes = 0;
        drop(queue);
        self.progress.notify_waiters();
        self.wake.notify_one();
    }
}

/// What is written next: small messages go together.
fn take(waiting: &mut VecDeque<Bytes>) -> Option<Bytes> {
    let first = waiting.pop_front()?;
    if waiting.front().is_none_or(|next| first.len() + next.len() > CHUNK) {
        return Some(first);
    }
    let mut chunk = BytesMut::from(&first[..]);
    while let Some(next) = waiting.pop_front_if(|next| chunk.len() + next.len() <= CHUNK) {
        chunk.extend_from_slice(&next);
    }
    Some(chunk.freeze())
}

async fn serve(mut stream: TcpStream, all: Arc<Mutex<Vec<Arc<Subscriber>>>>) {
    let _ = stream.set_nodelay(true);
    if !matches!(timeout(GREETING_PATIENCE, greet(&mut stream)).await, Ok(Some(()))) {
        return;
    }
    let (read, write) = stream.into_split();
    let queue = Queue { waiting: VecDeque::new(), bytes: 0, topics: Vec::new(), moved: Instant::now(), is_gone: false };
    let subscriber = Arc::new(Subscriber { queue: Mutex::new(queue), wake: Notify::new(), progress: Notify::new() });
    lock(&all).push(subscriber.clone());
    let writer = subscriber.clone();
    let writing = tokio::spawn(async move { writer.write(write).await });
    subscribe(read, &subscriber).await;
    subscriber.leave();
    lock(&all).retain(|other| !Arc::ptr_eq(other, &subscriber));
    writing.abort();
}

/// Exchanges greetings and properties; `None` where the other side is no subscriber.
async fn greet(stream: &mut TcpStream) -> Option<()> {
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting).await.ok()?;
    let mut theirs = [0; 64];
    stream.read_exact(&mut theirs).await.ok()?;
    if theirs[0] != 0xff || theirs[9] & 1 == 0 || theirs[10] < 3 || &theirs[12..17] != b"NULL\0" {
        return None;
    }
    stream.write_all(b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB").await.ok()?;
    let (flags, ready) = read_frame(stream).await?;
    let is_subscriber = ready.windows(3).any(|window| window == b"SUB");
    (flags & COMMAND != 0 && ready.starts_with(b"\x05READY") && is_subscriber).then_some(())
}

/// Notes the client's topics until it leaves.
async fn subscribe(mut stream: OwnedReadHalf, subscriber: &Subscriber) {
    while let Some((flags, frame)) = read_frame(&mut stream).await {
        let topics = &mut lock(&subscriber.queue).topics;
        match frame.first() {
            Some(1) if flags & COMMAND == 0 => topics.push(frame.slice(1..)),
            Some(0) if flags & COMMAND == 0 => {
                if let Some(at) = topics.iter().position(|topic| *topic == frame[1..]) {
                    topics.remove(at);
                }
            }
            _ => {}
        }
    }
}

async fn read_frame(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<(u8, Bytes)> {
    let flags = stream.read_u8().await.ok()?;
    let length = match flags & LONG {
        0 => u64::from(stream.read_u8().await.ok()?),
        _ => stream.read_u64().await.ok()?,
    };
    let length = usize::try_from(length).ok().filter(|_| length <= MOST_RECEIVED)?;
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await.ok()?;
    Some((flags, frame.into()))
}

fn encode(frames: &[Bytes]) -> Bytes {
    let mut out = BytesMut::with_capacity(frames.iter().map(|frame| frame.len() + 9).sum());
    for (index, frame) in frames.iter().enumerate() {
        let more = if index + 1 < frames.len() { MORE } else { 0 };
        match u8::try_from(frame.len()) {
            Ok(length) => out.put_slice(&[more, length]),
            Err(_) => {
                out.put_u8(more | LONG);
                out.put_u64(frame.len() as u64);
            }
        }
        out.put_slice(frame);
    }
    out.freeze()
}
