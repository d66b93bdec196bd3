//! Parquet files whose pages claim what they do not hold: memory would be asked for that no machine has, which ends a program.
//!
//! Files are put together here, byte by byte, so that one number can lie and all others are right. Each kind of file is read
//! where it tells the truth. What pyarrow writes in the same encodings is read in full (`tests/reference/parquet.py`).

use std::io::Write;
use std::path::{Path, PathBuf};
use wider_clip::datasets::{check_parquet, open_parquet};
use wider_clip::manifest::Columns;
use wider_clip::prelude::*;

const ROWS: usize = 3;

// Numbers of the format.
const BYTE_ARRAY: i64 = 6;
const FIXED: i64 = 7;
const PLAIN: i64 = 0;
const PLAIN_DICTIONARY: i64 = 2;
const DELTA_BINARY_PACKED: i64 = 5;
const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;
const DELTA_BYTE_ARRAY: i64 = 7;
const RLE_DICTIONARY: i64 = 8;
const NONE: i64 = 0;
const SNAPPY: i64 = 1;
const GZIP: i64 = 2;
const BROTLI: i64 = 4;
const ZSTD: i64 = 6;
const LZ4: i64 = 7;

fn varint(mut n: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

fn zigzag(n: i64) -> Vec<u8> {
    varint(((n << 1) ^ (n >> 63)) as u64)
}

/// A struct in Thrift's compact protocol; numbers of fields grow by at most 15.
#[derive(Default)]
struct Thrift {
    bytes: Vec<u8>,
    last: u8,
}

impl Thrift {
    fn field(mut self, number: u8, kind: u8, value: &[u8]) -> Thrift {
        self.bytes.push((number - self.last) << 4 | kind);
        self.bytes.extend(value);
        self.last = number;
        self
    }

    fn number(self, number: u8, value: i64) -> Thrift {
        self.field(number, 5, &zigzag(value))
    }

    fn long(self, number: u8, value: i64) -> Thrift {
        self.field(number, 6, &zigzag(value))
    }

    fn text(self, number: u8, value: &str) -> Thrift {
        self.field(number, 8, &[varint(value.len() as u64), value.into()].concat())
    }

    fn list(self, number: u8, kind: u8, values: &[Vec<u8>]) -> Thrift {
        self.field(number, 9, &[vec![(values.len() as u8) << 4 | kind], values.concat()].concat())
    }

    fn within(self, number: u8, value: Thrift) -> Thrift {
        self.field(number, 12, &value.end())
    }

    fn end(self) -> Vec<u8> {
        [self.bytes, vec![0]].concat()
    }
}

/// A required column.
struct Column {
    kind: i64,
    /// Bytes of a value of a fixed length.
    width: i64,
    codec: i64,
    values: i64,
    dictionary: Vec<u8>,
    pages: Vec<u8>,
}

/// A page of values with its head, as the first version of the format has it; `claimed`: bytes when unpacked.
fn page(encoding: i64, values: i64, claimed: usize, body: &[u8]) -> Vec<u8> {
    let head = Thrift::default().number(1, values).number(2, encoding).number(3, 3).number(4, 3);
    let sizes = Thrift::default().number(1, 0).number(2, claimed as i64).number(3, body.len() as i64);
    [sizes.within(5, head).end(), body.to_vec()].concat()
}

fn dictionary(values: i64, claimed: usize, body: &[u8]) -> Vec<u8> {
    let head = Thrift::default().number(1, values).number(2, PLAIN_DICTIONARY);
    let sizes = Thrift::default().number(1, 2).number(2, claimed as i64).number(3, body.len() as i64);
    [sizes.within(7, head).end(), body.to_vec()].concat()
}

fn column(encoding: i64, body: &[u8]) -> Column {
    let pages = page(encoding, ROWS as i64, body.len(), body);
    Column { kind: BYTE_ARRAY, width: 0, codec: NONE, values: ROWS as i64, dictionary: Vec::new(), pages }
}

fn plain(values: &[&[u8]]) -> Vec<u8> {
    values.iter().flat_map(|value| [&(value.len() as u32).to_le_bytes(), *value].concat()).collect()
}

/// A file of an image and a label column.
fn file(rows: usize, columns: [(&str, Column); 2]) -> Vec<u8> {
    let mut bytes = b"PAR1".to_vec();
    let mut schema = vec![Thrift::default().text(4, "schema").number(5, columns.len() as i64).end()];
    let mut chunks = Vec::new();
    for (name, column) in columns {
        let start = bytes.len() as i64;
        let length = (column.dictionary.len() + column.pages.len()) as i64;
        bytes.extend(&column.dictionary);
        let data = bytes.len() as i64;
        bytes.extend(&column.pages);
        let element = Thrift::default().number(1, column.kind);
        let element = if column.kind == FIXED { element.number(2, column.width) } else { element };
        schema.push(element.number(3, 0).text(4, name).end());
        let path = [varint(name.len() as u64), name.into()].concat();
        let about = Thrift::default().number(1, column.kind).list(2, 5, &[zigzag(PLAIN)]).list(3, 8, &[path]);
        let about = about.number(4, column.codec).long(5, column.values).long(6, length).long(7, length).long(9, data);
        let about = if column.dictionary.is_empty() { about } else { about.long(11, start) };
        chunks.push(Thrift::default().long(2, start).within(3, about).end());
    }
    let group = Thrift::default().list(1, 12, &chunks).long(2, 100).long(3, rows as i64).end();
    let footer = Thrift::default().number(1, 1).list(2, 12, &schema).long(3, rows as i64).list(4, 12, &[group]).end();
    bytes.extend(&footer);
    bytes.extend((footer.len() as u32).to_le_bytes());
    bytes.extend(b"PAR1");
    bytes
}

/// Opens a file and reads its images; the labels, or why not.
fn read(bytes: &[u8]) -> std::result::Result<Vec<String>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("claims.parquet");
    std::fs::write(&path, bytes).expect("writes");
    let read = || -> Result<Vec<String>> {
        let set = open_parquet("claims", &path, &Columns::default())?;
        set.read(0..set.len())?;
        Ok(set.labels.iter().map(|&label| set.classes[label as usize].clone()).collect())
    };
    let found = read().map_err(|error| error.chain());
    // What other readers of the project ask first says the same.
    match (&found, check_parquet(&path).map_err(|error| error.chain())) {
        (Ok(_), checked) => assert_eq!(checked, Ok(())),
        (Err(error), checked) => assert_eq!(Err(error), checked.as_ref()),
    }
    found
}

