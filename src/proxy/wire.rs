//! Jupyter messages as frames: taking them apart, checking and making signatures, writing new ones.
//!
//! A message keeps the frames it came in. Only one whose content was replaced, or that was made here, is signed anew.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Between the identities and the message.
const DELIMITER: &[u8] = b"<IDS|MSG>";

/// Header, parent header, metadata, content.
const PARTS: usize = 4;

const HEADER: usize = 0;
const PARENT: usize = 1;
const METADATA: usize = 2;
const CONTENT: usize = 3;

/// Makes and checks signatures with the key of the connection file.
#[derive(Clone)]
pub struct Signer(Option<Hmac<Sha256>>);

/// What a signature covers where a message carries binary buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covers {
    /// The four parts, as the protocol has it.
    Parts,
    /// The buffers as well, as evcxr_jupyter has it.
    Everything,
}

impl Signer {
    /// An empty key means that nothing is signed.
    pub fn new(key: &str) -> Signer {
        // Every length of key will do for HMAC.
        Signer((!key.is_empty()).then(|| Hmac::new_from_slice(key.as_bytes()).ok()).flatten())
    }

    fn mac<'a>(&self, frames: impl Iterator<Item = &'a Bytes>) -> Option<Hmac<Sha256>> {
        let mut mac = self.0.clone()?;
        frames.for_each(|frame| mac.update(frame));
        Some(mac)
    }

    /// The signature of frames, in hexadecimal.
    pub fn sign<'a>(&self, frames: impl Iterator<Item = &'a Bytes>) -> Bytes {
        let Some(mac) = self.mac(frames) else { return Bytes::new() };
        let digits = b"0123456789abcdef";
        let hex = |byte: u8| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]];
        mac.finalize().into_bytes().into_iter().flat_map(hex).collect::<Vec<u8>>().into()
    }

    fn holds<'a>(&self, signature: &[u8], frames: impl Iterator<Item = &'a Bytes>) -> bool {
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let bytes: Option<Vec<u8>> =
            signature.chunks(2).map(|pair| Some((digit(pair.first()?)? << 4) | digit(pair.get(1)?)?)).collect();
        match (self.mac(frames), bytes) {
            (None, _) => true,
            (Some(mac), Some(bytes)) => mac.verify_slice(&bytes).is_ok(),
            (Some(_), None) => false,
        }
    }
}

/// Why frames are no message; such frames are ignored, as Jupyter's own kernels do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The frames are not arranged as a message, or a part is no JSON.
    Malformed,
    /// The signature is not that of the key.
    Signature,
}

/// One message.
#[derive(Clone, Debug)]
pub struct Message {
    /// To whom it goes, or from whom it came.
    pub identities: Vec<Bytes>,
    /// The signature that it came with and what that covers; `None` where it must be made.
    signature: Option<(Bytes, Covers)>,
    parts: [Bytes; PARTS],
    /// Binary data behind the parts.
    pub buffers: Vec<Bytes>,
    /// `msg_type`.
    pub kind: String,
    /// `msg_id`.
    pub id: String,
    /// `msg_id` of the message that this one belongs to; empty where there is none.
    pub parent_id: String,
}

impl Message {
    /// Takes frames apart and checks the signature.
    ///
    /// # Errors
    /// [`Refused`] where they are no message that the holder of the key wrote.
    pub fn parse(mut frames: Vec<Bytes>, signer: &Signer) -> Result<Message, Refused> {
        let delimiter = frames.iter().position(|frame| frame.as_ref() == DELIMITER).ok_or(Refused::Malformed)?;
        if frames.len() < delimiter + 2 + PARTS {
            return Err(Refused::Malformed);
        }
        let buffers = frames.split_off(delimiter + 2 + PARTS);
        let parts: Vec<Bytes> = frames.split_off(delimiter + 2);
        let parts: [Bytes; PARTS] = parts.try_into().map_err(|_| Refused::Malformed)?;
        let signature = frames.pop().ok_or(Refused::Malformed)?;
        frames.truncate(delimiter);
        let covers = if signer.holds(&signature, parts.iter()) {
            Covers::Parts
        } else if !buffers.is_empty() && signer.holds(&signature, parts.iter().chain(&buffers)) {
            Covers::Everything
        } else {
            return Err(Refused::Signature);
        };
        let header = object(&parts[HEADER]).ok_or(Refused::Malformed)?;
        let parent = object(&parts[PARENT]).ok_or(Refused::Malformed)?;
        let text = |object: &Map<String, Value>, name: &str| object.get(name)?.as_str().map(str::to_string);
        Ok(Message {
            identities: frames,
            signature: Some((signature, covers)),
            kind: text(&header, "msg_type").ok_or(Refused::Malformed)?,
            id: text(&header, "msg_id").ok_or(Refused::Malformed)?,
            parent_id: text(&parent, "msg_id").unwrap_or_default(),
            parts,
            buffers,
        })
    }

