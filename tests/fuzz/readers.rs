//! The readers: where their seeds are, what words their formats have, and what must hold of what they read.

use super::oracles as of;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whether an input was read (false: refused), or what is wrong.
pub type Checked = Result<bool, String>;

/// Reads one input after the other.
pub type Check = Box<dyn Fn(&[u8]) -> Checked>;

pub struct Reader {
    /// Also the folder of its regressions.
    pub name: &'static str,
    pub seeds: fn() -> Vec<(String, Vec<u8>)>,
    /// Whether every seed must be read.
    pub reads_all: bool,
    /// What the format is made of.
    pub words: &'static [&'static [u8]],
    /// Sets checksums right.
    pub fix: fn(&mut Vec<u8>),
    /// Begins with an empty folder.
    pub start: fn(&Path) -> Check,
    /// Computing time that one input may take.
    pub longest: Duration,
}

const LONGEST: Duration = Duration::from_secs(5);

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

fn turned(found: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    found.into_iter().filter(|(name, _)| name.contains("turn")).collect()
}

fn written(texts: &[&str]) -> Vec<(String, Vec<u8>)> {
    texts.iter().enumerate().map(|(i, text)| (format!("text {i}"), text.as_bytes().to_vec())).collect()
}

const NOTHING: fn(&mut Vec<u8>) = |_| {};

const EXIF: &[&[u8]] = &[
    b"Exif\0\0",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0",
    b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0",
    b"\x12\x01\x04\0",
    b"\xff\xff\xff\xff",
    b"tiff:Orientation=\"6\"",
];

const PICKLE: &[&[u8]] = &[
    b"\x80\x02",
    b"\x80\x04\x95",
    b".",
    b"(",
    b")",
    b"]",
    b"}",
    b"t",
    b"\x85",
    b"\x86",
    b"\x87",
    b"u",
    b"s",
    b"a",
    b"e",
    b"d",
    b"l",
    b"q\x01",
    b"h\x01",
    b"h\0",
    b"r\0\0\0\0",
    b"j\xff\xff\xff\xff",
    b"\x94",
    b"R",
    b"b",
    b"\x81",
    b"\x92",
    b"o",
    b"Q",
    b"N",
    b"0",
    b"1",
    b"2",
    b"22222222",
    b"\x88",
    b"K\x02",
    b"M\xff\xff",
    b"J\xff\xff\xff\xff",
    b"J\xff\xff\xff\x7f",
    b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x8a\x09\0\0\0\0\0\0\0\0\x01",
    b"\x8b\xff\xff\xff\xff",
    b"I99999999999\n",
    b"Va\\u0041\n",
    b"S'a'\n",
    b"F1e999\n",
    b"\x93",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch._utils\n_rebuild_tensor_v3\n",
    b"ctorch\nDoubleStorage\n",
    b"ccollections\nOrderedDict\n",
    b"ctorch\nSize\n",
    b"X\x05\0\0\0model",
    b"X\x0a\0\0\0state_dict",
    b"cos\nsystem\n",
    b"\x8f",
    b"\x90",
    b"\x91",
    b"\x96\xff\xff\xff\xff\0\0\0\0",
    b"K\0K\0\x86",
    b"K\x80K\x80\x86",
];

const HEADER: &[&[u8]] = &[
    b"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
    b"\"F16\"",
    b"\"BF16\"",
    b"\"F8_E4M3\"",
    b"\"F4\"",
    b"\"I64\"",
    b"\"BOOL\"",
    b"\"C64\"",
    b"\"__metadata__\":{}",
    b"[]",
    b"[0]",
    b"[0,0]",
    b"18446744073709551615",
    b",",
    b"{",
    b"}",
    b"[[[[",
];

const TABLE: &[&[u8]] = &[
    b"PAR1",
    b"PARE",
    b"\x15\x00",
    b"\x15\x02",
    b"\x19\x1c",
    b"\x18\x05label",
    b"\x15\xff\xff\xff\xff\x0f",
    b"\x16\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x19\xfc\xff\xff\xff\x7f",
    b"\x00\x00\x00\x00",
    b"image",
    b"bytes",
    b"path",
];

const ZIP: &[&[u8]] = &[
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"PK\x07\x08",
    b"../",
    b"/",
    b"\\",
    b"\xff\xff\xff\xff",
    b"\0\0",
    b"\x01\0",
    b"\x08\0",
    b"\x09\0",
    b"\x0c\0",
    b"data.pkl",
    b"set/cat/",
];

