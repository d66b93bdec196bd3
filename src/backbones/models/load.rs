//! From a model's record to a backbone that is ready to run.

use super::assemble::assemble;
use super::device::device_name;
use super::{Architecture, Backbone, WeightFile, initial_weights, transformer};
use crate::error::{Error, Result};
use crate::hub;
use crate::images::{Interpolation, Preprocess, ResizeMode};
use crate::manifest::{InputRecord, InterpolationRecord, ModelRecord, ResizeRecord, Weights, embedded_folder};
use crate::ops::require_bf16;
use crate::storage;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use ndarray::Array4;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A backbone with everything that decides its features.
pub struct LoadedModel {
    /// The record it was loaded from.
    pub record: ModelRecord,
    /// The network.
    pub backbone: Box<dyn Backbone>,
    /// How an image becomes its input.
    pub preprocess: Preprocess,
    /// SHA-256 of the weights file (of an index, of the hashes of its files), `seed N` for random weights, `none`.
    pub weights_id: String,
    /// Precision of the forward pass.
    pub dtype: DType,
    /// Where it runs.
    pub device: Device,
}

/// The weights of a model, read and named as this crate names them: to build a backbone from, or to train.
#[derive(Debug)]
pub struct ModelWeights {
    /// What they are weights of.
    pub architecture: Architecture,
    /// Parameter to tensor.
    pub tensors: HashMap<String, Tensor>,
    /// SHA-256 of the file, `seed N` for random weights, `none`.
    pub id: String,
}

/// Reads the weights of `record` as f32: embedded files are checked against the record's hash, files of the hub against
/// the project's lock (fetched where they are not on this machine), random ones drawn from the record's seed.
///
/// # Errors
/// An architecture that no code here builds; a file that is missing, damaged or of another model; whatever
/// [`hub::fetch_model`] says.
pub fn read_weights(root: &Path, record: &ModelRecord, device: &Device) -> Result<ModelWeights> {
    let architecture = match Architecture::named(&record.architecture)? {
        Architecture::Pixels(_) => Architecture::Pixels(record.input.size),
        other => other,
    };
    let from_file = |path: &Path| -> Result<HashMap<String, Tensor>> {
        let (parameters, schemes) = (architecture.parameters(), architecture.schemes());
        Ok(assemble(&WeightFile::open(path)?, &parameters, schemes, DType::F32, device)?.tensors)
    };
    let (id, file) = identified(root, record)?;
    let tensors = match (&record.weights, &architecture) {
        (Weights::Embedded { .. } | Weights::Hub { .. }, _) => from_file(&file.unwrap_or_default())?,
        (Weights::Random { seed, of_training: false }, Architecture::Transformer(config)) => {
            transformer::random_weights(config, *seed, device)?
        }
        (Weights::Random { seed, of_training: true }, architecture) => initial_weights(architecture, *seed, device)?,
        (Weights::None, Architecture::Pixels(_)) => HashMap::new(),
        (weights, _) => {
            let expected = "a file; or a seed, for a transformer or of training; or none for pixels";
            return Err(Error::argument("weights", expected, format!("{weights:?} for {}", record.architecture)));
        }
    };
    Ok(ModelWeights { architecture, tensors, id })
}

/// What tells the weights of `record` from all others: the SHA-256 of the file, which is hashed (or, in the hub's cache, was
/// when it last changed), how random ones are drawn, `none`.
///
/// # Errors
/// As for [`read_weights`], but that nothing is loaded.
pub fn weights_id(root: &Path, record: &ModelRecord) -> Result<String> {
    Ok(identified(root, record)?.0)
}

/// The same, with the file where there is one.
fn identified(root: &Path, record: &ModelRecord) -> Result<(String, Option<PathBuf>)> {
    Ok(match &record.weights {
        Weights::Embedded { file, sha256, .. } => (sha256.clone(), Some(embedded_file(root, file, sha256)?)),
        Weights::Hub { repo, revision, files } => {
            let (path, id) = fetch_weights(root, repo, revision, files)?;
            (id, Some(path))
        }
        Weights::Random { seed, of_training: false } => (format!("seed {seed}"), None),
        Weights::Random { seed, of_training: true } => (format!("training's seed {seed}"), None),
        Weights::None => ("none".into(), None),
    })
}

/// Fetches weights as [`hub::fetch_model`] does; of an index also the files that it names, from the index's commit, each
/// held to the lock. Returns the path, and the SHA-256 of the file (of an index: of the hashes of all files).
///
/// # Errors
/// As [`hub::fetch_model`]; an index that is broken.
pub fn fetch_weights(root: &Path, repo: &str, revision: &str, files: &[String]) -> Result<(PathBuf, String)> {
    let lock = hub::lock_path(root);
    let file = hub::fetch_model(&lock, repo, revision, files)?;
    let Some(parts) = WeightFile::files_of_index(&file.path)? else { return Ok((file.path, file.sha256)) };
    let folder = file.file.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let mut hashes = vec![file.sha256];
    for part in parts {
        hashes.push(hub::fetch_model(&lock, repo, &file.commit, &[format!("{folder}{part}")])?.sha256);
    }
    Ok((file.path, storage::sha256_hex(hashes.join("\n").as_bytes())))
}

