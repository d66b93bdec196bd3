//! Files written whole or not at all, locks, content hashes, and the keys that everything kept is kept under.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use wider_clip::error::Error;
use wider_clip::key::{Key, digest_of};
use wider_clip::storage::{
    FolderLock, Standing, cache_folder, changed, check_target, hex, results_folder, sha256_file, sha256_hex,
    write_atomic, write_atomic_with,
};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_written_whole_into_folders_that_are_made() {
    let folder = folder();
    let path = folder.path().join("a").join("b").join("file");
    write_atomic(&path, b"first").expect("writes");
    assert_eq!(fs::read(&path).expect("reads"), b"first");
    write_atomic(&path, b"2").expect("writes over it");
    assert_eq!(fs::read(&path).expect("reads"), b"2");
    assert_eq!(names(path.parent().expect("a folder")), ["file"], "nothing is left beside it");
}

/// Whoever may read the folder may read the file, as far as the user's mask goes.
#[cfg(target_os = "linux")]
#[test]
fn a_file_is_as_readable_as_any_other() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
    write_atomic(&ours, b"").expect("writes");
    fs::write(&plain, b"").expect("writes");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    assert_eq!(mode(&ours), mode(&plain), "{:o}", mode(&ours));
}

/// What its owner made private stays so; what is new, or was a link, is as readable as any other.
#[cfg(unix)]
#[test]
fn a_file_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    for bits in [0o600, 0o640, 0o400, 0o755] {
        fs::write(at("file"), b"old").expect("writes");
        fs::set_permissions(at("file"), fs::Permissions::from_mode(bits)).expect("sets");
        let seen = std::cell::Cell::new(0);
        let fill = |file: &mut fs::File| {
            use std::io::Write;
            seen.set(file.metadata().expect("there").permissions().mode() & 0o7777);
            file.write_all(b"new").map_err(Error::io("file", "writing"))
        };
        write_atomic_with(&at("file"), fill).expect("writes");
        assert_eq!((mode(&at("file")), seen.get()), (bits, bits), "{bits:o}");
        assert_eq!(fs::read(at("file")).expect("reads"), b"new");
        fs::remove_file(at("file")).expect("removes");
    }
    fs::write(at("private"), b"old").expect("writes");
    fs::set_permissions(at("private"), fs::Permissions::from_mode(0o600)).expect("sets");
    std::os::unix::fs::symlink(at("private"), at("link")).expect("links");
    fs::write(at("plain"), b"").expect("writes");
    write_atomic(&at("link"), b"new").expect("writes");
    assert_eq!((mode(&at("link")), mode(&at("private"))), (mode(&at("plain")), 0o600));
}

#[test]
fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
    let folder = folder();
    let path = folder.path().join("file");
    write_atomic(&path, b"old").expect("writes");
    let error = write_atomic_with(&path, |file| {
        use std::io::Write;
        file.write_all(b"half of the new").expect("writes");
        Err(Error::data(&path, "the other half", "nothing"))
    });
    assert!(error.expect_err("the caller's error").to_string().contains("the other half"));
    assert_eq!(fs::read(&path).expect("reads"), b"old");
    assert_eq!(names(folder.path()), ["file"]);
    // A file stands where a folder is wanted, and a folder where a file is.
    let beneath = write_atomic(&path.join("below"), b"new").expect_err("no folder").to_string();
    assert!(beneath.contains(&path.display().to_string()), "{beneath}");
    let onto = folder.path().join("taken");
    fs::create_dir_all(onto.join("by a folder")).expect("a folder");
    let taken = write_atomic(&onto, b"new").expect_err("a folder").to_string();
    assert!(taken.contains(&onto.display().to_string()), "{taken}");
    assert_eq!(names(folder.path()), ["file", "taken"]);
}

/// A file that is written takes the name of what was there: of no folder, and least of all of a device.
#[test]
fn what_is_no_place_for_a_file_is_refused_before_long_work() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), b"old").expect("writes");
    fs::create_dir(at("folder")).expect("a folder");
    for good in ["file", "none yet", "folder/new", "new/and/deeper"] {
        check_target(&at(good)).expect(good);
    }
    check_target(Path::new("in the current folder")).expect("a name alone");
    let refused = |path: &Path, found: &str| {
        let error = check_target(path).expect_err(found).to_string();
        let expected = format!("{}: expected the name of a file to write, found {found}", path.display());
        assert!(error.contains(&expected), "{error}");
        assert_eq!(write_atomic(path, b"new").expect_err(found).to_string(), error);
    };
    refused(&at("folder"), "a folder");
    refused(&at("folder/.."), "a folder");
    refused(&at("new/"), "the name of a folder");
    refused(&at("new/.."), "the name of a folder");
    refused(&at("file/below/it"), &format!("a file, {}", at("file").display()));
    #[cfg(unix)]
    {
        // By a link, so that nothing is harmed should it be replaced.
        std::os::unix::fs::symlink("/dev/null", at("nowhere")).expect("links");
        refused(&at("nowhere"), "a pipe, a socket or a device");
        // The link of a file may go, and one that leads nowhere.
        std::os::unix::fs::symlink(at("file"), at("link")).expect("links");
        std::os::unix::fs::symlink(at("gone"), at("dangling")).expect("links");
        for link in ["link", "dangling"] {
            write_atomic(&at(link), b"new").expect("writes");
            assert!(!at(link).is_symlink());
        }
    }
    assert_eq!(fs::read(at("file")).expect("reads"), b"old");
}

