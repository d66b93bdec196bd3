//! Frames, signatures, dates.

use bytes::Bytes;
use serde_json::json;
use std::time::{Duration, UNIX_EPOCH};
use wider_clip::proxy::wire::{Covers, Message, Refused, Signer, date};

fn signed(signer: &Signer, buffers: &[&'static [u8]], covers: Covers) -> Vec<Bytes> {
    let mut message = Message::new("comm_msg", &json!({"a": 1}));
    message.identities = vec![Bytes::from_static(b"me")];
    message.buffers = buffers.iter().map(|buffer| Bytes::from_static(buffer)).collect();
    message.into_frames(signer, covers)
}

#[test]
fn a_message_passes_byte_for_byte() {
    let signer = Signer::new("key");
    let mut frames = signed(&signer, &[b"\0\xff"], Covers::Parts);
    // Spaces that this crate would not write.
    frames[6] = Bytes::from_static(b"{ \"a\" : 1 }");
    frames[2] = signer.sign(frames[3..7].iter());
    let message = Message::parse(frames.clone(), &signer).unwrap();
    assert_eq!(message.content(), json!({"a": 1}));
    assert_eq!(message.clone().into_frames(&signer, Covers::Parts), frames);
    // The child wants the buffers signed too.
    let for_child = message.into_frames(&signer, Covers::Everything);
    assert_eq!(for_child[2], signer.sign(frames[3..].iter()));
    assert!(Message::parse(for_child, &signer).is_ok());
}

#[test]
fn a_wrong_signature_is_refused() {
    let signer = Signer::new("key");
    for other in ["other", ""] {
        let refused = Message::parse(signed(&Signer::new(other), &[], Covers::Parts), &signer);
        assert_eq!(refused.unwrap_err(), Refused::Signature);
    }
    let mut frames = signed(&signer, &[], Covers::Parts);
    frames[2] = Bytes::from_static(b"\xc3\xa4z");
    assert_eq!(Message::parse(frames, &signer).unwrap_err(), Refused::Signature);
    assert!(Message::parse(signed(&signer, &[], Covers::Parts), &Signer::new("")).is_ok());
}

#[test]
fn what_is_no_message_is_refused() {
    let signer = Signer::new("");
    let frames = |frames: &[&'static [u8]]| frames.iter().map(|frame| Bytes::from_static(frame)).collect();
    for wrong in [
        frames(&[]),
        frames(&[b"<IDS|MSG>"]),
        frames(&[b"<IDS|MSG>", b"", b"{}", b"{}", b"{}"]),
        frames(&[b"<IDS|MSG>", b"", b"{}", b"{}", b"{}", b"{}"]),
        frames(&[b"<IDS|MSG>", b"", b"[1]", b"{}", b"{}", b"{}"]),
        frames(&[b"<IDS|MSG>", b"", b"{\"msg_id\":\"1\",\"msg_type\":\"x\"}", b"", b"{}", b"{}"]),
    ] {
        assert_eq!(Message::parse(wrong, &signer).unwrap_err(), Refused::Malformed);
    }
}

#[test]
fn dates() {
    for (seconds, expected) in [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_782_399, "2000-02-28T23:59:59.000000Z"),
        (951_782_400, "2000-02-29T00:00:00.000000Z"),
        (1_772_323_200, "2026-03-01T00:00:00.000000Z"),
        (1_798_761_599, "2026-12-31T23:59:59.000000Z"),
    ] {
        assert_eq!(date(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
    }
}
