//! Extraction: images in, features out, a shard at a time.

use super::cache::{FeatureTable, Shard, folder, has_key, has_shard, shard_path, write_key};
use crate::datasets::ImageSet;
use crate::error::{Error, Result};
use crate::images;
use crate::key::{Key, digest_of};
use crate::manifest::ModelRecord;
use crate::models::{LoadedModel, arithmetic};
use crate::progress::Progress;
use crate::storage::{self, FolderLock};
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

/// Images a shard: what a killed run may lose, and what is held in memory at once.
const SHARD: usize = 256;
/// What a part of an extraction is best a multiple of, in images.
pub const PART: usize = SHARD;
/// Images a forward pass. Part of the code version: another batch may move the last digit.
const BATCH: usize = 32;
/// Raised whenever a change in batching or a model's arithmetic moves a number.
const ARITHMETIC_VERSION: u32 = 0;
/// With the version of pixels: both only rise, so that their sum tells.
const CODE_VERSION: u32 = images::CODE_VERSION + ARITHMETIC_VERSION;
/// The same of what is rounded to bf16 on a processor.
const ROUNDING_VERSION: u32 = 2;
/// The same of half precision on a GPU.
const HALF_VERSION: u32 = 2;

/// What to extract.
#[derive(Debug, Clone, Copy)]
pub struct Extraction<'a> {
    /// The cache, see [`storage::cache_folder`].
    pub cache: &'a Path,
    /// Rows of the data set, ascending; `None` takes all.
    pub rows: Option<&'a [usize]>,
    /// Print progress.
    pub verbose: bool,
    /// Count the images in a larger job's progress instead, each as so much work.
    pub within: Option<(&'a Progress, f64)>,
}

/// What [`extract`] expects where it fails since no image can be decoded.
pub const ONE_USABLE: &str = "at least one usable image";

/// Features of `set` under `model`, from the cache where they are there, computed and cached where not.
///
/// Images that cannot be decoded are set aside by name with the reason ([`FeatureTable::set_aside`]).
///
/// # Errors
/// Rows out of range or not ascending, a file of the set that cannot be read or was changed, a data set of which no image
/// could be used, a cache that cannot be written, or features that are not finite (named by image).
pub fn extract(model: &LoadedModel, set: &ImageSet, what: Extraction) -> Result<FeatureTable> {
    extract_of(model, set, what, None)
}

/// As [`extract`], with one feature of the model in memory: of what is kept in the cache it may be a small part.
///
/// # Errors
/// As for [`extract`]; a feature that the record of the model does not name.
pub fn extract_pooling(model: &LoadedModel, set: &ImageSet, what: Extraction, pooling: &str) -> Result<FeatureTable> {
    let known = model.record.features.names();
    if !known.contains(&pooling) {
        return Err(Error::Unknown { kind: "pooling", name: pooling.into(), known: known.join(", ") });
    }
    extract_of(model, set, what, Some(pooling))
}

fn extract_of(model: &LoadedModel, set: &ImageSet, what: Extraction, only: Option<&str>) -> Result<FeatureTable> {
    let rows = taken(what.rows, set.len())?;
    let key = key(&model.record, &model.weights_id, model.dtype, &model.device, set, what.rows);
    let folder = folder(what.cache, &set.id, &model.record.id, &key);
    let label = format!("features of {} under {}", set.id, model.record.id);
    let waiting = || match what.within {
        Some((progress, _)) => progress.doing(format!("{label}, which another process computes")),
        None => wider_clip_numbers::say!("{label}: waiting for another process that computes them"),
    };
    let shards: Vec<&[usize]> = rows.chunks(SHARD).collect();
    let is_whole = || has_key(&folder, &key) && (0..shards.len()).all(|index| has_shard(&folder, index));
    let _lock = match FolderLock::acquire(&folder, waiting) {
        Ok(lock) => {
            write_key(&folder, &key)?;
            Some(lock)
        }
        // A cache that may only be read: what is whole needs no lock.
        Err(Error::Io { source, .. }) if storage::is_read_only(&source) && is_whole() => None,
        Err(error) => return Err(error),
    };
    let done = (0..shards.len()).filter(|&index| has_shard(&folder, index)).count();
    let finished = (done * SHARD).min(rows.len());
    let own = match (what.verbose, what.within) {
        (true, None) => Progress::new(label, "images", rows.len(), finished),
        _ => Progress::new(label, "images", rows.len(), finished).silent(),
    };
    if let Some((progress, work)) = what.within {
        progress.skip(finished as f64 * work);
    }
    let tell = |n: usize| {
        own.advance(n);
        if let Some((progress, work)) = what.within {
            progress.add(n, "images", n as f64 * work);
        }
    };
    for (index, rows) in shards.iter().enumerate() {
        let path = shard_path(&folder, index);
        if !has_shard(&folder, index) {
            compute(model, set, rows, &tell)?.write(&path, &key)?;
        }
    }
    own.finish();
    let table = FeatureTable::read(&folder, (&set.id, &model.record.id), &key, (&shards, &set.ids), only)?;
    if table.rows.is_empty() {
        let first = table.set_aside.first().map_or(String::new(), |image| format!("; the first: {}", image.reason));
        return Err(Error::data(&folder, ONE_USABLE, format!("none of {}{first}", rows.len())));
    }
    Ok(table)
}

