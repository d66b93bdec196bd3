//! Downloads of archives that break off: what is gone on with, what is begun anew, what is never taken for whole.

use std::collections::{BTreeMap, VecDeque};
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
    /// The byte of the file before which the connection ends.
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
    /// One answer after the other, the last one from then on.
    sent: Arc<Mutex<VecDeque<Sent>>>,
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
                let next = {
                    let mut sent = sent.lock().expect("a state");
                    if sent.len() > 1 { sent.pop_front() } else { sent.front().cloned() }
                };
                // A client that goes away is no failure of the server.
                let _ = answer(stream, &next.expect("an answer"), &asked);
            }
        });
        server
    }

    fn send<const N: usize>(&self, sent: [Sent; N]) {
        *self.sent.lock().expect("a state") = sent.into();
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
    let cut = sent.cut.map(|cut| cut.saturating_sub(start.unwrap_or(0)));
    let part = &body[..cut.unwrap_or(body.len()).min(body.len())];
    if sent.framing == Framing::Chunks && !part.is_empty() {
        write!(out, "{:x}\r\n", part.len())?;
    }
    out.write_all(part)?;
    if sent.framing == Framing::Chunks && part.len() == body.len() {
        write!(out, "\r\n0\r\n\r\n")?;
    }
    out.flush()
}

/// A zip of class folders with `n` images each; names differ with the seed, lengths do not.
fn archive(seed: u8, n: usize) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let picture = encode_png(&image::RgbImage::from_pixel(12, 12, image::Rgb([90, 20, 160]))).expect("encodes");
    for class in ["round", "square"] {
        for number in 0..n {
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
    let (old, new) = (archive(1, 2), archive(2, 2));
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
            let first = Sent { file: old.clone(), validator: before.into(), cut: Some(half), ..Sent::default() };
            let then = Sent { file: file.clone(), validator: validator.into(), ..Sent::default() };
            server.send([first, then]);
            open(folder.path(), &server.address, "").expect("opens");
            assert_eq!(downloaded(folder.path()), *file);
            assert_eq!(server.asked(), [(None, None), (range.clone(), condition.map(String::from))]);
            assert!(!folder.path().join("cache/archives/shapes/shapes.zip.part.of").exists());
        }
    }
    // Without either, another length tells.
    let longer = Sent { file: archive(2, 3), ..Sent::default() };
    let (server, folder) = (Server::new(), tempfile::tempdir().expect("a folder"));
    server.send([Sent { file: old.clone(), cut: Some(half), ..Sent::default() }, longer.clone()]);
    open(folder.path(), &server.address, "").expect("opens");
    assert_eq!(server.asked(), [(None, None), (range, None), (None, None)]);
    assert_eq!(downloaded(folder.path()), longer.file);
    // Or another address.
    let (server, other, folder) = (Server::new(), Server::new(), tempfile::tempdir().expect("a folder"));
    server.send([Sent { file: old.clone(), cut: Some(half), ..Sent::default() }]);
    let error = open(folder.path(), &server.address, "").err().expect("breaks off").to_string();
    assert!(error.contains(&format!("{half} of {} bytes arrived", old.len())), "{error}");
    other.send([Sent { file: new.clone(), ..Sent::default() }]);
    open(folder.path(), &other.address, "").expect("opens");
    assert_eq!((downloaded(folder.path()), other.asked()), (new, vec![(None, None)]));
}

