//! Nearest neighbours with the matrix products on the device, from arrays in memory to classes in memory.

use crate::Rows;
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;
use wider_clip::candle_core::{DType, Device, Tensor, safetensors};
use wider_clip::error::{Error, Result};
use wider_clip::linfa::prelude::Fit;
use wider_clip::ndarray::Array2;
use wider_clip::probe::{knn::Knn, labelled};

/// Reads `references` (N, D), `labels` (N,) and `queries` (Q, D), and puts the classes of the queries into a file beside it
/// that ends in `.ours`. The row: the median of the seconds.
pub fn measured(file: &Path, k: usize, rounds: usize, device: &Device) -> Result<Rows> {
    let held = safetensors::load(file, &Device::Cpu)?;
    let read = |name: &str| held.get(name).ok_or_else(|| Error::argument("file of features", name, "none"));
    let array = |name: &'static str| -> Result<Array2<f32>> {
        let tensor = read(name)?;
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        let misshaped = |error: wider_clip::ndarray::ShapeError| Error::argument(name, "a matrix", error.to_string());
        Array2::from_shape_vec(tensor.dims2()?, values).map_err(misshaped)
    };
    let labels = read("labels")?.to_dtype(DType::U32)?.to_vec1::<u32>()?;
    let queries = array("queries")?;
    let model = Knn::params(k).fit(&labelled(array("references")?, labels)?)?;
    let mut classes = model.predict_on(device, queries.view())?;
    let mut taken = Vec::with_capacity(rounds);
    for _ in 0..rounds.max(1) {
        let start = Instant::now();
        classes = model.predict_on(device, queries.view())?;
        taken.push(start.elapsed().as_secs_f64());
    }
    taken.sort_by(f64::total_cmp);
    let classes = HashMap::from([("classes", Tensor::from_vec(classes.to_vec(), queries.nrows(), &Device::Cpu)?)]);
    let mut out = file.as_os_str().to_owned();
    out.push(".ours");
    safetensors::save(&classes, out)?;
    Ok(vec![vec![taken[taken.len() / 2].to_string()]])
}
