//! What lies in a reader's folder is found out: every form that `wider-clip images` takes, and what is no form.

#[path = "support/own_place.rs"]
mod own_place;

use own_place::{Place, labelled, left_out, picture};
use polars::prelude::*;
use std::fs::{self, File};
use std::path::Path;
use wider_clip::datasets::{self, Wanted, open_unlabelled, recognise, sorted_parts};
use wider_clip::manifest::{Manifests, Source, own_manifest};

/// A Parquet file of numbers.
fn numbers() -> Vec<u8> {
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .finish(&mut df!("row" => [1, 2], "number" => [0.5, 0.25]).expect("a table"))
        .expect("writes");
    bytes
}

#[test]
fn class_folders_and_parts() {
    let place = Place::new();
    place.pictures(&["cat/1.png", "cat/2.png", "dog/1.png"]);
    assert_eq!(labelled(&place.open()), [("cat/1.png", "cat"), ("cat/2.png", "cat"), ("dog/1.png", "dog")]);

    let place = Place::new();
    place.pictures(&["train/cat/1.png", "valid/dog/2.png", "test/dog/1.png", "train/dog/3.png"]);
    let set = place.open();
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!(sorted_parts(&set), ["train", "valid", "test"].map(|part| Some(part.to_string())));
}

#[test]
fn pictures_to_be_labelled_stand_apart() {
    let place = Place::new();
    place.pictures(&["cat/1.png", "dog/1.png", "Unlabelled/a.png", "Unlabelled/deep/b.png"]);
    let set = place.open();
    assert_eq!((set.len(), set.classes.len()), (2, 2));
    assert_eq!(left_out(&set), [("pictures to be labelled, in a folder of that name", 2)]);
    let record = place.record(&Wanted::default()).expect("is recognised");
    let others = open_unlabelled(place.0.path(), &record).expect("opens").expect("there are some");
    assert_eq!(others.ids, ["Unlabelled/a.png", "Unlabelled/deep/b.png"]);
    assert!(others.warnings.is_empty());
    // A Parquet file of something else beside the classes costs nothing; nor does one that is none.
    for (at, (name, bytes)) in
        [("none.parquet", b"no Parquet".to_vec()), ("embeddings.parquet", numbers())].into_iter().enumerate()
    {
        place.write(name, bytes);
        let found =
            recognise(&place.0.path().canonicalize().expect("a folder"), &Wanted::default()).expect("recognised");
        assert!(found.said.len() == at + 2 && found.said[0] == "a folder per class", "{:?}", found.said);
        assert!(found.said.iter().any(|said| said.contains(name) && said.contains("is not read")), "{:?}", found.said);
    }
    assert_eq!(place.open().len(), 2);

    // A table may label some of them by now.
    let place = Place::new();
    place.pictures(&["1.png", "2.png", "unlabelled/a.png", "unlabelled/b.png", "unlabelled/c.png"]);
    place.write("metadata.csv", "file_name,label\n1.png,cat\n2.png,dog\nunlabelled/b.png,cat\nunlabelled/c.png,\n");
    let others = open_unlabelled(place.0.path(), &place.record(&Wanted::default()).expect("is recognised"));
    assert_eq!(others.expect("opens").expect("there are some").ids, ["unlabelled/a.png", "unlabelled/c.png"]);

    let place = Place::new();
    place.pictures(&["cat/1.png", "dog/1.png"]);
    let record = place.record(&Wanted::default()).expect("is recognised");
    assert!(open_unlabelled(place.0.path(), &record).expect("opens").is_none());
}

#[test]
fn a_table_beside_the_pictures() {
    let place = Place::new();
    place.pictures(&["a.png", "b.png", "deep/c.png", "deep/d.png", "e.png", "f.png"]);
    let table = "file_name,Label,group,style,split,caption\na.png,cat,g1,ink,train,one\nb.png,dog,,oil,test,two\n\
                 deep\\c.png,cat,g1,ink,train,three\ne,dog,g2,oil,train,\nb.png,dog,,oil,test,\nb.png,cat,,oil,test,\n\
                 gone.png,cat,,ink,train,\n,cat,,ink,train,\nf.png,,,ink,train,\nshort,row\n";
    place.write("metadata.csv", table);
    let set = place.open();
    let found = [("a.png", "cat"), ("b.png", "dog"), ("deep/c.png", "cat"), ("e.png", "dog")];
    assert_eq!(labelled(&set), found);
    assert_eq!(set.groups.as_ref().expect("groups")[..2], ["g1", "alone: b.png"]);
    assert_eq!(set.domains.as_ref().expect("domains"), &["ink", "oil", "ink", "oil"]);
    assert_eq!(set.parts.as_ref().expect("parts"), &["train", "test", "train", "train"]);
    assert_eq!(set.names.as_ref().expect("captions")[0], "one");
    let expected = [
        ("pictures that no row names", 1),
        ("rows that name a picture again", 2),
        ("rows whose picture is not there", 1),
        ("rows with too few or too many cells", 1),
        ("rows without a label", 1),
        ("rows without the name of a picture", 1),
    ];
    assert_eq!(left_out(&set), expected);
    let twice = "b.png stands in two classes, `dog` and `cat`; the first counts";
    assert!(set.warnings.iter().any(|warning| warning == twice), "{:?}", set.warnings);
    let record = place.record(&Wanted::default()).expect("is recognised");
    let others = open_unlabelled(place.0.path(), &record).expect("opens").expect("one");
    assert_eq!(others.ids, ["f.png"]);
}

