//! Archives, on a stand-in server of this test: fetched, checked, unpacked, and read in every layout.

use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use wider_clip::datasets::Ignored;
use wider_clip::images::encode_png;
use wider_clip::prelude::*;
use wider_clip::storage::sha256_hex;

/// How the server answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    /// Bytes from the one that is asked for; status 416 with the length where there are none.
    Ranges,
    /// As `Ranges`, and the connection ends after so many bytes.
    BreaksOff(usize),
    /// The whole file, whatever is asked for.
    Whole,
    /// Status 416 without a length for every range.
    NoRanges,
    /// Status 206 from byte 0, whatever is asked for.
    WrongRange,
    /// Status 503 to the first request, then as `Ranges`.
    BusyOnce,
    /// As `Ranges`, and calls it HTML.
    Page,
}

/// A web server with files that a test can change.
struct Server {
    address: String,
    state: Arc<Mutex<State>>,
}

struct State {
    files: BTreeMap<String, Vec<u8>>,
    manner: Manner,
    /// Path and range of every request.
    requests: Vec<(String, Option<String>)>,
}

impl Server {
    fn new() -> Server {
        let state = State { files: BTreeMap::new(), manner: Manner::Ranges, requests: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away is no failure of the server.
                let _ = answer(stream, &shared);
            }
        });
        Server { address, state }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> &Server {
        self.state.lock().expect("a state").files.insert(format!("/{name}"), bytes.to_vec());
        self
    }

    fn manner(&self, manner: Manner) {
        self.state.lock().expect("a state").manner = manner;
    }

    /// The ranges of the requests since the last call.
    fn ranges(&self) -> Vec<Option<String>> {
        self.state.lock().expect("a state").requests.drain(..).map(|(_, range)| range).collect()
    }
}

/// Answers one request and ends the connection.
fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut range = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range:") {
            range = Some(value.trim().to_string());
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_string();
    let (file, manner) = {
        let mut state = state.lock().expect("a state");
        state.requests.push((path.clone(), range.clone()));
        let manner = state.manner;
        if matches!(manner, Manner::BusyOnce) {
            state.manner = Manner::Ranges;
        }
        (state.files.get(&path).cloned(), manner)
    };
    if matches!(manner, Manner::BusyOnce) {
        let head =
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        return out.write_all(head.as_bytes());
    }
    let Some(file) = file else {
        return write!(out, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    };
    let n = file.len();
    let start = range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let (status, content_range, body) = match (manner, start) {
        (Manner::NoRanges, Some(_)) => ("416 Range Not Satisfiable", String::new(), &file[..0]),
        (Manner::WrongRange, Some(_)) => ("206 Partial Content", format!("bytes 0-{}/{n}", n - 1), &file[..]),
        (Manner::Whole, _) | (_, None) => ("200 OK", String::new(), &file[..]),
        (_, Some(start)) if start >= n => ("416 Range Not Satisfiable", format!("bytes */{n}"), &file[..0]),
        (_, Some(start)) => ("206 Partial Content", format!("bytes {start}-{}/{n}", n - 1), &file[start..]),
    };
    let content_range = match content_range.is_empty() {
        true => content_range,
        false => format!("content-range: {content_range}\r\n"),
    };
    let content_range = match manner {
        Manner::Page => format!("{content_range}content-type: text/html; charset=utf-8\r\n"),
        _ => content_range,
    };
    write!(out, "HTTP/1.1 {status}\r\n{content_range}content-length: {}\r\nconnection: close\r\n\r\n", body.len())?;
    let sent = match manner {
        Manner::BreaksOff(after) => body.len().min(after),
        _ => body.len(),
    };
    out.write_all(&body[..sent])?;
    out.flush()
}

/// A project of its own in a temporary folder, with one data set, `shapes`.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let manifests = folder.path().join("data_manifests");
        for kind in ["datasets", "models", "suites"] {
            fs::create_dir_all(manifests.join(kind)).expect("makes a folder");
        }
        let model = "data_manifests/models/pixels.raw.toml";
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(model), folder.path().join(model)).expect("copies");
        let suite = "id = \"default\"\ndescription = \"One set.\"\ndatasets = [\"shapes\"]\nmodels = [\"pixels.raw\"]\n\
                     methods = [\"knn\"]\nbudgets = [10]\nseeds = [0]\n";
        fs::write(manifests.join("suites/default.toml"), suite).expect("writes");
        Place { folder }
    }

    /// Opens the data set that `source` describes, from downloads to layout; `columns` are those beside `image`.
    fn open(&self, source: &str, columns: &str) -> Result<ImageSet> {
        let text = format!(
            "id = \"shapes\"\nname = \"Shapes\"\ndescription = \"Made by this test.\"\nlicence = \"MIT\"\n\
             homepage = \"none\"\ncitation = \"this test\"\n[source.archive]\n{source}\n\
             [columns]\nimage = \"image\"\n{columns}\n\
             [split]\npool = \"train\"\ntotal = 4\nclasses = 2\nrule = \"study\"\nbudgets = [10]\n"
        );
        fs::write(self.folder.path().join("data_manifests/datasets/shapes.toml"), text).expect("writes");
        let project = Project::open(self.folder.path(), "default").expect("a project").with_cache(self.cache());
        project.images("shapes")
    }

    fn error(&self, source: &str, columns: &str) -> String {
        self.open(source, columns).expect_err("cannot be opened").to_string()
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Where the data set's downloads lie.
    fn file(&self, name: &str) -> PathBuf {
        self.cache().join("archives/shapes").join(name)
    }

    /// Puts a download in place beforehand.
    fn put(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.file("")).expect("makes a folder");
        fs::write(self.file(name), bytes).expect("writes");
    }
}

const LABEL: &str = "label = \"label\"";
const FOLDERS: &str = "[source.archive.layout.class_folders]\nroot = \"shapes\"";
/// An address at which nobody listens, for archives that were put in place.
const NOWHERE: &str = "http://127.0.0.1:9";

/// A download of `name` from `address`, with further keys.
fn download(address: &str, name: &str, keys: &str) -> String {
    format!("[[source.archive.downloads]]\nurl = \"{address}/{name}\"\n{keys}\n")
}

fn png(side: u32) -> Vec<u8> {
    encode_png(&wider_clip::image::RgbImage::new(side, side)).expect("encodes")
}

fn zip_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        out.start_file(*name, zip::write::SimpleFileOptions::default()).expect("starts a file");
        out.write_all(bytes).expect("writes");
    }
    out.finish().expect("ends").into_inner()
}

/// Names go into the header as they are, those too that lead out of the folder.
fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        out.append(&header, *bytes).expect("writes");
    }
    out.into_inner().expect("ends")
}

fn gz_of(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).expect("writes");
    out.finish().expect("ends")
}

/// Two classes of two images.
fn shapes() -> Vec<u8> {
    let image = png(4);
    let names = ["shapes/round/a.png", "shapes/round/b.png", "shapes/square/c.png", "shapes/square/d.png"];
    zip_of(&names.map(|name| (name, image.as_slice())))
}

#[test]
fn a_zip_of_class_folders_with_lists() {
    let (server, place) = (Server::new(), Place::new());
    let image = png(4);
    let names =
        ["s/Images/square/s1.png", "s/Images/round/r2.png", "s/Images/round/extra.png", "s/Images/round/r1.png"];
    server.put("s.zip", &zip_of(&names.map(|name| (name, image.as_slice()))));
    server.put("train.txt", b"r1.png\n\ns1.png\n").put("test.txt", b"  r2.png  \r\n");
    let names = ["s.zip", "train.txt", "test.txt"];
    let downloads = names.map(|name| download(&server.address, name, "")).concat();
    let layout = "[source.archive.layout.class_folders]\nroot = \"s/Images\"\n";
    let lists = format!("{downloads}{layout}lists.train = \"train.txt\"\nlists.test = \"test.txt\"");
    let set = place.open(&lists, LABEL).expect("opens");
    assert_eq!(set.classes, ["round", "square"]);
    let ids = ["s/Images/round/extra.png", "s/Images/round/r1.png", "s/Images/round/r2.png", "s/Images/square/s1.png"];
    assert_eq!(set.ids, ids);
    assert_eq!(set.labels, [0, 0, 0, 1]);
    assert_eq!(set.parts.as_deref().expect("parts"), ["none", "train", "test", "train"]);
    assert_eq!(set.rows_of_part("train").expect("a part"), [1, 3]);
    for bytes in set.read(0..4).expect("reads") {
        assert_eq!(bytes.expect("an image"), image);
    }
    // Without lists every image is in one part, and nothing is fetched again.
    server.ranges();
    let all = place.open(&format!("{downloads}{layout}"), LABEL).expect("opens");
    assert_eq!(all.rows_of_part("all").expect("a part").len(), 4);
    assert!(server.ranges().is_empty());
}

