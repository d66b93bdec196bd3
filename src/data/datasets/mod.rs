//! Data sets: labelled images that are read a few at a time.
//!
//! [`ImageSet`] holds what fits in memory (ids, labels, groups, domains, names) and knows where the encoded images
//! lie. Embedded Parquet, Parquet from the hub, class folders and unpacked archives all end here, so every later step
//! (features, splits, probes) is the same code for a shipped set, a published one, and a reader's own images.

mod archive;
mod counts;
mod decoded;
mod download;
mod folder;
mod hub;
mod layouts;
mod left_out;
mod listing;
mod names;
mod opened;
mod own;
mod parquet;
mod spelling;
mod squares;
mod unpack;

use crate::error::{Error, Result};
use crate::images::{self, Corruption, Reading};
use crate::key::{Key, digest_of};
use crate::manifest::{Columns, DatasetRecord, Source, embedded_folder, own_folder};
use crate::storage::{self, Standing};
use decoded::Decoded;
use image::RgbImage;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use folder::is_test_part;
pub use hub::HubFile;
pub use left_out::Ignored;
pub use opened::{OPENED_VARIABLE, note_left_out, still_stands};
pub use own::{PREDICTIONS, Recognised, Wanted, open_pictures, open_unlabelled, recognise, sorted_parts};
pub use parquet::check_parquet;
pub use squares::Squares;

