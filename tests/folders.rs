//! Folders of a reader's own, as they lie about: links, odd names, files that are no pictures, parts of a split.

use std::fs;
use std::path::{Path, PathBuf};
use wider_clip::images::encode_png;
use wider_clip::prelude::*;

/// A PNG of one pixel, another for each value.
fn png(value: u8) -> Vec<u8> {
    let pixel = wider_clip::image::Rgb([value, 255 - value, 7]);
    encode_png(&wider_clip::image::RgbImage::from_pixel(1, 1, pixel)).expect("encodes")
}

/// A folder with files that are made as they are named.
struct Place {
    folder: tempfile::TempDir,
    made: std::cell::Cell<u8>,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder"), made: Default::default() }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("pets")
    }

    /// Writes pictures, no two alike, whatever their names.
    fn pictures(self, names: &[&str]) -> Place {
        for name in names {
            self.picture(name);
        }
        self
    }

    fn picture(&self, name: impl AsRef<Path>) {
        self.made.set(self.made.get() + 1);
        self.write(name, &png(self.made.get()));
    }

    fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes a folder");
        fs::write(path, bytes).expect("writes");
    }

    fn open(&self) -> ImageSet {
        open_folder(&self.root()).expect("opens")
    }

    fn error(&self) -> String {
        open_folder(&self.root()).expect_err("cannot be opened").to_string()
    }
}

/// Count and reason of what was left out.
fn left_out(set: &ImageSet) -> Vec<(usize, &str)> {
    set.ignored.iter().map(|ignored| (ignored.count, ignored.reason.as_str())).collect()
}

fn readable(set: &ImageSet) -> usize {
    set.read(0..set.len()).expect("reads").into_iter().filter(Result::is_ok).count()
}

#[test]
fn pictures_are_known_by_their_extension_and_the_rest_is_counted() {
    let place =
        Place::new().pictures(&["cat/a.jpg", "cat/b.JPEG", "cat/c.JPE", "cat/d.jfif", "cat/e.PNG", "cat/f.WebP"]);
    let place = place.pictures(&["dog/g.gif", "dog/h.TIF", "dog/i.tiff", "dog/j.bmp", "dog/deep/er/k.BMP"]);
    let place = place.pictures(&["dog/1.HEIC", "dog/2.heic", "dog/p.ppm", "dog/a1b2c3", "dog/notes.txt", "loose.png"]);
    let set = place.open();
    assert_eq!((set.len(), set.class_counts()), (11, vec![6, 5]));
    assert!(set.ids.contains(&"dog/deep/er/k.BMP".to_string()), "{:?}", set.ids);
    let expected = [
        (1, "files of type .txt"),
        (1, "files without an extension"),
        (1, "pictures beside the class folders"),
        (2, "pictures of type .heic, which is not read"),
        (1, "pictures of type .ppm, which is not read"),
    ];
    assert_eq!(left_out(&set), expected);
    assert_eq!(set.ignored[3].names, ["dog/1.HEIC", "dog/2.heic"]);
    assert!(set.ignored.iter().all(|ignored| !ignored.minor));
}

#[test]
fn what_systems_leave_behind_is_ignored_and_counted() {
    let place = Place::new().pictures(&["cat/a.png", "dog/b.png", "__MACOSX/cat/._a.png", "__MACOSX/dog/x.png"]);
    let place =
        place.pictures(&["cat/._a.png", "cat/@eaDir/a.png/SYNO_THUMB.png", "cat/.ipynb_checkpoints/a-checkpoint.png"]);
    let place =
        place.pictures(&["dog/Thumbs.db", "dog/.DS_Store", "lost+found/z.png", ".hidden/a.png", "dog/desktop.ini"]);
    let set = place.open();
    assert_eq!(
        (set.ids.as_slice(), set.classes.as_slice()),
        (&["cat/a.png", "dog/b.png"].map(String::from)[..], &["cat", "dog"].map(String::from)[..])
    );
    assert_eq!(left_out(&set), [(5, "files or folders that systems leave behind"), (4, "hidden files or folders")]);
    assert!(set.ignored.iter().all(|ignored| ignored.minor));
    // A folder of them alone is no class, and no picture of it is one.
    let place = Place::new().pictures(&["__MACOSX/cat/a.png"]);
    assert!(place.error().contains("class folders that hold images"), "{}", place.error());
}

#[test]
fn empty_class_folders_are_named() {
    let place = Place::new().pictures(&["cat/a.png", "dog/b.png", "notes/readme.txt"]);
    fs::create_dir(place.root().join("horse")).expect("makes a folder");
    let set = place.open();
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!(left_out(&set), [(1, "files of type .txt"), (2, "folders without a picture in a class")]);
    assert_eq!(set.ignored[1].names, ["horse", "notes"]);
    // Pictures without class folders.
    let place = Place::new().pictures(&["a.png", "b.png"]);
    let error = place.error();
    assert!(
        error.contains("class folders that hold images")
            && error.contains("pictures beside the class folders: 2 (a.png, b.png)"),
        "{error}"
    );
}