#[test]
fn lists_of_class_folders_name_each_image_once_and_no_other() {
    let place = Place::new();
    let image = png(4);
    let names = ["shapes/round/a.png", "shapes/round/b.png", "shapes/square/c.png", "shapes/square/b.png"];
    place.put("shapes.zip", &zip_of(&names.map(|name| (name, image.as_slice()))));
    let downloads = ["shapes.zip", "train.txt", "test.txt"].map(|name| download(NOWHERE, name, "")).concat();
    let source = format!("{downloads}{FOLDERS}\nlists.train = \"train.txt\"\nlists.test = \"test.txt\"");
    for (train, test, expected) in [
        ("a.png\nz.png", "c.png", "expected an image `z.png`, which the list of `train` names, found none"),
        ("a.png", "c.png\n\na.png", "train.txt:1: expected an image that no line before names, found `a.png`"),
        ("a.png", "b.png", "expected one image of a listed name"),
    ] {
        place.put("train.txt", train.as_bytes());
        place.put("test.txt", test.as_bytes());
        let _ = fs::remove_file(place.file("unpacked.ok"));
        let error = place.error(&source, LABEL);
        assert!(error.contains(expected), "{error}\nlacks\n{expected}");
    }
}

const TABLE: &str = "split,time,file,kind,camera,burst,title\n\
                     train,2010-01-05,a.png,10,north,x,\"An a, first\"\n\
                     train,2014-02-01,b.png,2,north,x,B\n\
                     val,2014-02-01,c.png,2,south,y,C\n\
                     val,2017-02-01,d.png,2,south,y,D\n\
                     seq,2010-01-01,e.png,7,south,y,E\n\
                     test,2016,f.png,10,east,z,F\n\
                     train,,g.png,10,east,z,G\n\
                     train,2012-12-31,h.png,2,east,z,H\n";

/// A part of the table above.
fn part(name: &str, value: &str, times: &str) -> String {
    format!(
        "[[source.archive.layout.table.parts]]\nname = \"{name}\"\ncolumn = \"split\"\nvalue = \"{value}\"\n{times}\n"
    )
}

/// The layout of that table.
fn table_layout(image: &str) -> String {
    let parts = [
        part("train", "train", "time_column = \"time\"\nuntil = \"2013\""),
        part("val", "val", "time_column = \"time\"\nfrom = \"2013\"\nuntil = \"2016\""),
        part("test", "test", "time_column = \"time\"\nfrom = \"2016\""),
    ];
    format!("[source.archive.layout.table]\ntable = \"table.csv\"\nimage = \"{image}\"\n{}", parts.concat())
}

const KIND: &str = "label = \"kind\"\ndomain = \"camera\"\ngroup = \"burst\"\nname = \"title\"";

#[test]
fn a_tgz_with_a_table() {
    let (server, place) = (Server::new(), Place::new());
    let image = png(4);
    let mut files: Vec<(String, &[u8])> = vec![("table.csv".into(), TABLE.as_bytes())];
    files.extend("abcdefgh".chars().enumerate().map(|(row, name)| (format!("img/{row}_{name}.png"), image.as_slice())));
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    server.put("blob", &gz_of(&tar_of(&files)));
    let source = download(&server.address, "blob", "file = \"shapes_v1.tgz\"");
    let set = place.open(&format!("{source}{}", table_layout("img/{row}_{file}")), KIND).expect("opens");
    // Rows of no part are left out: in no split, in no stretch of time, without a time. All rows are counted.
    assert_eq!(set.ids, ["img/0_a.png", "img/2_c.png", "img/5_f.png", "img/7_h.png"]);
    assert_eq!(set.parts.as_deref().expect("parts"), ["train", "val", "test", "train"]);
    // Classes that are numbers stand in the order of the numbers.
    assert_eq!(set.classes, ["2", "10"]);
    assert_eq!(set.labels, [1, 0, 1, 0]);
    assert_eq!(set.domains.as_deref().expect("domains"), ["north", "south", "east", "east"]);
    assert_eq!(set.groups.as_deref().expect("groups"), ["x", "y", "z", "z"]);
    assert_eq!(set.names.as_deref().expect("names")[0], "An a, first");
    assert_eq!(set.read(0..4).expect("reads").into_iter().filter(Result::is_ok).count(), 4);
}

/// A lookup of the camera's continent in `places.csv`.
fn lookup(keys: &str) -> String {
    format!("[[source.archive.layout.table.lookups]]\nfrom = \"camera\"\ntable = \"places.csv\"\n{keys}\n")
}

#[test]
fn a_column_of_a_table_comes_from_another_table() {
    let place = Place::new();
    let image = png(4);
    let open = |places: &str, lookups: &str, columns: &str| {
        let mut files = vec![("table.csv", TABLE.as_bytes()), ("places.csv", places.as_bytes())];
        let names = ["a.png", "b.png", "c.png", "d.png", "e.png", "f.png", "g.png", "h.png"];
        files.extend(names.map(|name| (name, image.as_slice())));
        place.put("shapes.zip", &zip_of(&files));
        let _ = fs::remove_file(place.file("unpacked.ok"));
        let source = download(NOWHERE, "shapes.zip", "");
        place.open(&format!("{source}{}{lookups}", table_layout("{file}")), columns)
    };
    // A name without a continent, a row without a name, a name twice that says the same, and one that nobody has.
    let places =
        "name,continent,zone\nnorth,Europe,1\neast,,2\n,Asia,3\nsouth,Africa,4\nsouth,Africa,5\nwest,America,6\n";
    let continent = lookup("column = \"continent\"\nkey = \"name\"\nvalue = \"continent\"\notherwise = \"Other\"");
    let columns = "label = \"kind\"\ndomain = \"continent\"\ntime = \"time\"";
    let set = open(places, &continent, columns).expect("opens");
    assert_eq!(set.ids, ["a.png", "c.png", "f.png", "h.png"]);
    assert_eq!(set.domains.as_deref().expect("domains"), ["Europe", "Africa", "Other", "Other"]);
    assert_eq!(set.times.as_deref().expect("times"), ["2010-01-05", "2014-02-01", "2016", "2012-12-31"]);
    assert_eq!(set.years().expect("dates"), Some(vec![2010, 2014, 2016, 2012]));
    // The column takes the place of one of its name, later lookups see it, and labels, parts and images may be looked up.
    let (renamed, other) = ("column = \"camera\"\nkey = \"name\"\nvalue = \"zone\"", "\notherwise = \"9\"");
    let again = "[[source.archive.layout.table.lookups]]\ncolumn = \"zone\"\nfrom = \"camera\"\ntable = \"places.csv\"\n\
                 key = \"zone\"\nvalue = \"name\"\n";
    let zones = places.replace("south,Africa,5\n", "");
    let set =
        open(&zones, &[&lookup(renamed), again].concat(), "label = \"zone\"\ndomain = \"camera\"").expect("opens");
    assert_eq!(set.domains.as_deref().expect("domains"), ["1", "4", "2", "2"]);
    assert_eq!(
        set.labels.iter().map(|&label| set.classes[label as usize].as_str()).collect::<Vec<_>>(),
        ["north", "south", "east", "east"]
    );
    let error =
        |places: &str, lookups: &str, columns: &str| open(places, lookups, columns).expect_err("refused").to_string();
    let without = lookup("column = \"continent\"\nkey = \"name\"\nvalue = \"continent\"");
    let text = error(places, &without, columns);
    let expected = "table.csv:7: expected a `camera` with a row and a value in places.csv, or `otherwise` in the record's lookup \
                    of `continent`, found `east`";
    assert!(text.contains(expected), "{text}");
    let text = error(places, &[lookup(renamed), other.into()].concat(), "label = \"kind\"\ndomain = \"camera\"");
    let expected =
        "places.csv:6: expected one value in column `zone` per `name`, found `5` for `south`, and `4` in line 5";
    assert!(text.contains(expected), "{text}");
    for (key, value) in [("nom", "continent"), ("name", "Kontinent")] {
        let keys = format!("column = \"c\"\nkey = \"{key}\"\nvalue = \"{value}\"");
        let text = error(places, &lookup(&keys), columns);
        let lacking = if key == "nom" { key } else { value };
        let expected = format!("places.csv: expected a column `{lacking}`, found the columns name, continent, zone");
        assert!(text.contains(&expected), "{text}");
    }
    let text = error(places, &continent.replace("camera", "lens"), columns);
    assert!(text.contains("table.csv: expected a column `lens`, found the columns split, time, file"), "{text}");
    let text = error(places, &continent.replace("places.csv", "other.csv"), columns);
    assert!(text.contains("other.csv: expected a CSV table with a header row"), "{text}");
    // Times that are no dates are told where years are asked for.
    let set = open(places, &continent, "label = \"kind\"\ntime = \"title\"").expect("opens");
    let text = set.years().expect_err("no dates").to_string();
    assert!(text.contains("which begin with the year, found `An a, first` for a.png"), "{text}");
    assert_eq!(open(places, &continent, KIND).expect("opens").years().expect("none"), None);
}