/// Labelled images; the encoded bytes stay on disk until [`ImageSet::read`].
///
/// All columns have one entry an image, in one fixed order, so that an index means the same image everywhere.
#[derive(Debug, Clone)]
pub struct ImageSet {
    /// Id of the record it was opened from.
    pub id: String,
    /// A name for each image, unique in the set: the path inside the source, or `file.parquet#row`.
    pub ids: Vec<String>,
    /// Class of each image, an index into `classes`.
    pub labels: Vec<u32>,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Images with the same group show the same thing and must stay on one side of a split (an emoji's code point).
    pub groups: Option<Vec<String>>,
    /// Where an image comes from (style, camera, year); held-out domains are the drift arm.
    pub domains: Option<Vec<String>>,
    /// What an image shows, for captions and tooltips.
    pub names: Option<Vec<String>>,
    /// When an image was made, in ISO 8601, as the source writes it.
    pub times: Option<Vec<String>>,
    /// The published part (train, val, test, ...) of each image, where the source has one.
    pub parts: Option<Vec<String>>,
    /// SHA-256 over the bytes of the source files: changes when any image or label does.
    pub data_sha256: String,
    /// What was left out on opening, by reason: files that are no pictures, rows without a label.
    pub ignored: Vec<Ignored>,
    /// What is lawful and hardly meant, a sentence each: pictures that stand in two classes, a single class.
    pub warnings: Vec<String>,
    /// Which bands and values of the pictures are shown, as the record says.
    reading: Reading,
    store: Store,
    /// The pictures without corruption.
    decoded: Decoded,
    /// What is done to each picture once it is decoded, and the seed of what is random in it.
    corruption: Option<(Corruption, u64)>,
}

/// Where the encoded images are.
#[derive(Debug, Clone)]
enum Store {
    /// Parquet files with their row counts, and the column that holds the image struct.
    Parquet { files: Vec<ParquetFile>, column: String },
    /// One file per image, with the SHA-256 that it had when the set was opened; `None` for one that was not there.
    Files(Vec<(PathBuf, Option<String>)>),
}

/// One Parquet file of a set.
#[derive(Debug, Clone)]
struct ParquetFile {
    path: PathBuf,
    rows: usize,
    /// The rows that are in the set, ascending, where not all are.
    kept: Option<Vec<usize>>,
    /// As it was hashed.
    standing: Standing,
}

/// Opens the data set that `record` describes, downloading it first where it is not embedded or local.
///
/// `root` is the project folder, `cache` the folder for downloads of archives (hub files go to the hub's own cache).
///
/// # Errors
/// A missing file, a missing column, a label outside its class list, an image column that is not a struct of `bytes`
/// and `path`, a checksum that differs, or no network: each names the file and what was expected.
pub fn open(root: &Path, cache: &Path, record: &DatasetRecord) -> Result<ImageSet> {
    let mut set = open_source(root, cache, record)?;
    set.reading = record.reading();
    if record.is_own() {
        set.warnings.extend(unknown_parts(&set));
    }
    counts::check(&mut set, record)?;
    left_out::tell(&set, true);
    Ok(set)
}

/// A warning for published parts whose names do not say what they are for: images of them are learned from.
fn unknown_parts(set: &ImageSet) -> Option<String> {
    let names: BTreeSet<&String> = set.parts.iter().flatten().collect();
    let unknown: Vec<String> = names
        .iter()
        .filter(|name| !name.is_empty() && folder::kind_of_part(name).is_none())
        .map(|name| format!("`{name}`"))
        .collect();
    (!unknown.is_empty()).then(|| {
        format!("parts whose names say neither train, validation nor test are learned from: {}", unknown.join(", "))
    })
}

fn open_source(root: &Path, cache: &Path, record: &DatasetRecord) -> Result<ImageSet> {
    match &record.source {
        Source::Embedded { files } => {
            let folder = embedded_folder(root);
            let files = files.iter().map(|name| (None, folder.join(name))).collect::<Vec<_>>();
            parquet::open(&record.id, &files, &record.columns)
        }
        Source::Hub { repo, revision, files } => {
            let files = hub::fetch_dataset(repo, revision, files)?;
            let files = files.into_iter().map(|file| (Some(file.part), file.path)).collect::<Vec<_>>();
            let set = parquet::open(&record.id, &files, &record.columns)?;
            opened::note_hub(files.iter().map(|(_, path)| path.as_path()), revision)?;
            Ok(set)
        }
        Source::Archive { downloads, layout } => {
            let (folder, left_out) = archive::fetch_and_unpack(&cache.join("archives").join(&record.id), downloads)?;
            let mut set = layouts::open(&record.id, &folder, layout, &record.columns)?;
            set.ignored.splice(0..0, left_out);
            opened::note(&folder.with_extension("ok"))?;
            Ok(set)
        }
        Source::Folder { path, tables } if tables.is_empty() => {
            let folder = own_folder(root, path);
            let stood = opened::look(&folder)?;
            let set = folder::open(&record.id, &folder)?;
            stood.note()?;
            Ok(set)
        }
        Source::Folder { path, tables } => {
            let folder = own_folder(root, path);
            let stood = tables.iter().map(|table| opened::look(&folder.join(table))).collect::<Result<Vec<_>>>()?;
            let set = own::open(&record.id, &folder, tables, &record.columns)?;
            stood.into_iter().try_for_each(opened::Stood::note)?;
            opened::note_pictures(&folder, &set.files())?;
            Ok(set)
        }
        Source::Parquet { files } => {
            let files: Vec<_> = files.iter().map(|file| own_folder(root, file)).collect();
            let files: Vec<_> = files.into_iter().map(|file| (own::part_of(&file), file)).collect();
            let stood = files.iter().map(|(_, file)| opened::look(file)).collect::<Result<Vec<_>>>()?;
            let set = parquet::open(&record.id, &files, &record.columns)?;
            stood.into_iter().try_for_each(opened::Stood::note)?;
            Ok(set)
        }
    }
}

/// Opens a folder of class folders (`<folder>/<class>/**/<image>`): a reader's own images. Folders called `train`, `val`,
/// `test` and the like, with class folders inside, become [`ImageSet::parts`]; classes are then the folders inside them.
///
/// Pictures are known by their extension (jpg, png, webp, gif, tif, bmp and their kin, in any case). Symbolic links are
/// followed, out of the folder too; each picture counts once, and a loop ends. Names that are no UTF-8 are read, and shown
/// with `\xf1` for a byte. What is left out stands in [`ImageSet::ignored`] and, but for hidden files and what systems leave
/// behind, is printed in one line; so are [`ImageSet::warnings`].
///
/// # Errors
/// A folder that is not there, or has no class folder with a picture.
pub fn open_folder(folder: &Path) -> Result<ImageSet> {
    let id = folder.file_name().map_or_else(|| "folder".into(), names::shown);
    let stood = opened::look(folder)?;
    let set = folder::open(&id, folder)?;
    stood.note()?;
    left_out::tell(&set, false);
    Ok(set)
}

/// Opens one Parquet file in the form of the Hugging Face `datasets` library.
///
/// # Errors
/// As for [`open`].
pub fn open_parquet(id: &str, path: &Path, columns: &Columns) -> Result<ImageSet> {
    let stood = opened::look(path)?;
    let set = parquet::open(id, &[(None, path.to_path_buf())], columns)?;
    stood.note()?;
    left_out::tell(&set, false);
    Ok(set)
}

impl ImageSet {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The same images under a corruption, each at its own size: [`ImageSet::decode`] and all that is made of it, squares and
    /// features too, give corrupted pictures. Labels, groups, domains, ids and the rest stay as they are; what [`ImageSet::read`]
    /// gives are the files, as they are too. [`ImageSet::images_key`] says what was done, so that nothing made of other pictures
    /// is taken for this.
    ///
    /// An image comes out the same whatever else is decoded before or beside it: `seed` and its id decide the noise. Of a set
    /// that is corrupted already, the new corruption takes the place of the old one. The pictures that are kept in memory are
    /// those without corruption, and the sets share them.
    pub fn corrupted(&self, corruption: Corruption, seed: u64) -> ImageSet {
        ImageSet { corruption: Some((corruption, seed)), ..self.clone() }
    }

