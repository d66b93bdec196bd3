//! What must hold of what each reader reads.

use super::readers::{Check, Checked};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use wider_clip::candle_core::{DType, Device, Tensor};
use wider_clip::datasets::{self, ImageSet};
use wider_clip::error::Result as Answer;
use wider_clip::images::{MAX_PIXELS, decode, encode_png};
use wider_clip::manifest::{Columns, DatasetRecord, Manifests};
use wider_clip::models::WeightFile;
use wider_clip::text::{Kinds, Tokenizer, read_pairs};
use wider_clip::training::{Checkpoint, Curve};
use wider_clip::{hub, results};

/// The longest message that says why something is refused.
const LONGEST_MESSAGE: usize = 100_000;

/// What was read; a refusal must be short enough to read.
fn answer<T>(result: Answer<T>) -> Result<Option<T>, String> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.to_string().len() {
            0..=LONGEST_MESSAGE => Ok(None),
            n => Err(format!("a refusal of {n} bytes")),
        },
    }
}

/// What is true of `found`, or else says what is not.
fn holds(found: bool, what: &str) -> Result<(), String> {
    if found { Ok(()) } else { Err(format!("violated: {what}")) }
}

fn fresh(folder: &Path) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).expect("a folder");
}

pub fn image(_: &Path) -> Check {
    Box::new(|bytes| {
        let Some(picture) = answer(decode("picture", bytes))? else { return Ok(false) };
        let pixels = u64::from(picture.width()) * u64::from(picture.height());
        holds(pixels > 0 && pixels <= MAX_PIXELS, "a picture has pixels, and not too many")?;
        // Twice the same, and the same by way of a PNG; large ones once, to save time.
        if pixels <= 1 << 20 {
            holds(decode("picture", bytes).is_ok_and(|again| again == picture), "decoded twice alike")?;
            let png = encode_png(&picture).map_err(|error| error.to_string())?;
            holds(decode("png", &png).is_ok_and(|again| again == picture), "the same by way of a PNG")?;
        }
        Ok(true)
    })
}

/// A set's columns have one length, labels are of classes, bytes are read.
fn set(set: &ImageSet) -> Result<(), String> {
    let n = set.len();
    holds(set.ids.len() == n && set.labels.len() == n, "one id and one label an image")?;
    for column in [&set.groups, &set.domains, &set.names, &set.parts].into_iter().flatten() {
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

/// The bytes of every tensor, with its type and its shape.
fn tensors(file: &WeightFile) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for name in file.names().take(64) {
        let shape = file.shape(name).map_err(|error| error.to_string())?.to_vec();
        let tensor = match file.dtype(name).and_then(|_| file.get(name, &Device::Cpu)) {
            Ok(tensor) => tensor,
            Err(error) => {
                holds(error.to_string().len() < LONGEST_MESSAGE, "a short refusal")?;
                continue;
            }
        };
        holds(tensor.dims() == shape && tensor.is_contiguous(), "a tensor of its shape")?;
        let few = tensor.elem_count() <= 1 << 20;
        all.insert(
            name.to_string(),
            format!("{shape:?} {:?} {}", tensor.dtype(), if few { digest(&tensor) } else { String::new() }),
        );
    }
    Ok(all)
}

fn digest(tensor: &Tensor) -> String {
    let map = HashMap::from([("a".to_string(), tensor.clone())]);
    safetensors::serialize(&map, None)
        .map_or_else(|error| error.to_string(), |bytes| wider_clip::storage::sha256_hex(&bytes))
}

fn read_weights(path: &Path) -> Checked {
    let Some(file) = answer(WeightFile::open(path))? else { return Ok(false) };
    let first = tensors(&file)?;
    let again = WeightFile::open(path).map_err(|error| error.to_string())?;
    holds(file.names().eq(again.names()) && tensors(&again)? == first, "opened twice alike")?;
    Ok(true)
}

pub fn weights(place: &Path) -> Check {
    fresh(place);
    let path = place.join("weights");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        read_weights(&path)
    })
}