/// Whether the weights of a model are on this machine, all files of an index included.
pub fn is_here(root: &Path, record: &ModelRecord) -> bool {
    match &record.weights {
        Weights::Embedded { file, .. } => embedded_folder(root).join(file).is_file(),
        Weights::Hub { repo, revision, files } => {
            let whole = |path: &PathBuf| {
                let parts = WeightFile::files_of_index(path).ok().flatten().unwrap_or_default();
                parts.iter().all(|part| path.with_file_name(part).is_file())
            };
            hub::model_in_cache(&hub::lock_path(root), repo, revision, files).filter(whole).is_some()
        }
        Weights::Random { .. } | Weights::None => true,
    }
}

/// The path of an embedded file of weights, whose bytes have been compared with `sha256`.
///
/// # Errors
/// A file that is missing, or has another hash; an index of other files, which no hash of the record holds.
pub fn embedded_file(root: &Path, file: &str, sha256: &str) -> Result<PathBuf> {
    let path = embedded_folder(root).join(file);
    let found = storage::sha256_file(&path)?;
    if found != sha256 {
        return Err(Error::data(&path, format!("SHA-256 {sha256}"), found));
    }
    match WeightFile::files_of_index(&path)? {
        None => Ok(path),
        Some(files) => {
            let expected = "the weights themselves, since the record has the hash of this file alone";
            Err(Error::data(&path, expected, format!("an index of {}", files.join(", "))))
        }
    }
}

/// Loads the model of `record`, frozen, in f32; see [`read_weights`].
///
/// # Errors
/// As for [`read_weights`].
pub fn load(root: &Path, record: &ModelRecord, device: &Device) -> Result<LoadedModel> {
    load_as(root, record, device, DType::F32)
}

/// [`load`] with a forward pass in `dtype`: f32 everywhere; on a GPU f16 or bf16; on a processor with AVX512-BF16 bf16 for
/// the factors of matrix products, and f32 for the rest ([`Backbone::round_to_bf16`]). Images and features stay f32.
///
/// # Errors
/// As for [`read_weights`]; [`Error::Argument`] for another type, or for half precision on a processor that has no
/// arithmetic for it, before anything is read.
pub fn load_as(root: &Path, record: &ModelRecord, device: &Device, dtype: DType) -> Result<LoadedModel> {
    let products = device.is_cpu() && dtype == DType::BF16;
    let built = match dtype {
        DType::F32 => DType::F32,
        DType::BF16 if products => {
            require_bf16()?;
            DType::F32
        }
        DType::F16 | DType::BF16 if !device.is_cpu() => dtype,
        other => {
            let expected = "f32; f16 or bf16 on a GPU; bf16 on a processor with AVX512-BF16";
            let found = format!("{other:?} on {}", device_name(device));
            return Err(Error::argument("precision", expected, found));
        }
    };
    let weights = read_weights(root, record, device)?;
    let mut backbone = weights.architecture.build(VarBuilder::from_tensors(weights.tensors, built, device))?;
    if products {
        backbone.round_to_bf16(&record.family)?;
    }
    let preprocess = preprocess(&record.input);
    preprocess.check()?;
    Ok(LoadedModel {
        record: record.clone(),
        backbone,
        preprocess,
        weights_id: weights.id,
        dtype,
        device: device.clone(),
    })
}

impl LoadedModel {
    /// How much the class token takes from each patch in the last block, by head: `images` (B, 3, H, W) to
    /// (B, heads, G, G), the picture of DINO's paper; `None` from a model without attention.
    ///
    /// What the class token takes from itself is left out, so a map adds up to less than 1.
    ///
    /// # Errors
    /// As for [`Backbone::forward`].
    pub fn attention_maps(&self, images: &Tensor) -> Result<Option<Array4<f32>>> {
        let Some(attention) = self.backbone.attention(images)? else { return Ok(None) };
        let (batch, heads, tokens, _) = attention.dims4()?;
        let grid = (tokens - 1).isqrt();
        let maps = attention.narrow(2, 0, 1)?.narrow(3, 1, tokens - 1)?.to_dtype(DType::F32)?;
        let shape = (batch, heads, grid, grid);
        let maps = Array4::from_shape_vec(shape, maps.flatten_all()?.to_vec1()?);
        maps.map(Some).map_err(|error| Error::argument("attention", format!("{shape:?}"), error.to_string()))
    }
}

/// How an image becomes the input that a record states.
///
/// What the record says is taken over as it is; [`Preprocess::check`] says whether it makes sense.
pub fn preprocess(input: &InputRecord) -> Preprocess {
    Preprocess {
        size: input.size,
        crop_pct: input.crop_pct,
        resize: match input.resize {
            ResizeRecord::Shorter => ResizeMode::Shorter,
            ResizeRecord::ShortestEdge => ResizeMode::ShortestEdge,
            ResizeRecord::Squash => ResizeMode::Squash,
        },
        interpolation: match input.interpolation {
            InterpolationRecord::Bilinear => Interpolation::Bilinear,
            InterpolationRecord::Bicubic => Interpolation::Bicubic,
        },
        mean: input.mean,
        std: input.std,
    }
}
