//! Archives unpacked: regular files and folders below one folder, and nothing else.
//!
//! An archive comes from a stranger. Links, devices and pipes are left out and counted, so that nothing outside can be
//! reached by a name inside; a hard link to a file of the same archive becomes a copy of it. What unpacks to much more than
//! it holds is refused before the disk is full. Files get the usual permissions, not those that the archive states.

use super::left_out::Tally;
use crate::error::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::cell::Cell;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use zip::CompressionMethod;

/// How much larger than itself an archive may unpack to. Pictures are packed already: real data sets stay below 3.
const RATIO: u64 = 100;
/// Bytes that any archive may unpack to, however small it is.
const ALWAYS: u64 = 1 << 30;
/// Files and folders in an archive.
const ENTRIES: usize = 20_000_000;
/// Folders within folders.
const DEPTH: usize = 64;
/// Bytes of a name, and of a whole path.
const NAME: usize = 255;
const PATH: usize = 3_000;
/// Bytes of a tar that may stand before the content of one entry: its header, longer names, sparse parts.
const HEADERS: u64 = 1 << 20;

const LEADS_OUT: &str = "entries whose name leads out of the archive";
const FILE_AND_FOLDER: &str = "entries whose name is that of a file and of a folder";
const NO_NAME: &str = "entries whose name is empty, too long or too deep";

/// Unpacks a zip or tar archive below `folder`; any other file is copied there. What is left out is counted.
///
/// A name with `..` that leads out is refused in a zip and passed over in a tar, as the usual programs do; an absolute one
/// is taken as relative. Of two entries with one name the later stays. The compression of a tar is known by its first bytes:
/// none, gzip or zstd.
///
/// # Errors
/// A damaged archive; one that unpacks to more than 1 GiB and 100 times its size, or to more than 20 million entries, or has
/// an entry whose names take more than 1 MiB; an encrypted one; a kind that is not read (xz, bzip2, 7z, rar), by name.
pub(super) fn unpack(file: &Path, folder: &Path, left_out: &mut Tally) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let name = file.file_name().unwrap_or_default();
    let lower = name.to_string_lossy().to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|ending| lower.ends_with(ending));
    let length = file.metadata()?.len();
    let most = length.saturating_mul(RATIO).saturating_add(ALWAYS);
    let mut into = Into { folder, left: most, most, entries: 0, left_out };
    if ends(&[".zip"]) {
        into.zip(BufReader::new(File::open(file)?))
    } else if ends(&[".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.zstd", ".tzst"]) {
        into.tar(File::open(file)?)
    } else if ends(&[".tar.xz", ".txz", ".tar.bz2", ".tbz", ".tbz2", ".tar.lz", ".tar.lzma", ".tar.z", ".7z", ".rar"]) {
        Err(not_read(&lower))
    } else {
        fs::copy(file, folder.join(name)).map(|_| ())
    }
}

fn not_read(what: &str) -> io::Error {
    let advice =
        "zip, tar, tar.gz and tar.zst are unpacked; pack it anew as one of these and put it there under its name";
    io::Error::new(ErrorKind::Unsupported, format!("{what} is of a kind that is not read; {advice}"))
}

/// Where an archive is unpacked, and what it may still take.
struct Into<'a> {
    folder: &'a Path,
    left: u64,
    most: u64,
    entries: usize,
    left_out: &'a mut Tally,
}