#[test]
fn what_a_table_lacks_is_named() {
    let place = Place::new();
    let image = png(4);
    place.put("table.csv", TABLE.as_bytes());
    place.put("img.tar", &tar_of(&[("img/a.png", image.as_slice())]));
    let downloads = ["table.csv", "img.tar"].map(|name| download(NOWHERE, name, "")).concat();
    let source = |layout: String| format!("{downloads}{layout}");
    let layout = || table_layout("img/{file}");
    let known = "found the columns split, time, file, kind, camera, burst, title";
    for (layout, columns, expected) in [
        (layout(), "label = \"species\"", "table.csv: expected a column `species`"),
        (layout(), "label = \"species\"", known),
        (layout(), "label = \"kind\"\ndomain = \"place\"", "a column `place`"),
        (layout(), "label = \"kind\"\ngroup = \"sequence\"", "a column `sequence`"),
        (table_layout("img/{path}.png"), "label = \"kind\"", "a column `path`"),
        (layout().replace("\"split\"", "\"fold\""), "label = \"kind\"", "a column `fold`"),
        (layout().replace("\"time\"", "\"when\""), "label = \"kind\"", "a column `when`"),
        (
            layout().replace("time_column = \"time\"\n", ""),
            "label = \"kind\"",
            "`time_column` beside `from` and `until`",
        ),
        (table_layout("../{file}"), "label = \"kind\"", "table.csv:2: expected a path inside the data set's folder"),
        (table_layout("jpg/{file}"), "label = \"kind\"", "found none of 4, the first: jpg/a.png"),
        (layout().replace("table.csv", "labels.csv"), "label = \"kind\"", "labels.csv: expected a CSV table"),
    ] {
        let error = place.error(&source(layout), columns);
        assert!(error.contains(expected), "{error}\nlacks\n{expected}");
    }
    // A row without its label.
    let _ = fs::remove_file(place.file("unpacked.ok"));
    place.put("table.csv", TABLE.replace("c.png,2", "c.png,").as_bytes());
    let error = place.error(&source(layout()), KIND);
    assert!(error.contains("table.csv:4: expected a label in column `kind`"), "{error}");
}

#[test]
fn images_that_are_not_there_are_set_aside_by_name() {
    let place = Place::new();
    let image = png(4);
    place.put("table.csv", TABLE.as_bytes());
    let names = ["img/a.png", "img/c.png", "img/h.png"];
    place.put("img.tar", &tar_of(&names.map(|name| (name, image.as_slice()))));
    let downloads = ["table.csv", "img.tar"].map(|name| download(NOWHERE, name, "")).concat();
    let set = place.open(&format!("{downloads}{}", table_layout("img/{file}")), KIND).expect("opens");
    assert_eq!(set.len(), 4);
    let error = set.read(0..4).expect("reads").remove(2).expect_err("not there").to_string();
    assert!(error.contains("f.png"), "{error}");
    let project = Project::open(place.folder.path(), "default").expect("a project");
    let model = project.manifests.model("pixels.raw").expect("known");
    let model = models::load(project.root(), model, &Device::Cpu).expect("loads");
    let cache = place.cache();
    let what = Extraction { cache: &cache, rows: None, verbose: false, within: None };
    let table = extract(&model, &set, what).expect("extracts");
    assert_eq!(table.rows, [0, 1, 3]);
    assert_eq!(table.set_aside.len(), 1);
    assert!(table.set_aside[0].id == "img/f.png" && table.set_aside[0].reason.contains("img/f.png"));
    // When it comes, the set is another, and nothing that was cached stands for it.
    fs::write(place.file("unpacked/img/f.png"), &image).expect("writes");
    let whole = place.open(&format!("{downloads}{}", table_layout("img/{file}")), KIND).expect("opens");
    assert_ne!(whole.data_sha256, set.data_sha256);
}

#[test]
fn a_tar_with_lists() {
    let (server, place) = (Server::new(), Place::new());
    let image = png(4);
    let images = ["d/images/dotted/1.png", "d/images/dotted/2.png", "d/images/banded/1.png"];
    let mut files = images.map(|name| (name, image.as_slice())).to_vec();
    files.push(("d/labels/train.txt", b"dotted/1.png\nbanded/1.png\n".as_slice()));
    files.push(("d/labels/test.txt", b"\ndotted/2.png\n\n".as_slice()));
    server.put("d.tar", &tar_of(&files));
    let lists = "lists.train = \"d/labels/train.txt\"\nlists.test = \"d/labels/test.txt\"";
    let layout = format!("[source.archive.layout.lists]\nimages = \"d/images\"\nlabel = \"folder\"\n{lists}");
    let set = place.open(&format!("{}{layout}", download(&server.address, "d.tar", "")), LABEL).expect("opens");
    // Lists are read in the order of their parts' names.
    assert_eq!(set.ids, ["d/images/dotted/2.png", "d/images/dotted/1.png", "d/images/banded/1.png"]);
    assert_eq!(set.classes, ["banded", "dotted"]);
    assert_eq!(set.labels, [1, 1, 0]);
    assert_eq!(set.rows_of_part("test").expect("a part"), [0]);
}