    /// Whether metadata and content are JSON objects: the child kernel goes deaf at a message where they are not.
    pub fn is_whole(&self) -> bool {
        object(&self.parts[METADATA]).is_some() && object(&self.parts[CONTENT]).is_some()
    }

    /// A new message of `kind` that belongs to no other.
    pub fn new(kind: &str, content: &Value) -> Message {
        Message::with_parent(kind, content, Bytes::from_static(b"{}"), String::new())
    }

    /// A new message of `kind` that belongs to this one.
    pub fn child(&self, kind: &str, content: &Value) -> Message {
        Message::with_parent(kind, content, self.parts[HEADER].clone(), self.id.clone())
    }

    /// The reply to this request, for the one who asked.
    pub fn reply(&self, content: &Value) -> Message {
        let kind = self.kind.replace("_request", "_reply");
        Message { identities: self.identities.clone(), ..self.child(&kind, content) }
    }

    fn with_parent(kind: &str, content: &Value, parent: Bytes, parent_id: String) -> Message {
        let id = new_id();
        let header = json!({
            "msg_id": id, "msg_type": kind, "username": "kernel", "session": session_id(),
            "date": date(SystemTime::now()), "version": "5.3",
        });
        let parts = [bytes(&header), parent, Bytes::from_static(b"{}"), bytes(content)];
        let kind = kind.to_string();
        Message { identities: Vec::new(), signature: None, parts, buffers: Vec::new(), kind, id, parent_id }
    }

    /// The content; null where it is no JSON.
    pub fn content(&self) -> Value {
        serde_json::from_slice(&self.parts[CONTENT]).unwrap_or_default()
    }

    /// The content as it came, to look at before it is parsed.
    pub fn raw_content(&self) -> &[u8] {
        &self.parts[CONTENT]
    }

    /// The same message with another content.
    pub fn with_content(mut self, content: &Value) -> Message {
        self.parts[CONTENT] = bytes(content);
        self.signature = None;
        self
    }

    /// The frames to send: as they came where nothing was changed.
    pub fn into_frames(self, signer: &Signer, wanted: Covers) -> Vec<Bytes> {
        let signature = match self.signature {
            Some((signature, covers)) if covers == wanted || self.buffers.is_empty() => signature,
            _ if wanted == Covers::Everything => signer.sign(self.parts.iter().chain(&self.buffers)),
            _ => signer.sign(self.parts.iter()),
        };
        let mut frames = self.identities;
        frames.extend([Bytes::from_static(DELIMITER), signature]);
        frames.extend(self.parts);
        frames.extend(self.buffers);
        frames
    }
}

fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn bytes(value: &Value) -> Bytes {
    value.to_string().into_bytes().into()
}

/// Names this process in the messages it writes.
pub fn session_id() -> &'static str {
    static SESSION: OnceLock<String> = OnceLock::new();
    SESSION.get_or_init(|| format!("{:016x}{:016x}", chance(), chance()))
}

/// A number by chance: the standard library seeds its hash maps so.
pub(crate) fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn new_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{}_{}", session_id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// ISO 8601 in UTC with microseconds.
pub fn date(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, days) = (since.as_secs() % 86_400, since.as_secs() / 86_400);
    // Days to a date of the Gregorian calendar, by 400-year cycles that begin in March.
    let shifted = days + 719_468;
    let of_cycle = shifted % 146_097;
    let year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + shifted / 146_097 * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", since.subsec_micros())
}