impl Into<'_> {
    fn tar(&mut self, mut file: File) -> io::Result<()> {
        let mut first = [0; 6];
        let n = read_up_to(&mut file, &mut first)?;
        file.rewind()?;
        let file = BufReader::new(file);
        match &first[..n] {
            [0x1f, 0x8b, ..] => checked(self.tar_entries(MultiGzDecoder::new(file))?),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => checked(self.tar_entries(zstd::stream::read::Decoder::with_buffer(file)?)?),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Err(not_read("tar.xz")),
            [b'B', b'Z', b'h', ..] => Err(not_read("tar.bz2")),
            _ => self.tar_entries(file).map(drop),
        }
    }

    /// Gives what stands behind the last entry.
    fn tar_entries<R: Read>(&mut self, reader: R) -> io::Result<R> {
        let left = Rc::new(Cell::new(HEADERS));
        let mut archive = tar::Archive::new(Headers { reader, left: left.clone() });
        let mut entries = archive.entries()?;
        // The library holds what stands before an entry in memory, however long it says that it is.
        while let Some(entry) = {
            left.set(HEADERS);
            entries.next()
        } {
            let mut entry = entry?;
            left.set(u64::MAX);
            self.count()?;
            self.tar_entry(&mut entry)?;
            // What was not taken: the library would pass over it when it looks for the next one.
            let mut piece = vec![0; 64 << 10];
            while let n @ 1.. = entry.read(&mut piece)? {
                self.left = self.left.checked_sub(n as u64).ok_or_else(|| self.too_much())?;
            }
        }
        Ok(archive.into_inner().reader)
    }

    fn tar_entry(&mut self, entry: &mut tar::Entry<impl Read>) -> io::Result<()> {
        let name = os_string(entry.path_bytes().into_owned());
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            return Ok(());
        }
        // Their content begins with a map of what it is, and their name is another.
        if let Some(name) = pax_sparse(entry)? {
            self.leave("sparse files in the format of PAX (pack them anew without `--sparse`)", &name);
            return Ok(());
        }
        let path = match place(&name) {
            Ok(path) => path,
            Err(reason) => {
                // `./` is the folder itself.
                if !(kind.is_dir() && reason == NO_NAME && place_of_root(&name)) {
                    self.leave(reason, &name);
                }
                return Ok(());
            }
        };
        if kind.is_dir() {
            self.make_folder(&path)
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            let size = entry.size();
            self.write(&path, size, entry)
        } else if kind.is_hard_link() {
            let target = entry.link_name_bytes().map(|target| os_string(target.into_owned())).unwrap_or_default();
            self.link(&path, &target)
        } else {
            let reason = match kind.is_symlink() {
                true => "symbolic links in the archive",
                false => "entries that are no file and no folder",
            };
            self.leave(reason, &name);
            Ok(())
        }
    }

    /// A hard link becomes a copy of the file that this archive brought; one to anything else is left out.
    fn link(&mut self, path: &Path, target: &OsStr) -> io::Result<()> {
        let brought = place(target).ok().map(|target| self.folder.join(target));
        let file = brought.filter(|file| fs::symlink_metadata(file).is_ok_and(|found| found.is_file()));
        match file {
            Some(file) if file != self.folder.join(path) => {
                let mut source = File::open(file)?;
                let size = source.metadata()?.len();
                self.write(path, size, &mut source)
            }
            Some(_) => Ok(()),
            None => {
                self.leave("hard links to what the archive does not hold", path.as_os_str());
                Ok(())
            }
        }
    }

    fn zip(&mut self, reader: impl Read + Seek) -> io::Result<()> {
        let archive = zip::ZipArchive::new(reader).map_err(zip_error)?;
        let (directory, known) = (archive.central_directory_start(), archive.len());
        let mut reader = archive.into_inner();
        for name in named_again(&mut reader, directory, known)? {
            self.leave("files whose name comes again later", &os_string(name));
        }
        reader.rewind()?;
        let mut archive = zip::ZipArchive::new(reader).map_err(zip_error)?;
        // Some programs of Windows separate folders by backslashes.
        let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
        let backslashes = names.iter().any(|name| name.contains('\\')) && !names.iter().any(|name| name.contains('/'));
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index).map_err(zip_error)?;
            let method = entry.compression();
            let (encrypted, link) = (entry.encrypted(), entry.is_symlink());
            let special = entry.unix_mode().is_some_and(|mode| !matches!(mode & 0o170_000, 0 | 0o100_000 | 0o040_000));
            let name = entry.name().map_err(zip_error)?.into_owned();
            let name = if backslashes { without_drive(&name.replace('\\', "/")).to_string() } else { name };
            drop(entry);
            self.count()?;
            let path = match place(OsStr::new(&name)) {
                Ok(path) => path,
                Err(reason) if reason == LEADS_OUT => {
                    let found = format!("an entry `{name}`, which leads out of the archive");
                    return Err(io::Error::new(ErrorKind::InvalidData, found));
                }
                Err(reason) => {
                    self.leave(reason, OsStr::new(&name));
                    continue;
                }
            };
            if link || special {
                let reason =
                    if link { "symbolic links in the archive" } else { "entries that are no file and no folder" };
                self.leave(reason, OsStr::new(&name));
            } else if name.ends_with('/') {
                self.make_folder(&path)?;
            } else if encrypted {
                let found = format!("`{name}` is encrypted; unpack it by its password and pack it anew without");
                return Err(io::Error::new(ErrorKind::Unsupported, found));
            } else if !matches!(method, CompressionMethod::Stored | CompressionMethod::Deflated) {
                let found =
                    format!("`{name}` is packed by {method}, which is not read; pack it anew as a plain zip or tar.gz");
                return Err(io::Error::new(ErrorKind::Unsupported, found));
            } else {
                let mut entry = archive.by_index(index).map_err(zip_error)?;
                let size = entry.size();
                self.write(&path, size, &mut entry)?;
            }
        }
        Ok(())
    }

    /// Writes a file of at least `stated` bytes, if so many may still come.
    fn write(&mut self, path: &Path, stated: u64, from: &mut dyn Read) -> io::Result<()> {
        if stated > self.left {
            return Err(self.too_much());
        }
        let target = self.folder.join(path);
        if target.is_dir() || self.is_file_above(path) {
            self.leave(FILE_AND_FOLDER, path.as_os_str());
            return Ok(());
        }
        if let Some(above) = target.parent() {
            fs::create_dir_all(above)?;
        }
        if target.exists() {
            self.leave("files whose name comes again later", path.as_os_str());
        }
        let mut out = File::create(&target)?;
        let mut piece = vec![0; 256 << 10];
        loop {
            let n = from.read(&mut piece)?;
            if n == 0 {
                break;
            }
            self.left = self.left.checked_sub(n as u64).ok_or_else(|| self.too_much())?;
            out.write_all(&piece[..n])?;
        }
        #[cfg(not(target_os = "linux"))]
        out.sync_all()?;
        Ok(())
    }

    fn make_folder(&mut self, path: &Path) -> io::Result<()> {
        let target = self.folder.join(path);
        if target.is_file() || self.is_file_above(path) {
            self.leave(FILE_AND_FOLDER, path.as_os_str());
            return Ok(());
        }
        fs::create_dir_all(target)
    }

    /// Whether a file of the archive has the name of a folder that `path` lies in.
    fn is_file_above(&self, path: &Path) -> bool {
        let above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        above.map(|above| self.folder.join(above)).any(|above| above.is_file())
    }

    fn too_much(&self) -> io::Error {
        let found = format!("unpacks to more than {} bytes, {RATIO} times its size and 1 GiB", self.most);
        io::Error::new(ErrorKind::Unsupported, found)
    }

    fn count(&mut self) -> io::Result<()> {
        self.entries += 1;
        match self.entries > ENTRIES {
            true => Err(io::Error::new(ErrorKind::Unsupported, format!("holds more than {ENTRIES} files and folders"))),
            false => Ok(()),
        }
    }

    fn leave(&mut self, reason: &str, name: &OsStr) {
        self.left_out.add(reason, || super::names::shown(name));
    }
}