    /// The corruption of these images and its seed; none for a set as it was opened.
    pub fn corruption(&self) -> Option<(Corruption, u64)> {
        self.corruption
    }

    /// The encoded bytes of the images in `rows`, in order. An image that cannot be read is an error of its own and
    /// does not spoil its neighbours.
    ///
    /// # Errors
    /// A range that ends past the set; a file that cannot be read, or is not what it was when the set was opened. A file
    /// that was not there then is an error of that image alone.
    pub fn read(&self, rows: Range<usize>) -> Result<Vec<Result<Vec<u8>>>> {
        if rows.end > self.len() || rows.start > rows.end {
            return Err(Error::argument("rows", format!("a range within 0..{}", self.len()), format!("{rows:?}")));
        }
        match &self.store {
            Store::Parquet { files, column } => parquet::read_images(files, column, &self.ids, rows),
            Store::Files(paths) => {
                paths[rows].iter().map(|(path, sha256)| read_file(path, sha256.as_deref())).collect()
            }
        }
    }

    /// The picture in `row`, whose encoded bytes are `encoded`, by the record's bands and range, corrupted where the set is
    /// ([`ImageSet::corrupted`]). This set and its clones decode it once, as long as their pictures fit into 512 MB of memory.
    ///
    /// # Errors
    /// As [`images::decode_as`], and as [`Corruption::apply`].
    pub fn decode(&self, row: usize, encoded: &[u8]) -> Result<Arc<RgbImage>> {
        let picture = self.decoded.get_or(row, || self.decode_clean(row, encoded))?;
        match self.corruption {
            Some((corruption, seed)) => Ok(Arc::new(corruption.apply(&picture, &self.ids[row], seed)?)),
            None => Ok(picture),
        }
    }

    /// As [`ImageSet::decode`], without keeping the picture.
    ///
    /// # Errors
    /// As [`ImageSet::decode`].
    pub fn decode_alone(&self, row: usize, encoded: &[u8]) -> Result<RgbImage> {
        let picture = self.decode_clean(row, encoded)?;
        match self.corruption {
            Some((corruption, seed)) => corruption.apply(&picture, &self.ids[row], seed),
            None => Ok(picture),
        }
    }

    fn decode_clean(&self, row: usize, encoded: &[u8]) -> Result<RgbImage> {
        images::decode_as(&self.ids[row], encoded, &self.reading)
    }

    /// The rows whose part is `part` ("train", "test"); the parts of a reader's folder are called as its folders are.
    ///
    /// # Errors
    /// A data set without parts, or without this one; the known ones are listed.
    pub fn rows_of_part(&self, part: &str) -> Result<Vec<usize>> {
        let Some(parts) = &self.parts else {
            return Err(Error::argument("part", "a data set with published parts", format!("{} has none", self.id)));
        };
        let rows: Vec<usize> = (0..self.len()).filter(|&row| parts[row] == part).collect();
        if rows.is_empty() {
            let known: BTreeSet<&str> = parts.iter().map(String::as_str).collect();
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(Error::Unknown { kind: "part", name: part.into(), known });
        }
        Ok(rows)
    }

    /// The year of each image, the first four digits of its time; `None` for a data set without times.
    ///
    /// # Errors
    /// [`Error::Data`] for a time that does not begin with four digits and `-`, or is a year alone, with the image.
    pub fn years(&self) -> Result<Option<Vec<u32>>> {
        let year = |(row, time): (usize, &String)| {
            let (year, rest) = time.split_at_checked(4).unwrap_or_default();
            let is_year = year.bytes().all(|byte| byte.is_ascii_digit()) && (rest.is_empty() || rest.starts_with('-'));
            year.parse().ok().filter(|_| is_year).ok_or_else(|| {
                let found = format!("`{time}` for {}", self.ids[row]);
                Error::data(&self.id, "times in ISO 8601, which begin with the year", names::on_one_line(&found))
            })
        };
        self.times.as_ref().map(|times| times.iter().enumerate().map(year).collect()).transpose()
    }

    /// Which bands and values of the pictures are shown.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The same images, of which these bands and values are shown.
    pub fn read_as(self, reading: Reading) -> ImageSet {
        ImageSet { reading, decoded: Default::default(), ..self }
    }

