//! Data sets from their owners' archives: fetched once with resume, checked, unpacked once, read as they are laid out.

use super::ImageSet;
use super::folder::{self, below};
use crate::error::{Error, Result};
use crate::manifest::{ArchiveLayout, Columns, Download, ListLabel, TablePart};
use crate::progress::Progress;
use crate::storage;
use md5::{Digest, Md5};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Fetches and unpacks `downloads` into `folder` (once: a stamp records that it is whole) and gives that folder.
pub(super) fn fetch_and_unpack(folder: &Path, downloads: &[Download]) -> Result<PathBuf> {
    let _lock = storage::FolderLock::acquire(folder, || println!("waiting for another process that unpacks here"))?;
    let unpacked = folder.join("unpacked");
    let stamp = folder.join("unpacked.ok");
    if stamp.exists() {
        return Ok(unpacked);
    }
    for download in downloads {
        let file = folder.join(download.file_name());
        if !file.exists() {
            fetch(download, &file)?;
        }
        check(download, &file)?;
        unpack(&file, &unpacked)?;
    }
    storage::write_atomic(&stamp, b"")?;
    Ok(unpacked)
}

/// Downloads to `file`, going on where an earlier attempt stopped.
fn fetch(download: &Download, file: &Path) -> Result<()> {
    let failed = |reason: String| Error::Download {
        from: download.url.clone(),
        reason,
        advice: format!("Check the network, or put the file at {} yourself", file.display()),
    };
    let partial = file.with_file_name(format!("{}.part", download.file_name()));
    let have = fs::metadata(&partial).map_or(0, |metadata| metadata.len());
    let request = ureq::get(&download.url).header("Range", format!("bytes={have}-"));
    let mut response = request.call().map_err(|error| failed(error.to_string()))?;
    let resumed = response.status() == 206;
    let length = response.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
    let have = if resumed { have } else { 0 };
    let total = length.map_or(download.size.unwrap_or(0), |length: u64| length + have);
    let mut out = File::options()
        .create(true)
        .write(true)
        .append(resumed)
        .truncate(!resumed)
        .open(&partial)
        .map_err(Error::io(&partial, "opening"))?;
    let mut progress = Progress::new(format!("downloading {}", download.file_name()), "bytes", total as usize, have as usize);
    let mut body = response.body_mut().as_reader();
    let mut piece = vec![0u8; 1 << 20];
    loop {
        let n = body.read(&mut piece).map_err(|error| failed(error.to_string()))?;
        if n == 0 {
            break;
        }
        out.write_all(&piece[..n]).map_err(Error::io(&partial, "writing"))?;
        progress.advance(n);
    }
    progress.finish();
    out.sync_all().map_err(Error::io(&partial, "flushing"))?;
    let now = fs::metadata(&partial).map_err(Error::io(&partial, "reading"))?.len();
    if total != 0 && now != total {
        return Err(failed(format!("{now} of {total} bytes arrived")));
    }
    fs::rename(&partial, file).map_err(Error::io(file, "renaming into place"))
}

/// Compares size and checksums with the record.
fn check(download: &Download, file: &Path) -> Result<()> {
    let size = fs::metadata(file).map_err(Error::io(file, "reading"))?.len();
    if let Some(expected) = download.size.filter(|&expected| expected != size) {
        return Err(Error::data(file, format!("{expected} bytes"), format!("{size}")));
    }
    if let Some(expected) = &download.sha256 {
        let found = storage::sha256_file(file)?;
        if found != *expected {
            return Err(Error::data(file, format!("SHA-256 {expected}"), found));
        }
    } else if let Some(expected) = &download.md5 {
        let found = md5_file(file)?;
        if found != *expected {
            return Err(Error::data(file, format!("MD5 {expected}"), found));
        }
    }
    Ok(())
}

fn md5_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path, "opening"))?;
    let mut hasher = Md5::new();
    let mut piece = vec![0u8; 1 << 20];
    loop {
        let n = file.read(&mut piece).map_err(Error::io(path, "reading"))?;
        if n == 0 {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hasher.update(&piece[..n]);
    }
}

/// Unpacks a zip or tar archive below `folder`; any other file is copied there. Neither library writes outside.
fn unpack(file: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let open = || File::open(file).map_err(Error::io(file, "opening"));
    let broken = |error: String| Error::data(file, "a readable archive", error);
    if name.ends_with(".zip") {
        let mut archive = zip::ZipArchive::new(open()?).map_err(|error| broken(error.to_string()))?;
        archive.extract(folder).map_err(|error| broken(error.to_string()))
    } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(open()?));
        archive.unpack(folder).map_err(|error| broken(error.to_string()))
    } else if name.ends_with(".tar") {
        tar::Archive::new(open()?).unpack(folder).map_err(|error| broken(error.to_string()))
    } else {
        fs::copy(file, folder.join(&name)).map_err(Error::io(file, "copying"))?;
        Ok(())
    }
}

/// What a layout gives for each image.
#[derive(Default)]
struct Listing {
    files: Vec<PathBuf>,
    classes: Vec<String>,
    parts: Vec<String>,
    domains: Vec<String>,
}

