//! Downloads of archives that break off: what is gone on with, what is begun anew, what is never taken for whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use wider_clip::image;
use wider_clip::images::encode_png;
use wider_clip::prelude::*;
use wider_clip::storage::sha256_hex;

/// What the server has and how it sends it.
#[derive(Default, Clone)]
struct Sent {
    file: Vec<u8>,
    /// `ETag` or `Last-Modified`, as a header's line.
    validator: String,
    /// How many bytes of a body are sent.
    cut: Option<usize>,
    framing: Framing,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Framing {
    #[default]
    Length,
    Chunks,
    /// The end of the connection is the end.
    None,
}

struct Server {
    address: String,
    sent: Arc<Mutex<Sent>>,
    /// `Range` and `If-Range` of each request.
    asked: Arc<Mutex<Vec<(Option<String>, Option<String>)>>>,
}

impl Server {
    fn new() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let server = Server { address, sent: Arc::default(), asked: Arc::default() };
        let (sent, asked) = (server.sent.clone(), server.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is no failure of the server.
                let _ = answer(stream, &sent.lock().expect("a state").clone(), &asked);
            }
        });
        server
    }

    fn send(&self, sent: Sent) {
        *self.sent.lock().expect("a state") = sent;
    }

    fn asked(&self) -> Vec<(Option<String>, Option<String>)> {
        std::mem::take(&mut self.asked.lock().expect("a state"))
    }
}

fn answer(stream: TcpStream, sent: &Sent, asked: &Mutex<Vec<(Option<String>, Option<String>)>>) -> std::io::Result<()> {
    let (mut reader, mut out) = (BufReader::new(stream.try_clone()?), stream);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
    }
    let (range, condition) = (headers.get("range").cloned(), headers.get("if-range").cloned());
    asked.lock().expect("a state").push((range.clone(), condition.clone()));
    let same = condition.is_none_or(|condition| sent.validator.ends_with(&condition));
    let n = sent.file.len();
    let start = range.filter(|_| same).and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let body = &sent.file[start.unwrap_or(0).min(n)..];
    let mut head = match start {
        Some(start) => format!("HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {start}-{}/{n}\r\n", n - 1),
        None => "HTTP/1.1 200 OK\r\n".to_string(),
    };
    if !sent.validator.is_empty() {
        head += &format!("{}\r\n", sent.validator);
    }
    head += &match sent.framing {
        Framing::Length => format!("content-length: {}\r\n", body.len()),
        Framing::Chunks => "transfer-encoding: chunked\r\n".into(),
        Framing::None => String::new(),
    };
    write!(out, "{head}connection: close\r\n\r\n")?;
    let part = &body[..sent.cut.unwrap_or(body.len()).min(body.len())];
    if sent.framing == Framing::Chunks {
        write!(out, "{:x}\r\n", part.len())?;
    }
    out.write_all(part)?;
    if sent.framing == Framing::Chunks && part.len() == body.len() {
        write!(out, "\r\n0\r\n\r\n")?;
    }
    out.flush()
}

/// A zip of class folders; names differ with the seed, lengths do not.
fn archive(seed: u8) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let picture = encode_png(&image::RgbImage::from_pixel(12, 12, image::Rgb([90, 20, 160]))).expect("encodes");
    for class in ["round", "square"] {
        for number in 0..2 {
            zip.start_file(format!("shapes/{class}/{seed}{number}.png"), options).expect("starts");
            zip.write_all(&picture).expect("writes");
        }
    }
    zip.finish().expect("ends").into_inner()
}

/// Opens the data set of one archive in `folder`; `keys` are further keys of the download.
fn open(folder: &Path, address: &str, keys: &str) -> Result<ImageSet> {
    let text = format!(
        "id = \"shapes\"\nname = \"Shapes\"\ndescription = \"Made by this test.\"\nlicence = \"MIT\"\nhomepage = \"none\"\n\
         citation = \"this test\"\n[[source.archive.downloads]]\nurl = \"{address}/shapes.zip\"\n{keys}\n\
         [source.archive.layout.class_folders]\nroot = \"shapes\"\n[columns]\nimage = \"image\"\nlabel = \"label\"\n\
         [split]\npool = \"train\"\ntotal = 4\nclasses = 2\nrule = \"study\"\nbudgets = [10]\n"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for kind in ["datasets", "models", "suites"] {
        fs::create_dir_all(folder.join("data_manifests").join(kind)).expect("makes a folder");
    }
    let model = "data_manifests/models/pixels.raw.toml";
    fs::copy(root.join(model), folder.join(model)).expect("copies");
    let suite = "id = \"default\"\ndescription = \"One set.\"\ndatasets = [\"shapes\"]\nmodels = [\"pixels.raw\"]\n\
                 methods = [\"knn\"]\nbudgets = [10]\nseeds = [0]\n";
    fs::write(folder.join("data_manifests/suites/default.toml"), suite).expect("writes");
    fs::write(folder.join("data_manifests/datasets/shapes.toml"), text).expect("writes");
    let project = Project::open(folder, "default").expect("a project").with_cache(folder.join("cache"));
    project.images("shapes")
}

fn downloaded(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("cache/archives/shapes/shapes.zip")).expect("the archive")
}

