//! The safetensors format: 8 bytes with the length of a JSON header, the header, the tensors one after another.

use super::index::Unique;
use super::stored::{Element, Part, Stored, e4m3, e5m2, row_major};
use crate::error::{Error, Result};
use candle_core::DType;
use safetensors::tensor::{Dtype, Metadata};
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// The longest header that the format's own library takes.
const LONGEST_HEADER: u64 = 100_000_000;

/// Whether the file begins as the format says: a length that can be one, then `{`.
pub(super) fn looks_like(start: &[u8]) -> bool {
    start.get(8) == Some(&b'{') && header_length(start).is_some_and(|length| length <= LONGEST_HEADER)
}

fn header_length(start: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(start.get(..8)?.try_into().ok()?))
}

pub(super) fn read(part: &Part, start: &[u8]) -> Result<BTreeMap<String, Stored>> {
    let path = &part.path;
    let length = header_length(start).unwrap_or_default();
    if 8 + length > part.length {
        let found = format!("{}: the file is cut short{AGAIN}", part.length);
        let expected = format!("a header of {length} bytes and tensors, over {} bytes", 8 + length);
        return Err(Error::data(path, expected, found));
    }
    let header = part.read(8, length)?;
    let bad =
        |error: serde_json::Error| Error::data(path, "a safetensors header that is consistent", error.to_string());
    // The format's own library takes the last of two entries of one name.
    serde_json::from_slice::<Unique<IgnoredAny>>(&header).map_err(bad)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(bad)?;
    let data = 8 + length;
    let expected = (metadata.data_len() as u64).saturating_add(data);
    if expected != part.length {
        let how = if expected > part.length { format!("the file is cut short{AGAIN}") } else { "more follows".into() };
        return Err(Error::data(path, format!("{expected} bytes, by its header"), format!("{}: {how}", part.length)));
    }
    let stored = metadata.tensors().into_iter().map(|(name, info)| {
        let (shape, start) = (info.shape.clone(), data + info.data_offsets.0 as u64);
        (name, Stored { part: 0, element: element(info.dtype), strides: row_major(&shape), shape, start })
    });
    Ok(stored.collect())
}

/// What to do with a file that is cut short.
const AGAIN: &str = "; delete it and download it again";

fn element(dtype: Dtype) -> Result<Element, String> {
    let same = match dtype {
        Dtype::F8_E4M3 => return Ok(Element::Small(e4m3)),
        Dtype::F8_E5M2 => return Ok(Element::Small(e5m2)),
        Dtype::BOOL | Dtype::U8 => DType::U8,
        Dtype::U32 => DType::U32,
        Dtype::I16 => DType::I16,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        Dtype::BF16 => DType::BF16,
        Dtype::F16 => DType::F16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        other => return Err(format!("{other:?}")),
    };
    Ok(Element::Same(same))
}