/// Bytes behind the last entry that are read for the checksum at the end.
const BEHIND: u64 = 64 << 20;

/// Reads what stands behind the last entry of a packed tar, to the checksum at its end, which says whether all before was right.
/// What another program has put behind it is nobody's.
fn checked(behind: impl Read) -> io::Result<()> {
    match io::copy(&mut behind.take(BEHIND), &mut io::sink()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
        // No further part of gzip or zstd begins there.
        Err(error) if ["invalid gzip header", "Unknown frame"].iter().any(|no| error.to_string().contains(no)) => {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The name of an entry that is a sparse file in the format of PAX, which the tar library takes for a plain one.
fn pax_sparse(entry: &mut tar::Entry<impl Read>) -> io::Result<Option<OsString>> {
    let Some(extensions) = entry.pax_extensions()? else { return Ok(None) };
    let (mut sparse, mut name) = (false, None);
    // What cannot be read says nothing.
    for extension in extensions.map_while(Result::ok) {
        sparse |= extension.key_bytes().starts_with(b"GNU.sparse.");
        if extension.key_bytes() == b"GNU.sparse.name" {
            name = Some(os_string(extension.value_bytes().to_vec()));
        }
    }
    Ok(sparse.then(|| name.unwrap_or_else(|| os_string(entry.path_bytes().into_owned()))))
}

/// Names in the directory of a zip that come again later, as often as they do; the zip library knows each once. There are
/// none where it knows as many files as there are.
fn named_again(reader: &mut (impl Read + Seek), directory: u64, known: usize) -> io::Result<Vec<Vec<u8>>> {
    const HEADER: usize = 46;
    reader.seek(SeekFrom::Start(directory))?;
    let mut reader = BufReader::new(reader);
    let (mut names, mut again, mut all) = (HashSet::new(), Vec::new(), 0);
    let mut header = [0; HEADER];
    while reader.read_exact(&mut header).is_ok() && header.starts_with(b"PK\x01\x02") {
        let two = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
        let mut name = vec![0; two(28)];
        reader.read_exact(&mut name)?;
        reader.seek_relative((two(30) + two(32)) as i64)?;
        all += 1;
        if !names.insert(name.clone()) {
            again.push(name);
        }
    }
    Ok(if all > known { again } else { Vec::new() })
}

/// A tar, of which so many bytes may still be read before the content of an entry.
struct Headers<R> {
    reader: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Headers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        let left = self.left.get().checked_sub(n as u64).ok_or_else(|| {
            let found = format!("holds an entry whose names take more than {HEADERS} bytes");
            io::Error::new(ErrorKind::Unsupported, found)
        })?;
        self.left.set(left);
        Ok(n)
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match file.read(&mut buffer[n..])? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

/// Where an entry goes, below the folder; or why it goes nowhere.
fn place(name: &OsStr) -> Result<PathBuf, &'static str> {
    let bytes = name.as_encoded_bytes();
    let mut parts: Vec<&OsStr> = Vec::new();
    if bytes.contains(&0) {
        return Err(NO_NAME);
    }
    for part in Path::new(name).components() {
        use std::path::Component;
        match part {
            Component::Normal(part) if part.len() > NAME => return Err(NO_NAME),
            Component::Normal(part) => parts.push(part),
            Component::ParentDir => {
                parts.pop().ok_or(LEADS_OUT)?;
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    let length: usize = parts.iter().map(|part| part.len() + 1).sum();
    match parts.is_empty() || parts.len() > DEPTH || length > PATH {
        true => Err(NO_NAME),
        false => Ok(parts.into_iter().collect()),
    }
}

/// Whether a name is that of the folder itself.
fn place_of_root(name: &OsStr) -> bool {
    name.as_encoded_bytes().iter().all(|byte| matches!(byte, b'.' | b'/')) && name.len() < 4
}

/// `C:/a` as `/a`.
fn without_drive(name: &str) -> &str {
    match name.as_bytes() {
        [letter, b':', ..] if letter.is_ascii_alphabetic() => &name[2..],
        _ => name,
    }
}

#[cfg(unix)]
fn os_string(bytes: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(not(unix))]
fn os_string(bytes: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// What the zip library found: a kind that it does not read is no damage.
fn zip_error(error: zip::result::ZipError) -> io::Error {
    use zip::result::ZipError;
    let unsupported = match &error {
        ZipError::UnsupportedArchive(_) | ZipError::InvalidPassword => true,
        other => matches!(other, ZipError::CompressionMethodNotSupported(_)),
    };
    match unsupported {
        true => io::Error::new(ErrorKind::Unsupported, format!("{error}; pack it anew as a plain zip or tar.gz")),
        false => error.into(),
    }
}

/// Sees to it that everything below `folder` is on the disk, before a note says so.
pub(super) fn flush(folder: &Path) -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        let handle = File::open(folder).map_err(Error::io(folder, "opening"))?;
        rustix::fs::syncfs(&handle).map_err(|error| Error::io(folder, "flushing")(error.into()))?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = folder;
    Ok(())
}

/// How many files lie below a folder.
pub(super) fn count_files(folder: &Path) -> u64 {
    let (mut folders, mut files) = (vec![folder.to_path_buf()], 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => folders.push(entry.path()),
                false => files += 1,
            }
        }
    }
    files
}

/// Whether a folder that an earlier version unpacked holds files and folders alone.
pub(super) fn holds_no_link(folder: &Path) -> bool {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { return false };
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
                Ok((path, kind)) if kind.is_dir() => folders.push(path),
                Ok((_, kind)) if kind.is_file() => {}
                _ => return false,
            }
        }
    }
    true
}
