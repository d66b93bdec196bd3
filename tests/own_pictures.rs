//! A reader's own folder as a data set of a project: the shortest record, counts that are held to, and what is too small.

use std::fs;
use std::path::Path;
use wider_clip::images::encode_png;
use wider_clip::manifest::Method;
use wider_clip::prelude::*;

/// A project with one data set, `mine`, of so many pictures per class; no two are alike.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(classes: &[(&str, usize)]) -> Place {
        let place = Place { folder: tempfile::tempdir().expect("a folder") };
        let manifests = place.folder.path().join("data_manifests");
        for kind in ["datasets", "models", "suites"] {
            fs::create_dir_all(manifests.join(kind)).expect("makes a folder");
        }
        let model = "data_manifests/models/pixels.raw.toml";
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(model), place.folder.path().join(model)).expect("copies");
        let suite = "id = \"default\"\ndescription = \"One set.\"\ndatasets = [\"mine\"]\nmodels = [\"pixels.raw\"]\n\
                     methods = [\"knn\"]\nbudgets = [10]\nseeds = [0]\n";
        fs::write(manifests.join("suites/default.toml"), suite).expect("writes");
        for (c, (class, n)) in classes.iter().enumerate() {
            let class = place.folder.path().join("pictures").join(class);
            fs::create_dir_all(&class).expect("makes a folder");
            for i in 0..*n {
                let pixel = wider_clip::image::Rgb([c as u8 * 40, i as u8, 7]);
                let image = encode_png(&wider_clip::image::RgbImage::from_pixel(8, 8, pixel)).expect("encodes");
                fs::write(class.join(format!("{i}.png")), image).expect("writes");
            }
        }
        place
    }

    fn project(&self, record: &str) -> Result<Project> {
        let file = self.folder.path().join("data_manifests/datasets/mine.toml");
        fs::write(file, format!("{record}\n")).expect("writes");
        Ok(Project::open(self.folder.path(), "default")?.with_cache(self.folder.path().join("cache")))
    }

    fn open(&self, record: &str) -> Result<ImageSet> {
        self.project(record)?.images("mine")
    }

    fn error(&self, record: &str) -> String {
        self.open(record).expect_err("is refused").to_string()
    }

    fn encoded(&self) -> Encoded {
        Encoded::open(&self.project(SHORTEST).expect("a project"), "mine", "pixels.raw", &Device::Cpu).expect("encodes")
    }
}

const SHORTEST: &str = "[source.folder]\npath = \"pictures\"";

#[test]
fn a_source_is_all_that_a_record_needs() {
    let place = Place::new(&[("cat", 20), ("dog", 15)]);
    let project = place.project(SHORTEST).expect("a project");
    let record = project.manifests.dataset("mine").expect("known");
    assert_eq!(
        (record.name.as_str(), record.licence.as_str(), record.split.pool.as_str()),
        ("mine", "not stated", "all")
    );
    let encoded = place.encoded();
    let parts = encoded.parts(10, 0).expect("draws");
    assert_eq!((parts.train.len(), parts.test.len(), parts.budget), (14, 17, 10));
    encoded.predict(Method::Knn, &parts).expect("predicts");
    // The whole catalogue can be shown.
    let table = wider_clip::display::datasets_table(&project).to_text();
    assert!(table.contains("mine") && table.contains("folder pictures"), "{table}");
    // Anywhere on this machine.
    let path = place.folder.path().join("x/../pictures").display().to_string();
    fs::create_dir(place.folder.path().join("x")).expect("makes a folder");
    assert_eq!(place.open(&format!("[source.folder]\npath = \"{path}\"")).expect("opens").len(), 35);
    assert!(place.error("[source.folder]\npath = \" \"").contains("`source.folder.path` to be a folder"));
}

#[test]
fn counts_of_a_record_are_held_against_the_pictures() {
    let place = Place::new(&[("cat", 4), ("dog", 3), ("eel", 3)]);
    let right = "[split]\ntotal = 10\nclasses = 3\nsmallest_class = 3\nper_class = { cat = 4, dog = 3, eel = 3 }";
    assert_eq!(place.open(&format!("{SHORTEST}\n{right}")).expect("opens").len(), 10);
    for (split, expected) in [
        ("total = 5\nclasses = 7", "`split.total` in the record of mine to be 10, or left out, found 5"),
        ("classes = 7", "`split.classes` in the record of mine to be 3, or left out, found 7"),
        ("smallest_class = 4", "`split.smallest_class` in the record of mine to be 3, or left out, found 4"),
        ("per_class = 4", "`split.per_class of `dog`` in the record of mine to be 3"),
        (
            "per_class = { cat = 4, dog = 2, eel = 3 }",
            "`split.per_class.dog` in the record of mine to be 3, or left out, found 2",
        ),
        ("per_class = { cat = 4, dog = 3, fox = 3 }", "`split.per_class.eel` in the record of mine to be 3"),
        ("balance = 3\ntotal = 10", "`split.total` in the record of mine to be 9"),
    ] {
        let error = place.error(&format!("{SHORTEST}\n[split]\n{split}"));
        assert!(error.contains(expected), "{error}\nlacks\n{expected}");
    }
    // Of official parts, too.
    let place = Place::new(&[("train/cat", 4), ("train/dog", 3), ("test/cat", 2), ("test/dog", 2)]);
    let split = |total: usize, test: usize| {
        format!(
            "{SHORTEST}\n[split]\npool = \"train\"\ntotal = {total}\nclasses = 2\nrule = \"study_capped\"\n\
             id_test = {{ name = \"test\", total = {test} }}"
        )
    };
    assert_eq!(place.open(&split(7, 4)).expect("opens").len(), 11);
    assert!(place.error(&split(7, 5)).contains("`split.id_test.total` in the record of mine to be 4"));
    assert!(place.error(&split(11, 4)).contains("`split.total` in the record of mine to be 7"));
}

#[test]
fn what_is_too_small_names_data_set_class_and_budget() {
    let parts = |classes: &[(&str, usize)], budget: usize| Place::new(classes).encoded().parts(budget, 0);
    for (classes, budget, expected) in [
        (
            &[("cat", 20)][..],
            10,
            "classes: expected at least 2 in the images that mine is split from, for a label budget of 10; add images of another class, found one, `cat`",
        ),
        (
            &[("cat", 1), ("dog", 1)],
            10,
            "images per class: expected at least 3 in every class of mine for a label budget of 10; add images, or leave the class out, found 1 in `cat`",
        ),
        (&[("cat", 20), ("dog", 2)], 10, "found 2 in `dog`"),
        (&[("cat", 20), ("dog", 20)], 1, "label budget: expected at least 2 for mine"),
    ] {
        let error = parts(classes, budget).expect_err("too small").to_string();
        assert!(error.contains(expected), "{error}\nlacks\n{expected}");
    }
    let encoded = Place::new(&[("cat", 3), ("dog", 3)]).encoded();
    let parts = encoded.parts(10, 0).expect("draws");
    assert_eq!(parts.train.len(), 2);
    let error = encoded.predict(Method::Knn, &parts).expect_err("too small").to_string();
    let expected = "training images: expected at least 5 in mine for `knn`, which votes among so many; add images, take a \
                    larger budget, or leave the method out of the suite, found 2 at a label budget of 10; the smallest \
                    class, `cat`, has 3 images";
    assert_eq!(error, expected);
    encoded.predict(Method::Lr, &parts).expect("the others go on");
}
