//! Maps: the pictures of a sprite sheet, the link from points to them, labels that try to break the page, and
//! clusterings compared.

use serde_json::Value;
use std::fs;
use std::path::Path;
use wider_clip::image::{Rgb, RgbImage};
use wider_clip::images::{decode, encode_png, thumbnail};
use wider_clip::prelude::*;
use wider_clip::results::{Cell as Work, Made, Score};

fn project() -> Project {
    Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "default").expect("opens")
}

/// A set of class folders, with the images of each class in order.
fn folder_set(classes: &[(&str, Vec<RgbImage>)]) -> (tempfile::TempDir, ImageSet) {
    let folder = tempfile::tempdir().expect("a folder");
    for (class, images) in classes {
        fs::create_dir(folder.path().join(class)).expect("creates");
        for (number, image) in images.iter().enumerate() {
            let path = folder.path().join(class).join(format!("{number:03}.png"));
            fs::write(path, encode_png(image).expect("encodes")).expect("writes");
        }
    }
    let set = open_folder(folder.path()).expect("opens");
    (folder, set)
}

fn plain(side: u32, colour: [u8; 3]) -> RgbImage {
    RgbImage::from_pixel(side, side, Rgb(colour))
}

fn assert_near(found: &Rgb<u8>, expected: [u8; 3], what: &str) {
    let near = found.0.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 10);
    assert!(near, "{what}: {:?} instead of {expected:?}", found.0);
}

#[test]
fn every_image_of_a_sheet_stands_in_its_place() {
    let colours = [[200, 30, 30], [30, 160, 40], [40, 60, 200], [230, 200, 40], [120, 40, 150]];
    let (_folder, set) = folder_set(&[("one", colours.map(|colour| plain(20, colour)).to_vec())]);
    let rows = [4, 0, 3, 1, 2];
    let sheet = SpriteSheet::new(&set, &rows, 8).expect("a sheet");
    let picture = decode("sheet", sheet.bytes()).expect("decodes");
    assert_eq!(picture.dimensions(), (24, 16), "three to a line");
    assert_eq!(sheet.rows(), rows);
    assert_eq!((sheet.place(0), sheet.place(2), sheet.place(3)), ((0, 0), (16, 0), (0, 8)));
    for (index, &row) in rows.iter().enumerate() {
        let (left, top) = sheet.place(index);
        for (x, y) in [(0, 0), (7, 7), (4, 4)] {
            assert_near(picture.get_pixel(left + x, top + y), colours[row], &format!("image {index}"));
        }
    }
    assert_near(picture.get_pixel(20, 12), [255; 3], "the empty place");
    let json: Value = serde_json::from_str(&sheet.to_json()).expect("JSON");
    assert_eq!((json["side"].as_u64(), json["columns"].as_u64(), json["count"].as_u64()), (Some(8), Some(3), Some(5)));
    assert_eq!(json["id"], sheet.id());
    assert!(json["image"].as_str().expect("text").starts_with("data:image/jpeg;base64,"));
    let other = SpriteSheet::new(&set, &[0, 4, 3, 1, 2], 8).expect("a sheet");
    assert_ne!(other.id(), sheet.id(), "other images, other id");
}

#[test]
fn wide_images_stand_in_the_middle_and_grey_sheets_are_png() {
    let wide = RgbImage::new(64, 16);
    let (_folder, set) = folder_set(&[("one", vec![wide, plain(16, [100; 3])])]);
    let sheet = SpriteSheet::new(&set, &[0, 1], 32).expect("a sheet");
    assert!(sheet.to_json().contains("data:image/png;base64,"));
    let picture = decode("sheet", sheet.bytes()).expect("decodes");
    assert_near(picture.get_pixel(16, 4), [255; 3], "above the wide image");
    assert_near(picture.get_pixel(16, 16), [0; 3], "the wide image");
    assert_near(picture.get_pixel(32 + 4, 16), [255; 3], "beside the small image, which is not enlarged");
    assert_near(picture.get_pixel(32 + 16, 16), [100; 3], "the small image");
}