#[test]
fn lists_with_labels_after_a_space_in_the_owners_order() {
    let place = Place::new();
    let image = png(4);
    let source = |train: &str, order: &str| {
        let files: [(&str, &[u8]); 5] = [
            ("a/1025794.png", image.as_slice()),
            ("a/0034309.png", image.as_slice()),
            ("a/0000001.png", image.as_slice()),
            ("train.txt", train.as_bytes()),
            ("variants.txt", order.as_bytes()),
        ];
        place.put("a.tar", &tar_of(&files));
        let _ = fs::remove_file(place.file("unpacked.ok"));
        let layout = "[source.archive.layout.lists]\nimages = \"a\"\nsuffix = \".png\"\nlabel = \"after_space\"\n\
                      classes = \"variants.txt\"\nlists.train = \"train.txt\"";
        format!("{}{layout}", download(NOWHERE, "a.tar", ""))
    };
    let train = "1025794 707-320\n0034309 F/A 18\n0000001 707-320\n";
    let set = place.open(&source(train, "F/A 18\nDC-3\n707-320\n"), LABEL).expect("opens");
    assert_eq!(set.classes, ["F/A 18", "DC-3", "707-320"]);
    assert_eq!(set.labels, [2, 0, 2]);
    assert_eq!(set.class_counts(), [1, 0, 2]);
    assert_eq!(set.ids[0], "a/1025794.png");
    for (train, order, expected) in [
        ("1025794 707-320\n\n0034309\n", "707-320", "train.txt:3: expected an image and its label, found `0034309`"),
        (train, "707-320", "variants.txt: expected a line `F/A 18`"),
        (train, "707-320\nF/A 18\n707-320", "variants.txt:3: expected every class once, found `707-320`, as in line 1"),
        (
            "../../x 707-320",
            "707-320",
            "train.txt:1: expected a path inside the data set's folder, found `../../x.png`",
        ),
        ("7 707-320\n8 707-320", "707-320", "found none of 2, the first: a/7.png"),
        ("1025794 707-320\n1025794 707-320", "707-320", "expected one image an id, found `a/1025794.png` twice"),
    ] {
        let error = place.error(&source(train, order), LABEL);
        assert!(error.contains(expected), "{error}\nlacks\n{expected}");
    }
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_stopped() {
    let (server, place) = (Server::new(), Place::new());
    let archive = shapes();
    let half = archive.len() / 2;
    server.put("shapes.zip", &archive);
    server.manner(Manner::BreaksOff(half));
    let source = format!("{}{FOLDERS}", download(&server.address, "shapes.zip", ""));
    let from = |n: usize| Some(format!("bytes={n}-"));
    // By itself, while the server gives more.
    let by_itself = Place::new();
    assert_eq!(by_itself.open(&source, LABEL).expect("opens").len(), 4);
    let most = archive.len() - half;
    let ranges = if most > half { vec![None, from(half), from(2 * half)] } else { vec![None, from(half)] };
    assert_eq!(server.ranges(), ranges);
    // As often as there is hope, and in the next run.
    server.manner(Manner::BreaksOff(2));
    let error = place.error(&source, LABEL);
    let arrived = format!("10 of {} bytes arrived", archive.len());
    assert!(error.contains(&arrived) && error.contains("(tried 5 times)"), "{error}");
    assert!(error.contains("Run it again: it goes on where it stopped"), "{error}");
    assert_eq!(fs::read(place.file("shapes.zip.part")).expect("a part"), archive[..10]);
    server.manner(Manner::Ranges);
    assert_eq!(place.open(&source, LABEL).expect("opens").len(), 4);
    assert_eq!(server.ranges(), [None, from(2), from(4), from(6), from(8), from(10)]);
    assert_eq!(fs::read(place.file("shapes.zip")).expect("the archive"), archive);
    assert!(!place.file("shapes.zip.part").exists());
    assert_eq!(place.open(&source, LABEL).expect("opens again").len(), 4);
    assert!(server.ranges().is_empty());
}

#[test]
fn what_arrived_before_is_used_as_far_as_the_server_goes_along() {
    let archive = shapes();
    let n = archive.len();
    let size = format!("size = {n}");
    let longer = [archive.as_slice(), b"more"].concat();
    let from = |n: usize| Some(format!("bytes={n}-"));
    for (case, manner, part, keys, requests) in [
        ("ranges are ignored", Manner::Whole, &archive[..9], "", vec![from(9)]),
        ("all of it was there", Manner::Ranges, &archive[..], "", vec![from(n)]),
        ("all of it was there, by the record", Manner::Ranges, &archive[..], size.as_str(), vec![]),
        ("more than all of it was there", Manner::Ranges, &longer[..], "", vec![from(n + 4), None]),
        ("more than all of it, by the record", Manner::Ranges, &longer[..], size.as_str(), vec![None]),
        ("ranges are refused", Manner::NoRanges, &archive[..9], "", vec![from(9), None]),
        ("the wrong range comes", Manner::WrongRange, &archive[..9], "", vec![from(9), None]),
        ("nothing was there", Manner::Ranges, &archive[..0], "", vec![None]),
    ] {
        let (server, place) = (Server::new(), Place::new());
        server.put("shapes.zip", &archive);
        server.manner(manner);
        place.put("shapes.zip.part", part);
        let source = format!("{}{FOLDERS}", download(&server.address, "shapes.zip", keys));
        let opened = place.open(&source, LABEL);
        assert_eq!(opened.unwrap_or_else(|error| panic!("{case}: {error}")).len(), 4, "{case}");
        assert_eq!(server.ranges(), requests, "{case}");
        assert_eq!(fs::read(place.file("shapes.zip")).expect("the archive"), archive, "{case}");
    }
}

fn md5_hex(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_wrong_file_is_set_aside_and_the_next_try_starts_anew() {
    let good = shapes();
    // As long as the good one, so that only the digest tells.
    let mut bad = good.clone();
    bad[40] ^= 1;
    for (keys, expected, found) in [
        (format!("sha256 = \"{}\"", sha256_hex(&good)), sha256_hex(&good), sha256_hex(&bad)),
        (format!("md5 = \"{}\"", md5_hex(&good)), md5_hex(&good), md5_hex(&bad)),
    ] {
        let (server, place) = (Server::new(), Place::new());
        server.put("shapes.zip", &bad);
        let source = format!("{}{FOLDERS}", download(&server.address, "shapes.zip", &keys));
        let error = place.error(&source, LABEL);
        let place_of_bad = place.file("shapes.zip.bad");
        let bad_name = place_of_bad.display().to_string();
        for part in [&expected, &found, &server.address, &bad_name] {
            assert!(error.contains(part.as_str()), "{error}\nlacks\n{part}");
        }
        assert_eq!(fs::read(&place_of_bad).expect("kept"), bad);
        assert!(!place.file("unpacked").exists());
        server.put("shapes.zip", &good);
        assert_eq!(place.open(&source, LABEL).expect("opens").len(), 4);
    }
}

#[test]
fn a_wrong_size_is_told_before_the_download_and_of_a_file_put_there() {
    let (server, place) = (Server::new(), Place::new());
    let archive = shapes();
    let n = archive.len();
    server.put("shapes.zip", &archive[..n - 3]);
    let source = format!("{}{FOLDERS}", download(&server.address, "shapes.zip", &format!("size = {n}")));
    let error = place.error(&source, LABEL);
    assert!(error.contains(&format!("expected {n} bytes, found {} on the server", n - 3)), "{error}");
    assert!(!place.file("shapes.zip.part").exists());
    place.put("shapes.zip", b"too short");
    let error = place.error(&source, LABEL);
    assert!(error.contains(&format!("expected {n} bytes, found 9")) && error.contains("shapes.zip.bad"), "{error}");
    server.put("shapes.zip", &archive);
    assert_eq!(place.open(&source, LABEL).expect("opens").len(), 4);
}

#[test]
fn an_archive_that_cannot_be_unpacked_is_set_aside() {
    let page = b"<html>Please log in</html>".repeat(60);
    let image = png(4);
    let tar = tar_of(&[("shapes/round/a.png", image.as_slice()), ("shapes/square/b.png", image.as_slice())]);
    let cut = gz_of(&tar);
    for (name, bad, good) in [
        ("shapes.zip", page.clone(), shapes()),
        ("shapes.tar", page.clone(), tar.clone()),
        ("shapes.tar.gz", page.clone(), gz_of(&tar)),
        ("shapes.tgz", cut[..cut.len() / 2].to_vec(), gz_of(&tar)),
    ] {
        let (server, place) = (Server::new(), Place::new());
        server.put(name, &bad);
        let source = format!("{}{FOLDERS}", download(&server.address, name, ""));
        let error = place.error(&source, LABEL);
        assert!(error.contains("an archive that can be unpacked") && error.contains(name), "{error}");
        assert!(place.file(&format!("{name}.bad")).exists() && !place.file(name).exists(), "{name}");
        server.put(name, &good);
        assert_eq!(place.open(&source, LABEL).expect("opens").classes, ["round", "square"], "{name}");
    }
}

#[test]
fn nothing_is_written_outside() {
    let image = png(4);
    let place = Place::new();
    let absolute = place.folder.path().join("absolute.png");
    let absolute_name = absolute.display().to_string();
    let good = ["shapes/round/a.png", "shapes/square/b.png"].map(|name| (name, image.as_slice()));
    let outside = |place: &Place| {
        let up = ["evil.png", "../evil.png", "../../evil.png"].map(|name| place.file(name));
        up.iter().chain([&absolute]).any(|path| path.exists())
    };
    // tar passes over what leads up, and takes an absolute path as one below the folder; zip refuses to go up.
    let up = ("../evil.png", image.as_slice());
    let deep = ("shapes/../../../evil.png", image.as_slice());
    let rooted = (absolute_name.as_str(), image.as_slice());
    place.put("shapes.tar", &tar_of(&[&[up, deep, rooted][..], &good[..]].concat()));
    let source = format!("{}{FOLDERS}", download(NOWHERE, "shapes.tar", ""));
    assert_eq!(place.open(&source, LABEL).expect("opens").len(), 2);
    assert!(!outside(&place));

    place.put("shapes.zip", &zip_of(&[&[rooted][..], &good[..]].concat()));
    let source = format!("{}{FOLDERS}", download(NOWHERE, "shapes.zip", ""));
    assert_eq!(place.open(&source, LABEL).expect("opens").len(), 2);
    assert!(!outside(&place));
    for bad in [up, deep] {
        let place = Place::new();
        place.put("shapes.zip", &zip_of(&[&[bad][..], &good[..]].concat()));
        let error = place.error(&source, LABEL);
        assert!(error.contains("an archive that can be unpacked"), "{error}");
        assert!(!outside(&place));
    }
}

/// A tar of entries of any kind: name, kind, what a link leads to, bytes.
fn tar_with(entries: &[(&str, tar::EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (name, kind, target, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o4777);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        out.append(&header, *bytes).expect("writes");
    }
    out.into_inner().expect("ends")
}

/// What was left out, in words.
fn left_out(set: &ImageSet) -> Vec<String> {
    let words = |ignored: &Ignored| format!("{} {}: {}", ignored.count, ignored.reason, ignored.names.join(" "));
    set.ignored.iter().map(words).collect()
}

#[test]
fn links_and_devices_of_an_archive_lead_nowhere() {
    use tar::EntryType::{Block, Char, Fifo, Link, Regular, Symlink};
    let (place, image) = (Place::new(), png(4));
    let private = place.folder.path().join("private");
    fs::create_dir(&private).expect("makes a folder");
    fs::write(private.join("secret.png"), png(5)).expect("writes");
    let (private, secret) = (private.display().to_string(), private.join("secret.png").display().to_string());
    let archive = tar_with(&[
        ("shapes/round/a.png", Regular, "", &image),
        ("shapes/square/b.png", Regular, "", &image),
        // Into a folder of the reader's, under a class, and to a file; and through a link that came before.
        ("shapes/spy", Symlink, &private, b""),
        ("shapes/round/in", Symlink, "../../../../../private", b""),
        ("shapes/round/z.png", Symlink, &secret, b""),
        ("shapes/spy/written.png", Regular, "", &image),
        ("shapes/square/hard.png", Link, &secret, b""),
        ("shapes/square/up.png", Link, "../../private/secret.png", b""),
        ("shapes/square/same.png", Link, "shapes/round/a.png", b""),
        ("shapes/round/pipe.png", Fifo, "", b""),
        ("shapes/round/tty.png", Char, "", b""),
        ("shapes/round/disk.png", Block, "", b""),
    ]);
    place.put("shapes.tar", &archive);
    let source = format!("{}{FOLDERS}", download(NOWHERE, "shapes.tar", ""));
    let check = |set: &ImageSet| {
        let ids = ["shapes/round/a.png", "shapes/spy/written.png", "shapes/square/b.png", "shapes/square/same.png"];
        assert_eq!(set.ids, ids);
        assert!(set.read(0..4).expect("reads").into_iter().all(|bytes| bytes.is_ok_and(|bytes| bytes == image)));
        let expected = [
            "3 entries that are no file and no folder: shapes/round/pipe.png shapes/round/tty.png shapes/round/disk.png",
            "2 hard links to what the archive does not hold: shapes/square/hard.png shapes/square/up.png",
            "3 symbolic links in the archive: shapes/spy shapes/round/in shapes/round/z.png",
        ];
        assert_eq!(left_out(set), expected);
    };
    check(&place.open(&source, LABEL).expect("opens"));
    // It is known later too, when nothing is unpacked.
    check(&place.open(&source, LABEL).expect("opens again"));
    assert_eq!(fs::read_dir(&private).expect("lists").count(), 1);
    assert!(
        !fs::symlink_metadata(place.file("unpacked/shapes/round/a.png")).expect("is there").permissions().readonly()
    );

    // What an earlier version unpacked may hold links: it is unpacked anew. Without one it stays.
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        let stamp = fs::read_to_string(place.file("unpacked.ok")).expect("a stamp");
        let earlier = stamp.split_once("no links\n").expect("the line").0;
        fs::write(place.file("unpacked.ok"), earlier).expect("writes");
        fs::write(place.file("unpacked/mark"), "").expect("writes");
        place.open(&source, LABEL).expect("opens");
        assert!(place.file("unpacked/mark").exists(), "what holds no link stays");
        fs::write(place.file("unpacked.ok"), earlier).expect("writes");
        symlink(&private, place.file("unpacked/shapes/spy2")).expect("links");
        check(&place.open(&source, LABEL).expect("opens"));
        assert!(!place.file("unpacked/mark").exists(), "what holds one is unpacked anew");
    }
    // A zip's links, too.
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for name in ["shapes/round/a.png", "shapes/square/b.png"] {
        out.start_file(name, options).expect("starts a file");
        out.write_all(&image).expect("writes");
    }
    out.add_symlink("shapes/spy", &private, options).expect("adds");
    let place = Place::new();
    place.put("shapes.zip", &out.finish().expect("ends").into_inner());
    let set = place.open(&format!("{}{FOLDERS}", download(NOWHERE, "shapes.zip", "")), LABEL).expect("opens");
    assert_eq!((set.len(), left_out(&set)), (2, vec!["1 symbolic links in the archive: shapes/spy".to_string()]));
}

#[test]
fn names_in_archives_are_taken_as_they_are_or_told() {
    use tar::EntryType::{Directory, Regular, XGlobalHeader};
    let image = png(4);
    let deep = format!("shapes/{}a.png", "d/".repeat(44));
    let archive = tar_with(&[
        ("./", Directory, "", b""),
        ("pax_global_header", XGlobalHeader, "", b"0"),
        ("./shapes/round/a.png", Regular, "", &image),
        ("/shapes/square/b.png", Regular, "", &image),
        ("shapes/none/../square/C.png", Regular, "", &image),
        ("shapes/square/c.png", Regular, "", &image),
        ("shapes/square/c.png", Regular, "", &png(6)),
        ("shapes/back\\slash/d.png", Regular, "", &image),
        (&deep, Regular, "", &image),
        ("../evil.png", Regular, "", &image),
    ]);
    let place = Place::new();
    place.put("shapes.TAR", &archive);
    let set = place.open(&format!("{}{FOLDERS}", download(NOWHERE, "shapes.TAR", "")), LABEL).expect("opens");
    let classes = ["back\\slash", "d", "round", "square"];
    assert_eq!((set.classes.as_slice(), set.len()), (&classes.map(String::from)[..], 6));
    let expected = [
        "1 entries whose name leads out of the archive: ../evil.png",
        "1 files whose name comes again later: shapes/square/c.png",
    ];
    assert_eq!(left_out(&set), expected);
    // The later of two stays.
    let row = set.ids.iter().position(|id| id == "shapes/square/c.png").expect("there");
    assert_eq!(set.read(row..row + 1).expect("reads").remove(0).expect("an image"), png(6));
    // Too deep.
    let deep = format!("{}a.png", "d/".repeat(99));
    let mut out = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["shapes/round/a.png", "shapes/square/b.png", deep.as_str()] {
        out.start_file(name, zip::write::SimpleFileOptions::default()).expect("starts a file");
        out.write_all(&image).expect("writes");
    }
    let place = Place::new();
    place.put("shapes.zip", &out.finish().expect("ends").into_inner());
    let set = place.open(&format!("{}{FOLDERS}", download(NOWHERE, "shapes.zip", "")), LABEL).expect("opens");
    assert!(
        left_out(&set)[0].starts_with("1 entries whose name is empty, too long or too deep: d/d/"),
        "{:?}",
        left_out(&set)
    );
    // Backslashes alone, as some programs of Windows write them.
    let place = Place::new();
    let names = ["C:\\shapes\\round\\a.png", "C:\\shapes\\square\\b.png"];
    place.put("shapes.zip", &zip_of(&names.map(|name| (name, image.as_slice()))));
    let set = place.open(&format!("{}{FOLDERS}", download(NOWHERE, "shapes.zip", "")), LABEL).expect("opens");
    assert_eq!(set.classes, ["round", "square"]);
}

#[test]
fn what_a_mac_adds_to_a_zip_is_no_class() {
    let image = png(4);
    let names = [
        "cat/0.png",
        "dog/0.png",
        "__MACOSX/cat/._0.png",
        "__MACOSX/._cat",
        "cat/._0.png",
        ".DS_Store",
        "cat/.DS_Store",
    ];
    for root in ["", ".", "./"] {
        let place = Place::new();
        place.put("s.zip", &zip_of(&names.map(|name| (name, image.as_slice()))));
        let layout = format!("[source.archive.layout.class_folders]\nroot = \"{root}\"");
        let set = place.open(&format!("{}{layout}", download(NOWHERE, "s.zip", "")), LABEL).expect("opens");
        assert_eq!(set.ids, ["cat/0.png", "dog/0.png"], "{root}");
        assert!(set.ignored.iter().all(|ignored| ignored.minor), "{:?}", set.ignored);
    }
    // Parts that are folders of the archive.
    let names = ["s/train/cat/0.png", "s/train/dog/0.png", "s/test/cat/1.png"];
    let place = Place::new();
    place.put("s.zip", &zip_of(&names.map(|name| (name, image.as_slice()))));
    let layout = "[source.archive.layout.class_folders]\nroot = \"s\"";
    let set = place.open(&format!("{}{layout}", download(NOWHERE, "s.zip", "")), LABEL).expect("opens");
    assert_eq!((set.classes.len(), set.rows_of_part("train").expect("a part").len()), (2, 2));
}

#[test]
fn archives_that_are_not_read_say_so_and_stay() {
    let image = png(4);
    let names = ["shapes/round/a.png", "shapes/square/b.png"].map(|name| (name, image.as_slice()));
    // zstd is read, under any of its names, and a tar is known by what it holds.
    let zst = zstd_of(&tar_of(&names));
    for (name, bytes) in
        [("s.tar.zst", &zst), ("s.tzst", &zst), ("s.tar", &zst), ("s.tgz", &zst), ("s.tar", &gz_of(&tar_of(&names)))]
    {
        let place = Place::new();
        place.put(name, bytes);
        let set = place.open(&format!("{}{FOLDERS}", download(NOWHERE, name, "")), LABEL);
        assert_eq!(set.unwrap_or_else(|error| panic!("{name}: {error}")).len(), 2, "{name}");
    }
    let mut encrypted = zip_of(&names);
    // The bit that says so, in both headers of each entry.
    for at in 0..encrypted.len() - 10 {
        match &encrypted[at..at + 4] {
            b"PK\x03\x04" => encrypted[at + 6] |= 1,
            b"PK\x01\x02" => encrypted[at + 8] |= 1,
            _ => {}
        }
    }
    let bomb = zip_of(&[("shapes/round/a.png", vec![0; 12 << 20].as_slice())]);
    let bomb = stating(bomb, 12 << 20, 2 << 30);
    let xz = b"\xfd7zXZ\x00rest of it".to_vec();
    for (name, bytes, expected) in [
        (
            "s.tar.xz",
            b"anything".to_vec(),
            "s.tar.xz is of a kind that is not read; zip, tar, tar.gz and tar.zst are unpacked",
        ),
        ("s.7z", b"anything".to_vec(), "s.7z is of a kind that is not read"),
        ("s.rar", b"anything".to_vec(), "s.rar is of a kind that is not read"),
        ("s.tar", xz, "tar.xz is of a kind that is not read"),
        ("s.zip", encrypted, "`shapes/round/a.png` is encrypted"),
        ("s.zip", bomb, "unpacks to more than"),
    ] {
        let place = Place::new();
        place.put(name, &bytes);
        let error =
            place.open(&format!("{}{FOLDERS}", download(NOWHERE, name, "")), LABEL).expect_err("is refused").chain();
        assert!(error.contains(expected), "{error}\nlacks\n{expected}");
        // Nothing is wrong with the file itself.
        assert!(place.file(name).exists() && !place.file(&format!("{name}.bad")).exists(), "{name}");
    }
    // A tar that states more than it may unpack to.
    let mut header = tar::Header::new_gnu();
    header.set_path("shapes/round/a.png").expect("a name");
    header.set_size(1 << 40);
    header.set_cksum();
    let place = Place::new();
    place.put("s.tar", header.as_bytes());
    let error = place.error(&format!("{}{FOLDERS}", download(NOWHERE, "s.tar", "")), LABEL);
    assert!(error.contains("unpacks to more than") && error.contains("100 times its size and 1 GiB"), "{error}");
}

#[test]
fn a_name_that_takes_megabytes_is_refused_and_what_is_left_out_counts_too() {
    let header = |name: &str, kind: tar::EntryType, size: usize| {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let padded = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    };
    let image = padded(png(4));
    let files = ["shapes/round/a.png", "shapes/square/b.png"]
        .map(|name| [header(name, tar::EntryType::Regular, png(4).len()), image.clone()].concat())
        .concat();
    let open = |tar: &[u8]| {
        let place = Place::new();
        place.put("s.tar.gz", &gz_of(tar));
        place.open(&format!("{}{FOLDERS}", download(NOWHERE, "s.tar.gz", "")), LABEL)
    };
    // Names and links of both ways to state a long one, and of the whole archive.
    for (kind, name) in [
        (tar::EntryType::GNULongName, "././@LongLink"),
        (tar::EntryType::GNULongLink, "././@LongLink"),
        (tar::EntryType::XHeader, "PaxHeaders/a"),
    ] {
        let bomb = [files.clone(), header(name, kind, 64 << 20), vec![b'a'; 64 << 20], files.clone()].concat();
        let error = open(&bomb).expect_err("is refused").chain();
        assert!(error.contains("an entry whose names take more than 1048576 bytes"), "{error}");
        // A long one of a usual length is what it is for.
        let long = match kind {
            tar::EntryType::XHeader => b"19 comment=a reader".to_vec(),
            _ => [b"shapes/round/".as_slice(), &[b'b'; 180], b".png\0"].concat(),
        };
        let usual = [files.clone(), header(name, kind, long.len()), padded(long), files.clone()].concat();
        assert!(open(&usual).is_ok(), "{kind:?}");
    }
    // Content behind a name that is taken nowhere is read over, and counts.
    let nowhere = |size| header("../../a.png", tar::EntryType::Regular, size);
    let small = [nowhere(3 << 20), vec![1; 3 << 20], files.clone()].concat();
    assert_eq!(open(&small).expect("the rest is read").len(), 2);
    let error = open(&[nowhere(1_200 << 20), vec![0; 1_200 << 20], files].concat()).expect_err("is refused").chain();
    assert!(error.contains("unpacks to more than"), "{error}");
}

/// The zip with another size stated for what is unpacked.
fn stating(mut zip: Vec<u8>, from: u32, to: u32) -> Vec<u8> {
    for at in 0..zip.len() - 4 {
        if zip[at..at + 4] == from.to_le_bytes() {
            zip[at..at + 4].copy_from_slice(&to.to_le_bytes());
        }
    }
    zip
}

/// A zstd frame of one raw block.
fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    let block = (bytes.len() as u32) << 3 | 1;
    let size = (bytes.len() as u32).to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &size, &block.to_le_bytes()[..3], bytes].concat()
}

