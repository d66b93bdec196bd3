//! Reading the goldens of `tests/reference/numerics.py`.

use base64::Engine;
use serde_json::Value;
use wider_clip::prelude::*;

/// A file of this folder as JSON.
pub fn json(file: &str) -> Value {
    let path = format!("{}/tests/golden/numerics/{file}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()
}

/// An array written as shape and base64.
pub fn array(value: &Value) -> Array2<f32> {
    let shape: (usize, usize) = serde_json::from_value(value["shape"].clone()).unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(value["f32"].as_str().unwrap()).unwrap();
    let values = bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    Array2::from_shape_vec(shape, values).unwrap()
}

/// Any list of JSON values as a type that serde knows.
pub fn list<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).unwrap()
}
