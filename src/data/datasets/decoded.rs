//! Pictures kept in memory, so that several models of one run do not decode them again.

use crate::error::Result;
use image::RgbImage;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of pixels that are kept: 512 MB.
const MOST: usize = 512 << 20;

/// What was decoded, by row; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Decoded(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    pictures: HashMap<usize, Arc<RgbImage>>,
    bytes: usize,
}

impl Decoded {
    /// The picture of `row`, decoded where it is not there. An error is not kept.
    pub fn get_or(&self, row: usize, decode: impl FnOnce() -> Result<RgbImage>) -> Result<Arc<RgbImage>> {
        // A thread that panicked left nothing half-done.
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(picture) = lock().pictures.get(&row) {
            return Ok(picture.clone());
        }
        let picture = Arc::new(decode()?);
        let mut kept = lock();
        let bytes = picture.as_raw().len();
        if kept.bytes + bytes <= MOST && kept.pictures.insert(row, picture.clone()).is_none() {
            kept.bytes += bytes;
        }
        Ok(picture)
    }
}