#[test]
fn tables_in_the_folders_of_parts_and_as_json_lines() {
    let place = Place::new();
    place.pictures(&["train/1.png", "train/2.png", "test/1.png"]);
    place.write(
        "train/metadata.jsonl",
        "{\"file_name\": \"1.png\", \"label\": 10, \"box\": [1, 2]}\n\n{\"file_name\": \"2.png\", \"label\": 2}\n",
    );
    place.write("test/metadata.jsonl", "{\"file_name\": \"1.png\", \"label\": 10}\n");
    let set = place.open();
    // Classes that are numbers are in the order of the numbers.
    assert_eq!(set.classes, ["2", "10"]);
    assert_eq!(labelled(&set), [("test/1.png", "10"), ("train/1.png", "10"), ("train/2.png", "2")]);
    assert_eq!(sorted_parts(&set), [Some("train".into()), None, Some("test".into())]);
    place.write("test/metadata.jsonl", "{\"file_name\": \"1.png\", \"label\": 10}\n[1]\n");
    let error = place.error();
    assert!(error.contains("metadata.jsonl") && error.contains("a JSON object per line"), "{error}");
}

#[test]
fn numbers_below_zero_are_no_label() {
    let place = Place::new();
    place.pictures(&["a.png", "b.png", "c.png"]).write("labels.tsv", "path\tclass\na.png\t0\nb.png\t-1\nc.png\t1\n");
    assert_eq!(labelled(&place.open()), [("a.png", "0"), ("c.png", "1")]);
    assert_eq!(left_out(&place.open()), [("rows whose label is a number below 0, which stands for none", 1)]);
    // Where labels are words, a word may begin so.
    let place = Place::new();
    place.pictures(&["a.png", "b.png"]).write("labels.csv", "path;class\na.png;-ish\nb.png;cat\n");
    assert_eq!(labelled(&place.open()), [("a.png", "-ish"), ("b.png", "cat")]);
}

#[test]
fn one_table_or_parquet_file_by_its_name() {
    let place = Place::new();
    place.pictures(&["pictures/a.png", "pictures/b.png", "other/c.png"]);
    place.write("lists/mine.csv", format!("img,kind\n../pictures/a.png,x\n{},y\n", place.at("other/c.png").display()));
    let wanted = Wanted { label: Some("kind".into()), ..Wanted::default() };
    let found = recognise(&place.at("lists/mine.csv"), &wanted).expect("is recognised");
    assert_eq!(found.record.id, "mine");
    let set = datasets::open(place.0.path(), &place.at("cache"), &found.record).expect("opens");
    assert_eq!((set.len(), set.classes.as_slice()), (2, &["x".to_string(), "y".to_string()][..]));

    let error = recognise(&place.at("lists/mine.csv"), &Wanted::default()).expect_err("is refused").to_string();
    assert!(error.contains("--label-column") && error.contains("the columns img, kind"), "{error}");
    let error = recognise(&place.at("pictures/a.png"), &Wanted::default()).expect_err("is refused").to_string();
    assert!(error.contains("found one picture"), "{error}");
    let error = recognise(&place.at("nowhere"), &Wanted::default()).expect_err("is refused").to_string();
    assert!(error.contains("nowhere"), "{error}");
}

/// A Parquet file with pictures inside.
fn parquet(path: &Path, rows: std::ops::Range<usize>) {
    let bytes: Vec<Vec<u8>> = rows.clone().map(picture).collect();
    let views: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
    let labels: Vec<&str> = rows.map(|i| if i % 2 == 0 { "even" } else { "odd" }).collect();
    let mut frame = df!("image" => views, "label" => labels).expect("a table");
    fs::create_dir_all(path.parent().expect("a folder")).expect("makes a folder");
    ParquetWriter::new(File::create(path).expect("creates")).finish(&mut frame).expect("writes");
}