fn with_label(label: Column) -> std::result::Result<Vec<String>, String> {
    let images = column(PLAIN, &plain(&[b"one", b"two", b"three"]));
    read(&file(ROWS, [("image", images), ("label", label)]))
}

fn refused(what: &str, found: std::result::Result<Vec<String>, String>, words: &[&str]) {
    let error = found.expect_err(what);
    for word in ["claims.parquet", "a whole Parquet file", "column `"].iter().chain(words) {
        assert!(error.contains(word), "{what}: {word} is not in {error}");
    }
}

/// Numbers as deltas of `bits` bits, in blocks of four parts of 32.
fn deltas(values: &[i64], bits: u8) -> Vec<u8> {
    deltas_as([128, 4, values.len() as u64], values, bits)
}

/// As [`deltas`], with other claims before them: values of a block, its parts, values in all.
fn deltas_as(claims: [u64; 3], values: &[i64], bits: u8) -> Vec<u8> {
    let mut bytes = [claims.map(varint).concat(), zigzag(values[0])].concat();
    let steps: Vec<i64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for block in steps.chunks(128) {
        let least = *block.iter().min().expect("a step");
        bytes.extend(zigzag(least));
        bytes.extend([bits; 4]);
        for part in block.chunks(32) {
            let mut packed = vec![0u8; usize::from(bits) * 32 / 8];
            for (i, step) in part.iter().enumerate() {
                for bit in 0..usize::from(bits).min(64) {
                    let at = i * usize::from(bits) + bit;
                    packed[at / 8] |= (((step - least) >> bit & 1) as u8) << (at % 8);
                }
            }
            bytes.extend(packed);
        }
    }
    bytes
}

