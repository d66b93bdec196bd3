//! Folders that are written to: nothing of anybody else's in them is written over.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wider_clip::manifest::{DatasetRecord, Source, own_manifest, read_own};
use wider_clip::workbench::Workbench;
use wider_clip::workbench::course::build::build;
use wider_clip::workbench::images::{keep_reading, saved_manifest, usual_folder};
use wider_clip::workbench::outputs::{Output, claim};
use wider_clip::workbench::report::{Options, make};

const ALL: [Output; 4] = [Output::Report, Output::Images, Output::Course, Output::Grades];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn refused(folder: &Path, output: Output) -> String {
    let error = claim(folder, output).err().expect("is not ours").to_string();
    assert!(error.contains(&folder.display().to_string()), "{error}");
    error
}

#[test]
fn a_new_or_empty_folder_is_taken_and_stays_what_it_is() {
    for output in ALL {
        let place = folder();
        let new = place.path().join("new/and/deeper");
        let taken = claim(&new, output).expect("new").folder.clone();
        assert_eq!(taken, new.canonicalize().expect("is there"));
        fs::write(new.join("anything"), "ours").expect("writes");
        claim(&new, output).expect("again");
        for other in ALL.into_iter().filter(|other| *other != output) {
            assert!(refused(&new, other).contains("one that holds"));
        }
    }
    // What systems and version control leave is nothing.
    let place = folder();
    for name in [".gitkeep", ".DS_Store", "Thumbs.db", ".writing-x"] {
        fs::write(place.path().join(name), "").expect("writes");
    }
    claim(place.path(), Output::Report).expect("as good as empty");
}

#[test]
fn a_folder_of_somebody_else_is_refused_and_left_as_it_is() {
    for output in ALL {
        for name in ["index.html", "notebooks/01_mine.ipynb", "request.json", "README.md", "grades.csv", ".git/HEAD"] {
            let place = folder();
            let file = place.path().join(name);
            fs::create_dir_all(file.parent().expect("a folder")).expect("makes a folder");
            fs::write(&file, "mine").expect("writes");
            let first = name.split('/').next().expect("a name");
            assert!(refused(place.path(), output).contains(&format!("1 in it, such as `{first}`")));
            assert_eq!(fs::read_to_string(&file).expect("is there"), "mine");
            assert_eq!(fs::read_dir(place.path()).expect("lists").count(), 1);
        }
    }
    let place = folder();
    fs::write(place.path().join("file"), "").expect("writes");
    assert!(claim(&place.path().join("file"), Output::Report).is_err());
}

/// Before folders were marked.
#[test]
fn what_an_earlier_version_made_is_known_by_what_it_holds() {
    let made = |files: &[&str]| {
        let place = folder();
        for file in files {
            let path = place.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("makes a folder");
            fs::write(path, "").expect("writes");
        }
        place
    };
    let report = made(&["index.html", "assets/style.css", "notebooks/01_x.ipynb", "data/x.csv"]);
    claim(report.path(), Output::Report).expect("a report");
    let images = made(&["index.html", "request.json", "10_your_images.ipynb", "classifier/model.toml"]);
    claim(images.path(), Output::Images).expect("a report on images");
    refused(made(&["index.html", "request.json"]).path(), Output::Report);
    let course = made(&["release/1.ipynb", "nbgrader/nbgrader_config.py", "README.md"]);
    claim(course.path(), Output::Course).expect("a course");
    let grades = made(&["grades.csv", "executed/ada/1.ipynb"]);
    claim(grades.path(), Output::Grades).expect("grades");
}

