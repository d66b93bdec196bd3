//! What must hold of data sets: tables, archives, lists.

use super::{answer, fresh, holds, walk};
use crate::readers::Check;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use wider_clip::datasets::{self, ImageSet};
use wider_clip::manifest::{Columns, DatasetRecord};
use wider_clip::results;

/// A set's columns have one length, labels are of classes, bytes are read.
fn set(set: &ImageSet) -> Result<(), String> {
    let n = set.len();
    holds(set.ids.len() == n && set.labels.len() == n, "one id and one label an image")?;
    for column in [&set.groups, &set.domains, &set.names, &set.times, &set.parts].into_iter().flatten() {
        holds(column.len() == n, "columns of one length")?;
    }
    holds(set.labels.iter().all(|label| (*label as usize) < set.classes.len()), "labels of classes")?;
    holds(set.class_counts().iter().sum::<usize>() == n, "every image in a class")?;
    let read = set.read(0..n.min(64)).map_err(|error| error.to_string());
    // A file that a list names need not be there.
    if let Ok(images) = read {
        for (row, bytes) in images.iter().enumerate() {
            if let Ok(bytes) = bytes {
                let _ = set.decode(row, bytes);
            }
        }
    }
    Ok(())
}

pub fn parquet(place: &Path) -> Check {
    fresh(place);
    let path = place.join("train.parquet");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        let columns = Columns::new("image", "label");
        let Some(found) = answer(datasets::open_parquet("fuzz", &path, &columns))? else { return Ok(false) };
        set(&found)?;
        let again = datasets::open_parquet("fuzz", &path, &columns).map_err(|error| error.to_string())?;
        holds(
            again.ids == found.ids && again.labels == found.labels && again.classes == found.classes,
            "opened twice alike",
        )?;
        Ok(true)
    })
}

pub fn rows_seeds() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests/results/alignment/icons");
    let mut found: Vec<PathBuf> =
        walk(&folder).into_iter().filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect();
    found.sort();
    found.into_iter().take(3).map(|path| (path.display().to_string(), fs::read(path).expect("a file"))).collect()
}

pub fn rows(place: &Path) -> Check {
    fresh(place);
    let (path, copy) = (place.join("rows.parquet"), place.join("copy.parquet"));
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        let Some(rows) = answer(results::read_rows(&path))? else { return Ok(false) };
        results::write_rows(&copy, &rows).map_err(|error| error.to_string())?;
        let again = results::read_rows(&copy).map_err(|error| error.to_string())?;
        holds(format!("{again:?}") == format!("{rows:?}"), "written and read again alike")?;
        Ok(true)
    })
}

/// A data set of one downloaded file.
fn record(file: &str, layout: &str) -> DatasetRecord {
    let text = format!(
        "id = \"fuzz\"\nname = \"Fuzz\"\ndescription = \"d\"\nlicence = \"l\"\nhomepage = \"https://example.org\"\ncitation = \"c\"\n\
         [source.archive]\n[[source.archive.downloads]]\nurl = \"http://127.0.0.1:9/{file}\"\n{layout}\n\
         [columns]\nimage = \"image\"\nlabel = \"label\"\n\
         [split]\npool = \"all\"\ntotal = 4\nclasses = 2\nsmallest_class = 2\nrule = \"study\"\nbudgets = [10]\n"
    );
    toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Opens a file that lies where a download would be; nothing may come to be outside of the cache.
fn unpacked(place: &Path, file: &'static str, layout: &str, pack: fn(&[u8]) -> Vec<u8>) -> Check {
    let record = record(file, layout);
    let place = place.to_path_buf();
    Box::new(move |bytes| {
        fresh(&place);
        let cache = place.join("cache");
        let folder = cache.join("archives/fuzz");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join(file), pack(bytes)).expect("a file");
        let found = answer(datasets::open(&place, &cache, &record))?;
        if let Some(found) = &found {
            set(found)?;
        }
        let outside: Vec<_> =
            fs::read_dir(&place).expect("a folder").flatten().map(|entry| entry.file_name()).collect();
        holds(outside == ["cache"], "nothing outside of the cache")?;
        for path in walk(&cache) {
            if let Ok(to) = fs::canonicalize(&path) {
                holds(to.starts_with(fs::canonicalize(&place).expect("a folder")), "no link that leads outside")?;
            }
        }
        Ok(found.is_some())
    })
}

const FOLDERS: &str = "[source.archive.layout.class_folders]\nroot = \"set\"";

pub fn tar(place: &Path) -> Check {
    unpacked(place, "a.tar", FOLDERS, <[u8]>::to_vec)
}

pub fn tgz(place: &Path) -> Check {
    unpacked(place, "a.tar.gz", FOLDERS, |bytes| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).expect("a file");
        out.finish().expect("a file")
    })
}

pub fn zip(place: &Path) -> Check {
    unpacked(place, "a.zip", FOLDERS, <[u8]>::to_vec)
}

pub fn csv(place: &Path) -> Check {
    // The table is the one that is looked up in, too.
    let layout = "[source.archive.layout.table]\ntable = \"a.csv\"\nimage = \"{image}\"\n\
                  [[source.archive.layout.table.lookups]]\ncolumn = \"more\"\nfrom = \"image\"\ntable = \"a.csv\"\n\
                  key = \"image\"\nvalue = \"label\"\notherwise = \"none\"";
    unpacked(place, "a.csv", layout, <[u8]>::to_vec)
}

pub fn lists(place: &Path) -> Check {
    let layout = "[source.archive.layout.lists]\nimages = \".\"\nlabel = \"after_space\"\nlists.train = \"a.txt\"";
    unpacked(place, "a.txt", layout, <[u8]>::to_vec)
}

/// The sums of a tar archive's headers.
pub fn tar_checksums(bytes: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(header) = bytes.get_mut(at..at + 512) {
        if header[257..262] == *b"ustar" {
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        at += 512;
    }
}