#[test]
fn a_lock_is_held_by_one_at_a_time() {
    let folder = folder();
    let place = folder.path().join("new");
    let waits = AtomicUsize::new(0);
    let waiting = || {
        waits.fetch_add(1, Ordering::SeqCst);
    };
    let lock = FolderLock::acquire(&place, waiting).expect("free");
    assert_eq!(waits.load(Ordering::SeqCst), 0, "a free lock is not waited for");
    let held = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let lock = FolderLock::acquire(&place, waiting).expect("free in the end");
            held.fetch_add(1, Ordering::SeqCst);
            drop(lock);
        });
        while waits.load(Ordering::SeqCst) == 0 {
            assert!(!other.is_finished(), "the second has the lock that the first holds");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(held.load(Ordering::SeqCst), 0, "held by the first");
        drop(lock);
    });
    assert_eq!((waits.load(Ordering::SeqCst), held.load(Ordering::SeqCst)), (1, 1));
    FolderLock::acquire(&place, waiting).expect("free again");
    assert_eq!(waits.load(Ordering::SeqCst), 1);
    // Other folders have other locks.
    let _one = FolderLock::acquire(&place, || panic!("free")).expect("free");
    let _other = FolderLock::acquire(&place.join("deeper"), || panic!("free")).expect("free");
    let file = folder.path().join("file");
    fs::write(&file, b"").expect("writes");
    assert!(matches!(FolderLock::acquire(&file, waiting), Err(Error::Io { .. })), "a file is no folder");
}

/// Not a test by itself: what the next one starts where `/proc` shows no process.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
#[ignore = "the child of the test below"]
fn leaves_alone_what_a_process_that_is_not_seen_writes() {
    let folder = folder();
    let mut other = Command::new("sleep").arg("600").spawn().expect("starts");
    let is_seen = Path::new(&format!("/proc/{}", other.id())).exists();
    let mut own = String::new();
    write_atomic_with(&folder.path().join("file"), |_| {
        own = names(folder.path()).remove(0);
        Ok(())
    })
    .expect("writes");
    let (machine, _) =
        own.strip_prefix(".writing-").and_then(|mark| mark.split_once('.')).expect("machine and process");
    let half = folder.path().join(format!(".writing-{machine}.{}-half", other.id()));
    fs::write(&half, b"half").expect("writes");
    let lock = || drop(FolderLock::acquire(folder.path(), || panic!("free")).expect("free"));
    lock();
    let is_left = half.exists();
    other.kill().expect("kills");
    other.wait().expect("ends");
    assert!(!is_seen && is_left, "of a process that lives: seen {is_seen}, left {is_left}");
    lock();
    assert!(!half.exists(), "of a process that is gone");
}

/// On machines that many share `/proc` may show everybody no processes but their own: those of others live all the same.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_process_that_is_not_seen_may_live() {
    let folder = folder();
    let shim = folder.path().join("hidden_processes.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/hidden_processes.c");
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let status = Command::new(cc).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).arg("-ldl").status();
    assert!(status.expect("a C compiler").success());
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["--ignored", "--exact", "leaves_alone_what_a_process_that_is_not_seen_writes"]);
    let output = child.env("LD_PRELOAD", &shim).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn hashes_are_of_all_bytes() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((sha256_hex(b"").as_str(), sha256_hex(b"abc").as_str()), (empty, abc));
    assert_eq!(hex(&[0, 1, 10, 16, 171, 255]), "00010a10abff");
    let folder = folder();
    let path = folder.path().join("file");
    // Nothing, less than a piece, pieces and a rest; the last byte and the first of each count.
    for length in [0, 3, 1 << 20, (1 << 20) + 1, (3 << 20) + 17] {
        let bytes: Vec<u8> = (0..length).map(|i: usize| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        fs::write(&path, &bytes).expect("writes");
        assert_eq!(sha256_file(&path).expect("reads"), sha256_hex(&bytes), "{length} bytes");
    }
    assert!(matches!(sha256_file(&folder.path().join("none")), Err(Error::Io { .. })));
}

#[test]
fn a_file_that_was_changed_does_not_stand_as_it_stood() {
    let folder = folder();
    let path = folder.path().join("file");
    assert!(matches!(Standing::of(&path), Err(Error::Io { .. })), "not there");
    fs::write(&path, b"four").expect("writes");
    let hour = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(3600 * n);
    let touch = |time| {
        let file = fs::File::options().write(true).open(&path).expect("opens");
        file.set_modified(time).expect("sets the time");
    };
    touch(hour(1));
    let standing = Standing::of(&path).expect("there");
    assert_eq!((standing.length, standing.changed), (4, Some(hour(1))));
    standing.check(&path).expect("unchanged");
    for (bytes, time) in [(&b"five!"[..], hour(1)), (b"four", hour(2)), (b"", hour(1))] {
        fs::write(&path, bytes).expect("writes");
        touch(time);
        let error = standing.check(&path).expect_err("changed");
        assert_eq!(error.to_string(), changed(&path).to_string());
        assert!(error.to_string().contains("open the data set again") && error.to_string().contains("file"));
    }
    fs::remove_file(&path).expect("removes");
    assert!(matches!(standing.check(&path), Err(Error::Io { .. })));
}