/// The pickle alone is changed, the archive around it is whole.
pub fn pickle(place: &Path) -> Check {
    fresh(place);
    let path = place.join("weights.bin");
    Box::new(move |bytes| {
        let mut archive = ::zip::ZipWriter::new(fs::File::create(&path).expect("a file"));
        let stored = ::zip::write::SimpleFileOptions::default().compression_method(::zip::CompressionMethod::Stored);
        let numbers: Vec<u8> = (0..32).collect();
        for (name, bytes) in [("m/data.pkl", bytes), ("m/data/0", &numbers[..24]), ("m/data/1", &numbers[..8])] {
            archive.start_file(name, stored).expect("a file");
            archive.write_all(bytes).expect("a file");
        }
        archive.finish().expect("an archive");
        read_weights(&path)
    })
}

/// What we read is what the format's own library reads.
pub fn safetensors(place: &Path) -> Check {
    fresh(place);
    let path = place.join("model.safetensors");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        if !read_weights(&path)? {
            return Ok(false);
        }
        // Other formats may come out of a mutation too.
        let file = WeightFile::open(&path).map_err(|error| error.to_string())?;
        if file.format() != wider_clip::models::WeightFormat::Safetensors {
            return Ok(true);
        }
        let theirs = ::safetensors::SafeTensors::deserialize(bytes).map_err(|error| format!("the library: {error}"))?;
        let mut names: Vec<&str> = theirs.names();
        names.sort_unstable();
        holds(file.names().eq(names.iter().copied()), "the library's names")?;
        for name in names {
            let view = theirs.tensor(name).map_err(|error| error.to_string())?;
            holds(file.shape(name).is_ok_and(|shape| shape == view.shape()), "the library's shapes")?;
            if let (Ok(DType::F32), Ok(tensor)) = (file.dtype(name), file.get(name, &Device::Cpu)) {
                let ours = tensor
                    .flatten_all()
                    .and_then(|tensor| tensor.to_vec1::<f32>())
                    .map_err(|error| error.to_string())?;
                let ours: Vec<u8> = ours.iter().flat_map(|value| value.to_le_bytes()).collect();
                holds(ours == view.data(), "the library's bytes")?;
            }
        }
        Ok(true)
    })
}

/// The length before a header that lies up to the first `}}`.
pub fn header_length(bytes: &mut Vec<u8>) {
    let end = bytes.windows(2).position(|pair| pair == b"}}").map(|at| at + 2);
    if let Some(end) = end.filter(|end| *end >= 8) {
        let length = (end as u64 - 8).to_le_bytes();
        bytes[..8].copy_from_slice(&length);
    }
}

pub fn index(place: &Path) -> Check {
    fresh(place);
    for name in ["a", "b"] {
        let tensor = Tensor::new(&[1f32, 2.0], &Device::Cpu).expect("a tensor");
        let file = safetensors::serialize([(name, tensor)], None).expect("a file");
        fs::write(place.join(format!("{name}.safetensors")), file).expect("a file");
    }
    let path = place.join("index.json");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        read_weights(&path)
    })
}

pub fn checkpoint_seeds() -> Vec<(String, Vec<u8>)> {
    let folder = scratch();
    let path = folder.path().join("a.safetensors");
    let mut one = Checkpoint::default();
    one.facts.insert("step".into(), "7".into());
    one.put("model", [("w".to_string(), Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).expect("a tensor"))]);
    one.write(&path).expect("a file");
    vec![("a checkpoint".into(), fs::read(path).expect("a file"))]
}

pub fn checkpoint(place: &Path) -> Check {
    fresh(place);
    let (path, copy) = (place.join("a.safetensors"), place.join("b.safetensors"));
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        let Some(found) = answer(Checkpoint::read(&path, &Device::Cpu))? else { return Ok(false) };
        // What it writes is f32, as a run's state is; eight-bit floats are none of it.
        if found.tensors.values().any(|tensor| tensor.dtype() != DType::F32) {
            return Ok(true);
        }
        let facts = found.facts.clone();
        let tensors: BTreeMap<_, _> =
            found.tensors.iter().map(|(name, tensor)| (name.clone(), digest(tensor))).collect();
        found.write(&copy).map_err(|error| error.to_string())?;
        let again = Checkpoint::read(&copy, &Device::Cpu).map_err(|error| error.to_string())?;
        let same =
            again.tensors.iter().map(|(name, tensor)| (name.clone(), digest(tensor))).collect::<BTreeMap<_, _>>();
        holds(again.facts == facts && same == tensors, "written and read again alike")?;
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
    let layout = "[source.archive.layout.table]\ntable = \"a.csv\"\nimage = \"images/{image}\"";
    unpacked(place, "a.csv", layout, <[u8]>::to_vec)
}