/// Strings that share beginnings: lengths of these, lengths of the ends, the ends.
fn shared(prefixes: &[i64], suffixes: &[i64], ends: &str) -> Column {
    column(DELTA_BYTE_ARRAY, &[deltas(prefixes, 4), deltas(suffixes, 4), ends.into()].concat())
}

#[test]
fn strings_in_deltas_lie_within_their_page() {
    let labels = ["cat", "cattle", "dog"].map(String::from).to_vec();
    assert_eq!(with_label(shared(&[0, 3, 0], &[3, 3, 3], "cattledog")), Ok(labels.clone()));
    let lengths =
        |lengths: &[i64]| column(DELTA_LENGTH_BYTE_ARRAY, &[deltas(lengths, 4), b"catcattledog".to_vec()].concat());
    assert_eq!(with_label(lengths(&[3, 6, 3])), Ok(labels));
    let far = 29_000_000_000_000;
    for (what, prefixes, suffixes, words) in [
        (
            "a beginning that was not there",
            [0, 4, 0],
            [3, 2, 3],
            "string 1 begins with 4 bytes of the one before, which has 3",
        ),
        ("a beginning of terabytes", [far, far + 1, far], [3, 3, 3], "string 0 begins with 29000000000000 bytes"),
        ("a beginning below nothing", [0, -1, 0], [3, 3, 3], "string 1 begins with -1 bytes"),
        ("an end of terabytes", [0, 3, 0], [3, far, far], "string 1 has 29000000000000 bytes of its own, where 6 of"),
        ("an end below nothing", [0, 3, 0], [3, -1, 3], "string 1 has -1 bytes of its own"),
        ("ends that take more than there is", [0, 3, 0], [3, 3, 4], "string 2 has 4 bytes of its own, where 3 of"),
    ] {
        // Steps of terabytes take more than four bits.
        let body = [deltas(&prefixes, 48), deltas(&suffixes, 48), b"cattledog".to_vec()].concat();
        refused(what, with_label(column(DELTA_BYTE_ARRAY, &body)), &[words, "page 0", "`label`"]);
    }
    for (what, lengths, words) in [
        ("a length of terabytes", [far, 3, 3], "string 0 has 29000000000000 bytes of its own, where 12 of"),
        ("lengths that take more than there is", [3, 6, 4], "string 2 has 4 bytes of its own, where 3 of"),
    ] {
        let body = [deltas(&lengths, 48), b"catcattledog".to_vec()].concat();
        refused(what, with_label(column(DELTA_LENGTH_BYTE_ARRAY, &body)), &[words, "page 0"]);
    }
    let uneven = column(DELTA_BYTE_ARRAY, &[deltas(&[0, 0], 4), deltas(&[3, 3, 3], 4), b"catcowdog".to_vec()].concat());
    refused("fewer beginnings than ends", with_label(uneven), &["2 beginnings of strings and 3 ends"]);
}

#[test]
fn what_stands_before_deltas_is_the_formats() {
    let honest = [128, 4, 3];
    for (what, claims, bits, words) in [
        ("more values than the page has", [128, 4, 1 << 40], 4, "1099511627776 delta-encoded values in a page of 3"),
        ("one value more", [128, 4, 4], 4, "4 delta-encoded values in a page of 3"),
        ("no block", [0, 4, 3], 4, "blocks of 0 values in 4 parts"),
        ("no part", [128, 0, 3], 4, "blocks of 128 values in 0 parts"),
        ("an odd block", [100, 4, 3], 4, "blocks of 100 values in 4 parts"),
        ("odd parts", [128, 8, 3], 4, "blocks of 128 values in 8 parts"),
        ("a block of all there is", [1 << 60, 4, 3], 4, "blocks of 1152921504606846976 values"),
        ("parts of all there is", [1 << 31, 1 << 26, 3], 4, "ends early"),
        ("deltas of too many bits", honest, 65, "deltas of 65 bits, where 64 are the most"),
    ] {
        let numbers = deltas_as(claims, &[3, 6, 3], bits);
        let body = [numbers.clone(), b"catcattledog".to_vec()].concat();
        refused(what, with_label(column(DELTA_LENGTH_BYTE_ARRAY, &body)), &[words, "page 0"]);
        let mut label = column(DELTA_BINARY_PACKED, &numbers);
        label.kind = 2;
        refused(what, with_label(label), &[words, "page 0"]);
    }
    let mut numbers = column(DELTA_BINARY_PACKED, &deltas_as(honest, &[3, 6, 3], 4));
    numbers.kind = 2;
    assert_eq!(with_label(numbers), Ok(["3", "6", "3"].map(String::from).to_vec()));
    for end in 0..deltas(&[3, 6, 3], 4).len() {
        let mut numbers = column(DELTA_BINARY_PACKED, &deltas(&[3, 6, 3], 4)[..end]);
        numbers.kind = 2;
        refused("cut deltas", with_label(numbers), &["a delta encoding that ends early"]);
    }
}