    /// What decides the pictures, and with a model the features: the bytes, the column that they stand in, their order, the
    /// bands and the range where the record names them, and the corruption where there is one.
    pub fn images_key(&self) -> Key {
        let column = match &self.store {
            Store::Parquet { column, .. } => column.as_str(),
            Store::Files(_) => "files",
        };
        let key = Key::new("images")
            .with("sha256", &self.data_sha256)
            .with("column", column)
            .with("ids", digest_of(&self.ids));
        let key = match &self.reading.bands {
            Some(bands) => key.with("bands", format!("{bands:?}")),
            None => key,
        };
        let key = match self.reading.range {
            Some([low, high]) => key.with("range", format!("{low:?} to {high:?}")),
            None => key,
        };
        match self.corruption {
            Some((corruption, seed)) => key.with_all(&corruption.key(seed)),
            None => key,
        }
    }

    /// What decides, with a split rule, which image is learned from and which is measured on, and what is right: the
    /// columns as they were read.
    pub fn columns_key(&self) -> Key {
        let column = |values: &Option<Vec<String>>| values.as_ref().map_or_else(|| "none".into(), digest_of);
        Key::new("columns")
            .with("labels", digest_of(self.labels.iter().map(u32::to_string)))
            .with("classes", digest_of(&self.classes))
            .with("groups", column(&self.groups))
            .with("domains", column(&self.domains))
            .with("parts", column(&self.parts))
    }

    /// The source files, as they stood when they were hashed.
    pub fn files(&self) -> Vec<&Path> {
        match &self.store {
            Store::Parquet { files, .. } => files.iter().map(|file| file.path.as_path()).collect(),
            Store::Files(files) => files.iter().map(|(path, _)| path.as_path()).collect(),
        }
    }

    /// Rows of a published test; none where all images are of one, which can be learned from all the same.
    pub fn published_test(&self) -> Vec<usize> {
        let Some(parts) = &self.parts else { return Vec::new() };
        let rows: Vec<usize> = (0..self.len()).filter(|&row| is_test_part(&parts[row])).collect();
        if rows.len() == self.len() { Vec::new() } else { rows }
    }

    /// Images a class, in class order.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }

    /// Checks that columns agree in length and labels lie inside the class list; called by every opener.
    fn checked(self, origin: &Path) -> Result<ImageSet> {
        let n = self.ids.len();
        if n == 0 {
            return Err(Error::data(origin, "at least one image", "none"));
        }
        let optional = [&self.groups, &self.domains, &self.names, &self.times, &self.parts];
        let lengths = optional.iter().filter_map(|column| column.as_ref().map(Vec::len));
        if let Some(other) = lengths.chain([self.labels.len()]).find(|&length| length != n) {
            return Err(Error::data(origin, format!("{n} entries in every column"), format!("{other}")));
        }
        if let Some(row) = self.labels.iter().position(|&label| label as usize >= self.classes.len()) {
            let expected = format!("labels below {}", self.classes.len());
            return Err(Error::data(origin, expected, format!("{} at row {row}", self.labels[row])));
        }
        let mut seen = std::collections::HashSet::with_capacity(n);
        if let Some(twice) = self.ids.iter().find(|id| !seen.insert(id.as_str())) {
            return Err(Error::data(origin, "one image an id", format!("`{twice}` twice")));
        }
        let of_names = [folder::alike(&self.classes), folder::missing(&self.classes)];
        let warnings = self.warnings.iter().cloned().chain(of_names.into_iter().flatten()).collect();
        Ok(ImageSet { warnings, ..self })
    }
}

/// The bytes of a file that had the hash `sha256` when its set was opened, or was not there.
fn read_file(path: &Path, sha256: Option<&str>) -> Result<Result<Vec<u8>>> {
    match (std::fs::read(path).map_err(Error::io(path, "reading")), sha256) {
        (Err(error), None) => Ok(Err(error)),
        (Ok(bytes), Some(sha256)) if storage::sha256_hex(&bytes) == sha256 => Ok(Ok(bytes)),
        (Ok(_), _) => Err(storage::changed(path)),
        (Err(error), Some(_)) => Err(error),
    }
}

/// Numbers class names in sorted order; gives the names and a label an entry.
fn labels_from_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> (Vec<String>, Vec<u32>) {
    let mut order: BTreeMap<&str, u32> = names.clone().map(|name| (name, 0)).collect();
    for (index, value) in order.values_mut().enumerate() {
        *value = index as u32;
    }
    let labels = names.map(|name| order[name]).collect();
    (order.keys().map(|name| (*name).to_string()).collect(), labels)
}