/// The part of [`extract`] whose positions among the rows that are taken are in `positions`: several machines may do a part
/// each on one cache, and what is there in the end is what one machine leaves, bit for bit. A shard is done by whoever
/// begins in it, so that parts are best cut at multiples of [`PART`].
///
/// # Errors
/// As for [`extract`]; positions that are not there.
pub fn extract_part(model: &LoadedModel, set: &ImageSet, what: Extraction, positions: Range<usize>) -> Result<()> {
    let rows = taken(what.rows, set.len())?;
    if positions.is_empty() || positions.end > rows.len() {
        let found = format!("{} to {}", positions.start, positions.end);
        return Err(Error::argument("positions", format!("a part of 0 to {}", rows.len()), found));
    }
    let key = key(&model.record, &model.weights_id, model.dtype, &model.device, set, what.rows);
    let folder = folder(what.cache, &set.id, &model.record.id, &key);
    let label = format!("features of {} under {}", set.id, model.record.id);
    let waiting = || wider_clip_numbers::say!("{label}: waiting for another process that computes this part");
    let _lock = FolderLock::named(&folder, &format!(".lock-{}-{}", positions.start, positions.end), waiting)?;
    write_key(&folder, &key)?;
    let progress = Progress::new(label, "images", positions.len(), 0);
    let progress = if what.verbose { progress } else { progress.silent() };
    for (index, rows) in rows.chunks(SHARD).enumerate() {
        let path = shard_path(&folder, index);
        if !positions.contains(&(index * SHARD)) {
            continue;
        }
        match has_shard(&folder, index) {
            true => progress.advance(rows.len()),
            false => compute(model, set, rows, &|n| progress.advance(n))?.write(&path, &key)?,
        }
    }
    progress.finish();
    Ok(())
}

/// Positions among `n` rows whose features under the model of that id are not in the cache yet, for [`key`], as parts that
/// begin and end at multiples of [`PART`]. Nothing is read.
pub fn missing_parts(cache: &Path, set: &ImageSet, model: &str, key: &Key, n: usize) -> Vec<Range<usize>> {
    let folder = folder(cache, &set.id, model, key);
    let missing = (0..n.div_ceil(SHARD)).filter(|&index| !has_shard(&folder, index));
    missing.map(|index| index * SHARD..((index + 1) * SHARD).min(n)).collect()
}

/// Whether all features of `set` under the model of that id are in the cache, for [`key`]; `rows` as there. Nothing is read.
pub fn is_cached(cache: &Path, set: &ImageSet, model: &str, key: &Key, rows: Option<&[usize]>) -> bool {
    let folder = folder(cache, &set.id, model, key);
    let shards = rows.map_or(set.len(), <[usize]>::len).div_ceil(SHARD);
    has_key(&folder, key) && (0..shards).all(|index| has_shard(&folder, index))
}

/// Everything that decides the features of `set` under the model of `record`, whose weights are known as `weights`
/// ([`crate::models::weights_id`]), computed as `dtype` on `device`; of some `rows` of the set, or of all. Nothing is loaded.
pub fn key(
    record: &ModelRecord,
    weights: &str,
    dtype: DType,
    device: &Device,
    set: &ImageSet,
    rows: Option<&[usize]>,
) -> Key {
    let key = Key::new("features")
        .with("architecture", &record.architecture)
        .with("weights", weights)
        .with_all(&record.input.key())
        .with("features", record.features.names().join(" "))
        .with_all(&set.images_key())
        .with("rows", rows.map_or_else(|| "all".into(), |rows| digest_of(rows.iter().map(usize::to_string))))
        .with("dtype", dtype.as_str())
        // The last digits of kinds of devices differ, and of roundings.
        .with("device", arithmetic(device))
        .with("code", CODE_VERSION);
    // What is rounded is a matter of the family.
    match (dtype, device.is_cpu()) {
        (DType::BF16, true) => key.with("rounding", format!("{ROUNDING_VERSION} {}", record.family)),
        (DType::BF16 | DType::F16, false) => key.with("half precision", HALF_VERSION),
        _ => key,
    }
}