#[test]
fn the_checksum_of_a_packed_tar_is_looked_at() {
    let image = png(4);
    let names = ["shapes/round/a.png", "shapes/square/b.png"].map(|name| (name, image.as_slice()));
    let tar = tar_of(&names);
    let mut stored = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    stored.write_all(&tar).expect("writes");
    let stored = stored.finish().expect("ends");
    let open = |name: &str, bytes: &[u8]| {
        let place = Place::new();
        place.put(name, bytes);
        place.open(&format!("{}{FOLDERS}", download(NOWHERE, name, "")), LABEL).map(|set| set.len())
    };
    assert_eq!(open("s.tgz", &stored).expect("opens"), 2);
    let mut flipped = stored.clone();
    let at = stored.windows(4).position(|window| window == b"IDAT").expect("a picture") + 6;
    flipped[at] ^= 1;
    let error = open("s.tgz", &flipped).expect_err("another picture").to_string();
    assert!(error.contains("checksum"), "{error}");
    // A checksum that is not that of the content, in a frame that has one.
    let zst = zstd_of(&tar);
    let with_sum = [&zst[..4], &[0xa4], &zst[5..], b"none"].concat();
    let error = open("s.tar.zst", &with_sum).expect_err("another content").to_string();
    assert!(error.contains("checksum"), "{error}");
    // What another program put behind the archive is passed over, as GNU tar does; so is a checksum that was cut off.
    for behind in [&b"\n"[..], &[0; 512], b"nothing that belongs there"] {
        assert_eq!(open("s.tgz", &[&stored, behind].concat()).expect("opens"), 2);
        assert_eq!(open("s.tar.zst", &[&zst, behind].concat()).expect("opens"), 2);
    }
    assert_eq!(open("s.tgz", &stored[..stored.len() - 3]).expect("opens"), 2);
    // Two members, one after the other.
    let (one, two) = tar.split_at(700);
    assert_eq!(open("s.tgz", &[gz_of(one), gz_of(two)].concat()).expect("opens"), 2);
}