/// Reads an unpacked folder as `layout` says.
pub(super) fn open(id: &str, folder: &Path, layout: &ArchiveLayout, columns: &Columns) -> Result<ImageSet> {
    let (listing, order) = match layout {
        ArchiveLayout::ClassFolders { root, lists } => (class_folders(folder, root, lists)?, None),
        ArchiveLayout::Table { table, image, parts } => (read_table(folder, table, image, parts, columns)?, None),
        ArchiveLayout::Lists { images, suffix, lists, label, classes } => {
            let order = classes.as_ref().map(|file| lines(&folder.join(file))).transpose()?;
            (read_lists(folder, images, suffix, lists, *label)?, order)
        }
    };
    let ids = listing.files.iter().map(|file| below(folder, file)).collect();
    let domains = (!listing.domains.is_empty()).then_some(listing.domains);
    let parts = Some(listing.parts);
    let set = folder::from_files(id, folder, listing.files, ids, &listing.classes, parts, domains)?;
    match order {
        None => Ok(set),
        Some(order) => in_class_order(set, order, folder),
    }
}

fn class_folders(folder: &Path, root: &str, lists: &BTreeMap<String, String>) -> Result<Listing> {
    let mut part_of: HashMap<String, String> = HashMap::new();
    for (part, file) in lists {
        part_of.extend(lines(&folder.join(file))?.into_iter().map(|name| (name, part.clone())));
    }
    let root = folder.join(root);
    let mut listing = Listing::default();
    for (class, file) in folder::class_files(&root)? {
        let base = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = match lists.is_empty() {
            true => "all".to_string(),
            false => part_of.get(&base).cloned().unwrap_or_else(|| "none".into()),
        };
        listing.files.push(file);
        listing.classes.push(class);
        listing.parts.push(part);
    }
    Ok(listing)
}

fn read_lists(
    folder: &Path,
    images: &str,
    suffix: &str,
    lists: &BTreeMap<String, String>,
    label: ListLabel,
) -> Result<Listing> {
    let mut listing = Listing::default();
    for (part, file) in lists {
        let path = folder.join(file);
        for (number, line) in lines(&path)?.iter().enumerate() {
            let split = match label {
                ListLabel::Folder => line.split_once('/').map(|(class, _)| (line.as_str(), class)),
                ListLabel::AfterSpace => line.split_once(' '),
            };
            let (name, class) = split.ok_or_else(|| Error::Manifest {
                path: path.clone(),
                line: number + 1,
                expected: "an image and its label".into(),
                found: format!("`{line}`"),
            })?;
            listing.files.push(folder.join(images).join(format!("{name}{suffix}")));
            listing.classes.push(class.to_string());
            listing.parts.push(part.clone());
        }
    }
    Ok(listing)
}

fn read_table(
    folder: &Path,
    table: &str,
    image: &str,
    parts: &[TablePart],
    columns: &Columns,
) -> Result<Listing> {
    let path = folder.join(table);
    let broken = |error: csv::Error| Error::data(&path, "a CSV table with a header row", error.to_string());
    let mut reader = csv::Reader::from_path(&path).map_err(broken)?;
    let header: Vec<String> = reader.headers().map_err(broken)?.iter().map(str::to_string).collect();
    let find = |name: &str| {
        let known = || format!("the columns {}", header.join(", "));
        header.iter().position(|column| column == name).ok_or_else(|| Error::data(&path, format!("a column `{name}`"), known()))
    };
    let label = find(&columns.label)?;
    let domain = columns.domain.as_deref().map(find).transpose()?;
    for part in parts {
        find(&part.column)?;
        part.time_column.as_deref().map(find).transpose()?;
    }
    let mut listing = Listing::default();
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(broken)?;
        let value = |name: &str| header.iter().position(|column| column == name).and_then(|i| record.get(i)).unwrap_or("");
        let part = match parts.is_empty() {
            true => Some("all"),
            false => parts.iter().find(|part| belongs(part, &value)).map(|part| part.name.as_str()),
        };
        let Some(part) = part else { continue };
        let mut name = image.replace("{row}", &row.to_string());
        for (column, text) in header.iter().zip(&record) {
            name = name.replace(&format!("{{{column}}}"), text);
        }
        listing.files.push(folder.join(name));
        listing.classes.push(record.get(label).unwrap_or_default().to_string());
        listing.parts.push(part.to_string());
        if let Some(domain) = domain {
            listing.domains.push(record.get(domain).unwrap_or_default().to_string());
        }
    }
    Ok(listing)
}

/// Whether a row, whose values `value` gives by column, belongs to `part`.
fn belongs<'a>(part: &TablePart, value: &impl Fn(&str) -> &'a str) -> bool {
    let time = part.time_column.as_deref().map(value);
    let from = part.from.as_deref().is_none_or(|from| time.is_none_or(|time| time >= from));
    let until = part.until.as_deref().is_none_or(|until| time.is_none_or(|time| time < until));
    value(&part.column) == part.value && from && until
}

/// Renumbers classes into the owner's order.
fn in_class_order(set: ImageSet, order: Vec<String>, folder: &Path) -> Result<ImageSet> {
    let position: HashMap<&str, u32> = order.iter().enumerate().map(|(i, name)| (name.as_str(), i as u32)).collect();
    let place = |name: &String| {
        position.get(name.as_str()).copied().ok_or_else(|| Error::data(folder, "only listed class names", format!("`{name}`")))
    };
    let places = set.classes.iter().map(place).collect::<Result<Vec<u32>>>()?;
    let labels = set.labels.iter().map(|&label| places[label as usize]).collect();
    Ok(ImageSet { labels, classes: order, ..set })
}

/// The lines of a text file that are not empty, without surrounding space.
fn lines(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).map_err(Error::io(path, "reading"))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect())
}
