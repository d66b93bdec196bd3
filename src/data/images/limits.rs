//! What a picture may cost: pixels, sides, memory beside the pixels, memory of all threads together; and panics of
//! foreign decoders, which become errors.

use super::decode::Refusal;
use crate::guard::caught;
use std::sync::{Condvar, Mutex, PoisonError};

/// Most pixels an image may have: Pillow's limit for what it calls a decompression bomb.
pub const MAX_PIXELS: u64 = 178_956_970;

/// Longest side an image may have: JPEG's and GIF's own limit, held for every format.
pub const MAX_SIDE: u32 = 65_535;

/// Memory in bytes that a decoder may use beside the pixels: text chunks, colour profiles, a row of a TIFF's tiles.
pub(super) const SCRATCH_BYTES: u64 = 64 << 20;

/// Memory in bytes that large pictures may take together, over all threads. One picture alone may need more than that:
/// it then waits until no other large one is being decoded.
const TOGETHER: u64 = 1 << 30;

/// Pictures that need less memory than this, in bytes, do not count.
const SMALL: u64 = 64 << 20;

/// Refuses images too large to be anything but a mistake or an attack, and images without pixels.
pub(super) fn check_size(width: u32, height: u32) -> Result<(), Refusal> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 || pixels > MAX_PIXELS || width.max(height) > MAX_SIDE {
        let expected = format!("1 to {MAX_PIXELS} pixels and no side above {MAX_SIDE}");
        return Err(Refusal::new(expected, format!("{width} x {height} pixels")));
    }
    Ok(())
}

/// Bytes that large pictures take now, over all threads.
static TAKEN: Mutex<u64> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// A large picture's share of the memory; dropping it gives the share back.
pub(super) struct Share(u64);

/// Waits until `bytes` of memory fit beside the large pictures of other threads. A thread asks once for each picture, and
/// holds nothing else while it waits, so that somebody always goes on.
pub(super) fn reserve(bytes: u64) -> Share {
    if bytes < SMALL {
        return Share(0);
    }
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    while *taken > 0 && *taken + bytes > TOGETHER {
        taken = FREED.wait(taken).unwrap_or_else(PoisonError::into_inner);
    }
    *taken += bytes;
    Share(bytes)
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.0 > 0 {
            *TAKEN.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
            FREED.notify_all();
        }
    }
}

/// Runs a decoder; where it panics, that is a refusal that carries the panic's message, and nothing is printed.
pub(super) fn guarded<T>(decode: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    let failed = |said: String| {
        let found = format!("a file on which the decoder failed: {said}");
        Err(Refusal::new("an image that can be decoded", found))
    };
    caught(decode).unwrap_or_else(failed)
}