#[test]
fn what_a_library_does_not_tell_of_is_told() {
    let image = png(4);
    // Two pictures of one name: a zip's writer refuses that, so one is renamed in it.
    let (first, second) = (png(4), png(5));
    let zip = zip_of(&[
        ("shapes/round/a.png", &first),
        ("shapes/round/b.png", &second),
        ("shapes/square/c.png", &image),
        ("shapes/square/d.png", &image),
    ]);
    let mut twice = zip.clone();
    for at in 0..zip.len() - 10 {
        if &zip[at..at + 5] == b"b.png" {
            twice[at] = b'a';
        }
    }
    let place = Place::new();
    place.put("s.zip", &twice);
    let set = place.open(&format!("{}{FOLDERS}", download(NOWHERE, "s.zip", "")), LABEL).expect("opens");
    assert_eq!(set.len(), 3);
    assert_eq!(left_out(&set), ["1 files whose name comes again later: shapes/round/a.png"]);
    assert_eq!(fs::read(place.file("unpacked/shapes/round/a.png")).expect("the later"), second);

    // A sparse file as `tar --posix --sparse` writes it.
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).expect("appends");
    };
    add("shapes/round/a.png", &image);
    add("shapes/square/c.png", &image);
    let sparse =
        [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0"), ("GNU.sparse.name", b"shapes/square/d.png")];
    tar.append_pax_extensions(sparse).expect("appends");
    let mut header = tar::Header::new_ustar();
    header.set_size(512);
    header.set_mode(0o644);
    let map = [&b"1\n0\n100\n"[..], &[0; 502]].concat();
    tar.append_data(&mut header, "shapes/square/GNUSparseFile.1/d.png", &map[..]).expect("appends");
    let place = Place::new();
    place.put("s.tar", &tar.into_inner().expect("ends"));
    let set = place.open(&format!("{}{FOLDERS}", download(NOWHERE, "s.tar", "")), LABEL).expect("opens");
    assert_eq!(set.len(), 2);
    assert_eq!(left_out(&set).len(), 1);
    assert!(left_out(&set)[0].starts_with("1 sparse files in the format of PAX"), "{:?}", left_out(&set));
    assert!(left_out(&set)[0].ends_with(": shapes/square/d.png"), "{:?}", left_out(&set));

    // A method that is not read is named, with what to do.
    let mut packed = zip;
    for at in 0..packed.len() - 12 {
        match &packed[at..at + 4] {
            b"PK\x03\x04" => packed[at + 8] = 12,
            b"PK\x01\x02" => packed[at + 10] = 12,
            _ => {}
        }
    }
    let place = Place::new();
    place.put("s.zip", &packed);
    let error = place.open(&format!("{}{FOLDERS}", download(NOWHERE, "s.zip", "")), LABEL).expect_err("bzip2").chain();
    assert!(error.contains("is packed by") && error.contains("pack it anew as a plain zip"), "{error}");
}