#[test]
fn parts_of_a_split_are_known_by_their_names() {
    let parts = |set: &ImageSet| set.parts.clone().map(|parts| parts.join(" "));
    for (train, val, test) in [
        ("train", "val", "test"),
        ("Training", "VALID", "Testing"),
        ("train", "validation", "evaluation"),
        ("train", "dev", "test"),
    ] {
        let names: Vec<String> = [train, val, test]
            .iter()
            .flat_map(|part| [format!("{part}/cat/a.png"), format!("{part}/dog/x/b.png")])
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let set = Place::new().pictures(&names).open();
        assert_eq!(set.classes, ["cat", "dog"], "{train}");
        assert_eq!(
            set.ids
                .iter()
                .zip(set.parts.as_ref().expect("parts"))
                .filter(|(id, part)| id.starts_with(part.as_str()))
                .count(),
            6
        );
        assert_eq!(set.labels.iter().sum::<u32>(), 3);
        for part in [train, val, test] {
            assert_eq!(set.rows_of_part(part).expect("a part").len(), 2, "{part}");
        }
        assert!(set.rows_of_part("unlabelled").is_err());
    }
    // Test images without classes, as in competitions; others beside.
    let set = Place::new().pictures(&["train/cat/a.png", "train/dog/b.png", "test/1.png", "test/2.png"]).open();
    assert_eq!((set.len(), parts(&set).as_deref()), (2, Some("train train")));
    assert_eq!(
        left_out(&set),
        [(1, "folders without a picture in a class"), (2, "pictures outside the class folders of a part")]
    );
    let set =
        Place::new().pictures(&["train/cat/a.png", "train/dog/b.png", "test/cat/1.png", "unlabelled/2.png"]).open();
    assert_eq!((parts(&set).as_deref(), set.classes.len()), (Some("test train train"), 2));
    // Vehicles, one of which is called so.
    let set = Place::new().pictures(&["train/a.png", "car/b.png", "plane/c.png"]).open();
    assert_eq!((parts(&set), set.classes.len()), (None, 3));
    let set = Place::new().pictures(&["train/steam/a.png", "car/red/b.png", "test/c.png"]).open();
    assert_eq!((parts(&set), set.classes.len()), (None, 3));
    // Parts, and no class.
    let error = Place::new().pictures(&["train/a.png", "test/b.png"]).error();
    assert!(error.contains("class folders in test, train, which are called like the parts of a split"), "{error}");
}

#[test]
fn names_differ_as_files_do() {
    let place = Place::new().pictures(&["cat/a.png", "cat/a.jpg", "cat/A.png"]);
    // One letter in two forms of Unicode.
    let place = place.pictures(&["caf\u{e9}/\u{e9}.png", "cafe\u{301}/e\u{301}.png", "caf\u{e9}/e\u{301}.png"]);
    let set = place.open();
    assert_eq!((set.len(), set.classes.len(), readable(&set)), (6, 3, 6));
    let place = Place::new().pictures(&["Cat/a.png", "cat /b.png", "dog/c.png"]);
    let set = place.open();
    assert_eq!(set.classes, ["Cat", "cat ", "dog"]);
    assert!(set.warnings[0].contains("\"Cat\" and \"cat \" differ in case or space alone"), "{:?}", set.warnings);
}

#[test]
fn the_same_bytes_in_two_classes_are_a_warning() {
    let place = Place::new().pictures(&["cat/1.png", "cat/2.png", "dog/3.png"]);
    for name in ["dog/4.png", "cat/5.png"] {
        fs::copy(place.root().join("cat/1.png"), place.root().join(name)).expect("copies");
    }
    let set = place.open();
    let warning = "3 images have the same bytes as one of another class, such as cat/1.png and dog/4.png";
    assert!(set.warnings[0].contains(warning), "{:?}", set.warnings);
    // Twice in one class is no contradiction.
    fs::remove_file(place.root().join("dog/4.png")).expect("removes");
    assert!(place.open().warnings.is_empty());
    let one = Place::new().pictures(&["cat/1.png", "cat/2.png"]).open();
    assert!(one.warnings[0].contains("all 2 images are of one class, `cat`"), "{:?}", one.warnings);
}

