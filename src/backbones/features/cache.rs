//! The feature cache: one folder per key, in it the key in words and numbered Parquet shards.
//!
//! A shard has the columns `row` (position in the data set), `id`, `error` (null where the image was good) and one
//! fixed-size list of f32 for each pooling (`cls`, `patch_mean`, `avg`, ...). An image that was set aside has NaN there.
//! The file's metadata hold the key, a CRC-32 of each pooling's numbers and one of the rest: Parquet has none that its readers
//! look at, so that a flipped bit would be another feature.

use crate::error::{Error, Result};
use crate::guard::caught;
use crate::key::Key;
use crate::storage;
use ndarray::{Array2, ArrayView2};
use polars::prelude::*;
use polars_io::SerReader;
use polars_io::parquet::read::ParquetReader;
use polars_io::parquet::write::{KeyValueMetadata, ParquetCompression, ParquetWriter};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The folder of the features of `dataset` under `model` with this key: `features/<data set>/<model>/<16 digits>`.
pub(super) fn folder(cache: &Path, dataset: &str, model: &str, key: &Key) -> PathBuf {
    cache.join("features").join(dataset).join(model).join(key.digest())
}

/// Features of one data set under one model.
#[derive(Debug, Clone)]
pub struct FeatureTable {
    /// Model id.
    pub model: String,
    /// Data set id.
    pub dataset: String,
    /// Digest of everything that decides the numbers ([`super::key`]).
    pub key: String,
    /// Position in the data set of each row below, ascending; images set aside are missing.
    pub rows: Vec<usize>,
    /// Pooling name to features `(N, D)`.
    pub poolings: BTreeMap<String, Array2<f32>>,
    /// Images that could not be used.
    pub set_aside: Vec<SetAside>,
}

/// Whether there are several rows, and each is the first again.
pub fn none_apart(features: ArrayView2<f32>) -> bool {
    features.nrows() > 1 && features.rows().into_iter().all(|row| row == features.row(0))
}

/// An image that could not be used, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Position in the data set.
    pub row: usize,
    /// Id in the data set.
    pub id: String,
    /// What was expected and found.
    pub reason: String,
}