#[test]
fn a_file_that_changed_meanwhile_is_begun_anew() {
    let (old, new) = (archive(1), archive(2));
    assert_eq!(old.len(), new.len());
    let half = old.len() / 2;
    let range = Some(format!("bytes={half}-"));
    // Known by an ETag, or by its time: a weak ETag does not tell bytes apart.
    for (before, after, condition) in [
        ("etag: \"one\"", "etag: \"two\"", Some("\"one\"")),
        (
            "etag: W/\"one\"\r\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT",
            "etag: \"two\"",
            Some("Sun, 06 Nov 1994 08:49:37 GMT"),
        ),
    ] {
        for (file, validator) in [(&old, before), (&new, after)] {
            let (server, folder) = (Server::new(), tempfile::tempdir().expect("a folder"));
            server.send(Sent { file: old.clone(), validator: before.into(), cut: Some(half), ..Sent::default() });
            let error = open(folder.path(), &server.address, "").err().expect("breaks off").to_string();
            assert!(error.contains(&format!("{half} of {} bytes arrived", old.len())), "{error}");
            server.asked();
            server.send(Sent { file: file.clone(), validator: validator.into(), ..Sent::default() });
            open(folder.path(), &server.address, "").expect("opens");
            assert_eq!(downloaded(folder.path()), *file);
            assert_eq!(server.asked(), [(range.clone(), condition.map(String::from))]);
            assert!(!folder.path().join("cache/archives/shapes/shapes.zip.part.of").exists());
        }
    }
    // Without either, another length tells; or another address.
    let longer = [new.clone(), vec![0; 22]].concat();
    let (server, other, folder) = (Server::new(), Server::new(), tempfile::tempdir().expect("a folder"));
    server.send(Sent { file: old.clone(), cut: Some(half), ..Sent::default() });
    open(folder.path(), &server.address, "").err().expect("breaks off");
    server.asked();
    server.send(Sent { file: longer.clone(), cut: Some(half), ..Sent::default() });
    open(folder.path(), &server.address, "").err().expect("breaks off again");
    assert_eq!(server.asked(), [(range.clone(), None), (None, None)]);
    other.send(Sent { file: new.clone(), ..Sent::default() });
    open(folder.path(), &other.address, "").expect("opens");
    assert_eq!((downloaded(folder.path()), other.asked()), (new, vec![(None, None)]));
}

#[test]
fn a_body_whose_end_is_not_known_is_not_taken_for_whole() {
    let file = archive(1);
    let size = format!("size = {}", file.len());
    let sum = format!("sha256 = \"{}\"", sha256_hex(&file));
    for keys in ["", size.as_str(), sum.as_str()] {
        for framing in [Framing::Length, Framing::Chunks, Framing::None] {
            for cut in [None, Some(file.len() - 30)] {
                let (server, folder) = (Server::new(), tempfile::tempdir().expect("a folder"));
                server.send(Sent { file: file.clone(), cut, framing, ..Sent::default() });
                match open(folder.path(), &server.address, keys) {
                    Ok(_) => {
                        assert!(cut.is_none());
                        assert_eq!(downloaded(folder.path()), file);
                    }
                    Err(error) if framing == Framing::None && keys.is_empty() => {
                        let error = error.to_string();
                        assert!(error.contains("does not say how long the file is"), "{error}");
                        assert!(error.contains("`size` or `sha256`"), "{error}");
                    }
                    Err(error) => {
                        assert!(cut.is_some(), "{keys}: {error}");
                        assert!(!folder.path().join("cache/archives/shapes/shapes.zip").exists(), "{keys}: {error}");
                    }
                }
            }
        }
    }
}