#[test]
fn parquet_with_pictures_inside_in_one_or_many_shards() {
    let place = Place::new();
    parquet(&place.at("data/train-00000-of-00002.parquet"), 0..4);
    parquet(&place.at("data/train-00001-of-00002.parquet"), 4..8);
    parquet(&place.at("data/test-00000-of-00001.parquet"), 8..10);
    let set = place.open();
    assert_eq!((set.len(), set.classes.as_slice()), (10, &["even".to_string(), "odd".to_string()][..]));
    assert_eq!(sorted_parts(&set), [Some("train".into()), None, Some("test".into())]);
    let alone = recognise(&place.at("data/test-00000-of-00001.parquet"), &Wanted::default()).expect("is recognised");
    assert_eq!(datasets::open(place.0.path(), &place.at("cache"), &alone.record).expect("opens").len(), 2);
}

#[test]
fn a_table_of_paths_in_parquet() {
    let place = Place::new();
    place.pictures(&["a.png", "b.png"]);
    let mut frame = df!("file_name" => ["a.png", "b.png"], "label" => [1i64, 0]).expect("a table");
    ParquetWriter::new(File::create(place.at("metadata.parquet")).expect("creates"))
        .finish(&mut frame)
        .expect("writes");
    assert_eq!(labelled(&place.open()), [("a.png", "1"), ("b.png", "0")]);
}

#[test]
fn what_is_no_form_is_refused_by_name() {
    let place = Place::new();
    assert!(place.error().contains("class folders that hold images"), "{}", place.error());
    place.pictures(&["loose.png"]).write("notes.txt", "no");
    let error = place.error();
    assert!(error.contains("pictures beside the class folders: 1 (loose.png)"), "{error}");
    // Two tables that both would do.
    let place = Place::new();
    place.pictures(&["a.png"]).write("one.csv", "path,label\na.png,x\n").write("two.csv", "path,label\na.png,y\n");
    assert!(place.error().contains("one.csv, two.csv"), "{}", place.error());
    // A table whose pictures are elsewhere does not hide the class folders.
    let place = Place::new();
    place.pictures(&["cat/1.png", "dog/1.png"]).write("results.csv", "path,label\nnowhere.png,x\n");
    assert_eq!(place.open().classes, ["cat", "dog"]);
    // Nothing of a table that names no picture.
    let place = Place::new();
    place.pictures(&["a.png"]).write("metadata.csv", "file_name,label\nb.png,x\n");
    assert!(place.error().contains("rows whose picture is not there: 1"), "{}", place.error());
    place.write("metadata.csv", b"file_name,label\na.png,\xff\n");
    assert!(place.error().contains("UTF-8"), "{}", place.error());
    place.write("metadata.csv", "file_name,label,label\na.png,x,y\n");
    assert!(place.error().contains("`label` twice"), "{}", place.error());
}

#[test]
fn a_record_that_was_found_can_be_kept() {
    let place = Place::new();
    place.pictures(&["a.png", "b.png"]).write("metadata.csv", "file,class,site\na.png,x,1\nb.png,y,2\n");
    let record = place.record(&Wanted::default()).expect("is recognised");
    for kind in ["datasets", "models", "suites"] {
        fs::create_dir_all(place.at("project/data_manifests").join(kind)).expect("makes a folder");
    }
    let file = place.at(&format!("project/data_manifests/datasets/{}.toml", record.id));
    fs::write(&file, own_manifest(&record)).expect("writes");
    let manifests = Manifests::load(&place.at("project")).expect("loads");
    let read = manifests.dataset(&record.id).expect("known");
    assert_eq!((&read.source, &read.columns), (&record.source, &record.columns));
    assert!(matches!(&read.source, Source::Folder { tables, .. } if tables == &["metadata.csv"]));
    assert_eq!(datasets::open(&place.at("project"), &place.at("cache"), read).expect("opens").len(), 2);
}

#[test]
fn spellings_of_one_class_are_told() {
    let place = Place::new();
    place.pictures(&["caf\u{e9}/1.png", "cafe\u{301}/1.png", "dog/1.png"]);
    let set = place.open();
    assert_eq!(set.classes.len(), 3);
    assert!(set.warnings.iter().any(|warning| warning.contains("count as two")), "{:?}", set.warnings);
}