#[test]
fn far_and_near_rows_of_a_shipped_set_are_found() {
    let set = project().images("icons").expect("opens");
    let rows = [700, 0, 3, 130, 131, 64, 1500];
    let sheet = SpriteSheet::new(&set, &rows, 32).expect("a sheet");
    let picture = decode("sheet", sheet.bytes()).expect("decodes");
    for (index, &row) in rows.iter().enumerate() {
        let bytes = set.read(row..row + 1).expect("reads").remove(0).expect("an image");
        let expected = thumbnail(&decode("icon", &bytes).expect("decodes"), 32);
        let (left, top) = sheet.place(index);
        for (x, y, pixel) in expected.enumerate_pixels() {
            assert_near(picture.get_pixel(left + x, top + y), pixel.0, &format!("row {row}"));
        }
    }
}

#[test]
fn a_sheet_of_icons_is_small() {
    let set = project().images("icons").expect("opens");
    let rows: Vec<usize> = (0..1_000).collect();
    let size = SpriteSheet::new(&set, &rows, 32).expect("a sheet").to_json().len();
    assert!(size <= 500_000, "{size} bytes");
}

#[test]
fn too_many_images_and_bad_sides_are_errors_that_say_so() {
    let (_folder, set) = folder_set(&[("one", vec![plain(4, [9, 8, 7])])]);
    let many = vec![0; 2_001];
    let error = SpriteSheet::new(&set, &many, 32).expect_err("too many").to_string();
    assert!(error.contains("2,000") && error.contains("2,001") && error.contains("sample"), "{error}");
    let error = MapChart::by_class("t", &set, &many, &vec![[0.0; 2]; 2_001]).expect_err("too many").to_string();
    assert!(error.contains("2,000") && error.contains("2,001"), "{error}");
    assert!(SpriteSheet::new(&set, &[], 32).is_err());
    assert!(SpriteSheet::new(&set, &[0], 12).expect_err("a side").to_string().contains("multiple of 8"));
    assert!(SpriteSheet::new(&set, &[1], 32).expect_err("a row").to_string().contains("rows below 1"));
    assert!(MapChart::by_class("t", &set, &[0], &[]).expect_err("no points").to_string().contains("1, one a row"));
    assert!(MapChart::by_class("t", &set, &[0], &[[f64::NAN, 0.0]]).is_err());
    assert!(MapChart::by_domain("t", &set, &[0], &[[0.0; 2]]).expect_err("none").to_string().contains("domains"));
}

#[test]
fn samples_are_ascending_and_the_same_again() {
    let sample = SpriteSheet::sample(10_000, 1);
    assert!(sample.len() == 2_000 && sample.is_sorted_by(|a, b| a < b) && sample[1_999] < 10_000);
    assert_eq!(sample, SpriteSheet::sample(10_000, 1));
    assert_ne!(sample, SpriteSheet::sample(10_000, 2));
}

#[test]
fn points_lead_to_their_images() {
    let images = |n: u8| (0..n).map(|i| plain(4, [i, 100, 0])).collect::<Vec<_>>();
    let (_folder, set) = folder_set(&[("a", images(3)), ("b", images(2)), ("c", images(4))]);
    let rows = [8, 0, 5, 1, 3];
    let points: Vec<[f64; 2]> = rows.iter().map(|&row| [row as f64, -(row as f64)]).collect();
    // The sheet holds more images than the map, in another order.
    let sheet = SpriteSheet::new(&set, &[0, 1, 2, 3, 4, 5, 6, 7, 8], 8).expect("a sheet");
    let map =
        MapChart::by_class("A map", &set, &rows, &points).and_then(|map| map.with_sprites(&sheet)).expect("a map");
    let json: Value = serde_json::from_str(&map.to_json()).expect("JSON");
    assert_eq!(json["layout"]["meta"]["sprites"], sheet.id());
    assert_eq!(json["layout"]["yaxis"]["scaleanchor"], "x");
    assert_eq!(json["layout"]["xaxis"]["title"]["text"], "UMAP 1");
    let mut found = 0;
    for trace in json["data"].as_array().expect("traces") {
        for (i, index) in trace["customdata"].as_array().expect("indices").iter().enumerate() {
            let row = sheet.rows()[index.as_u64().expect("a number") as usize];
            assert_eq!((trace["x"][i].as_f64(), trace["y"][i].as_f64()), (Some(row as f64), Some(-(row as f64))));
            assert_eq!(trace["name"], set.classes[set.labels[row] as usize]);
            found += 1;
        }
    }
    assert_eq!(found, rows.len());
    assert_eq!(map.to_text(), "A map\n5 points, 3 classes: a 2, c 2, b 1");
    let fewer = SpriteSheet::new(&set, &[0, 1], 8).expect("a sheet");
    let error = map.with_sprites(&fewer).expect_err("images are missing").to_string();
    assert!(error.contains("none of row 8"), "{error}");
}