#[test]
fn strings_that_grow_out_of_their_beginnings_are_bounded() {
    let (rows, long) = (400, 1 << 20);
    let label = |prefix: i64| {
        let (mut prefixes, mut suffixes) = (vec![prefix; rows], vec![long - prefix; rows]);
        (prefixes[0], suffixes[0]) = (0, long);
        let ends: i64 = suffixes.iter().sum();
        let body = [deltas(&prefixes, 21), deltas(&suffixes, 21), vec![b'x'; ends as usize]].concat();
        let pages = page(DELTA_BYTE_ARRAY, rows as i64, body.len(), &body);
        Column { values: rows as i64, pages, ..column(PLAIN, &[]) }
    };
    let images = || {
        let body = plain(&vec![&b"picture"[..]; rows]);
        Column { values: rows as i64, pages: page(PLAIN, rows as i64, body.len(), &body), ..column(PLAIN, &[]) }
    };
    let found = read(&file(rows, [("image", images()), ("label", label(long))]));
    refused("400 strings of a megabyte, written once", found, &["strings of ", "bytes so far in"]);
    // A fifth of each is its own.
    let labels = read(&file(rows, [("image", images()), ("label", label(long / 5 * 4))])).map(|labels| labels.len());
    assert_eq!(labels, Ok(rows));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("packs");
    encoder.finish().expect("packs")
}

/// Snappy and LZ4 with nothing but letters as they are.
fn literal(codec: i64, bytes: &[u8]) -> Vec<u8> {
    let n = bytes.len() as u8;
    match codec {
        SNAPPY => [&[n, (n - 1) << 2][..], bytes].concat(),
        LZ4 => [&[0xf0, n - 15][..], bytes].concat(),
        // A frame without a checksum, its size in the head; one raw block, the last.
        ZSTD => [&[0x28, 0xb5, 0x2f, 0xfd, 0x20, n, (n << 3) | 1, 0, 0][..], bytes].concat(),
        // A window of 16 bits; a stored block, then an empty last one.
        BROTLI => {
            let length = u32::from(n) - 1;
            // Bits: window 0, not the last, four nibbles, the length less one, stored.
            let head = length << 4 | 1 << 20;
            [&head.to_le_bytes()[..3], bytes, &[3]].concat()
        }
        _ => gzip(bytes),
    }
}

#[test]
fn packed_pages_come_to_what_they_claim() {
    let body = plain(&[b"cat", b"cattle", b"dog"]);
    for codec in [SNAPPY, LZ4, GZIP, ZSTD, BROTLI] {
        let packed = literal(codec, &body);
        let label =
            |claimed: usize| Column { codec, pages: page(PLAIN, ROWS as i64, claimed, &packed), ..column(PLAIN, &[]) };
        let labels = ["cat", "cattle", "dog"].map(String::from).to_vec();
        assert_eq!(with_label(label(body.len())), Ok(labels), "codec {codec}");
        refused(
            &format!("codec {codec}"),
            with_label(label(i32::MAX as usize)),
            &["2147483647 bytes claimed by", "page 0"],
        );
        // A dictionary of the three, and one index of a bit and a half for each row.
        let indices = [2u8, 3, 0b10_0100, 0];
        let packed_indices = match codec {
            GZIP => gzip(&indices),
            SNAPPY | BROTLI | ZSTD => literal(codec, &indices),
            _ => [&[0x40][..], &indices].concat(),
        };
        let coded = |values: i64, claimed: usize| Column {
            codec,
            dictionary: dictionary(values, claimed, &packed),
            pages: page(RLE_DICTIONARY, ROWS as i64, indices.len(), &packed_indices),
            ..column(PLAIN, &[])
        };
        assert_eq!(with_label(coded(3, body.len())).map(|labels| labels.len()), Ok(3), "codec {codec}");
        refused(
            "a dictionary",
            with_label(coded(3, i32::MAX as usize)),
            &["a dictionary: 2147483647 bytes claimed by"],
        );
        refused(
            "a dictionary",
            with_label(coded(1 << 30, body.len())),
            &["a dictionary of 1073741824 values in 24 bytes"],
        );
    }
}