/// The rows that are taken of a set of `n`: those that were asked for, or all.
fn taken(rows: Option<&[usize]>, n: usize) -> Result<Cow<'_, [usize]>> {
    let Some(rows) = rows else { return Ok((0..n).collect()) };
    if rows.is_empty() || !rows.is_sorted_by(|a, b| a < b) || rows.last().is_some_and(|&last| last >= n) {
        let found = format!("{} rows, the last {:?}", rows.len(), rows.last());
        return Err(Error::argument("rows", format!("ascending rows below {n}"), found));
    }
    Ok(Cow::Borrowed(rows))
}

/// Reads, decodes and embeds the images of one shard; `tell` counts them.
fn compute(model: &LoadedModel, set: &ImageSet, rows: &[usize], tell: &(dyn Fn(usize) + Sync)) -> Result<Shard> {
    let mut encoded = Vec::with_capacity(rows.len());
    for run in rows.chunk_by(|a, b| a + 1 == *b) {
        encoded.extend(set.read(run[0]..run[run.len() - 1] + 1)?);
    }
    let mut shard = Shard {
        rows: rows.to_vec(),
        ids: rows.iter().map(|&row| set.ids[row].clone()).collect(),
        errors: vec![None; rows.len()],
        poolings: Default::default(),
    };
    let positions: Vec<usize> = (0..rows.len()).collect();
    let batch = |batch: &[usize]| {
        let inputs: Vec<Result<Vec<f32>>> =
            batch.par_iter().map(|&i| prepare(model, set, rows[i], &encoded[i])).collect();
        let mut embedded = Batch::default();
        let mut pixels = Vec::new();
        for (&i, input) in batch.iter().zip(inputs) {
            match input {
                Ok(input) => {
                    embedded.good.push(i);
                    pixels.extend(input);
                }
                Err(error) => embedded.broken.push((i, error.to_string())),
            }
        }
        if !embedded.good.is_empty() {
            embedded.features = embed(model, pixels, embedded.good.len())?;
        }
        tell(batch.len());
        Ok(embedded)
    };
    // On processors batches go beside each other: alone, none keeps all of them busy all the time.
    let batches: Vec<Result<Batch>> = match model.device.is_cpu() {
        true => positions.par_chunks(BATCH).map(batch).collect(),
        false => positions.chunks(BATCH).map(batch).collect(),
    };
    for batch in batches {
        put(batch?, model, &mut shard)?;
    }
    Ok(shard)
}

/// What a batch of images gave.
#[derive(Default)]
struct Batch {
    /// Places in the shard of the images that were embedded.
    good: Vec<usize>,
    /// Of the others, with the reason.
    broken: Vec<(usize, String)>,
    /// Wanted features by name, a row for each of `good`.
    features: Vec<(String, Vec<Vec<f32>>)>,
}

/// One image, decoded and turned into the model's input.
fn prepare(model: &LoadedModel, set: &ImageSet, row: usize, encoded: &Result<Vec<u8>>) -> Result<Vec<f32>> {
    let bytes = encoded.as_ref().map_err(|error| Error::Image {
        name: set.ids[row].clone(),
        expected: "a readable file".into(),
        found: error.to_string(),
    })?;
    model.preprocess.apply(&*set.decode(row, bytes)?)
}

/// Runs the model on a batch of `n` images; the features that its record wants.
fn embed(model: &LoadedModel, pixels: Vec<f32>, n: usize) -> Result<Vec<(String, Vec<Vec<f32>>)>> {
    let size = model.preprocess.size;
    let input = Tensor::from_vec(pixels, (n, 3, size, size), &model.device)?;
    let wanted = &model.record.features;
    let given = model.backbone.forward_features(&input)?;
    let of_name = |name: &str| {
        let Some((_, features)) = given.iter().find(|(given, _)| *given == name) else {
            let known = given.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            return Err(Error::Unknown { kind: "feature of the model", name: name.into(), known });
        };
        Ok((name.to_string(), features.to_vec2::<f32>()?))
    };
    wanted.names().into_iter().map(of_name).collect()
}

/// Puts a batch at its place in the shard.
fn put(batch: Batch, model: &LoadedModel, shard: &mut Shard) -> Result<()> {
    for (i, reason) in batch.broken {
        shard.errors[i] = Some(reason);
    }
    let n = shard.rows.len();
    for (name, features) in batch.features {
        let dim = features.first().map_or(0, Vec::len);
        let expected = format!("finite features `{name}` under {}", model.record.id);
        let (_, values) = shard.poolings.entry(name).or_insert_with(|| (dim, vec![f32::NAN; n * dim]));
        for (&i, row) in batch.good.iter().zip(&features) {
            if let Some(value) = row.iter().find(|value| !value.is_finite()) {
                return Err(Error::Image { name: shard.ids[i].clone(), expected, found: value.to_string() });
            }
            values[i * dim..(i + 1) * dim].copy_from_slice(row);
        }
    }
    Ok(())
}