/// A server that leads elsewhere, and what was asked of it.
fn leading(to: String) -> (String, Arc<Mutex<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let count = Arc::<Mutex<usize>>::default();
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            *counted.lock().expect("a state") += 1;
            let (mut reader, mut out) = (BufReader::new(stream.try_clone().expect("a stream")), stream);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let _ =
                write!(out, "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (address, count)
}

#[test]
fn what_an_address_leads_to_is_asked_for_the_same_file_still() {
    let (store, folder) = (Server::new(), tempfile::tempdir().expect("a folder"));
    let file = archive(1, 2);
    let half = file.len() / 2;
    let sent = Sent { file: file.clone(), validator: "etag: \"one\"".into(), cut: Some(half), ..Sent::default() };
    store.send([sent.clone(), Sent { cut: None, ..sent }]);
    let (address, asked) = leading(format!("{}/elsewhere.zip", store.address));
    open(folder.path(), &address, "").expect("opens");
    assert_eq!(downloaded(folder.path()), file);
    assert_eq!(store.asked(), [(None, None), (Some(format!("bytes={half}-")), Some("\"one\"".into()))]);
    assert_eq!(*asked.lock().expect("a state"), 2);
    // A circle is told, and nothing is kept.
    let folder = tempfile::tempdir().expect("a folder");
    let (address, asked) = leading("/shapes.zip".into());
    let error = open(folder.path(), &address, "").err().expect("a circle").to_string();
    assert!(error.contains("go in a circle") && error.contains("Check the address"), "{error}");
    assert_eq!(*asked.lock().expect("a state"), 1);
}

#[test]
fn a_body_whose_end_is_not_known_is_not_taken_for_whole() {
    let file = archive(1, 2);
    let size = format!("size = {}", file.len());
    let sum = format!("sha256 = \"{}\"", sha256_hex(&file));
    let case = |keys: &str, framing: Framing, cut: Option<usize>| {
        let (server, folder) = (Server::new(), tempfile::tempdir().expect("a folder"));
        server.send([Sent { file: file.clone(), cut, framing, ..Sent::default() }]);
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
    };
    // Beside each other: what breaks off is asked for again and again, with pauses.
    std::thread::scope(|scope| {
        for keys in ["", size.as_str(), sum.as_str()] {
            for framing in [Framing::Length, Framing::Chunks, Framing::None] {
                for cut in [None, Some(file.len() - 30)] {
                    let case = &case;
                    scope.spawn(move || case(keys, framing, cut));
                }
            }
        }
    });
}

/// Opens the data set of `CHILD`'s folder and address, in a process of its own, since the environment decides.
#[test]
#[ignore = "the process of the next test"]
fn child() {
    let Ok(asked) = std::env::var(CHILD) else { return };
    let (folder, address) = asked.split_once('\n').expect("a folder and an address");
    match open(Path::new(folder), address, "") {
        Ok(set) => println!("opened {}", set.len()),
        Err(error) => println!("failed {error}"),
    }
}

const CHILD: &str = "WIDER_CLIP_TEST_ARCHIVE";

/// What `child` says, with these variables alone to name a proxy.
fn in_child(address: &str, variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = std::process::Command::new(std::env::current_exe().expect("this program"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.to_lowercase().ends_with("_proxy")) {
        child.env_remove(name);
    }
    child.args(["--exact", "child", "--ignored", "--nocapture"]);
    child.env(CHILD, format!("{}\n{address}", folder.path().display())).envs(variables.iter().copied());
    String::from_utf8_lossy(&child.output().expect("runs").stdout).into_owned()
}

#[test]
fn a_proxy_is_that_of_the_scheme_and_is_named() {
    let server = Server::new();
    server.send([Sent { file: archive(1, 2), ..Sent::default() }]);
    assert!(in_child(&server.address, &[]).contains("opened 4"));
    let secret = "http://me:pa55word@127.0.0.1:9";
    for variable in ["http_proxy", "ALL_PROXY"] {
        let said = in_child(&server.address, &[(variable, secret)]);
        let named =
            [format!("through the proxy 127.0.0.1:9 of {variable}"), format!("the proxy that {variable} names")];
        assert!(named.iter().all(|part| said.contains(part)) && !said.contains("pa55word"), "{said}");
        // Not for this host.
        assert!(in_child(&server.address, &[(variable, secret), ("no_proxy", "127.0.0.1")]).contains("opened 4"));
    }
    assert!(in_child(&server.address, &[("https_proxy", secret)]).contains("opened 4"), "another scheme's");
}