/// The commands ask before they do anything.
#[test]
fn commands_refuse_the_folders_of_others() {
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip")).expect("a project");
    let place = folder();
    fs::create_dir(place.path().join("notebooks")).expect("a folder");
    fs::write(place.path().join("notebooks/09_mine.ipynb"), "{}").expect("writes");
    fs::write(place.path().join("README.md"), "mine").expect("writes");
    let options = Options {
        suite: "smoke".into(),
        only: None,
        out: Some(place.path().into()),
        save: false,
        offline_check: false,
        fresh: false,
    };
    let error = make(&workbench, &options).expect_err("is not ours").to_string();
    assert!(error.contains("a new or empty folder for `report`"), "{error}");
    let error = build(&workbench, place.path()).expect_err("is not ours").to_string();
    assert!(error.contains("a new or empty folder for `course`"), "{error}");
    let images = ["images", "data_manifests", "--out", place.path().to_str().expect("UTF-8")];
    let grade = ["course", "grade", "notebooks/assignments", "--out", place.path().to_str().expect("UTF-8")];
    for command in [&images[..], &grade] {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_wider-clip")).args(command).output().expect("starts");
        assert!(!run.status.success(), "{command:?}");
    }
    let left: Vec<_> = fs::read_dir(place.path()).expect("lists").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(fs::read_to_string(place.path().join("README.md")).expect("is there"), "mine");
}

#[test]
fn two_at_once_write_one_after_the_other() {
    let place = folder();
    let first = claim(place.path(), Output::Images).expect("takes it");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| {
            let _claimed = claim(place.path(), Output::Images).expect("takes it later");
            assert!(done.load(Ordering::SeqCst), "did not wait");
        });
        std::thread::sleep(Duration::from_millis(300));
        done.store(true, Ordering::SeqCst);
        drop(first);
        second.join().expect("ends");
    });
}

/// Two folders of pictures may have one name.
#[test]
fn reports_on_other_data_of_one_name_lie_apart() {
    let place = folder();
    let record = |path: &str| DatasetRecord::own("pics", Source::Folder { path: path.into(), tables: Vec::new() });
    let (first, second) = (record("/a/pics"), record("/b/pics"));
    let of_first = usual_folder(place.path(), &first);
    assert_eq!(of_first, place.path().join("pics"));
    fs::create_dir_all(&of_first).expect("makes a folder");
    fs::write(of_first.join("pics.toml"), own_manifest(&first)).expect("writes");
    assert_eq!(usual_folder(place.path(), &first), of_first);
    let of_second = usual_folder(place.path(), &second);
    assert!(of_second != of_first && of_second.starts_with(place.path()), "{}", of_second.display());
    assert_eq!(usual_folder(place.path(), &second), of_second);
    assert_ne!(usual_folder(place.path(), &record("/c/pics")), of_second);
}

/// What a file alone does not say is written into the record by a reader, and stays there.
#[test]
fn bands_and_range_of_an_edited_record_are_kept_for_the_same_data() {
    let place = folder();
    let record = |path: &str| DatasetRecord::own("pics", Source::Folder { path: path.into(), tables: Vec::new() });
    let mut edited = record("/a/pics");
    edited.bands = Some(vec![4, 3, 2]);
    edited.range = Some([0.0, 4095.0]);
    fs::write(place.path().join("pics.toml"), own_manifest(&edited)).expect("writes");
    assert_eq!(read_own(&place.path().join("pics.toml")).expect("reads").reading(), edited.reading());
    let (mut same, mut other) = (record("/a/pics"), record("/b/pics"));
    keep_reading(&mut same, place.path());
    keep_reading(&mut other, place.path());
    assert_eq!(same.reading(), edited.reading());
    assert_eq!(other.reading(), Default::default());
}

/// A manifest that is saved beside those of the project is read with them.
#[test]
fn a_saved_record_is_called_as_its_file() {
    let place = folder();
    let record = DatasetRecord::own("pics", Source::Folder { path: "/a/pics".into(), tables: Vec::new() });
    let path = place.path().join("mine.toml");
    let text = saved_manifest(&record, &path).expect("a name that is an id");
    fs::write(&path, &text).expect("writes");
    let read = read_own(&path).expect("reads");
    assert_eq!((read.id.as_str(), &read.source), ("mine", &record.source));
    for name in ["mine", "My Pictures.toml", "mine.yaml"] {
        let error = saved_manifest(&record, &place.path().join(name)).expect_err("no id").to_string();
        assert!(error.contains("ends in .toml"), "{error}");
    }
}