const TOML: &[&[u8]] = &[
    b"[",
    b"]",
    b"[[",
    b"\"\"\"",
    b"'''",
    b" = ",
    b"\n",
    b"\n[split]\n",
    b"{ }",
    b"true",
    b"1979-05-27",
    b"inf",
    b"nan",
    b"0x",
    b".",
    b"id = \"a\"\n",
    b"\\u0000",
    b"../../",
    b"[source.folder]\npath = \"/\"\n",
];

const LINES: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b",",
    b"\"",
    b"\"\"",
    b"../../",
    b"/",
    b" ",
    b"\t",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
    b"label",
    b"nan",
];

/// All readers, in the order in which they run.
pub fn all() -> Vec<Reader> {
    let image = |name, seeds, words| Reader {
        name,
        seeds,
        reads_all: true,
        words,
        fix: NOTHING,
        start: of::image,
        longest: LONGEST,
    };
    let text = |name, seeds, words, start| Reader {
        name,
        seeds,
        reads_all: true,
        words,
        fix: NOTHING,
        start,
        longest: LONGEST,
    };
    vec![
        image("jpeg", || images(".jpg"), &[
            b"\xff\xd8", b"\xff\xd9", b"\xff\xc0\0\x11\x08", b"\xff\xc2", b"\xff\xc4", b"\xff\xda", b"\xff\xdb", b"\xff\xdd\0\x04\0\x01", b"\xff\xd0",
            b"\xff\xee\0\x0eAdobe", b"\x11\0", b"\x22\0", b"\x14\0", b"\xff\xff", b"\xff\0",
        ]),
        Reader { fix: of::png_checksums, ..image("png", || images(".png"), &[
            b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"iCCP", b"zTXt", b"iTXt", b"\0\0\0\0", b"\x7f\xff\xff\xff",
        ]) },
        image("webp", || images(".webp"), &[
            b"RIFF", b"WEBP", b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"XMP ", b"ICCP", b"\x9d\x01\x2a", b"\x2f",
        ]),
        image("tiff", || images(".tif"), &[
            b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"\x00\x01\x03\0", b"\x01\x01\x04\0", b"\x02\x01\x03\0", b"\x03\x01\x03\0", b"\x11\x01\x04\0", b"\x15\x01\x03\0",
            b"\x16\x01\x04\0", b"\x17\x01\x04\0", b"\x1c\x01\x03\0", b"\x42\x01\x04\0", b"\x43\x01\x04\0", b"\x44\x01\x04\0", b"\x52\x01\x03\0", b"\x53\x01\x03\0",
            b"\x3d\x01\x03\0", b"\x01\0\0\0\x01\0\0\0", b"\x01\0\0\0\x05\0\0\0", b"\x01\0\0\0\x07\0\0\0", b"\x01\0\0\0\x08\0\0\0",
        ]),
        image("gif", || images(".gif"), &[
            b"GIF87a", b"GIF89a", b",", b"!\xf9\x04", b"!\xff\x0bNETSCAPE2.0", b"!\xfe", b";", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x08\xff", b"\x0c",
        ]),
        // Not every kind of BMP is read.
        Reader { reads_all: false, ..image("bmp", || seeds("bmp"), &[
            b"BM", b"\x28\0\0\0", b"\x7c\0\0\0", b"\x01\0\x01\0", b"\x01\0\x20\0", b"\x01\0\0\0", b"\x02\0\0\0", b"\x03\0\0\0", b"\xff\xff\xff\xff",
        ]) },
        Reader { fix: of::png_checksums, ..image("exif", || [turned(images(".jpg")), turned(images(".png")), turned(images(".webp"))].concat(), EXIF) },
        Reader { name: "parquet", seeds: || seeds("parquet"), reads_all: true, words: TABLE, fix: NOTHING, start: of::parquet, longest: LONGEST },
        Reader { name: "rows", seeds: of::rows_seeds, reads_all: true, words: TABLE, fix: NOTHING, start: of::rows, longest: LONGEST },
        Reader { name: "pickle", seeds: || seeds("pickle"), reads_all: false, words: PICKLE, fix: NOTHING, start: of::pickle, longest: LONGEST },
        Reader { name: "torch", seeds: || files(Path::new("tests/golden/weights"), ".bin"), reads_all: false, words: PICKLE, fix: NOTHING, start: of::weights, longest: LONGEST },
        Reader { name: "torch_zip", seeds: || files(Path::new("tests/golden/weights"), ".bin"), reads_all: false, words: ZIP, fix: NOTHING, start: of::weights, longest: LONGEST },
        Reader { name: "safetensors", seeds: || files(Path::new("tests/golden/weights"), ".safetensors"), reads_all: true, words: HEADER, fix: of::header_length, start: of::safetensors, longest: LONGEST },
        text("index", || written(&[
            "{\"metadata\": {\"total_size\": 8}, \"weight_map\": {\"a\": \"a.safetensors\", \"b\": \"b.safetensors\"}}",
            "{\"weight_map\": {\"b\": \"b.safetensors\"}}",
        ]), &[b"\"weight_map\"", b"../", b"/etc/hostname", b"\"a\"", b"{", b"}", b"[", b":", b",", b"\\u0000", b"index.json"], of::index),
        Reader { name: "checkpoint", seeds: of::checkpoint_seeds, reads_all: true, words: HEADER, fix: of::header_length, start: of::checkpoint, longest: LONGEST },
        Reader { name: "tar", seeds: || seeds("tar"), reads_all: false, words: &[b"ustar\x0000", b"ustar  \0", b"../", b"/tmp/x", b"L", b"x", b"1", b"2", b"3", b"5", b"S", b"77777777777", b"\x80\0\0\0\0\0\0\0\x7f\xff\xff\xff"], fix: of::tar_checksums, start: of::tar, longest: LONGEST },
        Reader { name: "tgz", seeds: || seeds("tar"), reads_all: false, words: &[b"\x1f\x8b", b"../", b"ustar"], fix: of::tar_checksums, start: of::tgz, longest: LONGEST },
        Reader { name: "zip", seeds: || seeds("zip"), reads_all: true, words: ZIP, fix: NOTHING, start: of::zip, longest: LONGEST },
        text("csv", || written(&["image,label\na.csv,cat\nb.png,dog\n\"c,\"\"d\"\".png\",cat\n", "label,image\r\ncat,a.csv\r\ndog,b.png\r\n"]), LINES, of::csv),
        text("lists", || written(&["a.txt cat\nb.png cat\nc.png a dog\n", "b dog\na.txt cat"]), LINES, of::lists),
        text("curve", || written(&["model,step,images,seconds,metric,value\na,0,0,0.5,loss,1.5\na,10,320,1.25,loss,0.5\n"]), LINES, of::curve),
        text("dataset", || files(Path::new("data_manifests/datasets"), ".toml"), TOML, of::dataset),
        text("model", || files(Path::new("data_manifests/models"), ".toml"), TOML, of::model),
        text("suite", || files(Path::new("data_manifests/suites"), ".toml"), TOML, of::suite),
        text("lock", of::lock_seeds, TOML, of::lock),
        text("listing", || written(&[
            "{\"_id\":\"6\",\"id\":\"a/b\",\"sha\":\"0123456789abcdef0123456789abcdef01234567\",\"siblings\":[{\"rfilename\":\"README.md\"},{\"rfilename\":\"model.safetensors\"}],\"private\":false}",
            "{\"sha\":\"0123456789abcdef0123456789abcdef01234567\",\"siblings\":[]}",
        ]), &[b"{", b"}", b"[", b"]", b"null", b"\"sha\":", b"\"rfilename\":", b"../../x", b"/etc/x", b"\\u0000", b"model.safetensors"], of::listing),
        text("merges", || written(&["a b\nab c\nh e\nhe l</w>\n", "t h\nth e</w>\n"]), &[b" ", b"\n", b"</w>", b"a b\n", b"\xc4\xa0", b"\xff", b"\0"], of::merges),
        text("kinds", || written(&["animal,beast\t\t1,2\nmammal\t\t2\nhorse,mare\thorse,mare\t\n"]), &[b"\t", b"\n", b",", b"0", b"1", b"2", b"animal"], of::kinds),
    ]
    .into_iter()
    .map(|reader| match reader.name {
        // These have seeds that are to be refused.
        "listing" => Reader { reads_all: false, ..reader },
        _ => reader,
    })
    .collect()
}

/// Goes wrong in every way, to see that each is seen.
pub fn faulty() -> Reader {
    Reader {
        name: "harness",
        seeds: || written(&["a panic", "a relation", "a long message", "memory", "an abort", "no end", "nothing"]),
        reads_all: true,
        words: &[],
        fix: NOTHING,
        start: of::faulty,
        longest: Duration::from_millis(700),
    }
}

/// How many of its inputs go wrong.
pub const FAULTS: usize = 6;