#[test]
fn tables_are_read_as_programs_write_them() {
    let image = png(4);
    let names: Vec<String> = "abcdef".chars().map(|name| format!("img/{name}.png")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), image.as_slice())).collect();
    let archive = tar_of(&files);
    let open = |table: &[u8]| {
        let place = Place::new();
        place.put("table.csv", table);
        place.put("img.tar", &archive);
        let downloads = ["table.csv", "img.tar"].map(|name| download(NOWHERE, name, "")).concat();
        let layout = "[source.archive.layout.table]\ntable = \"table.csv\"\nimage = \"img/{file}\"\n";
        place.open(&format!("{downloads}{layout}"), "label = \"kind\"\nname = \"title\"")
    };
    let plain = "file,kind,title\na.png,x,A\nb.png,y,\"B, and\nmore\"\nc.png,x,C\n";
    let whole = open(plain.as_bytes()).expect("opens");
    assert_eq!(whole.names.as_ref().expect("names")[1], "B, and\nmore");
    let semicolons = "file;kind;title\na.png;x;A\nb.png;y;\"B, and\nmore\"\nc.png;x;C\n";
    let variants = [
        plain.replace('\n', "\r\n").replace("and\r\n", "and\n"),
        format!("\u{feff}{plain}"),
        semicolons.into(),
        format!("\u{feff}{semicolons}"),
        semicolons.replace(';', "\t"),
        plain.replace("a.png", "./a.png").trim_end().into(),
    ];
    for table in variants {
        let set = open(table.as_bytes()).unwrap_or_else(|error| panic!("{table:?}: {error}"));
        assert_eq!((&set.ids, &set.labels, &set.names), (&whole.ids, &whole.labels, &whole.names), "{table:?}");
    }
    for (table, expected) in [
        (
            "file,kind,title\na.png,x,A\nb.png,y\nc.png,x,C\n",
            "table.csv:3: expected 3 cells, as in the header, found 2",
        ),
        ("file,kind,title\na.png,x,A\nb.png,y,B,b\n", "table.csv:3: expected 3 cells, as in the header, found 4"),
        ("file,kind,title\na.png,x,\"A\nA\"\nb.png,,B\n", "table.csv:4: expected a label in column `kind`, found none"),
        ("file,kind,title\na.png,x,A\nb.png, ,B\n", "table.csv:3: expected a label in column `kind`, found none"),
        ("file,kind,title\n,x,A\n", "table.csv:2: expected a part of the image's name in column `file`, found none"),
        (
            "file,kind,title\na.png,x,A\nb.png,y,B\n./a.png,x,C\n",
            "table.csv:4: expected one row per image, found `img/./a.png`, as in line 2",
        ),
        (
            "file,kind,kind,title\na.png,x,x,A\n",
            "table.csv:1: expected every column once, found `kind` as column 2 and 3",
        ),
        ("file,species\na.png,x\n", "a column `kind` and a column `title`, found the columns file, species"),
        ("file,kind,title\na.png,x,A\n/etc/b.png,x,A\n", ""),
    ] {
        match open(table.as_bytes()) {
            Err(error) => assert!(error.to_string().contains(expected), "{error}\nlacks\n{expected}"),
            Ok(set) => assert!(expected.is_empty() && set.ids == ["img/a.png", "img/etc/b.png"], "{:?}", set.ids),
        }
    }
    let latin = b"file,kind,title\na.png,x,A\nb.png,caf\xe9,B\n";
    let error = open(latin).expect_err("no UTF-8").to_string();
    assert!(error.contains("table.csv:3: expected UTF-8 text, found other bytes"), "{error}");
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(plain.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert!(open(&utf16).expect_err("UTF-16").to_string().contains("UTF-16 text; save it as UTF-8"));
}

#[test]
fn what_came_from_elsewhere_is_fetched_anew() {
    let (server, place) = (Server::new(), Place::new());
    let image = png(4);
    let new = zip_of(&["shapes/long/a.png", "shapes/short/b.png"].map(|name| (name, image.as_slice())));
    server.put("v1/s.zip", &shapes()).put("v2/s.zip", &new).put("v3/s.zip?download=1", &new);
    let open =
        |path: &str, keys: &str| place.open(&format!("{}{FOLDERS}", download(&server.address, path, keys)), LABEL);
    assert_eq!(open("v1/s.zip", "").expect("opens").classes, ["round", "square"]);
    // One name at another address, without and with checksums.
    assert_eq!(open("v2/s.zip", "").expect("opens").classes, ["long", "short"]);
    let sha256 = |bytes: &[u8]| format!("sha256 = \"{}\"", sha256_hex(bytes));
    assert_eq!(open("v1/s.zip", &sha256(&shapes())).expect("opens").classes, ["round", "square"]);
    assert_eq!(open("v2/s.zip", &sha256(&new)).expect("opens").classes, ["long", "short"]);
    server.ranges();
    // What has the right checksum is not fetched again, whatever its address.
    assert_eq!(open("v3/s.zip?download=1", &sha256(&new)).expect("opens").classes, ["long", "short"]);
    assert!(server.ranges().is_empty());
    // The beginning of one file is not that of another.
    server.manner(Manner::BreaksOff(40));
    open("v1/s.zip", "").expect_err("breaks off");
    server.manner(Manner::Ranges);
    assert_eq!(open("v2/s.zip", "").expect("opens").classes, ["long", "short"]);
}

#[test]
fn a_run_that_was_killed_while_unpacking_is_begun_anew() {
    let (server, place) = (Server::new(), Place::new());
    server.put("shapes.zip", &shapes());
    let source = format!("{}{FOLDERS}", download(&server.address, "shapes.zip", ""));
    let first = place.open(&source, LABEL).expect("opens");
    // Killed in the midst of it: half an image, and no stamp.
    fs::rename(place.file("unpacked"), place.file("unpacking")).expect("renames");
    fs::write(place.file("unpacking/shapes/round/a.png"), "hal").expect("writes");
    fs::write(place.file("unpacking/shapes/round/z.png"), "a file of another archive").expect("writes");
    fs::remove_file(place.file("unpacked.ok")).expect("removes");
    server.ranges();
    assert_eq!(place.open(&source, LABEL).expect("opens").data_sha256, first.data_sha256);
    // Killed before the stamp.
    fs::remove_file(place.file("unpacked.ok")).expect("removes");
    fs::write(place.file("unpacked/shapes/round/z.png"), "a file of another archive").expect("writes");
    assert_eq!(place.open(&source, LABEL).expect("opens").data_sha256, first.data_sha256);
    // The unpacked folder removed by hand.
    fs::remove_dir_all(place.file("unpacked")).expect("removes");
    assert_eq!(place.open(&source, LABEL).expect("opens").data_sha256, first.data_sha256);
    assert!(server.ranges().is_empty(), "the archive was there");
    // The archive removed to save room: what was unpacked is enough.
    fs::remove_file(place.file("shapes.zip")).expect("removes");
    assert_eq!(place.open(&source, LABEL).expect("opens").data_sha256, first.data_sha256);
    assert!(server.ranges().is_empty());
}