pub fn lists(place: &Path) -> Check {
    let layout = "[source.archive.layout.lists]\nimages = \"images\"\nlabel = \"folder\"\nlists.train = \"a.txt\"";
    unpacked(place, "a.txt", layout, <[u8]>::to_vec)
}

/// Every file and link under a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found
}

/// The sums of a PNG's chunks.
pub fn png_checksums(bytes: &mut Vec<u8>) {
    let mut at = 8;
    while bytes.starts_with(b"\x89PNG") && at + 12 <= bytes.len() {
        let length = u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        let Some(end) = at.checked_add(8 + length).filter(|end| end + 4 <= bytes.len()) else { break };
        let mut sum = flate2::Crc::new();
        sum.update(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&sum.sum().to_be_bytes());
        at = end + 4;
    }
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

pub fn curve(place: &Path) -> Check {
    fresh(place);
    let path = place.join("curve.csv");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        let Some(found) = answer(Curve::open(&path))? else { return Ok(false) };
        found.write().map_err(|error| error.to_string())?;
        let again = Curve::open(&path).map_err(|error| error.to_string())?;
        holds(format!("{:?}", again.rows()) == format!("{:?}", found.rows()), "written and read again alike")?;
        Ok(true)
    })
}

/// A project whose folder of one kind of manifest holds the input alone, and the repository's own for the rest.
fn manifests(place: &Path, kind: &'static str, show: fn(&Manifests) -> String) -> Check {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests");
    let folder = place.join("data_manifests");
    fresh(&folder);
    for other in ["datasets", "models", "suites", "embedded"] {
        let at = folder.join(other);
        // Only a suite needs the others.
        match (other == kind, other == "embedded" || (kind == "suites" && other != "suites")) {
            (false, true) => std::os::unix::fs::symlink(own.join(other), at).expect("a link"),
            _ => fs::create_dir_all(at).expect("a folder"),
        }
    }
    let (root, folder) = (place.to_path_buf(), folder.join(kind));
    Box::new(move |bytes| {
        fresh(&folder);
        let text = String::from_utf8_lossy(bytes);
        let id = text.lines().find_map(|line| line.strip_prefix("id = \"")?.split('"').next()).unwrap_or("a");
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        let id = if id.is_empty() || id.len() > 100 || !id.chars().all(plain) { "a" } else { id };
        let path = folder.join(format!("{id}.toml"));
        fs::write(&path, bytes).expect("a file");
        let Some(found) = answer(Manifests::load(&root))? else { return Ok(false) };
        // The same values written in another way are the same record.
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        fs::write(&path, toml::to_string(&table).map_err(|error| error.to_string())?).expect("a file");
        let again = Manifests::load(&root).map_err(|error| format!("written again it is refused: {error}"))?;
        holds(show(&again) == show(&found), "written and read again alike")?;
        Ok(true)
    })
}

pub fn dataset(place: &Path) -> Check {
    manifests(place, "datasets", |all| format!("{:?}", all.datasets().collect::<Vec<_>>()))
}

pub fn model(place: &Path) -> Check {
    manifests(place, "models", |all| format!("{:?}", all.models().collect::<Vec<_>>()))
}

