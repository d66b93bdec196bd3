//! Forms of a reader's folder a little beside the usual ones: nothing is taken for what it is not, and nothing is left out
//! in silence.

#[path = "support/own_place.rs"]
mod own_place;

use own_place::{Place, labelled, left_out, picture};
use polars::prelude::*;
use std::fs::{self, File};
use std::path::Path;
use wider_clip::candle_core;
use wider_clip::datasets::{self, Wanted, open_unlabelled, recognise, sorted_parts};
use wider_clip::experiments::{Encoded, Encoding};
use wider_clip::project::Project;

fn said(place: &Place) -> String {
    recognise(place.0.path(), &Wanted::default()).expect("is recognised").said.join("; ")
}

fn write(path: &Path, mut frame: DataFrame) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("makes a folder");
    ParquetWriter::new(File::create(path).expect("creates")).finish(&mut frame).expect("writes");
}

/// A column of pictures as bytes.
fn images(n: usize) -> Column {
    let bytes: Vec<Vec<u8>> = (0..n).map(picture).collect();
    Column::new("image".into(), bytes.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[test]
fn parts_whose_names_have_other_words_in_them() {
    for [train, test] in [
        ["train2017", "test2017"],
        ["train_images", "test_images"],
        ["my_train", "my-test"],
        ["1_train", "3_test"],
        ["training_set", "test_set"],
        ["Train ", "TEST "],
        ["train", "test_1"],
    ] {
        let place = Place::new();
        let names = [train, test].map(|part| ["cat", "dog"].map(|class| format!("{part}/{class}/1.png")));
        place.pictures(&names.iter().flatten().map(String::as_str).collect::<Vec<_>>());
        let set = place.open();
        assert_eq!(set.classes, ["cat", "dog"], "{train} and {test}");
        assert_eq!(sorted_parts(&set), [Some(train.into()), None, Some(test.into())]);
        assert!(said(&place).contains("folders of parts"));
    }
    // Classes that are called alike, and one word of each kind.
    for names in [
        ["test tube/1.png", "test strip/1.png"],
        ["train/1.png", "bus/1.png"],
        ["train_a/x/1.png", "bus/x/1.png"],
        ["train_test/x/1.png", "test_train/x/1.png"],
    ] {
        let place = Place::new();
        place.pictures(&names);
        let set = place.open();
        assert_eq!((set.classes.len(), set.parts.is_none()), (2, true), "{names:?}");
        assert!(said(&place).contains("a folder per class"));
    }
    // Nothing says that the outer folders are parts; that they may be is told.
    let place = Place::new();
    place.pictures(&["one/cat/1.png", "one/dog/1.png", "two/cat/1.png", "two/dog/1.png"]);
    let set = place.open();
    assert_eq!(set.classes, ["one", "two"]);
    assert!(
        set.warnings.iter().any(|warning| warning.contains("each of them holds the folders cat, dog")),
        "{:?}",
        set.warnings
    );
}

#[test]
fn parts_by_the_names_of_parquet_files() {
    for [train, test] in [["pets-train", "pets-test"], ["train2017", "test2017"], ["part-train-0", "part-test-0"]] {
        let place = Place::new();
        for name in [train, test] {
            let frame = DataFrame::new(4, vec![images(4), Column::new("label".into(), ["a", "b", "a", "b"])]);
            write(&place.at(&format!("{name}.parquet")), frame.expect("a table"));
        }
        assert_eq!(sorted_parts(&place.open()), [Some("train".into()), None, Some("test".into())], "{train}");
    }
}

#[test]
fn pictures_to_be_labelled_inside_a_part() {
    let place = Place::new();
    place.pictures(&[
        "train/cat/1.png",
        "train/dog/1.png",
        "train/unlabelled/1.png",
        "test/cat/1.png",
        "test/dog/1.png",
    ]);
    let set = place.open();
    assert_eq!((set.classes.as_slice(), set.len()), (&["cat".to_string(), "dog".into()][..], 4));
    assert_eq!(left_out(&set), [("pictures to be labelled, in a folder of that name", 1)]);
    let record = place.record(&Wanted::default()).expect("is recognised");
    let others = open_unlabelled(place.0.path(), &record).expect("opens").expect("there is one");
    assert_eq!(others.ids, ["train/unlabelled/1.png"]);
}

#[test]
fn a_table_of_few_pictures_does_not_hide_the_class_folders() {
    let folders = ["cat/1.png", "cat/2.png", "cat/3.png", "dog/1.png", "dog/2.png", "dog/3.png"];
    let place = Place::new();
    place.pictures(&folders).write("bad_labels.csv", "path,label\ncat/1.png,dog\ndog/2.png,cat\n");
    assert_eq!((place.open().classes.len(), place.open().len()), (2, 6));
    assert!(said(&place).contains("bad_labels.csv names 2 of 6 pictures and is not used"), "{}", said(&place));
    // What the program itself said of pictures without a label.
    let place = Place::new();
    let table = "file,class,probability,second_class,second_probability\nunlabelled/1.png,cat,0.9,dog,0.1\n";
    place.pictures(&["cat/1.png", "dog/1.png", "unlabelled/1.png"]).write("predictions.csv", table);
    assert_eq!(labelled(&place.open()), [("cat/1.png", "cat"), ("dog/1.png", "dog")]);
    // One that names most of them counts.
    let place = Place::new();
    let table: String = folders.iter().map(|name| format!("{name},x{}\n", name.len() % 2)).collect();
    place.pictures(&folders).write("labels.csv", format!("path,label\n{table}"));
    assert!(said(&place).contains("pictures that labels.csv names"));
}

#[test]
fn a_number_in_two_spellings_is_one() {
    let place = Place::new();
    place.pictures(&["train/1.png", "train/2.png", "train/3.png", "test/1.png", "test/2.png", "test/3.png"]);
    place.write("train/metadata.csv", "file_name,label,patient\n1.png,0,1\n2.png,1,2\n3.png,10,3\n");
    place.write("test/metadata.csv", "file_name,label,patient\n1.png,0.0,1.0\n2.png,10.0,\n3.png,nan,2.0\n");
    let set = place.open();
    assert_eq!(set.classes, ["0", "1", "10"]);
    assert_eq!(left_out(&set), [("rows without a label", 1)]);
    let groups = set.groups.as_ref().expect("groups");
    let of = |id: &str| &groups[set.ids.iter().position(|other| other == id).expect("there")];
    assert_eq!(
        (of("test/1.png"), of("train/1.png"), of("test/2.png").as_str()),
        (&"1".into(), &"1".into(), "alone: test/2.png")
    );
    // Words stay what they are, and so do numbers among words.
    let place = Place::new();
    place
        .pictures(&["1.png", "2.png", "3.png"])
        .write("metadata.csv", "file_name,label\n1.png,1\n2.png,1.0\n3.png,x\n");
    assert_eq!(place.open().classes, ["1", "1.0", "x"]);
    // Two signs are two classes; with a third number those below 0 stand for none, and are counted as such.
    let place = Place::new();
    place
        .pictures(&["1.png", "2.png", "3.png"])
        .write("metadata.csv", "file_name,label\n1.png,-1\n2.png,+1\n3.png,-1.0\n");
    assert_eq!(place.open().classes, ["-1", "1"]);
    place.write("metadata.csv", "file_name,label\n1.png,-1\n2.png,1\n3.png,0\n");
    assert_eq!(place.open().classes, ["0", "1"]);
    assert_eq!(left_out(&place.open()), [("rows whose label is a number below 0, which stands for none", 1)]);
}

#[test]
fn columns_that_some_tables_have() {
    let place = Place::new();
    place.pictures(&["train/1.png", "train/2.png", "test/1.png"]);
    place.write("train/metadata.csv", "file_name,label,patient\n1.png,a,p\n2.png,b,p\n");
    place.write("test/metadata.csv", "file_name,label\n1.png,a\n");
    let set = place.open();
    assert_eq!(set.groups.as_ref().expect("groups"), &["alone: test/1.png", "p", "p"].map(String::from)[..]);
    assert!(
        set.warnings.iter().any(|warning| warning.contains("no column `patient` in test/metadata.csv")),
        "{:?}",
        set.warnings
    );
    // In Parquet.
    let place = Place::new();
    let labels = || Column::new("label".into(), ["a", "b"]);
    let groups = Column::new("group".into(), [Some("g"), None]);
    write(&place.at("train.parquet"), DataFrame::new(2, vec![images(2), labels(), groups]).expect("a table"));
    write(&place.at("test.parquet"), DataFrame::new(2, vec![images(2), labels()]).expect("a table"));
    let set = place.open();
    assert_eq!(set.groups.expect("groups")[2..], ["g".to_string(), "alone: train.parquet#1".into()]);
    assert!(
        set.warnings.iter().any(|warning| warning.contains("no column `group` in test.parquet")),
        "{:?}",
        set.warnings
    );
    // Nothing in a column of groups is no group.
    let place = Place::new();
    let none = Column::new("group".into(), [None::<&str>, None]);
    write(&place.at("a.parquet"), DataFrame::new(2, vec![images(2), labels(), none]).expect("a table"));
    assert!(place.open().groups.is_none());
}

#[test]
fn what_lies_beside_what_was_recognised_is_told() {
    // A table of the folder and one of a part.
    let place = Place::new();
    place.pictures(&["train/1.png", "test/1.png", "test/2.png"]);
    place
        .write("metadata.csv", "file_name,label\ntrain/1.png,a\n")
        .write("test/metadata.csv", "file_name,label\n1.png,b\n");
    let set = place.open();
    assert_eq!(labelled(&set), [("test/1.png", "b"), ("train/1.png", "a")]);
    assert_eq!(sorted_parts(&set), [Some("train".into()), None, Some("test".into())]);
    assert_eq!(left_out(&set), [("pictures that no row names", 1)]);
    // Class folders beside a part with a table.
    let place = Place::new();
    place.pictures(&["train/1.png", "train/2.png", "test/a/1.png", "test/b/1.png"]);
    place.write("train/metadata.csv", "file_name,label\n1.png,a\n2.png,b\n");
    assert_eq!(left_out(&place.open()), [("pictures that no row names", 2)]);
    // A shard without labels, and pictures beside the shards.
    let place = Place::new();
    place.pictures(&["a/1.png", "b/1.png"]);
    let labels = Column::new("label".into(), ["a", "b"]);
    write(&place.at("train.parquet"), DataFrame::new(2, vec![images(2), labels]).expect("a table"));
    write(&place.at("test.parquet"), DataFrame::new(2, vec![images(2)]).expect("a table"));
    let said = said(&place);
    assert!(said.contains("test.parquet is not read: ") && said.contains("a column for the label"), "{said}");
    assert!(said.contains("2 pictures beside the Parquet files are not read, such as a/1.png"), "{said}");
}

#[test]
fn a_column_that_nobody_asked_for_costs_nothing() {
    let place = Place::new();
    let lists = [Series::new("item".into(), [1i64]), Series::new("item".into(), [2i64, 3])];
    let list = Series::new("location".into(), lists).into_column();
    let labels = Column::new("label".into(), ["a", "b"]);
    let pair = df!("x" => [1i64, 2], "y" => [3i64, 4]).expect("a table").into_struct("group".into()).into_column();
    write(&place.at("a.parquet"), DataFrame::new(2, vec![images(2), labels, list, pair]).expect("a table"));
    let set = place.open();
    assert!((set.len(), set.domains.is_none(), set.groups.is_none()) == (2, true, true));
    let said = said(&place);
    assert!(said.contains("the column `location` is not used: it holds a list"), "{said}");
    assert!(said.contains("the column `group` is not used: it holds a struct of x, y"), "{said}");
    // Whoever asks for it is told.
    let wanted = Wanted { domain: Some("location".into()), ..Wanted::default() };
    let record = place.record(&wanted).expect("is recognised");
    let error = datasets::open(place.0.path(), &place.at("cache"), &record).expect_err("is refused").to_string();
    assert!(error.contains("location"), "{error}");
}

#[test]
fn a_few_labels_that_are_none_cost_their_rows() {
    let place = Place::new();
    let labels: Vec<f64> = (0..40).map(|i| if i == 7 { 0.5 } else { f64::from(i % 2) }).collect();
    write(
        &place.at("a.parquet"),
        DataFrame::new(40, vec![images(40), Column::new("label".into(), labels)]).expect("a table"),
    );
    let set = place.open();
    assert_eq!((set.len(), left_out(&set)), (39, vec![("rows whose label is 0.5", 1)]));
}

#[test]
fn a_large_table_of_paths_takes_few_bytes() {
    let n = 3000;
    let place = Place::new();
    place.pictures(&["0.png", "1.png"]);
    let names: Vec<String> = (0..n).map(|i| format!("{}.png", i % 2)).collect();
    let labels: Vec<i64> = (0..n).map(|i| i % 2).collect();
    write(&place.at("metadata.parquet"), df!("file_name" => names, "label" => labels).expect("a table"));
    assert!(fs::metadata(place.at("metadata.parquet")).expect("there").len() < n as u64);
    assert_eq!(labelled(&place.open()), [("0.png", "0"), ("1.png", "1")]);
}

#[test]
fn a_file_under_another_spelling_of_its_name() {
    let place = Place::new();
    place.pictures(&["IMG_0.JPG.png", "IMG_1.PNG", "cafe\u{301}.png", "sub/0.png"]);
    let table = "file_name,label\nIMG_1,a\ncaf\u{e9}.png,b\nsub/0.png,a\nsub/../sub/0.png,a\n./sub/0.png,b\n";
    place.write("metadata.csv", table);
    let set = place.open();
    assert_eq!(labelled(&set), [("IMG_1.PNG", "a"), ("cafe\u{301}.png", "b"), ("sub/0.png", "a")]);
    assert_eq!(left_out(&set), [("pictures that no row names", 1), ("rows that name a picture again", 2)]);
    assert!(set.warnings.iter().any(|warning| warning.contains("stands in two classes")), "{:?}", set.warnings);
}

#[test]
fn a_header_with_the_other_separator_inside_quotes() {
    let place = Place::new();
    place.pictures(&["1.png", "2.png"]);
    place.write("metadata.csv", "file_name,label,\"notes; a; b; c; d\"\n1.png,x,\n2.png,y,fine\n");
    assert_eq!(labelled(&place.open()), [("1.png", "x"), ("2.png", "y")]);
}

/// As Excel writes it; a line that is wrong keeps its number.
#[test]
fn a_table_whose_first_line_is_the_separator() {
    let place = Place::new();
    place.pictures(&["1.png", "2.png"]);
    place.write("metadata.csv", "\u{feff}sep=;\r\nfile_name;label\r\n1.png;x, y\r\n2.png;z\r\n");
    assert_eq!(labelled(&place.open()), [("1.png", "x, y"), ("2.png", "z")]);
    place.write("metadata.csv", "sep=,\nfile_name,label\n1.png,x\n2.png,\"z\n");
    let error = datasets_of(&place).expect_err("a quotation mark that nothing closes");
    assert!(error.contains("metadata.csv:4"), "{error}");
    // A column may be called so.
    place.write("metadata.csv", "sep=,file_name,label\n1,1.png,x\n2,2.png,z\n");
    assert_eq!(labelled(&place.open()), [("1.png", "x"), ("2.png", "z")]);
}

#[test]
fn a_missing_label_that_counts_as_a_class_is_told() {
    let place = Place::new();
    place
        .pictures(&["1.png", "2.png", "3.png"])
        .write("metadata.csv", "file_name,label\n1.png,cat\n2.png,dog\n3.png,nan\n");
    let set = place.open();
    assert_eq!(set.classes.len(), 3);
    assert!(set.warnings.iter().any(|warning| warning.contains("missing label")), "{:?}", set.warnings);
    // Numbers that names of another file do not reach.
    let place = Place::new();
    let named = |names: &str| format!("{{\"info\": {{\"features\": {{\"label\": {{\"names\": [{names}]}}}}}}}}");
    let table =
        |labels: [i64; 2]| DataFrame::new(2, vec![images(2), Column::new("label".into(), labels)]).expect("a table");
    let notes = KeyValueMetadata::from_static(vec![("huggingface".into(), named("\"a\", \"b\""))]);
    ParquetWriter::new(File::create(place.at("a.parquet")).expect("creates"))
        .with_key_value_metadata(Some(notes))
        .finish(&mut table([0, 1]))
        .expect("writes");
    write(&place.at("b.parquet"), table([0, 2]));
    assert!(
        place.error().contains("labels below 2, one for each class name, found 2 at b.parquet#1"),
        "{}",
        place.error()
    );
}

#[test]
fn class_names_beside_pictures_are_those_of_the_tables_metadata() {
    let place = Place::new();
    place.pictures(&["1.png", "2.png", "3.png", "4.png"]);
    let names = r#"{"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}"#;
    let notes = KeyValueMetadata::from_static(vec![("huggingface".into(), names.into())]);
    let columns = vec![
        Column::new("file_name".into(), ["1.png", "2.png", "3.png", "4.png"]),
        Column::new("label".into(), [1i64, 0, 1, -1]),
    ];
    ParquetWriter::new(File::create(place.at("metadata.parquet")).expect("creates"))
        .with_key_value_metadata(Some(notes))
        .finish(&mut DataFrame::new(4, columns).expect("a table"))
        .expect("writes");
    let set = place.open();
    assert_eq!(labelled(&set), [("1.png", "dog"), ("2.png", "cat"), ("3.png", "dog")]);
    assert!(left_out(&set).contains(&("rows without a label", 1)), "{:?}", left_out(&set));
}

#[test]
fn a_label_of_another_type_is_named_with_it() {
    let place = Place::new();
    place.pictures(&["1.png", "2.png"]);
    let lists = [[1i64, 2], [3, 4]].map(|list| Series::new("".into(), list));
    let columns = vec![Column::new("file_name".into(), ["1.png", "2.png"]), Column::new("label".into(), lists)];
    write(&place.at("metadata.parquet"), DataFrame::new(2, columns).expect("a table"));
    assert!(place.error().contains("found the columns file_name; `label` holds a list or map"), "{}", place.error());
}

#[test]
fn a_table_that_names_pictures_elsewhere_is_told() {
    let elsewhere = Place::new();
    elsewhere.pictures(&["private.png"]);
    let place = Place::new();
    place.pictures(&["1.png", "2.png"]);
    let path = elsewhere.at("private.png");
    place.write("metadata.csv", format!("file_name,label\n1.png,a\n2.png,b\n{},a\n", path.display()));
    let set = place.open();
    assert_eq!(set.len(), 3);
    let told = |words: &str| set.warnings.iter().any(|warning| warning.contains(words));
    assert!(told("1 pictures lie outside of the folder, such as") && told("private.png"), "{:?}", set.warnings);
}

#[test]
fn parts_in_another_case_are_one() {
    let place = Place::new();
    place.pictures(&["1.png", "2.png", "3.png"]);
    place.write("metadata.csv", "file_name,label,split\n1.png,a,Train\n2.png,b,train\n3.png,a,test\n");
    let set = place.open();
    assert_eq!(set.parts.as_ref().expect("parts"), &["Train", "Train", "test"]);
}

#[test]
#[cfg(unix)]
fn a_picture_linked_into_two_classes_is_told() {
    let place = Place::new();
    place.pictures(&["cat/1.png", "dog/1.png"]).write("elsewhere", picture(9));
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("one.png"), picture(7)).expect("writes");
    for class in ["cat", "dog"] {
        std::os::unix::fs::symlink(outside.path().join("one.png"), place.at(class).join("both.png")).expect("links");
    }
    let set = place.open();
    assert_eq!(set.len(), 3);
    assert!(
        left_out(&set).contains(&("links to a picture that counts in another folder already", 1)),
        "{:?}",
        set.ignored
    );
}

#[test]
fn what_stands_for_a_missing_value_is_no_number_and_no_unsaid_class() {
    let open = |table: &str| {
        let place = Place::new();
        place.pictures(&["1.png", "2.png", "3.png", "4.png"]).write("metadata.csv", table);
        place.open()
    };
    let told = |set: &datasets::ImageSet, words: &str| set.warnings.iter().any(|warning| warning.contains(words));
    // Words: a class, and told, whichever there are.
    let set = open("file_name,label\n1.png,cat\n2.png,dog\n3.png,NA\n4.png,None\n");
    assert_eq!(set.classes.len(), 4);
    assert!(
        told(&set, "the classes \"NA\", \"None\" are how many programs write a missing label"),
        "{:?}",
        set.warnings
    );
    // Among numbers they are missing, as empty cells are, and do not make words of the others.
    for missing in ["", "NA", "None", "nan", "N/A", "NULL"] {
        let set = open(&format!("file_name,label\n1.png,0\n2.png,1\n3.png,{missing}\n4.png,-1\n"));
        assert_eq!((set.classes.len(), set.len()), (2, 2), "{missing}");
        let left: Vec<&str> = set.ignored.iter().map(|ignored| ignored.reason.as_str()).collect();
        assert!(left.contains(&"rows without a label"), "{missing}: {left:?}");
        assert!(left.iter().any(|reason| reason.contains("below 0")), "{missing}: {left:?}");
    }
    // One number in several spellings is one class, as pandas reads it.
    let set = open("file_name,label\n1.png,1\n2.png,01\n3.png,2\n4.png,1.0\n");
    assert_eq!((set.classes, set.labels), (vec!["1".to_string(), "2".into()], vec![0, 0, 1, 0]));
    // Groups: one that may stand for none stays together, and is told; among numbers it is none.
    let set = open("file_name,label,patient\n1.png,a,P1\n2.png,b,NA\n3.png,a,NA\n4.png,b,P2\n");
    assert_eq!(set.groups.as_ref().map(|groups| groups[1] == groups[2]), Some(true));
    assert!(
        told(&set, "the group \"NA\" is how many programs write a missing one, and its 2 images"),
        "{:?}",
        set.warnings
    );
    let set = open("file_name,label,patient\n1.png,a,1\n2.png,b,NA\n3.png,a,NA\n4.png,b,01\n");
    let groups = set.groups.expect("groups");
    assert!(groups[0] == groups[3] && groups[1] != groups[2], "{groups:?}");
}

#[test]
fn names_that_look_alike_are_told() {
    for (one, other, words) in [
        ("cat", "cat\u{200b}", "look alike or are not seen"),
        ("fish", "\u{fb01}sh", "look alike or are not seen"),
        ("a b", "a  b", "differ in case or space alone"),
        ("Cat", "cat", "differ in case or space alone"),
        ("caf\u{e9}", "cafe\u{301}", "accents"),
    ] {
        let place = Place::new();
        place.pictures(&["1.png", "2.png", "3.png"]);
        place.write("metadata.csv", &format!("file_name,label\n1.png,{one}\n2.png,{other}\n3.png,dog\n"));
        let set = place.open();
        assert!(set.warnings.iter().any(|warning| warning.contains(words)), "{one} {other}: {:?}", set.warnings);
    }
}

#[test]
fn a_quotation_mark_that_nothing_closes_is_an_error_with_its_line() {
    let place = Place::new();
    place.pictures(&["1.png", "2.png", "3.png"]);
    for (table, line) in [
        ("file_name,label\n1.png,cat\n2.png,\"dog\n3.png,cat\n", Some(3)),
        ("file_name,label\r\n\"1.png,cat\r\n2.png,dog\r\n3.png,cat\r\n", Some(2)),
        ("file_name,label\n1.png,\"a \"\"b\"\"\nc\"\n2.png,\"dog\n3.png,cat\n", Some(4)),
        // Marks that are closed, doubled, or inside a cell.
        ("file_name,label\n1.png,\"a \"\"b\"\"\nc\"\n2.png,5\" nail\n3.png,\"dog\"\n", None),
        ("file_name|label\n1.png|cat\n2.png|dog\n3.png|cat\n", None),
    ] {
        place.write("metadata.csv", table);
        match (datasets_of(&place), line) {
            (Ok(n), None) => assert_eq!(n, 3, "{table}"),
            (Err(error), Some(line)) => {
                assert!(error.contains(&format!("metadata.csv:{line}")) && error.contains("closed"), "{error}");
            }
            (found, _) => panic!("{table}: {found:?}"),
        }
    }
}

#[test]
fn a_published_test_is_never_learned_from() {
    let place = Place::new();
    let names = |part: &str, n: usize| -> Vec<String> {
        let classes = ["cat", "dog"];
        classes.iter().flat_map(|class| (0..n).map(move |i| format!("{part}/{class}/{i}.png"))).collect()
    };
    let all = [names("train", 9), names("val", 3), names("test", 4)].concat();
    place.pictures(&all.iter().map(String::as_str).collect::<Vec<_>>());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut project = Project::open(root, "smoke").expect("opens").with_cache(place.at("cache"));
    let id = project.manifests.add_folder(place.0.path()).expect("a folder");
    let encoded = Encoded::open(&project, &id, "pixels.raw", &candle_core::Device::Cpu).expect("encodes");
    let part = |position: &usize| encoded.set.parts.as_ref().expect("parts")[encoded.features.rows[*position]].as_str();
    let parts = encoded.parts(8, 0).expect("draws");
    assert_eq!(parts.test.len(), 8);
    assert!(parts.test.iter().all(|position| part(position) == "test"));
    assert!(!parts.train.is_empty() && !parts.val.is_empty());
    assert!(parts.train.iter().chain(&parts.val).all(|position| part(position) != "test"));
    // It is in the key: rows of pooled images are others.
    let key = |project: &Project, id: &str| {
        let set = project.images(id).expect("opens");
        let encoding = Encoding::of(project, &set, "pixels.raw", &candle_core::Device::Cpu).expect("encodes");
        encoding.shared_key().to_string()
    };
    assert!(key(&project, &id).contains("published test"));
    assert!(!key(&project, "icons").contains("published test"));
}

/// How many pictures a folder opens with, or why it does not.
fn datasets_of(place: &Place) -> Result<usize, String> {
    let recognised = recognise(place.0.path(), &Wanted::default()).map_err(|error| error.to_string())?;
    let cache = tempfile::tempdir().expect("a folder");
    let opened = datasets::open(place.0.path(), cache.path(), &recognised.record);
    opened.map(|set| set.len()).map_err(|error| error.to_string())
}

#[test]
fn a_part_of_another_name_is_told() {
    let place = Place::new();
    place.pictures(&["1.png", "2.png", "3.png", "4.png"]);
    place.write("metadata.csv", "file_name,label,split\n1.png,a,train\n2.png,b,train\n3.png,a,holdout\n4.png,b,test\n");
    let set = place.open();
    let words = "parts whose names say neither train, validation nor test are learned from: `holdout`";
    assert!(set.warnings.iter().any(|warning| warning == words), "{:?}", set.warnings);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_and_what_is_left_out_of_a_folder_is_said() {
    let place = Place::new();
    place.pictures(&["a.png"]).write("b.heic", "x").write("c.txt", "x");
    let pipe = place.0.path().join("pipe.png");
    let make = |path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().expect("runs").success());
    make(&pipe);
    for path in [pipe.as_path(), Path::new("/dev/zero")] {
        let error = datasets::open_pictures("pictures", &[path.to_path_buf()]).expect_err("no file").to_string();
        assert!(error.contains("a pipe, a socket or a device"), "{error}");
    }
    let table = place.0.path().join("t.csv");
    make(&table);
    let error = recognise(&table, &Wanted::default()).expect_err("no file").to_string();
    assert!(error.contains("a pipe, a socket or a device"), "{error}");
    fs::remove_file(table).expect("removes");
    let set = datasets::open_pictures("pictures", &[place.0.path().to_path_buf()]).expect("opens");
    assert_eq!(set.len(), 1);
    let reasons: Vec<&str> = set.ignored.iter().map(|ignored| ignored.reason.as_str()).collect();
    assert!(
        reasons.iter().any(|reason| reason.contains(".heic")) && reasons.contains(&"pipes, sockets or devices"),
        "{reasons:?}"
    );
    fs::remove_file(place.0.path().join("a.png")).expect("removes");
    let error = datasets::open_pictures("pictures", &[place.0.path().to_path_buf()]).expect_err("none").to_string();
    assert!(error.contains(".heic"), "{error}");
}

/// A column that is called as a split may be and is none must not hide the parts that folders and files say: their test would be
/// learned from.
#[test]
fn a_column_that_is_called_as_a_split_and_is_none() {
    let rows = |column: &str, values: [&str; 2]| {
        let [one, other] = values;
        format!("file_name,label,{column}\n1.png,cat,{one}\n2.png,dog,{other}\n")
    };
    for column in ["part", "set", "fold", "Subset"] {
        let place = Place::new();
        place.pictures(&["train/1.png", "train/2.png", "test/1.png", "test/2.png"]);
        place.write("train/metadata.csv", rows(column, ["hand", "foot"]));
        place.write("test/metadata.csv", rows(column, ["foot", "hand"]));
        assert_eq!(sorted_parts(&place.open()), [Some("train".into()), None, Some("test".into())], "{column}");
        let told = format!("the column `{column}` is not taken for the split: none of its values (foot, hand)");
        assert!(said(&place).contains(&told), "{}", said(&place));
    }
    // Where two columns are called so, the one counts that names parts; and where its field is empty, the folder.
    let place = Place::new();
    place.pictures(&["train/1.png", "train/2.png", "test/1.png", "test/2.png"]);
    let table = "file_name,label,part,subset\n1.png,cat,1,\n2.png,dog,2,val\n";
    place.write("train/metadata.csv", table).write("test/metadata.csv", table.replace(",val", ","));
    let set = place.open();
    assert_eq!(sorted_parts(&set), ["train", "val", "test"].map(|part| Some(part.to_string())));
    // In Parquet, the name of the file; a column that is named is taken as it is, and it is said what is not known.
    let place = Place::new();
    for part in ["train", "test"] {
        let columns =
            vec![images(2), Column::new("label".into(), ["cat", "dog"]), Column::new("fold".into(), ["1", "2"])];
        write(&place.at(&format!("{part}-0.parquet")), DataFrame::new_infer_height(columns).expect("a frame"));
    }
    assert_eq!(sorted_parts(&place.open()), [Some("train".into()), None, Some("test".into())]);
    assert!(said(&place).contains("the column `fold` is not taken for the split"), "{}", said(&place));
    let wanted = Wanted { split: Some("fold".into()), ..Wanted::default() };
    let record = place.record(&wanted).expect("is recognised");
    let set = datasets::open(place.0.path(), place.0.path(), &record).expect("opens");
    assert_eq!(sorted_parts(&set), [None, None, None]);
    assert!(set.warnings.iter().any(|warning| warning.contains("are learned from: `1`, `2`")), "{:?}", set.warnings);
}

/// The folders of parts with other words in their names count where a table names the pictures too.
#[test]
fn parts_with_other_words_of_pictures_that_a_table_names() {
    let place = Place::new();
    place.pictures(&["train2017/1.png", "train2017/2.png", "test2017/3.png"]);
    let table = "file_name,label\ntrain2017/1.png,cat\ntrain2017/2.png,dog\ntest2017/3.png,cat\n";
    place.write("metadata.csv", table);
    assert_eq!(sorted_parts(&place.open()), [Some("train2017".into()), None, Some("test2017".into())]);
    // Not where a picture lies elsewhere, or the classes are others.
    place.pictures(&["more/4.png"]).write("metadata.csv", format!("{table}more/4.png,cat\n"));
    assert!(place.open().parts.is_none());
    place.write("metadata.csv", table.replace("3.png,cat", "3.png,bird"));
    assert!(place.open().parts.is_none());
}

/// What belongs together is not taken apart by how it was typed.
#[test]
fn a_group_in_several_spellings_is_one() {
    let names = ["P1", "p1", " P1 ", "Caf\u{e9}", "Cafe\u{301}", "p2"];
    let one = |set: &datasets::ImageSet| {
        let groups = set.groups.clone().expect("groups");
        assert_eq!(groups[..3], ["P1", "P1", "P1"]);
        assert!(groups[3] == groups[4] && groups[5] == "p2", "{groups:?}");
        let told = |warning: &String| warning.starts_with("2 of the groups in another spelling count as one");
        assert!(set.warnings.iter().any(told), "{:?}", set.warnings);
    };
    let place = Place::new();
    let files: Vec<String> = (0..names.len()).map(|i| format!("{i}.png")).collect();
    place.pictures(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let rows =
        files.iter().zip(names).map(|(file, name)| format!("{file},{},{name}\n", ["cat", "dog"][file.len() % 2]));
    place.write("metadata.csv", format!("file_name,label,patient\n{}", rows.collect::<String>()));
    one(&place.open());
    let place = Place::new();
    let labels = Column::new("label".into(), ["cat", "dog", "cat", "dog", "cat", "dog"]);
    let columns = vec![images(6), labels, Column::new("patient".into(), names)];
    write(&place.at("all.parquet"), DataFrame::new_infer_height(columns).expect("a frame"));
    one(&place.open());
    // An empty text is no group, also in Parquet.
    let place = Place::new();
    let labels = Column::new("label".into(), ["cat", "dog", "cat"]);
    let columns = vec![images(3), labels, Column::new("group".into(), ["", " ", "a"])];
    write(&place.at("all.parquet"), DataFrame::new_infer_height(columns).expect("a frame"));
    let groups = place.open().groups.expect("groups");
    assert!(groups[0] != groups[1] && groups[0].starts_with("alone: ") && groups[2] == "a", "{groups:?}");
}

/// A table of several labels per picture: one line for all of them.
#[test]
fn many_second_classes_are_told_in_one_line() {
    let place = Place::new();
    place.pictures(&["1.png", "2.png"]);
    place.write("metadata.csv", "file_name,label\n1.png,cat\n1.png,dog\n2.png,dog\n2.png,cat\n2.png,bird\n");
    let warnings = place.open().warnings;
    let told: Vec<_> = warnings.iter().filter(|warning| warning.contains("the first counts")).collect();
    assert_eq!(told, ["3 rows give a picture another class, such as 1.png in `cat` and `dog`; the first counts"]);
}

/// Groups of which a part is learned from and a part is the published test are told; groups on one side are not.
#[test]
fn groups_on_both_sides_of_a_published_test_are_told() {
    let open = |last: &str| {
        let place = Place::new();
        let table = format!(
            "file_name,label,patient,split\n1.png,a,P1,train\n2.png,b,P2,train\n3.png,a,P3,test\n4.png,b,{last},test\n"
        );
        place.pictures(&["1.png", "2.png", "3.png", "4.png"]).write("metadata.csv", &table);
        place.open().warnings
    };
    let told = "1 of 2 groups in the published test have images outside of it too, the first `P2`";
    assert!(open("P2").iter().any(|warning| warning.contains(told)), "{:?}", open("P2"));
    assert!(!open("P4").iter().any(|warning| warning.contains("published test")), "{:?}", open("P4"));
}