#[test]
fn columns_hold_no_more_values_than_rows() {
    let body = plain(&[b"cat", b"cattle", b"dog"]);
    for values in [1 << 40, ROWS as i64 + 1, -1] {
        let label = Column { values, ..column(PLAIN, &body) };
        refused("a column", with_label(label), &[&format!("{values} values where there are 3 rows")]);
    }
    let label = Column { pages: page(PLAIN, 4, body.len(), &body), ..column(PLAIN, &[]) };
    refused("a page", with_label(label), &["page 0: 4 values where there are 3 rows"]);
}

#[test]
fn values_of_a_fixed_length_fit_into_their_pages() {
    let images = |width: i64| Column { kind: FIXED, width, ..column(PLAIN, b"onetwosix") };
    let label = || column(PLAIN, &plain(&[b"cat", b"cattle", b"dog"]));
    let labels = ["cat", "cattle", "dog"].map(String::from).to_vec();
    assert_eq!(read(&file(ROWS, [("image", images(3)), ("label", label())])), Ok(labels));
    let found = read(&file(ROWS, [("image", images(i32::MAX.into())), ("label", label())]));
    refused("values of two gigabytes", found, &["`image`", "3 values of 2147483647 bytes each in 9 bytes of pages"]);
}

#[test]
fn pyarrows_delta_encodings_are_read_in_full() {
    const MANY: usize = 300;
    for name in ["deltas_v1", "deltas_v2", "deltas_nulls"] {
        let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/parquet/{name}.parquet"));
        check_parquet(&path).expect("holds together");
        let columns = Columns { group: Some("text".into()), domain: Some("far".into()), ..Columns::default() };
        let set = open_parquet(name, &path, &columns).expect("opens");
        let null = |i: usize| name == "deltas_nulls" && i % 7 == 3;
        let label = |i: usize| ((i as u64 * 2_654_435_761) % (1 << 32)).to_string();
        let labels: Vec<&String> = set.labels.iter().map(|&label| &set.classes[label as usize]).collect();
        assert!(labels.iter().enumerate().all(|(i, found)| **found == label(i)) && labels.len() == MANY, "{name}");
        // An image of no group is a group of its own.
        let alone = |i: usize| format!("alone: {name}.parquet#{i}");
        let text = |i: usize| if null(i) { alone(i) } else { format!("group {:03}/{}", i / 7, "x".repeat(i % 5)) };
        assert_eq!(set.groups.clone().expect("groups"), (0..MANY).map(text).collect::<Vec<_>>(), "{name}");
        let far = |i: usize| match (null(i), i % 2) {
            (true, _) => String::new(),
            (_, 0) => i64::MIN.to_string(),
            _ => (i64::MAX - i as i64).to_string(),
        };
        assert_eq!(set.domains.clone().expect("domains"), (0..MANY).map(far).collect::<Vec<_>>(), "{name}");
        let bytes: Vec<Vec<u8>> =
            set.read(0..MANY).expect("reads").into_iter().map(|image| image.expect("bytes")).collect();
        assert!(bytes.iter().enumerate().all(|(i, image)| *image == format!("picture {}", i % 6).as_bytes()), "{name}");
    }
}

#[test]
fn lists_are_left_to_readers_that_want_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/parquet/extra_list.parquet");
    let error = check_parquet(&path).expect_err("a list").to_string();
    assert!(error.contains("extra_list.parquet") && error.contains("one value per row in column `extra"), "{error}");
}