#[test]
fn a_broken_picture_is_left_out_of_a_gallery_and_said() {
    let place = Place::new().pictures(&["cat/1.png", "cat/2.png", "dog/3.png"]);
    place.write("cat/0.png", b"no picture");
    place.write("dog/empty.png", b"");
    let gallery = Gallery::of_classes(&place.open(), 2, 5).expect("draws");
    assert_eq!(gallery.rows.iter().map(|(_, pictures)| pictures.len()).collect::<Vec<_>>(), [2, 1]);
    let said = "left out: 2 picture(s) that cannot be read, the first: image cat/0.png";
    assert!(gallery.caption.contains(said) && gallery.to_text().contains(said), "{}", gallery.caption);
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    const LISTED: &str = "links to what is listed already or to a folder that holds the link";

    #[test]
    fn loops_of_links_end_and_each_picture_counts_once() {
        let place = Place::new().pictures(&["cat/a.png", "cat/in/b.png", "dog/c.png"]);
        let root = place.root();
        // To itself, to its parent, to the root, out of it, to a sibling, and to a picture.
        for (target, link) in [
            (".", "cat/self"),
            ("..", "cat/in/up"),
            ("../..", "cat/out"),
            ("../../..", "dog/far"),
            ("../cat", "dog/cats"),
            ("../cat/a.png", "dog/z.png"),
        ] {
            symlink(target, root.join(link)).expect("links");
        }
        symlink(&root, root.join("again")).expect("links");
        symlink("nowhere", root.join("dog/dangling.png")).expect("links");
        symlink("ring.png", root.join("dog/ring.png")).expect("links");
        let set = place.open();
        assert_eq!(set.ids, ["cat/a.png", "cat/in/b.png", "dog/c.png"]);
        let other = "links to a picture that counts in another folder already";
        assert_eq!(left_out(&set), [(2, "links that lead nowhere"), (1, other), (6, LISTED)]);
    }

    #[test]
    fn links_out_of_the_folder_are_followed() {
        let place = Place::new().pictures(&[
            "cat/a.png",
            "../elsewhere/b.png",
            "../elsewhere/c.png",
            "../far/d.png",
            "../far/e.heic",
        ]);
        symlink("../elsewhere", place.root().join("dog")).expect("links");
        symlink("../../far/d.png", place.root().join("cat/d.png")).expect("links");
        symlink("../../far/d.png", place.root().join("cat/e.png")).expect("links");
        // From there back to a folder that holds it.
        symlink("..", place.root().join("../elsewhere/up")).expect("links");
        let set = place.open();
        assert_eq!(set.ids, ["cat/a.png", "cat/d.png", "dog/b.png", "dog/c.png"]);
        assert_eq!((readable(&set), left_out(&set)), (4, vec![(2, LISTED)]));
        // Real folders keep their pictures, in whatever order links to them come.
        let place = Place::new().pictures(&["b/a.png", "c/b.png"]);
        symlink("../c", place.root().join("b/aa")).expect("links");
        symlink("c", place.root().join("a")).expect("links");
        assert_eq!(place.open().ids, ["b/a.png", "c/b.png"]);
    }

    #[test]
    fn pipes_sockets_and_devices_are_never_opened() {
        let place = Place::new().pictures(&["cat/a.png", "dog/b.png"]);
        let pipe = std::ffi::CString::new(place.root().join("cat/pipe.png").as_os_str().as_bytes()).expect("a name");
        // SAFETY: the name ends with a zero byte.
        assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
        let _socket = std::os::unix::net::UnixListener::bind(place.root().join("cat/s.png")).expect("binds");
        symlink("/dev/zero", place.root().join("dog/zero.png")).expect("links");
        symlink("../cat/pipe.png", place.root().join("dog/pipe.png")).expect("links");
        let set = place.open();
        assert_eq!(set.ids, ["cat/a.png", "dog/b.png"]);
        assert_eq!(left_out(&set), [(4, "pipes, sockets or devices")]);
    }

    #[test]
    fn names_that_are_no_utf8_are_read_and_kept_apart() {
        let place = Place::new();
        let name = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let classes: [&[u8]; 4] = [b"M\xf1oz", b"M\xf2oz", b"M\xef\xbf\xbdoz", b"M\\xf1oz"];
        for class in classes {
            for file in [&b"\xe9.png"[..], b"\xe8.png", b"\xef\xbf\xbd.png", b"a\xff.PNG"] {
                place.picture(name(class).join(name(file)));
            }
        }
        let set = place.open();
        assert_eq!((set.len(), set.classes.len(), readable(&set)), (16, 4, 16));
        assert!(
            set.classes.contains(&"M\\xf1oz".to_string()) && set.classes.contains(&"M\\\\xf1oz".to_string()),
            "{:?}",
            set.classes
        );
        assert!(set.ids.contains(&"M\\xf2oz/\\xe9.png".to_string()), "{:?}", set.ids);
        let warned = set.warnings.iter().any(|warning| warning.contains("case"));
        assert!(!warned, "{:?}", set.warnings);
    }

    #[test]
    fn what_may_not_be_read_costs_nothing_else() {
        use std::os::unix::fs::PermissionsExt;
        let place = Place::new().pictures(&["cat/a.png", "cat/locked/b.png", "dog/c.png", "dog/d.png"]);
        for path in ["cat/locked", "dog/d.png"] {
            fs::set_permissions(place.root().join(path), fs::Permissions::from_mode(0)).expect("locks");
        }
        let set = place.open();
        // An administrator may read everything.
        if fs::read_dir(place.root().join("cat/locked")).is_err() {
            assert_eq!(set.ids, ["cat/a.png", "dog/c.png", "dog/d.png"]);
            assert_eq!((readable(&set), left_out(&set)), (2, vec![(1, "folders that cannot be read")]));
        } else {
            assert_eq!(set.len(), 4);
        }
        fs::set_permissions(place.root().join("cat/locked"), fs::Permissions::from_mode(0o700)).expect("unlocks");
    }
}