#[test]
fn unpacked_files_that_are_gone_and_archives_that_were_replaced() {
    let image = png(4);
    let three =
        ["shapes/round/a.png", "shapes/round/c.png", "shapes/square/b.png"].map(|name| (name, image.as_slice()));
    let place = Place::new();
    place.put("s.tar", &tar_of(&three));
    let source = format!("{}{FOLDERS}", download(NOWHERE, "s.tar", ""));
    assert_eq!(place.open(&source, LABEL).expect("opens").len(), 3);
    // A cleaner of caches.
    fs::remove_file(place.file("unpacked/shapes/round/c.png")).expect("removes");
    assert_eq!(place.open(&source, LABEL).expect("opens").len(), 3);
    // What a reader adds stays.
    fs::write(place.file("unpacked/shapes/round/d.png"), &image).expect("writes");
    assert_eq!(place.open(&source, LABEL).expect("opens").len(), 4);
    // Another archive by hand; then none.
    place.put("s.tar", &tar_of(&three[1..]));
    assert_eq!(place.open(&source, LABEL).expect("opens").len(), 2);
    fs::remove_file(place.file("s.tar")).expect("removes");
    assert_eq!(place.open(&source, LABEL).expect("opens").len(), 2);
}

#[test]
fn odd_names_of_an_archive_cost_their_entry_alone() {
    let image = png(4);
    let deep = format!("shapes/round/{}x.png", format!("{}/", "d".repeat(200)).repeat(30));
    let names = ["shapes/round/a.png", "shapes/square/b.png", "shapes/odd", "shapes/odd/1.png"];
    let tar = tar_of(&names.map(|name| (name, image.as_slice())));
    let names = ["shapes/round/a.png", "shapes/square/b.png", "shapes/odd/1.png", "shapes/odd", deep.as_str()];
    let zip = zip_of(&names.map(|name| (name, image.as_slice())));
    for (name, bytes, left) in [("s.tar", tar, 1), ("s.zip", zip, 2)] {
        let place = Place::new();
        place.put(name, &bytes);
        let set = place.open(&format!("{}{FOLDERS}", download(NOWHERE, name, "")), LABEL).expect("opens");
        let names = left_out(&set).join("; ");
        assert!(names.contains("entries whose name is that of a file and of a folder"), "{name}: {names}");
        assert_eq!(
            set.ignored.iter().filter(|ignored| ignored.reason.starts_with("entries")).count(),
            left,
            "{name}: {names}"
        );
    }
}

#[test]
fn no_password_of_an_address_is_told_or_kept() {
    let place = Place::new();
    let source = download("http://me:pa55word@127.0.0.1:9/d.zip?token=s3cr3t", "d.zip", "");
    let error = place.error(&format!("{source}{FOLDERS}"), LABEL);
    assert!(error.contains("http://127.0.0.1:9/d.zip"), "{error}");
    let kept = fs::read_dir(place.file("")).expect("lists").map(|entry| entry.expect("an entry").path());
    let kept: String =
        kept.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
    // Nor once it is there.
    place.put(
        "d.zip",
        &zip_of(
            &["shapes/round/a.png", "shapes/square/b.png"]
                .map(|name| (name, png(4)))
                .each_ref()
                .map(|(name, image)| (*name, image.as_slice())),
        ),
    );
    assert_eq!(place.open(&format!("{source}{FOLDERS}"), LABEL).expect("opens").len(), 2);
    let stamp = fs::read_to_string(place.file("unpacked.ok")).expect("a stamp");
    let kept = kept + &stamp;
    // What an earlier version noted is taken, and written anew without.
    let address = "http://me:pa55word@127.0.0.1:9/d.zip?token=s3cr3t/d.zip";
    fs::write(place.file("unpacked.ok"), format!("d.zip none none none {address}\nno links\n")).expect("writes");
    fs::write(place.file("unpacked/mark"), "").expect("writes");
    place.open(&format!("{source}{FOLDERS}"), LABEL).expect("opens");
    assert!(place.file("unpacked/mark").exists(), "it is not unpacked anew");
    let kept = kept + &fs::read_to_string(place.file("unpacked.ok")).expect("a stamp");
    for secret in ["pa55word", "s3cr3t"] {
        assert!(!error.contains(secret) && !kept.contains(secret), "{error} {kept}");
    }
    // Nor where the address is none, or the password holds what should have been written out.
    for address in ["me:pa55word@127.0.0.1:9", "http://me:pa55/word@127.0.0.1:9", "me:pa55/word@127.0.0.1"] {
        let error = Place::new().error(&format!("{}{FOLDERS}", download(address, "d.zip", "")), LABEL);
        assert!(error.contains("127.0.0.1") && !error.contains("pa55"), "{error}");
    }
    for (address, said) in [
        ("http://me:pa55?word@127.0.0.1:9", "expected an http address"),
        ("http://127.0.0.1:9#pa55@127.0.0.1:9", "was not reached"),
    ] {
        let named = download(address, "d.zip", "file = \"d.zip\"");
        let error = Place::new().error(&format!("{named}{FOLDERS}"), LABEL);
        assert!(error.contains("http://...") && error.contains(said), "{error}");
        assert!(!error.contains("pa55") && !error.contains("word@"), "{error}");
    }
}

#[test]
fn a_busy_server_is_asked_again_and_a_page_is_no_file() {
    let (server, place) = (Server::new(), Place::new());
    server.put("s.tar", &tar_of(&[("shapes/round/a.png", &png(4)), ("shapes/square/b.png", &png(4))]));
    server.manner(Manner::BusyOnce);
    let source = format!("{}{FOLDERS}", download(&server.address, "s.tar", ""));
    assert_eq!(place.open(&source, LABEL).expect("opens").len(), 2);
    assert_eq!(server.ranges().len(), 2);
    let place = Place::new();
    server.manner(Manner::Page);
    let error = place.error(&source, LABEL);
    assert!(error.contains("found a page for people, as where one must sign in"), "{error}");
    assert!(!place.file("s.tar").exists());
}

/// As the error advises, after the file of the former address was removed.
#[test]
fn a_file_put_there_by_hand_after_the_address_changed_is_taken() {
    let (server, place) = (Server::new(), Place::new());
    server.put("s.zip", &shapes());
    place.open(&format!("{}{FOLDERS}", download(&server.address, "s.zip", "")), LABEL).expect("opens");
    let moved = format!("{}{FOLDERS}", download(&format!("{}/gone", server.address), "s.zip", ""));
    for _ in 0..2 {
        assert!(place.error(&moved, LABEL).contains("put the file at"));
    }
    place.put("s.zip", &shapes());
    for _ in 0..2 {
        assert_eq!(place.open(&moved, LABEL).expect("opens").classes, ["round", "square"]);
    }
}

#[test]
fn another_archive_in_the_record_is_unpacked_anew() {
    let (server, place) = (Server::new(), Place::new());
    let image = png(4);
    let new = zip_of(&["shapes/long/a.png", "shapes/short/b.png"].map(|name| (name, image.as_slice())));
    server.put("v1.zip", &shapes()).put("v2.zip", &new);
    let source = |name: &str| format!("{}{FOLDERS}", download(&server.address, name, ""));
    assert_eq!(place.open(&source("v1.zip"), LABEL).expect("opens").classes, ["round", "square"]);
    assert_eq!(place.open(&source("v2.zip"), LABEL).expect("opens").classes, ["long", "short"]);
}

#[test]
fn a_missing_file_names_its_address_and_what_to_do() {
    let (server, place) = (Server::new(), Place::new());
    let source = format!("{}{FOLDERS}", download(&server.address, "gone.zip", ""));
    let error = place.error(&source, LABEL);
    let by_hand = format!("put the file at {} yourself", place.file("gone.zip").display());
    let address = format!("{}/gone.zip", server.address);
    for part in [address.as_str(), "status 404", "the data set's manifest", by_hand.as_str()] {
        assert!(error.contains(part), "{error}\nlacks\n{part}");
    }
    assert!(!place.file("gone.zip").exists() && !place.file("gone.zip.part").exists());
    // Advice that works.
    place.put("gone.zip", &shapes());
    assert_eq!(place.open(&source, LABEL).expect("opens").len(), 4);

    let place = Place::new();
    let error = place.error(&format!("{}{FOLDERS}", download(NOWHERE, "shapes.zip", "")), LABEL);
    assert!(error.contains("http://127.0.0.1:9/shapes.zip") && error.contains("Check the network"), "{error}");
}
