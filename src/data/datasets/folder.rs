//! A folder of class folders: `<folder>/<class>/**/<image>`, the layout of torchvision's `ImageFolder`.

use super::{ImageSet, Store, labels_from_names};
use crate::error::{Error, Result};
use crate::storage;
use std::path::{Path, PathBuf};

const EXTENSIONS: [&str; 7] = ["jpg", "jpeg", "png", "webp", "tif", "tiff", "gif"];

/// Opens `folder`; classes are its sub-folders in sorted order, ids the paths below it.
pub(super) fn open(id: &str, folder: &Path) -> Result<ImageSet> {
    let (classes, files): (Vec<String>, Vec<PathBuf>) = class_files(folder)?.into_iter().unzip();
    let ids = files.iter().map(|path| below(folder, path)).collect();
    from_files(id, folder, files, ids, &classes, None, None)
}

/// Class and path of every image in the class folders of `folder`, in sorted order.
pub(super) fn class_files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for class in sorted_entries(folder)? {
        if !class.is_dir() || hidden(&class) {
            continue;
        }
        let mut files = Vec::new();
        walk(&class, &mut files)?;
        if files.is_empty() {
            let expected = format!("images ({}) in every class folder", EXTENSIONS.join(", "));
            return Err(Error::data(&class, expected, "none"));
        }
        let name = class.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.extend(files.into_iter().map(|file| (name.clone(), file)));
    }
    match found.is_empty() {
        true => Err(Error::data(folder, "class folders that hold images", "none")),
        false => Ok(found),
    }
}

/// Builds an image set from one file an image, with a class name each. A file that is not there stays in the set, to be
/// set aside when it is read; should it come, the set's hash is another.
pub(super) fn from_files(
    id: &str,
    origin: &Path,
    files: Vec<PathBuf>,
    ids: Vec<String>,
    class_names: &[String],
    parts: Option<Vec<String>>,
    domains: Option<Vec<String>>,
) -> Result<ImageSet> {
    let (classes, labels) = labels_from_names(class_names.iter().map(String::as_str));
    let (mut hashes, mut hashed) = (String::new(), Vec::with_capacity(files.len()));
    for (path, (id, class)) in files.iter().zip(ids.iter().zip(class_names)) {
        let hash = match storage::sha256_file(path) {
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            hash => Some(hash?),
        };
        hashes.push_str(&format!("{id}\t{class}\t{}\n", hash.as_deref().unwrap_or("missing")));
        hashed.push(hash);
    }
    ImageSet {
        id: id.into(),
        ids,
        labels,
        classes,
        groups: None,
        domains,
        names: None,
        parts,
        data_sha256: storage::sha256_hex(hashes.as_bytes()),
        store: Store::Files(files.into_iter().zip(hashed).collect()),
        reading: Default::default(),
        decoded: Default::default(),
    }
    .checked(origin)
}

/// Image files below `folder`, in sorted order.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in sorted_entries(folder)? {
        if hidden(&entry) {
            continue;
        }
        if entry.is_dir() {
            walk(&entry, files)?;
        } else if has_image_extension(&entry) {
            files.push(entry);
        }
    }
    Ok(())
}

fn has_image_extension(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder, "listing"))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(Error::io(folder, "listing"))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// The path below `folder` with forward slashes.
pub(super) fn below(folder: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    inside.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