impl FeatureTable {
    /// The features of one pooling, `(N, D)`.
    ///
    /// # Errors
    /// [`Error::Unknown`] listing the poolings there are.
    pub fn pooling(&self, name: &str) -> Result<&Array2<f32>> {
        self.poolings.get(name).ok_or_else(|| Error::Unknown {
            kind: "pooling",
            name: name.into(),
            known: self.poolings.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Whether the features of a pooling tell no two images apart though there are several: weights that are all 0 give that.
    pub fn tells_none_apart(&self, name: &str) -> bool {
        self.poolings.get(name).is_some_and(|features| none_apart(features.view()))
    }

    /// Reads all shards in `folder`, each of which must hold the rows of `shards` with their `ids` and nothing else; of `only`
    /// one pooling, where it is given. A few shards at a time, so that memory holds what is asked for and little more.
    pub(super) fn read(
        folder: &Path,
        (dataset, model): (&str, &str),
        key: &Key,
        (shards, ids): (&[&[usize]], &[String]),
        only: Option<&str>,
    ) -> Result<Self> {
        let n = shards.iter().map(|rows| rows.len()).sum::<usize>();
        let mut rows = Vec::with_capacity(n);
        let mut set_aside = Vec::new();
        let mut flat: BTreeMap<String, (usize, Vec<f32>)> = BTreeMap::new();
        for (group, shards) in shards.chunks(AT_ONCE).enumerate() {
            let shards = shards.par_iter().enumerate().map(|(i, rows)| {
                let path = shard_path(folder, group * AT_ONCE + i);
                let shard = Shard::read(&path, &key.digest(), only)?;
                shard.check(&path, rows, ids)?;
                Ok(shard)
            });
            for shard in shards.collect::<Result<Vec<Shard>>>()? {
                for (i, &row) in shard.rows.iter().enumerate() {
                    match &shard.errors[i] {
                        Some(reason) => {
                            set_aside.push(SetAside { row, id: shard.ids[i].clone(), reason: reason.clone() })
                        }
                        None => rows.push(row),
                    }
                }
                for (name, (dim, values)) in shard.poolings {
                    let all = &mut flat.entry(name).or_insert_with(|| (dim, Vec::with_capacity(n * dim))).1;
                    let good = values.chunks_exact(dim).zip(&shard.errors).filter(|(_, error)| error.is_none());
                    good.for_each(|(features, _)| all.extend_from_slice(features));
                }
            }
        }
        let mut poolings = BTreeMap::new();
        for (name, (dim, values)) in flat {
            let found = values.len() / dim;
            let matrix = Array2::from_shape_vec((rows.len(), dim), values)
                .map_err(|_| Error::data(folder, format!("{} rows of `{name}`", rows.len()), found.to_string()))?;
            poolings.insert(name, matrix);
        }
        Ok(FeatureTable { model: model.into(), dataset: dataset.into(), key: key.digest(), rows, poolings, set_aside })
    }
}

/// Shards that are read at once.
const AT_ONCE: usize = 16;

/// A shard in memory; all columns have one entry an image.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Shard {
    pub rows: Vec<usize>,
    pub ids: Vec<String>,
    pub errors: Vec<Option<String>>,
    /// Pooling name to length D and the features, one image after the other.
    pub poolings: BTreeMap<String, (usize, Vec<f32>)>,
}

/// What the names of checksums begin with, in a file's metadata.
const CHECKSUM: &str = "CRC-32";
/// What the key is called there.
const KEY: &str = "key";

impl Shard {
    /// Writes the shard of features of this key whole or not at all.
    pub fn write(&self, path: &Path, key: &Key) -> Result<()> {
        let context = || path.display().to_string();
        let rows: Vec<u32> = self.rows.iter().map(|&row| row as u32).collect();
        let mut columns = vec![
            Column::new("row".into(), rows),
            Column::new("id".into(), self.ids.as_slice()),
            Column::new("error".into(), self.errors.as_slice()),
        ];
        for (name, (dim, values)) in &self.poolings {
            let shape = [ReshapeDimension::Infer, ReshapeDimension::new_dimension(*dim as u64)];
            let flat = Series::new(name.as_str().into(), values.as_slice());
            columns.push(flat.reshape_array(&shape).map_err(Error::table(context()))?.into_column());
        }
        let mut frame = DataFrame::new_infer_height(columns).map_err(Error::table(context()))?;
        let mut said = self.checksums();
        said.push((KEY.into(), key.digest()));
        // In memory first: what goes wrong with the disk is told as that then. Compression finds nothing in the digits of features,
        // and takes longer to undo than to read them as they are.
        let mut file = Vec::new();
        let writer = ParquetWriter::new(&mut file).with_compression(ParquetCompression::Uncompressed);
        writer
            .with_key_value_metadata(Some(KeyValueMetadata::from_static(said)))
            .finish(&mut frame)
            .map_err(Error::table(context()))?;
        storage::write_atomic(path, &file)
    }

    /// What the file's metadata say: the names of what was summed up, and the sums in hexadecimal digits.
    fn checksums(&self) -> Vec<(String, String)> {
        let mut images = crc32fast::Hasher::new();
        for ((row, id), error) in self.rows.iter().zip(&self.ids).zip(&self.errors) {
            images.update(format!("{row}\n{id}\n{error:?}\n").as_bytes());
        }
        let of_poolings = self.poolings.iter().map(|(name, (_, values))| {
            let mut sum = crc32fast::Hasher::new();
            let mut bytes = [0; 4 * 4096];
            for values in values.chunks(bytes.len() / 4) {
                bytes
                    .chunks_exact_mut(4)
                    .zip(values)
                    .for_each(|(four, value)| four.copy_from_slice(&value.to_le_bytes()));
                sum.update(&bytes[..4 * values.len()]);
            }
            (format!("{CHECKSUM} {name}"), sum)
        });
        let all = [(format!("{CHECKSUM} of the images"), images)].into_iter().chain(of_poolings);
        all.map(|(name, sum)| (name, format!("{:08x}", sum.finalize()))).collect()
    }

    /// Holds a shard that was read to what it must hold; a file that was damaged or put there by hand does not.
    fn check(&self, path: &Path, rows: &[usize], ids: &[String]) -> Result<()> {
        let damaged = |found: String| {
            let expected = format!("the features of {} images from row {}", rows.len(), rows.first().unwrap_or(&0));
            Err(Error::data(path, expected, format!("{found}; remove the file, and it is computed again")))
        };
        if self.rows != rows {
            return damaged(format!("{} of others", self.rows.len()));
        }
        let same =
            self.ids.len() == rows.len() && rows.iter().zip(&self.ids).all(|(&row, id)| ids.get(row) == Some(id));
        if !same || self.errors.len() != rows.len() {
            return damaged("other ids".into());
        }
        for (name, (dim, values)) in &self.poolings {
            if values.len() != dim * rows.len() {
                return damaged(format!("{} numbers of `{name}`", values.len()));
            }
            let good = values.chunks_exact((*dim).max(1)).zip(&self.errors).filter(|(_, error)| error.is_none());
            if good.flat_map(|(values, _)| values).any(|value| !value.is_finite()) {
                return damaged(format!("a number of `{name}` that is not finite"));
            }
        }
        Ok(())
    }

    /// Reads a shard of features of `key` back, of its poolings `only` one where that is given.
    pub fn read(path: &Path, key: &str, only: Option<&str>) -> Result<Shard> {
        let context = || path.display().to_string();
        let file = File::open(path).map_err(Error::io(path, "opening"))?;
        let damaged = |said: String| {
            Error::data(path, "a whole shard", format!("a damaged one ({said}); remove it, and it is computed again"))
        };
        let read = || {
            let mut reader = ParquetReader::new(file);
            let said = reader.get_metadata()?.key_value_metadata().iter().flatten();
            let said: Vec<(String, Option<String>)> = said.map(|said| (said.key.clone(), said.value.clone())).collect();
            // Of images that all could not be used there are no features.
            let there = reader.schema()?;
            let wanted = only.map(|name| {
                let names = ["row", "id", "error", name].into_iter();
                names.filter(|column| *column != name || there.contains(column)).map(String::from).collect()
            });
            Ok::<_, PolarsError>((reader.with_columns(wanted).finish()?, said))
        };
        let (frame, said) = caught(read).map_err(damaged)?.map_err(|error| damaged(error.to_string()))?;
        let mut shard = Shard::default();
        for column in frame.columns() {
            match column.name().as_str() {
                "row" => {
                    let rows = column.u32().map_err(Error::table(context()))?;
                    shard.rows = rows.iter().flatten().map(|row| row as usize).collect();
                }
                "id" => {
                    let ids = column.str().map_err(Error::table(context()))?;
                    shard.ids = ids.iter().map(|id| id.unwrap_or_default().to_string()).collect();
                }
                "error" => {
                    let errors = column.str().map_err(Error::table(context()))?;
                    shard.errors = errors.iter().map(|error| error.map(str::to_string)).collect();
                }
                name => {
                    let arrays = column.array().map_err(Error::table(context()))?;
                    let inner = arrays.get_inner();
                    let values = inner.f32().map_err(Error::table(context()))?;
                    let values = match values.cont_slice() {
                        Ok(values) => values.to_vec(),
                        Err(_) => values.iter().map(|value| value.unwrap_or(f32::NAN)).collect(),
                    };
                    shard.poolings.insert(name.to_string(), (arrays.width(), values));
                }
            }
        }
        if let Some(name) = only.filter(|name| !shard.poolings.contains_key(*name))
            && shard.errors.iter().any(Option::is_none)
        {
            return Err(damaged(format!("no features `{name}`")));
        }
        // A shard of an earlier version says nothing.
        let is_other =
            |name: &str, value: &str| said.iter().any(|(of, said)| of == name && said.as_deref() != Some(value));
        if is_other(KEY, key) {
            return Err(damaged("features of another key".into()));
        }
        for (name, sum) in shard.checksums() {
            if is_other(&name, &sum) {
                return Err(damaged(format!("other bytes than were written, by their {name}")));
            }
        }
        Ok(shard)
    }
}

/// Path of shard `index` in `folder`.
pub(super) fn shard_path(folder: &Path, index: usize) -> PathBuf {
    folder.join(format!("shard-{index:05}.parquet"))
}

/// Whether shard `index` is in `folder`, and ends as a Parquet file does. One that a failing disk cut off is computed again.
pub(super) fn has_shard(folder: &Path, index: usize) -> bool {
    let mut end = [0; 4];
    let file = File::open(shard_path(folder, index));
    let read = file.and_then(|mut file| file.seek(SeekFrom::End(-4)).and_then(|_| file.read_exact(&mut end)));
    read.is_ok() && end == *b"PAR1"
}

/// Whether `folder` says that it holds features of this key.
pub(super) fn has_key(folder: &Path, key: &Key) -> bool {
    fs::read_to_string(folder.join("key.txt")).is_ok_and(|found| found == format!("{key}\n"))
}

/// Writes `key` beside the shards, for readers; a folder that holds another key is an error.
pub(super) fn write_key(folder: &Path, key: &Key) -> Result<()> {
    let path = folder.join("key.txt");
    let text = format!("{key}\n");
    match fs::read_to_string(&path) {
        Ok(found) if found == text => Ok(()),
        Ok(found) => Err(Error::data(&path, format!("the key {text}"), found)),
        Err(_) => storage::write_atomic(&path, text.as_bytes()),
    }
}