/// Not a test by itself: prints the two folders under the environment that it is started with.
#[test]
#[ignore = "the child of the test below"]
fn tells_its_folders() {
    let root = Path::new("/the/project");
    println!("folders: {} {}", cache_folder(root).display(), results_folder(root).display());
}

#[test]
fn the_environment_moves_features_and_rows() {
    let told = |set: &[(&str, &str)]| -> String {
        let mut child = Command::new(std::env::current_exe().expect("this test"));
        child.args(["--ignored", "--exact", "--nocapture", "tells_its_folders"]);
        child.env_remove("WIDER_CLIP_CACHE").env_remove("WIDER_CLIP_RESULTS").envs(set.iter().copied());
        let output = child.output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().find_map(|line| line.split_once("folders: ")).expect("a line").1.to_string()
    };
    let (cache, results) = ("/the/project/.wider-clip/cache", "/the/project/results");
    assert_eq!(told(&[]), format!("{cache} {results}"));
    assert_eq!(told(&[("WIDER_CLIP_CACHE", ""), ("WIDER_CLIP_RESULTS", "")]), format!("{cache} {results}"));
    assert_eq!(told(&[("WIDER_CLIP_CACHE", "/c")]), format!("/c {results}"));
    // A relative one lies where the program was started, and `~` is the home folder.
    let here = std::env::current_dir().expect("a folder");
    assert_eq!(told(&[("WIDER_CLIP_RESULTS", "r")]), format!("{cache} {}", here.join("r").display()));
    assert_eq!(told(&[("WIDER_CLIP_CACHE", "~/c"), ("HOME", "/home/me")]), format!("/home/me/c {results}"));
}

/// What the digest is of, by hand: were it of anything else, every row that came with the project would be stale.
#[test]
fn a_digest_is_of_the_kind_and_every_part_with_their_lengths() {
    let key = Key::new("row").with("model", "vit").with("seed", 3u64);
    assert_eq!(key.digest(), sha256_hex(b"3:row\n5:model=3:vit\n4:seed=1:3")[..16]);
    assert_eq!(Key::new("").digest(), sha256_hex(b"0:")[..16]);
    assert_eq!((key.kind(), key.parts().len()), ("row", 2));
    assert_eq!(key.parts()[1], ("seed".to_string(), "3".to_string()));
    let others = [
        Key::new("rows").with("model", "vit").with("seed", 3),
        Key::new("row").with("model", "vit").with("seed", 4),
        Key::new("row").with("model", "vit").with("seeds", 3),
        Key::new("row").with("seed", 3).with("model", "vit"),
        Key::new("row").with("model", "vit"),
        Key::new("row").with("model", "vit\n4:seed=1:3"),
        Key::new("row").with("model", "vit").with("seed", 3).with("", ""),
    ];
    for other in &others {
        assert_ne!(other.digest(), key.digest(), "{other}");
        assert_ne!(other, &key);
    }
    let whole = Key::new("page").with("a", 1).with_all(&key);
    let named: Vec<&str> = whole.parts().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(named, ["a", "row.model", "row.seed"]);
    assert_eq!(whole.digest(), sha256_hex(b"4:page\n1:a=1:1\n9:row.model=3:vit\n8:row.seed=1:3")[..16]);
}

#[test]
fn a_key_tells_its_parts_and_what_differs() {
    let key = Key::new("row").with("model", "vit").with("n", 3);
    assert_eq!(key.to_string(), format!("row {}\n  model  vit\n  n      3", key.digest()));
    assert_eq!(Key::new("row").to_string(), format!("row {}", Key::new("row").digest()));
    assert!(key.differences(&key).is_empty());
    let other = Key::new("row").with("model", "mae").with("n", 3).with("more", "x");
    assert_eq!(key.differences(&other), [("model", Some("vit"), Some("mae")), ("more", None, Some("x"))]);
    assert_eq!(other.differences(&key), [("model", Some("mae"), Some("vit")), ("more", Some("x"), None)]);
}

#[test]
fn texts_in_a_list_do_not_run_together() {
    assert_eq!(digest_of(["ab", "c"]), sha256_hex(b"2:ab\n1:c\n")[..16]);
    let lists: [&[&str]; 6] = [&[], &[""], &["", ""], &["ab", "c"], &["a", "bc"], &["abc"]];
    let digests: Vec<String> = lists.iter().map(|list| digest_of(*list)).collect();
    for (i, digest) in digests.iter().enumerate() {
        assert_eq!(digest.len(), 16);
        assert!(!digests[..i].contains(digest), "{:?}", lists[i]);
    }
    assert_eq!(digest_of(vec![String::from("ab"), String::from("c")]), digests[3]);
}
