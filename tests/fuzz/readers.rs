//! The readers: where their seeds are, what words their formats have, and what must hold of what they read.

use super::oracles as of;
use super::words::{self, Words};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whether an input was read (false: refused), or what is wrong.
pub type Checked = Result<bool, String>;

/// Reads one input after the other.
pub type Check = Box<dyn Fn(&[u8]) -> Checked>;

pub struct Reader {
    /// Also the folder of its regressions.
    pub name: &'static str,
    pub seeds: Seeds,
    /// Whether every seed must be read.
    pub reads_all: bool,
    /// What the format is made of.
    pub words: Words,
    /// Sets checksums right.
    pub fix: fn(&mut Vec<u8>),
    /// Begins with an empty folder.
    pub start: fn(&Path) -> Check,
    /// Whether only this project writes what it reads: it runs where it is named.
    pub own: bool,
    /// Computing time that one input may take.
    pub longest: Duration,
    /// One part in so many of the time, unless it is named.
    pub part: u32,
}

/// Names and bytes.
type Seeds = fn() -> Vec<(String, Vec<u8>)>;

impl Reader {
    fn new(name: &'static str, seeds: Seeds, words: Words, start: fn(&Path) -> Check) -> Reader {
        let longest = Duration::from_secs(5);
        Reader { name, seeds, reads_all: true, words, fix: |_| {}, start, own: false, longest, part: 1 }
    }

    fn fixed_by(self, fix: fn(&mut Vec<u8>)) -> Reader {
        Reader { fix, ..self }
    }

    /// Some of its seeds are to be refused.
    fn refuses(self) -> Reader {
        Reader { reads_all: false, ..self }
    }

    fn own(self) -> Reader {
        Reader { own: true, ..self }
    }

    /// A short text, read by what reads another one too: a third of the time.
    fn sibling(self) -> Reader {
        Reader { part: 3, ..self }
    }
}

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The files under a folder of the repository whose names end so, sorted.
pub fn files(folder: &Path, end: &str) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(Path::new(ROOT).join(folder))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    found.retain(|path| path.is_file() && path.to_string_lossy().ends_with(end));
    found.sort();
    let read = |path: PathBuf| (path.display().to_string(), std::fs::read(path).expect("a file of the repository"));
    found.into_iter().map(read).collect()
}

fn images(end: &str) -> Vec<(String, Vec<u8>)> {
    files(Path::new("tests/golden/images/decode"), end)
}

fn seeds(reader: &str) -> Vec<(String, Vec<u8>)> {
    files(&Path::new("tests/fuzz/seeds").join(reader), "")
}

fn weights(end: &str) -> Vec<(String, Vec<u8>)> {
    files(Path::new("tests/golden/weights"), end)
}

fn manifests(kind: &str) -> Vec<(String, Vec<u8>)> {
    files(&Path::new("data_manifests").join(kind), ".toml")
}

/// Pictures that say how they are turned.
fn turned() -> Vec<(String, Vec<u8>)> {
    let all = [".jpg", ".png", ".webp"].map(images).concat();
    all.into_iter().filter(|(name, _)| name.contains("turn")).collect()
}

fn written(texts: &[&str]) -> Vec<(String, Vec<u8>)> {
    texts.iter().enumerate().map(|(i, text)| (format!("text {i}"), text.as_bytes().to_vec())).collect()
}

