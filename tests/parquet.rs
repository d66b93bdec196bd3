//! Parquet as other programs write it (`tests/reference/parquet.py`): every type of label and image column, rows without a
//! label, names that repeat, damaged files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use wider_clip::datasets::open_parquet;
use wider_clip::images::decode;
use wider_clip::manifest::{Columns, DatasetRecord, Manifests, Source};
use wider_clip::prelude::*;
use wider_clip::random::Random;

const ROWS: usize = 6;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/parquet").join(format!("{name}.parquet"))
}

fn open(name: &str) -> Result<ImageSet> {
    open_parquet(name, &file(name), &Columns::default())
}

fn opened(name: &str) -> ImageSet {
    open(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn error(name: &str) -> String {
    let error = open(name).err().unwrap_or_else(|| panic!("{name} opens")).chain();
    assert!(error.contains(&format!("{name}.parquet")), "{error}");
    error
}

/// The red of the one pixel of each image, which says what row of the script it is; `None` for one that cannot be read.
fn rows_of(set: &ImageSet) -> Vec<Option<u8>> {
    let red = |(bytes, id): (Result<Vec<u8>>, &String)| Some(decode(id, &bytes.ok()?).ok()?.get_pixel(0, 0)[0] / 10);
    set.read(0..set.len()).expect("reads").into_iter().zip(&set.ids).map(red).collect()
}

fn all_rows() -> Vec<Option<u8>> {
    (0..ROWS as u8).map(Some).collect()
}

/// Count and reason of what was left out.
fn left_out(set: &ImageSet) -> Vec<(usize, &str)> {
    set.ignored.iter().map(|ignored| (ignored.count, ignored.reason.as_str())).collect()
}

#[test]
fn labels_of_every_type_are_read() {
    for kind in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"] {
        let set = opened(&format!("label_{kind}"));
        assert_eq!(
            (set.classes.as_slice(), set.labels.as_slice()),
            (&["cat", "dog"].map(String::from)[..], &[0, 0, 0, 1, 1, 1][..]),
            "{kind}"
        );
        assert_eq!(rows_of(&set), all_rows(), "{kind}");
    }
    for kind in ["string", "large_string", "string_view", "binary", "dictionary", "category"] {
        let set = opened(&format!("label_{kind}"));
        assert_eq!(
            (set.classes, set.labels),
            (vec!["cat".to_string(), "dog".into()], vec![0, 0, 0, 1, 1, 1]),
            "{kind}"
        );
    }
    assert_eq!(opened("label_bool").classes, ["false", "true"]);
}

#[test]
fn rows_without_a_label_are_left_out_and_counted() {
    let null = opened("label_null");
    assert_eq!((null.labels.as_slice(), left_out(&null)), (&[0, 0, 1, 1][..], vec![(2, "rows whose label is null")]));
    assert_eq!(null.ids, ["0.png", "2.png", "3.png", "5.png"]);
    assert_eq!(null.ignored[0].names, ["label_null.parquet#1", "label_null.parquet#4"]);
    // The images are those of the rows that are left.
    assert_eq!(rows_of(&null), [Some(0), Some(2), Some(3), Some(5)]);
    let bytes =
        |range| null.read(range).expect("reads").into_iter().map(|bytes| bytes.expect("an image")).collect::<Vec<_>>();
    assert_eq!(bytes(1..3), bytes(0..4)[1..3]);

    let minus = opened("label_minus_one");
    assert_eq!(left_out(&minus), [(1, "rows whose label is -1"), (1, "rows whose label is -100")]);
    assert_eq!(rows_of(&minus), [Some(0), Some(2), Some(3), Some(5)]);
    // Whole numbers that pandas made decimal, since some are missing.
    let nan = opened("label_nan");
    assert_eq!(
        (nan.classes.as_slice(), nan.labels.as_slice()),
        (&["0", "1", "10"].map(String::from)[..], &[0, 1, 2, 1][..])
    );
    assert_eq!(left_out(&nan), [(1, "rows whose label is NaN"), (1, "rows whose label is null")]);
    let text = opened("label_text_null");
    assert_eq!(
        (text.classes.as_slice(), rows_of(&text)),
        (&["cat", "dog"].map(String::from)[..], vec![Some(0), Some(4), Some(5)])
    );
    assert_eq!(left_out(&text), [(2, "rows whose label is empty"), (1, "rows whose label is null")]);
    for name in ["label_all_null", "label_null_type"] {
        assert!(
            error(name).contains("at least one image with a label, found none: of 6 rows, rows whose label is null: 6")
        );
    }
    // Odd ones in more than a tenth of the rows are no slip.
    let half = error("label_half");
    assert!(
        half.contains("class names or whole numbers in column `label`, found 0.5 at label_half.parquet#1"),
        "{half}"
    );
}

#[test]
fn classes_are_those_that_are_there() {
    let from_one = opened("labels_from_one");
    assert_eq!(
        (from_one.classes.as_slice(), from_one.labels.as_slice()),
        (&["1", "2", "3"].map(String::from)[..], &[0, 0, 1, 1, 2, 2][..])
    );
    let huge = opened("labels_huge");
    assert_eq!(huge.classes, ["7", "100000000", "18446744073709551615"]);
    assert_eq!(huge.labels, [0, 0, 0, 1, 1, 2]);
    let unused = opened("names_unused");
    assert_eq!(
        (unused.classes.as_slice(), unused.labels.as_slice()),
        (&["cat", "dog"].map(String::from)[..], &[0, 0, 0, 1, 1, 1][..])
    );
    assert_eq!(left_out(&unused), [(3, "class names without an image")]);
    assert_eq!(unused.ignored[0].names, ["ant", "cow", "eel"]);
    assert!(
        error("names_too_few").contains("labels below 2, one for each class name, found 2 at names_too_few.parquet#4")
    );
}

#[test]
fn every_image_has_an_id_of_its_own() {
    let once = opened("label_int64");
    assert_eq!(once.ids, ["0.png", "1.png", "2.png", "3.png", "4.png", "5.png"]);
    // Base names alone, as `push_to_hub` keeps them.
    let twice = opened("paths_twice");
    assert_eq!(twice.ids, ["0.png#0", "1.png#1", "2.png#2", "0.png#3", "1.png#4", "2.png#5"]);
    assert_eq!(rows_of(&twice), all_rows());
    let awkward = opened("paths_awkward");
    let ids: std::collections::BTreeSet<&String> = awkward.ids.iter().collect();
    assert_eq!(ids.len(), ROWS, "{:?}", awkward.ids);
    assert_eq!(awkward.ids[2], "a.png#0");
    let null = opened("paths_null");
    assert_eq!(
        null.ids,
        ["paths_null.parquet#0", "paths_null.parquet#1", "2.png", "paths_null.parquet#3", "4.png", "5.png"]
    );
    assert_eq!(opened("paths_null_type").ids[5], "paths_null_type.parquet#5");
}

#[test]
fn image_columns_of_every_form_are_read() {
    for name in ["binary", "large_binary", "binary_view", "fixed_binary", "large_struct", "extra_fields", "bytes_only"]
    {
        let set = opened(&format!("image_{name}"));
        assert_eq!(rows_of(&set), all_rows(), "{name}");
        assert_eq!(set.classes, ["cat", "dog"], "{name}");
    }
    // An image that is not there is an error of that image alone.
    let null = opened("image_null");
    assert_eq!(rows_of(&null), [Some(0), None, Some(2), Some(3), None, Some(5)]);
    let why = null.read(1..2).expect("reads").remove(0).expect_err("null").to_string();
    assert!(why.contains("image 1.png: expected encoded bytes in the Parquet file, found null"), "{why}");
    for (name, found) in [
        ("image_text", "found text; paths and base64 are not read"),
        ("image_list", "found a list of them per row; a row must hold one image"),
        ("image_number", "found values of type Int64"),
        ("image_path_only", "found a struct of path"),
    ] {
        let error = error(name);
        assert!(
            error.contains("`image` as a struct of `bytes` and `path`, or as bytes") && error.contains(found),
            "{error}"
        );
    }
}

#[test]
fn columns_are_named_with_dots_and_missing_ones_all_at_once() {
    let columns =
        Columns { group: Some("a.b".into()), time: Some("a.b".into()), ..Columns::new("data.picture", "data.class") };
    let set = open_parquet("nested", &file("nested"), &columns).expect("opens");
    // The struct of row 2 is null: no label, no image.
    assert_eq!(rows_of(&set), [Some(0), Some(1), Some(3), Some(4), Some(5)]);
    assert_eq!(
        (set.classes.as_slice(), set.labels.as_slice()),
        (&["cat", "dog"].map(String::from)[..], &[0, 0, 1, 1, 1][..])
    );
    assert_eq!(set.times, set.groups);
    assert_eq!(set.groups.expect("groups"), ["g0", "g0", "g1", "g1", "g1"]);
    let columns = Columns { domain: Some("place".into()), ..Columns::new("picture", "label") };
    let error = open_parquet("p", &file("nested"), &columns).expect_err("not there").to_string();
    assert!(
        error.contains("a column `label` and a column `place` and a column `picture`, found the columns data, a.b"),
        "{error}"
    );
}

#[test]
fn codecs_pages_and_row_groups_make_no_difference() {
    let codecs = ["none", "snappy", "gzip", "zstd", "lz4", "brotli"].map(|codec| format!("codec_{codec}"));
    for name in codecs.iter().map(String::as_str).chain(["pages_v2", "encodings_delta"]) {
        let set = opened(name);
        assert_eq!(rows_of(&set), all_rows(), "{name}");
        // Across row groups, whatever the range.
        let whole = set.read(0..ROWS).expect("reads");
        for start in 0..ROWS {
            for end in start..=ROWS {
                let some = set.read(start..end).expect("reads");
                let same = some.iter().zip(&whole[start..end]).all(|(a, b)| a.as_ref().ok() == b.as_ref().ok());
                assert!(same && some.len() == end - start, "{name} {start}..{end}");
            }
        }
    }
}

#[test]
fn group_columns_are_texts_whatever_their_type() {
    let group = |kind: &str| {
        let columns = Columns { group: Some("extra".into()), ..Columns::default() };
        open_parquet(kind, &file(&format!("extra_{kind}")), &columns).map(|set| set.groups.expect("groups"))
    };
    assert_eq!(group("uint8").expect("opens"), ["0", "0", "0", "1", "1", "1"]);
    assert_eq!(group("dictionary").expect("opens")[2..4], ["cat", "dog"]);
    assert_eq!(group("bool").expect("opens")[2..4], ["false", "true"]);
    assert_eq!(group("float64").expect("opens"), ["0.5", "0.5", "1", "1", "inf", "2"]);
    for kind in ["date32", "timestamp", "list"] {
        let error = group(kind).expect_err("no text").to_string();
        assert!(error.contains(&format!("extra_{kind}.parquet")) && error.contains("`extra`"), "{error}");
    }
}

/// Opens shards as the files of one embedded set.
fn open_shards(names: &[&str]) -> Result<ImageSet> {
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = folder.path().join("data_manifests/embedded");
    fs::create_dir_all(&embedded).expect("makes a folder");
    let manifests = Manifests::load(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("loads");
    let files: Vec<String> = names.iter().map(|name| format!("{name}.parquet")).collect();
    for (name, target) in names.iter().zip(&files) {
        fs::copy(file(name), embedded.join(target)).expect("copies");
    }
    let record = DatasetRecord {
        source: Source::Embedded { files },
        columns: Columns::default(),
        split: Default::default(),
        ..manifests.dataset("icons").expect("known").clone()
    };
    let set = wider_clip::datasets::open(folder.path(), folder.path(), &record)?;
    let rows = rows_of(&set);
    assert!(rows.iter().all(Option::is_some), "{rows:?}");
    Ok(set)
}

#[test]
fn shards_may_differ_in_order_and_type_but_not_in_meaning() {
    let set = open_shards(&["shard_0", "shard_1", "shard_2"]).expect("opens");
    assert_eq!(
        (set.labels.as_slice(), set.classes.as_slice()),
        (&[0, 1, 1, 0, 1, 0][..], &["cat", "dog"].map(String::from)[..])
    );
    // The same names in two shards.
    let twice = open_shards(&["label_int8", "label_int64"]).expect("opens");
    assert_eq!((twice.len(), twice.ids[0].as_str(), twice.ids[6].as_str()), (12, "0.png#0", "0.png#6"));
    for (names, expected) in [
        (["shard_0", "shard_words"], "shard_words.parquet: expected numbers in column `label`, as in "),
        (["shard_words", "shard_0"], "shard_0.parquet: expected text in column `label`, as in "),
        (["shard_0", "shard_other_names"], "shard_other_names.parquet: expected the class names of "),
    ] {
        let error = open_shards(&names).expect_err("does not fit").to_string();
        assert!(error.contains(expected) && error.contains(&format!("{}.parquet", names[0])), "{error}");
    }
    let empty = open("shard_1").expect_err("no row").to_string();
    assert!(
        empty.contains("shard_1.parquet: expected at least one image with a label, found none: the file has no row"),
        "{empty}"
    );
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("damaged.parquet");
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for name in ["codec_zstd", "encodings_delta", "label_dictionary", "nested", "pages_v2", "label_string_view"] {
        let whole = fs::read(file(name)).expect("reads");
        let columns = match name {
            "nested" => Columns { group: Some("a.b".into()), ..Columns::new("data.picture", "data.class") },
            _ => Columns::default(),
        };
        for seed in 0..150 {
            let mut random = Random::new("damage", seed, whole.len() as u64);
            let mut bytes = whole.clone();
            match seed % 3 {
                0 => bytes.truncate(random.below(whole.len())),
                _ => {
                    for _ in 0..1 + random.below(8) {
                        // The footer holds more that can go wrong than pictures do.
                        let start = if seed % 2 == 0 { whole.len() * 2 / 3 } else { 0 };
                        bytes[start + random.below(whole.len() - start)] = random.below(256) as u8;
                    }
                }
            }
            fs::write(&path, &bytes).expect("writes");
            let opened = open_parquet("damaged", &path, &columns).and_then(|set| set.read(0..set.len()).map(|_| ()));
            let outcome = match opened {
                Ok(()) => "read".to_string(),
                Err(error) => {
                    let error = error.chain();
                    assert!(error.contains("damaged.parquet") || error.contains("image "), "{name} {seed}: {error}");
                    "refused".into()
                }
            };
            *kinds.entry(outcome).or_default() += 1;
        }
    }
    assert!(kinds["refused"] > 200 && kinds["read"] > 20, "{kinds:?}");
    fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n").expect("writes");
    let error = open_parquet("damaged", &path, &Columns::default()).expect_err("a pointer").to_string();
    assert!(error.contains("a pointer of Git LFS") && error.contains("git lfs pull"), "{error}");
    fs::write(&path, "PAR1PAR1").expect("writes");
    assert!(
        open_parquet("damaged", &path, &Columns::default()).expect_err("too short").to_string().contains("8 bytes")
    );
}
