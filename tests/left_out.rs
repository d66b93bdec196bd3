//! One data set that cannot be used leaves the others of a suite running, and is named.

use std::fs;
use std::path::Path;
use wider_clip::datasets::{OPENED_VARIABLE, still_stands};
use wider_clip::experiments::shipping;
use wider_clip::image::{Rgb, RgbImage};
use wider_clip::images::encode_png;
use wider_clip::prelude::*;
use wider_clip::results::left_out_in;

fn classes(folder: &Path, each: u32) {
    for class in ["even", "odd"] {
        fs::create_dir_all(folder.join(class)).expect("makes a folder");
        for i in 0..each {
            let shade = (i * 5) as u8 + if class == "even" { 0 } else { 90 };
            let drawing = RgbImage::from_fn(8, 8, |x, y| Rgb([shade, (x * 9) as u8, (y * 7 + i) as u8]));
            fs::write(folder.join(class).join(format!("{i}.png")), encode_png(&drawing).expect("encodes"))
                .expect("writes");
        }
    }
}

/// A project of the folders `good` (40 images a class), `tiny` (3) and `missing`.
fn project(root: &Path, datasets: &[&str], budgets: &str) -> Project {
    let manifests = root.join("data_manifests");
    for kind in ["datasets", "models", "suites"] {
        fs::create_dir_all(manifests.join(kind)).expect("makes a folder");
    }
    let model = "data_manifests/models/pixels.raw.toml";
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(model), root.join(model)).expect("copies");
    classes(&root.join("good"), 40);
    classes(&root.join("tiny"), 3);
    for (id, total) in [("good", 80), ("tiny", 6), ("missing", 80)] {
        let text = format!(
            "id = \"{id}\"\nname = \"{id}\"\ndescription = \"A test's.\"\nlicence = \"MIT\"\nhomepage = \"none\"\n\
             citation = \"this test\"\n[source.folder]\npath = \"{id}\"\n[columns]\nimage = \"image\"\nlabel = \"label\"\n\
             [split]\npool = \"all\"\ntotal = {total}\nclasses = 2\nrule = \"study\"\nbudgets = [10]\n"
        );
        fs::write(manifests.join(format!("datasets/{id}.toml")), text).expect("writes");
    }
    let suite = format!(
        "id = \"default\"\ndescription = \"A test's.\"\ndatasets = {datasets:?}\nmodels = [\"pixels.raw\"]\n\
         methods = [\"knn\"]\nbudgets = {budgets}\nseeds = [0]\n"
    );
    fs::write(manifests.join("suites/default.toml"), suite).expect("writes");
    Project::open(root, "default").expect("opens").with_cache(root.join("cache"))
}

#[test]
fn what_cannot_be_had_is_named_and_the_rest_is_there() {
    let (root, log) = (tempfile::tempdir().expect("a folder"), tempfile::NamedTempFile::new().expect("a file"));
    // SAFETY: no other thread of this file reads the environment: it has one test.
    unsafe { std::env::set_var(OPENED_VARIABLE, log.path()) };
    let project_of = |datasets: &[&str], budgets: &str| project(root.path(), datasets, budgets);
    let left = |project: &Project| left_out_in(&project.current_folder().expect("a suite")).expect("reads");
    let run = |project: &Project| representations::run(project, &Device::Cpu);

    let alone = run(&project_of(&["good"], "[10]")).expect("runs");
    assert!(!alone.is_empty() && left(&project_of(&["good"], "[10]")).is_empty());

    let all = project_of(&["missing", "tiny", "good"], "[10]");
    let rows = run(&all).expect("the good one is there");
    assert_eq!(
        rows.iter().map(|row| &row.cell.key).collect::<Vec<_>>(),
        alone.iter().map(|row| &row.cell.key).collect::<Vec<_>>()
    );
    let found = left(&all);
    let of = |id: &str| found.iter().find(|left| left.dataset == id).unwrap_or_else(|| panic!("{id} in {found:?}"));
    assert!(of("missing").model.is_none() && of("missing").reason.contains("missing"), "{found:?}");
    let tiny = of("tiny").line();
    assert!(tiny.starts_with("tiny under pixels.raw, knn at budget 10: ") && tiny.contains("smallest class"), "{tiny}");
    assert_eq!(found.len(), 2);
    let error =
        shipping::ship(std::slice::from_ref(&all), &Device::Cpu).expect_err("half a suite is not shipped").to_string();
    assert!(error.contains("left out") && error.contains("missing"), "{error}");
    // A page that was made without it is made again.
    let noted = fs::read_to_string(log.path()).expect("notes");
    let fallen: Vec<&str> = noted.lines().filter(|line| !still_stands(line)).collect();
    assert!(
        fallen.iter().any(|line| line.contains("missing")) && fallen.iter().any(|line| line.contains("tiny")),
        "{noted}"
    );
    assert!(noted.lines().any(still_stands), "{noted}");

    // One budget that is too large costs no other.
    let budgets = project_of(&["good"], "[10, 1000]");
    let rows = run(&budgets).expect("runs");
    assert!(rows.iter().any(|row| row.cell.budget == Some(10)));
    // Nothing at all is an error.
    let nothing = run(&project_of(&["missing"], "[10]")).expect_err("nothing is there").to_string();
    assert!(nothing.contains("missing"), "{nothing}");
    // When it is there, nothing is left out any more.
    classes(&root.path().join("missing"), 40);
    let mended = project_of(&["missing", "good"], "[10]");
    assert_eq!(run(&mended).expect("runs").len(), 2 * alone.len());
    assert!(!mended.current_folder().expect("a suite").join("representations.left_out.json").exists());
}