/// All readers, in the order in which they run.
pub fn all() -> Vec<Reader> {
    vec![
        Reader::new("jpeg", || images(".jpg"), words::JPEG, of::image),
        Reader::new("png", || images(".png"), words::PNG, of::image).fixed_by(of::png_checksums),
        Reader::new("webp", || images(".webp"), words::WEBP, of::image),
        Reader::new("tiff", || images(".tif"), words::TIFF, of::image),
        Reader::new("gif", || images(".gif"), words::GIF, of::image),
        // Not every kind of BMP is read.
        Reader::new("bmp", || seeds("bmp"), words::BMP, of::image).refuses(),
        Reader::new("exif", turned, words::EXIF, of::image).fixed_by(of::png_checksums),
        Reader::new("parquet", || seeds("parquet"), words::TABLE, of::parquet),
        Reader::new("rows", of::rows_seeds, words::TABLE, of::rows).own(),
        Reader::new("pickle", || seeds("pickle"), words::PICKLE, of::pickle).refuses(),
        Reader::new("torch", || weights(".bin"), words::PICKLE, of::weights).refuses(),
        Reader::new("torch_zip", || weights(".bin"), words::ZIP, of::weights).refuses(),
        Reader::new("safetensors", || weights(".safetensors"), words::HEADER, of::safetensors)
            .fixed_by(of::header_length),
        Reader::new("index", || written(&INDEX), words::INDEX, of::index),
        Reader::new("checkpoint", of::checkpoint_seeds, words::HEADER, of::checkpoint).fixed_by(of::header_length),
        // A link is refused, or not.
        Reader::new("tar", || seeds("tar"), words::TAR, of::tar).fixed_by(of::tar_checksums).refuses(),
        Reader::new("tgz", || seeds("tar"), words::TAR, of::tgz).fixed_by(of::tar_checksums).refuses(),
        Reader::new("zip", || seeds("zip"), words::ZIP, of::zip),
        Reader::new("csv", || written(&CSV), words::LINES, of::csv),
        Reader::new("lists", || written(&LISTS), words::LINES, of::lists).sibling(),
        Reader::new("curve", || written(&CURVE), words::LINES, of::curve).sibling(),
        Reader::new("dataset", || manifests("datasets"), words::TOML, of::dataset),
        Reader::new("model", || manifests("models"), words::TOML, of::model).sibling(),
        Reader::new("suite", || manifests("suites"), words::TOML, of::suite).sibling(),
        Reader::new("lock", of::lock_seeds, words::TOML, of::lock).sibling(),
        // No file comes of a list alone.
        Reader::new("listing", || written(&LISTING), words::LISTING, of::listing).refuses(),
        Reader::new("merges", || written(&MERGES), words::MERGES, of::merges).sibling(),
        Reader::new("kinds", || written(&KINDS), words::KINDS, of::kinds).sibling(),
    ]
}

const INDEX: [&str; 2] = [
    r#"{"metadata": {"total_size": 8}, "weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}"#,
    r#"{"weight_map": {"b": "b.safetensors"}}"#,
];
const CSV: [&str; 2] =
    ["image,label\na.csv,cat\nb.png,dog\n\"c,\"\"d\"\".png\",cat\n", "label,image\r\ncat,a.csv\r\ndog,b.png\r\n"];
const LISTS: [&str; 2] = ["a.txt cat\nb.png cat\nc.png a dog\n", "b dog\na.txt cat"];
const CURVE: [&str; 1] = ["model,step,images,seconds,metric,value\na,0,0,0.5,loss,1.5\na,10,320,1.25,loss,0.5\n"];
const LISTING: [&str; 2] = [
    r#"{"_id": "6", "id": "a/b", "private": false, "sha": "0123456789abcdef0123456789abcdef01234567",
        "siblings": [{"rfilename": "README.md"}, {"rfilename": "model.safetensors"}]}"#,
    r#"{"sha": "0123456789abcdef0123456789abcdef01234567", "siblings": []}"#,
];
const MERGES: [&str; 2] = ["a b\nab c\nh e\nhe l</w>\n", "t h\nth e</w>\n"];
const KINDS: [&str; 1] = ["animal,beast\t\t1,2\nmammal\t\t2\nhorse,mare\thorse,mare\t\n"];

/// Goes wrong in every way, to see that each is seen.
pub fn faulty() -> Reader {
    let faults = || written(&["a panic", "a relation", "memory", "an abort", "no end", "nothing"]);
    Reader { longest: Duration::from_millis(700), ..Reader::new("harness", faults, &[], of::faulty) }
}

/// How many of its inputs go wrong.
pub const FAULTS: usize = 5;
