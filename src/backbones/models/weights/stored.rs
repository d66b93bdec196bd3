//! A file that tensors are read from, and where in it a tensor lies.

use crate::error::{Error, Result};
use crate::storage::changed;
use candle_core::{DType, Device, Tensor};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// Bytes that are read at once.
const PIECE: usize = 1 << 18;

/// The most bytes that a tensor may take whose elements lie in the file only once for many (an expanded view).
const MOST_REPEATED: usize = 256 << 20;

/// An open file. Nothing of it is mapped: a file that another program cuts short gives an error.
pub(super) struct Part {
    pub(super) path: PathBuf,
    pub(super) length: u64,
    changed: Option<SystemTime>,
    file: Mutex<File>,
}

impl Part {
    pub(super) fn open(path: &Path) -> Result<Part> {
        // Asked first: opening a pipe would wait for a writer.
        let metadata = std::fs::metadata(path).map_err(Error::io(path, "opening"))?;
        if !metadata.is_file() || metadata.len() == 0 {
            let found = if metadata.is_file() { "an empty file" } else { "a folder or a device" };
            return Err(super::foreign::not_weights(path, found));
        }
        let file = File::open(path).map_err(Error::io(path, "opening"))?;
        let metadata = file.metadata().map_err(Error::io(path, "reading"))?;
        let (length, changed) = (metadata.len(), metadata.modified().ok());
        Ok(Part { path: path.to_path_buf(), length, changed, file: Mutex::new(file) })
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle of its own, at the start.
    pub(super) fn reader(&self) -> Result<File> {
        let mut file = self.lock().try_clone().map_err(Error::io(&self.path, "reading"))?;
        file.rewind().map_err(Error::io(&self.path, "reading"))?;
        Ok(file)
    }

    /// Bytes of the file. [`Error::Data`] where there are not so many.
    pub(super) fn read(&self, start: u64, length: u64) -> Result<Vec<u8>> {
        let end = start.checked_add(length).filter(|end| *end <= self.length);
        let mut bytes = room(length as usize)
            .filter(|_| end.is_some())
            .ok_or_else(|| self.too_short(format!("{length} bytes from byte {start}")))?;
        bytes.resize(length as usize, 0);
        self.fill(start, |file| file.read_exact(&mut bytes))?;
        Ok(bytes)
    }

    /// Lets `read` read from byte `start`, after a look at whether the file is still the one that was opened.
    fn fill(&self, start: u64, read: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<()> {
        let mut file = self.lock();
        let same = |now: Metadata| now.len() == self.length && now.modified().ok() == self.changed;
        if !file.metadata().is_ok_and(same) {
            return Err(changed(&self.path));
        }
        let result = file.seek(SeekFrom::Start(start)).and_then(|_| read(&mut file));
        result.map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => changed(&self.path),
            _ => Error::io(&self.path, "reading")(error),
        })
    }

    fn too_short(&self, expected: String) -> Error {
        Error::data(&self.path, expected, format!("a file of {} bytes, or no memory for them", self.length))
    }
}

/// Room for so many elements; `None` where there is not so much memory.
fn room<T>(n: usize) -> Option<Vec<T>> {
    let mut room = Vec::new();
    room.try_reserve_exact(n).ok().map(|()| room)
}

/// Where a tensor lies in a file, checked against the file's length when it is opened.
#[derive(Debug)]
pub(super) struct Stored {
    /// Which of the files.
    pub(super) part: usize,
    /// The type, or the file's word for one that is not read.
    pub(super) element: Result<Element, String>,
    pub(super) shape: Vec<usize>,
    /// Steps between elements along each axis, counted in elements.
    pub(super) strides: Vec<usize>,
    /// Byte of the first element, from the start of the file.
    pub(super) start: u64,
}

/// How the elements of a type of the file are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Element {
    /// As they are.
    Same(DType),
    /// One byte each, of which this makes a number: candle has such a type, but no working way to another.
    Small(fn(u8) -> f32),
}

impl Element {
    pub(super) fn size(self) -> usize {
        match self {
            Element::Same(dtype) => dtype.size_in_bytes(),
            Element::Small(_) => 1,
        }
    }
}

