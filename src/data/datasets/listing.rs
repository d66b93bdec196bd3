//! What lies in a folder: pictures, and what is none, by reason. Nothing is opened here.
//!
//! Every folder is visited once, known by device and inode, so that a loop of links ends. Real folders come first; a link
//! to one of them, or to a folder that the link itself lies in, adds nothing.

use super::left_out::Tally;
use super::names::below;
use crate::error::{Error, Result};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

/// Extensions of the pictures that are read, in any case. What a file holds decides how it is decoded.
pub(super) const EXTENSIONS: [&str; 13] =
    ["jpg", "jpeg", "jpe", "jfif", "jif", "png", "webp", "gif", "tif", "tiff", "bmp", "dib", "apng"];

/// Extensions of pictures that are not read: named as such, not as any other file.
const UNREAD: [&str; 31] = [
    "heic", "heif", "hif", "avif", "jxl", "jp2", "j2k", "jpx", "jxr", "ppm", "pgm", "pbm", "pnm", "pam", "svg", "psd",
    "ico", "tga", "hdr", "exr", "dcm", "dng", "cr2", "cr3", "nef", "arw", "orf", "raf", "rw2", "eps", "pcx",
];

/// What systems and file servers put beside pictures, in lower case. Names that begin with a dot are hidden anyway.
const OF_SYSTEMS: [&str; 16] = [
    "__macosx",
    "@eadir",
    "@recycle",
    "#recycle",
    "@recently-snapshot",
    "#snapshot",
    "lost+found",
    "$recycle.bin",
    "system volume information",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "picasa.ini",
    "icon\r",
    "__pycache__",
];

/// What is done with symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    /// A reader's own folder: links to pictures and folders are followed, wherever they lead; each picture counts once.
    Followed,
    /// A stranger's archive: no link is followed.
    LeftOut,
}

/// What was found in a folder.
#[derive(Debug)]
pub(super) struct Listed {
    /// Paths of pictures below the folder, sorted.
    pub images: Vec<PathBuf>,
    /// The folders directly in it, sorted; those of systems are not among them.
    pub folders: Vec<PathBuf>,
    /// What is no picture.
    pub ignored: Tally,
}

/// Lists the pictures below `root`.
///
/// # Errors
/// A folder that is not there or cannot be listed. One inside it that cannot is counted with what is left out.
pub(super) fn list(root: &Path, links: Links) -> Result<Listed> {
    let metadata = fs::metadata(root).map_err(Error::io(root, "listing"))?;
    let mut walk = Walk {
        root,
        links,
        seen: HashSet::from([identity(root, &metadata)]),
        later: VecDeque::new(),
        found: Listed { images: Vec::new(), folders: Vec::new(), ignored: Tally::default() },
    };
    fs::read_dir(root).map_err(Error::io(root, "listing"))?;
    walk.visit(root.to_path_buf());
    walk.follow();
    walk.found.images.sort();
    walk.found.folders.sort();
    Ok(walk.found)
}

struct Walk<'a> {
    root: &'a Path,
    links: Links,
    /// Folders that were visited.
    seen: HashSet<Identity>,
    /// Links, to be followed once all real folders are known.
    later: VecDeque<PathBuf>,
    found: Listed,
}