#[test]
fn labels_are_escaped() {
    let (_folder, set) = folder_set(&[("<script>alert(1)<", vec![plain(4, [0; 3])])]);
    let map = MapChart::by_class("<b>title", &set, &[0], &[[0.5, 1.0]]).expect("a map");
    let json: Value = serde_json::from_str(&map.to_json()).expect("JSON");
    assert_eq!(json["data"][0]["hovertext"][0], "&lt;script&gt;alert(1)&lt;");
    assert_eq!(json["layout"]["title"]["text"], "&lt;b&gt;title");
    assert!(!map.to_json().contains("<script"));
    assert!(json["layout"]["meta"].is_null() && json["data"][0]["customdata"].is_null(), "no sheet, no link");
}

#[test]
fn of_many_classes_the_largest_have_a_colour() {
    let names: Vec<String> = (1..=14).map(|n| format!("class {n:02}")).collect();
    let classes: Vec<(&str, Vec<RgbImage>)> =
        names.iter().enumerate().map(|(n, name)| (name.as_str(), vec![plain(4, [0; 3]); n + 1])).collect();
    let (_folder, set) = folder_set(&classes);
    let rows: Vec<usize> = (0..set.len()).collect();
    let map = MapChart::by_class("Many", &set, &rows, &vec![[0.0; 2]; rows.len()]).expect("a map");
    let names = |map: &MapChart| -> Vec<String> {
        let json: Value = serde_json::from_str(&map.to_json()).expect("JSON");
        let traces = json["data"].as_array().expect("traces");
        traces.iter().map(|trace| trace["name"].as_str().expect("a name").to_string()).collect()
    };
    let drawn = names(&map);
    assert_eq!((drawn.len(), drawn[0].as_str(), drawn[1].as_str()), (13, "2 other classes", "class 03"));
    assert_eq!(drawn[12], "class 14", "the largest is drawn last and comes first in the legend");
    assert!(map.to_text().ends_with("2 other classes 3"), "{}", map.to_text());
    let chosen = map.clone().highlight(&["class 01", "class 14", "class 01"]).expect("known");
    assert_eq!(names(&chosen), ["12 other classes", "class 14", "class 01"]);
    let error = map.clone().highlight(&["class 99"]).expect_err("unknown").to_string();
    assert!(error.contains("class 99") && error.contains("class 01"), "{error}");
    assert!(map.highlight(&["class 01"; 13]).is_err());
}

#[test]
fn domains_and_other_categories_colour_a_map() {
    let set = project().images("icons").expect("opens");
    let rows: Vec<usize> = (0..set.len()).step_by(40).collect();
    let points = vec![[0.0; 2]; rows.len()];
    let map = MapChart::by_domain("Styles", &set, &rows, &points).expect("a map");
    assert!(!map.to_text().contains("other domains"), "{}", map.to_text());
    let clusters: Vec<String> = (0..rows.len()).map(|i| format!("cluster {}", i % 3)).collect();
    let map = MapChart::new("Clusters", &set, &rows, &points, "clusters", &clusters).expect("a map");
    assert!(map.to_text().contains("3 clusters: cluster 0"), "{}", map.to_text());
    let json: Value = serde_json::from_str(&map.to_json()).expect("JSON");
    assert!(json["data"][0]["hovertext"][0].as_str().expect("text").ends_with("<br>cluster 2"), "{json}");
}