/// A float of 4 bits of exponent and 3 of mantissa, without infinities (E4M3FN).
pub(super) fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
    let size = match (byte & 0x7f, exponent) {
        (0x7f, _) => f32::NAN,
        (_, 0) => mantissa * 2f32.powi(-9),
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
    };
    if byte < 0x80 { size } else { -size }
}

/// A float of 5 bits of exponent and 2 of mantissa (E5M2).
pub(super) fn e5m2(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 2 & 31), f32::from(byte & 3));
    let size = match exponent {
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        0 => mantissa * 2f32.powi(-16),
        _ => (1.0 + mantissa / 4.0) * 2f32.powi(exponent - 15),
    };
    if byte < 0x80 { size } else { -size }
}

impl Stored {
    /// The number of elements from the first to the last one in the file, both included; `None` if that overflows.
    pub(super) fn span(&self) -> Option<usize> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        self.shape
            .iter()
            .zip(&self.strides)
            .try_fold(1usize, |sum, (n, stride)| sum.checked_add((n - 1).checked_mul(*stride)?))
    }

    /// The tensor, in row-major order.
    pub(super) fn tensor(&self, name: &str, part: &Part, element: Element, device: &Device) -> Result<Tensor> {
        let size = element.size();
        let made = |bytes: &[u8]| match element {
            Element::Same(dtype) => Tensor::from_raw_buffer(bytes, dtype, &self.shape, device),
            Element::Small(number) => {
                let values = bytes.iter().map(|byte| number(*byte)).collect::<Vec<_>>();
                Tensor::from_vec(values, self.shape.as_slice(), device)
            }
        };
        let (count, span) = (self.shape.iter().product::<usize>(), self.span().unwrap_or_default());
        let whole = Error::tensor(format!("{}: tensor `{name}`", part.path.display()));
        let axes = self.shape.iter().zip(&self.strides).zip(row_major(&self.shape));
        if axes.into_iter().all(|((n, stride), row)| *n <= 1 || *stride == row) {
            if matches!(element, Element::Same(DType::F32)) {
                let values = self.floats(part, count)?;
                return Tensor::from_vec(values, self.shape.as_slice(), device).map_err(whole);
            }
            let bytes = part.read(self.start, (count * size) as u64)?;
            return made(&bytes).map_err(whole);
        }
        if count > span && count * size > MOST_REPEATED {
            let expected = format!("tensor `{name}` of at most {MOST_REPEATED} bytes, as it repeats elements");
            return Err(Error::data(&part.path, expected, format!("{} bytes, made of {}", count * size, span * size)));
        }
        let source = part.read(self.start, (span * size) as u64)?;
        let no_room = || part.too_short(format!("tensor `{name}` of {} bytes", count * size));
        let bytes = self.gather(&source, room(count * size).ok_or_else(no_room)?, size);
        made(&bytes).map_err(whole)
    }

    /// Elements that lie one after another, read piece by piece: the bytes are never in memory as a whole.
    fn floats(&self, part: &Part, count: usize) -> Result<Vec<f32>> {
        let mut values = room(count).ok_or_else(|| part.too_short(format!("{count} numbers")))?;
        let mut piece = vec![0; PIECE.min(4 * count)];
        part.fill(self.start, |file| {
            while values.len() < count {
                let piece = &mut piece[..PIECE.min(4 * (count - values.len()))];
                file.read_exact(piece)?;
                values.extend(piece.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
            Ok(())
        })?;
        Ok(values)
    }

    /// The elements in row-major order, `size` bytes each, of `source`, which begins at the first.
    fn gather(&self, source: &[u8], mut bytes: Vec<u8>, size: usize) -> Vec<u8> {
        let count: usize = self.shape.iter().product();
        let mut index = vec![0; self.shape.len()];
        let mut at = 0;
        for _ in 0..count {
            bytes.extend_from_slice(&source[at..at + size]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += self.strides[axis] * size;
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= self.strides[axis] * size * self.shape[axis];
                index[axis] = 0;
            }
        }
        bytes
    }
}

/// The strides of a contiguous tensor.
pub(super) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}