impl Walk<'_> {
    /// Takes in a folder and all real folders below it.
    fn visit(&mut self, folder: PathBuf) {
        let mut folders = vec![folder];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
            let Ok(mut entries) = entries else {
                self.leave("folders that cannot be read", &folder);
                continue;
            };
            entries.sort_by_key(|entry| entry.file_name());
            for entry in entries {
                let path = entry.path();
                let Ok(kind) = entry.file_type() else {
                    self.leave("files that cannot be looked at", &path);
                    continue;
                };
                if self.is_minor(&path) {
                    continue;
                }
                if kind.is_symlink() {
                    match self.links {
                        Links::Followed => self.later.push_back(path),
                        Links::LeftOut => self.leave("links, which are not followed in an archive", &path),
                    }
                } else if kind.is_dir() {
                    if let Ok(metadata) = fs::metadata(&path)
                        && !self.seen.insert(identity(&path, &metadata))
                    {
                        self.leave("folders that are listed already", &path);
                        continue;
                    }
                    self.take_folder(&path);
                    folders.push(path);
                } else if kind.is_file() {
                    self.take_file(path);
                } else {
                    self.leave("pipes, sockets or devices", &path);
                }
            }
        }
    }

    /// Takes in what links lead to.
    fn follow(&mut self) {
        const LISTED: &str = "links to what is listed already or to a folder that holds the link";
        let mut files: Option<HashMap<Identity, PathBuf>> = None;
        self.later.make_contiguous().sort();
        while let Some(link) = self.later.pop_front() {
            let Ok(metadata) = fs::metadata(&link) else {
                self.leave("links that lead nowhere", &link);
                continue;
            };
            let id = identity(&link, &metadata);
            if metadata.is_dir() {
                let target = link.canonicalize().unwrap_or_default();
                let holder = link.parent().and_then(|parent| parent.canonicalize().ok()).unwrap_or_default();
                if holder.starts_with(&target) || !self.seen.insert(id) {
                    self.leave(LISTED, &link);
                } else {
                    self.take_folder(&link);
                    self.visit(link);
                    self.later.make_contiguous().sort();
                    files = None;
                }
            } else if metadata.is_file() {
                if !is_picture(&link) {
                    self.take_file(link);
                    continue;
                }
                let files = files.get_or_insert_with(|| {
                    let identities = self.found.images.iter().map(|image| (image, fs::metadata(image)));
                    identities.filter_map(|(image, of)| Some((identity(image, &of.ok()?), image.clone()))).collect()
                });
                match files.get(&id).map(|listed| listed.parent() == link.parent()) {
                    None => {
                        files.insert(id, link.clone());
                        self.found.images.push(link);
                    }
                    Some(true) => self.leave(LISTED, &link),
                    Some(false) => self.leave("links to a picture that counts in another folder already", &link),
                }
            } else {
                self.leave("pipes, sockets or devices", &link);
            }
        }
    }

    fn take_folder(&mut self, path: &Path) {
        if path.parent() == Some(self.root) {
            self.found.folders.push(path.to_path_buf());
        }
    }

    fn take_file(&mut self, path: PathBuf) {
        if is_picture(&path) {
            return self.found.images.push(path);
        }
        let reason = match extension(&path) {
            None => "files without an extension".into(),
            Some(extension) if UNREAD.contains(&extension.as_str()) => {
                format!("pictures of type .{extension}, which is not read")
            }
            Some(extension) => format!("files of type .{extension}"),
        };
        self.leave(&reason, &path);
    }

    /// Whether the entry is hidden or of a system; it is counted then.
    fn is_minor(&mut self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        let reason = if name.as_encoded_bytes().starts_with(b".") {
            "hidden files or folders"
        } else if is_of_system(name) {
            "files or folders that systems leave behind"
        } else {
            return false;
        };
        let root = self.root;
        self.found.ignored.add_minor(reason, || below(root, path));
        true
    }

    fn leave(&mut self, reason: &str, path: &Path) {
        let root = self.root;
        self.found.ignored.add(reason, || below(root, path));
    }
}

fn is_of_system(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_lowercase();
    OF_SYSTEMS.contains(&name.as_str())
}

/// Whether a file has the extension of a picture that is read.
pub(super) fn is_picture(path: &Path) -> bool {
    extension(path).is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// The extension in lower case.
fn extension(path: &Path) -> Option<String> {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase())
}

#[cfg(unix)]
type Identity = (u64, u64);

/// What a file or folder is, whatever it is called.
#[cfg(unix)]
fn identity(_: &Path, metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
type Identity = PathBuf;

#[cfg(not(unix))]
fn identity(path: &Path, _: &Metadata) -> Identity {
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}
