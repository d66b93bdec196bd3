//! Images as squares of bytes, decoded once: what training draws from, epoch after epoch.
//!
//! Up to 1 GB lies in memory. More lies in files of the cache, a thousand squares each, which are written whole or not at
//! all, found again by the next run, and read a square at a time: memory stays flat however many images there are. Behind
//! its squares a file has the CRC-32 of each, four bytes, little-endian: a bit that flipped on the disk is not learned from.

use super::ImageSet;
use crate::error::{Error, Result};
use crate::images::{CODE_VERSION, Preprocess};
use crate::key::{Key, digest_of};
use crate::progress::Progress;
use crate::storage::{self, FolderLock};
use rayon::prelude::*;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Bytes that are kept in memory at most.
const IN_MEMORY: usize = 1 << 30;
/// Squares in a file, and squares that are decoded before they are put away.
const SHARD: usize = 1024;

/// RGB squares of one size, by position.
///
/// ```
/// use wider_clip::datasets::Squares;
///
/// let squares = Squares::from_bytes(1, vec![1, 2, 3, 4, 5, 6])?;
/// assert_eq!((squares.len(), squares.side()), (2, 1));
/// let mut second = [0; 3];
/// squares.read(1, &mut second)?;
/// assert_eq!(second, [4, 5, 6]);
/// # Ok::<(), wider_clip::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Squares {
    side: usize,
    n: usize,
    key: String,
    store: Store,
}

#[derive(Debug)]
enum Store {
    Memory(Vec<u8>),
    /// Files of [`SHARD`] squares each.
    Files(Vec<Shard>, PathBuf),
}

/// A file of squares, and their sums. A reader moves the place in the file, so one at a time.
#[derive(Debug)]
struct Shard {
    file: Mutex<File>,
    sums: Vec<u32>,
}

impl Squares {
    /// Squares of `side` pixels, `side * side * 3` bytes each: row by row, red, green and blue of each pixel.
    ///
    /// # Errors
    /// [`Error::Argument`] for a side of 0, no bytes, or bytes that are no whole squares.
    pub fn from_bytes(side: usize, bytes: Vec<u8>) -> Result<Squares> {
        let of_one = 3 * side * side;
        if of_one == 0 || bytes.is_empty() || !bytes.len().is_multiple_of(of_one) {
            let expected = format!("at least one square of {side} x {side} x 3 bytes, and whole ones");
            return Err(Error::argument("squares", expected, format!("{} bytes", bytes.len())));
        }
        let key = storage::sha256_hex(&bytes)[..16].to_string();
        Ok(Squares { side, n: bytes.len() / of_one, key, store: Store::Memory(bytes) })
    }

    /// The squares that a model with this preprocessing sees of `rows` of a set, in their order; large ones in files under
    /// `cache`.
    ///
    /// # Errors
    /// An image that cannot be decoded, by name; a preprocessing that makes no sense; a cache that cannot be written.
    pub fn of(set: &ImageSet, rows: &[usize], preprocess: &Preprocess, cache: &Path) -> Result<Squares> {
        Squares::within(set, rows, preprocess, cache, IN_MEMORY)
    }

    /// The same with at most so many bytes in memory.
    ///
    /// # Errors
    /// As for [`Squares::of`].
    pub fn within(
        set: &ImageSet,
        rows: &[usize],
        preprocess: &Preprocess,
        cache: &Path,
        in_memory: usize,
    ) -> Result<Squares> {
        preprocess.check()?;
        if rows.is_empty() {
            return Err(Error::argument("squares", "at least one image", "none"));
        }
        let (side, n) = (preprocess.size, rows.len());
        let key = Key::new("squares")
            .with_all(&set.images_key())
            .with("rows", digest_of(rows.iter().map(usize::to_string)))
            .with("size", preprocess.size)
            .with("crop", preprocess.crop_pct)
            .with("resize", format!("{:?}", preprocess.resize))
            .with("interpolation", format!("{:?}", preprocess.interpolation))
            .with("code", CODE_VERSION)
            .digest();
        let total = n.saturating_mul(3 * side * side);
        if total <= in_memory {
            let mut bytes = Vec::with_capacity(total);
            for rows in rows.chunks(SHARD) {
                bytes.extend(decode(set, rows, preprocess)?);
            }
            return Ok(Squares { side, n, key, store: Store::Memory(bytes) });
        }
        let folder = cache.join("squares").join(&set.id).join(&key);
        let _lock = FolderLock::acquire(&folder, || {
            wider_clip_numbers::say!(
                "{}: waiting for another process that decodes it",
                wider_clip_numbers::say::plain(&set.id)
            );
        })?;
        let progress = Progress::new(format!("images of {}, decoded once", set.id), "images", n, 0);
        let mut files = Vec::new();
        for (index, rows) in rows.chunks(SHARD).enumerate() {
            let path = folder.join(format!("{index:05}.rgb"));
            let of_one = 3 * side * side;
            let whole = (rows.len() * (of_one + 4)) as u64;
            if !path.metadata().is_ok_and(|found| found.len() == whole) {
                let mut bytes = decode(set, rows, preprocess)?;
                let sums: Vec<u8> = bytes
                    .par_chunks(of_one)
                    .map(crc32fast::hash)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .flat_map(u32::to_le_bytes)
                    .collect();
                bytes.extend(sums);
                storage::write_atomic_with(&path, |file| file.write_all(&bytes).map_err(Error::io(&path, "writing")))?;
            }
            files.push(Shard::open(&path, rows.len(), of_one)?);
            progress.advance(rows.len());
        }
        progress.finish();
        Ok(Squares { side, n, key, store: Store::Files(files, folder) })
    }

