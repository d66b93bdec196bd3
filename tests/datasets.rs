//! Data sets: the embedded Parquet as its manifests say, class folders, and what is wrong with bad ones.

use std::fs;
use std::path::Path;
use wider_clip::images::{decode, encode_png};
use wider_clip::manifest::PerClass;
use wider_clip::prelude::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn png(side: u32) -> Vec<u8> {
    encode_png(&wider_clip::image::RgbImage::new(side, side)).expect("encodes")
}

#[test]
fn embedded_sets_hold_what_their_manifests_say() {
    let project = Project::open(root(), "default").expect("opens");
    for id in ["openemoji", "icons"] {
        let record = project.manifests.dataset(id).expect("known");
        let set = project.images(id).expect("opens");
        assert_eq!(
            (set.len(), set.classes.len()),
            (record.split.total.expect("counted"), record.split.classes.expect("counted")),
            "{id}"
        );
        let Some(PerClass::Each(counts)) = &record.split.per_class else { panic!("{id}: counts a class") };
        for (class, found) in set.classes.iter().zip(set.class_counts()) {
            assert_eq!(counts.get(class), Some(&found), "{id}: {class}");
        }
        let domains = set.domains.as_ref().expect("styles");
        for held in &record.split.ood_domains {
            assert!(domains.contains(held), "{id}: {held}");
        }
        let groups = set.groups.as_ref().expect("groups");
        let mut label_of = std::collections::HashMap::new();
        for (group, label) in groups.iter().zip(&set.labels) {
            assert_eq!(label_of.entry(group).or_insert(label), &label, "{id}: group {group} has two labels");
        }
        for row in [0, set.len() / 2, set.len() - 1] {
            let bytes = set.read(row..row + 1).expect("reads").remove(0).expect("an image");
            let image = decode(&set.ids[row], &bytes).expect("decodes");
            assert_eq!(image.dimensions(), (64, 64));
        }
    }
}

#[test]
fn rows_are_read_across_any_range() {
    let set = Project::open(root(), "default").and_then(|project| project.images("icons")).expect("opens");
    let whole = set.read(500..530).expect("reads");
    for (i, image) in whole.iter().enumerate() {
        let alone = set.read(500 + i..501 + i).expect("reads").remove(0).expect("an image");
        assert_eq!(image.as_ref().expect("an image"), &alone);
    }
    let error = set.read(set.len()..set.len() + 1).expect_err("past the end");
    assert!(error.to_string().contains("a range within"), "{error}");
}

#[test]
fn class_folders_are_read_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let strange = ["<script>alert(1)<", "a \"quoted\" class", "emoji 🐈", "one"];
    for (i, class) in strange.iter().enumerate() {
        let class = folder.path().join(class.replace('/', "_"));
        fs::create_dir(&class).expect("makes a folder");
        for k in 0..=i {
            fs::write(class.join(format!("{k}.png")), png(8)).expect("writes");
        }
        fs::write(class.join("notes.txt"), "no image").expect("writes");
    }
    let set = open_folder(folder.path()).expect("opens");
    assert_eq!((set.len(), set.classes.len()), (10, 4));
    let counts: std::collections::BTreeMap<_, _> = set.classes.iter().zip(set.class_counts()).collect();
    assert_eq!(counts[&"emoji 🐈".to_string()], 3);
    let page = Gallery::of_classes(&set, 4, 2).expect("draws").to_html();
    assert!(!page.contains("<script>") && page.contains("&lt;script&gt;alert(1)&lt;"), "{page}");
    // Another picture in a file is another data set.
    let before = set.data_sha256;
    fs::write(folder.path().join("one").join("0.png"), png(9)).expect("writes");
    assert_ne!(open_folder(folder.path()).expect("opens").data_sha256, before);
}

#[test]
fn a_folder_without_images_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let says = |words: &str| {
        let error = open_folder(folder.path()).expect_err("nothing there").to_string();
        assert!(error.contains(words) && error.contains(&folder.path().display().to_string()), "{error}");
    };
    says("class folders that hold images");
    fs::create_dir(folder.path().join("empty")).expect("makes a folder");
    says("in every class folder");
    let missing = open_folder(&folder.path().join("nowhere")).expect_err("not there").to_string();
    assert!(missing.contains("nowhere") && missing.contains("listing"), "{missing}");
}

#[test]
fn tables_show_as_many_decimals_as_a_column_needs() {
    let frame: DataFrame = df!("name" => ["a", "b", "c"], "whole" => [90.0, 6.0, 0.0], "half" => [6.5, 100.0, 0.0],
        "all" => [0.12345, 1.0, 2.0], "some" => [Some(2.25), None, Some(10.0)])
    .expect("a table");
    let table = Table::from_frame("", &frame).expect("a table");
    let column = |i: usize| table.rows.iter().map(|row| row[i].text.as_str()).collect::<Vec<_>>();
    assert_eq!(column(1), ["90", "6", "0"]);
    assert_eq!(column(2), ["6.5", "100.0", "0.0"]);
    assert_eq!(column(3), ["0.1235", "1.0000", "2.0000"]);
    assert_eq!(column(4), ["2.25", "–", "10.00"]);
}

#[test]
fn tables_escape_what_they_show() {
    let long = "x".repeat(10_000);
    let frame: DataFrame = df!("name" => ["<script>", "\"&'", long.as_str()], "n" => [1, 2, 3]).expect("a table");
    let table = Table::from_frame("<b>", &frame).expect("a table");
    let html = table.to_html();
    assert!(!html.contains("<script>") && !html.contains("<b>") && html.contains("&lt;script&gt;"), "{html:.300}");
    assert!(html.contains("&quot;&amp;&#39;"));
    assert!(table.to_text().lines().all(|line| line.chars().count() < 100));
}