fn ari(dataset: &str, split: &str, model: &str, method: &str, seed: u64, value: f64) -> ResultRow {
    let cell = Work {
        table: "clustering".into(),
        dataset: dataset.into(),
        model: model.into(),
        method: method.into(),
        budget: None,
        seed,
        pooling: "default".into(),
        protocol: "all".into(),
        subset: "all".into(),
        device: "cpu".into(),
        key: "0".into(),
    };
    let (split, metric) = (split.into(), "ari".into());
    let score = Score {
        split,
        metric,
        value: Some(value),
        n_train: 0,
        n_test: 90,
        warning: String::new(),
        weights: String::new(),
    };
    ResultRow::new(cell, score, Made::here())
}

fn clusterings() -> Vec<ResultRow> {
    vec![
        ari("icons", "all", "pixels.raw", "umap_kmeans", 0, 0.5),
        ari("icons", "all", "pixels.raw", "umap_kmeans", 1, 0.7),
        ari("icons", "all", "pixels.raw", "kmeans", 0, 0.25),
        ari("icons", "all", "vit_tiny.random", "umap_kmeans", 0, 0.1),
        ari("fmow", "ood", "vit_tiny.random", "umap_kmeans", 0, 0.2),
    ]
}

#[test]
fn the_table_of_clusterings_has_a_column_with_umap_and_one_without() {
    let project = project();
    let table = ari_table(&project, &clusterings()).expect("a table");
    assert_eq!(table.header, ["model", "fmow OOD, UMAP", "icons, UMAP", "icons, no UMAP"]);
    let text = |row: usize| table.rows[row].iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>();
    // Student's t with one degree of freedom: 0.6 +- 12.7062 x 0.1.
    assert_eq!(text(0), ["Raw pixels", "–", "0.600 [-0.671, 1.871]", "0.250"]);
    assert_eq!(text(1)[1..], ["0.200", "0.100", "–"]);
    assert!(table.rows[0][2].best && !table.rows[1][2].best && table.rows[1][1].best);
    assert!(ari_table(&project, &[]).expect("a table").rows.is_empty());
}

#[test]
fn the_chart_of_clusterings_has_one_legend_entry_a_model() {
    let chart = ari_chart(&project(), &clusterings()).expect("a chart");
    let json: Value = serde_json::from_str(&chart.to_json()).expect("JSON");
    let traces = json["data"].as_array().expect("traces");
    assert_eq!(traces.len(), 3);
    assert_eq!(traces.iter().filter(|trace| trace["showlegend"] == true).count(), 2);
    let symbol = |trace: &Value| trace["marker"]["symbol"].as_str().expect("a symbol").to_string();
    assert_eq!(traces[1]["marker"]["color"], traces[0]["marker"]["color"]);
    assert_eq!(symbol(&traces[1]), format!("{}-open", symbol(&traces[0])));
    assert_eq!(traces[0]["hovertext"][0], "Raw pixels, UMAP<br>icons: 0.600 [-0.671, 1.871]");
    assert_eq!(json["layout"]["xaxis"]["ticktext"], serde_json::json!(["fmow OOD", "icons"]));
    assert!(chart.to_text().contains("icons, no UMAP: Raw pixels 0.250;"), "{}", chart.to_text());
}

#[test]
fn the_studys_ranking_is_there() {
    let table = published_ranking_table(&project()).expect("a table");
    assert_eq!((table.header.len(), table.rows.len()), (11, 9));
    assert_eq!(table.header[..4], ["rank", "dtd", "fgvc_aircraft", "flowers102"]);
    assert!(table.header.iter().any(|name| name == "fmow OOD"));
    let first: Vec<&str> = table.rows[0][..3].iter().map(|cell| cell.text.as_str()).collect();
    assert_eq!(first, ["1", "CLIP 0.364", "CLIP 0.147"]);
    assert!(table.rows.iter().all(|row| row.iter().all(|cell| cell.text != "–")));
}