    /// Height and width in pixels.
    pub fn side(&self) -> usize {
        self.side
    }

    /// Number of squares.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Never: there is one at least.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Sixteen digits that tell these squares from others.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether they lie in memory.
    pub fn in_memory(&self) -> bool {
        matches!(self.store, Store::Memory(_))
    }

    /// Puts one square into `into`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a position that there is not or memory of another length; a file that cannot be read.
    pub fn read(&self, position: usize, into: &mut [u8]) -> Result<()> {
        let of_one = 3 * self.side * self.side;
        if position >= self.n || into.len() != of_one {
            let expected = format!("a position below {} and {of_one} bytes", self.n);
            return Err(Error::argument("square", expected, format!("{position} and {} bytes", into.len())));
        }
        match &self.store {
            Store::Memory(bytes) => into.copy_from_slice(&bytes[position * of_one..][..of_one]),
            Store::Files(files, folder) => {
                let (shard, at) = (&files[position / SHARD], position % SHARD);
                let mut file = shard.file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start((at * of_one) as u64)).map_err(Error::io(folder, "reading"))?;
                file.read_exact(into).map_err(Error::io(folder, "reading"))?;
                drop(file);
                let found = crc32fast::hash(into);
                if found != shard.sums[at] {
                    let path = folder.join(format!("{:05}.rgb", position / SHARD));
                    let expected = format!("square {at} with CRC-32 {:08x}", shard.sums[at]);
                    let found = format!("{found:08x}; the file was damaged after it was written: remove it");
                    return Err(Error::data(path, expected, found));
                }
            }
        }
        Ok(())
    }
}

impl Shard {
    /// The file at `path`, which has `n` squares of `of_one` bytes.
    fn open(path: &Path, n: usize, of_one: usize) -> Result<Shard> {
        let mut file = File::open(path).map_err(Error::io(path, "opening"))?;
        let mut sums = vec![0; 4 * n];
        file.seek(SeekFrom::Start((n * of_one) as u64)).map_err(Error::io(path, "reading"))?;
        file.read_exact(&mut sums).map_err(Error::io(path, "reading"))?;
        let sums = sums.as_chunks().0.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        Ok(Shard { file: Mutex::new(file), sums })
    }
}

/// Rows that are read at once.
const AT_ONCE: usize = 256;

/// The squares of some rows, one behind the other.
fn decode(set: &ImageSet, rows: &[usize], preprocess: &Preprocess) -> Result<Vec<u8>> {
    let square = |row: usize, encoded: Result<Vec<u8>>| -> Result<Vec<u8>> {
        let square = preprocess.square(&*set.decode(row, &encoded?)?).map_err(|error| Error::Image {
            name: set.ids[row].clone(),
            expected: "an image that can be resized".into(),
            found: error.to_string(),
        })?;
        Ok(square.into_raw())
    };
    let mut bytes = Vec::with_capacity(rows.len() * 3 * preprocess.size * preprocess.size);
    // Rows that follow each other are read together.
    for run in rows.chunk_by(|a, b| a + 1 == *b).flat_map(|run| run.chunks(AT_ONCE)) {
        let encoded = set.read(run[0]..run[run.len() - 1] + 1)?;
        let squares = run.par_iter().zip(encoded).map(|(&row, encoded)| square(row, encoded));
        for square in squares.collect::<Result<Vec<_>>>()? {
            bytes.extend_from_slice(&square);
        }
    }
    Ok(bytes)
}