pub fn suite(place: &Path) -> Check {
    manifests(place, "suites", |all| format!("{:?}", all.suites().collect::<Vec<_>>()))
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

pub fn lock_seeds() -> Vec<(String, Vec<u8>)> {
    let entry = |file: &str| {
        let sha256 = "ab".repeat(32);
        format!(
            "[[file]]\nrepo = \"a/b\"\nrevision = \"main\"\nfile = \"{file}\"\ncommit = \"{COMMIT}\"\nsize = 12\nsha256 = \"{sha256}\"\n"
        )
    };
    vec![("a lock".into(), (entry("model.safetensors") + &entry("pytorch_model.bin")).into_bytes())]
}

/// The lock is read by a look into the cache, which is empty but for the file that the seed names.
pub fn lock(place: &Path) -> Check {
    fresh(place);
    let path = place.join("hub.lock");
    let snapshot = hub::cache().path().join("models--a--b/snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).expect("a folder");
    fs::write(snapshot.join("model.safetensors"), b"twelve bytes").expect("a file");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        let files = ["model.safetensors".to_string()];
        let first = hub::model_in_cache(&path, "a/b", "main", &files);
        holds(hub::model_in_cache(&path, "a/b", "main", &files) == first, "read twice alike")?;
        let cache = hub::cache();
        holds(first.as_ref().is_none_or(|found| found.starts_with(cache.path())), "a file of the cache")?;
        Ok(first.is_some())
    })
}

/// A server that answers every question for a repository with the input, and knows nothing else.
pub fn listing(place: &Path) -> Check {
    fresh(place);
    let body = Arc::new(Mutex::new(Vec::new()));
    let endpoint = std::env::var("HF_ENDPOINT").expect("an address");
    let socket = std::net::TcpListener::bind(endpoint.trim_start_matches("http://")).expect("a port");
    let served = Arc::clone(&body);
    std::thread::spawn(move || {
        for stream in socket.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut asked = Vec::new();
            let mut piece = [0; 4096];
            while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(n) if n > 0 => asked.extend_from_slice(&piece[..n]),
                    _ => break,
                }
            }
            let (status, body) = match asked.starts_with(b"GET /api/models/") {
                true => ("200 OK", served.lock().expect("a body").clone()),
                false => ("404 Not Found", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    let place = place.to_path_buf();
    Box::new(move |bytes| {
        *body.lock().expect("a body") = bytes.to_vec();
        let files = ["model.safetensors".to_string()];
        let found = answer(hub::fetch_model(&place.join("hub.lock"), "a/b", "main", &files))?;
        holds(found.is_none(), "no file comes of a list alone")?;
        holds(fs::read_dir(&place).expect("a folder").count() <= 1, "nothing but the lock")?;
        let home = place.parent().expect("a folder");
        let outside = fs::read_dir(home).expect("a folder").flatten().map(|entry| entry.file_name());
        holds(
            outside
                .into_iter()
                .all(|name| ["work", "hub", "state", "ticket", "stderr", ".cache"].iter().any(|known| name == *known)),
            "nothing outside of the cache",
        )?;
        Ok(false)
    })
}

pub fn merges(place: &Path) -> Check {
    fresh(place);
    let path = place.join("merges.txt");
    Box::new(move |bytes| {
        fs::write(&path, bytes).expect("a file");
        let Some(pairs) = answer(read_pairs(&path))? else { return Ok(false) };
        let Some(tokenizer) = answer(Tokenizer::from_merges(&pairs, 77))? else { return Ok(false) };
        for text in ["a cat, the abc", "", "Hello THERE 12", "\u{e9}\u{1f600}"] {
            let ids = tokenizer.encode(text);
            holds(ids.len() >= 2 && ids.len() <= 77, "between two and 77 tokens")?;
            holds(ids.iter().all(|id| (*id as usize) < tokenizer.vocabulary_size()), "tokens of the vocabulary")?;
            holds(tokenizer.encode(text) == ids, "encoded twice alike")?;
            tokenizer.decode(&ids).map_err(|error| error.to_string())?;
        }
        Ok(true)
    })
}

pub fn kinds(_: &Path) -> Check {
    Box::new(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Some(kinds) = answer(Kinds::parse(&text, Path::new("kinds.tsv")))? else { return Ok(false) };
        for word in ["animals", "horse", "mare", "", "a"] {
            let found = kinds.of_word(word);
            holds(found == kinds.of_word(word), "asked twice alike")?;
            kinds.of_class(word);
        }
        Ok(true)
    })
}

fn scratch() -> tempfile::TempDir {
    super::child::scratch()
}
